"""Brings entries to where a command wants them: looks, plans, and does the steps; the gate of a dry run is here."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Container, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING

from kaltura_archiver.apply.group import Group, WithStreams
from kaltura_archiver.apply.guards import proof_of_whole
from kaltura_archiver.apply.looks import look_at, placeholder_comes
from kaltura_archiver.apply.reading import with_metadata, with_relatives
from kaltura_archiver.apply.room import Conversions, Room
from kaltura_archiver.apply.steps import STEPS
from kaltura_archiver.apply.thin import check_kept, untag
from kaltura_archiver.apply.tools import InHand, Tools, line
from kaltura_archiver.apply.upload import end_conversion
from kaltura_archiver.apply.verify import own_verdict
from kaltura_archiver.errors import ArchiverError, Gone, Refused, ServiceError, Stopped, Waiting
from kaltura_archiver.kaltura import Kaltura
from kaltura_archiver.kaltura.changes import TOKEN_PREFIX
from kaltura_archiver.model import REPLACED_TAG, THIN_TAG, Facts, Outcome
from kaltura_archiver.placeholders import Placeholders
from kaltura_archiver.plans import plan_for
from kaltura_archiver.results import Allow, Result, Review, Traffic
from kaltura_archiver.settling import late_flavors, settles_in
from kaltura_archiver.steps import Command, Options, Plan, Step
from kaltura_archiver.store import Store

if TYPE_CHECKING:
    from kaltura_archiver.results import Runs


log = logging.getLogger(__name__)
# How often a finished wait may turn out to need another plan (a replacement found in progress, then settled).
MAX_PLANS = 4
# With the run that made it since version 1.3.
_TOKEN_NAME = re.compile(rf"{TOKEN_PREFIX}(?:(?P<run>[0-9a-f]{{8}})-)?(?P<entry>\w+)(?:\.\w+)?$")


class Runner:
    """Brings entries to where a command wants them; safe to be called for many entries at a time."""

    def __init__(
        self,
        kaltura: Kaltura,
        store: Store,
        command: Command,
        options: Options,
        *,
        placeholders: Placeholders,
        poll_seconds: float,
        settle_seconds: float,
        stop: threading.Event,
        review: Review | None = None,
        limits: Allow | None = None,
        room: Room | None = None,
        transfers: AbstractContextManager[object] | None = None,
        run: str = "",
    ) -> None:
        """`run` is the id in the names of what it makes. `transfers` is entered for the time of each transfer;
        `room` is for who calls `process_entry` instead of `run`.
        """
        self.kaltura, self.store, self.placeholders, self.options = kaltura, store, placeholders, options
        self.command = command
        self._review, self._limits = review, limits
        self._tools = Tools(
            kaltura, store, placeholders, command, options, poll_seconds, settle_seconds, stop,
            token_prefix=f"{TOKEN_PREFIX}{run}-" if run else TOKEN_PREFIX,
            by_category=options.by_category(command),
            by_metadata=options.by_metadata(command),
            room=room or Room(1, options.max_converting, stop),
            transfers=transfers or nullcontext(),
            conversions=Conversions(kaltura.progress, poll_seconds, stop),
        )  # fmt: skip

    def run(self, entry_ids: Iterable[str], workers: int) -> Generator[Result, None, None]:
        """Results as they come; after `stop` is set no further entry is begun.

        At most `workers` entries are worked on, and beside them at most `max_converting` wait for a conversion, and as
        many for its end to settle.
        """
        waiting = iter(entry_ids)
        self._tools.room = Room(workers, self.options.max_converting, self._tools.stop)
        news: SimpleQueue[Future[Result] | None] = SimpleQueue()  # a result, or that a place has become free
        self._tools.room.on_freed(partial(news.put, None))
        with ThreadPoolExecutor(2 * (workers + self.options.max_converting), thread_name_prefix="entry") as pool:
            running = 0
            try:
                entry_id = next(waiting, None)
                while True:
                    while entry_id is not None and not self._tools.stop.is_set() and self._tools.room.begin():
                        pool.submit(self._in_its_place, entry_id).add_done_callback(news.put)
                        running += 1
                        entry_id = next(waiting, None)
                    if not running:
                        return
                    if future := news.get():
                        running -= 1
                        yield from future.result().each
            except BaseException:
                self._tools.stop.set()
                raise

    def _in_its_place(self, entry_id: str) -> Result:
        try:
            return self.process_entry(entry_id)
        finally:
            self._tools.room.end()

    def remove_leftovers(self, entry_ids: Iterable[str], known: Callable[[], Runs]) -> None:
        """Remove what runs that are over have left of these entries: multipart uploads, upload tokens never used.

        `known` looks which runs those are. What may be another run's is told, and left. Anything that fails here is
        told and does no harm.
        """
        ids = WithStreams(self.kaltura, entry_ids)
        try:
            runs = known()
            if self.command in (Command.S3COPY, Command.RESTORE, Command.RESOLVE):  # restore may keep a displaced copy
                uploads, left = self.store.abort_stale_uploads(ids, datetime.fromtimestamp(max(runs.began, 0), UTC))
                if uploads:
                    log.info("removed %d multipart uploads that an interrupted run had left", uploads)
                if left:
                    log.info("%d multipart uploads stay: they may be those of a run that is alive", left)
            if self.command in (Command.REPLACE, Command.RESTORE, Command.REPAIR, Command.RESOLVE):
                self._remove_tokens(ids, runs)
        except ServiceError as error:
            log.warning("could not look for what interrupted runs have left: %s", error)

    def _remove_tokens(self, ids: Container[str], runs: Runs) -> None:
        for token_id, name in self.kaltura.unused_tokens():
            made = _TOKEN_NAME.match(name)
            if not made or made["entry"] not in ids:
                continue
            if made["run"] in runs.over:
                self.kaltura.delete_token(token_id)
                log.info("removed the upload token %s that an interrupted run had left", token_id)
            else:
                log.info("upload token %s stays: nothing tells that run %s is over", token_id, made["run"] or "unknown")

    def process_entry(self, entry_id: str) -> Result:
        """Do the command's work on one entry, and before on its further streams, which are `members` of the result.

        Never raises for what is wrong with one entry.
        """
        group = Group(self)
        result = self.process_member(entry_id, group)
        return replace(result, members=tuple(group.results))

    def process_member(self, entry_id: str, group: Group) -> Result:
        """As `process_entry`, of one of a group's members; that of the parent has the others done first."""
        work: InHand | None = None
        state, cause = "", None
        outcome, detail, settled = Outcome.FAILED, "", False
        try:
            for _ in range(MAX_PLANS):
                facts, plan = self._settled(group, entry_id)
                entry_id = facts.entry.id
                state, cause = state or plan.state, plan.cause
                moved = work.bytes_moved if work else 0
                work = InHand(facts, plan.steps, bytes_moved=moved)
                try:
                    outcome, detail = self._carry_out(plan, work)
                finally:
                    end_conversion(self._tools, work)
                again = Step.SETTLE in plan.steps
                # What a clone is restored from it has only now.
                again = again or (Step.COPY_SOURCE in plan.steps and self.command is Command.RESTORE)
                # What was uploaded over a placeholder, or over what was thin: a tag is left to be removed.
                again = again or (Step.MAKE_CURRENT in plan.steps and (facts.entry.replaced or facts.entry.thin))
                if not again or outcome is not Outcome.DONE:
                    break
                settled = True
            if settled and outcome is Outcome.ALREADY:
                outcome = Outcome.DONE
        except ArchiverError as error:
            outcome, detail = error.outcome, str(error)
            if isinstance(error, Gone) and self._review:
                outcome = Outcome.DRIFTED
            elif isinstance(error, Stopped):
                detail = "interrupted; run the command again to go on"
            elif isinstance(error, Refused):
                cause = error.cause
        except Exception as error:
            # One entry's surprise must not end the run for the others.
            log.debug("unexpected", exc_info=True)
            outcome, detail = Outcome.FAILED, f"unexpected {type(error).__name__}: {error}"
        if work is not None and not self.options.dry_run:
            self._clean_up(work)
        level = logging.ERROR if outcome is Outcome.FAILED else logging.INFO
        text = detail if outcome is Outcome.WOULD else f"{outcome}: {detail}"
        line(self._tools, level, "entry", work.facts.entry if work else entry_id, text, outcome=outcome.value)
        member_of = group.parent if group.parent != entry_id else ""
        if work is None:
            return Result(entry_id, state, outcome, detail, ended_at=time.time(), member_of=member_of)
        return Result(
            entry_id, state, outcome, detail, work.bytes_moved, work.bytes_freed, work.facts, work.steps, time.time(),
            cause, member_of,
        )  # fmt: skip

    def drifted(self, entry_id: str, state: str, why: str, facts: Facts | None = None) -> Result:
        """Tell of an entry that is not begun, since it is not what the plan was made for."""
        told = facts.entry if facts else entry_id
        line(self._tools, logging.WARNING, "entry", told, f"drifted: {why}", outcome=Outcome.DRIFTED.value)
        return Result(entry_id, state, Outcome.DRIFTED, why, facts=facts, ended_at=time.time())

    def traffic(self) -> Traffic:
        """What was asked of the services so far."""
        kaltura, store = self.kaltura.pace, self.store.pace
        return Traffic(kaltura.calls, store.calls, kaltura.retries + store.retries)

    @property
    def converting(self) -> int:
        """How many entries Kaltura is converting for this run."""
        return self._tools.room.converting

    def look(self, entry_id: str) -> tuple[Facts, tuple[str, ...]]:
        """What a plan rests on, and the ids of the entry's further streams; Gone if there is no such entry."""
        categories = self._tools.by_category or self.placeholders.by_category
        facts, streams = look_at(self._tools, entry_id, children=True, categories=categories)
        if self._tools.by_metadata:
            facts = with_metadata(self.kaltura, facts)
        return with_relatives(self.kaltura, facts) if self.command is Command.THIN else facts, streams

    def plan(self, facts: Facts, *, in_group: bool, begun: bool = False) -> Plan:
        """What is to be done about an entry, by itself; `begun`, whether it is still asked for or not."""
        options = replace(self.options, asked=None) if begun else self.options
        plan = plan_for(self.command, facts, options, in_group=in_group)
        return self._review(facts, plan) if self._review else plan

    def within_limits(self, *members: tuple[Facts, Plan]) -> Sequence[Plan]:
        """The plans, counted, of what is begun all or none; or without steps, where this run may not any more."""
        return self._limits(members) if self._limits else [plan for _, plan in members]

    def _settled(self, group: Group, entry_id: str) -> tuple[Facts, Plan]:
        """What is planned for the entry, when its last replacement cannot undo another one.

        Raises Waiting where that would take too long for a run.
        """
        settle_seconds, waited = self._tools.settle_seconds, False
        until = time.monotonic() + 2 * settle_seconds
        while True:
            facts, plan = group.plan(entry_id)
            entry_id = facts.entry.id  # the true one, however it was spelled
            if self.options.dry_run or not any(step.destroys for step in plan.steps):
                return facts, plan
            late = late_flavors(facts, self.kaltura.now())
            # Once: whose clock is behind Kaltura's sees it never pass.
            left = 0.0 if waited else settles_in(facts, self.kaltura.now(), settle_seconds)
            if left <= 0 and not late:
                return facts, plan
            if late:
                left = max(left, min(self._tools.poll_seconds, settle_seconds))
            if left > settle_seconds or (late and time.monotonic() + left > until):
                told = ", ".join(flavor.id for flavor in late)
                still = f"it is still making {told}" if told else "its original will be set once more"
                raise Waiting(
                    f"Kaltura has not ended the last replacement of {facts.entry.id} yet, which would undo this one: "
                    f"{still}; run the command again later"
                )
            with self._tools.room.waiting():
                waited = True
                if self._tools.stop.wait(left):
                    raise Stopped("asked to stop")

    def _carry_out(self, plan: Plan, work: InHand) -> tuple[Outcome, str]:
        if not plan.steps:
            return plan.outcome, plan.reason
        if self.options.dry_run:  # the gate: nowhere else does this decide about steps
            return Outcome.WOULD, self._foretold(plan, work)
        for step in plan.steps:
            if self._tools.stop.is_set():
                raise Stopped("asked to stop")
            line(self._tools, logging.DEBUG, "step", work.facts.entry, step.value)
            STEPS[step](self._tools, work)
        if plan.outcome is not Outcome.DONE:
            return plan.outcome, plan.reason
        return Outcome.WAITING if Step.THAW in plan.steps else Outcome.DONE, "; ".join(work.notes)

    def _foretold(self, plan: Plan, work: InHand) -> str:
        """What would be done. A copy that would be read back is read, and the flavor that would play on is looked at:
        that changes nothing, and nothing else tells what would become of it. Raises what these looks themselves raise.
        """
        if Step.CHECK_KEPT in plan.steps:
            check_kept(self._tools, work)
        if Step.READ_BACK not in plan.steps:
            return plan.describe()
        found, verdict = own_verdict(self._tools, work)
        hint = "; --no-dry-run marks it, so that nothing rests on it"
        return f"would record that it is whole: {proof_of_whole(found, verdict, hint=hint)}"

    def _clean_up(self, work: InHand) -> None:
        """Remove what an entry that did not get through has left: its upload token, and a tag set too early."""
        with suppress(ArchiverError):
            if work.token and not work.token_used:
                self.kaltura.delete_token(work.token)
        if THIN_TAG in work.own_tags and not work.past_point_of_no_return and Step.DELETE_ORIGINAL in work.steps:
            try:
                untag(self._tools, work)
            except ArchiverError as error:
                log.warning("entry %s keeps the tag %s for now: %s", work.id, THIN_TAG, error)
        begun = work.token or self.command is Command.RESOLVE  # which tags before it sends anything
        if begun and REPLACED_TAG in work.own_tags and not work.past_point_of_no_return:
            try:
                if not placeholder_comes(self._tools, work.id):
                    self.kaltura.change_tags(work.id, remove=REPLACED_TAG)
            except ArchiverError as error:
                log.warning("entry %s keeps the tag %s for now: %s", work.id, REPLACED_TAG, error)
