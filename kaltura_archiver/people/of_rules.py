"""What a rule's table `notice` asks for, checked, and the notices that it makes of entries."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
from pathlib import Path

from kaltura_archiver.config import LdapSettings
from kaltura_archiver.errors import ConfigError
from kaltura_archiver.model import Entry, iso_date
from kaltura_archiver.output.reading import Row
from kaltura_archiver.people.directory_file import DirectoryFile
from kaltura_archiver.people.notices import COLUMNS, Notice, checked_address, read_notices, read_units
from kaltura_archiver.people.owners import Attributes, LookUp, Owner, attributes_of, people_of
from kaltura_archiver.people.templates_of_notices import Templates
from kaltura_archiver.policy import Rule

# As a list would hold them that `list` and `enrich --columns mail` have written.
_CELLS = {role: number for number, role in enumerate(COLUMNS)}
# Attributes that hold addresses: by these people are looked up by their whole id.
_ADDRESSES = frozenset({"mail", "userprincipalname", "edupersonprincipalname"})


@dataclass(frozen=True)
class NoticesOfRule:
    """How the owners of a rule's entries are told. Raises ConfigError, InputError where that cannot be done.

    `ldap` looks owners up where the rule names no directory of its own.
    """

    rule: Rule
    settings: LdapSettings
    ldap: Callable[[], LookUp]

    def __post_init__(self) -> None:
        table = self.rule.notice or {}
        if (fallback := table.get("fallback")) and not checked_address(fallback):
            raise ConfigError(f"rule {self.rule.name!r}, notice.fallback: {fallback!r} is not a mail address")
        if (domain := table.get("co_editors")) and not checked_address(f"user@{domain}"):
            raise ConfigError(
                f"rule {self.rule.name!r}, notice.co_editors: {domain!r} is no domain such as example.edu"
            )
        _ = self.templates, self._of_units, self._look_up

    @property
    def grace_seconds(self) -> float:
        return float((self.rule.notice or {})["grace"])

    def _text(self, key: str) -> str:
        return str((self.rule.notice or {}).get(key, ""))

    @cached_property
    def templates(self) -> Templates:
        return Templates(Path(self._text("templates")) if self._text("templates") else None)

    @cached_property
    def _of_units(self) -> dict[str, str]:
        return read_units(self._text("unit_file")) if self._text("unit_file") else {}

    @cached_property
    def _look_up(self) -> LookUp:
        dump = self._text("directory")
        return DirectoryFile(dump, self._attributes).look_up if dump else self.ldap()

    @cached_property
    def _attributes(self) -> Attributes:
        return attributes_of(self.settings, "mail")

    def notices(self, entries: Iterable[Entry]) -> list[Notice]:
        """Who is to be told of what: those to owners, or in their place, and then those to co-editors."""
        whole = self.settings.uid_attribute.strip().lower() in _ADDRESSES
        rows = (_row(entry) for entry in entries)
        owned = people_of(rows, itemgetter(_CELLS["owner_id"]), self._look_up, whole=whole)
        made = read_notices(
            (_with_owner(row, owner) for row, owner in owned), _CELLS, fallback=self._text("fallback"),
            of_units=self._of_units, where=f"rule {self.rule.name}", domain=self._text("co_editors"),
        )  # fmt: skip
        return sorted(made, key=lambda notice: notice.co_editor)


def _row(entry: Entry) -> Row:
    cells = {
        "entry_id": entry.id, "owner_id": entry.owner, "title": entry.name, "created_date": iso_date(entry.created_at),
        "last_played_date": iso_date(entry.last_played_at), "plays": str(entry.plays),
        "co_editors": ",".join(entry.co_editors),
    }  # fmt: skip
    return [cells.get(role, "") or "" for role in COLUMNS]


def _with_owner(row: Row, owner: Owner) -> Row:
    name, unit, mail = owner.cells or ("", "", "")
    cells = {"ldap_status": owner.status, "name": name, "org_unit": unit, "mail": mail}
    return [cells.get(role, cell) for role, cell in zip(COLUMNS, row, strict=True)]
