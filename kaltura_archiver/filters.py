"""Which entries are meant: a Query, its eSearch parameters as plain data, and the same test on one entry. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from kaltura_archiver.criteria.base import AND, EXACT, NOT, Criterion, Item, Seen, group, item, within
from kaltura_archiver.criteria.copies import ArchivedUntil, ReplacedUntil, ThinnedUntil
from kaltura_archiver.criteria.metadata import CustomMetadata, FieldValue, Metadata
from kaltura_archiver.criteria.what import (
    EVERY_STATUS,
    AdminTags,
    FromSources,
    FurtherStreams,
    LongerThan,
    OfIds,
    OfMedia,
    Owners,
    Sized,
    Statuses,
    Tags,
)
from kaltura_archiver.criteria.when import Created, EndsUntil, FewPlays, NeverPlayed, PlayedSince, UnplayedSince
from kaltura_archiver.criteria.where import InCategories, NotInCategories, Uncategorised
from kaltura_archiver.errors import SelectionError
from kaltura_archiver.model import (
    ARCHIVED_TAG,
    REPLACED_TAG,
    THIN_TAG,
    Entry,
    EntryStatus,
    MediaType,
    Placing,
    StoredObject,
    same_id,
)

# All but DELETED, in the order that people know from the old tool.
DEFAULT_STATUSES = ("-1", "-2", "0", "1", "2", "7", "4")
DEFAULT_MAX_ENTRIES = 500
YEAR_SECONDS = 31_557_600  # 365.25 days


def anything() -> Item:
    """`KalturaESearchEntryParams` for every entry of the account."""
    return {
        "objectType": "KalturaESearchEntryParams",
        "objectStatuses": ",".join(EVERY_STATUS),
        "searchOperator": group(AND, within("created_at", greaterThanOrEqual=0)),
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
    categories: tuple[int, ...] = ()  # in one of them
    category_names: tuple[str, ...] = ()  # in place of their numbers, until `Selection` has looked these up
    uncategorised: bool = False
    without_categories: tuple[int, ...] = ()
    statuses: tuple[str, ...] = DEFAULT_STATUSES
    media_type: MediaType | None = MediaType.VIDEO  # None: of any kind
    admin_tags: tuple[str, ...] = ()
    owners: frozenset[str] | None = None  # as `owner_rule` has them; None: of anybody
    without_owners: frozenset[str] = frozenset()
    sources: tuple[str, ...] = ()
    longer_than_seconds: int | None = None
    least_bytes: int | None = None
    below_bytes: int | None = None
    metadata: tuple[FieldValue, ...] = ()
    without_metadata: tuple[FieldValue, ...] = ()
    # Which ids these fields have in the index, where `Selection` has looked them up.
    metadata_ids: tuple[tuple[str, tuple[int, ...]], ...] = ()
    ends_until: int | None = None
    archived_until: int | None = None
    replaced_until: int | None = None
    thinned_until: int | None = None
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
    further_streams: bool = False  # and nothing else: no command asks for them by themselves

    @property
    def has_criteria(self) -> bool:
        """Whether anything but the defaults narrows the selection (media type, status and paging do not)."""
        bare = Query(statuses=self.statuses, media_type=self.media_type)
        return bare != replace(self, page_size=500, first_page=1, max_entries=DEFAULT_MAX_ENTRIES, shard=None)

    @property
    def kind(self) -> str:
        return OfMedia(self.media_type).name

    @property
    def part(self) -> str:
        """Which part of what the criteria select: `without the first 500, at most 100`; empty for all of it."""
        skipped = (self.first_page - 1) * self.page_size
        parts = [f"without the first {skipped}"] if skipped else []
        parts += [f"at most {self.max_entries}"] if self.max_entries is not None else []
        return ", ".join(parts)

    @property
    def plays(self) -> Plays:
        return Plays(self.played_since, self.unplayed_since, self.never_played, self.plays_below)

    def _require_number(self) -> None:
        if self.category_names:
            raise AssertionError("a category was never looked up: this would select without it")

    def check(self) -> None:
        """Raise SelectionError where the criteria contradict each other, so that nothing could match."""
        both = sorted(set(self.tags) & set(self.without_tags))
        if both:
            raise SelectionError(f"contradiction: --tag {both[0]} and --tag '!{both[0]}' select nothing")
        if excluded := sorted(set(self.categories) & set(self.without_categories)):
            raise SelectionError(f"contradiction: category {excluded[0]} is both selected and excluded")
        if self.uncategorised and (self.categories or self.category_names):
            raise SelectionError("contradiction: --uncategorised and --category select nothing")
        if same := sorted((self.owners or frozenset()) & self.without_owners):
            raise SelectionError(f"contradiction: owner {same[0]} is both selected and excluded")
        if both_ways := sorted(set(self.metadata) & set(self.without_metadata)):
            raise SelectionError(f"contradiction: --metadata {'='.join(both_ways[0])} is both selected and excluded")
        replaced = REPLACED_TAG in self.tags or self.replaced_until is not None
        if replaced and self.longer_than_seconds:
            raise SelectionError(
                "--longer-than cannot tell anything of what is replaced: Kaltura has the placeholder's length, and the "
                "video's is known nowhere"
            )
        if self.least_bytes is not None and self.below_bytes is not None and self.least_bytes >= self.below_bytes:
            raise SelectionError("contradiction: --larger-than must be less than --smaller-than")
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

    @cached_property
    def criteria(self) -> tuple[Criterion, ...]:
        """What is asked for: all of it is to be met."""
        few, never, unplayed = self._about_plays
        every = (
            OfMedia(self.media_type), OfIds(self.ids), Statuses(self.statuses), Tags(self.tags, self.without_tags),
            InCategories(self.categories), NotInCategories(self.without_categories), Uncategorised(self.uncategorised),
            AdminTags(self.admin_tags), Owners(self.owners, self.without_owners), FromSources(self.sources),
            LongerThan(self.longer_than_seconds), Sized(self.least_bytes, self.below_bytes), EndsUntil(self.ends_until),
            CustomMetadata(self.metadata, self.without_metadata, self.metadata_ids),
            FurtherStreams(self.further_streams), never, few,
            Created(self.created_since, self.created_until, self.unplayed_since), PlayedSince(self.played_since),
            unplayed,
            ArchivedUntil(self.archived_until), ReplacedUntil(self.replaced_until), ThinnedUntil(self.thinned_until),
        )  # fmt: skip
        return tuple(filter(None, every))

    @property
    def _about_plays(self) -> tuple[FewPlays, NeverPlayed, UnplayedSince]:
        """Those that another play can break."""
        return FewPlays(self.plays_below), NeverPlayed(self.never_played), UnplayedSince(self.unplayed_since)

    def search_params(self, *, created_from: int | None = None, not_ids: tuple[str, ...] = ()) -> dict[str, Any]:
        """`KalturaESearchEntryParams` as plain data, ordered by created_at.

        `created_from` and `not_ids` are the keyset of the next page: entries created in or after that second, less
        those of that second that are known already.
        """
        self._require_number()
        since = max((t for t in (self.created_since, created_from) if t is not None), default=None)
        items = [made for criterion in replace(self, created_since=since).criteria for made in criterion.items()]
        if not_ids:
            items.append(group(NOT, *(item("id", EXACT, entry_id) for entry_id in not_ids)))
        return {
            "objectType": "KalturaESearchEntryParams",
            "objectStatuses": ",".join(self.statuses),
            "searchOperator": group(AND, *items),
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
        return any(criterion.by_category for criterion in self.criteria)

    @property
    def by_size(self) -> bool:
        """Whether the size of its original has to be known for that."""
        return any(criterion.by_size for criterion in self.criteria)

    @property
    def by_metadata(self) -> bool:
        """Whether its custom metadata has to be known for that."""
        return any(criterion.by_metadata for criterion in self.criteria)

    @property
    def by_copy(self) -> bool:
        """Whether its stored copy has to be looked at for that."""
        return any(criterion.by_copy for criterion in self.criteria)

    def but_for_copies(self, *, sizes: bool) -> Query:
        """What is tested before any copy is looked at; `sizes`: these are the copies', too."""
        query = replace(self, archived_until=None, replaced_until=None, thinned_until=None)
        return replace(query, least_bytes=None, below_bytes=None) if sizes else query

    @property
    def held_still(self) -> Query:
        """What has to hold still: all but status and tags of ours, which a run changes on its way, sizes and copies."""
        ours = {ARCHIVED_TAG, REPLACED_TAG, THIN_TAG}
        return replace(
            self.but_for_copies(sizes=True), statuses=EVERY_STATUS,
            tags=tuple(tag for tag in self.tags if tag not in ours),
            without_tags=tuple(tag for tag in self.without_tags if tag not in ours),
        )  # fmt: skip

    @property
    def countable(self) -> bool:
        """Whether the search index alone can tell how many match."""
        return self.shard is None and all(criterion.indexed for criterion in self.criteria)

    def mismatch(
        self, entry: Entry, placings: Sequence[Placing] = (), original_bytes: int | None = None,
        metadata: Metadata | None = None, stored: StoredObject | None = None,
    ) -> str:  # fmt: skip
        """The first criterion that this entry, as it is now, does not meet; empty if it meets all.

        `placings` are its categories, read from the database if the query is `by_category`; `original_bytes` the size
        of the original that Kaltura has, `metadata` its custom metadata, read if it is `by_size`, `by_metadata`;
        `stored` its stored copy, read if it is `by_copy`, or `by_size` and the entry's original is in S3 only.
        """
        self._require_number()
        seen = Seen(entry, placings, original_bytes, metadata, stored)
        return next(filter(None, (criterion.unmet(seen) for criterion in self.criteria)), "")

    def too_much_played(self, entry: Entry) -> str:
        """The criterion that plays have broken: that of few plays, or of none for a time; empty if none."""
        seen = Seen(entry)
        return next(filter(None, (criterion.unmet(seen) for criterion in self._about_plays if criterion)), "")

    def __str__(self) -> str:
        """The criteria in one line, as `count` prints them."""
        parts = [part for criterion in self.criteria for part in criterion.told()]
        parts += [f"category = {name!r}" for name in self.category_names]
        if self.shard is not None:
            parts.append(f"shard {self.shard[0]} of {self.shard[1]}")
        return " and ".join(parts)


def query_of_ids(ids: Iterable[str]) -> Query:
    """These entries, whatever they are."""
    return Query(ids=tuple(ids), media_type=None, statuses=EVERY_STATUS, max_entries=None)


def parse_statuses(texts: tuple[str, ...]) -> tuple[str, ...]:
    """Entry statuses from repeated or comma-separated numbers or names, none of no texts; SelectionError for others."""
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
    return tuple(found)


def years_ago(now: float, years: float | None) -> int | None:
    """The unix second `years` (365.25 days each) before `now`; None stays None."""
    return None if years is None else int(now - years * YEAR_SECONDS)
