"""Sessions (KS) and app tokens of the sandbox's Kaltura (kaltura-api.md 2)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets
import urllib.parse
from dataclasses import dataclass
from typing import Any

from kaltura_archiver.sandbox.kaltura.library import AccountRecords
from kaltura_archiver.sandbox.kaltura.records import AppToken, new_id
from kaltura_archiver.sandbox.kaltura.wire import ApiError, as_int, split_csv

USER, ADMIN = 0, 2
_DEFAULT_SECONDS = 86400
_V2_START = base64.urlsafe_b64encode(b"v2|").decode()
_DIGEST_BYTES, _RANDOM_BYTES = 20, 16
# What a caller of appToken.startSession cannot give himself.
_RESERVED = ("disableentitlement", "edit", "setrole", "enableentitlement", "apptoken")


@dataclass(frozen=True)
class KalturaSession:
    """A valid KS; `widget` sessions may read what everybody may, and start a session by app token."""

    ks: str
    partner_id: int
    user_id: str
    type: int
    expiry: int
    privileges: tuple[str, ...]

    @property
    def widget(self) -> bool:
        return "widget:1" in self.privileges

    @property
    def sees_all(self) -> bool:
        return "disableentitlement" in self.privileges


def session_hash(ks: str) -> str:
    return hashlib.sha256(ks.encode()).hexdigest()[:12] if ks else ""


class Sessions:
    """Starts and checks sessions."""

    def __init__(self, library: AccountRecords, partner_id: int, secret: str) -> None:
        self._library = library
        self._partner_id = partner_id
        self._secret = secret
        self.user_secret = f"{secret}-of-users"
        self._ended: set[str] = set()
        self.issued: list[str] = []

    def check(self, ks: str) -> KalturaSession:
        """The session of a KS; raises INVALID_KS, naming EXPIRED, LOGOUT or the KS itself."""
        session = self._parse(ks)
        if session is None:
            raise invalid_ks(ks)
        if session.partner_id != self._partner_id:
            raise invalid_ks("INVALID_PARTNER")
        if ks in self._ended or not self._app_token_lives(session):
            raise invalid_ks("LOGOUT")
        if session.expiry <= self._library.clock.now():
            raise invalid_ks("EXPIRED")
        return session

    def _parse(self, ks: str) -> KalturaSession | None:
        """Of version 2, as the server gives it, or of version 1, as clients may make it themselves."""
        try:
            if ks.startswith(_V2_START):
                return self._parse_v2(ks, base64.urlsafe_b64decode(ks + "=" * (-len(ks) % 4)))
            signature, _, info = base64.b64decode(ks, validate=True).decode().partition("|")
        except (binascii.Error, ValueError):
            return None
        fields = info.split(";")
        if signature != self._sign(info) or len(fields) < 7:
            return None
        return KalturaSession(
            ks, as_int(fields[0]), fields[5], as_int(fields[3]), as_int(fields[2]), tuple(split_csv(fields[6]))
        )

    def _parse_v2(self, ks: str, data: bytes) -> KalturaSession | None:
        _, partner_id, rest = data.split(b"|", 2)
        signed = rest[_DIGEST_BYTES:]
        if rest[:_DIGEST_BYTES] != self._signature(signed):
            return None
        query = signed[_RANDOM_BYTES:].rstrip(b"\0").decode()
        fields = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))
        user_id, kind, expiry = fields.pop("_u", ""), as_int(fields.pop("_t", "")), as_int(fields.pop("_e", ""))
        privileges = tuple(f"{name}:{value}" if value else name for name, value in fields.items())
        return KalturaSession(ks, as_int(partner_id.decode()), user_id, kind, expiry, privileges)

    def _signature(self, signed: bytes) -> bytes:
        return hashlib.sha1(self._secret.encode() + signed).digest()  # noqa: S324

    def _sign(self, info: str) -> str:
        return hashlib.sha1((self._secret + info).encode()).hexdigest()  # noqa: S324

    def _app_token_lives(self, session: KalturaSession) -> bool:
        for privilege in session.privileges:
            if privilege.startswith("apptoken:"):
                token = self._library.app_tokens.get(privilege.partition(":")[2])
                return token is not None and token.status != 3
        return True

    def _make(self, user_id: str, session_type: int, expiry: int, privileges: list[str]) -> str:
        """A KS of version 2, signed; it is not encrypted here as the server's is, for nobody can look into that."""
        pairs = [privilege.partition(":") for privilege in privileges]
        fields = {name: value for name, _, value in pairs} | {"_e": expiry, "_t": session_type, "_u": user_id}
        query = urllib.parse.urlencode(fields, safe="*,:").encode()
        signed = secrets.token_bytes(_RANDOM_BYTES) + query
        signed += bytes(-(len(signed) + _DIGEST_BYTES) % 16)
        data = f"v2|{self._partner_id}|".encode() + self._signature(signed) + signed
        ks = base64.urlsafe_b64encode(data).decode()
        self.issued.append(ks)
        return ks

    def _expiry(self, seconds: Any) -> int:
        wanted = as_int(seconds, _DEFAULT_SECONDS)
        return self._library.now() + min(wanted, self._library.settings.session_seconds)

    def start(self, p: dict[str, Any]) -> str:
        partner, kind = str(p.get("partnerId", "")), str(p.get("type", "0"))
        if kind not in ("0", "2"):
            raise ApiError("INVALID_ENUM_VALUE", kind, "type", "KalturaSessionType")
        if partner and not partner.lstrip("-").isdigit():
            raise ApiError("SERVICE_FORBIDDEN", "session->start")
        if as_int(partner) not in (0, self._partner_id):
            raise ApiError("SERVICE_FORBIDDEN_CONTENT_BLOCKED")
        right = {self._secret, self.user_secret} if kind == "0" else {self._secret}
        if not as_int(partner) or p["secret"] not in right:
            raise ApiError("START_SESSION_ERROR", as_int(partner))
        privileges = split_csv(p.get("privileges"))
        return self._make(str(p.get("userId", "")), as_int(kind), self._expiry(p.get("expiry")), privileges)

    def start_widget(self, p: dict[str, Any]) -> dict[str, Any]:
        if str(p["widgetId"]) != f"_{self._partner_id}" or not self._library.settings.default_widget:
            raise ApiError("INVALID_WIDGET_ID", p["widgetId"])
        ks = self._make("0", USER, self._expiry(p.get("expiry")), ["widget:1", "view:*"])
        return {
            "objectType": "KalturaStartWidgetSessionResponse",
            "partnerId": self._partner_id,
            "ks": ks,
            "userId": "0",
        }

    def start_by_app_token(self, session: KalturaSession, p: dict[str, Any]) -> dict[str, Any]:
        now = self._library.clock.now()
        token = self._library.app_tokens.get(str(p["id"]))
        if token is None or token.status == 3:
            raise ApiError("APP_TOKEN_ID_NOT_FOUND", p["id"])
        if token.status != 2:
            raise ApiError("APP_TOKEN_NOT_ACTIVE", token.id)
        if token.expiry is not None and token.expiry <= now:
            raise ApiError("APP_TOKEN_EXPIRED", token.id)
        wanted = hashlib.new(token.hash_type, (session.ks + token.token).encode()).hexdigest()
        if not secrets.compare_digest(wanted.encode(), str(p["tokenHash"]).encode()):
            raise ApiError("INVALID_APP_TOKEN_HASH")
        seconds = min(as_int(p.get("expiry"), token.session_seconds), token.session_seconds)
        expiry = self._expiry(seconds)
        if token.expiry is not None:
            expiry = min(expiry, int(token.expiry))
        given = [x for x in split_csv(p.get("sessionPrivileges")) if x.split(":")[0] not in _RESERVED]
        privileges = [*split_csv(token.privileges), *given, f"apptoken:{token.id}", f"sessionid:{new_id()}"]
        user_id = token.user_id or str(p.get("userId", ""))
        return self._info(self.check(self._make(user_id, token.session_type, expiry, privileges)))

    def add_app_token(self, session: KalturaSession, p: dict[str, Any]) -> dict[str, Any]:
        sent = p["appToken"]
        token = AppToken(
            new_id(),
            secrets.token_hex(16),
            hash_type=str(sent.get("hashType", "SHA1")).lower(),
            user_id=str(sent.get("sessionUserId", "")),
            session_type=as_int(sent.get("sessionType"), USER),
            session_seconds=as_int(sent.get("sessionDuration"), _DEFAULT_SECONDS),
            privileges=str(sent.get("sessionPrivileges", "")),
        )
        self._library.app_tokens[token.id] = token
        return {
            "objectType": "KalturaAppToken",
            "id": token.id,
            "token": token.token,
            "partnerId": self._partner_id,
            "status": token.status,
            "hashType": token.hash_type.upper(),
        }

    def delete_app_token(self, session: KalturaSession, p: dict[str, Any]) -> None:
        token = self._library.app_tokens.get(str(p["id"]))
        if token is None or token.status == 3:
            raise ApiError("APP_TOKEN_ID_NOT_FOUND", p["id"])
        token.status = 3

    def get(self, session: KalturaSession, p: dict[str, Any]) -> dict[str, Any]:
        if p.get("session"):
            return self._info(self.check(str(p["session"])))
        return self._info(session) | {"ks": None}

    def end(self, session: KalturaSession) -> None:
        self._ended.add(session.ks)

    def _info(self, session: KalturaSession) -> dict[str, Any]:
        return {
            "objectType": "KalturaSessionInfo",
            "ks": session.ks,
            "sessionType": session.type,
            "partnerId": session.partner_id,
            "userId": session.user_id,
            "expiry": session.expiry,
            "privileges": ",".join(session.privileges),
        }


def invalid_ks(ks_id: str) -> ApiError:
    return ApiError("INVALID_KS", ks_id, "-1", "INVALID_STR")
