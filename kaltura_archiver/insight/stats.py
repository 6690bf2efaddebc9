"""Figures about a library, added up entry by entry: what is where, what a threshold would free, what that saves."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from kaltura_archiver.filters import YEAR_SECONDS
from kaltura_archiver.insight.snapshot import SnapshotEntry, item_of
from kaltura_archiver.kaltura import Kaltura
from kaltura_archiver.keep import Keep
from kaltura_archiver.model import Entry, Facts, State, last_played_words
from kaltura_archiver.money.prices import Prices
from kaltura_archiver.output.reading import opened
from kaltura_archiver.output.tables import Cell
from kaltura_archiver.people.owners import STATUS_COLUMN, EnrichedTable, by_owner, entry_of_row
from kaltura_archiver.placeholders import Placeholders
from kaltura_archiver.planning import no_video
from kaltura_archiver.selection import Selection
from kaltura_archiver.states import Judgement, classify
from kaltura_archiver.steps import Options
from kaltura_archiver.store import Store
from kaltura_archiver.survey import facts_of

THRESHOLDS = (1, 2, 3, 4, 5)
# What may be asked to be foretold, and the section of the rows that tell it.
WAYS = {"thin": "thin", "replace": "threshold"}
TIER, DAYS = Options.tier, Options.days
# What s3copy and replace_video would bring to a placeholder.
_REPLACEABLE = frozenset({State.INITIAL, State.ARCHIVED, State.UNTAGGED})
_REPLACED = frozenset({State.PLACEHOLDER, State.HALF_TAGGED, State.HALF_THIN})


def items(
    kaltura: Kaltura, store: Store, selection: Selection, *, placeholders: Placeholders, workers: int, keep: Keep,
    now: float,
) -> Iterator[SnapshotEntry]:  # fmt: skip
    """The record of each entry of a selection, read for 40 entries at a time; stored copies from a listing."""
    look = facts_of(
        kaltura, store, selection, placeholders=placeholders, workers=workers, thorough=False, availability=False,
        categories=True, metadata=bool(keep.metadata), streams=True,
    )  # fmt: skip
    with look as found:
        streams: list[Facts] = []
        for facts in found:
            if facts.entry.parent_of_stream:
                streams.append(facts)
                continue
            yield from _records([*(_beside(stream, facts.entry) for stream in streams), facts], keep, now)
            streams = []
        yield from _records(streams, keep, now)


def _records(members: Iterable[Facts], keep: Keep, now: float) -> Iterator[SnapshotEntry]:
    judged = [(facts, classify(facts)) for facts in members]
    # Nothing of a recording goes while one of its streams stays.
    stays = {
        _recording(facts.entry): why for facts, judgement in judged if (why := _stays(facts, judgement, keep, now))
    }
    for facts, judgement in judged:
        yield item_of(facts, judgement, stays=stays.get(_recording(facts.entry), ""))


def _recording(entry: Entry) -> str:
    return entry.parent_of_stream or entry.id


def _stays(facts: Facts, judgement: Judgement, keep: Keep, now: float) -> str:
    """Why replace_video and thin would leave it as it is, whatever its age and plays; empty if they would not."""
    if kept := keep.why(facts, now):
        return f"kept: {kept}"
    refused = no_video(facts, judgement)
    return refused.reason if refused else ""


def _beside(stream: Facts, parent: Entry) -> Facts:
    """A further stream goes by the plays of its parent, and is named with it, if that one was selected."""
    if stream.entry.parent_of_stream != parent.id:
        return stream
    name = f"{stream.entry.name} (further stream of {parent.id})"
    entry = replace(stream.entry, name=name, last_played_at=parent.last_played_at, plays=parent.plays)
    return replace(stream, entry=entry)


@dataclass
class Sums:
    """What some entries add up to. `freed_bytes` need not be stored in Kaltura: that is done, or under a threshold
    would be. Costs are per month, but for `upload_cost` and `minimum_cost`, which are paid once."""

    entries: int = 0
    kaltura_bytes: int = 0
    stored_bytes: int = 0
    freed_bytes: int = 0
    s3_cost: float = 0.0
    restores: float = 0.0
    restores_most: float = 0.0
    restores_cost: float = 0.0
    upload_cost: float = 0.0
    minimum_cost: float = 0.0

    def cells(self, section: str, key: str, prices: Prices) -> dict[str, Cell]:
        """A row of the table (docs/money.md). What needs a Kaltura price is None without one."""
        kaltura_cost = prices.kaltura_month(self.kaltura_bytes)
        freed_cost = prices.kaltura_month(self.freed_bytes)
        cost = self.s3_cost + self.restores_cost
        saved = None if freed_cost is None else freed_cost - cost
        threshold = section in WAYS.values()
        return {
            "section": section,
            "key": key,
            "entries": self.entries,
            "kaltura_bytes": self.kaltura_bytes,
            "stored_bytes": self.stored_bytes,
            "freed_bytes": self.freed_bytes,
            "restores_month": round(self.restores, 2) if threshold else None,
            "restores_month_most": round(self.restores_most, 2) if threshold else None,
            "kaltura_month": _money(kaltura_cost),
            "s3_month": _money(self.s3_cost),
            "restores_cost_month": _money(self.restores_cost) if threshold else None,
            "saved_month": _money(saved),
            "pays_from": _money(prices.break_even(cost, self.freed_bytes)),
            "upload_cost": _money(self.upload_cost) if threshold else None,
            "paid_back_months": self._paid_back_months(freed_cost, cost) if threshold else None,
        }

    def _paid_back_months(self, freed_cost: float | None, cost: float) -> float | None:
        """After how many months what was saved has paid for the uploads, and for the time for which AWS wants storage
        paid in any case; None for never."""
        if freed_cost is None or freed_cost <= cost:
            return None
        months = self.upload_cost / (freed_cost - cost)
        early = (self.upload_cost + self.minimum_cost) / (freed_cost - self.restores_cost)
        return round(max(months, early), 1)


def _money(amount: float | None) -> float | None:
    return None if amount is None else round(amount, 4) + 0.0  # not -0.0


class Stats:
    """Adds items up; what is kept are sums, whatever the number of entries. `now` is unix seconds.

    `storage_class` is where copies would go that are not there yet. `unit_of` tells an entry's unit.
    """

    def __init__(
        self, prices: Prices, *, now: float, storage_class: str,
        unit_of: Callable[[SnapshotEntry], str] | None = None, ways: Sequence[str] = ("replace",),
    ) -> None:  # fmt: skip
        self._prices = prices
        self._now = now
        self._storage_class = storage_class
        self._unit_of = unit_of
        self.total = Sums()
        self.by: dict[str, defaultdict[str, Sums]] = {
            section: defaultdict(Sums) for section in ("state", "storage_class", "created", "played", "category")
        }
        if unit_of:
            self.by["unit"] = defaultdict(Sums)
        self.thresholds = {way: {years: Sums() for years in THRESHOLDS} for way in WAYS if way in ways}
        self._several = Sums()  # what the categories of an entry beyond its first count again

    def add(self, item: SnapshotEntry) -> None:
        """Count one entry."""
        freed = max(0, (item.stored_bytes or 0) - item.kaltura_bytes) if item.state in _REPLACED else 0
        if item.state == State.THIN:
            freed = item.stored_bytes or 0  # what plays was there before, too
        s3_cost = 0.0
        if item.stored_bytes is not None:
            s3_cost = self._prices.s3_month(item.storage_class, item.stored_bytes)
        keys = {
            "state": item.state,
            "storage_class": item.storage_class or "(no copy)",
            "created": _year(item.created_at) or "(unknown)",
            "played": last_played_words(_year(item.last_played_at), item.plays),
        }
        if self._unit_of:
            keys["unit"] = self._unit_of(item)
        categories = list(dict.fromkeys(filter(None, map(str.strip, item.categories.split(","))))) or ["(none)"]
        sums = [self.total, *(self.by[section][key] for section, key in keys.items())]
        sums += [self.by["category"][name] for name in categories]
        for one in sums:
            one.entries += 1
            one.kaltura_bytes += item.kaltura_bytes
            one.stored_bytes += item.stored_bytes or 0
            one.freed_bytes += freed
            one.s3_cost += s3_cost
        again = len(categories) - 1
        self._several.entries -= again
        self._several.kaltura_bytes -= again * item.kaltura_bytes
        self._several.stored_bytes -= again * (item.stored_bytes or 0)
        self._several.freed_bytes -= again * freed
        self._several.s3_cost -= again * s3_cost
        for way, thresholds in self.thresholds.items():
            for years, sums_under in thresholds.items():
                self._add_under(sums_under, way, years * YEAR_SECONDS, item)

    def _add_under(self, sums: Sums, way: str, unplayed_seconds: float, item: SnapshotEntry) -> None:
        """What replacing, or thinning, whatever was not played for so long would mean for this entry."""
        if item.stays:
            return
        prices = self._prices
        if item.stored_bytes is None:
            storage_class, size = self._storage_class, item.original_bytes
        else:
            storage_class, size = item.storage_class, item.stored_bytes
        thins = way == "thin"
        if self._replaceable(item, self._now - unplayed_seconds) and (item.thin_freed or not thins):
            sums.entries += 1
            sums.kaltura_bytes += item.kaltura_bytes
            sums.stored_bytes += item.stored_bytes or 0
            sums.freed_bytes += item.thin_freed if thins else max(0, item.kaltura_bytes - item.placeholder_bytes)
            sums.s3_cost += prices.s3_month(storage_class, size)
            if item.stored_bytes is None:
                sums.upload_cost += prices.put(storage_class, size)
                sums.minimum_cost += prices.early_deletion(storage_class, size, 0)
        # What plays on is asked for by nobody.
        chance = None if thins else chance_of_restore(item, self._now, unplayed_seconds)
        if chance is not None:
            sums.restores += chance / 12
            sums.restores_most += 1 / 12
            once = prices.retrieval(storage_class, TIER, size, days=DAYS) + prices.transfer_out(size)
            sums.restores_cost += chance / 12 * once

    def _replaceable(self, item: SnapshotEntry, until: float) -> bool:
        sound = item.healthy or item.state == State.UNTAGGED
        played = item.last_played_at or 0
        return (
            item.state in _REPLACEABLE and sound and item.original_bytes > 0 and 0 < item.created_at <= until
            and played <= until
        )  # fmt: skip

    def rows(self) -> Iterator[dict[str, Cell]]:
        """One table: the total, then sections that add up to it, then what each threshold would do."""
        yield self.total.cells("total", "", self._prices)
        for section, found in self.by.items():
            by_size = section in ("category", "unit")
            ordered = [(-sums.kaltura_bytes if by_size else not key[0].isdigit(), key) for key, sums in found.items()]
            for _, key in sorted(ordered):
                yield found[key].cells(section, key, self._prices)
            if section == "category" and self._several.entries:
                yield self._several.cells(section, "(counted again)", self._prices)
        for way, thresholds in self.thresholds.items():
            for years, sums in thresholds.items():
                yield sums.cells(WAYS[way], str(years), self._prices)


def chance_of_restore(item: SnapshotEntry, now: float, unplayed_seconds: float) -> float | None:
    """How likely the entry, with originals replaced after so long without a play, had been replaced a year ago and
    restored since; None if it certainly had not.

    It was played within the year, and was old enough before. Kaltura tells only the last play and their number: the
    others are taken to be spread evenly over the entry's life. So this is the probability that none of them fell into
    the time before the year (docs/money.md).
    """
    year_ago = now - YEAR_SECONDS
    if not item.created_at or item.created_at > year_ago - unplayed_seconds or (item.last_played_at or 0) <= year_ago:
        return None
    life_seconds = (item.last_played_at or 0) - item.created_at
    return float((1 - unplayed_seconds / life_seconds) ** max(0, item.plays - 1))


def _year(unix_seconds: int | None) -> str:
    return str(datetime.fromtimestamp(unix_seconds, UTC).year) if unix_seconds else ""


# Owners' units


def units_of(path: str) -> Callable[[SnapshotEntry], str]:
    """What tells an entry's unit, from a TSV of `enrich`: by its column owner_id, else creator_id, else entry_id.

    An owner without a unit is counted by the owner's standing, in brackets. Raises InputError.
    """
    with opened(path) as file:
        table = EnrichedTable(file, path)
        key, of_item = entry_of_row(table.columns, table.where)
        status_if_any = [table.index(STATUS_COLUMN)] if STATUS_COLUMN in table else []
        found = by_owner(table, key, [table.index("org_unit"), *status_if_any])
    units = {key: unit or (f"({status[0]})" if any(status) else "(no unit)") for key, (unit, *status) in found.items()}
    return lambda item: units.get(of_item(item), "(not listed)")
