"""Environment and `.env` to frozen Settings: the sole reader of the environment. Secrets are never in a repr."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from kaltura_archiver.envfile import PROTECTIVE, check_values, read_env_file
from kaltura_archiver.errors import ConfigError
from kaltura_archiver.redact import hide

log = logging.getLogger(__name__)
T = TypeVar("T")
DEFAULT_PLACEHOLDER = "placeholder_video.mp4"


def is_loopback(host: str) -> bool:
    """Whether this is the machine itself, whose traffic nobody else hears."""
    with suppress(ValueError):
        return ip_address(host).is_loopback
    return host.rstrip(".").lower() == "localhost" or host.rstrip(".").lower().endswith(".localhost")


Parser = Callable[[str, str], Any]


def _seconds(name: str, text: str, *, may_be_0: bool = False) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 3600 or not (seconds or may_be_0):
        raise ConfigError(f"{name} must be a number of seconds above 0 and at most 3600")
    return seconds


def _price(name: str, text: str) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        raise ConfigError(f"{name}: {text[:40]!r} is not a price per GB and month, such as 0.12") from None


def _object_lock(name: str, text: str) -> tuple[str, int] | None:
    """Mode and years; None if nothing is to be held."""
    if not text:
        return None
    mode, _, years = text.partition(":")
    if mode not in ("GOVERNANCE", "COMPLIANCE") or not years.isdecimal() or not 1 <= int(years) <= 100:
        raise ConfigError(f"{name} must be GOVERNANCE or COMPLIANCE, a colon and 1 to 100 years, as in GOVERNANCE:7")
    return mode, int(years)


def _bucket(name: str, text: str) -> str:
    if "/" in text and not text.startswith("arn:"):
        raise ConfigError(f"{name} is the bare name of a bucket, not {text[:80]!r}: no s3://, and no folder")
    return text


def _path(_: str, text: str) -> Path | None:
    return Path(text) if text else None


def _text(_: str, text: str) -> str:
    return text


def _from(variable: str, meaning: str, default: str = "", parser: Parser = _text, *, secret: bool = False) -> Any:
    """A field that a variable of the environment fills: this is its row of the table of settings."""
    row = {"variable": variable, "meaning": meaning, "default": default, "parser": parser, "secret": secret}
    return field(repr=not secret, metadata=row)


@dataclass(frozen=True)
class LdapSettings:
    """How to ask the directory; as text, checked when the directory is asked."""

    server: str = _from("LDAP_SERVER", "host of the directory that knows the owners")
    port: str = _from("LDAP_PORT", "its port; 636 unless given, 389 where LDAP_TLS is starttls or none")
    tls: str = _from(
        "LDAP_TLS", "ldaps, starttls, or none (for anonymous look-ups only: no password goes out unencrypted)", "ldaps"
    )
    ca_file: str = _from(
        "LDAP_CA_FILE", "PEM file of the authority that signed the server's certificate; else the system's"
    )
    user: str = _from("LDAP_USER", "who signs in to the directory; nobody (anonymous) if not set")
    password: str = _from("LDAP_PWD", "the password", secret=True)
    bind_pattern: str = _from(
        "LDAP_BIND_PATTERN", "the name to sign in with; {user} where LDAP_USER is a whole name", "uid={user},{base}"
    )
    base: str = _from("LDAP_BASE", "where in the directory to search", "o=princeton university,c=us")
    filter: str = _from(
        "LDAP_FILTER",
        "what is true of active accounts; (objectClass=*) where every account in the directory is active",
        "(|(puresource=authentication=enabled)(puresource=authentication=goingaway))",
    )
    uid_attribute: str = _from("LDAP_UID_ATTRIBUTE", "attribute that holds the user id", "uid")
    name_attributes: str = _from(
        "LDAP_NAME_ATTRIBUTES", "attributes that may hold a person's name: the first that does", "displayName,cn"
    )
    unit_attributes: str = _from("LDAP_UNIT_ATTRIBUTES", "the same for the organisational unit", "ou")


@dataclass(frozen=True)
class SmtpSettings:
    """How to hand messages to the mail server; as text, checked when that is asked for."""

    server: str = _from("SMTP_SERVER", "host of the mail server for notify --send")
    port: str = _from("SMTP_PORT", "its port; 587 unless given, 465 where SMTP_TLS is tls, 25 where it is none")
    tls: str = _from("SMTP_TLS", "starttls, tls, or none (without a password only)", "starttls")
    ca_file: str = _from(
        "SMTP_CA_FILE", "PEM file of the authority that signed the mail server's certificate; else the system's"
    )
    user: str = _from("SMTP_USER", "who signs in to the mail server; nobody if not set")
    password: str = _from("SMTP_PWD", "the password", secret=True)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the environment says: every variable that this program itself reads; docs/configuration.md is made of it.

    The keep list is text, checked by the commands that heed it: no mistake in it stands in the way of a restore.
    """

    partner_id: str = _from(
        "KALTURA_PARTNERID", "partner id of the Kaltura account (KMC: Settings, Integration Settings)"
    )
    secret: str = _from("KALTURA_SECRET", "admin secret of the account; or the two variables below", secret=True)
    app_token_id: str = _from(
        "KALTURA_APP_TOKEN_ID", "id of an app token with the privilege disableentitlement; preferred over the secret"
    )
    app_token: str = _from("KALTURA_APP_TOKEN", "the app token itself", secret=True)
    user_id: str = _from("KALTURA_USERID", "Kaltura user that the changes are made as")
    service_url: str = _from("KALTURA_SERVICE_URL", "address of the Kaltura service", "https://www.kaltura.com")
    poll_seconds: float = _from(
        "KALTURA_POLL_SECONDS", "pause between looks at a conversion; fractions allowed", "10", _seconds
    )
    # The server may set the original's file once more (kaltura-api 10.16).
    settle_seconds: float = _from(
        "KALTURA_SETTLE_SECONDS",
        "how long after a replacement Kaltura may still change the new original",
        "60",
        partial(_seconds, may_be_0=True),
    )
    bucket: str = _from("AWS_BUCKET", "S3 bucket of the stored copies", parser=_bucket)
    endpoint_url: str = _from(
        "AWS_ENDPOINT_URL", "another S3 service than AWS; this and every other variable of boto3 works"
    )
    object_lock: tuple[str, int] | None = _from(
        "OBJECT_LOCK", "how S3's Object Lock holds each new copy: GOVERNANCE or COMPLIANCE, and years (GOVERNANCE:7)",
        parser=_object_lock,
    )  # fmt: skip
    placeholder_path: Path = _from(  # noqa: RUF009 - a field
        "PLACEHOLDER_VIDEO", "video file that takes the place of an archived original", DEFAULT_PLACEHOLDER, _path
    )
    keep_tags: str = _from(
        "KEEP_TAGS", "entries with one of these tags are never archived nor replaced (comma list)", "keep"
    )
    keep_categories: str = _from("KEEP_CATEGORIES", "ids of categories: nor what is in them or below them")
    keep_owners: str = _from("KEEP_OWNERS", "Kaltura users: nor what they own; @FILE: those in FILE, one per line")
    keep_metadata: str = _from(
        "KEEP_METADATA", "fields of custom metadata: nor entries in which one is that (comma list of FIELD=VALUE)"
    )
    cluster_tls: str = _from(
        "CLUSTER_TLS", "folder of a fleet's ca.pem, cert.pem and key.pem (kaltura-archiver cluster certificates)"
    )
    kaltura_price: float | None = _from(
        "KALTURA_PRICE", "what Kaltura asks for a GB and month, for estimates; in the currency of the price table",
        parser=_price,
    )  # fmt: skip
    price_table: Path | None = _from(  # noqa: RUF009 - a field
        "PRICE_TABLE", "a price table of your own (docs/money.md); else AWS's in us-east-1", parser=_path
    )
    placeholder_map: str = _from("PLACEHOLDER_MAP", "TOML file that names other placeholders by category or language")
    ldap: LdapSettings = field(metadata={"group": LdapSettings})
    notify_from: str = _from("NOTIFY_FROM", "who writes to owners: an address, or Name <address>")
    notify_link: str = _from("NOTIFY_LINK", "where an owner plays an entry: an address with {entry_id} in it")
    notify_keep_link: str = _from("NOTIFY_KEEP_LINK", "where an owner asks to keep an entry: the same, or mailto:")
    notify_signature: str = _from("NOTIFY_SIGNATURE", "the unit's lines below messages to owners; \\n begins a new one")
    smtp: SmtpSettings = field(metadata={"group": SmtpSettings})

    def need_kaltura(self) -> None:
        """Raise ConfigError unless there are credentials for Kaltura and an address."""
        missing = []
        if not self.partner_id:
            missing.append("KALTURA_PARTNERID")
        if self.app_token_id or self.app_token:
            missing += [
                name
                for name, value in (("KALTURA_APP_TOKEN_ID", self.app_token_id), ("KALTURA_APP_TOKEN", self.app_token))
                if not value
            ]
        elif not self.secret:
            missing.append("KALTURA_SECRET (or KALTURA_APP_TOKEN_ID and KALTURA_APP_TOKEN)")
        if missing:
            raise ConfigError(f"not set: {', '.join(missing)}; set it in the environment or in a .env file")
        address = urlsplit(self.service_url)
        if address.scheme not in ("http", "https") or not address.netloc:
            raise ConfigError("KALTURA_SERVICE_URL must be an address such as https://www.kaltura.com")
        if address.scheme == "http" and not is_loopback(address.hostname or ""):
            raise ConfigError(
                "KALTURA_SERVICE_URL must begin with https://, for the secret and the session would travel unencrypted"
            )

    def need_bucket(self) -> None:
        """Raise ConfigError unless a bucket is named."""
        if not self.bucket:
            raise ConfigError("not set: AWS_BUCKET; set it in the environment or in a .env file")


def read_settings(env_file: str | None = None) -> Settings:
    """Settings from the environment, completed from `env_file` or, if that is not given, `.env` in this directory.

    boto3 reads the environment by itself, so what the file says is put there. Raises ConfigError for a file that was
    named but cannot be read, for a line of it that would be lost, and for a number that is none.
    """
    path = Path(env_file or ".env")
    if env_file and not path.is_file():
        raise ConfigError(f"--env-file {env_file}: no such file")
    if path.is_file():
        told = read_env_file(path, VARIABLES)
        for name in told.keys() & set(PROTECTIVE):
            if not os.environ.get(name, "").strip():
                os.environ.pop(name, None)  # what is handed on empty says nothing, and would protect nothing
        others = sorted(name for name, value in told.items() if os.environ.get(name, value) != value)
        if env_file and others:
            log.warning("%s says otherwise, but the environment counts: %s", env_file, ", ".join(others))
        for name, value in told.items():
            os.environ.setdefault(name, value)
    for name in [name for name, value in os.environ.items() if name.startswith("AWS_") and not value.strip()]:
        del os.environ[name]  # boto3 would look for a profile, or a region, without a name
    check_values(os.environ, VARIABLES)
    for name in ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        hide(os.environ.get(name))
    return _filled(Settings)


def _filled(group: type[T]) -> T:
    """A group of settings, each field as its row of the table says."""
    values: dict[str, Any] = {}
    for place in fields(group):  # type: ignore[arg-type]
        row = place.metadata
        if inner := row.get("group"):
            values[place.name] = _filled(inner)
            continue
        text = os.environ.get(row["variable"], "").strip() or row["default"]
        if row["secret"]:
            hide(text)
        values[place.name] = row["parser"](row["variable"], text)
    return group(**values)


def _rows(group: type) -> Iterator[Mapping[str, Any]]:
    for place in fields(group):
        inner = place.metadata.get("group")
        yield from _rows(inner) if inner else [place.metadata]


# The default and the meaning of every variable.
VARIABLES: Mapping[str, tuple[str, str]] = {r["variable"]: (r["default"], r["meaning"]) for r in _rows(Settings)}


def batch_shard() -> tuple[int, int] | None:
    """This job's share in an array job of AWS Batch (index, size), which tells it by two variables; None elsewhere."""
    index, size = (os.environ.get(f"AWS_BATCH_JOB_ARRAY_{name}", "") for name in ("INDEX", "SIZE"))
    if not index or not size:
        return None
    if not (index.isdecimal() and size.isdecimal() and int(index) < int(size)):
        raise ConfigError(f"AWS_BATCH_JOB_ARRAY_INDEX {index!r} is no share of AWS_BATCH_JOB_ARRAY_SIZE {size!r}")
    return int(index), int(size)


def batch_retry() -> bool:
    """Whether this is a further attempt of a job of AWS Batch, whose first one ended, or was lost with its machine."""
    attempt = os.environ.get("AWS_BATCH_JOB_ATTEMPT", "")
    return attempt.isdecimal() and int(attempt) > 1


def terminal_redraws() -> bool:
    """Whether a terminal can be drawn on again and again: not a dumb one, nor what keeps the log of a CI job."""
    return os.environ.get("TERM", "dumb") != "dumb" and os.environ.get("CI", "").lower() in ("", "0", "false")
