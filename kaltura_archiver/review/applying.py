"""Applying a plan file: entry by entry, what has not drifted."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from kaltura_archiver.model import Facts, Outcome
from kaltura_archiver.output.progress import progress
from kaltura_archiver.run.errand import Errand
from kaltura_archiver.steps import Command, Plan

if TYPE_CHECKING:
    from kaltura_archiver.apply import Runner
    from kaltura_archiver.results import Result
    from kaltura_archiver.review.planfile import Line, Terms
    from kaltura_archiver.selection import Selection


log = logging.getLogger(__name__)


class Applying(Errand):
    """What is left of a plan: first all entries are looked at, then those acted on that are still as they were."""

    def __init__(
        self, terms: Terms, lines: Sequence[Line], left_out: Mapping[str, str], allowed: float, shown: str
    ) -> None:
        # A recording goes as one, whichever of its streams the plan is about.
        super().__init__(list(dict.fromkeys(line.parent or line.entry_id for line in lines)))
        self._terms = terms
        self._lines = {line.entry_id: line for line in lines}
        self._left_out = left_out
        self._streams: dict[str, list[str]] = {}
        for line in lines:
            self._streams.setdefault(line.parent, []).append(line.entry_id)
        self._allowed = allowed
        self._shown = shown
        self._drifted: set[str] = set()
        self._counting = threading.Lock()

    def choose(self, runner: Runner, workers: int) -> Applying:
        """Look at every entry, cheaply; nothing is done if too many have drifted, and in no case to those."""
        from kaltura_archiver.run.kept import check_keep
        from kaltura_archiver.selection import Named

        if self._terms.command.heeds_keep:
            check_keep(runner.kaltura, runner.options.keep)
        known: dict[str, Result] = {}
        gone = self._look_at(runner, workers, Named(runner.kaltura, self.ids), known)
        # Streams whose recording was gone when they were planned, too, go by themselves.
        alone = [line.entry_id for line in self._lines.values() if line.parent in gone and line.parent not in known]
        if alone:
            self.ids = [entry_id for entry_id in self.ids if entry_id not in gone or entry_id in known] + alone
            self._look_at(runner, workers, Named(runner.kaltura, alone), known, alone=True)
        self.known = list(known.values())
        self.ids = [entry_id for entry_id in self.ids if entry_id not in known]
        self._count(*known)
        return self

    def _look_at(
        self, runner: Runner, workers: int, entries: Selection, known: dict[str, Result], *, alone: bool = False
    ) -> set[str]:
        """Put into `known` how it ends for what has drifted; returns the ids of those that there are not any more."""
        from kaltura_archiver.survey import plans_of

        planned = plans_of(
            runner.kaltura, runner.store, entries, self._terms.command, runner.options,
            placeholders=runner.placeholders, workers=2 * workers,
        )  # fmt: skip
        members: dict[str, list[tuple[Facts, Plan]]] = {}  # of recordings with further streams, by their parent
        with planned as found, progress("comparing", found, lambda: entries.expected) as counted:
            for facts, plan in counted:
                parent, entry_id = facts.entry.parent_of_stream, facts.entry.id
                streams = members.setdefault(parent, []) if parent else members.pop(entry_id, [])
                if parent and not alone:
                    streams.append((facts, plan))
                    continue
                known |= self._drifted_together(runner, [*streams, (facts, plan)])
        for entry_id in entries.unknown:
            if entry_id in self._lines or entry_id in self._left_out:
                known |= self._gone_with(runner, entry_id, "the entry is gone, or not visible to this user")
        return set(entries.unknown)

    def _gone_with(self, runner: Runner, entry_id: str, why: str) -> dict[str, Result]:
        """How it ends for an entry that is not what it was planned as, and for the further streams of it."""
        told = dict.fromkeys(self._streams.get(entry_id, ()), f"{entry_id}, with which it goes, is gone")
        return {one: runner.drifted(one, "", text) for one, text in {entry_id: why, **told}.items()}

    def _drifted_together(self, runner: Runner, members: list[tuple[Facts, Plan]]) -> dict[str, Result]:
        """How it ends for an entry and its further streams where one of them has drifted; empty where none has."""
        parent, of_parent = members[-1]
        whys = {facts.entry.id: self._drift(facts, plan) for facts, plan in members}
        others = [one for one in self._streams.get(parent.entry.id, ()) if one not in whys]
        # Where nothing is to be done now about the recording, its streams are not asked for.
        asked = len(members) > 1 or of_parent.steps or of_parent.outcome is Outcome.ALREADY
        missing = f"it is no further stream of {parent.entry.id} any more, or is gone" if asked else ""
        drifted = [one for one, why in whys.items() if why] or (others if missing else [])
        if not drifted:
            return {}
        first = f"{drifted[0]}, with which it goes, has drifted"
        return {
            facts.entry.id: runner.drifted(facts.entry.id, plan.state, whys[facts.entry.id] or first, facts)
            for facts, plan in members
        } | {one: runner.drifted(one, "", missing or first) for one in others}

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
            return (
                ""
                if self._may_have_no_line(facts, plan)
                else ("it has no line in the plan, and the streams of a recording go together")
            )
        return drift(self._terms, line, facts, plan)

    def _may_have_no_line(self, facts: Facts, plan: Plan) -> bool:
        """Whether nothing is to be done about it, as was planned, or it comes back now that it has thawed."""
        was = self._left_out.get(facts.entry.id)
        if plan.steps:
            return self._terms.command is Command.RESTORE and was == Outcome.WAITING
        return was is not None or plan.outcome in (Outcome.ALREADY, Outcome.WAITING)

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
