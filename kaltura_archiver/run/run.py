"""A run of a command: select, classify, plan, apply, tell. The order of it all is here, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, field
from functools import partial
from itertools import takewhile
from typing import TYPE_CHECKING, NoReturn, Protocol

from kaltura_archiver.output.logs import mark_lines, new_run
from kaltura_archiver.output.summary import Totals
from kaltura_archiver.run.limits import Limits
from kaltura_archiver.run.services import Services, make_runner
from kaltura_archiver.steps import Command, Options

if TYPE_CHECKING:
    from kaltura_archiver.apply import Runner
    from kaltura_archiver.results import Result, Review, Traffic
    from kaltura_archiver.run.errand import Errand
    from kaltura_archiver.run.lock import RunLock
    from kaltura_archiver.run.runlog import RunLog


@dataclass(frozen=True)
class Asked:
    """What a run was asked for. `choose` selects: every id, before the first change. `selection` says it in words.

    `start_fleet` is given the run's id; without it the work is done in this process. A fleet knows no `limits`.
    `part_of` is the id of the run by a policy that this is a part of: log lines go by that.
    """

    command: Command
    options: Options
    choose: Callable[[Runner], Errand]
    selection: str
    shard: tuple[int, int] | None
    workers: int
    no_lock: bool
    no_run_log: bool
    review: Review | None = None
    start_fleet: Callable[[str], Crew] | None = None
    limits: Limits = field(default_factory=Limits)
    part_of: str = ""


class Crew(Protocol):
    """Many processes that bring entries to their goal, a context manager; see fleet/client.py."""

    @property
    def lost(self) -> str:
        """Why the run is not finished; empty if it is."""

    def __enter__(self) -> Crew: ...
    def __exit__(self, *exc_info: object) -> None: ...
    def run(self, entry_ids: Sequence[str]) -> Generator[Result, None, None]: ...
    def traffic(self) -> Traffic: ...
    def has_losses(self) -> bool: ...


class Teller(Protocol):
    """Tells of a run to whoever asked for it, while it goes on and at its end; see cli/telling.py."""

    def stoppable(self) -> AbstractContextManager[None]:
        """Within it a signal asks the run to end."""

    def ending(self) -> AbstractContextManager[None]:
        """Within it, a run that was asked to stop ends with the signal's exit status."""

    def telling(
        self, runner: Runner, errand: Errand, results: Iterator[Result], totals: Totals
    ) -> AbstractContextManager[Iterator[Result]]:
        """The results, with what is shown of them meanwhile."""

    def add(self, result: Result) -> None:
        """Tell of one entry."""

    def end(self, errand: Errand, totals: Totals, *, lost: str, overtaken: bool, limit: str) -> NoReturn:
        """The last line, and the exit status. `lost`: why it is not finished; `overtaken`: another run took the lock;
        `limit`: which was reached."""


def carry_out(services: Services, asked: Asked, teller: Teller) -> NoReturn:
    """Do what was asked for, under the lock: the one way in which anything is changed."""
    run = new_run() if asked.part_of else mark_lines()  # in locks and logs each has one of its own
    fleet = asked.start_fleet(run) if asked.start_fleet else None
    limits = asked.limits
    runner = make_runner(services, asked.command, asked.options, review=asked.review, limits=limits.review, run=run)
    totals = Totals((lambda: runner.traffic() + fleet.traffic()) if fleet else runner.traffic)
    dry = asked.options.dry_run
    lock = None if dry else _lock(services, runner, asked, run)
    run_log = None if dry or asked.no_run_log else _run_log(runner, asked, run, totals)
    with (
        teller.stoppable(), fleet or nullcontext(), lock or nullcontext(), run_log or nullcontext(), teller.ending(),
    ):  # fmt: skip
        errand = asked.choose(runner)  # select
        if errand.ids and lock and not errand.stopped:
            runner.remove_leftovers(errand.ids, lock.others)
        begun = takewhile(lambda _: not errand.stopped and not limits.ended, errand.ids)
        # classify, plan, apply: Runner.process_entry, here or in the fleet's workers
        results = fleet.run(errand.ids) if fleet else runner.run(begun, asked.workers)
        # Whatever happens in telling: nothing is in hand any more when the lock is freed.
        with teller.telling(runner, errand, results, totals) as told, closing(results):
            for result in told:  # tell
                errand.saw(result)
                teller.add(result)
                if run_log is not None:
                    run_log.add(result)
                totals.add(result)
        if fleet and fleet.has_losses() and lock:
            runner.remove_leftovers(errand.ids, partial(lock.others, ended=True))
        lost, overtaken = fleet.lost if fleet else "", bool(lock and lock.overtaken)
        if lock and lock.lost and not overtaken:
            lost = lost or f"the lock is lost, for {lock.lost}"
        teller.end(errand, totals, lost=lost, overtaken=overtaken, limit=limits.reached)


def _lock(services: Services, runner: Runner, asked: Asked, run: str) -> RunLock:
    from kaltura_archiver.run.lock import RunLock, lock_key

    key = lock_key(asked.command, asked.shard)
    return RunLock(runner.store, key, run=run, stop=services.stop, beside=asked.no_lock)


def _run_log(runner: Runner, asked: Asked, run: str, totals: Totals) -> RunLog:
    from kaltura_archiver.run.runlog import RunLog

    return RunLog(
        runner.store, str(asked.command), run=run, selection=asked.selection, totals=totals, part_of=asked.part_of
    )
