"""A directory in a file: the people of a TSV or CSV."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from typing import BinaryIO

from kaltura_archiver.errors import InputError
from kaltura_archiver.output.reading import MAX_LINE_BYTES, Row, TsvTable, check_columns, column_index, opened
from kaltura_archiver.people.owners import ACTIVE, INACTIVE, STATUS_COLUMN, Attributes, Owner, same_uid


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
