"""The quick way to S3 and from file hosts: one request each, and never the rest of one answer as the next one."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from typing import Any
from urllib.parse import urlsplit

import pytest
from looking import MiB, big

from kaltura_archiver.config import read_settings
from kaltura_archiver.errors import StoreError
from kaltura_archiver.sandbox.world import Sandbox
from kaltura_archiver.store import Store
from kaltura_archiver.transfer.direct import Host


@pytest.fixture
def store(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Store]:
    """The sandbox's bucket, with some variables set otherwise."""

    def made(**variables: str) -> Store:
        for name, value in {**sandbox.environ(), **variables}.items():
            monkeypatch.setenv(name, value)
        return Store(read_settings(None), read_only=False)

    return made


def write(store: Store, key: str, content: bytes, **metadata: str) -> None:
    store.write(key, iter([content]), len(content), metadata=metadata, storage_class="STANDARD")


@pytest.mark.parametrize("key", ["0_abcdefgh", "displaced/0_abcdefgh/1_flavor@12", "a b+c&d=é~.mp4"])
def test_whatever_the_key_and_the_metadata_s3_takes_it_at_once(
    sandbox: Sandbox, store: Callable[..., Store], key: str
) -> None:
    write(store(AWS_SESSION_TOKEN="a/session+token=="), key, b"a video", **{"source-name": "two  blanks %C3%BC ;,"})
    assert [r.operation for r in sandbox.control.requests("s3.*")] == ["s3.PutObject"]
    assert sandbox.s3.body(key) == b"a video"


def test_parts_go_the_same_way(sandbox: Sandbox, store: Callable[..., Store]) -> None:
    content = big(sandbox, 17)
    write(store(), "0_abcdefgh", content)
    operations = [r.operation for r in sandbox.control.requests("s3.*")]
    assert operations == ["s3.CreateMultipartUpload", *["s3.UploadPart"] * 3, "s3.CompleteMultipartUpload"]
    assert sandbox.s3.body("0_abcdefgh") == content
    assert len(content) > 17 * MiB


def test_what_s3_refuses_is_told_by_boto3_and_the_quick_way_is_not_tried_again(
    sandbox: Sandbox, store: Callable[..., Store]
) -> None:
    asked = store(AWS_SECRET_ACCESS_KEY="wrong")
    for _ in range(2):
        with pytest.raises(StoreError, match="SignatureDoesNotMatch"):
            write(asked, "0_abcdefgh", b"a video")
    assert len(sandbox.control.requests("s3.PutObject")) == 3
    assert sandbox.s3.keys() == []


def test_a_proxy_is_used_by_boto3_alone(store: Callable[..., Store]) -> None:
    assert store()._puts is not None
    assert store(http_proxy="http://127.0.0.1:9", no_proxy="")._puts is None
    assert store(AWS_BUCKET="arn:aws:s3:us-east-1:123456789012:accesspoint/archive")._puts is None


Answers = Callable[[list[bytes]], Host]


@pytest.fixture
def host() -> Iterator[Answers]:
    """A host that answers so, one answer per request; it closes a connection only where the answer says so."""
    taken: list[socket.socket] = []
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:

        def serve(answers: Iterator[bytes]) -> None:
            with suppress(OSError):  # the listener or a connection was closed
                while True:
                    connection, _ = listener.accept()
                    taken.append(connection)
                    while connection.recv(10_000):
                        answer = next(answers)
                        connection.sendall(answer)
                        if b"close-after" in answer:
                            connection.close()
                            break

        def answering(answers: list[bytes]) -> Host:
            threading.Thread(target=serve, args=[iter(answers)], daemon=True).start()
            address = urlsplit(f"http://127.0.0.1:{listener.getsockname()[1]}/")
            return Host(address, trust=None, seconds=10)

        yield answering
        listener.shutdown(socket.SHUT_RDWR)
    for connection in taken:
        connection.close()


def ok(body: bytes, more: bytes = b"") -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%s\r\n%s" % (len(body), more, body)


def get(host: Host, count: int = 1000) -> Any:
    with host.get("/", {}) as answer:
        return answer.read(count)


def test_a_connection_is_used_again_only_when_its_answer_was_read_to_the_end(host: Answers) -> None:
    asked = host([ok(b"one"), ok(b"two"), ok(b"x" * 100_000)])
    assert get(asked) == b"one"
    (kept,) = asked._idle
    assert get(asked) == b"two"
    assert asked._idle == [kept]
    assert get(asked, 10) == b"x" * 10
    assert asked._idle == []


def test_an_answer_that_nobody_reads_closes_its_connection(host: Answers) -> None:
    asked = host([ok(b"one")])
    answer = asked.get("/", {})
    connection = answer._connection
    del answer
    assert connection.sock is None
    assert asked._idle == []


def test_a_connection_that_the_host_has_closed_meanwhile_is_not_used(host: Answers) -> None:
    asked = host([ok(b"one", b"X-Note: close-after\r\n"), ok(b"two")])
    assert get(asked) == b"one"
    (kept,) = asked._idle
    kept.sock.settimeout(10)
    assert kept.sock.recv(1, socket.MSG_PEEK) == b""  # until its end has arrived
    assert get(asked) == b"two"
