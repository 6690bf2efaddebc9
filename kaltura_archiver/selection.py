"""From a query to entries: the search or the named ids, every criterion tested again, limits kept."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field

from kaltura_archiver.filters import Query
from kaltura_archiver.kaltura import Kaltura
from kaltura_archiver.model import Entry

log = logging.getLogger(__name__)


@dataclass
class Selection:
    """The entries of a query, read as they are iterated. What was left out is counted and told in warnings.

    `cut` is True when the limit ended the selection while more entries matched.
    """

    kaltura: Kaltura
    query: Query
    selected: int = 0
    cut: bool = False
    unknown: list[str] = field(default_factory=list)

    def __iter__(self) -> Iterator[Entry]:
        query = self.query
        skip = (query.first_page - 1) * query.page_size
        entries = self._named() if query.ids is not None else self._found()
        for entry in entries:
            if skip > 0:
                skip -= 1
                continue
            if query.max_entries is not None and self.selected >= query.max_entries:
                self.cut = True
                return
            self.selected += 1
            yield entry

    def _found(self) -> Iterator[Entry]:
        dropped = 0
        seen: set[str] = set()
        for entry in self.kaltura.search(self.query):
            if not self.query.in_shard(entry.id):
                continue
            if entry.id in seen:
                # Two workers must never have the same entry in hand, whatever the index answers.
                continue
            seen.add(entry.id)
            reason = self.query.mismatch(entry)
            if reason:
                # The index lags, and its tag search is wider than a whole tag (kaltura-api 3.2, 3.4).
                dropped += 1
                log.debug("entry %s does not match any more: %s", entry.id, reason)
            else:
                yield entry
        if dropped:
            log.warning(
                "left out %d entries that the search index named but that do not match as they are now", dropped
            )

    def _named(self) -> Iterator[Entry]:
        query = self.query
        ids = tuple(entry_id for entry_id in dict.fromkeys(query.ids or ()) if query.in_shard(entry_id))
        in_categories = None
        if query.category is not None or query.without_categories:
            # What is below a category only the index knows.
            in_categories = self.kaltura.matching(query, ids)
        for entry_id, entry in self.kaltura.entries(ids):
            if entry is None:
                self.unknown.append(entry_id)
                log.warning("entry %s: no such entry in this account (or not visible to this user)", entry_id)
                continue
            reason = query.mismatch(entry)
            if not reason and in_categories is not None and entry_id not in in_categories:
                reason = "it is not in the categories asked for"
            if reason:
                log.warning("entry %s is left out: %s", entry_id, reason)
            else:
                yield entry

    def count(self) -> int:
        """How many entries match: one call, or for named ids and a share a look at each."""
        if self.query.ids is not None:
            return sum(1 for _ in self._named())
        if self.query.shard is not None:
            return sum(1 for _ in self._found())
        return self.kaltura.count(self.query)
