"""app-token create: a token that does what the tool needs, in Secrets Manager, and shown to nobody."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from conftest import Run
from moto.server import ThreadedMotoServer

from kaltura_archiver.config import read_settings
from kaltura_archiver.kaltura import Kaltura
from kaltura_archiver.sandbox.world import Sandbox

NAME = "kaltura-archiver"


@pytest.fixture
def secrets(run: Run, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Secrets Manager, as moto has it; the tool signs in to the sandbox's Kaltura with the admin secret."""
    monkeypatch.setattr(logging.getLogger("werkzeug"), "level", logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    for name in ("KALTURA_APP_TOKEN_ID", "KALTURA_APP_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KALTURA_SECRET", sandbox.kaltura.secret)
    client = boto3.client("secretsmanager")
    for secret in client.list_secrets(IncludePlannedDeletion=True)["SecretList"]:
        client.delete_secret(SecretId=secret["ARN"], ForceDeleteWithoutRecovery=True)
    yield client
    server.stop()


def test_the_token_signs_in_without_a_word_of_complaint_and_is_shown_nowhere(
    secrets: Any, sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ran = run("--log-level", "DEBUG", "app-token", "create", "--format", "json")
    assert ran.code == 0, ran.err
    [row] = json.loads(ran.out)
    stored = secrets.get_secret_value(SecretId=row["secret_arn"])
    assert stored["Name"] == NAME
    token = stored["SecretString"]
    assert len(token) > 20
    assert token not in ran.out + ran.err
    monkeypatch.delenv("KALTURA_SECRET")
    monkeypatch.setenv("KALTURA_APP_TOKEN_ID", row["app_token_id"])
    monkeypatch.setenv("KALTURA_APP_TOKEN", token)
    kaltura = Kaltura(read_settings(), read_only=True)
    caplog.clear()
    kaltura.sign_in()
    assert not [record for record in caplog.records if record.levelno > logging.INFO]
    made = sandbox.kaltura.app_tokens[row["app_token_id"]]
    assert (made.hash_type, made.session_type, made.privileges) == ("sha256", 2, "disableentitlement")
    assert made.user_id == read_settings().user_id


def test_a_secret_that_exists_is_replaced_only_when_told_so(secrets: Any, sandbox: Sandbox, run: Run) -> None:
    secrets.create_secret(Name=NAME, SecretString="old")
    before = set(sandbox.kaltura.app_tokens)
    ran = run("app-token", "create")
    assert (ran.code, ran.out) == (2, "")
    assert (
        ran.err
        == "error: there is a secret kaltura-archiver already: --replace puts the new app token in place of its value\n"
    )
    assert set(sandbox.kaltura.app_tokens) == before
    ran = run("app-token", "create", "--replace")
    assert ran.code == 0
    [made] = set(sandbox.kaltura.app_tokens) - before
    assert secrets.get_secret_value(SecretId=NAME)["SecretString"] == sandbox.kaltura.app_tokens[made].token
    assert "goes on being good: revoke it" in ran.err


def test_a_token_that_nobody_would_know_is_deleted_again(
    secrets: Any, sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = set(sandbox.kaltura.app_tokens)
    monkeypatch.setattr(
        "kaltura_archiver.fleet.secrets.Secret._look", lambda self: "arn:aws:secretsmanager:x:1:secret:gone"
    )
    ran = run("app-token", "create", "--replace")
    assert ran.code != 0
    assert "write secret kaltura-archiver: AWS says" in ran.err
    [made] = set(sandbox.kaltura.app_tokens) - before
    assert sandbox.kaltura.app_tokens[made].status == 3


def test_a_secret_that_waits_to_be_deleted_is_told_before_anything_is_made(
    secrets: Any, sandbox: Sandbox, run: Run
) -> None:
    secrets.create_secret(Name=NAME, SecretString="old")
    secrets.delete_secret(SecretId=NAME)
    before = set(sandbox.kaltura.app_tokens)
    ran = run("app-token", "create")
    assert (ran.code, set(sandbox.kaltura.app_tokens)) == (2, before)
    assert "restore-secret" in ran.err
