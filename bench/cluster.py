"""A fleet over two hosts, which are network namespaces joined by a bridge: how fast, and what is lost when it breaks.

Kaltura and S3 are the sandbox, in a third namespace with the scheduler and the client; every call to that Kaltura takes
100 ms longer. Each host runs one `cluster worker`. After every run the sandbox itself is looked at: each entry archived
once, each object the bytes of its video, tags right.

    python bench/cluster.py speed [--entries 2000] [--workers 4]
    python bench/cluster.py faults [--entries 240]

Needs root and iproute2. `speed` beside other work on the machine tells little: its load is printed.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from measure import table

from kaltura_archiver.fleet.certificates import Certificates
from kaltura_archiver.model import ARCHIVED_TAG
from kaltura_archiver.sandbox import serving
from kaltura_archiver.sandbox.kaltura import http as kaltura_http
from kaltura_archiver.sandbox.s3 import S3Server
from kaltura_archiver.sandbox.world import Sandbox, crc64nvme

HUB, HOSTS = "10.99.0.1", {1: "10.99.0.2", 2: "10.99.0.3"}
PORT = 8786
LATENCY_SECONDS = 0.1
VIDEO_BYTES = 10**6
HANGS_SECONDS = 1800.0


def say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


# Namespaces


@contextmanager
def namespaces(prefix: str) -> Iterator[None]:
    """PREFIX-0 with the bridge, PREFIX-1 and PREFIX-2 with a link to it; gone at the end."""

    def ip(*words: str) -> None:
        subprocess.run(["ip", *words], check=True)

    hub = f"{prefix}-0"
    try:
        ip("netns", "add", hub)
        for words in ("link set lo up", "link add br0 type bridge", "link set br0 up", f"addr add {HUB}/24 dev br0"):
            ip("-n", hub, *words.split())
        for number, address in HOSTS.items():
            host = f"{prefix}-{number}"
            ip("netns", "add", host)
            ip("-n", host, "link", "set", "lo", "up")
            ip("link", "add", "eth", "netns", host, "type", "veth", "peer", "name", f"to{number}", "netns", hub)
            ip("-n", hub, "link", "set", f"to{number}", "master", "br0", "up")
            ip("-n", host, "addr", "add", f"{address}/24", "dev", "eth")
            ip("-n", host, "link", "set", "eth", "up")
        yield
    finally:
        for number in (0, *HOSTS):
            subprocess.run(["ip", "netns", "del", f"{prefix}-{number}"], check=False, stderr=subprocess.DEVNULL)


def cut(number: int, *, off: bool = True) -> None:
    """Take a host off the network, or put it back; to be called in the hub's namespace."""
    subprocess.run(["ip", "link", "set", f"to{number}", "down" if off else "up"], check=True)


# Inside the hub


def open_to_hosts() -> None:
    """Have the sandbox's servers listen on the hub's address, and its Kaltura take its time."""
    plain, answer = serving.PromptServer.__init__, kaltura_http._KalturaHandler.do_POST

    def listen(self: Any, address: tuple[str, int], handler: Any) -> None:
        plain(self, (HUB, address[1]), handler)

    def late(self: Any) -> None:
        time.sleep(LATENCY_SECONDS)
        answer(self)

    serving.PromptServer.__init__ = listen  # type: ignore[method-assign]
    kaltura_http._KalturaHandler.do_POST = late  # type: ignore[method-assign]
    here = S3Server.url.fget
    S3Server.url = property(lambda self: here(self).replace("127.0.0.1", HUB))  # type: ignore[method-assign, misc]


@dataclass
class Fleet:
    """The sandbox, and the processes that are set on it."""

    prefix: str
    sandbox: Sandbox
    folder: Path
    workers: int
    running: dict[str, subprocess.Popen[str]] = field(default_factory=dict)
    videos: list[bytes] = field(default_factory=lambda: [os.urandom(VIDEO_BYTES - n) for n in range(16)])

    def __post_init__(self) -> None:
        kaltura = self.sandbox.kaltura
        kaltura.url = kaltura.services.base_url = kaltura.url.replace("127.0.0.1", HUB)
        Certificates.make(1).write(self.folder / "tls")

    def start(self, name: str, *words: object, host: int = 0) -> subprocess.Popen[str]:
        known = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "KALTURA_"))}
        environ = known | self.sandbox.environ() | {"AWS_EC2_METADATA_DISABLED": "true"}
        place = ["ip", "netns", "exec", f"{self.prefix}-{host}"] if host else []
        with (self.folder / f"{name}.log").open("a") as log:
            process = subprocess.Popen(
                [*place, sys.executable, "-m", "kaltura_archiver", *map(str, words)],
                cwd=self.folder, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True,
            )  # fmt: skip
        self.running[name] = process
        return process

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def up(self, hosts: int) -> None:
        """A scheduler here and a worker on each of the first hosts."""
        self.down()
        tls = ("--cluster-tls", "tls")
        self.start("scheduler", "cluster", "scheduler", "--host", HUB, "--port", PORT, *tls)
        for host in list(HOSTS)[:hosts]:
            options = ("--host", HOSTS[host], "--workers", self.workers, *tls)
            self.start(f"host{host}", "cluster", "worker", f"tls://{HUB}:{PORT}", *options, host=host)
        for host in list(HOSTS)[:hosts]:
            wait_for(lambda host=host: "working for" in self.log(f"host{host}"), f"host {host}")

    def down(self) -> None:
        for process in self.running.values():
            process.send_signal(signal.SIGKILL)
        for process in self.running.values():
            process.wait()
        self.running.clear()
        for path in self.folder.glob("*.log"):
            path.unlink()

    def child_of(self, host: int) -> int:
        """The process on a host in which entries are worked on."""
        nanny = self.running[f"host{host}"].pid  # `ip netns exec` becomes it
        found = subprocess.run(
            ["ps", "-o", "pid=,args=", "--ppid", str(nanny)], capture_output=True, text=True, check=True
        )
        return next(int(line.split()[0]) for line in found.stdout.splitlines() if "spawn_main" in line)

    def add(self, count: int, tag: str) -> dict[str, bytes]:
        made = {}
        for number in range(count):
            video = self.videos[number % len(self.videos)]
            made[self.sandbox.add("initial", content=video, tags=tag)] = video
        return made

    def s3copy(self, tag: str, *, host: int = 0, shared: bool = True) -> subprocess.Popen[str]:
        where = ("--cluster", f"tls://{HUB}:{PORT}", "--cluster-tls", "tls") if shared else ("--workers", self.workers)
        options = ("--tag", tag, "--max-entries", -1, "--no-dry-run", "--no-lock", *where)
        return self.start("client", "s3copy", *options, host=host)

    def judge(self, entries: Mapping[str, bytes], tag: str) -> list[str]:
        """What is wrong with these entries by what the servers hold; nothing is, if all is well."""
        s3, wrong = self.sandbox.s3, []
        if s3.uploads():
            wrong.append(f"multipart uploads left: {len(s3.uploads())}")
        digests = {id(video): hashlib.sha256(video).hexdigest() for video in self.videos}
        crcs = {id(video): crc64nvme(video) for video in self.videos}
        for entry_id, video in entries.items():
            original = self.sandbox.kaltura.original(entry_id)
            expected = {"sha256": digests[id(video)], "flavor": f"{original.id}@{original.version}" if original else ""}
            expected["proof"] = f"checksum {crcs[id(video)]} {s3.etag(entry_id)}"
            if s3.body(entry_id) != video:
                wrong.append(f"{entry_id}: the object is not the video")
            elif s3.tags(entry_id) != expected:
                wrong.append(f"{entry_id}: the object is tagged {s3.tags(entry_id)}")
            if self.sandbox.kaltura.entries[entry_id].tags != f"{tag}, {ARCHIVED_TAG}":
                wrong.append(f"{entry_id}: the entry is tagged {self.sandbox.kaltura.entries[entry_id].tags!r}")
        stored = Counter(r.subject for r in self.sandbox.control.requests("s3.PutObject") if r.subject in entries)
        # Not asked of moto, which copies every object for a list of versions.
        count = {entry_id: len(s3._bucket.keys.getlist(entry_id, [])) for entry_id in entries}
        wrong += [f"{entry_id}: {count[entry_id]} versions" for entry_id in entries if count[entry_id] != 1]
        say(f"  {len(entries)} entries, {sum(stored.values())} PutObject, {len(wrong)} wrong")
        return wrong[:20]

    def forget(self) -> None:
        """Free the memory of what is stored."""
        self.sandbox.s3._bucket.keys.clear()
        self.sandbox.control.clear_log()


def wait_for(look: Callable[[], object], what: str, seconds: float = HANGS_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not look():
        if time.monotonic() > deadline:
            raise RuntimeError(f"waited too long for {what}")
        time.sleep(0.05)


def ended(process: subprocess.Popen[str]) -> tuple[int, Counter[str]]:
    """Exit status and outcomes of a client."""
    out, _ = process.communicate(timeout=HANGS_SECONDS)
    header, *lines = out.splitlines() or [""]
    column = header.split("\t").index("outcome") if lines else 0
    return process.returncode, Counter(line.split("\t")[column] for line in lines)


def speed(fleet: Fleet, count: int, asked: set[int]) -> list[str]:
    rows, wrong = [["", "seconds", "entries / s", "against the one before"]], []
    base = 0.0
    for name, hosts in (("one host, one process", 0), ("one host, fleet", 1), ("two hosts, fleet", 2)):
        if hosts not in asked:
            continue
        tag = f"speed{hosts}"
        entries = fleet.add(count, tag)
        if hosts:
            fleet.up(hosts)
        began = time.monotonic()
        code, outcomes = ended(fleet.s3copy(tag, host=0 if hosts else 1, shared=bool(hosts)))
        seconds = time.monotonic() - began
        say(f"{name}: {seconds:.1f} s, exit {code}, {dict(outcomes)}, load {os.getloadavg()[0]:.1f}")
        wrong += [] if (code, outcomes) == (0, {"done": count}) else [f"{name}: exit {code}, {dict(outcomes)}"]
        wrong += fleet.judge(entries, tag)
        fleet.forget()
        rows.append([name, f"{seconds:.1f}", f"{count / seconds:.1f}", f"{base / seconds:.2f}" if base else ""])
        base = seconds
    fleet.down()
    each = f"{fleet.workers} entries at a time on each host, {LATENCY_SECONDS * 1000:g} ms of Kaltura"
    sys.stdout.write(f"{count} entries of {VIDEO_BYTES / 10**6:g} MB, {each}\n\n{table(rows)}\n")
    return wrong


def faults(fleet: Fleet, count: int) -> list[str]:
    wrong = []

    def third(tag: str) -> tuple[dict[str, bytes], subprocess.Popen[str]]:
        """A run that has done a third of its work."""
        fleet.sandbox.control.clear_log()
        entries = fleet.add(count, tag)
        fleet.up(2)
        process = fleet.s3copy(tag)
        wait_for(lambda: len(fleet.sandbox.control.requests("media.update")) > count // 3, "a third of the work")
        return entries, process

    def finish(name: str, process: subprocess.Popen[str], code: int, allowed: set[str]) -> None:
        began = time.monotonic()
        found, outcomes = ended(process)
        lost = re.findall(r"WARNING.*(?:is lost|in hand).*|not finished.*", fleet.log("client"))
        say(f"{name}: exit {found}, {dict(outcomes)}, {time.monotonic() - began:.1f} s; {len(lost)} lines of losses")
        if found != code or not set(outcomes) <= allowed or (code == 0 and outcomes.total() != count):
            wrong.append(f"{name}: exit {found}, {dict(outcomes)}")

    entries, process = third("killed")
    os.kill(fleet.child_of(2), signal.SIGKILL)
    finish("kill -9 of a worker", process, 0, {"done", "already"})
    wrong += fleet.judge(entries, "killed")

    entries, process = third("asked")
    fleet.running["host2"].terminate()
    finish("SIGTERM to a worker", process, 0, {"done", "already"})
    say(f"  it ended with {fleet.running['host2'].wait(60)}")
    wrong += fleet.judge(entries, "asked")

    entries, process = third("ended")
    process.terminate()
    finish("SIGTERM to the client", process, 143, {"done", "interrupted", "already"})
    finish("… and its rerun", fleet.s3copy("ended"), 0, {"done", "already"})
    wrong += fleet.judge(entries, "ended")

    entries, process = third("cut")
    cut(2)
    finish("a host cut off the network", process, 0, {"done", "already"})
    cut(2, off=False)
    time.sleep(5)  # what it had in hand may still come
    wrong += fleet.judge(entries, "cut")

    entries, process = third("orphaned")
    fleet.running["scheduler"].kill()
    finish("a killed scheduler", process, 1, {"done", "interrupted", "already"})
    wait_for(lambda: all(fleet.running[f"host{host}"].poll() is not None for host in HOSTS), "the workers to leave")
    say(f"  the workers left by themselves: exit {[fleet.running[f'host{host}'].returncode for host in HOSTS]}")
    fleet.up(2)
    finish("… and its rerun", fleet.s3copy("orphaned"), 0, {"done", "already"})
    wrong += fleet.judge(entries, "orphaned")

    fleet.down()
    return wrong


def inside(prefix: str, asked: argparse.Namespace) -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that nothing is left running
    open_to_hosts()
    with (
        tempfile.TemporaryDirectory() as folder,
        Sandbox(Path(folder), conversion_seconds=0.02, real_videos=False) as sandbox,
    ):
        fleet = Fleet(prefix, sandbox, Path(folder), asked.workers)
        try:
            wrong = (
                speed(fleet, asked.entries or 2000, set(map(int, asked.hosts.split(","))))
                if asked.what == "speed"
                else faults(fleet, asked.entries or 240)
            )
        except BaseException:
            for path in Path(folder).glob("*.log"):
                say(f"{path.name}: {path.read_text()[-2000:]}")
            raise
        finally:
            fleet.down()
    for text in wrong:
        say(f"WRONG: {text}")
    sys.stdout.write(f"verdict: {'WRONG' if wrong else 'all well'}\n")
    return int(bool(wrong))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["speed", "faults"])
    parser.add_argument("--entries", type=int, default=0)
    parser.add_argument("--workers", type=int, default=4, help="entries at a time on each host")
    parser.add_argument("--hosts", default="0,1,2", help="of speed: 0 is one process without a fleet")
    parser.add_argument("--inside", metavar="PREFIX", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.inside:
        return inside(asked.inside, asked)
    prefix = f"fleet{os.getpid()}"
    with namespaces(prefix):
        command = ["ip", "netns", "exec", f"{prefix}-0", sys.executable, *sys.argv, "--inside", prefix]
        return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
