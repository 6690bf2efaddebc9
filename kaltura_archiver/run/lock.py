"""One run of a command per bucket at a time: an object that says who is running, until when."""

from __future__ import annotations

import json
import logging
import math
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from types import TracebackType

from kaltura_archiver.config import batch_retry
from kaltura_archiver.errors import ArchiverError, ConfigError, Locked, ServiceError, Stopped, StoreError
from kaltura_archiver.model import iso_time
from kaltura_archiver.results import Runs
from kaltura_archiver.store import Store
from kaltura_archiver.store.answers import LockObject
from kaltura_archiver.store.probe import NO_CONDITIONS, probe

log = logging.getLogger(__name__)
LOCK_SECONDS = 120.0
# S3's times are of whole seconds, and its machines' clocks may differ by some more.
SKEW_SECONDS = 2.0
PREFIX = "locks/"
# Runs with --no-lock that may go on beside each other.
MAX_BESIDE = 64
# How many runs a lock remembers of those that have held it.
MAX_REMEMBERED = 200
_KEY = re.compile(r"locks/([a-z0-9_]+)(?:\.(\d+)-of-(\d+))?\.json")


def lock_key(command: str, shard: tuple[int, int] | None = None) -> str:
    """The key of the lock of a command; each share of a selection has its own, so that a fleet can run."""
    share = f".{shard[0]}-of-{shard[1]}" if shard else ""
    return f"{PREFIX}{command}{share}.json"


def overlap(one: str, other: str) -> bool:
    """Whether an entry may belong to both of these locks; a lock that is none of ours overlaps nothing."""
    found = _KEY.fullmatch(one), _KEY.fullmatch(other)
    if not found[0] or not found[1] or found[0][1] != found[1][1]:
        return False
    (index, count), (index2, count2) = ((int(match[2] or 0), int(match[3] or 1)) for match in (found[0], found[1]))
    # Shares are remainders of one number: they meet where their difference is a multiple of what the counts share.
    return (index - index2) % math.gcd(count, count2) == 0


class RunLock:
    """Held within `with`. Taken by If-None-Match, renewed and taken over by If-Match on the ETag that was read.

    A lock is never deleted, only overwritten as expired: S3 has no deletion on a condition for every kind of bucket,
    and a deletion without one could remove the lock of whoever took it over in that moment. How old a lock is tell S3's
    own clock and ours that cannot be set: no two machines' clocks are compared. If the lock is lost, or its renewal is
    still under way when others could soon take it, `stop` is set: the run ends as after SIGTERM, `lost` says why, and
    `overtaken` whether another run has it.

    With `beside` it excludes nobody: it only says that this run is alive. Raises Locked if another run holds the lock,
    or one that overlaps it; ConfigError if this S3 service lacks what a run rests on; StoreError where S3 fails;
    Stopped where the run was to end while a further attempt of a Batch job waited for the lock of the one before.
    """

    def __init__(self, store: Store, key: str, *, run: str, stop: threading.Event, beside: bool = False) -> None:
        self._store = store
        self._key = key
        self._run = run
        self._stop = stop
        self._beside = beside
        self._started = time.time()
        self._etag = ""
        self._taken_at = 0.0  # by S3's clock
        self._good_until = 0.0  # by _now
        self._before: list[str] = []
        self._losing = threading.Lock()
        self._ended = threading.Event()
        self._threads = [
            threading.Thread(target=work, name=name, daemon=True)
            for name, work in (("lock", self._renew), ("lock-watch", self._watch))
        ]
        self.lost = ""
        self.overtaken = False  # another run has it
        self.findings: tuple[str, ...] = ()  # what this S3 service lacks, and the run can do without

    def __enter__(self) -> RunLock:
        try:
            self._take_one()
            self._refuse_overlapping()
            self._probe()
        except BaseException:
            self._release()
            raise
        for finding in self.findings:
            log.warning("%s", finding)
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(LOCK_SECONDS)  # a call may hang for longer than its time-outs say
        if not self.lost:
            self._release()

    def others(self, *, ended: bool = False) -> Runs:
        """What is known of other runs now; with `ended` of this one too, all that it had in hand being over."""
        own = self._store.read_lock(self._key)
        began = (own.at if own else 0.0) if ended else self._taken_at
        over, living = {*self._before, *([self._run] if ended else [])}, set()
        for key, found in self._locks(lambda key: key != self._key):
            record = read_record(found.text)
            over.update(_remembered(record))
            if is_held(found):
                living.add(str(record.get("run")))
                taken = record.get("taken")
                began = min(began, taken if isinstance(taken, int | float) else 0.0)
            elif record.get("run"):
                over.add(str(record["run"]))
            log.debug("the lock %s is %s", key, "held" if is_held(found) else "free")
        return Runs(began - SKEW_SECONDS, frozenset(over - living))

    def _locks(self, wanted: Callable[[str], bool]) -> Iterator[tuple[str, LockObject]]:
        for page in self._store.pages(PREFIX):
            for key, *_ in page:
                if wanted(key) and (found := self._store.read_lock(key)):
                    yield key, found

    def _record(self, expires: float, *, released: bool = False) -> str:
        record = {
            "owner": f"{socket.gethostname()} (process {os.getpid()})",
            "run": self._run,
            "started": iso_time(self._started),
            "expires": expires,
            "until": iso_time(expires),
            "released": released,
            "taken": self._taken_at,
            "before": self._before,
        }
        return json.dumps(record)

    # Taking it

    def _take_one(self) -> None:
        if not self._beside:
            self._take()
            return
        name = self._key.removesuffix(".json")
        for number in range(MAX_BESIDE):
            self._key = f"{name}.beside-{number}.json"
            with suppress(Locked):
                self._take()
                return
        raise Locked(f"{MAX_BESIDE} runs with --no-lock are alive in this bucket: wait for one of them")

    def _outlast(self) -> None:
        """Wait while the lock is held and not renewed, as the attempt of a Batch job has left it that was lost with its
        machine: this one would end with status 5, and Batch tries no share again after that."""
        first, until = None, _now() + 1.5 * LOCK_SECONDS + 2 * SKEW_SECONDS
        while _now() < until:
            with suppress(StoreError):  # to take it tells what is wrong with S3
                found = self._store.read_lock(self._key)
                if not found or not is_held(found) or (first and found.etag != first.etag):
                    return
                if not first:
                    first = found
                    log.info("%s; waiting until it is renewed or over", describe(self._key, read_record(found.text)))
            if self._stop.wait(LOCK_SECONDS / 12):
                raise Stopped(f"asked to stop while it waited for the lock {self._key}")

    def _take(self) -> None:
        if batch_retry():
            self._outlast()
        etag, failure = "", None
        for attempt in range(6):  # as often as it can change hands, or S3 fail, between our look and our try
            if failure:
                self._stop.wait(0.2 * attempt)
            failure = None
            since = _now()
            try:
                self._etag, self._taken_at = self._store.put_lock(
                    self._key, self._record(time.time() + LOCK_SECONDS), if_match=etag
                )
                if self._etag:
                    self._good_until = since + LOCK_SECONDS
                    return
                found = self._store.read_lock(self._key)
            except StoreError as error:
                if error.code == "NotImplemented":
                    raise ConfigError(NO_CONDITIONS) from error
                if not error.retryable:
                    raise
                failure = error
                continue
            if found and found.etag == etag:
                # Nobody has changed it: so this service wants ETags in the other form. See probe.py.
                self._store.bare_etags = not self._store.bare_etags
            etag = found.etag if found else ""
            record = read_record(found.text) if found else {}
            if found is None or record.get("run") == self._run:
                continue  # our own, with an answer that was lost: written again, for it is not known when it was made
            if is_held(found):
                raise Locked(f"{describe(self._key, record)}; wait for it, or see unlock --help")
            self._before = [*_remembered(record), *filter(None, [str(record.get("run") or "")])][-MAX_REMEMBERED:]
        raise failure or Locked(f"the lock {self._key} changes hands all the time; try again later")

    def _refuse_overlapping(self) -> None:
        """Raise Locked if a run holds a lock that shares entries with ours. Of two at the same moment neither runs."""
        if self._beside:
            return
        for key, found in self._locks(lambda key: key != self._key and overlap(key, self._key)):
            if is_held(found):
                raise Locked(
                    f"{describe(key, read_record(found.text))}, which shares entries with {self._key}; wait for it, or "
                    "see unlock --help"
                )

    def _probe(self) -> None:
        """See what this S3 service keeps, again where it fails for the moment."""
        for left in (2, 1, 0):
            since, record = _now(), self._record(time.time() + LOCK_SECONDS)
            try:
                self._etag, self.findings = probe(self._store, self._key, record, self._etag, beside=self._beside)
                self._good_until = since + LOCK_SECONDS
                return
            except StoreError as failure:
                if not failure.retryable or not left:
                    raise
                log.warning("%s: once more", failure)
                self._stop.wait(1 / left)
            self._etag = self._own_etag() or self._etag

    def _own_etag(self) -> str:
        """The ETag of the lock if it is held by this run; else empty."""
        found = self._store.read_lock(self._key)
        record = read_record(found.text) if found else {}
        return found.etag if found and record.get("run") == self._run and not record.get("released") else ""

    def _release(self) -> None:
        if not self._etag:
            return
        try:
            # Once more where the answer to an earlier write of ours was lost.
            for etag in (self._etag, None):
                etag = etag or self._own_etag()
                record = self._record(time.time(), released=True)
                if etag and self._store.put_lock(self._key, record, if_match=etag)[0]:
                    return
            found = self._store.read_lock(self._key)
            if found and is_held(found):
                holder = read_record(found.text)
                log.warning("the lock %s was not ours any more at the end: %s", self._key, describe(self._key, holder))
        except ArchiverError as failure:
            log.warning("the lock %s stays until it expires: %s", self._key, failure)

    # Keeping it

    def _renew(self) -> None:
        pause = LOCK_SECONDS / 4
        while not self._ended.wait(pause) and not self.lost:
            pause = LOCK_SECONDS / 4 if self._renewed() else LOCK_SECONDS / 24

    def _renewed(self) -> bool:
        since = _now()
        try:
            etag, _ = self._store.put_lock(self._key, self._record(time.time() + LOCK_SECONDS), if_match=self._etag)
            if etag:
                self._etag, self._good_until = etag, since + LOCK_SECONDS
                return True
            found = self._store.read_lock(self._key)
        except ServiceError as failure:
            log.warning("cannot renew the lock %s: %s", self._key, failure)
            return False
        holder = read_record(found.text) if found else {}
        if holder.get("run") != self._run:
            self._lose("another run took it over" if found else "it is gone", overtaken=found is not None)
        elif holder.get("released"):
            self._lose("it was freed by unlock")
        elif found:
            # Ours, with an answer that was lost: when it was written is not known, so it is written once more.
            self._etag = found.etag
        return False

    def _watch(self) -> None:
        """End the run in time for what it has in hand, whatever the renewal is doing."""
        while not self._ended.wait(min(LOCK_SECONDS / 60, 1.0)) and not self.lost:
            if _now() >= self._good_until - LOCK_SECONDS / 3:
                self._lose("it could not be renewed in time")

    def _lose(self, why: str, *, overtaken: bool = False) -> None:
        with self._losing:
            if not self.lost:
                self.lost, self.overtaken = why, overtaken
                log.error("the lock %s is lost (%s): the run ends", self._key, why)
                self._stop.set()


def _now() -> float:
    """Seconds of a clock that nobody sets, and that goes on while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


def read_record(text: str) -> Mapping[str, object]:
    """What a lock says; empty for what is no lock: that holds nothing."""
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) else {}


def is_held(found: LockObject) -> bool:
    """Whether it was written so lately, by S3's clock, that its run may be alive.

    What is frozen cannot be read, and tells no more than its age.
    """
    record = read_record(found.text)
    says = found.frozen or (isinstance(record.get("expires"), int | float) and not record.get("released"))
    return says and found.age_seconds < LOCK_SECONDS + SKEW_SECONDS


def describe(key: str, record: Mapping[str, object]) -> str:
    """Who holds a lock, in one line."""
    return (
        f"another run holds the lock {key}: {record.get('owner')}, run {record.get('run')}, since "
        f"{record.get('started')}, renewed until {record.get('until')}"
    )


def _remembered(record: Mapping[str, object]) -> list[str]:
    before = record.get("before")
    return [run for run in before if isinstance(run, str)] if isinstance(before, list) else []


def unlock(store: Store, key: str, *, force: bool = False) -> str:
    """Free a lock whoever holds it; says what was found. Raises Locked if its run seems alive, unless forced."""
    found = store.read_lock(key)
    if found is None or not is_held(found):
        return f"nobody holds the lock {key}"
    record = read_record(found.text)
    who = describe(key, record).removeprefix("another run holds ")
    # Two renewals in a row may fail; what was not renewed for longer is given up by its run itself.
    if found.age_seconds < LOCK_SECONDS / 2 and not force:
        raise Locked(
            f"{who}: written {found.age_seconds:.0f} seconds ago, so its run is alive, or died just now; stop it, wait "
            f"until the lock expires by itself, or say --force"
        )
    freed = json.dumps({**record, "expires": time.time(), "released": True})
    for store.bare_etags in (False, True):
        if store.put_lock(key, freed, if_match=found.etag)[0]:
            break
    else:
        raise Locked(f"the lock {key} was renewed or taken in this moment: its run is alive; stop that first")
    return f"freed: {who}"
