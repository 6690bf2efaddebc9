"""One request to S3 and its answer, and what may go wrong with them."""

from __future__ import annotations

import base64
import hashlib
import io
import math
import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from awscrt import checksums

from kaltura_archiver.sandbox.control import Fault

ALGORITHMS: dict[str, Callable[[bytes], bytes]] = {
    "CRC32": lambda data: zlib.crc32(data).to_bytes(4, "big"),
    "CRC32C": lambda data: checksums.crc32c(data).to_bytes(4, "big"),
    "CRC64NVME": lambda data: checksums.crc64nvme(data).to_bytes(8, "big"),
    "SHA1": lambda data: hashlib.sha1(data, usedforsecurity=False).digest(),
    "SHA256": lambda data: hashlib.sha256(data).digest(),
}
# (method, on a key) -> [(query parameter that must be there, operation)]; the first that fits wins, "" always fits.
OPERATIONS: dict[tuple[str, bool], list[tuple[str, str]]] = {
    ("GET", True): [
        ("uploadId", "ListParts"),
        ("tagging", "GetObjectTagging"),
        ("attributes", "GetObjectAttributes"),
        ("acl", "GetObjectAcl"),
        ("retention", "GetObjectRetention"),
        ("legal-hold", "GetObjectLegalHold"),
        ("", "GetObject"),
    ],
    ("HEAD", True): [("", "HeadObject")],
    ("PUT", True): [
        ("uploadId", "UploadPart"),
        ("tagging", "PutObjectTagging"),
        ("acl", "PutObjectAcl"),
        ("retention", "PutObjectRetention"),
        ("legal-hold", "PutObjectLegalHold"),
        ("", "PutObject"),
    ],
    ("POST", True): [
        ("uploads", "CreateMultipartUpload"),
        ("uploadId", "CompleteMultipartUpload"),
        ("restore", "RestoreObject"),
        ("select", "SelectObjectContent"),
    ],
    ("DELETE", True): [
        ("uploadId", "AbortMultipartUpload"),
        ("tagging", "DeleteObjectTagging"),
        ("", "DeleteObject"),
    ],
    ("GET", False): [
        ("uploads", "ListMultipartUploads"),
        ("versions", "ListObjectVersions"),
        ("location", "GetBucketLocation"),
        ("versioning", "GetBucketVersioning"),
        ("lifecycle", "GetBucketLifecycleConfiguration"),
        ("encryption", "GetBucketEncryption"),
        ("policy", "GetBucketPolicy"),
        ("object-lock", "GetObjectLockConfiguration"),
        ("tagging", "GetBucketTagging"),
        ("list-type", "ListObjectsV2"),
        ("", "ListObjects"),
    ],
    ("HEAD", False): [("", "HeadBucket")],
    ("PUT", False): [
        ("versioning", "PutBucketVersioning"),
        ("lifecycle", "PutBucketLifecycleConfiguration"),
        ("encryption", "PutBucketEncryption"),
        ("policy", "PutBucketPolicy"),
        ("tagging", "PutBucketTagging"),
        ("", "CreateBucket"),
    ],
    ("POST", False): [("delete", "DeleteObjects")],
    ("DELETE", False): [("lifecycle", "DeleteBucketLifecycle"), ("", "DeleteBucket")],
}
LOGGED_HEADERS = ("range", "if-match", "if-none-match", "x-amz-storage-class", "x-amz-copy-source")


@dataclass
class RestoreRequest:
    """A thaw. Without `days` for an archive tier: then nothing expires."""

    days: int | None
    hours: float
    ready_at: float
    expires_at: float


@dataclass
class ObjectFacts:
    """What AWS remembers of an object and moto does not."""

    algorithm: str = "CRC64NVME"
    checksum: str = ""  # computed when first asked for
    checksum_type: str = "FULL_OBJECT"
    part_sizes: tuple[int, ...] = ()
    part_checksums: tuple[str, ...] = ()
    restore: RestoreRequest | None = None
    archive_tier: str = ""  # of INTELLIGENT_TIERING
    storage_class: str = ""  # one that moto does not know


@dataclass(frozen=True)
class S3Call:
    """One request, read whole; header names in lower case."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    bucket: str
    key: str
    operation: str

    @property
    def writes(self) -> bool:
        return self.method not in ("GET", "HEAD", "OPTIONS")

    @property
    def presigned(self) -> bool:
        return "X-Amz-Signature" in self.query or "Signature" in self.query


@dataclass
class S3Answer:
    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    cut_at: int | None = None  # send so many bytes of the body, then cut the connection
    ours: bool = True  # False: not S3's own, but of something in between


class RefusedError(Exception):
    """Ends a request with an error answer."""

    def __init__(self, status: int, code: str, message: str, **details: str) -> None:
        super().__init__(code)
        self.answer = _error(status, code, message, **details)


def _error(status: int, code: str, message: str, **details: str) -> S3Answer:
    extra = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in details.items())
    body = (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{escape(code)}</Code>'
        f"<Message>{escape(message)}</Message>{extra}<RequestId>SANDBOX</RequestId></Error>"
    )
    return S3Answer(status, {"content-type": "application/xml"}, body.encode())


def checksum_of(algorithm: str, data: bytes) -> str:
    return base64.b64encode(ALGORITHMS[algorithm](data)).decode()


def md5_of(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()


def expiry_of(ready_at: float, days: int | None) -> float:
    """The midnight after so many days."""
    return math.inf if days is None else math.ceil((ready_at + days * 86400) / 86400) * 86400.0


def xml_of(body: bytes) -> ElementTree.Element:
    """The document without namespaces. Raises _RefusedError if it is none."""
    try:
        root = ElementTree.fromstring(body)  # noqa: S314 - only clients on this machine reach the sandbox
    except ElementTree.ParseError:
        raise malformed() from None
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    return root


def malformed() -> RefusedError:
    return RefusedError(
        400, "MalformedXML", "The XML you provided was not well-formed or did not validate against our published schema"
    )


def unchunk(body: bytes) -> tuple[bytes, dict[str, str]]:
    """Content and trailing headers of an aws-chunked body."""
    stream = io.BytesIO(body)
    content = bytearray()
    while size := int(stream.readline().split(b";")[0].strip() or b"0", 16):
        content += stream.read(size)
        stream.readline()
    trailers = {}
    for line in stream:
        name, colon, value = line.decode("latin-1").partition(":")
        if colon:
            trailers[name.strip().lower()] = value.strip()
    return bytes(content), trailers


def no_such_key(key: str) -> RefusedError:
    return RefusedError(404, "NoSuchKey", "The specified key does not exist.", Key=key)


def bad_digest(algorithm: str) -> RefusedError:
    return RefusedError(400, "BadDigest", f"The {algorithm} you specified did not match the calculated checksum.")


def iso_of(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def sent_algorithm(headers: Mapping[str, str]) -> str | None:
    return next((name for name in ALGORITHMS if headers.get(f"x-amz-checksum-{name.lower()}")), None)


def upload_type(algorithm: str, asked: str) -> str:
    return asked or ("FULL_OBJECT" if algorithm == "CRC64NVME" else "COMPOSITE")


def upload_checksum(algorithm: str, kind: str, contents: list[bytes]) -> str:
    if kind == "FULL_OBJECT":
        return checksum_of(algorithm, b"".join(contents))
    digests = b"".join(ALGORITHMS[algorithm](content) for content in contents)
    return f"{checksum_of(algorithm, digests)}-{len(contents)}"


def take_part(answer: S3Answer, facts: ObjectFacts, size: int, number: int, method: str) -> None:
    """Narrow the answer for a whole object to one part of it."""
    sizes = facts.part_sizes or (size,)
    if not 1 <= number <= len(sizes):
        raise RefusedError(416, "InvalidPartNumber", "The requested partnumber is not satisfiable")
    begin = sum(sizes[: number - 1])
    end = begin + sizes[number - 1]
    answer.status = 206
    answer.headers["content-length"] = str(end - begin)
    answer.headers["content-range"] = f"bytes {begin}-{end - 1}/{size}"
    if facts.part_sizes:
        answer.headers["x-amz-mp-parts-count"] = str(len(sizes))
    if method == "GET":
        answer.body = answer.body[begin:end]


def answer_instead(fault: Fault) -> S3Answer | None:
    """The answer of a fault that keeps the server from acting."""
    match fault.kind:
        case "http_500":
            return _error(500, "InternalError", "We encountered an internal error. Please try again.")
        case "http_503":
            return _error(503, "SlowDown", "Please reduce your request rate.")
        case "error":
            return _error(fault.status, fault.code, f"{fault.code} on cue")
        case "empty":
            return S3Answer(200, ours=False)
    return None


def spoiled_answer(answer: S3Answer, kind: str, fault: Fault | None, call: S3Call) -> S3Answer | None:
    """What a fault leaves of an answer after the server acted."""
    match kind:
        case "drop_after":
            return None
        case "delay" if fault:
            time.sleep(fault.seconds)
        case "empty_after":
            return S3Answer(200, ours=False)
        case "garbage":
            return S3Answer(200, {"content-type": "text/html"}, b"<html><body>It works!</body></html>", ours=False)
        case "cut":
            if call.method != "HEAD":
                answer.body = answer.body[: len(answer.body) // 2]
        case "cut_short":
            if call.method == "HEAD" or not answer.body:
                return None
            answer.cut_at = len(answer.body) // 2
        case "flip" if answer.body and call.operation == "GetObject" and answer.status in (200, 206):
            answer.body = with_flipped_bit(answer.body)
    return answer


def with_flipped_bit(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
