"""What both sandbox servers are built on: an HTTP server that stops at once, without looking for it at intervals."""

from __future__ import annotations

import contextlib
import socket
import threading
from http.server import ThreadingHTTPServer
from typing import Any


class PromptServer(ThreadingHTTPServer):
    """Serves in a thread of its own from `start` to `stop`; a server that was stopped is not started again."""

    daemon_threads = True
    timeout = 1.0  # should the connection that wakes it not come through

    def __init__(self, address: tuple[str, int], handler: Any) -> None:
        super().__init__(address, handler)
        self.stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, name: str) -> None:
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while not self.stopping.is_set():
            self.handle_request()

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Nobody is served any more once it stops, least of all the connection that wakes it."""
        return not self.stopping.is_set()

    def stop(self) -> None:
        """Accept no more connections, and close the port."""
        self.stopping.set()
        if self._thread is not None:
            with contextlib.suppress(OSError):
                socket.create_connection(self.server_address[:2], timeout=1).close()  # type: ignore[arg-type]
            self._thread.join()
        self.server_close()
