"""The verdict of `health`: what needs attention, worst first, and how much there is of what."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from kaltura_archiver.model import Facts, MediaType, State
from kaltura_archiver.output.screen import DAMAGED, EXPIRING, IN_ERROR
from kaltura_archiver.output.tables import Cell
from kaltura_archiver.states import Judgement

# What needs attention, worst first; what is not named here comes last.
WORST_FIRST = (
    State.LOST, DAMAGED, EXPIRING, State.UNBACKED, State.EMPTY, State.DIVERGED, State.NO_ORIGINAL, IN_ERROR,
    State.UNSETTLED, State.HALF_TAGGED, State.HALF_THIN, State.UNTAGGED, State.BUSY,
)  # fmt: skip
# What was looked at, by the kind of media that was asked for.
_MEDIA = {
    MediaType.VIDEO: ("video", "videos"), MediaType.AUDIO: ("audio entry", "audio entries"),
    MediaType.IMAGE: ("image", "images"),
}  # fmt: skip
# So many of each kind are kept for being shown, however many there are.
SHOWN = 200


@dataclass
class _Sum:
    """Of one kind: entries, bytes in Kaltura and in S3, and the rows of the first of them."""

    entries: int = 0
    original_bytes: int = 0
    stored_bytes: int = 0
    rows: list[Mapping[str, Cell]] = field(default_factory=list)


def kind_of(facts: Facts, judgement: Judgement) -> str:
    """The entry's state, or what is wrong in a state that is none of those that are wrong by themselves."""
    if judgement.sound:
        return judgement.state
    if facts.stored and facts.stored.damaged_at:
        return DAMAGED
    return EXPIRING if facts.stored and facts.stored.ending else IN_ERROR


class HealthVerdict:
    """What was seen so far, of one kind of media (None: of any). Its memory does not grow with their number."""

    def __init__(self, media_type: MediaType | None = None) -> None:
        self._one, self._many = _MEDIA[media_type] if media_type else ("", "")
        self._sums: defaultdict[str, _Sum] = defaultdict(_Sum)
        self._wrong: set[str] = set()
        self.copies = self.looked_at = self.verified = 0
        self.nowhere = self.refused = 0  # ids that were named: of no entry, and of what no command works on
        self.odd = 0  # entries of which Kaltura's answer cannot be understood
        self.cut = self.some = (
            False  # whether more match than were looked at, or are told of (-n, --first-page, --shard)
        )

    def add(self, facts: Facts, judgement: Judgement, row: Mapping[str, Cell]) -> None:
        """Count one entry; `row` is kept if it needs attention."""
        kind = kind_of(facts, judgement)
        total = self._sums[kind]
        total.entries += 1
        if facts.original:
            total.original_bytes += facts.original.known_bytes
        if facts.stored:
            total.stored_bytes += facts.stored.size_bytes
            self.copies += 1
            self.looked_at += facts.stored.complete
            self.verified += bool(facts.stored.complete and facts.stored.verified_at)
        if not judgement.healthy:
            self._wrong.add(kind)
            if len(total.rows) < SHOWN:
                total.rows.append({**row, "state": kind})

    @property
    def kinds(self) -> list[str]:
        """What needs attention first, worst first; then the others, the most numerous first."""
        ranks = {kind: rank for rank, kind in enumerate(WORST_FIRST)}

        def order(kind: str) -> tuple[bool, int, int]:
            wrong = kind in self._wrong
            return not wrong, ranks.get(kind, len(ranks)) if wrong else 0, -self._sums[kind].entries

        return sorted(self._sums, key=order)

    @property
    def entries(self) -> int:
        return sum(total.entries for total in self._sums.values())

    def problems(self) -> Iterator[Mapping[str, Cell]]:
        """The rows of what needs attention, worst first; of each kind SHOWN at most."""
        for kind in self.kinds:
            yield from self._sums[kind].rows

    def unshown(self) -> Iterator[str]:
        """What `problems` left out."""
        for kind in self.kinds:
            if (left := self._sums[kind].entries - len(self._sums[kind].rows)) and kind in self._wrong:
                yield f"and {left:,} more that are {kind}"

    def sums(self) -> Iterator[dict[str, Cell]]:
        """A row for each kind, with entries and bytes."""
        for kind in self.kinds:
            total = self._sums[kind]
            yield {
                "state": kind, "entries": total.entries,
                "original_bytes": total.original_bytes, "stored_bytes": total.stored_bytes,
            }  # fmt: skip

    def proof(self) -> str:
        """What is known of when the copies were verified; empty without copies."""
        if not self.copies:
            return ""
        if self.looked_at < self.copies:
            return f"When the {self.copies:,} stored copies were last read back is told by --verified."
        never = self.copies - self.verified
        if not never:
            if self.copies == 1:
                return "The stored copy was read back once at least."
            return f"Each of the {self.copies:,} stored copies was read back once at least."
        since = "was never read back since it was" if never == 1 else "were never read back since they were"
        return f"{never:,} of {self.copies:,} stored copies {since} stored: verify does that."

    def __str__(self) -> str:
        """`3 of 1,000 videos need attention: 1 lost, 2 diverged`"""
        entries = self.entries
        wrong = [(self._sums[kind].entries, kind) for kind in self.kinds if kind in self._wrong]
        number = sum(count for count, _ in wrong)
        told = ", ".join(f"{count:,} {kind}" for count, kind in wrong)
        seen = f"{entries:,} {self._one if entries == 1 else self._many}".rstrip()
        text = f"{number:,} of {seen} need{'s' if number == 1 else ''} attention: {told}"
        if not wrong:
            text = f"all {seen} are well" if entries else f"no {self._one or 'entry'} was looked at"
            if self.cut:
                text = f"the first {seen} are well; more match, and were not looked at"
            elif entries and self.some:
                text = f"these {seen} are well; there may be others, of which nothing is told"
            elif entries == 1 or (entries and (self.nowhere or self.refused or self.odd)):
                text = f"{seen} {'is' if entries == 1 else 'are'} well"
        named = [
            f"{number:,} {'is' if number == 1 else 'are'} {what}"
            for number, what in ((self.nowhere, "no entry's"), (self.refused, "left out"))
            if number
        ]
        text += f"; of the ids that were named {' and '.join(named)}" if named else ""
        return text + (f"; {self.odd:,} could not be looked at" if self.odd else "")
