"""A recording with its further streams in hand: they go together, the streams one by one and then their parent."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from kaltura_archiver.errors import Gone, Refused, Waiting
from kaltura_archiver.groups import (
    half_replaced,
    held_back,
    hindered,
    is_away,
    still_found,
    together,
    without_placeholder,
)
from kaltura_archiver.model import Facts, Outcome, same_id
from kaltura_archiver.steps import Command, Plan

if TYPE_CHECKING:
    from kaltura_archiver.apply.runner import Runner
    from kaltura_archiver.kaltura import Kaltura
    from kaltura_archiver.results import Result

# What an entry's id is made of: no other key of the bucket, or name of a token, is asked about.
_ID = re.compile(r"\d_\w+")


class Group:
    """What a runner has in hand: an entry, mostly alone. Of a recording its further streams are done before it.

    `results` are theirs, and `parent` is its id once it is known that it has any.
    """

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self.parent = ""
        self.results: list[Result] = []
        self._streams: tuple[str, ...] = ()
        self._held: dict[str, Plan] = {}  # by what was known before the first change

    def plan(self, entry_id: str) -> tuple[Facts, Plan]:
        """The facts about an entry as they are now, and what is to be done about it.

        Where it has further streams they have been done by then. Raises Gone, Refused, Waiting.
        """
        facts, streams = self._runner.look(entry_id)
        entry = facts.entry
        if self.parent and entry.id != self.parent:
            return self._plan_of_stream(facts, streams)
        # Which of two videos stays is decided for one entry.
        if not self.parent and (not streams or self._runner.command is Command.RESOLVE):
            alone = may_go_alone(self._runner.kaltura, self._runner.command, facts)
            return facts, self._runner.within_limits((facts, self._runner.plan(facts, in_group=alone)))[0]
        if not self.parent:
            self._begin(facts, streams)
            facts, streams = self._runner.look(entry_id)  # it took its time
        if set(streams) != set(self._streams):
            raise Waiting(f"the further streams of {entry.id} changed meanwhile: run the command again")
        plan = self._held.get(entry.id) or self._after_streams(facts)
        gone = [result.entry_id for result in self.results if result.outcome in (Outcome.DONE, Outcome.ALREADY)]
        stays = not plan.steps and plan.outcome is not Outcome.ALREADY
        if self._runner.command is Command.REPLACE and gone and stays:
            plan = half_replaced(facts, plan, gone)
        return facts, plan

    def _plan_of_stream(self, facts: Facts, streams: tuple[str, ...]) -> tuple[Facts, Plan]:
        require_stream(facts, streams, self.parent)
        if held := self._held.get(facts.entry.id):
            return facts, held
        return facts, self._after_streams(facts)

    def _begin(self, facts: Facts, streams: tuple[str, ...]) -> None:
        """Look at all of them, then do the streams. Nothing is begun where a member says that nothing may be."""
        self.parent, self._streams = facts.entry.id, streams
        members = [*look_at_streams(self._runner.look, facts, streams), facts]
        plans = [self._runner.plan(member, in_group=True) for member in members]
        final = together(self._runner.command, list(zip(members, plans, strict=True)))
        kept = self._runner.options.keep.why(facts, self._runner.options.now)
        if self._runner.command is Command.REPAIR and kept:
            final = [without_placeholder(plan, kept) for plan in final]
        final = self._within_limits(members, final)
        self._held = {
            member.entry.id: plan for member, plan, made in zip(members, final, plans, strict=True) if plan is not made
        }
        for entry_id in streams:
            self.results.append(self._runner.process_member(entry_id, self))

    def _within_limits(self, members: list[Facts], plans: list[Plan]) -> list[Plan]:
        """The plans, counted: what a run may not begin any more it may not begin in part, where one waits for all."""

        def as_one(plan: Plan) -> bool:
            return hindered(self._runner.command, plan, Outcome.WAITING)

        planned = list(zip(members, plans, strict=True))
        each = [plan if as_one(plan) else self._runner.within_limits((facts, plan))[0] for facts, plan in planned]
        final = together(self._runner.command, list(zip(members, each, strict=True)))
        those = [(facts, plan) for facts, plan in zip(members, final, strict=True) if as_one(plan)]
        allowed = iter(self._runner.within_limits(*those))
        return [next(allowed) if as_one(plan) else plan for plan in final]

    def _after_streams(self, facts: Facts) -> Plan:
        """The plan of a member, if what became of those before it lets it be carried out."""
        plan = self._runner.within_limits((facts, self._agreed(facts)))[0]
        for result in self.results:
            if hindered(self._runner.command, plan, result.outcome):
                return held_back(plan, result.entry_id, result.outcome, result.detail)
        if facts.entry.id != self.parent or self._runner.command not in (Command.RESTORE, Command.REPAIR):
            return plan
        away = any(is_away(result.state, result.steps, result.outcome) for result in self.results)
        return still_found(plan) if away else plan

    def _agreed(self, facts: Facts) -> Plan:
        """The plan of a member, as those that are yet to go let it be carried out: what began with all of them may
        have taken hours, in which the recording was played, or is kept since."""
        # A recording of which streams are back is not left without its parent.
        begun = self._runner.command is Command.RESTORE and any(r.outcome is Outcome.DONE for r in self.results)
        own = self._runner.plan(facts, in_group=True, begun=begun)
        if not self.results or not own.steps or self._runner.command not in (Command.REPLACE, Command.THIN):
            return own
        over = {facts.entry.id, *(result.entry_id for result in self.results)}
        left = [self._runner.look(i)[0] for i in (*self._streams, self.parent) if i not in over]
        members = [(facts, own), *((member, self._runner.plan(member, in_group=True)) for member in left)]
        return together(self._runner.command, members)[0]


class WithStreams:
    """Ids of entries, and of their further streams: which parent an entry has is asked when it is looked for."""

    def __init__(self, kaltura: Kaltura, entry_ids: Iterable[str]) -> None:
        self._kaltura = kaltura
        self._ids = frozenset(entry_ids)
        self._known: dict[str, bool] = {}

    def __contains__(self, entry_id: object) -> bool:
        if not isinstance(entry_id, str) or not _ID.fullmatch(entry_id) or entry_id in self._ids:
            return entry_id in self._ids
        if entry_id not in self._known:
            entry = self._kaltura.entry(entry_id)
            self._known[entry_id] = entry is not None and entry.parent_of_stream in self._ids
        return self._known[entry_id]


def look_at_streams(
    look: Callable[[str], tuple[Facts, tuple[str, ...]]], parent: Facts, streams: Iterable[str]
) -> list[Facts]:
    """The facts about the further streams of an entry. Raises Refused for what is not understood as such a group."""
    entry, found = parent.entry, []
    if entry.parent_of_stream and streams:
        raise Refused(f"it has further streams, and is a further stream of {entry.parent_of_stream} itself")
    for entry_id in streams:
        try:
            facts, more = look(entry_id)
        except Gone as error:
            raise Refused(f"it has a further stream that cannot be looked at: {error}") from error
        require_stream(facts, more, entry.id)
        found.append(facts)
    return found


def require_stream(facts: Facts, more: tuple[str, ...], parent: str) -> None:
    """Raise Refused unless this is a further stream of that entry, and has none itself."""
    entry = facts.entry
    if same_id(entry.parent_of_stream) != same_id(parent):
        raise Refused(f"Kaltura says that {entry.id} is a further stream of {parent}, and then that it is not")
    if more:
        raise Refused(f"{entry.id}, a further stream of {parent}, has further streams itself: {more[0]} for one")


def may_go_alone(kaltura: Kaltura, command: Command, facts: Facts) -> bool:
    """Whether a further stream may be acted on without its parent, since there is none any more: nothing is taken away
    from it then; or since a person has said which of its videos stays."""
    parent = facts.entry.parent_of_stream
    brings = command in (Command.S3COPY, Command.RESTORE, Command.REPAIR)
    return bool(parent) and (command is Command.RESOLVE or (brings and kaltura.entry(parent) is None))
