"""kaltura-archiver count"""

from __future__ import annotations

import click

from kaltura_archiver.cli.app import App, pass_app
from kaltura_archiver.cli.command_line import SelectingCommand
from kaltura_archiver.cli.group import command
from kaltura_archiver.cli.options import format_option, selection_options
from kaltura_archiver.cli.query import exits_of_named, selected
from kaltura_archiver.filters import Query
from kaltura_archiver.output.rows import COUNT_COLUMNS
from kaltura_archiver.output.screen import SCREEN, rows_as


@command("count", cls=SelectingCommand)
@selection_options
@click.option("--legacy-columns", "legacy", is_flag=True, help="The line that kaltura_aws.py printed.")
@format_option
@pass_app
def count(app: App, /, query: Query, legacy: bool, style: str) -> None:
    """Count the entries that match, with the filter that was used; --max-entries does not limit it.

    \b
    Examples:
      kaltura-archiver count --tag archived_to_s3
      kaltura-archiver count --tag '!archived_to_s3' --unplayed-for 3
      kaltura-archiver count --played_within 3 --unplayed_for 2
    """
    from kaltura_archiver.cli.legacy import count_line

    if legacy and style not in ("tsv", SCREEN):
        raise click.UsageError(
            "--legacy-columns is one line without columns: leave out --format", click.get_current_context()
        )
    selection = selected(app, query)
    number = selection.count()
    if legacy:
        click.echo(count_line(number, selection.query))
    else:
        with rows_as(style, COUNT_COLUMNS, note="filter", fine=lambda _: False) as rows:
            rows.write({"count": number, "filter": str(selection.query)})
    app.exit(*exits_of_named(selection))
