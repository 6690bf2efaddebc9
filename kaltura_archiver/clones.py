"""Clones: entries that say that they are in S3 because they were copied from one that is (`baseEntry.clone`).

The tags are copied with an entry, its stored copy is not: that has the id of the source, which the clone names as its
root entry (kaltura-api 10.18). Replacing or deleting the source touches neither the clone nor the stored copy. Clips
and recordings name a root entry, too: it tells whose copy to look for, not what is in it.

- A clone of an archived entry has its own original. Where that has the size of the source's copy it is archived under
  its own id, like any other. Where not it may be anything, also a placeholder of long ago: a person has to look.
- A clone of a replaced entry has the placeholder. It stands for what the source's copy held when it was cloned. That is
  certain where its original is a placeholder byte by byte, the copy was stored before the clone was made (none is ever
  overwritten), and the clone has had no other content since. Then that copy becomes the clone's own, too.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime

from kaltura_archiver.model import Facts, StoredObject, iso_time

# Between the making of a clone and that of its assets.
CLONING_SECONDS = 3600


def needs_source(facts: Facts) -> bool:
    """Whether the entry says that it is in S3, has no stored copy, and names another one that it may be a clone of."""
    says_so = facts.entry.archived or facts.entry.replaced
    return facts.stored is None and facts.source is None and says_so and bool(facts.entry.source_id)


def doubt(facts: Facts, *, placeholder: bool) -> str:
    """Why it is not certain that a clone of a replaced entry stands for the source's copy; empty if it is.

    `placeholder` says whether its original is one, by its bytes.
    """
    entry, original, source = facts.entry, facts.original, facts.source
    if source is None:
        return "there is no copy of its source"
    if source.damaged_at:
        return f"verify found that copy damaged at {source.damaged_at}"
    if original is None or not original.status.ready:
        return "it has no original, so it is not known what it showed"
    if not placeholder:
        return "its original is no placeholder that is known here"
    stored_at = _stored_at(source)
    if stored_at is None or not stored_at < entry.created_at:
        when = iso_time(stored_at) if stored_at else "at an unknown time"
        return (
            f"that copy was stored {when}, the clone was made {iso_time(entry.created_at)}: it may be of a newer video"
        )
    changed_at = original.updated_at
    if changed_at is None or changed_at > entry.created_at + CLONING_SECONDS:
        when = iso_time(changed_at) if changed_at else "at an unknown time"
        return f"its original was changed {when}, after the clone was made: it may have had another video of its own"
    return ""


def _stored_at(stored: StoredObject) -> float | None:
    """When the object was written, unix seconds, by its own metadata or by S3's word."""
    with suppress(ValueError):
        return datetime.fromisoformat(stored.metadata.get("archived-at", "")).timestamp()
    return stored.last_modified.timestamp() if stored.last_modified else None
