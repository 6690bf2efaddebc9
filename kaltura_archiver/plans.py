"""From the state of an entry to the steps that bring it to where a command wants it. Pure: it touches nothing."""

from __future__ import annotations

from dataclasses import replace

from kaltura_archiver import pictures
from kaltura_archiver.edits import edited
from kaltura_archiver.identity import holds_placeholder, unrecorded
from kaltura_archiver.model import (
    SETTINGS_DUE,
    Announced,
    Availability,
    Cause,
    EntryStatus,
    Facts,
    Identity,
    MediaType,
    Outcome,
    State,
)
from kaltura_archiver.planning import (
    CROWDED,
    NO_IMPORT,
    UNDECIDED,
    ending,
    further_source,
    go,
    keep_settings,
    no_video,
    not_to_be_kept,
    runs_anyway,
    stop,
    thaw,
    too_young,
    undecided,
    unproven,
    unreadable,
)
from kaltura_archiver.plans_of_thin import plan_thin, record_kept, remove_thin
from kaltura_archiver.plans_of_versions import archive_beside, plan_resolve, with_tag_before
from kaltura_archiver.reasons import frees_nothing, in_use, not_played, unnoticed, withdrawn
from kaltura_archiver.states import Judgement, classify, has_own_original, heals_from_source, not_in_s3
from kaltura_archiver.steps import Command, Options, Plan, Step


def plan_for(command: Command, facts: Facts, options: Options, *, in_group: bool = False) -> Plan:
    """What `command` does about an entry with these facts, whatever becomes of other streams of the same recording.

    A further stream is refused unless all of them are planned with it (`in_group`, see groups.py).
    What is on the keep list is neither archived nor replaced. Repair still puts its tags right, and its original back.
    """
    judgement = classify(facts)
    entry = facts.entry
    if facts.unseen:
        return stop(judgement, Outcome.FAILED)
    if command is Command.VERIFY:
        return _plan_verify(facts, judgement, options)
    if entry.recycled:
        return Plan(judgement.state, (), Outcome.REFUSED, "the entry is in Kaltura's recycle bin")
    if entry.temporary:
        reason = f"a temporary entry of the replacement of {entry.replaced_entry_id}"
        return Plan(judgement.state, (), Outcome.REFUSED, reason)
    if facts.original is not None and facts.original.odd:
        return stop(judgement, Outcome.REFUSED)
    if not entry.status_known:
        reason = f"the entry has a status that is not known here: {entry.status}"
        return Plan(judgement.state, (), Outcome.REFUSED, reason)
    if (parent := entry.parent_of_stream) and not in_group:
        reason = f"a further stream (child entry) of {parent}, with which it goes: {command} --id {parent}"
        return Plan(judgement.state, (), Outcome.REFUSED, reason)
    make = {
        Command.S3COPY: _plan_s3copy,
        Command.REPLACE: _plan_replace,
        Command.THIN: plan_thin,
        Command.RESTORE: _plan_restore,
        Command.REPAIR: _plan_repair,
        Command.RESOLVE: _plan_resolve,
    }[command]
    plan = make(facts, judgement, options)
    if why := withdrawn(command, facts, plan, options):
        return stop(judgement, Outcome.SKIPPED, why)
    if command is Command.RESTORE:
        plan = _answered(facts, plan, options)
    if Step.PROVE in plan.steps and undecided(facts) and not options.accept_size_match:
        return stop(judgement, Outcome.REFUSED, UNDECIDED, Cause.UNDECIDED)  # reading it again would show no more
    kept = options.keep.why(facts, options.now) if command.heeds_keep else ""
    settles = Step.SETTLE in plan.steps  # which cancels a replacement by the placeholder, see swap.py
    if kept and command is not Command.REPAIR and plan.outcome is not Outcome.ALREADY and not settles:
        return Plan(judgement.state, (), Outcome.SKIPPED, f"kept: {kept}")
    if kept and not settles and any(step.may_swap_placeholder_in for step in plan.steps):
        reason = f"kept: {kept}; {judgement.why}; restore brings the original back"
        return Plan(judgement.state, (), Outcome.REFUSED, reason)
    odd = next((flavor.odd for flavor in facts.flavors if flavor.odd), "")
    if odd and any(step.destroys for step in plan.steps):
        reason = f"of one of its flavors Kaltura says what is not understood here: {odd}"
        return Plan(judgement.state, (), Outcome.REFUSED, reason)
    return plan


def _answered(facts: Facts, plan: Plan, options: Options) -> Plan:
    """The plan of a restore, and at its end, where the original is in place then or is there already, the tag gone by
    which it was asked for."""
    if not options.request_tag or options.request_tag not in facts.entry.tag_set:
        return plan
    if plan.steps and {Step.THAW, Step.SETTLE, Step.COPY_SOURCE}.isdisjoint(plan.steps):
        return replace(plan, steps=(*plan.steps, Step.REMOVE_REQUEST))
    return Plan(plan.state, (Step.REMOVE_REQUEST,), reason=plan.reason) if plan.outcome is Outcome.ALREADY else plan


def _set_flavors(facts: Facts) -> tuple[Step, ...]:
    """What is left to do for a swap that was over before all was set again."""
    due = facts.stored is not None and facts.stored.settings == SETTINGS_DUE
    return (Step.SET_FLAVORS,) if due else ()


def _picture(due: pictures.Due | None, facts: Facts, options: Options) -> tuple[Step, ...]:
    """What becomes of the picture when the video is back. Before the tag goes, so that a run that is cut is seen."""
    if options.new_picture and facts.entry.media_type == MediaType.VIDEO.value:
        return (Step.NEW_PICTURE,)
    return (Step.SET_PICTURE,) if due else ()


def _left(facts: Facts, options: Options) -> tuple[Step, ...]:
    """What a restore that is over has left."""
    return (*_set_flavors(facts), *_picture(pictures.left(facts), facts, options))


def _busy(facts: Facts, judgement: Judgement) -> Plan:
    # Only an entry that we tagged before the swap can be in a replacement of ours.
    ours = facts.entry.replaced or facts.entry.thin
    if ours and facts.entry.replacement_running:
        return go(judgement, Step.SETTLE, reason=judgement.why)
    return stop(judgement, Outcome.WAITING)


def _plan_s3copy(facts: Facts, judgement: Judgement, options: Options) -> Plan:
    match judgement.state:
        case State.INITIAL:
            if holds_placeholder(facts):
                return stop(judgement, Outcome.REFUSED, "the original is the placeholder video: it is not archived")
            return go(judgement, Step.COPY, Step.ADD_ARCHIVED, reason=not_in_s3(facts))
        case State.ARCHIVED | State.UNTAGGED:
            steps: tuple[Step, ...] = () if judgement.identity is Identity.SAME else (Step.PROVE,)
            steps += () if facts.entry.archived else (Step.ADD_ARCHIVED,)
            if steps:
                return go(judgement, *steps, reason=judgement.identity_why)
            beside = not_in_s3(facts)
            return stop(judgement, Outcome.ALREADY, f"the original is in S3{beside and f'; {beside}'}")
        case State.PLACEHOLDER if judgement.sound:
            return stop(judgement, Outcome.ALREADY, "the original is in S3, the placeholder in Kaltura")
        case State.THIN if judgement.sound:
            return stop(judgement, Outcome.ALREADY, judgement.why)
        case State.UNBACKED | State.LOST if has_own_original(facts):
            return go(judgement, Step.COPY, reason=judgement.why)
        case State.LOST if heals_from_source(facts):
            return _own_copy(facts, judgement, options)
        case State.DIVERGED if edited(facts):
            return archive_beside(facts, judgement)
        case State.BUSY:
            return stop(judgement, Outcome.WAITING)
        case _:
            return stop(judgement, Outcome.REFUSED)


def _plan_replace(facts: Facts, judgement: Judgement, options: Options) -> Plan:
    entry = facts.entry
    match judgement.state:
        case State.ARCHIVED | State.UNSETTLED:
            return _not_to_be_replaced(facts, judgement, options) or _swap_in_placeholder(facts, judgement)
        case State.PLACEHOLDER if thin := remove_thin(facts):
            return go(judgement, *thin, *_set_flavors(facts), reason="the placeholder is in place")
        case State.PLACEHOLDER if judgement.healthy and _set_flavors(facts):
            return go(judgement, Step.SET_FLAVORS, reason="the placeholder is in place")
        case State.PLACEHOLDER if judgement.sound:
            return stop(judgement, Outcome.ALREADY, "the placeholder is in place")
        case State.THIN if judgement.healthy:
            return _not_to_be_replaced(facts, judgement, options) or _swap_in_placeholder(facts, judgement)
        case State.HALF_THIN if entry.replaced and facts.original is None and not _spoiled(facts):
            return _not_to_be_replaced(facts, judgement, options) or _swap_in_placeholder(facts, judgement)
        case State.HALF_TAGGED if entry.replaced or not (_arrived_damaged(facts) or _came_back(facts)):
            return _plan_repair(facts, judgement, options)
        case State.NO_ORIGINAL if entry.replaced:
            # A replacement in place that was cut: the same command goes on from it.
            return _plan_repair(facts, judgement, options)
        case State.BUSY:
            return _busy(facts, judgement)
        case State.INITIAL:
            return stop(judgement, Outcome.REFUSED, "not archived; run s3copy first")
        case _:
            return stop(judgement, Outcome.REFUSED)


def _not_to_be_replaced(facts: Facts, judgement: Judgement, options: Options) -> Plan | None:
    """Why an entry whose original and copy agree keeps its original all the same; None if it may go."""
    # Of an original that is gone already, the copy was proven when it went.
    unsure = unproven(facts, judgement) if facts.original else _unproven_alone(facts, judgement)
    if plan := unsure or no_video(facts, judgement) or too_young(facts, judgement, options):
        return plan
    if reason := in_use(facts, options) or frees_nothing(facts) or unnoticed(facts, options, Announced.REPLACE):
        return stop(judgement, Outcome.SKIPPED, reason)
    if facts.stored is not None and facts.stored.crowded:
        return stop(judgement, Outcome.REFUSED, CROWDED)
    return None


def _spoiled(facts: Facts) -> bool:
    return facts.stored is None or bool(facts.stored.spoiled)


def _unproven_alone(facts: Facts, judgement: Judgement) -> Plan | None:
    """Nothing goes where only a derived flavor is left, unless S3 is known to have the original's bytes."""
    if facts.stored is not None and facts.stored.proven and not facts.stored.spoiled:
        return ending(facts, judgement)
    return stop(judgement, Outcome.REFUSED, "it is not proven that S3 has the original; run restore", Cause.UNPROVEN)


def _swap_in_placeholder(facts: Facts, judgement: Judgement) -> Plan:
    """The tags come before the swap, so that an interruption after it is not taken for somebody's newer upload."""
    archived = () if facts.entry.archived else (Step.ADD_ARCHIVED,)
    keep = keep_settings(facts)
    steps = (Step.CHECK_COPY, Step.UPLOAD_PLACEHOLDER, *archived, *keep, Step.ADD_REPLACED, Step.PUT_PLACEHOLDER)
    return go(judgement, *steps, *remove_thin(facts))


def _plan_restore(facts: Facts, judgement: Judgement, options: Options) -> Plan:
    # Of a further stream the plays of its parent count, with whose plan its own goes.
    played_only = options.plays.played_since is not None and not facts.entry.parent_of_stream
    match judgement.state:
        case State.PLACEHOLDER | State.NO_ORIGINAL | State.HALF_TAGGED:
            if reason := not_played(facts, options.plays):
                return stop(judgement, Outcome.SKIPPED, reason)
            return _bring_back(facts, judgement, options)
        case State.THIN | State.HALF_THIN if played_only and not facts.original:
            reason = "it plays, and stays as it is however often: ask for it by --id, without --played-within"
            return stop(judgement, Outcome.SKIPPED, reason)
        case State.THIN | State.HALF_THIN if facts.original is None or holds_placeholder(facts):
            return _bring_back(facts, judgement, options)
        case State.UNSETTLED | State.HALF_THIN:
            return _settle_original(facts, judgement, options)
        case State.LOST if heals_from_source(facts):
            return _from_source(facts, judgement, options)
        case State.ARCHIVED if judgement.healthy and (steps := _left(facts, options)):
            return go(judgement, *steps, reason="the original is in Kaltura")
        case State.INITIAL | State.UNBACKED if holds_placeholder(facts):
            return stop(judgement, Outcome.REFUSED, "the placeholder video is in Kaltura, and S3 has no copy")
        case State.INITIAL | State.ARCHIVED | State.UNTAGGED | State.UNBACKED:
            return stop(judgement, Outcome.ALREADY, "the original is in Kaltura")
        case State.BUSY:
            return _busy(facts, judgement)
        case _:
            return stop(judgement, Outcome.REFUSED)


def _settle_original(facts: Facts, judgement: Judgement, options: Options) -> Plan:
    prove = () if judgement.identity is Identity.SAME else (Step.PROVE,)
    archived = () if facts.entry.archived else (Step.ADD_ARCHIVED,)
    picture = _picture(pictures.left(facts), facts, options)
    tags = ((Step.REMOVE_REPLACED,) if facts.entry.replaced else ()) + remove_thin(facts)
    steps = (*prove, *archived, *picture, *tags, *_set_flavors(facts))
    return go(judgement, *steps, reason=judgement.why)


def _bring_back(facts: Facts, judgement: Judgement, options: Options) -> Plan:
    stored = facts.stored
    if stored is None:
        return stop(judgement, Outcome.REFUSED)
    if stored.availability in (Availability.FROZEN, Availability.THAWING):
        return thaw(judgement, stored, options)
    if stored.availability is Availability.UNKNOWN:
        return stop(judgement, Outcome.REFUSED, unreadable(stored))
    if stored.spoiled and options.via == "url":  # nobody looks at these bytes on their way
        return stop(judgement, Outcome.REFUSED)
    if options.via == "url" and facts.entry.status == EntryStatus.NO_CONTENT:
        return stop(judgement, Outcome.REFUSED, NO_IMPORT)
    if stored.crowded:
        return stop(judgement, Outcome.REFUSED, CROWDED)
    if plan := not_to_be_kept(facts, judgement):
        return plan
    steps = [*keep_settings(facts), Step.PUT_ORIGINAL]
    if not facts.entry.archived:
        steps.append(Step.ADD_ARCHIVED)
    steps += _picture(pictures.picture_due(facts), facts, options)
    if facts.entry.replaced:
        steps.append(Step.REMOVE_REPLACED)
    steps += remove_thin(facts)
    return go(judgement, *steps, reason=f"{stored.size_bytes} bytes in {stored.storage_class}")


def _from_source(facts: Facts, judgement: Judgement, options: Options) -> Plan:
    """Give a clone of a replaced entry a copy of its own, from which it is then restored as any."""
    source = facts.source
    if source is None:
        return stop(judgement, Outcome.REFUSED)
    if source.availability in (Availability.FROZEN, Availability.THAWING):
        return thaw(judgement, source, options)
    if source.availability is Availability.UNKNOWN:
        return stop(judgement, Outcome.REFUSED, unreadable(source))
    reason = f"{source.key}: {source.size_bytes} bytes in {source.storage_class}"
    return go(judgement, Step.COPY_SOURCE, reason=reason)


def _own_copy(facts: Facts, judgement: Judgement, options: Options) -> Plan:
    plan = _from_source(facts, judgement, options)
    if Step.THAW in plan.steps:
        return stop(judgement, Outcome.WAITING, f"{judgement.why}, which is frozen: restore thaws it")
    return plan


def _arrived_damaged(facts: Facts) -> bool:
    """Whether the original is what a restore sent, but not its bytes: of the video's size, and known not to be it."""
    original, stored = facts.original, facts.stored
    if original is None or stored is None:
        return False
    return original.size_bytes == stored.size_bytes and original.size_bytes not in facts.placeholder_sizes


def _came_back(facts: Facts) -> bool:
    """Whether the placeholder lies over an original that a restore had brought back."""
    return facts.stored is not None and bool(facts.stored.restored_at)


def _plan_repair(facts: Facts, judgement: Judgement, options: Options) -> Plan:
    match judgement.state:
        case State.INITIAL | State.ARCHIVED | State.PLACEHOLDER | State.THIN:
            if not judgement.healthy:
                return stop(judgement, Outcome.REFUSED)
            record = (Step.RECORD,) if unrecorded(facts) else ()
            left = _left(facts, options) if judgement.state is State.ARCHIVED else _set_flavors(facts)
            left += remove_thin(facts) if judgement.state is State.PLACEHOLDER else ()
            if due := (*record, *left):
                return go(judgement, *due, reason="it was told by reading it" if record else judgement.why)
            return stop(judgement, Outcome.ALREADY, f"healthy: {judgement.state}")
        case State.UNTAGGED:
            return _plan_s3copy(facts, judgement, options)
        case State.LOST if heals_from_source(facts):
            return _own_copy(facts, judgement, options)
        case State.HALF_THIN if facts.original is None and facts.entry.replaced:
            return go(judgement, *record_kept(facts), Step.REMOVE_REPLACED, reason=judgement.why)
        case State.HALF_THIN if facts.original is None:
            return go(judgement, *record_kept(facts), reason=judgement.why)
        case State.HALF_THIN if holds_placeholder(facts):
            return _bring_back(facts, judgement, options)
        case State.UNSETTLED | State.HALF_THIN:
            return _settle_original(facts, judgement, options)
        case State.HALF_TAGGED if not facts.entry.replaced and (_arrived_damaged(facts) or _came_back(facts)):
            return _bring_back(facts, judgement, options)
        case State.HALF_TAGGED:
            steps: tuple[Step, ...] = () if facts.entry.archived else (Step.ADD_ARCHIVED,)
            steps += () if facts.entry.replaced else (Step.ADD_REPLACED,)
            return go(judgement, *steps, reason=judgement.why)
        case State.NO_ORIGINAL:
            if facts.stored is not None and facts.stored.crowded:
                return stop(judgement, Outcome.REFUSED, CROWDED)
            video, kept = facts.entry.media_type == MediaType.VIDEO.value, options.keep.why(facts, options.now)
            if facts.entry.replaced and video and not kept:
                # What does not play may be all that Kaltura has of it.
                unsure = _unproven_alone(facts, judgement) if facts.derived or facts.original else None
                if plan := unsure or further_source(facts, judgement):
                    return plan
                archived = () if facts.entry.archived else (Step.ADD_ARCHIVED,)
                keep = keep_settings(facts)
                steps = (Step.CHECK_COPY, Step.UPLOAD_PLACEHOLDER, *archived, *keep, Step.PUT_PLACEHOLDER)
                return go(judgement, *steps, reason=judgement.why)
            return _bring_back(facts, judgement, options)
        case State.BUSY:
            return _busy(facts, judgement)
        case _:
            return stop(judgement, Outcome.REFUSED)


def _plan_resolve(facts: Facts, judgement: Judgement, options: Options) -> Plan:
    match judgement.state:
        # Without an original: what an interruption in place leaves.
        case State.DIVERGED | State.NO_ORIGINAL if options.side == "s3" and not _spoiled(facts):
            return with_tag_before(facts, _bring_back(facts, judgement, options))
        case State.UNSETTLED:
            return _settle_original(facts, judgement, options)
        case State.HALF_THIN if facts.original and not holds_placeholder(facts):
            return _settle_original(facts, judgement, options)
        case State.BUSY:
            return _busy(facts, judgement)
        case _:
            return plan_resolve(facts, judgement, options)


def _plan_verify(facts: Facts, judgement: Judgement, options: Options) -> Plan:
    stored = facts.stored
    if stored is None:
        if facts.entry.archived or facts.entry.replaced or facts.entry.thin:
            return stop(judgement, Outcome.FAILED)
        return stop(judgement, Outcome.SKIPPED, "not archived")
    if stored.availability is Availability.READABLE:
        return go(judgement, Step.READ_BACK)
    if stored.availability is Availability.UNKNOWN:
        return stop(judgement, Outcome.REFUSED, unreadable(stored))
    if options.request and not runs_anyway(stored, options):
        return thaw(judgement, stored, options)
    how = "thawing" if stored.availability is Availability.THAWING else "frozen (--request asks it to thaw)"
    return stop(judgement, Outcome.WAITING, f"not readable now: {how} in {stored.frozen_in}")
