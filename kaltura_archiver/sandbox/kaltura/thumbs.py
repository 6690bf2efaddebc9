"""The actions on pictures."""

from __future__ import annotations

from typing import Any

from kaltura_archiver.sandbox.kaltura.contents import Contents
from kaltura_archiver.sandbox.kaltura.lists import list_page
from kaltura_archiver.sandbox.kaltura.pictures import SLIDE, THUMBNAIL
from kaltura_archiver.sandbox.kaltura.records import same_id
from kaltura_archiver.sandbox.kaltura.sessions import KalturaSession
from kaltura_archiver.sandbox.kaltura.wire import ApiError, split_csv


class Thumbs(Contents):
    """media.updateThumbnail, thumbAsset."""

    def update_thumbnail(self, session: KalturaSession, p: dict[str, Any]) -> dict[str, Any]:
        entry = self._media_clip(session, p)
        self._library.take_thumb(entry, float(p["timeOffset"]))
        return self.describe_entry(entry)

    def list_thumbs(self, session: KalturaSession, p: dict[str, Any]) -> dict[str, Any]:
        wanted = p["filter"] if isinstance(p.get("filter"), dict) else {}
        entry_ids = [wanted["entryIdEqual"]] if wanted.get("entryIdEqual") else split_csv(wanted.get("entryIdIn"))
        if not entry_ids:
            names = "/".join(f"KalturaThumbAssetFilter::{name}" for name in ("entryIdEqual", "entryIdIn"))
            raise ApiError("PROPERTY_VALIDATION_CANNOT_BE_NULL", names)
        entries = (self._library.find_entry(entry_id) for entry_id in entry_ids)
        seen = [entry for entry in entries if entry and not entry.deleted and self._visible(session, entry)]
        kinds = split_csv(wanted.get("typeIn")) or [THUMBNAIL, SLIDE]
        found = [t for entry in seen for t in self._library.thumbs_of(entry.id) if t.kind in kinds]
        return list_page("KalturaThumbAssetListResponse", found, p, self.describe_thumb)

    def choose_thumb(self, session: KalturaSession, p: dict[str, Any]) -> None:
        thumb = next((t for t in self._library.thumbs.values() if same_id(t.id) == same_id(p["thumbAssetId"])), None)
        if thumb is None:
            raise ApiError("THUMB_ASSET_ID_NOT_FOUND", p["thumbAssetId"])
        self._own_entry(session, thumb.entry_id)
        self._library.choose_thumb(thumb)
