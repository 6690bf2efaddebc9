"""A run by a policy that is killed (SIGKILL) in a swap: the next runs go on, and what somebody asked back stays."""

from __future__ import annotations

from pathlib import Path

import pytest
from looking import shown
from zygote import HANGS_SECONDS, Zygote
from zygote import Run as Process

from kaltura_archiver.model import State
from kaltura_archiver.sandbox.world import Sandbox

POLICY = '[[rule]]\nname = "old"\nselect = { unplayed_for = 3 }\narchive = {}\nreplace = {}\n'
RUN = ("run", "--no-dry-run")


class Runs:
    """Runs of the tool, each a process of its own."""

    def __init__(self, zygote: Zygote, sandbox: Sandbox, folder: Path) -> None:
        self._zygote, self._sandbox, self._folder = zygote, sandbox, folder
        (work := folder / "work").mkdir(parents=True)
        (work / "policy.toml").write_text(POLICY)

    def start(self, *arguments: str) -> Process:
        environ = {**self._sandbox.environ(), "KALTURA_POLL_SECONDS": "0.01", "AWS_EC2_METADATA_DISABLED": "true"}
        return self._zygote.start([*arguments, "--no-lock", "--workers", "1"], environ, self._folder, {})

    def killed(self, *arguments: str, at: str) -> None:
        """Killed while this call is under way."""
        running: list[Process] = []
        self._sandbox.control.add_fault(at, before=lambda _: running[0].kill())
        running.append(self.start(*arguments))
        assert running[0].ended.wait(HANGS_SECONDS)
        assert running[0].code == -9, running[0].err
        self._sandbox.control.clear_faults()
        self._sandbox.kaltura.settle()

    def whole(self, *arguments: str) -> Process:
        process = self.start(*arguments)
        assert process.ended.wait(HANGS_SECONDS)
        assert process.code == 0, process.err
        self._sandbox.kaltura.settle()
        return process


@pytest.fixture
def runs(zygote: Zygote, sandbox: Sandbox, tmp_path: Path) -> Runs:
    return Runs(zygote, sandbox, tmp_path / "runs")


@pytest.mark.parametrize("at", ["media.update", "media.updateContent", "s3.PutObject"])
def test_the_next_runs_go_on(sandbox: Sandbox, runs: Runs, at: str) -> None:
    entry_id = sandbox.add(State.ARCHIVED)
    runs.killed(*RUN, at=at)
    for _ in range(2):  # one that finishes what was begun, one that goes on
        runs.whole(*RUN)
    assert shown(sandbox, entry_id) == sandbox.placeholder
    assert runs.whole(*RUN).out.splitlines()[1:] == []


def test_what_was_asked_back_stays_though_its_restore_was_killed(sandbox: Sandbox, runs: Runs) -> None:
    video = sandbox.video()
    entry_id = sandbox.add(State.PLACEHOLDER, content=video)
    runs.killed("restore", "--id", entry_id, "--no-dry-run", at="media.update")
    assert shown(sandbox, entry_id) == video
    for _ in range(3):
        runs.whole(*RUN)
    assert shown(sandbox, entry_id) == video
