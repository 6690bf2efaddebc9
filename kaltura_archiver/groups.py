"""Entries that go together: a recording and its further streams, which Kaltura has as child entries. Pure.

The unit of whatever takes content away is the group: nothing of it goes while one of its members stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from kaltura_archiver.model import Facts, Outcome, State, same_id
from kaltura_archiver.states import Judgement, classify
from kaltura_archiver.steps import Command, Plan, Step

_REACHED = (Outcome.DONE, Outcome.WOULD, Outcome.ALREADY)
# Somebody wants the entry to stay as it is, or the run to end: that is about the whole recording.
_LEFT_ALONE = (Outcome.SKIPPED, Outcome.DRIFTED, Outcome.INTERRUPTED)
_AWAY = (State.PLACEHOLDER, State.THIN, State.HALF_TAGGED, State.HALF_THIN)
_FINDS = frozenset({Step.REMOVE_REQUEST, Step.REMOVE_REPLACED, Step.REMOVE_THIN})


# Of members that are not alike the one tells how the recording is that comes first here: what is wrong, then what has
# not gone as far as others. What is damaged comes before all.
_WORST_FIRST = (
    State.LOST, State.UNBACKED, State.EMPTY, State.DIVERGED, State.NO_ORIGINAL, State.UNSETTLED, State.HALF_TAGGED,
    State.HALF_THIN, State.UNTAGGED, State.BUSY, State.INITIAL, State.ARCHIVED, State.THIN, State.PLACEHOLDER,
)  # fmt: skip


def judgement_of_group(own: Judgement, streams: Sequence[tuple[str, Judgement]]) -> Judgement:
    """What is so of a recording: as its worst member is. `streams` are the ids and judgements of the further ones."""

    def rank(judgement: Judgement) -> tuple[bool, int]:
        return judgement.sound, _WORST_FIRST.index(judgement.state)

    members = (("", own), *streams)
    entry_id, worst = min(members, key=lambda member: rank(member[1]))
    states = {judgement.state for _, judgement in members}
    # All go, or none: else one was not brought back, or not replaced, and no search finds a stream.
    halfway = worst.sound and len(states) > 1 and not states.isdisjoint({State.PLACEHOLDER, State.THIN})
    if not halfway and (not entry_id or rank(worst) == rank(own)):
        return own
    named, other = next((i, j) for i, j in streams if i == entry_id or (not entry_id and j.state is not own.state))
    why = f"{own.state} itself, but its further stream {named} is {other.state}: {other.why}"
    found = replace(worst, identity=own.identity, identity_why=own.identity_why, why=why)
    hint = "restore of this entry brings all of it back; replace_video or thin goes on with the rest"
    return replace(found, hint=hint, sound=False) if halfway else found


def judged_together(found: Iterable[Facts]) -> Iterator[tuple[Facts, Judgement]]:
    """Each with its judgement; that of an entry whose further streams came before is the group's."""
    streams: list[tuple[str, str, Judgement]] = []  # each with its parent
    for facts in found:
        entry, judgement = facts.entry, classify(facts)
        yield facts, judgement_of_group(judgement, [(i, of) for parent, i, of in streams if parent == entry.id])
        streams = [*streams, (entry.parent_of_stream, entry.id, judgement)] if entry.parent_of_stream else []


def in_recordings(found: Iterable[tuple[Facts, Plan]]) -> Iterator[list[tuple[Facts, Plan]]]:
    """Each entry with those of its further streams that come just before it, and last itself; a stream that is alone by
    itself."""
    streams: list[tuple[Facts, Plan]] = []
    for facts, plan in found:
        entry = facts.entry
        if entry.parent_of_stream:
            streams.append((facts, plan))
            continue
        own = [each for each in streams if same_id(each[0].entry.parent_of_stream) == same_id(entry.id)]
        yield from ([each] for each in streams if each not in own)
        yield [*own, (facts, plan)]
        streams = []
    yield from ([each] for each in streams)


def hindered(command: Command, plan: Plan, other: Outcome) -> bool:
    """Whether a member's plan is not carried out since another member ended, or is known to end, like this.

    What takes content away needs all of them. A restore waits until the copies of all can be read; it does not wait for
    a member that cannot come back. What takes nothing away is done for each that lets it be done.
    """
    if not plan.steps or other in _REACHED or command in (Command.REPAIR, Command.VERIFY):
        return False
    if command in (Command.REPLACE, Command.THIN) or other in _LEFT_ALONE:
        return True
    return command is Command.RESTORE and other is Outcome.WAITING and Step.THAW not in plan.steps


def is_away(state: str, steps: Iterable[Step], outcome: Outcome) -> bool:
    """Whether what became of a stream leaves its original in S3 only, as far as a restore or a repair goes."""
    return outcome not in _REACHED or (state in _AWAY and Step.PUT_ORIGINAL not in steps)


def still_found(plan: Plan) -> Plan:
    """The plan of a parent of which a stream is away: the tags stay by which searches find it, and it was asked for.

    No search finds a stream.
    """
    if _FINDS.isdisjoint(plan.steps):
        return plan
    steps = tuple(step for step in plan.steps if step not in _FINDS)
    return replace(plan, steps=steps, outcome=plan.outcome if steps else Outcome.ALREADY)


def half_replaced(facts: Facts, plan: Plan, streams: Sequence[str]) -> Plan:
    """What is left for a parent that stays while these streams of it are replaced: a tag by which it is found, so that
    a play brings them back."""
    reason = f"{plan.reason}; of its further streams replaced already: {', '.join(streams)}; restore brings all back"
    outcome = Outcome.WAITING if plan.outcome is Outcome.SKIPPED else plan.outcome
    due = plan.state is State.ARCHIVED and not facts.entry.replaced
    return Plan(plan.state, (Step.ADD_REPLACED,) if due else (), outcome, reason, plan.cause)


def without_placeholder(plan: Plan, kept: str) -> Plan:
    """The plan of a member of a recording that is kept."""
    if Step.PUT_PLACEHOLDER not in plan.steps:
        return plan
    reason = f"kept: {kept}; restore brings the original back"
    return Plan(plan.state, (), Outcome.REFUSED, reason)


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
