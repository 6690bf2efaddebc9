"""Whether Kaltura is done with the last replacement of an entry: until then it undoes another one. Pure."""

from __future__ import annotations

from kaltura_archiver.model import Facts, FlavorAsset

# A post-convert job that is known to be outstanding may wait in its queue behind others.
LONGER_FOR_SOURCE_ONLY = 30
# What is said to be made, and has not changed for so long, is not being made: its job is over.
STUCK_SECONDS = 7 * 86_400


def settles_in(facts: Facts, now: float, settle_seconds: float) -> float:
    """For how many seconds from `now` (Kaltura's clock) the server may still set the original's file once more.

    A replacement that is begun before then may be thrown away, or be undone (kaltura-api 10.16). It is over when the
    version was seen to grow that once more, else after `settle_seconds`; where the source is the only flavor it does so
    always, and is waited for much longer.
    """
    original, stored = facts.original, facts.stored
    if original is None or not original.updated_at or not original.version.isdecimal():
        return 0.0
    if original.first_content:
        return 0.0  # the first content was no replacement
    ours = (stored.placeholder, stored.flavor if stored.restored_at else "") if stored else ()
    steps = [original.steps_after(content_id) for content_id in ours]
    if 1 in steps:
        return 0.0
    if 0 in steps and all(flavor.is_original for flavor in facts.flavors):
        settle_seconds *= LONGER_FOR_SOURCE_ONLY
    # What seems to come out of the future is of now: clocks differ.
    return max(0.0, settle_seconds - max(0.0, now - original.updated_at))


def late_flavors(facts: Facts, now: float) -> tuple[FlavorAsset, ...]:
    """Flavors that the last replacement still makes, at `now` (Kaltura's clock).

    Each is put in its place when it is ready, whatever is there by then, with the old duration; and the replacement
    that runs is over (kReplacementHelper::copyReadyReplacingEntryAssetToReplacedEntry in Kaltura's source). Not what
    the first upload makes, nor what is stuck.
    """
    original = facts.original
    if original is not None and original.first_content:
        return ()
    making = (flavor for flavor in facts.flavors if flavor.status.in_progress and flavor is not original)
    return tuple(f for f in making if now - (f.updated_at or now) < STUCK_SECONDS)
