"""What the restore desk of a policy would do: how many ask, what it costs and how long it takes; and for one entry."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kaltura_archiver.cli.desk import NAME, limits_of_day
from kaltura_archiver.cli.query import exits_of_named
from kaltura_archiver.desk import RestoreDesk
from kaltura_archiver.filters import Query
from kaltura_archiver.groups import in_recordings
from kaltura_archiver.model import Availability, Entry, Facts, Outcome, iso_date, iso_time, same_id
from kaltura_archiver.output.tables import Cell
from kaltura_archiver.plans import plan_for
from kaltura_archiver.run.desk_book import DeskBook
from kaltura_archiver.selection import Selection
from kaltura_archiver.steps import Command, Options, Plan, Step, bytes_of
from kaltura_archiver.survey import plans_of

if TYPE_CHECKING:
    from kaltura_archiver.cli.policies import PolicyRun


def check_desk(run: PolicyRun) -> Iterator[dict[str, Cell]]:
    """A row for each source: how many ask, what can be brought back now, what thaws, by when, and what that costs."""
    desk = run.policy.desk
    if desk is None:
        return
    book, seen = _book(run), set[str]()
    sums: dict[str, _OfSource] = {}
    for source, query, options in desk.parts(run.now, dry_run=True):
        selection = Selection(run.kaltura, query)
        told = sums.setdefault(source, _OfSource())
        with plans_of(
            run.kaltura, run.store, selection, Command.RESTORE, options, placeholders=run.placeholders,
            workers=2 * run.workers,
        ) as planned:  # fmt: skip
            for members in in_recordings(planned):
                asked = members[-1][0].entry.id  # its further streams come with it, by its tier
                if asked in seen or desk.tier_of(asked) != options.tier:
                    continue
                seen.add(asked)
                told.count(members)
                for facts, plan in members:
                    told.add(run, facts, plan, options, _expected(book, facts, plan, options))
        run.codes |= exits_of_named(selection)
    yield from (told.row(run, source) for source, told in sums.items())


@dataclass
class _OfSource:
    """What asks in one way: `outcomes` of recordings, as people ask for them, and all else of each stream that comes.

    `cost` is in the currency of the prices, `expected_at` unix seconds, 0 for at once.
    """

    moved: int = 0
    cost: float = 0.0
    expected_at: float = 0.0
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    thaws: Counter[str] = field(default_factory=Counter)

    def count(self, members: Sequence[tuple[Facts, Plan]]) -> None:
        """One that asks: due where anything of it is."""
        due = any(plan.steps for _, plan in members)
        self.outcomes[Outcome.WOULD if due else members[-1][1].outcome] += 1

    def add(self, run: PolicyRun, facts: Facts, plan: Plan, options: Options, expected_at: float) -> None:
        self.moved += bytes_of(facts, plan.steps, options)[0]
        self.cost += _cost(run, facts, plan, options)
        self.expected_at = max(self.expected_at, expected_at)
        stored = facts.stored or facts.source
        comes = plan.steps or plan.outcome is Outcome.WAITING
        if comes and stored and stored.availability in (Availability.FROZEN, Availability.THAWING):
            self.thaws[stored.availability.value] += 1

    def row(self, run: PolicyRun, source: str) -> dict[str, Cell]:
        outcomes = self.outcomes.copy()
        due, waits = outcomes.pop(Outcome.WOULD, 0), outcomes.pop(Outcome.WAITING, 0)
        frozen = ", ".join(f"{name} {number}" for name, number in self.thaws.items())
        detail = (frozen, _by(self.expected_at), _costs(run, self.cost) if due else "")
        return {
            "rule": NAME, "stage": source, "here": self.outcomes.total(), "due": due, "bytes_moved": self.moved,
            "waits": waits, "left": outcomes.total(), "detail": "; ".join(filter(None, detail)) or None,
        }  # fmt: skip


def explain_desk(run: PolicyRun, facts: Facts) -> Iterator[dict[str, Cell]]:
    """What the desk has to do with one entry: a row for each way in which it is asked for, or one that says that it is
    not. The first is the one that is served."""
    desk = run.policy.desk
    if desk is None or not run.serves_desk:
        return
    book, entry = _book(run), facts.entry
    asked = False
    for source, query, options in desk.parts(run.now, dry_run=True):
        if desk.tier_of(entry.id) != options.tier or not _asks(run, query, entry):
            continue
        row: dict[str, Cell] = {"rule": NAME, "stage": source, "detail": _who(desk, source, entry)}
        if asked:
            yield row | {"says": "asked"}
            continue
        asked = True
        plan = plan_for(Command.RESTORE, facts, options, in_group=bool(entry.parent_of_stream))
        allowed = limits_of_day(run, desk, book, options).review([(facts, plan)])[0]
        says = "due" if allowed.steps else "waits" if allowed.outcome is Outcome.WAITING else str(allowed.outcome)
        told = [str(row["detail"]), _begun(book, entry), allowed.describe() if allowed.steps else allowed.reason]
        if expected := _by(_expected(book, facts, plan, options)):
            told.append(expected if allowed.steps or not plan.steps else f"{expected}, were it begun now")
        if plan.steps:
            told.append(_costs(run, _cost(run, facts, plan, options)))
        yield row | {"says": says, "detail": "; ".join(filter(None, told))}
    if not asked:
        begun = _begun(book, entry)
        yield {
            "rule": NAME, "stage": None, "says": "no",
            "detail": "; ".join(filter(None, ("nobody asks for it", begun))),
        }  # fmt: skip


def _book(run: PolicyRun) -> DeskBook:
    return DeskBook(run.store, "", time.time(), dry_run=True)


def _asks(run: PolicyRun, query: Query, entry: Entry) -> bool:
    if query.ids is not None:
        return same_id(entry.id) in map(same_id, query.ids)
    return not any(why for _, why in Selection(run.kaltura, query).tested([entry]))


def _who(desk: RestoreDesk, source: str, entry: Entry) -> str:
    """By whom, or what, and when as far as that is known."""
    if source == "play":
        return f"asked for by a play on {iso_date(entry.last_played_at)}"
    if source == "tag":
        return f"asked for by the tag {desk.options['request_tag']}"
    mail = desk.request(entry.id).mail
    return "asked for by the list of requests" + (f", for {', '.join(mail)}" if mail else "")


def _begun(book: DeskBook, entry: Entry) -> str:
    begun = book.last(entry.id)
    return f"begun on {_moment(begun.at)} (tier {begun.tier})" if begun else ""


def _expected(book: DeskBook, facts: Facts, plan: Plan, options: Options) -> float:
    """When its copy is readable at the latest, in unix seconds; 0 where it is, or nothing is begun."""
    stored = facts.stored or facts.source
    if stored is None:
        return 0.0
    if stored.availability is Availability.THAWING:
        begun = book.last(facts.entry.id)
        return begun.at + begun.seconds if begun else time.time() + stored.thaw_seconds(stored.thaw_asked[0])
    return options.now + stored.thaw_seconds(options.tier) if Step.THAW in plan.steps else 0.0


def _by(expected_at: float) -> str:
    return f"readable by {_moment(expected_at)}" if expected_at else ""


def _moment(at: float) -> str:
    return f"{iso_time(at)[:16].replace('T', ' ')} UTC"


def _cost(run: PolicyRun, facts: Facts, plan: Plan, options: Options) -> float:
    from kaltura_archiver.money.bill import committed

    return committed(run.app.prices(), options)(facts, plan.steps)


def _costs(run: PolicyRun, amount: float) -> str:
    from kaltura_archiver.money.bill import money

    return f"costs {money(amount, run.app.prices().currency)} at most"
