"""What a swap displaces is kept in S3 where it may be all that there is of a video: nothing unproven is lost."""

from __future__ import annotations

from dataclasses import replace

from kaltura_archiver.apply.guards import require_current, while_current
from kaltura_archiver.apply.proof import compare
from kaltura_archiver.apply.prove import proof_of_copy
from kaltura_archiver.apply.tools import InHand, Tools
from kaltura_archiver.apply.versions import MAX_COPIES
from kaltura_archiver.errors import EntryFailed, Refused
from kaltura_archiver.identity import holds_placeholder, newer_flavors
from kaltura_archiver.model import DISPLACED_PREFIX, FlavorAsset, Identity, StoredObject
from kaltura_archiver.states import foreign, unreadable_source
from kaltura_archiver.transfer.streams import fingerprint


def keep_displaced(tools: Tools, work: InHand) -> None:
    """Keep a copy of what a restore displaces, unless it is known to be the placeholder.

    Old archives do not record their placeholder, and somebody may have uploaded over it.
    Of an entry without original that is the largest flavor of what plays, unless S3 is proven to have what that was
    made of; and with any, further sources.
    """
    facts, original = work.facts, work.facts.original
    if why := unreadable_source(facts):
        raise Refused(f"{why}, and then run restore")
    # Looked at by their ids: which of several is the original is not said.
    going = {flavor.id: replace(flavor, is_original=False) for flavor in facts.further_sources}
    if original is not None and original.status.ready:
        if not holds_placeholder(facts):
            going[original.id] = original
    elif original is not None and foreign(original, facts):
        raise Refused(
            f"Kaltura's video is {original.status.name} and cannot be read, so it would not be kept: have it converted "
            "again, or, if nobody needs it, delete its flavor in Kaltura, and then run restore"
        )
    else:
        playing = newer_flavors(facts) or (() if _has_it_all(work.stored) else facts.derived)
        going |= {flavor.id: flavor for flavor in sorted(playing, key=lambda flavor: flavor.known_bytes)[-1:]}
    for flavor in going.values():
        _keep(tools, work, flavor)


def _has_it_all(stored: StoredObject) -> bool:
    """Whether S3 is proven to have what was archived, and that was never found to be another video; and it is recorded
    when that was, so that what plays is known to be no newer one.
    """
    known = stored.proven and stored.age_recorded
    return known and not stored.spoiled and not stored.marked_differing and "differs" not in stored.tags


def _keep(tools: Tools, work: InHand, displaced: FlavorAsset) -> None:
    """Store it, and show by a reading of its own that this is it: a byte that changed on its way from Kaltura would be
    seen in no other way, and never again.
    """
    first = f"{DISPLACED_PREFIX}{work.id}/{displaced.content_id}"
    for key in (first, *(f"{first}.{number}" for number in range(1, MAX_COPIES))):
        if tools.store.head(key, with_tags=False) is None:
            _store(tools, work, displaced, key)
        kept = tools.store.head(key, with_tags=False)
        if kept is None:
            raise EntryFailed(f"S3 does not show {key} as it was written; nothing was replaced")
        if kept.ending:  # it may be all that there is of a video
            raise Refused(f"what is in its place cannot be kept as {key}: {kept.ending_told}")
        with tools.transfers:
            found = fingerprint(tools.kaltura.content(displaced), tools.store.fingerprinter(kept))
        require_current(tools, displaced)
        if compare(found, kept).identity is not Identity.DIFFERENT:
            proof_of_copy(tools, work, key, found)
            work.notes.append(f"what was in its place is kept as {key}")
            return
    raise EntryFailed(f"there are {MAX_COPIES} copies of {displaced.content_id} that are not it: look at them")


def _store(tools: Tools, work: InHand, displaced: FlavorAsset, key: str) -> None:
    with tools.transfers, tools.kaltura.content(displaced) as content:
        size, current = content.size_bytes, while_current(tools, displaced, content)
        metadata = {"entry-id": work.id, "file-ext": displaced.file_ext or "noex", "source-bytes": str(size)}
        sent = tools.store.write(key, current, size, metadata=metadata, storage_class="STANDARD")
    work.bytes_moved += size
    proof_of_copy(tools, work, key, sent)
