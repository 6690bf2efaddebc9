"""F: flavor assets in lists, their addresses, and the host that serves their files."""

from __future__ import annotations

import re
from typing import Any

from asking import Api, content_of, err, served
from sites import Site

NOWHERE = "0_nothere0"
ODD_NAMES = (
    *("a/b", "a?b#c", "100% sure", "a&b=c", "ü ö", "emoji 😀", "quote \"x'", "..", "a.b.c", "<b>", "a\\b", "x" * 300),
    *(" lead", "a+b", "{0_x}", "tab\there", "semi;colon,comma"),
)


def _list(api: Api, wanted: dict[str, Any], pager: dict[str, Any] | None = None) -> Any:
    sent: dict[str, Any] = {"filter": {"objectType": "KalturaFlavorAssetFilter", **wanted}}
    if pager:
        sent["pager"] = {"objectType": "KalturaFilterPager", **pager}
    return api.call("flavorasset", "list", sent)


def _rows(s: Site, answer: Any) -> Any:
    if "error" in answer:
        return err(answer)
    if not answer.get("objects"):
        return answer
    return [f"{s.names.get(f['entryId'], f['entryId'])} {f['flavorParamsId']}" for f in answer["objects"]]


def flavor_lists(s: Site) -> None:
    """How lists are filtered and paged; nothing is changed."""
    api, main = s.api, s.main
    s.record("F02", "… the answer's own fields", list(api.flavors(main)))
    s.record("F06", "entryIdIn of unknown ones only", _list(api, {"entryIdIn": "0_none0000,0_none0001"}))
    s.record("F07", "no filter field", err(_list(api, {})))
    s.record("F08", "no filter at all", err(api.call("flavorasset", "list", {})))
    s.record("F09", "entryIdEqual unknown", err(_list(api, {"entryIdEqual": NOWHERE})))
    orders = ("+createdAt", "-createdAt", "+size", "+nonsense")
    answers = [err(_list(api, {"entryIdEqual": main, "orderBy": order})) for order in orders]
    s.record("F11", "orderBy +createdAt, -createdAt, +size, nonsense", answers)
    s.record("F15", "getByEntryId", err(api.call("flavorasset", "getByEntryId", {"entryId": main})))
    actions = ("getByEntryId", "getFlavorAssetsWithParams")
    answers = [err(api.call("flavorasset", action, {"entryId": NOWHERE})) for action in actions]
    s.record("F17", "getByEntryId, getFlavorAssetsWithParams of an unknown entry", answers)


def flavors(s: Site) -> None:
    """The flavors of an entry of ours, whole."""
    api, main = s.api, s.main
    original = api.original(main)
    s.record("F01", "flavorAsset.list: the whole original", original)
    others = [flavor for flavor in api.flavors(main)["objects"] if flavor["isOriginal"] != "1"]
    s.record("F03", "… a derived flavor", others[0] if others else None)
    right = original["sizeInBytes"] == str(len(s.video))
    s.record("F04", "sizeInBytes of the original = bytes uploaded", right)
    many = {"entryIdIn": ",".join([main, s.tagged, *(f"0_none{number:04d}" for number in range(38))])}
    rows = sorted(_rows(s, _list(api, many)))
    s.record("F05", "entryIdIn of 40, most unknown", [rows, _list(api, many)["totalCount"]])
    pages: tuple[dict[str, int], ...] = ({"pageSize": 0}, {"pageSize": 1}, {"pageSize": 501}, {"pageSize": -1})
    pages += tuple({"pageSize": 1, "pageIndex": index} for index in (2, 0, 99))
    sizes = []
    for pager in pages:
        answer = _list(api, {"entryIdEqual": main}, pager)
        told = err(answer) if "error" in answer else (len(answer.get("objects") or []), answer.get("totalCount"))
        sizes.append(told)
    s.record("F10", "pageSize 0, 1, 501, -1; page 2 of size 1; page 0; page 99", sizes)
    asked: tuple[dict[str, Any], ...] = ({"statusEqual": 2}, {"statusIn": "3"}, {"statusNotIn": "2"})
    answers = [_rows(s, _list(api, {"entryIdEqual": main, **one})) for one in asked]
    s.record("F12", "statusEqual 2; statusIn 3; statusNotIn 2", answers)
    s.record("F13", "duplicates in entryIdIn", _list(api, {"entryIdIn": f"{main},{main}"})["totalCount"])
    s.record("F14", "spaces in entryIdIn", _list(api, {"entryIdIn": f"0_none0000, {main}"}).get("totalCount"))
    answer = api.call("flavorasset", "getFlavorAssetsWithParams", {"entryId": main})
    shown = list(map(_with_params, answer)) if isinstance(answer, list) else err(answer)
    s.record("F16", "getFlavorAssetsWithParams", shown)
    answers = [err(api.call("flavorasset", action, {"id": NOWHERE})) for action in ("get", "getUrl", "delete")]
    s.record("F18", "flavorAsset.get, getUrl, delete of an unknown id", answers)
    _addresses(s, original["id"])


def _with_params(one: Any) -> dict[str, Any]:
    flavor, params = one["flavorAsset"], one["flavorParams"]
    return {
        "flavorAsset": flavor.get("flavorParamsId") if isinstance(flavor, dict) else flavor,
        "params": params.get("id") if isinstance(params, dict) else params,
        "fields": list(one),
    }


def _addresses(s: Site, flavor_id: str) -> None:
    api, main = s.api, s.main
    s.record("F20", "getUrl", api.url_of(flavor_id))
    options = {"objectType": "KalturaFlavorAssetUrlOptions", "fileName": "my file ü.mp4"}
    asked: tuple[dict[str, Any], ...] = ({"forceProxy": True}, {"storageId": 7}, {"options": options})
    answers = [api.url_of(flavor_id, **one) for one in asked]
    shown = [err(answer) if isinstance(answer, dict) else answer for answer in answers]
    s.record("F21", "getUrl with forceProxy, storageId, options", shown)
    before, odd = api.get(main)["name"], {}
    for name in ODD_NAMES:
        api.update(main, name=name)
        address = api.url_of(flavor_id)
        got = served(address)
        path = re.sub(r"x{50,}", lambda run: f"x*{len(run.group())}", address.partition("/fileName/")[2])
        odd[name if len(name) < 99 else "300 x"] = [path, got.get("status"), got.get("bytes") == len(s.video)]
    api.update(main, name=before)
    s.record("F26", "getUrl for odd entry names: the path from fileName on, status, all bytes", odd)


def file_host(s: Site) -> None:
    """What the file host answers to requests of few bytes; nothing is changed."""
    original = s.api.original(s.main)
    address, size = s.api.url_of(original["id"]), int(original["sizeInBytes"] or 0)
    s.record("F23", "HEAD", served(address, "HEAD"))
    parts = (
        ("F300", "first ten", "bytes=0-9"),
        ("F302", "last ten", "bytes=-10"),
        ("F304", "from the end on", f"bytes={size}-"),
        ("F306", "two ranges", "bytes=0-9,20-29"),
        ("F307", "reversed", "bytes=20-10"),
        ("F308", "nonsense", "bytes=abc"),
        ("F309", "other unit", "items=0-9"),
        ("F311", "one byte at the end", f"bytes={size - 1}-"),
    )
    for number, what, wanted in parts:
        s.record(number, f"Range: {what}", served(address, Range=wanted))
    s.record("F45", "Range with If-Range of another ETag", served(address, Range="bytes=0-9", If_Range='"nope"'))
    s.record("F46", "HEAD with Range", served(address, "HEAD", Range="bytes=0-9"))
    errors = (
        ("F50", "unknown flavor", address.replace(original["id"], NOWHERE)),
        ("F51", "unknown entry", address.replace(s.main, NOWHERE)),
        ("F53", "version 999", re.sub(r"/v/\d+", "/v/999", address)),
        ("F54", "version 1", re.sub(r"/v/\d+", "/v/1", address)),
        ("F56", "no flavor", re.sub(r"/flavorId/[^/]+", "", address)),
    )
    for number, what, wrong in errors:
        s.record(number, f"file host: {what}", served(wrong))


def whole_files(s: Site) -> None:
    """Requests that bring much of a file, or need a second entry."""
    original = s.api.original(s.main)
    address, size = s.api.url_of(original["id"]), len(s.video)
    s.record("F22", "GET", served(address))
    s.record("F24", "the bytes are the uploaded ones", content_of(address) == s.video)
    parts = (
        ("F301", "from the middle", f"bytes={size // 2}-"),
        ("F303", "to far beyond the end", f"bytes=10-{size * 9}"),
        ("F305", "suffix larger than all", f"bytes=-{size * 5}"),
        ("F310", "whole", "bytes=0-"),
    )
    for number, what, wanted in parts:
        s.record(number, f"Range: {what}", served(address, Range=wanted))
    s.record("F52", "file host: another entry's id", served(address.replace(s.main, s.tagged)))
    s.record("F55", "file host: no version", served(re.sub(r"/v/\d+", "", address)))
    s.record("F57", "file host: with a query", served(address + "?attempt=3"))
    s.record("F58", "file host: other partner in path", served(re.sub(r"/p/\d+/", "/p/98765/", address)))
