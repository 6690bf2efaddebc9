"""CloudWatch Logs Insights' query language, as far as README-AWS.md and the dashboard use it, on lines of ours."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from typing import Any

Record = dict[str, Any]
# A quoted text, a word, or a sign.
_TOKEN = re.compile(r""" *("[^"]*"|'[^']*'|[@\w.]+|=)""")


def records(lines: Iterable[str]) -> list[Record]:
    """What Insights knows of each line: JSON's members as fields, of anything else the message alone."""
    found = []
    for number, line in enumerate(lines):
        fields = json.loads(line) if line.startswith("{") else {}
        found.append({"@timestamp": f"{number:06d}", "@message": line, **fields})
    return found


def query(text: str, found: list[Record]) -> list[Record]:
    """The rows that a query gives; AssertionError for what this does not know."""
    shown: list[str] = []
    for step in re.split(r"\s*\|\s*", text.strip()):
        verb, _, rest = step.partition(" ")
        match verb:
            case "SOURCE":
                continue
            case "fields":
                columns = [_column(part) for part in re.split(r",\s*(?![^(]*\))", rest)]
                found = [{**record, **{name: value(record) for name, value in columns}} for record in found]
                shown = [name for name, _ in columns]
            case "filter":
                wanted = _condition(rest)
                found = [record for record in found if wanted(record)]
            case "stats":
                found = _stats(rest, found)
                shown = list(found[0]) if found else []
            case "sort":
                name, _, order = rest.partition(" ")
                assert order in ("", "desc")
                found = sorted(found, key=lambda record: record[name], reverse=order == "desc")
            case "limit":
                found = found[: int(rest)]
            case _:
                raise AssertionError(f"not known here: {step}")
    return [{name: record.get(name) for name in shown} if shown else record for record in found]


def _column(text: str) -> tuple[str, Callable[[Record], Any]]:
    expression, _, name = text.partition(" as ")
    if inside := re.fullmatch(r"coalesce\((.+)\)", expression):
        names = re.split(r",\s*", inside[1])
        return name, lambda record: next((record[n] for n in names if record.get(n) is not None), None)
    assert re.fullmatch(r"[@\w]+", expression)
    return name or expression, lambda record: record.get(expression)


def _condition(text: str) -> Callable[[Record], bool]:
    """Comparisons with `=` and `like`, joined by `and` or by `or`."""
    tokens = _TOKEN.findall(text)
    assert not _TOKEN.sub("", text).strip(), text
    parts = [tokens[n : n + 3] for n in range(0, len(tokens), 4)]
    joins = set(tokens[3::4])
    assert len(joins) <= 1
    assert joins <= {"and", "or"}

    def holds(record: Record, part: list[str]) -> bool:
        name, operator, literal = part
        value = record.get(name)
        assert literal[0] in "\"'"
        assert operator in ("=", "like")
        if value is None:
            return False
        return bool(value == literal[1:-1]) if operator == "=" else literal[1:-1] in str(value)

    return lambda record: (any if joins == {"or"} else all)(holds(record, part) for part in parts)


def _stats(text: str, found: list[Record]) -> list[Record]:
    wanted, _, by = text.partition(" by ")
    groups: dict[Any, list[Record]] = {}
    for record in sorted(found, key=lambda record: record["@timestamp"]):
        groups.setdefault(record.get(by), []).append(record)
    rows = []
    for key, members in groups.items():
        row = {}
        for part in wanted.split(", "):
            function = re.fullmatch(r"(earliest|latest)\(([@\w]+)\) as (\w+)", part)
            assert function, part
            row[function[3]] = members[0 if function[1] == "earliest" else -1].get(function[2])
        rows.append({**row, by: key})
    return rows
