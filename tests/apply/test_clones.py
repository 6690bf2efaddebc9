"""Clones (`baseEntry.clone`): their tags say that they are in S3, and S3 has nothing under their id."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from faults.zygote import Zygote
from looking import Run, act, do_not_wait, original_of, shown, state_of, tags_of, writes
from test_flavors import killed

from kaltura_archiver.model import ARCHIVED_TAG, State
from kaltura_archiver.sandbox.world import Sandbox

BOTH = "archived_to_s3, flavors_deleted"


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    do_not_wait(monkeypatch)


def clone_of(sandbox: Sandbox, entry_id: str) -> str:
    library = sandbox.kaltura.library
    with library.lock:
        return library.clone(library.entries[entry_id]).id


def cloned(sandbox: Sandbox, run: Run, state: State, **details: Any) -> tuple[str, str, bytes]:
    """(source, clone, the video); the source was archived, and perhaps replaced, by the tool itself."""
    video = sandbox.video()
    source = sandbox.add(State.INITIAL, content=video, **details)
    assert act(run, "s3copy", source).outcomes == {source: "done"}
    if state is State.PLACEHOLDER:
        assert act(run, "replace_video", source).outcomes == {source: "done"}
    sandbox.kaltura.settle()
    sandbox.control.clock.advance(5)
    return source, clone_of(sandbox, source), video


def explained(run: Run, entry_id: str) -> tuple[str, str, str]:
    state = run("explain", entry_id, "--format", "json").json["state"]
    return state["name"], state["why"], state["next"]


def test_the_sandbox_clones_as_the_server_does(sandbox: Sandbox, run: Run) -> None:
    """kaltura-api 10.18 [R]: tags copied, rootEntryId set, a file of its own at version 12, untouched by its source."""
    source, clone, video = cloned(sandbox, run, State.ARCHIVED)
    assert tags_of(sandbox, clone) == tags_of(sandbox, source) == ARCHIVED_TAG
    assert sandbox.kaltura.entries[clone].root_id == source
    assert original_of(sandbox, clone).version == 12
    assert act(run, "replace_video", source).outcomes == {source: "done"}
    assert (shown(sandbox, source), shown(sandbox, clone)) == (sandbox.placeholder, video)


# Of an archived entry


def test_the_clone_of_an_archived_entry_is_archived_under_its_own_id(sandbox: Sandbox, run: Run) -> None:
    source, clone, video = cloned(sandbox, run, State.ARCHIVED)
    assert explained(run, clone) == (
        "unbacked",
        f"a clone of {source}, which is archived: its tag came with it, its original is in Kaltura only",
        "s3copy archives it under its own id",
    )
    assert run("explain", clone, "--format", "json").json["entry"]["root_entry"] == source
    sandbox.control.clear_log()
    assert "would copy the original to S3" in run("s3copy", "--id", clone).out
    assert writes(sandbox) == []
    ran = act(run, "s3copy", clone)
    assert (ran.code, ran.outcomes) == (0, {clone: "done"}), ran.err
    assert state_of(run, clone) == "archived"
    assert sandbox.s3.body(clone) == sandbox.s3.body(source) == video
    # It is as young as it is: --min-age-years spares it for a while.
    assert act(run, "replace_video", clone).outcomes == {clone: "skipped"}
    sandbox.kaltura.edit(clone, created_at=1_500_000_000)
    for command in ("replace_video", "restore"):
        assert act(run, command, clone).outcomes == {clone: "done"}
    assert shown(sandbox, clone) == shown(sandbox, source) == video
    assert {row["entry_id"]: row["message"].partition(":")[0] for row in run("health").rows} == {
        source: "archived",
        clone: "archived",
    }


@pytest.mark.parametrize("fate", ["replaced", "deleted", "newer video"])
def test_what_becomes_of_the_source_is_no_matter_for_a_clone_with_an_original(
    sandbox: Sandbox, run: Run, fate: str
) -> None:
    source, clone, video = cloned(sandbox, run, State.ARCHIVED)
    if fate == "replaced":
        assert act(run, "replace_video", source).outcomes == {source: "done"}
    elif fate == "deleted":
        library = sandbox.kaltura.library
        with library.lock:
            library.delete_entry(library.entries[source])
    else:
        sandbox.kaltura.replace_original(source, b"a newer lecture" * 999)
    assert explained(run, clone)[2] == "s3copy archives it under its own id"
    assert act(run, "s3copy", clone).outcomes == {clone: "done"}
    assert sandbox.s3.body(clone) == video


def test_a_clone_with_another_original_than_its_source_has_in_s3_is_for_a_person(sandbox: Sandbox, run: Run) -> None:
    _, clone, _ = cloned(sandbox, run, State.ARCHIVED)
    sandbox.kaltura.replace_original(clone, b"trimmed in the editor" * 99)
    assert "has another size than the copy" in explained(run, clone)[1]
    assert act(run, "s3copy", clone).outcomes == {clone: "refused"}
    sandbox.kaltura.edit(clone, tags="")
    assert act(run, "s3copy", clone).outcomes == {clone: "done"}


def test_an_archived_entry_without_copy_or_source_is_as_unbacked_as_ever(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add(State.UNBACKED)
    clip = sandbox.add(State.UNBACKED, root_id="1_nowhere")
    for one in (entry_id, clip):
        assert explained(run, one)[:2] == ("unbacked", "tagged archived_to_s3, but S3 has no copy")
        assert act(run, "s3copy", one).outcomes == {one: "refused"}


# Of a replaced entry


def test_the_clone_of_a_replaced_entry_is_restored_from_its_sources_copy(sandbox: Sandbox, run: Run) -> None:
    source, clone, video = cloned(sandbox, run, State.PLACEHOLDER)
    assert (shown(sandbox, clone), tags_of(sandbox, clone)) == (sandbox.placeholder, BOTH)
    assert explained(run, clone) == (
        "lost",
        f"a clone of {source}, which was replaced: its tags came with it, its copy in S3 is that of {source}",
        "s3copy makes that copy its own; restore brings the video back",
    )
    row = run("restore", "--id", clone).rows[0]
    assert row["outcome"] == "would"
    assert "would make the stored copy of the entry that it is a clone of its own" in row["detail"]
    ran = act(run, "restore", clone)
    assert (ran.code, ran.outcomes) == (0, {clone: "done"}), ran.err
    assert (shown(sandbox, clone), tags_of(sandbox, clone)) == (video, ARCHIVED_TAG)
    assert sandbox.s3.body(clone) == video
    metadata = sandbox.s3.metadata(clone)
    assert (metadata["entry-id"], metadata["source-entry"]) == (clone, source)
    # The source is as it was.
    assert (shown(sandbox, source), state_of(run, source)) == (sandbox.placeholder, "placeholder")
    # An entry like any other.
    assert state_of(run, clone) == "archived"
    sandbox.kaltura.edit(clone, created_at=1_500_000_000)
    for command in ("replace_video", "restore"):
        assert act(run, command, clone).outcomes == {clone: "done"}
    assert shown(sandbox, clone) == video


@pytest.mark.parametrize("command", ["s3copy", "repair"])
def test_it_may_get_its_own_copy_first(sandbox: Sandbox, run: Run, command: str) -> None:
    _, clone, video = cloned(sandbox, run, State.PLACEHOLDER)
    ran = act(run, command, clone)
    assert (ran.code, ran.outcomes) == (0, {clone: "done"}), ran.err
    assert (state_of(run, clone), shown(sandbox, clone)) == ("placeholder", sandbox.placeholder)
    assert sandbox.s3.body(clone) == video
    assert act(run, command, clone).outcomes == {clone: "already"}
    assert act(run, "repair", clone).outcomes == {clone: "already"}
    assert act(run, "restore", clone).outcomes == {clone: "done"}
    assert shown(sandbox, clone) == video


@pytest.mark.parametrize("fate", ["restored", "deleted", "newer video", "deleted from Kaltura's rows"])
def test_what_becomes_of_the_source_is_no_matter_for_a_clone_with_the_placeholder(
    sandbox: Sandbox, run: Run, fate: str
) -> None:
    source, clone, video = cloned(sandbox, run, State.PLACEHOLDER)
    if fate == "restored":
        assert act(run, "restore", source).outcomes == {source: "done"}
    elif fate == "newer video":
        sandbox.kaltura.replace_original(source, b"a newer lecture" * 999)
    else:
        library = sandbox.kaltura.library
        with library.lock:
            library.delete_entry(library.entries[source])
    assert explained(run, clone)[2] == "s3copy makes that copy its own; restore brings the video back"
    assert act(run, "restore", clone).outcomes == {clone: "done"}
    assert shown(sandbox, clone) == video


def test_a_clone_of_a_clone_is_followed_to_the_copy(sandbox: Sandbox, run: Run) -> None:
    source, clone, video = cloned(sandbox, run, State.PLACEHOLDER)
    again = clone_of(sandbox, clone)
    assert f"a clone of {source}" in explained(run, again)[1]
    assert act(run, "restore", again).outcomes == {again: "done"}
    assert shown(sandbox, again) == video
    # A ring of root entries ends, too.
    ring = sandbox.add(State.LOST, root_id="0_ring")
    sandbox.kaltura.add_entry(id="0_ring", root_id=ring)
    assert explained(run, ring)[1].endswith("nor of 0_ring, of which it may be a clone")


def test_a_copy_that_was_stored_after_the_clone_was_made_is_never_put_in(sandbox: Sandbox, run: Run) -> None:
    """A newer video under the source's key: somebody moved the copy away, and archived what was uploaded later."""
    source, clone, video = cloned(sandbox, run, State.PLACEHOLDER)
    sandbox.control.clock.advance(86400)
    newer = sandbox.video()
    metadata = sandbox.s3.metadata(source) | {"archived-at": "2099-01-01T00:00:00Z"}
    sandbox.s3.put(source, newer, metadata=metadata, tags=sandbox.s3.tags(source))
    name, why, hint = explained(run, clone)
    assert name == "lost"
    assert "not for certain: that copy was stored 2099-01-01T00:00:00Z, the clone was made" in why
    assert (
        hint == f"look at both; if it is the right video: download --id {source} --from s3, and upload that in Kaltura"
    )
    for command in ("restore", "repair", "s3copy"):
        assert act(run, command, clone).outcomes == {clone: "refused"}
    assert shown(sandbox, clone) == sandbox.placeholder
    assert sandbox.s3.body(clone) is None
    assert video != newer


def test_a_clone_that_had_a_video_of_its_own_is_for_a_person(sandbox: Sandbox, run: Run) -> None:
    """It was archived under its own id and replaced, then its object was lost: its source's is another video."""
    _, clone, _ = cloned(sandbox, run, State.PLACEHOLDER)
    sandbox.control.clock.advance(86400)
    sandbox.kaltura.replace_original(clone, sandbox.placeholder)
    assert "it may have had another video of its own" in explained(run, clone)[1]
    assert act(run, "restore", clone).outcomes == {clone: "refused"}


def test_what_has_the_placeholders_size_and_not_its_bytes_is_for_a_person(sandbox: Sandbox, run: Run) -> None:
    _, clone, _ = cloned(sandbox, run, State.PLACEHOLDER)
    asset = original_of(sandbox, clone)
    other = bytes(reversed(sandbox.placeholder))
    asset.store(type(asset.contents[asset.version]).of(other), asset.version)
    assert "no placeholder that is known here" in explained(run, clone)[1]
    assert act(run, "restore", clone).outcomes == {clone: "refused"}
    assert shown(sandbox, clone) == other


def test_a_placeholder_of_long_ago_is_known_by_what_is_recorded_with_the_sources_copy(
    sandbox: Sandbox, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, clone, video = cloned(sandbox, run, State.PLACEHOLDER)
    (tmp_path / "new.mp4").write_bytes(sandbox.placeholder + b"\0\0\0\x08free" * 40)
    monkeypatch.setenv("PLACEHOLDER_VIDEO", str(tmp_path / "new.mp4"))
    assert act(run, "restore", clone).outcomes == {clone: "done"}
    assert shown(sandbox, clone) == video


def test_a_frozen_copy_is_thawed_for_the_clone(sandbox: Sandbox, run: Run) -> None:
    source, clone, video = cloned(sandbox, run, State.PLACEHOLDER)
    tags, metadata = sandbox.s3.tags(source), sandbox.s3.metadata(source)
    sandbox.s3.put(source, video, storage_class="GLACIER", tags=tags, metadata=metadata)
    assert act(run, "s3copy", clone).outcomes == {clone: "waiting"}
    assert not sandbox.control.requests("s3.RestoreObject")
    ran = act(run, "restore", clone)
    assert (ran.code, ran.outcomes) == (3, {clone: "waiting"})
    assert [r.subject for r in sandbox.control.requests("s3.RestoreObject")] == [source]
    assert act(run, "restore", clone).outcomes == {clone: "waiting"}
    sandbox.control.clock.advance(3 * 86400)
    assert act(run, "restore", clone).outcomes == {clone: "done"}
    assert shown(sandbox, clone) == video


def test_a_damaged_copy_does_not_spread(sandbox: Sandbox, run: Run) -> None:
    source, clone, video = cloned(sandbox, run, State.PLACEHOLDER)
    tags, metadata = sandbox.s3.tags(source), sandbox.s3.metadata(source)
    sandbox.s3.put(source, b"X" + video[1:], tags=tags, metadata=metadata)
    ran = act(run, "restore", clone)
    assert ran.outcomes == {clone: "failed"}
    assert sandbox.s3.body(clone) is None
    assert shown(sandbox, clone) == sandbox.placeholder
    assert run("verify", "--id", source, "--no-dry-run").outcomes == {source: "failed"}
    assert "verify found that copy damaged" in explained(run, clone)[1]


def test_who_may_not_store_copies_is_told_which_command_to_give(sandbox: Sandbox, run: Run) -> None:
    """The restore role of aws/template.yaml."""
    _, clone, _ = cloned(sandbox, run, State.PLACEHOLDER)
    sandbox.control.add_fault("s3.PutObject", "error", subject=clone, code="AccessDenied", status=403, times=9)
    ran = act(run, "restore", clone)
    assert ran.outcomes == {clone: "refused"}
    assert f"run s3copy for {clone} with the rights to archive, then restore" in ran.out
    assert sandbox.s3.body(clone) is None


def test_health_of_many_tells_clones_and_asks_no_more_of_others(sandbox: Sandbox, run: Run) -> None:
    _, replaced, _ = cloned(sandbox, run, State.PLACEHOLDER)
    _, archived, _ = cloned(sandbox, run, State.ARCHIVED)
    for _ in range(50):
        sandbox.add(State.ARCHIVED)
    lost = sandbox.add(State.LOST)
    sandbox.control.clear_log()
    ran = run("health", "--max-entries", -1, "--columns", "entry_id,state,next")
    next_of = {row["entry_id"]: row["next"] for row in ran.rows if row["state"] in ("lost", "unbacked")}
    assert next_of.pop(lost).startswith("search the bucket's older versions")
    assert next_of == {
        replaced: "s3copy makes that copy its own; restore brings the video back",
        archived: "s3copy archives it under its own id",
    }
    # Beside the clones themselves and their sources, nothing is looked at.
    assert len(sandbox.control.requests("s3.HeadObject")) <= 6


def test_a_plan_of_clones_is_done_as_it_was_reviewed(sandbox: Sandbox, run: Run, tmp_path: Path) -> None:
    _, clone, video = cloned(sandbox, run, State.PLACEHOLDER)
    plan = tmp_path / "plan.jsonl"
    assert run("plan", "restore", "--id", clone, "--output", plan).code == 0
    ran = run("apply", plan, "--no-dry-run", "--max-drift", 0)
    assert ran.outcomes == {clone: "done"}, ran.err
    assert shown(sandbox, clone) == video


@pytest.mark.parametrize(
    "cut", [("s3.PutObject", 0), ("s3.PutObjectTagging", 0), ("uploadToken.upload", 0), ("media.updateContent", 0)]
)
def test_a_restore_of_a_clone_that_is_killed_goes_on(
    sandbox: Sandbox, run: Run, zygote: Zygote, tmp_path: Path, cut: tuple[str, int]
) -> None:
    source, clone, video = cloned(sandbox, run, State.PLACEHOLDER)
    killed(sandbox, zygote, tmp_path, ["restore", "--id", clone], *cut)
    sandbox.kaltura.settle()
    assert state_of(run, clone) in ("lost", "placeholder", "unsettled", "busy")
    ran = act(run, "restore", clone)
    assert ran.outcomes == {clone: "done"}, ran.err
    assert (shown(sandbox, clone), tags_of(sandbox, clone), sandbox.s3.body(clone)) == (video, ARCHIVED_TAG, video)
    assert state_of(run, clone) == "archived"
    assert shown(sandbox, source) == sandbox.placeholder


def test_a_clone_made_in_the_middle_of_a_replacement_keeps_its_own_original(sandbox: Sandbox, run: Run) -> None:
    """Tagged flavors_deleted before the swap, cloned then."""
    video = sandbox.video()
    source = sandbox.add(State.ARCHIVED, content=video)
    made: list[str] = []
    sandbox.control.add_fault("media.updateContent", before=lambda _: made.append(clone_of(sandbox, source)))
    assert act(run, "replace_video", source).outcomes == {source: "done"}
    [clone] = made
    assert (tags_of(sandbox, clone), shown(sandbox, clone)) == (BOTH, video)
    assert explained(run, clone)[2].startswith("s3copy archives it under its own id; repair then removes the tag")
    assert act(run, "restore", clone).outcomes == {clone: "refused"}
    assert act(run, "s3copy", clone).outcomes == {clone: "done"}
    assert act(run, "repair", clone).outcomes == {clone: "done"}
    assert (state_of(run, clone), tags_of(sandbox, clone), shown(sandbox, clone)) == ("archived", ARCHIVED_TAG, video)


def test_a_clone_was_not_announced_by_the_notice_that_its_source_had(sandbox: Sandbox, run: Run) -> None:
    """Tags are copied, those of notices too: its owner was never told of this one."""
    source = sandbox.add(State.ARCHIVED, tags="notice_2020-01-02")
    sandbox.kaltura.edit(source, created_at=1_500_000_000)
    clone = clone_of(sandbox, source)
    sandbox.kaltura.edit(clone, created_at=1_600_000_000)  # in September 2020
    assert act(run, "s3copy", clone).outcomes == {clone: "done"}
    ran = run("replace_video", "--id", source, "--id", clone, "--noticed-before", "30d")
    assert ran.outcomes == {source: "would", clone: "skipped"}, ran.out
    assert "the notice of 2020-01-02 is older than the entry" in ran.out
