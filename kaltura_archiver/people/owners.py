"""Rows with their owners' standing: reads a table, looks each owner up once, gives the rows back in their order."""

from __future__ import annotations

import re
import unicodedata
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, BinaryIO

from kaltura_archiver.config import LdapSettings
from kaltura_archiver.errors import ConfigError
from kaltura_archiver.model import same_id
from kaltura_archiver.output.reading import HeadedTable, Row, column_index, opened

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

    def mail(self, cells: Sequence[str]) -> str:
        """The address among the cells of a person; empty where none was asked for."""
        return cells[2 + self.more.index("mail")] if "mail" in self.more and cells else ""


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


class EnrichedTable(HeadedTable):
    """What `enrich` has written, whatever it was told to put before the names of its columns (`--prefix`)."""

    def __init__(self, file: BinaryIO, path: str) -> None:
        super().__init__(file, path)
        found = [column.removesuffix("org_unit") for column in self.columns if column.endswith("org_unit")]
        self._prefix = found[0] if len(found) == 1 else ""

    def index(self, name: str) -> int:
        """Where a column is that `enrich` makes, by its usual name. Raises InputError."""
        return column_index(self.columns, self._prefix + name, self.where)

    def __contains__(self, name: str) -> bool:
        return self._prefix + name in self.columns


def owners_of(path: str) -> Callable[[Any], Owner]:
    """What tells an entry's owner, with cells for name and unit, from a TSV of `enrich`: by its column owner_id, else
    creator_id, else entry_id. Without a unit, it is the status in brackets. Raises InputError.
    """
    with opened(path) as file:
        table = EnrichedTable(file, path)
        key, of_item = entry_of_row(table.columns, table.where)
        status, name, unit = map(table.index, (STATUS_COLUMN, "name", "org_unit"))
        owners = {
            key(row): Owner(row[status], (row[name], row[unit] or (row[status] and f"({row[status]})")))
            for row in table
        }
    not_listed = Owner("", ("", "(not listed)"))
    return lambda item: owners.get(of_item(item), not_listed)
