"""kaltura-archiver sandbox"""

from __future__ import annotations

import click

from kaltura_archiver.cli.app import App, pass_app
from kaltura_archiver.cli.extras import need_sandbox
from kaltura_archiver.cli.group import command
from kaltura_archiver.errors import Exit


@command("sandbox")
@click.option(
    "--thaw-seconds", type=click.FloatRange(0), default=20, show_default=True, help="Time that Glacier takes."
)
@pass_app
def sandbox(app: App, /, thaw_seconds: float) -> None:
    """Run a Kaltura and an S3 of your own on this machine, with a small library, to try any command on.

    Prints the export lines for another shell, and runs until interrupted.

    \b
    Examples:
      kaltura-archiver sandbox
      kaltura-archiver sandbox > sandbox.rc &  sleep 5; . ./sandbox.rc; kaltura-archiver list
      kaltura-archiver sandbox --thaw-seconds 3600
    """
    need_sandbox()
    from kaltura_archiver.sandbox.run import run_sandbox

    with app.stoppable():
        run_sandbox(app.stop, thaw_seconds=thaw_seconds)
    app.exit(Exit.OK)
