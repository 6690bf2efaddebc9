"""The tables of docs/migrating.md."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = (Path(__file__).parents[2] / "docs" / "migrating.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    """What stands below the heading, down to the next one."""
    return re.split(rf"^#+ {re.escape(title)}$", PAGE, flags=re.MULTILINE)[1].partition("\n#")[0]


def table(title: str) -> list[list[str]]:
    """The cells of the first table below a heading, without its head."""
    lines = [line for line in section(title).splitlines() if line.startswith("|")]
    return [[cell.strip(" ") for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines[2:]]


def code(cell: str) -> str:
    """What stands in a cell as code, blanks included; empty for an empty cell."""
    return cell.strip("`").replace("\\|", "|")
