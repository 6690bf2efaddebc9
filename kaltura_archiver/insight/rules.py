"""What the runs by a policy tell of its rules, for the page: where their entries stand, and since when."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from kaltura_archiver.insight.figures import Column, Table, Unit
from kaltura_archiver.output.tables import Cell

# Stages as `log/policy/` has them, and how a director reads them.
_STAGES = {"none": "Not yet", "archive": "In both", "thin": "Thin", "replace": "In S3 only"}


def rules_table(records: Iterable[Mapping[str, Any]]) -> Table | None:
    """A row for each rule, in the order of the last run that carried it out; None where no run by a policy has acted.

    `records` are those of run/rule_history.py, oldest first.
    """
    rows: dict[str, list[Cell]] = {}
    for record in records:
        day = str(record["at"])[:10]
        for name, told in record["rules"].items():
            first, runs = (rows.pop(name)[1:3]) if name in rows else (day, 0)
            here, due = told.get("here", {}), told.get("due", {})
            rows[name] = [
                name, first, (runs if isinstance(runs, int) else 0) + 1, day, told["selected"],
                *(here.get(stage, 0) for stage in _STAGES), due.get("due", 0),
            ]  # fmt: skip
    columns = (
        Column("Rule"), Column("First run"), Column("Runs", Unit.COUNT), Column("Last run"),
        Column("Selected", Unit.COUNT), *(Column(title, Unit.COUNT) for title in _STAGES.values()),
        Column("May be deleted", Unit.COUNT),
    )  # fmt: skip
    caption = "Rules of the policy, as the last run that acted by each found its videos"
    return Table(caption, columns, list(rows.values())) if rows else None
