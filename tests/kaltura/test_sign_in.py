"""Signing in: by app token and by secret, and what is said of credentials that are not what they should be."""

from __future__ import annotations

import pytest
from conftest import Run

from kaltura_archiver.model import State
from kaltura_archiver.sandbox.world import Sandbox

HASHES = ("sha1", "sha256", "sha512", "md5")


@pytest.fixture
def by_secret(sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command that has the admin secret instead of an app token."""
    monkeypatch.delenv("KALTURA_APP_TOKEN_ID")
    monkeypatch.delenv("KALTURA_APP_TOKEN")
    monkeypatch.setenv("KALTURA_SECRET", sandbox.kaltura.secret)
    return run


def test_the_first_request_of_a_sign_in_carries_no_ks(sandbox: Sandbox, run: Run) -> None:
    """The client's own "not set" is posted as the text NotImplemented, which a server refuses as a KS."""
    assert run("count").code == 0
    first, second = sandbox.control.requests()[:2]
    assert (first.operation, first.session) == ("session.startWidgetSession", "")
    assert (second.operation, bool(second.session)) == ("appToken.startSession", True)


def test_signing_in_by_secret_carries_no_ks(sandbox: Sandbox, by_secret: Run) -> None:
    assert by_secret("count").code == 0
    first = sandbox.control.requests()[0]
    assert (first.operation, first.session) == ("session.start", "")


@pytest.mark.parametrize("by", ["app token", "secret"])
def test_a_session_that_ran_out_is_renewed_without_the_old_ks(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    """An idle client still has the KS that ran out."""
    if by == "secret":
        monkeypatch.delenv("KALTURA_APP_TOKEN_ID")
        monkeypatch.delenv("KALTURA_APP_TOKEN")
        monkeypatch.setenv("KALTURA_SECRET", sandbox.kaltura.secret)
    sandbox.control.add_fault("eSearch.searchEntry", "error", code="INVALID_KS")
    assert run("count").code == 0
    begun = sandbox.control.requests("session.*")
    assert [request.session for request in begun] == ["", ""]


@pytest.mark.parametrize("kind", HASHES)
def test_an_app_token_of_any_hash_type_signs_in_and_the_type_is_found_once(
    sandbox: Sandbox, run: Run, kind: str
) -> None:
    sandbox.kaltura.app_tokens[sandbox.kaltura.app_token_id].hash_type = kind
    sandbox.control.add_fault("eSearch.searchEntry", "error", code="INVALID_KS")
    assert run("count").code == 0
    tries = [request.number for request in sandbox.control.requests("appToken.startSession")]
    search = sandbox.control.requests("eSearch.searchEntry")[0].number
    assert len([number for number in tries if number > search]) == 1
    assert 1 <= len([number for number in tries if number < search]) <= len(HASHES)


def test_a_wrong_app_token_is_told_by_its_name(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KALTURA_APP_TOKEN", "not-the-token")
    ran = run("count")
    assert ran.code == 2
    assert "KALTURA_APP_TOKEN is not the token of KALTURA_APP_TOKEN_ID" in ran.err


def test_a_missing_default_widget_is_told(sandbox: Sandbox, run: Run) -> None:
    sandbox.kaltura.settings.default_widget = False
    ran = run("count")
    assert ran.code == 2
    assert "default widget _101" in ran.err
    assert "KALTURA_SECRET" in ran.err


@pytest.mark.parametrize("command", ["count", "config"])
def test_a_wrong_secret_is_told_as_a_wrong_secret(
    by_secret: Run, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("KALTURA_SECRET", "guessed-secret")
    ran = by_secret(command)
    assert ran.code == 2
    assert "KALTURA_SECRET is not the administrator secret of account 101" in ran.err
    assert "Invalid KS" not in ran.err
    assert "guessed-secret" not in ran.err


@pytest.mark.parametrize("command", ["count", "config"])
def test_a_user_secret_in_place_of_the_administrators_is_told(
    sandbox: Sandbox, by_secret: Run, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("KALTURA_SECRET", sandbox.kaltura.user_secret)
    ran = by_secret(command)
    assert ran.code == 2
    assert "KALTURA_SECRET is the user secret of account 101" in ran.err
    assert "take the administrator secret" in ran.err


def test_an_unknown_account_is_told(by_secret: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KALTURA_PARTNERID", "987654")
    ran = by_secret("count")
    assert ran.code == 2
    assert "there is no account 987654" in ran.err
    assert "check KALTURA_PARTNERID" in ran.err


def test_config_tells_of_a_user_whom_nobody_knows(by_secret: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = by_secret("config")
    assert "KALTURA_USERID" not in ran.err
    monkeypatch.setenv("KALTURA_USERID", "archivar")
    ran = by_secret("config")
    assert ran.code == 0
    assert "account 101 has no user archivar, who signs in here (KALTURA_USERID)" in ran.err
    assert "correct it, or add that user in the KMC" in ran.err


@pytest.mark.parametrize("by", ["app token", "secret"])
def test_config_tells_that_nobody_signs_in(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    """kaltura_aws.py did not start without KALTURA_USERID."""
    monkeypatch.delenv("KALTURA_USERID")
    if by == "secret":
        monkeypatch.delenv("KALTURA_APP_TOKEN_ID")
        monkeypatch.delenv("KALTURA_APP_TOKEN")
        monkeypatch.setenv("KALTURA_SECRET", sandbox.kaltura.secret)
    else:  # one that has a user of its own needs no other
        ran = run("config")
        assert "KALTURA_USERID" not in ran.err
        assert ran.rows[0]["detail"].endswith(", by an app token, as archiver")
        sandbox.kaltura.app_tokens[sandbox.kaltura.app_token_id].user_id = ""
    ran = run("config")
    assert ran.code == 0
    assert "KALTURA_USERID is not set, so nobody signs in here: what is done is entered under no user" in ran.err
    assert ran.rows[0]["detail"].endswith(", as nobody")


def test_config_tells_whose_an_app_token_is(sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KALTURA_USERID", "archivar")
    ran = run("config")
    assert ran.code == 0
    assert "the app token is the user archiver's: KALTURA_USERID archivar does not count" in ran.err
    assert "has no user" not in ran.err
    sandbox.kaltura.app_tokens[sandbox.kaltura.app_token_id].user_id = "gone"
    assert "account 101 has no user gone, who signs in here (the app token's own)" in run("config").err


def test_config_says_nothing_of_the_user_where_it_may_not_ask(sandbox: Sandbox, by_secret: Run) -> None:
    sandbox.control.add_fault("user.get", "error", code="SERVICE_FORBIDDEN", times=9)
    ran = by_secret("config")
    assert ran.code == 0
    assert "KALTURA_USERID" not in ran.err


def test_config_tells_what_an_app_token_lacks(sandbox: Sandbox, run: Run) -> None:
    token = sandbox.kaltura.app_tokens[sandbox.kaltura.app_token_id]
    assert "app token" not in run("config").err
    token.privileges = "list:*"
    assert "lacks the privilege disableentitlement" in run("config").err
    token.session_type = 0
    assert "the app token gives user sessions" in run("config").err


def test_every_command_tells_once_that_it_may_not_see_all(sandbox: Sandbox, run: Run) -> None:
    sandbox.kaltura.app_tokens[sandbox.kaltura.app_token_id].privileges = "list:*"
    entry = sandbox.add(State.INITIAL)
    for command in (["count"], ["list"], ["health"], ["s3copy", "--id", entry, "--no-dry-run"]):
        assert run(*command).err.count("entries in private categories may not be seen") == 1, command
