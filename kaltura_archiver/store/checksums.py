"""Which checksum goes with a body, and what it is called where."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from awscrt import checksums

from kaltura_archiver.transfer.chunks import Chunk
from kaltura_archiver.transfer.streams import Fingerprint, crc32_text, crc_text, etag_of_parts

# The checksum that goes with a body, and the one that does where S3 does not know it; with none the copy is read back.
NEXT_ALGORITHM = {"CRC64NVME": "CRC32", "CRC32": ""}
# How services say that they do not know a header.
UNKNOWN_HEADER = frozenset(
    {"InvalidArgument", "InvalidRequest", "NotImplemented", "UnsupportedHeader", "InvalidHeader", "MalformedXML"}
)


def sum_of(chunk: Chunk, algorithm: str) -> str:
    """A chunk's checksum as S3 writes it; empty for no algorithm."""
    if not algorithm:
        return ""
    return crc_text(chunk.crc64nvme()) if algorithm == "CRC64NVME" else crc32_text(chunk.crc32())


def checksum_parameters(algorithm: str, checksum: str, **more: Any) -> dict[str, Any]:
    """A checksum as boto3 wants it, and what goes with one; nothing for no algorithm."""
    return {f"Checksum{algorithm}": checksum, **more} if algorithm else {}


def checksum_header(algorithm: str, checksum: str) -> dict[str, str]:
    return {f"x-amz-checksum-{algorithm.lower()}": checksum} if algorithm else {}


def joined_fingerprint(parts: list[SentPart], size_bytes: int, sha256: str) -> Fingerprint:
    """What the whole object of these parts is."""
    crc, crc32 = 0, 0
    for part in parts:
        crc = checksums.combine_crc64nvme(crc, part.crc64nvme, part.size_bytes)
        crc32 = checksums.combine_crc32(crc32, part.crc32 or 0, part.size_bytes)
    etag = etag_of_parts([part.md5 for part in parts]) if all(part.md5 for part in parts) else ""
    known = all(part.crc32 is not None for part in parts)
    return Fingerprint(size_bytes, sha256, crc_text(crc), etag, crc32=crc32_text(crc32) if known else "")


@dataclass(frozen=True)
class SentPart:
    """A part that was sent. `checksum` is what went with it, `crc32` there only if it was that; `md5` may be empty."""

    number: int
    size_bytes: int
    etag: str
    crc64nvme: int
    crc32: int | None
    checksum: str
    md5: bytes


@dataclass
class MultipartUpload:
    """A multipart upload: what each of its calls names, and the checksum that was agreed upon (empty for none)."""

    names: dict[str, Any]
    algorithm: str


def part_done(chunk: Chunk, room: threading.Semaphore, _: Future[Any]) -> None:
    chunk.release()
    room.release()
