"""`--tolerate`: for scripts that end at the first status that is not 0. It changes the status, and nothing else."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from conftest import Run
from looking import do_not_wait, use_lock

from kaltura_archiver import cli as cli_module
from kaltura_archiver.config import read_settings
from kaltura_archiver.model import State
from kaltura_archiver.run import run as acting
from kaltura_archiver.run.lock import RunLock, lock_key
from kaltura_archiver.sandbox.world import Sandbox
from kaltura_archiver.store import Store

RUN_LOG = acting._run_log


def _failing(sandbox: Sandbox) -> str:
    entry_id = sandbox.add(State.INITIAL)
    sandbox.control.add_fault("s3.PutObject", "error", subject=entry_id, times=99, code="AccessDenied", status=403)
    return entry_id


@pytest.mark.parametrize(
    ("named", "failing", "waiting", "code"),
    [
        (None, True, True, 1),
        ("1", True, True, 3),
        ("1", True, False, 0),
        ("3", True, True, 1),
        ("3", False, True, 0),
        ("1,3", True, True, 0),
        ("3, 1", True, True, 0),
        ("4", True, True, 1),
        ("1", False, True, 3),
    ],
)
def test_the_status_is_the_worst_of_those_not_named(
    sandbox: Sandbox, run: Run, named: str | None, failing: bool, waiting: bool, code: int
) -> None:
    entries = [sandbox.add(State.INITIAL)]
    entries += [_failing(sandbox)] if failing else []
    entries += [sandbox.add(State.EMPTY)] if waiting else []
    words = [word for entry_id in entries for word in ("--id", entry_id)]
    ran = run("s3copy", *words, "--no-dry-run", *(("--tolerate", named) if named else ()))
    assert ran.code == code
    # The rows and the summary tell the same as ever.
    assert len(ran.rows) == len(entries)
    counts = ", ".join(["done 1", *(["refused 1"] if waiting else []), *(["failed 1"] if failing else [])])
    assert f"summary: {counts};" in ran.err


@pytest.mark.parametrize(
    ("command", "words", "code", "named"),
    [
        ("list", ("--id", "0_nosuch00"), 1, "1"),
        ("count", ("--id", "0_nosuch00"), 1, "1"),
        ("health", (), 1, "1"),
        ("verify", ("--all",), 1, "1,3"),
        ("plan", ("archive", "--all", "-o", "plan.jsonl"), 3, "3"),
        ("replace_video", ("--all",), 3, "3"),
        ("restore", ("--all",), 3, "3"),
        ("repair", ("--all",), 3, "3"),
    ],
)
def test_every_command_that_selects_has_it(
    sandbox: Sandbox, run: Run, command: str, words: tuple[str, ...], code: int, named: str
) -> None:
    for state in (State.LOST, State.EMPTY):
        sandbox.add(state)
    assert run(command, *words).code == code
    assert run(command, *words, *(["--force"] if command == "plan" else []), "--tolerate", named).code == 0


def test_what_exceeds_the_default_of_max_entries_can_be_tolerated_too(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    option = next(param for param in cli_module.cli.commands["s3copy"].params if param.name == "max_entries")
    monkeypatch.setattr(option, "default", 1)
    for _ in range(2):
        sandbox.add(State.INITIAL)
    assert run("s3copy", "--all").code == 4
    assert run("s3copy", "--all", "--tolerate", "4").code == 0


@pytest.mark.parametrize("named", ["2", "0", "5", "130", "143", "1,2", "x", ",", "1,", "1 3", "-1", "01"])
def test_what_tells_that_nothing_was_done_cannot_be_tolerated(sandbox: Sandbox, run: Run, named: str) -> None:
    ran = run("s3copy", "--all", "--no-dry-run", "--tolerate", named)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.count("\n") == 1
    assert "is none of 1, 3 and 4" in ran.err
    assert sandbox.control.requests() == []


def test_a_run_that_broke_off_is_not_tolerated(sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    do_not_wait(monkeypatch)
    sandbox.add(State.INITIAL)
    sandbox.kaltura.settings.search_down = True
    assert run("s3copy", "--all", "--tolerate", "1,3,4").code == 1
    sandbox.kaltura.settings.search_down = False
    monkeypatch.setenv("KALTURA_PARTNERID", "x")
    assert run("s3copy", "--all", "--tolerate", "1,3,4").code == 2


def test_a_lock_that_another_holds_and_drift_are_not_tolerated(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry_id = sandbox.add(State.INITIAL)
    assert run("plan", "archive", "--id", entry_id, "-o", "plan.jsonl").code == 0
    use_lock(monkeypatch)
    store = Store(read_settings(), read_only=False)
    with RunLock(store, lock_key("s3copy"), run="other", stop=threading.Event()):
        assert run("s3copy", "--all", "--no-dry-run", "--tolerate", "1,3,4").code == 5
    sandbox.kaltura.edit(entry_id, tags="seminar")
    assert run("apply", "plan.jsonl", "--tolerate", "1,3,4").code == 4
    assert run("apply", "plan.jsonl", "--max-drift", "1").code == 3
    assert run("apply", "plan.jsonl", "--max-drift", "1", "--tolerate", "3").code == 0


def test_the_log_of_the_run_keeps_the_status_that_it_had(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acting, "_run_log", RUN_LOG)
    sandbox.add(State.EMPTY)
    assert run("s3copy", "--all", "--no-dry-run", "--tolerate", "1,3").code == 0
    [key] = [key for key in list(sandbox.s3.keys()) if key.startswith("log/runs/")]
    first = (sandbox.s3.body(key) or b"").splitlines()[0]
    assert json.loads(first)["exit"] == 3


@pytest.mark.parametrize(("tolerate", "replaced"), [("", False), ("--tolerate 1,3", True)])
def test_an_old_script_with_set_e_goes_on_after_an_entry_without_original(
    sandbox: Sandbox, tolerate: str, replaced: bool
) -> None:
    """What archive.rc did, line by line, with the name of the program changed."""
    archived, empty = sandbox.add(State.INITIAL), sandbox.add(State.EMPTY)
    script = Path("archive.rc")
    script.write_text(f"""#!/bin/sh -e
        kaltura-archiver count --unplayed_for 3 --tag \\!archived_to_s3
        kaltura-archiver --loglevel INFO s3copy --unplayed_for 3 --tag \\!archived_to_s3 --max_entries -1 --s3copy {tolerate}
        kaltura-archiver --loglevel INFO replace_video --unplayed_for 3 --tag archived_to_s3 --max_entries -1 --replace {tolerate}
    """)  # noqa: E501
    installed = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    installed |= {name: value for name, value in os.environ.items() if name == "PYTHONPATH"}
    ended = subprocess.run(
        ["sh", "-e", script], env=sandbox.environ() | installed, capture_output=True, text=True, check=False
    )
    assert ended.returncode == (0 if replaced else 3)
    assert re.search(rf"EXEC entry {empty} s3copy refused: ", ended.stderr)
    assert (f"EXEC entry {archived} replace_video done" in ended.stderr) == replaced
    original = sandbox.kaltura.original(archived)
    assert original is not None
    assert (sandbox.kaltura.content(original.id) == sandbox.placeholder) == replaced
