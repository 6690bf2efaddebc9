"""The names of kaltura_aws.py, its companions and scripts: they run what they were, or say what to type."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Run

from kaltura_archiver.cli import cli
from kaltura_archiver.sandbox.world import Sandbox


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("kaltura_aws.py list --tag archived_to_s3", "list --tag archived_to_s3"),
        ("./kaltura_aws.py -l ERROR list -t archived_to_s3", "--log-level ERROR list --tag archived_to_s3"),
        ("src/kaltura_aws.py --logl ERROR count", "--log-level ERROR count"),
        ("kaltura_aws restore_from_s3 --tag archived_to_s3", "restore --tag archived_to_s3"),
        ("stats.py --columns section,key,entries", "stats --columns section,key,entries"),
        ("add_ldap_status.py --directory-file people.csv -t list.tsv", "enrich --directory-file people.csv list.tsv"),
    ],
)
def test_a_program_of_the_old_tool_as_first_word_runs_what_it_was(
    sandbox: Sandbox, run: Run, tmp_path: Path, old: str, new: str
) -> None:
    sandbox.add("archived")
    sandbox.add("initial")
    (tmp_path / "people.csv").write_text("uid,displayName\njdoe,Jane Doe\n")
    (tmp_path / "list.tsv").write_text("entry_id\tcreator_id\n0_a\tjdoe\n")
    ran = run(*old.split())
    assert (ran.code, ran.out) == (0, run(*new.split()).out), ran.err
    assert len(ran.out.splitlines()) > 1


@pytest.mark.parametrize(
    ("old", "line"),
    [
        ("./archive.rc", "jobs/archive"),
        ("restore.rc", "jobs/restore"),
        ("/data/health.rc", "jobs/health"),
        ("docker_run_task.py -c cluster kaltura-restore:3", "kaltura-archiver run_task archive"),
    ],
)
def test_an_old_word_that_is_no_command_names_the_line_to_type(sandbox: Sandbox, run: Run, old: str, line: str) -> None:
    ran = run(*old.split())
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == f"error: {old.split()[0]} is now: {line} (see {cli.name} --help)\n"
    assert sandbox.control.requests() == []


def test_other_words_are_no_old_names(run: Run) -> None:
    for word in ("archive.py", "kaltura.py", "archive.rcs", "nosuch"):
        assert f"No such command '{word}'" in run(word).err
    assert "No such command" in run("cluster", "archive").err


@pytest.mark.parametrize(
    ("name", "arguments", "column"),
    [("kaltura_aws.py", ["list"], "last_played_date"), ("stats.py", [], "section"), ("puldap.py", ["-h"], "Usage:")],
)
def test_a_link_of_an_old_name_is_that_program(
    run: Run, tmp_path: Path, name: str, arguments: list[str], column: str
) -> None:
    del run  # only its environment is wanted
    program = tmp_path / "kaltura-archiver"
    program.write_text(f"#!{sys.executable}\nfrom kaltura_archiver.cli import main\nmain()\n")
    program.chmod(0o755)
    (tmp_path / name).symlink_to(program)
    ended = subprocess.run([tmp_path / name, *arguments], capture_output=True, text=True, timeout=60, check=True)
    assert ended.stdout.split()[0] == column
