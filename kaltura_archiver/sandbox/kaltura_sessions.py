"""Sessions (KS) and app tokens of the sandbox's Kaltura (kaltura-api.md 2)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets
from dataclasses import dataclass
from typing import Any

from .kaltura_library import Library
from .kaltura_wire import ApiError, as_int, split_csv

USER, ADMIN = 0, 2
_DEFAULT_SECONDS = 86400
# What a caller of appToken.startSession cannot give himself.
_RESERVED = ("disableentitlement", "edit", "setrole", "enableentitlement", "apptoken")


@dataclass(frozen=True)
class Session:
    """A valid KS; `widget` sessions may do nothing but start a session by app token."""

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
    """Starts and checks sessions. A KS is a signed v1 string, so that one a client makes itself is valid too."""

    def __init__(self, library: Library, partner_id: int, secret: str) -> None:
        self._library = library
        self._partner_id = partner_id
        self._secret = secret
        self._ended: set[str] = set()
        self.issued: list[str] = []

    def check(self, ks: str) -> Session:
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

    def _parse(self, ks: str) -> Session | None:
        try:
            signature, _, info = base64.b64decode(ks, validate=True).decode().partition("|")
        except (binascii.Error, ValueError):
            return None
        fields = info.split(";")
        if signature != self._sign(info) or len(fields) < 7:
            return None
        return Session(
            ks, as_int(fields[0]), fields[5], as_int(fields[3]), as_int(fields[2]), tuple(split_csv(fields[6]))
        )

    def _sign(self, info: str) -> str:
        return hashlib.sha1((self._secret + info).encode()).hexdigest()  # noqa: S324

    def _app_token_lives(self, session: Session) -> bool:
        for privilege in session.privileges:
            if privilege.startswith("apptoken:"):
                token = self._library.app_tokens.get(privilege.partition(":")[2])
                return token is not None and token.status != 3
        return True

    def _make(self, user_id: str, session_type: int, expiry: int, privileges: list[str]) -> str:
        user = user_id.replace(";", "")
        info = ";".join(
            map(str, (self._partner_id, self._partner_id, expiry, session_type, secrets.randbelow(1 << 30), user))
        )
        info += ";" + ",".join(privileges) + ";;"
        ks = base64.b64encode(f"{self._sign(info)}|{info}".encode()).decode()
        self.issued.append(ks)
        return ks

    def _expiry(self, seconds: Any) -> int:
        wanted = as_int(seconds, _DEFAULT_SECONDS)
        return self._library.now() + min(wanted, self._library.settings.session_seconds)

    def start(self, p: dict[str, Any]) -> str:
        partner_id = as_int(p.get("partnerId"), -1)
        session_type = as_int(p.get("type"))
        if partner_id != self._partner_id or p["secret"] != self._secret or session_type not in (USER, ADMIN):
            raise ApiError("START_SESSION_ERROR", p.get("partnerId", ""))
        privileges = split_csv(p.get("privileges"))
        return self._make(str(p.get("userId", "")), session_type, self._expiry(p.get("expiry")), privileges)

    def start_widget(self, p: dict[str, Any]) -> dict[str, Any]:
        if str(p["widgetId"]) != f"_{self._partner_id}":
            raise ApiError("INVALID_WIDGET_ID", p["widgetId"])
        ks = self._make("0", USER, self._expiry(p.get("expiry")), ["widget:1", "view:*"])
        return {
            "objectType": "KalturaStartWidgetSessionResponse",
            "partnerId": self._partner_id,
            "ks": ks,
            "userId": "0",
        }

    def start_by_app_token(self, session: Session, p: dict[str, Any]) -> dict[str, Any]:
        now = self._library.clock.now()
        token = self._library.app_tokens.get(str(p["id"]))
        if token is None or token.status == 3:
            raise ApiError("APP_TOKEN_ID_NOT_FOUND", p["id"])
        if token.status != 2:
            raise ApiError("APP_TOKEN_NOT_ACTIVE", token.id)
        if token.expiry is not None and token.expiry <= now:
            raise ApiError("APP_TOKEN_EXPIRED", token.id)
        wanted = hashlib.new(token.hash_type, (session.ks + token.token).encode()).hexdigest()
        if not secrets.compare_digest(wanted.encode(), str(p["tokenHash"]).lower().encode()):
            raise ApiError("INVALID_APP_TOKEN_HASH")
        seconds = min(as_int(p.get("expiry"), token.session_seconds), token.session_seconds)
        expiry = self._expiry(seconds)
        if token.expiry is not None:
            expiry = min(expiry, int(token.expiry))
        given = [x for x in split_csv(p.get("sessionPrivileges")) if x.split(":")[0] not in _RESERVED]
        privileges = [*split_csv(token.privileges), *given, f"apptoken:{token.id}"]
        user_id = token.user_id or str(p.get("userId", ""))
        return self._info(self.check(self._make(user_id, token.session_type, expiry, privileges)))

    def get(self, session: Session, p: dict[str, Any]) -> dict[str, Any]:
        return self._info(self.check(str(p["session"])) if p.get("session") else session)

    def end(self, session: Session) -> None:
        self._ended.add(session.ks)

    def _info(self, session: Session) -> dict[str, Any]:
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
