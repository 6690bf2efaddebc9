"""One run of a command per bucket at a time: an object that says who is running, until when."""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
import time
from collections.abc import Mapping
from types import TracebackType

from kaltura_archiver.errors import Locked, ServiceError
from kaltura_archiver.model import iso_time
from kaltura_archiver.store import Store

log = logging.getLogger(__name__)

LOCK_SECONDS = 120.0
PREFIX = "locks/"


def lock_key(command: str, shard: tuple[int, int] | None = None) -> str:
    """The key of the lock of a command; each share of a selection has its own, so that a fleet can run."""
    share = f".{shard[0]}-of-{shard[1]}" if shard else ""
    return f"{PREFIX}{command}{share}.json"


class RunLock:
    """Held within `with`. Taken by If-None-Match, renewed and taken over by If-Match on the ETag that was read.

    A lock is never deleted, only overwritten as expired: S3 has no deletion on a condition for every kind of bucket,
    and a deletion without one could remove the lock of whoever took it over in that moment. The clocks of the machines
    need to agree within seconds. If the lock is lost (this machine slept, or S3 was out of reach for too long), `stop`
    is set: the run ends as after SIGTERM, and `lost` says why. Raises Locked if another run holds it, StoreError where
    S3 fails.
    """

    def __init__(self, store: Store, key: str, *, run: str, stop: threading.Event) -> None:
        self._store = store
        self._key = key
        self._run = run
        self._stop = stop
        self._started = time.time()
        self._etag = ""
        self._ended = threading.Event()
        self._renewer = threading.Thread(target=self._renew, name="lock", daemon=True)
        self.lost = ""

    def __enter__(self) -> RunLock:
        self._etag = self._take()
        self._renewer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._renewer.join()
        if self.lost:
            return
        try:
            self._store.put_text(self._key, self._record(expires=time.time(), released=True), if_match=self._etag)
        except ServiceError as failure:
            log.warning("the lock %s stays until it expires: %s", self._key, failure)

    def _record(self, *, expires: float, released: bool = False) -> str:
        record = {
            "owner": f"{socket.gethostname()} (process {os.getpid()})",
            "run": self._run,
            "started": iso_time(self._started),
            "expires": expires,
            "until": iso_time(expires),
            "released": released,
        }
        return json.dumps(record)

    def _take(self) -> str:
        etag = ""
        for _ in range(5):  # as often as it can change hands between our look and our try
            record = self._record(expires=time.time() + LOCK_SECONDS)
            if taken := self._store.put_text(self._key, record, if_match=etag):
                return taken
            found = self._store.get_text(self._key)
            if found is None:
                etag = ""
                continue
            holder, etag = read_record(found[0]), found[1]
            if holder.get("run") == self._run:
                return etag  # the answer to our own try was lost
            if is_held(holder):
                raise Locked(f"{describe(self._key, holder)}; wait for it, or see unlock --help")
        raise Locked(f"the lock {self._key} changes hands all the time; try again later")

    def _renew(self) -> None:
        good_until = time.time() + LOCK_SECONDS
        while not self._ended.wait(LOCK_SECONDS / 4):
            expires = time.time() + LOCK_SECONDS
            try:
                etag = self._store.put_text(self._key, self._record(expires=expires), if_match=self._etag)
                if not etag:
                    # Ours, with an answer that was lost, or another run's that took it over.
                    found = self._store.get_text(self._key)
                    etag = found[1] if found and read_record(found[0]).get("run") == self._run else ""
                if etag:
                    self._etag, good_until = etag, expires
                    continue
                self.lost = "another run took it over"
            except ServiceError as failure:
                log.warning("cannot renew the lock %s: %s", self._key, failure)
                if time.time() < good_until - LOCK_SECONDS / 3:
                    continue
                self.lost = "it could not be renewed in time"
            log.error("the lock %s is lost (%s): the run ends", self._key, self.lost)
            self._stop.set()
            return


def read_record(text: str) -> Mapping[str, object]:
    """What a lock says; empty for what is no lock: that holds nothing."""
    try:
        record = json.loads(text)
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}


def is_held(record: Mapping[str, object]) -> bool:
    expires = record.get("expires")
    return isinstance(expires, int | float) and not record.get("released") and time.time() < expires


def describe(key: str, record: Mapping[str, object]) -> str:
    """Who holds a lock, in one line."""
    return (
        f"another run holds the lock {key}: {record.get('owner')}, run {record.get('run')}, since "
        f"{record.get('started')}, renewed until {record.get('until')}"
    )


def unlock(store: Store, key: str) -> str:
    """Free a lock whoever holds it; says what was found."""
    found = store.get_text(key)
    if found is None or not is_held(record := read_record(found[0])):
        return f"nobody holds the lock {key}"
    freed = json.dumps({**record, "expires": time.time(), "released": True})
    if not store.put_text(key, freed, if_match=found[1]):
        raise Locked(f"the lock {key} was renewed or taken in this moment: its run is alive; stop that first")
    return f"freed: {describe(key, record).removeprefix('another run holds ')}"
