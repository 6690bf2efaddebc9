"""What killed runs have left is removed, and what a living run is using never is."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from conftest import Run
from looking import assert_goal, big, do_not_wait, free_locks, shown, unused_tokens, use_lock

from kaltura_archiver.config import read_settings
from kaltura_archiver.model import State
from kaltura_archiver.run.lock import LOCK_SECONDS, RunLock, lock_key
from kaltura_archiver.sandbox.control import Request
from kaltura_archiver.sandbox.kaltura.server import Token
from kaltura_archiver.sandbox.world import Sandbox
from kaltura_archiver.store import Store


@pytest.fixture(autouse=True)
def with_lock(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    do_not_wait(monkeypatch)
    use_lock(monkeypatch)


def lock(command: str, run: str, *, beside: bool = False) -> RunLock:
    store = Store(read_settings(), read_only=False)
    return RunLock(store, lock_key(command), run=run, stop=threading.Event(), beside=beside)


def begin_upload(sandbox: Sandbox, key: str) -> None:
    sandbox.s3.client().create_multipart_upload(Bucket=sandbox.s3.bucket, Key=key)


def add_token(sandbox: Sandbox, name: str) -> str:
    token = Token(id=f"1_{len(sandbox.kaltura.tokens):032x}", file_name=name)
    sandbox.kaltura.tokens[token.id] = token
    return token.id


@pytest.fixture(params=[False, True], ids=["locked", "--no-lock"])
def beside(request: pytest.FixtureRequest) -> Iterator[bool]:
    return request.param


def test_an_upload_of_a_living_run_stays(sandbox: Sandbox, run: Run, beside: bool) -> None:
    """restore of X beside an s3copy of X; both look for displaced/X too."""
    entry_id = sandbox.add(State.PLACEHOLDER)
    with lock("s3copy", "11111111", beside=beside):
        sandbox.control.clock.advance(5)
        begin_upload(sandbox, entry_id)
        begin_upload(sandbox, f"displaced/{entry_id}/x@1")
        sandbox.control.clock.advance(20)
        ran = run("restore", "--id", entry_id, "--no-dry-run")
        assert ran.outcomes == {entry_id: "done"}
        assert len(sandbox.s3.uploads()) == 2
        assert "2 multipart uploads stay" in ran.err
    sandbox.control.clock.advance(5)
    assert run("restore", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "already"}
    assert sandbox.s3.uploads() == []


def test_an_upload_of_a_run_that_was_killed_goes_when_its_lock_has_expired(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add(State.PLACEHOLDER)
    lock("s3copy", "11111111")._take()
    begin_upload(sandbox, entry_id)
    sandbox.control.clock.advance(20)
    assert run("restore", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "done"}
    assert len(sandbox.s3.uploads()) == 1
    sandbox.control.clock.advance(LOCK_SECONDS)
    run("restore", "--id", entry_id, "--no-dry-run")
    assert sandbox.s3.uploads() == []


def test_an_upload_of_the_run_s_own_second_stays(sandbox: Sandbox, run: Run) -> None:
    """S3 tells whole seconds: it may have been begun by somebody who came just after."""
    entry_id = sandbox.add(State.PLACEHOLDER)
    begun: list[int] = []

    def begin(_: Request) -> None:
        begin_upload(sandbox, entry_id)
        begun.append(1)

    # As the first request after the lock is taken: within the same second, or a later one.
    sandbox.control.add_fault("s3.PutObject", subject=lock_key("restore"), after=begin)
    assert run("restore", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "done"}
    assert begun
    assert len(sandbox.s3.uploads()) == 1


def test_an_upload_of_the_very_second_is_not_older(sandbox: Sandbox, run: Run) -> None:
    store = Store(read_settings(), read_only=False)
    begin_upload(sandbox, "0_x")
    [upload] = sandbox.s3.client().list_multipart_uploads(Bucket=sandbox.s3.bucket)["Uploads"]
    assert store.abort_stale_uploads({"0_x"}, upload["Initiated"]) == (0, 1)
    assert store.abort_stale_uploads({"0_y"}, upload["Initiated"] + timedelta(seconds=1)) == (0, 0)
    assert store.abort_stale_uploads({"0_x"}, upload["Initiated"] + timedelta(seconds=1)) == (1, 0)


def test_the_token_of_a_living_run_stays(sandbox: Sandbox, run: Run, beside: bool) -> None:
    entry_id = sandbox.add(State.HALF_TAGGED)
    with lock("restore", "11111111", beside=beside):
        token = add_token(sandbox, f"archiver-11111111-{entry_id}.mp4")
        ran = run("repair", "--id", entry_id, "--no-dry-run")
        assert ran.outcomes == {entry_id: "done"}
        assert unused_tokens(sandbox) == [token]
        assert f"upload token {token} stays: nothing tells that run 11111111 is over" in ran.err
    ran = run("repair", "--id", entry_id, "--no-dry-run")
    assert unused_tokens(sandbox) == []
    assert f"removed the upload token {token}" in ran.err


def test_the_token_of_a_run_that_nobody_knows_stays(sandbox: Sandbox, run: Run) -> None:
    """Of an older version, or of another bucket with the same Kaltura account."""
    entry_id = sandbox.add(State.HALF_TAGGED)
    tokens = [add_token(sandbox, f"archiver-{name}.mp4") for name in (entry_id, f"22222222-{entry_id}")]
    ran = run("repair", "--id", entry_id, "--no-dry-run")
    assert unused_tokens(sandbox) == tokens
    assert ran.err.count("stays: nothing tells that run") == 2


@pytest.mark.parametrize("command", ["replace_video", "restore"])
def test_the_token_of_a_run_that_was_killed_goes_with_the_next_run(sandbox: Sandbox, run: Run, command: str) -> None:
    state = State.ARCHIVED if command == "replace_video" else State.PLACEHOLDER
    video = sandbox.video()
    entry_id = sandbox.add(state, content=video)
    sandbox.control.add_fault("uploadToken.add", "drop_after")  # it is there, and its id never came
    assert run(command, "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "failed"}
    assert len(unused_tokens(sandbox)) == 1
    free_locks(sandbox)
    assert run(command, "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "done"}
    assert unused_tokens(sandbox) == []
    assert_goal(sandbox, run, command, entry_id, video)


def test_what_a_killed_run_left_of_a_further_stream_goes_with_its_parent(sandbox: Sandbox, run: Run) -> None:
    parent, other = sandbox.add(State.ARCHIVED), sandbox.add(State.ARCHIVED)
    stream, others = (
        sandbox.add(State.ARCHIVED, parent_id=entry_id, display_in_search=-1) for entry_id in (parent, other)
    )
    for key in (stream, others, "odd/x"):
        begin_upload(sandbox, key)
    sandbox.control.add_fault("uploadToken.add", "drop_after")
    assert run("replace_video", "--id", parent, "--no-dry-run").code == 1
    assert len(unused_tokens(sandbox)) == 1
    sandbox.control.clock.advance(20)
    free_locks(sandbox)
    assert run("replace_video", "--id", parent, "--no-dry-run").code == 0
    assert unused_tokens(sandbox) == []
    assert run("s3copy", "--id", parent, "--no-dry-run").code == 0
    assert sorted(key for key, _ in sandbox.s3.uploads()) == sorted([others, "odd/x"])


def test_nothing_is_deleted_in_place_for_a_token_that_is_gone(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add(State.ARCHIVED)
    video = shown(sandbox, entry_id)
    sandbox.kaltura.settings.entry_replacement = False

    def lose(_: Request) -> None:
        for token in sandbox.kaltura.tokens.values():
            token.status = 5

    # Kaltura says that it cannot replace content: then the flavors would be deleted.
    sandbox.control.add_fault("media.updateContent", after=lose)
    ran = run("replace_video", "--id", entry_id, "--no-dry-run", "--allow-in-place")
    assert ran.outcomes == {entry_id: "failed"}
    assert "gone from Kaltura; nothing was deleted" in ran.out
    assert sandbox.control.requests("flavorAsset.delete") == []
    assert shown(sandbox, entry_id) == video
    assert "flavors_deleted" not in sandbox.kaltura.entries[entry_id].tags
    ran = run("replace_video", "--id", entry_id, "--no-dry-run", "--allow-in-place")
    assert ran.outcomes == {entry_id: "done"}
    assert sandbox.s3.body(entry_id) == video


def test_a_copy_on_its_way_is_not_aborted_by_a_restore_of_the_same_entry(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add(State.INITIAL, content=(video := big(sandbox, 17)))

    def restore(_: Request) -> None:
        with lock("restore", "11111111") as other:
            before = datetime.fromtimestamp(max(other.others().began, 0), UTC)
            assert other._store.abort_stale_uploads({entry_id}, before) == (0, 1)

    sandbox.control.add_fault("s3.UploadPart", before=restore)
    assert run("s3copy", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "done"}
    assert sandbox.s3.body(entry_id) == video
