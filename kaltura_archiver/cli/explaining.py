"""Prints what explain tells."""

from __future__ import annotations

from typing import Any

import click

from kaltura_archiver.output.tables import to_json
from kaltura_archiver.redact import one_line


def print_explanation(explanation: dict[str, Any], style: str) -> None:
    """To stdout: JSON, or sections of `name: value` lines."""
    if style == "json":
        click.echo(to_json(explanation, indent=2))
        return
    for section, content in explanation.items():
        if isinstance(content, list):
            click.echo(f"{section}:{'' if content else ' none'}")
            for item in content:
                click.echo("  " + "  ".join(f"{key}={_value_text(value)}" for key, value in item.items()))
        elif isinstance(content, dict):
            click.echo(f"{section}:")
            width = max(len(key) for key in content) + 1
            for key, value in content.items():
                click.echo(f"  {(key + ':').ljust(width)} {_value_text(value)}".rstrip())
        else:
            click.echo(f"{section}: {_value_text(content) if content is not None else 'none'}")


def _value_text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, list):
        value = ", ".join(value) or "-"
    elif isinstance(value, dict):
        value = ", ".join(f"{key}={item}" for key, item in value.items()) or "-"
    return one_line(str(value))
