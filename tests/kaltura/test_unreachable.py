"""A Kaltura that is not there, and criteria that nothing has: a line each that says so, soon."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from conftest import Run

from kaltura_archiver.kaltura.wire import WireClient
from kaltura_archiver.sandbox.world import Sandbox


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port of this machine at which nobody listens, for as long as this lasts."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://127.0.0.1:{closed}", "connection refused"),
        ("http://127.0.0.1:{closed}/a b/ü", "connection refused"),
        ("https://nosuch.invalid", "no such host"),
        ("https://bücher.invalid", "no such host"),
        ("https://127.0.0.1:{kaltura}", "no TLS connection"),
    ],
)
def test_an_address_with_nobody_is_given_up_soon_with_the_reason(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch, closed_port: int, url: str, why: str
) -> None:
    waited: list[float] = []

    def pause(self: object, seconds: float) -> bool:
        waited.append(seconds)
        return False

    monkeypatch.setattr("kaltura_archiver.kaltura.Kaltura._pause", pause)
    monkeypatch.setattr("kaltura_archiver.kaltura.session.FIRST_SECONDS", 0.0)
    port = sandbox.kaltura.url.rpartition(":")[2]
    monkeypatch.setenv("KALTURA_SERVICE_URL", url.format(closed=closed_port, kaltura=port))
    ran = run("count")
    assert (ran.code, ran.out) == (2, "")
    assert why in ran.err
    assert ran.err.endswith("check KALTURA_SERVICE_URL\n")
    assert len(ran.err.splitlines()) == 1
    assert waited == []


def test_a_server_that_has_answered_is_waited_for(sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A restart of it must not end a run."""
    answers = [0]
    request = WireClient.doHttpRequest

    def restarting(self: WireClient, *arguments: Any, **named: Any) -> Any:
        answers[0] += 1
        if answers[0] in (4, 5, 6):  # after both calls that sign in, and one more
            raise requests.ConnectionError(ConnectionRefusedError(111, "Connection refused"))
        return request(self, *arguments, **named)

    monkeypatch.setattr(WireClient, "doHttpRequest", restarting)
    monkeypatch.setattr("kaltura_archiver.kaltura.session.FIRST_SECONDS", 0.0)
    monkeypatch.setattr("kaltura_archiver.kaltura.Kaltura._pause", lambda self, seconds: False)
    entry_id = sandbox.add("initial")
    assert run("s3copy", "--id", entry_id).outcomes == {entry_id: "would"}
    assert answers[0] > 6


def test_a_selection_that_finds_nothing_says_what_is_unknown(sandbox: Sandbox, run: Run) -> None:
    sandbox.kaltura.add_category(7, "Physics")
    sandbox.add("initial", tags="seminar")
    assert "no entry has the tag semniar: is that spelled right?" in run("list", "--tag", "semniar").err
    assert "there is no category 8: is that spelled right?" in run("list", "--category", "8").err
    for words in (
        ("--tag", "seminar", "--created-within", "0"),
        ("--category", "7"),
        ("--plays", "0", "-t", "seminar"),
    ):
        assert "spelled" not in run("list", *words).err
