"""What is recorded with a stored copy: what replaced its original, and that it is damaged."""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime

from kaltura_archiver.apply.guards import require_current
from kaltura_archiver.apply.tools import InHand, Tools
from kaltura_archiver.errors import ArchiverError, StoreError
from kaltura_archiver.model import VERSION_STEP, FlavorAsset, StoredObject, iso_time
from kaltura_archiver.placeholders import Placeholder

log = logging.getLogger(__name__)


def placeholder_tag(content_id: str, sha256: str, size_bytes: int) -> str:
    """What the tag `placeholder` says; without a hash only the version, as older objects have it."""
    return f"{content_id} {sha256} {size_bytes}" if sha256 else content_id


def next_version(before: FlavorAsset | None, placeholder: Placeholder) -> str:
    """The tag for a placeholder that took the place of this original, whatever came over it; empty if not known."""
    if before is None or not before.version.isdecimal():
        return ""
    content_id = f"{before.id}@{int(before.version) + VERSION_STEP}"
    return placeholder_tag(content_id, placeholder.sha256, placeholder.size_bytes)


def record_placeholder(
    tools: Tools, work: InHand, new: FlavorAsset, sha256: str, size_bytes: int, *, picture: str | None = None
) -> None:
    """Tag the object with what replaced the original, and when."""
    what = placeholder_tag(new.content_id, sha256, size_bytes)
    replaced_at = iso_time(time.time())
    tools.store.set_tags(work.key, placeholder=what, replaced_at=replaced_at, restored_at=None, picture=picture)
    mark_placeholder(tools, work, new.content_id, size_bytes)


def mark_placeholder(tools: Tools, work: InHand, content_id: str, size_bytes: int) -> None:
    try:
        tools.store.mark_placeholder(work.id, content_id, size_bytes)
    except StoreError as error:
        log.warning("%s; health has to look at the tags of this copy", error)


def record_found(tools: Tools, work: InHand) -> None:
    """Record a placeholder that is in place, and was told by its bytes alone."""
    original, facts = work.original, work.facts
    require_current(tools, original)
    what = placeholder_tag(original.content_id, facts.original_sha256, original.size_bytes or 0)
    tools.store.set_tags(work.key, placeholder=what)
    mark_placeholder(tools, work, original.content_id, original.size_bytes or 0)
    work.notes.append(f"recorded the placeholder {original.content_id}")


def tag_marked(tools: Tools, work: InHand, **changes: str | None) -> None:
    """Let the tags say what a mark says already: for people, and older versions of this tool."""
    try:
        tools.store.set_tags(work.key, **changes)
    except ArchiverError as error:
        log.warning("the mark of %s stands, its tags do not tell: %s", work.id, error)


def mark_damaged(tools: Tools, work: InHand, stored: StoredObject) -> None:
    now = datetime.fromtimestamp(tools.options.now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    tools.store.mark(stored, "damaged")
    tag_marked(tools, work, damaged_at=now, verified_at=None)
