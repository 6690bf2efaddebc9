"""The limits of a restore desk: what all runs of one day may begin to bring back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from kaltura_archiver.desk import DayLimits
from kaltura_archiver.model import FROZEN_CLASSES, RETRIEVAL_TIERS, Entry, Facts, so_many
from kaltura_archiver.output.tables import readable_bytes
from kaltura_archiver.run.desk_book import DeskBook
from kaltura_archiver.run.limits import Allowance, Limits, Measure
from kaltura_archiver.run.runlog import read_day
from kaltura_archiver.steps import Command, Plan, Step, asked_back_bytes
from kaltura_archiver.store import Store


class BegunToday(NamedTuple):
    """What was begun to be brought back: the bytes, by which tier (empty where that is not known), and with which entry
    as a further stream of it."""

    size_bytes: int
    tier: str = ""
    parent: str = ""


def begun_today(store: Store, book: DeskBook, now: float) -> Mapping[str, BegunToday]:
    """By their ids the entries that runs have begun to bring back on this day (UTC): of desks by their book, of
    restores by hand by the logs of their runs. StoreError."""
    begun: dict[str, BegunToday] = {}

    def add(entry_id: str, size: int, tier: str = "", parent: str = "") -> None:
        before, known, of = begun.get(entry_id, BegunToday(0))
        tier = max(known, tier, key=("", *RETRIEVAL_TIERS).index)
        begun[entry_id] = BegunToday(max(size, before), tier, parent or of)

    for told in book.of_today():
        if told.size_bytes:
            add(told.entry_id, told.size_bytes, told.tier, told.parent)
    for fields in read_day(store, datetime.fromtimestamp(now, UTC).date(), Command.RESTORE):
        entry_id, size = fields.get("entry"), fields.get("asked_back")
        if entry_id and isinstance(size, int):
            add(entry_id, size, parent=str(fields.get("parent", "")))
    return begun


class LimitsOfDay(Limits):
    """As `Limits`, and of each owner so many entries; a recording is one. What thaws, or has thawed, takes nothing of
    any of them: no limit ends a run, for a thawed copy is always brought back.

    `before` hears of each plan that was decided. `price` measures what a tier costs, `tier` is the one asked for.
    """

    def __init__(self, told: DayLimits, tier: str, money: Allowance | None, price: Callable[[str], Measure]) -> None:
        self.tier, self._price = tier, price
        self._money, self._per_owner = money, told.per_owner
        if money:
            money.measure = lambda facts, steps: price(self.tier)(facts, steps)
        self._owners: dict[str, Allowance] = {}
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

    def for_entry(self, entry: Entry) -> Sequence[Allowance]:
        if self._per_owner is None:
            return super().for_entry(entry)
        with self._lock:
            name = f"restore.limits.per_owner {self._per_owner} ({entry.owner})"
            own = self._owners.setdefault(entry.owner, _entries(name, self._per_owner, of_one=True))
        return own, *super().for_entry(entry)

    def count_begun(self, begun: Mapping[str, BegunToday], look: Callable[[str], Facts | None]) -> None:
        """Count what earlier runs of this day have begun; `look` is None for an entry that is gone."""
        for entry_id, told in begun.items():
            facts = look(entry_id) if self.looks else None
            parent = told.parent or (facts.entry.parent_of_stream if facts else "")
            cost = self._cost(facts, told.tier or self.tier)
            of_day = {"entries": 1.0, "bytes": float(told.size_bytes), "money": cost}
            amounts = dict(zip(self._limits, map(of_day.__getitem__, self._kinds), strict=True))
            if facts and self._per_owner is not None:
                amounts[self.for_entry(facts.entry)[0]] = 1.0
            for limit, amount in amounts.items():
                limit.take({limit.key(entry_id, parent): amount})

    def _cost(self, facts: Facts | None, tier: str) -> float:
        stored = facts.stored or facts.source if facts else None
        if facts is None or stored is None or self._money is None:
            return 0.0
        steps = (Step.THAW if stored.storage_class in FROZEN_CLASSES else Step.PUT_ORIGINAL,)
        return self._price(tier)(facts, steps)

    def review(self, members: Sequence[tuple[Facts, Plan]]) -> list[Plan]:
        decided = super().review(members)
        for (facts, _), plan in zip(members, decided, strict=True):
            self.before(facts, plan)
        return decided


def _entries(name: str, most: int, *, of_one: bool = False) -> Allowance:
    return Allowance(
        name, most, lambda facts, steps: float(asked_back_bytes(facts, steps) > 0),
        lambda amount: so_many(round(amount)), ends=False, span="today", of_recordings=True, of_one=of_one,
    )  # fmt: skip
