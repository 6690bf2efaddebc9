"""Bytes on their way: taken in chunk by chunk as they come, counted, and fingerprinted."""

from __future__ import annotations

import base64
import hashlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, Full, Queue

from kaltura_archiver.errors import EntryFailed, Stopped
from kaltura_archiver.transfer.bandwidth import Bandwidth
from kaltura_archiver.transfer.chunks import BUDGET, Budget, Chunk, chunk_bytes
from kaltura_archiver.transfer.crc import crc32, crc64nvme

Piece = bytes | memoryview
READ_BYTES = 2**18
# A connection that is cut after less has brought nothing: else a transfer of a byte each time would go on for years.
MIN_PROGRESS_BYTES = 2**20
# So long a source that nobody takes from may need to see it; then it is left to itself.
_CLOSING_SECONDS = 5.0
_NO_ROOM = memoryview(b"")


class _MoreThanTold(Exception):
    pass


class Inflow:
    """Content as it comes: `source` puts it in, in a thread of its own, and who iterates takes it out in chunks.

    A context manager; at its end nothing more comes, and all its chunks are released. What the source raises is raised
    where the content is taken. It waits in `put` while there is no room: so nothing comes faster than it goes.

    What is no more than a chunk needs no thread, which would be a third of the work: it comes before it is taken.
    """

    def __init__(
        self,
        source: Callable[[Inflow], None],
        stop: threading.Event,
        *,
        about_bytes: int = 0,
        bandwidth: Bandwidth | None = None,
        budget: Budget | None = None,
    ) -> None:
        """`about_bytes` is what is known of the size, as far as it is."""
        self._source, self._stop = source, stop
        self._alone = 0 < about_bytes <= chunk_bytes(about_bytes)  # without a thread
        self._bandwidth, self._budget = bandwidth, budget or BUDGET
        self.size_bytes = 0
        self.waited_seconds = 0.0  # in `put`
        self._received, self._room, self._at = 0, _NO_ROOM, 0  # in whole blocks; the block in hand, and how full it is
        self._rooms: Iterator[memoryview] = iter(())
        self._chunks: list[Chunk] = []
        self._only: Chunk | None = None
        self._queue: Queue[Chunk | None]
        self._closed = False
        self._failure: BaseException | None = None

    # The side of the source

    def is_set(self) -> bool:
        """Whether no more is wanted."""
        return self._closed or self._stop.is_set()

    @property
    def received(self) -> int:
        """Bytes until now."""
        return self._received + self._at

    def begin(self, size_bytes: int) -> None:
        """To be told before the first byte."""
        if self._alone and size_bytes > chunk_bytes(size_bytes):
            raise _MoreThanTold
        self.size_bytes = size_bytes

    def put(self, data: Piece) -> None:
        """Raises Stopped, and EntryFailed for more than was told."""
        end = self._at + len(data)
        if end < len(self._room):
            self._room[self._at : end] = data
            self._at = end
            return
        began = time.monotonic()
        left = memoryview(data)
        while left:
            if not self._room:
                self._room = self._next_room()
            part = left[: len(self._room) - self._at]
            self._room[self._at : self._at + len(part)] = part
            self._at += len(part)
            left = left[len(part) :]
            if self._at == len(self._room):
                self._end_room()
        self.waited_seconds += time.monotonic() - began

    def _next_room(self) -> memoryview:
        if self.is_set():
            raise Stopped("asked to stop")
        if (room := next(self._rooms, None)) is not None:
            return room
        left = self.size_bytes - self._received
        if left <= 0:
            raise EntryFailed(f"more than {self.size_bytes} bytes came")
        chunk = Chunk(self._budget, min(chunk_bytes(self.size_bytes), left), self)
        self._chunks.append(chunk)
        if self._closed:  # while it waited
            chunk.release()
            raise Stopped("asked to stop")
        self._rooms = iter(chunk)
        return next(self._rooms)

    def _end_room(self) -> None:
        count = self._at
        self._received, self._room, self._at = self._received + count, _NO_ROOM, 0
        if self._bandwidth:
            self._bandwidth.passed(count)
        if self._received == self.size_bytes or self._received % chunk_bytes(self.size_bytes) == 0:
            self._hand_on(self._chunks[-1])

    def _hand_on(self, chunk: Chunk | None) -> None:
        if self._alone:
            self._only = chunk or self._only
            return
        while not self._closed:
            if chunk and self._stop.is_set():
                raise Stopped("asked to stop")
            with suppress(Full):
                self._queue.put(chunk, timeout=1)
                return

    def _run(self) -> None:
        try:
            self._source(self)
            if self.received != self.size_bytes:
                raise EntryFailed(f"{self.received} bytes came instead of {self.size_bytes}")
        except _MoreThanTold:
            self._alone = False
            return
        except BaseException as error:  # noqa: BLE001 - raised where the content is taken
            self._failure = error
        self._hand_on(None)

    # The side of who takes it

    def __enter__(self) -> Inflow:
        """Waits until the size is known. Raises what the source raises."""
        try:
            if self._alone:
                self._run()
            if not self._alone:
                self._queue = Queue(2)
                self._thread = threading.Thread(target=self._run, name="inflow", daemon=True)
                self._thread.start()
            self._first = self._next()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _next(self) -> Chunk | None:
        chunk = self._only if self._alone else self._queue.get()
        if self._failure and (self._alone or chunk is None):
            raise self._failure
        return chunk

    def __iter__(self) -> Iterator[Chunk]:
        """The chunks, once; each is to be released by who is done with it."""
        chunk = self._first
        while chunk is not None:
            yield chunk
            chunk = None if self._alone else self._next()

    def __exit__(self, *exc_info: object) -> None:
        self._closed = True
        if not self._alone:
            with suppress(Empty):
                while True:
                    self._queue.get_nowait()
            self._thread.join(_CLOSING_SECONDS)
        over = self._alone or not self._thread.is_alive()
        for chunk in self._chunks:
            chunk.release(again=over)  # a source that hangs may yet write into it


def is_rest(content_range: str | None, offset: int, size_bytes: int) -> bool:
    """Whether this header says that the content, of that size, comes from `offset` on: not all heed what was asked."""
    begin, _, total = (content_range or "").partition("/")
    return begin.startswith(f"bytes {offset}-") and total in ("*", str(size_bytes))


def poured(pieces: Iterable[Piece], size_bytes: int) -> Callable[[Inflow], None]:
    """A source of what is at hand already."""

    def pour(inflow: Inflow) -> None:
        inflow.begin(size_bytes)
        for piece in pieces:
            inflow.put(piece)

    return pour


@dataclass(frozen=True)
class Fingerprint:
    """What identifies content: its size, SHA-256 and CRC64NVME, and the ETag that parts of `part_bytes` would give it.

    S3's ETag is the MD5 of the bytes for an object written in one piece, else the MD5 of its parts' MD5s and their
    number. It is empty where nobody asked for it, and `etag_guessed` where the size of the parts is no more than usual.
    The CRC32, too, is there only where it is needed.
    """

    size_bytes: int
    sha256: str
    crc64nvme: str
    etag: str = ""
    etag_guessed: bool = False
    crc32: str = ""


class Fingerprinter:
    """Takes content piece by piece; `part_bytes` None means an object written in one piece.

    Without `md5` the ETag is empty: MD5 takes longer than all the rest, and SHA-256 proves more.
    """

    def __init__(
        self, part_bytes: int | None = None, *, md5: bool = True, guessed: bool = False, crc32: bool = False
    ) -> None:
        self._part_bytes, self._with_md5, self._guessed = part_bytes, md5, guessed
        self._size, self._crc, self._sha = 0, 0, hashlib.sha256()
        self._crc32 = 0 if crc32 else None
        self._md5, self._in_part = hashlib.md5(usedforsecurity=False), 0
        self._parts: list[bytes] = []

    def update(self, piece: Piece) -> None:
        self._sha.update(piece)
        self._crc = crc64nvme(piece, self._crc)
        self._size += len(piece)
        if self._crc32 is not None:
            self._crc32 = crc32(piece, self._crc32)
        if not self._with_md5:
            return
        view = memoryview(piece)
        while self._part_bytes and self._in_part + len(view) > self._part_bytes:
            room = self._part_bytes - self._in_part
            self._md5.update(view[:room])
            self._parts.append(self._md5.digest())
            self._md5, self._in_part, view = hashlib.md5(usedforsecurity=False), 0, view[room:]
        self._md5.update(view)
        self._in_part += len(view)

    @property
    def size_bytes(self) -> int:
        """How much was taken in."""
        return self._size

    def result(self) -> Fingerprint:
        etag = self._md5.hexdigest() if self._with_md5 else ""
        if self._with_md5 and self._part_bytes:
            etag = etag_of_parts([*self._parts, self._md5.digest()])
        crc32 = "" if self._crc32 is None else crc32_text(self._crc32)
        return Fingerprint(self._size, self._sha.hexdigest(), crc_text(self._crc), etag, self._guessed, crc32)


def etag_of_parts(md5s: list[bytes]) -> str:
    """The ETag that S3 gives to an object of parts with these MD5s."""
    return f"{hashlib.md5(b''.join(md5s), usedforsecurity=False).hexdigest()}-{len(md5s)}"


def fingerprint(inflow: Inflow, taken: Fingerprinter | None = None, *, most_bytes: int | None = None) -> Fingerprint:
    """Read all of the content, or that many bytes, and tell its fingerprint, without ETag unless `taken` makes one."""
    taken = taken or Fingerprinter(md5=False)
    with inflow:
        for chunk in inflow:
            for piece in chunk:
                taken.update(piece if most_bytes is None else piece[: most_bytes - taken.size_bytes])
            chunk.release()
            if taken.size_bytes == most_bytes:
                break
    return taken.result()


def crc_text(crc: int) -> str:
    """A CRC64 as S3 writes it: base64 of eight bytes."""
    return base64.b64encode(crc.to_bytes(8, "big")).decode()


def crc32_text(crc: int) -> str:
    """A CRC32 as S3 writes it: base64 of four bytes."""
    return base64.b64encode(crc.to_bytes(4, "big")).decode()
