"""What each criterion can tell, and the items of a search. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from kaltura_archiver.model import Entry, Placing, StoredObject

AND, OR, NOT = 1, 2, 3
EXACT, STARTS_WITH, EXISTS, RANGE = 1, 3, 4, 5

Item = dict[str, Any]


class Seen(NamedTuple):
    """An entry as it is now, and what has been read of it, of which a query that needs it is told by `Criterion`: its
    categories; the size of the original that Kaltura has (None: it has none, or its size is not known); the values of
    each field of its custom metadata (None: not known); its stored copy with its tags (None: S3 shows none)."""

    entry: Entry
    placings: Sequence[Placing] = ()
    original_bytes: int | None = None
    metadata: Mapping[str, frozenset[str]] | None = None
    stored: StoredObject | None = None


def group(operator: int, *items: Item) -> Item:
    return {"objectType": "KalturaESearchEntryOperator", "operator": operator, "searchItems": list(items)}


def item(field: str, kind: int, term: str | None = None) -> Item:
    made: Item = {"objectType": "KalturaESearchEntryItem", "fieldName": field, "itemType": kind}
    return made if term is None else made | {"searchTerm": term}


def within(field: str, **bounds: int | None) -> Item:
    """A range, of the bounds that there are."""
    known = {name: bound for name, bound in bounds.items() if bound is not None}
    return item(field, RANGE) | {"range": {"objectType": "KalturaESearchRange", **known}}


class Criterion:
    """One of them. False where nothing is asked for. What has to be read to test it, beside the entry itself:"""

    by_category = False  # its categories
    by_size = False  # the size of its original
    by_metadata = False  # its custom metadata
    by_copy = False  # its stored copy, with its tags

    @property
    def of_entry(self) -> bool:
        """Whether the entry itself tells whether it meets it."""
        return not (self.by_category or self.by_size or self.by_metadata or self.by_copy)

    @property
    def indexed(self) -> bool:
        """Whether the search alone tells which entries meet it."""
        return True

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


def utc(unix_seconds: int) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(unix_seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
