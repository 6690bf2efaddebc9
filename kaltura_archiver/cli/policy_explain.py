"""Where one entry stands in a policy, for a person."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, NoReturn

from kaltura_archiver.cli.desk_looks import explain_desk
from kaltura_archiver.errors import Exit
from kaltura_archiver.model import Facts
from kaltura_archiver.output.rows import STANDING_COLUMNS
from kaltura_archiver.output.screen import rows_as
from kaltura_archiver.output.tables import Cell
from kaltura_archiver.policy import Rule
from kaltura_archiver.policy_notices import to_be_told
from kaltura_archiver.run.policy import standings
from kaltura_archiver.selection import Named, Selection
from kaltura_archiver.standing import Standing, day_of, standing

if TYPE_CHECKING:
    from kaltura_archiver.cli.policies import PolicyRun

log = logging.getLogger(__name__)


def tell_of_entry(run: PolicyRun, entry_id: str) -> NoReturn:
    """Where one entry stands: whose it is, stage by stage what was done, is due, or when, and why not."""
    facts = run.look(entry_id)
    owner: Rule | None = None
    with rows_as(run.style, STANDING_COLUMNS, note="detail") as rows:
        for row in explain_desk(run, facts):
            rows.write(row)
        for rule in run.policy.rules:
            selection = Selection(run.kaltura, rule.query, run.store)
            why = next((why for _, why in selection.tested([facts.entry])), "")
            told = {"rule": rule.name, "stage": None}
            if why:
                rows.write({**told, "says": "no", "detail": why})
            elif owner:
                rows.write({**told, "says": "no", "detail": f"it would select it, but {owner.name!r} comes before it"})
            else:
                owner = rule
                rows.write({**told, "says": "yes", "detail": "it selects this entry"})
                at = _stands(run, rule, facts)
                if to_be_told(rule, facts, at, run.now):
                    at = at._replace(why="its owner is to be told first: the next run writes to them")
                for row in _standing_rows(rule, at):
                    rows.write(row)
    log.info("entry %s is %s", facts.entry.id, f"one of the rule {owner.name!r}" if owner else "no rule's")
    run.app.exit(Exit.OK)


def _standing_rows(rule: Rule, at: Standing) -> Iterator[dict[str, Cell]]:
    stages = [made.stage for made in rule.stages]
    behind = stages.index(at.reached) + 1 if at.reached else 0
    for number, stage in enumerate(stages):
        row: dict[str, Cell] = {"rule": rule.name, "stage": stage.value}
        if stage is at.due:
            row |= {"says": "due", "detail": at.described}
        elif stage is at.waits_for:
            row |= {
                "says": "waits" if at.plan is None else str(at.plan.outcome),
                "opens_date": day_of(at.opens_at) or None,
            }
            row["detail"] = at.why
        else:
            row["says"] = "done" if number < behind else "follows at once" if stage in at.then else "later"
            if row["says"] == "later" and number:
                row["detail"] = f"once {stages[number - 1].value} is done"
        yield row


def _stands(run: PolicyRun, rule: Rule, facts: Facts) -> Standing:
    """Where one entry stands in its rule, found as a run finds it: with its further streams, and its clips."""
    found = standings(
        run.kaltura, run.store, Named(run.kaltura, [facts.entry.id]), rule, now=run.now,
        placeholders=run.placeholders, workers=2 * run.workers,
    )  # fmt: skip
    with found as each:
        # Nothing comes of a further stream, which is its parent's matter: the plan of that one alone says so.
        return next((at for _, at in each), None) or standing(rule, facts, run.now)
