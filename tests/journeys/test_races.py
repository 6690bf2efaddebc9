"""A second author, and signals: a race is settled for the person, a run that is cut leaves a named state (design 5)."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest
from looking import (
    GOAL,
    START,
    Run,
    assert_goal,
    assert_nothing_left,
    big,
    do_not_wait,
    shown,
    somebody_replaces,
    state_of,
    tags_of,
    writes,
)

from kaltura_archiver.model import ARCHIVED_TAG, State
from kaltura_archiver.sandbox.world import Sandbox


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    do_not_wait(monkeypatch)


def _delete(sandbox: Sandbox, entry_id: str) -> None:
    library = sandbox.kaltura.library
    with library.lock:
        library.delete_entry(library.entries[entry_id])


AUTHORS: dict[str, Callable[[Sandbox, str], object]] = {
    "tags": lambda sandbox, entry_id: sandbox.kaltura.edit(
        entry_id, tags=f"{sandbox.kaltura.entries[entry_id].tags}, keep this"
    ),
    "video": lambda sandbox, entry_id: sandbox.kaltura.replace_original(entry_id, b"a newer lecture" * 500),
    "deletion": _delete,
    "recycling": lambda sandbox, entry_id: sandbox.kaltura.edit(entry_id, display_in_search=-2),
    "replacement": lambda sandbox, entry_id: somebody_replaces(sandbox, entry_id, b"a newer lecture" * 500),
}


@pytest.mark.parametrize("change", AUTHORS)
@pytest.mark.parametrize("command", ["replace_video", "restore"])
def test_what_a_person_does_while_we_upload_stands(sandbox: Sandbox, run: Run, command: str, change: str) -> None:
    entry_id = sandbox.add(START[command], tags="lecture")
    before = shown(sandbox, entry_id)
    tags = tags_of(sandbox, entry_id)
    stored = sandbox.s3.body(entry_id)
    sandbox.kaltura.settings.conversion_seconds = 3600  # of somebody's replacement
    sandbox.control.add_fault("uploadToken.upload", after=lambda _: AUTHORS[change](sandbox, entry_id))
    ran = run(command, "--id", entry_id, "--no-dry-run", "--timeout", "0.05")
    assert (ran.code, ran.outcomes) == (1, {entry_id: "failed"}), ran.err
    assert "meanwhile" in ran.out or "is gone" in ran.out
    assert writes(sandbox, "media.updateContent") == []
    assert writes(sandbox, "media.cancelReplace") == []
    assert_nothing_left(sandbox)
    entry = sandbox.kaltura.entries[entry_id]
    sandbox.kaltura.settle()
    if change == "deletion":
        assert entry.deleted
    else:
        assert set(entry.tags.split(", ")) == set(tags.split(", ")) | ({"keep this"} if change == "tags" else set())
        newer = change in ("video", "replacement")
        assert shown(sandbox, entry_id) == (b"a newer lecture" * 500 if newer else before)
    assert sandbox.s3.body(entry_id) == stored


@pytest.mark.parametrize("command", ["replace_video", "restore"])
def test_a_deletion_in_the_very_last_moment_stands(sandbox: Sandbox, run: Run, command: str) -> None:
    entry_id = sandbox.add(START[command])
    stored = sandbox.s3.body(entry_id)
    sandbox.control.add_fault("media.updateContent", before=lambda _: _delete(sandbox, entry_id))
    ran = run(command, "--id", entry_id, "--no-dry-run")
    assert (ran.code, ran.outcomes) == (1, {entry_id: "failed"}), ran.err
    assert sandbox.kaltura.entries[entry_id].deleted
    assert sandbox.s3.body(entry_id) == stored
    assert_nothing_left(sandbox)


@pytest.mark.parametrize("command", ["s3copy", "replace_video", "restore"])
def test_a_tag_added_in_the_very_last_moment_is_kept(sandbox: Sandbox, run: Run, command: str) -> None:
    entry_id = sandbox.add(START[command], tags="lecture")
    moment = "s3.PutObjectTagging" if command == "s3copy" else "media.updateContent"
    sandbox.control.add_fault(moment, after=lambda _: AUTHORS["tags"](sandbox, entry_id))
    ran = run(command, "--id", entry_id, "--no-dry-run")
    assert ran.outcomes == {entry_id: "done"}, ran.err
    assert {"lecture", "keep this"} < set(tags_of(sandbox, entry_id).split(", "))
    assert state_of(run, entry_id) == GOAL[command]


def test_a_video_replaced_while_it_is_copied_is_not_archived_under_its_name(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add(State.INITIAL)
    newer = b"a newer lecture" * 500
    sandbox.control.add_fault("file.GET", after=lambda _: sandbox.kaltura.replace_original(entry_id, newer))
    ran = run("s3copy", "--id", entry_id, "--no-dry-run")
    assert (ran.code, ran.outcomes) == (1, {entry_id: "failed"})
    assert sandbox.s3.keys() == []
    assert run("s3copy", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "done"}
    assert sandbox.s3.body(entry_id) == newer


def test_a_copy_archived_meanwhile_is_never_overwritten(sandbox: Sandbox, run: Run) -> None:
    """design.md 3: If-None-Match; somebody (an older tool, another run) was faster."""
    for mebibytes in (0, 17):
        entry_id = sandbox.add(State.INITIAL, content=random.Random(mebibytes).randbytes((mebibytes << 20) + 9_999))
        theirs = b"what somebody else stored under this key"
        sandbox.control.add_fault(
            "s3.PutObject" if not mebibytes else "s3.CompleteMultipartUpload",
            "none",
            before=lambda _, entry_id=entry_id, theirs=theirs: sandbox.s3.put(entry_id, theirs),
        )
        ran = run("s3copy", "--id", entry_id, "--no-dry-run")
        assert (ran.code, ran.outcomes) == (1, {entry_id: "failed"})
        assert "exists already; it is never overwritten" in ran.err
        assert sandbox.s3.body(entry_id) == theirs
        assert sandbox.s3.uploads() == []


def test_a_copy_that_s3_only_says_it_has_is_not_believed(sandbox: Sandbox, run: Run) -> None:
    """HeadObject after the upload: S3 took the bytes, and what is there a moment later is nothing, or other bytes."""
    client = sandbox.s3.client()
    for mebibytes, instead in ((0, None), (17, None), (0, b"cut"), (17, b"cut")):
        entry_id = sandbox.add(State.INITIAL, content=random.Random(mebibytes).randbytes((mebibytes << 20) + 9_999))

        def harm(_: object, entry_id: str = entry_id, instead: bytes | None = instead) -> None:
            client.delete_object(Bucket=sandbox.s3.bucket, Key=entry_id)
            if instead:
                sandbox.s3.put(entry_id, instead)

        sandbox.control.add_fault(f"s3.{'CompleteMultipartUpload' if mebibytes else 'PutObject'}", "none", after=harm)
        ran = run("s3copy", "--id", entry_id, "--no-dry-run")
        assert (ran.code, ran.outcomes) == (1, {entry_id: "failed"})
        assert "S3 does not show the object as it was written; the entry is not tagged" in ran.err
        assert tags_of(sandbox, entry_id) == ""


def test_a_stored_copy_that_disappears_before_the_swap_keeps_the_original(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add(State.ARCHIVED)
    video = shown(sandbox, entry_id)
    client = sandbox.s3.client()
    sandbox.control.add_fault(
        "media.update", after=lambda _: client.delete_object(Bucket=sandbox.s3.bucket, Key=entry_id)
    )
    ran = run("replace_video", "--id", entry_id, "--no-dry-run")
    assert (ran.code, ran.outcomes) == (1, {entry_id: "failed"})
    assert writes(sandbox, "media.updateContent") == []
    assert shown(sandbox, entry_id) == video
    assert tags_of(sandbox, entry_id) == ARCHIVED_TAG
    assert_nothing_left(sandbox)


# Interruption


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.parametrize("command", ["replace_video", "restore"])
def test_a_signal_during_a_wait_ends_the_run_soon_and_the_next_one_completes_it(
    sandbox: Sandbox, run: Run, command: str, number: signal.Signals, code: int
) -> None:
    video = sandbox.video()
    entry_id = sandbox.add(START[command], content=video)
    sandbox.kaltura.settings.conversion_seconds = 3600
    waiting = threading.Event()
    # Two looks after the swap began: the process is in its wait.
    sandbox.control.add_fault("media.updateContent", after=lambda _: looks())

    def looks() -> None:
        sandbox.control.add_fault("media.get", subject=entry_id, skip=1, after=lambda _: waiting.set())

    with subprocess.Popen(
        [sys.executable, "-m", "kaltura_archiver", command, "--id", entry_id, "--no-dry-run"],
        env={**os.environ, **sandbox.environ()},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert waiting.wait(20)
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
    assert process.returncode == code, err
    assert f"{entry_id}\t{START[command]}\tinterrupted" in out
    assert "Traceback" not in err
    assert state_of(run, entry_id) == "busy"
    assert_nothing_left(sandbox)
    sandbox.control.add_fault("media.get", subject=entry_id, skip=3, after=lambda _: sandbox.kaltura.settle())
    assert run(command, "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "done"}
    assert len(sandbox.control.requests("media.updateContent")) == 1
    assert_goal(sandbox, run, command, entry_id, video)


def test_a_signal_during_a_copy_leaves_no_half_object(sandbox: Sandbox, run: Run) -> None:
    video = big(sandbox, 20)
    entry_id = sandbox.add(State.INITIAL, content=video)
    second = sandbox.add(State.INITIAL)
    copying = threading.Event()
    sandbox.control.add_fault("s3.UploadPart", "delay", seconds=0.5, times=3, before=lambda _: copying.set())
    arguments = ["s3copy", "--id", entry_id, "--id", second, "--workers", "1", "--no-dry-run"]
    with subprocess.Popen(
        [sys.executable, "-m", "kaltura_archiver", *arguments],
        env={**os.environ, **sandbox.environ()},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert copying.wait(20)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=20)
    assert process.returncode == 143, err
    assert "asked to stop" in err
    assert second not in out
    # The entry in hand was finished, or left as it was; the other was not begun.
    assert state_of(run, entry_id) in ("initial", "untagged", "archived")
    assert state_of(run, second) == "initial"
    assert_nothing_left(sandbox)
    ran = run("s3copy", "--id", entry_id, "--id", second, "--no-dry-run")
    assert ran.code == 0, ran.err
    assert sandbox.s3.body(entry_id) == video


def test_a_replacement_that_began_where_our_call_was_lost_is_not_taken_for_ours(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be approved, or cancelled where something keeps the entry: and it is somebody's upload."""
    do_not_wait(monkeypatch)
    sandbox.kaltura.settings.conversion_seconds = 3600
    entry_id, newer = sandbox.add(State.ARCHIVED), b"newer" * 500
    sandbox.control.add_fault(
        "media.updateContent", "drop_before", before=lambda _: somebody_replaces(sandbox, entry_id, newer)
    )
    ran = run("replace_video", "--id", entry_id, "--approve", "--no-dry-run")
    assert ran.outcomes == {entry_id: "failed"}
    assert "ours did not begin: wait for theirs" in ran.err
    assert tags_of(sandbox, entry_id) == ARCHIVED_TAG
    sandbox.control.clock.advance(3601)
    sandbox.kaltura.settle()
    assert shown(sandbox, entry_id) == newer
