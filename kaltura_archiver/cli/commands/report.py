"""kaltura-archiver report"""

from __future__ import annotations

import logging
import time
from pathlib import Path

import click

from kaltura_archiver.cli.app import App, pass_app
from kaltura_archiver.cli.command_line import SelectingCommand, without_limit
from kaltura_archiver.cli.extras import need
from kaltura_archiver.cli.group import command
from kaltura_archiver.cli.options import lookers_option, price_options, selection_options
from kaltura_archiver.cli.query import after_selection, whatever_status
from kaltura_archiver.cli.types import PATH
from kaltura_archiver.criteria.what import EVERY_STATUS
from kaltura_archiver.filters import Query
from kaltura_archiver.output.files import written_whole
from kaltura_archiver.output.progress import progress

log = logging.getLogger(__name__)


@without_limit
@command("report", cls=SelectingCommand)
@selection_options
@click.option(
    "--output", "-o", default="report.html", show_default=True, type=PATH, metavar="FILE", help="The page; - is stdout."
)
@click.option("--enriched", type=PATH, metavar="FILE", help="A TSV that enrich made: names and units of the owners.")
@click.option(
    "--rows",
    type=click.IntRange(0),
    default=20_000,
    show_default=True,
    metavar="N",
    help="At most N entries in the page's table; the figures are of all.",
)
@click.option("--title", default="Kaltura archive", show_default=True, metavar="TEXT", help="What the page is called.")
@price_options
@lookers_option
@pass_app
def report(
    app: App, /, query: Query, output: str, enriched: str | None, rows: int, title: str, kaltura_price: float | None,
    price_table: Path | None, workers: int,
) -> None:  # fmt: skip
    """Write a page about the library: one HTML file that needs nothing else, to look at, print and send.

    What is where, growth and savings, restores and how long viewers waited, owners, what needs attention, and a table
    of entries to filter and sort. What happened over time is taken from the run log in the bucket; docs/report.md
    tells how each figure is made.

    \b
    Examples:
      kaltura-archiver report --kaltura-price 0.12
      kaltura-archiver list --max-entries -1 | kaltura-archiver enrich > owners.tsv
      kaltura-archiver report --enriched owners.tsv --category 123 -o category.html
      kaltura-archiver report --created-within 5 --rows 1000 -o five-years.html
    """  # fmt: skip
    need("the report", {"jinja2": "Jinja", "vl_convert": "vl-convert"}, "report")
    from kaltura_archiver.asking.keeping import keep_list
    from kaltura_archiver.insight.collector import Collector
    from kaltura_archiver.insight.history import History
    from kaltura_archiver.insight.page import make_page
    from kaltura_archiver.insight.rules import rules_table
    from kaltura_archiver.insight.stats import items
    from kaltura_archiver.people.owners import owners_of
    from kaltura_archiver.placeholders import Placeholders
    from kaltura_archiver.run import runlog
    from kaltura_archiver.run.rule_history import records
    from kaltura_archiver.selection import Selection

    prices, keep, now = app.prices(kaltura_price, price_table), keep_list(app.settings), int(time.time())
    with written_whole(output, page=True) as file:
        owner_of = owners_of(enriched) if enriched else None
        kaltura, store = app.kaltura(), app.store()
        selection = Selection(kaltura, whatever_status(query), store)
        collector = Collector(History(runlog.read(store)), prices, now=now, rows=rows, owner_of=owner_of)
        placeholders = Placeholders.read(app.settings).known()
        found = items(kaltura, store, selection, placeholders=placeholders, workers=workers, keep=keep, now=now)
        with progress("report", found, lambda: selection.expected) as counted:
            for item in counted:
                collector.add(item)
        codes = after_selection(selection)
        page = make_page(
            collector.figures(), selection=query.kind, cut=selection.cut, prices_of=str(prices.as_of), title=title,
            criteria=_selected_by(selection.query), rules=rules_table(records(store)),
        )  # fmt: skip
        size = file.write(page.encode("utf-8", errors="replace"))
    if output != "-":
        log.info("wrote %s: %d entries, %d bytes; open it in a browser", output, collector.entries, size)
    app.exit(*codes)


def _selected_by(query: Query) -> str:
    """What the page is of, where that is not the whole library: by which criteria, and which part of that."""
    usual = Query(statuses=EVERY_STATUS, media_type=query.media_type, page_size=query.page_size, max_entries=None)
    return "" if query == usual else "; ".join(filter(None, (str(query), query.part)))
