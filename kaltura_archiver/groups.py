"""Entries that go together: a recording and its further streams, which Kaltura has as child entries. Pure.

The unit of whatever takes content away is the group: nothing of it goes while one of its members stays.
"""

from __future__ import annotations

from collections.abc import Sequence

from kaltura_archiver.model import Facts, Outcome
from kaltura_archiver.steps import Command, Plan

_REACHED = (Outcome.DONE, Outcome.WOULD, Outcome.ALREADY)
# Somebody wants the entry to stay as it is, or the run to end: that is about the whole recording.
_LEFT_ALONE = (Outcome.SKIPPED, Outcome.DRIFTED, Outcome.INTERRUPTED)


def hindered(command: Command, plan: Plan, other: Outcome) -> bool:
    """Whether a member's plan is not carried out since another member ended, or is known to end, like this.

    What takes content away needs all of them. A restore waits until the copies of all can be read; it does not wait for
    a member that cannot come back. What takes nothing away is done for each that lets it be done.
    """
    if not plan.steps or other in _REACHED or command in (Command.REPAIR, Command.VERIFY):
        return False
    if command in (Command.REPLACE, Command.THIN) or other in _LEFT_ALONE:
        return True
    return command is Command.RESTORE and other is Outcome.WAITING and any(step.destroys for step in plan.steps)


def held_back(plan: Plan, entry_id: str, outcome: Outcome, why: str) -> Plan:
    """What becomes of the plan of a member that is hindered by this one."""
    left = Outcome.WAITING if outcome is Outcome.FAILED else outcome
    reason = f"left as it is, for the streams of a recording go together: {entry_id}: {outcome}: {why}"
    return Plan(plan.state, (), left, reason, plan.cause)


def together(command: Command, members: Sequence[tuple[Facts, Plan]]) -> list[Plan]:
    """The plans of a group's members, each made for itself, as they may be carried out: known before the first change.

    The parent is the last of them, and goes last.
    """

    def final(facts: Facts, plan: Plan) -> Plan:
        for other, theirs in members:
            if other is not facts and hindered(command, plan, theirs.outcome):
                return held_back(plan, other.entry.id, theirs.outcome, theirs.reason)
        return plan

    return [final(facts, plan) for facts, plan in members]
