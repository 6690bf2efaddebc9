"""What a run hands on: how an entry ended, and what was asked of the services."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, replace
from typing import Any

from kaltura_archiver.model import Cause, Facts, Outcome
from kaltura_archiver.steps import Plan, Step


@dataclass(frozen=True)
class Result:
    """How a command ended for one entry; bytes are what was copied and what Kaltura need not store any more.

    `facts` and `steps` are what the last plan rested on and what it was; None and none where it did not come to one.
    `ended_at` is unix seconds. `member_of` is the entry with which this one went as a further stream of it, and
    `members` are how those of the entry ended.
    """

    entry_id: str
    state: str
    outcome: Outcome
    detail: str
    bytes_moved: int = 0
    bytes_freed: int = 0
    facts: Facts | None = None
    steps: tuple[Step, ...] = ()
    ended_at: float = 0.0
    cause: Cause | None = None
    member_of: str = ""
    members: tuple[Result, ...] = ()

    @property
    def each(self) -> tuple[Result, ...]:
        """Those of its further streams, and itself, in the order in which they were done."""
        return (*self.members, replace(self, members=()))

    @property
    def last_played_at(self) -> int | None:
        """Unix seconds; None for never, or where the entry could not be read."""
        return self.facts.entry.last_played_at if self.facts else None


def log_fields(kind: str, action: str, *, dry_run: bool, entry: str = "", **more: str) -> dict[str, Any]:
    """What a log line carries beside its text; `kind` is what it is about: run, entry, owner or step."""
    return {"mode": "DRYRUN" if dry_run else "EXEC", "kind": kind, "entry": entry, "action": action, **more}


# May turn a plan into none, on the very facts that it was made from.
Review = Callable[[Facts, Plan], Plan]
# May turn the plans of an entry, or of several that are begun all or none, into none.
Allow = Callable[[Sequence[tuple[Facts, Plan]]], Sequence[Plan]]


@dataclass(frozen=True)
class Traffic:
    """Requests made so far of Kaltura's API and of S3; `retries` of them were made once more after a failure."""

    kaltura_calls: int
    s3_calls: int
    retries: int

    def __add__(self, other: Traffic) -> Traffic:
        return Traffic(*(mine + theirs for mine, theirs in zip(astuple(self), astuple(other), strict=True)))


@dataclass(frozen=True)
class Runs:
    """What the locks tell of other runs: ids of those that are `over`, and before when no living one had begun.

    `began` is in unix seconds of S3's clock. Of a run whose id is not among `over` nothing is known.
    """

    began: float
    over: frozenset[str]
