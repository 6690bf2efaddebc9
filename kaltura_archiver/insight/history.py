"""What the run log tells of each entry: when it was copied, replaced, asked back, brought back and verified. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum, auto
from typing import Any, NamedTuple

from kaltura_archiver.model import Outcome, State
from kaltura_archiver.steps import Command


class Kind(Enum):
    """What happened to an entry in a run."""

    COPIED = auto()
    REPLACED = auto()
    THINNED = auto()  # the original went, and a derived flavor plays on
    ASKED = auto()  # a restore that has to wait, for Glacier as a rule
    RESTORED = auto()
    SETTLED = auto()  # a restore that found the original in place and dropped the tag
    VERIFIED = auto()


class Event(NamedTuple):
    """`at` and `played_at` are unix seconds; `played_at` is when the entry had last been played by then. `away`: its
    original was in S3 only before."""

    at: int
    kind: Kind
    played_at: int | None = None
    away: bool = False


@dataclass(frozen=True, slots=True)
class Away:
    """A time that the original was not in Kaltura. None: before the log began, or not back yet.

    `waited_seconds` is from the first play of the placeholder that the log knows of until the original was back; None
    where nobody had played it.
    """

    since: int | None
    until: int | None = None
    waited_seconds: int | None = None


_KINDS: dict[tuple[str, str], Kind] = {
    (Command.S3COPY, Outcome.DONE): Kind.COPIED,
    (Command.REPLACE, Outcome.DONE): Kind.REPLACED,
    (Command.THIN, Outcome.DONE): Kind.THINNED,
    (Command.RESTORE, Outcome.WAITING): Kind.ASKED,
    (Command.RESTORE, Outcome.DONE): Kind.RESTORED,
    (Command.VERIFY, Outcome.DONE): Kind.VERIFIED,
}


# What a run was done in that had something else to do than its command says: labels, a picture, the tag of a request.
_NOTHING_CAME = {
    Kind.REPLACED: (State.PLACEHOLDER,),
    Kind.THINNED: (State.THIN,),
    Kind.RESTORED: (State.INITIAL, State.ARCHIVED, State.UNTAGGED),
}


class History:
    """The events of a run log, by entry. Lines of a form that it does not know are left out."""

    def __init__(self, lines: Iterable[Mapping[str, Any]] = ()) -> None:
        self.runs = 0
        self.first_at: int | None = None
        self._events: dict[str, list[Event]] = {}
        for line in lines:
            self._add(line)
        for events in self._events.values():
            events.sort(key=lambda event: event.at)

    def _add(self, line: Mapping[str, Any]) -> None:
        at = unix_seconds(line.get("started" if line.get("kind") == "run" else "at"))
        if at is None:
            return
        self.runs += line.get("kind") == "run"
        self.first_at = at if self.first_at is None else min(at, self.first_at)
        entry_id, kind = line.get("entry"), _KINDS.get((str(line.get("command")), str(line.get("outcome"))))
        if line.get("kind") != "entry" or not isinstance(entry_id, str) or kind is None:
            return
        state = str(line.get("state"))
        if (kind is Kind.COPIED and state != State.INITIAL) or state in _NOTHING_CAME.get(kind, ()):
            return  # it was so already
        if kind is Kind.RESTORED and state == State.UNSETTLED:
            kind = Kind.SETTLED
        played_at = line.get("last_played_at")
        event = Event(at, kind, played_at if type(played_at) is int else None, state in (State.THIN, State.HALF_THIN))
        self._events.setdefault(entry_id, []).append(event)

    def last(self, entry_id: str, kind: Kind) -> int | None:
        """When this last happened to the entry."""
        return max((event.at for event in self._events.get(entry_id, ()) if event.kind is kind), default=None)

    def first(self, entry_id: str, kind: Kind) -> int | None:
        """When this first happened to the entry."""
        return min((event.at for event in self._events.get(entry_id, ()) if event.kind is kind), default=None)

    def away(self, entry_id: str, *, now_away: bool) -> list[Away]:
        """The times that the entry's original was not in Kaltura, in their order; `now_away` is how it is today."""
        times: list[Away] = []
        since: int | None = None
        away = False
        asks = True  # whether a play asks for the original: not where a derived flavor plays on
        plays: list[int] = []
        for event in self._events.get(entry_id, ()):
            if event.kind in (Kind.REPLACED, Kind.THINNED):
                # What was thin is away since then.
                since, away, plays = since if away and event.away else event.at, True, []
                asks = event.kind is Kind.REPLACED
            elif event.kind in (Kind.ASKED, Kind.RESTORED, Kind.SETTLED):
                # Only plays of the placeholder ask for something; it was there before the log if the log does not say.
                placed = since if away else self.first_at
                if (
                    asks
                    and event.played_at is not None
                    and placed is not None
                    and placed <= event.played_at <= event.at
                ):
                    plays.append(event.played_at)
                if event.kind is Kind.RESTORED or (event.kind is Kind.SETTLED and away):
                    waited = event.at - min(plays) if plays else None
                    times.append(Away(since if away else None, event.at, waited))
                    since, away, plays, asks = None, False, [], True
        if now_away:
            times.append(Away(since if away else None))
        # Else an open one ended in a way that the log does not tell, such as an upload by hand: nothing is known of it.
        return times


def unix_seconds(text: Any) -> int | None:
    """The time that an ISO 8601 text tells; None if it is no such text."""
    try:
        at = datetime.fromisoformat(text)
        return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp())
    except (TypeError, ValueError, OverflowError):
        return None
