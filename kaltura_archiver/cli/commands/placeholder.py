"""kaltura-archiver placeholder"""

from __future__ import annotations

import re
from pathlib import Path

import click

from kaltura_archiver.cli.app import App, pass_app
from kaltura_archiver.cli.extras import need
from kaltura_archiver.cli.group import command
from kaltura_archiver.cli.options import format_option
from kaltura_archiver.cli.types import PATH
from kaltura_archiver.errors import Exit, InputError
from kaltura_archiver.output.files import check_target, write
from kaltura_archiver.output.screen import rows_as

PLACEHOLDER_COLUMNS = ("file", "bytes", "seconds", "sha256")


@command("placeholder")
@click.option(
    "--output",
    "-o",
    default="placeholder_video.mp4",
    show_default=True,
    type=PATH,
    metavar="FILE",
    help="File to write.",
)
@click.option("--text", metavar="TEXT", help="What it says; \\n begins a new line [a text of its own, in --language].")
@click.option(
    "--language",
    default="en",
    show_default=True,
    metavar="LANG",
    help="en, de, es, fr, zh or ar; or any other as its ISO 639-2 code, with --text.",
)
@click.option("--logo", type=PATH, metavar="FILE", help="Picture above the text (PNG with transparency, JPEG).")
@click.option("--font", type=PATH, metavar="FILE", help="TTF or OTF [the first of the system's that has the letters].")
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
      kaltura-archiver placeholder --language ar -o ar.mp4
    """  # fmt: skip
    import hashlib

    need("placeholder", {"av": "PyAV", "PIL": "Pillow"}, "placeholder")
    from kaltura_archiver.people.placeholder_video import TEXTS, Design, make_placeholder

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
    look = Design(said, language, Path(logo) if logo else None, Path(font) if font else None, background, seconds)
    made = make_placeholder(look)
    write(path, made, mode=0o644, replace=force)  # nobody's secret, and often another user's to read
    with rows_as(style, PLACEHOLDER_COLUMNS) as rows:
        digest = hashlib.sha256(made).hexdigest()
        rows.write({"file": output, "bytes": len(made), "seconds": seconds, "sha256": digest})
    app.exit(Exit.OK)
