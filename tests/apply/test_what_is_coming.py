"""A video of somebody's that does not play yet, or not as an original: it is neither overwritten nor deleted."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from looking import Run, act, assets_of, do_not_wait, original_of, shown, state_of, writes

from kaltura_archiver.apply import in_place as filling
from kaltura_archiver.model import State
from kaltura_archiver.sandbox.kaltura.records import Asset, Content, Token, new_id
from kaltura_archiver.sandbox.world import Sandbox

VIDEO = b"a lecture of an hour and a half\n" * 4000
NEWER = Content.movie(150_000, 5_400_000).read()
BOTH_WAYS = pytest.mark.parametrize("in_place", [False, True])
COMMANDS = pytest.mark.parametrize("command", ["repair", "restore", "replace_video"])


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    do_not_wait(monkeypatch)
    monkeypatch.setattr(filling, "NO_CONTENT_SECONDS", 0.1)


def old(sandbox: Sandbox, state: State, **more: Any) -> str:
    entry = sandbox.add(state, content=VIDEO, duration_ms=5_400_000, **more)
    sandbox.control.clock.advance(86_400)
    return entry


def upload_in_kmc(sandbox: Sandbox, entry: str, *, keep_source: bool = True, fails: int = 0) -> None:
    """Somebody deletes the flavors of an entry, and uploads another video to it."""
    library = sandbox.kaltura.library
    token = Token("0_somebody", status=2, file_name="v.mp4", data=bytearray(NEWER), uploaded_size=len(NEWER))
    with library.lock:
        for asset in list(library.live_assets(entry)):
            library.delete_asset(asset)
        library.settings.keep_source, library.settings.fail_next_conversions = keep_source, fails
        library.tokens[token.id] = token
        resource = {"objectType": "KalturaUploadedFileTokenResource", "token": token.id}
        library.add_content(library.entries[entry], resource)


def everywhere(sandbox: Sandbox, entry: str) -> list[bytes]:
    """The content of all flavors of an entry, and of all objects."""
    library = sandbox.kaltura.library
    with library.lock:
        library.tick()
        live = [a.contents[a.version].read() for a in library.live_assets(entry) if a.version in a.contents]
    return live + [sandbox.s3.body(key) or b"" for key in list(sandbox.s3.keys())]


def changes_of_content(sandbox: Sandbox) -> list[str]:
    contents = ("media.updateContent", "media.addContent", "flavorAsset.delete")
    return [request.operation for request in writes(sandbox) if request.operation in contents]


@COMMANDS
@BOTH_WAYS
@pytest.mark.parametrize("waits_seconds", [10, 2400])
def test_an_upload_that_kaltura_converts_is_waited_for_also_where_its_source_is_not_kept(
    sandbox: Sandbox, run: Run, command: str, in_place: bool, waits_seconds: float
) -> None:
    sandbox.kaltura.settings.entry_replacement = not in_place
    entry = old(sandbox, State.PLACEHOLDER)
    sandbox.kaltura.settings.conversion_seconds = 3600
    upload_in_kmc(sandbox, entry, keep_source=False)
    sandbox.control.clock.advance(waits_seconds)
    ran = act(run, command, entry, "--timeout", "0.1", "--allow-in-place")
    assert (ran.outcomes, changes_of_content(sandbox)) == ({entry: "waiting"}, []), ran.out
    assert state_of(run, entry) == State.BUSY


@pytest.mark.parametrize("command", ["restore", "repair"])
@pytest.mark.parametrize("kept_again", [False, True])
def test_an_upload_that_kaltura_could_not_convert_is_a_persons_to_decide_on(
    sandbox: Sandbox, run: Run, command: str, kept_again: bool
) -> None:
    entry = old(sandbox, State.PLACEHOLDER)
    upload_in_kmc(sandbox, entry, keep_source=False, fails=1)
    sandbox.kaltura.settle()
    sandbox.kaltura.settings.keep_source = kept_again
    assert act(run, command, entry).outcomes == {entry: "refused"}
    assert (changes_of_content(sandbox), state_of(run, entry)) == ([], State.DIVERGED)
    assert NEWER in everywhere(sandbox, entry)


@COMMANDS
@pytest.mark.parametrize("state", [State.PLACEHOLDER, State.ARCHIVED])
def test_what_plays_does_so_while_kaltura_exports_it(sandbox: Sandbox, run: Run, command: str, state: State) -> None:
    """READY and EXPORTING flavors are there both (kaltura-api 4.1)."""
    entry = old(sandbox, state)
    sandbox.kaltura.replace_original(entry, NEWER)
    sandbox.take_original_away(entry)
    for asset in assets_of(sandbox, entry).values():
        asset.status = 9
    before = {(asset.id, asset.version) for asset in assets_of(sandbox, entry).values()}
    assert state_of(run, entry) == State.DIVERGED
    act(run, command, entry)
    assert {(asset.id, asset.version) for asset in assets_of(sandbox, entry).values()} == before


def second_source(sandbox: Sandbox, entry: str, status: int, content: bytes = NEWER) -> Asset:
    second = Asset(new_id(), entry, 99, is_original=True, version=2, status=status)
    second.store(Content.of(content), 2)
    second.updated_at = second.created_at = int(sandbox.control.clock.now())
    sandbox.kaltura.library.put_asset(second)
    return second


@BOTH_WAYS
@pytest.mark.parametrize("status", [-1, 1, 7, 8, 23])  # 23: of a Kaltura to come
@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_a_source_that_is_on_its_way_is_not_deleted_by_a_restore(
    sandbox: Sandbox, run: Run, in_place: bool, status: int, when: str
) -> None:
    sandbox.kaltura.settings.entry_replacement = not in_place
    entry = old(sandbox, State.PLACEHOLDER)
    if when == "before":
        second_source(sandbox, entry, status)
        expected = "refused" if status in (-1, 23) else "waiting"
        assert run("restore", "--id", entry).outcomes == {entry: expected}
    else:
        sandbox.control.add_fault(
            "uploadToken.upload", "none", after=lambda _: second_source(sandbox, entry, status)
        )  # fmt: skip
    act(run, "restore", entry, "--allow-in-place")
    assert changes_of_content(sandbox) == []
    assert NEWER in everywhere(sandbox, entry)


@BOTH_WAYS
def test_a_further_source_that_is_set_anew_before_the_swap_stays(sandbox: Sandbox, run: Run, in_place: bool) -> None:
    sandbox.kaltura.settings.entry_replacement = not in_place
    entry = old(sandbox, State.PLACEHOLDER)
    second = second_source(sandbox, entry, 2, b"a second camera " * 900)
    sandbox.control.add_fault("uploadToken.upload", "none", after=lambda _: second.store(Content.of(NEWER), 12))
    act(run, "restore", entry, "--allow-in-place")
    assert NEWER in everywhere(sandbox, entry)


@pytest.mark.parametrize("copy", ["damaged", "only likely"])
@pytest.mark.parametrize("command", ["repair", "replace_video"])
def test_no_placeholder_goes_over_an_original_in_error_unless_its_copy_is_proven(
    sandbox: Sandbox, run: Run, copy: str, command: str
) -> None:
    entry = old(sandbox, State.PLACEHOLDER, derived=0)
    original = original_of(sandbox, entry)
    original.store(Content.of(VIDEO), original.version + 10)  # a restore brought it, and its conversion failed
    original.status = -1
    sandbox.kaltura.entries[entry].status = "-1"
    if copy == "damaged":
        etag = hashlib.md5(VIDEO, usedforsecurity=False).hexdigest()
        sandbox.s3.put(f"suspect/{entry}/{etag}.damaged", b"")
    else:  # as the old tool left it: without tags
        sandbox.s3.put(entry, VIDEO[:-1] + b"?")
    dry = run(command, "--id", entry)
    ran = act(run, command, entry)
    assert dry.outcomes == ran.outcomes == {entry: "refused"}, ran.out
    assert original.contents[original.version].read() == VIDEO


@pytest.mark.parametrize("sized", [True, False])
def test_what_somebody_put_into_the_empty_entry_is_not_taken_for_ours(sandbox: Sandbox, run: Run, sized: bool) -> None:
    sandbox.kaltura.settings.entry_replacement = False
    entry = old(sandbox, State.PLACEHOLDER)
    library = sandbox.kaltura.library
    with library.lock:
        for asset in list(library.live_assets(entry)):
            library.delete_asset(asset)

    def somebody(_: object) -> None:
        upload_in_kmc(sandbox, entry)
        sandbox.control.clock.advance(100)
        sandbox.kaltura.settle()
        for asset in assets_of(sandbox, entry).values():
            asset.size_in_bytes = asset.size_in_bytes if sized else 0

    # Refused for the moment; then Kaltura says that there is content.
    sandbox.control.add_fault("media.addContent", "error", code="ACTION_BLOCKED", before=somebody)
    ran = act(run, "restore", entry, "--allow-in-place")
    assert "somebody gave content" in ran.out
    sandbox.control.clock.advance(86_400)
    act(run, "restore", entry, "--allow-in-place")
    assert NEWER in everywhere(sandbox, entry)


@pytest.mark.parametrize("emptied", [False, True])
def test_an_entry_without_content_is_not_left_to_an_import(sandbox: Sandbox, run: Run, emptied: bool) -> None:
    """One that fails leaves ERROR_IMPORTING, and Kaltura takes no content for that any more (kaltura-api 5.1)."""
    sandbox.kaltura.settings.entry_replacement, sandbox.kaltura.settings.fail_imports = False, 1
    entry = old(sandbox, State.PLACEHOLDER)
    library = sandbox.kaltura.library
    with library.lock:
        for asset in list(library.live_assets(entry)) if emptied else []:
            library.delete_asset(asset)
    if emptied:
        assert run("restore", "--id", entry, "--via", "url").outcomes == {entry: "refused"}
    ran = act(run, "restore", entry, "--via", "url", "--allow-in-place")
    assert (ran.code, "only with --via upload" in ran.out) == (3, True)
    assert act(run, "restore", entry, "--allow-in-place").outcomes == {entry: "done"}
    assert shown(sandbox, entry) == VIDEO
