"""`--cluster`: the same run by a fleet. One scheduler and one worker, started by hand, serve most of these tests."""

from __future__ import annotations

import gc
import json
import os
import pickle
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
from cloudformation import STACK, Stack
from conftest import Ran, Run
from looking import shown, tags_of
from test_run_task import Aws
from test_run_task import aws as aws

from kaltura_archiver.config import read_settings
from kaltura_archiver.errors import ConfigError
from kaltura_archiver.fleet import client, dask, job, serve, worker
from kaltura_archiver.fleet.certificates import NAMES, Certificates
from kaltura_archiver.run import run as acting
from kaltura_archiver.sandbox.control import Request
from kaltura_archiver.sandbox.world import Sandbox
from kaltura_archiver.steps import Command, Options
from kaltura_archiver.transfer.bandwidth import Timetable

# Dask leaves the socket to a scheduler that is gone to Python's collector of garbage, whenever that comes by.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <ssl.SSLSocket:pytest.PytestUnraisableExceptionWarning"
)


@pytest.fixture(autouse=True, scope="module")
def dask_leaves_nothing_to_other_tests() -> Iterator[None]:
    yield
    gc.collect()


# The fixture `run` does without them.
LOCK, RUN_LOG = acting._lock, acting._run_log
PLAYED_AT = 1_600_000_000


@dataclass
class Processes:
    """A scheduler and a worker, each as an operator starts it; started again when a test has ended them."""

    folder: Path
    environ: dict[str, str]
    address: str = ""
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def tls(self) -> Path:
        return self.folder / "tls"

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{words[1]}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "kaltura_archiver", *words], env=self.environ, cwd=self.folder, stderr=log
            )
        self.running[words[1]] = process
        return process

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def up(self) -> None:
        if self.running and all(process.poll() is None for process in self.running.values()):
            return
        self.down()
        for name in ("scheduler", "worker"):
            (self.folder / f"{name}.log").write_text("")
        self.start("cluster", "scheduler", "--host", "127.0.0.1", "--port", "0", "--cluster-tls", "tls")
        self.address = wait_for(lambda: re.search(r"scheduler is at (tls://\S+)", self.log("scheduler"))).group(1)
        self.start("cluster", "worker", self.address, "--host", "127.0.0.1", "--cluster-tls", "tls", "--workers", "4")
        wait_for(lambda: "working for" in self.log("worker"))

    def workers(self) -> list[psutil.Process]:
        """The processes in which entries are worked on."""
        children = psutil.Process(self.running["worker"].pid).children()
        return [child for child in children if "spawn_main" in " ".join(child.cmdline())]

    def kill_worker(self, *_: object) -> None:
        for child in self.workers():
            child.kill()

    def down(self) -> None:
        for process in self.running.values():
            process.kill()
            process.wait()
        self.running.clear()


def wait_for(look: Callable[[], object], seconds: float = 120) -> re.Match[str]:
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)
    return found  # type: ignore[return-value]


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """One for all tests of this file, since workers keep their settings; each test adds its own entries."""
    with Sandbox(tmp_path_factory.mktemp("sandbox"), conversion_seconds=0.02, real_videos=False) as running:
        yield running


@pytest.fixture(scope="module")
def processes(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    environ = {**os.environ, **sandbox.environ(), "AWS_EC2_METADATA_DISABLED": "true"}
    # An entry is suspect after one death of its worker, not three: each costs seconds.
    environ["DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES"] = "0"
    made = Processes(tmp_path_factory.mktemp("fleet"), environ)
    Certificates.make(1).write(made.tls)
    yield made
    made.down()


@pytest.fixture
def fleet(
    processes: Processes, sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Ran]]:
    """Run a command on these entries with the fleet, whose pauses are those of a sandbox of its own."""
    monkeypatch.setenv("KALTURA_POLL_SECONDS", sandbox.environ()["KALTURA_POLL_SECONDS"])
    processes.up()
    sandbox.control.clear_log()

    def invoke(command: str, entries: list[str], *options: object) -> Ran:
        where = ("--cluster", processes.address, "--cluster-tls", processes.tls)
        return run(command, *(word for entry in entries for word in ("--id", entry)), *where, *options)

    yield invoke
    sandbox.control.clear_faults()


def told(ran: Ran) -> list[str]:
    """The log lines without what differs from run to run, and without those that only a fleet has."""
    chance = r"^\S+ |run=\w+ |in \d+\.\d s|kaltura-archiver s3copy .*"
    lines = [re.sub(chance, "", line) for line in ran.err.splitlines()]
    return sorted(line for line in lines if "worker process" not in line)


def assert_archived(sandbox: Sandbox, videos: dict[str, bytes]) -> None:
    for entry_id, video in videos.items():
        assert sandbox.s3.body(entry_id) == video
        assert tags_of(sandbox, entry_id) == "archived_to_s3"


def add(sandbox: Sandbox, count: int) -> dict[str, bytes]:
    videos = [sandbox.video() for _ in range(count)]
    return {sandbox.add("initial", content=video, last_played_at=PLAYED_AT): video for video in videos}


def test_a_fleet_says_what_one_process_says(sandbox: Sandbox, fleet: Callable[..., Ran], run: Run) -> None:
    entries = [sandbox.add(state) for state in ("initial", "archived", "placeholder", "lost", "diverged", "busy")]
    entries.append("0_notthere")
    alone = run("s3copy", *(word for entry in entries for word in ("--id", entry)))
    shared = fleet("s3copy", entries)
    assert shared.code == alone.code
    assert sorted(shared.out.splitlines()) == sorted(alone.out.splitlines())
    assert told(shared) == told(alone)
    assert not sandbox.control.writes()


def test_what_protects_an_entry_is_heeded_by_a_fleet(sandbox: Sandbox, fleet: Callable[..., Ran], run: Run) -> None:
    """A notice's day, a restore, the keep list, the age: options and facts that reach the workers or do not."""
    sandbox.kaltura.add_category(77, "Kept")
    old: dict[str, Any] = {"last_played_at": None, "plays": 0}
    entries = {
        "a notice names 2999-12-31": sandbox.add("archived", tags="notice_2026-01-01_until_2999-12-31", **old),
        "which counts as a play": sandbox.add("archived", **old),
        "kept: owned by keeper": sandbox.add("archived", creator_id="keeper", **old),
        "kept: in category 77": sandbox.add("archived", categories=(77,), **old),
        "less than 4 years ago": sandbox.add("archived", age_years=3.5, **old),
    }
    restored = entries["which counts as a play"]
    sandbox.s3.set_tags(restored, sandbox.s3.tags(restored) | {"restored-at": "2999-01-01T00:00:00Z"})
    options = (
        "--unplayed-for", 3, "--min-age-years", 4, "--keep-owner", "keeper", "--keep-category", 77, "--no-dry-run",
    )  # fmt: skip
    ran = fleet("replace_video", list(entries.values()), *options)
    details = {row["entry_id"]: row["detail"] for row in ran.rows}
    assert ran.outcomes == dict.fromkeys(entries.values(), "skipped"), ran.err
    for words, entry_id in entries.items():
        assert words in details[entry_id]
    assert {r.subject for r in sandbox.control.writes()}.isdisjoint(entries.values())


def test_a_fleet_does_the_further_streams_of_a_recording_first(
    sandbox: Sandbox, fleet: Callable[..., Ran], run: Run
) -> None:
    parent = sandbox.add("archived")
    streams = [sandbox.add("archived", parent_id=parent, display_in_search=-1) for _ in range(2)]
    ran = fleet("replace_video", [parent], "--no-dry-run")
    assert [(row["entry_id"], row["outcome"]) for row in ran.rows] == [(i, "done") for i in (*streams, parent)], ran.err
    assert {shown(sandbox, entry_id) for entry_id in (*streams, parent)} == {sandbox.placeholder}
    assert "3 entries in" in ran.err


def test_local_workers_share_the_run_with_its_lock_and_its_log(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acting, "_lock", LOCK)
    monkeypatch.setattr(acting, "_run_log", RUN_LOG)
    videos = add(sandbox, 9)
    words = [word for entry in videos for word in ("--id", entry)]
    options = ("--no-dry-run", "--workers", 2, "--cluster", "local:2")
    ran = run("s3copy", *words, *options, "--bandwidth", "100M")
    assert (ran.code, set(ran.outcomes.values())) == (0, {"done"}), ran.err
    assert len(ran.outcomes) == 9
    assert "2 worker processes, 4 entries at a time" in ran.err
    assert re.search(rf"summary: done 9; bytes moved {sum(map(len, videos.values()))},", ran.err)
    assert_archived(sandbox, videos)
    assert len({r.session for r in sandbox.control.requests("media.update") if r.subject in videos}) == 2
    assert json.loads(sandbox.s3.body("locks/s3copy.json") or b"{}")["released"] is True
    [key] = [key for key in sandbox.s3.keys() if key.startswith("log/runs/")]  # noqa: SIM118 - not a dict
    logged, *entries = [json.loads(line) for line in (sandbox.s3.body(key) or b"").splitlines()]
    assert (logged["outcomes"], logged["exit"]) == ({"done": 9}, 0)
    assert logged["kaltura_calls"] > 4 * 9  # what the workers asked, too
    assert {entry["entry"] for entry in entries} == set(videos)
    assert all(entry["last_played_at"] == PLAYED_AT and entry["at"] >= logged["started"] for entry in entries)


def test_what_a_fleet_brings_back_counts_for_the_limits_of_the_day(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry_id = sandbox.add("placeholder")
    monkeypatch.setattr(acting, "_run_log", RUN_LOG)
    ran = run("restore", "--id", entry_id, "--no-dry-run", "--cluster", "local:1")
    assert ran.outcomes == {entry_id: "done"}, ran.err
    [key] = [key for key in sandbox.s3.keys() if "-restore-" in key]  # noqa: SIM118 - not a dict
    _, logged = [json.loads(line) for line in (sandbox.s3.body(key) or b"").splitlines()]
    assert logged["asked_back"] == len(sandbox.s3.body(entry_id))


class Fargate(Aws):
    """Whose tasks are processes on this machine, with the settings of the sandbox in place of the task definition's."""

    environ: dict[str, str]
    tasks: list[subprocess.Popen[bytes]]

    def _RunTask(self, parameters: dict[str, Any]) -> tuple[int, Any]:
        [override] = parameters["overrides"]["containerOverrides"]
        command = [sys.executable, "-m", "kaltura_archiver", *override["command"]]
        self.tasks.append(subprocess.Popen(command, env=self.environ, stderr=subprocess.DEVNULL))
        return super()._RunTask(parameters)

    def _StopTask(self, parameters: dict[str, Any]) -> tuple[int, Any]:
        wait_for(lambda: self.tasks[0].poll() is not None)
        return super()._StopTask(parameters)


@pytest.fixture
def fargate(aws: Aws, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fargate]:
    aws.__class__ = Fargate
    assert isinstance(aws, Fargate)
    aws.environ, aws.tasks = {**os.environ, **sandbox.environ()}, []
    for service in ("ECS", "CLOUDFORMATION"):
        monkeypatch.setenv(f"AWS_ENDPOINT_URL_{service}", os.environ["AWS_ENDPOINT_URL"])
    monkeypatch.setattr(client, "PORT", 0)
    monkeypatch.setattr(client, "FARGATE_PORTS", (0, 0))
    monkeypatch.setattr(serve, "LEAVE_SECONDS", 0.0)
    yield aws
    for task in aws.tasks:
        task.kill()
        task.wait()


def test_tasks_on_fargate_do_the_work_and_end_with_the_run(fargate: Fargate, sandbox: Sandbox, run: Run) -> None:
    videos = add(sandbox, 3)
    words = [word for entry in videos for word in ("--id", entry)]
    ran = run("s3copy", *words, "--no-dry-run", "--cluster", f"fargate:1/{STACK}")
    assert (ran.code, set(ran.outcomes.values())) == (0, {"done"}), ran.err
    assert_archived(sandbox, videos)
    [asked] = fargate.started()
    assert f"task-definition/{STACK}-archive:2" in asked["taskDefinition"]
    [override] = asked["overrides"]["containerOverrides"]
    command = override["command"]
    assert command[:2] == ["cluster", "worker"]
    assert len(json.dumps(asked["overrides"])) < 8192  # ECS takes no more
    # The key of the fleet is among the words, but only for who knows Kaltura's.
    ticket = command[command.index("--ticket") + 1]
    assert "PRIVATE KEY" in Certificates.opened(ticket, sandbox.kaltura.app_token).key
    assert [task.returncode for task in fargate.tasks] == [0]
    assert [operation for operation, _ in fargate.asked].count("StopTask") == 1


def test_tasks_that_end_before_they_work_end_the_run(
    fargate: Fargate, sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here: another app token than ours, so that they cannot open their ticket."""
    monkeypatch.setattr(client, "TASK_SECONDS", 0.0)
    fargate.environ["KALTURA_APP_TOKEN"] = "another-token-than-ours"
    ran = run("restore", "--id", sandbox.add("placeholder"), "--no-dry-run", "--cluster", f"fargate:1/{STACK}")
    assert (ran.code, ran.rows) == (2, [])
    assert "error: the tasks ended before they could work (it ended): read their log" in ran.err
    assert [task.wait() for task in fargate.tasks] == [2]


def test_a_stack_that_is_none_starts_nothing(fargate: Fargate, sandbox: Sandbox, run: Run) -> None:
    ran = run("s3copy", "--id", sandbox.add("initial"), "--cluster", "fargate:3/another")
    assert (ran.code, ran.rows, fargate.tasks) == (2, [], [])
    assert "Stack with id another does not exist" in ran.err


def test_the_stack_lets_a_fleet_s_members_reach_one_another_only_where_asked() -> None:
    assert not {"FleetIn", "FleetOut"} & set(Stack().resources)
    resources = Stack(Fleet="true").resources
    for name, peer in (("FleetIn", "SourceSecurityGroupId"), ("FleetOut", "DestinationSecurityGroupId")):
        rule = resources[name]["Properties"]
        assert rule["GroupId"] == rule[peer] == "SecurityGroup"
        assert (rule["FromPort"], rule["ToPort"]) == (dask.PORT, max(client.FARGATE_PORTS))
        assert min(client.FARGATE_PORTS) > dask.PORT


def test_entries_that_convert_leave_their_place_to_others(sandbox: Sandbox, fleet: Callable[..., Ran]) -> None:
    """Four threads, six entries, and no conversion ends before all have begun."""
    videos = add(sandbox, 6)
    assert fleet("s3copy", list(videos), "--no-dry-run").code == 0
    settings, begun = sandbox.kaltura.settings, threading.Event()
    settings.conversion_seconds = 3600.0

    def convert() -> None:
        with suppress(AssertionError):
            wait_for(lambda: len(sandbox.control.requests("media.updateContent")) == 6)
            begun.set()
        sandbox.control.clock.advance(3 * 3600)  # its end is seen some time after that

    helper = threading.Thread(target=convert)
    helper.start()
    ran = fleet("replace_video", list(videos), "--no-dry-run")
    helper.join()
    settings.conversion_seconds = 0.02
    assert begun.is_set()
    assert (ran.code, set(ran.outcomes.values())) == (0, {"done"}), ran.err
    assert {shown(sandbox, entry_id) for entry_id in videos} == {sandbox.placeholder}
    ran = fleet("restore", list(videos), "--no-dry-run", "--max-converting", 2)
    assert (ran.code, set(ran.outcomes.values())) == (0, {"done"}), ran.err
    assert all(shown(sandbox, entry_id) == video for entry_id, video in videos.items())
    assert fleet("verify", list(videos), "--no-dry-run").code == 0
    assert_archived(sandbox, videos)


def test_an_entry_that_kills_its_worker_fails_and_no_other_is_lost(
    sandbox: Sandbox, fleet: Callable[..., Ran], processes: Processes
) -> None:
    videos = add(sandbox, 8)
    deadly = list(videos)[3]
    sandbox.control.add_fault("media.get", subject=deadly, times=99, before=processes.kill_worker)
    ran = fleet("s3copy", list(videos), "--no-dry-run")
    assert ran.code == 1
    assert "is lost; what it had in hand is begun again by another" in ran.err
    assert f"{deadly} s3copy failed: a worker process died each time that it worked on this entry" in ran.err
    assert len(ran.rows) == 8
    videos.pop(deadly)
    assert ran.outcomes[deadly] == "failed"
    # already: it had been done when its worker died, but that had not said so.
    assert {ran.outcomes[entry_id] for entry_id in videos} <= {"done", "already"}
    assert_archived(sandbox, videos)
    assert sandbox.s3.uploads() == []


def test_sigterm_ends_the_fleet_s_run_with_143(
    sandbox: Sandbox, fleet: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    videos = add(sandbox, 14)
    monkeypatch.setattr("kaltura_archiver.store.Store.abort_stale_uploads", lambda *_: 0)
    sandbox.control.add_fault("s3.PutObject", skip=4, after=lambda _: os.kill(os.getpid(), signal.SIGTERM))
    sandbox.control.add_fault("s3.PutObject", "delay", seconds=0.1, times=99)
    ran = fleet("s3copy", list(videos), "--no-dry-run")
    assert ran.code == 143
    assert 0 < len(ran.rows) < 14
    assert set(ran.outcomes.values()) <= {"done", "interrupted"}
    assert f"asked to stop, {14 - len(ran.rows)} entries were not begun" in ran.err
    sandbox.control.clear_faults()
    ran = fleet("s3copy", list(videos), "--no-dry-run")
    assert ran.code == 0
    assert_archived(sandbox, videos)


def test_calls_are_bounded_for_the_fleet(sandbox: Sandbox, fleet: Callable[..., Ran]) -> None:
    videos = add(sandbox, 8)
    running = most = 0
    lock = threading.Lock()

    def begin(request: Request) -> None:
        nonlocal running, most
        if request.server == "kaltura" and request.subject in videos:
            with lock:
                running += 1
                most = max(most, running)
            time.sleep(0.01)
            with lock:
                running -= 1

    sandbox.control.add_fault("*", times=10**6, before=begin)
    assert fleet("s3copy", list(videos), "--max-calls", 2).code == 0
    assert most == 2


def test_a_worker_of_another_bucket_gets_no_work(
    sandbox: Sandbox, fleet: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    entry_id = sandbox.add("initial")
    sandbox.s3.client().create_bucket(Bucket="another-bucket")
    sandbox.control.clear_log()
    monkeypatch.setenv("AWS_BUCKET", "another-bucket")
    ran = fleet("s3copy", [entry_id], "--no-dry-run")
    assert (ran.code, ran.out) == (2, "")
    assert f"AWS_BUCKET is {sandbox.s3.bucket} here, another-bucket where the run was started" in ran.err
    assert ran.err.count("\n") == 1
    assert not sandbox.control.writes()


def test_what_workers_are_told_and_say_holds_no_secret(
    sandbox: Sandbox, fleet: Callable[..., Ran], processes: Processes
) -> None:
    settings = read_settings()
    made = job.Job.of(settings, "ab12cd34", Command.S3COPY, Options(now=0.0), Timetable("off"))
    message = pickle.dumps((worker.do_entry, made, job.Share(1, 1, 1, 1, 1.0), "0_abc"))
    assert fleet("s3copy", list(add(sandbox, 1)), "--no-dry-run").code == 0
    logs = (processes.log("worker") + processes.log("scheduler")).encode()
    for secret in sandbox.secrets():
        assert secret.encode() not in message + logs
    assert b"BEGIN" not in message + logs


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("local:0", "it is local:N, fargate:N or fargate:N/STACK"),
        ("local", "it is local:N"),
        ("local:2/stack", "it is local:N"),
        ("fargate:x", "it is local:N"),
        ("http://host:8786", "is no address of a scheduler"),
        ("tls://host:99999", "is no address of a scheduler"),
        ("tls://user@host", "is no address of a scheduler"),
    ],
)
def test_a_cluster_that_is_none_starts_nothing(run: Run, sandbox: Sandbox, where: str, said: str) -> None:
    sandbox.control.clear_log()
    ran = run("s3copy", "--all", "--no-dry-run", "--cluster", where)
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err
    assert ran.err.count("\n") == 1
    assert sandbox.control.requests() == []


def test_addresses_may_be_written_in_several_ways() -> None:
    for text in ("tls://10.0.0.5:8786", "tcp://10.0.0.5:8786", "10.0.0.5:8786", "10.0.0.5"):
        assert job.parse_address(text) == "tls://10.0.0.5:8786"
    assert job.parse_cluster("tcp://[::1]:1").address == "tls://[::1]:1"
    assert job.parse_cluster("local.example.org:1").address == "tls://local.example.org:1"


def test_without_certificates_nothing_starts(
    run: Run, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*options: object) -> str:
        sandbox.control.clear_log()
        ran = run("s3copy", "--all", "--no-dry-run", "--cluster", "tls://127.0.0.1:1", *options)
        assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
        assert sandbox.control.requests() == []
        return ran.err

    assert "--cluster-tls or CLUSTER_TLS" in refused()
    monkeypatch.setenv("CLUSTER_TLS", str(tmp_path / "tls"))
    assert "ca.pem: No such file or directory; a fleet needs TLS" in refused()
    assert run("cluster", "certificates", tmp_path / "tls").code == 0
    (tmp_path / "tls" / "key.pem").unlink()
    assert "key.pem: No such file" in refused()
    Certificates.make(1).write(tmp_path / "other")
    (tmp_path / "tls" / "key.pem").write_text((tmp_path / "other" / "key.pem").read_text())
    assert "no certificates that fit" in refused()
    Certificates.make(-0.01).write(tmp_path / "old")
    assert "has expired" in refused("--cluster-tls", tmp_path / "old")
    for words in (("worker", "tls://127.0.0.1:1"), ("scheduler",)):
        ran = run("cluster", *words, "--cluster-tls", tmp_path / "none")
        assert (ran.code, ran.err.count("\n")) == (2, 1)


def test_certificates_are_made_once_and_for_their_owner_only(run: Run, tmp_path: Path) -> None:
    ran = run("cluster", "certificates", tmp_path / "tls", "--days", 2)
    assert (ran.code, ran.out) == (0, "")
    assert {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "tls").iterdir()} == dict.fromkeys(
        NAMES, 0o600
    )
    before = (tmp_path / "tls" / "ca.pem").read_text()
    ran = run("cluster", "certificates", tmp_path / "tls")
    assert ran.code == 2
    assert "exists: remove it, or name another folder" in ran.err
    assert (tmp_path / "tls" / "ca.pem").read_text() == before


def test_a_ticket_opens_only_with_its_secret() -> None:
    made = Certificates.make(1)
    ticket = made.seal("the secret of this account")
    assert Certificates.opened(ticket, "the secret of this account") == made
    assert made.key.splitlines()[1] not in ticket
    for text, secret in ((ticket, "another"), (ticket[:-9], "the secret of this account"), ("§", "x")):
        with pytest.raises(ConfigError, match="the ticket does not open"):
            Certificates.opened(text, secret)


@pytest.mark.parametrize("tls", ["ours", "another's"])
def test_a_scheduler_out_of_reach_starts_nothing(
    run: Run, sandbox: Sandbox, processes: Processes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tls: str
) -> None:
    monkeypatch.setattr(client, "CONNECT_SECONDS", 0.5)
    folder, address, why = processes.tls, "tls://127.0.0.1:1", "nothing answers there"
    if tls == "another's":
        processes.up()
        folder, address, why = tmp_path / "tls", processes.address, "both sides need the same files"
        Certificates.make(1).write(folder)
    sandbox.control.clear_log()
    ran = run("s3copy", "--all", "--no-dry-run", "--cluster", address, "--cluster-tls", folder)
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1), ran.err
    assert f"cannot reach the scheduler at {address}: " in ran.err
    assert why in ran.err
    assert not sandbox.control.writes()


def test_a_scheduler_that_cannot_listen_says_so(processes: Processes) -> None:
    words = ["cluster", "scheduler", "--host", "203.0.113.9", "--cluster-tls", "tls"]  # nobody's address
    ended = subprocess.run(
        [sys.executable, "-m", "kaltura_archiver", *words],
        cwd=processes.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == "error: cannot listen on 203.0.113.9, port 8786: Cannot assign requested address\n"


def test_what_is_for_a_fleet_is_not_ignored_without_one(run: Run) -> None:
    for option in ("--max-calls", "--max-transfers", "--cluster-tls"):
        ran = run("verify", "--tag", "archived_to_s3", option, "1")
        assert (ran.code, ran.out) == (2, "")
        assert f"{option} is for --cluster" in ran.err


def test_the_pages_name_clusters_that_can_be() -> None:
    root = Path(__file__).parents[2]
    pages = [root / "README-AWS.md", *(root / "docs").rglob("*.md")]
    named = {
        w for page in pages for w in re.findall(r"--cluster ([a-z]+:[^\s`]+)", page.read_text()) if "HOST" not in w
    }
    assert {"local:4", "fargate:20", "tls://10.0.0.5:8786"} <= named
    for text in named - {"local:N,", "fargate:N"}:
        job.parse_cluster(text)


def test_the_workers_of_a_running_scheduler_have_their_own_number(run: Run, processes: Processes) -> None:
    ran = run("s3copy", "--all", "--cluster", "tls://127.0.0.1:1", "--cluster-tls", processes.tls, "--workers", 8)
    assert ran.code == 2
    assert "--workers is told to the workers of a running scheduler when they start" in ran.err


def test_a_scheduler_that_is_lost_leaves_the_run_unfinished_and_the_next_one_finishes_it(
    sandbox: Sandbox, fleet: Callable[..., Ran], processes: Processes, run: Run
) -> None:
    videos = add(sandbox, 14)
    scheduler, worker = processes.running["scheduler"], processes.running["worker"]
    sandbox.control.add_fault("s3.PutObject", skip=4, before=lambda _: scheduler.kill())
    ran = fleet("s3copy", list(videos), "--no-dry-run")
    assert ran.code == 1
    assert "not finished: the scheduler is lost; run the command again" in ran.err
    assert set(ran.outcomes.values()) <= {"done", "interrupted"}
    assert f"not finished, {14 - len(ran.rows)} entries were not begun" in ran.err
    # Workers end by themselves.
    assert worker.wait(120) == 0
    assert "the scheduler has gone" in processes.log("worker")
    ran = run("s3copy", *(word for entry in videos for word in ("--id", entry)), "--no-dry-run")
    assert ran.code == 0
    assert_archived(sandbox, videos)


@pytest.mark.parametrize("error", [ValueError("IOStream is not idle"), OSError(), RuntimeError(), TimeoutError()])
def test_a_client_that_cannot_be_closed_spoils_nothing(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """As Dask's does that looks for a scheduler that is lost; it would fail once more when it is collected."""

    def fail(self: object, timeout: float = 0) -> None:
        raise error

    monkeypatch.setattr(client.Client, "close", fail)
    dask_client = client.Client.__new__(client.Client)
    dask_client._Client__loop = None  # what its __del__ asks
    client._close(dask_client, 1)
    assert dask_client.status == "closed"


def test_a_worker_that_would_store_without_the_runs_lock_is_unfit(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in sandbox.environ().items():
        monkeypatch.setenv(name, value)
    here = job.place_of_job(read_settings())
    monkeypatch.setenv("OBJECT_LOCK", "COMPLIANCE:7")
    assert set(job.place_of_job(read_settings())) - set(here) == {("OBJECT_LOCK", "COMPLIANCE:7")}


def test_how_long_a_replacement_settles_is_said_by_who_starts_the_run(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that waits for less than Kaltura takes would leave what Kaltura changes once more."""
    for name, value in sandbox.environ().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("KALTURA_SETTLE_SECONDS", "300")
    monkeypatch.setenv("KALTURA_POLL_SECONDS", "7")
    asked = job.Job.of(read_settings(), "run", Command.REPLACE, Options(now=0), Timetable("off"))
    monkeypatch.delenv("KALTURA_SETTLE_SECONDS")
    monkeypatch.delenv("KALTURA_POLL_SECONDS")
    tools = worker._RunInHand(asked).runner._tools
    assert (tools.settle_seconds, tools.poll_seconds) == (300, 7)
