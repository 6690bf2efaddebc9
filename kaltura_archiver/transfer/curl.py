"""The one module that knows libcurl: it does TLS, HTTP and S3's signatures for what moves bytes, at a third of the CPU
time that Python's own libraries take for it."""

from __future__ import annotations

import errno
import os
import select
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pycurl

from kaltura_archiver import __version__
from kaltura_archiver.redact import hide, redact
from kaltura_archiver.transfer import dribble
from kaltura_archiver.transfer.streams import Inflow, Piece

CONNECT_SECONDS = 10
# Nobody needs to read more of an answer that is not content.
MAX_ANSWER_BYTES = 2**16
# What libcurl asks for at a time.
_SEND_BYTES = 2**19
# How often an exchange is looked at: whether it is still wanted, and gets on.
_LOOK_SECONDS = 0.2
_NOTHING = memoryview(b"")
_SUPPRESS_CONNECT_HEADERS = 265  # of curl.h; pycurl has no name for it
_TLS_ERRORS = frozenset(
    {
        pycurl.E_SSL_CONNECT_ERROR, pycurl.E_PEER_FAILED_VERIFICATION, pycurl.E_SSL_CACERT_BADFILE,
        pycurl.E_SSL_CIPHER, pycurl.E_SSL_CERTPROBLEM, pycurl.E_SSL_ISSUER_ERROR, pycurl.E_SSL_SHUTDOWN_FAILED,
    }
)  # fmt: skip


def libraries() -> str:
    """libcurl and its TLS library, each with its version."""
    _, curl, _, _, _, tls, *_ = pycurl.version_info()
    return f"libcurl {curl}, {tls.replace('/', ' ')}"


@dataclass(frozen=True)
class Signing:
    """What S3's signatures are made with (AWS Signature Version 4)."""

    region: str
    access_key: str
    secret_key: str
    token: str | None


@dataclass
class Answer:
    """What was answered; header names in lower case. `body` is empty where it went to an inflow, and `cut` where there
    was more of it than anybody wanted."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)
    cut: bool = False


class _Connection:
    """A handle of libcurl with its kept connection; its callbacks are given one exchange after the other.

    What a callback raises ends the exchange: libcurl would only say that it was aborted, so it is kept.
    """

    def __init__(self, options: Mapping[int, object], seconds: float) -> None:
        self.handle, self._seconds, self._proxy = pycurl.Curl(), seconds, str(options[pycurl.PROXY])
        self._lines: list[bytes] = []  # of heads, as they come; they are read once there is content, or at the end
        for option in (pycurl.CAINFO, pycurl.CAPATH):
            self.handle.unsetopt(option)  # else a folder that libcurl was built with is trusted, too
        own = {
            pycurl.HEADERFUNCTION: self._lines.append,
            pycurl.READFUNCTION: self._give,
            pycurl.XFERINFOFUNCTION: self._going_on,
            pycurl.NOPROGRESS: 0,
        }
        for option, value in {**options, **own}.items():
            self.handle.setopt(option, value)
        self.handle.setopt(pycurl.WRITEFUNCTION, self._content, use_memoryview=True)

    def _clear(self) -> None:
        self._into: Inflow | None = None
        self._wanted: Callable[[Answer], bool] | None = None
        self._body: Iterator[Piece] = iter(())
        self._unsent = _NOTHING
        self._lines.clear()
        self._answer = Answer()
        self._take: Callable[[memoryview], int | None] | None = None  # once the head is read
        self._raised: BaseException | None = None

    def is_spoilt(self) -> bool:
        """Whether the kept connection is at its end, or has brought what nobody asked for: libcurl looks once a second
        at most, and would take the one for a failure and the other for the answer to the next request.

        What TLS has read ahead already is not seen so: a host that answers twice is believed there.
        """
        number = self.handle.getinfo(pycurl.ACTIVESOCKET)
        if number < 0:
            return False
        looker = select.poll()
        looker.register(number, select.POLLIN)
        return bool(looker.poll(0))

    def exchange(
        self,
        options: Mapping[int, object],
        body: Iterable[Piece] = (),
        into: Inflow | None = None,
        wanted: Callable[[Answer], bool] | None = None,
        most_bytes: int = MAX_ANSWER_BYTES,
    ) -> Answer:
        """Make a request. Raises OSError, and what `body`, `into` and `wanted` raise."""
        self._clear()  # whatever an interrupt has left
        self._body, self._into, self._wanted, self._most_bytes = iter(body), into, wanted, most_bytes
        self._moved, self._moved_at = 0, time.monotonic()
        self._look_at = self._sent_at = self._moved_at
        try:
            whole = self._perform(options)
            if self._take is None:
                self._begin()
            if whole and self._answer.status < 200:  # libcurl has nothing against a head that is cut
                raise ConnectionError("the answer was cut within its head")
            size = options.get(pycurl.INFILESIZE_LARGE, options.get(pycurl.POSTFIELDSIZE_LARGE, 0))
            # Where the host closes, libcurl is content with that.
            if whole and self._answer.status < 300 and self.handle.getinfo(pycurl.SIZE_UPLOAD_T) < size:
                raise ConnectionError("the answer came before all was sent")
            return self._answer
        finally:
            self._clear()

    def _perform(self, options: Mapping[int, object]) -> bool:
        """Whether it came to its end, and not to one by us."""
        try:
            for option, value in options.items():
                self.handle.setopt(option, value)
            self.handle.perform()
        except pycurl.error as error:
            if self._raised:
                raise self._raised from None
            # Ended by us: when an answer that is no content is too long, or nobody waits for it any more.
            if error.args[0] not in (pycurl.E_WRITE_ERROR, pycurl.E_ABORTED_BY_CALLBACK):
                code, text = error.args
                raise _as_os_error(self.handle, code, text.replace(self._proxy, shown_proxy(self._proxy))) from None
            return False
        return True

    def _begin(self) -> Callable[[memoryview], int | None]:
        """Read the head of the answer, and tell what takes its content. Raises what `wanted` raises."""
        head: list[bytes] = []
        lines: list[bytes] = []
        for line in self._lines:
            if line.strip(b"\r\n"):
                lines.append(line)
                continue
            # An answer such as 100 Continue has one before; what comes behind a body in pieces is none.
            head, lines = (lines if lines and lines[0].startswith(b"HTTP/") else head), []
        if head:
            status = head[0].split(None, 2)[1]
            if not status.isdigit():
                raise ConnectionError("the answer has no status")
            self._answer.status = int(status)
            pairs = (line.decode("latin-1").partition(":") for line in head[1:])
            self._answer.headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        if self._into and self._wanted and self._answer.status >= 200 and self._wanted(self._answer):
            return self._into.put
        return self._keep

    def _content(self, data: memoryview) -> int | None:
        try:
            if self._take is None:
                self._take = self._begin()
            return self._take(data)
        except BaseException as error:  # noqa: BLE001 - raised where the request was made
            self._raised = error
            return 0

    def _keep(self, data: memoryview) -> int | None:
        if len(self._answer.body) + len(data) > self._most_bytes:
            self._answer.cut = True
            return 0
        self._answer.body += data
        return None

    def _give(self, count: int) -> memoryview | int:
        """At most `count` of the bytes that are to be sent; none when all are."""
        try:
            if not self._unsent:
                self._unsent = memoryview(next(self._body, b""))
        except BaseException as error:  # noqa: BLE001 - raised where the request was made
            self._raised = error
            return int(pycurl.READFUNC_ABORT)
        piece: memoryview = self._unsent[:count]
        self._unsent = self._unsent[count:]
        return piece

    def _going_on(self, _: int, got: int, to_send: int, sent: int) -> int:
        """Whether to end it (1): libcurl asks at least once a second, and after each read. So Ctrl-C is heard, too:
        pycurl raises it where the request was made."""
        now = time.monotonic()
        if now < self._look_at:
            return 0
        self._look_at = now + _LOOK_SECONDS
        if self._into and self._into.is_set():
            return 1
        if sent < to_send:
            self._sent_at = now
        if got + sent != self._moved:
            self._moved, self._moved_at = got + sent, now
        # As dribble.py has it for other answers.
        waited = now - self._sent_at - (self._into.waited_seconds if self._into else 0.0)
        slow = waited > dribble.ANSWER_SECONDS + got / dribble.BYTES_PER_SECOND
        if slow or now - self._moved_at > self._seconds:
            self._raised = TimeoutError("the answer comes too slowly" if slow else "no answer in time")
            return 1
        return 0


class Carrier:
    """Requests to one host, from any thread; its connections are kept. Nothing is followed or believed, and nothing but
    GET and HEAD sent twice."""

    def __init__(self, *, trust: str, proxy: str, seconds: float) -> None:
        """`trust` is a file or folder of certificates, `proxy` an address or empty; `seconds` bounds waits for bytes.

        What the environment says of either is the caller's business.
        """
        folder = Path(trust).is_dir()
        self._options: dict[int, object] = {
            pycurl.PROTOCOLS: pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS,
            pycurl.HTTP_VERSION: pycurl.CURL_HTTP_VERSION_1_1,
            pycurl.NOSIGNAL: 1,
            pycurl.MAXCONNECTS: 1,
            pycurl.CONNECTTIMEOUT: CONNECT_SECONDS,
            pycurl.PROXY: proxy,
            pycurl.NOPROXY: "",
            _SUPPRESS_CONNECT_HEADERS: 1,
            pycurl.USERAGENT: f"kaltura-archiver/{__version__}",
            pycurl.UPLOAD_BUFFERSIZE: _SEND_BYTES,
            pycurl.CAPATH if folder else pycurl.CAINFO: trust,
        }
        if proxy.lower().startswith("https:"):
            self._options[pycurl.PROXY_CAPATH if folder else pycurl.PROXY_CAINFO] = trust
        hide(proxy.rpartition("@")[0].rpartition("//")[2].partition(":")[2])
        self.proxy, self._seconds = shown_proxy(proxy), seconds
        self._idle: list[_Connection] = []  # the last one used last

    def get(
        self,
        url: str,
        headers: Mapping[str, str],
        into: Inflow | None = None,
        wanted: Callable[[Answer], bool] | None = None,
        *,
        signing: Signing | None = None,
    ) -> Answer:
        """GET; the content goes to `into` if the head of the answer is `wanted`, which may raise. Raises OSError where
        no answer came, or was cut."""
        options = {**_how("GET", 0), **_request(url, headers, signing)}
        with self._connection() as connection:
            return connection.exchange(options, (), into, wanted)

    def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: Iterable[Piece] = (),
        size_bytes: int = 0,
        *,
        signing: Signing | None = None,
        most_bytes: int = MAX_ANSWER_BYTES,
    ) -> Answer:
        """Any request, with no headers but these. The answer is cut where there are more than `most_bytes` of it.

        Raises OSError.
        """
        given = {name.lower() for name in headers}
        unwanted = [f"{name}:" for name in ("Accept", "Content-Type", "Expect") if name.lower() not in given]
        options = {**_how(method, size_bytes), **_request(url, headers, signing, *unwanted)}
        # Where a kept connection turns out to be closed libcurl sends again what it can: what has no body.
        kept = bool(size_bytes) or method in ("GET", "HEAD")
        with self._connection(kept=kept) as connection:
            return connection.exchange(options, body, most_bytes=most_bytes)

    @contextmanager
    def _connection(self, *, kept: bool = True) -> Iterator[_Connection]:
        connection = (self._idle_one() if kept else None) or _Connection(self._options, self._seconds)
        try:
            yield connection
        finally:
            if kept:
                self._idle.append(connection)
            else:
                connection.handle.close()

    def _idle_one(self) -> _Connection | None:
        with suppress(IndexError):
            while (connection := self._idle.pop()).is_spoilt():
                connection.handle.close()
            return connection
        return None


class Carriers:
    """What each host is asked by, made when it is needed; from any thread."""

    def __init__(self, make: Callable[[str], Carrier]) -> None:
        """`make` is told the address of a host."""
        self._make = make
        self._known: dict[str, Carrier] = {}

    def to(self, url: str) -> Carrier:
        place = urlsplit(url)._replace(path="", query="", fragment="").geturl()
        return self._known.get(place) or self._known.setdefault(place, self._make(place))


def shown_proxy(proxy: str) -> str:
    """Its address without user and password."""
    user, at, place = proxy.rpartition("@")
    scheme, slashes, _ = user.rpartition("//")
    return f"{scheme}{slashes}***@{place}" if at else proxy


def _how(method: str, size_bytes: int) -> dict[int, object]:
    """libcurl's options for a request of this method with so large a body, whatever went by the handle before."""
    known = {"GET": pycurl.HTTPGET, "HEAD": pycurl.NOBODY, "PUT": pycurl.UPLOAD, "POST": pycurl.POST}
    return {
        known.get(method, pycurl.HTTPGET): 1,
        pycurl.CUSTOMREQUEST: None if method in known else method,
        pycurl.INFILESIZE_LARGE if method == "PUT" else pycurl.POSTFIELDSIZE_LARGE: size_bytes,
    }


def _request(url: str, headers: Mapping[str, str], signing: Signing | None, *more: str) -> dict[int, object]:
    """libcurl's options for a request; `more` are headers that are to be left out."""
    # libcurl leaves a header out that says nothing, unless it is written so.
    lines = [*(f"{name}: {value}" if value else f"{name};" for name, value in headers.items()), *more]
    if signing is None:
        return {pycurl.URL: url, pycurl.PATH_AS_IS: 1, pycurl.HTTPHEADER: lines}
    if signing.token:
        lines.append(f"x-amz-security-token: {signing.token}")
    return {
        pycurl.URL: url,
        pycurl.HTTPHEADER: lines,
        pycurl.AWS_SIGV4: f"aws:amz:{signing.region}:s3",
        pycurl.USERNAME: signing.access_key,
        pycurl.PASSWORD: signing.secret_key,
    }


def _as_os_error(handle: pycurl.Curl, code: int, text: str) -> OSError:
    """The same failure, as Python's own libraries would raise it."""
    shown = redact(text)
    if code in (pycurl.E_COULDNT_RESOLVE_HOST, pycurl.E_COULDNT_RESOLVE_PROXY):
        return socket.gaierror(socket.EAI_NONAME, shown)
    if code in _TLS_ERRORS:
        failure = ssl.SSLError(1, shown)
        failure.reason = shown
        return failure
    if code == pycurl.E_OPERATION_TIMEDOUT:  # of connecting; who waits for an answer has time-outs of his own
        return TimeoutError(errno.ETIMEDOUT, shown)
    number = handle.getinfo(pycurl.OS_ERRNO)
    if code == pycurl.E_COULDNT_CONNECT and number:
        return OSError(number, os.strerror(number))
    return ConnectionError(shown)
