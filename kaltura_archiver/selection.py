"""From a query to entries: the search or the named ids, every criterion tested again, limits kept."""

from __future__ import annotations

import logging
from array import array
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import islice
from typing import TYPE_CHECKING, overload

from kaltura_archiver.criteria.base import Seen
from kaltura_archiver.criteria.what import OfMedia
from kaltura_archiver.errors import ConfigError, OddAnswer, StoreError
from kaltura_archiver.filters import Query, query_of_ids
from kaltura_archiver.kaltura import Kaltura
from kaltura_archiver.kaltura.library import GET_BATCH
from kaltura_archiver.model import Entry, Facts, StoredObject, same_id
from kaltura_archiver.transfer.ahead import in_order

if TYPE_CHECKING:
    from kaltura_archiver.store import Store

log = logging.getLogger(__name__)
MAX_TOLD = 20
# Stored copies looked at at a time, of a page of entries.
LOOKERS = 8


class Ids(Sequence[str]):
    """Entry ids in their order, in about 16 bytes each: a million of them are held before the first is acted on."""

    def __init__(self, ids: Iterable[str]) -> None:
        self._text = bytearray()
        self._ends = array("Q")
        for entry_id in ids:
            self._text += entry_id.encode()
            self._ends.append(len(self._text))

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, at: int) -> str: ...
    @overload
    def __getitem__(self, at: slice) -> list[str]: ...
    def __getitem__(self, at: int | slice) -> str | list[str]:
        if isinstance(at, slice):
            return [self[i] for i in range(*at.indices(len(self)))]
        number = range(len(self))[at]
        return self._text[self._ends[number - 1] if number else 0 : self._ends[number]].decode()


@dataclass
class Selection:
    """The entries of a query, read as they are iterated. What was left out is counted and told in warnings.

    `store` is for a query about stored copies, or about sizes, which are those of the copies where originals are in S3
    only: without it these entries are left out, and that is told. `whole` leaves further streams to their parents,
    before a limit counts them. `cut` is True when the limit ended the selection while more entries matched. `expected`
    is about how many there will be, known when the first one comes. `odd` counts those that were left out since
    Kaltura's answer about them cannot be understood. Of the ids that were named, `unknown` are those of no entry;
    `unread` says of others why not, and `refused` has the true ids of entries that no command works on, with what they
    are: in the recycle bin, or no media clip, for two.
    """

    kaltura: Kaltura
    query: Query
    store: Store | None = None
    whole: bool = False
    selected: int = 0
    cut: bool = False
    expected: int | None = None
    unknown: list[str] = field(default_factory=list)
    unread: dict[str, str] = field(default_factory=dict)
    odd: int = 0
    refused: dict[str, str] = field(default_factory=dict)
    _parents: dict[str, bool] = field(default_factory=dict)
    _unmeasured: bool = False

    def __post_init__(self) -> None:
        """Raises ConfigError for a category that there is not, or whose name several have, and for a field of custom
        metadata that there is not."""
        self.query = with_numbers(self.kaltura, self.query)
        if self.query.by_metadata:
            named = [field for field, _ in (*self.query.metadata, *self.query.without_metadata)]
            self.query = replace(self.query, metadata_ids=metadata_ids(self.kaltura, named, "--metadata"))

    def __iter__(self) -> Iterator[Entry]:
        query = self.query
        skip = (query.first_page - 1) * query.page_size
        entries = self._named() if query.ids is not None else self._found()
        for entry in entries:
            if skip > 0:
                skip -= 1
                continue
            if self.whole and self._leaves_to_parent(entry):
                continue
            if query.max_entries is not None and self.selected >= query.max_entries:
                self.cut = True
                return
            self.selected += 1
            yield entry

    def goes_with_parent(self, entry: Entry) -> bool:
        """Whether it is a further stream of an entry that is selected, too: then it is that one's matter."""
        parent = entry.parent_of_stream
        return bool(parent) and same_id(parent) in self._named_ids and self._selects(parent)

    def _selects(self, entry_id: str) -> bool:
        """Whether an entry that is named is there, and meets the other criteria."""
        if entry_id not in self._parents:
            entry = self.kaltura.entry(entry_id)
            self._parents[entry_id] = entry is not None and self.takes(entry)
        return self._parents[entry_id]

    def takes(self, entry: Entry) -> bool:
        """Whether an entry meets the criteria as it is now."""
        return not next(self.tested([entry]))[1]

    def _leaves_to_parent(self, entry: Entry) -> bool:
        """Whether a command that acts leaves it to its parent: also where a search has found a further stream, which
        Kaltura hides from searches as a rule."""
        parent = entry.parent_of_stream
        if parent and self.query.ids is None:
            log.warning("entry %s is left out: a further stream of %s, with which it goes", entry.id, parent)
            return True
        return self.goes_with_parent(entry)

    @cached_property
    def _named_ids(self) -> frozenset[str]:
        return frozenset(map(same_id, self.query.ids or ()))

    def batches(self, size: int) -> Iterator[list[Entry]]:
        """The entries, that many at a time."""
        entries = iter(self)
        while batch := list(islice(entries, size)):
            yield batch

    def _found(self) -> Iterator[Entry]:
        query, dropped = self.query, 0
        pages = self.kaltura.pages(query)
        if query.max_entries is None or query.first_page > 1 or query.max_entries >= query.page_size:
            # The next page is fetched while this one is used; where one page is enough there is none to fetch.
            pages = in_order(lambda page: page, pages)
        for page in pages:
            if self.expected is None:
                self.expected = self._expected(page.total)
            for entry, reason in self.tested([e for e in page.entries() if query.in_shard(e.id)]):
                if reason:
                    # The index lags, and its tag search is wider than a whole tag (kaltura-api 3.2, 3.4).
                    dropped += 1
                    log.debug("entry %s does not match any more: %s", entry.id, reason)
                else:
                    yield entry
            for why in page.odd:
                log.error("left out: %s", why)
            self.odd += len(page.odd)
        if dropped and all(criterion.indexed for criterion in query.criteria):
            log.warning(
                "left out %d entries that the search index named but that do not match as they are now", dropped
            )
        elif dropped:
            log.debug("left out %d entries for what the search index does not know", dropped)

    def _expected(self, found: int) -> int:
        """About how many of so many entries found will be selected."""
        query = self.query
        shares = query.shard[1] if query.shard else 1
        left = max(0, found // shares - (query.first_page - 1) * query.page_size)
        return left if query.max_entries is None else min(left, query.max_entries)

    def _named(self) -> Iterator[Entry]:
        query = self.query
        ids = tuple(entry_id for entry_id in dict.fromkeys(query.ids or ()) if query.in_shard(entry_id))
        self.expected = len(ids)
        entries = self._read(ids)
        while batch := list(islice(entries, GET_BATCH)):
            for entry, reason in self.tested(batch):
                if why := OfMedia(None).unmet(Seen(entry)):
                    self.refused[entry.id] = why
                if reason:
                    self._tell_left_out(entry.id, reason)
                else:
                    yield entry

    def _read(self, ids: Sequence[str]) -> Iterator[Entry]:
        """The entries with these ids, each once: Kaltura knows an id in any spelling, and answers with the true one."""
        known: set[str] = set()
        repeated: list[str] = []
        for entry_id, entry in self.kaltura.entries(ids):
            if entry is None:
                self.unknown.append(entry_id)
                self._tell_unknown(entry_id)
            elif isinstance(entry, OddAnswer):
                self.unread[entry_id] = str(entry)
                self.odd += 1
            elif entry.id in known:
                repeated.append(entry_id)
            else:
                known.add(entry.id)
                yield entry
        if repeated:
            log.warning(
                "%d of the ids are others' in another spelling (%s for one): each entry is taken once",
                len(repeated), repeated[0],
            )  # fmt: skip

    def _tell_unknown(self, entry_id: str) -> None:
        text = "entry %s: no such entry in this account (or not visible to this user)"
        log.warning(text, entry_id, extra={"in_rows": True})

    def _tell_left_out(self, entry_id: str, reason: str) -> None:
        log.warning("entry %s is left out: %s", entry_id, reason)

    def tested(self, entries: Sequence[Entry]) -> Iterator[tuple[Entry, str]]:
        """Each with the criterion that it does not meet as it is now. What the entries do not tell is read for all of
        them together: the index lags behind the database, and does not know sizes."""
        query, ids = self.query, [entry.id for entry in entries]
        placings = self.kaltura.placings(ids) if query.by_category and ids else {}
        flavors = self.kaltura.flavors(ids) if query.by_size and ids else {}
        metadata = self.kaltura.metadata(ids) if query.by_metadata and ids else {}

        def reason(query: Query, entry: Entry, stored: StoredObject | None = None) -> str:
            original = Facts(entry, flavors.get(entry.id, ())).original if query.by_size else None
            size = original.known_bytes if original else None
            return query.mismatch(entry, placings.get(entry.id, ()), size, metadata.get(entry.id), stored)

        looked_at = (entry for entry in entries if self._by_its_copy(entry))
        left = [e.id for e in looked_at if not reason(query.but_for_copies(sizes=e.only_in_s3), e)]
        copies = self._copies(left) if left else {}
        yield from ((entry, reason(query, entry, copies.get(entry.id))) for entry in entries)

    def _by_its_copy(self, entry: Entry) -> bool:
        """Whether its stored copy has to be looked at: for its dates, or since it is that whose size is asked for."""
        return (self.query.by_copy and entry.archived) or (self.query.by_size and entry.only_in_s3)

    def _copies(self, entry_ids: Sequence[str]) -> dict[str, StoredObject | None]:
        """The stored copy of each with its tags; None for one that S3 does not show."""
        if self.store is None and self.query.by_copy:
            raise AssertionError("stored copies cannot be looked at: this would select nothing")
        if self.store is None:
            self._tell_unmeasured(entry_ids[0])
            return {}
        head = partial(self.store.head, with_marks=False)

        def look(entry_id: str) -> StoredObject | None:
            try:
                return head(entry_id)
            except StoreError as error:
                if error.retryable:
                    raise
                log.warning("entry %s: %s", entry_id, error)
                return None

        with ThreadPoolExecutor(LOOKERS, thread_name_prefix="copies") as pool:
            return dict(zip(entry_ids, pool.map(look, entry_ids), strict=True))

    def _tell_unmeasured(self, entry_id: str) -> None:
        if not self._unmeasured:
            log.warning(
                "left out: every entry whose original is in S3 only (%s for one), for its size is that of its stored "
                "copy, and no bucket is set (AWS_BUCKET)", entry_id,
            )  # fmt: skip
        self._unmeasured = True

    def count(self) -> int:
        """How many entries match: one call, or a look at each where the search index does not tell."""
        if self.query.countable:
            return self.kaltura.count(self.query)
        return sum(1 for _ in (self._found() if self.query.ids is None else self._named()))


def with_numbers(kaltura: Kaltura, query: Query) -> Query:
    """The query, with the numbers of categories in place of their names. Raises ConfigError for one that there is not,
    or whose name several have."""
    if not query.category_names:
        return query
    numbers = (*query.categories, *(_number_of(kaltura, name) for name in query.category_names))
    query = replace(query, categories=tuple(dict.fromkeys(numbers)), category_names=())
    query.check()
    return query


def _number_of(kaltura: Kaltura, name: str) -> int:
    found = kaltura.categories_called(name)
    if not found:
        raise ConfigError(f"--category: no category is called {name!r} (its whole name is like 'Faculty>Course')")
    if len(found) > 1:
        told = ", ".join(f"{number} ({full_name})" for number, full_name in sorted(found.items())[:5])
        raise ConfigError(f"--category: several are called {name!r}: {told}; give the number")
    return next(iter(found))


def metadata_ids(kaltura: Kaltura, fields: Iterable[str], where: str) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """Each field of custom metadata with its ids in the index. Raises ConfigError for one that no entry can have."""
    known = kaltura.metadata_fields()
    for field_name in fields:
        if field_name not in known:
            there = f"there are {', '.join(sorted(known)[:MAX_TOLD])}" if known else "this account has none"
            raise ConfigError(f"{where}: no field of custom metadata is called {field_name!r}; {there}")
    return tuple((name, known[name]) for name in dict.fromkeys(fields))


class Named(Selection):
    """The entries with these ids, whatever they are now; of one that is gone the id is in `unknown`."""

    def __init__(self, kaltura: Kaltura, ids: Iterable[str]) -> None:
        super().__init__(kaltura, query_of_ids(ids))

    def _named(self) -> Iterator[Entry]:
        self.expected = len(self.query.ids or ())
        yield from self._read(self.query.ids or ())

    def _tell_unknown(self, entry_id: str) -> None:
        """Whoever asked tells it."""


class Among(Selection):
    """A part of what was asked for. Of entries that are named and not in this part nothing is told, for another part
    may have them; the ids of those that are, or go with a parent that is, are added to `taken`."""

    def __init__(self, kaltura: Kaltura, query: Query, store: Store | None, taken: set[str] | None = None) -> None:
        super().__init__(kaltura, query, store)
        self._taken = taken if taken is not None and query.ids is not None else None

    def __iter__(self) -> Iterator[Entry]:
        for entry in super().__iter__():
            self._take(entry)
            yield entry

    def goes_with_parent(self, entry: Entry) -> bool:
        goes = super().goes_with_parent(entry)
        if goes:
            self._take(entry)
        return goes

    def _take(self, entry: Entry) -> None:
        if self._taken is not None:
            self._taken.add(entry.id)

    def _tell_left_out(self, entry_id: str, reason: str) -> None:
        """Whoever asked for all the parts tells of what is in none."""
