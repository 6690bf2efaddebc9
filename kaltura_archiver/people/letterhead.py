"""Who writes, and what all messages of a run have in common: by options, or else by the settings NOTIFY_*."""

from __future__ import annotations

import re
from dataclasses import dataclass

from kaltura_archiver.config import Settings
from kaltura_archiver.errors import ConfigError
from kaltura_archiver.people.messages import checked_sender
from kaltura_archiver.people.templates_of_notices import Wording


@dataclass(frozen=True)
class Letterhead:
    """`sender` is the header, `address` the one in it, `reply_to` empty where answers go to that one."""

    sender: str
    address: str
    reply_to: str
    wording: Wording


def letterhead(
    settings: Settings, *, sender: str | None = None, reply_to: str | None = None, link: str | None = None,
    keep_link: str | None = None, reminder: bool = False,
) -> Letterhead:  # fmt: skip
    """Raises ConfigError where nobody is said to write, or an address or a link is none."""
    header, address = _who_writes(settings, sender)
    answers = checked_sender(reply_to, "--reply-to")[1] if reply_to else ""
    return Letterhead(
        header, address, answers, _wording(settings, answers or address, header, link, keep_link, reminder=reminder)
    )


def _who_writes(settings: Settings, sender: str | None) -> tuple[str, str]:
    """The sender as the message has it, and the address in it."""
    asked = "--from" if sender else "NOTIFY_FROM"
    sender = sender or settings.notify_from
    if not sender:
        raise ConfigError("who writes to owners? set NOTIFY_FROM (notify also takes --from ADDRESS)")
    return checked_sender(sender, asked)


def _wording(
    settings: Settings, contact: str, sender: str, link: str | None, keep_link: str | None, *, reminder: bool
) -> Wording:
    link = settings.notify_link if link is None else link
    keep_link = settings.notify_keep_link if keep_link is None else keep_link
    for name, text, schemes in (("link", link, "https?://"), ("keep-link", keep_link, "https?://|mailto:")):
        if text and (not re.match(schemes, text) or "{entry_id}" not in text):
            setting = f"NOTIFY_{name.upper().replace('-', '_')}"
            raise ConfigError(
                f"--{name} ({setting}) must be an address with {{entry_id}} in it: https://media.example.edu/{{entry_id}}"
            )
    signature = settings.notify_signature.replace("\\n", "\n") or sender.partition("<")[0].strip(' "')
    return Wording(contact, link, keep_link, signature, reminder)
