"""Rows on stdout in five formats, escaped so that nothing in a cell can break or steer what reads them."""

from __future__ import annotations

import csv
import json
import re
import sys
import time
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TextIO

from kaltura_archiver.redact import one_line

FORMATS = ("tsv", "csv", "json", "jsonl", "table")
Cell = str | int | float | bool | None
# Rows are written so many together, and none waits for the next one longer than that once there is a next one.
ROWS_AT_ONCE = 100
ROWS_HELD_SECONDS = 0.1
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
            for line in aligned([list(self._titles), *self._kept]):
                self._line(line)
        self._flush()


def aligned(rows: Sequence[Sequence[str]], *, right: Container[int] = ()) -> Iterator[str]:
    """Lines whose columns stand below each other on a terminal, where a character may take two cells, or none.

    The first row is the titles. `right` are the columns whose cells end below each other.
    """
    from rich.cells import cell_len

    sizes = [[cell_len(cell) for cell in row] for row in rows]
    widths = [max(column) for column in zip(*sizes, strict=True)]
    for number, (row, taken) in enumerate(zip(rows, sizes, strict=True)):
        cells = []
        for column, (cell, width, size) in enumerate(zip(row, widths, taken, strict=True)):
            space = " " * (width - size)
            cells.append(space + cell if column in right else cell + space)
        yield "  ".join(cells).rstrip()
        if number == 0:
            yield "  ".join("-" * width for width in widths)


def cut(text: str, width: int) -> str:
    """The text in at most so many cells of a terminal; what is cut off is told by an ellipsis."""
    from rich.cells import cell_len, set_cell_size

    return f"{set_cell_size(text, width - 1)}…" if cell_len(text) > width else text


# What a spreadsheet takes for a formula: begun by one of these, in either width, after what nobody sees; a plain number
# is none.
_FORMULA = re.compile(r"[\s\u200c\u200d]*[=+\-@\uff1d\uff0b\uff0d\uff20]|[\t\r\n]")
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


def uncovered(cell: str) -> str:
    """A cell of a CSV without the apostrophe that `csv_cell` has put before it."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell[1:]) else cell


def readable_bytes(size: int) -> str:
    """`1.2 TiB`, for people; units of 1024."""
    amount = float(size)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if abs(amount) < 999.5:
            return f"{amount:.3g} {unit}"
        amount /= 1024
    return f"{amount:,.1f} PiB"
