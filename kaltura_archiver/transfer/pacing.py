"""Who may work now: entries in hand and conversions are bounded, waits are shared, and all heed a rate limit."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable

log = logging.getLogger(__name__)
# The pause after a service's first word that we ask too often, doubled with each further one, and where that ends.
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0
# After a pause the threads come back one by one within this time: the first finds out whether the limit is still there.
SPREAD_SECONDS = 1.0
# How often one call may be refused for the sake of a rate limit: Kaltura says the same of what is blocked for good.
MAX_REFUSALS = 8
# Pauses so long are told: nobody is to wonder why nothing happens.
TOLD_SECONDS = 4.0


class Pace:
    """How fast one service lets all our threads together call it, and how often they did."""

    def __init__(self, sleep: Callable[[float], bool], service: str) -> None:
        """`sleep` waits so many seconds, or until there is a reason not to: then it returns True, or raises."""
        self._sleep, self._service = sleep, service
        self._lock = threading.Lock()
        self._seconds = 0.0
        self._since = self._until = 0.0
        self.calls = self.retries = 0

    def wait(self, *, again: bool = False) -> float:
        """Wait while the service is to be left alone; returns the time of the call, for `refused`.

        `again` says that this call was made before, and failed.
        """
        while (left := self._until - time.monotonic()) > 0:
            if self._sleep(left + random.random() * min(self._seconds, SPREAD_SECONDS)):  # noqa: S311 - no secret
                break  # asked to stop
        with self._lock:
            self.calls += 1
            self.retries += again
        return time.monotonic()

    def refused(self, called_at: float) -> None:
        """A call was refused for its rate: all pause. Of calls that were under way together only one counts."""
        with self._lock:
            if called_at > self._since:
                self._seconds = min(max(2 * self._seconds, FIRST_PAUSE_SECONDS), LONGEST_PAUSE_SECONDS)
                self._since = time.monotonic()
                self._until = self._since + self._seconds
                if self._seconds >= TOLD_SECONDS:
                    log.warning("%s says that it is asked too much: once more in %.0f s", self._service, self._seconds)

    def passed(self) -> None:
        """A call went through: the next pause will be shorter."""
        if self._seconds:
            with self._lock:
                self._seconds = self._seconds * 0.8 if self._seconds > FIRST_PAUSE_SECONDS / 2 else 0.0
