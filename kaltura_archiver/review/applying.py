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
        # A recording goes as one, whichever of its streams the plan is about.
        super().__init__(list(dict.fromkeys(line.parent or line.entry_id for line in lines)))
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
        known: dict[str, Result] = {}
        members: dict[str, list[tuple[Facts, Plan]]] = {}  # of recordings with further streams, by their parent
        with planned as found, progress("comparing", found, lambda: entries.expected) as counted:
            for facts, plan in counted:
                parent, entry_id = facts.entry.parent_of_stream, facts.entry.id
                streams = members.setdefault(parent, []) if parent else members.pop(entry_id, [])
                if parent:
                    streams.append((facts, plan))
                    continue
                known |= self._drifted_together(runner, [*streams, (facts, plan)])
        for entry_id in entries.unknown:
            known[entry_id] = runner.drifted(entry_id, "", "the entry is gone, or not visible to this user")
        self.known = list(known.values())
        self.ids = [entry_id for entry_id in self.ids if entry_id not in known]
        self._count(*known)
        return self

    def _drifted_together(self, runner: Runner, members: list[tuple[Facts, Plan]]) -> dict[str, Result]:
        """How it ends for an entry and its further streams where one of them has drifted; empty where none has."""
        whys = {facts.entry.id: self._drift(facts, plan) for facts, plan in members}
        first = next((f"{entry_id}, with which it goes, has drifted" for entry_id, why in whys.items() if why), "")
        return {
            facts.entry.id: runner.drifted(facts.entry.id, plan.state, whys[facts.entry.id] or first, facts)
            for facts, plan in members
            if first
        }

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

        line = self._lines.get(facts.entry.id)
        if line is None:
            there = not plan.steps and plan.outcome in (Outcome.ALREADY, Outcome.WAITING)
            return "" if there else "it has no line in the plan, and the streams of a recording go together"
        return drift(self._terms, line, facts, plan)

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
