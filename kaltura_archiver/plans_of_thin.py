"""Plans by which an original goes while a derived flavor plays on, and comes back. Pure."""

from __future__ import annotations

from kaltura_archiver.identity import holds_placeholder
from kaltura_archiver.model import Announced, Facts, FlavorAsset, Outcome, State
from kaltura_archiver.planning import CROWDED, go, keep_settings, no_video, stop, too_young, unproven
from kaltura_archiver.reasons import in_use, unnoticed
from kaltura_archiver.states import Judgement
from kaltura_archiver.steps import Options, Plan, Step
from kaltura_archiver.thinning import dropped, kept_flavor


def plan_thin(facts: Facts, judgement: Judgement, options: Options) -> Plan:
    """What brings an entry to where its original is in S3 only, or (`derived_only`) drops flavors beside it."""
    original = facts.original
    if options.derived_only and original is not None and judgement.state in (State.INITIAL, State.ARCHIVED):
        return _drop_beside_original(facts, judgement, options)
    match judgement.state:
        case State.HALF_THIN if options.derived_only and original is not None:
            return stop(judgement, Outcome.REFUSED)  # to go on would take the original away
        case State.THIN:
            return _drop_rest(facts, judgement, options)
        case State.HALF_THIN if facts.entry.replaced:
            return stop(judgement, Outcome.REFUSED)
        case State.HALF_THIN if original is None:
            return _go_on(facts, judgement, options)
        case State.ARCHIVED | State.HALF_THIN if not holds_placeholder(facts):
            return _not_to_go(facts, judgement, options) or _take_original_away(facts, judgement, options)
        case State.INITIAL:
            return stop(judgement, Outcome.REFUSED, "not archived; run s3copy first")
        case State.PLACEHOLDER:
            return stop(judgement, Outcome.REFUSED, "the placeholder is in place; restore brings the original back")
        case State.BUSY:
            return stop(judgement, Outcome.WAITING)
        case _:
            return stop(judgement, Outcome.REFUSED)


def _not_to_go(facts: Facts, judgement: Judgement, options: Options) -> Plan | None:
    """Why the original stays in Kaltura; None if it may go."""
    if plan := unproven(facts, judgement) or _unfit(facts, judgement, options):
        return plan
    if reason := in_use(facts, options) or unnoticed(facts, options, Announced.THIN):
        return stop(judgement, Outcome.SKIPPED, reason)
    if facts.stored is not None and facts.stored.crowded:
        return stop(judgement, Outcome.REFUSED, CROWDED)
    if facts.relatives and not options.even_if_clipped:
        what = ", ".join(facts.relatives[:3])
        reason = (
            f"clips or clones were made of it ({what}), so it may be cut again, for which Kaltura needs the original: "
            "--even-if-clipped"
        )
        return stop(judgement, Outcome.REFUSED, reason)
    return None


def _unfit(facts: Facts, judgement: Judgement, options: Options) -> Plan | None:
    """What speaks against deleting any flavor of it."""
    if plan := no_video(facts, judgement) or too_young(facts, judgement, options):
        return plan
    if making := [flavor.id for flavor in facts.flavors if flavor.status.in_progress]:
        return stop(judgement, Outcome.WAITING, f"Kaltura is still making {', '.join(making)} of the original")
    _, why = kept_flavor(facts, options.wanted)
    if why:
        return stop(judgement, Outcome.REFUSED, f"{why}: replace_video is for such an entry")
    if not facts.entry.duration_seconds:
        return stop(judgement, Outcome.REFUSED, "Kaltura does not tell how long it plays")
    return None


def _take_original_away(facts: Facts, judgement: Judgement, options: Options) -> Plan:
    """The tag comes before, so that an interruption after it is not taken for a loss."""
    tags: tuple[Step, ...] = () if facts.entry.archived else (Step.ADD_ARCHIVED,)
    tags += () if facts.entry.thin else (Step.ADD_THIN,)
    kept, _ = kept_flavor(facts, options.wanted)
    steps = (Step.CHECK_COPY, Step.CHECK_KEPT, *keep_settings(facts), *tags, Step.DELETE_ORIGINAL)
    return go(judgement, *steps, *_drop(facts, kept, options), reason=_told(facts, kept))


def _drop(facts: Facts, kept: FlavorAsset | None, options: Options) -> tuple[Step, ...]:
    return (Step.DROP_DERIVED,) if kept and dropped(facts, kept, options.wanted) else ()


def _told(facts: Facts, kept: FlavorAsset | None) -> str:
    if kept is None:
        return ""
    text = f"{kept.id} plays on: {kept.height or 'unknown'} lines, {kept.known_bytes} bytes"
    return f"{text}; {facts.sharing} has the same file, so nothing is freed" if facts.sharing else text


def _drop_rest(facts: Facts, judgement: Judgement, options: Options) -> Plan:
    """Of an entry whose original is away: the derived flavors that are not to be kept, if any are left."""
    steps = _drop(facts, facts.kept, options)
    if not judgement.healthy:
        return stop(judgement, Outcome.REFUSED)
    if not steps:
        return stop(judgement, Outcome.ALREADY, judgement.why)
    return go(judgement, *keep_settings(facts), *steps, reason=_told(facts, facts.kept))


def _go_on(facts: Facts, judgement: Judgement, options: Options) -> Plan:
    kept = facts.kept or kept_flavor(facts, options.wanted)[0]
    return go(judgement, *record_kept(facts), *_drop(facts, kept, options), reason=judgement.why)


def record_kept(facts: Facts) -> tuple[Step, ...]:
    """What is left to be recorded where the original is gone already."""
    steps: tuple[Step, ...] = () if facts.kept else (Step.CHECK_KEPT, Step.RECORD_KEPT)
    steps += () if facts.entry.archived else (Step.ADD_ARCHIVED,)
    return steps + (() if facts.entry.thin else (Step.ADD_THIN,))


def remove_thin(facts: Facts) -> tuple[Step, ...]:
    """What goes when an original, or a placeholder, is in place again."""
    return (Step.REMOVE_THIN,) if facts.entry.thin or (facts.stored and facts.stored.kept) else ()


def _drop_beside_original(facts: Facts, judgement: Judgement, options: Options) -> Plan:
    """The original stays; Kaltura can make what goes again."""
    if plan := _unfit(facts, judgement, options):
        return plan
    if reason := in_use(facts, options) or unnoticed(facts, options, Announced.FLAVORS):
        return stop(judgement, Outcome.SKIPPED, reason)
    kept, _ = kept_flavor(facts, options.wanted)
    steps = _drop(facts, kept, options)
    if not steps:
        return stop(judgement, Outcome.ALREADY, "no derived flavor is left beside the one to keep")
    reason = f"{_told(facts, kept)}; the original stays, of which Kaltura can make them again (flavorAsset.convert)"
    return go(judgement, Step.CHECK_KEPT, *steps, reason=reason)
