"""The console script: the group with its commands, loaded when they are asked for."""

from __future__ import annotations

import atexit
import gc
import os
import sys
import threading

import click

from kaltura_archiver import __version__
from kaltura_archiver.cli.app import App, heed_second_interrupt
from kaltura_archiver.cli.command_line import dashed
from kaltura_archiver.cli.group import Archiver, Commands
from kaltura_archiver.cli.old_names import is_program
from kaltura_archiver.cli.streams import complain, occupy_closed_streams
from kaltura_archiver.cli.types import PATH
from kaltura_archiver.errors import Exit
from kaltura_archiver.output import screen
from kaltura_archiver.output.logs import set_up_logging
from kaltura_archiver.redact import hide


@click.group(
    cls=Archiver,
    commands=Commands(),
    context_settings={"help_option_names": ["-h", "--help"], "token_normalize_func": dashed},
)
@click.version_option(__version__, "--version", "-V", prog_name="kaltura-archiver")
@click.option(
    "--env-file",
    type=PATH,
    metavar="FILE",
    help="Read settings from FILE instead of .env in this directory.",
)
@click.option(
    "--log-level",
    "--loglevel",
    "-l",
    default="INFO",
    show_default=True,
    type=click.Choice(["DEBUG", "INFO", "WARNING", "WARN", "ERROR"], case_sensitive=False),
    metavar="LEVEL",
    help="How much to tell on stderr: DEBUG, INFO, WARNING or ERROR.",
)
@click.option(
    "--log-format", default="text", show_default=True, type=click.Choice(["text", "json"]), help="Form of log lines."
)
@click.option("-v", "--verbose", is_flag=True, help="Tell more: --log-level DEBUG.")
@click.option("-q", "--quiet", is_flag=True, help="Tell only what is wrong: --log-level WARNING.")
@click.option(
    "--color",
    default="auto",
    show_default=True,
    type=click.Choice(["auto", "always", "never"]),
    help="Colours on stdout; auto: on a terminal, heeding NO_COLOR and CLICOLOR.",
)
@click.pass_context
def cli(
    ctx: click.Context, env_file: str | None, log_level: str, log_format: str, verbose: bool, quiet: bool, color: str
) -> None:  # fmt: skip
    """Move the originals of rarely played Kaltura videos to your own S3 bucket, and back when somebody plays them.

    Commands and options may be written with - or _. Commands that change something are dry runs unless told
    --no-dry-run. Data goes to stdout, everything else to stderr.

    \b
    Exit codes:
      0  nothing left to do
      1  an entry failed, health found a broken one, or the run was not finished
      2  usage or configuration
      3  entries wait for Glacier, a conversion or a person
      4  stopped by a safety limit
      5  another run holds the lock
      130, 143  interrupted, terminated
    """
    if verbose and quiet:
        raise click.UsageError("-v and -q contradict each other", ctx)
    set_up_logging("DEBUG" if verbose else "WARNING" if quiet else log_level.upper(), log_format)
    screen.CHOSEN = {"always": True, "never": False}.get(color)
    ctx.color = screen.coloured(sys.stdout)
    ctx.obj = App(env_file)


def _crashed(kind: type[BaseException], error: BaseException | None, *_: object) -> None:
    """What Python would tell with a traceback, which may quote an address with a token in it."""
    if error is not None and not isinstance(error, SystemExit):
        complain(f"unexpected {kind.__name__}: {error}", Exit.FAILED)


def main() -> None:
    """The console script."""
    # Pages of entries are many objects and no cycles. Looking for these as often as Python does by itself took a third
    # of the time of `list`.
    gc.set_threshold(50_000)
    atexit.register(gc.freeze)  # nor is any worth a search at the end: that took a tenth of a second
    occupy_closed_streams()
    heed_second_interrupt()
    sys.excepthook = _crashed
    threading.excepthook = lambda crash: _crashed(crash.exc_type, crash.exc_value)
    hide(os.environ.get("KALTURA_SECRET"))
    if is_program(sys.argv[0]):
        sys.argv.insert(1, sys.argv[0])  # a link of that name: what it does is told by it
    if "_KALTURA_ARCHIVER_COMPLETE" in os.environ:
        import kaltura_archiver.cli.completing  # noqa: F401 - it registers what a shell asks
    cli()
