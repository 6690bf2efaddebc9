"""Limits of a run (--max-cost, --max-bytes): what is beyond them is not begun, and says so."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import Run
from looking import do_not_probe, writes

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
    return [bool(limits.review([each])[0].steps) for each in asked]


def test_without_limits_every_plan_is_as_it_was() -> None:
    limits = Limits()
    assert limits.review([(facts("a", 10**15), GO)]) == [GO]
    assert (limits.any, limits.reached, limits.ended) == (False, "", False)


def test_the_first_that_does_not_fit_closes_it_for_smaller_ones_behind_it_too() -> None:
    limits = Limits(bytes_limit("--max-bytes 10 B", 10, OPTIONS))
    assert begun(limits, (facts("a", 6), GO)) == [True]
    assert not limits.reached
    [held] = limits.review([(facts("b", 5), GO)])
    assert (held.steps, held.outcome) == ((), Outcome.WAITING)
    assert held.reason == "not begun, --max-bytes 10 B: it takes 5 B, and 4 B of that is left in this run"
    assert begun(limits, (facts("c", 1), GO), (facts("d", 0), TAGS_ONLY)) == [False, True]
    assert (limits.reached, limits.ended) == ("--max-bytes 10 B", True)


def test_what_is_larger_than_the_whole_limit_waits_alone_so_that_it_starves_nobody() -> None:
    limits = Limits(bytes_limit("--max-bytes 10 B", 10, OPTIONS))
    [held] = limits.review([(facts("a", 11), GO)])
    assert held.reason == "not begun, --max-bytes 10 B: it alone takes 11 B"
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


def streams(name: str, *sizes: int) -> list[tuple[Facts, Plan]]:
    """A recording: its further streams, and then itself."""
    ids = [*(f"{name}_{number}" for number in range(1, len(sizes))), name]
    made = [facts(one, size) for one, size in zip(ids, sizes, strict=True)]
    parents = [name] * (len(sizes) - 1) + [""]
    return [
        (replace(each, entry=replace(each.entry, parent_entry_id=parent)), GO)
        for each, parent in zip(made, parents, strict=True)
    ]


@pytest.mark.parametrize(
    ("sizes", "told", "closed"),
    [
        ((4, 4, 4), "the recording alone takes 12 B", False),
        ((3, 3, 3), "the recording takes 9 B, and 8 B of that is left in this run", True),
    ],
)
def test_a_recording_is_begun_whole_or_takes_nothing(sizes: tuple[int, ...], told: str, closed: bool) -> None:
    limits = Limits(bytes_limit("10 B", 10, OPTIONS))
    assert begun(limits, (facts("a", 2), GO)) == [True]
    held = limits.review(streams("r", *sizes))
    assert [(plan.steps, plan.outcome, plan.reason) for plan in held] == [
        ((), Outcome.WAITING, f"not begun, 10 B: {told}")
    ] * 3
    assert bool(limits.reached) == closed
    if not closed:
        assert begun(limits, (facts("b", 8), GO)) == [True]


def test_members_that_are_done_already_take_nothing_and_a_recording_is_one_entry() -> None:
    limits = Limits(entries_limit("2 entries", 2), bytes_limit("10 B", 10, OPTIONS))
    first, second, parent = streams("r", 90, 4, 4)
    there = Plan(State.ARCHIVED, (), Outcome.ALREADY)
    assert limits.review([(first[0], there), second, parent]) == [there, GO, GO]
    # Each is asked once more when its turn comes.
    assert begun(limits, second, parent, (facts("a", 2), GO), (facts("b", 0), GO)) == [True, True, True, False]


def test_what_waits_in_any_case_closes_no_limit_for_others() -> None:
    limits = Limits(bytes_limit("10 B", 10, OPTIONS), bytes_limit("20 B", 20, OPTIONS))
    assert begun(limits, (facts("a", 9), GO), (facts("b", 12), GO), (facts("c", 1), GO)) == [True, False, True]
    assert not limits.reached


def test_no_more_is_begun_however_many_threads_ask() -> None:
    limits = Limits(bytes_limit("--max-bytes", 50, OPTIONS))
    done: list[bool] = []
    threads = [
        threading.Thread(target=lambda n=n: done.extend(bool(plan.steps) for plan in limits.review(streams(n, 2, 3))))
        for n in map(str, range(40))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (done.count(True), done.count(False)) == (20, 60)


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


RULE = '[[rule]]\nname = "r"\nselect = { unplayed_for = 3 }\narchive = {}\nreplace = {}\n'
REPLACES = ("replace_video", "--unplayed-for", 3, "--max-bytes", 10000)


@pytest.mark.parametrize("words", [REPLACES, ("run",)], ids=["by hand", "policy"])
def test_a_recording_that_fits_into_no_run_holds_nothing_else_back(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch, words: tuple[object, ...]
) -> None:
    do_not_probe(monkeypatch)
    Path("policy.toml").write_text(f"{RULE}limits = {{ bytes = 10000 }}\n")
    parent = sandbox.add(State.ARCHIVED, age_years=9, content=b"a" * 4000)
    for _ in range(2):
        sandbox.add(State.ARCHIVED, parent_id=parent, display_in_search=-1, content=b"b" * 4000, age_years=9)
    singles = [sandbox.add(State.ARCHIVED, age_years=5, content=b"c" * 2000) for _ in range(2)]
    ran = run(*words, "--no-dry-run", "--workers", 1)
    assert {ran.outcomes[one] for one in singles} == {"done"}, ran.out
    waiting = [row["detail"] for row in ran.rows if row["outcome"] == "waiting"]
    assert len(waiting) == 3
    assert all("10000: the recording alone takes" in told.replace("9.77 KiB", "10000") for told in waiting)


def test_copies_of_a_recording_are_made_as_far_as_the_limit_goes(sandbox: Sandbox, run: Run) -> None:
    """Nothing goes by that: each run makes some more, of a recording that is larger than the limit, too."""
    parent = sandbox.add(State.INITIAL, content=b"a" * 4000)
    for _ in range(2):
        sandbox.add(State.INITIAL, parent_id=parent, display_in_search=-1, content=b"b" * 4000)
    words = ("s3copy", "--id", parent, "--max-bytes", 10000, "--no-dry-run")
    assert sorted(run(*words).outcomes.values()) == ["done", "done", "waiting"]
    assert sorted(run(*words).outcomes.values()) == ["already", "already", "done"]


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
