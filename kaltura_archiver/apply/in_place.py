"""Where an account cannot replace content: delete, then fill; and filling an entry that has none."""

from __future__ import annotations

import time
from collections.abc import Callable

from kaltura_archiver.apply.deleting import delete_at_once, delete_for_certain
from kaltura_archiver.apply.guards import new_original_of, require_token, require_unchanged, require_way
from kaltura_archiver.apply.looks import next_look
from kaltura_archiver.apply.tools import InHand, Tools
from kaltura_archiver.apply.upload import end_conversion
from kaltura_archiver.errors import ArchiverError, Changed, EntryFailed, KalturaError, Refused
from kaltura_archiver.model import EntryStatus, FlavorAsset, FlavorStatus
from kaltura_archiver.planning import NO_IMPORT

NO_CONTENT_SECONDS = 60.0


def replace_in_place(
    tools: Tools, work: InHand, resource: str, last_check: Callable[[], object], deadline: float
) -> FlavorAsset:
    """Delete the flavors, the original last, and add the new content: for accounts without replacement."""
    require_way(tools)
    _require_upload(work)
    require_token(tools, work)
    original = work.facts.original
    main = original.id if original else ""
    gone: list[str] = []
    try:
        for flavor in sorted(tools.kaltura.flavors([work.id])[work.id], key=lambda f: (f.is_original, f.id == main)):

            def look(flavor: FlavorAsset = flavor) -> None:
                last_check()
                require_unchanged(tools, work, gone=gone)
                # Without derived flavors the original still plays: up to its deletion there is a way back.
                work.past_point_of_no_return = flavor.id == main

            if flavor.id == main:
                delete_at_once(tools.kaltura, flavor, look)
            else:
                delete_for_certain(tools.kaltura, flavor, look)
            gone.append(flavor.id)
    except ArchiverError as error:
        if gone:
            error.args = (f"{error}; flavors deleted by then: {', '.join(gone)}",)
        raise
    until = min(deadline, time.monotonic() + NO_CONTENT_SECONDS)
    while (entry := tools.kaltura.entry(work.id)) and entry.status != EntryStatus.NO_CONTENT:
        if time.monotonic() >= until:
            raise EntryFailed(f"entry {work.id} did not become NO_CONTENT (status {entry.status}); run repair")
        # An entry without content is not left alone, even when asked to stop.
        time.sleep(min(tools.poll_seconds, max(until - time.monotonic(), 0.01)))
    return fill_entry(tools, work, resource, deadline)


def _require_upload(work: InHand) -> None:
    """Raise Refused where Kaltura would fetch the content: an entry whose import failed takes none any more."""
    if not work.token:
        raise Refused(NO_IMPORT)


def fill_entry(tools: Tools, work: InHand, resource: str, deadline: float) -> FlavorAsset:
    """Give content to an entry that has none, and wait until its original is READY."""
    _require_upload(work)
    work.token_used = work.past_point_of_no_return = True
    try:
        tools.kaltura.add_content(work.id, resource)
    except KalturaError as error:
        if error.code == "ENTRY_ALREADY_WITH_CONTENT":
            work.token_used = False  # Kaltura looks at the status first (kaltura-api 5.1)
            raise Changed(f"somebody gave content to {work.id} in this very moment, and ours did not begin") from error
        now = tools.kaltura.entry(work.id)
        if now is None or (now.status == EntryStatus.NO_CONTENT and new_original_of(tools, work) is None):
            work.token_used = False
            raise EntryFailed(f"{error}; the entry has no content now: run repair") from error
    while True:
        entry = next_look(tools, work, None, deadline).entry
        if entry is None:
            raise Changed(f"entry {work.id} was deleted meanwhile")
        work.tags_seen = entry.tag_set
        if entry.status in (EntryStatus.IMPORT, EntryStatus.PRECONVERT):
            continue
        new = new_original_of(tools, work)
        if entry.status == EntryStatus.READY and new is not None and new.status.ready:
            end_conversion(tools, work)
            return new
        failed = entry.status in (EntryStatus.ERROR_CONVERTING, EntryStatus.ERROR_IMPORTING)
        if failed or (new is not None and new.status is FlavorStatus.ERROR):
            raise EntryFailed(f"Kaltura could not convert the new content of {work.id}; run repair")
