"""`apply` killed in the middle (SIGKILL), and given again with the same plan: what it did itself is no drift."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from looking import assert_nothing_left, shown, tags_of
from zygote import HANGS_SECONDS, Zygote
from zygote import Run as Process

from kaltura_archiver.model import REPLACED_TAG, State
from kaltura_archiver.sandbox.world import Sandbox

START = {"archive": State.INITIAL, "replace": State.ARCHIVED, "restore": State.PLACEHOLDER}
COMMAND = {"archive": "s3copy", "replace": "replace_video", "restore": "restore"}
Start = Callable[..., Process]


@pytest.fixture
def start(zygote: Zygote, sandbox: Sandbox, tmp_path: Path) -> Start:
    """Start the tool as a process of its own."""
    folder = tmp_path / "runs"
    environ = {**sandbox.environ(), "KALTURA_POLL_SECONDS": "0.01", "AWS_EC2_METADATA_DISABLED": "true"}
    return lambda *arguments: zygote.start([str(word) for word in arguments], environ, folder, {})


def ended(process: Process) -> dict[str, str]:
    """Entry id to outcome of a process that has ended well."""
    assert process.ended.wait(HANGS_SECONDS)
    assert process.code == 0, process.err
    rows = [line.split("\t") for line in process.out.splitlines()[1:]]
    return {row[0]: row[2] for row in rows}


@pytest.mark.parametrize(
    ("action", "call", "when", "in_place"),
    [
        ("archive", "s3.PutObjectTagging", "before", False),
        ("archive", "media.update", "after", False),
        ("replace", "media.update", "after", False),
        ("replace", "media.updateContent", "after", False),
        ("replace", "media.addContent", "before", True),
        ("restore", "media.updateContent", "after", False),
        ("restore", "media.addContent", "after", True),
    ],
)
def test_what_a_killed_apply_has_done_is_no_drift_for_the_next(
    sandbox: Sandbox, start: Start, action: str, call: str, when: str, in_place: bool
) -> None:
    sandbox.kaltura.settings.entry_replacement = not in_place
    videos = {}
    for number in range(3):
        video = sandbox.video()
        videos[sandbox.add(START[action], content=video, age_years=9 - number, tags="lecture")] = video
    option = ["--allow-in-place"] if in_place else []
    assert start("plan", action, "--all", "-o", "plan.jsonl", *option).ended.wait(HANGS_SECONDS)
    sandbox.control.clear_log()
    running: list[Process] = []
    begun = threading.Event()

    def kill(_: object) -> None:
        assert begun.wait(HANGS_SECONDS)
        running[0].kill()

    sandbox.control.add_fault(call, skip=1, **{when: kill})  # of the second entry
    running.append(start("apply", "plan.jsonl", "--no-dry-run", "--workers", 1, "--no-lock", "--no-run-log"))
    begun.set()
    assert running[0].ended.wait(HANGS_SECONDS)
    assert running[0].code == -9, running[0].err
    sandbox.kaltura.settle()

    again = ["apply", "plan.jsonl", "--no-dry-run", "--max-drift", 0, "--no-lock", "--no-run-log"]
    outcomes = ended(start(*again))
    assert set(outcomes) == set(videos)
    assert set(outcomes.values()) <= {"done", "already"}
    assert ended(start(*again)) == dict.fromkeys(videos, "already")
    for entry_id, video in videos.items():
        assert shown(sandbox, entry_id) == (sandbox.placeholder if action == "replace" else video)
        assert sandbox.s3.body(entry_id) == video
        tags = tags_of(sandbox, entry_id).split(", ")
        assert "lecture" in tags
        assert "archived_to_s3" in tags
        assert (REPLACED_TAG in tags) == (action == "replace")
    assert_nothing_left(sandbox)
