"""The rule of years: what was not played for so long belongs in S3, all else in Kaltura. Pure."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field, replace

from kaltura_archiver import exits
from kaltura_archiver.errors import Exit, SelectionError
from kaltura_archiver.filters import Plays, Query
from kaltura_archiver.model import REPLACED_TAG, THIN_TAG, Entry, Facts, Outcome, State
from kaltura_archiver.output.summary import Causes, counted
from kaltura_archiver.plans import plan_for
from kaltura_archiver.states import classify
from kaltura_archiver.steps import Command, Options, Plan

# What a run that was cut leaves, and repair brings to an end.
_CUT = frozenset({State.UNSETTLED, State.HALF_TAGGED, State.HALF_THIN, State.NO_ORIGINAL})


@dataclass(frozen=True)
class Part:
    """A part of a selection; what was played since `counted_since` is counted in another part. `replaced`: of what is
    tagged as that, only what is no healthy placeholder is meant."""

    query: Query
    counted_since: float = math.inf
    replaced: bool = False

    def counts(self, entry: Entry) -> bool:
        return (entry.last_played_at or 0) < self.counted_since


@dataclass(frozen=True)
class RuleOfYears:
    """`since` is the unix second that many years ago."""

    since: int

    def parts(self, query: Query) -> list[Part]:
        """The parts of a selection in which entries may break the rule.

        Originals that were not played since then, placeholders that were, placeholders of entries created since then,
        and what is tagged as replaced, was not played, and need not be so: its replacement was cut. A part that the
        criteria contradict is left out; SelectionError if they contradict all.
        """
        in_s3 = replace(query, tags=(*query.tags, REPLACED_TAG))
        played, created = query.played_since or 0, query.created_since or 0
        unplayed = self.since if query.unplayed_since is None else min(self.since, query.unplayed_since)
        originals = replace(query, without_tags=(*query.without_tags, REPLACED_TAG, THIN_TAG))
        parts = [
            Part(replace(originals, unplayed_since=unplayed)),
            Part(replace(in_s3, played_since=max(self.since, played))),
            Part(replace(in_s3, created_since=max(self.since, created)), counted_since=self.since),
            Part(replace(in_s3, unplayed_since=unplayed), replaced=True),
        ]
        return _possible(parts)

    def command_for(self, part: Part, facts: Facts, options: Options) -> Command:
        """Which command brings an entry nearer to the rule: of an original in Kaltura s3copy, then replace_video; of
        what was cut on the way repair."""
        if facts.entry.replaced and not part.replaced:
            return Command.RESTORE
        judgement = classify(facts)
        if judgement.state in _CUT or (part.replaced and not judgement.healthy):
            return Command.REPAIR
        copied = plan_for(Command.S3COPY, facts, options, in_group=True).outcome is Outcome.ALREADY
        return Command.REPLACE if copied else Command.S3COPY

    def plan(self, part: Part, facts: Facts, options: Options, /, *, in_group: bool = False) -> Plan:
        """What that command would do now."""
        command, entry = self.command_for(part, facts, options), facts.entry
        plays = Plays(unplayed_since=self.since)
        if command is Command.RESTORE:
            # Of a young one it does not matter whether it was played.
            plays = Plays() if entry.created_at >= self.since else Plays(played_since=self.since)
        return plan_for(command, facts, replace(options, plays=plays), in_group=in_group)


@dataclass
class Backlog:
    """What was found to break the rule, added up; of what is left as it is, why."""

    commands: Counter[Command] = field(default_factory=Counter)
    left: Causes = field(default_factory=Counter)

    def add(self, command: Command, plan: Plan) -> None:
        if plan.steps:
            self.commands[command] += 1
        else:
            self.left[plan.outcome, plan.cause] += 1

    @property
    def codes(self) -> set[Exit]:
        """The exit statuses that this adds up to: what is due waits for its command."""
        due = {Exit.WAITING} if self.commands else set()
        return due | exits.of_outcomes(outcome for outcome, _ in self.left)

    def __str__(self) -> str:
        """`s3copy 3, replace_video 2; left as they are: skipped 5 (3 too young: --min-age-years)`"""
        due = ", ".join(f"{command} {self.commands[command]}" for command in Command if self.commands[command])
        return (due or "nothing") + (f"; left as they are: {counted(self.left)}" if self.left else "")


def _possible(parts: list[Part]) -> list[Part]:
    """Those that something can match."""
    possible: list[Part] = []
    why: list[SelectionError] = []
    for part in parts:
        try:
            part.query.check()
        except SelectionError as error:
            why.append(error)
        else:
            possible.append(part)
    if not possible:
        raise why[0]
    return possible
