"""The bucket: stored copies, their tags, and Glacier. The one module that speaks to S3."""

from __future__ import annotations

import hashlib
import logging
import re
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from datetime import datetime
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

import boto3
import urllib3
from awscrt import checksums
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    MetadataRetrievalError,
    NoCredentialsError,
    PartialCredentialsError,
    SSOError,
    TokenRetrievalError,
)
from botocore.utils import get_environ_proxies, parse_timestamp

from kaltura_archiver.bandwidth import Bandwidth
from kaltura_archiver.config import Settings, is_loopback
from kaltura_archiver.direct import Host, Puts
from kaltura_archiver.dribble import bound_boto
from kaltura_archiver.errors import Changed, ConfigError, EntryFailed, Refused, Stopped, StoreError
from kaltura_archiver.model import (
    DISPLACED_PREFIX,
    FROZEN_CLASSES,
    PLACEHOLDER_PREFIX,
    SUSPECT_PREFIX,
    Availability,
    StoredObject,
)
from kaltura_archiver.pacing import MAX_REFUSALS, Pace
from kaltura_archiver.redact import redact
from kaltura_archiver.streams import (
    CHUNK_BYTES,
    READ_BYTES,
    Chunk,
    Fingerprint,
    Fingerprinter,
    Landing,
    Piece,
    chunked,
    crc_text,
    exactly,
    hashed,
)

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

log = logging.getLogger(__name__)

# boto3's part size, which the old tool used.
OLD_PART_BYTES = 8 * 2**20
# Up to here one request instead of four.
MAX_PUT_BYTES = 16 * 2**20
MAX_PARTS = 9_000
# Parts of one object on their way at a time; what they hold is counted in streams.BUDGET.
PARTS_IN_FLIGHT = 3
MAX_RESUMES = 5
READ_SECONDS = 60
RATE_LIMITS = frozenset({"SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded", "503"})
RETRYABLE = RATE_LIMITS | frozenset(
    {"InternalError", "ServiceUnavailable", "RequestTimeout",
     "OperationAborted", "ConditionalRequestConflict", "500", "502", "503", "504"}
)  # fmt: skip


_CRC = "x-amz-checksum-crc64nvme"

# What an answer must hold to be one: a proxy's page with status 200 parses as an answer without it.
_NEEDED = {
    "HeadObject": "ETag",
    "GetObjectTagging": "TagSet",
    "UploadPart": "ETag",
    "CreateMultipartUpload": "UploadId",
    "ListObjectsV2": "IsTruncated",
}


def _parse_time(value: Any) -> datetime:
    """As botocore does, and fifty times as fast for what listings have: a third of their time went there."""
    try:
        return datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return parse_timestamp(value)


_POLICY = "the policy must allow it (and s3:ListBucket, to tell absent from forbidden)"
# What S3 says of the credentials themselves, and what to do.
_BAD_CREDENTIALS = {
    "ExpiredToken": "the temporary AWS credentials have expired: get new ones",
    "TokenRefreshRequired": "the temporary AWS credentials have expired: get new ones",
    "InvalidToken": "check AWS_SESSION_TOKEN",
    "InvalidAccessKeyId": "check AWS_ACCESS_KEY_ID",
    "SignatureDoesNotMatch": "check AWS_SECRET_ACCESS_KEY",
    "RequestTimeTooSkewed": "set the clock of this machine",
}
# Where there are none to sign with, S3 was not asked.
_NO_CREDENTIALS = (
    NoCredentialsError, PartialCredentialsError, SSOError, TokenRetrievalError, CredentialRetrievalError,
    MetadataRetrievalError,
)  # fmt: skip


def _no_credentials(error: Exception) -> str:
    said = redact(" ".join(str(error).split())).rstrip(".")[:300]
    again = isinstance(error, SSOError | TokenRetrievalError)
    return f"no AWS credentials: {said}; {'sign in again: aws sso login' if again else 'see the AWS profile'}"


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _words(error: ClientError) -> str:
    """What S3 itself says, beyond the bare name of the status."""
    words = redact(" ".join(str(error.response.get("Error", {}).get("Message", "")).split()))[:400]
    return "" if words.rstrip(".").lower() in ("forbidden", "access denied", "bad request") else words


class _ImproperAnswer(BotoCoreError):
    fmt = "not a proper answer of S3"


def _require_proper(parsed: Mapping[str, Any], model: Any, **_: Any) -> None:
    status = parsed.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if status < 300 and model.name in _NEEDED and _NEEDED[model.name] not in parsed:
        raise _ImproperAnswer


def _availability(head: Mapping[str, Any]) -> tuple[Availability, str]:
    """(readable now?, until when) from HeadObject. A thawed object keeps its storage class: the header tells."""
    restore = head.get("Restore", "")
    if 'ongoing-request="true"' in restore:
        return Availability.THAWING, ""
    until = re.search(r'expiry-date="([^"]+)"', restore)
    if until:
        return Availability.READABLE, until.group(1)
    if head.get("StorageClass") in FROZEN_CLASSES or head.get("ArchiveStatus"):
        return Availability.FROZEN, ""
    return Availability.READABLE, ""


# Key, bytes, storage class, and whether it can be read now.
ListedObject = tuple[str, int, str, Availability]


def _listed(item: Mapping[str, Any]) -> ListedObject:
    storage_class, status = item.get("StorageClass", "STANDARD"), item.get("RestoreStatus", {})
    availability = Availability.FROZEN if storage_class in FROZEN_CLASSES else Availability.READABLE
    if status.get("IsRestoreInProgress"):
        availability = Availability.THAWING
    elif status.get("RestoreExpiryDate"):
        availability = Availability.READABLE
    return item["Key"], item["Size"], storage_class, availability


def _part_done(chunk: Chunk, room: threading.Semaphore, _: Future[Any]) -> None:
    chunk.release()
    room.release()


class Store:
    """The bucket of the stored copies; safe to use from many threads. Every method raises StoreError.

    `read_only` is the second wall of a dry run: methods that change something then raise AssertionError.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        read_only: bool,
        stop: threading.Event | None = None,
        bandwidth: Bandwidth | None = None,
    ) -> None:
        self.bucket = settings.bucket
        self._read_only = read_only
        self._stop = stop or threading.Event()
        self._bandwidth = bandwidth
        # An address of one's own rarely has a name per bucket.
        style: dict[str, Any] = {"addressing_style": "path"} if settings.endpoint_url else {}
        config = Config(
            retries={"mode": "standard", "total_max_attempts": 4},
            connect_timeout=10,
            read_timeout=READ_SECONDS,
            max_pool_connections=32,
            # TLS protects bodies, and S3 checks every one against a CRC64NVME in a signed header.
            s3=cast(Any, {**style, "payload_signing_enabled": False}),
        )
        try:
            session = boto3.Session()
            parsers = session._session.get_component("response_parser_factory")
            parsers.set_parser_defaults(timestamp_parser=_parse_time)
            region = session.region_name or "us-east-1"
            self._s3: S3Client = session.client("s3", config=config, region_name=region)
            bound_boto(self._s3)
            self._s3.meta.events.register("after-call.s3", _require_proper)
            self.pace = Pace(self._stop.wait)
            # Before the request is signed: it may wait.
            self._s3.meta.events.register_first("request-created.s3", self._before_call)
            # Before botocore's own judge, which has each call go on by itself and gives up soon.
            self._s3.meta.events.register_first("needs-retry.s3", cast(Any, self._after_answer))
            if session.get_credentials() is None:
                raise ConfigError(
                    "no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or use a task role"
                )
            self._session = session
            self._open_air = self._without_tls()
        except (BotoCoreError, ValueError) as error:
            raise ConfigError(f"cannot set up S3: {redact(str(error))}; check the AWS variables") from error

    def _without_tls(self) -> bool:
        """Whether others on the way to S3 can listen. ConfigError where a secret would be among what they hear.

        Signatures are none: a LAN's own S3 may do without TLS. What it stores travels openly then.
        """
        address = urlsplit(self._s3.meta.endpoint_url)
        if address.scheme != "http" or is_loopback(address.hostname or ""):
            return False
        credentials = self._session.get_credentials()
        if credentials is not None and credentials.get_frozen_credentials().token:
            raise ConfigError(
                f"the endpoint http://{address.netloc} would get the session token of the AWS credentials unencrypted: "
                "use https://"
            )
        log.warning("S3 at http://%s is spoken to without TLS: videos travel unencrypted", address.netloc)
        return True

    def _before_call(self, request: Any, **_: Any) -> None:
        again = request.context.get("retries", {}).get("attempt", 1) > 1
        request.context["called_at"] = self.pace.wait(again=again)

    def _after_answer(
        self, response: tuple[Any, Mapping[str, Any]] | None, attempts: int, request_dict: Mapping[str, Any], **_: Any
    ) -> float | None:
        """Seconds to wait before another try where S3 says that we ask too much: then all pause, and so does this."""
        if response is None:
            return None
        parsed = response[1]
        if parsed.get("Error", {}).get("Code") not in RATE_LIMITS:
            self.pace.passed()
            return None
        self.pace.refused(request_dict["context"].get("called_at", 0.0))
        return 0.0 if attempts <= MAX_REFUSALS and not self._stop.is_set() else None

    def _failure(self, what: str, error: Exception) -> StoreError:
        if isinstance(error, ClientError):
            code = str(error.response.get("Error", {}).get("Code", ""))
            status = str(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", ""))
            message = _words(error)
            if status == "403" and code in ("403", "AccessDenied"):
                # AWS names what it misses: s3:PutObjectTagging, kms:GenerateDataKey, whose policy says no.
                message = f"access denied: {message}" if message else f"access denied; {_POLICY}"
            retryable = code in RETRYABLE or status in ("500", "502", "503", "504")
            return StoreError(f"{what}: S3 says {message or 'no reason'} ({code})", code=code, retryable=retryable)
        if isinstance(error, _NO_CREDENTIALS):
            return StoreError(f"{what}: {_no_credentials(error)}")
        return StoreError(f"{what}: no answer from S3 ({redact(type(error).__name__)})", retryable=True)

    def _by_get(self, error: ClientError, **where: str) -> ClientError:
        """The same refusal with its reason: an answer to HEAD has no body, so it is asked once more by GET."""
        try:
            if "Key" in where:
                self._s3.get_object(**cast(Any, where), Range="bytes=0-0")["Body"].close()
            else:
                self._s3.list_objects_v2(**cast(Any, where), MaxKeys=1)
        except ClientError as told:
            # Another answer would be about something else: that there is no such key, or that it is frozen.
            return told if _status(told) == _status(error) else error
        except BotoCoreError:
            pass
        return error

    def _guard(self, what: str) -> None:
        if self._read_only:
            raise AssertionError(f"a dry run must not {what}")

    # Reading

    def check_bucket(self) -> None:
        """Raise ConfigError unless the bucket is there, in our region, and may be looked into."""
        with self._checking_bucket():
            self._s3.head_bucket(Bucket=self.bucket)

    @contextmanager
    def _checking_bucket(self) -> Iterator[None]:
        name = f"bucket {self.bucket}"
        try:
            yield
        except ClientError as error:
            headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
            status = _status(error)
            region = headers.get("x-amz-bucket-region", "")
            if status == 404:
                raise ConfigError(f"{name} does not exist; check AWS_BUCKET") from error
            if status in (301, 307, 400) and region and region != self._s3.meta.region_name:
                raise ConfigError(f"{name} is in region {region}; set AWS_DEFAULT_REGION={region}") from error
            if status in (301, 307):
                raise ConfigError(f"{name} is in another region; set AWS_DEFAULT_REGION to it") from error
            told = self._by_get(error, Bucket=self.bucket) if error.operation_name == "HeadBucket" else error
            code = str(told.response.get("Error", {}).get("Code", ""))
            if code in _BAD_CREDENTIALS:
                raise ConfigError(f"{self._failure(f'look at {name}', told)}; {_BAD_CREDENTIALS[code]}") from error
            if status == 403:
                said = f": {_words(told)} ({code})" if _words(told) else ""
                check = "" if said else "; check AWS_BUCKET, the credentials and their policy"
                raise ConfigError(f"access to {name} is forbidden{said}{check}") from error
            raise ConfigError(f"{self._failure(f'look at {name}', told)}; check AWS_BUCKET") from error
        except _NO_CREDENTIALS as error:
            raise ConfigError(_no_credentials(error)) from error
        except (BotoCoreError, ValueError) as error:
            shown = redact(" ".join(str(error).split()))[:200]
            raise ConfigError(f"cannot reach {name}: {shown}; check AWS_BUCKET and AWS_ENDPOINT_URL") from error

    def pages(self, prefix: str = "") -> Iterator[list[ListedObject]]:
        """All keys that begin so, up to 1,000 at a time, in S3's order. The first page fails like `check_bucket`."""
        where = {"Prefix": prefix} if prefix else {}
        first = True
        while True:
            try:
                with self._checking_bucket() if first else nullcontext():
                    answer = self._s3.list_objects_v2(
                        Bucket=self.bucket, OptionalObjectAttributes=["RestoreStatus"], **cast(Any, where)
                    )
            except (ClientError, BotoCoreError) as error:
                raise self._failure("list the bucket", error) from error
            first = False
            found = answer.get("Contents", [])
            if answer.get("KeyCount", len(found)) != len(found):
                raise StoreError(f"list the bucket: S3 says {answer['KeyCount']} keys, and shows {len(found)}")
            yield [_listed(item) for item in found]
            if not answer["IsTruncated"]:
                return
            if not answer.get("NextContinuationToken"):
                raise StoreError("list the bucket: S3 says that there is more, but not how to get it")
            where["ContinuationToken"] = answer["NextContinuationToken"]

    def head(self, key: str, *, with_tags: bool = True) -> StoredObject | None:
        """The stored copy, usually with its tags; None only if S3 says that there is none (404)."""
        what = f"look at object {key}"
        try:
            head = self._s3.head_object(Bucket=self.bucket, Key=key, ChecksumMode="ENABLED")
            tags = self._tags(key) if with_tags else {}
        except ClientError as error:
            if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == 404:
                code = error.response.get("Error", {}).get("Code")
                if code == "NoSuchBucket":
                    raise ConfigError(f"bucket {self.bucket} does not exist; check AWS_BUCKET") from error
                return None
            told = self._by_get(error, Bucket=self.bucket, Key=key) if error.operation_name == "HeadObject" else error
            raise self._failure(what, told) from error
        except BotoCoreError as error:
            raise self._failure(what, error) from error
        availability, until = _availability(head)
        return StoredObject(
            key=key,
            size_bytes=head["ContentLength"],
            etag=head["ETag"].strip('"'),
            storage_class=head.get("StorageClass", "STANDARD"),
            availability=availability,
            thawed_until=until,
            metadata=head.get("Metadata", {}),
            tags=tags,
            encryption=head.get("ServerSideEncryption", ""),
            crc64nvme=head.get("ChecksumCRC64NVME", "") if head.get("ChecksumType") != "COMPOSITE" else "",
            last_modified=head.get("LastModified"),
        )

    def part_bytes(self, stored: StoredObject) -> int | None:
        """The part size that the object was written with; None for one piece. boto3's 8 MiB where S3 does not tell."""
        parts = re.fullmatch(r"[0-9a-f]{32}-(\d+)", stored.etag)
        if not parts:
            return None
        count = int(parts.group(1))
        if count == 1:
            return max(stored.size_bytes, 1)
        with suppress(ClientError, BotoCoreError):
            first = self._s3.head_object(Bucket=self.bucket, Key=stored.key, PartNumber=1)
            size = first["ContentLength"]
            if first.get("PartsCount") == count and size < stored.size_bytes:
                return size
        return OLD_PART_BYTES

    def fingerprinter(self, stored: StoredObject) -> Fingerprinter:
        """What takes in content that is to be compared with the object: MD5s only where nothing better is known."""
        return Fingerprinter(md5=False) if stored.sha256 else Fingerprinter(self.part_bytes(stored))

    def read(self, stored: StoredObject) -> Iterator[Piece]:
        """The object's bytes, resumed by Range where the connection is cut; Changed if it is another one by then."""
        pieces = self._read(stored)
        return self._bandwidth.passing(pieces) if self._bandwidth else pieces

    def _read(self, stored: StoredObject) -> Iterator[Piece]:
        what, offset, cuts = f"read object {stored.key}", 0, 0
        while offset < stored.size_bytes:
            if self._stop.is_set():
                raise Stopped("asked to stop")
            before = offset
            try:
                answer = self._s3.get_object(
                    Bucket=self.bucket, Key=stored.key, IfMatch=stored.etag, Range=f"bytes={offset}-"
                )
            except ClientError as error:
                if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") in (404, 412):
                    raise Changed(f"{what}: it was changed or removed on the way") from error
                raise self._failure(what, error) from error
            except BotoCoreError as error:
                raise self._failure(what, error) from error
            with suppress(OSError, BotoCoreError, urllib3.exceptions.HTTPError), answer["Body"] as body:
                while not self._stop.is_set() and (piece := body.read(READ_BYTES)):
                    offset += len(piece)
                    yield piece
            cuts = cuts + 1 if offset == before else 0
            if cuts >= MAX_RESUMES:
                raise StoreError(f"{what}: cut {cuts} times at byte {offset} of {stored.size_bytes}", retryable=True)
        if offset != stored.size_bytes:
            raise EntryFailed(f"{what}: {offset} bytes came instead of {stored.size_bytes}")

    def presign(self, key: str, seconds: int) -> str:
        """A URL by which Kaltura can fetch the object for that long. Whoever hears it can, too: not without TLS."""
        if self._open_air:
            raise Refused("--via url would have the video's address travel unencrypted: use --via upload, or S3 by TLS")
        return self._s3.generate_presigned_url(
            "get_object", Params={"Bucket": self.bucket, "Key": key}, ExpiresIn=seconds
        )

    # Changing

    def write(
        self,
        key: str,
        pieces: Iterable[Piece],
        size_bytes: int,
        *,
        metadata: Mapping[str, str],
        storage_class: str,
        landing: Landing | None = None,
    ) -> Fingerprint:
        """Store `pieces` (which `landing` may have read) under a key that must not exist, and check what S3 then has.

        Memory is bounded by streams.BUDGET, whatever the size. S3 verifies every part and the whole object by
        CRC64NVME, and refuses to overwrite (If-None-Match). The ETag of the result is empty. Raises Changed if the key
        exists by now, EntryFailed if the bytes are not `size_bytes`; nothing is left in the bucket then.
        """
        self._guard("write an object")
        common = {"Bucket": self.bucket, "Key": key}
        new = {**common, "Metadata": dict(metadata), "StorageClass": storage_class}
        pieces = exactly(pieces, size_bytes, f"nothing was stored: the original of {key} gave")
        try:
            if size_bytes <= MAX_PUT_BYTES:
                found = self._write_small(new, pieces, size_bytes, landing)
            else:
                found = self._write_parts(common, new, pieces, size_bytes, landing)
        except (ClientError, BotoCoreError) as error:
            # The answer may have been lost after the object was made.
            failure = self._failure(f"store object {key}", error)
            if failure.code in ("PreconditionFailed", "412"):
                raise Changed(f"object {key} exists already; it is never overwritten") from error
            raise failure from error
        return found

    def _write_small(
        self, new: dict[str, Any], pieces: Iterable[Piece], size_bytes: int, landing: Landing | None
    ) -> Fingerprint:
        sha = hashlib.sha256()
        chunks = chunked(hashed(pieces, sha), size_bytes, size_bytes, self._stop, landing=landing)
        body = next(chunks)
        try:
            # There is no other; but only at their very end do the pieces tell whether they are to be stored.
            for _ in chunks:
                raise AssertionError("unreachable")
            found = Fingerprint(size_bytes, sha.hexdigest(), crc_text(body.crc64nvme()), "")
            headers = {f"x-amz-meta-{name}": value for name, value in new["Metadata"].items()}
            headers |= {"x-amz-storage-class": new["StorageClass"], "if-none-match": "*", _CRC: found.crc64nvme}
            if self._put(new["Key"], body, headers):
                return found
            try:
                self._s3.put_object(**new, Body=cast(Any, body), IfNoneMatch="*", ChecksumCRC64NVME=found.crc64nvme)
            except (ClientError, BotoCoreError):
                if not self._is_ours(new, found):
                    raise
            return found
        finally:
            body.release()

    def _write_parts(
        self,
        common: dict[str, Any],
        new: dict[str, Any],
        pieces: Iterable[Piece],
        size_bytes: int,
        landing: Landing | None,
    ) -> Fingerprint:
        upload_id = self._s3.create_multipart_upload(**new, ChecksumAlgorithm="CRC64NVME", ChecksumType="FULL_OBJECT")[
            "UploadId"
        ]
        common = {**common, "UploadId": upload_id}
        part_bytes = max(CHUNK_BYTES, -(-size_bytes // MAX_PARTS))
        sha = hashlib.sha256()
        parts: list[Future[tuple[dict[str, Any], int, int]]] = []
        completed = False
        room = threading.Semaphore(PARTS_IN_FLIGHT)
        try:
            with ThreadPoolExecutor(PARTS_IN_FLIGHT, thread_name_prefix="part") as pool:
                for chunk in chunked(hashed(pieces, sha), part_bytes, size_bytes, self._stop, landing=landing):
                    while not room.acquire(timeout=1):
                        if self._stop.is_set():
                            chunk.release()
                            raise Stopped("asked to stop")
                    if any(part.done() and part.exception() for part in parts):
                        chunk.release()
                        break
                    parts.append(pool.submit(self._send_part, common, len(parts) + 1, chunk))
                    parts[-1].add_done_callback(partial(_part_done, chunk, room))
            sent, crc = [], 0
            for part in parts:
                answer, part_crc, size = part.result()
                crc = checksums.combine_crc64nvme(crc, part_crc, size)
                sent.append(answer)
            found = Fingerprint(size_bytes, sha.hexdigest(), crc_text(crc), "")
            try:
                self._s3.complete_multipart_upload(
                    **common,
                    MultipartUpload={"Parts": cast(Any, sent)},
                    ChecksumCRC64NVME=found.crc64nvme,
                    ChecksumType="FULL_OBJECT",
                    MpuObjectSize=size_bytes,
                    IfNoneMatch="*",
                )
            except (ClientError, BotoCoreError):
                if not self._is_ours(new, found):
                    raise
            completed = True
            return found
        finally:
            if not completed:
                try:
                    self._s3.abort_multipart_upload(**common)
                except (ClientError, BotoCoreError) as error:
                    log.warning("%s", self._failure(f"abort the upload of {common['Key']}", error))

    def _send_part(self, common: dict[str, Any], number: int, chunk: Chunk) -> tuple[dict[str, Any], int, int]:
        """Send a part; returns what Complete wants of it, its CRC and its size."""
        size, crc = len(chunk), chunk.crc64nvme()
        text = crc_text(crc)
        etag = (
            self._put(common["Key"], chunk, {_CRC: text}, partNumber=str(number), uploadId=common["UploadId"])
            or self._s3.upload_part(**common, PartNumber=number, Body=cast(Any, chunk), ChecksumCRC64NVME=text)["ETag"]
        )
        return {"PartNumber": number, "ETag": etag, "ChecksumCRC64NVME": text}, crc, size

    @cached_property
    def _puts(self) -> Puts | None:
        """The quick way to write; None where only boto3 knows the way: by a proxy, to an access point named by ARN."""
        known = {"Bucket": self.bucket, "Key": "key"}
        address = self._s3.generate_presigned_url("put_object", Params=known).partition("?")[0]
        credentials = self._session.get_credentials()
        if credentials is None or self.bucket.startswith("arn:") or get_environ_proxies(address):
            return None
        url = urlsplit(address.removesuffix("key"))
        trust = self._session._session.get_config_variable("ca_bundle") or None
        host = Host(url, trust=trust, seconds=READ_SECONDS)
        return Puts(host, url.path, self._s3.meta.region_name, credentials.get_frozen_credentials)

    def _put(self, key: str, body: Chunk, headers: Mapping[str, str], **query: str) -> str:
        """The ETag of what the quick way has stored; empty if it has to be stored by boto3."""
        if self._puts is None:
            return ""
        self.pace.wait()
        return self._puts.put(key, body, headers, **query)

    def _is_ours(self, new: Mapping[str, Any], found: Fingerprint) -> bool:
        """Whether the object is there after all, just as we meant to write it: the answer was lost, not the object."""
        try:
            stored = self.head(new["Key"])
        except StoreError:
            return False
        return (
            stored is not None
            and stored.size_bytes == found.size_bytes
            and stored.crc64nvme == found.crc64nvme
            and dict(stored.metadata) == new["Metadata"]
        )

    def _tags(self, key: str) -> dict[str, str]:
        tags = self._s3.get_object_tagging(Bucket=self.bucket, Key=key)["TagSet"]
        return {tag["Key"]: tag["Value"] for tag in tags}

    def set_tags(self, key: str, *, new: bool = False, **changes: str | None) -> None:
        """Set some of an object's tags (None removes one) and keep the others; they may change on a frozen object.

        `new` says that the object was just made, without tags: there are none to keep.
        """
        self._guard("tag an object")
        try:
            tags = {} if new else self._tags(key)
            tags |= {name.replace("_", "-"): value for name, value in changes.items() if value is not None}
            for name, value in changes.items():
                if value is None:
                    tags.pop(name.replace("_", "-"), None)
            tag_set: list[Any] = [{"Key": name, "Value": value} for name, value in tags.items()]
            for _ in range(2):
                answer = self._s3.put_object_tagging(Bucket=self.bucket, Key=key, Tagging={"TagSet": tag_set})
                # An empty answer with status 200 is S3's yes, but a proxy's too: that has no request id of S3's.
                if answer["ResponseMetadata"].get("RequestId") or self._tags(key) == tags:
                    return
        except (ClientError, BotoCoreError) as error:
            raise self._failure(f"tag object {key}", error) from error
        raise StoreError(f"tag object {key}: S3 accepted the tags but does not have them", retryable=True)

    def abort_stale_uploads(self, entry_ids: Collection[str], before: datetime) -> int:
        """Abort multipart uploads for these entries that were begun before that time; returns how many."""
        self._guard("abort an upload")
        aborted = 0
        try:
            for page in self._s3.get_paginator("list_multipart_uploads").paginate(Bucket=self.bucket):
                for upload in page.get("Uploads", []):
                    entry_id = upload["Key"].removeprefix(DISPLACED_PREFIX).partition("/")[0]
                    if entry_id in entry_ids and upload["Initiated"] < before:
                        self._s3.abort_multipart_upload(
                            Bucket=self.bucket, Key=upload["Key"], UploadId=upload["UploadId"]
                        )
                        aborted += 1
        except (ClientError, BotoCoreError) as error:
            raise self._failure("look for interrupted uploads", error) from error
        return aborted

    def mark_suspect(self, key: str) -> None:
        """Let a listing tell that the tags of this stored copy have to be looked at; to be done before they say so."""
        self._guard("mark an object")
        try:
            self._s3.put_object(Bucket=self.bucket, Key=f"{SUSPECT_PREFIX}{key}", Body=b"")
        except (ClientError, BotoCoreError) as error:
            raise self._failure(f"mark object {key} as suspect", error) from error

    def mark_placeholder(self, key: str, content_id: str, size_bytes: int) -> None:
        """Let a listing tell which placeholder took the original's place, by `<flavor asset id>@<version>`."""
        self._guard("mark an object")
        mark = f"{PLACEHOLDER_PREFIX}{key}/{content_id}/{size_bytes}"
        try:
            self._s3.put_object(Bucket=self.bucket, Key=mark, Body=b"", IfNoneMatch="*")
        except ClientError as error:
            if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") != 412:
                raise self._failure(f"mark the placeholder of {key}", error) from error
        except BotoCoreError as error:
            raise self._failure(f"mark the placeholder of {key}", error) from error

    def request_thaw(self, key: str, *, tier: str, days: int) -> bool:
        """Ask Glacier for a readable copy for `days`; False if such a request is already running."""
        self._guard("request a restore")
        request: Any = {"Days": days, "GlacierJobParameters": {"Tier": tier.capitalize()}}
        try:
            self._s3.restore_object(Bucket=self.bucket, Key=key, RestoreRequest=request)
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") == "RestoreAlreadyInProgress":
                return False
            raise self._failure(f"request a restore of object {key}", error) from error
        except BotoCoreError as error:
            raise self._failure(f"request a restore of object {key}", error) from error
        return True

    # Small texts beside the stored copies: locks, logs of runs

    def get_text(self, key: str, max_bytes: int = 2**16) -> tuple[str, str] | None:
        """(text, ETag) of a small object of ours, no more of it than that; None if there is none."""
        try:
            answer = self._s3.get_object(Bucket=self.bucket, Key=key)
            return answer["Body"].read(max_bytes).decode(errors="replace"), answer["ETag"]
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") == "NoSuchKey":
                return None
            raise self._failure(f"read {key}", error) from error
        except (BotoCoreError, OSError, urllib3.exceptions.HTTPError) as error:
            raise self._failure(f"read {key}", error) from error

    def put_text(self, key: str, text: str, *, if_match: str) -> str:
        """Write a small object: over the one with this ETag, or, with an empty one, where there is none.

        Returns its ETag; empty if the condition did not hold.
        """
        self._guard("write an object")
        condition: Any = {"IfMatch": if_match} if if_match else {"IfNoneMatch": "*"}
        try:
            answer = self._s3.put_object(
                Bucket=self.bucket, Key=key, Body=text.encode(), ContentType="application/json", **condition
            )
            return answer["ETag"]
        except ClientError as error:
            # Another writer at the same moment is a 409; an object that has gone, with If-Match, a 404.
            if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") in (404, 409, 412):
                return ""
            raise self._failure(f"write {key}", error) from error
        except (BotoCoreError, KeyError) as error:
            raise self._failure(f"write {key}", error) from error
