"""Limits of a run: how much it may begin, in entries, in bytes, or in money."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from kaltura_archiver.model import Entry, Facts, Outcome, same_id, so_many
from kaltura_archiver.output.tables import readable_bytes
from kaltura_archiver.steps import Options, Plan, Step, bytes_of, read_bytes

# How much of a limit the steps of an entry with these facts take; 0 is always allowed.
Measure = Callable[[Facts, tuple[Step, ...]], float]


@dataclass(eq=False)
class Allowance:
    """At most so much in a run. `name` is how it was asked for, such as `--max-bytes 5G`; `shown` says an amount.

    What an entry takes is counted when it is begun, and stays counted however that ends. The first entry that would
    have fitted into the whole, but not into what is left, closes it: those behind it wait too, be they small. One that
    is larger than the whole waits alone. `ends`: behind a closed limit no entry is looked at, for all would take of it.
    `of_recordings`: a recording counts once with all its streams. `of_one`: it is one owner's, and keeps no other away.
    """

    name: str
    most: float
    measure: Measure
    shown: Callable[[float], str]
    ends: bool = True
    span: str = "in this run"
    of_recordings: bool = False
    of_one: bool = False
    begun: float = 0.0
    closed: bool = False
    _taken: dict[str, float] = field(default_factory=dict)  # by the ids of what was begun

    def key(self, entry_id: str, parent: str) -> str:
        return same_id(parent or entry_id) if self.of_recordings else same_id(entry_id)

    def take(self, amounts: Mapping[str, float]) -> None:
        """Count these amounts, by `key`. Of what is counted already the larger amount counts."""
        for key, amount in amounts.items():
            before = self._taken.get(key, 0.0)
            self._taken[key] = max(amount, before)
            self.begun += self._taken[key] - before

    def refusal(self, amounts: Mapping[str, float], what: str) -> tuple[str, bool]:
        """Why `what`, which is all or nothing, may not take these amounts now, and whether those behind it may not
        either; empty if it may."""
        before = {key: self._taken.get(key, 0.0) for key in amounts}
        if all(amount <= before[key] for key, amount in amounts.items()):
            return "", False
        total = sum(max(amount, before[key]) for key, amount in amounts.items())
        if total > self.most:
            return f"{self.name}: {what} alone takes {self.shown(total)}", False
        left = max(self.most - self.begun + sum(before.values()), 0)
        if not self.closed and total <= left:
            return "", False
        told = f"{what} takes {self.shown(total)}, and {self.shown(left)} of that is left {self.span}"
        return f"{self.name}: {told}", not self.of_one


class Limits:
    """All limits of a run, or of several that share them. Asked of every plan before its first step, in any thread."""

    def __init__(self, *limits: Allowance) -> None:
        self._limits = limits
        self._lock = threading.Lock()

    @property
    def any(self) -> bool:
        return bool(self._limits)

    @property
    def ended(self) -> bool:
        """Whether no further entry need be looked at."""
        return any(limit.closed and limit.ends for limit in self._limits)

    @property
    def reached(self) -> str:
        """The names of limits that are closed."""
        return ", ".join(limit.name for limit in self._limits if limit.closed)

    def for_entry(self, entry: Entry) -> Sequence[Allowance]:
        """The limits of which this entry takes."""
        return self._limits

    def review(self, members: Sequence[tuple[Facts, Plan]]) -> list[Plan]:
        """The plans of an entry, or of several that are begun all or none, counted; or without steps, and nothing is
        counted, for what waits for another run."""
        asked: dict[Allowance, dict[str, float]] = {}
        begins = [(facts, plan) for facts, plan in members if plan.steps]
        for facts, plan in begins:
            for limit in self.for_entry(facts.entry):
                amounts, key = asked.setdefault(limit, {}), limit.key(facts.entry.id, facts.entry.parent_of_stream)
                amounts[key] = max(amounts.get(key, 0.0), limit.measure(facts, plan.steps))
        what = "it" if len(begins) == 1 else "the recording"
        with self._lock:
            found = [(limit, *limit.refusal(amounts, what)) for limit, amounts in asked.items()]
            refusals = [(limit, why, closes) for limit, why, closes in found if why]
            if not refusals:
                for limit, amounts in asked.items():
                    limit.take(amounts)
                return [plan for _, plan in members]
            # What waits whatever is left of the others is not the first in their line.
            if all(closes for *_, closes in refusals):
                for limit, *_ in refusals:
                    limit.closed = True
        told = "; ".join(why for _, why, _ in refusals)
        return [
            Plan(plan.state, (), Outcome.WAITING, f"not begun, {told}") if plan.steps else plan for _, plan in members
        ]


def entries_limit(name: str, most: int) -> Allowance:
    """At most so many entries that anything is done to: a recording is one."""
    return Allowance(name, most, lambda facts, steps: 1, lambda amount: so_many(round(amount)), of_recordings=True)


def bytes_limit(name: str, most: float, options: Options) -> Allowance:
    """At most so many bytes of videos: what is copied, read or thawed, or what Kaltura need not store any more."""

    def measure(facts: Facts, steps: tuple[Step, ...]) -> float:
        read_back = facts.stored.size_bytes if facts.stored and Step.READ_BACK in steps else 0
        return max(*bytes_of(facts, steps, options), read_bytes(facts, steps), read_back)

    return Allowance(name, most, measure, lambda amount: readable_bytes(int(amount)))
