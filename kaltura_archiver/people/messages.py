"""Notices as mail: headers that every server takes, and files for those who send by themselves."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from pathlib import Path

from kaltura_archiver.errors import ConfigError
from kaltura_archiver.output.files import write
from kaltura_archiver.people.notices import Notice, checked_address, clean

# Long lines and anything but ASCII are encoded, so that every server takes it.
_POLICY = SMTP.clone(cte_type="7bit")


def message_id(plan: str, key: str, sender: str) -> str:
    """The same for the same plan and recipient: whoever gets a message twice after all can tell."""
    digest = hashlib.sha256(json.dumps([plan, key]).encode()).hexdigest()
    return f"<{digest[:40]}@{sender.rpartition('@')[2]}>"


def checked_sender(text: str, what: str) -> tuple[str, str]:
    """A header's value and the address in it, of `address` or `Name <address>`. Raises ConfigError."""
    headers = EmailMessage(policy=_POLICY)
    try:
        headers["From"] = text.strip()
        (one,) = headers["From"].addresses
        address = checked_address(one.addr_spec)
    except (ValueError, IndexError, AttributeError):
        address = ""
    if not address:
        raise ConfigError(f"{what}: {clean(text)[:80]!r} is not an address such as Video archive <video@example.edu>")
    return text.strip(), address


def compose(
    notice: Notice, written: tuple[str, str, str], *, sender: str, reply_to: str, identity: str, now: datetime
) -> EmailMessage:
    """The message. The recipient's name stands in its text only, where it can do no harm."""
    subject, text, page = written
    message = EmailMessage(policy=_POLICY)
    message["From"] = sender
    message["To"] = notice.address
    if reply_to:
        message["Reply-To"] = reply_to
    message["Subject"] = subject
    message["Date"] = format_datetime(now)
    message["Message-ID"] = identity
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(text)
    message.add_alternative(page, subtype="html")
    return message


def file_name(notice: Notice, identity: str) -> str:
    """Of an .eml file: readable, and another for each recipient of each plan."""
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", notice.key.split(" ")[0]).strip("-") or "owner"
    return f"{name[:40]}-{identity[1:13]}.eml"


def write_file(path: Path, message: EmailMessage) -> None:
    """Write a message, whole or not at all, for this user's eyes only."""
    write(path, message.as_bytes())
