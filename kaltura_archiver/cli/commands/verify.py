"""kaltura-archiver verify"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from kaltura_archiver.cli.acting import run_command
from kaltura_archiver.cli.app import App, pass_app
from kaltura_archiver.cli.command_line import SelectingCommand
from kaltura_archiver.cli.group import command
from kaltura_archiver.cli.options import (
    all_option,
    bandwidth_option,
    cluster_options,
    dry_run_option,
    format_option,
    limit_options,
    no_lock_option,
    options_of,
    run_log_option,
    selection_options,
    together,
    workers_option,
)
from kaltura_archiver.cli.query import whole
from kaltura_archiver.filters import Query
from kaltura_archiver.steps import Command

if TYPE_CHECKING:
    from kaltura_archiver.selection import Ids


@command("verify", cls=SelectingCommand)
@selection_options
@click.option("--sample", metavar="N|P%", help="Only so many of all that match, or that part, drawn by chance.")
@together(
    options_of(Command.VERIFY),
    dry_run_option,
    all_option,
    workers_option,
    limit_options,
    cluster_options,
    no_lock_option,
    run_log_option,
    bandwidth_option,
    format_option,
)
@pass_app
def verify(app: App, /, query: Query, sample: str | None, **options: Any) -> None:
    """Read stored copies back and compare them with their checksums; exit 1 if one is damaged.

    A dry run reads and compares, too, and tells what it found. With --no-dry-run that is recorded: a copy found whole
    is tagged verified-at, a damaged one is marked, and nothing rests on it any more. Frozen copies are not readable
    now: they are told, and with --request --no-dry-run asked to thaw, which AWS charges for.

    \b
    Examples:
      kaltura-archiver verify --tag archived_to_s3 --sample 5%
      kaltura-archiver verify --tag archived_to_s3 --max-entries -1 --bandwidth 20M --no-dry-run
      kaltura-archiver verify --id 0_abc12345 --request --tier standard --no-dry-run
    """
    run_command(app, Command.VERIFY, whole(query, sample), acting=False, draw=_sampler(sample), **options)


def _sampler(sample: str | None) -> Callable[[Ids], Sequence[str]]:
    """What draws the sample asked for: `N` ids or `P%` of them (at least one), in their order."""
    if sample is None:
        return lambda ids: ids
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(%?)", sample)
    number = float(match.group(1)) if match else 0.0
    if not match or number <= 0 or (match.group(2) and number > 100) or (not match.group(2) and number % 1):
        raise click.UsageError(f"--sample: {sample!r} is neither a number nor a percentage such as 5%")

    import random

    def draw(ids: Ids) -> Sequence[str]:
        wanted = math.ceil(len(ids) * number / 100) if match.group(2) else int(number)
        drawn = set(random.SystemRandom().sample(ids, min(wanted, len(ids))))
        return [entry_id for entry_id in ids if entry_id in drawn]

    return draw
