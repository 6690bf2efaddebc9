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
