"""kaltura-archiver list"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import repeat
from typing import TYPE_CHECKING

import click

from kaltura_archiver.cli.app import App, pass_app
from kaltura_archiver.cli.command_line import ListCommand
from kaltura_archiver.cli.group import command
from kaltura_archiver.cli.options import columns_of_row, columns_option, format_option, legacy_option, selection_options
from kaltura_archiver.cli.query import after_selection, selected, whole
from kaltura_archiver.cli.sorting import sort_options, sorted_rows
from kaltura_archiver.filters import Query
from kaltura_archiver.output.progress import progress
from kaltura_archiver.output.rows import (
    FLAVOR_COLUMNS,
    LIST_COLUMNS,
    LIST_ON_SCREEN,
    MORE_FLAVOR_COLUMNS,
    MORE_LIST_COLUMNS,
    OLD_LIST_COLUMNS,
    flavor_row,
    list_row,
)
from kaltura_archiver.output.screen import SCREEN, rows_as
from kaltura_archiver.output.tables import Cell

if TYPE_CHECKING:
    from kaltura_archiver.kaltura import Kaltura
    from kaltura_archiver.model import Entry, FlavorAsset


@command("list", cls=ListCommand)
@click.option(
    "--mode", "-m", type=click.Choice(["video", "flavor"]), default="video", show_default=True, help="A row per what."
)
@selection_options
@sort_options
@columns_option
@legacy_option
@format_option
@pass_app
def list_entries(
    app: App, /, query: Query, mode: str, sort: str | None, number: int | None, columns: str | None, legacy: bool,
    style: str,
) -> None:  # fmt: skip
    """List entries, or their flavor assets, one row each.

    \b
    Examples:
      kaltura-archiver list --created_before 3 --created_within 4 --plays 0
      kaltura-archiver list --tag archived_to_s3 --max-entries -1 --format csv > archived.csv
      kaltura-archiver list --never-played --columns entry_id,name,original_bytes
      kaltura-archiver list --sort size -n 20
      kaltura-archiver list --mode flavor --id 0_abc12345 --format table
    """
    from kaltura_archiver.cli import legacy as old

    style = "tsv" if legacy and style == SCREEN else style
    flavored = mode == "flavor"
    if flavored:
        if sort or number:
            raise click.UsageError("--sort and -n are for --mode video", click.get_current_context())
        shown = columns_of_row(columns, FLAVOR_COLUMNS, MORE_FLAVOR_COLUMNS)
    else:
        on_screen = (*LIST_ON_SCREEN, *(["original_bytes"] if sort == "size" else []))
        usual = OLD_LIST_COLUMNS if legacy else on_screen if style == SCREEN else LIST_COLUMNS
        shown = columns_of_row(columns, usual, (*LIST_COLUMNS, *MORE_LIST_COLUMNS))
    selection = selected(app, whole(query, sort))
    grouped = not flavored and not {"streams", "group_bytes"}.isdisjoint(shown)
    sized = not flavored and (sort == "size" or "original_bytes" in shown or grouped)
    found: Iterable[tuple[Entry, tuple[FlavorAsset, ...]]] = zip(selection, repeat(()))
    if flavored or sized:
        from kaltura_archiver.survey import flavors_of

        found = flavors_of(selection.kaltura, selection)
    groups: dict[str, dict[str, Cell]] = {}
    if grouped:
        found = _noting_groups(selection.kaltura, found, groups)
    row_of_entry, row_of_flavor = (old.list_row, old.flavor_row) if legacy else (list_row, flavor_row)
    with (
        rows_as(style, shown) as rows,
        progress("list", found, lambda: selection.expected, streamed=style != "table") as seen,
    ):
        for entry, flavors in sorted_rows(seen, sort, number, _entry_and_bytes):
            if flavored:
                for flavor in flavors:
                    rows.write(row_of_flavor(flavor))
            else:
                more = {"original_bytes": _bytes_of(entry, flavors)} if sized else {}
                rows.write(row_of_entry(entry) | more | groups.pop(entry.id, {}))
    app.exit(*after_selection(selection))


def _noting_groups(
    kaltura: Kaltura, found: Iterable[tuple[Entry, tuple[FlavorAsset, ...]]], groups: dict[str, dict[str, Cell]]
) -> Iterator[tuple[Entry, tuple[FlavorAsset, ...]]]:
    """The same; the further streams of each, and the bytes of all originals of such a recording, go into `groups`."""
    from kaltura_archiver.survey import streams_of

    for entry, flavors, streams in streams_of(kaltura, found):
        sizes = [_bytes_of(entry, each) or 0 for each in (flavors, *streams.values())]
        groups[entry.id] = {"streams": ",".join(streams) or None, "group_bytes": sum(sizes) or None}
        yield entry, flavors


def _bytes_of(entry: Entry, flavors: tuple[FlavorAsset, ...]) -> int | None:
    """Of the original; Kaltura rounds it to KB where it does not tell the exact size."""
    from kaltura_archiver.model import Facts

    original = Facts(entry, flavors).original
    return (original.known_bytes or None) if original else None


def _entry_and_bytes(found: tuple[Entry, tuple[FlavorAsset, ...]]) -> tuple[Entry, int]:
    return found[0], _bytes_of(*found) or 0


next(option for option in list_entries.params if option.name == "media_type").opts.remove("-m")
