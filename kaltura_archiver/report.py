"""What people see: rows on stdout in five formats, log lines on stderr, the summary of a run and its exit status."""

from __future__ import annotations

import csv
import json
import logging
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

from kaltura_archiver.errors import Exit
from kaltura_archiver.model import UNREADABLE, Cause, Entry, Facts, FlavorAsset, Outcome, State, iso_date, iso_time
from kaltura_archiver.redact import RedactingFilter, one_line, redact
from kaltura_archiver.states import Judgement, sizes_agree

if TYPE_CHECKING:
    from kaltura_archiver.apply import Result
    from kaltura_archiver.pacing import Traffic

FORMATS = ("tsv", "csv", "json", "jsonl", "table")
Cell = str | int | float | bool | None
# Rows are written so many together, and none waits for the next one longer than that once there is a next one.
ROWS_AT_ONCE = 100
ROWS_HELD_SECONDS = 0.1

# Those of the old tool in its order, for joins by position; what it did not know is appended. What they held then, and
# hold now: docs/migrating.md.
OLD_LIST_COLUMNS = (
    "last_played_date", "plays", "entry_id", "status", "archived_to_s3", "flavors_deleted", "created_date", "created",
    "creator_id", "category_ids", "categories",
)  # fmt: skip
LIST_COLUMNS = (*OLD_LIST_COLUMNS, "owner_id")
FLAVOR_COLUMNS = ("entry_id", "flavor_id", "original", "size_KB", "created_date", "deleted_date", "status")
OLD_HEALTH_COLUMNS = (
    "entry_id", "status-ok", "original", "orig_status", "archived_to_s3", "flavors_deleted", "created_date", "s3-size",
    "orig_KB", "size_match", "message",
)  # fmt: skip
HEALTH_COLUMNS = (*OLD_HEALTH_COLUMNS, "original_id", "original_bytes", "stored_bytes")
# May be asked for by --columns, beside the default ones.
MORE_LIST_COLUMNS = ("name", "tags", "duration_seconds")
MORE_FLAVOR_COLUMNS = ("version", "size_bytes", "file_ext")
MORE_HEALTH_COLUMNS = (
    "state",
    "why",
    "next",
    "identity",
    "evidence",
    "storage_class",
    "availability",
    "verified_at",
    "name",
)
# What of these only the tags of a stored copy tell.
COLUMNS_OF_TAGS = frozenset({"identity", "evidence", "verified_at"})
RESULT_COLUMNS = ("entry_id", "state", "outcome", "bytes_moved", "bytes_freed", "detail")
COUNT_COLUMNS = ("count", "filter")
DOWNLOAD_COLUMNS = ("entry_id", "source", "bytes", "sha256", "file")
STATS_COLUMNS = (
    "section", "key", "entries", "kaltura_bytes", "stored_bytes", "freed_bytes", "restores_month", "s3_month",
    "saved_month", "pays_from",
)  # fmt: skip
MORE_STATS_COLUMNS = (
    "restores_month_most", "kaltura_month", "restores_cost_month", "upload_cost", "paid_back_months",
)  # fmt: skip
TASK_COLUMNS = ("task", "definition", "cluster", "log_group", "log_stream")


_ESCAPED = {"t": "\t", "n": "\n", "r": "\r", "\\": "\\"}
_ESCAPE = re.compile(r"\\(x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8}|.|$)", re.DOTALL)


def _shown(value: Cell) -> str:
    return "" if value is None else str(value)


def unescape_tsv(cell: str) -> str:
    """The value that `escape_tsv` wrote so; ValueError or OverflowError for an escape that it never writes."""
    return _ESCAPE.sub(_unescaped, cell) if "\\" in cell else cell


def _unescaped(match: re.Match[str]) -> str:
    escape = match.group(1)
    if escape in _ESCAPED:
        return _ESCAPED[escape]
    if len(escape) < 2:
        raise ValueError(f"\\{escape}")
    return chr(int(escape[1:], 16))


def escape_tsv(value: Cell) -> str:
    r"""One cell of a TSV: tab, newline and backslash as ``\t \n \\``, other control characters likewise."""
    text = _shown(value)
    return text if text.isprintable() and "\\" not in text else one_line(text.replace("\\", "\\\\"))


def to_json(value: Any, indent: int | None = None) -> str:
    """JSON in UTF-8, with what no terminal or line reader should meet (C1 controls, U+2028 …) escaped."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    return "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)


class _Into(NamedTuple):
    """What `csv` takes for a file."""

    write: Callable[[str], None]


class Rows:
    """Writes rows as they come (`table` at the end, when the widths are known). A context manager."""

    def __init__(
        self, columns: Sequence[str], style: str, stream: TextIO | None = None, *, titles: Sequence[str] | None = None
    ) -> None:
        """`titles` are what to show as the names of the columns, where that differs."""
        self._columns = columns
        self._titles = titles or columns
        self._style = style
        self._stream = stream or sys.stdout
        self._kept: list[list[str]] = []
        self._written = 0
        # Every write gives way to the other threads, and reaches the system at once if Python does not buffer.
        self._pending: list[str] = []
        self._flushed = 0.0
        self._csv = csv.writer(_Into(self._pending.append), lineterminator="\n")

    def __enter__(self) -> Rows:
        if self._style == "tsv":
            self._line("\t".join(escape_tsv(title) for title in self._titles))
        elif self._style == "csv":
            self._csv.writerow([csv_cell(title) for title in self._titles])
        elif self._style == "json":
            self._pending.append("[")
        return self

    def _line(self, text: str) -> None:
        self._pending.append(text + "\n")

    def _flush(self) -> None:
        text = "".join(self._pending)
        self._pending.clear()
        self._stream.write(text)
        self._stream.flush()
        self._flushed = time.monotonic()

    def write(self, cells: Mapping[str, Cell]) -> None:
        """One row; of `cells` only the columns asked for are written, a missing one is empty."""
        row = [cells.get(column) for column in self._columns]
        if self._style == "tsv":
            self._line("\t".join(map(escape_tsv, row)))
        elif self._style == "csv":
            self._csv.writerow([csv_cell(value) for value in row])
        elif self._style == "table":
            self._kept.append([one_line(_shown(value)) for value in row])
        else:
            text = to_json(dict(zip(self._titles, row, strict=True)))
            self._pending.append(f"{',' if self._written else ''}\n  {text}" if self._style == "json" else f"{text}\n")
        self._written += 1
        if len(self._pending) >= ROWS_AT_ONCE or time.monotonic() - self._flushed >= ROWS_HELD_SECONDS:
            self._flush()

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if self._style == "json":
            self._pending.append("\n]\n" if self._written else "]\n")
        elif self._style == "table":
            widths = [max(len(row[i]) for row in [list(self._titles), *self._kept]) for i in range(len(self._titles))]
            for row in [list(self._titles), ["-" * width for width in widths], *self._kept]:
                self._line("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        self._flush()


def readable_bytes(size: int) -> str:
    """`1.2 TiB`, for people; units of 1024."""
    amount = float(size)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if abs(amount) < 999.5:
            return f"{amount:.3g} {unit}"
        amount /= 1024
    return f"{amount:,.1f} PiB"


# What a spreadsheet takes for a formula: begun by one of these, in either width; a plain number is none.
_FORMULA = re.compile(r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20]|[\t\r\n]")
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")


def csv_cell(value: Cell, *, numbers: bool = True, breaks: str = "\n\t") -> str:
    """A cell of any CSV that we write: no formula, and no character that steers a terminal.

    Text that a spreadsheet would take for a formula begins with an apostrophe; with `numbers` a text that is a number
    stays one. `breaks` are the quoting's business, other control characters are escaped.
    """
    text = "".join(c if c.isprintable() or c in breaks else one_line(c) for c in _shown(value))
    if isinstance(value, str) and _FORMULA.match(value) and not (numbers and _NUMBER.fullmatch(value)):
        return f"'{text}"
    return text


def list_row(entry: Entry) -> dict[str, Cell]:
    return {
        "last_played_date": iso_date(entry.last_played_at) or None,
        "plays": entry.plays,
        "entry_id": entry.id,
        "status": entry.status,
        "archived_to_s3": entry.archived,
        "flavors_deleted": entry.replaced,
        "created_date": iso_date(entry.created_at),
        "created": entry.created_at,
        "creator_id": entry.creator_id or None,
        "category_ids": ",".join(entry.category_ids) or None,
        "categories": entry.categories or None,
        "owner_id": entry.owner or None,
        "name": entry.name or None,
        "tags": ", ".join(entry.tags) or None,
        "duration_seconds": entry.duration_seconds,
    }


def flavor_row(flavor: FlavorAsset) -> dict[str, Cell]:
    return {
        "entry_id": flavor.entry_id,
        "flavor_id": flavor.id,
        "original": flavor.is_original,
        "size_KB": flavor.kilobytes,
        "created_date": iso_date(flavor.created_at) or None,
        "deleted_date": iso_date(flavor.deleted_at) or None,
        "status": flavor.odd or flavor.status.name,
        "version": flavor.version,
        "size_bytes": flavor.size_bytes,
        "file_ext": flavor.file_ext or None,
    }


def health_row(facts: Facts, judgement: Judgement) -> dict[str, Cell]:
    entry, original, stored = facts.entry, facts.original, facts.stored
    size_kb = original.kilobytes if original else None
    match = None
    if original and stored:
        if original.size_bytes:
            match = original.size_bytes == stored.size_bytes
        elif size_kb is not None:
            match = sizes_agree(size_kb, stored.size_bytes)
    return {
        "entry_id": entry.id,
        "status-ok": judgement.healthy,
        "original": original is not None,
        "orig_status": original.status.name if original else None,
        "archived_to_s3": entry.archived,
        "flavors_deleted": entry.replaced,
        "created_date": iso_date(entry.created_at),
        "s3-size": stored.size_bytes if stored else None,
        "orig_KB": size_kb,
        "size_match": match,
        "message": health_message(facts, judgement),
        "state": judgement.state.value,
        "why": judgement.why,
        "next": judgement.hint or None,
        "identity": judgement.identity.value,
        "evidence": judgement.identity_why,
        "storage_class": stored.storage_class if stored else None,
        "availability": stored.availability.value if stored else None,
        "verified_at": (stored.verified_at or None) if stored else None,
        "name": entry.name or None,
        "original_id": original.id if original else None,
        "original_bytes": original.size_bytes if original else None,
        "stored_bytes": stored.size_bytes if stored else None,
    }


def health_message(facts: Facts, judgement: Judgement) -> str:
    """The state's name, then HEALTHY, or what is wrong and what to do; of a stored copy also when it was verified,
    if its tags were read; and whether Kaltura can tell the duration of what was archived, and perhaps restored."""
    text = "HEALTHY" if judgement.healthy else f"{judgement.why}; {judgement.hint}"
    verified = f", {_verified(facts)}" if facts.stored and facts.stored.complete else ""
    parent = f"; a further stream of {facts.entry.parent_entry_id}" if facts.entry.parent_entry_id else ""
    unreadable = f"; {UNREADABLE}" if facts.entry.unreadable and judgement.state is State.ARCHIVED else ""
    return f"{judgement.state}: {text}{verified}{parent}{unreadable}"


def _verified(facts: Facts) -> str:
    if facts.stored and facts.stored.damaged_at:
        return f"DAMAGED {facts.stored.damaged_at[:10]}"
    if facts.stored and facts.stored.overwritten:
        return "OVERWRITTEN"
    return f"verified {(facts.stored.verified_at if facts.stored else '')[:10] or 'never'}"


# What an outcome makes of the exit status, where it is not 0.
EXITS = {Outcome.FAILED: Exit.FAILED} | dict.fromkeys(
    (Outcome.WAITING, Outcome.REFUSED, Outcome.DRIFTED, Outcome.INTERRUPTED), Exit.WAITING
)


def result_row(result: Result) -> dict[str, Cell]:
    return {
        "entry_id": result.entry_id,
        "state": result.state or None,
        "outcome": result.outcome.value,
        "bytes_moved": result.bytes_moved,
        "bytes_freed": result.bytes_freed,
        "detail": redact(result.detail) or None,
    }


def exits_of(outcomes: Iterable[Outcome]) -> set[Exit]:
    """The exit statuses that these outcomes add up to."""
    return {EXITS.get(outcome, Exit.OK) for outcome in outcomes}


def exit_of_health(judgement: Judgement) -> Exit:
    """What this entry alone makes of the exit status of `health`."""
    if judgement.healthy:
        return Exit.OK
    return Exit.WAITING if judgement.state is State.BUSY and judgement.sound else Exit.FAILED


# How many entries ended how, and why.
Causes = Counter[tuple[Outcome, Cause | None]]


def counted(causes: Causes) -> str:
    """`done 12, skipped 5 (3 too young: --min-age-years)`; empty for no entries."""

    def one(outcome: Outcome) -> str:
        why = ", ".join(f"{causes[outcome, cause]} {cause}" for cause in Cause if causes[outcome, cause])
        number = causes[outcome, None] + sum(causes[outcome, cause] for cause in Cause)
        return f"{outcome} {number}{f' ({why})' if why else ''}" if number else ""

    return ", ".join(filter(None, map(one, Outcome)))


class Totals:
    """What a run has done so far. `traffic` tells how many requests it has made."""

    def __init__(self, traffic: Callable[[], Traffic]) -> None:
        self.started_at = time.time()
        self._began = time.monotonic()
        self._traffic = traffic
        self.outcomes: Counter[Outcome] = Counter()
        self.causes: Causes = Counter()
        self.bytes_moved = self.bytes_freed = 0

    def add(self, result: Result) -> None:
        self.outcomes[result.outcome] += 1
        self.causes[result.outcome, result.cause] += 1
        self.bytes_moved += result.bytes_moved
        self.bytes_freed += result.bytes_freed

    def figures(self) -> dict[str, int | float]:
        """The figures of the run until now, beside its outcomes."""
        seconds = round(time.monotonic() - self._began, 1)
        moved = {"bytes_moved": self.bytes_moved, "bytes_freed": self.bytes_freed}
        return {"seconds": seconds, **moved, **asdict(self._traffic())}

    def counts(self) -> str:
        """`done 12, failed 1`"""
        return counted(self.causes)

    def __str__(self) -> str:
        """The summary of the run."""
        figures = self.figures()
        return (
            f"summary: {self.counts() or 'nothing to do'}; bytes moved {self.bytes_moved}, "
            f"bytes freed {self.bytes_freed}; {self.outcomes.total()} entries in {figures['seconds']} s"
        )


NAMESPACE = "KalturaArchiver"
# What CloudWatch makes of a run: the name of the metric, its unit, and whose figure it is.
METRICS = (
    ("Done", "Count", Outcome.DONE), ("Failed", "Count", Outcome.FAILED), ("Waiting", "Count", Outcome.WAITING),
    ("BytesMoved", "Bytes", "bytes_moved"), ("BytesFreed", "Bytes", "bytes_freed"), ("Seconds", "Seconds", "seconds"),
    ("KalturaCalls", "Count", "kaltura_calls"), ("S3Calls", "Count", "s3_calls"), ("Retries", "Count", "retries"),
)  # fmt: skip


def metrics(totals: Totals, *, bucket: str, command: str) -> dict[str, Any]:
    """The members of a JSON log line by which CloudWatch Logs takes the run's figures for metrics.

    Source: CloudWatch's "Embedded metric format" specification.
    """
    figures: dict[str, int | float] = {**{str(o): n for o, n in totals.outcomes.items()}, **totals.figures()}
    directive = {
        "Namespace": NAMESPACE,
        "Dimensions": [["Bucket", "Command"]],
        "Metrics": [{"Name": name, "Unit": unit} for name, unit, _ in METRICS],
    }
    return {
        "_aws": {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [directive]},
        "Bucket": bucket,
        "Command": command,
        **{name: figures.get(figure, 0) for name, _, figure in METRICS},
    }


# Log lines

_RUN_FIELDS = ("run", "mode", "kind", "entry", "action")


def _text(at: str, fields: Mapping[str, Any], message: str) -> str:
    run = [f"run={one_line(str(fields['run']))}"] if fields.get("run") else []
    told = [one_line(redact(str(fields[name]))) for name in _RUN_FIELDS[1:] if fields.get(name)]
    return " ".join([at, fields["level"], *run, *told, message])


def readable(line: str) -> str:
    """A log line of ours, in either form, as text; anything else as it is."""
    if not line.startswith("{"):
        return line
    try:
        fields = json.loads(line)
        return one_line(_text(f"{fields['time'][:19]}Z", fields, fields["message"]))
    except (ValueError, TypeError, KeyError, RecursionError):
        return line


class _TextFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = {**vars(record), "level": record.levelname}
        text = _text(iso_time(record.created), fields, record.getMessage())
        return f"{text}\n{record.exc_text}" if record.exc_text else text


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        fields: dict[str, Any] = {"time": at, "level": record.levelname}
        fields |= {n: getattr(record, n) for n in (*_RUN_FIELDS, "outcome") if getattr(record, n, "")}
        fields["message"] = record.getMessage()
        if record.exc_text:
            fields["trace"] = record.exc_text
        return to_json(fields | getattr(record, "metrics", {}))


def mark_lines() -> str:
    """Give every log line of this process from now on the id of a run, a new one; returns it."""
    run = os.urandom(4).hex()

    def factory(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = logging.LogRecord(*args, **kwargs)
        record.run = run
        return record

    logging.setLogRecordFactory(factory)
    return run


def logs_json() -> bool:
    """Whether log lines are JSON."""
    return any(isinstance(handler.formatter, _JsonFormatter) for handler in logging.getLogger().handlers)


def set_up_logging(level: str, style: str) -> None:
    """Send this program's log lines to stderr, redacted. Libraries are heard from WARNING on, at DEBUG too: their
    debug lines carry whole requests."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter() if style == "json" else _TextFormatter())
    handler.addFilter(RedactingFilter())
    logging.setLogRecordFactory(logging.LogRecord)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for noisy in ("urllib3", "botocore", "boto3"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    logging.getLogger("kaltura_archiver").setLevel(level)
