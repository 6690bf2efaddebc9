"""Errors keep the service's own words, and give no advice that does not fit."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Run

from kaltura_archiver.model import State
from kaltura_archiver.sandbox.world import Sandbox
from kaltura_archiver.store import Store

SAYS = "User: arn:aws:sts::1:assumed-role/task is not authorized to perform: {} on resource: arn:aws:s3:::b/0_a"


@pytest.mark.parametrize(
    ("operation", "action"),
    [
        ("PutObjectTagging", "s3:PutObjectTagging"),
        ("PutObject", "kms:GenerateDataKey"),
        ("GetObjectTagging", "s3:GetObjectTagging"),
    ],
)
def test_what_aws_names_is_told(sandbox: Sandbox, run: Run, operation: str, action: str) -> None:
    entry_id = sandbox.add(State.INITIAL if operation != "GetObjectTagging" else State.ARCHIVED)
    sandbox.s3.settings.deny.add(operation)
    sandbox.s3.settings.deny_message = SAYS.format(action)
    ran = run("s3copy", "--id", entry_id, "--no-dry-run")
    assert ran.outcomes == {entry_id: "failed"}
    assert f"is not authorized to perform: {action} on resource" in ran.rows[0]["detail"]
    assert "AccessDenied" in ran.rows[0]["detail"]


def test_a_head_that_is_refused_is_asked_about_once_by_get(sandbox: Sandbox, run: Run) -> None:
    """An answer to HEAD has no body, and so no reason."""
    entry_id = sandbox.add(State.ARCHIVED)
    sandbox.s3.settings.deny |= {"HeadObject", "GetObject"}
    sandbox.s3.settings.deny_message = SAYS.format("s3:GetObject")
    sandbox.control.clear_log()
    ran = run("s3copy", "--id", entry_id)
    assert "is not authorized to perform: s3:GetObject on resource" in ran.rows[0]["detail"]
    assert len(sandbox.control.requests("s3.GetObject")) == 1
    # Where GET may, what HEAD was refused is told as before, and nothing is concluded from what GET found.
    sandbox.s3.settings.deny.discard("GetObject")
    ran = run("s3copy", "--id", entry_id)
    assert ran.outcomes == {entry_id: "failed"}
    assert "access denied; the policy must allow it" in ran.rows[0]["detail"]


def test_a_bucket_that_is_refused_gives_its_reason(sandbox: Sandbox, run: Run) -> None:
    sandbox.s3.settings.deny |= {"HeadBucket", "ListObjectsV2"}
    sandbox.s3.settings.deny_message = SAYS.format("s3:ListBucket")
    ran = run("s3copy", "--all")
    assert ran.code == 2
    assert "is forbidden: User: arn:aws:sts::1:assumed-role/task is not authorized to perform: s3:ListBucket" in ran.err
    assert "check AWS_BUCKET" not in ran.err


def expired(*_: object, **__: object) -> None:
    from botocore.exceptions import UnauthorizedSSOTokenError

    raise UnauthorizedSSOTokenError


def test_expired_sso_is_not_a_matter_of_the_bucket(sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Store, "_before_call", expired)
    ran = run("s3copy", "--all")
    assert ran.code == 2
    (line,) = [line for line in ran.err.splitlines() if line.startswith("error:")]
    assert line.startswith("error: no AWS credentials: ")
    assert line.endswith("sign in again: aws sso login")
    assert "AWS_BUCKET" not in line


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        ("ExpiredToken", "the temporary AWS credentials have expired: get new ones"),
        ("InvalidAccessKeyId", "check AWS_ACCESS_KEY_ID"),
        ("SignatureDoesNotMatch", "check AWS_SECRET_ACCESS_KEY"),
        ("RequestTimeTooSkewed", "set the clock of this machine"),
    ],
)
def test_wrong_credentials_get_the_advice_that_fits(sandbox: Sandbox, run: Run, code: str, advice: str) -> None:
    for operation in ("s3.HeadBucket", "s3.ListObjectsV2"):
        sandbox.control.add_fault(operation, "error", code=code, status=400 if code == "ExpiredToken" else 403, times=9)
    ran = run("s3copy", "--all")
    assert ran.code == 2
    (line,) = [line for line in ran.err.splitlines() if line.startswith("error:")]
    assert code in line
    assert line.endswith(advice)
    assert "AWS_BUCKET" not in line


def test_mfa_without_a_terminal_is_not_interrupted(sandbox: Sandbox, tmp_path: Path) -> None:
    profile = tmp_path / "aws"
    profile.write_text(
        "[profile base]\naws_access_key_id = A\naws_secret_access_key = B\n"
        "[profile me]\nrole_arn = arn:aws:iam::123456789012:role/x\nsource_profile = base\n"
        "mfa_serial = arn:aws:iam::123456789012:mfa/me\n"
    )
    environment = {**os.environ, **sandbox.environ(), "AWS_CONFIG_FILE": str(profile), "AWS_PROFILE": "me"}
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        del environment[name]
    ended = subprocess.run(
        [sys.executable, "-m", "kaltura_archiver", "s3copy", "--all"],
        env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, start_new_session=True,
        check=False,
    )  # fmt: skip
    assert ended.returncode == 2
    assert "error: the AWS profile asks for the code of an MFA device, and there is no terminal" in ended.stderr
    assert "interrupted" not in ended.stderr
