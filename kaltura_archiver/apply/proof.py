"""Whether bytes that were read are those of a stored object, and by which evidence. Pure.

What S3 itself keeps of an object (checksums, ETag) beats its tags, which outlive what they were written for.
"""

from __future__ import annotations

from typing import NamedTuple

from kaltura_archiver.model import Evidence, Identity, StoredObject
from kaltura_archiver.transfer.streams import Fingerprint


class Verdict(NamedTuple):
    """`how` says in words what agrees or differs; `evidence` is there only with SAME."""

    identity: Identity
    how: str
    evidence: Evidence | None = None


def compare(found: Fingerprint, stored: StoredObject) -> Verdict:
    """Whether content from elsewhere (sent to S3, or read from Kaltura) is what the object holds.

    `found` is made by `Store.fingerprinter`, or by `Store.write`. LIKELY means that only the sizes can be compared.
    """
    if (verdict := _by_checksum(found, stored)) is not None:
        return verdict
    if stored.sha256 and found.sha256 != stored.sha256:
        return Verdict(Identity.DIFFERENT, "SHA-256 differs")
    if stored.proven and stored.proof:
        return Verdict(Identity.SAME, f"SHA-256 agrees, proven by {stored.proof.evidence}", stored.proof.evidence)
    return _by_etag(found, stored)


def compare_own(found: Fingerprint, stored: StoredObject) -> Verdict:
    """Whether the bytes that S3 has just given of an object are what was archived."""
    if not stored.size_bytes:
        return Verdict(Identity.DIFFERENT, "it is empty")
    if found.size_bytes == stored.size_bytes and stored.sha256:
        if found.sha256 == stored.sha256:
            return Verdict(Identity.SAME, "SHA-256 agrees", Evidence.READ)
        return Verdict(Identity.DIFFERENT, "SHA-256 differs")
    return _by_checksum(found, stored) or _by_etag(found, stored)


def _by_checksum(found: Fingerprint, stored: StoredObject) -> Verdict | None:
    """By the size and the checksums that S3 shows; None where it shows none."""
    if found.size_bytes != stored.size_bytes:
        return Verdict(Identity.DIFFERENT, f"{found.size_bytes} bytes, the object has {stored.size_bytes}")
    for name, ours, theirs in (
        ("CRC64NVME", found.crc64nvme, stored.crc64nvme),
        ("CRC32", found.crc32, stored.crc32),
    ):
        if ours and theirs and ours != theirs:
            return Verdict(Identity.DIFFERENT, f"{name} differs")
        if ours and theirs:
            return Verdict(Identity.SAME, f"{name} and size agree", Evidence.CHECKSUM)
    return None


def _by_etag(found: Fingerprint, stored: StoredObject) -> Verdict:
    """By the MD5s that the ETag is made of. Equal ones are no chance; others prove something only where nothing about
    them is guessed: that the service makes its ETags so, and how the object was parted."""
    if found.etag and found.etag == stored.etag:
        return Verdict(Identity.SAME, "MD5 (ETag) agrees", Evidence.MD5)
    if found.etag and stored.md5_etag and not found.etag_guessed:
        return Verdict(Identity.DIFFERENT, "MD5 (ETag) differs")
    return Verdict(Identity.LIKELY, "S3 shows no checksum of the object, and its ETag cannot be rebuilt")
