"""kaltura-archiver enrich"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from operator import itemgetter
from typing import Any

import click

from kaltura_archiver.cli.app import App, pass_app
from kaltura_archiver.cli.directory import ldap_options, settings_with
from kaltura_archiver.cli.group import command
from kaltura_archiver.cli.options import format_option
from kaltura_archiver.cli.types import PATH
from kaltura_archiver.config import LdapSettings
from kaltura_archiver.errors import DirectoryError, Exit, InputError
from kaltura_archiver.output.progress import progress
from kaltura_archiver.output.reading import HeadedTable, Row, check_columns, column_index, opened
from kaltura_archiver.output.screen import rows_as
from kaltura_archiver.output.tables import Cell
from kaltura_archiver.people.owners import (
    ID_COLUMNS,
    LEGACY_STATUS_COLUMN,
    OWNER_COLUMNS,
    UNKNOWN,
    Attributes,
    LookUp,
    attributes_of,
    owner_of_row,
    people_of,
)

log = logging.getLogger(__name__)
INPUT = "the input"


@command("enrich")
@click.argument("file", required=False, type=PATH, metavar="[FILE]")
@click.option("--tsv", "-t", type=PATH, metavar="FILE", hidden=True, help="Old name of FILE.")
@click.option("--entryId", "-e", "entry_column", metavar="C", hidden=True, help="Accepted for old scripts.")
@click.option(
    "--owner-column",
    "--creator-column",
    "--creatorId",
    "-c",
    "owner_column",
    metavar="C",
    help="Column of the owners [owner_id; creator_id where there is none].",
)
@click.option("--whole-id", is_flag=True, help="Look up whole addresses, not what is before their @.")
@click.option("--columns", metavar="A,B,…", help="Append these attributes too, such as mail,title.")
@click.option("--prefix", default="", metavar="P", help="Put before the names of the new columns, such as owner_.")
@click.option("--legacy-columns", is_flag=True, help="Call the column ldap_status status, as the old tool did.")
@click.option(
    "--directory-file",
    "dump",
    type=PATH,
    metavar="DUMP",
    help="Ask this CSV or TSV instead of LDAP: columns uid, displayName, …",
)
@ldap_options
@click.option("--filter", metavar="F", help="What is true of active accounts [LDAP_FILTER, or Princeton's].")
@click.option("--uid-attribute", metavar="A", help="Holds the user id [LDAP_UID_ATTRIBUTE, or uid].")
@click.option("--name-attributes", metavar="A,B", help="First of them is the name [LDAP_NAME_ATTRIBUTES].")
@click.option("--unit-attributes", metavar="A,B", help="First of them is the unit [LDAP_UNIT_ATTRIBUTES].")
@format_option
@pass_app
def enrich(
    app: App, /, file: str | None, tsv: str | None, entry_column: str | None, owner_column: str | None, whole_id: bool,
    columns: str | None, prefix: str, legacy_columns: bool, dump: str | None, style: str, **options: Any,
) -> None:  # fmt: skip
    """Append ldap_status (active, inactive, unknown), name and org_unit of each row's owner to a TSV or CSV.

    Reads FILE or stdin. Rows keep their order; each owner is asked for once. Owners that the directory could not be
    asked about are unknown, and the exit status is 1; unknown is also who may be somebody else: smith@gmail.com, where
    smith has another mail there. Also called add_ldap_status.

    \b
    Examples:
      kaltura-archiver list --unplayed-for 3 --max-entries -1 | kaltura-archiver enrich > owners.tsv
      kaltura-archiver enrich --columns mail,title --format csv list.tsv > owners.csv
      kaltura-archiver enrich --directory-file people.csv list.tsv
    """  # fmt: skip
    if file and tsv:
        raise click.UsageError("FILE and --tsv are the same: give one of them", click.get_current_context())
    path = file or tsv or "-"
    settings = settings_with(app, options)
    attributes = attributes_of(settings, columns)
    counts: Counter[str] = Counter()
    unasked = False
    with ExitStack() as stack:
        table = HeadedTable(stack.enter_context(opened(path)), path)
        if entry_column:
            column_index(table.columns, entry_column, INPUT)
        owner_of, first = _owner_of(table, owner_column)
        made = _columns_made(table, prefix, attributes)
        titles = _titles(table, made, prefix, legacy=legacy_columns, style=style)
        look_up, searches = _directory(stack, settings, attributes, dump)
        owned = people_of(table, owner_of, look_up, whole=whole_id)
        with rows_as(style, made, titles=titles) as rows, progress("enrich", owned, streamed=style != "table") as found:
            for row, owner in found:
                cells: list[Cell] = [cell or None for cell in (*row, owner.status, *owner.cells)]
                # An owner who was not found has no cells.
                rows.write(dict(zip(made, cells, strict=False)))
                counts[owner.status or "without owner"] += 1
                unasked = unasked or (owner.status == UNKNOWN and not owner.doubtful)
    _tell_whom(table, owner_column, first)
    told = ", ".join(f"{status} {number}" for status, number in sorted(counts.items()))
    log.info("owners of %d rows: %s%s", sum(counts.values()), told or "none", searches())
    app.exit(Exit.FAILED if unasked else Exit.OK)


def _owner_of(table: HeadedTable, column: str | None) -> tuple[Callable[[Row], str], str]:
    """What tells whose the entry of a row is, and the column that it looks at first."""
    if column is None:
        return owner_of_row(table.columns, INPUT)
    return itemgetter(column_index(table.columns, column, INPUT)), column


def _columns_made(table: HeadedTable, prefix: str, attributes: Attributes) -> list[str]:
    """The columns of the input and those that come after them; InputError where it has one of these already."""
    added = [prefix + name for name in (*OWNER_COLUMNS, *attributes.more)]
    if taken := set(added) & set(table.columns):
        raise InputError(f"{INPUT} already has a column {sorted(taken)[0]!r}: give the new ones a --prefix")
    check_columns([*table.columns, *added], "--columns")
    return [*table.columns, *added]


def _titles(table: HeadedTable, made: list[str], prefix: str, *, legacy: bool, style: str) -> list[str]:
    if not legacy:
        return made
    titles = list(made)
    titles[len(table.columns)] = prefix + LEGACY_STATUS_COLUMN
    if style.startswith("json"):
        check_columns(titles, "with --legacy-columns as JSON")
    return titles


def _directory(
    stack: ExitStack, settings: LdapSettings, attributes: Attributes, dump: str | None
) -> tuple[LookUp, Callable[[], str]]:
    """What looks owners up, in a file or by LDAP, and what tells at the end how often it asked."""
    if dump is not None:
        from kaltura_archiver.people.directory_file import DirectoryFile

        return DirectoryFile(dump, attributes).look_up, lambda: ""
    from kaltura_archiver.people.directory import Directory

    directory = stack.enter_context(Directory(settings, attributes))
    try:
        directory.open()
    except DirectoryError as error:
        log.error("%s", error)
    return directory.look_up, lambda: f"; {directory.searches} searches"


def _tell_whom(table: HeadedTable, owner_column: str | None, first: str) -> None:
    """Say so where others than the owners of the entries were looked up."""
    if owner_column is None and first != ID_COLUMNS[0]:
        log.warning("there is no column owner_id: creators were looked up, who need not own what they made")
    elif first != ID_COLUMNS[0] and ID_COLUMNS[0] in table.columns:
        log.warning(
            "%s was looked up in place of owner_id: notify has to be told, too (--column owner_id=%s); stats, report "
            "and plan show go by owner_id, and would tell of others than the owners", first, first,
        )  # fmt: skip
