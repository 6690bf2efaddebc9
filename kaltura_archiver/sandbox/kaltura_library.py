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
from functools import partial
from typing import Any

from . import kaltura_pictures as pictures
from .control import Clock
from .kaltura_pictures import Picture, ThumbAsset
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
    same_id,
)
from .kaltura_wire import ApiError

# The tags of flavor parameters, which a conversion gives to the flavor assets that it makes.
SOURCE_TAGS, DERIVED_TAGS = "source,web", "mobile,web,mbr,iphone,iphonenew,ipad,ipadnew,dash"
LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Library:
    """Every record, under one lock; time passes when `tick` is called."""

    def __init__(self, clock: Clock, settings: KalturaSettings, partner_id: int = 0) -> None:
        self.clock = clock
        self.settings = settings
        self.partner_id = partner_id
        self.lock = threading.RLock()
        self.progress = threading.Condition(self.lock)
        self.entries: dict[str, Entry] = {}
        self.assets: dict[str, Asset] = {}
        self.assets_of: dict[str, list[Asset]] = {}
        self.tokens: dict[str, Token] = {}
        self.thumbs: dict[str, ThumbAsset] = {}
        self.categories: dict[int, Category] = {}
        self.app_tokens: dict[str, AppToken] = {}
        # Captions, attachments, cue points, metadata by service, each with its entry's id; nothing here changes them.
        self.related: dict[str, list[dict[str, Any]]] = {}
        self.dirty: set[str] = set()
        self._jobs: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._imports: set[threading.Thread] = set()
        self._moment: float | None = None  # when the job that runs was due, which may be a while ago
        self._held: list[Callable[[], None]] = []
        # True ids by what the database compares of them.
        self._entry_ids: dict[str, str] = {}
        self._asset_ids: dict[str, str] = {}
        self._second_links: dict[str, list[Callable[[], None]]] = {}

    def now(self) -> int:
        return int(self.clock.now())

    def mark(self, entry_id: str) -> None:
        self.dirty.add(entry_id)

    # Time

    def schedule(self, due: float, job: Callable[[], None]) -> None:
        heapq.heappush(self._jobs, (due, next(self._numbers), job))

    def _now_or_due(self) -> float:
        return self.clock.now() if self._moment is None else self._moment

    def tick(self) -> None:
        """Do what was due by now on the clock."""
        if self._held and not self.settings.hold_jobs:
            held, self._held = self._held, []
            for start in held:
                start()
        self._run_jobs(self.clock.now())

    def _run_jobs(self, until: float) -> None:
        with self.lock:
            while self._jobs and self._jobs[0][0] <= until:
                self._moment, _, job = heapq.heappop(self._jobs)
                try:
                    job()
                finally:
                    self._moment = None

    def finish(self) -> None:
        """Do everything that is under way, imports included, as if enough time had passed; what is held stays held."""
        while True:
            self.await_imports()
            with self.lock:
                self.tick()
            self._run_jobs(sys.float_info.max)
            with self.lock:
                if all(due == math.inf for due, *_ in self._jobs) and not self._imports:
                    return

    def await_imports(self) -> None:
        """Until every file that is being fetched has come, whatever becomes of it."""
        with self.lock:
            threads = list(self._imports)
        for thread in threads:
            thread.join()

    # Reading

    def find_entry(self, entry_id: Any) -> Entry | None:
        """The entry of this id, as the database compares ids; deleted ones too."""
        entry_id = str(entry_id)
        return self.entries.get(entry_id) or self.entries.get(self._entry_ids.get(same_id(entry_id), ""))

    def find_asset(self, asset_id: Any) -> Asset | None:
        asset_id = str(asset_id)
        return self.assets.get(asset_id) or self.assets.get(self._asset_ids.get(same_id(asset_id), ""))

    def entry(self, entry_id: Any) -> Entry:
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

    def thumbs_of(self, entry_id: str) -> list[ThumbAsset]:
        return [thumb for thumb in self.thumbs.values() if thumb.entry_id == entry_id]

    def token(self, token_id: Any) -> Token:
        token = self.tokens.get(same_id(token_id))
        if token is None or token.status == TOKEN_DELETED:
            raise ApiError("UPLOAD_TOKEN_NOT_FOUND")
        return token

    # Records

    def put_entry(self, entry: Entry) -> Entry:
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

    def add_thumb(self, entry_id: str, image: bytes, *, default: bool = False, **fields: Any) -> ThumbAsset:
        """An image that somebody has uploaded, and perhaps chosen."""
        now = int(fields.pop("created_at", self.now()))
        picture = Picture(Content.of(image))
        thumb = ThumbAsset(new_id(), entry_id, picture, created_at=now, updated_at=now, **fields)
        self.thumbs[thumb.id] = thumb
        if default:
            pictures.choose(self.entries[entry_id], thumb, self.thumbs_of(entry_id), now)
        return thumb

    def take_thumb(self, entry: Entry, seconds: float) -> None:
        """`media.updateThumbnail`; ApiError where there is no original to take a frame of."""
        asset = self.original(entry.id)
        if entry.media_type != pictures.VIDEO or asset is None or not asset.contents:
            raise ApiError("INTERNAL_SERVERL_ERROR")
        pictures.take(entry, asset, seconds, self.thumbs_of(entry.id), self.now())

    def choose_thumb(self, thumb: ThumbAsset) -> None:
        pictures.choose(self.entry(thumb.entry_id), thumb, self.thumbs_of(thumb.entry_id), self.now())

    def delete_entry(self, entry: Entry) -> None:
        """A replacement under way does not notice: its temporary entry stays (W29)."""
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
            raise ApiError("OBJECT_TYPE_ABSTRACT", "KalturaResource")

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
                name=f"{self.partner_id}_{now}",
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
        entry.source_type = "1"
        if resource["objectType"] == "KalturaUrlResource":
            entry.status = "0"
            due = self.clock.now() + self.settings.conversion_seconds / 8
            url = str(resource.get("url", ""))
            thread = threading.Thread(target=self._import, args=(entry, url, due), daemon=True)
            self._imports.add(thread)
            thread.start()
            return
        token = self.token(resource.get("token"))
        asset = self._new_original(entry, token.file_ext)
        if token.status != TOKEN_FULL:
            entry.status = "0"
            asset.status = IMPORTING
            asset.version = _next_version(asset)
            if token.status != TOKEN_CLOSED:
                token.attached_object_type, token.attached_object_id = "flavorAsset", asset.id
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
        token.attached_object_type = token.attached_object_id = ""
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
        asset.store(content, _next_version(asset))
        # For a short time the size is in bytes (4.3).
        asset.size_kb = content.size
        asset.status = QUEUED
        if content.size == 0:
            asset.status = ERROR
            self._conversion_failed(entry)
            self._tell_failure(entry)
            return
        entry.status = "1"
        if self.settings.hold_jobs:
            self._held.append(lambda: self._convert(entry, asset, content))
        else:
            self._convert(entry, asset, content)

    def _convert(self, entry: Entry, asset: Asset, content: Content) -> None:
        """What becomes visible of a conversion, and when (C06, C10, C15): derived flavors have no file at first."""
        fails = self.settings.fail_next_conversions > 0
        if fails:
            self.settings.fail_next_conversions -= 1
        if content.data is not None and content.data[:6].lower() == b"<html>":
            fails = True  # what a proxy says in place of a video converts no more than there
        start, seconds = self.clock.now(), self.settings.conversion_seconds
        end = start + seconds
        self.schedule(start + seconds / 2, lambda: self._original_ready(entry, asset))
        self.schedule(start + seconds / 2 + seconds / 64, lambda: self._derived_begun(entry))
        if fails:
            self.schedule(end, lambda: self._conversion_failed(entry, asset))
            self.schedule(end + seconds / 8, lambda: self._tell_failure(entry))
        else:
            self.schedule(start + seconds * 3 / 4, lambda: self._derived_written(entry))
            self.schedule(end, lambda: self._conversion_done(entry, asset))
            self.schedule(end + seconds / 8, lambda: self._tell_success(entry))

    def _original_ready(self, entry: Entry, asset: Asset) -> None:
        if entry.deleted or asset.status != QUEUED:
            return
        asset.status = READY if self.settings.keep_source else TEMP
        asset.updated_at = self.now()
        asset.store(asset.contents[asset.version], asset.version)
        entry.duration_ms = asset.contents[asset.version].duration_ms
        pictures.convert(entry, asset, self.now())
        count = entry.derived if self.settings.derived_flavors is None else self.settings.derived_flavors
        for number in range(1, count + 1):
            fits = asset.size_in_bytes >= number * self.settings.flavor_min_bytes
            self.add_derived(entry, number, 0, status=QUEUED if fits else NOT_APPLICABLE, file_ext=asset.file_ext)

    def _derived_begun(self, entry: Entry) -> None:
        for asset in self._derived(entry, QUEUED):
            asset.status = CONVERTING

    def _derived_written(self, entry: Entry) -> None:
        original = self.original(entry.id)
        bytes_of_it = original.size_in_bytes if original else 0
        for asset in self._derived(entry, CONVERTING):
            asset.store(_derived_content(bytes_of_it, asset.flavor_params_id), 2)

    def _derived(self, entry: Entry, status: int) -> list[Asset]:
        return [a for a in self.live_assets(entry.id) if not a.is_original and a.status == status]

    def add_derived(
        self, entry: Entry, number: int, original_bytes: int, *, status: int, file_ext: str = "mp4"
    ) -> Asset:
        """The derived flavor that a profile's `number`-th flavor parameters make of an original.

        While it has no file (`original_bytes` 0) its version is 0.
        """
        asset = Asset(
            new_id(),
            entry.id,
            number + 1,
            version=0,
            status=status,
            file_ext="mp4" if file_ext == "noex" else file_ext,
            tags=DERIVED_TAGS,
            height=180 * number,
            width=320 * number,
            created_at=entry.created_at if status == READY else 0,
        )
        if original_bytes:
            asset.store(_derived_content(original_bytes, number + 1), 2)
        return self.put_asset(asset)

    def _conversion_failed(self, entry: Entry, asset: Asset | None = None) -> None:
        if entry.deleted or (asset is not None and asset.status == DELETED):
            return
        for derived in self._derived(entry, CONVERTING):
            derived.status = ERROR
        entry.status = "-1"

    def _tell_failure(self, entry: Entry) -> None:
        """The main entry of a replacement learns of a failure a moment after the temporary one (W21)."""
        main = self._replaced_by(entry)
        if main is not None and entry.status == "-1":
            main.replacement_status = "4"

    def _replaced_by(self, temporary: Entry) -> Entry | None:
        """The entry whose content this temporary one is to replace, if it still is to."""
        main = self.entries.get(temporary.replaced_entry_id)
        if main is None or main.deleted or temporary.deleted or main.replacing_entry_id != temporary.id:
            return None
        return main

    def _conversion_done(self, entry: Entry, asset: Asset) -> None:
        if entry.deleted or asset.status == DELETED:
            return
        converting = self._derived(entry, CONVERTING)
        late = converting[-1:] if self.settings.late_flavor and len(converting) > 1 else []
        for derived in converting:
            if derived in late:
                self._finish_later(derived, self._now_or_due() + self.settings.conversion_seconds / 2)
            else:
                derived.status = READY
                derived.updated_at = self.now()
        entry.status = "4" if entry.conversion_profile_id == -1 else "2"
        entry.updated_at = self.now()

    def _tell_success(self, entry: Entry) -> None:
        """A replacement goes on a moment after its temporary entry is ready (L02, P02)."""
        main = self._replaced_by(entry)
        if main is None or entry.status not in ("2", "4"):
            return
        if main.replacement_status == "3":
            main.replacement_status = "2"
        elif main.replacement_status == "1":
            seconds = self.settings.switch_seconds
            self._switch(main, self.settings.conversion_seconds / 256 if seconds is None else seconds)

    def _finish_later(self, asset: Asset, due: float) -> None:
        asset.ready_at = due
        self.schedule(due, lambda: self._flavor_ready(asset))

    def _flavor_ready(self, asset: Asset) -> None:
        if asset.status == CONVERTING:
            asset.status = READY
            asset.updated_at = self.now()

    # The switch: the temporary entry's content becomes the main one's

    def _switch(self, main: Entry, step_seconds: float) -> None:
        """Step by step as `switch_order` says, so that half of it can be seen (W40); at once with no time between."""
        temporary = self.entries[main.replacing_entry_id]
        now, order = self._now_or_due(), tuple(self.settings.switch_order)
        for number in range(len(order)):
            step = partial(self._switch_step, main, temporary, order[: number + 1], last=number + 1 == len(order))
            if number and step_seconds:
                self.schedule(now + number * step_seconds, step)
            else:
                step()

    def _switch_step(self, main: Entry, temporary: Entry, steps: tuple[str, ...], *, last: bool) -> None:
        """Do the last of these steps, unless the replacement was cancelled meanwhile."""
        told = "entry" in steps[:-1] and not temporary.deleted
        if main.deleted or not (told or main.replacing_entry_id == temporary.id):
            return
        if steps[-1] == "original":
            self._switch_original(main, temporary)
        elif steps[-1] == "derived":
            self._switch_derived(main, temporary)
        else:
            self._switch_entry(main, temporary)
        if last:
            self._expect_second_link(main, temporary)
            self.delete_entry(temporary)

    def _switch_original(self, main: Entry, temporary: Entry) -> None:
        for new in self.live_assets(temporary.id):
            if new.is_original:
                self._take_over(main, new)

    def _switch_derived(self, main: Entry, temporary: Entry) -> None:
        found = self.live_assets(temporary.id)
        for new in found:
            if not new.is_original:
                self._take_over(main, new)
        numbers = {asset.flavor_params_id for asset in found}
        for asset in self.live_assets(main.id):
            if asset.flavor_params_id not in numbers:
                self.delete_asset(asset, settle_entry=False)

    def _take_over(self, main: Entry, new: Asset) -> None:
        """Put a new flavor's content in the main entry: its id is kept where the flavor parameters agree (5.3)."""
        number = new.flavor_params_id
        asset = next((a for a in self.live_assets(main.id) if a.flavor_params_id == number), None)
        if asset is None:
            asset = self.put_asset(
                Asset(new_id(), main.id, number, is_original=new.is_original, version=2, tags=new.tags)
            )
        asset.updated_at = self.now()
        if new.status == NOT_APPLICABLE:
            asset.status = NOT_APPLICABLE  # what was set on it stays [R]
            return
        size_kb = new.size_kb
        if new.contents:
            asset.store(new.contents[new.version], asset.version + 10)
        asset.size_kb = size_kb
        asset.link_from(new)
        if asset.status == CONVERTING:
            self._finish_later(asset, new.ready_at)

    def _switch_entry(self, main: Entry, temporary: Entry) -> None:
        main.duration_ms = temporary.duration_ms
        thumbs = self.thumbs_of(main.id)
        kept = pictures.switch(main, temporary, thumbs, self.now())
        for thumb in thumbs:
            if thumb not in kept:
                del self.thumbs[thumb.id]
        main.replacing_entry_id = ""
        main.replacement_status = "0"
        main.status = "2"
        main.updated_at = self.now()

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
        self.schedule(self._now_or_due() + self.settings.second_link_seconds, link)

    def links_again(self, entry_id: str) -> bool:
        """Whether the file of an earlier replacement will still be linked once more."""
        return bool(self._second_links.get(entry_id))

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
            self._switch(entry, 0)

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
        entry.duration_ms = content.duration_ms
        entry.updated_at = self.now()
        if not any(thumb.default for thumb in self.thumbs_of(entry.id)):
            pictures.show(entry, Picture(content, pictures.USUAL_SECONDS), self.now())

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

    def _import(self, entry: Entry, url: str, due: float) -> None:
        """Fetch a URL as the import job does, on a thread of its own and outside the lock; it shows from `due` on."""
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
                self.schedule(due, lambda: self._imported(entry, url, data))

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


def _next_version(asset: Asset) -> int:
    return asset.version + 10 if asset.version else 2


def _derived_content(original_bytes: int, flavor_params_id: int) -> Content:
    return Content.zeros(max(1, original_bytes // flavor_params_id))


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
