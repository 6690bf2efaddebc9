"""The run loop, the gate, and the protocols: the one module whose calls change anything."""

from __future__ import annotations

import hashlib
import logging
import re
import threading
import time
from collections.abc import Callable, Collection, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, nullcontext, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from kaltura_archiver import __version__, pictures
from kaltura_archiver.clones import with_source
from kaltura_archiver.errors import (
    ArchiverError,
    Cancelled,
    Changed,
    EntryFailed,
    Gone,
    KalturaError,
    Refused,
    ServiceError,
    Stopped,
    StoreError,
    Waiting,
)
from kaltura_archiver.flavors import Settings, keep, read_settings_of, set_again, settings_of
from kaltura_archiver.kaltura import ALREADY_REPLACED, FEATURE_FORBIDDEN, TOKEN_PREFIX, Kaltura
from kaltura_archiver.model import (
    ARCHIVED_TAG,
    DISPLACED_PREFIX,
    REPLACED_TAG,
    SETTINGS_DUE,
    SETTINGS_SET,
    TIERED_CLASS,
    UNREADABLE,
    VERSION_STEP,
    Availability,
    Cause,
    Entry,
    EntryStatus,
    Evidence,
    Facts,
    FlavorAsset,
    FlavorStatus,
    Identity,
    Outcome,
    Proof,
    ReplacementStatus,
    StoredObject,
    iso_time,
    normalised_tags,
    notice_tag,
)
from kaltura_archiver.pacing import LOOK_BATCH, Conversions, Room, Traffic
from kaltura_archiver.placeholders import Placeholder, Placeholders
from kaltura_archiver.plans import CROWDED, UNDECIDED, Command, Options, Plan, Step, plan_for, unnoticed
from kaltura_archiver.proof import Verdict, compare, compare_own
from kaltura_archiver.reading import with_original_read
from kaltura_archiver.states import holds_placeholder, identify, settles_in
from kaltura_archiver.store import Store
from kaltura_archiver.streams import (
    Fingerprint,
    Fingerprinter,
    Landing,
    Piece,
    fingerprint,
    first_bytes,
)

if TYPE_CHECKING:
    from kaltura_archiver.lock import Runs

log = logging.getLogger(__name__)

# How often a finished wait may turn out to need another plan (a replacement found in progress, then settled).
MAX_PLANS = 4
# A URL for Kaltura is good for the time of its job (--timeout), within these.
MIN_URL_SECONDS, MAX_URL_SECONDS = 60.0, 6 * 3600.0
NO_CONTENT_SECONDS = 60.0
# For so long it is tried to learn whether a replacement has begun whose call failed.
UNKNOWN_SECONDS = 60.0


@dataclass(frozen=True)
class Result:
    """How a command ended for one entry; bytes are what was copied and what Kaltura need not store any more.

    `facts` and `steps` are what the last plan rested on and what it was; None and none where it did not come to one.
    `ended_at` is unix seconds.
    """

    entry_id: str
    state: str
    outcome: Outcome
    detail: str
    bytes_moved: int = 0
    bytes_freed: int = 0
    facts: Facts | None = None
    steps: tuple[Step, ...] = ()
    ended_at: float = 0.0
    cause: Cause | None = None

    @property
    def last_played_at(self) -> int | None:
        """Unix seconds; None for never, or where the entry could not be read."""
        return self.facts.entry.last_played_at if self.facts else None


# With the run that made it since version 1.3.
_TOKEN_NAME = re.compile(rf"{TOKEN_PREFIX}(?:(?P<run>[0-9a-f]{{8}})-)?(?P<entry>\w+)(?:\.\w+)?$")
# May turn a plan into none, on the very facts that it was made from.
Review = Callable[[Facts, Plan], Plan]


@dataclass
class _Work:
    """One entry in hand: what was known when it was planned, and what the steps have made so far."""

    facts: Facts
    steps: tuple[Step, ...] = ()
    token: str = ""
    token_used: bool = False
    sent_bytes: int = 0  # the size of the content that is to take the original's place
    placeholder: Placeholder | None = None  # the one that was uploaded
    proven: FlavorAsset | None = None  # the original that this run has found to be, or made, what is stored
    converting: bool = False  # one of those that Kaltura may convert at a time
    hides: bool = False  # it is the placeholder that takes the original's place
    begun: bool = False  # content of the entry may have changed: there is no way back
    settings: Settings | None = None  # of its flavors, kept to be set again
    settings_tag: str = ""  # of the stored copy, as we have set it
    own_tags: set[str] = field(default_factory=set)
    tags_seen: frozenset[str] = frozenset()  # of the entry, when its swap was done
    left: str = ""  # what a replacement that is thrown away leaves, in words
    picture: pictures.Due | None = None  # what was known of its picture before the swap
    bytes_moved: int = 0
    bytes_freed: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def id(self) -> str:
        return self.facts.entry.id

    @property
    def original(self) -> FlavorAsset:
        if self.facts.original is None:
            raise EntryFailed(f"entry {self.id} has no original flavor")
        return self.facts.original

    @property
    def stored(self) -> StoredObject:
        if self.facts.stored is None:
            raise EntryFailed(f"there is no stored copy of {self.id}")
        return self.facts.stored


class Runner:
    """Brings entries to where a command wants them; safe to be called for many entries at a time."""

    def __init__(
        self,
        kaltura: Kaltura,
        store: Store,
        command: Command,
        options: Options,
        *,
        placeholders: Placeholders,
        poll_seconds: float,
        settle_seconds: float,
        stop: threading.Event,
        review: Review | None = None,
        room: Room | None = None,
        transfers: AbstractContextManager[object] | None = None,
        run: str = "",
    ) -> None:
        """`run` is the id in the names of what it makes. `transfers` is entered for the time of each transfer;
        `room` is for who calls `one` instead of `run`.
        """
        self.kaltura = kaltura
        self.store = store
        self.command = command
        self.options = options
        self.placeholders = placeholders
        self._poll_seconds = poll_seconds
        self._settle_seconds = settle_seconds
        self._stop = stop
        self._review = review
        self._token_prefix = f"{TOKEN_PREFIX}{run}-" if run else TOKEN_PREFIX
        self._kept_by_category = command.heeds_keep and bool(options.keep.categories)
        self._room = room or Room(1, options.max_converting, stop)
        self._transfers = transfers or nullcontext()
        # Each entry perhaps with the temporary one of its replacement.
        self._conversions = Conversions(partial(kaltura.entries, size=2 * LOOK_BATCH), poll_seconds, stop)
        self._no_replacement = False  # set once Kaltura says that this account cannot replace content
        self._said: set[str] = set()  # what is said once per run

    # The run

    def run(self, entry_ids: Iterable[str], workers: int) -> Generator[Result, None, None]:
        """Results as they come; after `stop` is set no further entry is begun.

        At most `workers` entries are worked on, and beside them at most `max_converting` wait for a conversion, and as
        many for its end to settle.
        """
        waiting = iter(entry_ids)
        self._room = Room(workers, self.options.max_converting, self._stop)
        news: SimpleQueue[Future[Result] | None] = SimpleQueue()  # a result, or that a place has become free
        self._room.on_freed(partial(news.put, None))
        with ThreadPoolExecutor(2 * (workers + self.options.max_converting), thread_name_prefix="entry") as pool:
            running = 0
            try:
                entry_id = next(waiting, None)
                while True:
                    while entry_id is not None and not self._stop.is_set() and self._room.begin():
                        pool.submit(self._in_its_place, entry_id).add_done_callback(news.put)
                        running += 1
                        entry_id = next(waiting, None)
                    if not running:
                        return
                    if future := news.get():
                        running -= 1
                        yield future.result()
            except BaseException:
                self._stop.set()
                raise

    def _in_its_place(self, entry_id: str) -> Result:
        try:
            return self.one(entry_id)
        finally:
            self._room.end()

    def remove_leftovers(self, entry_ids: Iterable[str], known: Callable[[], Runs]) -> None:
        """Remove what runs that are over have left of these entries: multipart uploads, upload tokens never used.

        `known` looks which runs those are. What may be another run's is told, and left. Anything that fails here is
        told and does no harm.
        """
        ids = frozenset(entry_ids)
        try:
            runs = known()
            if self.command in (Command.S3COPY, Command.RESTORE):  # restore may keep a displaced copy
                uploads, left = self.store.abort_stale_uploads(ids, datetime.fromtimestamp(max(runs.began, 0), UTC))
                if uploads:
                    log.info("removed %d multipart uploads that an interrupted run had left", uploads)
                if left:
                    log.info("%d multipart uploads stay: they may be those of a run that is alive", left)
            if self.command in (Command.REPLACE, Command.RESTORE, Command.REPAIR):
                self._remove_tokens(ids, runs)
        except ServiceError as error:
            log.warning("could not look for what interrupted runs have left: %s", error)

    def _remove_tokens(self, ids: frozenset[str], runs: Runs) -> None:
        for token_id, name in self.kaltura.unused_tokens():
            made = _TOKEN_NAME.match(name)
            if not made or made["entry"] not in ids:
                continue
            if made["run"] in runs.over:
                self.kaltura.delete_token(token_id)
                log.info("removed the upload token %s that an interrupted run had left", token_id)
            else:
                log.info("upload token %s stays: nothing tells that run %s is over", token_id, made["run"] or "unknown")

    def one(self, entry_id: str) -> Result:
        """Do the command's work on one entry. Never raises for what is wrong with one entry."""
        work: _Work | None = None
        state, cause = "", None
        outcome, detail, settled = Outcome.FAILED, "", False
        try:
            for _ in range(MAX_PLANS):
                facts, plan = self._plan(entry_id)
                entry_id = facts.entry.id  # the true one, however it was spelled
                if self._waited_to_settle(facts, plan):
                    facts, plan = self._plan(entry_id)
                state, cause = state or plan.state, plan.cause
                moved = work.bytes_moved if work else 0
                work = _Work(facts, plan.steps, bytes_moved=moved)
                try:
                    outcome, detail = self._carry_out(plan, work)
                finally:
                    self._end_conversion(work)
                again = Step.SETTLE in plan.steps
                # What a clone is restored from it has only now.
                again = again or (Step.COPY_SOURCE in plan.steps and self.command is Command.RESTORE)
                if not again or outcome is not Outcome.DONE:
                    break
                settled = True
            if settled and outcome is Outcome.ALREADY:
                outcome = Outcome.DONE
        except Gone as error:
            outcome, detail = Outcome.DRIFTED if self._review else Outcome.FAILED, str(error)
        except Stopped:
            outcome, detail = Outcome.INTERRUPTED, "interrupted; run the command again to go on"
        except Waiting as error:
            outcome, detail = Outcome.WAITING, str(error)
        except Refused as error:
            outcome, detail, cause = Outcome.REFUSED, str(error), error.cause
        except ArchiverError as error:
            outcome, detail = Outcome.FAILED, str(error)
        except Exception as error:
            # One entry's surprise must not end the run for the others.
            log.debug("unexpected", exc_info=True)
            outcome, detail = Outcome.FAILED, f"unexpected {type(error).__name__}: {error}"
        if work is not None and not self.options.dry_run:
            self._clean_up(work)
        level = logging.ERROR if outcome is Outcome.FAILED else logging.INFO
        text = detail if outcome is Outcome.WOULD else f"{outcome}: {detail}"
        self._line(level, "entry", entry_id, text, outcome=outcome.value)
        if work is None:
            return Result(entry_id, state, outcome, detail, ended_at=time.time())
        return Result(
            entry_id, state, outcome, detail, work.bytes_moved, work.bytes_freed, work.facts, work.steps, time.time(),
            cause,
        )  # fmt: skip

    def drifted(self, entry_id: str, state: str, why: str, facts: Facts | None = None) -> Result:
        """Tell of an entry that is not begun, since it is not what the plan was made for."""
        self._line(logging.WARNING, "entry", entry_id, f"drifted: {why}", outcome=Outcome.DRIFTED.value)
        return Result(entry_id, state, Outcome.DRIFTED, why, facts=facts, ended_at=time.time())

    def traffic(self) -> Traffic:
        """What was asked of the services so far."""
        kaltura, store = self.kaltura.pace, self.store.pace
        return Traffic(kaltura.calls, store.calls, kaltura.retries + store.retries)

    @property
    def converting(self) -> int:
        """How many entries Kaltura is converting for this run."""
        return self._room.converting

    def facts(self, entry_id: str) -> Facts:
        """Everything about one entry, read now. Raises Gone if there is no such entry."""
        return self._look(entry_id, children=False, categories=True)[0]

    def _look(self, entry_id: str, *, children: bool, categories: bool) -> tuple[Facts, int]:
        """The facts and, where asked for, how many further streams the entry has."""
        usual_tags = self.kaltura.usual_tags() if self.command.swaps else None
        entry, flavors, count, placings = self.kaltura.look(entry_id, children=children, categories=categories)
        if entry is None:
            raise Gone(f"no such entry in this account (or not visible to this user): {entry_id}")
        # Of the true id: Kaltura knows the entry by other spellings, S3 does not.
        facts = self.placeholders.facts(entry, flavors, self.store.head(entry.id), placings)
        facts = with_source(self.kaltura, self.store, replace(facts, usual_tags=usual_tags))
        return with_original_read(self.kaltura, facts), count

    def _plan(self, entry_id: str) -> tuple[Facts, Plan]:
        # Most entries that these two are given are swapped, few of repair's are.
        asked = self.command in (Command.REPLACE, Command.RESTORE)
        categories = self._kept_by_category or self.placeholders.by_category
        facts, children = self._look(entry_id, children=asked, categories=categories)
        plan = plan_for(self.command, facts, self.options, children=children)
        if not asked and any(step.destroys for step in plan.steps):
            number = self.kaltura.children([facts.entry.id])[facts.entry.id]
            plan = plan_for(self.command, facts, self.options, children=number)
        return facts, self._review(facts, plan) if self._review else plan

    def _waited_to_settle(self, facts: Facts, plan: Plan) -> bool:
        """Wait until the entry's last replacement cannot undo another one; False if there is nothing to wait for.

        Raises Waiting where that would take too long for a run.
        """
        if self.options.dry_run or not any(step.destroys for step in plan.steps):
            return False
        left = settles_in(facts, self.kaltura.now(), self._settle_seconds)
        if left > self._settle_seconds:
            raise Waiting(
                f"Kaltura has not ended the last replacement of {facts.entry.id} yet: its original will be set once "
                "more; run the command again later"
            )
        if left > 0:
            with self._room.waiting():
                if self._stop.wait(left):
                    raise Stopped("asked to stop")
        return left > 0

    def _carry_out(self, plan: Plan, work: _Work) -> tuple[Outcome, str]:
        if not plan.steps:
            return plan.outcome, plan.reason
        if self.options.dry_run:  # the gate: nowhere else is this asked
            return Outcome.WOULD, self._foretold(plan, work)
        for step in plan.steps:
            if self._stop.is_set():
                raise Stopped("asked to stop")
            self._line(logging.DEBUG, "step", work.id, step.value)
            _STEPS[step](self, work)
        if Step.THAW in plan.steps:
            return Outcome.WAITING, "; ".join(work.notes)
        return Outcome.DONE, "; ".join(work.notes)

    def _foretold(self, plan: Plan, work: _Work) -> str:
        """What would be done. A copy that would be read back is read: that changes nothing, and nothing else tells what
        would be recorded. Raises what the reading itself raises.
        """
        if Step.READ_BACK not in plan.steps:
            return plan.describe()
        found, verdict = self._own_verdict(work)
        hint = "; --no-dry-run marks it, so that nothing rests on it"
        return f"would record that it is whole: {_whole(found, verdict, hint=hint)}"

    def _line(self, level: int, kind: str, entry_id: str, detail: str, **more: str) -> None:
        fields = {
            "mode": "DRYRUN" if self.options.dry_run else "EXEC",
            "kind": kind,
            "entry": entry_id,
            "action": self.command.value,
            **more,
        }
        log.log(level, "%s", detail, extra=fields)

    def _clean_up(self, work: _Work) -> None:
        """Remove what an entry that did not get through has left: its upload token, and a tag set too early."""
        with suppress(ArchiverError):
            if work.token and not work.token_used:
                self.kaltura.delete_token(work.token)
        if work.token and REPLACED_TAG in work.own_tags and not work.begun:
            try:
                if not self._placeholder_comes(work.id):
                    self.kaltura.change_tags(work.id, remove=REPLACED_TAG)
            except ArchiverError as error:
                log.warning("entry %s keeps the tag %s for now: %s", work.id, REPLACED_TAG, error)

    def _placeholder_comes(self, entry_id: str) -> bool:
        """Whether the placeholder is in place or on its way, by another run: then the tag flavors_deleted is right."""
        facts = self.facts(entry_id)
        if not facts.entry.replacing_entry_id:
            return holds_placeholder(facts) is True
        source = self._source_of_replacement(facts.entry)
        return source is not None and source.size_bytes in facts.placeholder_sizes

    def _source_of_replacement(self, entry: Entry) -> FlavorAsset | None:
        """The new original that a replacement in progress is going to put in."""
        temporary = entry.replacing_entry_id
        return Facts(entry, self.kaltura.flavors([temporary])[temporary]).original if temporary else None

    # Steps: tags

    def _still_proven(self, work: _Work) -> Callable[[tuple[FlavorAsset, ...]], None] | None:
        """What is to be asked of the flavors at the moment of a tag that says what was proven of the original."""
        proven, brought = work.proven, Step.PUT_ORIGINAL in work.steps
        return (lambda flavors: self._require_current(proven, flavors, linked_again=brought)) if proven else None

    def _add_archived(self, work: _Work) -> None:
        self.kaltura.change_tags(work.id, add=ARCHIVED_TAG, check=self._still_proven(work))
        work.own_tags.add(ARCHIVED_TAG)
        work.notes.append(f"tagged {ARCHIVED_TAG}")

    def _add_replaced(self, work: _Work) -> None:
        if work.facts.entry.replaced:
            return
        # Set before the swap, so that an interruption after it is not taken for somebody's newer upload. Noted first:
        # the answer may be lost, and then the tag has to be taken back all the same.
        work.own_tags.add(REPLACED_TAG)
        self.kaltura.change_tags(work.id, add=REPLACED_TAG)
        work.notes.append(f"tagged {REPLACED_TAG}")

    def _remove_replaced(self, work: _Work) -> None:
        if not {Step.PUT_ORIGINAL, Step.SET_FLAVORS}.intersection(work.steps):
            self._set_settings_again(work, look=True)  # for a restore that was cut
        if Step.PUT_ORIGINAL not in work.steps:
            self._record_return(work)
        entry = self.kaltura.change_tags(work.id, remove=REPLACED_TAG, check=self._still_proven(work))
        work.notes.append(f"tag {REPLACED_TAG} removed")
        if entry.unreadable:
            work.notes.append(UNREADABLE)
            log.warning("entry %s: %s", work.id, UNREADABLE)
        self._keep_tags(work, entry.tag_set, ARCHIVED_TAG)

    def _record_return(self, work: _Work) -> None:
        """Record when the original came back, of a restore that was cut before it could: that counts as a play.

        For repair it may also be a replacement that was cut before its swap; then nothing tells of another original.
        """
        came_back = self.command is Command.RESTORE or Step.PROVE in work.steps or work.stored.placeholder
        if came_back and work.stored.restored_at is None:
            self.store.set_tags(work.id, restored_at=iso_time(time.time()), placeholder=None, replaced_at=None)

    def _keep_tags(self, work: _Work, seen: Collection[str], *tags: str) -> None:
        """Put those of our tags back that are not there any more: a form opened before we set them, saved after."""
        for tag in tags:
            if tag not in seen:
                self.kaltura.change_tags(work.id, add=tag)
                work.notes.append(f"tag {tag} was gone, and is there again")

    # Steps: the stored copy

    def _copy(self, work: _Work) -> None:
        with self._transfers:
            found = self._copied(work)
        work.bytes_moved += found.size_bytes
        self._record(work, work.original, found, self._shown(work, work.id, found))
        work.notes.append(f"copied {found.size_bytes} bytes, sha256 {found.sha256}")

    def _shown(self, work: _Work, key: str, sent: Fingerprint) -> Proof:
        """By what S3 is shown to have under this key what was sent. Raises EntryFailed if it is not."""
        stored = self.store.head(key, with_tags=False)
        verdict = compare(sent, stored) if stored else None
        if stored is None or verdict is None or verdict.identity is Identity.DIFFERENT:
            raise EntryFailed("S3 does not show the object as it was written; the entry is not tagged")
        evidence = verdict.evidence or self._copy_read_back(work, stored, sent)
        return Proof.of(evidence, sent.crc64nvme, stored.etag)

    def _copy_read_back(self, work: _Work, stored: StoredObject, sent: Fingerprint) -> Evidence:
        """Read what S3 stored, where it shows nothing that proves it: a bit may have changed on the way.

        Raises EntryFailed if it is not what was sent.
        """
        self.store.prove_by_md5()
        self._say_once("this S3 does not show that it checked what it was sent: copies are read back before they count")
        if stored.availability is not Availability.READABLE:
            raise EntryFailed(
                f"this S3 does not show that it checked the copy, which cannot be read back in {stored.storage_class}: "
                "thaw it and run s3copy again; better use --storage-class STANDARD, and a lifecycle rule"
            )
        if self._own_sha256(work, stored, sent.sha256) == sent.sha256:
            return Evidence.READ
        if stored.key == work.id:
            self._mark_damaged(work, stored)
        raise EntryFailed(
            f"MISMATCH: what S3 has as {stored.key} is not what was sent; remove that object, and run the command again"
        )

    def _own_sha256(self, work: _Work, stored: StoredObject, expected: str) -> str:
        """The SHA-256 of the stored bytes; a second reading has the last word if the first is not as expected."""
        sha256 = ""
        for _ in range(2):
            with self._transfers:
                found = fingerprint(self.store.read(stored))
            work.bytes_moved += found.size_bytes
            sha256 = found.sha256
            if sha256 == expected:
                break
        return sha256

    def _mark_damaged(self, work: _Work, stored: StoredObject) -> None:
        now = datetime.fromtimestamp(self.options.now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        self.store.mark(stored, "damaged")
        self._tag_marked(work, damaged_at=now, verified_at=None)

    def _say_once(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            log.warning("%s", text)

    def _copied(self, work: _Work) -> Fingerprint:
        original, landing = work.original, Landing()
        size, pieces = self.kaltura.content(original, landing)
        if alike := self.placeholders.of_size(size):
            content = b"".join(pieces)
            if hashlib.sha256(content).hexdigest() in {placeholder.sha256 for placeholder in alike}:
                raise Refused("the original is the placeholder video: it is not archived as an original")
            pieces = iter([content])
        entry = work.facts.entry
        metadata = {
            "entry-id": work.id,
            "file-ext": original.file_ext,
            "source-bytes": str(size),
            "source-name": quote(entry.name[:100].strip(" "), safe=" "),
            "archived-at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "tool": f"kaltura-archiver {__version__}",
        }
        with closing(self._while_current(original, pieces)) as current:
            return self.store.write(
                work.id,
                current,
                size,
                metadata={name: value for name, value in metadata.items() if value},
                storage_class=self.options.storage_class,
                landing=landing,
            )

    def _copy_source(self, work: _Work) -> None:
        """Store what the copy of a clone's source holds under the clone's own id, and prove it on its way."""
        source, original = work.facts.source, work.original
        if source is None:
            raise EntryFailed(f"there is no stored copy that {work.id} is a clone of")
        now = self.store.head(source.key, with_tags=False)
        if now is None or not same_object(now, source):
            raise Changed(f"the stored copy of {source.key} changed meanwhile")
        self._require_current(original)
        taken = self.store.fingerprinter(source, own=True)
        pieces = self._proven(taken, source, self.store.read(source))
        metadata = {**source.metadata, "entry-id": work.id, "source-entry": source.key}
        try:
            with self._transfers:
                found = self.store.write(
                    work.id, pieces, source.size_bytes, metadata=metadata, storage_class=self.options.storage_class
                )
        except StoreError as error:
            if error.code == "AccessDenied" and self.command is not Command.S3COPY:
                raise Refused(f"{error}; run s3copy for {work.id} with the rights to archive, then restore") from error
            raise
        proof = self._shown(work, work.id, found)
        size_bytes = original.size_bytes or 0
        what = _placeholder_tag(original.content_id, work.facts.original_sha256, size_bytes)
        self.store.set_tags(work.id, sha256=found.sha256, placeholder=what, proof=str(proof))
        self._mark_placeholder(work, original.content_id, size_bytes)
        work.bytes_moved += found.size_bytes
        work.notes.append(f"the stored copy of {source.key} is its own now, too: {found.size_bytes} bytes")

    def _while_current(self, original: FlavorAsset, pieces: Iterable[Piece]) -> Generator[Piece, None, None]:
        """The pieces, and at their end, before anything is stored, the check that they are still the original."""
        yield from pieces
        self._require_current(original)

    def _require_current(
        self, original: FlavorAsset, flavors: tuple[FlavorAsset, ...] | None = None, *, linked_again: bool = False
    ) -> None:
        """Raise Changed unless this is still the original, among `flavors` if those were read just now.

        `linked_again` says that it came by a replacement of ours: then the server may have linked its file once more.
        """
        if flavors is None:
            flavors = self.kaltura.flavors([original.entry_id])[original.entry_id]
        now = Facts(Entry(original.entry_id), flavors).original
        if now is not None and linked_again and now.linked_again(original):
            original = now
        if now is None or now.content_id != original.content_id or not now.status.ready:
            raise Changed(
                f"the original of {original.entry_id} was replaced or removed meanwhile "
                f"({original.content_id}, now {now.content_id if now else 'none'}); run the command again"
            )

    def _record(self, work: _Work, original: FlavorAsset, found: Fingerprint, proof: Proof, **more: str | None) -> None:
        """Tag the object with what was proven: this version of the original has these bytes, and so has S3.

        The original must have been looked at after its last byte was read: else they may be another version's.
        """
        tags: dict[str, Any] = {
            "sha256": found.sha256,
            "flavor": original.content_id,
            "proof": str(proof),
            "undecided": None,
            **more,
        }
        self.store.set_tags(work.id, **tags)
        work.proven = original

    def _prove(self, work: _Work) -> None:
        """Read the original once, store nothing, and compare it with the stored copy without thawing that."""
        original, stored = work.original, work.stored
        found, (identity, how, evidence) = self._read_original(work)
        accepted = None
        if identity is Identity.LIKELY:
            if not self.options.accept_size_match:
                # So that it is not read again, night after night.
                self._tag_marked(work, undecided=original.content_id)
                raise Refused(UNDECIDED, Cause.UNDECIDED)
            accepted, evidence, how = "size", Evidence.ACCEPTED, f"{how}; accepted by --accept-size-match"
        if evidence is None:
            raise Refused(
                f"the stored copy is not this original: {how}; perhaps a newer upload: decide which one is to stay"
            )
        self._require_current(original)
        proof = Proof.of(evidence, found.crc64nvme, stored.etag)
        self._record(work, original, found, proof, accepted=accepted)
        work.notes.append(f"stored copy proven to be the original ({how}), sha256 {found.sha256}")

    def _read_original(self, work: _Work) -> tuple[Fingerprint, Verdict]:
        """Read the original and compare it with the stored copy, which is read too where that is the only way.

        A difference is only believed when a second reading shows it too; it is then recorded, so that nothing rests on
        sizes that agree by chance.
        """
        for _ in range(2):
            with self._transfers:
                _, pieces = self.kaltura.content(work.original)
                found = fingerprint(pieces, self.store.fingerprinter(work.stored))
            verdict = compare(found, work.stored)
            if verdict.identity is Identity.LIKELY and work.stored.availability is Availability.READABLE:
                self._say_once("S3 shows nothing of some stored copies that proves them: they are read back")
                same = self._own_sha256(work, work.stored, found.sha256) == found.sha256
                verdict = (
                    Verdict(Identity.SAME, "it was read back", Evidence.READ)
                    if same
                    else Verdict(Identity.DIFFERENT, "it was read back: SHA-256 differs")
                )
            if verdict.identity is not Identity.DIFFERENT:
                return found, verdict
        self.store.mark(work.stored, f"differs.{work.original.content_id}")
        self._tag_marked(work, flavor=None, differs=work.original.content_id)
        return found, verdict

    def _prove_again(self, work: _Work) -> None:
        """Before anything irreversible: the original, read once more, has the bytes that the stored copy has.

        Kaltura has no checksums, so a byte that changed on its way from there could be seen in no other way.
        """
        original = work.facts.original
        if original is None or not original.status.ready or holds_placeholder(work.facts):
            return
        _, verdict = self._read_original(work)
        if verdict.identity is not Identity.SAME:
            raise EntryFailed(
                f"the stored copy does not have the original's bytes: {verdict.how}; nothing was replaced; move the "
                f"object away in S3, remove the tag {ARCHIVED_TAG} in Kaltura, and run s3copy"
            )

    def _require_stored(self, work: _Work) -> StoredObject:
        """The stored copy, if it is still what was planned on; Changed otherwise."""
        stored = self.store.head(work.id)
        if stored is None or not same_object(stored, work.stored):
            raise Changed(f"the stored copy of {work.id} changed meanwhile")
        return stored

    def _require_sound(self, work: _Work) -> None:
        """As `_require_stored`, for who hands on bytes that nobody will look at."""
        stored = self._require_stored(work)
        if stored.availability is not Availability.READABLE:
            raise _frozen_again(stored)
        if spoiled := stored.spoiled:
            raise Refused(spoiled)

    def _check_copy(self, work: _Work) -> None:
        stored = self._require_stored(work)
        original = work.facts.original
        if original is None or not original.status.ready or holds_placeholder(work.facts):
            return
        if identify(original, stored)[0] is not Identity.SAME:
            raise Refused(f"the stored copy of {work.id} is not proven to be this original any more")
        if stored.crowded:
            raise Refused(CROWDED)

    def _thaw(self, work: _Work) -> None:
        # A clone that has no copy is restored from that of its source.
        options, stored = self.options, work.facts.stored or work.facts.source or work.stored
        thawing = stored.availability is Availability.THAWING
        # A restore that is running keeps its days.
        days = (stored.thaw_asked[1] if thawing else None) or options.days
        asked = self.store.request_thaw(stored, tier=options.tier, days=days)
        with suppress(ArchiverError):  # else it is asked once more, which does no harm
            self.store.set_tags(stored.key, thaw=f"{options.tier} {days}")
        if asked and thawing:
            work.notes.append(
                f"the restore from {stored.frozen_in} that is running was asked to go faster (tier {options.tier}): "
                f"run {self.command} again when it is readable"
            )
        elif asked:
            for_days = "" if stored.storage_class == TIERED_CLASS else f", {options.days} days"
            work.notes.append(
                f"restore from {stored.frozen_in} requested (tier {options.tier}{for_days}): run {self.command} again "
                "when it is readable"
            )
        else:
            work.notes.append(
                f"the restore from {stored.frozen_in} is still running, as fast or faster: run {self.command} again "
                "later"
            )

    def _keep_thawed(self, work: _Work) -> None:
        """Ask for more time for a thawed copy that would be frozen again before its restore has surely ended."""
        ends_at = work.stored.thaw_ends_at
        if ends_at is None or ends_at > time.time() + self.options.timeout_seconds + MAX_URL_SECONDS:
            return
        self.store.request_thaw(work.stored, tier=self.options.tier, days=self.options.days)
        work.notes.append(f"the thawed copy, readable until {work.stored.thawed_until}, was asked for again")

    def _own_verdict(self, work: _Work) -> tuple[Fingerprint, Verdict]:
        """Read the stored copy and compare it with its checksum. A difference may have come about on the way: only one
        that stays is the object's.
        """
        for _ in range(2):
            with self._transfers:
                found = fingerprint(self.store.read(work.stored), self.store.fingerprinter(work.stored, own=True))
            work.bytes_moved += found.size_bytes
            verdict = compare_own(found, work.stored)
            if verdict.identity is not Identity.DIFFERENT:
                break
        return found, verdict

    def _read_back(self, work: _Work) -> None:
        """Read the stored copy, compare it with its checksum, and record what was found and when that was."""
        stored = work.stored
        found, verdict = self._own_verdict(work)
        if verdict.identity is Identity.DIFFERENT:
            self._mark_damaged(work, stored)
        told = _whole(found, verdict)
        if stored.damaged_at:
            self.store.mark(stored, "whole")
        now = datetime.fromtimestamp(self.options.now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        tags: dict[str, Any] = {"verified_at": now, "damaged_at": None, "thaw": None}
        if stored.sha256 and not stored.proven:
            tags["proof"] = str(Proof.of(Evidence.READ, found.crc64nvme, stored.etag))
        self.store.set_tags(work.id, **tags)
        work.notes.append(f"verified: {told}")

    def _tag_marked(self, work: _Work, **changes: str | None) -> None:
        """Let the tags say what a mark says already: for people, and older versions of this tool."""
        try:
            self.store.set_tags(work.id, **changes)
        except ArchiverError as error:
            log.warning("the mark of %s stands, its tags do not tell: %s", work.id, error)

    # Steps: the swap

    def _begin_conversion(self, work: _Work) -> None:
        """Wait for leave to have Kaltura convert one more; asked for before anything is sent, which would only lie."""
        if not work.converting:
            self._room.begin_conversion()
            work.converting = True

    def _end_conversion(self, work: _Work) -> None:
        if work.converting:
            self._room.end_conversion()
            work.converting = False

    def _upload_placeholder(self, work: _Work) -> None:
        placeholder = self.placeholders.chosen(work.facts)
        if placeholder is None:
            raise EntryFailed("there is no placeholder video: set PLACEHOLDER_VIDEO")
        self._require_way()
        self._begin_conversion(work)
        name = f"{self._token_prefix}{work.id}{placeholder.path.suffix or '.mp4'}"
        pieces = self.kaltura.paced(placeholder.pieces())
        work.placeholder = placeholder
        work.token = self._upload(name, placeholder.size_bytes, pieces)

    def _upload(self, name: str, size_bytes: int, pieces: Iterable[Piece]) -> str:
        token = self.kaltura.new_token(name, size_bytes)
        try:
            with self._transfers:
                self.kaltura.upload(token, name, size_bytes, pieces)
        except BaseException:
            with suppress(ArchiverError):
                self.kaltura.delete_token(token)
            raise
        return token

    def _put_placeholder(self, work: _Work) -> None:
        placeholder = work.placeholder
        assert placeholder is not None  # noqa: S101 - uploaded by the step before
        before, work.hides, work.sent_bytes = work.facts.original, True, placeholder.size_bytes
        new = self._swap(work, work.token, lambda: self._check_copy(work))
        stored = self.store.head(work.id, with_tags=False)
        if stored is None or not same_object(stored, work.stored):
            raise EntryFailed(f"the stored copy of {work.id} changed while the original was replaced: look at it now")
        if new.size_bytes not in (None, placeholder.size_bytes):
            # Whatever this is, it is not ours: the state is to say `diverged`, and a placeholder that comes late over
            # it is to be told from one that took the original's place.
            self.store.set_tags(work.id, placeholder=_next_version(before, placeholder) or "superseded")
            raise Changed(
                f"the new original of {work.id} has {new.size_bytes} bytes, not the placeholder's "
                f"{placeholder.size_bytes}: was another video uploaded meanwhile?"
            )
        picture = pictures.unknown(work.facts)
        self._record_placeholder(work, new, placeholder.sha256, placeholder.size_bytes, picture=picture)
        try:
            self._settled(work, new)
        finally:
            self._keep_tags(work, work.tags_seen, ARCHIVED_TAG, REPLACED_TAG)
        if before:
            work.bytes_freed += max(before.size_bytes or (before.size_kb or 0) * 1024, 0) - placeholder.size_bytes
        work.bytes_moved += placeholder.size_bytes
        work.notes.append(f"placeholder in place ({new.content_id}), stored copy {stored.size_bytes} bytes")
        self._set_settings_again(work)

    def _record_placeholder(
        self, work: _Work, new: FlavorAsset, sha256: str, size_bytes: int, *, picture: str | None = None
    ) -> None:
        """Tag the object with what replaced the original, and when."""
        what = _placeholder_tag(new.content_id, sha256, size_bytes)
        replaced_at = iso_time(time.time())
        self.store.set_tags(work.id, placeholder=what, replaced_at=replaced_at, restored_at=None, picture=picture)
        self._mark_placeholder(work, new.content_id, size_bytes)

    def _mark_placeholder(self, work: _Work, content_id: str, size_bytes: int) -> None:
        try:
            self.store.mark_placeholder(work.id, content_id, size_bytes)
        except StoreError as error:
            log.warning("%s; health has to look at the tags of this copy", error)

    def _record_found(self, work: _Work) -> None:
        """Record a placeholder that is in place, and was told by its bytes alone."""
        original, facts = work.original, work.facts
        self._require_current(original)
        what = _placeholder_tag(original.content_id, facts.original_sha256, original.size_bytes or 0)
        self.store.set_tags(work.id, placeholder=what)
        self._mark_placeholder(work, original.content_id, original.size_bytes or 0)
        work.notes.append(f"recorded the placeholder {original.content_id}")

    def _settled(self, work: _Work, new: FlavorAsset) -> FlavorAsset:
        """The new original once Kaltura is done with it: its file is linked once more when a last job ends.

        That comes some seconds after the swap, with a higher version, or came before it (kaltura-api 10.16). Raises
        Changed if it is then another video; Waiting where a late job of an earlier replacement undid this one.
        """
        with self._room.waiting():
            self._stop.wait(self._settle_seconds)  # who is to stop looks at once
        entry, flavors, *_ = self.kaltura.look(work.id)
        if entry is None:
            raise Changed(f"entry {work.id} was deleted meanwhile")
        work.tags_seen = entry.tag_set
        now = Facts(entry, flavors).original
        if now is not None and (now.content_id == new.content_id or now.linked_again(new)):
            return now
        facts = self.facts(work.id)
        if not work.hides and holds_placeholder(facts) and facts.original:
            sha256 = facts.original_sha256 or work.stored.placeholder_sha256
            what = _placeholder_tag(facts.original.content_id, sha256, facts.original.size_bytes or 0)
            self.store.set_tags(work.id, placeholder=what)
            raise Waiting(
                f"Kaltura put the placeholder of {work.id} back over the original: a job of the replacement before "
                "came late; run restore again"
            )
        raise Changed(
            f"the new original of {work.id} was replaced or removed by somebody else ({new.content_id}, now "
            f"{now.content_id if now else 'none'})"
        )

    def _put_original(self, work: _Work) -> None:
        stored = work.stored
        self._require_way()
        self._keep_thawed(work)
        self._begin_conversion(work)
        work.sent_bytes = stored.size_bytes
        self._keep_displaced(work)
        self._note_picture(work)
        if self.options.via == "url":
            url = self._url(work)
            new = self._swap(work, url, lambda: self._require_sound(work))
            found = None
        else:
            taken = self.store.fingerprinter(stored, own=True)
            pieces = self._proven(taken, stored, self.store.read(stored))
            try:
                # The extension is taken from the posted name; a name without one leaves none (real-kaltura U28).
                name = f"{self._token_prefix}{work.id}.{extension(stored)}".removesuffix(".")
                work.token = self._upload(name, stored.size_bytes, pieces)
            except StoreError as error:
                if error.code == "InvalidObjectState":
                    raise _frozen_again(stored) from error
                raise
            work.bytes_moved += stored.size_bytes
            found = taken.result()
            new = self._swap(work, work.token, lambda: None)
        if new.size_bytes not in (None, stored.size_bytes):
            if found is None and (beginning := self._beginning(new, stored)):
                # What we had put there is no original: the next restore may replace it.
                self.store.set_tags(work.id, placeholder=_placeholder_tag(new.content_id, *beginning))
                raise EntryFailed(
                    f"Kaltura fetched only {new.size_bytes} of {stored.size_bytes} bytes and took them for the whole "
                    "video; run restore again"
                )
            raise EntryFailed(
                f"the new original has {new.size_bytes} bytes, the stored copy {stored.size_bytes}: Kaltura re-encoded "
                f"it (see the conversion profile), or another video was uploaded; the stored copy and the tag "
                f"{REPLACED_TAG} stay"
            )
        first, new = new, self._settled(work, new)
        # By the version that the swap gave it: the next one is told from that.
        put = partial(dict[str, Any], flavor=first.content_id, placeholder=None, replaced_at=None, thaw=None)
        if found is None:
            self.store.set_tags(work.id, **put(restored_at=iso_time(time.time())))
            work.notes.append(f"Kaltura fetched the original ({new.content_id}, {stored.size_bytes} bytes by its size)")
            self._set_settings_again(work)
            return
        with self._transfers:
            _, pieces = self.kaltura.content(new)
            in_kaltura = fingerprint(pieces)
        if in_kaltura.sha256 != found.sha256:
            # What we put there is no original: the next restore may replace it.
            what = _placeholder_tag(first.content_id, in_kaltura.sha256, in_kaltura.size_bytes)
            self.store.set_tags(work.id, placeholder=what)
            raise EntryFailed("the new original does not have the bytes of the stored copy; run restore again")
        self._require_current(new, linked_again=True)
        proof = Proof.of(Evidence.READ, found.crc64nvme, stored.etag)
        self._record(work, new, found, proof, **put(restored_at=iso_time(time.time())))
        work.notes.append(
            f"original back in Kaltura ({new.content_id}), {stored.size_bytes} bytes, sha256 {found.sha256}"
        )
        self._set_settings_again(work)

    def _url(self, work: _Work) -> str:
        """A URL by which Kaltura can fetch the stored copy, until its job is over."""
        wanted = min(max(self.options.timeout_seconds, MIN_URL_SECONDS), MAX_URL_SECONDS)
        url, seconds = self.store.presign(work.id, wanted)
        if seconds < int(wanted):
            log.warning(
                "entry %s: the URL for Kaltura is good for %d minutes only: then the AWS credentials of this run end; "
                "credentials that last longer, or --via upload, do better",
                work.id,
                seconds // 60,
            )
        return url

    def _beginning(self, cut: FlavorAsset, stored: StoredObject) -> tuple[str, int] | None:
        """SHA-256 and size of an original that is the beginning of the stored copy: then it is nobody's newer video."""
        if not 0 < (cut.size_bytes or 0) < stored.size_bytes:
            return None
        with self._transfers:
            read = fingerprint(self.kaltura.content(cut)[1])
            start = fingerprint(first_bytes(self.store.read(stored), read.size_bytes))
        return (read.sha256, read.size_bytes) if read.sha256 == start.sha256 else None

    def _proven(self, taken: Fingerprinter, stored: StoredObject, pieces: Iterable[Piece]) -> Iterator[Piece]:
        """The pieces; the last one only once all of them are known to be what was archived."""
        last: Piece = b""
        for piece in taken.passing(pieces):
            yield last
            last = piece
        verdict, how, _ = compare_own(taken.result(), stored)
        if verdict not in (Identity.SAME, Identity.LIKELY):
            raise EntryFailed(f"what S3 sent is not what was archived: {how}; nothing was changed in Kaltura")
        yield last

    def _keep_displaced(self, work: _Work) -> None:
        """Keep a copy of what a restore displaces, unless it is known to be the placeholder.

        Old archives do not record their placeholder, and somebody may have uploaded over it: nothing unproven is lost.
        """
        original = work.facts.original
        if original is None or not original.status.ready:
            return
        if holds_placeholder(work.facts):
            return
        key = f"{DISPLACED_PREFIX}{work.id}/{original.content_id}"
        kept = self.store.head(key, with_tags=False)
        with self._transfers:
            size, pieces = self.kaltura.content(original)
            with closing(self._while_current(original, pieces)) as current:
                if kept:  # by a run that was cut: it is looked at like any other
                    found = fingerprint(current, self.store.fingerprinter(kept))
                else:
                    metadata = {"entry-id": work.id, "file-ext": original.file_ext or "noex", "source-bytes": str(size)}
                    found = self.store.write(key, current, size, metadata=metadata, storage_class="STANDARD")
                    work.bytes_moved += size
        self._shown(work, key, found)
        work.notes.append(f"what was in its place is kept as {key}")

    def _swap(self, work: _Work, resource: str, last_check: Callable[[], object]) -> FlavorAsset:
        """Put the content of `resource` in the place of the original; returns the new original, READY.

        The old content plays until the new is ready. Whatever is not certain is read, never repeated (kaltura-api 5.3).
        """
        deadline = time.monotonic() + self.options.timeout_seconds
        last_check()
        # The last look of all, so that nobody's change comes between it and the call.
        entry = self._require_unchanged(work)
        original = work.facts.original
        if entry.status == EntryStatus.NO_CONTENT and (original is None or not original.status.ready):
            return self._fill(work, resource, deadline)
        if self._no_replacement:
            return self._in_place(work, resource, last_check, deadline)
        work.token_used = work.begun = True
        seen: Entry | None
        try:
            seen = self.kaltura.update_content(work.id, resource)
        except KalturaError as error:
            if error.code == FEATURE_FORBIDDEN:
                self._no_replacement = True
                work.token_used = work.begun = False
                return self._in_place(work, resource, last_check, deadline)
            if error.code == ALREADY_REPLACED:
                work.begun = False
                raise Changed(
                    f"somebody began to replace the content of {work.id} in this very moment, and Kaltura has "
                    "cancelled both replacements: nothing was replaced; they have to upload theirs again"
                ) from error
            seen, began = self._seen_after(work, error)
            if not began:
                work.token_used = work.begun = False
                raise
        return self._await_swap(work, seen, deadline)

    def _seen_after(self, work: _Work, failure: KalturaError) -> tuple[Entry | None, bool]:
        """The entry after a call to replace its content failed, and whether that has begun all the same.

        Asked for a while: what failed the call may fail the look, too.
        """
        until = time.monotonic() + UNKNOWN_SECONDS
        while True:
            try:
                seen = self.kaltura.entry(work.id) if failure.retryable else None
                running = seen is not None and seen.replacement_running
                return seen, running or self._new_original(work) is not None
            except KalturaError as error:
                if time.monotonic() >= until or self._stop.wait(min(self._poll_seconds, 5)):
                    raise EntryFailed(
                        f"{failure}; whether the replacement of {work.id} has begun is not known: its tags stay as "
                        "they are; run the command again, or repair"
                    ) from error

    def _require_unchanged(self, work: _Work) -> Entry:
        """The entry, read now, if it and its original are still what was planned on; Changed otherwise."""
        planned = work.facts.entry
        entry, flavors, _, placings = self.kaltura.look(work.id, categories=self._kept_by_category)
        if entry is None or entry.recycled:
            raise Changed(f"entry {work.id} was {'recycled' if entry else 'deleted'} meanwhile")
        if entry.replacement_running:
            raise Changed(f"somebody began to replace the content of {work.id} meanwhile")
        now, before = normalised_tags(entry.tags), normalised_tags(planned.tags)
        own = work.own_tags
        if not own.issubset(now) or [t for t in now if t not in own] != [t for t in before if t not in own]:
            raise Changed(f"somebody changed the tags of {work.id} meanwhile; run the command again")
        if work.hides and (kept := self.options.keep.why(Facts(entry, flavors, placings=placings))):
            raise Changed(f"entry {work.id} is kept since a moment ago: {kept}; nothing was replaced")
        begun_before = work.facts.original is None or not work.facts.original.status.ready
        if work.hides and not begun_before and (why := unnoticed(replace(work.facts, entry=entry), self.options)):
            raise Changed(f"entry {work.id} is not to be replaced since a moment ago: {why}")
        if work.facts.original is not None:
            if work.facts.original.status.ready:
                self._require_current(work.facts.original, flavors)
        elif Facts(entry, flavors).original is not None:
            raise Changed(f"somebody uploaded an original to {work.id} meanwhile")
        return entry

    def _new_original(self, work: _Work) -> FlavorAsset | None:
        """The entry's original if it is another one than was planned on."""
        now = Facts(work.facts.entry, self.kaltura.flavors([work.id])[work.id]).original
        before = work.facts.original
        if now is None or before is None:
            return now
        # An asset that was not READY may be used again for the new content (kaltura-api 10.4).
        other = now.content_id != before.content_id or (now.status.ready and not before.status.ready)
        return now if other else None

    def _await_swap(self, work: _Work, entry: Entry | None, deadline: float) -> FlavorAsset:
        """Wait until a replacement has gone through. Failures of Kaltura's are cancelled: the old content stays.

        `entry` is how it was just seen; it is looked at again unless it shows the replacement running.
        """
        temporary: Entry | None = None
        looked_again = False
        if entry and entry.replacing_entry_id:
            work.left = f" (its temporary entry {entry.replacing_entry_id} stays in Kaltura, hidden)"
        if entry is None or not entry.replacement_running:
            entry, temporary = self._next_look(work, entry, deadline)
        while True:
            if entry is None:
                raise Changed(f"entry {work.id} was deleted meanwhile")
            status, work.tags_seen = entry.replacement_status, entry.tag_set
            if not entry.replacement_running:
                new = self._new_original(work)
                if new is None and not looked_again:
                    # Its end is no single moment: the entry may be ahead of its flavors (kaltura-api 5.3).
                    looked_again = True
                    with self._room.waiting():
                        self._stop.wait(self._settle_seconds)
                    entry, temporary = self._next_look(work, entry, deadline)
                    continue
                if new is None:
                    work.begun = False
                    raise Changed(f"somebody cancelled the replacement of {work.id}; the old content is in place")
                before = work.facts.original
                if before and new.linked_again(before) and new.size_bytes not in (None, work.sent_bytes):
                    work.begun = False
                    raise Waiting(
                        f"the replacement of {work.id} was thrown away by Kaltura, which ended an earlier one in that "
                        f"moment; the old content is in place: run the command again{work.left}"
                    )
                if new.status.ready:
                    self._end_conversion(work)
                    return new
                if not new.status.in_progress:
                    raise EntryFailed(f"the new original of {work.id} is {new.status.name}; run repair")
            elif work.hides and self._copy_went(work):
                self.kaltura.cancel_replace(work.id)
                work.begun = False
                raise EntryFailed(
                    f"the stored copy of {work.id} went or was changed while Kaltura converted the placeholder: the "
                    "replacement was cancelled, the old content is in place"
                )
            elif status == ReplacementStatus.FAILED or _failed(temporary):
                self.kaltura.cancel_replace(work.id)
                work.begun = False
                raise Cancelled(f"Kaltura could not convert the new content of {work.id}; the old content is in place")
            elif status == ReplacementStatus.READY_BUT_NOT_APPROVED:
                if not self.options.approve:
                    raise Waiting(f"the replacement of {work.id} waits to be approved in Kaltura, or for --approve")
                self.kaltura.approve_replace(work.id)
            elif status == ReplacementStatus.NOT_READY_AND_NOT_APPROVED and not self.options.approve:
                raise Waiting(f"the replacement of {work.id} will have to be approved in Kaltura, or by --approve")
            entry, temporary = self._next_look(work, entry, deadline)

    def _copy_went(self, work: _Work) -> bool:
        """Whether the stored copy is not there any more as it was; False, with a warning, if S3 does not tell."""
        try:
            stored = self.store.head(work.id, with_tags=False)
        except StoreError as error:
            log.warning("the stored copy of %s cannot be looked at while Kaltura converts: %s", work.id, error)
            return False
        return stored is None or not same_object(stored, work.stored)

    def _next_look(self, work: _Work, entry: Entry | None, deadline: float) -> tuple[Entry | None, Entry | None]:
        """The entry, and the temporary one of its replacement, as they are at the next look at all that convert."""
        if time.monotonic() >= deadline:
            raise Waiting(f"the conversion of {work.id} is not finished after --timeout; run the command again later")
        ids = [work.id, *filter(None, [entry.replacing_entry_id if entry else ""])]
        with self._room.waiting():
            found = self._conversions.look(*ids, deadline=deadline)
        return found[0], found[1] if len(found) > 1 else None

    def _require_way(self) -> None:
        """Raise Refused where Kaltura has said that it cannot replace content, and deleting it first is not allowed."""
        if self._no_replacement and not self.options.allow_in_place:
            raise Refused(
                "this Kaltura account cannot replace content (FEATURE_ENTRY_REPLACEMENT is off); ask Kaltura to "
                "switch it on, or use --allow-in-place, which leaves the entry without video while it converts"
            )

    def _in_place(self, work: _Work, resource: str, last_check: Callable[[], object], deadline: float) -> FlavorAsset:
        """Delete the flavors, the original last, and add the new content: for accounts without replacement."""
        self._require_way()
        self._require_token(work)
        original = work.facts.original
        for flavor in sorted(self.kaltura.flavors([work.id])[work.id], key=lambda f: f.is_original):
            if flavor.is_original and original is not None and original.status.ready:
                last_check()
                self._require_unchanged(work)
            # Without derived flavors the original still plays: up to its deletion there is a way back.
            work.begun = work.begun or flavor.is_original
            self.kaltura.delete_flavor(flavor.id)
        until = min(deadline, time.monotonic() + NO_CONTENT_SECONDS)
        while (entry := self.kaltura.entry(work.id)) and entry.status != EntryStatus.NO_CONTENT:
            if time.monotonic() >= until:
                raise EntryFailed(f"entry {work.id} did not become NO_CONTENT (status {entry.status}); run repair")
            # An entry without content is not left alone, even when asked to stop.
            time.sleep(min(self._poll_seconds, max(until - time.monotonic(), 0.01)))
        return self._fill(work, resource, deadline)

    def _require_token(self, work: _Work) -> None:
        """Raise Changed unless the content that is to be put in is still in its token: nothing is deleted before."""
        size = work.placeholder.size_bytes if work.placeholder else work.stored.size_bytes
        if work.token and not self.kaltura.is_full(work.token, size):
            raise Changed(f"what was uploaded for {work.id} is gone from Kaltura; nothing was deleted")

    def _fill(self, work: _Work, resource: str, deadline: float) -> FlavorAsset:
        """Give content to an entry that has none, and wait until its original is READY."""
        work.token_used = work.begun = True
        try:
            self.kaltura.add_content(work.id, resource)
        except KalturaError as error:
            now = self.kaltura.entry(work.id)
            if now is None or (now.status == EntryStatus.NO_CONTENT and self._new_original(work) is None):
                work.token_used = False
                raise EntryFailed(f"{error}; the entry has no content now: run repair") from error
        while True:
            entry, _ = self._next_look(work, None, deadline)
            if entry is None:
                raise Changed(f"entry {work.id} was deleted meanwhile")
            work.tags_seen = entry.tag_set
            if entry.status in (EntryStatus.IMPORT, EntryStatus.PRECONVERT):
                continue
            new = self._new_original(work)
            if entry.status == EntryStatus.READY and new is not None and new.status.ready:
                self._end_conversion(work)
                return new
            failed = entry.status in (EntryStatus.ERROR_CONVERTING, EntryStatus.ERROR_IMPORTING)
            if failed or (new is not None and new.status is FlavorStatus.ERROR):
                raise EntryFailed(f"Kaltura could not convert the new content of {work.id}; run repair")

    def _settle(self, work: _Work) -> None:
        """Go on with a replacement that an earlier run of ours began; somebody else's is only waited for."""
        entry = work.facts.entry
        source = self._source_of_replacement(entry)
        known = {work.stored.size_bytes, *work.facts.placeholder_sizes}
        # A failed import has brought nothing, and ends only by being cancelled: see _await_swap.
        temporary = entry.replacing_entry_id
        import_failed = source is None and bool(temporary) and _failed(self.kaltura.entry(temporary))
        if not import_failed and (source is None or source.size_bytes not in known):
            raise Waiting(
                f"a replacement of {work.id} is in progress that is not known to be ours "
                f"(replacementStatus {entry.replacement_status}): wait for it, or cancel it in Kaltura"
            )
        work.hides = source is not None and source.size_bytes in work.facts.placeholder_sizes
        self._begin_conversion(work)
        try:
            new = self._await_swap(work, entry, time.monotonic() + self.options.timeout_seconds)
        except Cancelled as error:
            log.warning("%s", error)
            return
        facts = self.facts(work.id)
        if holds_placeholder(facts) and facts.original and new.size_bytes:
            sha256 = facts.original_sha256 or work.stored.placeholder_sha256
            self._record_placeholder(work, new, sha256, new.size_bytes)
        self._set_settings_again(work)

    # Steps: what people have set on flavors

    def _keep_settings(self, work: _Work) -> None:
        """Before a swap: what is lost by it lies in the bucket, and the stored copy says that it has to be set again.

        Without that nothing is replaced. A video is brought back all the same; what a restore that is cut has left to
        be set is seen when its tag is removed, so that it need not say so before: another run may tag the copy then.
        """
        hides = Step.PUT_PLACEHOLDER in work.steps
        try:
            work.settings = keep(self.store, work.id, settings_of(work.facts))
            if hides and work.settings:
                self._tag_settings(work, SETTINGS_DUE)
        except (StoreError, EntryFailed) as error:
            if hides:
                raise EntryFailed(f"nothing was replaced: {error}") from error
            self._warn(work, f"language, label and tags of its flavors could not be kept: {error}")

    def _tag_settings(self, work: _Work, state: str) -> None:
        if state != (work.settings_tag or work.stored.settings):
            self.store.set_tags(work.id, settings=state)
        work.settings_tag = state

    def _set_settings_again(self, work: _Work, *, look: bool = False) -> None:
        """Once a swap is over: set what it has taken away. What fails here fails nothing else: it is told, and due.

        `look` says that another run may have kept some.
        """
        # A copy that has lost its tags may have settings all the same.
        look = look or not work.stored.sha256
        if work.settings is None and not work.stored.settings and not look:
            return
        try:
            wanted = work.settings
            if wanted is None:
                wanted, _ = read_settings_of(self.store, work.id)
            if not wanted:
                return
            done = set_again(self.kaltura, work.id, wanted)
            self._tag_settings(work, SETTINGS_DUE if done.converting or done.failed else SETTINGS_SET)
        except (KalturaError, StoreError, EntryFailed) as error:
            self._warn(work, f"language, label and tags of its flavors were not set again: {error}; run repair")
            with suppress(StoreError):
                self._tag_settings(work, SETTINGS_DUE)
            return
        if done.number:
            work.notes.append(f"language, label and tags of {done.number} flavors set again")
        if done.converting:
            work.notes.append(
                f"flavors whose language, label and tags repair will set when they are ready: "
                f"{', '.join(done.converting)}"
            )
        for why in done.failed:
            self._warn(work, f"{why}; run repair")

    def _set_flavors(self, work: _Work) -> None:
        """Set what an earlier run has left."""
        wanted, _ = read_settings_of(self.store, work.id)
        done = set_again(self.kaltura, work.id, wanted)
        if done.failed:
            raise EntryFailed("; ".join(done.failed))
        if done.converting:
            raise Waiting(f"language, label and tags of its flavors wait: {', '.join(done.converting)}")
        self._tag_settings(work, SETTINGS_SET)
        work.notes.append(f"language, label and tags of {done.number} flavors set again")

    # Steps: the picture

    def _note_picture(self, work: _Work) -> None:
        """Before a swap: what will be gone by then, and a run that goes on after this one has to know."""
        work.picture = pictures.due(work.facts)
        if work.picture is None:
            return
        try:
            self.store.set_tags(work.id, picture=str(work.picture))
        except (StoreError, EntryFailed) as error:
            self._warn(work, f"that its picture is to be looked after could not be noted: {error}")

    def _set_picture(self, work: _Work) -> None:
        """Of least weight: what fails here fails nothing that is done for the video. It is told, and remains noted."""
        alone = {Step.PUT_ORIGINAL, Step.REMOVE_REPLACED}.isdisjoint(work.steps)
        known = work.picture or pictures.left(work.facts)
        try:
            found = pictures.look_after(self.kaltura, work.id, known, new=Step.NEW_PICTURE in work.steps)
            if found.act is not pictures.Act.DOUBT:
                self.store.set_tags(work.id, picture=None)
        except (KalturaError, StoreError, EntryFailed) as error:
            if alone:
                raise
            self._warn(work, f"its picture was not looked after: {error}; run repair")
            return
        if found.act is not pictures.Act.DOUBT:
            work.notes.append(found.why)
            return
        text = (
            f"its picture may be the placeholder's ({found.why}): look at it; restore --new-picture --id {work.id} "
            "takes one of the video"
        )
        if alone:
            raise Refused(text)
        self._warn(work, text)

    def _warn(self, work: _Work, text: str) -> None:
        self._line(logging.WARNING, "step", work.id, text)
        work.notes.append(text)


def add_notice(
    kaltura: Kaltura, entry_id: str, day: date, owner: str, until: date | None, *, dry_run: bool
) -> Result:  # fmt: skip
    """Tag an entry with the day on which this owner was told when it will be replaced. Never raises for one entry.

    REFUSED, and tagged all the same, where somebody else owns it by now: for them it is no notice.
    """
    tag = notice_tag(day, owner, until)
    outcome, detail = Outcome.WOULD, f"would add the tag {tag}"
    if not dry_run:
        try:
            entry = kaltura.change_tags(entry_id, add=tag)
            outcome, detail = Outcome.DONE, f"done: tagged {tag}"
            if (day, True) not in entry.notices:
                now = f"{entry.owner or 'nobody'} owns it now, not {owner or 'nobody'}"
                outcome, detail = Outcome.REFUSED, f"tagged {tag}, but {now}: who owns it has had no notice"
        except Changed as error:
            outcome, detail = Outcome.SKIPPED, f"skipped: {error}"
        except ArchiverError as error:
            outcome, detail = Outcome.FAILED, f"failed: {error}"
    mode = "DRYRUN" if dry_run else "EXEC"
    levels = {Outcome.FAILED: logging.ERROR, Outcome.REFUSED: logging.WARNING}
    level = levels.get(outcome, logging.INFO)
    log.log(level, "%s", detail, extra={"mode": mode, "kind": "entry", "entry": entry_id, "action": "notify"})
    return Result(entry_id, "", outcome, detail)


_STEPS: dict[Step, Callable[[Runner, _Work], None]] = {
    Step.COPY: Runner._copy,
    Step.COPY_SOURCE: Runner._copy_source,
    Step.PROVE: Runner._prove,
    Step.ADD_ARCHIVED: Runner._add_archived,
    Step.ADD_REPLACED: Runner._add_replaced,
    Step.REMOVE_REPLACED: Runner._remove_replaced,
    Step.CHECK_COPY: Runner._prove_again,
    Step.UPLOAD_PLACEHOLDER: Runner._upload_placeholder,
    Step.PUT_PLACEHOLDER: Runner._put_placeholder,
    Step.THAW: Runner._thaw,
    Step.PUT_ORIGINAL: Runner._put_original,
    Step.READ_BACK: Runner._read_back,
    Step.SETTLE: Runner._settle,
    Step.KEEP_SETTINGS: Runner._keep_settings,
    Step.SET_FLAVORS: Runner._set_flavors,
    Step.SET_PICTURE: Runner._set_picture,
    Step.NEW_PICTURE: Runner._set_picture,
    Step.RECORD: Runner._record_found,
}


def _placeholder_tag(content_id: str, sha256: str, size_bytes: int) -> str:
    """What the tag `placeholder` says; without a hash only the version, as older objects have it."""
    return f"{content_id} {sha256} {size_bytes}" if sha256 else content_id


def _next_version(before: FlavorAsset | None, placeholder: Placeholder) -> str:
    """The tag for a placeholder that took the place of this original, whatever came over it; empty if not known."""
    if before is None or not before.version.isdecimal():
        return ""
    content_id = f"{before.id}@{int(before.version) + VERSION_STEP}"
    return _placeholder_tag(content_id, placeholder.sha256, placeholder.size_bytes)


def _frozen_again(stored: StoredObject) -> Waiting:
    return Waiting(f"the stored copy is frozen again ({stored.frozen_in}): run restore once more")


def _whole(found: Fingerprint, verdict: Verdict, *, hint: str = "") -> str:
    """By what a stored copy that was read is known to be whole; EntryFailed or Refused if it is not known to be."""
    if verdict.identity is Identity.DIFFERENT:
        raise EntryFailed(f"MISMATCH: the stored copy is damaged: {verdict.how}{hint}")
    if verdict.identity is not Identity.SAME:
        raise Refused(f"read, but there is nothing to compare it with: {verdict.how}; sha256 {found.sha256}")
    return f"{verdict.how}, {found.size_bytes} bytes, sha256 {found.sha256}"


def same_object(now: StoredObject, then: StoredObject) -> bool:
    """Whether an object is the one that it was, by what S3 itself keeps about it."""
    return (now.size_bytes, now.etag, now.crc64nvme) == (then.size_bytes, then.etag, then.crc64nvme)


def _failed(temporary: Entry | None) -> bool:
    """Whether a failed import has left the main entry in a replacement that never ends (kaltura-api 10.6)."""
    return temporary is not None and temporary.status in (EntryStatus.ERROR_IMPORTING, EntryStatus.ERROR_CONVERTING)


def extension(stored: StoredObject) -> str:
    """The file name extension of a stored original: Kaltura's own, or empty where it had none (Kaltura's noex).

    Of objects that do not tell, it is mp4, as the old tool assumed.
    """
    if "entry-id" not in stored.metadata:
        return "mp4"
    ext = stored.metadata.get("file-ext", "")
    return ext if ext.isalnum() and ext != "noex" else ""
