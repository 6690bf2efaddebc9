"""The age of the old tool's copies tells S3 alone, and it begins anew when one is copied: nothing rests on it."""

from __future__ import annotations

from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler

import pytest
from looking import Run, act, assets_of, content_id, displaced, do_not_wait, move_copy, shown, state_of, tags_of

from kaltura_archiver import survey
from kaltura_archiver.model import ARCHIVED_TAG, REPLACED_TAG, State
from kaltura_archiver.sandbox.kaltura.records import TEMP, Content
from kaltura_archiver.sandbox.world import Sandbox

VIDEO = b"a lecture of an hour and a half\n" * 4000
NEWER = Content.movie(150_000, 5_400_000).read()
DAY = 86_400


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    do_not_wait(monkeypatch)


def adopted(sandbox: Sandbox, state: State) -> str:
    """An entry of the old tool, whose copy s3copy has proven since."""
    entry = sandbox.add(state, content=VIDEO, derived=3, duration_ms=5_400_000)
    sandbox.s3.put(entry, VIDEO, tags=sandbox.s3.tags(entry))
    sandbox.control.clock.advance(DAY)
    return entry


def newer_without_source(sandbox: Sandbox, entry: str) -> None:
    """Somebody uploads another video, whose source is deleted later; then the bucket is moved."""
    sandbox.kaltura.replace_original(entry, NEWER)
    sandbox.take_original_away(entry)
    sandbox.control.clock.advance(DAY)
    move_copy(sandbox, entry)
    sandbox.control.clock.advance(DAY)


def flavors(sandbox: Sandbox, entry: str) -> dict[int, tuple[int, int]]:
    return {params: (asset.version, asset.size_in_bytes) for params, asset in assets_of(sandbox, entry).items()}


@pytest.mark.parametrize("command", ["replace_video", "repair", "restore"])
def test_no_placeholder_comes_over_what_nothing_explains(sandbox: Sandbox, run: Run, command: str) -> None:
    entry = adopted(sandbox, State.PLACEHOLDER)
    newer_without_source(sandbox, entry)
    before = flavors(sandbox, entry)
    assert state_of(run, entry) == State.DIVERGED
    ran = act(run, command, entry)
    assert ran.outcomes == {entry: "refused"}
    assert "not known to be older than the copy" in ran.out
    assert flavors(sandbox, entry) == before
    assert run("resolve", entry, "--keep", "s3", "--no-dry-run").outcomes == {entry: "done"}
    assert shown(sandbox, entry) == VIDEO
    assert [len(sandbox.s3.body(key) or b"") for key in displaced(sandbox)] == [
        max(size for _, size in before.values())
    ]


@pytest.mark.parametrize("few", [40, 0])
def test_nor_over_a_source_that_is_not_kept(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr(survey, "FEW", few)
    entry = adopted(sandbox, State.PLACEHOLDER)
    for asset in assets_of(sandbox, entry).values():
        if asset.is_original:
            asset.status = TEMP
        else:
            sandbox.kaltura.library.delete_asset(asset)
    sandbox.control.clock.advance(DAY)
    move_copy(sandbox, entry)
    assert run("health").rows[0]["message"].startswith("diverged")
    assert act(run, "repair", entry).outcomes == {entry: "refused"}


@pytest.mark.parametrize("few", [40, 0])
def test_a_copy_whose_age_is_recorded_stays_as_old_as_it_is(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    """Of ours: replace_video was killed before its swap, and a person deletes the source."""
    monkeypatch.setattr(survey, "FEW", few)
    entry = sandbox.add(State.ARCHIVED, content=VIDEO, derived=3, duration_ms=5_400_000)
    sandbox.kaltura.edit(entry, tags=f"{ARCHIVED_TAG}, {REPLACED_TAG}")
    sandbox.take_original_away(entry)
    sandbox.control.clock.advance(DAY)
    move_copy(sandbox, entry)
    assert run("health").rows[0]["message"].startswith("no-original")
    assert act(run, "repair", entry).outcomes == {entry: "done"}
    assert (shown(sandbox, entry), displaced(sandbox)) == (sandbox.placeholder, [])


def test_a_restore_keeps_what_plays_of_an_entry_that_was_never_replaced(sandbox: Sandbox, run: Run) -> None:
    entry = adopted(sandbox, State.ARCHIVED)
    newer_without_source(sandbox, entry)
    best = max(size for _, size in flavors(sandbox, entry).values())
    assert act(run, "restore", entry).outcomes == {entry: "done"}
    assert (shown(sandbox, entry), tags_of(sandbox, entry)) == (VIDEO, ARCHIVED_TAG)
    assert [len(sandbox.s3.body(key) or b"") for key in displaced(sandbox)] == [best]


def test_a_placeholder_that_is_in_place_is_one_however_young_the_copy(sandbox: Sandbox, run: Run) -> None:
    entry = adopted(sandbox, State.PLACEHOLDER)
    move_copy(sandbox, entry)
    assert state_of(run, entry) == State.PLACEHOLDER
    assert act(run, "replace_video", entry).outcomes == {entry: "already"}
    assert act(run, "restore", entry).outcomes == {entry: "done"}
    assert (shown(sandbox, entry), displaced(sandbox)) == (VIDEO, [])


def test_when_it_was_stored_is_told_by_kalturas_clock(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This machine's is years ahead of it."""
    there, told = datetime(2020, 5, 17, 12, tzinfo=UTC), BaseHTTPRequestHandler.date_time_string
    monkeypatch.setattr(
        BaseHTTPRequestHandler,
        "date_time_string",
        lambda self, timestamp=None: told(self, there.timestamp() if timestamp is None else timestamp),
    )
    entry = sandbox.add(State.INITIAL)
    assert act(run, "s3copy", entry).outcomes == {entry: "done"}
    assert sandbox.s3.metadata(entry)["archived-at"].startswith("2020-05-17T12:0")
    assert content_id(sandbox, entry) == sandbox.s3.tags(entry)["flavor"]
