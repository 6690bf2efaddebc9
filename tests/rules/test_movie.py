"""How long an MP4 plays, by its own head, and whether all of it is there (ISO/IEC 14496-12)."""

from __future__ import annotations

import struct

import pytest

from kaltura_archiver.movie import movie_seconds
from kaltura_archiver.sandbox.media import make_mp4


def box(kind: bytes, content: bytes = b"") -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content


def head(scale: int, units: int, *, version: int = 0) -> bytes:
    times = bytes(16 if version else 8)
    told = struct.pack(">IQ" if version else ">II", scale, units)
    return box(b"moov", box(b"udta") + box(b"mvhd", bytes([version, 0, 0, 0]) + times + told + bytes(80)))


FTYP, MDAT = box(b"ftyp", b"isom\0\0\2\0"), box(b"mdat", b"pictures" * 100)


def in_pieces(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


@pytest.mark.parametrize("size", [1, 7, 1000, 10**9])
@pytest.mark.parametrize(
    "data",
    [
        FTYP + head(1000, 5_400_000) + MDAT,
        FTYP + MDAT + head(90_000, 486_000_000),  # its head behind the pictures, as most encoders leave it
        FTYP + head(1000, 5_400_000, version=1) + MDAT,
        FTYP + box(b"free", bytes(50)) + head(1000, 5_400_000) + struct.pack(">I4sQ", 1, b"mdat", 816) + bytes(800),
        FTYP + head(1000, 5_400_000) + struct.pack(">I4s", 0, b"mdat") + bytes(800),  # up to the end
    ],
)
def test_it_tells_how_long_it_plays(data: bytes, size: int) -> None:
    assert movie_seconds(in_pieces(data, size), len(data)) == 5400


def test_a_real_one_does() -> None:
    data = make_mp4(seconds=3)
    assert movie_seconds([data], len(data)) == pytest.approx(3, abs=0.2)


def test_no_more_is_read_than_is_needed() -> None:
    whole = FTYP + head(1000, 60_000) + box(b"mdat", bytes(10**6))
    pieces = iter(in_pieces(whole, 1000))
    assert movie_seconds(pieces, len(whole)) == 60
    assert len(list(pieces)) > 900


WHOLE = FTYP + head(1000, 60_000) + MDAT


@pytest.mark.parametrize(
    ("data", "size", "why"),
    [
        (WHOLE[:-100], len(WHOLE) - 100, "it is cut"),
        (WHOLE[:-100], len(WHOLE), ""),  # what is there of the pictures is not read; its size is looked at before
        (FTYP + MDAT, len(FTYP + MDAT), "does not tell how long"),
        (FTYP + head(1000, 0) + MDAT, None, "does not tell how long"),  # in fragments
        (FTYP + head(0, 5) + MDAT, None, "does not tell how long"),
        (FTYP + head(1000, 60_000), None, "no pictures"),
        (b"\x1aE\xdf\xa3" + bytes(1000), None, "no MP4"),
        (b"", 0, "does not tell"),
        (FTYP + struct.pack(">I4s", 4, b"moov"), None, "it is cut"),
        (FTYP[:6], 600, "ends early"),
        (FTYP + struct.pack(">I4sQ", 1, b"moov", 10**9) + bytes(9), 2 * 10**9, "its head has"),
    ],
)
def test_what_is_wrong_with_it_is_said(data: bytes, size: int | None, why: str) -> None:
    if not why:
        assert movie_seconds([data], size or 0) == 60
        return
    with pytest.raises(ValueError, match=why):
        movie_seconds(in_pieces(data, 11), len(data) if size is None else size)
