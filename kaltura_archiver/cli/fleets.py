"""What --cluster starts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from kaltura_archiver.cli.app import App
from kaltura_archiver.cli.extras import lacks
from kaltura_archiver.config import Settings
from kaltura_archiver.errors import ConfigError
from kaltura_archiver.steps import Command, Options

if TYPE_CHECKING:
    from kaltura_archiver.fleet.client import Fleet


def start_fleet_of(
    app: App, cluster: str, cluster_tls: str | None, command: Command, options: Options,
    numbers: tuple[int, int, int], run: str,
) -> Fleet:  # fmt: skip
    try:
        from kaltura_archiver.fleet.certificates import Certificates
        from kaltura_archiver.fleet.client import CERTIFICATE_DAYS, Fleet
        from kaltura_archiver.fleet.job import Bounds, Job, parse_cluster
    except ModuleNotFoundError as error:
        raise no_cluster(error) from error
    where, settings = parse_cluster(cluster), app.settings
    settings.need_kaltura()
    if where.kind == "address":
        context = click.get_current_context()
        if context.get_parameter_source("workers") is click.core.ParameterSource.COMMANDLINE:
            raise click.UsageError("--workers is told to the workers of a running scheduler when they start", context)
        certificates = Certificates.read(tls_folder(settings, cluster_tls))
    else:
        certificates = Certificates.make(CERTIFICATE_DAYS)
    job = Job.of(settings, run, command, options, app.bandwidth.timetable)
    return Fleet(where, job, certificates, Bounds(*numbers), app.stop, settings.app_token or settings.secret)


def tls_folder(settings: Settings, option: str | None) -> Path:
    if folder := option or settings.cluster_tls:
        return Path(folder)
    raise ConfigError("a fleet needs TLS: name the folder of its certificates in --cluster-tls or CLUSTER_TLS")


def no_cluster(error: ModuleNotFoundError) -> ConfigError:
    return lacks("a fleet", [str(error.name)], "cluster")
