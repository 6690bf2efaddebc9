"""How a run is told on a command line: rows, a bar, log lines, the sum, the exit status."""

from __future__ import annotations

import logging
import shlex
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import chain
from typing import TYPE_CHECKING, NoReturn, TextIO, cast

import click

from kaltura_archiver import exits
from kaltura_archiver.cli.app import App
from kaltura_archiver.cli.streams import PatientStdout
from kaltura_archiver.model import Outcome, so_many
from kaltura_archiver.output.logs import without_entries
from kaltura_archiver.output.progress import AboveTheBar, progress
from kaltura_archiver.output.rows import RESULT_COLUMNS, result_on_screen, result_row, went_well
from kaltura_archiver.output.screen import SCREEN, RowWriter, rows_as
from kaltura_archiver.output.summary import Totals, metrics
from kaltura_archiver.output.tables import Cell
from kaltura_archiver.redact import redact
from kaltura_archiver.results import log_fields
from kaltura_archiver.run.errand import Errand
from kaltura_archiver.steps import Command, Options, bytes_of, read_bytes

if TYPE_CHECKING:
    from kaltura_archiver.apply import Runner
    from kaltura_archiver.results import Result

log = logging.getLogger(__name__)
STDIN = "-"


class Telling:
    """Tells of one run: a row per entry, unless the log lines say the same on a terminal."""

    def __init__(self, app: App, command: Command, options: Options, style: str) -> None:
        from kaltura_archiver.money.bill import Bill

        self._app, self._command, self._options, self._style = app, command, options, style
        self._bill = Bill(app.prices(), options) if options.dry_run else None
        self._stdout = PatientStdout()
        self._rows: RowWriter | None = None
        self._to_move = self._to_free = 0  # by a dry run, if it were none
        self._read = 0  # and only read, to be proven; or to be read so

    def stoppable(self) -> AbstractContextManager[None]:
        return self._app.stoppable()

    def ending(self) -> AbstractContextManager[None]:
        return self._app.exit_when_stopped()

    @contextmanager
    def telling(
        self, runner: Runner, errand: Errand, results: Iterator[Result], totals: Totals
    ) -> Iterator[Iterator[Result]]:
        screen = self._style == SCREEN
        with (
            without_entries() if screen else nullcontext(),
            progress(
                str(self._command), chain(errand.known, results), lambda: len(errand.known) + len(errand.ids),
                streamed=self._style not in (SCREEN, "table"),
                moved=lambda: max(self._app.bandwidth.moved, totals.bytes_moved),
                told=lambda: _under_way(runner, totals, self._app.stop),
            ) as counted,
            self._table() as self._rows,
        ):  # fmt: skip
            yield counted

    def _table(self) -> AbstractContextManager[RowWriter]:
        columns = result_on_screen(self._command) if self._style == SCREEN else RESULT_COLUMNS
        if self._style in ("json", "jsonl"):
            columns = (*columns, "parent")
        return results_as(self._style, columns, self._stdout)

    def _row(self, result: Result) -> dict[str, Cell]:
        return result_row(result)

    def add(self, result: Result) -> None:
        row = self._row(result)
        if result.facts and result.outcome in (Outcome.WOULD, Outcome.DONE):
            self._read += read_bytes(result.facts, result.steps)
        if result.facts and result.outcome is Outcome.WOULD:
            moved, freed = bytes_of(result.facts, result.steps, self._options)
            self._to_move, self._to_free = self._to_move + moved, self._to_free + freed
            if self._style == SCREEN:
                row |= {"bytes_moved": result.bytes_moved + moved, "bytes_freed": freed}
            if self._bill:
                self._bill.add(result.facts, result.steps)
        if self._rows is not None:
            self._rows.write(row)

    def end(self, errand: Errand, totals: Totals, *, lost: str, overtaken: bool, limit: str) -> NoReturn:
        if lost:
            log.error("not finished: %s; run the command again", lost)
        dry = self._options.dry_run
        fields = log_fields("run", str(self._command), dry_run=dry)
        if not dry:
            fields["metrics"] = metrics(totals, bucket=self._app.settings.bucket, command=str(self._command))
        fields["to_type"] = to_type = self._to_type() if dry else ""
        parts = list(self._summary(errand, totals, lost, limit, to_type))
        for told in parts if self._style == SCREEN else ["; ".join(parts)]:
            log.info("%s", told, extra=fields)
        codes, tolerant = exits.of_run(
            errand.codes, totals.outcomes, overtaken=overtaken, stopped=bool(errand.stopped),
            incomplete=bool(self._stdout.failure or lost),
        )  # fmt: skip
        self._app.exit(*codes, tolerant=tolerant)

    def _to_type(self) -> str:
        return acting_line()

    def _summary(self, errand: Errand, totals: Totals, lost: str, limit: str, to_type: str) -> Iterator[str]:
        dry, people = self._options.dry_run, self._style == SCREEN
        moved, freed = totals.bytes_moved + self._to_move, totals.bytes_freed + self._to_free
        reads = self._command is Command.VERIFY
        if reads:
            yield totals.told_of_reading(self._to_move, people=people)
        else:
            yield totals.told(moved, freed, self._read, dry=dry, people=people)
        if cost := str(self._bill or ""):
            # A dry run of verify has read what it tells of, and that is paid.
            yield cost.replace("cost:", "cost of this:", 1) if reads and not self._to_move else cost
        left = len(errand.ids) + len(errand.known) + totals.streams - totals.outcomes.total()
        for why, said in (
            (self._app.signal, "asked to stop"), (errand.stopped, "stopped"), (lost, "not finished"),
            (limit, f"the limit {limit} is reached"),
        ):  # fmt: skip
            if why:
                yield f"{said}, {so_many(left)} {'was' if left == 1 else 'were'} not begun"
        if dry and not (to_type and totals.outcomes[Outcome.WOULD]):
            yield "nothing was changed"
        elif dry:
            same = ", with the same input" if STDIN in typed() else ""
            yield f"nothing was changed; to act{same}: {to_type}"


def results_as(style: str, columns: Sequence[str], stdout: PatientStdout) -> RowWriter:
    """What writes the rows of results on stdout, on a terminal above the bar."""
    stream = AboveTheBar(stdout) if style == SCREEN else stdout
    return rows_as(style, columns, cast(TextIO, stream), note="detail", fine=went_well)


class StageTelling(Telling):
    """Tells of one stage of a rule: its rows are in the table of the whole policy's run."""

    def __init__(
        self, app: App, command: Command, options: Options, style: str, rows: RowWriter, rule: str, stage: str
    ) -> None:
        super().__init__(app, command, options, style)
        self._shared, self._cells = rows, {"rule": rule, "stage": stage}

    def _table(self) -> AbstractContextManager[RowWriter]:
        return nullcontext(self._shared)

    def _row(self, result: Result) -> dict[str, Cell]:
        return {**self._cells, **result_row(result)}

    def _to_type(self) -> str:
        return ""  # the policy's own last line says it

    def _summary(self, errand: Errand, totals: Totals, lost: str, limit: str, to_type: str) -> Iterator[str]:
        first, *more = super()._summary(errand, totals, lost, limit, to_type)
        yield f"{self._cells['rule']}, {self._cells['stage']}: {first}"
        yield from more


def typed() -> Sequence[str]:
    """The words behind the program's name."""
    words: Sequence[str] = getattr(click.get_current_context().find_root().command, "typed", ())
    return words


def acting_line() -> str:
    """What was typed, as it would act."""
    return line_of(*(word for word in typed() if word != "--dry-run"), "--no-dry-run")


def applying_line(app: App, path: str) -> str:
    """What applies a plan that this command has written, with the settings and the placeholders that it was given."""
    context, words = click.get_current_context(), list(typed())
    before = words[: words.index(str(context.info_name))] if context.info_name in words else []
    map_given = context.get_parameter_source("placeholder_map") is click.core.ParameterSource.COMMANDLINE
    placeholders = ["--placeholder-map", app.settings.placeholder_map] if map_given else []
    return line_of(*before, "apply", path, *placeholders, "--no-dry-run")


def line_of(*words: str) -> str:
    """A command line of ours, as one would type it, without secrets."""
    return redact(shlex.join(["kaltura-archiver", *words]))


def _under_way(runner: Runner, totals: Totals, stop: threading.Event) -> Iterator[str]:
    """What is said of a run while it goes on."""
    if runner.converting:
        yield f"{runner.converting} converting"
    yield totals.counts()
    if stop.is_set():
        yield "stopping as soon as that is safe"
