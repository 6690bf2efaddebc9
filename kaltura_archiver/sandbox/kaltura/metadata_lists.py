"""What the services of custom metadata list: rows of the database, whatever the search does [read]."""

from __future__ import annotations

from typing import Any

from kaltura_archiver.sandbox.kaltura.lists import LIST_LIMIT, list_page
from kaltura_archiver.sandbox.kaltura.sessions import KalturaSession
from kaltura_archiver.sandbox.kaltura.thumbs import Thumbs
from kaltura_archiver.sandbox.kaltura.wire import ApiError, as_int, split_csv


class MetadataLists(Thumbs):
    """`metadata.list`, `metadataProfile.list` and `listFields`."""

    def list_metadata(self, session: KalturaSession, p: dict[str, Any]) -> dict[str, Any]:
        """KalturaMetadataFilter: of entries only where these are named; ids of others are left out in silence."""
        wanted = p["filter"] if isinstance(p.get("filter"), dict) else {}
        named = split_csv(wanted.get("objectIdEqual")) or split_csv(wanted.get("objectIdIn"))
        if str(wanted.get("metadataObjectTypeEqual") or "1") != "1":
            return list_page("KalturaMetadataListResponse", [], p)
        if not named:
            raise ApiError("MUST_FILTER_ON_OBJECT_ID")
        entries = {e.id: e for e in map(self._library.find_entry, named) if e is not None and not e.deleted}
        rows = [
            {
                "objectType": "KalturaMetadata",
                "id": int(f"{number}{at:06d}"),
                "partnerId": self._partner_id,
                "metadataProfileId": number,
                "metadataProfileVersion": 1,
                "metadataObjectType": "1",
                "objectId": entry.id,
                "version": 1,
                "createdAt": entry.created_at,
                "updatedAt": entry.updated_at,
                "status": 1,
                "xml": xml,
            }
            for at, entry in enumerate(entries.values())
            if self._visible(session, entry)
            for number, xml in entry.metadata.items()
        ]
        rows += [row for row in self._library.related.get("metadata", []) if row["entryId"] in named]
        return list_page("KalturaMetadataListResponse", rows, p)

    def list_profiles(self, session: KalturaSession, p: dict[str, Any]) -> dict[str, Any]:
        wanted = p["filter"] if isinstance(p.get("filter"), dict) else {}
        of_entries = str(wanted.get("metadataObjectTypeEqual") or "1") == "1"
        rows = [
            {
                "objectType": "KalturaMetadataProfile",
                "id": profile.id,
                "partnerId": self._partner_id,
                "metadataObjectType": "1",
                "version": 1,
                "name": profile.name,
                "systemName": profile.name,
                "status": 1,
                "xsd": profile.xsd,
            }
            for profile in (self._library.profiles.values() if of_entries else ())
        ]
        return list_page("KalturaMetadataProfileListResponse", rows[:LIST_LIMIT], p)

    def list_fields(self, session: KalturaSession, p: dict[str, Any]) -> dict[str, Any]:
        """Those only that the index knows; of a profile that there is not, none."""
        profile = self._library.profiles.get(as_int(p["metadataProfileId"]))
        fields = [one for one in profile.fields if one.searchable] if profile else []
        rows = [
            {
                "objectType": "KalturaMetadataProfileField",
                "id": one.id,
                "xPath": one.xpath,
                "key": one.name,
                "label": one.name,
            }
            for one in fields
        ]
        return {"objectType": "KalturaMetadataProfileFieldListResponse", "totalCount": len(rows), "objects": rows}
