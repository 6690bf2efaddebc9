"""How a run is told on a command line: rows, a bar, log lines, the sum, the exit status."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import chain
from typing import TYPE_CHECKING, NoReturn, TextIO, cast

import click

from kaltura_archiver.cli.app import App
from kaltura_archiver.cli.streams import PatientStdout
from kaltura_archiver.errors import Exit
from kaltura_archiver.model import Outcome
from kaltura_archiver.output.progress import progress
from kaltura_archiver.output.rows import RESULT_COLUMNS, result_row
from kaltura_archiver.output.summary import Totals, exits_of, metrics
from kaltura_archiver.output.tables import Rows
from kaltura_archiver.results import log_fields
from kaltura_archiver.run.errand import Errand
from kaltura_archiver.steps import Command, Options

if TYPE_CHECKING:
    from kaltura_archiver.apply import Runner
    from kaltura_archiver.results import Result

log = logging.getLogger(__name__)


class Telling:
    """Tells of one run: a row per entry, unless the log lines say the same on a terminal."""

    def __init__(self, app: App, command: Command, options: Options, style: str) -> None:
        from kaltura_archiver.money.bill import Bill

        self._app, self._command, self._options, self._style = app, command, options, style
        self._bill = Bill(app.prices(), options) if options.dry_run else None
        self._stdout = PatientStdout()
        self._rows: Rows | None = None

    def stoppable(self) -> AbstractContextManager[None]:
        return self._app.stoppable()

    def ending(self) -> AbstractContextManager[None]:
        return self._app.exit_when_stopped()

    @contextmanager
    def telling(
        self, runner: Runner, errand: Errand, results: Iterator[Result], totals: Totals
    ) -> Iterator[Iterator[Result]]:
        # On a terminal the log lines say the same; rows are for files, pipes and those who ask for them.
        asked = click.get_current_context().get_parameter_source("style") is click.core.ParameterSource.COMMANDLINE
        shown = asked or not sys.stdout.isatty()
        with (
            Rows(RESULT_COLUMNS, self._style, cast(TextIO, self._stdout)) if shown else nullcontext() as self._rows,
            progress(
                str(self._command), chain(errand.known, results), lambda: len(errand.known) + len(errand.ids),
                streamed=shown and self._style != "table",
                moved=lambda: max(self._app.bandwidth.moved, totals.bytes_moved),
                told=lambda: _under_way(runner, totals, self._app.stop),
            ) as counted,
        ):  # fmt: skip
            yield counted

    def add(self, result: Result) -> None:
        if self._rows is not None:
            self._rows.write(result_row(result))
        if self._bill and result.facts and result.outcome is Outcome.WOULD:
            self._bill.add(result.facts, result.steps)

    def end(self, errand: Errand, totals: Totals, *, lost: str, overtaken: bool) -> NoReturn:
        if lost:
            log.error("not finished: %s; run the command again", lost)
        dry = self._options.dry_run
        fields = log_fields("run", str(self._command), dry_run=dry)
        if not dry:
            fields["metrics"] = metrics(totals, bucket=self._app.settings.bucket, command=str(self._command))
        log.info("%s", "; ".join(self._summary(errand, totals, lost)), extra=fields)
        if overtaken:
            self._app.exit(Exit.LOCKED)
        if errand.stopped:
            self._app.exit(Exit.LIMIT, tolerant=False)
        if self._stdout.failure or lost:
            self._app.exit(Exit.FAILED, tolerant=False)
        self._app.exit(*errand.codes, *exits_of(totals.outcomes))

    def _summary(self, errand: Errand, totals: Totals, lost: str) -> Iterator[str]:
        yield str(totals)
        if self._bill:
            if str(self._bill):
                yield str(self._bill)
            yield "nothing was changed: --no-dry-run acts"
        left = len(errand.ids) + len(errand.known) - totals.outcomes.total()
        for why, said in (
            (self._app.signal, "asked to stop"), (errand.stopped, "stopped"), (lost, "not finished"),
        ):  # fmt: skip
            if why:
                yield f"{said}, {left} entries were not begun"


def _under_way(runner: Runner, totals: Totals, stop: threading.Event) -> Iterator[str]:
    """What is said of a run while it goes on."""
    if runner.converting:
        yield f"{runner.converting} converting"
    yield totals.counts()
    if stop.is_set():
        yield "stopping as soon as that is safe"
