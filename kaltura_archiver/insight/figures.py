"""The figures of a report: a snapshot's items and the run log in, tables of numbers out. Pure."""

from __future__ import annotations

import heapq
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from kaltura_archiver.insight.snapshot import SnapshotEntry
from kaltura_archiver.model import State
from kaltura_archiver.output.tables import Cell
from kaltura_archiver.steps import Options

# How far back months are shown, this one included.
MONTHS = 36
# Of owners and units so many are named; the others are one row.
TOP = 50
# What bringing back is reckoned as: the log does not tell the tier.
TIER, DAYS = Options.tier, Options.days
# Where copies would go that are not there yet, as `stats` takes it.
COPIED_TO = "DEEP_ARCHIVE"
# Unhealthy entries that are listed by name, and lost ones at the very top.
LISTED, LOST_LISTED = 100, 10


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


_PLACES = {State.INITIAL: Place.KALTURA, State.ARCHIVED: Place.BOTH, State.PLACEHOLDER: Place.S3, State.THIN: Place.S3}
AWAY = frozenset({State.PLACEHOLDER, State.HALF_TAGGED, State.THIN, State.HALF_THIN})


def place_of(item: SnapshotEntry) -> Place:
    return _PLACES.get(State(item.state), Place.TROUBLE) if item.healthy else Place.TROUBLE


def video_bytes(item: SnapshotEntry) -> int:
    """The size of the entry's video, wherever it is; 0 where it is nowhere."""
    if item.state == State.LOST:
        return 0
    if item.state in AWAY or not item.original_bytes:
        return item.stored_bytes or 0
    return item.original_bytes


@dataclass(frozen=True)
class PageRow:
    """One entry of the page's table."""

    item: SnapshotEntry
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
    verified_bytes: int = 0
    oldest_verified: int | None = None
    lost: int = 0
    lost_named: list[SnapshotEntry] = field(default_factory=list)
    could_save: Table | None = None
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
    rows: list[PageRow] = field(default_factory=list)

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


def keep_greatest(heap: list[Any], kept: Any, most: int) -> None:
    """Keep the `most` greatest."""
    if len(heap) < most:
        heapq.heappush(heap, kept)
    else:
        heapq.heappushpop(heap, kept)


def total_price(held: Mapping[str, Held], price: Callable[[str, int, int], float]) -> float:
    return sum(price(name, each.bytes, each.entries) for name, each in held.items() if each.entries)


def with_total(caption: str, columns: tuple[Column, ...], rows: list[list[Cell]]) -> Table:
    """The table with sums of its numbers; a column with an empty cell has none."""
    sums: list[Cell] = ["Total"]
    for number, column in enumerate(columns[1:], 1):
        cells = [row[number] for row in rows]
        numbers = [cell for cell in cells if isinstance(cell, int | float)]
        sums.append(sum(numbers) if len(numbers) == len(cells) and column.unit is not Unit.TEXT else None)
    return Table(caption, columns, rows, sums)


def top_table(
    sums: Mapping[str, Counter[str]], what: str, nobody: str, accounts: Mapping[str, str] | None = None
) -> Table:
    """The TOP names with the largest videos, the others in one row."""
    named = sorted(sums.items(), key=lambda pair: (-pair[1]["kaltura"] - pair[1]["freed"], pair[0]))
    kinds = ("entries", "kaltura", "freed")

    def row(name: str, counts: Mapping[str, int], account: str) -> list[Cell]:
        told: list[Cell] = [] if accounts is None else [account]
        return [name, *told, *(counts[kind] for kind in kinds), counts["kaltura"] + counts["freed"]]

    rows = [row(name or nobody, counts, (accounts or {}).get(name, "")) for name, counts in named[:TOP]]
    if len(named) > TOP:
        others = sum((counts for _, counts in named[TOP:]), Counter[str]())
        more = len(named) - TOP
        rows.append(row("1 other" if more == 1 else f"{more} others", others, ""))
    columns = (
        Column(what), *(() if accounts is None else (Column("account"),)), Column("entries", Unit.COUNT),
        Column("in Kaltura", Unit.BYTES), Column("freed in Kaltura", Unit.BYTES), Column("all videos", Unit.BYTES),
    )  # fmt: skip
    return with_total(f"{what}s with the largest videos", columns, rows)


def band_of(number: float, bands: Sequence[tuple[int | None, str]]) -> str:
    return next(name for limit, name in bands if limit is None or number < limit)


@dataclass
class Held:
    """Entries and bytes that came or went."""

    entries: int = 0
    bytes: int = 0

    def add(self, size: int) -> None:
        self.entries += 1
        self.bytes += size


ByMonthAndClass = defaultdict[int, defaultdict[str, Held]]


def month_of(at: int) -> int:
    """Months since the year 0, in UTC."""
    day = datetime.fromtimestamp(at, UTC)
    return day.year * 12 + day.month - 1


def quarter_of(at: int) -> int:
    return month_of(at) // 3


def month_name(month: int) -> str:
    return f"{month // 12}-{month % 12 + 1:02}"


def quarter_name(quarter: int) -> str:
    return f"{quarter // 4} Q{quarter % 4 + 1}"
