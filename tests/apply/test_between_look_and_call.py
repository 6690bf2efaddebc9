"""Nothing is done by what was seen a while ago: what Kaltura refuses for now, or lets wait, is looked at anew."""

from __future__ import annotations

import hashlib
import threading
import time
from typing import Any

import pytest
from looking import Run, act, assets_of, displaced, do_not_wait, original_of, shown, state_of, tags_of

from kaltura_archiver.errors import Stopped
from kaltura_archiver.kaltura import Kaltura, session
from kaltura_archiver.model import State
from kaltura_archiver.sandbox.kaltura.metadata import MetadataField
from kaltura_archiver.sandbox.kaltura.records import Asset, Content, new_id
from kaltura_archiver.sandbox.world import Sandbox

VIDEO = b"a lecture of an hour and a half\n" * 4000
NEWER = Content.movie(150_000, 5_400_000).read()
DAY_SECONDS = 86_400
# What Kaltura says when it has done nothing; and a session that has run out.
REFUSALS = ("ACTION_BLOCKED", "LOCK_TIMED_OUT", "INVALID_KS")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    do_not_wait(monkeypatch)


def everywhere(sandbox: Sandbox, entry: str) -> list[bytes]:
    """What plays as the original, and all that S3 has."""
    playing = [shown(sandbox, entry)] if sandbox.kaltura.original(entry) else []
    return playing + [sandbox.s3.body(key) for key in list(sandbox.s3.keys())]


def old(sandbox: Sandbox, state: State, **more: Any) -> str:
    entry = sandbox.add(state, content=VIDEO, duration_ms=5_400_000, **more)
    sandbox.control.clock.advance(DAY_SECONDS)
    return entry


def set_content(sandbox: Sandbox, flavor: Asset) -> None:
    """As `flavorAsset.setContent`: another video under the same id."""
    flavor.store(Content.of(NEWER), flavor.version + 10)
    flavor.updated_at = int(sandbox.control.clock.now())


@pytest.mark.parametrize("code", REFUSALS)
@pytest.mark.parametrize(("command", "state"), [("replace_video", State.ARCHIVED), ("restore", State.PLACEHOLDER)])
def test_a_video_that_comes_while_a_swap_is_refused_stays(
    sandbox: Sandbox, run: Run, command: str, state: State, code: str
) -> None:
    entry = old(sandbox, state)
    sandbox.control.add_fault(
        "media.updateContent", "error", code=code, before=lambda _: sandbox.kaltura.replace_original(entry, NEWER)
    )
    ran = act(run, command, entry)
    assert shown(sandbox, entry) == NEWER
    assert ran.outcomes[entry] == "failed"
    assert "replaced or removed meanwhile" in ran.out


def test_a_swap_that_is_refused_for_a_moment_goes_through(sandbox: Sandbox, run: Run) -> None:
    entry = old(sandbox, State.ARCHIVED)
    sandbox.control.add_fault("media.updateContent", "error", code="ACTION_BLOCKED", times=3)
    assert act(run, "replace_video", entry).outcomes == {entry: "done"}
    operations = [request.operation for request in sandbox.control.requests()]
    tries = [at for at, operation in enumerate(operations) if operation == "media.updateContent"]
    assert len(tries) == 4
    assert all(operations[at - 1] == "flavorAsset.list" for at in tries)


def test_who_had_to_wait_for_its_turn_looks_again(sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another thread was refused, and all pause: the pause falls between the look and the call."""
    entry, paused = old(sandbox, State.ARCHIVED), []
    now = time.monotonic
    monkeypatch.setattr(session.time, "monotonic", lambda: now() + 60 * len(paused))
    put = Kaltura.update_content

    def put_late(kaltura: Kaltura, *arguments: Any, **named: Any) -> Any:
        wait = kaltura.pace.wait

        def wait_once(*, again: bool = False) -> float:
            monkeypatch.setattr(kaltura.pace, "wait", wait)
            paused.append(sandbox.kaltura.replace_original(entry, NEWER))
            return now() + 60

        monkeypatch.setattr(kaltura.pace, "wait", wait_once)
        return put(kaltura, *arguments, **named)

    monkeypatch.setattr(Kaltura, "update_content", put_late)
    assert act(run, "replace_video", entry).outcomes == {entry: "failed"}
    assert paused
    assert shown(sandbox, entry) == NEWER


@pytest.mark.parametrize("code", REFUSALS)
def test_a_video_that_comes_while_a_deletion_is_refused_stays(sandbox: Sandbox, run: Run, code: str) -> None:
    entry = old(sandbox, State.ARCHIVED, derived=3)
    original = original_of(sandbox, entry)
    sandbox.control.add_fault(
        "flavorAsset.delete", "error", code=code, subject=original.id,
        before=lambda _: sandbox.kaltura.replace_original(entry, NEWER),
    )  # fmt: skip
    act(run, "thin", entry)
    assert shown(sandbox, entry) == NEWER


@pytest.mark.parametrize("code", REFUSALS)
def test_a_tag_that_is_set_while_ours_is_refused_stays(sandbox: Sandbox, run: Run, code: str) -> None:
    entry = sandbox.add(State.INITIAL)
    sandbox.control.add_fault(
        "media.update", "error", code=code, before=lambda _: sandbox.kaltura.edit(entry, tags="exam, keep")
    )
    act(run, "s3copy", entry)
    assert {"exam", "keep"} <= set(tags_of(sandbox, entry).split(", "))


@pytest.mark.parametrize("kind", ["http_500", "drop_before"])
@pytest.mark.parametrize(("command", "state"), [("replace_video", State.ARCHIVED), ("restore", State.PLACEHOLDER)])
def test_in_place_no_flavor_is_deleted_twice_by_one_look(
    sandbox: Sandbox, run: Run, kind: str, command: str, state: State
) -> None:
    sandbox.kaltura.settings.entry_replacement = False
    entry = old(sandbox, state)
    original = original_of(sandbox, entry)
    sandbox.control.add_fault(
        "flavorAsset.delete", kind, subject=original.id, before=lambda _: set_content(sandbox, original)
    )
    act(run, command, entry, "--allow-in-place")
    assert NEWER in everywhere(sandbox, entry)


def test_in_place_it_is_told_what_was_deleted_before_it_stopped(sandbox: Sandbox, run: Run) -> None:
    sandbox.kaltura.settings.entry_replacement = False
    entry = old(sandbox, State.ARCHIVED, derived=2)
    first = next(asset for params, asset in assets_of(sandbox, entry).items() if params)
    sandbox.control.add_fault(
        "flavorAsset.delete", "none", subject=first.id,
        after=lambda _: sandbox.kaltura.edit(entry, tags=f"exam, {tags_of(sandbox, entry)}"),
    )  # fmt: skip
    ran = act(run, "replace_video", entry, "--allow-in-place")
    assert f"flavors deleted by then: {first.id}" in ran.out
    assert shown(sandbox, entry) == VIDEO


def test_in_place_a_second_source_does_not_stop_a_restore_half_way(sandbox: Sandbox, run: Run) -> None:
    sandbox.kaltura.settings.entry_replacement = False
    entry = old(sandbox, State.PLACEHOLDER)
    second = Asset(new_id(), entry, 99, is_original=True, version=2, status=2)
    second.store(Content.of(NEWER), 2)
    second.updated_at = second.created_at = int(sandbox.control.clock.now())
    sandbox.kaltura.library.put_asset(second)
    assert act(run, "restore", entry, "--allow-in-place").outcomes == {entry: "done"}
    assert shown(sandbox, entry) == VIDEO
    assert NEWER in [sandbox.s3.body(key) for key in displaced(sandbox)]


@pytest.mark.parametrize(
    ("command", "state"),
    [
        ("restore", State.THIN), ("replace_video", State.THIN), ("restore", State.NO_ORIGINAL),
        ("repair", State.NO_ORIGINAL),
    ],
)  # fmt: skip
def test_without_an_original_it_is_looked_at_what_plays(sandbox: Sandbox, run: Run, command: str, state: State) -> None:
    """While our upload is under way somebody puts in another video, of which Kaltura keeps no source."""
    entry = old(sandbox, state if state is State.THIN else State.ARCHIVED, derived=3)
    if state is State.NO_ORIGINAL:
        sandbox.take_original_away(entry)
    came: list[dict[int, tuple[int, int]]] = []

    def plays() -> dict[int, tuple[int, int]]:
        return {params: (asset.version, asset.size_in_bytes) for params, asset in assets_of(sandbox, entry).items()}

    def somebody(_: object) -> None:
        sandbox.kaltura.replace_original(entry, NEWER)
        sandbox.take_original_away(entry)
        came.append(plays())

    sandbox.control.add_fault("uploadToken.upload", "none", after=somebody)
    ran = act(run, command, entry)
    assert plays() == came[0]
    assert "changed what plays" in ran.out


@pytest.mark.parametrize("by", ["metadata", "category"])
@pytest.mark.parametrize("kind", ["none", "http_500"])
def test_what_keeps_an_entry_is_asked_before_the_last_look(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch, by: str, kind: str
) -> None:
    """Where the answer about metadata or a category comes late, an upload that is over by then is seen."""
    monkeypatch.setattr("kaltura_archiver.kaltura.library.CATEGORY_SECONDS", 0.0)
    sandbox.kaltura.add_category(7, "Kept")
    sandbox.kaltura.add_category(8, "Course")
    sandbox.kaltura.add_profile(1, MetadataField(11, "Retention"))
    entry, other = old(sandbox, State.ARCHIVED, categories=(8,)), sandbox.add(State.ARCHIVED, categories=(7,))
    sandbox.kaltura.set_metadata(other, 1, Retention="Permanent")
    sandbox.kaltura.settle()
    operation = "metadata.list" if by == "metadata" else "category.get"
    tagged: list[object] = []

    def somebody(_: object) -> None:
        if tagged:  # the next answer is that of the last look
            tagged.clear()
            sandbox.kaltura.replace_original(entry, NEWER)

    sandbox.control.add_fault("media.update", "none", after=tagged.append)
    for _ in range(9):
        sandbox.control.add_fault(operation, "none", before=somebody)
    if kind != "none":
        sandbox.control.add_fault(operation, kind, skip=9)
    keeping = ("--keep-metadata", "Retention=Permanent") if by == "metadata" else ("--keep-category", "7")
    ran = act(run, "replace_video", entry, *keeping)
    assert shown(sandbox, entry) == NEWER
    assert "replaced or removed meanwhile" in ran.out
    assert state_of(run, entry) == State.DIVERGED


def test_who_waited_for_somebody_to_sign_in_looks_again(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "FRESH_SECONDS", 0.1)
    entry, put = old(sandbox, State.ARCHIVED), Kaltura.update_content

    def put_late(kaltura: Kaltura, *arguments: Any, **named: Any) -> Any:
        held = threading.Event()

        def sign_in() -> None:
            with kaltura._session_lock:
                held.set()
                sandbox.kaltura.replace_original(entry, NEWER)
                time.sleep(0.2)

        threading.Thread(target=sign_in).start()
        held.wait()
        return put(kaltura, *arguments, **named)

    monkeypatch.setattr(Kaltura, "update_content", put_late)
    act(run, "replace_video", entry)
    assert shown(sandbox, entry) == NEWER


@pytest.mark.parametrize("in_place", [True, False])
def test_a_flavor_that_kaltura_was_making_may_be_there_by_now(sandbox: Sandbox, run: Run, in_place: bool) -> None:
    sandbox.kaltura.settings.entry_replacement = not in_place
    entry = old(sandbox, State.ARCHIVED, derived=3)
    sandbox.take_original_away(entry)
    made = Asset(new_id(), entry, 70, is_original=False, version=0, status=1)
    made.updated_at = sandbox.kaltura.entries[entry].created_at  # since before the copy was stored
    sandbox.kaltura.library.put_asset(made)

    def ready(_: object) -> None:
        made.store(Content.of(b"x" * 1000), 2)
        made.status = 2

    sandbox.control.add_fault("uploadToken.upload", "none", after=ready)
    assert act(run, "restore", entry, "--allow-in-place").outcomes == {entry: "done"}


@pytest.mark.parametrize("times", [1, 2, 9])
def test_in_place_nothing_is_asked_between_the_deletion_and_the_new_content(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    """The list of flavors shows the original that long after it was deleted."""
    sandbox.kaltura.settings.entry_replacement = False
    entry = old(sandbox, State.ARCHIVED)
    original, flavors = original_of(sandbox, entry).id, Kaltura.flavors
    gone: list[object] = []
    was: list[Any] = []

    def lagging(kaltura: Kaltura, ids: Any) -> Any:
        found = flavors(kaltura, ids)
        if 0 < len(gone) <= times:
            gone.append(0)
            return was[-1]
        if any(flavor.id == original for flavor in found.get(entry, ())):
            was.append(found)
        return found

    monkeypatch.setattr(Kaltura, "flavors", lagging)
    sandbox.control.add_fault("flavorAsset.delete", "none", subject=original, after=gone.append)
    assert act(run, "replace_video", entry, "--allow-in-place").outcomes == {entry: "done"}


@pytest.mark.parametrize("kind", ["http_500", "drop_before", "drop_after"])
def test_in_place_a_deletion_that_fails_for_a_moment_is_made_again(sandbox: Sandbox, run: Run, kind: str) -> None:
    sandbox.kaltura.settings.entry_replacement = False
    entry = old(sandbox, State.ARCHIVED, derived=2)
    sandbox.control.add_fault("flavorAsset.delete", kind, times=4, skip=1)
    assert act(run, "replace_video", entry, "--allow-in-place").outcomes == {entry: "done"}
    assert shown(sandbox, entry) == sandbox.placeholder


def test_in_place_a_stop_after_the_deletion_does_not_leave_the_entry_empty(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox.kaltura.settings.entry_replacement = False
    entry = old(sandbox, State.ARCHIVED)
    armed: list[object] = []

    def stopping(kaltura: Kaltura, seconds: float) -> bool:
        if armed:
            raise Stopped("asked to stop")
        return False

    def stop(_: object) -> None:
        armed.append(0)
        sandbox.control.add_fault("flavorAsset.list", "http_500")

    monkeypatch.setattr(Kaltura, "_pause", stopping)
    sandbox.control.add_fault("flavorAsset.delete", "none", subject=original_of(sandbox, entry).id, after=stop)
    act(run, "replace_video", entry, "--allow-in-place")
    assert shown(sandbox, entry) == sandbox.placeholder


def test_a_video_that_is_as_large_as_a_placeholder_is_looked_after_as_any(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    filler = len(VIDEO) - len(sandbox.placeholder)
    other = sandbox.placeholder + filler.to_bytes(4, "big") + b"free" + bytes(filler - 8)
    (sandbox.directory / "other.mp4").write_bytes(other)
    (sandbox.directory / "map.toml").write_text('[category]\n4711 = "other.mp4"\n')
    monkeypatch.setenv("PLACEHOLDER_MAP", str(sandbox.directory / "map.toml"))
    entry = old(sandbox, State.ARCHIVED)
    # Found damaged after the first look, and before the last.
    mark = f"suspect/{entry}/{hashlib.md5(VIDEO, usedforsecurity=False).hexdigest()}.damaged"
    sandbox.control.add_fault("uploadToken.upload", "none", after=lambda _: sandbox.s3.put(mark, b""))
    act(run, "replace_video", entry)
    assert shown(sandbox, entry) == VIDEO
