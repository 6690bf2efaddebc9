"""Answers that come byte by byte come to an end, from whichever service: no call holds a run for ever."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import Run
from looking import big

from kaltura_archiver.config import read_settings
from kaltura_archiver.kaltura.session import RETRY_SECONDS
from kaltura_archiver.model import State
from kaltura_archiver.sandbox.world import Sandbox
from kaltura_archiver.store import Store


class Dribbler:
    """Takes connections and says `words` at once, then a byte again and again, until the test is over."""

    def __init__(self, words: bytes) -> None:
        self._words = words
        self._over = threading.Event()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._serve, daemon=True)]
        self._threads[0].start()

    def _serve(self) -> None:
        while not self._over.is_set():
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self._threads.append(threading.Thread(target=self._speak, args=(connection,), daemon=True))
            self._threads[-1].start()

    def _speak(self, connection: socket.socket) -> None:
        with connection:
            try:
                connection.sendall(self._words)
                while not self._over.wait(0.005):
                    connection.sendall(b"x")
            except OSError:
                pass

    def close(self) -> None:
        self._over.set()
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for thread in self._threads:
            thread.join(10)


HEAD = b"HTTP/1.1 200 OK\r\nX-Long: "
BODY = b'HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nETag: "e"\r\nContent-Length: 1000000\r\n\r\n'


@pytest.fixture(params=[HEAD, BODY], ids=["in the head", "in the body"])
def dribbler(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Dribbler]:
    monkeypatch.setattr("kaltura_archiver.transfer.dribble.ANSWER_SECONDS", 0.1)
    monkeypatch.setattr("kaltura_archiver.kaltura.Kaltura._pause", lambda self, seconds: False)
    server = Dribbler(request.param)
    yield server
    server.close()


def test_signing_in_ends(sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch, dribbler: Dribbler) -> None:
    monkeypatch.setenv("KALTURA_SERVICE_URL", dribbler.url)
    ran = run("list")
    assert ran.code == 2
    assert "cannot reach Kaltura" in ran.err
    assert RETRY_SECONDS < 3600


def test_a_look_at_the_bucket_ends(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch, dribbler: Dribbler
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    entry_id = sandbox.add(State.ARCHIVED)
    monkeypatch.setenv("AWS_ENDPOINT_URL", dribbler.url)
    ran = run("health", "--id", entry_id)
    assert ran.code != 0
    assert "S3" in ran.err or "bucket" in ran.err


def test_a_download_ends(sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch, dribbler: Dribbler) -> None:
    entry_id = sandbox.add(State.INITIAL)
    monkeypatch.setattr(sandbox.kaltura.services, "base_url", dribbler.url)
    ran = run("s3copy", "--id", entry_id, "--no-dry-run")
    assert (ran.code, ran.outcomes) == (1, {entry_id: "failed"})
    assert sandbox.s3.keys() == []


@pytest.mark.parametrize(("command", "operation"), [("s3copy", "file.GET"), ("verify", "s3.GetObject")])
def test_a_transfer_that_is_cut_again_and_again_ends(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch, command: str, operation: str
) -> None:
    """Though a little comes each time, here half of what is left."""
    monkeypatch.setattr("kaltura_archiver.kaltura.Kaltura._pause", lambda self, seconds: False)
    entry_id = sandbox.add(State.INITIAL if command == "s3copy" else State.ARCHIVED, content=big(sandbox, 6))
    sandbox.control.add_fault(operation, "cut_short", times=10**6)
    ran = run(command, "--id", entry_id, "--no-dry-run")
    assert (ran.code, ran.outcomes) == (1, {entry_id: "failed"})
    assert "cut 5 times at byte" in ran.out
    assert len(sandbox.control.requests(operation)) == 7
    sandbox.control.clear_faults()
    assert run(command, "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "done"}


def test_an_answer_after_100_continue_is_not_lost(sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """botocore sends `Expect: 100-continue` with a body, and reads the first answer without a buffer."""
    monkeypatch.setattr("kaltura_archiver.store.bucket.READ_SECONDS", 1)
    store = Store(read_settings(), read_only=False)
    for number in range(5):
        store.mark_placeholder("0_a", f"0_b@{number}", 1)
    assert len(sandbox.control.requests("s3.PutObject")) == 5


# What is not HTTP


@pytest.fixture
def speaks(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[bytes], str]]:
    """Starts a server that says these words, and then a byte again and again; its host and port."""
    for name in (
        "transfer.deadlines.HANDSHAKE_SECONDS",
        "people.mailer.ANSWER_SECONDS",
        "people.directory.IN_ALL_SECONDS",
    ):
        monkeypatch.setattr(f"kaltura_archiver.{name}", 0.1)
    monkeypatch.setattr("kaltura_archiver.people.directory.PAUSES", (0.0,))
    servers: list[Dribbler] = []

    def start(words: bytes) -> str:
        servers.append(Dribbler(words))
        return servers[-1].url.removeprefix("http://")

    yield start
    for server in servers:
        server.close()


# The head of a TLS record, and of an LDAP message, of 16 KiB; a line that does not end.
TLS, LDAP, SMTP = b"\x16\x03\x03\x40\x00", b"\x30\x82\x40\x00", b"220-"


@pytest.mark.parametrize(("tls", "words"), [("none", LDAP), ("starttls", LDAP), ("ldaps", TLS)])
def test_a_directory_that_never_finishes_is_told(
    speaks: Callable[[bytes], str], run: Run, monkeypatch: pytest.MonkeyPatch, tls: str, words: bytes
) -> None:
    server, port = speaks(words).split(":")
    for name, value in (("SERVER", server), ("PORT", port), ("TLS", tls), ("USER", ""), ("PWD", "")):
        monkeypatch.setenv(f"LDAP_{name}", value)
    ran = run("ldapsearch", "(uid=a)")
    assert ran.code == 1, ran.err
    assert "cannot reach the directory" in ran.err or "broke off" in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.parametrize(("tls", "words"), [("none", SMTP), ("starttls", SMTP), ("tls", TLS)])
def test_a_mail_server_that_never_finishes_is_told(
    speaks: Callable[[bytes], str], run: Run, monkeypatch: pytest.MonkeyPatch, tls: str, words: bytes
) -> None:
    server, port = speaks(words).split(":")
    for name, value in (("SERVER", server), ("PORT", port), ("TLS", tls)):
        monkeypatch.setenv(f"SMTP_{name}", value)
    Path("owners.tsv").write_text("entry_id\towner_id\tldap_status\tmail\n0_a\tjdoe\tactive\tjdoe@example.edu\n")
    ran = run("notify", "--from", "a@example.edu", "--send", "--no-dry-run", "owners.tsv")
    assert ran.code == 1, ran.err
    assert "the mail server" in ran.err
    assert "Traceback" not in ran.err
