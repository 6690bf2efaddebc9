"""`plan` writes down what would be done; `apply` does that, to what is still as it was planned, and names the rest."""

from __future__ import annotations

import json
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Ran, Run
from looking import (
    BOTH,
    assert_nothing_left,
    http_requests,
    lose_flavor_tag,
    shown,
    somebody_replaces,
    state_of,
    tags_of,
    writes,
)

from kaltura_archiver.config import read_settings
from kaltura_archiver.model import ARCHIVED_TAG, THIN_TAG, State
from kaltura_archiver.review.planfile import _check
from kaltura_archiver.run import run as acting
from kaltura_archiver.run.lock import RunLock, lock_key
from kaltura_archiver.sandbox.world import Sandbox
from kaltura_archiver.store import Store

RUN_LOG, LOCK = acting._run_log, acting._lock
ACTIONS = {"archive": "s3copy", "replace": "replace_video", "restore": "restore"}
START = {"archive": State.INITIAL, "replace": State.ARCHIVED, "restore": State.PLACEHOLDER}
GOAL = {"archive": State.ARCHIVED, "replace": State.PLACEHOLDER, "restore": State.ARCHIVED}
PLAN = Path("plan.jsonl")


def lines_of(path: Path = PLAN) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def entries_of(path: Path = PLAN) -> dict[str, dict[str, Any]]:
    return {line["entry"]: line for line in lines_of(path) if line["kind"] == "entry"}


def planned(run: Run, action: str, *options: object) -> Ran:
    return run("plan", action, "--all", "-o", PLAN, "--force", *options)


def apply(run: Run, *options: object) -> Ran:
    return run("apply", PLAN, "--no-dry-run", *options)


# The plan


@pytest.mark.parametrize("action", ACTIONS)
def test_a_plan_says_of_every_entry_what_the_dry_run_of_the_command_says(
    sandbox: Sandbox, run: Run, action: str
) -> None:
    ids = [sandbox.add(state) for state in State]
    ids += [sandbox.add(START[action], tags="keep"), sandbox.add(START[action], age_years=0.5)]
    if action == "replace":  # not of what plays on without its original
        ids = [entry_id for entry_id in ids if THIN_TAG not in tags_of(sandbox, entry_id)]
    ran = planned(run, action)
    dry = run(ACTIONS[action], "--all")
    told = {row["entry_id"]: (row["state"], row["outcome"], row["detail"]) for row in dry.rows}
    assert set(told) == set(ids)
    assert {
        line["entry"]: (line["state"], line["outcome"], line["why"].removeprefix(f"{line['outcome']}: "))
        for line in entries_of().values()
    } == told
    assert ran.code == dry.code == 3
    assert ran.out == ""
    assert writes(sandbox) == []


@pytest.mark.parametrize(("action", "count"), [("archive", 50), ("replace", 50), ("replace", 5)])
def test_the_facts_of_a_large_plan_are_those_of_a_small_one(
    sandbox: Sandbox, run: Run, action: str, count: int
) -> None:
    """Of many entries the bucket is listed: sizes alone would not do."""
    ids = [sandbox.add(START[action], age_years=9 - n / 1000) for n in range(count)]
    lose_flavor_tag(sandbox, ids[0]) if action == "replace" else None
    planned(run, action)
    for entry_id in ids[1:]:
        line = entries_of()[entry_id]
        original = sandbox.kaltura.original(entry_id)
        assert original is not None
        assert line["outcome"] == "would"
        assert line["facts"]["original"] == f"{original.id}@{original.version}"
        body = sandbox.s3.body(entry_id)
        assert line["facts"]["stored_bytes"] == (None if body is None else len(body))
        assert line["facts"]["sha256"] == ("" if body is None else sandbox.s3.tags(entry_id)["sha256"])
    assert entries_of()[ids[0]]["outcome"] == ("refused" if action == "replace" else "would")


def test_a_plan_of_many_takes_few_requests(sandbox: Sandbox, run: Run) -> None:
    sandbox.kaltura.add_category(10, "Faculty")
    for action, per_copy in (("archive", 0), ("replace", 2)):
        ids = [sandbox.add(START[action], age_years=9 - n / 1000, tags=action) for n in range(45)]
        sandbox.control.clear_log()
        planned(run, action, "--tag", action, "--keep-category", 10)
        # Pages; flavors and categories together; further streams; a listing of the bucket.
        batches = 2
        assert http_requests(sandbox) <= 3 + 2 * batches + 2 + per_copy * len(ids)


def test_the_first_line_tells_what_the_plan_is_and_what_it_costs(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEEP_OWNERS", "ann,joe")
    sandbox.kaltura.add_category(7, "kept")
    entry_id, kept = sandbox.add(State.INITIAL, content=b"v" * 5_000_000), sandbox.add(State.INITIAL, tags="keep")
    ran = planned(run, "archive", "--unplayed-for", 3, "--storage-class", "GLACIER", "--keep-category", 7)
    first, *_, last = lines_of()
    assert first["action"] == "archive"
    assert first["options"] == {"storage_class": "GLACIER", "accept_size_match": False}
    assert first["keep"] == {"tags": ["keep"], "categories": [7], "owners": ["ann", "joe"], "metadata": []}
    assert "not played since" in first["filter"]
    assert set(first["plays"]) == {"unplayed_since"}
    assert first["account"] == {
        "partner": str(sandbox.kaltura.partner_id),
        "service": sandbox.kaltura.url,
        "bucket": sandbox.s3.bucket,
        "S3 service": sandbox.s3.url,
    }
    totals = first["totals"]
    assert totals["outcomes"] == {"would": 1, "skipped": 1}
    assert totals["bytes_moved"] == 5_000_000
    assert totals["cost"] == entries_of()[entry_id]["cost"]
    assert totals["cost"]["upload"] > 0
    assert last == {"kind": "end", "entries": 2, "check": last["check"]}
    assert entries_of()[kept]["why"] == "skipped: kept: tagged keep"
    assert "plan: would 1, skipped 1; bytes to move 5000000, bytes to free 0; cost: uploads" in ran.err


def test_what_replacing_saves_is_told_where_kaltura_has_a_price(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add(State.ARCHIVED, content=b"v" * 5_000_000)
    planned(run, "replace", "--kaltura-price", 100)
    line = entries_of()[entry_id]
    assert line["bytes_freed"] == 5_000_000 - len(sandbox.placeholder)
    assert line["cost"] == {"saved_month": pytest.approx(0.1 * line["bytes_freed"] / 1e6, rel=0.08)}


def test_a_plan_is_a_file_for_ones_own_eyes_that_appears_whole_and_replaces_none_unasked(
    sandbox: Sandbox, run: Run
) -> None:
    sandbox.add(State.INITIAL)
    assert run("plan", "archive", "--all", "-o", PLAN).code == 0
    assert stat.S_IMODE(PLAN.stat().st_mode) == 0o600
    assert [path.name for path in Path().iterdir() if path.is_file()] == [PLAN.name]
    again = run("plan", "archive", "--all", "-o", PLAN)
    assert (again.code, "plan.jsonl exists; name another file" in again.err) == (2, True)
    before = PLAN.read_bytes()
    sandbox.control.add_fault("flavorAsset.list", "error", code="SERVICE_FORBIDDEN", times=9)
    assert planned(run, "archive").code == 1
    assert PLAN.read_bytes() == before
    sandbox.control.clear_faults()
    printed = run("plan", "archive", "--all", "-o", "-")
    assert [json.loads(line)["kind"] for line in printed.out.splitlines()] == ["plan", "entry", "end"]
    nowhere = run("plan", "archive", "--all", "-o", "no/such/folder.jsonl")
    assert (nowhere.code, "cannot write no/such/folder.jsonl: No such file" in nowhere.err) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["archive", "-o", "p"], "plan archive without any selection criterion"),
        (["archive", "--all", "-o", "p", "--tier", "bulk"], "--tier is no option of plan archive"),
        (["replace", "--all", "-o", "p", "--storage-class", "GLACIER"], "--storage-class is no option of plan replace"),
        (["restore", "--all", "-o", "p", "--min-age-years", "1"], "--min-age-years is no option of plan restore"),
        (["archive", "--all"], "Missing option '--output'"),
        (["everything", "--all", "-o", "p"], "'everything' is not one of"),
    ],
)
def test_a_plan_that_cannot_be_meant_is_refused(sandbox: Sandbox, run: Run, arguments: list[str], words: str) -> None:
    ran = run("plan", *arguments)
    assert ran.code == 2
    assert words in ran.err
    assert sandbox.control.requests() == []
    assert not Path("p").exists()


def test_a_plan_cut_by_the_default_limit_says_so(sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = [sandbox.add(State.INITIAL) for _ in range(3)]
    assert planned(run, "archive", "--max-entries", 2).code == 0
    assert len(entries_of()) == 2
    ran = run("plan", "archive", "--id", ids[0], "--id", "0_nosuch00", "-o", "other.jsonl")
    assert (ran.code, "0_nosuch00: no such entry" in ran.err) == (1, True)


# Apply


@pytest.mark.parametrize("action", ACTIONS)
def test_apply_is_dry_unless_told_otherwise_and_then_does_what_the_plan_says(
    sandbox: Sandbox, run: Run, action: str
) -> None:
    ids = [sandbox.add(START[action]) for _ in range(3)]
    other = sandbox.add(START[action], tags="keep") if action != "restore" else sandbox.add(State.INITIAL)
    planned(run, action)
    assert writes(sandbox) == []
    dry = run("apply", PLAN)
    assert (dry.code, dry.outcomes) == (0, dict.fromkeys(ids, "would"))
    assert writes(sandbox) == []
    assert dry.err.rstrip().endswith(f"to act: kaltura-archiver apply {PLAN} --no-dry-run")
    ran = apply(run)
    assert (ran.code, ran.outcomes) == (0, dict.fromkeys(ids, "done")), ran.err
    assert f"{ACTIONS[action]} of 3 entries; left out: " in ran.err
    assert [state_of(run, entry_id) for entry_id in ids] == [GOAL[action]] * 3
    assert [request for request in writes(sandbox) if request.subject == other] == []
    again = apply(run)
    assert (again.code, again.outcomes) == (0, dict.fromkeys(ids, "already"))
    assert_nothing_left(sandbox)


def _delete(sandbox: Sandbox, entry_id: str) -> None:
    library = sandbox.kaltura.library
    with library.lock:
        library.delete_entry(library.entries[entry_id])


def _add_tag(sandbox: Sandbox, entry_id: str, tag: str) -> None:
    sandbox.kaltura.edit(entry_id, tags=f"{sandbox.kaltura.entries[entry_id].tags}, {tag}")


def _thaw_over(sandbox: Sandbox, entry_id: str) -> None:
    body, tags = sandbox.s3.body(entry_id), sandbox.s3.tags(entry_id)
    assert body is not None
    sandbox.s3.put(entry_id, body, storage_class="GLACIER", tags=tags)


EDITS: dict[str, tuple[tuple[str, ...], Callable[[Sandbox, str], object], str]] = {
    # what a person does after the plan: to plans of what, and what `apply` says
    "new upload": (tuple(ACTIONS), lambda s, e: s.kaltura.replace_original(e, b"newer" * 999), "the original was 0_"),
    "keep": (tuple(ACTIONS), lambda s, e: _add_tag(s, e, "keep"), "tags +keep"),
    "another tag": (tuple(ACTIONS), lambda s, e: _add_tag(s, e, "physics"), "tags +physics"),
    "tag removed": (("archive",), lambda s, e: s.kaltura.edit(e, tags=""), "tags -lecture"),
    "our tag removed": (("replace",), lambda s, e: s.kaltura.edit(e, tags="lecture"), f"tags -{ARCHIVED_TAG}"),
    "deletion": (tuple(ACTIONS), _delete, "the entry is gone"),
    "recycled": (tuple(ACTIONS), lambda s, e: s.kaltura.edit(e, display_in_search=-2), "recycle bin"),
    "category": (("archive", "replace"), lambda s, e: s.kaltura.edit(e, categories=(11,)), "kept: below category 10"),
    "owner": (("archive", "replace"), lambda s, e: s.kaltura.edit(e, user_id="jdoe"), "kept: owned by jdoe"),
    "played": (("archive", "replace"), lambda s, e: s.kaltura.edit(e, last_played_at=1_900_000_000), "played more rec"),
    "replacing": (("archive", "replace"), lambda s, e: somebody_replaces(s, e, b"newer" * 999), "in progress"),
    "copy lost": (
        ("replace", "restore"),
        lambda s, e: s.s3.client().delete_object(Bucket=s.s3.bucket, Key=e),
        "the stored copy is gone",
    ),
    "copy changed": (("replace", "restore"), lambda s, e: s.s3.put(e, b"other"), "the stored copy is another one"),
    "copy frozen": (("restore",), _thaw_over, "it would request a restore from Glacier"),
}


@pytest.mark.parametrize("action", ACTIONS)
def test_what_a_person_changed_since_the_plan_is_named_and_left_alone_and_the_rest_is_done(
    sandbox: Sandbox, run: Run, action: str
) -> None:
    sandbox.kaltura.add_category(10, "Faculty")
    sandbox.kaltura.add_category(11, "Course", 10)
    ids = {
        name: sandbox.add(START[action], tags="lecture") for name, (actions, *_) in EDITS.items() if action in actions
    }
    others = [sandbox.add(START[action], tags="lecture") for _ in range(2)]
    planned(run, action, "--keep-category", 10, "--keep-owner", "jdoe", "--unplayed-for", 3)
    sandbox.kaltura.settings.conversion_seconds = 3600
    for name, entry_id in ids.items():
        EDITS[name][1](sandbox, entry_id)
    sandbox.kaltura.settings.conversion_seconds = 0.02
    sandbox.control.clear_log()
    # The rules of the plan hold without being said again.
    stopped = apply(run)
    assert (stopped.code, stopped.outcomes) == (4, dict.fromkeys(ids.values(), "drifted")), stopped.err
    told = (
        f"{len(ids)} of {len(ids) + 2} entries are not as they were planned any more, which is more than --max-drift 1%"
    )
    assert told in stopped.err
    assert "stopped, 2 entries were not begun" in stopped.err
    assert writes(sandbox) == []
    ran = apply(run, "--max-drift", len(ids))
    assert ran.code == 3
    assert ran.outcomes == dict.fromkeys(ids.values(), "drifted") | dict.fromkeys(others, "done"), ran.err
    details = {row["entry_id"]: row["detail"] for row in ran.rows}
    for name, entry_id in ids.items():
        assert EDITS[name][2] in details[entry_id], name
        assert [r.operation for r in writes(sandbox) if r.subject == entry_id] == []


def test_a_plan_a_person_edits_the_library_and_apply_does_the_rest(sandbox: Sandbox, run: Run) -> None:
    """Issue 6: a new upload, the tag keep, a deletion."""
    videos = [sandbox.video() for _ in range(12)]
    ids = [sandbox.add(State.ARCHIVED, content=video, tags="lecture") for video in videos]
    planned(run, "replace")
    sandbox.kaltura.replace_original(ids[0], b"a newer lecture" * 500)
    _add_tag(sandbox, ids[1], "keep")
    _delete(sandbox, ids[2])
    assert apply(run, "--max-drift", "24.9%").code == 4
    assert writes(sandbox, "media.*") == []
    ran = apply(run, "--max-drift", "25%")
    assert ran.code == 3
    assert ran.outcomes == dict.fromkeys(ids[:3], "drifted") | dict.fromkeys(ids[3:], "done")
    assert "drifted: the original was 0_" in ran.err
    assert "drifted: tags +keep; skipped: kept: tagged keep" in ran.err
    assert f"entry {ids[2]} replace_video drifted: the entry is gone" in ran.err
    assert shown(sandbox, ids[0]) == b"a newer lecture" * 500
    assert shown(sandbox, ids[1]) == videos[1]
    assert all(shown(sandbox, entry_id) == sandbox.placeholder for entry_id in ids[3:])


def test_a_restore_is_planned_once_and_applied_until_it_is_done(sandbox: Sandbox, run: Run) -> None:
    video = sandbox.video()
    entry_id = sandbox.add(State.PLACEHOLDER, content=video, storage_class="GLACIER", tags="keep")
    planned(run, "restore", "--tier", "standard", "--days", 3)
    assert entries_of()[entry_id]["bytes_moved"] == len(video)
    assert apply(run).outcomes == {entry_id: "waiting"}
    assert len(sandbox.control.requests("s3.RestoreObject")) == 1
    sandbox.kaltura.edit(entry_id, plays=99, last_played_at=sandbox.control.clock.now())  # somebody waits for it
    assert apply(run).outcomes == {entry_id: "waiting"}
    sandbox.s3.thaw(entry_id)
    assert apply(run).outcomes == {entry_id: "done"}
    assert shown(sandbox, entry_id) == video


def test_what_a_tag_asks_for_is_planned_and_the_tag_goes_at_last(sandbox: Sandbox, run: Run) -> None:
    frozen = sandbox.add(State.PLACEHOLDER, storage_class="GLACIER", tags="please")
    there, withdrawn = (sandbox.add(state, tags="please") for state in (State.ARCHIVED, State.PLACEHOLDER))
    sandbox.add(State.PLACEHOLDER)
    arguments = ("plan", "restore", "--request-tag", "please", "--tier", "standard", "-o", PLAN)
    ran = run(*arguments)
    assert ran.code == 0, ran.err
    assert lines_of()[0]["options"]["request_tag"] == "please"
    assert {entry_id: line["steps"] for entry_id, line in entries_of().items()} == {
        frozen: ["thaw"], there: ["remove_request"],
        withdrawn: ["put_original", "remove_replaced", "remove_request"],
    }  # fmt: skip
    sandbox.kaltura.edit(withdrawn, tags=BOTH)
    assert apply(run, "--max-drift", 5).outcomes == {frozen: "waiting", there: "done", withdrawn: "drifted"}
    assert tags_of(sandbox, there) == ARCHIVED_TAG
    sandbox.control.clock.advance(86400)
    assert apply(run, "--max-drift", 5).outcomes[frozen] == "done"
    assert tags_of(sandbox, frozen) == ARCHIVED_TAG
    assert apply(run, "--max-drift", 5).outcomes[frozen] == "already"
    nobody = run(*arguments, "--force")
    assert (nobody.code, entries_of()) == (0, {})
    assert "nobody asks: no entry matches" in nobody.err


def test_a_plan_of_an_earlier_version_asks_by_no_tag(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add(State.PLACEHOLDER)
    planned(run, "restore")
    first, *others = lines_of()
    del first["options"]["request_tag"], first["check"]
    first["check"] = _check(first, first["plan"])
    PLAN.write_text("".join(f"{json.dumps(line)}\n" for line in (first, *others)))
    assert apply(run).outcomes == {entry_id: "done"}


def test_a_request_tag_is_for_restores(run: Run) -> None:
    refused = run("plan", "archive", "--all", "--request-tag", "please", "-o", PLAN)
    assert refused.code == 2
    assert "--request-tag is no option of plan archive" in refused.err
    ours = run("plan", "restore", "--request-tag", "keep", "-o", PLAN)
    assert (ours.code, len(ours.err.splitlines())) == (2, 1)
    assert "keep is a tag of this tool's own" in ours.err


def test_drift_that_comes_while_others_are_worked_on_counts_too(sandbox: Sandbox, run: Run) -> None:
    ids = [sandbox.add(State.INITIAL, age_years=9 - n) for n in range(6)]
    planned(run, "archive")

    def edit(_: object) -> None:
        for entry_id in ids[1:]:
            _add_tag(sandbox, entry_id, "keep")

    sandbox.control.add_fault("s3.PutObject", after=edit)
    ran = apply(run, "--max-drift", 1, "--workers", 1)
    assert ran.code == 4
    assert ran.outcomes[ids[0]] == "done"
    outcomes = [ran.outcomes[entry_id] for entry_id in ran.outcomes if entry_id != ids[0]]
    assert outcomes.count("drifted") >= 2
    assert set(outcomes) <= {"drifted", "interrupted"}
    assert "stopped, " in ran.err
    assert sandbox.s3.keys() == [ids[0]]


def test_an_entry_deleted_while_others_are_worked_on_is_named_as_drift(sandbox: Sandbox, run: Run) -> None:
    ids = [sandbox.add(State.INITIAL, age_years=9 - n) for n in range(2)]
    planned(run, "archive")
    sandbox.control.add_fault("s3.PutObject", after=lambda _: _delete(sandbox, ids[1]))
    ran = apply(run, "--max-drift", 1, "--workers", 1)
    assert (ran.code, ran.outcomes) == (3, {ids[0]: "done", ids[1]: "drifted"})


def test_a_kept_owner_named_at_apply_is_heeded_too(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add(State.INITIAL, creator_id="jdoe")
    planned(run, "archive")
    ran = apply(run, "--keep-owner", "jdoe", "--max-drift", "100%")
    assert ran.outcomes == {entry_id: "drifted"}
    assert writes(sandbox) == []


def test_apply_takes_the_options_of_the_plan(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add(State.INITIAL)
    planned(run, "archive", "--storage-class", "DEEP_ARCHIVE")
    assert apply(run).code == 0
    head = sandbox.s3.client().head_object(Bucket=sandbox.s3.bucket, Key=entry_id)
    assert head["StorageClass"] == "DEEP_ARCHIVE"


def test_each_entry_gets_the_placeholder_that_the_plan_was_made_with(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox.kaltura.add_category(10, "Chemistry")
    ours, theirs = sandbox.add(State.ARCHIVED), sandbox.add(State.ARCHIVED, categories=(10,))
    chemistry = sandbox.placeholder + b"\0\0\0\x08free"
    Path("chemistry.mp4").write_bytes(chemistry)
    Path("map.toml").write_text('[category]\n10 = "chemistry.mp4"\n')
    acts = planned(run, "replace", "--placeholder-map", "map.toml").err.rstrip().rpartition("to act: ")[2]
    assert acts == f"kaltura-archiver apply {PLAN} --placeholder-map map.toml --no-dry-run"
    refused = apply(run)
    assert (refused.code, "give the same PLACEHOLDER_VIDEO and PLACEHOLDER_MAP (--placeholder-map)" in refused.err) == (
        2, True,
    )  # fmt: skip
    assert run("apply", PLAN, "--placeholder-map", "map.toml").outcomes == {ours: "would", theirs: "would"}
    monkeypatch.setenv("PLACEHOLDER_MAP", "map.toml")
    assert apply(run).code == 0
    assert (shown(sandbox, ours), shown(sandbox, theirs)) == (sandbox.placeholder, chemistry)
    assert entries_of()[theirs]["bytes_moved"] == len(chemistry)
    assert apply(run).outcomes == {ours: "already", theirs: "already"}


def test_apply_leaves_a_log_that_names_the_plan(sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acting, "_run_log", RUN_LOG)
    sandbox.add(State.INITIAL)
    planned(run, "archive")
    assert apply(run).code == 0
    (key,) = [key for key in list(sandbox.s3.keys()) if key.startswith("log/runs/")]
    logged = json.loads((sandbox.s3.body(key) or b"").splitlines()[0])
    assert logged["command"] == "s3copy"
    assert logged["filter"].startswith(f"plan {lines_of()[0]['plan']} of 2")


def test_apply_holds_the_lock_of_its_command(sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acting, "_lock", LOCK)
    sandbox.add(State.INITIAL)
    planned(run, "archive", "--shard", "0/1")
    with RunLock(
        Store(read_settings(), read_only=False), lock_key("s3copy", (0, 1)), run="other", stop=threading.Event()
    ):
        ran = apply(run)
        assert (ran.code, ran.out) == (5, "")
        assert "another run holds the lock locks/s3copy.0-of-1.json" in ran.err
        assert run("apply", PLAN).code == 0
    assert apply(run).code == 0
