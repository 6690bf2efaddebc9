"""A replacement that must not go through is ended for certain; one that is not ours is never taken for it."""

from __future__ import annotations

import pytest
from journeys.test_groups import recording
from looking import Run, act, displaced, do_not_wait, original_of, shown, somebody_replaces, state_of, tags_of

from kaltura_archiver.errors import Stopped
from kaltura_archiver.kaltura import Kaltura
from kaltura_archiver.model import REPLACED_TAG, State
from kaltura_archiver.sandbox.kaltura.records import Content, Token
from kaltura_archiver.sandbox.world import Sandbox

NEWER = Content.movie(150_000, 5_400_000).read()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    do_not_wait(monkeypatch)


def unwanted(sandbox: Sandbox, what: str) -> str:
    """An entry of which, while Kaltura converts its placeholder, the copy goes, or which is kept."""
    entry = sandbox.add(State.ARCHIVED)
    sandbox.kaltura.settings.conversion_seconds = 3600

    def happens(_: object) -> None:
        if what == "the copy goes":
            sandbox.s3.client().delete_object(Bucket=sandbox.s3.bucket, Key=entry)
        else:
            sandbox.kaltura.edit(entry, tags=f"{tags_of(sandbox, entry)}, keep")

    sandbox.control.add_fault("media.updateContent", "none", after=happens)
    return entry


def convert(sandbox: Sandbox) -> None:
    sandbox.control.clock.advance(4000)
    sandbox.kaltura.settle()


@pytest.mark.parametrize("kind", ["http_500", "drop_before", "drop_after"])
@pytest.mark.parametrize("what", ["the copy goes", "it is kept"])
def test_it_is_cancelled_until_it_is_over(sandbox: Sandbox, run: Run, what: str, kind: str) -> None:
    entry = unwanted(sandbox, what)
    video = shown(sandbox, entry)
    sandbox.control.add_fault("media.cancelReplace", kind, times=2)
    ran = act(run, "replace_video", entry)
    assert "the old content is in place" in ran.out
    convert(sandbox)
    assert shown(sandbox, entry) == video


@pytest.mark.parametrize("what", ["the copy goes", "it is kept"])
def test_where_it_came_in_that_moment_it_is_not_said_to_be_cancelled(sandbox: Sandbox, run: Run, what: str) -> None:
    entry = unwanted(sandbox, what)
    video = shown(sandbox, entry)
    sandbox.control.add_fault("media.cancelReplace", "none", before=lambda _: convert(sandbox))
    ran = act(run, "replace_video", entry)
    assert shown(sandbox, entry) != video
    assert "old content is in place" not in ran.out
    assert f"new content came in the moment it was cancelled: look at {entry} now" in ran.out
    assert ran.outcomes == {entry: "failed"}


def test_one_that_began_since_is_not_cancelled(sandbox: Sandbox, run: Run) -> None:
    """Ours ends by itself between our look and the call, and somebody begins another one."""
    entry = unwanted(sandbox, "it is kept")

    def somebody(_: object) -> None:
        convert(sandbox)
        somebody_replaces(sandbox, entry, NEWER)

    sandbox.control.add_fault("media.cancelReplace", "error", code="ACTION_BLOCKED", before=somebody)
    act(run, "replace_video", entry)
    assert sandbox.kaltura.entries[entry].replacement_status == "1"
    convert(sandbox)
    assert shown(sandbox, entry) == NEWER


@pytest.mark.parametrize("what", ["the copy goes", "it is kept"])
def test_an_upload_to_a_further_stream_is_only_ended_for_a_video_that_would_be_lost(
    sandbox: Sandbox, run: Run, what: str
) -> None:
    """Kaltura ends the replacements of an entry's children together with its own."""
    video = recording(sandbox, State.ARCHIVED)
    stream, original = video.streams[0], shown(sandbox, video.parent)

    def people(_: object) -> None:
        somebody_replaces(sandbox, stream, NEWER)
        if what == "it is kept":
            sandbox.kaltura.edit(video.parent, tags=f"keep, {tags_of(sandbox, video.parent)}")
        else:
            sandbox.s3.client().delete_object(Bucket=sandbox.s3.bucket, Key=video.parent)

    def slowly(_: object) -> None:
        sandbox.kaltura.settings.conversion_seconds = 3600

    sandbox.control.add_fault("media.updateContent", "none", subject=video.parent, before=slowly, after=people)
    ran = act(run, "replace_video", video.parent)
    convert(sandbox)
    if what == "it is kept":  # a restore brings it back
        assert "is not cancelled" in ran.out
        assert shown(sandbox, stream) == NEWER
        assert sandbox.s3.body(video.parent) == original
    else:
        assert f"ends the replacement of its further stream {stream}" in ran.out
        assert shown(sandbox, video.parent) == original


def test_nobody_elses_replacement_is_approved_with_ours(sandbox: Sandbox, run: Run) -> None:
    video = recording(sandbox, State.ARCHIVED)
    stream = video.streams[0]
    sandbox.kaltura.settings.replacement_approval = True
    sandbox.control.add_fault(
        "media.updateContent", "none", subject=video.parent, after=lambda _: somebody_replaces(sandbox, stream, NEWER)
    )
    ran = act(run, "replace_video", video.parent, "--approve")
    convert(sandbox)
    assert shown(sandbox, stream) != NEWER
    assert ran.outcomes[video.parent] == "waiting"
    assert f"would approve that of its further stream {stream}" in ran.out


@pytest.mark.parametrize("code", ["ACTION_BLOCKED", "LOCK_TIMED_OUT", "INVALID_KS"])
@pytest.mark.parametrize("call", ["media.approveReplace", "media.cancelReplace"])
def test_further_streams_are_looked_at_before_each_attempt(sandbox: Sandbox, run: Run, call: str, code: str) -> None:
    """Kaltura refuses the call about ours, and somebody begins an upload to a further stream."""
    video = recording(sandbox, State.ARCHIVED)
    stream, approved = video.streams[0], call == "media.approveReplace"
    sandbox.kaltura.settings.replacement_approval = approved

    def slowly(_: object) -> None:
        sandbox.kaltura.settings.conversion_seconds = 0.1 if approved else 3600

    def keep(_: object) -> None:
        if not approved:
            sandbox.kaltura.edit(video.parent, tags=f"keep, {tags_of(sandbox, video.parent)}")

    sandbox.control.add_fault("media.updateContent", "none", subject=video.parent, before=slowly, after=keep)
    sandbox.control.add_fault(
        call, "error", code=code, subject=video.parent, before=lambda _: somebody_replaces(sandbox, stream, NEWER)
    )
    ran = act(run, "replace_video", video.parent, "--approve")
    assert ran.outcomes[video.parent] == "waiting"
    assert f"further stream {stream}" in ran.out
    convert(sandbox)
    assert (shown(sandbox, stream) == NEWER) != approved


def test_it_is_looked_at_before_each_attempt_to_cancel(sandbox: Sandbox, run: Run) -> None:
    """The answer is lost of a call that was carried out, and somebody begins another replacement."""
    entry = unwanted(sandbox, "it is kept")
    sandbox.control.add_fault(
        "media.cancelReplace", "drop_after", after=lambda _: somebody_replaces(sandbox, entry, NEWER)
    )
    act(run, "replace_video", entry)
    convert(sandbox)
    assert shown(sandbox, entry) == NEWER


def test_it_is_looked_at_after_the_further_streams(sandbox: Sandbox, run: Run) -> None:
    """To ask for these takes its time: ours ends, and somebody begins another replacement."""
    entry = unwanted(sandbox, "it is kept")

    def somebody(_: object) -> None:
        convert(sandbox)
        somebody_replaces(sandbox, entry, NEWER)

    sandbox.control.add_fault("baseEntry.list", "none", skip=1, before=somebody)
    act(run, "replace_video", entry)
    convert(sandbox)
    assert shown(sandbox, entry) == NEWER


def test_it_is_cancelled_though_the_further_streams_are_not_told(sandbox: Sandbox, run: Run) -> None:
    entry = unwanted(sandbox, "the copy goes")
    video = shown(sandbox, entry)
    sandbox.control.add_fault("baseEntry.list", "error", code="SERVICE_FORBIDDEN", skip=1, times=50)
    act(run, "replace_video", entry)
    convert(sandbox)
    assert shown(sandbox, entry) == video


def test_one_that_somebody_has_approved_is_waited_for(sandbox: Sandbox, run: Run) -> None:
    sandbox.kaltura.settings.replacement_approval = True
    entry = sandbox.add(State.ARCHIVED)

    def somebody(_: object) -> None:
        library = sandbox.kaltura.library
        with library.lock:
            library.approve_replacement(library.entries[entry])
        sandbox.kaltura.settle()

    sandbox.control.add_fault("media.approveReplace", "error", code="ACTION_BLOCKED", before=somebody)
    assert act(run, "replace_video", entry, "--approve").outcomes == {entry: "done"}


def without_original(sandbox: Sandbox, left: str) -> str:
    """An entry in error, whose profile keeps no source, of which nothing plays; `left` is what is there."""
    entry = sandbox.add(State.PLACEHOLDER, derived=2)
    sandbox.control.clock.advance(86_400)
    library = sandbox.kaltura.library
    with library.lock:
        for asset in list(library.live_assets(entry)):
            if left == "nothing" or asset.is_original:
                library.delete_asset(asset)
            else:
                asset.status = -1
        library.entries[entry].status = "-1"
    library.settings.keep_source = False
    return entry


@pytest.mark.parametrize("left", ["nothing", "flavors in error"])
def test_what_went_through_without_a_source_is_not_said_to_be_cancelled(sandbox: Sandbox, run: Run, left: str) -> None:
    entry = without_original(sandbox, left)
    ran = act(run, "restore", entry)
    assert ran.outcomes == {entry: "failed"}
    assert "Kaltura keeps no original of what came" in ran.out


@pytest.mark.parametrize("left", ["nothing", "flavors in error"])
def test_what_was_cancelled_without_a_source_is_said_to_be(sandbox: Sandbox, run: Run, left: str) -> None:
    entry = without_original(sandbox, left)
    library = sandbox.kaltura.library

    def somebody(_: object) -> None:
        with library.lock:
            library.cancel_replacement(library.entries[entry])

    sandbox.control.add_fault("media.updateContent", "none", after=somebody)
    ran = act(run, "restore", entry)
    assert f"somebody cancelled the replacement of {entry}; the old content is in place" in ran.out


@pytest.mark.parametrize("left", ["nothing", "flavors in error"])
@pytest.mark.parametrize("came", [True, False])
def test_a_failure_that_is_cancelled_tells_whether_anything_came(
    sandbox: Sandbox, run: Run, left: str, *, came: bool
) -> None:
    entry = without_original(sandbox, left)
    sandbox.kaltura.settings.conversion_seconds = 3600
    sandbox.control.add_fault("media.cancelReplace", "none", before=lambda _: convert(sandbox) if came else None)

    def fails(_: object) -> None:
        sandbox.kaltura.entries[sandbox.kaltura.entries[entry].replacing_entry_id].status = "-1"

    sandbox.control.add_fault("media.updateContent", "none", after=fails)
    ran = act(run, "restore", entry)
    told = "new content came in the moment it was cancelled" if came else "the old content is in place"
    assert told in ran.out


# Whose is it, where our call was lost?


def begin_as_the_kmc_does(sandbox: Sandbox, entry: str) -> None:
    """The content call comes while the upload is still going on (kaltura-api 5.2): the new asset has no size yet."""
    library = sandbox.kaltura.library
    with library.lock:
        token = Token("0_somebody", status=1, file_name="v.mp4", data=bytearray(NEWER[:100]), uploaded_size=100)
        library.tokens[token.id] = token
        resource = {"objectType": "KalturaUploadedFileTokenResource", "token": token.id}
        library.update_content(library.entries[entry], resource)


@pytest.mark.parametrize("kept", [True, False])
def test_one_whose_content_has_no_size_yet_is_told_from_ours_by_our_token(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch, kept: bool
) -> None:
    monkeypatch.setattr("kaltura_archiver.apply.swap.UNKNOWN_SECONDS", 0.05)
    entry = sandbox.add(State.ARCHIVED)

    def somebody(_: object) -> None:
        begin_as_the_kmc_does(sandbox, entry)
        if kept:
            sandbox.kaltura.edit(entry, tags=f"{tags_of(sandbox, entry)}, keep")

    sandbox.control.add_fault("media.updateContent", "drop_before", before=somebody)
    ran = act(run, "replace_video", entry, "--timeout", "2")
    assert sandbox.kaltura.entries[entry].replacement_status == "1"
    assert "ours did not begin: wait for theirs" in ran.out


@pytest.mark.parametrize("begun", ["theirs", "theirs is there", "theirs has no size yet", "ours"])
@pytest.mark.parametrize("kind", ["drop_before", "http_500"])
def test_without_a_token_it_is_told_by_its_size(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch, kind: str, begun: str
) -> None:
    """`restore --via url`, the call of which was lost."""
    monkeypatch.setattr("kaltura_archiver.apply.swap.UNKNOWN_SECONDS", 0.05 if begun.endswith("yet") else 20.0)
    sandbox.kaltura.settings.replacement_approval = True
    entry = sandbox.add(State.PLACEHOLDER)

    def somebody(_: object) -> None:
        if begun == "theirs":
            somebody_replaces(sandbox, entry, NEWER)
        elif begun == "theirs has no size yet":
            begin_as_the_kmc_does(sandbox, entry)
        elif begun == "theirs is there":
            sandbox.kaltura.replace_original(entry, NEWER)
            original_of(sandbox, entry).size_in_bytes = 0

    if begun == "ours":
        sandbox.control.add_fault("media.updateContent", "drop_after")
    else:
        sandbox.control.add_fault("media.updateContent", kind, before=somebody)
    ran = act(run, "restore", entry, "--via", "url", "--approve", "--timeout", "20")
    assert ran.outcomes == {entry: "done" if begun == "ours" else "failed"}
    assert bool(sandbox.control.requests("media.approveReplace")) == (begun == "ours")
    assert (REPLACED_TAG in tags_of(sandbox, entry)) == (begun != "ours")
    if begun != "ours":
        assert ("wait for theirs" if begun == "theirs" else "is not known") in ran.out


@pytest.mark.parametrize("code", ["MAX_FILE_SYNCS_FOR_OBJECT_PER_DAY_REACHED", "INTERNAL_SERVERL_ERROR"])
@pytest.mark.parametrize("sized", [True, False])
def test_what_came_instead_of_ours_is_not_recorded_as_the_placeholder(
    sandbox: Sandbox, run: Run, sized: bool, code: str
) -> None:
    """Servers from before 2020 tell no bytes."""
    entry = sandbox.add(State.ARCHIVED, content=b"a lecture of an hour and a half\n" * 4000)
    sandbox.control.clock.advance(86_400)

    def somebody(_: object) -> None:
        sandbox.kaltura.replace_original(entry, NEWER)
        if not sized:
            original_of(sandbox, entry).size_in_bytes = 0

    sandbox.control.add_fault("media.updateContent", "error", code=code, before=somebody)
    assert act(run, "replace_video", entry).outcomes == {entry: "failed"}
    act(run, "restore", entry)
    assert NEWER in [shown(sandbox, entry), *(sandbox.s3.body(key) for key in displaced(sandbox))]


@pytest.mark.parametrize("same_kb", [True, False])
def test_a_video_of_which_kaltura_tells_no_bytes_is_read_before_it_is_taken_for_the_placeholder(
    sandbox: Sandbox, run: Run, same_kb: bool
) -> None:
    """It comes just after ours, before we have looked."""
    entry = sandbox.add(State.ARCHIVED, content=b"a lecture of an hour and a half\n" * 4000)
    sandbox.control.clock.advance(86_400)
    newer = bytes(reversed(sandbox.placeholder)) if same_kb else NEWER

    def somebody(_: object) -> None:
        sandbox.kaltura.settle()
        sandbox.kaltura.replace_original(entry, newer)
        original_of(sandbox, entry).size_in_bytes = 0

    sandbox.control.add_fault("media.updateContent", "none", after=somebody)
    assert act(run, "replace_video", entry).outcomes == {entry: "failed"}
    assert shown(sandbox, entry) == newer
    assert state_of(run, entry) != State.PLACEHOLDER


def test_a_placeholder_of_which_kaltura_tells_no_bytes_is_read_and_recorded(sandbox: Sandbox, run: Run) -> None:
    entry = sandbox.add(State.ARCHIVED)

    def forget(_: object) -> None:
        sandbox.kaltura.settle()
        original_of(sandbox, entry).size_in_bytes = 0

    sandbox.control.add_fault("media.updateContent", "none", after=forget)
    ran = act(run, "replace_video", entry)
    assert ran.outcomes == {entry: "done"}, ran.out
    assert state_of(run, entry) == State.PLACEHOLDER


def test_an_entry_that_is_only_locked_is_not_said_to_have_lost_a_replacement(sandbox: Sandbox, run: Run) -> None:
    """The code of two replacements in each other's way, which cancels both, comes of a lock, too (kaltura-api 5.3)."""
    sandbox.kaltura.settings.conversion_seconds = 3600
    entry = sandbox.add(State.ARCHIVED)
    sandbox.control.add_fault(
        "media.updateContent", "error", code="ENTRY_REPLACEMENT_ALREADY_EXISTS",
        before=lambda _: somebody_replaces(sandbox, entry, NEWER),
    )  # fmt: skip
    ran = act(run, "replace_video", entry)
    assert sandbox.kaltura.entries[entry].replacement_status == "1"
    assert "wait for theirs" in ran.out
    assert "cancelled" not in ran.out


@pytest.mark.parametrize("which", ["the last refusal", "a look that fails"])
def test_what_kaltura_refused_is_not_taken_for_begun(sandbox: Sandbox, run: Run, which: str) -> None:
    """Without an upload token, by which ours is told."""
    entry = sandbox.add(State.PLACEHOLDER)
    sandbox.kaltura.settings.replacement_approval = True
    tried: list[int] = []

    def somebody(_: object) -> None:
        tried.append(1)
        if len(tried) == (5 if which == "the last refusal" else 1):
            somebody_replaces(sandbox, entry, NEWER)
            if which == "a look that fails":
                sandbox.control.add_fault("multirequest", "http_500", times=5)

    for _ in range(5):
        sandbox.control.add_fault("media.updateContent", "error", code="LOCK_TIMED_OUT", before=somebody)
    ran = act(run, "restore", entry, "--via", "url", "--approve")
    assert ran.outcomes == {entry: "failed"}
    assert "media.approveReplace" not in [request.operation for request in sandbox.control.requests()]


def test_a_stop_after_a_refusal_leaves_no_tag(sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    entry, armed, pause = sandbox.add(State.ARCHIVED), [], Kaltura._pause

    def stopping(kaltura: Kaltura, seconds: float) -> bool:
        if armed:
            armed.clear()
            raise Stopped("asked to stop")
        return pause(kaltura, seconds)

    monkeypatch.setattr(Kaltura, "_pause", stopping)
    sandbox.control.add_fault("media.updateContent", "error", code="LOCK_TIMED_OUT", before=armed.append)
    assert act(run, "replace_video", entry).outcomes == {entry: "interrupted"}
    assert REPLACED_TAG not in tags_of(sandbox, entry)
