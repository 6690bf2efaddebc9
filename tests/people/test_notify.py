"""Messages to owners: as files, and by a real SMTP server; who is told what, once, and what that marks."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from conftest import Ran, Run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from looking import tags_of
from mailsink import OK, PASSWORD, USER, MailSink
from slapd import Authority

from kaltura_archiver.cli import cli
from kaltura_archiver.config import read_settings
from kaltura_archiver.model import notice_tag
from kaltura_archiver.output.tables import escape_tsv
from kaltura_archiver.people import notices as notify
from kaltura_archiver.people.mailer import Mailer
from kaltura_archiver.sandbox.world import Sandbox

HEADER = ("entry_id", "name", "owner_id", "created_date", "last_played_date", "plays")
OWNER = ("owner_ldap_status", "owner_name", "owner_org_unit", "owner_mail")
TODAY = datetime.now(UTC).date()


@pytest.fixture(autouse=True)
def sender(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_FROM", "Video archive <archive@example.edu>")


@pytest.fixture
def sink(monkeypatch: pytest.MonkeyPatch) -> Iterator[MailSink]:
    with MailSink() as running:
        for name, value in running.environ().items():
            monkeypatch.setenv(name, value)
        yield running


def call(*arguments: object, stdin: str | bytes = b"") -> Ran:
    result = CliRunner().invoke(cli, ["notify", "--prefix", "owner_", *map(str, arguments)], input=stdin)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert PASSWORD not in result.output
    return Ran(result.exit_code, result.stdout, result.stderr)


def send(*arguments: object) -> Ran:
    return call("--send", "--no-dry-run", "--per-minute", 100_000, *arguments)


def row(
    entry: str, creator: str, *, title: str = "", status: str = "active", name: str = "", unit: str = "",
    mail: str | None = None, played: str = "", plays: str = "0",
) -> list[str]:  # fmt: skip
    address = f"{creator.partition('@')[0]}@example.edu" if mail is None else mail
    return [entry, title or f"Title of {entry}", creator, "2015-02-03", played, plays, status, name, unit, address]


def write(rows: Sequence[Sequence[str]], path: str = "owners.tsv") -> str:
    lines = ["\t".join((*HEADER, *OWNER)), *("\t".join(escape_tsv(cell) for cell in cells) for cells in rows)]
    Path(path).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def files(folder: str = "notices") -> list[EmailMessage]:
    found = [message_from_bytes(path.read_bytes(), policy=default) for path in sorted(Path(folder).glob("*.eml"))]
    assert all(isinstance(message, EmailMessage) for message in found)
    return found  # type: ignore[return-value]


def body(message: EmailMessage, kind: str = "plain") -> str:
    part = message.get_body((kind,))
    assert part is not None
    return str(part.get_content()).replace("\r\n", "\n")


def ledger(folder: str = "notices") -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(folder, "sent.jsonl").read_text().splitlines()]


def spoken(day: date) -> str:
    """`5 December 2026`, as a letter has it."""
    return f"{day.day} {day:%B %Y}"


THREE = [
    row("0_a1", "anna", title="Algebra", name="Anna A."),
    row("0_b1", "ben", title="Botany", name="Ben B.", played="2016-07-08", plays="12"),
    row("0_a2", "anna", title="Analysis", name="Anna A."),
]

# Files


def test_each_owner_gets_one_message_with_their_own_entries_only() -> None:
    ran = call(write(THREE))
    assert ran.code == 0, ran.err
    assert [(r["owner"], r["address"], r["entries"], r["outcome"]) for r in ran.rows] == [
        ("anna", "anna@example.edu", "2", "done"),
        ("ben", "ben@example.edu", "1", "done"),
    ]
    anna, ben = files()
    assert (anna["To"], ben["To"]) == ("anna@example.edu", "ben@example.edu")
    assert anna["From"] == "Video archive <archive@example.edu>"
    assert anna["Subject"] == f"Your 2 videos will be archived on {spoken(TODAY + timedelta(30))}"
    assert anna["Message-ID"] != ben["Message-ID"]
    assert anna["Auto-Submitted"] == "auto-generated"
    assert abs((datetime.now(UTC) - anna["Date"].datetime).total_seconds()) < 3600
    for kind in ("plain", "html"):
        assert "Dear Anna A.," in body(anna, kind)
        for text in (
            "0_a1",
            "Algebra",
            "0_a2",
            "Analysis",
            spoken(TODAY + timedelta(30)),
            "keep",
            "play it once before",
        ):
            assert text in " ".join(body(anna, kind).split()), (kind, text)
        for foreign in ("0_b1", "Botany", "Ben", "12", "2016"):
            assert foreign not in body(anna, kind).replace(spoken(TODAY + timedelta(30)), "")
        for text in ("0_b1", "Botany", "2016-07-08", "12", "2015-02-03"):
            assert text in body(ben, kind)
        for foreign in ("0_a", "Algebra", "Anna"):
            assert foreign not in body(ben, kind)
    assert [oct(path.stat().st_mode & 0o777) for path in (Path("notices"), *Path("notices").iterdir())] == [
        "0o700", "0o600", "0o600", "0o600",
    ]  # fmt: skip


def test_plays_without_a_day_are_not_called_never() -> None:
    """Kaltura has not always written down when a video was played."""
    assert call(write([row("0_1", "anna", plays="7"), row("0_2", "anna"), row("0_3", "anna", plays="")])).code == 0
    (anna,) = files()
    told = re.findall(r"last played: (\S+)  plays: (\S+)", body(anna))
    assert told == [("unknown", "7"), ("never", "0"), ("never", "0")]
    assert ">unknown</td>" in body(anna, "html")


def test_the_list_may_come_from_stdin_with_other_columns_in_any_order() -> None:
    lines = ["email\tplays\twho\tid\tldap_status\ttext", "x@example.edu\t7\tx\t0_x\tactive\tHello"]
    names = ("mail=email", "creator_id=who", "entry_id=id", "title=text")
    result = CliRunner().invoke(
        cli, ["notify", *(f"--column={name}" for name in names)], input="".join(f"{line}\n" for line in lines)
    )
    assert result.exit_code == 0, result.stderr
    (message,) = files()
    assert "- Hello (0_x)\n  created: unknown  last played: unknown  plays: 7\n" in body(message)
    assert "Dear x," in body(message)


def test_one_person_is_told_once_however_their_id_is_written() -> None:
    rows = [
        row("0_1", "JDoe"),
        row("0_2", "jdoe@example.edu"),
        row("0_3", "jdoe", mail="JDOE@example.edu"),
        row("0_1", "jdoe"),
    ]
    ran = call(write(rows))
    assert [(r["owner"], r["entries"]) for r in ran.rows] == [("JDoe", "3")]


def test_two_people_are_never_taken_for_one() -> None:
    # By enrich --whole-id: the same before the @.
    ran = call(write([row("0_1", "jane@a.edu", mail="jane@a.edu"), row("0_2", "jane@b.edu", mail="jane@b.edu")]))
    assert [(r["address"], r["entries"]) for r in ran.rows] == [("jane@a.edu", "1"), ("jane@b.edu", "1")]
    # Two owners who read the same mailbox: still a message each.
    ran = call("--out", "two", write([row("0_1", "a", mail="office@x.edu"), row("0_2", "b", mail="office@x.edu")]))
    assert [(r["owner"], r["entries"]) for r in ran.rows] == [("a", "1"), ("b", "1")]
    assert len(files("two")) == 2


def test_entries_of_owners_who_are_gone_go_to_their_unit_or_the_fallback() -> None:
    Path("units.tsv").write_text("mail\torg_unit\nhistory@example.edu\tHistory\n")
    rows = [
        row("0_1", "anna"),
        row("0_2", "gone", status="inactive", name="Gone G.", mail=""),
        row("0_3", "mute", mail=""),
        row("0_4", "odd", mail="not an address"),
        row("0_5", "hist", status="inactive", unit="Arts; history", mail="hist@example.edu"),
        row("0_6", "", status="", mail=""),
        row("0_7", "dark", status="unknown", mail=""),
    ]
    ran = call("--fallback", "desk@example.edu", "--unit-file", "units.tsv", write(rows))
    assert ran.code == 3
    assert [(r["owner"], r["address"], r["entries"], r["outcome"]) for r in ran.rows] == [
        ("anna", "anna@example.edu", "1", "done"),
        ("", "desk@example.edu", "4", "done"),
        ("", "history@example.edu", "1", "done"),
        ("dark", "", "1", "waiting"),
    ]
    (dark,) = (r["detail"] for r in ran.rows if r["owner"] == "dark")
    assert "could not be asked who this owner is, or has somebody of that name" in dark
    _, desk, history = files()
    assert desk["To"] == "desk@example.edu"
    assert desk["Subject"].startswith("Former colleagues' videos (4) will be archived on ")
    for kind in ("plain", "html"):
        for text in ("0_2", "Gone G. (gone)", "0_3", "(mute)", "0_4", "0_6", "nobody", "Dear colleagues"):
            assert text in body(desk, kind), text
        for foreign in ("0_1", "0_5", "0_7", "anna"):
            assert foreign not in body(desk, kind)
        assert "0_5" in body(history, kind)
    # Without an address in their place nobody is told, and that is said.
    ran = call("--out", "again", write(rows))
    assert ran.code == 3
    assert Counter(r["outcome"] for r in ran.rows) == {"done": 1, "refused": 5, "waiting": 1}
    assert "the owner has left, and there is no address in their place (--fallback, --unit-file;" in ran.err


class Outline(HTMLParser):
    """The tags and the text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=60),
    st.text(st.sampled_from("<>&\"'\r\n,;$\\é講 abc\u202e@:"), max_size=60),
)
def test_no_name_or_title_breaks_a_header_or_the_page(
    tmp_path_factory: pytest.TempPathFactory, name: str, title: str
) -> None:
    folder = tmp_path_factory.mktemp("odd")
    ran = call(
        "--out",
        folder / "n",
        "--link",
        "https://m.example.edu/{entry_id}",
        write([row("0_1", "x", name=name, title=title)]),
    )
    assert ran.code == 0, ran.err
    (path,) = (folder / "n").glob("*.eml")
    raw = path.read_bytes()
    (message,) = files(str(folder / "n"))
    assert set(message.keys()) == {
        "From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type",
    }  # fmt: skip
    assert [a.addr_spec for a in message["To"].addresses] == ["x@example.edu"]
    assert not message.defects
    assert raw.isascii()
    assert max(map(len, raw.splitlines())) < 990
    page = Outline(body(message, "html"))
    assert Counter(tag for tag, _ in page.tags)["a"] == 2  # the entry, and whom to ask
    assert ("a", {"href": "https://m.example.edu/0_1"}) in page.tags
    assert not {tag for tag, _ in page.tags} & {"script", "img", "b"}
    shown = notify.clean(title) or "0_1"
    assert shown in page.text
    assert shown in body(message)


@pytest.mark.parametrize(
    "name", ["Müller, Jürgen", 'O\'Brien "Q" <q@evil.example>', "line\nBcc: evil@example.org", "講義" * 60]
)
def test_a_name_is_in_the_text_only(name: str) -> None:
    call(write([row("0_1", "x", name=name)]))
    (message,) = files()
    assert message["To"] == "x@example.edu"
    assert message["Bcc"] is None
    assert f"Dear {' '.join(name.split())}," in body(message)


def test_a_plan_is_written_once_and_what_was_taken_is_not_written_again() -> None:
    first = call(write(THREE))
    before = {path.name: path.read_bytes() for path in Path("notices").glob("*.eml")}
    assert len(before) == 2
    again = call("owners.tsv")
    assert [r["outcome"] for r in again.rows] == ["done", "done"]  # they lie there still, and are written anew
    assert {path.name for path in Path("notices").glob("*.eml")} == set(before)
    assert len({message["Message-ID"] for message in files()}) == 2
    for name in before:
        if name.startswith("anna"):
            Path("notices", name).unlink()
    third = call("owners.tsv")
    assert [r["outcome"] for r in third.rows] == ["already", "done"]
    assert "taken from notices" in third.rows[0]["detail"]
    assert first.rows[0]["detail"].startswith("written to notices/anna-")
    other = call("--plan-id", "next year", "owners.tsv")
    assert [r["outcome"] for r in other.rows] == ["done", "done"]
    assert len(files()) == 3


def test_links_and_signature_come_from_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_LINK", "https://media.example.edu/?a=1&id={entry_id}")
    monkeypatch.setenv("NOTIFY_KEEP_LINK", "https://forms.example.edu/keep/{entry_id}")
    monkeypatch.setenv("NOTIFY_SIGNATURE", "Media & Services\\next. 1234")
    ran = call(write(THREE))
    assert ran.code == 0, ran.err
    _, ben = files()
    assert ben["Subject"] == f"Your video will be archived on {spoken(TODAY + timedelta(30))}"
    assert (
        "to watch: https://media.example.edu/?a=1&id=0_b1\n  to keep:  https://forms.example.edu/keep/0_b1\n"
        in body(ben)
    )
    assert "open the link to keep it, or answer" in " ".join(body(ben).split())
    assert body(ben).endswith("Kind regards\nMedia & Services\next. 1234\n")
    page = body(ben, "html")
    assert '<a href="https://media.example.edu/?a=1&amp;id=0_b1">Botany</a>' in page
    assert '<a href="https://forms.example.edu/keep/0_b1">Keep this video</a>' in page
    assert "Media &amp; Services\next. 1234</p>" in page
    assert max(map(len, body(ben).splitlines())) <= 78


def test_without_settings_the_sender_signs_and_no_link_is_promised() -> None:
    call(write(THREE[:1]))
    (anna,) = files()
    assert body(anna).endswith("Kind regards\nVideo archive\n")
    assert 'add the tag "keep" to it' in " ".join(body(anna).split())
    assert "to watch" not in body(anna)
    assert "Keep this video" not in body(anna, "html")


def test_files_are_no_mail_and_that_is_said(sink: MailSink) -> None:
    ran = call(write(THREE))
    assert "summary: done 2; plan" in ran.err
    assert "nobody has got a mail: --send sends" in ran.err
    assert sink.mail == []
    assert "nobody has got a mail" not in send("owners.tsv", "--out", "sent").err


def test_who_was_told_is_reminded_once_a_day_of_what_is_left_and_of_the_same_day(sink: MailSink) -> None:
    plan = ("--plan-id", "autumn")
    assert send(*plan, "--grace", "20d", write(THREE)).code == 0
    first = len(sink.mail)
    # Since then Algebra was played, Ben was told nothing new, and Cara came.
    write([*THREE[1:], row("0_a3", "anna", title="Arithmetic"), row("0_c1", "cara")])
    dry = call("--send", "--remind", *plan, "owners.tsv")
    assert [r["outcome"] for r in dry.rows] == ["would", "would", "skipped"]
    assert len(sink.mail) == first
    ran = send("--remind", *plan, "owners.tsv")
    assert {r["owner"]: r["outcome"] for r in ran.rows} == {"ben": "done", "anna": "done", "cara": "skipped"}
    assert "cara" not in [to.partition("@")[0] for to, _ in sink.mail]
    anna = next(message for to, message in sink.mail[first:] if to.startswith("anna"))
    assert anna["Subject"] == f"Reminder: Your video will be archived on {spoken(TODAY + timedelta(20))}"
    assert anna["Message-ID"] not in [message["Message-ID"] for _, message in sink.mail[:first]]
    assert "Analysis" in body(anna)
    for gone in ("Algebra", "Arithmetic"):
        assert gone not in body(anna)
    again = send("--remind", *plan, "owners.tsv")
    assert {r["outcome"] for r in again.rows} == {"already", "skipped"}
    assert len(sink.mail) == first + 2
    # The first message stays what was told: nobody is told a second time, nor told of for having been reminded.
    assert {r["owner"]: r["outcome"] for r in send(*plan, "owners.tsv").rows} == {
        "ben": "already", "anna": "already", "cara": "done",
    }  # fmt: skip


def test_co_editors_are_told_if_that_is_asked_for(sandbox: Sandbox, run: Run) -> None:
    asked = {"entitledUsersEdit": "cara, dan@other.example,anna"}
    sandbox.add("archived", name="Algebra", creator_id="anna", more=asked)
    sandbox.add("archived", name="Botany", creator_id="ben")
    listed = run("list", "--columns", "entry_id,name,owner_id,co_editors", "--format", "tsv")
    assert {row["co_editors"] for row in listed.rows} == {"cara,dan@other.example,anna", ""}
    people = "uid\tdisplayName\tou\tmail\nanna\tAnna A.\tArts\tanna@example.edu\nben\tBen\tArts\tben@example.edu\n"
    Path("people.tsv").write_text(people)
    Path("list.tsv").write_text(listed.out)
    enriched = run("enrich", "--columns", "mail", "--prefix", "owner_", "--directory-file", "people.tsv", "list.tsv")
    Path("owners.tsv").write_text(enriched.out)
    assert {r["owner"] for r in call("owners.tsv", "--out", "owners").rows} == {"anna", "ben"}
    ran = call("owners.tsv", "--co-editors", "example.edu")
    assert {r["owner"]: r["address"] for r in ran.rows} == {
        "anna": "anna@example.edu", "ben": "ben@example.edu", "cara": "cara@example.edu",
        "dan@other.example": "dan@other.example",
    }, ran.err  # fmt: skip
    cara = next(message for message in files() if message["To"] == "cara@example.edu")
    assert cara["Subject"] == f"A video will be archived on {spoken(TODAY + timedelta(30))}"
    for kind in ("plain", "html"):
        assert "below, which others own and you may edit, have" in " ".join(body(cara, kind).split())
        assert "Algebra" in body(cara, kind)
        assert "Botany" not in body(cara, kind)


def test_what_a_co_editor_is_told_is_no_notice_to_the_owner(sandbox: Sandbox, run: Run, sink: MailSink) -> None:
    entry = sandbox.add("archived", name="Algebra", creator_id="anna")
    lines = [("\t".join((*HEADER, "co_editors", *OWNER)))]
    lines.append("\t".join((entry, "Algebra", "anna", "", "", "0", "cara", "inactive", "", "", "")))
    Path("owners.tsv").write_text("".join(f"{line}\n" for line in lines))
    ran = send("--mark", "--co-editors", "example.edu", "owners.tsv")
    assert [to for to, _ in sink.mail] == ["cara@example.edu"]
    assert {r["owner"]: r["outcome"] for r in ran.rows} == {"anna": "refused", "cara": "done"}
    assert not [tag for tag in tags_of(sandbox, entry) if tag.startswith("notice_")]


def test_nobody_is_reminded_of_a_day_that_is_over(sink: MailSink) -> None:
    assert send(write(THREE)).code == 0
    record = Path("notices/sent.jsonl")
    record.write_text(record.read_text().replace(f'"until": "{TODAY + timedelta(30)}"', f'"until": "{TODAY}"'))
    ran = send("--remind", "owners.tsv")
    assert {r["outcome"] for r in ran.rows} == {"skipped"}
    assert "the day that was named is over" in ran.rows[0]["detail"]
    assert len(sink.mail) == 2


def test_a_reminder_marks_nothing() -> None:
    ran = call("--remind", "--mark", "--send", write(THREE))
    assert (ran.code, "--remind marks nothing" in ran.err) == (2, True)


def test_templates_of_ones_own_take_the_place_of_the_built_in_ones() -> None:
    Path("own").mkdir()
    Path("own/subject.txt").write_text("Büro: $count for $name\non $date\n", encoding="utf-8")
    Path("own/entry.html").write_text("<li>$title costs $$5</li>")
    call(
        "--templates", "own", "--reply-to", "answers@example.edu", write([row("0_1", "x", name="X <X>", title="A & B")])
    )
    (message,) = files()
    assert message["Subject"] == f"Büro: 1 for X <X> on {TODAY + timedelta(30)}"
    assert message["Reply-To"] == "answers@example.edu"
    assert "<li>A &amp; B costs $5</li>" in body(message, "html")
    assert "- A & B (0_1)" in body(message)
    assert "write to answers@example.edu." in body(message)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nolist.tsv"], "cannot read nolist.tsv"),
        (["--column", "nonsense=x", "owners.tsv"], "is not C=NAME, where C is one of entry_id"),
        (["--column", "title=nonsense", "owners.tsv"], "has no column 'nonsense'; there are entry_id"),
        (["nomail.tsv"], "has no column 'owner_mail' (enrich --columns mail writes it"),
        (["badid.tsv"], "badid.tsv, row 2: 'no id' is not an entry id"),
        (["badstatus.tsv"], "ldap_status is 'retired', neither active, inactive, unknown nor empty"),
        (["--from", "nobody", "owners.tsv"], "--from: 'nobody' is not an address such as"),
        (["--from", "a@x.edu, b@x.edu", "owners.tsv"], "is not an address such as"),
        (["--from", "A\nBcc: b@x.edu <a@x.edu>", "owners.tsv"], "is not an address such as"),
        (["--reply-to", "x", "owners.tsv"], "--reply-to: 'x' is not an address"),
        (["--fallback", "x y@z", "owners.tsv"], "--fallback: 'x y@z' is not a mail address"),
        (["--link", "javascript:alert({entry_id})", "owners.tsv"], "--link (NOTIFY_LINK) must be an address with"),
        (["--co-editors", "example.edu", "owners.tsv"], "owners.tsv has no column 'co_editors': list --columns"),
        (["--co-editors", "a b", "owners.tsv"], "--co-editors: 'a b' is no domain such as example.edu"),
        (["--unit-file", "owners.tsv", "owners.tsv"], "owners.tsv has no column 'org_unit'"),
        (["--unit-file", "badunits.tsv", "owners.tsv"], "badunits.tsv, row 2: 'no' is not a mail address"),
        (["--unit-file", "nounit.tsv", "owners.tsv"], "nounit.tsv, row 2: no org_unit"),
        (["--templates", "none", "owners.tsv"], "--templates none: no such folder"),
        (["--templates", "wrongname", "owners.tsv"], "there is no such template; there are subject.txt"),
        (["--templates", "wrongvalue", "owners.tsv"], "there is no $title; there are $changed, $contact"),
        (["--templates", "dollar", "owners.tsv"], "a $ that begins no name is written $$"),
        (["--grace", "30", "owners.tsv"], "'30' is not a number of days such as 30d"),
        (["--mark", "owners.tsv"], "--mark goes with --send"),
        (["--send", "owners.tsv"], "not set: SMTP_SERVER"),
        (["--out", "owners.tsv", "owners.tsv"], "cannot use owners.tsv/sent.jsonl"),
        (["--out", "damaged", "owners.tsv"], "damaged/sent.jsonl, line 1 is no record of a message"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_in_one_line_before_anything_is_written(arguments: list[str], told: str) -> None:
    write(THREE)
    write([row("no id", "x")], "badid.tsv")
    write([row("0_1", "x", status="retired")], "badstatus.tsv")
    Path("nomail.tsv").write_text("entry_id\tcreator_id\towner_ldap_status\n0_1\tx\tactive\n")
    Path("badunits.tsv").write_text("org_unit\tmail\nHistory\tno\n")
    Path("nounit.tsv").write_text("org_unit\tmail\n\tx@example.edu\n")
    for folder, name, text in (
        ("wrongname", "betreff.txt", "x"), ("wrongvalue", "subject.txt", "$title"),
        ("dollar", "message.txt", "5 $ each"), ("damaged", "sent.jsonl", '{"plan": 1}\n'),
    ):  # fmt: skip
        Path(folder).mkdir()
        Path(folder, name).write_text(text)
    ran = call(*arguments)
    assert ran.code == 2
    assert len(ran.err.splitlines()) == 1
    assert told in ran.err
    assert not Path("notices").exists()


# Sending


def test_messages_are_sent_once_and_recorded(sink: MailSink) -> None:
    dry = call("--send", write(THREE))
    assert dry.code == 0
    assert [r["outcome"] for r in dry.rows] == ["would", "would"]
    assert "nothing was sent: --no-dry-run sends" in dry.err
    assert (sink.mail, sink.connections, Path("notices").exists()) == ([], 0, False)

    ran = send("owners.tsv")
    assert ran.code == 0, ran.err
    assert [(to, message["To"]) for to, message in sink.mail] == [
        ("anna@example.edu", "anna@example.edu"), ("ben@example.edu", "ben@example.edu"),
    ]  # fmt: skip
    assert sink.senders == ["archive@example.edu"] * 2
    assert sink.connections == 1
    assert "0_a1" in body(sink.mail[0][1], "html")
    assert [(line["kind"], line["address"], line["entries"]) for line in ledger()] == [
        ("sent", "anna@example.edu", ["0_a1", "0_a2"]), ("sent", "ben@example.edu", ["0_b1"]),
    ]  # fmt: skip
    assert list(Path("notices").glob("*.eml")) == []

    again = send("owners.tsv")
    assert again.code == 0
    assert [r["outcome"] for r in again.rows] == ["already", "already"]
    assert again.rows[0]["detail"] == f"sent on {TODAY}"
    assert len(sink.mail) == 2
    assert [r["outcome"] for r in call("owners.tsv").rows] == ["already", "already"]  # nor written
    assert files() == []


def test_what_could_not_be_recorded_is_not_sent(sink: MailSink) -> None:
    """On a full disk each run would send the first message again."""
    write(THREE)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        ran = send("owners.tsv")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert ran.code != 0
    assert "cannot write notices/sent.jsonl: File too large; no further message is sent" in ran.err
    assert (sink.mail, Path("notices/sent.jsonl").read_bytes()) == ([], b"")

    assert send("owners.tsv").code == 0
    assert len(sink.mail) == 2
    assert [line["kind"] for line in ledger()] == ["sent", "sent"]


def test_a_list_made_anew_is_the_same_plan_by_its_id(sink: MailSink) -> None:
    send("--plan-id", "autumn", write(THREE))
    more = send("--plan-id", "autumn", write([*THREE, row("0_a3", "anna"), row("0_c1", "carl")]))
    assert [(r["owner"], r["outcome"]) for r in more.rows] == [
        ("anna", "already"),
        ("ben", "already"),
        ("carl", "done"),
    ]
    assert "1 more entries were not in it" in more.rows[0]["detail"]
    assert Counter(to for to, _ in sink.mail) == {"anna@example.edu": 1, "ben@example.edu": 1, "carl@example.edu": 1}
    assert {r["outcome"] for r in send("owners.tsv").rows} == {"done"}  # by its content it is another plan


def test_who_was_told_is_not_told_again_when_the_unknown_are_looked_up_again(sink: MailSink) -> None:
    """A list that is enriched again is another plan: what the row of the unknown owner says goes on all the same."""
    first = send(write([*THREE, row("0_d1", "dark", status="unknown", mail="")]))
    (detail,) = (r["detail"] for r in first.rows if r["owner"] == "dark")
    (plan,) = re.findall("run enrich again, which says more, then notify with (--plan-id [0-9a-f]{64})$", detail)
    assert plan.replace("--plan-id", "plan") in first.err  # the sum tells the whole of it, too
    again = send(*plan.split(), write([*THREE, row("0_d1", "dark")]))
    assert [r["outcome"] for r in again.rows] == ["already", "already", "done"]
    assert sorted(to for to, _ in sink.mail) == ["anna@example.edu", "ben@example.edu", "dark@example.edu"]
    named = send("--plan-id", "autumn 2026", write([row("0_d1", "dark", status="unknown", mail="")]))
    assert named.rows[0]["detail"].endswith("--plan-id 'autumn 2026'")


def test_files_that_were_looked_at_are_sent_and_then_gone_but_not_those_that_were_taken(sink: MailSink) -> None:
    call(write(THREE))
    (anna,) = Path("notices").glob("anna-*.eml")
    anna.unlink()
    ran = send("owners.tsv")
    assert [(r["owner"], r["outcome"]) for r in ran.rows] == [("anna", "already"), ("ben", "done")]
    assert [to for to, _ in sink.mail] == ["ben@example.edu"]
    assert list(Path("notices").glob("*.eml")) == []


def test_a_recipient_who_is_refused_does_not_stop_the_others_and_is_tried_again(sink: MailSink) -> None:
    sink.on_recipient = lambda address: "550 5.1.1 No such\x1buser" if address.startswith("anna") else OK
    ran = send(write(THREE))
    assert ran.code == 1
    assert [(r["owner"], r["outcome"]) for r in ran.rows] == [("anna", "failed"), ("ben", "done")]
    assert "localhost refuses anna@example.edu: 550 5.1.1 No such" in ran.rows[0]["detail"]
    assert "\x1b" not in ran.err + ran.out
    sink.on_recipient = lambda address: OK
    sink.on_data = lambda address: "451 4.3.0 Try later"
    ran = send("owners.tsv")
    assert [(r["owner"], r["outcome"]) for r in ran.rows] == [("anna", "failed"), ("ben", "already")]
    assert "451 4.3.0 Try later; run the command again later" in ran.rows[0]["detail"]
    sink.on_data = lambda address: OK
    assert [r["outcome"] for r in send("owners.tsv").rows] == ["done", "already"]
    assert Counter(to for to, _ in sink.mail) == {"anna@example.edu": 1, "ben@example.edu": 1}


@pytest.mark.parametrize("answer", ["421 4.7.0 Enough for one connection", None])
def test_a_connection_that_ends_is_made_anew(sink: MailSink, answer: str | None) -> None:
    answers = iter([OK, answer, OK, OK])
    sink.on_recipient = lambda address: next(answers)
    ran = send(write(THREE))
    assert ran.code == 0, ran.err
    assert [to for to, _ in sink.mail] == ["anna@example.edu", "ben@example.edu"]
    assert sink.connections == 2


def test_where_the_answer_is_lost_the_message_goes_out_again_under_the_same_id(sink: MailSink) -> None:
    answers = iter([None, OK, OK])
    sink.on_data = lambda address: next(answers)
    assert send(write(THREE)).code == 0
    assert [to for to, _ in sink.mail] == ["anna@example.edu", "anna@example.edu", "ben@example.edu"]
    assert len({message["Message-ID"] for _, message in sink.mail}) == 2


def test_a_server_that_is_gone_ends_the_run_and_the_next_goes_on(sink: MailSink) -> None:
    answers = iter([OK, None, None])
    sink.on_recipient = lambda address: next(answers)
    ran = send(write(THREE))
    assert ran.code == 1
    assert [r["outcome"] for r in ran.rows] == ["done"]
    assert "lost the connection to the mail server localhost" in ran.err
    assert "summary: done 1" in ran.err
    assert "1 were not begun" in ran.err
    sink.on_recipient = lambda address: OK
    assert [r["outcome"] for r in send("owners.tsv").rows] == ["already", "done"]
    assert Counter(to for to, _ in sink.mail) == {"anna@example.edu": 1, "ben@example.edu": 1}


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_run_that_is_killed_leaves_nobody_out_and_sends_at_most_that_one_message_twice(
    sink: MailSink, moment: str
) -> None:
    """`before`: the server has not accepted the second message. `after`: it has, and the word is on its way."""
    write([row(f"0_{n}", f"u{n}") for n in range(4)])
    seen: list[str] = []
    child: list[subprocess.Popen[bytes]] = []
    started = threading.Event()

    def kill_at_second(address: str) -> str:
        started.wait(30)
        seen.append(address)
        if len(seen) == 2:
            child[0].send_signal(signal.SIGKILL)
            child[0].wait(30)
        return OK

    if moment == "before":
        sink.on_recipient = kill_at_second
    else:
        sink.on_data = kill_at_second
    command = [sys.executable, "-m", "kaltura_archiver", "notify", "--prefix", "owner_", "--send", "--no-dry-run"]
    child.append(subprocess.Popen([*command, "owners.tsv"], env=os.environ.copy()))
    started.set()
    assert child[0].wait(60) == -signal.SIGKILL
    sink.on_recipient = sink.on_data = lambda address: OK
    # As a crash in the middle of the record would leave it.
    with Path("notices/sent.jsonl").open("ab") as file:
        file.write(b'{"plan": "abc", "ki')
    ran = send("owners.tsv")
    assert ran.code == 0, ran.err
    assert [r["outcome"] for r in ran.rows] == ["already", "done", "done", "done"]
    times = Counter(to for to, _ in sink.mail)
    assert set(times) == {f"u{n}@example.edu" for n in range(4)}
    assert times["u1@example.edu"] == (1 if moment == "before" else 2)
    assert sum(times.values()) == (4 if moment == "before" else 5)
    assert len({message["Message-ID"] for _, message in sink.mail}) == 4
    assert [r["outcome"] for r in send("owners.tsv").rows] == ["already"] * 4


def test_a_run_that_is_told_to_end_does_so_between_two_messages(sink: MailSink) -> None:
    write([row(f"0_{n}", f"u{n}") for n in range(3)])

    def interrupt(address: str) -> str:
        os.kill(os.getpid(), signal.SIGTERM)
        return OK

    sink.on_data = interrupt
    ran = send("owners.tsv")
    assert ran.code == 143
    assert [to for to, _ in sink.mail] == ["u0@example.edu"]
    assert "2 were not begun" in ran.err
    sink.on_data = lambda address: OK
    assert [r["outcome"] for r in send("owners.tsv").rows] == ["already", "done", "done"]


def test_who_stops_reading_the_rows_does_not_stop_the_messages(sink: MailSink) -> None:
    write([row(f"0_{n}", f"u{n}") for n in range(3)])
    command = [sys.executable, "-m", "kaltura_archiver", "notify", "--prefix", "owner_", "--send", "--no-dry-run"]
    reader, writer = os.pipe()
    os.close(reader)
    ended = subprocess.run([*command, "--per-minute", "9999", "owners.tsv"], stdout=writer, timeout=60, check=False)
    os.close(writer)
    assert ended.returncode == 0
    assert len(sink.mail) == 3


def test_two_runs_do_not_use_a_folder_at_a_time(sink: MailSink) -> None:
    codes: list[Ran] = []

    def second(address: str) -> str:
        codes.append(call("--send", "--no-dry-run", "owners.tsv"))
        return OK

    sink.on_data = second
    assert send(write([row("0_1", "x")])).code == 0
    assert codes[0].code == 5
    assert "another notify is writing to notices" in codes[0].err
    assert len(sink.mail) == 1


def test_messages_are_paced(sink: MailSink, monkeypatch: pytest.MonkeyPatch) -> None:
    now, waited = [1000.0], []

    class Stop(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            waited.append(timeout)
            now[0] += timeout or 0
            return False

    monkeypatch.setattr("kaltura_archiver.people.mailer.time.monotonic", lambda: now[0])
    smtp = read_settings().smtp
    message = EmailMessage()
    with Mailer(smtp, sender="archive@example.edu", per_minute=30, stop=Stop()) as mailer:
        for taken in (0.0, 0.5, 3.0, 0.0):
            now[0] += taken
            mailer.send(message, "x@example.edu")
    assert waited == [0.0, 1.5, 0.0, 2.0]
    assert len(sink.mail) == 4


# The mail server


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.named("mail authority")


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS:UserWarning")  # it is TLS all along
@pytest.mark.parametrize("tls", ["starttls", "tls"])
def test_mail_goes_out_encrypted_and_signed_in(tls: str, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("ca.pem").write_bytes(authority.pem)
    write(THREE)
    with MailSink(authority, tls=tls, login=True) as sink:
        for name, value in sink.environ(SMTP_TLS=tls, SMTP_CA_FILE="ca.pem", SMTP_USER=USER, SMTP_PWD=PASSWORD).items():
            monkeypatch.setenv(name, value)
        ran = send("owners.tsv")
        assert ran.code == 0, ran.err
        assert len(sink.mail) == 2
        for changed, told in (
            ({"SMTP_PWD": "wrong-password"}, "refuses SMTP_USER and SMTP_PWD: 535"),
            ({"SMTP_CA_FILE": ""}, "is not trusted: "),
            ({"SMTP_CA_FILE": "owners.tsv"}, "SMTP_CA_FILE owners.tsv: not a readable file of PEM"),
            ({"SMTP_PWD": ""}, "not set: SMTP_PWD"),
            ({"SMTP_USER": ""}, "not set: SMTP_USER"),
        ):
            with monkeypatch.context() as patch:
                for name, value in changed.items():
                    patch.setenv(name, value)
                ran = send("--out", "others", "owners.tsv")
            assert ran.code == 2, ran.err
            assert told in ran.err
            assert "wrong-password" not in ran.err
        assert len(sink.mail) == 2


def test_config_looks_at_the_mail_server(run: Run, sink: MailSink, monkeypatch: pytest.MonkeyPatch) -> None:
    (detail,) = [line["detail"] for line in run("config").rows if line["check"] == "mail"]
    assert detail == f"localhost:{sink.port}, none"
    monkeypatch.setenv("SMTP_TLS", "starttls")
    ran = run("config")
    assert ran.code == 2
    assert "does not offer STARTTLS" in ran.err


def test_a_certificate_of_another_name_is_refused(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("ca.pem").write_bytes(authority.pem)
    with MailSink(authority, tls="tls", certificate=authority.server("other.example.edu")) as sink:
        for name, value in sink.environ(SMTP_TLS="tls", SMTP_CA_FILE="ca.pem").items():
            monkeypatch.setenv(name, value)
        ran = send(write(THREE))
        assert ran.code == 2
        assert "is not trusted: Hostname mismatch" in ran.err
        assert sink.mail == []


def test_a_server_without_starttls_gets_nothing(sink: MailSink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMTP_TLS", "starttls")
    ran = send(write(THREE))
    assert ran.code == 2
    assert "does not offer STARTTLS: see SMTP_TLS" in ran.err
    assert sink.mail == []


@pytest.mark.parametrize(
    ("name", "value", "code", "told"),
    [
        ("SMTP_TLS", "ssl", 2, "SMTP_TLS must be starttls, tls or none, not 'ssl'"),
        ("SMTP_PORT", "mail", 2, "SMTP_PORT must be a port, not 'mail'"),
        ("SMTP_PORT", "1", 1, "the mail server localhost:1 cannot be reached"),
        ("SMTP_PWD", PASSWORD, 2, "not set: SMTP_USER"),
    ],
)
def test_wrong_settings_are_told_before_anything_is_sent(
    sink: MailSink, monkeypatch: pytest.MonkeyPatch, name: str, value: str, code: int, told: str
) -> None:
    monkeypatch.setenv(name, value)
    ran = send(write(THREE))
    assert ran.code == code
    assert told in ran.err
    assert sink.mail == []


def test_no_password_goes_out_unencrypted(sink: MailSink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMTP_USER", USER)
    monkeypatch.setenv("SMTP_PWD", PASSWORD)
    ran = send(write(THREE))
    assert ran.code == 2
    assert "SMTP_TLS=none would send SMTP_PWD unencrypted" in ran.err


def test_a_sender_who_is_refused_ends_the_run(sink: MailSink, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(self: MailSink, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        return "553 5.7.1 Not your address"

    monkeypatch.setattr(MailSink, "handle_MAIL", refuse, raising=False)
    sink._handler_hooks = None  # type: ignore[attr-defined]
    ran = send(write(THREE))
    assert ran.code == 1
    assert "refuses the sender archive@example.edu: 553 5.7.1 Not your address" in ran.err
    assert ran.rows == []


# Marks


def listed(sandbox: Sandbox, number: int) -> dict[str, str]:
    """So many entries, each of another owner; the list of them is written. Owner to entry id."""
    made = {f"u{n}": sandbox.add("archived", tags="lecture", creator_id=f"u{n}") for n in range(number)}
    write([row(entry_id, owner) for owner, entry_id in made.items()])
    return made


MARK = f"notice_{TODAY}"


def test_entries_are_marked_once_their_message_is_sent_and_only_then(
    sandbox: Sandbox, run: Run, sink: MailSink
) -> None:
    made = listed(sandbox, 3)
    dry = run("notify", "--prefix", "owner_", "--send", "--mark", "owners.tsv")
    assert [r["outcome"] for r in dry.rows] == ["would"] * 3
    assert "would send it and mark 1 entries" in dry.rows[0]["detail"]
    assert sandbox.control.writes() == []
    assert sink.mail == []

    marked_at: list[set[str]] = []

    def look(address: str) -> str:
        marked_at.append({owner for owner, entry_id in made.items() if MARK in tags_of(sandbox, entry_id)})
        return "550 no" if address.startswith("u1") else OK

    sink.on_data = look
    acting = ("notify", "--prefix", "owner_", "--send", "--mark", "--no-dry-run", "--per-minute", 100_000, "owners.tsv")
    ran = run(*acting)
    assert ran.code == 1
    assert [r["outcome"] for r in ran.rows] == ["done", "failed", "done"]
    assert marked_at == [set(), {"u0"}, {"u0"}]
    assert {owner: MARK in tags_of(sandbox, entry_id) for owner, entry_id in made.items()} == {
        "u0": True, "u1": False, "u2": True,
    }  # fmt: skip
    promised = TODAY + timedelta(30)
    assert tags_of(sandbox, made["u0"]) == f"lecture, archived_to_s3, {notice_tag(TODAY, 'u0', promised)}"
    assert f"From {spoken(promised)} on, their originals" in sink.mail[0][1].get_body(("plain",)).get_content()  # type: ignore[union-attr]
    assert re.search(rf"EXEC entry {made['u0']} notify done: tagged {MARK}", ran.err)

    # What was not sent has no notice: replace_video leaves it alone, as it does what was told today.
    for owner, reason in (("u1", "the owner has had no notice"), ("u0", f"names {promised} as the day")):
        ran = run("replace_video", "--id", made[owner], "--noticed-before", "30d", "--no-dry-run")
        assert ran.outcomes == {made[owner]: "skipped"}
        assert reason in ran.err
    # The day that a message named is kept without any option.
    ran = run("replace_video", "--id", made["u0"], "--no-dry-run")
    assert (ran.outcomes, f"names {promised} as the day" in ran.err) == ({made["u0"]: "skipped"}, True)
    sink.on_data = lambda address: OK
    assert [r["outcome"] for r in run(*acting).rows] == ["already", "done", "already"]
    assert len(sink.mail) == 3
    assert [line["kind"] for line in ledger()] == ["sent", "marked"] * 3


def test_marks_that_failed_are_set_by_the_next_run_with_the_day_of_sending(
    sandbox: Sandbox, run: Run, sink: MailSink
) -> None:
    made = listed(sandbox, 2)
    acting = ("notify", "--prefix", "owner_", "--send", "--no-dry-run", "--per-minute", 100_000, "owners.tsv")
    assert run(*acting).code == 0  # sent by a run that was not to mark
    path = Path("notices/sent.jsonl")
    told = path.read_text().replace(str(TODAY), "2026-01-02").replace(str(TODAY + timedelta(30)), "2026-02-01")
    path.write_text(told)
    del sandbox.kaltura.entries[made["u1"]]  # deleted since then
    ran = run(*acting, "--mark")
    assert ran.code == 0, ran.err
    assert tags_of(sandbox, made["u0"]).endswith(notice_tag(date(2026, 1, 2), "u0", date(2026, 2, 1)))
    assert len(sink.mail) == 2
    ran = run("replace_video", "--id", made["u0"], "--noticed-before", "30d", "--no-dry-run")
    assert ran.outcomes == {made["u0"]: "done"}


def test_an_entry_that_cannot_be_marked_is_told_and_tried_again(sandbox: Sandbox, run: Run, sink: MailSink) -> None:
    made = listed(sandbox, 1)
    acting = ("notify", "--prefix", "owner_", "--send", "--mark", "--no-dry-run", "owners.tsv")
    fault = sandbox.control.add_fault("media.update", "error", code="SERVICE_FORBIDDEN", times=50)
    ran = run(*acting)
    assert ran.code == 1
    assert "sent; 1 of 1 entries not marked: " in ran.rows[0]["detail"]
    fault.times = 0
    ran = run(*acting)
    assert ran.code == 0, ran.err
    assert MARK in tags_of(sandbox, made["u0"])
    assert len(sink.mail) == 1
