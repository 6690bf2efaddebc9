"""What plan and apply share: whose library a plan is of, and which placeholders it was made with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kaltura_archiver.cli.app import App
from kaltura_archiver.config import check_placeholder
from kaltura_archiver.steps import Command

if TYPE_CHECKING:
    from kaltura_archiver.placeholders import Placeholders


def placeholders_of(app: App, command: Command) -> Placeholders:
    from kaltura_archiver.placeholders import Placeholders

    files = app.settings.placeholders()
    if command is Command.REPLACE:
        for path in files.all():
            check_placeholder(path)
    elif command is Command.S3COPY:
        files.known()
    return Placeholders(files)


def account_of(app: App, command: Command, placeholders: Placeholders) -> dict[str, str]:
    """Whose library and bucket these settings are for, and what takes an original's place."""
    settings = app.settings
    settings.need_kaltura()
    settings.need_bucket()
    account = {"partner": settings.partner_id, "service": settings.service_url.rstrip("/"), "bucket": settings.bucket}
    return account | ({"placeholder": placeholders.fingerprint} if command is Command.REPLACE else {})
