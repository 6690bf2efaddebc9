"""repair goes on from every named state, and leaves to a person what is a person's (design 5)."""

from __future__ import annotations

from typing import Any

import pytest
from looking import (
    BOTH,
    Run,
    assert_restored,
    lose_flavor_tag,
    original_of,
    shown,
    somebody_replaces,
    state_of,
    tags_of,
    unused_tokens,
    writes,
)

from kaltura_archiver.config import read_settings
from kaltura_archiver.errors import StoreError
from kaltura_archiver.model import ARCHIVED_TAG, REPLACED_TAG, FlavorStatus, State
from kaltura_archiver.sandbox.world import Sandbox
from kaltura_archiver.store import Store


@pytest.fixture(autouse=True)
def nothing_is_left_behind(request: pytest.FixtureRequest) -> Any:
    """Whatever the outcome: no upload is left open and no token unused."""
    sandbox: Sandbox = request.getfixturevalue("sandbox")
    yield
    assert sandbox.s3.uploads() == []
    assert unused_tokens(sandbox) == []


def _empty(sandbox: Sandbox, entry_id: str, *, whole: bool) -> None:
    """Delete the original; with `whole` every flavor, so that the entry has no content."""
    library = sandbox.kaltura.library
    with library.lock:
        for flavor in sorted(library.live_assets(entry_id), key=lambda a: a.is_original):
            if whole or flavor.is_original:
                library.delete_asset(flavor)


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize(("state", "after"), [(State.ARCHIVED, State.ARCHIVED), (State.PLACEHOLDER, State.PLACEHOLDER)])
def test_repair_puts_back_what_an_entry_without_original_should_show(
    sandbox: Sandbox, run: Run, state: State, after: State, whole: bool
) -> None:
    entry_id = sandbox.add(state)
    wanted = sandbox.placeholder if state is State.PLACEHOLDER else sandbox.s3.body(entry_id)
    _empty(sandbox, entry_id, whole=whole)
    assert state_of(run, entry_id) == "no-original"
    ran = run("repair", "--id", entry_id, "--no-dry-run")
    assert (ran.code, ran.outcomes) == (0, {entry_id: "done"}), ran.err
    assert shown(sandbox, entry_id) == wanted
    assert state_of(run, entry_id) == after
    assert run("repair", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "already"}


def test_restore_brings_the_original_back_where_even_the_placeholder_is_gone(sandbox: Sandbox, run: Run) -> None:
    content = sandbox.video()
    entry_id = sandbox.add(State.PLACEHOLDER, content=content)
    _empty(sandbox, entry_id, whole=True)
    assert run("restore", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "done"}
    assert_restored(sandbox, run, entry_id, content)


def test_half_an_answer_to_the_last_look_says_nothing_of_the_original(sandbox: Sandbox, run: Run) -> None:
    content = sandbox.video()
    entry_id = sandbox.add(State.ARCHIVED, content=content)
    _empty(sandbox, entry_id, whole=True)
    tags = sandbox.s3.tags(entry_id)
    sandbox.control.add_fault("file.GET", "cut")
    ran = run("repair", "--id", entry_id, "--no-dry-run")
    assert ran.outcomes == {entry_id: "failed"}
    assert f"the download has {len(content) // 2} bytes, Kaltura says {len(content)}" in ran.err
    assert sandbox.s3.tags(entry_id) == tags
    assert run("s3copy", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "done"}
    assert (shown(sandbox, entry_id), state_of(run, entry_id)) == (content, "archived")


def test_an_answer_of_s3_without_an_etag_is_told(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add(State.ARCHIVED)
    sandbox.control.add_fault("s3.GetObject", "empty", times=10)
    with pytest.raises(StoreError, match="read settings/"):
        Store(read_settings(), read_only=True).get_text(f"settings/{entry_id}.json")


def test_repair_replaces_an_original_that_kaltura_could_not_convert(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add(State.ARCHIVED)
    original_of(sandbox, entry_id).status = FlavorStatus.ERROR.value
    sandbox.kaltura.edit(entry_id, status="-1")
    assert state_of(run, entry_id) == "no-original"
    ran = run("repair", "--id", entry_id, "--no-dry-run")
    assert ran.outcomes == {entry_id: "done"}, ran.err
    assert shown(sandbox, entry_id) == sandbox.s3.body(entry_id)
    assert sandbox.kaltura.entries[entry_id].status == "2"


@pytest.mark.parametrize(
    ("state", "tags", "after", "after_tags"),
    [
        (State.ARCHIVED, "", State.ARCHIVED, {ARCHIVED_TAG}),
        (State.ARCHIVED, REPLACED_TAG, State.ARCHIVED, {ARCHIVED_TAG}),
        (State.ARCHIVED, BOTH, State.ARCHIVED, {ARCHIVED_TAG}),
        (State.PLACEHOLDER, "", State.PLACEHOLDER, {ARCHIVED_TAG, REPLACED_TAG}),
        (State.PLACEHOLDER, ARCHIVED_TAG, State.PLACEHOLDER, {ARCHIVED_TAG, REPLACED_TAG}),
        (State.PLACEHOLDER, REPLACED_TAG, State.PLACEHOLDER, {ARCHIVED_TAG, REPLACED_TAG}),
    ],
)
def test_repair_restores_the_tags_that_the_facts_prove(
    sandbox: Sandbox, run: Run, state: State, tags: str, after: State, after_tags: set[str]
) -> None:
    entry_id = sandbox.add(state)
    video = shown(sandbox, entry_id)
    sandbox.kaltura.edit(entry_id, tags=f"lecture, {tags}")
    ran = run("repair", "--id", entry_id, "--no-dry-run")
    assert ran.outcomes == {entry_id: "done"}, ran.err
    assert set(tags_of(sandbox, entry_id).split(", ")) == after_tags | {"lecture"}
    assert state_of(run, entry_id) == after
    assert {r.operation for r in writes(sandbox)} == {"media.update"}
    assert shown(sandbox, entry_id) == video


def test_repair_proves_an_untagged_copy_before_it_tags_the_entry(sandbox: Sandbox, run: Run) -> None:
    same, other = sandbox.add(State.UNTAGGED), sandbox.add(State.UNTAGGED)
    for entry_id in (same, other):
        lose_flavor_tag(sandbox, entry_id)
    sandbox.s3.put(other, bytes(len(sandbox.s3.body(other) or b"")))
    ran = run("repair", "--id", same, "--id", other, "--no-dry-run")
    assert ran.outcomes == {same: "done", other: "refused"}
    assert (tags_of(sandbox, same), tags_of(sandbox, other)) == (ARCHIVED_TAG, "")


@pytest.mark.parametrize("began", ["replace_video", "restore"])
def test_repair_settles_a_replacement_that_an_earlier_run_began(sandbox: Sandbox, run: Run, began: str) -> None:
    entry_id = sandbox.add(State.ARCHIVED if began == "replace_video" else State.PLACEHOLDER)
    sandbox.kaltura.settings.conversion_seconds = 3600
    run(began, "--id", entry_id, "--no-dry-run", "--timeout", "0.05")
    assert state_of(run, entry_id) == "busy"
    sandbox.control.add_fault("media.get", subject=entry_id, skip=3, after=lambda _: sandbox.kaltura.settle())
    ran = run("repair", "--id", entry_id, "--no-dry-run")
    assert ran.outcomes == {entry_id: "done"}, ran.err
    assert state_of(run, entry_id) == ("placeholder" if began == "replace_video" else "archived")


def test_repair_cancels_a_replacement_of_ours_that_failed_meanwhile(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add(State.ARCHIVED)
    content = sandbox.s3.body(entry_id)
    sandbox.kaltura.settings.conversion_seconds = 3600
    sandbox.kaltura.settings.fail_next_conversions = 1
    run("replace_video", "--id", entry_id, "--no-dry-run", "--timeout", "0.05")
    sandbox.kaltura.settle()
    assert state_of(run, entry_id) == "busy"
    run("repair", "--id", entry_id, "--no-dry-run")
    assert len(sandbox.control.requests("media.cancelReplace")) == 1
    assert shown(sandbox, entry_id) == content
    run("repair", "--id", entry_id, "--no-dry-run")
    assert state_of(run, entry_id) == "archived"


@pytest.mark.parametrize("state", [State.ARCHIVED, State.PLACEHOLDER])
@pytest.mark.parametrize("command", ["replace_video", "restore", "repair", "s3copy"])
def test_a_replacement_of_somebody_elses_is_only_waited_for(
    sandbox: Sandbox, run: Run, command: str, state: State
) -> None:
    entry_id = sandbox.add(state)
    sandbox.kaltura.settings.conversion_seconds = 3600
    newer = b"somebody's new lecture" * 300
    somebody_replaces(sandbox, entry_id, newer)
    timeout = () if command == "s3copy" else ("--timeout", "0.05")
    ran = run(command, "--id", entry_id, "--no-dry-run", *timeout)
    assert (ran.code, ran.outcomes) == (3, {entry_id: "waiting"}), ran.err
    assert writes(sandbox) == []
    sandbox.kaltura.settle()
    assert shown(sandbox, entry_id) == newer
    assert state_of(run, entry_id) == "diverged"
