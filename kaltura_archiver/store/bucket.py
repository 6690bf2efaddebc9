"""One bucket: how it is reached, paced and listed."""

from __future__ import annotations

import base64
import hashlib
import logging
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

import botocore
import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.httpsession import get_cert_path
from botocore.utils import get_environ_proxies

from kaltura_archiver import __version__
from kaltura_archiver.config import Settings, is_loopback
from kaltura_archiver.errors import ConfigError, StoreError
from kaltura_archiver.redact import redact
from kaltura_archiver.store.answers import ListedObject, listed_object, parse_time
from kaltura_archiver.store.errors import (
    BAD_CREDENTIALS,
    NO_CREDENTIALS,
    NO_DEFAULT_RETENTION,
    POLICY,
    RATE_LIMITS,
    RETRYABLE,
    ProperParsers,
    no_credentials,
    renew_in_words,
    require_below,
    require_proper,
    status_of,
    words_of,
)
from kaltura_archiver.store.wire import Wire
from kaltura_archiver.transfer.bandwidth import Bandwidth
from kaltura_archiver.transfer.curl import Carrier, Carriers
from kaltura_archiver.transfer.dribble import bound_boto
from kaltura_archiver.transfer.pacing import MAX_REFUSALS, Pace

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


log = logging.getLogger(__name__)
READ_SECONDS = 60
# Where a bucket's name is that of one bucket, whatever the region and the way there.
_OF_AWS = (".amazonaws.com", ".amazonaws.com.cn")


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


def _is_aws(address: str) -> bool:
    return (urlsplit(address).hostname or "").endswith(_OF_AWS)


def s3_service() -> str:
    """The address of the S3 service, whichever variable or profile names it; empty for AWS itself. Raises ConfigError.

    Nobody is asked, and it takes no credentials.
    """
    try:
        session = botocore.session.get_session()
        region = session.get_config_variable("region") or "us-east-1"
        none = {"aws_access_key_id": "none", "aws_secret_access_key": "none"}
        client = session.create_client("s3", region, **cast(Any, none))
    except (BotoCoreError, ValueError) as error:
        raise ConfigError(f"cannot set up S3: {redact(str(error))}; check the AWS variables") from error
    address: str = client.meta.endpoint_url.rstrip("/")
    return "" if _is_aws(address) else address


class Bucket:
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
        self._object_lock = settings.object_lock
        self._read_only = read_only
        self._stop = stop or threading.Event()
        self._bandwidth = bandwidth
        # What is learnt of the service as it answers.
        self._algorithm = "CRC64NVME"
        self._shows_checksums = self._is_amazon = self._needs_md5 = False
        self._freezing: set[str] = set()  # storage classes
        # An address of one's own rarely has a name per bucket.
        self._style: dict[str, Any] = {"addressing_style": "path"} if settings.endpoint_url else {}
        self._config = Config(
            # Else botocore works out anew for each call what it tells of itself: a tenth of its time.
            user_agent=f"kaltura-archiver/{__version__} Botocore/{botocore.__version__}",
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
        self._marks_lock = threading.Lock()
        self._marks_at, self._all_marks = float("-inf"), cast("dict[str, datetime] | None", None)
        self.bare_etags = False  # whether If-Match is to be sent without quotes, see probe.py
        try:
            # What boto3 is made of: the same variables and files, without what it imports for copying files.
            session = botocore.session.get_session()
            parsers = ProperParsers()
            parsers.set_parser_defaults(timestamp_parser=parse_time)
            session.register_component("response_parser_factory", parsers)
            self._region = session.get_config_variable("region") or "us-east-1"
            self.pace = Pace(self._stop.wait, "S3")
            self._session, self._wire = session, Wire(Carriers(self._carrier_to))
            client = session.create_client("s3", config=self._config, region_name=self._region)
            self._s3: S3Client = self._paced(cast("S3Client", client))
            credentials = session.get_credentials()
            if credentials is None:
                raise ConfigError(
                    "no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or use a task role"
                )
            renew_in_words(credentials)
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
        client.meta.events.register_last("before-send.s3", cast(Any, self._wire.send))
        client.meta.events.register("after-call.s3", require_proper)
        client.meta.events.register("after-call.s3", self._learn)
        # Before the request is signed: it may wait.
        client.meta.events.register_first("request-created.s3", self._before_call)
        # Before botocore's own judge, which has each call go on by itself and gives up soon.
        client.meta.events.register_first("needs-retry.s3", cast(Any, self._after_answer))
        return client

    def _carrier_to(self, url: str) -> Carrier:
        """With the proxy and the certificates that boto3 heeds."""
        proxy = get_environ_proxies(url).get(urlsplit(url).scheme, "")
        return Carrier(trust=self._trust(), proxy=proxy, seconds=READ_SECONDS)

    def _trust(self) -> str:
        """The file or folder of certificates that boto3 trusts."""
        named = self._session.get_config_variable("ca_bundle") or os.environ.get("REQUESTS_CA_BUNDLE")
        return str(named or get_cert_path(True))

    def _client(self, **config: Any) -> S3Client:
        """Another client, which makes each call once."""
        config |= {"retries": {"mode": "standard", "total_max_attempts": 1}}
        with self._making:  # a session is not for many threads
            merged = self._config.merge(Config(**config))
            client = self._session.create_client("s3", config=merged, region_name=self._region)
        return cast("S3Client", client)

    @cached_property
    def _once(self) -> S3Client:
        """For what must not be repeated without a look; what S3 refuses for its rate was not done."""
        return self._paced(self._client())

    def _learn(self, parsed: Mapping[str, Any], **_: Any) -> None:
        headers = parsed.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        self._is_amazon = self._is_amazon or headers.get("server") == "AmazonS3"

    @property
    def is_amazon(self) -> bool:
        """Whether the service says that it is Amazon's, as far as it has answered yet."""
        return self._is_amazon

    @property
    def at_aws(self) -> bool:
        """Whether it is AWS by the name of its host: services elsewhere call themselves AmazonS3, too."""
        return _is_aws(self._s3.meta.endpoint_url)

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
        too_often = parsed.get("ResponseMetadata", {}).get("HTTPStatusCode") == 429
        if not too_often and parsed.get("Error", {}).get("Code") not in RATE_LIMITS:
            self.pace.passed()
            return None
        self.pace.refused(request_dict["context"].get("called_at", 0.0))
        return 0.0 if attempts <= MAX_REFUSALS and not self._stop.is_set() else None

    def _failure(self, what: str, error: Exception) -> StoreError:
        if isinstance(error, ClientError):
            code = str(error.response.get("Error", {}).get("Code", ""))
            status = str(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", ""))
            message = words_of(error)
            if status == "403" and code in ("403", "AccessDenied"):
                # AWS names what it misses: s3:PutObjectTagging, kms:GenerateDataKey, whose policy says no.
                message = f"access denied: {message}" if message else f"access denied; {POLICY}"
            if "object lock parameters" in message.lower() and self._object_lock is None:
                message = f"{message}: {NO_DEFAULT_RETENTION}"
            retryable = code in RETRYABLE or status in ("429", "500", "502", "503", "504")
            return StoreError(f"{what}: S3 says {message or 'no reason'} ({code})", code=code, retryable=retryable)
        if isinstance(error, NO_CREDENTIALS):
            return StoreError(f"{what}: {no_credentials(error)}")
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
            return told if status_of(told) == status_of(error) else error
        except BotoCoreError:
            pass
        return error

    def _guard(self, what: str) -> None:
        if self._read_only:
            raise AssertionError(f"a dry run must not {what}")

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
            status = status_of(error)
            region = headers.get("x-amz-bucket-region", "")
            if status == 404:
                raise ConfigError(f"{name} does not exist; check AWS_BUCKET") from error
            if status in (301, 307, 400) and region and region != self._s3.meta.region_name:
                raise ConfigError(f"{name} is in region {region}; set AWS_DEFAULT_REGION={region}") from error
            if status in (301, 307):
                raise ConfigError(f"{name} is in another region; set AWS_DEFAULT_REGION to it") from error
            told = self._by_get(error, Bucket=self.bucket) if error.operation_name == "HeadBucket" else error
            code = str(told.response.get("Error", {}).get("Code", ""))
            if code in BAD_CREDENTIALS:
                raise ConfigError(f"{self._failure(f'look at {name}', told)}; {BAD_CREDENTIALS[code]}") from error
            if status == 403:
                said = f": {words_of(told)} ({code})" if words_of(told) else ""
                check = "" if said else "; check AWS_BUCKET, the credentials and their policy"
                raise ConfigError(f"access to {name} is forbidden{said}{check}") from error
            raise ConfigError(f"{self._failure(f'look at {name}', told)}; check AWS_BUCKET") from error
        except NO_CREDENTIALS as error:
            raise ConfigError(no_credentials(error)) from error
        except (BotoCoreError, ValueError) as error:
            shown = redact(" ".join(str(error).split()))[:200]
            raise ConfigError(
                f"cannot reach {name}: {shown}; check the network, AWS_BUCKET, AWS_DEFAULT_REGION and AWS_ENDPOINT_URL"
            ) from error

    def own(self, operation: str, absent: str) -> dict[str, Any]:
        """A rule of the bucket itself, by the client's method; empty where S3 says (code `absent`) that it has none."""
        try:
            answer: dict[str, Any] = getattr(self._s3, operation)(Bucket=self.bucket)
        except ClientError as error:
            if absent and error.response.get("Error", {}).get("Code") == absent:
                return {}
            raise self._failure(operation.replace("_", " "), error) from error
        except BotoCoreError as error:
            raise self._failure(operation.replace("_", " "), error) from error
        return answer

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
            require_below(prefix, found)
            yield [listed_object(item) for item in found]
            if not answer["IsTruncated"]:
                return
            if not answer.get("NextContinuationToken"):
                raise StoreError("list the bucket: S3 says that there is more, but not how to get it")
            where["ContinuationToken"] = answer["NextContinuationToken"]
