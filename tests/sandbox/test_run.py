"""`sandbox`: what another shell needs, and a larger library for trying."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import Run

from kaltura_archiver.sandbox.world import Sandbox


def test_the_export_lines_are_a_file_for_a_shell_and_for_env_file(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = [sys.executable, "-m", "kaltura_archiver", "sandbox", "--entries", "30", "--env-file", "sandbox.rc"]
    process = subprocess.Popen(program, stderr=subprocess.PIPE, text=True)
    assert process.stderr
    try:
        told = [next(process.stderr) for _ in range(4)]
        assert "48 entries" in told[0]
        assert ". ./sandbox.rc" in told[1]
        file = tmp_path / "sandbox.rc"
        assert file.stat().st_mode & 0o777 == 0o600
        for name in [name for name in os.environ if name.startswith(("KALTURA_", "AWS_", "PLACEHOLDER_"))]:
            monkeypatch.delenv(name)
        ran = run("--env-file", "sandbox.rc", "count")
        assert ran.rows[0]["count"] == "48", ran.err
        assert len(run("--env-file", "sandbox.rc", "health").rows) == 48
        shell = subprocess.run(
            ["sh", "-c", f". ./sandbox.rc; {sys.executable} -m kaltura_archiver health --all-rows"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert len(shell.stdout.splitlines()) == 49, shell.stderr
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        process.stderr.close()


def test_a_sandbox_begins_in_a_shell_that_read_the_settings_of_one_before(tmp_path: Path, run: Run) -> None:
    """These set AWS_PROFILE to nothing, which the sandbox's own S3 took for the name of a profile."""
    program = [sys.executable, "-m", "kaltura_archiver", "sandbox", "--env-file", "sandbox.rc"]
    environ = os.environ | {"AWS_PROFILE": "", "AWS_SESSION_TOKEN": ""}
    process = subprocess.Popen(program, stderr=subprocess.PIPE, text=True, env=environ)
    assert process.stderr
    try:
        assert "each state among them" in next(process.stderr)
        shell = subprocess.run(
            ["sh", "-c", f". ./sandbox.rc; {sys.executable} -m kaltura_archiver s3copy --all --no-dry-run"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert "no answer from S3" not in shell.stderr
        assert "summary: done" in shell.stderr, shell.stderr
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        process.stderr.close()


@pytest.mark.parametrize("entries", [0, 200])
def test_the_library_is_of_all_ages_and_the_same_each_time(tmp_path: Path, entries: int) -> None:
    seen = []
    for number in range(2):
        (folder := tmp_path / str(number)).mkdir()
        with Sandbox(folder, real_videos=False) as sandbox:
            sandbox.fill_more(entries)
            made = list(sandbox.kaltura.entries.values())
            seen.append([(entry.name, entry.plays) for entry in made])
            ages = [(time.time() - entry.created_at) / 31_557_600 for entry in made]
    assert seen[0] == seen[1]
    assert len(seen[0]) == entries
    if entries:
        assert min(ages) < 1 < 7 < max(ages)
        assert {plays > 0 for _, plays in seen[0]} == {True, False}


def test_a_file_that_is_none_of_the_sandboxs_stays(tmp_path: Path, run: Run) -> None:
    """Before the command --env-file reads a file."""
    file = tmp_path / "production.env"
    file.write_text("KALTURA_SECRET=one of the site\n")
    ran = run("sandbox", "--env-file", "production.env")
    assert ran.code == 2
    assert "production.env exists, and is none of the sandbox's" in ran.err
    assert file.read_text() == "KALTURA_SECRET=one of the site\n"
