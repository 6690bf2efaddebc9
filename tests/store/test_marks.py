"""What protects a stored copy outlives everybody's writes: marks are objects, and tags are changed with care."""

from __future__ import annotations

import pytest
from conftest import Run
from looking import big, do_not_wait, mark_of, shown, state_of

from kaltura_archiver import survey
from kaltura_archiver.config import read_settings
from kaltura_archiver.errors import EntryFailed, StoreError
from kaltura_archiver.model import State
from kaltura_archiver.sandbox.control import Request
from kaltura_archiver.sandbox.world import Sandbox
from kaltura_archiver.store import Store


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    do_not_wait(monkeypatch)


@pytest.fixture
def store(sandbox: Sandbox, run: Run) -> Store:
    """`run` sets the environment."""
    return Store(read_settings(), read_only=False)


def mark_damaged(store: Store, entry_id: str) -> None:
    """As verify does."""
    stored = store.head(entry_id)
    assert stored is not None
    store.mark(stored, "damaged")
    store.set_tags(entry_id, damaged_at="2026-11-28T00:00:00Z", verified_at=None)


# Marks


def test_a_mark_set_while_s3copy_writes_its_tags_survives_and_is_heeded(
    sandbox: Sandbox, run: Run, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry_id = sandbox.add(State.INITIAL)
    video = shown(sandbox, entry_id)
    # Between s3copy's decision what the tags are to be and its writing them.
    sandbox.control.add_fault("s3.PutObjectTagging", subject=entry_id, before=lambda _: mark_damaged(store, entry_id))
    assert run("s3copy", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "done"}
    assert "damaged-at" not in sandbox.s3.tags(entry_id)  # S3 has no condition for tags: this is why there are marks
    for few in (40, 0):  # by a look at the copy, and by a listing
        monkeypatch.setattr(survey, "FEW", few)
        ran = run("health", "--id", entry_id)
        assert ran.code == 1
        assert "damaged" in ran.rows[0]["message"]
    ran = run("replace_video", "--id", entry_id, "--no-dry-run")
    assert ran.outcomes == {entry_id: "refused"}
    assert shown(sandbox, entry_id) == video
    assert "uploadToken.add" not in {r.operation for r in sandbox.control.requests()}


def test_a_mark_set_just_before_the_swap_stops_it(sandbox: Sandbox, run: Run, store: Store) -> None:
    entry_id = sandbox.add(State.ARCHIVED)
    video = shown(sandbox, entry_id)

    def mark(_: object) -> None:
        stored = store.head(entry_id)
        assert stored is not None
        store.mark(stored, "damaged")

    sandbox.control.add_fault("uploadToken.upload", after=mark)
    ran = run("replace_video", "--id", entry_id, "--no-dry-run")
    assert ran.outcomes == {entry_id: "refused"}, ran.err
    assert shown(sandbox, entry_id) == video
    assert state_of(run, entry_id) == State.DIVERGED


def test_a_mark_is_found_among_more_than_one_listing_shows(sandbox: Sandbox, run: Run, store: Store) -> None:
    ids = [sandbox.add(State.ARCHIVED) for _ in range(2)]
    mark_damaged(store, ids[1])
    for number in range(1001):
        sandbox.s3.put(f"suspect/0_0/{number}.damaged", b"")
    assert run("replace_video", "--id", ids[0], "--id", ids[1]).outcomes == {ids[0]: "would", ids[1]: "refused"}


def test_a_mark_of_this_run_is_known_at_once(sandbox: Sandbox, store: Store) -> None:
    entry_id = sandbox.add(State.ARCHIVED)
    before = store.head(entry_id, recent_marks=True)
    assert before
    assert not before.damaged_at
    store.mark(before, "damaged")
    after = store.head(entry_id, recent_marks=True)
    assert after
    assert after.damaged_at


def test_a_mark_is_about_the_content_that_was_read(sandbox: Sandbox, run: Run, store: Store) -> None:
    entry_id = sandbox.add(State.ARCHIVED)
    video = shown(sandbox, entry_id)
    tags, metadata = sandbox.s3.tags(entry_id), sandbox.s3.metadata(entry_id)
    sandbox.s3.put(entry_id, video[:-1] + b"?", tags=tags, metadata=metadata)
    assert run("verify", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "failed"}
    assert mark_of(sandbox, entry_id).endswith(".damaged")
    sandbox.s3.put(entry_id, video, tags=tags, metadata=metadata)  # an older version, put back by a person
    found = store.head(entry_id)
    assert found is not None
    assert not found.damaged_at
    assert state_of(run, entry_id) == State.ARCHIVED


def test_a_copy_that_verify_finds_whole_after_all_is_whole(sandbox: Sandbox, run: Run, store: Store) -> None:
    entry_id = sandbox.add(State.ARCHIVED)
    mark_damaged(store, entry_id)
    assert run("health", "--id", entry_id).code == 1
    assert run("verify", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "done"}
    assert run("health", "--id", entry_id).code == 0
    mark_damaged(store, entry_id)  # and damaged again, later
    assert run("health", "--id", entry_id).code == 1


@pytest.mark.parametrize("kind", ["damaged", "newer"])
def test_a_mark_whose_answer_is_none_of_s3s_is_not_taken_for_made(sandbox: Sandbox, store: Store, kind: str) -> None:
    entry_id = sandbox.add(State.ARCHIVED)
    stored = store.head(entry_id)
    assert stored is not None
    sandbox.control.add_fault("s3.PutObject", "empty", times=20)
    with pytest.raises(StoreError, match="mark"):
        store.mark(stored, kind) if kind == "damaged" else store.mark_newer(stored, stored)


def write_version(sandbox: Sandbox, entry_id: str, named: str, content: bytes = b"a newer video") -> str:
    sandbox.s3.put(f"{entry_id}@{named}", content, metadata={"entry-id": entry_id})
    return f"{entry_id}@{named}"


def test_of_two_marks_that_name_a_newer_copy_the_later_one_counts(sandbox: Sandbox, store: Store) -> None:
    entry_id = sandbox.add(State.ARCHIVED)
    for named in ("0_x@22", "0_x@12"):  # two runs at a time, one of which was late
        key = write_version(sandbox, entry_id, named)
        sandbox.s3.put(f"suspect/{entry_id}/newer.{named}", b"")
        sandbox.control.clock.advance(2)
    found = store.head(entry_id)
    assert found is not None
    assert (found.key, found.earlier, found.entry_id) == (key, (entry_id,), entry_id)


def test_newer_copies_that_name_each_other_are_an_error_and_end(sandbox: Sandbox, run: Run, store: Store) -> None:
    entry_id = sandbox.add(State.ARCHIVED)
    keys = [write_version(sandbox, entry_id, named) for named in ("0_x@12", "0_x@22")]
    for key, newer in zip([entry_id, *keys], [*keys, keys[0]], strict=True):
        sandbox.s3.put(f"suspect/{key}/newer.{newer.partition('@')[2]}", b"")
    with pytest.raises(StoreError, match="name each other in a circle"):
        store.head(entry_id)
    ran = run("health", "--id", entry_id)
    assert (ran.code, "in a circle" in ran.out) == (1, True)


@pytest.mark.parametrize("named", ["", "0_other", "../0_other@12", "0_x@12/..", "0_x@", "@12", "0 x@12"])
def test_a_mark_that_names_no_copy_of_the_entry_is_none(sandbox: Sandbox, store: Store, named: str) -> None:
    entry_id = sandbox.add(State.ARCHIVED)
    sandbox.s3.put(f"suspect/{entry_id}/newer.{named}", b"")
    found = store.head(entry_id)
    assert found is not None
    assert found.key == entry_id


def test_a_copy_of_another_entry_under_the_key_of_a_newer_one_is_not_taken(sandbox: Sandbox, store: Store) -> None:
    entry_id, other = sandbox.add(State.ARCHIVED), sandbox.add(State.ARCHIVED)
    sandbox.s3.put(f"{entry_id}@0_x@12", b"?", metadata={"entry-id": other})
    sandbox.s3.put(f"suspect/{entry_id}/newer.0_x@12", b"")
    with pytest.raises(StoreError, match=f"S3 answered with a copy of {other}"):
        store.head(entry_id)


def test_damage_is_told_and_marked_though_the_tags_cannot_be_written(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add(State.ARCHIVED)
    video = shown(sandbox, entry_id)
    tags = sandbox.s3.tags(entry_id)
    sandbox.s3.put(entry_id, video[:-1] + b"?", tags=tags, metadata=sandbox.s3.metadata(entry_id))
    sandbox.s3.settings.deny.add("s3.PutObjectTagging")
    ran = run("verify", "--id", entry_id, "--no-dry-run")
    assert (ran.code, ran.outcomes) == (1, {entry_id: "failed"})
    assert "MISMATCH" in ran.out
    assert sandbox.s3.tags(entry_id) == tags
    assert run("replace_video", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "refused"}


# Tags


def test_tags_that_a_scanner_sets_on_a_new_object_survive(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add(State.INITIAL)
    sandbox.control.add_fault(
        "s3.PutObject", subject=entry_id, after=lambda _: sandbox.s3.set_tags(entry_id, {"scan": "clean"})
    )
    assert run("s3copy", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "done"}
    assert sandbox.s3.tags(entry_id)["scan"] == "clean"
    assert sandbox.s3.tags(entry_id)["sha256"]


def test_tags_that_somebody_wrote_over_are_written_again_beside_theirs(sandbox: Sandbox, store: Store) -> None:
    sandbox.s3.put("0_x", b"video", tags={"other": "1"})
    sandbox.control.add_fault(
        "s3.PutObjectTagging", after=lambda _: sandbox.s3.set_tags("0_x", {"other": "1", "scan": "clean"})
    )
    store.set_tags("0_x", sha256="abc", verified_at=None)
    assert sandbox.s3.tags("0_x") == {"other": "1", "scan": "clean", "sha256": "abc"}


@pytest.mark.parametrize(("fault", "writes"), [("drop_after", 1), ("drop_before", 2), ("http_500", 2), ("empty", 2)])
def test_tags_whose_answer_is_lost_are_looked_at_before_they_are_written_again(
    sandbox: Sandbox, store: Store, fault: str, writes: int
) -> None:
    sandbox.s3.put("0_x", b"video", tags={"other": "1"})
    sandbox.control.add_fault("s3.PutObjectTagging", fault)
    store.set_tags("0_x", sha256="abc")
    assert sandbox.s3.tags("0_x") == {"other": "1", "sha256": "abc"}
    assert len(sandbox.control.requests("s3.PutObjectTagging")) == writes


def test_tags_that_never_stay_are_an_error(sandbox: Sandbox, store: Store) -> None:
    sandbox.s3.put("0_x", b"video")
    sandbox.control.add_fault("s3.PutObjectTagging", "empty", times=100)
    with pytest.raises(StoreError, match="does not have them"):
        store.set_tags("0_x", sha256="abc")
    assert len(sandbox.control.requests("s3.PutObjectTagging")) < 10


def test_what_a_tag_is_already_is_not_written(sandbox: Sandbox, store: Store) -> None:
    sandbox.s3.put("0_x", b"video", tags={"sha256": "abc"})
    store.set_tags("0_x", sha256="abc", placeholder=None)
    assert sandbox.control.requests("s3.PutObjectTagging") == []


@pytest.mark.parametrize(
    ("command", "state"),
    [("replace_video", State.ARCHIVED), ("restore", State.PLACEHOLDER), ("repair", State.NO_ORIGINAL)],
)
def test_an_object_with_ten_tags_is_refused_before_the_swap(
    sandbox: Sandbox, run: Run, command: str, state: State
) -> None:
    entry_id = sandbox.add(state)
    ours = sandbox.s3.tags(entry_id)
    sandbox.s3.set_tags(entry_id, ours | {f"cost-{number}": "x" for number in range(10 - len(ours))})
    sandbox.control.clear_log()
    ran = run(command, "--id", entry_id, "--no-dry-run")
    assert (ran.code, ran.outcomes) == (3, {entry_id: "refused"})
    assert "no room for ours" in ran.out
    assert {r.operation for r in sandbox.control.writes()} <= {"session.start", "appToken.startSession"}


def test_tags_that_fill_up_just_before_the_swap_stop_it(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add(State.ARCHIVED)
    video = shown(sandbox, entry_id)

    def fill(_: Request) -> None:
        ours = sandbox.s3.tags(entry_id)
        sandbox.s3.set_tags(entry_id, ours | {f"cost-{number}": "x" for number in range(10 - len(ours))})

    sandbox.control.add_fault("uploadToken.upload", after=fill)
    ran = run("replace_video", "--id", entry_id, "--no-dry-run")
    assert ran.outcomes == {entry_id: "refused"}, ran.err
    assert shown(sandbox, entry_id) == video
    assert "flavors_deleted" not in sandbox.kaltura.entries[entry_id].tags


def test_an_eleventh_tag_is_never_sent(sandbox: Sandbox, store: Store) -> None:
    sandbox.s3.put("0_x", b"video", tags={f"t{number}": "x" for number in range(10)})
    with pytest.raises(EntryFailed, match="remove some"):
        store.set_tags("0_x", sha256="abc")
    assert sandbox.control.requests("s3.PutObjectTagging") == []


def test_a_large_object_is_tagged_with_the_same_care(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add(State.INITIAL, content=big(sandbox, 17))
    sandbox.control.add_fault(
        "s3.CompleteMultipartUpload", after=lambda _: sandbox.s3.set_tags(entry_id, {"scan": "clean"})
    )
    assert run("s3copy", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "done"}
    assert sandbox.s3.tags(entry_id)["scan"] == "clean"
