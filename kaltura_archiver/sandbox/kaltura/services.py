"""The services of the sandbox's Kaltura: which actions exist, what they need, and what they answer."""

from __future__ import annotations

from functools import cached_property, partial

from kaltura_archiver.sandbox.kaltura.actions import PLUGINS, RELATED, Action
from kaltura_archiver.sandbox.kaltura.metadata_lists import MetadataLists
from kaltura_archiver.sandbox.kaltura.uploads import UploadActions
from kaltura_archiver.sandbox.kaltura.wire import ApiError


class ApiServices(MetadataLists):
    """All actions, by lower-case service and action."""

    @cached_property
    def _actions(self) -> dict[str, dict[str, Action]]:
        library, sessions, uploads = self._library, self._sessions, UploadActions(self._library, self._partner_id)
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
            Action("flavorAsset.add", self.add_asset, ("entryId", "flavorAsset"), "entryId"),
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
            Action("category.list", self.list_categories),
            Action("mediaInfo.list", self.list_media_info),
            Action("flavorParams.list", self.list_flavor_params),
            *self._beside_entries(),
            Action("categoryEntry.list", self.list_category_entries),
        ]
        names = {"esearch": "elasticsearch_esearch"} | {name.lower(): plugin for name, plugin in PLUGINS.items()}
        found: dict[str, dict[str, Action]] = {}
        for action in actions:
            service, _, name = action.operation.lower().partition(".")
            found.setdefault(names.get(service, service), {})[name] = action
        return found

    def _beside_entries(self) -> list[Action]:
        return [
            *(Action(f"{service}.list", partial(self.list_related, service)) for service in RELATED),
            Action("metadata.list", self.list_metadata),
            Action("metadataProfile.list", self.list_profiles),
            Action("metadataProfile.listFields", self.list_fields, ("metadataProfileId",)),
        ]

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
