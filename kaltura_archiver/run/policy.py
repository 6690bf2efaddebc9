"""Carrying out a policy: which entries are a rule's, where each stands, and what a run does about them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice

from kaltura_archiver.errors import ConfigError
from kaltura_archiver.filters import Query
from kaltura_archiver.kaltura import Kaltura
from kaltura_archiver.kaltura.library import GET_BATCH
from kaltura_archiver.model import Entry, Facts, Outcome
from kaltura_archiver.placeholders import Placeholders
from kaltura_archiver.policy import Policy, Rule, Stage
from kaltura_archiver.policy_notices import may_be_told, to_be_reminded, to_be_told
from kaltura_archiver.results import Review
from kaltura_archiver.run.kept import check_excluded, check_keep, unknown_categories, unknown_criteria
from kaltura_archiver.selection import Selection
from kaltura_archiver.standing import Standing, standing
from kaltura_archiver.states import classify
from kaltura_archiver.steps import Command, Options, Plan, bytes_of
from kaltura_archiver.store import Store
from kaltura_archiver.survey import plans_of


def check_policy(kaltura: Kaltura, policy: Policy) -> None:
    """Raise ConfigError where a rule names what there is not: a category, or what would protect nothing.

    A tag that nobody has yet, or an owner who has left, stops no rule: `selects_none` tells of them.
    """
    for rule in policy.rules:
        try:
            check_keep(kaltura, rule.keep)
            check_excluded(kaltura, rule.query)
            selection = Selection(kaltura, rule.query)  # which looks the names of categories up
            if missing := next(unknown_categories(kaltura, selection.query), ""):
                raise ConfigError(missing)
        except ConfigError as error:
            raise ConfigError(f"rule {rule.name!r} (line {rule.line}): {error}") from error


class Claimed(Selection):
    """The entries of a rule: those that its criteria select, less those of a rule before it. Of these `overlaps` counts
    how many it would have selected, too, by the names of those rules."""

    def __init__(self, kaltura: Kaltura, store: Store, policy: Policy, rule: Rule) -> None:
        super().__init__(kaltura, rule.query, store)
        before = policy.rules[: policy.rules.index(rule)]
        self._before = [(earlier.name, Selection(kaltura, earlier.query, store)) for earlier in before]
        self.overlaps: Counter[str] = Counter()

    def __iter__(self) -> Iterator[Entry]:
        entries = super().__iter__()
        while batch := list(islice(entries, GET_BATCH)):
            yield from self._left(batch)

    def _left(self, batch: Sequence[Entry]) -> Sequence[Entry]:
        for name, selection in self._before:
            others = [entry for entry, why in selection.tested(batch) if why]
            self.overlaps[name] += len(batch) - len(others)
            batch = others
        return batch

    def earlier_of(self, entry: Entry) -> str:
        """The rule before this one that selects the entry as it is now; empty where none does."""
        return next((name for name, selection in self._before if selection.takes(entry)), "")


# Of so few entries that a rule selects them all says nothing.
FEW_ENTRIES = 20


def selects_all(kaltura: Kaltura, rule: Rule, selected: int) -> str:
    """That a rule has selected every video there is, in words: its author may not have meant that. Empty if not."""
    if selected < FEW_ENTRIES:
        return ""
    every = kaltura.count(replace(Query(), media_type=rule.query.media_type, statuses=rule.query.statuses))
    if selected < every:
        return ""
    return f"{rule.name}: it selects every video of the account ({selected}), by: {rule.query}; is that what is meant?"


def selects_none(selection: Selection, rule: Rule) -> Iterator[str]:
    """Of a rule that has selected nothing: what it names and nothing in the account has, in words."""
    for unknown in unknown_criteria(selection.kaltura, selection.query):
        yield f"{rule.name}: it selects nothing: {unknown}: is that spelled right?"


@contextmanager
def standings(
    kaltura: Kaltura, store: Store, selection: Selection, rule: Rule, *, now: float, placeholders: Placeholders,
    workers: int,
) -> Iterator[Iterator[tuple[Facts, Standing]]]:  # fmt: skip
    """Where each entry of a selection stands in a rule, with the facts that this rests on."""
    alone: dict[str, Standing] = {}

    def planner(facts: Facts, options: Options, /, *, in_group: bool = False) -> Plan:
        """Only whether it is to be looked at with its further streams: what is due is found when these are known."""
        at = alone[facts.entry.id] = standing(rule, facts, now)
        further = in_group or at.due or at.reached or at.repair
        return Plan(classify(facts).state, (), Outcome.ALREADY if further else Outcome.SKIPPED)

    commands = [made.stage.command for made in rule.stages]
    command = Command.THIN if Command.THIN in commands else Command.REPLACE
    with plans_of(
        kaltura, store, selection, command, rule.options(rule.stages[0], now, dry_run=True),
        placeholders=placeholders, workers=workers, plan=planner,
    ) as planned:  # fmt: skip
        yield _with_streams(rule, now, ((facts, plan, alone.pop(facts.entry.id)) for facts, plan in planned))


def _with_streams(
    rule: Rule, now: float, found: Iterable[tuple[Facts, Plan, Standing]]
) -> Iterator[tuple[Facts, Standing]]:  # fmt: skip
    """Of a recording the parent is the rule's: its further streams, which come before it, go with it."""
    streams: list[Facts] = []
    for facts, plan, at in found:
        if facts.entry.parent_of_stream:
            streams.append(facts)
            continue
        if streams:
            at = standing(rule, facts, now, streams)
        elif plan.outcome is Outcome.REFUSED:  # what Kaltura says of its further streams is not understood
            stage = at.due or at.waits_for or rule.stages[-1].stage
            at = Standing(at.reached, waits_for=stage, plan=plan, why=plan.reason)
        yield facts, at
        streams = []


def review_of(rule: Rule, stage: Stage, now: float, claimed: Claimed) -> Review:
    """Looks once more, when an entry is about to be acted on, whether its rule still says so, and none before it."""

    def review(facts: Facts, plan: Plan) -> Plan:
        if facts.entry.parent_of_stream or not (plan.steps or plan.outcome is Outcome.ALREADY):
            return plan  # a further stream goes with its parent, which is the rule's
        if why := rule.unmet(facts):
            return Plan(plan.state, (), Outcome.SKIPPED, f"not one of the rule {rule.name!r} any more: {why}")
        if earlier := claimed.earlier_of(facts.entry):
            return Plan(plan.state, (), Outcome.SKIPPED, f"one of the rule {earlier!r} by now, which comes before")
        at = standing(rule, facts, now)
        if at.due is stage or not plan.steps:
            return plan
        why = f"before {at.waits_for}: {at.why}" if at.waits_for else f"it is before {at.due or 'nothing more'}"
        return Plan(plan.state, (), Outcome.SKIPPED, f"not due by the rule {rule.name!r}: {why}")

    return review


@dataclass
class StageSum:
    """What is due in one stage, and what waits for it: until when, where that is known (unix seconds).

    `ids` are those that a run has to take up: where it is due, and, in a run that acts, where it may follow at once.
    `to_tell` counts those whose `owners` are to be told first; `to_tell_after` those that a run may tell of when it has
    done the stages before.
    """

    due: int = 0
    bytes_moved: int = 0
    bytes_freed: int = 0
    waits: int = 0
    opens_at: float | None = None
    left: Counter[Outcome] = field(default_factory=Counter)
    to_tell: int = 0
    to_tell_after: int = 0
    owners: set[str] = field(default_factory=set)
    ids: list[str] = field(default_factory=list)

    @property
    def notice(self) -> str:
        """Who is to be told today, in words."""
        if not self.to_tell and not self.to_tell_after:
            return "nobody to be told"
        told = f"{len(self.owners)} owner{'' if len(self.owners) == 1 else 's'} to be told of {self.to_tell}"
        return told + (f", and of up to {self.to_tell_after} more when archived" if self.to_tell_after else "")


@dataclass
class RuleTally:
    """What a rule holds, added up. `here` counts the entries by the last stage that they have behind them. The ids of
    what is due are kept for `acting`, with those of what may follow unless it is `dry_run`; `to_write` are the ids of
    those whose owners are to be told, or reminded, `to_repair` of those that were cut short."""

    rule: Rule
    now: float
    acting: bool = False
    dry_run: bool = True
    selected: int = 0
    here: Counter[Stage | None] = field(default_factory=Counter)
    stages: dict[Stage, StageSum] = field(default_factory=dict)
    to_write: list[str] = field(default_factory=list)
    to_repair: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.stages = {made.stage: StageSum() for made in self.rule.stages}

    def add(self, facts: Facts, at: Standing) -> None:
        self.selected += 1
        self.here[at.reached] += 1
        if at.repair and self.acting:
            self.to_repair.append(facts.entry.id)
        if at.due:
            self._add_due(facts, at, at.due)
        elif at.waits_for and at.plan:
            self.stages[at.waits_for].left[at.plan.outcome] += 1
        elif at.waits_for:
            stage = self.stages[at.waits_for]
            stage.waits += 1
            stage.opens_at = min(filter(None, (at.opens_at, stage.opens_at)), default=None)
        self._add_notice(facts, at)

    def _add_notice(self, facts: Facts, at: Standing) -> None:
        told = to_be_told(self.rule, facts, at, self.now)
        # What is about to be archived may be told of in this very run: it is looked at once more before.
        soon = may_be_told(self.rule, facts, at, self.now) if at.due else None
        if told:
            self.stages[told].to_tell += 1
        elif soon:
            self.stages[soon].to_tell_after += 1
        if stage := told or soon:
            self.stages[stage].owners.add(facts.entry.owner)
        soon = None if self.dry_run else soon
        if self.acting and (told or soon or to_be_reminded(self.rule, facts, at, self.now)):
            self.to_write.append(facts.entry.id)

    def _add_due(self, facts: Facts, at: Standing, due: Stage) -> None:
        stage = self.stages[due]
        stage.due += 1
        if at.plan:
            options = self.rule.options(self.rule.stage(due), self.now, dry_run=True)
            for member, plan in (*at.streams, (facts, at.plan)):
                moved, freed = bytes_of(member, plan.steps, options)
                stage.bytes_moved += moved
                stage.bytes_freed += freed
        if self.acting:
            for one in (due, *(() if self.dry_run else at.then)):
                self.stages[one].ids.append(facts.entry.id)
