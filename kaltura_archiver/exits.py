"""How the exit status of a command is made, but for errors that end it: these carry their own (`errors.py`). Pure."""

from __future__ import annotations

import signal
from collections.abc import Iterable, Set
from typing import TYPE_CHECKING

from kaltura_archiver.errors import Exit
from kaltura_archiver.model import Outcome, State

if TYPE_CHECKING:  # --help needs no rules
    from kaltura_archiver.states import Judgement

# What a script may go on after (--tolerate): how entries ended. With any other status the command itself was not done.
TOLERABLE = (Exit.FAILED, Exit.WAITING, Exit.LIMIT)
# From the least to the worst: of several the worst is told.
_SEVERITY = (
    Exit.OK, Exit.LIMIT, Exit.WAITING, Exit.FAILED, Exit.LOCKED, Exit.USAGE, Exit.INTERRUPTED, Exit.TERMINATED,
)  # fmt: skip
# What an outcome of an entry makes of it, where it is not 0.
_OF_OUTCOMES = {Outcome.FAILED: Exit.FAILED} | dict.fromkeys(
    (Outcome.WAITING, Outcome.REFUSED, Outcome.DRIFTED, Outcome.INTERRUPTED), Exit.WAITING
)


def of_outcomes(outcomes: Iterable[Outcome]) -> set[Exit]:
    """What the ends of entries add up to."""
    return {_OF_OUTCOMES.get(outcome, Exit.OK) for outcome in outcomes}


def of_health(judgement: Judgement) -> Exit:
    """What an entry makes of the status of `health`."""
    if judgement.healthy:
        return Exit.OK
    return Exit.WAITING if judgement.state is State.BUSY and judgement.sound else Exit.FAILED


def of_selection(*, unknown: int, odd: int, refused: int, cut: bool = False) -> set[Exit]:
    """What a selection makes of it: ids that lead nowhere, entries that cannot be understood, named ones that no
    command works on; and that a safety limit which nobody asked for has `cut` it."""
    found = {Exit.FAILED: unknown or odd, Exit.WAITING: refused, Exit.LIMIT: cut}
    return {code for code, there in found.items() if there}


def of_run(
    selected: Iterable[Exit], outcomes: Iterable[Outcome], *, overtaken: bool, stopped: bool, incomplete: bool
) -> tuple[set[Exit], bool]:
    """What a run makes of it, and whether --tolerate is heeded: not where it is the run that was not done.

    `overtaken`: another run took the lock; `stopped`: a safety limit ended it; `incomplete`: rows were lost that
    somebody wanted, or the fleet, or the lock, which nobody took.
    """
    if overtaken:
        return {Exit.LOCKED}, True
    if stopped:
        return {Exit.LIMIT}, False
    if incomplete:
        return {Exit.FAILED}, False
    return {*selected, *of_outcomes(outcomes)}, True


def told(codes: Iterable[Exit], *, by_signal: int = 0, tolerated: Set[Exit] = frozenset()) -> Exit:
    """The one that the process ends with: the worst, less what is tolerated. A signal has the last word."""
    if by_signal:
        return Exit.INTERRUPTED if by_signal == signal.SIGINT else Exit.TERMINATED
    return max(set(codes) - tolerated, key=_SEVERITY.index, default=Exit.OK)
