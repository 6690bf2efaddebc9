"""Which entries are meant: a Query, its eSearch parameters as plain data, and the same test on one entry. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from kaltura_archiver.errors import SelectionError
from kaltura_archiver.model import Entry, EntryStatus, MediaType, Placing, iso_date, same_id

# All but DELETED, in the order that people know from the old tool.
DEFAULT_STATUSES = ("-1", "-2", "0", "1", "2", "7", "4")
EVERY_STATUS = tuple(status.value for status in EntryStatus if status is not EntryStatus.DELETED)
DEFAULT_MAX_ENTRIES = 500
YEAR_SECONDS = 31_557_600  # 365.25 days
AND, OR, NOT = 1, 2, 3
EXACT, STARTS_WITH, EXISTS, RANGE = 1, 3, 4, 5

Item = dict[str, Any]


def _group(operator: int, *items: Item) -> Item:
    return {"objectType": "KalturaESearchEntryOperator", "operator": operator, "searchItems": list(items)}


def _item(field: str, kind: int, term: str | None = None) -> Item:
    item: Item = {"objectType": "KalturaESearchEntryItem", "fieldName": field, "itemType": kind}
    return item if term is None else item | {"searchTerm": term}


def _range(field: str, **bounds: int) -> Item:
    return _item(field, RANGE) | {"range": {"objectType": "KalturaESearchRange", **bounds}}


def _tag(tag: str) -> Item:
    """As near to the whole tag as eSearch comes: EXACT finds the phrase inside any tag, STARTS_WITH its beginning.

    Never PARTIAL, which is fuzzy (kaltura-api 3.2). How the index folds other letters is not known well enough to ask
    for their prefix; the whole tag is compared again on the entry in any case.
    """
    exact = _item("tags", EXACT, tag)
    return _group(AND, exact, _item("tags", STARTS_WITH, tag)) if tag.isascii() else exact


def _category(category_id: int) -> Item:
    """In this category, or below it: `ancestor_id` alone finds only what is below (real-kaltura K10-K15)."""
    item = {"objectType": "KalturaESearchCategoryEntryItem", "itemType": EXACT, "searchTerm": str(category_id)}
    return _group(OR, *(item | {"fieldName": field} for field in ("id", "ancestor_id")))


def anything() -> Item:
    """`KalturaESearchEntryParams` for every entry of the account."""
    return {
        "objectType": "KalturaESearchEntryParams",
        "objectStatuses": ",".join(EVERY_STATUS),
        "searchOperator": _group(AND, _range("created_at", greaterThanOrEqual=0)),
    }


@dataclass(frozen=True)
class Plays:
    """The criteria of a query that are about plays: what a run knows of swaps and restores counts for them, too."""

    played_since: int | None = None
    unplayed_since: int | None = None
    never_played: bool = False
    plays_below: int | None = None


@dataclass(frozen=True)
class Query:
    """Selection criteria, all combined with AND. Times are unix seconds, fixed when the query was made.

    `played_since` and `unplayed_since` are about the last play; an entry that was never played is unplayed since it was
    created. `plays_below` counts plays; `never_played` means no play and no date of one. `shard` (i, n) keeps the i-th
    of n shares, counted from 0.
    """

    ids: tuple[str, ...] | None = None
    tags: tuple[str, ...] = ()
    without_tags: tuple[str, ...] = ()
    category: int | None = None
    category_name: str = ""  # in place of its number, until `Selection` has looked that up
    without_categories: tuple[int, ...] = ()
    statuses: tuple[str, ...] = DEFAULT_STATUSES
    media_type: MediaType | None = MediaType.VIDEO  # None: of any kind
    plays_below: int | None = None
    never_played: bool = False
    created_since: int | None = None
    created_until: int | None = None
    played_since: int | None = None
    unplayed_since: int | None = None
    page_size: int = 500
    first_page: int = 1
    max_entries: int | None = DEFAULT_MAX_ENTRIES
    shard: tuple[int, int] | None = None

    @property
    def has_criteria(self) -> bool:
        """Whether anything but the defaults narrows the selection (media type, status and paging do not)."""
        bare = Query(statuses=self.statuses, media_type=self.media_type)
        return bare != replace(self, page_size=500, first_page=1, max_entries=DEFAULT_MAX_ENTRIES, shard=None)

    @property
    def kind(self) -> str:
        return self.media_type.name.lower() if self.media_type else "any"

    @property
    def plays(self) -> Plays:
        return Plays(self.played_since, self.unplayed_since, self.never_played, self.plays_below)

    def _require_number(self) -> None:
        if self.category_name:
            raise AssertionError("a category was never looked up: this would select without it")

    def check(self) -> None:
        """Raise SelectionError where the criteria contradict each other, so that nothing could match."""
        both = sorted(set(self.tags) & set(self.without_tags))
        if both:
            raise SelectionError(f"contradiction: --tag {both[0]} and --tag '!{both[0]}' select nothing")
        if self.category is not None and self.category in self.without_categories:
            raise SelectionError(f"contradiction: category {self.category} is both selected and excluded")
        since, until = self.created_since, self.created_until
        if since is not None and until is not None and since >= until:
            raise SelectionError("contradiction: --created-within must reach further back than --created-before")
        if self.never_played and self.played_since is not None:
            raise SelectionError("contradiction: what was never played was not played within any time")
        if self.unplayed_since is not None:
            if self.played_since is not None and self.played_since >= self.unplayed_since:
                raise SelectionError("contradiction: --played-within must reach further back than --unplayed-for")
            if since is not None and since >= self.unplayed_since:
                raise SelectionError("contradiction: --created-within must reach further back than --unplayed-for")

    def in_shard(self, entry_id: str) -> bool:
        """Whether it is in the share asked for; by its id alone, so that it stays there while others come and go.

        However the id is spelled: an entry is in one share.
        """
        if self.shard is None:
            return True
        import hashlib  # costs --help a tenth of its time

        index, count = self.shard
        return int.from_bytes(hashlib.sha256(same_id(entry_id).encode()).digest()[:8], "big") % count == index

    def search_params(self, *, created_from: int | None = None, not_ids: tuple[str, ...] = ()) -> dict[str, Any]:
        """`KalturaESearchEntryParams` as plain data, ordered by created_at.

        `created_from` and `not_ids` are the keyset of the next page: entries created in or after that second, less
        those of that second that are known already.
        """
        self._require_number()
        items = [_item("entry_type", EXACT, "1")]
        if self.media_type is not None:
            items.append(_item("media_type", EXACT, str(self.media_type.value)))
        items += [_tag(tag) for tag in self.tags]
        items += [_group(NOT, _tag(tag)) for tag in self.without_tags]
        if self.category is not None:
            items.append(_category(self.category))
        items += [_group(NOT, _category(category)) for category in self.without_categories]
        if self.plays_below is not None:
            items.append(_range("plays", lessThan=self.plays_below))
        never = _group(NOT, _item("last_played_at", EXISTS))
        if self.never_played:
            items.append(_group(OR, never, _range("last_played_at", lessThanOrEqual=0)))
        if self.played_since is not None:
            items.append(_range("last_played_at", greaterThanOrEqual=self.played_since))
        until = self.created_until
        if self.unplayed_since is not None:
            # A missing field never matches a range (kaltura-api 3.3), and a new upload is not an unplayed old one.
            items.append(_group(OR, _range("last_played_at", lessThanOrEqual=self.unplayed_since), never))
            until = self.unplayed_since if until is None else min(until, self.unplayed_since)
        since = max((t for t in (self.created_since, created_from) if t is not None), default=None)
        bounds = {"greaterThanOrEqual": since, "lessThanOrEqual": until}
        if set_bounds := {name: bound for name, bound in bounds.items() if bound is not None}:
            items.append(_range("created_at", **set_bounds))
        if not_ids:
            items.append(_group(NOT, *(_item("id", EXACT, entry_id) for entry_id in not_ids)))
        return {
            "objectType": "KalturaESearchEntryParams",
            "objectStatuses": ",".join(self.statuses),
            "searchOperator": _group(AND, *items),
            "orderBy": {
                "objectType": "KalturaESearchOrderBy",
                "orderItems": [
                    {"objectType": "KalturaESearchEntryOrderByItem", "sortField": "created_at", "sortOrder": "asc"}
                ],
            },
        }

    @property
    def by_category(self) -> bool:
        """Whether an entry's categories have to be known to tell if it matches."""
        return self.category is not None or bool(self.without_categories)

    def mismatch(self, entry: Entry, placings: Sequence[Placing] = ()) -> str:
        """The first criterion that this entry, as it is now, does not meet; empty if it meets all.

        `placings` are its categories, read from the database if the query is `by_category`: what is excluded is so even
        before a moderator has decided.
        """
        self._require_number()
        reason = ""
        created, played, tags = entry.created_at, entry.last_played_at or 0, entry.tag_set
        if entry.recycled:
            reason = "it is recycled"
        elif entry.temporary:
            reason = "it is a temporary entry of a replacement"
        elif entry.entry_type != "1":
            reason = f"its entry type is {entry.entry_type}, not a media clip"
        elif self.media_type is not None and entry.media_type != self.media_type.value:
            reason = f"it is not of media type {self.kind}"
        elif entry.status not in self.statuses:
            reason = f"its status is {_status_name(entry.status)}"
        elif not tags.issuperset(self.tags) or not tags.isdisjoint(self.without_tags):
            reason = f"its tags are {', '.join(entry.tags) or 'none'}"
        elif self.category is not None and not any(p.active and p.within(self.category) for p in placings):
            reason = f"it is not in category {self.category} or below it"
        elif {str(category) for category in self.without_categories} & set(entry.category_ids) or any(
            placing.within(category) for placing in placings for category in self.without_categories
        ):
            reason = "it is in an excluded category"
        elif not created and (self.created_since, self.created_until, self.unplayed_since) != (None, None, None):
            reason = "it is not known when it was created"
        elif self.created_since is not None and created < self.created_since:
            reason = "it was created too early"
        elif (self.created_until is not None and created > self.created_until) or (
            self.unplayed_since is not None and created > self.unplayed_since
        ):
            reason = "it was created too recently"
        elif self.played_since is not None and played < self.played_since:
            reason = "it was not played in that time"
        else:
            reason = self.too_much_played(entry)
        return reason

    def too_much_played(self, entry: Entry) -> str:
        """The criterion that plays have broken: that of few plays, or of none for a time; empty if none."""
        asked = self.never_played or self.plays_below is not None or self.unplayed_since is not None
        if asked and not entry.plays_known:
            return "it is not known how often and when it was played"
        if self.plays_below is not None and entry.plays >= self.plays_below:
            return f"it was played {entry.plays} times"
        if self.never_played and entry.last_played_at:
            return "it has been played"
        if self.unplayed_since is not None and (entry.last_played_at or 0) > self.unplayed_since:
            return f"it was played more recently ({iso_date(entry.last_played_at)})"
        return ""

    def __str__(self) -> str:
        """The criteria in one line, as `count` prints them."""
        parts = [f"media_type = {self.kind}"]
        if self.ids is not None:
            shown = ",".join(self.ids[:5]) + (f",… ({len(self.ids)} ids)" if len(self.ids) > 5 else "")
            parts.append(f"id in {shown}")
        parts.append(f"status in {','.join(self.statuses)}")
        parts += [f"tag = {tag}" for tag in self.tags]
        parts += [f"tag != {tag}" for tag in self.without_tags]
        if self.category is not None:
            parts.append(f"category = {self.category}")
        if self.category_name:
            parts.append(f"category = {self.category_name!r}")
        parts += [f"category != {category}" for category in self.without_categories]
        if self.never_played:
            parts.append("never played")
        elif self.plays_below is not None:
            parts.append(f"plays < {self.plays_below}")
        for label, bound in (
            ("created >=", self.created_since),
            ("created <=", self.created_until),
            ("last played >=", self.played_since),
            ("not played since", self.unplayed_since),
        ):
            if bound is not None:
                parts.append(f"{label} {_utc(bound)}")
        if self.shard is not None:
            parts.append(f"shard {self.shard[0]} of {self.shard[1]}")
        return " and ".join(parts)


def _utc(unix_seconds: int) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(unix_seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _status_name(status: str) -> str:
    try:
        return f"{EntryStatus(status).name} ({status})"
    except ValueError:
        return status


def parse_statuses(texts: tuple[str, ...]) -> tuple[str, ...]:
    """Entry statuses from repeated or comma-separated numbers or names; SelectionError for anything else."""
    found: list[str] = []
    for part in (part.strip() for text in texts for part in text.split(",")):
        if not part:
            continue
        by_name = EntryStatus.__members__.get(part.upper())
        try:
            status = by_name or EntryStatus(part)
        except ValueError:
            known = ", ".join(f"{s.value} {s.name}" for s in EntryStatus)
            raise SelectionError(f"unknown entry status {part!r}; known are {known}") from None
        if status.value not in found:
            found.append(status.value)
    if texts and not found:
        raise SelectionError("--status names no status")
    return tuple(found) or DEFAULT_STATUSES


def years_ago(now: float, years: float | None) -> int | None:
    """The unix second `years` (365.25 days each) before `now`; None stays None."""
    return None if years is None else int(now - years * YEAR_SECONDS)
