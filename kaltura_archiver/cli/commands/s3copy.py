"""kaltura-archiver s3copy"""

from __future__ import annotations

from typing import Any

from kaltura_archiver.cli.acting import run_command
from kaltura_archiver.cli.app import App, pass_app
from kaltura_archiver.cli.command_line import SelectingCommand
from kaltura_archiver.cli.group import command
from kaltura_archiver.cli.options import acting_options, keep_options, options_of, selection_options
from kaltura_archiver.filters import Query
from kaltura_archiver.steps import Command


@command("s3copy", cls=SelectingCommand)
@selection_options
@acting_options("--s3copy")
@options_of(Command.S3COPY)
@keep_options
@pass_app
def s3copy(app: App, /, query: Query, **options: Any) -> None:
    """Copy the original of each entry to S3, verify it, and tag the entry archived_to_s3.

    Objects of the old tool are adopted: the original is read once and compared with them.

    \b
    Examples:
      kaltura-archiver s3copy --tag '!archived_to_s3' --unplayed-for 3
      kaltura-archiver s3copy --id 0_abc12345 --no-dry-run
      kaltura-archiver s3copy --idfile ids.txt --storage-class DEEP_ARCHIVE --no-dry-run
    """
    run_command(app, Command.S3COPY, query, **options)
