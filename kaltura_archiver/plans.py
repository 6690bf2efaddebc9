"""What a command would do about one entry, as a value: steps, or none and the reason. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from enum import StrEnum

from kaltura_archiver import pictures
from kaltura_archiver.filters import YEAR_SECONDS, Plays
from kaltura_archiver.flavors import settings_of
from kaltura_archiver.keep import Keep
from kaltura_archiver.model import (
    ARCHIVED_TAG,
    LAST_SECOND,
    NOTICE_PREFIX,
    REPLACED_TAG,
    RETRIEVAL_TIERS,
    SETTINGS_DUE,
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
from kaltura_archiver.states import (
    Judgement,
    classify,
    has_own_original,
    heals_from_source,
    holds_placeholder,
    unrecorded,
)

DAY_SECONDS = 86400
HOUR_SECONDS = 3600
CROWDED = (
    "the stored copy has so many tags of others that there is no room for ours, which say what is where "
    "(S3 keeps ten): remove some"
)


UNDECIDED = (
    "sizes agree but nothing proves more: S3 shows nothing of the frozen copy that could be compared with the "
    "original; verify --request --no-dry-run has it thawed, and then s3copy reads it back; s3copy --accept-size-match "
    "accepts it as it is"
)


class Command(StrEnum):
    S3COPY = "s3copy"
    REPLACE = "replace_video"
    RESTORE = "restore"
    REPAIR = "repair"
    VERIFY = "verify"

    @property
    def heeds_keep(self) -> bool:
        """Whether it may archive or replace, and so has to know the keep list."""
        return self in (Command.S3COPY, Command.REPLACE, Command.REPAIR)

    @property
    def swaps(self) -> bool:
        """Whether content is replaced by it, as a rule or at times."""
        return self in (Command.REPLACE, Command.RESTORE, Command.REPAIR)


class Step(StrEnum):
    """One thing to do; the value completes the sentence "would …"."""

    COPY = "copy the original to S3 and verify it"
    COPY_SOURCE = "make the stored copy of the entry that it is a clone of its own"
    PROVE = "read the original once and compare it with the stored copy"
    ADD_ARCHIVED = f"add the tag {ARCHIVED_TAG}"
    ADD_REPLACED = f"add the tag {REPLACED_TAG}"
    REMOVE_REPLACED = f"remove the tag {REPLACED_TAG}"
    CHECK_COPY = "compare the original with the stored copy once more"
    UPLOAD_PLACEHOLDER = "upload the placeholder"
    PUT_PLACEHOLDER = "replace the original with the placeholder"
    THAW = "request a restore from Glacier"
    PUT_ORIGINAL = "bring the original back from S3 and verify it"
    READ_BACK = "read the stored copy back and compare it with its checksum"
    SETTLE = "go on with the replacement that is in progress"
    KEEP_SETTINGS = "keep language, label and tags of the flavors in S3, to set them again afterwards"
    SET_FLAVORS = "set language, label and tags of the flavors again"
    SET_PICTURE = "look after its picture: where it is still the placeholder's, take one of the video"
    NEW_PICTURE = "take a new picture of the video"
    RECORD = "record with the stored copy which placeholder is in place"

    @property
    def destroys(self) -> bool:
        """Whether the step removes content from Kaltura."""
        return self in (Step.PUT_PLACEHOLDER, Step.PUT_ORIGINAL)

    @property
    def hides(self) -> bool:
        """Whether it may bring the placeholder nearer; SETTLE does not know whose replacement it goes on with."""
        return self in (Step.UPLOAD_PLACEHOLDER, Step.PUT_PLACEHOLDER, Step.SETTLE)


@dataclass(frozen=True)
class Options:
    """What a mutating command was told. `now` is unix seconds; `timeout_seconds` bounds each wait for a conversion."""

    now: float
    dry_run: bool = True
    min_age_years: float = 3.0
    storage_class: str = "STANDARD"
    accept_size_match: bool = False
    allow_in_place: bool = False
    approve: bool = False
    tier: str = "bulk"
    days: int = 7
    via: str = "upload"
    timeout_seconds: float = 7200.0
    max_converting: int = 50
    request: bool = False
    new_picture: bool = False
    keep: Keep = field(default_factory=Keep)
    noticed_before_seconds: float | None = None
    plays: Plays = field(default_factory=Plays)


@dataclass(frozen=True)
class Plan:
    """Steps to take, or an outcome without any; `reason` says why, in words for the operator, `cause` for a summary."""

    state: State
    steps: tuple[Step, ...] = ()
    outcome: Outcome = Outcome.DONE
    reason: str = ""
    cause: Cause | None = None

    def describe(self) -> str:
        if self.steps:
            would = "; ".join(self.steps)
            return f"would {would} ({self.reason})" if self.reason else f"would {would}"
        return f"{self.outcome}: {self.reason}"


def plan_for(command: Command, facts: Facts, options: Options, *, children: int = 0) -> Plan:
    """What `command` does about an entry with these facts. `children` counts its further streams (replace, restore).

    What is on the keep list is neither archived nor replaced. Repair still puts its tags right, and its original back.
    """
    judgement = classify(facts)
    entry = facts.entry
    if facts.unseen:
        return _stop(judgement, Outcome.FAILED)
    if command is Command.VERIFY:
        return _plan_verify(facts, judgement, options)
    if entry.recycled:
        return Plan(judgement.state, (), Outcome.REFUSED, "the entry is in Kaltura's recycle bin")
    if entry.temporary:
        reason = f"a temporary entry of the replacement of {entry.replaced_entry_id}"
        return Plan(judgement.state, (), Outcome.REFUSED, reason)
    if facts.original is not None and facts.original.odd:
        return _stop(judgement, Outcome.REFUSED)
    if not entry.status_known:
        reason = f"the entry has a status that is not known here: {entry.status}"
        return Plan(judgement.state, (), Outcome.REFUSED, reason)
    make = {
        Command.S3COPY: _plan_s3copy,
        Command.REPLACE: _plan_replace,
        Command.RESTORE: _plan_restore,
        Command.REPAIR: _plan_repair,
    }[command]
    plan = make(facts, judgement, options)
    if Step.PROVE in plan.steps and _undecided(facts) and not options.accept_size_match:
        return _stop(judgement, Outcome.REFUSED, UNDECIDED, Cause.UNDECIDED)  # reading it again would show no more
    kept = options.keep.why(facts) if command.heeds_keep else ""
    if kept and command is not Command.REPAIR and plan.outcome is not Outcome.ALREADY:
        return Plan(judgement.state, (), Outcome.SKIPPED, f"kept: {kept}")
    if kept and any(step.hides for step in plan.steps):
        reason = f"kept: {kept}; {judgement.why}; restore brings the original back"
        return Plan(judgement.state, (), Outcome.REFUSED, reason)
    if reason := _not_alone(facts, plan, children):
        return Plan(judgement.state, (), Outcome.REFUSED, reason)
    return plan


def _not_alone(facts: Facts, plan: Plan, children: int) -> str:
    """Why content of this entry is not changed by itself; empty if it may be.

    A further stream is found by nobody who looks for entries: replaced, it would stay so. It may be archived, for that
    takes nothing away, and what was replaced by earlier versions may come back.
    """
    if not any(step.destroys for step in plan.steps):
        return ""
    if children:
        return f"the entry has {children} further streams (child entries)"
    if facts.entry.parent_entry_id and Step.PUT_PLACEHOLDER in plan.steps:
        return f"the entry is a further stream (child entry) of {facts.entry.parent_entry_id}"
    if odd := next((flavor.odd for flavor in facts.flavors if flavor.odd), ""):
        return f"of one of its flavors Kaltura says what is not understood here: {odd}"
    return ""


def _undecided(facts: Facts) -> bool:
    return bool(facts.original and facts.stored and facts.stored.undecided_for(facts.original))


def _stop(judgement: Judgement, outcome: Outcome, reason: str = "", cause: Cause | None = None) -> Plan:
    text = reason or "; ".join(filter(None, (judgement.why, judgement.hint)))
    return Plan(judgement.state, (), outcome, text, cause)


def _go(judgement: Judgement, *steps: Step, reason: str = "") -> Plan:
    return Plan(judgement.state, steps, Outcome.DONE, reason)


def _keep_settings(facts: Facts) -> tuple[Step, ...]:
    """What goes before a swap, which takes away what people have set on flavors."""
    kept = facts.stored is not None and bool(facts.stored.settings)
    return (Step.KEEP_SETTINGS,) if kept or settings_of(facts) else ()


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
    if facts.entry.replaced and facts.entry.replacement_running and facts.stored is not None:
        return _go(judgement, Step.SETTLE, reason=judgement.why)
    return _stop(judgement, Outcome.WAITING)


def _plan_s3copy(facts: Facts, judgement: Judgement, options: Options) -> Plan:
    match judgement.state:
        case State.INITIAL:
            if holds_placeholder(facts):
                return _stop(judgement, Outcome.REFUSED, "the original is the placeholder video: it is not archived")
            return _go(judgement, Step.COPY, Step.ADD_ARCHIVED)
        case State.ARCHIVED | State.UNTAGGED:
            steps: tuple[Step, ...] = () if judgement.identity is Identity.SAME else (Step.PROVE,)
            steps += () if facts.entry.archived else (Step.ADD_ARCHIVED,)
            if steps:
                return _go(judgement, *steps, reason=judgement.identity_why)
            return _stop(judgement, Outcome.ALREADY, "the original is in S3")
        case State.PLACEHOLDER:
            return _stop(judgement, Outcome.ALREADY, "the original is in S3, the placeholder in Kaltura")
        case State.UNBACKED | State.LOST if has_own_original(facts):
            return _go(judgement, Step.COPY, reason=judgement.why)
        case State.LOST if heals_from_source(facts):
            return _own_copy(facts, judgement, options)
        case State.BUSY:
            return _stop(judgement, Outcome.WAITING)
        case _:
            return _stop(judgement, Outcome.REFUSED)


def _plan_replace(facts: Facts, judgement: Judgement, options: Options) -> Plan:
    entry = facts.entry
    match judgement.state:
        case State.ARCHIVED | State.UNSETTLED:
            if judgement.identity is not Identity.SAME and _undecided(facts):
                return _stop(judgement, Outcome.REFUSED, UNDECIDED, Cause.UNDECIDED)
            if judgement.identity is not Identity.SAME:
                command = "s3copy" if judgement.state is State.ARCHIVED else "restore or repair"
                return _stop(
                    judgement,
                    Outcome.REFUSED,
                    f"it is only likely that the stored copy is this original: {judgement.identity_why}; "
                    f"run {command} to prove it",
                    Cause.UNPROVEN,
                )
            if entry.media_type != MediaType.VIDEO.value:
                kind = {MediaType.IMAGE.value: "an image", MediaType.AUDIO.value: "audio"}.get(entry.media_type or 0)
                reason = f"the placeholder is a video: {kind or 'what is none'} is not replaced by it"
                return _stop(judgement, Outcome.REFUSED, reason)
            if entry.status != EntryStatus.READY:
                return _stop(judgement, Outcome.REFUSED, f"the entry is not READY (status {entry.status})")
            if not entry.created_at and options.min_age_years > 0:
                reason = "Kaltura does not tell when it was created: it may be too young (--min-age-years)"
                return _stop(judgement, Outcome.REFUSED, reason, Cause.YOUNG)
            if entry.created_at > options.now - options.min_age_years * YEAR_SECONDS:
                return _stop(
                    judgement,
                    Outcome.SKIPPED,
                    f"created {iso_date(entry.created_at)}, less than {options.min_age_years:g} years ago "
                    "(--min-age-years)",
                    Cause.YOUNG,
                )
            if reason := _restored(facts, options.plays) or unnoticed(facts, options) or _frees_nothing(facts):
                return _stop(judgement, Outcome.SKIPPED, reason)
            if facts.stored is not None and facts.stored.crowded:
                return _stop(judgement, Outcome.REFUSED, CROWDED)
            archived = () if entry.archived else (Step.ADD_ARCHIVED,)
            return _go(
                judgement,
                Step.CHECK_COPY,
                Step.UPLOAD_PLACEHOLDER,
                *archived,
                *_keep_settings(facts),
                Step.ADD_REPLACED,
                Step.PUT_PLACEHOLDER,
            )
        case State.PLACEHOLDER if judgement.healthy and _set_flavors(facts):
            return _go(judgement, Step.SET_FLAVORS, reason="the placeholder is in place")
        case State.PLACEHOLDER:
            return _stop(judgement, Outcome.ALREADY, "the placeholder is in place")
        case State.HALF_TAGGED if entry.replaced or not (_arrived_damaged(facts) or _came_back(facts)):
            return _plan_repair(facts, judgement, options)
        case State.NO_ORIGINAL if entry.replaced:
            # A replacement in place that was cut: the same command goes on from it.
            return _plan_repair(facts, judgement, options)
        case State.BUSY:
            return _busy(facts, judgement)
        case State.INITIAL:
            return _stop(judgement, Outcome.REFUSED, "not archived; run s3copy first")
        case _:
            return _stop(judgement, Outcome.REFUSED)


def _frees_nothing(facts: Facts) -> str:
    """Why a replacement would free nothing; empty if it would, or where the sizes are not known."""
    original, placeholder_bytes = facts.original, facts.placeholder_bytes
    size = (original.size_bytes or (original.size_kb or 0) * 1024) if original else 0
    if not size or not placeholder_bytes or size > placeholder_bytes:
        return ""
    return f"nothing would be freed: the original has {size} bytes, the placeholder {placeholder_bytes}"


def _restored(facts: Facts, plays: Plays) -> str:
    """Why a restore keeps the original where it is: it counts as a play. Empty if it does not."""
    restored_at = facts.stored.restored_at if facts.stored else None
    if restored_at is None:
        return ""
    day = iso_date(restored_at) if restored_at < LAST_SECOND else "a day that cannot be read"
    if facts.entry.replaced:
        return f"restored on {day}, and its tag {REPLACED_TAG} was left: run restore again"
    too_late = plays.unplayed_since is not None and restored_at > plays.unplayed_since
    too_often = plays.plays_below is not None and facts.entry.plays + 1 >= plays.plays_below
    if too_late or too_often or plays.never_played:
        return f"restored on {day}, which counts as a play"
    return ""


def unnoticed(facts: Facts, options: Options) -> str:
    """Why the owner has not been told long enough ago; empty where that is not asked for, or where they have.

    A day that a notice named is kept whether that is asked for or not.
    """
    entry = facts.entry
    if odd := entry.odd_promise:
        return f"a notice names a day that cannot be read (tag {odd}): correct the tag in Kaltura, or remove it"
    if (until := entry.promised_until) and options.now < _end_of(until):
        return f"a notice names {until} as the day up to which it stays (tag {NOTICE_PREFIX}…_until_{until})"
    if options.noticed_before_seconds is None:
        return ""
    day = entry.noticed_on
    if day is None:
        went = f"; that of {entry.notices[-1][0]} went to somebody else" if entry.notices else ""
        return f"the owner has had no notice{went} (--noticed-before): run notify --send --mark"
    if not entry.plays_known:
        return f"it is not known whether it was played since the notice of {day} (--noticed-before)"
    noticed = _end_of(day) - DAY_SECONDS
    if entry.created_at >= noticed + DAY_SECONDS:
        # A clone carries the tags of its source: that one was announced, this one never.
        return f"the notice of {day} is older than the entry: it is of what this is a clone of (--noticed-before)"
    if entry.last_played_at and entry.last_played_at >= noticed:
        # What the notice says keeps a video. So no notice outlasts a restore, which is asked for by playing.
        return f"played since the notice of {day} (--noticed-before)"
    if facts.stored and (facts.stored.restored_at or 0) >= noticed:
        return f"restored since the notice of {day} (--noticed-before)"
    if options.now < _end_of(day) + options.noticed_before_seconds:
        days = options.noticed_before_seconds / DAY_SECONDS
        return f"the notice of {day} is not {days:g} days old (--noticed-before)"
    return ""


def _end_of(day: date) -> float:
    """The second, as Unix time, in which this day is over in UTC: until then a date is kept in every time zone."""
    return datetime.combine(day, time.min, UTC).timestamp() + DAY_SECONDS


def _plan_restore(facts: Facts, judgement: Judgement, options: Options) -> Plan:
    match judgement.state:
        case State.PLACEHOLDER | State.NO_ORIGINAL | State.HALF_TAGGED:
            if reason := _not_played(facts, options.plays):
                return _stop(judgement, Outcome.SKIPPED, reason)
            return _bring_back(facts, judgement, options)
        case State.UNSETTLED:
            return _settle_original(facts, judgement, options)
        case State.LOST if heals_from_source(facts):
            return _from_source(facts, judgement, options)
        case State.ARCHIVED if judgement.healthy and (steps := _left(facts, options)):
            return _go(judgement, *steps, reason="the original is in Kaltura")
        case State.INITIAL | State.ARCHIVED | State.UNTAGGED | State.UNBACKED:
            return _stop(judgement, Outcome.ALREADY, "the original is in Kaltura")
        case State.BUSY:
            return _busy(facts, judgement)
        case _:
            return _stop(judgement, Outcome.REFUSED)


def _not_played(facts: Facts, plays: Plays) -> str:
    """Why nobody has asked for the original where plays do that: those before it was replaced do not count.

    Kaltura adds plays up by the hour, so those of the hour of the replacement do. Empty where it was asked for, or
    where it is not known when it was replaced.
    """
    replaced_at = facts.stored.replaced_at if facts.stored else None
    if plays.played_since is None or replaced_at is None:
        return ""
    if (facts.entry.last_played_at or 0) >= replaced_at // HOUR_SECONDS * HOUR_SECONDS:
        return ""
    return f"not played since it was replaced on {iso_date(replaced_at)}"


def _settle_original(facts: Facts, judgement: Judgement, options: Options) -> Plan:
    prove = () if judgement.identity is Identity.SAME else (Step.PROVE,)
    archived = () if facts.entry.archived else (Step.ADD_ARCHIVED,)
    picture = _picture(pictures.left(facts), facts, options)
    steps = (*prove, *archived, *picture, Step.REMOVE_REPLACED, *_set_flavors(facts))
    return _go(judgement, *steps, reason=judgement.why)


def _bring_back(facts: Facts, judgement: Judgement, options: Options) -> Plan:
    stored = facts.stored
    if stored is None:
        return _stop(judgement, Outcome.REFUSED)
    if stored.availability in (Availability.FROZEN, Availability.THAWING):
        return _thaw(judgement, stored, options)
    if stored.availability is Availability.UNKNOWN:
        return _stop(judgement, Outcome.REFUSED, _unreadable(stored))
    if stored.spoiled and options.via == "url":  # nobody looks at these bytes on their way
        return _stop(judgement, Outcome.REFUSED)
    if stored.crowded:
        return _stop(judgement, Outcome.REFUSED, CROWDED)
    steps = [*_keep_settings(facts), Step.PUT_ORIGINAL]
    if not facts.entry.archived:
        steps.append(Step.ADD_ARCHIVED)
    steps += _picture(pictures.due(facts), facts, options)
    if facts.entry.replaced:
        steps.append(Step.REMOVE_REPLACED)
    return _go(judgement, *steps, reason=f"{stored.size_bytes} bytes in {stored.storage_class}")


def _from_source(facts: Facts, judgement: Judgement, options: Options) -> Plan:
    """Give a clone of a replaced entry a copy of its own, from which it is then restored as any."""
    source = facts.source
    if source is None:
        return _stop(judgement, Outcome.REFUSED)
    if source.availability in (Availability.FROZEN, Availability.THAWING):
        return _thaw(judgement, source, options)
    if source.availability is Availability.UNKNOWN:
        return _stop(judgement, Outcome.REFUSED, _unreadable(source))
    reason = f"{source.key}: {source.size_bytes} bytes in {source.storage_class}"
    return _go(judgement, Step.COPY_SOURCE, reason=reason)


def _own_copy(facts: Facts, judgement: Judgement, options: Options) -> Plan:
    plan = _from_source(facts, judgement, options)
    if Step.THAW in plan.steps:
        return _stop(judgement, Outcome.WAITING, f"{judgement.why}, which is frozen: restore thaws it")
    return plan


def _thaw(judgement: Judgement, stored: StoredObject, options: Options) -> Plan:
    """Ask for a restore, or for one that is running to go faster."""
    if _runs_anyway(stored, options):
        return _stop(judgement, Outcome.WAITING, f"the restore from {stored.frozen_in} is still running")
    if options.tier == "expedited" and not stored.has_expedited:
        return _stop(judgement, Outcome.REFUSED, f"{stored.frozen_in} has no tier expedited; use standard or bulk")
    if stored.availability is Availability.THAWING:
        return _go(judgement, Step.THAW, reason=f"{stored.frozen_in}: one is running, it may go faster: {options.tier}")
    stays = "from then on" if stored.storage_class == TIERED_CLASS else f"for {options.days} days"
    return _go(judgement, Step.THAW, reason=f"{stored.frozen_in}, tier {options.tier}, readable {stays}")


def _runs_anyway(stored: StoredObject, options: Options) -> bool:
    """Whether a restore is running that is known to be no slower than the tier asked for: nothing is but bulk."""
    known = stored.thaw_asked[0] or "bulk"
    faster = RETRIEVAL_TIERS.index(options.tier) > RETRIEVAL_TIERS.index(known)
    return stored.availability is Availability.THAWING and not faster


def _unreadable(stored: StoredObject) -> str:
    return (
        f"it is not known whether an object of class {stored.storage_class} can be read, and an attempt failed: may we "
        "read it (s3:GetObject)?"
    )


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
        case State.INITIAL | State.ARCHIVED | State.PLACEHOLDER:
            if not judgement.healthy:
                return _stop(judgement, Outcome.REFUSED)
            record = (Step.RECORD,) if unrecorded(facts) else ()
            left = _left(facts, options) if judgement.state is State.ARCHIVED else _set_flavors(facts)
            if due := (*record, *left):
                return _go(judgement, *due, reason="it was told by reading it" if record else judgement.why)
            return _stop(judgement, Outcome.ALREADY, f"healthy: {judgement.state}")
        case State.UNTAGGED:
            return _plan_s3copy(facts, judgement, options)
        case State.LOST if heals_from_source(facts):
            return _own_copy(facts, judgement, options)
        case State.UNSETTLED:
            return _settle_original(facts, judgement, options)
        case State.HALF_TAGGED if not facts.entry.replaced and (_arrived_damaged(facts) or _came_back(facts)):
            return _bring_back(facts, judgement, options)
        case State.HALF_TAGGED:
            steps: tuple[Step, ...] = () if facts.entry.archived else (Step.ADD_ARCHIVED,)
            steps += () if facts.entry.replaced else (Step.ADD_REPLACED,)
            return _go(judgement, *steps, reason=judgement.why)
        case State.NO_ORIGINAL:
            if facts.stored is not None and facts.stored.crowded:
                return _stop(judgement, Outcome.REFUSED, CROWDED)
            video = facts.entry.media_type == MediaType.VIDEO.value
            if facts.entry.replaced and video and not facts.entry.parent_entry_id and not options.keep.why(facts):
                archived = () if facts.entry.archived else (Step.ADD_ARCHIVED,)
                keep = _keep_settings(facts)
                steps = (Step.CHECK_COPY, Step.UPLOAD_PLACEHOLDER, *archived, *keep, Step.PUT_PLACEHOLDER)
                return _go(judgement, *steps, reason=judgement.why)
            return _bring_back(facts, judgement, options)
        case State.BUSY:
            return _busy(facts, judgement)
        case _:
            return _stop(judgement, Outcome.REFUSED)


def _plan_verify(facts: Facts, judgement: Judgement, options: Options) -> Plan:
    stored = facts.stored
    if stored is None:
        if facts.entry.archived or facts.entry.replaced:
            return _stop(judgement, Outcome.FAILED)
        return _stop(judgement, Outcome.SKIPPED, "not archived")
    if stored.availability is Availability.READABLE:
        return _go(judgement, Step.READ_BACK)
    if stored.availability is Availability.UNKNOWN:
        return _stop(judgement, Outcome.REFUSED, _unreadable(stored))
    if options.request and not _runs_anyway(stored, options):
        return _thaw(judgement, stored, options)
    how = "thawing" if stored.availability is Availability.THAWING else "frozen (--request asks it to thaw)"
    return _stop(judgement, Outcome.WAITING, f"not readable now: {how} in {stored.frozen_in}")
