"""What time brings about in an account."""

from __future__ import annotations

import heapq
import itertools
import math
import sys
import threading
from collections.abc import Callable
from typing import Any

from kaltura_archiver.sandbox.control import Clock
from kaltura_archiver.sandbox.kaltura.metadata import MetadataProfile
from kaltura_archiver.sandbox.kaltura.pictures import ThumbAsset
from kaltura_archiver.sandbox.kaltura.records import AppToken, Asset, Category, EntryRecord, KalturaSettings, Token


class Timed:
    """Every record, under one lock; time passes when `tick` is called."""

    def __init__(self, clock: Clock, settings: KalturaSettings, partner_id: int = 0) -> None:
        self.clock = clock
        self.settings = settings
        self.partner_id = partner_id
        self.lock = threading.RLock()
        self.progress = threading.Condition(self.lock)
        self.entries: dict[str, EntryRecord] = {}
        self.assets: dict[str, Asset] = {}
        self.assets_of: dict[str, list[Asset]] = {}
        self.tokens: dict[str, Token] = {}
        self.thumbs: dict[str, ThumbAsset] = {}
        self.measured: dict[str, int] = {}  # milliseconds of a flavor asset, where its file tells another length
        self.categories: dict[int, Category] = {}
        self.app_tokens: dict[str, AppToken] = {}
        # Captions, attachments, cue points, metadata by service, each with its entry's id; nothing here changes them.
        self.related: dict[str, list[dict[str, Any]]] = {}
        self.profiles: dict[int, MetadataProfile] = {}
        self.dirty: set[str] = set()
        self._jobs: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._imports: set[threading.Thread] = set()
        self._moment: float | None = None  # when the job that runs was due, which may be a while ago
        self._held: list[Callable[[], None]] = []
        # True ids by what the database compares of them.
        self._entry_ids: dict[str, str] = {}
        self._asset_ids: dict[str, str] = {}
        self._second_links: dict[str, list[Callable[[], None]]] = {}

    def now(self) -> int:
        return int(self.clock.now())

    def mark(self, entry_id: str) -> None:
        self.dirty.add(entry_id)

    def schedule(self, due: float, job: Callable[[], None]) -> None:
        heapq.heappush(self._jobs, (due, next(self._numbers), job))

    def _now_or_due(self) -> float:
        return self.clock.now() if self._moment is None else self._moment

    def tick(self) -> None:
        """Do what was due by now on the clock."""
        if self._held and not self.settings.hold_jobs:
            held, self._held = self._held, []
            for start in held:
                start()
        self._run_jobs(self.clock.now())

    def _run_jobs(self, until: float) -> None:
        with self.lock:
            while self._jobs and self._jobs[0][0] <= until:
                self._moment, _, job = heapq.heappop(self._jobs)
                try:
                    job()
                finally:
                    self._moment = None

    def finish(self) -> None:
        """Do everything that is under way, imports included, as if enough time had passed; what is held stays held."""
        while True:
            self.await_imports()
            with self.lock:
                self.tick()
            self._run_jobs(sys.float_info.max)
            with self.lock:
                if all(due == math.inf for due, *_ in self._jobs) and not self._imports:
                    return

    def await_imports(self) -> None:
        """Until every file that is being fetched has come, whatever becomes of it."""
        with self.lock:
            threads = list(self._imports)
        for thread in threads:
            thread.join()
