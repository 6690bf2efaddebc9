"""What a dry run would cost, added up entry by entry from facts that were read anyway. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable

from kaltura_archiver.model import FROZEN_CLASSES, Facts
from kaltura_archiver.money.prices import Prices
from kaltura_archiver.steps import Options, Step


class Bill:
    """Uploads and storage of what s3copy would store, thawing and reading of what restore would bring back."""

    def __init__(self, prices: Prices, options: Options) -> None:
        self._prices = prices
        self._options = options
        self.upload = self.month = self.at_least = self.reading = self.leaving = 0.0
        self.thawing: defaultdict[str, float] = defaultdict(float)  # tier: cost of the objects that have it
        self._copies = self._thaws = 0
        self._thaws_with: Counter[str] = Counter()

    def add(self, facts: Facts, steps: Iterable[Step]) -> None:
        """Count what these steps cost for an entry with these facts."""
        prices, options = self._prices, self._options
        original, stored = facts.original, facts.stored or facts.source
        for step in steps:
            if step in (Step.COPY, Step.COPY_BESIDE) and original is not None:
                size = original.known_bytes
                self._copies += 1
                self.upload += prices.put(options.storage_class, size)
                self.month += prices.s3_month(options.storage_class, size)
                self.at_least += prices.early_deletion(options.storage_class, size, 0)
            elif step is Step.COPY_SOURCE and facts.source is not None:
                size = facts.source.size_bytes
                self._copies += 1
                self.upload += prices.put(options.storage_class, size)
                self.month += prices.s3_month(options.storage_class, size)
                self.at_least += prices.early_deletion(options.storage_class, size, 0)
                self.leaving += prices.transfer_out(size)
            elif step is Step.THAW and stored is not None:
                self._thaws += 1
                self.leaving += prices.transfer_out(stored.size_bytes)
                for tier in prices.tiers(stored.storage_class):
                    self._thaws_with[tier] += 1
                    self.thawing[tier] += prices.retrieval(
                        stored.storage_class, tier, stored.size_bytes, days=options.days
                    )
            elif step in (Step.PUT_ORIGINAL, Step.READ_BACK) and stored is not None:
                # A thawed copy is read as if it were STANDARD: the retrieval is paid.
                readable = "STANDARD" if stored.storage_class in FROZEN_CLASSES else stored.storage_class
                self.reading += prices.retrieval(readable, options.tier, stored.size_bytes)
                self.leaving += prices.transfer_out(stored.size_bytes)

    def amounts(self) -> dict[str, float]:
        """The sums that are not 0, by name; thawing by the tier that is asked for."""
        thawing = self.thawing.get(self._options.tier, 0.0)
        sums = {"upload": self.upload, "storage_month": self.month, "thawing": thawing, "reading": self.reading,
                "leaving_aws_at_most": self.leaving}  # fmt: skip
        return {name: round(amount, 6) for name, amount in sums.items() if amount}

    def __str__(self) -> str:
        """One clause for the summary; empty if nothing would cost anything."""
        parts = []
        if self._copies:
            parts.append(
                f"uploads {self._money(self.upload)}, "
                f"storage {self._money(self.month)} a month in {self._options.storage_class}"
            )
            if self.at_least:
                months = self._prices.minimum_months(self._options.storage_class)
                parts[-1] += f" ({self._money(self.at_least)} at least: {months:.0f} months)"
        for tier, cost in self.thawing.items():
            missing = self._thaws - self._thaws_with[tier]
            without = f" without {missing} that have no such tier" if missing else ""
            parts.append(f"thawing {tier} {self._money(cost)}{without}")
        if self.reading:
            parts.append(f"reading {self._money(self.reading)}")
        if self.leaving:
            parts.append(f"leaving AWS {self._money(self.leaving)} at most")
        return "cost: " + ", ".join(parts) if parts else ""

    def _money(self, amount: float) -> str:
        return money(amount, self._prices.currency)


def committed(prices: Prices, options: Options) -> Callable[[Facts, tuple[Step, ...]], float]:
    """What it costs in any case to begin an entry with these facts and steps: all that a bill tells, and of storage the
    minimum. For a frozen copy that is its whole restore; once it has thawed, nothing: that was counted, and is paid.
    """

    def measure(facts: Facts, steps: tuple[Step, ...]) -> float:
        stored = facts.stored or facts.source
        thawed = stored is not None and stored.storage_class in FROZEN_CLASSES
        bill = Bill(prices, options)
        bill.add(facts, (step for step in steps if not (thawed and step in (Step.PUT_ORIGINAL, Step.READ_BACK))))
        return bill.upload + bill.at_least + bill.thawing.get(options.tier, 0.0) + bill.reading + bill.leaving

    return measure


def money(amount: float, currency: str) -> str:
    """`12.34 USD`, and `<0.01 USD` for what rounds to nothing but is not."""
    if 0 < amount < 0.005:
        return f"<0.01 {currency}"
    return f"{amount:,.2f} {currency}"
