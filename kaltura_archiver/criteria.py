"""What a query can ask for, one class each: as items of a search, as the same test of one entry, and in words. Pure.

A class is all that is known of its criterion; the option that fills it is in `cli/options.py`. What the search lets
through is tested again, since its index lags and knows less than the database (kaltura-api 3.2, 3.4).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from kaltura_archiver.model import Entry, EntryStatus, MediaType, Placing, iso_date

AND, OR, NOT = 1, 2, 3
EXACT, STARTS_WITH, EXISTS, RANGE = 1, 3, 4, 5

Item = dict[str, Any]


class Seen(NamedTuple):
    """An entry as it is now, and its categories, read from the database if the query is about categories."""

    entry: Entry
    placings: Sequence[Placing] = ()


def group(operator: int, *items: Item) -> Item:
    return {"objectType": "KalturaESearchEntryOperator", "operator": operator, "searchItems": list(items)}


def item(field: str, kind: int, term: str | None = None) -> Item:
    made: Item = {"objectType": "KalturaESearchEntryItem", "fieldName": field, "itemType": kind}
    return made if term is None else made | {"searchTerm": term}


def within(field: str, **bounds: int | None) -> Item:
    """A range, of the bounds that there are."""
    known = {name: bound for name, bound in bounds.items() if bound is not None}
    return item(field, RANGE) | {"range": {"objectType": "KalturaESearchRange", **known}}


_NEVER_PLAYED = group(NOT, item("last_played_at", EXISTS))


class Criterion:
    """One of them. False where nothing is asked for."""

    def __bool__(self) -> bool:
        return True

    def items(self) -> Iterator[Item]:
        """What the search is asked, all of it to be met; nothing where its index does not tell."""
        yield from ()

    def unmet(self, seen: Seen) -> str:
        """Why this entry does not meet it; empty if it does."""
        raise NotImplementedError

    def told(self) -> Iterator[str]:
        """In words, as `count` prints them."""
        yield from ()


@dataclass(frozen=True)
class OfMedia(Criterion):
    """A media clip of this kind of media (None: of any), and nothing that Kaltura keeps for itself."""

    media_type: MediaType | None

    @property
    def name(self) -> str:
        return self.media_type.name.lower() if self.media_type else "any"

    def items(self) -> Iterator[Item]:
        yield item("entry_type", EXACT, "1")
        if self.media_type is not None:
            yield item("media_type", EXACT, str(self.media_type.value))

    def unmet(self, seen: Seen) -> str:
        entry = seen.entry
        if entry.recycled:
            return "it is recycled"
        if entry.temporary:
            return "it is a temporary entry of a replacement"
        if entry.entry_type != "1":
            return f"its entry type is {entry.entry_type}, not a media clip"
        if self.media_type is not None and entry.media_type != self.media_type.value:
            return f"it is not of media type {self.name}"
        return ""

    def told(self) -> Iterator[str]:
        yield f"media_type = {self.name}"


@dataclass(frozen=True)
class OfIds(Criterion):
    """One of these ids. Whoever asks for ids reads them, and searches for nothing."""

    ids: tuple[str, ...] | None

    def __bool__(self) -> bool:
        return self.ids is not None

    def unmet(self, seen: Seen) -> str:
        return ""

    def told(self) -> Iterator[str]:
        ids = self.ids or ()
        yield f"id in {','.join(ids[:5])}" + (f",… ({len(ids)} ids)" if len(ids) > 5 else "")


@dataclass(frozen=True)
class Statuses(Criterion):
    """One of these statuses. The search takes them beside its items."""

    statuses: tuple[str, ...]

    def unmet(self, seen: Seen) -> str:
        status = seen.entry.status
        return "" if status in self.statuses else f"its status is {_status_name(status)}"

    def told(self) -> Iterator[str]:
        yield f"status in {','.join(self.statuses)}"


@dataclass(frozen=True)
class Tags(Criterion):
    """All of these tags, and none of those; whole, in lower case."""

    wanted: tuple[str, ...]
    unwanted: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.wanted or self.unwanted)

    def items(self) -> Iterator[Item]:
        yield from map(self._item, self.wanted)
        yield from (group(NOT, self._item(tag)) for tag in self.unwanted)

    @staticmethod
    def _item(tag: str) -> Item:
        """As near to the whole tag as eSearch comes: EXACT finds the phrase inside any tag, STARTS_WITH its beginning.

        Never PARTIAL, which is fuzzy (kaltura-api 3.2). How the index folds other letters is not known well enough to
        ask for their prefix.
        """
        exact = item("tags", EXACT, tag)
        return group(AND, exact, item("tags", STARTS_WITH, tag)) if tag.isascii() else exact

    def unmet(self, seen: Seen) -> str:
        tags = seen.entry.tag_set
        if tags.issuperset(self.wanted) and tags.isdisjoint(self.unwanted):
            return ""
        return f"its tags are {', '.join(seen.entry.tags) or 'none'}"

    def told(self) -> Iterator[str]:
        yield from (f"tag = {tag}" for tag in self.wanted)
        yield from (f"tag != {tag}" for tag in self.unwanted)


@dataclass(frozen=True)
class InCategory(Criterion):
    """In this category or below it."""

    category: int | None

    def __bool__(self) -> bool:
        return self.category is not None

    def items(self) -> Iterator[Item]:
        yield _in_category(self.category)

    def unmet(self, seen: Seen) -> str:
        if any(placing.active and placing.within(self.category or 0) for placing in seen.placings):
            return ""
        return f"it is not in category {self.category} or below it"

    def told(self) -> Iterator[str]:
        yield f"category = {self.category}"


def _in_category(category_id: int | None) -> Item:
    """`ancestor_id` alone finds only what is below (real-kaltura K10-K15)."""
    made = {"objectType": "KalturaESearchCategoryEntryItem", "itemType": EXACT, "searchTerm": str(category_id)}
    return group(OR, *(made | {"fieldName": field} for field in ("id", "ancestor_id")))


@dataclass(frozen=True)
class NotInCategories(Criterion):
    """In none of these, nor below them; even before a moderator has decided."""

    categories: tuple[int, ...]

    def __bool__(self) -> bool:
        return bool(self.categories)

    def items(self) -> Iterator[Item]:
        yield from (group(NOT, _in_category(category)) for category in self.categories)

    def unmet(self, seen: Seen) -> str:
        direct = {str(category) for category in self.categories} & set(seen.entry.category_ids)
        below = any(placing.within(category) for placing in seen.placings for category in self.categories)
        return "it is in an excluded category" if direct or below else ""

    def told(self) -> Iterator[str]:
        yield from (f"category != {category}" for category in self.categories)


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
    """No date of a play. Some documents of the index have the date 0 for that (kaltura-api 3.3)."""

    asked: bool

    def __bool__(self) -> bool:
        return self.asked

    def items(self) -> Iterator[Item]:
        yield group(OR, _NEVER_PLAYED, within("last_played_at", lessThanOrEqual=0))

    def too_much(self, entry: Entry) -> str:
        return "it has been played" if entry.last_played_at else ""

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


def utc(unix_seconds: int) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(unix_seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _status_name(status: str) -> str:
    try:
        return f"{EntryStatus(status).name} ({status})"
    except ValueError:
        return status
