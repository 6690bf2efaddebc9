"""A process that has imported the tool and forks itself for each run of it: a real process per run, without its start.

The walker speaks to it in JSON lines; see `Zygote`. What is patched are waits only, and where a run asks for it the
sizes of parts and chunks and the time-outs of the clients.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import resource
import selectors
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

HANGS_SECONDS = 30.0


@dataclass
class Run:
    """One run of the tool as a process; `code` is what it returned, negative for a signal."""

    folder: Path
    number: int
    pid: int = 0
    code: int = 0
    began: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)

    def signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it, and wait until it is gone."""
        self.signal(signal.SIGKILL)
        self.ended.wait(HANGS_SECONDS)

    @property
    def out(self) -> str:
        return (self.folder / f"{self.number}.out").read_text(errors="replace")

    @property
    def err(self) -> str:
        return (self.folder / f"{self.number}.err").read_text(errors="replace")


class Zygote:
    """The walker's end: starts runs, and knows when they end."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd="/"
        )
        self._lock = threading.Lock()
        self._runs: dict[int, Run] = {}
        self._count = 0
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def start(
        self, arguments: Sequence[str], environ: Mapping[str, str], folder: Path, patch: Mapping[str, Any]
    ) -> Run:
        """Start the tool with its working directory, temporary files and output in `folder`."""
        with self._lock:
            self._count += 1
            run = self._runs[self._count] = Run(folder, self._count)
            (folder / "work").mkdir(parents=True, exist_ok=True)
            order = {
                "number": run.number,
                "arguments": list(arguments),
                "environ": dict(environ),
                "folder": str(folder),
                "patch": dict(patch),
            }
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
        if not run.began.wait(HANGS_SECONDS):
            raise RuntimeError("the zygote does not answer")
        return run

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            news = json.loads(line)
            run = self._runs[news["number"]]
            if "pid" in news:
                run.pid = news["pid"]
                run.began.set()
            else:
                run.code = news["code"]
                run.ended.set()
                del self._runs[run.number]

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(HANGS_SECONDS)
        self._reader.join()
        self._process.stdout.close()


# The other end


def _prepare() -> None:
    """Import all that a run needs, and shorten waits that only let time pass."""
    import _strptime

    from botocore.retries import standard

    from kaltura_archiver import cli, config, selection
    from kaltura_archiver.apply import swap
    from kaltura_archiver.kaltura import Kaltura
    from kaltura_archiver.money import bill
    from kaltura_archiver.run import download, explain, kept
    from kaltura_archiver.run import run as acting
    from kaltura_archiver.store import Store
    from kaltura_archiver.transfer import pacing

    standard.ExponentialBackoff.delay_amount = lambda self, context: 0.001
    pause = Kaltura._pause
    Kaltura._pause = lambda self, seconds: pause(self, min(seconds, 0.01))
    swap.UNKNOWN_SECONDS = 1.0
    pacing.FIRST_PAUSE_SECONDS = pacing.LONGEST_PAUSE_SECONDS = 0.001
    # Fills the caches of boto3, which every run would fill for itself.
    os.environ |= {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_EC2_METADATA_DISABLED": "true"}
    os.environ |= {"AWS_BUCKET": "x", "AWS_ENDPOINT_URL": "http://127.0.0.1:9", "KALTURA_PARTNERID": "1"}
    settings = config.read_settings()
    Store(settings, read_only=True)._s3.get_paginator("list_objects_v2")
    Kaltura(settings, read_only=True)._take_client()
    _ = _strptime, bill, cli, download, explain, kept, selection, *cli.cli.commands.values()
    # Without the run lock: a run that is killed holds it for two minutes, and here another run comes at once.
    acting._lock = lambda *_: _NoLock(others_are_over=True)


class _NoLock(contextlib.nullcontext):  # type: ignore[type-arg]
    """What the walk knows of other runs, and a lock would tell: whether they are over."""

    lost, overtaken = "", False

    def __init__(self, *, others_are_over: bool) -> None:
        super().__init__()
        self._over = others_are_over

    def others(self, *, ended: bool = False) -> Any:
        from kaltura_archiver.results import Runs

        return Runs(4e9, _Everybody()) if self._over else Runs(0.0, frozenset())


class _Everybody(frozenset[str]):
    def __contains__(self, run: object) -> bool:
        return run is not None


def _patch(patch: Mapping[str, Any]) -> None:
    from kaltura_archiver.kaltura import wire
    from kaltura_archiver.run import run as acting
    from kaltura_archiver.store import bucket
    from kaltura_archiver.transfer import chunks

    if patch.get("beside"):
        acting._lock = lambda *_: _NoLock(others_are_over=False)
    if "file_bytes" in patch:  # as if the disk were full after so many
        resource.setrlimit(resource.RLIMIT_FSIZE, (patch["file_bytes"], resource.RLIM_INFINITY))
    if "part_bytes" in patch:
        for name in ("MAX_WHOLE_BYTES", "CHUNK_BYTES"):
            _set(chunks, name, patch["part_bytes"])
    if "read_seconds" in patch:
        for module in (wire, bucket):
            _set(module, "READ_SECONDS", patch["read_seconds"])


def _set(module: Any, name: str, value: object) -> None:
    """Patch what the module really has: anything else would be set in silence, and change nothing."""
    getattr(module, name)
    setattr(module, name, value)


def _become(order: Mapping[str, Any]) -> NoReturn:
    """In the forked child: be the tool."""
    code: Any = 70
    try:
        folder = Path(order["folder"])
        for number, suffix in ((1, "out"), (2, "err")):
            handle = os.open(folder / f"{order['number']}.{suffix}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            os.dup2(handle, number)
            os.close(handle)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.chdir(folder / "work")
        os.environ.clear()
        os.environ.update(order["environ"])
        _patch(order["patch"])
        sys.argv = ["kaltura-archiver", *order["arguments"]]
        from kaltura_archiver.cli import main

        main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException:  # noqa: BLE001 - what the interpreter would do at the end of a process
        import traceback

        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _serve() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    news = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    _prepare()
    gc.collect()
    gc.freeze()
    orders = sys.stdin.buffer
    children: dict[int, tuple[int, int]] = {}  # pidfd to (number, pid)
    with selectors.DefaultSelector() as selector:
        selector.register(0, selectors.EVENT_READ)
        waiting = b""
        while True:
            for key, _ in selector.select():
                if key.fd != 0:
                    number, pid = children.pop(key.fd)
                    selector.unregister(key.fd)
                    os.close(key.fd)
                    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                    news.write(json.dumps({"number": number, "code": code}) + "\n")
                    continue
                read = os.read(orders.fileno(), 1 << 20)
                if not read:
                    for _, pid in children.values():
                        os.kill(pid, signal.SIGKILL)
                    return
                *lines, waiting = (waiting + read).split(b"\n")
                for line in lines:
                    order = json.loads(line)
                    pid = os.fork()
                    if pid == 0:
                        _become(order)
                    news.write(json.dumps({"number": order["number"], "pid": pid}) + "\n")
                    handle = os.pidfd_open(pid)
                    children[handle] = (order["number"], pid)
                    selector.register(handle, selectors.EVENT_READ)


if __name__ == "__main__":
    sys.path.append(str(Path(__file__).parents[1] / "support"))
    from shared_work import shared_work

    with shared_work():
        _serve()
