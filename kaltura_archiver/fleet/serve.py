"""Starting workers and schedulers, here and on Fargate."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from ssl import SSLError
from typing import TYPE_CHECKING, Any

import dask.config
from distributed import Nanny, Scheduler
from distributed.core import Status
from distributed.deploy.spec import ProcessInterface

from kaltura_archiver.errors import ArchiverError, ConfigError
from kaltura_archiver.fleet.certificates import Certificates
from kaltura_archiver.fleet.dask import QUIET, hush, scratch_folder, security_of
from kaltura_archiver.fleet.worker import STOP_SECONDS

if TYPE_CHECKING:
    from kaltura_archiver.fleet.tasks import Started, Tasks


log = logging.getLogger(__name__)
# How long a task may take to end when its work is done.
LEAVE_SECONDS = 3.0


def worker_options(certificates: Certificates, workers: int) -> dict[str, Any]:
    return {
        "nthreads": workers,
        "memory_limit": 0,  # ours is bounded by itself
        "security": security_of(certificates),
        "preload": ["kaltura_archiver.fleet.worker"],
        "local_directory": scratch_folder(),
        "silence_logs": logging.CRITICAL + 1,
        **QUIET,
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
                host=host, port=port, protocol="tls", security=security_of(certificates), **QUIET
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
                return await Nanny(address, **worker_options(certificates, workers), **options)
            except (OSError, RuntimeError) as error:
                if time.monotonic() > deadline or stop.is_set():
                    raise unreachable(address, error) from error
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


def unreachable(address: str, error: BaseException) -> ConfigError:
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
