"""`--sort` and `-n`: the rows of a whole selection in another order than the search's."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import islice
from typing import Any, TypeVar

import click

from kaltura_archiver.filters import Query
from kaltura_archiver.model import Entry

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")
SORTS = ("size", "created", "played", "plays")


def sort_options(function: F) -> F:
    """The options `sort` and `number`, for `sorted_rows`."""
    sort = click.option(
        "--sort", type=click.Choice(SORTS),
        help="Largest, oldest, longest unplayed, or most played first, of all that match.",
    )  # fmt: skip
    number = click.option("-n", "number", type=click.IntRange(1), metavar="N", help="The first N rows only.")
    return sort(number(function))


def sorted_rows(
    items: Iterable[T], sort: str | None, number: int | None, look: Callable[[T], tuple[Entry, int]]
) -> Iterator[T]:
    """The items in that order, `number` of them at most; without `sort` as they come.

    `look` tells the entry of an item, and how many bytes it has. With `number` no more than so many are kept.
    """

    def key(item: T) -> float:
        entry, size_bytes = look(item)
        return float(
            {
                "size": -size_bytes, "created": entry.created_at or 0, "played": entry.last_played_at or 0,
                "plays": -(entry.plays or 0),
            }[sort or "size"]
        )  # fmt: skip

    if sort is None:
        return islice(items, number)
    return iter(sorted(items, key=key) if number is None else heapq.nsmallest(number, items, key=key))


def whole(query: Query, sort: str | None) -> Query:
    """The query without the usual limit of entries, where their order would else be that of a part of them."""
    source = click.get_current_context().get_parameter_source("max_entries")
    usual = source is not click.core.ParameterSource.COMMANDLINE
    return replace(query, max_entries=None) if sort and usual else query
