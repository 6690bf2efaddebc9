"""What the page says in words, from its figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from kaltura_archiver.insight import charts
from kaltura_archiver.insight.figures import Figures, Place, Table
from kaltura_archiver.model import iso_date
from kaltura_archiver.output.tables import Cell, readable_bytes
from kaltura_archiver.redact import one_line

PROSE_COLUMNS = frozenset({"what to do", "what is wrong"})


def bytes_text(size: float) -> str:
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


def time_text(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _number_of(number: int, noun: str) -> str:
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


def about_text(figures: Figures, selection: str, *, cut: bool) -> str:
    log = (
        f"The run log covers {_number_of(figures.runs, 'run')} since {iso_date(figures.log_since)}."
        if figures.log_since is not None
        else "There is no run log yet: what happened over time is not known."
    )
    what = _number_of(figures.entries, f"{one_line(selection)} entry")
    part = " These are the first of them, and more match." if cut else ""
    return f"{what} as of {time_text(figures.now)}.{part} {log}"


@dataclass(frozen=True)
class _Figure:
    name: str
    big: str
    more: str


def big_figures(figures: Figures) -> list[_Figure]:
    f, currency = figures, figures.currency
    archived = _Figure(
        "Archived in S3",
        bytes_text(f.stored_bytes),
        f"{_number_of(f.stored_entries, 'entry')} of {f.entries:,}; {bytes_text(f.freed_bytes)} of it freed in Kaltura "
        f"({_number_of(f.freed_entries, 'entry')})",
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
        restored = _Figure("Brought back, last 12 months", f"{f.restores_year:,}", waits_text(f))
    healthy = _Figure(
        "Healthy",
        _share(f.healthy, f.entries),
        f"{_needs_attention(f)} {_verified(f)}",
    )
    return [archived, saved, restored, healthy]


def _needs_attention(figures: Figures) -> str:
    """`2 of 300 entries need attention, 1 of them lost.`"""
    number, lost = figures.troubled_entries, figures.lost
    if not number:
        return "Nothing needs attention."
    text = f"{number:,} of {_number_of(figures.entries, 'entry')} {'needs' if number == 1 else 'need'} attention"
    return f"{text}, {lost:,} of them lost." if lost else f"{text}."


def _verified(figures: Figures) -> str:
    """How much of what S3 has was read back and found whole, and how long ago that may be."""
    if not figures.stored_entries:
        return "There are no copies to be verified yet."
    if figures.oldest_verified is None:
        return "No copy is known to be verified."
    share = _share(figures.verified_bytes, figures.stored_bytes)
    return f"Of the copies {share} were verified, the longest ago on {iso_date(figures.oldest_verified)}."


def _pays_from(figures: Figures) -> str:
    if figures.pays_from is None:
        return "Nothing is freed in Kaltura yet."
    return f"It pays from a Kaltura price of {figures.pays_from:.3g} {figures.currency} per GB and month on."


def waits_text(figures: Figures) -> str:
    median, most = figures.median_wait, figures.waited(0.9)
    if median is None or most is None:
        return "No viewer is known to have waited"
    return f"Half of the viewers waited less than {duration_text(median)}, nine of ten less than {duration_text(most)}"


def intro_texts(figures: Figures) -> Mapping[str, str]:
    f = figures
    money = (
        "What Kaltura would ask for the storage that was freed there, less what S3 asks, at the prices given below."
        if f.avoided_month is not None
        else "What S3 asks. What was saved in Kaltura is not told: no Kaltura price was given."
    )
    if f.money is None:
        money += " By month it is told as soon as there is a run log."
    if f.log_since is None:
        restores = "There is no run log yet."
    else:
        restores = f"In the last 12 months {_number_of(f.restores_year, 'original')} came back. {waits_text(f)}."
        if f.ripe_replaced:
            restores += (
                f" Of {_number_of(f.ripe_replaced, 'original')} replaced more than a year ago, {f.ripe_restored:,} "
                f"({_share(f.ripe_restored, f.ripe_replaced)}) came back within 12 months."
            )
    health = f"{_needs_attention(f)} {_verified(f)}"
    rows = (
        "All entries of this report."
        if len(f.rows) == f.entries
        else f"{len(f.rows):,} of {f.entries:,} entries: those that need attention, then the largest."
    )
    return {
        "where": "An original is in Kaltura, in both, or in S3 alone while Kaltura holds a small placeholder. Sizes "
        "are those of originals: what Kaltura makes of them comes on top.",
        "money": money,
        "restores": restores,
        "owners": "By the size of their videos, wherever these are.",
        "health": health,
        "entries": rows,
    }


def says_places(table: Table | None, lost: int) -> str:
    if table is None or table.total is None:
        return ""
    sums = {place: _number(cell) for place, cell in zip(Place, table.total[-len(Place) :], strict=True)}
    told = [f"{bytes_text(size)} {place}" for place, size in sums.items() if size and place is not Place.TROUBLE]
    if sums[Place.TROUBLE]:
        told.append(f"{bytes_text(sums[Place.TROUBLE])} that need attention")
    missing = f" Lost: {_number_of(lost, 'video')}, of a size that is not known." if lost else ""
    return f"{', '.join(told) or 'No video'}.{missing}"


def _number(cell: Cell) -> float:
    return cell if isinstance(cell, int | float) else 0


def says_growth(table: Table | None, log_since: int | None) -> str:
    if table is None:
        return ""
    library, held, stored = (bytes_text(_number(cell)) for cell in table.rows[-1][1:])
    text = f"All videos: {library}; Kaltura holds {held} of them, S3 {stored}."
    return text + ("" if log_since is None else f" What is where is known since {iso_date(log_since)[:7]}.")


def says_money(figures: Figures) -> str:
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


def says_restores(figures: Figures) -> str:
    if figures.restores is None or figures.restores.total is None:
        return ""
    _, entries, after_play, size = figures.restores.total
    came = f"{_number_of(int(_number(entries)), 'original')} ({bytes_text(_number(size))})"
    since = figures.restores.rows[0][0]
    return f"{came} since {since}, {_number(after_play):,} of them after a viewer had played the placeholder."


def says_regret(figures: Figures) -> str:
    if not figures.ripe_replaced:
        return "Share of replaced originals that were back within 12 months; for all of them this time is not over yet."
    return (
        f"{_share(figures.ripe_restored, figures.ripe_replaced)} of what was replaced more than a year ago was back "
        "within 12 months."
    )


def says_top(table: Table | None) -> str:
    if table is None or table.total is None:
        return ""
    top, total = sum(_number(row[-1]) for row in table.rows[: charts.BARS]), _number(table.total[-1])
    many = min(charts.BARS, len(table.rows))
    return f"The {many} largest have {_share(int(top), int(total))} of all {bytes_text(total)}." if many > 1 else ""


def says_verification(table: Table | None) -> str:
    if table is None or table.total is None:
        return ""
    total, never = _number(table.total[2]), _number(table.rows[-1][2])
    part = _share(int(total - never), int(total))
    return f"{part} of {bytes_text(total)} in S3 was read back and found whole at some time."


def troubled_summary(figures: Figures) -> str:
    listed, all_ = len(figures.troubled.rows) if figures.troubled else 0, figures.troubled_entries
    return "The entries" if listed == all_ else f"The first {listed:,} entries, the worst first"
