"""The run log: what each run that changes something did, as JSON lines under log/runs/ in the bucket, for reports."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from kaltura_archiver import __version__
from kaltura_archiver.errors import Exit, StoreError
from kaltura_archiver.model import Availability, Outcome, iso_time
from kaltura_archiver.steps import Command, asked_back_bytes
from kaltura_archiver.transfer.ahead import in_order

if TYPE_CHECKING:
    from types import TracebackType

    from kaltura_archiver.output.summary import Totals
    from kaltura_archiver.results import Result
    from kaltura_archiver.store import Store

log = logging.getLogger(__name__)

PREFIX = "log/runs/"
LOGGED = frozenset({Outcome.DONE, Outcome.WAITING, Outcome.FAILED})
# Lifecycle rules leave objects below 128 KB alone, unless told otherwise: out of Glacier nobody would read a log again.
PART_BYTES = 120_000
# No more is read of one object: it is none of ours.
MAX_READ_BYTES = 2**22
# Objects read at a time, and how many ahead of their use.
THREADS, ROOM = 8, 16
# The fields of a line and their types, by its kind.
_NUMBER = (int, float)
_FIELDS: Mapping[str, Mapping[str, type | tuple[type, ...]]] = {
    "run": {
        "run": str, "command": str, "started": str, "ended": str, "seconds": _NUMBER, "outcomes": dict,
        "bytes_moved": int, "bytes_freed": int, "exit": int, "filter": str, "version": str, "kaltura_calls": int,
        "s3_calls": int, "retries": int,
    },
    "entry": {
        "run": str, "command": str, "entry": str, "outcome": str, "state": str, "at": str, "bytes_moved": int,
        "bytes_freed": int, "last_played_at": (int, type(None)),
    },
}  # fmt: skip


class RunLog:
    """The log of one run: what was added within `with` is in the bucket after it, however the run ended.

    S3 cannot append, so the lines go into objects of at most `PART_BYTES`, each written once. The first begins with the
    run's totals and is written last; of the others one at a time is held in memory. A process that is killed (SIGKILL)
    leaves those it has written. Where one cannot be written, that is a warning, and no more is logged but the totals.
    """

    def __init__(
        self, store: Store, command: str, *, run: str, selection: str, totals: Totals, part_of: str = ""
    ) -> None:  # fmt: skip
        self._store = store
        self._run = run
        self._command = command
        self._selection = selection
        self._part_of = {"part_of": part_of} if part_of else {}
        self._totals = totals
        started = iso_time(totals.started_at)
        compact = started.replace("-", "").replace(":", "")
        self._key = f"{PREFIX}{started[:4]}/{started[5:7]}/{compact}-{command}-{run}"
        self._first: list[str] = []
        self._part = self._first  # the one in hand
        self._number = 1
        self._bytes = 0
        self._failed = False

    def __enter__(self) -> RunLog:
        return self

    def add(self, result: Result) -> None:
        if result.outcome not in LOGGED or self._failed:
            return
        line = _json(
            kind="entry", run=self._run, command=self._command, entry=result.entry_id, outcome=result.outcome.value,
            state=result.state, at=iso_time(result.ended_at), bytes_moved=result.bytes_moved,
            bytes_freed=result.bytes_freed, last_played_at=result.last_played_at, **self._asked_back(result),
        )  # fmt: skip
        if self._bytes + len(line) > PART_BYTES:
            self._write_part()
            self._part = []
            self._number += 1
            self._bytes = 0
        self._part.append(line)
        self._bytes += len(line)

    def _asked_back(self, result: Result) -> dict[str, int | str]:
        """Of a restore the bytes that it has begun to bring back, if any, and of a further stream its parent: a day's
        limits count them."""
        if self._command != Command.RESTORE or result.facts is None:
            return {}
        begun = asked_back_bytes(result.facts, result.steps, result.bytes_moved)
        parent = result.facts.entry.parent_of_stream
        return ({"asked_back": begun} | ({"parent": parent} if parent else {})) if begun else {}

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._failed:
            self._write_part()
        code = Exit.OK if error is None else getattr(error, "untolerated", getattr(error, "exit_code", Exit.FAILED))
        if isinstance(error, KeyboardInterrupt):
            code = Exit.INTERRUPTED
        line = _json(
            kind="run", run=self._run, command=self._command, started=iso_time(self._totals.started_at),
            ended=iso_time(time.time()), outcomes={o.value: n for o, n in self._totals.outcomes.items()},
            **self._totals.figures(), exit=int(code), filter=self._selection, version=__version__,
            **self._part_of,
        )  # fmt: skip
        self._write("", [line, *self._first])

    def _write_part(self) -> None:
        """Write the part in hand, unless it is the first."""
        if self._number > 1:
            # The key sorts behind the first one's.
            self._write(f".part{self._number:05d}", self._part)

    def _write(self, part: str, lines: list[str]) -> None:
        try:
            # Where there is one already it is ours: the answer was lost.
            self._store.put_text(f"{self._key}{part}.jsonl", "".join(lines), if_match="")
        except StoreError as error:
            if not self._failed:
                log.warning("the log of this run is not whole: %s", error)
            self._failed = True


def _json(**fields: Any) -> str:
    return json.dumps(fields, separators=(",", ":")) + "\n"


def read_day(store: Store, day: date, command: Command) -> Iterator[dict[str, Any]]:
    """The lines of this day (UTC) of all runs of a command, also of those that began on the day before."""
    for began in (day - timedelta(days=1), day):
        prefix = f"{PREFIX}{began:%Y/%m/%Y%m%d}T"
        for fields in read(store, prefix, f"-{command}-"):
            if fields.get("at", "").startswith(str(day)):
                yield fields


def read(store: Store, prefix: str = PREFIX, of: str = "") -> Iterator[dict[str, Any]]:
    """The lines of all runs, or of those whose keys begin with `prefix` and have `of` in them.

    In the order of their objects' keys: of a run its own first, then those of its entries. What is no such line is
    skipped, and told in one warning.
    """
    found = (item for page in store.pages(prefix) for item in page if item[0].endswith(".jsonl") and of in item[0])

    def text_of(item: tuple[str, int, str, Availability]) -> str | None:
        key, *_, availability = item
        if availability in (Availability.FROZEN, Availability.THAWING):
            return None
        try:
            text = store.get_text(key, MAX_READ_BYTES)
        except StoreError as error:
            if error.code != "InvalidObjectState":
                raise
            text = None  # in an archive tier, which is not listed
        return text[0] if text else None

    skipped = 0
    for text in in_order(text_of, found, threads=THREADS, room=ROOM):
        for line in ["frozen"] if text is None else text.removesuffix("\n").split("\n"):
            if fields := _parsed(line):
                yield fields
            else:
                skipped += 1
    if skipped:
        log.warning("%d lines or frozen objects under %s are no run's log: they are left out", skipped, PREFIX)


def _parsed(line: str) -> dict[str, Any] | None:
    try:
        fields = json.loads(line)
        wanted = _FIELDS[fields["kind"]]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    proper = all(name in fields and isinstance(fields[name], kind) for name, kind in wanted.items())
    return fields if proper else None
