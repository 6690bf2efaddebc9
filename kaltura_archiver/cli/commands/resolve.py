"""kaltura-archiver resolve"""

from __future__ import annotations

from typing import Any

import click

from kaltura_archiver.asking.words import ENTRY_ID
from kaltura_archiver.cli.acting import run_command
from kaltura_archiver.cli.app import App, pass_app
from kaltura_archiver.cli.group import command
from kaltura_archiver.cli.options import (
    bandwidth_option,
    dry_run_option,
    format_option,
    no_lock_option,
    options_of,
    run_log_option,
    together,
    tolerate_option,
)
from kaltura_archiver.errors import SelectionError
from kaltura_archiver.filters import query_of_ids
from kaltura_archiver.steps import Command


@command("resolve")
@click.argument("entry_id", metavar="ID")
@options_of(Command.RESOLVE)
@together(dry_run_option, no_lock_option, run_log_option, bandwidth_option, tolerate_option, format_option)
@pass_app
def resolve(app: App, /, entry_id: str, **options: Any) -> None:
    """Say which video an entry is to have, where Kaltura and S3 have two (diverged). Both are kept.

    kaltura: what Kaltura has is stored beside the copy that there is, and is the entry's copy from then on. s3: what
    Kaltura has is stored in S3 (displaced/), and the stored copy is brought back; a frozen one is first asked to thaw,
    and the command given again. Nothing in S3 is moved, overwritten or deleted for it.

    \b
    Examples:
      kaltura-archiver explain 0_abc12345
      kaltura-archiver resolve 0_abc12345 --keep kaltura
      kaltura-archiver resolve 0_abc12345 --keep kaltura --no-dry-run
      kaltura-archiver resolve 0_abc12345 --keep s3 --tier standard --no-dry-run
    """
    if not ENTRY_ID.fullmatch(entry_id):
        raise SelectionError(f"{entry_id[:40]!r} is not an entry id")
    run_command(
        app, Command.RESOLVE, query_of_ids([entry_id]), acting=False, everything=False, workers=1,
        cluster=None, cluster_tls=None, max_calls=0, max_transfers=0, max_cost=None, max_bytes=None, **options,
    )  # fmt: skip
