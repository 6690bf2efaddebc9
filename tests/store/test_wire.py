"""boto3's calls by libcurl, beside boto3's own way over HTTP."""

from __future__ import annotations

import json
import re
import ssl
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ConnectionClosedError, HTTPClientError
from botocore.utils import parse_timestamp
from looking import Run, write
from scripted import HANGS_UP, Serve, servers
from slapd import Authority

from kaltura_archiver.config import read_settings
from kaltura_archiver.errors import ConfigError, StoreError
from kaltura_archiver.model import StoredObject
from kaltura_archiver.sandbox.world import Sandbox
from kaltura_archiver.store import Store, bucket, wire
from kaltura_archiver.store.answers import parse_time

KEY = "0_abcdefgh"


@pytest.fixture
def serve() -> Iterator[Serve]:
    yield from servers()


@pytest.fixture
def store(run: Run, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Store]:
    del run  # the sandbox's address and credentials

    def made(endpoint: str = "") -> Store:
        if endpoint:
            monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        return Store(read_settings(None), read_only=False)

    return made


def asked(at: Store, *, own_way: bool) -> BotoCoreError:
    """What a call that is made once raises, by libcurl or as boto3 has it."""
    if own_way:
        at._once.meta.events.unregister("before-send.s3", at._wire.send)  # type: ignore[arg-type]
    with pytest.raises(BotoCoreError) as caught:
        at._once.get_object_tagging(Bucket=at.bucket, Key=KEY)
    return caught.value


def test_a_failure_is_the_one_that_boto3_would_tell(
    serve: Serve, store: Callable[..., Store], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is made again, and what people are told, is decided by it."""
    monkeypatch.setattr(bucket, "READ_SECONDS", 0.5)
    (tmp_path / "server.pem").write_bytes(Authority.named("Nobody knows it").server("localhost"))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(tmp_path / "server.pem")
    for own_way in (False, True):
        places = {
            "EndpointConnectionError": ["http://127.0.0.1:1", "http://no-such-host.invalid"],
            "ConnectionClosedError": [serve(HANGS_UP).url],
            "ReadTimeoutError": [serve(b"").url],
            "SSLError": [serve(b"", tls=tls).url],
        }
        told = [type(asked(store(at), own_way=own_way)).__name__ for found in places.values() for at in found]
        assert told == [kind for kind, found in places.items() for _ in found]


@pytest.mark.parametrize("proxy", ["nobody listens", "no such host", "refuses"])
def test_a_proxy_that_fails_is_named(
    serve: Serve, store: Callable[..., Store], monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    refusing = serve(*[b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"] * 2)
    address = {"nobody listens": "http://127.0.0.1:1", "no such host": "http://nosuch.invalid:1"}.get(proxy)
    for name, value in {"https_proxy": address or refusing.url, "no_proxy": "", "NO_PROXY": ""}.items():
        monkeypatch.setenv(name, value)
    for own_way in (False, True):
        failure = asked(store("https://s3.invalid"), own_way=own_way)
        assert type(failure).__name__ == "ProxyConnectionError"
        assert (address or refusing.url) in str(failure)


def test_nothing_but_content_goes_boto3s_own_way(
    sandbox: Sandbox, store: Callable[..., Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    del sandbox
    at = store()
    streamed: list[bool] = []
    own: Any = at._s3._endpoint.http_session  # type: ignore[attr-defined]
    send = own.send
    monkeypatch.setattr(own, "send", lambda request: streamed.append(request.stream_output) or send(request))
    write(at, KEY, b"a video")
    stored = at.head(KEY)
    assert stored is not None
    at.set_tags(KEY, kept="a b+c=d")
    assert at._tags(KEY) == {"kept": "a b+c=d"}
    assert [item[0] for page in at.pages() for item in page] == [KEY]
    at.put_text("log/a b/ü?", "text", if_match="")
    assert streamed == []
    assert (at.get_text("log/a b/ü?") or ("", ""))[0] == "text"
    assert streamed == [True]
    at._s3.delete_object(Bucket=at.bucket, Key="log/a b/ü?")
    assert at.get_text("log/a b/ü?") is None
    assert at.head("0_nothing1") is None


def test_what_has_no_end_is_refused(serve: Serve, store: Callable[..., Store], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "MAX_ANSWER_BYTES", 1000)
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1_000_000
    with pytest.raises(HTTPClientError, match="more than 1000 bytes"):
        store(serve(answer).url)._once.get_object_tagging(Bucket="b", Key=KEY)


@pytest.mark.parametrize("value", ["", "a b", "a; b=c"])
def test_headers_are_sent_as_they_were_signed(sandbox: Sandbox, store: Callable[..., Store], value: str) -> None:
    """S3 refuses others; libcurl leaves one out that is empty, if it is not told so."""
    del sandbox
    at = store()
    at._s3.put_object(Bucket=at.bucket, Key=KEY, Body=b"1", ContentType=value, CacheControl=value)
    found = at._s3.head_object(Bucket=at.bucket, Key=KEY)
    assert (found["ContentType"], found.get("CacheControl", "")) == (value or "binary/octet-stream", value)


def test_s3_is_told_who_asks(serve: Serve, store: Callable[..., Store]) -> None:
    server = serve(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
    assert store(server.url).head(KEY, with_tags=False) is None
    assert re.search(rb"(?im)^user-agent: kaltura-archiver/[\d.]+ botocore/[\d.]+\r$", server.requests[0])


def test_nobody_is_asked_for_leave_to_send(serve: Serve, store: Callable[..., Store]) -> None:
    """Who does not know that question would be waited for."""
    server = serve(b'HTTP/1.1 200 OK\r\nETag: "e"\r\nContent-Length: 0\r\n\r\n')
    assert store(server.url).put_text("log/a", "text", if_match="") == '"e"'
    assert server.requests[0].endswith(b"\r\n\r\ntext")
    assert b"expect" not in server.requests[0].lower()


@pytest.mark.parametrize(
    "told",
    [
        "Sun, 29 Nov 2026 12:00:00 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "2026-11-29T12:00:00.000Z", "1794139200",
        1794139200, "Sun, 29 Nov 2026 13:00:00 +0100",
    ],
)  # fmt: skip
def test_a_time_is_the_one_that_botocore_reads(told: object) -> None:
    assert parse_time(told) == parse_timestamp(told)


@pytest.mark.parametrize("told", ["soon GMT", "", None])
def test_what_is_no_time_is_told(told: object) -> None:
    with pytest.raises(ValueError, match="Invalid timestamp"):
        parse_time(told)


def test_an_answer_without_a_whole_head_is_no_success(serve: Serve, store: Callable[..., Store]) -> None:
    cut = b"HTTP/1.1 500 Internal Server Error\r\nConnection: close\r\nContent-Le"
    at = store(serve(*[cut] * 20).url)
    assert isinstance(asked(at, own_way=False), ConnectionClosedError)
    with pytest.raises(StoreError):
        at.request_thaw(StoredObject(KEY, 10, etag="e", storage_class="GLACIER"), tier="bulk", days=3)
    with pytest.raises(StoreError):
        at.mark_placeholder(KEY, "1_x@1", 5)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirection_that_is_none_of_s3s_is_told(serve: Serve, store: Callable[..., Store], status: int) -> None:
    """botocore would ask where the bucket is, which is redirected, too, until nothing goes any more."""
    answer = b"HTTP/1.1 %d X\r\nLocation: https://login.example.edu/\r\nContent-Length: 0\r\n\r\n" % status
    at = store(serve(*[answer] * 20).url)
    with pytest.raises(ConfigError, match=f"redirected .HTTP {status}., and not by S3"):
        at.check_bucket()
    with pytest.raises(StoreError):
        at.head(KEY, with_tags=False)


def answer(head: str, body: bytes = b"", status: int = 200) -> bytes:
    return b"HTTP/1.1 %d X\r\n%sContent-Length: %d\r\n\r\n%s" % (status, head.encode(), len(body), body)


LISTED = (
    b"<ListBucketResult><IsTruncated>false</IsTruncated><KeyCount>1</KeyCount><Contents><Key>0_abcdefgh</Key>"
    b"<LastModified>2026-11-29T12:00:00.000Z</LastModified><Size>1</Size></Contents></ListBucketResult>"
)
HEAD = 'ETag: "e"\r\nLast-Modified: Sun, 29 Nov 2026 12:00:00 GMT\r\n'
ODD = {
    "205": answer("", b"abc", 205),
    "206": answer("Content-Range: bytes 0-2/3\r\n", b"abc", 206),
    "no time": answer(HEAD.replace("Sun, 29 Nov 2026 12:00:00 GMT", "yesterday")),
    "no year": answer(HEAD.replace("Sun, 29 Nov 2026 12:00:00 GMT", "9" * 17)),
    "no number": answer(HEAD + "x-amz-tagging-count: many\r\nx-amz-mp-parts-count: many\r\n"),
    "size": answer("", LISTED.replace(b"<Size>1", b"<Size>many")),
    "no size": answer("", LISTED.replace(b"<Size>1</Size>", b"")),
    "no key": answer("", LISTED.replace(b"<Key>0_abcdefgh</Key>", b"")),
    "no date": answer("", re.sub(b"<LastModified>.*?</LastModified>", b"", LISTED)),
    "XML": answer("", b"<ListBucketResult><IsTruncated>"),
}
ODD_HEADS = ("no time", "no year", "no number")
STORED = StoredObject(KEY, 10, etag="e", storage_class="GLACIER")
LOOKS: dict[str, Callable[[Store], object]] = {
    "head": lambda at: at.head(KEY, with_tags=False),
    "pages": lambda at: list(at.pages()),
    "named after": lambda at: at.named_after(KEY),
    "thaw": lambda at: at.request_thaw(STORED, tier="bulk", days=3),
    "mark": lambda at: at.mark(STORED, "damaged"),
    "text": lambda at: at.put_text("log/a", "t", if_match=""),
    "lock": lambda at: at.put_lock("lock/a", "t", if_match=""),
    "read lock": lambda at: at.read_lock("lock/a"),
    "rules": lambda at: at.own("get_bucket_versioning", ""),
}


@pytest.mark.parametrize("odd", ODD)
def test_what_botocore_cannot_read_is_no_answer(
    serve: Serve, store: Callable[..., Store], monkeypatch: pytest.MonkeyPatch, odd: str
) -> None:
    """Its parsers raise what they stumble over; for one entry that must not end a run of thousands."""
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.0)
    failed = set()
    for name, look in LOOKS.items():
        at = store(serve(*[ODD[odd]] * 20).url)
        try:
            look(at)
        except (StoreError, ConfigError):
            failed.add(name)
    assert ({"head", "read lock"} if odd in ODD_HEADS else {"pages", "named after"}) <= failed


# What a credential_process prints when it is asked again, in the middle of a run.
RENEWALS = {
    "expired": '{"Version": 1, "AccessKeyId": "A", "SecretAccessKey": "hidden", "SessionToken": "t", '
    '"Expiration": "2020-01-01T00:00:00Z"}',
    "no date": '{"Version": 1, "AccessKeyId": "A", "SecretAccessKey": "hidden"}',
    "no JSON": "<html>hidden",
    "nothing": "",
}


@pytest.mark.parametrize("renewal", RENEWALS)
def test_credentials_that_cannot_be_renewed_are_told_as_such(
    serve: Serve, store: Callable[..., Store], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, renewal: str
) -> None:
    told = tmp_path / "told"
    (tmp_path / "config").write_text(f"[default]\ncredential_process = {sys.executable} {tmp_path / 'helper.py'}\n")
    (tmp_path / "helper.py").write_text(f"print(open({str(told)!r}).read())")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    soon = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 60))
    told.write_text(
        json.dumps({"Version": 1, "AccessKeyId": "A", "SecretAccessKey": "s", "SessionToken": "t", "Expiration": soon})
    )
    at = store(serve(answer(HEAD)).url)
    told.write_text(RENEWALS[renewal])
    looks = {**LOOKS, "presign": lambda at: at.presign(KEY, 3600)}
    for name, look in looks.items():
        with pytest.raises((StoreError, ConfigError), match=r"no AWS credentials: .*see the AWS profile") as caught:
            look(at)
        assert "hidden" not in str(caught.value), name
