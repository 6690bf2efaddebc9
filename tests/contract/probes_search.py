"""E and K: the search, and categories."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from asking import bounds, category, err, group, item, ordered, parse, pick, search, wanted
from sites import Site

DAY = 86400
ASKED_TAGS = (
    *("archived_to_s3", "archived", "archive", "to", "s3", "flavors_deleted", "Archived_To_S3", "archived-to-s3"),
    *("two words", "words", "ümlaut", "umlaut", "a&b", "<b>bold</b>", "x1", "dotted.tag", "dotted", "under_score"),
    *("under", "semi;colon", "slash/tag", "apostrophe's", "100%", "c++", "c#"),
)
PAGES = (
    *((0, 1), (1, 1), (1, 2), (1, 999), (501, 1), (500, 20), (500, 21), (10000, 1), (500, 0), (-1, 1), (1, 10000)),
    *((1, 10001), ("", ""), ("abc", 1)),
)
ORDERS = (
    *(("created_at", "desc"), ("updated_at", "asc"), ("last_played_at", "asc"), ("plays", "asc"), ("name", "asc")),
    *(("id", "asc"), ("created_at", "up"), ("views", "asc")),
)
EVERY_STATUS = "-1,-2,0,1,2,4,5,6,7,virusScan.Infected,virusScan.ScanFailure"
# How many there are depends on what else the account has; pages of one are in any order.
_ONLY_TOTAL = ("E172", "E173", "E174", "E175", "E176", "E213", "E1802", "E168", "E169")

Params = Mapping[str, Any]


def _ask(s: Site, number: str, what: str, params: Params, size: Any = 500, page: Any = 1) -> Any:
    answer = search(s.api, params, size, page)
    if "error" in answer:
        s.record(number, what, err(answer))
        return answer
    found = [result["object"]["id"] for result in answer.get("objects") or []]
    labels = sorted(s.names[one] for one in found if one in s.names)
    told: dict[str, Any] = {"total": answer.get("totalCount"), "labels": labels}
    if number in _ONLY_TOTAL:
        del told["labels"]
    s.record(number, what, told)
    return answer


def _with_tag(tag: str) -> Params:
    """A tag as the product asks for one."""
    return group(1, item("tags", 1, tag), item("tags", 3, tag)) if tag.isascii() else item("tags", 1, tag)


def found(s: Site) -> None:
    """What searches find among entries of ours."""
    base, mine = (item("entry_type", 1, "1"), item("media_type", 1, "1")), item("tags", 1, s.set)
    answer = _ask(s, "E01", "what `list` sends: type, media, one tag", wanted(*base, _with_tag(s.set)))
    first = answer["objects"][0]
    shown = {
        "answer": list(answer),
        "result": list(first),
        "object": list(first["object"]),
        "empties": {"aggregations": answer.get("aggregations")},
        "highlight": first.get("highlight"),
        "itemsData": first.get("itemsData"),
    }
    s.record("E02", "the answer's fields; a result's fields; the object's fields", shown)
    for number, tag in enumerate(ASKED_TAGS):
        what = f"tag = {tag} as the product asks (stand-in analyzers)"
        _ask(s, f"E1{number:02d}", what, wanted(*base, mine, _with_tag(tag)))
    _ask(s, "E140", "NOT tag", wanted(*base, mine, group(3, _with_tag("archived_to_s3"))))
    _ask(s, "E141", "tags PARTIAL (not used)", wanted(mine, item("tags", 2, "archived_to_s3")))
    _ask(s, "E142", "tags EXISTS", wanted(mine, item("tags", 4)))
    _ask(s, "E143", "tags STARTS_WITH only", wanted(mine, item("tags", 3, "archived")))
    _ask(s, "E144", "admin_tags EXACT", wanted(item("admin_tags", 1, "archived_to_s3")))
    _ranges(s, mine)
    _ids(s, mine)
    _statuses_pages_and_orders(s, mine)
    _sizes_of_answers(s, mine)


def _ranges(s: Site, mine: Params) -> None:
    now = int(s.now())
    never = group(3, item("last_played_at", 4))
    if "play" in s.can:
        _ask(s, "E150", "plays < 1", wanted(mine, bounds("plays", lessThan=1)))
        played = bounds("last_played_at", lessThanOrEqual=now)
        _ask(s, "E151", "last_played_at <= now (missing fields)", wanted(mine, played))
        zero = group(2, never, bounds("last_played_at", lessThanOrEqual=0))
        _ask(s, "E152", "never: NOT EXISTS or <= 0", wanted(mine, zero))
        unplayed = group(2, bounds("last_played_at", lessThanOrEqual=now - 366 * DAY), never)
        old = bounds("created_at", lessThanOrEqual=now + 1000)
        _ask(s, "E153", "unplayed since a year", wanted(mine, unplayed, old))
        recent = bounds("last_played_at", greaterThanOrEqual=now - 730 * DAY)
        _ask(s, "E154", "played within two years", wanted(mine, recent))
    around = bounds("created_at", greaterThanOrEqual=now - 7200, lessThanOrEqual=now + 60)
    _ask(s, "E155", "created_at within a second range", wanted(mine, around))
    small = bounds("created_at", greaterThanOrEqual=-7200)
    _ask(s, "E156", "small numbers in a range (relative times?)", wanted(mine, small))
    _ask(s, "E157", "created_at <= 0", wanted(mine, bounds("created_at", lessThanOrEqual=0)))
    _ask(s, "E158", "range of text", wanted(mine, bounds("created_at", lessThanOrEqual="abc")))
    _ask(s, "E159", "range without range", wanted(mine, item("created_at", 5)))
    _ask(s, "E160", "empty range object", wanted(mine, bounds("created_at")))


def _ids(s: Site, mine: Params) -> None:
    below = category("ancestor_id", 1, "123")
    _ask(s, "E161", "category ancestor_id", wanted(mine, below))
    _ask(s, "E162", "NOT category ancestor_id", wanted(mine, group(3, below)))
    statuses = {"objectType": "KalturaESearchEntryParams", "objectStatuses": "-1,-2,0,1,2,4,7"}
    inside = {
        **statuses,
        "objectIds": f"{s.main},{s.tagged},0_none0000",
        "searchOperator": group(2, below, category("ancestor_id", 1, "456")),
    }
    _ask(s, "E163", "objectIds and categories (OR), as `inside` asks", inside, 50)
    children = group(2, item("parent_id", 1, s.main), item("parent_id", 1, "0_none0000"))
    what = "parent_id of several (OR), as `children` asks"
    _ask(s, "E164", what, {**statuses, "searchOperator": children})
    others = group(3, item("id", 1, s.main), item("id", 1, s.tagged))
    _ask(s, "E165", "NOT ids (keyset)", wanted(mine, others))
    two = f"{s.main},{s.empty_one}"
    default = {key: value for key, value in wanted(mine, objectIds=two).items() if key != "objectStatuses"}
    _ask(s, "E168", "objectIds with status default", default)
    _ask(s, "E169", "objectIds with statuses", wanted(item("media_type", 1, "1"), objectIds=two))
    for number, many in (("E170", 900), ("E171", 1100)):
        excluded = group(3, *(item("id", 1, f"0_none{at:04d}") for at in range(many)))
        over = " (over the clause limit of a real Elasticsearch)" if many > 1024 else ""
        _ask(s, number, f"{many:,} excluded ids{over}", wanted(mine, excluded))


def _statuses_pages_and_orders(s: Site, mine: Params) -> None:
    _ask(s, "E172", "status 3", wanted(mine, statuses="3"))
    _ask(s, "E173", "status of nonsense", wanted(mine, statuses="abc"))
    _ask(s, "E174", "statuses empty", wanted(mine, statuses=""))
    _ask(s, "E175", "statuses virusScan", wanted(mine, statuses="virusScan.Infected,2"))
    _ask(s, "E176", "every status the product names", wanted(mine, statuses=EVERY_STATUS))
    for number, (size, page) in enumerate(PAGES):
        _ask(s, f"E18{number:02d}", f"pageSize {size!r} page {page!r}", wanted(mine), size, page)
    _ask(s, "E195", "no pager", wanted(mine), None)
    for number, (field, direction) in enumerate(ORDERS):
        params = {**wanted(mine), "orderBy": ordered(field, direction)}
        _ask(s, f"E20{number}", f"order by {field} {direction}", params)
    _ask(s, "E208", "no order", wanted(mine, order=""))


def refused(s: Site) -> None:
    """Searches that are refused, or find nothing, or one entry by its id; nothing is changed."""
    some = item("media_type", 1, "1")
    mine = item("tags", 1, s.set or "contractsetofnobody")
    entries, operator = {"objectType": "KalturaESearchEntryParams"}, {"objectType": "KalturaESearchEntryOperator"}
    _ask(s, "E166", "id EXACT", wanted(item("id", 1, s.main)))
    _ask(s, "E167", "id in upper case", wanted(item("id", 1, s.main.upper())))
    _ask(s, "E210", "no operator", entries)
    _ask(s, "E211", "no items", {**entries, "searchOperator": {**operator, "operator": 1, "searchItems": []}})
    _ask(s, "E212", "nested operator without type", wanted({**operator, "searchItems": [mine]}))
    if "write" in s.can:
        top = {**entries, "searchOperator": {**operator, "searchItems": [mine]}}
        _ask(s, "E213", "top operator without type", top)
        _ask(s, "E227", "PARTIAL of two words with a quote", wanted(item("tags", 2, '"two words" x')))
    _ask(s, "E214", "empty term", wanted(item("tags", 1, "")))
    _ask(s, "E215", "blank term", wanted(item("tags", 1, "  ")))
    _ask(s, "E216", "term missing", wanted(item("tags", 1)))
    _ask(s, "E217", "type not allowed", wanted(item("tags", 5, "x")))
    _ask(s, "E218", "type not allowed on id", wanted(item("id", 3, "0_")))
    _ask(s, "E219", "unknown field", wanted(item("nonsense", 1, "x")))
    _ask(s, "E220", "unknown item type", wanted(item("tags", 9, "x")))
    both = {**wanted(some), "objectId": s.main, "objectIds": s.main}
    _ask(s, "E221", "objectId and objectIds", both)
    _ask(s, "E222", "term of 200 characters", wanted(item("tags", 1, "q" * 200)))
    _ask(s, "E223", "EXISTS of parent_id without term", wanted(mine, item("parent_id", 4)))
    dropped = group(1, item("created_at", 5))
    _ask(s, "E224", "operator whose items are all dropped", wanted(mine, dropped))
    _ask(s, "E225", "unknown item objectType", wanted(mine, {"objectType": "KalturaNonsense"}))
    _ask(s, "E226", "operator 7", {**entries, "searchOperator": group(7, mine)})


def _sizes_of_answers(s: Site, mine: Params) -> None:
    """How much a response profile spares."""
    api = s.api
    asked = {"searchParams": wanted(mine), "pager": {"objectType": "KalturaPager", "pageSize": 500}}
    profile = {"objectType": "KalturaDetachedResponseProfile", "type": 1}

    def raw(**more: Any) -> Any:
        return api.raw("elasticsearch_esearch", "searchEntry", {**asked, **more})

    whole = raw()

    def share(cut: Any) -> float:
        return round(100 * len(cut.content) / max(1, len(whole.content)), -1)

    kept = "id,tags,createdAt,status"
    for number, fields in enumerate((kept, f"objects,totalCount,{kept}", f"objects,totalCount,object,{kept}")):
        cut = raw(responseProfile={**profile, "fields": fields})
        answer = parse(cut)
        result = (answer.get("objects") or [{}])[0]
        told = {
            "share of the whole in %": share(cut),
            "fields": list(answer),
            "result": list(result),
            "object": list(result.get("object") or {})[:8],
        }
        s.record(f"E24{number}", f"eSearch with responseProfile {fields}", told)
    fields = f"{kept},mediaType,type,plays,lastPlayedAt,replacementStatus,displayInSearch"
    cut = raw(responseProfile={**profile, "fields": fields}, ignoreNull=1)
    first = (parse(cut).get("objects") or [{}])[0]
    told = {"share of the whole in %": share(cut), "object": list(first.get("object") or {})}
    what = "… with responseProfile and ignoreNull=1 (a null, as of tags never set, is then absent)"
    s.record("E246", what, told)
    entries = parse(whole).get("objects") or [1]
    told = {"plain": round(len(whole.content) / len(entries), -2)}
    s.record("E245", "bytes of one entry in a page, plain and gzip -6", told)


def categories(s: Site) -> None:
    """An entry directly in a sub-category, and what finds it."""
    api, entry = s.api, s.empty("in a category", tags=s.set)
    top, sub = s.categories(entry)
    direct = wanted(category("id", 1, sub))
    s.wait(lambda: search(api, direct).get("totalCount") != "0", 60)
    what = "an entry in a sub-category: its categories, categoriesIds"
    s.record("K01", what, pick(api.get(entry), "categories", "categoriesIds"))
    above = category("ancestor_id", 1, top)
    asked = (
        ("ancestor_id of the parent", wanted(above)),
        ("ancestor_id of itself", wanted(category("ancestor_id", 1, sub))),
        ("id of the parent", wanted(category("id", 1, top))),
        ("id of itself", direct),
        ("NOT ancestor_id", wanted(item("tags", 1, s.set), group(3, above))),
        ("ancestor_id and objectIds", wanted(above, objectIds=entry)),
    )
    for number, (what, params) in enumerate(asked):
        answer = search(api, params)
        ids = [result["object"]["id"] for result in answer.get("objects") or []]
        s.record(f"K1{number}", what, err(answer) if "error" in answer else {"found": entry in ids})
    s.record("K20", "category.get: fields", err(api.call("category", "get", {"id": top})))
    s.record("K21", "category.get of an unknown id", err(api.call("category", "get", {"id": 99999999})))
