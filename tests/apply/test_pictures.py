"""docs/pictures.md: whose an entry's picture is, and what a restore does about it; a person's is never lost."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from looking import Run, do_not_wait, made, original_of, shown, tags_of
from old_library import OLD_FRAME_SECONDS, REPLACED, SINCE, Left, OldLibrary, frame

from kaltura_archiver.model import ARCHIVED_TAG, State
from kaltura_archiver.pictures import Act, Due, Picture, Thumb, judge
from kaltura_archiver.sandbox.kaltura.pictures import SLIDE
from kaltura_archiver.sandbox.world import Sandbox

PLACED = 1_600_000_000
DUE = Due(PLACED, "100012")
PAGE = (Path(__file__).parents[2] / "docs" / "pictures.md").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    do_not_wait(monkeypatch)


def thumb(created: int, updated: int | None = None, *, default: bool = False, by_hand: bool = True) -> Thumb:
    return Thumb(f"0_{created}", PLACED + created, PLACED + (created if updated is None else updated), default, by_hand)


# (what is shown since when), the version, thumb assets: seconds after the placeholder came.
@pytest.mark.parametrize(
    ("since", "version", "thumbs", "act"),
    [
        # Kaltura made a new one with the swap.
        (None, "100022", [], Act.STAYS),
        (5, "100022", [thumb(-900)], Act.STAYS),
        # The same as before: it is told by its time.
        (5, "100012", [], Act.TAKE),
        (-59, "100012", [], Act.TAKE),
        (600, "100012", [], Act.TAKE),
        (601, "100012", [], Act.DOUBT),
        (-61, "100012", [], Act.STAYS),
        (None, "100012", [], Act.DOUBT),
        # Nobody knows whether it is another one.
        (None, "", [], Act.DOUBT),
        # A thumb asset that is the default one is not touched by a swap.
        (5, "100012", [thumb(5, default=True)], Act.TAKE),
        (5, "100022", [thumb(5, default=True)], Act.TAKE),
        (5, "100012", [thumb(900, default=True)], Act.STAYS),
        (5, "100012", [thumb(-900, 5, default=True)], Act.STAYS),
        # It was the default one until the frame was taken.
        (5, "100012", [thumb(-900, 5), thumb(-900)], Act.CHOOSE),
        (5, "100022", [thumb(-900, 5), thumb(-800)], Act.CHOOSE),
        (5, "100012", [thumb(-900, 5), thumb(5, default=True)], Act.CHOOSE),
        (5, "100022", [thumb(-900, 5), thumb(900, default=True)], Act.STAYS),
        # Which of these it was is not known; and what the conversion made is nobody's.
        (5, "100012", [thumb(-900, 5), thumb(-800, 6)], Act.TAKE),
        (5, "100012", [thumb(-900, 5, by_hand=False)], Act.TAKE),
    ],
)
def test_a_picture_is_told_by_the_moment_in_which_it_was_made(
    since: int | None, version: str, thumbs: list[Thumb], act: Act
) -> None:
    picture = Picture(version, "https://host/picture", tuple(thumbs))
    verdict = judge(picture, DUE, lambda _: None if since is None else PLACED + since)
    assert verdict.act is act, verdict.why
    assert verdict.why
    assert verdict.thumb_id == ("0_-900" if act is Act.CHOOSE else "")


@pytest.mark.parametrize(
    ("version", "thumbs", "act"),
    [
        ("100022", [], Act.STAYS),
        ("100012", [], Act.DOUBT),
        ("100022", [thumb(5, default=True)], Act.DOUBT),
        ("100022", [thumb(-900, 5)], Act.STAYS),
    ],
)
def test_where_nothing_tells_when_the_placeholder_came_nothing_is_concluded(
    version: str, thumbs: list[Thumb], act: Act
) -> None:
    assert judge(Picture(version, "", tuple(thumbs)), Due(0, "100012"), lambda _: PLACED).act is act


@pytest.mark.parametrize("due", [Due(PLACED, "100012"), Due(0, ""), Due(0, "100012")])
def test_what_is_noted_is_read_again(due: Due) -> None:
    assert Due.read(str(due)) == due
    assert re.fullmatch(r"[\w .:/=+@-]+", str(due))  # what S3 takes in a tag


@pytest.mark.parametrize("tag", ["", "due", "- 100012", "-5 100012"])
def test_what_nobody_wrote_there_is_nothing(tag: str) -> None:
    assert Due.read(tag) is None


# In the sandbox


@pytest.fixture
def old(sandbox: Sandbox) -> OldLibrary:
    return OldLibrary(sandbox)


def act(run: Run, command: str, left: Left, *options: str) -> Any:
    return run(command, "--id", left.id, "--no-dry-run", *options)


def noted(sandbox: Sandbox, left: Left) -> str:
    return sandbox.s3.tags(left.id).get("picture", "")


def in_place(sandbox: Sandbox) -> tuple[str, ...]:
    sandbox.kaltura.settings.entry_replacement = False
    return ("--allow-in-place",)


def assert_back(sandbox: Sandbox, left: Left) -> None:
    """The video is back, whatever became of its picture."""
    assert shown(sandbox, left.id) == left.videos[0]
    assert tags_of(sandbox, left.id) == f"lecture, {ARCHIVED_TAG}"


def test_a_swap_brings_the_videos_picture_and_a_thumb_asset_of_somebody_stays(
    sandbox: Sandbox, run: Run, old: OldLibrary
) -> None:
    plain, chosen = old.replaced(storage_class="STANDARD"), old.replaced(storage_class="STANDARD")
    old.picture(chosen, SINCE)
    for left, picture, why in (
        (plain, frame(plain.videos[0]), "its picture is of the video again: Kaltura made it"),
        (chosen, chosen.pictures[0], "its picture was chosen by somebody"),
    ):
        before = sandbox.kaltura.picture(left.id)
        assert before == (frame(sandbox.placeholder, OLD_FRAME_SECONDS) if left is plain else picture)
        ran = act(run, "restore", left)
        assert ran.outcomes == {left.id: "done"}, ran.err
        assert why in ran.out
        assert_back(sandbox, left)
        assert sandbox.kaltura.picture(left.id) == picture
        assert noted(sandbox, left) == ""
    assert [r.operation for r in sandbox.control.writes() if "humb" in r.operation] == []


def test_in_place_the_old_frame_is_told_by_its_time_and_a_new_one_taken(
    sandbox: Sandbox, run: Run, old: OldLibrary
) -> None:
    left, options = old.replaced(storage_class="STANDARD"), in_place(sandbox)
    dry = run("restore", "--id", left.id, *options)
    assert dry.outcomes == {left.id: "would"}
    assert "look after its picture: where it is still the placeholder's, take one of the video" in dry.out
    assert sandbox.control.writes() == []
    ran = act(run, "restore", left, *options)
    assert ran.outcomes == {left.id: "done"}, ran.err
    assert "a new picture was taken of the video: it is shown since" in ran.out
    assert_back(sandbox, left)
    assert sandbox.kaltura.picture(left.id) == frame(left.videos[0])
    assert noted(sandbox, left) == ""
    again = act(run, "restore", left, *options)
    assert again.outcomes == {left.id: "already"}


def test_the_picture_that_was_chosen_before_the_old_frame_is_shown_again(
    sandbox: Sandbox, run: Run, old: OldLibrary
) -> None:
    left = old.archived(storage_class="STANDARD")
    for default in (False, True, False):
        old.picture(left, REPLACED + 5000, default=default)
    thumbs = sandbox.kaltura.library.thumbs_of(left.id)
    old.replace(left)
    assert sandbox.kaltura.picture(left.id) == frame(sandbox.placeholder, OLD_FRAME_SECONDS)
    ran = act(run, "restore", left)
    assert ran.outcomes == {left.id: "done"}, ran.err
    assert sandbox.kaltura.picture(left.id) == left.pictures[1]
    assert sandbox.kaltura.library.thumbs_of(left.id) == thumbs
    # It is a person's from now on: it stays while the placeholder is in.
    assert act(run, "replace_video", left).outcomes == {left.id: "done"}
    assert sandbox.kaltura.picture(left.id) == left.pictures[1]


def test_slides_are_no_pictures_of_the_entry(sandbox: Sandbox, run: Run, old: OldLibrary) -> None:
    left, options = old.archived(storage_class="STANDARD"), in_place(sandbox)
    with old._ago(REPLACED - 1):
        for number in range(600):
            sandbox.kaltura.library.add_thumb(left.id, b"slide %d" % number, kind=SLIDE)
    old.replace(left)
    assert act(run, "restore", left, *options).outcomes == {left.id: "done"}
    assert sandbox.kaltura.picture(left.id) == frame(left.videos[0])
    assert len(sandbox.kaltura.library.thumbs_of(left.id)) == 600


def test_where_nothing_tells_whose_it_is_the_picture_stays_and_a_person_has_to_look(
    sandbox: Sandbox, run: Run, old: OldLibrary
) -> None:
    sandbox.kaltura.settings.picture_times = False
    left, options = old.replaced(storage_class="STANDARD"), in_place(sandbox)
    ran = act(run, "restore", left, *options)
    assert ran.outcomes == {left.id: "done"}
    assert "its picture may be the placeholder's (Kaltura does not tell since when it is shown): look at it" in ran.out
    assert "WARN" in ran.err
    assert_back(sandbox, left)
    assert sandbox.kaltura.picture(left.id) == frame(sandbox.placeholder, OLD_FRAME_SECONDS)
    health = run("explain", left.id, "--format", "json").json["state"]
    assert health["name"] == "archived"
    for command in ("repair", "restore"):
        refused = act(run, command, left)
        assert (refused.code, refused.outcomes) == (3, {left.id: "refused"})
        assert f"restore --new-picture --id {left.id}" in refused.out
    assert act(run, "restore", left, "--new-picture").outcomes == {left.id: "done"}
    assert sandbox.kaltura.picture(left.id) == frame(left.videos[0])
    assert act(run, "repair", left).outcomes == {left.id: "already"}


def test_a_person_who_chooses_one_settles_the_doubt(sandbox: Sandbox, run: Run, old: OldLibrary) -> None:
    sandbox.kaltura.settings.picture_times = False
    left, options = old.replaced(storage_class="STANDARD"), in_place(sandbox)
    assert act(run, "restore", left, *options).outcomes == {left.id: "done"}
    old.picture(left, 0)
    assert act(run, "repair", left).outcomes == {left.id: "done"}
    assert sandbox.kaltura.picture(left.id) == left.pictures[0]
    assert noted(sandbox, left) == ""


@pytest.mark.parametrize("call", ["media.updateThumbnail", "thumbAsset.list", "file.GET"])
@pytest.mark.parametrize("command", ["restore", "repair"])
def test_what_fails_with_the_picture_fails_nothing_else_and_is_made_good_later(
    sandbox: Sandbox, run: Run, old: OldLibrary, call: str, command: str
) -> None:
    left, options = old.replaced(storage_class="STANDARD"), in_place(sandbox)
    details: dict[str, Any] = {"subject": left.id} if call == "file.GET" else {"code": "SERVICE_FORBIDDEN"}
    kind = "drop_before" if call == "file.GET" else "error"
    fault = sandbox.control.add_fault(call, kind, times=10**6, **details)
    ran = act(run, "restore", left, *options)
    assert (ran.code, ran.outcomes) == (0, {left.id: "done"})
    assert "its picture was not looked after" in ran.out
    assert_back(sandbox, left)
    assert noted(sandbox, left)
    failed = act(run, command, left, *options)
    assert (failed.code, failed.outcomes) == (1, {left.id: "failed"})
    fault.times = 0
    assert "would look after its picture" in run(command, "--id", left.id).out
    assert act(run, command, left, *options).outcomes == {left.id: "done"}
    assert sandbox.kaltura.picture(left.id) == frame(left.videos[0])
    assert noted(sandbox, left) == ""


@pytest.mark.parametrize("kind", ["drop_before", "drop_after", "empty_after", "http_500"])
def test_an_answer_about_a_picture_that_is_lost_is_asked_for_again(
    sandbox: Sandbox, run: Run, old: OldLibrary, kind: str
) -> None:
    left, options = old.replaced(storage_class="STANDARD"), in_place(sandbox)
    sandbox.control.add_fault("media.updateThumbnail", kind)
    ran = act(run, "restore", left, *options)
    assert ran.outcomes == {left.id: "done"}
    assert "not looked after" not in ran.out
    assert sandbox.kaltura.picture(left.id) == frame(left.videos[0])


def test_a_picture_that_kaltura_accepts_and_does_not_take_is_told(
    sandbox: Sandbox, run: Run, old: OldLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    left, options = old.replaced(storage_class="STANDARD"), in_place(sandbox)
    monkeypatch.setattr(sandbox.kaltura.library, "take_thumb", lambda *_: None)
    ran = act(run, "restore", left, *options)
    assert ran.outcomes == {left.id: "done"}
    assert f"Kaltura accepted a new picture of {left.id} but did not take one; run repair" in ran.out
    assert noted(sandbox, left)


def test_a_note_that_cannot_be_written_stops_nothing(sandbox: Sandbox, run: Run, old: OldLibrary) -> None:
    """S3 keeps ten tags of an object, and others have set theirs."""
    left, options = old.replaced(storage_class="STANDARD"), in_place(sandbox)
    original = sandbox.kaltura.original(left.id)
    assert original is not None
    tags = {f"theirs{number}": "x" for number in range(3)}
    tags |= {"placeholder": f"{original.id}@2", "replaced-at": "2022-01-01T00:00:00Z", "settings": "set"}
    tags |= {"verified-at": "2022-01-01T00:00:00Z", "sha256": "ab" * 32, "flavor": "0_x@2", "proof": "read a b"}
    tags |= {"sha256": hashlib.sha256(left.videos[0]).hexdigest()}
    sandbox.s3.put(left.id, left.videos[0], tags=tags, checksum=False)
    ran = act(run, "restore", left, *options)
    assert ran.outcomes == {left.id: "done"}, ran.err
    assert "that its picture is to be looked after could not be noted" in ran.out
    assert sandbox.kaltura.picture(left.id) == frame(left.videos[0])


def test_a_new_picture_is_taken_whosever_the_old_one_is_and_nothing_deleted(
    sandbox: Sandbox, run: Run, old: OldLibrary
) -> None:
    left = old.replaced(storage_class="STANDARD")
    old.picture(left, SINCE)
    dry = run("restore", "--id", left.id, "--new-picture")
    assert "take a new picture of the video; remove the tag" in dry.out
    assert sandbox.control.writes() == []
    assert act(run, "restore", left, "--new-picture").outcomes == {left.id: "done"}
    assert sandbox.kaltura.picture(left.id) == frame(left.videos[0])
    [thumb] = sandbox.kaltura.library.thumbs_of(left.id)
    assert thumb.picture.read() == left.pictures[0]
    # And of one that is there already.
    sandbox.kaltura.library.choose_thumb(thumb)
    assert act(run, "restore", left, "--new-picture").outcomes == {left.id: "done"}
    assert sandbox.kaltura.picture(left.id) == frame(left.videos[0])


def test_our_own_replacement_and_restore_ask_nothing_about_pictures(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add(State.ARCHIVED)
    video = shown(sandbox, entry_id)
    for command, content in (("replace_video", sandbox.placeholder), ("restore", video)):
        assert run(command, "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "done"}
        assert sandbox.kaltura.picture(entry_id) == frame(content)
    assert sandbox.control.requests("thumbAsset.*") == []
    assert "picture" not in sandbox.s3.tags(entry_id)


def test_in_place_our_own_leaves_the_videos_picture(sandbox: Sandbox, run: Run, old: OldLibrary) -> None:
    left, options = old.archived(storage_class="STANDARD"), in_place(sandbox)
    assert act(run, "s3copy", left).outcomes == {left.id: "done"}
    for command in ("replace_video", "restore"):
        ran = act(run, command, left, *options)
        assert ran.outcomes == {left.id: "done"}, ran.err
        assert sandbox.kaltura.picture(left.id) == frame(left.videos[0])
    assert re.search(r"its picture is of [\d-]+, the placeholder came on [\d-]+: it stays", ran.out)
    assert sandbox.control.requests("media.updateThumbnail") == []


def test_a_restore_of_the_old_tools_costs_what_the_page_says(sandbox: Sandbox, run: Run, old: OldLibrary) -> None:
    sandbox.kaltura.settings.conversion_seconds = 0
    left, swapped = old.replaced(storage_class="STANDARD"), old.replaced(storage_class="STANDARD")
    original = original_of(sandbox, swapped.id)
    original.version, original.contents = 12, {12: original.contents[2]}  # of the same kind, but for its picture
    counts = []
    for entry_id in (swapped.id, left.id):
        sandbox.control.clear_log()
        assert run("restore", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "done"}
        requests = list(made(sandbox))
        first = next(n for n, (_, calls) in enumerate(requests) if calls[:2] == ["media.get", "flavorAsset.list"])
        counts.append(Counter(server for server, _ in requests[first:]))
    more = counts[1] - counts[0]
    told = re.search(r"costs (\d+) more request to Kaltura and (\d+) to S3", PAGE)
    assert told
    assert (more["kaltura"], more["s3"], more["file"]) == (int(told[1]), int(told[2]), 0)


def test_the_page_tells_every_verdict_in_the_programs_words() -> None:
    for words in (
        "its picture is of the video again: Kaltura made it", "a new picture was taken of the video",
        "its picture was chosen by somebody", "is shown again", "its picture may be the placeholder's",
    ):  # fmt: skip
        assert words in PAGE
