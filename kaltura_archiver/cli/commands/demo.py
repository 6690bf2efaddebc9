"""kaltura-archiver demo"""

from __future__ import annotations

import click

from kaltura_archiver.cli.app import App, pass_app
from kaltura_archiver.cli.extras import need_sandbox
from kaltura_archiver.cli.group import command
from kaltura_archiver.errors import Exit


@command("demo")
@click.option("--quick", is_flag=True, help="Without the pauses that let you read along.")
@pass_app
def demo(app: App, /, quick: bool) -> None:
    """Show the whole cycle on the built-in sandbox: archive, replace, thaw, restore. No account is needed.

    \b
    Examples:
      kaltura-archiver demo
      kaltura-archiver demo --quick
      kaltura-archiver demo --quick > demo.txt
    """
    need_sandbox()
    from kaltura_archiver.sandbox.demo import run_demo

    app.exit(Exit(run_demo(quick=quick)))
