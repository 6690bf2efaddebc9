"""The picture that a gallery shows for an entry whose placeholder came in place, as the old tool put it: whose it is.

A swap brings a picture of the new content. Kaltura leaves the one that there is where a thumb asset is the default one,
and where content is added in place (docs/pictures.md says what of this is recorded and what was read). So once the
original is back the placeholder's picture may still be shown: the old tool took a frame of it, in the moment after it
had come. By that moment its picture is told from a person's; in doubt it stays, and that is said. Nothing is ever
deleted.

The object tag `picture` of the stored copy, `<unix seconds> <version>`, is written before the swap: when the
placeholder came, which nothing tells afterwards, and the version of the picture. It goes when the picture was looked
after. So what a run that was cut, or a refusal of Kaltura's, has left is made good by the next restore or repair.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from kaltura_archiver.identity import holds_placeholder
from kaltura_archiver.model import Facts, MediaType, iso_date

# What was made so long before the placeholder came (clocks differ) or after it (one call) is the old tool's.
BEFORE_SECONDS, AFTER_SECONDS = 60, 600
# Where Kaltura's conversions take a picture, unless the account has another default (`entry::getThumbOffset` [read]).
USUAL_SECONDS = 3


@dataclass(frozen=True)
class Thumb:
    """A thumb asset: times are unix seconds. `by_hand`: by no parameters, so by a person or a program."""

    id: str
    created_at: int
    updated_at: int
    default: bool
    by_hand: bool


@dataclass(frozen=True)
class Picture:
    """An entry's picture: its version, where it is to be had (that may hold a token), and its thumb assets."""

    version: str
    url: str = field(repr=False)
    thumbs: tuple[Thumb, ...] = ()


@dataclass(frozen=True)
class Due:
    """What was known before the original came back: when the placeholder came (unix seconds, 0 if that is not known),
    and the version of the picture."""

    placed_at: int
    version: str

    @classmethod
    def read(cls, tag: str) -> Due | None:
        """What the tag `picture` says; None for an empty one, or one that says nothing known."""
        placed_at, _, version = tag.partition(" ")
        return cls(int(placed_at), version.removeprefix("-")) if placed_at.isdecimal() else None

    def __str__(self) -> str:
        return f"{self.placed_at} {self.version or '-'}"

    def made_then(self, at: int) -> bool:
        return bool(self.placed_at) and -BEFORE_SECONDS <= at - self.placed_at <= AFTER_SECONDS


class Act(Enum):
    STAYS = "stays"
    TAKE = "take"
    CHOOSE = "choose"
    DOUBT = "doubt"


@dataclass(frozen=True)
class Decision:
    """What is to become of a picture, or has; `why` is for the operator. `thumb_id` is the one to CHOOSE."""

    act: Act
    why: str
    thumb_id: str = ""


def left(facts: Facts) -> Due | None:
    """What an earlier restore has left to be looked after."""
    return Due.read(facts.stored.picture) if facts.stored else None


def picture_due(facts: Facts) -> Due | None:
    """What is to be looked after once the original is back; None where its picture will be Kaltura's.

    The old tool deleted all flavors first (as --allow-in-place does). So its placeholder is the first content of its
    asset, which is as old as that. Where it is not there any more, only a note of before tells.
    """
    if noted := left(facts):
        return noted
    entry, original = facts.entry, facts.original
    there = original is not None and original.status.ready
    if entry.media_type != MediaType.VIDEO.value or (original and there and not original.first_content):
        return None
    known = there and holds_placeholder(facts) is True
    if not known and not entry.replaced:
        return None
    return Due((original.created_at if original and known else 0) or 0, entry.thumbnail_version)


def unknown(facts: Facts) -> str | None:
    """The tag for an entry that gets a placeholder after one before it went: whose its picture is, nothing tells."""
    there = facts.original is not None and facts.original.status.ready
    return None if there or not facts.entry.replaced else str(Due(0, facts.entry.thumbnail_version))


def judge(picture: Picture, known: Due, since: Callable[[Picture], int | None]) -> Decision:
    """Whose picture it is. `since` is asked, at the price of a request, since when it is that one.

    `media.updateThumbnail` takes the mark of the default one from the thumb asset that had it, and so updates just
    that one: this was the picture before [read].
    """
    default = next((thumb for thumb in picture.thumbs if thumb.default), None)
    if default and not known.placed_at:
        return Decision(Act.DOUBT, f"it is {default.id}, and nothing tells when the placeholder came")
    if default and not known.made_then(default.created_at):
        return Decision(Act.STAYS, f"its picture was chosen by somebody ({default.id}): it stays")
    lost = [t.id for t in picture.thumbs if t.by_hand and not t.default and _lost_its_mark(t, known)]
    if len(lost) == 1:
        why = f"the picture that somebody had chosen before the placeholder came ({lost[0]}) is shown again"
        return Decision(Act.CHOOSE, why, lost[0])
    if default:
        return Decision(Act.TAKE, f"{default.id} was made when the placeholder came")
    if picture.version and picture.version != known.version:
        return Decision(Act.STAYS, "its picture is of the video again: Kaltura made it")
    return _by_its_time(since(picture), known)


def _lost_its_mark(thumb: Thumb, known: Due) -> bool:
    return known.made_then(thumb.updated_at) and not known.made_then(thumb.created_at)


def _by_its_time(at: int | None, known: Due) -> Decision:
    """Of a picture that Kaltura has left as it was, and that is no thumb asset."""
    if at is None or not known.placed_at:
        what = "Kaltura does not tell since when it is shown" if known.placed_at else "nothing tells when that came"
        return Decision(Act.DOUBT, what)
    if known.made_then(at):
        return Decision(Act.TAKE, f"it is shown since {iso_date(at)}, when the placeholder came")
    came = f"the placeholder came on {iso_date(known.placed_at)}"
    if at < known.placed_at:
        return Decision(Act.STAYS, f"its picture is of {iso_date(at)}, {came}: it stays")
    return Decision(Act.DOUBT, f"it is shown since {iso_date(at)}, {came}")
