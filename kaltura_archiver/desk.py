"""The restore desk of a policy: what asks for originals, how they are brought back, and how much of it a day. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from kaltura_archiver.filters import Query
from kaltura_archiver.model import same_id
from kaltura_archiver.steps import Options


@dataclass(frozen=True)
class DayLimits:
    """What the runs of one day (UTC) may begin to bring back: entries, bytes, money, and entries of one owner."""

    entries: int | None = None
    bytes: int | None = None
    money: float | None = None
    per_owner: int | None = None


class Requested(NamedTuple):
    """What a list of requests says of an entry: whom to tell, and the tier of its own (empty: that of the desk)."""

    mail: tuple[str, ...] = ()
    tier: str = ""


@dataclass(frozen=True)
class RestoreDesk:
    """What is brought back before any rule is carried out: of each of the `sources` (play, tag, request) what it
    selects, an entry once. `options` are fields of `Options`; `mail`: owners are told, by the table `notice`, and whom
    a request names: `mail_instead` in the owner's place. `requests` are by `same_id`."""

    sources: Mapping[str, Query]
    options: Mapping[str, Any] = field(default_factory=dict)
    limits: DayLimits = field(default_factory=DayLimits)
    mail: Mapping[str, Any] | None = None
    mail_instead: bool = False
    requests: Mapping[str, Requested] = field(default_factory=dict)

    def request(self, entry_id: str) -> Requested:
        return self.requests.get(same_id(entry_id), Requested())

    def tier_of(self, entry_id: str) -> str:
        return self.request(entry_id).tier or str(self.options.get("tier", Options.tier))

    def parts(self, now: float, *, dry_run: bool) -> Iterator[tuple[str, Query, Options]]:
        """What asks, source by source, and of the listed requests tier by tier: what has a tier of its own is brought
        back by that, whatever else asks for it."""
        for source, query in self.sources.items():
            options = Options(now=now, dry_run=dry_run, plays=query.plays, asked=query, **self.options)
            if source != "request":
                yield source, query, options
                continue
            by_tier: dict[str, list[str]] = {"": []}
            for entry_id in query.ids or ():
                by_tier.setdefault(self.request(entry_id).tier, []).append(entry_id)
            for tier, ids in by_tier.items():
                if ids or not query.ids:
                    yield source, replace(query, ids=tuple(ids)), replace(options, tier=tier or options.tier)
