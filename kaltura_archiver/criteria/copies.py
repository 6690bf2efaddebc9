"""Since when the original of an entry is in S3, or in S3 only, by the record with the stored copy. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kaltura_archiver.criteria.base import Criterion, Item, Seen, utc
from kaltura_archiver.criteria.what import Tags
from kaltura_archiver.model import ARCHIVED_TAG, REPLACED_TAG, THIN_TAG, StoredObject, iso_date


@dataclass(frozen=True)
class _Since(Criterion):
    """Since then (unix seconds) or longer. The index tells by a tag which entries have to be looked at."""

    until: int | None
    by_copy = True
    tag = ARCHIVED_TAG
    word = ""

    @property
    def indexed(self) -> bool:
        return False

    def __bool__(self) -> bool:
        return self.until is not None

    def items(self) -> Iterator[Item]:
        yield from Tags((self.tag,), ()).items()

    def unmet(self, seen: Seen) -> str:
        if self.tag not in seen.entry.tag_set:
            return f"it is not tagged {self.tag}"
        if seen.stored is None:
            return "there is no stored copy of it, or S3 does not show it"
        if (at := self.at(seen.stored)) is None:
            return f"it is not known since when it is {self.word}"
        return f"it was {self.word} on {iso_date(at)}" if at > (self.until or 0) else ""

    def at(self, stored: StoredObject) -> int | None:
        """Since when, in unix seconds."""
        raise NotImplementedError

    def told(self) -> Iterator[str]:
        yield f"{self.word} <= {utc(self.until or 0)}"


class ArchivedUntil(_Since):
    """In S3, whatever became of the original."""

    word = "archived"

    def at(self, stored: StoredObject) -> int | None:
        return stored.archived_at


class ReplacedUntil(_Since):
    """Its placeholder in place. One that was brought back has no such tag, or loses it just now."""

    tag, word = REPLACED_TAG, "replaced"

    def at(self, stored: StoredObject) -> int | None:
        return stored.replaced_at if stored.restored_at is None else None


class ThinnedUntil(ReplacedUntil):
    """Its original in S3 only, while a derived flavor plays on."""

    tag, word = THIN_TAG, "thinned"
