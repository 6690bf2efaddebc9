"""M and N: tags, media.update, entries and their ids, deletion, the recycle bin."""

from __future__ import annotations

from typing import Any

from asking import STATE, err, flavor_rows, item, pick, resource, search, served, wanted
from sites import Site

NOWHERE = "0_nothere0"
TAGS = (
    *("", "a", "ab", "A, b, cc", "Physics, physics ,PHYSICS", " spaced  out ,x  y", "ümlaut, ÜMLAUT, Ü", "é"),
    *('<b>bold</b>, a&b, "q"', "archived_to_s3,flavors_deleted", ",,,", "x" * 101, "y" * 250, "é" * 60),
    *("é" * 50 + "a", "a" * 99 + "é", "dup, dup", "line\nbreak, tab\there", "semi;colon, col:on", "emoji 😀 tag"),
    *("a,b;c", "İstanbul, ẞ, ß", "  ", "keep, Keep_It", "%41bc, 100%", "back\\slash", "'single', \u2019curly\u2019"),
    *("nbsp\u00a0tag, \u00a0pad\u00a0", "zero\u200bwidth", "e\u0301 combined"),
)
FIELDS: tuple[tuple[str, Any], ...] = (
    *(("status", 1), ("createdAt", 1500000000), ("plays", 7), ("lastPlayedAt", 1500000000)),
    *(("replacingEntryId", "0_x"), ("replacementStatus", "0"), ("displayInSearch", -2), ("id", "0_x"), ("type", 7)),
    *(("mediaType", 2), ("duration", 3), ("updatedAt", 5), ("conversionProfileId", 1), ("nonsense", "x")),
    *(("userId", "somebody"), ("parentEntryId", "<main>"), ("templateEntryId", "x")),
)


def _kept(answer: Any) -> Any:
    if "error" in answer:
        return err(answer)
    tags = answer.get("tags") or ""
    return tags if len(tags) < 60 else f"{len(tags)} characters, {len(tags.encode())} bytes"


def tags(s: Site) -> None:
    api, entry = s.api, s.tagged

    def change(**fields: Any) -> Any:
        return api.update(entry, **fields)

    table = {sent if len(sent) < 60 else f"{sent[:3]}…{len(sent)}": _kept(change(tags=sent)) for sent in TAGS}
    s.record("M01", "tags sent -> tags in the answer of media.update", table)
    change(tags="physics, keep")
    s.record("M02", "media.get afterwards has the same", api.get(entry).get("tags"))
    before = api.get(entry)
    s.sleep(1.2)
    after = change(tags="physics, keep")
    moved = int(after["updatedAt"]) > int(before["updatedAt"])
    s.record("M03", "the same tags again: updatedAt moves", moved)
    s.sleep(1.2)
    third = change(tags="physics, keep, more1")
    changed = sorted(name for name in third if third[name] != after.get(name) and name != "updatedAt")
    moved = int(third["updatedAt"]) > int(after["updatedAt"])
    what = "other tags: updatedAt moves; version; fields that change"
    s.record("M04", what, {"updatedAt": moved, "changed": changed})
    s.record("M05", "tags__null", change(tags__null="").get("tags", "error"))
    answer = change(tags=_many(300))
    size = err(answer) if "error" in answer else len(answer["tags"].encode())
    s.record("M06", "300 tags of 76 bytes (22,800 bytes): bytes kept", size)
    answer = change(tags=_many(1200))
    size = err(answer) if "error" in answer else len(answer["tags"].encode())
    again = len(api.get(entry).get("tags", "").encode())
    s.record("M07", "1,200 tags (over 64 KiB)", {"answer": size, "read again": again})
    change(tags="physics")
    answer = change(adminTags="Archived_To_S3, X ,x,  , two words")
    s.record("M08", "adminTags", err(answer) if "error" in answer else answer.get("adminTags"))
    s.record("M09", "adminTags untouched by tags", change(tags="physics, keep").get("adminTags"))
    if api.secret:
        user = api.start(kind=0, user=s.user, privileges="")
        s.record("M10", "adminTags by a user KS of the owner", err(change(ks=user, adminTags="y1")))
    _other_fields(s)


def _many(number: int) -> str:
    return ", ".join(f"tag number {at:04d} {'z' * 60}" for at in range(number))


def _other_fields(s: Site) -> None:
    api, entry = s.api, s.tagged
    for number, (field, value) in enumerate(FIELDS):
        sent = s.main if value == "<main>" else value
        s.record(f"M2{number:02d}", f"media.update of {field}", err(api.update(entry, **{field: sent})))
    api.update(entry, userId=s.user)
    s.record("M40", "media.update of an unknown entry", err(api.update(NOWHERE, tags="x1")))
    s.record("M41", "… without mediaEntry", err(api.call("media", "update", {"entryId": entry})))
    other = {"objectType": "KalturaFlavorAsset", "tags": "x1"}
    answer = api.call("media", "update", {"entryId": entry, "mediaEntry": other})
    s.record("M42", "… with an object of another type", err(answer))
    answer = api.call("media", "update", {"entryId": entry, "mediaEntry": {"tags": "x1, no type"}})
    s.record("M43", "… with objectType missing", err(answer))
    s.record("M44", "tags after that", api.get(entry).get("tags"))
    change = {"objectType": "KalturaMediaEntry", "tags": "{1:result:tags}, by ref"}
    answers = api.multi(
        [
            ("media", "get", {"entryId": entry}),
            ("media", "update", {"entryId": "{1:result:id}", "mediaEntry": change}),
        ]
    )
    shown = [err(answer) if "error" in answer else answer.get("tags") for answer in answers]
    s.record("M45", "update with references to a get before it", shown)


def ids(s: Site) -> None:
    """How ids are compared; nothing is changed."""
    api, upper = s.api, s.main.upper()
    s.record("N02", "unknown id", err(api.get(NOWHERE)))
    s.record("N03", "empty id", err(api.get("")))
    odd = ("0_a b", "x", "0_" + "a" * 70, "ü", f" {s.main}", f"{s.main} ", upper, "0", "-1", "%")
    s.record("N04", "odd ids", {one: err(api.get(one)) for one in odd})
    what = "flavor id in upper case: flavorAsset.get"
    s.record("N06", what, pick(api.call("flavorasset", "get", {"id": s.main_original.upper()}), "id"))


def ids_of_own_entry(s: Site) -> None:
    api, upper = s.api, s.main.upper()
    s.record("N01", "media.get: the whole READY entry", api.get(s.main))
    by_entry = api.call("flavorasset", "getByEntryId", {"entryId": upper})
    found = search(api, {**wanted(item("media_type", 1, "1")), "objectIds": upper})
    answers = [
        pick(api.update(upper, description="x"), "id"),
        sorted({flavor["entryId"] for flavor in api.flavors(upper).get("objects") or []}),
        sorted({flavor["entryId"] for flavor in by_entry} if isinstance(by_entry, list) else ()),
        pick(found, "totalCount"),
    ]
    what = (
        "id in upper case: media.update, flavorAsset.list, getByEntryId, eSearch by objectIds: the ids in the answers"
    )
    s.record("N05", what, answers)


def entries(s: Site) -> None:
    """Entries that are deleted, empty, recycled."""
    _deleted(s)
    api = s.api
    empty = {"entryId": s.empty("never had content")}
    s.record("N20", "entry without content: media.get", api.get(empty["entryId"]))
    answers = [api.flavors(empty["entryId"])]
    answers += [err(api.call("flavorasset", action, empty)) for action in ("getByEntryId", "getFlavorAssetsWithParams")]
    s.record("N21", "… flavorAsset.list, getByEntryId, getFlavorAssetsWithParams", answers)
    _recycled(s)


def _deleted(s: Site) -> None:
    api, entry = s.api, s.make("to be deleted")
    it, original = {"entryId": entry}, api.original(entry)
    address = api.url_of(original["id"])
    s.record("N10", "media.delete", err(api.call("media", "delete", it)))
    answers = [err(api.get(entry)), err(api.update(entry, tags="x1")), err(api.call("media", "delete", it))]
    s.record("N11", "deleted: media.get, update, delete again", answers)
    by_id = [err(api.call("flavorasset", action, {"id": original["id"]})) for action in ("get", "getUrl", "delete")]
    by_entry = [err(api.call("flavorasset", action, it)) for action in ("getByEntryId", "getFlavorAssetsWithParams")]
    what = "deleted: flavorAsset.list, get, getUrl, delete, getByEntryId, getFlavorAssetsWithParams"
    s.record("N12", what, [flavor_rows(api, entry), *by_id, *by_entry])
    s.record("N13", "deleted: its URL from before", served(address))
    actions = ("updateContent", "addContent", "cancelReplace", "approveReplace")
    content = [err(api.call("media", action, {**it, "resource": resource(api.token(b"abc"))})) for action in actions]
    s.record("N14", "deleted: updateContent, addContent, cancelReplace, approveReplace", content)
    asked = (wanted(item("id", 1, entry)), {**wanted(item("media_type", 1, "1")), "objectIds": entry})
    s.wait(lambda: all(search(api, one).get("totalCount") == "0" for one in asked), 30)
    totals = [pick(search(api, one), "totalCount") for one in asked]
    s.record("N15", "deleted: eSearch by id and by objectIds", totals)


def _recycled(s: Site) -> None:
    api, entry = s.api, s.make("to be recycled", tags="recycled1")
    it = {"entryId": entry}
    s.record("N30", "baseEntry.recycle", err(api.call("baseentry", "recycle", it)))
    shown = pick(api.get(entry), "status", "displayInSearch", "tags", "replacementStatus")
    s.record("N31", "recycled: media.get", shown)
    s.record("N32", "recycled: flavors", flavor_rows(api, entry))
    original = api.original(entry)
    address = api.url_of(original["id"]) if original else None
    got = [err(address) if isinstance(address, dict) else address, served(address)]
    s.record("N33", "recycled: getUrl and serving", got)
    s.record("N34", "recycled: media.update of tags", err(api.update(entry, tags="x1")))
    s.record("N35", "recycled: updateContent", err(api.swap(entry, api.token(s.other_video))))
    s.sleep(0.5)
    s.record("N36", "recycled: state after that", pick(api.get(entry), *STATE, "displayInSearch"))
    asked = (wanted(item("tags", 1, "recycled1")), wanted(item("id", 1, entry)))
    asked += ({**wanted(item("media_type", 1, "1")), "objectIds": entry},)
    totals = [pick(search(api, one), "totalCount") for one in asked]
    s.record("N37", "recycled: eSearch plain, by id, by objectIds", totals)
    answer = err(api.call("baseentry", "restoreRecycled", it))
    s.record("N38", "restoreRecycled, then state", [answer, pick(api.get(entry), *STATE, "displayInSearch")])
    twice = ("recycle", "recycle", "restoreRecycled", "restoreRecycled")
    answers = [err(api.call("baseentry", action, it)) for action in twice]
    s.record("N39", "baseEntry.recycle twice; restore twice", answers)
