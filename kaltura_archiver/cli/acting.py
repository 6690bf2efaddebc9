"""From what was typed to a run: criteria, the keep list, a fleet, and how to choose."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

import click

from kaltura_archiver.asking.keeping import keep_list
from kaltura_archiver.cli.app import App
from kaltura_archiver.cli.command_line import dashed
from kaltura_archiver.cli.fleets import start_fleet_of
from kaltura_archiver.cli.query import after_selection, but_thin, min_age_years, need_criteria, need_length, not_begun
from kaltura_archiver.cli.telling import Telling
from kaltura_archiver.filters import Query
from kaltura_archiver.keep import Keep
from kaltura_archiver.output.logs import without_entries
from kaltura_archiver.output.progress import progress
from kaltura_archiver.output.screen import SCREEN
from kaltura_archiver.output.tables import readable_bytes
from kaltura_archiver.run.errand import Errand
from kaltura_archiver.run.limits import Allowance, Limits, bytes_limit, entries_limit
from kaltura_archiver.run.run import Asked, carry_out
from kaltura_archiver.steps import Command, Options

if TYPE_CHECKING:
    from kaltura_archiver.apply import Runner
    from kaltura_archiver.selection import Ids


log = logging.getLogger(__name__)


def run_command(
    app: App, command: Command, query: Query, *, dry_run: bool, acting: bool, everything: bool, workers: int,
    style: str, cluster: str | None, cluster_tls: str | None, max_calls: int, max_transfers: int,
    max_cost: float | None, max_bytes: int | None, no_lock: bool = False, no_run_log: bool = False,
    tmp: str | None = None, wait_ready: bool = False,
    draw: Callable[[Ids], Sequence[str]] = lambda ids: ids, keep_tags: Sequence[str] = (),
    keep_categories: Sequence[int] = (), keep_owners: Sequence[str] = (), keep_metadata: Sequence[str] = (),
    **options: Any,
) -> NoReturn:  # fmt: skip
    """Select, then do the command's work on each entry: a row per entry, a summary, the exit status."""
    context = click.get_current_context()
    if acting and dry_run and context.get_parameter_source("dry_run") is click.core.ParameterSource.COMMANDLINE:
        raise click.UsageError("--dry-run contradicts the old flag that acts", context)
    need_criteria(str(command), query, everything=everything)
    need_length(command, query)
    query = but_thin(command, query)
    if "min_age_years" in options:
        options["min_age_years"] = min_age_years(query, options["min_age_years"])
    if command.heeds_keep:
        options["keep"] = keep_list(app.settings, keep_tags, keep_categories, keep_owners, keep_metadata)

    def choose(runner: Runner) -> Errand:
        from kaltura_archiver.run.kept import check_excluded, check_keep
        from kaltura_archiver.selection import Ids, Selection

        check_keep(runner.kaltura, options.get("keep", Keep(frozenset())))
        check_excluded(runner.kaltura, query)
        numbered = runner.options.asked or query
        selection = Selection(runner.kaltura, numbered, runner.store, whole=True)
        # All ids before the first change: a new tag changes what the search matches (kaltura-api 3.4).
        told = without_entries() if style == SCREEN else nullcontext()
        with told, progress("selecting", selection, lambda: selection.expected) as entries:
            ids = draw(Ids(entry.id for entry in entries))
        return Errand(
            ids,
            after_selection(selection, limited=True, request_tag=options.get("request_tag", "")),
            list(not_begun(selection)),
        )

    for name in ("cluster_tls", "max_calls", "max_transfers"):
        if not cluster and context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            raise click.UsageError(f"--{dashed(name)} is for --cluster", context)
    settings = Options(now=time.time(), dry_run=dry_run and not acting, plays=query.plays, asked=query, **options)
    start_fleet, limits = None, limits_of(app, command, settings, max_cost, max_bytes)
    if cluster:
        if limits.any:
            raise click.UsageError("--max-cost and --max-bytes are not for --cluster, where no one adds up", context)
        numbers = (workers, max_calls, max_transfers)
        start_fleet = partial(start_fleet_of, app, cluster, cluster_tls, command, settings, numbers)
    asked = Asked(
        command, settings, choose, str(query), query.shard, workers, no_lock, no_run_log, start_fleet=start_fleet,
        limits=limits,
    )  # fmt: skip
    perform(app, style, asked)


def limits_of(
    app: App, command: Command, options: Options, max_cost: float | None, max_bytes: int | None,
    max_entries: int | None = None, names: tuple[str, str, str] = ("--max-cost", "--max-bytes", "--max-entries"),
) -> Limits:  # fmt: skip
    """What --max-cost and --max-bytes ask for, or a policy by other `names`."""
    limits = []
    if max_cost is not None:
        # Behind a closed one there may be copies that have thawed: they take nothing of it, and are brought back.
        limits.append(money_limit(app, options, names[0], max_cost, ends=command is Command.S3COPY))
    if max_bytes is not None:
        limits.append(bytes_limit(f"{names[1]} {readable_bytes(max_bytes)}", max_bytes, options))
    if max_entries is not None:
        limits.append(entries_limit(f"{names[2]} {max_entries}", max_entries))
    return Limits(*limits)


def money_limit(
    app: App, options: Options, name: str, most: float, *, ends: bool, span: str = Allowance.span
) -> Allowance:  # fmt: skip
    """At most so much money, by the prices of the settings."""
    from kaltura_archiver.money.bill import committed, money

    prices = app.prices()
    shown = partial(money, currency=prices.currency)
    return Allowance(f"{name} {shown(most)}", most, committed(prices, options), shown, ends, span)


def perform(app: App, style: str, asked: Asked) -> NoReturn:
    """Do what was asked for, and tell of it."""
    carry_out(app, asked, Telling(app, asked.command, asked.options, style))
