"""The text of a policy file, and how the values of its keys are read: each mistake is one line with its place."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, TypeVar

import click

from kaltura_archiver.asking.words import as_written, bytes_of
from kaltura_archiver.errors import ArchiverError, InputError

if TYPE_CHECKING:
    from kaltura_archiver.store import Store

T = TypeVar("T")
IN_BUCKET = "s3:"
MAX_BYTES = 2**20
# The text of what is named `s3:KEY`; None for a file of this machine. `what` it is, in words.
InBucket = Callable[[str, str], str | None]
Table = Mapping[str, Any]


class Fail(Protocol):
    """Tells why the value of a key, by its path, is refused."""

    def __call__(self, why: str, /, *path: str) -> NoReturn: ...


def text_in_bucket(store: Callable[[], Store], name: str, what: str) -> str | None:
    """An `InBucket`. Raises InputError where the bucket has no such object, or one that is too large."""
    key = name.removeprefix(IN_BUCKET)
    if key == name:
        return None
    found = store().get_text(key, MAX_BYTES)
    if found is None:
        raise InputError(f"the bucket has no {key}: put {what} there (aws s3 cp FILE s3://BUCKET/{key})")
    if len(found[0].encode()) >= MAX_BYTES:
        raise InputError(f"{name} has more than {MAX_BYTES} bytes: {what} cannot be that")
    return found[0]


def keys_of(decorate: Callable[[Any], Any]) -> dict[str, click.Option]:
    """The options that a decorator adds, by the first name of each, with _ for -."""

    def bare() -> None:
        """Takes the options."""

    params = decorate(bare).__click_params__
    return {
        max(option.opts, key=len).lstrip("-").replace("-", "_"): option
        for option in reversed(params) if isinstance(option, click.Option)
    }  # fmt: skip


@dataclass(frozen=True)
class PolicyText:
    """The text, to say in which line of it something is."""

    path: str
    text: str

    def line(self, rule: int | None, *path: str) -> int:
        """Where a key stands: that of a rule (counted from 0), or of the file; its table's line if it has none."""
        lines = self.text.splitlines()
        begin, end = 0, len(lines)
        if rule is not None:
            heads = [number for number, line in enumerate(lines) if re.match(r"\s*\[\[\s*rule\s*\]\]", line)]
            begin, end = [*pairwise((*heads, len(lines)))][rule] if rule < len(heads) else (0, len(lines))
        found = begin
        for key in path:
            name = rf"[\"']?{re.escape(key)}[\"']?"
            pattern = rf"\s*\[\[?[^\]]*\b{name}\s*\]|(.*[{{,\s])?{name}\s*="
            found = next((n for n in range(found, end) if re.match(pattern, lines[n])), found)
        return found + 1

    def fail(self, why: str, rule: int | None = None, name: str = "", *path: str) -> NoReturn:
        where = f"rule {name!r}" if name else f"rule {rule + 1}" if rule is not None else ""
        told = ": ".join(filter(None, (", ".join(filter(None, (where, ".".join(path)))), why)))
        raise InputError(f"{self.path}, line {self.line(rule, *path)}: {told}")

    def require_known(
        self, table: Table, known: Iterator[str] | tuple[str, ...] | list[str], rule: int | None, name: str, *path: str
    ) -> None:
        """Fail at the first key that is none of those known."""
        names = list(known)
        for key in table:
            if key not in names:
                import difflib

                near = difflib.get_close_matches(key, names, 1)
                there = f"did you mean {near[0]}?" if near else f"there are {', '.join(names)}"
                self.fail(f"there is no such key; {there}", rule, name, *path, key)


def said(make: Callable[[], T], fail: Fail, *path: str) -> T:
    """What is made of the value of this key; what is wrong with it is told with its place."""
    try:
        return make()
    except (ArchiverError, click.UsageError) as error:
        fail(str(getattr(error, "message", error)), *path)


def converted(option: click.Option, value: Any, fail: Fail, *path: str) -> Any:
    """The value as the option itself would have it."""

    def one(item: Any) -> Any:
        if isinstance(item, bool) or not isinstance(item, str | int | float):
            fail(f"{as_written(item)} is not what this key holds: {option.help}", *path)
        return said(lambda: option.type.convert(str(item), option, None), fail, *path)

    if option.is_flag:
        if not isinstance(value, bool):
            fail(f"{as_written(value)} is neither true nor false", *path)
        return value
    if isinstance(value, list):
        if not option.multiple:
            fail("one value is wanted here, no list", *path)
        return tuple(map(one, value))
    return (one(value),) if option.multiple else one(value)


def limits_in(table: Table, fail: Fail, *path: str) -> dict[str, Any]:
    """How many entries, bytes, and how much money a table of limits allows, as far as it says so."""
    found: dict[str, Any] = {}
    for key, kind in (("entries", int), ("money", int | float), ("per_owner", int)):
        value = table.get(key)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, kind) or not 0 < value < float("inf"):
            fail(f"{as_written(value)} is not a number above 0", *path, key)
        found[key] = float(value) if key == "money" else value
    if "bytes" in table:
        found["bytes"] = said(lambda: bytes_of(str(table["bytes"])), fail, *path, "bytes")
    return found
