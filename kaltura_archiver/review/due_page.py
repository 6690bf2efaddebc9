"""What a policy says may be deleted, as one HTML file for whoever decides."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from kaltura_archiver import __version__
from kaltura_archiver.output.page import environment, rendered
from kaltura_archiver.output.tables import Cell, readable_bytes
from kaltura_archiver.redact import one_line

ASSETS = Path(__file__).with_name("assets")


def make_due_page(rule: str, day: str, run: str, rows: Sequence[Mapping[str, Cell]], gone: Sequence[str]) -> str:
    """The page of these rows of `due_list.COLUMNS`; `gone` are ids of an earlier list that Kaltura has no more."""
    sums: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
    for row in rows:
        size = row.get("stored_bytes")
        both = sums[str(row.get("owner_id") or "")]
        both[0] += 1
        both[1] += size if isinstance(size, int) else 0
    templates = environment(ASSETS)
    templates.filters |= {"bytes": readable_bytes, "line": one_line}
    return rendered(
        ASSETS, "due", templates, style_of="plan",
        title=f"Videos that may be deleted: {rule}", rule=rule, day=day, rows=rows, gone=gone,
        unproven=sum(not row.get("evidence") for row in rows),
        sums=sorted(sums.items(), key=lambda item: -item[1][1]),
        made_by=f"Made by kaltura-archiver {__version__}, run {run}, on {day}.",
    )  # fmt: skip
