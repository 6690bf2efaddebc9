"""The run lock: one run of a command per bucket at a time, whatever happens to its holder."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from conftest import Run

from kaltura_archiver import cli, lock
from kaltura_archiver.config import read_settings
from kaltura_archiver.errors import Locked, StoreError
from kaltura_archiver.lock import RunLock, lock_key, unlock
from kaltura_archiver.model import State
from kaltura_archiver.sandbox.world import Sandbox
from kaltura_archiver.store import Store

KEY = "locks/s3copy.json"
LOCK = cli._lock
Make = Callable[..., RunLock]


@pytest.fixture
def store(sandbox: Sandbox, run: Run) -> Store:
    """`run` sets the environment."""
    return Store(read_settings(), read_only=False)


@pytest.fixture
def make(store: Store) -> Make:
    def make(run: str = "one", stop: threading.Event | None = None) -> RunLock:
        return RunLock(store, KEY, run=run, stop=stop or threading.Event())

    return make


def record(sandbox: Sandbox) -> dict[str, Any]:
    return dict(json.loads(sandbox.s3.body(KEY) or b"{}"))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "LOCK_SECONDS", 0.4)


def test_a_second_run_is_told_who_holds_the_lock_until_the_first_ends(sandbox: Sandbox, make: Make) -> None:
    with make("one"):
        with (
            pytest.raises(Locked, match=r"another run holds the lock locks/s3copy.json: .* run one, since 20\d\d"),
            make("two"),
        ):
            pass
        assert record(sandbox)["run"] == "one"
    with make("two"):
        assert record(sandbox)["run"] == "two"
    assert record(sandbox)["released"] is True


def test_of_many_that_try_at_once_one_has_it(make: Make) -> None:
    begin, held = threading.Barrier(8), threading.Event()

    def attempt(number: int) -> bool:
        begin.wait()
        try:
            with make(str(number)):
                held.wait(30)
                return True
        except Locked:
            return False

    with ThreadPoolExecutor(8) as pool:
        running = [pool.submit(attempt, number) for number in range(8)]
        while sum(future.done() for future in running) < 7:
            time.sleep(0.01)
        held.set()
    assert sum(future.result() for future in running) == 1


@pytest.mark.usefixtures("quick")
def test_the_lock_of_a_holder_that_died_is_taken_over_when_it_has_expired(
    sandbox: Sandbox,
    store: Store,
    make: Make,
) -> None:
    dead = make("dead")
    dead._take()  # as a process that was killed before its first renewal
    with pytest.raises(Locked), make("early"):
        pass
    while lock.is_held(record(sandbox)):
        time.sleep(0.02)
    with make("next"):
        assert record(sandbox)["run"] == "next"


@pytest.mark.usefixtures("quick")
def test_a_lock_is_renewed_while_it_is_held(sandbox: Sandbox, make: Make) -> None:
    with make() as held:
        first = record(sandbox)["expires"]
        while record(sandbox)["expires"] < first + lock.LOCK_SECONDS:
            time.sleep(0.02)
        assert not held.lost


@pytest.mark.usefixtures("quick")
def test_a_holder_that_lost_its_lock_stops(sandbox: Sandbox, store: Store, make: Make) -> None:
    stop = threading.Event()
    with make("one", stop) as held:
        taken = json.dumps({"run": "two", "expires": time.time() + 99})
        sandbox.s3.put(KEY, taken.encode())
        assert stop.wait(30)
        assert "another run took it over" in held.lost
    assert record(sandbox)["run"] == "two"  # and leaves it to the other


@pytest.mark.usefixtures("quick")
def test_a_holder_that_cannot_renew_in_time_stops(sandbox: Sandbox, make: Make) -> None:
    stop = threading.Event()
    with make("one", stop) as held:
        sandbox.control.add_fault("s3.PutObject", "drop_before", times=10**6)
        assert stop.wait(30)
        assert "could not be renewed in time" in held.lost


@pytest.mark.parametrize("fault", ["drop_after", "drop_before"])
def test_an_answer_that_was_lost_is_no_other_run(sandbox: Sandbox, make: Make, fault: str) -> None:
    sandbox.control.add_fault("s3.PutObject", fault)
    with make("one"):
        assert record(sandbox)["run"] == "one"


def test_an_s3_that_is_down_is_an_error_and_no_lock(
    sandbox: Sandbox, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.001)
    monkeypatch.setattr("kaltura_archiver.pacing.FIRST_PAUSE_SECONDS", 0.0)
    sandbox.control.add_fault("s3.*", "http_503", times=10**6)
    with pytest.raises(StoreError), make():
        pass


@pytest.mark.parametrize("rubbish", [b"", b"not a lock", b"[]", b'{"expires": "tomorrow"}'])
def test_rubbish_under_the_key_holds_nothing(sandbox: Sandbox, make: Make, rubbish: bytes) -> None:
    sandbox.s3.put(KEY, rubbish)
    with make("one"):
        assert record(sandbox)["run"] == "one"


def test_unlock_frees_a_lock_and_says_whose_it_was(sandbox: Sandbox, store: Store, make: Make) -> None:
    assert unlock(store, KEY) == f"nobody holds the lock {KEY}"
    make("dead")._take()
    assert "freed: the lock locks/s3copy.json: " in unlock(store, KEY)
    assert unlock(store, KEY) == f"nobody holds the lock {KEY}"
    with make("next"):
        pass


def test_each_share_of_a_selection_has_a_lock_of_its_own() -> None:
    assert lock_key("s3copy") == KEY
    assert lock_key("s3copy", (0, 7)) == "locks/s3copy.0-of-7.json"


@pytest.fixture
def locked_run(run: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`run`, with the lock that it otherwise leaves out."""
    monkeypatch.setattr(cli, "_lock", LOCK)
    return run


@pytest.mark.parametrize("command", ["s3copy", "replace_video", "restore", "repair"])
def test_a_second_run_of_a_command_ends_with_5_and_touches_nothing(
    sandbox: Sandbox, store: Store, locked_run: Run, command: str
) -> None:
    entry_id = sandbox.add({"s3copy": State.INITIAL, "replace_video": State.ARCHIVED}.get(command, State.PLACEHOLDER))
    with RunLock(store, lock_key(command), run="other", stop=threading.Event()):
        sandbox.control.clear_log()
        ran = locked_run(command, "--id", entry_id, "--no-dry-run")
        assert (ran.code, ran.out) == (5, "")
        assert ran.err.startswith(f"error: another run holds the lock locks/{command}.json: ")
        assert ran.err.count("\n") == 1
        assert "run other" in ran.err
        assert [r.operation for r in sandbox.control.requests() if r.server == "kaltura" and r.writes] == []
        assert locked_run(command, "--id", entry_id).code == 0  # a dry run needs none
        assert locked_run(command, "--id", entry_id, "--no-dry-run", "--no-lock").code == 0
    assert locked_run(command, "--id", entry_id, "--no-dry-run").code == 0
    assert store.get_text(lock_key(command)) is not None


def test_commands_of_different_kinds_and_shares_run_side_by_side(
    sandbox: Sandbox, store: Store, locked_run: Run
) -> None:
    entry_id = sandbox.add(State.INITIAL)
    with RunLock(store, lock_key("replace_video"), run="other", stop=threading.Event()):
        assert locked_run("s3copy", "--id", entry_id, "--no-dry-run").code == 0
    with RunLock(store, lock_key("s3copy", (0, 2)), run="other", stop=threading.Event()):
        assert locked_run("s3copy", "--id", entry_id, "--no-dry-run", "--shard", "1/2").code == 0
        assert locked_run("s3copy", "--id", entry_id, "--no-dry-run", "--shard", "0/2").code == 5


def test_a_run_that_loses_its_lock_ends_with_5(sandbox: Sandbox, locked_run: Run, quick: None) -> None:
    ids = [sandbox.add(State.INITIAL) for _ in range(3)]
    taken = json.dumps({"run": "two", "expires": time.time() + 99}).encode()

    def hold(_: object) -> None:
        sandbox.s3.put(KEY, taken)
        deadline = time.monotonic() + 30
        while len(sandbox.control.requests("s3.GetObject")) < 1 and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.05)

    sandbox.control.add_fault("file.GET", "none", before=hold)
    ran = locked_run(
        "s3copy", *(word for entry_id in ids for word in ("--id", entry_id)), "--no-dry-run", "--workers", "1"
    )
    assert ran.code == 5
    assert "is lost (another run took it over): the run ends" in ran.err
    assert sandbox.s3.body(KEY) == taken


def test_unlock_as_a_command(sandbox: Sandbox, make: Make, locked_run: Run) -> None:
    entry_id = sandbox.add(State.INITIAL)
    make("dead")._take()
    assert locked_run("s3copy", "--id", entry_id, "--no-dry-run").code == 5
    ran = locked_run("unlock", "s3copy")
    assert (ran.code, ran.out) == (0, "")
    assert "freed: the lock locks/s3copy.json" in ran.err
    assert locked_run("s3copy", "--id", entry_id, "--no-dry-run").code == 0
    assert "nobody holds" in locked_run("unlock", "replace-video").err
