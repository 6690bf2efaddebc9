"""kaltura-archiver stats"""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kaltura_archiver.cli.app import App, pass_app
from kaltura_archiver.cli.command_line import SelectingCommand, without_limit
from kaltura_archiver.cli.group import command
from kaltura_archiver.cli.options import (
    columns_of_row,
    columns_option,
    format_option,
    lookers_option,
    price_options,
    selection_options,
)
from kaltura_archiver.cli.query import after_selection, whatever_status
from kaltura_archiver.cli.types import PATH, STORAGE_CLASSES
from kaltura_archiver.filters import Query
from kaltura_archiver.output.progress import progress
from kaltura_archiver.output.rows import MORE_STATS_COLUMNS, STATS_COLUMNS
from kaltura_archiver.output.screen import rows_as
from kaltura_archiver.output.tables import Cell, readable_bytes

if TYPE_CHECKING:
    from kaltura_archiver.insight.stats import Sums
    from kaltura_archiver.money.prices import Prices


log = logging.getLogger(__name__)


def _ways(ctx: click.Context, param: click.Parameter, value: str) -> tuple[str, ...]:
    from kaltura_archiver.insight.stats import WAYS

    ways = tuple(word.strip() for word in value.split(","))
    for way in ways:
        if way not in WAYS:
            raise click.BadParameter(f"{way!r} is neither thin nor replace", ctx, param)
    return ways


@without_limit
@command("stats", cls=SelectingCommand)
@selection_options
@click.option("--enriched", type=PATH, metavar="FILE", help="Also by owner's unit: a TSV that enrich has written.")
@price_options
@click.option(
    "--storage-class",
    type=click.Choice(STORAGE_CLASSES, case_sensitive=False),
    default="DEEP_ARCHIVE",
    show_default=True,
    metavar="CLASS",
    help="Where copies would go that are not there yet.",
)
@click.option(
    "--what-if", "ways", default="replace", show_default=True, metavar="WAY,…", callback=_ways,
    help="What the rows for 1 to 5 years foretell: replace, thin, or both.",
)  # fmt: skip
@lookers_option
@columns_option
@format_option
@pass_app
def stats(
    app: App, /, query: Query, enriched: str | None, kaltura_price: float | None, price_table: Path | None,
    storage_class: str, ways: tuple[str, ...], workers: int, columns: str | None, style: str,
) -> None:  # fmt: skip
    """Add entries and bytes up: by state, storage class, year created and played, category, owner's unit.

    Each section adds up to the total. Rows `threshold` tell what replacing all that was not played for 1 to 5 years,
    but for what is kept, would free and save, and how many restores a month to expect; docs/money.md tells how. With
    --what-if thin rows `thin` tell it of originals that go to S3 while a derived flavor plays on. Nothing is read entry
    by entry: 100,000 entries take some 2,800 requests.

    \b
    Examples:
      kaltura-archiver stats --format table
      kaltura-archiver stats --what-if thin,replace --kaltura-price 0.12
      kaltura-archiver stats --kaltura-price 0.12 --enriched owners.tsv > stats.tsv
      kaltura-archiver stats --category 4711 --created-before 5 --columns section,key,freed_bytes
    """
    from kaltura_archiver.asking.keeping import keep_list
    from kaltura_archiver.insight.stats import Stats, items, units_of
    from kaltura_archiver.placeholders import Placeholders
    from kaltura_archiver.selection import Selection

    shown = columns_of_row(columns, STATS_COLUMNS, MORE_STATS_COLUMNS)
    prices, keep, now = app.prices(kaltura_price, price_table), keep_list(app.settings), time.time()
    unit_of = units_of(enriched) if enriched else None
    placeholders = Placeholders.read(app.settings).known()
    kaltura, store = app.kaltura(), app.store(check=False)
    selection = Selection(kaltura, whatever_status(query), store)
    sums = Stats(prices, now=now, storage_class=storage_class, unit_of=unit_of, ways=ways)
    found = items(kaltura, store, selection, placeholders=placeholders, workers=workers, keep=keep, now=now)
    with progress("stats", found, lambda: selection.expected) as counted:
        for item in counted:
            sums.add(item)
    with rows_as(style, shown) as rows:
        for row in sums.rows():
            rows.write(_for_people(row) if style == "table" else row)
    log.info("%s", _summary(sums.total, prices))
    app.exit(*after_selection(selection))


def _for_people(row: dict[str, Cell]) -> dict[str, Cell]:
    return {
        name: readable_bytes(value) if name.endswith("_bytes") and isinstance(value, int) else value
        for name, value in row.items()
    }


def _summary(total: Sums, prices: Prices) -> str:
    from kaltura_archiver.model import so_many
    from kaltura_archiver.money.bill import money

    text = (
        f"{so_many(total.entries)}: {readable_bytes(total.kaltura_bytes)} in Kaltura, "
        f"{readable_bytes(total.stored_bytes)} in S3 for {money(total.s3_cost, prices.currency)} a month; "
        f"placeholders and thin originals free {readable_bytes(total.freed_bytes)}"
    )
    freed = prices.kaltura_month(total.freed_bytes)
    if freed is None:
        text += " (--kaltura-price tells what that saves)"
    elif freed >= total.s3_cost:
        text += f", which saves {money(freed - total.s3_cost, prices.currency)} a month in all"
    else:
        text += f", which costs {money(total.s3_cost - freed, prices.currency)} a month more than it saves"
    return f"{text}; prices of {prices.as_of}"
