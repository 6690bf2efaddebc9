"""How long an MP4 plays, by its own head, and whether all of it is there. Pure.

ISO/IEC 14496-12: a file is boxes, each with its size and kind; in `moov` is `mvhd`, which tells the length; `mdat` has
the pictures.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

MAX_HEAD_BYTES = 64 * 1024 * 1024  # of `moov`; that of two hours has some 5 MB


def movie_seconds(pieces: Iterable[bytes | memoryview], size_bytes: int) -> float:
    """How many seconds it plays; no more is read than is needed. Raises ValueError that says what is wrong."""
    source = _Source(pieces)
    at, seconds, pictures = 0, 0.0, False
    while at < size_bytes:
        (length, kind), used = struct.unpack(">I4s", source.take(8)), 8
        if at == 0 and kind != b"ftyp":
            raise ValueError("it is no MP4")
        if length == 1:
            (length,), used = struct.unpack(">Q", source.take(8)), 16
        length = length or size_bytes - at  # 0: up to the end
        if length < used or at + length > size_bytes:
            raise ValueError(f"it is cut: it has {size_bytes} bytes, and speaks of {at + length}")
        if kind == b"moov":
            if length > MAX_HEAD_BYTES:
                raise ValueError(f"its head has {length} bytes")
            seconds = _told(source.take(length - used))
        pictures = pictures or kind == b"mdat"
        if seconds and pictures:
            return seconds
        if kind != b"moov":
            source.skip(length - used)
        at += length
    raise ValueError("it has no pictures" if seconds else "it does not tell how long it plays")


def _told(moov: bytes) -> float:
    """The length in a movie header; 0 where there is none, or none yet."""
    at = 0
    while at + 8 <= len(moov):
        length, kind = struct.unpack_from(">I4s", moov, at)
        if kind == b"mvhd" and at + 40 <= len(moov):
            form, where = (">IQ", at + 28) if moov[at + 8] == 1 else (">II", at + 20)
            scale, units = struct.unpack_from(form, moov, where)
            return units / scale if scale else 0.0
        if length < 8:
            break
        at += length
    return 0.0


class _Source:
    """Bytes that come in pieces, in their order."""

    def __init__(self, pieces: Iterable[bytes | memoryview]) -> None:
        self._pieces = iter(pieces)
        self._rest = b""

    def take(self, count: int) -> bytes:
        parts, have = [self._rest], len(self._rest)
        while have < count:
            part = bytes(self._next())
            parts.append(part)
            have += len(part)
        whole = b"".join(parts)
        self._rest = whole[count:]
        return whole[:count]

    def skip(self, count: int) -> None:
        rest = memoryview(self._rest)
        while len(rest) < count:
            count -= len(rest)
            rest = memoryview(self._next())
        self._rest = bytes(rest[count:])

    def _next(self) -> bytes | memoryview:
        piece = next(self._pieces, None)
        if piece is None:
            raise ValueError("it ends early")
        return piece
