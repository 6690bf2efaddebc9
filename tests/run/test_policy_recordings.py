"""`run` of a recording of several streams: no stage is behind it, and none is due, but with all that goes with it."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from conftest import Run
from looking import do_not_probe, tags_of
from mailsink import MailSink

from kaltura_archiver.cli import policies
from kaltura_archiver.model import ARCHIVED_TAG, REPLACED_TAG, State
from kaltura_archiver.run import notices
from kaltura_archiver.sandbox.world import Sandbox

ARCHIVE = '[[rule]]\nname = "r"\nselect = { unplayed_for = 3 }\narchive = {}\n'
REPLACE = f"{ARCHIVE}replace = {{}}\n"
NOTICE = '[rule.notice]\ngrace = "30d"\nremind = "7d"\ndirectory = "people.csv"\n'
PROMISE = "notice_2026-01-01_d30a5f57_until_2099-12-25"
# What keeps a further stream where it is, of the entry itself or of the settings.
KEPT: dict[str, dict[str, Any]] = {
    "tag": {"tags": "keep"}, "owner": {"creator_id": "dean"}, "promise": {"tags": PROMISE},
}  # fmt: skip


@pytest.fixture(autouse=True)
def sink(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[MailSink]:
    do_not_probe(monkeypatch)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(notices, "PER_MINUTE", 1e6)
    monkeypatch.setenv("KEEP_OWNERS", "dean")
    Path("people.csv").write_text("uid,displayName,ou,mail,ldap_status\nanna,Anna A.,Physics,anna@example.edu,active\n")
    with MailSink() as running:
        for name, value in running.environ(NOTIFY_FROM="Video archive <archive@example.edu>").items():
            monkeypatch.setenv(name, value)
        yield running


def _rule(text: str) -> None:
    Path("policy.toml").write_text(text)


def _recording(sandbox: Sandbox, own: State, other: State, **fields: Any) -> tuple[str, str]:
    """The ids of a recording and of its one further stream, which has these fields."""
    parent = sandbox.add(own, creator_id="anna", tags="lecture")
    return parent, _stream(sandbox, parent, other, **fields)


def _stream(sandbox: Sandbox, parent: str, state: State, **fields: Any) -> str:
    return sandbox.add(state, parent_id=parent, display_in_search=-1, **{"creator_id": "anna", **fields})


def _check(run: Run) -> dict[str, dict[str, str]]:
    return {row["stage"]: row for row in run("run", "--check").rows}


def _explained(run: Run, entry_id: str) -> dict[str, dict[str, str]]:
    return {row["stage"]: row for row in run("run", "--explain", entry_id).rows}


def _listed() -> list[str]:
    tables = [csv.DictReader(table.read_text().splitlines()) for table in Path("lists").glob("*-due-*.csv")]
    return [row["entry_id"] for table in tables for row in table]


def _agree(run: Run, entry_id: str, stage: str, says: str) -> None:
    """That it is left before this stage, whoever tells it; and the next run leaves it there."""
    check, told = _check(run)[stage], _explained(run, entry_id)[stage]
    assert (check["due"], check["left"], check["bytes_freed"]) == ("0", "1", "0")
    assert told["says"] == says, told
    dry, acted = run("run"), run("run", "--no-dry-run")
    assert "would" not in dry.outcomes.values(), dry.out
    assert "policy: 0 entries due" in dry.err
    assert "done" not in acted.outcomes.values(), acted.out
    assert (dry.code, dry.outcomes) == (acted.code, acted.outcomes)


def test_a_stream_that_failed_is_archived_by_the_next_run(sandbox: Sandbox, run: Run) -> None:
    _rule(ARCHIVE)
    parent, stream = _recording(sandbox, State.INITIAL, State.INITIAL)
    sandbox.control.add_fault("s3.PutObject", "error", status=403, code="AccessDenied", subject=stream, times=9)
    assert run("run", "--no-dry-run").outcomes == {stream: "failed", parent: "done"}
    sandbox.control.clear_faults()
    check = _check(run)["archive"]
    assert check["due"] == "1"
    assert int(check["bytes_moved"]) > 0
    told = _explained(run, parent)["archive"]
    assert (told["says"], told["detail"].partition(":")[0]) == ("due", f"{stream}, a further stream")
    assert run("run").outcomes == {stream: "would", parent: "already"}
    acted = run("run", "--no-dry-run")
    assert (acted.code, acted.outcomes) == (0, {stream: "done", parent: "already"})
    assert "policy: 1 entries were due" in acted.err
    assert ARCHIVED_TAG in tags_of(sandbox, stream)
    assert run("run", "--no-dry-run").rows == []


@pytest.mark.parametrize("review", [False, True])
def test_a_stream_that_was_not_archived_is_and_then_all_goes(sandbox: Sandbox, run: Run, review: bool) -> None:
    _rule(REPLACE.replace("archive = {}", "archive = { review = true }") if review else REPLACE)
    parent, stream = _recording(sandbox, State.ARCHIVED, State.INITIAL)
    acted = run("run", "--no-dry-run")
    if review:
        (plan,) = Path("lists").glob("*.jsonl")
        assert acted.code == 3
        assert run("apply", plan, "--no-dry-run").code == 0
        plan.unlink()
        run("run", "--no-dry-run")
    assert all(REPLACED_TAG in tags_of(sandbox, each) for each in (parent, stream)), acted.out


def test_a_stream_that_cannot_be_archived_is_told_each_time(sandbox: Sandbox, run: Run) -> None:
    _rule(REPLACE)
    parent, stream = _recording(sandbox, State.ARCHIVED, State.DIVERGED)
    _agree(run, parent, "archive", "refused")
    assert stream in run("run").rows[0]["detail"]
    assert run("run").code == 3


def test_of_what_is_no_rules_any_more_no_stream_is_archived(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though nothing is to be done to the recording itself."""
    _rule(ARCHIVE)
    parent, stream = _recording(sandbox, State.ARCHIVED, State.INITIAL)
    carry_out = policies.carry_out

    def later(*given: Any) -> None:
        sandbox.kaltura.edit(parent, plays=7, last_played_at=int(sandbox.control.clock.now()))
        carry_out(*given)

    monkeypatch.setattr(policies, "carry_out", later)
    assert run("run", "--no-dry-run").outcomes == {stream: "skipped", parent: "skipped"}


@pytest.mark.parametrize("kept", KEPT)
def test_a_recording_of_which_a_stream_is_kept_is_told_and_left_as_kept(
    sandbox: Sandbox, run: Run, sink: MailSink, kept: str
) -> None:
    parent, stream = _recording(sandbox, State.ARCHIVED, State.ARCHIVED, **KEPT[kept])
    for rule in (REPLACE, REPLACE + NOTICE):
        _rule(rule)
        _agree(run, parent, "replace", "skipped")
        assert stream in _explained(run, parent)["replace"]["detail"]
    assert sink.mail == []
    assert "notice_" not in tags_of(sandbox, parent)


def test_before_it_is_archived_nobody_is_counted_who_will_not_be_told(sandbox: Sandbox, run: Run) -> None:
    _rule(REPLACE + NOTICE)
    _recording(sandbox, State.INITIAL, State.ARCHIVED, tags="keep")
    check = _check(run)
    assert (check["archive"]["due"], check["replace"]["detail"]) == ("1", "nobody to be told")


def test_nobody_is_reminded_of_what_is_kept_since(sandbox: Sandbox, run: Run, sink: MailSink) -> None:
    _rule(REPLACE + NOTICE)
    _, stream = _recording(sandbox, State.ARCHIVED, State.ARCHIVED)
    run("run", "--no-dry-run")
    assert len(sink.mail) == 1
    sandbox.kaltura.edit(stream, tags=f"{ARCHIVED_TAG}, keep")
    with time_machine.travel(sandbox.control.clock.now() + timedelta(days=25).total_seconds()):
        assert run("run", "--no-dry-run").rows == []
    assert len(sink.mail) == 1


def test_a_plan_for_review_has_no_recording_of_which_a_stream_is_kept(sandbox: Sandbox, run: Run) -> None:
    _rule(REPLACE.replace("replace = {}", "replace = { review = true }"))
    parent, _ = _recording(sandbox, State.ARCHIVED, State.ARCHIVED, tags="keep")
    assert run("run", "--no-dry-run").code == 0
    assert not list(Path("lists").glob("*.jsonl"))
    single = sandbox.add(State.ARCHIVED)
    assert run("run", "--no-dry-run").code == 3
    (plan,) = Path("lists").glob("*.jsonl")
    assert parent not in plan.read_text()
    applied = run("apply", plan, "--no-dry-run")
    assert (applied.code, applied.outcomes) == (0, {single: "done"}), applied.err


@pytest.mark.parametrize("kept", [*KEPT, "thaws"])
def test_what_may_be_deleted_has_no_recording_of_which_a_stream_stays(sandbox: Sandbox, run: Run, kept: str) -> None:
    _rule(f"{REPLACE}due = {{ created_before = 4 }}\n")
    parent, stream = _recording(
        sandbox, State.PLACEHOLDER, State.PLACEHOLDER, **KEPT.get(kept, {"storage_class": "GLACIER"})
    )
    other, _ = _recording(sandbox, State.PLACEHOLDER, State.PLACEHOLDER)
    if kept == "thaws":
        assert run("restore", "--id", parent, "--no-dry-run").outcomes == {parent: "waiting", stream: "waiting"}
    told = _explained(run, parent)["due"]
    assert (told["says"], stream in told["detail"]) == ("skipped", True)
    assert (_check(run)["due"]["due"], _check(run)["due"]["left"]) == ("1", "1")
    run("run", "--no-dry-run")
    assert _listed() == [other]


def test_what_a_restore_brought_back_in_part_is_for_a_person(sandbox: Sandbox, run: Run) -> None:
    """Whether the rest comes back, or all goes again, no clock says; and it is on no list."""
    _rule(f"{REPLACE}due = {{ created_before = 4 }}\n")
    parent, stream = _recording(sandbox, State.PLACEHOLDER, State.ARCHIVED)
    _agree(run, parent, "replace", "waiting")
    assert f"its further stream {stream} is archived" in _explained(run, parent)["replace"]["detail"]
    assert run("run", "--no-dry-run").code == 3
    assert _listed() == []
    assert REPLACED_TAG not in tags_of(sandbox, stream)


def test_a_stream_whose_swap_was_cut_short_is_repaired_first(sandbox: Sandbox, run: Run, sink: MailSink) -> None:
    _rule(REPLACE + NOTICE)
    parent, stream = _recording(sandbox, State.ARCHIVED, State.UNSETTLED)
    assert "a repair comes first" in _explained(run, parent)["archive"]["detail"]
    acted = run("run", "--no-dry-run")
    assert [row["stage"] for row in acted.rows if row["entry_id"] == stream] == ["repair"], acted.out
    assert sink.mail == []


def test_streams_that_are_not_understood_keep_a_recording(sandbox: Sandbox, run: Run, sink: MailSink) -> None:
    _rule(REPLACE + NOTICE)
    parent, stream = _recording(sandbox, State.ARCHIVED, State.ARCHIVED)
    _stream(sandbox, stream, State.ARCHIVED)
    _agree(run, parent, "replace", "refused")
    assert sink.mail == []


def test_a_stream_is_told_of_as_its_parents(sandbox: Sandbox, run: Run) -> None:
    _rule(REPLACE.replace("unplayed_for = 3", "created_before = 3"))
    parent, stream = _recording(sandbox, State.ARCHIVED, State.ARCHIVED)
    told = _explained(run, stream)
    assert "due" not in {row["says"] for row in told.values()}
    assert any(parent in row["detail"] for row in told.values()), told


def test_a_replacement_that_stopped_between_streams_is_told_until_somebody_goes_on(sandbox: Sandbox, run: Run) -> None:
    """A repair has nothing to do about it, and leaves the tag by which it is found."""
    _rule(REPLACE)
    parent, first = _recording(sandbox, State.ARCHIVED, State.ARCHIVED)
    second = _stream(sandbox, parent, State.ARCHIVED)
    sandbox.control.add_fault("media.updateContent", "error", subject=second, code="X", times=1)
    assert run("run", "--no-dry-run").outcomes == {first: "done", second: "failed", parent: "waiting"}
    _agree(run, parent, "replace", "waiting")
    told = run("run", "--no-dry-run")
    assert (told.code, told.outcomes) == (3, {parent: "waiting"})
    assert f"replaced already: {first}; replace_video --id {parent} goes on" in told.out
    went_on = run("replace_video", "--id", parent, "--unplayed-for", "3", "--no-dry-run")
    assert (went_on.code, went_on.outcomes) == (0, {first: "already", second: "done", parent: "done"})
    assert run("run", "--no-dry-run").rows == []
