"""`restore --request-tag restore_please`: what people have asked for comes back, and is asked for no more."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from conftest import Run
from looking import do_not_probe, do_not_wait, shown, tags_of, writes

from kaltura_archiver.model import ARCHIVED_TAG, REPLACED_TAG, State
from kaltura_archiver.sandbox.kaltura.metadata import MetadataField
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


def test_a_request_that_is_withdrawn_meanwhile_is_not_served(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    do_not_probe(monkeypatch)
    Path("policy.toml").write_text(f'[restore]\nrequest_tag = "{TAG}"\n')
    for words in (ASKING, ("run",)):
        sandbox.control.clear_faults()
        first = sandbox.add(State.PLACEHOLDER, tags=TAG, age_years=9)
        second = sandbox.add(State.PLACEHOLDER, tags=TAG, age_years=5)
        withdraw = partial(sandbox.kaltura.edit, second, tags=f"{ARCHIVED_TAG}, {REPLACED_TAG}")
        sandbox.control.add_fault("media.updateContent", after=lambda _, withdraw=withdraw: withdraw())
        ran = run(*words, "--no-dry-run", "--workers", 1)
        assert (ran.code, ran.outcomes) == (0, {first: "done", second: "skipped"}), ran.err
        assert "not what was asked for any more" in ran.out
        assert REPLACED_TAG in tags_of(sandbox, second)


def test_what_is_played_meanwhile_is_brought_back_all_the_same(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add(State.PLACEHOLDER, age_years=9)
    other = sandbox.add(State.PLACEHOLDER, age_years=10)
    now = int(sandbox.control.clock.now())
    sandbox.control.add_fault(
        "media.updateContent", after=lambda _: sandbox.kaltura.edit(entry_id, plays=1, last_played_at=now)
    )
    ran = run("restore", "--unplayed-for", 1, "--no-dry-run", "--workers", 1)
    assert ran.outcomes == {other: "done", entry_id: "done"}


def test_a_recording_of_which_streams_are_back_is_brought_back_whole(sandbox: Sandbox, run: Run) -> None:
    parent = sandbox.add(State.PLACEHOLDER, tags=TAG)
    stream = sandbox.add(State.PLACEHOLDER, parent_id=parent, display_in_search=-1)
    sandbox.control.add_fault(
        "media.updateContent",
        after=lambda _: sandbox.kaltura.edit(parent, tags=f"{ARCHIVED_TAG}, {REPLACED_TAG}"),
        times=1,
    )
    assert run(*ASKING, "--no-dry-run").outcomes == {stream: "done", parent: "done"}


def test_what_is_not_asked_for_any_more_is_not_archived(sandbox: Sandbox, run: Run) -> None:
    first, second, _ = (sandbox.add(State.INITIAL, age_years=age, tags=t) for age, t in ((9, ""), (5, ""), (1, "exam")))
    sandbox.control.add_fault("s3.PutObject", after=lambda _: sandbox.kaltura.edit(second, tags="exam"))
    ran = run("s3copy", "--tag", "!exam", "--tag", f"!{ARCHIVED_TAG}", "--no-dry-run", "--workers", 1)
    assert ran.outcomes == {first: "done", second: "skipped"}
    assert sandbox.s3.body(second) is None


RULE = '[[rule]]\nname = "r"\nselect = {{ {} }}\narchive = {{}}\nreplace = {{}}\n'


@pytest.mark.parametrize("by_policy", [False, True])
@pytest.mark.parametrize("late", [False, True], ids=["before its turn", "while it is uploaded"])
@pytest.mark.parametrize(
    ("criterion", "select", "said"),
    [
        ("--exclude-category=20", "exclude_category = 20", "it is in an excluded category"),
        ("--category=Old", 'category = "Old"', "it is not in category 30 or below it"),
        ("--metadata=Retention=Short", 'metadata = "Retention=Short"', "its Retention is Long"),
    ],
)
def test_categories_and_custom_metadata_are_asked_for_until_the_last_look(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch, criterion: str, select: str, said: str, late: bool,
    by_policy: bool,
) -> None:  # fmt: skip
    do_not_probe(monkeypatch)
    Path("policy.toml").write_text(RULE.format(select))
    sandbox.kaltura.add_category(20, "Exams", privacy_context="MediaSpace")
    sandbox.kaltura.add_category(30, "Old", privacy_context="MediaSpace")
    sandbox.kaltura.add_profile(1, MetadataField(11, "Retention"))
    first, second = (sandbox.add(State.ARCHIVED, age_years=age, categories=(30,)) for age in (9, 5))
    for entry_id in (first, second):
        sandbox.kaltura.set_metadata(entry_id, 1, Retention="Short")
    sandbox.kaltura.settle()

    def change(_: object) -> None:
        sandbox.kaltura.edit(second, categories=(20,))
        sandbox.kaltura.set_metadata(second, 1, Retention="Long")

    # Of the second, the tag that comes when its placeholder is uploaded.
    sandbox.control.add_fault(*("media.update",) if late else ("media.updateContent",), skip=int(late), after=change)
    words = ("run",) if by_policy else ("replace_video", criterion, "--created-before", 3)
    ran = run(*words, "--no-dry-run", "--workers", 1, *(() if by_policy else ("--max-converting", 1)))
    assert ran.outcomes == {first: "done", second: "failed" if late else "skipped"}, ran.err
    assert said in ran.out
    assert tags_of(sandbox, second) == ARCHIVED_TAG


def test_no_category_is_read_where_none_is_asked_for(sandbox: Sandbox, run: Run) -> None:
    sandbox.add(State.ARCHIVED, age_years=9)
    run("replace_video", "--created-before", 3, "--no-dry-run")
    assert not sandbox.control.requests("categoryEntry.list")
