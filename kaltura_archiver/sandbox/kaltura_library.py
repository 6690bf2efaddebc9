"""The state of the sandbox's Kaltura and the rules by which it changes: conversion, replacement, deletion, import."""

from __future__ import annotations

import dataclasses
import heapq
import http.client
import itertools
import math
import sys
import threading
import urllib.parse
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from .control import Clock
from .kaltura_records import (
    CONVERTING,
    DELETED,
    ERROR,
    IMAGE,
    IMPORTING,
    MEDIA_CLIP,
    NOT_APPLICABLE,
    QUEUED,
    READY,
    TEMP,
    TOKEN_CLOSED,
    TOKEN_DELETED,
    TOKEN_FULL,
    AppToken,
    Asset,
    Category,
    Content,
    Entry,
    KalturaSettings,
    Token,
    new_id,
)
from .kaltura_wire import ApiError

# The tags of flavor parameters, which a conversion gives to the flavor assets that it makes.
SOURCE_TAGS, DERIVED_TAGS = "source", "mobile,web,mbr"
Record = TypeVar("Record")
LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Library:
    """Every record, under one lock; time passes when `tick` is called."""

    def __init__(self, clock: Clock, settings: KalturaSettings) -> None:
        self.clock = clock
        self.settings = settings
        self.lock = threading.RLock()
        self.progress = threading.Condition(self.lock)
        self.entries: dict[str, Entry] = {}
        self.assets: dict[str, Asset] = {}
        self.assets_of: dict[str, list[Asset]] = {}
        self.tokens: dict[str, Token] = {}
        self.categories: dict[int, Category] = {}
        self.app_tokens: dict[str, AppToken] = {}
        # Captions, attachments, cue points, metadata by service, each with its entry's id; nothing here changes them.
        self.related: dict[str, list[dict[str, Any]]] = {}
        self.dirty: set[str] = set()
        self._jobs: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._imports: set[threading.Thread] = set()
        self._second_links: dict[str, list[Callable[[], None]]] = {}

    def now(self) -> int:
        return int(self.clock.now())

    def mark(self, entry_id: str) -> None:
        self.dirty.add(entry_id)

    # Time

    def schedule(self, due: float, job: Callable[[], None]) -> None:
        heapq.heappush(self._jobs, (due, next(self._numbers), job))

    def tick(self) -> None:
        """Do what was due by now on the clock."""
        self._run_jobs(self.clock.now())

    def _run_jobs(self, until: float) -> None:
        with self.lock:
            while self._jobs and self._jobs[0][0] <= until:
                heapq.heappop(self._jobs)[2]()

    def finish(self) -> None:
        """Do everything that is under way, imports included, as if enough time had passed; what is held stays held."""
        while True:
            with self.lock:
                threads = list(self._imports)
            for thread in threads:
                thread.join()
            self._run_jobs(sys.float_info.max)
            with self.lock:
                if all(due == math.inf for due, *_ in self._jobs) and not self._imports:
                    return

    # Reading

    def entry(self, entry_id: Any) -> Entry:
        entry = by_id(self.entries, entry_id)
        if entry is None or entry.deleted:
            raise ApiError("ENTRY_ID_NOT_FOUND", entry_id)
        return entry

    def asset(self, asset_id: Any) -> Asset:
        asset = by_id(self.assets, asset_id)
        if asset is None or asset.status == DELETED:
            raise ApiError("FLAVOR_ASSET_ID_NOT_FOUND", asset_id)
        return asset

    def live_assets(self, entry_id: str) -> list[Asset]:
        return [asset for asset in self.assets_of.get(entry_id, ()) if asset.status != DELETED]

    def original(self, entry_id: str) -> Asset | None:
        return next((asset for asset in self.live_assets(entry_id) if asset.is_original), None)

    def token(self, token_id: Any) -> Token:
        token = by_id(self.tokens, token_id)
        if token is None or token.status == TOKEN_DELETED:
            raise ApiError("UPLOAD_TOKEN_NOT_FOUND")
        return token

    # Records

    def put_entry(self, entry: Entry) -> Entry:
        self.entries[entry.id] = entry
        entry.watch(self.mark)
        self.mark(entry.id)
        return entry

    def put_asset(self, asset: Asset) -> Asset:
        asset.created_at = asset.created_at or self.now()
        asset.updated_at = asset.updated_at or asset.created_at
        self.assets[asset.id] = asset
        self.assets_of.setdefault(asset.entry_id, []).append(asset)
        return asset

    def delete_entry(self, entry: Entry) -> None:
        if entry.replacing_entry_id:
            self.cancel_replacement(entry)
        entry.status = "3"
        entry.updated_at = self.now()
        for asset in self.live_assets(entry.id):
            self.delete_asset(asset, settle_entry=False)

    def delete_asset(self, asset: Asset, *, settle_entry: bool = True) -> None:
        """Mark it deleted; an entry left without a ready flavor has no content any more."""
        asset.status = DELETED
        asset.deleted_at = asset.updated_at = self.now()
        entry = self.entries.get(asset.entry_id)
        if settle_entry and entry and not any(a.locally_ready for a in self.live_assets(entry.id)):
            entry.status = "7"
            entry.updated_at = self.now()

    # Content

    def check_resource(self, resource: Any) -> None:
        """Raises for a resource that does not exist; an unfinished or used token is not an error (5.2)."""
        kind = str(resource.get("objectType", "")) if isinstance(resource, dict) else ""
        if kind == "KalturaUploadedFileTokenResource":
            self.token(resource.get("token"))
        elif kind != "KalturaUrlResource":
            raise ApiError("RESOURCE_TYPE_NOT_SUPPORTED", kind)

    def add_content(self, entry: Entry, resource: Any) -> None:
        if entry.status != "7":
            raise ApiError("ENTRY_ALREADY_WITH_CONTENT")
        try:
            self.check_resource(resource)
        except ApiError:
            self.cancel_replacement(entry)
            raise
        self._attach(entry, resource)

    def update_content(self, entry: Entry, resource: Any) -> None:
        """Replace the content through a temporary entry; any error on the way cancels a replacement under way."""
        try:
            self.check_resource(resource)
            if entry.status == "7" or entry.media_type == IMAGE:
                entry.status = "7"
                self._attach(entry, resource)
                return
            if not self.settings.entry_replacement:
                raise ApiError("FEATURE_FORBIDDEN", "FEATURE_ENTRY_REPLACEMENT")
            if entry.replacing_entry_id:
                raise ApiError("ENTRY_REPLACEMENT_ALREADY_EXISTS")
        except ApiError:
            self.cancel_replacement(entry)
            raise
        now = self.now()
        temporary = self.put_entry(
            Entry(
                new_id(),
                name=entry.name,
                user_id=entry.user_id,
                creator_id=entry.creator_id,
                status="7",
                media_type=entry.media_type,
                created_at=now,
                updated_at=now,
                conversion_profile_id=entry.conversion_profile_id,
                display_in_search=-1,
                replaced_entry_id=entry.id,
                derived=entry.derived,
            )
        )
        entry.replacing_entry_id = temporary.id
        entry.replacement_status = "3" if self.settings.replacement_approval else "1"
        entry.updated_at = now
        self._attach(temporary, resource)

    def _attach(self, entry: Entry, resource: dict[str, Any]) -> None:
        entry.updated_at = self.now()
        if resource["objectType"] == "KalturaUrlResource":
            entry.status = "0"
            thread = threading.Thread(target=self._import, args=(entry, str(resource.get("url", ""))), daemon=True)
            self._imports.add(thread)
            thread.start()
            return
        token = self.token(resource.get("token"))
        asset = self._new_original(entry, token.file_ext)
        if token.status != TOKEN_FULL:
            entry.status = "0"
            asset.status = IMPORTING
            if token.status != TOKEN_CLOSED:
                token.attached_object_type, token.attached_object_id = "1", asset.id
            return
        self._consume(token, asset)

    def _new_original(self, entry: Entry, file_ext: str) -> Asset:
        """The original to be: an existing one that is not ready is used again (§10.4)."""
        asset = self.original(entry.id)
        if asset is None or asset.locally_ready:
            asset = self.put_asset(Asset(new_id(), entry.id, 0, is_original=True, version=0, tags=SOURCE_TAGS))
        asset.file_ext = file_ext
        asset.status = QUEUED
        asset.updated_at = self.now()
        return asset

    def _consume(self, token: Token, asset: Asset) -> None:
        token.status = TOKEN_CLOSED
        token.updated_at = self.now()
        token.attached_object_type, token.attached_object_id = "1", asset.id
        content = Content.of(bytes(token.data))
        token.data = bytearray()
        self._begin_conversion(self.entries[asset.entry_id], asset, content)

    def take_token(self, resource: dict[str, Any]) -> bytes:
        """The bytes of a full token, which is used up by it; for content that is set without conversion."""
        token = self.token(resource.get("token"))
        if token.status != TOKEN_FULL:
            raise ApiError("UPLOADED_FILE_NOT_FOUND_BY_TOKEN")
        token.status = TOKEN_CLOSED
        data = bytes(token.data)
        token.data = bytearray()
        return data

    def token_filled(self, token: Token) -> None:
        """A token got its last byte: content that waited for it goes on."""
        asset = self.assets.get(token.attached_object_id)
        if asset is not None and asset.status == IMPORTING and not self.entries[asset.entry_id].deleted:
            self._consume(token, asset)

    def _begin_conversion(self, entry: Entry, asset: Asset, content: Content) -> None:
        if self.settings.reencode_originals and content.size:
            content = content.reencoded()
        asset.store(content, asset.version + 10 if asset.version else 2)
        # For a short time the size is in bytes (4.3).
        asset.size_kb = content.size
        asset.status = QUEUED
        fails = self.settings.fail_next_conversions > 0
        if fails:
            self.settings.fail_next_conversions -= 1
        if content.data is not None and content.data[:6].lower() == b"<html>":
            fails = True  # what a proxy says in place of a video converts no more than there
        if content.size == 0:
            asset.status = ERROR
            self._conversion_failed(entry)
            return
        entry.status = "1"
        start, seconds = self.clock.now(), self.settings.conversion_seconds
        self.schedule(start + seconds / 2, lambda: self._original_ready(entry, asset))
        if fails:
            self.schedule(start + seconds, lambda: self._conversion_failed(entry, asset))
        else:
            self.schedule(start + seconds, lambda: self._conversion_done(entry, asset))

    def _original_ready(self, entry: Entry, asset: Asset) -> None:
        if entry.deleted or asset.status != QUEUED:
            return
        asset.status = READY if self.settings.keep_source else TEMP
        asset.updated_at = self.now()
        asset.store(asset.contents[asset.version], asset.version)
        count = entry.derived if self.settings.derived_flavors is None else self.settings.derived_flavors
        for number in range(1, count + 1):
            fits = asset.size_in_bytes >= number * self.settings.flavor_min_bytes
            status = CONVERTING if fits else NOT_APPLICABLE
            self.add_derived(entry, number, asset.size_in_bytes, status=status, file_ext=asset.file_ext)

    def add_derived(
        self, entry: Entry, number: int, original_bytes: int, *, status: int, file_ext: str = "mp4"
    ) -> Asset:
        """The derived flavor that a profile's `number`-th flavor parameters make of an original."""
        asset = Asset(
            new_id(),
            entry.id,
            number,
            status=status,
            file_ext="mp4" if file_ext == "noex" else file_ext,
            tags=DERIVED_TAGS,
            height=180 * number,
            width=320 * number,
            created_at=entry.created_at if status == READY else 0,
        )
        if status == NOT_APPLICABLE:
            asset.version = 0
        else:
            asset.store(Content.zeros(max(1, original_bytes // (number + 1))), 2)
        return self.put_asset(asset)

    def _conversion_failed(self, entry: Entry, asset: Asset | None = None) -> None:
        if entry.deleted or (asset is not None and asset.status == DELETED):
            return
        for derived in self.live_assets(entry.id):
            if derived.status == CONVERTING:
                derived.status = ERROR
        entry.status = "-1"
        main = self.entries.get(entry.replaced_entry_id)
        if main is not None and main.replacing_entry_id == entry.id:
            main.replacement_status = "4"

    def _conversion_done(self, entry: Entry, asset: Asset) -> None:
        if entry.deleted or asset.status == DELETED:
            return
        converting = [a for a in self.live_assets(entry.id) if a.status == CONVERTING]
        late = converting[-1:] if self.settings.late_flavor and len(converting) > 1 else []
        for derived in converting:
            if derived in late:
                self._finish_later(derived, self.clock.now() + self.settings.conversion_seconds / 2)
            else:
                derived.status = READY
                derived.updated_at = self.now()
        entry.status = "4" if entry.conversion_profile_id == -1 else "2"
        entry.updated_at = self.now()
        main = self.entries.get(entry.replaced_entry_id)
        if main is None or main.deleted or main.replacing_entry_id != entry.id:
            return
        if main.replacement_status == "3":
            main.replacement_status = "2"
        elif main.replacement_status == "1":
            self.switch(main)

    def _finish_later(self, asset: Asset, due: float) -> None:
        asset.ready_at = due
        self.schedule(due, lambda: self._flavor_ready(asset))

    def _flavor_ready(self, asset: Asset) -> None:
        if asset.status == CONVERTING:
            asset.status = READY
            asset.updated_at = self.now()

    def switch(self, main: Entry) -> None:
        """Move the temporary entry's assets to the main entry (5.3): ids are kept where the flavor parameters agree."""
        temporary = self.entries[main.replacing_entry_id]
        old = {asset.flavor_params_id: asset for asset in self.live_assets(main.id)}
        for new in self.live_assets(temporary.id):
            asset = old.pop(new.flavor_params_id, None)
            if asset is None:
                asset = self.put_asset(
                    Asset(
                        new_id(), main.id, new.flavor_params_id, is_original=new.is_original, version=2, tags=new.tags
                    )
                )
            if new.status == NOT_APPLICABLE:
                asset.status, asset.updated_at = NOT_APPLICABLE, self.now()  # what was set on it stays [R]
                continue
            size_kb = new.size_kb
            asset.store(new.contents[new.version], asset.version + 10)
            asset.size_kb = size_kb
            asset.link_from(new)
            asset.updated_at = self.now()
            if asset.status == CONVERTING:
                self._finish_later(asset, new.ready_at)
        for asset in old.values():
            self.delete_asset(asset, settle_entry=False)
        main.duration_ms = temporary.duration_ms
        if not main.keep_manual_thumbnails:
            main.manual_thumbnails = 0
        main.replacing_entry_id = ""
        main.replacement_status = "0"
        main.status = "2"
        main.updated_at = self.now()
        self._expect_second_link(main, temporary)
        self.delete_entry(temporary)

    def _expect_second_link(self, main: Entry, temporary: Entry) -> None:
        """The job of the temporary entry's original goes on, and links its file once more when it ends (§10.16)."""
        source = self.original(temporary.id)
        live = self.live_assets(temporary.id)
        if source is None or not source.locally_ready or not (self.settings.second_link_always or live == [source]):
            return
        content, ended = source.contents[source.version], dataclasses.replace(source)
        duration_ms = temporary.duration_ms
        done: list[bool] = []

        def link() -> None:
            if done or main.deleted:
                return
            done.append(True)
            asset = self.original(main.id)
            if asset is None:
                return
            asset.store(content, asset.version + 10)
            asset.link_from(ended)
            asset.updated_at = main.updated_at = self.now()
            main.duration_ms = duration_ms
            # Whatever replacement has begun meanwhile is lost: its temporary entry stays, and nobody asks for it.
            main.replacing_entry_id, main.replacement_status, main.status = "", "0", "2"

        self._second_links.setdefault(main.id, []).append(link)
        self.schedule(self.clock.now() + self.settings.second_link_seconds, link)

    def link_again(self, entry_id: str, *, but_first: bool = False) -> None:
        """Let the jobs end that link the file of earlier replacements once more, in the order of those.

        With `but_first` that of the first replacement goes on waiting.
        """
        with self.lock:
            waiting = self._second_links.pop(entry_id, [])
            if but_first:
                self._second_links[entry_id], waiting = waiting[:1], waiting[1:]
            for link in waiting:
                link()

    def children(self, entry: Entry) -> list[Entry]:
        """The second streams of a recording: approving and cancelling act on them too (5.3)."""
        return [child for child in self.entries.values() if child.parent_id == entry.id and not child.deleted]

    def approve_replacement(self, entry: Entry) -> None:
        if entry.replacement_status in ("0", "4"):
            raise ApiError("ENTRY_ID_NOT_REPLACED", entry.id)
        if entry.replacement_status == "3":
            entry.replacement_status = "1"
        elif entry.replacement_status == "2":
            self.switch(entry)

    def cancel_replacement(self, entry: Entry) -> None:
        temporary = self.entries.get(entry.replacing_entry_id)
        if temporary is not None and not temporary.deleted:
            self.delete_entry(temporary)
        if entry.replacing_entry_id or entry.replacement_status != "0":
            entry.replacing_entry_id = ""
            entry.replacement_status = "0"
            entry.updated_at = self.now()

    def replace_now(self, entry: Entry, content: Content) -> None:
        """What a finished replacement by someone else leaves: a new version of every flavor."""
        original = self.original(entry.id)
        if original is None:
            original = self.put_asset(Asset(new_id(), entry.id, 0, is_original=True, tags=SOURCE_TAGS))
        self.cancel_replacement(entry)
        for asset in self.live_assets(entry.id):
            size = content.size // (asset.flavor_params_id + 1)
            asset.store(content if asset is original else Content.zeros(size), asset.version + 10)
            asset.status = READY
            asset.updated_at = self.now()
        entry.status = "2"
        entry.updated_at = self.now()

    def clone(self, entry: Entry) -> Entry:
        """A copy of an entry, its tags included, with assets of its own that hold the same files at version 12 [R].

        Plays and the like begin at 0, the time of creation is now (`myEntryUtils::copyEntry`, `Baseentry::preInsert`
        [read]).
        """
        now = self.now()
        fields = {field.name: getattr(entry, field.name) for field in dataclasses.fields(entry)}
        fields |= {"id": new_id(), "root_id": entry.id, "plays": 0, "views": 0, "created_at": now, "updated_at": now}
        fields |= {"replacing_entry_id": "", "replacement_status": "0", "changed": None, "more": dict(entry.more)}
        clone = self.put_entry(Entry(**fields))
        for asset in self.live_assets(entry.id) if entry.status in ("2", "7") else []:
            copy = dataclasses.replace(
                asset, id=new_id(), entry_id=clone.id, contents={}, created_at=now, updated_at=now
            )
            if asset.version:
                size_kb, size_in_bytes = asset.size_kb, asset.size_in_bytes
                copy.store(asset.contents[asset.version], 12)
                copy.size_kb, copy.size_in_bytes = size_kb, size_in_bytes
            self.put_asset(copy)
        return clone

    # Import by URL

    def _import(self, entry: Entry, url: str) -> None:
        """Fetch a URL as the import job does, on a thread of its own and outside the lock."""
        with self.lock:
            fails = self.settings.fail_imports > 0
            if fails:
                self.settings.fail_imports -= 1
        data = None
        try:
            data = None if fails else fetch(url)
        finally:
            with self.lock:
                self._imports.discard(threading.current_thread())
                self._imported(entry, url, data)

    def _imported(self, entry: Entry, url: str, data: bytes | None) -> None:
        if entry.deleted or entry.status != "0":
            return
        if data is None:
            # The main entry of a replacement learns nothing of this (§10.6).
            entry.status = "-2"
            return
        file_ext = Token("", posted_name=urllib.parse.urlsplit(url).path).file_ext
        self._begin_conversion(entry, self._new_original(entry, file_ext), Content.of(data))

    def categories_of(self, entry: Entry) -> Iterable[Category]:
        return (self.categories[number] for number in entry.categories if number in self.categories)


def by_id(records: dict[str, Record], wanted: Any) -> Record | None:
    """The record of this id, in any case and with any blanks at its end (real-kaltura N04-N06)."""
    same = str(wanted).rstrip(" ").lower()
    found = records.get(str(wanted)) or records.get(same)
    return found or next((record for key, record in records.items() if key.lower() == same), None)


def fetch(url: str) -> bytes | None:
    """What a URL on this machine serves, or None; doubled slashes are collapsed first, in the query too (§10.6)."""
    scheme, separator, rest = url.partition("://")
    while "//" in rest:
        rest = rest.replace("//", "/")
    parts = urllib.parse.urlsplit(scheme + separator + rest)
    if parts.scheme != "http" or parts.hostname not in LOOPBACK:
        return None
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    try:
        for method in ("HEAD", "GET"):
            connection = http.client.HTTPConnection(parts.hostname, parts.port or 80, timeout=60)
            try:
                connection.request(method, target)
                response = connection.getresponse()
                data = response.read()
                if method == "GET":
                    return data if response.status == 200 else None
            except (OSError, http.client.HTTPException):
                if method == "GET":
                    return None
            finally:
                connection.close()
    except ValueError:
        return None
    return None


def check_media_clip(entry: Entry) -> None:
    """Content calls know media clips only; for them any other entry does not exist."""
    if entry.entry_type != MEDIA_CLIP:
        raise ApiError("ENTRY_ID_NOT_FOUND", entry.id)
