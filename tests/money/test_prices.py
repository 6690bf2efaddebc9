"""What things cost, by the table of prices: each sum worked out by hand."""

from __future__ import annotations

import tomllib
from datetime import date
from pathlib import Path

import pytest

from kaltura_archiver.cli.types import STORAGE_CLASSES
from kaltura_archiver.errors import ConfigError
from kaltura_archiver.money.prices import BUILT_IN, MAX_PUT_BYTES, PART_BYTES, Prices
from kaltura_archiver.transfer import chunks

GB = 2**30
KB = 1024
TODAY = date(2026, 11, 25)


@pytest.fixture
def prices() -> Prices:
    return Prices.load(0.1, today=TODAY)


def test_each_figure_has_a_date_and_a_source() -> None:
    def check(section: dict[str, object], name: str) -> None:
        figures = [key for key, value in section.items() if isinstance(value, int | float)]
        if figures:
            assert isinstance(section["as_of"], date), name
            assert section["source"], name
        for key, value in section.items():
            if isinstance(value, dict):
                check(value, f"{name}.{key}")

    check(tomllib.loads(BUILT_IN.read_text()), "")


def test_each_storage_class_has_its_prices(prices: Prices) -> None:
    for storage_class in STORAGE_CLASSES:
        assert f"storage.{storage_class}.gb_month" in prices.figures
        assert f"requests.{storage_class}.put_per_1000" in prices.figures


def test_a_month_in_kaltura_costs_its_price_or_is_unknown(prices: Prices) -> None:
    assert prices.kaltura_month(5 * GB) == pytest.approx(0.5)
    assert Prices.load().kaltura_month(5 * GB) is None


def test_freeing_pays_from_the_kaltura_price_on_that_equals_its_cost(prices: Prices) -> None:
    price = prices.break_even(3.0, 100 * GB)
    assert price == pytest.approx(0.03)
    assert Prices.load(price).kaltura_month(100 * GB) == pytest.approx(3.0)
    assert prices.break_even(3.0, 0) is None


def test_a_month_in_s3_counts_gigabytes_of_1024(prices: Prices) -> None:
    assert prices.s3_month("STANDARD", 1000 * GB) == pytest.approx(23.0)
    assert prices.s3_month("INTELLIGENT_TIERING", 1000 * GB, 2000) == pytest.approx(4.0 + 2 * 0.0025)


@pytest.mark.parametrize(("storage_class", "price"), [("GLACIER", 0.0036), ("DEEP_ARCHIVE", 0.00099)])
def test_each_frozen_object_is_40_kb_larger_than_its_bytes(prices: Prices, storage_class: str, price: float) -> None:
    objects = 1_000_000
    expected = 100 * price + objects * 32 * KB / GB * price + objects * 8 * KB / GB * 0.023
    assert prices.s3_month(storage_class, 100 * GB, objects) == pytest.approx(expected)
    one = prices.s3_month(storage_class, 100 * GB // objects, 1)
    assert objects * one == pytest.approx(expected, rel=1e-3)


def test_a_small_object_is_paid_for_as_128_kb_where_aws_does_so(prices: Prices) -> None:
    assert prices.s3_month("STANDARD_IA", 1) == prices.s3_month("STANDARD_IA", 128 * KB)
    assert prices.s3_month("STANDARD", 1) < prices.s3_month("STANDARD", 128 * KB)


def test_an_upload_of_parts_pays_each_part_as_standard_and_the_end_as_its_class(prices: Prices) -> None:
    assert (MAX_PUT_BYTES, PART_BYTES) == (chunks.MAX_WHOLE_BYTES, chunks.CHUNK_BYTES)
    assert prices.put("DEEP_ARCHIVE", 16 * 2**20) == pytest.approx(0.05 / 1000)
    assert prices.put("DEEP_ARCHIVE", 80 * 2**20) == pytest.approx(0.05 / 1000 + (1 + 10) * 0.005 / 1000)
    assert prices.put("STANDARD_IA", 80 * 2**20) == pytest.approx((1 + 1 + 10) * 0.01 / 1000)


def test_a_retrieval_is_bytes_requests_and_the_thawed_copy(prices: Prices) -> None:
    copy = 7 / 30 * 100 * 0.023
    get = 50 * 0.0004 / 1000
    expected = 100 * 0.01 + 50 * 0.05 / 1000 + copy + get
    assert prices.retrieval("GLACIER", "standard", 100 * GB, 50, 7) == pytest.approx(expected)
    assert prices.retrieval("GLACIER", "bulk", 100 * GB, 50, 7) == pytest.approx(copy + get)
    assert prices.retrieval("GLACIER", "expedited", 0, 1000, 7) == pytest.approx(10 + 0.0004)
    assert prices.retrieval("STANDARD_IA", "bulk", 100 * GB) == pytest.approx(1.0, rel=1e-5)
    assert prices.retrieval("STANDARD", "bulk", 100 * GB) == pytest.approx(0.0004 / 1000)
    assert prices.transfer_out(100 * GB) == pytest.approx(9.0)


def test_deep_archive_is_not_thawed_expedited(prices: Prices) -> None:
    assert prices.tiers("GLACIER") == ("bulk", "standard", "expedited")
    assert prices.tiers("DEEP_ARCHIVE") == ("bulk", "standard")
    assert prices.tiers("STANDARD") == ()
    with pytest.raises(ValueError, match="no tier expedited"):
        prices.retrieval("DEEP_ARCHIVE", "expedited", GB)


def test_early_deletion_pays_the_days_that_are_left(prices: Prices) -> None:
    month = prices.s3_month("DEEP_ARCHIVE", 100 * GB)
    assert prices.early_deletion("DEEP_ARCHIVE", 100 * GB, 0) == pytest.approx(6 * month)
    assert prices.early_deletion("DEEP_ARCHIVE", 100 * GB, 150) == pytest.approx(month)
    assert prices.early_deletion("DEEP_ARCHIVE", 100 * GB, 200) == 0
    assert prices.early_deletion("STANDARD", 100 * GB, 0) == 0


def test_a_class_without_a_price_counts_as_standard(prices: Prices) -> None:
    for cost in (prices.s3_month, prices.put):
        assert cost("REDUCED_REDUNDANCY", GB) == cost("STANDARD", GB)
    assert prices.retrieval("", "bulk", GB) == prices.retrieval("STANDARD", "bulk", GB)


def test_a_table_is_stale_when_its_newest_figure_is_18_months_old() -> None:
    fresh = Prices.load(today=TODAY)
    assert fresh.as_of == date(2026, 6, 5)
    assert not fresh.stale
    assert not Prices.load(today=date(2027, 12, 5)).stale
    assert Prices.load(today=date(2027, 12, 6)).stale


OWN = """
[storage.GLACIER]
gb_month = 0.5
as_of = 2020-01-01
"""


def test_a_table_of_ones_own_changes_what_it_names_and_is_as_old_as_it_says(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(OWN)
    own = Prices.load(path=path, today=TODAY)
    assert own.figures["storage.GLACIER.gb_month"] == 0.5
    assert own.figures["storage.STANDARD.gb_month"] == 0.023
    assert own.as_of == date(2020, 1, 1)
    assert own.stale


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[storage.GLACIR]\ngb_month = 1\nas_of = 2026-01-01", "no figure storage.GLACIR.gb_month"),
        ("[storage.GLACIER]\ngb_month = 1", "lacks as_of"),
        ("[storage.GLACIER]\ngb_month = -1\nas_of = 2026-01-01", "must be a number, 0 or more, not -1"),
        ("[storage.GLACIER]\ngb_month = nan\nas_of = 2026-01-01", "must be a number"),
        ("[storage.GLACIER]\ngb_month = true\nas_of = 2026-01-01", "must be a number"),
        ("[storage.GLACIER]\ngb_month = 1\nas_of = '2026'", "must be a date"),
        ("[units]\ns3_gb_bytes = 0\nas_of = 2026-01-01", "1 or more"),
        ("currency = 'EUR'\n" + OWN, "is missing, in EUR"),
        ("", "holds no figures"),
        ("storage = 5", "no figure storage"),
        ("gb_month: 5", "cannot read the price table"),
    ],
)
def test_a_wrong_table_is_refused_with_what_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "own.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        Prices.load(path=path)


def test_a_table_that_is_not_there_and_a_price_that_is_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        Prices.load(path=tmp_path / "none.toml")
    for wrong in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match="Kaltura price"):
            Prices.load(wrong)
