"""What S3 says, in words that help: which errors pass, what is wrong with credentials, what is no answer at all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from botocore.credentials import Credentials
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
from botocore.parsers import ResponseParser, ResponseParserFactory

from kaltura_archiver.errors import StoreError
from kaltura_archiver.redact import redact

# By their own names: Scaleway and Oracle (429), MinIO (503). An answer to HEAD has the status only.
RATE_LIMITS = frozenset(
    {"SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded", "503",
     "TooManyRequests", "429", "SlowDownRead", "SlowDownWrite"}
)  # fmt: skip
RETRYABLE = RATE_LIMITS | frozenset(
    {"InternalError", "ServiceUnavailable", "RequestTimeout",
     "OperationAborted", "ConditionalRequestConflict", "500", "502", "503", "504"}
)  # fmt: skip
POLICY = "the policy must allow it (and s3:ListBucket, to tell absent from forbidden)"
# Of what it would hold, S3 takes nothing without a checksum; and each version of a lock or log would stay for years.
NO_DEFAULT_RETENTION = (
    "the bucket has a default retention, with which S3 refuses the locks, logs and marks of this tool, or keeps each "
    "for years: take it away, and set OBJECT_LOCK, which holds copies only (docs/aws/protection.md)"
)
# What S3 says of the credentials themselves, and what to do.
BAD_CREDENTIALS = {
    "ExpiredToken": "the temporary AWS credentials have expired: get new ones",
    "TokenRefreshRequired": "the temporary AWS credentials have expired: get new ones",
    "InvalidToken": "check AWS_SESSION_TOKEN",
    "InvalidAccessKeyId": "check AWS_ACCESS_KEY_ID",
    "SignatureDoesNotMatch": "check AWS_SECRET_ACCESS_KEY",
    "RequestTimeTooSkewed": "set the clock of this machine",
}
# Where there are none to sign with, S3 was not asked.
NO_CREDENTIALS = (
    NoCredentialsError, PartialCredentialsError, SSOError, TokenRetrievalError, CredentialRetrievalError,
    MetadataRetrievalError,
)  # fmt: skip


def renew_in_words(credentials: Credentials) -> None:
    """Have what goes wrong when they are renewed, in the middle of a run, raised as one of NO_CREDENTIALS.

    What a credential_process prints is read as it comes (botocore 1.43: TypeError, KeyError, JSONDecodeError), and if
    the new ones have expired, too, that is a RuntimeError.
    """
    frozen = credentials.get_frozen_credentials

    def get() -> Any:
        try:
            return frozen()
        except RuntimeError as error:
            said = str(error)
        except (TypeError, KeyError, ValueError, AttributeError) as error:
            # Without its text: that may be of what a helper printed, and so hold a secret.
            said = f"the new ones cannot be read ({type(error).__name__})"
        raise CredentialRetrievalError(provider="renewal", error_msg=said)

    credentials.get_frozen_credentials = get  # type: ignore[method-assign]


def no_credentials(error: Exception) -> str:
    said = redact(" ".join(str(error).split())).rstrip(".")[:300]
    again = isinstance(error, SSOError | TokenRetrievalError)
    return f"no AWS credentials: {said}; {'sign in again: aws sso login' if again else 'see the AWS profile'}"


def status_of(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def words_of(error: ClientError) -> str:
    """What S3 itself says, beyond the bare name of the status."""
    words = redact(" ".join(str(error.response.get("Error", {}).get("Message", "")).split()))[:400]
    return "" if words.rstrip(".").lower() in ("forbidden", "access denied", "bad request") else words


# What an answer must hold to be one: a proxy's page with status 200 parses as an answer without it.
_NEEDED = {
    "HeadObject": "ETag",
    "GetObjectTagging": "TagSet",
    "UploadPart": "ETag",
    "CreateMultipartUpload": "UploadId",
    "ListObjectsV2": "IsTruncated",
}
_NEEDED_OF_EACH = frozenset({"Key", "Size", "LastModified"})


class _ImproperAnswer(BotoCoreError):
    fmt = "not a proper answer of S3"


class ProperParsers(ResponseParserFactory):
    """botocore's, but what they stumble over (a date, a number, XML that is none) is an improper answer."""

    def create_parser(self, protocol_name: str) -> ResponseParser:
        parser = super().create_parser(protocol_name)
        parse = parser.parse

        def properly(response: Any, shape: Any) -> Any:
            try:
                return parse(response, shape)
            except Exception as error:
                raise _ImproperAnswer from error

        parser.parse = properly  # type: ignore[method-assign]
        return parser


def require_proper(parsed: Mapping[str, Any], model: Any, **_: Any) -> None:
    status = parsed.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if status < 300 and model.name in _NEEDED and _NEEDED[model.name] not in parsed:
        raise _ImproperAnswer
    if any(not item.keys() >= _NEEDED_OF_EACH for item in parsed.get("Contents", ())):
        raise _ImproperAnswer


def require_below(prefix: str, listed: Iterable[Mapping[str, Any]]) -> None:
    """Raise StoreError for a listing of something else than was asked for."""
    if odd := next((item["Key"] for item in listed if not item["Key"].startswith(prefix)), ""):
        raise StoreError(f"list the bucket: S3 was asked for what is below {prefix}, and answered with {odd}")
