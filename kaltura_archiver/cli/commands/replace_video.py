"""kaltura-archiver replace_video"""

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


@command("replace_video", cls=SelectingCommand)
@selection_options
@acting_options("--replace")
@placeholder_map_option
@options_of(Command.REPLACE)
@keep_options
@pass_app
def replace_video(app: App, /, query: Query, **options: Any) -> None:
    """Replace the originals of archived entries by the placeholder video, and tag the entries flavors_deleted.

    Only where the stored copy is proven to be the original. The original plays until the placeholder is ready.
    Thin entries play on: only --id, --idfile or --tag original_in_s3 takes them, too.

    \b
    Examples:
      kaltura-archiver replace_video --tag archived_to_s3 --unplayed-for 3
      kaltura-archiver replace_video --id 0_abc12345 --no-dry-run
      kaltura-archiver replace_video --unplayed-for 3 --noticed-before 30d --no-dry-run
    """  # fmt: skip
    run_command(app, Command.REPLACE, query, **options)
