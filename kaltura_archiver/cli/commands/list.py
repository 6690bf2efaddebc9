"""kaltura-archiver list"""

from __future__ import annotations

from functools import partial

import click

from kaltura_archiver.cli.app import App, pass_app
from kaltura_archiver.cli.command_line import ListCommand
from kaltura_archiver.cli.group import command
from kaltura_archiver.cli.options import columns_of_row, columns_option, format_option, legacy_option, selection_options
from kaltura_archiver.cli.query import after_selection, selected
from kaltura_archiver.filters import Query
from kaltura_archiver.output.progress import progress
from kaltura_archiver.output.rows import (
    FLAVOR_COLUMNS,
    LIST_COLUMNS,
    MORE_FLAVOR_COLUMNS,
    MORE_LIST_COLUMNS,
    OLD_LIST_COLUMNS,
    flavor_row,
    list_row,
)
from kaltura_archiver.output.tables import Rows


@command("list", cls=ListCommand)
@click.option(
    "--mode", "-m", type=click.Choice(["video", "flavor"]), default="video", show_default=True, help="A row per what."
)
@selection_options
@columns_option
@legacy_option
@format_option
@pass_app
def list_entries(app: App, /, query: Query, mode: str, columns: str | None, legacy: bool, style: str) -> None:
    """List entries, or their flavor assets, one row each.

    \b
    Examples:
      kaltura-archiver list --created_before 3 --created_within 4 --plays 0
      kaltura-archiver list --tag archived_to_s3 --max-entries -1 --format csv > archived.csv
      kaltura-archiver list --never-played --columns entry_id,name,tags
      kaltura-archiver list --mode flavor --id 0_abc12345 --format table
    """
    from kaltura_archiver.cli import legacy as old

    if mode == "video":
        shown = columns_of_row(columns, OLD_LIST_COLUMNS if legacy else LIST_COLUMNS, MORE_LIST_COLUMNS)
    else:
        shown = columns_of_row(columns, FLAVOR_COLUMNS, MORE_FLAVOR_COLUMNS)
    row_of_entry, row_of_flavor = (old.list_row, old.flavor_row) if legacy else (list_row, flavor_row)
    kaltura = app.kaltura()
    selection = selected(kaltura, query)
    bar = partial(progress, "list", expected=lambda: selection.expected, streamed=style != "table")
    with Rows(shown, style) as rows:
        if mode == "video":
            with bar(selection) as entries:
                for entry in entries:
                    rows.write(row_of_entry(entry))
        else:
            from kaltura_archiver.survey import flavors_of

            with bar(flavors_of(kaltura, selection)) as found:
                for _, flavors in found:
                    for flavor in flavors:
                        rows.write(row_of_flavor(flavor))
    app.exit(*after_selection(selection))


next(option for option in list_entries.params if option.name == "media_type").opts.remove("-m")
