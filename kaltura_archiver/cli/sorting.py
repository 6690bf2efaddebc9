"""`--sort` and `-n`: the rows of a whole selection in another order than the search's."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, TypeVar

import click

from kaltura_archiver.model import Entry

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")
# What each sorts by, of an entry and its bytes; the least comes first. What was never played is unplayed since it was
# created, as `--unplayed-for` has it.
_KEYS: dict[str, Callable[[Entry, int], int]] = {
    "size": lambda _, size_bytes: -size_bytes,
    "created": lambda entry, _: entry.created_at or 0,
    "played": lambda entry, _: entry.last_played_at or entry.created_at or 0,
    "plays": lambda entry, _: -(entry.plays or 0),
}


def sort_options(function: F) -> F:
    """The options `sort` and `number`, for `sorted_rows`."""
    sort = click.option(
        "--sort", type=click.Choice(list(_KEYS)),
        help="Largest, oldest, longest unplayed, or most played first, of all that match.",
    )  # fmt: skip
    number = click.option(
        "-n", "number", type=click.IntRange(1), metavar="N", help="The first N only: what is told of all is of these."
    )
    return sort(number(function))


def sorted_rows(
    items: Iterable[T], sort: str | None, number: int | None, look: Callable[[T], tuple[Entry, int]]
) -> Iterator[T]:
    """The items in that order, `number` of them at most; without `sort` as they come.

    `look` tells the entry of an item, and how many bytes it has. With `number` no more than so many are kept.
    """

    if sort is None:
        return islice(items, number)

    def key(item: T) -> int:
        return _KEYS[sort](*look(item))

    return iter(sorted(items, key=key) if number is None else heapq.nsmallest(number, items, key=key))
