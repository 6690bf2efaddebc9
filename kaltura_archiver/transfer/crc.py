"""The CRCs that S3 compares, by awscrt. That is imported where one is made: it takes 30 ms, an eighth of `count`."""

from __future__ import annotations


def crc64nvme(piece: bytes | memoryview, before: int = 0) -> int:
    """The CRC64NVME of what came before and this."""
    from awscrt import checksums

    return int(checksums.crc64nvme(piece, before))


def crc32(piece: bytes | memoryview, before: int = 0) -> int:
    """The CRC32 of what came before and this."""
    from awscrt import checksums

    return int(checksums.crc32(piece, before))
