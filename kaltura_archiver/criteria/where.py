"""In which categories an entry is. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kaltura_archiver.criteria.base import EXACT, EXISTS, NOT, OR, Criterion, Item, Seen, group, item


@dataclass(frozen=True)
class InCategories(Criterion):
    """In one of these categories or below it."""

    categories: tuple[int, ...]
    by_category = True

    def __bool__(self) -> bool:
        return bool(self.categories)

    def items(self) -> Iterator[Item]:
        made = [_in_category(category) for category in self.categories]
        yield made[0] if len(made) == 1 else group(OR, *made)

    def unmet(self, seen: Seen) -> str:
        if any(p.active and p.within(category) for p in seen.placings for category in self.categories):
            return ""
        return f"it is not in category {' or '.join(map(str, self.categories))} or below it"

    def told(self) -> Iterator[str]:
        yield f"category = {' or '.join(map(str, self.categories))}"


def _in_category(category_id: int) -> Item:
    """`ancestor_id` alone finds only what is below (real-kaltura K10-K15)."""
    return group(OR, *(_category_item(field, EXACT, str(category_id)) for field in ("id", "ancestor_id")))


def _category_item(field: str, kind: int, term: str | None = None) -> Item:
    return item(field, kind, term) | {"objectType": "KalturaESearchCategoryEntryItem"}


@dataclass(frozen=True)
class Uncategorised(Criterion):
    """In no category, nor waiting for a moderator to be in one."""

    asked: bool
    by_category = True

    def __bool__(self) -> bool:
        return self.asked

    def items(self) -> Iterator[Item]:
        yield group(NOT, _category_item("id", EXISTS))

    def unmet(self, seen: Seen) -> str:
        return "it is in a category" if seen.placings or seen.entry.category_ids else ""

    def told(self) -> Iterator[str]:
        yield "in no category"


@dataclass(frozen=True)
class NotInCategories(Criterion):
    """In none of these, nor below them; even before a moderator has decided."""

    categories: tuple[int, ...]
    by_category = True

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
