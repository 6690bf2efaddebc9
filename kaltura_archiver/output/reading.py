"""Reads tables: TSV or CSV from a file or stdin, line by line and bounded."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import BinaryIO

from kaltura_archiver.errors import InputError
from kaltura_archiver.output.tables import uncovered, unescape_tsv

Row = list[str]
MAX_LINE_BYTES = 2**20


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


def numbered_lines(file: BinaryIO, path: str, most_bytes: int = MAX_LINE_BYTES) -> Iterator[tuple[int, str]]:
    """The lines of a file with their numbers, read as they are wanted, without their ends."""
    number = 0
    try:
        while raw := file.readline(most_bytes):
            number += 1
            if len(raw) == most_bytes:
                raise InputError(f"{path}, line {number}: longer than {most_bytes} bytes")
            line = raw.decode("utf-8-sig" if number == 1 else "utf-8")
            yield number, line.removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}, line {number}: not UTF-8") from error
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error


class HeadedTable:
    """A TSV or CSV with a header, as this program writes it; the rows are read as they are iterated.

    It is a CSV if its header has no tab, but a comma or a quote. Raises InputError.
    """

    def __init__(self, file: BinaryIO, path: str) -> None:
        self.where = "stdin" if path == "-" else path
        lines = numbered_lines(file, self.where)
        number, header = next(lines, (0, ""))
        if not header.strip():
            raise InputError(f"{self.where} is empty: a TSV or CSV with a header was expected")
        lines = chain([(number, header)], lines)
        quoted = "\t" not in header and ("," in header or header.startswith('"'))
        self._rows = self._of_csv(lines) if quoted else self._of_tsv(lines)
        self.columns = next(self._rows)[1]
        check_columns(self.columns, self.where)

    def _of_csv(self, lines: Iterable[tuple[int, str]]) -> Iterator[tuple[int, Row]]:
        reader = csv.reader((f"{line}\n" for _, line in lines), strict=True)
        try:
            for row in filter(None, reader):
                yield reader.line_num, [uncovered(cell) for cell in row]
        except csv.Error as error:
            raise InputError(f"{self.where}, line {reader.line_num}: {error}") from error

    def _of_tsv(self, lines: Iterable[tuple[int, str]]) -> Iterator[tuple[int, Row]]:
        for at, (number, line) in enumerate(lines):
            if line or at == 0 or len(self.columns) == 1:
                yield number, self._cells(number, line if at else line.strip(" "))

    def _cells(self, number: int, line: str) -> Row:
        try:
            # The old tool padded its cells.
            return [unescape_tsv(cell.strip(" ")) for cell in line.split("\t")]
        except (ValueError, OverflowError) as error:
            escape = error.args[0] if str(error).startswith("\\") else "an escape beyond Unicode"
            raise InputError(
                f"{self.where}, line {number}: {escape} is no escape of a TSV (there are \\t \\n \\r \\\\ and \\xNN)"
            ) from error

    def __iter__(self) -> Iterator[Row]:
        for number, cells in self._rows:
            if len(cells) != len(self.columns):
                raise InputError(
                    f"{self.where}, line {number}: {len(cells)} cells, but the header has {len(self.columns)}"
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
