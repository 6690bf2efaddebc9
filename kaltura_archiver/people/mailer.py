"""Hands messages to a mail server, over TLS unless told otherwise, and not faster than it is asked to."""

from __future__ import annotations

import logging
import smtplib
import socket
import ssl
import threading
import time
from email.message import EmailMessage
from types import TracebackType

from kaltura_archiver.config import SmtpSettings
from kaltura_archiver.errors import ConfigError, EntryFailed, MailError, Refused, Stopped
from kaltura_archiver.transfer.deadlines import ends, tls_context

log = logging.getLogger(__name__)

TIMEOUT_SECONDS = 60.0
# For one answer in all: of a message that is being checked, one that is not in ten minutes never comes (RFC 5321,
# 4.5.3.2.6).
ANSWER_SECONDS = 600.0
_PORTS = {"starttls": 587, "tls": 465, "none": 25}
_GOING_AWAY = 421


class _Ending:
    """What makes the answers of smtplib's clients end."""

    sock: socket.socket | None

    def getreply(self) -> tuple[int, bytes]:
        with ends(lambda: self.sock, ANSWER_SECONDS):
            return super().getreply()  # type: ignore[misc,no-any-return]


class _Smtp(_Ending, smtplib.SMTP):
    pass


class _Smtps(_Ending, smtplib.SMTP_SSL):
    pass


class Mailer:
    """One connection to the mail server, made anew where it breaks. A context manager."""

    def __init__(self, settings: SmtpSettings, *, sender: str, per_minute: float, stop: threading.Event) -> None:
        self._host, self._port, self._tls = _address(settings)
        self._context = tls_context(settings.ca_file, "SMTP_CA_FILE")
        self._login = _login(settings, self._tls)
        self.where = f"{self._host}:{self._port}, {self._tls}"
        self._sender = sender
        self._pause_seconds = 60.0 / per_minute
        self._stop = stop
        self._next = 0.0
        self._smtp: smtplib.SMTP | None = None

    def __enter__(self) -> Mailer:
        """Connect and sign in, so that what is wrong with the settings is told before the first message."""
        self._connected()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close(politely=kind is None)

    def send(self, message: EmailMessage, recipient: str) -> None:
        """Hand over one message; when this returns, the server has taken responsibility for it.

        Where an answer is lost, the message is sent once more, with the same Message-ID, as SMTP has it (RFC 1047).
        Raises EntryFailed where this recipient is refused, Refused where for good, MailError where no message will get
        through, Stopped where the run was asked to end while it waited for its turn.
        """
        self._wait()
        data = message.as_bytes()
        for last_try in (False, True):
            try:
                self._connected().sendmail(self._sender, [recipient], data)
                return
            except smtplib.SMTPRecipientsRefused as error:
                code, text = next(iter(error.recipients.values()))
                refused = f"{self._host} refuses {recipient}: {_said(code, text)}"
            except smtplib.SMTPDataError as error:
                code = error.smtp_code
                refused = f"{self._host} refuses the message to {recipient}: {_said(code, error.smtp_error)}"
            except smtplib.SMTPSenderRefused as error:
                code = error.smtp_code
                refused = f"{self._host} refuses the sender {self._sender}: {_said(code, error.smtp_error)}"
                if code != _GOING_AWAY:
                    raise MailError(refused, code=str(code), retryable=code < 500) from error
            except (smtplib.SMTPServerDisconnected, OSError) as error:
                code, refused = _GOING_AWAY, f"lost the connection to the mail server {self._host}: {error}"
            if code != _GOING_AWAY:
                raise Refused(refused) if code >= 500 else EntryFailed(f"{refused}; run the command again later")
            self._close(politely=False)
            if last_try:
                raise MailError(f"{refused}; run the command again to go on", code=str(code), retryable=True)
            log.info("%s; once more", refused)

    def _wait(self) -> None:
        if self._stop.wait(max(0.0, self._next - time.monotonic())):
            raise Stopped("asked to stop")
        self._next = time.monotonic() + self._pause_seconds

    def _connected(self) -> smtplib.SMTP:
        if self._smtp is None:
            self._smtp = self._connect()
        return self._smtp

    def _connect(self) -> smtplib.SMTP:
        where = f"the mail server {self._host}:{self._port}"
        smtp: smtplib.SMTP | None = None
        try:
            if self._tls == "tls":
                smtp = _Smtps(self._host, self._port, timeout=TIMEOUT_SECONDS, context=self._context)
            else:
                smtp = _Smtp(self._host, self._port, timeout=TIMEOUT_SECONDS)
            if self._tls == "starttls":
                smtp.starttls(context=self._context)
            if self._login:
                smtp.login(*self._login)
            return smtp
        except ssl.SSLCertVerificationError as error:
            fault: Exception = ConfigError(
                f"the certificate of {where} is not trusted: {error.verify_message or error}; SMTP_CA_FILE names the "
                "authority, and SMTP_SERVER must be the name in it"
            )
            cause: Exception = error
        except smtplib.SMTPNotSupportedError as error:
            what = "STARTTLS" if "STARTTLS" in str(error) else "signing in"
            fault = ConfigError(f"{where} does not offer {what}: see SMTP_TLS, SMTP_PORT and SMTP_USER")
            cause = error
        except smtplib.SMTPAuthenticationError as error:
            said = _said(error.smtp_code, error.smtp_error)
            fault = ConfigError(f"{where} refuses SMTP_USER and SMTP_PWD: {said}")
            cause = error
        except (smtplib.SMTPException, OSError) as error:
            fault = MailError(f"{where} cannot be reached: {error}", retryable=True)
            cause = error
        if smtp is not None:
            smtp.close()
        raise fault from cause

    def _close(self, *, politely: bool) -> None:
        smtp, self._smtp = self._smtp, None
        if smtp is None:
            return
        try:
            if politely:
                smtp.quit()
        except (smtplib.SMTPException, OSError):
            pass
        finally:
            smtp.close()


def check_mail_server(settings: SmtpSettings) -> str:
    """Connect and sign in, and say where; ConfigError or MailError if that fails."""
    with Mailer(settings, sender="", per_minute=1, stop=threading.Event()) as mailer:
        return mailer.where


def _said(code: int, text: bytes | str) -> str:
    told = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return f"{code} {' '.join(told.split())}"


def _address(settings: SmtpSettings) -> tuple[str, int, str]:
    """Host, port and kind of TLS. Raises ConfigError."""
    tls = settings.tls.lower()
    if not settings.server:
        raise ConfigError("not set: SMTP_SERVER; set it in the environment or in a .env file")
    if tls not in _PORTS:
        raise ConfigError(f"SMTP_TLS must be starttls, tls or none, not {settings.tls[:20]!r}")
    port = settings.port or str(_PORTS[tls])
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise ConfigError(f"SMTP_PORT must be a port, not {port[:20]!r}")
    return settings.server, int(port), tls


def _login(settings: SmtpSettings, tls: str) -> tuple[str, str] | None:
    if bool(settings.user) != bool(settings.password):
        raise ConfigError(f"not set: {'SMTP_PWD' if settings.user else 'SMTP_USER'}; set both, or neither")
    if not settings.user:
        return None
    if tls == "none":
        raise ConfigError("SMTP_TLS=none would send SMTP_PWD unencrypted: use starttls or tls")
    return settings.user, settings.password
