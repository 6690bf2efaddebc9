"""The commands for owners and viewers: notify writes to the former, placeholder makes what the latter see."""

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

from kaltura_archiver.cli import App, Days, PatientStdout, cli, format_option, pass_app
from kaltura_archiver.errors import ConfigError, Exit, InputError
from kaltura_archiver.files import check_target, write
from kaltura_archiver.model import Outcome
from kaltura_archiver.progress import progress
from kaltura_archiver.redact import redact
from kaltura_archiver.report import Rows, exits_of, mark_lines

log = logging.getLogger(__name__)

NOTICE_COLUMNS = ("owner", "address", "entries", "outcome", "detail")
PLACEHOLDER_COLUMNS = ("file", "bytes", "seconds", "sha256")


@cli.command("notify")
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

    from kaltura_archiver.mailer import Mailer
    from kaltura_archiver.notify import (
        COLUMNS,
        Ledger,
        Mark,
        Notice,
        Post,
        Templates,
        checked_address,
        checked_sender,
        columns_of,
        read_notices,
        read_units,
    )
    from kaltura_archiver.owners import TsvTable, opened

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
            from kaltura_archiver.apply import add_notice

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


@cli.command("placeholder")
@click.option(
    "--output", "-o", default="placeholder_video.mp4", show_default=True, metavar="FILE", help="File to write."
)
@click.option("--text", metavar="TEXT", help="What it says; \\n begins a new line [a text of its own, in --language].")
@click.option(
    "--language",
    default="en",
    show_default=True,
    metavar="LANG",
    help="en, de, es or fr; or any other as its ISO 639-2 code, with --text.",
)
@click.option("--logo", metavar="FILE", help="Picture above the text (PNG with transparency, JPEG).")
@click.option("--font", metavar="FILE", help="TTF or OTF; without one only plain English letters can be had.")
@click.option("--background", default="#14213d", show_default=True, metavar="COLOUR", help="Colour behind it.")
@click.option(
    "--seconds", type=click.FloatRange(1, 600), default=10, show_default=True, metavar="S", help="Its length."
)
@click.option("--force", is_flag=True, help="Overwrite the file if it exists.")
@format_option
@pass_app
def placeholder(
    app: App, /, output: str, text: str | None, language: str, logo: str | None, font: str | None, background: str,
    seconds: float, force: bool, style: str,
) -> None:  # fmt: skip
    """Make a placeholder video: a text and a logo on a plain background, in silence.

    1280 x 720, H.264 and AAC in an MP4 that begins to play at once. Keep the file: its size and content are how a
    placeholder is told from somebody's video, and other versions of the libraries may make other bytes.

    \b
    Examples:
      kaltura-archiver placeholder --logo logo.png
      kaltura-archiver placeholder --text 'Archived.\\nPlay it, and it is back tomorrow.' -o library.mp4
      kaltura-archiver placeholder --language de --font DejaVuSans.ttf -o de.mp4
    """  # fmt: skip
    import hashlib
    import importlib.util

    if missing := [name for name in ("av", "PIL") if importlib.util.find_spec(name) is None]:
        names = " and ".join({"av": "PyAV", "PIL": "Pillow"}[name] for name in missing)
        raise ConfigError(f"placeholder needs {names}: pip install 'kaltura-archiver[placeholder]'")
    from kaltura_archiver.placeholder import TEXTS, Look, make_placeholder

    path = Path(output)
    if path.exists() and not force:
        raise InputError(
            f"{output} exists: another placeholder would have another size (docs/placeholder.md); "
            "choose another --output, or say --force"
        )
    if not path.parent.is_dir():
        raise InputError(f"cannot write {output}: there is no folder {path.parent}")
    check_target(path, replace=force)
    if language not in TEXTS:
        if not re.fullmatch("[a-z]{3}", language):
            raise click.UsageError(
                f"--language: {language!r} is neither {', '.join(TEXTS)} nor an ISO 639-2 code of three letters"
            )
        if text is None:
            raise click.UsageError(f"--language {language}: there is no text in it here; say one with --text")
    said = TEXTS[language][1] if text is None else text.replace("\\n", "\n").replace("\r\n", "\n")
    look = Look(said, language, Path(logo) if logo else None, Path(font) if font else None, background, seconds)
    made = make_placeholder(look)
    write(path, made, mode=0o644, replace=force)  # nobody's secret, and often another user's to read
    with Rows(PLACEHOLDER_COLUMNS, style) as rows:
        digest = hashlib.sha256(made).hexdigest()
        rows.write({"file": output, "bytes": len(made), "seconds": seconds, "sha256": digest})
    app.exit(Exit.OK)


def _column_of(text: str, known: tuple[str, ...]) -> tuple[str, str]:
    role, equals, name = text.partition("=")
    if role not in known or not equals or not name:
        raise click.UsageError(f"--column: {text!r} is not C=NAME, where C is one of {', '.join(known)}")
    return role, name
