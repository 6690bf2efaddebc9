"""kaltura-archiver app_token"""

from __future__ import annotations

import logging

import click

from kaltura_archiver.cli.app import App, pass_app
from kaltura_archiver.cli.group import Archiver
from kaltura_archiver.cli.options import format_option
from kaltura_archiver.errors import ArchiverError, ConfigError, Exit
from kaltura_archiver.output.rows import APP_TOKEN_COLUMNS
from kaltura_archiver.output.screen import rows_as

log = logging.getLogger(__name__)


@click.group("app_token", cls=Archiver)
def app_token() -> None:
    """Make an app token of Kaltura's for the tasks on AWS. Unlike the admin secret, it can be revoked by itself.

    \b
    Examples:
      kaltura-archiver app-token create
      kaltura-archiver app-token create --secret archiver/production
      kaltura-archiver app-token create --replace
    """


@app_token.command("create")
@click.option(
    "--secret", default="kaltura-archiver", show_default=True, metavar="NAME", help="Secret of AWS Secrets Manager."
)
@click.option("--kms-key", default="", metavar="ARN", help="KMS key of a secret that is made [Secrets Manager's own].")
@click.option("--replace", is_flag=True, help="If there is such a secret, put the new token in place of the old one.")
@format_option
@pass_app
def create(app: App, /, secret: str, kms_key: str, replace: bool, style: str) -> None:
    """Make an app token with the rights that this tool needs, and put it into AWS Secrets Manager.

    The token itself is shown nowhere; its id and the ARN of the secret are printed, as aws/template.yaml wants them.
    Sign in with KALTURA_PARTNERID and KALTURA_SECRET for this. The token acts as KALTURA_USERID, and does not expire.

    \b
    Examples:
      kaltura-archiver app-token create
      kaltura-archiver app-token create --secret archiver/production --format json
      kaltura-archiver app-token create --replace
    """
    from kaltura_archiver.fleet.secrets import Secret
    from kaltura_archiver.kaltura.app_tokens import AppTokens

    app.settings.need_kaltura()
    place = Secret(secret)
    if place.arn and not replace:
        raise ConfigError(f"there is a secret {secret} already: --replace puts the new app token in place of its value")
    kaltura = AppTokens(app.settings, read_only=False, stop=app.stop)
    kaltura.sign_in()
    made = kaltura.add(f"kaltura-archiver, in the AWS secret {secret}")
    try:
        arn = place.put(made.token, kms_key=kms_key)
    except ArchiverError:
        kaltura.delete(made.id)
        log.warning("the app token %s was deleted again, for nobody would know it", made.id)
        raise
    if replace:
        log.warning("the app token that was in the secret before goes on being good: revoke it (appToken.delete)")
    with rows_as(style, APP_TOKEN_COLUMNS) as rows:
        rows.write({"app_token_id": made.id, "secret_arn": arn})
    app.exit(Exit.OK)
