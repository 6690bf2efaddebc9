"""Rows with their owners' standing: reads a table, looks each owner up once, gives the rows back in their order."""

from __future__ import annotations

import csv
import re
import sys
import unicodedata
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any, BinaryIO

from kaltura_archiver.config import LdapSettings
from kaltura_archiver.errors import ConfigError, InputError
from kaltura_archiver.model import same_id
from kaltura_archiver.report import unescape_tsv

ACTIVE, INACTIVE, UNKNOWN = "active", "inactive", "unknown"
STATUS_COLUMN, LEGACY_STATUS_COLUMN = "ldap_status", "status"
OWNER_COLUMNS = (STATUS_COLUMN, "name", "org_unit")
# Where a table that `list` wrote tells whose an entry is; the first that a row has. The creator need not own it.
ID_COLUMNS = ("owner_id", "creator_id")

# Owners asked for in one search: half the answers that servers allow by default, with room for several per uid.
BATCH = 100
# Rows held back at most while owners gather for a search. Bounds memory, and the number of searches from above:
# owners / BATCH + rows / LOOK_AHEAD.
LOOK_AHEAD = 5000
MAX_LINE_BYTES = 2**20

Row = list[str]


@dataclass(frozen=True)
class Owner:
    """What a directory says of one person. `cells` follow the status: name, unit, further attributes."""

    status: str
    cells: tuple[str, ...] = ()


@dataclass(frozen=True)
class Attributes:
    """Which attributes of a person become which cells; of `names` and `units` the first that has a value."""

    uid: str
    names: tuple[str, ...]
    units: tuple[str, ...]
    more: tuple[str, ...] = ()

    def all(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((self.uid, *self.names, *self.units, *self.more)))

    def cells(self, person: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
        """The cells of a person; `person` has its attributes' names in lower case. Several units are all told."""
        names = next((values for name in self.names if (values := person.get(name.lower()))), ())
        units = next((values for name in self.units if (values := person.get(name.lower()))), ())
        more = (person.get(name.lower(), ()) for name in self.more)
        return (names[0] if names else "", *("; ".join(values) for values in (units, *more)))


def attributes_of(settings: LdapSettings, more: str | None = None) -> Attributes:
    """The attributes that the settings name, and a comma list of further ones. Raises ConfigError."""
    return Attributes(
        attribute_names(settings.uid_attribute, "LDAP_UID_ATTRIBUTE")[0],
        attribute_names(settings.name_attributes, "LDAP_NAME_ATTRIBUTES"),
        attribute_names(settings.unit_attributes, "LDAP_UNIT_ATTRIBUTES"),
        attribute_names(more, "--columns") if more else (),
    )


LookUp = Callable[[Sequence[str]], Mapping[str, Owner]]


def same_uid(uid: str) -> str:
    """Two uids for which this is equal are the same to a directory: case and repeated spaces do not count."""
    return " ".join(unicodedata.normalize("NFKC", uid).casefold().split())


def uid_of(creator: str, *, whole: bool = False) -> str:
    """The uid of a Kaltura user: an address up to its @, unless it is wanted whole. Empty where there is none."""
    return (creator if whole else creator.partition("@")[0]).strip()


# Reading tables


@contextmanager
def opened(path: str) -> Iterator[BinaryIO]:
    """The file at `path`, or stdin for `-`."""
    if path == "-":
        yield sys.stdin.buffer
        return
    try:
        file = Path(path).open("rb")  # noqa: SIM115 (closed below; only the opening may raise InputError)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    with file:
        yield file


def numbered_lines(file: BinaryIO, path: str) -> Iterator[tuple[int, str]]:
    """The lines of a file with their numbers, read as they are wanted, without their ends."""
    number = 0
    try:
        while raw := file.readline(MAX_LINE_BYTES):
            number += 1
            if len(raw) == MAX_LINE_BYTES:
                raise InputError(f"{path}, line {number}: longer than {MAX_LINE_BYTES} bytes")
            line = raw.decode("utf-8-sig" if number == 1 else "utf-8")
            yield number, line.removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}, line {number}: not UTF-8") from error
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error


class TsvTable:
    """A TSV with a header, as this program writes it; the rows are read as they are iterated. Raises InputError."""

    def __init__(self, file: BinaryIO, path: str) -> None:
        self._path = "stdin" if path == "-" else path
        self._lines = numbered_lines(file, self._path)
        number, header = next(self._lines, (0, ""))
        if not header.strip():
            raise InputError(f"{self._path} is empty: a TSV with a header was expected")
        self.columns = self._cells(number, header.strip(" "))
        check_columns(self.columns, self._path)

    def _cells(self, number: int, line: str) -> Row:
        try:
            # The old tool padded its cells.
            return [unescape_tsv(cell.strip(" ")) for cell in line.split("\t")]
        except (ValueError, OverflowError) as error:
            escape = error.args[0] if str(error).startswith("\\") else "an escape beyond Unicode"
            raise InputError(
                f"{self._path}, line {number}: {escape} is no escape of a TSV (there are \\t \\n \\r \\\\ and \\xNN)"
            ) from error

    def __iter__(self) -> Iterator[Row]:
        for number, line in self._lines:
            if not line and len(self.columns) > 1:
                continue
            cells = self._cells(number, line)
            if len(cells) != len(self.columns):
                raise InputError(
                    f"{self._path}, line {number}: {len(cells)} cells, but the header has {len(self.columns)}"
                )
            yield cells


def check_columns(columns: Sequence[str], where: str) -> None:
    """Raise InputError unless each column has a name of its own."""
    for index, column in enumerate(columns):
        if not column:
            raise InputError(f"{where}: column {index + 1} of the header has no name")
        if column in columns[:index]:
            raise InputError(f"{where}: two columns are called {column!r}")


def column_index(columns: Sequence[str], wanted: str, where: str) -> int:
    """Where the column is; InputError, with all there are, if it is not."""
    if wanted not in columns:
        raise InputError(f"{where} has no column {wanted!r}; there are {', '.join(columns)}")
    return columns.index(wanted)


def owner_of_row(columns: Sequence[str], where: str) -> tuple[Callable[[Row], str], str]:
    """What tells whose the entry of a row is, and the column that it looks at first. InputError without any."""
    names = [name for name in ID_COLUMNS if name in columns]
    indices = [columns.index(name) for name in names] or [column_index(columns, ID_COLUMNS[0], where)]
    return lambda row: next(filter(None, (row[index] for index in indices)), ""), names[0]


def entry_of_row(columns: Sequence[str], where: str) -> tuple[Callable[[Row], str], Callable[[Any], str]]:
    """What tells which entries a row of an enriched table is about, and what to compare it with of an `Item`:
    the owner's id where the table has it, else the creator's, else the entry's. Raises InputError."""
    if not set(ID_COLUMNS).isdisjoint(columns):
        key, column = owner_of_row(columns, where)
        return key, attrgetter("owner" if column == ID_COLUMNS[0] else column)
    index = column_index(columns, "entry_id", where)
    return lambda row: same_id(row[index]), lambda item: same_id(item.entry_id)


# A directory in a file


class DirectoryFile:
    """A dump of a directory, CSV or TSV with a header: who is in it is active, unless a column ldap_status says else.

    Columns are called as the attributes, in any case. Raises InputError.
    """

    def __init__(self, path: str, attributes: Attributes) -> None:
        self._owners: dict[str, Owner] = {}
        if path == "-":
            raise InputError("--directory-file cannot be stdin")
        with opened(path) as file:
            head = file.readline(MAX_LINE_BYTES)
            file.seek(0)
            columns, rows = _tsv_rows(file, path) if b"\t" in head else _csv_rows(file, path)
            columns = [column.lower() for column in columns]
            check_columns(columns, path)
            for wanted in (attributes.uid, *attributes.more):
                column_index(columns, wanted.lower(), path)
            for number, row in enumerate(rows, 2):
                self._add(dict(zip(columns, row, strict=True)), attributes, f"{path}, row {number}")
        if not self._owners:
            # Everybody would be inactive.
            raise InputError(f"{path} holds nobody")

    def _add(self, cells: Mapping[str, str], attributes: Attributes, where: str) -> None:
        uid = same_uid(cells[attributes.uid.lower()])
        status = cells.get(STATUS_COLUMN, ACTIVE).strip().lower()
        if not uid:
            raise InputError(f"{where}: no {attributes.uid}")
        if status not in (ACTIVE, INACTIVE):
            raise InputError(f"{where}: {STATUS_COLUMN} is {status!r}, neither {ACTIVE} nor {INACTIVE}")
        known = self._owners.get(uid)
        if known is None or (known.status != ACTIVE and status == ACTIVE):
            person = {column: [cell] for column, cell in cells.items() if cell}
            self._owners[uid] = Owner(status, attributes.cells(person))

    def look_up(self, uids: Sequence[str]) -> dict[str, Owner]:
        return {uid: self._owners.get(same_uid(uid), Owner(INACTIVE)) for uid in uids}


def _tsv_rows(file: BinaryIO, path: str) -> tuple[Row, Iterator[Row]]:
    table = TsvTable(file, path)
    return table.columns, iter(table)


def _csv_rows(file: BinaryIO, path: str) -> tuple[Row, Iterator[Row]]:
    lines = (raw.decode("utf-8" if number else "utf-8-sig") for number, raw in enumerate(file))
    reader = csv.reader(lines, strict=True)

    def rows() -> Iterator[Row]:
        width = 0
        try:
            for row in filter(None, reader):
                if width and len(row) != width:
                    raise InputError(f"{path}, line {reader.line_num}: {len(row)} cells, but the header has {width}")
                width = len(row)
                yield row
        except csv.Error as error:
            raise InputError(f"{path}, line {reader.line_num}: {error}") from error
        except UnicodeDecodeError as error:
            raise InputError(f"{path}, after line {reader.line_num}: not UTF-8") from error

    found = rows()
    header = next(found, None)
    if header is None:
        raise InputError(f"{path} is empty: a CSV or TSV with a header was expected")
    return header, found


# Looking owners up


def attribute_names(text: str, what: str) -> tuple[str, ...]:
    """The attributes of a comma list; ConfigError for what cannot be one, since names go into filters as they are."""
    names = tuple(name.strip() for name in text.split(","))
    for name in names:
        if not re.fullmatch(r"[A-Za-z0-9.-]+(;[A-Za-z0-9-]+)*", name):
            raise ConfigError(f"{what}: {name[:40]!r} cannot be the name of an attribute")
    return names


def with_owners(rows: Iterable[Row], uid_of_row: Callable[[Row], str], look_up: LookUp) -> Iterator[tuple[Row, Owner]]:
    """Each row with its owner, in their order; each owner is looked up once, BATCH of them at a time.

    A row whose owner is known comes at once if none before it waits. A row without an owner has an empty status.
    """
    known: dict[str, Owner] = {"": Owner("")}
    wanted: dict[str, None] = {}
    held: deque[tuple[Row, str]] = deque()

    def release() -> Iterator[tuple[Row, Owner]]:
        while held and held[0][1] in known:
            row, uid = held.popleft()
            yield row, known[uid]

    for row in rows:
        uid = uid_of_row(row)
        held.append((row, uid))
        if uid not in known:
            wanted[uid] = None
        if len(wanted) >= BATCH or len(held) >= LOOK_AHEAD:
            known.update(look_up(list(wanted)))
            wanted.clear()
        yield from release()
    if wanted:
        known.update(look_up(list(wanted)))
    yield from release()
