"""The state of the sandbox's Kaltura and the rules by which it changes: conversion, replacement, deletion, import."""

from __future__ import annotations

import http.client
import threading
import urllib.parse
from typing import Any

from kaltura_archiver.sandbox.kaltura.conversion import Converting
from kaltura_archiver.sandbox.kaltura.records import (
    IMAGE,
    IMPORTING,
    MEDIA_CLIP,
    QUEUED,
    TOKEN_CLOSED,
    TOKEN_FULL,
    Asset,
    Content,
    EntryRecord,
    Token,
    new_id,
)
from kaltura_archiver.sandbox.kaltura.records_kept import SOURCE_TAGS
from kaltura_archiver.sandbox.kaltura.wire import ApiError

LOOPBACK = ("127.0.0.1", "localhost", "::1")
# KALTURA_RECORDED_LIVE and LECTURE_CAPTURE: no content changes them (entry::setSource [read]).
STAYING_SOURCES = ("36", "37")


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


def check_media_clip(entry: EntryRecord) -> None:
    """Content calls know media clips only; for them any other entry does not exist."""
    if entry.entry_type != MEDIA_CLIP:
        raise ApiError("ENTRY_ID_NOT_FOUND", entry.id)


class AccountRecords(Converting):
    """All records of the account, and what may be done with them."""

    def check_resource(self, resource: Any) -> None:
        """Raises for a resource that does not exist; an unfinished or used token is not an error (5.2)."""
        kind = str(resource.get("objectType", "")) if isinstance(resource, dict) else ""
        if kind == "KalturaUploadedFileTokenResource":
            self.token(resource.get("token"))
        elif kind != "KalturaUrlResource":
            raise ApiError("OBJECT_TYPE_ABSTRACT", "KalturaResource")

    def add_content(self, entry: EntryRecord, resource: Any) -> None:
        if entry.status != "7":
            raise ApiError("ENTRY_ALREADY_WITH_CONTENT")
        try:
            self.check_resource(resource)
        except ApiError:
            self.cancel_replacement(entry)
            raise
        self._attach(entry, resource)

    def update_content(self, entry: EntryRecord, resource: Any) -> None:
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
            EntryRecord(
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

    def _attach(self, entry: EntryRecord, resource: dict[str, Any]) -> None:
        entry.updated_at = self.now()
        if entry.source_type not in STAYING_SOURCES:
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
            asset.version = self.version_after(asset)
            if token.status != TOKEN_CLOSED:
                token.attached_object_type, token.attached_object_id = "flavorAsset", asset.id
            return
        self._consume(token, asset)

    def _new_original(self, entry: EntryRecord, file_ext: str) -> Asset:
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

    def _import(self, entry: EntryRecord, url: str, due: float) -> None:
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

    def _imported(self, entry: EntryRecord, url: str, data: bytes | None) -> None:
        if entry.deleted or entry.status != "0":
            return
        if data is None:
            # The main entry of a replacement learns nothing of this (§10.6).
            entry.status = "-2"
            return
        file_ext = Token("", posted_name=urllib.parse.urlsplit(url).path).file_ext
        self._begin_conversion(entry, self._new_original(entry, file_ext), Content.of(data))
