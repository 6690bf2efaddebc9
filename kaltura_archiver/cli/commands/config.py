"""kaltura-archiver config"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from kaltura_archiver.asking.keeping import keep_list
from kaltura_archiver.cli.app import App, pass_app
from kaltura_archiver.cli.group import command
from kaltura_archiver.cli.options import format_option
from kaltura_archiver.errors import ArchiverError, ConfigError, Exit, Locked, StoreError
from kaltura_archiver.filters import Query
from kaltura_archiver.output.progress import progress
from kaltura_archiver.output.screen import rows_as
from kaltura_archiver.redact import redact
from kaltura_archiver.steps import Command

if TYPE_CHECKING:
    from kaltura_archiver.store import Store

log = logging.getLogger(__name__)


@command("config")
@format_option
@pass_app
def config(app: App, /, style: str) -> None:
    """Check the settings: sign in to Kaltura, look at the bucket, the placeholder; LDAP and mail if set. Also doctor.

    \b
    Examples:
      kaltura-archiver config
      kaltura-archiver --env-file production.env config
      kaltura-archiver config --format json
    """
    checks: dict[str, Callable[[App], str]] = {
        "kaltura": _check_kaltura,
        "s3": _check_bucket,
        "placeholder": _check_placeholders,
    }
    settings = app.settings
    wrong: list[str] = []
    checks["keep"] = partial(_check_keep_list, account_seen=lambda: "kaltura" not in wrong, streamed=style != "table")
    if settings.ldap.server:
        checks["ldap"] = _check_ldap
    if settings.smtp.server:
        checks["mail"] = _check_mail
    with rows_as(style, ("check", "ok", "detail"), note="detail", fine=lambda _: False) as rows:
        for name, check in checks.items():
            try:
                rows.write({"check": name, "ok": True, "detail": redact(check(app))})
            except ArchiverError as error:
                wrong.append(name)
                rows.write({"check": name, "ok": False})
                log.error("%s: %s", name, error)
    app.exit(Exit.USAGE if wrong else Exit.OK)


def _check_kaltura(app: App) -> str:
    settings, kaltura = app.settings, app.kaltura()
    kaltura.count(Query())
    if kaltura.session_user and kaltura.user_exists(kaltura.session_user) is False:
        log.warning(
            "kaltura: account %s has no user %s, who signs in here (%s): Kaltura takes the name all the same, and "
            "what is done is entered under a user whom nobody knows; correct it, or add that user in the KMC",
            settings.partner_id,
            kaltura.session_user,
            "KALTURA_USERID" if kaltura.session_user == settings.user_id else "the app token's own",
        )
    if not kaltura.session_user:
        log.warning(
            "kaltura: KALTURA_USERID is not set, so nobody signs in here: what is done is entered under no user; "
            "set it to a user of account %s, best one of this tool's own",
            settings.partner_id,
        )
    way = "an app token" if settings.app_token_id else "the admin secret"
    user = kaltura.session_user or "nobody"
    return f"{settings.service_url}, partner {settings.partner_id}, by {way}, as {user}"


def _check_bucket(app: App) -> str:
    from kaltura_archiver.store.rules import dangers
    from kaltura_archiver.transfer.curl import libraries

    store = app.store()
    store.head("0_kaltura_archiver_test")
    found, unseen = dangers(store)
    for line in (*found, *unseen):
        log.warning("s3: %s", line)
    _check_object_lock(store, wanted=app.settings.object_lock is not None)
    return f"bucket {app.settings.bucket}; {_tried(app)}; bytes are moved by {libraries()}"


def _check_object_lock(store: Store, *, wanted: bool) -> None:
    from kaltura_archiver.store.errors import NO_DEFAULT_RETENTION
    from kaltura_archiver.store.rules import NOT_IMPLEMENTED, object_lock

    try:
        there, held = object_lock(store)
    except StoreError as error:
        if wanted:
            log.warning("s3: OBJECT_LOCK is set; whether the bucket has Object Lock is not known: %s", error)
        elif error.code not in NOT_IMPLEMENTED:
            log.warning("s3: whether the bucket has a default retention is not known: %s", error)
        return
    if wanted and not there:
        raise ConfigError(
            f"OBJECT_LOCK is set, and the bucket {store.bucket} has no Object Lock, so that S3 would refuse every "
            "copy: switch it on for the bucket, or do without OBJECT_LOCK"
        )
    if held:
        log.warning("s3: %s (here: %s)", NO_DEFAULT_RETENTION, held)


def _check_placeholders(app: App) -> str:
    from kaltura_archiver.placeholders import Placeholders

    files = Placeholders.read(app.settings).needed_by(Command.REPLACE).paths
    return "; ".join(f"{path}, {path.stat().st_size} bytes" for path in files)


def _check_keep_list(app: App, *, account_seen: Callable[[], bool], streamed: bool) -> str:
    from kaltura_archiver.run.kept import census, check_keep

    rules = keep_list(app.settings)
    if not account_seen():
        raise ConfigError(f"{rules}: not checked, for the account cannot be looked into")
    kaltura = app.kaltura()
    check_keep(kaltura, rules)
    return census(kaltura, rules, partial(progress, "counting", streamed=streamed))


def _check_ldap(app: App) -> str:
    from kaltura_archiver.people.directory import check_directory

    return check_directory(app.settings.ldap)


def _check_mail(app: App) -> str:
    from kaltura_archiver.people.mailer import check_mail_server

    return check_mail_server(app.settings.smtp)


def _tried(app: App) -> str:
    """What the S3 service keeps of that on which a run rests; ConfigError for what cannot be done without."""
    from kaltura_archiver.run.lock import RunLock, lock_key

    store = app.store(read_only=False, check=False)
    try:
        with RunLock(store, lock_key("config"), run=os.urandom(4).hex(), stop=app.stop) as lock:
            return "; ".join(lock.findings) or "conditions, tags and checksums are kept"
    except StoreError as error:
        if error.code != "AccessDenied":
            raise
        return f"conditions and tags were not tried: {error}"  # who only looks does not need them
    except Locked:
        return "conditions and tags were not tried: another config tries them just now"
