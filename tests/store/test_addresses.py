"""Where requests go: the short way of writing, and URLs for Kaltura, take the address and the region that boto3 takes.

No network is needed: what boto3 would send is caught just before it goes out.
"""

from __future__ import annotations

import hashlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import certifi
import pytest
from botocore.exceptions import BotoCoreError
from botocore.httpsession import get_cert_path
from looking import Run, do_not_wait, write

from kaltura_archiver.config import read_settings
from kaltura_archiver.errors import StoreError
from kaltura_archiver.fleet.job import place_of_job
from kaltura_archiver.model import State
from kaltura_archiver.sandbox.world import Sandbox
from kaltura_archiver.store import Store
from kaltura_archiver.store.bucket import s3_service

KEY = "0_abcd efgh"


class _CaughtError(BotoCoreError):
    fmt = "caught"


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Store]:
    """A store of a bucket at AWS, by these variables."""

    def made(bucket: str, region: str, **variables: str) -> Store:
        for name, value in {
            "AWS_BUCKET": bucket, "AWS_DEFAULT_REGION": region, "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "a-secret-of-nobody", **variables,
        }.items():  # fmt: skip
            monkeypatch.setenv(name, value)
        for name, value in {"KALTURA_PARTNERID": "1", "KALTURA_SECRET": "x" * 8}.items():
            monkeypatch.setenv(name, value)
        return Store(read_settings(None), read_only=False)

    return made


def sent(store: Store, operation: str, **parameters: Any) -> tuple[str, list[str]]:
    """Address and scope (day, region, service, …) of the request that boto3 makes."""
    caught: list[Any] = []

    def catch(request: Any, **_: Any) -> None:
        caught.append(request)
        raise _CaughtError

    store._s3.meta.events.register(f"before-send.s3.{operation}", catch, unique_id="catch")
    method = {"GetObject": store._s3.get_object, "PutObject": store._s3.put_object}[operation]
    with pytest.raises(_CaughtError):
        method(Bucket=store.bucket, Key=KEY, **parameters)  # type: ignore[operator]
    store._s3.meta.events.unregister(f"before-send.s3.{operation}", unique_id="catch")
    authorization = caught[0].headers["Authorization"]
    text = authorization.decode() if isinstance(authorization, bytes) else authorization
    assert text.startswith("AWS4-HMAC-SHA256 ")
    return caught[0].url, text.partition("Credential=")[2].partition(",")[0].split("/")[2:]


ARN = "arn:aws:s3:eu-central-1:123456789012:accesspoint/archive"
DUAL = {"AWS_USE_DUALSTACK_ENDPOINT": "true"}
OUTPOST = "arn:aws:s3-outposts:us-west-2:123456789012:outpost/op-01234567890123456/accesspoint/reports"


@pytest.mark.parametrize(
    ("bucket", "region", "variables", "host"),
    [
        ("archive", "us-east-1", {}, "archive.s3.amazonaws.com"),
        ("archive", "eu-central-1", {}, "archive.s3.eu-central-1.amazonaws.com"),
        ("archive", "us-west-2", {}, "archive.s3.us-west-2.amazonaws.com"),
        ("archive", "eu-west-1", {}, "archive.s3.eu-west-1.amazonaws.com"),
        ("archive", "af-south-1", {}, "archive.s3.af-south-1.amazonaws.com"),
        ("archive", "cn-north-1", {}, "archive.s3.cn-north-1.amazonaws.com.cn"),
        ("archive", "us-gov-west-1", {}, "archive.s3.us-gov-west-1.amazonaws.com"),
        ("archive", "us-iso-east-1", {}, "archive.s3.us-iso-east-1.c2s.ic.gov"),
        ("a.dotted.name", "us-west-2", {}, "s3.us-west-2.amazonaws.com"),
        ("a.dotted.name", "us-east-1", {}, "s3.amazonaws.com"),
        ("archive", "us-west-2", {"AWS_USE_FIPS_ENDPOINT": "true"}, "archive.s3-fips.us-west-2.amazonaws.com"),
        ("archive", "us-gov-west-1", {"AWS_USE_FIPS_ENDPOINT": "true"}, "archive.s3-fips.us-gov-west-1.amazonaws.com"),
        ("archive", "eu-north-1", DUAL, "archive.s3.dualstack.eu-north-1.amazonaws.com"),
        (ARN, "us-west-2", {}, "archive-123456789012.s3-accesspoint.eu-central-1.amazonaws.com"),
        (OUTPOST, "us-west-2", {}, "reports-123456789012.op-01234567890123456.s3-outposts.us-west-2.amazonaws.com"),
        ("archive", "eu-central-1", {"AWS_ENDPOINT_URL": "https://s3.example.edu:9000"}, "s3.example.edu:9000"),
        ("archive", "eu-central-1", {"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9"}, "127.0.0.1:9"),
    ],
)  # fmt: skip
def test_everything_goes_where_boto3_goes(
    store: Callable[..., Store], bucket: str, region: str, variables: dict[str, str], host: str
) -> None:
    made = store(bucket, region, **variables)
    read, read_scope = sent(made, "GetObject")
    assert urlsplit(read).netloc == host
    url, seconds = made.presign(KEY, 600)
    address, _, query = url.partition("?")
    told = parse_qs(query)
    assert address == read
    assert told["X-Amz-Algorithm"] == ["AWS4-HMAC-SHA256"]
    assert told["X-Amz-Credential"][0].split("/")[2:] == read_scope
    assert (told["X-Amz-Expires"], seconds) == (["600"], 600)
    written, scope = sent(made, "PutObject", Body=b"")
    if bucket.startswith("arn:"):
        assert made._direct is None
        return
    assert made._direct is not None
    assert f"{made._direct._address}0_abcd%20efgh" == written
    assert [made._direct._region, "s3", "aws4_request"] == scope


@pytest.mark.parametrize("variable", ["", "AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"])
def test_the_short_way_trusts_whom_boto3_trusts(
    store: Callable[..., Store], variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    made = store("archive", "eu-central-1", **({variable: certifi.where()} if variable else {}))
    boto3s: Any = made._s3._endpoint.http_session  # type: ignore[attr-defined]
    assert made._trust() == get_cert_path(boto3s._verify)
    assert made._trust() == certifi.where()


@pytest.mark.parametrize(("endpoint", "signed"), [("http://127.0.0.1:9", True), ("https://127.0.0.1:9", False)])
def test_bodies_are_signed_where_no_tls_protects_them(
    store: Callable[..., Store], monkeypatch: pytest.MonkeyPatch, endpoint: str, signed: bool
) -> None:
    made = store("archive", "us-east-1", AWS_ENDPOINT_URL=endpoint)
    hashes: list[str] = []

    def catch(request: Any, **_: Any) -> None:
        value = request.headers["X-Amz-Content-SHA256"]
        hashes.append(value.decode() if isinstance(value, bytes) else value)
        raise _CaughtError

    def send(method: str, url: str, headers: dict[str, str], *_: object, **__: object) -> None:
        hashes.append(headers["x-amz-content-sha256"])
        raise OSError

    made._s3.meta.events.register("before-send.s3.PutObject", catch)
    assert made._direct is not None
    monkeypatch.setattr(made._direct._carrier, "send", send)
    with pytest.raises(StoreError):
        write(made, "0_abcdefgh", b"a video")
    assert hashes == [hashlib.sha256(b"a video").hexdigest() if signed else "UNSIGNED-PAYLOAD"] * 2


@pytest.fixture
def elsewhere() -> Iterator[tuple[str, list[bytes]]]:
    """A host that answers everything with a redirection, and the first line of each request there."""
    lines: list[bytes] = []
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection:
                        received = b""
                        while b"\r\n\r\n" not in received:
                            received += connection.recv(65536)
                        lines.append(received.partition(b"\r\n")[0])
                        connection.sendall(b"HTTP/1.1 301 Moved\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", lines
        listener.shutdown(socket.SHUT_RDWR)


def _tries(made: Store, monkeypatch: pytest.MonkeyPatch, objects: int) -> int:
    """How often the short way was tried for so many objects, each of which boto3 then takes."""
    tries: list[str] = []
    assert made._direct is not None
    send = made._direct._carrier.send

    def counted(method: str, url: str, *more: Any, **named: Any) -> Any:
        tries.append(url)
        return send(method, url, *more, **named)

    monkeypatch.setattr(made._direct._carrier, "send", counted)
    monkeypatch.setattr(made._s3, "put_object", lambda **_: {"ETag": '"e"'})
    for number in range(objects):
        write(made, f"0_{number}", b"a video")
    return len(tries)


def test_a_redirection_switches_the_short_way_off_at_once(
    store: Callable[..., Store], monkeypatch: pytest.MonkeyPatch, elsewhere: tuple[str, list[bytes]]
) -> None:
    made = store("archive", "us-east-1", AWS_ENDPOINT_URL=elsewhere[0])
    assert _tries(made, monkeypatch, 5) == 1
    assert elsewhere[1] == [b"PUT /archive/0_0 HTTP/1.1"]


def test_a_host_that_cannot_be_reached_switches_the_short_way_off_soon(
    store: Callable[..., Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]
    made = store("archive", "us-east-1", AWS_ENDPOINT_URL=f"http://127.0.0.1:{port}")
    assert _tries(made, monkeypatch, 7) == 3


# URLs for Kaltura


class _Credentials:
    """Those of a role: they end."""

    token = "token"

    def __init__(self, seconds: float) -> None:
        self._expiry_time = datetime.now(UTC) + timedelta(seconds=seconds)

    def get_frozen_credentials(self) -> None:
        pass


@pytest.mark.parametrize(
    ("timeout", "credentials_seconds", "expected"),
    [("7200", None, 7200), ("20", None, 60), ("99999", None, 21600), ("7200", 1860, 1800), ("600", 3600, 600)],
)
def test_a_url_for_kaltura_outlives_neither_its_job_nor_unsaid_its_credentials(
    sandbox: Sandbox,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    timeout: str,
    credentials_seconds: float | None,
    expected: int,
) -> None:
    do_not_wait(monkeypatch)
    if credentials_seconds is not None:
        monkeypatch.setattr(
            Store, "_credentials_end", lambda self: _Credentials(credentials_seconds)._expiry_time.timestamp()
        )
    entry_id = sandbox.add(State.PLACEHOLDER)
    ran = run("restore", "--id", entry_id, "--via", "url", "--no-dry-run", "--timeout", timeout)
    assert ran.outcomes == {entry_id: "done"}, ran.err
    (swap,) = sandbox.control.requests("media.updateContent")
    told = int(parse_qs(urlsplit(swap.parameters["resource"]["url"]).query)["X-Amz-Expires"][0])
    assert expected - 5 <= told <= expected
    said = "minutes only: then the AWS credentials of this run end" in ran.err
    assert said == (expected == 1800)


def test_when_the_credentials_of_a_role_end_is_known(
    store: Callable[..., Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = store("archive", "eu-central-1")
    assert made._credentials_end() is None
    made._session = type("Session", (), {"get_credentials": lambda self: _Credentials(600)})()
    end = made._credentials_end()
    assert end is not None
    assert 590 < end - time.time() < 601
    made._session = type("Session", (), {"get_credentials": lambda self: _Credentials(10)})()
    with pytest.raises(StoreError, match="the AWS credentials end now"):
        made.presign("0_abcdefgh", 600)


@pytest.mark.parametrize(
    ("variables", "service"),
    [
        ({}, ""),
        ({"AWS_ENDPOINT_URL": "https://vpce-1.s3.eu-central-1.vpce.amazonaws.com"}, ""),
        ({"AWS_ENDPOINT_URL": "https://s3.example.edu:9000/"}, "https://s3.example.edu:9000"),
        ({"AWS_ENDPOINT_URL_S3": "https://s3.example.edu:9000"}, "https://s3.example.edu:9000"),
        ({"AWS_CONFIG_FILE": "config"}, "https://s3.example.edu:9000"),
    ],
)
def test_the_service_is_known_whichever_way_boto3_is_told_of_it(
    store: Callable[..., Store],
    variables: dict[str, str],
    service: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Plans name it, and the workers of a fleet have to have the same."""
    monkeypatch.chdir(tmp_path)
    Path("config").write_text("[default]\nendpoint_url = https://s3.example.edu:9000\n")
    store("archive", "eu-central-1", **variables)
    assert s3_service() == service
    places = dict(place_of_job(read_settings(None)))
    assert places["the S3 service"] == (service or "AWS")
