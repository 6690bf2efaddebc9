"""The run lock: one run of a command per bucket at a time, whatever happens to its holder."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
import types
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from conftest import Run

from kaltura_archiver.config import read_settings
from kaltura_archiver.errors import Locked, Stopped, StoreError
from kaltura_archiver.model import State
from kaltura_archiver.run import lock
from kaltura_archiver.run import run as acting
from kaltura_archiver.run.lock import RunLock, lock_key, unlock
from kaltura_archiver.sandbox.world import Sandbox
from kaltura_archiver.store import Store

KEY = "locks/s3copy.json"
LOCK = acting._lock
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
    monkeypatch.setattr(lock, "LOCK_SECONDS", 1.5)


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
    sandbox.control.clock.advance(lock.LOCK_SECONDS + 1 + 2 * lock.SKEW_SECONDS)  # S3's clock, not ours
    with make("next"):
        assert record(sandbox)["run"] == "next"


@pytest.mark.usefixtures("quick")
def test_a_further_attempt_of_a_batch_job_waits_for_the_lock_of_a_lost_one(
    sandbox: Sandbox, make: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its machine was lost, and Batch begins the next attempt within the two minutes for which its lock holds."""
    caplog.set_level("INFO")
    make("lost")._take()
    monkeypatch.setenv("AWS_BATCH_JOB_ATTEMPT", "1")
    with pytest.raises(Locked), make("another"):
        pass
    monkeypatch.setenv("AWS_BATCH_JOB_ATTEMPT", "2")
    sandbox.control.add_fault("s3.GetObject", "http_503")  # one look that fails is no end of the wait
    with make("next"):
        assert record(sandbox)["run"] == "next"
    assert "run lost" in caplog.text
    assert "waiting until it is renewed or over" in caplog.text


def test_a_further_attempt_of_a_batch_job_does_not_wait_for_a_run_that_is_alive(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "LOCK_SECONDS", 12)
    monkeypatch.setenv("AWS_BATCH_JOB_ATTEMPT", "2")
    with make("alive") as held:
        since = time.monotonic()
        with pytest.raises(Locked, match="run alive"), make("next"):
            pass
        assert time.monotonic() - since < lock.LOCK_SECONDS
        assert not held.lost
        stop = threading.Event()
        threading.Timer(0.2, stop.set).start()
        with pytest.raises(Stopped), make("stopped", stop):
            pass


def test_a_lock_is_renewed_while_it_is_held(sandbox: Sandbox, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "LOCK_SECONDS", 12)
    with make() as held:
        first, good_until = record(sandbox)["expires"], held._good_until
        while held._good_until == good_until and not held.lost:
            time.sleep(0.02)
        assert not held.lost
        assert record(sandbox)["expires"] > first


def test_a_holder_that_lost_its_lock_stops(sandbox: Sandbox, store: Store, make: Make) -> None:
    stop = threading.Event()
    with make("one", stop) as held:
        taken = json.dumps({"run": "two", "expires": time.time() + 99})
        sandbox.s3.put(KEY, taken.encode())
        assert not held._renewed()
        assert stop.is_set()
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
    monkeypatch.setattr("kaltura_archiver.transfer.pacing.FIRST_PAUSE_SECONDS", 0.0)
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
    with pytest.raises(Locked, match=r"run dead, since 20\d\d.*its run is alive, or died just now.*--force"):
        unlock(store, KEY)
    assert record(sandbox)["released"] is False
    sandbox.control.clock.advance(lock.LOCK_SECONDS / 2 + 2)  # two renewals were left out
    assert "freed: the lock locks/s3copy.json: " in unlock(store, KEY)
    assert unlock(store, KEY) == f"nobody holds the lock {KEY}"
    with make("next"):
        pass


def test_unlock_of_a_lock_that_is_renewed_in_this_moment_frees_nothing(
    sandbox: Sandbox, store: Store, make: Make
) -> None:
    make("dead")._take()
    renewed = json.dumps({"run": "alive", "expires": time.time() + 99, "released": False}).encode()
    sandbox.control.add_fault("s3.PutObject", before=lambda _: sandbox.s3.put(KEY, renewed))
    with pytest.raises(Locked, match="was renewed or taken in this moment"):
        unlock(store, KEY, force=True)
    assert sandbox.s3.body(KEY) == renewed


def test_each_share_of_a_selection_has_a_lock_of_its_own() -> None:
    assert lock_key("s3copy") == KEY
    assert lock_key("s3copy", (0, 7)) == "locks/s3copy.0-of-7.json"


@pytest.fixture
def locked_run(run: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`run`, with the lock that it otherwise leaves out."""
    monkeypatch.setattr(acting, "_lock", LOCK)
    return run


@pytest.mark.parametrize("command", ["s3copy", "replace_video", "restore", "repair", "verify"])
def test_a_second_run_of_a_command_ends_with_5_and_touches_nothing(
    sandbox: Sandbox, store: Store, locked_run: Run, command: str
) -> None:
    entry_id = sandbox.add({"s3copy": State.INITIAL, "replace_video": State.ARCHIVED}.get(command, State.PLACEHOLDER))
    with RunLock(store, lock_key(command), run="other", stop=threading.Event()):
        sandbox.control.clear_log()
        acting = ("--no-dry-run",)
        ran = locked_run(command, "--id", entry_id, *acting)
        assert (ran.code, ran.out) == (5, "")
        assert ran.err.startswith(f"error: another run holds the lock locks/{command}.json: ")
        assert ran.err.count("\n") == 1
        assert "run other" in ran.err
        assert [r.operation for r in sandbox.control.requests() if r.server == "kaltura" and r.writes] == []
        assert locked_run(command, "--id", entry_id).code == 0  # a dry run needs none
        assert locked_run(command, "--id", entry_id, *acting, "--no-lock").code == 0
    assert locked_run(command, "--id", entry_id, *acting).code == 0
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


def test_a_run_that_loses_its_lock_ends_with_5(
    sandbox: Sandbox, locked_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "LOCK_SECONDS", 12)
    ids = [sandbox.add(State.INITIAL) for _ in range(3)]
    taken = json.dumps({"run": "two", "expires": time.time() + 99}).encode()

    def hold(_: object) -> None:
        sandbox.s3.put(KEY, taken)
        deadline, before = time.monotonic() + 30, len(sandbox.control.requests("s3.GetObject"))
        while len(sandbox.control.requests("s3.GetObject")) == before and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.05)

    sandbox.control.add_fault("file.GET", "none", before=hold)
    ran = locked_run(
        "s3copy", *(word for entry_id in ids for word in ("--id", entry_id)), "--no-dry-run", "--workers", "1"
    )
    assert ran.code == 5
    assert "is lost (another run took it over): the run ends" in ran.err
    assert sandbox.s3.body(KEY) == taken


def test_a_run_whose_lock_cannot_be_renewed_ends_with_1_for_nobody_else_is_at_work(
    sandbox: Sandbox, locked_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else no alarm would tell of it (status 5 is another run's)."""
    monkeypatch.setattr(lock, "LOCK_SECONDS", 3)
    ids = [sandbox.add(State.INITIAL) for _ in range(3)]

    def hold(_: object) -> None:
        sandbox.control.add_fault("s3.PutObject", "drop_before", subject=KEY, times=10**6)
        time.sleep(lock.LOCK_SECONDS)

    sandbox.control.add_fault("file.GET", "none", before=hold)
    words = ("s3copy", *(word for entry_id in ids for word in ("--id", entry_id)), "--no-dry-run", "--workers", "1")
    ran = locked_run(*words, "--tolerate", "1,3")
    assert ran.code == 1
    assert "is lost (it could not be renewed in time): the run ends" in ran.err
    assert "not finished: the lock is lost, for it could not be renewed in time; run the command again" in ran.err


def test_unlock_as_a_command(sandbox: Sandbox, make: Make, locked_run: Run) -> None:
    entry_id = sandbox.add(State.INITIAL)
    make("dead")._take()
    assert locked_run("s3copy", "--id", entry_id, "--no-dry-run").code == 5
    ran = locked_run("unlock", "s3copy")
    assert (ran.code, ran.out) == (5, "")
    assert "run dead" in ran.err
    assert "--force" in ran.err
    ran = locked_run("unlock", "s3copy", "--force")
    assert (ran.code, ran.out) == (0, "")
    assert "freed: the lock locks/s3copy.json" in ran.err
    assert locked_run("s3copy", "--id", entry_id, "--no-dry-run").code == 0
    assert "nobody holds" in locked_run("unlock", "replace-video").err


# No moment with two holders


@pytest.mark.usefixtures("quick")
def test_a_renewal_that_hangs_ends_the_run_in_time(sandbox: Sandbox, make: Make) -> None:
    stop, go_on = threading.Event(), threading.Event()
    with make("one", stop) as held:
        # Whatever hangs: the renewal is still under way when the run is stopped.
        hanging = sandbox.control.add_fault("s3.PutObject", times=99, before=lambda _: go_on.wait(30))
        try:
            assert stop.wait(30)
            assert hanging.times == 98
            assert "could not be renewed in time" in held.lost
        finally:
            go_on.set()


def test_the_calls_for_a_lock_are_made_once_and_end_in_time(store: Store) -> None:
    config = store._brief.meta.config
    assert config.retries["total_max_attempts"] == 1
    # A renewal that hangs is over before the run would have to end, and another one is made.
    assert config.connect_timeout + config.read_timeout < lock.LOCK_SECONDS / 3


@pytest.mark.usefixtures("quick")
def test_a_lock_is_not_renewed_past_its_time(sandbox: Sandbox, make: Make) -> None:
    stop = threading.Event()
    with make("one", stop) as held:
        sandbox.control.add_fault("s3.PutObject", "drop_before", times=10**6)
        assert stop.wait(30)
        held._threads[0].join(30)
        assert not held._threads[0].is_alive()
        last = record(sandbox)
        sandbox.control.clear_faults()
    assert record(sandbox) == last  # neither renewed nor released: it may be another run's any moment


def test_when_a_renewal_was_made_whose_answer_is_lost_is_not_known(sandbox: Sandbox, make: Make) -> None:
    with make("one") as held:
        good_until, etag = held._good_until, held._etag
        sandbox.control.add_fault("s3.PutObject", "drop_after")
        assert not held._renewed()
        assert not held._renewed()  # the condition does not hold any more: it is looked whose the lock is
        assert (held._good_until, held.lost) == (good_until, "")
        assert held._etag != etag
        assert held._renewed()
        assert held._good_until > good_until
    assert record(sandbox)["released"] is True


@pytest.mark.parametrize("hours", [-24, 24])
def test_the_clocks_of_machines_count_for_nothing(
    sandbox: Sandbox, make: Make, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    with make("one"):
        wrong = {**vars(time), "time": lambda: time.time() + hours * 3600}
        monkeypatch.setattr(lock, "time", types.SimpleNamespace(**wrong))
        with pytest.raises(Locked), make("two"):
            pass
        monkeypatch.undo()
    with make("two"):
        pass


def test_where_s3_does_not_tell_the_time_no_lock_grows_old(
    sandbox: Sandbox, store: Store, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the clock of one machine the lock of another could be two minutes old at once."""
    send_header = BaseHTTPRequestHandler.send_header

    def without_date(self: Any, name: str, value: str) -> None:
        if name != "Date":
            send_header(self, name, value)

    monkeypatch.setattr(BaseHTTPRequestHandler, "send_header", without_date)
    with make("one") as held:
        assert held.others().began <= 0
        sandbox.control.clock.advance(-24 * 3600)  # by our own clock it was written a day ago
        sandbox.s3.put(KEY, sandbox.s3.body(KEY) or b"")
        sandbox.control.clock.advance(24 * 3600)
        with pytest.raises(Locked), make("two"):
            pass


def test_a_run_whose_lock_was_freed_by_force_ends(sandbox: Sandbox, store: Store, make: Make) -> None:
    stop = threading.Event()
    with make("one", stop) as held:
        assert "run one" in unlock(store, KEY, force=True)
        with make("two"):
            pass
        assert not held._renewed()
        assert stop.is_set()
    with make("one", stop := threading.Event()) as held:
        unlock(store, KEY, force=True)
        assert not held._renewed()
        assert "freed by unlock" in held.lost


def test_a_release_that_did_not_hold_is_told(sandbox: Sandbox, make: Make, caplog: pytest.LogCaptureFixture) -> None:
    with make("one"):
        sandbox.s3.put(KEY, json.dumps({"run": "two", "expires": time.time() + 99}).encode())
    assert "was not ours any more at the end: another run holds the lock" in caplog.text
    assert record(sandbox)["run"] == "two"


def test_a_release_whose_answer_is_lost_is_a_release(
    sandbox: Sandbox, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    with make("one") as held:
        sandbox.control.add_fault("s3.PutObject", "drop_after")
        assert not held._renewed()
    assert record(sandbox)["released"] is True
    assert "at the end" not in caplog.text


@pytest.mark.parametrize(
    ("one", "other", "shared"),
    [
        (None, (1, 3), True),
        ((0, 2), (0, 4), True),
        ((0, 2), (2, 4), True),
        ((0, 2), (1, 4), False),
        ((1, 4), (3, 6), True),
        ((1, 4), (2, 6), False),
        ((0, 7), (1, 7), False),
        ((2, 3), (3, 4), True),
    ],
)
def test_locks_overlap_where_their_shares_do(
    one: tuple[int, int] | None, other: tuple[int, int] | None, shared: bool
) -> None:
    keys = lock_key("s3copy", one), lock_key("s3copy", other)
    assert lock.overlap(*keys) is lock.overlap(*keys[::-1]) is shared
    ids = range(7 * 12)
    assert shared is any(all(n % s[1] == s[0] for s in (one, other) if s) for n in ids)
    assert not lock.overlap(keys[0], lock_key("restore", other))


def test_a_command_its_shares_and_a_wider_sharding_exclude_each_other(
    sandbox: Sandbox, store: Store, locked_run: Run
) -> None:
    entry_id = sandbox.add(State.INITIAL)
    command = ("s3copy", "--id", entry_id, "--no-dry-run")
    with RunLock(store, lock_key("s3copy", (0, 2)), run="other", stop=threading.Event()):
        for words in ((), ("--shard", "0/4"), ("--shard", "2/4")):
            ran = locked_run(*command, *words)
            assert (ran.code, ran.out) == (5, "")
            assert "run other" in ran.err
            assert "shares entries with" in ran.err
        assert locked_run(*command, "--shard", "1/4").code == 0
        assert locked_run(*command, "--no-lock").code == 0
    with RunLock(store, KEY, run="other", stop=threading.Event()):
        assert locked_run(*command, "--shard", "1/4").code == 5
    assert locked_run(*command).code == 0  # who was refused has left nothing held


def test_a_run_without_the_lock_is_known_to_be_alive(sandbox: Sandbox, store: Store, make: Make) -> None:
    beside = [RunLock(store, KEY, run=f"b{n}", stop=threading.Event(), beside=True) for n in range(2)]
    with make("one") as held:
        with beside[0], beside[1]:
            assert {"locks/s3copy.beside-0.json", "locks/s3copy.beside-1.json"} <= set(sandbox.s3.keys())
            assert held.others().over == frozenset()
            assert held.others().began <= held._taken_at
        assert held.others().over == {"b0", "b1"}


def test_who_held_a_lock_before_is_known_to_be_over(sandbox: Sandbox, make: Make) -> None:
    with make("one"):
        pass
    make("killed")._take()
    sandbox.control.clock.advance(lock.LOCK_SECONDS + 2 * lock.SKEW_SECONDS + 1)
    with make("two") as held:
        assert held.others().over == {"one", "killed"}
        assert held.others(ended=True).over == {"one", "killed", "two"}


def test_a_frozen_lock_can_be_taken_when_it_is_old(sandbox: Sandbox, make: Make) -> None:
    """A lifecycle rule of an older bucket freezes small objects too."""
    sandbox.s3.put(KEY, b'{"run": "one", "expires": 1}', storage_class="GLACIER")
    with pytest.raises(Locked), make("two"):  # it cannot be read, and may be a living one's
        pass
    sandbox.control.clock.advance(lock.LOCK_SECONDS + 2 * lock.SKEW_SECONDS + 1)
    with make("two"):
        assert record(sandbox)["run"] == "two"
        assert sandbox.s3.storage_class(KEY) == "STANDARD"


def test_frozen_locks_and_logs_end_no_run(sandbox: Sandbox, locked_run: Run) -> None:
    entry_id = sandbox.add(State.INITIAL)
    for key in (KEY, lock_key("restore"), "log/runs/2020/01/x.jsonl"):
        sandbox.s3.put(key, b"{}", storage_class="DEEP_ARCHIVE")
    sandbox.control.clock.advance(86400)
    assert locked_run("s3copy", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "done"}


# Signals


def test_a_hangup_is_a_sigterm(sandbox: Sandbox, run: Run) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whoever runs the tests may have used nohup
    ids = [sandbox.add(State.INITIAL) for _ in range(40)]  # more than can be done before the signal is heeded
    sandbox.control.add_fault("s3.PutObject", after=lambda _: os.kill(os.getpid(), signal.SIGHUP))
    words = [word for entry_id in ids for word in ("--id", entry_id)]
    ran = run("s3copy", *words, "--no-dry-run", "--workers", "1")
    assert ran.code == 143
    assert "were not begun" in ran.err
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL


def test_a_hangup_that_nohup_has_switched_off_stays_so(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add(State.INITIAL)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        sandbox.control.add_fault("s3.PutObject", after=lambda _: os.kill(os.getpid(), signal.SIGHUP))
        assert run("s3copy", "--id", entry_id, "--no-dry-run").code == 0
    finally:
        signal.signal(signal.SIGHUP, before)
