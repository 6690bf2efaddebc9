"""Objects on the wire; the order of the properties is the server's (kaltura-api 4.2, 4.3), and who may see them."""

from __future__ import annotations

from typing import Any

from kaltura_archiver.sandbox.kaltura.library import AccountRecords
from kaltura_archiver.sandbox.kaltura.pictures import SLIDE, ThumbAsset
from kaltura_archiver.sandbox.kaltura.records import READY, Asset, EntryRecord
from kaltura_archiver.sandbox.kaltura.search import Index
from kaltura_archiver.sandbox.kaltura.sessions import ADMIN, KalturaSession, Sessions
from kaltura_archiver.sandbox.kaltura.wire import ApiError


class Describing:
    """What a session may see and change, and how it is shown."""

    def __init__(self, library: AccountRecords, index: Index, sessions: Sessions, partner_id: int, secret: str) -> None:
        self._library = library
        self._index = index
        self._partner_id = partner_id
        self._url_key = secret.encode()
        self.base_url = ""
        self.user_ids: set[str] = set()
        self._sessions = sessions

    def _visible(self, session: KalturaSession, entry: EntryRecord) -> bool:
        if not self._library.settings.entitlement or session.sees_all:
            return True
        if session.user_id and entry.user_id == session.user_id:
            return True
        return not any(category.private for category in self._library.categories_of(entry))

    def _entry(self, session: KalturaSession, entry_id: Any) -> EntryRecord:
        entry = self._library.entry(entry_id)
        if not self._visible(session, entry):
            raise ApiError("ENTRY_ID_NOT_FOUND", entry_id)
        return entry

    def _own_entry(self, session: KalturaSession, entry_id: Any) -> EntryRecord:
        """An entry that this session may change: a user's own, or any for an admin."""
        entry = self._entry(session, entry_id)
        if session.type != ADMIN and (not session.user_id or entry.user_id != session.user_id):
            raise ApiError("INVALID_KS", "", "-4", "INVALID_TYPE")
        return entry

    def _asset(self, session: KalturaSession, asset_id: Any) -> Asset:
        asset = self._library.asset(asset_id)
        entry = self._library.entries.get(asset.entry_id)
        if entry is None or entry.deleted or not self._visible(session, entry):
            raise ApiError("FLAVOR_ASSET_ID_NOT_FOUND", asset_id)
        return asset

    def describe_entry(self, entry: EntryRecord) -> dict[str, Any]:
        root = f"{self.base_url}/p/{self._partner_id}/sp/{self._partner_id}00"
        return {
            "objectType": "KalturaMediaEntry",
            **self._of_any_entry(entry, root),
            **self._of_what_is_played(entry, root),
            **entry.more,
        }

    def _of_any_entry(self, entry: EntryRecord, root: str) -> dict[str, Any]:
        """The fields of KalturaBaseEntry."""
        # What has a privacy context is left out (real-kaltura K01+).
        categories = [c for c in self._library.categories_of(entry) if not c.privacy_contexts]
        return {
            "id": entry.id,
            "name": entry.name,
            "description": entry.description,
            "partnerId": self._partner_id,
            "userId": entry.user_id,
            "creatorId": entry.creator_id,
            "tags": entry.tags or None,
            "adminTags": entry.admin_tags or None,
            "categories": ",".join(category.full_name for category in categories),
            "categoriesIds": ",".join(str(category.id) for category in categories),
            "status": entry.status,
            "moderationStatus": entry.moderation_status,
            "moderationCount": 0,
            "type": entry.entry_type,
            "createdAt": entry.created_at,
            "updatedAt": entry.updated_at,
            "rank": 0,
            "totalRank": 0,
            "votes": 0,
            "groupId": None,
            "partnerData": entry.partner_data or None,
            "downloadUrl": f"{root}/raw/entry_id/{entry.id}/version/0",
            "searchText": f"_PAR_ONLY_ _{self._partner_id}_ _MEDIA_TYPE_{entry.media_type}|  "
            f"{entry.name} {entry.tags} ",
            "licenseType": -1,
            "version": 0,
            "thumbnailUrl": f"{root}/thumbnail/entry_id/{entry.id}/version/{entry.thumbnail_version}",
            "accessControlId": None,
            "startDate": entry.start_date,
            "endDate": entry.end_date,
            "referenceId": entry.reference_id or None,
            "replacingEntryId": entry.replacing_entry_id or None,
            "replacedEntryId": entry.replaced_entry_id or None,
            "replacementStatus": entry.replacement_status,
            "partnerSortValue": 0,
            "conversionProfileId": entry.conversion_profile_id,
            "redirectEntryId": entry.redirect_entry_id or None,
            "rootEntryId": entry.root_id or entry.id,
            "parentEntryId": entry.parent_id or None,
            "operationAttributes": [],
            "entitledUsersEdit": "",
            "entitledUsersPublish": "",
            "entitledUsersView": "",
            "capabilities": "",
            "templateEntryId": None,
            "displayInSearch": entry.display_in_search,
            "application": None,
            "applicationVersion": None,
            "blockAutoTranscript": False,
            "defaultLanguage": None,
            "responseLanguage": None,
        }

    def _of_what_is_played(self, entry: EntryRecord, root: str) -> dict[str, Any]:
        """Those of KalturaPlayableEntry and KalturaMediaEntry."""
        video = entry.media_type == 1
        return {
            "plays": entry.plays,
            "views": entry.views,
            "lastPlayedAt": entry.last_played_at,
            "width": 320 if video else None,
            "height": 180 if video else None,
            "duration": entry.duration_ms // 1000,
            "msDuration": entry.duration_ms,
            "durationType": None,
            "mediaType": entry.media_type,
            "conversionQuality": entry.conversion_profile_id,
            "sourceType": entry.source_type,
            "sourceVersion": None,
            "searchProviderType": None,
            "searchProviderId": None,
            "creditUserName": None,
            "creditUrl": None,
            "mediaDate": None,
            "dataUrl": f"{root}/playManifest/entryId/{entry.id}/format/url/protocol/http",
            "flavorParamsIds": ",".join(
                str(a.flavor_params_id) for a in self._library.live_assets(entry.id) if a.status == READY
            ),
            "isTrimDisabled": None,
            "streams": None,
        }

    def describe_asset(self, asset: Asset) -> dict[str, Any]:
        return {
            "objectType": "KalturaFlavorAsset",
            "id": asset.id,
            "entryId": asset.entry_id,
            "partnerId": self._partner_id,
            "version": asset.version,
            "size": asset.size_kb,
            "tags": asset.tags,
            "fileExt": asset.file_ext,
            "createdAt": asset.created_at,
            "updatedAt": asset.updated_at,
            "deletedAt": asset.deleted_at,
            "description": asset.description,
            "partnerData": asset.partner_data or None,
            "partnerDescription": asset.partner_description or None,
            "actualSourceAssetParamsIds": None,
            "sizeInBytes": asset.size_in_bytes,
            "flavorParamsId": asset.flavor_params_id,
            "width": asset.width,
            "height": asset.height,
            "bitrate": asset.bitrate,
            "frameRate": 25,
            "isOriginal": asset.is_original,
            "isWeb": True,
            "containerFormat": "isom",
            "videoCodecId": "avc1",
            "status": asset.status,
            "language": asset.language or None,
            "label": asset.label or None,
            "isDefault": bool(asset.is_default),
        }

    def describe_thumb(self, thumb: ThumbAsset) -> dict[str, Any]:
        return {
            "objectType": "KalturaTimedThumbAsset" if thumb.kind == SLIDE else "KalturaThumbAsset",
            "id": thumb.id,
            "entryId": thumb.entry_id,
            "partnerId": self._partner_id,
            "version": thumb.version,
            "size": len(thumb.picture.read()),
            "tags": ",".join(thumb.tags),
            "fileExt": "jpg",
            "createdAt": thumb.created_at,
            "updatedAt": thumb.updated_at,
            "deletedAt": None,
            "description": None,
            "partnerData": None,
            "partnerDescription": None,
            "actualSourceAssetParamsIds": None,
            "sizeInBytes": None,
            "thumbParamsId": thumb.params_id,
            "width": 320,
            "height": 180,
            "status": thumb.status,
        }
