"""What a rule says of one entry, or of a recording: which stage it has reached, what is due now, or when, and why not
yet. All that tells or acts by a policy asks `standing`. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from kaltura_archiver.groups import held_back, judgement_of_group, still_found, together
from kaltura_archiver.model import LAST_SECOND, Availability, Facts, Outcome, State, iso_date
from kaltura_archiver.plans import plan_for
from kaltura_archiver.policy import CLOCKS, Rule, Stage, StageRule, opening
from kaltura_archiver.reasons import promise_pending, told_until, unnoticed
from kaltura_archiver.states import classify
from kaltura_archiver.steps import DAY_SECONDS, Command, Options, Plan

# The stages that an entry in this state has behind it; of any other state the plan of the stage's command tells.
_REACHED = {
    State.PLACEHOLDER: frozenset({Stage.ARCHIVE, Stage.THIN, Stage.REPLACE}),
    State.THIN: frozenset({Stage.ARCHIVE, Stage.THIN}),
}
# What a swap that was cut short leaves: a repair finishes it before the entry is in any stage.
_CUT_SHORT = frozenset({State.UNSETTLED, State.HALF_TAGGED, State.HALF_THIN})
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

    @property
    def members(self) -> Iterator[Facts]:
        """The facts about its further streams."""
        return (facts for facts, _ in self.streams)

    @property
    def described(self) -> str:
        """What is due, in words; of a recording that is there itself, what is due for a stream of it."""
        due = next((f"{s.entry.id}, a further stream: {plan.describe()}" for s, plan in self.streams if plan.steps), "")
        if self.plan is None:
            return "to be looked at by a person"
        return self.plan.describe() if self.plan.steps or not due else due


def _cut_short(rule: Rule, facts: Facts) -> Standing | None:
    """Where an entry stands whose swap was cut short; None where none was."""
    judgement = classify(facts)
    if judgement.state in _CUT_SHORT or (judgement.state is State.NO_ORIGINAL and facts.entry.replaced):
        return Standing(None, waits_for=rule.stages[0].stage, why=f"{judgement.why}; a repair comes first", repair=True)
    return None


def standing(rule: Rule, facts: Facts, now: float, streams: Sequence[Facts] = ()) -> Standing:
    """Where an entry that the rule selects stands in it, now (unix seconds), with its further streams.

    A stage is behind a recording when all of it has it behind. The clocks are the parent's.
    """
    members, reached = (*streams, facts), None
    beside = tuple((stream, Plan(classify(stream).state)) for stream in streams)
    if cut := next(filter(None, (_cut_short(rule, member) for member in members)), None):
        return (_gone_in_part(rule, facts, streams, now) or cut)._replace(streams=beside)
    for number, made in enumerate(rule.stages):
        if at := _in_stage(rule, made, members, now):
            then = _then(rule, rule.stages[number + 1 :], members, now) if at.due else ()
            return at._replace(reached=reached, then=then, streams=at.streams or beside)
        reached = made.stage
    return Standing(reached, streams=beside)


def _gone_in_part(rule: Rule, facts: Facts, streams: Sequence[Facts], now: float) -> Standing | None:
    """Where a recording stands whose replacement stopped between its streams, if a repair has nothing to do about it.

    It leaves the tag by which the recording is found: for ever, if nobody were told.
    """
    gone = [stream.entry.id for stream in streams if classify(stream).state in _REACHED]
    if not gone or any(_cut_short(rule, stream) for stream in streams):
        return None
    plan = still_found(plan_for(Command.REPAIR, facts, rule.options(rule.stages[0], now, dry_run=True)))
    if plan.steps:
        return None
    stage = next((made.stage for made in rule.stages if made.stage is Stage.REPLACE), rule.stages[0].stage)
    ways = f"{Command.REPLACE} --id {facts.entry.id} goes on, restore brings all back"
    why = f"{classify(facts).why}; of its further streams replaced already: {', '.join(gone)}; {ways}"
    return _left(stage, Plan(plan.state, (), Outcome.WAITING, why))


def _in_stage(rule: Rule, made: StageRule, members: Sequence[Facts], now: float) -> Standing | None:
    """Where a recording stands that has all stages before this one behind it; None where it has this one, too.

    `members` are its further streams, if any, and then the entry itself.
    """
    *streams, facts = members
    stage, behind = made.stage, [made.stage in _REACHED.get(classify(member).state, ()) for member in members]
    if all(behind):
        return None
    if behind[-1] and stage is not Stage.ARCHIVE:
        # A restore was cut, or a stream has come since: whether all comes back or all goes is not for a clock to say.
        half = judgement_of_group(classify(facts), [(stream.entry.id, classify(stream)) for stream in streams])
        return _left(stage, Plan(half.state, (), Outcome.WAITING, f"{half.why}; {half.hint}"))
    closed = _not_over(rule, made, facts, now)
    if closed and not behind[-1]:
        why, opens_at = closed
        return Standing(None, waits_for=stage, why=why, opens_at=opens_at)
    if stage.command is None:
        plan = _not_for_people(rule, members, now)
        return _left(stage, plan) if plan else Standing(None, stage)
    own = plans_in_stage(rule, made, members, rule.options(made, now, dry_run=True))
    if all(plan.outcome is Outcome.ALREADY and not plan.steps for plan in own):
        return None
    if closed:
        return Standing(None, waits_for=stage, why=closed[0], opens_at=closed[1])
    final = together(stage.command, list(zip(members, own, strict=True)))
    if any(plan.steps for plan in final):
        return Standing(None, stage, final[-1], streams=tuple(zip(streams, final[:-1], strict=True)))
    return _held(rule, made, members, own, final[-1], now)


def plans_in_stage(rule: Rule, made: StageRule, members: Sequence[Facts], options: Options) -> list[Plan]:
    """What the stage's command would do about each member of a recording, whatever becomes of the others.

    The last of them is the entry that is the rule's. What is further than archived is not archived again.
    """

    def plan(facts: Facts) -> Plan:
        judgement = classify(facts)
        if made.stage is Stage.ARCHIVE and made.stage in _REACHED.get(judgement.state, ()):
            return Plan(judgement.state, (), Outcome.ALREADY, judgement.why)
        return plan_for(made.stage.command or Command.S3COPY, facts, options, in_group=facts is not members[-1])

    return [plan(facts) for facts in members]


def _held(
    rule: Rule, made: StageRule, members: Sequence[Facts], own: Sequence[Plan], final: Plan, now: float
) -> Standing:  # fmt: skip
    """Where a recording stands of which nothing is to be done, though not all of it has the stage behind it.

    What keeps a stream is told before the notice that its owner is to have: nobody is to be told of it then.
    """
    facts, options = members[-1], rule.options(made, now, dry_run=True)
    by_notice = bool(final.reason) and final.reason == unnoticed(facts, options, made.announced)
    if (by_notice or final.outcome is Outcome.ALREADY) and (held := holding(members[:-1], own[:-1])):
        stream, plan = held
        return _left(made.stage, held_back(final, stream.entry.id, plan.outcome, plan.reason))
    # A clock, where nothing but that of who was told keeps it.
    until = told_until(facts, options, made.announced) if by_notice else None
    return _left(made.stage, final)._replace(plan=None if until else final, opens_at=until)


def holding(streams: Sequence[Facts], plans: Sequence[Plan]) -> tuple[Facts, Plan] | None:
    """The first further stream that is to stay as it is, with what says so; None where there is none."""
    each = zip(streams, plans, strict=True)
    return next(((s, plan) for s, plan in each if not plan.steps and plan.outcome is not Outcome.ALREADY), None)


def _left(stage: Stage, plan: Plan) -> Standing:
    return Standing(None, plan=plan, waits_for=stage, why=plan.reason)


def _not_for_people(rule: Rule, members: Sequence[Facts], now: float) -> Plan | None:
    """Why something of it is not to be on a list by which people delete; None where nothing is."""
    for facts in members:
        kept = rule.keep.why(facts, now)
        why = f"kept: {kept}" if kept else promise_pending(facts, now)
        if not why and facts.stored and facts.stored.availability is Availability.THAWING:
            why = "somebody has asked for it: S3 is making its copy readable"
        if why:
            stream = "" if facts is members[-1] else f"{facts.entry.id}, a further stream of it: "
            return Plan(classify(facts).state, (), Outcome.SKIPPED, f"{stream}{why}")
    return None


def _then(rule: Rule, later: tuple[StageRule, ...], members: Sequence[Facts], now: float) -> tuple[Stage, ...]:
    """The stages that this very run may come to, when the one before them is done: none that an owner, who has to be
    told first, is not yet told of, and none that something of a recording is kept from."""
    found: list[Stage] = []
    for made in later:
        if made.stage.command is None or _not_over(rule, made, members[-1], now):
            break
        options = rule.options(made, now, dry_run=True)
        if any(rule.keep.why(facts, now) or unnoticed(facts, options, made.announced) for facts in members):
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
            opens = math.inf if clock.age_seconds is None else opening(since + clock.age_seconds, rule.on)
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
    opens = opening(restored_at + BROUGHT_BACK_SECONDS, rule.on)
    return (opens, f"brought back on {iso_date(restored_at)}, and stays for a year") if opens > now else None


def told_needed(rule: Rule, facts: Facts, now: float) -> StageRule | None:
    """The stage for which the owner of an entry has to be told first; None where there is none, or not yet.

    All its other clocks are over, and so are those of the stages before it.
    """
    judgement = classify(facts)
    if _cut_short(rule, facts):
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


def day_of(unix_seconds: float | None) -> str:
    """The day in UTC from which on something is due; empty for None. Rounded up: a day that has begun is not over."""
    return iso_date(math.ceil((unix_seconds or 0) / DAY_SECONDS) * DAY_SECONDS) if unix_seconds else ""
