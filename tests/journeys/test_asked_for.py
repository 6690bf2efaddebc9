"""`restore --request-tag restore_please`: what people have asked for comes back, and is asked for no more."""

from __future__ import annotations

import pytest
from conftest import Run
from looking import do_not_wait, shown, tags_of, writes

from kaltura_archiver.model import ARCHIVED_TAG, REPLACED_TAG, State
from kaltura_archiver.sandbox.world import Sandbox

TAG = "restore_please"
ASKING = ("restore", "--request-tag", "Restore_Please")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    do_not_wait(monkeypatch)


def test_what_is_asked_for_comes_back_and_the_tag_goes(sandbox: Sandbox, run: Run) -> None:
    video = sandbox.video()
    asked = sandbox.add(State.PLACEHOLDER, content=video, tags=f"lecture, {TAG}")
    thin = sandbox.add(State.THIN, tags=TAG)
    there = sandbox.add(State.ARCHIVED, tags=TAG)
    never = sandbox.add(State.INITIAL, tags=f"{TAG}, seminar")
    other = sandbox.add(State.PLACEHOLDER, tags=f"{TAG}s")
    would = run(*ASKING)
    assert would.outcomes == dict.fromkeys((asked, thin, there, never), "would")
    assert "remove the tag by which it was asked for" in would.out
    assert writes(sandbox) == []
    ran = run(*ASKING, "--no-dry-run")
    assert ran.outcomes == dict.fromkeys((asked, thin, there, never), "done"), ran.err
    assert shown(sandbox, asked) == video
    assert tags_of(sandbox, asked) == f"lecture, {ARCHIVED_TAG}"
    assert (tags_of(sandbox, thin), tags_of(sandbox, there)) == (ARCHIVED_TAG, ARCHIVED_TAG)
    assert tags_of(sandbox, never) == "seminar"
    assert "the original is in Kaltura; tag restore_please removed" in ran.out
    assert REPLACED_TAG in tags_of(sandbox, other)
    ran = run(*ASKING, "--no-dry-run")
    assert (ran.code, ran.rows, "nobody asks" in ran.err, "WARNING" in ran.err) == (0, [], True, False)


def test_a_tag_is_a_criterion_like_any_other_and_stays_without_the_option(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add(State.PLACEHOLDER, tags=TAG)
    assert run("restore", "--tag", TAG, "--no-dry-run").outcomes == {entry_id: "done"}
    assert tags_of(sandbox, entry_id) == f"{TAG}, {ARCHIVED_TAG}"


def test_other_criteria_count_beside_it(sandbox: Sandbox, run: Run) -> None:
    ids = {owner: sandbox.add(State.PLACEHOLDER, tags=TAG, creator_id=owner) for owner in ("ann", "bob")}
    sandbox.kaltura.settle()
    assert run(*ASKING, "--owner", "ann").outcomes == {ids["ann"]: "would"}
    unasked = sandbox.add(State.PLACEHOLDER)
    assert run(*ASKING, "--id", unasked).rows == []


def test_until_it_is_back_it_is_asked_for(sandbox: Sandbox, run: Run) -> None:
    frozen = sandbox.add(State.PLACEHOLDER, storage_class="GLACIER", tags=TAG)
    lost = sandbox.add(State.LOST, tags=TAG)
    assert run(*ASKING, "--no-dry-run").outcomes == {frozen: "waiting", lost: "refused"}
    assert TAG in tags_of(sandbox, frozen)
    assert TAG in tags_of(sandbox, lost)
    sandbox.control.clock.advance(24 * 3600)
    sandbox.kaltura.settings.fail_next_conversions = 1
    assert run(*ASKING, "--no-dry-run").outcomes[frozen] == "failed"
    assert TAG in tags_of(sandbox, frozen)
    assert run(*ASKING, "--no-dry-run").outcomes[frozen] == "done"
    assert tags_of(sandbox, frozen) == ARCHIVED_TAG


def test_a_restore_that_is_cut_before_its_last_step_is_ended_by_the_next(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add(State.PLACEHOLDER, tags=TAG)
    # The first removes flavors_deleted, the second is ours.
    sandbox.control.add_fault("media.update", "error", code="PROPERTY_VALIDATION_NO_UPDATE", skip=1, times=1)
    assert run(*ASKING, "--no-dry-run").outcomes == {entry_id: "failed"}
    assert tags_of(sandbox, entry_id) == f"{TAG}, {ARCHIVED_TAG}"
    assert run(*ASKING, "--no-dry-run").outcomes == {entry_id: "done"}
    assert tags_of(sandbox, entry_id) == ARCHIVED_TAG


@pytest.mark.parametrize("tag", ["flavors_deleted", "Archived_To_S3", "keep", "keep_until_2027-01-01", "a,b", "größe"])
def test_no_tag_with_another_meaning_asks(sandbox: Sandbox, run: Run, tag: str) -> None:
    sandbox.add(State.PLACEHOLDER, tags=tag)
    ran = run("restore", "--request-tag", tag, "--no-dry-run")
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert writes(sandbox) == []
