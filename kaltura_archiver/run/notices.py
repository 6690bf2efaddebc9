"""Writes to owners by a policy: who is to be told of what a rule is about to take away, and who to be reminded."""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, nullcontext, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import NamedTuple

from kaltura_archiver.apply.notice import add_notice
from kaltura_archiver.config import Settings
from kaltura_archiver.errors import DirectoryError, MailError, StoreError
from kaltura_archiver.kaltura import Kaltura
from kaltura_archiver.model import Entry, Facts, Outcome, iso_time
from kaltura_archiver.people.coming_back import Coming, News, Written, tell_people
from kaltura_archiver.people.directory import Directory
from kaltura_archiver.people.ledger import Ledger
from kaltura_archiver.people.letterhead import Letterhead, letterhead
from kaltura_archiver.people.mailer import Mailer
from kaltura_archiver.people.notices import Notice
from kaltura_archiver.people.of_rules import NoticesOfRule
from kaltura_archiver.people.owners import LookUp, attributes_of
from kaltura_archiver.people.post import Post
from kaltura_archiver.policy import Rule, Stage, StageRule
from kaltura_archiver.policy_notices import Reminder, to_be_reminded, to_be_told
from kaltura_archiver.standing import Standing
from kaltura_archiver.store import Store

log = logging.getLogger(__name__)
PER_MINUTE = 60.0
# An object for each reminder, written before it is sent: one that is lost by it is no promise, a second is a nuisance.
PREFIX = "log/notices/"


class ToldOf(NamedTuple):
    """What became of one message: to whom it went, or would have gone, and of which entries."""

    notice: Notice
    outcome: Outcome
    detail: str


@dataclass
class Correspondence:
    """The post of a run by a policy: what it is written with, and by whom. A context manager.

    What is missing of the settings, or wrong in a rule's table, is told before anything is done (ConfigError,
    InputError). A directory or a mail server that is down stops nothing but the notices. `by_play`: who plays the
    placeholder has the video back, by the restore desk.
    """

    settings: Settings
    rules: Sequence[Rule]
    folder: Path
    kaltura: Kaltura
    store: Store
    stop: threading.Event
    dry_run: bool
    by_play: bool = True

    def __post_init__(self) -> None:
        self._stack = ExitStack()
        self._directory: Directory | None = None
        head: Letterhead = letterhead(self.settings)
        self._head = replace(head, wording=replace(head.wording, by_play=self.by_play))
        self._mailer = Mailer(self.settings.smtp, sender=self._head.address, per_minute=PER_MINUTE, stop=self.stop)
        self._rules = {rule.name: NoticesOfRule(rule, self.settings.ldap, self._ldap) for rule in self.rules}

    def _ldap(self) -> LookUp:
        if self._directory is None:
            self._directory = Directory(self.settings.ldap, attributes_of(self.settings.ldap, "mail"))
        return self._directory.look_up

    def __enter__(self) -> Correspondence:
        if self._directory:
            self._stack.enter_context(self._directory)
            try:
                self._directory.open()
            except DirectoryError as error:
                log.error("%s", error)
        if not self.dry_run:
            with suppress(MailError), self._mailer:  # that it is down is told where somebody is to be written to
                pass
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()

    def tell(self, rule: Rule, found: Iterable[tuple[Facts, Standing]], now: float) -> Iterator[ToldOf]:
        """Write to the owners of these entries, of what is to be told of them, or to be reminded of, at that second.

        Raises MailError where no message gets through, Stopped where the run was asked to end, Locked where another
        run writes to the folder.
        """
        for stage, (to_tell, to_remind) in self._sorted(rule, found, now).items():
            yield from self._tell(rule, rule.stage(stage), to_tell, to_remind)

    def _tell(
        self, rule: Rule, made: StageRule, to_tell: Sequence[Entry], to_remind: Mapping[Reminder, Sequence[Entry]]
    ) -> Iterator[ToldOf]:
        """Of one stage."""
        of_rule = self._rules[rule.name]
        plan = f"{rule.name}, {made.announced} {datetime.now(UTC).date()}"
        # Before either is over nothing of this stage can happen, and the message is to name a day on which it can.
        grace = timedelta(seconds=max(of_rule.grace_seconds, made.told_seconds or 0))
        head = replace(self._head, wording=replace(self._head.wording, of=made.announced))
        with ExitStack() as stack:
            ledger = stack.enter_context(Ledger(self.folder, plan, dry_run=self.dry_run, may_be_lost=True))
            if not self.dry_run:
                stack.enter_context(self._mailer)
            post = Post(
                plan=plan, folder=self.folder, ledger=ledger, templates=of_rule.templates, head=head,
                replaced_on=(datetime.now(UTC) + grace).date(), dry_run=self.dry_run, deliver=self._mailer.send,
                mark=partial(add_notice, self.kaltura, of=made.announced, dry_run=self.dry_run),
                later="another day tells of them",
            )  # fmt: skip
            yield from _first(post, of_rule.notices(to_tell), self.stop)
            again = replace(post, head=replace(head, wording=replace(head.wording, reminder=True)))
            for reminder, entries in sorted(to_remind.items(), key=lambda each: each[0].until):
                notices = (notice for notice in of_rule.notices(entries) if not notice.co_editor and notice.address)
                yield from self._remind(again, rule, reminder, notices)

    def owners(self, rule: Rule, entries: Iterable[Entry]) -> list[Notice]:
        """Whose these entries are, and their addresses as far as they are known."""
        return self._rules[rule.name].notices(entries)

    def write_of(self, rule: Rule, news: News, coming: Iterable[Coming]) -> Iterator[Written]:
        """Write of what a restore desk was asked for. Raises MailError where no message gets through."""
        with nullcontext() if self.dry_run else self._mailer:
            deliver = None if self.dry_run else self._mailer.send
            yield from tell_people(news, coming, self._head, self._rules[rule.name].templates, deliver)

    def _sorted(
        self, rule: Rule, found: Iterable[tuple[Facts, Standing]], now: float
    ) -> dict[Stage, tuple[list[Entry], dict[Reminder, list[Entry]]]]:  # fmt: skip
        """Those to be told of each stage, and those to be reminded of it."""
        sorted_by: dict[Stage, tuple[list[Entry], dict[Reminder, list[Entry]]]]
        sorted_by = defaultdict(lambda: ([], defaultdict(list)))
        for facts, at in found:
            if rule.unmet(facts):
                continue
            if stage := to_be_told(rule, facts, at, now):
                sorted_by[stage][0].append(facts.entry)
            elif reminder := to_be_reminded(rule, facts, at, now):
                sorted_by[reminder.stage][1][reminder].append(facts.entry)
        return sorted_by

    def _remind(self, post: Post, rule: Rule, reminder: Reminder, notices: Iterable[Notice]) -> Iterator[ToldOf]:
        until = reminder.until
        for notice in notices:
            if self.stop.is_set():
                return
            whose = [rule.name, notice.key, *filter(None, [reminder.by])]  # earlier versions did not say of what
            key = f"{PREFIX}{until}-{hashlib.sha256(json.dumps(whose).encode()).hexdigest()[:16]}.json"
            record = {"rule": rule.name, "until": str(until), "entries": notice.entry_ids, "at": iso_time(_now())}
            try:
                first = self._is_first(key, json.dumps(record))
            except StoreError as error:
                yield ToldOf(notice, Outcome.FAILED, f"not reminded, for that cannot be written down: {error}")
                continue
            if first:
                yield ToldOf(notice, *post.remind(notice, until))

    def _is_first(self, key: str, record: str) -> bool:
        if self.dry_run:
            return self.store.get_text(key) is None
        return bool(self.store.put_text(key, record, if_match=""))


def _now() -> float:
    return datetime.now(UTC).timestamp()


def _first(post: Post, notices: Sequence[Notice], stop: threading.Event) -> Iterator[ToldOf]:
    """First the owners are told. Who else may edit an entry is, together with them: not again every day where an owner
    cannot be written to."""
    told: set[str] = set()
    for notice in notices:
        if stop.is_set():
            return
        if notice.co_editor:
            left = {key: item for key, item in notice.items.items() if key in told}
            notice = replace(notice, items=left)
        if not notice.items:
            continue
        outcome, detail = post.process(notice)
        if not notice.co_editor and outcome in (Outcome.DONE, Outcome.WOULD, Outcome.ALREADY):
            told |= set(notice.items)
        yield ToldOf(notice, outcome, detail)
