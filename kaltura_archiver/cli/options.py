"""The options that several commands take, written once."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar, cast

import click

from kaltura_archiver.asking.query import MEDIA_TYPES, SOURCES, make_query
from kaltura_archiver.asking.words import MAX_PAGE_SIZE
from kaltura_archiver.cli.app import App
from kaltura_archiver.cli.types import (
    PATH,
    STORAGE_CLASSES,
    Age,
    Amount,
    CategoryName,
    Duration,
    Size,
    bounded_page_size,
)
from kaltura_archiver.exits import TOLERABLE
from kaltura_archiver.filters import DEFAULT_MAX_ENTRIES, DEFAULT_STATUSES
from kaltura_archiver.output.screen import SCREEN
from kaltura_archiver.output.tables import FORMATS
from kaltura_archiver.steps import KEPT_SIDES, OPTIONS, Command
from kaltura_archiver.thinning import DERIVED, MAX_KEPT_BYTES
from kaltura_archiver.transfer.bandwidth import Bandwidth, Timetable

F = TypeVar("F", bound=Callable[..., Any])
_SELECTION = (
    click.option("--id", "-i", "ids", multiple=True, metavar="ID", help="This entry; may be repeated."),
    click.option(
        "--idfile", "-I", type=PATH, metavar="FILE",
        help="The entries in FILE, an id per line, or the column entry_id of a table; - is stdin.",
    ),
    click.option("--tag", "-t", "tags", multiple=True, metavar="TAG", help="Has the tag TAG; '!TAG': has it not."),
    click.option("--exclude-tag", "without_tags", multiple=True, metavar="TAG", help="Has not the tag TAG."),
    click.option(
        "--category", "-c", "categories", multiple=True, type=CategoryName(), metavar="ID|NAME",
        help="In this category or below it, or another one; Faculty>Course.",
    ),
    click.option(
        "--exclude-category", "without_categories", multiple=True, type=click.IntRange(1), metavar="ID",
        help="Not in this category or below it.",
    ),
    click.option("--uncategorised", is_flag=True, help="In no category."),
    click.option(
        "--owner", "owners", multiple=True, metavar="USER|@FILE",
        help="Owned by this user, or by one in FILE, one per line; '!USER' and '!@FILE': not owned by them.",
    ),
    click.option(
        "--admin-tag", "admin_tags", multiple=True, metavar="TAG", help="Has this tag of administrators, as zoomentry."
    ),
    click.option(
        "--metadata", multiple=True, metavar="FIELD=VALUE",
        help="This field of its custom metadata is that; '!FIELD=VALUE': is not.",
    ),
    click.option(
        "--source", "sources", multiple=True, type=click.Choice(SOURCES), metavar="KIND",
        help=f"Came as: {', '.join(SOURCES)}.",
    ),
    click.option("--longer-than", type=Duration(), metavar="TIME", help="At least as long in Kaltura: 90s, 60m, 2h."),
    click.option("--larger-than", type=Size(), metavar="SIZE", help="Original, here or in S3, of 500M, 2GiB or more."),
    click.option("--smaller-than", type=Size(), metavar="SIZE", help="Original, here or in S3, smaller than that."),
    click.option("--ends-before", type=Age(), metavar="AGE", help="Its schedule in Kaltura ended before then."),
    click.option(
        "--archived-before", type=Age(), metavar="AGE", help="In S3 since then or longer; looks at each stored copy."
    ),
    click.option("--replaced-before", type=Age(), metavar="AGE", help="The placeholder in place since then or longer."),
    click.option("--thinned-before", type=Age(), metavar="AGE", help="The original in S3 only since then or longer."),
    click.option("--plays", type=click.IntRange(0), metavar="N", help="Played fewer than N times; 0: never played."),
    click.option("--never-played", is_flag=True, help="Never played."),
    click.option(
        "--status", "statuses", multiple=True, metavar="S",
        help="Entry statuses, repeated or 2,-1.  "
        f"[default: {','.join(DEFAULT_STATUSES)}; of entries that are named: any]",
    ),
    click.option(
        "--media-type", "-m", type=click.Choice(MEDIA_TYPES),
        help="Kind of media.  [default: video; of entries that are named: any]",
    ),
    click.option(
        "--created-within", type=Age(), metavar="AGE", help="Created since then: 3 (years), 18mo, 400d, 2024-08-31."
    ),
    click.option("--created-before", type=Age(), metavar="AGE", help="Created before then."),
    click.option("--played-within", "-p", type=Age(), metavar="AGE", help="Last played since then."),
    click.option(
        "--unplayed-for", "-u", type=Age(), metavar="AGE",
        help="Created before then, and not played since.",
    ),
    click.option("--first-page", "-f", type=click.IntRange(1), default=1, metavar="N", help="Begin at the Nth page."),
    click.option(
        "--page-size", "-s", type=click.IntRange(0), default=MAX_PAGE_SIZE, show_default=True, metavar="N",
        callback=bounded_page_size, help=f"Entries per page, at most {MAX_PAGE_SIZE}.",
    ),
    click.option(
        "--max-entries", "-M", type=int, default=DEFAULT_MAX_ENTRIES, show_default=True, metavar="N",
        help="At most N entries; -1: no limit.",
    ),
    click.option(
        "--shard", metavar="I/N",
        help="Only the I-th of N shares, 0/N to N-1/N [in an AWS Batch array job: the job's own].",
    ),
)  # fmt: skip


def together(*options: Callable[[F], F]) -> Callable[[F], F]:
    """One decorator of several."""

    def decorate(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def _name(option: Callable[[F], F]) -> str:
    """The name of the parameter that an option fills."""
    return str(option(cast(F, lambda: None)).__click_params__[0].name)  # type: ignore[attr-defined]


def selection_options(function: F) -> F:
    """The criteria that select entries, gathered into one `query`."""

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        criteria = {name: kwargs.pop(name) for name in map(_name, _SELECTION)}
        return function(*args, query=make_query(time.time(), **criteria), **kwargs)

    wrapper.__name__, wrapper.__doc__ = function.__name__, function.__doc__
    wrapper.__click_params__ = getattr(function, "__click_params__", [])  # type: ignore[attr-defined]
    return together(*_SELECTION, tolerate_option)(cast(F, wrapper))


def format_option(function: F) -> F:
    return click.option(
        "--format", "style", type=click.Choice(FORMATS), callback=_form,
        help="Form of the rows.  [default: tsv; on a terminal a table for people]",
    )(function)  # fmt: skip


def _form(ctx: click.Context, param: click.Parameter, value: str | None) -> str:
    return value or (SCREEN if sys.stdout.isatty() else "tsv")


def price_options(function: F) -> F:
    """The options `kaltura_price` and `price_table`, for App.prices."""
    return together(
        click.option(
            "--kaltura-price", type=click.FloatRange(0), metavar="P",
            help="What Kaltura asks for a GB and month [KALTURA_PRICE].",
        ),
        click.option(
            "--price-table", type=click.Path(path_type=Path), metavar="FILE",
            help="Prices of your own [PRICE_TABLE, or AWS's in us-east-1].",
        ),
    )(function)  # fmt: skip


def columns_option(function: F) -> F:
    return click.option("--columns", metavar="A,B,…", help="Only these; a wrong name lists all.")(function)


legacy_option = click.option("--legacy-columns", "legacy", is_flag=True, help="Rows as kaltura_aws.py printed them.")


def columns_of_row(asked: str | None, default: tuple[str, ...], more: tuple[str, ...]) -> tuple[str, ...]:
    if asked is None:
        return default
    if click.get_current_context().params.get("legacy"):
        raise click.UsageError("--legacy-columns are all of them: leave out --columns", click.get_current_context())
    columns = tuple(name.strip() for name in asked.split(","))
    unknown = [name for name in columns if name not in default + more]
    if unknown:
        known = ", ".join(dict.fromkeys(default + more))
        raise click.UsageError(f"no column {unknown[0]!r}; there are {known}", click.get_current_context())
    return columns


def _limit(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    if value is not None:
        app = ctx.ensure_object(App)
        try:
            app.bandwidth = Bandwidth(Timetable(value), app.stop)
        except ValueError as error:
            raise click.BadParameter(str(error), ctx, param) from error


def _map(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    if value is not None:
        app = ctx.ensure_object(App)
        app._settings = replace(app.settings, placeholder_map=value)


placeholder_map_option = click.option(
    "--placeholder-map", type=PATH, metavar="FILE", expose_value=False, callback=_map,
    help="Other placeholders by category or language [PLACEHOLDER_MAP].",
)  # fmt: skip


def _tolerate(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    if value is None:
        return
    known = {str(int(code)): code for code in TOLERABLE}
    words = [word.strip() for word in value.split(",")]
    for word in words:
        if word not in known:
            raise click.BadParameter(
                f"{word!r} is none of 1, 3 and 4, which tell how entries ended; with any other status the command "
                "itself was not done, and nothing should go on as if it were", ctx, param,
            )  # fmt: skip
    ctx.ensure_object(App).tolerated = frozenset(known[word] for word in words)


tolerate_option = click.option(
    "--tolerate", metavar="N,…", expose_value=False, callback=_tolerate,
    help="End with 0 instead of these exit codes, of 1, 3 and 4.",
)  # fmt: skip
bandwidth_option = click.option(
    "--bandwidth", metavar="RATE", expose_value=False, callback=_limit,
    help="Move at most RATE bytes a second, all workers together: 50M (MiB; a bare number is KiB), or by local time "
    "'08:00,50M 19:00,off'.",
)  # fmt: skip
dry_run_option = click.option(
    "--dry-run/--no-dry-run", default=True, show_default=True, help="Only tell what would be done."
)
workers_option = click.option(
    "--workers", type=click.IntRange(1, 64), default=4, show_default=True, metavar="N",
    help="Entries worked on at a time.",
)  # fmt: skip
lookers_option = click.option(
    "--workers", type=click.IntRange(1, 64), default=8, show_default=True, metavar="N",
    help="Copies looked at at a time.",
)  # fmt: skip
all_option = click.option("--all", "everything", is_flag=True, help="Allow a selection without any criterion.")
no_lock_option = click.option("--no-lock", is_flag=True, help="Run beside another run of this command.")
cluster_options = together(
    click.option(
        "--cluster", metavar="WHERE",
        help="Share the work among processes or machines: local:N, fargate:N, or the address of a scheduler.",
    ),
    click.option(
        "--cluster-tls", type=PATH, metavar="DIR",
        help="Folder of the certificates of a scheduler's fleet [CLUSTER_TLS].",
    ),
    click.option(
        "--max-calls", type=click.IntRange(1), default=64, show_default=True, metavar="N",
        help="With --cluster: calls to Kaltura at a time, all workers together.",
    ),
    click.option(
        "--max-transfers", type=click.IntRange(1), default=64, show_default=True, metavar="N",
        help="With --cluster: videos on their way at a time, all workers together.",
    ),
)  # fmt: skip
limit_options = together(
    click.option(
        "--max-cost", type=Amount(), metavar="AMOUNT",
        help="Begin at most what costs so much; what is beyond it waits for another run (docs/money.md).",
    ),
    click.option(
        "--max-bytes", type=Size(), metavar="SIZE", help="Begin at most so many bytes of videos (500M, 2G, 5T).",
    ),
)  # fmt: skip
run_log_option = click.option("--no-run-log", is_flag=True, help="Leave no log of this run in the bucket.")


def acting_options(old_flag: str = "") -> Callable[[F], F]:
    """What every command that changes something takes; `old_flag` is the old tool's word for --no-dry-run."""
    old = (click.option(old_flag, "acting", is_flag=True, help="Old name of --no-dry-run."),) if old_flag else ()
    return together(
        dry_run_option,
        *old,
        all_option,
        workers_option,
        limit_options,
        cluster_options,
        no_lock_option,
        run_log_option,
        bandwidth_option,
        click.option("--tmp", metavar="DIR", hidden=True, help="Accepted for old scripts: no files are written."),
        click.option("--wait-ready", "-w", is_flag=True, hidden=True, help="Accepted for old scripts: always waits."),
        format_option,
    )  # fmt: skip


_OF_COMMANDS = (
    click.option(
        "--timeout", "timeout_seconds", type=Duration(), default="2h", show_default=True, metavar="TIME",
        help="Longest wait for one conversion.",
    ),
    click.option(
        "--max-converting", type=click.IntRange(1, 1000), default=50, show_default=True, metavar="N",
        help="Entries that Kaltura may be converting at a time, beside the workers' own.",
    ),
    click.option("--approve", is_flag=True, help="Approve replacements where the account asks for approval."),
    click.option(
        "--allow-in-place", is_flag=True,
        help="Where the account cannot replace content: delete it and add the new, leaving a gap.",
    ),
    click.option(
        "--tier", type=click.Choice(["bulk", "standard", "expedited"]), default="bulk", show_default=True,
        help="How fast, and how dear, Glacier thaws.",
    ),
    click.option(
        "--days", type=click.IntRange(1, 365), default=7, show_default=True, metavar="N",
        help="How long the thawed copy stays readable.",
    ),
    click.option(
        "--via", type=click.Choice(["upload", "url"]), default="upload", show_default=True,
        help="upload: through us, verified by SHA-256; url: Kaltura fetches it from S3, verified by size.",
    ),
    click.option(
        "--new-picture", is_flag=True,
        help="Take a new picture of each video, and do not ask whose the old one is (docs/pictures.md).",
    ),
    click.option(
        "--keep", "side", required=True, type=click.Choice(KEPT_SIDES),
        help="Which video the entry is to have: the one in Kaltura now, or the stored one.",
    ),
    click.option(
        "--request-tag", default="", metavar="TAG",
        help="Only what has this tag, by which people ask; removed once the original is back, or there already.",
    ),
    click.option("--request", is_flag=True, help="Ask frozen copies to thaw."),
    click.option(
        "--min-age-years", type=Age(), metavar="AGE",
        help="Leave entries alone that were created since then [3; with --created-before or "
        "--unplayed-for: what these say].",
    ),
    click.option(
        "--keep-height", type=click.IntRange(1), metavar="LINES",
        help="Keep the smallest derived flavor of at least so many lines (360) "
        "[the largest one below --max-kept-bytes].",
    ),
    click.option(
        "--max-kept-bytes", type=Size(), default=MAX_KEPT_BYTES, metavar="SIZE",
        help="The flavor to keep is smaller than this: 500M, 2GiB  [default: 1G].",
    ),
    click.option(
        "--derived", type=click.Choice(DERIVED), default=DERIVED[0], show_default=True,
        help="Which derived flavors beside the kept one are deleted: all, those of fewer bytes, or none.",
    ),
    click.option(
        "--derived-only", is_flag=True,
        help="Delete derived flavors only, and leave the original, of which Kaltura can make them again.",
    ),
    click.option(
        "--even-if-clipped", is_flag=True,
        help="Also where clips or clones were made of it: new ones will need the original.",
    ),
    click.option(
        "--noticed-before", "noticed_before_seconds", type=Age(in_seconds=True), metavar="AGE",
        help="Only entries whose owner was told so long ago (30d), and that were not played since; see notify.",
    ),
    click.option(
        "--storage-class", type=click.Choice(STORAGE_CLASSES, case_sensitive=False), default="STANDARD",
        show_default=True, metavar="CLASS", help=f"Storage class of new objects: {', '.join(STORAGE_CLASSES)}.",
    ),
    click.option(
        "--accept-size-match", is_flag=True,
        help="Take an old object for the original where only the sizes can be compared.",
    ),
)  # fmt: skip


def options_named(*names: str) -> Callable[[F], F]:
    """Options of the commands that act, by the fields of Options that they fill."""
    by_name = {_name(option): option for option in _OF_COMMANDS}
    return together(*(by_name[name] for name in names))


def options_of(command: Command) -> Callable[[F], F]:
    return options_named(*OPTIONS[command])


keep_options = together(
    click.option(
        "--keep-tag", "keep_tags", multiple=True, metavar="TAG",
        help="Leave alone what has this tag, too; beside KEEP_TAGS [keep].",
    ),
    click.option(
        "--keep-category", "keep_categories", multiple=True, type=click.IntRange(1), metavar="ID",
        help="And what is in this category or below it; beside KEEP_CATEGORIES.",
    ),
    click.option(
        "--keep-owner", "keep_owners", multiple=True, metavar="USER|@FILE",
        help="And what this user owns, or those in FILE, one per line; beside KEEP_OWNERS.",
    ),
    click.option(
        "--keep-metadata", multiple=True, metavar="FIELD=VALUE",
        help="And that of which this field of custom metadata is that; beside KEEP_METADATA.",
    ),
)  # fmt: skip
