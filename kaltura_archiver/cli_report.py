"""The command that writes a page for people: report."""

from __future__ import annotations

import dataclasses
import importlib.util
import logging
import sys
import time
from pathlib import Path

import click

from kaltura_archiver.cli import (
    App,
    SelectingCommand,
    _after_selection,
    _limit_was_given,
    _select,
    cli,
    pass_app,
    price_options,
    selection_options,
)
from kaltura_archiver.errors import ConfigError, InputError
from kaltura_archiver.filters import Query

log = logging.getLogger(__name__)


def _need_report() -> None:
    missing = [name for name in ("jinja2", "vl_convert") if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(f"the report needs {', '.join(missing)}: pip install 'kaltura-archiver[report]'")


@cli.command("report", cls=SelectingCommand)
@selection_options
@click.option("--output", "-o", default="report.html", show_default=True, metavar="FILE", help="The page; - is stdout.")
@click.option("--enriched", metavar="FILE", help="A TSV that enrich made: names and units of the owners.")
@click.option(
    "--rows",
    type=click.IntRange(0),
    default=20_000,
    show_default=True,
    metavar="N",
    help="At most N entries in the page's table; the figures are of all.",
)
@price_options
@click.option(
    "--workers", type=click.IntRange(1, 64), default=8, show_default=True, help="Objects looked at at a time."
)
@pass_app
def report(
    app: App, /, query: Query, output: str, enriched: str | None, rows: int, kaltura_price: float | None,
    price_table: Path | None, workers: int,
) -> None:  # fmt: skip
    """Write a page about the library: one HTML file that needs nothing else, to look at, print and send.

    What is where, growth and savings, restores and how long viewers waited, owners, what needs attention, and a table
    of entries to filter and sort. What happened over time is taken from the run log in the bucket.

    \b
    Examples:
      kaltura-archiver report --kaltura-price 0.12
      kaltura-archiver list --max-entries -1 | kaltura-archiver enrich > owners.tsv
      kaltura-archiver report --enriched owners.tsv --category 123 -o category.html
    """  # fmt: skip
    _need_report()
    from kaltura_archiver.figures import Collector
    from kaltura_archiver.history import History
    from kaltura_archiver.report_page import make_page

    if not _limit_was_given():
        query = dataclasses.replace(query, max_entries=None)
    prices = app.prices(kaltura_price, price_table)
    owners = _owners(enriched) if enriched else None
    kaltura, store = app.kaltura(), app.store()
    selection = _select(kaltura, query)
    collector = Collector(
        History(_lines(store)),
        prices,
        now=int(time.time()),
        rows=rows,
        owner_of=owners.get if owners is not None else None,
    )
    with app.stoppable():
        for item in _items(
            kaltura, store, selection, placeholder_bytes=app.settings.placeholder_bytes(), workers=workers
        ):
            collector.add(item)
    code = _after_selection(selection)
    page = make_page(
        collector.figures(),
        selection=str(query) if query.has_criteria else f"all of kind {query.media_type.name.lower()}",
        prices_of=str(prices.as_of),
    )
    content = page.encode("utf-8", errors="replace")
    if output == "-":
        sys.stdout.buffer.write(content)
        sys.stdout.flush()
    else:
        _write(Path(output), content)
        log.info("wrote %s: %d entries, %d bytes; open it in a browser", output, collector.entries, len(content))
    app.exit(code)


def _write(path: Path, content: bytes) -> None:
    """Write the file whole or not at all."""
    part = path.with_name(path.name + ".part")
    try:
        part.write_bytes(content)
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise InputError(f"cannot write {path}: {error.strerror}") from error


# What other branches bring

from collections.abc import Iterator
from typing import Any


def _lines(store: Any) -> Iterator[Any]:
    import json

    for page in store.pages():
        for key, *_ in page:
            if key.startswith("log/runs/"):
                for line in store.get_text(key)[0].splitlines():
                    yield json.loads(line)


def _items(kaltura: Any, store: Any, selection: Any, *, placeholder_bytes: int | None, workers: int) -> Iterator[Any]:
    from kaltura_archiver.snapshot import item_of
    from kaltura_archiver.states import classify
    from kaltura_archiver.survey import facts_of

    with facts_of(
        kaltura,
        store,
        selection,
        placeholder_bytes=placeholder_bytes,
        workers=workers,
        thorough=False,
        availability=False,
    ) as found:
        for facts in found:
            yield item_of(facts, classify(facts))


def _owners(path: str) -> Any:
    from kaltura_archiver.owners import Owner, TsvTable, column_index, opened

    with opened(path) as file:
        table = TsvTable(file, path)
        at = [column_index(table.columns, name, path) for name in ("creator_id", "ldap_status", "name", "org_unit")]
        return {row[at[0]]: Owner(row[at[1]], (row[at[2]], row[at[3]])) for row in table}
