"""Thin: the original goes to S3 only, while a derived flavor plays on. What is not certain is read, never repeated."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

from kaltura_archiver.apply.deleting import delete_for_certain
from kaltura_archiver.apply.guards import (
    check_copy,
    require_current,
    require_lasting,
    require_may_go,
    require_proven,
    require_stored,
    require_unchanged,
    still_proven,
    with_what_keeps,
)
from kaltura_archiver.apply.settings import set_settings_again
from kaltura_archiver.apply.tools import InHand, Tools
from kaltura_archiver.errors import Changed, EntryFailed, KalturaError, Refused
from kaltura_archiver.model import THIN_TAG, Announced, Entry, EntryStatus, Facts, FlavorAsset, FlavorStatus, iso_time
from kaltura_archiver.movie import movie_seconds
from kaltura_archiver.steps import Step
from kaltura_archiver.thinning import dropped, kept_flavor, same_length
from kaltura_archiver.transfer.streams import Inflow, Piece

Flavors = tuple[FlavorAsset, ...]


def check_kept(tools: Tools, work: InHand) -> None:
    """The derived flavor that is to play on is of the entry's full length, by Kaltura's word and by its own head."""
    kept = _to_keep(tools, work)
    if work.facts.original is not None and Step.DELETE_ORIGINAL not in work.steps:
        with tools.kaltura.content(work.original):  # its beginning: an asset may be READY though its file is gone
            pass
    wanted = work.facts.entry.duration_seconds or 0
    if not wanted:
        raise Refused(f"Kaltura does not tell how long {work.id} plays; nothing was deleted")
    told = tools.kaltura.seconds_told(kept)
    if told is None:
        raise Refused(f"Kaltura does not tell how long flavor {kept.id} plays; nothing was deleted")
    with tools.kaltura.content(kept) as inflow:
        size = inflow.size_bytes
        try:
            own = movie_seconds(_pieces(inflow), size)
        except ValueError as error:
            raise Refused(f"flavor {kept.id} cannot play in the original's place: {error}") from error
    for seconds, by in ((told, "Kaltura"), (own, "its file")):
        if not same_length(seconds, wanted):
            raise Refused(
                f"flavor {kept.id} plays {seconds:g} seconds by {by}, the entry {wanted}: nothing was deleted"
            )
    work.kept = kept
    work.notes.append(
        f"{kept.id} plays in full length: {own:g} seconds, {kept.height or 'unknown'} lines, {size} bytes"
    )


def _pieces(inflow: Inflow) -> Iterator[Piece]:
    for chunk in inflow:
        yield from chunk
        chunk.release()


def _to_keep(tools: Tools, work: InHand) -> FlavorAsset:
    facts = work.facts
    kept, why = (facts.kept, "") if facts.kept else kept_flavor(facts, tools.options.wanted)
    if kept is None and facts.original is None and facts.derived:
        kept = max(facts.derived, key=lambda flavor: flavor.known_bytes)  # the best of what there is
    if kept is None:
        raise Refused(f"{why}; nothing was deleted")
    return kept


def add_thin(tools: Tools, work: InHand) -> None:
    """Before the original goes, so that an interruption after that is not taken for a loss."""
    work.own_tags.add(THIN_TAG)
    tools.kaltura.change_tags(work.id, add=THIN_TAG, check=still_proven(tools, work))
    work.notes.append(f"tagged {THIN_TAG}")


def delete_original(tools: Tools, work: InHand) -> None:
    original, kept = work.original, work.kept
    if kept is None:
        raise EntryFailed(f"which flavor of {work.id} is to play on is not known; nothing was deleted")
    work.takes_original_away = True

    def look() -> None:
        check_copy(tools, work)
        require_unchanged(tools, work)
        flavors = tools.kaltura.flavors([work.id])[work.id]
        require_current(tools, original, flavors)
        _require_kept(kept, flavors)
        work.past_point_of_no_return = True  # from here on it may be gone, whatever is answered

    try:
        delete_for_certain(tools.kaltura, original, look)
    except KalturaError as error:
        work.past_point_of_no_return = error.retryable
        raise
    record_kept(tools, work)
    work.bytes_freed += 0 if work.facts.sharing else original.known_bytes
    what = f"{work.facts.sharing} has the same file, so it freed nothing" if work.facts.sharing else "it is in S3 only"
    work.notes.append(f"original {original.content_id} deleted ({original.known_bytes} bytes): {what}")


def _require_kept(kept: FlavorAsset, flavors: Flavors) -> None:
    """Raise Changed unless the flavor that plays on is there as it was looked at, and nothing is being made anew."""
    now = next((flavor for flavor in flavors if flavor.id == kept.id), None)
    if now is None or now.content_id != kept.content_id or now.status is not FlavorStatus.READY:
        raise Changed(f"the flavor {kept.id} of {kept.entry_id}, which is to play on, changed meanwhile")
    if making := [flavor.id for flavor in flavors if flavor.status.in_progress]:
        raise Changed(f"Kaltura began to make {', '.join(making)} of {kept.entry_id} meanwhile")


def record_kept(tools: Tools, work: InHand) -> None:
    """Note with the stored copy what plays on, once the original was seen to be gone and that to play."""
    kept = work.kept
    if kept is None:
        raise EntryFailed(f"which flavor of {work.id} plays on is not known")
    entry, flavors, *_ = tools.kaltura.look(work.id)
    if entry is None:
        raise Changed(f"entry {work.id} was deleted meanwhile")
    if Facts(entry, flavors).original is not None:
        raise Changed(f"somebody uploaded an original to {work.id} meanwhile")
    _require_kept(kept, flavors)
    if entry.status != EntryStatus.READY:
        raise EntryFailed(f"entry {work.id} is not READY without its original (status {entry.status}): run restore")
    require_proven(require_stored(tools, work))
    tools.store.set_tags(work.key, thin=kept.content_id, replaced_at=iso_time(time.time()), restored_at=None)


def drop_derived(tools: Tools, work: InHand) -> None:
    """Delete the derived flavors that are not kept; what became of the original is read before each."""
    facts = work.facts
    kept = work.kept or facts.kept
    if kept is None:
        raise EntryFailed(f"which flavor of {work.id} is to play on is not known; nothing was deleted")
    original = None if Step.DELETE_ORIGINAL in work.steps else facts.original
    others, freed = dropped(facts, kept, tools.options.wanted), 0
    for flavor in others:

        def look(flavor: FlavorAsset = flavor) -> None:
            if original is None:
                stored = require_stored(tools, work)
                require_proven(stored)
                require_lasting(stored)
            asked = facts if original is None else with_what_keeps(tools, facts)
            # Last of all, so that nobody's upload comes between it and the call.
            entry, flavors, *_ = tools.kaltura.look(work.id)
            entry = _as_it_is_to_be(work, entry, flavors, original)
            if original is not None:
                require_current(tools, original, flavors)
                require_may_go(tools, work, replace(asked, entry=entry, flavors=flavors), Announced.FLAVORS)
            _require_kept(kept, flavors)
            same = next((f for f in flavors if f.id == flavor.id), flavor)
            if same.content_id != flavor.content_id:
                raise Changed(f"flavor {flavor.id} of {work.id} was made anew meanwhile; it was not deleted")

        delete_for_certain(tools.kaltura, flavor, look)
        freed += flavor.known_bytes
    work.bytes_freed += 0 if facts.sharing else freed
    work.notes.append(f"{len(others)} derived flavors deleted ({freed} bytes)")


def _as_it_is_to_be(work: InHand, entry: Entry | None, flavors: Flavors, original: FlavorAsset | None) -> Entry:
    """The entry; Changed if somebody has touched the entry, or uploaded an original where there is to be none."""
    if entry is None or entry.recycled:
        raise Changed(f"entry {work.id} was {'recycled' if entry else 'deleted'} meanwhile")
    if entry.replacement_running:
        raise Changed(f"somebody began to replace the content of {work.id} meanwhile")
    if original is None and Facts(entry, flavors).original is not None:
        raise Changed(f"somebody uploaded an original to {work.id} meanwhile")
    return entry


def remove_thin(tools: Tools, work: InHand) -> None:
    """The original, or the placeholder, is in place."""
    stored = work.stored
    came_back = stored.kept and work.facts.original and not work.facts.entry.replaced
    if came_back and Step.PUT_ORIGINAL not in work.steps:  # by a restore that was cut
        set_settings_again(tools, work, look=True)
        tools.store.set_tags(work.key, restored_at=iso_time(time.time()), replaced_at=None)
    if stored.kept:
        tools.store.set_tags(work.key, thin=None)
    tools.kaltura.change_tags(work.id, remove=THIN_TAG, check=still_proven(tools, work))
    work.notes.append(f"tag {THIN_TAG} removed")


def untag(tools: Tools, work: InHand) -> None:
    """Take the tag back that was set for an original that stayed. Raises ArchiverError."""
    now = Facts(work.facts.entry, tools.kaltura.flavors([work.id])[work.id]).original
    before = work.facts.original
    if now is not None and before is not None and now.content_id == before.content_id and now.status.ready:
        tools.kaltura.change_tags(work.id, remove=THIN_TAG)
