"""How many entries are in hand, wait for a conversion, or settle, at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field

from kaltura_archiver.errors import OddAnswer, ServiceError, Stopped
from kaltura_archiver.kaltura.watching import Progress


class Limit:
    """At most so many at a time; the number may change. Who is to stop does not wait: it only cleans up."""

    def __init__(self, count: int, stop: threading.Event) -> None:
        self._count, self._stop = count, stop
        self._taken = 0
        self._changed = threading.Condition()

    def allow(self, count: int) -> None:
        with self._changed:
            self._count = count
            self._changed.notify_all()

    def __enter__(self) -> None:
        with self._changed:
            while self._taken >= self._count and not self._stop.is_set():
                self._changed.wait(1)
            self._taken += 1

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._taken -= 1
            self._changed.notify()


class Room:
    """Bounds of a run: so many entries are worked on, so many may be in a conversion, and nobody blocks anybody.

    An entry gives its place up while it waits; coming back it goes before entries that are not begun. While one waits
    for leave to convert, no new one is begun either, so that at most `workers` do.
    """

    def __init__(self, workers: int, conversions: int, stop: threading.Event) -> None:
        self._places = workers
        self._conversions = self._most_conversions = conversions
        self._returning = 0
        self._stop = stop
        self._changed = threading.Condition()
        self._freed: Callable[[], object] = lambda: None

    def on_freed(self, call: Callable[[], object]) -> None:
        """What to call when an entry has given up its place, so that another may be begun."""
        self._freed = call

    @property
    def converting(self) -> int:
        """How many conversions are running."""
        return self._most_conversions - self._conversions

    def allow(self, conversions: int) -> None:
        """Another bound of the conversions; those that are running go on."""
        with self._changed:
            self._conversions += conversions - self._most_conversions
            self._most_conversions = conversions
            self._changed.notify_all()

    def begin(self) -> bool:
        """Take a place for a new entry, if there is one that nobody comes back to."""
        with self._changed:
            free = self._places > self._returning
            self._places -= free
            return free

    def end(self) -> None:
        """Give a place up."""
        with self._changed:
            self._places += 1
            self._changed.notify_all()
        self._freed()

    def _come_back(self, *, converting: bool = False) -> None:
        with self._changed:
            self._returning += 1
            self._changed.wait_for(
                lambda: self._stop.is_set() or (self._places > 0 and (not converting or self._conversions > 0))
            )
            self._returning -= 1
            # Who is to stop needs no place: it only cleans up.
            self._places -= 1
            self._conversions -= converting

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """For the time of a wait the place is another's."""
        self.end()
        try:
            yield
        finally:
            self._come_back()

    def begin_conversion(self) -> None:
        """Wait until one more conversion may be begun. Raises Stopped."""
        with self._changed:
            if self._conversions > 0:
                self._conversions -= 1
                return
            # Nobody new is begun on this place: only those come back whose conversions have ended.
            self._places += 1
            self._changed.notify_all()
            self._come_back(converting=True)
        if self._stop.is_set():
            self.end_conversion()
            raise Stopped("asked to stop")

    def end_conversion(self) -> None:
        with self._changed:
            self._conversions += 1
            self._changed.notify_all()


# Entries looked at in one request.
LOOK_BATCH = 50


@dataclass(frozen=True)
class _Wanted:
    """One entry, perhaps with the temporary entry of its replacement, that somebody wants to be looked at."""

    ids: tuple[str, str]
    deadline: float
    answer: Future[Progress] = field(default_factory=Future)


class Conversions:
    """Looks at all the entries that wait for Kaltura in one request per pause, however many there are."""

    def __init__(
        self,
        read: Callable[[Sequence[tuple[str, str]]], Sequence[Progress | OddAnswer]],
        pause_seconds: float,
        stop: threading.Event,
    ) -> None:
        self._read = read
        self._pause_seconds = pause_seconds
        self._stop = stop
        self._lock = threading.Lock()
        self._wanted: list[_Wanted] = []
        self._served = False

    def look(self, entry_id: str, temporary_id: str, *, deadline: float) -> Progress:
        """How it is at the next common look; the temporary entry's id is empty where it is not known.

        Raises Stopped, or the error of a look that failed: at once, or after the deadline if it may pass.
        """
        wanted = _Wanted((entry_id, temporary_id), deadline)
        with self._lock:
            self._wanted.append(wanted)
            if not self._served:
                self._served = True
                threading.Thread(target=self._serve, name="conversions", daemon=True).start()
        return wanted.answer.result()

    def _serve(self) -> None:
        """Look until nobody wants to know anything any more."""
        while True:
            self._stop.wait(self._pause_seconds)
            with self._lock:
                wanted, self._wanted = self._wanted, []
                if not wanted:
                    self._served = False
                    return
            for start in range(0, len(wanted), LOOK_BATCH):
                self._answer(wanted[start : start + LOOK_BATCH])

    def _answer(self, looks: list[_Wanted]) -> None:
        try:
            if self._stop.is_set():
                raise Stopped("asked to stop")
            found = self._read([look.ids for look in looks])
        except BaseException as error:  # noqa: BLE001 - whatever it is, those who wait must hear of it
            if isinstance(error, ServiceError) and not error.retryable and len(looks) > 1:
                for look in looks:  # whose is it?
                    self._answer([look])
                return
            for look in looks:
                self._failed(look, error)
            return
        for look, progress in zip(looks, found, strict=True):
            if isinstance(progress, OddAnswer):
                self._failed(look, progress)
            else:
                look.answer.set_result(progress)

    def _failed(self, look: _Wanted, error: BaseException) -> None:
        if isinstance(error, ServiceError) and error.retryable and time.monotonic() < look.deadline:
            with self._lock:
                self._wanted.append(look)
        else:
            look.answer.set_exception(error)
