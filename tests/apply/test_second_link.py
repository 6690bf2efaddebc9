"""The server sets an original's file a second time, some seconds after a swap (kaltura-api 10.16): before, during and
after whatever is done next."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from conftest import Run
from looking import (
    BOTH,
    content_id,
    do_not_wait,
    shown,
    somebody_replaces,
    state_of,
    tags_of,
)

from kaltura_archiver.model import ARCHIVED_TAG, State
from kaltura_archiver.sandbox.world import Sandbox

ACT = "--no-dry-run"
CODE = "INTERNAL_DATABASE_ERROR"


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    do_not_wait(monkeypatch)
    monkeypatch.setenv("KALTURA_SETTLE_SECONDS", "0.05")


@pytest.fixture
def held(sandbox: Sandbox) -> Sandbox:
    """Every swap is followed by a second link, which waits to be let go."""
    sandbox.kaltura.settings.second_link_seconds = math.inf
    sandbox.kaltura.settings.second_link_always = True
    return sandbox


def link_again(sandbox: Sandbox, entry_id: str) -> None:
    sandbox.kaltura.library.link_again(entry_id)


def outcome(run: Run, command: str, entry_id: str, *options: object) -> str:
    return run(command, "--id", entry_id, ACT, *options).outcomes[entry_id]


def other_placeholder(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path("other.mp4")
    path.write_bytes(sandbox.placeholder + b"\0\0\0\x08free")
    monkeypatch.setenv("PLACEHOLDER_VIDEO", str(path))


def test_a_placeholder_that_was_linked_again_is_known_when_another_one_is_set(
    held: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its size and hash, which are recorded: not by PLACEHOLDER_VIDEO, nor by the version."""
    entry_id = held.add(State.ARCHIVED)
    video = held.s3.body(entry_id)
    assert outcome(run, "replace_video", entry_id) == "done"
    link_again(held, entry_id)
    other_placeholder(held, monkeypatch)
    assert state_of(run, entry_id) == "placeholder"
    assert run("health", "--id", entry_id).code == 0
    assert outcome(run, "restore", entry_id) == "done"
    held.kaltura.settings.second_link_seconds = 0
    assert video is not None
    assert shown(held, entry_id) == video


@pytest.mark.parametrize("when", ["at once", "while it is read back", "after the run"])
def test_after_a_restore_the_identity_stays_certain_and_nothing_is_read_again(
    held: Sandbox, run: Run, when: str
) -> None:
    entry_id = held.add(State.PLACEHOLDER)
    video = held.s3.body(entry_id)
    assert video is not None
    if when == "at once":
        held.kaltura.settings.second_link_seconds = 0
    elif when == "while it is read back":
        held.control.add_fault("file.GET", after=lambda _: link_again(held, entry_id))
    assert outcome(run, "restore", entry_id) == "done"
    if when == "after the run":
        link_again(held, entry_id)
    assert content_id(held, entry_id).endswith("@32")
    held.control.clear_log()
    assert outcome(run, "s3copy", entry_id) == "already"
    assert held.control.requests("file.GET") == []
    assert run("replace_video", "--id", entry_id).outcomes == {entry_id: "would"}
    assert state_of(run, entry_id) == "archived"


def test_no_replacement_is_begun_before_the_last_one_is_over(sandbox: Sandbox, run: Run) -> None:
    """Where the source is the only flavor, the second link always comes: it is waited for."""
    sandbox.kaltura.settings.second_link_seconds = math.inf
    entry_id = sandbox.add(State.ARCHIVED, derived=0)
    video = sandbox.s3.body(entry_id)
    assert video is not None
    assert outcome(run, "replace_video", entry_id) == "done"
    sandbox.control.clear_log()
    ran = run("restore", "--id", entry_id, ACT)
    assert (ran.code, ran.outcomes) == (3, {entry_id: "waiting"})
    assert "has not ended the last replacement" in ran.err
    assert sandbox.control.requests("media.updateContent") == []
    sandbox.kaltura.library.link_again(entry_id)
    sandbox.kaltura.settings.second_link_seconds = 0
    assert outcome(run, "restore", entry_id) == "done"
    assert shown(sandbox, entry_id) == video
    assert run("health", "--id", entry_id).code == 0


@pytest.mark.parametrize(("command", "state"), [("restore", State.PLACEHOLDER), ("replace_video", State.ARCHIVED)])
def test_a_replacement_that_kaltura_throws_away_is_said_to_be_and_made_again(
    held: Sandbox, run: Run, command: str, state: State
) -> None:
    entry_id = held.add(State.ARCHIVED)
    video = held.s3.body(entry_id)
    assert video is not None
    assert outcome(run, "replace_video", entry_id) == "done"
    if state is State.ARCHIVED:
        assert outcome(run, "restore", entry_id) == "done"
        held.kaltura.library._second_links[entry_id].pop(0)
    before, tags = shown(held, entry_id), tags_of(held, entry_id)
    held.control.add_fault("media.updateContent", after=lambda _: link_again(held, entry_id))
    ran = run(command, "--id", entry_id, ACT)
    assert (ran.code, ran.outcomes) == (3, {entry_id: "waiting"}), ran.err
    assert "thrown away by Kaltura" in ran.err
    assert (shown(held, entry_id), tags_of(held, entry_id)) == (before, tags)
    held.kaltura.settings.second_link_seconds = 0
    assert outcome(run, command, entry_id) == "done"
    assert shown(held, entry_id) == (video if command == "restore" else held.placeholder)


def test_a_placeholder_that_comes_back_over_a_restored_original_is_seen_and_healed(held: Sandbox, run: Run) -> None:
    entry_id = held.add(State.ARCHIVED)
    video = held.s3.body(entry_id)
    assert video is not None
    assert outcome(run, "replace_video", entry_id) == "done"
    assert outcome(run, "restore", entry_id) == "done"
    held.kaltura.library._second_links[entry_id].pop()  # the restore's own came before its switch
    link_again(held, entry_id)
    assert shown(held, entry_id) == held.placeholder
    ran = run("health", "--id", entry_id)
    assert ran.code == 1
    assert "put the placeholder back over the restored original" in ran.out
    # It was restored because somebody wanted it: it is not made a placeholder again.
    assert outcome(run, "replace_video", entry_id) == "refused"
    held.kaltura.settings.second_link_seconds = 0
    assert outcome(run, "repair", entry_id) == "done"
    assert shown(held, entry_id) == video
    assert tags_of(held, entry_id) == ARCHIVED_TAG
    assert state_of(run, entry_id) == "archived"


@pytest.mark.parametrize("look", ["flavorAsset.list", "multirequest"], ids=["before our first look", "after it"])
def test_a_placeholder_that_comes_back_while_a_restore_settles_is_not_called_done(
    held: Sandbox, run: Run, look: str
) -> None:
    entry_id = held.add(State.ARCHIVED)
    video = held.s3.body(entry_id)
    assert video is not None
    assert outcome(run, "replace_video", entry_id) == "done"
    links = held.kaltura.library._second_links

    def late(_: object) -> None:
        if len(links.get(entry_id, ())) == 2:  # the restore's switch is done: only the placeholder's own is let go
            links[entry_id].pop()
            link_again(held, entry_id)

    held.control.add_fault(look, times=1000, before=late)
    ran = run("restore", "--id", entry_id, ACT)
    held.control.clear_faults()
    assert (ran.code, ran.outcomes) == (3, {entry_id: "waiting"}), ran.err
    assert "back over the original" in ran.err
    assert state_of(run, entry_id) == "placeholder"
    assert run("health", "--id", entry_id).code == 0
    held.kaltura.settings.second_link_seconds = 0
    assert outcome(run, "restore", entry_id) == "done"
    assert shown(held, entry_id) == video


@pytest.mark.parametrize("many", [False, True])
def test_a_placeholder_over_somebodys_newer_video_is_not_healthy(held: Sandbox, run: Run, many: bool) -> None:
    """Uploaded before the second link came: that put our placeholder over it."""
    entry_id = held.add(State.ARCHIVED)
    for _ in range(45 if many else 0):  # so that the bucket is listed
        held.add(State.ARCHIVED)
    assert outcome(run, "replace_video", entry_id) == "done"
    held.kaltura.replace_original(entry_id, b"a newer lecture" * 500)
    assert state_of(run, entry_id) == "diverged"
    link_again(held, entry_id)
    assert shown(held, entry_id) == held.placeholder
    ran = run("health", *([] if many else ["--id", entry_id]))
    assert ran.code == 1
    (row,) = [row for row in ran.rows if row["entry_id"] == entry_id]
    assert row["status-ok"] == "False"
    assert "lies over version 22" in row["message"]
    assert outcome(run, "repair", entry_id) == "refused"


def test_a_newer_video_that_was_there_before_our_first_look_is_told_from_the_placeholder(
    held: Sandbox, run: Run
) -> None:
    entry_id = held.add(State.ARCHIVED)
    newer = b"a newer lecture" * 500
    held.control.add_fault("s3.HeadObject", times=1000, before=lambda _: newer_once(held, entry_id, newer))
    ran = run("replace_video", "--id", entry_id, ACT)
    held.control.clear_faults()
    assert ran.outcomes == {entry_id: "failed"}, ran.err
    assert state_of(run, entry_id) == "diverged"
    link_again(held, entry_id)
    assert run("health", "--id", entry_id).code == 1


def newer_once(sandbox: Sandbox, entry_id: str, newer: bytes) -> None:
    original = sandbox.kaltura.original(entry_id)
    if original is not None and original.version == 12 and shown(sandbox, entry_id) == sandbox.placeholder:
        sandbox.kaltura.replace_original(entry_id, newer)


def test_an_original_of_the_placeholders_size_is_told_by_its_bytes(sandbox: Sandbox, run: Run) -> None:
    """A person's video of just that size over the placeholder: never taken for it, and kept when it is displaced."""
    entry_id = sandbox.add(State.PLACEHOLDER)
    same_size = bytes(reversed(sandbox.placeholder))
    sandbox.kaltura.replace_original(entry_id, same_size)
    sandbox.kaltura.replace_original(entry_id, same_size)
    assert state_of(run, entry_id) == "diverged"
    assert outcome(run, "restore", entry_id) == "refused"
    assert shown(sandbox, entry_id) == same_size


def test_what_cannot_be_read_is_not_called_healthy(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add(State.PLACEHOLDER)
    tags = sandbox.s3.tags(entry_id)
    sandbox.s3.put(entry_id, sandbox.s3.body(entry_id), tags={name: tags[name] for name in ("sha256", "flavor")})
    sandbox.control.add_fault("file.GET", "empty", times=100)
    ran = run("health", "--id", entry_id)
    assert ran.code == 1
    assert "could not be read" in ran.out
    sandbox.control.clear_faults()
    assert run("health", "--id", entry_id).code == 0
    # Recorded once, it need not be read any more.
    assert outcome(run, "repair", entry_id) == "done"
    sandbox.control.clear_log()
    assert run("health", "--id", entry_id).code == 0
    assert sandbox.control.requests("file.GET") == []


# A person in the same moments (issue: tags, a replacement, a database that is away)


def test_both_of_our_tags_are_put_back_when_a_person_saves_an_old_form(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add(State.ARCHIVED, tags="lecture")
    sandbox.control.add_fault(
        "media.updateContent", after=lambda _: sandbox.kaltura.edit(entry_id, tags="lecture, physics")
    )
    assert outcome(run, "replace_video", entry_id) == "done"
    assert set(tags_of(sandbox, entry_id).split(", ")) == {"lecture", "physics", *BOTH.split(", ")}
    assert state_of(run, entry_id) == "placeholder"


def test_the_tag_archived_is_put_back_after_a_restore(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add(State.PLACEHOLDER)
    video = sandbox.s3.body(entry_id)
    assert video is not None
    sandbox.control.add_fault("media.updateContent", after=lambda _: sandbox.kaltura.edit(entry_id, tags="lecture"))
    assert outcome(run, "restore", entry_id) == "done"
    assert tags_of(sandbox, entry_id) == f"lecture, {ARCHIVED_TAG}"


def test_a_replacement_that_ours_has_cancelled_is_told(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add(State.ARCHIVED)
    before = shown(sandbox, entry_id)
    sandbox.kaltura.settings.conversion_seconds = 3600
    sandbox.control.add_fault(
        "media.updateContent", "none", before=lambda _: somebody_replaces(sandbox, entry_id, b"newer" * 500)
    )
    ran = run("replace_video", "--id", entry_id, ACT)
    assert (ran.code, ran.outcomes) == (1, {entry_id: "failed"})
    assert "they have to upload it again" in ran.err
    assert (shown(sandbox, entry_id), tags_of(sandbox, entry_id)) == (before, ARCHIVED_TAG)


@pytest.mark.parametrize("seconds", ["some", "many"])
def test_a_database_that_is_away_at_the_swap_leaves_nothing_unsaid(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch, seconds: str
) -> None:
    monkeypatch.setattr("kaltura_archiver.apply.swap.UNKNOWN_SECONDS", 0.2 if seconds == "many" else 60.0)
    entry_id = sandbox.add(State.ARCHIVED)
    before = shown(sandbox, entry_id)

    def away(_: object) -> None:
        for operation in ("media.get", "flavorAsset.list", *(["multirequest"] if seconds == "many" else [])):
            sandbox.control.add_fault(operation, "error", code=CODE, times=8 if seconds == "some" else 10**6)

    sandbox.control.add_fault("media.updateContent", "error", code=CODE, before=away)
    ran = run("replace_video", "--id", entry_id, ACT)
    sandbox.control.clear_faults()
    assert (ran.code, ran.outcomes) == (1, {entry_id: "failed"}), ran.err
    assert shown(sandbox, entry_id) == before
    if seconds == "some":
        assert tags_of(sandbox, entry_id) == ARCHIVED_TAG
    else:
        assert "is not known: its tags stay" in ran.err
        assert outcome(run, "repair", entry_id) == "done"
    assert state_of(run, entry_id) == "archived"


def test_a_video_that_came_in_the_placeholders_stead_is_told_from_what_it_replaced(held: Sandbox, run: Run) -> None:
    """What was recorded of the replacement: a placeholder that a late job puts over that video lies over somebody's."""
    entry_id = held.add(State.ARCHIVED)
    newer = b"a newer lecture" * 500
    held.control.add_fault("flavorAsset.list", times=1000, before=lambda _: newer_once(held, entry_id, newer))
    ran = run("replace_video", "--id", entry_id, ACT)
    assert ran.outcomes == {entry_id: "failed"}
    assert "was another video uploaded meanwhile?" in ran.out
    assert state_of(run, entry_id) == "diverged"
    held.control.clear_faults()
    link_again(held, entry_id)
    assert shown(held, entry_id) == held.placeholder
    assert "lies over" in run("health", "--id", entry_id).rows[0]["message"]
