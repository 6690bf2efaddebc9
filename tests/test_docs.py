"""The pages are true to the program: help, variables, states, exit codes, examples."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from kaltura_archiver.cli import ALIASES, cli
from kaltura_archiver.config import VARIABLES
from kaltura_archiver.errors import Exit
from kaltura_archiver.model import State

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_generated_parts_of_the_readme_are_current() -> None:
    ended = subprocess.run([sys.executable, ROOT / "scripts" / "readme", "--check"], check=False)
    assert ended.returncode == 0, "run .venv/bin/python scripts/readme"


def test_the_readme_names_every_state_and_what_to_do_in_it() -> None:
    table, now_what = README.split("## An entry is in state X")
    for state in State:
        assert f"| `{state}` |" in table
        assert re.search(rf"\*\*[^*]*\b{state}\b[^*]*\*\*", now_what.split("\n## ")[0]), state


def test_the_readme_names_every_exit_code() -> None:
    section = README.split("## Exit codes")[1].split("\n## ")[0]
    shown = {int(code) for line in re.findall(r"^\| ([\d, ]+) \|", section, re.MULTILINE) for code in line.split(",")}
    assert shown == set(Exit)


def _commands() -> dict[str, click.Command]:
    """Every command, and every one of a group, by its words."""
    groups = {name: command for name, command in cli.commands.items() if isinstance(command, click.Group)}
    parts = {f"{name} {part}": found for name, group in groups.items() for part, found in group.commands.items()}
    return {**cli.commands, **parts}


@pytest.mark.parametrize("name", sorted(_commands()))
def test_every_command_explains_itself_with_an_example(name: str) -> None:
    text = _commands()[name].help or ""
    assert re.search(r"Examples?:\n", text), "no example"
    for line in re.findall(r"^ +(kaltura-archiver .*)$", text, re.MULTILINE):
        words = shlex.split(line.split(" > ")[0].split(";")[0])[1:]
        command = cli.get_command(click.Context(cli), words[0])
        if isinstance(command, click.Group):
            command = command.get_command(click.Context(command), words[1])
        assert command is not None
        known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        for word in words[1:]:
            if word.startswith("--"):
                assert word.replace("_", "-") in known, f"{line}: {word}"


def test_commands_of_the_readme_exist() -> None:
    for words in re.findall(r"^    kaltura-archiver (\S+)", README, re.MULTILINE):
        assert cli.get_command(click.Context(cli), words), words


def test_old_names_lead_to_commands() -> None:
    for alias in ALIASES:
        assert cli.get_command(click.Context(cli), alias) is not None
    assert cli.get_command(click.Context(cli), "restore_from_s3") is cli.get_command(click.Context(cli), "restore")


def test_the_template_of_settings_holds_every_variable() -> None:
    template = (ROOT / "bash.rc.template").read_text()
    for name in VARIABLES:
        if name != "AWS_ENDPOINT_URL":
            assert re.search(rf"^#?export {name}=", template, re.MULTILINE), name


def test_the_lock_file_names_no_host_and_every_hash() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    assert not re.search(r"https?://|file://|index-url", lock)
    for requirement in re.findall(r"^[a-z0-9].*?(?=^[a-z0-9]|\Z)", lock, re.MULTILINE | re.DOTALL):
        assert "--hash=sha256:" in requirement, requirement


def test_the_policies_of_the_aws_page_are_json_and_let_nothing_be_deleted() -> None:
    page = (ROOT / "README-AWS.md").read_text(encoding="utf-8")
    blocks = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", page, re.DOTALL)]
    policy = next(block for block in blocks if "Statement" in block)
    actions = {a for s in policy["Statement"] for a in ([s["Action"]] if isinstance(s["Action"], str) else s["Action"])}
    assert not {action for action in actions if "Delete" in action or "*" in action}
