"""Rows for a person at a terminal: columns below each other as they come, cut to its width, with colour by meaning."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TextIO

from kaltura_archiver.model import EntryStatus, Outcome, State
from kaltura_archiver.output.tables import Cell, Rows, cut, readable_bytes
from kaltura_archiver.redact import one_line

# The form of rows that is chosen where a person looks and no --format is given.
SCREEN = "screen"
# Rows are held until so many are known, where the widths of their columns are not known beforehand.
ROWS_HELD = 200
# What health calls entries that are wrong in a state that is not.
DAMAGED, IN_ERROR = "damaged copy", "in error"
_LEAST_CELLS = 12  # of a text that takes what the other columns leave
# What is left out first where the terminal is too narrow for all.
_LEFT_OUT = ("status", "tagged", "created_date", "bytes_freed")
_RED, _GREEN, _YELLOW, _DIM, _BOLD_RED = "31", "32", "33", "2", "1;31"
_COLOURS: dict[str, str] = {
    State.LOST: _BOLD_RED, State.EMPTY: _RED, State.UNBACKED: _RED, State.DIVERGED: _RED, State.NO_ORIGINAL: _RED,
    DAMAGED: _BOLD_RED, IN_ERROR: _RED,
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
    "outcome": _Shape("outcome", 11),
    "status": _Shape("status", 10, _status),
    "plays": _Shape("plays", 7, _number, right=True),
    "created_date": _Shape("created", 10),
    "last_played_date": _Shape("played", 10),
    "creator_id": _Shape("creator", 12),
    "owner_id": _Shape("owner", 12),
    "archived_to_s3": _Shape("archived", 8, _yes),
    "flavors_deleted": _Shape("replaced", 8, _yes),
    "original_bytes": _Shape("in Kaltura", 10, _bytes, right=True),
    "stored_bytes": _Shape("in S3", 8, _bytes, right=True),
    "size_bytes": _Shape("size", 8, _bytes, right=True),
    "bytes_moved": _Shape("moved", 8, _bytes, right=True),
    "bytes_freed": _Shape("freed", 8, _bytes, right=True),
    "tagged": _Shape("tagged", 8),
    "entries": _Shape("entries", 9, _number, right=True),
}


def _shape(column: str) -> _Shape:
    """A column that has no shape of its own is named as it is, and as wide as its cells turn out to be."""
    if column in _SHAPES:
        return _SHAPES[column]
    if column.endswith("_bytes"):
        return _Shape(column.removesuffix("_bytes"), -1, _bytes, right=True)
    return _Shape(column.replace("_", " "), -1, _plain)


def _fitting(columns: list[str], width: int) -> list[str]:
    """The columns, less those that there is no room for."""
    left = list(columns)
    for name in _LEFT_OUT:
        shapes = [_shape(column) for column in left]
        if sum(max(shape.width or _LEAST_CELLS, len(shape.title)) + 2 for shape in shapes) - 2 <= width:
            break
        left = [column for column in left if column != name]
    return left


def columns_of_terminal() -> int:
    return shutil.get_terminal_size((80, 24)).columns


class Screen:
    """Writes rows as they come. A context manager, as Rows is.

    `note` names a column that tells at length: where `fine` says that a row is not fine, it stands on lines of its own
    below the row, whole; else it is cut to what room there is behind the other columns.
    """

    def __init__(
        self, columns: Sequence[str], stream: TextIO | None = None, *, note: str = "",
        fine: Callable[[Mapping[str, Cell]], bool] = lambda _: True,
    ) -> None:  # fmt: skip
        self._note, self._fine = note, fine
        self._stream = stream or sys.stdout
        self._colours = coloured(self._stream)
        self._width = columns_of_terminal()
        self._columns = _fitting([column for column in columns if column != note], self._width)
        self._shapes = [_shape(column) for column in self._columns]
        self._held: list[Mapping[str, Cell]] | None = [] if any(shape.width < 0 for shape in self._shapes) else None
        self._widths: list[int] = []

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
        if held:  # what no row tells is left out
            self._columns = [c for c in self._columns if any(row.get(c) is not None for row in held)]
            self._shapes = [_shape(column) for column in self._columns]
        if held:
            self._begin(held)
        for cells in held:
            self._put(cells)

    def _begin(self, rows: Sequence[Mapping[str, Cell]] = ()) -> None:
        from rich.cells import cell_len

        def wide(column: str, shape: _Shape) -> int:
            cells = (cell_len(one_line(shape.words(row.get(column)))) for row in rows)
            return max(cells, default=0) if shape.width < 0 else shape.width

        pairs = list(zip(self._columns, self._shapes, strict=True))
        self._widths = [max(wide(*pair), len(pair[1].title)) for pair in pairs]
        rest = self._width - sum(self._widths) - 2 * (len(pairs) - 1)
        loose = [number for number, (_, shape) in enumerate(pairs) if shape.width == 0]
        for number in loose:
            # Beside a note in the same line a name has half of what is left.
            share = rest // (len(loose) + bool(self._note)) + len(pairs[number][1].title)
            self._widths[number] = max(_LEAST_CELLS, share)
        titles = [_fitted(s.title.upper(), w, right=s.right) for s, w in zip(self._shapes, self._widths, strict=True)]
        self._line("  ".join(titles).rstrip(), _DIM)

    def _put(self, cells: Mapping[str, Cell]) -> None:
        if not self._widths:
            self._begin()
        parts, fine = [], self._fine(cells)
        for column, shape, width in zip(self._columns, self._shapes, self._widths, strict=True):
            text = one_line(shape.words(cells.get(column)))
            colour = _COLOURS.get(text, "") if column in ("state", "outcome") else ""
            parts.append(painted(_fitted(text, width, right=shape.right), colour, wanted=self._colours))
        note = one_line(str(cells.get(self._note) or "")) if self._note else ""
        room = self._width - sum(self._widths) - 2 * len(self._widths)
        if note and fine and room >= _LEAST_CELLS:
            parts.append(painted(_fitted(note, room).rstrip(), _DIM, wanted=self._colours))
        self._line("  ".join(parts).rstrip())
        if note and not fine:
            for line in wrapped(note, self._width, indent="    "):
                self._line(line)

    def _line(self, text: str, colour: str = "") -> None:
        self._stream.write(painted(text, colour, wanted=self._colours) + "\n")
        self._stream.flush()


def _fitted(text: str, width: int, *, right: bool = False) -> str:
    """The text in exactly so many cells."""
    from rich.cells import cell_len

    text = cut(text, width)
    space = " " * (width - cell_len(text))
    return space + text if right else text + space


def wrapped(text: str, width: int, *, indent: str = "") -> Iterator[str]:
    """Lines of at most so many cells, broken between words where that is possible."""
    from rich.cells import cell_len, chop_cells

    line = indent
    for word in text.split(" "):
        for piece in chop_cells(word, max(1, width - len(indent))) or [""]:
            if line != indent and cell_len(line) + 1 + cell_len(piece) > width:
                yield line
                line = indent
            line += piece if line == indent else f" {piece}"
    if line != indent:
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
