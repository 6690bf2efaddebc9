"""Makes the figures of the page from entries as they come, in bounded memory."""

from __future__ import annotations

import itertools
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable

from kaltura_archiver.filters import YEAR_SECONDS
from kaltura_archiver.insight.figures import (
    AGES,
    AWAY,
    COPIED_TO,
    DAYS,
    LISTED,
    LOST_LISTED,
    MONTHS,
    NEVER_VERIFIED,
    TIER,
    WAITS,
    ByMonthAndClass,
    Column,
    Figures,
    Held,
    PageRow,
    Place,
    Table,
    Unit,
    band_of,
    keep_greatest,
    month_name,
    month_of,
    place_of,
    quarter_name,
    quarter_of,
    top_table,
    total_price,
    video_bytes,
    with_total,
)
from kaltura_archiver.insight.history import History, Kind, unix_seconds
from kaltura_archiver.insight.snapshot import SnapshotEntry
from kaltura_archiver.insight.stats import Stats
from kaltura_archiver.insight.told import LOST, NAMES, state_name, what_is_wrong, what_to_do
from kaltura_archiver.model import State, iso_date
from kaltura_archiver.money.prices import Prices
from kaltura_archiver.output.tables import Cell
from kaltura_archiver.people.owners import Owner
from kaltura_archiver.steps import DAY_SECONDS


def _by_month_and_class() -> ByMonthAndClass:
    return defaultdict(lambda: defaultdict(Held))


def _is_away(item: SnapshotEntry) -> bool:
    """Whether what Kaltura has of the entry is not its original, be it healthy or not."""
    gone = not item.original_bytes and item.stored_bytes is not None
    return gone or State(item.state) in (State.PLACEHOLDER, State.HALF_TAGGED)


def _verified_at(item: SnapshotEntry, history: History) -> int | None:
    """When the copy that is the entry's was last read back and found whole (unix seconds): by its tag, else by the log,
    unless that was about what was stored before."""
    logged = history.last(item.entry_id, Kind.VERIFIED)
    if logged is not None and logged < (item.stored_at or 0):
        logged = None
    return max((at for at in (unix_seconds(item.verified_at), logged) if at is not None), default=None)


def _could_save(stats: Stats, prices: Prices) -> Table | None:
    """What replacing all that was not played for so many years would free and save, as `stats` reckons."""
    rows: list[list[Cell]] = []
    for years, sums in stats.thresholds["replace"].items():
        if sums.entries:
            saved = sums.cells("threshold", str(years), prices)["saved_month"]
            rows.append([f"{years} year{'s' if years > 1 else ''}", sums.entries, sums.freed_bytes, saved])
    columns = [Column("Not played for"), Column("videos", Unit.COUNT), Column("to free", Unit.BYTES)]
    if rows and rows[0][-1] is None:
        rows = [row[:-1] for row in rows]
    else:
        columns.append(Column("saved a month", Unit.MONEY))
    return Table("What could still be saved", tuple(columns), rows) if rows else None


class Collector:
    """Takes the items of a snapshot one by one and keeps sums of them, and the rows of the page's table."""

    def __init__(
        self,
        history: History,
        prices: Prices,
        *,
        now: int,
        rows: int,
        owner_of: Callable[[SnapshotEntry], Owner] | None,
    ) -> None:
        """At most `rows` entries are kept for the table: the unhealthy ones, then the largest."""
        self._history = history
        self._prices = prices
        self._owner_of = owner_of
        self._now = now
        self._month = month_of(now)
        self._since = self._month - MONTHS + 1
        self._log_month = self._month if history.first_at is None else month_of(history.first_at)
        self._wanted = rows
        self._heap: list[tuple[bool, bool, int, int, PageRow]] = []
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
        self._stats = Stats(prices, now=now, storage_class=COPIED_TO)
        self._verified: defaultdict[str, Held] = defaultdict(Held)
        self._trouble: defaultdict[tuple[int, str, str], Held] = defaultdict(Held)
        self._troubled: list[tuple[int, int, SnapshotEntry, str]] = []

    def add(self, item: SnapshotEntry) -> None:
        figures, state, place, size = self._figures, State(item.state), place_of(item), video_bytes(item)
        figures.entries += 1
        figures.healthy += item.healthy
        year = iso_date(item.created_at)[:4] or "unknown"
        self._states[year][state] += 1
        self._place_bytes[year][place] += size
        self._created[self._shown(month_of(item.created_at))] += size
        self._add_times_away(item, state)
        verified = self._add_copy(item)
        owner = self._owner_of(item) if self._owner_of else None
        name, unit = owner.cells if owner else ("", "")
        name = f"{name} ({item.owner})" if name else item.owner
        self._accounts[name] = owner.status if owner else ""
        for table, key in ((self._owners, name), (self._units, unit)):
            table[key].update(entries=1, **{"freed" if _is_away(item) else "kaltura": size})
        if not item.healthy:
            severity = list(State).index(state)
            self._trouble[severity, state_name(item), what_to_do(item)].add(size)
            # The least severe one makes room.
            keep_greatest(self._troubled, (-severity, -next(self._numbers), item, name), LISTED)
        if state is State.LOST:
            figures.lost += 1
            if len(figures.lost_named) < LOST_LISTED:
                figures.lost_named.append(item)
        self._stats.add(item)
        row = PageRow(item, name, unit, place, size, verified)
        keep_greatest(
            self._heap, (state is State.LOST, not item.healthy, size, -next(self._numbers), row), self._wanted
        )

    def _shown(self, month: int) -> int:
        """The month within what is shown: what is older counts as having been there before."""
        return min(max(month, self._since - 1), self._month)

    def _add_times_away(self, item: SnapshotEntry, state: State) -> None:
        figures = self._figures
        stored = item.stored_bytes or 0
        freed_now = state in AWAY and _is_away(item) and item.stored_bytes is not None
        for away in self._history.away(item.entry_id, now_away=freed_now):
            thin = state is State.THIN  # what plays on was there before, too
            size = max(stored - item.kaltura_bytes, 0) if away.until is None and not thin else stored
            self._freed[self._since - 1 if away.since is None else self._shown(month_of(away.since))] += size
            if away.until is None:
                figures.freed_entries += 1
                figures.freed_bytes += size
            else:
                month = self._shown(month_of(away.until))
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
                self._quarters[quarter_of(away.since)].update(replaced=1, restored=int(wanted))
                if away.since <= self._now - YEAR_SECONDS:
                    figures.ripe_replaced += 1
                    figures.ripe_restored += wanted

    def _add_copy(self, item: SnapshotEntry) -> int | None:
        """Count the stored copy, if there is one; when it was last verified."""
        if item.stored_bytes is None:
            return None
        figures, history = self._figures, self._history
        figures.stored_entries += 1
        figures.stored_bytes += item.stored_bytes
        copied = history.first(item.entry_id, Kind.COPIED)
        month = self._since - 1 if copied is None else self._shown(month_of(copied))
        self._stored[month][item.storage_class].add(item.stored_bytes)
        if copied is not None:
            self._copied[month][item.storage_class].add(item.stored_bytes)
        verified = None if item.spoiled else _verified_at(item, history)
        age = NEVER_VERIFIED if verified is None else band_of((self._now - verified) / DAY_SECONDS, AGES)
        self._verified[age].add(item.stored_bytes)
        if verified is not None:
            figures.verified_bytes += item.stored_bytes
            figures.oldest_verified = min(verified, figures.oldest_verified or verified)
        return verified

    # What comes of it

    @property
    def entries(self) -> int:
        return self._figures.entries

    def figures(self) -> Figures:
        figures, prices = self._figures, self._prices
        figures.avoided_month = prices.kaltura_month(figures.freed_bytes)
        now_stored: dict[str, Held] = defaultdict(Held)
        for classes in self._stored.values():
            for storage_class, held in classes.items():
                now_stored[storage_class].entries += held.entries
                now_stored[storage_class].bytes += held.bytes
        figures.storage_month = total_price(now_stored, prices.s3_month)
        figures.places = self._places()
        figures.growth, figures.money = self._growth_and_money()
        figures.monthly = self._monthly()
        figures.pays_from = prices.break_even(figures.storage_month + figures.handling_month, figures.freed_bytes)
        figures.could_save = _could_save(self._stats, prices)
        figures.restores = self._restores_table()
        figures.waiting = self._waiting()
        figures.regrets = self._regret()
        figures.owners = top_table(self._owners, "Owner", "(no owner)", self._accounts if self._owner_of else None)
        if self._owner_of:
            figures.units = top_table(self._units, "Unit", "(no unit)")
        figures.verification = self._verification()
        figures.trouble, figures.troubled = self._trouble_tables()
        figures.rows = [row for *_, row in sorted(self._heap, key=lambda kept: kept[:4], reverse=True)]
        return figures

    def _places(self) -> Table:
        states = [state for state in State if any(state in counts for counts in self._states.values())]
        columns = (
            Column("Created"),
            *(Column(NAMES[state], Unit.COUNT) for state in states),
            *(Column(place.value, Unit.BYTES) for place in Place),
        )
        rows: list[list[Cell]] = [
            [year, *(self._states[year][s] for s in states), *(self._place_bytes[year][p] for p in Place)]
            for year in sorted(self._states)
        ]
        return with_total("Entries by state, and where their videos are, by year of creation", columns, rows)

    def _growth_and_money(self) -> tuple[Table, Table | None]:
        library, freed = self._created[self._since - 1], self._freed[self._since - 1]
        held: defaultdict[str, Held] = defaultdict(Held)
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
            growth.append([month_name(month), library, library - freed if known else None, stored if known else None])
            if known:
                avoided, storage = prices.kaltura_month(freed), total_price(held, prices.s3_month)
                copying = total_price(self._copied.get(month, {}), prices.put)
                bringing = total_price(self._restored.get(month, {}), bring)
                net = None if avoided is None else avoided - storage - copying - bringing
                money.append([month_name(month), avoided, storage, copying, bringing, net])
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
        return growth_table, with_total("Money by month", columns, money)

    def _monthly(self) -> Table:
        f = self._figures
        costs = {"S3 storage": f.storage_month, "copying to S3": f.copying_month, "bringing back": f.bringing_month}
        rows: list[list[Cell]] = [[name, -cost] for name, cost in costs.items()]
        if f.avoided_month is not None:
            rows.insert(0, ["Kaltura storage avoided", f.avoided_month])
        columns = (Column(""), Column("sum", Unit.MONEY))
        return with_total("Per month, as it is now", columns, rows)

    def _months_of_log(self) -> range:
        return range(max(self._since, self._log_month), self._month + 1)

    def _restores_table(self) -> Table | None:
        if self._history.first_at is None:
            return None
        rows: list[list[Cell]] = []
        for month in self._months_of_log():
            came = list(self._restored.get(month, {}).values())
            entries = sum(each.entries for each in came)
            rows.append([month_name(month), entries, self._asked_by_viewers[month], sum(each.bytes for each in came)])
        columns = (
            Column("Month"), Column("brought back", Unit.COUNT), Column("of these after a play", Unit.COUNT),
            Column("size", Unit.BYTES),
        )  # fmt: skip
        return with_total("Originals brought back, by month", columns, rows)

    def _waiting(self) -> Table | None:
        waits = self._figures.waits
        if not waits:
            return None
        counts = Counter(band_of(wait, WAITS) for wait in waits)
        rows: list[list[Cell]] = [[name, counts[name], counts[name] / len(waits)] for _, name in WAITS]
        columns = (Column("Wait"), Column("restores", Unit.COUNT), Column("share", Unit.SHARE))
        return Table("From the play that asked to the original being back, last 12 months", columns, rows)

    def _regret(self) -> Table | None:
        last = quarter_of(self._now)
        ripe = quarter_of(self._now - YEAR_SECONDS)  # quarters before it are more than a year ago
        rows: list[list[Cell]] = [
            [quarter_name(quarter), counts["replaced"], counts["restored"], counts["restored"] / counts["replaced"],
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
        return with_total("When the stored copies were last read back and compared", columns, rows)

    def _trouble_tables(self) -> tuple[Table | None, Table | None]:
        if not self._trouble:
            return None, None
        kinds: list[list[Cell]] = [
            # How large a lost video was is not known.
            [state, held.entries, "not known" if state == LOST else held.bytes, hint]
            for (_, state, hint), held in sorted(self._trouble.items())
        ]
        columns = (Column("State"), Column("entries", Unit.COUNT), Column("size", Unit.BYTES), Column("what to do"))
        listed: list[list[Cell]] = [
            [item.entry_id, item.name, owner, state_name(item), what_is_wrong(item), what_to_do(item)]
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
