"""What plans are made of: answers, and the reasons that several commands have. Pure."""

from __future__ import annotations

from kaltura_archiver.filters import YEAR_SECONDS
from kaltura_archiver.flavors import settings_of
from kaltura_archiver.model import (
    RETRIEVAL_TIERS,
    TIERED_CLASS,
    Availability,
    Cause,
    EntryStatus,
    Facts,
    Identity,
    MediaType,
    Outcome,
    State,
    StoredObject,
    iso_date,
)
from kaltura_archiver.states import Judgement, not_in_s3, unreadable_source
from kaltura_archiver.steps import Options, Plan, Step

NO_IMPORT = "what has no content is given some only with --via upload: an import that fails would leave it without"
CROWDED = (
    "the stored copy has so many tags of others that there is no room for ours, which say what is where "
    "(S3 keeps ten): remove some"
)
UNDECIDED = (
    "sizes agree but nothing proves more: S3 shows nothing of the frozen copy that could be compared with the "
    "original; verify --request --no-dry-run has it thawed, and then s3copy reads it back; s3copy --accept-size-match "
    "accepts it as it is"
)


def undecided(facts: Facts) -> bool:
    return bool(facts.original and facts.stored and facts.stored.undecided_for(facts.original))


def stop(judgement: Judgement, outcome: Outcome, reason: str = "", cause: Cause | None = None) -> Plan:
    text = reason or "; ".join(filter(None, (judgement.why, judgement.hint)))
    return Plan(judgement.state, (), outcome, text, cause)


def go(judgement: Judgement, *steps: Step, reason: str = "") -> Plan:
    return Plan(judgement.state, steps, Outcome.DONE, reason)


def keep_settings(facts: Facts) -> tuple[Step, ...]:
    """What goes before a swap, which takes away what people have set on flavors."""
    kept = facts.stored is not None and bool(facts.stored.settings)
    return (Step.KEEP_SETTINGS,) if kept or settings_of(facts) else ()


def ending(facts: Facts, judgement: Judgement) -> Plan | None:
    """No original goes for a copy that S3 says it will delete."""
    if facts.stored is None or not facts.stored.ending:
        return None
    return stop(judgement, Outcome.REFUSED, facts.stored.ending_told)


def unproven(facts: Facts, judgement: Judgement) -> Plan | None:
    if judgement.identity is Identity.SAME:
        return ending(facts, judgement)
    if undecided(facts):
        return stop(judgement, Outcome.REFUSED, UNDECIDED, Cause.UNDECIDED)
    command = "s3copy" if judgement.state is State.ARCHIVED else "restore or repair"
    reason = (
        f"it is only likely that the stored copy is this original: {judgement.identity_why}; run {command} to prove it"
    )
    return stop(judgement, Outcome.REFUSED, reason, Cause.UNPROVEN)


def no_video(facts: Facts, judgement: Judgement) -> Plan | None:
    """A placeholder takes the place of a video that is READY only, and of which S3 has all that was uploaded."""
    entry = facts.entry
    if entry.media_type != MediaType.VIDEO.value:
        kind = {MediaType.IMAGE.value: "an image", MediaType.AUDIO.value: "audio"}.get(entry.media_type or 0)
        reason = f"the placeholder is a video: {kind or 'what is none'} is not replaced by it"
        return stop(judgement, Outcome.REFUSED, reason)
    if entry.status != EntryStatus.READY:
        return stop(judgement, Outcome.REFUSED, f"the entry is not READY (status {entry.status})")
    return further_source(facts, judgement)


def further_source(facts: Facts, judgement: Judgement) -> Plan | None:
    """Nothing goes while there is a source that S3 does not have."""
    if further := not_in_s3(facts):
        reason = f"{further}; no conversion makes it again: if nobody needs it, delete it in Kaltura"
        return stop(judgement, Outcome.REFUSED, reason)
    return source_to_come(facts, judgement)


def source_to_come(facts: Facts, judgement: Judgement) -> Plan | None:
    if coming := [f.id for f in facts.sources_to_come]:
        return stop(judgement, Outcome.WAITING, f"Kaltura is still making {', '.join(coming)}, a further source flavor")
    return None


def not_to_be_kept(facts: Facts, judgement: Judgement) -> Plan | None:
    """A restore displaces no source of which it cannot keep a copy."""
    if why := unreadable_source(facts):
        return stop(judgement, Outcome.REFUSED, why)
    return source_to_come(facts, judgement)


def too_young(facts: Facts, judgement: Judgement, options: Options) -> Plan | None:
    entry = facts.entry
    if not entry.created_at and options.min_age_years > 0:
        reason = "Kaltura does not tell when it was created: it may be too young (--min-age-years)"
        return stop(judgement, Outcome.REFUSED, reason, Cause.YOUNG)
    if entry.created_at > options.now - options.min_age_years * YEAR_SECONDS:
        years = f"less than {options.min_age_years:g} years ago (--min-age-years)"
        return stop(judgement, Outcome.SKIPPED, f"created {iso_date(entry.created_at)}, {years}", Cause.YOUNG)
    return None


def thaw(judgement: Judgement, stored: StoredObject, options: Options) -> Plan:
    """Ask for a restore, or for one that is running to go faster."""
    if runs_anyway(stored, options):
        tier, _ = stored.thaw_asked
        within = f": readable within {stored.thaws_within(tier)} of when it was asked for" if tier else ""
        return stop(judgement, Outcome.WAITING, f"the restore from {stored.frozen_in} is still running{within}")
    if options.tier == "expedited" and not stored.has_expedited:
        return stop(judgement, Outcome.REFUSED, f"{stored.frozen_in} has no tier expedited; use standard or bulk")
    if stored.availability is Availability.THAWING:
        return go(judgement, Step.THAW, reason=f"{stored.frozen_in}: one is running, it may go faster: {options.tier}")
    stays = "from then on" if stored.storage_class == TIERED_CLASS else f"for {options.days} days"
    return go(judgement, Step.THAW, reason=f"{stored.frozen_in}, tier {options.tier}, readable {stays}")


def runs_anyway(stored: StoredObject, options: Options) -> bool:
    """Whether a restore is running that is known to be no slower than the tier asked for: nothing is but bulk."""
    known = stored.thaw_asked[0] or "bulk"
    faster = RETRIEVAL_TIERS.index(options.tier) > RETRIEVAL_TIERS.index(known)
    return stored.availability is Availability.THAWING and not faster


def unreadable(stored: StoredObject) -> str:
    return (
        f"it is not known whether an object of class {stored.storage_class} can be read, and an attempt failed: may we "
        "read it (s3:GetObject)?"
    )
