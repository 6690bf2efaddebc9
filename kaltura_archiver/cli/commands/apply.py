"""kaltura-archiver apply"""

from __future__ import annotations

import logging
import math
import re
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from kaltura_archiver.asking.keeping import keep_list
from kaltura_archiver.cli.acting import limits_of, perform
from kaltura_archiver.cli.app import App, pass_app
from kaltura_archiver.cli.group import command
from kaltura_archiver.cli.options import (
    bandwidth_option,
    dry_run_option,
    format_option,
    keep_options,
    limit_options,
    no_lock_option,
    options_named,
    placeholder_map_option,
    run_log_option,
    together,
    tolerate_option,
    workers_option,
)
from kaltura_archiver.cli.plans import account_of
from kaltura_archiver.cli.types import PATH
from kaltura_archiver.errors import InputError
from kaltura_archiver.filters import Plays
from kaltura_archiver.review.applying import Applying
from kaltura_archiver.run.run import Asked
from kaltura_archiver.steps import Options

log = logging.getLogger(__name__)


class NumberOrPercent(click.ParamType[tuple[float, str]]):
    """So many, `N`, or a part, `P%`: as (number, unit)."""

    name = "part"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, str]:
        match = re.fullmatch(r"(\d+(?:\.\d+)?)(%?)", str(value))
        number = float(match.group(1)) if match else math.nan
        if not match or (number > 100 if match.group(2) else number % 1):
            self.fail(f"{value!r} is neither a number nor a percentage such as 1%", param, ctx)
        return number, match.group(2)


@command("apply")
@click.argument("file", type=PATH, metavar="PLAN")
@dry_run_option
@click.option(
    "--max-drift", type=NumberOrPercent(), default="1%", show_default=True, metavar="N|P%",
    help="Stop where more entries than that are not as they were planned.",
)  # fmt: skip
@together(
    workers_option, limit_options, no_lock_option, run_log_option, bandwidth_option, tolerate_option,
    placeholder_map_option, format_option, options_named("timeout_seconds", "max_converting"),
)  # fmt: skip
@keep_options
@pass_app
def apply(
    app: App, /, file: str, dry_run: bool, max_drift: tuple[float, str], workers: int, keep_tags: Sequence[str],
    keep_categories: Sequence[int], keep_owners: Sequence[str], keep_metadata: Sequence[str],
    timeout_seconds: float, max_converting: int,
    no_lock: bool, no_run_log: bool, style: str, max_cost: float | None, max_bytes: int | None,
) -> NoReturn:  # fmt: skip
    """Do what a plan says, to the entries of its lines; a dry run unless told otherwise.

    First every entry is looked at. What is not any more as it was planned is named and left alone; if that is more than
    --max-drift, nothing is done (exit 4). Given again after an interruption, it goes on. - is stdin.

    \b
    Examples:
      kaltura-archiver apply plan.jsonl
      kaltura-archiver apply plan.jsonl --no-dry-run
      kaltura-archiver apply plan.jsonl --no-dry-run --max-drift 20 --workers 8
    """
    from kaltura_archiver.output.reading import numbered_lines, opened
    from kaltura_archiver.placeholders import Placeholders
    from kaltura_archiver.review.planfile import MAX_LINE_BYTES, read_plan

    where = "stdin" if file == "-" else file
    with opened(file) as stream:
        terms, lines, left_out = read_plan(numbered_lines(stream, where, MAX_LINE_BYTES), where)
    placeholders = Placeholders.read(app.settings).needed_by(terms.command)
    ours = account_of(app, terms.command, placeholders)
    for name in dict.fromkeys((*ours, *terms.account)):
        there, here = (account.get(name) or "of AWS" for account in (terms.account, ours))
        if there != here and name == "placeholder":
            raise InputError(
                f"{where}, line 1: the plan was made with other placeholders than these settings name: give the same "
                "PLACEHOLDER_VIDEO and PLACEHOLDER_MAP (--placeholder-map)"
            )
        if there != here:
            raise InputError(f"{where}, line 1: the plan is for {name} {there}, these settings are for {name} {here}")
    keep = terms.keep
    if terms.command.heeds_keep:
        keep |= keep_list(app.settings, keep_tags, keep_categories, keep_owners, keep_metadata)
    options = Options(
        now=time.time(), dry_run=dry_run, keep=keep, timeout_seconds=timeout_seconds, max_converting=max_converting,
        plays=Plays(**terms.plays), asked=terms.asked, **terms.options,  # type: ignore[arg-type]
    )  # fmt: skip
    number, percent = max_drift
    work = Applying(terms, lines, left_out, len(lines) * number / 100 if percent else number, f"{number:g}{percent}")
    told = ", ".join(f"{outcome} {count}" for outcome, count in sorted(Counter(left_out.values()).items()))
    log.info(
        "plan %s of %s: %s of %d entries%s", terms.plan, terms.made, terms.command, len(lines),
        f"; left out: {told}" if told else "",
    )  # fmt: skip
    asked = Asked(
        terms.command, options, lambda runner: work.choose(runner, workers),
        f"plan {terms.plan} of {terms.made}: {terms.filter}", terms.shard, workers, no_lock, no_run_log, work.review,
        limits=limits_of(app, terms.command, options, max_cost, max_bytes),
    )  # fmt: skip
    perform(app, style, asked)
