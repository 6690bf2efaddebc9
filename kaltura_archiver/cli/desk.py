"""The restore desk of a policy: what people ask for is brought back, before any rule is carried out."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import TYPE_CHECKING

from kaltura_archiver import exits
from kaltura_archiver.cli.acting import money_limit
from kaltura_archiver.cli.query import exits_of_named, not_begun
from kaltura_archiver.cli.telling import StageTelling
from kaltura_archiver.desk import DayLimits, RestoreDesk
from kaltura_archiver.errors import Exit, Gone, MailError, Stopped
from kaltura_archiver.filters import Query
from kaltura_archiver.model import Availability, Outcome, State, same_id
from kaltura_archiver.output.screen import RowWriter
from kaltura_archiver.output.summary import counted_outcomes
from kaltura_archiver.policy import Policy, Rule
from kaltura_archiver.redact import redact
from kaltura_archiver.run.desk import LimitsOfDay, begun_today
from kaltura_archiver.run.desk_book import Begun, DeskBook
from kaltura_archiver.run.errand import Errand
from kaltura_archiver.run.limits import Allowance
from kaltura_archiver.run.run import Asked
from kaltura_archiver.selection import Ids, Selection
from kaltura_archiver.states import classify
from kaltura_archiver.steps import Command, Options, Plan, Step, asked_back_bytes

if TYPE_CHECKING:
    from kaltura_archiver.apply import Runner
    from kaltura_archiver.cli.policies import PolicyRun
    from kaltura_archiver.model import Entry, Facts
    from kaltura_archiver.results import Result
    from kaltura_archiver.run.desk_post import Awaited
    from kaltura_archiver.run.notices import Correspondence

log = logging.getLogger(__name__)
NAME = "restore"
_BRINGS_BACK = frozenset({Step.PUT_ORIGINAL, Step.SETTLE})
# Where the original is in Kaltura.
_IN_PLACE = frozenset({State.INITIAL, State.ARCHIVED, State.UNTAGGED, State.UNBACKED})


def rule_of_desk(policy: Policy) -> Rule | None:
    """What the post of a run takes for a rule; None where nobody is to be told. No rule can have this name."""
    if policy.desk is None or policy.desk.mail is None:
        return None
    return Rule(f"[{NAME}]", Query(), (), notice=policy.desk.mail)


def limits_of_day(run: PolicyRun, desk: RestoreDesk, book: DeskBook, options: Options) -> LimitsOfDay:
    """What this day still allows. Raises StoreError."""

    def priced(tier: str) -> Allowance:
        by, name = replace(options, tier=tier), "restore.limits.money"
        return money_limit(run.app, by, name, desk.limits.money or 0.0, ends=False, span="today")

    bill = priced(options.tier) if desk.limits.money is not None else None
    limits = LimitsOfDay(desk.limits, options.tier, bill, cache(lambda tier: priced(tier).measure))
    if desk.limits != DayLimits():
        limits.count_begun(begun_today(run.store, book, time.time()), partial(look, run))
    return limits


def look(run: PolicyRun, entry_id: str) -> Facts | None:
    """The facts about an entry; None if it is gone."""
    try:
        return run.look(entry_id)
    except Gone:
        return None


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
    """What a run brings back, source by source. `number` is the run's id. By their ids: `served` are the entries that
    came back, or would, `thawing` those that will."""

    run: PolicyRun
    desk: RestoreDesk
    dry_run: bool
    no_lock: bool
    no_run_log: bool
    rows: RowWriter
    number: str
    served: dict[str, Entry] = field(default_factory=dict)
    thawing: dict[str, Entry] = field(default_factory=dict)
    _asked: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        store = self.run.store if self.dry_run else self.run.app.store(read_only=False)
        self.book = DeskBook(store, self.number, time.time(), dry_run=self.dry_run)

    def serve(self) -> None:
        limits: LimitsOfDay | None = None
        for source, query, options in self.desk.parts(self.run.now, dry_run=self.dry_run):
            if self.run.app.stop.is_set():
                return
            limits = limits or limits_of_day(self.run, self.desk, self.book, options)
            limits.tier, limits.before = options.tier, partial(self._write_down, source, options)
            self._carry_out(source, query, options, limits)

    def _write_down(self, source: str, options: Options, facts: Facts, plan: Plan) -> None:
        """Write into the book what is about to be asked for or brought back, and what thaws already. StoreError."""
        stored, entry = facts.stored or facts.source, facts.entry
        size = asked_back_bytes(facts, plan.steps)
        thaws = stored is not None and stored.availability is Availability.THAWING
        waits = thaws and bool(plan.steps or plan.outcome is Outcome.WAITING)
        comes = waits or not _BRINGS_BACK.isdisjoint(plan.steps)
        if not size and (not comes or self.book.last(entry.id)):
            return
        tier = (stored.thaw_asked[0] if stored and thaws else "") or options.tier
        takes = stored.thaw_seconds(tier) if stored and (thaws or Step.THAW in plan.steps) else 0.0
        promised = self.desk.mail is not None and not entry.parent_of_stream
        mail = self.desk.request(entry.id).mail
        self.book.begin(Begun(entry.id, time.time(), source, tier, size, takes, mail, promised, entry.parent_of_stream))

    def _carry_out(self, source: str, query: Query, options: Options, limits: LimitsOfDay) -> None:
        """What asks in one way: a run of `restore`."""
        run = self.run

        def choose(runner: Runner) -> Errand:
            selection = Selection(runner.kaltura, query, whole=True)
            found = [entry.id for entry in selection]
            ours = (entry_id for entry_id in found if self.desk.tier_of(entry_id) == options.tier)
            new = [entry_id for entry_id in ours if same_id(entry_id) not in self._asked]
            self._asked.update(map(same_id, new))
            return Errand(Ids(new), exits_of_named(selection), list(not_begun(selection)))

        asked = Asked(
            Command.RESTORE, options, choose, f"{NAME}, {source}: {query}", None, run.workers, self.no_lock,
            self.no_run_log, limits=limits,
        )  # fmt: skip
        run.carry_out(asked, DeskTelling(self, options, source))

    def saw(self, result: Result) -> None:
        """Hear of a result."""
        if result.facts is None or result.member_of:
            return
        entry, stored = result.facts.entry, result.facts.stored or result.facts.source
        went_well = result.outcome in (Outcome.DONE, Outcome.WOULD)
        runs = stored is not None and stored.availability is Availability.THAWING
        if went_well and not _BRINGS_BACK.isdisjoint(result.steps):
            self.served[same_id(result.entry_id)] = entry
        elif result.outcome in (Outcome.WAITING, Outcome.WOULD) and (Step.THAW in result.steps or runs):
            self.thawing[same_id(result.entry_id)] = entry

    def tell_people(self, letters: Correspondence) -> None:
        """Write to whom it concerns of what was asked back, and of what has come back, also what earlier runs did not
        tell. A row for each entry of each message."""
        rule = rule_of_desk(self.run.policy)
        if rule is None:
            return
        from kaltura_archiver.people.coming_back import News
        from kaltura_archiver.run.desk_post import DeskPost

        post = DeskPost(letters, self.book, rule, self.desk.mail_instead)
        outcomes: Counter[Outcome] = Counter()
        try:
            for news, found in ((News.ASKED, self._awaited(self.thawing)), (News.BACK, self._back())):
                awaited = list(found)
                names = {each.entry.id: each.entry.name for each in awaited}
                for told in post.tell(news, awaited):
                    outcomes[told.outcome] += 1
                    for entry_id in told.entry_ids:
                        self.rows.write({
                            "rule": NAME, "stage": "notice", "entry_id": entry_id, "outcome": told.outcome.value,
                            "name": names.get(entry_id),
                            "detail": redact(f"to {told.address or 'no address'}: {told.detail}"),
                        })  # fmt: skip
        except Stopped:
            return
        except MailError as error:
            log.error("%s: nobody is told of their videos, before another run: %s", NAME, error)
            self.run.codes.add(Exit.FAILED)
        if outcomes:
            log.info("%s, notice: %s", NAME, counted_outcomes(outcomes))
        self.run.codes |= exits.of_outcomes(outcomes)

    def _awaited(self, entries: Mapping[str, Entry]) -> Iterator[Awaited]:
        from kaltura_archiver.run.desk_post import Awaited

        for entry in entries.values():
            if begun := self.book.last(entry.id):
                yield Awaited(entry, begun)

    def _back(self) -> Iterator[Awaited]:
        """What came back in this run, and what earlier ones brought back and did not tell."""
        from kaltura_archiver.run.desk_post import Awaited

        yield from self._awaited(self.served)
        known = {*self.served, *self.thawing}
        for begun in self.book.open():
            if not begun.promised or same_id(begun.entry_id) in known:
                continue
            facts = look(self.run, begun.entry_id)
            if facts and classify(facts).state in _IN_PLACE:
                yield Awaited(facts.entry, begun)
