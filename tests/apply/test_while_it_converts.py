"""What happens to an entry, and to its stored copy, in the hours of a conversion, or in the days of an approval."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest
from looking import Run, act, displaced, do_not_wait, original_of, shown, tags_of, writes

from kaltura_archiver.errors import KalturaError, Stopped
from kaltura_archiver.kaltura import Kaltura
from kaltura_archiver.model import REPLACED_TAG, Entry, State
from kaltura_archiver.sandbox.kaltura.records import IMPORTING, Asset, Content, new_id
from kaltura_archiver.sandbox.world import Sandbox

VIDEO = b"a lecture of an hour and a half\n" * 4000
NEWER = Content.movie(150_000, 5_400_000).read()
DAY_SECONDS = 86_400
SWAPS = [("replace_video", State.ARCHIVED), ("restore", State.PLACEHOLDER)]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    do_not_wait(monkeypatch)


def old(sandbox: Sandbox, state: State) -> str:
    entry = sandbox.add(state, content=VIDEO, duration_ms=5_400_000)
    sandbox.control.clock.advance(DAY_SECONDS)
    return entry


def meanwhile(sandbox: Sandbox, happens: Callable[[], object]) -> None:
    sandbox.kaltura.settings.conversion_seconds = 1.0
    sandbox.control.add_fault("media.updateContent", "none", after=lambda _: happens())


def convert(sandbox: Sandbox) -> None:
    sandbox.kaltura.settings.hold_jobs = False
    sandbox.control.clock.advance(4000)
    sandbox.kaltura.settle()


def set_content(sandbox: Sandbox, flavor: Asset) -> None:
    """As `flavorAsset.setContent`: another video under the same id, and no word of it on the entry (4.6)."""
    flavor.store(Content.of(NEWER), flavor.version + 10)
    flavor.updated_at = int(sandbox.control.clock.now())


def add_source(sandbox: Sandbox, entry: str, *, status: int = 2) -> Asset:
    second = Asset(new_id(), entry, 99, is_original=True, version=2, status=status)
    second.store(Content.of(NEWER), 2)
    second.updated_at = second.created_at = int(sandbox.control.clock.now())
    return sandbox.kaltura.library.put_asset(second)


@pytest.mark.parametrize("what", ["set", "being set", "added", "being added"])
@pytest.mark.parametrize(("command", "state"), SWAPS)
def test_a_source_that_somebody_sets_stays(sandbox: Sandbox, run: Run, command: str, state: State, what: str) -> None:
    entry = old(sandbox, state)
    flavor = original_of(sandbox, entry)

    def somebody() -> None:
        if what == "set":
            set_content(sandbox, flavor)
        elif what == "being set":
            flavor.version, flavor.status = flavor.version + 10, IMPORTING
        else:
            add_source(sandbox, entry, status=2 if what == "added" else IMPORTING)

    meanwhile(sandbox, somebody)
    ran = act(run, command, entry)
    assert ran.outcomes == {entry: "failed"}
    assert f"somebody set another original of {entry}" in ran.out
    assert "the replacement was cancelled, theirs is in place" in ran.out
    before = {(a.id, a.version) for a in sandbox.kaltura.library.live_assets(entry)}
    convert(sandbox)
    assert {(a.id, a.version) for a in sandbox.kaltura.library.live_assets(entry)} == before
    assert (REPLACED_TAG in tags_of(sandbox, entry)) == (command == "restore")


@pytest.mark.parametrize(("command", "state"), SWAPS)
def test_where_theirs_was_overwritten_in_that_moment_it_is_said(
    sandbox: Sandbox, run: Run, command: str, state: State
) -> None:
    entry = old(sandbox, state)
    flavor = original_of(sandbox, entry)
    meanwhile(sandbox, lambda: set_content(sandbox, flavor))
    sandbox.control.add_fault("media.cancelReplace", "none", before=lambda _: convert(sandbox))
    ran = act(run, command, entry)
    assert f"new content came in the moment it was cancelled: look at {entry} now" in ran.out


@pytest.mark.parametrize("error", [KalturaError("no answer", retryable=True), Stopped("asked to stop")])
@pytest.mark.parametrize(("command", "state"), SWAPS)
def test_theirs_stays_though_kaltura_does_not_tell_for_a_while(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch, command: str, state: State, error: Exception
) -> None:
    entry, left, ask = old(sandbox, state), [0] * 3, Kaltura.entry
    flavor = original_of(sandbox, entry)

    def silent(kaltura: Kaltura, entry_id: str) -> Entry | None:
        if left and writes(sandbox, "media.updateContent"):
            left.pop()
            raise error
        return ask(kaltura, entry_id)

    monkeypatch.setattr(Kaltura, "entry", silent)
    meanwhile(sandbox, lambda: set_content(sandbox, flavor))
    ran = act(run, command, entry)
    assert not left
    assert "theirs is in place" in ran.out
    convert(sandbox)
    assert shown(sandbox, entry) == NEWER


@pytest.mark.parametrize("what", ["half of the switch", "a late link", "nothing"])
@pytest.mark.parametrize(("command", "state"), SWAPS)
def test_what_the_server_does_by_itself_is_nobodys(
    sandbox: Sandbox, run: Run, command: str, state: State, what: str
) -> None:
    """Of a switch the entry tells last (W40); a job of the replacement before links its file once more (10.16)."""
    entry = old(sandbox, state)
    flavor = original_of(sandbox, entry)
    sandbox.kaltura.settings.switch_seconds = 0.3 if what == "half of the switch" else 0.0
    link = (lambda: flavor.store(flavor.contents[flavor.version], flavor.version + 10)) if "link" in what else list
    meanwhile(sandbox, link)
    assert act(run, command, entry).outcomes == {entry: "done"}
    assert shown(sandbox, entry) == (VIDEO if command == "restore" else sandbox.placeholder)


@pytest.mark.parametrize("way", ["restore", "restore --via url", "replace_video", "cut"])
def test_what_ours_became_in_kaltura_is_nobodys(sandbox: Sandbox, run: Run, way: str) -> None:
    """Of another size than what was sent, and seen when the switch is half done."""
    command, *options = ("restore --via url" if way == "cut" else way).split()
    entry = old(sandbox, State.ARCHIVED if command == "replace_video" else State.PLACEHOLDER)
    sandbox.kaltura.settings.switch_seconds = 0.3
    sandbox.kaltura.settings.reencode_originals = way != "cut"
    if way == "cut":
        sandbox.control.add_fault("s3.GetObject", "cut")
    ran = act(run, command, entry, *options)
    assert "somebody" not in ran.out
    assert not writes(sandbox, "media.cancelReplace")
    if way == "cut":
        assert f"fetched only {len(VIDEO) // 2} of {len(VIDEO)} bytes" in ran.out
        assert act(run, command, entry, *options).outcomes == {entry: "done"}
        assert shown(sandbox, entry) == VIDEO
    elif command == "restore":
        assert "re-encoded" in ran.out


@pytest.mark.parametrize("command", ["restore", "repair"])
@pytest.mark.parametrize("approval", [True, False])
def test_a_restore_that_is_gone_on_with_keeps_what_it_displaces(
    sandbox: Sandbox, run: Run, command: str, *, approval: bool
) -> None:
    entry = old(sandbox, State.PLACEHOLDER)
    sandbox.kaltura.settings.replacement_approval = approval
    sandbox.kaltura.settings.hold_jobs = not approval
    assert act(run, "restore", entry, "--timeout", "0.2").outcomes == {entry: "waiting"}
    set_content(sandbox, original_of(sandbox, entry))
    sandbox.control.clock.advance(DAY_SECONDS)
    sandbox.control.add_fault("s3.PutObject", "none", after=lambda _: convert(sandbox))
    act(run, command, entry, "--approve", "--timeout", "2")
    assert shown(sandbox, entry) == VIDEO
    assert [sandbox.s3.body(key) for key in displaced(sandbox)] == [NEWER]


@pytest.mark.parametrize("command", ["restore", "repair"])
def test_a_restore_that_is_gone_on_with_ends_where_that_cannot_be_kept(
    sandbox: Sandbox, run: Run, command: str
) -> None:
    entry = old(sandbox, State.PLACEHOLDER)
    sandbox.kaltura.settings.hold_jobs = True
    assert act(run, "restore", entry, "--timeout", "0.2").outcomes == {entry: "waiting"}
    set_content(sandbox, original_of(sandbox, entry))
    refused = {"code": "AccessDenied", "status": 403, "times": 9}
    sandbox.control.add_fault("s3.PutObject", "error", subject="displaced/*", **refused)
    ran = act(run, command, entry, "--timeout", "2")
    assert "cannot be kept" in ran.out
    assert len(writes(sandbox, "media.cancelReplace")) == 1
    convert(sandbox)
    assert shown(sandbox, entry) == NEWER


# The stored copy


def find(sandbox: Sandbox, entry: str, what: str) -> None:
    """The mark that `verify`, or a second reading of the original, leaves."""
    etag = hashlib.md5(VIDEO, usedforsecurity=False).hexdigest()
    original = sandbox.kaltura.original(entry)
    mark = f"differs.{original.id}@{original.version}" if original and what == "different" else "damaged"
    sandbox.s3.put(f"suspect/{entry}/{etag}.{mark}", b"")


@pytest.mark.parametrize(
    ("state", "what"), [(State.ARCHIVED, "different"), (State.THIN, "bad"), (State.ARCHIVED, "bad")]
)
def test_a_copy_that_is_found_damaged_ends_the_placeholder(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch, state: State, what: str
) -> None:
    monkeypatch.setattr("kaltura_archiver.store.marks.MARKS_SECONDS", 0.05)
    entry = old(sandbox, state)
    before = {(a.id, a.version) for a in sandbox.kaltura.library.live_assets(entry)}
    meanwhile(sandbox, lambda: find(sandbox, entry, what))
    ran = act(run, "replace_video", entry)
    assert "was found damaged while Kaltura converted the placeholder: the replacement was cancelled" in ran.out
    convert(sandbox)
    assert {(a.id, a.version) for a in sandbox.kaltura.library.live_assets(entry)} == before


def test_while_kaltura_converts_marks_are_listed_once_a_minute_for_all(sandbox: Sandbox, run: Run) -> None:
    sandbox.kaltura.settings.conversion_seconds = 0.5
    entry = old(sandbox, State.ARCHIVED)
    assert act(run, "replace_video", entry).outcomes == {entry: "done"}
    looks = [r for r in sandbox.control.requests("multirequest") if "flavorAsset.list" in r.parameters["calls"][2:]]
    assert len(looks) > 5
    listed = [r for r in sandbox.control.requests("s3.ListObjectsV2") if "suspect" in str(r)]
    assert len(listed) == 2  # by the first look, and by the last one


@pytest.mark.parametrize("refused", [False, True])
@pytest.mark.parametrize("command", ["replace_video", "repair"])
def test_what_is_found_in_the_minute_before_stops_an_approval(
    sandbox: Sandbox, run: Run, command: str, *, refused: bool
) -> None:
    sandbox.kaltura.settings.replacement_approval = True
    entry = old(sandbox, State.ARCHIVED)
    assert act(run, "replace_video", entry).outcomes == {entry: "waiting"}
    convert(sandbox)
    if refused:  # and looked at again before each call
        sandbox.control.add_fault(
            "media.approveReplace", "error", code="LOCK_TIMED_OUT", before=lambda _: find(sandbox, entry, "bad")
        )
    else:
        sandbox.control.add_fault("s3.ListObjectsV2", "none", after=lambda _: find(sandbox, entry, "bad"))
    ran = act(run, command, entry, "--approve", "--timeout", "5")
    assert "was found damaged" in ran.out
    assert shown(sandbox, entry) == VIDEO


@pytest.mark.parametrize("what", ["another original", "it is kept"])
def test_what_happens_while_an_approval_is_refused_stops_it(sandbox: Sandbox, run: Run, what: str) -> None:
    sandbox.kaltura.settings.replacement_approval = True
    entry = old(sandbox, State.ARCHIVED)

    def somebody(_: object) -> None:
        if what == "it is kept":
            sandbox.kaltura.edit(entry, tags=f"{tags_of(sandbox, entry)}, keep")
        else:
            set_content(sandbox, original_of(sandbox, entry))

    sandbox.control.add_fault("media.approveReplace", "error", code="ACTION_BLOCKED", before=somebody)
    sandbox.kaltura.settings.conversion_seconds = 0
    ran = act(run, "replace_video", entry, "--approve", "--timeout", "5")
    assert ran.outcomes == {entry: "failed"}
    assert shown(sandbox, entry) == (VIDEO if what == "it is kept" else NEWER)


def test_nothing_is_approved_where_s3_does_not_tell(sandbox: Sandbox, run: Run) -> None:
    sandbox.kaltura.settings.replacement_approval = True
    entry = old(sandbox, State.ARCHIVED)
    assert act(run, "replace_video", entry).outcomes == {entry: "waiting"}
    convert(sandbox)
    refused = {"code": "AccessDenied", "status": 403, "times": 9}
    sandbox.control.add_fault("s3.ListObjectsV2", "error", skip=1, **refused)
    act(run, "replace_video", entry, "--approve", "--timeout", "5")
    assert shown(sandbox, entry) == VIDEO
    assert not writes(sandbox, "media.approveReplace")
