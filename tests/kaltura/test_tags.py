"""Other people's tags: whatever a command does with its own, not a byte of theirs changes, and none is lost."""

from __future__ import annotations

import unicodedata
from typing import Literal

import pytest
from conftest import Run
from hypothesis import given
from hypothesis import strategies as st
from looking import state_of, tags_of, writes

from kaltura_archiver.model import ARCHIVED_TAG, REPLACED_TAG, State, normalised_tags, split_tags, tags_with
from kaltura_archiver.sandbox.control import Request
from kaltura_archiver.sandbox.kaltura.records import normalise_tags
from kaltura_archiver.sandbox.world import Sandbox

# Sent, and what a real Kaltura answered (real-kaltura M01).
RECORDED = {
    "A, b, cc": "cc",
    "Physics, physics ,PHYSICS": "physics",
    " spaced  out ,x  y": "spaced  out, x  y",
    "ümlaut, ÜMLAUT, Ü": "ümlaut, Ümlaut, Ü",
    "é": "é",
    "é" * 60: "é" * 50,
    "a" * 99 + "é": "a" * 99,
    "line\nbreak, tab\there": "line\nbreak, tab\there",
    "İstanbul, ẞ, ß": "İstanbul, ẞ, ß",
    "nbsp\u00a0tag, \u00a0pad\u00a0": "nbsp\u00a0tag, \u00a0pad\u00a0",
    "e\u0301 combined": "e\u0301 combined",
    ",,,": "",
}
TEXTS = st.text(alphabet="aBé,  \u00a0\u2003\n\tİK", max_size=60)


@pytest.mark.parametrize(("sent", "answered"), RECORDED.items())
def test_tags_are_normalised_as_a_real_kaltura_does(sent: str, answered: str) -> None:
    assert normalise_tags(sent) == answered
    assert ", ".join(normalised_tags(split_tags(sent))) == answered


@given(TEXTS)
def test_a_change_of_tags_changes_the_tag_that_is_meant_and_nothing_else(text: str) -> None:
    stored = normalise_tags(text)
    tagged = normalise_tags(tags_with(stored, add=ARCHIVED_TAG))
    assert tagged == (f"{stored}, {ARCHIVED_TAG}" if stored else ARCHIVED_TAG)
    assert tags_with(tagged, add=ARCHIVED_TAG) == tagged
    assert normalise_tags(tags_with(tagged, remove=ARCHIVED_TAG)) == normalise_tags(stored)
    assert tags_with(stored, remove=ARCHIVED_TAG) == stored
    mixed = f"{text},{ARCHIVED_TAG.upper()} ,{text}"
    assert ARCHIVED_TAG not in tags_with(mixed, remove=ARCHIVED_TAG).lower()
    assert normalise_tags(tags_with(mixed, remove=ARCHIVED_TAG)) == normalise_tags(f"{text},{text}")


@pytest.mark.parametrize(
    "tags",
    ["nbsp\u00a0tag, \u00a0pad\u00a0", f"\u2003{ARCHIVED_TAG}\u2003, Über\u3000", "\u00a0keep it, e\u0301 combined"],
)
def test_the_blanks_of_other_scripts_come_through_the_whole_cycle(sandbox: Sandbox, run: Run, tags: str) -> None:
    entry_id = sandbox.add(State.INITIAL, tags=tags)
    for command, own in (
        ("s3copy", f", {ARCHIVED_TAG}"),
        ("replace_video", f", {ARCHIVED_TAG}, {REPLACED_TAG}"),
        ("restore", f", {ARCHIVED_TAG}"),
    ):
        ran = run(command, "--id", entry_id, "--no-dry-run")
        assert (ran.code, ran.outcomes) == (0, {entry_id: "done"}), ran.err
        assert tags_of(sandbox, entry_id) == normalise_tags(tags) + own


@pytest.mark.parametrize(("before", "after"), [("talk", "talk\u00a0"), ("ümlaut", "Ümlaut"), ("one, two", "two, one")])
def test_what_somebody_changes_of_a_tag_between_two_looks_is_seen(
    sandbox: Sandbox, run: Run, before: str, after: str
) -> None:
    entry_id = sandbox.add(State.ARCHIVED, tags=before)
    video = sandbox.s3.body(entry_id)

    def edit(request: Request) -> None:
        sandbox.kaltura.edit(entry_id, tags=f"{after}, {ARCHIVED_TAG}, {REPLACED_TAG}")

    sandbox.control.add_fault("media.update", after=edit)
    ran = run("replace_video", "--id", entry_id, "--no-dry-run")
    assert ran.outcomes == {entry_id: "failed"}, ran.err
    assert "somebody changed the tags" in ran.err
    assert sandbox.control.requests("media.updateContent") == []
    assert tags_of(sandbox, entry_id) == f"{after}, {ARCHIVED_TAG}"
    assert sandbox.s3.body(entry_id) == video


def test_a_blank_at_which_kaltura_cuts_a_long_tag_is_nobodys_change(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add(State.ARCHIVED)
    sandbox.kaltura.entries[entry_id].tags = f"{'a' * 99} long, {ARCHIVED_TAG}"
    assert run("replace_video", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "done"}


def test_a_no_break_space_beside_keep_still_keeps(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add(State.INITIAL, tags="\u00a0keep")
    assert run("s3copy", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "skipped"}


# Length (real-kaltura M07)


def many(size_bytes: int) -> str:
    """So many bytes of tags, as Kaltura holds them."""
    tags = [f"tag {number:04d} {'z' * 60}" for number in range(size_bytes // 71)]
    rest = size_bytes - len(", ".join(tags))
    return (
        ", ".join([*tags[:-1], tags[-1] + "y" * (rest % 30)]) if rest < 30 else f"{', '.join(tags)}, {'x' * (rest - 2)}"
    )


def test_a_tag_for_which_there_is_no_room_is_not_set(sandbox: Sandbox, run: Run) -> None:
    tags = many(65_530)
    assert len(tags) == 65_530
    entry_id = sandbox.add(State.UNTAGGED, tags=tags)
    ran = run("s3copy", "--id", entry_id, "--no-dry-run")
    assert (ran.code, ran.outcomes) == (1, {entry_id: "failed"})
    assert f"the tags of {entry_id} would have 65546 bytes, of which Kaltura keeps 65535" in ran.err
    assert tags_of(sandbox, entry_id) == tags
    assert writes(sandbox, "media.update") == []
    # What can be done about it.
    sandbox.kaltura.edit(entry_id, tags=tags[:-20])
    assert run("s3copy", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "done"}
    assert tags_of(sandbox, entry_id) == f"{tags[:-20]}, {ARCHIVED_TAG}"


def test_tags_that_the_database_cuts_after_the_answer_are_put_back(sandbox: Sandbox, run: Run) -> None:
    """As one does that holds them in another character set, where the limit is reached with fewer."""
    tags = many(40_000)
    entry_id = sandbox.add(State.UNTAGGED, tags=tags)

    def cut(request: Request) -> None:
        entry = sandbox.kaltura.entries[entry_id]
        entry.tags = entry.tags[:39_000]

    sandbox.control.add_fault("media.update", after=cut)
    ran = run("s3copy", "--id", entry_id, "--no-dry-run")
    assert (ran.code, ran.outcomes) == (1, {entry_id: "failed"})
    assert "Kaltura kept only 39000 of 40016 bytes" in ran.err
    assert tags_of(sandbox, entry_id) == tags
    assert state_of(run, entry_id) == "untagged"


def test_tags_that_are_cut_while_the_answer_is_lost_are_put_back(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kaltura_archiver.kaltura.Kaltura._pause", lambda self, seconds: False)
    tags = many(40_000)
    entry_id = sandbox.add(State.UNTAGGED, tags=tags)

    def cut(request: Request) -> None:
        entry = sandbox.kaltura.entries[entry_id]
        entry.tags = entry.tags[:39_000]

    sandbox.control.add_fault("media.update", "drop_after", after=cut)
    assert run("s3copy", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "failed"}
    assert tags_of(sandbox, entry_id) == tags


def test_long_tags_that_are_kept_are_read_once_more_and_done(sandbox: Sandbox, run: Run) -> None:
    tags = many(65_519)
    entry_id = sandbox.add(State.UNTAGGED, tags=tags)
    assert run("s3copy", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "done"}
    assert tags_of(sandbox, entry_id) == f"{tags}, {ARCHIVED_TAG}"
    assert len(tags_of(sandbox, entry_id)) == 65_535


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_what_is_left_out_by_a_tag_is_so_in_either_spelling(
    sandbox: Sandbox, run: Run, form: Literal["NFC", "NFD"]
) -> None:
    """Kaltura tells the two spellings of an accent apart."""
    forms: tuple[Literal["NFC", "NFD"], ...] = ("NFC", "NFD")
    ids = [sandbox.add(State.INITIAL, tags=unicodedata.normalize(each, "\u00e9t\u00e9")) for each in forms]
    asked = [word for entry_id in ids for word in ("--id", entry_id)]
    assert run("s3copy", *asked, "--exclude-tag", unicodedata.normalize(form, "\u00e9t\u00e9")).outcomes == {}
