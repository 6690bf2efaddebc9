"""What Kaltura holds: entries, flavors, categories. Reads only."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import count
from typing import Any, TypeVar

from KalturaClient.Plugins.Core import KalturaCategoryFilter, KalturaFilterPager

from kaltura_archiver.errors import KalturaError, OddAnswer
from kaltura_archiver.kaltura.answers import (
    Look,
    field_int,
    field_text,
    read_children,
    read_entry,
    read_flavors,
    read_made_of,
    read_params_tags,
    read_path,
    read_placings,
)
from kaltura_archiver.kaltura.errors import CATEGORY_GONE, ENTRY_GONE, mixed_up
from kaltura_archiver.kaltura.plain import MAX_MISSES, Shown
from kaltura_archiver.kaltura.questions import (
    MAX_PAGE,
    ask_category,
    ask_children,
    ask_entry,
    ask_flavors,
    ask_made_of,
    ask_placings,
    ask_together,
)
from kaltura_archiver.kaltura.session import Session
from kaltura_archiver.kaltura.wire import NotJson
from kaltura_archiver.model import Entry, FlavorAsset, FlavorStatus, Placing, same_id

log = logging.getLogger(__name__)
T = TypeVar("T")
Found = Entry | OddAnswer | None
FLAVOR_BATCH = 40
GET_BATCH = 50
# Most are in one to three categories, and MAX_PAGE rows come at a time.
PLACING_BATCH = 150
# For so long it is taken that a category is still where it was.
CATEGORY_SECONDS = 60.0


class Library(Session):
    """Reads entries, their flavors, further streams and categories."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._shown = Shown()

    def entry(self, entry_id: str) -> Entry | None:
        """The entry as it is now; None if there is none (never existed, deleted, or not visible to this user)."""
        try:
            return self._call(
                f"read entry {entry_id}", lambda c: self._as_asked(read_entry(c.media.get(entry_id)), entry_id)
            )
        except KalturaError as error:
            if error.code == ENTRY_GONE:
                return None
            raise

    def _as_asked(self, entry: Entry, entry_id: str) -> Entry:
        """The entry, if it is the one that was asked for; however the id was spelled, `entry.id` is the true one."""
        if same_id(entry.id) != same_id(entry_id) or entry.partner_id != self._partner:
            raise mixed_up(
                f"entry {entry_id} of partner {self._partner}", f"{entry.id} of {entry.partner_id or 'no partner'}"
            )
        return entry

    def entries(self, entry_ids: Iterable[str], *, size: int = GET_BATCH) -> Iterator[tuple[str, Found]]:
        """Each id with its entry as it is now, `size` to a call; None as in `entry`, and what is wrong with an answer
        that cannot be understood: that is no entry that is gone."""
        ids = list(entry_ids)
        for start in range(0, len(ids), size):
            batch = ids[start : start + size]

            def read(client: Any, batch: list[str] = batch) -> list[Entry | None]:
                answers = ask_together(client, [partial(ask_entry, entry_id) for entry_id in batch])
                return [
                    None if answer is None else self._as_asked(read_entry(answer), entry_id)
                    for answer, entry_id in zip(answers, batch, strict=True)
                ]

            try:
                yield from zip(batch, self._call("read entries", read), strict=True)
            except OddAnswer as error:
                if len(batch) > 1:
                    yield from self.entries(batch, size=1)
                else:
                    log.error("entry %s: %s", batch[0], error)
                    yield batch[0], error

    def flavors(self, entry_ids: Iterable[str]) -> dict[str, tuple[FlavorAsset, ...]]:
        """The flavor assets of each entry, TEMP ones included, DELETED ones not; paged to the end (kaltura-api 4.4)."""
        ids = list(entry_ids)
        asked = {same_id(entry_id): entry_id for entry_id in ids}
        found: dict[str, list[FlavorAsset]] = {entry_id: [] for entry_id in ids}
        for start in range(0, len(ids), FLAVOR_BATCH):
            batch = ids[start : start + FLAVOR_BATCH]
            seen: set[str] = set()
            for page in range(1, 1000):
                try:
                    flavors, total = self._page_of_flavors(batch, page)
                except OddAnswer as error:
                    found |= self._odd_flavors(batch, error)
                    total = len(seen)
                    break
                for flavor in flavors:
                    if same_id(flavor.entry_id) not in asked:
                        raise mixed_up(f"the flavors of {', '.join(batch[:3])}", f"those of {flavor.entry_id}")
                    if flavor.id not in seen:
                        seen.add(flavor.id)
                        found[asked[same_id(flavor.entry_id)]].append(flavor)
                if page * MAX_PAGE >= total:
                    break
            if len(seen) < total:
                raise KalturaError(f"Kaltura listed {len(seen)} of {total} flavors: try again")
        return {entry_id: tuple(flavors) for entry_id, flavors in found.items()}

    def _page_of_flavors(self, entry_ids: Sequence[str], page: int) -> tuple[list[FlavorAsset], int]:
        """Of many entries in JSON, which takes a fifth of the time; what a step rests on, one entry's, is XML."""

        def read(client: Any, *, as_json: bool = False) -> tuple[list[FlavorAsset], int]:
            ask_flavors(entry_ids, page, client)
            return read_flavors(client.doQueueAsJson() if as_json else client.doQueue())

        if (
            len(entry_ids) > 1
            and self._shown.json_does
            and (found := self._in_json("list flavors", partial(read, as_json=True)))
        ):
            self._shown.did()
            return found
        return self._call("list flavors", read)

    def _in_json(self, what: str, call: Callable[[Any], T]) -> T | None:
        """What a call gives that asks for JSON; None where it has to be asked for as XML."""
        try:
            return self._call(what, call)
        except NotJson as error:
            log.debug("%s: as XML, since JSON did not do: %s", what, error)
            self._shown.missed()
        except KalturaError as error:
            if error.retryable or isinstance(error, OddAnswer):
                raise
            self._shown.missed(MAX_MISSES)  # XML tells whether it is JSON that this server does not give
        return None

    def _odd_flavors(self, entry_ids: Sequence[str], error: OddAnswer) -> dict[str, list[FlavorAsset]]:
        """The flavors of each of these entries, of which an answer about all could not be understood: asked for one by
        one. Of one that still is not understood there is a flavor that says so."""
        if len(entry_ids) > 1:
            return {entry_id: list(self.flavors([entry_id])[entry_id]) for entry_id in entry_ids}
        [entry_id] = entry_ids
        odd = FlavorAsset("", entry_id, status=FlavorStatus.ERROR, is_original=True, odd=str(error))
        return {entry_id: [odd]}

    def usual_tags(self) -> Mapping[int, frozenset[str]]:
        """The tags that flavor assets get by themselves, by flavor parameters; asked for once.

        Empty where this user may not know them: then any tag may be one that a person has set.
        """
        with self._params_lock:
            if self._usual_tags is None:
                found: list[tuple[int | None, frozenset[str]]] = []
                pager = KalturaFilterPager()
                pager.pageSize = MAX_PAGE
                try:
                    for page in range(1, 100):
                        pager.pageIndex = page
                        more = self._call("list flavor parameters", partial(read_params_tags, pager))
                        found += more
                        if len(more) < MAX_PAGE:
                            break
                except KalturaError as error:
                    if error.retryable:
                        raise
                    log.debug("%s", error)
                    found = []
                self._usual_tags = {params_id: tags for params_id, tags in found if params_id is not None}
            return self._usual_tags

    def look(
        self, entry_id: str, *, children: bool = False, categories: bool = False, entry_last: bool = False
    ) -> Look:
        """The entry as in `entry`, its flavors, and where asked for the ids of its further streams, and its
        categories; one request, and one for categories that were not read lately. All of it is the database's word,
        but for the streams: those are an index's, Sphinx (SphinxEntryCriteria in Kaltura's source).

        What is about to be overwritten is read last: the flavors, or with `entry_last` the entry.
        """
        calls: list[Callable[[Any], object]] = [partial(ask_entry, entry_id), partial(ask_flavors, [entry_id], 1)]
        if children:
            calls.append(partial(ask_children, entry_id))
        if categories:
            calls.append(partial(ask_placings, [entry_id], 1))
        if entry_last:
            calls.reverse()

        def read(client: Any) -> tuple[Look, int, int]:
            answers = ask_together(client, calls)
            raw, listed, *more = reversed(answers) if entry_last else answers
            if raw is None:
                return Look(None, ()), 0, 0
            if None in (listed, *more):
                raise KalturaError("Kaltura answered only some of the calls", retryable=True)
            flavors, total = read_flavors(listed)
            for flavor in flavors:
                if same_id(flavor.entry_id) != same_id(entry_id):
                    raise mixed_up(f"the flavors of {entry_id}", f"those of {flavor.entry_id}")
            placings, placing_total = self._placings_of([entry_id], more.pop()) if categories else ([], 0)
            streams = read_children(more.pop(), entry_id) if children else ()
            there = tuple(placing for _, placing in placings) if categories else None
            return Look(self._as_asked(read_entry(raw), entry_id), tuple(flavors), streams, there), total, placing_total

        found, total, placing_total = self._call(f"look at entry {entry_id}", read)
        if total > len(found.flavors):
            found = found._replace(flavors=self.flavors([entry_id])[entry_id])
        if found.placings is None:
            return found
        if placing_total > len(found.placings):
            return found._replace(placings=self.placings([entry_id])[entry_id])
        return found._replace(placings=self._with_paths(found.placings))

    def children(self, entry_ids: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """The ids of the further streams of each of these; one request for GET_BATCH of them."""
        found: dict[str, tuple[str, ...]] = {}
        for start in range(0, len(entry_ids), GET_BATCH):
            batch = entry_ids[start : start + GET_BATCH]

            def read(client: Any, batch: Sequence[str] = batch) -> list[tuple[str, ...]]:
                answers = ask_together(client, [partial(ask_children, entry_id) for entry_id in batch])
                if None in answers:
                    raise KalturaError("Kaltura answered only some of the calls", retryable=True)
                return list(map(read_children, answers, batch))

            found.update(dict(zip(batch, self._call("list further streams", read), strict=True)))
        return found

    def made_of(self, entry_id: str) -> list[str]:
        """The entries that were cut or cloned from this one, MAX_PAGE of them at most."""

        def read(client: Any) -> list[str]:
            ask_made_of(entry_id, client)
            return read_made_of(client.doQueue(), entry_id)

        return self._call(f"list what was made of {entry_id}", read)

    def category_name(self, category_id: int) -> str | None:
        """The full name of a category, by the database; None if there is none."""

        def read(client: Any) -> str:
            category = client.category.get(category_id)
            if field_int(category.id) != category_id:
                raise mixed_up(f"category {category_id}", f"category {field_text(category.id)[:20]}")
            return field_text(category.fullName)

        try:
            return self._call(f"read category {category_id}", read)
        except KalturaError as error:
            if error.code == CATEGORY_GONE:
                return None
            raise

    def categories_called(self, name: str) -> dict[int, str]:
        """Full names by number of the categories with this full name, or else with this name; in any case of letters.

        What the server's filter lets through is compared once more, so that nothing rests on how it compares.
        """
        same = name.casefold()
        for wanted in (
            KalturaCategoryFilter(fullNameEqual=name),
            KalturaCategoryFilter(nameOrReferenceIdStartsWith=name, orderBy="+createdAt"),
        ):  # fmt: skip

            def read(client: Any, page: int, wanted: Any = wanted) -> tuple[list[tuple[int, str, str]], int]:
                answer = client.category.list(wanted, KalturaFilterPager(pageSize=MAX_PAGE, pageIndex=page))
                return [
                    (field_int(found.id) or 0, field_text(found.name), field_text(found.fullName))
                    for found in answer.objects
                ], field_int(answer.totalCount) or 0

            rows: list[tuple[int, str, str]] = []
            for page in count(1):  # of all: on a later one may be another of that name
                more, total = self._call(f"look for the category {name[:60]}", partial(read, page=page))
                rows += more
                if len(more) < MAX_PAGE or len(rows) >= total:
                    break
            if found := {number: full for number, own, full in rows if same in (own.casefold(), full.casefold())}:
                return found
        return {}

    def _placings_of(self, entry_ids: Sequence[str], answer: Any) -> tuple[list[tuple[str, Placing]], int]:
        """A page of `read_placings`, all of it about these entries."""
        rows, total = read_placings(answer)
        asked = set(map(same_id, entry_ids))
        for entry_id, _ in rows:
            if same_id(entry_id) not in asked:
                raise mixed_up(f"the categories of {', '.join(entry_ids[:3])}", f"those of {entry_id}")
        return rows, total

    def placings(self, entry_ids: Iterable[str]) -> dict[str, tuple[Placing, ...]]:
        """The categories that each entry is in, or is to be once a moderator agrees; from the database.

        One request for PLACING_BATCH entries, and one for GET_BATCH categories that were not read lately.
        """
        ids = list(entry_ids)
        found = [
            row for at in range(0, len(ids), PLACING_BATCH) for row in self._all_placings(ids[at : at + PLACING_BATCH])
        ]
        return self._placed(ids, found)

    def _all_placings(self, entry_ids: Sequence[str]) -> list[tuple[str, Placing]]:
        found: dict[tuple[str, int], Placing] = {}
        page, total = 0, 1
        while page * MAX_PAGE < total:
            page += 1

            def read(client: Any, page: int = page) -> tuple[list[tuple[str, Placing]], int]:
                ask_placings(entry_ids, page, client)
                return self._placings_of(entry_ids, client.doQueue())

            rows, total = self._call("list categories of entries", read)
            if total > MAX_PAGE and len(entry_ids) > 1:
                # Rows of one second come in no certain order: pages need not fit together.
                half = len(entry_ids) // 2
                return self._all_placings(entry_ids[:half]) + self._all_placings(entry_ids[half:])
            found.update({(same_id(entry_id), placing.category_id): placing for entry_id, placing in rows})
        if len(found) < total:
            raise KalturaError(f"Kaltura listed {len(found)} of {total} categories of entries: try again")
        return [(entry_id, placing) for (entry_id, _), placing in found.items()]

    def _placed(self, entry_ids: Sequence[str], rows: Sequence[tuple[str, Placing]]) -> dict[str, tuple[Placing, ...]]:
        asked = {same_id(entry_id): entry_id for entry_id in entry_ids}
        found: dict[str, tuple[Placing, ...]] = dict.fromkeys(entry_ids, ())
        for (entry_id, _), placing in zip(rows, self._with_paths([p for _, p in rows]), strict=True):
            found[asked[same_id(entry_id)]] += (placing,)
        return found

    def flavors_and_placings(
        self, entry_ids: Sequence[str]
    ) -> tuple[dict[str, tuple[FlavorAsset, ...]], dict[str, tuple[Placing, ...]]]:
        """As `flavors` and `placings`, of FLAVOR_BATCH entries at most; one request for both."""
        asked = {same_id(entry_id): entry_id for entry_id in entry_ids}
        if not entry_ids:
            return {}, {}

        def read(client: Any) -> tuple[list[FlavorAsset], int, list[tuple[str, Placing]], int]:
            listed, rows = ask_together(
                client, [partial(ask_flavors, entry_ids, 1), partial(ask_placings, entry_ids, 1)]
            )
            if listed is None or rows is None:
                raise KalturaError("Kaltura answered only some of the calls", retryable=True)
            return *read_flavors(listed), *self._placings_of(entry_ids, rows)

        try:
            assets, asset_total, placings, placing_total = self._call("list flavors and categories", read)
        except OddAnswer:
            return self.flavors(entry_ids), self.placings(entry_ids)
        flavors: dict[str, tuple[FlavorAsset, ...]] = dict.fromkeys(entry_ids, ())
        for flavor in assets:
            if same_id(flavor.entry_id) not in asked:
                raise mixed_up(f"the flavors of {', '.join(entry_ids[:3])}", f"those of {flavor.entry_id}")
            flavors[asked[same_id(flavor.entry_id)]] += (flavor,)
        if asset_total > len(assets):
            flavors = self.flavors(entry_ids)
        if placing_total > len(placings):
            return flavors, self.placings(entry_ids)
        return flavors, self._placed(entry_ids, placings)

    def _with_paths(self, placings: Sequence[Placing]) -> tuple[Placing, ...]:
        """The same with names, and with what is above each category now: the rows learn of a move only later [read]."""
        now = time.monotonic()
        numbers = dict.fromkeys(p.category_id for p in placings)
        wanted = [n for n in numbers if n not in self._paths or now - self._paths[n][0] > CATEGORY_SECONDS]
        for start in range(0, len(wanted), GET_BATCH):
            batch = wanted[start : start + GET_BATCH]

            def read(client: Any, batch: list[int] = batch) -> list[tuple[frozenset[int], str]]:
                answers = ask_together(client, [partial(ask_category, number) for number in batch], gone=CATEGORY_GONE)
                return list(map(read_path, answers, batch))

            for number, path in zip(batch, self._call("read categories", read), strict=True):
                self._paths[number] = now, *path
        return tuple(
            replace(p, above=p.above | self._paths[p.category_id][1], name=self._paths[p.category_id][2])
            for p in placings
        )
