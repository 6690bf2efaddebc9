"""Fixtures: a sandbox for each test that wants one, and the command run on it."""

from __future__ import annotations

import functools
import json
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, settings
from shared_work import shared_work

from kaltura_archiver.cli import cli
from kaltura_archiver.people import directory, mailer
from kaltura_archiver.sandbox.world import Sandbox
from kaltura_archiver.store.bucket import Bucket
from kaltura_archiver.transfer.deadlines import tls_context

# A shell ignores Ctrl-C for what it starts in the background, and so would all processes that the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes tells of the machine and of who else is on it.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

_OURS = ("KALTURA_", "AWS_", "LDAP_", "SMTP_", "NOTIFY_", "KEEP_", "PLACEHOLDER_", "PRICE_TABLE", "N_YEARS", "DOIT")


@pytest.fixture(scope="session", autouse=True)
def work_done_once() -> Iterator[None]:
    with shared_work():
        yield


@pytest.fixture(scope="session", autouse=True)
def shared_trust() -> Iterator[None]:
    """The certificates that the system trusts are read once, not by every run that may send mail or ask a directory."""
    of_system = functools.cache(lambda: tls_context("", ""))
    with pytest.MonkeyPatch.context() as patch:
        for module in (directory, mailer):
            patch.setattr(module, "tls_context", lambda file, name: tls_context(file, name) if file else of_system())
        yield


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test sees the settings or files of whoever runs it."""
    for name in os.environ:
        if name.startswith(_OURS):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """Kaltura and S3 on loopback, empty; contents are cheap look-alikes of videos. Glacier takes AWS's hours.

    It stands for AWS, though its host has another name.
    """
    monkeypatch.setattr(Bucket, "at_aws", True)
    folder = tmp_path / "sandbox"
    folder.mkdir()
    with Sandbox(folder, conversion_seconds=0.02, real_videos=False) as running:
        yield running


@dataclass(frozen=True)
class Ran:
    """What a command printed and returned."""

    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[dict[str, str]]:
        """The TSV on stdout."""
        header, *lines = self.out.splitlines()
        return [dict(zip(header.split("\t"), line.split("\t"), strict=True)) for line in lines]

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def outcomes(self) -> dict[str, str]:
        """Entry id to outcome, of a command that acts."""
        return {row["entry_id"]: row["outcome"] for row in self.rows}


Run = Callable[..., Ran]


def pytest_configure() -> None:
    """Each process of the tests keeps to one core, where there is a choice.

    Its threads, the servers and the tool that asks them, only ever run in turn; on several cores a sixth of the time
    goes into handing over.
    """
    worker = os.environ.get("PYTEST_XDIST_WORKER", "").removeprefix("gw")
    if worker and hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[int(worker) % len(cores)]})


# The files that take longest, begun first: no process is left alone with one at the end.
LONG_FILES = (
    "test_odd_s3.py", "test_groups.py", "test_walk.py", "test_policies.py", "test_output.py", "test_files.py",
    "test_contract.py", "test_cluster.py", "test_selection.py", "test_clones.py", "test_flavors.py",
    "test_faults.py", "test_run.py", "test_versions.py", "test_desk_killed.py", "test_template.py",
    "test_odd_entries.py", "test_commands.py", "test_gate.py", "test_policy_notices.py", "test_guard.py",
    "test_bad_input.py", "test_docs.py", "test_policy.py", "test_whole_cycle.py", "test_wire.py", "test_thin.py",
    "test_demo.py", "test_report_page.py", "test_jobs.py",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    turn = {name: number for number, name in enumerate(LONG_FILES)}
    items.sort(key=lambda item: turn.get(item.path.name, len(turn)))


@pytest.fixture(scope="session")
def zygote() -> Iterator[Any]:
    """Makes processes of the tool that can be killed (faults/zygote.py)."""
    from faults.zygote import Zygote

    zygote = Zygote()
    yield zygote
    zygote.close()


@pytest.fixture
def run(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `kaltura-archiver` with these arguments on the sandbox, in this process.

    Without the run lock and the run log, which would add requests and objects to each run: test_lock.py and
    test_runlog.py are about them.
    """
    monkeypatch.setattr("kaltura_archiver.run.run._lock", lambda *_: None)
    monkeypatch.setattr("kaltura_archiver.run.run._run_log", lambda *_: None)
    for name, value in {**sandbox.environ(), "KALTURA_POLL_SECONDS": "0.01"}.items():
        monkeypatch.setenv(name, value)

    def invoke(*arguments: object, stdin: str | bytes | None = None) -> Ran:
        result = CliRunner().invoke(cli, [str(argument) for argument in arguments], input=stdin)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        leaked = [secret for secret in sandbox.secrets() if secret in result.output]
        assert not leaked, f"a secret in the output of {arguments}"
        assert "X-Amz-Signature=" not in result.output.replace("X-Amz-Signature=[redacted]", "")
        return Ran(result.exit_code, result.stdout, result.stderr)

    return invoke
