"""What the facts about one entry mean: its identity with the stored copy, and its state. Pure and total."""

from __future__ import annotations

from dataclasses import dataclass

from kaltura_archiver.clones import doubt
from kaltura_archiver.model import (
    SETTINGS_DUE,
    VERSION_STEP,
    EntryStatus,
    Facts,
    FlavorAsset,
    Identity,
    State,
    StoredObject,
)

HEALTHY = frozenset({State.INITIAL, State.ARCHIVED, State.PLACEHOLDER})
# A post-convert job that is known to be outstanding may wait in its queue behind others.
LONGER_FOR_SOURCE_ONLY = 30
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


def sizes_agree(size_kb: int, stored_bytes: int, *, tolerance: float = 0.03) -> bool:
    """Whether a stored object may be an original of which only Kaltura's rounded kilobytes are known.

    `size_kb` is `flavorAsset.size`: of 1024 or of 1000 bytes, from three significant digits (kaltura-api 4.3). The
    larger is at most ``1 + tolerance`` times the smaller. Raises ValueError on a negative size: a failed look-up is not
    a size.
    """
    if size_kb < 0 or stored_bytes < 0:
        raise ValueError("a size is never negative")
    small, large = sorted((size_kb * 1024, stored_bytes))
    return large <= small * (1 + tolerance)


def identify(original: FlavorAsset, stored: StoredObject) -> tuple[Identity, str]:
    """How sure it is that `stored` holds the bytes of `original`, and why."""
    if stored.spoiled:
        return Identity.DIFFERENT, stored.spoiled
    if stored.differs_from(original):
        return Identity.DIFFERENT, "the original was read, and the stored copy does not have its bytes"
    if stored.placeholder == original.content_id:
        return Identity.DIFFERENT, f"the object is tagged placeholder={stored.placeholder}: this is what replaced it"
    named = bool(stored.sha256) and (stored.flavor == original.content_id or _linked_again(original, stored))
    unproven = "but no evidence is recorded that S3 has the right bytes" if named else ""
    if original.size_bytes:
        if original.size_bytes != stored.size_bytes:
            return Identity.DIFFERENT, f"{original.size_bytes} bytes in Kaltura, {stored.size_bytes} in S3"
        if named and stored.proven:
            return Identity.SAME, f"the object is tagged flavor={stored.flavor} and has its {stored.size_bytes} bytes"
        unproven = unproven or "but no tag names this version of the original"
        return Identity.LIKELY, f"both have {stored.size_bytes} bytes, {unproven}"
    if original.size_kb:
        if not sizes_agree(original.size_kb, stored.size_bytes):
            return Identity.DIFFERENT, f"about {original.size_kb} KB in Kaltura, {stored.size_bytes} bytes in S3"
        if named and stored.proven:
            return Identity.SAME, f"the object is tagged flavor={stored.flavor}, and the sizes agree within 3 %"
        why = f"about {original.size_kb} KB in Kaltura, {stored.size_bytes} bytes in S3: within 3 %"
        return Identity.LIKELY, f"{why}, {unproven}" if unproven else why
    return Identity.UNKNOWN, "Kaltura tells no size for the original"


def _linked_again(original: FlavorAsset, stored: StoredObject) -> bool:
    """Whether this is what a restore of ours brought back and read, its file linked once more (kaltura-api 10.16)."""
    return bool(stored.restored_at) and bool(original.size_bytes) and original.steps_after(stored.flavor) == 1


def unrecorded(facts: Facts) -> bool:
    """Whether the original was read and found to be the placeholder, which the stored copy's tags do not say."""
    return facts.stored is not None and bool(facts.original_sha256) and bool(holds_placeholder(facts))


def to_be_read(facts: Facts) -> bool:
    """Whether the original has to be read before anything is concluded: it may be a placeholder, which is small."""
    original, stored = facts.original, facts.stored
    if original is None or not original.status.ready or _known_placeholder(facts):
        return False
    if stored and stored.sha256 and stored.flavor == original.content_id:
        return False  # known to be the video
    if stored is None and facts.entry.replaced and facts.source is None:
        return False  # lost, whatever it is
    sizes = facts.placeholder_sizes
    if original.size_bytes:
        return original.size_bytes in sizes
    return bool(original.size_kb) and any(sizes_agree(original.size_kb or 0, size) for size in sizes)


def _known_placeholder(facts: Facts) -> bool:
    """Whether it is recorded that this very original is a placeholder.

    Its version may be one step further, if it still has the placeholder's size: its file was linked once more.
    """
    original, stored = facts.original, facts.stored
    if original is None or stored is None:
        return False
    steps, size = original.steps_after(stored.placeholder), stored.placeholder_bytes
    if size is None:
        return stored.placeholder == original.content_id
    return steps in (0, 1) and original.size_bytes in (None, size)


def holds_placeholder(facts: Facts) -> bool | None:
    """Whether the entry's original is the placeholder video; None where nothing tells.

    Told by its bytes, where they were read; else by the `placeholder` tag of the stored copy, or by the exact size of a
    placeholder. False for another size where that tag names another version, where our own object has no such tag yet
    (the tag is set as soon as a placeholder is in place), or where it came by a replacement, which the old tool never
    made: somebody uploaded a video.
    """
    original = facts.original
    if original is None:
        return None
    if facts.original_sha256:
        copy = facts.stored or facts.source
        recorded = copy.placeholder_sha256 if copy else ""
        return facts.original_sha256 in facts.placeholder_sha256s | ({recorded} - {""})
    if _known_placeholder(facts):
        return True
    if facts.unread:
        return None
    if original.size_bytes in facts.placeholder_sizes:
        return True
    if facts.stored is None or not original.size_bytes:
        return None
    if facts.stored.placeholder or (facts.placeholder_sizes and (facts.stored.flavor or _swapped(original))):
        return False
    return None


def _placeholder_stored(facts: Facts, stored: StoredObject) -> bool:
    """Whether a copy that agrees with the original is the placeholder, for certain: the old tool did not look."""
    if holds_placeholder(facts) is not True:
        return False
    return stored.sha256 in facts.placeholder_sha256s if stored.sha256 else bool(facts.original_sha256)


def _swapped(original: FlavorAsset) -> bool:
    return original.version.isdecimal() and not original.first_content


def _covered(facts: Facts) -> str:
    """The versions of the original between the recorded placeholder and the one of now: more than one, and somebody's
    video was there, over which a late job put the placeholder once more (kaltura-api 10.16). Empty if there are none.
    """
    original, stored = facts.original, facts.stored
    if original is None or stored is None or stored.restored_at:
        return ""
    steps = original.steps_after(stored.placeholder)
    if steps is None or steps < 2 or not holds_placeholder(facts):
        return ""
    first = int(original.version) - (steps - 1) * VERSION_STEP
    last = int(original.version) - VERSION_STEP
    return f"version {last}" if first == last else f"versions {first} to {last}"


def needs_tags(facts: Facts) -> bool:
    """Whether the tags of the stored copy, which `facts` lack, could change the state that sizes alone tell.

    Left aside: that it was found damaged or different, which marks the copy as suspect; and an object that has by
    chance the bytes of a placeholder other than the configured ones, for sizes that agree are `likely`.
    """
    original, stored = facts.original, facts.stored
    if original is None or stored is None or classify(facts).state in (State.BUSY, State.NO_ORIGINAL):
        return False
    exact = original.size_bytes in facts.placeholder_sizes
    if identify(original, stored)[0] is Identity.LIKELY:
        about = any(sizes_agree(original.size_kb or 0, size) for size in facts.placeholder_sizes)
        return exact or (about and not original.size_bytes)
    # Another size than the placeholder's is a newer video, unless a tag says that it is a placeholder; and what has a
    # placeholder's size is read, unless a mark beside the copy, or a tag, names that very version.
    return not _known_placeholder(facts)


def settles_in(facts: Facts, now: float, settle_seconds: float) -> float:
    """For how many seconds from `now` (Kaltura's clock) the server may still set the original's file once more.

    A replacement that is begun before then may be thrown away, or be undone (kaltura-api 10.16). It is over when the
    version was seen to grow that once more, else after `settle_seconds`; where the source is the only flavor it does so
    always, and is waited for much longer.
    """
    original, stored = facts.original, facts.stored
    if original is None or not original.updated_at or not original.version.isdecimal():
        return 0.0
    if original.first_content:
        return 0.0  # the first content was no replacement
    ours = (stored.placeholder, stored.flavor if stored.restored_at else "") if stored else ()
    steps = [original.steps_after(content_id) for content_id in ours]
    if 1 in steps:
        return 0.0
    if 0 in steps and all(flavor.is_original for flavor in facts.flavors):
        settle_seconds *= LONGER_FOR_SOURCE_ONLY
    # What seems to come out of the future is of now: clocks differ.
    return max(0.0, settle_seconds - max(0.0, now - original.updated_at))


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
    why = f"a clone of {source.key}, which was replaced: its tags came with it, its copy in S3 is that of {source.key}"
    if has_own_original(facts):
        return (
            f"a clone of {source.key}, made while that was being replaced: its tags came with it, it has its original",
            "s3copy archives it under its own id; repair then removes the tag flavors_deleted",
        )
    if heals_from_source(facts):
        return why, "s3copy makes that copy its own; restore brings the video back"
    known = bool(facts.original_sha256) and holds_placeholder(facts) is True
    return (
        f"{why}; not for certain: {doubt(facts, placeholder=known)}",
        f"look at both; if it is the right video: download --id {source.key} --from s3, and upload that in Kaltura",
    )


def _unbacked(facts: Facts) -> tuple[str, str]:
    """Why an entry with an original is tagged as archived and has no copy, and what to do."""
    source = facts.source
    why = "tagged archived_to_s3, but S3 has no copy"
    by_hand = "to archive it again, remove the tag in Kaltura and run s3copy"
    if source is None:
        return why, f"find out where the copy went; {by_hand}"
    why = f"a clone of {source.key}, which is archived: its tag came with it, its original is in Kaltura only"
    if has_own_original(facts):
        return why, "s3copy archives it under its own id"
    return f"{why}, and has another size than the copy of {source.key}", f"look at what it shows; {by_hand}"


def classify(facts: Facts) -> Judgement:
    """The one state that these facts have: the first row of the table in docs/states.md that fits."""
    original, stored, entry = facts.original, facts.stored, facts.entry
    identity, identity_why = Identity.UNKNOWN, "there is no stored copy" if stored is None else "there is no original"
    if original is not None and stored is not None:
        identity, identity_why = identify(original, stored)
        if identity is Identity.LIKELY and facts.original_sha256 and stored.sha256 not in ("", facts.original_sha256):
            identity, identity_why = Identity.DIFFERENT, "the original was read: its SHA-256 is another"

    def state(state: State, why: str, hint: str = "") -> Judgement:
        sound = True
        if stored is not None and stored.spoiled:
            why = stored.spoiled
            hint = "look for an older version of the object in the bucket; do not replace the original"
            sound = False
        elif state in _WITH_PLACEHOLDER and facts.unread:
            why = f"the original has the placeholder's size, but could not be read: {facts.unread}"
            hint, sound = "run it again; nothing is known before", False
        elif state in _WITH_PLACEHOLDER and (covered := _covered(facts)):
            why, hint = (
                f"{why}, but it lies over {covered}",
                (
                    "it was put over another video that somebody had uploaded after the replacement: Kaltura may still "
                    "serve that version; restore brings back what was archived"
                ),
            )
            sound = False
        elif state in HEALTHY and entry.status in (EntryStatus.ERROR_CONVERTING, EntryStatus.ERROR_IMPORTING):
            why = f"{why}, but Kaltura says {EntryStatus(entry.status).name} of the entry"
            hint = "convert it again in Kaltura"
            sound = False
        elif state in HEALTHY and stored is not None and stored.settings == SETTINGS_DUE:
            hint = "repair sets language, label and tags of its flavors again"
        elif state is State.ARCHIVED and stored is not None and stored.picture:
            hint = "repair looks after its picture, which may be the placeholder's"
        return Judgement(identity, identity_why, state, why, hint, sound)

    if facts.unseen:
        why = f"S3 does not show its stored copy: {facts.unseen}"
        hint = "a person has to look; nothing here acts on it"
        return Judgement(Identity.UNKNOWN, "the stored copy is not known", State.BUSY, why, hint, sound=False)
    if entry.replaced and stored is None:
        return state(State.LOST, *_lost(facts))
    if original is not None and original.odd:
        why = f"of the original flavor Kaltura says what is not understood here: {original.odd}"
        hint = "a person has to look; nothing here acts on it"
        return Judgement(identity, identity_why, State.BUSY, why, hint, sound=False)
    if entry.replacement_running:
        return state(
            State.BUSY,
            f"a replacement is in progress (replacementStatus {entry.replacement_status})",
            "wait for it; if it failed or needs approval, settle it in Kaltura or run repair",
        )
    if original is not None and original.status.in_progress:
        return state(State.BUSY, f"the original flavor is {original.status.name}", "wait for the conversion")
    if (original is None or not original.status.ready) and entry.status == EntryStatus.IMPORT:
        # Kaltura fetches content from a URL: there is no asset before it is done (kaltura-api 10.6).
        return state(State.BUSY, "Kaltura is importing content into the entry", "wait for the import")
    if original is None or not original.status.ready:
        why = "there is no original flavor" if original is None else f"the original flavor is {original.status.name}"
        if stored is None:
            return state(State.EMPTY, f"{why}, and no copy in S3", "a person has to look: nothing here can be archived")
        back = "the placeholder" if entry.replaced else "the original from S3"
        return state(State.NO_ORIGINAL, why, f"repair puts {back} back")
    if stored is None:
        if entry.archived:
            return state(State.UNBACKED, *_unbacked(facts))
        return state(State.INITIAL, "the original is in Kaltura only", "s3copy archives it")
    agree = identity in (Identity.SAME, Identity.LIKELY)
    if agree and _placeholder_stored(facts, stored):
        return state(
            State.LOST,
            "S3 has the placeholder and not the original: the placeholder was archived as if it were the video",
            "search the bucket's older versions and Kaltura's backups; do not delete this entry",
        )
    if entry.replaced:
        if agree:
            return state(
                State.UNSETTLED,
                "tagged flavors_deleted, but the original is in place: a replacement or a restore was cut short",
                "restore or repair removes the tag; replace_video goes on",
            )
        if holds_placeholder(facts) is False:
            return state(
                State.DIVERGED,
                "somebody uploaded a newer video",
                "decide which one is to stay; nothing here overwrites it",
            )
        if entry.archived:
            return state(State.PLACEHOLDER, "Kaltura holds the placeholder, S3 the original", "restore brings it back")
        return state(State.HALF_TAGGED, "a placeholder without the tag archived_to_s3", "repair adds it")
    if agree:
        if entry.archived:
            return state(State.ARCHIVED, "the original is in Kaltura and in S3", "replace_video frees the space")
        return state(State.UNTAGGED, "the original is in S3 but the tag archived_to_s3 is missing", "s3copy adds it")
    if holds_placeholder(facts):
        if stored.restored_at:
            return state(
                State.HALF_TAGGED,
                "Kaltura put the placeholder back over the restored original: a job of the replacement came late",
                "restore or repair brings the original back again",
            )
        return state(State.HALF_TAGGED, "a placeholder without the tag flavors_deleted", "repair adds it")
    return state(
        State.DIVERGED,
        f"the original and the stored copy differ: {identity_why}",
        "perhaps a newer upload: decide which one is to stay; nothing here overwrites either",
    )
