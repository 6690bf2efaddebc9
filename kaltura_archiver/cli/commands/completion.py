"""kaltura-archiver completion"""

from __future__ import annotations

import shlex
from contextlib import suppress
from pathlib import Path

import click

from kaltura_archiver.cli.completing import PROGRAM, SHELLS
from kaltura_archiver.cli.group import command
from kaltura_archiver.cli.program import cli
from kaltura_archiver.config import shell_places
from kaltura_archiver.errors import ConfigError
from kaltura_archiver.output.files import append, write


@command("completion")
@click.argument("shell", required=False, type=click.Choice([*SHELLS]), metavar="[bash|zsh|fish]")
@click.option("--install", is_flag=True, help="Put it where the shell looks for it: for you alone, in your home.")
def completion(shell: str | None, install: bool) -> None:
    """Have your shell complete commands, options and their values on TAB: print its script, or install it.

    Without a name, it is for the shell that SHELL names. Give --install again after an update; it says how to undo it.

    \b
    Examples:
      kaltura-archiver completion --install
      kaltura-archiver completion fish --install
      kaltura-archiver completion zsh > /usr/local/share/zsh/site-functions/_kaltura-archiver
    """
    places = shell_places()
    shell = shell or places.shell
    if shell not in SHELLS:
        raise click.UsageError("which shell? say bash, zsh or fish", click.get_current_context())
    variable = f"_{PROGRAM.upper().replace('-', '_')}_COMPLETE"
    script = SHELLS[shell](cli, {}, PROGRAM, variable).source()
    if not install:
        click.echo(script, nl=False)
        return
    if shell == "zsh":
        # Without compinit there would be nothing to complete with.
        script = "(( $+functions[compdef] )) || { autoload -Uz compinit && compinit; }\n" + script
    path = {"bash": places.bash, "zsh": places.zsh, "fish": places.fish}[shell]
    load, undo = f". {_short(path)}", f"rm {_short(path)}"
    click.echo(f"{'wrote' if _written(path, script) else 'it is there already:'} {_short(path)}", err=True)
    if shell == "zsh":
        # It looks in no folder of the user's.
        line = f"[ -r {shlex.quote(str(path))} ] && . {shlex.quote(str(path))}"
        added = _appended(places.zshrc, line)
        click.echo(f"{'added a line to' if added else 'its line is already in'} {_short(places.zshrc)}", err=True)
        undo += f", and take the line that names it out of {_short(places.zshrc)}"
    click.echo(f"New {shell} shells complete {PROGRAM} on TAB; this one after: {load}", err=True)
    if shell == "bash":
        click.echo("(Without Debian's package bash-completion, put that into ~/.bashrc.)", err=True)
    click.echo(f"To undo it: {undo}", err=True)


def _short(path: Path) -> str:
    """A path as a person would type it."""
    with suppress(ValueError):
        return f"~/{shlex.quote(str(path.relative_to(Path.home())))}"
    return shlex.quote(str(path))


def _written(path: Path, text: str) -> bool:
    """Make the file have this text; returns whether it had another."""
    try:
        if path.exists() and path.read_text(encoding="utf-8") == text:
            return False
        path.parent.mkdir(parents=True, exist_ok=True)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot write {path}: {error}") from error
    write(path, text.encode(), mode=0o644)
    return True


def _appended(path: Path, line: str) -> bool:
    """Make the file have this line; returns whether it had not."""
    try:
        text = path.read_text(encoding="utf-8", errors="surrogateescape") if path.exists() else ""
        if line in text.splitlines():
            return False
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from error
    append(path, f"{'' if not text or text.endswith(chr(10)) else chr(10)}{line}\n".encode())
    return True
