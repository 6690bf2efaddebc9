"""The figures of a report: a snapshot's items and the run log in, tables of numbers out. Pure."""

from __future__ import annotations

import heapq
import itertools
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from kaltura_archiver.history import History, Kind, unix_seconds
from kaltura_archiver.model import State, iso_date
from kaltura_archiver.owners import Owner
from kaltura_archiver.plans import Options
from kaltura_archiver.prices import Prices
from kaltura_archiver.snapshot import Item

# How far back months are shown, this one included.
MONTHS = 36
DAY_SECONDS = 86400
YEAR_SECONDS = 365 * DAY_SECONDS
# Of owners and units so many are named; the others are one row.
TOP = 50
# What bringing back is reckoned as: the log does not tell the tier.
TIER, DAYS = Options.tier, Options.days
# Unhealthy entries that are listed by name.
LISTED = 100
Cell = str | int | float | None


class Unit(StrEnum):
    """What the cells of a column are, and so how they are written."""

    TEXT = "text"
    COUNT = "count"
    BYTES = "bytes"
    MONEY = "money"
    SHARE = "share"


@dataclass(frozen=True)
class Column:
    name: str
    unit: Unit = Unit.TEXT


@dataclass(frozen=True)
class Table:
    """Numbers with a caption; the first column names the row. `total`, where there is one, is a last row of sums."""

    caption: str
    columns: tuple[Column, ...]
    rows: Sequence[Sequence[Cell]]
    total: Sequence[Cell] | None = None


class Place(StrEnum):
    """Where the video of an entry is, in a director's words."""

    KALTURA = "in Kaltura only"
    BOTH = "in both"
    S3 = "in S3 only"
    TROUBLE = "needs attention"


_PLACES = {State.INITIAL: Place.KALTURA, State.ARCHIVED: Place.BOTH, State.PLACEHOLDER: Place.S3}
_AWAY = frozenset({State.PLACEHOLDER, State.HALF_TAGGED})


def place_of(item: Item) -> Place:
    return _PLACES.get(State(item.state), Place.TROUBLE) if item.healthy else Place.TROUBLE


def video_bytes(item: Item) -> int:
    """The size of the entry's video, wherever it is; 0 where it is nowhere."""
    if item.state == State.LOST:
        return 0
    if item.state in _AWAY or not item.original_bytes:
        return item.stored_bytes or 0
    return item.original_bytes


@dataclass
class _Held:
    """Entries and bytes that came or went."""

    entries: int = 0
    bytes: int = 0

    def add(self, size: int) -> None:
        self.entries += 1
        self.bytes += size


_ByMonthAndClass = defaultdict[int, defaultdict[str, _Held]]


def _by_month_and_class() -> _ByMonthAndClass:
    return defaultdict(lambda: defaultdict(_Held))


@dataclass(frozen=True)
class Row:
    """One entry of the page's table."""

    item: Item
    owner: str
    unit: str
    place: Place
    bytes: int
    verified_at: int | None


@dataclass
class Figures:
    """Everything that the page shows. Times are unix seconds; what the log cannot tell is None or empty."""

    now: int
    currency: str
    entries: int = 0
    healthy: int = 0
    stored_entries: int = 0
    stored_bytes: int = 0
    freed_entries: int = 0
    freed_bytes: int = 0
    log_since: int | None = None
    runs: int = 0
    has_units: bool = False
    avoided_month: float | None = None
    pays_from: float | None = None
    storage_month: float = 0.0
    copying_month: float = 0.0
    bringing_month: float = 0.0
    restores_year: int = 0
    waits: list[int] = field(default_factory=list)
    ripe_replaced: int = 0
    ripe_restored: int = 0
    last_verified: int | None = None
    places: Table | None = None
    growth: Table | None = None
    monthly: Table | None = None
    money: Table | None = None
    restores: Table | None = None
    waiting: Table | None = None
    regrets: Table | None = None
    owners: Table | None = None
    units: Table | None = None
    verification: Table | None = None
    trouble: Table | None = None
    troubled: Table | None = None
    rows: list[Row] = field(default_factory=list)

    @property
    def handling_month(self) -> float:
        return self.copying_month + self.bringing_month

    @property
    def net_month(self) -> float | None:
        """What is saved per month now: what Kaltura would cost, less S3 and less what moving cost of late."""
        return None if self.avoided_month is None else self.avoided_month - self.storage_month - self.handling_month

    @property
    def troubled_entries(self) -> int:
        return self.entries - self.healthy

    def waited(self, part: float) -> int | None:
        """The seconds that so large a part of the viewers waited at most."""
        if not self.waits:
            return None
        ordered = sorted(self.waits)
        return ordered[min(len(ordered) - 1, int(part * len(ordered)))]

    @property
    def median_wait(self) -> float | None:
        return statistics.median(self.waits) if self.waits else None


WAITS = (
    (3600, "less than 1 hour"), (6 * 3600, "1 to 6 hours"), (12 * 3600, "6 to 12 hours"),
    (86400, "12 to 24 hours"), (2 * 86400, "1 to 2 days"), (7 * 86400, "2 to 7 days"), (None, "more than a week"),
)  # fmt: skip
AGES = ((91, "in the last 3 months"), (365, "3 to 12 months ago"), (730, "1 to 2 years ago"), (None, "longer ago"))
NEVER_VERIFIED = "not known to be verified"


class Collector:
    """Takes the items of a snapshot one by one and keeps sums of them, and the rows of the page's table."""

    def __init__(
        self, history: History, prices: Prices, *, now: int, rows: int, owner_of: Callable[[Item], Owner] | None
    ) -> None:
        """At most `rows` entries are kept for the table: the unhealthy ones, then the largest."""
        self._history = history
        self._prices = prices
        self._owner_of = owner_of
        self._now = now
        self._month = _month_of(now)
        self._since = self._month - MONTHS + 1
        self._log_month = self._month if history.first_at is None else _month_of(history.first_at)
        self._wanted = rows
        self._heap: list[tuple[bool, int, int, Row]] = []
        self._numbers = itertools.count()
        self._figures = Figures(
            now, prices.currency, log_since=history.first_at, runs=history.runs, has_units=owner_of is not None
        )
        self._states: defaultdict[str, Counter[State]] = defaultdict(Counter)
        self._place_bytes: defaultdict[str, Counter[Place]] = defaultdict(Counter)
        self._created: Counter[int] = Counter()
        self._freed: Counter[int] = Counter()
        self._stored = _by_month_and_class()
        self._copied = _by_month_and_class()
        self._restored = _by_month_and_class()
        self._asked_by_viewers: Counter[int] = Counter()
        self._quarters: defaultdict[int, Counter[str]] = defaultdict(Counter)
        self._owners: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._units: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._accounts: dict[str, str] = {}
        self._verified: defaultdict[str, _Held] = defaultdict(_Held)
        self._trouble: defaultdict[tuple[int, str, str], _Held] = defaultdict(_Held)
        self._troubled: list[tuple[int, int, Item, str]] = []

    def add(self, item: Item) -> None:
        figures, state, place, size = self._figures, State(item.state), place_of(item), video_bytes(item)
        figures.entries += 1
        figures.healthy += item.healthy
        year = iso_date(item.created_at)[:4] or "unknown"
        self._states[year][state] += 1
        self._place_bytes[year][place] += size
        self._created[self._shown(_month_of(item.created_at))] += size
        self._add_times_away(item, state)
        verified = self._add_copy(item)
        owner = self._owner_of(item) if self._owner_of else None
        name, unit = owner.cells if owner else ("", "")
        name = f"{name} ({item.owner})" if name else item.owner
        self._accounts[name] = owner.status if owner else ""
        for table, key in ((self._owners, name), (self._units, unit)):
            table[key].update(entries=1, **{"freed" if place is Place.S3 else "kaltura": size})
        if not item.healthy:
            severity = list(State).index(state)
            self._trouble[severity, item.state, item.hint or item.why].add(size)
            # The least severe one makes room.
            _push(self._troubled, (-severity, -next(self._numbers), item, name), LISTED)
        row = Row(item, name, unit, place, size, verified)
        _push(self._heap, (not item.healthy, size, -next(self._numbers), row), self._wanted)

    def _shown(self, month: int) -> int:
        """The month within what is shown: what is older counts as having been there before."""
        return min(max(month, self._since - 1), self._month)

    def _add_times_away(self, item: Item, state: State) -> None:
        figures = self._figures
        stored = item.stored_bytes or 0
        freed_now = state in _AWAY and item.stored_bytes is not None
        for away in self._history.away(item.entry_id, now_away=freed_now):
            size = max(stored - item.kaltura_bytes, 0) if away.until is None else stored
            self._freed[self._since - 1 if away.since is None else self._shown(_month_of(away.since))] += size
            if away.until is None:
                figures.freed_entries += 1
                figures.freed_bytes += size
            else:
                month = self._shown(_month_of(away.until))
                self._freed[month] -= size
                self._restored[month][item.storage_class].add(stored)
                recent = away.until > self._now - YEAR_SECONDS
                figures.restores_year += recent
                if away.waited_seconds is not None:
                    self._asked_by_viewers[month] += 1
                    if recent:
                        figures.waits.append(away.waited_seconds)
            if away.since is not None:
                wanted = away.until is not None and away.until - away.since <= YEAR_SECONDS
                self._quarters[_quarter_of(away.since)].update(replaced=1, restored=int(wanted))
                if away.since <= self._now - YEAR_SECONDS:
                    figures.ripe_replaced += 1
                    figures.ripe_restored += wanted

    def _add_copy(self, item: Item) -> int | None:
        """Count the stored copy, if there is one; when it was last verified."""
        if item.stored_bytes is None:
            return None
        figures, history = self._figures, self._history
        figures.stored_entries += 1
        figures.stored_bytes += item.stored_bytes
        copied = history.first(item.entry_id, Kind.COPIED)
        month = self._since - 1 if copied is None else self._shown(_month_of(copied))
        self._stored[month][item.storage_class].add(item.stored_bytes)
        if copied is not None:
            self._copied[month][item.storage_class].add(item.stored_bytes)
        times = (unix_seconds(item.verified_at), history.last(item.entry_id, Kind.VERIFIED))
        verified = max((at for at in times if at is not None), default=None)
        age = NEVER_VERIFIED if verified is None else _band((self._now - verified) / DAY_SECONDS, AGES)
        self._verified[age].add(item.stored_bytes)
        if verified is not None:
            figures.last_verified = max(verified, figures.last_verified or 0)
        return verified

    # What comes of it

    @property
    def entries(self) -> int:
        return self._figures.entries

    def figures(self) -> Figures:
        figures, prices = self._figures, self._prices
        figures.avoided_month = prices.kaltura_month(figures.freed_bytes)
        now_stored: dict[str, _Held] = defaultdict(_Held)
        for classes in self._stored.values():
            for storage_class, held in classes.items():
                now_stored[storage_class].entries += held.entries
                now_stored[storage_class].bytes += held.bytes
        figures.storage_month = _total(now_stored, prices.s3_month)
        figures.places = self._places()
        figures.growth, figures.money = self._growth_and_money()
        figures.monthly = self._monthly()
        figures.pays_from = prices.break_even(figures.storage_month + figures.handling_month, figures.freed_bytes)
        figures.restores = self._restores_table()
        figures.waiting = self._waiting()
        figures.regrets = self._regret()
        figures.owners = _top(self._owners, "Owner", "(no owner)", self._accounts if self._owner_of else None)
        if self._owner_of:
            figures.units = _top(self._units, "Unit", "(no unit)")
        figures.verification = self._verification()
        figures.trouble, figures.troubled = self._trouble_tables()
        figures.rows = [row for *_, row in sorted(self._heap, key=lambda kept: kept[:3], reverse=True)]
        return figures

    def _places(self) -> Table:
        states = [state for state in State if any(state in counts for counts in self._states.values())]
        columns = (
            Column("Created"),
            *(Column(state.value, Unit.COUNT) for state in states),
            *(Column(place.value, Unit.BYTES) for place in Place),
        )
        rows: list[list[Cell]] = [
            [year, *(self._states[year][s] for s in states), *(self._place_bytes[year][p] for p in Place)]
            for year in sorted(self._states)
        ]
        return _with_total("Entries by state, and where their videos are, by year of creation", columns, rows)

    def _growth_and_money(self) -> tuple[Table, Table | None]:
        library, freed = self._created[self._since - 1], self._freed[self._since - 1]
        held: defaultdict[str, _Held] = defaultdict(_Held)
        growth: list[list[Cell]] = []
        money: list[list[Cell]] = []
        prices = self._prices

        def bring(storage_class: str, size: int, objects: int) -> float:
            return prices.retrieval(storage_class, TIER, size, objects, DAYS) + prices.transfer_out(size)

        for month in range(self._since - 1, self._month + 1):
            if month >= self._since:
                library += self._created[month]
                freed += self._freed[month]
            for storage_class, come in self._stored.get(month, {}).items():
                held[storage_class].entries += come.entries
                held[storage_class].bytes += come.bytes
            if month < self._since:
                continue
            known = month >= self._log_month
            stored = sum(each.bytes for each in held.values())
            growth.append([_month_name(month), library, library - freed if known else None, stored if known else None])
            if known:
                avoided, storage = prices.kaltura_month(freed), _total(held, prices.s3_month)
                copying = _total(self._copied.get(month, {}), prices.put)
                bringing = _total(self._restored.get(month, {}), bring)
                net = None if avoided is None else avoided - storage - copying - bringing
                money.append([_month_name(month), avoided, storage, copying, bringing, net])
        growth_table = Table(
            "Size of the library at the end of each month",
            (
                Column("Month"), Column("all videos", Unit.BYTES), Column("in Kaltura", Unit.BYTES),
                Column("copies in S3", Unit.BYTES),
            ),
            growth,
        )  # fmt: skip
        if self._history.first_at is None:
            return growth_table, None
        columns = (
            Column("Month"), Column("Kaltura storage avoided", Unit.MONEY), Column("S3 storage", Unit.MONEY),
            Column("copying to S3", Unit.MONEY), Column("bringing back", Unit.MONEY), Column("net", Unit.MONEY),
        )  # fmt: skip
        year = money[-12:]
        self._figures.copying_month = statistics.mean(float(row[3] or 0) for row in year)
        self._figures.bringing_month = statistics.mean(float(row[4] or 0) for row in year)
        return growth_table, _with_total("Money by month", columns, money)

    def _monthly(self) -> Table:
        f = self._figures
        costs = {"S3 storage": f.storage_month, "copying to S3": f.copying_month, "bringing back": f.bringing_month}
        rows: list[list[Cell]] = [[name, -cost] for name, cost in costs.items()]
        if f.avoided_month is not None:
            rows.insert(0, ["Kaltura storage avoided", f.avoided_month])
        columns = (Column(""), Column("sum", Unit.MONEY))
        return _with_total("Per month, as it is now", columns, rows)

    def _months_of_log(self) -> range:
        return range(max(self._since, self._log_month), self._month + 1)

    def _restores_table(self) -> Table | None:
        if self._history.first_at is None:
            return None
        rows: list[list[Cell]] = []
        for month in self._months_of_log():
            came = list(self._restored.get(month, {}).values())
            entries = sum(each.entries for each in came)
            rows.append([_month_name(month), entries, self._asked_by_viewers[month], sum(each.bytes for each in came)])
        columns = (
            Column("Month"), Column("brought back", Unit.COUNT), Column("of these after a play", Unit.COUNT),
            Column("size", Unit.BYTES),
        )  # fmt: skip
        return _with_total("Originals brought back, by month", columns, rows)

    def _waiting(self) -> Table | None:
        waits = self._figures.waits
        if not waits:
            return None
        counts = Counter(_band(wait, WAITS) for wait in waits)
        rows: list[list[Cell]] = [[name, counts[name], counts[name] / len(waits)] for _, name in WAITS]
        columns = (Column("Wait"), Column("restores", Unit.COUNT), Column("share", Unit.SHARE))
        return Table("From the play that asked to the original being back, last 12 months", columns, rows)

    def _regret(self) -> Table | None:
        last = _quarter_of(self._now)
        ripe = _quarter_of(self._now - YEAR_SECONDS)  # quarters before it are more than a year ago
        rows: list[list[Cell]] = [
            [_quarter_name(quarter), counts["replaced"], counts["restored"], counts["restored"] / counts["replaced"],
             "yes" if quarter < ripe else "not yet"]
            for quarter, counts in sorted(self._quarters.items())
            if quarter > last - MONTHS // 3
        ]  # fmt: skip
        columns = (
            Column("Replaced in"), Column("replaced", Unit.COUNT), Column("restored within 12 months", Unit.COUNT),
            Column("share", Unit.SHARE), Column("12 months over"),
        )  # fmt: skip
        return Table("Replaced, and wanted back within 12 months", columns, rows) if rows else None

    def _verification(self) -> Table | None:
        if not self._verified:
            return None
        names = [*(name for _, name in AGES), NEVER_VERIFIED]
        rows: list[list[Cell]] = [[name, self._verified[name].entries, self._verified[name].bytes] for name in names]
        columns = (Column("Last verified"), Column("copies", Unit.COUNT), Column("size", Unit.BYTES))
        return _with_total("When the stored copies were last read back and compared", columns, rows)

    def _trouble_tables(self) -> tuple[Table | None, Table | None]:
        if not self._trouble:
            return None, None
        kinds: list[list[Cell]] = [
            [state, held.entries, held.bytes, hint] for (_, state, hint), held in sorted(self._trouble.items())
        ]
        columns = (Column("State"), Column("entries", Unit.COUNT), Column("size", Unit.BYTES), Column("what to do"))
        listed: list[list[Cell]] = [
            [item.entry_id, item.name, owner, item.state, item.why, item.hint]
            for *_, item, owner in sorted(self._troubled, key=lambda kept: kept[:2], reverse=True)
        ]
        return (
            Table("What needs attention, the worst first", columns, kinds),
            Table(
                "The entries that need attention",
                tuple(map(Column, ("Entry", "name", "owner", "state", "what is wrong", "what to do"))),
                listed,
            ),
        )


def _push(heap: list[Any], kept: Any, most: int) -> None:
    """Keep the `most` greatest."""
    if len(heap) < most:
        heapq.heappush(heap, kept)
    else:
        heapq.heappushpop(heap, kept)


def _total(held: Mapping[str, _Held], price: Callable[[str, int, int], float]) -> float:
    return sum(price(name, each.bytes, each.entries) for name, each in held.items() if each.entries)


def _with_total(caption: str, columns: tuple[Column, ...], rows: list[list[Cell]]) -> Table:
    """The table with sums of its numbers; a column with an empty cell has none."""
    sums: list[Cell] = ["Total"]
    for number, column in enumerate(columns[1:], 1):
        cells = [row[number] for row in rows]
        numbers = [cell for cell in cells if isinstance(cell, int | float)]
        sums.append(sum(numbers) if len(numbers) == len(cells) and column.unit is not Unit.TEXT else None)
    return Table(caption, columns, rows, sums)


def _top(sums: Mapping[str, Counter[str]], what: str, nobody: str, accounts: Mapping[str, str] | None = None) -> Table:
    """The TOP names with the largest videos, the others in one row."""
    named = sorted(sums.items(), key=lambda pair: (-pair[1]["kaltura"] - pair[1]["freed"], pair[0]))
    kinds = ("entries", "kaltura", "freed")

    def row(name: str, counts: Mapping[str, int], account: str) -> list[Cell]:
        told: list[Cell] = [] if accounts is None else [account]
        return [name, *told, *(counts[kind] for kind in kinds), counts["kaltura"] + counts["freed"]]

    rows = [row(name or nobody, counts, (accounts or {}).get(name, "")) for name, counts in named[:TOP]]
    if len(named) > TOP:
        others = sum((counts for _, counts in named[TOP:]), Counter[str]())
        rows.append(row(f"{len(named) - TOP} others", others, ""))
    columns = (
        Column(what), *(() if accounts is None else (Column("account"),)), Column("entries", Unit.COUNT),
        Column("in Kaltura", Unit.BYTES), Column("freed in Kaltura", Unit.BYTES), Column("all videos", Unit.BYTES),
    )  # fmt: skip
    return _with_total(f"{what}s with the largest videos", columns, rows)


def _band(number: float, bands: Sequence[tuple[int | None, str]]) -> str:
    return next(name for limit, name in bands if limit is None or number < limit)


def _month_of(at: int) -> int:
    """Months since the year 0, in UTC."""
    day = datetime.fromtimestamp(at, UTC)
    return day.year * 12 + day.month - 1


def _quarter_of(at: int) -> int:
    return _month_of(at) // 3


def _month_name(month: int) -> str:
    return f"{month // 12}-{month % 12 + 1:02}"


def _quarter_name(quarter: int) -> str:
    return f"{quarter // 4} Q{quarter % 4 + 1}"
