"""Why an entry is left as it is for now: what its owner was promised, a play, a restore, nothing to gain."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, time

from kaltura_archiver.filters import Plays, Query
from kaltura_archiver.model import (
    LAST_SECOND,
    NOTICE_PREFIX,
    REPLACED_TAG,
    Announced,
    Entry,
    Facts,
    State,
    StoredObject,
    iso_date,
)
from kaltura_archiver.steps import DAY_SECONDS, HOUR_SECONDS, Command, Options, Plan, Step


def unnoticed(facts: Facts, options: Options, of: Announced) -> str:
    """Why the owner has not been told of this long enough ago; empty where that is not asked for, or where they have.

    A day that a notice named is kept whether that is asked for or not.
    """
    if pending := promise_pending(facts, options.now):
        return pending
    if options.noticed_before_seconds is None or facts.entry.parent_of_stream:
        return ""  # of a recording its parent entry is announced
    notice, before_seconds = facts.entry.notice(of), options.noticed_before_seconds
    if notice and not facts.entry.plays_known:
        return f"it is not known whether it was played since the notice of {notice.on} (--noticed-before)"
    if why := untold(facts, of):
        return why
    if notice and options.now < _end_of(notice.on) + before_seconds:
        return f"the notice of {notice.on} is not {before_seconds / DAY_SECONDS:g} days old (--noticed-before)"
    return ""


def told_until(facts: Facts, options: Options, of: Announced) -> float | None:
    """From which second on neither a day that was named nor a notice that is too young keeps it; None where that is not
    known, or a notice of this is missing."""
    entry, before_seconds = facts.entry, options.noticed_before_seconds
    missing = before_seconds is not None and (not entry.plays_known or untold(facts, of))
    if missing or entry.odd_promise:
        return None
    ends = [_end_of(entry.promised_until)] if entry.promised_until else []
    if before_seconds is not None and (notice := entry.notice(of)):
        ends.append(_end_of(notice.on) + before_seconds)
    return max(ends, default=None)


def promise_pending(facts: Facts, now: float) -> str:
    """Why a day that a notice named, to whomever, is not over at that second; empty if it is, or none was named."""
    if odd := facts.entry.odd_promise:
        return f"a notice names a day that cannot be read (tag {odd}): correct the tag in Kaltura, or remove it"
    if (until := facts.entry.promised_until) and now < _end_of(until):
        return f"a notice names {until} as the day up to which it stays (tag {NOTICE_PREFIX}…_until_{until})"
    return ""


def untold(facts: Facts, of: Announced) -> str:
    """Why no notice of this counts: none was sent to who owns it today, or it was used since; empty where one does."""
    entry = facts.entry
    notice = entry.notice(of)
    if notice is None:
        way = "run notify --send --mark --no-dry-run"
        return f"the owner has had no notice{_other_notice(entry)} (--noticed-before): {way}"
    day = notice.on
    noticed = _end_of(day) - DAY_SECONDS
    if entry.created_at >= noticed + DAY_SECONDS:
        # A clone carries the tags of its source: that one was announced, this one never.
        return f"the notice of {day} is older than the entry: it is of what this is a clone of (--noticed-before)"
    if entry.last_played_at and entry.last_played_at >= noticed:
        # What the notice says keeps a video. So no notice outlasts a restore, which is asked for by playing.
        return f"played since the notice of {day} (--noticed-before)"
    if facts.stored and (facts.stored.restored_at or 0) >= noticed:
        return f"restored since the notice of {day} (--noticed-before)"
    if notice.of is None and entry.thin and facts.stored and (facts.stored.replaced_at or 0) >= noticed:
        # It said that the original goes; that the video itself goes, too, is another matter.
        return f"the notice of {day} was of its original, which has gone since (--noticed-before)"
    return ""


def _other_notice(entry: Entry) -> str:
    """What the newest notice was that does not count: one of something else, or to somebody else."""
    if own := entry.notice():
        return f" of this; that of {own.on} was of another stage (tag …_for_{own.of})"
    return f"; that of {entry.notices[-1][0].on} went to somebody else" if entry.notices else ""


def _end_of(day: date) -> float:
    """The second, as Unix time, in which this day is over in UTC: until then a date is kept in every time zone."""
    return datetime.combine(day, time.min, UTC).timestamp() + DAY_SECONDS


def came_back_lately(facts: Facts, plays: Plays) -> str:
    """Why a restore keeps the original where it is: it counts as a play. Empty if it does not."""
    stored = facts.stored
    restored_at = stored.restored_at if stored else None
    if stored is None or restored_at is None:
        return ""
    day = iso_date(restored_at) if restored_at < LAST_SECOND else "a day that cannot be read"
    if facts.entry.replaced:
        return f"restored on {day}, and its tag {REPLACED_TAG} was left: run restore again"
    too_late = plays.unplayed_since is not None and restored_at > plays.unplayed_since
    too_often = plays.plays_below is not None and facts.entry.plays + 1 >= plays.plays_below
    if too_late or too_often or plays.never_played:
        return f"{came_back(stored)} on {day}, which counts as a play"
    return ""


def changed_lately(facts: Facts, plays: Plays) -> str:
    """Why a video that somebody put into an old entry keeps its place: it was used then. Empty if it does not."""
    original, since = facts.original, plays.unplayed_since
    if since is None or original is None or not original.version.isdecimal() or original.first_content:
        return ""  # a version of another kind tells nothing
    if (original.updated_at or 0) <= since:
        return ""
    return f"its content was changed on {iso_date(original.updated_at)}, which counts as a play"


# What a run was cut in: a video that has no place yet.
_HALF_WAY = (State.NO_ORIGINAL, State.HALF_TAGGED, State.HALF_THIN, State.UNSETTLED)
_BEGIN = frozenset({
    Step.COPY, Step.COPY_BESIDE, Step.COPY_SOURCE, Step.PROVE, Step.THAW, Step.PUT_ORIGINAL, Step.NEW_PICTURE,
})  # fmt: skip


def not_asked(facts: Facts, options: Options) -> str:
    """Why it is not what was asked for any more: of many, one's turn may come hours after they were selected."""
    return _not_met(options.asked, facts)


def withdrawn(command: Command, facts: Facts, plan: Plan, options: Options) -> str:
    """Why what would be copied, or brought back, is not what was asked for any more. What was cut half way is finished;
    and what is played is all the more to be brought back."""
    if command not in (Command.S3COPY, Command.RESTORE) or plan.state in _HALF_WAY or _BEGIN.isdisjoint(plan.steps):
        return ""
    asked = options.asked
    if asked is not None and command is Command.RESTORE:
        asked = replace(asked, plays_below=None, never_played=False, unplayed_since=None)
    return _not_met(asked, facts)


def _not_met(asked: Query | None, facts: Facts) -> str:
    if asked is None or facts.entry.parent_of_stream:
        return ""
    if asked.by_category and facts.placings is None:
        return "not known to be what was asked for: its categories are not known"
    why = asked.held_still.mismatch(facts.entry, facts.placings or (), metadata=facts.metadata)
    return f"not what was asked for any more: {why}" if why else ""


def stream_played(facts: Facts, plays: Plays) -> str:
    """Why a further stream, which nobody has searched for, keeps its recording: it was played itself. Empty if not."""
    if not facts.entry.parent_of_stream:
        return ""
    asked = Query(plays_below=plays.plays_below, never_played=plays.never_played, unplayed_since=plays.unplayed_since)
    return asked.too_much_played(facts.entry)


def in_use(facts: Facts, options: Options) -> str:
    """Why an entry that is archived keeps its original all the same; empty if nothing of this speaks against it."""
    plays = options.plays
    return (
        not_asked(facts, options)
        or came_back_lately(facts, plays)
        or changed_lately(facts, plays)
        or stream_played(facts, plays)
    )


def came_back(stored: StoredObject) -> str:
    """In which way the original came back: a later copy is of what somebody made, too, and has the time of either."""
    return "edited or restored" if stored.earlier else "restored"


def not_played(facts: Facts, plays: Plays) -> str:
    """Why nobody has asked for the original where plays do that: those before it was replaced do not count.

    Kaltura adds plays up by the hour, so those of the hour of the replacement do. Empty where it was asked for, or
    where it is not known when it was replaced, and for a further stream: it is its parent that is played.
    """
    replaced_at = facts.stored.replaced_at if facts.stored else None
    if plays.played_since is None or replaced_at is None or facts.entry.parent_of_stream:
        return ""
    if (facts.entry.last_played_at or 0) >= replaced_at // HOUR_SECONDS * HOUR_SECONDS:
        return ""
    return f"not played since it was replaced on {iso_date(replaced_at)}"


def frees_nothing(facts: Facts) -> str:
    """Why a replacement would free nothing; empty if it would, or where the sizes are not known."""
    if facts.entry.parent_of_stream:
        return ""  # a small stream does not keep a large recording
    original, placeholder_bytes = facts.original, facts.placeholder_bytes
    size = original.known_bytes if original else 0
    if not size or not placeholder_bytes or size > placeholder_bytes:
        return ""
    return f"nothing would be freed: the original has {size} bytes, the placeholder {placeholder_bytes}"
