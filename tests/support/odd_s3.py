"""A small S3 server that lacks what it is told to lack: checksums, conditions, tags, MD5s in ETags; or it flips a bit.

It shows what the tool makes of services that keep less than AWS does. It checks no signatures, and keeps all in memory.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import re
import threading
import urllib.parse
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from awscrt import checksums

ALGORITHMS: dict[str, Callable[[bytes], bytes]] = {
    "crc64nvme": lambda data: checksums.crc64nvme(data).to_bytes(8, "big"),
    "crc32": lambda data: zlib.crc32(data).to_bytes(4, "big"),
}


@dataclass
class Habits:
    """What the service does; each may be changed at any time.

    known: checksum headers that are not refused. checked: a wrong one is refused. shown: HeadObject shows what the
    service computed of what it has; `echoed` instead what it was told. typed: with its type. flips: how many of the
    next bodies of objects and parts lose a bit, before (`late` after) anything is checked.
    """

    known: frozenset[str] = frozenset(ALGORITHMS)
    checked: bool = True
    shown: bool = True
    echoed: bool = False
    typed: bool = True
    md5_etags: bool = True
    if_none_match: bool = True
    if_match: bool = True
    tags: bool = True
    no_tag_set: bool = False  # of an object without tags it says that there are none, by an error
    part_numbers: bool = True
    held_by_md5: bool = False  # what is to be held (Object Lock) it takes with Content-MD5 only; here: all videos
    flips: int = 0
    late: bool = False
    server: str = "OddS3"
    head: dict[str, str] = field(default_factory=dict)  # more headers of HeadObject


AWS_LIKE = Habits(server="AmazonS3")


@dataclass
class Kept:
    body: bytes
    etag: str
    headers: dict[str, str]
    claimed: dict[str, str] = field(default_factory=dict)
    tags: str = ""
    part_sizes: tuple[int, ...] = ()
    at: float = field(default_factory=lambda: datetime.now(UTC).timestamp())


@dataclass
class _Upload:
    key: str
    headers: dict[str, str]
    parts: dict[int, Kept] = field(default_factory=dict)


class _RefusedError(Exception):
    def __init__(self, status: int, code: str, message: str = "") -> None:
        super().__init__(code)
        self.status, self.code, self.message = status, code, message or code


def flipped(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def _b64(algorithm: str, data: bytes) -> str:
    return base64.b64encode(ALGORITHMS[algorithm](data)).decode()


def _md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()


class OddS3:
    """The server, a context manager. `log` has (operation, key, headers) of each request."""

    bucket = "archive"

    def __init__(self, habits: Habits | None = None) -> None:
        self.habits = habits or Habits()
        self.objects: dict[str, Kept] = {}
        self.uploads: dict[str, _Upload] = {}
        self.log: list[tuple[str, str, dict[str, str]]] = []
        self._lock = threading.RLock()
        self._numbers = itertools.count(1)
        odd = self

        class Handler(_Handler):
            server_version = "odd"
            odd_s3 = odd

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True

    def __enter__(self) -> OddS3:
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._http.shutdown()
        self._http.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}"

    def environ(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_BUCKET": self.bucket,
            "AWS_ACCESS_KEY_ID": "odd",
            "AWS_SECRET_ACCESS_KEY": "odd-secret-key",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def operations(self, key: str = "") -> list[str]:
        return [operation for operation, of, _ in self.log if not key or of == key]

    def tags_of(self, key: str) -> dict[str, str]:
        found = ElementTree.fromstring(self.objects[key].tags or "<T/>")  # noqa: S314 - what the tool itself wrote
        texts = [(e.tag.rpartition("}")[2], e.text or "") for e in found.iter()]
        names = [text for tag, text in texts if tag == "Key"]
        return dict(zip(names, (text for tag, text in texts if tag == "Value"), strict=True))

    def etag(self, body: bytes) -> str:
        return _md5(body).hex() if self.habits.md5_etags else f"{next(self._numbers):032x}"

    # Requests

    def answer(
        self, method: str, target: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        path, _, query_text = target.partition("?")
        query = dict(urllib.parse.parse_qsl(query_text, keep_blank_values=True))
        key = urllib.parse.unquote(path).lstrip("/").partition("/")[2]
        name = next(
            (n for n in ("tagging", "uploads", "uploadId", "list-type") if n in query), "object" if key else "bucket"
        )
        with self._lock:
            self.log.append((f"{method} {name}", key, headers))
            try:
                act = getattr(self, f"_{method.lower()}_{name.replace('-', '_')}".lower())
                return act(key, query, headers, body)  # type: ignore[no-any-return]
            except _RefusedError as refused:
                xml = f"<Error><Code>{refused.code}</Code><Message>{escape(refused.message)}</Message></Error>"
                return refused.status, {}, b"" if method == "HEAD" else xml.encode()

    def _taken(self, headers: Mapping[str, str], body: bytes) -> tuple[bytes, dict[str, str]]:
        """What is kept of a body, and the checksums that it was said to have."""
        habits = self.habits
        for name in headers:
            if name.startswith("x-amz-checksum-") and name[15:] not in habits.known | {"type", "algorithm"}:
                raise _RefusedError(400, "InvalidArgument", f"Unsupported header '{name}' received for this API call.")
        md5 = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
        if habits.held_by_md5 and headers.get("content-md5") != md5:
            raise _RefusedError(
                400,
                "InvalidRequest",
                "Content-MD5 HTTP header is required for Put Object requests with Object Lock parameters",
            )
        flips = habits.flips > 0
        habits.flips -= flips
        if flips and not habits.late:
            body = flipped(body)
        claimed = {
            name: headers[f"x-amz-checksum-{name}"] for name in habits.known if f"x-amz-checksum-{name}" in headers
        }
        if habits.checked and any(_b64(name, body) != value for name, value in claimed.items()):
            raise _RefusedError(400, "BadDigest", "The checksum you specified did not match")
        if flips and habits.late:
            body = flipped(body)
        return body, claimed

    def _may_write(self, key: str, headers: Mapping[str, str]) -> None:
        kept = self.objects.get(key)
        if self.habits.if_none_match and headers.get("if-none-match") == "*" and kept:
            raise _RefusedError(412, "PreconditionFailed")
        wanted = headers.get("if-match", "").strip('"')
        if self.habits.if_match and wanted and (kept is None or kept.etag != wanted):
            raise _RefusedError(412, "PreconditionFailed")

    def _put_object(self, key: str, query: Any, headers: dict[str, str], body: bytes) -> Any:
        body, claimed = self._taken(headers, body)
        self._may_write(key, headers)
        self.objects[key] = Kept(body, self.etag(body), _metadata(headers), claimed)
        return 200, {"ETag": f'"{self.objects[key].etag}"'}, b""

    def _post_uploads(self, key: str, query: Any, headers: dict[str, str], body: bytes) -> Any:
        algorithm = headers.get("x-amz-checksum-algorithm", "").lower()
        if algorithm and algorithm not in self.habits.known:
            raise _RefusedError(400, "InvalidRequest", "Checksum algorithm provided is unsupported.")
        upload_id = f"upload{next(self._numbers)}"
        self.uploads[upload_id] = _Upload(key, _metadata(headers))
        xml = f"<R><Bucket>{self.bucket}</Bucket><Key>{escape(key)}</Key><UploadId>{upload_id}</UploadId></R>"
        return 200, {}, xml.encode()

    def _put_uploadid(self, key: str, query: Any, headers: dict[str, str], body: bytes) -> Any:
        body, claimed = self._taken(headers, body)
        part = Kept(body, self.etag(body), {}, claimed)
        self.uploads[query["uploadId"]].parts[int(query["partNumber"])] = part
        return 200, {"ETag": f'"{part.etag}"'}, b""

    def _post_uploadid(self, key: str, query: Any, headers: dict[str, str], body: bytes) -> Any:
        upload = self.uploads[query["uploadId"]]
        self._may_write(key, headers)
        numbers = [int(n) for n in re.findall(rb"<PartNumber>(\d+)</PartNumber>", body)]
        parts = [upload.parts[number] for number in numbers]
        content = b"".join(part.body for part in parts)
        claimed = {
            name: headers[f"x-amz-checksum-{name}"] for name in ALGORITHMS if f"x-amz-checksum-{name}" in headers
        }
        if self.habits.checked and any(_b64(name, content) != value for name, value in claimed.items()):
            raise _RefusedError(400, "BadDigest", "The checksum you specified did not match")
        etag = self.etag(b"".join(bytes.fromhex(part.etag) for part in parts)) + f"-{len(parts)}"
        self.objects[key] = Kept(
            content, etag, upload.headers, claimed, part_sizes=tuple(len(part.body) for part in parts)
        )
        del self.uploads[query["uploadId"]]
        xml = f'<R><Bucket>{self.bucket}</Bucket><Key>{escape(key)}</Key><ETag>"{etag}"</ETag></R>'
        return 200, {}, xml.encode()

    def _delete_uploadid(self, key: str, query: Any, headers: dict[str, str], body: bytes) -> Any:
        self.uploads.pop(query["uploadId"], None)
        return 204, {}, b""

    def _get_uploads(self, key: str, query: Any, headers: dict[str, str], body: bytes) -> Any:
        return 200, {}, b"<R><IsTruncated>false</IsTruncated></R>"

    def _kept(self, key: str, headers: Mapping[str, str]) -> Kept:
        kept = self.objects.get(key)
        if kept is None:
            raise _RefusedError(404, "NoSuchKey")
        wanted = headers.get("if-match", "").strip('"')
        if self.habits.if_match and wanted and wanted != kept.etag:
            raise _RefusedError(412, "PreconditionFailed")
        return kept

    def _head_object(self, key: str, query: Any, headers: dict[str, str], body: bytes) -> Any:
        kept, habits = self._kept(key, headers), self.habits
        told = {**_facts(kept), **habits.head, "Content-Length": str(len(kept.body))}
        if habits.part_numbers and "partNumber" in query and kept.part_sizes:
            size = kept.part_sizes[int(query["partNumber"]) - 1]
            return 206, told | {"Content-Length": str(size), "x-amz-mp-parts-count": str(len(kept.part_sizes))}, b""
        for name, value in kept.claimed.items() if habits.shown else ():
            told[f"x-amz-checksum-{name}"] = value if habits.echoed else _b64(name, kept.body)
            if habits.typed:
                told["x-amz-checksum-type"] = "FULL_OBJECT"
        return 200, told, b""

    def _get_object(self, key: str, query: Any, headers: dict[str, str], body: bytes) -> Any:
        kept = self._kept(key, headers)
        told = _facts(kept)
        if found := re.fullmatch(r"bytes=(\d+)-(\d*)", headers.get("range", "")):
            first, last = int(found[1]), min(int(found[2] or len(kept.body) - 1), len(kept.body) - 1)
            told["Content-Range"] = f"bytes {first}-{last}/{len(kept.body)}"
            return 206, told, kept.body[first : last + 1]
        return 200, told, kept.body

    def _delete_object(self, key: str, query: Any, headers: dict[str, str], body: bytes) -> Any:
        self.objects.pop(key, None)
        return 204, {}, b""

    def _get_tagging(self, key: str, query: Any, headers: dict[str, str], body: bytes) -> Any:
        if not self.habits.tags:
            raise _RefusedError(501, "NotImplemented", "A header or query you provided is not implemented: tagging")
        if self.habits.no_tag_set and not self._kept(key, {}).tags:
            raise _RefusedError(404, "NoSuchTagSet", "There is no tag set associated with the object")
        return 200, {}, (self._kept(key, {}).tags or "<Tagging><TagSet></TagSet></Tagging>").encode()

    def _put_tagging(self, key: str, query: Any, headers: dict[str, str], body: bytes) -> Any:
        if not self.habits.tags:
            raise _RefusedError(501, "NotImplemented", "A header or query you provided is not implemented: tagging")
        for name in headers:
            if name.startswith("x-amz-checksum-") and name[15:] not in self.habits.known:
                raise _RefusedError(400, "InvalidArgument", f"Unsupported header '{name}' received for this API call.")
        self._kept(key, {}).tags = body.decode()
        return 200, {}, b""

    def _head_bucket(self, key: str, query: Any, headers: dict[str, str], body: bytes) -> Any:
        return 200, {}, b""

    def _get_list_type(self, key: str, query: Any, headers: dict[str, str], body: bytes) -> Any:
        listed = "".join(
            f"<Contents><Key>{escape(name)}</Key><LastModified>{datetime.fromtimestamp(kept.at, UTC).isoformat()}"
            f'</LastModified><ETag>"{kept.etag}"</ETag><Size>{len(kept.body)}</Size></Contents>'
            for name, kept in sorted(self.objects.items())
            if name.startswith(query.get("prefix", ""))
        )
        xml = f"<ListBucketResult><IsTruncated>false</IsTruncated>{listed}</ListBucketResult>"
        return 200, {}, xml.encode()


def _metadata(headers: Mapping[str, str]) -> dict[str, str]:
    return {n: v for n, v in headers.items() if n.startswith("x-amz-meta-") or n == "x-amz-storage-class"}


def _facts(kept: Kept) -> dict[str, str]:
    return {**kept.headers, "ETag": f'"{kept.etag}"', "Last-Modified": formatdate(kept.at, usegmt=True)}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each answer on a kept-alive connection waits for a delayed ACK
    odd_s3: OddS3

    def _serve(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        if headers.get("expect", "").lower() == "100-continue":
            self.close_connection = False
        body = self.rfile.read(int(headers.get("content-length", "0")))
        status, told, answer = self.odd_s3.answer(self.command, self.path, headers, body)
        self.send_response_only(status)
        for name, value in {"Server": self.odd_s3.habits.server, "x-amz-request-id": "odd", **told}.items():
            if name != "Content-Length":
                self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", told.get("Content-Length", str(len(answer))))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _serve

    def log_message(self, format: str, *args: Any) -> None:
        pass
