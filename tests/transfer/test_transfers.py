"""The way of bytes: chunks, the memory they share, and --bandwidth."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from looking import Run, do_not_wait

from kaltura_archiver.errors import EntryFailed, Stopped
from kaltura_archiver.model import State
from kaltura_archiver.sandbox.world import Sandbox
from kaltura_archiver.transfer.bandwidth import Bandwidth, Timetable
from kaltura_archiver.transfer.streams import BUDGET, Budget, Landing, chunked, exactly, hashed

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
        assert list(limit.passing([bytes(2**19)])) == [bytes(2**19)] if n % 2 else limit.spend(2**19) is None
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


def test_chunks_hold_the_same_bytes_whatever_the_pieces() -> None:
    content = bytes(range(256)) * 40
    for cut in (1, 7, 100, 999, 1000, 1001, 20_000):
        pieces = [b"", *(content[n : n + cut] for n in range(0, len(content), cut)), b""]
        found = []
        for chunk in chunked(pieces, 1000, len(content), threading.Event(), budget=Budget(10, 300)):
            read = b"".join(bytes(piece) for piece in iter(chunk.read, b""))
            chunk.seek(0)
            assert b"".join(bytes(piece) for piece in iter(chunk.read, b"")) == b"".join(chunk) == read
            assert chunk.tell() == len(chunk) == len(read)
            found.append(read)
            chunk.release()
        assert [len(chunk) for chunk in found] == [1000] * 10 + [240]
        assert b"".join(found) == content


@pytest.mark.parametrize("size", [1, 999, 1000, 1001, 10_240])
def test_pieces_that_are_read_to_their_place_are_the_same_bytes(size: int) -> None:
    content, landing = bytes(range(256)) * 40, Landing()
    content, source = content[:size], Dribble(content[:size])
    pieces = exactly(hashed(iter(lambda: landing.read(source), b""), sha := hashlib.sha256()), size, "came")
    found = b""
    for chunk in chunked(pieces, 1000, size, threading.Event(), budget=Budget(10, 300), landing=landing):
        assert len(chunk) == min(1000, size - len(found))
        found += b"".join(chunk)
        chunk.release()
    assert found == content
    assert sha.digest() == hashlib.sha256(content).digest()
    assert source.copied <= 1  # its end, of which no chunk knows


def test_what_was_not_read_to_its_place_is_copied_there() -> None:
    landing, source = Landing(), io.BytesIO(b"abcdefgh")
    pieces = (bytes(piece) for piece in iter(lambda: landing.read(source), b""))
    (chunk,) = chunked(pieces, 10, 8, threading.Event(), budget=Budget(10, 4), landing=landing)
    assert b"".join(chunk) == b"abcdefgh"
    chunk.release()


def test_a_byte_more_than_promised_is_not_dropped() -> None:
    chunks = chunked([b"x" * 11], 10, 10, threading.Event(), budget=Budget(10, 4))
    next(chunks).release()
    with pytest.raises(EntryFailed, match="more than 10 bytes"):
        next(chunks)


class Dribble(io.BytesIO):
    """Gives a few bytes at a time, and counts how often it is asked for bytes of its own."""

    copied = 0

    def read(self, size: int | None = -1) -> bytes:
        self.copied += 1
        return super().read(size)

    def readinto(self, room: Any) -> int:
        return super().readinto(memoryview(room)[:77])


def test_more_or_fewer_bytes_than_promised_fail_before_the_last_chunk() -> None:
    for size in (0, 9, 11):
        got = []
        with pytest.raises(EntryFailed, match=f"came {size} bytes instead of 10"):
            got.extend(exactly([b"x"] * size, 10, "came"))
        assert len(got) <= 10


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
    monkeypatch.setattr("kaltura_archiver.store.uploads.MAX_PUT_BYTES", 1000)
    monkeypatch.setattr("kaltura_archiver.kaltura.changes.CHUNK_BYTES", 1000)
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

settings, size = read_settings(None), int(sys.argv[1])
bucket = store.Store(settings, read_only=False)
service = kaltura.Kaltura(settings, read_only=False)
service._ks = "x"

def pieces():
    for n in range(size // 2**20):
        yield bytes([n % 256]) * 2**20

def move(n):
    bucket.write(f"key{n}", pieces(), size, metadata={}, storage_class="STANDARD")
    service.upload("token", "video.mp4", size, pieces())

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
