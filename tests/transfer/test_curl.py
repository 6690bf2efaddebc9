"""What libcurl does for us, against real servers: whom it trusts, when it gives up, and what it keeps to itself."""

from __future__ import annotations

import signal
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import certifi
import pytest
from looking import MiB, Run, big, inflow_of, read, write
from scripted import HANGS_UP, OK, Serve, servers
from slapd import Authority

from kaltura_archiver.config import read_settings
from kaltura_archiver.errors import EntryFailed, StoreError
from kaltura_archiver.kaltura.wire import carrier_to, proper_address
from kaltura_archiver.sandbox.world import Sandbox
from kaltura_archiver.store import Store
from kaltura_archiver.store.direct import Direct
from kaltura_archiver.transfer.chunks import Budget
from kaltura_archiver.transfer.curl import Answer, Carrier, _Connection, libraries
from kaltura_archiver.transfer.pacing import Pace
from kaltura_archiver.transfer.streams import Inflow


@pytest.fixture
def serve() -> Iterator[Serve]:
    yield from servers()


def line(*, trust: str = "", proxy: str = "", seconds: float = 10) -> Carrier:
    return Carrier(trust=trust or certifi.where(), proxy=proxy, seconds=seconds)


def content(at: Carrier, url: str, size: int = 7) -> bytes:
    """What a GET brings into an inflow."""

    def source(inflow: Inflow) -> None:
        def wanted(answer: Answer) -> bool:
            inflow.begin(int(answer.headers["content-length"]))
            return answer.status == 200

        at.get(url, {}, inflow, wanted)

    with Inflow(source, threading.Event(), about_bytes=size) as inflow:
        return b"".join(piece for chunk in inflow for piece in chunk)


# One exchange after the other


def test_a_connection_is_kept(serve: Serve) -> None:
    server, at = serve(OK, OK, OK), line()
    assert [content(at, server.url) for _ in range(3)] == [b"a video"] * 3
    assert server.connections == 1


def test_an_answer_that_nobody_wants_leaves_nothing_for_the_next_one(serve: Serve) -> None:
    long = b"HTTP/1.1 404 Not Found\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1_000_000
    server, at = serve(long, OK), line()
    answer = at.get(server.url, {})
    assert (answer.status, len(answer.body) <= 2**16) == (404, True)
    assert content(at, server.url) == b"a video"
    assert server.connections == 2


def test_a_connection_that_the_host_has_closed_meanwhile_is_not_used(serve: Serve) -> None:
    server, at = serve(OK.replace(b"\r\n\r\n", b"\r\nX-Note: Connection: close\r\n\r\n"), OK), line()
    assert [content(at, server.url) for _ in range(2)] == [b"a video"] * 2
    assert server.connections == 2


WITH_BODY = {"POST": [b"x"], "PUT": [b"x"]}


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT"])
@pytest.mark.parametrize("unasked", [b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 5\r\n\r\nwrong", b""])
def test_what_a_kept_connection_brings_unasked_is_nobodys_answer(serve: Serve, method: str, unasked: bytes) -> None:
    """Nor does its end make a request fail. libcurl itself looks once a second at most."""
    server, at = serve(OK, OK.removesuffix(b"a video") if method == "HEAD" else OK, OK), line()
    content(at, server.url)
    server.say(unasked) if unasked else server.hang_up()
    body = WITH_BODY.get(method, [])
    answer = at.send(method, server.url, {}, body, sum(map(len, body)))
    assert (answer.status, bytes(answer.body)) == (200, b"" if method == "HEAD" else b"a video")
    assert content(at, server.url) == b"a video"  # by the new one, which is kept
    assert (server.connections, len(server.requests)) == (2, 3)


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 500 Internal Server Error\r\nConnection: close\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 500 X\r\nConnection: close\r\nX",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: close\r\n\r\n",
        b"HTTP/1.1 200x OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_a_head_that_is_cut_or_is_none_is_no_answer(serve: Serve, method: str, head: bytes) -> None:
    """libcurl has nothing against it; botocore takes a status of 0 for success."""
    body = WITH_BODY.get(method, [])
    with pytest.raises(ConnectionError):
        line().send(method, serve(head).url, {}, body, len(body))


@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_what_is_answered_before_all_was_sent_is_no_success(serve: Serve, method: str) -> None:
    """Where the host closes then, libcurl leaves it at that."""
    early = b"HTTP/1.1 %d Early\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    body = [b"x" * MiB] * 30
    with pytest.raises(ConnectionError, match="before all was sent"):
        line().send(method, serve(early % 200, early=True).url, {}, body, 30 * MiB)
    assert line().send(method, serve(early % 413, early=True).url, {}, body, 30 * MiB).status == 413


def test_what_a_body_raises_is_raised_where_the_request_was_made(serve: Serve) -> None:
    def body() -> Iterator[bytes]:
        yield b"x"
        raise ZeroDivisionError

    at, server = line(seconds=1), serve(OK, OK)
    with pytest.raises(ZeroDivisionError):
        at.send("PUT", server.url, {}, body(), 2)
    assert at.get(serve(OK).url, {}).body == b"a video"


def test_what_an_interrupt_has_left_is_in_no_other_answer(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    at, server, clear = line(), serve(OK, OK, OK), _Connection._clear
    at.get(server.url, {})
    interrupts = iter([False, True])  # at the end of an exchange

    def interrupted(self: _Connection) -> None:
        if next(interrupts):
            raise KeyboardInterrupt
        clear(self)

    with monkeypatch.context() as patch:
        patch.setattr(_Connection, "_clear", interrupted)
        with pytest.raises(KeyboardInterrupt):
            at.get(server.url, {})
    assert at.get(server.url, {}).body == b"a video"


@pytest.mark.parametrize(
    "proxy",
    [
        "http://user:{}@127.0.0.1:1", "user:{}@127.0.0.1:1", "//user:{}@127.0.0.1:1", "user:{}@127.0.0.1:99999",
        "http://user:{}/x@127.0.0.1:1", "http://user:{} x@127.0.0.1:1", "http://user:p@{}@127.0.0.1:1",
    ],
)  # fmt: skip
def test_no_error_tells_the_password_of_a_proxy(proxy: str) -> None:
    for password in ("a-secret-of-ours", "short"):
        at = line(proxy=proxy.format(password))
        with pytest.raises(OSError, match=r".") as caught:
            at.get("http://kaltura.invalid/", {})
        assert password not in f"{caught.value!r} {at.proxy}"


def test_an_answer_after_100_continue_is_the_answer(serve: Serve) -> None:
    server = serve(b"HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\n" + OK, OK)
    assert content(line(), server.url) == b"a video"
    assert line().send("POST", server.url, {}, [b"x" * 2 * MiB], 2 * MiB).body == b"a video"
    assert b"expect" not in server.requests[1].lower()
    assert server.requests[1].endswith(b"\r\n\r\n" + b"x" * 2 * MiB)


@pytest.mark.parametrize("size", [7, 100_000_000])
def test_a_short_answer_is_an_error(serve: Serve, size: int) -> None:
    server = serve(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n123456" % size)
    with pytest.raises(ConnectionError):
        content(line(), server.url, size)


def test_more_bytes_than_told_are_an_error(serve: Serve) -> None:
    def source(inflow: Inflow) -> None:
        inflow.begin(5)
        line().get(serve(OK).url, {}, inflow, lambda _: True)

    with pytest.raises(EntryFailed, match="more than 5 bytes"), Inflow(source, threading.Event(), about_bytes=5):
        pass


def test_what_a_callback_raises_is_raised_where_the_request_was_made(serve: Serve) -> None:
    def wanted(_: Answer) -> bool:
        raise ZeroDivisionError

    at, server = line(), serve(OK, OK)
    with pytest.raises(ZeroDivisionError):
        at.get(server.url, {}, inflow_of(b""), wanted)
    assert content(at, server.url) == b"a video"


@pytest.mark.parametrize("answer", [HANGS_UP, b""], ids=["hangs up", "says nothing"])
@pytest.mark.parametrize(
    ("method", "body"),
    [
        ("POST", []), ("POST", [b"second"]), ("POST", [b"x" * MiB] * 3),
        ("PUT", []), ("PUT", [b"second"]), ("DELETE", []),
    ],
    ids=["POST", "POST small", "POST large", "PUT", "PUT small", "DELETE"],
)  # fmt: skip
def test_nothing_is_sent_twice(serve: Serve, method: str, body: list[bytes], answer: bytes) -> None:
    """libcurl would, where a kept connection fails: but what was done has to be looked at."""
    server, at = serve(OK, answer, OK), line(seconds=1)
    assert at.send("POST", server.url, {}, [b"first"], 5).status == 200
    with pytest.raises(OSError, match=r"."):
        at.send(method, server.url, {}, body, sum(map(len, body)))
    assert len(server.requests) == 2


def test_each_request_is_of_its_own_method_whatever_went_before(serve: Serve) -> None:
    server, at = serve(*[b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"] * 12), line()
    asked = ["DELETE", "GET", "HEAD", "GET", "PUT", "HEAD", "POST", "DELETE", "PUT", "GET"]
    for method in asked:
        at.send(method, server.url, {}, [b"body"] if method in ("PUT", "POST") else [], 4 * (method in ("PUT", "POST")))
    at.send("DELETE", server.url, {})
    at.get(server.url, {})
    assert [request.split(b" ")[0].decode() for request in server.requests] == [*asked, "DELETE", "GET"]
    assert [request.endswith(b"\r\n\r\nbody") for request in server.requests[:10]] == [
        method in ("PUT", "POST") for method in asked
    ]


def test_a_trailer_is_no_head(serve: Serve) -> None:
    server = serve(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-A: b\r\n\r\n")
    answer = line().get(server.url, {})
    assert (answer.status, bytes(answer.body)) == (200, b"abc")


# Ends


def test_who_says_nothing_is_given_up(serve: Serve) -> None:
    with pytest.raises(TimeoutError):
        line(seconds=0.5).get(serve(b"").url, {})


def test_an_interrupt_is_heard_while_nothing_comes(serve: Serve) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(KeyboardInterrupt):
            line(seconds=60).get(serve(b"").url, {})
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_an_inflow_that_nobody_wants_ends(serve: Serve) -> None:
    server = serve(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n" + b"x" * 20 * MiB)
    budget = Budget(80)

    def source(inflow: Inflow) -> None:
        inflow.begin(100_000_000)
        line().get(server.url, {}, inflow, lambda _: True)

    inflow = Inflow(source, threading.Event(), budget=budget)
    with inflow as chunks:
        next(iter(chunks)).release()
        assert budget.taken > 0
    assert budget.taken == 0
    assert not inflow._thread.is_alive()


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("http://no-such-host.invalid/ks/a-secret", socket.gaierror),
        ("http://127.0.0.1:1/ks/a-secret", ConnectionRefusedError),
        ("file:///etc/passwd", ConnectionError),
        ("ftp://127.0.0.1/a-secret", ConnectionError),
        ("http://127.0.0.1:99999/ks/a-secret", ConnectionError),
    ],
)
def test_a_failure_is_told_as_python_tells_it_and_without_the_address(url: str, kind: type[OSError]) -> None:
    with pytest.raises(kind) as caught:
        line().get(url, {})
    assert "secret" not in str(caught.value)


# Whom it trusts, and which way it goes


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.named("Authority of the tests")


@pytest.fixture
def tls(authority: Authority, tmp_path: Path) -> ssl.SSLContext:
    (tmp_path / "server.pem").write_bytes(authority.server("localhost"))
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem")
    return context


def test_only_certificates_of_who_is_trusted_count(
    serve: Serve, tls: ssl.SSLContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, ca = serve(OK, OK, tls=tls), str(tmp_path / "ca.pem")
    assert content(line(trust=ca), server.url) == b"a video"
    # Another one's, whatever else the environment says, which requests and boto3 do not heed either.
    monkeypatch.setenv("SSL_CERT_FILE", ca)
    with pytest.raises(ssl.SSLError):
        content(line(), server.url)
    (tmp_path / "other.pem").write_bytes(Authority.named("Another").pem)
    with pytest.raises(ssl.SSLError):
        content(line(trust=str(tmp_path / "other.pem")), server.url)


def test_a_certificate_of_another_name_is_refused(
    serve: Serve, authority: Authority, tls: ssl.SSLContext, tmp_path: Path
) -> None:
    (tmp_path / "server.pem").write_bytes(authority.server("other.example.edu"))
    tls.load_cert_chain(tmp_path / "server.pem")
    with pytest.raises(ssl.SSLError):
        content(line(trust=str(tmp_path / "ca.pem")), serve(OK, tls=tls).url)


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_downloads_trust_whom_requests_trusts(
    serve: Serve, tls: ssl.SSLContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    server = serve(OK, tls=tls)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ssl.SSLError):
        content(carrier_to(server.url), server.url)
    monkeypatch.setenv(variable, str(tmp_path / "ca.pem"))
    assert content(carrier_to(server.url), server.url) == b"a video"


def test_an_address_of_version_6_is_one(serve: Serve) -> None:
    try:
        server = serve(OK, host="::1")
    except OSError:
        pytest.skip("no IPv6 here")
    assert content(line(), server.url) == b"a video"


def test_a_proxy_is_asked_where_one_is_set(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy, server = serve(OK), serve(OK, OK)
    for name in ("no_proxy", "NO_PROXY", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", proxy.url)
    assert content(carrier_to(server.url), server.url) == b"a video"
    assert proxy.requests[0].startswith(b"GET " + server.url.encode())
    assert server.requests == []
    # What is set is heeded only as requests heeds it, who knows for which hosts it does not hold.
    monkeypatch.setenv("no_proxy", "127.0.0.0/8")
    assert content(carrier_to(server.url), server.url) == b"a video"
    assert content(line(), server.url) == b"a video"
    assert (len(proxy.requests), len(server.requests)) == (1, 2)


@contextmanager
def tunnel() -> Iterator[tuple[str, list[bytes]]]:
    """A proxy for TLS, and what it was asked."""
    asked: list[bytes] = []
    taken: list[socket.socket] = []
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:

        def pump(one: socket.socket, other: socket.socket) -> None:
            with suppress(OSError):
                while data := one.recv(2**16):
                    other.sendall(data)

        def serve() -> None:
            with suppress(OSError):
                near, _ = listener.accept()
                taken.append(near)
                asked.append(b"")
                while b"\r\n\r\n" not in asked[0]:
                    asked[0] += near.recv(2**16)
                host, _, port = asked[0].split()[1].decode().rpartition(":")
                far = socket.create_connection((host, int(port)))
                taken.append(far)
                near.sendall(b"HTTP/1.1 200 Established\r\nX-Proxy: yes\r\n\r\n")
                threading.Thread(target=pump, args=(near, far), daemon=True).start()
                pump(far, near)

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://user:password@127.0.0.1:{listener.getsockname()[1]}", asked
    for connection in taken:
        connection.close()


def test_tls_goes_through_a_proxy_which_hears_nothing(serve: Serve, tls: ssl.SSLContext, tmp_path: Path) -> None:
    server = serve(OK, tls=tls)
    with tunnel() as (proxy, asked):
        at = line(trust=str(tmp_path / "ca.pem"), proxy=proxy)
        answer = at.get(f"{server.url}ks/a-secret", {"X-Own": "a-secret"})
    assert (answer.status, bytes(answer.body), "x-proxy" in answer.headers) == (200, b"a video", False)
    assert asked[0].startswith(b"CONNECT 127.0.0.1:")
    assert b"a-secret" not in asked[0]
    assert b"proxy-authorization" not in server.requests[0].lower()


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        ("https://a.example/p/1/name/a%20b.mp4?x=1&y=2", "https://a.example/p/1/name/a%20b.mp4?x=1&y=2"),
        ("https://a.example/p/ä b.mp4", "https://a.example/p/%C3%A4%20b.mp4"),
        ("https://bücher.example/x", "https://xn--bcher-kva.example/x"),
        ("https://someone:password@a.example/x", "https://a.example/x"),
        ("https://a.example", "https://a.example/"),
    ],
)
def test_an_address_is_asked_for_as_requests_would(url: str, asked: str) -> None:
    assert proper_address(url) == asked


def test_kaltura_is_asked_at_its_proper_address_and_told_no_password_of_it(
    serve: Serve, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = b"<xml><result><error><code>SERVICE_FORBIDDEN</code><message>No</message></error></result></xml>"
    server = serve(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(said), said))
    monkeypatch.setenv("KALTURA_SERVICE_URL", server.url.replace("://", "://someone:password@") + "a b")
    assert "SERVICE_FORBIDDEN" in run("count").err
    assert server.requests[0].startswith(b"POST /a%20b/api_v3/service/session/action/start")
    assert b"authorization" not in server.requests[0].lower()
    assert b"password" not in server.requests[0]


# S3


@pytest.fixture
def store(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Store]:
    """The sandbox's bucket, with some variables set otherwise."""

    def made(**variables: str) -> Store:
        for name, value in {**sandbox.environ(), **variables}.items():
            monkeypatch.setenv(name, value)
        return Store(read_settings(None), read_only=False)

    return made


KEYS = ["0_abcdefgh", "displaced/0_abcdefgh/1_flavor@12", "a b+c&d=é~.mp4", "a//b", "%41", "x" * 900]


@pytest.mark.parametrize("key", KEYS)
def test_whatever_the_key_and_the_metadata_s3_takes_and_gives_it_at_once(
    sandbox: Sandbox, store: Callable[..., Store], key: str
) -> None:
    """The sandbox checks signatures."""
    made = store(AWS_SESSION_TOKEN="a/session+token==")
    write(made, key, b"a video", **{"source-name": "two  blanks %C3%BC ;,"})
    assert [r.operation for r in sandbox.control.requests("s3.*")] == ["s3.PutObject"]
    assert sandbox.s3.body(key) == b"a video"
    stored = made.head(key, with_tags=False)
    assert stored is not None
    assert dict(stored.metadata) == {"source-name": "two  blanks %C3%BC ;,"}
    assert read(made, stored) == b"a video"
    assert [r.operation for r in sandbox.control.requests("s3.*")][2:] == ["s3.GetObject"]


@pytest.mark.parametrize(("key", "metadata"), [("a/./b", {}), ("a/../b", {}), ("a", {"odd": ""}), ("a", {"odd": "é"})])
def test_what_libcurl_would_not_send_as_it_is_goes_by_boto3(
    store: Callable[..., Store], key: str, metadata: dict[str, str]
) -> None:
    made, asked = store(), []
    assert made._direct is not None
    made._direct._carrier.put = lambda url, *_: asked.append(url)  # type: ignore[method-assign, assignment, return-value]
    made._s3.put_object = lambda **call: asked.append(call["Key"])  # type: ignore[method-assign]
    write(made, key, b"a video", **metadata)
    assert asked == [key]


def test_parts_go_the_same_way(sandbox: Sandbox, store: Callable[..., Store]) -> None:
    video, made = big(sandbox, 17), store()
    write(made, "0_abcdefgh", video)
    operations = [r.operation for r in sandbox.control.requests("s3.*")]
    assert operations == ["s3.CreateMultipartUpload", *["s3.UploadPart"] * 3, "s3.CompleteMultipartUpload"]
    assert sandbox.s3.body("0_abcdefgh") == video
    stored = made.head("0_abcdefgh", with_tags=False)
    assert stored is not None
    assert read(made, stored) == video


def test_what_s3_refuses_is_told_by_boto3_and_the_short_way_is_not_tried_again(
    sandbox: Sandbox, store: Callable[..., Store]
) -> None:
    asked = store(AWS_SECRET_ACCESS_KEY="wrong")
    for _ in range(2):
        with pytest.raises(StoreError, match="SignatureDoesNotMatch"):
            write(asked, "0_abcdefgh", b"a video")
    assert len(sandbox.control.requests("s3.PutObject")) == 3
    assert sandbox.s3.keys() == []


def _direct(url: str, credentials: Callable[[], Any]) -> Direct:
    return Direct(line(), url, "us-east-1", credentials, Pace(lambda _: False, "S3"), sign_bodies=True)


class _Frozen:
    access_key, secret_key = "AKIAEXAMPLE", "a-secret-of-nobody"

    def __init__(self, token: str | None) -> None:
        self.token = token


def test_a_session_token_that_changes_is_the_new_one_at_the_next_call(serve: Serve) -> None:
    taken = b'HTTP/1.1 200 OK\r\nETag: "e"\r\nContent-Length: 0\r\n\r\n'
    server, tokens = serve(taken, taken, taken), iter([_Frozen("first"), _Frozen("second"), _Frozen(None)])
    made = _direct(server.url, lambda: next(tokens))
    with inflow_of(b"a video") as chunks:
        (chunk,) = chunks
        assert [made.put("key", chunk, {}) for _ in range(3)] == ['"e"'] * 3
    told = [request.lower().partition(b"x-amz-security-token: ")[2][:6] for request in server.requests]
    assert told == [b"first\r", b"second", b""]
    assert all(request.endswith(b"a video") and b"a-secret" not in request for request in server.requests)


def test_a_slow_down_is_heeded_and_no_reason_to_give_up(serve: Serve) -> None:
    slow = b"HTTP/1.1 503 Slow Down\r\nContent-Length: 28\r\n\r\n<E><Code>SlowDown</Code></E>"
    taken = b'HTTP/1.1 200 OK\r\nETag: "e"\r\nContent-Length: 0\r\n\r\n'
    server, pauses = serve(*[slow] * 5, taken), []
    made = Direct(
        line(),
        server.url,
        "us-east-1",
        lambda: _Frozen(None),
        Pace(lambda s: pauses.append(s) or True, "S3"),
        sign_bodies=True,
    )
    with inflow_of(b"a video") as chunks:
        (chunk,) = chunks
        assert [made.put("key", chunk, {}) for _ in range(6)] == [""] * 5 + ['"e"']
    assert len(pauses) == 5


def test_what_does_not_begin_where_it_was_asked_to_is_not_taken(serve: Serve) -> None:
    """A cache that knows no ranges would have the beginning twice, one that knows no conditions another object."""
    rest = b"206 Partial Content\r\nContent-Range: bytes %d-9/10\r\nETag: %s"
    odd = [OK.replace(b"200 OK", rest % which) for which in ((0, b'"e"'), (3, b'"f"'))]
    server = serve(OK, *odd)
    made = _direct(server.url, lambda: _Frozen(None))

    def source(inflow: Inflow) -> None:
        inflow.begin(10)
        inflow.put(b"abc")
        assert [made.get("key", '"e"', inflow) for _ in range(3)] == [False] * 3
        inflow.put(b"defghij")

    with Inflow(source, threading.Event(), about_bytes=10) as inflow:
        assert b"".join(piece for chunk in inflow for piece in chunk) == b"abcdefghij"
    assert b"range: bytes=3-" in server.requests[0].lower()


TAKEN = b'HTTP/1.1 200 OK\r\nETag: "e"\r\nContent-Length: 0\r\n\r\n'


@pytest.mark.parametrize("variable", ["AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"])
def test_s3_is_trusted_as_boto3_trusts_it_and_bodies_are_not_signed_over_tls(
    serve: Serve, store: Callable[..., Store], tls: ssl.SSLContext, tmp_path: Path, variable: str
) -> None:
    server = serve(TAKEN, tls=tls)
    write(store(AWS_ENDPOINT_URL=server.url, **{variable: str(tmp_path / "ca.pem")}), "0_abcdefgh", b"a video")
    assert len(server.requests) == 1
    assert b"unsigned-payload" in server.requests[0].lower()
    assert server.requests[0].endswith(b"\r\n\r\na video")


def test_s3_is_reached_through_a_proxy(
    serve: Serve, store: Callable[..., Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_PROXY", raising=False)
    proxy = serve(TAKEN)
    write(store(http_proxy=proxy.url, no_proxy="", AWS_ENDPOINT_URL="http://s3.invalid"), "0_abcdefgh", b"a video")
    assert proxy.requests[0].startswith(b"PUT http://s3.invalid/")


def test_config_names_what_moves_bytes(sandbox: Sandbox, run: Run) -> None:
    row = next(row for row in run("config", "--format", "json").json if row["check"] == "s3")
    assert f"bytes are moved by {libraries()}" in row["detail"]
    assert libraries().startswith("libcurl ")
