"""Tells people of what a restore desk was asked for: that it was asked back, or that it is back; one message each."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from enum import StrEnum
from typing import NamedTuple

from kaltura_archiver.errors import EntryFailed
from kaltura_archiver.model import Outcome, same_id
from kaltura_archiver.people.letterhead import Letterhead
from kaltura_archiver.people.messages import compose, message_id
from kaltura_archiver.people.notices import Notice, NoticedEntry, checked_address, clean
from kaltura_archiver.people.post import Deliver
from kaltura_archiver.people.templates_of_notices import Templates, day_in_words


class News(StrEnum):
    """What people are told: that it takes its time (`asked` back), and that it is `back`."""

    ASKED = "asked"
    BACK = "back"


class Coming(NamedTuple):
    """A video that is back, or coming, and whom to tell: a mail address, and how to call them (the address without a
    name). `request` names what was begun: the Message-ID is made of it. `own`: whom to tell owns it. Times are unix
    seconds."""

    entry_id: str
    title: str
    address: str
    name: str = ""
    request: str = ""
    asked_at: float = 0.0
    expected_at: float = 0.0
    own: bool = True


class Written(NamedTuple):
    """What became of one message, with the entries that it was of."""

    address: str
    entry_ids: tuple[str, ...]
    outcome: Outcome
    detail: str


def tell_people(
    news: News, coming: Iterable[Coming], head: Letterhead, templates: Templates, deliver: Deliver | None
) -> Iterator[Written]:
    """Write to each of these people of their videos.

    Without `deliver` (`Mailer.send`) nothing is sent, and each is told as WOULD. A recipient whom the server refuses
    for now is FAILED; whom it refuses for good, or whose address is none, REFUSED. Raises MailError where no message
    will get through.
    """
    for notice, found in _by_person(news, coming):
        latest = max(_hour(each.expected_at) for each in found)
        day = datetime.fromtimestamp(latest, UTC) if latest else datetime.now(UTC)
        says = "told that it is back" if news is News.BACK else f"told that it is expected by {_moment(latest)}"
        written = templates.write(notice, replaced_on=day.date(), wording=head.wording)
        identity = message_id(f"{news} {' '.join(each.request for each in found)}", notice.key, head.address)
        message = compose(
            notice, written, sender=head.sender, reply_to=head.reply_to, identity=identity, now=datetime.now(UTC)
        )  # fmt: skip
        outcome, detail = Outcome.DONE, says
        if not notice.address:
            outcome, detail = Outcome.REFUSED, f"{notice.owner!r} is not a mail address"
        elif deliver is None:
            outcome, detail = Outcome.WOULD, f"would be {says}"
        else:
            try:
                deliver(message, notice.address)
            except EntryFailed as error:
                outcome, detail = error.outcome, str(error)
        yield Written(notice.address or notice.owner, notice.entry_ids, outcome, detail)


def _by_person(news: News, coming: Iterable[Coming]) -> list[tuple[Notice, list[Coming]]]:
    found: dict[str, tuple[Notice, list[Coming]]] = {}
    for each in coming:
        address, name = checked_address(each.address), clean(each.name)
        new = Notice((address or each.address).lower(), address, clean(each.address), name or address, desk=news.value)
        item = NoticedEntry(
            each.entry_id, clean(each.title) or each.entry_id, created="", last_played="", plays="", owner="",
            asked=_moment(each.asked_at), expected=_moment(_hour(each.expected_at)),
        )  # fmt: skip
        notice, those = found.setdefault(new.key, (new, []))
        notice.items.setdefault(same_id(each.entry_id), item)
        notice.of_others = notice.of_others or not each.own
        those.append(each)
    return list(found.values())


def _moment(at: float) -> str:
    """`30 November 2026, 20:00 UTC`."""
    when = datetime.fromtimestamp(at, UTC)
    return f"{day_in_words(when.date())}, {when:%H:%M} UTC"


def _hour(at: float) -> float:
    """The next full hour: what is readable has yet to be brought back."""
    return math.ceil(at / 3600) * 3600
