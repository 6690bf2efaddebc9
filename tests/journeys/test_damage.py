"""Content that is cut, empty, damaged or exchanged on its way: noticed, and never stored or shown as the video."""

from __future__ import annotations

import pytest
from looking import (
    Run,
    assert_goal,
    assert_nothing_left,
    big,
    content_id,
    do_not_wait,
    mark_of,
    original_of,
    shown,
    state_of,
    tags_of,
)

from kaltura_archiver.model import ARCHIVED_TAG, REPLACED_TAG, State
from kaltura_archiver.sandbox.world import Sandbox


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    do_not_wait(monkeypatch)


@pytest.mark.parametrize("size_mebibytes", [3, 9])
def test_a_download_that_is_cut_is_resumed_where_it_stopped(sandbox: Sandbox, run: Run, size_mebibytes: int) -> None:
    video = big(sandbox, size_mebibytes)
    entry_id = sandbox.add(State.INITIAL, content=video)
    sandbox.control.add_fault("file.GET", "cut_short", times=2)
    ran = run("s3copy", "--id", entry_id, "--no-dry-run")
    assert ran.outcomes == {entry_id: "done"}, ran.err
    ranges = [r.parameters["range"] for r in sandbox.control.requests("file.GET")]
    assert len(ranges) == 3
    assert ranges[0] == ""
    starts = [int(r.removeprefix("bytes=").removesuffix("-")) for r in ranges[1:]]
    assert 0 < starts[0] < starts[1] < len(video)
    assert_goal(sandbox, run, "s3copy", entry_id, video)


def test_a_video_replaced_between_the_halves_of_a_cut_download_is_not_mixed(sandbox: Sandbox, run: Run) -> None:
    video = big(sandbox, 3)
    entry_id = sandbox.add(State.INITIAL, content=video)
    newer = bytes(reversed(video))
    sandbox.control.add_fault(
        "file.GET", "cut_short", after=lambda _: sandbox.kaltura.replace_original(entry_id, newer)
    )
    ran = run("s3copy", "--id", entry_id, "--no-dry-run")
    assert (ran.code, ran.outcomes) == (1, {entry_id: "failed"})
    assert "replaced" in ran.out
    assert sandbox.s3.keys() == []
    assert run("s3copy", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "done"}
    assert sandbox.s3.body(entry_id) == newer


@pytest.mark.parametrize("kind", ["empty", "error", "http_500", "garbage", "drop_before"])
def test_a_file_host_that_sends_no_video_fails_the_entry_and_stores_nothing(
    sandbox: Sandbox, run: Run, kind: str
) -> None:
    """Its errors are an empty page with status 200 (kaltura-api 4.5)."""
    video = sandbox.video()
    entry_id = sandbox.add(State.INITIAL, content=video)
    sandbox.control.add_fault("file.GET", kind, times=100, code="FILE_NOT_FOUND")
    ran = run("s3copy", "--id", entry_id, "--no-dry-run")
    assert (ran.code, ran.outcomes) == (1, {entry_id: "failed"}), ran.err
    assert sandbox.s3.keys() == []
    assert ARCHIVED_TAG not in tags_of(sandbox, entry_id)
    assert_nothing_left(sandbox)
    sandbox.control.clear_faults()
    assert run("s3copy", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "done"}
    assert_goal(sandbox, run, "s3copy", entry_id, video)


@pytest.mark.parametrize(("call", "mebibytes"), [("s3.PutObject", 0), ("s3.UploadPart", 9)])
def test_a_byte_flipped_on_the_way_to_s3_is_refused_there(
    sandbox: Sandbox, run: Run, call: str, mebibytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kaltura_archiver.transfer.chunks.MAX_WHOLE_BYTES", 8 * 2**20)
    video = big(sandbox, mebibytes) if mebibytes else sandbox.video()
    entry_id = sandbox.add(State.INITIAL, content=video)
    planned = sandbox.control.add_fault(call, "flip", times=10)
    ran = run("s3copy", "--id", entry_id, "--no-dry-run")
    assert planned.times < 10
    assert (ran.code, ran.outcomes) == (1, {entry_id: "failed"})
    assert sandbox.s3.keys() == []
    assert tags_of(sandbox, entry_id) == ""
    assert_nothing_left(sandbox)
    sandbox.control.clear_faults()
    assert run("s3copy", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "done"}


def test_a_byte_flipped_on_the_way_from_s3_never_reaches_kaltura(sandbox: Sandbox, run: Run) -> None:
    video = big(sandbox, 2)
    entry_id = sandbox.add(State.PLACEHOLDER, content=video)
    sandbox.control.add_fault("s3.GetObject", "flip")
    ran = run("restore", "--id", entry_id, "--no-dry-run")
    assert (ran.code, ran.outcomes) == (1, {entry_id: "failed"})
    assert "not what was archived" in ran.out
    assert sandbox.control.requests("media.updateContent") == []
    assert shown(sandbox, entry_id) == sandbox.placeholder
    assert state_of(run, entry_id) == "placeholder"
    assert_nothing_left(sandbox)
    assert run("restore", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "done"}
    assert_goal(sandbox, run, "restore", entry_id, video)


def test_a_restored_original_with_other_bytes_is_noticed_and_brought_back_once_more(sandbox: Sandbox, run: Run) -> None:
    """Damaged on the way to Kaltura, which keeps no checksum: the new original is read back."""
    video = big(sandbox, 1)
    entry_id = sandbox.add(State.PLACEHOLDER, content=video)
    broken = video[:1000] + b"\0" + video[1001:]

    def damage(_: object) -> None:
        token = next(t for t in sandbox.kaltura.tokens.values() if t.data)
        token.data[:] = broken

    sandbox.control.add_fault("uploadToken.upload", after=damage)
    ran = run("restore", "--id", entry_id, "--no-dry-run")
    assert shown(sandbox, entry_id) == broken
    assert (ran.code, ran.outcomes) == (1, {entry_id: "failed"})
    assert REPLACED_TAG in tags_of(sandbox, entry_id)
    assert sandbox.s3.tags(entry_id)["flavor"] != content_id(sandbox, entry_id)
    # Never taken for the archived video.
    assert run("replace_video", "--id", entry_id, "--no-dry-run").outcomes != {entry_id: "done"}
    assert state_of(run, entry_id) != "archived"
    ran = run("restore", "--id", entry_id, "--no-dry-run")
    assert ran.outcomes == {entry_id: "done"}, ran.err
    assert shown(sandbox, entry_id) == video


def test_a_byte_flipped_on_the_way_from_kaltura_is_seen_before_the_original_is_replaced(
    sandbox: Sandbox, run: Run
) -> None:
    """Kaltura has no checksum that could show it to s3copy; the original is read again before it goes."""
    entry_id = sandbox.add(State.INITIAL)
    video = shown(sandbox, entry_id)
    sandbox.control.add_fault("file.GET", "flip")
    assert run("s3copy", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "done"}
    assert sandbox.s3.body(entry_id) != video
    sandbox.control.clear_log()
    ran = run("replace_video", "--id", entry_id, "--no-dry-run")
    assert (ran.code, ran.outcomes) == (1, {entry_id: "failed"})
    assert "does not have the original's bytes" in ran.out
    told = [(r.operation, r.subject) for r in sandbox.control.writes()]
    assert told == [("s3.PutObject", mark_of(sandbox, entry_id)), ("s3.PutObjectTagging", entry_id)]
    assert shown(sandbox, entry_id) == video
    assert state_of(run, entry_id) == State.DIVERGED
    for command in ("replace_video", "s3copy", "repair"):
        assert run(command, "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "refused"}
    assert shown(sandbox, entry_id) == video


def test_a_byte_flipped_when_the_original_is_read_again_is_not_believed_at_once(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add(State.ARCHIVED)
    video = shown(sandbox, entry_id)
    sandbox.control.add_fault("file.GET", "flip")
    assert run("replace_video", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "done"}
    assert_goal(sandbox, run, "replace_video", entry_id, video)


@pytest.mark.parametrize(("kilobytes", "outcome"), [(200, "failed"), (147, "done")])
def test_a_download_that_kalturas_rounded_size_contradicts_is_not_archived(
    sandbox: Sandbox, run: Run, kilobytes: int, outcome: str
) -> None:
    """Its Content-Length agrees with itself: a file that was cut before it was served."""
    entry = sandbox.kaltura.add_entry(bytes(150_000), exact_size=False)
    original_of(sandbox, entry.id).size_kb = kilobytes
    ran = run("s3copy", "--id", entry.id, "--no-dry-run")
    assert ran.outcomes == {entry.id: outcome}
    if outcome == "failed":
        assert "the download has 150000 bytes, Kaltura says about 200 KB" in ran.out
        assert sandbox.s3.keys() == []


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        ("ACCESS_CONTROL_RESTRICTED", "allow this machine's address in the entry's access control profile"),
        ("IP_COUNTRY_BLOCKED", "the country of this machine"),
        ("DELIVERY_METHOD_NOT_ALLOWED", "the account's delivery settings"),
    ],
)
@pytest.mark.parametrize("command", ["s3copy", "download"])
def test_what_the_file_host_may_not_serve_is_named_and_asked_for_once(
    sandbox: Sandbox, run: Run, command: str, code: str, advice: str
) -> None:
    """KExternalErrors of kaltura/server: `exiting on error 3 - entry restricted due to access-control`."""
    entry_id = sandbox.add(State.INITIAL)
    sandbox.control.add_fault("file.GET", "error", code=code, times=99)
    ran = run(command, "--id", entry_id, *(["--no-dry-run"] if command == "s3copy" else []))
    assert ran.code == 1
    assert advice in ran.err
    assert "exiting on error" in ran.err
    assert len(sandbox.control.requests("file.GET")) == 1
    assert sandbox.s3.keys() == []
    sandbox.control.clear_faults()
    assert run("s3copy", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "done"}


def test_a_flavor_that_the_access_control_leaves_out_is_named(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add(State.INITIAL)
    sandbox.control.add_fault("flavorAsset.getUrl", "error", code="ASSET_NOT_ALLOWED", times=99)
    ran = run("s3copy", "--id", entry_id, "--no-dry-run")
    assert ran.outcomes == {entry_id: "failed"}
    assert "the access control of the entry forbids it" in ran.err
    assert len(sandbox.control.requests("flavorAsset.getUrl")) == 1


def test_a_restore_that_may_not_read_back_is_finished_once_it_may(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add(State.PLACEHOLDER)
    video = sandbox.s3.body(entry_id)
    sandbox.control.add_fault("file.GET", "error", code="ACCESS_CONTROL_RESTRICTED", times=99)
    ran = run("restore", "--id", entry_id, "--no-dry-run")
    assert ran.outcomes == {entry_id: "failed"}
    assert "allow this machine's address" in ran.err
    assert video is not None
    assert shown(sandbox, entry_id) == video
    sandbox.control.clear_faults()
    assert run("restore", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "done"}
    assert (shown(sandbox, entry_id), state_of(run, entry_id)) == (video, "archived")
    assert tags_of(sandbox, entry_id) == ARCHIVED_TAG
