"""Content on its way to Kaltura, and how many entries it converts for us."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress

from kaltura_archiver.apply.proof import compare_own
from kaltura_archiver.apply.tools import InHand, Tools
from kaltura_archiver.errors import ArchiverError, EntryFailed
from kaltura_archiver.model import Identity, StoredObject
from kaltura_archiver.transfer.streams import Fingerprinter, Piece


def begin_conversion(tools: Tools, work: InHand) -> None:
    """Wait for leave to have Kaltura convert one more; asked for before anything is sent, which would only lie."""
    if not work.converting:
        tools.room.begin_conversion()
        work.converting = True


def end_conversion(tools: Tools, work: InHand) -> None:
    if work.converting:
        tools.room.end_conversion()
        work.converting = False


def upload_content(tools: Tools, name: str, size_bytes: int, pieces: Iterable[Piece]) -> str:
    token = tools.kaltura.new_token(name, size_bytes)
    try:
        with tools.transfers:
            tools.kaltura.upload(token, name, size_bytes, pieces)
    except BaseException:
        with suppress(ArchiverError):
            tools.kaltura.delete_token(token)
        raise
    return token


def proven_pieces(tools: Tools, taken: Fingerprinter, stored: StoredObject, pieces: Iterable[Piece]) -> Iterator[Piece]:
    """The pieces; the last one only once all of them are known to be what was archived."""
    last: Piece = b""
    for piece in taken.passing(pieces):
        yield last
        last = piece
    verdict, how, _ = compare_own(taken.result(), stored)
    if verdict not in (Identity.SAME, Identity.LIKELY):
        raise EntryFailed(f"what S3 sent is not what was archived: {how}; nothing was changed in Kaltura")
    yield last
