"""S: sessions, app tokens, and what a session may do."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Any

from asking import Api, err, item, resource, search, wanted
from sites import Site

KINDS = ("sha1", "sha256", "sha512", "md5")


def secrets_and_sessions(s: Site) -> None:
    """Sessions by secret; nothing is changed by one that is started."""
    api = s.api
    started = base64.urlsafe_b64decode(api.start() + "==")
    s.record("S01", "session.start admin: kind", {"v2": started[:3] == b"v2|"})
    s.record("S02", "wrong secret", err(api.start(secret="0" * 32)))
    s.record("S03", "unknown partner", err(api.start(partner="987654")))
    s.record("S04", "no partner", err(api.call("session", "start", {"secret": api.secret, "type": 2}, ks="")))
    s.record("S05", "partner not a number", err(api.start(partner="abc")))
    if s.user_secret:
        s.record("S06", "user session with the user secret", err(api.start(kind=0, secret=s.user_secret)))
        s.record("S07", "admin session with the user secret", err(api.start(kind=2, secret=s.user_secret)))
    s.record("S08", "user session with the admin secret", err(api.start(kind=0, user="viewer", privileges="")))
    s.record("S09", "type 7", err(api.start(kind=7)))
    s.record("S10", "session.get of an admin KS", api.call("session", "get"))
    given = api.call("session", "get", ks=api.start(expiry=10 * 86400))
    days = round((int(given.get("expiry", 0)) - s.now()) / 86400)
    s.record("S11", "expiry of ten days asked for: days got", days)
    _made_here(s)


def _made_here(s: Site) -> None:
    api = s.api
    expiry = int(s.now()) + 3600
    for number, end, what in (("S44", expiry, "KS v1 made here"), ("S45", expiry - 7200, "expired KS v1 made here")):
        info = f"{api.partner};{api.partner};{end};2;1234;archiver;disableentitlement;;"
        signature = hashlib.sha1((api.secret + info).encode()).hexdigest()  # noqa: S324 - as the server signs
        ks = base64.b64encode(f"{signature}|{info}".encode()).decode()
        s.names.name(ks, "v1 ks" if number == "S44" else "v1 expired ks")
        s.record(number, what, err(api.call("media", "get", {"entryId": s.main}, ks=ks)))


def sessions(s: Site) -> None:
    """What becomes of a KS, and what a widget's may do."""
    api, main = s.api, {"entryId": s.main}
    short = api.start(expiry=1) if api.secret else ""
    if short:
        s.names.name(short, "short ks")
        s.sleep(2.2)
        s.record("S40", "expired KS", err(api.call("media", "get", main, ks=short)))
        calls = {
            str(number): {"service": "media", "action": "get", **main, "ks": ks}
            for number, ks in enumerate((short, api.ks))
        }
        s.record("S41", "expired KS in a multirequest", err(api.call("multirequest", "", calls)))
    s.record("S42", "garbage KS", err(api.call("media", "get", main, ks="garbage")))
    tampered = s.names.name(api.ks[:-6] + ("AAAAAA" if api.ks[-6:] != "AAAAAA" else "BBBBBB"), "tampered ks")
    s.record("S43", "tampered KS", err(api.call("media", "get", main, ks=tampered)))
    if api.secret:
        ended = s.names.name(api.start(user="ender"), "ended ks")
        s.record("S46", "session.end", err(api.call("session", "end", ks=ended)))
        s.record("S47", "KS after session.end", err(api.call("media", "get", main, ks=ended)))
    answer = widget_session(s)
    s.record("S12", "startWidgetSession", answer)
    unknown = api.again().call("session", "startWidgetSession", {"widgetId": "_987654"})
    s.record("S13", "unknown widget", err(unknown))
    widget = answer["ks"]
    s.record("S60", "widget KS: media.get", err(api.call("media", "get", main, ks=widget)))
    if "write" in s.can:
        s.record("S61", "widget KS: media.update", err(api.update(s.main, ks=widget, tags="hacked")))
    s.record("S62", "widget KS: eSearch", err(search(api.again(widget), wanted(item("id", 1, s.main)), None)))
    s.record("S63", "widget KS: flavorAsset.list", err(_flavors_as(api, s.main, widget)))
    address = api.call("flavorasset", "getUrl", {"id": s.main_original}, ks=widget)
    s.record("S64", "widget KS: flavorAsset.getUrl", err(address))


def widget_session(s: Site) -> Any:
    answer = s.api.again().call("session", "startWidgetSession", {"widgetId": f"_{s.api.partner}"})
    s.names.name(answer.get("ks") or "-", "widget ks")
    return answer


def _flavors_as(api: Api, entry: str, ks: str) -> Any:
    return api.again(ks).call(
        "flavorasset", "list", {"filter": {"objectType": "KalturaFlavorAssetFilter", "entryIdEqual": entry}}
    )


def app_tokens(s: Site) -> None:
    """Sessions by app tokens that are made for it."""
    api, nobody = s.api, s.api.again()
    widget = widget_session(s)["ks"]

    def hashed(token: str, kind: str = "sha256", ks: str = widget) -> str:
        return hashlib.new(kind, (ks + token).encode()).hexdigest()

    def start(token_id: str, token_hash: str, ks: str = widget, **more: Any) -> Any:
        return nobody.call("apptoken", "startSession", {"id": token_id, "tokenHash": token_hash, **more}, ks=ks)

    for number, kind in enumerate(KINDS):
        token_id, token = s.app_token(hashType=kind.upper())
        answer = start(token_id, hashed(token, kind), userId=s.user, type=2, expiry=86400)
        s.names.name(answer.get("ks") or "-", "app ks")
        s.record(f"S2{number}", f"app token {kind}", err(answer) if "error" in answer else _with_privileges(answer))
    token_id, token = s.app_token()
    s.record("S24", "wrong hash", err(start(token_id, "0" * 64)))
    s.record("S25", "hash of another kind", err(start(token_id, hashed(token, "sha1"))))
    s.record("S26", "hash in upper case", err(start(token_id, hashed(token).upper())))
    own = err(start(token_id, hashed(token, ks=api.ks), ks=api.ks))
    s.record("S27", "hash made with an admin KS and sent with it", own)
    s.record("S28", "without KS", err(start(token_id, hashed(token), ks="")))
    s.record("S29", "unknown app token", err(start("0_nothere0", hashed(token))))

    def read(answer: Any) -> Any:
        ks = s.names.name(answer.get("ks") or "x", "app ks")
        return err(api.call("media", "get", {"entryId": s.main}, ks=ks))

    if "break" in s.can:
        good = start(token_id, hashed(token))
        s.break_app_token(token_id, "disabled")
        s.record("S30", "disabled app token", err(start(token_id, hashed(token))))
        s.record("S31", "session of a disabled app token", read(good))
        expired_id, expired = s.app_token()
        s.break_app_token(expired_id, "expired")
        s.record("S34", "expired app token", err(start(expired_id, hashed(expired))))
    token_id, token = s.app_token()
    good = start(token_id, hashed(token))
    s.break_app_token(token_id, "deleted")
    s.record("S32", "deleted app token", err(start(token_id, hashed(token))))
    s.record("S33", "session of a deleted app token", read(good))
    token_id, token = s.app_token(sessionType=0)
    answer = start(token_id, hashed(token), type=2)
    got = err(answer) if "error" in answer else answer.get("sessionType")
    s.record("S35", "token of type USER, ADMIN asked for: type got", got)
    token_id, token = s.app_token(sessionDuration=600)
    answer = start(token_id, hashed(token), expiry=86400)
    minutes = round((int(answer.get("expiry", 0)) - s.now()) / 60)
    s.record("S36", "token of 600 s, a day asked for: minutes got", minutes)


def _with_privileges(answer: Any) -> Any:
    privileges = re.sub("[01]_[a-z0-9]{8}", "<id>", answer["privileges"]).split(",")
    return {**answer, "privileges": sorted(privileges)}


def other_users(s: Site) -> None:
    """What a user may do to another one's entry."""
    api, main, what = s.api, {"entryId": s.main}, "another user's KS:"
    user = s.names.name(api.start(kind=0, user="viewer", privileges=""), "user ks")
    s.record("S50", f"{what} media.get", err(api.call("media", "get", main, ks=user)))
    s.record("S51", f"{what} media.update", err(api.update(s.main, ks=user, tags="hacked")))
    s.record("S52", f"{what} flavorAsset.list", err(_flavors_as(api, s.main, user)))
    original = {"id": s.main_original}
    s.record("S53", f"{what} flavorAsset.getUrl", err(api.call("flavorasset", "getUrl", original, ks=user)))
    s.record("S54", f"{what} flavorAsset.delete", err(api.call("flavorasset", "delete", original, ks=user)))
    update = {**main, "resource": resource("0_nothere0")}
    s.record("S55", f"{what} updateContent", err(api.call("media", "updateContent", update, ks=user)))
    s.record("S56", f"{what} cancelReplace", err(api.call("media", "cancelReplace", main, ks=user)))
    s.record("S57", f"{what} eSearch", err(search(api.again(user), wanted(item("id", 1, s.main)), None)))
    foreign = api.token(b"x")
    s.record("S58", f"{what} uploadToken.get of a foreign token", err(api.get_token(foreign, ks=user)))
