"""What was brought back stays, and only what was asked for comes back: a restore counts as a play."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from conftest import Run
from looking import shown, state_of

from kaltura_archiver.errors import EntryFailed
from kaltura_archiver.model import State
from kaltura_archiver.sandbox.world import Sandbox

ACT = "--no-dry-run"
DAY = 86400


def brought_back(sandbox: Sandbox, run: Run) -> str:
    """An entry that was replaced long ago, and restored by its id: nobody played it."""
    entry_id = sandbox.add(State.PLACEHOLDER, last_played_at=None, plays=0)
    assert run("restore", "--id", entry_id, ACT).outcomes == {entry_id: "done"}
    return entry_id


@pytest.mark.parametrize(
    "selection", [("--unplayed-for", 3), ("--plays", 1), ("--plays", 0, "--unplayed-for", 3), ("--unplayed-for", 0.001)]
)
def test_what_the_help_desk_brought_back_is_no_placeholder_the_next_night(
    sandbox: Sandbox, run: Run, selection: tuple[object, ...]
) -> None:
    entry_id = brought_back(sandbox, run)
    ran = run("replace_video", "--tag", "archived_to_s3", *selection, ACT)
    assert (ran.code, ran.outcomes) == (0, {entry_id: "skipped"}), ran.err
    assert "which counts as a play" in ran.out
    plan = run("plan", "replace", "--tag", "archived_to_s3", *selection, "-o", "-")
    assert "which counts as a play" in plan.out
    # By its own id, a person asks for it.
    assert run("replace_video", "--id", entry_id).outcomes == {entry_id: "would"}


@pytest.mark.parametrize("told", ["yesterday", "", "2026-11-25", "2026-11-25T10:00:00"])
def test_a_restore_whose_time_cannot_be_read_counts_as_one_of_now(sandbox: Sandbox, run: Run, told: str) -> None:
    entry_id = sandbox.add(State.ARCHIVED, last_played_at=None, plays=0)
    sandbox.s3.set_tags(entry_id, sandbox.s3.tags(entry_id) | {"restored-at": told})
    ran = run("replace_video", "--tag", "archived_to_s3", "--unplayed-for", 3, ACT)
    assert ran.outcomes == {entry_id: "skipped"}
    assert "restored on a day that cannot be read, which counts as a play" in ran.out


def test_a_restore_between_a_plan_and_its_use_is_heeded(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add(State.ARCHIVED, last_played_at=None, plays=0)
    assert run("plan", "replace", "--unplayed-for", 3, "-o", "plan.jsonl").code == 0
    body, tags = sandbox.s3.body(entry_id), sandbox.s3.tags(entry_id)
    assert body is not None
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    sandbox.s3.put(entry_id, body, tags=tags | {"restored-at": now})
    video = shown(sandbox, entry_id)
    ran = run("apply", Path("plan.jsonl"), ACT, "--max-drift", 1)
    assert ran.outcomes == {entry_id: "drifted"}, ran.err
    assert shown(sandbox, entry_id) == video


def test_only_what_was_played_since_it_was_replaced_comes_back(sandbox: Sandbox, run: Run) -> None:
    played_before = sandbox.add(State.ARCHIVED, last_played_at=time.time() - 30 * DAY, plays=9)
    played_after = sandbox.add(State.ARCHIVED, last_played_at=time.time() - 30 * DAY, plays=9)
    ids = ("--id", played_before, "--id", played_after)
    assert set(run("replace_video", *ids, ACT).outcomes.values()) == {"done"}
    sandbox.kaltura.edit(played_after, last_played_at=int(time.time()), plays=10)
    ran = run("restore", "--tag", "flavors_deleted", "--played-within", 1, ACT)
    assert ran.outcomes == {played_before: "skipped", played_after: "done"}, ran.err
    assert "not played since it was replaced" in ran.out
    assert state_of(run, played_before) == "placeholder"
    # Who names it wants it.
    assert run("restore", "--id", played_before, ACT).outcomes == {played_before: "done"}


def test_where_it_is_not_known_when_it_was_replaced_any_play_counts(sandbox: Sandbox, run: Run) -> None:
    """What the old tool, or an earlier version of this one, has replaced."""
    entry_id = sandbox.add(State.PLACEHOLDER, last_played_at=time.time() - 30 * DAY, plays=9)
    assert run("restore", "--tag", "flavors_deleted", "--played-within", 1).outcomes == {entry_id: "would"}


def test_a_restore_outlasts_a_notice(sandbox: Sandbox, run: Run) -> None:
    entry_id = brought_back(sandbox, run)
    day = datetime.fromtimestamp(time.time() - 40 * DAY, UTC).date()
    sandbox.kaltura.edit(entry_id, tags=f"archived_to_s3, notice_{day}")
    ran = run("replace_video", "--id", entry_id, "--noticed-before", "30d", ACT)
    assert ran.outcomes == {entry_id: "skipped"}
    assert f"restored since the notice of {day}" in ran.out


def test_a_restore_that_was_cut_before_its_last_tag_is_finished_and_not_undone(sandbox: Sandbox, run: Run) -> None:
    entry_id = brought_back(sandbox, run)
    sandbox.kaltura.edit(entry_id, tags="archived_to_s3, flavors_deleted")
    assert run("replace_video", "--id", entry_id, ACT).outcomes == {entry_id: "skipped"}
    assert run("restore", "--id", entry_id, ACT).outcomes == {entry_id: "done"}
    assert state_of(run, entry_id) == "archived"


@pytest.mark.parametrize("way", [("upload",), ("url",), ("upload", "--timeout", "0s")], ids=" ".join)
@pytest.mark.parametrize("finish", ["restore", "repair"])
def test_a_restore_that_was_cut_before_it_was_recorded_counts_from_when_it_is_finished(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch, finish: str, way: tuple[str, ...]
) -> None:
    entry_id = sandbox.add(State.ARCHIVED, last_played_at=None, plays=0)
    assert run("replace_video", "--id", entry_id, ACT).outcomes == {entry_id: "done"}

    def cut(*_: object) -> None:
        raise EntryFailed("cut")

    with monkeypatch.context() as patch:
        patch.setattr("kaltura_archiver.apply.restore.settled_original", cut)
        assert run("restore", "--id", entry_id, "--via", *way, ACT).outcomes != {entry_id: "done"}
    assert "restored-at" not in sandbox.s3.tags(entry_id)
    sandbox.kaltura.settle()  # what is still being converted would have to be waited for
    assert run(finish, "--id", entry_id, ACT).outcomes == {entry_id: "done"}
    assert state_of(run, entry_id) == "archived"
    tags = sandbox.s3.tags(entry_id)
    assert ("restored-at" in tags, "placeholder" in tags, "replaced-at" in tags) == (True, False, False)
    ran = run("replace_video", "--tag", "archived_to_s3", "--unplayed-for", 3, ACT)
    assert ran.outcomes == {entry_id: "skipped"}
    assert "which counts as a play" in ran.out


def test_a_replacement_that_was_cut_and_repaired_is_no_restore(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add(State.ARCHIVED, last_played_at=None, plays=0)
    sandbox.kaltura.edit(entry_id, tags="archived_to_s3, flavors_deleted")
    assert run("repair", "--id", entry_id, ACT).outcomes == {entry_id: "done"}
    assert "restored-at" not in sandbox.s3.tags(entry_id)
    assert run("replace_video", "--unplayed-for", 3).outcomes == {entry_id: "would"}
