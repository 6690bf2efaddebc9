"""A real SMTP server on loopback that keeps what it is given, and refuses or fails on cue."""

from __future__ import annotations

import asyncio
import socket
import ssl
import tempfile
from collections.abc import Callable
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword
from slapd import Authority

USER, PASSWORD = "archive", "not-a-real-password"
OK = "250 Message accepted for delivery"


class MailSink(Controller):
    """`mail` are the messages accepted so far, with whom each went to. A context manager.

    `on_recipient` and `on_data` may give another answer than OK; None closes the connection without one.
    """

    def __init__(
        self, authority: Authority | None = None, *, tls: str = "none", certificate: bytes | None = None,
        login: bool = False,
    ) -> None:  # fmt: skip
        self.mail: list[tuple[str, EmailMessage]] = []
        self.senders: list[str] = []
        self.connections = 0
        self.on_recipient: Callable[[str], str | None] = lambda address: OK
        self.on_data: Callable[[str], str | None] = lambda address: OK
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        options: dict[str, Any] = {}
        if tls != "none":
            assert authority is not None
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            with tempfile.NamedTemporaryFile() as file:
                file.write(certificate or authority.server("localhost"))
                file.flush()
                context.load_cert_chain(file.name)
            options = {"tls_context": context, "require_starttls": True} if tls == "starttls" else {}
            options |= {"ssl_context": context} if tls == "tls" else {}
        if login:
            options |= {"authenticator": self._authenticate, "auth_required": True, "auth_require_tls": tls != "tls"}
        super().__init__(self, hostname="localhost", port=self._socket.getsockname()[1], **options)

    def __enter__(self) -> MailSink:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def _create_server(self) -> Any:
        return self.loop.create_server(self._factory_invoker, sock=self._socket, ssl=self.ssl_context)

    def environ(self, **others: str) -> dict[str, str]:
        return {"SMTP_SERVER": "localhost", "SMTP_PORT": str(self.port), "SMTP_TLS": "none", **others}

    def _authenticate(self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        assert isinstance(data, LoginPassword)
        right = (data.login, data.password) == (USER.encode(), PASSWORD.encode())
        return AuthResult(success=right, handled=False)

    # What aiosmtpd calls

    async def handle_EHLO(self, server: Any, session: Any, envelope: Any, host: str, answers: list[str]) -> list[str]:
        session.host_name = host
        self.connections += 1
        return answers

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: list[str]) -> str:
        answer = self.on_recipient(address)
        if answer is None:
            server.transport.abort()
            await asyncio.sleep(0)
            return "421 gone"
        if answer == OK:
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        (address,) = envelope.rcpt_tos
        answer = self.on_data(address)
        if answer is None or answer == OK:
            self.senders.append(envelope.mail_from)
            self.mail.append((address, message_from_bytes(envelope.original_content, policy=default)))
        if answer is None:
            server.transport.abort()
            await asyncio.sleep(0)
            return "421 gone"
        return answer
