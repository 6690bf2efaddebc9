"""What the facts about one entry mean: its state, why, and what to do. Pure and total."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from kaltura_archiver.clones import doubt
from kaltura_archiver.edits import hint_of, to_decide
from kaltura_archiver.identity import (
    coming_content,
    covered_versions,
    holds_placeholder,
    identified,
    identify,
    known_placeholder,
    lost_source,
    may_be_reencoded,
    may_have,
    newer_flavors,
    placeholder_stored,
    sizes_agree,
)
from kaltura_archiver.model import (
    ARCHIVED_TAG,
    NO_EXPIRATION,
    SETTINGS_DUE,
    THIN_TAG,
    EntryStatus,
    Facts,
    FlavorAsset,
    Identity,
    State,
    StoredObject,
)

HEALTHY = frozenset({State.INITIAL, State.ARCHIVED, State.PLACEHOLDER, State.THIN})
_WITH_PLACEHOLDER = (State.PLACEHOLDER, State.HALF_TAGGED)


@dataclass(frozen=True)
class Judgement:
    """A state or an identity, and the evidence in words."""

    identity: Identity
    identity_why: str
    state: State
    why: str
    hint: str
    sound: bool = True  # False: the stored copy is damaged, or Kaltura says that the entry is in error

    @property
    def healthy(self) -> bool:
        return self.state in HEALTHY and self.sound


class Finding(NamedTuple):
    """A state, why an entry is in it, and what to do."""

    state: State
    why: str
    hint: str
    sound: bool = True


def needs_tags(facts: Facts) -> bool:
    """Whether the tags of the stored copy, which `facts` lack, could change the state that sizes alone tell.

    Left aside: that it was found damaged or different, which marks the copy as suspect; and an object that has by
    chance the bytes of a placeholder other than the configured ones, for sizes that agree are `likely`.
    """
    original, stored = facts.original, facts.stored
    if original is None and stored is not None:
        return bool(facts.derived) or lost_source(facts)  # whether that is on purpose; and when it was stored
    if original is None or stored is None:
        return False
    if identify(original, stored)[0] is Identity.LIKELY:
        about = any(sizes_agree(original.size_kb or 0, size) for size in facts.placeholder_sizes)
        exact = original.size_bytes in facts.placeholder_sizes
        needed = exact or (about and not original.size_bytes)
    else:
        # Another size than the placeholder's is a newer video, unless a tag says that it is a placeholder; and what has
        # a placeholder's size is read, unless a mark beside the copy, or a tag, names that very version.
        needed = not known_placeholder(facts)
    # Of an original that does not play they tell of what does: only there is when the copy was stored.
    return (needed or not original.status.ready) and classify(facts).state not in (State.BUSY, State.NO_ORIGINAL)


def heals_from_source(facts: Facts) -> bool:
    """Whether a clone of a replaced entry stands for what the source's copy holds, for certain."""
    known = bool(facts.original_sha256) and holds_placeholder(facts) is True
    return facts.source is not None and facts.entry.replaced and not doubt(facts, placeholder=known)


def has_own_original(facts: Facts) -> bool:
    """Whether a clone of an archived entry has what the source's copy has, by its size."""
    original, source = facts.original, facts.source
    if original is None or source is None or holds_placeholder(facts):
        return False
    if original.size_bytes:
        return original.size_bytes == source.size_bytes
    return bool(original.size_kb) and sizes_agree(original.size_kb or 0, source.size_bytes)


def _lost(facts: Facts) -> tuple[str, str]:
    """Why an entry with the placeholder has no copy, and what to do."""
    source, source_id = facts.source, facts.entry.source_id
    if source is None:
        clone = f", nor of {source_id}, of which it may be a clone" if source_id else ""
        return (
            f"tagged flavors_deleted, but S3 has no copy of the original{clone}",
            "search the bucket's older versions and Kaltura's backups; do not delete this entry",
        )
    source_id = source.entry_id
    why = f"a clone of {source_id}, which was replaced: its tags came with it, its copy in S3 is that of {source_id}"
    if has_own_original(facts):
        return (
            f"a clone of {source_id}, made while that was being replaced: its tags came with it, it has its original",
            "s3copy archives it under its own id; repair then removes the tag flavors_deleted",
        )
    if heals_from_source(facts):
        return why, "s3copy makes that copy its own; restore brings the video back"
    known = bool(facts.original_sha256) and holds_placeholder(facts) is True
    return (
        f"{why}; not for certain: {doubt(facts, placeholder=known)}",
        f"look at both; if it is the right video: download --id {source_id} --from s3, and upload that in Kaltura",
    )


def _unbacked(facts: Facts) -> tuple[str, str]:
    """Why an entry with an original is tagged as archived and has no copy, and what to do."""
    source = facts.source
    why = "tagged archived_to_s3, but S3 has no copy"
    by_hand = "to archive it again, remove the tag in Kaltura and run s3copy"
    if source is None:
        return why, f"find out where the copy went; {by_hand}"
    why = f"a clone of {source.entry_id}, which is archived: its tag came with it, its original is in Kaltura only"
    if has_own_original(facts):
        return why, "s3copy archives it under its own id"
    return f"{why}, and has another size than the copy of {source.entry_id}", f"look at what it shows; {by_hand}"


def _unseen(facts: Facts) -> Finding | None:
    if not facts.unseen:
        return None
    why = f"S3 does not show its stored copy: {facts.unseen}"
    return Finding(State.BUSY, why, "a person has to look; nothing here acts on it", sound=False)


def _replaced_without_copy(facts: Facts) -> Finding | None:
    if not facts.entry.replaced or facts.stored is not None:
        return None
    in_place = facts.original is not None and facts.original.status.ready and not holds_placeholder(facts)
    if in_place and facts.entry.replacement_running:
        why = "S3 has no copy, and a replacement is in progress: what is in place may be all that there is"
        return Finding(State.BUSY, why, "run repair: it cancels the replacement if that is ours", sound=False)
    return Finding(State.LOST, *_lost(facts))


def _not_understood(facts: Facts) -> Finding | None:
    if facts.original is None or not facts.original.odd:
        return None
    why = f"of the original flavor Kaltura says what is not understood here: {facts.original.odd}"
    return Finding(State.BUSY, why, "a person has to look; nothing here acts on it", sound=False)


def _in_progress(facts: Facts) -> Finding | None:
    """What Kaltura is still busy with: a replacement, a conversion, an import."""
    original, entry = facts.original, facts.entry
    if entry.replacement_running:
        return Finding(
            State.BUSY,
            f"a replacement is in progress (replacementStatus {entry.replacement_status})",
            "wait for it; if it failed or needs approval, settle it in Kaltura or run repair",
        )
    if original is not None and original.status.in_progress:
        return Finding(State.BUSY, f"the original flavor is {original.status.name}", "wait for the conversion")
    if coming := coming_content(facts):
        return Finding(State.BUSY, f"Kaltura is making {coming}, perhaps of a newer video", "wait for it")
    if (original is None or not original.status.ready) and entry.status == EntryStatus.IMPORT:
        # Kaltura fetches content from a URL: there is no asset before it is done (kaltura-api 10.6).
        return Finding(State.BUSY, "Kaltura is importing content into the entry", "wait for the import")
    return None


def _without_original_on_purpose(facts: Facts) -> Finding | None:
    """An entry whose original is in S3 only while a derived flavor plays, or that is on its way there."""
    entry, stored = facts.entry, facts.stored
    if facts.original is not None or stored is None or not facts.derived or not (entry.thin or stored.kept):
        return None
    if not stored.kept:
        if newer_flavors(facts):
            return None  # of a newer video, perhaps
        why = "the original was deleted to leave a derived flavor, and which one is not recorded: thin was cut short"
        return Finding(State.HALF_THIN, why, "thin or repair goes on; restore brings the original back")
    if facts.kept is None:
        return None  # what was to play is gone
    if entry.replaced:
        why = "tagged flavors_deleted, but the derived flavor is in place: a replacement was cut short"
        hint = "replace_video goes on; repair removes the tag; restore brings the original back"
        return Finding(State.HALF_THIN, why, hint)
    missing = [tag for tag, there in ((THIN_TAG, entry.thin), (ARCHIVED_TAG, entry.archived)) if not there]
    if missing:
        why = f"the original is in S3 only and a derived flavor plays, but the tag {missing[0]} is missing"
        return Finding(State.HALF_THIN, why, "repair adds it")
    why = "the original is in S3 only, and a derived flavor plays"
    return Finding(State.THIN, why, "restore brings the original back; replace_video frees the rest")


def _lost_beside_derived(facts: Facts) -> tuple[str, str]:
    """Why an entry of which only derived flavors are left has no copy, and what to do."""
    if facts.source is None:
        why = "tagged original_in_s3, but S3 has no copy of the original: what plays is all that is left"
        return why, "search the bucket's older versions; do not delete this entry"
    why = f"a clone of {facts.source.entry_id}, whose original is in S3 only: this one has what plays, and no original"
    return why, f"download --id {facts.source.entry_id} --from s3, and upload that in Kaltura"


def foreign(original: FlavorAsset, facts: Facts) -> bool:
    """Whether an original that does not play is known to be neither what was archived nor a placeholder."""
    stored = facts.stored
    if stored is None or original.content_id in (stored.flavor, stored.placeholder):
        return False
    if not (original.size_bytes or original.size_kb):
        return False
    return not may_have(original, facts.placeholder_sizes | {stored.size_bytes})


def not_in_s3(facts: Facts) -> str:
    """What there is beside the original that was uploaded, too, and that S3 does not have, in words; or empty."""
    sources = {f: f.id if f.status.ready else f"{f.id} ({f.status.name})" for f in facts.further_sources}
    saved = [name for flavor, name in sources.items() if facts.is_saved_upload(flavor)]
    others = [name for name in sources.values() if name not in saved]
    told = [f"{', '.join(others)}: a further source flavor"] if others else []
    if saved:
        told.append(
            f"{', '.join(saved)}: the upload itself, which Kaltura saved (Save Original Source) when it re-encoded it "
            "to what is the original now"
        )
    return f"S3 does not have {'; nor '.join(told)}" if told else ""


def unreadable_source(facts: Facts) -> str:
    """Why a further source cannot be read, and so not be kept, in words; empty where each can."""
    broken = [f"{f.id} ({f.status.name})" for f in facts.further_sources if not f.status.ready]
    if not broken:
        return ""
    return (
        f"{', '.join(broken)}: a further source flavor that cannot be read, so it would not be kept: have it converted "
        "again, or, if nobody needs it, delete it in Kaltura"
    )


def _without_original(facts: Facts) -> Finding | None:
    original = facts.original
    if original is not None and original.status.ready:
        return None
    why = "there is no original flavor" if original is None else f"the original flavor is {original.status.name}"
    if facts.stored is None and facts.entry.thin:
        return Finding(State.LOST, *_lost_beside_derived(facts))
    if facts.stored is None:
        return Finding(State.EMPTY, f"{why}, and no copy in S3", "a person has to look: nothing here can be archived")
    if newer_flavors(facts):
        undated = not facts.stored.age_recorded and facts.entry.replaced
        made = "is not known to be older than the copy" if undated else "was made after the copy was stored"
        why += f", and what plays {made}: perhaps of a newer video"
        return Finding(State.DIVERGED, why, to_decide(facts.entry.id))
    if lost_source(facts):
        why += ", but Kaltura has a source that it does not keep: perhaps of a newer video, to be converted again"
        return Finding(State.DIVERGED, why, to_decide(facts.entry.id))
    if original is not None and foreign(original, facts):
        why += ", of another size than the copy and the placeholder: perhaps a newer video, to be converted again"
        return Finding(State.DIVERGED, why, to_decide(facts.entry.id))
    back = "the placeholder" if facts.entry.replaced else "the original from S3"
    return Finding(State.NO_ORIGINAL, why, f"repair puts {back} back")


def _in_kaltura_only(facts: Facts) -> Finding:
    if facts.entry.archived:
        return Finding(State.UNBACKED, *_unbacked(facts))
    if holds_placeholder(facts):
        why = "the original is the placeholder video, and S3 has no copy of what it stands for"
        hint = "find out whose place it took (a clone of a replaced video?), and do not delete this entry"
        return Finding(State.INITIAL, why, hint, sound=False)
    return Finding(State.INITIAL, "the original is in Kaltura only", "s3copy archives it")


def _in_both(facts: Facts, stored: StoredObject, identity: Identity, identity_why: str) -> Finding:
    """What there is an original and a stored copy of: do they agree, and what do the tags say of it?"""
    agree = identity in (Identity.SAME, Identity.LIKELY)
    if agree and placeholder_stored(facts, stored):
        return Finding(
            State.LOST,
            "S3 has the placeholder and not the original: the placeholder was archived as if it were the video",
            "search the bucket's older versions and Kaltura's backups; do not delete this entry",
        )
    if facts.entry.replaced:
        return _tagged_replaced(facts, agree=agree)
    if facts.entry.thin and (agree or holds_placeholder(facts)):
        return _tagged_thin(agree=agree)
    if agree and facts.entry.archived:
        return Finding(State.ARCHIVED, "the original is in Kaltura and in S3", "replace_video frees the space")
    if agree:
        return Finding(State.UNTAGGED, "the original is in S3 but the tag archived_to_s3 is missing", "s3copy adds it")
    if holds_placeholder(facts) and stored.restored_at:
        return Finding(
            State.HALF_TAGGED,
            "Kaltura put the placeholder back over the restored original: a job of the replacement came late",
            "restore or repair brings the original back again",
        )
    if holds_placeholder(facts):
        return Finding(State.HALF_TAGGED, "a placeholder without the tag flavors_deleted", "repair adds it")
    return Finding(
        State.DIVERGED,
        f"the original and the stored copy differ: {identity_why}",
        hint_of(facts),
    )


def _tagged_replaced(facts: Facts, *, agree: bool) -> Finding:
    """The same with the tag that says that the placeholder is, or is about to be, in the original's place."""
    if agree:
        return Finding(
            State.UNSETTLED,
            "tagged flavors_deleted, but the original is in place: a replacement or a restore was cut short",
            "restore or repair removes the tag; replace_video goes on",
        )
    if holds_placeholder(facts) is False:
        why, look = "somebody uploaded a newer video", ""
        if may_be_reencoded(facts):
            why += ", or Kaltura re-encoded the placeholder (see the conversion profile)"
            look = "look at what it shows; "
        return Finding(State.DIVERGED, why, f"{look}{to_decide(facts.entry.id)}")
    if facts.entry.archived:
        return Finding(State.PLACEHOLDER, "Kaltura holds the placeholder, S3 the original", "restore brings it back")
    return Finding(State.HALF_TAGGED, "a placeholder without the tag archived_to_s3", "repair adds it")


def _tagged_thin(*, agree: bool) -> Finding:
    """With an original there, and the tag that says that it is not, or is about to go."""
    if agree:
        why = "tagged original_in_s3, but the original is in place: thin or a restore was cut short"
        return Finding(State.HALF_THIN, why, "restore or repair removes the tag; thin goes on")
    why = "tagged original_in_s3, and what is in the original's place is known not to be it: a restore went wrong"
    return Finding(State.HALF_THIN, why, "restore or repair brings the original back")


def _with_what_else_is_known(facts: Facts, found: Finding) -> Finding:
    """The same state, with what speaks against its copy, its original or its entry, or is left to be done for it."""
    stored, entry, state = facts.stored, facts.entry, found.state
    if stored is not None and stored.spoiled:
        hint = "look for an older version of the object in the bucket; do not replace the original"
        if state is State.DIVERGED:
            hint += f"; where that is as it should be: kaltura-archiver resolve {entry.id} --keep kaltura"
        return Finding(state, stored.spoiled, hint, sound=False)
    if stored is not None and stored.ending and state in HEALTHY:
        return Finding(state, stored.ending, NO_EXPIRATION, sound=False)
    if state in _WITH_PLACEHOLDER and facts.unread:
        why = f"the original has the placeholder's size, but could not be read: {facts.unread}"
        return Finding(state, why, "run it again; nothing is known before", sound=False)
    if state in _WITH_PLACEHOLDER and (covered := covered_versions(facts)):
        hint = (
            "it was put over another video that somebody had uploaded after the replacement: Kaltura may still serve "
            "that version; restore brings back what was archived"
        )
        return Finding(state, f"{found.why}, but it lies over {covered}", hint, sound=False)
    if state in HEALTHY and entry.status in (EntryStatus.ERROR_CONVERTING, EntryStatus.ERROR_IMPORTING):
        why = f"{found.why}, but Kaltura says {EntryStatus(entry.status).name} of the entry"
        return Finding(state, why, "convert it again in Kaltura", sound=False)
    if state in HEALTHY and stored is not None and stored.settings == SETTINGS_DUE:
        return found._replace(hint="repair sets language, label and tags of its flavors again")
    if state is State.ARCHIVED and stored is not None and stored.picture:
        return found._replace(hint="repair looks after its picture, which may be the placeholder's")
    if state in HEALTHY and (beside := not_in_s3(facts)):
        stays = "keep the entry; or, if nobody needs that flavor, delete it in Kaltura"
        hint = stays if state is State.ARCHIVED else found.hint
        return found._replace(why=f"{found.why}; {beside}", hint=hint)
    return found


def classify(facts: Facts) -> Judgement:
    """The one state that these facts have: the first row of the table in docs/states.md that fits."""
    identity, identity_why = identified(facts)
    found = (
        _unseen(facts)
        or _replaced_without_copy(facts)
        or _not_understood(facts)
        or _in_progress(facts)
        or _without_original_on_purpose(facts)
        or _without_original(facts)
    )
    if found is None:
        found = (
            _in_kaltura_only(facts) if facts.stored is None else _in_both(facts, facts.stored, identity, identity_why)
        )
    if found.sound:
        found = _with_what_else_is_known(facts, found)
    return Judgement(identity, identity_why, *found)
