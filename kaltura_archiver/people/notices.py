"""Who is told of what: one digest a person, read from an enriched list."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from email.errors import MessageError
from email.headerregistry import Address

from kaltura_archiver.errors import InputError
from kaltura_archiver.model import last_played_words, same_id
from kaltura_archiver.output.reading import HeadedTable, Row, column_index, opened
from kaltura_archiver.people.owners import ACTIVE, INACTIVE, UNKNOWN, same_uid, uid_of

# What is read of a list, and the column that it is usually in. Without a title an entry goes by its id.
COLUMNS = {
    "entry_id": "entry_id",
    "owner_id": "owner_id",
    "creator_id": "creator_id",
    "ldap_status": "ldap_status",
    "name": "name",
    "org_unit": "org_unit",
    "mail": "mail",
    "title": "",
    "created_date": "created_date",
    "last_played_date": "last_played_date",
    "plays": "plays",
    "co_editors": "co_editors",
}
_OF_OWNERS = ("ldap_status", "name", "org_unit", "mail")
_NEEDED = ("entry_id", "owner_id", "ldap_status", "mail")
_ENTRY_ID = re.compile(r"[A-Za-z0-9_]{1,64}")


@dataclass(frozen=True)
class NoticedEntry:
    """One entry of a list, as its owner is told of it."""

    entry_id: str
    title: str
    created: str
    last_played: str
    plays: str
    owner: str
    owner_id: str = ""
    asked: str = ""
    expected: str = ""


@dataclass
class Notice:
    """A message to be: to an owner, or (`fallback`) to whoever is asked in the place of several.

    `key` names the recipient within a plan; no owner's begins with an @. Without an `address` nobody can be told:
    `why`. A `co_editor` is told of entries of others: no notice to their owner, and so never marked. `desk`: of what a
    restore desk has `asked` back, or has brought `back`; not all of that need be the reader's own (`of_others`).
    """

    key: str
    address: str = ""
    owner: str = ""
    name: str = ""
    unit: str = ""
    fallback: bool = False
    co_editor: bool = False
    desk: str = ""
    of_others: bool = False
    unknown: bool = False
    why: str = ""
    items: dict[str, NoticedEntry] = field(default_factory=dict)  # by `same_id` of the entry's

    @property
    def entry_ids(self) -> tuple[str, ...]:
        """As they are spelled in the list."""
        return tuple(item.entry_id for item in self.items.values())


def clean(text: str) -> str:
    """One line without anything that steers a terminal or a header; joiners are letters of some scripts."""
    return "".join(c for c in " ".join(text.split()) if c.isprintable() or c in "\u200c\u200d")


def checked_address(text: str) -> str:
    """The mail address, or empty if it is none that every server takes. Of several, the first."""
    first = text.split(";")[0].strip()
    try:
        address = Address(addr_spec=first)
    except (MessageError, ValueError, IndexError, TypeError):
        return ""
    plain = first.isascii() and first.isprintable() and " " not in first and len(first) <= 254
    return first if plain and address.username and address.domain and address.addr_spec == first else ""


def columns_of(table: HeadedTable, prefix: str, named: Mapping[str, str], where: str) -> dict[str, int]:
    """Where in a row each of COLUMNS is, of those that the table has. Raises InputError if one is missing.

    A column of creators that is named, or the only one that there is, does for that of the owners.
    """
    usual = {role: (prefix if role in _OF_OWNERS else "") + name for role, name in COLUMNS.items()}
    if prefix:
        usual["title"] = "name"
    if "creator_id" in named and "owner_id" not in named:
        del usual["owner_id"]
    found: dict[str, int] = {}
    for role, name in {**usual, **named}.items():
        if name in table.columns:
            found[role] = table.columns.index(name)
        elif role in named:
            column_index(table.columns, name, where)
        elif role in _NEEDED and not (role == "owner_id" and "creator_id" in table.columns):
            hint = "enrich --columns mail writes it" if role in _OF_OWNERS else "list writes it"
            raise InputError(
                f"{where} has no column {name!r} ({hint}; --column {role}=NAME tells another name); "
                f"there are {', '.join(table.columns)}"
            )
    return found


def read_notices(
    table: Iterable[Row], columns: Mapping[str, int], *, fallback: str, of_units: Mapping[str, str], where: str,
    domain: str = "",
) -> list[Notice]:  # fmt: skip
    """Who is to be told of what, in the order of the list. Entries of one owner come together, each once.

    With a `domain` co-editors are told, too: at their id, and that domain where it is no address.
    """
    if domain and "co_editors" not in columns:
        raise InputError(f"{where} has no column 'co_editors': list --columns entry_id,owner_id,co_editors,… writes it")
    notices: dict[str, Notice] = {}
    for number, row in enumerate(table, 2):
        cells = {role: clean(row[index]) for role, index in columns.items()}
        if not _ENTRY_ID.fullmatch(cells["entry_id"]):
            raise InputError(f"{where}, row {number}: {cells['entry_id'][:40]!r} is not an entry id")
        owner = cells.get("owner_id") or cells.get("creator_id", "")
        new = _recipient(cells, owner, fallback, of_units, f"{where}, row {number}")
        notice = notices.setdefault(new.key, new)
        plays = cells.get("plays") or "0"
        item = NoticedEntry(
            entry_id=cells["entry_id"],
            title=cells.get("title") or cells["entry_id"],
            created=cells.get("created_date") or "unknown",
            last_played=last_played_words(cells.get("last_played_date", ""), plays != "0"),
            plays=plays,
            owner=" ".join(filter(None, (cells.get("name"), f"({owner})" if owner else "nobody"))),
            owner_id=owner,
        )
        notice.items.setdefault(same_id(item.entry_id), item)
        for told in _co_editors(cells.get("co_editors", ""), owner, domain):
            notices.setdefault(told.key, told).items.setdefault(same_id(item.entry_id), item)
    return list(notices.values())


def _co_editors(users: str, owner: str, domain: str) -> Iterator[Notice]:
    """The notices, without their entries, to these users (a comma list) but the owner."""
    for user in filter(None, map(str.strip, users.split(",") if domain else ())):
        if same_uid(uid_of(user)) == same_uid(uid_of(owner)):
            continue
        address = checked_address(user if "@" in user else f"{user}@{domain}")
        why = "" if address else "the id of this co-editor makes no mail address"
        yield Notice(f"@co-editor {(address or user).lower()}", address, user, user, co_editor=True, why=why)


def _recipient(
    cells: Mapping[str, str], owner: str, fallback: str, of_units: Mapping[str, str], where: str
) -> Notice:  # fmt: skip
    """The notice, without its entries, that the entry of a row belongs to."""
    status, unit, uid = cells["ldap_status"].lower(), cells.get("org_unit", ""), same_uid(uid_of(owner))
    if status not in (ACTIVE, INACTIVE, UNKNOWN, ""):
        raise InputError(f"{where}: ldap_status is {status[:20]!r}, neither {ACTIVE}, {INACTIVE}, {UNKNOWN} nor empty")
    owner = owner or "nobody"
    if status == UNKNOWN:
        why = "the directory could not be asked who this owner is, or has somebody of that name who may be another"
        return Notice(f"@unknown {same_uid(owner)}", owner=owner, unknown=True, why=why)
    mail = checked_address(cells["mail"])
    if status == ACTIVE and mail:
        # Also by the address: jane@a.edu and jane@b.edu, looked up whole, are two people.
        return Notice(f"{uid} {mail.lower()}", mail, owner, cells.get("name") or owner, unit)
    for name in (unit, *unit.split(";")):
        if address := of_units.get(same_uid(name)):
            return Notice(f"@unit {address.lower()}", address, unit=unit, fallback=True)
    if fallback:
        return Notice(f"@fallback {fallback.lower()}", fallback, fallback=True)
    gone = "has no mail address" if status == ACTIVE else "has left" if status else "is not known"
    instead = "--fallback, --unit-file; in a policy fallback, unit_file"
    why = f"the owner {gone}, and there is no address in their place ({instead})"
    return Notice(f"@nobody {uid}", owner=owner, why=why)


def read_units(path: str) -> dict[str, str]:
    """Unit to address, of a TSV with the columns org_unit and mail. Raises InputError."""
    with opened(path) as file:
        table = HeadedTable(file, path)
        unit, mail = (column_index(table.columns, name, path) for name in ("org_unit", "mail"))
        found = {}
        for number, row in enumerate(table, 2):
            address = checked_address(row[mail])
            if not address:
                raise InputError(f"{path}, row {number}: {row[mail][:60]!r} is not a mail address")
            if not row[unit].strip():
                raise InputError(f"{path}, row {number}: no org_unit")
            found[same_uid(row[unit])] = address
        return found
