"""Log lines on stderr, as text or JSON."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from kaltura_archiver.model import iso_time
from kaltura_archiver.output.tables import to_json
from kaltura_archiver.redact import RedactingFilter, one_line, redact

_INDENT = " " * 9  # below the text of a line that begins with a time of day
_RUN_FIELDS = ("run", "mode", "kind", "entry", "action")


def _log_line(at: str, fields: Mapping[str, Any], message: str) -> str:
    run = [f"run={one_line(str(fields['run']))}"] if fields.get("run") else []
    told = [one_line(redact(str(fields[name]))) for name in _RUN_FIELDS[1:] if fields.get(name)]
    return " ".join([at, fields["level"], *run, *told, message])


def readable(line: str) -> str:
    """A log line of ours, in either form, as text; anything else as it is."""
    if not line.startswith("{"):
        return line
    try:
        fields = json.loads(line)
        return one_line(_log_line(f"{fields['time'][:19]}Z", fields, fields["message"]))
    except (ValueError, TypeError, KeyError, RecursionError):
        return line


class _TerminalFormatter(logging.Formatter):
    """Short, for who watches: the time of day, what is more than a note, and what is told."""

    def format(self, record: logging.LogRecord) -> str:
        level = "" if record.levelno <= logging.INFO else f"{record.levelname.lower()}: "
        entry = ""
        if getattr(record, "kind", "") in ("entry", "step"):
            named = f' "{name}"' if (name := getattr(record, "entry_name", "")) else ""
            entry = one_line(redact(f"{vars(record)['entry']}{named} "))
        at = datetime.fromtimestamp(record.created).strftime("%H:%M:%S")  # noqa: DTZ006 - as the clock on the wall
        text = "\n".join(_for_eyes(f"{at} {level}{entry}", record.getMessage(), getattr(record, "to_type", "")))
        return f"{text}\n{record.exc_text}" if record.exc_text else text


def _for_eyes(head: str, message: str, to_type: str) -> Iterator[str]:
    """Lines of the terminal's width. What is `to_type`, at the end, stays whole, so that it can be copied."""
    from kaltura_archiver.output.screen import columns_of_terminal, shortened, wrapped

    width = columns_of_terminal(sys.stderr)
    if len(head + message) <= width and message.isascii():
        yield head + shortened(message)
        return
    told = message.removesuffix(to_type)
    yield from wrapped(shortened(told).rstrip(), width, indent=_INDENT, head=head)
    if told != message:
        yield _INDENT + to_type


class _TextFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = {**vars(record), "level": record.levelname}
        text = _log_line(iso_time(record.created), fields, record.getMessage())
        return f"{text}\n{record.exc_text}" if record.exc_text else text


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        fields: dict[str, Any] = {"time": at, "level": record.levelname}
        named = (*_RUN_FIELDS, "entry_name", "outcome")
        fields |= {name: redact(str(value)) for name in named if (value := getattr(record, name, ""))}
        fields["message"] = record.getMessage()
        if record.exc_text:
            fields["trace"] = record.exc_text
        return to_json(fields | getattr(record, "metrics", {}))


def new_run() -> str:
    """An id of a run."""
    return os.urandom(4).hex()


def mark_lines() -> str:
    """Give every log line of this process from now on the id of a run, a new one; returns it."""
    run = new_run()

    def factory(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = logging.LogRecord(*args, **kwargs)
        record.run = run
        return record

    logging.setLogRecordFactory(factory)
    return run


@contextmanager
def without_entries() -> Iterator[None]:
    """Within it, how single entries end (kind `entry`, or `in_rows`) is not logged, where a person sees rows of it."""

    def passes(record: logging.LogRecord) -> bool:
        return getattr(record, "kind", "") != "entry" and not getattr(record, "in_rows", False)

    handlers = list(logging.getLogger().handlers) if sys.stderr.isatty() and not logs_json() else []
    for handler in handlers:
        handler.addFilter(passes)
    try:
        yield
    finally:
        for handler in handlers:
            handler.removeFilter(passes)


def logs_json() -> bool:
    """Whether log lines are JSON."""
    return any(isinstance(handler.formatter, _JsonFormatter) for handler in logging.getLogger().handlers)


def set_up_logging(level: str, style: str) -> None:
    """Send this program's log lines to stderr, redacted. Libraries are heard from WARNING on, at DEBUG too: their
    debug lines carry whole requests."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        _JsonFormatter() if style == "json" else _TerminalFormatter() if sys.stderr.isatty() else _TextFormatter()
    )
    handler.addFilter(RedactingFilter())
    logging.setLogRecordFactory(logging.LogRecord)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for noisy in ("urllib3", "botocore", "boto3"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    logging.getLogger("kaltura_archiver").setLevel(level)
