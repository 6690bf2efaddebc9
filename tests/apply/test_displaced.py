"""What a restore displaces, or would: never the only form of a video that there is."""

from __future__ import annotations

import hashlib
import math

import pytest
from conftest import Run
from looking import act, assets_of, content_id, do_not_wait, original_of, shown, state_of

from kaltura_archiver.model import State
from kaltura_archiver.sandbox.world import Sandbox

LONG = b"a lecture of an hour and a half " * 4000
NEWER = b"a newer lecture, which is nowhere else " * 3000
POLICY = """
[restore]
played_within = 1
[[rule]]
name = "three years"
select = { unplayed_for = 3 }
archive = {}
replace = { archived_for = "0d" }
"""


def newer_without_source(sandbox: Sandbox, run: Run, state: State | None) -> str:
    """An entry of which a newer video plays, whose source flavor is gone; None: over one that was restored."""
    entry_id = sandbox.add(state or State.PLACEHOLDER, content=LONG, derived=2, duration_ms=5_400_000)
    if state is None:
        assert act(run, "restore", entry_id).outcomes == {entry_id: "done"}
    sandbox.kaltura.replace_original(entry_id, NEWER)
    sandbox.take_original_away(entry_id)
    sandbox.control.clock.advance(86_400)
    return entry_id


def plays(sandbox: Sandbox, entry_id: str) -> dict[int, int]:
    return {number: asset.size_in_bytes for number, asset in assets_of(sandbox, entry_id).items()}


@pytest.mark.parametrize("command", ["replace_video", "thin"])
def test_what_verify_marks_damaged_meanwhile_stops_what_would_take_the_rest(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """The original is gone already: its copy is all that there is but for what plays."""
    do_not_wait(monkeypatch)
    thin = command == "replace_video"
    entry_id = sandbox.add(State.THIN if thin else State.ARCHIVED, content=LONG, derived=3, duration_ms=5_400_000)
    mark = f"suspect/{entry_id}/{hashlib.md5(LONG, usedforsecurity=False).hexdigest()}.damaged"
    moment = "uploadToken.add" if thin else "flavorAsset.delete"
    sandbox.control.add_fault(moment, after=lambda _: sandbox.s3.put(mark, b""))
    before = plays(sandbox, entry_id)
    ran = act(run, command, entry_id)
    assert ran.outcomes == {entry_id: "refused"}
    assert "found the stored copy damaged" in ran.out
    after = plays(sandbox, entry_id)
    assert after == (before if thin else {number: size for number, size in before.items() if number})


@pytest.mark.parametrize("state", [State.PLACEHOLDER, State.THIN, None])
@pytest.mark.parametrize("command", ["run", "repair", "restore", "replace_video"])
def test_a_newer_video_without_source_is_a_persons_to_decide(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path, state: State | None, command: str
) -> None:
    do_not_wait(monkeypatch)
    entry_id = newer_without_source(sandbox, run, state)
    before = plays(sandbox, entry_id)
    if command == "run":
        (tmp_path / "policy.toml").write_text(POLICY)
        ran = run("run", tmp_path / "policy.toml", "--no-dry-run")
    else:
        ran = act(run, command, entry_id)
    assert ran.code == 3
    assert f"perhaps of a newer video; decide which one is to stay: kaltura-archiver resolve {entry_id}" in ran.out
    sandbox.kaltura.settle()
    assert plays(sandbox, entry_id) == before


def test_who_decides_for_the_stored_one_has_what_played_kept(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    do_not_wait(monkeypatch)
    entry_id = newer_without_source(sandbox, run, State.PLACEHOLDER)
    largest = max(assets_of(sandbox, entry_id).values(), key=lambda asset: asset.size_in_bytes)
    size, key = largest.size_in_bytes, f"displaced/{entry_id}/{largest.id}@{largest.version}"
    ran = run("resolve", entry_id, "--keep", "kaltura", "--no-dry-run")
    assert ran.outcomes == {entry_id: "refused"}
    assert "upload the newer video again" in ran.out
    assert run("resolve", entry_id, "--keep", "s3", "--no-dry-run").outcomes == {entry_id: "done"}
    assert shown(sandbox, entry_id) == LONG
    assert len(sandbox.s3.body(key)) == size


def test_a_byte_that_changes_on_its_way_from_kaltura_is_seen_before_the_swap(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is displaced is read a second time: nobody could do so later."""
    do_not_wait(monkeypatch)
    entry_id = sandbox.add(State.DIVERGED)
    theirs, key = shown(sandbox, entry_id), f"displaced/{entry_id}/{content_id(sandbox, entry_id)}"
    sandbox.control.add_fault("file.GET", "flip")
    assert run("resolve", entry_id, "--keep", "s3", "--no-dry-run").outcomes == {entry_id: "done"}
    assert sandbox.s3.body(key) != theirs
    assert sandbox.s3.body(f"{key}.1") == theirs


@pytest.mark.parametrize("command", ["restore", "resolve"])
def test_what_arrived_damaged_is_brought_back_by_the_next_restore(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """Kaltura links its file once more (kaltura-api 10.16), and so it has another version than the one recorded."""
    do_not_wait(monkeypatch)
    monkeypatch.setenv("KALTURA_SETTLE_SECONDS", "0.05")
    sandbox.kaltura.settings.second_link_seconds = math.inf
    sandbox.kaltura.settings.second_link_always = True
    resolve = command == "resolve"
    entry_id = sandbox.add(State.DIVERGED if resolve else State.PLACEHOLDER, content=LONG)
    sandbox.control.add_fault("uploadToken.upload", "flip")
    ran = run(command, entry_id, "--keep", "s3", "--no-dry-run") if resolve else act(run, command, entry_id)
    assert ran.outcomes == {entry_id: "failed"}
    assert "run restore again" in ran.out
    sandbox.kaltura.settle()
    sandbox.kaltura.library.link_again(entry_id)
    sandbox.kaltura.settings.second_link_seconds = 0
    assert state_of(run, entry_id) == "placeholder"
    assert act(run, "restore", entry_id).outcomes == {entry_id: "done"}
    assert shown(sandbox, entry_id) == LONG


def test_without_exact_sizes_a_newer_upload_is_not_taken_for_the_placeholder(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server before 16.9 tells kilobytes only."""
    do_not_wait(monkeypatch)
    entry_id = sandbox.add(State.ARCHIVED)
    assert act(run, "replace_video", entry_id).outcomes == {entry_id: "done"}
    sandbox.kaltura.replace_original(entry_id, NEWER)
    original_of(sandbox, entry_id).size_in_bytes = 0
    assert state_of(run, entry_id) == "diverged"
    assert act(run, "restore", entry_id).outcomes == {entry_id: "refused"}
    assert shown(sandbox, entry_id) == NEWER
