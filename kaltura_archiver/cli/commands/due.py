"""kaltura-archiver due"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from kaltura_archiver.asking.keeping import keep_list
from kaltura_archiver.cli.app import App, pass_app
from kaltura_archiver.cli.command_line import SelectingCommand, without_limit
from kaltura_archiver.cli.group import command
from kaltura_archiver.cli.options import (
    format_option,
    keep_options,
    lookers_option,
    options_named,
    selection_options,
)
from kaltura_archiver.cli.query import exits_of_named, min_age_years
from kaltura_archiver.cli.types import Age
from kaltura_archiver.errors import Exit
from kaltura_archiver.filters import Query, years_ago
from kaltura_archiver.model import Facts, Outcome, iso_date
from kaltura_archiver.output.progress import progress
from kaltura_archiver.output.rows import DUE_ON_SCREEN, went_well
from kaltura_archiver.output.screen import SCREEN, rows_as
from kaltura_archiver.output.tables import Cell
from kaltura_archiver.steps import Command, Options, Plan

if TYPE_CHECKING:
    from kaltura_archiver.kaltura import Kaltura
    from kaltura_archiver.placeholders import Placeholders
    from kaltura_archiver.run.due import Part
    from kaltura_archiver.selection import Among, Selection
    from kaltura_archiver.store import Store


log = logging.getLogger(__name__)
DUE_COLUMNS = (
    "entry_id", "command", "outcome", "state", "created_date", "last_played_date", "plays", "owner_id", "name",
    "detail",
)  # fmt: skip


@without_limit
@command("due", cls=SelectingCommand)
@selection_options
@click.option("--years", type=Age(), required=True, metavar="AGE", help="The rule: so long a video is kept unplayed.")
@options_named("min_age_years", "noticed_before_seconds")
@keep_options
@lookers_option
@format_option
@pass_app
def due(
    app: App, /, query: Query, years: float, keep_tags: Sequence[str], keep_categories: Sequence[int],
    keep_owners: Sequence[str], keep_metadata: Sequence[str], workers: int, style: str, **options: Any,
) -> None:  # fmt: skip
    """List what breaks the rule of so many years, and the command that mends it: to archive, to replace, to restore.

    Originals not played for Y years belong in S3, and placeholders that were played, or created, within Y years back
    into Kaltura; what is tagged as replaced and is not, since a run was cut, needs repair. A row for each: what the
    command would do (would), or why it waits or refuses. What is rightly left alone (kept, too young) is only counted.
    The last line on stderr adds up. Exit status 3 where there is any.

    \b
    Examples:
      kaltura-archiver due --years 3 --format table
      kaltura-archiver due --years 3 --tag '!flavors_deleted' > to-archive.tsv
      kaltura-archiver due --years 3 --tag flavors_deleted --format csv > to-restore.csv
    """
    from kaltura_archiver.placeholders import Placeholders
    from kaltura_archiver.run.due import Backlog, RuleOfYears
    from kaltura_archiver.run.kept import check_excluded, check_keep
    from kaltura_archiver.selection import Among
    from kaltura_archiver.survey import plans_of

    now = time.time()
    rule = RuleOfYears(years_ago(now, years) or 0)
    parts = rule.parts(query)
    keep = keep_list(app.settings, keep_tags, keep_categories, keep_owners, keep_metadata)
    options["min_age_years"] = min_age_years(parts[0].query, options["min_age_years"])
    settings = Options(now=now, keep=keep, **options)
    placeholders = Placeholders.read(app.settings).known()
    kaltura, store = app.kaltura(), app.store(check=False)
    check_keep(kaltura, keep)
    check_excluded(kaltura, query)
    backlog, told, taken, cut = Backlog(), set[str](), set[str](), False
    named, codes = _named_once(kaltura, query, store)
    bar = partial(progress, "due", streamed=style != "table")
    with rows_as(style, DUE_ON_SCREEN if style == SCREEN else DUE_COLUMNS, note="detail", fine=went_well) as rows:
        for part in parts if named is None else rule.parts(replace(query, ids=named)):
            selection = Among(kaltura, part.query, store, None if part.replaced else taken)
            if part.replaced:
                looked_at, selection = selection, _unhealthy(selection, store, placeholders, workers, bar, taken)
                codes |= exits_of_named(looked_at)
            planned = plans_of(
                kaltura, store, selection, Command.REPLACE, settings, placeholders=placeholders, workers=workers,
                plan=partial(rule.plan, part),
            )  # fmt: skip
            with planned as found, bar(found, partial(_expected, selection)) as counting:
                for facts, plan in _once(part, counting, told):
                    command = rule.command_for(part, facts, settings)
                    backlog.add(command, plan)
                    if plan.outcome not in (Outcome.SKIPPED, Outcome.ALREADY):
                        rows.write(_row(facts, command, plan))
            codes |= exits_of_named(selection)
            if selection.cut:
                cut = True
                log.warning("stopped at --max-entries %d; more entries match", selection.selected)
    for entry_id in () if cut else (i for i in named or () if i not in taken):
        log.info("entry %s is left out: by the rule it stays as it is", entry_id)
    log.info("due by %g year%s: %s", years, "" if years == 1 else "s", backlog)
    app.exit(*codes, *backlog.codes)


def _once(part: Part, found: Iterable[tuple[Facts, Plan]], told: set[str]) -> Iterator[tuple[Facts, Plan]]:
    """What is this part's, and not `told` yet."""
    for facts, plan in found:
        # A stream has its own last play, and is told with its parent, whose play counts.
        if facts.entry.id not in told and part.counts(facts.entry):
            told.add(facts.entry.id)
            yield facts, plan


def _expected(selection: Selection) -> int | None:
    return selection.expected


def _named_once(kaltura: Kaltura, query: Query, store: Store) -> tuple[tuple[str, ...] | None, set[Exit]]:
    """Of the ids that are named those that the parts are made of, and what the others make of the exit status: that one
    leads nowhere, or does not meet the criteria, is told once. None where none are named."""
    from kaltura_archiver.selection import Selection

    if query.ids is None:
        return None, set()
    chosen = Selection(kaltura, replace(query, max_entries=None, first_page=1), store)
    return tuple(entry.id for entry in chosen), exits_of_named(chosen)


def _unhealthy(
    selection: Selection, store: Store, placeholders: Placeholders, workers: int, bar: Callable[..., Any],
    taken: set[str],
) -> Among:  # fmt: skip
    """Of a selection the entries that are not as they should be. They are told from listings, as `health` tells them:
    one that is healthy costs no request of its own, and no limit counts it."""
    from kaltura_archiver.groups import judged_together
    from kaltura_archiver.selection import Among
    from kaltura_archiver.survey import facts_of

    query, selection.query = selection.query, replace(selection.query, max_entries=None)
    look = facts_of(
        selection.kaltura, store, selection, placeholders=placeholders, workers=workers, thorough=False,
        availability=False, streams=True,
    )  # fmt: skip
    with look as found, bar(found, partial(_expected, selection)) as counting:
        ids = tuple(
            facts.entry.id
            for facts, judgement in judged_together(counting)
            if not judgement.healthy and not facts.entry.parent_of_stream
        )
    return Among(selection.kaltura, replace(query, ids=ids, first_page=1), store, taken)


def _row(facts: Facts, command: Command, plan: Plan) -> dict[str, Cell]:
    entry = facts.entry
    return {
        "entry_id": entry.id,
        "command": command.value,
        "outcome": (Outcome.WOULD if plan.steps else plan.outcome).value,
        "state": plan.state.value,
        "created_date": iso_date(entry.created_at) or None,
        "last_played_date": iso_date(entry.last_played_at) or None,
        "plays": entry.plays,
        "owner_id": entry.owner or None,
        "name": entry.name or None,
        "detail": plan.describe(),
    }
