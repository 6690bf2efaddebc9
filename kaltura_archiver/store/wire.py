"""boto3's calls by libcurl: its own way over HTTP took half of their CPU time."""

from __future__ import annotations

import errno
import ssl
from collections.abc import Iterator
from io import BytesIO
from typing import Any, cast

from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.exceptions import (
    BotoCoreError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    ProxyConnectionError,
    ReadTimeoutError,
    SSLError,
)

from kaltura_archiver.transfer.curl import Answer, Carriers

# A page of a thousand keys has 2 MiB at most.
MAX_ANSWER_BYTES = 32 * 2**20


class _Body:
    """The content of an answer, as botocore takes it from one of urllib3."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self) -> Iterator[bytes]:
        yield self._body


class Wire:
    """Takes over where botocore would send a request (its event before-send): unless content is moved, which is read as
    it comes, or a header is none that HTTP has; then it answers nothing, and botocore goes its own way."""

    def __init__(self, carriers: Carriers) -> None:
        self._carriers = carriers

    def send(self, request: AWSPreparedRequest, **_: Any) -> AWSResponse | None:
        """Raises botocore's exceptions, as its own way does: they decide whether a call is made again."""
        headers = _plain(request.headers) if request.url.isascii() else None
        body = request.body.getvalue() if isinstance(request.body, BytesIO) else request.body
        if request.stream_output or headers is None or not isinstance(body, bytes | None):
            return None
        carrier, pieces = self._carriers.to(request.url), [body] if body else []
        try:
            answer = carrier.send(
                request.method, request.url, headers, pieces, len(body or b""), most_bytes=MAX_ANSWER_BYTES
            )
        except OSError as error:
            raise _as_botocore(error, request, carrier.proxy) from error
        return _response(request, answer)


def _plain(headers: Any) -> dict[str, str] | None:
    """Without what libcurl tells by itself, or would wait for; None where it would not send them as they are."""
    found = {
        name: value.decode("latin-1") if isinstance(value, bytes) else str(value)
        for name, value in headers.items()
        if name.lower() not in ("content-length", "expect")
    }
    return found if all(value.isascii() and value.isprintable() for value in found.values()) else None


def _response(request: AWSPreparedRequest, answer: Answer) -> AWSResponse:
    if answer.cut:
        raise HTTPClientError(error=f"an answer of more than {MAX_ANSWER_BYTES} bytes")
    told = "x-amz-bucket-region" in answer.headers or b"<Code>" in answer.body
    if answer.status in (301, 302, 303, 307, 308) and not told:
        # A login page, or http to https: botocore would ask for the bucket's region, by a call that is redirected, too.
        raise HTTPClientError(error=f"redirected (HTTP {answer.status}), and not by S3")
    return AWSResponse(request.url, answer.status, cast(Any, answer.headers), _Body(bytes(answer.body)))


def _as_botocore(error: OSError, request: AWSPreparedRequest, proxy: str) -> BotoCoreError:
    if isinstance(error, ssl.SSLError):
        return SSLError(endpoint_url=request.url, error=error)
    if isinstance(error, TimeoutError) and error.errno != errno.ETIMEDOUT:
        return ReadTimeoutError(endpoint_url=request.url, error=error)
    # What has a number is that of connecting.
    if proxy and (error.errno or "CONNECT" in str(error)):
        return ProxyConnectionError(proxy_url=proxy, error=error)
    if isinstance(error, TimeoutError):
        return ConnectTimeoutError(endpoint_url=request.url, error=error)
    if error.errno:
        return EndpointConnectionError(endpoint_url=request.url, error=error)
    return ConnectionClosedError(endpoint_url=request.url, error=error, request=request)
