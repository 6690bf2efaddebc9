"""A directory in a file: the people of a TSV or CSV."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from kaltura_archiver.errors import InputError
from kaltura_archiver.output.reading import HeadedTable, check_columns, column_index, opened
from kaltura_archiver.people.owners import ACTIVE, DOUBTFUL, INACTIVE, STATUS_COLUMN, Attributes, Owner, same_uid

log = logging.getLogger(__name__)


class DirectoryFile:
    """A dump of a directory, CSV or TSV with a header: who is in it is active, unless a column ldap_status says else.

    Columns are called as the attributes, in any case. Raises InputError.
    """

    def __init__(self, path: str, attributes: Attributes) -> None:
        self._owners: dict[str, Owner] = {}
        if path == "-":
            raise InputError("--directory-file cannot be stdin")
        with opened(path) as file:
            table = HeadedTable(file, path)
            columns = [column.lower() for column in table.columns]
            check_columns(columns, path)
            for wanted in (attributes.uid, *attributes.more):
                column_index(columns, wanted.lower(), path)
            for number, row in enumerate(table, 2):
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
        owner = attributes.owner(status, {column: [cell] for column, cell in cells.items() if cell})
        if known is None or (known.status == INACTIVE and status == ACTIVE):
            self._owners[uid] = owner
        elif known.status == status == ACTIVE and known.mail != owner.mail:
            log.warning("%s: there is another %r, with another address: neither is taken for the owner", where, uid)
            self._owners[uid] = DOUBTFUL

    def look_up(self, uids: Sequence[str]) -> dict[str, Owner]:
        return {uid: self._owners.get(same_uid(uid), Owner(INACTIVE)) for uid in uids}
