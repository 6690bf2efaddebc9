"""Entries as real accounts have them: the whole cycle, or a refusal in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from looking import (
    Run,
    do_not_wait,
    original_of,
    shown,
    state_of,
    tags_of,
    unused_tokens,
    writes,
)

from kaltura_archiver.model import ARCHIVED_TAG, State
from kaltura_archiver.sandbox.control import Request
from kaltura_archiver.sandbox.kaltura import Token
from kaltura_archiver.sandbox.world import Sandbox


@pytest.fixture(autouse=True)
def nothing_is_left_behind(request: pytest.FixtureRequest) -> Any:
    """Whatever the outcome: no upload is left open and no token unused."""
    sandbox: Sandbox = request.getfixturevalue("sandbox")
    yield
    assert sandbox.s3.uploads() == []
    assert unused_tokens(sandbox) == []


@pytest.mark.parametrize(
    ("fields", "options"),
    [
        ({"name": "Gespräch über Bücher, 講義 \U0001f3ac", "tags": "über, 講義, École, a b"}, ()),
        ({"name": "", "creator_id": "", "tags": ""}, ()),
        ({"derived": 60}, ()),
        ({"media_type": 5, "file_ext": "m4a"}, ("--media-type", "audio")),
        ({"exact_size": False}, ()),
        ({"file_ext": ""}, ()),
        ({"file_ext": "noex"}, ()),
        ({"tags": "Lecture, x, lecture, über"}, ()),
    ],
    ids=["non-ascii", "nameless", "60 flavors", "audio", "old asset", "no extension", "noex", "tags to normalise"],
)
def test_an_odd_entry_goes_through_the_whole_cycle(
    sandbox: Sandbox, run: Run, fields: dict[str, Any], options: Sequence[str]
) -> None:
    content = sandbox.video() * 30
    entry_id = sandbox.add(State.INITIAL, content=content, **fields)
    others = [t for t in tags_of(sandbox, entry_id).split(", ") if t]
    for command, video in (("s3copy", content), ("replace_video", sandbox.placeholder), ("restore", content)):
        ran = run(command, "--id", entry_id, "--no-dry-run", *options)
        assert (ran.code, ran.outcomes) == (0, {entry_id: "done"}), ran.err
        assert shown(sandbox, entry_id) == video
        assert run(command, "--id", entry_id, "--no-dry-run", *options).outcomes == {entry_id: "already"}
    assert original_of(sandbox, entry_id).file_ext == (fields.get("file_ext", "mp4") or "noex")
    # The tags of others are what Kaltura makes of them, no more: 6 (ASCII lower case, one byte dropped, no repeats).
    expected = ["lecture", "über"] if "x" in others else others
    kept = [t for t in tags_of(sandbox, entry_id).split(", ") if t != ARCHIVED_TAG]
    assert kept == expected or kept == [_ascii_lower(t) for t in expected]
    assert "traceback" not in ran.err.lower()


@pytest.mark.parametrize(
    ("metadata", "ext"),
    [
        ({}, "mp4"),  # the old tool's
        ({"s3cmd-attrs": "md5:00"}, "mp4"),
        ({"entry-id": "0_x", "file-ext": "MOV"}, "mov"),
        ({"entry-id": "0_x", "file-ext": "noex"}, "noex"),
        ({"entry-id": "0_x"}, "noex"),
        ({"entry-id": "0_x", "file-ext": "../x"}, "noex"),
    ],
)
def test_a_restored_original_has_the_extension_that_was_stored(
    sandbox: Sandbox, run: Run, metadata: dict[str, str], ext: str
) -> None:
    entry_id = sandbox.add(State.PLACEHOLDER)
    body = sandbox.s3.body(entry_id)
    assert body is not None
    sandbox.s3.put(entry_id, body, metadata=metadata, tags=sandbox.s3.tags(entry_id))
    assert run("restore", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "done"}
    assert original_of(sandbox, entry_id).file_ext == ext


def test_the_token_of_a_killed_run_is_removed_whatever_the_extension(sandbox: Sandbox, run: Run) -> None:
    """What `nothing_is_left_behind` looks at."""
    entry_id = sandbox.add(State.PLACEHOLDER)
    for number, name in enumerate((f"archiver-{entry_id}", f"archiver-{entry_id}.mov")):
        sandbox.kaltura.tokens[f"0_left{number}"] = Token(
            f"0_left{number}", user_id="archiver", file_name=name, status=1, created_at=1_600_000_000
        )
    assert run("restore", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "done"}


def test_a_restored_video_that_kaltura_cannot_read_is_warned_of(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add(State.PLACEHOLDER)

    def unreadable(request: Request) -> None:
        sandbox.kaltura.entries[entry_id].duration_ms = 0

    sandbox.control.add_fault("media.update", before=unreadable)
    ran = run("restore", "--id", entry_id, "--no-dry-run")
    assert ran.outcomes == {entry_id: "done"}
    assert "a duration of 0 seconds" in ran.rows[0]["detail"]
    assert f"entry {entry_id}: WARNING" in ran.err
    assert "duration" not in run("restore", "--id", sandbox.add(State.PLACEHOLDER), "--no-dry-run").err


def _ascii_lower(text: str) -> str:
    return "".join(c.lower() if c.isascii() else c for c in text)


@pytest.mark.parametrize("tags", [f"Lecture, x, {ARCHIVED_TAG}", f"{'ü' * 70}, {ARCHIVED_TAG}"])
def test_tags_that_kaltura_normalises_on_the_way_are_not_taken_for_somebodys_change(
    sandbox: Sandbox, run: Run, tags: str
) -> None:
    entry_id = sandbox.add(State.ARCHIVED)
    sandbox.kaltura.entries[entry_id].tags = tags
    ran = run("replace_video", "--id", entry_id, "--no-dry-run")
    assert ran.outcomes == {entry_id: "done"}, ran.err


def test_an_image_is_archived_but_not_replaced_by_a_video(sandbox: Sandbox, run: Run) -> None:
    """`updateContent` on an image replaces it at once, without a temporary entry (kaltura-api 5.3)."""
    content = sandbox.video()
    entry_id = sandbox.add(State.INITIAL, content=content, media_type=2, file_ext="png", derived=0)
    assert run("s3copy", "--media-type", "image", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "done"}
    assert sandbox.s3.body(entry_id) == content
    ran = run("replace_video", "--media-type", "image", "--id", entry_id, "--no-dry-run")
    assert (ran.code, ran.outcomes) == (3, {entry_id: "refused"})
    assert sandbox.control.requests("media.updateContent") == []
    assert shown(sandbox, entry_id) == content


def test_an_original_of_no_bytes_fails_with_one_line_and_stores_nothing(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    do_not_wait(monkeypatch)
    entry_id = sandbox.add(State.INITIAL, content=b"")
    ran = run("s3copy", "--id", entry_id, "--no-dry-run")
    assert (ran.code, ran.outcomes) == (1, {entry_id: "failed"})
    assert len([line for line in ran.err.splitlines() if " ERROR " in line]) == 1
    assert "Traceback" not in ran.err
    assert sandbox.s3.keys() == []
    assert writes(sandbox) == []
    assert tags_of(sandbox, entry_id) == ""


@pytest.mark.parametrize("fields", [{"original_status": 5}, {"original": False}])
def test_an_entry_without_a_kept_original_is_refused(sandbox: Sandbox, run: Run, fields: dict[str, Any]) -> None:
    entry_id = sandbox.add(State.INITIAL, **fields)
    for command in ("s3copy", "replace_video", "restore", "repair"):
        ran = run(command, "--id", entry_id, "--no-dry-run")
        assert (ran.code, ran.outcomes) == (3, {entry_id: "refused"})
    assert writes(sandbox) == []
    assert state_of(run, entry_id) == "empty"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"display_in_search": -2, "recycled_at": 1_600_000_000}, "recycled"),
        ({"display_in_search": -1, "replaced_entry_id": "0_main00001"}, "temporary"),
        ({"entry_type": 7}, "entry type"),
    ],
)
def test_recycled_temporary_and_foreign_entries_are_left_out_by_name(
    sandbox: Sandbox, run: Run, fields: dict[str, Any], reason: str
) -> None:
    entry_id = sandbox.add(State.INITIAL, **fields)
    for command in ("s3copy", "replace_video", "restore", "repair"):
        ran = run(command, "--id", entry_id, "--no-dry-run")
        # What is in the recycle bin waits for a person; the others are just not meant.
        assert ran.outcomes == ({entry_id: "refused"} if reason == "recycled" else {})
        assert f"entry {entry_id} is left out" in ran.err
        assert reason in ran.err
    assert writes(sandbox) == []
