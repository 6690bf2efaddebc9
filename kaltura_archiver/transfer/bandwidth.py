"""--bandwidth: how many bytes a second all workers together may move, and from when on."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from datetime import datetime

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_UNITS = {"b": 1, "": 2**10, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40, "p": 2**50}
_SLOT = re.compile(r"(?:(mon|tue|wed|thu|fri|sat|sun)-)?([01]?\d|2[0-3]):([0-5]\d),(\S+)", re.IGNORECASE)
_RATE = re.compile(r"(\d+(?:\.\d+)?)([bkmgtp]?)(?:i?b)?", re.IGNORECASE)
# Between two looks at the timetable and at whether the run is to stop.
LOOK_SECONDS = 1.0


def parse_rate(text: str) -> float | None:
    """Bytes per second of `50M`, `512k`, `1.5G`, `100B`; without a unit KiB, as rclone has it; None for off."""
    if text.lower() == "off":
        return None
    match = _RATE.fullmatch(text)
    rate = float(match[1]) * _UNITS[match[2].lower()] if match else 0.0
    if rate < 1:
        raise ValueError(f"{text!r} is not a rate such as 50M, 512k or off")
    return rate


class Timetable:
    """Which rate holds when: one for always, or `[Day-]HH:MM,RATE …` in local time, each until the next one."""

    def __init__(self, text: str) -> None:
        """Raises ValueError, in words for who wrote it."""
        self._slots: list[tuple[int, float | None]] = []  # minute of the week from which on
        words = text.split()
        if len(words) == 1 and "," not in text:
            self._slots = [(0, parse_rate(words[0]))]
            return
        for word in words:
            slot = _SLOT.fullmatch(word)
            if not slot:
                raise ValueError(f"{word!r} is not a time and a rate such as 08:00,50M or Sat-00:00,off")
            days = [DAYS.index(slot[1].lower())] if slot[1] else range(7)
            rate = parse_rate(slot[4])
            self._slots += [((day * 24 + int(slot[2])) * 60 + int(slot[3]), rate) for day in days]
        if not self._slots:
            raise ValueError("no rate; such as 50M, or a timetable such as '08:00,50M 19:00,off'")
        if len({minute for minute, _ in self._slots}) < len(self._slots):
            raise ValueError("two rates for the same time")
        self._slots.sort(key=lambda slot: slot[0])

    def rate(self, now: datetime) -> float | None:
        """Bytes per second at that local time; None: as fast as can be. Before the week's first slot its last holds."""
        minute = (now.weekday() * 24 + now.hour) * 60 + now.minute
        return next((rate for start, rate in reversed(self._slots) if start <= minute), self._slots[-1][1])


class Bandwidth:
    """What all threads ask before they move on: each moves at once what it has, and the next one waits for that."""

    def __init__(
        self,
        timetable: Timetable,
        stop: threading.Event,
        *,
        clock: Callable[[], float] = time.monotonic,
        today: Callable[[], datetime] = datetime.now,
        wait: Callable[[float], object] | None = None,
    ) -> None:
        self.timetable, self._stop = timetable, stop
        self.share = 1.0  # of the rate, where others move bytes at the same time
        self._clock, self._today, self._wait = clock, today, wait or stop.wait
        self._lock = threading.Lock()
        self._owed, self._at = 0.0, clock()
        self.moved = 0  # bytes, until now

    def passed(self, count: int) -> None:
        """So many bytes have come; returns when their time has."""
        self.spend(count)
        with self._lock:
            self.moved += count

    def spend(self, count: int) -> None:
        """Account for so many bytes, when those before have had their time; returns at once when the run is to stop."""
        while not self._stop.is_set():
            with self._lock:
                rate, now = self.timetable.rate(self._today()), self._clock()
                if rate is None:
                    self._owed, self._at = 0.0, now
                    return
                rate *= self.share
                self._owed = max(0.0, self._owed - (now - self._at) * rate)
                self._at = now
                if not self._owed:
                    self._owed = float(count)
                    return
                pause = min(self._owed / rate, LOOK_SECONDS)
            self._wait(pause)
