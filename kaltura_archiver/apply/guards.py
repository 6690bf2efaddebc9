"""What must still be as it was planned on, looked at just before a step that needs it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import replace

from kaltura_archiver.apply.proof import Verdict
from kaltura_archiver.apply.reading import with_metadata
from kaltura_archiver.apply.tools import InHand, Tools
from kaltura_archiver.errors import Changed, EntryFailed, Refused, StoreError, Waiting
from kaltura_archiver.identity import identify, may_have, placeholder_in_place
from kaltura_archiver.model import (
    Announced,
    Availability,
    Entry,
    Facts,
    FlavorAsset,
    Identity,
    StoredObject,
    normalised_tags,
)
from kaltura_archiver.planning import CROWDED
from kaltura_archiver.reasons import in_use, unnoticed
from kaltura_archiver.steps import Step
from kaltura_archiver.transfer.chunks import Chunk
from kaltura_archiver.transfer.streams import Fingerprint

log = logging.getLogger(__name__)


def frozen_again(stored: StoredObject) -> Waiting:
    return Waiting(f"the stored copy is frozen again ({stored.frozen_in}): run restore once more")


def proof_of_whole(found: Fingerprint, verdict: Verdict, *, hint: str = "") -> str:
    """By what a stored copy that was read is known to be whole; EntryFailed or Refused if it is not known to be."""
    if verdict.identity is Identity.DIFFERENT:
        raise EntryFailed(f"MISMATCH: the stored copy is damaged: {verdict.how}{hint}")
    if verdict.identity is not Identity.SAME:
        raise Refused(f"read, but there is nothing to compare it with: {verdict.how}; sha256 {found.sha256}")
    return f"{verdict.how}, {found.size_bytes} bytes, sha256 {found.sha256}"


def while_current(tools: Tools, original: FlavorAsset, chunks: Iterable[Chunk]) -> Iterator[Chunk]:
    """The chunks, and at their end, before anything is stored, the check that they are still the original."""
    yield from chunks
    require_current(tools, original)


def require_current(
    tools: Tools, original: FlavorAsset, flavors: tuple[FlavorAsset, ...] | None = None, *, linked_again: bool = False
) -> None:
    """Raise Changed unless this is still the original, among `flavors` if those were read just now.

    A derived flavor has to be there still. `linked_again` says that it came by a replacement of ours: then the server
    may have linked its file once more.
    """
    if flavors is None:
        flavors = tools.kaltura.flavors([original.entry_id])[original.entry_id]
    now = Facts(Entry(original.entry_id), flavors).original
    if not original.is_original:
        now = next((flavor for flavor in flavors if flavor.id == original.id), None)
    if now is not None and linked_again and now.linked_again(original):
        original = now
    if now is None or now.content_id != original.content_id or not now.status.ready:
        raise Changed(
            f"the original of {original.entry_id} was replaced or removed meanwhile "
            f"({original.content_id}, now {now.content_id if now else 'none'}); run the command again"
        )


def require_stored(tools: Tools, work: InHand) -> StoredObject:
    """The stored copy, if it is still what was planned on; Changed otherwise."""
    stored = tools.store.head(work.id)
    if stored is None and work.key != work.id:
        stored = tools.store.later(work.id)  # the first one was erased
    if stored is None or not same_object(stored, work.stored):
        raise Changed(f"the stored copy of {work.id} changed meanwhile")
    return stored


def require_sound(tools: Tools, work: InHand) -> None:
    """As `require_stored`, for who hands on bytes that nobody will look at."""
    stored = require_stored(tools, work)
    if stored.availability is not Availability.READABLE:
        raise frozen_again(stored)
    if spoiled := stored.spoiled:
        raise Refused(spoiled)


def require_proven(stored: StoredObject) -> None:
    """Raise Refused unless S3 is known to have the original, and nothing speaks against it: all else is to go."""
    if stored.spoiled or not stored.proven:
        raise Refused(stored.spoiled or f"it is not proven that {stored.key} is the original; run restore")


def require_lasting(stored: StoredObject) -> None:
    """Raise Refused where S3 says that it is going to delete the copy by itself: nothing goes on the strength of it."""
    if stored.ending:
        raise Refused(stored.ending_told)


def check_copy(tools: Tools, work: InHand) -> None:
    stored = require_stored(tools, work)
    original = work.facts.original
    if placeholder_in_place(work.facts):
        return
    if original is None or not original.status.ready:
        if work.facts.derived or original is not None:  # which may be all that Kaltura has of it
            require_proven(stored)
            require_lasting(stored)
        return
    require_lasting(stored)
    if identify(original, stored)[0] is not Identity.SAME:
        raise Refused(f"the stored copy of {work.id} is not proven to be this original any more")
    if stored.crowded:
        raise Refused(CROWDED)


def same_object(now: StoredObject, then: StoredObject) -> bool:
    """Whether an object is the one that it was, by what S3 itself keeps about it."""
    return (now.key, now.size_bytes, now.etag, now.crc64nvme) == (
        then.key,
        then.size_bytes,
        then.etag,
        then.crc64nvme,
    )


def require_unchanged(tools: Tools, work: InHand, *, gone: Collection[str] = ()) -> Entry:
    """The entry, read now, if it and its original are still what was planned on; Changed otherwise.

    Where it has no original, what plays is looked at instead. `gone` are ids of flavors that we have deleted.
    """
    planned = work.facts.entry
    goes = work.swaps_placeholder_in or work.takes_original_away
    # What keeps it is asked before: nothing is to come between the look at the flavors and what is done to them.
    asked = with_what_keeps(tools, work.facts) if goes else work.facts
    entry, flavors, *_ = tools.kaltura.look(work.id)
    if entry is None or entry.recycled:
        raise Changed(f"entry {work.id} was {'recycled' if entry else 'deleted'} meanwhile")
    if entry.replacement_running:
        raise Changed(f"somebody began to replace the content of {work.id} meanwhile")
    now, before = normalised_tags(entry.tags), normalised_tags(planned.tags)
    own = work.own_tags
    if not own.issubset(now) or [t for t in now if t not in own] != [t for t in before if t not in own]:
        raise Changed(f"somebody changed the tags of {work.id} meanwhile; run the command again")
    if goes:
        # Without our own tags: those of others are what they were.
        seen = replace(entry, tags=planned.tags)
        of = Announced.REPLACE if work.swaps_placeholder_in else Announced.THIN
        require_may_go(tools, work, replace(asked, entry=seen, flavors=flavors), of)
    elif came := _other_sources(Facts(entry, flavors)) - _other_sources(work.facts):
        raise Changed(f"somebody added a source flavor to {work.id} meanwhile, or its content: {min(came)}")
    was, original = work.facts.original, Facts(entry, flavors).original
    if was is not None and was.status.ready:
        require_current(tools, was, flavors)
        return entry
    if _said_of(original) != _said_of(was):
        raise Changed(f"somebody uploaded an original to {work.id} meanwhile, or removed one; run the command again")
    # What Kaltura was making then may be there by now.
    made = {f.id for f in work.facts.flavors if f.status.in_progress}
    plays = {f.content_id for f in Facts(entry, flavors).derived if f.id not in made}
    if plays != {f.content_id for f in work.facts.derived if f.id not in gone}:
        raise Changed(f"somebody changed what plays of {work.id} meanwhile; run the command again")
    return entry


def _other_sources(facts: Facts) -> set[str]:
    return {flavor.content_id for flavor in facts.other_sources}


def _said_of(original: FlavorAsset | None) -> tuple[str, str] | None:
    return (original.content_id, original.status.name) if original else None


def with_what_keeps(tools: Tools, facts: Facts) -> Facts:
    """The facts, with what may keep the entry, or end that it is asked for, and is read by requests of its own, as it
    is now."""
    if tools.by_category:
        facts = replace(facts, placings=tools.kaltura.placings([facts.entry.id])[facts.entry.id])
    return with_metadata(tools.kaltura, facts) if tools.by_metadata else facts


def require_may_go(tools: Tools, work: InHand, now: Facts, of: Announced) -> None:
    """Raise Changed where something keeps the entry, as it is `now`, that did not when it was planned: a place among
    conversions may have been waited for for hours."""
    if kept := tools.options.keep.why(now, tools.options.now):
        raise Changed(f"entry {work.id} is kept since a moment ago: {kept}; nothing was replaced")
    if further := (*now.further_sources, *now.sources_to_come):
        raise Changed(f"entry {work.id} has a further source flavor, {further[0].id}, which S3 does not have")
    begun = work.facts.original is None or not work.facts.original.status.ready
    if begun and work.facts.entry.replaced:
        return  # it is gone on with
    if why := in_use(now, tools.options) or unnoticed(now, tools.options, of):
        raise Changed(f"entry {work.id} is not to be replaced since a moment ago: {why}")


def new_original_of(tools: Tools, work: InHand) -> FlavorAsset | None:
    """The entry's original if it is another one than was planned on."""
    now = Facts(work.facts.entry, tools.kaltura.flavors([work.id])[work.id]).original
    before = work.facts.original
    if now is None or before is None:
        return now
    # An asset that was not READY may be used again for the new content (kaltura-api 10.4).
    other = now.content_id != before.content_id or (now.status.ready and not before.status.ready)
    return now if other else None


def other_source(work: InHand, flavors: tuple[FlavorAsset, ...], sent: Collection[int]) -> str:
    """The content id of an original, or of a further source flavor, that was not there when the swap of the entry was
    planned, and that it would take away: set, or being set, by somebody (flavorAsset.setContent). Empty if none is.

    Not what has one of the sizes that were `sent`: of a switch half done the entry tells last (kaltura-api 5.3).
    """
    before = _sources(work.facts)
    for now in _sources(Facts(work.facts.entry, flavors)):
        same = ((now.content_id, now.status.ready) == (was.content_id, was.status.ready) for was in before)
        again = now.status.ready and any(map(now.linked_again, before))
        if not (now.odd or any(same) or again or may_have(now, sent)):
            return f"{now.content_id}, {now.status.name}"
    return ""


def _sources(facts: Facts) -> list[FlavorAsset]:
    return [f for f in (facts.original, *facts.further_sources, *facts.sources_to_come) if f is not None]


def still_proven(tools: Tools, work: InHand) -> Callable[[tuple[FlavorAsset, ...]], None] | None:
    """What is to be asked of the flavors at the moment of a tag that says what was proven of the original."""
    proven, brought = work.proven, Step.PUT_ORIGINAL in work.steps
    return (lambda flavors: require_current(tools, proven, flavors, linked_again=brought)) if proven else None


def require_way(tools: Tools) -> None:
    """Raise Refused where Kaltura has said that it cannot replace content, and deleting it first is not allowed."""
    if tools.no_replacement and not tools.options.allow_in_place:
        raise Refused(
            "this Kaltura account cannot replace content (FEATURE_ENTRY_REPLACEMENT is off); ask Kaltura to "
            "switch it on, or use --allow-in-place, which leaves the entry without video while it converts"
        )


def require_token(tools: Tools, work: InHand) -> None:
    """Raise Changed unless the content that is to be put in is still in its token: nothing is deleted before."""
    size = work.placeholder.size_bytes if work.placeholder else work.stored.size_bytes
    if work.token and not tools.kaltura.is_full(work.token, size):
        raise Changed(f"what was uploaded for {work.id} is gone from Kaltura; nothing was deleted")


def copy_went(tools: Tools, work: InHand, *, deciding: bool) -> bool:
    """Whether the stored copy is not there any more as it was, or something was found against it since it was planned.

    False, with a warning, if S3 does not tell: Kaltura goes on anyway. Where we are `deciding` that it goes on, marks
    are listed anew, and that raises StoreError.
    """
    try:
        stored = tools.store.head(work.key, with_tags=False, with_marks=True, recent_marks=not deciding)
    except StoreError as error:
        if deciding:
            raise
        log.warning("the stored copy of %s cannot be looked at while Kaltura converts: %s", work.id, error)
        return False
    if stored is None or not same_object(stored, work.stored):
        return True
    before, original = work.stored, work.facts.original
    if stored.marked_damaged_at and not before.damaged_at:
        return True
    return original is not None and original.content_id in stored.marked_differing - before.marked_differing
