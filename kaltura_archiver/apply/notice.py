"""Marks an entry with the notice that its owner had."""

from __future__ import annotations

import logging
from datetime import date

from kaltura_archiver.errors import ArchiverError, Changed
from kaltura_archiver.kaltura import Kaltura
from kaltura_archiver.model import Announced, Outcome, notice_tag
from kaltura_archiver.results import Result, log_fields

log = logging.getLogger(__name__)


def add_notice(
    kaltura: Kaltura, entry_id: str, day: date, owner: str, until: date | None, *, of: Announced | None = None,
    dry_run: bool,
) -> Result:  # fmt: skip
    """Tag an entry with the day on which this owner was told when it will be replaced (`of` what, where not of all that
    may become of it). Never raises for one entry.

    REFUSED, and tagged all the same, where somebody else owns it by now: for them it is no notice.
    """
    tag = notice_tag(day, owner, until, of)
    outcome, detail = Outcome.WOULD, f"would add the tag {tag}"
    if not dry_run:
        try:
            entry = kaltura.change_tags(entry_id, add=tag)
            outcome, detail = Outcome.DONE, f"done: tagged {tag}"
            if not any(mine and told.on == day for told, mine in entry.notices):
                now = f"{entry.owner or 'nobody'} owns it now, not {owner or 'nobody'}"
                outcome, detail = Outcome.REFUSED, f"tagged {tag}, but {now}: who owns it has had no notice"
        except Changed as error:
            outcome, detail = Outcome.SKIPPED, f"skipped: {error}"
        except ArchiverError as error:
            outcome, detail = Outcome.FAILED, f"failed: {error}"
    levels = {Outcome.FAILED: logging.ERROR, Outcome.REFUSED: logging.WARNING}
    level = levels.get(outcome, logging.INFO)
    log.log(level, "%s", detail, extra=log_fields("entry", "notify", dry_run=dry_run, entry=entry_id))
    return Result(entry_id, "", outcome, detail)
