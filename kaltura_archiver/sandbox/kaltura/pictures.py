"""The pictures of entries, as a gallery shows them: which one there is, and what changes it.

What is recorded of the real server [R]: a conversion makes one and no thumb asset (B01), under version 100002 (C06); a
swap brings that of the new content, under a version 10 higher (W02, W28), and the old one with the old content
(cycle.md); content that is added in place leaves the one that there is (D08, P25). The rest is read from kaltura/server
Venus-22.19.0 and was not tried: `media.updateThumbnail` takes a frame and makes no thumb asset, takes the tag of the
default one from those that there are, and has no conversion make another one (`myEntryUtils::createThumbnailFromEntry`,
`entry::setCreateThumb`); a swap heeds none of that, only a default thumb asset of people's stays
(`kReplacementHelper::handleThumbReplacement`); a conversion makes one only of a higher bitrate than the last
(`kFlowHelper::createThumbnail`); the file host tells since when it is the picture (`thumbnailAction::getLastModified`).

Thumb assets by parameters of a conversion profile are not among it, for the default profiles have none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field

from kaltura_archiver.sandbox.kaltura.records import READY, Asset, Content, EntryRecord

DEFAULT_TAG = "default_thumb"
FIRST_THUMBNAIL, THUMBNAIL_STEP = 100_002, 10
# Where a conversion takes its frame (`entry::getThumbOffset`).
USUAL_SECONDS = 3
VIDEO = 1
# Types of assets (`KalturaAssetType`).
THUMBNAIL, SLIDE = "2", "thumbCuePoint.timedThumb"


@dataclass(frozen=True)
class Frame:
    """A frame of a content, or (without `seconds`) an image as somebody has given it."""

    content: Content = field(repr=False)
    seconds: float | None = None

    def read(self) -> bytes:
        """Always the same for the same frame."""
        if self.seconds is None:
            return self.content.read()
        of = hashlib.sha256(self.content.data).hexdigest() if self.content.data is not None else self.content.size
        return b"\xff\xd8\xff\xe0" + f"the frame at {self.seconds:g} s of {of}".encode() + b"\xff\xd9"


@dataclass
class ThumbAsset:
    """A picture that belongs to an entry; the one with the tag of the default is shown. `params_id`: made by these.

    `kind` is THUMBNAIL, or that of a slide of the lecture, which is none of the entry's pictures.
    """

    id: str
    entry_id: str
    picture: Frame
    tags: tuple[str, ...] = ()
    params_id: int | None = None
    kind: str = THUMBNAIL
    status: int = READY
    version: int = 1
    created_at: int = 0
    updated_at: int = 0

    @property
    def default(self) -> bool:
        return DEFAULT_TAG in self.tags


def show(entry: EntryRecord, picture: Frame, now: int) -> None:
    """Make this the entry's picture."""
    entry.thumbnail_version = entry.thumbnail_version + THUMBNAIL_STEP if entry.thumbnail_version else FIRST_THUMBNAIL
    entry.picture, entry.picture_at = picture, now


def convert(entry: EntryRecord, asset: Asset, now: int) -> None:
    """The picture that a conversion makes of an original, if it makes one."""
    if entry.create_thumb and asset.bitrate > entry.thumb_bitrate:
        entry.thumb_bitrate = asset.bitrate
        show(entry, Frame(asset.contents[asset.version], USUAL_SECONDS), now)


def take(entry: EntryRecord, asset: Asset, seconds: float, thumbs: Iterable[ThumbAsset], now: int) -> None:
    """`media.updateThumbnail`: show a frame of this flavor asset, and have conversions make none any more."""
    drop_default(thumbs, now)
    entry.create_thumb = False
    show(entry, Frame(asset.contents[asset.version], seconds), now)


def choose(entry: EntryRecord, chosen: ThumbAsset, thumbs: Iterable[ThumbAsset], now: int) -> None:
    """`thumbAsset.setAsDefault`."""
    drop_default((thumb for thumb in thumbs if thumb is not chosen), now)
    if not chosen.default:
        chosen.tags, chosen.updated_at = (*chosen.tags, DEFAULT_TAG), now
    entry.create_thumb = False
    show(entry, chosen.picture, now)


def drop_default(thumbs: Iterable[ThumbAsset], now: int) -> None:
    """Only what had the tag is written, and so is updated."""
    for thumb in thumbs:
        if thumb.default:
            thumb.tags, thumb.updated_at = tuple(tag for tag in thumb.tags if tag != DEFAULT_TAG), now


def switch(main: EntryRecord, temporary: EntryRecord, thumbs: list[ThumbAsset], now: int) -> list[ThumbAsset]:
    """At the end of a swap: the thumb assets of the main entry that stay, and its picture."""
    kept = [t for t in thumbs if t.kind == SLIDE or (main.keep_manual_thumbnails and t.params_id is None)]
    if temporary.picture is not None and not any(thumb.default for thumb in kept):
        show(main, temporary.picture, now)
    return kept
