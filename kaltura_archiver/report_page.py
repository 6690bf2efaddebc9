"""The report as one HTML file: figures and charts in, a page out that needs nothing else and asks nobody.

What comes from Kaltura is hostile. Jinja2 escapes it in HTML, Vega in SVG, `tojson` in the embedded JSON, and in CSV
a cell that a spreadsheet would take for a formula begins with an apostrophe. The page's policy lets only its own style
and script run, by their hashes.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from kaltura_archiver import __version__, charts
from kaltura_archiver.figures import (
    DAYS,
    MONTHS,
    NEVER_VERIFIED,
    TIER,
    TOP,
    Cell,
    Column,
    Figures,
    Place,
    Row,
    Table,
    Unit,
)
from kaltura_archiver.model import iso_date
from kaltura_archiver.redact import one_line
from kaltura_archiver.report import csv_cell, readable_bytes

ASSETS = Path(__file__).with_name("page")
TITLE = "Kaltura archive"


@dataclass(frozen=True)
class Chart:
    """A chart, wide and narrow, what it says in a sentence, and the table that it was drawn from."""

    table: Table
    says: str
    wide: Markup
    narrow: Markup


def make_page(figures: Figures, *, selection: str, prices_of: str) -> str:
    """The whole page. `selection` says what was looked at, `prices_of` the date of the prices."""
    environment = Environment(loader=FileSystemLoader(ASSETS), autoescape=True, undefined=StrictUndefined)
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "ensure_ascii": False}
    css, script = _asset("report.css"), _asset("report.js")
    pools = _Pools(figures.rows)
    template = environment.get_template("report.html")
    currency = figures.currency
    return template.render(
        policy=f"{_POLICY}; style-src {_hash(css)}; script-src {_hash(script)}",
        css=Markup(css),  # noqa: S704 - our own file
        script=Markup(script),  # noqa: S704 - our own file
        title=TITLE,
        date=iso_date(figures.now),
        about=_about(figures, selection),
        sections=_SECTIONS,
        figures=_big_figures(figures),
        intro=_intros(figures),
        charts=_charts(figures),
        saves=figures.avoided_month is not None,
        monthly=figures.monthly,
        trouble=figures.trouble,
        troubled=figures.troubled,
        troubled_summary=_troubled_summary(figures),
        selects=_selects(figures, pools),
        heads=_HEADS,
        prices_of=prices_of,
        months=MONTHS,
        top=TOP,
        tier=TIER,
        days=DAYS,
        made_by=f"Made by kaltura-archiver {__version__}, {_time(figures.now)}.",
        data=pools.data(),
        shown=lambda cell, column: shown(cell, column.unit, currency),
        style=_style,
        csv_link=csv_link,
    )


_POLICY = "default-src 'none'; base-uri 'none'; form-action 'none'"
_SECTIONS = (
    ("where", "What is where"), ("money", "Money"), ("restores", "Brought back"), ("owners", "Owners"),
    ("health", "Health"), ("list", "Entries"), ("notes", "How these figures are made"),
)  # fmt: skip
_HEADS = (
    ("name", "Video", False), ("state", "State", False), ("size", "Size", True), ("played", "Last played", True),
    ("plays", "Plays", True), ("created", "Created", True), ("owner", "Owner", False), ("category", "Category", False),
    ("verified", "Verified", True),
)  # fmt: skip
_PROSE = frozenset({"what to do", "what is wrong"})


def _style(column: Column) -> str:
    """The class of a column's cells."""
    if column.name in _PROSE:
        return "prose"
    return "text" if column.unit is Unit.TEXT else "number"


def _asset(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


# Numbers for people


def shown(cell: Cell, unit: Unit, currency: str) -> str:
    """A cell as a person reads it; empty for what is not known."""
    if cell is None:
        return ""
    if isinstance(cell, str):
        return one_line(cell)
    if unit is Unit.BYTES:
        return _bytes(cell)
    if unit is Unit.MONEY:
        return money_text(cell, currency)
    if unit is Unit.SHARE:
        return f"{cell:.1%}"
    return f"{cell:,}"


def _bytes(size: float) -> str:
    return readable_bytes(round(size))


def money_text(sum_: float, currency: str) -> str:
    """`1,235 USD`, sums below 100 with cents."""
    rounded = round(sum_, 2) + 0.0  # not -0.0
    return f"{rounded:,.0f} {currency}" if abs(rounded) >= 100 or not rounded else f"{rounded:,.2f} {currency}"


def duration_text(seconds: float) -> str:
    """`5 hours`, `2 days`: the two or three digits that matter."""
    for size, name, few in ((86400, "day", 2), (3600, "hour", 1), (60, "minute", 1)):
        if seconds >= size * few:
            number = seconds / size
            text = f"{number:.0f}" if number >= 10 or name == "minute" else f"{number:.1f}".removesuffix(".0")
            return f"{text} {name}{'' if text == '1' else 's'}"
    return "a minute"


def _time(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _count(number: int, noun: str) -> str:
    """`1 entry`, `1,234 entries`."""
    one = number == 1
    plural = f"{noun.removesuffix('y')}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number:,} {noun if one else plural}"


def _share(part: int, whole: int) -> str:
    """A percentage that says 100 only if it is all, and 0 only if it is nothing."""
    percent = 100 * part / whole if whole else 0.0
    if 0 < part < whole:
        percent = min(max(percent, 0.01), 99.99)
    return f"{percent:.3g} %" if percent < 99 or percent == 100 else f"{percent:.2f} %"


# CSV


def csv_text(table: Table) -> str:
    """The table as CSV, in plain numbers: bytes, fractions, sums. The total is left to the spreadsheet."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\r\n")
    writer.writerow(
        f"{column.name} ({column.unit})" if column.unit in _UNITS_TOLD else column.name for column in table.columns
    )
    writer.writerows([map(_csv_cell, row) for row in table.rows])
    return stream.getvalue()


_UNITS_TOLD = (Unit.BYTES,)


def _csv_cell(cell: Cell) -> Cell:
    return csv_cell(cell, numbers=False, breaks="\r\n\t") if isinstance(cell, str) else cell


def csv_link(table: Table) -> str:
    # With a mark by which spreadsheets know UTF-8.
    return "data:text/csv;charset=utf-8," + quote("\ufeff" + csv_text(table), safe="", errors="replace")


# What the page says


def _about(figures: Figures, selection: str) -> str:
    log = (
        f"The run log covers {_count(figures.runs, 'run')} since {iso_date(figures.log_since)}."
        if figures.log_since is not None
        else "There is no run log yet: what happened over time is not known."
    )
    return f"{figures.entries:,} {one_line(selection)} as they were on {_time(figures.now)}. {log}"


@dataclass(frozen=True)
class _Figure:
    name: str
    big: str
    more: str


def _big_figures(figures: Figures) -> list[_Figure]:
    f, currency = figures, figures.currency
    archived = _Figure(
        "Archived in S3",
        _bytes(f.stored_bytes),
        f"{_count(f.stored_entries, 'entry')} of {f.entries:,}; {_bytes(f.freed_bytes)} of it freed in Kaltura "
        f"({_count(f.freed_entries, 'entry')})",
    )
    costs = f"{money_text(f.storage_month, currency)} for S3"
    if f.handling_month:
        costs += f" and {money_text(f.handling_month, currency)} for copying and bringing back"
    if f.net_month is None:
        saved = _Figure(
            "Cost per month",
            money_text(f.storage_month + f.handling_month, currency),
            f"{costs}. {_pays_from(f)}",
        )
    else:
        avoided = f"{money_text(f.avoided_month or 0, currency)} of Kaltura storage avoided"
        saved = _Figure("Saved per month, net", money_text(f.net_month, currency), f"{avoided}, less {costs}")
    if f.log_since is None:
        restored = _Figure("Brought back, last 12 months", "not known", "There is no run log yet.")
    else:
        restored = _Figure("Brought back, last 12 months", f"{f.restores_year:,}", _waits_text(f))
    healthy = _Figure(
        "Healthy",
        _share(f.healthy, f.entries),
        f"{_count(f.troubled_entries, 'entry')} {'needs' if f.troubled_entries == 1 else 'need'} attention. "
        + (
            f"Copies last verified {iso_date(f.last_verified)}"
            if f.last_verified
            else "No copy is known to be verified"
        ),
    )
    return [archived, saved, restored, healthy]


def _pays_from(figures: Figures) -> str:
    if figures.pays_from is None:
        return "Nothing is freed in Kaltura yet."
    return f"It pays from a Kaltura price of {figures.pays_from:.3g} {figures.currency} per GB and month on."


def _waits_text(figures: Figures) -> str:
    median, most = figures.median_wait, figures.waited(0.9)
    if median is None or most is None:
        return "No viewer is known to have waited"
    return f"Half of the viewers waited less than {duration_text(median)}, nine of ten less than {duration_text(most)}"


def _intros(figures: Figures) -> Mapping[str, str]:
    f = figures
    money = (
        "What Kaltura would ask for the storage that was freed there, less what S3 asks, at the prices given below."
        if f.avoided_month is not None
        else "What S3 asks. What was saved in Kaltura is not told: no Kaltura price was given (--kaltura-price)."
    )
    if f.money is None:
        money += " By month it is told as soon as there is a run log."
    if f.log_since is None:
        restores = "There is no run log yet."
    else:
        restores = f"In the last 12 months {_count(f.restores_year, 'original')} came back. {_waits_text(f)}."
        if f.ripe_replaced:
            restores += (
                f" Of {_count(f.ripe_replaced, 'original')} replaced more than a year ago, {f.ripe_restored:,} "
                f"({_share(f.ripe_restored, f.ripe_replaced)}) came back within 12 months."
            )
    if f.troubled_entries:
        health = f"{f.troubled_entries:,} of {_count(f.entries, 'entry')} need attention."
    else:
        health = f"All {f.entries:,} entries are healthy."
    rows = (
        "All entries of this report."
        if len(f.rows) == f.entries
        else f"{len(f.rows):,} of {f.entries:,} entries: those that need attention, then the largest (--rows)."
    )
    return {
        "where": "An original is in Kaltura, in both, or in S3 alone while Kaltura holds a small placeholder. Sizes "
        "are those of originals: what Kaltura makes of them comes on top (stats counts that, too).",
        "money": money,
        "restores": restores,
        "owners": "By the size of their videos, wherever these are."
        + ("" if f.has_units else " Units are told with --enriched FILE."),
        "health": health,
        "entries": rows,
    }


def _charts(figures: Figures) -> Mapping[str, Chart]:
    """The charts that there is something to show for, by the ids that the template knows."""
    f, currency = figures, figures.currency
    made: dict[str, Chart] = {}

    def add(id: str, table: Table | None, says: str, make: Any) -> None:
        if table is not None and table.rows:
            wide, narrow = charts.draw(make(table))
            # Vega has escaped what is text in it.
            made[id] = Chart(table, says, Markup(wide), Markup(narrow))  # noqa: S704

    add("places", f.places, _says_places(f.places), charts.places)
    add("growth", f.growth, _says_growth(f.growth, f.log_since), charts.growth)
    add("money", f.money, _says_money(f), lambda table: charts.money(table, currency))
    add("restores", f.restores, _says_restores(f), lambda table: charts.columns_by_month(table, 1))
    add("waiting", f.waiting, f"{_waits_text(f)}.", lambda table: _bars(table, 1, lambda row: f"{row[1]:,}"))
    add("regrets", f.regrets, _says_regret(f), charts.regrets)
    add("units", f.units, _says_top(f.units), charts.owners)
    add("owners", f.owners, _says_top(f.owners), charts.owners)
    add("verification", f.verification, _says_verification(f.verification), lambda table: _bars(
        table, 2, lambda row: _bytes(row[2])
    ))  # fmt: skip
    return made


def _bars(table: Table, cell: int, text: Any) -> charts.Draw:
    colours = ["var(--kaltura)" if row[0] == NEVER_VERIFIED else "var(--both)" for row in table.rows]
    labels = [str(row[0]) for row in table.rows]
    numbers = [float(row[cell] or 0) for row in table.rows]
    return charts.bars(labels, numbers, [text(row) for row in table.rows], colours)


def _says_places(table: Table | None) -> str:
    if table is None or table.total is None:
        return ""
    sums = {place: _number(cell) for place, cell in zip(Place, table.total[-len(Place) :], strict=True)}
    told = [f"{_bytes(size)} {place}" for place, size in sums.items() if size and place is not Place.TROUBLE]
    trouble = f"; {_bytes(sums[Place.TROUBLE])} need attention" if sums[Place.TROUBLE] else ""
    return f"{', '.join(told) or 'No video'}{trouble}."


def _number(cell: Cell) -> float:
    return cell if isinstance(cell, int | float) else 0


def _says_growth(table: Table | None, log_since: int | None) -> str:
    if table is None:
        return ""
    library, held, stored = (_bytes(_number(cell)) for cell in table.rows[-1][1:])
    text = f"All videos: {library}; Kaltura holds {held} of them, S3 {stored}."
    return text + ("" if log_since is None else f" What is where is known since {iso_date(log_since)[:7]}.")


def _says_money(figures: Figures) -> str:
    if figures.money is None or figures.money.total is None:
        return ""
    _, avoided, storage, copying, bringing, net = figures.money.total
    costs = _number(storage) + _number(copying) + _number(bringing)
    since = figures.money.rows[0][0]
    if net is None:
        return f"S3 has cost {money_text(costs, figures.currency)} since {since}."
    return (
        f"Since {since}: {money_text(_number(avoided), figures.currency)} avoided, "
        f"{money_text(costs, figures.currency)} spent, {money_text(_number(net), figures.currency)} saved."
    )


def _says_restores(figures: Figures) -> str:
    if figures.restores is None or figures.restores.total is None:
        return ""
    _, entries, after_play, size = figures.restores.total
    came = f"{_count(int(_number(entries)), 'original')} ({_bytes(_number(size))})"
    since = figures.restores.rows[0][0]
    return f"{came} since {since}, {_number(after_play):,} of them after a viewer had played the placeholder."


def _says_regret(figures: Figures) -> str:
    if not figures.ripe_replaced:
        return "Share of replaced originals that were back within 12 months; for all of them this time is not over yet."
    return (
        f"{_share(figures.ripe_restored, figures.ripe_replaced)} of what was replaced more than a year ago was back "
        "within 12 months."
    )


def _says_top(table: Table | None) -> str:
    if table is None or table.total is None:
        return ""
    top, total = sum(_number(row[-1]) for row in table.rows[: charts.BARS]), _number(table.total[-1])
    many = min(charts.BARS, len(table.rows))
    return f"The {many} largest have {_share(int(top), int(total))} of all {_bytes(total)}." if many > 1 else ""


def _says_verification(table: Table | None) -> str:
    if table is None or table.total is None:
        return ""
    total, never = _number(table.total[2]), _number(table.rows[-1][2])
    part = _share(int(total - never), int(total))
    return f"{part} of {_bytes(total)} in S3 was read back and found whole at some time."


def _troubled_summary(figures: Figures) -> str:
    listed, all_ = len(figures.troubled.rows) if figures.troubled else 0, figures.troubled_entries
    return "The entries" if listed == all_ else f"The first {listed:,} entries, the worst first"


# The table of entries


def _selects(figures: Figures, pools: _Pools) -> Iterable[tuple[str, str, Sequence[tuple[int, str]]]]:
    yield "place", "Where", [(number, place.value) for number, place in enumerate(Place)]
    yield "state", "State", pools.sorted("state")
    if figures.has_units:
        yield "unit", "Unit", pools.sorted("unit")


def _day(at: int | None) -> int | None:
    """Days since 1970, which is how the page keeps dates."""
    return None if at is None else at // 86400


class _Pools:
    """The texts that many rows share, each kept once."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.values: dict[str, dict[str, int]] = {}
        self.rows = [
            [
                row.item.entry_id, one_line(row.item.name), self._at("owner", row.owner), self._at("unit", row.unit),
                self._at("category", row.item.categories), _day(row.item.created_at),
                _day(row.item.last_played_at), row.item.plays,
                self._at("state", row.item.state), list(Place).index(row.place), row.bytes, _day(row.verified_at),
                self._at("hint", "" if row.item.healthy else row.item.hint or row.item.why),
            ]
            for row in rows
        ]  # fmt: skip

    def _at(self, pool: str, text: str) -> int:
        return self.values.setdefault(pool, {}).setdefault(one_line(text), len(self.values[pool]))

    def sorted(self, pool: str) -> list[tuple[int, str]]:
        found = sorted((text.casefold(), number, text) for text, number in self.values.get(pool, {}).items())
        return [(number, text or "none") for _, number, text in found]

    def data(self) -> Mapping[str, Any]:
        names = ("owner", "unit", "category", "state", "hint")
        return {"pools": {name: list(self.values.get(name, {})) for name in names}, "rows": self.rows}
