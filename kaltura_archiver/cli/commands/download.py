"""kaltura-archiver download"""

from __future__ import annotations

import logging
import sys

import click

from kaltura_archiver.asking.words import ENTRY_ID
from kaltura_archiver.cli.app import App, pass_app
from kaltura_archiver.cli.group import command
from kaltura_archiver.cli.types import PATH
from kaltura_archiver.errors import Exit, SelectionError
from kaltura_archiver.output.progress import bytes_progress
from kaltura_archiver.output.rows import DOWNLOAD_COLUMNS
from kaltura_archiver.output.tables import Rows
from kaltura_archiver.run.services import make_sources

log = logging.getLogger(__name__)


@command("download")
@click.option("--id", "-i", "entry_id", required=True, metavar="ID", help="The entry.")
@click.option(
    "--output",
    "-o",
    type=PATH,
    metavar="FILE",
    help="File to write [the entry's id and the original's extension]; - is stdout, and a log line tells the rest.",
)
@click.option(
    "--tmp", "folder", type=PATH, metavar="DIR", help="Folder of the file where --output does not name it [this one]."
)
@click.option(
    "--from",
    "source",
    type=click.Choice(["auto", "kaltura", "s3"]),
    default="auto",
    show_default=True,
    help="Where to take it from; auto: S3 for a placeholder, else Kaltura.",
)
@click.option("--force", is_flag=True, help="Overwrite the file if it exists.")
@pass_app
def download(
    app: App, /, entry_id: str, output: str | None, folder: str | None, source: str, force: bool
) -> None:  # fmt: skip
    """Fetch the original of one entry to a local file; its path, size and SHA-256 are printed.

    Exit status 3 where it is the placeholder, which --from kaltura fetches, too.

    \b
    Examples:
      kaltura-archiver download --id 0_abc12345
      kaltura-archiver download --id 0_abc12345 --from s3 -o lecture.mp4
      kaltura-archiver download --id 0_abc12345 --output - | ffprobe -
      kaltura-archiver download --id 0_abc12345 --from kaltura --force
    """  # fmt: skip
    from kaltura_archiver.run.download import download_original

    if not ENTRY_ID.fullmatch(entry_id):
        raise SelectionError(f"--id: {entry_id[:40]!r} is not an entry id")
    if output and folder:
        raise click.UsageError("--output names the file with its folder: leave out --tmp", click.get_current_context())
    if output == "-" and sys.stdout.isatty():
        raise click.UsageError("a video is nothing for a terminal: name a file", click.get_current_context())
    sources = make_sources(app)
    size: list[int] = []
    with (
        app.stoppable(),
        bytes_progress("download", lambda: app.bandwidth.moved, lambda: size[0] if size else None),
    ):
        row, hidden = download_original(
            sources, entry_id, output or "", folder=folder or "", source=source, force=force, on_size=size.append
        )
    if output == "-":
        log.info("wrote %s to stdout, from %s: %d bytes, sha256 %s", *row[:-1])
    else:
        with Rows(DOWNLOAD_COLUMNS, "tsv") as rows:
            rows.write(dict(zip(DOWNLOAD_COLUMNS, row, strict=True)))
    if hidden:
        log.warning(
            "%s is the placeholder, not the video of %s, which is in S3 if anywhere: --from s3",
            "this" if output == "-" else row[-1], entry_id,
        )  # fmt: skip
    app.exit(Exit.WAITING if hidden else Exit.OK)
