"""Whether an original is what is stored, and whether it is the placeholder. Pure: what was read is among the facts."""

from __future__ import annotations

from collections.abc import Collection

from kaltura_archiver.model import VERSION_STEP, EntryStatus, Facts, FlavorAsset, FlavorStatus, Identity, StoredObject

# By so much clocks may differ.
CLOCK_SECONDS = 300


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


def identified(facts: Facts) -> tuple[Identity, str]:
    """As `identify`, with what was read of the original; and why nothing is known where one of the two is missing."""
    original, stored = facts.original, facts.stored
    if facts.unseen:
        return Identity.UNKNOWN, "the stored copy is not known"
    if stored is None:
        return Identity.UNKNOWN, "there is no stored copy"
    if original is None:
        return Identity.UNKNOWN, "there is no original"
    identity, why = identify(original, stored)
    if identity is Identity.LIKELY and facts.original_sha256 and stored.sha256 not in ("", facts.original_sha256):
        return Identity.DIFFERENT, "the original was read: its SHA-256 is another"
    return identity, why


def identify(original: FlavorAsset, stored: StoredObject) -> tuple[Identity, str]:
    """How sure it is that `stored` holds the bytes of `original`, and why."""
    if stored.spoiled:
        return Identity.DIFFERENT, stored.spoiled
    if stored.differs_from(original):
        return Identity.DIFFERENT, "the original was read, and the stored copy does not have its bytes"
    if stored.placeholder == original.content_id or _recorded_placeholder(original, stored):
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
    if original is None or not original.status.ready or known_placeholder(facts):
        return False
    if stored and stored.sha256 and stored.flavor == original.content_id:
        return False  # known to be the video
    if stored is None and facts.entry.replaced and facts.source is None:
        return False  # lost, whatever it is
    return may_have(original, facts.placeholder_sizes)


def may_have(original: FlavorAsset, sizes: Collection[int]) -> bool:
    """Whether the original has one of these sizes, as far as its own is known."""
    if original.size_bytes:
        return original.size_bytes in sizes
    return bool(original.size_kb) and any(sizes_agree(original.size_kb or 0, size) for size in sizes)


def known_placeholder(facts: Facts) -> bool:
    """Whether it is recorded that this very original is a placeholder."""
    original, stored = facts.original, facts.stored
    return original is not None and stored is not None and _recorded_placeholder(original, stored)


def _recorded_placeholder(original: FlavorAsset, stored: StoredObject) -> bool:
    """Whether this is what a tag of the copy names: a placeholder, or what a restore sent and did not arrive whole.

    Its version may be one step further, if it is known to have that very size still: its file was linked once more. Or
    of another data centre, where the tag was set before it came (marks.next_version).
    """
    size = stored.placeholder_bytes
    if stored.placeholder == original.content_id:
        return size is None or original.size_bytes in (None, size)
    return bool(size) and original.size_bytes == size and original.steps_after(stored.placeholder) in (0, 1)


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
    if known_placeholder(facts):
        return True
    if facts.unread:
        return None
    if original.size_bytes in facts.placeholder_sizes:
        return True
    other_size = bool(facts.placeholder_sizes and original.size_kb) and not may_have(original, facts.placeholder_sizes)
    if facts.stored is None or not (original.size_bytes or other_size):
        return None
    if facts.stored.placeholder or (facts.placeholder_sizes and (facts.stored.flavor or _swapped(original))):
        return False
    return None


def placeholder_in_place(facts: Facts) -> bool:
    """Whether the placeholder has taken the original's place, and not a video of its size, which S3 has as well."""
    return bool(holds_placeholder(facts)) and identified(facts)[0] is not Identity.SAME


def newer_flavors(facts: Facts) -> tuple[FlavorAsset, ...]:
    """What plays of an entry without original, and may be of a newer video than is stored: its source was deleted, or
    never kept, as a conversion profile may have it."""
    if facts.stored is None or facts.kept or _plays_its_original(facts):
        return ()
    return tuple(flavor for flavor in facts.derived if _unexplained(facts) or _may_be_newer(flavor, facts))


def lost_source(facts: Facts) -> bool:
    """Whether somebody may have uploaded a video since, of which there is nothing but a source that is not kept, TEMP
    (kaltura-api 4.3): its conversion failed."""
    if facts.stored is None or facts.derived or _plays_its_original(facts):
        return False
    left = (flavor for flavor in facts.flavors if flavor.status is FlavorStatus.TEMP)
    return any(_unexplained(facts) or _may_be_newer(flavor, facts) for flavor in left)


def coming_content(facts: Facts) -> str:
    """What Kaltura is making of an entry without original, perhaps of a newer video than is stored; empty if nothing.

    Of the source of such an upload there may be nothing to see: under a profile that does not keep it, it is TEMP
    (kaltura-api 4.3). What has been on its way since before the copy was stored is of the archived video, and stuck.
    """
    if facts.stored is None or _plays_its_original(facts):
        return ""
    made = (flavor.id for flavor in facts.flavors if flavor.status.in_progress and _may_be_newer(flavor, facts))
    begun = facts.entry.status == EntryStatus.PRECONVERT and not facts.derived
    return next(made, "its content" if begun else "")


def _plays_its_original(facts: Facts) -> bool:
    return facts.original is not None and facts.original.status.ready


def _unexplained(facts: Facts) -> bool:
    """Whether something is left where the placeholder is to be, and nothing tells that it is older than the copy: that
    one's age was not recorded (StoredObject.age_recorded)."""
    undated = facts.stored is not None and not facts.stored.age_recorded
    return undated and facts.entry.replaced and not known_placeholder(facts)


def _may_be_newer(flavor: FlavorAsset, facts: Facts) -> bool:
    """Whether a flavor was made, or is being made, since the copy was stored, as far as is known."""
    since = facts.stored.archived_at if facts.stored else None
    # Two clocks: ours, and Kaltura's.
    return since is not None and (not flavor.updated_at or flavor.updated_at >= since - CLOCK_SECONDS)


def placeholder_stored(facts: Facts, stored: StoredObject) -> bool:
    """Whether a copy that agrees with the original is the placeholder, for certain: the old tool did not look."""
    if holds_placeholder(facts) is not True:
        return False
    return stored.sha256 in facts.placeholder_sha256s if stored.sha256 else bool(facts.original_sha256)


def _swapped(original: FlavorAsset) -> bool:
    return original.version.isdecimal() and not original.first_content


def may_be_reencoded(facts: Facts) -> bool:
    """Whether an original of another size than the placeholder's may be the placeholder all the same, re-encoded by
    Kaltura: nothing was recorded as in place, and it is the very next one after the archived (its file perhaps linked
    once more)."""
    original, stored = facts.original, facts.stored
    if original is None or stored is None or stored.replaced_at is not None:
        return False
    return original.steps_after(stored.flavor) in (1, 2)


def covered_versions(facts: Facts) -> str:
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
