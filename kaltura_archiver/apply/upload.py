"""Content on its way to Kaltura, and how many entries it converts for us."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress

from kaltura_archiver.apply.proof import compare_own
from kaltura_archiver.apply.tools import InHand, Tools
from kaltura_archiver.errors import ArchiverError, EntryFailed
from kaltura_archiver.model import Identity, StoredObject
from kaltura_archiver.transfer.chunks import Chunk
from kaltura_archiver.transfer.streams import Fingerprinter


def begin_conversion(tools: Tools, work: InHand) -> None:
    """Wait for leave to have Kaltura convert one more; asked for before anything is sent, which would only lie."""
    if not work.converting:
        tools.room.begin_conversion()
        work.converting = True


def end_conversion(tools: Tools, work: InHand) -> None:
    if work.converting:
        tools.room.end_conversion()
        work.converting = False


def upload_content(tools: Tools, name: str, size_bytes: int, chunks: Iterable[Chunk]) -> str:
    token = tools.kaltura.new_token(name, size_bytes)
    try:
        with tools.transfers:
            tools.kaltura.upload(token, name, size_bytes, chunks)
    except BaseException:
        with suppress(ArchiverError):
            tools.kaltura.delete_token(token)
        raise
    return token


def proven(tools: Tools, taken: Fingerprinter, stored: StoredObject, chunks: Iterable[Chunk]) -> Iterator[Chunk]:
    """The chunks; the last one only once all of them are known to be what was archived."""

    def check() -> None:
        verdict, how, _ = compare_own(taken.result(), stored)
        if verdict not in (Identity.SAME, Identity.LIKELY):
            raise EntryFailed(f"what S3 sent is not what was archived: {how}; nothing was changed in Kaltura")

    return checked(chunks, taken, stored.size_bytes, check)


def checked(
    chunks: Iterable[Chunk], taken: Fingerprinter, size_bytes: int, check: Callable[[], None]
) -> Iterator[Chunk]:
    """The chunks, taken in as they pass; the last one only once this check of all has been made, which may raise."""
    for chunk in chunks:
        for piece in chunk:
            taken.update(piece)
        if taken.size_bytes >= size_bytes:
            check()
        yield chunk
