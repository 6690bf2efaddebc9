"""The HTTP side of the sandbox's Kaltura: the API, the file host, faults, and control for people."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import re
import socket
import sys
import time
import traceback
import urllib.parse
from collections.abc import Iterator, Mapping
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any

from .control import Fault, Request
from .kaltura_records import ENTRY_MISSING, FILE_MISSING, FLAVOR_MISSING, Content
from .kaltura_services import Action
from .kaltura_sessions import ADMIN, Session, session_hash
from .kaltura_wire import (
    ERRORS,
    ApiError,
    Call,
    MalformedRequest,
    PostedFile,
    as_bool,
    check_characters,
    envelope,
    error_json,
    error_xml,
    only_fields,
    parse_body,
    split_csv,
    split_url,
    to_xml,
    without_nulls,
)
from .serving import PromptServer

if TYPE_CHECKING:
    from .kaltura import KalturaServer

_BEFORE_ACTING = ("drop_before", "http_500", "http_503", "empty")
_UNLOGGED = {"ks", "kalsig", "secret", "tokenHash", "clientTag", "apiVersion", "format", "service", "action", "session"}
_COMMON = ("ks", "clientTag", "apiVersion", "partnerId", "format", "ignoreNull", "responseProfile")
_REFERENCE = re.compile(r"\{(\d+):result((?::[^{}:]+)*)\}")
_HTML = b"<html><head><title>Error</title></head><body><h1>Something went wrong</h1></body></html>"
_UNKNOWN_TIME = "Sun, 19 Nov 2000 08:52:00 GMT"
_DIE = {"X-Kaltura-App": "exiting on error 1 - INTERNAL_ERROR", "X-Kaltura": "error-1"}


class Unanswered(Exception):
    """The request ends here, with a fault that keeps the server from acting."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.kind)
        self.fault = fault


@dataclasses.dataclass
class Answer:
    """An answer to send: a part of `content`, or without any body where only the headers were asked for.

    `promised` is its Content-Length where that is another than the number of its bytes: then the connection breaks off.
    """

    content: Content
    status: int = 200
    headers: dict[str, str] = dataclasses.field(default_factory=dict)
    start: int = 0
    end: int = -1
    only_headers: bool = False
    promised: int = -1

    def __post_init__(self) -> None:
        if self.end < 0:
            self.end = self.content.size


def text_answer(data: bytes, status: int = 200, content_type: str = "text/xml;charset=UTF-8", **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(Content.of(data), status, {"Content-Type": content_type, **named})


def empty_answer(reason: Mapping[str, str] = _DIE) -> Answer:
    """What Kaltura sends when it «dies»: status 200, no body, the reason in a header."""
    return Answer(Content.of(b""), 200, {"Content-Type": "text/html", **reason})


class Endpoint(PromptServer):
    """A keep-alive server on a free loopback port that can be stopped at once."""

    block_on_close = False
    request_queue_size = 128

    def __init__(self, owner: KalturaServer) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
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


class _Handler(BaseHTTPRequestHandler):
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
            self._send(_control(self.server.owner, self.command, path, body))
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
                results, fault = _multirequest(self.server.owner, parameters)
                shown = (
                    _shown(results, parameters) if isinstance(results, ApiError) else _all_shown(results, parameters)
                )
            else:
                call = Call(service or str(parameters.get("service", "")), action or str(parameters.get("action", "")))
                call.parameters = parameters
                result, fault = _run(self.server.owner, call)
                shown = _shown(result, parameters)
        except Unanswered as end:
            self._deliver(text_answer(b""), end.fault)
            return
        if _wants_json(parameters):
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
        answer = _file_error(fault.code) if fault and fault.kind == "error" else self._file_answer(path, names, wanted)
        if fault and fault.after:
            fault.after(request)
        answer.only_headers = self.command == "HEAD"
        self._deliver(answer, fault, flips=True)

    def _file_answer(self, path: str, names: dict[str, str], wanted: str) -> Answer:
        owner = self.server.owner
        query = dict(urllib.parse.parse_qsl(self.path.partition("?")[2]))
        now = owner.control.clock.now()
        if "entry_id" in names:
            return _picture_answer(owner, names["entry_id"])
        if self.server.file_errors.get(self.path, 0.0) > now:
            return _file_error(FILE_MISSING)
        if not owner.services.url_token_is_good(path, query.get("__gda__", "")):
            return text_answer(_HTML, 403, "text/html")
        content = owner.served(names.get("entryId", ""), names.get("flavorId", ""), names.get("v", ""))
        if not isinstance(content, Content):
            if owner.settings.file_error_cache_seconds > 0:
                self.server.file_errors[self.path] = now + owner.settings.file_error_cache_seconds
            return _file_error(content)
        headers = {
            "Content-Type": "video/mp4",
            "Accept-Ranges": "bytes",
            "Cache-Control": "public, max-age=8640000, max-stale=0",
        }
        return _ranged(Answer(content, 200, headers), wanted)

    # Sending, with what can go wrong

    def _deliver(self, answer: Answer, fault: Fault | None, *, flips: bool = False) -> None:
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

    def _send(self, answer: Answer, *, sent_until: int | None = None) -> None:
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


def _picture_answer(owner: KalturaServer, entry_id: str) -> Answer:
    """The picture of an entry, and since when it is that one, or a day in 2000 where nobody knows."""
    with owner.library.lock:
        entry = owner.library.find_entry(entry_id)
        if entry is None or entry.deleted:
            return _file_error(ENTRY_MISSING)
        data = owner.picture(entry.id)
        known = owner.settings.picture_times and entry.picture is not None
        since = formatdate(entry.picture_at, usegmt=True) if known else _UNKNOWN_TIME
    return text_answer(data, content_type="image/jpeg", Last_Modified=since)


def _run(owner: KalturaServer, call: Call) -> tuple[Any, Fault | None]:
    """Do one action: its answer or an ApiError, and the fault for the way back."""
    p = call.parameters
    try:
        action = owner.services.find(call.service, call.action)
        name, subject, writes = action.operation, str(p.get(action.subject, "")), action.writes
        if not subject and isinstance(p.get("filter"), dict):
            subject = str(p["filter"].get("entryIdEqual") or p["filter"].get("entryIdIn") or "")
    except ApiError as error:
        owner.control.begin("kaltura", f"{call.service}.{call.action}", writes=True, parameters=_loggable(p))
        return error, None
    ks = str(p.get("ks") or "")
    request, fault = owner.control.begin(
        "kaltura", name, subject=subject, writes=writes, parameters=_loggable(p), session=session_hash(ks)
    )
    if fault and fault.kind in _BEFORE_ACTING:
        raise Unanswered(fault)
    if fault and fault.kind == "flip" and isinstance(p.get("fileData"), PostedFile):
        p["fileData"] = PostedFile(p["fileData"].name, flipped_bytes(p["fileData"].data))
    result: Any = None
    try:
        if fault and fault.kind == "error":
            raise _named_error(fault, request)
        with owner.library.lock:
            owner.refresh()
            for needed in action.needs:
                if needed not in p:
                    raise ApiError("MISSING_MANDATORY_PARAMETER", needed)
            check_characters(p)
            session = _session(owner, action, ks)
            try:
                result = action.handler(session, p)
            finally:
                owner.index.commit()
    except ApiError as error:
        result = error
    except (TypeError, ValueError, KeyError, AttributeError):
        # As the service answers parameters of a shape it does not expect; printed, for it may be the sandbox's fault.
        traceback.print_exc(file=sys.stderr)
        result = ApiError("INTERNAL_SERVERL_ERROR")
    if fault and fault.after:
        fault.after(request)
    return result, fault


def _session(owner: KalturaServer, action: Action, ks: str) -> Session:
    """Who asks. A KS is looked at wherever one is sent, but by `session.start`; ApiError for who may not ask this."""
    nobody = Session("", owner.partner_id, "", 0, 0, ())
    if action.ignores_ks or (action.public and not ks):
        return nobody
    if not ks and not action.anyone:
        raise ApiError("SERVICE_FORBIDDEN", action.full_name)
    session = owner.sessions.check(ks) if ks else nobody
    if session.widget and not (action.public or action.widget or action.anyone):
        raise ApiError("SERVICE_FORBIDDEN", action.full_name)
    if action.admin and session.type != ADMIN:
        raise ApiError("SERVICE_FORBIDDEN", action.full_name)
    return session


def _wants_json(parameters: dict[str, Any]) -> bool:
    return str(parameters.get("format", "")) == "1"


def _shown(result: Any, parameters: dict[str, Any]) -> str:
    """One result on the wire: XML, or the whole answer in JSON."""
    if _wants_json(parameters):
        return json.dumps(_as_json(result))
    if isinstance(result, ApiError):
        return error_xml(result)
    profile = parameters.get("responseProfile")
    if isinstance(profile, dict) and profile.get("fields"):
        result = only_fields(result, frozenset(split_csv(profile["fields"])))
    if as_bool(parameters.get("ignoreNull")):
        return to_xml(without_nulls(result), nulls=False)
    return to_xml(result)


def _all_shown(results: ApiError | list[tuple[Any, dict[str, Any]]], parameters: dict[str, Any]) -> str:
    if isinstance(results, ApiError):
        return _shown(results, parameters)
    if _wants_json(parameters):
        return json.dumps([_as_json(result) for result, _ in results])
    return "".join([f"<item>{_shown(result, own)}</item>" for result, own in results])


def _as_json(result: Any) -> Any:
    return error_json(result) if isinstance(result, ApiError) else without_nulls(result)


def _multirequest(
    owner: KalturaServer, parameters: dict[str, Any]
) -> tuple[ApiError | list[tuple[Any, dict[str, Any]]], Fault | None]:
    """Run the numbered calls in order: each result with its parameters.

    A reference to what is not there becomes the empty string (1.3).
    """
    calls: list[Call] = []
    number = 0 if "0" in parameters else 1
    while isinstance(parameters.get(str(number)), dict):
        own = dict(parameters[str(number)])
        for name in _COMMON:
            if name in parameters:
                own.setdefault(name, parameters[name])
        prefix = f"{number}:"
        own |= {key[len(prefix) :]: value for key, value in parameters.items() if key.startswith(prefix)}
        calls.append(Call(str(own.pop("service", "")), str(own.pop("action", "")), own))
        number += 1
    names: list[str] = []
    writes = False
    for call in calls:
        try:
            action = owner.services.find(call.service, call.action)
            names.append(action.operation)
            writes = writes or action.writes
        except ApiError:
            names.append(f"{call.service}.{call.action}")
            writes = True
    request, fault = owner.control.begin(
        "kaltura",
        "multirequest",
        writes=writes,
        parameters={"calls": names},
        session=session_hash(str(parameters.get("ks") or (calls[0].parameters.get("ks") if calls else "") or "")),
    )
    if fault and fault.kind in _BEFORE_ACTING:
        raise Unanswered(fault)
    if fault and fault.kind == "error":
        return _named_error(fault, request), fault
    worst = fault
    results: list[Any] = []
    for call in calls:
        call.parameters = _resolve(call.parameters, results)
        result, own_fault = _run(owner, call)
        results.append(result)
        if own_fault and own_fault.kind not in ("error", "none") and worst is None:
            worst = own_fault
    if fault and fault.after:
        fault.after(request)
    return [(result, call.parameters) for result, call in zip(results, calls, strict=True)], worst


def _resolve(value: Any, results: list[Any]) -> Any:
    """Replace references like ``{1:result:objects:0:id}``; the numbers of calls start at 1."""
    if isinstance(value, str):
        return _REFERENCE.sub(lambda found: _look_up(found, results), value) if "{" in value else value
    if isinstance(value, dict):
        return {key: _resolve(item, results) for key, item in value.items()}
    if isinstance(value, list):
        return [_resolve(item, results) for item in value]
    return value


def _look_up(found: re.Match[str], results: list[Any]) -> str:
    number = int(found.group(1)) - 1
    value: Any = results[number] if 0 <= number < len(results) else None
    for step in found.group(2).split(":")[1:]:
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and step.isdigit() and int(step) < len(value):
            value = value[int(step)]
        else:
            return ""
    return "" if value is None or isinstance(value, (dict, list)) else str(value)


def _loggable(parameters: dict[str, Any]) -> dict[str, Any]:
    return {
        key: {"name": value.name, "size": len(value.data)} if isinstance(value, PostedFile) else value
        for key, value in parameters.items()
        if key not in _UNLOGGED
    }


def _named_error(fault: Fault, request: Request) -> ApiError:
    """The error a fault names; ``INVALID_KS:LOGOUT`` is a session that was ended, INVALID_KS alone an expired one."""
    code, _, detail = fault.code.partition(":")
    if code == "INVALID_KS":
        return ApiError(code, detail or "EXPIRED", "-1", "INVALID_STR")
    if code == "ACTION_BLOCKED":
        service, _, action = request.operation.partition(".")
        return ApiError(code, action, service)
    count = len(ERRORS.get(code, ("", ""))[0].split(","))
    return ApiError(code, *([request.subject] * count))


def flipped_bytes(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 0x55]) + data[middle + 1 :] if data else data


def flipped(content: Content, start: int, end: int) -> Content:
    """The content with the byte in the middle of a range changed."""
    if start >= end:
        return content
    data = bytearray(content.read())
    data[(start + end) // 2] ^= 0x55
    return Content.of(bytes(data))


# Of KExternalErrors; 1, 5 and 6 as recorded (real-kaltura N13, F53, F50).
_FILE_ERRORS = {
    ENTRY_MISSING: (1, "requested entry not found"),
    "ACCESS_CONTROL_RESTRICTED": (3, "entry restricted due to access-control"),
    FILE_MISSING: (5, "required file was not found"),
    FLAVOR_MISSING: (6, "requested flavor was not found"),
    "IP_COUNTRY_BLOCKED": (16, ""),
    "DELIVERY_METHOD_NOT_ALLOWED": (18, "Delivery method not allowed"),
}


def _file_error(code: str) -> Answer:
    """The host's way to fail: status 200, no bytes, the reason in a header."""
    number, text = _FILE_ERRORS.get(code, (1, code))
    headers = {
        "Content-Type": "application/force-download" if code == FILE_MISSING else "text/html; charset=UTF-8",
        "X-Kaltura-App": f"exiting on error {number} - {text}",
        "X-Kaltura": f"error-{number}",
        "Cache-Control": "private, max-age=60, max-stale=0",
    }
    return empty_answer(headers)


def _ranged(answer: Answer, wanted: str) -> Answer:
    """The part that a Range header asks for (real-kaltura F300-F46): 206, or 416 for several ranges and for nonsense.

    The unit is not looked at. A suffix longer than the file is promised and cannot be kept: the answer breaks off.
    """
    if not wanted:
        return answer
    size = answer.content.size
    found = re.fullmatch(r"\w+=(\d*)-(\d*)", wanted.replace(" ", ""))
    if not found or not (found.group(1) or found.group(2)):
        return _no_range(size)
    if found.group(1):
        start = int(found.group(1))
        end = min(int(found.group(2)) + 1, size) if found.group(2) else size
    else:
        start, end = size - int(found.group(2)), size
    if start >= end:
        return _no_range(size)
    answer.status, answer.start, answer.end = 206, max(0, start), end
    answer.promised = end - start
    answer.headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    return answer


def _no_range(size: int) -> Answer:
    headers = {
        "Content-Type": "application/force-download",
        "Content-Range": f"bytes 0-{size - 1}/{size}",
        "Accept-Ranges": f"0-{size}",
        "Cache-Control": "no-store, no-cache, must-revalidate, post-check=0, pre-check=0",
    }
    return Answer(Content.of(b""), 416, headers)


# For people who run the sandbox as a process


def _control(owner: KalturaServer, method: str, path: str, body: bytes) -> Answer:
    try:
        value = _control_value(owner, f"{method} {path}", json.loads(body) if body else {})
    except (ValueError, TypeError, KeyError, AttributeError, ApiError) as error:
        return text_answer(json.dumps({"error": str(error)}).encode(), 400, "application/json")
    if value is None:
        return text_answer(b'{"error": "not found"}', 404, "application/json")
    return text_answer(json.dumps(value).encode(), 200, "application/json")


def _control_value(owner: KalturaServer, what: str, sent: dict[str, Any]) -> Any:
    if what == "GET /sandbox/log":
        return [dataclasses.asdict(request) for request in owner.control]
    if what == "POST /sandbox/advance":
        owner.control.clock.advance(float(sent["seconds"]))
        return {"now": owner.control.clock.now()}
    if what == "POST /sandbox/faults":
        owner.control.add_fault(**sent)
        return {"added": True}
    if what == "POST /sandbox/edit":
        entry_id = str(sent.pop("id"))
        owner.edit(entry_id, **sent)
        return {"edited": entry_id}
    if what == "GET /sandbox/entries":
        return [_summary(owner, entry_id) for entry_id in list(owner.entries)]
    return None


def _summary(owner: KalturaServer, entry_id: str) -> dict[str, Any]:
    entry, original = owner.entries[entry_id], owner.original(entry_id)
    content = original.contents.get(original.version) if original else None
    # Content that is only a size is not hashed: it may be gigabytes.
    known = content.data if content else None
    return {
        "id": entry.id,
        "name": entry.name,
        "tags": entry.tags,
        "status": entry.status,
        "replacement_status": entry.replacement_status,
        "original": original.id if original else None,
        "original_status": original.status if original else None,
        "version": original.version if original else None,
        "bytes": content.size if content else None,
        "sha256": None if known is None else hashlib.sha256(known).hexdigest(),
    }
