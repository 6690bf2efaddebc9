"""The small version of `scripts/kills`: `kill -9` of s3copy in the middle of its work, then one run to completion."""

from __future__ import annotations

from pathlib import Path

import pytest
from kills import Killing, kill_and_finish

from kaltura_archiver.sandbox.world import Sandbox


def test_kills_leave_nothing_that_the_next_run_does_not_finish() -> None:
    """design.md 5: a run that is cut anywhere leaves a named state from which the same command goes on."""
    # Of this seed two kills come after 136 and 120 requests: eight workers cannot have made so many without a tag.
    report = kill_and_finish(entries=48, kills=4, workers=8, seed=5)
    assert not report.wrong, str(report)
    assert report.kills == 4
    assert report.uploads_left_by_killed > 0
    assert report.archived_by_killed > 0
    assert report.objects == 48
    assert report.finish.total() == 48


@pytest.mark.parametrize(
    "harm", ["object lost", "object changed", "object tags", "entry tag", "orphan upload", "orphan object", "file"]
)
def test_the_judge_sees_what_is_wrong(tmp_path: Path, harm: str) -> None:
    """Holds the proof itself to account."""
    (directory := tmp_path / "sandbox").mkdir()
    with Sandbox(directory, conversion_seconds=0.02, real_videos=False) as sandbox:
        killing = Killing(sandbox, tmp_path, entries=1, workers=1, seed=1)
        ((entry_id, video),) = killing.videos.items()
        killing.errors.touch()
        sandbox.store(entry_id, video, storage_class="STANDARD", holds_video=True)
        sandbox.kaltura.edit(entry_id, tags="archived_to_s3")
        killing.judge()
        assert killing.report.wrong == []
        tags = sandbox.s3.tags(entry_id)
        if harm == "object lost":
            sandbox.s3.client().delete_object(Bucket=sandbox.s3.bucket, Key=entry_id)
        elif harm == "object changed":
            sandbox.s3.put(entry_id, video[:-1] + b"?", tags=tags)
        elif harm == "object tags":
            sandbox.s3.put(entry_id, video, tags={"sha256": tags["sha256"]})
        elif harm == "entry tag":
            sandbox.kaltura.edit(entry_id, tags="")
        elif harm == "orphan upload":
            sandbox.s3.client().create_multipart_upload(Bucket=sandbox.s3.bucket, Key=entry_id)
        elif harm == "orphan object":
            sandbox.s3.put(f"{entry_id}.part", video)
        else:
            (killing.work / "left.tmp").touch()
        killing.judge()
        assert killing.report.wrong
