"""Bytes on their way: cut into chunks, and fingerprinted."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from awscrt import checksums


def rechunk(pieces: Iterable[bytes], size: int) -> Iterator[bytes]:
    """The same bytes in chunks of exactly `size`, the last one shorter; nothing for no bytes."""
    buffer = bytearray()
    for piece in pieces:
        buffer += piece
        while len(buffer) >= size:
            yield bytes(buffer[:size])
            del buffer[:size]
    if buffer:
        yield bytes(buffer)


def first_bytes(pieces: Iterable[bytes], count: int) -> Iterator[bytes]:
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
    number.
    """

    size_bytes: int
    sha256: str
    crc64nvme: str
    etag: str


class Fingerprinter:
    """Takes content piece by piece; `part_bytes` None means an object written in one piece."""

    def __init__(self, part_bytes: int | None = None) -> None:
        self._part_bytes = part_bytes
        self._size, self._crc, self._sha = 0, 0, hashlib.sha256()
        self._md5, self._in_part = hashlib.md5(usedforsecurity=False), 0
        self._parts: list[bytes] = []

    def update(self, piece: bytes) -> None:
        self._sha.update(piece)
        self._crc = checksums.crc64nvme(piece, self._crc)
        self._size += len(piece)
        view = memoryview(piece)
        while self._part_bytes and self._in_part + len(view) > self._part_bytes:
            room = self._part_bytes - self._in_part
            self._md5.update(view[:room])
            self._parts.append(self._md5.digest())
            self._md5, self._in_part, view = hashlib.md5(usedforsecurity=False), 0, view[room:]
        self._md5.update(view)
        self._in_part += len(view)

    def passing(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """The same pieces, taken in as they pass."""
        for piece in pieces:
            self.update(piece)
            yield piece

    def result(self) -> Fingerprint:
        etag = self._md5.hexdigest()
        if self._part_bytes:
            digests = b"".join([*self._parts, self._md5.digest()])
            etag = f"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(self._parts) + 1}"
        return Fingerprint(self._size, self._sha.hexdigest(), crc_text(self._crc), etag)


def fingerprint(pieces: Iterable[bytes], *, part_bytes: int | None = None) -> Fingerprint:
    """Read all of `pieces` and tell its fingerprint."""
    taken = Fingerprinter(part_bytes)
    for piece in pieces:
        taken.update(piece)
    return taken.result()


def crc_text(crc: int) -> str:
    """A CRC64 as S3 writes it: base64 of eight bytes."""
    return base64.b64encode(crc.to_bytes(8, "big")).decode()
