"""Prints what explain tells."""

from __future__ import annotations

import sys
from collections.abc import Callable
from enum import Enum
from typing import Any

import click

from kaltura_archiver.model import EntryStatus, MediaType, Outcome
from kaltura_archiver.output.screen import colour_of, coloured, columns_of_terminal, painted, wrapped
from kaltura_archiver.output.tables import to_json
from kaltura_archiver.redact import one_line


def print_explanation(explanation: dict[str, Any], style: str) -> None:
    """To stdout: JSON; or state, why, and what to do; what the commands would do; the history; the evidence."""
    if style == "json":
        click.echo(to_json(explanation, indent=2))
        return
    sections = dict(explanation)
    state, entry = sections.pop("state"), explanation["entry"]
    colour = colour_of(state["name"]) if coloured(sys.stdout) else ""
    which = f"{one_line(entry['name'])} ({entry['id']})" if entry["name"] else entry["id"]
    click.echo(painted(one_line(state["name"]), colour) + f": {which}")
    for mark, text in (("", state["why"]), ("→ ", state["next"])):
        for line in wrapped(mark + one_line(text), columns_of_terminal(), indent="  "):
            click.echo(line)
    click.echo("\ncommands:")
    refused = f"{Outcome.REFUSED}: {state['why']}; {state['next']}"
    for answer, commands in _by_answer(sections.pop("commands")).items():
        told = f"{', '.join(commands)}: {'refused, as said above' if answer == refused else one_line(answer)}"
        for line in wrapped(told, columns_of_terminal(), indent="  "):
            click.echo(line)
    click.echo("\nhistory:")
    for event in sections.pop("history"):
        run = f" (run {one_line(event['run'])})" if "run" in event else ""
        click.echo(f"  {one_line(event['at']):20}  {one_line(event['what'])}{run}")
    for section, content in sections.items():
        click.echo()
        _print_section(section, content)


def _by_answer(commands: dict[str, str]) -> dict[str, list[str]]:
    """The commands that give the same answer, by it."""
    found: dict[str, list[str]] = {}
    for command, answer in commands.items():
        found.setdefault(answer, []).append(command)
    return found


def _print_section(section: str, content: Any) -> None:
    if isinstance(content, list):
        click.echo(f"{section}:{'' if content else ' none'}")
        for item in content:
            _echo("  ", "  ".join(f"{key}={_value_text(value)}" for key, value in item.items()), indent=4)
    elif isinstance(content, dict):
        click.echo(f"{section}:")
        width = max(len(key) for key in content) + 1
        for key, value in content.items():
            words = _WORDS.get(key, _value_text) if section == "entry" else _value_text
            _echo(f"  {(key + ':').ljust(width)} ", words(value), indent=4)
    else:
        click.echo(f"{section}: {_value_text(content) if content is not None else 'none'}")


def _echo(head: str, text: str, *, indent: int) -> None:
    """A line; on a terminal lines of its width."""
    if not text or not sys.stdout.isatty():
        click.echo((head + text).rstrip())
        return
    for line in wrapped(text, columns_of_terminal(), indent=" " * indent, head=head):
        click.echo(line)


def _named(kind: type[Enum]) -> Callable[[Any], str]:
    """What tells a number of Kaltura's by its name, too."""

    def told(value: Any) -> str:
        names = {member.value: member.name for member in kind}
        return f"{names[value]} ({value})" if value in names else _value_text(value)

    return told


_WORDS = {"status": _named(EntryStatus), "media_type": _named(MediaType)}


def _value_text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, list):
        value = ", ".join(value) or "-"
    elif isinstance(value, dict):
        value = ", ".join(f"{key}={item}" for key, item in value.items()) or "-"
    return one_line(str(value))
