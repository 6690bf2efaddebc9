"""Limits of a run: how much it may begin, in entries, in bytes, or in money."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from kaltura_archiver.model import Facts, Outcome, so_many
from kaltura_archiver.output.tables import readable_bytes
from kaltura_archiver.steps import Options, Plan, Step, bytes_of

# How much of a limit the steps of an entry with these facts take; 0 is always allowed.
Measure = Callable[[Facts, tuple[Step, ...]], float]


@dataclass
class Allowance:
    """At most so much in a run. `name` is how it was asked for, such as `--max-bytes 5G`; `shown` says an amount.

    What an entry takes is counted when it is begun, and stays counted however that ends. The first entry that would
    have fitted into the whole, but not into what is left, closes it: those behind it wait too, be they small. One that
    is larger than the whole waits alone. `ends`: behind a closed limit no entry is looked at, for all would take of it.
    """

    name: str
    most: float
    measure: Measure
    shown: Callable[[float], str]
    ends: bool = True
    span: str = "in this run"
    begun: float = 0.0
    closed: bool = False

    def refusal(self, before: float, amount: float) -> str:
        """Why an entry that has taken `before` may not take `amount` now; empty if it may."""
        if not amount or (before and amount <= before):
            return ""
        if amount > self.most:
            return f"{self.name}: it alone takes {self.shown(amount)}"
        left = max(self.most - self.begun + before, 0)
        if self.closed or amount > left:
            self.closed = True
            return f"{self.name}: it takes {self.shown(amount)}, and {self.shown(left)} of that is left {self.span}"
        return ""


class Limits:
    """All limits of a run, or of several that share them. Asked of every plan before its first step, in any thread."""

    def __init__(self, *limits: Allowance) -> None:
        self._limits = limits
        self._taken: dict[str, list[float]] = {}  # of each limit, by the ids of entries that were begun
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

    def count(self, entry_id: str, *amounts: float) -> None:
        """What an earlier run has begun of an entry, of each limit so much."""
        for limit, amount in zip(self._limits, amounts, strict=True):
            limit.begun += amount
        self._taken[entry_id] = list(amounts)

    def taken(self, entry_id: str) -> tuple[float, ...]:
        """What an entry has taken of each limit."""
        with self._lock:
            return tuple(self._taken.get(entry_id, [0.0] * len(self._limits)))

    def give_back(self, entry_id: str, before: tuple[float, ...]) -> None:
        """Undo what an entry has taken since then: something else keeps it from being begun."""
        with self._lock:
            for limit, now, was in zip(self._limits, self._taken.get(entry_id, before), before, strict=True):
                limit.begun -= now - was
            self._taken[entry_id] = list(before)

    def review(self, facts: Facts, plan: Plan) -> Plan:
        """The plan, counted; or one without steps, for an entry that waits for another run."""
        if not plan.steps or not self._limits:
            return plan
        amounts = [limit.measure(facts, plan.steps) for limit in self._limits]
        with self._lock:
            before = self._taken.get(facts.entry.id, [0.0] * len(amounts))
            refusals = [limit.refusal(*both) for limit, *both in zip(self._limits, before, amounts, strict=True)]
            if told := "; ".join(filter(None, refusals)):
                return Plan(plan.state, (), Outcome.WAITING, f"not begun, {told}")
            # Of an entry that is planned once more the larger plan counts.
            taken = [max(both) for both in zip(before, amounts, strict=True)]
            for limit, was, now in zip(self._limits, before, taken, strict=True):
                limit.begun += now - was
            self._taken[facts.entry.id] = taken
            return plan


def entries_limit(name: str, most: int) -> Allowance:
    """At most so many entries that anything is done to."""
    return Allowance(name, most, lambda facts, steps: 1, lambda amount: so_many(round(amount)))


def bytes_limit(name: str, most: float, options: Options) -> Allowance:
    """At most so many bytes of videos: what is copied, read or thawed, or what Kaltura need not store any more."""

    def measure(facts: Facts, steps: tuple[Step, ...]) -> float:
        original, stored = facts.original, facts.stored
        read = original.known_bytes if original and Step.PROVE in steps else 0
        read_back = stored.size_bytes if stored and Step.READ_BACK in steps else 0
        return max(*bytes_of(facts, steps, options), read, read_back)

    return Allowance(name, most, measure, lambda amount: readable_bytes(int(amount)))
