"""The bucket: stored copies, their tags, and Glacier. The one module that speaks to S3."""

from __future__ import annotations

import base64
import hashlib
import logging
import os
import re
import threading
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import parse_qs, quote, urlsplit

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
from botocore.httpsession import get_cert_path
from botocore.utils import get_environ_proxies, parse_timestamp

from kaltura_archiver.bandwidth import Bandwidth
from kaltura_archiver.config import Settings, is_loopback
from kaltura_archiver.direct import Host, Puts
from kaltura_archiver.dribble import bound_boto
from kaltura_archiver.errors import Changed, ConfigError, EntryFailed, Refused, Stopped, StoreError, Waiting
from kaltura_archiver.model import (
    DISPLACED_PREFIX,
    FROZEN_CLASSES,
    MAX_OBJECT_TAGS,
    PLACEHOLDER_PREFIX,
    READABLE_CLASSES,
    SUSPECT_PREFIX,
    TIERED_CLASS,
    Availability,
    StoredObject,
    same_id,
)
from kaltura_archiver.pacing import MAX_REFUSALS, Pace
from kaltura_archiver.redact import redact
from kaltura_archiver.streams import (
    CHUNK_BYTES,
    MIN_PROGRESS_BYTES,
    READ_BYTES,
    Chunk,
    Fingerprint,
    Fingerprinter,
    Landing,
    Piece,
    chunked,
    crc32_text,
    crc_text,
    etag_of_parts,
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
# Each wait of a call for a lock.
LOCK_CALL_SECONDS = 10
# S3's own times are of whole seconds.
MARK_SECONDS = 1.1
# How often an object's tags are written while others write them too.
TAG_TRIES = 4
RATE_LIMITS = frozenset({"SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded", "503"})
RETRYABLE = RATE_LIMITS | frozenset(
    {"InternalError", "ServiceUnavailable", "RequestTimeout",
     "OperationAborted", "ConditionalRequestConflict", "500", "502", "503", "504"}
)  # fmt: skip


# The checksum that goes with a body, and the one that does where S3 does not know it; with none the copy is read back.
_NEXT_ALGORITHM = {"CRC64NVME": "CRC32", "CRC32": ""}
# How services say that they do not know a header.
_UNKNOWN_HEADER = frozenset(
    {"InvalidArgument", "InvalidRequest", "NotImplemented", "UnsupportedHeader", "InvalidHeader", "MalformedXML"}
)
# An ETag that may be made of MD5s, and the number of parts.
_MD5_ETAG = re.compile(r"[0-9a-f]{32}(?:-(\d+))?")
# Written only by a service that takes a byte with a wrong checksum.
PROBE_KEY = "probe/checksum"
# A presigned URL is good for less than its time by what clocks differ.
CLOCK_SECONDS = 60

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
    storage_class = head.get("StorageClass", "STANDARD")
    if storage_class in FROZEN_CLASSES or head.get("ArchiveStatus"):
        return Availability.FROZEN, ""
    known = storage_class in READABLE_CLASSES or storage_class == TIERED_CLASS
    return Availability.READABLE if known else Availability.UNKNOWN, ""


# Key, bytes, storage class, and whether it can be read now.
ListedObject = tuple[str, int, str, Availability]


def _listed(item: Mapping[str, Any]) -> ListedObject:
    storage_class, status = item.get("StorageClass", "STANDARD"), item.get("RestoreStatus", {})
    availability = Availability.UNKNOWN  # archive tiers are not listed
    if storage_class in FROZEN_CLASSES:
        availability = Availability.FROZEN
    elif storage_class in READABLE_CLASSES:
        availability = Availability.READABLE
    if status.get("IsRestoreInProgress"):
        availability = Availability.THAWING
    elif status.get("RestoreExpiryDate"):
        availability = Availability.READABLE
    return item["Key"], item["Size"], storage_class, availability


def _entry_of(key: str) -> str:
    """The entry that a stored copy, or what was displaced, is of."""
    return key.removeprefix(DISPLACED_PREFIX).partition("/")[0]


def _require_below(prefix: str, listed: Iterable[Mapping[str, Any]]) -> None:
    """Raise StoreError for a listing of something else than was asked for."""
    if odd := next((item["Key"] for item in listed if not item["Key"].startswith(prefix)), ""):
        raise StoreError(f"list the bucket: S3 was asked for what is below {prefix}, and answered with {odd}")


@dataclass(frozen=True)
class LockObject:
    """A lock as it was just read: how long ago it was written and when it was read, in seconds of S3's own clock.

    A `frozen` one (a lifecycle rule may do that) has no text: it can still be overwritten.
    """

    text: str
    etag: str
    age_seconds: float
    at: float
    frozen: bool = False


def _told_at(answer: Mapping[str, Any]) -> float:
    """When S3 made this answer, by its clock (unix seconds); 0 if it does not say: by ours nothing could be told."""
    with suppress(KeyError, ValueError, TypeError):
        return parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"]).timestamp()
    return 0.0


def _full_checksum(head: Mapping[str, Any], algorithm: str) -> str:
    """The checksum of the whole object that HeadObject shows; not one of its parts' checksums, which is COMPOSITE."""
    shown, kind = str(head.get(f"Checksum{algorithm}", "")), head.get("ChecksumType", "")
    # A service that does not tell the type: with a number of parts behind it, or in the ETag, it may be of the parts.
    in_parts = "-" in shown or "-" in head["ETag"]
    return shown if kind == "FULL_OBJECT" or (not kind and not in_parts) else ""


def _sum(chunk: Chunk, algorithm: str) -> str:
    """A chunk's checksum as S3 writes it; empty for no algorithm."""
    if not algorithm:
        return ""
    return crc_text(chunk.crc64nvme()) if algorithm == "CRC64NVME" else crc32_text(chunk.crc32())


def _parameters(algorithm: str, checksum: str, **more: Any) -> dict[str, Any]:
    """A checksum as boto3 wants it, and what goes with one; nothing for no algorithm."""
    return {f"Checksum{algorithm}": checksum, **more} if algorithm else {}


def _without_checksum_header(params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
    """Protect tags by Content-MD5, as S3 always had it: not every service knows the checksums that came later."""
    context.get("checksum", {}).pop("request_algorithm", None)
    for name in ("x-amz-sdk-checksum-algorithm", "x-amz-checksum-crc32", "x-amz-checksum-crc64nvme"):
        params["headers"].pop(name, None)
    digest = hashlib.md5(params["body"], usedforsecurity=False).digest()
    params["headers"]["Content-MD5"] = base64.b64encode(digest).decode()


def _at_its_region(context: dict[str, Any], **_: Any) -> None:
    """boto3 would presign for the address that all regions once had; others only redirect what comes there."""
    context.pop("use_global_endpoint", None)


def _header(algorithm: str, checksum: str) -> dict[str, str]:
    return {f"x-amz-checksum-{algorithm.lower()}": checksum} if algorithm else {}


@dataclass(frozen=True)
class _Part:
    """A part that was sent. `checksum` is what went with it, `crc32` there only if it was that; `md5` may be empty."""

    number: int
    size_bytes: int
    etag: str
    crc64nvme: int
    crc32: int | None
    checksum: str
    md5: bytes


def _joined(parts: list[_Part], size_bytes: int, sha256: str) -> Fingerprint:
    """What the whole object of these parts is."""
    crc, crc32 = 0, 0
    for part in parts:
        crc = checksums.combine_crc64nvme(crc, part.crc64nvme, part.size_bytes)
        crc32 = checksums.combine_crc32(crc32, part.crc32 or 0, part.size_bytes)
    etag = etag_of_parts([part.md5 for part in parts]) if all(part.md5 for part in parts) else ""
    known = all(part.crc32 is not None for part in parts)
    return Fingerprint(size_bytes, sha256, crc_text(crc), etag, crc32=crc32_text(crc32) if known else "")


@dataclass
class _Upload:
    """A multipart upload: what each of its calls names, and the checksum that was agreed upon (empty for none)."""

    names: dict[str, Any]
    algorithm: str


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
        # What is learnt of the service as it answers.
        self._algorithm = "CRC64NVME"
        self._shows_checksums = self._is_amazon = self._needs_md5 = False
        # An address of one's own rarely has a name per bucket.
        self._style: dict[str, Any] = {"addressing_style": "path"} if settings.endpoint_url else {}
        self._config = Config(
            retries={"mode": "standard", "total_max_attempts": 4},
            connect_timeout=10,
            read_timeout=READ_SECONDS,
            max_pool_connections=32,
            # Where we send a checksum it is in a header. A trailer, boto3's choice over TLS, not every service knows.
            request_checksum_calculation="when_required",
            # Version 2, boto3's choice for presigned URLs, is refused for KMS-encrypted objects and in newer regions.
            # What lies in many regions has a signature of its own.
            signature_version=None if ".mrap" in settings.bucket else "s3v4",
            s3=cast(Any, self._style),
        )
        self._making = threading.Lock()
        self.bare_etags = False  # whether If-Match is to be sent without quotes, see probe.py
        try:
            session = boto3.Session()
            parsers = session._session.get_component("response_parser_factory")
            parsers.set_parser_defaults(timestamp_parser=_parse_time)
            self._region = session.region_name or "us-east-1"
            self.pace = Pace(self._stop.wait)
            self._s3: S3Client = self._paced(session.client("s3", config=self._config, region_name=self._region))
            if session.get_credentials() is None:
                raise ConfigError(
                    "no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or use a task role"
                )
            self._session = session
            self._open_air = self._without_tls()
        except (BotoCoreError, ValueError) as error:
            raise ConfigError(f"cannot set up S3: {redact(str(error))}; check the AWS variables") from error

    def _paced(self, client: S3Client) -> S3Client:
        bound_boto(client)
        # TLS protects bodies, and S3 checks every one against a checksum in a signed header. Else they are signed.
        self._plain = client.meta.endpoint_url.startswith("http://")
        cast(Any, client.meta.config).s3 = {**self._style, "payload_signing_enabled": self._plain}
        client.meta.events.register_first("before-endpoint-resolution.s3", _at_its_region)
        client.meta.events.register("before-call.s3.PutObjectTagging", _without_checksum_header)
        client.meta.events.register("after-call.s3", _require_proper)
        client.meta.events.register("after-call.s3", self._learn)
        # Before the request is signed: it may wait.
        client.meta.events.register_first("request-created.s3", self._before_call)
        # Before botocore's own judge, which has each call go on by itself and gives up soon.
        client.meta.events.register_first("needs-retry.s3", cast(Any, self._after_answer))
        return client

    def _client(self, **config: Any) -> S3Client:
        """Another client, which makes each call once."""
        config |= {"retries": {"mode": "standard", "total_max_attempts": 1}}
        with self._making:  # a session is not for many threads
            merged = self._config.merge(Config(**config))
            return self._session.client("s3", config=merged, region_name=self._region)

    @cached_property
    def _once(self) -> S3Client:
        """For what must not be repeated without a look; what S3 refuses for its rate was not done."""
        return self._paced(self._client())

    def _learn(self, parsed: Mapping[str, Any], **_: Any) -> None:
        headers = parsed.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        self._is_amazon = self._is_amazon or headers.get("server") == "AmazonS3"

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
            _require_below(prefix, found)
            yield [_listed(item) for item in found]
            if not answer["IsTruncated"]:
                return
            if not answer.get("NextContinuationToken"):
                raise StoreError("list the bucket: S3 says that there is more, but not how to get it")
            where["ContinuationToken"] = answer["NextContinuationToken"]

    def head(self, key: str, *, with_tags: bool = True, with_marks: bool | None = None) -> StoredObject | None:
        """The stored copy, usually with its tags and marks; None only if S3 says that there is none (404).

        Marks are looked for after the tags: who writes both begins with the mark.
        """
        what = f"look at object {key}"
        try:
            head = self._s3.head_object(Bucket=self.bucket, Key=key, ChecksumMode="ENABLED")
            tags = self._tags(key) if with_tags else {}
            etag = head["ETag"].strip('"')
            marks = self._marks(key, etag) if (with_tags if with_marks is None else with_marks) else {}
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
        named = head.get("Metadata", {}).get("entry-id", "")
        if named and same_id(named) != same_id(_entry_of(key)):
            raise StoreError(
                f"{what}: S3 answered with a copy of {named}: a cache or proxy on the way mixes answers up, or "
                "somebody has put it there; nothing is done about it"
            )
        availability, until = _availability(head)
        if availability is Availability.UNKNOWN:
            availability = self._tried(key)
        etag, encryption = head["ETag"].strip('"'), head.get("ServerSideEncryption", "")
        checksums_shown = {name: _full_checksum(head, name) for name in _NEXT_ALGORITHM}
        if any(checksums_shown.values()) and not self._checks:
            checksums_shown = dict.fromkeys(checksums_shown, "")
        self._shows_checksums = self._shows_checksums or any(checksums_shown.values())
        return StoredObject(
            key=key,
            size_bytes=head["ContentLength"],
            etag=etag,
            storage_class=head.get("StorageClass", "STANDARD"),
            availability=availability,
            thawed_until=until,
            archive_tier=head.get("ArchiveStatus", ""),
            metadata=head.get("Metadata", {}),
            tags=tags,
            encryption=encryption,
            crc64nvme=checksums_shown["CRC64NVME"],
            crc32=checksums_shown["CRC32"],
            md5_etag=self._is_amazon and bool(_MD5_ETAG.fullmatch(etag)) and not encryption.startswith("aws:kms"),
            last_modified=head.get("LastModified"),
            marked_damaged_at=marks.get("damaged", ""),
            marked_differing=frozenset(name.removeprefix("differs.") for name in marks if name.startswith("differs.")),
        )

    def _tried(self, key: str) -> Availability:
        """Whether an object of a class that nobody knows can be read: by reading its first byte."""
        try:
            self._s3.get_object(Bucket=self.bucket, Key=key, Range="bytes=0-0")["Body"].close()
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code")
            if code == "InvalidObjectState":
                return Availability.FROZEN
            return Availability.READABLE if code == "InvalidRange" else Availability.UNKNOWN  # empty; or not allowed
        except BotoCoreError:
            return Availability.UNKNOWN
        return Availability.READABLE

    def _marks(self, key: str, etag: str) -> dict[str, str]:
        """Kind of mark about the content with this ETag to when it was set (ISO 8601); see SUSPECT_PREFIX."""
        prefix = f"{SUSPECT_PREFIX}{key}/{quote(etag, safe='')}."
        # A listing, not a look at each kind: it needs no leave that a listing of the bucket does not.
        answer = self._s3.list_objects_v2(Bucket=self.bucket, Prefix=prefix)
        if answer["IsTruncated"]:
            raise StoreError(f"look at object {key}: there are too many marks about it, below {prefix}")
        listed = answer.get("Contents", [])
        _require_below(prefix, listed)
        found = {item["Key"].removeprefix(prefix): item["LastModified"] for item in listed}
        if "whole" in found and found["whole"] > found.get("damaged", found["whole"]):
            del found["damaged"]
        return {kind: at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") for kind, at in found.items()}

    def part_bytes(self, stored: StoredObject) -> tuple[int | None, bool]:
        """The part size that the object was written with, None for one piece; and whether that is a guess.

        That is boto3's 8 MiB where S3 does not tell.
        """
        parts = _MD5_ETAG.fullmatch(stored.etag)
        if not parts or parts.group(1) is None:
            return None, False
        count = int(parts.group(1))
        if count == 1:
            return max(stored.size_bytes, 1), False
        with suppress(ClientError, BotoCoreError):
            first, last = (
                self._s3.head_object(Bucket=self.bucket, Key=stored.key, PartNumber=number) for number in (1, count)
            )
            size, rest = first["ContentLength"], last["ContentLength"]
            if first.get("PartsCount") == count and size < stored.size_bytes:
                return size, (count - 1) * size + rest != stored.size_bytes  # parts of many sizes
        return OLD_PART_BYTES, True

    def fingerprinter(self, stored: StoredObject, *, own: bool = False) -> Fingerprinter:
        """What takes in content that is to be compared with the object: MD5s only where nothing better is known.

        `own` are the object's own bytes: they are compared with the SHA-256 of its tag.
        """
        if stored.crc64nvme or stored.proven or (own and stored.sha256):
            return Fingerprinter(md5=False)
        part_bytes, guessed = self.part_bytes(stored)
        return Fingerprinter(part_bytes, guessed=guessed, crc32=bool(stored.crc32))

    @cached_property
    def _checks(self) -> bool:
        """Whether S3 refuses bytes that do not have the checksum that goes with them: else what it shows may be what it
        was told. Amazon does; others are tried, unless nothing may be written."""
        if self._is_amazon or self._read_only:
            return True
        try:
            self._s3.put_object(
                Bucket=self.bucket,
                Key=PROBE_KEY,
                Body=b"?",
                **_parameters(
                    self._algorithm or "CRC32", "AAAAAAAAAAE=" if self._algorithm == "CRC64NVME" else "AAAAAQ=="
                ),
            )
        except ClientError as error:
            return error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == 400
        except BotoCoreError:
            return False
        log.warning("S3 takes bytes that do not have their checksum: what it shows of one proves nothing")
        return False

    def prove_by_md5(self) -> None:
        """From now on have MD5s of what is written: this service shows no checksums."""
        self._needs_md5 = True

    @property
    def _makes_md5(self) -> bool:
        return self._needs_md5 or not (self._shows_checksums or self._is_amazon)

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
                etag = stored.etag if self.bare_etags else f'"{stored.etag}"'
                answer = self._s3.get_object(Bucket=self.bucket, Key=stored.key, IfMatch=etag, Range=f"bytes={offset}-")
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
            cuts = cuts + 1 if offset - before < MIN_PROGRESS_BYTES else 0
            if cuts >= MAX_RESUMES and offset < stored.size_bytes:
                raise StoreError(f"{what}: cut {cuts} times at byte {offset} of {stored.size_bytes}", retryable=True)
        if offset != stored.size_bytes:
            raise EntryFailed(f"{what}: {offset} bytes came instead of {stored.size_bytes}")

    def presign(self, key: str, seconds: float) -> tuple[str, int]:
        """A URL by which Kaltura can fetch the object, and for how many seconds: not longer than our credentials.

        Whoever hears it can, too: not without TLS.
        """
        if self._open_air:
            raise Refused("--via url would have the video's address travel unencrypted: use --via upload, or S3 by TLS")
        left = self._credentials_end()
        good_for = int(min(seconds, left - time.time() - CLOCK_SECONDS if left else seconds))
        if good_for < 1:
            raise StoreError(f"make a URL of {key}: the AWS credentials end now; renew them", retryable=True)
        url = self._s3.generate_presigned_url(
            "get_object", Params={"Bucket": self.bucket, "Key": key}, ExpiresIn=good_for
        )
        return url, good_for

    def _credentials_end(self) -> float | None:
        """When the credentials of now end (unix seconds); None where that is not known, or never."""
        credentials = self._session.get_credentials()
        if credentials is None:
            return None
        credentials.get_frozen_credentials()  # renews them where it is time
        end = getattr(credentials, "_expiry_time", None)
        return end.timestamp() if end else None

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
        CRC64NVME, or CRC32 where it does not know that, and refuses to overwrite (If-None-Match). Whether it did is to
        be seen by comparing what it then shows with the result, whose ETag is empty where S3 is known to show
        checksums. Raises Changed if the key exists by now, EntryFailed if the bytes are not `size_bytes`; nothing is
        left in the bucket then.
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
            found = Fingerprint(
                size_bytes, sha.hexdigest(), crc_text(body.crc64nvme()), body.md5().hex() if self._makes_md5 else ""
            )
            while True:
                algorithm = self._algorithm
                if algorithm != "CRC64NVME":
                    found = replace(found, crc32=_sum(body, algorithm))
                try:
                    self._put_whole(new, body, algorithm)
                except (ClientError, BotoCoreError) as error:
                    if not self._is_ours(new, found):
                        if self._without(algorithm, error):
                            continue
                        raise
                return found
        finally:
            body.release()

    def _put_whole(self, new: dict[str, Any], body: Chunk, algorithm: str) -> None:
        checksum = _sum(body, algorithm)
        headers = {f"x-amz-meta-{name}": value for name, value in new["Metadata"].items()}
        headers |= {"x-amz-storage-class": new["StorageClass"], "if-none-match": "*"}
        if self._put(new["Key"], body, headers | _header(algorithm, checksum)):
            return
        self._s3.put_object(**new, Body=cast(Any, body), IfNoneMatch="*", **_parameters(algorithm, checksum))

    def _without(self, algorithm: str, error: Exception) -> bool:
        """Whether S3 refused a call because it does not know this checksum; the next calls make do with less."""
        if not algorithm or not isinstance(error, ClientError):
            return False
        said, status = error.response.get("Error", {}), error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        message = str(said.get("Message", "")).lower()
        about_it = any(word in message for word in ("checksum", "crc", "header")) and "object-size" not in message
        if status not in (400, 501) or said.get("Code") not in _UNKNOWN_HEADER or not about_it:
            return False
        if self._algorithm == algorithm:
            self._algorithm = _NEXT_ALGORITHM[algorithm]
            log.info("S3 does not know the checksum %s: %s", algorithm, self._algorithm or "none is sent")
        return True

    def _write_parts(
        self,
        common: dict[str, Any],
        new: dict[str, Any],
        pieces: Iterable[Piece],
        size_bytes: int,
        landing: Landing | None,
    ) -> Fingerprint:
        upload = self._begin_upload(common, new)
        part_bytes = max(CHUNK_BYTES, -(-size_bytes // MAX_PARTS))
        sha = hashlib.sha256()
        parts: list[Future[_Part]] = []
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
                    parts.append(pool.submit(self._send_part, upload, len(parts) + 1, chunk))
                    parts[-1].add_done_callback(partial(_part_done, chunk, room))
            sent = [part.result() for part in parts]
            found = _joined(sent, size_bytes, sha.hexdigest())
            try:
                self._complete(upload, sent, found)
            except (ClientError, BotoCoreError):
                if not self._is_ours(new, found):
                    raise
            completed = True
            return found
        finally:
            if not completed:
                try:
                    self._s3.abort_multipart_upload(**cast(Any, upload.names))
                except (ClientError, BotoCoreError) as error:
                    log.warning("%s", self._failure(f"abort the upload of {common['Key']}", error))

    def _begin_upload(self, common: dict[str, Any], new: dict[str, Any]) -> _Upload:
        while True:
            algorithm = self._algorithm
            kind: dict[str, Any] = {"ChecksumAlgorithm": algorithm, "ChecksumType": "FULL_OBJECT"} if algorithm else {}
            try:
                upload_id = self._s3.create_multipart_upload(**new, **kind)["UploadId"]
            except ClientError as error:
                if not self._without(algorithm, error):
                    raise
            else:
                return _Upload({**common, "UploadId": upload_id}, algorithm)

    def _send_part(self, upload: _Upload, number: int, chunk: Chunk) -> _Part:
        md5 = chunk.md5() if self._makes_md5 else b""
        crc, crc32 = chunk.crc64nvme(), chunk.crc32() if upload.algorithm == "CRC32" else None
        where = {"partNumber": str(number), "uploadId": upload.names["UploadId"]}
        algorithm = upload.algorithm
        while True:
            checksum = _sum(chunk, algorithm)
            try:
                etag = (
                    self._put(upload.names["Key"], chunk, _header(algorithm, checksum), **where)
                    or self._s3.upload_part(
                        **upload.names,
                        PartNumber=number,
                        Body=cast(Any, chunk),
                        **_parameters(algorithm, checksum),
                    )["ETag"]
                )
                return _Part(number, len(chunk), etag, crc, crc32, checksum, md5)
            except ClientError as error:
                if not self._without(algorithm, error):
                    raise
                # What was agreed upon cannot be kept: this upload goes on without.
                algorithm = upload.algorithm = ""

    def _complete(self, upload: _Upload, sent: list[_Part], found: Fingerprint) -> None:
        algorithm = upload.algorithm
        while True:
            parts = [
                {"PartNumber": part.number, "ETag": part.etag, **_parameters(algorithm, part.checksum)} for part in sent
            ]
            whole = found.crc64nvme if algorithm == "CRC64NVME" else found.crc32
            more = _parameters(algorithm, whole, ChecksumType="FULL_OBJECT", MpuObjectSize=found.size_bytes)
            try:
                self._s3.complete_multipart_upload(
                    **upload.names, MultipartUpload={"Parts": cast(Any, parts)}, IfNoneMatch="*", **more
                )
                return
            except ClientError as error:
                if not self._without(algorithm, error):
                    raise
                algorithm = ""

    @cached_property
    def _puts(self) -> Puts | None:
        """The quick way to write; None where only boto3 knows the way: by a proxy, to an access point named by ARN."""
        address, _, query = self._s3.generate_presigned_url(
            "put_object", Params={"Bucket": self.bucket, "Key": "key"}
        ).partition("?")
        credentials = self._session.get_credentials()
        if credentials is None or self.bucket.startswith("arn:") or get_environ_proxies(address):
            return None
        url = urlsplit(address.removesuffix("key"))
        region = parse_qs(query)["X-Amz-Credential"][0].split("/")[2]
        host = Host(url, trust=self._trust(), seconds=READ_SECONDS)
        return Puts(host, url.path, region, credentials.get_frozen_credentials, sign_bodies=self._plain)

    def _trust(self) -> str:
        """The file or folder of certificates that boto3 trusts."""
        named = self._session._session.get_config_variable("ca_bundle") or os.environ.get("REQUESTS_CA_BUNDLE")
        return str(named or get_cert_path(True))

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
            and stored.crc64nvme in ("", found.crc64nvme)
            and dict(stored.metadata) == new["Metadata"]
        )

    def _tags(self, key: str) -> dict[str, str]:
        tags = self._s3.get_object_tagging(Bucket=self.bucket, Key=key)["TagSet"]
        return {tag["Key"]: tag["Value"] for tag in tags}

    def set_tags(self, key: str, **changes: str | None) -> None:
        """Set some of an object's tags (None removes one) and keep those of others; they may change on a frozen object.

        S3 has no condition for tags: they are read, written once, and read back, and all that again where somebody else
        wrote in between. Raises EntryFailed where S3 keeps no more tags.
        """
        self._guard("tag an object")
        wanted = {name.replace("_", "-"): value for name, value in changes.items()}
        what, lost = f"tag object {key}", ""
        try:
            tags = self._tags(key)
            for _ in range(TAG_TRIES):
                if all(tags.get(name) == value for name, value in wanted.items()):
                    return
                new = {name: value for name, value in (tags | wanted).items() if value is not None}
                if len(new) > MAX_OBJECT_TAGS:
                    raise EntryFailed(f"{what}: with ours it would have {len(new)} tags, and S3 keeps ten: remove some")
                lost = self._write_tags(key, new)
                tags = self._tags(key)
        except (ClientError, BotoCoreError) as error:
            raise self._failure(what, error) from error
        if all(tags.get(name) == value for name, value in wanted.items()):
            return
        raise StoreError(f"{what}: S3 {lost or 'accepted the tags but does not have them'}", retryable=True)

    def _write_tags(self, key: str, tags: Mapping[str, str]) -> str:
        """Write all tags of an object, once: repeated later, it could undo what others do meanwhile.

        Returns why it may not have been done, if so; the tags themselves tell.
        """
        tag_set: list[Any] = [{"Key": name, "Value": value} for name, value in tags.items()]
        try:
            self._once.put_object_tagging(Bucket=self.bucket, Key=key, Tagging={"TagSet": tag_set})
        except (ClientError, BotoCoreError) as error:
            failure = self._failure("", error)
            if not failure.retryable:
                raise
            return str(failure).removeprefix(": S3 ").removeprefix(": ")
        return ""

    def abort_stale_uploads(self, entry_ids: Collection[str], before: datetime) -> tuple[int, int]:
        """Abort multipart uploads for these entries that were begun before that time: how many were, how many not."""
        self._guard("abort an upload")
        aborted = left = 0
        try:
            for page in self._s3.get_paginator("list_multipart_uploads").paginate(Bucket=self.bucket):
                for upload in page.get("Uploads", []):
                    if _entry_of(upload["Key"]) not in entry_ids:
                        continue
                    if upload["Initiated"] >= before:
                        left += 1
                        continue
                    self._s3.abort_multipart_upload(Bucket=self.bucket, Key=upload["Key"], UploadId=upload["UploadId"])
                    aborted += 1
        except (ClientError, BotoCoreError) as error:
            raise self._failure("look for interrupted uploads", error) from error
        return aborted, left

    def mark(self, stored: StoredObject, kind: str) -> None:
        """Leave word of what this content was found to be, see SUSPECT_PREFIX; to be done before its tags say so."""
        self._guard("mark an object")
        key = f"{SUSPECT_PREFIX}{stored.key}/{quote(stored.etag, safe='')}.{kind}"
        if kind == "whole":
            self._stop.wait(MARK_SECONDS)  # to be later than the mark that it lifts: of equal times that one counts
        try:
            self._s3.put_object(Bucket=self.bucket, Key=key, Body=b"")
        except (ClientError, BotoCoreError) as error:
            raise self._failure(f"mark object {stored.key} as {kind}", error) from error

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

    def request_thaw(self, stored: StoredObject, *, tier: str, days: int) -> bool:
        """Ask for a readable copy for `days` (an archive tier's object then stays readable), for longer, or faster.

        Returns False if such a request is running already, as fast as this one or faster. Raises Waiting where Glacier
        has no room for expedited retrievals.
        """
        self._guard("request a restore")
        request: dict[str, Any] = {"GlacierJobParameters": {"Tier": tier.capitalize()}}
        if stored.storage_class != TIERED_CLASS:
            request["Days"] = days
        what = f"request a restore of object {stored.key}"
        for left in (2, 1, 0):
            try:
                self._once.restore_object(Bucket=self.bucket, Key=stored.key, RestoreRequest=cast(Any, request))
                return True
            except (ClientError, BotoCoreError) as error:
                failure = self._failure(what, error)
                if failure.code == "RestoreAlreadyInProgress":
                    return False  # perhaps by our own call, whose answer was lost
                if failure.code == "GlacierExpeditedRetrievalNotAvailable":
                    raise Waiting(
                        f"S3 has no capacity for expedited restores from {stored.frozen_in} now: try again later, or "
                        "take --tier standard"
                    ) from error
                if not failure.retryable or not left:
                    raise failure from error
                self._stop.wait(0.5)
        raise AssertionError("unreachable")

    # Locks. Their calls are made once, and do not hang for long: who holds one has to know in time.

    @cached_property
    def _brief(self) -> S3Client:
        """Without a pause for anybody's rate limit: locks are few, and cannot wait."""
        client = self._client(connect_timeout=LOCK_CALL_SECONDS / 2, read_timeout=LOCK_CALL_SECONDS)
        bound_boto(client)
        client.meta.events.register("after-call.s3", _require_proper)
        return client

    def read_lock(self, key: str) -> LockObject | None:
        """A lock; None if there is none."""
        text, frozen = "", False
        try:
            try:
                answer: Any = self._brief.get_object(Bucket=self.bucket, Key=key)
                text = answer["Body"].read(2**16).decode(errors="replace")
            except ClientError as error:
                code = error.response.get("Error", {}).get("Code")
                if code == "NoSuchKey":
                    return None
                if code != "InvalidObjectState":
                    raise
                frozen, answer = True, self._brief.head_object(Bucket=self.bucket, Key=key)
            written = answer["LastModified"].timestamp()
            at = _told_at(answer) or written  # of a service that does not tell the time no lock ever grows old
            return LockObject(text, answer["ETag"], at - written, at, frozen)
        except (ClientError, BotoCoreError, OSError, KeyError, urllib3.exceptions.HTTPError) as error:
            raise self._failure(f"read the lock {key}", error) from error

    def put_lock(self, key: str, text: str, *, if_match: str, crc64nvme: str = "") -> tuple[str, float]:
        """Write a lock over the one with this ETag, or, with an empty one, where there is none.

        Returns its ETag, and when that was by S3's clock (0 if not told); ("", 0.0) if the condition did not hold.
        """
        self._guard("write a lock")
        etag = if_match.strip('"') if self.bare_etags else if_match
        options: Any = {"IfMatch": etag} if if_match else {"IfNoneMatch": "*"}
        options |= {"ChecksumCRC64NVME": crc64nvme} if crc64nvme else {}
        try:
            answer = self._brief.put_object(
                Bucket=self.bucket, Key=key, Body=text.encode(), ContentType="application/json", **options
            )
            return answer["ETag"], _told_at(answer)
        except ClientError as error:
            # Another writer at the same moment is a 409; an object that has gone, with If-Match, a 404.
            if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") in (404, 409, 412):
                return "", 0.0
            raise self._failure(f"write the lock {key}", error) from error
        except (BotoCoreError, KeyError) as error:
            raise self._failure(f"write the lock {key}", error) from error

    @staticmethod
    def checksum_of(text: str) -> str:
        """The CRC64NVME of a text, as S3 writes it."""
        return crc_text(checksums.crc64nvme(text.encode()))

    # Small texts beside the stored copies: logs of runs

    def get_text(self, key: str, max_bytes: int = 2**16) -> tuple[str, str] | None:
        """(text, ETag) of a small object of ours, no more of it than that; None if there is none."""
        try:
            answer = self._s3.get_object(Bucket=self.bucket, Key=key)
            return answer["Body"].read(max_bytes).decode(errors="replace"), answer["ETag"]
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") == "NoSuchKey":
                return None
            raise self._failure(f"read {key}", error) from error
        except (BotoCoreError, OSError, KeyError, urllib3.exceptions.HTTPError) as error:
            raise self._failure(f"read {key}", error) from error

    def put_text(self, key: str, text: str, *, if_match: str) -> str:
        """Write a small object: over the one with this ETag, or, with an empty one, where there is none.

        Returns its ETag; empty if the condition did not hold.
        """
        self._guard("write an object")
        conditions: list[Any] = [{"IfNoneMatch": "*"}]
        if if_match:
            # In the one form or the other, see probe.py: a worker of a fleet has tried neither.
            conditions = [{"IfMatch": etag} for etag in dict.fromkeys((if_match, if_match.strip('"')))]
            conditions = conditions[::-1] if self.bare_etags else conditions
        for condition in conditions:
            try:
                answer = self._s3.put_object(
                    Bucket=self.bucket, Key=key, Body=text.encode(), ContentType="application/json", **condition
                )
                return answer["ETag"]
            except ClientError as error:
                # Another writer at the same moment is a 409; an object that has gone, with If-Match, a 404.
                if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") not in (404, 409, 412):
                    raise self._failure(f"write {key}", error) from error
            except (BotoCoreError, KeyError) as error:
                raise self._failure(f"write {key}", error) from error
        return ""
