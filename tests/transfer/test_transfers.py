"""The way of bytes: chunks, the memory they share, and --bandwidth."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from looking import Run, do_not_wait

from kaltura_archiver.errors import EntryFailed, Stopped
from kaltura_archiver.model import State
from kaltura_archiver.sandbox.world import Sandbox
from kaltura_archiver.transfer.bandwidth import Bandwidth, Timetable
from kaltura_archiver.transfer.chunks import BUDGET, Budget
from kaltura_archiver.transfer.streams import Inflow, poured

MONDAY = datetime(2026, 1, 5)  # noqa: DTZ001 - a timetable is in local time


# --bandwidth


@pytest.mark.parametrize(
    ("text", "rate"),
    [("50M", 50 * 2**20), ("512k", 512 * 2**10), ("1.5G", 1.5 * 2**30), ("7", 7 * 2**10), ("100B", 100),
     ("1MiB", 2**20), ("off", None), ("OFF", None)],
)  # fmt: skip
def test_one_rate_holds_always(text: str, rate: float | None) -> None:
    table = Timetable(text)
    assert {table.rate(MONDAY + timedelta(hours=n)) for n in range(168)} == {rate}


def test_a_rate_holds_until_the_next_one_over_midnight_and_the_week() -> None:
    table = Timetable("08:00,50k 19:00,off Sat-12:30,1M")
    assert [
        table.rate(MONDAY + timedelta(days=day, hours=hour, minutes=minute))
        for day, hour, minute in [(0, 0, 0), (0, 7, 59), (0, 8, 0), (0, 18, 59), (0, 19, 0), (5, 12, 29), (5, 12, 30),
                                  (5, 18, 59), (5, 19, 0), (6, 8, 0)]
    ] == [None, None, 51200, 51200, None, 51200, 2**20, 2**20, None, 51200]  # fmt: skip


@pytest.mark.parametrize(
    "text",
    ["", " ", "0", "-1M", "5X", "10M:1M", "08:00", "08:00,", "24:00,1M", "08:60,1M", "Foo-08:00,1M", "08:00,1M 1M",
     "08:00,1M 08:00,2M", "1M 2M", "0.1B", "nan", "inf"],
)  # fmt: skip
def test_a_rate_that_is_none_is_refused_in_one_line(run: Run, text: str) -> None:
    ran = run("s3copy", "--bandwidth", text, "--id", "0_abcdefgh")
    assert (ran.code, ran.out) == (2, "")
    assert "--bandwidth" in ran.err
    assert ran.err.count("\n") == 1


class Clock:
    """Time that passes only while somebody waits."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def wait(self, seconds: float) -> None:
        self.seconds += seconds

    def bandwidth(self, text: str, begin: datetime = MONDAY, stop: threading.Event | None = None) -> Bandwidth:
        return Bandwidth(
            Timetable(text), stop or threading.Event(), clock=lambda: self.seconds,
            today=lambda: begin + timedelta(seconds=self.seconds), wait=self.wait,
        )  # fmt: skip


def test_bytes_take_their_time_from_whichever_side_they_come() -> None:
    clock = Clock()
    limit = clock.bandwidth("1M")
    for n in range(21):
        assert clock.seconds == pytest.approx(n / 2)
        (limit.passed if n % 2 else limit.spend)(2**19)
        # The first goes at once, each other one when those before it have had their time.
        assert clock.seconds == pytest.approx(max(n, 0) / 2)
        clock.seconds += 0.5


def test_a_pause_leaves_nothing_to_be_made_up_for() -> None:
    clock = Clock()
    limit = clock.bandwidth("1M")
    limit.spend(2**20)
    clock.seconds += 1000
    for _ in range(3):
        limit.spend(2**20)
    assert clock.seconds == pytest.approx(1003 - 1)


def test_a_new_rate_counts_for_who_waits_already() -> None:
    clock = Clock()
    limit = clock.bandwidth("08:00,1k 09:00,off", MONDAY + timedelta(hours=8, minutes=59))
    limit.spend(2**30)
    limit.spend(1)
    assert 60 <= clock.seconds <= 61
    limit.spend(2**30)
    assert clock.seconds <= 61


def test_who_waits_is_let_go_when_the_run_is_to_stop() -> None:
    clock, stop = Clock(), threading.Event()
    limit = clock.bandwidth("1B", stop=stop)
    limit.spend(100)
    stop.set()
    limit.spend(100)
    assert clock.seconds == 0


def test_every_command_that_moves_bytes_has_them_counted(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    spent: list[int] = []
    monkeypatch.setattr(Bandwidth, "spend", lambda self, count: spent.append(count))
    video = sandbox.video()
    entry_id, size = sandbox.add(State.INITIAL, content=video), len(video)
    placeholder = len(sandbox.placeholder)
    for command, expected in (
        ("s3copy", size),
        ("verify", size),
        ("replace_video", size + placeholder),
        ("restore", 2 * size),  # to Kaltura, and back to be compared
    ):
        spent.clear()
        assert run(command, "--id", entry_id, "--bandwidth", "1G", "--no-dry-run").outcomes == {entry_id: "done"}
        assert sum(spent) == expected, command


# Chunks


def inflow(pieces: Iterable[bytes], size: int, about: int = 0, budget: Budget | None = None) -> Inflow:
    return Inflow(poured(pieces, size), threading.Event(), about_bytes=about, budget=budget or Budget(10, 300))


def drained(content: Inflow, taken: list[int]) -> None:
    """Take all of it; how much came is told in `taken`."""
    with content as chunks:
        for chunk in chunks:
            taken.append(len(chunk))
            chunk.release()


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CHUNK_BYTES", "MAX_WHOLE_BYTES"):
        monkeypatch.setattr(f"kaltura_archiver.transfer.chunks.{name}", 1000)


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("about", [0, 900, 10_240])
def test_chunks_hold_the_same_bytes_whatever_the_pieces(about: int) -> None:
    """And whatever was thought of their size before."""
    content = bytes(range(256)) * 40
    for cut in (1, 7, 100, 299, 300, 999, 1000, 1001, 20_000):
        pieces = [b"", *(content[n : n + cut] for n in range(0, len(content), cut)), b""]
        found = []
        with inflow(pieces, len(content), about) as chunks:
            assert chunks.size_bytes == len(content)
            for chunk in chunks:
                read = b"".join(bytes(piece) for piece in iter(chunk.read, b""))
                chunk.seek(0)
                assert b"".join(bytes(piece) for piece in iter(chunk.read, b"")) == b"".join(chunk) == read
                assert chunk.tell() == len(chunk) == len(read)
                assert chunk.sha256() == hashlib.sha256(read).hexdigest()
                found.append(read)
                chunk.release()
        assert [len(chunk) for chunk in found] == [1000] * 10 + [240]
        assert b"".join(found) == content


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("size", [1, 299, 300, 301, 999, 1000])
def test_what_is_one_chunk_needs_no_thread(size: int) -> None:
    threads = threading.active_count()
    with inflow([b"x" * size], size, size) as chunks:
        (chunk,) = chunks
        assert threading.active_count() == threads
        assert b"".join(chunk) == b"x" * size


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("told", [10, 2000])
@pytest.mark.parametrize("more", [-1, 1])
def test_more_or_fewer_bytes_than_told_fail_before_the_last_chunk(told: int, more: int) -> None:
    budget, taken = Budget(10, 300), list[int]()
    said = "more than" if more > 0 else f"{told - 1} bytes came instead of {told}"
    with pytest.raises(EntryFailed, match=said):
        drained(inflow([b"x" * (told + more)], told, told, budget), taken)
    assert sum(taken) < told or more > 0
    assert budget.taken == 0


@pytest.mark.usefixtures("small_chunks")
def test_content_waits_for_who_takes_it() -> None:
    """Of a hundred chunks no more are there than the budget holds, and none is lost."""
    budget, most = Budget(12, 250), 0
    with inflow([bytes([n]) * 1000 for n in range(100)], 100_000, 0, budget) as chunks:
        for n, chunk in enumerate(chunks):
            most = max(most, budget.taken)
            assert b"".join(chunk) == bytes([n]) * 1000
            chunk.release()
    assert n == 99
    assert 0 < most <= 12
    assert budget.taken == 0


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("size", [1000, 5000])
def test_what_nobody_releases_is_released_at_the_end(size: int) -> None:
    budget = Budget(30, 250)
    with inflow([b"x" * size], size, size, budget) as chunks:
        assert sum(len(chunk) for chunk in chunks) == size
        assert budget.taken == size // 250
    assert budget.taken == 0


def test_a_source_that_fails_is_told_where_its_content_is_taken() -> None:
    def failing(content: Inflow) -> None:
        content.begin(10)
        raise ZeroDivisionError

    for about in (0, 10):
        with pytest.raises(ZeroDivisionError), Inflow(failing, threading.Event(), about_bytes=about):
            pass


@pytest.mark.usefixtures("small_chunks")
def test_a_source_whose_content_is_not_wanted_any_more_ends() -> None:
    budget, stop = Budget(8, 250), threading.Event()
    content = Inflow(poured(iter(lambda: b"x" * 1000, b""), 10**9), stop, budget=budget)
    stop.set()
    with pytest.raises(Stopped):
        drained(content, [])
    content._thread.join(10)
    assert not content._thread.is_alive()
    assert budget.taken == 0


@pytest.mark.usefixtures("small_chunks")
def test_a_source_that_hangs_writes_into_nobody_elses_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kaltura_archiver.transfer.streams._CLOSING_SECONDS", 0.01)
    budget, go_on = Budget(30, 250), threading.Event()

    def hanging(content: Inflow) -> None:
        content.begin(5000)
        content.put(b"x" * 1100)
        go_on.wait()
        content.put(b"x" * 3900)

    content = Inflow(hanging, threading.Event(), budget=budget)
    with content as chunks:
        next(iter(chunks)).release()
    assert budget.taken == 0
    others = budget.take(30 * 250, threading.Event())
    go_on.set()
    content._thread.join(10)
    assert set(b"".join(others[4:])) == {0}
    assert (budget.taken, len(content._chunks)) == (30, 2)


def test_blocks_are_given_in_the_order_of_asking_and_all_and_more_to_a_giant_alone() -> None:
    budget, stop, order = Budget(10, 1), threading.Event(), []
    first = budget.take(6, stop)
    assert [len(block) for block in first] == [1] * 6

    def ask(count: int) -> None:
        taken = budget.take(count, stop)
        assert budget.taken == count
        order.append(len(taken))
        budget.give(taken)

    threads = []
    for count in (50, 2):  # 2 would fit at once, but 50 was first
        threads.append(threading.Thread(target=ask, args=(count,)))
        threads[-1].start()
        while len(budget._queue) < len(threads):
            pass
    assert order == []
    budget.give(first)
    for thread in threads:
        thread.join()
    assert order == [50, 2]
    assert len(budget._spare) == 10


def test_who_waits_for_blocks_can_be_stopped() -> None:
    budget, stop = Budget(1, 1), threading.Event()
    taken = budget.take(1, stop)
    stop.set()
    with pytest.raises(Stopped):
        budget.take(1, stop)
    budget.give(taken)
    assert budget.take(1, threading.Event()) == taken


def test_failures_give_the_room_back(sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CHUNK_BYTES", "MAX_WHOLE_BYTES"):
        monkeypatch.setattr(f"kaltura_archiver.transfer.chunks.{name}", 1000)
    do_not_wait(monkeypatch)
    for state, command, call in (
        (State.INITIAL, "s3copy", "s3.UploadPart"),
        (State.INITIAL, "s3copy", "file.GET"),
        (State.PLACEHOLDER, "restore", "uploadToken.upload"),
        (State.PLACEHOLDER, "restore", "s3.GetObject"),
    ):
        entry_id = sandbox.add(state)
        sandbox.control.add_fault(call, "flip" if call.startswith("s3.") else "error", times=99, status=403)
        assert run(command, "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "failed"}
        sandbox.control.clear_faults()
        assert BUDGET.taken == 0, call


# Memory

_CHILD = """
import re, sys, threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from kaltura_archiver import kaltura, store
from kaltura_archiver.config import read_settings
from kaltura_archiver.transfer.streams import poured

settings, size = read_settings(None), int(sys.argv[1])
bucket = store.Store(settings, read_only=False)
service = kaltura.Kaltura(settings, read_only=False)
service._ks = "x"

def pieces():
    for n in range(size // 2**20):
        yield bytes([n % 256]) * 2**20

def move(n):
    with service.inflow(poured(pieces(), size), size) as content:
        bucket.write(f"key{n}", content, size, metadata={}, storage_class="STANDARD")
    with service.inflow(poured(pieces(), size), size) as content:
        service.upload("token", "video.mp4", size, content)

with ThreadPoolExecutor(16) as pool:
    list(pool.map(move, range(16)))
print(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
"""


class _Swallowing(BaseHTTPRequestHandler):
    """S3 and Kaltura to who wants to get rid of bytes."""

    protocol_version = "HTTP/1.1"
    size = 0

    def do_PUT(self) -> None:
        left, buffer = int(self.headers["Content-Length"]), memoryview(bytearray(2**18))
        while left:
            left -= self.rfile.readinto(buffer[: min(left, len(buffer))])
        answer = b""
        if "uploads" in self.path:
            answer = b"<R><UploadId>u</UploadId></R>"
        elif "uploadId" in self.path and self.command == "POST":
            answer = b'<R><ETag>"e"</ETag></R>'
        elif "/api_v3/" in self.path:
            answer = (
                "<xml><result><objectType>KalturaUploadToken</objectType><id>token</id><status>2</status>"
                f"<uploadedFileSize>{self.size}</uploadedFileSize></result></xml>"
            ).encode()
        self.send_response(200)
        self.send_header("ETag", '"e"')
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_POST = do_PUT

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def swallowing() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Swallowing)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_sixteen_workers_with_large_objects_stay_within_250_mebibytes(
    swallowing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Each could hold four parts on the way to S3: half a gibibyte without the budget.
    size = 40 * 2**20
    monkeypatch.setattr(_Swallowing, "size", size)
    for name, value in {
        "AWS_ENDPOINT_URL": swallowing, "AWS_BUCKET": "bucket", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x",
        "KALTURA_SERVICE_URL": swallowing, "KALTURA_PARTNERID": "1", "KALTURA_SECRET": "x",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    done = subprocess.run([sys.executable, "-c", _CHILD, str(size)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) / 1024 <= 250
