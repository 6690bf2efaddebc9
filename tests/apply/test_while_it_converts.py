"""What happens to an entry, and to its stored copy, in the hours of a conversion, or in the days of an approval."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from looking import Run, act, displaced, do_not_wait, original_of, shown, tags_of, writes

from kaltura_archiver.model import REPLACED_TAG, State
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
