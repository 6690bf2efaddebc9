"""Bytes on their way: counted, cut into chunks within a budget of memory, and fingerprinted."""

from __future__ import annotations

import base64
import hashlib
import io
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, cast

from awscrt import checksums

from kaltura_archiver.errors import EntryFailed, Stopped

Piece = bytes | memoryview
# A chunk is a part of a multipart upload to S3 (5 MiB at least) and one POST to Kaltura.
CHUNK_BYTES = 8 * 2**20
BLOCK_BYTES = 2**20
# So much is read, hashed and copied while the processor has it at hand.
READ_BYTES = 2**18
# A connection that is cut after less has brought nothing: else a transfer of a byte each time would go on for years.
MIN_PROGRESS_BYTES = 2**20


def exactly(pieces: Iterable[Piece], size_bytes: int, what: str) -> Iterator[Piece]:
    """The same pieces; EntryFailed ("<what> N bytes instead of M") before one goes beyond, or at the end."""
    found = 0
    for piece in pieces:
        found += len(piece)
        if found > size_bytes:
            break
        yield piece
    if found != size_bytes or not found:
        raise EntryFailed(f"{what} {found} bytes instead of {size_bytes}")


def hashed(pieces: Iterable[Piece], sha: hashlib._Hash) -> Iterator[Piece]:
    """The same pieces, hashed while the processor still has them at hand."""
    for piece in pieces:
        sha.update(piece)
        yield piece


class Budget:
    """Blocks of memory that all transfers of the process share: who asks when none are left waits, in order of coming.

    Nobody waits while holding what only he could give back: a transfer takes a chunk's blocks before it reads the
    chunk, and a chunk that is read needs no more to be sent. So there is always one that goes on. Blocks are used
    again: fresh memory costs more time than copying does, and malloc would hold on to more of it than is in use.
    """

    def __init__(self, blocks: int, block_bytes: int = BLOCK_BYTES) -> None:
        self.blocks, self.block_bytes = blocks, block_bytes
        self.taken = 0
        self._spare: list[bytearray] = []
        self._changed = threading.Condition()
        self._queue: deque[object] = deque()

    def take(self, size_bytes: int, stop: threading.Event) -> list[bytearray]:
        """Wait for blocks of that many bytes and take them; more than all there are, when nobody else has any."""
        count, ticket = -(-size_bytes // self.block_bytes), object()
        with self._changed:
            self._queue.append(ticket)
            try:
                while self._queue[0] is not ticket or (self.taken and self.taken + count > self.blocks):
                    if stop.is_set():
                        raise Stopped("asked to stop")
                    self._changed.wait(1)
                self.taken += count
                found, self._spare = self._spare[:count], self._spare[count:]
            finally:
                self._queue.remove(ticket)
                self._changed.notify_all()
        return found + [bytearray(self.block_bytes) for _ in range(count - len(found))]

    def give(self, blocks: list[bytearray]) -> None:
        with self._changed:
            self.taken -= len(blocks)
            self._spare = (blocks + self._spare)[: self.blocks]
            self._changed.notify_all()


class Chunk:
    """Bytes in blocks of a budget, sent from there as they are; `release` gives the blocks back.

    A body to `requests` (which iterates) and to boto3 (which reads).
    """

    def __init__(self, budget: Budget, size_bytes: int, stop: threading.Event) -> None:
        self._budget, self._blocks = budget, budget.take(size_bytes, stop)
        self._size, self._at = 0, 0
        self._most, self._landed = size_bytes, memoryview(b"")

    @property
    def full(self) -> bool:
        return self._size == self._most

    def fill(self, readinto: Callable[[memoryview], int]) -> memoryview:
        """Have the next bytes read to where they belong. They count once `append` gets what this returns."""
        block, at = divmod(self._size, self._budget.block_bytes)
        room = memoryview(self._blocks[block])[at : at + min(READ_BYTES, self._most - self._size)]
        self._landed = room[: readinto(room)]
        return self._landed

    def append(self, piece: memoryview) -> None:
        """Copy the piece in, unless it is there already; there must be room."""
        if piece is self._landed:
            self._size += len(piece)
            return
        while piece:
            block, at = divmod(self._size, self._budget.block_bytes)
            part = piece[: self._budget.block_bytes - at]
            self._blocks[block][at : at + len(part)] = part
            self._size += len(part)
            piece = piece[len(part) :]

    def release(self) -> None:
        blocks, self._blocks, self._size = self._blocks, [], 0
        self._budget.give(blocks)

    def crc64nvme(self) -> int:
        crc = 0
        for piece in self:
            crc = checksums.crc64nvme(piece, crc)
        return crc

    def crc32(self) -> int:
        crc = 0
        for piece in self:
            crc = checksums.crc32(piece, crc)
        return crc

    def md5(self) -> bytes:
        md5 = hashlib.md5(usedforsecurity=False)
        for piece in self:
            md5.update(piece)
        return md5.digest()

    def sha256(self) -> str:
        sha = hashlib.sha256()
        for piece in self:
            sha.update(piece)
        return sha.hexdigest()

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[memoryview]:
        for n, block in enumerate(self._blocks):
            if left := self._size - n * len(block):
                yield memoryview(block)[:left]

    def read(self, size: int = -1) -> bytes | memoryview:
        """The next block, whatever its size: the connection takes as much at a time as it is given."""
        left = self._size - self._at
        if left <= 0:
            return b""
        block, at = divmod(self._at, self._budget.block_bytes)
        piece = memoryview(self._blocks[block])[at : at + left]
        self._at += len(piece)
        return piece

    def readinto(self, room: memoryview) -> int:
        """For who has no more room than so much: botocore's signer in C, where bodies are signed."""
        begin = self._at
        piece = self.read()[: len(room)]
        room[: len(piece)] = piece
        self._at = begin + len(piece)
        return len(piece)

    def seek(self, offset: int, whence: int = 0) -> int:
        """Back to the beginning, to be sent once more; nobody asks for anything else."""
        if (offset, whence) != (0, 0):
            raise io.UnsupportedOperation("only back to the beginning")
        self._at = 0
        return 0

    def tell(self) -> int:
        return self._at


class Landing:
    """Lets a source read its bytes to where they are sent from, in the chunk that `chunked` fills: no copy is made.

    A piece that comes of it is good until the next one is asked for.
    """

    chunk: Chunk | None = None

    def read(self, source: Any) -> bytes | memoryview:
        """The next bytes of a file, empty at its end."""
        if self.chunk is None or self.chunk.full or not hasattr(source, "readinto"):
            return cast(bytes, source.read(READ_BYTES))
        return self.chunk.fill(source.readinto)


# Ten chunks.
BUDGET = Budget(80)


def chunked(
    pieces: Iterable[Piece],
    size: int,
    total: int,
    stop: threading.Event,
    *,
    budget: Budget = BUDGET,
    landing: Landing | None = None,
) -> Generator[Chunk, None, None]:
    """The same `total` bytes in chunks of exactly `size`, the last one shorter; nothing for no bytes.

    Each chunk is to be released by who takes it. `landing` is where the pieces are read to, if it is theirs. Raises
    Stopped while it waits for room.
    """
    landing, left = landing or Landing(), total
    landing.chunk = chunk = Chunk(budget, min(size, left), stop) if left else None
    try:
        for piece in pieces:
            view = piece if isinstance(piece, memoryview) else memoryview(piece)
            while view:
                if chunk is None:
                    raise EntryFailed(f"more than {total} bytes came")
                room = size - len(chunk)
                chunk.append(view if len(view) <= room else view[:room])
                left -= min(room, len(view))
                view = view[room:]
                if len(chunk) == size:
                    full, chunk = chunk, None
                    yield full
                    landing.chunk = chunk = Chunk(budget, min(size, left), stop) if left else None
        if chunk is not None:
            last, chunk = chunk, None
            yield last
    finally:
        landing.chunk = None
        if chunk is not None:
            chunk.release()


def first_bytes(pieces: Iterable[Piece], count: int) -> Iterator[Piece]:
    """The first `count` bytes, and no further piece is asked for."""
    for piece in pieces:
        yield piece[:count]
        count -= len(piece)
        if count <= 0:
            return


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
        self._crc = checksums.crc64nvme(piece, self._crc)
        self._size += len(piece)
        if self._crc32 is not None:
            self._crc32 = checksums.crc32(piece, self._crc32)
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

    def passing(self, pieces: Iterable[Piece]) -> Iterator[Piece]:
        """The same pieces, taken in as they pass."""
        for piece in pieces:
            self.update(piece)
            yield piece

    def result(self) -> Fingerprint:
        etag = self._md5.hexdigest() if self._with_md5 else ""
        if self._with_md5 and self._part_bytes:
            etag = etag_of_parts([*self._parts, self._md5.digest()])
        crc32 = "" if self._crc32 is None else crc32_text(self._crc32)
        return Fingerprint(self._size, self._sha.hexdigest(), crc_text(self._crc), etag, self._guessed, crc32)


def etag_of_parts(md5s: list[bytes]) -> str:
    """The ETag that S3 gives to an object of parts with these MD5s."""
    return f"{hashlib.md5(b''.join(md5s), usedforsecurity=False).hexdigest()}-{len(md5s)}"


def fingerprint(pieces: Iterable[Piece], taken: Fingerprinter | None = None) -> Fingerprint:
    """Read all of `pieces` and tell its fingerprint, without ETag unless `taken` makes one."""
    taken = taken or Fingerprinter(md5=False)
    for piece in pieces:
        taken.update(piece)
    return taken.result()


def crc_text(crc: int) -> str:
    """A CRC64 as S3 writes it: base64 of eight bytes."""
    return base64.b64encode(crc.to_bytes(8, "big")).decode()


def crc32_text(crc: int) -> str:
    """A CRC32 as S3 writes it: base64 of four bytes."""
    return base64.b64encode(crc.to_bytes(4, "big")).decode()
