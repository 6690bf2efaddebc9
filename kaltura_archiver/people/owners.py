"""Rows with their owners' standing: reads a table, looks each owner up once, gives the rows back in their order."""

from __future__ import annotations

import logging
import re
import unicodedata
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, BinaryIO

from kaltura_archiver.config import LdapSettings
from kaltura_archiver.errors import ConfigError, InputError
from kaltura_archiver.model import same_id
from kaltura_archiver.output.reading import HeadedTable, Row, column_index, opened

ACTIVE, INACTIVE, UNKNOWN = "active", "inactive", "unknown"
STATUS_COLUMN, LEGACY_STATUS_COLUMN = "ldap_status", "status"
OWNER_COLUMNS = (STATUS_COLUMN, "name", "org_unit")
# Where a table that `list` wrote tells whose an entry is; the first that a row has. The creator need not own it.
ID_COLUMNS = ("owner_id", "creator_id")
MAIL = "mail"
# Owners asked for in one search: half the answers that servers allow by default, with room for several per uid.
BATCH = 100
# Rows held back at most while owners gather for a search. Bounds memory, and the number of searches from above:
# owners / BATCH + rows / LOOK_AHEAD.
LOOK_AHEAD = 5000
# As ac.uk: below these a domain of two labels is nobody's in particular.
_SHARED = frozenset({"ac", "co", "com", "edu", "gov", "net", "org"})
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Owner:
    """What a directory says of one person. `cells` follow the status: name, unit, further attributes.

    `doubtful`: unknown, though the directory was asked, for whom it has may be somebody else. `mail`: their addresses,
    to tell people apart, whether or not a cell shows them; empty where it has none.
    """

    status: str
    cells: tuple[str, ...] = ()
    doubtful: bool = False
    mail: str = ""


DOUBTFUL = Owner(UNKNOWN, doubtful=True)


@dataclass(frozen=True)
class Attributes:
    """Which attributes of a person become which cells; of `names` and `units` the first that has a value."""

    uid: str
    names: tuple[str, ...]
    units: tuple[str, ...]
    more: tuple[str, ...] = ()

    def all(self) -> tuple[str, ...]:
        """What is asked for of each person, each once: case does not count. By their mail people are told apart."""
        return tuple(dict.fromkeys(map(str.lower, (self.uid, *self.names, *self.units, *self.more, MAIL))))

    def owner(self, status: str, person: Mapping[str, Sequence[str]]) -> Owner:
        """That person; `person` has its attributes' names in lower case. Several units are all told."""
        names = next((values for name in self.names if (values := person.get(name.lower()))), ())
        units = next((values for name in self.units if (values := person.get(name.lower()))), ())
        more = (person.get(name.lower(), ()) for name in self.more)
        cells = (names[0] if names else "", *("; ".join(values) for values in (units, *more)))
        return Owner(status, cells, mail="; ".join(person.get(MAIL, ())))


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


def people_of(
    rows: Iterable[Row], owner_of: Callable[[Row], str], look_up: LookUp, *, whole: bool
) -> Iterator[tuple[Row, Owner]]:
    """Each row with its owner, who is looked up by what stands before the @ of their id, or by the `whole` of it.

    Who is found by a part of an address is DOUBTFUL where their mail is of another place, with a warning for each such
    id: smith@gmail.com is not the campus's smith.
    """
    told: set[str] = set()
    for row, owner in with_owners(rows, lambda row: uid_of(owner_of(row), whole=whole), look_up):
        owner_id = owner_of(row).strip()
        if whole or owner.status != ACTIVE or _of_one_place(owner_id, owner.mail):
            yield row, owner
            continue
        if owner_id not in told:
            told.add(owner_id)
            log.warning(
                "%s is unknown: who has that name in the directory has an address of another domain (enrich "
                "--uid-attribute mail --whole-id, in a policy LDAP_UID_ATTRIBUTE=mail, finds people by their address)",
                owner_id,
            )
        yield row, DOUBTFUL


def _of_one_place(owner_id: str, mail: str) -> bool:
    """Whether both addresses are of one place, or one of them tells of none."""
    domain = owner_id.partition("@")[2].strip()
    return not domain or not mail or _place(domain) == _place(mail.partition("@")[2])


def _place(domain: str) -> tuple[str, ...]:
    """Whose a domain is: example.edu of cs.example.edu, example.ac.uk of cs.example.ac.uk."""
    labels = domain.split(";")[0].strip().lower().split(".")
    shared = len(labels) > 2 and len(labels[-1]) == 2 and labels[-2] in _SHARED
    return tuple(labels[-3:] if shared else labels[-2:])


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


def by_owner(table: EnrichedTable, key: Callable[[Row], str], cells: Sequence[int]) -> dict[str, Row]:
    """These cells of a table of `enrich`, by the owner (or entry) that its rows are about.

    Raises InputError where two rows of one differ: somebody else than the owner was looked up in them.
    """
    found: dict[str, Row] = {}
    for row in table:
        told = [row[index] for index in cells]
        if (known := found.setdefault(key(row), told)) != told:
            raise InputError(
                f"{table.where}: its rows for {key(row)!r} tell of two owners ({', '.join(filter(None, known))}; "
                f"{', '.join(filter(None, told))}): enrich the list again, without --owner-column"
            )
    return found


def owners_of(path: str) -> Callable[[Any], Owner]:
    """What tells an entry's owner, with cells for name and unit, from a TSV of `enrich`: by its column owner_id, else
    creator_id, else entry_id. Without a unit, it is the status in brackets. Raises InputError.
    """
    with opened(path) as file:
        table = EnrichedTable(file, path)
        key, of_item = entry_of_row(table.columns, table.where)
        status, name, unit = map(table.index, (STATUS_COLUMN, "name", "org_unit"))
        found = by_owner(table, key, (status, name, unit))
    owners = {
        key: Owner(status, (name, unit or (status and f"({status})"))) for key, (status, name, unit) in found.items()
    }
    not_listed = Owner("", ("", "(not listed)"))
    return lambda item: owners.get(of_item(item), not_listed)
