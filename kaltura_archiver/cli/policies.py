"""A run by a policy, as it is told: what each rule would do, and what it does."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from kaltura_archiver import exits
from kaltura_archiver.cli.acting import limits_of
from kaltura_archiver.cli.app import App, Ended
from kaltura_archiver.cli.desk import Desk, rule_of_desk
from kaltura_archiver.cli.desk_looks import check_desk
from kaltura_archiver.cli.policy_letters import tell_owners
from kaltura_archiver.cli.policy_lists import Lists
from kaltura_archiver.cli.query import exits_of_named
from kaltura_archiver.cli.streams import PatientStdout
from kaltura_archiver.cli.telling import StageTelling, acting_line, results_as
from kaltura_archiver.errors import ArchiverError, Exit, Stopped
from kaltura_archiver.model import same_id, so_many
from kaltura_archiver.output.logs import mark_lines
from kaltura_archiver.output.progress import progress
from kaltura_archiver.output.rows import CHECK_COLUMNS, POLICY_COLUMNS, POLICY_ON_SCREEN
from kaltura_archiver.output.screen import SCREEN, RowWriter, rows_as
from kaltura_archiver.output.summary import counted_outcomes
from kaltura_archiver.output.tables import Cell
from kaltura_archiver.policy import Policy, Rule, Stage, StageRule
from kaltura_archiver.results import log_fields
from kaltura_archiver.run.errand import Errand
from kaltura_archiver.run.policy import (
    Claimed,
    RuleTally,
    check_policy,
    review_of,
    selects_all,
    selects_none,
    standings,
)
from kaltura_archiver.run.run import Asked, carry_out
from kaltura_archiver.standing import Standing, day_of
from kaltura_archiver.steps import Command

if TYPE_CHECKING:
    from kaltura_archiver.kaltura import Kaltura
    from kaltura_archiver.model import Facts
    from kaltura_archiver.placeholders import Placeholders
    from kaltura_archiver.run.notices import Correspondence
    from kaltura_archiver.store import Store

log = logging.getLogger(__name__)


@dataclass
class PolicyRun:
    """What a run by a policy was asked for, and with what it looks. `now` is unix seconds: that of --on, or today's."""

    app: App
    policy: Policy
    now: float
    style: str
    workers: int
    only: Sequence[str] = ()
    checked: bool = True  # what the rules name: not where nothing is done by them
    codes: set[Exit] = field(default_factory=set)
    tallies: list[RuleTally] = field(default_factory=list)
    number: str = ""

    def __post_init__(self) -> None:
        from kaltura_archiver.placeholders import Placeholders

        self.placeholders: Placeholders = Placeholders.read(self.app.settings).known()
        self.kaltura: Kaltura = self.app.kaltura()
        self.store: Store = self.app.store(check=False)
        if self.checked:
            check_policy(self.kaltura, self.policy)

    @property
    def serves_desk(self) -> bool:
        """Whether anything is brought back: not where certain rules only were asked for."""
        return self.policy.desk is not None and not self.only

    @property
    def rules(self) -> Iterator[Rule]:
        """Those that were asked for, each when the one before it is done with."""
        yield from (rule for rule in self.policy.rules if not self.only or rule.name in self.only)

    def survey(
        self, rule: Rule, *, acting: bool = False, dry_run: bool = True,
        see: Callable[[Facts, Standing], None] = lambda facts, at: None,
    ) -> tuple[RuleTally, Claimed]:  # fmt: skip
        """Look at all entries of a rule, and add up where they stand; `see` is told of each."""
        selection = Claimed(self.kaltura, self.store, self.policy, rule)
        tally = RuleTally(rule, self.now, acting, dry_run)
        found = standings(
            self.kaltura, self.store, selection, rule, now=self.now, placeholders=self.placeholders,
            workers=2 * self.workers,
        )  # fmt: skip
        with found as each, progress(rule.name, each, lambda: selection.expected) as counted:
            for facts, at in counted:
                if self.app.stop.is_set():
                    raise Stopped(f"asked to stop while {rule.name!r} was looked at; run it again")
                tally.add(facts, at)
                see(facts, at)
        self.tallies.append(tally)
        if told := selects_all(self.kaltura, rule, tally.selected):
            log.warning("%s", told)
        for unknown in selects_none(selection, rule) if not tally.selected else ():
            log.warning("%s", unknown)
        self.codes |= exits_of_named(selection)
        return tally, selection

    def look(self, entry_id: str) -> Facts:
        """The facts about one entry. Raises Gone if there is none."""
        from kaltura_archiver.apply.looks import facts_of_entry
        from kaltura_archiver.apply.reading import with_metadata
        from kaltura_archiver.apply.tools import Sources

        facts = facts_of_entry(Sources(self.kaltura, self.store, self.placeholders), entry_id)
        asked = any(rule.keep.metadata for rule in self.policy.rules)
        return with_metadata(self.kaltura, facts) if asked else facts

    def carry_out(self, asked: Asked, teller: StageTelling) -> None:
        """One of the runs of commands that a run by a policy is made of; the next one follows though entries failed."""
        try:
            carry_out(self.app, replace(asked, part_of=self.number), teller)
        except Ended as end:
            self.codes.add(end.untolerated)
            if end.untolerated in (Exit.LOCKED, Exit.INTERRUPTED, Exit.TERMINATED):
                raise


def check(run: PolicyRun, part: str = "all", accepted_drift: Sequence[str] = ()) -> NoReturn:
    """A row for each stage of each rule: what is there, what is due, what waits and until when.

    Of a rule that a run would not carry out nothing counts as due in the last line.
    """
    from kaltura_archiver.run.rule_history import drifted, last_selected

    due = 0
    try:
        _correspondence(Acting(run, dry_run=True, part=part), run.store)
    except ArchiverError as error:
        log.warning("a run would end at once: %s", error)
    with run.app.stoppable(), rows_as(run.style, CHECK_COLUMNS, note="detail") as rows:
        for row in check_desk(run) if part != "rules" and run.serves_desk else ():
            due += int(row.get("due") or 0)
            rows.write(row)
        watched = [rule.name for rule in run.rules if rule.drift is not None and rule.name not in accepted_drift]
        before = last_selected(run.store, watched) if watched and part != "restore" else {}
        for rule in run.rules if part != "restore" else ():
            tally, selection = run.survey(rule)
            for row in _check_rows(tally):
                rows.write(row)
            if why := drifted(rule, tally.selected, before.get(rule.name)):
                log.warning("rule %r would not be carried out: %s", rule.name, why)
            else:
                due += sum(stage.due for stage in tally.stages.values())
            for name, number in selection.overlaps.items():
                if number:
                    log.info("%s: the rule %r, which comes first, takes %s of it", rule.name, name, so_many(number))
    rules, is_due = so_many(len(run.policy.rules), "rule", "rules"), f"{so_many(due)} {'is' if due == 1 else 'are'} due"
    log.info("policy of %s: %s; nothing was changed", rules, is_due)
    run.app.exit(*run.codes)


def _check_rows(tally: RuleTally) -> Iterator[dict[str, Cell]]:
    """First what the rule selects and is in no stage yet; then its stages."""
    name = tally.rule.name
    yield {"rule": name, "stage": None, "here": tally.here[None], "detail": f"{tally.selected} selected"}
    for stage, told in tally.stages.items():
        notice = told.notice if tally.rule.announces(stage) else ""
        yield {
            "rule": name,
            "stage": stage.value,
            "here": tally.here[stage],
            "due": told.due,
            "bytes_moved": told.bytes_moved,
            "bytes_freed": told.bytes_freed,
            "waits": told.waits,
            "opens_date": day_of(told.opens_at) or None,
            "left": told.left.total(),
            "detail": "; ".join(filter(None, (counted_outcomes(told.left), notice))) or None,
        }


@dataclass
class Acting:
    """How a policy is carried out: `dry_run` only tells. `notices` is the folder of the record of messages."""

    run: PolicyRun
    dry_run: bool
    no_lock: bool = False
    no_run_log: bool = False
    accepted_drift: Sequence[str] = ()
    lists: Path = Path("lists")
    notices: Path = Path("notices")
    part: str = "all"
    desk: Desk | None = None


# Rules may take days, the first time: what viewers ask for does not wait for them.
_LOCKS = {"all": ("run", "desk"), "rules": ("run",), "restore": ("desk",)}


def act(acting: Acting) -> NoReturn:
    """Rule by rule: look at its entries, then stage by stage do what is due. A row for each entry that is acted on."""
    from kaltura_archiver.run.lock import RunLock, lock_key
    from kaltura_archiver.run.rule_history import last_selected, record

    run = acting.run
    app, screen = run.app, run.style == SCREEN
    number = run.number = mark_lines()
    stdout = PatientStdout()
    store = run.store if acting.dry_run else app.store(read_only=False)
    letters = _correspondence(acting, store)  # what is wrong with its settings is told before anything is done
    with ExitStack() as stack:
        stack.enter_context(app.stoppable())
        if letters:
            stack.enter_context(letters)
        held = [
            RunLock(store, lock_key(name), run=number, stop=app.stop, beside=acting.no_lock)
            for name in (_LOCKS[acting.part] if not acting.dry_run else ())
        ]
        for lock in held:
            stack.enter_context(lock)
        before = last_selected(store, [rule.name for rule in run.rules])
        columns = POLICY_ON_SCREEN if screen else POLICY_COLUMNS
        rows = stack.enter_context(results_as(run.style, columns, stdout))
        if acting.part != "rules" and run.policy.desk and run.serves_desk:
            acting.desk = Desk(run, run.policy.desk, acting.dry_run, acting.no_lock, acting.no_run_log, rows, number)
            acting.desk.serve()
            if letters and not app.stop.is_set():
                acting.desk.tell_people(letters)
        elif acting.part == "restore":
            log.warning("nothing is brought back: %s", "--rule says by what" if run.only else "there is no [restore]")
        for rule in run.rules if acting.part != "restore" else ():
            if app.stop.is_set():
                break
            _act_by(acting, rule, before.get(rule.name), letters, rows, store, number)
        lost = [lock for lock in held if lock.lost]
        run.codes |= {Exit.LOCKED if lock.overtaken else Exit.FAILED for lock in lost}
        if not acting.dry_run and run.tallies:
            record(store, number, time.time(), run.policy.text_sha256, run.tallies)
    _sum_up(acting)
    app.exit(*run.codes, *([Exit.FAILED] if stdout.failure else []), tolerant=not lost)


def _correspondence(acting: Acting, store: Store) -> Correspondence | None:
    """What writes to owners; None where no rule of this run asks for that."""
    run, app = acting.run, acting.run.app
    rules = [rule for rule in run.rules if rule.notice is not None]
    if acting.part == "restore":
        rules = []
    if acting.part != "rules" and run.serves_desk and (desk := rule_of_desk(run.policy)):
        rules.append(desk)
    if not rules:
        return None
    from kaltura_archiver.run.notices import Correspondence

    kaltura = run.kaltura if acting.dry_run else app.kaltura(read_only=False)
    by_play = run.policy.desk is not None and "play" in run.policy.desk.sources
    return Correspondence(app.settings, rules, acting.notices, kaltura, store, app.stop, acting.dry_run, by_play)


def _act_by(
    acting: Acting, rule: Rule, before: int | None, letters: Correspondence | None, rows: RowWriter, store: Store,
    number: str,
) -> None:  # fmt: skip
    from kaltura_archiver.run.rule_history import drifted

    run = acting.run
    lists = Lists(
        run.app, rule, rows, acting.lists, run.now, acting.dry_run, lambda entry_id: not _not_served(acting, [entry_id])
    )
    with lists.writing(run.kaltura, run.placeholders) as writing:
        tally, claimed = run.survey(rule, acting=True, dry_run=acting.dry_run, see=writing.see)
        why = "" if rule.name in acting.accepted_drift else drifted(rule, tally.selected, before)
        lists.dropped = bool(why)
    run.codes |= lists.codes
    if why:
        log.error("rule %r is not carried out: %s", rule.name, why)
        run.codes.add(Exit.LIMIT)
        run.tallies.remove(tally)  # what it found is not what the next run is compared with
        return
    lists.write_due(run.kaltura, store, number, run.policy.text_sha256)
    for stage, told in tally.stages.items():
        if exits.of_outcomes(told.left) - {Exit.OK}:
            log.warning("%s, %s: %s", rule.name, stage, counted_outcomes(told.left))
        run.codes |= exits.of_outcomes(told.left)
    if (cut := _not_served(acting, tally.to_repair)) and not run.app.stop.is_set() and _in_hours(run, rule, "repair"):
        last = next(made for made in reversed(rule.stages) if made.stage.command)
        _carry_out(acting, rule, last, Command.REPAIR, cut, rows, claimed)
    for made in rule.stages:
        command = made.stage.command
        ids = _not_served(acting, tally.stages[made.stage].ids)
        if letters and made.stage in (Stage.THIN, Stage.REPLACE) and tally.to_write and not run.app.stop.is_set():
            to_write, tally.to_write = _not_served(acting, tally.to_write), []
            tell_owners(run, rule, to_write, letters, rows)
        if command is None or not ids or run.app.stop.is_set():
            continue
        if made.review:
            if acting.dry_run and made.stage not in lists.pending:
                log.info("%s, %s: a plan of %d entries would be written for review", rule.name, made.stage, len(ids))
            continue
        if not _in_hours(run, rule, made.stage):
            return
        _carry_out(acting, rule, made, command, ids, rows, claimed)


def _in_hours(run: PolicyRun, rule: Rule, stage: str) -> bool:
    if rule.limits.allow_hour(time.localtime().tm_hour):
        return True
    log.warning("%s, %s: not begun, for it is outside the hours of the rule", rule.name, stage)
    run.codes.add(Exit.LIMIT)
    return False


def _carry_out(
    acting: Acting, rule: Rule, made: StageRule, command: Command, ids: Sequence[str], rows: RowWriter,
    claimed: Claimed,
) -> None:  # fmt: skip
    """One stage of a rule, or the repair of what a run that was killed has left: a run of its command."""
    run = acting.run
    name = made.stage.value if command is made.stage.command else command.value
    options = rule.options(made, run.now, dry_run=acting.dry_run)
    if command is made.stage.command:
        options = replace(options, asked=claimed.query)  # which has the numbers of categories
    asked = Asked(
        command, options, lambda runner: Errand(ids), f"rule {rule.name}, {name}: {rule.query}", None,
        run.workers, acting.no_lock, acting.no_run_log,
        review=review_of(rule, made.stage, run.now, claimed) if command is made.stage.command else None,
        limits=limits_of(
            run.app, command, options, rule.limits.money, rule.limits.bytes, rule.limits.entries,
            ("limits.money", "limits.bytes", "limits.entries"),
        ),
    )  # fmt: skip
    run.carry_out(asked, StageTelling(run.app, command, options, run.style, rows, rule.name, name))


def _not_served(acting: Acting, ids: Sequence[str]) -> Sequence[str]:
    """Those that this run has not just brought back."""
    served = acting.desk.served if acting.desk else {}
    return [entry_id for entry_id in ids if same_id(entry_id) not in served]


def _sum_up(acting: Acting) -> None:
    run = acting.run
    due = sum(stage.due for tally in run.tallies for stage in tally.stages.values())
    back = ""
    if desk := acting.desk:
        back = f"{so_many(len(desk.served))} {'to bring' if acting.dry_run else 'brought'} back, "
        back += f"{len(desk.thawing):,} to thaw first, " if desk.thawing else ""
    fields = log_fields("run", "run", dry_run=acting.dry_run)
    if acting.dry_run:
        to_type = acting_line()
        fields |= {"to_type": to_type}
        log.info("policy: %s%d entries due; nothing was changed; to act: %s", back, due, to_type, extra=fields)
    else:
        log.info("policy: %s%d entries were due by %d rules", back, due, len(run.tallies), extra=fields)
