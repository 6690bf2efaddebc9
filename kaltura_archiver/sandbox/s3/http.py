"""The HTTP server in front of the bucket."""

from __future__ import annotations

import contextlib
import socket
import sys
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any

from kaltura_archiver.sandbox.serving import PromptServer

if TYPE_CHECKING:
    from kaltura_archiver.sandbox.s3.server import S3Server


class S3Http(PromptServer):
    request_queue_size = 64

    def __init__(self, s3: S3Server) -> None:
        self.s3 = s3
        self.connections: set[socket.socket] = set()
        super().__init__(("127.0.0.1", 0), _S3Handler)

    def server_close(self) -> None:
        super().server_close()
        # Kept-alive connections would go on being served by their threads.
        for connection in list(self.connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], OSError):  # a client that hangs up is no news here
            super().handle_error(request, client_address)


class _S3Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each answer on a kept-alive connection waits for a delayed ACK
    wbufsize = -1
    server: S3Http

    def setup(self) -> None:
        super().setup()
        self.server.connections.add(self.connection)

    def finish(self) -> None:
        self.server.connections.discard(self.connection)
        with contextlib.suppress(OSError):
            super().finish()

    def _serve(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self._read_body(headers)
        if body is None:
            self.close_connection = True
            return
        answer = self.server.s3.handle(self.command, self.path, headers, body)
        if answer is None:
            self.close_connection = True
            return
        length = len(answer.body)
        if self.command == "HEAD" and answer.status < 300:
            length = int(answer.headers.get("content-length", "0"))
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            if name not in ("content-length", "date", "server", "connection"):
                self.send_header(name, value)
        if answer.status not in (204, 304):
            self.send_header("Content-Length", str(length))
        if answer.ours:
            self.send_header("x-amz-request-id", "SANDBOX")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body[: answer.cut_at])
        if answer.cut_at is not None:
            self.close_connection = True
        self.wfile.flush()

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do_OPTIONS = _serve

    def _read_body(self, headers: Mapping[str, str]) -> bytes | None:
        """The body as it came; None if it ended too early."""
        if headers.get("transfer-encoding", "").lower() != "chunked":
            length = int(headers.get("content-length", "0"))
            body = self.rfile.read(length)
            return body if len(body) == length else None
        chunks = bytearray()
        while line := self.rfile.readline():
            size = int(line.split(b";")[0], 16)
            chunk = self.rfile.read(size)
            self.rfile.readline()
            if not size:
                return bytes(chunks)
            chunks += chunk
        return None

    def handle_expect_100(self) -> bool:
        self.send_response_only(HTTPStatus.CONTINUE)
        self.end_headers()
        self.wfile.flush()
        return True

    def version_string(self) -> str:
        return "AmazonS3"

    def date_time_string(self, timestamp: float | None = None) -> str:
        return super().date_time_string(self.server.s3.control.clock.now() if timestamp is None else timestamp)

    def log_message(self, format: str, *args: Any) -> None:
        """The control keeps the log."""
