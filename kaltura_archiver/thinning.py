"""Which derived flavor of an entry plays on without its original, and which of the others go. Pure.

A player takes its flavors by their tags: `mbr`, else `web` (`playManifestAction` [read]); so one of these has to be
among those of the flavor to keep.
"""

from __future__ import annotations

from typing import NamedTuple

from kaltura_archiver.model import Facts, FlavorAsset, MediaType, split_tags

MAX_KEPT_BYTES = 1_000_000_000
# Which of the derived flavors beside the kept one are deleted: all, those of fewer bytes, or none.
DERIVED = ("all", "smaller", "none")
_PLAYED = {"mbr", "web"}
# Of flavors without pictures (`flavorParams::TAG_AUDIO_ONLY`, `TAG_ALT_AUDIO`).
_SOUND_ONLY = {"audio_only", "alt_audio"}
# How far two tellers of a length may be apart: what they round, and what an encoder adds at the end.
APART_SECONDS, APART_PART = 2.0, 0.001


class Choice(NamedTuple):
    """`keep_height` in lines, or None: the largest flavor below `max_bytes`. `derived` is one of DERIVED."""

    keep_height: int | None
    max_bytes: int
    derived: str


def kept_flavor(facts: Facts, wanted: Choice) -> tuple[FlavorAsset | None, str]:
    """The derived flavor to keep, or why there is none: with a height the smallest file of at least so many lines."""
    found = [f for f in facts.derived if f.known_bytes and _PLAYED.intersection(split_tags(f.tags))]
    if facts.entry.media_type == MediaType.VIDEO.value:
        found = [f for f in found if f.height != 0 and not _SOUND_ONLY.intersection(split_tags(f.tags))]
    if not found:
        return None, "no derived flavor is READY and tagged for players (mbr or web)"
    small = [flavor for flavor in found if flavor.known_bytes < wanted.max_bytes]
    if not small:
        least = min(flavor.known_bytes for flavor in found)
        return None, f"the smallest derived flavor has {least} bytes, not below {wanted.max_bytes} (--max-kept-bytes)"
    if wanted.keep_height is None:
        return max(small, key=lambda flavor: flavor.known_bytes), ""
    high = [flavor for flavor in small if (flavor.height or 0) >= wanted.keep_height]
    if not high:
        most = max(flavor.height or 0 for flavor in small)
        return None, f"no derived flavor has {wanted.keep_height} lines (--keep-height), the highest has {most}"
    return min(high, key=lambda flavor: flavor.known_bytes), ""


def dropped(facts: Facts, kept: FlavorAsset, wanted: Choice) -> tuple[FlavorAsset, ...]:
    """The derived flavors that go: none that is a source itself, such as an upload that Kaltura saved."""
    if wanted.derived == "none":
        return ()
    stay = {kept.id, *(flavor.id for flavor in facts.other_sources)}
    others = [flavor for flavor in facts.derived if flavor.id not in stay]
    if wanted.derived == "smaller":
        others = [flavor for flavor in others if flavor.known_bytes < kept.known_bytes]
    return tuple(others)


def would_free(facts: Facts) -> int:
    """What `thin` would free with its usual options, of an original that is there; 0 where no flavor could play on."""
    usual = Choice(None, MAX_KEPT_BYTES, DERIVED[0])
    kept, original = kept_flavor(facts, usual)[0], facts.original
    if kept is None or original is None or not original.status.ready:
        return 0
    return original.known_bytes + sum(flavor.known_bytes for flavor in dropped(facts, kept, usual))


def same_length(seconds: float, entry_seconds: float) -> bool:
    """Whether a flavor plays as long as its entry."""
    return abs(seconds - entry_seconds) <= max(APART_SECONDS, APART_PART * entry_seconds)
