"""Keeps secrets out of everything that is printed or logged: one function, applied at each way out."""

from __future__ import annotations

import logging
import re
import threading
import unicodedata
from urllib.parse import quote

_HIDDEN = "[redacted]"
# Parts of words in several scripts, and of emoji.
_JOINERS = "\u200c\u200d"
_secrets: set[str] = set()
_lock = threading.Lock()

# Session keys, presigned and tokenised URLs, and the fields of a request that carry secrets.
_PATTERNS = (
    re.compile(
        r"(?i)([?&;/](?:ks|hdnea|hdnts|__gda__|__token__|token|signature|policy|key-pair-id|awsaccesskeyid"
        r"|x-amz-(?:signature|credential|security-token))[=/])[^&\s\"'<>/]+"
    ),
    re.compile(r"(?i)([\"']?\b(?:ks|secret|adminsecret|tokenhash|password)[\"']?\s*[:=]\s*[\"']?)[^\s\"',}&<>\[]{6,}"),
    re.compile(r"(?i)(<ks>)[^<]+"),
    re.compile(r"(://[^/\s:@]*:)[^/\s@]+(?=@)"),
    # KS version 2 and 1, as base64: of "v2|", and long runs that a message quotes in place of "EXPIRED".
    re.compile(r"()\bdjJ8[A-Za-z0-9+/_=-]{16,}"),
    re.compile(r"(Invalid KS \")(?!EXPIRED|LOGOUT)[^\"]+"),
)


def hide(secret: str | None) -> None:
    """Never show this text again; short ones are ignored, for they would tear holes into ordinary words."""
    if secret and len(secret) >= 6:
        with _lock:
            _secrets.update((secret, quote(secret, safe="")))


def redact(text: str) -> str:
    """`text` without the secrets that were hidden, and without whatever looks like one."""
    with _lock:
        known = sorted(_secrets, key=len, reverse=True)
    for secret in known:
        if secret in text:
            text = text.replace(secret, _HIDDEN)
    for pattern in _PATTERNS:
        text = pattern.sub(rf"\1{_HIDDEN}", text)
    return text


def one_line(text: str) -> str:
    """`text` on one line, control characters escaped, so that a name from Kaltura cannot steer a terminal.

    Spaces of any width and joiners stay, which Python does not call printable: names have them.
    """
    if text.isprintable():
        return text
    return "".join(c if _harmless(c) else c.encode("unicode_escape").decode("ascii") for c in text)


def _harmless(character: str) -> bool:
    return character.isprintable() or character in _JOINERS or unicodedata.category(character) == "Zs"


class RedactingFilter(logging.Filter):
    """Redacts whole log records; tracebacks are rendered first, for they may quote a URL."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg = one_line(redact(record.getMessage()))
        record.args = None
        if record.exc_info:
            trace = redact(logging.Formatter().formatException(record.exc_info))
            record.exc_text = "\n".join(one_line(line) for line in trace.split("\n"))
            record.exc_info = None
        return True
