"""What charts write below their columns."""

from __future__ import annotations

import re

import pytest

from kaltura_archiver.insight import charts
from kaltura_archiver.insight.figures import Column, Table, Unit, month_name

MONTH = 2025 * 12


def labels(first: int, count: int) -> list[list[str]]:
    """The months that a chart names which begins so many months after January 2025: wide, and on a telephone."""
    rows = [[month_name(MONTH + first + number), number + 1] for number in range(count)]
    table = Table("", (Column("Month"), Column("restores", Unit.COUNT)), rows)
    drawn = charts.draw(charts.columns_by_month(table, 1))
    return [re.findall(r"<text[^>]*>(\d{4}(?:-\d\d)?)</text>", re.sub(r"<text[^>]*opacity=\"0\"[^>]*>[^<]*", "", svg))
            for svg in drawn]  # fmt: skip


@pytest.mark.parametrize(
    ("first", "count", "named"),
    [
        (1, 8, ["2025-02"]),  # without any January
        (1, 24, ["2025-02", "2026", "2027"]),
        (0, 25, ["2025", "2026", "2027"]),
        (10, 25, ["2026", "2027"]),  # where the first is close to a January there is no room for both
    ],
)
def test_a_chart_of_months_says_where_it_begins(first: int, count: int, named: list[str]) -> None:
    assert labels(first, count) == [named, named]


def test_of_a_few_months_each_is_named() -> None:
    wide, narrow = labels(10, 6)
    assert wide == ["2025-11", "2025-12", "2026-01", "2026-02", "2026-03", "2026-04"]
    assert narrow == wide[::2]
    assert labels(4, 1) == [["2025-05"], ["2025-05"]]
