"""The book of the restore desk: what it has begun to bring back, and who was told of that, below log/desk/.

An object each, written once. What is begun is written down before it is asked for, so that a day's limits hold whatever
becomes of the run.
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from kaltura_archiver.model import iso_time, same_id
from kaltura_archiver.steps import DAY_SECONDS
from kaltura_archiver.store import Store
from kaltura_archiver.transfer.ahead import in_order

log = logging.getLogger(__name__)
PREFIX = "log/desk/"
# What was begun so long ago is over: a thaw takes two days at most, and a copy stays readable for some.
OPEN_SECONDS = 14 * DAY_SECONDS
_CLOSED = "closed"


@dataclass(frozen=True)
class Begun:
    """What a run has begun, or was about to.

    `at` is unix seconds; within so many `seconds` its copy is readable. `size_bytes` of a copy that thawed before, for
    somebody else, are 0. `mail`: whom the request names; `promised`: people are told. `parent`: the entry with which it
    goes as a further stream. `key` is that of its object.
    """

    entry_id: str
    at: float
    source: str
    tier: str
    size_bytes: int
    seconds: float = 0.0
    mail: tuple[str, ...] = ()
    promised: bool = False
    parent: str = ""
    key: str = ""


class DeskBook:
    """What the runs of the last days have begun, and this one. `run` is its id. Raises StoreError. A dry run writes
    nothing, and goes on as if it had."""

    def __init__(self, store: Store, run: str, now: float, *, dry_run: bool) -> None:
        self._store, self._run, self._now, self._dry_run = store, run, now, dry_run
        self._number = 0
        self._lock = threading.Lock()
        self._marks: set[str] = set()
        self._open: dict[str, Begun] = {}
        self._today: list[Begun] = []
        self._read()

    def of_today(self) -> Iterator[Begun]:
        """What was begun on this day (UTC), before this run."""
        yield from self._today

    def open(self) -> Iterator[Begun]:
        """What was last begun of each entry, and is not closed."""
        yield from list(self._open.values())

    def last(self, entry_id: str) -> Begun | None:
        """What was last begun of this entry; None where the last days know of nothing, or all is told of."""
        return self._open.get(same_id(entry_id))

    def begin(self, begun: Begun) -> None:
        """Write down what is about to be begun. Raises StoreError: then it is not."""
        with self._lock:
            self._number += 1
            key = f"{_month(begun.at)}{_stamp(begun.at)}-{begun.entry_id}-{self._run}-{self._number:05d}.json"
        told = asdict(begun)
        if not begun.parent:
            del told["parent"]  # which earlier versions do not know
        self._write(key, told)
        self._open[same_id(begun.entry_id)] = replace(begun, key=key)

    def was_told(self, key: str, news: str, address: str) -> bool:
        return _mark(key, news, address) in self._marks

    def mark(self, key: str, news: str, address: str) -> None:
        """Write down that somebody was told."""
        self._write(_mark(key, news, address), {"at": iso_time(datetime.now(UTC).timestamp())})

    def close(self, begun: Begun) -> None:
        """Write down that nobody has to be told of this any more."""
        self._write(_mark(begun.key, _CLOSED), {"at": iso_time(datetime.now(UTC).timestamp())})
        self._open.pop(same_id(begun.entry_id), None)

    def _write(self, key: str, told: Mapping[str, Any]) -> None:
        if not self._dry_run:
            # Where there is one already it is ours: the answer was lost.
            self._store.put_text(key, json.dumps(told), if_match="")
        self._marks.add(key)

    def _read(self) -> None:
        """Of each entry what was begun last, unless that is closed: what was begun before it came to nothing. And all
        of today. Keys begin with the time, and name the entry."""
        since, today = _stamp(self._now - OPEN_SECONDS), _stamp(self._now)[:8]
        months = dict.fromkeys((_month(self._now - OPEN_SECONDS), _month(self._now)))
        keys = [key for month in months for page in self._store.pages(month) for key, *_ in page]
        self._marks = set(keys)
        named = [(key, key.rpartition("/")[2]) for key in keys if key.endswith(".json")]
        recent = [(key, name) for key, name in named if name >= since]
        last = {same_id(name.split("-")[1]): key for key, name in recent if name.count("-") == 3}
        still = {key for key in last.values() if _mark(key, _CLOSED) not in self._marks}
        wanted = (key for key, name in recent if key in still or name.startswith(today))
        for begun in in_order(lambda key: _parsed(key, self._store.get_text(key)), wanted, threads=8, room=16):
            if begun and begun.key in still:
                self._open[same_id(begun.entry_id)] = begun
            if begun and begun.key.rpartition("/")[2].startswith(today):
                self._today.append(begun)


def _stamp(at: float) -> str:
    """`20261129T090744123`: what runs begin one after the other is in this order."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y%m%dT%H%M%S%f")[:-3]


def _day(at: float) -> str:
    return iso_time(at)[:10]


def _month(at: float) -> str:
    return f"{PREFIX}{_day(at)[:7]}/"


def _mark(key: str, news: str, address: str = "") -> str:
    """The key of the object that says so of what was begun; it does not show the address."""
    told = f"-{hashlib.sha256(address.lower().encode()).hexdigest()[:16]}" if address else ""
    return f"{key.removesuffix('.json')}.{news}{told}"


def _parsed(key: str, found: tuple[str, str] | None) -> Begun | None:
    """What an object of the book says; None, with a warning, for what is none."""
    with suppress(ValueError, TypeError, KeyError, RecursionError):
        told: dict[str, Any] = json.loads(found[0] if found else "")
        begun = Begun(**(told | {"key": key, "mail": tuple(told["mail"])}))
        if all(type(value) in (int, float) for value in (begun.at, begun.size_bytes, begun.seconds)):
            return begun
    log.warning("an object under %s is nothing that a restore desk has begun: it is left out", PREFIX)
    return None
