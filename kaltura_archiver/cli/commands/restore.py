"""kaltura-archiver restore"""

from __future__ import annotations

from typing import Any

from kaltura_archiver.cli.acting import run_command
from kaltura_archiver.cli.app import App, pass_app
from kaltura_archiver.cli.command_line import SelectingCommand
from kaltura_archiver.cli.group import command
from kaltura_archiver.cli.options import acting_options, options_of, selection_options
from kaltura_archiver.cli.query import asked_for_by
from kaltura_archiver.filters import Query
from kaltura_archiver.steps import Command


@command("restore", cls=SelectingCommand)
@selection_options
@acting_options("--restore")
@options_of(Command.RESTORE)
@pass_app
def restore(app: App, /, query: Query, **options: Any) -> None:
    """Bring originals back from S3 or Glacier and drop the tag flavors_deleted. Also called restore_from_s3.

    A frozen object is first asked to thaw; run the command again when it is readable.

    \b
    Examples:
      kaltura-archiver restore --tag flavors_deleted --played_within 1
      kaltura-archiver restore --id 0_abc12345 --tier standard --no-dry-run
      kaltura-archiver restore --request-tag restore_please --no-dry-run
      kaltura-archiver restore --idfile requests.txt --tier expedited --days 3 --no-dry-run
      kaltura-archiver restore --tag flavors_deleted --played_within 1 --max-cost 20 --no-dry-run
    """
    query, options["request_tag"] = asked_for_by(query, options["request_tag"])
    run_command(app, Command.RESTORE, query, **options)
