"""A fleet: one run on many processes and machines, by Dask distributed. The one module that imports it.

The client selects, holds the lock, and prints; workers bring entries to their goal one by one. An entry's result comes
as a message, not as the value of its future: the first one counts, and what a worker that died had told is not lost.
"""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import logging
import math
import os
import pickle
import re
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import astuple, dataclass, field
from datetime import datetime, timedelta, timezone
from functools import partial
from queue import Empty, SimpleQueue
from ssl import SSLError, TLSVersion
from typing import TYPE_CHECKING, Any

import dask.config
import distributed
from distributed import Client, Future, KilledWorker, Nanny, Reschedule, Scheduler, Security, SpecCluster, get_worker
from distributed.core import Status
from distributed.deploy.spec import ProcessInterface

from kaltura_archiver import __version__
from kaltura_archiver.bandwidth import Bandwidth, Timetable
from kaltura_archiver.certificates import Certificates
from kaltura_archiver.config import PlaceholderFiles, Settings
from kaltura_archiver.errors import ArchiverError, ConfigError, ServiceError, Stopped
from kaltura_archiver.model import Facts, Outcome
from kaltura_archiver.pacing import Limit, Room, Traffic
from kaltura_archiver.plans import Command, Options
from kaltura_archiver.redact import RedactingFilter, redact
from kaltura_archiver.report import logs_json, set_up_logging

if TYPE_CHECKING:
    from kaltura_archiver.apply import Result
    from kaltura_archiver.run_task import Started, Tasks

log = logging.getLogger(__name__)

PORT = 8786
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
# How long entries in hand may take to end after SIGTERM; a service manager kills some time after that.
STOP_SECONDS = 15.0
# How long a task may take to end when its work is done.
LEAVE_SECONDS = 3.0
# So many runs at a time may share the workers of a running scheduler.
MAX_RUNS = 8
CERTIFICATE_DAYS = 30.0

# The operator's own configuration of Dask (DASK_… variables, its files) wins over these.
dask.config.update_defaults(
    {
        "distributed": {
            "scheduler": {
                # A third death of a worker makes an entry suspect: see Fleet.run.
                "allowed-failures": 2,
                "worker-ttl": "60s",
                "http": {"routes": []},
            },
            "worker": {"http": {"routes": []}, "profile": {"enabled": False}},
            # Worker processes log nothing before they know how to (see dask_setup).
            "nanny": {"pre-spawn-environ": {"DASK_LOGGING__DISTRIBUTED": "critical"}},
            "diagnostics": {"nvml": False},
        }
    }
)
_QUIET: dict[str, Any] = {
    "dashboard": False,
    "dashboard_address": "127.0.0.1:0",
}  # Dask opens that port all the same; it serves nothing


def hush() -> None:
    """Take Dask's own lines away from stderr; with --log-level DEBUG its warnings come, redacted as ours."""
    heard = logging.getLogger("kaltura_archiver").isEnabledFor(logging.DEBUG)
    for name in list(logging.Logger.manager.loggerDict):
        if name.split(".")[0] in ("distributed", "tornado", "asyncio", "bokeh"):
            logger = logging.getLogger(name)
            logger.handlers.clear()
            logger.propagate = True
            logger.setLevel(logging.NOTSET)
    for name in ("distributed", "tornado", "asyncio"):
        logging.getLogger(name).setLevel(logging.WARNING if heard else logging.CRITICAL + 1)


def _scratch() -> str:
    """A folder to write to: in a task with a read-only root there is still shared memory."""
    try:
        return tempfile.gettempdir()
    except FileNotFoundError:
        tempfile.tempdir = "/dev/shm"  # noqa: S108 - the only one there is
        return tempfile.tempdir


def _security(certificates: Certificates) -> Security:
    _scratch()  # Dask writes the key to a file for a moment
    roles = ("client", "scheduler", "worker")
    pairs = {f"tls_{role}_{part}": getattr(certificates, part) for role in roles for part in ("cert", "key")}
    return Security(require_encryption=True, tls_ca_file=certificates.ca, tls_min_version=TLSVersion.TLSv1_3, **pairs)


# What a run tells its workers; no secret is in it.


@dataclass(frozen=True)
class Job:
    """One run of a command. `place` is what a worker's own settings must agree with."""

    run: str
    command: Command
    options: Options
    place: tuple[tuple[str, str], ...]
    log_level: int
    timetable: Timetable
    utc_offset: timedelta

    @property
    def topic(self) -> str:
        """Under which the run's workers speak; also the name of its tasks."""
        return f"kaltura-archiver-{self.run}"

    @classmethod
    def of(cls, settings: Settings, run: str, command: Command, options: Options, timetable: Timetable) -> Job:
        return cls(
            run,
            command,
            options,
            _place(settings),
            logging.getLogger("kaltura_archiver").getEffectiveLevel(),
            timetable,
            datetime.now().astimezone().utcoffset() or timedelta(),
        )


def _place(settings: Settings) -> tuple[tuple[str, str], ...]:
    return (
        ("version", __version__),
        ("KALTURA_PARTNERID", settings.partner_id),
        ("KALTURA_SERVICE_URL", settings.service_url),
        ("KALTURA_USERID", settings.user_id),
        ("AWS_BUCKET", settings.bucket),
        ("AWS_ENDPOINT_URL", settings.endpoint_url),
        ("the content of PLACEHOLDER_VIDEO and PLACEHOLDER_MAP", _digest(settings.placeholders())),
    )


def _digest(files: PlaceholderFiles) -> str:
    """Of which placeholder an entry gets, and of those videos themselves."""
    digest = hashlib.sha256()
    for kind, paths in (("", {"": files.default}), ("category", files.of_categories), ("language", files.of_languages)):
        for name, path in paths.items():
            content = path.read_bytes() if path.is_file() else b""
            digest.update(f"{kind} {name} {hashlib.sha256(content).hexdigest()}\n".encode())
    return digest.hexdigest()[:12]


@dataclass(frozen=True)
class Share:
    """What one worker process may take of what is bounded for the fleet; a higher number is a newer word."""

    number: int
    calls: int
    transfers: int
    converting: int
    rate: float


# In a worker process


class _Room(Room):
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


class _Post:
    """What a worker process keeps of one run: the runner, and its share of what is bounded."""

    def __init__(self, job: Job) -> None:
        from kaltura_archiver.cli import App, Stop, make_runner

        self.stop = Stop()
        self._share = -1
        self._calls, self._transfers = Limit(1, self.stop), Limit(1, self.stop)
        self.room = _Room(self.stop)
        today = partial(datetime.now, timezone(job.utc_offset))
        self._bandwidth = Bandwidth(job.timetable, self.stop, today=today)
        app = App(None, stop=self.stop, calls=self._calls)
        app.bandwidth = self._bandwidth
        for (name, wanted), (_, here) in zip(job.place, _place(app.settings), strict=True):
            if wanted != here:
                raise ConfigError(
                    f"{name} is {here or 'not set'} here, {wanted or 'not set'} where the run was started"
                )
        self.runner = make_runner(app, job.command, job.options, room=self.room, transfers=self._transfers, run=job.run)

    def take(self, share: Share) -> None:
        if share.number <= self._share:
            return
        self._share = share.number
        self._calls.allow(share.calls)
        self._transfers.allow(share.transfers)
        self.room.allow(share.converting)
        self._bandwidth.share = share.rate


class _Crew:
    """This worker process: a post for each run at work, and how many entries are in hand."""

    def __init__(self) -> None:
        self.leaving = False
        self.lines = _Lines()
        self._lock = threading.Lock()
        self._posts: dict[str, _Post | ArchiverError] = {}
        self._in_hand = 0

    def post(self, job: Job) -> _Post:
        """Raises what was wrong when it was first asked for."""
        with self._lock:
            if job.run not in self._posts:
                while len(self._posts) >= MAX_RUNS:
                    del self._posts[next(iter(self._posts))]
                logging.getLogger("kaltura_archiver").setLevel(job.log_level)
                try:
                    self._posts[job.run] = _Post(job)
                except ArchiverError as error:
                    self._posts[job.run] = error
            found = self._posts[job.run]
        if isinstance(found, ArchiverError):
            raise found
        return found

    def stop(self, run: str = "") -> None:
        for name, post in list(self._posts.items()):
            if isinstance(post, _Post) and run in ("", name):
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


_crew = _Crew()


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


async def _fit(job: Job) -> str:
    """Why this worker process cannot serve the run; empty if it can. It is then ready."""
    try:
        await asyncio.to_thread(_crew.post, job)
    except ArchiverError as error:
        return redact(str(error))
    return ""


async def _stop(run: str) -> None:
    _crew.stop(run)


async def _go(dask_worker: Any) -> None:
    dask_worker.loop.add_callback(dask_worker.close, reason="the run has ended")


@dataclass(frozen=True)
class _Told:
    """What a worker says of an entry that it is done with; no `result`: it was not begun.

    `lines` were logged about it. `leaving`: the worker is, so that it may have been left before its end.
    """

    entry_id: str
    result: Result | None
    lines: tuple[dict[str, Any], ...]
    leaving: bool
    worker: str
    traffic: Traffic


def _work(job: Job, share: Share, entry_id: str) -> None:
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
            result = post.runner.one(entry_id)
        if result is not None:
            result = dataclasses.replace(result, detail=redact(result.detail))
            if result.facts and not job.options.dry_run:  # a dry run's bill is made from them
                result = dataclasses.replace(result, facts=Facts(result.facts.entry, ()), steps=())
        told = _Told(entry_id, result, tuple(lines), _crew.leaving, worker.address, post.runner.traffic())
        worker.log_event(job.topic, pickle.dumps(told))


# Starting workers and schedulers


@dataclass(frozen=True)
class Where:
    """What --cluster says: the address of a running scheduler, or how many workers to start, and where."""

    kind: str
    address: str = ""
    count: int = 0
    stack: str = ""


def parse_address(text: str) -> str:
    """`tls://HOST:PORT` of tls://, tcp:// or nothing before it; ConfigError for what is none. It is TLS in any case."""
    match = re.fullmatch(r"(?:(?:tls|tcp)://)?([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::(\d{1,5}))?", text)
    port = int(match[2] or PORT) if match else 0
    if not match or not 0 < port < 65536:
        raise ConfigError(f"{text[:60]!r} is no address of a scheduler such as tls://host:{PORT}")
    return f"tls://{match[1]}:{port}"


def parse_cluster(text: str) -> Where:
    """ConfigError for what cannot be meant."""
    match = re.fullmatch(r"(local|fargate):(\d{1,4})(?:/(\S+))?", text)
    if match and int(match[2]) and (match[1] == "fargate" or not match[3]):
        return Where(match[1], count=int(match[2]), stack=match[3] or "")
    if re.match(r"(local|fargate)\b(?!\.)", text):
        raise ConfigError(
            f"--cluster {text[:40]!r}: it is local:N, fargate:N or fargate:N/STACK, N workers from 1 to 9999"
        )
    return Where("address", parse_address(text))


def _worker_options(certificates: Certificates, workers: int) -> dict[str, Any]:
    return {
        "nthreads": workers,
        "memory_limit": 0,  # ours is bounded by itself
        "security": _security(certificates),
        "preload": [__name__],
        "local_directory": _scratch(),
        "silence_logs": logging.CRITICAL + 1,
        **_QUIET,
    }


class FargateWorker(ProcessInterface):
    """A task of the stack that runs `cluster worker`: started by ECS, and stopped when the run ends."""

    def __init__(self, scheduler: str, *, tasks: Tasks, task: str, command: list[str], name: object = None) -> None:
        super().__init__(scheduler, name)  # type: ignore[no-untyped-call]
        self._tasks, self._task = tasks, task
        self._command = ["cluster", "worker", scheduler, "--name", str(name), *command]
        self.started: Started | None = None

    async def start(self) -> None:
        self.started = await asyncio.to_thread(self._tasks.start, self._task, command=self._command)
        await super().start()  # type: ignore[no-untyped-call]

    async def close(self) -> None:
        if self.started is not None and self.status == Status.running:
            # Told to go, it ends by itself with status 0; that of a task that is stopped would be an alarm.
            await asyncio.sleep(LEAVE_SECONDS)
            try:
                await asyncio.to_thread(self._tasks.stop, self.started)
            except ArchiverError as error:
                log.warning("%s; it ends by itself, for its scheduler has gone", error)
        await super().close()  # type: ignore[no-untyped-call]


def serve_scheduler(host: str | None, port: int, certificates: Certificates, stop: threading.Event) -> None:
    """Be a scheduler until `stop` is set. Raises ConfigError where the port cannot be had."""

    async def serve() -> None:
        try:
            scheduler = await Scheduler(
                host=host, port=port, protocol="tls", security=_security(certificates), **_QUIET
            )
        except (OSError, RuntimeError) as error:
            *_, first = _causes(error)
            why = getattr(first, "strerror", None) or first
            raise ConfigError(f"cannot listen on {host or 'any address'}, port {port}: {why}") from error
        async with scheduler:
            log.info("the scheduler is at %s", scheduler.address)
            while not stop.is_set() and scheduler.status == Status.running:
                await asyncio.sleep(0.1)

    hush()
    asyncio.run(serve())


def serve_worker(
    address: str,
    certificates: Certificates,
    stop: threading.Event,
    *,
    workers: int,
    wait_seconds: float,
    logging_of: tuple[str, str],
    **options: Any,
) -> None:
    """Be a worker, in a process that is started again when it dies, until `stop` is set or the scheduler has gone.

    Raises ConfigError where the scheduler cannot be reached for so long.
    """
    deadline = time.monotonic() + wait_seconds
    options = {name: value for name, value in options.items() if value is not None}

    async def start() -> Any:
        while True:
            try:
                return await Nanny(address, **_worker_options(certificates, workers), **options)
            except (OSError, RuntimeError) as error:
                if time.monotonic() > deadline or stop.is_set():
                    raise _unreachable(address, error) from error
                await asyncio.sleep(1)

    async def serve() -> None:
        async with await start() as nanny:
            log.info("working for %s, %d entries at a time", address, workers)
            while not stop.is_set() and nanny.status == Status.running:
                await asyncio.sleep(0.1)
            if stop.is_set() and nanny.pid:
                with suppress(ProcessLookupError):
                    os.kill(nanny.pid, signal.SIGTERM)
                with suppress(TimeoutError):
                    await asyncio.wait_for(nanny.finished(), STOP_SECONDS + 3)
            elif not stop.is_set():
                log.info("the scheduler has gone")

    hush()
    with dask.config.set({"kaltura-archiver.logging": list(logging_of), "distributed.comm.timeouts.connect": "10s"}):
        asyncio.run(serve())


def _unreachable(address: str, error: BaseException) -> ConfigError:
    if any(isinstance(cause, SSLError) for cause in _causes(error)):
        why = "it does not accept our certificate, or we do not accept its own: both sides need the same files"
    else:
        why = "nothing answers there"
    return ConfigError(f"cannot reach the scheduler at {address}: {why}; nothing was started")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error, and what it came of."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


# The client


@dataclass(frozen=True)
class Bounds:
    """Of a fleet as a whole; `workers` is the entries at a time of each worker process that is started."""

    workers: int
    calls: int
    transfers: int


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
            self._tell(_go).join(CONNECT_SECONDS)
        for part, seconds in ((self._client, 3), (self._cluster, 30)):
            if part is not None:
                with suppress(OSError, RuntimeError):
                    part.close(timeout=seconds)

    # Beginning

    def _connect(self, to: Any) -> None:
        try:
            self._client = Client(
                to, security=_security(self.certificates), timeout=CONNECT_SECONDS, set_as_default=False
            )
        except (OSError, RuntimeError, ValueError) as error:
            raise _unreachable(self.where.address, error) from error
        # Only who has the fleet's key can have written this, and runs code on all its members anyway.
        self._client.subscribe_topic(
            self.job.topic,
            lambda event: self._news.put(("told", (pickle.loads(event[1]),))),  # noqa: S301
        )

    def _start(self, entries: int) -> None:
        """Have this machine, or Fargate, run workers."""
        count, security = min(self.where.count, entries), _security(self.certificates)
        host, port = ("127.0.0.1", 0) if self.where.kind == "local" else (None, PORT)
        options = {"host": host, "port": port, "protocol": "tls", "security": security, **_QUIET}
        if self.where.kind == "local":
            worker = {
                "cls": Nanny,
                "options": {**_worker_options(self.certificates, self.bounds.workers), "host": host},
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
        from kaltura_archiver.run_task import DEFAULT_STACK, Tasks

        command = ["--workers", self.bounds.workers, "--port", FARGATE_PORTS[0], "--nanny-port", FARGATE_PORTS[1]]
        command += ["--ticket", self.certificates.seal(self.secret)]
        task = "archive" if self.job.command in (Command.S3COPY, Command.REPLACE) else "restore"
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
        unfit = self._client.run(_fit, self.job, on_error="return")
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
        future = self._client.submit(_work, self.job, self._share(), entry_id, key=key, pure=False)
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
                    self._tell(_stop, self.job.run)
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
            self._tell(_stop, self.job.run).join(1)
            raise

    def _hear(self) -> Iterator[tuple[str, Any]]:
        """What has come since; waits a moment for the first."""
        with suppress(Empty):
            yield self._news.get(timeout=0.2)
            while True:
                yield self._news.get_nowait()

    def _told(self, told: _Told) -> Iterator[Result]:
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
            yield result

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
        from kaltura_archiver.apply import Result

        level = logging.ERROR if outcome is Outcome.FAILED else logging.INFO
        mode = "DRYRUN" if self.job.options.dry_run else "EXEC"
        fields = {"mode": mode, "kind": "entry", "entry": entry_id, "action": self.job.command.value}
        log.log(level, "%s: %s", outcome, detail, extra=fields | {"outcome": outcome.value})
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


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 'es' if what.endswith('s') else 's'}"
