"""thin: the original sleeps in S3, a derived flavor plays on, and restore brings the original back (docs/thin.md)."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import requests
from looking import Run, act, assets_of, content_of, original_of, state_of, tags_of

from kaltura_archiver.model import ARCHIVED_TAG, REPLACED_TAG, THIN_TAG, State, split_tags
from kaltura_archiver.sandbox.kaltura.records import CONVERTING, Asset, Content, new_id
from kaltura_archiver.sandbox.world import Sandbox

VIDEO = b"a lecture of an hour and a half\n" * 4000
SECONDS = 5400


@pytest.fixture
def entry_id(sandbox: Sandbox) -> str:
    """Archived, with three derived flavors: a half, a third and a quarter of the original's bytes."""
    return lecture(sandbox)


def lecture(sandbox: Sandbox, **fields: Any) -> str:
    given: dict[str, Any] = {"derived": 3, "duration_ms": SECONDS * 1000, "tags": "lecture"}
    return sandbox.add(State.ARCHIVED, content=VIDEO, **(given | fields))


def flavor(sandbox: Sandbox, entry_id: str, params_id: int) -> Asset:
    return assets_of(sandbox, entry_id)[params_id]


def tags_set(sandbox: Sandbox, entry_id: str) -> set[str]:
    return set(split_tags(tags_of(sandbox, entry_id)))


def kept_tag(sandbox: Sandbox, entry_id: str) -> str:
    return sandbox.s3.tags(entry_id).get("thin", "")


def test_the_original_goes_and_a_derived_flavor_plays_on(sandbox: Sandbox, run: Run, entry_id: str) -> None:
    kept, original = flavor(sandbox, entry_id, 2), original_of(sandbox, entry_id)
    dry = run("thin", "--id", entry_id)
    assert dry.outcomes == {entry_id: "would"}
    assert f"{kept.id} plays on" in dry.rows[0]["detail"]
    assert sandbox.control.writes() == []
    ran = act(run, "thin", entry_id)
    assert (ran.code, ran.outcomes) == (0, {entry_id: "done"}), ran.err
    assert assets_of(sandbox, entry_id) == {2: kept}
    freed = original.size_in_bytes + len(VIDEO) // 3 + len(VIDEO) // 4
    assert ran.rows[0]["bytes_freed"] == str(freed)
    assert f"bytes to free {freed}" in dry.err
    assert {ARCHIVED_TAG, THIN_TAG, "lecture"} == tags_set(sandbox, entry_id)
    assert kept_tag(sandbox, entry_id) == f"{kept.id}@{kept.version}"
    assert sandbox.kaltura.entries[entry_id].status == "2"
    assert state_of(run, entry_id) == "thin"
    assert run("health", "--id", entry_id).code == 0
    # As a player would.
    address = f"{sandbox.kaltura.url}/p/1/sp/100/serveFlavor/entryId/{entry_id}/v/2/flavorId/{kept.id}/name/a.mp4"
    assert requests.get(address, timeout=10).content == kept.contents[2].read()


def test_restore_brings_original_and_flavors_back(sandbox: Sandbox, run: Run, entry_id: str) -> None:
    before = {number: asset.size_in_bytes for number, asset in assets_of(sandbox, entry_id).items()}
    act(run, "thin", entry_id)
    ran = act(run, "restore", entry_id)
    assert (ran.code, ran.outcomes) == (0, {entry_id: "done"}), ran.err
    sandbox.kaltura.settle()
    assert {number: asset.size_in_bytes for number, asset in assets_of(sandbox, entry_id).items()} == before
    back = original_of(sandbox, entry_id)
    assert hashlib.sha256(back.contents[back.version].read()).digest() == hashlib.sha256(VIDEO).digest()
    assert tags_set(sandbox, entry_id) == {ARCHIVED_TAG, "lecture"}
    assert kept_tag(sandbox, entry_id) == ""
    assert state_of(run, entry_id) == "archived"
    assert act(run, "restore", entry_id).outcomes == {entry_id: "already"}
    # And again.
    assert act(run, "thin", entry_id).outcomes == {entry_id: "done"}
    assert state_of(run, entry_id) == "thin"


def test_a_thin_entry_is_left_as_it_is_by_all_but_restore_and_replace_video(
    sandbox: Sandbox, run: Run, entry_id: str
) -> None:
    act(run, "thin", entry_id)
    sandbox.kaltura.edit(entry_id, plays=7, last_played_at=int(sandbox.control.clock.now()))
    before = content_of(sandbox)
    for command in (
        ("thin", "--id", entry_id), ("s3copy", "--id", entry_id), ("repair", "--id", entry_id),
        ("repair", "--tag", ARCHIVED_TAG), ("restore", "--tag", REPLACED_TAG, "--played-within", "1"),
        ("restore", "--tag", THIN_TAG, "--played-within", "1"),
    ):  # fmt: skip
        ran = run(*command, "--no-dry-run")
        assert ran.code == 0
        assert set(ran.outcomes.values()) <= {"already", "skipped"}
    assert content_of(sandbox) == before
    assert run("restore", "--tag", THIN_TAG, "--no-dry-run").outcomes == {entry_id: "done"}


def test_replace_video_goes_on_to_a_placeholder(sandbox: Sandbox, run: Run, entry_id: str) -> None:
    act(run, "thin", entry_id)
    ran = act(run, "replace_video", entry_id)
    assert (ran.code, ran.outcomes) == (0, {entry_id: "done"}), ran.err
    assert tags_set(sandbox, entry_id) == {ARCHIVED_TAG, REPLACED_TAG, "lecture"}
    assert state_of(run, entry_id) == "placeholder"
    assert kept_tag(sandbox, entry_id) == ""
    assert act(run, "restore", entry_id).outcomes == {entry_id: "done"}
    assert state_of(run, entry_id) == "archived"
    assert original_of(sandbox, entry_id).size_in_bytes == len(VIDEO)


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ((), 2),  # the largest
        (("--max-kept-bytes", str(len(VIDEO) // 2)), 3),
        (("--keep-height", "360"), 3),
        (("--keep-height", "100"), 4),  # the smallest of at least so many lines: 180, 360 and 540 have the others
    ],
)
def test_which_flavor_is_kept(sandbox: Sandbox, run: Run, options: tuple[str, ...], kept: int) -> None:
    entry_id = lecture(sandbox)
    for number, height in ((2, 540), (3, 360), (4, 180)):
        flavor(sandbox, entry_id, number).height = height
    assert act(run, "thin", entry_id, *options).outcomes == {entry_id: "done"}
    assert list(assets_of(sandbox, entry_id)) == [kept]


@pytest.mark.parametrize(("derived", "left"), [("all", {3}), ("smaller", {2, 3}), ("none", {2, 3, 4})])
def test_which_others_go(sandbox: Sandbox, run: Run, derived: str, left: set[int]) -> None:
    entry_id = lecture(sandbox)
    options = ("--max-kept-bytes", str(len(VIDEO) // 2), "--derived", derived)
    assert act(run, "thin", entry_id, *options).outcomes == {entry_id: "done"}
    assert set(assets_of(sandbox, entry_id)) == left
    assert state_of(run, entry_id) == "thin"


def shorter(sandbox: Sandbox, entry_id: str) -> None:
    cut = flavor(sandbox, entry_id, 2)
    cut.store(Content.movie(cut.size_in_bytes, (SECONDS - 60) * 1000), cut.version)


def measured_shorter(sandbox: Sandbox, entry_id: str) -> None:
    """The file's head tells the full length: a conversion that was cut may leave one."""
    sandbox.kaltura.library.measured[flavor(sandbox, entry_id, 2).id] = (SECONDS - 60) * 1000


def truncated(sandbox: Sandbox, entry_id: str) -> None:
    cut = flavor(sandbox, entry_id, 2)
    whole = Content.movie(2 * cut.size_in_bytes, SECONDS * 1000).read()
    cut.store(Content.of(whole[: cut.size_in_bytes]), cut.version)


def no_mp4(sandbox: Sandbox, entry_id: str) -> None:
    other = flavor(sandbox, entry_id, 2)
    other.store(Content.of(b"\x1aE\xdf\xa3" * (other.size_in_bytes // 4)), other.version)


def converting(sandbox: Sandbox, entry_id: str) -> None:
    flavor(sandbox, entry_id, 4).status = CONVERTING


def untagged(sandbox: Sandbox, entry_id: str) -> None:
    for number in (2, 3, 4):
        flavor(sandbox, entry_id, number).tags = "editor"


def alone(sandbox: Sandbox, entry_id: str) -> None:
    for number in (2, 3, 4):
        sandbox.kaltura.library.delete_asset(flavor(sandbox, entry_id, number))


def unproven(sandbox: Sandbox, entry_id: str) -> None:
    tags = [{"Key": name, "Value": value} for name, value in sandbox.s3.tags(entry_id).items() if name != "flavor"]
    sandbox.s3.client().put_object_tagging(Bucket=sandbox.s3.bucket, Key=entry_id, Tagging={"TagSet": tags})


def other_bytes(sandbox: Sandbox, entry_id: str) -> None:
    """Kaltura's original differs by a byte from what is stored, and nothing but its bytes tells."""
    original = original_of(sandbox, entry_id)
    original.store(Content.of(VIDEO[:-1] + b"x"), original.version)


def clipped(sandbox: Sandbox, entry_id: str) -> None:
    sandbox.kaltura.add_entry(b"a clip of it" * 99, root_id=entry_id)


def noticed(sandbox: Sandbox, entry_id: str) -> None:
    sandbox.kaltura.edit(entry_id, tags=f"{ARCHIVED_TAG}, notice_2026-01-01_until_2099-01-01")


def young(sandbox: Sandbox, entry_id: str) -> None:
    sandbox.kaltura.edit(entry_id, created_at=int(sandbox.control.clock.now()) - 86400)


def kept_tagged(sandbox: Sandbox, entry_id: str) -> None:
    sandbox.kaltura.edit(entry_id, tags=f"{ARCHIVED_TAG}, keep")


def child(sandbox: Sandbox, entry_id: str) -> None:
    sandbox.kaltura.edit(entry_id, parent_id="0_parent01")


REFUSALS = {
    shorter: ("refused", "plays 5340 seconds"),
    measured_shorter: ("refused", "plays 5340 seconds by Kaltura"),
    truncated: ("refused", "it is cut"),
    no_mp4: ("refused", "it is no MP4"),
    converting: ("waiting", "still making"),
    untagged: ("refused", "no derived flavor is READY and tagged for players"),
    alone: ("refused", "replace_video is for such an entry"),
    unproven: ("refused", "only likely"),
    other_bytes: ("failed", "does not have the original's bytes"),
    clipped: ("refused", "--even-if-clipped"),
    noticed: ("skipped", "2099-01-01"),
    young: ("skipped", "--min-age-years"),
    kept_tagged: ("skipped", "kept"),
    child: ("refused", "further stream"),
}


@pytest.mark.parametrize("spoil", REFUSALS, ids=lambda spoil: spoil.__name__)
def test_an_original_stays_where_something_speaks_against_it(
    sandbox: Sandbox, run: Run, entry_id: str, spoil: Any
) -> None:
    spoil(sandbox, entry_id)
    before = set(assets_of(sandbox, entry_id))
    tags = tags_set(sandbox, entry_id)
    outcome, why = REFUSALS[spoil]
    if spoil is not other_bytes:  # for which all of it is read
        dry = run("thin", "--id", entry_id)
        assert dry.outcomes == {entry_id: outcome}, dry.rows
        assert why in dry.rows[0]["detail"]
    ran = act(run, "thin", entry_id)
    assert ran.outcomes == {entry_id: outcome}, ran.rows
    assert why in ran.rows[0]["detail"]
    assert set(assets_of(sandbox, entry_id)) == before
    assert tags_set(sandbox, entry_id) == tags
    assert [request.operation for request in sandbox.control.writes() if "delete" in request.operation] == []
    if spoil is not other_bytes:
        assert dry.code == ran.code


@pytest.mark.parametrize("status", [-1, 0, 1, 4])
def test_a_flavor_that_is_not_ready_is_never_kept(sandbox: Sandbox, run: Run, entry_id: str, status: int) -> None:
    flavor(sandbox, entry_id, 2).status = status
    outcome = act(run, "thin", entry_id).outcomes[entry_id]
    if status in (-1, 4):
        assert outcome == "done"
        assert kept_tag(sandbox, entry_id).startswith(flavor(sandbox, entry_id, 3).id)
    else:
        assert outcome == "waiting"
        assert original_of(sandbox, entry_id)


@pytest.mark.parametrize("what", ["status", "version", "gone", "converting"])
def test_the_kept_flavor_is_looked_at_once_more(sandbox: Sandbox, run: Run, entry_id: str, what: str) -> None:
    kept = flavor(sandbox, entry_id, 2)

    def change(_: Any) -> None:
        if what == "status":
            kept.status = -1
        elif what == "version":
            kept.store(Content.movie(kept.size_in_bytes, 1000), 12)
        elif what == "gone":
            sandbox.kaltura.library.delete_asset(kept)
        else:
            flavor(sandbox, entry_id, 3).status = CONVERTING

    sandbox.control.add_fault("media.update", before=change)
    assert act(run, "thin", entry_id).outcomes == {entry_id: "failed"}
    assert original_of(sandbox, entry_id).size_in_bytes == len(VIDEO)
    assert tags_set(sandbox, entry_id) == {ARCHIVED_TAG, "lecture"}


def test_a_copy_that_goes_in_the_last_moment_keeps_the_original(sandbox: Sandbox, run: Run, entry_id: str) -> None:
    def remove(_: Any) -> None:
        sandbox.s3.client().delete_object(Bucket=sandbox.s3.bucket, Key=entry_id)

    sandbox.control.add_fault("media.update", before=remove)
    assert act(run, "thin", entry_id).outcomes == {entry_id: "failed"}
    assert original_of(sandbox, entry_id).size_in_bytes == len(VIDEO)


def test_clones_that_have_the_same_file_free_nothing(sandbox: Sandbox, run: Run, entry_id: str) -> None:
    clone = sandbox.kaltura.library.clone(sandbox.kaltura.entries[entry_id])
    dry = run("thin", "--id", entry_id, "--even-if-clipped")
    assert f"{clone.id} has the same file" in dry.rows[0]["detail"]
    assert "bytes to free 0" in dry.err
    ran = act(run, "thin", entry_id, "--even-if-clipped")
    assert (ran.outcomes, ran.rows[0]["bytes_freed"]) == ({entry_id: "done"}, "0")
    # A clone of a thin entry has its tags and no copy: nothing acts on it, and health says why.
    assert original_of(sandbox, clone.id).size_in_bytes == len(VIDEO)


def test_a_clone_of_a_thin_entry_is_left_to_a_person(sandbox: Sandbox, run: Run, entry_id: str) -> None:
    act(run, "thin", entry_id)
    clone = sandbox.kaltura.library.clone(sandbox.kaltura.entries[entry_id])
    sandbox.control.clear_log()
    for command in ("thin", "s3copy", "replace_video", "restore", "repair"):
        assert act(run, command, clone.id).outcomes == {clone.id: "refused"}
    assert sandbox.control.writes() == []
    row = run("health", "--id", clone.id).rows[0]
    assert f"a clone of {entry_id}, whose original is in S3 only" in row["message"]


def test_derived_only_leaves_the_original_and_needs_no_copy(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add(State.INITIAL, content=VIDEO, derived=3, duration_ms=SECONDS * 1000)
    dry = run("thin", "--id", entry_id, "--derived-only")
    assert "Kaltura can make them again" in dry.rows[0]["detail"]
    ran = act(run, "thin", entry_id, "--derived-only")
    assert ran.outcomes == {entry_id: "done"}
    assert set(assets_of(sandbox, entry_id)) == {0, 2}
    assert ran.rows[0]["bytes_freed"] == str(len(VIDEO) // 3 + len(VIDEO) // 4)
    assert tags_set(sandbox, entry_id) == set()
    assert state_of(run, entry_id) == "initial"
    assert act(run, "thin", entry_id, "--derived-only").outcomes == {entry_id: "already"}


def test_what_people_have_set_on_flavors_comes_back(sandbox: Sandbox, run: Run, entry_id: str) -> None:
    original_of(sandbox, entry_id).label = "camera"
    flavor(sandbox, entry_id, 3).language = "German"
    act(run, "thin", entry_id)
    assert act(run, "repair", entry_id).outcomes == {entry_id: "already"}
    act(run, "restore", entry_id)
    sandbox.kaltura.settle()
    act(run, "repair", entry_id)
    assert original_of(sandbox, entry_id).label == "camera"
    assert flavor(sandbox, entry_id, 3).language == "German"


def test_a_lost_answer_to_the_deletion_is_read_and_not_given_again_blindly(
    sandbox: Sandbox, run: Run, entry_id: str
) -> None:
    sandbox.control.add_fault("flavorAsset.delete", "drop_after")
    assert act(run, "thin", entry_id).outcomes == {entry_id: "done"}
    deleted = [r.subject for r in sandbox.control.requests() if r.operation == "flavorAsset.delete"]
    assert len(deleted) == len(set(deleted)) == 3


def test_a_new_upload_in_the_moment_of_a_lost_deletion_stands(sandbox: Sandbox, run: Run, entry_id: str) -> None:
    """A flavor keeps its id when its content is replaced: to delete it again would delete the newer video."""
    newer = b"a newer video" * 9000

    def upload(_: Any) -> None:
        sandbox.kaltura.replace_original(entry_id, newer)

    sandbox.control.add_fault("flavorAsset.delete", "drop_before", before=upload)
    ran = act(run, "thin", entry_id)
    assert ran.outcomes == {entry_id: "failed"}
    original = original_of(sandbox, entry_id)
    assert original.contents[original.version].read() == newer
    assert state_of(run, entry_id) == "diverged"


def test_what_an_interruption_leaves_is_named_and_each_command_has_its_way_on(sandbox: Sandbox, run: Run) -> None:
    """Tagged, and the original there: cut before the deletion. And gone, which is not recorded."""
    for command, there, gone in (
        ("thin", "thin", "thin"),
        ("restore", "archived", "archived"),
        ("repair", "archived", "thin"),
    ):
        first, second = lecture(sandbox), lecture(sandbox)
        sandbox.kaltura.edit(first, tags=f"lecture, {ARCHIVED_TAG}, {THIN_TAG}")
        sandbox.kaltura.edit(second, tags=f"lecture, {ARCHIVED_TAG}, {THIN_TAG}")
        sandbox.take_original_away(second)
        assert (state_of(run, first), state_of(run, second)) == ("half-thin", "half-thin")
        ran = run(command, "--id", first, "--id", second, "--no-dry-run")
        assert ran.outcomes == {first: "done", second: "done"}, ran.rows
        assert (state_of(run, first), state_of(run, second)) == (there, gone)


def test_a_tag_that_somebody_removed_is_put_back(sandbox: Sandbox, run: Run, entry_id: str) -> None:
    act(run, "thin", entry_id)
    sandbox.kaltura.edit(entry_id, tags="lecture")
    assert state_of(run, entry_id) == "half-thin"
    assert act(run, "repair", entry_id).outcomes == {entry_id: "done"}
    assert state_of(run, entry_id) == "thin"


def test_without_what_was_to_play_repair_brings_the_original_back(sandbox: Sandbox, run: Run, entry_id: str) -> None:
    act(run, "thin", entry_id)
    sandbox.kaltura.library.delete_asset(flavor(sandbox, entry_id, 2))
    assert state_of(run, entry_id) == "no-original"
    assert act(run, "repair", entry_id).outcomes == {entry_id: "done"}
    assert (state_of(run, entry_id), kept_tag(sandbox, entry_id)) == ("archived", "")
    assert tags_set(sandbox, entry_id) == {ARCHIVED_TAG, "lecture"}


def test_a_thin_entry_without_a_copy_is_lost(sandbox: Sandbox, run: Run, entry_id: str) -> None:
    act(run, "thin", entry_id)
    sandbox.s3.client().delete_object(Bucket=sandbox.s3.bucket, Key=entry_id)
    assert state_of(run, entry_id) == "lost"
    assert run("health", "--id", entry_id).code == 1


def test_a_listing_of_the_bucket_does_not_hide_what_is_thin(sandbox: Sandbox, run: Run, entry_id: str) -> None:
    act(run, "thin", entry_id)
    for _ in range(45):
        sandbox.add(State.INITIAL)
    rows = run("--log-level", "ERROR", "health", "--all-rows", "--max-entries", "-1").rows
    assert [row["message"].partition(":")[0] for row in rows if row["entry_id"] == entry_id] == ["thin"]


def test_a_plan_is_made_and_applied(sandbox: Sandbox, run: Run, entry_id: str) -> None:
    other = lecture(sandbox)
    made = run("plan", "thin", "--id", entry_id, "--id", other, "--keep-height", "1", "-o", "thin.jsonl")
    assert made.code == 0, made.err
    flavor(sandbox, other, 4).status = CONVERTING
    ran = run("apply", "thin.jsonl", "--no-dry-run", "--max-drift", "1")
    assert ran.outcomes == {entry_id: "done", other: "drifted"}, ran.err
    assert list(assets_of(sandbox, entry_id)) == [4]
    assert run("apply", "thin.jsonl", "--no-dry-run", "--max-drift", "1").outcomes[entry_id] == "already"


def test_explain_and_download_know_it(sandbox: Sandbox, run: Run, entry_id: str) -> None:
    act(run, "thin", entry_id)
    told = run("explain", entry_id, "--format", "json").json
    assert told["state"]["name"] == "thin"
    assert told["entry"]["original_in_s3"] is True
    assert any("the original was deleted" in line["what"] for line in told["history"])
    assert run("download", "--id", entry_id, "--output", "whole.mp4").code == 0
    with open("whole.mp4", "rb") as file:
        assert file.read() == VIDEO


def test_a_flavor_without_pictures_is_not_what_plays_on(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add(State.ARCHIVED, content=VIDEO * 40, derived=2, duration_ms=5_400_000)
    sound = Asset(new_id(), entry_id, 99, version=0, width=0, height=0, tags="mbr,web,audio_only")
    sound.store(Content.movie(20_000, 5_400_000), 2)
    sandbox.kaltura.library.put_asset(sound)
    ran = run("thin", "--id", entry_id, "--max-kept-bytes", "21000", "--no-dry-run")
    assert ran.outcomes == {entry_id: "refused"}
    assert "the smallest derived flavor has" in ran.out


def test_what_kaltura_has_lost_the_original_of_keeps_its_flavors(sandbox: Sandbox, run: Run) -> None:
    """Its asset is READY all the same; nothing could make them again."""
    entry_id = sandbox.add(State.INITIAL, content=VIDEO, derived=3, duration_ms=5_400_000)
    original_of(sandbox, entry_id).contents = {}
    before = set(assets_of(sandbox, entry_id))
    ran = run("thin", "--id", entry_id, "--derived-only", "--no-dry-run")
    assert ran.outcomes == {entry_id: "failed"}
    assert set(assets_of(sandbox, entry_id)) == before


@pytest.mark.parametrize("words", [("--tag", ARCHIVED_TAG), ("--all",), ("--unplayed-for", "3")])
def test_what_plays_on_is_replaced_only_where_it_is_asked_for(
    sandbox: Sandbox, run: Run, words: tuple[str, ...]
) -> None:
    thin, archived = sandbox.add(State.THIN), sandbox.add(State.ARCHIVED)
    sandbox.kaltura.settle()
    assert run("replace_video", *words).outcomes == {archived: "would"}
    run("plan", "replace", *words, "-o", "plan.jsonl")
    assert thin not in Path("plan.jsonl").read_text()
    for named in (("--id", thin), ("--tag", THIN_TAG)):
        assert run("replace_video", *named, "--min-age-years", "0").outcomes == {thin: "would"}
        run("plan", "replace", *named, "--force", "-o", "plan.jsonl")
        assert thin in Path("plan.jsonl").read_text()


def test_to_leave_thin_entries_alone_is_no_criterion(run: Run) -> None:
    for words in (("replace_video",), ("plan", "replace", "-o", "plan.jsonl")):
        assert run(*words).code == 2
