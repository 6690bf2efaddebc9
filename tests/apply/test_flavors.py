"""Language, label and tags of flavor assets: lost in every replacement, kept in the bucket, set again."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from faults.zygote import HANGS_SECONDS, Zygote
from faults.zygote import Run as Process
from looking import Run, act, assets_of, do_not_wait, original_of, shown, state_of, tags_of, writes

from kaltura_archiver.model import State
from kaltura_archiver.sandbox.kaltura.records import Asset, Content, new_id
from kaltura_archiver.sandbox.kaltura.records_kept import DERIVED_TAGS, SOURCE_TAGS
from kaltura_archiver.sandbox.world import Sandbox

# What people set: on the original, and on a derived flavor; another one keeps what it got by itself.
PEOPLE = {
    0: ("German", "Vorlesung, 1. Teil: „Einführung“", "source,web,alt_audio"),
    2: ("Hebrew", "שיעור", DERIVED_TAGS),
    3: ("", "", DERIVED_TAGS),
}
USUAL = {number: ("", "", SOURCE_TAGS if number == 0 else DERIVED_TAGS) for number in PEOPLE}


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    do_not_wait(monkeypatch)


def settings_on(sandbox: Sandbox, entry_id: str) -> dict[int, tuple[str, str, str]]:
    return {number: (a.language, a.label, a.tags) for number, a in assets_of(sandbox, entry_id).items()}


def set_on(sandbox: Sandbox, entry_id: str, settings: dict[int, tuple[str, str, str]] = PEOPLE) -> str:
    for number, values in settings.items():
        asset = assets_of(sandbox, entry_id)[number]
        asset.language, asset.label, asset.tags = values
    return entry_id


def kept(sandbox: Sandbox, entry_id: str) -> dict[str, Any] | None:
    body = sandbox.s3.body(f"settings/{entry_id}.json")
    return json.loads(body) if body else None


def test_the_sandbox_loses_them_in_a_swap_as_the_server_does(sandbox: Sandbox) -> None:
    """real-kaltura/cycle.md; without this the tests below prove nothing."""
    entry_id = set_on(sandbox, sandbox.add(State.ARCHIVED))
    asset = original_of(sandbox, entry_id)
    asset.partner_data, asset.partner_description, asset.is_default = "data", "for people", True
    library = sandbox.kaltura.library
    with library.lock:
        token = library.tokens.setdefault("0_t", _full_token(sandbox.placeholder))
        resource = {"objectType": "KalturaUploadedFileTokenResource", "token": token.id}
        library.update_content(library.entries[entry_id], resource)
    sandbox.kaltura.settle()
    assert settings_on(sandbox, entry_id) == USUAL
    asset = original_of(sandbox, entry_id)
    assert (asset.partner_data, asset.partner_description, asset.is_default) == ("data", "for people", True)


def _full_token(content: bytes) -> Any:
    from kaltura_archiver.sandbox.kaltura.server import Token

    return Token("0_t", status=2, file_name="v.mp4", data=bytearray(content), uploaded_size=len(content))


@pytest.mark.parametrize("replacement", [True, False], ids=["swap", "in place"])
def test_they_are_there_after_replace_and_after_restore(sandbox: Sandbox, run: Run, replacement: bool) -> None:
    sandbox.kaltura.settings.entry_replacement = replacement
    sandbox.kaltura.settings.late_flavor = False
    video = sandbox.video()
    entry_id = set_on(sandbox, sandbox.add(State.ARCHIVED, content=video))
    way = () if replacement else ("--allow-in-place",)
    for _ in range(2):
        ran = act(run, "replace_video", entry_id, *way)
        assert (ran.code, ran.outcomes) == (0, {entry_id: "done"}), ran.err
        assert "language, label and tags of 2 flavors set again" in ran.out
        assert settings_on(sandbox, entry_id) == PEOPLE
        assert shown(sandbox, entry_id) == sandbox.placeholder
        assert sandbox.s3.tags(entry_id)["settings"] == "set"
        ran = act(run, "restore", entry_id, *way)
        assert (ran.code, ran.outcomes) == (0, {entry_id: "done"}), ran.err
        assert settings_on(sandbox, entry_id) == PEOPLE
        assert shown(sandbox, entry_id) == video
        assert sandbox.s3.tags(entry_id)["settings"] == "set"
    assert kept(sandbox, entry_id) == {
        "entry": entry_id,
        "flavors": {
            "0": {"language": PEOPLE[0][0], "label": PEOPLE[0][1], "tags": PEOPLE[0][2]},
            "2": {"language": PEOPLE[2][0], "label": PEOPLE[2][1]},
        },
    }
    assert [key for key in sandbox.s3.keys() if "settings" in key] == [f"settings/{entry_id}.json"]  # noqa: SIM118
    assert {row["entry_id"]: row["message"].partition(":")[0] for row in run("health").rows} == {entry_id: "archived"}


def test_in_place_the_new_assets_get_what_else_was_set_on_the_old(sandbox: Sandbox, run: Run) -> None:
    sandbox.kaltura.settings.entry_replacement = sandbox.kaltura.settings.late_flavor = False
    entry_id = sandbox.add(State.ARCHIVED)
    asset = assets_of(sandbox, entry_id)[2]
    asset.partner_data, asset.partner_description, asset.is_default = "<xml/>", "for people", True
    for command in ("replace_video", "restore"):
        assert act(run, command, entry_id, "--allow-in-place").outcomes == {entry_id: "done"}
        now = assets_of(sandbox, entry_id)[2]
        assert (now.partner_data, now.partner_description, now.is_default) == ("<xml/>", "for people", True)
        assert now.id != asset.id


def test_they_are_kept_and_read_back_before_anything_is_replaced_and_set_at_its_end(sandbox: Sandbox, run: Run) -> None:
    entry_id = set_on(sandbox, sandbox.add(State.ARCHIVED))
    sandbox.kaltura.settings.late_flavor = False
    assert act(run, "replace_video", entry_id).outcomes == {entry_id: "done"}
    key = f"settings/{entry_id}.json"
    order = [
        r.operation
        for r in sandbox.control.requests()
        if (r.subject in (key, entry_id) and r.operation in ("s3.PutObject", "s3.GetObject", "s3.PutObjectTagging"))
        or r.operation in ("media.updateContent", "flavorAsset.update")
    ]
    assert order == [
        "s3.GetObject", "s3.PutObject", "s3.GetObject", "s3.PutObjectTagging",
        "media.updateContent", "s3.PutObjectTagging",
        "flavorAsset.update", "flavorAsset.update", "s3.PutObjectTagging",
    ]  # fmt: skip
    [put] = [r for r in sandbox.control.requests("s3.PutObject") if r.subject == key]
    assert put.parameters["if-none-match"] == "*"


def test_entries_without_any_cost_nothing_and_leave_nothing(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add(State.ARCHIVED)
    for command in ("replace_video", "restore"):
        sandbox.control.clear_log()
        assert act(run, command, entry_id).outcomes == {entry_id: "done"}
        assert not [r for r in sandbox.control.requests("s3.*") if r.subject.startswith("settings/")]
        assert not sandbox.control.requests("flavorAsset.update")
        assert len(sandbox.control.requests("flavorParams.list")) == 1  # of a run, not of an entry
    assert [key for key in sandbox.s3.keys() if "settings" in key] == []  # noqa: SIM118 - not a dict
    assert "settings" not in sandbox.s3.tags(entry_id)


def test_a_dry_run_says_it_and_does_nothing(sandbox: Sandbox, run: Run) -> None:
    labelled, tagged = (sandbox.add(State.ARCHIVED) for _ in range(2))
    set_on(sandbox, labelled, {2: ("", "a label", DERIVED_TAGS)})
    set_on(sandbox, tagged, {0: ("", "", "source,web,mbr")})
    plain = sandbox.add(State.ARCHIVED)
    rows = {row["entry_id"]: row["detail"] for row in run("replace_video", "--all").rows}
    said = "keep language, label and tags of the flavors in S3, to set them again afterwards"
    assert [said in rows[entry_id] for entry_id in (labelled, tagged, plain)] == [True, True, False]
    assert writes(sandbox) == []
    assert said in run("explain", labelled, "--format", "json").json["commands"]["replace_video"]


def test_nothing_is_replaced_where_they_cannot_be_kept(sandbox: Sandbox, run: Run) -> None:
    video = sandbox.video()
    entry_id = set_on(sandbox, sandbox.add(State.ARCHIVED, content=video))
    sandbox.control.add_fault("s3.PutObject", "error", subject="settings/*", code="AccessDenied", status=403, times=9)
    ran = act(run, "replace_video", entry_id)
    assert ran.outcomes == {entry_id: "failed"}
    assert f"nothing was replaced: write settings/{entry_id}.json: S3 says access denied" in ran.out
    assert (shown(sandbox, entry_id), tags_of(sandbox, entry_id)) == (video, "archived_to_s3")
    assert settings_on(sandbox, entry_id) == PEOPLE
    assert not sandbox.control.requests("media.updateContent")
    sandbox.control.clear_faults()
    assert act(run, "replace_video", entry_id).outcomes == {entry_id: "done"}


def test_a_foreign_object_in_their_place_stops_a_replacement_and_no_restore(sandbox: Sandbox, run: Run) -> None:
    entry_id = set_on(sandbox, sandbox.add(State.ARCHIVED))
    other = sandbox.add(State.PLACEHOLDER)
    for name in (entry_id, other):
        sandbox.s3.put(f"settings/{name}.json", b'{"entry": "0_another", "flavors": {}}')
    ran = act(run, "replace_video", entry_id)
    assert ran.outcomes == {entry_id: "failed"}
    assert f"settings/{entry_id}.json in the bucket is not what this program writes there: move it away" in ran.out
    set_on(sandbox, other, {0: ("French", "", SOURCE_TAGS)})
    ran = act(run, "restore", other)
    assert ran.outcomes == {other: "done"}
    assert "could not be kept" in ran.err
    assert shown(sandbox, other) == sandbox.s3.body(other)


@pytest.mark.parametrize("archive_tier", ["", "ARCHIVE_ACCESS"])
def test_settings_that_a_lifecycle_rule_froze_are_told_and_set_once_they_are_readable(
    sandbox: Sandbox, run: Run, archive_tier: str
) -> None:
    entry_id = set_on(sandbox, sandbox.add(State.ARCHIVED))
    assert act(run, "replace_video", entry_id).outcomes == {entry_id: "done"}
    key = f"settings/{entry_id}.json"
    body = sandbox.s3.body(key) or b""
    sandbox.s3.put(key, body, storage_class="INTELLIGENT_TIERING" if archive_tier else "GLACIER")
    if archive_tier:
        sandbox.s3.freeze(key, archive_tier)
    ran = act(run, "restore", entry_id)
    assert ran.outcomes == {entry_id: "done"}
    assert f"{key} is frozen: a lifecycle rule of the bucket freezes small objects" in ran.err
    assert shown(sandbox, entry_id) == sandbox.s3.body(entry_id)
    ran = act(run, "replace_video", entry_id)
    assert ran.outcomes == {entry_id: "failed"}
    assert f"nothing was replaced: {key} is frozen" in ran.out
    sandbox.s3.put(key, body)
    assert act(run, "repair", entry_id).outcomes == {entry_id: "done"}
    assert settings_on(sandbox, entry_id) == PEOPLE


@pytest.mark.parametrize("command", ["replace_video", "restore"])
def test_what_fails_at_their_setting_fails_nothing_else_and_is_made_good(
    sandbox: Sandbox, run: Run, command: str
) -> None:
    entry_id = set_on(sandbox, sandbox.add(State.ARCHIVED))
    if command == "restore":
        assert act(run, "replace_video", entry_id).outcomes == {entry_id: "done"}
        sandbox.kaltura.settle()
        assert act(run, "repair", entry_id).code == 0
    sandbox.control.add_fault("flavorAsset.update", "error", code="SERVICE_FORBIDDEN", times=99)
    ran = act(run, command, entry_id)
    assert (ran.code, ran.outcomes) == (0, {entry_id: "done"})
    assert "run repair" in ran.err
    assert "run repair" in ran.out
    assert sandbox.s3.tags(entry_id)["settings"] == "due"
    assert settings_on(sandbox, entry_id) == USUAL
    assert (
        "repair sets language, label and tags of its flavors again"
        in run("explain", entry_id, "--format", "json").json["state"]["next"]
    )
    ran = act(run, "repair", entry_id)
    assert ran.outcomes == {entry_id: "failed"}
    sandbox.control.clear_faults()
    sandbox.kaltura.settle()
    assert "would set language, label and tags of the flavors again" in run("repair", "--id", entry_id).out
    ran = act(run, command, entry_id)  # the same command, too
    assert ran.outcomes == {entry_id: "done"}
    assert settings_on(sandbox, entry_id) == PEOPLE
    assert act(run, "repair", entry_id).outcomes == {entry_id: "already"}


def test_a_language_that_kaltura_does_not_take_back_keeps_no_label_away(sandbox: Sandbox, run: Run) -> None:
    """An old asset may have one that is in no list any more."""
    sandbox.kaltura.settings.late_flavor = False
    entry_id = set_on(sandbox, sandbox.add(State.ARCHIVED), {0: ("Old High Sandboxian", "a label", "source,mine")})
    ran = act(run, "replace_video", entry_id)
    assert ran.outcomes == {entry_id: "done"}
    assert "Invalid enumeration value" in ran.out
    assert settings_on(sandbox, entry_id)[0] == ("", "a label", "source,mine")
    assert sandbox.s3.tags(entry_id)["settings"] == "due"


def test_a_lost_answer_is_found_out_by_reading(sandbox: Sandbox, run: Run) -> None:
    sandbox.kaltura.settings.late_flavor = False
    entry_id = set_on(sandbox, sandbox.add(State.ARCHIVED))
    sandbox.control.add_fault("flavorAsset.update", "drop_after")
    sandbox.control.add_fault("s3.PutObject", "drop_after", subject="settings/*")
    ran = act(run, "replace_video", entry_id)
    assert ran.outcomes == {entry_id: "done"}, ran.err
    assert settings_on(sandbox, entry_id) == PEOPLE


def test_a_change_that_kaltura_drops_in_silence_is_told(sandbox: Sandbox, run: Run, monkeypatch: Any) -> None:
    """A role may lack the field: the call succeeds (kaltura-api 2)."""
    sandbox.kaltura.settings.late_flavor = False
    entry_id = set_on(sandbox, sandbox.add(State.ARCHIVED))
    monkeypatch.setattr("kaltura_archiver.sandbox.kaltura.actions.ASSET_FIELDS", {"tags": "tags"})
    sandbox.kaltura.services._actions["flavorasset"]["update"] = sandbox.kaltura.services._actions["flavorasset"]["get"]
    ran = act(run, "replace_video", entry_id)
    assert ran.outcomes == {entry_id: "done"}
    assert "Kaltura accepted language, label, tags of flavor" in ran.out
    assert sandbox.s3.tags(entry_id)["settings"] == "due"


def test_flavors_that_are_still_being_made_get_theirs_from_repair(sandbox: Sandbox, run: Run) -> None:
    sandbox.kaltura.settings.late_flavor = True
    entry_id = set_on(sandbox, sandbox.add(State.ARCHIVED), {**PEOPLE, 3: ("", "the last", DERIVED_TAGS)})
    ran = act(run, "replace_video", entry_id)
    assert ran.outcomes == {entry_id: "done"}
    late = assets_of(sandbox, entry_id)[3]
    if late.status == 1:  # else it was ready so soon
        assert f"repair will set when they are ready: {late.id} is CONVERTING" in ran.out
        assert sandbox.s3.tags(entry_id)["settings"] == "due"
    late.status = 1
    late.label = ""
    sandbox.s3.put(entry_id, sandbox.s3.body(entry_id), tags=sandbox.s3.tags(entry_id) | {"settings": "due"})
    ran = act(run, "repair", entry_id)
    assert (ran.code, ran.outcomes) == (3, {entry_id: "waiting"})
    late.status = 2
    assert act(run, "repair", entry_id).outcomes == {entry_id: "done"}
    assert settings_on(sandbox, entry_id)[3][1] == "the last"


def test_a_flavor_that_the_placeholder_does_not_yield_gets_its_own_when_it_comes_back(
    sandbox: Sandbox, run: Run
) -> None:
    """cycle.md: 2 of 0,2,3,4 is not applicable to a placeholder, and comes back with the original."""
    sandbox.kaltura.settings.late_flavor = False
    video = sandbox.video() * 40
    sandbox.kaltura.settings.flavor_min_bytes = len(sandbox.placeholder)
    entry_id = sandbox.add(State.ARCHIVED, content=video, derived=3)
    wanted = PEOPLE | {3: ("English", "two", DERIVED_TAGS), 4: ("", "three", f"{DERIVED_TAGS},mine")}
    ids = {number: asset.id for number, asset in assets_of(sandbox, set_on(sandbox, entry_id, wanted)).items()}
    ran = act(run, "replace_video", entry_id)
    assert (ran.outcomes, sandbox.s3.tags(entry_id)["settings"]) == ({entry_id: "done"}, "set"), ran.err
    now = assets_of(sandbox, entry_id)
    assert [now[number].status for number in (0, 2, 3, 4)] == [2, 2, 4, 4]
    assert {number: asset.id for number, asset in now.items()} == ids
    ran = act(run, "restore", entry_id)
    assert ran.outcomes == {entry_id: "done"}, ran.err
    assert settings_on(sandbox, entry_id) == wanted
    assert {number: asset.id for number, asset in assets_of(sandbox, entry_id).items()} == ids
    assert {asset.status for asset in assets_of(sandbox, entry_id).values()} == {2}


def test_what_a_person_sets_meanwhile_wins_and_what_is_lost_takes_nothing_away(sandbox: Sandbox, run: Run) -> None:
    sandbox.kaltura.settings.late_flavor = False
    entry_id = set_on(sandbox, sandbox.add(State.ARCHIVED))
    assert act(run, "replace_video", entry_id).outcomes == {entry_id: "done"}
    set_on(sandbox, entry_id, {0: ("German", "renamed while it was away", SOURCE_TAGS), 2: ("", "", DERIVED_TAGS)})
    assert act(run, "restore", entry_id).outcomes == {entry_id: "done"}
    assert settings_on(sandbox, entry_id)[0] == ("German", "renamed while it was away", PEOPLE[0][2])
    assert settings_on(sandbox, entry_id)[2] == PEOPLE[2]


def test_a_label_set_after_s3copy_is_kept_too(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add(State.INITIAL)
    assert act(run, "s3copy", entry_id).outcomes == {entry_id: "done"}
    assert kept(sandbox, entry_id) is None
    set_on(sandbox, entry_id, {0: ("Dutch", "", SOURCE_TAGS)})
    for command in ("replace_video", "restore"):
        assert act(run, command, entry_id).outcomes == {entry_id: "done"}
        assert settings_on(sandbox, entry_id)[0] == ("Dutch", "", SOURCE_TAGS)


def test_what_an_older_version_replaced_is_restored_as_before(sandbox: Sandbox, run: Run) -> None:
    entry_id, legacy = sandbox.add(State.PLACEHOLDER), sandbox.add(State.PLACEHOLDER)
    body = sandbox.s3.body(legacy)
    sandbox.s3.put(legacy, body)  # no tags, no metadata
    assert act(run, "restore", entry_id).outcomes == {entry_id: "done"}
    assert not [r for r in sandbox.control.requests("s3.*") if r.subject.startswith("settings/")]
    assert act(run, "restore", legacy).outcomes == {legacy: "done"}
    assert len([r for r in sandbox.control.requests("s3.*") if r.subject.startswith("settings/")]) == 1
    assert shown(sandbox, legacy) == body


def test_a_copy_that_has_lost_its_tags_has_its_settings(sandbox: Sandbox, run: Run) -> None:
    """As after `aws s3 sync` into another bucket."""
    sandbox.kaltura.settings.late_flavor = False
    entry_id = set_on(sandbox, sandbox.add(State.ARCHIVED))
    assert act(run, "replace_video", entry_id).outcomes == {entry_id: "done"}
    set_on(sandbox, entry_id, USUAL)
    sandbox.s3.put(entry_id, sandbox.s3.body(entry_id))
    assert act(run, "restore", entry_id).outcomes == {entry_id: "done"}
    assert settings_on(sandbox, entry_id) == PEOPLE


def test_who_may_not_know_usual_tags_keeps_them_all(sandbox: Sandbox, run: Run) -> None:
    sandbox.control.add_fault("flavorParams.list", "error", code="SERVICE_FORBIDDEN", times=99)
    entry_id = set_on(sandbox, sandbox.add(State.ARCHIVED), {0: ("", "", "source,web,mine")})
    assert act(run, "replace_video", entry_id).outcomes == {entry_id: "done"}
    flavors = (kept(sandbox, entry_id) or {})["flavors"]
    assert flavors == {"0": {"tags": "source,web,mine"}, **{str(n): {"tags": DERIVED_TAGS} for n in (2, 3)}}


def test_a_placeholder_map_by_language_fits_twice(
    sandbox: Sandbox, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    german = sandbox.placeholder + b"\0\0\0\x08free" * 12
    (tmp_path / "de.mp4").write_bytes(german)
    (tmp_path / "map.toml").write_text('[language]\nGerman = "de.mp4"\n')
    monkeypatch.setenv("PLACEHOLDER_MAP", str(tmp_path / "map.toml"))
    entry_id = set_on(sandbox, sandbox.add(State.ARCHIVED), {0: ("German", "", SOURCE_TAGS)})
    for _ in range(2):
        assert act(run, "replace_video", entry_id).outcomes == {entry_id: "done"}
        assert shown(sandbox, entry_id) == german
        assert act(run, "restore", entry_id).outcomes == {entry_id: "done"}


def test_a_plan_says_it_and_a_label_set_after_the_review_is_no_drift(
    sandbox: Sandbox, run: Run, tmp_path: Path
) -> None:
    labelled, later = set_on(sandbox, sandbox.add(State.ARCHIVED)), sandbox.add(State.ARCHIVED)
    plan = tmp_path / "plan.jsonl"
    assert run("plan", "replace", "--all", "--output", plan).code == 0
    assert "keep language, label and tags" in plan.read_text()
    set_on(sandbox, later, {0: ("Dutch", "new", SOURCE_TAGS)})
    ran = run("apply", plan, "--no-dry-run", "--max-drift", 0)
    assert ran.outcomes == {labelled: "done", later: "done"}, ran.err
    assert settings_on(sandbox, later)[0] == ("Dutch", "new", SOURCE_TAGS)


# Killed in the middle

CUTS = [
    ("s3.PutObject", 0), ("s3.PutObjectTagging", 0), ("media.updateContent", 0), ("s3.PutObjectTagging", 1),
    ("flavorAsset.update", 0), ("flavorAsset.update", 1),
]  # fmt: skip


def killed(sandbox: Sandbox, zygote: Zygote, folder: Path, arguments: list[str], operation: str, skip: int) -> None:
    """Run a command in a process of its own and kill it just after the server has done this."""
    process: list[Process] = []
    sandbox.control.add_fault(operation, after=lambda _: process[0].kill(), skip=skip)
    environ = {**sandbox.environ(), "AWS_EC2_METADATA_DISABLED": "true"}
    process.append(zygote.start([*arguments, "--no-dry-run", "--no-lock", "--no-run-log"], environ, folder, {}))
    assert process[0].ended.wait(HANGS_SECONDS)
    assert process[0].code == -signal.SIGKILL, "it ended before"
    sandbox.control.clear_faults()


@pytest.mark.parametrize("cut", CUTS, ids=lambda cut: f"{cut[0]}-{cut[1]}")
@pytest.mark.parametrize("command", ["replace_video", "restore"])
def test_a_run_that_is_killed_loses_none_of_them(
    sandbox: Sandbox, run: Run, zygote: Zygote, tmp_path: Path, command: str, cut: tuple[str, int]
) -> None:
    sandbox.kaltura.settings.late_flavor = False
    video = sandbox.video()
    # What was replaced by somebody else has nothing kept yet: all that is set was set while the placeholder was in.
    state = State.ARCHIVED if command == "replace_video" else State.PLACEHOLDER
    entry_id = set_on(sandbox, sandbox.add(state, content=video))
    wanted = settings_on(sandbox, entry_id)
    killed(sandbox, zygote, tmp_path, [command, "--id", entry_id], *cut)
    sandbox.kaltura.settle()
    ran = act(run, command, entry_id)
    assert set(ran.outcomes.values()) <= {"done", "already"}, ran.err
    assert settings_on(sandbox, entry_id) == wanted
    assert shown(sandbox, entry_id) == (sandbox.placeholder if command == "replace_video" else video)
    assert state_of(run, entry_id) == ("placeholder" if command == "replace_video" else "archived")
    assert act(run, "repair", entry_id).outcomes[entry_id] in ("done", "already")  # may record the placeholder
    assert act(run, "repair", entry_id).outcomes == {entry_id: "already"}
    back: Callable[[], Any] = lambda: act(run, "restore", entry_id)  # noqa: E731
    assert back().outcomes[entry_id] in ("done", "already")
    assert settings_on(sandbox, entry_id) == wanted


def further_source(sandbox: Sandbox, entry_id: str, number: int, *, original: bool) -> Asset:
    """A second original, or what was the source before flavorAsset.setAsSource named another one."""
    asset = Asset(new_id(), entry_id, number, is_original=original, version=0, tags=SOURCE_TAGS)
    asset.store(Content.of(b"what nobody would make again\n" * 300), 2)
    sandbox.kaltura.library.put_asset(asset)
    return asset


@pytest.mark.parametrize(("number", "original"), [(99, True), (0, False)], ids=["second", "earlier"])
@pytest.mark.parametrize(
    "arguments", [("replace_video",), ("thin",), ("thin", "--derived-only", "--derived", "none")], ids=" ".join
)
def test_what_no_conversion_makes_does_not_go(
    sandbox: Sandbox, run: Run, arguments: tuple[str, ...], number: int, original: bool
) -> None:
    entry_id = sandbox.add(State.ARCHIVED, derived=2)
    further = further_source(sandbox, entry_id, number, original=original)
    command, *options = arguments
    ran = act(run, command, entry_id, *options)
    assert ran.outcomes == {entry_id: "refused"}
    assert f"{further.id}: a further source flavor" in ran.out
    assert not writes(sandbox)
    sandbox.kaltura.library.assets[further.id].status = 3  # deleted, because nobody needs it
    assert act(run, "replace_video", entry_id).outcomes == {entry_id: "done"}


def test_a_further_source_that_comes_at_the_last_moment_stops_a_swap(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add(State.ARCHIVED, derived=2)
    sandbox.control.add_fault(
        "uploadToken.add", after=lambda _: further_source(sandbox, entry_id, 99, original=True), subject=""
    )
    ran = act(run, "replace_video", entry_id)
    assert ran.outcomes == {entry_id: "failed"}
    assert "has a further source flavor" in ran.out
    assert set(assets_of(sandbox, entry_id)) >= {0, 99}
    assert shown(sandbox, entry_id) != sandbox.placeholder
