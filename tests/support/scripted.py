"""A server that answers what it was told to, one request after the other, and keeps what it was asked."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\na video"
HANGS_UP = b"\0"


class Server:
    """Answers each request with the next of these answers, and then not at all; its `requests` are kept.

    It `HANGS_UP` without an answer where one says so; `early`, it answers when it has read a head.
    """

    def __init__(
        self, *answers: bytes, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1", early: bool = False
    ) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, 0), family=family)
        self._answers, self._tls, self._early = iter(answers), tls, early
        self._taken: list[socket.socket] = []
        self.requests: list[bytes] = []
        self.connections = 0
        place = f"[{host}]" if ":" in host else host
        self.url = f"{'https' if tls else 'http'}://{place}:{self._listener.getsockname()[1]}/"
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    def _start(self, target: Callable[..., None], *arguments: object) -> None:
        self._threads.append(threading.Thread(target=target, args=arguments, daemon=True))
        self._threads[-1].start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._start(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        self._taken.append(connection)
        with suppress(OSError):
            if self._tls:
                connection = self._tls.wrap_socket(connection, server_side=True)
                self._taken.append(connection)
            self.connections += 1
            while request := self._request(connection):
                self.requests.append(request)
                if (answer := next(self._answers)) == HANGS_UP:
                    break
                connection.sendall(answer)
                while self._early and connection.recv(2**16):
                    pass
                if b"Connection: close" in answer:
                    break
            connection.close()

    def _request(self, connection: socket.socket) -> bytes:
        got = b""
        while b"\r\n\r\n" not in got and (more := connection.recv(2**16)):
            got += more
        head = got.partition(b"\r\n\r\n")[0].lower()
        length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
        while got and not self._early and len(got) < len(head) + 4 + length and (more := connection.recv(2**16)):
            got += more
        return got

    def say(self, unasked: bytes) -> None:
        """Send this on the newest connection, though nobody asks."""
        self._taken[-1].sendall(unasked)

    def hang_up(self) -> None:
        """Close the newest connection, and say nothing."""
        self._taken[-1].shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Not before nobody uses the sockets any more: their numbers are given to others at once."""
        for used in (self._listener, *self._taken):
            with suppress(OSError):
                socket.socket.shutdown(used, socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        for used in (self._listener, *self._taken):
            used.close()


Serve = Callable[..., Server]


def servers() -> Iterator[Serve]:
    """For a fixture: starts such servers, and closes them at its end."""
    running: list[Server] = []

    def started(*answers: bytes, **options: Any) -> Server:
        running.append(Server(*answers, **options))
        return running[-1]

    yield started
    for server in running:
        server.close()
