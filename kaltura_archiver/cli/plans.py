"""What plan, apply and run share: whose library a plan is of, with which placeholders it was made, and its file."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO
from urllib.parse import urlsplit, urlunsplit

from kaltura_archiver.cli.app import App
from kaltura_archiver.errors import Exit
from kaltura_archiver.output.files import Sink, failure, written
from kaltura_archiver.steps import Command

if TYPE_CHECKING:
    from kaltura_archiver.placeholders import Placeholders


def account_of(app: App, command: Command, placeholders: Placeholders) -> dict[str, str]:
    """Whose library and bucket these settings are for, and what takes an original's place."""
    from kaltura_archiver.store.bucket import s3_service

    settings = app.settings
    settings.need_kaltura()
    settings.need_bucket()
    account = {"partner": settings.partner_id, "service": _address(settings.service_url), "bucket": settings.bucket}
    if service := s3_service():  # elsewhere another bucket may have that name
        account["S3 service"] = _address(service)
    return account | ({"placeholder": placeholders.fingerprint} if command is Command.REPLACE else {})


def _address(url: str) -> str:
    """Without what may stand before the host: plans are sent about, and a password may stand there."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])).rstrip("/")


@contextmanager
def lines_written_at_once(path: str, *, force: bool) -> Iterator[tuple[TextIO, Callable[[str, str], None]]]:
    """A file for lines, and what puts a first and a last line around them and all of them at `path`; - is stdout.

    Before that there is nothing at `path`. Raises OutputError where it cannot be written.
    """
    import tempfile

    def copy(to: Sink, body: TextIO, first: str, last: str) -> None:
        to.write(f"{first}\n".encode())
        body.seek(0)
        while text := body.read(2**20):
            to.write(text.encode())
        to.write(f"{last}\n".encode())

    def finish(first: str, last: str) -> None:
        if path == "-":
            copy(sys.stdout.buffer, body, first, last)
            sys.stdout.flush()
            return
        with written(Path(path), replace=force) as file:
            copy(file, body, first, last)

    with _disk_errors_told(path), tempfile.TemporaryFile("w+", encoding="utf-8") as body:
        yield body, finish


@contextmanager
def _disk_errors_told(path: str) -> Iterator[None]:
    """Have a full disk, for one, told in one line: the lines are gathered in a temporary file first."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise failure(path if path != "-" else "to stdout", error, code=Exit.FAILED) from error
