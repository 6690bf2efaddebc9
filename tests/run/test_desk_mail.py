"""The post of the restore desk: who is told, once, that it takes its time, and, once, that it is back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import time_machine
from conftest import Ran, Run
from looking import do_not_probe, do_not_wait, tags_of
from mailsink import OK, MailSink

from kaltura_archiver.model import State
from kaltura_archiver.run import notices
from kaltura_archiver.run.desk_book import PREFIX
from kaltura_archiver.sandbox.world import Sandbox

DAY = 86400
PEOPLE = (
    "uid,displayName,ou,mail,ldap_status\n"
    "anna,Anna A.,Physics,anna@example.edu,active\n"
    "ben,Ben B.,Biology,ben@example.edu,active\n"
)
DESK = '[restore]\nrequest_tag = "back_please"\nrequests = "requests.csv"\ntier = "standard"\nmail = true\n'


@pytest.fixture(autouse=True)
def desk(monkeypatch: pytest.MonkeyPatch) -> Path:
    do_not_probe(monkeypatch)
    do_not_wait(monkeypatch)
    monkeypatch.setattr(notices, "PER_MINUTE", 1e6)
    Path("people.csv").write_text(PEOPLE)
    Path("requests.csv").write_text("entry_id\n")
    path = Path("policy.toml")
    path.write_text(f'[notice]\ndirectory = "people.csv"\n\n{DESK}')
    return path


@pytest.fixture
def sink(monkeypatch: pytest.MonkeyPatch) -> Iterator[MailSink]:
    with MailSink() as running:
        for name, value in running.environ(NOTIFY_FROM="Video archive <archive@example.edu>").items():
            monkeypatch.setenv(name, value)
        yield running


def _act(run: Run, *more: object) -> Ran:
    return run("run", "--no-dry-run", "--workers", 1, *more)


def _told(sink: MailSink) -> list[tuple[str, str]]:
    """To whom the messages since the last look went, and what each says first."""
    found = [(to, message["Subject"].partition(": ")[2].partition(",")[0]) for to, message in sink.mail]
    sink.mail.clear()
    return found


def test_it_takes_its_time_and_is_back_is_told_once_each(sandbox: Sandbox, run: Run, sink: MailSink) -> None:
    frozen = sandbox.add(State.PLACEHOLDER, storage_class="GLACIER", tags="back_please", creator_id="anna")
    dry = run("run")
    told = {row["stage"]: row for row in dry.rows}
    assert told["notice"]["outcome"] == "would"
    assert "to anna@example.edu: would be told that it is expected by" in told["notice"]["detail"]
    assert PREFIX not in " ".join(sandbox.s3.keys())
    first = _act(run)
    assert [(row["stage"], row["outcome"]) for row in first.rows] == [("tag", "waiting"), ("notice", "done")], first.err
    assert _told(sink) == [("anna@example.edu", "asked back")]
    assert [row["stage"] for row in _act(run).rows] == ["tag"]
    sandbox.control.clock.advance(DAY)
    assert {row["entry_id"] for row in _act(run).rows if row["stage"] == "notice"} == {frozen}
    assert _told(sink) == [("anna@example.edu", "back again")]
    assert _act(run).rows == []
    assert _told(sink) == []


def test_what_could_not_be_told_the_next_run_tells(sandbox: Sandbox, run: Run, sink: MailSink) -> None:
    thaws = sandbox.add(State.PLACEHOLDER, storage_class="GLACIER", tags="back_please", creator_id="anna")
    there = sandbox.add(State.PLACEHOLDER, tags="back_please", creator_id="ben")
    sink.on_data = lambda address: "451 try again later"
    ran = _act(run)
    assert ran.code == 1
    assert {row["outcome"] for row in ran.rows if row["stage"] == "notice"} == {"failed"}
    sink.on_data = lambda address: OK
    again = _act(run)
    assert {row["entry_id"] for row in again.rows if row["stage"] == "notice"} == {thaws, there}
    assert sorted(_told(sink)) == [("anna@example.edu", "asked back"), ("ben@example.edu", "back again")]
    _act(run)
    assert _told(sink) == []


def test_a_mail_server_that_is_down_stops_no_restore(
    sandbox: Sandbox, run: Run, sink: MailSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = sandbox.add(State.PLACEHOLDER, tags="back_please", creator_id="ben")
    with monkeypatch.context() as patch:
        patch.setenv("SMTP_PORT", "1")
        ran = _act(run)
    assert (ran.code, ran.outcomes) == (1, {there: "done"})
    assert "nobody is told of their videos, before another run" in ran.err
    _act(run)
    assert _told(sink) == [("ben@example.edu", "back again")]


def test_what_is_asked_for_again_is_told_of_again(sandbox: Sandbox, run: Run, sink: MailSink) -> None:
    entry_id = sandbox.add(State.PLACEHOLDER, tags="back_please", creator_id="ben")
    _act(run)
    assert _told(sink) == [("ben@example.edu", "back again")]
    assert run("replace_video", "--id", entry_id, "--min-age-years", 0, "--no-dry-run").outcomes == {entry_id: "done"}
    sandbox.kaltura.settle()
    sandbox.kaltura.edit(entry_id, tags=f"{tags_of(sandbox, entry_id)}, back_please")
    assert "done" in {row["outcome"] for row in _act(run).rows}
    assert _told(sink) == [("ben@example.edu", "back again")]


def test_without_mail_nobody_is_told_of_it_later(sandbox: Sandbox, run: Run, sink: MailSink, desk: Path) -> None:
    told = desk.read_text()
    desk.write_text(told.replace("mail = true", ""))
    sandbox.add(State.PLACEHOLDER, tags="back_please", creator_id="ben")
    _act(run)
    desk.write_text(told)
    assert _act(run).rows == []
    assert _told(sink) == []


def test_whom_a_list_names_gets_both_messages_besides_the_owner(sandbox: Sandbox, run: Run, sink: MailSink) -> None:
    entry_id = sandbox.add(State.PLACEHOLDER, storage_class="GLACIER", creator_id="anna")
    plain = sandbox.add(State.PLACEHOLDER, storage_class="GLACIER", creator_id="ben")
    asked = f"entry_id,name,mail\n{entry_id},Algebra,zoe@example.edu; yan@example.edu\n{plain},Botany,\n"
    Path("requests.csv").write_text(asked)
    _act(run)
    named = [f"{name}@example.edu" for name in ("anna", "ben", "yan", "zoe")]
    owners = {to for to, message in sink.mail if message["Subject"].startswith("Your video: ")}
    assert owners == {"anna@example.edu", "ben@example.edu"}
    assert sorted(_told(sink)) == [(to, "asked back") for to in named]
    # Whom to tell was written down when it was asked for.
    Path("requests.csv").write_text("entry_id\n" + f"{entry_id}\n{plain}\n")
    sandbox.control.clock.advance(DAY)
    _act(run)
    assert sorted(_told(sink)) == [(to, "back again") for to in named]
    _act(run)
    assert _told(sink) == []


def test_whom_a_list_names_may_be_told_instead_of_the_owner(
    sandbox: Sandbox, run: Run, sink: MailSink, desk: Path
) -> None:
    desk.write_text(desk.read_text().replace("mail = true", 'mail = "asker"'))
    named, other = (sandbox.add(State.PLACEHOLDER, creator_id=who) for who in ("anna", "ben"))
    Path("requests.csv").write_text(f"id,mail\n{named},zoe@example.edu\n{other},\n")
    _act(run)
    assert sorted(_told(sink)) == [("ben@example.edu", "back again"), ("zoe@example.edu", "back again")]


def test_a_list_as_spreadsheets_write_it(sandbox: Sandbox, run: Run, sink: MailSink) -> None:
    entry_id = sandbox.add(State.PLACEHOLDER, creator_id="anna")
    Path("requests.csv").write_text(f'\ufeffentry_id;E-Mail;Tier\r\n{entry_id};"yan@example.edu;zoe@example.edu";\r\n')
    assert _act(run).outcomes == {entry_id: "done"}
    assert sorted(to for to, _ in _told(sink)) == [f"{name}@example.edu" for name in ("anna", "yan", "zoe")]


def test_a_table_without_ids_says_what_it_needs(run: Run, sink: MailSink) -> None:
    Path("requests.csv").write_text("entry,mail\n0_a,\n")
    ran = run("run", "--check")
    assert (ran.code, len(ran.err.splitlines())) == (2, 1)
    assert "line 1: 'entry,mail' is not an entry id; a table needs a column entry_id or id" in ran.err


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("0_a,nobody,", "requests requests.csv, line 3: 'nobody' is not a mail address"),
        ("0_a,a@example.edu;b,", "requests requests.csv, line 3: 'b' is not a mail address"),
        ("0_a,,fast", "requests requests.csv, line 3: 'fast' is no tier: there are bulk, standard, expedited"),
        ("a b,,", "requests requests.csv, line 3: 'a b' is not an entry id"),
    ],
)
def test_rubbish_in_a_list_is_one_line(run: Run, sink: MailSink, line: str, told: str) -> None:
    Path("requests.csv").write_text(f"entry_id,mail,tier\n0_b,,\n{line}\n")
    refused = run("run", "--check")
    assert (refused.code, refused.out, len(refused.err.splitlines())) == (2, "", 1)
    assert f"restore.requests: {told}" in refused.err


def test_where_nobody_is_told_a_column_of_addresses_is_not_read(
    sandbox: Sandbox, run: Run, sink: MailSink, desk: Path
) -> None:
    desk.write_text(desk.read_text().replace("mail = true", ""))
    entry_id = sandbox.add(State.PLACEHOLDER)
    Path("requests.csv").write_text(f"entry_id,mail\n{entry_id},see Anna\n")
    assert _act(run).outcomes == {entry_id: "done"}
    assert _told(sink) == []


def test_what_failed_at_first_is_told_of_once(sandbox: Sandbox, run: Run, sink: MailSink) -> None:
    entry_id = sandbox.add(State.PLACEHOLDER, tags="back_please", creator_id="ben")
    sandbox.control.add_fault("uploadToken.add", "error", times=10**6)
    assert _act(run).outcomes == {entry_id: "failed"}
    assert _told(sink) == []
    sandbox.control.clear_faults()
    _act(run)
    assert _told(sink) == [("ben@example.edu", "back again")]
    assert _act(run).rows == []
    assert _told(sink) == []


def test_an_owner_without_an_address_is_named_once(sandbox: Sandbox, run: Run, sink: MailSink) -> None:
    entry_id = sandbox.add(State.PLACEHOLDER, tags="back_please", creator_id="carla")
    first = _act(run)
    assert [(row["stage"], row["entry_id"], row["outcome"]) for row in first.rows][1:] == [
        ("notice", entry_id, "refused")
    ]
    assert (_act(run).code, _act(run).rows) == (0, [])
    assert _told(sink) == []


def test_who_is_refused_for_good_is_tried_once(sandbox: Sandbox, run: Run, sink: MailSink) -> None:
    entry_id = sandbox.add(State.PLACEHOLDER, tags="back_please", creator_id="ben")
    sink.on_recipient = lambda address: "450 later"
    assert _act(run).code == 1
    sink.on_recipient = lambda address: "550 no such person"
    again = _act(run)
    assert [(row["stage"], row["entry_id"], row["outcome"]) for row in again.rows] == [("notice", entry_id, "refused")]
    assert "550 no such person" in again.out
    assert (_act(run).code, _act(run).rows) == (0, [])


def test_what_is_back_and_told_of_still_counts_for_the_day(
    sandbox: Sandbox, run: Run, sink: MailSink, desk: Path
) -> None:
    """By the book alone: these runs write no log."""
    desk.write_text(f"{desk.read_text()}[restore.limits]\nentries = 1\n")
    first = sandbox.add(State.PLACEHOLDER, tags="back_please", creator_id="anna")
    assert _act(run).outcomes == {first: "done"}
    assert _told(sink) == [("anna@example.edu", "back again")]
    second = sandbox.add(State.PLACEHOLDER, tags="back_please", creator_id="ben")
    assert _act(run).outcomes == {second: "waiting"}
    sandbox.control.clock.advance(DAY)
    with time_machine.travel(time.time() + DAY):
        assert _act(run).outcomes == {second: "done"}
