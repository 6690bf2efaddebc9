"""A bounded sample of the fault walk (`scripts/walk` is all of it), and tests that the walk's judge can see."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from mutants import MUTANTS, Mutant, edited
from scenarios import ARCHIVED, SCENARIOS, Stage
from truth import Truth, digest
from walker import ALLOWED, KINDS, Case, Point, Walker

from kaltura_archiver.model import ARCHIVED_TAG, REPLACED_TAG, State
from kaltura_archiver.sandbox.world import Sandbox

# The full walk has the large file; here its moves are made with small parts.
SAMPLED = [name for name in SCENARIOS if name != "cycle-40mb"]


@pytest.fixture(scope="module")
def walker() -> Iterator[Walker]:
    with Walker() as running:
        yield running


def sample(name: str, points: list[Point]) -> Case | None:
    """A case of this scenario, of another kind than the scenarios beside it; a write where the kind leaves a choice."""
    if name == "restore-url":
        # While Kaltura imports, looks at it are counted by the clock: only what comes before has a number that stays.
        swap = next(point.index for point in points if point.operation == "media.updateContent")
        points = [point for point in points if point.index <= swap]
    turn = SAMPLED.index(name)
    kind = list(KINDS)[turn % len(KINDS)]
    befallen = [point for point in points if KINDS[kind].befalls(point)]
    some = [point for point in befallen if point.writes] or befallen
    return Case(name, some[turn // len(KINDS) % len(some) - 1], kind) if some else None


@pytest.mark.parametrize("name", SAMPLED)
def test_a_fault_loses_nothing_and_the_next_run_goes_on(walker: Walker, name: str) -> None:
    """Every scenario, without a fault and with one; kaltura-api.md 5.5, 9 and design.md 3, 5."""
    if case := sample(name, walker.record(name)):
        verdict = walker.run(case)
        assert verdict.met, f"scripts/walk {case}: the fault was never met"
        assert not verdict.failures, f"scripts/walk {case}"


def test_the_sample_has_every_kind_of_fault() -> None:
    assert len(SAMPLED) >= len(KINDS)


@pytest.mark.parametrize("kind", [name for name, kind in KINDS.items() if kind.by_person])
def test_an_author_is_not_overruled_just_before_the_swap(walker: Walker, kind: str) -> None:
    """kaltura-api.md 6: the last look before `updateContent` sees what somebody did until then."""
    points = walker.record("replace")
    swap = next(point for point in points if point.operation == "media.updateContent")
    looks = [point for point in points if point.index < swap.index and point.operation == "media.get"]
    verdict = walker.run(Case("replace", looks[-1], kind))
    assert verdict.met
    assert not verdict.failures


@pytest.mark.parametrize("source", ["kaltura", "s3"])
def test_a_full_disk_leaves_no_part_of_a_download(walker: Walker, tmp_path: Path, source: str) -> None:
    """Issue of the walk: disk full for whatever is written; only `download` writes files."""
    with Sandbox(conversion_seconds=0.0, real_videos=False) as sandbox:
        content = b"a video that does not fit\n" * 4000
        entry_id = sandbox.add(State.ARCHIVED, content=content)
        arguments = ["download", "--id", entry_id, "--from", source, "--output", "here.mp4"]
        full = walker.zygote.start(arguments, sandbox.environ(), tmp_path, {"file_bytes": 50_000})
        assert full.ended.wait(30)
        assert full.code == 1
        assert "error: cannot write here.mp4" in full.err
        assert list((tmp_path / "work").iterdir()) == []
        fits = walker.zygote.start(arguments, sandbox.environ(), tmp_path, {})
        assert fits.ended.wait(30)
        assert fits.code == 0, fits.err
        assert (tmp_path / "work" / "here.mp4").read_bytes() == content


# The judge: each thing that must never be is seen where it is


@pytest.fixture
def judged() -> Iterator[tuple[Sandbox, Truth]]:
    with Sandbox(conversion_seconds=0.0, real_videos=False) as sandbox:
        content = b"the only video of its kind\n" * 99
        entry_id = sandbox.add(State.ARCHIVED, content=content, tags="lecture")
        truth = Truth(sandbox, entry_id, in_place=False)
        truth.real.add(digest(content))
        truth.kept.add(digest(content))
        truth.people_tags.add("lecture")
        truth.check("at first")
        assert not truth.found
        yield sandbox, truth


def test_judge_sees_a_lost_video(judged: tuple[Sandbox, Truth]) -> None:
    sandbox, truth = judged
    sandbox.kaltura.replace_original(truth.entry_id, sandbox.placeholder)
    sandbox.s3.client().delete_object(Bucket=sandbox.s3.bucket, Key=truth.entry_id)
    truth.check("now")
    assert "LOST" in truth.found


def test_judge_sees_other_bytes_called_archived(judged: tuple[Sandbox, Truth]) -> None:
    sandbox, truth = judged
    sandbox.s3.put(truth.entry_id, b"something else", tags=sandbox.s3.tags(truth.entry_id))
    truth.check("now")
    assert "CORRUPT" in truth.found
    assert "LOST" not in truth.found


def test_judge_sees_a_marker_dropped_from_a_placeholder(judged: tuple[Sandbox, Truth]) -> None:
    sandbox, truth = judged
    sandbox.kaltura.edit(truth.entry_id, tags=f"lecture, {ARCHIVED_TAG}, {REPLACED_TAG}")
    sandbox.kaltura.replace_original(truth.entry_id, sandbox.placeholder)
    truth.check("the placeholder in place")
    assert not truth.found
    sandbox.kaltura.edit(truth.entry_id, tags=f"lecture, {ARCHIVED_TAG}")
    truth.check("now")
    assert "CORRUPT" in truth.found


def test_judge_sees_an_entry_without_content(judged: tuple[Sandbox, Truth]) -> None:
    sandbox, truth = judged
    sandbox.kaltura.edit(truth.entry_id, status="7")
    truth.check("now")
    assert "EMPTY" in truth.found


def test_judge_sees_the_tag_of_somebody_vanish(judged: tuple[Sandbox, Truth]) -> None:
    sandbox, truth = judged
    sandbox.kaltura.edit(truth.entry_id, tags=ARCHIVED_TAG)
    truth.check("now")
    assert "TAGLOST" in truth.found


def test_judge_sees_leftovers(judged: tuple[Sandbox, Truth]) -> None:
    sandbox, truth = judged
    sandbox.s3.client().create_multipart_upload(Bucket=sandbox.s3.bucket, Key=truth.entry_id)
    truth.check_end()
    assert "LEFT" in truth.found


def test_judge_sees_secrets(judged: tuple[Sandbox, Truth]) -> None:
    sandbox, truth = judged
    truth.secrets.add(sandbox.kaltura.app_token)
    truth.check_output(f"GET /x?token={sandbox.kaltura.app_token}", "run 1")
    assert set(truth.found) == {"SECRET"}
    truth.found.clear()
    truth.check_output("http://s3/key?X-Amz-Signature=0123456789abcdef", "run 1")
    assert set(truth.found) == {"SECRET"}
    truth.found.clear()
    truth.check_output("http://s3/key?X-Amz-Signature=[redacted]", "run 1")
    assert not truth.found


def test_walk_sees_a_command_that_never_gets_there(walker: Walker) -> None:
    """A goal that the command does not have is STUCK, and not passed over."""
    stuck = SCENARIOS["repair-half-tagged"]
    impossible = type(stuck)("impossible", stuck.make, (Stage(("repair",), ARCHIVED),))
    SCENARIOS["impossible"] = impossible
    try:
        verdict = walker.run(Case("impossible", Point(0, "session.start", "kaltura", False), "http-500"))
    finally:
        del SCENARIOS["impossible"]
    assert set(verdict.failures) == {"STUCK"}
    assert "STUCK" not in ALLOWED


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_each_mutant_can_still_be_made(mutant: Mutant) -> None:
    """`scripts/mutate` takes minutes, so that the tool may change under it."""
    assert list(edited(mutant))
