"""Looks after the picture of an entry whose original is back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kaltura_archiver.errors import KalturaError
from kaltura_archiver.pictures import USUAL_SECONDS, Act, Decision, Due, judge

if TYPE_CHECKING:
    from kaltura_archiver.kaltura import Kaltura


def look_after(kaltura: Kaltura, entry_id: str, known: Due | None, *, new: bool) -> Decision:
    """Give the video a picture of its own where it has the old tool's, or in any case (`new`). Raises KalturaError."""
    picture = kaltura.picture(entry_id)
    known = known or Due(0, picture.version)
    verdict = Decision(Act.TAKE, "") if new else judge(picture, known, kaltura.picture_since)
    if verdict.act is Act.CHOOSE:
        kaltura.choose_picture(verdict.thumb_id)
    if verdict.act is Act.TAKE:
        taken = kaltura.take_picture(entry_id, USUAL_SECONDS)
        if taken == picture.version:
            raise KalturaError(f"Kaltura accepted a new picture of {entry_id} but did not take one")
        return Decision(Act.TAKE, "a new picture was taken of the video" + (f": {verdict.why}" if verdict.why else ""))
    return verdict
