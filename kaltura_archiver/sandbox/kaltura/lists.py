"""Filters and pages of the `list` actions (kaltura-api.md 3.5, 4.4)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from kaltura_archiver.sandbox.kaltura.records import Asset, EntryRecord, Token, same_id
from kaltura_archiver.sandbox.kaltura.wire import ApiError, as_int, split_csv

LIST_LIMIT = 500
WINDOW = 10_000
_MAX_RELATIVE_SECONDS = 315_360_000
_RECYCLED, _SYSTEM = -2, -1


def list_page(
    object_type: str,
    found: Sequence[Any],
    p: dict[str, Any],
    describe: Callable[[Any], dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """The list response: sorted by the filter's `orderBy`, the page size clamped to 500 in silence."""
    wanted, pager = _object(p, "filter"), _object(p, "pager")
    size = min(as_int(pager.get("pageSize"), 30), LIST_LIMIT)
    if size <= 0:
        size = len(found) or 1  # no limit (F10)
    start = size * (max(1, as_int(pager.get("pageIndex"), 1)) - 1)
    if start >= WINDOW:
        raise ApiError("QUERY_EXCEEDED_MAX_MATCHES_ALLOWED")
    page = _ordered(found, str(wanted.get("orderBy", "")))[start : start + size]
    return {
        "objectType": object_type,
        "totalCount": len(found),
        "objects": [describe(item) for item in page] if describe else page,
    }


def _object(p: dict[str, Any], name: str) -> dict[str, Any]:
    value = p.get(name)
    return value if isinstance(value, dict) else {}


_ORDERS = {
    "createdAt": "created_at",
    "updatedAt": "updated_at",
    "deletedAt": "deleted_at",
    "size": "size_kb",
    "plays": "plays",
    "lastPlayedAt": "last_played_at",
    "name": "name",
}


def _ordered(found: Sequence[Any], order: str) -> list[Any]:
    field = _ORDERS.get(order[1:])
    if not field or order[0] not in "+-":
        return list(found)
    # False sorts before True: missing values are first, as in a database.
    return sorted(
        found,
        key=lambda item: ((value := getattr(item, field, None)) is not None, value or ""),
        reverse=order[0] == "-",
    )


def asset_filter(p: dict[str, Any]) -> tuple[list[str], Callable[[Asset], bool]]:
    """Entry ids (cut at 500 in silence) and the condition on their assets.

    Blanks before an id belong to it, so that it names no entry (F14).
    """
    wanted = _object(p, "filter")
    equal, any_of = str(wanted.get("entryIdEqual") or ""), str(wanted.get("entryIdIn") or "")
    entry_ids = [equal] if equal else [one for one in any_of.split(",") if one][:LIST_LIMIT]
    if not entry_ids:
        names = "/".join(f"KalturaFlavorAssetFilter::{name}" for name in ("entryIdEqual", "entryIdIn"))
        raise ApiError("PROPERTY_VALIDATION_CANNOT_BE_NULL", names)
    only = set(split_csv(wanted.get("statusEqual"))) or set(split_csv(wanted.get("statusIn")))
    never = set(split_csv(wanted.get("statusNotIn")))
    ids = set(map(same_id, split_csv(wanted.get("idEqual")))) or set(map(same_id, split_csv(wanted.get("idIn"))))

    def matches(asset: Asset) -> bool:
        status = str(asset.status)
        return (not only or status in only) and status not in never and (not ids or same_id(asset.id) in ids)

    return list(dict.fromkeys(entry_ids)), matches


def token_filter(p: dict[str, Any]) -> Callable[[Token], bool]:
    """The condition of `uploadToken.list`: by id, status, user, file name (U31)."""
    wanted = _object(p, "filter")
    fields = {"id": "id", "status": "status", "userId": "user_id", "fileName": "file_name"}
    tests: list[tuple[str, set[str]]] = []
    for name, field in fields.items():
        for ending in ("Equal", "In"):
            if (value := wanted.get(name + ending)) not in (None, ""):
                values = {str(value)} if ending == "Equal" else set(split_csv(value))
                tests.append((field, values))
    return lambda token: all(str(getattr(token, field)) in values for field, values in tests)


def entry_filter(p: dict[str, Any], now: int) -> Callable[[EntryRecord], bool]:
    """The condition of `media.list`: READY and neither pending nor rejected unless asked for otherwise.

    Times up to ten years are relative to now. A never-played entry is in no range of lastPlayedAt, unless ``OrNull``.
    """
    wanted = _object(p, "filter")
    named = split_csv(wanted.get("idEqual")) or split_csv(wanted.get("idIn"))[:LIST_LIMIT]
    ids = set(map(same_id, named))
    statuses, never = set(split_csv(wanted.get("statusEqual"))), set(split_csv(wanted.get("statusNotIn")))
    statuses = statuses or set(split_csv(wanted.get("statusIn"))) or (set() if never else {"2"})
    moderation = set(split_csv(wanted.get("moderationStatusIn")))
    parent = str(wanted.get("parentEntryIdEqual") or "").lower()
    root = same_id(wanted.get("rootEntryIdEqual") or "")
    media_types = set(split_csv(wanted.get("mediaTypeEqual"))) or set(split_csv(wanted.get("mediaTypeIn")))
    tags_all = [tag.lower() for tag in split_csv(wanted.get("tagsMultiLikeAnd"))]
    tests: list[Callable[[EntryRecord], bool]] = []
    for name, field in (("createdAt", "created_at"), ("updatedAt", "updated_at"), ("lastPlayedAt", "last_played_at")):
        low = _time_bound(wanted.get(f"{name}GreaterThanOrEqual"), now)
        high = _time_bound(wanted.get(f"{name}LessThanOrEqual"), now)
        or_null = _time_bound(wanted.get(f"{name}LessThanOrEqualOrNull"), now)
        if low is not None or high is not None:
            tests.append(lambda e, f=field, a=low, b=high: _between(getattr(e, f), a, b))  # type: ignore[misc]
        if or_null is not None:
            tests.append(lambda e, f=field, b=or_null: not getattr(e, f) or getattr(e, f) <= b)  # type: ignore[misc]

    def matches(entry: EntryRecord) -> bool:
        return (
            (not statuses or entry.status in statuses)
            and entry.status not in never
            and (str(entry.moderation_status) in moderation if moderation else entry.moderation_status not in (1, 3))
            # Further streams have display_in_search -1, and are found by their parent all the same [read].
            and (parent == entry.parent_id.lower() if parent else entry.display_in_search not in (_RECYCLED, _SYSTEM))
            and (not ids or same_id(entry.id) in ids)
            and (not root or same_id(entry.root_id) == root)
            and (not media_types or str(entry.media_type) in media_types)
            and all(tag in entry.tags.lower() for tag in tags_all)
            and all(test(entry) for test in tests)
        )

    return matches


def _between(value: int | None, low: int | None, high: int | None) -> bool:
    return value is not None and (low is None or value >= low) and (high is None or value <= high)


def _time_bound(value: Any, now: int) -> int | None:
    if value in (None, ""):
        return None
    number = as_int(value)
    return number + now if abs(number) <= _MAX_RELATIVE_SECONDS else number
