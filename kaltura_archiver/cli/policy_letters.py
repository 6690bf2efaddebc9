"""What a run by a policy writes to owners, as it is told."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from kaltura_archiver import exits
from kaltura_archiver.errors import ArchiverError, Exit, Stopped
from kaltura_archiver.model import Outcome
from kaltura_archiver.output.screen import RowWriter
from kaltura_archiver.output.summary import counted_outcomes
from kaltura_archiver.policy import Rule
from kaltura_archiver.redact import redact
from kaltura_archiver.run.policy import standings
from kaltura_archiver.selection import Named

if TYPE_CHECKING:
    from kaltura_archiver.cli.policies import PolicyRun
    from kaltura_archiver.run.notices import Correspondence

log = logging.getLogger(__name__)


def tell_owners(run: PolicyRun, rule: Rule, ids: Sequence[str], letters: Correspondence, rows: RowWriter) -> None:
    """Look at these entries once more, and write to their owners. A row for each entry of each message."""
    found = standings(
        run.kaltura, run.store, Named(run.kaltura, ids), rule, now=run.now, placeholders=run.placeholders,
        workers=2 * run.workers,
    )  # fmt: skip
    outcomes: Counter[Outcome] = Counter()
    try:
        with found as each:
            for notice, outcome, detail in letters.tell(rule, each, run.now):
                outcomes[outcome] += 1
                to = f"{notice.owner or notice.unit or 'in place of owners'} ({notice.address or 'no address'})"
                for item in notice.items.values():
                    rows.write({
                        "rule": rule.name, "stage": "notice", "entry_id": item.entry_id, "outcome": outcome.value,
                        "name": item.title, "detail": redact(f"to {to}: {detail}"),
                    })  # fmt: skip
    except Stopped:
        log.info("%s: stopped before everybody was told; the next run goes on", rule.name)
    except ArchiverError as error:
        log.error("%s: owners are not told: %s", rule.name, error)
        run.codes.add(Exit.FAILED)
    if outcomes:
        log.info("%s, notice: %s", rule.name, counted_outcomes(outcomes))
    run.codes |= exits.of_outcomes(outcomes)
