"""Thaw: ask Glacier for a frozen copy, and keep it thawed as long as a restore takes."""

from __future__ import annotations

import time
from contextlib import suppress

from kaltura_archiver.apply.tools import MAX_URL_SECONDS, InHand, Tools
from kaltura_archiver.errors import ArchiverError
from kaltura_archiver.model import TIERED_CLASS, Availability


def thaw_copy(tools: Tools, work: InHand) -> None:
    # A clone that has no copy is restored from that of its source.
    options, stored = tools.options, work.facts.stored or work.facts.source or work.stored
    thawing = stored.availability is Availability.THAWING
    # A restore that is running keeps its days.
    days = (stored.thaw_asked[1] if thawing else None) or options.days
    asked = tools.store.request_thaw(stored, tier=options.tier, days=days)
    with suppress(ArchiverError):  # else it is asked once more, which does no harm
        tools.store.set_tags(stored.key, thaw=f"{options.tier} {days}")
    if asked and thawing:
        work.notes.append(
            f"the restore from {stored.frozen_in} that is running was asked to go faster (tier {options.tier}): "
            f"run {tools.command} again when it is readable, within {stored.thaws_within(options.tier)}"
        )
    elif asked:
        for_days = "" if stored.storage_class == TIERED_CLASS else f", {options.days} days"
        work.notes.append(
            f"restore from {stored.frozen_in} requested (tier {options.tier}{for_days}): run {tools.command} again "
            f"when it is readable, within {stored.thaws_within(options.tier)}"
        )
    else:
        work.notes.append(
            f"the restore from {stored.frozen_in} is still running, as fast or faster: run {tools.command} again later"
        )


def keep_thawed(tools: Tools, work: InHand) -> None:
    """Ask for more time for a thawed copy that would be frozen again before its restore has surely ended."""
    ends_at = work.stored.thaw_ends_at
    if ends_at is None or ends_at > time.time() + tools.options.timeout_seconds + MAX_URL_SECONDS:
        return
    tools.store.request_thaw(work.stored, tier=tools.options.tier, days=tools.options.days)
    work.notes.append(f"the thawed copy, readable until {work.stored.thawed_until}, was asked for again")
