"""The commands that decide first and act later: plan, for a person to review, and apply."""

from __future__ import annotations

import logging
import math
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

import click

from kaltura_archiver.cli import (
    _COPY,
    _SWAP,
    _THAW,
    App,
    Work,
    _after_selection,
    _options,
    all_option,
    bandwidth_option,
    cli,
    dry_run_option,
    format_option,
    keep_list,
    keep_options,
    lookers_option,
    min_age_option,
    min_age_years,
    need_criteria,
    no_lock_option,
    noticed_option,
    pass_app,
    perform,
    placeholder_map_option,
    price_options,
    run_log_option,
    selection_options,
    tolerate_option,
    workers_option,
)
from kaltura_archiver.command_line import SelectingCommand
from kaltura_archiver.config import check_placeholder
from kaltura_archiver.errors import Exit, InputError, SelectionError
from kaltura_archiver.files import Sink, check_target, failure, written
from kaltura_archiver.filters import Plays, Query
from kaltura_archiver.keep import Keep
from kaltura_archiver.model import Facts, Outcome
from kaltura_archiver.plans import Command, Options, Plan
from kaltura_archiver.progress import progress
from kaltura_archiver.report import exits_of

if TYPE_CHECKING:
    from kaltura_archiver.apply import Result, Runner
    from kaltura_archiver.placeholders import Placeholders
    from kaltura_archiver.planfile import Line, Terms

log = logging.getLogger(__name__)


def _placeholders(app: App, command: Command) -> Placeholders:
    from kaltura_archiver.placeholders import Placeholders

    files = app.settings.placeholders()
    if command is Command.REPLACE:
        for path in files.all():
            check_placeholder(path)
    elif command is Command.S3COPY:
        files.known()
    return Placeholders(files)


def _account(app: App, command: Command, placeholders: Placeholders) -> dict[str, str]:
    """Whose library and bucket these settings are for, and what takes an original's place."""
    settings = app.settings
    settings.need_kaltura()
    settings.need_bucket()
    account = {"partner": settings.partner_id, "service": settings.service_url.rstrip("/"), "bucket": settings.bucket}
    return account | ({"placeholder": placeholders.fingerprint} if command is Command.REPLACE else {})


# plan


@cli.command("plan", cls=SelectingCommand)
@click.argument("action", type=click.Choice(["archive", "replace", "restore"]))
@selection_options
@click.option(
    "--output", "-o", required=True, metavar="FILE", help="File to write, readable by you alone; - is stdout."
)
@click.option("--force", is_flag=True, help="Overwrite the file if it exists.")
@all_option
@lookers_option
@_options(*_COPY, min_age_option, noticed_option, placeholder_map_option, *_THAW, *_SWAP[2:])
@keep_options
@price_options
@pass_app
def plan(
    app: App, /, action: str, query: Query, output: str, force: bool, everything: bool, workers: int,
    keep_tags: Sequence[str], keep_categories: Sequence[int], keep_owners: Sequence[str], kaltura_price: float | None,
    price_table: Path | None, **options: Any,
) -> None:  # fmt: skip
    """Write down what s3copy (archive), replace_video or restore would do, entry by entry, for a person to review.

    JSON Lines: what the plan is and its totals; then each entry with what would be done, why, bytes and cost, or why it
    is left out; a last line. Delete lines to leave entries out. Nothing is changed before `apply`.

    --storage-class and --accept-size-match are for archive, --min-age-years and --noticed-before for replace, --tier,
    --days and --via for restore, --approve and --allow-in-place for both of these: they become part of the plan.

    \b
    Examples:
      kaltura-archiver plan archive --tag '!archived_to_s3' --unplayed-for 3 -o plan.jsonl
      kaltura-archiver plan replace --unplayed-for 3 --kaltura-price 0.12 -o replace.jsonl
      kaltura-archiver plan restore --idfile ids.txt --tier standard -o -
    """
    from kaltura_archiver.kept import check_excluded, check_keep
    from kaltura_archiver.planfile import ACTIONS, OPTIONS, Writer, terms_of
    from kaltura_archiver.selection import Selection
    from kaltura_archiver.survey import plans_of

    command = ACTIONS[action]
    _refuse_options_of_others(action, set(OPTIONS[command]), {name for names in OPTIONS.values() for name in names})
    need_criteria(f"plan {action}", query, everything=everything)
    if output != "-":
        if Path(output).exists() and not (force and Path(output).is_file()):
            raise SelectionError(
                f"{output} exists; name another file with --output, or use --force to overwrite a file"
            )
        check_target(Path(output))
    kept = keep_list(app.settings, keep_tags, keep_categories, keep_owners) if command.heeds_keep else Keep(frozenset())
    options |= {"keep": kept, "min_age_years": min_age_years(query, options["min_age_years"])}
    settings = Options(now=time.time(), plays=query.plays, **options)
    placeholders = _placeholders(app, command)
    terms = terms_of(command, settings, query, _account(app, command, placeholders))
    writer = Writer(terms, settings, app.prices(kaltura_price, price_table))
    with app.stoppable(), _written_at_once(output, force=force) as (body, finish):
        kaltura, store = app.kaltura(), app.store(check=False)
        check_keep(kaltura, kept)
        check_excluded(kaltura, query)
        selection = Selection(kaltura, query)
        planned = plans_of(
            kaltura, store, selection, command, settings, placeholders=placeholders, workers=workers
        )  # fmt: skip
        with planned as found, progress("plan", found, lambda: selection.expected) as counted:
            for facts, what in counted:
                body.write(f"{writer.entry(facts, what)}\n")
        codes = _after_selection(selection, limited=True)
        finish(writer.first(), writer.last())
    log.info("plan: %s; nothing was changed: apply acts", writer)
    app.exit(*codes, *exits_of(writer.outcomes))


def _refuse_options_of_others(action: str, ours: set[str], all_of_them: set[str]) -> None:
    context = click.get_current_context()
    for name in sorted(all_of_them - ours):
        if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            raise click.UsageError(f"--{name.replace('_', '-')} is no option of plan {action}", context)


@contextmanager
def _written_at_once(path: str, *, force: bool) -> Iterator[tuple[TextIO, Callable[[str, str], None]]]:
    """A file for lines, and what puts a first and a last line around them and all of them at `path`; - is stdout.

    Before that there is nothing at `path`. Raises OutputError where it cannot be written.
    """
    import tempfile

    def copy(to: Sink, body: TextIO, first: str, last: str) -> None:
        to.write(f"{first}\n".encode())
        body.seek(0)
        while text := body.read(2**20):
            to.write(text.encode())
        to.write(f"{last}\n".encode())

    def finish(first: str, last: str) -> None:
        if path == "-":
            copy(sys.stdout.buffer, body, first, last)
            sys.stdout.flush()
            return
        with written(Path(path), replace=force) as file:
            copy(file, body, first, last)

    with _told(path), tempfile.TemporaryFile("w+", encoding="utf-8") as body:
        yield body, finish


@contextmanager
def _told(path: str) -> Iterator[None]:
    """Have a full disk, for one, told in one line: the lines are gathered in a temporary file first."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise failure(path if path != "-" else "to stdout", error, code=Exit.FAILED) from error


# apply


class Applying(Work):
    """What is left of a plan: first all entries are looked at, then those acted on that are still as they were."""

    def __init__(self, terms: Terms, lines: Sequence[Line], allowed: float, shown: str) -> None:
        super().__init__([line.entry_id for line in lines])
        self._terms = terms
        self._lines = {line.entry_id: line for line in lines}
        self._allowed = allowed
        self._shown = shown
        self._drifted: set[str] = set()
        self._counting = threading.Lock()

    def choose(self, runner: Runner, workers: int) -> Applying:
        """Look at every entry, cheaply; nothing is done if too many have drifted, and in no case to those."""
        from kaltura_archiver.kept import check_keep
        from kaltura_archiver.selection import Named
        from kaltura_archiver.survey import plans_of

        if self._terms.command.heeds_keep:
            check_keep(runner.kaltura, runner.options.keep)
        entries = Named(runner.kaltura, self.ids)
        planned = plans_of(
            runner.kaltura, runner.store, entries, self._terms.command, runner.options,
            placeholders=runner.placeholders, workers=2 * workers,
        )  # fmt: skip
        known = {}
        with planned as found, progress("comparing", found, lambda: entries.expected) as counted:
            for facts, plan in counted:
                if why := self._drift(facts, plan):
                    known[facts.entry.id] = runner.drifted(facts.entry.id, plan.state, why, facts)
        for entry_id in entries.unknown:
            known[entry_id] = runner.drifted(entry_id, "", "the entry is gone, or not visible to this user")
        self.known = list(known.values())
        self.ids = [entry_id for entry_id in self.ids if entry_id not in known]
        self._count(*known)
        return self

    def review(self, facts: Facts, plan: Plan) -> Plan:
        """The plan for an entry that is about to be acted on, or none where it has drifted."""
        if why := self._drift(facts, plan):
            self._count(facts.entry.id)
            return Plan(plan.state, (), Outcome.DRIFTED, why)
        if self.stopped:
            return Plan(plan.state, (), Outcome.INTERRUPTED, "not begun: too many others have drifted")
        return plan

    def saw(self, result: Result) -> None:
        if result.outcome is Outcome.DRIFTED:
            self._count(result.entry_id)

    def _drift(self, facts: Facts, plan: Plan) -> str:
        from kaltura_archiver.planfile import drift

        return drift(self._terms, self._lines[facts.entry.id], facts, plan)

    def _count(self, *drifted: str) -> None:
        with self._counting:
            self._drifted.update(drifted)
            if len(self._drifted) > self._allowed and not self.stopped:
                self.stopped = True
                log.error(
                    "%d of %d entries are not as they were planned any more, which is more than --max-drift %s: look "
                    "at them, then make another plan, or allow more",
                    len(self._drifted), len(self._lines), self._shown,
                )  # fmt: skip


class Part(click.ParamType[tuple[float, str]]):
    """So many, `N`, or a part, `P%`: as (number, unit)."""

    name = "part"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, str]:
        match = re.fullmatch(r"(\d+(?:\.\d+)?)(%?)", str(value))
        number = float(match.group(1)) if match else math.nan
        if not match or (number > 100 if match.group(2) else number % 1):
            self.fail(f"{value!r} is neither a number nor a percentage such as 1%", param, ctx)
        return number, match.group(2)


@cli.command("apply")
@click.argument("file", metavar="PLAN")
@dry_run_option
@click.option(
    "--max-drift", type=Part(), default="1%", show_default=True, metavar="N|P%",
    help="Stop where more entries than that are not as they were planned.",
)  # fmt: skip
@_options(
    workers_option, no_lock_option, run_log_option, bandwidth_option, tolerate_option, placeholder_map_option,
    format_option, *_SWAP[:2],
)  # fmt: skip
@keep_options
@pass_app
def apply(
    app: App, /, file: str, dry_run: bool, max_drift: tuple[float, str], workers: int, keep_tags: Sequence[str],
    keep_categories: Sequence[int], keep_owners: Sequence[str], timeout_seconds: float, max_converting: int,
    **run: Any,
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
    from kaltura_archiver.owners import numbered_lines, opened
    from kaltura_archiver.planfile import read_plan

    where = "stdin" if file == "-" else file
    with opened(file) as stream:
        terms, lines, left_out = read_plan(numbered_lines(stream, where), where)
    for name, here in _account(app, terms.command, _placeholders(app, terms.command)).items():
        if (there := terms.account.get(name)) != here:
            raise InputError(f"{where}, line 1: the plan is for {name} {there}, these settings are for {name} {here}")
    keep = terms.keep
    if terms.command.heeds_keep:
        keep |= keep_list(app.settings, keep_tags, keep_categories, keep_owners)
    options = Options(
        now=time.time(), dry_run=dry_run, keep=keep, timeout_seconds=timeout_seconds, max_converting=max_converting,
        plays=Plays(**terms.plays), **terms.options,  # type: ignore[arg-type]
    )  # fmt: skip
    number, percent = max_drift
    work = Applying(terms, lines, len(lines) * number / 100 if percent else number, f"{number:g}{percent}")
    told = ", ".join(f"{outcome} {count}" for outcome, count in sorted(left_out.items()))
    log.info(
        "plan %s of %s: %s of %d entries%s", terms.plan, terms.made, terms.command, len(lines),
        f"; left out: {told}" if told else "",
    )  # fmt: skip
    perform(
        app, terms.command, options, lambda runner: work.choose(runner, workers), workers=workers, review=work.review,
        selection=f"plan {terms.plan} of {terms.made}: {terms.filter}", shard=terms.shard, **run,
    )  # fmt: skip
