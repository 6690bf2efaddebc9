"""Every combination of facts has exactly one state: the state table, row by row, and identity (design 3 and 4)."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from made_facts import (
    DERIVED,
    FLAVOR,
    PLACEHOLDER_BYTES,
    SHA256,
    VIDEO_BYTES,
    any_facts,
    facts,
    original,
    stored,
)

from kaltura_archiver.identity import CLOCK_SECONDS, holds_placeholder, identify, sizes_agree
from kaltura_archiver.model import (
    Entry,
    Facts,
    FlavorAsset,
    FlavorStatus,
    Identity,
    ReplacementStatus,
    State,
    StoredObject,
)
from kaltura_archiver.states import classify, needs_tags

# The state table, written down a second time: tag flavors_deleted, tag archived_to_s3, object, original flavor, agree,
# whether the original is the placeholder, tag original_in_s3, what plays where there is no original (the flavor that is
# recorded, one that is not, or one that was made since the copy was stored), state. The first row that fits wins.
# "*" is any.
TABLE = """
yes *   no  going *   *   *   *     busy
yes *   no  *     *   *   *   *     lost
*   *   *   busy  *   *   *   *     busy
*   *   yes gone  *   *   yes other half-thin
yes *   yes gone  *   *   *   kept  half-thin
no  yes yes gone  *   *   yes kept  thin
no  *   yes gone  *   *   *   kept  half-thin
*   *   yes gone  *   *   *   newer diverged
*   *   yes gone  *   *   *   *     no-original
*   *   no  gone  *   *   yes *     lost
*   *   no  gone  *   *   *   *     empty
no  no  no  ready *   *   *   *     initial
no  yes no  ready *   *   *   *     unbacked
no  *   yes ready yes *   yes *     half-thin
no  *   yes ready no  yes yes *     half-thin
no  yes yes ready yes *   *   *     archived
no  no  yes ready yes *   *   *     untagged
no  *   yes ready no  yes *   *     half-tagged
no  *   yes ready no  *   *   *     diverged
yes *   yes ready yes *   *   *     unsettled
yes *   yes ready no  no  *   *     diverged
yes yes yes ready no  *   *   *     placeholder
yes no  yes ready no  *   *   *     half-tagged
"""
ROWS = [line.split() for line in TABLE.strip().splitlines()]

BUSY = {"QUEUED", "CONVERTING", "WAIT_FOR_CONVERT", "IMPORTING", "VALIDATING"}
GONE = {"ERROR", "DELETED", "NOT_APPLICABLE", "TEMP"}
READY = {"READY", "EXPORTING"}


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _cells(known: Facts) -> tuple[str, ...]:
    """What the table asks about some facts, found without the code that is tested."""
    entry, copy = known.entry, known.stored
    originals = [f for f in known.flavors if f.is_original and f.status.name not in GONE - {"ERROR"}]
    ready = [f for f in originals if f.status.name in READY]
    flavor = (ready or originals or [None])[0]
    if entry.replacing_entry_id or entry.replacement_status != "0":
        in_place = (
            flavor is not None and flavor.status.name in READY and flavor.size_bytes not in known.placeholder_sizes
        )
        kind = "going" if in_place and copy is None and "flavors_deleted" in entry.tags else "busy"
    elif flavor is None or flavor.status.name in GONE:
        # A URL import has no asset before it is done (kaltura-api 10.6), nor a source that is not kept one to be seen.
        plays_still = any(not f.is_original and f.status.name in READY and not f.odd for f in known.flavors)
        begun = copy is not None and entry.status == "1" and not plays_still
        coming = begun or any(f.status.name in BUSY and _since_the_copy(f, copy) for f in known.flavors)
        kind = "busy" if entry.status == "0" or coming else "gone"
    else:
        kind = "busy" if flavor.status.name in BUSY else "ready"
    agree, placeholder = "*", "*"
    configured = [size for size in (known.placeholder_bytes, *known.more_placeholder_bytes) if size]
    if flavor and copy:
        if flavor.size_bytes:
            agree = _yes(flavor.size_bytes == copy.size_bytes)
        elif flavor.size_kb:
            ratio = copy.size_bytes / (flavor.size_kb * 1024)
            agree = _yes(1 / 1.03 <= ratio <= 1.03)
        else:
            agree = "no"
        named = copy.tags.get("placeholder")
        here = f"{flavor.id}@{flavor.version}"
        proof = copy.tags["proof"].split(" ")
        overwritten = len(proof) == 3 and copy.crc64nvme not in ("", proof[1])
        if (
            here in (named, copy.tags.get("differs"))
            or copy.tags.get("damaged-at")
            or overwritten
            or not copy.size_bytes
        ):
            # Recorded as what replaced the original, or found to be broken: sizes count for nothing.
            agree = "no"
        # To three per cent, where Kaltura tells kilobytes only.
        kb = 0 if flavor.size_bytes else flavor.size_kb or 0
        other_kb = bool(kb and configured) and not any(1 / 1.03 <= size / (kb * 1024) <= 1.03 for size in configured)
        if named == f"{flavor.id}@{flavor.version}" or flavor.size_bytes in configured:
            placeholder = "yes"
        elif (flavor.size_bytes or other_kb) and (
            named or (configured and (copy.tags.get("flavor") or flavor.version == "12"))
        ):
            placeholder = "no"
    plays = "*"
    if kind == "gone" and copy:
        playing = [f for f in known.flavors if not f.is_original and f.status.name in READY and not f.odd]
        derived = [f"{f.id}@{f.version}" for f in playing]
        recorded = copy.tags.get("thin")
        newer = any(_since_the_copy(f, copy) for f in playing)
        # An upload whose source was not kept, and could not be converted.
        newer |= not playing and any(f.status.name == "TEMP" and _since_the_copy(f, copy) for f in known.flavors)
        # Of a copy of the old tool nothing tells how old it is, where the placeholder is to be and something else is.
        left = bool(playing) or any(f.status.name == "TEMP" for f in known.flavors)
        undated = not copy.metadata.get("archived-at") and "flavors_deleted" in entry.tags
        newer |= left and undated and not (flavor and copy.tags.get("placeholder") == f"{flavor.id}@{flavor.version}")
        if flavor is None and recorded in derived:
            plays = "kept"
        elif (newer and recorded not in derived) or (flavor and _foreign(known, flavor, copy)):
            plays = "newer"
        elif flavor is None and derived and "original_in_s3" in entry.tags and not recorded:
            plays = "other"
    return (
        _yes("flavors_deleted" in entry.tags),
        _yes("archived_to_s3" in entry.tags),
        _yes(copy is not None),
        kind,
        agree,
        placeholder,
        _yes("original_in_s3" in entry.tags),
        plays,
    )


def _since_the_copy(flavor: FlavorAsset, copy: StoredObject | None) -> bool:
    since = copy.archived_at if copy else None
    return since is not None and (not flavor.updated_at or flavor.updated_at >= since - CLOCK_SECONDS)


def _foreign(known: Facts, flavor: FlavorAsset, copy: StoredObject) -> bool:
    """In error, and known to be neither what was archived nor a placeholder."""
    if f"{flavor.id}@{flavor.version}" in (copy.flavor, copy.placeholder):
        return False
    configured = (known.placeholder_bytes, *known.more_placeholder_bytes)
    sizes = {copy.size_bytes, *(size for size in (copy.placeholder_bytes, *configured) if size)}
    if flavor.size_bytes:
        return flavor.size_bytes not in sizes
    return bool(flavor.size_kb) and not any(sizes_agree(flavor.size_kb or 0, size) for size in sizes)


def _state_by_table(known: Facts) -> str:
    cells = _cells(known)
    return next(row[-1] for row in ROWS if all(want in ("*", have) for want, have in zip(row, cells, strict=False)))


@settings(max_examples=500)
@given(any_facts())
def test_any_facts_have_the_state_of_the_first_row_that_fits(known: Facts) -> None:
    judgement = classify(known)
    assert judgement.state == _state_by_table(known)
    assert judgement.why
    assert judgement.hint


@pytest.mark.parametrize("status", [None, *FlavorStatus])
def test_no_combination_of_the_tables_columns_falls_through(status: FlavorStatus | None) -> None:
    """Exhaustive, and every one of the states turns up where its row says."""
    for replaced, archived, thin, kept, copied, size, tag in itertools.product(
        (True, False),
        (True, False),
        (True, False),
        ("", f"{DERIVED}@2", f"{DERIVED}@12"),
        (True, False),
        (VIDEO_BYTES, PLACEHOLDER_BYTES, 7),
        ("", f"{FLAVOR}@2", "0_else@2"),
    ):
        known = facts(
            original(status, size_bytes=size) if status else None,
            stored(placeholder=tag, thin=kept) if copied else None,
            replaced=replaced,
            archived=archived,
            thin=thin,
        )
        assert classify(known).state == _state_by_table(known)


_READY = original()
_NEWER = original(size_bytes=VIDEO_BYTES + 1)
_SHOWN = original(size_bytes=PLACEHOLDER_BYTES)


@pytest.mark.parametrize(
    ("known", "state"),
    [
        (facts(_SHOWN, archived=True, replaced=True), State.LOST),
        (facts(original(FlavorStatus.CONVERTING), replaced=True), State.LOST),
        (facts(None, replaced=True), State.LOST),
        (facts(original(FlavorStatus.CONVERTING), stored(), archived=True), State.BUSY),
        (facts(original(FlavorStatus.IMPORTING)), State.BUSY),
        (facts(None, stored(), archived=True, status="0"), State.BUSY),
        (facts(_READY, stored(), archived=True, replacing_entry_id="0_t", replacement_status="1"), State.BUSY),
        (facts(_READY, stored(), archived=True, replacement_status=ReplacementStatus.FAILED), State.BUSY),
        (facts(None, stored(), archived=True), State.NO_ORIGINAL),
        (facts(original(FlavorStatus.ERROR), stored(), archived=True, replaced=True), State.NO_ORIGINAL),
        (facts(original(FlavorStatus.TEMP), stored()), State.NO_ORIGINAL),
        (facts(None), State.EMPTY),
        (facts(original(FlavorStatus.DELETED), archived=True), State.EMPTY),
        (facts(_READY), State.INITIAL),
        (facts(_READY, archived=True), State.UNBACKED),
        (facts(_READY, stored(), archived=True), State.ARCHIVED),
        (facts(original(FlavorStatus.EXPORTING), stored(), archived=True), State.ARCHIVED),
        (facts(_READY, stored()), State.UNTAGGED),
        (facts(_NEWER, stored(), archived=True), State.DIVERGED),
        (facts(_NEWER, stored()), State.DIVERGED),
        (facts(_NEWER, stored(placeholder=f"{FLAVOR}@1"), archived=True, replaced=True), State.DIVERGED),
        (facts(_READY, stored(), archived=True, replaced=True), State.UNSETTLED),
        (facts(_READY, stored(), replaced=True), State.UNSETTLED),
        (facts(_SHOWN, stored(), archived=True, replaced=True), State.PLACEHOLDER),
        (facts(_NEWER, stored(placeholder=f"{FLAVOR}@2"), archived=True, replaced=True), State.PLACEHOLDER),
        # Our own object without the tag of a placeholder: a replacement was cut, and somebody uploaded a video.
        (facts(_NEWER, stored(), archived=True, replaced=True), State.DIVERGED),
        (facts(_NEWER, stored(flavor=""), archived=True, replaced=True), State.PLACEHOLDER),
        (facts(_NEWER, stored(), archived=True, replaced=True, placeholder_bytes=None), State.PLACEHOLDER),
        (facts(_READY, stored(placeholder=f"{FLAVOR}@2"), archived=True, replaced=True), State.PLACEHOLDER),
        (facts(_SHOWN, stored(), replaced=True), State.HALF_TAGGED),
        (facts(_SHOWN, stored(), archived=True), State.HALF_TAGGED),
        (facts(_SHOWN, stored()), State.HALF_TAGGED),
        (facts(None, stored(thin=f"{DERIVED}@2"), archived=True, thin=True), State.THIN),
        (facts(None, stored(thin=f"{DERIVED}@2"), archived=True), State.HALF_THIN),
        (facts(None, stored(thin=f"{DERIVED}@2"), thin=True), State.HALF_THIN),
        (facts(None, stored(), archived=True, thin=True), State.HALF_THIN),
        (facts(_READY, stored(), archived=True, thin=True), State.HALF_THIN),
        (facts(_READY, stored(placeholder=f"{FLAVOR}@2"), archived=True, thin=True), State.HALF_THIN),
        # What was to play is gone, or was made anew by somebody.
        (facts(None, stored(thin=f"{DERIVED}@1"), archived=True, thin=True), State.NO_ORIGINAL),
        (facts(None, archived=True, thin=True), State.LOST),
        # Somebody's newer video.
        (facts(_NEWER, stored(), archived=True, thin=True), State.DIVERGED),
    ],
)
def test_each_row_of_the_table_has_its_state(known: Facts, state: State) -> None:
    assert classify(known).state is state


def test_a_second_original_that_is_not_ready_does_not_hide_the_ready_one() -> None:
    broken = FlavorAsset("0_aborted1", "0_entry001", "2", FlavorStatus.ERROR, True)
    known = Facts(Entry("0_entry001"), (broken, original()), None)
    assert classify(known).state is State.INITIAL


@pytest.mark.parametrize(
    ("flavor", "copy", "identity"),
    [
        # The flavor tag names asset and version, there is a checksum, and the bytes agree: nothing less is SAME.
        (original(), stored(), Identity.SAME),
        (original(), stored(flavor=""), Identity.LIKELY),
        (original(), stored(sha256=""), Identity.LIKELY),
        # Nothing shows that S3 has the bytes that were read: tagged by an earlier build, or another object since.
        # What S3 itself shows beats the tags, either way.
        (original(), stored(proof=""), Identity.LIKELY),
        (original(), stored(proof="hearsay AAAAAAAAAAE= e"), Identity.LIKELY),
        (original(), stored(proof="checksum"), Identity.LIKELY),
        (original(), stored(etag=f"{'f' * 32}-2"), Identity.LIKELY),
        (original(), stored(etag=f"{'f' * 32}-2", crc64nvme="AAAAAAAAAAE="), Identity.SAME),
        (original(), stored(crc64nvme="AAAAAAAAAAI="), Identity.DIFFERENT),
        (original(size_bytes=None, size_kb=VIDEO_BYTES // 1024), stored(proof=""), Identity.LIKELY),
        (original(version="12"), stored(), Identity.LIKELY),
        (original(), stored(flavor="0_other001@2"), Identity.LIKELY),
        (original(size_bytes=VIDEO_BYTES + 1), stored(), Identity.DIFFERENT),
        (original(size_bytes=VIDEO_BYTES - 1), stored(flavor=""), Identity.DIFFERENT),
        # The tag placeholder names what replaced the original, whatever its size.
        (original(), stored(placeholder=f"{FLAVOR}@2"), Identity.DIFFERENT),
        # Only Kaltura's rounded KB is known.
        (original(size_bytes=None, size_kb=VIDEO_BYTES // 1024), stored(flavor="", sha256=""), Identity.LIKELY),
        (original(size_bytes=None, size_kb=VIDEO_BYTES // 1000), stored(flavor=""), Identity.LIKELY),
        (original(size_bytes=None, size_kb=VIDEO_BYTES // 1024), stored(), Identity.SAME),
        (original(size_bytes=None, size_kb=VIDEO_BYTES * 104 // 102400), stored(), Identity.DIFFERENT),
        (original(size_bytes=None, size_kb=VIDEO_BYTES * 96 // 102400), stored(), Identity.DIFFERENT),
        # Exact bytes win over rounded KB.
        (original(size_bytes=VIDEO_BYTES + 1, size_kb=VIDEO_BYTES // 1024), stored(), Identity.DIFFERENT),
        (original(size_bytes=None, size_kb=None), stored(), Identity.UNKNOWN),
        (original(size_bytes=None, size_kb=None), stored(flavor=""), Identity.UNKNOWN),
    ],
)
def test_identity_is_only_as_sure_as_its_evidence(flavor: FlavorAsset, copy: object, identity: Identity) -> None:
    assert identify(flavor, copy)[0] is identity  # type: ignore[arg-type]


@settings(max_examples=500)
@given(any_facts())
def test_same_needs_the_flavor_tag_of_this_version_a_checksum_and_agreeing_sizes(known: Facts) -> None:
    judgement = classify(known)
    if judgement.identity is not Identity.SAME:
        return
    flavor, copy = known.original, known.stored
    assert flavor is not None
    assert copy is not None
    assert copy.tags["flavor"] == f"{flavor.id}@{flavor.version}"
    assert copy.tags["sha256"] == SHA256
    evidence, crc64nvme, etag = copy.tags["proof"].split()
    assert evidence in ("checksum", "read")
    assert crc64nvme == copy.crc64nvme or (not copy.crc64nvme and etag == copy.etag)
    assert flavor.size_bytes in (None, copy.size_bytes)


@pytest.mark.parametrize(
    ("known", "answer"),
    [
        (facts(_SHOWN, stored()), True),
        (facts(_SHOWN), True),
        (facts(_NEWER, stored(placeholder=f"{FLAVOR}@2")), True),
        (facts(original(size_bytes=None, size_kb=39), stored(placeholder=f"{FLAVOR}@2")), True),
        (facts(_NEWER, stored(placeholder=f"{FLAVOR}@12")), False),
        (facts(_NEWER, stored()), False),
        (facts(_NEWER, stored(flavor="")), None),
        # The old tool's placeholder came in place, never by a replacement.
        (facts(original(size_bytes=7, version="12"), stored(flavor="")), False),
        (facts(_NEWER, stored(), placeholder_bytes=None), None),
        (facts(original(size_bytes=None, size_kb=39), stored(placeholder=f"{FLAVOR}@12")), None),
        (facts(None, stored()), None),
    ],
)
def test_a_placeholder_is_known_by_the_copys_tag_or_by_its_exact_size(known: Facts, answer: bool | None) -> None:
    assert holds_placeholder(known) is answer


@pytest.mark.parametrize(
    ("size_kb", "stored_bytes", "agree"),
    [(1310720, 1339130980, True), (1000, 1024 * 1030, True), (1000, 1024 * 1031, False), (1000, 994_100, False)],
)
def test_rounded_kilobytes_agree_within_three_percent_both_ways(size_kb: int, stored_bytes: int, agree: bool) -> None:
    assert sizes_agree(size_kb, stored_bytes) is agree


@pytest.mark.parametrize("tags", [{}, {"archived": True}, {"archived": True, "replaced": True}])
@pytest.mark.parametrize(
    ("copied", "read", "lost"),
    [
        ({"sha256": "", "flavor": ""}, SHA256, True),
        ({"sha256": "", "flavor": ""}, "cd" * 32, False),  # a video of just that size
        ({"sha256": "", "flavor": ""}, "", False),  # nothing is known
        ({"sha256": SHA256}, "", True),  # adopted as the video before it was known for what it is
        ({"sha256": "cd" * 32}, "", False),
    ],
)
def test_a_copy_that_is_the_placeholder_is_none(tags: dict[str, bool], copied: Any, read: str, lost: bool) -> None:
    """The old tool stored whatever the original was, under the video's key."""
    known = facts(_SHOWN, stored(size_bytes=PLACEHOLDER_BYTES, **copied), **tags)
    known = replace(known, original_sha256=read, placeholder_sha256s=frozenset({SHA256}))
    assert (classify(known).state is State.LOST) is lost


def test_a_failed_look_up_is_not_a_size() -> None:
    with pytest.raises(ValueError, match="negative"):
        sizes_agree(10, -1)


def test_a_listing_is_not_enough_where_rounded_kilobytes_may_be_those_of_a_placeholder() -> None:
    """Old originals have no exact size: then even a copy of about the same size may be that of a placeholder."""
    rounded, copy = original(size_bytes=None, size_kb=PLACEHOLDER_BYTES // 1024), stored(size_bytes=PLACEHOLDER_BYTES)
    listed = replace(copy, tags={}, etag="", complete=False)
    assert needs_tags(facts(rounded, listed, archived=True))
    other = original(size_bytes=None, size_kb=VIDEO_BYTES // 1024)
    assert not needs_tags(facts(other, replace(listed, size_bytes=VIDEO_BYTES), archived=True))
