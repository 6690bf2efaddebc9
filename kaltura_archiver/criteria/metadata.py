"""What the custom metadata of an entry says. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from kaltura_archiver.criteria.base import EXACT, OR, Criterion, Item, Seen, group

# Terms of more bytes are cut in silence (kaltura-api 3.1).
MAX_TERM_BYTES = 120
# A field of custom metadata, and a value that it has.
FieldValue = tuple[str, str]
Metadata = Mapping[str, frozenset[str]]


@dataclass(frozen=True)
class CustomMetadata(Criterion):
    """Each of these fields with its value, and none of those, by the XML of the entry.

    `searchable`: the ids of a field, where the index knows all fields of that name. It finds a value inside others, in
    any case of letters, so that it can only narrow a search, and never tells what is to be left out.
    """

    wanted: tuple[FieldValue, ...]
    unwanted: tuple[FieldValue, ...]
    searchable: tuple[tuple[str, tuple[int, ...]], ...] = ()
    by_metadata = True

    @property
    def indexed(self) -> bool:
        return False

    def __bool__(self) -> bool:
        return bool(self.wanted or self.unwanted)

    def items(self) -> Iterator[Item]:
        searchable = dict(self.searchable)
        for field, value in self.wanted:
            if (ids := searchable.get(field, ())) and findable(value):
                yield group(OR, *(_item(field_id, value) for field_id in ids))

    def unmet(self, seen: Seen) -> str:
        if seen.metadata is None:
            return "its custom metadata is not known"
        for field, value in self.wanted:
            if value not in (values := seen.metadata.get(field, frozenset())):
                return f"its {field} is {' and '.join(sorted(values)) or 'not set'}"
        has = (f"its {field} is {value}" for field, value in self.unwanted if value in seen.metadata.get(field, ()))
        return next(has, "")

    def told(self) -> Iterator[str]:
        yield from (f"metadata {field} = {value}" for field, value in self.wanted)
        yield from (f"metadata {field} != {value}" for field, value in self.unwanted)


def _item(field_id: int, value: str) -> Item:
    """`KalturaESearchEntryMetadataItem`; one value of one field (ESearchMetadataItem [read])."""
    return {
        "objectType": "KalturaESearchEntryMetadataItem", "itemType": EXACT, "searchTerm": value,
        "metadataFieldId": field_id,
    }  # fmt: skip


def findable(value: str) -> bool:
    """Whether the index finds each such value: by its words, without what is taken for HTML, a sign, or cut."""
    words = all(letter.isalnum() or letter in " _.," or (letter == "-" and at) for at, letter in enumerate(value))
    return words and any(map(str.isalnum, value)) and len(value.encode()) <= MAX_TERM_BYTES
