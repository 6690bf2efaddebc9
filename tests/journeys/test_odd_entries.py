"""Entries as real accounts have them: the whole cycle, or a refusal in words."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from looking import (
    Run,
    do_not_wait,
    original_of,
    shown,
    state_of,
    tags_of,
    unused_tokens,
    use_lock,
    writes,
)

from kaltura_archiver import survey
from kaltura_archiver.model import ARCHIVED_TAG, REPLACED_TAG, State
from kaltura_archiver.sandbox.control import Request
from kaltura_archiver.sandbox.kaltura.server import Token
from kaltura_archiver.sandbox.world import Sandbox


@pytest.fixture(autouse=True)
def nothing_is_left_behind(request: pytest.FixtureRequest) -> Any:
    """Whatever the outcome: no upload is left open and no token unused."""
    sandbox: Sandbox = request.getfixturevalue("sandbox")
    yield
    assert sandbox.s3.uploads() == []
    assert unused_tokens(sandbox) == []


@pytest.mark.parametrize(
    ("fields", "options"),
    [
        ({"name": "Gespräch über Bücher, 講義 \U0001f3ac", "tags": "über, 講義, École, a b"}, ()),
        ({"name": "", "creator_id": "", "tags": ""}, ()),
        ({"derived": 60}, ()),
        ({"exact_size": False}, ()),
        ({"file_ext": ""}, ()),
        ({"file_ext": "noex"}, ()),
        ({"tags": "Lecture, x, lecture, über"}, ()),
    ],
    ids=["non-ascii", "nameless", "60 flavors", "old asset", "no extension", "noex", "tags to normalise"],
)
def test_an_odd_entry_goes_through_the_whole_cycle(
    sandbox: Sandbox, run: Run, fields: dict[str, Any], options: Sequence[str]
) -> None:
    content = sandbox.video() * 30
    entry_id = sandbox.add(State.INITIAL, content=content, **fields)
    others = [t for t in tags_of(sandbox, entry_id).split(", ") if t]
    for command, video in (("s3copy", content), ("replace_video", sandbox.placeholder), ("restore", content)):
        ran = run(command, "--id", entry_id, "--no-dry-run", *options)
        assert (ran.code, ran.outcomes) == (0, {entry_id: "done"}), ran.err
        assert shown(sandbox, entry_id) == video
        assert run(command, "--id", entry_id, "--no-dry-run", *options).outcomes == {entry_id: "already"}
    assert original_of(sandbox, entry_id).file_ext == (fields.get("file_ext", "mp4") or "noex")
    # The tags of others are what Kaltura makes of them, no more: 6 (ASCII lower case, one byte dropped, no repeats).
    expected = ["lecture", "über"] if "x" in others else others
    kept = [t for t in tags_of(sandbox, entry_id).split(", ") if t != ARCHIVED_TAG]
    assert kept == expected or kept == [_ascii_lower(t) for t in expected]
    assert "traceback" not in ran.err.lower()


@pytest.mark.parametrize(
    ("metadata", "ext"),
    [
        ({}, "mp4"),  # the old tool's
        ({"s3cmd-attrs": "md5:00"}, "mp4"),
        ({"entry-id": "0_x", "file-ext": "MOV"}, "mov"),
        ({"entry-id": "0_x", "file-ext": "noex"}, "noex"),
        ({"entry-id": "0_x"}, "noex"),
        ({"entry-id": "0_x", "file-ext": "../x"}, "noex"),
    ],
)
def test_a_restored_original_has_the_extension_that_was_stored(
    sandbox: Sandbox, run: Run, metadata: dict[str, str], ext: str
) -> None:
    entry_id = sandbox.add(State.PLACEHOLDER)
    body = sandbox.s3.body(entry_id)
    assert body is not None
    ours = {"entry-id": entry_id} if "entry-id" in metadata else {}
    sandbox.s3.put(entry_id, body, metadata=metadata | ours, tags=sandbox.s3.tags(entry_id))
    assert run("restore", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "done"}
    assert original_of(sandbox, entry_id).file_ext == ext


def test_the_token_of_a_killed_run_is_removed_whatever_the_extension(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `nothing_is_left_behind` looks at."""
    use_lock(monkeypatch)
    entry_id = sandbox.add(State.PLACEHOLDER)
    # A lock remembers whose it was: so that run is known to be over.
    sandbox.s3.put("locks/restore.json", b'{"run": "deadbeef", "expires": 1, "released": true}')
    for number, name in enumerate((f"archiver-deadbeef-{entry_id}", f"archiver-deadbeef-{entry_id}.mov")):
        sandbox.kaltura.tokens[f"0_left{number}"] = Token(
            f"0_left{number}", user_id="archiver", file_name=name, status=1, created_at=1_600_000_000
        )
    assert run("restore", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "done"}


def test_a_restored_video_that_kaltura_cannot_read_is_warned_of(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add(State.PLACEHOLDER)

    def unreadable(request: Request) -> None:
        sandbox.kaltura.entries[entry_id].duration_ms = 0

    sandbox.control.add_fault("media.update", before=unreadable)
    ran = run("restore", "--id", entry_id, "--no-dry-run")
    assert ran.outcomes == {entry_id: "done"}
    assert "a duration of 0 seconds" in ran.rows[0]["detail"]
    assert f"entry {entry_id}: WARNING" in ran.err
    assert "duration" not in run("restore", "--id", sandbox.add(State.PLACEHOLDER), "--no-dry-run").err


def _ascii_lower(text: str) -> str:
    return "".join(c.lower() if c.isascii() else c for c in text)


@pytest.mark.parametrize("tags", [f"Lecture, x, {ARCHIVED_TAG}", f"{'ü' * 70}, {ARCHIVED_TAG}"])
def test_tags_that_kaltura_normalises_on_the_way_are_not_taken_for_somebodys_change(
    sandbox: Sandbox, run: Run, tags: str
) -> None:
    entry_id = sandbox.add(State.ARCHIVED)
    sandbox.kaltura.entries[entry_id].tags = tags
    ran = run("replace_video", "--id", entry_id, "--no-dry-run")
    assert ran.outcomes == {entry_id: "done"}, ran.err


def test_an_image_is_archived_but_not_replaced_by_a_video(sandbox: Sandbox, run: Run) -> None:
    """`updateContent` on an image replaces it at once, without a temporary entry (kaltura-api 5.3)."""
    content = sandbox.video()
    entry_id = sandbox.add(State.INITIAL, content=content, media_type=2, file_ext="png", derived=0)
    assert run("s3copy", "--media-type", "image", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "done"}
    assert sandbox.s3.body(entry_id) == content
    ran = run("replace_video", "--media-type", "image", "--id", entry_id, "--no-dry-run")
    assert (ran.code, ran.outcomes) == (3, {entry_id: "refused"})
    assert sandbox.control.requests("media.updateContent") == []
    assert shown(sandbox, entry_id) == content


def test_an_original_of_no_bytes_fails_with_one_line_and_stores_nothing(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    do_not_wait(monkeypatch)
    entry_id = sandbox.add(State.INITIAL, content=b"")
    ran = run("s3copy", "--id", entry_id, "--no-dry-run")
    assert (ran.code, ran.outcomes) == (1, {entry_id: "failed"})
    assert len([line for line in ran.err.splitlines() if " ERROR " in line]) == 1
    assert "Traceback" not in ran.err
    assert sandbox.s3.keys() == []
    assert writes(sandbox) == []
    assert tags_of(sandbox, entry_id) == ""


@pytest.mark.parametrize("fields", [{"original_status": 5}, {"original": False}])
def test_an_entry_without_a_kept_original_is_refused(sandbox: Sandbox, run: Run, fields: dict[str, Any]) -> None:
    entry_id = sandbox.add(State.INITIAL, **fields)
    for command in ("s3copy", "replace_video", "restore", "repair"):
        ran = run(command, "--id", entry_id, "--no-dry-run")
        assert (ran.code, ran.outcomes) == (3, {entry_id: "refused"})
    assert writes(sandbox) == []
    assert state_of(run, entry_id) == "empty"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"display_in_search": -2, "recycled_at": 1_600_000_000}, "recycled"),
        ({"display_in_search": -1, "replaced_entry_id": "0_main00001"}, "temporary"),
        ({"entry_type": 7}, "entry type"),
    ],
)
def test_recycled_temporary_and_foreign_entries_are_refused_by_name(
    sandbox: Sandbox, run: Run, fields: dict[str, Any], reason: str
) -> None:
    entry_id = sandbox.add(State.INITIAL, **fields)
    for command in ("s3copy", "replace_video", "restore", "repair"):
        ran = run(command, "--id", entry_id, "--no-dry-run")
        assert (ran.code, ran.outcomes) == (3, {entry_id: "refused"})
        assert reason in ran.rows[0]["detail"]
        assert f"entry {entry_id} is left out" in ran.err
        assert reason in ran.err
    assert writes(sandbox) == []


@pytest.mark.parametrize("command", ["s3copy", "replace_video", "restore", "verify", "repair", "thin"])
@pytest.mark.parametrize(
    "fields", [{"media_type": 5}, {"status": "5"}, {"status": "6"}, {"status": "virusScan.Infected"}]
)
def test_who_names_an_entry_hears_what_becomes_of_it_whatever_its_media_type_and_status(
    sandbox: Sandbox, run: Run, command: str, fields: dict[str, Any]
) -> None:
    entry_id = sandbox.add(State.PLACEHOLDER if command == "restore" else State.ARCHIVED, **fields)
    Path("ids").write_text(entry_id)
    # Who says a media type and a status means these.
    said = run(command, "--id", entry_id, "--media-type", "video", "--status", "2", "--no-dry-run")
    assert (said.code, said.outcomes) == (0, {})
    assert f"entry {entry_id} is left out" in said.err
    dry = run(command, "--idfile", "ids")
    ran = run(command, "--id", entry_id, "--no-dry-run")
    assert list(dry.outcomes) == list(ran.outcomes) == [entry_id], ran.err
    assert (ran.code == 0) == (ran.outcomes[entry_id] in ("done", "already")), ran.outcomes


def test_what_asks_at_the_desk_by_name_comes_back_whatever_its_status(sandbox: Sandbox, run: Run) -> None:
    blocked = sandbox.add(State.PLACEHOLDER, status="6")
    Path("asked.csv").write_text(f"entry_id\n{blocked}\n")
    Path("policy.toml").write_text('[restore]\nrequests = "asked.csv"\n')
    assert run("run", "--explain", blocked).rows[0]["says"] == "due"
    assert run("run", "--no-dry-run").outcomes == {blocked: "done"}


# What nobody understands


def test_audio_is_archived_but_never_gets_a_silent_video_in_its_place(sandbox: Sandbox, run: Run) -> None:
    content = sandbox.video() * 30
    entry_id = sandbox.add(State.INITIAL, content=content, media_type=5, file_ext="m4a")
    assert run("s3copy", "-m", "audio", "--all", "--no-dry-run").outcomes == {entry_id: "done"}
    ran = run("replace_video", "--id", entry_id, "--no-dry-run")
    assert (ran.code, ran.outcomes) == (3, {entry_id: "refused"})
    assert "audio is not replaced by it" in ran.out
    assert shown(sandbox, entry_id) == content
    # What an earlier version has replaced, and lost on the way: the sound comes back, not the video.
    lost = sandbox.add(State.NO_ORIGINAL, content=content, media_type=5, file_ext="m4a")
    sandbox.kaltura.edit(lost, tags=f"{ARCHIVED_TAG}, {REPLACED_TAG}")
    assert run("repair", "-m", "audio", "--id", lost, "--no-dry-run").outcomes == {lost: "done"}
    assert shown(sandbox, lost) == content


@pytest.mark.parametrize(("more", "outcome"), [(0, "skipped"), (-1, "skipped"), (1, "done")])
def test_what_frees_nothing_is_skipped_and_said(sandbox: Sandbox, run: Run, more: int, outcome: str) -> None:
    size = len(sandbox.placeholder) + more
    entry_id = sandbox.add(State.ARCHIVED, content=b"x" * size)
    ran = run("replace_video", "--id", entry_id, "--no-dry-run")
    assert (ran.code, ran.outcomes) == (0, {entry_id: outcome}), ran.err
    said = f"nothing would be freed: the original has {size} bytes, the placeholder {len(sandbox.placeholder)}"
    assert (said in ran.out) == (outcome == "skipped")


READS = (
    ("list",), ("list", "--mode", "flavor"), ("health",), ("stats",), ("report", "-o", "page.html"),
    ("plan", "replace", "--all", "--force", "-o", "plan.jsonl"),
    ("plan", "archive", "--all", "--force", "-o", "plan.jsonl"),
)  # fmt: skip


def answering(sandbox: Sandbox, field: str, value: object) -> str:
    """An entry of which Kaltura says this on the wire, among good ones."""
    sandbox.add(State.ARCHIVED)
    odd = sandbox.add(State.ARCHIVED)
    sandbox.add(State.INITIAL)
    describe = sandbox.kaltura.services.describe_entry
    sandbox.kaltura.services.describe_entry = lambda entry: (  # type: ignore[method-assign]
        describe(entry) | ({field: value} if entry.id == odd else {})
    )
    return odd


# What Kaltura might say of the time when an entry was created, and tells none.
NO_DATES = ("", 0, -5, "soon", 1_000_000_000_000, "1e400", "9" * 5000, None)


def test_an_unknown_date_is_never_old_enough_and_ends_nothing(sandbox: Sandbox, run: Run) -> None:
    good, odd = [sandbox.add(state) for state in (State.ARCHIVED, State.INITIAL)], {}
    describe = sandbox.kaltura.services.describe_entry
    sandbox.kaltura.services.describe_entry = lambda entry: (  # type: ignore[method-assign]
        describe(entry) | ({"createdAt": odd[entry.id]} if entry.id in odd else {})
    )
    odd |= {sandbox.add(State.ARCHIVED): value for value in NO_DATES}
    ids = [word for entry_id in odd for word in ("--id", entry_id)]
    for command in READS:
        ran = run(*command)
        assert "unexpected" not in ran.err, command
        assert ran.code in (0, 3), (command, ran.err)
    rows = {row["entry_id"]: row for row in run("list").rows}
    assert rows.keys() == {*good, *odd}
    assert {entry_id: rows[entry_id]["created_date"] for entry_id in odd} == dict.fromkeys(odd, "")
    ran = run("replace_video", *ids, "--no-dry-run")
    assert (ran.code, ran.outcomes) == (3, dict.fromkeys(odd, "refused"))
    assert ran.out.count("does not tell when it was created") == len(odd)
    for criterion in ("--unplayed-for", "--created-before", "--created-within"):
        ran = run("replace_video", *ids, criterion, 3, "--no-dry-run")
        assert ran.outcomes == {}
        assert ran.err.count("is left out: it is not known when it was created") == len(odd)
    assert writes(sandbox) == []
    assert run("replace_video", *ids, "--min-age-years", 0).outcomes == dict.fromkeys(odd, "would")


@pytest.mark.parametrize(
    ("field", "value"), [("lastPlayedAt", "yesterday"), ("lastPlayedAt", 1_600_000_000_000), ("plays", "many")]
)
def test_an_unreadable_play_is_not_never(sandbox: Sandbox, run: Run, field: str, value: object) -> None:
    odd = answering(sandbox, field, value)
    for criterion in (("--unplayed-for", 3), ("--never-played",), ("--plays", 5)):
        ran = run("replace_video", "--id", odd, *criterion, "--no-dry-run")
        assert ran.outcomes == {}
        assert "it is not known how often and when it was played" in ran.err
    sandbox.kaltura.edit(odd, tags=f"{ARCHIVED_TAG}, notice_2020-01-01")
    ran = run("replace_video", "--id", odd, "--noticed-before", "30d", "--no-dry-run")
    assert ran.outcomes == {odd: "skipped"}
    assert "it is not known whether it was played" in ran.out
    assert writes(sandbox) == []


def test_a_status_that_nobody_knows_costs_that_entry_alone(sandbox: Sandbox, run: Run) -> None:
    good, odd = sandbox.add(State.ARCHIVED), sandbox.add(State.ARCHIVED)
    original_of(sandbox, odd).status = 42
    derived = sandbox.add(State.ARCHIVED)
    next(a for a in sandbox.kaltura.library.live_assets(derived) if not a.is_original).status = 43
    for command in READS:
        ran = run(*command)
        assert "unexpected" not in ran.err, command
        assert ran.code in (0, 1 if command[0] == "health" else 3), (command, ran.err)
    flavors = {row["status"] for row in run("list", "--mode", "flavor").rows}
    assert flavors == {"READY", "status 42", "status 43"}
    messages = {row["entry_id"]: row["message"] for row in run("health").rows}
    assert "Kaltura says what is not understood here: status 42" in messages[odd]
    assert "HEALTHY" in messages[good]
    for command in ("s3copy", "restore", "repair"):
        assert run(command, "--all", "--no-dry-run").outcomes == {good: "already", odd: "refused", derived: "already"}
    ran = run("replace_video", "--all", "--no-dry-run")
    assert ran.outcomes == {good: "done", odd: "refused", derived: "refused"}
    assert {r.subject for r in writes(sandbox)} & {odd, derived} == set()


def test_a_size_that_is_none_is_not_known_and_ends_nothing(sandbox: Sandbox, run: Run) -> None:
    good, odd = sandbox.add(State.ARCHIVED), {}
    for field in ("size", "sizeInBytes"):
        for value in (-5, "many", "1e400"):
            odd[sandbox.add(State.ARCHIVED)] = {"size": "", "sizeInBytes": "", field: value}
    describe = sandbox.kaltura.services.describe_asset
    sandbox.kaltura.services.describe_asset = lambda asset: (  # type: ignore[method-assign]
        describe(asset) | odd.get(asset.entry_id, {})
    )
    for command in READS:
        ran = run(*command)
        assert "unexpected" not in ran.err, command
        assert ran.code in (0, 1 if command[0] == "health" else 3), (command, ran.err)
    ran = run("replace_video", "--all", "--no-dry-run")
    assert ran.outcomes == {good: "done", **dict.fromkeys(odd, "refused")}
    assert ran.out.count("Kaltura tells no size for the original") == len(odd)


@pytest.mark.parametrize("few", [40, 0], ids=["by looks", "by a listing"])
@pytest.mark.parametrize("operation", ["s3.HeadObject", "s3.GetObjectTagging"])
def test_a_copy_that_s3_does_not_show_costs_that_entry_alone(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch, operation: str, few: int
) -> None:
    """Of another account, under another key, or denied by its tags."""
    monkeypatch.setattr(survey, "FEW", few)
    good, odd, source = (sandbox.add(State.ARCHIVED) for _ in range(3))
    clone = sandbox.add(State.LOST, root_id=source)
    for bad in (odd, source):
        for asked in (operation, "s3.GetObject"):
            sandbox.control.add_fault(asked, "error", subject=bad, code="AccessDenied", status=403, times=10**6)
    for command in (*READS, ("health", "--verified"), ("health", "--legacy-columns")):
        ran = run(*command)
        assert not [line for line in ran.err.splitlines() if line.startswith("error:")], command
        assert ran.code in (0, 1), (command, ran.err)
    told = {row["entry_id"]: row["message"] for row in run("health", "--verified").rows}
    assert "HEALTHY" in told[good]
    for entry_id in (odd, source, clone):
        assert "S3 does not show its stored copy" in told[entry_id]
        assert "AccessDenied" in told[entry_id]
    ran = run("plan", "replace", "--all", "-o", "-")
    outcomes = {line["entry"]: line["outcome"] for line in map(json.loads, ran.out.splitlines()[1:-1])}
    assert outcomes == run("replace_video", "--all").outcomes
    assert outcomes == {good: "would", odd: "failed", source: "failed", clone: "failed"}
    # What is so of many is so of the bucket.
    monkeypatch.setattr(survey, "MAX_UNSEEN", 2)
    ran = run("health", "--verified")
    assert ran.code == 1
    assert ran.err.splitlines()[-1].startswith("error: look at object ")


def test_an_entry_in_a_status_that_nobody_knows_is_refused(sandbox: Sandbox, run: Run) -> None:
    odd = answering(sandbox, "status", "23")
    assert run("list").code == 0
    assert run("plan", "archive", "--all", "-o", "plan.jsonl").code == 0
    ran = run("replace_video", "--id", odd, "--no-dry-run")
    assert (ran.code, ran.outcomes) == (3, {odd: "refused"})
    assert "a status that is not known here: 23" in ran.rows[0]["detail"]
    from kaltura_archiver.model import Entry, Facts, Outcome
    from kaltura_archiver.plans import plan_for
    from kaltura_archiver.steps import Command, Options

    for command in (Command.S3COPY, Command.REPLACE, Command.RESTORE, Command.REPAIR):
        plan = plan_for(command, Facts(Entry("0_a", status="23")), Options(now=2e9))
        assert (plan.steps, plan.outcome) == ((), Outcome.REFUSED)
        assert "a status that is not known here: 23" in plan.reason


@pytest.mark.parametrize("bad", ["../../x", "0_a b", ""])
def test_an_odd_id_of_a_flavor_costs_that_entry_alone(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch, bad: str
) -> None:
    do_not_wait(monkeypatch)
    good, odd = sandbox.add(State.ARCHIVED), sandbox.add(State.ARCHIVED)
    describe = sandbox.kaltura.services.describe_asset
    sandbox.kaltura.services.describe_asset = lambda asset: (  # type: ignore[method-assign]
        describe(asset) | ({"id": bad} if asset.entry_id == odd and asset.is_original else {})
    )
    for command in READS:
        ran = run(*command)
        assert "unexpected" not in ran.err, command
        assert ran.code in (0, 1 if command[0] == "health" else 3), (command, ran.err)
    assert len(run("health").rows) == 2
    ran = run("replace_video", "--all", "--no-dry-run")
    assert (ran.code, ran.outcomes) == (1, {good: "done", odd: "failed"})
    assert {r.subject for r in writes(sandbox)} & {odd} == set()


@pytest.mark.parametrize("way", ["search", "named"])
def test_an_odd_id_of_an_entry_costs_that_entry_alone(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    do_not_wait(monkeypatch)
    odd = answering(sandbox, "id", "../x")
    words = [] if way == "search" else [w for e in sandbox.kaltura.entries for w in ("--id", e)]
    ran = run("list", *words)
    assert (ran.code, len(ran.rows)) == (1, 2)
    assert "Kaltura answered with '../x' for an id" in ran.err
    ran = run("s3copy", *(words or ["--all"]), "--no-dry-run")
    assert ran.code == 1
    # Who named it is told so; of one that the search found there is no id.
    assert ran.outcomes.pop(odd, "failed") == "failed"
    assert sorted(outcome for entry_id, outcome in ran.outcomes.items() if entry_id != odd) == ["already", "done"]
    assert writes(sandbox, "media.update") != []
    assert {request.subject for request in writes(sandbox)}.isdisjoint({odd, "../x"})
