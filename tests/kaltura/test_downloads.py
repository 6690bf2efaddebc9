"""What a file host answers, and what of it is taken for the content of a flavor."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from scripted import Serve, servers

from kaltura_archiver.errors import KalturaError
from kaltura_archiver.kaltura.files import Files
from kaltura_archiver.kaltura.wire import carrier_to
from kaltura_archiver.model import FlavorAsset, FlavorStatus
from kaltura_archiver.transfer.curl import Carriers

FLAVOR = FlavorAsset("1_flavor01", "0_abcdefgh", "1", FlavorStatus.READY, is_original=True, size_bytes=10)
CUT = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\nX-Note: Connection: close\r\n\r\nabc"
REST = b"HTTP/1.1 206 Partial Content\r\nContent-Length: 7\r\n%s\r\ndefghij"
GIVEN_UP = "the file host sent no content"


@pytest.fixture
def serve() -> Iterator[Serve]:
    yield from servers()


class OneFile(Files):
    """The flavor's content is at this address, whatever Kaltura is asked."""

    def __init__(self, url: str) -> None:
        self._stop, self._bandwidth, self._carriers, self._url = threading.Event(), None, Carriers(carrier_to), url

    def _call(self, *_: Any, **__: Any) -> Any:
        return self._url

    def flavors(self, entry_ids: Any) -> Any:
        return {entry_ids[0]: [FLAVOR]}

    def _pause(self, seconds: float) -> bool:
        return False

    def read(self) -> bytes:
        with self.content(FLAVOR) as content:
            return b"".join(bytes(piece) for chunk in content for piece in chunk)


def test_what_was_cut_goes_on_where_it_was(serve: Serve) -> None:
    server = serve(CUT, REST % b"Content-Range: bytes 3-9/10\r\n")
    assert OneFile(server.url).read() == b"abcdefghij"
    assert b"range: bytes=3-" in server.requests[1].lower()


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Range: bytes 0-6/10\r\n",
        b"Content-Range: bytes 3-9/99\r\n",
        b"Content-Range: bytes 30-36/10\r\n",
        b"",
        b"Content-Range: bytes 3-9/10\r\nContent-Encoding: gzip\r\n",
    ],
    ids=["the beginning", "of another file", "further on", "no range told", "packed"],
)
def test_what_is_not_the_rest_is_not_put_behind_the_beginning(serve: Serve, head: bytes) -> None:
    with pytest.raises(KalturaError, match=GIVEN_UP):
        OneFile(serve(CUT, *[REST % head] * 20).url).read()


def test_a_video_that_is_packed_though_nobody_asked_is_none(serve: Serve) -> None:
    packed = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\nContent-Encoding: gzip\r\n\r\n0123456789"
    with pytest.raises(KalturaError, match=GIVEN_UP):
        OneFile(serve(*[packed] * 20).url).read()


def test_a_redirection_is_followed_as_it_is_written(serve: Serve) -> None:
    there = b"HTTP/1.1 302 Found\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n"
    found = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789"
    server = serve(there % "/vorlesung/\u00fcbung.mp4".encode(), found)
    assert OneFile(server.url).read() == b"0123456789"
    assert server.requests[1].startswith(b"GET /vorlesung/%C3%BCbung.mp4 HTTP/1.1")
    with pytest.raises(KalturaError):
        OneFile(serve(*[there % b"//[::1"] * 20).url).read()
    odd = OneFile("http://[::1")
    with pytest.raises(KalturaError):
        odd.read()
