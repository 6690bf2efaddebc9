"""kaltura-archiver completion"""

from __future__ import annotations

import click

from kaltura_archiver.cli.completing import PROGRAM, SHELLS
from kaltura_archiver.cli.group import command
from kaltura_archiver.cli.program import cli


@command("completion")
@click.argument("shell", type=click.Choice([*SHELLS]), metavar="bash|zsh|fish")
def completion(shell: str) -> None:
    """Print the script by which your shell completes commands, options and their values on TAB.

    Keep it where your shell looks for it, and do so again after an update. bash does with the package bash-completion.

    \b
    Examples:
      kaltura-archiver completion bash > /etc/bash_completion.d/kaltura-archiver
      kaltura-archiver completion zsh > /usr/local/share/zsh/site-functions/_kaltura-archiver
      kaltura-archiver completion fish > ~/.config/fish/completions/kaltura-archiver.fish
    """
    variable = f"_{PROGRAM.upper().replace('-', '_')}_COMPLETE"
    click.echo(SHELLS[shell](cli, {}, PROGRAM, variable).source(), nl=False)
