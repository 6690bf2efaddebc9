"""An end for what goes on over a socket: each byte that comes resets its time-out, so that it could go on for ever."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from kaltura_archiver.errors import ConfigError

HANDSHAKE_SECONDS = 30.0


@contextmanager
def ends(connected: Callable[[], socket.socket | None], seconds: float) -> Iterator[None]:
    """After so long within it, the socket that `connected` then gives is shut down: who reads from it gets an end."""

    def cut() -> None:
        with suppress(OSError, AttributeError):
            # Past SSLSocket's own, which would drop the TLS under the feet of the thread that reads.
            socket.socket.shutdown(connected(), socket.SHUT_RDWR)  # type: ignore[arg-type]

    timer = threading.Timer(seconds, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


class _TlsSocket(ssl.SSLSocket):
    def do_handshake(self, block: bool = False) -> None:
        with ends(lambda: self, HANDSHAKE_SECONDS):
            super().do_handshake(block)


def tls_context(ca_file: str, setting: str) -> ssl.SSLContext:
    """A context of clients whose handshakes end; it trusts this file of PEM certificates, or else the system's.

    Raises ConfigError, with the name of the setting, where the file cannot be read.
    """
    try:
        context = ssl.create_default_context(cafile=ca_file or None)
    except OSError as error:  # ssl.SSLError is one
        raise ConfigError(f"{setting} {ca_file}: not a readable file of PEM certificates") from error
    context.sslsocket_class = _TlsSocket
    return context
