"""An upload that Kaltura saved before it re-encoded it in the original's place is a source that S3 does not have."""

from __future__ import annotations

import pytest
from conftest import Run
from looking import act, displaced, do_not_wait, shown, writes

from kaltura_archiver.model import ARCHIVED_TAG, REPLACED_TAG, State
from kaltura_archiver.sandbox.kaltura.records import Asset, Content
from kaltura_archiver.sandbox.world import Sandbox

UPLOADED = b"the recording as it left the lecture room\n" * 400


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    do_not_wait(monkeypatch)


def saved_upload(sandbox: Sandbox, entry_id: str, video: bytes) -> Asset:
    """As Kaltura leaves it that re-encodes an upload in the original's own asset: what was uploaded is a flavor."""
    return sandbox.kaltura.library.save_upload(sandbox.kaltura.entries[entry_id], Content.of(video))


@pytest.mark.parametrize("told_by", ["tags", "parameters"])
@pytest.mark.parametrize(
    "arguments",
    [("replace_video",), ("thin",), ("thin", "--derived-only"), ("repair",)],
    ids=" ".join,
)
def test_an_upload_that_kaltura_saved_does_not_go(
    sandbox: Sandbox, run: Run, arguments: tuple[str, ...], told_by: str
) -> None:
    command, *options = arguments
    entry_id = sandbox.add(State.ARCHIVED, derived=3, duration_ms=5_400_000)
    saved = saved_upload(sandbox, entry_id, UPLOADED)
    if told_by == "parameters":
        saved.tags = "web"  # a person has set others
    if command == "repair":  # a replacement was cut, and then the original was deleted
        sandbox.kaltura.edit(entry_id, tags=f"{ARCHIVED_TAG}, {REPLACED_TAG}")
        sandbox.take_original_away(entry_id)
        saved.updated_at = 1
    ran = act(run, command, entry_id, *options)
    assert ran.outcomes == {entry_id: "refused"}
    assert f"S3 does not have {saved.id}: the upload itself, which Kaltura saved (Save Original Source)" in ran.out
    assert not writes(sandbox)
    assert sandbox.kaltura.content(saved.id) == UPLOADED


def test_a_thin_entry_keeps_the_upload_that_kaltura_saved(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add(State.THIN, derived=3, duration_ms=5_400_000)
    saved = saved_upload(sandbox, entry_id, UPLOADED)
    assert act(run, "thin", entry_id).outcomes == {entry_id: "already"}
    assert act(run, "replace_video", entry_id).outcomes == {entry_id: "refused"}
    assert saved.status == 2
    assert act(run, "restore", entry_id).outcomes == {entry_id: "done"}
    assert [sandbox.s3.body(key) for key in displaced(sandbox)] == [UPLOADED]


def test_an_upload_that_kaltura_saved_is_told_of(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add(State.INITIAL, derived=1)
    saved = saved_upload(sandbox, entry_id, UPLOADED)
    told = f"S3 does not have {saved.id}: the upload itself"
    for ran in (
        run("s3copy", "--id", entry_id),
        act(run, "s3copy", entry_id),
        act(run, "s3copy", entry_id),
        run("explain", entry_id),
    ):
        assert told in " ".join(ran.out.split())
    assert "keep the entry; or, if nobody needs that flavor, delete it in Kaltura" in " ".join(ran.out.split())
    saved.status = 3
    assert act(run, "replace_video", entry_id).outcomes == {entry_id: "done"}


def test_an_upload_that_is_saved_at_the_last_moment_stops_a_swap(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add(State.ARCHIVED, derived=2)
    sandbox.control.add_fault("uploadToken.add", after=lambda _: saved_upload(sandbox, entry_id, UPLOADED), subject="")
    ran = act(run, "replace_video", entry_id)
    assert ran.outcomes == {entry_id: "failed"}
    assert "has a further source flavor" in ran.out
    assert shown(sandbox, entry_id) != sandbox.placeholder
