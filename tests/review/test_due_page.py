"""The page of what a policy says may be deleted."""

from __future__ import annotations

from typing import Any

import pytest

from kaltura_archiver.review.due_page import make_due_page
from kaltura_archiver.run.due_list import COLUMNS


def text(*rows: dict[str, Any]) -> str:
    page = make_due_page("old", "2026-11-30", "0123", rows, ())
    return " ".join(page.partition("<header>")[2].partition("</header>")[0].split())


def due(number: int, evidence: str = "read") -> dict[str, Any]:
    return dict.fromkeys(COLUMNS) | {"entry_id": f"0_{number}", "evidence": evidence, "plays": 0}


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([due(1)], ("this video is due. ", "who decides deletes it in", "Of it the bucket has a proven copy")),
        ([due(1), due(2)], ("these 2 videos are due. ", "deletes them in", "Of each the bucket has a proven copy")),
        ([due(1), due(2, "")], ("Of the others the bucket has a proven copy",)),
    ],
)
def test_one_video_is_told_as_one(rows: list[dict[str, Any]], told: tuple[str, ...]) -> None:
    for words in told:
        assert words in text(*rows)


def test_plays_without_a_day_are_not_called_never() -> None:
    page = make_due_page("old", "2026-11-30", "0123", [due(1), due(2) | {"plays": 7}], ())
    assert (page.count(">never<"), page.count('>unknown</td><td class="number">7<')) == (1, 1)


def test_where_no_copy_is_proven_the_page_speaks_of_no_others() -> None:
    told = text(due(1, ""))
    assert "1 of them has no proven copy" in told
    assert "the others" not in told
