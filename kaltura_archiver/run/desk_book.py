"""The book of the restore desk: what it has begun to bring back, an object each below log/desk/, written before that is
asked for. So a day's limits hold whatever becomes of the run."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from kaltura_archiver.model import iso_time, same_id
from kaltura_archiver.model.words import unix_time
from kaltura_archiver.steps import DAY_SECONDS
from kaltura_archiver.store import Store
from kaltura_archiver.transfer.ahead import in_order

log = logging.getLogger(__name__)
PREFIX = "log/desk/"
# What was begun so long ago is over: a thaw takes two days at most, and a copy stays readable for some.
OPEN_SECONDS = 14 * DAY_SECONDS


@dataclass(frozen=True)
class Begun:
    """What a run has begun, or was about to: `size_bytes` of an entry's copy, 0 where it was begun by hand before.

    `at` is unix seconds; `key` that of the object that says so.
    """

    key: str
    entry_id: str
    at: int
    source: str
    tier: str
    size_bytes: int


class DeskBook:
    """What the runs of the last days have begun, and this one. `run` is its id. Raises StoreError."""

    def __init__(self, store: Store, run: str, now: float) -> None:
        self._store, self._run, self._now = store, run, now
        self._number = 0
        self._lock = threading.Lock()
        self._begun: list[Begun] = list(self._read())
        self._last = {same_id(begun.entry_id): begun for begun in self._begun}

    def of_today(self) -> Iterator[Begun]:
        """What was begun on this day (UTC), before this run."""
        day = iso_time(self._now)[:10]
        yield from (begun for begun in self._begun if iso_time(begun.at)[:10] == day)

    def last(self, entry_id: str) -> Begun | None:
        """What was last begun of this entry; None where the last days know of nothing."""
        return self._last.get(same_id(entry_id))

    def begin(self, entry_id: str, at: float, *, source: str, tier: str, size_bytes: int) -> None:
        """Write down what is about to be begun. Raises StoreError: then it is not."""
        with self._lock:
            self._number += 1
            number = self._number
        stamp = iso_time(at).replace("-", "").replace(":", "")
        key = f"{_month(at)}{stamp}-{self._run}-{number}.json"
        begun = Begun(key, entry_id, int(at), source, tier, size_bytes)
        told = {"entry": entry_id, "at": iso_time(at), "source": source, "tier": tier, "bytes": size_bytes}
        self._store.put_text(key, json.dumps(told), if_match="")
        self._last[same_id(entry_id)] = begun

    def _read(self) -> Iterator[Begun]:
        """Oldest first, for keys begin with the time."""
        since = iso_time(self._now - OPEN_SECONDS).replace("-", "").replace(":", "")
        months = dict.fromkeys((_month(self._now - OPEN_SECONDS), _month(self._now)))
        keys = [key for month in months for page in self._store.pages(month) for key, *_ in page]
        recent = (key for key in keys if key.endswith(".json") and key.rpartition("/")[2] >= since)
        found = in_order(lambda key: _parsed(key, self._store.get_text(key)), recent, threads=8, room=16)
        yield from (begun for begun in found if begun)


def _month(at: float) -> str:
    return f"{PREFIX}{datetime.fromtimestamp(at, UTC):%Y-%m}/"


def _parsed(key: str, found: tuple[str, str] | None) -> Begun | None:
    """What an object of the book says; None, with a warning, for what is none."""
    with suppress(ValueError, TypeError, KeyError, RecursionError):
        told: Mapping[str, Any] = json.loads(found[0] if found else "")
        at, size = unix_time(told["at"]), told["bytes"]
        if at is not None and type(size) is int:
            return Begun(key, str(told["entry"]), at, str(told["source"]), str(told["tier"]), size)
    log.warning("an object under %s is nothing that a restore desk has begun: it is left out", PREFIX)
    return None
