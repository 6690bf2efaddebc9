"""A plan for who reviews it: its entries with their owners, and sums by owner and unit. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from kaltura_archiver.errors import InputError
from kaltura_archiver.model import Outcome
from kaltura_archiver.people.owners import Owner
from kaltura_archiver.review.planfile import read_plan
from kaltura_archiver.steps import Options

# What is done with the bytes of an entry, by the plan's action.
MEANT = {"archive": "copy", "replace": "free", "thin": "free", "restore": "bring back"}


@dataclass(frozen=True, slots=True)
class ShownEntry:
    """An entry of a plan. `size_bytes` are to be copied, freed or brought back, and 0 where it is left out; `text` is
    its line of the file, as it is there. `parent` is the entry whose further stream it is, empty where it is none."""

    entry_id: str
    name: str
    owner: str
    created: str
    last_played: str
    plays: int
    acts: bool
    outcome: str
    why: str
    size_bytes: int
    text: str
    owner_name: str = ""
    unit: str = ""
    # Of what plans of earlier versions do not tell.
    duration_seconds: int | None = None
    admin_tags: str = ""
    source: str = ""
    end_date: str = ""
    categories: str = ""
    parent: str = ""

    @property
    def creator_id(self) -> str:
        """A plan knows of one owner only."""
        return self.owner


@dataclass(frozen=True)
class ShownPlan:
    """A whole plan; `first` and `last` are its lines that stay whatever is left out, `asked` what is not as usual, in
    words."""

    action: str
    made: str
    filter: str
    plan: str
    first: str
    last: str
    entries: Sequence[ShownEntry]
    has_units: bool
    asked: str = ""

    @property
    def meant(self) -> str:
        return MEANT[self.action]

    @property
    def acting(self) -> list[ShownEntry]:
        return [entry for entry in self.entries if entry.acts]

    @property
    def left_out(self) -> list[ShownEntry]:
        return [entry for entry in self.entries if not entry.acts]

    def sums(self, key: Callable[[ShownEntry], str]) -> list[tuple[str, int, int]]:
        """(key, entries to act on, their bytes), the largest first."""
        sums: dict[str, tuple[int, int]] = {}
        for entry in self.acting:
            count, size = sums.get(key(entry), (0, 0))
            sums[key(entry)] = count + 1, size + entry.size_bytes
        return sorted(((name, *sum_) for name, sum_ in sums.items()), key=lambda row: (-row[2], row[0]))


def shown_plan(
    lines: Iterable[tuple[int, str]], where: str, owner_of: Callable[[Any], Owner] | None = None
) -> ShownPlan:
    """The plan in these lines. Raises InputError for all that `apply` would refuse in the file itself."""
    numbered = [(number, text) for number, text in lines if text.strip()]
    terms, _, _ = read_plan(iter(numbered), where)
    (_, first), *middle, (_, last) = numbered
    action = json.loads(first)["action"]
    return ShownPlan(
        action, terms.made, terms.filter, terms.plan, first, last,
        [_entry(text, f"{where}, line {number}", action, owner_of) for number, text in middle], owner_of is not None,
        ", ".join(_unusual(terms.options)),
    )  # fmt: skip


def _unusual(options: Mapping[str, Any]) -> Iterator[str]:
    usual = Options(now=0)
    for name, value in options.items():
        if value != getattr(usual, name):
            yield name.replace("_", " ") + ("" if value is True else f" {value}")


def _entry(text: str, at: str, action: str, owner_of: Callable[[Any], Owner] | None) -> ShownEntry:
    line = json.loads(text)
    try:
        acts = line["outcome"] == Outcome.WOULD
        size = line["bytes_freed" if MEANT[action] == "free" else "bytes_moved"] if acts else 0
        entry = ShownEntry(
            line["entry"], line["name"] or "", line["owner"] or "", line["created"] or "", line["last_played"] or "",
            line["plays"], acts, line["outcome"], line["why"], size, text,
            duration_seconds=line.get("duration_seconds"), admin_tags=", ".join(line.get("admin_tags", ())),
            source=line.get("source") or "", end_date=line.get("end_date") or "",
            categories=", ".join(line.get("categories", ())), parent=str(line.get("parent", "")),
        )  # fmt: skip
    except LookupError as error:
        raise InputError(f"{at} does not hold what a line of a plan holds") from error
    if owner_of is None:
        return entry
    name, unit = owner_of(entry).cells
    return replace(entry, owner_name=name, unit=unit)
