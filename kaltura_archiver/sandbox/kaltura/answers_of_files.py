"""What the file host answers: whole, in part, or with an error of its own."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from email.utils import formatdate
from typing import TYPE_CHECKING

from kaltura_archiver.sandbox.control import Fault
from kaltura_archiver.sandbox.kaltura.records import ENTRY_MISSING, FILE_MISSING, FLAVOR_MISSING, Content

if TYPE_CHECKING:
    from kaltura_archiver.sandbox.kaltura.server import KalturaServer


_DIE = {"X-Kaltura-App": "exiting on error 1 - INTERNAL_ERROR", "X-Kaltura": "error-1"}


class Unanswered(Exception):
    """The request ends here, with a fault that keeps the server from acting."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.kind)
        self.fault = fault


@dataclasses.dataclass
class FileAnswer:
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


def text_answer(
    data: bytes, status: int = 200, content_type: str = "text/xml;charset=UTF-8", **headers: str
) -> FileAnswer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return FileAnswer(Content.of(data), status, {"Content-Type": content_type, **named})


def empty_answer(reason: Mapping[str, str] = _DIE) -> FileAnswer:
    """What Kaltura sends when it «dies»: status 200, no body, the reason in a header."""
    return FileAnswer(Content.of(b""), 200, {"Content-Type": "text/html", **reason})


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


def file_error(code: str) -> FileAnswer:
    """The host's way to fail: status 200, no bytes, the reason in a header."""
    number, text = _FILE_ERRORS.get(code, (1, code))
    headers = {
        "Content-Type": "application/force-download" if code == FILE_MISSING else "text/html; charset=UTF-8",
        "X-Kaltura-App": f"exiting on error {number} - {text}",
        "X-Kaltura": f"error-{number}",
        "Cache-Control": "private, max-age=60, max-stale=0",
    }
    return empty_answer(headers)


def ranged(answer: FileAnswer, wanted: str) -> FileAnswer:
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


def _no_range(size: int) -> FileAnswer:
    headers = {
        "Content-Type": "application/force-download",
        "Content-Range": f"bytes 0-{size - 1}/{size}",
        "Accept-Ranges": f"0-{size}",
        "Cache-Control": "no-store, no-cache, must-revalidate, post-check=0, pre-check=0",
    }
    return FileAnswer(Content.of(b""), 416, headers)


_UNKNOWN_TIME = "Sun, 19 Nov 2000 08:52:00 GMT"


def picture_answer(owner: KalturaServer, entry_id: str) -> FileAnswer:
    """The picture of an entry, and since when it is that one, or a day in 2000 where nobody knows."""
    with owner.library.lock:
        entry = owner.library.find_entry(entry_id)
        if entry is None or entry.deleted:
            return file_error(ENTRY_MISSING)
        data = owner.picture(entry.id)
        known = owner.settings.picture_times and entry.picture is not None
        since = formatdate(entry.picture_at, usegmt=True) if known else _UNKNOWN_TIME
    return text_answer(data, content_type="image/jpeg", Last_Modified=since)
