"""kaltura-archiver repair"""

from __future__ import annotations

from typing import Any

from kaltura_archiver.cli.acting import run_command
from kaltura_archiver.cli.app import App, pass_app
from kaltura_archiver.cli.command_line import SelectingCommand
from kaltura_archiver.cli.group import command
from kaltura_archiver.cli.options import (
    acting_options,
    keep_options,
    options_of,
    placeholder_map_option,
    selection_options,
)
from kaltura_archiver.filters import Query
from kaltura_archiver.steps import Command


@command("repair", cls=SelectingCommand)
@selection_options
@acting_options("--repair")
@placeholder_map_option
@options_of(Command.REPAIR)
@keep_options
@pass_app
def repair(app: App, /, query: Query, **options: Any) -> None:
    """Go on from interrupted states: put back missing tags, the placeholder, or the original.

    Never touches an entry where a person has to decide (diverged, lost, unbacked, empty): it says so.

    \b
    Examples:
      kaltura-archiver repair --tag archived_to_s3
      kaltura-archiver repair --id 0_abc12345 --no-dry-run
      kaltura-archiver repair --tag flavors_deleted --max-entries -1 --no-dry-run
    """
    run_command(app, Command.REPAIR, query, **options)
