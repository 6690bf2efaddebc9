"""Ids and users that stand in files."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from kaltura_archiver.asking.words import ENTRY_ID
from kaltura_archiver.envfile import read_text
from kaltura_archiver.errors import ConfigError, SelectionError
from kaltura_archiver.keep import checked_owner, checked_owners


def read_ids(idfile: str, what: str = "--idfile", *, may_be_empty: bool = False) -> tuple[str, ...]:
    """The ids of a file, in their order, each once: one per line, or the column entry_id of a CSV or TSV.

    Empty lines and those that begin with # are left out; ids may be quoted. `what` asked for the file.
    """
    try:
        raw = sys.stdin.buffer.read() if idfile == "-" else Path(idfile).read_bytes()
    except OSError as error:
        raise SelectionError(f"cannot read {what} {idfile}: {error.strerror}") from error
    ids: dict[str, None] = {}
    try:
        for number, entry_id in _cells_with_ids(raw.decode("utf-8-sig", errors="replace")):
            if not ENTRY_ID.fullmatch(entry_id):
                raise SelectionError(f"{what} {idfile}, line {number}: {entry_id[:40]!r} is not an entry id")
            ids[entry_id] = None
    except csv.Error as error:
        raise SelectionError(f"{what} {idfile} is no CSV: {error}") from error
    if not ids and not may_be_empty:
        raise SelectionError(f"{what} {idfile} holds no entry id")
    return tuple(ids)


def _cells_with_ids(text: str) -> Iterator[tuple[int, str]]:
    """Number of the line, and what stands there as an entry's id; lines that begin with # are comments."""
    lines = text.splitlines(keepends=True)
    told = ((number, line.strip()) for number, line in enumerate(lines) if not line.startswith("#"))
    begin, head = next(((number, line) for number, line in told if line), (len(lines), ""))
    tab = "\t" in head
    names = [name.strip().strip("'\"").lower() for name in head.split("\t" if tab else ",")]
    if not {"entry_id", "id"}.intersection(names):
        plain = (
            (number, line.strip().strip("'\"")) for number, line in enumerate(lines, 1) if not line.startswith("#")
        )
        yield from ((number, line) for number, line in plain if line)
        return
    # A TSV of ours quotes nothing; in a CSV a name may have line breaks between its quotes.
    table = lines[begin + 1 :]
    reader = csv.reader(table, delimiter="\t", quoting=csv.QUOTE_NONE) if tab else csv.reader(table)
    column = names.index("entry_id" if "entry_id" in names else "id")
    for row in reader:
        if any(cell.strip() for cell in row) and not row[0].startswith("#"):
            cell = row[column] if column < len(row) else ""
            yield begin + 1 + reader.line_num, cell.strip().strip("'\"")


def users_named(words: Iterable[str], where: str) -> list[str]:
    """Kaltura users, each named or in a file (`@FILE`), one per line. Raises ConfigError for what is none."""
    found: list[str] = []
    for word in words:
        found += _users_in(word[1:], where) if word.startswith("@") else [checked_owner(word, where)]
    return found


def _users_in(path: str, where: str) -> list[str]:
    what = f"{where}, {path or '(no name)'}"
    users = checked_owners(read_text(Path(path), what).splitlines(), path)
    if not users:
        raise ConfigError(f"{what}: nobody is in it")
    return users
