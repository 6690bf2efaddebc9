"""`kaltura-archiver sandbox`: both servers in the foreground, with a small library."""

from __future__ import annotations

import shlex
import sys
import threading
from pathlib import Path

import click

from kaltura_archiver.errors import ConfigError
from kaltura_archiver.output.files import write
from kaltura_archiver.sandbox.world import ASIDE, Sandbox, set_aside

_FIRST_LINE = "# Written by kaltura-archiver sandbox, which writes over it.\n"


def run_sandbox(stop: threading.Event, *, thaw_seconds: float, entries: int = 0, env_file: str | None = None) -> None:
    """Serve until `stop` is set, with so many `entries` beside those that show each state.

    The export lines go to stdout, or to the file, which is replaced; the talk goes to stderr.
    """
    if env_file:
        _require_ours(Path(env_file))
    set_aside()
    with Sandbox(thaw_seconds=thaw_seconds, conversion_seconds=1.0) as sandbox:
        added = sandbox.fill()
        sandbox.fill_more(entries)
        lines = [f"export {name}={shlex.quote(value)}\n" for name, value in sandbox.environ().items()]
        # Set the other way to sign in aside, lest a secret of the shell's be sent to the sandbox.
        if env_file:  # which --env-file reads, too
            empty = [f"export {name}=''\n" for name in ASIDE]
            write(Path(env_file), "".join([_FIRST_LINE, *lines, *empty]).encode())
        else:
            click.echo("".join(lines) + f"unset {' '.join(ASIDE)}")
        sys.stdout.flush()
        many = f"{len(added) + entries:,} entries, each state among them"
        click.echo(f"# {many}; Glacier thaws in {thaw_seconds:g} s.", err=True)
        # A shell looks for a name without a folder elsewhere.
        run = f". {shlex.quote(env_file if '/' in env_file else f'./{env_file}')}" if env_file else "the export lines"
        click.echo(f"# In another shell: {run}, then: kaltura-archiver health", err=True)
        click.echo("# What was asked of the servers: " + f"curl {sandbox.kaltura.url}/sandbox/log", err=True)
        click.echo("# End with Ctrl-C.", err=True)
        stop.wait()


def _require_ours(path: Path) -> None:
    """Raise ConfigError for a file with somebody's settings: before the command, --env-file reads one."""
    if path.exists() and not path.read_bytes().startswith(_FIRST_LINE.encode()):
        raise ConfigError(f"{path} exists, and is none of the sandbox's: name another file with --env-file")
