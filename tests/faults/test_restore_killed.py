"""A restore of what the old tool replaced, killed (SIGKILL) after each of its writes: the next one brings all back.

What a server holds after one write is what it holds before the next one.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from looking import assert_nothing_left, shown, tags_of
from old_library import OldLibrary, frame
from zygote import HANGS_SECONDS, Zygote
from zygote import Run as Process

from kaltura_archiver.model import ARCHIVED_TAG
from kaltura_archiver.sandbox.control import Request
from kaltura_archiver.sandbox.world import Sandbox

OPTIONS = ("--no-dry-run", "--allow-in-place", "--no-lock", "--no-run-log")


@pytest.fixture
def start(zygote: Zygote, sandbox: Sandbox, tmp_path: Path) -> Callable[[str], Process]:
    """Start a restore of this entry as a process of its own."""
    environ = {**sandbox.environ(), "KALTURA_POLL_SECONDS": "0.01", "AWS_EC2_METADATA_DISABLED": "true"}
    return lambda entry_id: zygote.start(["restore", "--id", entry_id, *OPTIONS], environ, tmp_path / "runs", {})


@pytest.mark.parametrize("swaps", [True, False])
def test_a_killed_restore_is_gone_on_with_to_the_last_picture(
    sandbox: Sandbox, start: Callable[[str], Process], swaps: bool
) -> None:
    sandbox.kaltura.settings.entry_replacement = swaps
    old = OldLibrary(sandbox)
    seen: list[Request] = []
    running: list[Process] = []
    at = 0  # which write the process is killed after; 0 for none

    def write(request: Request) -> None:
        if request.writes and not request.operation.startswith(("session.", "appToken.")):
            seen.append(request)
            if len(seen) == at:
                running[0].kill()

    for at in range(100):
        left = old.replaced(storage_class="STANDARD")
        seen.clear()
        sandbox.control.clear_faults()
        sandbox.control.add_fault("*", times=10**6, after=write)
        running[:] = [start(left.id)]
        assert running[0].ended.wait(HANGS_SECONDS)
        was_killed = running[0].code == -9
        if was_killed:
            sandbox.control.clear_faults()
            sandbox.kaltura.settle()
            again = start(left.id)
            assert again.ended.wait(HANGS_SECONDS)
            assert again.code == 0, (at, seen[-1].operation, again.err)
        assert shown(sandbox, left.id) == left.videos[0], at
        assert tags_of(sandbox, left.id) == f"lecture, {ARCHIVED_TAG}"
        assert sandbox.kaltura.picture(left.id) == frame(left.videos[0]), (at, seen[-1].operation)
        assert "picture" not in sandbox.s3.tags(left.id)
        if at and not was_killed:
            break
    assert at > (6 if swaps else 10)
    sandbox.control.clear_faults()
    assert_nothing_left(sandbox)
