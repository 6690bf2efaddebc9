"""docs/cycle.md: what archive, replace and restore change of an entry and of what belongs to it, field by field."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Mapping
from typing import Any

import pytest
from looking import Run, act, assets_of, do_not_wait, original_of, shown
from lxml import etree

from kaltura_archiver.model import ARCHIVED_TAG, REPLACED_TAG
from kaltura_archiver.sandbox.kaltura.server import Token
from kaltura_archiver.sandbox.world import Sandbox

YEAR_2033 = 1_988_150_400
# The kinds of real-kaltura/cycle.md, as fields of the sandbox's entries.
KINDS: dict[str, dict[str, Any]] = {
    "source only": {"derived": 0},
    "one derived": {"derived": 1},
    "three derived": {"derived": 3},
    "right to left, long": {"name": "הרצאה ראשונה 講義 " * 20},
    "lecture capture": {"more": {"sourceType": "37", "adminTags": "zoomentry,x"}},
    "recorded live": {"more": {"sourceType": "36"}},
    "flagged": {"moderation_status": 5, "more": {"moderationCount": 2}},
    "rejected": {"moderation_status": 3},
    "from 2033 on": {"start_date": YEAR_2033, "end_date": YEAR_2033 + 1000},
}
COMMON: dict[str, Any] = {
    "accessControlId": 17, "licenseType": 5, "creditUserName": "A. Credit", "creditUrl": "https://example.org/c",
    "partnerSortValue": 9, "entitledUsersEdit": "co,editors", "entitledUsersPublish": "pub", "rank": 4, "totalRank": 8,
    "votes": 2, "groupId": 3, "capabilities": "quiz.quiz", "templateEntryId": "0_template",
}  # fmt: skip
RELATED = {
    "captionAsset": ("caption_captionasset", 2),
    "attachmentAsset": ("attachment_attachmentasset", 1),
    "cuePoint": ("cuepoint_cuepoint", 1),
    "metadata": ("metadata_metadata", 1),
}
# What may differ, of the entry and of its flavors: while the placeholder is in, and in the end.
TAGS = {"tags", "updatedAt", "searchText"}
LOOKS = {"thumbnailUrl", "duration", "msDuration", "durationType", "width", "height", "flavorParamsIds"}
CONTENT = {"version", "updatedAt", "size", "sizeInBytes", "bitrate", "width", "height", "description", "status"}
IN_PLACEHOLDER = (TAGS | LOOKS, CONTENT)
IN_THE_END = (TAGS | {"thumbnailUrl"}, {"version", "updatedAt", "description"})

Fields = Mapping[str, str]
Snapshot = dict[str, Fields]


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    do_not_wait(monkeypatch)


def ask(sandbox: Sandbox, service: str, action: str, **parameters: Any) -> Any:
    """What the API answers, as XML: asked by nobody's client, so that no field is left out."""
    url = f"{sandbox.kaltura.url}/api_v3/service/{service}/action/{action}"
    body = json.dumps({"format": "2", **parameters}).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})  # noqa: S310 - loopback
    with urllib.request.urlopen(request) as answer:  # noqa: S310
        result = etree.fromstring(answer.read()).find("result")
    assert result is not None
    assert result.find("error") is None, etree.tostring(result)
    return result


def snapshot(sandbox: Sandbox, entry_id: str) -> Snapshot:
    """Every field of the entry, of its flavors by flavor parameters, and of what else belongs to it."""
    ks = ask(sandbox, "session", "start", secret=sandbox.kaltura.secret, type="2", partnerId="101").text

    def fields(element: Any) -> Fields:
        return {child.tag: etree.tostring(child, encoding="unicode") for child in element}

    found = {"entry": fields(ask(sandbox, "media", "get", ks=ks, entryId=entry_id))}
    answer = ask(sandbox, "flavorasset", "list", ks=ks, filter={"entryIdEqual": entry_id})
    for item in answer.find("objects"):
        found[f"flavor {item.findtext('flavorParamsId')}"] = fields(item)
    for name, (service, number) in RELATED.items():
        whose = "objectIdEqual" if name == "metadata" else "entryIdEqual"
        items = list(ask(sandbox, service, "list", ks=ks, filter={whose: entry_id}).find("objects"))
        assert len(items) == number
        found |= {f"{name} {at}": fields(item) for at, item in enumerate(items)}
    return found


def changed(before: Snapshot, after: Snapshot) -> set[tuple[str, str]]:
    assert before.keys() == after.keys()
    return {
        (what, name)
        for what in before
        for name in before[what].keys() | after[what].keys()
        if before[what].get(name) != after[what].get(name)
    }


def assert_only(found: set[tuple[str, str]], allowed: tuple[set[str], set[str]]) -> None:
    of_entry, of_flavors = allowed
    outside = {
        (what, name)
        for what, name in found
        if name not in (of_entry if what == "entry" else of_flavors if what.startswith("flavor ") else ())
    }
    assert not outside


def uploaded(sandbox: Sandbox, content: bytes, **fields: Any) -> str:
    """An entry whose content came as everybody's does: uploaded and converted."""
    kaltura, library = sandbox.kaltura, sandbox.kaltura.library
    fields["more"] = COMMON | fields.get("more", {})
    created_at = kaltura.control.clock.now() - 5 * 365 * 86400
    entry = kaltura.add_entry(
        status="7", created_at=created_at, plays=17, views=23, last_played_at=1_650_000_000, creator_id="creator",
        user_id="owner", tags="lecture, größe", admin_tags="mine,yours", reference_id="ref-1", partner_data="data",
        categories=(5,), **{"name": "Lecture", **fields},
    )  # fmt: skip
    with library.lock:
        token = Token("0_upload", status=2, file_name="v.mp4", data=bytearray(content), uploaded_size=len(content))
        library.tokens[token.id] = token
        library.add_content(entry, {"objectType": "KalturaUploadedFileTokenResource", "token": token.id})
    kaltura.settle()
    for name, (_, number) in RELATED.items():
        rows = library.related.setdefault(name, [])
        rows += [
            {"objectType": f"Kaltura{name[0].upper()}{name[1:]}", "id": f"1_{name}{at}", "entryId": entry.id,
             "label": f"{name} {at}", "version": 3, "updatedAt": 1_600_000_000}
            for at in range(number)
        ]  # fmt: skip
    for number, asset in assets_of(sandbox, entry.id).items():
        asset.language, asset.label = "German", f"label {number}"
        asset.tags, asset.is_default = f"{asset.tags},mine", True
        asset.partner_data, asset.partner_description = f"data {number}", "for people"
    return entry.id


def some_hours_later(sandbox: Sandbox, entry_id: str) -> None:
    """All jobs of the last replacement are long over: the next one need not wait for any."""
    sandbox.kaltura.settle()
    for asset in assets_of(sandbox, entry_id).values():
        asset.updated_at -= 6 * 3600


def tags_in(snap: Snapshot) -> str:
    return etree.fromstring(snap["entry"]["tags"]).text or ""


@pytest.mark.parametrize("kind", KINDS)
def test_only_what_the_table_says_changes(sandbox: Sandbox, run: Run, kind: str) -> None:
    sandbox.kaltura.settings.late_flavor = False
    sandbox.kaltura.settings.second_link_always = True
    sandbox.kaltura.add_category(5, "Lectures")
    video = sandbox.video() * 30
    if kind == "three derived":
        # The placeholder yields fewer flavors.
        sandbox.kaltura.settings.flavor_min_bytes = len(sandbox.placeholder) // 2
    entry_id = uploaded(sandbox, video, **KINDS[kind])
    at_first = snapshot(sandbox, entry_id)
    tags = tags_in(at_first)
    for round_number in range(2):
        assert act(run, "s3copy", entry_id).outcomes[entry_id] in ("done", "already")
        archived = snapshot(sandbox, entry_id)
        if not round_number:
            assert_only(changed(at_first, archived), (TAGS, set()))
            assert tags_in(archived) == f"{tags}, {ARCHIVED_TAG}"
        ran = act(run, "replace_video", entry_id)
        assert ran.outcomes == {entry_id: "done"}, ran.err
        some_hours_later(sandbox, entry_id)
        assert shown(sandbox, entry_id) == sandbox.placeholder
        replaced = snapshot(sandbox, entry_id)
        assert_only(changed(at_first, replaced), IN_PLACEHOLDER)
        assert tags_in(replaced) == f"{tags}, {ARCHIVED_TAG}, {REPLACED_TAG}"
        statuses = [assets_of(sandbox, entry_id)[number].status for number in sorted(assets_of(sandbox, entry_id))]
        assert statuses == ([2, 2, 2, 4] if kind == "three derived" else [2] * len(statuses))
        ran = act(run, "restore", entry_id)
        assert ran.outcomes == {entry_id: "done"}, ran.err
        some_hours_later(sandbox, entry_id)
        assert shown(sandbox, entry_id) == video
        restored = snapshot(sandbox, entry_id)
        assert_only(changed(at_first, restored), IN_THE_END)
        assert tags_in(restored) == f"{tags}, {ARCHIVED_TAG}"
        assert {name for what, name in changed(at_first, restored) if what == "flavor 0"} >= {"version"}


def test_in_place_the_flavors_have_new_ids_and_all_else_is_as_before(sandbox: Sandbox, run: Run) -> None:
    sandbox.kaltura.settings.late_flavor = False
    sandbox.kaltura.settings.entry_replacement = False
    sandbox.kaltura.add_category(5, "Lectures")
    entry_id = uploaded(sandbox, sandbox.video(), derived=2)
    before, flavor = snapshot(sandbox, entry_id), original_of(sandbox, entry_id).id
    assert act(run, "s3copy", entry_id).outcomes == {entry_id: "done"}
    for command in ("replace_video", "restore"):
        assert act(run, command, entry_id, "--allow-in-place").outcomes == {entry_id: "done"}
    assert original_of(sandbox, entry_id).id != flavor
    assert_only(changed(before, snapshot(sandbox, entry_id)), (IN_THE_END[0], IN_THE_END[1] | {"id", "createdAt"}))


def test_the_page_has_a_row_for_whatever_may_change() -> None:
    from pathlib import Path

    page = (Path(__file__).parents[2] / "docs" / "cycle.md").read_text(encoding="utf-8")
    for word in ("tags", "updatedAt", "thumbnail", "duration, width, height", "searchText", "flavorParamsIds"):
        assert f"| {word}" in page or f"| `{word}`" in page, word
