"""kaltura-archiver notify"""

from __future__ import annotations

import hashlib
import io
import logging
import shlex
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TextIO, cast

import click

from kaltura_archiver import exits
from kaltura_archiver.cli.app import App, pass_app
from kaltura_archiver.cli.group import command
from kaltura_archiver.cli.options import format_option
from kaltura_archiver.cli.streams import PatientStdout
from kaltura_archiver.cli.types import PATH, Days
from kaltura_archiver.errors import Exit
from kaltura_archiver.model import Outcome
from kaltura_archiver.output.logs import mark_lines
from kaltura_archiver.output.progress import progress
from kaltura_archiver.output.reading import HeadedTable, opened
from kaltura_archiver.output.tables import Rows
from kaltura_archiver.people.ledger import Ledger
from kaltura_archiver.people.letterhead import letterhead
from kaltura_archiver.people.mailer import Mailer
from kaltura_archiver.people.notices import COLUMNS, Notice, checked_address, columns_of, read_notices, read_units
from kaltura_archiver.people.post import Mark, Post
from kaltura_archiver.people.templates_of_notices import Templates
from kaltura_archiver.redact import redact
from kaltura_archiver.results import log_fields

log = logging.getLogger(__name__)
NOTICE_COLUMNS = ("owner", "address", "entries", "outcome", "detail")


@command("notify")
@click.argument("file", default="-", type=PATH, metavar="[FILE]")
@click.option(
    "--out", default="notices", show_default=True, type=PATH, metavar="DIR", help="Folder of messages and their record."
)
@click.option("--plan-id", metavar="ID", help="Name of this plan: nobody is told twice of one [SHA-256 of the list].")
@click.option(
    "--grace",
    "grace_seconds",
    type=Days(),
    default="30d",
    show_default=True,
    metavar="TIME",
    help="How long owners have from today on; the date in the message.",
)
@click.option("--from", "sender", metavar="ADDRESS", help="Who writes [NOTIFY_FROM].")
@click.option("--reply-to", metavar="ADDRESS", help="Who is to get the answers [who writes].")
@click.option("--fallback", metavar="ADDRESS", help="Who is asked in place of owners who have left or have no address.")
@click.option(
    "--unit-file", type=PATH, metavar="FILE", help="The same by unit: a TSV with the columns org_unit and mail."
)
@click.option(
    "--templates", type=PATH, metavar="DIR", help="Folder of templates of your own; the others are the built-in ones."
)
@click.option("--link", metavar="URL", help="Where an entry is played, with {entry_id} in it [NOTIFY_LINK].")
@click.option("--keep-link", metavar="URL", help="Where one asks to keep it; the same, or mailto: [NOTIFY_KEEP_LINK].")
@click.option("--co-editors", "domain", metavar="DOMAIN", help="Tell co-editors, too, at USER@DOMAIN or their address.")
@click.option("--remind", is_flag=True, help="Remind those told of this plan, of what the list still has; once a day.")
@click.option("--prefix", default="", metavar="P", help="The --prefix that enrich was given.")
@click.option("--column", "named", multiple=True, metavar="C=NAME", help="Column C is called NAME here: mail=email.")
@click.option("--send", is_flag=True, help="Send the messages by SMTP_SERVER, instead of writing .eml files.")
@click.option(
    "--mark",
    is_flag=True,
    help="With --send: tag what each message sent tells of: notice_<today>_<mark of the owner>_until_<day named>.",
)
@click.option(
    "--per-minute",
    type=click.FloatRange(0.1, 100_000),
    default=60,
    show_default=True,
    metavar="N",
    help="Send at most N messages a minute.",
)
@click.option(
    "--dry-run/--no-dry-run", default=None, help="Only tell what would be done.  [default: --dry-run with --send]"
)
@format_option
@pass_app
def notify(
    app: App, /, file: str, out: str, plan_id: str | None, grace_seconds: float, sender: str | None,
    reply_to: str | None, fallback: str | None, unit_file: str | None, templates: str | None, link: str | None,
    keep_link: str | None, domain: str | None, remind: bool, prefix: str, named: tuple[str, ...], send: bool,
    mark: bool, per_minute: float, dry_run: bool | None, style: str,
) -> None:  # fmt: skip
    """Write to each owner of a list which of their videos will be replaced, when, and how to keep them.

    Reads the TSV of enrich --columns mail: one message a person, with their own entries only. Messages are .eml files
    in a folder, or with --send --no-dry-run are sent; what was sent is recorded there, so that the same command goes on
    after an interruption. replace_video --noticed-before asks for the tags that --mark sets.

    \b
    Examples:
      kaltura-archiver notify --from archive@example.edu owners.tsv
      kaltura-archiver notify --prefix owner_ --fallback helpdesk@example.edu --grace 60d owners.tsv
      kaltura-archiver notify owners.tsv --plan-id autumn-2026 --send --mark --no-dry-run
      kaltura-archiver notify owners.tsv --plan-id autumn-2026 --send --remind --no-dry-run
    """  # fmt: skip
    dry_run = send if dry_run is None else dry_run
    _refuse_contradictions(fallback, domain, mark=mark, send=send, remind=remind)
    names = dict(_column_of(text, tuple(COLUMNS)) for text in named)
    head = letterhead(
        app.settings, sender=sender, reply_to=reply_to, link=link, keep_link=keep_link, reminder=remind
    )  # fmt: skip
    texts = Templates(Path(templates) if templates else None)
    with opened(file) as source:
        content = source.read()
    where = "stdin" if file == "-" else file
    table = HeadedTable(io.BytesIO(content), file)
    columns = columns_of(table, prefix, names, where)
    others = {"fallback": fallback or "", "domain": domain or ""}
    notices = read_notices(table, columns, of_units=read_units(unit_file) if unit_file else {}, where=where, **others)
    plan = plan_id or hashlib.sha256(content).hexdigest()
    mark_lines()
    tally = _Tally(len(notices), dry_run=dry_run)
    with ExitStack() as stack:
        # What can go wrong with the settings does so before the first message.
        mark_entry = _marking(app, dry_run=dry_run) if mark else None
        ledger = stack.enter_context(Ledger(Path(out), plan, dry_run=dry_run))
        stack.enter_context(app.stoppable())
        mailer = Mailer(app.settings.smtp, sender=head.address, per_minute=per_minute, stop=app.stop) if send else None
        if mailer and not dry_run:
            stack.enter_context(mailer)
        post = Post(
            plan=plan, folder=Path(out), ledger=ledger, templates=texts, head=head,
            replaced_on=(datetime.now(UTC) + timedelta(seconds=grace_seconds)).date(),
            dry_run=dry_run, deliver=mailer.send if mailer else None, mark=mark_entry,
            # A list that is enriched again is another plan, by itself.
            again=f"run enrich again, which says more, then notify with --plan-id {shlex.quote(plan)}",
        )  # fmt: skip
        if "owner_id" not in columns and "creator_id" not in names:
            log.warning("%s has no column owner_id: creators are written to, who need not own what they made", where)
        stdout = PatientStdout()
        rows = stack.enter_context(Rows(NOTICE_COLUMNS, style, cast(TextIO, stdout))) if _rows_wanted() else None
        try:
            _bring(app, post, notices, tally, rows, streamed=rows is not None and style != "table")
        finally:
            tally.sum_up(plan, send=send)
    app.exit(*exits.of_outcomes(tally.outcomes), *([Exit.FAILED] if stdout.failure else []))


def _bring(
    app: App, post: Post, notices: Sequence[Notice], tally: _Tally, rows: Rows | None, *, streamed: bool
) -> None:
    """Each notice to its recipient, and what became of it told, until the user stops it."""
    bar = progress("notify", notices, lambda: len(notices), streamed=streamed, told=lambda: [tally.counts()])
    with bar as begun:
        for notice in begun:
            if app.stop.is_set():
                break
            outcome, detail = post.process(notice)
            tally.tell(notice, outcome, detail)
            if rows:
                rows.write({
                    "owner": notice.owner or None, "address": notice.address or None,
                    "entries": len(notice.items), "outcome": outcome.value, "detail": redact(detail),
                })  # fmt: skip


class _Tally:
    """What became of the notices, told line by line and in a sum."""

    def __init__(self, expected: int, *, dry_run: bool) -> None:
        self._expected = expected
        self._dry_run = dry_run
        self.outcomes: list[Outcome] = []

    def tell(self, notice: Notice, outcome: Outcome, detail: str) -> None:
        level = logging.ERROR if outcome is Outcome.FAILED else logging.INFO
        fields = log_fields("owner", "notify", dry_run=self._dry_run, entry=notice.owner or notice.address)
        log.log(level, "%s", detail if outcome is Outcome.WOULD else f"{outcome}: {detail}", extra=fields)
        self.outcomes.append(outcome)

    def counts(self) -> str:
        return ", ".join(f"{outcome} {number}" for outcome, number in Counter(self.outcomes).items())

    def sum_up(self, plan: str, *, send: bool) -> None:
        number = self._expected - len(self.outcomes)
        left = f"; {number} were not begun" if number else ""
        if not send:
            hint = "; nobody has got a mail: --send sends"
        else:
            hint = "; nothing was sent: --no-dry-run sends" if self._dry_run else ""
        log.info(
            "summary: %s; plan %s%s%s", self.counts() or "nothing to do", plan, left, hint,
            extra=log_fields("run", "notify", dry_run=self._dry_run),
        )  # fmt: skip


def _refuse_contradictions(fallback: str | None, domain: str | None, *, mark: bool, send: bool, remind: bool) -> None:
    if mark and not send:
        raise click.UsageError("--mark goes with --send: only what was really sent is marked")
    if fallback is not None and not checked_address(fallback):
        raise click.UsageError(f"--fallback: {fallback!r} is not a mail address")
    if domain is not None and not checked_address(f"user@{domain}"):
        raise click.UsageError(f"--co-editors: {domain!r} is no domain such as example.edu")
    if remind and mark:
        raise click.UsageError("--remind marks nothing: the day that the first message named stays")


def _marking(app: App, *, dry_run: bool) -> Mark:
    from kaltura_archiver.apply.notice import add_notice

    return partial(add_notice, app.kaltura(read_only=dry_run), dry_run=dry_run)


def _rows_wanted() -> bool:
    """Rows are for scripts: on a terminal the log lines say the same, unless a format is asked for."""
    source = click.get_current_context().get_parameter_source("style")
    return source is click.core.ParameterSource.COMMANDLINE or not sys.stdout.isatty()


def _column_of(text: str, known: tuple[str, ...]) -> tuple[str, str]:
    role, equals, name = text.partition("=")
    if role not in known or not equals or not name:
        raise click.UsageError(f"--column: {text!r} is not C=NAME, where C is one of {', '.join(known)}")
    return role, name
