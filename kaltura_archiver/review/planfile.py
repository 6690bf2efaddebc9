"""A plan in a file: what it holds, how it is read back, and whether an entry is still what it was made for. Pure.

JSON Lines: first what the plan is, then a line per entry, at last one that says it is whole. Each line carries a check
over itself and the id of the plan, so that lines may be deleted, but not changed, added, or brought from elsewhere.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from kaltura_archiver import __version__
from kaltura_archiver.criteria.what import EVERY_STATUS, source_name
from kaltura_archiver.errors import InputError
from kaltura_archiver.filters import Query
from kaltura_archiver.keep import Keep
from kaltura_archiver.model import (
    ARCHIVED_TAG,
    REPLACED_TAG,
    THIN_TAG,
    Entry,
    Facts,
    Outcome,
    iso_date,
    iso_time,
    normalised_tags,
)
from kaltura_archiver.money.bill import Bill, money
from kaltura_archiver.money.prices import Prices
from kaltura_archiver.output.summary import Causes, counted
from kaltura_archiver.output.tables import readable_bytes, to_json
from kaltura_archiver.steps import ACTIONS, Command, Options, Plan, Step, bytes_of, planned_options, read_bytes

FORMAT = 1
# The first one holds the keep list, which may name all of a staff.
MAX_LINE_BYTES = 2**24
# Criteria of a selection that a play since then can break.
_PLAYS = ("plays_below", "never_played", "unplayed_since")
# Criteria of what is read beside an entry.
_BESIDE = ("categories", "uncategorised", "without_categories", "metadata", "without_metadata")
# Which of our tags a run of the plan itself adds and removes.
TAGS_ADDED = {
    Command.S3COPY: {ARCHIVED_TAG},
    Command.REPLACE: {ARCHIVED_TAG, REPLACED_TAG},
    Command.THIN: {ARCHIVED_TAG, THIN_TAG},
    Command.RESTORE: {ARCHIVED_TAG},
}
TAGS_REMOVED: Mapping[Command, set[str]] = {
    Command.REPLACE: {THIN_TAG},
    Command.RESTORE: {REPLACED_TAG, THIN_TAG},
}
# That somebody sets a label meanwhile is no change of what was reviewed: it is kept.
_FLAVORS = (Step.KEEP_SETTINGS, Step.SET_FLAVORS)
# Steps that a run may come to that goes on where another one of the plan was cut.
STEPS_GOING_ON = {
    Command.S3COPY: {Step.PROVE, Step.ADD_ARCHIVED},
    Command.REPLACE: {Step.ADD_ARCHIVED, Step.ADD_REPLACED, Step.REMOVE_THIN, Step.SETTLE, *_FLAVORS},
    Command.THIN: {
        Step.ADD_ARCHIVED, Step.ADD_THIN, Step.CHECK_KEPT, Step.RECORD_KEPT, Step.DROP_DERIVED, *_FLAVORS,
    },
    Command.RESTORE: {
        Step.PROVE, Step.ADD_ARCHIVED, Step.REMOVE_REPLACED, Step.REMOVE_THIN, Step.SETTLE, Step.SET_PICTURE,
        Step.REMOVE_REQUEST, *_FLAVORS,
    },
}  # fmt: skip


# What plans of earlier versions do not tell.
_OF_EARLIER = {"request_tag": ""}


@dataclass(frozen=True)
class Terms:
    """What a whole plan rests on. `account` says whose library and bucket it is for; `plays` is of the selection, and
    `beside` what it says of categories and custom metadata."""

    command: Command
    options: Mapping[str, Any]
    keep: Keep
    plays: Mapping[str, int | bool]
    account: Mapping[str, str]
    filter: str
    shard: tuple[int, int] | None = None
    made: str = ""
    plan: str = field(default_factory=lambda: secrets.token_hex(8))
    beside: Mapping[str, Any] = field(default_factory=dict)

    @property
    def asked(self) -> Query | None:
        """What has to hold still of what is read beside an entry; None for nothing."""
        return Query(**self.beside, media_type=None, statuses=EVERY_STATUS) if self.beside else None

    def too_much_played(self, entry: Entry) -> str:
        """Why the entry is played too much by now for what was selected; a restore is never too much played."""
        if self.command is Command.RESTORE:
            return ""
        return Query(**self.plays).too_much_played(entry)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Line:
    """An entry that the plan would act on, and the facts that this rests on. `original` is `<flavor>@<version>`, and
    `parent` the entry with which it goes as a further stream of it. `derived` are the ids of its derived flavors, None
    in a plan of an earlier version; `told` is what people go by who read the plan, and `categories` their names."""

    entry_id: str
    steps: tuple[Step, ...]
    original: str
    original_bytes: int | None
    tags: tuple[str, ...]
    stored_bytes: int | None
    etag: str
    sha256: str
    parent: str = ""
    derived: frozenset[str] | None = None
    told: Mapping[str, Any] = field(default_factory=dict)
    categories: frozenset[str] | None = None


def told_of(entry: Entry) -> dict[str, Any]:
    """What an entry is chosen and reviewed by, and what a person may change without a word: it has to hold still."""
    return {"owner": entry.owner, "admin_tags": list(entry.admin_tags), "end_date": iso_date(entry.end_at) or None}


def terms_of(
    command: Command, options: Options, query: Query, account: Mapping[str, str], numbered: Query | None = None
) -> Terms:
    """`numbered` is the query with the numbers of its categories, where it has names."""
    return Terms(
        command,
        {name: getattr(options, name) for name in planned_options(command)},
        options.keep,
        {name: value for name in _PLAYS if (value := getattr(query, name))},
        account,
        str(query),
        query.shard,
        iso_time(options.now),
        beside={name: value for name in _BESIDE if (value := getattr(numbered or query, name))},
    )


class Writer:
    """Makes the lines of a plan, and adds up what the first one tells."""

    def __init__(self, terms: Terms, options: Options, prices: Prices) -> None:
        self._terms = terms
        self._options = options
        self._prices = prices
        self._bill = Bill(prices, options)
        self.outcomes: Counter[Outcome] = Counter()
        self.causes: Causes = Counter()
        self.bytes_moved = self.bytes_freed = self.bytes_read = 0

    def entry(self, facts: Facts, plan: Plan) -> str:
        """The line of an entry, without the newline."""
        entry = facts.entry
        outcome = Outcome.WOULD if plan.steps else plan.outcome
        self.outcomes[outcome] += 1
        self.causes[outcome, plan.cause] += 1
        line: dict[str, Any] = {
            "kind": "entry",
            "entry": entry.id,
            "name": entry.name,
            "state": plan.state.value,
            "outcome": outcome.value,
            "why": plan.describe(),
            **told_of(entry),
            "created": iso_date(entry.created_at),
            "last_played": iso_date(entry.last_played_at) or None,
            "plays": entry.plays,
            "duration_seconds": entry.duration_seconds,
            "source": source_name(entry.source_type),
            "categories": list(facts.category_names),
        }
        if entry.parent_of_stream:
            line["parent"] = entry.parent_of_stream
        if plan.steps:
            moved, freed = bytes_of(facts, plan.steps, self._options)
            self.bytes_moved += moved
            self.bytes_freed += freed
            self.bytes_read += read_bytes(facts, plan.steps)
            original, stored = facts.original, facts.stored
            line |= {
                "steps": [step.name.lower() for step in plan.steps],
                "bytes_moved": moved,
                "bytes_freed": freed,
                "cost": self._cost(facts, plan.steps, freed),
                "facts": {
                    "original": original.content_id if original else "",
                    "original_bytes": original.size_bytes if original else None,
                    "tags": sorted(normalised_tags(entry.tags)),
                    "stored_bytes": stored.size_bytes if stored else None,
                    "etag": stored.etag if stored else "",
                    "sha256": stored.sha256 if stored else "",
                    "derived": sorted(flavor.id for flavor in facts.derived),
                },
            }
        return _written(line, self._terms.plan)

    def _cost(self, facts: Facts, steps: Iterable[Step], freed: int) -> dict[str, float]:
        """What these steps cost, and save a month in Kaltura, in the currency of the first line."""
        bill = Bill(self._prices, self._options)
        for each in (bill, self._bill):
            each.add(facts, steps)
        saved = self._prices.kaltura_month(freed)
        return bill.amounts() | ({"saved_month": round(saved, 6)} if saved else {})

    def totals(self) -> dict[str, Any]:
        saved = self._prices.kaltura_month(self.bytes_freed)
        return {
            "entries": self.outcomes.total(),
            "outcomes": {outcome.value: self.outcomes[outcome] for outcome in Outcome if self.outcomes[outcome]},
            "bytes_moved": self.bytes_moved,
            "bytes_freed": self.bytes_freed,
            "cost": self._bill.amounts() | ({"saved_month": round(saved, 6)} if saved else {}),
            "currency": self._prices.currency,
            "prices_of": self._prices.as_of.isoformat(),
        }

    def told(self, *, people: bool) -> str:
        """The totals in one clause."""
        moved, freed = f"bytes to move {self.bytes_moved}", f"bytes to free {self.bytes_freed}"
        if people:
            moved = f"would move {readable_bytes(self.bytes_moved)}"
            freed = f"free {readable_bytes(self.bytes_freed)} in Kaltura"
        if self.bytes_read:
            freed += f", read {readable_bytes(self.bytes_read)}" if people else f", bytes to read {self.bytes_read}"
        parts = [f"{counted(self.causes) or 'no entry'}; {moved}, {freed}"]
        if str(self._bill):
            parts.append(str(self._bill))
        if saved := self._prices.kaltura_month(self.bytes_freed):
            parts.append(f"saves {money(saved, self._prices.currency)} a month in Kaltura")
        return "; ".join(parts)

    def first(self) -> str:
        terms = self._terms
        line = {
            "kind": "plan",
            "format": FORMAT,
            "plan": terms.plan,
            "action": next(name for name, command in ACTIONS.items() if command is terms.command),
            "command": terms.command.value,
            "made": terms.made,
            "tool": __version__,
            "filter": terms.filter,
            "totals": self.totals(),
            "options": dict(terms.options),
            "keep": {rule.name: sorted(getattr(terms.keep, rule.name)) for rule in fields(terms.keep)},
            "plays": dict(terms.plays),
            "beside": dict(terms.beside),
            "account": dict(terms.account),
            "shard": terms.shard,
        }
        return _written(line, terms.plan)

    def last(self) -> str:
        return _written({"kind": "end", "entries": self.outcomes.total()}, self._terms.plan)


def _written(line: Mapping[str, Any], plan: str) -> str:
    return to_json({**line, "check": _check(line, plan)})


def _check(line: Mapping[str, Any], plan: str) -> str:
    """What ties a line to its plan. Spaces, the order of names and the spelling of numbers do not count."""
    same = json.dumps(json.loads(json.dumps(line), parse_int=float), sort_keys=True)
    return hashlib.sha256(f"{plan}\n{same}".encode(errors="replace")).hexdigest()[:16]


def read_plan(lines: Iterable[tuple[int, str]], where: str) -> tuple[Terms, list[Line], dict[str, str]]:
    """The terms, the entries to act on in their order, and the outcome of each that is left out.

    Raises InputError, with the number of the line, for what `plan` did not write, or not all of which is there.
    """
    terms: Terms | None = None
    found: dict[str, tuple[int, Line | None]] = {}
    left_out: dict[str, str] = {}
    number, ended = 0, False
    for number, text in lines:
        at = f"{where}, line {number}"
        if not text.strip():
            continue
        if ended:
            raise InputError(f"{at} stands behind the end of the plan")
        line = _parsed(text, at)
        if terms is None:
            terms = _terms(line, at)
            continue
        if line.pop("check", None) != _check(line, terms.plan):
            raise InputError(
                f"{at} is not as this plan was written: leave entries out by deleting their lines, and change nothing "
                "else; for other entries make another plan"
            )
        ended = line.get("kind") == "end"
        if not ended:
            entry_id, outcome, entry = _entry(line, at)
            if entry_id in found:
                raise InputError(f"{at}: entry {entry_id} is there twice, also in line {found[entry_id][0]}")
            found[entry_id] = number, entry
            if entry is None:
                left_out[entry_id] = outcome
    if terms is None:
        raise InputError(f"{where} is empty: a plan was expected")
    if not ended:
        raise InputError(
            f"{where} ends after line {number}, without the last line of the plan: was it cut off? The first and the "
            "last line have to stay"
        )
    return terms, [line for _, line in found.values() if line], left_out


def _parsed(text: str, at: str) -> dict[str, Any]:
    if text.lstrip()[:9].lower() == "<!doctype":
        raise InputError(f"{at}: this is the page for a reviewer: save the plan from it, and give that file")
    try:
        line = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{at} is not a line of a plan: no whole JSON ({error})") from error
    if not isinstance(line, dict):
        raise InputError(f"{at} is not a line of a plan")
    return line


def _terms(line: dict[str, Any], at: str) -> Terms:
    if line.get("kind") != "plan":
        raise InputError(f"{at} is not the first line of a plan; kaltura-archiver plan makes one")
    version = line.get("format")
    if version != FORMAT:
        raise InputError(
            f"{at}: the plan has format {version!r}, this version reads {FORMAT}: use the version it is of"
        )
    check = line.pop("check", None)
    if check != _check(line, str(line.get("plan"))):
        raise InputError(f"{at} is not as the plan was written: make another plan for anything else")
    try:
        command, told = ACTIONS[line["action"]], _OF_EARLIER | line["options"]
        return Terms(
            command,
            {name: _same_kind(told[name], getattr(Options(now=0), name)) for name in planned_options(command)},
            _read_keep(line["keep"]),
            {name: line["plays"][name] for name in _PLAYS if name in line["plays"]},
            line["account"],
            line["filter"],
            (int(line["shard"][0]), int(line["shard"][1])) if line["shard"] else None,
            line["made"],
            line["plan"],
            {name: _criterion(value) for name, value in line.get("beside", {}).items() if name in _BESIDE},
        )
    except (LookupError, TypeError, ValueError) as error:
        raise InputError(f"{at} does not hold what the first line of a plan holds") from error


def _criterion(value: Any) -> bool | tuple[Any, ...]:
    """Whether something is asked for, or the numbers of categories, or fields of custom metadata and their values."""
    return value if isinstance(value, bool) else tuple(tuple(v) if isinstance(v, list) else int(v) for v in value)


def _read_keep(told: Mapping[str, Any]) -> Keep:
    """Plans of earlier versions have no rules of metadata."""
    metadata = frozenset((str(field), str(value)) for field, value in told.get("metadata", ()))
    return Keep(frozenset(told["tags"]), frozenset(told["categories"]), frozenset(told["owners"]), metadata)


def _same_kind(value: Any, like: Any) -> Any:
    if like is None:
        return None if value is None else float(value)
    return type(like)(value) if isinstance(like, int | float) else str(value)


def _entry(line: Mapping[str, Any], at: str) -> tuple[str, str, Line | None]:
    """The entry of a line and its outcome; without a `Line` if the plan leaves it out."""
    try:
        entry_id, outcome = str(line["entry"]), str(line["outcome"])
        if outcome != Outcome.WOULD:
            return entry_id, outcome, None
        facts = line["facts"]
        return entry_id, outcome, Line(
            entry_id,
            tuple(Step[name.upper()] for name in line["steps"]),
            facts["original"],
            facts["original_bytes"],
            tuple(facts["tags"]),
            facts["stored_bytes"],
            facts["etag"],
            facts["sha256"],
            str(line.get("parent", "")),
            frozenset(facts["derived"]) if "derived" in facts else None,
            {name: line[name] for name in told_of(Entry("")) if name in line},
            frozenset(map(str, line["categories"])) if "categories" in line else None,
        )  # fmt: skip
    except (LookupError, TypeError, AttributeError) as error:
        raise InputError(f"{at} does not hold what a line of a plan holds") from error
