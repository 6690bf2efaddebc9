"""kaltura-archiver plan show"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import click

from kaltura_archiver.cli.command_line import OnceEach, SelectingCommand
from kaltura_archiver.cli.extras import lacks
from kaltura_archiver.cli.options import columns_of_row, columns_option
from kaltura_archiver.cli.types import PATH
from kaltura_archiver.model import Outcome, so_many
from kaltura_archiver.output.files import written_whole
from kaltura_archiver.output.rows import went_well
from kaltura_archiver.output.screen import SCREEN, coloured, columns_of_terminal, rows_as, wrapped
from kaltura_archiver.output.tables import FORMATS, Rows, aligned, cut, readable_bytes
from kaltura_archiver.redact import one_line

if TYPE_CHECKING:
    from kaltura_archiver.review.shown import ShownEntry, ShownPlan

log = logging.getLogger(__name__)
COLUMNS = ("entry_id", "name", "outcome", "bytes", "last_played", "plays", "owner", "unit", "created", "why")
MORE_COLUMNS = ("duration_seconds", "admin_tags", "source", "end_date", "categories")
# Cells of names; the rest of one tells nothing more.
_NAME_WIDTH = 32
_NUMBERS = ("bytes", "plays", "entries", "duration_seconds")
_NEXT = ": open it in a browser, untick, save; apply takes what was saved"


@click.command("show", cls=OnceEach)
@click.argument("file", metavar="PLAN", type=PATH)
@click.option("--enriched", type=PATH, metavar="FILE", help="A TSV that enrich made: names and units of the owners.")
@click.option(
    "--format", "style", type=click.Choice([*FORMATS, "html"]), default="table", show_default=True,
    help="table has sums, too, and fits a terminal; html is a page in which a reviewer unticks entries.",
)  # fmt: skip
@columns_option
@click.option(
    "--output", "-o", default="-", type=PATH, metavar="FILE", help="File to write, readable by you alone [stdout].",
)  # fmt: skip
def show(file: str, enriched: str | None, style: str, columns: str | None, output: str) -> None:
    """Show a plan to who reviews it: its entries, and sums by owner and, with --enriched, by unit.

    With --format html it is a page for a reviewer who is no programmer: untick what is to stay as it is, and save. The
    saved file is the plan without these lines, which `apply` takes. The page needs no network. - is stdin.

    \b
    Examples:
      kaltura-archiver plan show plan.jsonl
      kaltura-archiver plan show plan.jsonl --enriched owners.tsv --format html -o review.html
      kaltura-archiver plan show plan.jsonl --format csv > plan.csv
      kaltura-archiver plan show plan.jsonl --columns entry_id,name,source,categories,why
    """
    from kaltura_archiver.output.reading import numbered_lines, opened
    from kaltura_archiver.people.owners import owners_of
    from kaltura_archiver.review.planfile import MAX_LINE_BYTES
    from kaltura_archiver.review.shown import shown_plan

    if style == "html" and output == "-" and sys.stdout.isatty():
        raise click.UsageError("a page is to be looked at in a browser: name a file with --output")
    if style == "html" and columns:
        raise click.UsageError("a page has its own columns: leave out --columns")
    if output != "-" and file != "-" and Path(output).exists() and Path(output).samefile(file):
        raise click.UsageError("--output would take the place of the plan itself: name another file")
    usual = tuple(column for column in COLUMNS if column != "unit" or enriched)
    shown = columns_of_row(columns, usual, tuple(c for c in (*COLUMNS, *MORE_COLUMNS) if c not in usual))
    owner_of = owners_of(enriched) if enriched else None
    where = "stdin" if file == "-" else file
    with opened(file) as stream:
        plan = shown_plan(numbered_lines(stream, where, MAX_LINE_BYTES), where, owner_of)
    if style == "html":
        text = _page(plan)
    elif style == "table":
        text = _on_screen(plan, shown) if output == "-" and sys.stdout.isatty() else _table(plan, shown)
    else:
        text = _rows(plan, shown, style)
    with written_whole(output, page=style == "html") as sink:
        sink.write(text.encode("utf-8", errors="backslashreplace"))
    if output != "-":
        log.info("%s is written%s", output, _NEXT if style == "html" else "")


def _page(plan: ShownPlan) -> str:
    try:
        from kaltura_archiver.review.page import make_page
    except ModuleNotFoundError as error:
        raise lacks("the page", ["jinja2"], "report") from error
    return make_page(plan)


def _row(entry: ShownEntry) -> dict[str, Any]:
    cells = {name: getattr(entry, name, None) for name in (*COLUMNS, *MORE_COLUMNS)}
    return {name: cell if cell != "" else None for name, cell in cells.items()} | {"bytes": entry.size_bytes}


def _rows(plan: ShownPlan, shown: Sequence[str], style: str) -> str:
    import io

    stream = io.StringIO()
    with Rows(shown, style, stream) as rows:
        for entry in plan.entries:
            rows.write(_row(entry))
    return stream.getvalue()


def _on_screen(plan: ShownPlan, shown: Sequence[str]) -> str:
    """For a terminal: what would be done, then what is left out and why, each the largest first, and the sums."""
    import io

    stream = io.StringIO()
    first = tuple(c for c in ("outcome", "entry_id") if c in shown)
    columns = (*first, *(c for c in shown if c not in first))
    ranks = {outcome: rank for rank, outcome in enumerate(Outcome)}

    def order(entry: ShownEntry) -> tuple[bool, int, int]:
        return not entry.acts, ranks.get(Outcome(entry.outcome), 0), -entry.size_bytes

    if plan.entries:
        note = "why" if "why" in shown else ""
        with rows_as(SCREEN, columns, stream, note=note, fine=went_well, colours=coloured(sys.stdout)) as screen:
            for entry in sorted(plan.entries, key=order):
                row = _row(entry)
                screen.write(row | {"why": entry.why.removeprefix(f"{entry.outcome}: ")})
    for name, sums in _sums(plan):
        stream.write("\n")
        with rows_as(SCREEN, (name, "entries", "bytes"), stream, colours=coloured(sys.stdout)) as screen:
            for who, count, size in sums:
                screen.write({name: who or "(none)", "entries": count, "bytes": size})
    stream.write("\n" + "".join(f"{line}\n" for line in wrapped(_total(plan), columns_of_terminal())))
    return stream.getvalue()


def _sums(plan: ShownPlan) -> Iterator[tuple[str, list[tuple[str, int, int]]]]:
    """Those by owner and, where they are known, by unit, if anything would be done."""
    keys: dict[str, Callable[[ShownEntry], str]] = {"owner": lambda entry: entry.owner}
    if plan.has_units:
        keys["unit"] = lambda entry: entry.unit
    yield from ((name, plan.sums(key)) for name, key in keys.items() if plan.acting)


def _total(plan: ShownPlan) -> str:
    size = readable_bytes(sum(entry.size_bytes for entry in plan.acting))
    return (
        f"plan {one_line(plan.plan)} of {one_line(plan.made)}: {plan.action} {len(plan.acting):,} of "
        f"{so_many(len(plan.entries))}, {size} to {plan.meant}"
        + (f"; with {one_line(plan.asked)}" if plan.asked else "")
    )


def _table(plan: ShownPlan, shown: Sequence[str]) -> str:
    """For a pipe or a file: as wide as it is."""
    rows = [
        _row(entry)
        | {
            "bytes": readable_bytes(entry.size_bytes) if entry.acts else "",
            "name": cut(one_line(entry.name), _NAME_WIDTH),
        }
        for entry in plan.entries
    ]
    lines = list(_lines(shown, [[row[column] for column in shown] for row in rows]))
    for name, sums in _sums(plan):
        told = [[who or "(none)", f"{count:,}", readable_bytes(size)] for who, count, size in sums]
        lines += ["", *_lines([name, "entries", "bytes"], told)]
    return "".join(f"{line}\n" for line in (*lines, "", _total(plan)))


def _lines(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Iterator[str]:
    """Lines of a table, numbers to the right."""
    cells = [[one_line("" if cell is None else str(cell)) for cell in row] for row in rows]
    right = {at for at, column in enumerate(columns) if column in _NUMBERS}
    return aligned([columns, *cells], right=right)


class PlanCommand(SelectingCommand):
    """`plan archive …`, and beside it `plan show FILE`, which has options of its own."""

    commands: ClassVar = {"show": show}

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        if args[:1] == ["show"]:
            return show.make_context(f"{info_name} show", args[1:], parent, **extra)
        return super().make_context(info_name, args, parent, **extra)
