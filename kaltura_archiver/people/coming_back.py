"""Tells people that a video is back which somebody asked for: one message a person, of all that came back for them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import NamedTuple

from kaltura_archiver.errors import EntryFailed
from kaltura_archiver.model import Outcome, same_id
from kaltura_archiver.people.letterhead import Letterhead
from kaltura_archiver.people.messages import compose, message_id
from kaltura_archiver.people.notices import Notice, NoticedEntry, checked_address, clean
from kaltura_archiver.people.post import Deliver
from kaltura_archiver.people.templates_of_notices import Templates


class CameBack(NamedTuple):
    """A video that is back, and whom to tell: a mail address, and how to call them (the address without a name)."""

    entry_id: str
    title: str
    address: str
    name: str = ""


class ToldBack(NamedTuple):
    """What became of one message, with the entries that it was of."""

    address: str
    entry_ids: tuple[str, ...]
    outcome: Outcome
    detail: str


def told_back(
    came_back: Iterable[CameBack], head: Letterhead, templates: Templates, deliver: Deliver | None, *, run: str
) -> Iterator[ToldBack]:
    """Write to each of these people that their videos are back. `run` names the run: the Message-ID is made of it.

    Without `deliver` (`Mailer.send`) nothing is sent, and each is told as WOULD. A recipient whom the server refuses is
    FAILED, whose address is none REFUSED. Raises MailError where no message will get through.
    """
    today = datetime.now(UTC).date()
    for notice in _by_person(came_back):
        written = templates.write(notice, replaced_on=today, wording=head.wording)
        identity = message_id(f"back {run}", notice.key, head.address)
        message = compose(
            notice, written, sender=head.sender, reply_to=head.reply_to, identity=identity, now=datetime.now(UTC)
        )  # fmt: skip
        outcome, detail = Outcome.DONE, "told that it is back"
        if not notice.address:
            outcome, detail = Outcome.REFUSED, f"{notice.owner!r} is not a mail address"
        elif deliver is None:
            outcome, detail = Outcome.WOULD, "would tell that it is back"
        else:
            try:
                deliver(message, notice.address)
            except EntryFailed as error:
                outcome, detail = Outcome.FAILED, str(error)
        yield ToldBack(notice.address or notice.owner, notice.entry_ids, outcome, detail)


def _by_person(came_back: Iterable[CameBack]) -> list[Notice]:
    notices: dict[str, Notice] = {}
    for back in came_back:
        address, name = checked_address(back.address), clean(back.name)
        new = Notice(
            (address or back.address).lower(), address, clean(back.address), name or address, back=True
        )  # fmt: skip
        title = clean(back.title) or back.entry_id
        item = NoticedEntry(back.entry_id, title, created="", last_played="", plays="", owner="")
        notices.setdefault(new.key, new).items.setdefault(same_id(back.entry_id), item)
    return list(notices.values())
