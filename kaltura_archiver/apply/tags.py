"""Steps that set and remove our tags of an entry."""

from __future__ import annotations

import logging
from collections.abc import Collection

from kaltura_archiver.apply.guards import still_proven
from kaltura_archiver.apply.restore import record_return
from kaltura_archiver.apply.settings import set_settings_again
from kaltura_archiver.apply.tools import InHand, Tools
from kaltura_archiver.model import ARCHIVED_TAG, REPLACED_TAG, UNREADABLE
from kaltura_archiver.steps import Command, Step

log = logging.getLogger(__name__)


def add_archived(tools: Tools, work: InHand) -> None:
    tools.kaltura.change_tags(work.id, add=ARCHIVED_TAG, check=still_proven(tools, work))
    work.own_tags.add(ARCHIVED_TAG)
    work.notes.append(f"tagged {ARCHIVED_TAG}")


def add_replaced(tools: Tools, work: InHand) -> None:
    if work.facts.entry.replaced:
        return
    # Set before the swap, so that an interruption after it is not taken for somebody's newer upload. Noted first:
    # the answer may be lost, and then the tag has to be taken back all the same.
    work.own_tags.add(REPLACED_TAG)
    tools.kaltura.change_tags(work.id, add=REPLACED_TAG)
    work.notes.append(f"tagged {REPLACED_TAG}")


def remove_replaced(tools: Tools, work: InHand) -> None:
    # What was kept is of the video that a placeholder had replaced: of a newer one that stays it says nothing.
    newer_stays = tools.command is Command.RESOLVE and tools.options.side == "kaltura"
    if not newer_stays and not {Step.PUT_ORIGINAL, Step.SET_FLAVORS}.intersection(work.steps):
        set_settings_again(tools, work, look=True)  # for a restore that was cut
    if Step.PUT_ORIGINAL not in work.steps:
        record_return(tools, work)
    entry = tools.kaltura.change_tags(work.id, remove=REPLACED_TAG, check=still_proven(tools, work))
    work.notes.append(f"tag {REPLACED_TAG} removed")
    if entry.unreadable:
        work.notes.append(UNREADABLE)
        log.warning("entry %s: %s", work.id, UNREADABLE)
    keep_tags(tools, work, entry.tag_set, ARCHIVED_TAG)


def remove_request(tools: Tools, work: InHand) -> None:
    """The last step of a restore: whatever fails before it, the entry is asked for still."""
    tag = tools.options.request_tag
    tools.kaltura.change_tags(work.id, remove=tag)
    there = "the original is in Kaltura; " if work.steps == (Step.REMOVE_REQUEST,) else ""
    work.notes.append(f"{there}tag {tag} removed")


def keep_tags(tools: Tools, work: InHand, seen: Collection[str], *tags: str) -> None:
    """Put those of our tags back that are not there any more: a form opened before we set them, saved after."""
    for tag in tags:
        if tag not in seen:
            tools.kaltura.change_tags(work.id, add=tag)
            work.notes.append(f"tag {tag} was gone, and is there again")
