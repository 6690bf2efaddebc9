"""The pages are true to the program: help, variables, states, exit codes, examples."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from conftest import Run
from terminal import on_terminal

from kaltura_archiver.cli import cli
from kaltura_archiver.cli.group import ALIASES
from kaltura_archiver.config import VARIABLES
from kaltura_archiver.errors import Exit
from kaltura_archiver.model import State
from kaltura_archiver.sandbox.world import Sandbox

ROOT = Path(__file__).parents[2]
MANUAL = ROOT / "docs" / "man" / "kaltura-archiver.1"
DOCS = ROOT / "docs"
PAGES = {page: page.read_text(encoding="utf-8") for page in [*ROOT.glob("*.md"), *DOCS.rglob("*.md")]}
README = PAGES[ROOT / "README.md"]


def test_the_generated_parts_of_the_docs_are_current(tmp_path: Path) -> None:
    ended = subprocess.run([sys.executable, ROOT / "scripts" / "docs", "--check"], check=False)
    assert ended.returncode == 0, "run .venv/bin/python scripts/docs"
    copy = tmp_path / "copy"
    for name in ("docs", "scripts"):
        shutil.copytree(ROOT / name, copy / name)
    commands = copy / "docs" / "commands"
    (commands / "gone.md").touch()
    (commands / "list.md").unlink()
    (commands / "selecting.md").write_text("<!-- options --><!-- end options -->")
    script = [sys.executable, copy / "scripts" / "docs"]
    ended = subprocess.run([*script, "--check"], env=_with_package(), capture_output=True, text=True, check=False)
    told = ["gone", "list", "selecting"]
    assert (ended.returncode, ended.stdout.splitlines()) == (1, [f"docs/commands/{n}.md is not current" for n in told])
    subprocess.run(script, env=_with_package(), check=True)
    assert subprocess.run([*script, "--check"], env=_with_package(), check=False).returncode == 0
    assert not (commands / "gone.md").exists()


def _with_package() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def test_the_readme_is_a_page_that_one_reads() -> None:
    assert len(README.splitlines()) <= 250


def _anchors(page: Path) -> set[str]:
    """Of its headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", PAGES[page], flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    shown = re.sub(r"```.*?```", "", PAGES[page], flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", shown):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if anchor:
            assert anchor in _anchors(target), link


def test_every_page_can_be_reached_from_the_readme() -> None:
    seen, todo = set(), [ROOT / "README.md"]
    while todo:
        page = todo.pop()
        if page in PAGES and page not in seen:
            seen.add(page)
            links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", PAGES[page])
            todo += [(page.parent / link).resolve() for link in links]
    assert set(PAGES) - seen <= {ROOT / "CHANGELOG.md"}


def test_every_option_is_told_on_the_page_of_its_command_or_where_that_leads() -> None:
    for words, command in COMMANDS.items():
        page = DOCS / "commands" / f"{words.split()[0]}.md"
        told = PAGES[page] + "".join(
            PAGES[page.parent / f"{name}.md"] for name in ("selecting", "acting") if f"]({name}.md)" in PAGES[page]
        )
        params = (param for param in command.params if isinstance(param, click.Option) and not param.hidden)
        for name in (name for param in params for name in param.opts):
            assert re.search(rf"(?<![\w-]){name}(?![\w-])", told), f"{words} {name}"


def test_the_page_of_states_names_each_and_what_to_do_in_it() -> None:
    table, now_what = PAGES[DOCS / "states.md"].split("## An entry is in state X")
    short = README.split("## What state is an entry in?")[1].split("\n## ")[0]
    for state in State:
        assert f"| `{state}` |" in table
        assert re.search(rf"\*\*[^*]*\b{state}\b[^*]*\*\*", now_what), state
        assert re.search(rf"^\|[^|]*`{state}`", short, re.MULTILINE), state


def test_the_readme_names_every_exit_code() -> None:
    section = README.split("## Exit codes")[1].split("\n## ")[0]
    shown = {int(code) for line in re.findall(r"^\| ([\d, ]+) \|", section, re.MULTILINE) for code in line.split(",")}
    assert shown == set(Exit)


def test_the_manual_page_is_current() -> None:
    ended = subprocess.run([sys.executable, ROOT / "scripts" / "man", "--check"], check=False)
    assert ended.returncode == 0, "run .venv/bin/python scripts/man"


@pytest.mark.skipif(not shutil.which("groff"), reason="groff is not installed")
def test_the_manual_page_is_read_without_a_warning() -> None:
    command = ["groff", "-man", "-Tascii", "-ww", MANUAL]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ended.stderr == ""
    shown = re.sub(".\b", "", re.sub(r"\x1b\[\d*m", "", ended.stdout))
    for words, command in COMMANDS.items():
        assert f"kaltura-archiver {words} [" in shown
        for line in _examples(command):
            assert line in shown


def test_the_manual_page_is_installed_where_man_looks() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    shared = project["tool"]["hatch"]["build"]["targets"]["wheel"]["shared-data"]
    assert shared == {str(MANUAL.relative_to(ROOT)): "share/man/man1/kaltura-archiver.1"}


def _walk(group: click.Command, *words: str) -> Iterator[tuple[str, click.Command]]:
    for name, command in getattr(group, "commands", {}).items():
        yield " ".join((*words, name)), command
        yield from _walk(command, *words, name)


# Every command, and every one of a group, by its words.
COMMANDS = dict(_walk(cli))


def _examples(command: click.Command) -> list[str]:
    block = (command.help or "").partition("Examples:\n")[2].partition("\n\n")[0]
    return [line.strip() for line in block.splitlines() if line.strip()]


def _programs(line: str) -> list[list[str]]:
    """The words of each program of ours in a line of shell, without what is the shell's."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|;&<>")
    lexer.whitespace_split = True
    found: list[list[str]] = [[]]
    words = iter(lexer)
    for word in words:
        if word in ("|", ";", "&", "&&", "||"):
            found.append([])
        elif word in (">", ">>", "<"):
            next(words)
        else:
            found[-1].append(word)
    return [words[1:] for words in found if words[:1] == ["kaltura-archiver"]]


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_has_three_examples_that_can_be_given(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = []
    for words, command in COMMANDS.items():
        monkeypatch.setattr(command, "callback", lambda *_, own_=words, **__: ran.append(own_))
    lines = _examples(COMMANDS[name])
    for line in lines:
        assert len(f"  {line}") <= 100, "wider than its page"
        programs = _programs(line)
        assert programs, line
        for program in programs:
            ended = CliRunner().invoke(cli, program)
            assert ended.exit_code == 0, f"{line}: {ended.output}"
    own = [words for words in ran if words == name or words.startswith(f"{name} ")]
    assert len(own) >= 3


LOOKING = ("config", "list", "count", "health", "explain", "download", "stats", "plan", "apply")
DRY = ("s3copy", "replace_video", "restore", "repair")


def test_examples_that_only_look_do_so_on_the_sandbox(sandbox: Sandbox, run: Run, tmp_path: Path) -> None:
    for category in (123, 4711):
        sandbox.kaltura.add_category(category, f"Category {category}")
    entry_id = sandbox.add("archived", categories=(4711,), last_played_at=1_500_000_000)
    sandbox.add("placeholder", last_played_at=int(sandbox.control.clock.now()) - 86400)
    sandbox.add("initial")
    for name in ("ids.txt", "requests.txt"):
        (tmp_path / name).write_text(f"{entry_id}\n")
    (tmp_path / "production.env").touch()
    (tmp_path / "owners.tsv").write_text(f"entry_id\tldap_status\tname\torg_unit\n{entry_id}\tactive\tAnn\tLibrary\n")
    done = 0
    for name in (*LOOKING, *DRY):
        for line in _examples(COMMANDS[name]):
            if "--no-dry-run" in line:
                continue
            (program,) = _programs(line)
            ran = run(*(word.replace("0_abc12345", entry_id) for word in program))
            assert ran.code in (0, 3), f"{line}: {ran.err}"
            assert ran.out or "-o" in program
            done += 1
    assert done > 25
    # config tries what S3 keeps, on an object of its own.
    assert {r.subject for r in sandbox.control.writes()} == {"locks/config.json"}


def _lines(page: str) -> list[str]:
    """The command lines of a page that stand apart."""
    shown = re.sub(r"```.*?```", "", page, flags=re.DOTALL).replace("\\\n", " ")
    return re.findall(r"^    ((?:\S+=\S+ )*kaltura-archiver .*?)(?: {2,}#.*)?$", shown, re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_of_the_pages_can_be_given(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for command in COMMANDS.values():
        monkeypatch.setattr(command, "callback", lambda *_, **__: None)
    for line in _lines(PAGES[page]):
        for program in _programs(line):
            ended = CliRunner().invoke(cli, program)
            assert ended.exit_code == 0, f"{line}: {ended.output}"


def test_commands_of_the_readme_do_what_it_says(sandbox: Sandbox, run: Run, tmp_path: Path) -> None:
    """All of them, in its order, as they stand there: they act."""
    sandbox.kaltura.add_category(4711, "Category")
    old = sandbox.add("initial")
    wanted = sandbox.add("placeholder", storage_class="GLACIER")
    sandbox.kaltura.edit(wanted, plays=1, last_played_at=int(sandbox.control.clock.now()))
    (policy,) = re.findall(r"```toml\n(.*?)```", README, re.DOTALL)
    (tmp_path / "policy.toml").write_text(policy)
    lines = [line.replace("0_abc12345", wanted) for line in _lines(README)]
    # The sandbox itself runs until it is stopped: tests/sandbox/test_run.py.
    ran = [run(*program) for line in lines for program in _programs(line) if program[0] != "sandbox"]
    assert len(ran) > 12
    assert {one.code for one in ran} <= {0, 3}, [one.err for one in ran]
    assert sandbox.kaltura.content(sandbox.kaltura.original(old).id) == sandbox.placeholder
    assert "thaw" in sandbox.s3.tags(wanted)
    assert (tmp_path / "plan.jsonl").exists()


def test_the_first_run_of_the_readme_prints_what_it_shows(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    del run  # only its environment is wanted
    for name, value in (("COLUMNS", "100"), ("TERM", "xterm"), ("NO_COLOR", "1")):
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("CI", raising=False)
    size, name = 21_234_567, "Algebra I, lecture {}"
    entry_id, *_ = (
        sandbox.kaltura.add_entry(content_bytes=size, name=name.format(n), created_at=1_500_000_000 + n).id
        for n in range(1, 4)
    )
    shown = README.split("<!-- first run -->")[1].split("<!-- end first run -->")[0]
    seen = 0
    for part in shown.replace("0_mjhsfj57", entry_id).replace("```text", "").replace("```", "").split("\n$ ")[1:]:
        line, _, printed = part.partition("\n")
        sandbox.kaltura.settle()  # Kaltura sets a new original once more, by and by
        process, terminal = on_terminal(*shlex.split(line)[1:])
        assert process.wait(60) == 0, terminal.written
        assert _plain_rows("\n".join(terminal.lines())) == _plain_rows(printed), line
        seen += 1
    assert seen == 7


def _plain_rows(text: str) -> list[str]:
    """Lines without the time of day, how long it took, the day of the search, sizes and the ids of flavor assets."""
    chance = r"\d\d:\d\d:\d\d (?=\w)|\(0_\w+…|(?<=in )[\d.]+ s$|\d{4}-\d\d-\d\dT[\d:]+Z|[\d.]+ (B|KiB|MiB)"
    text = re.sub(chance, "", text, flags=re.MULTILINE)
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


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
    page = (ROOT / "docs" / "aws" / "parts.md").read_text(encoding="utf-8")
    blocks = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", page, re.DOTALL)]
    policy = next(block for block in blocks if "Statement" in block)
    actions = {a for s in policy["Statement"] for a in ([s["Action"]] if isinstance(s["Action"], str) else s["Action"])}
    assert not {action for action in actions if "Delete" in action or "*" in action}
