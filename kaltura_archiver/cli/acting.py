"""From what was typed to a run: criteria, the keep list, a fleet, and how to choose."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

import click

from kaltura_archiver.cli.app import App
from kaltura_archiver.cli.command_line import dashed
from kaltura_archiver.cli.fleets import start_fleet_of
from kaltura_archiver.cli.keeping import keep_list
from kaltura_archiver.cli.query import after_selection, min_age_years, need_criteria, not_begun, selected
from kaltura_archiver.cli.telling import Telling
from kaltura_archiver.filters import Query
from kaltura_archiver.keep import Keep
from kaltura_archiver.output.logs import without_entries
from kaltura_archiver.output.progress import progress
from kaltura_archiver.output.screen import SCREEN
from kaltura_archiver.run.errand import Errand
from kaltura_archiver.run.run import Asked, carry_out
from kaltura_archiver.steps import Command, Options

if TYPE_CHECKING:
    from kaltura_archiver.apply import Runner
    from kaltura_archiver.selection import Ids


log = logging.getLogger(__name__)


def run_command(
    app: App, command: Command, query: Query, *, dry_run: bool, acting: bool, everything: bool, workers: int,
    style: str, cluster: str | None, cluster_tls: str | None, max_calls: int, max_transfers: int,
    no_lock: bool = False, no_run_log: bool = False, tmp: str | None = None, wait_ready: bool = False,
    draw: Callable[[Ids], Sequence[str]] = lambda ids: ids, keep_tags: Sequence[str] = (),
    keep_categories: Sequence[int] = (), keep_owners: Sequence[str] = (), **options: Any,
) -> NoReturn:  # fmt: skip
    """Select, then do the command's work on each entry: a row per entry, a summary, the exit status."""
    context = click.get_current_context()
    if acting and dry_run and context.get_parameter_source("dry_run") is click.core.ParameterSource.COMMANDLINE:
        raise click.UsageError("--dry-run contradicts the old flag that acts", context)
    need_criteria(str(command), query, everything=everything)
    if "min_age_years" in options:
        options["min_age_years"] = min_age_years(query, options["min_age_years"])
    if command.heeds_keep:
        options["keep"] = keep_list(app.settings, keep_tags, keep_categories, keep_owners)

    def choose(runner: Runner) -> Errand:
        from kaltura_archiver.run.kept import check_excluded, check_keep
        from kaltura_archiver.selection import Ids

        check_keep(runner.kaltura, options.get("keep", Keep(frozenset())))
        check_excluded(runner.kaltura, query)
        selection = selected(runner.kaltura, query)
        # All ids before the first change: a new tag changes what the search matches (kaltura-api 3.4).
        told = without_entries() if style == SCREEN else nullcontext()
        with told, progress("selecting", selection, lambda: selection.expected) as entries:
            ids = draw(Ids(entry.id for entry in entries if not selection.leaves_to_parent(entry)))
        return Errand(ids, after_selection(selection, limited=True), list(not_begun(selection)))

    for name in ("cluster_tls", "max_calls", "max_transfers"):
        if not cluster and context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            raise click.UsageError(f"--{dashed(name)} is for --cluster", context)
    settings = Options(now=time.time(), dry_run=dry_run and not acting, plays=query.plays, **options)
    start_fleet = None
    if cluster:
        numbers = (workers, max_calls, max_transfers)
        start_fleet = partial(start_fleet_of, app, cluster, cluster_tls, command, settings, numbers)
    asked = Asked(
        command, settings, choose, str(query), query.shard, workers, no_lock, no_run_log, start_fleet=start_fleet
    )
    perform(app, style, asked)


def perform(app: App, style: str, asked: Asked) -> NoReturn:
    """Do what was asked for, and tell of it."""
    carry_out(app, asked, Telling(app, asked.command, asked.options, style))
