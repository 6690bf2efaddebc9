"""`run` writes to owners before a rule takes anything away: once of each entry, and keeps the day that it named."""

from __future__ import annotations

import errno
import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from conftest import Run
from looking import do_not_probe, tags_of
from mailsink import MailSink
from slapd import Authority, Slapd, person

from kaltura_archiver.model import ARCHIVED_TAG, REPLACED_TAG, THIN_TAG, Announced, Outcome, State, notice_tag
from kaltura_archiver.results import Result
from kaltura_archiver.run import notices
from kaltura_archiver.sandbox.world import Sandbox

DAY = 86400
RULE = """\
[[rule]]
name = "three years"
select = { unplayed_for = 3 }
archive = {}
replace = { unplayed_for = 3 }

[rule.notice]
grace = "30d"
directory = "people.csv"
"""
PEOPLE = "uid,displayName,ou,mail,ldap_status\nanna,Anna A.,Physics,anna@example.edu,active\n"
PEOPLE += "ben,Ben B.,Music,ben@example.edu,active\ngone,Gone G.,Music,,inactive\n"


@pytest.fixture(autouse=True)
def sink(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[MailSink]:
    do_not_probe(monkeypatch)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(notices, "PER_MINUTE", 1e6)
    Path("people.csv").write_text(PEOPLE)
    Path("policy.toml").write_text(RULE)
    with MailSink() as running:
        for name, value in running.environ(NOTIFY_FROM="Video archive <archive@example.edu>").items():
            monkeypatch.setenv(name, value)
        yield running


def _add(sandbox: Sandbox, owner: str = "anna", **fields: Any) -> str:
    return sandbox.add(State.ARCHIVED, creator_id=owner, **fields)


def _told(ran: Any) -> list[tuple[str, str]]:
    return [(row["entry_id"], row["outcome"]) for row in ran.rows if row["stage"] == "notice"]


def _replaced(sandbox: Sandbox, entry_id: str) -> bool:
    return REPLACED_TAG in tags_of(sandbox, entry_id)


def _act(run: Run, *more: object) -> Any:
    return run("run", "--no-dry-run", *more)


def _in_days(sandbox: Sandbox, days: float) -> Any:
    return time_machine.travel(sandbox.control.clock.now() + days * DAY)


def test_an_owner_is_told_once_and_nothing_goes_before_the_day_that_was_named(
    sandbox: Sandbox, run: Run, sink: MailSink
) -> None:
    one, two, other = _add(sandbox), _add(sandbox), _add(sandbox, "ben")
    dry = run("run")
    assert (dry.code, sorted(_told(dry))) == (0, sorted((one, "would") for one in (one, two, other))), dry.err
    of_anna = next(row for row in dry.rows if row["entry_id"] == one)
    assert of_anna["detail"].startswith("to anna (anna@example.edu): would send it and mark 2 entries")
    assert (sink.mail, sandbox.control.writes(), Path("notices").exists()) == ([], [], False)
    checked = next(row for row in run("run", "--check").rows if row["stage"] == "replace")
    assert checked["detail"] == "skipped 3; 2 owners to be told of 3"

    told = {row["stage"]: row["detail"] for row in run("run", "--explain", one).rows}
    assert told["replace"] == "its owner is to be told first: the next run writes to them"

    first = _act(run)
    assert (first.code, len(_told(first))) == (0, 3), first.err
    mails = dict(sink.mail)
    assert (len(sink.mail), sorted(mails)) == (2, ["anna@example.edu", "ben@example.edu"])
    today = datetime.now(UTC).date()
    until = today + timedelta(days=30)
    assert notice_tag(today, "anna", until, Announced.REPLACE) in tags_of(sandbox, one)
    assert f"{until.day} {until:%B %Y}" in mails["anna@example.edu"].as_string().replace("=\n", "").replace("\n", " ")

    Path("notices/sent.jsonl").unlink()  # a container's disk is lost: the marks count
    for days in (0, 1, 29, 30):
        with _in_days(sandbox, days):
            again = _act(run)
            assert (again.code, again.rows, len(sink.mail)) == (0, [], 2), again.err
    assert not _replaced(sandbox, one)
    with _in_days(sandbox, 31.1):
        assert _act(run).outcomes == dict.fromkeys((one, two, other), "done")
    assert _replaced(sandbox, one)
    assert len(sink.mail) == 2


def test_what_is_archived_now_is_told_of_in_the_same_run_and_what_is_kept_never(
    sandbox: Sandbox, run: Run, sink: MailSink
) -> None:
    entry_id, kept = sandbox.add(State.INITIAL, creator_id="anna"), _add(sandbox, tags=f"{ARCHIVED_TAG}, keep")
    acted = _act(run)
    assert [(row["stage"], row["entry_id"], row["outcome"]) for row in acted.rows] == [
        ("archive", entry_id, "done"), ("notice", entry_id, "done"),
    ]  # fmt: skip
    assert kept not in str(sink.mail[0][1])
    assert "notice_" not in tags_of(sandbox, kept)


def test_nobody_is_told_of_what_would_stay_anyway(sandbox: Sandbox, run: Run, sink: MailSink) -> None:
    small = sandbox.add(State.ARCHIVED, creator_id="anna", content=b"smaller than the placeholder")
    acted = _act(run)
    assert (acted.code, acted.rows, sink.mail) == (0, [], []), acted.err
    explained = {row["stage"]: row["detail"] for row in run("run", "--explain", small).rows}
    assert explained["replace"].startswith("nothing would be freed")


def test_what_is_played_since_is_kept_and_told_of_anew_later(sandbox: Sandbox, run: Run, sink: MailSink) -> None:
    entry_id = _add(sandbox)
    assert _told(_act(run)) == [(entry_id, "done")]
    with _in_days(sandbox, 10):
        sandbox.kaltura.edit(entry_id, plays=9, last_played_at=int(sandbox.control.clock.now() + 10 * DAY))
    with _in_days(sandbox, 40):
        assert _act(run).rows == []
    with _in_days(sandbox, 4 * 366):
        assert _told(_act(run)) == [(entry_id, "done")]
    assert len(sink.mail) == 2
    assert not _replaced(sandbox, entry_id)


def test_who_became_the_owner_since_is_told(sandbox: Sandbox, run: Run, sink: MailSink) -> None:
    entry_id = _add(sandbox)
    assert _told(_act(run)) == [(entry_id, "done")]
    sandbox.kaltura.edit(entry_id, user_id="ben")
    with _in_days(sandbox, 32):
        acted = _act(run)
        assert (acted.code, _told(acted)) == (0, [(entry_id, "done")]), acted.err
    assert [address for address, _ in sink.mail] == ["anna@example.edu", "ben@example.edu"]
    assert not _replaced(sandbox, entry_id)


def test_co_editors_are_told_with_the_owner_and_only_then(sandbox: Sandbox, run: Run, sink: MailSink) -> None:
    Path("policy.toml").write_text(f'{RULE}co_editors = "example.edu"\n')
    entry_id = _add(sandbox, more={"entitledUsersEdit": "carla,ben"})
    sink.on_recipient = lambda address: "550 no" if address.startswith("anna") else "250 Message accepted for delivery"
    refused = _act(run)
    assert (refused.code, _told(refused), sink.mail) == (1, [(entry_id, "failed")], [])
    sink.on_recipient = lambda address: "250 Message accepted for delivery"
    assert len(_told(_act(run))) == 3
    assert [address for address, _ in sink.mail] == ["anna@example.edu", "carla@example.edu", "ben@example.edu"]


def test_owners_who_have_left_go_to_the_fallback_or_wait(sandbox: Sandbox, run: Run, sink: MailSink) -> None:
    entry_id = _add(sandbox, "gone")
    waits = _act(run)
    assert (waits.code, _told(waits)) == (3, [(entry_id, "refused")])
    Path("policy.toml").write_text(f'{RULE}fallback = "desk@example.edu"\n')
    assert (_act(run).code, [address for address, _ in sink.mail]) == (0, ["desk@example.edu"])
    with _in_days(sandbox, 32):
        assert _act(run).outcomes == {entry_id: "done"}


def test_without_a_mail_server_nothing_is_replaced(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    entry_id, new = _add(sandbox), sandbox.add(State.INITIAL, creator_id="ben")
    monkeypatch.setenv("SMTP_PORT", "1")
    acted = _act(run)
    assert (acted.code, acted.outcomes) == (1, {new: "done"})
    assert "owners are not told: the mail server" in acted.err
    assert not _replaced(sandbox, entry_id)
    with _in_days(sandbox, 60):
        assert _act(run).code == 1
    assert not _replaced(sandbox, entry_id)


def test_a_reminder_is_sent_once_though_the_folder_is_gone(sandbox: Sandbox, run: Run, sink: MailSink) -> None:
    Path("policy.toml").write_text(f'{RULE}remind = "7d"\n')
    one, two = _add(sandbox), _add(sandbox)
    _act(run)
    with _in_days(sandbox, 20):
        assert _act(run).rows == []
        sandbox.kaltura.edit(two, plays=9, last_played_at=int(sandbox.control.clock.now() + 20 * DAY))
    for days in (25, 25, 26):
        Path("notices/sent.jsonl").unlink()
        with _in_days(sandbox, days):
            dry = run("run")
            assert _told(dry) == ([(one, "would")] if len(sink.mail) == 1 else [])
            _act(run)
    (_, first), (to, reminder) = sink.mail
    assert to == "anna@example.edu"
    assert str(reminder["Subject"]).startswith("Reminder: Your video will be archived on ")
    assert str(first["Subject"]).split(" on ")[1] == str(reminder["Subject"]).split(" on ")[1]
    with _in_days(sandbox, 32):
        assert _act(run).outcomes == {one: "done"}
    assert len(sink.mail) == 2


@pytest.mark.parametrize("lost", [False, True])
def test_killed_between_sending_and_marking_tells_of_it_at_most_once_more(
    sandbox: Sandbox, run: Run, sink: MailSink, monkeypatch: pytest.MonkeyPatch, lost: bool
) -> None:
    entry_id = _add(sandbox)

    def killed(*given: object, **more: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(notices, "add_notice", killed)
        run("run", "--no-dry-run")
    assert len(sink.mail) == 1
    assert "notice_" not in tags_of(sandbox, entry_id)
    if lost:
        Path("notices/sent.jsonl").unlink()
    _act(run)
    _act(run)
    assert len(sink.mail) == (2 if lost else 1)
    assert "notice_" in tags_of(sandbox, entry_id)


@pytest.mark.parametrize(
    "later",
    [
        RULE.replace("replace = { unplayed_for = 3 }", 'replace = { unplayed_for = 3, told_for = "1d" }'),
        RULE.partition("[rule.notice]")[0],
        RULE.replace('"30d"', '"2d"'),
    ],
    ids=["told_for shorter", "no notice", "shorter grace"],
)
def test_a_promise_is_kept_whatever_a_later_file_says(sandbox: Sandbox, run: Run, later: str) -> None:
    entry_id = _add(sandbox)
    _act(run)
    Path("policy.toml").write_text(later)
    for days in (10, 30):
        with _in_days(sandbox, days):
            _act(run)
            assert not _replaced(sandbox, entry_id)
    with _in_days(sandbox, 31.1):
        assert _act(run).outcomes == {entry_id: "done"}


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("NOTIFY_FROM", "", "set NOTIFY_FROM"),
        ("SMTP_SERVER", "", "not set: SMTP_SERVER"),
        ("NOTIFY_LINK", "here", "NOTIFY_LINK"),
    ],
)
def test_what_is_missing_is_refused_before_anything(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, told: str
) -> None:
    sandbox.add(State.INITIAL, creator_id="anna")
    monkeypatch.setenv(variable, value)
    for more in ((), ("--no-dry-run",)):
        refused = run("run", *more)
        assert (refused.code, refused.out, len(refused.err.splitlines())) == (2, "", 1)
        assert told in refused.err
    assert sandbox.control.writes() == []
    assert run("run", "--part", "restore").code == 0  # which writes to nobody


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('fallback = "nobody"', "notice.fallback: 'nobody' is not a mail address"),
        ('co_editors = "@"', "notice.co_editors: '@' is no domain"),
        ('unit_file = "none.tsv"', "cannot read none.tsv"),
        ('templates = "none"', "none: no such folder"),
    ],
)
def test_a_wrong_notice_table_is_refused(sandbox: Sandbox, run: Run, line: str, told: str) -> None:
    sandbox.add(State.INITIAL)
    Path("policy.toml").write_text(f"{RULE}{line}\n")
    refused = _act(run)
    assert (refused.code, refused.out, len(refused.err.splitlines())) == (2, "", 1)
    assert told in refused.err
    assert sandbox.control.writes() == []


def test_the_record_names_the_rule_and_the_day(sandbox: Sandbox, run: Run) -> None:
    _add(sandbox)
    _act(run, "--notices", "elsewhere")
    lines = [json.loads(line) for line in Path("elsewhere/sent.jsonl").read_text().splitlines()]
    assert [(line["plan"], line["kind"]) for line in lines] == [
        (f"three years, replace {datetime.now(UTC).date()}", kind) for kind in ("sent", "marked")
    ]  # fmt: skip


def test_owners_are_looked_up_by_ldap_where_no_file_is_named(
    sandbox: Sandbox, run: Run, sink: MailSink, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    Path("policy.toml").write_text(RULE.replace('directory = "people.csv"\n', ""))
    monkeypatch.setattr("kaltura_archiver.people.directory.PAUSES", (0.0,))
    monkeypatch.setattr("kaltura_archiver.people.directory.REST_SECONDS", 0.0)
    entry_id = _add(sandbox)
    authority = Authority.named("test authority")
    anna = person("anna", displayName="Anna A.", mail="anna@campus.example.edu")
    campus = Slapd(tmp_path / "campus", authority.server("localhost"), authority.pem, [anna])
    try:
        for name, value in campus.environ().items():
            monkeypatch.setenv(name, value)
        with monkeypatch.context() as wrong:
            wrong.setenv("LDAP_PWD", "not this one")
            refused = _act(run)
            assert (refused.code, refused.out, sandbox.control.writes()) == (2, "", [])
            assert "refused the bind" in refused.err
        told = _act(run)
        assert (told.code, _told(told)) == (0, [(entry_id, "done")]), told.err
        assert [address for address, _ in sink.mail] == ["anna@campus.example.edu"]
    finally:
        campus.stop()
    other = _add(sandbox)
    down = _act(run)
    assert (down.code, _told(down), len(sink.mail)) == (3, [(other, "waiting")], 1), down.err


def test_a_mark_that_cannot_be_set_is_told_and_nothing_goes_without_it(
    sandbox: Sandbox, run: Run, sink: MailSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry_id = _add(sandbox)
    with monkeypatch.context() as patched:

        def refused(kaltura: object, entry_id: str, *given: object, **more: object) -> Result:
            return Result(entry_id, "", Outcome.FAILED, "Kaltura refuses it")

        patched.setattr(notices, "add_notice", refused)
        failed = _act(run)
    assert (failed.code, _told(failed)) == (1, [(entry_id, "failed")])
    assert "1 of 1 entries not marked: Kaltura refuses it" in failed.rows[0]["detail"]
    assert _told(_act(run)) == [(entry_id, "done")]  # which only marks it, for the day of the message
    assert len(sink.mail) == 1
    assert not _replaced(sandbox, entry_id)


def test_two_rules_write_for_themselves(sandbox: Sandbox, run: Run, sink: MailSink) -> None:
    lecture, other = _add(sandbox, tags=f"{ARCHIVED_TAG}, lecture"), _add(sandbox)
    first = RULE.replace("three years", "lectures").replace(
        "{ unplayed_for = 3 }\narchive", '{ tag = "lecture" }\narchive'
    )
    Path("policy.toml").write_text(first.replace('"30d"', '"60d"') + "\n" + RULE)
    told = _act(run)
    assert [(row["rule"], row["entry_id"]) for row in told.rows] == [("lectures", lecture), ("three years", other)]
    assert [address for address, _ in sink.mail] == ["anna@example.edu"] * 2
    with _in_days(sandbox, 32):
        assert _act(run).outcomes == {other: "done"}
    with _in_days(sandbox, 62):
        assert _act(run).outcomes == {lecture: "done"}
    assert len(sink.mail) == 2


def test_of_a_recording_of_several_streams_its_owner_is_told_once(
    sandbox: Sandbox, run: Run, sink: MailSink
) -> None:  # fmt: skip
    parent = _add(sandbox)
    slides = _add(sandbox, parent_id=parent, display_in_search=-1)
    assert _told(_act(run)) == [(parent, "done")]
    assert len(sink.mail) == 1
    with _in_days(sandbox, 30):
        assert _act(run).rows == []
    with _in_days(sandbox, 32):
        assert _act(run).outcomes == {parent: "done", slides: "done"}
    assert len(sink.mail) == 1


THIN_FIRST = RULE.replace("replace = ", "thin = { unplayed_for = 3 }\nreplace = ")


def _text(message: Any) -> str:
    return " ".join(message.get_body(("plain",)).get_content().split())


def test_each_stage_is_told_of_by_itself_and_each_once(sandbox: Sandbox, run: Run, sink: MailSink) -> None:
    Path("policy.toml").write_text(THIN_FIRST)
    entry_id = _add(sandbox)
    assert _told(_act(run)) == [(entry_id, "done")]
    with _in_days(sandbox, 31.1):
        acted = _act(run)
        assert [(row["stage"], row["outcome"]) for row in acted.rows] == [("thin", "done")], acted.err
        assert THIN_TAG in tags_of(sandbox, entry_id)
    for days in (31.2, 32, 61):
        with _in_days(sandbox, days):
            assert _told(_act(run)) == ([(entry_id, "done")] if days == 31.2 else [])
            assert not _replaced(sandbox, entry_id)
    with _in_days(sandbox, 63):
        assert _act(run).outcomes == {entry_id: "done"}
    assert _replaced(sandbox, entry_id)
    thin, gone = (message for _, message in sink.mail)
    assert "be made smaller on" in thin["Subject"]
    assert "they are played from one smaller version" in _text(thin)
    assert "placeholder" not in thin.as_string()
    assert "be archived on" in gone["Subject"]
    assert "placeholder video is shown in their place" in _text(gone)


def test_what_lost_its_flavors_after_a_notice_is_told_of_anew_before_it_goes(
    sandbox: Sandbox, run: Run, sink: MailSink
) -> None:
    flavors = RULE.replace("replace = {", "thin = { derived_only = true,")
    Path("policy.toml").write_text(flavors)
    entry_id = _add(sandbox)
    _act(run)
    promised = max(tag for tag in tags_of(sandbox, entry_id).split(", ") if "until" in tag)
    assert promised.endswith("_for_flavors")
    Path("policy.toml").write_text(RULE)  # which takes the video itself: its promise is one of the video, too
    for days in (10, 30):
        with _in_days(sandbox, days):
            assert (_act(run).rows, _replaced(sandbox, entry_id)) == ([], False)
    with _in_days(sandbox, 31.1):
        assert _told(_act(run)) == [(entry_id, "done")]
    with _in_days(sandbox, 61.1):
        assert _act(run).rows == []
    with _in_days(sandbox, 63):
        assert _act(run).outcomes == {entry_id: "done"}
    texts = [_text(message) for _, message in sink.mail]
    assert ["the further versions in other sizes are deleted" in text for text in texts] == [True, False]


def test_a_notice_that_does_not_say_of_what_counts_for_each_stage(
    sandbox: Sandbox, run: Run, sink: MailSink
) -> None:  # fmt: skip
    """As earlier versions marked, and `notify --mark` does."""
    day = datetime.now(UTC).date() - timedelta(days=40)
    one = _add(sandbox, tags=f"{ARCHIVED_TAG}, {notice_tag(day, 'anna', day + timedelta(days=30))}")
    two = _add(sandbox, tags=f"{ARCHIVED_TAG}, {notice_tag(day, 'anna')}")
    assert _act(run).outcomes == {one: "done", two: "done"}
    assert sink.mail == []


def test_a_reminder_is_of_its_stage(sandbox: Sandbox, run: Run, sink: MailSink) -> None:
    Path("policy.toml").write_text(f'{THIN_FIRST}remind = "7d"\n')
    entry_id = _add(sandbox)
    for days in (0, 25, 31.1, 31.2, 57, 58):
        with _in_days(sandbox, days):
            _act(run)
    subjects = [str(message["Subject"]).strip().split(" will be ") for _, message in sink.mail]
    assert [(who, what.split(" on ")[0]) for who, what in subjects] == [
        (who, what) for what in ("made smaller", "archived")
        for who in ("Your video", "Reminder: Your video")
    ]  # fmt: skip
    assert not _replaced(sandbox, entry_id)


def test_a_reminder_of_an_earlier_version_is_not_sent_again(sandbox: Sandbox, run: Run, sink: MailSink) -> None:
    Path("policy.toml").write_text(f'{RULE}remind = "7d"\n')
    until = datetime.now(UTC).date() + timedelta(days=5)
    _add(sandbox, tags=f"{ARCHIVED_TAG}, {notice_tag(until - timedelta(days=30), 'anna', until)}")
    whose = json.dumps(["three years", "anna anna@example.edu"])
    key = f"log/notices/{until}-{hashlib.sha256(whose.encode()).hexdigest()[:16]}.json"
    sandbox.s3.put(key, b"{}")
    assert (_act(run).rows, sink.mail) == ([], [])
    sandbox.s3.client().delete_object(Bucket=sandbox.s3.bucket, Key=key)
    assert len(_act(run).rows) == 1


def test_a_tag_that_tells_of_what_there_is_not_keeps_it(sandbox: Sandbox, run: Run, sink: MailSink) -> None:
    entry_id = _add(sandbox, tags=f"{ARCHIVED_TAG}, notice_2020-01-01_until_2020-02-01_for_ever")
    assert (_act(run).rows, sink.mail) == ([], [])
    assert "names a day that cannot be read" in run("run", "--explain", entry_id).out


def test_the_day_that_is_named_is_one_on_which_it_can_go(sandbox: Sandbox, run: Run, sink: MailSink) -> None:
    """Though the stage waits longer than `grace`; and the rule's own days only say when its other clocks are read."""
    now = datetime.fromtimestamp(sandbox.control.clock.now(), UTC).date()
    on = f'on = ["{now - timedelta(days=3):%m-%d}"]\n'
    later = RULE.replace("unplayed_for = 3 }\n\n", 'unplayed_for = 3, told_for = "60d" }\n\n')
    Path("policy.toml").write_text(later.replace("select", f"{on}select"))
    entry_id = _add(sandbox)
    assert _told(_act(run)) == [(entry_id, "done")]
    until = now + timedelta(days=60)
    assert f"From {until.day} {until:%B %Y} on" in _text(sink.mail[0][1])
    assert notice_tag(now, "anna", until, Announced.REPLACE) in tags_of(sandbox, entry_id)
    with _in_days(sandbox, 60):
        assert _act(run).rows == []
    with _in_days(sandbox, 61.1):
        assert _act(run).outcomes == {entry_id: "done"}
    assert len(sink.mail) == 1


def test_a_day_by_which_nobody_can_be_told_any_more_is_refused(sandbox: Sandbox, run: Run) -> None:
    Path("policy.toml").write_text(RULE.replace("replace = {", "replace = { told_for = 2020-01-01,"))
    refused = _act(run)
    assert (refused.code, len(refused.err.splitlines())) == (2, 1)
    assert "policy.toml, line 5: rule 'three years', replace.told_for: this clock never comes" in refused.err


def test_told_by_a_day_means_that_day_whatever_days_the_rule_has(sandbox: Sandbox, run: Run) -> None:
    now = datetime.fromtimestamp(sandbox.control.clock.now(), UTC).date()
    day = now - timedelta(days=50)
    rule = RULE.partition("[rule.notice]")[0].replace("replace = {", f"replace = {{ told_for = {day},")
    Path("policy.toml").write_text(rule.replace("select", f'on = ["{now - timedelta(days=40):%m-%d}"]\nselect', 1))
    before, after = (
        _add(sandbox, tags=f"{ARCHIVED_TAG}, {notice_tag(day + timedelta(days=days), 'anna')}") for days in (-3, 9)
    )
    assert _act(run).outcomes == {before: "done"}
    assert not _replaced(sandbox, after)


def test_owners_are_told_where_nothing_can_be_written(
    sandbox: Sandbox, run: Run, sink: MailSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in the image's container, whose file system is read-only. By hand, the record is all that there is."""

    def read_only(folder: Path, *given: object, **more: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(folder))

    monkeypatch.setattr(Path, "mkdir", read_only)
    entry_id = _add(sandbox)
    assert _told(acted := _act(run)) == [(entry_id, "done")], acted.err
    assert (_act(run).rows, len(sink.mail)) == ([], 1)
    Path("owners.tsv").write_text(f"entry_id\towner_id\tldap_status\tmail\n{entry_id}\tanna\tactive\ta@example.edu\n")
    by_hand = run("notify", "--send", "--no-dry-run", "owners.tsv")
    assert (by_hand.code, len(sink.mail)) == (2, 1)
    assert "Read-only file system" in by_hand.err


def test_check_tells_of_which_stage_how_many_owners_are_told_today(sandbox: Sandbox, run: Run, sink: MailSink) -> None:
    Path("policy.toml").write_text(THIN_FIRST)
    one, _, _ = _add(sandbox), _add(sandbox, "ben"), sandbox.add(State.INITIAL, creator_id="anna")
    sandbox.add(State.THIN, creator_id="anna")
    sandbox.kaltura.edit(one, plays=9, last_played_at=int(sandbox.control.clock.now()))

    def told() -> dict[str, str]:
        return {row["stage"]: row["detail"].rpartition("; ")[2] for row in run("run", "--check").rows}

    assert {key: value for key, value in told().items() if key in ("archive", "thin", "replace")} == {
        "archive": "", "thin": "2 owners to be told of 1, and of up to 1 more when archived",
        "replace": "1 owner to be told of 1",
    }  # fmt: skip
    _act(run)
    assert [told()[stage] for stage in ("thin", "replace")] == ["nobody to be told"] * 2
    assert len(sink.mail) == 3


def test_who_was_told_waits_for_the_day_that_was_named(sandbox: Sandbox, run: Run) -> None:
    entry_id, other = _add(sandbox), _add(sandbox, "gone")
    _act(run)
    opens = datetime.now(UTC).date() + timedelta(days=31)  # the day that was named is over
    row = next(row for row in run("run", "--check").rows if row["stage"] == "replace")
    assert (row["waits"], row["left"], row["opens_date"]) == ("1", "1", str(opens))
    assert row["detail"] == "skipped 1; 1 owner to be told of 1"
    explained = {row["stage"]: row for row in run("run", "--explain", entry_id).rows}["replace"]
    assert (explained["says"], explained["opens_date"]) == ("waits", str(opens))
    assert "to be told first" in run("run", "--explain", other).out
    on = next(row for row in run("run", "--check", "--on", opens).rows if row["stage"] == "replace")
    assert (on["due"], on["left"]) == ("1", "1")


@pytest.mark.parametrize("source", ["played_within = 1", "request_tag = 'please'"])
def test_that_a_play_brings_a_video_back_is_said_where_it_does(
    sandbox: Sandbox, run: Run, sink: MailSink, source: str
) -> None:
    Path("policy.toml").write_text(f"{RULE}\n[restore]\n{source}\n")
    _add(sandbox)
    _act(run)
    ((_, message),) = sink.mail
    text = " ".join(message.get_body(("plain",)).get_content().split())
    by_play = source.startswith("played")
    assert ("Whoever plays the placeholder asks for the video" in text) == by_play
    assert ("Whoever needs a video answers this message" in text) != by_play


def test_who_was_told_without_a_day_waits_for_the_grace(sandbox: Sandbox, run: Run) -> None:
    """The tag of an earlier version names none."""
    today = datetime.now(UTC).date()
    entry_id = _add(sandbox, tags=f"{ARCHIVED_TAG}, {notice_tag(today, 'anna', None)}")
    explained = {row["stage"]: row for row in run("run", "--explain", entry_id).rows}["replace"]
    assert (explained["says"], explained["opens_date"]) == ("waits", str(today + timedelta(days=31)))


# Who is written to

HEADER = "uid,displayName,ou,mail\n"


@pytest.mark.parametrize(
    ("owner", "people"),
    [
        ("smith@gmail.com", f"{HEADER}smith,Sam Smith,Physics,smith@example.edu\n"),
        ("smith@other.ac.uk", f"{HEADER}smith,Sam Smith,Physics,smith@example.ac.uk\n"),
        ("jdoe", f"{HEADER}jdoe,John Doe,Alumni,john@alumni.edu\njdoe,Jane Doe,Physics,jane@example.edu\n"),
        ("jdoe", f"{HEADER}jdoe,J,A,j@example.edu\njdoe,J,B,i@example.edu\njdoe,J,C,j@example.edu\n"),
    ],
    ids=["another place", "another university", "two people", "three"],
)
def test_who_may_be_somebody_else_is_not_written_to_and_keeps_their_videos(
    sandbox: Sandbox, run: Run, sink: MailSink, owner: str, people: str
) -> None:
    Path("people.csv").write_text(people)
    Path("policy.toml").write_text(f'{RULE}fallback = "helpdesk@example.edu"\n')
    entry_id = _add(sandbox, owner)
    assert _act(run).code == 3
    with _in_days(sandbox, 31.1):
        _act(run)
    assert (sink.mail, _replaced(sandbox, entry_id)) == ([], False)


@pytest.mark.parametrize(
    ("owner", "people"),
    [
        ("anna@cs.example.ac.uk", f"{HEADER}anna,Anna,Physics,anna.a@mail.example.ac.uk\n"),
        ("anna@example.edu", f"{HEADER}anna,Anna,Physics,anna@example.edu\nanna,Anna,Music,anna@example.edu\n"),
        ("Anna@Example.EDU", "mail,displayName,ou\nanna@example.edu,Anna,Physics\n"),
    ],
    ids=["of one university", "of two units", "by address"],
)
def test_who_is_the_owner_is_written_to(
    sandbox: Sandbox, run: Run, sink: MailSink, monkeypatch: pytest.MonkeyPatch, owner: str, people: str
) -> None:
    Path("people.csv").write_text(people)
    if people.startswith("mail"):
        monkeypatch.setenv("LDAP_UID_ATTRIBUTE", "mail")
    _add(sandbox, owner)
    assert _act(run).code == 0
    assert [address.partition("@")[0] for address, _ in sink.mail] in (["anna"], ["anna.a"])
