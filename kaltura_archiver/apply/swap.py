"""The swap: new content takes the place of the original. What is not certain is read, never repeated."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial

from kaltura_archiver.apply.cancel import approve, cancel, cancel_earlier, plays_another, runs_on, seen_over
from kaltura_archiver.apply.displaced import keep_displaced
from kaltura_archiver.apply.guards import copy_went, new_original_of, other_source, require_unchanged
from kaltura_archiver.apply.in_place import fill_entry, replace_in_place
from kaltura_archiver.apply.looks import facts_of_entry, next_look, source_of_replacement
from kaltura_archiver.apply.marks import placeholder_tag, record_placeholder
from kaltura_archiver.apply.reencoded import note_coming, reencoded, tell_reencoded
from kaltura_archiver.apply.settings import set_settings_again
from kaltura_archiver.apply.tools import InHand, Tools
from kaltura_archiver.apply.upload import begin_conversion, end_conversion
from kaltura_archiver.errors import (
    ArchiverError,
    Cancelled,
    Changed,
    EntryFailed,
    KalturaError,
    Refused,
    Stopped,
    Waiting,
)
from kaltura_archiver.identity import holds_placeholder, identify, may_have
from kaltura_archiver.kaltura.errors import ALREADY_REPLACED, FEATURE_FORBIDDEN, NOT_ACTED
from kaltura_archiver.model import Entry, EntryStatus, Facts, FlavorAsset, Identity, ReplacementStatus
from kaltura_archiver.reasons import not_asked, promise_pending

log = logging.getLogger(__name__)
# For so long it is tried to learn whether a replacement has begun whose call failed.
UNKNOWN_SECONDS = 60.0


def swap(tools: Tools, work: InHand, resource: str, last_check: Callable[[], object]) -> FlavorAsset:
    """Put the content of `resource` in the place of the original; returns the new original, READY.

    The old content plays until the new is ready. Whatever is not certain is read, never repeated (kaltura-api 5.3).
    """
    deadline = time.monotonic() + tools.options.timeout_seconds
    last_check()
    # The last look of all, so that nobody's change comes between it and the call.
    entry = require_unchanged(tools, work)
    original = work.facts.original
    if entry.status == EntryStatus.NO_CONTENT and (original is None or not original.status.ready):
        return fill_entry(tools, work, resource, deadline)
    if tools.no_replacement:
        return replace_in_place(tools, work, resource, last_check, deadline)

    def look_again() -> None:
        """Kaltura has begun nothing: what was seen before it let us wait is not what is there now."""
        work.token_used = work.past_point_of_no_return = False
        last_check()
        require_unchanged(tools, work)
        work.token_used = work.past_point_of_no_return = True

    work.token_used = work.past_point_of_no_return = True
    seen: Entry | None
    try:
        seen = tools.kaltura.update_content(work.id, resource, look=look_again)
        work.temporary = seen.replacing_entry_id
    except Stopped:  # in a pause before the call, or after one that Kaltura had refused
        work.token_used = work.past_point_of_no_return = False
        raise
    except KalturaError as error:
        if not work.token_used:
            raise  # of a look
        if error.code == FEATURE_FORBIDDEN:
            tools.no_replacement = True
            work.token_used = work.past_point_of_no_return = False
            return replace_in_place(tools, work, resource, last_check, deadline)
        if error.code == ALREADY_REPLACED:
            work.past_point_of_no_return = False
            raise Changed(_somebody_too(tools, work)) from error
        seen, began = seen_after(tools, work, error)
        if not began:
            work.token_used = work.past_point_of_no_return = False
            raise
    return await_swap(tools, work, seen, deadline)


def _somebody_too(tools: Tools, work: InHand) -> str:
    """What became of another replacement in whose way ours was, in words: mostly Kaltura ends both, but not where it
    only found the entry locked (kaltura-api 5.3)."""
    begun = f"somebody began to replace the content of {work.id} in this very moment, and ours did not begin"
    with suppress(KalturaError):
        if (entry := tools.kaltura.entry(work.id)) and entry.replacement_running:
            return f"{begun}: wait for theirs"
    return f"{begun}; Kaltura may have cancelled theirs as well: if it does not come, they have to upload it again"


def seen_after(tools: Tools, work: InHand, failure: KalturaError) -> tuple[Entry | None, bool]:
    """The entry after a call to replace its content failed, and whether that has begun all the same.

    Asked for a while: what failed the call may fail the look, too. Our upload token tells best: it is used up by what
    has begun, and by nothing else. What Kaltura fetches by its URL is told by its size alone. Raises EntryFailed where
    it stays unknown.
    """
    if failure.code in NOT_ACTED or (failure.code and not failure.retryable):
        return None, False  # Kaltura's own word: it did nothing, or undid it (kaltura-api 5.3, 9)
    until = time.monotonic() + UNKNOWN_SECONDS
    while True:
        over = time.monotonic() >= until
        try:
            seen = tools.kaltura.entry(work.id)
            if seen is None or not seen.replacement_running:
                new = new_original_of(tools, work) if seen else None
                if new is not None and not (work.token or new.size_bytes):
                    raise _not_known(work, failure)
                return seen, new is not None and (bool(new.size_bytes) or not _token_unused(tools, work))
            source = source_of_replacement(tools, seen)
            told = source.size_bytes if source else None
            if told == work.sent_bytes or (work.token and not (told or _token_unused(tools, work))):
                return seen, True
            if over and not (told or work.token):
                raise _not_known(work, failure)
            if told or over:
                work.token_used = work.past_point_of_no_return = False
                raise Changed(
                    f"somebody began to replace the content of {work.id} in this very moment, and ours did not begin: "
                    "wait for theirs"
                )
        except KalturaError:
            if over:
                raise _not_known(work, failure) from failure
        if tools.stop.wait(min(tools.poll_seconds, 5)):
            raise _not_known(work, failure)


def _token_unused(tools: Tools, work: InHand) -> bool:
    """Whether our upload token, where there is one, still has what was sent to it."""
    return bool(work.token) and tools.kaltura.is_full(work.token, work.sent_bytes)


def _not_known(work: InHand, failure: KalturaError) -> EntryFailed:
    return EntryFailed(
        f"{failure}; whether the replacement of {work.id} has begun is not known: its tags stay as they are; run the "
        "command again, or repair"
    )


def await_swap(tools: Tools, work: InHand, entry: Entry | None, deadline: float) -> FlavorAsset:
    """Wait until a replacement has gone through. Failures of Kaltura's are cancelled: the old content stays.

    `entry` is how it was just seen. With each look at it go one at its flavors, and one at the stored copy: what is in
    place is to be what was planned on, for hours, or for days of an approval.
    """
    looked_again = False
    ours = entry.replacing_entry_id if entry else ""
    if ours:
        work.left = f" (its temporary entry {ours} stays in Kaltura, hidden)"
    while True:
        seen = next_look(tools, work, entry, deadline)
        entry = seen.entry
        note_coming(work, seen)
        if entry is None:
            raise Changed(f"entry {work.id} was deleted meanwhile")
        status, work.tags_seen = entry.replacement_status, entry.tag_set
        ours = ours or entry.replacing_entry_id
        _require_ours(work, entry, ours)
        if not entry.replacement_running:
            new = new_original_of(tools, work)
            if new is None and not looked_again:
                # Its end is no single moment: the entry may be ahead of its flavors (kaltura-api 5.3).
                looked_again = True
                with tools.room.waiting():
                    tools.stop.wait(tools.settle_seconds)
                continue
            if new is None:
                raise _nothing_came(tools, work)
            before = work.facts.original
            if before and new.linked_again(before) and not may_have(new, {work.sent_bytes}):
                work.past_point_of_no_return = False
                raise Waiting(
                    f"the replacement of {work.id} was thrown away by Kaltura, which ended an earlier one in that "
                    f"moment; the old content is in place: run the command again{work.left}"
                )
            if new.status.ready:
                end_conversion(tools, work)
                return new
            if not new.status.in_progress:
                raise EntryFailed(f"the new original of {work.id} is {new.status.name}; run repair")
        elif other := _set_by_somebody(tools, work, entry, seen.flavors):
            if not seen_over(tools, entry):  # else the next look tells what became of ours
                raise _cancelled_for(tools, work, entry, seen.flavors, other)
        elif work.swaps_placeholder_in and copy_went(tools, work, deciding=_decides(tools, status)):
            why = f"the stored copy of {work.id} went, was changed, or was found damaged"
            raise _cancelled(tools, work, entry, why, pressing=True)
        elif why := _unwanted(tools, work, entry):
            raise _cancelled(tools, work, entry, why)
        elif status == ReplacementStatus.FAILED or _failed(seen.temporary):
            why = f"Kaltura could not convert the new content of {work.id}"
            cancel(tools, work, entry, why)
            work.past_point_of_no_return = False
            raise Cancelled(f"{why}; the old content is in place")
        elif status == ReplacementStatus.READY_BUT_NOT_APPROVED:
            if not tools.options.approve:
                raise Waiting(f"the replacement of {work.id} waits to be approved in Kaltura, or for --approve")
            approve(tools, work, partial(_require_may_come, tools, work, entry))
        elif status == ReplacementStatus.NOT_READY_AND_NOT_APPROVED and not tools.options.approve:
            raise Waiting(f"the replacement of {work.id} will have to be approved in Kaltura, or by --approve")


def _decides(tools: Tools, status: str) -> bool:
    """Whether a replacement goes through because we say so."""
    return status == ReplacementStatus.READY_BUT_NOT_APPROVED and tools.options.approve


def _require_may_come(tools: Tools, work: InHand, seen: Entry) -> None:
    """Raise Changed where the next look will tell that the replacement, as it was `seen`, is over, or is to end."""
    if work.swaps_placeholder_in and copy_went(tools, work, deciding=True):
        raise Changed(f"the stored copy of {work.id} went, was changed, or was found damaged")
    now, flavors, *_ = tools.kaltura.look(work.id)
    if now is None or not runs_on(now, seen):
        raise Changed(f"the replacement of {work.id} is over")
    if other_source(work, flavors, {work.sent_bytes}) or _unwanted(tools, work, now):
        raise Changed(f"the replacement of {work.id} is not to go through any more")


def _unwanted(tools: Tools, work: InHand, entry: Entry) -> str:
    """Why the placeholder that Kaltura converts is not to come any more; empty if it is."""
    now = replace(work.facts, entry=entry)
    kept = tools.options.keep.why(now, tools.options.now) or promise_pending(now, tools.options.now)
    return f"{work.id} was kept ({kept})" if kept and work.swaps_placeholder_in else ""


def _cancelled(tools: Tools, work: InHand, entry: Entry, why: str, *, pressing: bool = False) -> EntryFailed:
    why += " while Kaltura converted the placeholder"
    ended = cancel(tools, work, entry, why, pressing=pressing)
    work.past_point_of_no_return = False
    return EntryFailed(f"{why}: the replacement was cancelled, the old content is in place{ended}")


def _set_by_somebody(tools: Tools, work: InHand, entry: Entry, flavors: tuple[FlavorAsset, ...]) -> str:
    """The content id of a source flavor, of these, that the replacement in `entry` would take away; empty if none is.

    What it has brought already, of a switch half done, is none: it has the size of what was sent or, where Kaltura
    fetched only a part or re-encoded it, of the source of the temporary entry.
    """
    other = other_source(work, flavors, {work.sent_bytes})
    if other:
        with suppress(KalturaError, Stopped):
            source = source_of_replacement(tools, entry)
            return other_source(work, flavors, {work.sent_bytes, source.size_bytes or 0}) if source else other
    return other


def _cancelled_for(
    tools: Tools, work: InHand, entry: Entry, flavors: tuple[FlavorAsset, ...], other: str
) -> EntryFailed:
    """Cancel what would displace a source flavor, `other` of these, that was not there when the swap was planned."""
    what = "the placeholder" if work.swaps_placeholder_in else "the original"
    why = f"somebody set another original of {work.id} ({other}) while Kaltura converted {what}"
    ended = cancel(tools, work, entry, why, pressing=True, stays=flavors)
    work.past_point_of_no_return = False
    return EntryFailed(f"{why}: the replacement was cancelled, theirs is in place{ended}")


def _require_ours(work: InHand, entry: Entry, ours: str) -> None:
    """Raise Changed where another replacement runs: that is neither ours to approve nor to cancel. What became of ours
    is not known, so tags stay.
    """
    if entry.replacing_entry_id not in ("", ours):
        raise Changed(f"somebody replaces the content of {work.id} now, and ours is over: wait for theirs{work.left}")


def _nothing_came(tools: Tools, work: InHand) -> ArchiverError:
    """Why a replacement is over and has brought no new original."""
    before, now = work.facts, Facts(work.facts.entry, tools.kaltura.flavors([work.id])[work.id])
    # Of what had no original that plays, the flavors tell whether something came.
    silent = before.original is None or not before.original.status.ready
    if (before.original is not None and now.original is None) or (silent and plays_another(before, now)):
        return EntryFailed(
            f"Kaltura keeps no original of what came to {work.id}: see its conversion profile, which has to keep the "
            "source; its tags stay as they are"
        )
    work.past_point_of_no_return = False
    return Changed(f"somebody cancelled the replacement of {work.id}; the old content is in place")


def _failed(temporary: Entry | None) -> bool:
    """Whether a failed import has left the main entry in a replacement that never ends (kaltura-api 10.6)."""
    return temporary is not None and temporary.status in (EntryStatus.ERROR_IMPORTING, EntryStatus.ERROR_CONVERTING)


def settled_original(tools: Tools, work: InHand, new: FlavorAsset) -> FlavorAsset:
    """The new original once Kaltura is done with it: its file is linked once more when a last job ends.

    That comes some seconds after the swap, with a higher version, or came before it (kaltura-api 10.16). Raises
    Changed if it is then another video; Waiting where a late job of an earlier replacement undid this one.
    """
    with tools.room.waiting():
        tools.stop.wait(tools.settle_seconds)  # who is to stop looks at once
    entry, flavors, *_ = tools.kaltura.look(work.id)
    if entry is None:
        raise Changed(f"entry {work.id} was deleted meanwhile")
    work.tags_seen = entry.tag_set
    now = Facts(entry, flavors).original
    if now is not None and (now.content_id == new.content_id or now.linked_again(new)):
        return now
    if not work.swaps_placeholder_in:
        require_not_undone(tools, work)
    raise Changed(
        f"the new original of {work.id} was replaced or removed by somebody else ({new.content_id}, now "
        f"{now.content_id if now else 'none'})"
    )


def require_not_undone(tools: Tools, work: InHand) -> None:
    """Raise Waiting where a late job of the replacement before has put the placeholder over the restored original."""
    facts = facts_of_entry(tools, work.id)
    if facts.original and holds_placeholder(facts):
        sha256 = facts.original_sha256 or work.stored.placeholder_sha256
        what = placeholder_tag(facts.original.content_id, sha256, facts.original.size_bytes or 0)
        tools.store.set_tags(work.key, placeholder=what)
        raise Waiting(
            f"Kaltura put the placeholder of {work.id} back over the original: a job of the replacement before "
            "came late; run restore again"
        )


def settle_replacement(tools: Tools, work: InHand) -> None:
    """Go on with a replacement that an earlier run of ours began; somebody else's is only waited for.

    One by the placeholder that must not come any more is cancelled, while what it would displace is still there.
    """
    entry, stored = work.facts.entry, work.facts.stored
    source = source_of_replacement(tools, entry)
    known = work.facts.placeholder_sizes | ({stored.size_bytes} if stored else set())
    # A failed import has brought nothing, and ends only by being cancelled: see _await_swap.
    temporary = entry.replacing_entry_id
    import_failed = source is None and bool(temporary) and _failed(tools.kaltura.entry(temporary))
    if not import_failed and (source is None or source.size_bytes not in known):
        raise Waiting(
            f"a replacement of {work.id} is in progress that is not known to be ours "
            f"(replacementStatus {entry.replacement_status}): wait for it, or cancel it in Kaltura"
        )
    work.swaps_placeholder_in = source is not None and source.size_bytes in work.facts.placeholder_sizes
    if work.swaps_placeholder_in and not holds_placeholder(work.facts):
        if kept := tools.options.keep.why(work.facts, tools.options.now):
            raise Refused(cancel_earlier(tools, work, f"it is kept: {kept}"))
        if promised := promise_pending(work.facts, tools.options.now) or not_asked(work.facts, tools.options):
            raise Refused(cancel_earlier(tools, work, promised))
        if why := _must_not_come(work.facts):
            raise EntryFailed(cancel_earlier(tools, work, why, pressing=True))
    work.sent_bytes = source.size_bytes or 0 if source else 0
    work.temporary = temporary if source else ""
    begin_conversion(tools, work)
    if source is not None and not work.swaps_placeholder_in:
        _keep_what_goes(tools, work)
    try:
        new = await_swap(tools, work, entry, time.monotonic() + tools.options.timeout_seconds)
    except Cancelled as error:
        log.warning("%s", error)
        return
    facts = facts_of_entry(tools, work.id)
    if work.swaps_placeholder_in and not may_have(new, {work.sent_bytes}) and (came := reencoded(tools, work, new)):
        record_placeholder(tools, work, new, *came)
        tell_reencoded(tools, work, new)
    elif holds_placeholder(facts) and facts.original and new.size_bytes:
        sha256 = facts.original_sha256 or work.stored.placeholder_sha256
        record_placeholder(tools, work, new, sha256, new.size_bytes)
    set_settings_again(tools, work)


def _keep_what_goes(tools: Tools, work: InHand) -> None:
    """As before a restore is begun: it may be another by now than what was kept then. Kaltura goes on by itself, so the
    replacement is cancelled where that cannot be kept.
    """
    try:
        keep_displaced(tools, work)
    except Stopped:
        raise
    except ArchiverError as error:
        why = f"what is in place of {work.id} cannot be kept ({error})"
        ended = cancel(tools, work, work.facts.entry, why, pressing=True)
        raise EntryFailed(f"{why}: the replacement by the original was cancelled, it is in place{ended}") from error


def _must_not_come(facts: Facts) -> str:
    """Why the placeholder must not take the place of what is there now, in words; empty if it may."""
    original, stored = facts.original, facts.stored
    if stored is None:
        return "S3 has no copy of it"
    if stored.ending:
        return stored.ending
    if original is None or not original.status.ready:
        return stored.spoiled
    identity, why = identify(original, stored)
    return "" if identity is Identity.SAME else f"S3 is not known to have what is in place: {why}"
