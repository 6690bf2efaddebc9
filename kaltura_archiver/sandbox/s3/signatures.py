"""Whether a request is signed as S3 wants it."""

from __future__ import annotations

import base64
import fnmatch
import functools
import hashlib
import io
import re
import time
import urllib.parse
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

from botocore.auth import HmacV1QueryAuth, S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from werkzeug.test import run_wsgi_app

from kaltura_archiver.sandbox.s3.calls import (
    ALGORITHMS,
    LOGGED_HEADERS,
    OPERATIONS,
    RefusedError,
    S3Answer,
    S3Call,
    bad_digest,
    checksum_of,
    md5_of,
    unchunk,
)
from kaltura_archiver.sandbox.s3.kept import Kept, moto_application


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


_AUTHORIZATION = re.compile(r"AWS4-HMAC-SHA256 Credential=([^,]+), ?SignedHeaders=([^,]+), ?Signature=(\w+)")
_denied = functools.partial(RefusedError, 403, "AccessDenied")


class _Signature(NamedTuple):
    """What a request says of its signature; `credential` is the access key, of version 4 with the scope."""

    credential: str
    headers: str
    signature: str
    timestamp: str


def _expected_signature(call: S3Call, target: str, said: _Signature, credentials: Credentials, region: str) -> str:
    """The signature of version 4 that this call has to have."""
    url = f"http://{call.headers.get('host', '')}{target}"
    names = said.headers.split(";")
    if "X-Amz-Signature" in call.query:
        url = re.sub(r"([?&])X-Amz-Signature=[^&]*&?", r"\1", url).rstrip("&")
    request = AWSRequest(method=call.method, url=url, headers={name: call.headers.get(name, "") for name in names})
    if "X-Amz-Signature" in call.query:
        request.headers["X-Amz-Content-SHA256"] = "UNSIGNED-PAYLOAD"
    request.context["timestamp"] = said.timestamp
    signer = _Signer(credentials, "s3", region, frozenset(names))
    return str(signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request))


class Signed(Kept):
    """Checks signatures, access and bodies."""

    def _forward(self, call: S3Call) -> S3Answer:
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
        chunks, status, headers = run_wsgi_app(moto_application(), environ, buffered=True)
        return S3Answer(
            int(status.split()[0]),
            {name.lower(): value for name, value in headers.items() if not name.lower().startswith("access-control-")},
            b"".join(chunks),
        )

    def _check_signature(self, call: S3Call, target: str) -> None:
        """Refuse unsigned, wrongly signed and outdated requests."""
        authorization = call.headers.get("authorization", "")
        if "X-Amz-Signature" in call.query:
            signed = self._presigned(call)
        elif "Signature" in call.query:
            signed = self._presigned_of_version_2(call)
        elif match := _AUTHORIZATION.match(authorization):
            signed = _Signature(match[1], match[2], match[3], call.headers.get("x-amz-date", ""))
        else:
            raise _denied("Access Denied")
        access_key_id, *scope = signed.credential.split("/")
        if access_key_id != self.access_key_id:
            raise RefusedError(
                403, "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records."
            )
        credentials = Credentials(self.access_key_id, self.secret_access_key)
        if scope:
            region = scope[1] if len(scope) > 1 else self.region
            expected = _expected_signature(call, target, signed, credentials, region)
        else:
            expected = self._old_signature(call, credentials)
        if signed.signature != expected:
            raise RefusedError(
                403,
                "SignatureDoesNotMatch",
                "The request signature we calculated does not match the signature you provided. "
                "Check your key and signing method.",
            )

    def _presigned(self, call: S3Call) -> _Signature:
        """What a presigned URL says, if its time has not run out."""
        timestamp = call.query.get("X-Amz-Date", "")
        try:
            signed_at = datetime.strptime(timestamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
            lifetime = int(call.query.get("X-Amz-Expires", ""))
        except ValueError:
            raise RefusedError(
                400, "AuthorizationQueryParametersError", "Query-string authentication is incomplete"
            ) from None
        if time.time() + self.settings.presign_age_seconds > signed_at + lifetime:
            raise _denied("Request has expired")
        credential, headers = call.query.get("X-Amz-Credential", ""), call.query.get("X-Amz-SignedHeaders", "")
        return _Signature(credential, headers, call.query["X-Amz-Signature"], timestamp)

    def _presigned_of_version_2(self, call: S3Call) -> _Signature:
        expires = call.query.get("Expires", "")
        if not expires.isdecimal():
            raise _denied("Invalid date (should be seconds since epoch)")
        if time.time() + self.settings.presign_age_seconds > int(expires):
            raise _denied("Request has expired")
        return _Signature(call.query.get("AWSAccessKeyId", ""), "", call.query["Signature"], "")

    def _old_signature(self, call: S3Call, credentials: Credentials) -> str:
        """Of a presigned URL of version 2, which boto3 still makes where it is not told otherwise."""
        unsigned = {n: v for n, v in call.query.items() if n not in ("Signature", "Expires", "AWSAccessKeyId")}
        split = urllib.parse.urlsplit(f"http://s3{call.path}?{urllib.parse.urlencode(unsigned)}")
        return str(_OldSigner(credentials, call.query["Expires"]).get_signature(call.method, split, {}))

    def _check_access(self, call: S3Call) -> None:
        if self.settings.wrong_region:
            refused = RefusedError(
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
                raise RefusedError(403, "AccessDenied", self.settings.deny_message)

    def _decoded(self, call: S3Call) -> S3Call:
        """The call with a plain body, its checksums in the headers whether they came there or as a trailer."""
        headers = dict(call.headers)
        body = call.body
        promised = headers.get("x-amz-content-sha256", "")
        if promised.startswith("STREAMING-"):
            try:
                body, trailers = unchunk(body)
            except ValueError:
                raise RefusedError(400, "IncompleteBody", "The request body terminated unexpectedly") from None
            if len(body) != int(headers.pop("x-amz-decoded-content-length", len(body))):
                raise RefusedError(400, "IncompleteBody", "The request body terminated unexpectedly")
            headers |= trailers
            headers["x-amz-content-sha256"] = "UNSIGNED-PAYLOAD"
            rest = [e for e in headers.get("content-encoding", "").split(",") if e.strip() not in ("aws-chunked", "")]
            headers.pop("content-encoding", None)
            if rest:
                headers["content-encoding"] = ",".join(rest)
        call = replace(call, headers=headers, body=body)
        if call.operation != "CompleteMultipartUpload":  # there they speak of the object, not of the body
            for algorithm in ALGORITHMS:
                sent = headers.get(f"x-amz-checksum-{algorithm.lower()}")
                if sent and sent != checksum_of(algorithm, body):
                    raise bad_digest(algorithm)
        sent = headers.get("content-md5")
        if sent and sent != base64.b64encode(md5_of(body)).decode():
            raise RefusedError(400, "BadDigest", "The Content-MD5 you specified did not match what we received.")
        if re.fullmatch("[0-9a-f]{64}", promised) and promised != hashlib.sha256(body).hexdigest():
            raise RefusedError(
                400,
                "XAmzContentSHA256Mismatch",
                "The provided 'x-amz-content-sha256' header does not match what was computed.",
            )
        return call

    def _lacking(self, call: S3Call) -> S3Call:
        """The call as a service takes it that lacks something."""
        lacks, headers = self.settings.lacks, dict(call.headers)
        conditions = {"if-match", "if-none-match"} & headers.keys() if call.writes else set()
        unknown = (
            ("conditions" in lacks and conditions)
            or ("tags" in lacks and "tagging" in call.query)
            or ("trailers" in lacks and "x-amz-trailer" in headers)
        )
        if unknown:
            raise RefusedError(501, "NotImplemented", "A header you provided implies functionality that is not there")
        sent = [name for name in headers if name.startswith("x-amz-checksum-")]
        if "crc64nvme" in lacks and "x-amz-checksum-crc64nvme" in sent:
            raise RefusedError(400, "InvalidRequest", "Checksum algorithm provided is unsupported.")
        for name in (*(conditions & lacks), *(sent if "checksums" in lacks else ())):
            del headers[name]
        if "quoted-etags" in lacks and '"' in headers.get("if-match", ""):
            headers["if-match"] = '"no such ETag"'
        return replace(call, headers=headers)

    def _call(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> S3Call:
        path, _, query_text = target.partition("?")
        query = dict(urllib.parse.parse_qsl(query_text, keep_blank_values=True))
        bucket, _, key = urllib.parse.unquote(path).lstrip("/").partition("/")
        operation = f"Unknown{method.title()}"
        if not bucket:
            operation = "ListBuckets"
        else:
            for wanted, name in OPERATIONS.get((method, bool(key)), ()):
                if not wanted or wanted in query:
                    operation = name
                    break
        if "x-amz-copy-source" in headers:
            operation = {"PutObject": "CopyObject", "UploadPart": "UploadPartCopy"}.get(operation, operation)
        return S3Call(method, path, query, headers, body, bucket, key, operation)

    def _logged(self, call: S3Call) -> dict[str, str]:
        secret = ("x-amz-", "signature", "awsaccesskeyid")
        parameters = {n: v for n, v in call.query.items() if not n.lower().startswith(secret)}
        parameters |= {name: call.headers[name] for name in LOGGED_HEADERS if name in call.headers}
        if call.presigned:
            parameters["presigned"] = "true"
        return parameters
