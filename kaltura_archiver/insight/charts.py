"""Charts of a report's tables: SVG by Vega-Lite (vl-convert), coloured by the page's CSS variables."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import vl_convert

from kaltura_archiver.insight.figures import Place, Table
from kaltura_archiver.output.tables import Cell
from kaltura_archiver.redact import one_line

# Pixels; each chart is drawn for the page's column and for a telephone.
WIDE, NARROW = 544, 336
# Owners and units that a chart shows.
BARS = 10
# So many months each have room for a name.
FEW = 6
PLACE_COLOURS = {
    Place.KALTURA: "var(--kaltura)", Place.BOTH: "var(--both)", Place.S3: "var(--s3)", Place.TROUBLE: "var(--trouble)",
}  # fmt: skip
_BYTE_UNITS = ((2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"), (1, "B"))

# A chart's Vega-Lite of a width, without what all have in common.
Draw = Callable[[int], dict[str, Any]]

# Texts are given room for this size and shown in that one: not every machine has a font as narrow as Arial.
_MEASURED, _SHOWN = 14.4, 12
_TEXT = {"labelColor": "var(--soft)", "titleColor": "var(--soft)", "labelFontSize": _MEASURED,
         "titleFontSize": _MEASURED, "titleFontWeight": "normal"}  # fmt: skip
_CONFIG: dict[str, Any] = {
    "aria": False,  # the page describes the chart, and has its table
    "background": None,
    "font": "Liberation Sans",  # its widths are Arial's and Helvetica's
    "view": {"stroke": None},
    "axis": _TEXT | {
        "gridColor": "var(--grid)", "domainColor": "var(--line)", "ticks": False, "labelPadding": 6, "domain": False,
    },
    "legend": _TEXT | {
        "orient": "top", "title": None, "symbolType": "square", "symbolSize": 120, "labelLimit": 0, "columnPadding": 24,
        "offset": 26, "labelOffset": 8,
        "labelColor": "var(--ink)", "symbolStrokeWidth": 0,
    },
    "text": {"color": "var(--ink)", "fontSize": _MEASURED},
}  # fmt: skip


def draw(chart: Draw) -> tuple[str, str]:
    """The chart as two SVG elements, wide and narrow, without anything that a strict policy would refuse."""
    return _svg(chart(WIDE), WIDE), _svg(chart(NARROW), NARROW)


def _svg(spec: dict[str, Any], width: int) -> str:
    # Of a legend: below each other where there is no room beside each other.
    legend = _CONFIG["legend"] | ({} if width == WIDE else {"columns": 1})
    whole = {
        "width": width,
        "height": 240,
        "autosize": {"type": "fit", "contains": "padding"},
        "config": _CONFIG | {"legend": legend},
        **spec,
    }
    svg = vl_convert.vegalite_to_svg(whole, allowed_base_urls=[])
    svg = svg.replace(f'font-size="{_MEASURED}px"', f'font-size="{_SHOWN}px"')
    # Where a size is drawn is the page's business; the names are for XML.
    return re.sub(
        r"^<svg[^>]*?(width=\S+ height=\S+ viewBox=\"[^\"]*\")>", r'<svg aria-hidden="true" \1>', svg, count=1
    )


def byte_unit(sizes: Iterable[Cell]) -> tuple[int, str]:
    """The unit in which the largest of these sizes is at least 1: its bytes and its name."""
    largest = max((abs(size) for size in sizes if isinstance(size, int | float)), default=0)
    return next((unit for unit in _BYTE_UNITS if largest >= unit[0]), _BYTE_UNITS[-1])


def _axis(**settings: Any) -> dict[str, Any]:
    return {"title": None, **settings}


def _values(title: str, **settings: Any) -> dict[str, Any]:
    return _axis(
        title=title, titleAnchor="end", titleAngle=0, titleAlign="left", titleX=0, titleY=-10, tickCount=5, **settings
    )


def _months(width: int, table: Table) -> dict[str, Any]:
    """The axis of the months in the table's first column: of up to 36 only Januaries have room, and the first month
    where none of them is near; a few are all named."""
    months = [str(row[0]) for row in table.rows]
    near = months[1 : 2 + len(months) // FEW]
    named = {month: month[:4] for month in months if month.endswith("-01")}
    if len(months) <= FEW:
        named = {month: month for month in months}
    elif not any(month in named for month in near):
        named = {months[0]: months[0]} | named
    expression = f"({json.dumps(named)})[datum.value] || ''"
    return _axis(labelAngle=0, labelExpr=expression, labelOverlap=width < WIDE, grid=False)


def _palette(names: Sequence[str], colours: Sequence[str]) -> dict[str, Any]:
    return {"domain": list(names), "range": list(colours)}


def places(table: Table) -> Draw:
    """Stacked columns: how large the videos of each year are, by where they are."""
    names = [place.value for place in Place]
    sizes = [list(row[-len(names) :]) for row in table.rows]
    unit, unit_name = byte_unit(sum(_numbers(row)) for row in sizes)
    rows = [
        {"year": row[0], "place": name, "n": number, "size": size / unit}
        for row, cells in zip(table.rows, sizes, strict=True)
        for number, (name, size) in enumerate(zip(names, _numbers(cells), strict=True))
    ]
    colour = {"field": "place", "type": "nominal", "scale": _palette(names, list(PLACE_COLOURS.values()))}

    def spec(width: int) -> dict[str, Any]:
        return {
            "data": {"values": rows},
            "mark": {"type": "bar", "stroke": "var(--paper)", "strokeWidth": 1},
            "encoding": {
                "x": {"field": "year", "type": "ordinal", "axis": _axis(labelAngle=0, labelOverlap=True),
                      "scale": {"paddingInner": 0.15}},
                "y": {"field": "size", "type": "quantitative", "axis": _values(unit_name)},
                "color": colour,
                "order": {"field": "n"},
            },
        }  # fmt: skip

    return spec


def growth(table: Table) -> Draw:
    """Lines: all videos, what of them Kaltura holds, and the copies in S3."""
    names = [column.name for column in table.columns[1:]]
    unit, unit_name = byte_unit(cell for row in table.rows for cell in row[1:])
    rows = [
        {"month": row[0], "what": name, "size": cell / unit}
        for row in table.rows
        for name, cell in zip(names, row[1:], strict=True)
        if isinstance(cell, int | float)
    ]
    domain = [row[0] for row in table.rows]
    # A line of one month would not be seen.
    point = {"size": 30} if sum(row[2] is not None for row in table.rows) < 2 else False
    dashes = [[2, 3], [1, 0], [7, 3]]
    colours = ["var(--soft)", "var(--both)", "var(--s3)"]

    def spec(width: int) -> dict[str, Any]:
        return {
            "data": {"values": rows},
            "mark": {"type": "line", "strokeWidth": 2.5, "point": point},
            "encoding": {
                "x": {"field": "month", "type": "ordinal", "axis": _months(width, table), "scale": {"domain": domain}},
                "y": {"field": "size", "type": "quantitative", "axis": _values(unit_name)},
                "color": {"field": "what", "type": "nominal", "scale": _palette(names, colours),
                          "legend": {"symbolType": "stroke", "symbolStrokeWidth": 3, "symbolSize": 300}},
                "strokeDash": {"field": "what", "type": "nominal", "scale": {"domain": names, "range": dashes}},
            },
        }  # fmt: skip

    return spec


def money_chart(table: Table, currency: str) -> Draw:
    """Columns: what each month saved, or, where no Kaltura price is known, what it cost."""
    net = [row[0:1] + row[-1:] for row in map(list, table.rows)]
    saved = all(isinstance(cell, int | float) for _, cell in net)
    costs = table.columns[2:5]
    if saved:
        rows = [{"month": month, "sum": cell, "what": "net"} for month, cell in net]
    else:
        rows = [
            {"month": row[0], "sum": cell, "what": column.name, "n": number}
            for row in table.rows
            for number, (column, cell) in enumerate(zip(costs, row[2:5], strict=True))
        ]

    def spec(width: int) -> dict[str, Any]:
        colour: dict[str, Any] = {
            "condition": {"test": "datum.sum < 0", "value": "var(--trouble)"}, "value": "var(--s3)",
        }  # fmt: skip
        if not saved:
            colours = ["var(--s3)", "var(--both)", "var(--trouble)"]
            colour = {"field": "what", "type": "nominal", "scale": _palette([c.name for c in costs], colours)}
        return {
            "data": {"values": rows},
            "mark": {"type": "bar"},
            "encoding": {
                "x": {
                    "field": "month",
                    "type": "ordinal",
                    "axis": _months(width, table),
                    "scale": {"paddingInner": 0.2},
                },
                "y": {"field": "sum", "type": "quantitative", "axis": _values(currency)},
                "color": colour,
            },
        }

    return spec


def columns_by_month(table: Table, cell: int) -> Draw:
    """Columns of the numbers in one column of the table, by month."""
    rows = [{"month": row[0], "number": row[cell]} for row in table.rows]

    def spec(width: int) -> dict[str, Any]:
        return {
            "data": {"values": rows},
            "mark": {"type": "bar", "color": "var(--both)"},
            "encoding": {
                "x": {
                    "field": "month",
                    "type": "ordinal",
                    "axis": _months(width, table),
                    "scale": {"paddingInner": 0.2},
                },
                "y": {
                    "field": "number",
                    "type": "quantitative",
                    "axis": _values("entries", tickMinStep=1, format=",d"),
                },
            },
        }

    return spec


def regrets(table: Table) -> Draw:
    """Columns: the share of each quarter's replacements that was wanted back; paler where the year is not over."""
    rows = [
        {"quarter": row[0], "share": row[3], "label": f"{row[2]} of {row[1]}", "over": row[4] == "yes"}
        for row in table.rows
    ]
    names = {"true": "12 months are over", "false": "so far"}

    def spec(width: int) -> dict[str, Any]:
        expression = "slice(datum.value, 5) == 'Q1' ? slice(datum.value, 0, 4) : slice(datum.value, 5)"
        return {
            "data": {"values": [row | {"over": names[str(row["over"]).lower()]} for row in rows]},
            "mark": {"type": "bar"},
            "encoding": {
                "x": {"field": "quarter", "type": "ordinal", "scale": {"paddingInner": 0.2},
                      "axis": _axis(labelAngle=0, labelExpr=expression, labelOverlap=width < WIDE)},
                "y": {"field": "share", "type": "quantitative", "axis": _values("restored", format=".1~%")},
                "color": {"field": "over", "type": "nominal",
                          "scale": _palette(list(names.values()), ["var(--both)", "var(--kaltura)"])},
            },
        }  # fmt: skip

    return spec


def bars(labels: Sequence[str], numbers: Sequence[float], shown: Sequence[str], colours: Sequence[str]) -> Draw:
    """Horizontal bars, a row each, with what is to be written beside them."""
    rows = [
        {"label": label, "number": number, "shown": text, "colour": colour}
        for label, number, text, colour in zip(labels, numbers, shown, colours, strict=True)
    ]

    def spec(width: int) -> dict[str, Any]:
        return _horizontal(rows, width, {"field": "colour", "type": "nominal", "scale": None})

    return spec


def owners(table: Table) -> Draw:
    """Horizontal stacked bars of the first rows: what Kaltura holds, and what was freed there."""
    top = list(table.rows[:BARS])
    unit, unit_name = byte_unit(row[-1] for row in top)
    names = ["in Kaltura", "freed in Kaltura"]

    def spec(width: int) -> dict[str, Any]:
        labels = unique_labels([str(row[0]) for row in top], 34 if width == WIDE else 26)
        rows = [
            {"label": label, "what": name, "n": number, "number": _numbers([cell])[0] / unit,
             "shown": f"{_numbers(row[-1:])[0] / unit:.3g} {unit_name}" if number else ""}
            for label, row in zip(labels, top, strict=True)
            for number, (name, cell) in enumerate(zip(names, row[-3:-1], strict=True))
        ]  # fmt: skip
        colour = {"field": "what", "type": "nominal", "scale": _palette(names, ["var(--kaltura)", "var(--s3)"])}
        return _horizontal(rows, width, colour | {"sort": names})

    return spec


def _horizontal(rows: list[dict[str, Any]], width: int, colour: dict[str, Any]) -> dict[str, Any]:
    labels = list(dict.fromkeys(row["label"] for row in rows))
    y = {"field": "label", "type": "nominal", "sort": labels, "scale": {"paddingInner": 0.3},
         "axis": _axis(labelLimit=width // 2, labelColor="var(--ink)")}  # fmt: skip
    largest = max((sum(r["number"] for r in rows if r["label"] == label) for label in labels), default=0)
    # Room for what is written at the end of the longest bar.
    x = {
        "field": "number",
        "type": "quantitative",
        "axis": None,
        "scale": {"domain": [0, (largest or 1) * (1.25 if width == WIDE else 1.5)]},
    }
    bar = {
        "mark": {"type": "bar", "stroke": "var(--paper)", "strokeWidth": 1},
        "encoding": {"y": y, "x": x, "color": colour, "order": {"field": "n"}},
    }
    text = {
        "transform": [{"filter": "datum.shown != ''"}],
        "mark": {"type": "text", "align": "left", "dx": 5},
        "encoding": {"y": y, "x": x | {"field": "end"}, "text": {"field": "shown"}},
    }
    totals = {label: sum(row["number"] for row in rows if row["label"] == label) for label in labels}
    values = [row | {"end": totals[row["label"]]} for row in rows]
    return {"height": 34 * len(labels) + 30, "data": {"values": values}, "layer": [bar, text]}


def unique_labels(names: Sequence[str], most: int) -> list[str]:
    """The names on one line, cut to so many characters, no two alike."""
    labels: list[str] = []
    for name in names:
        text = one_line(name)
        label = short = text if len(text) <= most else text[: most - 1] + "…"
        number = 1
        while label in labels:
            number += 1
            label = f"{short} [{number}]"
        labels.append(label)
    return labels


def _numbers(cells: Sequence[Cell]) -> list[float]:
    return [cell if isinstance(cell, int | float) else 0 for cell in cells]
