"""Versions: a video that was edited is stored beside the copy that there is, and becomes the entry's once it is proven.

Nothing is moved, overwritten or deleted for it. Cut anywhere, the same command goes on: what it has stored is found by
its key, and proven against the original like any other copy; up to the mark, the last write, the earlier copy is the
entry's.
"""

from __future__ import annotations

import time
from dataclasses import replace

from kaltura_archiver.apply.archive import copied_original
from kaltura_archiver.apply.guards import require_current, require_stored
from kaltura_archiver.apply.marks import tag_marked
from kaltura_archiver.apply.proof import compare
from kaltura_archiver.apply.prove import proof_of_copy, record_copy
from kaltura_archiver.apply.tools import InHand, Tools
from kaltura_archiver.errors import EntryFailed, Refused
from kaltura_archiver.identity import identify, may_have
from kaltura_archiver.model import (
    PLACEHOLDER_PREFIX,
    VERSION_MARK,
    Identity,
    StoredObject,
    iso_time,
    version_key,
)
from kaltura_archiver.transfer.streams import Fingerprint, fingerprint

# So many keys are tried for one version of an original: each but the last has a copy that is known to be bad.
MAX_COPIES = 10


def copy_beside(tools: Tools, work: InHand) -> None:
    """Store the original under a key of its own and prove it there; what a run that was cut has stored counts."""
    _require_no_placeholder(tools, work)
    key, found = _stored_beside(tools, work)
    proof, untagged = proof_of_copy(tools, work, key, found)
    settings, picture = work.stored.settings or None, work.stored.picture or None
    # An edit is a sign of life: it keeps the video from being replaced for as long as a restore does.
    restored_at = iso_time(time.time())
    record_copy(
        tools, work, work.original, found, proof,
        key=key, untagged=untagged, restored_at=restored_at, settings=settings, picture=picture,
    )  # fmt: skip
    work.copied = tools.store.head(key)
    work.notes.append(f"copied {found.size_bytes} bytes as {key}, sha256 {found.sha256}")


def _stored_beside(tools: Tools, work: InHand) -> tuple[str, Fingerprint]:
    """The key under which the original is stored now, and what it is."""
    for number in range(MAX_COPIES):
        key = version_key(work.id, work.original.content_id, number)
        kept = tools.store.head(key)
        if kept is None:
            with tools.transfers:
                found = copied_original(tools, work, key)
            work.bytes_moved += found.size_bytes
            return key, found
        known_bad = kept.spoiled or kept.differs_from(work.original)
        if not known_bad and (same := _read_as(tools, work, kept)):
            return kept.key, same
    raise EntryFailed(f"there are {MAX_COPIES} copies of {work.original.content_id} that are not it: look at them")


def _read_as(tools: Tools, work: InHand, kept: StoredObject) -> Fingerprint | None:
    """The original, read once; None if it is known not to be what this object holds."""
    with tools.transfers:
        found = fingerprint(tools.kaltura.content(work.original), tools.store.fingerprinter(kept))
    require_current(tools, work.original)
    return None if compare(found, kept).identity is Identity.DIFFERENT else found


def _require_no_placeholder(tools: Tools, work: InHand) -> None:
    """Raise Refused for what has the size of a placeholder that was in place once, and is not configured any more."""
    marks = (key for page in tools.store.pages(f"{PLACEHOLDER_PREFIX}{work.id}/") for key, *_ in page)
    sizes = {int(size) for mark in marks if (size := mark.rpartition("/")[2]).isdecimal()}
    # One of the configured size was read, and is none.
    if may_have(work.original, sizes - work.facts.placeholder_sizes):
        raise Refused(
            "the original has the size of a placeholder that was in its place once: look at what it shows; it is not "
            "archived as a newer video"
        )


def make_current(tools: Tools, work: InHand) -> None:
    """Let what was stored beside be the entry's copy: only where it is proven to be the original of this moment."""
    earlier, copied = work.stored, work.copied
    if copied is None or identify(work.original, copied)[0] is not Identity.SAME:
        raise EntryFailed(
            f"S3 does not show the copy of {work.id} as it was written; the earlier one stays the entry's"
        )
    require_stored(tools, work)
    require_current(tools, work.original)
    tools.store.mark_newer(earlier, copied)
    tag_marked(tools, work, newer_copy=copied.key.partition(VERSION_MARK)[2])
    work.facts = replace(work.facts, stored=replace(copied, earlier=(*earlier.earlier, earlier.key)))
    work.notes.append(f"that is the entry's copy now, {earlier.key} stays as it is")
