"""W and P: replacements, what is visible of one, and accounts that want approval or lack the feature."""

from __future__ import annotations

import re
from typing import Any

from asking import STATE, Api, content_of, err, flavor_rows, item, pick, search, served, wanted
from sites import APPROVAL, NO_FEATURE, Site
from timelines import timeline

NOWHERE = "0_nothere0"
KEEP_THUMBNAILS = {"objectType": "KalturaEntryReplacementOptions", "keepManualThumbnails": 1}


def swaps(s: Site) -> None:
    entry, original = _first_swap(s)
    _odd_tokens(s, entry, original)
    if "fail" in s.can:
        _failed_conversion(s, entry, original)
    api = s.api
    api.swap(entry, api.token(s.video))
    answer = pick(api.update(entry, tags="physics, while running"), "tags", "replacementStatus", "status")
    s.settled(entry)
    s.record("W25", "media.update of tags while a swap runs", [answer, pick(api.get(entry), "tags", *STATE)])
    if "fail" in s.can:
        entry = s.make("swap to audio only?", tags="z1")
        answer = pick(api.swap(entry, api.token(b"this is no video " * 400, "a.mp4")), *STATE)
        what = "updateContent without advancedOptions, to a file that is no video"
        s.record("W26", what, [answer, timeline(s, entry, 25, temp=True)])
        s.record("W27", "… cancelReplace", pick(api.cancel(entry), *STATE))
    s.record("W28", "flavorAsset.delete of the original while a swap runs", _delete_during(s))
    s.record("W29", "media.delete while a swap runs", _media_delete_during(s))
    s.record("W30", "three swaps: which old versions are still served", _versions(s))
    what = "media.cancelReplace of the temporary entry's own id; updateContent of the temporary entry"
    s.record("W31", what, _temporary_entry(s))


def _first_swap(s: Site) -> tuple[str, str]:
    """A swap that goes well: the entry, and the id of its original."""
    api, entry = s.api, s.make("swap", tags="physics, keep")
    original, before = api.original(entry), api.get(entry)
    old = api.url_of(original["id"])
    token = api.token(s.other_video)
    answer = api.swap(entry, token, advancedOptions=KEEP_THUMBNAILS)
    s.record("W01", "updateContent: the answer's state", pick(answer, *STATE, "tags"))
    s.record("W02", "… time line", timeline(s, entry, temp=True))
    after, now = api.get(entry), api.original(entry)
    changed = sorted(name for name in after if after[name] != before.get(name))
    s.record("W03", "… fields of the entry that differ afterwards", changed)
    told = {
        "same id": now["id"] == original["id"],
        "version": [original["version"], now["version"]],
        "changed": sorted(name for name in now if now[name] != original[name]),
        "sizeInBytes right": now["sizeInBytes"] == str(len(s.other_video)),
        "createdAt same": now["createdAt"] == original["createdAt"],
    }
    s.record("W04", "… the original afterwards", told)
    s.record("W05", "… bytes served are the new file's", content_of(api.url_of(now["id"])) == s.other_video)
    got = content_of(old)
    bytes_are = "old" if got == s.video else "new" if got == s.other_video else f"{len(got)} bytes"
    told = {"bytes are": bytes_are, "app": served(old, "HEAD").get("X-Kaltura-App")}
    s.record("W06", "… the old URL (old version)", told)
    s.record("W07", "… the token", pick(api.get_token(token), "status"))
    s.record("W08", "same token again in updateContent", [pick(api.swap(entry, token), *STATE)])
    s.sleep(1.5)
    now = api.get(entry)
    temporary = now["replacingEntryId"]
    state = pick(api.get(temporary), "status", "displayInSearch", "replacedEntryId") if temporary else None
    what = "… state after, and the temporary entry"
    s.record("W09", what, [pick(now, *STATE), state, flavor_rows(api, entry)])
    answers = [pick(api.cancel(entry), *STATE), pick(api.get(entry), *STATE)]
    answers.append(err(api.get(temporary)) if temporary else None)
    s.record("W10", "cancelReplace while the temporary entry is in IMPORT", answers)
    return entry, original["id"]


def _pending(s: Site) -> str:
    """A token without bytes: a replacement by it waits."""
    return str(s.api.add_token(fileName="a.mp4", fileSize=len(s.video))["id"])


def _odd_tokens(s: Site, entry: str, original: str) -> None:
    api = s.api
    s.record("W11", "cancelReplace with nothing under way", pick(api.cancel(entry), *STATE))
    approved = err(api.call("media", "approveReplace", {"entryId": entry}))
    s.record("W12", "approveReplace with nothing under way", approved)
    actions = ("cancelReplace", "approveReplace")
    answers = [err(api.call("media", action, {"entryId": NOWHERE})) for action in actions]
    s.record("W13", "cancelReplace, approveReplace of an unknown entry", answers)
    answers = [pick(api.swap(entry, _pending(s)), *STATE)]
    s.record("W14", "updateContent with a token without bytes", answers)
    first = api.get(entry)["replacingEntryId"]
    s.record("W15", "second updateContent while one runs", err(api.swap(entry, api.token(s.video))))
    answers = [pick(api.get(entry), *STATE), err(api.get(first)) if first else None]
    s.record("W16", "… state after that: was the first cancelled?", answers)
    answers = [err(api.swap(entry, NOWHERE)), pick(api.get(entry), *STATE)]
    s.record("W17", "updateContent with an unknown token", answers)
    api.swap(entry, _pending(s))
    answers = [err(api.swap(entry, NOWHERE)), pick(api.get(entry), *STATE)]
    s.record("W18", "updateContent with an unknown token while one runs", answers)
    deleted = api.token(s.video)
    api.call("uploadtoken", "delete", {"uploadTokenId": deleted})
    answers = [err(api.swap(entry, deleted)), pick(api.get(entry), *STATE)]
    s.record("W19", "updateContent with a deleted token", answers)
    s.record("W20", "the entry is unharmed", _unharmed(s, entry, original))


def _unharmed(s: Site, entry: str, original: str) -> list[Any]:
    return [flavor_rows(s.api, entry), content_of(s.api.url_of(original)) == s.other_video]


def _failed_conversion(s: Site, entry: str, original: str) -> None:
    api = s.api
    s.fail(True)
    answer = pick(api.swap(entry, api.token(s.video)), *STATE)
    seen = timeline(s, entry, 30, temp=True)
    s.fail(False)
    s.record("W21", "updateContent whose conversion fails", [answer, seen])
    answers = [err(api.swap(entry, api.token(s.video))), pick(api.get(entry), *STATE)]
    s.record("W22", "updateContent while the failed one stands", answers)
    approved = err(api.call("media", "approveReplace", {"entryId": entry}))
    s.record("W23", "approveReplace then cancelReplace of it", [approved, pick(api.cancel(entry), *STATE)])
    s.settled(entry)
    s.record("W24", "the entry is unharmed", _unharmed(s, entry, original))


def _delete_during(s: Site) -> list[Any]:
    api, entry = s.api, s.make("delete during")
    original = api.original(entry)
    api.swap(entry, api.token(s.other_video))
    answers = [err(api.call("flavorasset", "delete", {"id": original["id"]})), pick(api.get(entry), *STATE)]
    answers.append(flavor_rows(api, entry))
    s.sleep(1)
    answers += [timeline(s, entry, 25), flavor_rows(api, entry)]
    same = (api.original(entry) or {}).get("id") == original["id"]
    return [*answers, {"original keeps its id": same}]


def _media_delete_during(s: Site) -> list[Any]:
    api, entry = s.api, s.make("media.delete during")
    api.swap(entry, api.token(s.other_video))
    temporary = api.get(entry)["replacingEntryId"]

    def both() -> list[Any]:
        return [err(api.get(entry)), err(api.get(temporary)) if temporary else None]

    answers = [err(api.call("media", "delete", {"entryId": entry})), *both()]
    s.sleep(4)
    return [*answers, "later", *both()]


def _versions(s: Site) -> dict[str, bool]:
    api, entry = s.api, s.make("three swaps")
    original = api.original(entry)
    addresses = {original["version"]: api.url_of(original["id"])}
    for number in range(3):
        before = original["version"]
        api.swap(entry, api.token(s.video if number % 2 else s.other_video))
        s.wait(lambda before=before: (api.original(entry) or {}).get("version") != before)  # type: ignore[misc]
        s.settled(entry)
        original = api.original(entry)
        addresses[original["version"]] = api.url_of(original["id"])
    return {version: len(content_of(address)) > 0 for version, address in addresses.items()}


def _temporary_entry(s: Site) -> Any:
    api, entry = s.api, s.make("temp calls")
    api.swap(entry, _pending(s))
    temporary = api.get(entry)["replacingEntryId"]
    if not temporary:
        return "no temporary entry"
    s.names.name(temporary, "temp")
    fields = ("status", "displayInSearch", "replacedEntryId", "name", "tags", "userId", "type", "mediaType")
    answers = [pick(api.get(temporary), *fields, "replacementStatus"), flavor_rows(api, temporary)]
    s.sleep(0.5)
    asked = (wanted(item("id", 1, temporary)), wanted(item("media_type", 1, "1"), objectIds=temporary))
    answers += [pick(search(api, one), "totalCount") for one in asked]
    answers += [err(api.call("media", "delete", {"entryId": temporary})), pick(api.get(entry), *STATE)]
    return [*answers, pick(api.cancel(entry), *STATE)]


def switch(s: Site) -> None:
    """What is visible around the moment of the switch, asked as fast as the server answers."""
    api, entry = s.api, s.make("switch", tags="physics")
    original = api.original(entry)
    sizes = {str(len(s.other_video)): "new", str(len(s.video)): "old", "0": "size 0", "": "size 0"}

    def shown(now: Any) -> Any:
        if "error" in now:
            return err(now)
        under_way = "T" if now.get("replacingEntryId") else "-"
        return f"{now.get('status')} repl {now.get('replacementStatus')} {under_way} dur {now.get('duration')}"

    def rows(answer: Any) -> Any:
        if "error" in answer:
            return err(answer)
        return sorted(
            f"{'orig' if flavor['isOriginal'] == '1' else 'der'} v{flavor['version']} st{flavor['status']} "
            f"{sizes.get(flavor['sizeInBytes'], '')}".strip()
            for flavor in answer.get("objects") or []
        )

    def look(mine: Api) -> Any:
        flavors = {"filter": {"objectType": "KalturaFlavorAssetFilter", "entryIdIn": entry}}
        answers = mine.multi([("media", "get", {"entryId": entry}), ("flavorasset", "list", flavors)])
        return [shown(answers[0]), rows(answers[1])]

    def version(mine: Api) -> Any:
        address = mine.url_of(original["id"])
        found = re.search(r"/v/(\d+)/", address) if isinstance(address, str) else None
        return found.group(1) if found else err(address)

    def over() -> bool:
        now = api.get(entry)
        return (api.original(entry) or {}).get("version") != original["version"] and not now["replacingEntryId"]

    askers = {
        "media.get": lambda mine: shown(mine.get(entry)),
        "flavorAsset.list": lambda mine: rows(mine.flavors(entry)),
        "getUrl": version,
        "look (one multirequest)": look,
    }
    token = api.token(s.other_video)
    seen = s.watch(askers, lambda: api.swap(entry, token), over)
    s.record("W40", "a swap as seen by four who ask without pause", seen)


def _over(entry: Any, rows: Any) -> bool:
    return entry.get("replacementStatus") in ("2", "4", "0")


def settings(s: Site) -> None:
    """The account with approval of replacements, and without the feature."""
    api = s.api
    s.account(APPROVAL)
    entry = s.make("approval")
    answer = api.swap(entry, api.token(s.other_video))
    s.record("P01", "approval on: updateContent's state", pick(answer, *STATE))
    s.record("P02", "… time line", timeline(s, entry, 30, _over, temp=True))

    def original() -> Any:
        return pick(api.original(entry), "version", "status")

    s.record("P03", "… original still the old one", original())
    answers = [err(api.swap(entry, api.token(s.video))), pick(api.get(entry), *STATE)]
    s.record("P04", "… second updateContent, and the state after", answers)
    api.swap(entry, api.token(s.other_video))
    timeline(s, entry, 30, _over)
    approve = {"entryId": entry}
    answers = [pick(api.call("media", "approveReplace", approve), *STATE), timeline(s, entry, 20)]
    s.record("P05", "approveReplace when ready: answer and time line", answers)
    s.record("P06", "… original", original())
    api.swap(entry, api.token(s.video))
    answers = [pick(api.call("media", "approveReplace", approve), *STATE), timeline(s, entry, 30)]
    s.record("P07", "approveReplace before ready: answer, time line", answers)
    s.settled(entry)
    s.record("P08", "… original", original())
    api.swap(entry, api.token(s.other_video))
    s.record("P09", "cancelReplace before ready", [pick(api.cancel(entry), *STATE)])
    api.swap(entry, api.token(s.other_video))
    timeline(s, entry, 30, _over)
    s.record("P10", "cancelReplace when ready", [pick(api.cancel(entry), *STATE), original()])
    s.account(NO_FEATURE)
    _without_the_feature(s)
    s.leave_account()


def _without_the_feature(s: Site) -> None:
    api, entry = s.api, s.make("no feature")
    it, token = {"entryId": entry}, api.token(s.other_video)
    answer = err(api.swap(entry, token, advancedOptions=KEEP_THUMBNAILS))
    s.record("P20", "without FEATURE_ENTRY_REPLACEMENT: updateContent", answer)
    states = [pick(api.get_token(token), "status"), pick(api.get(entry), *STATE)]
    s.record("P21", "… token and entry after that", states)
    s.record("P22", "… updateContent with an unknown token", err(api.swap(entry, NOWHERE)))
    s.record("P23", "… recycle (no FEATURE_RECYCLE_BIN)", err(api.call("baseentry", "recycle", it)))
    answers = [pick(api.cancel(entry), *STATE), err(api.call("media", "approveReplace", it))]
    s.record("P24", "… cancelReplace, approveReplace", answers)
    answers = []
    for flavor in sorted(api.flavors(entry)["objects"], key=lambda one: one["isOriginal"]):
        deleted = err(api.call("flavorasset", "delete", {"id": flavor["id"]}))
        answers.append([deleted, pick(api.get(entry), "status"), flavor_rows(api, entry)])
    answers.append(pick(api.add_content(entry, token), *STATE))
    answers += timeline(s, entry, 30)
    what = "… delete derived, then original, then addContent of the same token: time line"
    s.record("P25", what, answers)
