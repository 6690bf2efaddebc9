"""Who asked for a video is told when it is back: one message a person, by the templates of notices."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from mailsink import MailSink

from kaltura_archiver.config import read_settings
from kaltura_archiver.errors import MailError
from kaltura_archiver.model import Outcome
from kaltura_archiver.people.coming_back import Coming, News, Written, tell_people
from kaltura_archiver.people.letterhead import letterhead
from kaltura_archiver.people.mailer import Mailer
from kaltura_archiver.people.templates_of_notices import Templates

ALGEBRA = Coming("0_a1", "Algebra <1>", "anna@example.edu", "Anna A.")
ANALYSIS = Coming("0_a2", "Analysis", "Anna@example.edu", "Anna A.")
BOTANY = Coming("0_b1", "", "ben@example.edu")


@pytest.fixture
def sink(monkeypatch: pytest.MonkeyPatch) -> Iterator[MailSink]:
    with MailSink() as running:
        settings = running.environ(
            NOTIFY_FROM="Video archive <archive@example.edu>", NOTIFY_LINK="https://media.example.edu/{entry_id}"
        )
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        yield running


def _tell(*back: Coming, news: News = News.BACK, templates: Path | None = None, send: bool = True) -> list[Written]:
    settings = read_settings()
    head = letterhead(settings)
    with Mailer(settings.smtp, sender=head.address, per_minute=100_000, stop=threading.Event()) as mailer:
        deliver = mailer.send if send else None
        return list(tell_people(news, back, head, Templates(templates), deliver))


def test_each_person_gets_one_message_of_all_that_came_back_for_them(sink: MailSink) -> None:
    assert _tell(ALGEBRA, BOTANY, ANALYSIS) == [
        ("anna@example.edu", ("0_a1", "0_a2"), Outcome.DONE, "told that it is back"),
        ("ben@example.edu", ("0_b1",), Outcome.DONE, "told that it is back"),
    ]
    (to_anna, anna), (to_ben, ben) = sink.mail
    assert (to_anna, to_ben) == ("anna@example.edu", "ben@example.edu")
    assert (anna["Subject"], ben["Subject"]) == ("Your 2 videos: back again", "Your video: back again")
    text, page = anna.get_body(("plain",)), anna.get_body(("html",))
    assert text is not None
    assert page is not None
    told = text.get_content()
    assert "Dear Anna A.," in told
    assert "- Algebra <1> (0_a1)\n  to watch: https://media.example.edu/0_a1\n- Analysis" in told.replace("\r\n", "\n")
    assert '<a href="https://media.example.edu/0_a1">Algebra &lt;1&gt;</a>' in page.get_content()
    assert "0_a1" not in str(ben)
    assert "what was asked for is back" in told  # by a play of somebody else's, as a rule
    assert "<title>Your 2 videos: back again" in page.get_content()


@pytest.mark.parametrize(("news", "ends"), [(News.BACK, "back again"), (News.ASKED, "asked back, expected by ")])
def test_who_is_no_owner_is_not_told_of_their_video(sink: MailSink, news: News, ends: str) -> None:
    _tell(ALGEBRA, ANALYSIS._replace(own=False), BOTANY._replace(own=False), news=news)
    (_, anna), (_, ben) = sink.mail
    assert anna["Subject"].startswith(f"2 videos: {ends}")
    assert ben["Subject"].startswith(f"A video: {ends}")
    assert "Your" not in str(ben)


def test_a_dry_run_sends_nothing_and_who_cannot_be_written_to_is_told_of(sink: MailSink) -> None:
    odd = Coming("0_c1", "Chess", "carla")
    dry = _tell(ALGEBRA, odd, send=False)
    assert [told.outcome for told in dry] == [Outcome.WOULD, Outcome.REFUSED]
    sink.on_recipient = lambda address: "450 too many messages"
    assert [told.outcome for told in _tell(ALGEBRA, odd)] == [Outcome.FAILED, Outcome.REFUSED]
    sink.on_recipient = lambda address: "550 no such person"
    refused = _tell(ALGEBRA, odd)
    assert [told.outcome for told in refused] == [Outcome.REFUSED, Outcome.REFUSED]
    assert "refuses anna@example.edu: 550" in refused[0].detail
    assert refused[1].detail == "'carla' is not a mail address"
    assert sink.mail == []


def test_a_server_that_is_gone_raises(sink: MailSink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMTP_PORT", "1")
    with pytest.raises(MailError, match="cannot be reached"):
        _tell(ALGEBRA)


def test_templates_of_ones_own(sink: MailSink, tmp_path: Path) -> None:
    (tmp_path / "back_subject.txt").write_text("Wieder da: $count")
    _tell(BOTANY, templates=tmp_path)
    assert sink.mail[0][1]["Subject"] == "Wieder da: 1"


def test_what_is_asked_back_is_told_of_with_its_time(sink: MailSink) -> None:
    asked_at = 1_795_978_400  # 2026-11-29T18:53:20Z
    coming = [each._replace(asked_at=asked_at, expected_at=asked_at + 5 * 3600) for each in (ALGEBRA, ANALYSIS)]
    (told,) = _tell(*coming, news=News.ASKED)
    assert told.detail == "told that it is expected by 30 November 2026, 00:00 UTC"
    ((_, message),) = sink.mail
    assert message["Subject"] == "Your 2 videos: asked back, expected by 30 November 2026"
    text = message.get_body(("plain",))
    assert text is not None
    line = "asked back on 29 November 2026, 18:53 UTC\n  expected by   30 November 2026, 00:00 UTC"
    assert text.get_content().replace("\r\n", "\n").count(line) == 2


def test_a_message_is_the_same_one_whichever_run_sends_it(sink: MailSink) -> None:
    asked = ALGEBRA._replace(request="log/desk/1.json")
    other = ALGEBRA._replace(request="log/desk/2.json")
    _tell(asked)
    _tell(asked)
    _tell(other)
    _tell(asked, news=News.ASKED)
    first, second, *others = [message["Message-ID"] for _, message in sink.mail]
    assert first == second
    assert len({first, *others}) == 3
