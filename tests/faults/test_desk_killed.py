"""A restore desk whose run is killed (SIGKILL) behind a request: the next one keeps the limits of the day."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from zygote import HANGS_SECONDS, Zygote
from zygote import Run as Process

from kaltura_archiver.model import State
from kaltura_archiver.run.desk_book import PREFIX
from kaltura_archiver.sandbox.control import Request
from kaltura_archiver.sandbox.world import Sandbox

POLICY = '[restore]\nrequests = "asked.txt"\ntier = "expedited"\n[restore.limits]\n'


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    zygote = Zygote()
    yield zygote
    zygote.close()


@pytest.fixture
def start(zygote: Zygote, sandbox: Sandbox, tmp_path: Path) -> Callable[[], Process]:
    """Start a run by the policy as a process of its own."""
    environ = {**sandbox.environ(), "KALTURA_POLL_SECONDS": "0.01", "AWS_EC2_METADATA_DISABLED": "true"}
    arguments = ["run", "--part", "restore", "--no-dry-run", "--no-lock", "--workers", "1"]
    return lambda: zygote.start(arguments, environ, tmp_path / "runs", {})


@pytest.mark.parametrize("limit", ["entries = 1", "bytes = 7000", "per_owner = 1", "money = 0.015"])
def test_what_a_killed_run_has_asked_for_counts_for_the_day(
    sandbox: Sandbox, start: Callable[[], Process], tmp_path: Path, limit: str
) -> None:
    (work := tmp_path / "runs" / "work").mkdir(parents=True)
    (work / "policy.toml").write_text(POLICY + limit)
    size = 5000
    asked = [
        sandbox.add(
            State.PLACEHOLDER,
            content=sandbox.video()[:size].ljust(size, b"v"),
            storage_class="GLACIER",
            creator_id="ann",
        )
        for _ in range(2)
    ]
    (work / "asked.txt").write_text("\n".join(asked))
    thaws: list[str] = []
    running: list[Process] = []

    def seen(request: Request) -> None:
        thaws.append(request.subject)
        if running:
            running.pop().kill()

    sandbox.control.add_fault("s3.RestoreObject", times=10**6, after=seen)
    running.append(killed := start())
    assert killed.ended.wait(HANGS_SECONDS)
    assert (killed.code, thaws) == (-9, asked[:1]), killed.err
    keys = sandbox.s3.keys()
    assert [key[: len(PREFIX)] for key in keys if key.startswith("log/")] == [PREFIX]
    again = start()
    assert again.ended.wait(HANGS_SECONDS)
    assert (again.code, set(thaws)) == (3, {asked[0]}), again.err
    assert "restore.limits." in again.out
    assert "is left today" in again.out
