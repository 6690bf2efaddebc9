"""The records of the account."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kaltura_archiver.sandbox.kaltura import pictures
from kaltura_archiver.sandbox.kaltura.pictures import Frame, ThumbAsset
from kaltura_archiver.sandbox.kaltura.records import (
    DELETED,
    TOKEN_DELETED,
    Asset,
    Category,
    Content,
    EntryRecord,
    Token,
    new_id,
    same_id,
)
from kaltura_archiver.sandbox.kaltura.time import Timed
from kaltura_archiver.sandbox.kaltura.wire import ApiError

# The tags of flavor parameters, which a conversion gives to the flavor assets that it makes.
SOURCE_TAGS, DERIVED_TAGS = "source,web", "mobile,web,mbr,iphone,iphonenew,ipad,ipadnew,dash"
# Of "Save Original Source", which every installation has (`04.flavorParams.ini` [read]).
SAVED_UPLOAD_PARAMS, SAVED_UPLOAD_TAGS = 9, "save_source"
TAGS_OF_PARAMS = {0: SOURCE_TAGS, SAVED_UPLOAD_PARAMS: SAVED_UPLOAD_TAGS}


class Records(Timed):
    """Entries, flavor assets, pictures and upload tokens."""

    def find_entry(self, entry_id: Any) -> EntryRecord | None:
        """The entry of this id, as the database compares ids; deleted ones too."""
        entry_id = str(entry_id)
        return self.entries.get(entry_id) or self.entries.get(self._entry_ids.get(same_id(entry_id), ""))

    def find_asset(self, asset_id: Any) -> Asset | None:
        asset_id = str(asset_id)
        return self.assets.get(asset_id) or self.assets.get(self._asset_ids.get(same_id(asset_id), ""))

    def entry(self, entry_id: Any) -> EntryRecord:
        entry = self.find_entry(entry_id)
        if entry is None or entry.deleted:
            raise ApiError("ENTRY_ID_NOT_FOUND", entry_id)
        return entry

    def asset(self, asset_id: Any) -> Asset:
        asset = self.find_asset(asset_id)
        if asset is None or asset.status == DELETED:
            raise ApiError("FLAVOR_ASSET_ID_NOT_FOUND", asset_id)
        return asset

    def live_assets(self, entry_id: str) -> list[Asset]:
        return [asset for asset in self.assets_of.get(entry_id, ()) if asset.status != DELETED]

    def original(self, entry_id: str) -> Asset | None:
        return next((asset for asset in self.live_assets(entry_id) if asset.is_original), None)

    def token(self, token_id: Any) -> Token:
        token = self.tokens.get(same_id(token_id))
        if token is None or token.status == TOKEN_DELETED:
            raise ApiError("UPLOAD_TOKEN_NOT_FOUND")
        return token

    def put_entry(self, entry: EntryRecord) -> EntryRecord:
        self.entries[entry.id] = entry
        self._entry_ids[same_id(entry.id)] = entry.id
        entry.watch(self.mark)
        self.mark(entry.id)
        return entry

    def put_asset(self, asset: Asset) -> Asset:
        asset.created_at = asset.created_at or self.now()
        asset.updated_at = asset.updated_at or asset.created_at
        self.assets[asset.id] = asset
        self._asset_ids[same_id(asset.id)] = asset.id
        self.assets_of.setdefault(asset.entry_id, []).append(asset)
        return asset

    def categories_of(self, entry: EntryRecord) -> Iterable[Category]:
        return (self.categories[number] for number in entry.categories if number in self.categories)

    def thumbs_of(self, entry_id: str) -> list[ThumbAsset]:
        return [thumb for thumb in self.thumbs.values() if thumb.entry_id == entry_id]

    def add_thumb(self, entry_id: str, image: bytes, *, default: bool = False, **fields: Any) -> ThumbAsset:
        """An image that somebody has uploaded, and perhaps chosen."""
        now = int(fields.pop("created_at", self.now()))
        picture = Frame(Content.of(image))
        thumb = ThumbAsset(new_id(), entry_id, picture, created_at=now, updated_at=now, **fields)
        self.thumbs[thumb.id] = thumb
        if default:
            pictures.choose(self.entries[entry_id], thumb, self.thumbs_of(entry_id), now)
        return thumb

    def take_thumb(self, entry: EntryRecord, seconds: float) -> None:
        """`media.updateThumbnail`; ApiError where there is no original to take a frame of."""
        asset = self.original(entry.id)
        if entry.media_type != pictures.VIDEO or asset is None or not asset.contents:
            raise ApiError("INTERNAL_SERVERL_ERROR")
        pictures.take(entry, asset, seconds, self.thumbs_of(entry.id), self.now())

    def choose_thumb(self, thumb: ThumbAsset) -> None:
        pictures.choose(self.entry(thumb.entry_id), thumb, self.thumbs_of(thumb.entry_id), self.now())
