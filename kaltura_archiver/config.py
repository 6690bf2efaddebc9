"""Environment and `.env` to frozen Settings: the sole reader of the environment. Secrets are never in a repr."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from kaltura_archiver.envfile import check_values, read_env_file, read_text
from kaltura_archiver.errors import ConfigError
from kaltura_archiver.redact import hide

# Every variable that this program itself reads, with its default and meaning: docs/configuration.md is made from it.
VARIABLES: Mapping[str, tuple[str, str]] = {
    "KALTURA_PARTNERID": ("", "partner id of the Kaltura account (KMC: Settings, Integration Settings)"),
    "KALTURA_SECRET": ("", "admin secret of the account; or the two variables below"),
    "KALTURA_APP_TOKEN_ID": ("", "id of an app token with the privilege disableentitlement; preferred over the secret"),
    "KALTURA_APP_TOKEN": ("", "the app token itself"),
    "KALTURA_USERID": ("", "Kaltura user that the changes are made as"),
    "KALTURA_SERVICE_URL": ("https://www.kaltura.com", "address of the Kaltura service"),
    "KALTURA_POLL_SECONDS": ("10", "pause between looks at a conversion; fractions allowed"),
    "KALTURA_SETTLE_SECONDS": ("60", "how long after a replacement Kaltura may still change the new original"),
    "AWS_BUCKET": ("", "S3 bucket of the stored copies"),
    "AWS_ENDPOINT_URL": ("", "another S3 service than AWS; this and every other variable of boto3 works"),
    "PLACEHOLDER_VIDEO": ("placeholder_video.mp4", "video file that takes the place of an archived original"),
    "KEEP_TAGS": ("keep", "entries with one of these tags are never archived nor replaced (comma list)"),
    "KEEP_CATEGORIES": ("", "ids of categories: nor what is in them or below them"),
    "KEEP_OWNERS": ("", "Kaltura users: nor what they own; @FILE: those in FILE, one per line"),
    "CLUSTER_TLS": ("", "folder of a fleet's ca.pem, cert.pem and key.pem (kaltura-archiver cluster certificates)"),
    "KALTURA_PRICE": ("", "what Kaltura asks for a GB and month, for estimates; in the currency of the price table"),
    "PRICE_TABLE": ("", "a price table of your own (docs/money.md); else AWS's in us-east-1"),
    "PLACEHOLDER_MAP": ("", "TOML file that names other placeholders by category or language"),
    "LDAP_SERVER": ("", "host of the directory that knows the owners"),
    "LDAP_PORT": ("", "its port; 636 unless given, 389 where LDAP_TLS is starttls or none"),
    "LDAP_TLS": ("ldaps", "ldaps, starttls, or none (for anonymous look-ups only: no password goes out unencrypted)"),
    "LDAP_CA_FILE": ("", "PEM file of the authority that signed the server's certificate; else the system's"),
    "LDAP_USER": ("", "who signs in to the directory; nobody (anonymous) if not set"),
    "LDAP_PWD": ("", "the password"),
    "LDAP_BIND_PATTERN": ("uid={user},{base}", "the name to sign in with; {user} where LDAP_USER is a whole name"),
    "LDAP_BASE": ("o=princeton university,c=us", "where in the directory to search"),
    "LDAP_FILTER": (
        "(|(puresource=authentication=enabled)(puresource=authentication=goingaway))",
        "what is true of active accounts; (objectClass=*) where every account in the directory is active",
    ),
    "LDAP_UID_ATTRIBUTE": ("uid", "attribute that holds the user id"),
    "LDAP_NAME_ATTRIBUTES": ("displayName,cn", "attributes that may hold a person's name: the first that does"),
    "LDAP_UNIT_ATTRIBUTES": ("ou", "the same for the organisational unit"),
    "NOTIFY_FROM": ("", "who writes to owners: an address, or Name <address>"),
    "SMTP_SERVER": ("", "host of the mail server for notify --send"),
    "SMTP_PORT": ("", "its port; 587 unless given, 465 where SMTP_TLS is tls, 25 where it is none"),
    "SMTP_TLS": ("starttls", "starttls, tls, or none (without a password only)"),
    "SMTP_CA_FILE": ("", "PEM file of the authority that signed the mail server's certificate; else the system's"),
    "SMTP_USER": ("", "who signs in to the mail server; nobody if not set"),
    "SMTP_PWD": ("", "the password"),
}


@dataclass(frozen=True)
class PlaceholderFiles:
    """Which files take an original's place: `default`, unless its category (an id) or its language has another."""

    default: Path
    of_categories: Mapping[str, Path] = field(default_factory=dict)
    of_languages: Mapping[str, Path] = field(default_factory=dict)

    def chosen(self, category_ids: Collection[str], language: str) -> Path:
        """Of an entry in several of these categories, the one that the file names first; categories before language."""
        first = next((path for category, path in self.of_categories.items() if category in category_ids), None)
        return first or self.of_languages.get(language.casefold(), self.default)

    def all(self) -> tuple[Path, ...]:
        return tuple(dict.fromkeys((self.default, *self.of_categories.values(), *self.of_languages.values())))

    def known(self) -> PlaceholderFiles:
        """These files, if they are there. Raises ConfigError for one that the settings name and that is missing: no
        original that is this placeholder would be known as one. Where nothing is named, there need not be any."""
        for path in self.all():
            if _size(path) is None and str(path) != VARIABLES["PLACEHOLDER_VIDEO"][0]:
                raise ConfigError(
                    f"cannot read the placeholder {path}: without it, what holds it would be taken for an "
                    "original; put it there, or name another in PLACEHOLDER_VIDEO or PLACEHOLDER_MAP"
                )
        return self


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def is_loopback(host: str) -> bool:
    """Whether this is the machine itself, whose traffic nobody else hears."""
    with suppress(ValueError):
        return ip_address(host).is_loopback
    return host.rstrip(".").lower() == "localhost" or host.rstrip(".").lower().endswith(".localhost")


@dataclass(frozen=True)
class LdapSettings:
    """How to ask the directory; as text, checked when the directory is asked."""

    server: str
    port: str
    tls: str
    ca_file: str
    user: str
    password: str = field(repr=False)
    bind_pattern: str
    base: str
    filter: str
    uid_attribute: str
    name_attributes: str
    unit_attributes: str


@dataclass(frozen=True)
class SmtpSettings:
    """How to hand messages to the mail server; as text, checked when that is asked for."""

    server: str
    port: str
    tls: str
    ca_file: str
    user: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class Settings:
    """What the environment says. `poll_seconds` is the pause between two looks at a conversion.

    `settle_seconds`: how long after a replacement the server may set the original's file once more (kaltura-api 10.16).

    The keep list is text, checked by the commands that heed it: no mistake in it stands in the way of a restore.
    """

    partner_id: str
    secret: str = field(repr=False)
    app_token_id: str
    app_token: str = field(repr=False)
    user_id: str
    service_url: str
    poll_seconds: float
    settle_seconds: float
    bucket: str
    endpoint_url: str
    placeholder_path: Path
    keep_tags: str
    keep_categories: str
    keep_owners: str
    cluster_tls: str
    kaltura_price: float | None
    price_table: Path | None
    placeholder_map: str
    ldap: LdapSettings
    smtp: SmtpSettings
    notify_from: str

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

    def placeholder_bytes(self) -> int | None:
        """Size of the placeholder file; None if there is no such file."""
        return _size(self.placeholder_path)

    def placeholders(self) -> PlaceholderFiles:
        """The placeholder and those of PLACEHOLDER_MAP. Raises ConfigError where that cannot be read."""
        return read_placeholder_map(self.placeholder_map, self.placeholder_path)


def read_settings(env_file: str | None = None) -> Settings:
    """Settings from the environment, completed from `env_file` or, if that is not given, `.env` in this directory.

    boto3 reads the environment by itself, so what the file says is put there. Raises ConfigError for a file that was
    named but cannot be read, for a line of it that would be lost, and for a number that is none.
    """
    path = Path(env_file or ".env")
    if env_file and not path.is_file():
        raise ConfigError(f"--env-file {env_file}: no such file")
    if path.is_file():
        for name, value in read_env_file(path).items():
            os.environ.setdefault(name, value)
    check_values(os.environ, VARIABLES)
    values = {name: os.environ.get(name, "").strip() or default for name, (default, _) in VARIABLES.items()}
    for name in ("KALTURA_SECRET", "KALTURA_APP_TOKEN"):
        hide(values[name])
    for name in ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "LDAP_PWD", "SMTP_PWD"):
        hide(os.environ.get(name))
    poll_seconds = _seconds("KALTURA_POLL_SECONDS", values)
    if not poll_seconds:
        raise ConfigError("KALTURA_POLL_SECONDS must be a number of seconds above 0 and at most 3600")
    return Settings(
        partner_id=values["KALTURA_PARTNERID"],
        secret=values["KALTURA_SECRET"],
        app_token_id=values["KALTURA_APP_TOKEN_ID"],
        app_token=values["KALTURA_APP_TOKEN"],
        user_id=values["KALTURA_USERID"],
        service_url=values["KALTURA_SERVICE_URL"],
        poll_seconds=poll_seconds,
        settle_seconds=_seconds("KALTURA_SETTLE_SECONDS", values),
        bucket=values["AWS_BUCKET"],
        endpoint_url=values["AWS_ENDPOINT_URL"],
        placeholder_path=Path(values["PLACEHOLDER_VIDEO"]),
        keep_tags=values["KEEP_TAGS"],
        keep_categories=values["KEEP_CATEGORIES"],
        keep_owners=values["KEEP_OWNERS"],
        cluster_tls=values["CLUSTER_TLS"],
        kaltura_price=_price(values["KALTURA_PRICE"]),
        price_table=Path(values["PRICE_TABLE"]) if values["PRICE_TABLE"] else None,
        placeholder_map=values["PLACEHOLDER_MAP"],
        ldap=LdapSettings(
            server=values["LDAP_SERVER"],
            port=values["LDAP_PORT"],
            tls=values["LDAP_TLS"],
            ca_file=values["LDAP_CA_FILE"],
            user=values["LDAP_USER"],
            password=values["LDAP_PWD"],
            bind_pattern=values["LDAP_BIND_PATTERN"],
            base=values["LDAP_BASE"],
            filter=values["LDAP_FILTER"],
            uid_attribute=values["LDAP_UID_ATTRIBUTE"],
            name_attributes=values["LDAP_NAME_ATTRIBUTES"],
            unit_attributes=values["LDAP_UNIT_ATTRIBUTES"],
        ),
        smtp=SmtpSettings(
            server=values["SMTP_SERVER"],
            port=values["SMTP_PORT"],
            tls=values["SMTP_TLS"],
            ca_file=values["SMTP_CA_FILE"],
            user=values["SMTP_USER"],
            password=values["SMTP_PWD"],
        ),
        notify_from=values["NOTIFY_FROM"],
    )


def _seconds(name: str, values: Mapping[str, str]) -> float:
    try:
        seconds = float(values[name])
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 3600:
        raise ConfigError(f"{name} must be a number of seconds above 0 and at most 3600")
    return seconds


def _price(text: str) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        raise ConfigError(f"KALTURA_PRICE: {text[:40]!r} is not a price per GB and month, such as 0.12") from None


def batch_shard() -> tuple[int, int] | None:
    """This job's share in an array job of AWS Batch (index, size), which tells it by two variables; None elsewhere."""
    index, size = (os.environ.get(f"AWS_BATCH_JOB_ARRAY_{name}", "") for name in ("INDEX", "SIZE"))
    if not index or not size:
        return None
    if not (index.isdecimal() and size.isdecimal() and int(index) < int(size)):
        raise ConfigError(f"AWS_BATCH_JOB_ARRAY_INDEX {index!r} is no share of AWS_BATCH_JOB_ARRAY_SIZE {size!r}")
    return int(index), int(size)


def terminal_redraws() -> bool:
    """Whether a terminal can be drawn on again and again: not a dumb one, nor what keeps the log of a CI job."""
    return os.environ.get("TERM", "dumb") != "dumb" and os.environ.get("CI", "").lower() in ("", "0", "false")


def read_placeholder_map(file: str, default: Path) -> PlaceholderFiles:
    """The placeholders that a TOML file names, relative to its own folder; without a file, the default alone."""
    if not file:
        return PlaceholderFiles(default)
    import tomllib

    where, folder = f"PLACEHOLDER_MAP {file}", Path(file).parent
    try:
        tables = tomllib.loads(read_text(Path(file), where))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{where} is not TOML: {error}") from error
    if unknown := tables.keys() - {"category", "language"}:
        raise ConfigError(f"{where}: there is no {min(unknown)!r}; there are the tables [category] and [language]")
    found: dict[str, dict[str, Path]] = {"category": {}, "language": {}}
    for kind, table in tables.items():
        if not isinstance(table, dict):
            raise ConfigError(f"{where}: {kind} is not a table: write [{kind}] above its lines")
        for key, name in table.items():
            if not isinstance(name, str) or not name:
                raise ConfigError(f"{where}: {key} = … must be the name of a video file")
            if kind == "category" and not (key.isascii() and key.isdigit()):
                raise ConfigError(f"{where}: {key!r} is not the id of a category, a number")
            found[kind][key.casefold()] = folder / name
    return PlaceholderFiles(default, found["category"], found["language"])


def check_placeholder(path: Path) -> None:
    """Raise ConfigError unless `path` is a file that begins like a video (MP4/MOV with a track, Matroska/WebM)."""
    advice = "set PLACEHOLDER_VIDEO to a short MP4, or make one: kaltura-archiver placeholder"
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            head = file.read(12)
            if head[:4] == b"\x1aE\xdf\xa3":
                return
            kinds: list[bytes] = []
            offset = 0
            while head[4:8] == b"ftyp" or kinds:
                kinds.append(head[4:8])
                box = int.from_bytes(head[:4], "big")
                if box == 1:
                    file.seek(offset + 8)
                    box = int.from_bytes(file.read(8), "big")
                elif box == 0:
                    box = size - offset
                offset += box
                if box < 8 or offset >= size:
                    break
                file.seek(offset)
                head = file.read(12)
            if offset > size or b"moov" not in kinds:
                raise ConfigError(f"the placeholder {path} is not a video, or is damaged; {advice}")
    except OSError as error:
        raise ConfigError(f"cannot read the placeholder {path}: {error.strerror}; {advice}") from error
