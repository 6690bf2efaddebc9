"""What has changed of an entry since its plan was made."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from kaltura_archiver.identity import holds_placeholder
from kaltura_archiver.model import (
    NOTICE_PREFIX,
    REPLACED_TAG,
    Availability,
    Facts,
    Identity,
    Outcome,
    State,
    normalised_tags,
)
from kaltura_archiver.review.planfile import STEPS_GOING_ON, TAGS_ADDED, TAGS_REMOVED, Line, Terms, told_of
from kaltura_archiver.states import classify
from kaltura_archiver.steps import Command, Plan, Step


def drift(terms: Terms, line: Line, facts: Facts, plan: Plan) -> str:
    """What is not any more as it was planned, by somebody else's doing; empty if nothing, or if nothing is left to do.

    `plan` is what the command would do now. What a run of this plan that was cut has done itself is no drift.
    """
    if plan.outcome is Outcome.ALREADY:
        return ""
    command = terms.command
    changes = [
        *_changed_tags(line, facts, command),
        *_changed_original(line, facts, command),
        *_changed_copy(line, facts),
        *_changed_flavors(line, facts, command),
        *_changed_words(line, facts, command),
        *filter(None, [terms.too_much_played(facts.entry)]),
    ]
    if not plan.steps:
        if not changes and plan.outcome is Outcome.WAITING and _waits_for_us(line, facts, plan):
            return ""
        changes.append(f"{plan.outcome}: {plan.reason}")
    elif not changes and not _foreseen(line, command).issuperset(plan.steps):
        changes.append(f"it {plan.describe()} now")
    return "; ".join(changes)


def _foreseen(line: Line, command: Command) -> set[Step]:
    later: set[Step] = set()
    if not {Step.THAW, Step.COPY_SOURCE}.isdisjoint(line.steps):
        later = {Step.COPY_SOURCE, Step.PUT_ORIGINAL}
    return STEPS_GOING_ON[command] | later | set(line.steps)


def _waits_for_us(line: Line, facts: Facts, plan: Plan) -> bool:
    """Whether it waits for what we have begun: a thaw, or the conversion of what we have put in."""
    copy = facts.stored or facts.source
    if copy is not None and copy.availability is Availability.THAWING:
        return True
    return plan.state is State.BUSY and _may_be_ours(line, facts)


def _may_be_ours(line: Line, facts: Facts) -> bool:
    """Whether new content may be of a run of this plan: it is tagged first, or put in where there was none."""
    return facts.entry.replaced or facts.entry.thin or not line.original


def _changed_tags(line: Line, facts: Facts, command: Command) -> Iterator[str]:
    # That its owner was told is no change of the entry.
    before, now = (
        {tag for tag in tags if not tag.startswith(NOTICE_PREFIX)}
        for tags in (line.tags, normalised_tags(facts.entry.tags))
    )
    changes = [f"+{tag}" for tag in sorted(now - before - TAGS_ADDED[command])]
    changes += [f"-{tag}" for tag in sorted(before - now - TAGS_REMOVED.get(command, set()))]
    if changes:
        yield f"tags {' '.join(changes)}"


def _changed_original(line: Line, facts: Facts, command: Command) -> Iterator[str]:
    now = facts.original
    there = now.content_id if now else ""
    sizes = {line.original_bytes, now.size_bytes if now else None} - {None}
    if there == line.original and len(sizes) < 2:
        return
    if command is Command.THIN and now is None and facts.entry.thin:
        return  # deleted by a run of this plan, or of another: the state says whether all is well
    if command in (Command.REPLACE, Command.RESTORE) and _may_be_ours(line, facts):
        if now is None or not now.status.ready:
            return  # in place: deleted, and what is to be there is not yet
        if holds_placeholder(facts) is True if command is Command.REPLACE else _is_stored(facts):
            return
    yield (
        f"the original was {_described(line.original, line.original_bytes)}, "
        f"is {_described(there, now.size_bytes if now else None)}"
    )


def _is_stored(facts: Facts) -> bool:
    return classify(facts).identity in (Identity.SAME, Identity.LIKELY)


def _described(content_id: str, size_bytes: int | None) -> str:
    return f"{content_id or 'none'}{f' ({size_bytes} bytes)' if size_bytes else ''}"


def _changed_copy(line: Line, facts: Facts) -> Iterator[str]:
    now = facts.stored
    if line.stored_bytes is None or (Step.MAKE_CURRENT in line.steps and now and now.earlier):
        return  # s3copy made it, or finds out what it is
    if now is None:
        yield "the stored copy is gone"
    elif now.size_bytes != line.stored_bytes or now.etag != line.etag or (line.sha256 and now.sha256 != line.sha256):
        # The ETag too where a tag agrees: tags stay what they are when somebody overwrites the object.
        yield "the stored copy is another one"


def _changed_flavors(line: Line, facts: Facts, command: Command) -> Iterator[str]:
    """Whether more flavors would go than were reviewed: one that somebody has uploaded comes back by no conversion."""
    if line.derived is None or command not in (Command.THIN, Command.REPLACE):
        return
    if facts.entry.replaced and REPLACED_TAG not in line.tags:
        return  # a run of this plan has begun: they may be those of the placeholder
    if added := sorted({flavor.id for flavor in facts.derived} - line.derived):
        yield f"flavors +{' +'.join(added)}"


def _changed_words(line: Line, facts: Facts, command: Command) -> Iterator[str]:
    """What the plan was reviewed by; a restore gives everybody back what is theirs."""
    if command is Command.RESTORE:
        return
    for name, now in told_of(facts.entry).items():
        if line.told.get(name, now) != now:
            yield f"{name} is {_said(now)}, was {_said(line.told[name])}"
    if line.categories is None:
        return
    # Where they were not asked for, the plan knows those only that the entry tells itself.
    changes = [f"+{name}" for name in sorted({*replace(facts, placings=None).category_names} - line.categories)]
    changes += [f"-{name}" for name in sorted(line.categories.difference(facts.category_names))]
    if changes:
        yield f"categories {' '.join(changes)}"


def _said(value: object) -> str:
    return ", ".join(map(str, value)) or "none" if isinstance(value, list) else str(value or "none")
