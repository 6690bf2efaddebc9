"""kaltura-archiver explain"""

from __future__ import annotations

import time

import click

from kaltura_archiver.asking.keeping import keep_list
from kaltura_archiver.asking.words import ENTRY_ID
from kaltura_archiver.cli.app import App, pass_app
from kaltura_archiver.cli.group import command
from kaltura_archiver.errors import Exit, SelectionError
from kaltura_archiver.run.services import make_sources
from kaltura_archiver.steps import Options


@command("explain")
@click.argument("entry_id", metavar="ID")
@click.option("--format", "style", default="text", show_default=True, type=click.Choice(["text", "json"]), help="Form.")
@click.option("--history", is_flag=True, help="Read the logs of all runs for what they did to it.")
@pass_app
def explain(app: App, /, entry_id: str, style: str, history: bool) -> None:
    """Tell everything about one entry: its state and why, what to do, what each command would do; then the evidence.

    \b
    Examples:
      kaltura-archiver explain 0_abc12345
      kaltura-archiver explain 0_abc12345 --format json
      kaltura-archiver explain 0_abc12345 --history
    """
    from kaltura_archiver.cli.explaining import print_explanation
    from kaltura_archiver.run.explain import explain_entry

    if not ENTRY_ID.fullmatch(entry_id):
        raise SelectionError(f"{entry_id[:40]!r} is not an entry id")
    options = Options(now=time.time(), keep=keep_list(app.settings))
    print_explanation(explain_entry(make_sources(app), options, entry_id, runs=history), style)
    app.exit(Exit.OK)
