"""kaltura-archiver plan"""

from __future__ import annotations

import logging
import shlex
import sys
import time
from pathlib import Path
from typing import Any

import click

from kaltura_archiver import exits
from kaltura_archiver.asking.keeping import KEPT_BY, keep_list
from kaltura_archiver.cli.app import App, pass_app
from kaltura_archiver.cli.group import command
from kaltura_archiver.cli.options import (
    all_option,
    keep_options,
    lookers_option,
    options_named,
    placeholder_map_option,
    price_options,
    selection_options,
)
from kaltura_archiver.cli.plan_show import PlanCommand
from kaltura_archiver.cli.plans import account_of, lines_written_at_once
from kaltura_archiver.cli.query import (
    after_selection,
    asked_for_by,
    but_thin,
    min_age_years,
    need_criteria,
    need_length,
)
from kaltura_archiver.cli.telling import applying_line
from kaltura_archiver.cli.types import PATH
from kaltura_archiver.errors import SelectionError
from kaltura_archiver.filters import Query
from kaltura_archiver.keep import Keep
from kaltura_archiver.output.files import check_target
from kaltura_archiver.output.progress import progress
from kaltura_archiver.steps import ACTIONS, Options, planned_options

log = logging.getLogger(__name__)
# The options of each action, once.
_PLANNED = tuple(dict.fromkeys(name for command in ACTIONS.values() for name in planned_options(command)))


@command("plan", cls=PlanCommand)
@click.argument("action", type=click.Choice(list(ACTIONS)))
@selection_options
@click.option(
    "--output",
    "-o",
    required=True,
    type=PATH,
    metavar="FILE",
    help="File to write, readable by you alone; - is stdout.",
)
@click.option("--force", is_flag=True, help="Overwrite the file if it exists.")
@all_option
@lookers_option
@placeholder_map_option
@options_named(*_PLANNED)
@keep_options
@price_options
@pass_app
def plan(
    app: App, /, action: str, query: Query, output: str, force: bool, everything: bool, workers: int,
    kaltura_price: float | None, price_table: Path | None, **options: Any,
) -> None:  # fmt: skip
    """Write down what s3copy (archive), replace_video, thin or restore would do to each entry, for a person to review.

    JSON Lines: what the plan is and its totals; then each entry with what would be done, why, bytes and cost, or why it
    is left out; a last line. Delete lines to leave entries out, or have `plan show` make a page for that. Nothing is
    changed before `apply`.

    Options are those of the command that it is about, and become part of the plan: --storage-class is for archive, for
    one, --keep-height for thin, --tier for restore.

    \b
    Examples:
      kaltura-archiver plan archive --tag '!archived_to_s3' --unplayed-for 3 -o plan.jsonl
      kaltura-archiver plan replace --unplayed-for 3 --kaltura-price 0.12 -o replace.jsonl
      kaltura-archiver plan restore --idfile ids.txt --tier standard -o -
      kaltura-archiver plan restore --request-tag restore_please -o back.jsonl
      kaltura-archiver plan show plan.jsonl
    """
    from kaltura_archiver.placeholders import Placeholders
    from kaltura_archiver.review.planfile import Writer, terms_of
    from kaltura_archiver.run.kept import check_excluded, check_keep
    from kaltura_archiver.selection import Selection
    from kaltura_archiver.survey import plans_of

    command = ACTIONS[action]
    _refuse_options_of_others(action, set(planned_options(command)))
    query, options["request_tag"] = asked_for_by(query, options["request_tag"])
    need_criteria(f"plan {action}", query, everything=everything)
    need_length(command, query)
    query = but_thin(command, query)
    if output != "-":
        _check_new(Path(output), force=force)
    by_option = [options.pop(f"keep_{what}") for what in KEPT_BY]
    kept = keep_list(app.settings, *by_option) if command.heeds_keep else Keep(frozenset())
    options |= {"keep": kept, "min_age_years": min_age_years(query, options["min_age_years"])}
    settings = Options(now=time.time(), plays=query.plays, **options)
    placeholders = Placeholders.read(app.settings).needed_by(command)
    account, prices = account_of(app, command, placeholders), app.prices(kaltura_price, price_table)
    with app.stoppable(), lines_written_at_once(output, force=force) as (body, finish):
        kaltura, store = app.kaltura(), app.store(check=False)
        check_keep(kaltura, kept)
        check_excluded(kaltura, query)
        selection = Selection(kaltura, query, store)
        writer = Writer(terms_of(command, settings, query, account, selection.query), settings, prices)
        planned = plans_of(
            kaltura, store, selection, command, settings, placeholders=placeholders, workers=workers
        )  # fmt: skip
        with planned as found, progress("plan", found, lambda: selection.expected) as counted:
            for facts, what in counted:
                body.write(f"{writer.entry(facts, what)}\n")
        codes = after_selection(selection, limited=True, request_tag=settings.request_tag)
        finish(writer.first(), writer.last())
    log.info("plan: %s", writer.told(people=sys.stderr.isatty()))
    to_type = applying_line(app, output)
    told = "to act, give it to" if output == "-" else f"plan show {shlex.quote(output)} shows it; to act"
    log.info("nothing was changed; %s: %s", told, to_type, extra={"to_type": to_type})
    app.exit(*codes, *exits.of_outcomes(writer.outcomes))


def _check_new(output: Path, *, force: bool) -> None:
    if output.exists() and not (force and output.is_file()):
        check_target(output)  # which --force would not overwrite either
        raise SelectionError(f"{output} exists; name another file with --output, or use --force to overwrite a file")
    check_target(output)


def _refuse_options_of_others(action: str, ours: set[str]) -> None:
    context = click.get_current_context()
    for name in sorted(set(_PLANNED) - ours):
        if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            raise click.UsageError(f"--{name.replace('_', '-')} is no option of plan {action}", context)
