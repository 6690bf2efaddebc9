"""What a run tells its workers, and what --cluster says of them; no secret is in it."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from kaltura_archiver import __version__
from kaltura_archiver.config import Settings
from kaltura_archiver.errors import ConfigError
from kaltura_archiver.fleet.dask import PORT
from kaltura_archiver.placeholders import Placeholders
from kaltura_archiver.steps import Command, Options
from kaltura_archiver.transfer.bandwidth import Timetable


@dataclass(frozen=True)
class Job:
    """One run of a command. `place` is what a worker's own settings must agree with; `poll_seconds` and
    `settle_seconds` are those of where it was started, and count in place of a worker's."""

    run: str
    command: Command
    options: Options
    place: tuple[tuple[str, str], ...]
    log_level: int
    timetable: Timetable
    utc_offset: timedelta
    poll_seconds: float
    settle_seconds: float

    @property
    def topic(self) -> str:
        """Under which the run's workers speak; also the name of its tasks."""
        return f"kaltura-archiver-{self.run}"

    @classmethod
    def of(cls, settings: Settings, run: str, command: Command, options: Options, timetable: Timetable) -> Job:
        return cls(
            run,
            command,
            options,
            place_of_job(settings),
            logging.getLogger("kaltura_archiver").getEffectiveLevel(),
            timetable,
            datetime.now().astimezone().utcoffset() or timedelta(),
            settings.poll_seconds,
            settings.settle_seconds,
        )


def place_of_job(settings: Settings) -> tuple[tuple[str, str], ...]:
    """What is what, by its name. Raises ConfigError where S3 cannot be set up."""
    from kaltura_archiver.store.bucket import s3_service

    return (
        ("version", __version__),
        ("KALTURA_PARTNERID", settings.partner_id),
        ("KALTURA_SERVICE_URL", settings.service_url),
        ("KALTURA_USERID", settings.user_id),
        ("AWS_BUCKET", settings.bucket),
        ("the S3 service", s3_service() or "AWS"),
        ("OBJECT_LOCK", ":".join(map(str, settings.object_lock or ()))),
        ("the content of PLACEHOLDER_VIDEO and PLACEHOLDER_MAP", Placeholders.read(settings).fingerprint[:12]),
    )


@dataclass(frozen=True)
class Share:
    """What one worker process may take of what is bounded for the fleet; a higher number is a newer word."""

    number: int
    calls: int
    transfers: int
    converting: int
    rate: float


@dataclass(frozen=True)
class Where:
    """What --cluster says: the address of a running scheduler, or how many workers to start, and where."""

    kind: str
    address: str = ""
    count: int = 0
    stack: str = ""


def parse_address(text: str) -> str:
    """`tls://HOST:PORT` of tls://, tcp:// or nothing before it; ConfigError for what is none. It is TLS in any case."""
    match = re.fullmatch(r"(?:(?:tls|tcp)://)?([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::(\d{1,5}))?", text)
    port = int(match[2] or PORT) if match else 0
    if not match or not 0 < port < 65536:
        raise ConfigError(f"{text[:60]!r} is no address of a scheduler such as tls://host:{PORT}")
    return f"tls://{match[1]}:{port}"


def parse_cluster(text: str) -> Where:
    """ConfigError for what cannot be meant."""
    match = re.fullmatch(r"(local|fargate):(\d{1,4})(?:/(\S+))?", text)
    if match and int(match[2]) and (match[1] == "fargate" or not match[3]):
        return Where(match[1], count=int(match[2]), stack=match[3] or "")
    if re.match(r"(local|fargate)\b(?!\.)", text):
        raise ConfigError(
            f"--cluster {text[:40]!r}: it is local:N, fargate:N or fargate:N/STACK, N workers from 1 to 9999"
        )
    return Where("address", parse_address(text))


@dataclass(frozen=True)
class Bounds:
    """Of a fleet as a whole; `workers` is the entries at a time of each worker process that is started."""

    workers: int
    calls: int
    transfers: int
