"""Of what a rule's owners are to be told, or reminded, before it takes anything away. Pure."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, time
from typing import NamedTuple

from kaltura_archiver.groups import together
from kaltura_archiver.model import Announced, Facts, Outcome
from kaltura_archiver.policy import Rule, Stage
from kaltura_archiver.reasons import unnoticed, untold
from kaltura_archiver.standing import Standing, holding, plans_in_stage, told_needed


def may_be_told(rule: Rule, facts: Facts, at: Standing, now: float) -> Stage | None:
    """The stage of which its owner is to be told as soon as the stages before are done. `at` is where it stands."""
    made = told_needed(rule, facts, now) if rule.notice is not None and _goes_on(at) else None
    kept = any(rule.keep.why(stream, now) for stream in at.members)
    return made.stage if made and not kept and untold(facts, made.announced) else None


def to_be_told(rule: Rule, facts: Facts, at: Standing, now: float) -> Stage | None:
    """The stage of which its owner is to be told now: it would be done, with all that goes with it, but for the notice,
    and no promise is pending."""
    stage = may_be_told(rule, facts, at, now)
    if stage is None or stage.command is None:
        return None
    made, members = rule.stage(stage), (*at.members, facts)
    options = replace(rule.options(made, now, dry_run=True), noticed_before_seconds=None)
    plans = plans_in_stage(rule, made, members, options)
    final = together(stage.command, list(zip(members, plans, strict=True)))
    return stage if any(step.destroys for step in final[-1].steps) else None


class Reminder(NamedTuple):
    """Of which stage and which day an owner is to be reminded; `by` says of what the notice told that named it."""

    stage: Stage
    until: date
    by: Announced | None


def to_be_reminded(rule: Rule, facts: Facts, at: Standing, now: float) -> Reminder | None:
    """What its owner is to be reminded of now; None where they are not: the day is further away than the rule says,
    or over, or not only that day keeps the entry, or a stream of it, where it is."""
    until, remind_seconds = facts.entry.promised_until, float((rule.notice or {}).get("remind", 0))
    made = told_needed(rule, facts, now) if until and remind_seconds and _goes_on(at) else None
    if made is None or made.stage.command is None or until is None or untold(facts, made.announced):
        return None
    begins = datetime.combine(until, time.min, UTC).timestamp()
    if not begins - remind_seconds <= now < begins:
        return None
    options, members = rule.options(made, now, dry_run=True), (*at.members, facts)
    *others, plan = plans_in_stage(rule, made, members, options)
    notice = facts.entry.notice(made.announced)
    held = plan.reason and plan.reason == unnoticed(facts, options, made.announced)
    return Reminder(made.stage, until, notice.of) if held and notice and not holding(members[:-1], others) else None


def _goes_on(at: Standing) -> bool:
    """Whether nothing is in the way that no notice helps: something that was cut short, or is not understood."""
    return not at.repair and not (at.plan and not at.plan.steps and at.plan.outcome is Outcome.REFUSED)
