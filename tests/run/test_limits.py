"""Limits of a run (--max-cost, --max-bytes): what is beyond them is not begun, and says so."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from conftest import Run
from looking import writes

from kaltura_archiver.model import Entry, Facts, FlavorAsset, Outcome, State, StoredObject
from kaltura_archiver.money.bill import committed
from kaltura_archiver.money.prices import Prices
from kaltura_archiver.run.limits import Limits, bytes_limit, entries_limit
from kaltura_archiver.sandbox.world import Sandbox
from kaltura_archiver.steps import Options, Plan, Step

OPTIONS = Options(now=0)
GO = Plan(State.INITIAL, (Step.COPY, Step.ADD_ARCHIVED))
TAGS_ONLY = Plan(State.UNTAGGED, (Step.ADD_ARCHIVED,))


def facts(name: str, size: int, storage_class: str = "") -> Facts:
    original = FlavorAsset("0_flavor", name, is_original=True, size_bytes=size)
    stored = StoredObject(name, size, storage_class=storage_class) if storage_class else None
    return Facts(Entry(name), (original,), stored)


def begun(limits: Limits, *asked: tuple[Facts, Plan]) -> list[bool]:
    """Of each, whether its plan still has its steps."""
    return [bool(limits.review(*each).steps) for each in asked]


def test_without_limits_every_plan_is_as_it_was() -> None:
    limits = Limits()
    assert limits.review(facts("a", 10**15), GO) is GO
    assert (limits.any, limits.reached, limits.ended) == (False, "", False)


def test_the_first_that_does_not_fit_closes_it_for_smaller_ones_behind_it_too() -> None:
    limits = Limits(bytes_limit("--max-bytes 10 B", 10, OPTIONS))
    assert begun(limits, (facts("a", 6), GO)) == [True]
    assert not limits.reached
    held = limits.review(facts("b", 5), GO)
    assert (held.steps, held.outcome) == ((), Outcome.WAITING)
    assert held.reason == "not begun, --max-bytes 10 B: it takes 5 B, and 4 B of that is left in this run"
    assert begun(limits, (facts("c", 1), GO), (facts("d", 0), TAGS_ONLY)) == [False, True]
    assert (limits.reached, limits.ended) == ("--max-bytes 10 B", True)


def test_what_is_larger_than_the_whole_limit_waits_alone_so_that_it_starves_nobody() -> None:
    limits = Limits(bytes_limit("--max-bytes 10 B", 10, OPTIONS))
    assert limits.review(facts("a", 11), GO).reason == "not begun, --max-bytes 10 B: it alone takes 11 B"
    assert not limits.reached
    assert begun(limits, (facts("b", 10), GO)) == [True]


def test_an_entry_that_is_planned_again_is_counted_once_by_its_larger_plan() -> None:
    limits = Limits(bytes_limit("--max-bytes 10 B", 10, OPTIONS), entries_limit("3 entries", 3))
    tags = facts("a", 6), TAGS_ONLY
    assert begun(limits, tags, (facts("a", 6), GO), (facts("a", 6), GO), tags, (facts("b", 4), GO)) == [True] * 5
    # The limit is full, and that entry goes on all the same.
    assert begun(limits, (facts("c", 1), GO), (facts("a", 6), GO)) == [False, True]


def test_any_of_several_limits_holds_an_entry_back_and_takes_nothing_of_the_others() -> None:
    limits = Limits(entries_limit("2 entries", 2), bytes_limit("10 B", 10, OPTIONS))
    assert begun(limits, (facts("a", 11), GO), (facts("b", 1), GO), (facts("c", 1), GO), (facts("d", 1), GO)) == [
        False, True, True, False,
    ]  # fmt: skip
    assert limits.reached == "2 entries"


def test_no_more_is_begun_however_many_threads_ask() -> None:
    limits = Limits(bytes_limit("--max-bytes", 50, OPTIONS))
    done: list[bool] = []
    threads = [
        threading.Thread(target=lambda n=n: done.extend(begun(limits, (facts(str(n), 5), GO)))) for n in range(40)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (done.count(True), done.count(False)) == (10, 30)


@pytest.mark.parametrize(
    ("step", "size"), [(Step.COPY, 7), (Step.PROVE, 7), (Step.READ_BACK, 9), (Step.THAW, 9), (Step.ADD_ARCHIVED, 0)]
)
def test_bytes_are_those_of_the_video_that_a_step_moves_or_reads(step: Step, size: int) -> None:
    stored = StoredObject("a", 9, storage_class="GLACIER")
    found = Facts(Entry("a"), (FlavorAsset("0_flavor", "a", is_original=True, size_bytes=7),), stored)
    assert bytes_limit("", 1, OPTIONS).measure(found, (step,)) == size


def test_money_of_a_frozen_copy_is_counted_when_it_is_asked_for_and_not_again_when_it_has_thawed() -> None:
    prices, size = Prices.load(), 2**40
    cost = committed(prices, Options(now=0, tier="standard", days=3))
    frozen = facts("a", size, "GLACIER")
    assert cost(frozen, (Step.THAW,)) == pytest.approx(
        prices.retrieval("GLACIER", "standard", size, days=3) + prices.transfer_out(size)
    )
    assert cost(frozen, (Step.PUT_ORIGINAL,)) == 0
    readable = facts("a", size, "STANDARD_IA")
    assert cost(readable, (Step.PUT_ORIGINAL,)) == pytest.approx(
        prices.retrieval("STANDARD_IA", "any", size) + prices.transfer_out(size)
    )


def test_money_of_a_copy_is_its_upload_and_the_storage_that_is_paid_in_any_case() -> None:
    prices, size = Prices.load(), 2**40
    found = committed(prices, Options(now=0, storage_class="DEEP_ARCHIVE"))(facts("a", size), (Step.COPY,))
    assert found == pytest.approx(prices.put("DEEP_ARCHIVE", size) + prices.early_deletion("DEEP_ARCHIVE", size, 0))
    assert committed(prices, OPTIONS)(facts("a", size), (Step.COPY,)) == pytest.approx(prices.put("STANDARD", size))


def frozen_entries(sandbox: Sandbox, number: int) -> tuple[list[str], float]:
    """Their ids, all of one size, and what the thaw of one costs."""
    ids = [sandbox.add(State.PLACEHOLDER, storage_class="GLACIER", tags="big") for _ in range(number)]
    size = len(sandbox.s3.body(ids[0]) or b"")
    return ids, committed(Prices.load(), OPTIONS)(facts("a", size, "GLACIER"), (Step.THAW,))


def of(ids: Sequence[str]) -> list[str]:
    return [word for entry_id in ids for word in ("--id", entry_id)]


def test_restore_begins_thaws_for_so_much_money_and_brings_back_what_has_thawed(sandbox: Sandbox, run: Run) -> None:
    ids, cost = frozen_entries(sandbox, 3)
    budget = f"{2.5 * cost:.12f}"
    told = run("restore", *of(ids), "--workers", 1, "--max-cost", budget)
    assert list(told.outcomes.values()) == ["would", "would", "waiting"]
    assert writes(sandbox) == []
    ran = run("restore", *of(ids), "--workers", 1, "--max-cost", budget, "--no-dry-run")
    assert (ran.code, list(ran.outcomes.values())) == (3, ["waiting"] * 3)
    assert [row["detail"].startswith("not begun, --max-cost <0.01 USD: ") for row in ran.rows] == [False, False, True]
    assert "--max-cost <0.01 USD is reached, 0 entries were not begun" in ran.err
    assert [request.subject for request in sandbox.control.requests("s3.RestoreObject")] == ids[:2]
    for entry_id in ids[:2]:
        sandbox.s3.thaw(entry_id)
    # Nothing is left of the money, and what was paid for is brought back all the same.
    ran = run("restore", *of(reversed(ids)), "--workers", 1, "--max-cost", f"{cost / 2:.12f}", "--no-dry-run")
    assert (ran.code, ran.outcomes) == (3, dict(zip(ids, ["done", "done", "waiting"], strict=True)))
    assert len(sandbox.control.requests("s3.RestoreObject")) == 2


def test_without_money_what_has_thawed_is_brought_back_and_nothing_is_asked_for(sandbox: Sandbox, run: Run) -> None:
    ids, _ = frozen_entries(sandbox, 2)
    assert run("restore", "--id", ids[1], "--no-dry-run").code == 3
    sandbox.s3.thaw(ids[1])
    ran = run("restore", *of(ids), "--workers", 1, "--max-cost", 0, "--no-dry-run")
    assert (ran.code, ran.outcomes) == (3, dict(zip(ids, ["waiting", "done"], strict=True)))
    assert "not begun, --max-cost 0.00 USD: it alone takes" in ran.rows[0]["detail"]
    assert len(sandbox.control.requests("s3.RestoreObject")) == 1


def test_behind_a_reached_limit_of_s3copy_no_entry_is_looked_at(sandbox: Sandbox, run: Run) -> None:
    video = sandbox.video()
    ids = [sandbox.add(State.INITIAL, content=video) for _ in range(6)]
    ran = run("s3copy", *of(ids), "--workers", 1, "--max-bytes", int(len(video) * 2.5), "--no-dry-run")
    done, also_done, waiting, *ahead = ran.outcomes.values()
    assert (ran.code, done, also_done, waiting) == (3, "done", "done", "waiting")
    assert len(ahead) <= 1  # was on its way already
    assert f"is reached, {3 - len(ahead)} entries were not begun" in ran.err
    # The next run goes on.
    ran = run("s3copy", *of(ids), "--workers", 1, "--max-bytes", "1G", "--no-dry-run")
    assert (ran.code, list(ran.outcomes.values())) == (0, ["already"] * 2 + ["done"] * 4)
    assert "reached" not in ran.err


def test_a_plan_is_applied_up_to_a_limit_and_goes_on_next_time(sandbox: Sandbox, run: Run) -> None:
    video = sandbox.video()
    ids = [sandbox.add(State.INITIAL, content=video) for _ in range(3)]
    plan = Path("plan.jsonl").absolute()
    assert run("plan", "archive", *of(ids), "-o", plan).code == 0
    ran = run("apply", plan, "--workers", 1, "--max-bytes", len(video), "--no-dry-run")
    assert (ran.code, list(ran.outcomes.values())[:2]) == (3, ["done", "waiting"])
    ran = run("apply", plan, "--no-dry-run")
    assert (ran.code, sorted(ran.outcomes.values())) == (0, ["already", "done", "done"])


@pytest.mark.parametrize(
    "option", [("--max-cost", word) for word in ("-1", "nan", "inf", "1e9", "20 USD")] + [("--max-bytes", "much")]
)
def test_what_is_no_limit_is_refused(run: Run, option: tuple[str, str]) -> None:
    ran = run("restore", "--all", *option)
    assert ran.code == 2
    assert option[0] in ran.err


def test_a_fleet_adds_up_nothing_so_that_a_limit_is_refused_there(run: Run) -> None:
    ran = run("restore", "--all", "--max-cost", 5, "--cluster", "local:2")
    assert (ran.code, "not for --cluster" in ran.err) == (2, True)


@pytest.mark.parametrize("storage_class", ["STANDARD", "GLACIER_IR"])
def test_reading_copies_back_is_paid_for_too(sandbox: Sandbox, run: Run, storage_class: str) -> None:
    """What leaves AWS, and of GLACIER_IR what each GB costs to be read."""
    entry_id = sandbox.add(State.ARCHIVED, storage_class=storage_class, content=b"v" * 6_000_000)
    assert "leaving AWS" in run("verify", "--id", entry_id).err
    ran = run("verify", "--id", entry_id, "--max-cost", "0", "--no-dry-run")
    assert ran.outcomes == {entry_id: "waiting"}
    assert "not begun, --max-cost" in ran.out
