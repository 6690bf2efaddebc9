"""The services of the sandbox's Kaltura: which actions exist, what they need, and what they answer."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from .kaltura_library import DERIVED_TAGS, SOURCE_TAGS, Library, check_media_clip
from .kaltura_lists import LIST_LIMIT, asset_filter, entry_filter, list_page
from .kaltura_pictures import SLIDE, THUMBNAIL, ThumbAsset
from .kaltura_records import (
    READY,
    TEMP,
    Asset,
    Content,
    Entry,
    new_id,
    normalise_admin_tags,
    normalise_tags,
    same_id,
    stored_tags,
)
from .kaltura_search import Index
from .kaltura_sessions import ADMIN, Session, Sessions
from .kaltura_uploads import Uploads
from .kaltura_wire import ApiError, as_bool, as_int, split_csv

Handler = Callable[[Session, dict[str, Any]], Any]


@dataclass(frozen=True)
class Action:
    """`operation` is the name in the request log; `needs` are the mandatory parameters, `subject` is the id among them.

    A `public` action needs no KS, but looks at one that is sent, unless it `ignores_ks`; a `widget` action is open to
    widget sessions, what `anyone` may also without a KS (real-kaltura A07, A24, S60-S64), an `admin` action to admins.
    """

    operation: str
    handler: Handler
    needs: tuple[str, ...] = ()
    subject: str = ""
    public: bool = False
    widget: bool = False
    anyone: bool = False
    admin: bool = False
    ignores_ks: bool = False

    @property
    def full_name(self) -> str:
        """The name in the errors about rights."""
        return self.operation.replace("eSearch.", "elasticsearch_esearch.").replace(".", "->")

    @property
    def writes(self) -> bool:
        service, _, action = self.operation.partition(".")
        return service != "session" and action != "startSession" and not re.match("get|list|search|ping|count", action)


_READ_ONLY = frozenset(
    {
        "id",
        "partnerId",
        "mediaType",
        "templateEntryId",
        "version",
        "createdAt",
        "updatedAt",
        "recycledAt",
        "searchText",
        "capabilities",
    }
    | {"status", "moderationStatus", "moderationCount", "rootEntryId", "sourceVersion"}
    | {"rank", "totalRank", "votes", "plays", "views", "lastPlayedAt", "width", "height", "duration", "durationType"}
    | {"downloadUrl", "thumbnailUrl", "dataUrl", "replacingEntryId", "replacedEntryId", "replacementStatus"}
)
# Of a flavor asset may be written (KalturaAsset, KalturaFlavorAsset [read]); the rest is @readonly or @insertonly.
_ASSET_FIELDS = {
    "tags": "tags",
    "language": "language",
    "label": "label",
    "isDefault": "is_default",
    "partnerData": "partner_data",
    "partnerDescription": "partner_description",
}
# What belongs to entries and is no concern of content: service, and the name of its plugin's.
_RELATED = {
    "captionAsset": "caption_captionasset",
    "attachmentAsset": "attachment_attachmentasset",
    "cuePoint": "cuepoint_cuepoint",
    "metadata": "metadata_metadata",
}
FLAVOR_PARAMS = 10
_TEXT_FIELDS = {
    "name": "name",
    "description": "description",
    "userId": "user_id",
    "referenceId": "reference_id",
    "partnerData": "partner_data",
    "parentEntryId": "parent_id",
    "redirectEntryId": "redirect_entry_id",
}


_FLAVOR_PARAMS = (
    *range(9), *range(11, 19), *range(22, 33), 36, 37, *range(39, 42), *range(45, 58), *range(120, 130),
    *range(132, 137), *range(1002, 1018),
)  # fmt: skip
RECYCLED = -2


def _plain(name: str) -> str:
    """A file name for a URL: each byte that might mean something there becomes an underscore (F26)."""
    return re.sub(r"[^A-Za-z0-9._=+;,()-]", lambda found: "_" * len(found.group().encode()), name)


class Services:
    """All actions, by lower-case service and action."""

    def __init__(self, library: Library, index: Index, sessions: Sessions, partner_id: int, secret: str) -> None:
        self._library = library
        self._index = index
        self._partner_id = partner_id
        self._url_key = secret.encode()
        self.base_url = ""
        self.user_ids: set[str] = set()
        uploads = Uploads(library, partner_id)
        actions = [
            Action("session.start", lambda s, p: sessions.start(p), ("secret",), public=True, ignores_ks=True),
            Action("session.startWidgetSession", lambda s, p: sessions.start_widget(p), ("widgetId",), public=True),
            Action("session.get", sessions.get, widget=True),
            Action("session.end", lambda s, p: sessions.end(s), widget=True),
            Action("appToken.startSession", sessions.start_by_app_token, ("id", "tokenHash"), "id", widget=True),
            Action("system.ping", lambda s, p: True, public=True),
            Action("system.getTime", lambda s, p: library.now(), public=True),
            Action("eSearch.searchEntry", self.search, ("searchParams",)),
            Action("appToken.add", sessions.add_app_token, ("appToken",), admin=True),
            Action("appToken.delete", sessions.delete_app_token, ("id",), "id", admin=True),
            Action("media.add", self.add_entry, ("entry",)),
            Action("media.get", self.get_entry, ("entryId",), "entryId", anyone=True),
            Action("media.update", self.update_entry, ("entryId", "mediaEntry"), "entryId", anyone=True),
            Action("media.list", self.list_entries),
            Action("media.delete", self.delete_entry, ("entryId",), "entryId"),
            Action("media.addContent", self.add_content, ("entryId",), "entryId"),
            Action("media.updateContent", self.update_content, ("entryId", "resource"), "entryId"),
            Action("media.approveReplace", self.approve_replace, ("entryId",), "entryId"),
            Action("media.cancelReplace", self.cancel_replace, ("entryId",), "entryId"),
            Action("media.updateThumbnail", self.update_thumbnail, ("entryId", "timeOffset"), "entryId"),
            Action("thumbAsset.list", self.list_thumbs),
            Action("thumbAsset.setAsDefault", self.choose_thumb, ("thumbAssetId",), "thumbAssetId"),
            Action("baseEntry.get", self.get_entry, ("entryId",), "entryId", anyone=True),
            Action("baseEntry.list", self.list_base_entries),
            Action("baseEntry.update", self.update_entry, ("entryId", "baseEntry"), "entryId"),
            Action("baseEntry.delete", self.delete_entry, ("entryId",), "entryId"),
            Action("baseEntry.clone", self.clone, ("entryId",), "entryId"),
            Action("baseEntry.recycle", self.recycle, ("entryId",), "entryId"),
            Action("baseEntry.restoreRecycled", self.restore_recycled, ("entryId",), "entryId"),
            Action("flavorAsset.get", self.get_asset, ("id",), "id", anyone=True),
            Action("flavorAsset.list", self.list_assets, anyone=True),
            Action("flavorAsset.getByEntryId", self.assets_of_entry, ("entryId",), "entryId", anyone=True),
            Action("flavorAsset.getFlavorAssetsWithParams", self.assets_with_params, ("entryId",), "entryId"),
            Action("flavorAsset.getUrl", self.asset_url, ("id",), "id", anyone=True),
            Action("flavorAsset.update", self.update_asset, ("id", "flavorAsset"), "id"),
            Action("flavorAsset.delete", self.delete_asset, ("id",), "id", admin=True),
            Action("flavorAsset.setContent", self.set_content, ("id", "contentResource"), "id"),
            Action("uploadToken.add", uploads.add),
            Action("uploadToken.get", uploads.get, ("uploadTokenId",), "uploadTokenId"),
            Action("uploadToken.upload", uploads.upload, ("uploadTokenId", "fileData"), "uploadTokenId"),
            Action("uploadToken.delete", uploads.delete, ("uploadTokenId",), "uploadTokenId"),
            Action("uploadToken.list", uploads.list),
            Action("user.get", self.get_user),
            Action("category.get", self.get_category, ("id",), "id"),
            Action("flavorParams.list", self.list_flavor_params),
            *(Action(f"{service}.list", partial(self.list_related, service)) for service in _RELATED),
            Action("categoryEntry.list", self.list_category_entries),
        ]
        names = {"esearch": "elasticsearch_esearch"} | {name.lower(): plugin for name, plugin in _RELATED.items()}
        self._actions: dict[str, dict[str, Action]] = {}
        for action in actions:
            service, _, name = action.operation.lower().partition(".")
            self._actions.setdefault(names.get(service, service), {})[name] = action

    def find(self, service: str, action: str) -> Action:
        """The action of these names in any case; raises what the server says of an unknown one."""
        if not service:
            raise ApiError("SERVICE_NOT_SPECIFIED")
        known = self._actions.get(service.lower())
        if known is None:
            raise ApiError("SERVICE_DOES_NOT_EXISTS", service)
        found = known.get(action.lower())
        if found is None:
            raise ApiError("ACTION_DOES_NOT_EXISTS", action, service)
        return found

    # Who may see and change what

    def _visible(self, session: Session, entry: Entry) -> bool:
        if not self._library.settings.entitlement or session.sees_all:
            return True
        if session.user_id and entry.user_id == session.user_id:
            return True
        return not any(category.private for category in self._library.categories_of(entry))

    def _entry(self, session: Session, entry_id: Any) -> Entry:
        entry = self._library.entry(entry_id)
        if not self._visible(session, entry):
            raise ApiError("ENTRY_ID_NOT_FOUND", entry_id)
        return entry

    def _own_entry(self, session: Session, entry_id: Any) -> Entry:
        """An entry that this session may change: a user's own, or any for an admin."""
        entry = self._entry(session, entry_id)
        if session.type != ADMIN and (not session.user_id or entry.user_id != session.user_id):
            raise ApiError("INVALID_KS", "", "-4", "INVALID_TYPE")
        return entry

    def _asset(self, session: Session, asset_id: Any) -> Asset:
        asset = self._library.asset(asset_id)
        entry = self._library.entries.get(asset.entry_id)
        if entry is None or entry.deleted or not self._visible(session, entry):
            raise ApiError("FLAVOR_ASSET_ID_NOT_FOUND", asset_id)
        return asset

    # Entries

    def search(self, session: Session, p: dict[str, Any]) -> dict[str, Any]:
        parameters = p["searchParams"]
        total, ids = self._index.search(parameters if isinstance(parameters, dict) else {}, p.get("pager"))
        # Loaded from the records, not from the index: rows may be gone (a short page) or deleted (status 3).
        entries = [self._library.entries[entry_id] for entry_id in ids if entry_id in self._library.entries]
        return {
            "objectType": "KalturaESearchEntryResponse",
            "totalCount": total,
            "objects": [
                {
                    "objectType": "KalturaESearchEntryResult",
                    "highlight": [],
                    "itemsData": [],
                    "object": self.describe_entry(entry),
                }
                for entry in entries
                if self._visible(session, entry)
            ],
            "aggregations": [],
        }

    def get_entry(self, session: Session, p: dict[str, Any]) -> dict[str, Any]:
        if not session.ks:
            raise ApiError("ENTRY_ID_NOT_FOUND", p["entryId"])  # as if there were none (A07)
        return self.describe_entry(self._entry(session, p["entryId"]))

    def add_entry(self, session: Session, p: dict[str, Any]) -> dict[str, Any]:
        """An entry without content, whose owner is who makes it."""
        sent = p["entry"]
        now = self._library.now()
        entry = Entry(
            new_id(),
            user_id=session.user_id,
            creator_id=session.user_id,
            status="7",
            media_type=as_int(sent.get("mediaType"), 1),
            created_at=now,
            updated_at=now,
            duration_ms=0,
            source_type="6",
        )
        for name, value in sent.items():
            if name not in _READ_ONLY:
                self._set(entry, name, value)
        return self.describe_entry(self._library.put_entry(entry))

    def get_user(self, session: Session, p: dict[str, Any]) -> dict[str, Any]:
        """Whoever owns or made an entry, and who signs in here by default, is known; as MySQL compares, in any case."""
        user_id = str(p.get("userId") or session.user_id)
        entries = self._library.entries.values()
        known = {*self.user_ids, *(user for e in entries for user in (e.user_id, e.creator_id))}
        if user_id.lower() not in map(str.lower, known):
            raise ApiError("INVALID_USER_ID", user_id)
        return {"objectType": "KalturaUser", "id": user_id, "partnerId": self._partner_id, "status": 1}

    def list_entries(self, session: Session, p: dict[str, Any]) -> dict[str, Any]:
        wanted = entry_filter(p, self._library.now())
        found = [e for e in self._library.entries.values() if wanted(e) and self._visible(session, e)]
        return list_page("KalturaMediaListResponse", found, p, self.describe_entry)

    def list_base_entries(self, session: Session, p: dict[str, Any]) -> dict[str, Any]:
        return self.list_entries(session, p) | {"objectType": "KalturaBaseEntryListResponse"}

    def update_entry(self, session: Session, p: dict[str, Any]) -> dict[str, Any]:
        entry = self._own_entry(session, p["entryId"])
        sent = p["mediaEntry"] if "mediaEntry" in p else p["baseEntry"]
        fields = {key.removesuffix("__null"): "" if key.endswith("__null") else value for key, value in sent.items()}
        for name in fields:
            if name in _READ_ONLY:
                raise ApiError("PROPERTY_VALIDATION_NOT_UPDATABLE", f"KalturaMediaEntry::{name}")
        if "adminTags" in fields and session.type != ADMIN and "editadmintags" not in session.privileges:
            raise ApiError("PROPERTY_VALIDATION_ADMIN_PROPERTY", "adminTags")
        if fields.get("conversionProfileId") and entry.status != "7":
            where = "KalturaMediaEntry::conversionProfileId"
            raise ApiError("PROPERTY_VALIDATION_ENTRY_STATUS", where, entry.status)
        before = dict(vars(entry))
        for name, value in fields.items():
            self._set(entry, name, value)
        if vars(entry) != before:
            entry.updated_at = self._library.now()
        answer = self.describe_entry(entry)
        # The answer shows what was set, the column holds what fits (M07).
        if (kept := stored_tags(entry.tags)) != entry.tags:
            entry.tags = kept
        return answer

    def _set(self, entry: Entry, name: str, value: Any) -> None:
        if name in _TEXT_FIELDS:
            setattr(entry, _TEXT_FIELDS[name], str(value))
        elif name == "tags":
            if not self._library.settings.drop_tag_updates:
                entry.tags = normalise_tags(str(value))
        elif name == "adminTags":
            entry.admin_tags = normalise_admin_tags(str(value))
        elif name == "displayInSearch":
            entry.display_in_search = as_int(value)
        elif name == "conversionProfileId":
            entry.conversion_profile_id = as_int(value)
        elif name == "startDate":
            entry.start_date = as_int(value) or None
        elif name == "endDate":
            entry.end_date = as_int(value) or None
        elif name == "categoriesIds":
            entry.categories = tuple(as_int(number) for number in split_csv(value))

    def delete_entry(self, session: Session, p: dict[str, Any]) -> None:
        self._library.delete_entry(self._own_entry(session, p["entryId"]))

    def clone(self, session: Session, p: dict[str, Any]) -> dict[str, Any]:
        return self.describe_entry(self._library.clone(self._own_entry(session, p["entryId"])))

    def recycle(self, session: Session, p: dict[str, Any]) -> dict[str, Any]:
        entry = self._own_entry(session, p["entryId"])
        if not self._library.settings.recycle_bin:
            raise ApiError("FEATURE_RECYCLE_BIN_DISABLED")
        if entry.display_in_search == RECYCLED:
            raise ApiError("INVALID_ENTRY_STATUS_FOR_RECYCLE")
        entry.display_in_search, entry.recycled_at = RECYCLED, self._library.now()
        return self.describe_entry(entry)

    def restore_recycled(self, session: Session, p: dict[str, Any]) -> dict[str, Any]:
        entry = self._own_entry(session, p["entryId"])
        if entry.display_in_search != RECYCLED:
            raise ApiError("INVALID_ENTRY_STATUS_FOR_RESTORE")
        entry.display_in_search, entry.recycled_at = 1, None
        return self.describe_entry(entry)

    # Content

    def _media_clip(self, session: Session, p: dict[str, Any]) -> Entry:
        entry = self._own_entry(session, p["entryId"])
        check_media_clip(entry)
        return entry

    def add_content(self, session: Session, p: dict[str, Any]) -> dict[str, Any]:
        entry = self._media_clip(session, p)
        if isinstance(p.get("resource"), dict) and p["resource"].get("objectType"):
            self._library.add_content(entry, p["resource"])  # nothing happens without one (C02)
        return self.describe_entry(entry)

    def update_content(self, session: Session, p: dict[str, Any]) -> dict[str, Any]:
        entry = self._media_clip(session, p)
        options = p.get("advancedOptions")
        if isinstance(options, dict):
            # Stored before anything is checked, and kept (5.3).
            entry.keep_manual_thumbnails = as_bool(options.get("keepManualThumbnails"))
        self._library.update_content(entry, p["resource"])
        return self.describe_entry(entry)

    def approve_replace(self, session: Session, p: dict[str, Any]) -> dict[str, Any]:
        entry = self._own_entry(session, p["entryId"])
        self._library.approve_replacement(entry)
        for child in self._library.children(entry):
            if child.replacement_status in ("2", "3"):
                self._library.approve_replacement(child)
        return self.describe_entry(entry)

    def cancel_replace(self, session: Session, p: dict[str, Any]) -> dict[str, Any]:
        entry = self._own_entry(session, p["entryId"])
        for replaced in (entry, *self._library.children(entry)):
            self._library.cancel_replacement(replaced)
        return self.describe_entry(entry)

    # Pictures

    def update_thumbnail(self, session: Session, p: dict[str, Any]) -> dict[str, Any]:
        entry = self._media_clip(session, p)
        self._library.take_thumb(entry, float(p["timeOffset"]))
        return self.describe_entry(entry)

    def list_thumbs(self, session: Session, p: dict[str, Any]) -> dict[str, Any]:
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

    def choose_thumb(self, session: Session, p: dict[str, Any]) -> None:
        thumb = next((t for t in self._library.thumbs.values() if same_id(t.id) == same_id(p["thumbAssetId"])), None)
        if thumb is None:
            raise ApiError("THUMB_ASSET_ID_NOT_FOUND", p["thumbAssetId"])
        self._own_entry(session, thumb.entry_id)
        self._library.choose_thumb(thumb)

    # Flavor assets

    def get_asset(self, session: Session, p: dict[str, Any]) -> dict[str, Any]:
        return self.describe_asset(self._asset(session, p["id"]))

    def assets_of_entry(self, session: Session, p: dict[str, Any]) -> list[dict[str, Any]]:
        entry = self._entry(session, p["entryId"])
        return [self.describe_asset(a) for a in self._library.live_assets(entry.id) if a.status != TEMP]

    def assets_with_params(self, session: Session, p: dict[str, Any]) -> list[dict[str, Any]]:
        entry = self._entry(session, p["entryId"])
        assets = {a.flavor_params_id: a for a in self._library.live_assets(entry.id) if a.status != TEMP}
        # Flavor parameters of the account that have no asset are listed too.
        numbers = [*assets, *(n for n in _FLAVOR_PARAMS if n not in assets)]
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

    def list_assets(self, session: Session, p: dict[str, Any]) -> dict[str, Any]:
        entry_ids, wanted = asset_filter(p)
        found: list[Asset] = []
        for entry_id in entry_ids:
            entry = self._library.find_entry(entry_id)
            if entry is not None and not entry.deleted and self._visible(session, entry):
                found += [a for a in self._library.live_assets(entry.id) if wanted(a) and a not in found]
        return list_page("KalturaFlavorAssetListResponse", found, p, self.describe_asset)

    def asset_url(self, session: Session, p: dict[str, Any]) -> str:
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
            name = _plain(f"{self._library.entries[asset.entry_id].name}_({made_of}).{asset.file_ext}")
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

    def update_asset(self, session: Session, p: dict[str, Any]) -> dict[str, Any]:
        """Whatever the asset's status; a language by its name. `FlavorAssetService::updateAction` [read]."""
        asset = self._asset(session, p["id"])
        self._own_entry(session, asset.entry_id)
        fields = {name: value for name, value in p["flavorAsset"].items() if name != "objectType"}
        for name, value in fields.items():
            if name.removesuffix("__null") not in (*_ASSET_FIELDS, "actualSourceAssetParamsIds"):
                raise ApiError("PROPERTY_VALIDATION_NOT_UPDATABLE", f"KalturaFlavorAsset::{name}")
            if name == "language" and value not in _languages():
                raise ApiError("INVALID_ENUM_VALUE", value, "language", "KalturaLanguage")
        for name, value in fields.items():
            field, empty = _ASSET_FIELDS.get(name.removesuffix("__null")), name.endswith("__null")
            if field == "is_default":
                asset.is_default = as_bool(value) and not empty
            elif field:
                setattr(asset, field, "" if empty else str(value))
        asset.updated_at = self._library.now()
        return self.describe_asset(asset)

    def list_flavor_params(self, session: Session, p: dict[str, Any]) -> dict[str, Any]:
        rows = [
            {
                "objectType": "KalturaFlavorParams",
                "id": number,
                "partnerId": 0,
                "name": f"Flavor {number}" if number else "Source",
                "tags": DERIVED_TAGS if number else SOURCE_TAGS,
            }
            for number in range(FLAVOR_PARAMS)
        ]
        return list_page("KalturaFlavorParamsListResponse", rows, p)

    def list_related(self, service: str, session: Session, p: dict[str, Any]) -> dict[str, Any]:
        wanted = p["filter"] if isinstance(p.get("filter"), dict) else {}
        ids = split_csv(wanted.get("entryIdEqual") or wanted.get("objectIdEqual"))
        rows = [row for row in self._library.related.get(service, []) if row["entryId"] in ids]
        return list_page(f"Kaltura{service[0].upper()}{service[1:]}ListResponse", rows, p)

    def delete_asset(self, session: Session, p: dict[str, Any]) -> None:
        asset = self._asset(session, p["id"])
        self._own_entry(session, asset.entry_id)
        self._library.delete_asset(asset)

    def set_content(self, session: Session, p: dict[str, Any]) -> dict[str, Any]:
        asset = self._asset(session, p["id"])
        resource = p["contentResource"]
        self._library.check_resource(resource)
        token = self._library.take_token(resource)
        asset.store(Content.of(token), asset.version + 10)
        asset.status = READY
        asset.updated_at = self._library.now()
        return self.describe_asset(asset)

    def get_category(self, session: Session, p: dict[str, Any]) -> dict[str, Any]:
        category = self._library.categories.get(as_int(p["id"]))
        if category is None:
            raise ApiError("CATEGORY_NOT_FOUND", p["id"])
        inside = [e for e in self._library.entries.values() if category.id in e.categories and not e.deleted]
        return {
            "objectType": "KalturaCategory",
            "id": category.id,
            "parentId": category.parent or 0,
            "depth": category.full_ids.count(">"),
            "partnerId": self._partner_id,
            "name": category.name,
            "fullName": category.full_name,
            "fullIds": category.full_ids,
            "entriesCount": len(inside),
            "privacy": 3 if category.private else 1,
            "privacyContexts": ",".join(category.privacy_contexts),
            "directEntriesCount": len(inside),
            "status": 2,
        }

    def list_category_entries(self, session: Session, p: dict[str, Any]) -> dict[str, Any]:
        """Rows of the database, whatever the search does; ids are cut at 500 in silence, pages likewise [read].

        Without an order the rows of a page are whatever the database gives.
        """
        wanted = p["filter"] if isinstance(p.get("filter"), dict) else {}
        entry_ids, category_ids = (
            split_csv(wanted.get(f"{name}Equal")) or split_csv(wanted.get(f"{name}In"))[:LIST_LIMIT]
            for name in ("entryId", "categoryId")
        )
        if not entry_ids and not category_ids and (session.type != ADMIN or self._library.settings.entitlement):
            raise ApiError("MUST_FILTER_ON_ENTRY_OR_CATEGORY")
        statuses = split_csv(wanted.get("statusEqual")) or split_csv(wanted.get("statusIn"))
        entries: list[Entry] = list(self._library.entries.values())
        if entry_ids:
            named = (self._library.find_entry(entry_id) for entry_id in entry_ids)
            entries = list({entry.id: entry for entry in named if entry is not None}.values())
        rows = [
            {
                "objectType": "KalturaCategoryEntry",
                "categoryId": number,
                "entryId": entry.id,
                "createdAt": entry.created_at,
                "categoryFullIds": self._library.categories[number].full_ids,
                "status": status,
                "creatorUserId": entry.creator_id,
            }
            for entry in entries
            if not entry.deleted and self._visible(session, entry)
            for status, numbers in ((2, entry.categories), (1, entry.pending_categories))
            for number in numbers
            if number in self._library.categories
            and (not category_ids or str(number) in category_ids)
            and (not statuses or str(status) in statuses)
        ]
        return list_page("KalturaCategoryEntryListResponse", rows, p)

    # Objects on the wire; the order of the properties is the server's (4.2, 4.3)

    def describe_entry(self, entry: Entry) -> dict[str, Any]:
        # What has a privacy context is left out (real-kaltura K01+).
        categories = [c for c in self._library.categories_of(entry) if not c.privacy_contexts]
        root = f"{self.base_url}/p/{self._partner_id}/sp/{self._partner_id}00"
        video = entry.media_type == 1
        return {
            "objectType": "KalturaMediaEntry",
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
            **entry.more,
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


@cache
def _languages() -> frozenset[str]:
    """The names that a language has (KalturaLanguage)."""
    from KalturaClient.Plugins.Core import KalturaLanguage

    return frozenset(name for key, name in vars(KalturaLanguage).items() if key.isupper() and isinstance(name, str))
