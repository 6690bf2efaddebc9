"""A site's policy: named rules, each with a selection, a keep list, and stages with clocks of their own. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, NamedTuple

from kaltura_archiver.criteria.base import Seen
from kaltura_archiver.desk import RestoreDesk
from kaltura_archiver.filters import Plays, Query
from kaltura_archiver.keep import Keep
from kaltura_archiver.model import Announced, Facts
from kaltura_archiver.steps import Command, Options


class Stage(StrEnum):
    """What becomes of an entry, in this order. `due` is a list for people: nothing is done to what is on it."""

    ARCHIVE = "archive"
    THIN = "thin"
    REPLACE = "replace"
    DUE = "due"

    @property
    def command(self) -> Command | None:
        return _COMMANDS.get(self)


_COMMANDS = {Stage.ARCHIVE: Command.S3COPY, Stage.THIN: Command.THIN, Stage.REPLACE: Command.REPLACE}


def _last_used(facts: Facts) -> float | None:
    """A restore counts as a play, for it was asked for; what was never played is unplayed since it was created."""
    entry, stored = facts.entry, facts.stored
    if not entry.plays_known:
        return None
    restored = stored.restored_at if stored else None
    return max(entry.last_played_at or 0, restored or 0) or entry.created_at or None


def _archived(facts: Facts) -> float | None:
    written = facts.stored.last_modified if facts.stored else None
    return written.timestamp() if written else None


# Since when each clock runs, in unix seconds; None where that has not happened, or is not known: then it is not over.
CLOCKS: Mapping[str, Callable[[Facts], float | None]] = {
    "created_before": lambda facts: facts.entry.created_at or None,
    "unplayed_for": _last_used,
    "archived_for": _archived,
    "thinned_for": lambda facts: facts.stored.replaced_at if facts.stored and facts.entry.thin else None,
    "replaced_for": lambda facts: facts.stored.replaced_at if facts.stored and facts.entry.replaced else None,
}


class StageClock(NamedTuple):
    """Over when what it is of lies `age_seconds` back, or on or before a `day` (unix seconds); one of them is set."""

    name: str
    age_seconds: float | None = None
    day: float | None = None

    def until(self, as_of: float) -> float:
        """Up to which second it has to have happened."""
        return as_of - self.age_seconds if self.age_seconds is not None else self.day or 0.0


@dataclass(frozen=True)
class StageRule:
    """One stage of a rule: when (all clocks are over), and how (fields of `Options`).

    `told_seconds`: so long ago the owner must have been told. `review`: a person is shown the plan, and applies it.
    """

    stage: Stage
    clocks: tuple[StageClock, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    told_seconds: float | None = None
    review: bool = False

    @property
    def announced(self) -> Announced:
        """What its owner is told, where they are, before thin or replace."""
        if self.options.get("derived_only"):
            return Announced.FLAVORS
        return Announced.THIN if self.stage is Stage.THIN else Announced.REPLACE


@dataclass(frozen=True)
class RuleLimits:
    """What one run may begin in each stage of a rule: so many entries, bytes, so much money; `hours` (from, to) of the
    local day."""

    entries: int | None = None
    bytes: int | None = None
    money: float | None = None
    hours: tuple[int, int] | None = None

    def allow_hour(self, hour: int) -> bool:
        """Whether stages are begun in this hour of the day; hours may be those around midnight."""
        if self.hours is None:
            return True
        begin, end = self.hours
        return begin <= hour < end if begin < end else hour >= begin or hour < end


@dataclass(frozen=True)
class Rule:
    """`on` are days (month, day): the clocks are read as of the last of them, so that nothing is due between.

    `line` is where it stands in its file. `drift`: by what part more than last time it may select.
    """

    name: str
    query: Query
    stages: tuple[StageRule, ...]
    keep: Keep = field(default_factory=Keep)
    on: tuple[tuple[int, int], ...] = ()
    limits: RuleLimits = field(default_factory=RuleLimits)
    drift: float | None = None
    notice: Mapping[str, Any] | None = None
    line: int = 0

    def as_of(self, now: float) -> float:
        return as_of(now, self.on)

    def stage(self, stage: Stage) -> StageRule:
        return next(made for made in self.stages if made.stage is stage)

    def announces(self, stage: Stage) -> bool:
        """Whether its owners are told of this stage, by this rule, before it is done."""
        return self.notice is not None and self.stage(stage).told_seconds is not None

    def options(self, made: StageRule, now: float, *, dry_run: bool) -> Options:
        """What the stage's command is told. How old an entry has to be say the clocks."""
        unplayed = next((clock.until(self.as_of(now)) for clock in made.clocks if clock.name == "unplayed_for"), None)
        least = self.query.unplayed_since
        since = min((math.floor(t) for t in (unplayed, least) if t is not None), default=None)
        return Options(
            now=now, dry_run=dry_run, min_age_years=0.0, keep=self.keep, noticed_before_seconds=made.told_seconds,
            plays=Plays(self.query.played_since, since, self.query.never_played, self.query.plays_below),
            **made.options,
        )  # fmt: skip

    def unmet(self, facts: Facts) -> str:
        """The first criterion of those that the entry itself tells which it does not meet as it is now; or empty.

        Sizes and copies were tested when it was selected; of categories and metadata see `Options.asked`.
        """
        seen = Seen(facts.entry)
        plain = (criterion for criterion in self.query.criteria if criterion.of_entry)
        return next(filter(None, (criterion.unmet(seen) for criterion in plain)), "")


@dataclass(frozen=True)
class Policy:
    """The rules in their order: an entry is the first one's whose selection it meets. `text_sha256` is of its file."""

    rules: tuple[Rule, ...]
    text_sha256: str = ""
    desk: RestoreDesk | None = None


def as_of(now: float, on: tuple[tuple[int, int], ...]) -> float:
    """The first second of the last of these days (UTC) that has begun; now itself without any."""
    return max((day for day in _days_of(now, on) if day <= now), default=now) if on else now


def opening(at: float, on: tuple[tuple[int, int], ...]) -> float:
    """The first of these days on or after that second; the second itself without any."""
    return min(day for day in _days_of(at, on) if day >= at) if on else at


def _days_of(now: float, on: tuple[tuple[int, int], ...]) -> Iterator[float]:
    year = datetime.fromtimestamp(now, UTC).year
    for month, day in on:
        yield from (datetime(y, month, day, tzinfo=UTC).timestamp() for y in (year - 1, year, year + 1))
