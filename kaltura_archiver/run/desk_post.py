"""The post of a restore desk: who is told of what was asked back, and of what is back; each of them once.

Who was told is written down in the book when the mail server has taken the message, and before the next is sent. A run
that is killed just between sends that one again, under the same Message-ID where it is the same message.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from kaltura_archiver.errors import StoreError
from kaltura_archiver.model import Entry, Outcome, same_id
from kaltura_archiver.people.coming_back import Coming, News, Written
from kaltura_archiver.people.notices import Notice
from kaltura_archiver.policy import Rule
from kaltura_archiver.run.desk_book import Begun, DeskBook
from kaltura_archiver.run.notices import Correspondence

log = logging.getLogger(__name__)


class Awaited(NamedTuple):
    """An entry that people are told of, and what the book says of it."""

    entry: Entry
    begun: Begun


@dataclass(frozen=True)
class DeskPost:
    """`rule` is what the correspondence takes for one; `instead`: whom a request names is told in the owner's place."""

    letters: Correspondence
    book: DeskBook
    rule: Rule
    instead: bool

    def tell(self, news: News, found: Iterable[Awaited]) -> Iterator[Written]:
        """Write to whom it concerns, unless they were told. Raises MailError where no message gets through."""
        promised = {same_id(each.entry.id): each for each in found if each.begun.promised}
        of_owners = [each.entry for each in promised.values() if not (self.instead and each.begun.mail)]
        notices = self.letters.owners(self.rule, of_owners)
        later = [notice for notice in notices if notice.unknown and not notice.address]
        for notice in later:
            yield Written(notice.owner, notice.entry_ids, Outcome.WAITING, notice.why)
        coming = [
            each for each in self._addressed(promised, [notice for notice in notices if notice not in later])
            if not self.book.was_told(each.request, news, each.address)
        ]  # fmt: skip
        left = {(each.request, each.address.lower()) for each in coming}
        for told in self.letters.write_of(self.rule, news, coming) if coming else ():
            if told.outcome in (Outcome.DONE, Outcome.REFUSED):  # nor does another day find who is refused for good
                requests = [promised[same_id(entry_id)].begun.key for entry_id in told.entry_ids]
                self._mark(news, requests, told.address)
                left -= {(request, told.address.lower()) for request in requests}
            yield told
        waiting = {request for request, _ in left}
        waiting |= {promised[key].begun.key for notice in later for key in notice.items}
        if news is News.BACK:
            self._close(each.begun for each in promised.values() if each.begun.key not in waiting)

    def _addressed(self, promised: dict[str, Awaited], notices: Sequence[Notice]) -> list[Coming]:
        """Each video to each of those it concerns: its owner, and whom the request names."""
        coming: dict[tuple[str, str], Coming] = {}

        def add(each: Awaited, address: str, name: str = "", *, own: bool = False) -> None:
            begun, entry = each.begun, each.entry
            made = Coming(entry.id, entry.name, address, name, begun.key, begun.at, begun.at + begun.seconds, own)
            coming.setdefault((begun.key, address.lower()), made)

        for notice in notices:
            for key in notice.items:
                own = not (notice.co_editor or notice.fallback)
                add(promised[key], notice.address or notice.owner, notice.name, own=own)
        for each in promised.values():
            for address in each.begun.mail:
                add(each, address)
        return list(coming.values())

    def _mark(self, news: News, requests: Iterable[str], address: str) -> None:
        try:
            for request in requests:
                self.book.mark(request, news, address)
        except StoreError as error:
            log.warning("that %s was told cannot be written down, and so they will be told again: %s", address, error)

    def _close(self, over: Iterable[Begun]) -> None:
        try:
            for begun in over:
                self.book.close(begun)
        except StoreError as error:
            log.warning("that what is back was told of cannot be written down: %s", error)
