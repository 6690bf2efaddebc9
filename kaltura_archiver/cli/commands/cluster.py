"""kaltura-archiver cluster"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from kaltura_archiver.cli.app import App, pass_app
from kaltura_archiver.cli.fleets import no_cluster, tls_folder
from kaltura_archiver.cli.group import Archiver
from kaltura_archiver.cli.options import workers_option
from kaltura_archiver.cli.types import PATH, Duration
from kaltura_archiver.errors import Exit

if TYPE_CHECKING:
    from kaltura_archiver.fleet.certificates import Certificates


_tls = click.option("--cluster-tls", type=PATH, metavar="DIR", help="Folder of the fleet's certificates [CLUSTER_TLS].")


@click.group("cluster", cls=Archiver)
def cluster() -> None:
    """Set up a fleet by hand, for --cluster tls://HOST:PORT: certificates, one scheduler, and workers on any machines.

    Each worker has the settings of the tool in its own environment; they must name the account and the bucket of the
    run. Every connection is TLS, with the certificates that `cluster certificates` makes: copy them to each machine,
    and keep key.pem as secret as the fleet's credentials, for it lets whoever has it run code on all of them.

    \b
    Examples:
      kaltura-archiver cluster certificates fleet-tls
      kaltura-archiver cluster scheduler --cluster-tls fleet-tls
      kaltura-archiver cluster worker tls://10.0.0.5:8786 --cluster-tls fleet-tls --workers 8
      kaltura-archiver s3copy --unplayed-for 3 --cluster tls://10.0.0.5:8786 --cluster-tls fleet-tls
    """


@cluster.command("certificates")
@click.argument("folder", type=PATH, metavar="DIR")
@click.option(
    "--days", type=click.FloatRange(0, 3650, min_open=True), default=30, show_default=True, metavar="N",
    help="How long they are good.",
)  # fmt: skip
@pass_app
def certificates(app: App, /, folder: str, days: float) -> None:
    """Make the certificates of a fleet: ca.pem, cert.pem and key.pem in DIR.

    \b
    Examples:
      kaltura-archiver cluster certificates fleet-tls
      kaltura-archiver cluster certificates fleet-tls --days 1
      kaltura-archiver cluster certificates /etc/kaltura-archiver/tls --days 365
    """
    try:
        from kaltura_archiver.fleet.certificates import NAMES, Certificates
    except ModuleNotFoundError as error:
        raise no_cluster(error) from error

    Certificates.make(days).write(Path(folder))
    click.echo(f"{', '.join(NAMES)} are in {folder}, good for {days:g} days; copy them to each machine", err=True)
    app.exit(Exit.OK)


@cluster.command("scheduler")
@click.option("--host", metavar="ADDRESS", help="Listen on this address [all].")
@click.option("--port", type=click.IntRange(0, 65535), default=8786, show_default=True, help="And on this port.")
@_tls
@pass_app
def scheduler(app: App, /, host: str | None, port: int, cluster_tls: str | None) -> None:
    """Be the scheduler of a fleet, until interrupted. It needs no settings, and sees no secret.

    \b
    Examples:
      kaltura-archiver cluster scheduler --cluster-tls fleet-tls
      kaltura-archiver cluster scheduler --cluster-tls fleet-tls --host 10.0.0.5 --port 8786
      kaltura-archiver --log-format json cluster scheduler --cluster-tls fleet-tls
    """
    tls = _certificates(app, cluster_tls)
    from kaltura_archiver.fleet.serve import serve_scheduler

    with app.stoppable():
        serve_scheduler(host, port, tls, app.stop)
    app.exit(Exit.OK)


@cluster.command("worker")
@click.argument("address", metavar="SCHEDULER")
@workers_option
@click.option("--host", metavar="ADDRESS", help="Address by which the scheduler reaches us [as the network says].")
@click.option("--port", type=click.IntRange(0, 65535), default=0, metavar="PORT", help="Listen on this port [any].")
@click.option("--nanny-port", type=click.IntRange(0, 65535), default=0, metavar="PORT", help="And on this one [any].")
@click.option("--name", metavar="NAME", help="Name of this worker [its address].")
@click.option(
    "--wait", "wait_seconds", type=Duration(), default="60s", show_default=True, metavar="TIME",
    help="How long to wait for the scheduler.",
)  # fmt: skip
@click.option("--ticket", hidden=True, help="Set by --cluster fargate, in place of certificates.")
@_tls
@pass_app
def worker(
    app: App, /, address: str, workers: int, host: str | None, port: int, nanny_port: int, name: str | None,
    wait_seconds: float, ticket: str | None, cluster_tls: str | None,
) -> None:  # fmt: skip
    """Work for a scheduler, until it goes or SIGTERM: what is in hand then is begun again by another worker.

    The work is done in a process of its own, which is started again when it dies.

    \b
    Examples:
      kaltura-archiver cluster worker tls://10.0.0.5:8786 --cluster-tls fleet-tls --workers 8
      kaltura-archiver cluster worker tls://10.0.0.5:8786 --cluster-tls fleet-tls --wait 10m
      kaltura-archiver --env-file fleet.env cluster worker tls://10.0.0.5:8786 --cluster-tls fleet-tls
    """
    app.settings.need_kaltura()
    app.settings.need_bucket()
    tls = _certificates(app, cluster_tls, ticket)
    from kaltura_archiver.fleet.job import parse_address
    from kaltura_archiver.fleet.serve import serve_worker

    group = click.get_current_context().find_root().params
    with app.stoppable():
        serve_worker(
            parse_address(address), tls, app.stop, workers=workers, wait_seconds=wait_seconds, host=host, name=name,
            logging_of=(group["log_level"], group["log_format"]), worker_port=port, port=nanny_port,
        )  # fmt: skip
    app.exit(Exit.OK)


def _certificates(app: App, folder: str | None, ticket: str | None = None) -> Certificates:
    try:
        from kaltura_archiver.fleet.certificates import Certificates
    except ModuleNotFoundError as error:
        raise no_cluster(error) from error
    if ticket:
        return Certificates.opened(ticket, app.settings.app_token or app.settings.secret)
    return Certificates.read(tls_folder(app.settings, folder))
