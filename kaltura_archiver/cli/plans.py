"""What plan and apply share: whose library a plan is of, and which placeholders it was made with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kaltura_archiver.cli.app import App
from kaltura_archiver.steps import Command

if TYPE_CHECKING:
    from kaltura_archiver.placeholders import Placeholders


def account_of(app: App, command: Command, placeholders: Placeholders) -> dict[str, str]:
    """Whose library and bucket these settings are for, and what takes an original's place."""
    settings = app.settings
    settings.need_kaltura()
    settings.need_bucket()
    account = {"partner": settings.partner_id, "service": settings.service_url.rstrip("/"), "bucket": settings.bucket}
    return account | ({"placeholder": placeholders.fingerprint} if command is Command.REPLACE else {})
