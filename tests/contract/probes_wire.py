"""A and R: the protocol, and several calls in one request."""

from __future__ import annotations

import re
from typing import Any

from asking import TIMEOUT_SECONDS, err, group, item, parse, parse_json, wanted
from sites import Site

_TOLD = ("access-control-allow-origin", "cache-control", "expires", "pragma")
NOWHERE = "0_nothere0"


def wire(s: Site) -> None:
    """What can be asked without changing anything."""
    api, main = s.api, {"entryId": s.main}
    answer = api.raw("system", "ping")
    headers = sorted(name for name in answer.headers if name.lower().startswith("x-") or name.lower() in _TOLD)
    s.record(
        "A01",
        "system.ping: status, headers, body's beginning",
        {
            "status": answer.status_code,
            "type": answer.headers.get("Content-Type"),
            "body": re.sub(r"<executionTime>.*", "…", answer.text),
            "headers": headers,
        },
    )
    s.record("A05", "missing parameter", err(api.call("media", "get")))
    nobody = api.again()
    s.record("A06", "missing parameter without KS", err(nobody.call("media", "get")))
    s.record("A07", "no KS", err(nobody.call("media", "get", main)))
    charset = {"Content-Type": "application/json; charset=utf-8"}
    s.record("A08", "JSON with charset in the content type", err(parse(api.raw("media", "get", main, headers=charset))))
    doubled = "//api_v3/service/media/action/get"
    s.record("A09", "doubled slash before api_v3", err(api.call("media", "get", main, path=doubled)))
    s.record("A10", "names in another case", err(api.call("MEDIA", "GET", main)))
    s.record("A11", "malformed JSON", err(parse(api.raw("media", "get", body='{"entryId": '))))
    s.record("A12", "empty body", err(parse(api.raw("media", "get", body=""))))
    gone = parse_json(api.raw("media", "get", {"entryId": NOWHERE}, fmt="1"))
    s.record("A15", "error in format=1", gone)
    s.record("A16", "no format: XML", api.raw("system", "ping", fmt=None).text[:60])
    address = f"{api.url}/api_v3/service/media/action/get"
    query = f"?entryId={s.main}&ks={api.ks}&format=2"
    s.record("A18", "GET with a query", err(parse(api.http.get(address + query, timeout=TIMEOUT_SECONDS))))
    form = {**main, "ks": api.ks, "format": 2}
    s.record("A19", "form body", err(parse(api.http.post(address, data=form, timeout=TIMEOUT_SECONDS))))
    profile = {"objectType": "KalturaDetachedResponseProfile", "type": 1, "fields": "id,tags,createdAt,status"}
    cut = list(api.call("media", "get", {**main, "responseProfile": profile}))
    s.record("A21", "media.get with a responseProfile of 4 fields", cut)
    s.record("A22", "wrong kalsig", err(api.call("media", "get", {**main, "kalsig": "0" * 32})))
    s.record("A23", "multirequest of nothing", err(api.call("multirequest", "", {})))
    of_main = {"filter": {"objectType": "KalturaFlavorAssetFilter", "entryIdEqual": s.main}}
    asked: list[tuple[str, str, dict[str, Any]]] = [
        ("baseentry", "get", main),
        ("flavorasset", "list", of_main),
        ("flavorasset", "get", {"id": s.main_original}),
        ("flavorasset", "getUrl", {"id": s.main_original}),
    ]
    if "write" in s.can:
        change = {"objectType": "KalturaMediaEntry", "tags": "x1"}
        asked += [("media", "update", {**main, "mediaEntry": change}), ("uploadtoken", "add", {})]
    asked += [
        ("elasticsearch_esearch", "searchEntry", {"searchParams": wanted(item("id", 1, s.main))}),
        ("media", "list", {}),
    ]
    answers = {f"{service}.{action}": err(nobody.call(service, action, sent)) for service, action, sent in asked}
    s.record("A24", "no KS: other actions", answers)


def wire_of_own_entry(s: Site) -> None:
    """What depends on the entry that is read, or would change it, or names no action that is known to read."""
    api, main = s.api, {"entryId": s.main}
    s.record("A02", "unknown service", err(api.call("nosuch", "get")))
    s.record("A03", "unknown action", err(api.call("media", "nosuch")))
    s.record("A04", "no action", err(api.call("media", "")))
    answer = api.raw("media", "get", main, headers={"Accept-Encoding": "gzip"})
    s.record(
        "A13",
        "gzip asked for",
        {
            "encoding": answer.headers.get("Content-Encoding"),
            "connection": answer.headers.get("Connection"),
            "length told": "Content-Length" in answer.headers,
            "note": "Apache's business on a real install",
        },
    )
    shown = parse_json(api.raw("media", "get", main, fmt="1"))
    missing = [name for name in api.get(s.main) if name not in shown]
    kinds = {name: type(value).__name__ for name, value in shown.items()}
    what = "format=1: kinds of values, and fields that XML has and JSON lacks"
    s.record("A14", what, {"kinds": kinds, "missing": missing})
    s.record("A17", "character that XML cannot carry in a parameter", err(api.update(s.main, description="a\x01b")))
    s.record("A20", "ignoreNull=1: fields left", list(api.call("media", "get", {**main, "ignoreNull": 1})))


def multirequests(s: Site) -> None:
    api, main = s.api, s.main

    def get(entry: str) -> tuple[str, str, dict[str, Any]]:
        return "media", "get", {"entryId": entry}

    flavors = {
        "filter": {"objectType": "KalturaFlavorAssetFilter", "entryIdIn": main, "orderBy": "+createdAt"},
        "pager": {"objectType": "KalturaFilterPager", "pageSize": 500, "pageIndex": 1},
    }
    children = {
        "searchParams": {
            "objectType": "KalturaESearchEntryParams",
            "objectStatuses": "2",
            "searchOperator": group(2, item("parent_id", 1, main)),
        },
        "pager": {"objectType": "KalturaPager", "pageSize": 1, "pageIndex": 1},
    }
    calls = [get(main), get(NOWHERE), ("flavorasset", "list", flavors)]
    answers = api.multi([*calls, ("elasticsearch_esearch", "searchEntry", children)])
    s.record("R01", "`look`: entry, a missing one, flavors, children", err(answers))
    if "write" in s.can:
        whole = answers[3] if isinstance(answers, list) and len(answers) > 3 else err(answers)
        s.record("R02", "an empty list inside a multirequest", whole)
    answers = api.multi([get(NOWHERE), get("{1:result:id}"), get(main)])
    s.record("R03", "reference to a failed call", err(answers))
    if "write" in s.can:
        answers = api.multi([get(main), ("nosuch", "get", {}), get(main)])
        s.record("R04", "unknown service in the middle", err(answers))
    ping = {"service": "system", "action": "ping"}
    s.record("R05", "gap in the numbers", err(api.call("multirequest", "", {"0": ping, "2": ping})))
    numbered = {"service": "media", "action": "get", "entryId": main, "ks": api.ks}
    s.record("R06", "numbers from 1", err(api.call("multirequest", "", {"1": ping, "2": numbered})))
    plain = {"service": "media", "action": "get", "entryId": main}
    s.record("R07", "no KS in one, ks outside", err(api.call("multirequest", "", {"0": plain})))
    answers = api.multi([get(main if number % 2 else NOWHERE) for number in range(50)])
    counted = [len(answers), sum("error" in one for one in answers)] if isinstance(answers, list) else err(answers)
    s.record("R08", "50 gets", counted)
    gone = {"service": "media", "action": "get", "entryId": NOWHERE, "ks": api.ks}
    s.record("R09", "multirequest in JSON", parse_json(api.raw("multirequest", "", {"0": gone}, fmt="1")))
    answers = api.multi([get(main)])
    s.record("R10", "multirequest of one call: shape", f"{type(answers).__name__} of {len(answers)}")
    answers = api.multi([("media", "get", {}), get(main)])
    s.record("R11", "missing parameter in the middle", err(answers))
