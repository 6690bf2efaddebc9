"""The restore desk of a policy: what people ask for is brought back, before any rule is carried out."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from kaltura_archiver import exits
from kaltura_archiver.cli.acting import money_limit
from kaltura_archiver.cli.query import exits_of_named, not_begun
from kaltura_archiver.cli.telling import StageTelling
from kaltura_archiver.errors import Exit, Gone, MailError, Stopped
from kaltura_archiver.filters import Query
from kaltura_archiver.model import Availability, Outcome, same_id
from kaltura_archiver.output.screen import RowWriter
from kaltura_archiver.output.summary import counted_outcomes
from kaltura_archiver.output.tables import Cell
from kaltura_archiver.policy import DayLimits, Policy, Rule
from kaltura_archiver.redact import redact
from kaltura_archiver.run.desk import LimitsOfDay, begun_today
from kaltura_archiver.run.desk_book import DeskBook
from kaltura_archiver.run.errand import Errand
from kaltura_archiver.run.run import Asked
from kaltura_archiver.selection import Ids, Selection
from kaltura_archiver.steps import Command, Options, Plan, Step, asked_back_bytes, bytes_of
from kaltura_archiver.survey import plans_of

if TYPE_CHECKING:
    from kaltura_archiver.apply import Runner
    from kaltura_archiver.cli.policies import PolicyRun
    from kaltura_archiver.model import Entry, Facts
    from kaltura_archiver.results import Result
    from kaltura_archiver.run.notices import Correspondence

log = logging.getLogger(__name__)
NAME = "restore"
_BRINGS_BACK = frozenset({Step.PUT_ORIGINAL, Step.SETTLE})


def rule_of_desk(policy: Policy) -> Rule | None:
    """What the post of a run takes for a rule; None where nobody is to be told. No rule can have this name."""
    if policy.desk is None or policy.desk.mail is None:
        return None
    return Rule(f"[{NAME}]", Query(), (), notice=policy.desk.mail)


def check_desk(run: PolicyRun) -> Iterator[dict[str, Cell]]:
    """A row for each source: how many ask, what can be brought back now, what thaws."""
    desk = run.policy.desk
    seen: set[str] = set()
    for source, query in desk.sources.items() if desk else ():
        options = desk.options_of(source, run.now, dry_run=True) if desk else Options(run.now)
        selection = Selection(run.kaltura, query)
        moved, outcomes, thaws = 0, Counter[Outcome](), Counter[str]()
        with plans_of(
            run.kaltura, run.store, selection, Command.RESTORE, options, placeholders=run.placeholders,
            workers=2 * run.workers,
        ) as planned:  # fmt: skip
            for facts, plan in planned:
                if facts.entry.id in seen:
                    continue
                seen.add(facts.entry.id)
                outcomes[Outcome.WOULD if plan.steps else plan.outcome] += 1
                moved += bytes_of(facts, plan.steps, options)[0]
                stored = facts.stored or facts.source
                if stored and stored.availability in (Availability.FROZEN, Availability.THAWING):
                    thaws[stored.availability.value] += 1
        run.codes |= exits_of_named(selection)
        due, waits = outcomes.pop(Outcome.WOULD, 0), outcomes.pop(Outcome.WAITING, 0)
        yield {
            "rule": NAME, "stage": source, "here": due + waits + outcomes.total(), "due": due, "bytes_moved": moved,
            "waits": waits, "left": outcomes.total(),
            "detail": ", ".join(f"{name} {number}" for name, number in thaws.items()) or None,
        }  # fmt: skip


def _write_down(book: DeskBook, source: str, options: Options, facts: Facts, plan: Plan) -> None:
    """Write into the book what is about to be asked for or brought back. Raises StoreError."""
    size = asked_back_bytes(facts, plan.steps)
    if size:
        book.begin(facts.entry.id, time.time(), source=source, tier=options.tier, size_bytes=size)


class DeskTelling(StageTelling):
    """Hands on what has come back."""

    def __init__(self, desk: Desk, options: Options, source: str) -> None:
        super().__init__(desk.run.app, Command.RESTORE, options, desk.run.style, desk.rows, NAME, source)
        self._desk = desk

    def add(self, result: Result) -> None:
        super().add(result)
        self._desk.saw(result)


@dataclass
class Desk:
    """What a run brings back, source by source. `number` is the run's id; `served` are the entries that came back, or
    would, by their ids."""

    run: PolicyRun
    dry_run: bool
    no_lock: bool
    no_run_log: bool
    rows: RowWriter
    number: str
    served: dict[str, Entry] = field(default_factory=dict)
    _asked: set[str] = field(default_factory=set)

    def serve(self) -> None:
        desk = self.run.policy.desk
        if desk is None:
            return
        book = DeskBook(
            self.run.store if self.dry_run else self.run.app.store(read_only=False), self.number, time.time()
        )
        limits: LimitsOfDay | None = None
        for source, query in desk.sources.items():
            if self.run.app.stop.is_set():
                return
            options = desk.options_of(source, self.run.now, dry_run=self.dry_run)
            limits = limits or self._limits(desk.limits, options, book)
            if not self.dry_run:
                limits.write_down = partial(_write_down, book, source, options)
            self._carry_out(source, query, options, limits)

    def _limits(self, told: DayLimits, options: Options, book: DeskBook) -> LimitsOfDay:
        bill = None
        if told.money is not None:
            name = "restore.limits.money"
            bill = money_limit(self.run.app, options, name, told.money, ends=False, span="today")
        limits = LimitsOfDay(told, bill)
        if told != DayLimits():
            limits.count_begun(begun_today(self.run.store, book, time.time()), self._look)
        return limits

    def _look(self, entry_id: str) -> Facts | None:
        try:
            return self.run.look(entry_id)
        except Gone:
            return None

    def _carry_out(self, source: str, query: Query, options: Options, limits: LimitsOfDay) -> None:
        """What asks in one way: a run of `restore`."""
        run = self.run

        def choose(runner: Runner) -> Errand:
            selection = Selection(runner.kaltura, query)
            found = [entry.id for entry in selection if not selection.leaves_to_parent(entry)]
            new = [entry_id for entry_id in found if same_id(entry_id) not in self._asked]
            self._asked.update(map(same_id, new))
            return Errand(Ids(new), exits_of_named(selection), list(not_begun(selection)))

        asked = Asked(
            Command.RESTORE, options, choose, f"{NAME}, {source}: {query}", None, run.workers, self.no_lock,
            self.no_run_log, limits=limits,
        )  # fmt: skip
        run.carry_out(asked, DeskTelling(self, options, source))

    def saw(self, result: Result) -> None:
        """Hear of a result."""
        came = result.outcome in (Outcome.DONE, Outcome.WOULD) and not _BRINGS_BACK.isdisjoint(result.steps)
        if result.facts and not result.member_of and came:
            self.served[same_id(result.entry_id)] = result.facts.entry

    def tell_owners(self, letters: Correspondence, number: str) -> None:
        """Write to the owners of what has come back. A row for each entry of each message."""
        rule = rule_of_desk(self.run.policy)
        if rule is None or not self.served:
            return
        outcomes: Counter[Outcome] = Counter()
        try:
            for told in letters.tell_back(rule, self.served.values(), number):
                outcomes[told.outcome] += 1
                for entry_id in told.entry_ids:
                    self.rows.write({
                        "rule": NAME, "stage": "notice", "entry_id": entry_id, "outcome": told.outcome.value,
                        "detail": redact(f"to {told.address or 'no address'}: {told.detail}"),
                    })  # fmt: skip
        except Stopped:
            return
        except MailError as error:
            log.error("%s: owners are not told that their videos are back: %s", NAME, error)
            self.run.codes.add(Exit.FAILED)
        if outcomes:
            log.info("%s, notice: %s", NAME, counted_outcomes(outcomes))
        self.run.codes |= exits.of_outcomes(outcomes)
