"""What the rows of each command hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from kaltura_archiver.criteria.what import source_name
from kaltura_archiver.identity import sizes_agree
from kaltura_archiver.model import UNREADABLE, Entry, Facts, FlavorAsset, Outcome, State, iso_date
from kaltura_archiver.output.tables import Cell
from kaltura_archiver.redact import redact
from kaltura_archiver.states import Judgement
from kaltura_archiver.steps import Command

if TYPE_CHECKING:
    from kaltura_archiver.results import Result


# Those of the old tool in its order, for joins by position; what it did not know is appended. What they held then, and
# hold now: docs/migrating.md.
OLD_LIST_COLUMNS = (
    "last_played_date", "plays", "entry_id", "status", "archived_to_s3", "flavors_deleted", "created_date", "created",
    "creator_id", "category_ids", "categories",
)  # fmt: skip
LIST_COLUMNS = (*OLD_LIST_COLUMNS, "owner_id")
FLAVOR_COLUMNS = ("entry_id", "flavor_id", "original", "size_KB", "created_date", "deleted_date", "status")
OLD_HEALTH_COLUMNS = (
    "entry_id", "status-ok", "original", "orig_status", "archived_to_s3", "flavors_deleted", "created_date", "s3-size",
    "orig_KB", "size_match", "message",
)  # fmt: skip
HEALTH_COLUMNS = (*OLD_HEALTH_COLUMNS, "original_id", "original_bytes", "stored_bytes")
# May be asked for by --columns, beside the default ones.
MORE_LIST_COLUMNS = (
    "name",
    "tags",
    "duration_seconds",
    "tagged",
    "original_bytes",
    "co_editors",
    "admin_tags",
    "source",
    "end_date",
    "parent",
    "streams",
    "group_bytes",
)
MORE_FLAVOR_COLUMNS = ("version", "size_bytes", "file_ext")
MORE_HEALTH_COLUMNS = (
    "state",
    "why",
    "next",
    "identity",
    "evidence",
    "storage_class",
    "availability",
    "verified_at",
    "name",
    "parent",
)
# What of these only the tags of a stored copy tell.
COLUMNS_OF_TAGS = frozenset({"identity", "evidence", "verified_at"})
# What a person sees of these on a terminal.
LIST_ON_SCREEN = ("entry_id", "name", "created_date", "last_played_date", "plays", "status", "tagged")
HEALTH_ON_SCREEN = ("state", "entry_id", "name", "original_bytes", "stored_bytes", "told")
DUE_ON_SCREEN = ("command", "outcome", "entry_id", "name", "created_date", "last_played_date", "detail")
RESULT_COLUMNS = ("entry_id", "state", "outcome", "bytes_moved", "bytes_freed", "detail")
POLICY_COLUMNS = ("rule", "stage", *RESULT_COLUMNS)
POLICY_ON_SCREEN = ("rule", "stage", "outcome", "entry_id", "name", "bytes_moved", "bytes_freed", "detail")
CHECK_COLUMNS = (
    "rule", "stage", "here", "due", "bytes_moved", "bytes_freed", "waits", "opens_date", "left", "detail",
)  # fmt: skip
STANDING_COLUMNS = ("rule", "stage", "says", "opens_date", "detail")
COUNT_COLUMNS = ("count", "filter")
DOWNLOAD_COLUMNS = ("entry_id", "source", "bytes", "sha256", "file")
STATS_COLUMNS = (
    "section", "key", "entries", "kaltura_bytes", "stored_bytes", "freed_bytes", "restores_month", "s3_month",
    "saved_month", "pays_from",
)  # fmt: skip
MORE_STATS_COLUMNS = (
    "restores_month_most", "kaltura_month", "restores_cost_month", "upload_cost", "paid_back_months",
)  # fmt: skip
APP_TOKEN_COLUMNS = ("app_token_id", "secret_arn")
TASK_COLUMNS = ("task", "definition", "cluster", "log_group", "log_stream")


def list_row(entry: Entry) -> dict[str, Cell]:
    return {
        "last_played_date": iso_date(entry.last_played_at) or None,
        "plays": entry.plays,
        "entry_id": entry.id,
        "parent": entry.parent_of_stream or None,
        "status": entry.status,
        "archived_to_s3": entry.archived,
        "flavors_deleted": entry.replaced,
        "created_date": iso_date(entry.created_at),
        "created": entry.created_at,
        "creator_id": entry.creator_id or None,
        "category_ids": ",".join(entry.category_ids) or None,
        "categories": entry.categories or None,
        "owner_id": entry.owner or None,
        "co_editors": ",".join(entry.co_editors) or None,
        "name": entry.name or None,
        "tags": ", ".join(entry.tags) or None,
        "duration_seconds": entry.duration_seconds,
        "admin_tags": ", ".join(entry.admin_tags) or None,
        "source": source_name(entry.source_type) or None,
        "end_date": iso_date(entry.end_at) or None,
        "tagged": "replaced" if entry.replaced else "thin" if entry.thin else "archived" if entry.archived else None,
    }


def flavor_row(flavor: FlavorAsset) -> dict[str, Cell]:
    return {
        "entry_id": flavor.entry_id,
        "flavor_id": flavor.id,
        "original": flavor.is_original,
        "size_KB": flavor.kilobytes,
        "created_date": iso_date(flavor.created_at) or None,
        "deleted_date": iso_date(flavor.deleted_at) or None,
        "status": flavor.odd or flavor.status.name,
        "version": flavor.version,
        "size_bytes": flavor.size_bytes,
        "file_ext": flavor.file_ext or None,
    }


def health_row(facts: Facts, judgement: Judgement) -> dict[str, Cell]:
    entry, original, stored = facts.entry, facts.original, facts.stored
    size_kb = original.kilobytes if original else None
    match = None
    if original and stored:
        if original.size_bytes:
            match = original.size_bytes == stored.size_bytes
        elif size_kb is not None:
            match = sizes_agree(size_kb, stored.size_bytes)
    return {
        "entry_id": entry.id,
        "parent": entry.parent_of_stream or None,
        "status-ok": judgement.healthy,
        "original": original is not None,
        "orig_status": original.status.name if original else None,
        "archived_to_s3": entry.archived,
        "flavors_deleted": entry.replaced,
        "created_date": iso_date(entry.created_at),
        "s3-size": stored.size_bytes if stored else None,
        "orig_KB": size_kb,
        "size_match": match,
        "message": health_message(facts, judgement),
        "told": f"{judgement.why}: {judgement.hint}" if judgement.hint else judgement.why,
        "state": judgement.state.value,
        "why": judgement.why,
        "next": judgement.hint or None,
        "identity": judgement.identity.value,
        "evidence": judgement.identity_why,
        "storage_class": stored.storage_class if stored else None,
        "availability": stored.availability.value if stored else None,
        "verified_at": (stored.verified_at or None) if stored else None,
        "name": entry.name or None,
        "original_id": original.id if original else None,
        "original_bytes": original.size_bytes if original else None,
        "stored_bytes": stored.size_bytes if stored else None,
    }


def health_message(facts: Facts, judgement: Judgement) -> str:
    """The state's name, then HEALTHY, or what is wrong and what to do; of a stored copy also when it was verified,
    if its tags were read; and whether Kaltura can tell the duration of what was archived, and perhaps restored."""
    text = "HEALTHY" if judgement.healthy else f"{judgement.why}; {judgement.hint}"
    verified = f", {_verified(facts)}" if facts.stored and facts.stored.complete else ""
    parent = f"; a further stream of {facts.entry.parent_entry_id}" if facts.entry.parent_entry_id else ""
    unreadable = f"; {UNREADABLE}" if facts.entry.unreadable and judgement.state is State.ARCHIVED else ""
    return f"{judgement.state}: {text}{verified}{parent}{unreadable}"


def _verified(facts: Facts) -> str:
    if facts.stored and facts.stored.damaged_at:
        return f"DAMAGED {facts.stored.damaged_at[:10]}"
    if facts.stored and facts.stored.overwritten:
        return "OVERWRITTEN"
    return f"verified {(facts.stored.verified_at if facts.stored else '')[:10] or 'never'}"


def result_row(result: Result) -> dict[str, Cell]:
    return {
        "entry_id": result.entry_id,
        "state": result.state or None,
        "outcome": result.outcome.value,
        "bytes_moved": result.bytes_moved,
        "bytes_freed": result.bytes_freed,
        "detail": redact(result.detail) or None,
        "name": (result.facts.entry.name or None) if result.facts else None,
        "parent": result.member_of or (result.facts.entry.parent_of_stream if result.facts else "") or None,
    }


def result_on_screen(command: Command) -> tuple[str, ...]:
    """What a person sees of a result: of its bytes those that the command is about."""
    frees = command in (Command.REPLACE, Command.THIN)
    told = ["bytes_moved"] * (not frees) + ["bytes_freed"] * (frees or command is Command.REPAIR)
    return ("outcome", "entry_id", "name", *told, "detail")


def went_well(row: Mapping[str, Cell]) -> bool:
    """Whether nobody has to do anything about an entry: the detail of such a row is no news."""
    return row["outcome"] in (Outcome.DONE, Outcome.WOULD, Outcome.ALREADY, Outcome.SKIPPED)
