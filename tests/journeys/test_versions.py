"""A video that was restored and edited is archived beside its earlier copy; of two videos a person says which stays."""

from __future__ import annotations

import hashlib

import pytest
from conftest import Run
from looking import content_id, do_not_wait, shown, state_of, tags_of, use_lock

from kaltura_archiver import survey
from kaltura_archiver.model import State
from kaltura_archiver.sandbox.world import Sandbox

ACT = "--no-dry-run"


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    do_not_wait(monkeypatch)


def digest(content: bytes | None) -> str:
    return hashlib.sha256(content or b"").hexdigest()


def edited(sandbox: Sandbox, run: Run, **fields: object) -> tuple[str, bytes, bytes]:
    """An entry that came back from S3 and was then cut; the archived video, and what was made of it."""
    entry_id = sandbox.add(State.PLACEHOLDER, **fields)
    first = sandbox.s3.body(entry_id)
    assert run("restore", "--id", entry_id, ACT).outcomes == {entry_id: "done"}
    second = sandbox.video()
    sandbox.kaltura.replace_original(entry_id, second)
    assert first is not None
    return entry_id, first, second


def copies(sandbox: Sandbox, entry_id: str) -> dict[str, str]:
    """Key to hash of all stored copies of an entry."""
    names = [key for key in sandbox.s3.keys() if key.partition("@")[0] == entry_id]  # noqa: SIM118 - no dict
    return {key: digest(sandbox.s3.body(key)) for key in names}


# Edited


def test_what_was_edited_after_its_restore_is_archived_beside(sandbox: Sandbox, run: Run) -> None:
    entry_id, first, second = edited(sandbox, run)
    assert state_of(run, entry_id) == "diverged"
    ran = run("s3copy", "--id", entry_id, ACT)
    assert (ran.code, ran.outcomes) == (0, {entry_id: "done"}), ran.err
    key = f"{entry_id}@{content_id(sandbox, entry_id)}"
    assert copies(sandbox, entry_id) == {entry_id: digest(first), key: digest(second)}
    assert f"copied {len(second)} bytes as {key}" in ran.rows[0]["detail"]
    assert f"{entry_id} stays as it is" in ran.rows[0]["detail"]
    assert state_of(run, entry_id) == "archived"
    assert run("health", "--id", entry_id).code == 0
    assert run("s3copy", "--id", entry_id, ACT).outcomes == {entry_id: "already"}
    told = run("explain", entry_id, "--format", "json").json["object"]
    assert (told["key"], told["earlier"]) == (key, [entry_id])


def test_a_version_is_replaced_and_comes_back(sandbox: Sandbox, run: Run) -> None:
    entry_id, first, second = edited(sandbox, run)
    assert run("s3copy", "--id", entry_id, ACT).code == 0
    before = copies(sandbox, entry_id)
    assert run("replace_video", "--id", entry_id, ACT).outcomes == {entry_id: "done"}
    assert shown(sandbox, entry_id) == sandbox.placeholder
    assert state_of(run, entry_id) == "placeholder"
    ran = run("download", "--id", entry_id, "-o", "video.mp4")
    assert (ran.code, ran.rows[0]["sha256"]) == (0, digest(second)), ran.err
    assert run("verify", "--id", entry_id, ACT).outcomes == {entry_id: "done"}
    assert run("restore", "--id", entry_id, ACT).outcomes == {entry_id: "done"}
    assert shown(sandbox, entry_id) == second
    assert state_of(run, entry_id) == "archived"
    assert copies(sandbox, entry_id) == before
    # The earlier copy is as it was left: what is recorded is recorded with the copy that is the entry's.
    assert "verified-at" not in sandbox.s3.tags(entry_id)
    assert "verified-at" in sandbox.s3.tags(next(key for key in before if "@" in key))
    assert digest(first) in before.values()


def test_a_version_by_url(sandbox: Sandbox, run: Run) -> None:
    entry_id, _, second = edited(sandbox, run)
    for command in ("s3copy", "replace_video"):
        assert run(command, "--id", entry_id, ACT).code == 0
    assert run("restore", "--id", entry_id, "--via", "url", ACT).outcomes == {entry_id: "done"}
    assert shown(sandbox, entry_id) == second


def test_each_further_edit_has_a_copy_of_its_own(sandbox: Sandbox, run: Run) -> None:
    entry_id, first, second = edited(sandbox, run)
    videos = [first, second]
    for _ in range(3):
        assert run("s3copy", "--id", entry_id, ACT).outcomes == {entry_id: "done"}
        assert state_of(run, entry_id) == "archived"
        videos.append(sandbox.video())
        sandbox.kaltura.replace_original(entry_id, videos[-1])
    assert list(copies(sandbox, entry_id).values()) == [digest(video) for video in videos[:-1]]
    assert len(run("explain", entry_id, "--format", "json").json["object"]["earlier"]) == 3


def test_an_edit_keeps_a_video_from_being_replaced_as_a_restore_does(sandbox: Sandbox, run: Run) -> None:
    entry_id, _, _ = edited(sandbox, run, last_played_at=None, plays=0)
    assert run("s3copy", "--id", entry_id, ACT).code == 0
    ran = run("replace_video", "--tag", "archived_to_s3", "--unplayed-for", 3, ACT)
    assert ran.outcomes == {entry_id: "skipped"}
    assert "edited or restored on" in ran.out
    assert "which counts as a play" in ran.out


def test_a_listing_knows_the_version(sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    entry_id, _, second = edited(sandbox, run)
    assert run("s3copy", "--id", entry_id, ACT).code == 0
    monkeypatch.setattr(survey, "FEW", 0)
    ran = run("health", "--id", entry_id)
    assert (ran.code, ran.rows[0]["s3-size"]) == (0, str(len(second)))
    assert run("replace_video", "--id", entry_id, ACT).code == 0
    ran = run("health", "--id", entry_id)
    assert (ran.code, ran.rows[0]["s3-size"]) == (0, str(len(second)))


def test_a_later_copy_costs_two_requests_at_a_look(sandbox: Sandbox, run: Run) -> None:
    entry_id, _, _ = edited(sandbox, run)
    assert run("s3copy", "--id", entry_id, ACT).code == 0
    plain = sandbox.add(State.ARCHIVED)
    asked = []
    for looked_at in (plain, entry_id):
        sandbox.control.clear_log()
        assert run("restore", "--id", looked_at).outcomes == {looked_at: "already"}
        asked.append([r.operation for r in sandbox.control.requests() if r.server == "s3"][1:])
    assert asked[0] == ["s3.HeadObject", "s3.GetObjectTagging", "s3.ListObjectsV2"]
    assert asked[1] == [*asked[0], "s3.HeadObject", "s3.GetObjectTagging"]


def test_nothing_is_copied_beside_where_that_is_not_known_to_be_an_edit(sandbox: Sandbox, run: Run) -> None:
    never_restored = sandbox.add(State.DIVERGED)
    ran = run("s3copy", "--id", never_restored, ACT)
    assert ran.outcomes == {never_restored: "refused"}
    assert f"kaltura-archiver resolve {never_restored} --keep kaltura, or --keep s3" in ran.rows[0]["detail"]
    assert list(copies(sandbox, never_restored)) == [never_restored]


def test_a_placeholder_of_long_ago_that_comes_late_is_no_edit(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry_id, first, _ = edited(sandbox, run)
    # The placeholder that was in place is not the configured one any more.
    sandbox.kaltura.replace_original(entry_id, sandbox.placeholder)
    other = sandbox.directory / "other.mp4"
    other.write_bytes(sandbox.placeholder + b"other")
    monkeypatch.setenv("PLACEHOLDER_VIDEO", str(other))
    for command in (("s3copy", "--id", entry_id), ("resolve", entry_id, "--keep", "kaltura")):
        ran = run(*command, ACT)
        assert ran.outcomes == {entry_id: "refused"}, ran.out
        assert "the size of a placeholder that was in its place once" in ran.out
    assert copies(sandbox, entry_id) == {entry_id: digest(first)}


def test_a_plan_of_an_edit_is_carried_out_and_again_after_a_cut(sandbox: Sandbox, run: Run) -> None:
    entry_id, _, second = edited(sandbox, run)
    sandbox.kaltura.edit(entry_id, tags="")  # so that there is a step after the mark
    assert run("plan", "archive", "--id", entry_id, "-o", "plan.jsonl").code == 0
    sandbox.control.add_fault("media.update", "http_500", times=20)
    assert run("apply", "plan.jsonl", ACT, "--max-drift", 0).outcomes == {entry_id: "failed"}
    sandbox.control.clear_faults()
    assert state_of(run, entry_id) == "untagged"
    assert run("apply", "plan.jsonl", ACT, "--max-drift", 0).outcomes == {entry_id: "done"}
    assert digest(second) in copies(sandbox, entry_id).values()
    assert state_of(run, entry_id) == "archived"


# Interrupted


def test_what_a_cut_run_has_stored_is_found_proven_and_made_the_entrys(sandbox: Sandbox, run: Run) -> None:
    entry_id, first, second = edited(sandbox, run)
    sandbox.control.add_fault("s3.PutObjectTagging", "http_500", times=20)
    assert run("s3copy", "--id", entry_id, ACT).outcomes == {entry_id: "failed"}
    sandbox.control.clear_faults()
    stored = copies(sandbox, entry_id)
    assert len(stored) == 2
    assert state_of(run, entry_id) == "diverged"  # until it is proven, the earlier one is the entry's
    sandbox.control.clear_log()
    ran = run("s3copy", "--id", entry_id, ACT)
    assert ran.outcomes == {entry_id: "done"}, ran.out
    assert copies(sandbox, entry_id) == stored
    assert set(stored.values()) == {digest(first), digest(second)}
    written = [r.subject for r in sandbox.control.requests("s3.PutObject")]
    assert [key for key in written if not key.startswith(("suspect/", "probe/"))] == []
    assert state_of(run, entry_id) == "archived"


def test_a_spoiled_copy_beside_is_left_and_the_next_key_taken(sandbox: Sandbox, run: Run) -> None:
    entry_id, _, second = edited(sandbox, run)
    key = f"{entry_id}@{content_id(sandbox, entry_id)}"
    sandbox.s3.put(key, second[:-1] + b"?", metadata={"entry-id": entry_id})
    assert run("s3copy", "--id", entry_id, ACT).outcomes == {entry_id: "done"}
    assert copies(sandbox, entry_id)[f"{key}.1"] == digest(second)
    assert state_of(run, entry_id) == "archived"


def test_a_newer_copy_that_is_gone_is_told_and_nothing_acts_on_the_earlier_one(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry_id, _, _ = edited(sandbox, run)
    for command in ("s3copy", "replace_video"):
        assert run(command, "--id", entry_id, ACT).code == 0
    key = next(key for key in copies(sandbox, entry_id) if "@" in key)
    sandbox.s3.client().delete_object(Bucket=sandbox.s3.bucket, Key=key)
    for few in (40, 0):
        monkeypatch.setattr(survey, "FEW", few)
        ran = run("health", "--id", entry_id)
        assert ran.code == 1
        assert f"the newer copy {key}, which is the entry's, is not there" in ran.out
    for command in ("restore", "repair", "s3copy", "verify", "replace_video", "thin"):
        assert run(command, "--id", entry_id, ACT).outcomes == {entry_id: "failed"}, command
    assert shown(sandbox, entry_id) == sandbox.placeholder


@pytest.mark.parametrize("erased", [1, 2])
def test_where_an_earlier_copy_was_erased_the_later_one_is_the_entrys(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch, erased: int
) -> None:
    entry_id, _, second = edited(sandbox, run)
    assert run("s3copy", "--id", entry_id, ACT).code == 0
    if erased == 2:
        second = sandbox.video()
        sandbox.kaltura.replace_original(entry_id, second)
        assert run("s3copy", "--id", entry_id, ACT).code == 0
    assert run("replace_video", "--id", entry_id, ACT).code == 0
    for key in sorted(copies(sandbox, entry_id))[:erased]:
        sandbox.s3.client().delete_object(Bucket=sandbox.s3.bucket, Key=key)
    assert list(copies(sandbox, entry_id).values()) == [digest(second)]
    for few in (40, 0):
        monkeypatch.setattr(survey, "FEW", few)
        ran = run("health", "--id", entry_id)
        assert (ran.code, ran.rows[0]["message"].split(":")[0]) == (0, "placeholder")
    assert run("verify", "--id", entry_id, ACT).outcomes == {entry_id: "done"}
    assert run("restore", "--id", entry_id, ACT).outcomes == {entry_id: "done"}
    assert shown(sandbox, entry_id) == second
    assert run("replace_video", "--id", entry_id, ACT).outcomes == {entry_id: "done"}


def test_where_marks_cannot_be_read_nothing_is_called_lost(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add(State.LOST)
    sandbox.control.add_fault("s3.ListObjectsV2", "http_500", times=40)
    ran = run("restore", "--id", entry_id, ACT)
    assert ran.outcomes == {entry_id: "failed"}
    assert f"look for marks about object {entry_id}: S3 says" in ran.out
    assert run("health", "--id", entry_id).code != 0


@pytest.mark.parametrize("lost", ["mark", "tag"])
def test_the_mark_and_the_tag_each_tell_of_the_newer_copy(sandbox: Sandbox, run: Run, lost: str) -> None:
    entry_id, _, second = edited(sandbox, run)
    for command in ("s3copy", "replace_video"):
        assert run(command, "--id", entry_id, ACT).code == 0
    if lost == "mark":
        for key in [key for key in sandbox.s3.keys() if key.startswith(f"suspect/{entry_id}/newer.")]:  # noqa: SIM118
            sandbox.s3.client().delete_object(Bucket=sandbox.s3.bucket, Key=key)
    else:
        tags = sandbox.s3.tags(entry_id)
        sandbox.s3.set_tags(entry_id, {name: tags[name] for name in tags if name != "newer-copy"})
    assert run("restore", "--id", entry_id, ACT).outcomes == {entry_id: "done"}
    assert shown(sandbox, entry_id) == second


def test_tags_of_others_that_look_like_ours_lead_nowhere(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add(State.ARCHIVED)
    sandbox.s3.set_tags(entry_id, sandbox.s3.tags(entry_id) | {"newer-copy": "yes please"})
    sandbox.s3.put("somebody@example.org", b"x")
    sandbox.s3.put(f"{entry_id}@", b"x")
    assert state_of(run, entry_id) == "archived"
    assert run("health", "--id", entry_id).code == 0


# Resolve


def test_kalturas_video_is_kept_and_so_is_the_stored_one(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add(State.DIVERGED)
    first, second = sandbox.s3.body(entry_id), shown(sandbox, entry_id)
    dry = run("resolve", entry_id, "--keep", "kaltura")
    assert (dry.code, dry.outcomes) == (0, {entry_id: "would"})
    assert "beside the copy that there is" in dry.rows[0]["detail"]
    assert list(copies(sandbox, entry_id)) == [entry_id]
    ran = run("resolve", entry_id, "--keep", "kaltura", ACT)
    assert (ran.code, ran.outcomes) == (0, {entry_id: "done"}), ran.err
    assert sorted(copies(sandbox, entry_id).values()) == sorted([digest(first), digest(second)])
    assert shown(sandbox, entry_id) == second
    assert run("health", "--id", entry_id).code == 0
    again = run("resolve", entry_id, "--keep", "kaltura", ACT)
    assert (again.code, again.outcomes) == (0, {entry_id: "already"})


@pytest.mark.parametrize("side", ["kaltura", "s3"])
def test_two_videos_of_one_size_are_found_to_be_two_and_then_one_stays(sandbox: Sandbox, run: Run, side: str) -> None:
    entry_id = sandbox.add(State.ARCHIVED)
    first = shown(sandbox, entry_id)
    second = first[::-1]
    sandbox.kaltura.replace_original(entry_id, second)
    assert state_of(run, entry_id) == "archived"  # by sizes alone
    ran = run("resolve", entry_id, "--keep", side, ACT)
    assert ran.outcomes == {entry_id: "refused"}
    assert f"kaltura-archiver resolve {entry_id} --keep" in ran.out
    assert run("resolve", entry_id, "--keep", side, ACT).outcomes == {entry_id: "done"}
    assert shown(sandbox, entry_id) == (first if side == "s3" else second)
    assert {digest(first), digest(second)} <= {digest(sandbox.s3.body(key)) for key in list(sandbox.s3.keys())}
    assert run("health", "--id", entry_id).code == 0


def test_a_newer_video_over_the_placeholder_is_kept(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add(State.PLACEHOLDER)
    first, second = sandbox.s3.body(entry_id), sandbox.video()
    sandbox.kaltura.replace_original(entry_id, second)
    assert state_of(run, entry_id) == "diverged"
    assert run("resolve", entry_id, "--keep", "kaltura", ACT).outcomes == {entry_id: "done"}
    assert tags_of(sandbox, entry_id) == "archived_to_s3"
    assert sorted(copies(sandbox, entry_id).values()) == sorted([digest(first), digest(second)])
    assert run("health", "--id", entry_id).code == 0
    assert shown(sandbox, entry_id) == second


def test_a_newer_video_over_what_was_thin_is_kept(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add(State.THIN)
    second = sandbox.video()
    sandbox.kaltura.replace_original(entry_id, second)
    assert state_of(run, entry_id) == "diverged"
    assert run("resolve", entry_id, "--keep", "kaltura", ACT).outcomes == {entry_id: "done"}
    assert tags_of(sandbox, entry_id) == "archived_to_s3"
    assert run("health", "--id", entry_id).code == 0
    assert shown(sandbox, entry_id) == second


@pytest.mark.parametrize("replaced", [False, True])
def test_the_stored_video_comes_back_and_kalturas_is_kept(sandbox: Sandbox, run: Run, replaced: bool) -> None:
    entry_id = sandbox.add(State.PLACEHOLDER if replaced else State.DIVERGED)
    if replaced:
        sandbox.kaltura.replace_original(entry_id, sandbox.video())
    first, second, was = sandbox.s3.body(entry_id), shown(sandbox, entry_id), content_id(sandbox, entry_id)
    ran = run("resolve", entry_id, "--keep", "s3", ACT)
    assert (ran.code, ran.outcomes) == (0, {entry_id: "done"}), ran.out
    assert shown(sandbox, entry_id) == first == sandbox.s3.body(entry_id)
    assert sandbox.s3.body(f"displaced/{entry_id}/{was}") == second
    assert tags_of(sandbox, entry_id) == "archived_to_s3"
    assert run("health", "--id", entry_id).code == 0


def test_a_frozen_copy_comes_back_in_two_runs(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add(State.DIVERGED, storage_class="GLACIER")
    first, second = sandbox.s3.body(entry_id), shown(sandbox, entry_id)
    ran = run("resolve", entry_id, "--keep", "s3", ACT)
    assert (ran.code, ran.outcomes) == (3, {entry_id: "waiting"})
    assert "run resolve again" in ran.out
    assert shown(sandbox, entry_id) == second
    assert tags_of(sandbox, entry_id) == "archived_to_s3"
    sandbox.control.clock.advance(13 * 3600)
    assert run("resolve", entry_id, "--keep", "s3", ACT).outcomes == {entry_id: "done"}
    assert shown(sandbox, entry_id) == first


def test_a_damaged_copy_is_not_brought_back_but_kalturas_is_archived_beside(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add(State.ARCHIVED)
    video = shown(sandbox, entry_id)
    sandbox.s3.put(entry_id, video[:-1] + b"?", tags=sandbox.s3.tags(entry_id), metadata=sandbox.s3.metadata(entry_id))
    assert run("verify", "--id", entry_id, ACT).outcomes == {entry_id: "failed"}
    assert run("resolve", entry_id, "--keep", "s3", ACT).outcomes == {entry_id: "refused"}
    assert run("resolve", entry_id, "--keep", "kaltura", ACT).outcomes == {entry_id: "done"}
    assert digest(video) in copies(sandbox, entry_id).values()
    assert run("health", "--id", entry_id).code == 0
    assert state_of(run, entry_id) == "archived"


def test_a_later_copy_that_is_found_damaged_is_told_and_one_more_is_stored(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry_id, _, second = edited(sandbox, run)
    assert run("s3copy", "--id", entry_id, ACT).code == 0
    key = f"{entry_id}@{content_id(sandbox, entry_id)}"
    tags, metadata = sandbox.s3.tags(key), sandbox.s3.metadata(key)
    sandbox.s3.put(key, second[:-1] + b"?", tags=tags, metadata=metadata)
    assert run("verify", "--id", entry_id, ACT).outcomes == {entry_id: "failed"}
    for few in (40, 0):
        monkeypatch.setattr(survey, "FEW", few)
        ran = run("health", "--id", entry_id)
        assert (ran.code, "damaged" in ran.out) == (1, True)
        assert f"resolve {entry_id} --keep kaltura" in ran.out
    assert run("s3copy", "--id", entry_id, ACT).outcomes == {entry_id: "refused"}
    assert run("resolve", entry_id, "--keep", "kaltura", ACT).outcomes == {entry_id: "done"}
    assert copies(sandbox, entry_id)[f"{key}.1"] == digest(second)
    assert run("health", "--id", entry_id).code == 0
    for command in ("replace_video", "restore"):
        assert run(command, "--id", entry_id, ACT).outcomes == {entry_id: "done"}
    assert shown(sandbox, entry_id) == second


def test_a_killed_upload_of_a_later_copy_is_removed(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry_id, _, _ = edited(sandbox, run)
    use_lock(monkeypatch)
    key = f"{entry_id}@{content_id(sandbox, entry_id)}"
    sandbox.s3.client().create_multipart_upload(Bucket=sandbox.s3.bucket, Key=key)
    sandbox.control.clock.advance(10)
    assert run("s3copy", "--id", entry_id, ACT).outcomes == {entry_id: "done"}
    assert list(sandbox.s3.uploads()) == []


def test_somebodys_upload_while_the_copy_beside_is_made_is_not_taken_for_it(sandbox: Sandbox, run: Run) -> None:
    entry_id, first, second = edited(sandbox, run)
    third = sandbox.video()
    key = f"{entry_id}@{content_id(sandbox, entry_id)}"
    sandbox.control.add_fault(
        "s3.PutObjectTagging", subject=key, after=lambda _: sandbox.kaltura.replace_original(entry_id, third)
    )
    assert run("s3copy", "--id", entry_id, ACT).outcomes == {entry_id: "failed"}
    assert state_of(run, entry_id) == "diverged"  # the first copy is the entry's until one is that is the original
    assert run("s3copy", "--id", entry_id, ACT).outcomes == {entry_id: "done"}
    assert set(copies(sandbox, entry_id).values()) == {digest(video) for video in (first, second, third)}
    assert state_of(run, entry_id) == "archived"


@pytest.mark.parametrize("side", ["kaltura", "s3"])
@pytest.mark.parametrize(
    ("state", "code", "outcome", "told"),
    [
        (State.ARCHIVED, 0, "already", "one video"),
        (State.PLACEHOLDER, 3, "refused", "nothing to decide"),
        (State.INITIAL, 3, "refused", "the original is in Kaltura only"),
        (State.BUSY, 3, "waiting", ""),
        (State.LOST, 3, "refused", "no copy"),
    ],
)
def test_where_there_is_nothing_to_decide_nothing_is_done(
    sandbox: Sandbox, run: Run, side: str, state: State, code: int, outcome: str, told: str
) -> None:
    entry_id = sandbox.add(state)
    ran = run("resolve", entry_id, "--keep", side, ACT)
    assert (ran.code, ran.outcomes) == (code, {entry_id: outcome}), ran.out
    assert told in ran.rows[0]["detail"]
    assert [r.operation for r in sandbox.control.requests() if r.writes] == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("0_abc",), "Missing option '--keep'"),
        (("0_abc", "--keep", "both"), "'both' is not one of 'kaltura', 's3'"),
        (("--keep", "s3"), "Missing argument 'ID'"),
        (("../0_abc", "--keep", "s3"), "'../0_abc' is not an entry id"),
    ],
)
def test_what_cannot_be_meant_is_one_line(run: Run, arguments: tuple[str, ...], said: str) -> None:
    ran = run("resolve", *arguments)
    assert ran.code == 2
    assert said in ran.err
    assert "Traceback" not in ran.err


def test_an_entry_that_is_not_there_is_said(sandbox: Sandbox, run: Run) -> None:
    ran = run("resolve", "0_nobody", "--keep", "s3")
    assert (ran.code, ran.outcomes) == (1, {"0_nobody": "failed"})
