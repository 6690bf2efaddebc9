"""When an entry was made and played, how often, and when it ends. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kaltura_archiver.criteria.base import EXISTS, NOT, OR, Criterion, Item, Seen, group, item, utc, within
from kaltura_archiver.model import Entry, iso_date

_NEVER_PLAYED = group(NOT, item("last_played_at", EXISTS))


@dataclass(frozen=True)
class Created(Criterion):
    """Made in this time (unix seconds, both inclusive), and before `unplayed_since`: a new upload is no old video that
    nobody has played."""

    since: int | None
    until: int | None
    unplayed_since: int | None = None

    def __bool__(self) -> bool:
        return (self.since, self.until, self.unplayed_since) != (None, None, None)

    def items(self) -> Iterator[Item]:
        until = min((t for t in (self.until, self.unplayed_since) if t is not None), default=None)
        yield within("created_at", greaterThanOrEqual=self.since, lessThanOrEqual=until)

    def unmet(self, seen: Seen) -> str:
        created = seen.entry.created_at
        if not created:
            return "it is not known when it was created"
        if self.since is not None and created < self.since:
            return "it was created too early"
        if any(until is not None and created > until for until in (self.until, self.unplayed_since)):
            return "it was created too recently"
        return ""

    def told(self) -> Iterator[str]:
        for label, bound in (("created >=", self.since), ("created <=", self.until)):
            if bound is not None:
                yield f"{label} {utc(bound)}"


@dataclass(frozen=True)
class EndsUntil(Criterion):
    """With an end of its schedule, and that then (unix seconds) or earlier."""

    until: int | None

    def __bool__(self) -> bool:
        return self.until is not None

    def items(self) -> Iterator[Item]:
        yield within("end_date", greaterThan=0, lessThanOrEqual=self.until)

    def unmet(self, seen: Seen) -> str:
        end = seen.entry.end_at
        if not end:
            return "it has no end date"
        return f"it ends on {iso_date(end)}" if end > (self.until or 0) else ""

    def told(self) -> Iterator[str]:
        yield f"ends <= {utc(self.until or 0)}"


@dataclass(frozen=True)
class PlayedSince(Criterion):
    """Last played then (unix seconds) or later."""

    since: int | None

    def __bool__(self) -> bool:
        return self.since is not None

    def items(self) -> Iterator[Item]:
        yield within("last_played_at", greaterThanOrEqual=self.since)

    def unmet(self, seen: Seen) -> str:
        return "it was not played in that time" if (seen.entry.last_played_at or 0) < (self.since or 0) else ""

    def told(self) -> Iterator[str]:
        yield f"last played >= {utc(self.since or 0)}"


class _Unplayed(Criterion):
    """One that another play can break: what is not known of plays is never few."""

    def unmet(self, seen: Seen) -> str:
        if not seen.entry.plays_known:
            return "it is not known how often and when it was played"
        return self.too_much(seen.entry)

    def too_much(self, entry: Entry) -> str:
        raise NotImplementedError


@dataclass(frozen=True)
class FewPlays(_Unplayed):
    """Fewer plays than that."""

    below: int | None

    def __bool__(self) -> bool:
        return self.below is not None

    def items(self) -> Iterator[Item]:
        yield within("plays", lessThan=self.below)

    def too_much(self, entry: Entry) -> str:
        return f"it was played {entry.plays} times" if entry.plays >= (self.below or 0) else ""

    def told(self) -> Iterator[str]:
        yield f"plays < {self.below}"


@dataclass(frozen=True)
class NeverPlayed(_Unplayed):
    """No play, and no date of one: plays without a date may be older than Kaltura's analytics. Some documents of the
    index have the date 0 for that (kaltura-api 3.3)."""

    asked: bool

    def __bool__(self) -> bool:
        return self.asked

    def items(self) -> Iterator[Item]:
        yield group(OR, _NEVER_PLAYED, within("last_played_at", lessThanOrEqual=0))
        yield within("plays", lessThan=1)

    def too_much(self, entry: Entry) -> str:
        return "it has been played" if entry.plays or entry.last_played_at else ""

    def told(self) -> Iterator[str]:
        yield "never played"


@dataclass(frozen=True)
class UnplayedSince(_Unplayed):
    """Not played after that (unix seconds), or never: a missing field matches no range (kaltura-api 3.3). `Created`
    sees to it that the entry is older than that."""

    since: int | None

    def __bool__(self) -> bool:
        return self.since is not None

    def items(self) -> Iterator[Item]:
        yield group(OR, within("last_played_at", lessThanOrEqual=self.since), _NEVER_PLAYED)

    def too_much(self, entry: Entry) -> str:
        played = entry.last_played_at or 0
        return f"it was played more recently ({iso_date(played)})" if played > (self.since or 0) else ""

    def told(self) -> Iterator[str]:
        yield f"not played since {utc(self.since or 0)}"
