"""The report as one HTML file: figures and charts in, a page out that needs nothing else and asks nobody.

Beside what makes every page safe (output/page.py): Vega escapes what is text in SVG, and in CSV a cell that a
spreadsheet would take for a formula begins with an apostrophe.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from kaltura_archiver import __version__
from kaltura_archiver.insight import charts
from kaltura_archiver.insight.figures import (
    DAYS,
    MONTHS,
    NEVER_VERIFIED,
    TIER,
    TOP,
    Column,
    Figures,
    PageRow,
    Place,
    Table,
    Unit,
)
from kaltura_archiver.insight.told import LOST, state_name, what_is_wrong, what_to_do
from kaltura_archiver.insight.words import (
    PROSE_COLUMNS,
    about_text,
    big_figures,
    bytes_text,
    intro_texts,
    money_text,
    says_growth,
    says_money,
    says_places,
    says_regret,
    says_restores,
    says_top,
    says_verification,
    time_text,
    troubled_summary,
    waits_text,
)
from kaltura_archiver.model import iso_date
from kaltura_archiver.output.page import environment, rendered
from kaltura_archiver.output.tables import Cell, csv_cell
from kaltura_archiver.redact import one_line

ASSETS = Path(__file__).with_name("assets")
TITLE = "Kaltura archive"


@dataclass(frozen=True)
class Chart:
    """A chart, wide and narrow, what it says in a sentence, and the table that it was drawn from."""

    table: Table
    says: str
    wide: Markup
    narrow: Markup


def make_page(
    figures: Figures, *, selection: str, prices_of: str, title: str = TITLE, criteria: str = "", cut: bool = False,
    rules: Table | None = None,
) -> str:  # fmt: skip
    """The whole page. `selection` says what was looked at, `prices_of` the date of the prices, `criteria` what was
    selected by, `cut` that a limit left entries out, `rules` where the entries of a policy's rules stand."""
    templates = environment(ASSETS)
    templates.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "ensure_ascii": False}
    pools = _Pools(figures.rows)
    currency = figures.currency
    return rendered(
        ASSETS, "report", templates,
        title=one_line(title),
        date=iso_date(figures.now),
        about=about_text(figures, selection, cut=cut),
        sections=[section for section in _SECTIONS if rules or section[0] != "rules"],
        rules=rules,
        entries=figures.entries,
        lost=figures.lost,
        lost_named=[(one_line(item.name), item.entry_id, one_line(item.owner)) for item in figures.lost_named],
        lost_says=[f"{what_is_wrong(item)} {what_to_do(item)}" for item in figures.lost_named[:1]],
        lost_name=LOST,
        could_save=figures.could_save,
        figures=big_figures(figures),
        intro=intro_texts(figures),
        charts=_charts(figures),
        saves=figures.avoided_month is not None,
        monthly=figures.monthly,
        trouble=figures.trouble,
        troubled=figures.troubled,
        troubled_summary=troubled_summary(figures),
        selects=_selects(figures, pools),
        heads=_HEADS,
        prices_of=prices_of,
        months=MONTHS,
        top=TOP,
        tier=TIER,
        days=DAYS,
        made_by=f"Made by kaltura-archiver {__version__}, {time_text(figures.now)}."
        + (f" Selected by: {one_line(criteria)}." if criteria else ""),
        data=pools.data(),
        shown=lambda cell, column: shown(cell, column.unit, currency),
        style=_style,
        csv_link=csv_link,
    )  # fmt: skip


_SECTIONS = (
    ("where", "What is where"), ("money", "Money"), ("restores", "Brought back"), ("owners", "Owners"),
    ("rules", "Rules"), ("health", "Health"), ("list", "Entries"), ("notes", "How these figures are made"),
)  # fmt: skip


def _style(column: Column) -> str:
    """The class of a column's cells."""
    if column.name in PROSE_COLUMNS:
        return "prose"
    return "text" if column.unit is Unit.TEXT else "number"


def _charts(figures: Figures) -> Mapping[str, Chart]:
    """The charts that there is something to show for, by the ids that the template knows."""
    f, currency = figures, figures.currency
    made: dict[str, Chart] = {}

    def add(id: str, table: Table | None, says: str, make: Any) -> None:
        if table is not None and table.rows:
            wide, narrow = charts.draw(make(table))
            # Vega has escaped what is text in it.
            made[id] = Chart(table, says, Markup(wide), Markup(narrow))  # noqa: S704

    add("places", f.places, says_places(f.places, f.lost), charts.places)
    add("growth", f.growth, says_growth(f.growth, f.log_since), charts.growth)
    add("money", f.money, says_money(f), lambda table: charts.money_chart(table, currency))
    add("restores", f.restores, says_restores(f), lambda table: charts.columns_by_month(table, 1))
    add("waiting", f.waiting, f"{waits_text(f)}.", lambda table: _bars(table, 1, lambda row: f"{row[1]:,}"))
    add("regrets", f.regrets, says_regret(f), charts.regrets)
    add("units", f.units, says_top(f.units), charts.owners)
    add("owners", f.owners, says_top(f.owners), charts.owners)
    add("verification", f.verification, says_verification(f.verification), lambda table: _bars(
        table, 2, lambda row: bytes_text(row[2])
    ))  # fmt: skip
    return made


def _bars(table: Table, cell: int, text: Any) -> charts.Draw:
    colours = ["var(--kaltura)" if row[0] == NEVER_VERIFIED else "var(--both)" for row in table.rows]
    labels = [str(row[0]) for row in table.rows]
    numbers = [float(row[cell] or 0) for row in table.rows]
    return charts.bars(labels, numbers, [text(row) for row in table.rows], colours)


class _Pools:
    """The texts that many rows share, each kept once."""

    def __init__(self, rows: Sequence[PageRow]) -> None:
        self.values: dict[str, dict[str, int]] = {}
        self.rows = [
            [
                row.item.entry_id, one_line(row.item.name), self._at("owner", row.owner), self._at("unit", row.unit),
                self._at("category", row.item.categories), _day(row.item.created_at),
                _day(row.item.last_played_at), row.item.plays,
                self._at("state", state_name(row.item)), list(Place).index(row.place), row.bytes, _day(row.verified_at),
                self._at("hint", what_to_do(row.item)), row.item.duration_seconds, self._at("source", row.item.source),
                self._at("admin_tags", row.item.admin_tags), _day(row.item.end_at),
            ]
            for row in rows
        ]  # fmt: skip

    def _at(self, pool: str, text: str) -> int:
        return self.values.setdefault(pool, {}).setdefault(one_line(text), len(self.values[pool]))

    def sorted(self, pool: str) -> list[tuple[int, str]]:
        found = sorted((text.casefold(), number, text) for text, number in self.values.get(pool, {}).items())
        return [(number, text or "none") for _, number, text in found]

    def data(self) -> Mapping[str, Any]:
        names = ("owner", "unit", "category", "state", "hint", "source", "admin_tags")
        return {"pools": {name: list(self.values.get(name, {})) for name in names}, "rows": self.rows}


def _selects(figures: Figures, pools: _Pools) -> Iterable[tuple[str, str, Sequence[tuple[int, str]]]]:
    yield "place", "Where", [(number, place.value) for number, place in enumerate(Place)]
    yield "state", "State", pools.sorted("state")
    if figures.has_units:
        yield "unit", "Unit", pools.sorted("unit")


def _day(at: int | None) -> int | None:
    """Days since 1970, which is how the page keeps dates."""
    return None if at is None else at // 86400


def csv_link(table: Table) -> str:
    # With a mark by which spreadsheets know UTF-8.
    return "data:text/csv;charset=utf-8," + quote("\ufeff" + csv_text(table), safe="", errors="replace")


def _csv_cell(cell: Cell) -> Cell:
    return csv_cell(cell, numbers=False, breaks="\r\n\t") if isinstance(cell, str) else cell


def csv_text(table: Table) -> str:
    """The table as CSV, in plain numbers: bytes, fractions, sums. The total is left to the spreadsheet."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\r\n")
    writer.writerow(
        f"{column.name} ({column.unit})" if column.unit in _UNITS_TOLD else column.name for column in table.columns
    )
    writer.writerows([map(_csv_cell, row) for row in table.rows])
    return stream.getvalue()


_HEADS = (
    ("name", "Video", False), ("state", "State", False), ("size", "Size", True), ("played", "Last played", True),
    ("plays", "Plays", True), ("created", "Created", True), ("owner", "Owner", False), ("category", "Category", False),
    ("verified", "Verified", True),
)  # fmt: skip
_UNITS_TOLD = (Unit.BYTES,)


def shown(cell: Cell, unit: Unit, currency: str) -> str:
    """A cell as a person reads it; empty for what is not known."""
    if cell is None:
        return ""
    if isinstance(cell, str):
        return one_line(cell)
    if unit is Unit.BYTES:
        return bytes_text(cell)
    if unit is Unit.MONEY:
        return money_text(cell, currency)
    if unit is Unit.SHARE:
        return f"{cell:.1%}"
    return f"{cell:,}"
