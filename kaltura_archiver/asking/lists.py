"""Ids and users that stand in files."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from kaltura_archiver.asking.words import ENTRY_ID
from kaltura_archiver.envfile import read_text
from kaltura_archiver.errors import ConfigError, SelectionError
from kaltura_archiver.keep import checked_owner, checked_owners


def read_ids(idfile: str, what: str = "--idfile", *, may_be_empty: bool = False) -> tuple[str, ...]:
    """The ids of a file, in their order, each once: one per line, or the column entry_id of a CSV or TSV.

    Empty lines and those that begin with # are left out; ids may be quoted. `what` asked for the file.
    """
    ids = dict.fromkeys(listed.entry_id for listed in lines_in(list_text(idfile, what), f"{what} {idfile}"))
    if not ids and not may_be_empty:
        raise SelectionError(f"{what} {idfile} holds no entry id")
    return tuple(ids)


def list_text(file: str, what: str) -> str:
    """The text of a list that was asked for as `what`; - is stdin."""
    try:
        raw = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise SelectionError(f"cannot read {what} {file}: {error.strerror}") from error
    return raw.decode("utf-8-sig", errors="replace")


class ListLine(NamedTuple):
    """A line of a list, its number, and what stands in the columns that were asked for beside the id: empty where a
    table has no such column, or the list is none."""

    line: int
    entry_id: str
    more: tuple[str, ...] = ()


def lines_in(text: str, where: str, *columns: str) -> Iterator[ListLine]:
    """The lines of a list with an entry's id. Raises SelectionError for what is none."""
    try:
        for listed in _cells_with_ids(text.removeprefix("\ufeff"), columns):
            if not ENTRY_ID.fullmatch(listed.entry_id):
                table = "; a table needs a column entry_id or id" if {*",;"} & {*listed.entry_id} else ""
                raise SelectionError(f"{where}, line {listed.line}: {listed.entry_id[:40]!r} is not an entry id{table}")
            yield listed
    except csv.Error as error:
        raise SelectionError(f"{where} is no CSV: {error}") from error


def _cells_with_ids(text: str, columns: tuple[str, ...]) -> Iterator[ListLine]:
    """What stands in each line as an entry's id, and in these columns; lines that begin with # are comments."""
    lines = _lines(text)
    begin = next((n for n, line in enumerate(lines) if line.strip() and not line.startswith("#")), len(lines))
    reader, names = _as_table(lines[begin:])
    if not names:
        plain = (
            (number, line.strip().strip("'\"")) for number, line in enumerate(lines, 1) if not line.startswith("#")
        )
        yield from (ListLine(number, line, ("",) * len(columns)) for number, line in plain if line)
        return
    wanted = ("entry_id" if "entry_id" in names else "id", *columns)
    if twice := next((name for name in wanted if names.count(name) > 1), ""):
        raise csv.Error(f"two columns are called {twice}")
    places = [names.index(name) if name in names else len(names) for name in wanted]
    for row in reader:
        number = begin + reader.line_num
        cells = (row[place] if place < len(row) else "" for place in places)
        entry_id, *more = (cell.strip().strip("'\"") for cell in cells)
        # A title may begin so, too: "#1 Introduction".
        if not any(cell.strip() for cell in row) or entry_id.startswith("#") or (row[0][:1] == "#" and not entry_id):
            continue
        if any(cell.strip() for cell in row[len(names) :]):
            raise csv.Error(f"line {number} has more cells than the first line, so that they may have shifted")
        yield ListLine(number, entry_id, tuple(more))


def _lines(text: str) -> list[str]:
    """The lines with their ends. To Python's own splitlines a line also ends where a title may have one of the odder
    characters, such as U+2028 from a word processor: what followed it would be an entry of its own."""
    return list(io.StringIO(text, newline=""))


def _as_table(lines: list[str]) -> tuple[Any, list[str]]:
    """A reader of the rows of a table, and its columns' names, in lower case; none where there is none of ids.

    The first line is read as the rows are: a comma between quotes, or a column without a name, is told from none.
    """
    # A TSV of ours quotes nothing; in a CSV a name may have line breaks between its quotes, and strictly, for else one
    # that is not closed would swallow all the lines after it. Spreadsheets of some countries write semicolons.
    for made in (
        partial(csv.reader, delimiter="\t", quoting=csv.QUOTE_NONE),
        partial(csv.reader, delimiter=",", strict=True),
        partial(csv.reader, delimiter=";", strict=True),
    ):
        reader = made(lines)
        try:
            names = [name.strip().strip("'\"").lower() for name in next(reader, [])]
        except csv.Error:
            continue
        if not {"entry_id", "id"}.isdisjoint(names):
            return reader, ["mail" if name in ("email", "e-mail") else name for name in names]
    return iter(()), []


def users_named(words: Iterable[str], where: str) -> list[str]:
    """Kaltura users, each named or in a file (`@FILE`), one per line. Raises ConfigError for what is none."""
    found: list[str] = []
    for word in words:
        found += _users_in(word[1:], where) if word.startswith("@") else [checked_owner(word, where)]
    return found


def _users_in(path: str, where: str) -> list[str]:
    what = f"{where}, {path or '(no name)'}"
    users = checked_owners(_lines(read_text(Path(path), what)), path)
    if not users:
        raise ConfigError(f"{what}: nobody is in it")
    return users
