"""The run's side of a fleet: one run on many processes and machines, by Dask distributed.

The client selects, holds the lock, and prints; workers bring entries to their goal one by one. An entry's result comes
as a message, not as the value of its future: the first one counts, and what a worker that died had told is not lost.
"""

from __future__ import annotations

import logging
import math
import pickle
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass, field
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

import dask.config
from distributed import Client, Future, KilledWorker, Nanny, Scheduler, SpecCluster

from kaltura_archiver import __version__
from kaltura_archiver.errors import ConfigError, ServiceError, Stopped
from kaltura_archiver.fleet.certificates import Certificates
from kaltura_archiver.fleet.dask import PORT, QUIET, hush, security_of
from kaltura_archiver.fleet.job import Bounds, Job, Share, Where
from kaltura_archiver.fleet.serve import FargateWorker, unreachable, worker_options
from kaltura_archiver.fleet.worker import STOP_SECONDS, Finished, do_entry, leave, stop_run, why_unfit
from kaltura_archiver.model import Outcome
from kaltura_archiver.output.logs import logs_json
from kaltura_archiver.redact import redact
from kaltura_archiver.results import Traffic
from kaltura_archiver.steps import Command

if TYPE_CHECKING:
    from kaltura_archiver.results import Result


log = logging.getLogger(__name__)
# Of a worker on Fargate, whose address is its own: aws/template.yaml lets these and the scheduler's pass.
FARGATE_PORTS = (8788, 8789)
# The client gives up on a scheduler that does not answer, on one without workers, and on tasks that do not come up.
CONNECT_SECONDS = 10.0
NO_WORKERS_SECONDS = 60.0
FARGATE_SECONDS = 600.0
# Between two looks at those tasks.
TASK_SECONDS = 10.0
# Between two looks at who is there.
LOOK_SECONDS = 2.0
CERTIFICATE_DAYS = 30.0


@dataclass
class Fleet:
    """The run's side of a fleet. A context manager: a running scheduler is reached, and its workers looked at, when it
    is entered; own workers are started when there is something to do. Raises ConfigError where nothing was begun.

    `lost` tells at the end why the run is not finished.
    """

    where: Where
    job: Job
    certificates: Certificates
    bounds: Bounds
    stop: threading.Event
    secret: str = field(repr=False)  # of Kaltura: seals what tasks on Fargate are told
    lost: str = ""

    def __post_init__(self) -> None:
        self._client: Any = None
        self._cluster: Any = None
        self._news: SimpleQueue[tuple[str, Any]] = SimpleQueue()
        self._threads: dict[str, int] = {}
        self._looked_at = self._seen_at = 0.0
        self._shares = self._trials = self._losses = 0
        self._in_hand: dict[str, Future[None]] = {}
        self._suspects: list[str] = []
        self._traffic: dict[str, Traffic] = {}  # of each worker
        self._alone = False  # the suspects are at work

    def __enter__(self) -> Fleet:
        hush()
        if self.where.kind == "address":
            self._connect(self.where.address)
            self._muster(NO_WORKERS_SECONDS / 2)
        return self

    def __exit__(self, *_: object) -> None:
        if self.where.kind == "fargate":
            self._tell(leave).join(CONNECT_SECONDS)
        for part, seconds in ((self._client, 3), (self._cluster, 30)):
            if part is not None:
                _close(part, seconds)

    # Beginning

    def _connect(self, to: Any) -> None:
        try:
            self._client = Client(
                to, security=security_of(self.certificates), timeout=CONNECT_SECONDS, set_as_default=False
            )
        except (OSError, RuntimeError, ValueError) as error:
            raise unreachable(self.where.address, error) from error
        # Only who has the fleet's key can have written this, and runs code on all its members anyway.
        self._client.subscribe_topic(
            self.job.topic,
            lambda event: self._news.put(("told", (pickle.loads(event[1]),))),  # noqa: S301
        )

    def _start(self, entries: int) -> None:
        """Have this machine, or Fargate, run workers."""
        count, security = min(self.where.count, entries), security_of(self.certificates)
        host, port = ("127.0.0.1", 0) if self.where.kind == "local" else (None, PORT)
        options = {"host": host, "port": port, "protocol": "tls", "security": security, **QUIET}
        if self.where.kind == "local":
            worker = {
                "cls": Nanny,
                "options": {**worker_options(self.certificates, self.bounds.workers), "host": host},
            }
        else:
            worker = {"cls": FargateWorker, "options": self._fargate_options()}
        level = logging.getLevelName(self.job.log_level)
        try:
            with dask.config.set({"kaltura-archiver.logging": [level, "json" if logs_json() else "text"]}):
                self._cluster = SpecCluster(
                    {f"worker-{number}": worker for number in range(count)},
                    {"cls": Scheduler, "options": options},
                    security=security,
                )
        except (OSError, RuntimeError) as error:
            raise ConfigError(f"cannot start a fleet: {redact(str(error))[:200]}") from error
        self._connect(self._cluster)
        self._muster(FARGATE_SECONDS if self.where.kind == "fargate" else NO_WORKERS_SECONDS)

    def _fargate_options(self) -> dict[str, Any]:
        from kaltura_archiver.fleet.tasks import DEFAULT_STACK, Tasks

        command = ["--workers", self.bounds.workers, "--port", FARGATE_PORTS[0], "--nanny-port", FARGATE_PORTS[1]]
        command += ["--ticket", self.certificates.seal(self.secret)]
        task = "archive" if self.job.command in (Command.S3COPY, Command.REPLACE, Command.THIN) else "restore"
        return {
            "tasks": Tasks(self.where.stack or DEFAULT_STACK),
            "task": task,
            "command": [str(word) for word in command],
        }

    def _muster(self, seconds: float) -> None:
        """Wait for the first workers, and see that all that are there work on the same account and bucket as we do."""
        deadline, looked = time.monotonic() + seconds, time.monotonic()
        while not self._look():
            if self.stop.wait(0.1):
                raise Stopped("asked to stop")
            if time.monotonic() > deadline:
                raise ConfigError(
                    f"no worker has come to the scheduler in {seconds:.0f} s; nothing was started: "
                    + ("start some (cluster worker --help)" if self.where.kind == "address" else "see the workers' log")
                )
            if self.where.kind == "fargate" and time.monotonic() > looked + TASK_SECONDS:
                looked = time.monotonic()
                self._require_tasks()
        unfit = self._client.run(why_unfit, self.job, on_error="return")
        for address, said in unfit.items():
            if said:
                text = said if isinstance(said, str) else f"it is no worker of version {__version__} ({said})"
                raise ConfigError(f"worker {address}: {redact(text)[:300]}; nothing was started")
        log.info("%s, %d entries at a time", _count(len(self._threads), "worker process"), sum(self._threads.values()))

    def _require_tasks(self) -> None:
        """Raise ConfigError if the tasks that were to be workers have all ended before they were."""
        reasons = []
        for worker in self._cluster.workers.values():
            try:
                reasons.append(worker._tasks.end_of(worker.started))
            except ServiceError as error:
                log.debug("%s", error)
                return
        if all(reasons):
            raise ConfigError(f"the tasks ended before they could work ({reasons[0][:200]}): read their log")

    # Running

    def _look(self) -> bool:
        """See who is there now and then; whether anybody is. A scheduler that does not answer is lost."""
        now = time.monotonic()
        if now < self._looked_at + LOOK_SECONDS and self._threads:
            return True
        try:
            found = self._client.sync(self._client.scheduler.ncores, callback_timeout=3 * CONNECT_SECONDS)
        except (OSError, RuntimeError, AttributeError, TimeoutError):
            self.lost = self.lost or "the scheduler is lost"
            return bool(self._threads)
        self._looked_at = now
        gone, come = self._threads.keys() - found.keys(), found.keys() - self._threads.keys()
        for address in gone:
            self._losses += 1
            log.warning("worker %s is lost; what it had in hand is begun again by another", address)
        if come and self._seen_at:
            log.info("%s joined", _count(len(come), "worker process"))
        if gone or come:
            self._shares += 1
            bounds = {"--max-calls": self.bounds.calls, "--max-transfers": self.bounds.transfers}
            for option, bound in bounds.items():
                if len(found) > bound:
                    log.warning(
                        "%s %d: there are %d worker processes, each has one at a time", option, bound, len(found)
                    )
        self._threads = found
        if found:
            self._seen_at = now
        elif self._seen_at and now > self._seen_at + NO_WORKERS_SECONDS:
            self.lost = self.lost or "no worker is left"
        return bool(found)

    def _share(self) -> Share:
        count = max(len(self._threads), 1)
        converting = self.job.options.max_converting
        calls, transfers, converting = (
            max(n // count, 1) for n in (self.bounds.calls, self.bounds.transfers, converting)
        )
        return Share(self._shares, calls, transfers, converting, 1 / count)

    @property
    def _window(self) -> int:
        """How many entries the fleet is given at a time: enough that no thread waits for us, and those that convert."""
        converts = self.job.command in (Command.REPLACE, Command.RESTORE, Command.REPAIR)
        return 2 * sum(self._threads.values()) + (self.job.options.max_converting if converts else 0)

    def _submit(self, entry_id: str) -> None:
        self._trials += 1
        key = (self.job.topic, entry_id, self._trials)
        future = self._client.submit(do_entry, self.job, self._share(), entry_id, key=key, pure=False)
        self._in_hand[entry_id] = future
        future.add_done_callback(lambda future: self._news.put(("ended", (entry_id, future))))

    def run(self, entry_ids: Sequence[str]) -> Generator[Result, None, None]:
        """Results as they come; after `stop` is set no further entry is begun. See `lost` afterwards.

        Of an entry whose worker died several times it is not known whether it or its neighbour was to blame: those are
        tried once more at the end, one by one, and then fail.
        """
        if not entry_ids:
            return
        if self._client is None:
            self._start(len(entry_ids))
        waiting, deadline = iter(entry_ids), math.inf
        try:
            while not self.lost:
                self._look()
                if self.stop.is_set() and deadline == math.inf:
                    deadline = time.monotonic() + STOP_SECONDS
                    self._tell(stop_run, self.job.run)
                while not self.stop.is_set() and len(self._in_hand) < (1 if self._alone else self._window):
                    if (entry_id := next(waiting, None)) is None:
                        break
                    self._submit(entry_id)
                if not self._in_hand:
                    if self._alone or not self._suspects or self.stop.is_set():
                        break
                    self._alone, waiting = True, iter(self._suspects)
                    continue
                if time.monotonic() > deadline or (self.stop.is_set() and not self._threads):
                    break
                for kind, news in self._hear():
                    yield from self._told(*news) if kind == "told" else self._ended(*news)
            why = self.lost or "its worker did not tell in time how it ended"
            for entry_id in (*self._in_hand, *(() if self._alone else self._suspects)):
                yield self._own_result(entry_id, Outcome.INTERRUPTED, f"{why}; run the command again to go on")
        except BaseException:
            self._tell(stop_run, self.job.run).join(1)
            raise

    def _hear(self) -> Iterator[tuple[str, Any]]:
        """What has come since; waits a moment for the first."""
        with suppress(Empty):
            yield self._news.get(timeout=0.2)
            while True:
                yield self._news.get_nowait()

    def _told(self, told: Finished) -> Iterator[Result]:
        """A worker says how an entry ended."""
        self._traffic[told.worker] = max(told.traffic, self._traffic.get(told.worker, told.traffic), key=astuple)
        if not (future := self._in_hand.pop(told.entry_id, None)):
            return
        future.release()
        result = told.result
        if told.leaving and not self.stop.is_set() and (not result or result.outcome is Outcome.INTERRUPTED):
            self._submit(told.entry_id)
            return
        for line in told.lines:
            logger = logging.getLogger(line["name"])
            if logger.isEnabledFor(line["levelno"]):
                logger.handle(logging.makeLogRecord(line))
        if result:
            yield from result.each

    def _ended(self, entry_id: str, future: Future[None]) -> Iterator[Result]:
        """A future has ended; if that was before its entry's result came, something is wrong."""
        if self._in_hand.get(entry_id) is not future:
            return
        if future.status in ("cancelled", "lost"):
            self.lost = self.lost or "the scheduler is lost"
            return
        del self._in_hand[entry_id]
        error = future.exception() if future.status == "error" else None
        if isinstance(error, KilledWorker) and not self._alone:
            log.warning("entry %s was in hand when workers died; it is tried once more, alone, at the end", entry_id)
            self._suspects.append(entry_id)
        elif isinstance(error, KilledWorker):
            text = (
                "a worker process died each time that it worked on this entry: see the workers' log, and their memory"
            )
            yield self._own_result(entry_id, Outcome.FAILED, text)
        else:
            text = f"unexpected {type(error).__name__} in the fleet: {error}"
            yield self._own_result(entry_id, Outcome.FAILED, redact(text)[:300])

    def _own_result(self, entry_id: str, outcome: Outcome, detail: str) -> Result:
        from kaltura_archiver.results import Result, log_fields

        level = logging.ERROR if outcome is Outcome.FAILED else logging.INFO
        fields = log_fields(
            "entry", self.job.command.value, dry_run=self.job.options.dry_run, entry=entry_id, outcome=outcome.value
        )
        log.log(level, "%s: %s", outcome, detail, extra=fields)
        return Result(entry_id, "", outcome, detail, ended_at=time.time())

    def traffic(self) -> Traffic:
        """What the workers have asked of the services so far, by what they said."""
        return sum(self._traffic.values(), Traffic(0, 0, 0))

    def has_losses(self) -> bool:
        """Whether workers have gone, and may have left something of entries that others have finished since."""
        if self._client is None or self.lost:
            return False
        self._looked_at = 0.0
        self._look()
        self.lost = ""  # not before the end
        return self._losses > 0

    def _tell(self, what: Callable[..., Any], *words: str) -> threading.Thread:
        """Have every worker process do this now; one that is cut off keeps nobody but the thread waiting."""

        def tell() -> None:
            with suppress(OSError, RuntimeError, AttributeError, ValueError):
                self._client.run(what, *words, wait=False, on_error="ignore")

        thread = threading.Thread(target=tell, daemon=True)
        thread.start()
        return thread


def _close(part: Any, seconds: float) -> None:
    """Close a client or a cluster. Nothing rests on how that goes: every result has been told."""
    try:
        part.close(timeout=seconds)
    except Exception:
        # Where a lost scheduler is being looked for again Dask fails in many ways, and once more when it is collected.
        log.debug("closing", exc_info=True)
        if isinstance(part, Client):
            part.status = "closed"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 'es' if what.endswith('s') else 's'}"
