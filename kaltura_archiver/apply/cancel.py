"""Ending a replacement before it goes through: what was in place is to stay, and is seen to have stayed."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

from kaltura_archiver.apply.tools import InHand, Tools
from kaltura_archiver.errors import Changed, EntryFailed, KalturaError, OddAnswer, Stopped, Waiting
from kaltura_archiver.model import REPLACED_TAG, Entry, Facts, FlavorAsset

# For so long it is tried, even if the run was asked to stop: nobody else will.
CANCEL_SECONDS = 60.0


def cancel(
    tools: Tools,
    work: InHand,
    entry: Entry,
    why: str,
    *,
    pressing: bool = False,
    stays: tuple[FlavorAsset, ...] | None = None,
) -> str:
    """Cancel the replacement that is running in `entry`, as it was just seen, until it is seen to be over.

    To cancel may be repeated: it always succeeds, whatever was running. It ends the replacements of further streams,
    too (kaltura-api 5.3), which may be somebody's upload: so it is done only where that is `pressing`, since a video
    would be lost, and is returned in words. Raises Waiting; EntryFailed where new content came, or may have, with `why`
    it was not to. `stays` are the flavors that are to be in place then, unless those that were planned on.
    """
    ended = _ended_as_well(tools, work) if pressing else ""

    def look() -> None:
        """Before each attempt: there may be a minute between two."""
        if not pressing and (streams := _streams_replaced(tools, work)):
            came = ", and restore if the placeholder came" if work.swaps_placeholder_in else ""
            raise Waiting(
                f"{why}; its replacement is not cancelled, since that would cancel the one of its further stream "
                f"{streams[0]} as well: run the command again when that is over{came}"
            )
        _require_running(tools, entry)

    until = time.monotonic() + CANCEL_SECONDS
    while True:
        with suppress(KalturaError, Stopped):
            try:
                look()
                tools.kaltura.cancel_replace(work.id, look=look)
                _require_running(tools, entry)
            except Changed:
                break
        if time.monotonic() >= until:
            raise EntryFailed(f"{why}, but its replacement cannot be cancelled: look at {work.id} now{ended}")
        time.sleep(min(tools.poll_seconds, 1.0))
    _require_stayed(tools, work, stays or work.facts.flavors, why, ended)
    return ended


def _ended_as_well(tools: Tools, work: InHand) -> str:
    """Whose replacement a cancelling ends as well, in words; empty where that is nobody's, or not told."""
    with suppress(KalturaError, Stopped):
        if streams := _streams_replaced(tools, work):
            return f"; that also ends the replacement of its further stream {streams[0]}: tell who uploads to it"
    return ""


def _require_stayed(tools: Tools, work: InHand, flavors: tuple[FlavorAsset, ...], why: str, ended: str) -> None:
    """Raise EntryFailed unless the original is what it was among these flavors; without one, what plays is compared."""
    before = Facts(work.facts.entry, flavors)
    try:
        now = Facts(before.entry, tools.kaltura.flavors([work.id])[work.id])
    except (KalturaError, Stopped) as error:
        raise EntryFailed(f"{why}; what is in place is not known: look at {work.id} now{ended} ({error})") from error
    if not _stayed(before, now):
        raise EntryFailed(f"{why}, but new content came in the moment it was cancelled: look at {work.id} now{ended}")


def _stayed(before: Facts, now: Facts) -> bool:
    was, original = before.original, now.original
    if was is None or original is None:
        stayed = was is original
    else:
        same = (original.content_id, original.status.ready) == (was.content_id, was.status.ready)
        stayed = same or original.linked_again(was)
    return stayed and ((was is not None and was.status.ready) or not plays_another(before, now))


def plays_another(before: Facts, now: Facts) -> bool:
    """Whether nothing plays any more, beside the original, that did before: a replacement leaves no flavor as it was.

    Where nothing did, whether any flavor came. Those that Kaltura was making then may be there by now.
    """
    played = {flavor.content_id for flavor in before.derived}
    made = {flavor.id for flavor in before.flavors if flavor.status.in_progress}
    there = {flavor.content_id for flavor in now.flavors if flavor is not now.original and flavor.id not in made}
    came = there - {flavor.content_id for flavor in before.flavors}
    return not played & there and bool(played or came)


def seen_over(tools: Tools, entry: Entry) -> bool:
    """Whether the replacement in `entry`, as it was just seen, is seen to be over; False if Kaltura does not tell."""
    try:
        _require_running(tools, entry)
    except Changed:
        return True
    except (KalturaError, Stopped):
        pass
    return False


def runs_on(now: Entry, then: Entry) -> bool:
    """Whether the same replacement is running still: any other is not ours to end."""
    return now.replacement_running and now.replacing_entry_id == then.replacing_entry_id


def _require_running(tools: Tools, entry: Entry) -> None:
    now = tools.kaltura.entry(entry.id)
    if now is None or not runs_on(now, entry):
        raise Changed(f"the replacement of {entry.id} is over")


def approve(tools: Tools, work: InHand, look: Callable[[], object]) -> None:
    """Approve our replacement, unless that would approve another, too: of the further streams (kaltura-api 5.3).

    `look` is the last one before; where it raises Changed nothing is approved, and the next look tells why: somebody
    else has, or has ended it, or it is to end.
    """

    def look_at_all() -> None:
        if streams := _streams_replaced(tools, work):
            raise Waiting(
                f"the replacement of {work.id} waits to be approved, which would approve that of its further stream "
                f"{streams[0]} as well: approve both in Kaltura, or run the command again when that one is over"
            )
        look()

    with suppress(Changed):
        look_at_all()
        tools.kaltura.approve_replace(work.id, look=look_at_all)


def _streams_replaced(tools: Tools, work: InHand) -> list[str]:
    """Further streams whose content is being replaced: what is said of the parent's replacement goes for theirs."""
    streams = tools.kaltura.children([work.id])[work.id]
    found = dict(tools.kaltura.entries(streams))
    if odd := next((entry for entry in found.values() if isinstance(entry, OddAnswer)), None):
        raise odd  # it may be that one
    return [entry_id for entry_id, entry in found.items() if isinstance(entry, Entry) and entry.replacement_running]


def cancel_earlier(tools: Tools, work: InHand, why: str, *, pressing: bool = False) -> str:
    """Cancel what an earlier run has begun, and tell so. Raises EntryFailed unless what was in place is there still."""
    planned = work.facts.entry
    entry = tools.kaltura.entry(work.id)
    if entry is None or entry.replacing_entry_id != planned.replacing_entry_id:
        raise Changed(f"the replacement of {work.id} ended, or another began, meanwhile: run the command again")
    wrong = f"the placeholder must not take the place of {work.id} ({why})"
    ended = cancel(tools, work, entry, wrong, pressing=pressing)
    tools.kaltura.change_tags(work.id, remove=REPLACED_TAG)
    return (
        f"an earlier run had begun to put the placeholder in the place of {work.id}: that was cancelled, what was "
        f"there is in place; {why}{ended}"
    )
