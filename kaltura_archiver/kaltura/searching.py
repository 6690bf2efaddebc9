"""Searching Kaltura's index, whole or not at all."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from KalturaClient.Base import KalturaParams
from KalturaClient.Plugins.Core import KalturaFilterPager, KalturaMediaEntryFilter

from kaltura_archiver.errors import KalturaError, SelectionError, Stopped
from kaltura_archiver.filters import Query, anything
from kaltura_archiver.kaltura.answers import ENTRY_FIELDS, ENTRY_LIST, Page, SearchPage, read_list
from kaltura_archiver.kaltura.metadata import CustomMetadataOfEntries
from kaltura_archiver.kaltura.questions import (
    ANY_MODERATION,
    ANY_STATUS,
    MAX_PAGE,
    SEARCH_WINDOW,
    ask_search,
    ask_together,
)

# Elasticsearch bounds the clauses of one query (1,024 by default); more ids of one second are paged within it.
MAX_EXCLUDED_IDS = 900
# Kaltura gives a search up after 10 s and answers that there is nothing (real-kaltura E231).
SEARCH_SECONDS = 9.0


class Searching(CustomMetadataOfEntries):
    """Lists and counts what matches a query."""

    def _search(self, params: Mapping[str, Any], *, page_size: int, page: int = 1) -> SearchPage:
        """What a search finds. That it finds nothing is believed only beside one that finds something."""
        if page_size and self._shown and (quick := self._quick_search(params, page_size, page)):
            return quick

        def search(client: Any) -> SearchPage:
            ask_search(params, page_size, page, client)
            return SearchPage.of(client.doQueue())

        found = self._call("search", search)
        if not found.total:
            return self._nothing(params, page_size, page)
        self._shown.learn(found)
        return found

    def _quick_search(self, params: Mapping[str, Any], page_size: int, page: int) -> SearchPage | None:
        """The same in JSON, of the fields that are looked at; None where it has to be asked for as XML."""

        def search(client: Any) -> SearchPage:
            ask_search(params, page_size, page, client, fields=ENTRY_FIELDS)
            return SearchPage.of_json(client.doQueueAsJson())

        found = self._in_json("search", search)
        return found if found and found.total and self._shown.suffices(found) else None

    def _nothing(self, params: Mapping[str, Any], page_size: int, page: int) -> SearchPage:
        """The same search, in one request with one for anything at all.

        A search out of reach, or too slow, answers as one that finds nothing (real-kaltura E231). Raises KalturaError.
        """

        def read(client: Any) -> tuple[SearchPage, int, float]:
            began = time.monotonic()
            first, second = ask_together(
                client, [partial(ask_search, params, page_size, page), partial(ask_search, anything(), 0, 1)]
            )
            return SearchPage.of(first), read_list(second, ENTRY_LIST)[1], time.monotonic() - began

        found, there, seconds = self._call("search", read)
        if not found.total and seconds >= SEARCH_SECONDS:
            raise KalturaError(
                f"search: Kaltura found nothing within {seconds:.0f} s, which is what it says when its search is too "
                "slow: nothing was selected; try again later, or narrow the selection"
            )
        if not found.total and not there and (entries := self._entries_in_database()):
            raise KalturaError(
                f"search: Kaltura's search does not answer (it finds nothing at all, while the account holds {entries} "
                "entries): nothing was selected; try again once searching in Kaltura's KMC works"
            )
        return found

    def _entries_in_database(self) -> int:
        """How many media entries there are, by another engine than eSearch; its failures are told."""

        def read(client: Any) -> int:
            wanted, pager, body = KalturaMediaEntryFilter(), KalturaFilterPager(), KalturaParams()
            wanted.statusIn, wanted.moderationStatusIn = ANY_STATUS, ANY_MODERATION
            pager.pageSize, pager.pageIndex = 1, 1
            body.addObjectIfDefined("filter", wanted)
            body.addObjectIfDefined("pager", pager)
            client.queueServiceActionCall("media", "list", "KalturaMediaListResponse", body)
            return read_list(client.doQueue(), "KalturaMediaListResponse")[1]

        return self._call("count entries", read)

    def count(self, query: Query) -> int:
        """How many entries the search index says match; one call."""
        return self._search(query.search_params(), page_size=0).total

    def pages(self, query: Query) -> Iterator[Page]:
        """Every entry that the index says matches, once, oldest first, as it is in the database now: page by page.

        The order within a second changes from call to call and the window ends at 10,000 (kaltura-api 3.4), so each
        page is the first one of a new query: created in or after the last second seen, less the ids of that second.
        An answer that does not keep to that is cut to what does, so that no entry comes twice. Raises KalturaError
        where fewer came than there still are.
        """
        size = query.page_size
        cursor: int | None = None
        seen: dict[str, int] = {}  # ids of the cursor's second and after it, with their seconds
        page = 1
        listed, gone, due, short = 0, 0, 0, False  # due: how many the next search has to find at least
        while True:
            if self._stop.is_set():
                raise Stopped("asked to stop")
            if len(seen) > MAX_EXCLUDED_IDS and cursor is not None:
                second = {entry_id for entry_id, created_at in seen.items() if created_at == cursor}
                known = len(second)
                yield from self._within_second(query, cursor, second)
                listed += len(second) - known
                seen = {entry_id: created_at for entry_id, created_at in seen.items() if created_at > cursor}
                cursor, page, due = cursor + 1, 1, 0
                continue
            params = query.search_params(created_from=cursor, not_ids=tuple(sorted(seen)))
            found = self._search(params, page_size=size, page=page)
            total = found.total
            fresh = {
                entry_id: created_at
                for entry_id, created_at in found.outlines
                if entry_id not in seen and (cursor is None or not created_at or created_at >= cursor)
            }
            yield Page(found, fresh, self._partner)
            listed += len(fresh)
            gone += max(0, min(size, total - (page - 1) * size) - len(found.outlines))
            short, due = short or total < due, 0
            if page * size >= total and (page == 1 or not fresh):
                if short:
                    self._require_all(query, listed + gone)
                return
            if not fresh:
                # Hits whose objects are gone: an empty page is not the end. They come in another order each time, so
                # the fewer pages the better.
                page = page + 1 if size == MAX_PAGE else 1
                size = MAX_PAGE
                if page * size > SEARCH_WINDOW:
                    raise SelectionError(
                        "the search index holds too many entries that are gone; select a narrower time"
                    )
                continue
            due = total - page * size
            # Not the latest: in the database an entry's second may have become another one than in the index.
            dated = [created_at for created_at in fresh.values() if created_at] or [cursor or 0]
            cursor = min(dated[-2:])
            seen = {
                entry_id: created_at
                for entry_id, created_at in (seen | fresh).items()
                if not created_at or created_at >= cursor
            }
            page = 1

    def _require_all(self, query: Query, listed: int) -> None:
        """Raise KalturaError if more entries than that match now: then pages of the search were not whole."""
        total = self.count(query)
        if total > listed:
            raise KalturaError(
                f"search: Kaltura's search says that {total} entries match, but listed only {listed} of them: the "
                "selection is not whole; try again, or name the entries by --idfile"
            )

    def _within_second(self, query: Query, second: int, seen: set[str]) -> Iterator[Page]:
        """The rest of a second that more entries share than one query can exclude: paged until all have been seen."""
        params = query.search_params(created_from=second)
        bound = {"objectType": "KalturaESearchRange", "lessThanOrEqual": second}
        params["searchOperator"]["searchItems"].append(
            {"objectType": "KalturaESearchEntryItem", "fieldName": "created_at", "itemType": 5, "range": bound}
        )
        for _ in range(40):  # each pass over pages in random order misses at most about a third of what is left
            page, total = 1, 1
            while (page - 1) * 500 < min(total, SEARCH_WINDOW):
                found = self._search(params, page_size=500, page=page)
                total = found.total
                new = {entry_id: created_at for entry_id, created_at in found.outlines if entry_id not in seen}
                seen.update(new)
                yield Page(found, [entry_id for entry_id, at in new.items() if at == second])
                if len(seen) >= total:
                    return
                page += 1
        raise SelectionError(
            f"{total} entries were created in second {second} and only {len(seen)} of them could be listed; "
            "select them by --idfile"
        )
