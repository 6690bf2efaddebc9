"""What a dry run says that it would cost: the sums of the entries, in the summary line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from conftest import Run

from kaltura_archiver.model import Entry, Facts, FlavorAsset, State, StoredObject
from kaltura_archiver.money.bill import Bill, money
from kaltura_archiver.money.prices import Prices
from kaltura_archiver.sandbox.world import Sandbox
from kaltura_archiver.steps import Options, Step

TB = 2**40
PRICES = Prices.load()


def facts(size: int, storage_class: str = "") -> Facts:
    original = FlavorAsset("0_flavor", "0_entry", is_original=True, size_bytes=size)
    stored = StoredObject("0_entry", size, storage_class=storage_class) if storage_class else None
    return Facts(Entry("0_entry"), (original,), stored)


def bill(*entries: tuple[Facts, Step], **options: object) -> str:
    made = Bill(PRICES, Options(now=0, **options))  # type: ignore[arg-type]
    for found, step in entries:
        made.add(found, [step, Step.ADD_ARCHIVED])
    return str(made)


def test_copies_cost_uploads_and_storage_and_the_minimum_that_is_paid_in_any_case() -> None:
    months = 2 * PRICES.s3_month("DEEP_ARCHIVE", TB)
    uploads = 2 * PRICES.put("DEEP_ARCHIVE", TB)
    assert bill((facts(TB), Step.COPY), (facts(TB), Step.COPY), storage_class="DEEP_ARCHIVE") == (
        f"cost: uploads {uploads:.2f} USD, storage {months:.2f} USD a month in DEEP_ARCHIVE "
        f"({6 * months:.2f} USD at least: 6 months)"
    )
    assert bill((facts(TB), Step.COPY)) == "cost: uploads 0.66 USD, storage 23.55 USD a month in STANDARD"


def test_thawing_costs_another_sum_in_each_tier_and_says_what_has_no_such_tier() -> None:
    sums = {
        tier: PRICES.retrieval("GLACIER", tier, TB, days=5) + PRICES.retrieval("DEEP_ARCHIVE", tier, TB, days=5)
        for tier in ("bulk", "standard")
    }
    expedited = PRICES.retrieval("GLACIER", "expedited", TB, days=5)
    frozen = (facts(TB, "GLACIER"), Step.THAW), (facts(TB, "DEEP_ARCHIVE"), Step.THAW)
    assert bill(*frozen, days=5) == (
        f"cost: thawing bulk {sums['bulk']:.2f} USD, thawing standard {sums['standard']:.2f} USD, "
        f"thawing expedited {expedited:.2f} USD without 1 that have no such tier, leaving AWS 184.32 USD at most"
    )


def test_reading_what_has_thawed_costs_no_second_retrieval() -> None:
    assert bill((facts(TB, "GLACIER"), Step.PUT_ORIGINAL)) == "cost: reading <0.01 USD, leaving AWS 92.16 USD at most"
    assert bill((facts(TB, "STANDARD_IA"), Step.PUT_ORIGINAL)).startswith("cost: reading 10.24 USD")


def test_what_costs_nothing_says_nothing() -> None:
    assert bill((facts(TB, "GLACIER"), Step.ADD_ARCHIVED)) == ""


@pytest.mark.parametrize(
    ("amount", "shown"), [(0, "0.00 USD"), (0.004, "<0.01 USD"), (0.006, "0.01 USD"), (12345.678, "12,345.68 USD")]
)
def test_sums_are_rounded_to_cents_but_never_to_nothing(amount: float, shown: str) -> None:
    assert money(amount, "USD") == shown


def test_the_dry_runs_tell_the_cost_of_all_entries_without_a_further_call(sandbox: Sandbox, run: Run) -> None:
    for _ in range(2):
        sandbox.kaltura.add_entry(content_bytes=2**40, tags="big")
    before = len(sandbox.control.requests())
    ran = run("s3copy", "--tag", "big", "--storage-class", "DEEP_ARCHIVE")
    months = 2 * PRICES.s3_month("DEEP_ARCHIVE", TB)
    assert re.search(rf"would 2; .*; cost: uploads .* USD, storage {months:.2f} USD a month in DEEP_ARCHIVE", ran.err)
    asked = [request.operation for request in sandbox.control.requests()[before:]]
    assert asked.count("media.get") == asked.count("s3.HeadObject") == 2

    sandbox.add(State.PLACEHOLDER, content=bytes(2**20), storage_class="DEEP_ARCHIVE", tags="cold")
    ran = run("restore", "--tag", "cold")
    assert "cost: thawing bulk <0.01 USD, thawing standard <0.01 USD, leaving AWS <0.01 USD at most" in ran.err


def test_a_real_run_tells_no_cost_and_does_not_mind_a_wrong_table(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    entry_id = sandbox.add(State.INITIAL)
    monkeypatch.setenv("PRICE_TABLE", str(tmp_path / "none.toml"))
    ran = run("s3copy", "--id", entry_id)
    assert ran.code == 2
    assert "cannot read the price table" in str(ran.err)
    ran = run("s3copy", "--id", entry_id, "--no-dry-run")
    assert ran.code == 0
    assert "cost:" not in ran.err


def test_an_old_table_is_warned_of(sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text("[storage.STANDARD]\ngb_month = 7\nas_of = 2020-01-01\n")
    monkeypatch.setenv("PRICE_TABLE", str(tmp_path / "own.toml"))
    ran = run("s3copy", "--id", sandbox.kaltura.add_entry(content_bytes=2**30).id)
    assert "the prices are of 2020-01-01" in ran.err
    assert "storage 7.00 USD a month" in ran.err
