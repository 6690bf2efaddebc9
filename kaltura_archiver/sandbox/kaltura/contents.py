"""The actions on content and flavor assets."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

from kaltura_archiver.sandbox.kaltura.actions import (
    ASSET_FIELDS,
    DERIVED_FLAVOR_PARAMS,
    FLAVOR_PARAMS,
    languages,
    plain_text,
)
from kaltura_archiver.sandbox.kaltura.entries import Entries
from kaltura_archiver.sandbox.kaltura.library import check_media_clip
from kaltura_archiver.sandbox.kaltura.lists import asset_filter, list_page
from kaltura_archiver.sandbox.kaltura.records import QUEUED, READY, TEMP, Asset, Content, EntryRecord, new_id
from kaltura_archiver.sandbox.kaltura.records_kept import DERIVED_TAGS, TAGS_OF_PARAMS
from kaltura_archiver.sandbox.kaltura.sessions import KalturaSession
from kaltura_archiver.sandbox.kaltura.wire import ApiError, as_bool, as_int, split_csv


class Contents(Entries):
    """media's content, flavorAsset, flavorParams."""

    def _media_clip(self, session: KalturaSession, p: dict[str, Any]) -> EntryRecord:
        entry = self._own_entry(session, p["entryId"])
        check_media_clip(entry)
        return entry

    def add_content(self, session: KalturaSession, p: dict[str, Any]) -> dict[str, Any]:
        entry = self._media_clip(session, p)
        if isinstance(p.get("resource"), dict) and p["resource"].get("objectType"):
            self._library.add_content(entry, p["resource"])  # nothing happens without one (C02)
        return self.describe_entry(entry)

    def update_content(self, session: KalturaSession, p: dict[str, Any]) -> dict[str, Any]:
        entry = self._media_clip(session, p)
        options = p.get("advancedOptions")
        if isinstance(options, dict):
            # Stored before anything is checked, and kept (5.3).
            entry.keep_manual_thumbnails = as_bool(options.get("keepManualThumbnails"))
        self._library.update_content(entry, p["resource"])
        return self.describe_entry(entry)

    def approve_replace(self, session: KalturaSession, p: dict[str, Any]) -> dict[str, Any]:
        entry = self._own_entry(session, p["entryId"])
        self._library.approve_replacement(entry)
        for child in self._library.children(entry):
            if child.replacement_status in ("2", "3"):
                self._library.approve_replacement(child)
        return self.describe_entry(entry)

    def cancel_replace(self, session: KalturaSession, p: dict[str, Any]) -> dict[str, Any]:
        entry = self._own_entry(session, p["entryId"])
        for replaced in (entry, *self._library.children(entry)):
            self._library.cancel_replacement(replaced)
        return self.describe_entry(entry)

    def get_asset(self, session: KalturaSession, p: dict[str, Any]) -> dict[str, Any]:
        return self.describe_asset(self._asset(session, p["id"]))

    def assets_of_entry(self, session: KalturaSession, p: dict[str, Any]) -> list[dict[str, Any]]:
        entry = self._entry(session, p["entryId"])
        return [self.describe_asset(a) for a in self._library.live_assets(entry.id) if a.status != TEMP]

    def assets_with_params(self, session: KalturaSession, p: dict[str, Any]) -> list[dict[str, Any]]:
        entry = self._entry(session, p["entryId"])
        assets = {a.flavor_params_id: a for a in self._library.live_assets(entry.id) if a.status != TEMP}
        # Flavor parameters of the account that have no asset are listed too.
        numbers = [*assets, *(n for n in DERIVED_FLAVOR_PARAMS if n not in assets)]
        return [
            {
                "objectType": "KalturaFlavorAssetWithParams",
                "flavorAsset": self.describe_asset(assets[number]) if number in assets else None,
                "flavorParams": {
                    "objectType": "KalturaFlavorParams",
                    "id": number,
                    "partnerId": 0,
                    "name": f"Flavor {number}" if number else "Source",
                },
                "entryId": entry.id,
            }
            for number in numbers
        ]

    def list_assets(self, session: KalturaSession, p: dict[str, Any]) -> dict[str, Any]:
        entry_ids, wanted = asset_filter(p)
        found: list[Asset] = []
        for entry_id in entry_ids:
            entry = self._library.find_entry(entry_id)
            if entry is not None and not entry.deleted and self._visible(session, entry):
                found += [a for a in self._library.live_assets(entry.id) if wanted(a) and a not in found]
        return list_page("KalturaFlavorAssetListResponse", found, p, self.describe_asset)

    def asset_url(self, session: KalturaSession, p: dict[str, Any]) -> str:
        asset = self._asset(session, p["id"])
        if not session.ks:
            raise ApiError("ENTRY_ID_NOT_FOUND", asset.entry_id)
        if not asset.locally_ready:
            raise ApiError("FLAVOR_ASSET_IS_NOT_READY")
        if p.get("storageId"):
            return ""
        options = p.get("options")
        name = str(options.get("fileName") or "") if isinstance(options, dict) else ""
        if not name:
            made_of = "Source" if asset.is_original else f"Flavor {asset.flavor_params_id}"
            name = plain_text(f"{self._library.entries[asset.entry_id].name}_({made_of}).{asset.file_ext}")
        # A name that is asked for goes in as it is, blanks and all (F21).
        path = (
            f"/p/{self._partner_id}/sp/{self._partner_id}00/serveFlavor/entryId/{asset.entry_id}/v/{asset.version}"
            f"/flavorId/{asset.id}/fileName/{name}/forceproxy/true/name/a.{asset.file_ext}"
        )
        return self.base_url + path + self._url_token(path)

    def _url_token(self, path: str) -> str:
        if not self._library.settings.url_token:
            return ""
        expiry = int(self._library.clock.now() + self._library.settings.url_token_seconds)
        return f"?__gda__={expiry}_{self._url_signature(path, expiry)}"

    def _url_signature(self, path: str, expiry: int) -> str:
        return hmac.new(self._url_key, f"{expiry}{path}".encode(), hashlib.sha256).hexdigest()[:32]

    def url_token_is_good(self, path: str, token: str) -> bool:
        """Whether a download URL may be served: where tokens are in use, only with a right one that has not expired."""
        if not self._library.settings.url_token:
            return True
        expiry = as_int(token.partition("_")[0])
        return expiry > self._library.clock.now() and token == f"{expiry}_{self._url_signature(path, expiry)}"

    def update_asset(self, session: KalturaSession, p: dict[str, Any]) -> dict[str, Any]:
        """Whatever the asset's status; a language by its name. `FlavorAssetService::updateAction` [read]."""
        asset = self._asset(session, p["id"])
        self._own_entry(session, asset.entry_id)
        fields = {name: value for name, value in p["flavorAsset"].items() if name != "objectType"}
        for name, value in fields.items():
            if name.removesuffix("__null") not in (*ASSET_FIELDS, "actualSourceAssetParamsIds"):
                raise ApiError("PROPERTY_VALIDATION_NOT_UPDATABLE", f"KalturaFlavorAsset::{name}")
            if name == "language" and value not in languages():
                raise ApiError("INVALID_ENUM_VALUE", value, "language", "KalturaLanguage")
        for name, value in fields.items():
            field, empty = ASSET_FIELDS.get(name.removesuffix("__null")), name.endswith("__null")
            if field == "is_default":
                asset.is_default = as_bool(value) and not empty
            elif field:
                setattr(asset, field, "" if empty else str(value))
        asset.updated_at = self._library.now()
        return self.describe_asset(asset)

    def list_flavor_params(self, session: KalturaSession, p: dict[str, Any]) -> dict[str, Any]:
        rows = [
            {
                "objectType": "KalturaFlavorParams",
                "id": number,
                "partnerId": 0,
                "name": f"Flavor {number}" if number else "Source",
                "tags": TAGS_OF_PARAMS.get(number, DERIVED_TAGS),
            }
            for number in range(FLAVOR_PARAMS)
        ]
        return list_page("KalturaFlavorParamsListResponse", rows, p)

    def list_related(self, service: str, session: KalturaSession, p: dict[str, Any]) -> dict[str, Any]:
        wanted = p["filter"] if isinstance(p.get("filter"), dict) else {}
        ids = split_csv(wanted.get("entryIdEqual") or wanted.get("objectIdEqual"))
        rows = [row for row in self._library.related.get(service, []) if row["entryId"] in ids]
        return list_page(f"Kaltura{service[0].upper()}{service[1:]}ListResponse", rows, p)

    def delete_asset(self, session: KalturaSession, p: dict[str, Any]) -> None:
        asset = self._asset(session, p["id"])
        self._own_entry(session, asset.entry_id)
        self._library.delete_asset(asset)

    def add_asset(self, session: KalturaSession, p: dict[str, Any]) -> dict[str, Any]:
        """An asset without content, QUEUED: of the flavor parameters of the source it is the original.

        `FlavorAssetService::addAction` [read]; with `setContent` another way back for an original that was deleted [R].
        """
        entry = self._media_clip(session, {"entryId": p["entryId"]})
        number = as_int(p["flavorAsset"].get("flavorParamsId"), -1)
        for asset in self._library.live_assets(entry.id):
            if asset.flavor_params_id == number:
                raise ApiError("FLAVOR_ASSET_ALREADY_EXISTS", asset.id, number)
        tags = TAGS_OF_PARAMS.get(number, DERIVED_TAGS)
        asset = Asset(new_id(), entry.id, number, is_original=number == 0, version=0, status=QUEUED, tags=tags)
        return self.describe_asset(self._library.put_asset(asset))

    def set_content(self, session: KalturaSession, p: dict[str, Any]) -> dict[str, Any]:
        """Beside an original that had no content the derived flavors are made anew in place: nothing plays then [R]."""
        asset = self._asset(session, p["id"])
        resource = p["contentResource"]
        self._library.check_resource(resource)
        token = self._library.take_token(resource)
        if asset.is_original and not asset.version:
            self._library.convert_in_place(asset, Content.of(token))
        asset.store(Content.of(token), self._library.version_after(asset))
        asset.status = READY
        asset.updated_at = self._library.now()
        return self.describe_asset(asset)

    def list_media_info(self, session: KalturaSession, p: dict[str, Any]) -> dict[str, Any]:
        """What was measured of one flavor asset, in milliseconds. `MediaInfoService::listAction` [read]."""
        wanted = p["filter"] if isinstance(p.get("filter"), dict) else {}
        asset = self._asset(session, wanted.get("flavorAssetIdEqual"))
        content = asset.contents.get(asset.version)
        rows = [
            {
                "objectType": "KalturaMediaInfo",
                "id": version,
                "flavorAssetId": asset.id,
                "fileSize": content.size // 1024,
                "containerFormat": "mpeg-4",
                "containerDuration": self._library.measured.get(asset.id, content.duration_ms),
                "videoDuration": self._library.measured.get(asset.id, content.duration_ms),
            }
            for version, content in sorted(asset.contents.items(), reverse=True)
        ]
        return list_page("KalturaMediaInfoListResponse", rows if content else [], p)
