"""A policy file: its keys are the options of the commands, so that each rule is written as one would type it."""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from functools import cache, partial
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click

from kaltura_archiver.asking.keeping import keep_list
from kaltura_archiver.asking.query import query_of
from kaltura_archiver.asking.words import AGES, age_seconds, as_written
from kaltura_archiver.cli.options import keep_options, options_of, selection_options
from kaltura_archiver.cli.policy_desk import OF_NOTICE, read_desk
from kaltura_archiver.cli.policy_text import InBucket, PolicyText, Table, converted, keys_of, limits_in, said
from kaltura_archiver.cli.query import but_for_no_time
from kaltura_archiver.cli.types import Days
from kaltura_archiver.config import Settings
from kaltura_archiver.envfile import read_text
from kaltura_archiver.errors import InputError
from kaltura_archiver.filters import Query
from kaltura_archiver.keep import Keep
from kaltura_archiver.model import ARCHIVED_TAG, REPLACED_TAG, THIN_TAG
from kaltura_archiver.policy import CLOCKS, Policy, Rule, RuleLimits, Stage, StageClock, StageRule, as_of
from kaltura_archiver.steps import OPTIONS

T = TypeVar("T")
# Of the options that select, those that make no sense in a rule, or are clocks of its stages.
_OF_A_COMMAND = frozenset({
    "ids", "idfile", "first_page", "page_size", "max_entries", "shard", "archived_before", "replaced_before",
    "thinned_before",
})  # fmt: skip
# Of a stage's options, what the clocks say, and what is not of a run by a policy.
_SAID_BY_CLOCKS = frozenset({"min_age_years", "noticed_before_seconds", "approve"})
DRIFT = 0.5
_LIMITS = ("entries", "bytes", "money", "hours")
NOTICE = ("grace", "remind", "co_editors", "fallback", "unit_file", "templates", "directory")
_RULE = ("name", "on", "drift", "select", "keep", "limits", "notice", *Stage)
_TOP = ("rule", "restore", "keep", "limits", "notice")
_DAY = re.compile(r"\d{4}-\d\d-\d\d.*")
# Which clocks a stage may have: those of what lies before it.
BEFORE = {
    "created_before": tuple(Stage), "unplayed_for": tuple(Stage),
    "archived_for": (Stage.THIN, Stage.REPLACE, Stage.DUE), "thinned_for": (Stage.REPLACE, Stage.DUE),
    "replaced_for": (Stage.DUE,),
}  # fmt: skip
_AFTER = {"archived_for": Stage.ARCHIVE, "thinned_for": Stage.THIN, "replaced_for": Stage.REPLACE}


@cache
def selection_keys() -> dict[str, click.Option]:
    """The keys of `select`, each the option of that name."""
    return {
        key: option for key, option in keys_of(selection_options).items()
        if option.name not in (*_OF_A_COMMAND, "tolerate") and option.expose_value
    }  # fmt: skip


@cache
def keep_keys() -> dict[str, click.Option]:
    """The keys of `keep`: tag, category, owner, …"""
    return {key.removeprefix("keep_"): option for key, option in keys_of(keep_options).items()}


@cache
def stage_keys(stage: Stage) -> dict[str, click.Option]:
    """The keys of a stage that are options of its command."""
    if stage.command is None:
        return {}
    return {
        key: option for key, option in keys_of(options_of(stage.command)).items()
        if option.name in OPTIONS[stage.command] and option.name not in _SAID_BY_CLOCKS
    }  # fmt: skip


def read_policy(
    path: str, settings: Settings, now: float, in_bucket: InBucket = lambda name, what: None, *, keeps: bool = True
) -> Policy:  # fmt: skip
    """The policy of a file, here or in the bucket, as of `now` (unix seconds). Raises InputError with the rule, the key
    and the line.

    With `keeps` false nothing is archived or replaced by it, and no keep list is read, which may be wrong: what viewers
    ask for comes back all the same."""
    text = in_bucket(path, "the policy")
    text = read_text(Path(path), f"the policy {path}") if text is None else text
    try:
        told = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path} is no TOML: {error}") from error
    source = PolicyText(path, text)
    source.require_known(told, _TOP, None, "")
    rules = told.get("rule", [])
    desk = read_desk(source, told, now, in_bucket)
    proper = isinstance(rules, list) and all(isinstance(rule, dict) for rule in rules)
    if not proper or not (rules or desk):
        source.fail("no rule is in it: each begins with [[rule]]")
    reader = partial(_RuleReader, source, whole=told, settings=settings, now=now, keeps=keeps)
    made = tuple(reader(number, rule).rule() for number, rule in enumerate(rules))
    names = [rule.name for rule in made]
    for number, name in enumerate(names):
        if name in names[:number]:
            source.fail("another rule has this name: the history of a rule goes by it", number, name, "name")
    _require_heard(source, told, made)
    if keeps:
        _require_found_again(source, made)
    return Policy(made, hashlib.sha256(text.encode()).hexdigest(), desk)


def _require_heard(source: PolicyText, told: Table, rules: tuple[Rule, ...]) -> None:
    """Refuse a `[notice]` that no rule takes up: a person reads it as a promise, and videos would go without a word.

    What it says for the mail of the restore desk is no promise.
    """
    takes_away = any({Stage.THIN, Stage.REPLACE} & {made.stage for made in rule.stages} for rule in rules)
    table = told.get("notice", {})
    if not isinstance(table, dict):
        source.fail(f"{as_written(table)} is no table: write [notice]", None, "", "notice")
    promised = [key for key in table if key not in OF_NOTICE]
    if promised and takes_away and all(rule.notice is None for rule in rules):
        why = "no owner would be told, for no rule has a notice: add notice = {} to each rule that is to tell them"
        source.fail(why, None, "", "notice", promised[0])


def _require_found_again(source: PolicyText, rules: tuple[Rule, ...]) -> None:
    """Refuse a list `due` of what a rule has replaced by its length: Kaltura tells the placeholder's from then on, so
    that this rule does not find it again, and a later one would name it for deletion in its place."""
    for number, rule in enumerate(rules):
        if not any(made.stage is Stage.DUE for made in rule.stages):
            continue
        for earlier in rules[: number + 1]:
            replaces = any(made.stage is Stage.REPLACE for made in earlier.stages)
            if not replaces or earlier.query.longer_than_seconds is None:
                continue
            why = "what is replaced has the placeholder's length, so that {} does not find it again"
            told = f"never comes: {why.format('select')}"
            if earlier is not rule:
                told = f"{why.format(f'the rule {earlier.name!r}')}, and this one does: put that rule behind it"
            source.fail(told, number, rule.name, Stage.DUE)


@dataclass(frozen=True)
class _RuleReader:
    """Reads one rule."""

    source: PolicyText
    number: int
    table: Table
    whole: Table
    settings: Settings
    now: float
    keeps: bool

    @property
    def name(self) -> str:
        name = self.table.get("name")
        return name if isinstance(name, str) else ""

    def fail(self, why: str, *path: str) -> NoReturn:
        self.source.fail(why, self.number, self.name, *path)

    def _said(self, make: Callable[[], T], *path: str) -> T:
        return said(make, self.fail, *path)

    def _converted(self, option: click.Option, value: Any, *path: str) -> Any:
        return converted(option, value, self.fail, *path)

    def rule(self) -> Rule:
        self.source.require_known(self.table, _RULE, self.number, self.name)
        if not re.fullmatch(r"[\w .+()&/-]{1,60}", self.name) or self.name != self.name.strip():
            self.fail("a rule needs a name of up to 60 letters, digits, blanks, . - + & /", "name")
        on = self._days()
        at = as_of(self.now, on)
        query = self._selection(at)
        notice = self._notice()
        stages = tuple(self._stage(stage, at) for stage in Stage if stage in self.table)
        self._require_sense(stages)
        if notice is not None:
            stages = self._told_before(stages, notice)
        return Rule(
            self.name, query, stages, self._keep(), on, self._limits(), self._drift(), notice,
            self.source.line(self.number),
        )  # fmt: skip

    def _subtable(self, name: str, *, shared: bool = False) -> dict[str, Any]:
        """A table of the rule; `shared`: on top of the one for all rules."""
        found: dict[str, Any] = {}
        for where in (self.whole if shared else {}, self.table):
            table = where.get(name, {})
            if not isinstance(table, dict):
                self.fail(f"{as_written(table)} is no table: write [rule.{name}], or {name} = {{ … }}", name)
            found |= table
        return found

    def _age(self, value: Any, at: float, *path: str) -> float:
        """Seconds before `at`."""
        if isinstance(value, bool):
            self.fail(f"{as_written(value)} is not an age: {AGES}", *path)
        return self._said(lambda: age_seconds(str(value)[: 10 if isinstance(value, date) else None], at), *path)

    def _selection(self, at: float) -> Query:
        table = self._subtable("select")
        self.source.require_known(table, list(selection_keys()), self.number, self.name, "select")
        for key, value in table.items():
            self._said(partial(query_of, at, {key: value}), "select", key)
        query = self._said(lambda: replace(query_of(at, table), max_entries=None), "select")
        for key in ("tag", "exclude_tag"):
            if {ARCHIVED_TAG, REPLACED_TAG, THIN_TAG} & {*query.tags, *query.without_tags} and key in table:
                self.fail("the stages themselves look at this tag: leave it out", "select", key)
        if not but_for_no_time(query, self.now).has_criteria:
            self.fail("it selects every video of the account: say at least one criterion", "select")
        return query

    def _keep(self) -> Keep:
        if not self.keeps:
            return Keep()
        table = self._subtable("keep", shared=True)
        keys = keep_keys()
        self.source.require_known(table, list(keys), self.number, self.name, "keep")
        given = {
            str(keys[key].name).removeprefix("keep_"): self._converted(keys[key], value, "keep", key)
            for key, value in table.items()
        }
        return self._said(lambda: keep_list(self.settings, **given), "keep")

    def _stage(self, stage: Stage, at: float) -> StageRule:
        table = self._subtable(stage)
        keys = stage_keys(stage)
        own = ["told_for", "review"] if stage in (Stage.THIN, Stage.REPLACE) else ["review"] if stage.command else []
        clocks = [name for name in CLOCKS if stage in BEFORE[name]]
        never = next((name for name in table if name in CLOCKS and name not in clocks), "")
        if never:
            self.fail(f"this clock never comes here: {never} begins with a later stage", stage, never)
        self.source.require_known(table, [*clocks, *own, *keys], self.number, self.name, stage)
        options = {
            str(option.name): self._converted(option, table[key], stage, key)
            for key, option in keys.items() if key in table
        }  # fmt: skip
        told = table.get("told_for")
        review = table.get("review", False)
        if not isinstance(review, bool):
            self.fail(f"{as_written(review)} is neither true nor false", stage, "review")
        return StageRule(
            stage, tuple(self._clock(stage, name, table[name], at) for name in clocks if name in table), options,
            None if told is None else self._told(stage, told), review,
        )  # fmt: skip

    def _told(self, stage: Stage, value: Any) -> float:
        """How long ago an owner must have been told: of now, for what was promised goes on between the days of `on`."""
        if "notice" in self.table and _DAY.fullmatch(str(value)):
            why = "this clock never comes: who is told from now on was not told by then; say for how long, such as 30d"
            self.fail(why, stage, "told_for")
        return self._age(value, self.now, stage, "told_for")

    def _clock(self, stage: Stage, name: str, value: Any, at: float) -> StageClock:
        seconds = self._age(value, at, stage, name)
        if _DAY.fullmatch(str(value)):
            return StageClock(name, day=at - seconds)
        return StageClock(name, age_seconds=seconds)

    def _require_sense(self, stages: tuple[StageRule, ...]) -> None:
        """Refuse what would never be done."""
        if not stages:
            self.fail(f"it has no stage, so nothing would ever be done: add one of {', '.join(Stage)}", "name")
        there = {made.stage for made in stages}
        for made in stages:
            derived_only = made.options.get("derived_only", False)
            if made.stage in (Stage.THIN, Stage.REPLACE) and Stage.ARCHIVE not in there and not derived_only:
                self.fail("needs a copy in S3 first: add archive before it", made.stage)
            for clock in made.clocks:
                needed = _AFTER.get(clock.name)
                if needed and needed not in there:
                    self.fail(f"this clock never comes: the rule has no stage {needed}", made.stage, clock.name)

    def _told_before(self, stages: tuple[StageRule, ...], notice: Mapping[str, Any]) -> tuple[StageRule, ...]:
        """With what the notice promises as a clock of each stage that takes something away."""
        if not {Stage.THIN, Stage.REPLACE} & {made.stage for made in stages}:
            self.fail("there is nothing to tell of: the rule has neither thin nor replace", "notice")
        return tuple(
            replace(made, told_seconds=notice["grace"])
            if made.stage in (Stage.THIN, Stage.REPLACE) and made.told_seconds is None else made
            for made in stages
        )  # fmt: skip

    def _notice(self) -> dict[str, Any] | None:
        if "notice" not in self.table:
            return None
        table = self._subtable("notice", shared=True)
        self.source.require_known(table, NOTICE, self.number, self.name, "notice")
        found: dict[str, Any] = {"grace": "30d", **table}
        for key in ("grace", "remind"):
            if key in found:
                found[key] = self._said(partial(Days().convert, str(found[key]), None, None), "notice", key)
        for key in set(NOTICE) - {"grace", "remind"}:
            if not isinstance(found.get(key, ""), str):
                self.fail(f"{as_written(found[key])} is no text", "notice", key)
        if found.get("remind", 0) >= found["grace"]:
            self.fail("the reminder comes before the day that the notice names, not so long before", "notice", "remind")
        return found

    def _limits(self) -> RuleLimits:
        table = self._subtable("limits", shared=True)
        self.source.require_known(table, _LIMITS, self.number, self.name, "limits")
        amounts = limits_in(table, self.fail, "limits")
        hours = None
        if "hours" in table:
            match = re.fullmatch(r"([01]?\d|2[0-3])-([01]?\d|2[0-4])", str(table["hours"]))
            if not match or match[1] == match[2]:
                self.fail(f"{as_written(table['hours'])} is not hours of a day such as 22-6", "limits", "hours")
            hours = int(match[1]), int(match[2]) % 24
        return RuleLimits(**amounts, hours=hours)

    def _drift(self) -> float:
        value = self.table.get("drift", f"{DRIFT:.0%}")
        match = re.fullmatch(r"(\d+(?:\.\d+)?)%", str(value))
        if not match:
            self.fail(f"{as_written(value)} is not a percentage such as 50%", "drift")
        return float(match[1]) / 100

    def _days(self) -> tuple[tuple[int, int], ...]:
        days = self.table.get("on", [])
        if not isinstance(days, list) or not all(isinstance(day, str) for day in days):
            self.fail('days are a list such as ["05-15", "12-15"]', "on")
        return tuple(self._day(day) for day in days)

    def _day(self, text: str) -> tuple[int, int]:
        try:
            day = datetime.strptime(f"2023-{text}", "%Y-%m-%d").replace(tzinfo=UTC)
        except ValueError:
            self.fail(f"{text!r} is no day of every year such as 05-15 (month-day)", "on")
        return day.month, day.day
