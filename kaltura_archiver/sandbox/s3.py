"""The S3 half of the sandbox: moto keeps the objects, a front adds what an archiver depends on and moto lacks.

moto stores, tags and joins parts. The front reads each request whole, refuses what AWS would refuse (frozen
objects, wrong checksums, expired links, foreign keys), plays faults and the time of a thaw, and corrects the answers.
Every server has a moto account of its own, so several run side by side in one process without seeing each other.
"""

from __future__ import annotations

import base64
import contextlib
import fnmatch
import functools
import hashlib
import io
import itertools
import math
import re
import socket
import sys
import threading
import time
import urllib.parse
import uuid
import weakref
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import formatdate
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from types import TracebackType
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree
from xml.sax.saxutils import escape

import boto3
from awscrt import checksums
from botocore.auth import HmacV1QueryAuth, S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from moto.moto_server.werkzeug_app import create_backend_app
from moto.s3.models import FakeBucket, FakeKey, S3Backend, s3_backends
from moto.s3.utils import STORAGE_CLASS
from werkzeug.test import run_wsgi_app

from kaltura_archiver.sandbox.control import Control, Fault
from kaltura_archiver.sandbox.serving import PromptServer

if TYPE_CHECKING:
    from flask import Flask
    from mypy_boto3_s3 import S3Client

FROZEN_CLASSES = ("GLACIER", "DEEP_ARCHIVE")

TIERED_CLASS = "INTELLIGENT_TIERING"

THAW_HOURS = {
    ("GLACIER", "Expedited"): 5 / 60,
    ("GLACIER", "Standard"): 5.0,
    ("GLACIER", "Bulk"): 12.0,
    ("DEEP_ARCHIVE", "Standard"): 12.0,
    ("DEEP_ARCHIVE", "Bulk"): 48.0,
    ("ARCHIVE_ACCESS", "Expedited"): 5 / 60,
    ("ARCHIVE_ACCESS", "Standard"): 5.0,
    ("ARCHIVE_ACCESS", "Bulk"): 12.0,
    ("DEEP_ARCHIVE_ACCESS", "Standard"): 12.0,
    ("DEEP_ARCHIVE_ACCESS", "Bulk"): 48.0,
}
"""Hours AWS names as the longest a restore usually takes, per storage class or archive tier, and tier of retrieval."""

KMS_KEY = "arn:aws:kms:us-east-1:111122223333:key/sandbox"

_ALGORITHMS: dict[str, Callable[[bytes], bytes]] = {
    "CRC32": lambda data: zlib.crc32(data).to_bytes(4, "big"),
    "CRC32C": lambda data: checksums.crc32c(data).to_bytes(4, "big"),
    "CRC64NVME": lambda data: checksums.crc64nvme(data).to_bytes(8, "big"),
    "SHA1": lambda data: hashlib.sha1(data, usedforsecurity=False).digest(),
    "SHA256": lambda data: hashlib.sha256(data).digest(),
}

# (method, on a key) -> [(query parameter that must be there, operation)]; the first that fits wins, "" always fits.
_OPERATIONS: dict[tuple[str, bool], list[tuple[str, str]]] = {
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

_LOGGED_HEADERS = ("range", "if-match", "if-none-match", "x-amz-storage-class", "x-amz-copy-source")

_account_numbers = itertools.count(1)


@dataclass
class S3Settings:
    """What a test or the demo can set while the server runs.

    deny: operation patterns (``PutObject``, ``s3.Get*``) answered with 403 AccessDenied and `deny_message`.
    wrong_region: the region the bucket is really in; while set, every request is answered 301 PermanentRedirect.
    kms: objects are written as if the bucket encrypted with SSE-KMS: their ETag is no MD5.
    latency_seconds: pause before each answer.
    thaw_seconds: how long a restore runs; None means what AWS needs for the class and tier.
    presign_age_seconds: how much older presigned URLs are judged to be than they are. Their date comes from the
        client's clock, which the sandbox's clock does not move.
    expedited_capacity: whether Glacier has room for expedited restores just now.
    lacks: what other S3 services lack: "if-none-match" and "if-match" are ignored; "conditions" are refused (501);
        "quoted-etags" fit nothing; "tags" are not implemented; "kept-tags" are taken and forgotten; "checksums" are
        neither compared nor shown; "crc64nvme" is refused; "trailers" are not implemented.
    """

    deny: set[str] = field(default_factory=set)
    deny_message: str = "Access Denied"
    wrong_region: str | None = None
    kms: bool = False
    latency_seconds: float = 0.0
    thaw_seconds: float | None = None
    presign_age_seconds: float = 0.0
    expedited_capacity: bool = True
    lacks: set[str] = field(default_factory=set)


@dataclass
class _Restore:
    """A thaw. Without `days` for an archive tier: then nothing expires."""

    days: int | None
    hours: float
    ready_at: float
    expires_at: float


@dataclass
class _Facts:
    """What AWS remembers of an object and moto does not."""

    algorithm: str = "CRC64NVME"
    checksum: str = ""  # computed when first asked for
    checksum_type: str = "FULL_OBJECT"
    part_sizes: tuple[int, ...] = ()
    part_checksums: tuple[str, ...] = ()
    restore: _Restore | None = None
    archive_tier: str = ""  # of INTELLIGENT_TIERING
    storage_class: str = ""  # one that moto does not know


@dataclass(frozen=True)
class _Call:
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
class _Answer:
    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    cut_at: int | None = None  # send so many bytes of the body, then cut the connection
    ours: bool = True  # False: not S3's own, but of something in between


class _RefusedError(Exception):
    """Ends a request with an error answer."""

    def __init__(self, status: int, code: str, message: str, **details: str) -> None:
        super().__init__(code)
        self.answer = _error(status, code, message, **details)


def _error(status: int, code: str, message: str, **details: str) -> _Answer:
    extra = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in details.items())
    body = (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{escape(code)}</Code>'
        f"<Message>{escape(message)}</Message>{extra}<RequestId>SANDBOX</RequestId></Error>"
    )
    return _Answer(status, {"content-type": "application/xml"}, body.encode())


def _checksum(algorithm: str, data: bytes) -> str:
    return base64.b64encode(_ALGORITHMS[algorithm](data)).decode()


def _md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()


def _expiry(ready_at: float, days: int | None) -> float:
    """The midnight after so many days."""
    return math.inf if days is None else math.ceil((ready_at + days * 86400) / 86400) * 86400.0


def _xml(body: bytes) -> ElementTree.Element:
    """The document without namespaces. Raises _RefusedError if it is none."""
    try:
        root = ElementTree.fromstring(body)  # noqa: S314 - only clients on this machine reach the sandbox
    except ElementTree.ParseError:
        raise _malformed() from None
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    return root


def _malformed() -> _RefusedError:
    return _RefusedError(
        400, "MalformedXML", "The XML you provided was not well-formed or did not validate against our published schema"
    )


def _unchunk(body: bytes) -> tuple[bytes, dict[str, str]]:
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


@functools.cache
def _moto() -> Flask:
    return create_backend_app("s3")


class S3Server:
    """An S3 endpoint on 127.0.0.1 with one bucket. `settings` may be changed at any time."""

    access_key_id = "AKIASANDBOX000000000"
    secret_access_key = "sandbox-secret-access-key-0000000000000"  # noqa: S105 - opens nothing but this sandbox

    def __init__(self, control: Control, *, bucket: str = "sandbox-archive", region: str = "us-east-1") -> None:
        self.control = control
        self.bucket = bucket
        self.region = region
        self.settings = S3Settings()
        self._lock = threading.RLock()
        self._account = f"{next(_account_numbers):012d}"
        self._facts: weakref.WeakKeyDictionary[FakeKey, _Facts] = weakref.WeakKeyDictionary()
        self._initiated: dict[str, float] = {}
        self._http: _Http | None = None

    # -- life ------------------------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        if self._http is None:
            raise RuntimeError("the S3 server is not running")
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def start(self) -> None:
        # Not create_bucket: it would refuse a name that another server's account has.
        self._backend.buckets[self.bucket] = FakeBucket(self.bucket, self._account, self.region)  # type: ignore[abstract]
        self._http = _Http(self)
        self._http.start("sandbox-s3")

    def stop(self) -> None:
        """Close the port and all connections, and forget the objects."""
        if self._http is None:
            return
        self._http.stop()
        self._http = None
        with self._lock:
            # moto warns about objects that are collected without this.
            for bucket in self._backend.buckets.values():
                for name in list(bucket.keys):
                    for version in bucket.keys.getlist(name, []):
                        if isinstance(version, FakeKey):
                            version.dispose()
                for upload in bucket.multiparts.values():
                    upload.dispose()
            s3_backends.pop(self._account, None)

    def wait_until_idle(self) -> None:
        """Wait until every client has hung up, and what they asked for last is done."""
        while self._http is not None and self._http.connections:
            time.sleep(0.01)

    def __enter__(self) -> S3Server:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def client(self) -> S3Client:
        """A boto3 client of this server, with no retries of its own."""
        return boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name=self.region,
            aws_access_key_id=self.access_key_id,
            aws_secret_access_key=self.secret_access_key,
            config=Config(retries={"total_max_attempts": 1}, signature_version="s3v4"),
        )

    # -- direct access, not logged ---------------------------------------------------------------------------------

    def put(
        self,
        key: str,
        body: bytes,
        *,
        storage_class: str = "STANDARD",
        metadata: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
        part_bytes: int | None = None,
        checksum: bool = True,
        listed_bytes: int | None = None,
    ) -> None:
        """Store an object. With `part_bytes` it looks uploaded in parts of that size (any size, even small).

        Without `checksum` S3 knows none of it, as of many objects written before 2025. `listed_bytes` is the size that
        listings tell, of a large object that nobody is going to read.
        """
        with self._lock:
            parts: list[bytes] = []
            etag = None
            if part_bytes is not None:
                parts = [body[at : at + part_bytes] for at in range(0, len(body), part_bytes)] or [b""]
                etag = f"{_md5(b''.join(map(_md5, parts))).hex()}-{len(parts)}"
            unknown = "" if storage_class in STORAGE_CLASS else storage_class
            known = "STANDARD" if unknown else storage_class
            stored = self._backend.put_object(self.bucket, key, body, storage=known, etag=etag)
            stored.last_modified = datetime.fromtimestamp(self.control.clock.now(), UTC).replace(tzinfo=None)
            stored.set_metadata({f"x-amz-meta-{name}": value for name, value in (metadata or {}).items()})
            self._backend.put_object_tagging(stored, dict(tags or {}))
            self._facts[stored] = _Facts(
                "CRC64NVME" if checksum else "", part_sizes=tuple(map(len, parts)), storage_class=unknown
            )
            if listed_bytes is not None:
                stored.contentsize = listed_bytes
            if self.settings.kms:
                self._encrypt(stored)

    def body(self, key: str) -> bytes | None:
        with self._lock:
            found = self._find(key)
            return found.value if found else None

    def etag(self, key: str) -> str:
        """Without its quotes; empty if there is no such object."""
        with self._lock:
            found = self._find(key)
            return found.etag.strip('"') if found else ""

    def tags(self, key: str) -> dict[str, str]:
        with self._lock:
            found = self._find(key)
            return {t["Key"]: t["Value"] for t in self._backend.get_object_tagging(found)["Tags"]} if found else {}

    def set_tags(self, key: str, tags: Mapping[str, str]) -> None:
        """Somebody else sets all tags of an object."""
        with self._lock:
            found = self._find(key)
            if found is None:
                raise ValueError(f"there is no object {key}")
            self._backend.put_object_tagging(found, dict(tags))

    def metadata(self, key: str) -> dict[str, str]:
        with self._lock:
            found = self._find(key)
            prefix = "x-amz-meta-"
            return (
                {n.removeprefix(prefix): v for n, v in found.metadata.items() if n.startswith(prefix)} if found else {}
            )

    def storage_class(self, key: str) -> str | None:
        with self._lock:
            found = self._find(key)
            return found.storage_class if found else None

    def keys(self) -> list[str]:
        with self._lock:
            return sorted(name for name in list(self._bucket.keys) if self._find(name))

    def uploads(self) -> list[tuple[str, str]]:
        """Key and id of each multipart upload that was neither completed nor aborted."""
        with self._lock:
            return [(upload.key_name, upload.id) for upload in self._bucket.multiparts.values()]

    def thaw(self, key: str) -> None:
        """Finish a running restore now."""
        with self._lock:
            restore = self._restore_of(key)
            restore.ready_at = self.control.clock.now()
            restore.expires_at = _expiry(restore.ready_at, restore.days)

    def freeze(self, key: str, archive_tier: str) -> None:
        """Have INTELLIGENT_TIERING move an object of its class to that archive tier, or back where it is empty."""
        with self._lock:
            found = self._find(key)
            if found is None or found.storage_class != TIERED_CLASS:
                raise ValueError(f"{key} is not in {TIERED_CLASS}")
            self._settled(found).archive_tier = archive_tier

    def expire(self, key: str) -> None:
        """End the life of a restored copy now."""
        with self._lock:
            restore = self._restore_of(key)
            restore.ready_at = min(restore.ready_at, self.control.clock.now())
            restore.expires_at = self.control.clock.now()

    def _restore_of(self, key: str) -> _Restore:
        found = self._find(key)
        restore = self._settled(found).restore if found else None
        if restore is None:
            raise ValueError(f"no restore was requested for {key}")
        return restore

    # -- moto ------------------------------------------------------------------------------------------------------

    @property
    def _backend(self) -> S3Backend:
        return s3_backends[self._account]["aws"]

    @property
    def _bucket(self) -> FakeBucket:
        return self._backend.buckets[self.bucket]

    def _find(self, key: str, version: str | None = None) -> FakeKey | None:
        return self._backend.get_object(self.bucket, key, version)

    def _settled(self, key: FakeKey) -> _Facts:
        """The facts of an object as of now: moto is told whether it can be read."""
        facts = self._facts.setdefault(key, _Facts())
        now = self.control.clock.now()
        if facts.restore and facts.restore.days is None and now >= facts.restore.ready_at:
            facts.archive_tier, facts.restore = "", None  # back in the Frequent Access tier
        if facts.restore and now >= facts.restore.expires_at and now >= facts.restore.ready_at:
            facts.restore = None
        readable = facts.restore is not None and now >= facts.restore.ready_at
        # Any date will do: moto only looks whether there is one, and the front writes the header.
        key.set_expiry(datetime(2100, 1, 1, tzinfo=UTC) if readable else None)
        return facts

    def _encrypt(self, key: FakeKey) -> None:
        key.encryption = "aws:kms"
        key.kms_key_id = KMS_KEY
        # As long as an MD5, and none.
        key._etag = _md5(b"kms" + uuid.uuid4().bytes).hex()

    def _forward(self, call: _Call) -> _Answer:
        """Let moto act."""
        query = urllib.parse.urlencode(call.query, quote_via=urllib.parse.quote)
        target = f"{call.path}?{query}" if query else call.path
        environ: dict[str, Any] = {
            "REQUEST_METHOD": call.method,
            "SCRIPT_NAME": "",
            "PATH_INFO": urllib.parse.unquote(call.path, "latin-1"),
            "QUERY_STRING": query,
            "REQUEST_URI": target,
            "RAW_URI": target,
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "127.0.0.1",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(call.body),
            "wsgi.errors": io.StringIO(),
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }
        for name, value in call.headers.items():
            environ[f"HTTP_{name.upper().replace('-', '_')}"] = value
        environ["HTTP_X_MOTO_ACCOUNT_ID"] = self._account
        environ["CONTENT_TYPE"] = environ.pop("HTTP_CONTENT_TYPE", "")
        environ.pop("HTTP_CONTENT_LENGTH", None)
        environ["CONTENT_LENGTH"] = str(len(call.body))
        chunks, status, headers = run_wsgi_app(_moto(), environ, buffered=True)
        return _Answer(
            int(status.split()[0]),
            {name.lower(): value for name, value in headers.items() if not name.lower().startswith("access-control-")},
            b"".join(chunks),
        )

    # -- one request -----------------------------------------------------------------------------------------------

    def handle(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> _Answer | None:
        """Answer one request; None means that the connection is to be cut without an answer."""
        call = self._call(method, target, headers, body)
        request, fault = self.control.begin(
            "s3",
            f"s3.{call.operation}",
            subject=call.key,
            writes=call.writes,
            parameters=self._logged(call),
        )
        kind = fault.kind if fault else "none"
        if self.settings.latency_seconds > 0:
            time.sleep(self.settings.latency_seconds)
        if kind == "drop_before":
            return None
        if fault and (instead := _instead(fault)):
            return instead
        if kind == "flip" and call.body:
            call = replace(call, body=_flipped(call.body))
        try:
            self._check_signature(call, target)
            call = self._decoded(self._lacking(call))
            self._check_access(call)
            with self._lock:
                if call.bucket and call.bucket not in self._backend.buckets and call.operation != "CreateBucket":
                    raise _RefusedError(
                        404, "NoSuchBucket", "The specified bucket does not exist", BucketName=call.bucket
                    )
                answer = self._act(call)
        except _RefusedError as refused:
            answer = refused.answer
        if fault and fault.after:
            fault.after(request)
        return _spoiled(answer, kind, fault, call)

    def _lacking(self, call: _Call) -> _Call:
        """The call as a service takes it that lacks something."""
        lacks, headers = self.settings.lacks, dict(call.headers)
        conditions = {"if-match", "if-none-match"} & headers.keys() if call.writes else set()
        unknown = (
            ("conditions" in lacks and conditions)
            or ("tags" in lacks and "tagging" in call.query)
            or ("trailers" in lacks and "x-amz-trailer" in headers)
        )
        if unknown:
            raise _RefusedError(501, "NotImplemented", "A header you provided implies functionality that is not there")
        sent = [name for name in headers if name.startswith("x-amz-checksum-")]
        if "crc64nvme" in lacks and "x-amz-checksum-crc64nvme" in sent:
            raise _RefusedError(400, "InvalidRequest", "Checksum algorithm provided is unsupported.")
        for name in (*(conditions & lacks), *(sent if "checksums" in lacks else ())):
            del headers[name]
        if "quoted-etags" in lacks and '"' in headers.get("if-match", ""):
            headers["if-match"] = '"no such ETag"'
        return replace(call, headers=headers)

    def _call(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> _Call:
        path, _, query_text = target.partition("?")
        query = dict(urllib.parse.parse_qsl(query_text, keep_blank_values=True))
        bucket, _, key = urllib.parse.unquote(path).lstrip("/").partition("/")
        operation = f"Unknown{method.title()}"
        if not bucket:
            operation = "ListBuckets"
        else:
            for wanted, name in _OPERATIONS.get((method, bool(key)), ()):
                if not wanted or wanted in query:
                    operation = name
                    break
        if "x-amz-copy-source" in headers:
            operation = {"PutObject": "CopyObject", "UploadPart": "UploadPartCopy"}.get(operation, operation)
        return _Call(method, path, query, headers, body, bucket, key, operation)

    def _logged(self, call: _Call) -> dict[str, str]:
        secret = ("x-amz-", "signature", "awsaccesskeyid")
        parameters = {n: v for n, v in call.query.items() if not n.lower().startswith(secret)}
        parameters |= {name: call.headers[name] for name in _LOGGED_HEADERS if name in call.headers}
        if call.presigned:
            parameters["presigned"] = "true"
        return parameters

    def _check_signature(self, call: _Call, target: str) -> None:
        """Refuse unsigned, wrongly signed and outdated requests."""
        authorization = call.headers.get("authorization", "")
        credentials = Credentials(self.access_key_id, self.secret_access_key)
        denied = functools.partial(_RefusedError, 403, "AccessDenied")
        url = f"http://{call.headers.get('host', '')}{target}"
        now = time.time() + self.settings.presign_age_seconds
        region = self.region
        if "X-Amz-Signature" in call.query:
            scope, signature = call.query.get("X-Amz-Credential", ""), call.query["X-Amz-Signature"]
            signed_headers, timestamp = call.query.get("X-Amz-SignedHeaders", ""), call.query.get("X-Amz-Date", "")
            try:
                signed_at = datetime.strptime(timestamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
                lifetime = int(call.query.get("X-Amz-Expires", ""))
            except ValueError:
                raise _RefusedError(
                    400, "AuthorizationQueryParametersError", "Query-string authentication is incomplete"
                ) from None
            if now > signed_at + lifetime:
                raise denied("Request has expired")
            url = re.sub(r"([?&])X-Amz-Signature=[^&]*&?", r"\1", url).rstrip("&")
        elif "Signature" in call.query:
            scope, signature = call.query.get("AWSAccessKeyId", ""), call.query["Signature"]
            expires = call.query.get("Expires", "")
            if not expires.isdecimal():
                raise denied("Invalid date (should be seconds since epoch)")
            if now > int(expires):
                raise denied("Request has expired")
            signed_headers = timestamp = ""
        elif match := re.match(
            r"AWS4-HMAC-SHA256 Credential=([^,]+), ?SignedHeaders=([^,]+), ?Signature=(\w+)", authorization
        ):
            scope, signed_headers, signature = match.groups()
            timestamp = call.headers.get("x-amz-date", "")
        else:
            raise denied("Access Denied")
        access_key_id, *rest = scope.split("/")
        if access_key_id != self.access_key_id:
            raise _RefusedError(
                403, "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records."
            )
        if rest:
            region = rest[1] if len(rest) > 1 else region
            signed = AWSRequest(
                method=call.method,
                url=url,
                headers={name: call.headers.get(name, "") for name in signed_headers.split(";")},
            )
            if "X-Amz-Signature" in call.query:
                signed.headers["X-Amz-Content-SHA256"] = "UNSIGNED-PAYLOAD"
            signed.context["timestamp"] = timestamp
            signer = _Signer(credentials, "s3", region, frozenset(signed_headers.split(";")))
            expected = signer.signature(signer.string_to_sign(signed, signer.canonical_request(signed)), signed)
        else:
            expected = self._old_signature(call, credentials)
        if signature != expected:
            raise _RefusedError(
                403,
                "SignatureDoesNotMatch",
                "The request signature we calculated does not match the signature you provided. "
                "Check your key and signing method.",
            )

    def _old_signature(self, call: _Call, credentials: Credentials) -> str:
        """Of a presigned URL of version 2, which boto3 still makes where it is not told otherwise."""
        unsigned = {n: v for n, v in call.query.items() if n not in ("Signature", "Expires", "AWSAccessKeyId")}
        split = urllib.parse.urlsplit(f"http://s3{call.path}?{urllib.parse.urlencode(unsigned)}")
        return str(_OldSigner(credentials, call.query["Expires"]).get_signature(call.method, split, {}))

    def _check_access(self, call: _Call) -> None:
        if self.settings.wrong_region:
            refused = _RefusedError(
                301,
                "PermanentRedirect",
                "The bucket you are attempting to access must be addressed using the specified endpoint. "
                "Please send all future requests to this endpoint.",
                Endpoint=f"{call.bucket}.s3.{self.settings.wrong_region}.amazonaws.com",
                Bucket=call.bucket,
            )
            refused.answer.headers["x-amz-bucket-region"] = self.settings.wrong_region
            raise refused
        for pattern in self.settings.deny:
            if fnmatch.fnmatchcase(f"s3.{call.operation}", pattern) or fnmatch.fnmatchcase(call.operation, pattern):
                raise _RefusedError(403, "AccessDenied", self.settings.deny_message)

    def _decoded(self, call: _Call) -> _Call:
        """The call with a plain body, its checksums in the headers whether they came there or as a trailer."""
        headers = dict(call.headers)
        body = call.body
        promised = headers.get("x-amz-content-sha256", "")
        if promised.startswith("STREAMING-"):
            try:
                body, trailers = _unchunk(body)
            except ValueError:
                raise _RefusedError(400, "IncompleteBody", "The request body terminated unexpectedly") from None
            if len(body) != int(headers.pop("x-amz-decoded-content-length", len(body))):
                raise _RefusedError(400, "IncompleteBody", "The request body terminated unexpectedly")
            headers |= trailers
            headers["x-amz-content-sha256"] = "UNSIGNED-PAYLOAD"
            rest = [e for e in headers.get("content-encoding", "").split(",") if e.strip() not in ("aws-chunked", "")]
            headers.pop("content-encoding", None)
            if rest:
                headers["content-encoding"] = ",".join(rest)
        call = replace(call, headers=headers, body=body)
        if call.operation != "CompleteMultipartUpload":  # there they speak of the object, not of the body
            for algorithm in _ALGORITHMS:
                sent = headers.get(f"x-amz-checksum-{algorithm.lower()}")
                if sent and sent != _checksum(algorithm, body):
                    raise _bad_digest(algorithm)
        sent = headers.get("content-md5")
        if sent and sent != base64.b64encode(_md5(body)).decode():
            raise _RefusedError(400, "BadDigest", "The Content-MD5 you specified did not match what we received.")
        if re.fullmatch("[0-9a-f]{64}", promised) and promised != hashlib.sha256(body).hexdigest():
            raise _RefusedError(
                400,
                "XAmzContentSHA256Mismatch",
                "The provided 'x-amz-content-sha256' header does not match what was computed.",
            )
        return call

    # -- operations ------------------------------------------------------------------------------------------------

    def _act(self, call: _Call) -> _Answer:
        actions: dict[str, Callable[[_Call], _Answer]] = {
            "GetObject": self._read,
            "HeadObject": self._read,
            "PutObject": self._put_object,
            "CopyObject": self._copy,
            "UploadPartCopy": self._copy,
            "CreateMultipartUpload": self._create_upload,
            "UploadPart": self._upload_part,
            "CompleteMultipartUpload": self._complete,
            "ListMultipartUploads": self._list_uploads,
            "ListObjectsV2": self._list_objects,
            "RestoreObject": self._restore,
            "PutObjectTagging": self._put_tags,
            "GetObjectTagging": self._get_tags,
            "GetObjectAttributes": self._attributes,
            "HeadBucket": self._head_bucket,
        }
        return actions.get(call.operation, self._forward)(call)

    def _read(self, call: _Call) -> _Answer:
        key = self._find(call.key, call.query.get("versionId"))
        if key is None:
            return self._forward(call)
        facts = self._settled(key)
        if call.method == "GET":
            self._check_readable(key)
        number = call.query.get("partNumber")
        plain = replace(
            call,
            query={n: v for n, v in call.query.items() if n != "partNumber"},
            headers={n: v for n, v in call.headers.items() if n != "x-amz-checksum-mode"},
        )
        answer = self._forward(plain)
        if answer.status not in (200, 206):
            return answer
        for name in ("x-amz-sdk-checksum-algorithm", "x-amz-restore"):
            answer.headers.pop(name, None)
        answer.headers.setdefault("x-amz-server-side-encryption", "AES256")
        if facts.restore:
            answer.headers["x-amz-restore"] = self._restore_header(facts.restore)
        if facts.archive_tier:
            answer.headers["x-amz-archive-status"] = facts.archive_tier
        if facts.storage_class:
            answer.headers["x-amz-storage-class"] = facts.storage_class
        if number is not None:
            _take_part(answer, facts, key.size, int(number), call.method)
        elif (
            answer.status == 200
            and facts.algorithm
            and "checksums" not in self.settings.lacks
            and call.headers.get("x-amz-checksum-mode", "").upper() == "ENABLED"
        ):
            answer.headers[f"x-amz-checksum-{facts.algorithm.lower()}"] = self._checksum_of(key)
            answer.headers["x-amz-checksum-type"] = facts.checksum_type
        return answer

    def _check_readable(self, key: FakeKey) -> None:
        facts = self._settled(key)
        frozen = key.storage_class in FROZEN_CLASSES or facts.archive_tier
        if frozen and (facts.restore is None or self.control.clock.now() < facts.restore.ready_at):
            tier = {"AccessTier": facts.archive_tier} if facts.archive_tier else {}
            raise _RefusedError(
                403,
                "InvalidObjectState",
                f"The operation is not valid for the object's {'access tier' if tier else 'storage class'}",
                StorageClass=str(key.storage_class),
                **tier,
            )

    def _restore_header(self, restore: _Restore) -> str:
        if self.control.clock.now() < restore.ready_at:
            return 'ongoing-request="true"'
        return f'ongoing-request="false", expiry-date="{formatdate(restore.expires_at, usegmt=True)}"'

    def _checksum_of(self, key: FakeKey) -> str:
        facts = self._facts.setdefault(key, _Facts())
        if not facts.checksum:
            facts.checksum = _checksum(facts.algorithm, key.value)
        return facts.checksum

    def _put_object(self, call: _Call) -> _Answer:
        answer = self._forward(self._encrypting(call))
        key = self._find(call.key)
        if answer.status != 200 or key is None:
            return answer
        key.last_modified = datetime.fromtimestamp(self.control.clock.now(), UTC).replace(tzinfo=None)
        algorithm = _sent_algorithm(call.headers) or "CRC64NVME"
        self._facts[key] = _Facts(algorithm, _checksum(algorithm, call.body))
        if self.settings.kms:
            self._encrypt(key)
        for name in [n for n in answer.headers if n.startswith("x-amz-checksum-")]:
            del answer.headers[name]
        answer.headers["etag"] = key.etag
        answer.headers[f"x-amz-checksum-{algorithm.lower()}"] = self._facts[key].checksum
        answer.headers["x-amz-checksum-type"] = "FULL_OBJECT"
        answer.headers.setdefault("x-amz-server-side-encryption", "AES256")
        return answer

    def _encrypting(self, call: _Call) -> _Call:
        if not self.settings.kms:
            return call
        added = {
            "x-amz-server-side-encryption": "aws:kms",
            "x-amz-server-side-encryption-aws-kms-key-id": KMS_KEY,
        }
        return replace(call, headers={**call.headers, **added})

    def _copy(self, call: _Call) -> _Answer:
        source, _, version = call.headers["x-amz-copy-source"].partition("?versionId=")
        bucket, _, name = urllib.parse.unquote(source).lstrip("/").partition("/")
        if bucket not in self._backend.buckets:
            raise _RefusedError(404, "NoSuchBucket", "The specified bucket does not exist", BucketName=bucket)
        key = self._find(name, version or None)
        if key is not None:
            self._check_readable(key)
        return self._forward(call)

    def _create_upload(self, call: _Call) -> _Answer:
        algorithm = call.headers.get("x-amz-checksum-algorithm", "").upper()
        kind = call.headers.get("x-amz-checksum-type", "").upper()
        if algorithm and algorithm not in _ALGORITHMS:
            raise _RefusedError(400, "InvalidRequest", "Checksum algorithm provided is unsupported.")
        if (algorithm in ("SHA1", "SHA256") and kind == "FULL_OBJECT") or (
            algorithm == "CRC64NVME" and kind == "COMPOSITE"
        ):
            raise _RefusedError(
                400,
                "InvalidRequest",
                f"The {kind} checksum type cannot be used with the {algorithm.lower()} checksum algorithm.",
            )
        answer = self._forward(self._encrypting(call))
        if answer.status == 200:
            self._initiated[_xml(answer.body).findtext("UploadId") or ""] = self.control.clock.now()
            if algorithm:
                answer.headers["x-amz-checksum-algorithm"] = algorithm
                answer.headers["x-amz-checksum-type"] = _upload_type(algorithm, kind)
            answer.headers.setdefault("x-amz-server-side-encryption", "AES256")
        return answer

    def _upload_part(self, call: _Call) -> _Answer:
        upload = self._upload(call)
        declared = str(upload.metadata.get("x-amz-checksum-algorithm") or "").upper()
        sent = _sent_algorithm(call.headers)
        if declared and sent and sent != declared:
            raise _RefusedError(
                400,
                "InvalidRequest",
                f"Checksum Type mismatch occurred, expected checksum Type: {declared.lower()}, "
                f"actual checksum Type: {sent.lower()}",
            )
        answer = self._forward(call)
        if answer.status == 200:
            part = upload.parts[int(call.query["partNumber"])]
            if upload.sse_encryption == "aws:kms":
                self._encrypt(part)
            answer.headers["etag"] = part.etag
            if sent:
                answer.headers[f"x-amz-checksum-{sent.lower()}"] = _checksum(sent, call.body)
            answer.headers.setdefault("x-amz-server-side-encryption", "AES256")
        return answer

    def _upload(self, call: _Call) -> Any:
        with contextlib.suppress(KeyError):
            upload = dict(self._bucket.multiparts)[call.query["uploadId"]]
            if upload.key_name == call.key:
                return upload
        raise _RefusedError(
            404,
            "NoSuchUpload",
            "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or "
            "completed.",
            UploadId=call.query.get("uploadId", ""),
        )

    def _complete(self, call: _Call) -> _Answer:
        upload_id = call.query["uploadId"]
        existing = self._find(call.key)
        if existing and existing.multipart and existing.multipart.id == upload_id:
            return self._forward(call)  # a repeated Complete succeeds
        upload = self._upload(call)
        asked = _xml(call.body).findall("Part")
        if not asked:
            raise _malformed()
        declared = str(upload.metadata.get("x-amz-checksum-algorithm") or "").upper()
        algorithm = declared or "CRC64NVME"
        kind = _upload_type(algorithm, str(upload.metadata.get("x-amz-checksum-type") or "").upper())
        contents = self._asked_parts(upload, asked, declared if kind == "COMPOSITE" else "")
        size = call.headers.get("x-amz-mp-object-size")
        total = sum(map(len, contents))
        if size is not None and int(size) != total:
            raise _RefusedError(
                400,
                "InvalidRequest",
                f"The provided 'x-amz-mp-object-size' header value {size} does not match what was computed: {total}",
            )
        sent_kind = call.headers.get("x-amz-checksum-type", "").upper()
        if sent_kind and sent_kind != kind:
            raise _RefusedError(
                400,
                "InvalidRequest",
                f"The upload was created using the {kind} checksum mode. The complete request must use the same "
                "checksum mode.",
            )
        checksum = _upload_checksum(algorithm, kind, contents)
        for name in _ALGORITHMS:
            sent = call.headers.get(f"x-amz-checksum-{name.lower()}")
            if sent and sent != (checksum if name == algorithm else _checksum(name, b"".join(contents))):
                raise _bad_digest(name)
        if call.headers.get("if-match", "") not in ("", existing.etag if existing else None):
            raise _RefusedError(
                412,
                "PreconditionFailed",
                "At least one of the pre-conditions you specified did not hold",
                Condition="If-Match",
            )
        answer = self._forward(call)
        key = self._find(call.key)
        if answer.status != 200 or key is None:
            return answer
        self._facts[key] = _Facts(
            algorithm,
            checksum,
            kind,
            tuple(map(len, contents)),
            tuple(_checksum(algorithm, content) for content in contents),
        )
        self._initiated.pop(upload_id, None)
        upload.dispose()  # moto would keep the parts' content besides the object's
        old_etag = key.etag
        if upload.sse_encryption == "aws:kms":
            self._encrypt(key)
        tag = f"Checksum{algorithm}"
        body = answer.body.replace(
            b"</CompleteMultipartUploadResult>",
            f"<{tag}>{checksum}</{tag}><ChecksumType>{kind}</ChecksumType></CompleteMultipartUploadResult>".encode(),
        )
        answer.body = body.replace(old_etag.strip('"').encode(), key.etag.strip('"').encode())
        answer.headers.setdefault("x-amz-server-side-encryption", "AES256")
        return answer

    def _asked_parts(self, upload: Any, asked: list[ElementTree.Element], needed: str) -> list[bytes]:
        """The content of the parts a Complete names. `needed`: an algorithm whose checksum each must carry."""
        contents = []
        previous = 0
        for element in asked:
            number = int(element.findtext("PartNumber") or "0")
            if number <= previous:
                raise _RefusedError(
                    400,
                    "InvalidPartOrder",
                    "The list of parts was not in ascending order. The parts list must be specified in order by part "
                    "number.",
                )
            previous = number
            part = upload.parts.get(number)
            content = part.value if part else b""
            sent = {name: element.findtext(f"Checksum{name}") for name in _ALGORITHMS}
            if part is None or any(value and value != _checksum(name, content) for name, value in sent.items()):
                raise _RefusedError(
                    400,
                    "InvalidPart",
                    "One or more of the specified parts could not be found. The part may not have been uploaded, or "
                    "the specified entity tag may not match the part's entity tag.",
                    PartNumber=str(number),
                )
            if needed and not sent[needed]:
                raise _RefusedError(
                    400,
                    "InvalidRequest",
                    f"The upload was created using a {needed.lower()} checksum. The complete request must include the "
                    f"checksum for each part. It was missing for part {number} in the request.",
                )
            contents.append(content)
        return contents

    def _list_uploads(self, call: _Call) -> _Answer:
        answer = self._forward(call)

        def dated(match: re.Match[bytes]) -> bytes:
            upload = re.search(rb"<UploadId>([^<]*)</UploadId>", match.group())
            at = self._initiated.get(upload.group(1).decode(), 0.0) if upload else 0.0
            return re.sub(rb"<Initiated>[^<]*<", f"<Initiated>{_iso(at)}<".encode(), match.group())

        answer.body = re.sub(rb"<Upload>.*?</Upload>", dated, answer.body, flags=re.DOTALL)
        return answer

    def _list_objects(self, call: _Call) -> _Answer:
        """Pages of ListObjectsV2. moto's take a second each where the bucket has tens of thousands of objects."""
        query = call.query
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        limit = min(int(query.get("max-keys", "1000")), 1000)
        after = query.get("start-after", "")
        if "continuation-token" in query:
            try:
                after = base64.b64decode(query["continuation-token"], validate=True).decode()
            except ValueError:
                raise _RefusedError(
                    400, "InvalidArgument", "The continuation token provided is incorrect", ArgumentName="token"
                ) from None
        with_status = "RestoreStatus" in call.headers.get("x-amz-optional-object-attributes", "")
        encode = urllib.parse.quote if query.get("encoding-type") == "url" else escape
        contents: list[str] = []
        folders: list[str] = []
        last = ""
        truncated = False
        for name in sorted(n for n in list(self._bucket.keys) if n > after and n.startswith(prefix)):
            head, found, _ = name[len(prefix) :].partition(delimiter) if delimiter else ("", "", "")
            item = prefix + head + found if found else name
            if found and item in (last, after):
                continue
            key = self._find(name)
            if key is None:
                continue
            if len(contents) + len(folders) == limit:
                truncated = limit > 0
                break
            if found:
                folders.append(f"<CommonPrefixes><Prefix>{encode(item)}</Prefix></CommonPrefixes>")
            else:
                contents.append(self._listed(key, encode(name), with_status))
            last = item
        elements = {
            "Name": escape(call.bucket),
            "Prefix": encode(prefix),
            "Delimiter": encode(delimiter),
            "StartAfter": encode(query.get("start-after", "")),
            "ContinuationToken": escape(query.get("continuation-token", "")),
            "NextContinuationToken": base64.b64encode(last.encode()).decode() if truncated else "",
            "EncodingType": escape(query.get("encoding-type", "")),
        }
        body = "".join(f"<{name}>{text}</{name}>" for name, text in elements.items() if text or name == "Prefix")
        body += f"<KeyCount>{len(contents) + len(folders)}</KeyCount><MaxKeys>{limit}</MaxKeys>"
        body += f"<IsTruncated>{str(truncated).lower()}</IsTruncated>" + "".join(contents + folders)
        document = f'<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult>{body}</ListBucketResult>'
        return _Answer(200, {"content-type": "application/xml"}, document.encode())

    def _listed(self, key: FakeKey, name: str, with_status: bool) -> str:
        facts = self._settled(key)
        status = ""
        if with_status and facts.restore:
            running = self.control.clock.now() < facts.restore.ready_at
            status = f"<IsRestoreInProgress>{str(running).lower()}</IsRestoreInProgress>"
            if not running:
                status += f"<RestoreExpiryDate>{_iso(facts.restore.expires_at)}</RestoreExpiryDate>"
            status = f"<RestoreStatus>{status}</RestoreStatus>"
        checksum = ""
        if facts.algorithm:
            checksum = f"<ChecksumAlgorithm>{facts.algorithm}</ChecksumAlgorithm>"
            checksum += f"<ChecksumType>{facts.checksum_type}</ChecksumType>"
        return (
            f"<Contents><Key>{name}</Key><LastModified>{key.last_modified_ISO8601}</LastModified>"
            f"<ETag>{escape(key.etag)}</ETag>{checksum}<Size>{key.size}</Size>"
            f"<StorageClass>{facts.storage_class or key.storage_class}</StorageClass>{status}</Contents>"
        )

    def _restore(self, call: _Call) -> _Answer:
        key = self._find(call.key, call.query.get("versionId"))
        if key is None:
            raise _no_such_key(call.key)
        root = _xml(call.body)
        tier = root.findtext("GlacierJobParameters/Tier") or root.findtext("Tier") or "Standard"
        days = root.findtext("Days")
        if tier not in ("Standard", "Bulk", "Expedited"):
            raise _malformed()
        facts = self._settled(key)
        if facts.archive_tier and days is not None:
            raise _RefusedError(400, "InvalidArgument", "Days must not be specified for INTELLIGENT_TIERING")
        if not facts.archive_tier and (days is None or not days.strip().isdecimal() or int(days) < 1):
            raise _malformed()
        if key.storage_class not in FROZEN_CLASSES and not facts.archive_tier:
            raise _RefusedError(
                403,
                "InvalidObjectState",
                "Restore is not allowed for the object's current storage class",
                StorageClass=str(key.storage_class),
            )
        hours = THAW_HOURS.get((facts.archive_tier or str(key.storage_class), tier))
        if hours is None:
            raise _RefusedError(400, "InvalidArgument", "Retrieval option is not supported by this storage class")
        return self._begin_restore(facts, tier, int(days) if days else None, hours)

    def _begin_restore(self, facts: _Facts, tier: str, days: int | None, hours: float) -> _Answer:
        """Begin a restore; one that is running can only be made faster, and one that has ended prolonged."""
        now = self.control.clock.now()
        running = facts.restore is not None and now < facts.restore.ready_at
        ended = facts.restore is not None and not running
        if running and facts.restore and (hours >= facts.restore.hours or days != facts.restore.days):
            raise _RefusedError(409, "RestoreAlreadyInProgress", "Object restore is already in progress")
        if tier == "Expedited" and not ended and not self.settings.expedited_capacity:
            raise _RefusedError(
                503,
                "GlacierExpeditedRetrievalNotAvailable",
                "Glacier expedited retrievals are currently not available, please try again later",
            )
        seconds = hours * 3600 if self.settings.thaw_seconds is None else self.settings.thaw_seconds
        ready_at = now if ended else now + seconds
        facts.restore = _Restore(days, hours, ready_at, _expiry(ready_at, days))
        return _Answer(200 if ended else 202)

    def _put_tags(self, call: _Call) -> _Answer:
        return _Answer(200) if "kept-tags" in self.settings.lacks else self._forward(call)

    def _get_tags(self, call: _Call) -> _Answer:
        """As moto, but frozen objects have readable tags."""
        key = self._find(call.key, call.query.get("versionId"))
        if key is None:
            raise _no_such_key(call.key)
        tags = "".join(
            f"<Tag><Key>{escape(tag['Key'])}</Key><Value>{escape(tag['Value'])}</Value></Tag>"
            for tag in self._backend.get_object_tagging(key)["Tags"]
        )
        body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Tagging><TagSet>{tags}</TagSet></Tagging>'
        return _Answer(200, {"content-type": "application/xml"}, body.encode())

    def _attributes(self, call: _Call) -> _Answer:
        key = self._find(call.key, call.query.get("versionId"))
        if key is None:
            raise _no_such_key(call.key)
        facts = self._settled(key)
        checksum = f"Checksum{facts.algorithm}"
        parts = "".join(
            f"<Part><PartNumber>{number}</PartNumber><Size>{size}</Size>"
            + (f"<{checksum}>{facts.part_checksums[number - 1]}</{checksum}>" if facts.part_checksums else "")
            + "</Part>"
            for number, size in enumerate(facts.part_sizes, 1)
        )
        answers = {
            "ETag": f"<ETag>{key.etag.strip(chr(34))}</ETag>",
            "Checksum": f"<Checksum><{checksum}>{self._checksum_of(key)}</{checksum}>"
            f"<ChecksumType>{facts.checksum_type}</ChecksumType></Checksum>"
            if facts.algorithm
            else "",
            "ObjectParts": f"<ObjectParts><PartsCount>{len(facts.part_sizes)}</PartsCount>{parts}</ObjectParts>"
            if facts.part_sizes
            else "",
            "StorageClass": f"<StorageClass>{key.storage_class}</StorageClass>",
            "ObjectSize": f"<ObjectSize>{key.size}</ObjectSize>",
        }
        asked = [name.strip() for name in call.headers.get("x-amz-object-attributes", "").split(",")]
        inner = "".join(xml for name, xml in answers.items() if name in asked)
        body = f"<GetObjectAttributesResponse>{inner}</GetObjectAttributesResponse>"
        headers = {"content-type": "application/xml", "last-modified": key.last_modified_RFC1123}
        return _Answer(200, headers, f'<?xml version="1.0" encoding="UTF-8"?>\n{body}'.encode())

    def _head_bucket(self, call: _Call) -> _Answer:
        answer = self._forward(call)
        answer.headers["x-amz-bucket-region"] = self.region
        return answer


def _no_such_key(key: str) -> _RefusedError:
    return _RefusedError(404, "NoSuchKey", "The specified key does not exist.", Key=key)


def _bad_digest(algorithm: str) -> _RefusedError:
    return _RefusedError(400, "BadDigest", f"The {algorithm} you specified did not match the calculated checksum.")


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def _sent_algorithm(headers: Mapping[str, str]) -> str | None:
    return next((name for name in _ALGORITHMS if headers.get(f"x-amz-checksum-{name.lower()}")), None)


def _upload_type(algorithm: str, asked: str) -> str:
    return asked or ("FULL_OBJECT" if algorithm == "CRC64NVME" else "COMPOSITE")


def _upload_checksum(algorithm: str, kind: str, contents: list[bytes]) -> str:
    if kind == "FULL_OBJECT":
        return _checksum(algorithm, b"".join(contents))
    digests = b"".join(_ALGORITHMS[algorithm](content) for content in contents)
    return f"{_checksum(algorithm, digests)}-{len(contents)}"


def _take_part(answer: _Answer, facts: _Facts, size: int, number: int, method: str) -> None:
    """Narrow the answer for a whole object to one part of it."""
    sizes = facts.part_sizes or (size,)
    if not 1 <= number <= len(sizes):
        raise _RefusedError(416, "InvalidPartNumber", "The requested partnumber is not satisfiable")
    begin = sum(sizes[: number - 1])
    end = begin + sizes[number - 1]
    answer.status = 206
    answer.headers["content-length"] = str(end - begin)
    answer.headers["content-range"] = f"bytes {begin}-{end - 1}/{size}"
    if facts.part_sizes:
        answer.headers["x-amz-mp-parts-count"] = str(len(sizes))
    if method == "GET":
        answer.body = answer.body[begin:end]


def _instead(fault: Fault) -> _Answer | None:
    """The answer of a fault that keeps the server from acting."""
    match fault.kind:
        case "http_500":
            return _error(500, "InternalError", "We encountered an internal error. Please try again.")
        case "http_503":
            return _error(503, "SlowDown", "Please reduce your request rate.")
        case "error":
            return _error(fault.status, fault.code, f"{fault.code} on cue")
        case "empty":
            return _Answer(200, ours=False)
    return None


def _spoiled(answer: _Answer, kind: str, fault: Fault | None, call: _Call) -> _Answer | None:
    """What a fault leaves of an answer after the server acted."""
    match kind:
        case "drop_after":
            return None
        case "delay" if fault:
            time.sleep(fault.seconds)
        case "empty_after":
            return _Answer(200, ours=False)
        case "garbage":
            return _Answer(200, {"content-type": "text/html"}, b"<html><body>It works!</body></html>", ours=False)
        case "cut":
            if call.method != "HEAD":
                answer.body = answer.body[: len(answer.body) // 2]
        case "cut_short":
            if call.method == "HEAD" or not answer.body:
                return None
            answer.cut_at = len(answer.body) // 2
        case "flip" if answer.body and call.operation == "GetObject" and answer.status in (200, 206):
            answer.body = _flipped(answer.body)
    return answer


def _flipped(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


class _Signer(S3SigV4Auth):
    """Signs as the client did: over the headers it names, which need not be those botocore would choose."""

    def __init__(self, credentials: Credentials, service: str, region: str, names: frozenset[str]) -> None:
        super().__init__(credentials, service, region)
        self._names = names

    def headers_to_sign(self, request: AWSRequest) -> Any:
        chosen = AWSRequest().headers
        for name, value in request.headers.items():
            if name.lower() in self._names:
                chosen[name] = value
        return chosen


class _OldSigner(HmacV1QueryAuth):
    def __init__(self, credentials: Credentials, date: str) -> None:
        super().__init__(credentials)
        self._date = date

    def _get_date(self) -> str:
        return self._date


class _Http(PromptServer):
    request_queue_size = 64

    def __init__(self, s3: S3Server) -> None:
        self.s3 = s3
        self.connections: set[socket.socket] = set()
        super().__init__(("127.0.0.1", 0), _Handler)

    def server_close(self) -> None:
        super().server_close()
        # Kept-alive connections would go on being served by their threads.
        for connection in list(self.connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], OSError):  # a client that hangs up is no news here
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each answer on a kept-alive connection waits for a delayed ACK
    wbufsize = -1
    server: _Http

    def setup(self) -> None:
        super().setup()
        self.server.connections.add(self.connection)

    def finish(self) -> None:
        self.server.connections.discard(self.connection)
        with contextlib.suppress(OSError):
            super().finish()

    def _serve(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self._read_body(headers)
        if body is None:
            self.close_connection = True
            return
        answer = self.server.s3.handle(self.command, self.path, headers, body)
        if answer is None:
            self.close_connection = True
            return
        length = len(answer.body)
        if self.command == "HEAD" and answer.status < 300:
            length = int(answer.headers.get("content-length", "0"))
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            if name not in ("content-length", "date", "server", "connection"):
                self.send_header(name, value)
        if answer.status not in (204, 304):
            self.send_header("Content-Length", str(length))
        if answer.ours:
            self.send_header("x-amz-request-id", "SANDBOX")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body[: answer.cut_at])
        if answer.cut_at is not None:
            self.close_connection = True
        self.wfile.flush()

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do_OPTIONS = _serve

    def _read_body(self, headers: Mapping[str, str]) -> bytes | None:
        """The body as it came; None if it ended too early."""
        if headers.get("transfer-encoding", "").lower() != "chunked":
            length = int(headers.get("content-length", "0"))
            body = self.rfile.read(length)
            return body if len(body) == length else None
        chunks = bytearray()
        while line := self.rfile.readline():
            size = int(line.split(b";")[0], 16)
            chunk = self.rfile.read(size)
            self.rfile.readline()
            if not size:
                return bytes(chunks)
            chunks += chunk
        return None

    def handle_expect_100(self) -> bool:
        self.send_response_only(HTTPStatus.CONTINUE)
        self.end_headers()
        self.wfile.flush()
        return True

    def version_string(self) -> str:
        return "AmazonS3"

    def date_time_string(self, timestamp: float | None = None) -> str:
        return super().date_time_string(self.server.s3.control.clock.now() if timestamp is None else timestamp)

    def log_message(self, format: str, *args: Any) -> None:
        """The control keeps the log."""
