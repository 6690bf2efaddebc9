"""What both sandbox servers share: a clock that can be moved, a log of all requests, and faults on cue."""

from __future__ import annotations

import fnmatch
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

FAULT_KINDS = (
    "drop_before",  # the connection is cut, nothing was done
    "drop_after",  # done, but the answer is lost
    "delay",  # the answer comes `seconds` late
    "http_500",  # status 500 and an HTML page, nothing was done
    "http_503",  # status 503 (S3: SlowDown), nothing was done
    "empty",  # status 200 and no body, nothing was done (a Kaltura "die" error)
    "empty_after",  # done, then status 200 and no body
    "cut",  # done; half of the answer, Content-Length agreeing with the half (what a proxy leaves)
    "cut_short",  # done; half of the answer under the full Content-Length, then the connection is cut
    "garbage",  # done; an HTML page with status 200 instead of the answer
    "error",  # an API error named by `code` (Kaltura error code, or S3 error code with `status`), nothing was done
    "flip",  # one byte of the content that passes is changed (a download's answer, an upload's request)
    "none",  # only the callbacks
)


class Clock:
    """Unix time in seconds, ahead of the real one by what `advance` was told."""

    def __init__(self) -> None:
        self._offset_seconds = 0.0

    def now(self) -> float:
        return time.time() + self._offset_seconds

    def advance(self, seconds: float) -> None:
        self._offset_seconds += seconds


@dataclass(frozen=True)
class Request:
    """One request that reached a server.

    `server` is kaltura, file or s3. `operation` is what was asked: ``media.get`` (service and action in lower camel
    case as the documentation writes them), ``file.GET``, ``s3.PutObject``. `subject` is the entry, flavor asset or
    token id, or the S3 key. `session` is a hash of the KS, never the KS.
    """

    number: int
    server: str
    operation: str
    subject: str
    writes: bool
    parameters: Mapping[str, Any]
    session: str
    at: float


@dataclass
class Fault:
    """Something to go wrong with a coming request whose operation matches the pattern (as in ``s3.*``).

    The first `skip` matching requests pass; then `times` of them fail. `before` and `after` are called with the request
    just before and after the server acts, outside its lock: to hold it, kill a client, or play a second author.
    """

    operation: str
    kind: str = "none"
    subject: str = "*"
    skip: int = 0
    times: int = 1
    code: str = "INTERNAL_SERVERL_ERROR"
    status: int = 500
    seconds: float = 0.0
    before: Callable[[Request], None] | None = None
    after: Callable[[Request], None] | None = None

    def __post_init__(self) -> None:
        if self.kind not in FAULT_KINDS:
            raise ValueError(f"unknown kind of fault: {self.kind}")


@dataclass
class Control:
    """Clock, request log and faults of one sandbox; safe to use from every server thread."""

    clock: Clock = field(default_factory=Clock)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _requests: list[Request] = field(default_factory=list, repr=False)
    _faults: list[Fault] = field(default_factory=list, repr=False)

    def begin(
        self,
        server: str,
        operation: str,
        *,
        subject: str = "",
        writes: bool = False,
        parameters: Mapping[str, Any] | None = None,
        session: str = "",
    ) -> tuple[Request, Fault | None]:
        """Log a request and take the fault meant for it, whose `before` has then been called."""
        with self._lock:
            request = Request(
                len(self._requests),
                server,
                operation,
                subject,
                writes,
                dict(parameters or {}),
                session,
                self.clock.now(),
            )
            self._requests.append(request)
            fault = self._take(request)
        if fault and fault.before:
            fault.before(request)
        return request, fault

    def _take(self, request: Request) -> Fault | None:
        for fault in self._faults:
            if not (
                fnmatch.fnmatchcase(request.operation, fault.operation)
                and fnmatch.fnmatchcase(request.subject, fault.subject)
            ):
                continue
            if fault.skip > 0:
                fault.skip -= 1
                continue
            if fault.times > 0:
                fault.times -= 1
                return fault
        return None

    def add_fault(self, operation: str, kind: str = "none", **details: Any) -> Fault:
        fault = Fault(operation, kind, **details)
        with self._lock:
            self._faults.append(fault)
        return fault

    def clear_faults(self) -> None:
        with self._lock:
            self._faults.clear()

    def clear_log(self) -> None:
        with self._lock:
            self._requests.clear()

    def requests(self, operation: str = "*") -> list[Request]:
        """The requests so far whose operation matches the pattern, in the order they came."""
        with self._lock:
            return [r for r in self._requests if fnmatch.fnmatchcase(r.operation, operation)]

    def writes(self) -> list[Request]:
        """The requests that would change something, refused ones included."""
        return [r for r in self.requests() if r.writes]

    def __iter__(self) -> Iterator[Request]:
        return iter(self.requests())
