"""What the commands share, without a word of click: settings, the services, and the way to stop."""

from __future__ import annotations

import gc
import sys
import threading
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any

from kaltura_archiver.config import Settings, read_settings
from kaltura_archiver.steps import Command, Options
from kaltura_archiver.transfer.bandwidth import Bandwidth, Timetable

if TYPE_CHECKING:
    from kaltura_archiver.apply import Runner
    from kaltura_archiver.apply.tools import Sources
    from kaltura_archiver.kaltura import Kaltura
    from kaltura_archiver.store import Store


class Stop(threading.Event):
    """Whether a run is asked to end. A signal handler says so by `asked`, without any lock; whoever waits is woken by
    `set` a moment later.
    """

    asked = False

    def is_set(self) -> bool:
        return self.asked or super().is_set()

    def wait(self, timeout: float | None = None) -> bool:
        return self.is_set() or super().wait(timeout)


@cache
def _keep_what_was_imported() -> None:
    """What was imported stays: the collector need not look at it again and again."""
    gc.freeze()


def make_runner(app: Services, command: Command, options: Options, **more: Any) -> Runner:
    """A runner with what the settings say; `more` is a review of plans, or what a fleet's run says instead. Raises
    ConfigError for a category that there is not."""
    from kaltura_archiver.apply import Runner
    from kaltura_archiver.placeholders import Placeholders
    from kaltura_archiver.selection import with_numbers

    settings = app.settings
    placeholders = Placeholders.read(settings).needed_by(command)
    kaltura = app.kaltura(read_only=options.dry_run)
    if options.asked is not None:
        options = replace(options, asked=with_numbers(kaltura, options.asked))
    return Runner(
        kaltura,
        app.store(read_only=options.dry_run),
        command,
        options,
        placeholders=placeholders,
        stop=app.stop,
        **{"poll_seconds": settings.poll_seconds, "settle_seconds": settings.settle_seconds, **more},
    )


def make_sources(app: Services) -> Sources:
    """Where to read the facts about an entry, and nothing else."""
    from kaltura_archiver.apply.tools import Sources
    from kaltura_archiver.placeholders import Placeholders

    placeholders = Placeholders.read(app.settings).known()
    return Sources(app.kaltura(), app.store(), placeholders)


@dataclass
class Services:
    """What a run needs: the settings, read when first needed, the services, and the way to stop."""

    env_file: str | None

    stop: Stop = field(default_factory=Stop)

    bandwidth: Bandwidth = field(init=False)

    calls: AbstractContextManager[object] | None = None  # entered for the time of each call to Kaltura

    _settings: Settings | None = None

    def __post_init__(self) -> None:
        self.bandwidth = Bandwidth(Timetable("off"), self.stop)

    @property
    def settings(self) -> Settings:
        if self._settings is None:
            self._settings = read_settings(self.env_file)
        return self._settings

    def kaltura(self, *, read_only: bool = True) -> Kaltura:
        from kaltura_archiver.kaltura import Kaltura

        _keep_what_was_imported()
        if read_only:
            # A thread that fetches a page waits 5 ms, Python's default, each time it wants the lock back from the one
            # that writes rows. Transfers are better off with that: they have threads enough.
            sys.setswitchinterval(0.0001)
        self.settings.need_kaltura()
        kaltura = Kaltura(
            self.settings, read_only=read_only, stop=self.stop, bandwidth=self.bandwidth, calls=self.calls
        )
        kaltura.sign_in()
        return kaltura

    def store(self, *, read_only: bool = True, check: bool = True) -> Store:
        from kaltura_archiver.store import Store

        self.settings.need_bucket()
        store = Store(self.settings, read_only=read_only, stop=self.stop, bandwidth=self.bandwidth)
        if check:
            store.check_bucket()
        return store
