"""kaltura-archiver run_task"""

from __future__ import annotations

import logging

import click

from kaltura_archiver.cli.app import App, pass_app
from kaltura_archiver.cli.group import command
from kaltura_archiver.cli.options import format_option
from kaltura_archiver.errors import Exit
from kaltura_archiver.output.logs import readable
from kaltura_archiver.output.rows import TASK_COLUMNS
from kaltura_archiver.output.screen import rows_as

log = logging.getLogger(__name__)


@command("run_task")
@click.argument("task", type=click.Choice(["archive", "restore", "health"]))
@click.option(
    "--stack", default="kaltura-archiver", show_default=True, metavar="NAME", help="The stack of aws/template.yaml."
)
@click.option("--revision", type=click.IntRange(1), metavar="N", help="This revision of the task [the latest].")
@click.option("--env", "pairs", multiple=True, metavar="NAME=VALUE", help="Set a variable of the job; may be repeated.")
@click.option("--command", "words", default="", metavar="WORDS", help="Run this in place of the job.")
@click.option("--wait", is_flag=True, help="Print its log lines, and end with its exit status.")
@format_option
@pass_app
def run_task(
    app: App, /, task: str, stack: str, revision: int | None, pairs: tuple[str, ...], words: str, wait: bool,
    style: str,
) -> None:  # fmt: skip
    """Start a job on AWS now, in the tasks that aws/template.yaml has made.

    With --wait, the task's log lines go to stdout, and the exit status is the task's. Interrupted, it ends; the task
    goes on.

    \b
    Examples:
      kaltura-archiver run_task archive --wait
      kaltura-archiver run_task restore --env DOIT=true --env N_YEARS=1
      kaltura-archiver run_task restore --wait --command "restore --id 0_abc12345"
    """
    from kaltura_archiver.fleet.tasks import Tasks, check_environment, parse_command, parse_environment

    environment, command = parse_environment(pairs), parse_command(words)
    check_environment(environment)
    _ = app.settings  # what .env says to boto3, and which secrets it may not show
    tasks = Tasks(stack)
    with app.stoppable():
        started = tasks.start(task, revision=revision, environment=environment, command=command)
        if not wait:
            with rows_as(style, TASK_COLUMNS) as rows:
                rows.write({name: getattr(started, name) for name in TASK_COLUMNS})
            app.exit(Exit.OK)
        log.info("started %s", started.task)
        for said in tasks.follow(started, app.stop):
            if isinstance(said, int):
                raise click.exceptions.Exit(said)
            click.echo(readable(said))
