"""A replacement that went on when its run ended is not let through where the placeholder must not come any more."""

from __future__ import annotations

import hashlib

import pytest
from conftest import Run
from looking import act, assets_of, do_not_wait, original_of, shown, somebody_replaces, state_of, tags_of

from kaltura_archiver.model import REPLACED_TAG, State
from kaltura_archiver.sandbox.world import Sandbox

WHY = {
    "kept": "it is kept: tagged keep",
    "gone": "S3 has no copy of it",
    "damaged": "verify found the stored copy damaged",
    "overwritten": "the object was overwritten",
}


@pytest.mark.parametrize("command", ["replace_video", "repair", "restore"])
@pytest.mark.parametrize("what", WHY)
def test_what_must_not_come_any_more_is_cancelled(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch, what: str, command: str
) -> None:
    do_not_wait(monkeypatch)
    entry_id = sandbox.add(State.ARCHIVED, tags="lecture")
    video = shown(sandbox, entry_id)
    sandbox.kaltura.settings.hold_jobs = True
    assert act(run, "replace_video", entry_id, "--timeout", "0.1").outcomes == {entry_id: "waiting"}
    body = sandbox.s3.body(entry_id)
    if what == "kept":
        sandbox.kaltura.edit(entry_id, tags=f"{tags_of(sandbox, entry_id)}, keep")
    elif what == "gone":
        sandbox.s3.client().delete_object(Bucket=sandbox.s3.bucket, Key=entry_id)
        assert state_of(run, entry_id) == "busy"  # and not lost: the original is there
    elif what == "damaged":
        sandbox.s3.put(f"suspect/{entry_id}/{hashlib.md5(body, usedforsecurity=False).hexdigest()}.damaged", b"")
    else:
        sandbox.s3.put(entry_id, body[:-1] + b"?", tags=sandbox.s3.tags(entry_id))
    ran = act(run, command, entry_id, "--timeout", "0.1")
    assert ran.outcomes == {entry_id: "refused" if what == "kept" else "failed"}
    assert "that was cancelled, what was there is in place" in ran.out
    assert WHY[what] in ran.out
    sandbox.kaltura.settings.hold_jobs = False
    sandbox.kaltura.settle()
    assert shown(sandbox, entry_id) == video
    assert REPLACED_TAG not in tags_of(sandbox, entry_id)


def test_what_plays_without_its_original_stays_too(sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    do_not_wait(monkeypatch)
    entry_id = sandbox.add(State.THIN, content=b"a lecture of an hour and a half " * 4000, duration_ms=5_400_000)
    before = set(assets_of(sandbox, entry_id))
    sandbox.kaltura.settings.hold_jobs = True
    assert act(run, "replace_video", entry_id, "--timeout", "0.1").outcomes == {entry_id: "waiting"}
    sandbox.kaltura.edit(entry_id, tags=f"{tags_of(sandbox, entry_id)}, keep")
    ran = act(run, "repair", entry_id, "--timeout", "0.1")
    assert ran.outcomes == {entry_id: "refused"}, ran.out
    assert "that was cancelled, what was there is in place" in ran.out
    sandbox.kaltura.settings.hold_jobs = False
    sandbox.kaltura.settle()
    assert set(assets_of(sandbox, entry_id)) == before
    assert state_of(run, entry_id) == "thin"


def test_what_somebody_began_in_place_of_ours_is_not_approved(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--approve is about ours."""
    do_not_wait(monkeypatch)
    entry_id = sandbox.add(State.ARCHIVED)
    video = shown(sandbox, entry_id)
    sandbox.kaltura.settings.replacement_approval = True
    sandbox.kaltura.settings.conversion_seconds = 0.3
    theirs: list[bytes] = []

    def person(_: object) -> None:
        if not theirs:
            theirs.append(b"an upload that a moderator has to look at " * 500)
            library = sandbox.kaltura.library
            with library.lock:
                library.cancel_replacement(library.entries[entry_id])
            somebody_replaces(sandbox, entry_id, theirs[0])

    sandbox.control.add_fault("media.updateContent", after=person)
    ran = act(run, "replace_video", entry_id, "--approve", "--timeout", "20")
    assert "and ours is over: wait for theirs" in ran.out
    assert [r.operation for r in sandbox.control.writes() if "Replace" in r.operation] == []
    assert shown(sandbox, entry_id) == video


def test_a_profile_that_keeps_no_source_is_named_and_the_tag_stays(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    do_not_wait(monkeypatch)
    entry_id = sandbox.add(State.ARCHIVED, derived=2)
    sandbox.kaltura.settings.keep_source = False
    ran = act(run, "replace_video", entry_id, "--timeout", "20")
    assert ran.outcomes == {entry_id: "failed"}
    assert "Kaltura keeps no original of what came" in ran.out
    assert REPLACED_TAG in tags_of(sandbox, entry_id)


def test_what_somebody_replaces_is_not_ours_where_neither_size_is_known(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no copy to compare with, and a server before 16.9 tells no exact size."""
    do_not_wait(monkeypatch)
    entry_id = sandbox.add(State.ARCHIVED, tags="lecture")
    sandbox.kaltura.edit(entry_id, tags=f"{tags_of(sandbox, entry_id)}, {REPLACED_TAG}")
    sandbox.s3.client().delete_object(Bucket=sandbox.s3.bucket, Key=entry_id)
    sandbox.kaltura.settings.replacement_approval = True
    somebody_replaces(sandbox, entry_id, b"an upload that a moderator has to look at " * 500)
    sandbox.kaltura.settle()
    temporary = sandbox.kaltura.entries[entry_id].replacing_entry_id
    original_of(sandbox, temporary).size_in_bytes = 0
    ran = act(run, "repair", entry_id, "--approve", "--timeout", "1")
    assert ran.outcomes == {entry_id: "waiting"}
    assert "not known to be ours" in ran.out
    assert [r.operation for r in sandbox.control.writes() if "Replace" in r.operation] == []
