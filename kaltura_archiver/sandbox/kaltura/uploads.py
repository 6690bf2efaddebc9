"""Upload tokens of the sandbox's Kaltura: whole files and chunks in any order (kaltura-api.md 5.6)."""

from __future__ import annotations

import re
import time
from typing import Any

from kaltura_archiver.sandbox.kaltura.library import AccountRecords
from kaltura_archiver.sandbox.kaltura.lists import list_page, token_filter
from kaltura_archiver.sandbox.kaltura.records import (
    TOKEN_DELETED,
    TOKEN_FULL,
    TOKEN_PARTIAL,
    TOKEN_PENDING,
    Token,
    new_token_id,
)
from kaltura_archiver.sandbox.kaltura.sessions import ADMIN, KalturaSession
from kaltura_archiver.sandbox.kaltura.wire import ApiError, PostedFile, as_bool, as_int

_MAX_PARKED = 1000
_MAX_RESUME_SECONDS = 7 * 86400


class UploadActions:
    """The uploadToken service."""

    def __init__(self, library: AccountRecords, partner_id: int) -> None:
        self._library = library
        self._partner_id = partner_id

    def describe(self, token: Token) -> dict[str, Any]:
        return {
            "objectType": "KalturaUploadToken",
            "id": token.id,
            "partnerId": self._partner_id,
            "userId": token.user_id,
            "status": token.status,
            "fileName": token.file_name,
            "fileSize": token.file_size,
            "uploadedFileSize": token.uploaded_size,
            "createdAt": token.created_at,
            "updatedAt": token.updated_at,
            "uploadUrl": None,
            "autoFinalize": token.auto_finalize,
            "attachedObjectType": token.attached_object_type,
            "attachedObjectId": token.attached_object_id,
        }

    def add(self, session: KalturaSession, p: dict[str, Any]) -> dict[str, Any]:
        wanted = p.get("uploadToken")
        wanted = wanted if isinstance(wanted, dict) else {}
        now = self._library.now()
        token = Token(
            new_token_id(),
            user_id=session.user_id,
            file_name=str(wanted.get("fileName", "")),
            file_size=as_int(wanted["fileSize"]) if wanted.get("fileSize") else None,
            auto_finalize=as_bool(wanted.get("autoFinalize")),
            created_at=now,
            updated_at=now,
        )
        if token.auto_finalize and token.file_size is None:
            raise ApiError("UPLOAD_TOKEN_MISSING_FILE_SIZE")
        self._library.tokens[token.id] = token
        return self.describe(token)

    def get(self, session: KalturaSession, p: dict[str, Any]) -> dict[str, Any]:
        return self.describe(self._token(session, p["uploadTokenId"]))

    def _token(self, session: KalturaSession, token_id: Any) -> Token:
        """A user session has its own tokens only; the others are not there for it (S58)."""
        token = self._library.token(token_id)
        if not self._may_see(session, token):
            raise ApiError("UPLOAD_TOKEN_NOT_FOUND")
        return token

    def _may_see(self, session: KalturaSession, token: Token) -> bool:
        return session.type == ADMIN or token.user_id == session.user_id

    def delete(self, session: KalturaSession, p: dict[str, Any]) -> None:
        token = self._token(session, p["uploadTokenId"])
        token.status = TOKEN_DELETED
        token.data = bytearray()

    def list(self, session: KalturaSession, p: dict[str, Any]) -> dict[str, Any]:
        """In the order of the ids, which tells nothing of their age (U34)."""
        wanted = token_filter(p)
        found = [t for t in self._library.tokens.values() if t.status != TOKEN_DELETED and wanted(t)]
        mine = sorted((t for t in found if self._may_see(session, t)), key=lambda t: t.id)
        return list_page("KalturaUploadTokenListResponse", mine, p, self.describe)

    def upload(self, session: KalturaSession, p: dict[str, Any]) -> dict[str, Any]:
        token = self._token(session, p["uploadTokenId"])
        if token.status not in (TOKEN_PENDING, TOKEN_PARTIAL):
            raise ApiError("UPLOAD_TOKEN_INVALID_STATUS_FOR_UPLOAD")
        resume = as_bool(p.get("resume"))
        final = as_bool(p.get("finalChunk"), True)
        posted = p["fileData"]
        if not isinstance(posted, PostedFile) or len(posted.data) > self._library.settings.upload_max_bytes:
            if not resume:
                token.status = TOKEN_DELETED
            raise ApiError("UPLOAD_ERROR")
        if resume:
            self._check_resumable(token)
            self._take_parked(token)
            end = self._write(token, posted.data, as_int(p.get("resumeAt"), -1))
        else:
            self._begin(token, posted)
            end = len(token.data)
        token.uploaded_size = len(token.data)
        token.updated_at = self._library.now()
        token.status = TOKEN_PARTIAL
        self._library.progress.notify_all()
        if final:
            self._wait_for(token, end)
        if final or (token.auto_finalize and token.uploaded_size == token.file_size):
            self._fill(token)
        return self.describe(token)

    def _begin(self, token: Token, posted: PostedFile) -> None:
        token.posted_name = re.split(r"[/\\]", posted.name)[-1]
        token.file_name = token.file_name or token.posted_name
        if token.file_ext in self._library.settings.restricted_extensions:
            token.status = TOKEN_DELETED
            raise ApiError("UPLOAD_TOKEN_FILE_TYPE_RESTRICTED_FOR_UPLOAD")
        token.data = bytearray(posted.data)
        token.parked.clear()

    def _check_resumable(self, token: Token) -> None:
        if token.uploaded_size is None:
            raise ApiError("UPLOAD_TOKEN_CANNOT_RESUME")
        if self._library.clock.now() - token.updated_at > _MAX_RESUME_SECONDS:
            raise ApiError("UPLOAD_PASSED_MAX_RESUME_TIME_ALLOWED", _MAX_RESUME_SECONDS)

    def _write(self, token: Token, chunk: bytes, offset: int) -> int:
        """Put a chunk where it belongs, or park it until what is before it has come; says where it ends."""
        if offset < 0:
            offset = len(token.data)
        if offset <= len(token.data):
            token.data[offset : offset + len(chunk)] = chunk
        elif len(token.parked) >= _MAX_PARKED:
            raise ApiError("MAX_ALLOWED_CHUNK_COUNT_EXCEEDED")
        else:
            token.parked[offset] = chunk
        return offset + len(chunk)

    def _take_parked(self, token: Token) -> None:
        while ready := [offset for offset in token.parked if offset <= len(token.data)]:
            chunk = token.parked.pop(min(ready))
            token.data[min(ready) : min(ready) + len(chunk)] = chunk

    def _wait_for(self, token: Token, size: int) -> None:
        """Wait, in real time and with the lock given up, until the chunks before the final one have come."""
        deadline = time.monotonic() + self._library.settings.final_chunk_wait_seconds
        self._take_parked(token)
        while len(token.data) < size:
            left = deadline - time.monotonic()
            if left <= 0 or not self._library.progress.wait(left):
                token.uploaded_size = len(token.data)
                raise ApiError("UPLOAD_TOKEN_CANNOT_MATCH_EXPECTED_SIZE")
            self._take_parked(token)
        token.uploaded_size = len(token.data)

    def _fill(self, token: Token) -> None:
        token.status = TOKEN_FULL
        token.parked.clear()
        self._library.token_filled(token)
