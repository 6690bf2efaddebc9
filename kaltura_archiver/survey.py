"""Facts about many entries with few requests: flavors for 40 entries at a time, the stored copies by listing."""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain, islice
from typing import Protocol

from kaltura_archiver.apply.group import look_at_streams, may_go_alone
from kaltura_archiver.apply.looks import look_at
from kaltura_archiver.apply.reading import (
    with_later_copy,
    with_metadata,
    with_original_read,
    with_relatives,
    with_source,
)
from kaltura_archiver.apply.tools import Sources
from kaltura_archiver.clones import needs_source
from kaltura_archiver.criteria.what import EVERY_STATUS
from kaltura_archiver.errors import OddAnswer, Refused, StoreError
from kaltura_archiver.filters import Query
from kaltura_archiver.groups import together
from kaltura_archiver.identity import to_be_read
from kaltura_archiver.kaltura import Kaltura
from kaltura_archiver.kaltura.library import FLAVOR_BATCH
from kaltura_archiver.model import Availability, Entry, Facts, FlavorAsset, Outcome
from kaltura_archiver.placeholders import Placeholders
from kaltura_archiver.plans import plan_for
from kaltura_archiver.selection import Selection
from kaltura_archiver.states import needs_tags
from kaltura_archiver.steps import Command, Options, Plan
from kaltura_archiver.store import Store
from kaltura_archiver.store.answers import ListedObject
from kaltura_archiver.store.inventory import Inventory
from kaltura_archiver.transfer.ahead import in_order

log = logging.getLogger(__name__)


class Planner(Protocol):
    """As `plan_for` of some command."""

    def __call__(self, facts: Facts, options: Options, /, *, in_group: bool = False) -> Plan: ...


# Lists of flavors asked for at a time, and how many may be there ahead of their use.
THREADS, ROOM = 4, 8
# Of so many entries each stored copy is looked at; of more only where a listing of the bucket is not enough.
FEW = FLAVOR_BATCH
# So many stored copies that S3 does not show cost their entries only; more are no matter of single ones.
MAX_UNSEEN = 20
# An entry that changed after the listing began may have a copy that it missed. Clocks may differ by so much.
CLOCK_SECONDS = 3600


def flavors_of(kaltura: Kaltura, selection: Selection) -> Iterator[tuple[Entry, tuple[FlavorAsset, ...]]]:
    """Each entry of a selection with its flavor assets."""

    def read(batch: list[Entry]) -> list[tuple[Entry, tuple[FlavorAsset, ...]]]:
        found = kaltura.flavors(entry.id for entry in batch)
        return [(entry, found[entry.id]) for entry in batch]

    return chain.from_iterable(in_order(read, selection.batches(FLAVOR_BATCH), threads=THREADS, room=ROOM))


def streams_of(
    kaltura: Kaltura, found: Iterable[tuple[Entry, tuple[FlavorAsset, ...]]]
) -> Iterator[tuple[Entry, tuple[FlavorAsset, ...], Mapping[str, tuple[FlavorAsset, ...]]]]:
    """Each entry with its flavor assets, and those of its further streams by their ids: of the database."""
    entries = iter(found)
    while batch := list(islice(entries, FLAVOR_BATCH)):
        streams = kaltura.children([entry.id for entry, _ in batch])
        flavors = kaltura.flavors(chain.from_iterable(streams.values()))
        for entry, own in batch:
            yield entry, own, {stream: flavors[stream] for stream in streams[entry.id]}


@contextmanager
def facts_of(
    kaltura: Kaltura, store: Store, selection: Selection, *, placeholders: Placeholders, workers: int,
    thorough: bool, availability: bool, copies: bool = False, categories: bool = False, metadata: bool = False,
    streams: bool = False,
) -> Iterator[Iterator[Facts]]:  # fmt: skip
    """The facts about each entry of a selection, in its order; at most `workers` stored copies are looked at at a time.
    With `streams` those about its further streams come just before.

    Unless `thorough`, more than a `FEW` entries are compared with a listing of the bucket, and a stored copy itself is
    looked at only where its tags could change the entry's state, or, if `availability` is asked for, where a listing
    does not tell that, or, with `copies`, wherever the listing shows one. Originals that may be a placeholder are read.
    With `categories` those of each entry are read, too, as they are where they decide about its placeholder, with
    `metadata` its custom metadata. Raises
    ConfigError at once if the bucket cannot be read, StoreError for more than MAX_UNSEEN copies that S3 does not show.
    """
    batches = selection.batches(FLAVOR_BATCH)
    first = next(batches, [])
    expected = selection.expected or 0
    survey = _Survey(
        kaltura, store, placeholders, selection, ThreadPoolExecutor(workers, thread_name_prefix="look"),
        availability=availability, copies=copies, categories=categories or placeholders.by_category,
        metadata=metadata, streams=streams,
    )  # fmt: skip
    try:
        survey.begin(expected, listed=not thorough and expected > FEW)
        yield chain.from_iterable(in_order(survey.facts, chain([first], batches), threads=THREADS, room=ROOM))
    finally:
        survey.ended.set()
        survey.pool.shutdown(cancel_futures=True)


@dataclass
class _Survey:
    """What `facts_of` looks with, and what it has seen so far."""

    kaltura: Kaltura
    store: Store
    placeholders: Placeholders
    selection: Selection
    pool: ThreadPoolExecutor
    availability: bool
    copies: bool
    categories: bool
    metadata: bool
    streams: bool
    began: float = field(default_factory=time.time)
    ended: threading.Event = field(default_factory=threading.Event)
    listing: Future[Inventory | None] = field(default_factory=Future)
    unseen: list[str] = field(default_factory=list)
    children: Future[Mapping[str, Sequence[str]] | None] = field(default_factory=Future)

    def begin(self, expected: int, *, listed: bool) -> None:
        """Find out whether the bucket can be read, and begin its listing if one is wanted for so many entries.

        Of so many the search index says which have further streams, all of them at once: asked for each one, they
        would cost more than all else.
        """
        if not listed:
            self.store.check_bucket()
            self.listing.set_result(None)
            self.children.set_result(None)
            return
        if self.streams:
            self.children = self.pool.submit(_streams_by_parent, self.kaltura)
        pages, inventory = self.store.pages(), Inventory()
        goes_on = inventory.add(next(pages))  # the first page also tells whether the bucket can be read
        self.listing = self.pool.submit(_list, inventory, pages, goes_on, expected, self.ended)

    def facts(self, batch: list[Entry]) -> list[Facts]:
        """The facts about these entries, each with those about its further streams before it if they are wanted."""
        every = self._with_streams(batch) if self.streams else batch
        parts = [every[start : start + FLAVOR_BATCH] for start in range(0, len(every), FLAVOR_BATCH)]
        return list(chain.from_iterable(map(self._facts, parts)))

    def _with_streams(self, batch: list[Entry]) -> list[Entry]:
        known = self.children.result()
        found = self.kaltura.children([entry.id for entry in batch]) if known is None else known
        ids = [stream for entry in batch for stream in found.get(entry.id, ())]
        streams = dict(self.kaltura.entries(ids)) if ids else {}
        told = []
        for entry in batch:
            recording = [*(streams[i] for i in found.get(entry.id, ())), entry]
            if self.selection.goes_with_parent(entry):
                continue
            if any(isinstance(each, OddAnswer) for each in recording):
                log.error("entry %s is left out: not all of its streams can be looked at", entry.id)
                self.selection.odd += 1
                continue
            told += [each for each in recording if isinstance(each, Entry)]
        return told

    def _facts(self, batch: list[Entry]) -> list[Facts]:
        """The facts about these entries: as the listing shows them, and better where that is not enough."""
        ids = [entry.id for entry in batch]
        if self.categories:
            flavors, placings = self.kaltura.flavors_and_placings(ids)
        else:
            flavors, placings = self.kaltura.flavors(ids), {}
        metadata = self.kaltura.metadata(ids) if self.metadata else {}
        inventory = self.listing.result()  # which went on meanwhile
        known = [
            replace(
                self.placeholders.facts(
                    entry, flavors[entry.id], inventory.get(entry.id) if inventory else None, placings.get(entry.id)
                ),
                metadata=metadata.get(entry.id),
            )
            for entry in batch
        ]
        looked = {
            facts.entry.id: self.pool.submit(
                self._look, facts, marked=inventory is None or facts.entry.id in inventory.suspects
            )
            for facts in known
            if inventory is None or self._not_enough(facts, inventory)
        }
        read = {
            facts.entry.id: self.pool.submit(self._look, facts, copy=False)
            for facts in known
            if facts.entry.id not in looked and (to_be_read(facts) or needs_source(facts))
        }
        better = {entry_id: found.result() for entry_id, found in (looked | read).items()}
        return [better.get(facts.entry.id, facts) for facts in known]

    def _look(self, facts: Facts, *, copy: bool = True, marked: bool = False) -> Facts:
        """The facts with the stored copy as it is now (`copy`), and the original read where that is asked for."""
        try:
            stored = self.store.head(facts.entry.id, with_marks=marked) if copy else facts.stored
            facts = replace(facts, stored=stored)
            if copy and marked:
                facts = with_later_copy(self.store, facts)
            return with_original_read(self.kaltura, with_source(self.kaltura, self.store, facts))
        except StoreError as error:
            if error.retryable or len(self.unseen) >= MAX_UNSEEN:
                raise
            self.unseen.append(facts.entry.id)
            return replace(facts, unseen=str(error))

    def _not_enough(self, facts: Facts, inventory: Inventory) -> bool:
        """Whether the stored copy is looked at: all are to be, or it could tell another state than the listing does."""
        entry, stored = facts.entry, facts.stored
        if stored is None:
            changed_lately = not entry.updated_at or entry.updated_at > self.began - CLOCK_SECONDS
            says_so = entry.archived or entry.replaced or entry.thin
            return says_so and (changed_lately or entry.id in inventory.suspects)
        if self.copies or (self.availability and stored.availability is Availability.UNKNOWN):
            return True
        return entry.id in inventory.suspects or needs_tags(facts)


def _streams_by_parent(kaltura: Kaltura) -> Mapping[str, Sequence[str]]:
    """The ids of all further streams of the account by their parents', as the search index has them."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    every = Query(further_streams=True, statuses=EVERY_STATUS, media_type=None, max_entries=None)
    for entry in Selection(kaltura, every):
        found[entry.parent_of_stream].append(entry.id)
    return found


@contextmanager
def plans_of(
    kaltura: Kaltura, store: Store, selection: Selection, command: Command, options: Options, *,
    placeholders: Placeholders, workers: int, plan: Planner | None = None,
) -> Iterator[Iterator[tuple[Facts, Plan]]]:  # fmt: skip
    """What a command would do about each entry of a selection, in its order, with the facts that this rests on. What
    it would do about the further streams of one comes before.

    They are as complete as those on which the command itself acts: of every stored copy the tags are read. `plan` may
    choose another command for some of them.
    """
    planned = plan or partial(plan_for, command)

    selection.whole = True
    sources = Sources(kaltura, store, placeholders)
    categories, metadata = options.by_category(command), options.by_metadata(command)

    def complete(facts: Facts) -> Facts:
        facts = replace(facts, usual_tags=kaltura.usual_tags()) if command.swaps else facts
        return with_relatives(kaltura, facts) if command is Command.THIN else facts

    def look(entry_id: str) -> tuple[Facts, tuple[str, ...]]:
        facts, streams = look_at(sources, entry_id, children=True, categories=categories or placeholders.by_category)
        return complete(with_metadata(kaltura, facts) if metadata else facts), streams

    def grouped(facts: Facts, plan: Plan, streams: tuple[str, ...]) -> list[tuple[Facts, Plan]]:
        if not streams:
            alone = may_go_alone(kaltura, command, facts)
            return [(facts, planned(facts, options, in_group=True) if alone else plan)]
        try:
            members = [*look_at_streams(look, facts, streams), facts]
        except Refused as error:
            return [(facts, Plan(plan.state, (), Outcome.REFUSED, str(error)))]
        plans = [(member, planned(member, options, in_group=True)) for member in members]
        return list(zip(members, together(command, plans), strict=True))

    def decide(batch: list[Facts]) -> list[tuple[Facts, Plan]]:
        batch = [complete(facts) for facts in batch]
        plans = [planned(facts, options) for facts in batch]
        # What is there already may have a further stream that is not.
        streams = kaltura.children(
            [
                facts.entry.id
                for facts, made in zip(batch, plans, strict=True)
                if made.steps or made.outcome is Outcome.ALREADY
            ]
        )
        found = [grouped(f, made, streams.get(f.entry.id, ())) for f, made in zip(batch, plans, strict=True)]
        return list(chain.from_iterable(found))

    with facts_of(
        kaltura, store, selection, placeholders=placeholders, workers=workers, thorough=False, availability=True,
        copies=True, categories=categories, metadata=metadata,
    ) as found:  # fmt: skip
        batches = iter(lambda: list(islice(found, FLAVOR_BATCH)), [])
        yield chain.from_iterable(in_order(decide, batches, threads=THREADS, room=ROOM))


def _list(
    inventory: Inventory, pages: Iterator[list[ListedObject]], goes_on: bool, expected: int, ended: threading.Event
) -> Inventory | None:
    """The inventory of the whole bucket; None if looking at each copy is cheaper, or the bucket lists in no order."""
    while goes_on and not ended.is_set():
        # Two requests for each entry to look at: HeadObject and GetObjectTagging.
        if inventory.pages_left() > 2 * expected or inventory.pages > 2 * expected:
            log.debug("the bucket is large for %d entries: each stored copy is looked at", expected)
            return None
        page = next(pages, None)
        if page is None:
            log.debug("stored copies were looked up in a listing of %d keys", inventory.keys)
            return inventory
        goes_on = inventory.add(page)
    if not goes_on:
        log.warning("the bucket does not list its keys in order: each stored copy is looked at")
    return None
