"""kaltura-archiver unlock"""

from __future__ import annotations

import click

from kaltura_archiver.asking.words import parse_shard
from kaltura_archiver.cli.app import App, pass_app
from kaltura_archiver.cli.group import command
from kaltura_archiver.errors import Exit
from kaltura_archiver.redact import one_line
from kaltura_archiver.steps import Command

LOCKED = (*(c.value for c in Command), "run", "desk")


@command("unlock")
@click.argument("command", type=click.Choice(LOCKED, case_sensitive=False), metavar="COMMAND")
@click.option("--shard", metavar="I/N", help="The lock of this share.")
@click.option("--force", is_flag=True, help="Even if its run is alive: then that ends, as after SIGTERM.")
@pass_app
def unlock(app: App, /, command: str, shard: str | None, force: bool) -> None:
    """Free the lock of a command whose run was killed: s3copy, replace_video, thin, restore, repair, verify, resolve,
    run (the rules of a policy), or desk (its restores).

    A lock that was renewed within the last minute is freed by --force only: its run may be alive. It expires by itself
    two minutes after its run has died.

    \b
    Examples:
      kaltura-archiver unlock s3copy
      kaltura-archiver unlock restore
      kaltura-archiver unlock s3copy --shard 2/8 --force
    """
    from kaltura_archiver.run.lock import lock_key, unlock

    key = lock_key(command, parse_shard(shard) if shard else None)
    click.echo(one_line(unlock(app.store(read_only=False), key, force=force)), err=True)
    app.exit(Exit.OK)
