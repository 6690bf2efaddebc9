"""The HTTP side of the sandbox's Kaltura: the API, the file host, faults, and control for people."""

from __future__ import annotations

import contextlib
import dataclasses
import re
import socket
import sys
import time
import urllib.parse
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any

from kaltura_archiver.sandbox.control import Fault
from kaltura_archiver.sandbox.kaltura.answers_of_files import (
    FileAnswer,
    Unanswered,
    empty_answer,
    file_error,
    flipped,
    picture_answer,
    ranged,
    text_answer,
)
from kaltura_archiver.sandbox.kaltura.calls import all_on_the_wire, multirequest, on_the_wire, run_action, wants_json
from kaltura_archiver.sandbox.kaltura.controls import control_answer
from kaltura_archiver.sandbox.kaltura.records import FILE_MISSING, Content
from kaltura_archiver.sandbox.kaltura.wire import ApiError, Call, MalformedRequest, envelope, parse_body, split_url
from kaltura_archiver.sandbox.serving import PromptServer

if TYPE_CHECKING:
    from kaltura_archiver.sandbox.kaltura.server import KalturaServer


_HTML = b"<html><head><title>Error</title></head><body><h1>Something went wrong</h1></body></html>"


class Endpoint(PromptServer):
    """A keep-alive server on a free loopback port that can be stopped at once."""

    block_on_close = False
    request_queue_size = 128

    def __init__(self, owner: KalturaServer) -> None:
        super().__init__(("127.0.0.1", 0), _KalturaHandler)
        self.owner = owner
        self.file_errors: dict[str, float] = {}
        self._open: set[socket.socket] = set()

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._open.discard(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news; anything else is a fault of the sandbox, and printed."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)

    def close_connections(self) -> None:
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class _KalturaHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Endpoint

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing on stderr: the control keeps the log."""

    def do_GET(self) -> None:
        self._handle()

    def do_HEAD(self) -> None:
        self._handle()

    def do_POST(self) -> None:
        self._handle()

    def _handle(self) -> None:
        body = self._read_body()
        if body is None:
            self.close_connection = True
            return
        path = re.sub("/{2,}", "/", self.path.partition("?")[0])
        if path.startswith("/api_v3"):
            self._api(path + self.path[len(self.path.partition("?")[0]) :], body)
        elif path.startswith("/sandbox/"):
            self._send(control_answer(self.server.owner, self.command, path, body))
        elif self.command in ("GET", "HEAD"):
            self._file(path)
        else:
            self._send(text_answer(_HTML, 404, "text/html"))

    def _read_body(self) -> bytes | None:
        """The whole body, or None if the client went away before its end: then nothing happens, as under PHP."""
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            return self._read_chunks()
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length) if length else b""
        return body if len(body) == length else None

    def _read_chunks(self) -> bytes | None:
        pieces: list[bytes] = []
        while found := re.match(rb"[0-9a-fA-F]+", self.rfile.readline()):
            size = int(found.group(), 16)
            piece = self.rfile.read(size)
            self.rfile.readline()
            if size == 0:
                return b"".join(pieces)
            if len(piece) < size:
                break
            pieces.append(piece)
        return None

    # The API

    def _api(self, target: str, body: bytes) -> None:
        started = time.monotonic()
        service, action, from_url = split_url(target)
        try:
            parameters = parse_body(self.headers.get("Content-Type", ""), body) | from_url
        except MalformedRequest:
            parameters = from_url
        fault: Fault | None = None
        try:
            if service.lower() == "multirequest":
                results, fault = multirequest(self.server.owner, parameters)
                shown = (
                    on_the_wire(results, parameters)
                    if isinstance(results, ApiError)
                    else all_on_the_wire(results, parameters)
                )
            else:
                call = Call(service or str(parameters.get("service", "")), action or str(parameters.get("action", "")))
                call.parameters = parameters
                result, fault = run_action(self.server.owner, call)
                shown = on_the_wire(result, parameters)
        except Unanswered as end:
            self._deliver(text_answer(b""), end.fault)
            return
        if wants_json(parameters):
            answer = text_answer(shown.encode(), content_type="application/json")
        else:
            answer = text_answer(envelope(shown, time.monotonic() - started))
        self._deliver(answer, fault)

    # The file host

    def _file(self, path: str) -> None:
        pairs = path.strip("/").split("/")
        names = dict(zip(pairs[::2], pairs[1::2], strict=False))
        for kind in ("serveFlavor", "thumbnail"):
            if kind in pairs:
                rest = pairs[pairs.index(kind) + 1 :]
                names = dict(zip(rest[::2], rest[1::2], strict=False))
        asset_id = names.get("flavorId", "") or names.get("entry_id", "")
        wanted = self.headers.get("Range", "")
        request, fault = self.server.owner.control.begin(
            "file",
            f"file.{self.command}",
            subject=asset_id,
            parameters={"entryId": names.get("entryId", ""), "v": names.get("v", ""), "range": wanted},
        )
        answer = file_error(fault.code) if fault and fault.kind == "error" else self._file_answer(path, names, wanted)
        if fault and fault.after:
            fault.after(request)
        answer.only_headers = self.command == "HEAD"
        self._deliver(answer, fault, flips=True)

    def _file_answer(self, path: str, names: dict[str, str], wanted: str) -> FileAnswer:
        owner = self.server.owner
        query = dict(urllib.parse.parse_qsl(self.path.partition("?")[2]))
        now = owner.control.clock.now()
        if "entry_id" in names:
            return picture_answer(owner, names["entry_id"])
        if self.server.file_errors.get(self.path, 0.0) > now:
            return file_error(FILE_MISSING)
        if not owner.services.url_token_is_good(path, query.get("__gda__", "")):
            return text_answer(_HTML, 403, "text/html")
        content = owner.served(names.get("entryId", ""), names.get("flavorId", ""), names.get("v", ""))
        if not isinstance(content, Content):
            if owner.settings.file_error_cache_seconds > 0:
                self.server.file_errors[self.path] = now + owner.settings.file_error_cache_seconds
            return file_error(content)
        headers = {
            "Content-Type": "video/mp4",
            "Accept-Ranges": "bytes",
            "Cache-Control": "public, max-age=8640000, max-stale=0",
        }
        return ranged(FileAnswer(content, 200, headers), wanted)

    # Sending, with what can go wrong

    def _deliver(self, answer: FileAnswer, fault: Fault | None, *, flips: bool = False) -> None:
        kind = fault.kind if fault else "none"
        if fault and fault.seconds > 0:
            self.server.stopping.wait(fault.seconds)
        if kind in ("drop_before", "drop_after"):
            self._cut_connection()
        elif kind in ("http_500", "http_503"):
            self._send(text_answer(_HTML, int(kind[-3:]), "text/html"))
        elif kind in ("empty", "empty_after"):
            self._send(empty_answer())
        elif kind == "garbage":
            self._send(text_answer(_HTML, 200, "text/html"))
        elif kind == "cut":
            answer.end = (answer.start + answer.end) // 2
            self._send(answer)
        elif kind == "cut_short":
            self._send(answer, sent_until=(answer.start + answer.end) // 2)
            self._cut_connection()
        elif kind == "flip" and flips:
            self._send(dataclasses.replace(answer, content=flipped(answer.content, answer.start, answer.end)))
        else:
            self._send(answer)

    def _send(self, answer: FileAnswer, *, sent_until: int | None = None) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        length = answer.end - answer.start
        broken = answer.promised > length and not answer.only_headers and sent_until is None
        self.send_header("Content-Length", str(answer.promised if broken else length))
        self.send_header("Connection", "keep-alive")
        pieces: Iterator[memoryview] = iter(())
        if not answer.only_headers:
            pieces = answer.content.pieces(answer.start, answer.end if sent_until is None else sent_until)
        # The first piece goes out with the headers, in one packet where it is small.
        head: list[bytes] = [*getattr(self, "_headers_buffer", []), b"\r\n"]
        self._headers_buffer: list[bytes] = []
        self.wfile.write(b"".join(head) + bytes(next(pieces, b"")))
        for piece in pieces:
            self.wfile.write(piece)
        if broken:
            self._cut_connection()

    def _cut_connection(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)
