"""What shells complete, and the command that teaches them: by bash itself, the others by click's protocol, or by
themselves where they are installed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from kaltura_archiver.cli import cli
from kaltura_archiver.cli.completing import SHELLS

HEAVY = ("KalturaClient", "boto3", "botocore", "lxml", "requests", "rich", "ldap3", "dotenv")


def completed(line: str, shell: str = "zsh") -> list[str]:
    """What may follow: the last word of the line is the one begun, empty after a space."""
    *args, incomplete = line.split(" ")
    return [item.value for item in SHELLS[shell](cli, {}, "", "").get_completions(args, incomplete)]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("repl", ["replace_video"]),
        ("replace_", ["replace_video"]),
        ("replace-", ["replace-video"]),
        ("nosuch", []),
        ("s3copy --max-e", ["--max-entries"]),
        ("s3copy --max_e", ["--max_entries"]),
        ("s3copy --no_dry-", ["--no_dry_run"]),
        ("replace-video --min-a", ["--min-age-years"]),
        ("restore_from_s3 --ti", ["--tier", "--timeout"]),
        ("restore --tier ", ["bulk", "standard", "expedited"]),
        ("restore --tier=", ["--tier=bulk", "--tier=standard", "--tier=expedited"]),
        ("restore --tier = s", ["standard"]),  # as bash takes it apart
        ("s3copy --storage_class GL", ["glacier-ir", "glacier"]),
        ("s3copy --storage_class=GL", ["--storage_class=glacier-ir", "--storage_class=glacier"]),
        ("replace_video --bandwidth 50M --placeholder", ["--placeholder-map"]),
        ("unlock replace_", ["replace_video"]),
        ("--log-f", ["--log-format"]),
        ("--log_f", ["--log_format"]),
    ],
)
def test_commands_options_and_values_are_completed_in_the_spelling_they_were_begun(line: str, found: list[str]) -> None:
    assert completed(line) == found


@pytest.mark.parametrize("line", ["--env-file x", "list --idfile x", "enrich x", "notify --out x", "download -o x"])
def test_names_of_files_are_the_shells_own_business(line: str) -> None:
    *args, incomplete = line.split(" ")
    (item,) = SHELLS["bash"](cli, {}, "", "").get_completions(args, incomplete)
    assert (item.type, item.value) == ("file", "x")


def test_whatever_is_called_a_file_or_a_folder_is_completed_as_one() -> None:
    def files(command: click.Command, path: str) -> Iterator[tuple[str, bool]]:
        for param in command.params:
            if re.fullmatch(r"\[?(FILE|DIR|DUMP|PLAN)\]?", param.metavar or "") and not getattr(param, "hidden", False):
                yield f"{path} {param.name}", isinstance(param.type, click.Path)
        if isinstance(command, click.Group):
            for name in command.list_commands(click.Context(command)):
                yield from files(command.commands[name], f"{path} {name}")

    found = dict(files(cli, ""))
    assert len(found) > 40
    assert {path for path, completed in found.items() if not completed} == set()


def test_completing_imports_none_of_the_heavy_libraries() -> None:
    program = (
        "import sys\n"
        "from kaltura_archiver.cli import main\n"
        "try:\n    sys.argv = ['kaltura-archiver']\n    main()\nfinally:\n"
        f"    print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)\n"
    )
    words = {"COMP_WORDS": "kaltura-archiver s3copy --stor", "COMP_CWORD": "2"}
    ended = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **words, "_KALTURA_ARCHIVER_COMPLETE": "bash_complete"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert (ended.stdout, ended.stderr) == ("plain,--storage-class\n", "[]\n")


# The command


@pytest.fixture(autouse=True)
def on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")


def test_it_prints_what_is_loaded_and_nothing_else() -> None:
    for shell in SHELLS:
        ended = CliRunner().invoke(cli, ["completion", shell])
        assert (ended.exit_code, ended.stderr) == (0, "")
        assert f"_KALTURA_ARCHIVER_COMPLETE={shell}_complete" in ended.stdout


@pytest.mark.parametrize("words", [[], ["tcsh"]], ids=["none", "another"])
def test_another_shell_is_said_in_a_line(words: list[str]) -> None:
    ended = CliRunner().invoke(cli, ["completion", *words])
    assert (ended.exit_code, ended.stdout) == (2, "")
    assert "bash" in ended.stderr
    assert ended.stderr.count("\n") == 1


# Shells


def asked(*command: str, line: str = "") -> list[str]:
    ended = subprocess.run([*command], capture_output=True, text=True, check=True, timeout=60, input=line)
    assert ended.stderr == ""
    return ended.stdout.split()


@pytest.mark.parametrize(
    ("words", "found"), [("replace-", ["replace-video"]), ("s3copy --max_e", ["--max_entries"]), ("list --idfile ", [])]
)
def test_bash_completes_with_what_is_printed(words: str, found: list[str]) -> None:
    program = f"""
        eval "$(kaltura-archiver completion bash)"
        compopt() {{ :; }}  # only while readline completes
        COMP_WORDS=(kaltura-archiver {words} ${{EMPTY-}}) COMP_CWORD={len(words.split(" "))}
        [ "$(complete -p kaltura-archiver)" = "complete -o nosort -F _kaltura_archiver_completion kaltura-archiver" ]
        _kaltura_archiver_completion kaltura-archiver
        echo "${{COMPREPLY[@]}}"
    """
    assert asked("bash", "--norc", "--noprofile", "-euc", program) == found


@pytest.mark.skipif(not shutil.which("fish"), reason="fish is not installed")
def test_fish_completes_with_what_is_printed() -> None:
    program = "kaltura-archiver completion fish | source; complete -C 'kaltura-archiver s3copy --max_e'"
    assert asked("fish", "-c", program)[0] == "--max_entries"


@pytest.mark.skipif(not shutil.which("zsh"), reason="zsh is not installed")
def test_zsh_takes_what_is_printed() -> None:
    program = """
        autoload -Uz compinit && compinit -D
        eval "$(kaltura-archiver completion zsh)"
        print $_comps[kaltura-archiver]
    """
    assert asked("zsh", "-fc", program) == ["_kaltura_archiver_completion"]
