"""A worker process of a fleet: what it keeps of a run, and how it brings an entry to its goal."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import pickle
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from typing import TYPE_CHECKING, Any

import dask.config
import distributed
from distributed import Reschedule, get_worker
from distributed.core import Status

from kaltura_archiver.apply.room import Limit, Room
from kaltura_archiver.errors import ArchiverError, ConfigError
from kaltura_archiver.fleet.dask import hush
from kaltura_archiver.fleet.job import Job, Share, place_of_job
from kaltura_archiver.model import Facts
from kaltura_archiver.output.logs import set_up_logging
from kaltura_archiver.redact import RedactingFilter, redact
from kaltura_archiver.results import Traffic
from kaltura_archiver.steps import Command
from kaltura_archiver.transfer.bandwidth import Bandwidth

if TYPE_CHECKING:
    from kaltura_archiver.results import Result


log = logging.getLogger(__name__)
# How long entries in hand may take to end after SIGTERM; a service manager kills some time after that.
STOP_SECONDS = 15.0
# So many runs at a time may share the workers of a running scheduler.
MAX_RUNS = 8


class _FleetRoom(Room):
    """An entry that waits for a conversion leaves its thread to another entry, and does not come back for one."""

    def __init__(self, stop: threading.Event) -> None:
        super().__init__(1, 1, stop)
        self._here = threading.local()

    def arrive(self) -> None:
        """An entry begins on this thread."""
        self._here.left = False

    @contextmanager
    def waiting(self) -> Iterator[None]:
        if not self._here.left:
            self._here.left = True
            distributed.secede()
        yield


class _Lines(logging.Handler):
    """Keeps the lines about an entry in hand, to be told by the client; it sees them before they get to stderr."""

    def __init__(self) -> None:
        super().__init__()
        self._here = threading.local()
        self.addFilter(RedactingFilter())

    def emit(self, record: logging.LogRecord) -> None:
        lines: list[dict[str, Any]] | None = getattr(self._here, "lines", None)
        if lines is not None:
            names = (
                "name", "levelno", "levelname", "msg", "created", "msecs", "exc_text",
                "mode", "kind", "entry", "action", "outcome",
            )  # fmt: skip
            lines.append({name: value for name in names if (value := getattr(record, name, None))})
            record.kept = True

    @contextmanager
    def keeping(self) -> Iterator[list[dict[str, Any]]]:
        self._here.lines = []
        try:
            yield self._here.lines
        finally:
            self._here.lines = None


class _RunInHand:
    """What a worker process keeps of one run: the runner, and its share of what is bounded."""

    def __init__(self, job: Job) -> None:
        from kaltura_archiver.run.services import Services, Stop, make_runner

        self.stop = Stop()
        self._share = -1
        self._calls, self._transfers = Limit(1, self.stop), Limit(1, self.stop)
        self.room = _FleetRoom(self.stop)
        today = partial(datetime.now, timezone(job.utc_offset))
        self._bandwidth = Bandwidth(job.timetable, self.stop, today=today)
        app = Services(None, stop=self.stop, calls=self._calls)
        app.bandwidth = self._bandwidth
        for (name, wanted), (_, here) in zip(job.place, place_of_job(app.settings), strict=True):
            if wanted != here:
                raise ConfigError(
                    f"{name} is {here or 'not set'} here, {wanted or 'not set'} where the run was started"
                )
        self.runner = make_runner(
            app, job.command, job.options, room=self.room, transfers=self._transfers, run=job.run,
            poll_seconds=job.poll_seconds, settle_seconds=job.settle_seconds,
        )  # fmt: skip

    def take(self, share: Share) -> None:
        if share.number <= self._share:
            return
        self._share = share.number
        self._calls.allow(share.calls)
        self._transfers.allow(share.transfers)
        self.room.allow(share.converting)
        self._bandwidth.share = share.rate


class _WorkerProcess:
    """This worker process: a post for each run at work, and how many entries are in hand."""

    def __init__(self) -> None:
        self.leaving = False
        self.lines = _Lines()
        self._lock = threading.Lock()
        self._posts: dict[str, _RunInHand | ArchiverError] = {}
        self._in_hand = 0

    def post(self, job: Job) -> _RunInHand:
        """Raises what was wrong when it was first asked for."""
        with self._lock:
            if job.run not in self._posts:
                while len(self._posts) >= MAX_RUNS:
                    del self._posts[next(iter(self._posts))]
                logging.getLogger("kaltura_archiver").setLevel(job.log_level)
                try:
                    self._posts[job.run] = _RunInHand(job)
                except ArchiverError as error:
                    self._posts[job.run] = error
            found = self._posts[job.run]
        if isinstance(found, ArchiverError):
            raise found
        return found

    def stop(self, run: str = "") -> None:
        for name, post in list(self._posts.items()):
            if isinstance(post, _RunInHand) and run in ("", name):
                post.stop.set()

    @contextmanager
    def in_hand(self) -> Iterator[None]:
        with self._lock:
            self._in_hand += 1
        try:
            yield
        finally:
            with self._lock:
                self._in_hand -= 1

    async def leave(self) -> None:
        """End what is in hand as after SIGTERM, and wait for it."""
        self.leaving = True
        self.stop()
        deadline = time.monotonic() + STOP_SECONDS
        while self._in_hand and time.monotonic() < deadline:
            await asyncio.sleep(0.05)


_crew = _WorkerProcess()


def dask_setup(worker: Any) -> None:
    """Called by Dask in each worker process when it starts: how it logs, and what it makes of signals."""
    set_up_logging(*dask.config.get("kaltura-archiver.logging", ["INFO", "text"]))
    hush()
    logging.getLogger("kaltura_archiver").addHandler(_crew.lines)
    for handler in logging.getLogger().handlers:
        handler.addFilter(lambda record: not hasattr(record, "kept"))

    async def leave() -> None:
        worker.status = Status.paused  # nothing new is begun here
        await _crew.leave()
        await asyncio.sleep(0.2)  # for the last words to be sent
        await worker.close(nanny=True, reason="asked to end")

    # Of a Ctrl-C on the terminal the client hears, too.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, lambda: worker.loop.add_callback(leave))


async def dask_teardown(worker: Any) -> None:
    """Called by Dask in each worker process before it ends, also because the scheduler has gone."""
    await _crew.leave()


async def why_unfit(job: Job) -> str:
    """Why this worker process cannot serve the run; empty if it can. It is then ready."""
    try:
        await asyncio.to_thread(_crew.post, job)
    except ArchiverError as error:
        return redact(str(error))
    return ""


async def stop_run(run: str) -> None:
    _crew.stop(run)


async def leave(dask_worker: Any) -> None:
    dask_worker.loop.add_callback(dask_worker.close, reason="the run has ended")


@dataclass(frozen=True)
class Finished:
    """What a worker says of an entry that it is done with; no `result`: it was not begun.

    `lines` were logged about it. `leaving`: the worker is, so that it may have been left before its end.
    """

    entry_id: str
    result: Result | None
    lines: tuple[dict[str, Any], ...]
    leaving: bool
    worker: str
    traffic: Traffic


def _to_tell(job: Job, result: Result) -> Result:
    members = tuple(_to_tell(job, member) for member in result.members)
    result = dataclasses.replace(result, detail=redact(result.detail), members=members)
    facts = result.facts
    if facts is None or job.options.dry_run:  # a dry run's bill is made from them
        return result
    if job.command is Command.RESTORE:  # a day's limits count what was asked back
        return dataclasses.replace(result, facts=Facts(facts.entry, (), facts.stored, source=facts.source))
    return dataclasses.replace(result, facts=Facts(facts.entry, ()), steps=())


def do_entry(job: Job, share: Share, entry_id: str) -> None:
    """Bring one entry to its goal, and tell the client how that ended."""
    worker = get_worker()
    try:
        post = _crew.post(job)
    except ArchiverError as error:  # joined after the run had begun
        log.error("this worker cannot take part: %s", error)
        worker.loop.add_callback(worker.close, reason="not fit for the run")
        raise Reschedule from error
    post.take(share)
    post.room.arrive()
    result = None
    with _crew.lines.keeping() as lines, _crew.in_hand():
        if not post.stop.is_set():
            result = post.runner.process_entry(entry_id)
        if result is not None:
            result = _to_tell(job, result)
        told = Finished(entry_id, result, tuple(lines), _crew.leaving, worker.address, post.runner.traffic())
        worker.log_event(job.topic, pickle.dumps(told))
