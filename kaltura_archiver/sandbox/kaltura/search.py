"""eSearch of the sandbox: an index that lags behind the records, and the matching rules (kaltura-api.md 3)."""

from __future__ import annotations

import json
import random
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from functools import lru_cache, reduce
from typing import Any

from kaltura_archiver.sandbox.kaltura.library import AccountRecords
from kaltura_archiver.sandbox.kaltura.metadata import MetadataValue, metadata_predicate
from kaltura_archiver.sandbox.kaltura.records import same_id
from kaltura_archiver.sandbox.kaltura.texts import EXACT, EXISTS, PARTIAL, RANGE, STARTS, forms_of, text_matches
from kaltura_archiver.sandbox.kaltura.wire import ApiError, as_int, items_of, split_csv

Document = dict[str, Any]
CategoryTerms = dict[str, set[str]]
Predicate = Callable[[Document], bool]

WINDOW = 10_000
_TERM_BYTES = 128

_ALLOWED: dict[str, frozenset[int]] = {}
for _names, _types in (
    ("tags name description", {EXACT, PARTIAL, STARTS, EXISTS}),
    ("admin_tags kuser_id creator_kuser_id conversion_profile_id", {EXACT, EXISTS}),
    ("parent_id reference_id moderation_status redirect_entry_id", {EXACT, EXISTS}),
    ("id media_type entry_type root_id display_in_search source_type", {EXACT}),
    ("plays views created_at updated_at recycled_at length_in_msecs", {RANGE}),
    ("last_played_at start_date end_date", {EXISTS, RANGE}),
    ("flavor_params_ids", set[int]()),
):
    _ALLOWED.update(dict.fromkeys(_names.split(), frozenset(_types)))

# Where the API names a field otherwise than the record does.
_RECORD_NAMES = {"kuser_id": "user_id", "creator_kuser_id": "creator_id", "length_in_msecs": "duration_ms"}

_CATEGORY_ALLOWED = {
    "id": {EXACT, EXISTS},
    "full_ids": {EXACT, STARTS},
    "name": {EXACT, STARTS},
    "ancestor_id": {EXACT},
    "ancestor_name": {EXACT, STARTS},
}
_SORTABLE = frozenset(("created_at", "updated_at", "start_date", "end_date", "recycled_at", "last_played_at")) | {
    *("name", "votes", "rank", "plays", "views"),
    *(f"{counter}_last_{days}" for counter in ("plays", "views") for days in ("1_day", "7_days", "30_days")),
}


# The query


class CompiledQuery:
    """`searchParams` compiled to a predicate over documents; raises the errors of kaltura-api.md 3.1."""

    def __init__(
        self,
        parameters: dict[str, Any],
        terms_of: Callable[[tuple[int, ...]], CategoryTerms],
        values_of: Callable[[Document], list[MetadataValue]],
    ) -> None:
        self._terms_of, self._values_of = terms_of, values_of
        self._shown: set[str] = set()
        self._any_display = False
        operator = parameters.get("searchOperator")
        if not isinstance(operator, dict):
            raise ApiError("EMPTY SEARCH OPERATOR IS NOT ALLOWED")
        if parameters.get("objectId") and parameters.get("objectIds"):
            raise ApiError("OBJECTID AND OBJECTIDS NOT ALLOWED SIMULTANEOUSLY")
        condition = self._operator(operator, top=True)
        if condition is None:
            raise ApiError("INTERNAL_SERVERL_ERROR")
        self._condition = condition
        # An empty list of statuses is a status that nothing has (E174).
        self._statuses = frozenset(str(parameters.get("objectStatuses", "2")).split(","))
        named = split_csv(parameters.get("objectIds")) or split_csv(parameters.get("objectId"))
        self._ids = frozenset(map(same_id, named))
        self._without = frozenset(split_csv(parameters.get("objectIdsNotIn")))
        self._any_display = self._any_display or bool(self._ids)
        self.order = self._order(parameters.get("orderBy"))

    def matches(self, doc: Document) -> bool:
        if doc["status"] not in self._statuses:
            return False
        if doc["display_in_search"] < 0 and not self._any_display and not self._lets_through(doc):
            return False
        if self._ids and same_id(doc["id"]) not in self._ids:
            return False
        return doc["id"] not in self._without and self._condition(doc)

    def _lets_through(self, doc: Document) -> bool:
        return f"id:{doc['id']}" in self._shown or f"parent_id:{doc['parent_id']}" in self._shown

    def _order(self, order: Any) -> list[tuple[str, bool]]:
        fields: list[tuple[str, bool]] = []
        for item in items_of(order.get("orderItems")) if isinstance(order, dict) else []:
            field = str(item.get("sortField", ""))
            if field not in _SORTABLE:
                raise ApiError("INVALID_ENUM_VALUE", field, "sortField", "KalturaESearchEntryOrderByFieldName")
            direction = str(item.get("sortOrder") or "asc")
            if direction not in ("asc", "desc"):
                raise ApiError("INVALID_ENUM_VALUE", direction, "sortOrder", "KalturaESearchSortOrder")
            fields.append((field, direction == "desc"))
        return fields

    def _operator(self, operator: dict[str, Any], *, top: bool = False) -> Predicate | None:
        kind = as_int(operator.get("operator"), 1 if top else 0)
        if not kind:
            raise ApiError("MISSING OPERATOR TYPE")
        if kind not in (1, 2, 3):
            raise ApiError("INVALID_ENUM_VALUE", kind, "operator", "KalturaESearchOperatorType")
        items = items_of(operator.get("searchItems"))
        if not items:
            raise ApiError("EMPTY SEARCH ITEMS ARE NOT ALLOWED")
        parts = [part for part in map(self._item, items) if part is not None]
        if not parts:
            raise ApiError("INTERNAL_SERVERL_ERROR")
        if kind == 1:
            return reduce(_both, parts)
        any_of = reduce(_either, parts)
        if all((item.get("objectType"), item.get("fieldName")) == ("KalturaESearchEntryItem", "id") for item in items):
            # One look-up, for there may be hundreds: nested calls would be slow, and deeper than Python allows.
            wanted = {str(item.get("searchTerm")).strip().lower() for item in items}
            any_of = lambda doc: doc["id"].lower() in wanted  # noqa: E731
        return any_of if kind == 2 else lambda doc: not any_of(doc)

    def _item(self, item: dict[str, Any]) -> Predicate | None:
        kind = str(item.get("objectType", ""))
        if kind == "KalturaESearchEntryOperator":
            return self._operator(item)
        if kind == "KalturaESearchEntryItem":
            return self._entry_item(item)
        if kind == "KalturaESearchCategoryEntryItem":
            return self._category_item(item)
        if kind == "KalturaESearchEntryMetadataItem":
            return metadata_predicate(item, self._values_of)
        raise ApiError("OBJECT_TYPE_ABSTRACT", "KalturaESearchEntryBaseItem")

    def _entry_item(self, item: dict[str, Any]) -> Predicate | None:
        field, item_type, term = _checked_item(item, _ALLOWED, "KalturaESearchEntryFieldName")
        if field in ("recycled_at", "display_in_search"):
            self._any_display = True
        if field in ("id", "parent_id") and item_type == EXACT:
            self._shown.add(f"{field}:{term.lower()}")
        field = _RECORD_NAMES.get(field, field)
        if item_type == RANGE:
            return _range_predicate(field, item)
        if item_type == EXISTS:
            return lambda doc: doc[field] not in (None, "")
        if field in ("tags", "name", "description"):
            is_list = field == "tags"
            seen: dict[str, bool] = {}

            def text(doc: Document) -> bool:
                value = doc[field]
                known = seen.get(value)
                if known is None:
                    known = seen[value] = text_matches(forms_of(value, is_list=is_list), item_type, term)
                return known

            return text
        wanted = term.strip().lower()
        if field == "admin_tags":
            return lambda doc: wanted in [tag.strip() for tag in doc["admin_tags"].lower().split(",")]
        if field == "root_id":
            return lambda doc: (doc["root_id"] or doc["id"]).lower() == wanted
        return lambda doc: doc[field] is not None and str(doc[field]).lower() == wanted

    def _category_item(self, item: dict[str, Any]) -> Predicate:
        field, item_type, term = _checked_item(item, _CATEGORY_ALLOWED, "KalturaESearchCategoryEntryFieldName")
        # 2 is ACTIVE, the default; the sandbox's entries are in their categories or not, nothing between.
        if as_int(item.get("categoryEntryStatus"), 2) != 2:
            return lambda doc: False
        if item_type == EXISTS:
            return lambda doc: bool(doc["categories"])
        wanted, terms_of = term.strip().lower(), self._terms_of
        if item_type == STARTS:
            return lambda doc: any(value.startswith(wanted) for value in terms_of(doc["categories"])[field])
        return lambda doc: wanted in terms_of(doc["categories"])[field]


def _both(one: Predicate, other: Predicate) -> Predicate:
    return lambda doc: one(doc) and other(doc)


def _either(one: Predicate, other: Predicate) -> Predicate:
    return lambda doc: one(doc) or other(doc)


def _checked_item(item: dict[str, Any], allowed: Any, enum: str) -> tuple[str, int, str]:
    field, item_type = str(item.get("fieldName", "")), as_int(item.get("itemType"))
    if field not in allowed:
        raise ApiError("INVALID_ENUM_VALUE", field, "fieldName", enum)
    if not EXACT <= item_type <= RANGE:
        raise ApiError("INVALID_ENUM_VALUE", item.get("itemType", ""), "itemType", "KalturaESearchItemType")
    if item_type not in allowed[field]:
        raise ApiError("SEARCH_TYPE_NOT_ALLOWED_ON_FIELD", item_type, "_id" if field == "id" else field)
    # A term of blanks is one, which finds nothing (E215).
    term = str(item.get("searchTerm") or "")
    if not term and item_type in (EXACT, PARTIAL, STARTS):
        raise ApiError("EMPTY SEARCH TERM IS NOT ALLOWED", field, item_type)
    return field, item_type, term.encode()[:_TERM_BYTES].decode("utf-8", "ignore")


def _range_predicate(field: str, item: dict[str, Any]) -> Predicate | None:
    bounds = item.get("range")
    if not isinstance(bounds, dict):
        return None
    low: int | None = None
    high: int | None = None
    for name, value in bounds.items():
        number = as_int(value)
        if name in ("greaterThanOrEqual", "greaterThan"):
            number += name == "greaterThan"
            low = number if low is None else max(low, number)
        elif name in ("lessThanOrEqual", "lessThan"):
            number -= name == "lessThan"
            high = number if high is None else min(high, number)
    if low is None and high is None:
        raise ApiError("INTERNAL_SERVERL_ERROR")

    def within(doc: Document) -> bool:
        value = doc[field]
        return value is not None and (low is None or value >= low) and (high is None or value <= high)

    return within


# The index


class Index:
    """Documents as of some time ago: a change is taken up `index_lag_seconds` after it was made."""

    def __init__(self, library: AccountRecords) -> None:
        self._library = library
        self._documents: dict[str, Document] = {}
        self._pending: deque[tuple[float, str, Document | None]] = deque()
        self._generation = 0
        self._found: OrderedDict[str, tuple[int, list[tuple[Any, str]]]] = OrderedDict()

    def commit(self, *, flush: bool = False) -> None:
        """Note the changes since the last call, and take up those that are due."""
        library = self._library
        now = library.clock.now()
        if library.dirty:
            due = now + library.settings.index_lag_seconds
            changed = list(library.dirty)
            library.dirty.clear()
            for entry_id in changed:
                entry = library.entries.get(entry_id)
                # A document is a plain copy of the record's fields: building it must be cheap for large libraries.
                self._pending.append((due, entry_id, None if entry is None or entry.deleted else dict(vars(entry))))
        while self._pending and (flush or self._pending[0][0] <= now):
            _, entry_id, document = self._pending.popleft()
            if document is None:
                self._documents.pop(entry_id, None)
            else:
                self._documents[entry_id] = document
            self._generation += 1

    def _category_terms(self, numbers: tuple[int, ...]) -> CategoryTerms:
        """What the categories of an entry are found by, per field of a category item."""
        categories = [self._library.categories[number] for number in numbers if number in self._library.categories]
        return {
            "id": {str(category.id) for category in categories},
            "full_ids": {category.full_ids for category in categories},
            "name": {name for c in categories for name in (c.name.lower(), c.full_name.lower())},
            # Of the categories above only (real-kaltura K10-K15).
            "ancestor_id": {number for c in categories for number in c.full_ids.split(">")[:-1]},
            "ancestor_name": {name for c in categories for name in c.full_name.lower().split(">")[:-1]},
        }

    def _metadata_of(self, doc: Document) -> list[MetadataValue]:
        return [
            value
            for number, xml in doc["metadata"].items()
            if number in self._library.profiles
            for value in self._library.profiles[number].indexed(xml)
        ]

    def search(self, parameters: dict[str, Any], pager: Any) -> tuple[int, list[str]]:
        """Total number of hits, and the ids of one page of them."""
        size, page = 10, 1
        if isinstance(pager, dict):
            wanted = pager.get("pageSize")
            size = 0 if wanted == "" else max(0, min(as_int(wanted, 30), 500))
            page = max(1, as_int(pager.get("pageIndex"), 1))
        query = CompiledQuery(parameters, lru_cache(maxsize=None)(self._category_terms), self._metadata_of)
        if size * page > WINDOW:
            raise ApiError("CRITERIA EXCEEDED MAX MATCHES ALLOWED")
        if not self._answers():
            return 0, []
        hidden = sorted(self._library.settings.not_indexed)
        hits = self._hits(json.dumps([parameters, hidden], sort_keys=True), query)
        return len(hits), self._page(hits, size * (page - 1), size)

    def _answers(self) -> bool:
        """Take the time that a search takes; whether Elasticsearch then has said anything."""
        settings = self._library.settings
        if settings.search_seconds > 0:
            time.sleep(min(settings.search_seconds, settings.search_limit_seconds))
        return not settings.search_down and settings.search_seconds < settings.search_limit_seconds

    def _hits(self, key: str, query: CompiledQuery) -> list[tuple[Any, str]]:
        """Every hit in order, with its sort key; kept until the index changes, for pages of one search."""
        known = self._found.get(key)
        if known and known[0] == self._generation:
            self._found.move_to_end(key)
            return known[1]
        hidden = self._library.settings.not_indexed
        matching = [doc for doc in self._documents.values() if doc["id"] not in hidden and query.matches(doc)]
        hits: list[tuple[Any, str]] = [
            (tuple(_sort_value(doc.get(field), descending) for field, descending in query.order), doc["id"])
            for doc in matching
        ]
        hits.sort()
        self._found[key] = (self._generation, hits)
        while len(self._found) > 16:
            self._found.popitem(last=False)
        return hits

    def _page(self, hits: list[tuple[Any, str]], start: int, size: int) -> list[str]:
        """One page, in which entries of equal sort key come in an order that differs from call to call."""
        end = min(start + size, len(hits))
        if start >= end:
            return []
        if self._library.settings.tie_order != "random":
            return [entry_id for _, entry_id in hits[start:end]]
        first, last = start, end
        while first > 0 and hits[first - 1][0] == hits[start][0]:
            first -= 1
        while last < len(hits) and hits[last][0] == hits[end - 1][0]:
            last += 1
        window = hits[first:last]
        random.shuffle(window)
        window.sort(key=lambda hit: hit[0])
        return [entry_id for _, entry_id in window[start - first : end - first]]


def _sort_value(value: Any, descending: bool) -> tuple[bool, Any]:
    """A sort key in which missing values come last, whichever the direction."""
    if value is None:
        return True, 0
    if isinstance(value, str):
        folded = value.lower()
        return False, (*(-ord(letter) for letter in folded), 1) if descending else (folded,)
    return False, -value if descending else value
