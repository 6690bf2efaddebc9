"""kaltura-archiver sandbox"""

from __future__ import annotations

import click

from kaltura_archiver.cli.app import App, pass_app
from kaltura_archiver.cli.extras import need_sandbox
from kaltura_archiver.cli.group import command
from kaltura_archiver.cli.types import PATH
from kaltura_archiver.errors import Exit


@command("sandbox")
@click.option(
    "--thaw-seconds", type=click.FloatRange(0), default=20, show_default=True, help="Time that Glacier takes."
)
@click.option("--entries", type=click.IntRange(0, 100_000), default=0, metavar="N", help="So many more entries.")
@click.option(
    "--env-file",
    type=PATH,
    metavar="FILE",
    help="Write the export lines to FILE (given before the command, --env-file reads it).",
)
@pass_app
def sandbox(app: App, /, thaw_seconds: float, entries: int, env_file: str | None) -> None:
    """Run a Kaltura and an S3 of your own on this machine, with a small library, to try any command on.

    Prints the export lines for another shell, or writes them to a file, and runs until interrupted.

    \b
    Examples:
      kaltura-archiver sandbox
      kaltura-archiver sandbox --env-file sandbox.rc
      . ./sandbox.rc; kaltura-archiver health
      kaltura-archiver --env-file sandbox.rc list
      kaltura-archiver sandbox --entries 1000
      kaltura-archiver sandbox --thaw-seconds 3600
    """
    need_sandbox()
    from kaltura_archiver.sandbox.run import run_sandbox

    with app.stoppable():
        run_sandbox(app.stop, thaw_seconds=thaw_seconds, entries=entries, env_file=env_file)
    app.exit(Exit.OK)
