"""How the directory is reached: its address, TLS and name, and what may stand in a filter."""

from __future__ import annotations

import base64
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from ldap3 import ANONYMOUS, SIMPLE, Tls
from ldap3.core.exceptions import LDAPException
from ldap3.operation.search import parse_filter
from ldap3.utils.dn import escape_rdn
from pyasn1.error import PyAsn1Error

from kaltura_archiver.config import LdapSettings
from kaltura_archiver.errors import ConfigError

CONNECT_SECONDS, ANSWER_SECONDS = 10, 30
# For a whole answer, and for signing in: the other two are for each part of them that comes.
IN_ALL_SECONDS = 120.0
# What ldap3 raises when a connection breaks, or when what answers does not speak LDAP.
LDAP_FAULTS = (LDAPException, PyAsn1Error, OSError, ValueError, LookupError, TypeError, AttributeError)


@dataclass(frozen=True)
class Found:
    """One entry of the directory; the names of its attributes are in lower case."""

    dn: str
    attributes: Mapping[str, Sequence[str]]


class CheckedTls(Tls):  # type: ignore[misc]
    """TLS as Python checks it: ldap3's own check of names knows no IP addresses, and by default accepts anything."""

    def __init__(self, context: ssl.SSLContext, host: str) -> None:
        super().__init__(validate=ssl.CERT_REQUIRED)
        self._context = context
        self._host = host
        self.refusal = ""

    def wrap_socket(self, connection: Any, do_handshake: bool = False) -> None:
        try:
            connection.socket = self._context.wrap_socket(connection.socket, server_hostname=self._host)
        except ssl.SSLCertVerificationError as error:
            self.refusal = error.verify_message or str(error)
            raise


def escape_value(value: str) -> str:
    """A value for a filter in which nothing but plain characters stands for itself (RFC 4515)."""
    return "".join(
        chr(byte) if chr(byte).isalnum() and byte < 128 else f"\\{byte:02x}"
        for byte in value.encode("utf-8", "surrogatepass")
    )


def checked_filter(text: str, what: str) -> str:
    """A filter by itself, in parentheses; ConfigError for one that is none, or that would close another's."""
    text = text.strip()
    text = text if text.startswith("(") else f"({text})"
    try:
        parse_filter(text, None, False, False, None, False)
    except LDAP_FAULTS as error:
        raise ConfigError(f"{what} is not an LDAP filter: {text[:80]}") from error
    return text


def ldap_address(settings: LdapSettings) -> tuple[str, int, str]:
    """Host, port and kind of TLS, from LDAP_SERVER as a host, host:port or ldap(s)://host:port."""
    if not settings.server:
        file = "--directory-file, in a policy directory"
        raise ConfigError(f"not set: LDAP_SERVER; set it in the environment or in a .env file, or use a file ({file})")
    tls = settings.tls.lower()
    if tls not in ("ldaps", "starttls", "none"):
        raise ConfigError(f"LDAP_TLS must be ldaps, starttls or none, not {settings.tls[:20]!r}")
    scheme, separator, rest = settings.server.rpartition("://")
    if separator:
        if scheme not in ("ldap", "ldaps"):
            raise ConfigError("LDAP_SERVER must be a host, or begin with ldaps:// or ldap://")
        tls = "ldaps" if scheme == "ldaps" else "none" if tls == "none" else "starttls"
    try:
        url = urlsplit(f"//{rest}")
        host, port = url.hostname, url.port or int(settings.port or (636 if tls == "ldaps" else 389))
    except ValueError:
        host, port = None, 0
    if not host or not 0 < port < 65536:
        raise ConfigError("LDAP_SERVER and LDAP_PORT must be the directory's host and its port, a number")
    return host, port, tls


def ldap_login(settings: LdapSettings, tls: str) -> dict[str, Any]:
    """How to sign in, in ldap3's words."""
    if bool(settings.user) != bool(settings.password):
        # An empty password would silently mean an anonymous bind.
        missing = "LDAP_PWD" if settings.user else "LDAP_USER"
        raise ConfigError(f"not set: {missing}; set LDAP_USER and LDAP_PWD, or neither to ask anonymously")
    if not settings.user:
        return {"authentication": ANONYMOUS}
    if tls == "none":
        raise ConfigError("LDAP_TLS=none would send LDAP_PWD unencrypted: use ldaps or starttls, or ask anonymously")
    if "{user}" not in settings.bind_pattern:
        raise ConfigError("LDAP_BIND_PATTERN must contain {user}")
    name = settings.user
    if settings.bind_pattern != "{user}":
        name = settings.bind_pattern.replace("{base}", settings.base).replace("{user}", escape_rdn(settings.user))
    return {"authentication": SIMPLE, "user": name, "password": settings.password}


def entry_found(item: Mapping[str, Any]) -> Found:
    attributes = item["raw_attributes"].items()
    return Found(item["dn"], {name.lower(): [_decoded(value) for value in values] for name, values in attributes})


def _decoded(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return base64.b64encode(value).decode()


def result_text(result: Mapping[str, Any]) -> str:
    return " ".join(part for part in (result["description"], result.get("message") or "") if part)


def reason_of(error: BaseException) -> str:
    return str(error) or type(error).__name__
