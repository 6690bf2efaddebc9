"""Steps about the picture that a gallery shows."""

from __future__ import annotations

from kaltura_archiver import pictures
from kaltura_archiver.apply.looking_after import look_after
from kaltura_archiver.apply.tools import InHand, Tools, warn
from kaltura_archiver.errors import EntryFailed, KalturaError, Refused, StoreError
from kaltura_archiver.steps import Step


def note_picture(tools: Tools, work: InHand) -> None:
    """Before a swap: what will be gone by then, and a run that goes on after this one has to know."""
    work.picture = pictures.picture_due(work.facts)
    if work.picture is None:
        return
    try:
        tools.store.set_tags(work.key, picture=str(work.picture))
    except (StoreError, EntryFailed) as error:
        warn(tools, work, f"that its picture is to be looked after could not be noted: {error}")


def set_picture(tools: Tools, work: InHand) -> None:
    """Of least weight: what fails here fails nothing that is done for the video. It is told, and remains noted."""
    alone = {Step.PUT_ORIGINAL, Step.REMOVE_REPLACED}.isdisjoint(work.steps)
    known = work.picture or pictures.left(work.facts)
    try:
        found = look_after(tools.kaltura, work.id, known, new=Step.NEW_PICTURE in work.steps)
        if found.act is not pictures.Act.DOUBT:
            tools.store.set_tags(work.key, picture=None)
    except (KalturaError, StoreError, EntryFailed) as error:
        if alone:
            raise
        warn(tools, work, f"its picture was not looked after: {error}; run repair")
        return
    if found.act is not pictures.Act.DOUBT:
        work.notes.append(found.why)
        return
    text = (
        f"its picture may be the placeholder's ({found.why}): look at it; restore --new-picture --id {work.id} "
        "takes one of the video"
    )
    if alone:
        raise Refused(text)
    warn(tools, work, text)
