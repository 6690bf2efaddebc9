"""Values on which much hangs and which nothing else would notice: each is what a mutant of tests/faults changes."""

from __future__ import annotations

import dataclasses

import pytest
from conftest import Run
from made_facts import ID, VIDEO_BYTES, facts, original, stored

from kaltura_archiver.filters import YEAR_SECONDS, Query
from kaltura_archiver.model import EntryStatus, Facts, Outcome, State
from kaltura_archiver.plans import plan_for
from kaltura_archiver.review.drift import drift
from kaltura_archiver.review.planfile import Line, Terms, terms_of
from kaltura_archiver.sandbox.world import Sandbox
from kaltura_archiver.states import classify
from kaltura_archiver.steps import Command, Options, Step

NOW = 2_000_000_000


def test_a_share_of_the_library_is_the_same_for_ever() -> None:
    """Machines of different versions share a selection: an entry in two shares, or in none, is one too few or many."""
    found = {entry_id: [Query(shard=(n, 7)).in_shard(entry_id) for n in range(7)].index(True) for entry_id in GOLDEN}
    assert found == GOLDEN


# SHA-256 of the id, its first eight bytes as a big-endian number, modulo 7; computed with sha256sum and bc.
GOLDEN = {"0_abc12345": 3, "1_zzzzzzzz": 5, "0_00000000": 6, "0_ha8rrcz5": 0}


@pytest.mark.parametrize(("older_seconds", "acts"), [(0, True), (1, True), (-1, False)])
def test_an_entry_is_old_enough_at_the_very_second(older_seconds: int, acts: bool) -> None:
    created_at = int(NOW - 3 * YEAR_SECONDS) - older_seconds
    known = facts(original(), stored(), archived=True, created_at=created_at, status=EntryStatus.READY)
    plan = plan_for(Command.REPLACE, known, Options(now=NOW, min_age_years=3))
    assert (Step.PUT_PLACEHOLDER in plan.steps) is acts
    assert plan.outcome is (Outcome.DONE if acts else Outcome.SKIPPED)


@pytest.mark.parametrize("status", [EntryStatus.ERROR_IMPORTING, EntryStatus.ERROR_CONVERTING])
@pytest.mark.parametrize(
    ("known", "state"),
    [
        (facts(original(), None), State.INITIAL),
        (facts(original(), stored(), archived=True), State.ARCHIVED),
        (
            facts(original(size_bytes=40_000), stored(placeholder="0_source01@2"), archived=True, replaced=True),
            State.PLACEHOLDER,
        ),
    ],
)
def test_an_entry_in_error_is_not_healthy(known: Facts, state: State, status: EntryStatus) -> None:
    assert classify(known).healthy
    broken = dataclasses.replace(known, entry=dataclasses.replace(known.entry, status=status))
    assert (classify(broken).state, classify(broken).healthy) == (state, False)


def planned(known: Facts, **changes: object) -> tuple[Terms, Line]:
    options = Options(now=NOW, min_age_years=0)
    copy, first = known.stored, known.original
    assert copy is not None
    assert first is not None
    line = Line(
        ID,
        plan_for(Command.REPLACE, known, options).steps,
        first.content_id,
        first.size_bytes,
        known.entry.tags,
        copy.size_bytes,
        copy.etag,
        copy.sha256,
    )
    return terms_of(Command.REPLACE, options, Query(), {}), dataclasses.replace(line, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, ""),
        ({"etag": "f" * 32}, "the stored copy is another one"),
        ({"sha256": "cd" * 32}, "the stored copy is another one"),
        ({"stored_bytes": VIDEO_BYTES - 1}, "the stored copy is another one"),
        ({"original_bytes": VIDEO_BYTES - 1}, f"the original was 0_source01@2 ({VIDEO_BYTES - 1} bytes)"),
        ({"steps": (Step.ADD_ARCHIVED,)}, "it would compare the original with the stored copy once more"),
    ],
)
def test_each_fact_of_a_plan_is_compared(changes: dict[str, object], said: str) -> None:
    known = facts(original(), stored(), archived=True, status=EntryStatus.READY)
    terms, line = planned(known, **changes)
    told = drift(terms, line, known, plan_for(Command.REPLACE, known, Options(now=NOW, min_age_years=0)))
    assert told.startswith(said)
    assert bool(told) is bool(said)


def test_a_session_that_was_ended_is_begun_anew(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add(State.INITIAL)
    sandbox.control.add_fault("media.get", "error", code="INVALID_KS:LOGOUT")
    ran = run("s3copy", "--id", entry_id, "--no-dry-run")
    assert ran.outcomes == {entry_id: "done"}, ran.err
