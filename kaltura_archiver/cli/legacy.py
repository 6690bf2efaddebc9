"""Rows as `kaltura_aws.py` printed them, padding included, for what still reads those (`--legacy-columns`). Pure.

They say what that tool would have said, not what is true: it took a part of a tag for the tag, and sizes within 3 % for
the same video. (Source: akinom/kaltura_archiver at cac0231, `report_str` and `entry_health_check`; tried beside it.)
"""

from __future__ import annotations

from kaltura_archiver.criteria.copies import ArchivedUntil, ReplacedUntil
from kaltura_archiver.criteria.metadata import CustomMetadata
from kaltura_archiver.criteria.what import AdminTags, FromSources, LongerThan, Owners, Sized
from kaltura_archiver.criteria.when import EndsUntil
from kaltura_archiver.criteria.where import Uncategorised
from kaltura_archiver.filters import Query
from kaltura_archiver.model import (
    ARCHIVED_TAG,
    REPLACED_TAG,
    Entry,
    EntryStatus,
    Facts,
    FlavorAsset,
    FlavorStatus,
    iso_date,
)
from kaltura_archiver.output.rows import OLD_HEALTH_COLUMNS
from kaltura_archiver.output.tables import Cell, escape_tsv

# As that tool wrote them above the columns: it gave `message` no name.
HEALTH_TITLES = (*OLD_HEALTH_COLUMNS[:-1], "---")
# What it did not copy, in Kaltura's KB.
SIZE_LIMIT_KB = 10_000_000

# Criteria that it did not know.
_NEW = (
    AdminTags, ArchivedUntil, CustomMetadata, EndsUntil, FromSources, LongerThan, Owners, ReplacedUntil, Sized,
    Uncategorised,
)  # fmt: skip
OldRow = dict[str, Cell]


def _right(value: object, width: int) -> str:
    return f"{value!s:>{width}}"


def _date(unix_seconds: int | None) -> str:
    return _right(iso_date(unix_seconds) or None, 10)


def _common(entry: Entry) -> OldRow:
    """The cells of an entry that `list` and `health` have in common: a tag's name, or blanks of its length."""
    tags = {tag: tag if tag in entry.tags_text else " " * len(tag) for tag in (ARCHIVED_TAG, REPLACED_TAG)}
    return {"entry_id": entry.id, "created_date": _date(entry.created_at), **tags}


def list_row(entry: Entry) -> OldRow:
    """A row of `list --mode video`."""
    status = EntryStatus(entry.status).name if entry.status_known else None
    return _common(entry) | {
        "last_played_date": _date(entry.last_played_at),
        "plays": _right(entry.plays, 3),
        "status": _right(status, 10),
        "created": _right(entry.created_at, 12),
        "creator_id": _right(entry.creator_id, 8),
        "category_ids": _right(",".join(entry.category_ids), 15),
        "categories": entry.categories,
    }


def flavor_row(flavor: FlavorAsset) -> OldRow:
    """A row of `list --mode flavor`; that tool knew no `created_date` of a flavor."""
    return {
        "entry_id": flavor.entry_id,
        "flavor_id": flavor.id,
        "original": flavor.is_original,
        "size_KB": _right(flavor.size_kb, 10),
        "created_date": "UNDEFINED",
        "deleted_date": _date(flavor.deleted_at),
        "status": flavor.odd or flavor.status.name,
    }


def health_row(facts: Facts, bucket: str) -> OldRow:
    """A row of `health`: its own judgement, by tags and sizes alone."""
    original, stored = facts.original, facts.stored
    size_kb = original.size_kb if original else None
    match = stored is not None and size_kb is not None and _sizes_match(size_kb, stored.size_bytes // 1024)
    healthy, message = _judged(facts, bucket, match=match)
    return _common(facts.entry) | {
        "status-ok": f"{healthy!s:<9}",
        "original": _right(original.id if original else "", 10),
        "orig_status": _right(original.status.name if original else "MISSING", 11),
        "s3-size": stored.size_bytes // 1024 if stored else -1,
        "orig_KB": _right("" if original is None else size_kb, 10),
        "size_match": match,
        "message": message,
    }


def _sizes_match(kilobytes: int, stored_kilobytes: int) -> bool:
    small, large = sorted((kilobytes, stored_kilobytes))
    return 1.03 * small >= large


def _judged(facts: Facts, bucket: str, *, match: bool) -> tuple[bool, str]:
    """Whether that tool found the entry healthy, and its words."""
    original, exists = facts.original, facts.stored is not None
    archived, replaced = (tag in facts.entry.tags_text for tag in (ARCHIVED_TAG, REPLACED_TAG))
    wrong = ""
    if facts.unseen:
        wrong = facts.unseen
    elif original is None or original.status is not FlavorStatus.READY:
        wrong = "No healthy Original"
    elif exists and not archived:
        wrong = f"in bucket {bucket} - but no {ARCHIVED_TAG} tag"
    elif archived and not exists:
        wrong = f"has tag {ARCHIVED_TAG} - but not in bucket {bucket}"
    elif replaced and not archived:
        wrong = f"has tag {REPLACED_TAG} - but no {ARCHIVED_TAG} tag"
    elif archived and not replaced and not match:
        wrong = f"is {ARCHIVED_TAG} and not {REPLACED_TAG} - size mismatch of bucket entry and original flavor"
    elif archived and replaced and match:
        wrong = f"is {ARCHIVED_TAG} and  {REPLACED_TAG} - but size match of bucket entry and original flavor"
    elif exists and (original.size_kb or 0) > SIZE_LIMIT_KB:
        return True, f"WARNING: in bucket {bucket} but original beyond size limit {SIZE_LIMIT_KB}"
    return not wrong, f"ERROR: {wrong}" if wrong else "HEALTHY"


def count_line(number: int, query: Query) -> str:
    """The line that `count` printed: no header, the number, and the filter in eSearch's words."""
    return f"#COUNT\t{number}\t{escape_tsv(filter_text(query))}"


def filter_text(query: Query) -> str:
    """The criteria in that tool's form and order, page length 0 as `count` had it; what it did not know is added."""
    items = [f"media_type == {query.media_type.value}"] if query.media_type else []
    items += [f"id == {','.join(query.ids)}"] if query.ids else []
    items += [f"tags ~~ {tag}" for tag in query.tags]
    items += [f"NOT( [tags ~~ {tag}] )" for tag in query.without_tags]
    ranges = (
        ("plays", "lessThan", query.plays_below),
        ("last_played_at", "lessThanOrEqual", query.unplayed_since),
        ("last_played_at", "greaterThan", query.played_since),
        ("created_at", "greaterThan", query.created_since),
        ("created_at", "lessThanOrEqual", query.created_until),
    )
    items += [f"{field} ({bound} {value})" for field, bound, value in ranges if value is not None]
    items += ["NOT( [last_played_at exists] )"] if query.never_played else []
    items += [f"category == {' or '.join(map(str, query.categories))}"] if query.categories else []
    items += [f"NOT( [category == {category}] )" for category in query.without_categories]
    items += [told for criterion in query.criteria if isinstance(criterion, _NEW) for told in criterion.told()]
    items += [f"shard == {query.shard[0]}/{query.shard[1]}"] if query.shard else []
    most = -1 if query.max_entries is None else query.max_entries
    asked = "".join(f" [{item}]" for item in items)
    return f"Filter(AND({asked} ), status:{','.join(query.statuses)}, [page:{query.first_page} len:0 max={most}])"
