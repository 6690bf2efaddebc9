"""S3 fails once, at each call of a copy: the object is written once, whole, and nothing is left of the failure."""

from __future__ import annotations

import pytest
from looking import (
    Run,
    assert_goal,
    assert_nothing_left,
    big,
    do_not_wait,
    use_lock,
)

from kaltura_archiver.model import State
from kaltura_archiver.sandbox.world import Sandbox
from kaltura_archiver.transfer.pacing import Pace


@pytest.fixture(autouse=True)
def quick_retries(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    do_not_wait(monkeypatch)
    use_lock(monkeypatch)
    monkeypatch.setattr("kaltura_archiver.transfer.chunks.MAX_WHOLE_BYTES", 8 * 2**20)


@pytest.mark.parametrize("fault", ["drop_after", "drop_before", "http_500", "error"])
@pytest.mark.parametrize(
    ("call", "mebibytes"),
    [
        ("s3.PutObject", 0),
        ("s3.PutObjectTagging", 0),
        ("s3.CreateMultipartUpload", 9),
        ("s3.UploadPart", 9),
        ("s3.CompleteMultipartUpload", 9),
    ],
)
def test_one_failure_of_s3_is_got_over(sandbox: Sandbox, run: Run, call: str, mebibytes: int, fault: str) -> None:
    video = big(sandbox, mebibytes) if mebibytes else sandbox.video()
    entry_id = sandbox.add(State.INITIAL, content=video)
    planned = sandbox.control.add_fault(call, fault, subject=entry_id, code="SlowDown", status=503)
    ran = run("s3copy", "--id", entry_id, "--no-dry-run")
    assert planned.times == 0
    assert ran.outcomes == {entry_id: "done"}, ran.err
    sandbox.control.clock.advance(10)
    assert_goal(sandbox, run, "s3copy", entry_id, video)
    # boto3 repeats the call by itself; an upload begun twice leaves one without an owner, for the next run to remove.
    assert_nothing_left(sandbox)


@pytest.mark.parametrize(
    ("code", "status"), [("TooManyRequests", 429), ("SomeOther", 429), ("SlowDownRead", 503), ("SlowDownWrite", 503)]
)
@pytest.mark.parametrize("call", ["s3.HeadObject", "s3.PutObject", "s3.PutObjectTagging"])
def test_a_service_that_is_asked_too_much_is_asked_slower(
    sandbox: Sandbox, run: Run, call: str, code: str, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each service has its own word for it, and an answer to HEAD has none."""
    slowed: list[float] = []
    monkeypatch.setattr(Pace, "refused", lambda self, called_at: slowed.append(called_at))
    entry_id = sandbox.add(State.INITIAL)
    sandbox.control.add_fault(call, "error", subject=entry_id, code=code, status=status)
    ran = run("s3copy", "--id", entry_id, "--no-dry-run")
    assert (ran.outcomes, len(slowed)) == ({entry_id: "done"}, 1), ran.err


def test_a_thaw_that_is_asked_for_too_often_is_asked_for_again(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add(State.PLACEHOLDER, storage_class="GLACIER")
    sandbox.control.add_fault("s3.RestoreObject", "error", subject=entry_id, code="TooManyRequests", status=429)
    ran = run("restore", "--id", entry_id, "--no-dry-run")
    assert ran.outcomes == {entry_id: "waiting"}, ran.err
    assert len(sandbox.control.requests("s3.RestoreObject")) == 2
