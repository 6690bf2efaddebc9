"""An end for answers that come byte by byte: each byte resets the time-out of a socket, so they could go on forever."""

from __future__ import annotations

import io
import socket
import time
from typing import Any

# For an answer, head and body, so long is waited in all, and a second more for each of so many bytes that have come.
ANSWER_SECONDS = 120.0
BYTES_PER_SECOND = 1024


class _Reader(socket.SocketIO):
    """One answer. Time in which we do not read, since what we read has nowhere to go, does not count."""

    _waited_seconds = 0.0
    _got_bytes = 0

    def readinto(self, b: Any) -> int | None:
        began = time.monotonic()
        count = super().readinto(b)
        self._waited_seconds += time.monotonic() - began
        self._got_bytes += count or 0
        if self._waited_seconds > ANSWER_SECONDS + self._got_bytes / BYTES_PER_SECOND:
            raise TimeoutError("the answer comes too slowly")
        return count


class _EndingSocket:
    """A connected socket, whose answers end."""

    def __init__(self, connected: Any) -> None:
        self._connected = connected

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connected, name)

    def makefile(self, mode: str = "rb", buffering: int = -1) -> io.RawIOBase | io.BufferedReader:
        """As socket.makefile does it; what asks for no buffer would lose what another one has read ahead."""
        self._connected._io_refs += 1
        reader = _Reader(self._connected, "r")
        return reader if buffering == 0 else io.BufferedReader(reader)


def bounded(kind: type[Any]) -> type[Any]:
    """A class of connections, http.client's or made from one, whose answers end."""

    class Bounded(kind):  # type: ignore[misc]
        def connect(self) -> None:
            super().connect()
            self.sock: Any = _EndingSocket(self.sock)

    return Bounded


def bound_boto(client: Any) -> None:
    """Let the answers to a boto3 client's calls end."""
    pools = client._endpoint.http_session._pool_classes_by_scheme
    for scheme, pool in list(pools.items()):
        pools[scheme] = type(pool.__name__, (pool,), {"ConnectionCls": bounded(pool.ConnectionCls)})
