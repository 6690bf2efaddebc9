"""What has to be read besides, before anything is concluded of an entry."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from kaltura_archiver.clones import needs_source
from kaltura_archiver.errors import EntryFailed, KalturaError
from kaltura_archiver.identity import to_be_read
from kaltura_archiver.kaltura import Kaltura
from kaltura_archiver.model import Facts
from kaltura_archiver.transfer.streams import fingerprint

if TYPE_CHECKING:
    from kaltura_archiver.store import Store


def with_original_read(kaltura: Kaltura, facts: Facts) -> Facts:
    """The facts, with the SHA-256 of an original that has a placeholder's size and is not recorded as one.

    A version says nothing of that: the server raises it by itself, and may put a placeholder over somebody's video
    (kaltura-api 10.16). Where the original cannot be read, `unread` says why, and it is not known what it is.
    """
    original = facts.original
    if original is None or not to_be_read(facts):
        return facts
    try:
        found = fingerprint(kaltura.content(original))
    except (KalturaError, EntryFailed) as error:
        return replace(facts, unread=str(error))
    return replace(facts, original_sha256=found.sha256)


def with_metadata(kaltura: Kaltura, facts: Facts) -> Facts:
    """The facts, with the entry's custom metadata."""
    entry_id = facts.entry.id
    return replace(facts, metadata=kaltura.metadata([entry_id])[entry_id])


def with_relatives(kaltura: Kaltura, facts: Facts) -> Facts:
    """The facts, with what was made of the entry, and which of that, or of what it was made of, has the same file.

    A clone has links to the files of its source (kaltura-api 10.18): they stay as long as one of them does.
    """
    original, relatives = facts.original, tuple(kaltura.made_of(facts.entry.id))
    near = [entry_id for entry_id in (facts.entry.source_id, *relatives) if _ID.fullmatch(entry_id)]
    sharing = ""
    if original is not None and near:
        for entry_id, flavors in kaltura.flavors(near).items():
            theirs = Facts(facts.entry, flavors).original
            if theirs is not None and theirs.known_bytes == original.known_bytes:
                sharing = entry_id
                break
    return replace(facts, relatives=relatives, sharing=sharing)


# A clone of a clone names that one; so many are followed.
MAX_ROOTS = 5
_ID = re.compile(r"[01]_[A-Za-z0-9]{1,30}")


def with_later_copy(store: Store, facts: Facts) -> Facts:
    """The facts, with a later copy of an entry that says that it is in S3, and whose first one is gone."""
    entry = facts.entry
    if facts.stored is None and (entry.archived or entry.replaced or entry.thin):
        return replace(facts, stored=store.later(entry.id))
    return facts


def with_source(kaltura: Kaltura, store: Store, facts: Facts) -> Facts:
    """The facts, with the stored copy of what the entry is a clone of, where it needs that."""
    if not needs_source(facts):
        return facts
    seen, source_id = {facts.entry.id}, facts.entry.source_id
    while _ID.fullmatch(source_id) and source_id not in seen and len(seen) <= MAX_ROOTS:
        if found := store.head(source_id):
            return replace(facts, source=found)
        seen.add(source_id)
        entry = kaltura.entry(source_id)
        source_id = entry.source_id if entry else ""
    return facts
