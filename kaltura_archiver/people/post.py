"""Brings the notices of a plan to their recipients, and marks the entries."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from email.message import EmailMessage
from pathlib import Path
from typing import TYPE_CHECKING

from kaltura_archiver.errors import EntryFailed
from kaltura_archiver.model import NOTICE_PREFIX, Outcome, same_id
from kaltura_archiver.people.ledger import Ledger, Sent
from kaltura_archiver.people.letterhead import Letterhead
from kaltura_archiver.people.messages import compose, file_name, message_id, write_file
from kaltura_archiver.people.notices import Notice
from kaltura_archiver.people.templates_of_notices import Templates

if TYPE_CHECKING:
    from kaltura_archiver.results import Result


Deliver = Callable[[EmailMessage, str], None]
Mark = Callable[[str, date, str, date | None], "Result"]


@dataclass(frozen=True)
class Post:
    """How the notices of a plan are brought to their recipients.

    `deliver` hands a message to the mail server; without it messages become files in `folder`. `mark` tags an entry
    with the day on which its owner was told, who that was, and which day the message named. `later` says when what
    was not in a message is told of, `again` when owners who are unknown are looked up again.
    """

    plan: str
    folder: Path
    ledger: Ledger
    templates: Templates
    head: Letterhead
    replaced_on: date
    dry_run: bool
    deliver: Deliver | None = None
    mark: Mark | None = None
    later: str = "another --plan-id tells of them"
    again: str = "the next run asks again"

    def process(self, notice: Notice) -> tuple[Outcome, str]:
        """Bring one notice to its recipient, unless that was done. Raises MailError where none will get through."""
        if not notice.address:
            return (Outcome.WAITING, f"{notice.why}; {self.again}") if notice.unknown else (Outcome.REFUSED, notice.why)
        if self.head.wording.reminder:
            return self._remind(notice)
        identity = message_id(self.plan, notice.key, self.head.address)
        path = self.folder / file_name(notice, identity)
        sent = self.ledger.sent.get(notice.key)
        if sent is not None:
            outcome, told = Outcome.ALREADY, f"sent on {sent.at:%Y-%m-%d}"
            if more := len(notice.items.keys() - set(map(same_id, sent.entries))):
                told += f"; {more} more entries were not in it: {self.later}"
            if not self.dry_run:
                path.unlink(missing_ok=True)  # a run that was killed may have left it
        elif notice.key in self.ledger.written and not path.exists():
            return Outcome.ALREADY, f"written, and taken from {self.folder}"
        elif self.dry_run:
            outcome, told = Outcome.WOULD, "would send it" if self.deliver else f"would write {path}"
            sent = Sent.now(notice, self.replaced_on)
        else:
            sent = Sent.now(notice, self.replaced_on)
            try:
                told = self._bring(notice, identity, path, sent)
            except EntryFailed as error:
                return Outcome.FAILED, str(error)
            outcome = Outcome.DONE
        if self.mark and not sent.marked and not notice.co_editor:
            return self._mark(notice, sent, outcome, told, self.mark)
        return outcome, told

    def _remind(self, notice: Notice) -> tuple[Outcome, str]:
        """Once a day at most, of what the first message told and the list still has; with the day that that named."""
        today = datetime.now(UTC).date()
        told = self.ledger.sent.get(notice.key)
        if told is None:
            return Outcome.SKIPPED, "was not told of this plan: there is nothing to remind of"
        if told.until is None or told.until <= today:
            return Outcome.SKIPPED, f"the day that was named is over ({told.until or 'an earlier version'})"
        if (reminded := self.ledger.reminded.get(notice.key)) and reminded.at.date() == today:
            return Outcome.ALREADY, f"reminded on {today}"
        known = set(map(same_id, told.entries))
        left = replace(notice, items={key: item for key, item in notice.items.items() if key in known})
        if not left.items:
            return Outcome.SKIPPED, "nothing of what was told is in this list any more"
        return self.remind(left, told.until)

    def remind(self, notice: Notice, until: date) -> tuple[Outcome, str]:
        """Write once more, of the day that the first message named. Raises MailError as `process` does."""
        identity = message_id(f"{self.plan} reminder {datetime.now(UTC).date()}", notice.key, self.head.address)
        path = self.folder / file_name(notice, identity)
        if self.dry_run:
            return Outcome.WOULD, "would send a reminder" if self.deliver else f"would write {path}"
        try:
            return Outcome.DONE, self._bring(notice, identity, path, Sent.now(notice, until))
        except EntryFailed as error:
            return Outcome.FAILED, str(error)

    def _bring(self, notice: Notice, identity: str, path: Path, sent: Sent) -> str:
        written = self.templates.write(notice, replaced_on=sent.until or self.replaced_on, wording=self.head.wording)
        message = compose(
            notice, written, sender=self.head.sender, reply_to=self.head.reply_to, identity=identity, now=sent.at
        )  # fmt: skip
        if self.deliver is None:
            write_file(path, message)
            if not self.head.wording.reminder:
                self.ledger.record("written", notice, sent)
            return f"written to {path}"
        self.ledger.require_room(notice, sent)
        self.deliver(message, notice.address)
        self.ledger.record("reminded" if self.head.wording.reminder else "sent", notice, sent)
        path.unlink(missing_ok=True)  # nobody is to send it a second time
        return "sent"

    def _mark(self, notice: Notice, sent: Sent, outcome: Outcome, told: str, mark: Mark) -> tuple[Outcome, str]:
        """Tag the entries of a message, only now that it is sent; those that fail are tagged by the next run."""
        day = sent.at.date()
        owners = sent.owners or ("",) * len(sent.entries)
        told_of = zip(sent.entries, owners, strict=True)
        results = [mark(entry_id, day, owner, sent.until) for entry_id, owner in told_of]
        if failed := [result for result in results if result.outcome is Outcome.FAILED]:
            return Outcome.FAILED, f"{told}; {len(failed)} of {len(results)} entries not marked: {failed[0].detail}"
        if self.dry_run:
            return outcome, f"{told} and mark {len(results)} entries"
        self.ledger.record("marked", notice, sent)
        told += f"; {len(results)} entries marked {NOTICE_PREFIX}{day}"
        if moved := [result.entry_id for result in results if result.outcome is Outcome.REFUSED]:
            told += f"; of other owners by now, who have had no notice: {', '.join(moved)}"
        return Outcome.DONE, told
