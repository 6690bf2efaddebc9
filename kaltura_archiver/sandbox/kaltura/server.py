"""The Kaltura half of the sandbox: an HTTP server that answers the real client as kaltura-api.md says the service does.

Records and rules are in `kaltura_library`, search in `kaltura_search`, actions in `kaltura_services`, HTTP in
`kaltura_http`. Time is the control's clock: conversions and the index lag advance when requests come.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

from kaltura_archiver.sandbox.control import Control
from kaltura_archiver.sandbox.kaltura.http import Endpoint
from kaltura_archiver.sandbox.kaltura.library import AccountRecords
from kaltura_archiver.sandbox.kaltura.metadata import MetadataField, MetadataProfile
from kaltura_archiver.sandbox.kaltura.pictures import USUAL_SECONDS, Frame, convert
from kaltura_archiver.sandbox.kaltura.records import (
    ENTRY_MISSING,
    FILE_MISSING,
    FLAVOR_MISSING,
    READY,
    AppToken,
    Asset,
    Category,
    Content,
    EntryRecord,
    KalturaSettings,
    Token,
    new_id,
    normalise_admin_tags,
    normalise_tags,
)
from kaltura_archiver.sandbox.kaltura.records_kept import SOURCE_TAGS
from kaltura_archiver.sandbox.kaltura.search import Index
from kaltura_archiver.sandbox.kaltura.services import ApiServices
from kaltura_archiver.sandbox.kaltura.sessions import Sessions

__all__ = ["AppToken", "Asset", "Category", "Content", "EntryRecord", "KalturaServer", "KalturaSettings", "Token"]

_ENTRY_FIELDS = frozenset(field.name for field in dataclasses.fields(EntryRecord)) - {"id", "changed"}


def _content(content: bytes | None, zeros: int | None, entry_id: str) -> Content:
    if content is not None:
        return Content.of(content)
    return Content.of(f"the original of {entry_id}\n".encode() * 100) if zeros is None else Content.zeros(zeros)


class KalturaServer:
    """One account on a server of its own; `start` it, or use it as a context manager.

    Every record is live and may be changed from a test; the search index notices (after its lag). `app_token_id` and
    `app_token` are an app token (SHA-256) of the admin `user_id` that includes ``disableentitlement``.
    """

    def __init__(
        self,
        control: Control,
        *,
        partner_id: int = 101,
        secret: str = "sandbox-admin-secret",  # noqa: S107
        user_id: str = "archiver",
        settings: KalturaSettings | None = None,
    ) -> None:
        self.control = control
        self.settings = settings or KalturaSettings()
        self.partner_id = partner_id
        self.secret = secret
        self.user_id = user_id
        self.app_token_id = new_id()
        self.app_token = f"sandbox-app-token-{self.app_token_id[2:]}"
        self.library = AccountRecords(control.clock, self.settings, partner_id)
        self.entries, self.assets, self.tokens = self.library.entries, self.library.assets, self.library.tokens
        self.app_tokens, self.categories = self.library.app_tokens, self.library.categories
        self.index = Index(self.library)
        self.sessions = Sessions(self.library, partner_id, secret)
        self.user_secret = self.sessions.user_secret
        self.services = ApiServices(self.library, self.index, self.sessions, partner_id, secret)
        self.app_tokens[self.app_token_id] = AppToken(
            self.app_token_id, self.app_token, user_id=user_id, privileges="disableentitlement"
        )
        self._endpoint = Endpoint(self)
        self.url = f"http://127.0.0.1:{self._endpoint.server_address[1]}"
        self.services.base_url = self.url
        self.services.user_ids.add(user_id)
        self._started = False

    def start(self) -> None:
        if not self._started:
            self._started = True
            self._endpoint.start("sandbox-kaltura")

    def stop(self) -> None:
        """Stop, and cut the connections that are still open."""
        self._endpoint.stop()
        self._endpoint.close_connections()

    def __enter__(self) -> KalturaServer:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    # The records

    def add_entry(
        self,
        content: bytes | None = None,
        *,
        id: str | None = None,
        name: str = "",
        tags: str = "",
        categories: Sequence[int] = (),
        created_at: float | None = None,
        plays: int = 0,
        last_played_at: float | None = None,
        media_type: int = 1,
        entry_type: int = 1,
        status: str = "2",
        creator_id: str = "",
        derived: int = 2,
        file_ext: str = "mp4",
        exact_size: bool = True,
        content_bytes: int | None = None,
        display_in_search: int = 1,
        original: bool = True,
        original_status: int = READY,
        **fields: Any,
    ) -> EntryRecord:
        """An entry that has been there for a while, with its original and `derived` other flavors, all READY.

        `content_bytes` instead of `content` is a size without stored bytes (they are zeros when downloaded). With
        `exact_size` False the assets are old ones: `sizeInBytes` 0, and only rounded KB. With status NO_CONTENT ("7")
        there are no flavors. Tags are taken as given, not normalised. `fields` are further fields of `EntryRecord`.
        """
        with self.library.lock:
            created = int(self.control.clock.now() if created_at is None else created_at)
            entry_id = id or new_id()
            stored = _content(content, content_bytes, entry_id)
            empty = status == "7"
            usual: dict[str, Any] = {"user_id": creator_id, "updated_at": created}
            usual |= {"duration_ms": 0 if empty else stored.duration_ms, "source_type": "6" if empty else "1"}
            entry = EntryRecord(
                entry_id, name=name, tags=tags, categories=tuple(categories), created_at=created, plays=plays,
                last_played_at=None if last_played_at is None else int(last_played_at), media_type=media_type,
                entry_type=entry_type, status=status, creator_id=creator_id, derived=derived,
                display_in_search=display_in_search, **(usual | fields),
            )  # fmt: skip
            self.library.put_entry(entry)
            made = [] if empty else self._add_flavors(entry, stored, file_ext, original_status if original else None)
            if not exact_size:
                for asset in made:
                    asset.size_in_bytes = 0
            return entry

    def _add_flavors(
        self, entry: EntryRecord, stored: Content, file_ext: str, original_status: int | None
    ) -> list[Asset]:
        """The original, where it is to have a status, and the other flavors."""
        made: list[Asset] = []
        if original_status is not None:
            asset = Asset(
                new_id(),
                entry.id,
                0,
                is_original=True,
                status=original_status,
                file_ext=file_ext,
                tags=SOURCE_TAGS,
                created_at=entry.created_at,
            )
            asset.store(stored, 2)
            made.append(self.library.put_asset(asset))
            if asset.locally_ready:
                convert(entry, asset, entry.created_at)
        for number in range(1, entry.derived + 1):
            made.append(self.library.add_derived(entry, number, stored.size, status=READY))
        return made

    def add_category(
        self, id: int, name: str, parent: int | None = None, *, private: bool = False, privacy_context: str = ""
    ) -> None:
        """A category; entitlement (`private`) is for those with a privacy context only, which all below one have."""
        above = self.categories.get(parent) if parent is not None else None
        self.categories[id] = Category(
            id,
            name,
            parent,
            full_name=f"{above.full_name}>{name}" if above else name,
            full_ids=f"{above.full_ids}>{id}" if above else str(id),
            private=private,
            privacy_contexts=(
                *(above.privacy_contexts if above else ()),
                *filter(None, [privacy_context or ("MediaSpace" if private else "")]),
            ),
        )

    def add_profile(self, id: int, *fields: MetadataField) -> None:
        """A profile of custom metadata."""
        self.library.profiles[id] = MetadataProfile(id, f"profile {id}", fields)

    def set_metadata(self, entry_id: str, profile_id: int, **values: str | Iterable[str]) -> None:
        """An entry's custom metadata of a profile, as somebody fills it in: values of fields."""
        known = self.entries[entry_id].metadata
        self.edit(entry_id, metadata=known | {profile_id: self.library.profiles[profile_id].xml(values)})

    def lose_record(self, entry_id: str) -> None:
        """An entry that is gone from the database, while the index still names it."""
        with self.library.lock:
            self.index.commit(flush=True)
            del self.entries[entry_id]
            self.library.dirty.discard(entry_id)

    def original(self, entry_id: str) -> Asset | None:
        """The original flavor asset, in whatever status, unless it is deleted."""
        with self.library.lock:
            self.library.tick()
            return self.library.original(entry_id)

    def content(self, asset_id: str, version: int | None = None) -> bytes:
        """What the file host serves for an asset; LookupError if nothing."""
        asset = self.assets[asset_id]
        content = self.served(asset.entry_id, asset_id, "" if version is None else str(version))
        if isinstance(content, str):
            raise LookupError(f"nothing is served for flavor asset {asset_id}: {content}")
        return content.read()

    def picture(self, entry_id: str) -> bytes:
        """What a gallery shows for an entry."""
        with self.library.lock:
            self.refresh()
            entry, original = self.entries[entry_id], self.library.original(entry_id)
            # Without one the file host takes a frame of what there is.
            if entry.picture is None and original and original.locally_ready:
                return Frame(original.contents[original.version], USUAL_SECONDS).read()
            return entry.picture.read() if entry.picture else b""

    def served(self, entry_id: str, asset_id: str, version: str) -> Content | str:
        """The file behind a download URL, or the host's error."""
        with self.library.lock:
            self.refresh()
            entry, asset = self.library.find_entry(entry_id), self.library.find_asset(asset_id)
            if entry is None or entry.deleted:
                return ENTRY_MISSING
            if asset is None or asset.entry_id != entry.id or not asset.locally_ready:
                return FLAVOR_MISSING
            return asset.contents.get(int(version) if version.isdigit() else asset.version, FILE_MISSING)

    # Another author, and time

    def edit(self, entry_id: str, **fields: Any) -> None:
        """Change fields of an entry as another client would; tags are normalised, `updated_at` moves."""
        unknown = set(fields) - _ENTRY_FIELDS
        if unknown:
            raise TypeError(f"an entry has no field {', '.join(sorted(unknown))}")
        with self.library.lock:
            entry = self.entries[entry_id]
            for name, value in fields.items():
                if name == "tags":
                    value = normalise_tags(value)
                elif name == "admin_tags":
                    value = normalise_admin_tags(value)
                elif name == "categories":
                    value = tuple(value)
                setattr(entry, name, value)
            if "updated_at" not in fields:
                entry.updated_at = self.library.now()
            self.index.commit()

    def replace_original(self, entry_id: str, content: bytes) -> None:
        """Someone else's finished replacement of the video: new bytes under the same flavor ids, versions + 10."""
        with self.library.lock:
            self.library.replace_now(self.entries[entry_id], Content.of(content))
            self.index.commit()

    def settle(self) -> None:
        """Finish imports, conversions and indexing now, without moving the clock."""
        self.library.finish()
        with self.library.lock:
            self.index.commit(flush=True)

    def refresh(self) -> None:
        """Do what time has brought about; called with the lock held at the beginning of every request."""
        self.index.commit()
        self.library.tick()
        self.index.commit()
