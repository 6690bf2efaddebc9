"""A site's policy: named rules, each with a selection, a keep list, and stages with clocks of their own. Pure.

What a rule says of one entry is `standing`: which stage it has reached, what is due now, or when, and why not yet. All
that tells or acts by a policy asks this one function.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time
from enum import StrEnum
from typing import Any, NamedTuple

from kaltura_archiver.criteria.base import Seen
from kaltura_archiver.desk import RestoreDesk
from kaltura_archiver.filters import Plays, Query
from kaltura_archiver.keep import Keep
from kaltura_archiver.model import LAST_SECOND, Announced, Availability, Facts, Outcome, State, iso_date
from kaltura_archiver.plans import plan_for
from kaltura_archiver.reasons import promise_pending, told_until, unnoticed, untold
from kaltura_archiver.states import Judgement, classify
from kaltura_archiver.steps import DAY_SECONDS, Command, Options, Plan


class Stage(StrEnum):
    """What becomes of an entry, in this order. `due` is a list for people: nothing is done to what is on it."""

    ARCHIVE = "archive"
    THIN = "thin"
    REPLACE = "replace"
    DUE = "due"

    @property
    def command(self) -> Command | None:
        return _COMMANDS.get(self)


_COMMANDS = {Stage.ARCHIVE: Command.S3COPY, Stage.THIN: Command.THIN, Stage.REPLACE: Command.REPLACE}
# The stages that an entry in this state has behind it; of any other state the plan of the stage's command tells.
_REACHED = {
    State.PLACEHOLDER: frozenset({Stage.ARCHIVE, Stage.THIN, Stage.REPLACE}),
    State.THIN: frozenset({Stage.ARCHIVE, Stage.THIN}),
}


# What a swap that was cut short leaves: a repair finishes it before the entry is in any stage.
_CUT_SHORT = frozenset({State.UNSETTLED, State.HALF_TAGGED, State.HALF_THIN})


def _last_used(facts: Facts) -> float | None:
    """A restore counts as a play, for it was asked for; what was never played is unplayed since it was created."""
    entry, stored = facts.entry, facts.stored
    if not entry.plays_known:
        return None
    restored = stored.restored_at if stored else None
    return max(entry.last_played_at or 0, restored or 0) or entry.created_at or None


def _archived(facts: Facts) -> float | None:
    written = facts.stored.last_modified if facts.stored else None
    return written.timestamp() if written else None


# Since when each clock runs, in unix seconds; None where that has not happened, or is not known: then it is not over.
CLOCKS: Mapping[str, Callable[[Facts], float | None]] = {
    "created_before": lambda facts: facts.entry.created_at or None,
    "unplayed_for": _last_used,
    "archived_for": _archived,
    "thinned_for": lambda facts: facts.stored.replaced_at if facts.stored and facts.entry.thin else None,
    "replaced_for": lambda facts: facts.stored.replaced_at if facts.stored and facts.entry.replaced else None,
}
# What a clock that has not begun is told as.
_NOT_BEGUN = {
    "created_before": "Kaltura does not tell when it was created",
    "unplayed_for": "it is not known when it was last played",
    "archived_for": "it is not archived",
    "thinned_for": "its original has not been taken out of Kaltura",
    "replaced_for": "it is not replaced",
}
_TOLD = {
    "created_before": "created", "unplayed_for": "last used", "archived_for": "archived", "thinned_for": "thinned",
    "replaced_for": "replaced",
}  # fmt: skip


# So long stays what was brought back, where a rule asks for no time without plays.
BROUGHT_BACK_SECONDS = 365 * DAY_SECONDS


class StageClock(NamedTuple):
    """Over when what it is of lies `age_seconds` back, or on or before a `day` (unix seconds); one of them is set."""

    name: str
    age_seconds: float | None = None
    day: float | None = None

    def until(self, as_of: float) -> float:
        """Up to which second it has to have happened."""
        return as_of - self.age_seconds if self.age_seconds is not None else self.day or 0.0


@dataclass(frozen=True)
class StageRule:
    """One stage of a rule: when (all clocks are over), and how (fields of `Options`).

    `told_seconds`: so long ago the owner must have been told. `review`: a person is shown the plan, and applies it.
    """

    stage: Stage
    clocks: tuple[StageClock, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    told_seconds: float | None = None
    review: bool = False

    @property
    def announced(self) -> Announced:
        """What its owner is told, where they are, before thin or replace."""
        if self.options.get("derived_only"):
            return Announced.FLAVORS
        return Announced.THIN if self.stage is Stage.THIN else Announced.REPLACE


@dataclass(frozen=True)
class RuleLimits:
    """What one run may begin in each stage of a rule: so many entries, bytes, so much money; `hours` (from, to) of the
    local day."""

    entries: int | None = None
    bytes: int | None = None
    money: float | None = None
    hours: tuple[int, int] | None = None

    def allow_hour(self, hour: int) -> bool:
        """Whether stages are begun in this hour of the day; hours may be those around midnight."""
        if self.hours is None:
            return True
        begin, end = self.hours
        return begin <= hour < end if begin < end else hour >= begin or hour < end


@dataclass(frozen=True)
class Rule:
    """`on` are days (month, day): the clocks are read as of the last of them, so that nothing is due between.

    `line` is where it stands in its file. `drift`: by what part more than last time it may select.
    """

    name: str
    query: Query
    stages: tuple[StageRule, ...]
    keep: Keep = field(default_factory=Keep)
    on: tuple[tuple[int, int], ...] = ()
    limits: RuleLimits = field(default_factory=RuleLimits)
    drift: float | None = None
    notice: Mapping[str, Any] | None = None
    line: int = 0

    def as_of(self, now: float) -> float:
        return as_of(now, self.on)

    def stage(self, stage: Stage) -> StageRule:
        return next(made for made in self.stages if made.stage is stage)

    def announces(self, stage: Stage) -> bool:
        """Whether its owners are told of this stage, by this rule, before it is done."""
        return self.notice is not None and self.stage(stage).told_seconds is not None

    def options(self, made: StageRule, now: float, *, dry_run: bool) -> Options:
        """What the stage's command is told. How old an entry has to be say the clocks."""
        unplayed = next((clock.until(self.as_of(now)) for clock in made.clocks if clock.name == "unplayed_for"), None)
        least = self.query.unplayed_since
        since = min((math.floor(t) for t in (unplayed, least) if t is not None), default=None)
        return Options(
            now=now, dry_run=dry_run, min_age_years=0.0, keep=self.keep, noticed_before_seconds=made.told_seconds,
            plays=Plays(self.query.played_since, since, self.query.never_played, self.query.plays_below),
            **made.options,
        )  # fmt: skip

    def unmet(self, facts: Facts) -> str:
        """The first criterion of those that the entry itself tells which it does not meet as it is now; or empty.

        Sizes and copies were tested when it was selected; of categories and metadata see `Options.asked`.
        """
        seen = Seen(facts.entry)
        plain = (criterion for criterion in self.query.criteria if criterion.of_entry)
        return next(filter(None, (criterion.unmet(seen) for criterion in plain)), "")


@dataclass(frozen=True)
class Policy:
    """The rules in their order: an entry is the first one's whose selection it meets. `text_sha256` is of its file."""

    rules: tuple[Rule, ...]
    text_sha256: str = ""
    desk: RestoreDesk | None = None


class Standing(NamedTuple):
    """Where an entry stands in a rule.

    `due`: the stage that is to be done now, with its `plan` (of the list `due` without one); `then`: those that may
    follow at once. Else `waits_for` is the stage that it is before, `why` it is not done, and from when on (unix
    seconds) it may be, where that is known; a `repair` comes first where something was cut short. None of these: it has
    all stages behind it.
    """

    reached: Stage | None
    due: Stage | None = None
    plan: Plan | None = None
    then: tuple[Stage, ...] = ()
    waits_for: Stage | None = None
    why: str = ""
    opens_at: float | None = None
    repair: bool = False
    streams: tuple[tuple[Facts, Plan], ...] = ()  # those of a recording, which go with it, and what is due for them


def as_of(now: float, on: tuple[tuple[int, int], ...]) -> float:
    """The first second of the last of these days (UTC) that has begun; now itself without any."""
    return max((day for day in _days_of(now, on) if day <= now), default=now) if on else now


def _opens(at: float, on: tuple[tuple[int, int], ...]) -> float:
    """The first of these days on or after that second; the second itself without any."""
    return min(day for day in _days_of(at, on) if day >= at) if on else at


def _days_of(now: float, on: tuple[tuple[int, int], ...]) -> Iterator[float]:
    year = datetime.fromtimestamp(now, UTC).year
    for month, day in on:
        yield from (datetime(y, month, day, tzinfo=UTC).timestamp() for y in (year - 1, year, year + 1))


def cut_short(rule: Rule, facts: Facts, judgement: Judgement) -> Standing | None:
    """Where an entry stands whose swap was cut short; None where none was."""
    if judgement.state in _CUT_SHORT or (judgement.state is State.NO_ORIGINAL and facts.entry.replaced):
        return Standing(None, waits_for=rule.stages[0].stage, why=f"{judgement.why}; a repair comes first", repair=True)
    return None


def standing(rule: Rule, facts: Facts, now: float, *, in_group: bool = False, dry_run: bool = True) -> Standing:
    """Where an entry that the rule selects stands in it, now (unix seconds)."""
    judgement = classify(facts)
    if cut := cut_short(rule, facts, judgement):
        return cut
    judged_reached = _REACHED.get(judgement.state, frozenset())
    reached: Stage | None = None
    for number, made in enumerate(rule.stages):
        if made.stage in judged_reached:
            reached = made.stage
            continue
        if not (found := _not_over(rule, made, facts, now)):
            plan = _plan(rule, made, facts, now, in_group=in_group, dry_run=dry_run)
            if plan is not None and plan.outcome is Outcome.ALREADY and not plan.steps:
                reached = made.stage
                continue
            if plan is None or plan.steps:
                return Standing(reached, made.stage, plan, _then(rule, rule.stages[number + 1 :], facts, now))
            until = _told_until(rule, made, facts, now, plan)
            return Standing(
                reached, plan=None if until else plan, waits_for=made.stage, why=plan.reason, opens_at=until
            )
        why, opens_at = found
        return Standing(reached, waits_for=made.stage, why=why, opens_at=opens_at)
    return Standing(reached)


def _told_until(rule: Rule, made: StageRule, facts: Facts, now: float, plan: Plan) -> float | None:
    """When the clock of who was told is over, where nothing but that keeps it."""
    options = rule.options(made, now, dry_run=True)
    held = plan.reason and plan.reason == unnoticed(facts, options, made.announced)
    return told_until(facts, options, made.announced) if held else None


def _plan(
    rule: Rule, made: StageRule, facts: Facts, now: float, *, in_group: bool, dry_run: bool
) -> Plan | None:  # fmt: skip
    if made.stage.command is None:
        # What people delete rests on the list: what is kept is not on it.
        kept = rule.keep.why(facts, now)
        why = f"kept: {kept}" if kept else promise_pending(facts, now)
        if not why and facts.stored and facts.stored.availability is Availability.THAWING:
            why = "somebody has asked for it: S3 is making its copy readable"
        return Plan(classify(facts).state, (), Outcome.SKIPPED, why) if why else None
    return plan_for(made.stage.command, facts, rule.options(made, now, dry_run=dry_run), in_group=in_group)


def _then(rule: Rule, later: tuple[StageRule, ...], facts: Facts, now: float) -> tuple[Stage, ...]:
    """The stages that this very run may come to, when the one before them is done: none that an owner, who has to be
    told first, is not yet told of."""
    found: list[Stage] = []
    for made in later:
        if made.stage.command is None or _not_over(rule, made, facts, now):
            break
        if unnoticed(facts, rule.options(made, now, dry_run=True), made.announced):
            break
        found.append(made.stage)
    return tuple(found)


def _not_over(rule: Rule, made: StageRule, facts: Facts, now: float) -> tuple[str, float | None] | None:
    """The clock that is over last, in words, and when (None: never, or not known); None where all are over."""
    as_of = rule.as_of(now)
    left: list[tuple[float, str]] = []
    for clock in made.clocks:
        since = CLOCKS[clock.name](facts)
        if since is None:
            return _NOT_BEGUN[clock.name], None
        if since > clock.until(as_of):
            opens = math.inf if clock.age_seconds is None else _opens(since + clock.age_seconds, rule.on)
            left.append((opens, f"{_TOLD[clock.name]} on {iso_date(int(since))}"))
    if held := _brought_back(rule, made, facts, now):
        left.append(held)
    if not left:
        return None
    opens_at, why = max(left)
    return why, None if opens_at == math.inf else opens_at


def _brought_back(rule: Rule, made: StageRule, facts: Facts, now: float) -> tuple[float, str] | None:
    """Until when what somebody asked for stays, where no clock of plays says that: it would go again the same day."""
    restored_at = facts.stored.restored_at if facts.stored else None
    asks_plays = rule.query.unplayed_since is not None or any(clock.name == "unplayed_for" for clock in made.clocks)
    if restored_at is None or made.stage not in (Stage.THIN, Stage.REPLACE) or asks_plays:
        return None
    if restored_at >= LAST_SECOND:
        return math.inf, "it was brought back on a day that cannot be read"
    opens = _opens(restored_at + BROUGHT_BACK_SECONDS, rule.on)
    return (opens, f"brought back on {iso_date(restored_at)}, and stays for a year") if opens > now else None


def told_needed(rule: Rule, facts: Facts, now: float) -> StageRule | None:
    """The stage for which the owner of an entry has to be told first; None where there is none, or not yet.

    All its other clocks are over, and so are those of the stages before it.
    """
    judgement = classify(facts)
    if cut_short(rule, facts, judgement):
        return None
    reached = _REACHED.get(judgement.state, frozenset())
    for made in rule.stages:
        if made.stage in reached:
            continue
        if _not_over(rule, made, facts, now):
            return None
        if made.told_seconds is not None:
            return made
    return None


def may_be_told(rule: Rule, facts: Facts, now: float) -> Stage | None:
    """The stage of which its owner is to be told as soon as the stages before are done."""
    made = told_needed(rule, facts, now) if rule.notice is not None else None
    return made.stage if made and untold(facts, made.announced) else None


def to_be_told(rule: Rule, facts: Facts, now: float) -> Stage | None:
    """The stage of which its owner is to be told now: it would be done, but for the notice, and no promise is
    pending."""
    stage = may_be_told(rule, facts, now)
    if stage is None or stage.command is None:
        return None
    made = rule.stage(stage)
    options = replace(rule.options(made, now, dry_run=True), noticed_before_seconds=None)
    plan = plan_for(stage.command, facts, options)
    return stage if any(step.destroys for step in plan.steps) else None


class Reminder(NamedTuple):
    """Of which stage and which day an owner is to be reminded; `by` says of what the notice told that named it."""

    stage: Stage
    until: date
    by: Announced | None


def to_be_reminded(rule: Rule, facts: Facts, now: float) -> Reminder | None:
    """What its owner is to be reminded of now; None where they are not: the day is further away than the rule says,
    or over, or not only that day keeps the entry where it is."""
    until, remind_seconds = facts.entry.promised_until, float((rule.notice or {}).get("remind", 0))
    made = told_needed(rule, facts, now) if until and remind_seconds else None
    if made is None or made.stage.command is None or until is None or untold(facts, made.announced):
        return None
    begins = datetime.combine(until, time.min, UTC).timestamp()
    if not begins - remind_seconds <= now < begins:
        return None
    options = rule.options(made, now, dry_run=True)
    plan = plan_for(made.stage.command, facts, options)
    notice = facts.entry.notice(made.announced)
    held = plan.reason and plan.reason == unnoticed(facts, options, made.announced)
    return Reminder(made.stage, until, notice.of) if held and notice else None


def day_of(unix_seconds: float | None) -> str:
    """The day in UTC from which on something is due; empty for None. Rounded up: a day that has begun is not over."""
    return iso_date(math.ceil((unix_seconds or 0) / DAY_SECONDS) * DAY_SECONDS) if unix_seconds else ""
