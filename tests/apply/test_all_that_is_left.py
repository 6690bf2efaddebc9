"""What plays of an entry may be all that is left of a video: nothing takes its place before S3 is proven to have it."""

from __future__ import annotations

import pytest
from conftest import Run
from looking import act, assets_of, content_id, displaced, do_not_wait, original_of, shown, state_of, tags_of, writes

from kaltura_archiver import survey
from kaltura_archiver.model import ARCHIVED_TAG, REPLACED_TAG, THIN_TAG, State
from kaltura_archiver.sandbox.kaltura.records import Asset, Content, new_id
from kaltura_archiver.sandbox.world import Sandbox

VIDEO = b"a lecture of an hour and a half\n" * 4000
NEWER = Content.movie(150_000, 5_400_000).read()
OTHER = b"another video altogether, of the old tool\n" * 3500
DAY = 86_400


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    do_not_wait(monkeypatch)


def lecture(sandbox: Sandbox, state: State = State.ARCHIVED, **fields: object) -> str:
    return sandbox.add(state, content=VIDEO, **({"derived": 3, "duration_ms": 5_400_000} | fields))


def sizes(sandbox: Sandbox, entry_id: str) -> dict[int, int]:
    return {params: asset.size_in_bytes for params, asset in assets_of(sandbox, entry_id).items()}


def aside(sandbox: Sandbox) -> list[bytes | None]:
    return [sandbox.s3.body(key) for key in displaced(sandbox)]


def source_beside(sandbox: Sandbox, entry_id: str, *, status: int = 2) -> Asset:
    second = Asset(new_id(), entry_id, 99, is_original=True, version=2, status=status)
    second.store(Content.of(NEWER), 2)
    second.updated_at = second.created_at = int(sandbox.control.clock.now())
    sandbox.kaltura.library.put_asset(second)
    return second


@pytest.mark.parametrize("command", ["thin", "repair", "replace_video"])
def test_a_newer_video_is_not_taken_for_the_flavor_that_thin_left(sandbox: Sandbox, run: Run, command: str) -> None:
    """Thin was killed before its record; then somebody uploaded another video, of which only flavors are left."""
    entry_id = lecture(sandbox)
    sandbox.control.clock.advance(DAY)
    sandbox.kaltura.edit(entry_id, tags=f"{ARCHIVED_TAG}, {THIN_TAG}")
    sandbox.take_original_away(entry_id)
    assert state_of(run, entry_id) == "half-thin"
    sandbox.kaltura.replace_original(entry_id, NEWER)
    sandbox.take_original_away(entry_id)
    sandbox.control.clock.advance(DAY)
    before = sizes(sandbox, entry_id)
    assert state_of(run, entry_id) == "diverged"
    assert act(run, command, entry_id).outcomes == {entry_id: "refused"}
    assert sizes(sandbox, entry_id) == before
    ran = run("resolve", entry_id, "--keep", "s3", "--no-dry-run")
    assert ran.outcomes == {entry_id: "done"}
    assert [len(body or b"") for body in aside(sandbox)] == [max(before.values())]


@pytest.mark.parametrize("command", ["repair", "replace_video"])
@pytest.mark.parametrize("bad", ["damaged", "empty", "unproven"])
def test_no_placeholder_takes_the_place_of_the_last_flavors(sandbox: Sandbox, run: Run, command: str, bad: str) -> None:
    entry_id = lecture(sandbox)
    sandbox.kaltura.edit(entry_id, tags=f"{ARCHIVED_TAG}, {REPLACED_TAG}")  # replace_video was killed before its swap
    sandbox.take_original_away(entry_id)  # and a person deletes the source
    if bad == "unproven":
        sandbox.s3.put(entry_id, OTHER, metadata=sandbox.s3.metadata(entry_id))
        sandbox.control.clock.advance(DAY)
    else:
        body = b"" if bad == "empty" else VIDEO[:-1] + b"?"
        sandbox.s3.put(entry_id, body, tags=sandbox.s3.tags(entry_id), metadata=sandbox.s3.metadata(entry_id))
        assert act(run, "verify", entry_id).outcomes == {entry_id: "failed"}
    before = sizes(sandbox, entry_id)
    ran = act(run, command, entry_id)
    assert ran.outcomes == {entry_id: "refused"}
    assert "not proven that S3 has the original" in ran.out
    assert sizes(sandbox, entry_id) == before


@pytest.mark.parametrize("command", ["repair", "restore"])
@pytest.mark.parametrize("known", [True, False])
def test_what_plays_is_kept_where_an_unproven_copy_takes_its_place(
    sandbox: Sandbox, run: Run, command: str, *, known: bool
) -> None:
    """The old tool's copy is not this video; `known`: s3copy has read both, and has marked it."""
    entry_id = lecture(sandbox)
    sandbox.s3.put(entry_id, VIDEO[::-1] if known else OTHER)
    if known:
        act(run, "s3copy", entry_id)
    assert state_of(run, entry_id) == "diverged"
    sandbox.control.clock.advance(DAY)
    sandbox.take_original_away(entry_id)
    best = max(sizes(sandbox, entry_id).values())
    assert act(run, command, entry_id).outcomes == {entry_id: "done"}
    assert [len(body or b"") for body in aside(sandbox)] == [best]


@pytest.mark.parametrize("size", ["bytes", "kb"])
@pytest.mark.parametrize("command", ["repair", "restore", "resolve"])
def test_a_newer_upload_in_error_is_nobodys_to_overwrite(sandbox: Sandbox, run: Run, size: str, command: str) -> None:
    entry_id = sandbox.add(State.ARCHIVED, content=VIDEO, derived=0)
    sandbox.control.clock.advance(DAY)
    sandbox.kaltura.replace_original(entry_id, NEWER)
    original = original_of(sandbox, entry_id)
    original.status = -1
    sandbox.kaltura.edit(entry_id, status="-1")
    if size == "kb":
        original.size_in_bytes = 0
    assert state_of(run, entry_id) == "diverged"
    if command == "resolve":
        ran = run("resolve", entry_id, "--keep", "s3", "--no-dry-run")
        assert "cannot be read, so it would not be kept" in ran.out
    else:
        ran = act(run, command, entry_id)
    assert ran.outcomes == {entry_id: "refused"}
    original.status = 2
    assert shown(sandbox, entry_id) == NEWER
    assert tags_of(sandbox, entry_id) == ARCHIVED_TAG


def test_a_further_source_that_a_restore_displaces_is_kept(sandbox: Sandbox, run: Run) -> None:
    entry_id = lecture(sandbox, State.PLACEHOLDER)
    source_beside(sandbox, entry_id)
    ran = act(run, "restore", entry_id)
    assert ran.outcomes == {entry_id: "done"}, ran.out
    assert aside(sandbox) == [NEWER]


def test_a_further_source_that_comes_while_the_copy_is_sent_stops_the_restore(sandbox: Sandbox, run: Run) -> None:
    entry_id = lecture(sandbox, State.PLACEHOLDER)
    came: list[Asset] = []

    def comes(_: object) -> None:
        if not came:
            came.append(source_beside(sandbox, entry_id))

    sandbox.control.add_fault("uploadToken.upload", before=comes)
    ran = act(run, "restore", entry_id)
    assert ran.outcomes == {entry_id: "failed"}
    assert "somebody added a source flavor" in ran.out
    assert came[0].status == 2


@pytest.mark.parametrize("status", [0, 1, 7])
def test_a_further_source_that_is_still_being_made_is_waited_for(sandbox: Sandbox, run: Run, status: int) -> None:
    entry_id = lecture(sandbox)
    second = source_beside(sandbox, entry_id, status=status)
    assert act(run, "replace_video", entry_id).outcomes == {entry_id: "waiting"}
    assert second.status == status


@pytest.mark.parametrize("arguments", [("replace_video",), ("thin",), ("thin", "--derived-only")], ids=" ".join)
def test_a_further_source_in_error_does_not_go(sandbox: Sandbox, run: Run, arguments: tuple[str, ...]) -> None:
    """Somebody has added a source, and its conversion failed: Kaltura has its file, and S3 has not."""
    command, *options = arguments
    entry_id = lecture(sandbox)
    second = source_beside(sandbox, entry_id, status=-1)
    ran = act(run, command, entry_id, *options)
    assert ran.outcomes == {entry_id: "refused"}
    assert f"S3 does not have {second.id} (ERROR): a further source flavor" in ran.out
    assert not writes(sandbox)
    second.status = 3
    assert act(run, "replace_video", entry_id).outcomes == {entry_id: "done"}


def test_a_further_source_in_error_is_not_displaced(sandbox: Sandbox, run: Run) -> None:
    entry_id = lecture(sandbox, State.PLACEHOLDER)
    second = source_beside(sandbox, entry_id, status=-1)
    for ran in (run("restore", "--id", entry_id), act(run, "restore", entry_id)):
        assert ran.outcomes == {entry_id: "refused"}
        assert f"{second.id} (ERROR): a further source flavor that cannot be read" in ran.out
    assert not writes(sandbox)
    second.status = 3
    assert act(run, "restore", entry_id).outcomes == {entry_id: "done"}


def test_a_source_that_fails_at_the_last_moment_stops_a_swap(sandbox: Sandbox, run: Run) -> None:
    entry_id = lecture(sandbox)
    came: list[Asset] = []
    sandbox.control.add_fault(
        "uploadToken.add", after=lambda _: came.append(source_beside(sandbox, entry_id, status=-1)), subject=""
    )
    ran = act(run, "replace_video", entry_id)
    assert ran.outcomes == {entry_id: "failed"}
    assert "has a further source flavor" in ran.out
    assert came[0].status == -1
    assert shown(sandbox, entry_id) == VIDEO


def test_derived_only_takes_no_original_away_where_thin_was_cut(sandbox: Sandbox, run: Run) -> None:
    entry_id = lecture(sandbox)
    sandbox.kaltura.edit(entry_id, tags=f"{ARCHIVED_TAG}, {THIN_TAG}")
    before = sizes(sandbox, entry_id)
    assert act(run, "thin", entry_id, "--derived-only").outcomes == {entry_id: "refused"}
    assert sizes(sandbox, entry_id) == before


@pytest.mark.parametrize("how", ["displaced", "url"])
def test_a_resolve_that_fails_leaves_no_tag(sandbox: Sandbox, run: Run, how: str) -> None:
    """Else a copy without tags and another video are taken for the placeholder and its original."""
    entry_id = lecture(sandbox)
    sandbox.s3.put(entry_id, OTHER)
    if how == "displaced":
        key = f"displaced/{entry_id}/{content_id(sandbox, entry_id)}"
        sandbox.control.add_fault("s3.PutObject", "http_500", times=50, subject=key)
    else:
        sandbox.kaltura.settings.fail_imports = 1
    ran = run("resolve", entry_id, "--keep", "s3", "--no-dry-run", *(("--via", "url") if how == "url" else ()))
    assert ran.outcomes == {entry_id: "failed"}
    sandbox.control.clear_faults()
    assert (tags_of(sandbox, entry_id), state_of(run, entry_id)) == (ARCHIVED_TAG, "diverged")
    assert run("resolve", entry_id, "--keep", "kaltura", "--no-dry-run").outcomes == {entry_id: "done"}


@pytest.mark.parametrize("command", ["replace_video", "restore"])
def test_a_profile_that_keeps_no_source_is_told_of_an_entry_that_had_none(
    sandbox: Sandbox, run: Run, command: str
) -> None:
    entry_id = lecture(sandbox, State.THIN)
    sandbox.kaltura.settings.keep_source = False
    ran = act(run, command, entry_id)
    assert ran.outcomes == {entry_id: "failed"}
    assert "Kaltura keeps no original of what came" in ran.out
    assert "the old content is in place" not in ran.out


def test_what_was_found_different_by_mistake_is_stored_once_more(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add(State.PLACEHOLDER)
    act(run, "restore", entry_id)
    sandbox.kaltura.replace_original(entry_id, sandbox.video())
    assert act(run, "s3copy", entry_id).outcomes == {entry_id: "done"}
    sandbox.control.add_fault("file.GET", "flip", times=2)  # Kaltura's host gives wrong bytes twice
    assert act(run, "replace_video", entry_id).outcomes == {entry_id: "failed"}
    assert state_of(run, entry_id) == "diverged"
    assert run("resolve", entry_id, "--keep", "kaltura", "--no-dry-run").outcomes == {entry_id: "done"}
    assert state_of(run, entry_id) == "archived"


@pytest.mark.parametrize("what", ["damaged", "empty"])
@pytest.mark.parametrize(
    ("command", "state"),
    [("s3copy", State.PLACEHOLDER), ("s3copy", State.THIN), ("replace_video", State.PLACEHOLDER)],
)
def test_nothing_is_called_done_already_over_a_bad_copy(
    sandbox: Sandbox, run: Run, what: str, command: str, state: State
) -> None:
    entry_id = lecture(sandbox, state)
    body = b"" if what == "empty" else VIDEO[:-1] + b"?"
    sandbox.s3.put(entry_id, body, tags=sandbox.s3.tags(entry_id), metadata=sandbox.s3.metadata(entry_id))
    assert act(run, "verify", entry_id).outcomes == {entry_id: "failed"}
    assert act(run, command, entry_id).outcomes == {entry_id: "refused"}


def test_an_empty_copy_without_tags_is_not_whole(sandbox: Sandbox, run: Run) -> None:
    entry_id = lecture(sandbox, State.PLACEHOLDER)
    sandbox.s3.put(entry_id, b"")
    ran = act(run, "verify", entry_id)
    assert ran.outcomes == {entry_id: "failed"}
    assert "it is empty" in ran.out


@pytest.mark.parametrize("few", [40, 0])
def test_a_copy_that_went_is_missed_by_the_tag_of_thin_alone(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr(survey, "FEW", few)
    entry_id = lecture(sandbox, State.THIN)
    sandbox.kaltura.edit(entry_id, tags=THIN_TAG)
    sandbox.s3.client().delete_object(Bucket=sandbox.s3.bucket, Key=entry_id)
    assert run("health").rows[0]["message"].startswith("lost")
    assert act(run, "verify", entry_id).outcomes == {entry_id: "failed"}


def test_nothing_is_recorded_as_kept_beside_a_copy_that_was_overwritten(sandbox: Sandbox, run: Run) -> None:
    entry_id = lecture(sandbox, State.THIN)
    sandbox.s3.put(entry_id, OTHER)
    assert act(run, "repair", entry_id).outcomes == {entry_id: "refused"}
    assert run("health", "--id", entry_id).code == 1
    best = max(sizes(sandbox, entry_id).values())
    assert act(run, "restore", entry_id).outcomes == {entry_id: "done"}
    assert [len(body or b"") for body in aside(sandbox)] == [best]


@pytest.mark.parametrize("state", [State.INITIAL, State.UNBACKED])
def test_the_placeholder_alone_is_no_video(sandbox: Sandbox, run: Run, state: State) -> None:
    """A clone of a replaced entry whose tags a person has cleaned up, for one."""
    entry_id = sandbox.add(state, content=sandbox.placeholder)
    assert run("health", "--id", entry_id).code == 1
    for command in ("s3copy", "restore", "repair", "replace_video"):
        assert act(run, command, entry_id).outcomes == {entry_id: "refused"}


@pytest.mark.parametrize("way", ["thin", "thaw"])
def test_tags_of_ours_that_go_keep_no_video_from_coming_back(sandbox: Sandbox, run: Run, way: str) -> None:
    """S3 keeps ten tags of an object, of which three are others' here."""
    if way == "thin":
        entry_id = lecture(sandbox)
    else:
        entry_id = sandbox.add(State.PLACEHOLDER, content=VIDEO, storage_class="GLACIER")
    sandbox.s3.set_tags(entry_id, sandbox.s3.tags(entry_id) | {"cost": "1", "dept": "2", "owner": "3"})
    if way == "thin":
        assert act(run, "thin", entry_id).outcomes == {entry_id: "done"}
    else:
        assert act(run, "restore", entry_id).outcomes == {entry_id: "waiting"}
        sandbox.control.clock.advance(2 * DAY)
    assert act(run, "restore", entry_id).outcomes == {entry_id: "done"}
    assert {"cost", "dept", "owner"} <= sandbox.s3.tags(entry_id).keys()


def test_a_newer_video_of_the_minute_of_the_copy_counts_as_newer(sandbox: Sandbox, run: Run) -> None:
    """The copy's time is by our clock, a flavor's by Kaltura's."""
    entry_id = lecture(sandbox)
    sandbox.kaltura.replace_original(entry_id, NEWER)
    for asset in assets_of(sandbox, entry_id).values():
        asset.updated_at = int(sandbox.control.clock.now()) - 60
    sandbox.take_original_away(entry_id)
    assert state_of(run, entry_id) == "diverged"


def test_labels_of_flavors_that_a_second_thin_drops_come_back(sandbox: Sandbox, run: Run) -> None:
    entry_id = lecture(sandbox)
    assert act(run, "thin", entry_id, "--derived", "none").outcomes == {entry_id: "done"}
    assets_of(sandbox, entry_id)[3].language = "German"
    assert act(run, "thin", entry_id).outcomes == {entry_id: "done"}
    assert act(run, "restore", entry_id).outcomes == {entry_id: "done"}
    sandbox.kaltura.settle()
    act(run, "repair", entry_id)
    assert assets_of(sandbox, entry_id)[3].language == "German"


def test_labels_of_the_old_video_are_not_set_on_a_newer_one_that_stays(sandbox: Sandbox, run: Run) -> None:
    entry_id = lecture(sandbox)
    original_of(sandbox, entry_id).language = "German"
    assert act(run, "replace_video", entry_id).outcomes == {entry_id: "done"}
    sandbox.kaltura.replace_original(entry_id, NEWER)
    original_of(sandbox, entry_id).language = "English"
    assert run("resolve", entry_id, "--keep", "kaltura", "--no-dry-run").outcomes == {entry_id: "done"}
    assert original_of(sandbox, entry_id).language == "English"


def test_who_downloads_is_told_that_what_plays_is_perhaps_newer(sandbox: Sandbox, run: Run) -> None:
    entry_id = lecture(sandbox)
    sandbox.control.clock.advance(DAY)
    sandbox.kaltura.replace_original(entry_id, NEWER)
    sandbox.take_original_away(entry_id)
    ran = run("download", "--id", entry_id, "-o", "v.mp4")
    assert ran.code == 0
    assert "what plays in Kaltura is perhaps a newer video" in ran.err
