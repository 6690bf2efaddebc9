"""The limits of a restore desk: what all runs of one day may begin to bring back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from kaltura_archiver.desk import DayLimits
from kaltura_archiver.model import FROZEN_CLASSES, RETRIEVAL_TIERS, Facts, so_many
from kaltura_archiver.output.tables import readable_bytes
from kaltura_archiver.run.desk_book import DeskBook
from kaltura_archiver.run.limits import Allowance, Limits, Measure
from kaltura_archiver.run.runlog import read_day
from kaltura_archiver.steps import Command, Plan, Step, asked_back_bytes
from kaltura_archiver.store import Store


def begun_today(store: Store, book: DeskBook, now: float) -> Mapping[str, tuple[int, str]]:
    """Of the entries that runs have begun to bring back on this day (UTC) the bytes, and by which tier (empty where
    that is not known): of desks by their book, of restores by hand by the logs of their runs. StoreError."""
    begun: dict[str, tuple[int, str]] = {}

    def add(entry_id: str, size: int, tier: str = "") -> None:
        before, known = begun.get(entry_id, (0, ""))
        begun[entry_id] = max(size, before), max(known, tier, key=("", *RETRIEVAL_TIERS).index)

    for told in book.of_today():
        if told.size_bytes:
            add(told.entry_id, told.size_bytes, told.tier)
    for fields in read_day(store, datetime.fromtimestamp(now, UTC).date(), Command.RESTORE):
        entry_id, size = fields.get("entry"), fields.get("asked_back")
        if entry_id and isinstance(size, int):
            add(entry_id, size)
    return begun


class LimitsOfDay(Limits):
    """As `Limits`, and of each owner so many entries. What thaws, or has thawed, takes nothing of any of them: no limit
    ends a run, for a thawed copy is always brought back.

    `before` hears of each plan that was decided. `price` measures what a tier costs, `tier` is the one asked for.
    """

    def __init__(self, told: DayLimits, tier: str, money: Allowance | None, price: Callable[[str], Measure]) -> None:
        self.tier, self._price = tier, price
        self._money, self._per_owner = money, told.per_owner
        if money:
            money.measure = lambda facts, steps: price(self.tier)(facts, steps)
        self._owners: dict[str, Limits] = {}
        self._kinds = [name for name in ("entries", "bytes", "money") if getattr(told, name) is not None]
        size = told.bytes or 0
        made: dict[str, Allowance | None] = {
            "entries": _entries(f"restore.limits.entries {told.entries}", told.entries or 0),
            "bytes": Allowance(
                f"restore.limits.bytes {readable_bytes(size)}", size, asked_back_bytes,
                lambda amount: readable_bytes(int(amount)), ends=False, span="today",
            ),
            "money": money,
        }  # fmt: skip
        self.before: Callable[[Facts, Plan], None] = lambda facts, plan: None
        super().__init__(*(limit for name in self._kinds if (limit := made[name])))

    @property
    def looks(self) -> bool:
        """Whether the entries of earlier runs have to be looked at, for their logs do not tell it."""
        return bool(self._money or self._per_owner)

    def _of(self, owner: str) -> Limits:
        name = f"restore.limits.per_owner {self._per_owner} ({owner})"
        return self._owners.setdefault(owner, Limits(_entries(name, self._per_owner or 0)))

    def count_begun(self, begun: Mapping[str, tuple[int, str]], look: Callable[[str], Facts | None]) -> None:
        """Count what earlier runs of this day have begun; `look` is None for an entry that is gone."""
        for entry_id, (size, tier) in begun.items():
            facts = look(entry_id) if self.looks else None
            amounts = {"entries": 1.0, "bytes": float(size), "money": self._cost(facts, tier or self.tier)}
            self.count(entry_id, *(amounts[name] for name in self._kinds))
            if facts and self._per_owner is not None:
                self._of(facts.entry.owner).count(entry_id, 1.0)

    def _cost(self, facts: Facts | None, tier: str) -> float:
        stored = facts.stored or facts.source if facts else None
        if facts is None or stored is None or self._money is None:
            return 0.0
        steps = (Step.THAW if stored.storage_class in FROZEN_CLASSES else Step.PUT_ORIGINAL,)
        return self._price(tier)(facts, steps)

    def review(self, facts: Facts, plan: Plan) -> Plan:
        decided = self._review(facts, plan)
        self.before(facts, decided)
        return decided

    def _review(self, facts: Facts, plan: Plan) -> Plan:
        if self._per_owner is None or not plan.steps:
            return super().review(facts, plan)
        of_owner = self._of(facts.entry.owner)
        before = of_owner.taken(facts.entry.id)
        allowed = of_owner.review(facts, plan)
        if not allowed.steps:
            return allowed
        decided = super().review(facts, plan)
        if not decided.steps:  # what waits for the day takes no place of its owner's others
            of_owner.give_back(facts.entry.id, before)
        return decided


def _entries(name: str, most: int) -> Allowance:
    return Allowance(
        name, most, lambda facts, steps: float(asked_back_bytes(facts, steps) > 0),
        lambda amount: so_many(round(amount)), ends=False, span="today",
    )  # fmt: skip
