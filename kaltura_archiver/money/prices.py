"""What storing, thawing and moving bytes costs, by a table of prices (prices.toml). Pure but for reading it."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from kaltura_archiver.errors import ConfigError
from kaltura_archiver.model import FROZEN_CLASSES

BUILT_IN = Path(__file__).with_name("prices.toml")
STALE_DAYS = 548  # 18 months
# How the tool uploads (transfer/chunks.py): up to MAX_PUT_BYTES in one request, else in parts.
MAX_PUT_BYTES, PART_BYTES = 16 * 2**20, 8 * 2**20

# Figures that are money.
_PRICES = ("gb_month", "monitoring_per_1000", "put_per_1000", "get_per_1000", "gb", "per_1000", "out_gb")


@dataclass(frozen=True)
class Prices:
    """Prices per figure (`storage.GLACIER.gb_month`), all sums in `currency`. Make one with `load`.

    `as_of` is the date of the newest price, of the user's own table where that has any; `stale` if that is more than
    18 months ago. A storage class without a price is counted as STANDARD.
    """

    currency: str
    as_of: date
    stale: bool
    kaltura_per_gb_month: float | None
    figures: Mapping[str, float]

    @classmethod
    def load(
        cls, kaltura_per_gb_month: float | None = None, path: Path | None = None, *, today: date | None = None
    ) -> Prices:
        """The built-in table, with what the table at `path` says otherwise. Raises ConfigError."""
        if kaltura_per_gb_month is not None and not 0 <= kaltura_per_gb_month < math.inf:
            raise ConfigError(f"the Kaltura price must be 0 or more per GB and month, not {kaltura_per_gb_month}")
        table = dict(_flat(tomllib.loads(BUILT_IN.read_text(encoding="utf-8"))))
        own = dict(_read_own(path, table)) if path else {}
        as_of = max(_dates_of_prices(own) or _dates_of_prices(table))
        table |= own
        return cls(
            currency=table["currency"],
            as_of=as_of,
            stale=((today or datetime.now(UTC).date()) - as_of).days > STALE_DAYS,
            kaltura_per_gb_month=kaltura_per_gb_month,
            figures={name: value for name, value in table.items() if _is_number(value)},
        )

    def kaltura_month(self, size_bytes: int) -> float | None:
        """Storage in Kaltura for a month; None where no Kaltura price is given."""
        if self.kaltura_per_gb_month is None:
            return None
        return size_bytes / self.figures["units.kaltura_gb_bytes"] * self.kaltura_per_gb_month

    def break_even(self, cost_month: float, freed_bytes: int) -> float | None:
        """The Kaltura price per GB and month from which on freeing so many bytes at this cost saves money."""
        return cost_month / (freed_bytes / self.figures["units.kaltura_gb_bytes"]) if freed_bytes > 0 else None

    def s3_month(self, storage_class: str, size_bytes: int, objects: int = 1) -> float:
        """Storage in S3 for a month, with what AWS adds to each object (32 KB + 8 KB in GLACIER and DEEP_ARCHIVE)."""
        billed = max(size_bytes, objects * self._storage(storage_class, "minimum_bytes"))
        cost = self._gb(billed) * self._storage(storage_class, "gb_month")
        cost += objects * self.figures.get(f"storage.{storage_class}.monitoring_per_1000", 0) / 1000
        if storage_class in FROZEN_CLASSES:
            index = self._gb(objects * self.figures["overhead.frozen_bytes"])
            names = self._gb(objects * self.figures["overhead.standard_bytes"])
            cost += index * self._storage(storage_class, "gb_month") + names * self._storage("STANDARD", "gb_month")
        return cost

    def put(self, storage_class: str, size_bytes: int, objects: int = 1) -> float:
        """The requests that upload so many objects of this size in all; of large ones each part is a request.

        Parts on their way to GLACIER and DEEP_ARCHIVE are requests of STANDARD, the last request is one of the class.
        """
        price = self._request(storage_class, "put_per_1000")
        cost = objects * price
        if objects and size_bytes / objects > MAX_PUT_BYTES:
            part = self._request("STANDARD", "put_per_1000") if storage_class in FROZEN_CLASSES else price
            cost += (objects + math.ceil(size_bytes / PART_BYTES)) * part
        return cost

    def retrieval(self, storage_class: str, tier: str, size_bytes: int, objects: int = 1, days: int = 7) -> float:
        """Making so many objects readable and reading them once: per GB, the requests, and in GLACIER and DEEP_ARCHIVE
        the thawed copy for so many `days`. Classes that are readable at once have no tiers: `tier` is not looked at.

        Raises ValueError for a tier that the class does not have (`tiers`).
        """
        cost = objects * self._request(storage_class, "get_per_1000")
        if storage_class in FROZEN_CLASSES:
            if tier not in self.tiers(storage_class):
                raise ValueError(f"{storage_class} has no tier {tier}")
            days_of_copy = days / self.figures["units.month_days"]
            cost += days_of_copy * self._gb(size_bytes) * self._storage("STANDARD", "gb_month")
        else:
            tier = "any"
        section = f"retrieval.{storage_class}.{tier}"
        cost += self._gb(size_bytes) * self.figures.get(f"{section}.gb", 0)
        return cost + objects * self.figures.get(f"{section}.per_1000", 0) / 1000

    def transfer_out(self, size_bytes: int) -> float:
        """Bytes that leave AWS. Nothing is paid where Kaltura, or whoever reads, is in the same region."""
        return self._gb(size_bytes) * self.figures["transfer.out_gb"]

    def early_deletion(self, storage_class: str, size_bytes: int, age_days: float, objects: int = 1) -> float:
        """What is still to be paid for an object of this age when it is deleted: storage until its minimum duration.

        With `age_days` 0 it is what storing it costs at least.
        """
        days = max(0.0, self._storage(storage_class, "minimum_days") - age_days)
        return days / self.figures["units.month_days"] * self.s3_month(storage_class, size_bytes, objects)

    def minimum_months(self, storage_class: str) -> float:
        """How long an object of the class is paid for at least."""
        return self._storage(storage_class, "minimum_days") / self.figures["units.month_days"]

    def tiers(self, storage_class: str) -> tuple[str, ...]:
        """How fast objects of the class can be thawed, cheapest first; none where they are readable at once."""
        names = ("bulk", "standard", "expedited")
        return tuple(name for name in names if f"retrieval.{storage_class}.{name}.gb" in self.figures)

    def _gb(self, size_bytes: float) -> float:
        return size_bytes / self.figures["units.s3_gb_bytes"]

    def _storage(self, storage_class: str, figure: str) -> float:
        return self.figures.get(f"storage.{storage_class}.{figure}", self.figures[f"storage.STANDARD.{figure}"])

    def _request(self, storage_class: str, figure: str) -> float:
        name = f"requests.{storage_class}.{figure}"
        return self.figures.get(name, self.figures[f"requests.STANDARD.{figure}"]) / 1000


def _dates_of_prices(table: Mapping[str, Any]) -> list[date]:
    sections = {name.rpartition(".")[0] for name in table if name.rpartition(".")[2] in _PRICES}
    return [table[f"{section}.as_of"] for section in sections]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _read_own(path: Path, built_in: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The figures of a table of the user's own, each checked against the one that it is to replace."""
    try:
        own = dict(_flat(tomllib.loads(path.read_text(encoding="utf-8-sig"))))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(f"cannot read the price table {path}: {why}") from error
    for name, value in own.items():
        if name not in built_in:
            raise ConfigError(f"price table {path}: there is no figure {name}; the built-in prices.toml shows them all")
        expected = built_in[name]
        if _is_number(expected):
            least = 0 if not name.startswith("units.") else 1
            if not _is_number(value) or not least <= value < math.inf:
                raise ConfigError(f"price table {path}: {name} must be a number, {least} or more, not {value!r}")
            if f"{name.rpartition('.')[0]}.as_of" not in own:
                raise ConfigError(
                    f"price table {path}: [{name.rpartition('.')[0]}] lacks as_of, the date of its figures"
                )
        elif type(value) is not type(expected):
            kind = "a date such as 2026-11-25" if isinstance(expected, date) else "a text"
            raise ConfigError(f"price table {path}: {name} must be {kind}, not {value!r}")
        yield name, value
    if not any(isinstance(value, date) for value in own.values()):
        raise ConfigError(f"price table {path}: it holds no figures")
    if own.get("currency", built_in["currency"]) != built_in["currency"]:
        for name in built_in:
            if name not in own and name.rpartition(".")[2] in _PRICES:
                raise ConfigError(
                    f"price table {path}: {name} is missing, in {own['currency']}: sums have one currency"
                )
