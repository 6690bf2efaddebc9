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
from click.testing import CliRunner, Result

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


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for name in ("XDG_DATA_HOME", "XDG_CONFIG_HOME", "BASH_COMPLETION_USER_DIR", "ZDOTDIR", "SHELL"):
        monkeypatch.delenv(name, raising=False)
    home = tmp_path / "my home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    return home


def complete(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["completion", *arguments])


WHERE = {
    "bash": ".local/share/bash-completion/completions/kaltura-archiver",
    "zsh": ".local/share/kaltura-archiver/completion.zsh",
    "fish": ".config/fish/completions/kaltura-archiver.fish",
}


@pytest.mark.parametrize("shell", SHELLS)
def test_installing_writes_what_is_printed_where_the_shell_looks_and_says_how_to_undo_it(
    home: Path, shell: str
) -> None:
    path = home / WHERE[shell]
    first, again = complete(shell, "--install"), complete(shell, "--install")
    assert (first.exit_code, again.exit_code, first.stdout) == (0, 0, "")
    assert path.read_text().endswith(complete(shell).stdout)
    assert f"wrote ~/{WHERE[shell]}\n" in first.stderr
    assert f"it is there already: ~/{WHERE[shell]}\n" in again.stderr
    assert f"To undo it: rm ~/{WHERE[shell]}" in again.stderr
    made = {str(file.relative_to(home)) for file in home.rglob("*") if file.is_file()}
    assert made == ({WHERE[shell], ".zshrc"} if shell == "zsh" else {WHERE[shell]})


def test_zsh_is_told_by_one_line_however_often(home: Path) -> None:
    (home / ".zshrc").write_text("setopt autocd")
    for _ in range(2):
        assert complete("zsh", "--install").exit_code == 0
    first, second = (home / ".zshrc").read_text().splitlines()
    assert first == "setopt autocd"
    path = home / WHERE["zsh"]
    assert second == f"[ -r '{path}' ] && . '{path}'"


def test_an_older_script_is_replaced(home: Path) -> None:
    path = home / WHERE["fish"]
    path.parent.mkdir(parents=True)
    path.write_text("old")
    assert "wrote" in complete("fish", "--install").stderr
    assert path.read_text() == complete("fish").stdout


def test_the_shell_is_the_users_and_places_are_where_the_user_put_them(
    home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("XDG_DATA_HOME", "XDG_CONFIG_HOME", "ZDOTDIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    (tmp_path / "ZDOTDIR").mkdir()
    for shell in SHELLS:
        monkeypatch.setenv("SHELL", f"/usr/bin/{shell}")
        assert complete("--install").exit_code == 0
    assert not list(home.iterdir())
    assert (tmp_path / "XDG_DATA_HOME/bash-completion/completions/kaltura-archiver").is_file()
    assert (tmp_path / "XDG_CONFIG_HOME/fish/completions/kaltura-archiver.fish").is_file()
    assert (tmp_path / "ZDOTDIR/.zshrc").is_file()


def test_another_shell_or_a_folder_that_cannot_be_written_is_said_in_a_line(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHELL", "/bin/tcsh")
    ended = complete()
    assert (ended.exit_code, ended.stdout) == (2, "")
    assert ended.stderr.startswith("error: which shell? say bash, zsh or fish (see ")
    (home / ".config").write_text("no folder")
    ended = complete("fish", "--install")
    assert ended.exit_code == 2
    assert ended.stderr.startswith(f"error: cannot write {home}/.config/fish")


# Shells


def asked(*command: str, line: str = "") -> list[str]:
    ended = subprocess.run([*command], capture_output=True, text=True, check=True, timeout=60, input=line)
    assert ended.stderr == ""
    return ended.stdout.split()


@pytest.mark.parametrize(
    ("words", "found"), [("replace-", ["replace-video"]), ("s3copy --max_e", ["--max_entries"]), ("list --idfile ", [])]
)
def test_bash_completes_with_what_was_installed(home: Path, words: str, found: list[str]) -> None:
    complete("bash", "--install")
    program = f"""
        . {str(home / WHERE["bash"])!r}
        compopt() {{ :; }}  # only while readline completes
        COMP_WORDS=(kaltura-archiver {words} ${{EMPTY-}}) COMP_CWORD={len(words.split(" "))}
        [ "$(complete -p kaltura-archiver)" = "complete -o nosort -F _kaltura_archiver_completion kaltura-archiver" ]
        _kaltura_archiver_completion kaltura-archiver
        echo "${{COMPREPLY[@]}}"
    """
    assert asked("bash", "--norc", "--noprofile", "-euc", program) == found


@pytest.mark.skipif(not shutil.which("fish"), reason="fish is not installed")
def test_fish_completes_with_what_was_installed(home: Path) -> None:
    complete("fish", "--install")
    assert asked("fish", "-c", "complete -C 'kaltura-archiver s3copy --max_e'")[0] == "--max_entries"


@pytest.mark.skipif(not shutil.which("zsh"), reason="zsh is not installed")
def test_zsh_takes_what_was_installed(home: Path) -> None:
    complete("zsh", "--install")
    assert asked("zsh", "-ic", "print $_comps[kaltura-archiver]") == ["_kaltura_archiver_completion"]
