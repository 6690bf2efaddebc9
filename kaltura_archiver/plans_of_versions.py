"""What is done about an entry whose original and stored copy are two videos; both are kept. Pure."""

from __future__ import annotations

from dataclasses import replace

from kaltura_archiver.identity import holds_placeholder
from kaltura_archiver.model import Facts, Identity, Outcome, State
from kaltura_archiver.planning import go, stop
from kaltura_archiver.states import Judgement
from kaltura_archiver.steps import Options, Plan, Step


def archive_beside(facts: Facts, judgement: Judgement) -> Plan:
    """What Kaltura has becomes the newest stored copy."""
    if facts.original is None:
        why = "Kaltura has no original of what plays, and nothing to archive: upload the newer video again"
        return stop(judgement, Outcome.REFUSED, why)
    if holds_placeholder(facts):
        return stop(judgement, Outcome.REFUSED, "the original is the placeholder video: it is not archived")
    archived = () if facts.entry.archived else (Step.ADD_ARCHIVED,)
    return go(judgement, Step.COPY_BESIDE, Step.MAKE_CURRENT, *archived, reason=judgement.why)


def with_tag_before(facts: Facts, plan: Plan) -> Plan:
    """A restore over another video, of what is not tagged: the tag comes before the swap, as it does before a
    replacement, and goes last. So an interruption is recognisable, and whatever command comes next goes on from it.
    """
    if plan.state is not State.DIVERGED or facts.entry.replaced or Step.PUT_ORIGINAL not in plan.steps:
        return plan
    return replace(plan, steps=(Step.ADD_REPLACED, *plan.steps, Step.REMOVE_REPLACED))


def _to_be_certain(facts: Facts, judgement: Judgement) -> tuple[Step, ...]:
    """What shows that original and copy are one video, and says so."""
    prove = () if judgement.identity is Identity.SAME else (Step.PROVE,)
    return prove if facts.entry.archived else (*prove, Step.ADD_ARCHIVED)


def plan_resolve(facts: Facts, judgement: Judgement, options: Options) -> Plan:
    """What Kaltura has is kept, and archived; or there is nothing to decide. (That S3's comes back is a restore.)"""
    match judgement.state:
        case State.DIVERGED if options.side == "kaltura":
            return archive_beside(facts, judgement)
        case State.ARCHIVED | State.UNTAGGED if judgement.sound and (steps := _to_be_certain(facts, judgement)):
            # They may be two after all; or a swap is over that was taken for cancelled.
            return go(judgement, *steps, reason=judgement.identity_why)
        case State.ARCHIVED if judgement.healthy:
            return stop(judgement, Outcome.ALREADY, "the original and the stored copy are one video")
        case State.PLACEHOLDER | State.THIN:
            why = f"not diverged, there is nothing to decide: {judgement.why}; {judgement.hint}"
            return stop(judgement, Outcome.REFUSED, why)
        case _:
            return stop(judgement, Outcome.REFUSED)
