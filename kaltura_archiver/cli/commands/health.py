"""kaltura-archiver health"""

from __future__ import annotations

import logging
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import click

from kaltura_archiver import exits
from kaltura_archiver.cli.app import App, pass_app
from kaltura_archiver.cli.command_line import SelectingCommand, without_limit
from kaltura_archiver.cli.group import command
from kaltura_archiver.cli.options import (
    columns_of_row,
    columns_option,
    format_option,
    legacy_option,
    selection_options,
)
from kaltura_archiver.cli.query import after_selection, whatever_status, whole
from kaltura_archiver.cli.sorting import sort_options, sorted_rows
from kaltura_archiver.errors import Exit
from kaltura_archiver.filters import Query
from kaltura_archiver.output.progress import progress
from kaltura_archiver.output.rows import (
    COLUMNS_OF_TAGS,
    HEALTH_COLUMNS,
    HEALTH_ON_SCREEN,
    MORE_HEALTH_COLUMNS,
    OLD_HEALTH_COLUMNS,
    health_message,
    health_row,
)
from kaltura_archiver.output.screen import SCREEN, columns_of_terminal, rows_as, wrapped

if TYPE_CHECKING:
    from kaltura_archiver.model import Entry, Facts
    from kaltura_archiver.output.verdict import HealthVerdict
    from kaltura_archiver.selection import Selection
    from kaltura_archiver.states import Judgement
    from kaltura_archiver.store import Store

log = logging.getLogger(__name__)


@without_limit
@command("health", cls=SelectingCommand)
@selection_options
@click.option(
    "--workers", type=click.IntRange(1, 64), default=8, show_default=True, help="Objects looked at at a time."
)
@click.option("--verified", is_flag=True, help="Look at every stored copy, and tell when it was verified.")
@click.option("--all-rows", is_flag=True, help="On a terminal: a row for each entry, too, and not only the verdict.")
@click.option("--only-problems", is_flag=True, help="Rows of what needs attention only.")
@sort_options
@columns_option
@legacy_option
@format_option
@pass_app
def health(
    app: App, /, query: Query, workers: int, verified: bool, all_rows: bool, only_problems: bool, sort: str | None,
    number: int | None, columns: str | None, legacy: bool, style: str,
) -> None:  # fmt: skip
    """Check each video against S3; exit 1 if one is broken, 3 if one is only busy.

    On a terminal: what needs attention, worst first, with what to do; what there is of each state; and the verdict in
    the last line. In a pipe a row for each entry, and the verdict on stderr. It is about videos, or a --media-type.

    Of up to 40 entries each stored copy is looked at, and the message tells when it was last verified. Of more the
    bucket is listed, which is much faster: sizes are compared, and a copy is looked at only where its tags could change
    the state. --verified, or one of the columns identity, evidence and verified_at, looks at every copy.

    \b
    Examples:
      kaltura-archiver health
      kaltura-archiver health --tag archived_to_s3 --only-problems > problems.tsv
      kaltura-archiver health --all-rows --sort size -n 20
      kaltura-archiver health --unplayed-for 3 --columns entry_id,state,next --format csv > health.csv
    """
    from kaltura_archiver.cli import legacy as old
    from kaltura_archiver.groups import judged_together
    from kaltura_archiver.output.verdict import HealthVerdict
    from kaltura_archiver.placeholders import Placeholders
    from kaltura_archiver.selection import Selection
    from kaltura_archiver.survey import facts_of

    style = "tsv" if legacy and style == SCREEN else style
    told = style == SCREEN and columns is None  # by the verdict on stdout, in place of lines of log
    usual = OLD_HEALTH_COLUMNS if legacy else HEALTH_ON_SCREEN if told else HEALTH_COLUMNS
    shown = columns_of_row(columns, usual, (*HEALTH_COLUMNS, *MORE_HEALTH_COLUMNS))
    kaltura, store = app.kaltura(), app.store(check=False)
    selection = Selection(kaltura, whatever_status(whole(query, sort)), store)
    look = facts_of(
        kaltura, store, selection, placeholders=Placeholders.read(app.settings).known(), workers=workers,
        thorough=verified or not COLUMNS_OF_TAGS.isdisjoint(shown), availability="availability" in shown,
        streams=True,
    )  # fmt: skip
    codes: set[Exit] = set()
    verdict = HealthVerdict(query.media_type)
    with look as looked, ExitStack() as stack:
        silent = told and not all_rows
        titles = old.HEALTH_TITLES if legacy else None
        written = rows_as(style, shown, titles=titles, **(_NOTE if told else {}))
        rows = None if silent else stack.enter_context(written)
        streamed = not silent and style != "table"
        found = stack.enter_context(progress("health", looked, lambda: selection.expected, streamed=streamed))
        judged = judged_together(found)
        for facts, judgement in sorted_rows(judged, sort, number, _entry_and_bytes):
            codes.add(code := exits.of_health(judgement))
            row = health_row(facts, judgement)
            verdict.add(facts, judgement, row)
            if rows is not None and not (only_problems and judgement.healthy):
                rows.write(old.health_row(facts, app.settings.bucket) if legacy else row)
            if code in _LEVELS and not told:
                log.log(_LEVELS[code], "entry %s is %s", facts.entry.id, health_message(facts, judgement))
    _left_out(verdict, selection, number)
    _tell_dangers(store)
    _tell(verdict, told=told, problems=silent)
    app.exit(*after_selection(selection), *codes)


# The alarm of what is broken counts the errors (aws/alarms.yaml): what is only busy is none.
_LEVELS = {Exit.FAILED: logging.ERROR, Exit.WAITING: logging.WARNING}
# On a screen what is wrong, and what to do, stands below the row.
_NOTE: dict[str, Any] = {"note": "told", "fine": lambda row: bool(row["status-ok"])}


def _entry_and_bytes(judged: tuple[Facts, Judgement]) -> tuple[Entry, int]:
    facts = judged[0]
    sizes = (facts.original.known_bytes if facts.original else 0, facts.stored.size_bytes if facts.stored else 0)
    return facts.entry, max(sizes)


def _left_out(verdict: HealthVerdict, selection: Selection, number: int | None) -> None:
    """Have the verdict know what it is not of."""
    query = selection.query
    verdict.nowhere, verdict.refused, verdict.odd = len(selection.unknown), len(selection.refused), selection.odd
    verdict.cut = selection.cut
    verdict.some = verdict.entries == number or query.first_page > 1 or query.shard is not None


def _tell_dangers(store: Store) -> None:
    from kaltura_archiver.store.rules import dangers

    found, unseen = dangers(store)
    for line in found:
        log.warning("%s", line)
    if unseen:
        log.warning("not all of the bucket's rules could be looked at, which may delete copies: config tells why")


def _tell(verdict: HealthVerdict, *, told: bool, problems: bool) -> None:
    """The verdict. To a person: the rows of what needs attention, the sums, and the last line."""
    if not told:
        log.info("verdict: %s", verdict)
        return
    if problems and (rows := list(verdict.problems())):
        with rows_as(SCREEN, HEALTH_ON_SCREEN, **_NOTE) as screen:
            for row in rows:
                screen.write(row)
        for line in verdict.unshown():
            click.echo(line)
        click.echo()
    with rows_as(SCREEN, ("state", "entries", "original_bytes", "stored_bytes")) as screen:
        for row in verdict.sums():
            screen.write(row)
    click.echo()
    for text in filter(None, (verdict.proof(), str(verdict))):
        for line in wrapped(text, columns_of_terminal()):
            click.echo(line)
