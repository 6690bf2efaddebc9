"""What an entry is: its kind, status, tags, source, owner, length and size. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kaltura_archiver.criteria.base import (
    AND,
    EXACT,
    EXISTS,
    NOT,
    OR,
    STARTS_WITH,
    Criterion,
    Item,
    Seen,
    group,
    item,
    within,
)  # fmt: skip
from kaltura_archiver.keep import as_seen, owner_rule
from kaltura_archiver.model import EntryStatus, MediaType, SourceType

# Elasticsearch bounds the clauses of a query (1,024 by default), and an owner takes two: of more, the entries tell.
MAX_OWNERS = 250
EVERY_STATUS = tuple(status.value for status in EntryStatus if status is not EntryStatus.DELETED)
MAX_TOLD = 5


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
            return "it is recycled: in Kaltura's recycle bin"
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

    @property
    def indexed(self) -> bool:
        return False

    def unmet(self, seen: Seen) -> str:
        return ""

    def told(self) -> Iterator[str]:
        ids = self.ids or ()
        yield f"id in {','.join(ids[:MAX_TOLD])}" + (f",… ({len(ids)} ids)" if len(ids) > MAX_TOLD else "")


@dataclass(frozen=True)
class Statuses(Criterion):
    """One of these statuses; EVERY_STATUS: of any, also one of a plugin's that nobody here knows. The search takes them
    beside its items."""

    statuses: tuple[str, ...]

    def unmet(self, seen: Seen) -> str:
        status = seen.entry.status
        met = status != EntryStatus.DELETED.value if self._any else status in self.statuses
        return "" if met else f"its status is {_status_name(status)}"

    def told(self) -> Iterator[str]:
        yield "status = any" if self._any else f"status in {','.join(self.statuses)}"

    @property
    def _any(self) -> bool:
        return self.statuses == EVERY_STATUS


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
        # As the keep list takes them: Kaltura tells two spellings of one word apart, and people do not.
        barred = set(map(as_seen, self.unwanted))
        if tags.issuperset(self.wanted) and (not barred or barred.isdisjoint(map(as_seen, tags))):
            return ""
        return f"its tags are {', '.join(seen.entry.tags) or 'none'}"

    def told(self) -> Iterator[str]:
        yield from (f"tag = {tag}" for tag in self.wanted)
        yield from (f"tag != {tag}" for tag in self.unwanted)


@dataclass(frozen=True)
class AdminTags(Criterion):
    """All of these administrators' tags, which mark what a service has put there; whole, in lower case."""

    wanted: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.wanted)

    def items(self) -> Iterator[Item]:
        yield from (item("admin_tags", EXACT, tag) for tag in self.wanted)

    def unmet(self, seen: Seen) -> str:
        tags = seen.entry.admin_tags
        missing = set(self.wanted) - {tag.lower() for tag in tags}
        return f"its admin tags are {', '.join(tags) or 'none'}" if missing else ""

    def told(self) -> Iterator[str]:
        yield from (f"admin tag = {tag}" for tag in self.wanted)


@dataclass(frozen=True)
class FromSources(Criterion):
    """Of one of these kinds of source (SourceType)."""

    sources: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.sources)

    def items(self) -> Iterator[Item]:
        yield group(OR, *(item("source_type", EXACT, source) for source in self.sources))

    def unmet(self, seen: Seen) -> str:
        source = seen.entry.source_type
        return "" if source in self.sources else f"its source is {source_name(source) or 'not known'}"

    def told(self) -> Iterator[str]:
        yield f"source = {' or '.join(map(source_name, self.sources))}"


_SOURCE_NAMES = {kind.value: kind.name.lower() for kind in SourceType}


def source_name(source: str) -> str:
    """`lecture_capture`; a number that we have no name for as it is."""
    return _SOURCE_NAMES.get(source, source)


@dataclass(frozen=True)
class Owners(Criterion):
    """Owned by one of these, and by none of those; as `owner_rule` has them. Who is to be left out is so with any
    address of theirs, who is wanted only as they are."""

    wanted: frozenset[str] | None
    unwanted: frozenset[str]

    def __bool__(self) -> bool:
        return self.wanted is not None or bool(self.unwanted)

    @property
    def indexed(self) -> bool:
        return False

    def items(self) -> Iterator[Item]:
        """Owned or created by one of them: who created an entry owns it where nobody was made that. That nobody was
        cannot be asked for: not every version of Kaltura allows EXISTS of users (ESearchEntryItem [read])."""
        if self.wanted is not None and len(self.wanted) <= MAX_OWNERS:
            fields = ("kuser_id", "creator_kuser_id")
            yield group(OR, *(item(field, EXACT, owner) for owner in sorted(self.wanted) for field in fields))

    def unmet(self, seen: Seen) -> str:
        owner = seen.entry.owner
        rule = owner_rule(owner)
        if self.wanted is not None and rule not in self.wanted:
            return f"{owner or 'nobody'} owns it"
        return "" if self.unwanted.isdisjoint((rule, rule.partition("@")[0])) else f"{owner} owns it"

    def told(self) -> Iterator[str]:
        for sign, owners in (("=", self.wanted), ("!=", self.unwanted)):
            if owners:
                few = sorted(owners)[:MAX_TOLD]
                yield f"owner {sign} {' or '.join(few)}" + (f" or … ({len(owners)})" if len(owners) > len(few) else "")


@dataclass(frozen=True)
class LongerThan(Criterion):
    """Of that many seconds or more, as Kaltura tells it: of what is replaced that is the placeholder's length, and the
    video's is known nowhere. Kaltura's 0 is of content that it could not read: that is not known to be long."""

    seconds: int | None

    def __bool__(self) -> bool:
        return self.seconds is not None

    def items(self) -> Iterator[Item]:
        yield within("length_in_msecs", greaterThanOrEqual=1000 * (self.seconds or 0))

    def unmet(self, seen: Seen) -> str:
        seconds = seen.entry.duration_seconds
        if not seconds:
            return "it is not known how long it is"
        return "it is too short" if seconds < (self.seconds or 0) else ""

    def told(self) -> Iterator[str]:
        yield f"longer than {self.seconds} s"


@dataclass(frozen=True)
class Sized(Criterion):
    """With an original of at least, and below, so many bytes; where that is in S3 only, it is the stored copy that is
    measured. The index knows no sizes: each entry is looked at."""

    least_bytes: int | None
    below_bytes: int | None
    by_size = True

    @property
    def indexed(self) -> bool:
        return False

    def __bool__(self) -> bool:
        return (self.least_bytes, self.below_bytes) != (None, None)

    def unmet(self, seen: Seen) -> str:
        size, original = seen.original_bytes, "its original"
        if seen.entry.only_in_s3:
            size, original = (seen.stored.size_bytes if seen.stored else None), "its original in S3"
        if not size:
            return f"it is not known how large {original} is"
        if self.least_bytes is not None and size < self.least_bytes:
            return f"{original} has only {size} bytes"
        return f"{original} has {size} bytes" if self.below_bytes is not None and size >= self.below_bytes else ""

    def told(self) -> Iterator[str]:
        for label, size in (("larger than", self.least_bytes), ("smaller than", self.below_bytes)):
            if size is not None:
                yield f"{label} {size} bytes"


@dataclass(frozen=True)
class FurtherStreams(Criterion):
    """A further stream of a recording. Kaltura hides these from searches that do not ask for what is hidden
    (mySearchUtils, setDisplayInSearch; ESearchEntryQueryFilterAttributes [read])."""

    wanted: bool

    def __bool__(self) -> bool:
        return self.wanted

    def items(self) -> Iterator[Item]:
        yield item("parent_id", EXISTS)
        yield item("display_in_search", EXACT, "-1")

    def unmet(self, seen: Seen) -> str:
        return "" if seen.entry.parent_of_stream else "it is no further stream"


def _status_name(status: str) -> str:
    try:
        return f"{EntryStatus(status).name} ({status})"
    except ValueError:
        return status
