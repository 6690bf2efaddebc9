"""`kaltura-archiver sandbox`: both servers in the foreground, with a small library."""

from __future__ import annotations

import os
import shlex
import sys
import threading
from pathlib import Path

import click

from kaltura_archiver.output.files import write
from kaltura_archiver.sandbox.world import Sandbox

_ASIDE = ("KALTURA_SECRET", "AWS_PROFILE", "AWS_SESSION_TOKEN")


def run_sandbox(stop: threading.Event, *, thaw_seconds: float, entries: int = 0, env_file: str | None = None) -> None:
    """Serve until `stop` is set, with so many `entries` beside those that show each state.

    The export lines go to stdout, or to the file, which is replaced; the talk goes to stderr.
    """
    for name in _ASIDE:  # those of the sandbox before, which a shell has read: its S3 would look for a profile ''
        os.environ.pop(name, None)
    with Sandbox(thaw_seconds=thaw_seconds, conversion_seconds=1.0) as sandbox:
        added = sandbox.fill()
        sandbox.fill_more(entries)
        lines = [f"export {name}={shlex.quote(value)}\n" for name, value in sandbox.environ().items()]
        # Set the other way to sign in aside, lest a secret of the shell's be sent to the sandbox.
        if env_file:  # which --env-file reads, too
            empty = [f"export {name}=''\n" for name in _ASIDE]
            write(Path(env_file), "".join([*lines, *empty]).encode())
        else:
            click.echo("".join(lines) + f"unset {' '.join(_ASIDE)}")
        sys.stdout.flush()
        many = f"{len(added) + entries:,} entries, each state among them"
        click.echo(f"# {many}; Glacier thaws in {thaw_seconds:g} s.", err=True)
        run = f". {shlex.quote(env_file)}" if env_file else "the export lines"
        click.echo(f"# In another shell: {run}, then: kaltura-archiver health", err=True)
        click.echo("# What was asked of the servers: " + f"curl {sandbox.kaltura.url}/sandbox/log", err=True)
        click.echo("# End with Ctrl-C.", err=True)
        stop.wait()
