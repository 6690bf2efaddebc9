"""Tags of entries, as Kaltura keeps and compares them, and what those of notices tell."""

from __future__ import annotations

import re
import string
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import date

from kaltura_archiver.model.words import NOTICE_PREFIX, Announced

# What Kaltura trims tags of (PHP's trim): a no-break space is part of a tag (real-kaltura M01).
_BLANKS = " \t\n\r\0\x0b"
_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


def split_tags(text: str | None) -> tuple[str, ...]:
    """The whole tags of Kaltura's comma-separated field, as they are written there (kaltura-api 6)."""
    return tuple(tag for part in (text or "").split(",") if (tag := part.strip(_BLANKS)))


def lowered(tag: str) -> str:
    """A tag in the case in which Kaltura keeps it: only ASCII letters are lowered (real-kaltura M01)."""
    return tag.translate(_LOWER)


def normalised_tags(tags: Iterable[str]) -> tuple[str, ...]:
    """Tags as Kaltura leaves them when any of them is changed (kaltura-api 6): that is nobody's doing.

    In their order, each once. A blank at which a long tag was cut goes at the next change.
    """
    cut = (lowered(tag).encode()[:100].decode(errors="ignore").strip(_BLANKS) for tag in tags if len(tag.encode()) > 1)
    return tuple(dict.fromkeys(filter(None, cut)))


def tags_with(text: str, *, add: str = "", remove: str = "") -> str:
    """Kaltura's field with one tag added at its end, or one removed, both in lower case; every other byte stays."""
    parts = text.split(",")
    kept = [part for part in parts if not remove or lowered(part.strip(_BLANKS)) != remove]
    if add and add not in map(lowered, split_tags(text)):
        kept.append(f" {add}")
    if kept == parts:
        return text
    return ",".join(kept).strip(f",{_BLANKS}")


# A person writes it, and not always quite so.
_KEEP_UNTIL = re.compile(r"keep[\s_.:-]*until.*", re.DOTALL)


def kept_until(tag: str) -> date | None:
    """The day of a tag `keep_until_2027-06-30`: `date.max` where it names no day, None for others."""
    if not _KEEP_UNTIL.fullmatch(tag):
        return None
    with suppress(ValueError):
        if told := re.fullmatch(r"keep_until_(\d{4}-\d\d-\d\d)", tag, re.ASCII):
            return date.fromisoformat(told[1])
    return date.max


def owner_mark(user: str) -> str:
    """A mark of a Kaltura user that fits into a tag, the same in any case; empty for nobody."""
    from hashlib import sha256  # not for `--help`

    name = " ".join(user.casefold().split())
    return sha256(name.encode()).hexdigest()[:8] if name else ""


def notice_tag(day: date, owner: str, until: date | None = None, of: Announced | None = None) -> str:
    """The tag that says that this owner had a notice on this day, which day it named, and of what it told."""
    named = f"until_{until.isoformat()}" if until else ""
    told = f"for_{of}" if of else ""
    return "_".join(filter(None, (f"{NOTICE_PREFIX}{day.isoformat()}", owner_mark(owner), named, told)))


@dataclass(frozen=True)
class NoticeTag:
    """What the tag of a notice tells. Those of earlier versions name no day `until`, or not even who was told; where it
    is not said of what (`of`), as by `notify`, it was of all that may become of the video."""

    on: date
    mark: str
    until: date | None
    of: Announced | None = None

    def is_of(self, what: Announced | None) -> bool:
        """Whether it told of this, or of everything; of None any did."""
        return self.of is None or what is None or self.of is what


def notice_of(tag: str) -> NoticeTag | None:
    """What this whole tag, in lower case, tells of a notice; None for any other tag."""
    day = r"(\d{4}-\d\d-\d\d)"
    found = re.fullmatch(
        rf"{NOTICE_PREFIX}{day}(?:_([0-9a-f]{{8}}))?(?:_until_{day})?(?:_for_([a-z]+))?", tag, re.ASCII
    )
    with suppress(ValueError):
        until = date.fromisoformat(found[3]) if found and found[3] else None
        of = Announced(found[4]) if found and found[4] else None
        return NoticeTag(date.fromisoformat(found[1]), found[2] or "", until, of) if found else None
    return None
