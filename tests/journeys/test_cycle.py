"""The protocols of design 5 against the sandbox: s3copy, the swap, restore from every storage class.

Asserted on the requests that went out and on what both services hold afterwards.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from looking import (
    BOTH,
    MiB,
    Run,
    assert_restored,
    big,
    content_id,
    lose_flavor_tag,
    original_of,
    proof,
    shown,
    state_of,
    tags_of,
    unused_tokens,
    writes,
)

from kaltura_archiver.model import ARCHIVED_TAG, REPLACED_TAG, State
from kaltura_archiver.sandbox.control import Request
from kaltura_archiver.sandbox.world import Sandbox


@pytest.fixture(autouse=True)
def nothing_is_left_behind(request: pytest.FixtureRequest) -> Any:
    """Whatever the outcome: no upload is left open and no token unused."""
    sandbox: Sandbox = request.getfixturevalue("sandbox")
    yield
    assert sandbox.s3.uploads() == []
    assert unused_tokens(sandbox) == []


# s3copy


@pytest.mark.parametrize(
    "storage_class",
    ["STANDARD", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER_IR", "GLACIER", "DEEP_ARCHIVE"],
)
def test_s3copy_stores_the_very_bytes_in_the_class_asked_for(sandbox: Sandbox, run: Run, storage_class: str) -> None:
    content = sandbox.video()
    entry_id = sandbox.add(State.INITIAL, content=content, name="Über: a/b & c\n", file_ext="mov", tags="lecture")
    done = run("s3copy", "--id", entry_id, "--no-dry-run", "--storage-class", storage_class.lower())
    assert (done.code, done.outcomes) == (0, {entry_id: "done"}), done.err
    assert sandbox.s3.keys() == [entry_id]
    assert sandbox.s3.body(entry_id) == content
    assert sandbox.s3.storage_class(entry_id) == storage_class
    metadata = sandbox.s3.metadata(entry_id)
    assert metadata.pop("tool").startswith("kaltura-archiver ")
    assert metadata.pop("archived-at").endswith("Z")
    assert metadata == {
        "entry-id": entry_id,
        "file-ext": "mov",
        "source-bytes": str(len(content)),
        "source-name": quote("Über: a/b & c\n", safe=" "),
    }
    assert sandbox.s3.tags(entry_id) == {
        "sha256": hashlib.sha256(content).hexdigest(),
        "flavor": content_id(sandbox, entry_id),
        "proof": proof(sandbox, entry_id, "checksum", content),
    }
    assert tags_of(sandbox, entry_id) == f"lecture, {ARCHIVED_TAG}"
    assert done.rows[0]["bytes_moved"] == str(len(content))
    assert shown(sandbox, entry_id) == content


def test_s3copy_tags_the_entry_last(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add(State.INITIAL)
    run("s3copy", "--id", entry_id, "--no-dry-run")
    assert [r.operation for r in writes(sandbox)] == ["s3.PutObject", "s3.PutObjectTagging", "media.update"]
    assert len(sandbox.control.requests("file.GET")) == 1
    assert sandbox.control.requests("s3.PutObject")[0].parameters["if-none-match"] == "*"


def test_a_large_original_goes_up_in_parts_and_comes_back_in_chunks(sandbox: Sandbox, run: Run) -> None:
    content = big(sandbox, 20)  # more than goes up by one PutObject
    entry_id = sandbox.add(State.INITIAL, content=content)
    assert run("s3copy", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "done"}
    assert len(sandbox.control.requests("s3.UploadPart")) == 3
    assert sandbox.control.requests("s3.PutObject") == []
    assert sandbox.s3.body(entry_id) == content
    assert run("replace_video", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "done"}
    sandbox.control.clear_log()
    assert run("restore", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "done"}
    chunks = sandbox.control.requests("uploadToken.upload")
    assert [(c.parameters["resume"], c.parameters["finalChunk"], c.parameters["resumeAt"]) for c in chunks] == [
        ("False", "False", "-1"),
        ("True", "False", str(8 * MiB)),
        ("True", "True", str(16 * MiB)),
    ]
    assert shown(sandbox, entry_id) == content


def test_an_original_of_forty_chunks_comes_back_whole(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("CHUNK_BYTES", "MAX_WHOLE_BYTES"):
        monkeypatch.setattr(f"kaltura_archiver.transfer.chunks.{name}", 100_000)
    content = big(sandbox, 3.75)
    entry_id = sandbox.add(State.PLACEHOLDER, content=content)
    assert run("restore", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "done"}
    chunks = sandbox.control.requests("uploadToken.upload")
    assert len(chunks) == -(-len(content) // 100_000)
    assert [c.parameters["finalChunk"] for c in chunks].count("True") == 1
    assert shown(sandbox, entry_id) == content


# replace_video


def test_replace_swaps_by_one_update_content_and_keeps_what_belongs_to_the_entry(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add(State.ARCHIVED, tags="lecture", plays=7, name="N", creator_id="me")
    thumb = sandbox.kaltura.library.add_thumb(entry_id, b"chosen by a person", default=True)
    before, content = original_of(sandbox, entry_id), sandbox.s3.body(entry_id)
    before_id, version = before.id, before.version
    assert content is not None
    derived = {a.id: a.version for a in sandbox.kaltura.assets.values() if not a.is_original}
    done = run("replace_video", "--id", entry_id, "--no-dry-run")
    assert (done.code, done.outcomes) == (0, {entry_id: "done"}), done.err

    # The original is never deleted, and Kaltura is asked once.
    assert sandbox.control.requests("flavorAsset.delete") == []
    (swap,) = sandbox.control.requests("media.updateContent")
    assert swap.parameters["advancedOptions"]["keepManualThumbnails"] == "1"
    order = [r.operation for r in writes(sandbox)]
    assert order == [
        "uploadToken.add", "uploadToken.upload", "media.update", "media.updateContent",
        "s3.PutObjectTagging", "s3.PutObject",
    ]  # fmt: skip

    assert shown(sandbox, entry_id) == sandbox.placeholder
    after = original_of(sandbox, entry_id)
    assert (after.id, after.version) == (before_id, version + 10)
    entry = sandbox.kaltura.entries[entry_id]
    assert sandbox.kaltura.library.thumbs_of(entry_id) == [thumb]
    assert sandbox.kaltura.picture(entry_id) == b"chosen by a person"
    assert (entry.plays, entry.name, entry.creator_id) == (7, "N", "me")
    assert entry.tags == f"lecture, {BOTH}"
    assert (entry.status, entry.replacement_status, entry.replacing_entry_id) == ("2", "0", "")
    # Nothing plays the old video any more.
    sandbox.kaltura.settle()
    for flavor in sandbox.kaltura.library.live_assets(entry_id):
        assert flavor.size_in_bytes <= len(sandbox.placeholder)
        assert flavor.id not in derived or flavor.version > derived[flavor.id]
    # The stored copy is as it was, and knows its placeholder.
    assert sandbox.s3.body(entry_id) == content
    assert sandbox.s3.tags(entry_id)["placeholder"].split()[0] == content_id(sandbox, entry_id)
    assert sandbox.s3.tags(entry_id)["sha256"] == hashlib.sha256(content).hexdigest()
    assert state_of(run, entry_id) == "placeholder"


def test_the_old_video_plays_until_the_placeholder_is_ready(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add(State.ARCHIVED)
    content = sandbox.s3.body(entry_id)
    seen: list[tuple[bytes, str]] = []

    sandbox.kaltura.settings.conversion_seconds = 1e6  # it ends at the third look

    def look(_: Request) -> None:
        entry = sandbox.kaltura.entries[entry_id]
        if entry.replacing_entry_id:
            seen.append((shown(sandbox, entry_id), entry.status))
        if len(seen) == 3:
            sandbox.kaltura.settle()

    for call in ("media.updateContent", "media.get"):
        sandbox.control.add_fault(call, subject=entry_id, times=1000, after=look)
    assert run("replace_video", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "done"}
    assert seen == [(content, "2")] * 3
    assert shown(sandbox, entry_id) == sandbox.placeholder


@pytest.mark.parametrize(
    ("age_years", "options", "outcome"),
    [
        (2.9, (), "skipped"),
        (3.1, (), "done"),
        (2.9, ("--min-age-years", "2.5"), "done"),
        (0.001, ("--min-age-years", "0"), "done"),
        (9.0, ("--min-age-years", "10"), "skipped"),
        # Who says in the selection how old they are to be, has said it.
        (2.9, ("--created-before", "2"), "done"),
        (2.9, ("--unplayed_for", "2"), "done"),
        (2.9, ("--created-before", "2", "--min-age-years", "3"), "skipped"),
        (2.9, ("--unplayed-for", "2", "--min-age-years", "3"), "skipped"),
        (2.9, ("--created-within", "3"), "skipped"),
        (2.9, ("--plays", "5", "--never-played"), "skipped"),
    ],
)
def test_replace_leaves_young_entries_alone(
    sandbox: Sandbox, run: Run, age_years: float, options: Sequence[str], outcome: str
) -> None:
    entry_id = sandbox.add(State.ARCHIVED, age_years=age_years)
    ran = run("replace_video", "--id", entry_id, "--no-dry-run", *options)
    assert (ran.code, ran.outcomes) == (0, {entry_id: outcome})
    assert (shown(sandbox, entry_id) == sandbox.placeholder) == (outcome == "done")
    assert bool(writes(sandbox)) == (outcome == "done")


@pytest.mark.parametrize("acting", [(), ("--no-dry-run",)])
def test_the_summary_counts_what_was_left_alone_for_its_age(
    sandbox: Sandbox, run: Run, acting: tuple[str, ...]
) -> None:
    young, small = (
        [sandbox.add(State.ARCHIVED, age_years=2) for _ in range(2)],
        sandbox.add(State.ARCHIVED, content=b"x"),
    )
    old = sandbox.add(State.ARCHIVED)
    ran = run("replace_video", "--tag", "archived_to_s3", *acting)
    outcome = "done" if acting else "would"
    assert ran.outcomes == dict.fromkeys(young, "skipped") | {small: "skipped", old: outcome}
    assert f"summary: {outcome} 1, skipped 3 (2 too young: --min-age-years); bytes " in ran.err
    plan = run("plan", "replace", "--tag", "flavors_deleted", "--id", young[0], "-o", "p")
    assert "plan: no entry;" in plan.err
    plan = run("plan", "replace", "--tag", "archived_to_s3", "--id", young[0], "--id", young[1], "-o", "q")
    assert "plan: skipped 2 (2 too young: --min-age-years);" in plan.err


@pytest.mark.parametrize(
    ("options", "years"),
    [((), 3), (("--created-before", "2"), 0), (("--unplayed-for", "2"), 0), (("--min-age-years", "4"), 4)],
)
def test_a_plan_keeps_the_age_that_its_selection_asked_for(
    sandbox: Sandbox, run: Run, options: tuple[str, ...], years: float
) -> None:
    entry_id = sandbox.add(State.ARCHIVED, age_years=2.5)
    ran = run("plan", "replace", "--tag", "archived_to_s3", *options, "-o", "plan.jsonl")
    outcome = "would" if years == 0 else "skipped"
    assert f"plan: {outcome} 1" in ran.err
    assert json.loads(Path("plan.jsonl").read_text().splitlines()[0])["options"]["min_age_years"] == years
    if years == 0:
        assert run("apply", "plan.jsonl", "--no-dry-run").outcomes == {entry_id: "done"}


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda sandbox, entry_id: sandbox.kaltura.edit(entry_id, status="4"), "not READY"),
        (lose_flavor_tag, "likely"),
        (lambda sandbox, entry_id: sandbox.kaltura.edit(entry_id, tags=""), "archived_to_s3 is missing"),
        (lambda sandbox, entry_id: sandbox.kaltura.replace_original(entry_id, b"newer" * 999), "perhaps a newer"),
    ],
)
def test_replace_refuses_what_is_not_certain(
    sandbox: Sandbox, run: Run, spoil: Callable[[Sandbox, str], object], reason: str
) -> None:
    entry_id = sandbox.add(State.ARCHIVED)
    spoil(sandbox, entry_id)
    video = shown(sandbox, entry_id)
    ran = run("replace_video", "--id", entry_id, "--no-dry-run", "--allow-in-place", "--approve")
    assert (ran.code, ran.outcomes) == (3, {entry_id: "refused"})
    assert reason in ran.out
    assert writes(sandbox) == []
    assert shown(sandbox, entry_id) == video


def test_a_replacement_that_needs_approval_waits_for_it(sandbox: Sandbox, run: Run) -> None:
    sandbox.kaltura.settings.replacement_approval = True
    entry_id = sandbox.add(State.ARCHIVED)
    content = sandbox.s3.body(entry_id)
    ran = run("replace_video", "--id", entry_id, "--no-dry-run")
    assert (ran.code, ran.outcomes) == (3, {entry_id: "waiting"})
    assert "--approve" in ran.out
    assert shown(sandbox, entry_id) == content
    assert state_of(run, entry_id) == "busy"
    # Still waiting, and nothing is begun twice.
    sandbox.kaltura.settle()
    assert run("replace_video", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "waiting"}
    assert len(sandbox.control.requests("media.updateContent")) == 1
    # A person approves it in Kaltura.
    sandbox.kaltura.library.approve_replacement(sandbox.kaltura.entries[entry_id])
    assert run("replace_video", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "already"}
    assert shown(sandbox, entry_id) == sandbox.placeholder
    assert state_of(run, entry_id) == "placeholder"


@pytest.mark.parametrize("later", [False, True])
def test_approve_approves_the_replacement_at_once_or_in_a_later_run(sandbox: Sandbox, run: Run, later: bool) -> None:
    sandbox.kaltura.settings.replacement_approval = True
    entry_id = sandbox.add(State.ARCHIVED)
    if later:
        run("replace_video", "--id", entry_id, "--no-dry-run")
    ran = run("replace_video", "--id", entry_id, "--no-dry-run", "--approve")
    assert (ran.code, ran.outcomes) == (0, {entry_id: "done"}), ran.err
    assert len(sandbox.control.requests("media.updateContent")) == 1
    assert len(sandbox.control.requests("media.approveReplace")) == 1
    assert shown(sandbox, entry_id) == sandbox.placeholder
    assert sandbox.s3.tags(entry_id)["placeholder"].split()[0] == content_id(sandbox, entry_id)
    assert run("restore", "--id", entry_id, "--no-dry-run", "--approve").outcomes == {entry_id: "done"}


def test_without_the_replacement_feature_nothing_is_deleted_unless_allowed(sandbox: Sandbox, run: Run) -> None:
    sandbox.kaltura.settings.entry_replacement = False
    entry_id = sandbox.add(State.ARCHIVED)
    content = sandbox.s3.body(entry_id)
    ran = run("replace_video", "--id", entry_id, "--no-dry-run")
    assert (ran.code, ran.outcomes) == (3, {entry_id: "refused"})
    assert "--allow-in-place" in ran.out
    assert sandbox.control.requests("flavorAsset.delete") == []
    assert shown(sandbox, entry_id) == content
    assert tags_of(sandbox, entry_id) == ARCHIVED_TAG
    assert state_of(run, entry_id) == "archived"


def test_in_place_deletes_the_original_last_and_only_after_the_placeholder_is_uploaded(
    sandbox: Sandbox, run: Run
) -> None:
    sandbox.kaltura.settings.entry_replacement = False
    entry_id = sandbox.add(State.ARCHIVED, derived=3)
    original = original_of(sandbox, entry_id)
    derived = {a.id for a in sandbox.kaltura.assets.values() if not a.is_original}
    ran = run("replace_video", "--id", entry_id, "--no-dry-run", "--allow-in-place")
    assert (ran.code, ran.outcomes) == (0, {entry_id: "done"}), ran.err
    order = [r.operation for r in writes(sandbox)]
    assert order == [
        "uploadToken.add", "uploadToken.upload", "media.update", "media.updateContent", *["flavorAsset.delete"] * 4,
        "media.addContent", "s3.PutObjectTagging", "s3.PutObject",
    ]  # fmt: skip
    deleted = [r.subject for r in sandbox.control.requests("flavorAsset.delete")]
    assert set(deleted[:-1]) == derived
    assert deleted[-1] == original.id
    # The stored copy was looked at again just before the original went.
    requests = sandbox.control.requests()
    last_delete = max(r.number for r in requests if r.operation == "flavorAsset.delete")
    looks = [r.number for r in requests if r.operation == "s3.HeadObject" and r.number < last_delete]
    assert (
        last_delete - max(looks) <= 6
    )  # between them: the object's tags and marks, and the last look at Kaltura (two in one)
    assert shown(sandbox, entry_id) == sandbox.placeholder
    assert state_of(run, entry_id) == "placeholder"
    # And back the same way.
    content = sandbox.s3.body(entry_id)
    back = run("restore", "--id", entry_id, "--no-dry-run")
    assert (back.code, back.outcomes) == (3, {entry_id: "refused"})
    assert shown(sandbox, entry_id) == sandbox.placeholder
    back = run("restore", "--id", entry_id, "--no-dry-run", "--allow-in-place")
    assert back.outcomes == {entry_id: "done"}, back.err
    assert shown(sandbox, entry_id) == content
    assert state_of(run, entry_id) == "archived"


def test_a_failed_conversion_of_the_placeholder_is_cancelled_and_leaves_the_video(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add(State.ARCHIVED)
    content = sandbox.s3.body(entry_id)
    sandbox.kaltura.settings.fail_next_conversions = 1
    ran = run("replace_video", "--id", entry_id, "--no-dry-run")
    assert (ran.code, ran.outcomes) == (1, {entry_id: "failed"})
    assert "could not convert" in ran.out
    assert len(sandbox.control.requests("media.cancelReplace")) == 1
    assert shown(sandbox, entry_id) == content
    assert tags_of(sandbox, entry_id) == ARCHIVED_TAG
    assert state_of(run, entry_id) == "archived"
    assert run("replace_video", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "done"}


@pytest.mark.parametrize("command", ["replace_video", "restore"])
def test_a_deadline_leaves_a_named_state_and_the_next_run_goes_on(sandbox: Sandbox, run: Run, command: str) -> None:
    entry_id = sandbox.add(State.ARCHIVED if command == "replace_video" else State.PLACEHOLDER)
    wanted = sandbox.placeholder if command == "replace_video" else sandbox.s3.body(entry_id)
    sandbox.kaltura.settings.conversion_seconds = 3600
    for _ in range(2):
        ran = run(command, "--id", entry_id, "--no-dry-run", "--timeout", "0.05s")
        assert (ran.code, ran.outcomes) == (3, {entry_id: "waiting"}), ran.err
        assert "--timeout" in ran.out
        assert state_of(run, entry_id) == "busy"
    assert len(sandbox.control.requests("media.updateContent")) == 1
    # The conversion ends while the next run waits for it.
    sandbox.control.add_fault("media.get", subject=entry_id, skip=3, after=lambda _: sandbox.kaltura.settle())
    ran = run(command, "--id", entry_id, "--no-dry-run")
    assert (ran.code, ran.outcomes) == (0, {entry_id: "done"}), ran.err
    assert len(sandbox.control.requests("media.updateContent")) == 1
    assert shown(sandbox, entry_id) == wanted
    assert state_of(run, entry_id) == ("placeholder" if command == "replace_video" else "archived")
    assert run(command, "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "already"}


@pytest.mark.parametrize("command", ["replace_video", "restore"])
def test_a_conversion_that_ended_between_two_runs_is_recognised(sandbox: Sandbox, run: Run, command: str) -> None:
    entry_id = sandbox.add(State.ARCHIVED if command == "replace_video" else State.PLACEHOLDER)
    sandbox.kaltura.settings.conversion_seconds = 3600
    run(command, "--id", entry_id, "--no-dry-run", "--timeout", "0.05")
    sandbox.kaltura.settle()
    assert state_of(run, entry_id) == ("placeholder" if command == "replace_video" else "unsettled")
    ran = run(command, "--id", entry_id, "--no-dry-run")
    assert ran.outcomes == {entry_id: "already" if command == "replace_video" else "done"}, ran.err
    assert state_of(run, entry_id) == ("placeholder" if command == "replace_video" else "archived")
    assert len(sandbox.control.requests("media.updateContent")) == 1


# restore


@pytest.mark.parametrize("storage_class", ["STANDARD", "GLACIER_IR"])
def test_restore_of_a_readable_copy_brings_back_the_very_bytes(sandbox: Sandbox, run: Run, storage_class: str) -> None:
    content = sandbox.video()
    entry_id = sandbox.add(State.PLACEHOLDER, content=content, storage_class=storage_class)
    ran = run("restore", "--id", entry_id, "--no-dry-run")
    assert (ran.code, ran.outcomes) == (0, {entry_id: "done"}), ran.err
    assert sandbox.control.requests("s3.RestoreObject") == []
    assert sandbox.s3.storage_class(entry_id) == storage_class
    assert_restored(sandbox, run, entry_id, content)


@pytest.mark.parametrize(
    ("storage_class", "options", "tier", "hours"),
    [
        ("GLACIER", (), "Bulk", 12),
        ("GLACIER", ("--tier", "standard"), "Standard", 5),
        ("GLACIER", ("--tier", "expedited"), "Expedited", 0.1),
        ("DEEP_ARCHIVE", ("--days", "3"), "Bulk", 48),
        ("DEEP_ARCHIVE", ("--tier", "standard"), "Standard", 12),
    ],
)
def test_restore_of_a_frozen_copy_takes_a_request_a_wait_and_a_second_run(
    sandbox: Sandbox, run: Run, storage_class: str, options: Sequence[str], tier: str, hours: float
) -> None:
    content = sandbox.video()
    entry_id = sandbox.add(State.PLACEHOLDER, content=content, storage_class=storage_class)
    ran = run("restore", "--id", entry_id, "--no-dry-run", *options)
    assert (ran.code, ran.outcomes) == (3, {entry_id: "waiting"}), ran.err
    assert "requested" in ran.out
    assert [r.operation for r in writes(sandbox)] == ["s3.RestoreObject", "s3.PutObjectTagging"]
    assert shown(sandbox, entry_id) == sandbox.placeholder
    again = run("restore", "--id", entry_id, "--no-dry-run", *options)
    assert (again.code, again.outcomes) == (3, {entry_id: "waiting"})
    assert "still running" in again.out
    assert len(sandbox.control.requests("s3.RestoreObject")) == 1
    assert "thawing" in run("explain", entry_id).out

    sandbox.control.clock.advance(hours * 3600 + 60)
    ran = run("restore", "--id", entry_id, "--no-dry-run", *options)
    assert (ran.code, ran.outcomes) == (0, {entry_id: "done"}), ran.err
    assert len(sandbox.control.requests("s3.RestoreObject")) == 1
    assert sandbox.s3.storage_class(entry_id) == storage_class
    assert_restored(sandbox, run, entry_id, content)


def test_the_tier_and_days_asked_for_reach_s3(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add(State.PLACEHOLDER, storage_class="GLACIER")
    run("restore", "--id", entry_id, "--no-dry-run", "--tier", "standard", "--days", "3")
    sandbox.control.clock.advance(5.1 * 3600)
    assert "readable until" in run("explain", entry_id).out
    sandbox.control.clock.advance(4.1 * 86400)
    assert "frozen" in run("explain", entry_id).out


@pytest.mark.parametrize("storage_class", ["GLACIER", "DEEP_ARCHIVE"])
def test_a_restore_that_somebody_else_began_in_between_is_waited_for(
    sandbox: Sandbox, run: Run, storage_class: str
) -> None:
    entry_id = sandbox.add(State.PLACEHOLDER, storage_class=storage_class)

    def request_first(_: Request) -> None:
        request: Any = {"Days": 1, "GlacierJobParameters": {"Tier": "Standard"}}
        sandbox.s3.client().restore_object(Bucket=sandbox.s3.bucket, Key=entry_id, RestoreRequest=request)

    sandbox.control.add_fault("s3.RestoreObject", before=request_first)
    ran = run("restore", "--id", entry_id, "--no-dry-run")
    assert len(sandbox.control.requests("s3.RestoreObject")) == 2
    assert (ran.code, ran.outcomes) == (3, {entry_id: "waiting"}), ran.err
    assert "still running, as fast or faster" in ran.out


def test_a_thawed_copy_that_froze_again_is_asked_for_again(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add(State.PLACEHOLDER, storage_class="GLACIER")
    run("restore", "--id", entry_id, "--no-dry-run")
    sandbox.s3.thaw(entry_id)
    # It freezes between the plan and the act.
    sandbox.control.add_fault("s3.GetObject", before=lambda _: sandbox.s3.expire(entry_id))
    ran = run("restore", "--id", entry_id, "--no-dry-run")
    assert (ran.code, ran.outcomes) == (3, {entry_id: "waiting"}), ran.err
    assert writes(sandbox, "media.*") == []
    ran = run("restore", "--id", entry_id, "--no-dry-run")
    assert ran.outcomes == {entry_id: "waiting"}
    assert len(sandbox.control.requests("s3.RestoreObject")) == 2


def test_expedited_is_refused_for_deep_archive_without_asking_s3(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add(State.PLACEHOLDER, storage_class="DEEP_ARCHIVE")
    ran = run("restore", "--id", entry_id, "--no-dry-run", "--tier", "expedited")
    assert (ran.code, ran.outcomes) == (3, {entry_id: "refused"})
    assert sandbox.control.requests("s3.RestoreObject") == []


def test_via_url_moves_no_bytes_through_us(sandbox: Sandbox, run: Run) -> None:
    content = sandbox.video()
    entry_id = sandbox.add(State.PLACEHOLDER, content=content)
    ran = run("restore", "--id", entry_id, "--no-dry-run", "--via", "url")
    assert (ran.code, ran.outcomes) == (0, {entry_id: "done"}), ran.err
    assert writes(sandbox, "uploadToken.*") == []
    assert sandbox.control.requests("file.GET") == []
    (swap,) = sandbox.control.requests("media.updateContent")
    assert swap.parameters["resource"]["objectType"] == "KalturaUrlResource"
    assert ran.rows[0]["bytes_moved"] == "0"
    assert "Signature" not in ran.out + ran.err
    assert_restored(sandbox, run, entry_id, content, evidence="checksum")


def test_a_url_that_kaltura_cannot_fetch_is_cancelled_and_leaves_the_placeholder(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add(State.PLACEHOLDER)
    sandbox.kaltura.settings.fail_imports = 1
    ran = run("restore", "--id", entry_id, "--no-dry-run", "--via", "url")
    assert (ran.code, ran.outcomes) == (1, {entry_id: "failed"})
    assert shown(sandbox, entry_id) == sandbox.placeholder
    assert tags_of(sandbox, entry_id) == BOTH
    assert state_of(run, entry_id) == "placeholder"
    assert run("restore", "--id", entry_id, "--no-dry-run", "--via", "url").outcomes == {entry_id: "done"}


def test_half_of_the_video_taken_for_all_of_it_is_seen_and_restored_again(sandbox: Sandbox, run: Run) -> None:
    content = sandbox.video()
    entry_id = sandbox.add(State.PLACEHOLDER, content=content)
    sandbox.control.add_fault("s3.GetObject", "cut")
    ran = run("restore", "--id", entry_id, "--no-dry-run", "--via", "url")
    assert (ran.code, ran.outcomes) == (1, {entry_id: "failed"})
    assert "run restore again" in ran.err
    assert tags_of(sandbox, entry_id) == BOTH
    assert state_of(run, entry_id) == "placeholder"
    assert run("restore", "--id", entry_id, "--no-dry-run", "--via", "url").outcomes == {entry_id: "done"}
    assert_restored(sandbox, run, entry_id, content, evidence="checksum")


def test_a_tag_that_another_author_saves_away_during_the_swap_is_set_again(sandbox: Sandbox, run: Run) -> None:
    """A form opened before we tagged the entry and saved after: Kaltura stores its tags as they were."""
    entry_id = sandbox.add(State.ARCHIVED)
    kaltura = sandbox.kaltura
    sandbox.control.add_fault(
        "media.updateContent", "none", after=lambda _: kaltura.edit(entry_id, tags=f"{ARCHIVED_TAG}, a form's")
    )
    assert run("replace_video", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "done"}
    assert tags_of(sandbox, entry_id) == f"{ARCHIVED_TAG}, a form's, {REPLACED_TAG}"
    assert state_of(run, entry_id) == "placeholder"


def test_somebodys_import_into_an_empty_entry_is_waited_for(sandbox: Sandbox, run: Run) -> None:
    """There is no flavor before Kaltura has fetched the URL (kaltura-api 10.6)."""
    content = sandbox.video()
    entry_id = sandbox.add(State.NO_ORIGINAL, content=content)
    sandbox.kaltura.edit(entry_id, status="0")
    assert state_of(run, entry_id) == "busy"
    for via in ("upload", "url"):
        ran = run("restore", "--id", entry_id, "--no-dry-run", "--via", via)
        assert (ran.code, ran.outcomes) == (3, {entry_id: "waiting"}), ran.err
    assert sandbox.control.requests("media.addContent") + sandbox.control.requests("media.updateContent") == []


def test_a_restore_whose_conversion_fails_leaves_the_placeholder_and_its_tag(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add(State.PLACEHOLDER)
    sandbox.kaltura.settings.fail_next_conversions = 1
    ran = run("restore", "--id", entry_id, "--no-dry-run")
    assert (ran.code, ran.outcomes) == (1, {entry_id: "failed"})
    assert shown(sandbox, entry_id) == sandbox.placeholder
    assert tags_of(sandbox, entry_id) == BOTH
    assert run("restore", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "done"}


@pytest.mark.parametrize("via", ["upload", "url"])
def test_an_account_that_re_encodes_originals_fails_the_restore_and_keeps_the_tag(
    sandbox: Sandbox, run: Run, via: str
) -> None:
    content = sandbox.video()
    entry_id = sandbox.add(State.PLACEHOLDER, content=content)
    sandbox.kaltura.settings.reencode_originals = True
    ran = run("restore", "--id", entry_id, "--no-dry-run", "--via", via)
    assert (ran.code, ran.outcomes) == (1, {entry_id: "failed"})
    assert "re-encoded" in ran.out
    assert REPLACED_TAG in tags_of(sandbox, entry_id)
    assert sandbox.s3.body(entry_id) == content
    assert sandbox.s3.tags(entry_id)["flavor"] != content_id(sandbox, entry_id)


@pytest.mark.parametrize("command", ["restore", "repair", "replace_video", "s3copy"])
def test_a_newer_upload_over_the_placeholder_is_left_to_a_person(sandbox: Sandbox, run: Run, command: str) -> None:
    entry_id = sandbox.add(State.PLACEHOLDER)
    stored = sandbox.s3.body(entry_id)
    sandbox.kaltura.replace_original(entry_id, b"a newer lecture" * 400)
    assert state_of(run, entry_id) == "diverged"
    ran = run(command, "--id", entry_id, "--no-dry-run", "--allow-in-place" if command != "s3copy" else "--all")
    assert (ran.code, ran.outcomes) == (3, {entry_id: "refused"})
    assert writes(sandbox) == []
    assert shown(sandbox, entry_id) == b"a newer lecture" * 400
    assert sandbox.s3.body(entry_id) == stored


def test_what_may_not_be_the_placeholder_is_kept_when_a_restore_displaces_it(sandbox: Sandbox, run: Run) -> None:
    """The old tool recorded neither its placeholder nor which version it was."""
    video, unknown = sandbox.video(), b"an older placeholder, or a newer lecture" * 50
    entry = sandbox.kaltura.add_entry(unknown, tags=BOTH, created_at=1_500_000_000)
    sandbox.s3.put(entry.id, video)
    displaced = f"displaced/{entry.id}/{content_id(sandbox, entry.id)}"
    ran = run("restore", "--id", entry.id, "--no-dry-run")
    assert ran.outcomes == {entry.id: "done"}, ran.err
    assert shown(sandbox, entry.id) == video
    assert sandbox.s3.body(displaced) == unknown
    assert displaced in ran.out
    kept = max(r.number for r in sandbox.control.requests("s3.PutObject"))
    assert kept < sandbox.control.requests("media.updateContent")[0].number
