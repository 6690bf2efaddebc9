"""What people have set on flavor assets: kept before a swap, set again after it."""

from __future__ import annotations

from contextlib import suppress

from kaltura_archiver.apply.flavors import keep, read_settings_of, set_again
from kaltura_archiver.apply.tools import InHand, Tools, warn
from kaltura_archiver.errors import EntryFailed, KalturaError, StoreError, Waiting
from kaltura_archiver.flavors import settings_of
from kaltura_archiver.model import SETTINGS_DUE, SETTINGS_SET
from kaltura_archiver.steps import Step


def keep_settings(tools: Tools, work: InHand) -> None:
    """Before a swap: what is lost by it lies in the bucket, and the stored copy says that it has to be set again.

    Without that nothing is replaced. A video is brought back all the same; what a restore that is cut has left to
    be set is seen when its tag is removed, so that it need not say so before: another run may tag the copy then.
    """
    swaps_in = Step.PUT_PLACEHOLDER in work.steps
    takes_away = not {Step.DELETE_ORIGINAL, Step.DROP_DERIVED}.isdisjoint(work.steps)
    try:
        work.settings = keep(tools.store, work.id, settings_of(work.facts))
        if (swaps_in or takes_away) and work.settings:
            # What stays has them; those of what goes are set again when it is back.
            tag_settings(tools, work, SETTINGS_DUE if swaps_in else SETTINGS_SET)
    except (StoreError, EntryFailed) as error:
        if swaps_in or takes_away:
            raise EntryFailed(f"nothing was replaced: {error}") from error
        warn(tools, work, f"language, label and tags of its flavors could not be kept: {error}")


def tag_settings(tools: Tools, work: InHand, state: str) -> None:
    if state != (work.settings_tag or work.stored.settings):
        tools.store.set_tags(work.key, settings=state)
    work.settings_tag = state


def set_settings_again(tools: Tools, work: InHand, *, look: bool = False) -> None:
    """Once a swap is over: set what it has taken away. What fails here fails nothing else: it is told, and due.

    `look` says that another run may have kept some.
    """
    # A copy that has lost its tags may have settings all the same.
    look = look or not work.stored.sha256
    if work.settings is None and not work.stored.settings and not look:
        return
    try:
        wanted = work.settings
        if wanted is None:
            wanted, _ = read_settings_of(tools.store, work.id)
        if not wanted:
            return
        done = set_again(tools.kaltura, work.id, wanted)
        tag_settings(tools, work, SETTINGS_DUE if done.converting or done.failed else SETTINGS_SET)
    except (KalturaError, StoreError, EntryFailed) as error:
        warn(tools, work, f"language, label and tags of its flavors were not set again: {error}; run repair")
        with suppress(StoreError):
            tag_settings(tools, work, SETTINGS_DUE)
        return
    if done.number:
        work.notes.append(f"language, label and tags of {done.number} flavors set again")
    if done.converting:
        work.notes.append(
            f"flavors whose language, label and tags repair will set when they are ready: {', '.join(done.converting)}"
        )
    for why in done.failed:
        warn(tools, work, f"{why}; run repair")


def set_flavors(tools: Tools, work: InHand) -> None:
    """Set what an earlier run has left."""
    wanted, _ = read_settings_of(tools.store, work.id)
    done = set_again(tools.kaltura, work.id, wanted)
    if done.failed:
        raise EntryFailed("; ".join(done.failed))
    if done.converting:
        raise Waiting(f"language, label and tags of its flavors wait: {', '.join(done.converting)}")
    tag_settings(tools, work, SETTINGS_SET)
    work.notes.append(f"language, label and tags of {done.number} flavors set again")
