"""What becomes of a member of a group because of another one."""

from __future__ import annotations

import itertools

import pytest

from kaltura_archiver.groups import _WORST_FIRST, hindered, judgement_of_group, together
from kaltura_archiver.model import Entry, Facts, Identity, Outcome, State
from kaltura_archiver.states import Judgement
from kaltura_archiver.steps import Command, Plan, Step

TAKES = Plan(State.ARCHIVED, (Step.PUT_PLACEHOLDER,))
BRINGS = Plan(State.PLACEHOLDER, (Step.PUT_ORIGINAL,))
THAWS = Plan(State.PLACEHOLDER, (Step.THAW,))
COPIES = Plan(State.INITIAL, (Step.COPY,))


@pytest.mark.parametrize("outcome", Outcome)
def test_what_takes_content_away_needs_every_member(outcome: Outcome) -> None:
    reached = outcome in (Outcome.DONE, Outcome.WOULD, Outcome.ALREADY)
    for command in (Command.REPLACE, Command.THIN):
        assert hindered(command, TAKES, outcome) is not reached


def test_what_takes_nothing_away_is_done_for_whom_it_can_be() -> None:
    for outcome in (Outcome.REFUSED, Outcome.FAILED):
        assert not hindered(Command.S3COPY, COPIES, outcome)
        assert not hindered(Command.RESTORE, BRINGS, outcome)
    assert hindered(Command.RESTORE, BRINGS, Outcome.WAITING)
    assert not hindered(Command.RESTORE, THAWS, Outcome.WAITING)
    for outcome in (Outcome.SKIPPED, Outcome.DRIFTED, Outcome.INTERRUPTED):
        assert hindered(Command.S3COPY, COPIES, outcome)
        assert hindered(Command.RESTORE, THAWS, outcome)
    for command, outcome in itertools.product((Command.REPAIR, Command.VERIFY), Outcome):
        assert not hindered(command, TAKES, outcome)


def test_a_member_that_is_kept_back_says_which_and_why() -> None:
    kept = Plan(State.ARCHIVED, (), Outcome.SKIPPED, "kept: tagged keep")
    members = [(Facts(Entry("0_a")), TAKES), (Facts(Entry("0_b")), kept), (Facts(Entry("0_p")), TAKES)]
    first, second, parent = together(Command.REPLACE, members)
    assert first == parent
    assert (parent.steps, parent.outcome) == ((), Outcome.SKIPPED)
    assert parent.reason.endswith("0_b: skipped: kept: tagged keep")
    assert second is kept


def test_every_state_has_a_rank_and_the_worst_one_tells() -> None:
    assert set(_WORST_FIRST) == set(State)

    def judged(state: State, *, sound: bool = True) -> Judgement:
        return Judgement(Identity.SAME, "", state, "why", "hint", sound)

    own = judged(State.PLACEHOLDER)
    assert judgement_of_group(own, []) is own
    assert judgement_of_group(own, [("0_a", judged(State.PLACEHOLDER))]) is own
    streams = [("0_a", judged(State.ARCHIVED)), ("0_b", judged(State.LOST)), ("0_c", judged(State.INITIAL))]
    whole = judgement_of_group(own, streams)
    assert (whole.state, whole.healthy) == (State.LOST, False)
    assert "0_b is lost" in whole.why
    damaged = judgement_of_group(own, [*streams, ("0_d", judged(State.ARCHIVED, sound=False))])
    assert "0_d" in damaged.why
    assert not damaged.healthy
