"""kaltura-archiver notify"""

from __future__ import annotations

import io
import logging
import re
import sys
from collections import Counter
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TextIO, cast

import click

from kaltura_archiver.cli.app import App, pass_app
from kaltura_archiver.cli.group import command
from kaltura_archiver.cli.options import format_option
from kaltura_archiver.cli.streams import PatientStdout
from kaltura_archiver.cli.types import Days
from kaltura_archiver.errors import ConfigError, Exit
from kaltura_archiver.model import Outcome
from kaltura_archiver.output.logs import mark_lines
from kaltura_archiver.output.progress import progress
from kaltura_archiver.output.summary import exits_of
from kaltura_archiver.output.tables import Rows
from kaltura_archiver.redact import redact

log = logging.getLogger(__name__)
NOTICE_COLUMNS = ("owner", "address", "entries", "outcome", "detail")


@command("notify")
@click.argument("file", default="-", metavar="[FILE]")
@click.option("--out", default="notices", show_default=True, metavar="DIR", help="Folder of messages and their record.")
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
@click.option("--unit-file", metavar="FILE", help="The same by unit: a TSV with the columns org_unit and mail.")
@click.option("--templates", metavar="DIR", help="Folder of templates of your own; the others are the built-in ones.")
@click.option("--link", default="", metavar="URL", help="Address of an entry's page, with {entry_id} in it.")
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
    reply_to: str | None, fallback: str | None, unit_file: str | None, templates: str | None, link: str, prefix: str,
    named: tuple[str, ...], send: bool, mark: bool, per_minute: float, dry_run: bool | None, style: str,
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
    """  # fmt: skip
    import hashlib

    from kaltura_archiver.output.reading import TsvTable, opened
    from kaltura_archiver.people.ledger import Ledger
    from kaltura_archiver.people.mailer import Mailer
    from kaltura_archiver.people.messages import checked_sender
    from kaltura_archiver.people.notices import COLUMNS, Notice, checked_address, columns_of, read_notices, read_units
    from kaltura_archiver.people.post import Mark, Post
    from kaltura_archiver.people.templates_of_notices import Templates

    if mark and not send:
        raise click.UsageError("--mark goes with --send: only what was really sent is marked")
    if dry_run is None:
        dry_run = send
    names = dict(_column_of(text, tuple(COLUMNS)) for text in named)
    if fallback is not None and not checked_address(fallback):
        raise click.UsageError(f"--fallback: {fallback!r} is not a mail address")
    if link and (not re.match(r"https?://", link) or "{entry_id}" not in link):
        raise click.UsageError("--link must be an address with {entry_id} in it: https://media.example.edu/{entry_id}")
    settings = app.settings
    asked = "--from" if sender else "NOTIFY_FROM"
    sender = sender or settings.notify_from
    if not sender:
        raise ConfigError("who writes? say --from ADDRESS, or set NOTIFY_FROM")
    sender, sender_address = checked_sender(sender, asked)
    if reply_to:
        _, reply_to = checked_sender(reply_to, "--reply-to")
    texts = Templates(Path(templates) if templates else None)
    units = read_units(unit_file) if unit_file else {}
    with opened(file) as source:
        content = source.read()
    where = "stdin" if file == "-" else file
    table = TsvTable(io.BytesIO(content), file)
    columns = columns_of(table, prefix, names, where)
    notices = read_notices(table, columns, fallback=fallback or "", of_units=units, where=where)
    plan = plan_id or hashlib.sha256(content).hexdigest()
    mark_lines()
    mode = "DRYRUN" if dry_run else "EXEC"
    outcomes: list[Outcome] = []

    def tell(notice: Notice, outcome: Outcome, detail: str) -> None:
        level = logging.ERROR if outcome is Outcome.FAILED else logging.INFO
        fields = {"mode": mode, "kind": "owner", "entry": notice.owner or notice.address, "action": "notify"}
        log.log(level, "%s", detail if outcome is Outcome.WOULD else f"{outcome}: {detail}", extra=fields)
        outcomes.append(outcome)

    def counts() -> str:
        return ", ".join(f"{outcome} {number}" for outcome, number in Counter(outcomes).items())

    shown = click.get_current_context().get_parameter_source("style") is click.core.ParameterSource.COMMANDLINE
    with ExitStack() as stack:
        # What can go wrong with the settings does so before the first message.
        mark_entry: Mark | None = None
        if mark:
            from kaltura_archiver.apply.notice import add_notice

            mark_entry = partial(add_notice, app.kaltura(read_only=dry_run), dry_run=dry_run)
        ledger = stack.enter_context(Ledger(Path(out), plan, dry_run=dry_run))
        stack.enter_context(app.stoppable())
        mailer = Mailer(settings.smtp, sender=sender_address, per_minute=per_minute, stop=app.stop) if send else None
        if mailer and not dry_run:
            stack.enter_context(mailer)
        post = Post(
            plan=plan, folder=Path(out), ledger=ledger, templates=texts, sender=sender, sender_address=sender_address,
            reply_to=reply_to or "", replaced_on=(datetime.now(UTC) + timedelta(seconds=grace_seconds)).date(),
            link=link, dry_run=dry_run, deliver=mailer.send if mailer else None,
            mark=mark_entry,
        )  # fmt: skip
        if "owner_id" not in columns and "creator_id" not in names:
            log.warning("%s has no column owner_id: creators are written to, who need not own what they made", where)
        rows: Rows | None = None
        stdout = PatientStdout()
        if shown or not sys.stdout.isatty():
            rows = stack.enter_context(Rows(NOTICE_COLUMNS, style, cast(TextIO, stdout)))
        try:
            streamed = rows is not None and style != "table"
            bar = progress("notify", notices, lambda: len(notices), streamed=streamed, told=lambda: [counts()])
            with bar as begun:
                for notice in begun:
                    if app.stop.is_set():
                        break
                    outcome, detail = post.one(notice)
                    tell(notice, outcome, detail)
                    if rows:
                        rows.write({
                            "owner": notice.owner or None, "address": notice.address or None,
                            "entries": len(notice.items), "outcome": outcome.value, "detail": redact(detail),
                        })  # fmt: skip
        finally:
            left = f"; {len(notices) - len(outcomes)} were not begun" if len(outcomes) < len(notices) else ""
            hint = "; nothing was sent: --no-dry-run sends" if dry_run and send else ""
            log.info(
                "summary: %s; plan %s%s%s", counts() or "nothing to do", plan[:40], left, hint,
                extra={"mode": mode, "kind": "run", "action": "notify"},
            )  # fmt: skip
    app.exit(*exits_of(outcomes), *([Exit.FAILED] if stdout.failure else []))


def _column_of(text: str, known: tuple[str, ...]) -> tuple[str, str]:
    role, equals, name = text.partition("=")
    if role not in known or not equals or not name:
        raise click.UsageError(f"--column: {text!r} is not C=NAME, where C is one of {', '.join(known)}")
    return role, name
