"""`kaltura-archiver sandbox`: both servers in the foreground, with a small library."""

from __future__ import annotations

import shlex
import sys
import threading

import click

from kaltura_archiver.sandbox.world import Sandbox


def run_sandbox(stop: threading.Event, *, thaw_seconds: float) -> None:
    """Serve until `stop` is set; the export lines go to stdout, the talk to stderr."""
    with Sandbox(thaw_seconds=thaw_seconds, conversion_seconds=1.0) as sandbox:
        added = sandbox.fill()
        for name, value in sandbox.environ().items():
            click.echo(f"export {name}={shlex.quote(value)}")
        # Set the other way to sign in aside, lest a secret of the shell's be sent to the sandbox.
        click.echo("unset KALTURA_SECRET AWS_PROFILE AWS_SESSION_TOKEN")
        sys.stdout.flush()
        click.echo(f"# {len(added)} entries, one in every state; Glacier thaws in {thaw_seconds:g} s.", err=True)
        click.echo("# Run the export lines in another shell, then: kaltura-archiver health --format table", err=True)
        click.echo("# What was asked of the servers: " + f"curl {sandbox.kaltura.url}/sandbox/log", err=True)
        click.echo("# End with Ctrl-C.", err=True)
        stop.wait()
