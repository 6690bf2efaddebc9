"""Applying a plan file: entry by entry, what has not drifted."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

from kaltura_archiver.model import Facts, Outcome
from kaltura_archiver.output.progress import progress
from kaltura_archiver.run.errand import Errand
from kaltura_archiver.steps import Plan

if TYPE_CHECKING:
    from kaltura_archiver.apply import Runner
    from kaltura_archiver.results import Result
    from kaltura_archiver.review.planfile import Line, Terms


log = logging.getLogger(__name__)


class Applying(Errand):
    """What is left of a plan: first all entries are looked at, then those acted on that are still as they were."""

    def __init__(self, terms: Terms, lines: Sequence[Line], allowed: float, shown: str) -> None:
        super().__init__([line.entry_id for line in lines])
        self._terms = terms
        self._lines = {line.entry_id: line for line in lines}
        self._allowed = allowed
        self._shown = shown
        self._drifted: set[str] = set()
        self._counting = threading.Lock()

    def choose(self, runner: Runner, workers: int) -> Applying:
        """Look at every entry, cheaply; nothing is done if too many have drifted, and in no case to those."""
        from kaltura_archiver.run.kept import check_keep
        from kaltura_archiver.selection import Named
        from kaltura_archiver.survey import plans_of

        if self._terms.command.heeds_keep:
            check_keep(runner.kaltura, runner.options.keep)
        entries = Named(runner.kaltura, self.ids)
        planned = plans_of(
            runner.kaltura, runner.store, entries, self._terms.command, runner.options,
            placeholders=runner.placeholders, workers=2 * workers,
        )  # fmt: skip
        known = {}
        with planned as found, progress("comparing", found, lambda: entries.expected) as counted:
            for facts, plan in counted:
                if why := self._drift(facts, plan):
                    known[facts.entry.id] = runner.drifted(facts.entry.id, plan.state, why, facts)
        for entry_id in entries.unknown:
            known[entry_id] = runner.drifted(entry_id, "", "the entry is gone, or not visible to this user")
        self.known = list(known.values())
        self.ids = [entry_id for entry_id in self.ids if entry_id not in known]
        self._count(*known)
        return self

    def review(self, facts: Facts, plan: Plan) -> Plan:
        """The plan for an entry that is about to be acted on, or none where it has drifted."""
        if why := self._drift(facts, plan):
            self._count(facts.entry.id)
            return Plan(plan.state, (), Outcome.DRIFTED, why)
        if self.stopped:
            return Plan(plan.state, (), Outcome.INTERRUPTED, "not begun: too many others have drifted")
        return plan

    def saw(self, result: Result) -> None:
        if result.outcome is Outcome.DRIFTED:
            self._count(result.entry_id)

    def _drift(self, facts: Facts, plan: Plan) -> str:
        from kaltura_archiver.review.drift import drift

        return drift(self._terms, self._lines[facts.entry.id], facts, plan)

    def _count(self, *drifted: str) -> None:
        with self._counting:
            self._drifted.update(drifted)
            if len(self._drifted) > self._allowed and not self.stopped:
                self.stopped = True
                log.error(
                    "%d of %d entries are not as they were planned any more, which is more than --max-drift %s: look "
                    "at them, then make another plan, or allow more",
                    len(self._drifted), len(self._lines), self._shown,
                )  # fmt: skip
