"""kaltura-archiver thin"""

from __future__ import annotations

from typing import Any

from kaltura_archiver.cli.acting import run_command
from kaltura_archiver.cli.app import App, pass_app
from kaltura_archiver.cli.command_line import SelectingCommand
from kaltura_archiver.cli.group import command
from kaltura_archiver.cli.options import acting_options, keep_options, options_of, selection_options
from kaltura_archiver.filters import Query
from kaltura_archiver.steps import Command


@command("thin", cls=SelectingCommand)
@selection_options
@acting_options()
@options_of(Command.THIN)
@keep_options
@pass_app
def thin(app: App, /, query: Query, **options: Any) -> None:
    """Delete the originals of archived entries in Kaltura, where a derived flavor plays on, and tag the entries
    original_in_s3.

    Viewers notice nothing. Only where the stored copy is proven to be the original, and the flavor to keep is READY and
    of the entry's full length. Cutting such a video, or downloading its original, needs restore first.

    \b
    Examples:
      kaltura-archiver thin --tag archived_to_s3 --unplayed-for 3
      kaltura-archiver thin --id 0_abc12345 --keep-height 360 --no-dry-run
      kaltura-archiver thin --unplayed-for 2 --derived-only --no-dry-run
    """  # fmt: skip
    run_command(app, Command.THIN, query, acting=False, **options)
