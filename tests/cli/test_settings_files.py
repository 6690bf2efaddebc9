"""Settings as their authors meant them, or refused with file and line; and no secret without TLS."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from conftest import Run
from looking import writes

from kaltura_archiver.config import VARIABLES, is_loopback, read_settings
from kaltura_archiver.envfile import check_values, read_env_file
from kaltura_archiver.errors import ConfigError
from kaltura_archiver.model import State
from kaltura_archiver.sandbox.world import Sandbox

MEANT = """\
\ufeff# for bash
export KALTURA_PARTNERID='101'
export KALTURA_SECRET="a b"   # the secret
KEEP_TAGS=keep,heritage   # ours
LDAP_BASE=o=princeton university,c=us
EMPTY=
LDAP_PWD='pa$word${HERE}`x`'
HERE=there
PLACEHOLDER_VIDEO="${HERE}/x.mp4"
KEEP_OWNERS=${EMPTY:-jdoe},${HERE}
OURS=~/keep
AWS_BUCKET=bucket#1
TWO_LINES="one
two"
PATH="$HOME/bin:$PATH"
PS1="\\u \\$ "
LAST=1
"""


def test_a_file_is_read_as_bash_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "settings"
    path.write_text(MEANT, encoding="utf-8")
    assert read_env_file(path) == {
        "KALTURA_PARTNERID": "101", "KALTURA_SECRET": "a b", "KEEP_TAGS": "keep,heritage",
        "LDAP_BASE": "o=princeton university,c=us", "EMPTY": "", "LDAP_PWD": "pa$word${HERE}`x`", "HERE": "there",
        "PLACEHOLDER_VIDEO": "there/x.mp4", "KEEP_OWNERS": "jdoe,there",
        "OURS": str(Path.home() / "keep"), "AWS_BUCKET": "bucket#1", "TWO_LINES": "one\ntwo", "LAST": "1",
        "PATH": "$HOME/bin:$PATH", "PS1": "\\u \\$ ",
    }  # fmt: skip
    path.write_bytes(MEANT.replace("\n", "\r\n").encode())
    assert read_env_file(path)["KEEP_TAGS"] == "keep,heritage"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("setenv KEEP_TAGS heritage", "this is csh's setenv: write NAME=value"),
        ("set KEEP_TAGS heritage", "write NAME=value"),
        ("KEEP_TAGS heritage", "not NAME=value"),
        ("KEEP_TAGS", "not NAME=value"),
        ("export KEEP_TAGS", "not NAME=value"),
        ("KEEP_TAGS: heritage", "not NAME=value"),
        ('KEEP_TAGS="heritage', "not NAME=value"),
        ("KEEP_TAGS='keep' heritage", "not NAME=value"),
        ("export KEEP_TAGS=keep KEEP_OWNERS=jdoe", "one variable a line"),
        ("export KEEP_TAGS=keep heritage", "one variable a line"),
        ("KEEP-TAGS=heritage", "'KEEP-TAGS' is not the name of a variable"),
        ("KEEP_TAG=heritage", "there is no setting KEEP_TAG; is KEEP_TAGS meant?"),
        ("KEEP_OWNER=jdoe", "is KEEP_OWNERS meant?"),
        ("KEEP_CATEGORY=7", "is KEEP_CATEGORIES meant?"),
        ('KALTURA_SECRET="$(pass kaltura)"', "no command is run here"),
        ("KALTURA_SECRET=`pass kaltura`", "no command is run here"),
        (". ./other", "not NAME=value"),
        ("keep_tags=heritage", "there is no setting keep_tags; is KEEP_TAGS meant?"),
        ("N=1; KEEP_TAGS=heritage", "'KEEP_TAGS=' within the value of N: one variable a line"),
        ("N=1 KEEP_TAGS=heritage", "'KEEP_TAGS=' within the value of N"),
        ("export N=1;KEEP_TAGS=heritage", "'KEEP_TAGS=' within the value of N"),
        ("N=1 && export AWS_BUCKET=other", "'&& export AWS_BUCKET=' within the value of N"),
        ('Environment="KEEP_TAGS=heritage"', "'KEEP_TAGS=' within the value of Environment"),
        ("N='1\nKEEP_TAGS=heritage\nM='", "'KEEP_TAGS=' within the value of N"),
        (
            "export KEEP_TAGS=${EXTRA-heritage}",
            "no more than ${NAME} and ${NAME:-default} are known",
        ),
        ('KEEP_OWNERS="${STAFF,,}"', "of variables no more than"),
        ("KEEP_TAGS=${TAG%x}", "of variables no more than"),
        ("KEEP_TAGS=${TAG:=heritage}", "of variables no more than"),
        ("KEEP_TAGS=$HERITAGE", "of variables no more than"),
        ('LDAP_PWD="pa$$word"', "a $ stays one in single quotes"),
        ('KEEP_TAGS="${NOBODY_HAS_SET_THIS}"', "is empty, so that KEEP_TAGS protects nothing"),
        ('KEEP_TAGS="heritage"#x', "something follows the closing quote"),
        ("LDAP_PWD='a'b", "not NAME=value"),
        ('LDAP_PWD="a\\$b"', "a $ stays one in single quotes"),
        ('LDAP_PWD="a\\nb"', "a backslash: put the value in single quotes"),
        ("LDAP_PWD=a\\b", "a backslash"),
        ("LDAP_PWD='a\\\\b'", "a backslash"),
    ],
)
def test_a_line_that_would_be_lost_is_refused_with_its_number(
    sandbox: Sandbox, run: Run, line: str, words: str
) -> None:
    """Today's silence: `setenv KEEP_TAGS heritage` was dropped, and what it protects replaced."""
    entry_id = sandbox.add(State.ARCHIVED, tags="heritage")
    Path("production.env").write_text(f"# settings\n\nA=1\n{line}\nB=2\n")
    ran = run("--env-file", "production.env", "replace_video", "--id", entry_id, "--no-dry-run")
    assert ran.code == 2
    assert ran.err.startswith("error: production.env, line 4: "), ran.err
    assert words in ran.err
    assert len(ran.err.splitlines()) == 1
    assert writes(sandbox) == []


def test_the_quotes_that_docker_leaves_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        with monkeypatch.context() as patch:
            patch.setenv(name, '"12"' if name != "KALTURA_POLL_SECONDS" else "'12'")
            if name in ("LDAP_PWD", "SMTP_PWD"):
                read_settings()
                continue
            with pytest.raises(ConfigError, match=f"^{name} is in quotes: docker's --env-file"):
                read_settings()
    with monkeypatch.context() as patch:
        patch.setenv("KEEP_TAGS", '"keep",heritage')
        with pytest.raises(ConfigError, match=r"^KEEP_TAGS is in quotes"):
            read_settings()
    monkeypatch.setenv("KALTURA_USERID", "me KEEP_TAGS=heritage")
    with pytest.raises(ConfigError, match=r"'KEEP_TAGS=' within the value of KALTURA_USERID protects nothing"):
        read_settings()


def test_a_directorys_name_is_one_value(tmp_path: Path) -> None:
    path = tmp_path / "settings"
    path.write_text("LDAP_BASE=OU=My People, DEPT=Arts and Letters, DC=example\nLDAP_FILTER=(&(UID=*)(|(OU=a)))\n")
    assert read_env_file(path)["LDAP_BASE"] == "OU=My People, DEPT=Arts and Letters, DC=example"


@pytest.mark.parametrize("name", ["KEEP_TAG", "KEEP_OWNER", "KEEPOWNERS", "keep_tags", "KEEP_CATEGORY", "KEEP_OWNRES"])
def test_protection_under_a_misspelled_name_is_told(name: str) -> None:
    with pytest.raises(ConfigError, match=f"the environment: there is no setting {name}"):
        check_values({name: "x"}, VARIABLES)


def test_variables_of_other_programs_are_none_of_ours() -> None:
    check_values({"KEEPALIVE": "1", "KEEP_ALIVE_SECONDS": "1", "KEEP_GOING": "1", "TAGS": '"x"', "PS1": "'"}, VARIABLES)


def test_an_empty_variable_of_the_environment_takes_no_protection_away(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a compose file or CI hands it on."""
    entry_id = sandbox.add(State.ARCHIVED, tags="heritage")
    Path(".env").write_text("KEEP_TAGS=heritage\n")
    monkeypatch.setenv("KEEP_TAGS", " ")
    assert run("replace_video", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "skipped"}
    assert writes(sandbox) == []


def test_the_environment_wins_and_nothing_else_is_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("AWS_BUCKET=file\nKEEP_TAGS=file1\n")
    monkeypatch.setenv("AWS_BUCKET", "environment")
    monkeypatch.setattr(os, "environ", dict(os.environ))
    assert (read_settings().bucket, read_settings().keep_tags) == ("environment", "file1")


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_map_and_a_price_table_may_begin_with_windows_mark(run: Run, sandbox: Sandbox, mark: str) -> None:
    Path("map.toml").write_text(f'{mark}[category]\n7 = "x.mp4"\n', encoding="utf-8")
    Path("x.mp4").write_bytes(sandbox.placeholder)
    Path("prices.toml").write_text(f"{mark}as_of = 2026-01-01\n", encoding="utf-8")
    ran = run("replace_video", "--id", sandbox.add(State.ARCHIVED), "--placeholder-map", "map.toml")
    assert "not TOML" not in ran.err
    assert "cannot read the price table" not in run("stats", "--price-table", "prices.toml").err


# Secrets, TLS


@pytest.mark.parametrize(
    ("host", "own"),
    [
        ("127.0.0.1", True), ("127.9.9.9", True), ("localhost", True), ("LOCALHOST.", True), ("a.localhost", True),
        ("::1", True), ("kaltura.example.edu", False), ("10.0.0.1", False), ("localhost.example.edu", False),
        ("127.0.0.1.example.edu", False), ("", False),
    ],
)  # fmt: skip
def test_what_is_the_machine_itself(host: str, own: bool) -> None:
    assert is_loopback(host) == own


@pytest.mark.parametrize("command", [("list",), ("config",), ("s3copy", "--all"), ("restore", "--all", "--no-dry-run")])
def test_no_secret_goes_to_kaltura_without_tls(
    run: Run, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.setenv("KALTURA_SERVICE_URL", "http://kaltura.example.edu")

    def no_call(*_: object, **__: object) -> None:
        raise AssertionError("nothing may be sent")

    monkeypatch.setattr("kaltura_archiver.kaltura.wire.WireClient.doHttpRequest", no_call)
    ran = run(*command)
    assert ran.code == 2
    assert "KALTURA_SERVICE_URL must begin with https://" in ran.err


def test_no_password_goes_to_a_directory_or_mail_server_without_tls(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "LDAP_SERVER": "ldap.example.edu", "LDAP_TLS": "none", "LDAP_USER": "me", "LDAP_PWD": "password",
        "SMTP_SERVER": "mail.example.edu", "SMTP_TLS": "none", "SMTP_USER": "me", "SMTP_PWD": "password",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    ran = run("config")
    assert ran.code == 2
    assert "LDAP_TLS=none would send LDAP_PWD unencrypted" in ran.err
    assert "SMTP_TLS=none would send SMTP_PWD unencrypted" in ran.err


def test_s3_of_a_lan_may_do_without_tls_but_no_secret_goes_there(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry_id = sandbox.add(State.PLACEHOLDER)
    # The sandbox, as if it were another machine.
    monkeypatch.setattr("kaltura_archiver.store.bucket.is_loopback", lambda host: False)
    ran = run("restore", "--id", entry_id, "--via", "url", "--no-dry-run")
    assert ran.outcomes == {entry_id: "refused"}
    assert "is spoken to without TLS: videos travel unencrypted" in ran.err
    assert "--via url would have the video's address travel unencrypted" in ran.out
    assert run("restore", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "done"}
    monkeypatch.setenv("AWS_SESSION_TOKEN", "temporary-token")
    ran = run("health")
    assert (ran.code, "session token of the AWS credentials unencrypted: use https://" in ran.err) == (2, True)


@pytest.mark.parametrize("name", ["AWS_PROFILE", "AWS_DEFAULT_REGION", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3"])
@pytest.mark.parametrize("value", ["", " "])
def test_an_empty_variable_of_boto3_is_none(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """As `docker --env-file` and templates leave them: to boto3 it would be a profile that has no name."""
    monkeypatch.setenv(name, value)
    entry_id = sandbox.add("archived")
    ran = run("health")
    assert (ran.code, [row["entry_id"] for row in ran.rows]) == (0, [entry_id]), ran.err


def test_a_file_that_was_named_and_does_not_count_is_told(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox.add("initial")
    Path("other.rc").write_text("export KALTURA_PARTNERID=999999\nexport AWS_BUCKET='elsewhere'\n")
    ran = run("--env-file", "other.rc", "list")
    assert len(ran.rows) == 1
    assert "other.rc says otherwise, but the environment counts: AWS_BUCKET, KALTURA_PARTNERID" in ran.err
    assert "elsewhere" not in ran.err
    Path(".env").write_text("KALTURA_PARTNERID=999999\n")  # nobody named it
    assert "says otherwise" not in run("list").err
