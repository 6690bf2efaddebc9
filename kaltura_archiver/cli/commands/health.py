"""kaltura-archiver health"""

from __future__ import annotations

import logging

import click

from kaltura_archiver.cli.app import App, pass_app
from kaltura_archiver.cli.command_line import SelectingCommand
from kaltura_archiver.cli.group import command
from kaltura_archiver.cli.options import _columns, columns_option, format_option, legacy_option, selection_options
from kaltura_archiver.cli.query import _after_selection, _select
from kaltura_archiver.errors import Exit
from kaltura_archiver.filters import Query
from kaltura_archiver.output.progress import progress
from kaltura_archiver.output.rows import (
    COLUMNS_OF_TAGS,
    HEALTH_COLUMNS,
    MORE_HEALTH_COLUMNS,
    OLD_HEALTH_COLUMNS,
    health_message,
    health_row,
)
from kaltura_archiver.output.summary import exit_of_health
from kaltura_archiver.output.tables import Rows

log = logging.getLogger(__name__)


@command("health", cls=SelectingCommand)
@selection_options
@click.option(
    "--workers", type=click.IntRange(1, 64), default=8, show_default=True, help="Objects looked at at a time."
)
@click.option("--verified", is_flag=True, help="Look at every stored copy, and tell when it was verified.")
@columns_option
@legacy_option
@format_option
@pass_app
def health(
    app: App, /, query: Query, workers: int, verified: bool, columns: str | None, legacy: bool, style: str
) -> None:  # fmt: skip
    """Check each entry against S3: a row each, what is wrong also on stderr; exit 1 if one is broken.

    Of up to 40 entries each stored copy is looked at, and the message tells when it was last verified. Of more the
    bucket is listed, which is much faster: sizes are compared, and a copy is looked at only where its tags could change
    the state. --verified, or one of the columns identity, evidence and verified_at, looks at every copy.

    \b
    Examples:
      kaltura-archiver health --tag archived_to_s3 --max-entries -1
      kaltura-archiver health --id 0_abc12345 --format table
      kaltura-archiver health --unplayed-for 3 --columns entry_id,state,next --format csv > health.csv
    """
    from kaltura_archiver.cli import legacy as old
    from kaltura_archiver.placeholders import Placeholders
    from kaltura_archiver.states import classify
    from kaltura_archiver.survey import facts_of

    shown = _columns(columns, OLD_HEALTH_COLUMNS if legacy else HEALTH_COLUMNS, MORE_HEALTH_COLUMNS)
    kaltura, store = app.kaltura(), app.store(check=False)
    selection = _select(kaltura, query)
    look = facts_of(
        kaltura, store, selection, placeholders=Placeholders.read(app.settings).known(), workers=workers,
        thorough=verified or not COLUMNS_OF_TAGS.isdisjoint(shown), availability="availability" in shown,
    )  # fmt: skip
    codes: set[Exit] = set()
    with (
        look as looked,
        Rows(shown, style, titles=old.HEALTH_TITLES if legacy else None) as rows,
        progress("health", looked, lambda: selection.expected, streamed=style != "table") as found,
    ):
        for facts in found:
            judgement = classify(facts)
            code = exit_of_health(judgement)
            codes.add(code)
            rows.write(old.health_row(facts, app.settings.bucket) if legacy else health_row(facts, judgement))
            if code is not Exit.OK:
                log.error("entry %s is %s", facts.entry.id, health_message(facts, judgement))
    app.exit(*_after_selection(selection), *codes)
