"""Rows for a person at a terminal: columns below each other as they come, cut to its width, with colour by meaning."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Protocol, TextIO

from kaltura_archiver.model import EntryStatus, Outcome, State
from kaltura_archiver.output.tables import Cell, Rows, cut, readable_bytes
from kaltura_archiver.redact import one_line

# The form of rows that is chosen where a person looks and no --format is given.
SCREEN = "screen"
# Rows are held until so many are known, where the widths of their columns are not known beforehand.
ROWS_HELD = 200
# What health calls entries that are wrong in a state that is not.
DAMAGED, EXPIRING, IN_ERROR = "damaged copy", "expiring", "in error"
_LEAST_CELLS = 12  # of a text that takes what the other columns leave
_NAME_CELLS = 32  # of a name that has a note beside it
_LEAST_NOTE = 24  # of a note in the same line: less than that tells nothing
# What is left out first where the terminal is too narrow for all.
_LEFT_OUT = (
    "status", "tagged", "created_date", "created", "bytes_freed", "plays", "pays_from", "restores_month", "last_played",
    "s3_month", "unit",
)  # fmt: skip
_RED, _GREEN, _YELLOW, _DIM, _BOLD_RED = "31", "32", "33", "2", "1;31"
_COLOURS: dict[str, str] = {
    State.LOST: _BOLD_RED, State.EMPTY: _RED, State.UNBACKED: _RED, State.DIVERGED: _RED, State.NO_ORIGINAL: _RED,
    DAMAGED: _BOLD_RED, EXPIRING: _BOLD_RED, IN_ERROR: _RED,
    State.UNSETTLED: _YELLOW, State.HALF_TAGGED: _YELLOW, State.HALF_THIN: _YELLOW, State.UNTAGGED: _YELLOW,
    State.BUSY: _YELLOW,
    Outcome.DONE: _GREEN, Outcome.WOULD: _GREEN, Outcome.ALREADY: _DIM, Outcome.SKIPPED: _DIM,
    Outcome.WAITING: _YELLOW, Outcome.REFUSED: _YELLOW, Outcome.DRIFTED: _YELLOW, Outcome.INTERRUPTED: _YELLOW,
    Outcome.FAILED: _RED,
}  # fmt: skip


# What --color says; None: what the environment and the stream say.
CHOSEN: bool | None = None


def coloured(stream: TextIO) -> bool:
    """Whether colours are wanted there: NO_COLOR, CLICOLOR_FORCE, CLICOLOR and TERM=dumb are heeded (no-color.org,
    bixense.com/clicolors), unless --color says."""
    if CHOSEN is not None:
        return CHOSEN
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("CLICOLOR_FORCE", "0") != "0":
        return True
    return os.environ.get("CLICOLOR", "1") != "0" and os.environ.get("TERM", "dumb") != "dumb" and stream.isatty()


def painted(text: str, colour: str, *, wanted: bool = True) -> str:
    return f"\x1b[{colour}m{text}\x1b[0m" if wanted and colour and text else text


def colour_of(word: str) -> str:
    """That of a state or an outcome; empty where it has none."""
    return _COLOURS.get(word, "")


def _number(value: Cell) -> str:
    return f"{value:,}" if isinstance(value, int) else "" if value is None else str(value)


def _bytes(value: Cell) -> str:
    return readable_bytes(value) if value and isinstance(value, int) else "-"


def _plain(value: Cell) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return "<0.01" if 0 < value < 0.005 else f"{value:,.2f}"
    return _number(value)


def _money(value: Cell) -> str:
    """In the currency of the prices, which the sum at the end names."""
    return "-" if value == 0 else _plain(value)


def _rate(value: Cell) -> str:
    """A price per GB and month: most are a few cents."""
    return f"{value:.3g}" if isinstance(value, float) else _number(value)


def _status(value: Cell) -> str:
    return EntryStatus(value).name if value in set(EntryStatus) else str(value)


def _yes(value: Cell) -> str:
    return {True: "yes", False: ""}.get(value, "") if isinstance(value, bool) else str(value or "")


@dataclass(frozen=True)
class _Shape:
    """How a column looks: its title, its cells' width (0: what is left), its values in words."""

    title: str
    width: int
    words: Callable[[Cell], str] = lambda value: "" if value is None else str(value)
    right: bool = False


_SHAPES = {
    "entry_id": _Shape("entry", 10),
    "flavor_id": _Shape("flavor", 10),
    "name": _Shape("name", 0),
    "state": _Shape("state", 11),
    "rule": _Shape("rule", 20),
    "stage": _Shape("stage", 7),
    "opens_date": _Shape("from", 10),
    "outcome": _Shape("outcome", 11),
    "status": _Shape("status", 10, _status),
    "plays": _Shape("plays", 7, _number, right=True),
    "created_date": _Shape("created", 10),
    "created": _Shape("created", 10),
    "last_played_date": _Shape("played", 10),
    "last_played": _Shape("played", 10),
    "creator_id": _Shape("creator", 12),
    "owner_id": _Shape("owner", 12),
    "owner": _Shape("owner", 12),
    "unit": _Shape("unit", 12),
    "archived_to_s3": _Shape("archived", 8, _yes),
    "flavors_deleted": _Shape("replaced", 8, _yes),
    "original_bytes": _Shape("in Kaltura", 10, _bytes, right=True),
    "stored_bytes": _Shape("in S3", 8, _bytes, right=True),
    "size_bytes": _Shape("size", 8, _bytes, right=True),
    "bytes": _Shape("size", 8, _bytes, right=True),
    "bytes_moved": _Shape("moved", 8, _bytes, right=True),
    "bytes_freed": _Shape("freed", 8, _bytes, right=True),
    "tagged": _Shape("tagged", 8),
    "entries": _Shape("entries", 9, _number, right=True),
    "restores_month": _Shape("restores/month", -1, _plain),
    "s3_month": _Shape("S3/month", -1, _money, right=True),
    "kaltura_month": _Shape("Kaltura/month", -1, _money, right=True),
    "saved_month": _Shape("saved/month", -1, _money, right=True),
    "pays_from": _Shape("pays from", -1, _rate, right=True),
}


def _shape(column: str) -> _Shape:
    """A column that has no shape of its own is named as it is, and as wide as its cells turn out to be."""
    if column in _SHAPES:
        return _SHAPES[column]
    if column.endswith("_bytes"):
        return _Shape(column.removesuffix("_bytes"), -1, _bytes, right=True)
    return _Shape(column.replace("_", " "), -1, _plain)


def _fitting(widths: Mapping[str, int], width: int) -> dict[str, int]:
    """Of these columns, with so many cells, those that there is room for. If what cannot be left out is still too wide,
    the widest one is cut."""
    left = dict(widths)
    for name in _LEFT_OUT:
        if _over(left, width) <= 0:
            break
        left.pop(name, None)
    while _over(left, width) > 0 and max(left.values()) > 1:
        left[max(left, key=left.__getitem__)] -= 1
    return left


def _over(widths: Mapping[str, int], width: int) -> int:
    """How many cells too many these columns take."""
    return sum(widths.values()) + 2 * (len(widths) - 1) - width


def columns_of_terminal(stream: TextIO | None = None) -> int:
    """COLUMNS, or what the terminal behind the stream [stdout] says, or 80."""
    with suppress(KeyError, ValueError):
        return max(1, int(os.environ["COLUMNS"]))
    with suppress(OSError, ValueError, AttributeError):
        return os.get_terminal_size((stream or sys.stdout).fileno()).columns or 80
    return 80


def shortened(text: str) -> str:
    """With the first digits only of each SHA-256: no person reads the others, and rows for scripts have them whole."""
    return re.sub(r"\b([0-9a-f]{12})[0-9a-f]{52}\b", r"\1…", text)


class Screen:
    """Writes rows as they come. A context manager, as Rows is.

    `note` names a column that tells at length: where `fine` says that a row is not fine, it stands on lines of its own
    below the row, whole; else it is cut to what room there is behind the other columns, or else below.
    """

    def __init__(
        self, columns: Sequence[str], stream: TextIO | None = None, *, note: str = "",
        fine: Callable[[Mapping[str, Cell]], bool] = lambda _: True, colours: bool | None = None,
    ) -> None:  # fmt: skip
        self._note, self._fine = note, fine
        self._stream = stream or sys.stdout
        self._colours = coloured(self._stream) if colours is None else colours
        self._width = columns_of_terminal()
        self._shapes = {column: _shape(column) for column in columns if column != note}
        self._held: list[Mapping[str, Cell]] | None = None
        if any(shape.width < 0 for shape in self._shapes.values()):
            self._held = []
        self._widths: dict[str, int] = {}  # of the columns that are shown

    def __enter__(self) -> Screen:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._release()
        self._stream.flush()

    def write(self, cells: Mapping[str, Cell]) -> None:
        """One row, by the names of its columns."""
        if self._held is not None:
            self._held.append(cells)
            if len(self._held) < ROWS_HELD:
                return
            self._release()
        else:
            self._put(cells)

    def _release(self) -> None:
        held, self._held = self._held or [], None
        if held:
            self._begin(held)
        for cells in held:
            self._put(cells)

    def _begin(self, rows: Sequence[Mapping[str, Cell]] = ()) -> None:
        """Write the titles; the widths are those of the shapes, or of these rows, which then are all or the first."""
        if rows:  # what no row tells is left out
            self._shapes = {
                column: _as_seen(shape, [row.get(column) for row in rows])
                for column, shape in self._shapes.items()
                if any(row.get(column) is not None for row in rows)
            }
        least = {c: max(shape.width or _LEAST_CELLS, len(shape.title)) for c, shape in self._shapes.items()}
        self._widths = _fitting(least, self._width)
        loose = [column for column in self._widths if self._shapes[column].width == 0]
        rest = self._width - sum(self._widths.values()) - 2 * (len(self._widths) - 1)
        for column in loose:
            # Beside a note in the same line a name has half of what is left, and no more than it usually needs.
            share = min(rest // 2, _NAME_CELLS - _LEAST_CELLS) if self._note else rest
            self._widths[column] += max(0, share // len(loose))
        titles = (
            _fitted(self._shapes[column].title.upper(), width, right=self._shapes[column].right)
            for column, width in self._widths.items()
        )
        self._line("  ".join(titles).rstrip(), _DIM)

    def _put(self, cells: Mapping[str, Cell]) -> None:
        if not self._widths:
            self._begin()
        parts, fine = [], self._fine(cells)
        for column, width in self._widths.items():
            shape = self._shapes[column]
            text = one_line(shape.words(cells.get(column)))
            colour = _COLOURS.get(text, "") if column in ("state", "outcome") else ""
            parts.append(painted(_fitted(text, width, right=shape.right), colour, wanted=self._colours))
        note = shortened(one_line(str(cells.get(self._note) or ""))) if self._note else ""
        room = self._width - sum(self._widths.values()) - 2 * len(self._widths)
        if note and fine and room >= _LEAST_NOTE:
            parts.append(painted(_fitted(note, room).rstrip(), _DIM, wanted=self._colours))
        self._line("  ".join(parts).rstrip())
        if note and fine and room < _LEAST_NOTE:
            self._line(cut(f"    {note}", self._width), _DIM)
        if note and not fine:
            for line in wrapped(note, self._width, indent="    "):
                self._line(line)

    def _line(self, text: str, colour: str = "") -> None:
        self._stream.write(painted(text, colour, wanted=self._colours) + "\n")
        self._stream.flush()


def _as_seen(shape: _Shape, cells: Sequence[Cell]) -> _Shape:
    """The shape with the width that these cells need, and to the right if they are numbers, where it names no width."""
    from rich.cells import cell_len

    if shape.width >= 0:
        return shape
    told = [cell for cell in cells if cell is not None]
    numbers = all(isinstance(cell, int | float) and not isinstance(cell, bool) for cell in told)
    width = max(cell_len(one_line(shape.words(cell))) for cell in cells)
    return replace(shape, width=max(width, 1), right=shape.right or numbers)


def _fitted(text: str, width: int, *, right: bool = False) -> str:
    """The text in exactly so many cells."""
    from rich.cells import cell_len

    text = cut(text, width)
    space = " " * (width - cell_len(text))
    return space + text if right else text + space


def wrapped(text: str, width: int, *, indent: str = "", head: str | None = None) -> Iterator[str]:
    """Lines of at most so many cells, broken between words where that is possible; the first begins with `head`."""
    from rich.cells import cell_len, chop_cells

    line = begin = indent if head is None else head
    for word in text.split(" "):
        for piece in chop_cells(word, max(1, width - len(indent))) or [""]:
            if cell_len(line) > len(indent) and cell_len(line) + (line != begin) + cell_len(piece) > width:
                yield line.rstrip()
                line = begin = indent
            line += piece if line == begin else f" {piece}"
    if line != begin:
        yield line


class RowWriter(Protocol):
    """Rows or Screen."""

    def __enter__(self) -> RowWriter: ...
    def __exit__(self, kind: object, error: object, trace: object, /) -> None: ...
    def write(self, cells: Mapping[str, Cell], /) -> None: ...


def rows_as(
    style: str, columns: Sequence[str], stream: TextIO | None = None, *, titles: Sequence[str] | None = None,
    **screen: Any,
) -> RowWriter:  # fmt: skip
    """What writes rows of these columns in that form; `screen` is what `Screen` takes beside them."""
    if style == SCREEN:
        return Screen(columns, stream, **screen)
    return Rows(columns, style, stream, titles=titles)
