"""Chunks of content, in blocks of memory that all transfers share."""

from __future__ import annotations

import hashlib
import io
import threading
from collections import deque
from collections.abc import Iterator
from typing import Protocol

from kaltura_archiver.errors import Stopped
from kaltura_archiver.transfer.crc import crc32, crc64nvme

# A chunk is a part of a multipart upload to S3 (5 MiB at least) and one POST to Kaltura.
CHUNK_BYTES = 8 * 2**20
# Up to here all of an object is one chunk: one request instead of four.
MAX_WHOLE_BYTES = 16 * 2**20
# S3 takes 10,000 parts.
MAX_CHUNKS = 9_000
BLOCK_BYTES = 2**20


class Stopping(Protocol):
    """Says whether what is waited for is still wanted; a threading.Event is one."""

    def is_set(self) -> bool: ...


def chunk_bytes(size_bytes: int) -> int:
    """The size of the chunks of content of that size, of which the last one is shorter."""
    return size_bytes if size_bytes <= MAX_WHOLE_BYTES else max(CHUNK_BYTES, -(-size_bytes // MAX_CHUNKS))


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

    def take(self, size_bytes: int, stop: Stopping) -> list[bytearray]:
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

    def give(self, blocks: list[bytearray], *, again: bool = True) -> None:
        """Give blocks back, to be used `again` unless somebody may still write into them."""
        with self._changed:
            self.taken -= len(blocks)
            if again:
                self._spare = (blocks + self._spare)[: self.blocks]
            self._changed.notify_all()


class Chunk:
    """Bytes in blocks of a budget, sent from there as they are; `release` gives the blocks back.

    A body to libcurl (which gets it block by block) and to boto3 (which reads).
    """

    def __init__(self, budget: Budget, size_bytes: int, stop: Stopping) -> None:
        self._budget, self._blocks = budget, budget.take(size_bytes, stop)
        self._size, self._at = size_bytes, 0
        self._crc: int | None = None  # once it is asked for; then the chunk is full
        self._sha256 = ""

    def release(self, *, again: bool = True) -> None:
        """May be called more than once."""
        blocks, self._blocks, self._size = self._blocks, [], 0
        self._budget.give(blocks, again=again)

    def crc64nvme(self) -> int:
        if self._crc is None:
            self._crc = 0
            for piece in self:
                self._crc = crc64nvme(piece, self._crc)
        return self._crc

    def crc32(self) -> int:
        crc = 0
        for piece in self:
            crc = crc32(piece, crc)
        return crc

    def md5(self) -> bytes:
        md5 = hashlib.md5(usedforsecurity=False)
        for piece in self:
            md5.update(piece)
        return md5.digest()

    def sha256(self) -> str:
        if not self._sha256:
            sha = hashlib.sha256()
            for piece in self:
                sha.update(piece)
            self._sha256 = sha.hexdigest()
        return self._sha256

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[memoryview]:
        for n, block in enumerate(self._blocks):
            yield memoryview(block)[: self._size - n * len(block)]

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


# Ten chunks.
BUDGET = Budget(80)
