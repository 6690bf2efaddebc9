"""What may delete stored copies is told by config and health: the bucket's own rules, and how new copies are held."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError
from conftest import Run

from kaltura_archiver.config import read_settings
from kaltura_archiver.errors import ConfigError, StoreError
from kaltura_archiver.model import State
from kaltura_archiver.run import run as acting
from kaltura_archiver.sandbox.world import Sandbox
from kaltura_archiver.store.rules import _of_encryption, dangers

LOCK, RUN_LOG = acting._lock, acting._run_log
EXPIRES = "<Rule><ID>tidy</ID><Status>{}</Status><Filter><Prefix>{}</Prefix></Filter>{}</Rule>"
AFTER_A_YEAR = "<Expiration><Days>365</Days></Expiration>"
ON_A_DAY = "<Expiration><Date>2027-01-01T00:00:00Z</Date></Expiration>"
OLD_ONES = "<NoncurrentVersionExpiration><NoncurrentDays>30</NoncurrentDays></NoncurrentVersionExpiration>"
FREEZES = "<Transition><Days>14</Days><StorageClass>GLACIER</StorageClass></Transition>"

ELSEWHERE = FREEZES.replace("GLACIER", "CLOUDTIER")
OLD_ONES_ELSEWHERE = (
    "<NoncurrentVersionTransition><NoncurrentDays>1</NoncurrentDays><StorageClass>CLOUDTIER</StorageClass>"
    "</NoncurrentVersionTransition>"
)
AFTER_A_DAY = "<Expiration><Days>1</Days></Expiration>"

BUCKET = "arn:aws:s3:::sandbox-archive"


def _policy(*actions: str, **changes: Any) -> str:
    statement = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": list(actions),
        "Resource": "arn:aws:s3:::sandbox-archive/*",
    }
    return json.dumps({"Statement": [statement | changes]})


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ({"versioning": "Suspended"}, "versioning of the bucket is suspended"),
        ({"versioning": ""}, "versioning of the bucket is off"),
        ({"policy": ""}, "policy is missing, which should deny everybody s3:DeleteObject and s3:DeleteObjectVersion"),
        ({"policy": _policy("s3:PutObject")}, "does not deny everybody s3:DeleteObject and s3:DeleteObjectVersion"),
        ({"policy": _policy("s3:DeleteObject")}, "does not deny everybody s3:DeleteObjectVersion"),
        ({"policy": _policy("s3:*", Principal={"AWS": "arn:aws:iam::1:role/x"})}, "does not deny everybody"),
        ({"policy": _policy("s3:*", Condition={"Bool": {"aws:SecureTransport": "false"}})}, "does not deny everybody"),
        ({"policy": _policy("s3:*", Effect="Allow")}, "does not deny everybody"),
        ({"policy": _policy("s3:*", Resource=BUCKET)}, "does not deny everybody"),
        (
            {"lifecycle": EXPIRES.format("Enabled", "", AFTER_A_YEAR)},
            "lifecycle rule 'tidy' of the bucket deletes stored copies after 365 days",
        ),
        (
            {"lifecycle": EXPIRES.format("Enabled", "0_", ON_A_DAY)},
            "deletes stored copies on 2027-01-01",
        ),
        (
            {"lifecycle": EXPIRES.format("Enabled", "displaced/", AFTER_A_YEAR)},
            "deletes stored copies after 365 days",
        ),
        (
            {"lifecycle": EXPIRES.format("Enabled", "", OLD_ONES)},
            "deletes for good, after 30 days, copies that somebody has deleted",
        ),
        ({"lifecycle": EXPIRES.format("Enabled", "settings/", AFTER_A_DAY)}, "lost settings, after 1 day,"),
        (
            {"lifecycle": EXPIRES.format("Enabled", "", ELSEWHERE)},
            "moves stored copies to the class CLOUDTIER: this tool does not know whether they stay readable there",
        ),
        (
            {"lifecycle": EXPIRES.format("Enabled", "", OLD_ONES_ELSEWHERE)},
            "moves stored copies to the class CLOUDTIER",
        ),
    ],
)  # fmt: skip
def test_what_endangers_copies_is_told_by_config_and_health(
    rules: dict[str, str], said: str, sandbox: Sandbox, run: Run
) -> None:
    entry_id = sandbox.add(State.ARCHIVED)
    for name, value in rules.items():
        setattr(sandbox.s3.settings.rules, name, value)
    for words in (("config",), ("health", "--id", entry_id)):
        ran = run(*words)
        # Of the entry's own copy S3 says it, too: then that is what health finds.
        assert ran.code == ("needs attention: 1 expiring" in ran.err), ran.err
        [line] = [line for line in ran.err.splitlines() if said in line]
        assert "WARNING" in line


@pytest.mark.parametrize(
    "rules",
    [
        {},
        {"policy": _policy("s3:Delete*")},
        {"policy": _policy("s3:*", Principal={"AWS": "*"}, Resource=[BUCKET, f"{BUCKET}/*"])},
        {"lifecycle": EXPIRES.format("Disabled", "", AFTER_A_YEAR)},
        {"lifecycle": EXPIRES.format("Enabled", "log/", AFTER_A_YEAR)},
        {"lifecycle": EXPIRES.format("Enabled", "tmp/", AFTER_A_YEAR)},
        {"lifecycle": EXPIRES.format("Enabled", "probe/", AFTER_A_YEAR)},
        {"lifecycle": EXPIRES.format("Enabled", "", FREEZES)},
    ],
)  # fmt: skip
def test_rules_that_protect_are_not_spoken_of(rules: dict[str, str], sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add(State.ARCHIVED)
    for name, value in rules.items():
        setattr(sandbox.s3.settings.rules, name, value)
    for words in (("config",), ("health", "--id", entry_id)):
        assert "bucket's" not in run(*words).err
        assert "of the bucket" not in run(*words).err


def test_a_key_that_can_be_deleted_is_told(sandbox: Sandbox, run: Run) -> None:
    sandbox.s3.settings.kms = True
    assert "new objects are encrypted with the KMS key arn:aws:kms:" in run("config").err


def test_why_the_rules_cannot_be_looked_at_is_told_by_config(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add(State.ARCHIVED)
    sandbox.s3.settings.deny |= {"GetBucketPolicy", "GetBucketLifecycleConfiguration"}
    sandbox.s3.settings.deny_message = "User x is not authorized to perform that"
    ran = run("config")
    assert ran.code == 0
    assert ran.err.count("cannot be looked at: ") == 2
    assert "not authorized" in ran.err
    said = run("health", "--id", entry_id).err
    assert "cannot be looked at" not in said
    assert "not all of the bucket's rules could be looked at" in said


@pytest.mark.parametrize("policy", ["<html>welcome</html>", "[1, 2]", '{"Statement": "none"}', '{"Statement": [7]}'])
def test_a_policy_that_is_none_ends_nothing(sandbox: Sandbox, run: Run, policy: str) -> None:
    """Another service answered a page of its own to the question, with status 200."""
    entry_id = sandbox.add(State.ARCHIVED)
    sandbox.s3.settings.rules.policy = policy
    ran = run("config")
    assert "the bucket's policy cannot be looked at: S3 answers what is none" in ran.err
    assert "unexpected" not in ran.err
    assert run("health", "--id", entry_id).rows[0]["entry_id"] == entry_id


@dataclass
class _Refusing:
    """A bucket of which no rule is told."""

    code: str
    is_amazon: bool
    bucket: str = "archive"

    def own(self, operation: str, absent: str) -> dict[str, Any]:
        raise StoreError(f"{operation}: refused", code=self.code)


ALL = ["versioning", "lifecycle rules", "policy", "encryption"]


@pytest.mark.parametrize(
    ("code", "is_amazon", "off", "unseen"),
    [
        ("MethodNotAllowed", True, False, ALL),  # to who is of another account than the bucket
        ("AccessDenied", False, False, ALL),
        ("MethodNotAllowed", False, False, ALL[:2]),
        ("NotImplemented", False, True, ["lifecycle rules"]),
    ],
)
def test_silence_is_not_taken_for_rules_that_protect(code: str, is_amazon: bool, off: bool, unseen: list[str]) -> None:
    """Another service may know no policies; what may delete copies all the same is not left out."""
    found, looked_for = dangers(cast(Any, _Refusing(code, is_amazon)))
    assert [line.split(" cannot")[0].removeprefix("the bucket's ") for line in looked_for] == unseen
    assert [line.split(":")[0] for line in found] == ["versioning of the bucket is off"] * off


@pytest.mark.parametrize(("key", "told"), [("", False), ("alias/aws/s3", False), ("alias/ours", True)])
def test_a_key_that_nobody_can_delete_is_not_spoken_of(key: str, told: bool) -> None:
    default = {"SSEAlgorithm": "aws:kms", **({"KMSMasterKeyID": key} if key else {})}
    answer = {"ServerSideEncryptionConfiguration": {"Rules": [{"ApplyServerSideEncryptionByDefault": default}]}}
    assert bool(list(_of_encryption(answer, "archive"))) == told


# Object Lock


def _years_from_now(until: datetime) -> float:
    return (until - datetime.now(UTC)) / timedelta(days=365.25)


def test_new_copies_are_held_and_locks_and_logs_are_not(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acting, "_lock", LOCK)
    monkeypatch.setattr(acting, "_run_log", RUN_LOG)
    entry_id = sandbox.add(State.INITIAL)
    bucket = sandbox.s3._backend.buckets[sandbox.s3.bucket]
    bucket.object_lock_enabled = True
    monkeypatch.setenv("OBJECT_LOCK", "GOVERNANCE:7")
    ran = run("s3copy", "--id", entry_id, "--no-dry-run")
    assert ran.outcomes == {entry_id: "done"}, ran.err
    held = {key: (bucket.keys[key].lock_mode, bucket.keys[key].lock_until) for key in bucket.keys}
    mode, until = held.pop(entry_id)
    assert (mode, round(_years_from_now(datetime.fromisoformat(until.replace("Z", "+00:00"))), 3)) == ("GOVERNANCE", 7)
    assert {key.split("/")[0] for key in held} == {"locks", "log"}
    assert {mode for mode, _ in held.values()} == {None}


def test_large_copies_are_held_from_the_first_request(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """moto forgets the retention of an upload in parts, so what it was told is looked at."""
    entry_id = sandbox.add(State.INITIAL, content=b"0123456789abcdef" * 1_250_000)
    monkeypatch.setenv("OBJECT_LOCK", "COMPLIANCE:1")
    told: list[dict[str, Any]] = []
    really = BaseClient._make_api_call

    def call(self: BaseClient, operation: str, parameters: dict[str, Any]) -> Any:
        if operation == "CreateMultipartUpload":
            told.append(parameters)
        return really(self, operation, parameters)

    monkeypatch.setattr(BaseClient, "_make_api_call", call)
    assert run("s3copy", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "done"}
    [parameters] = told
    assert parameters["ObjectLockMode"] == "COMPLIANCE"
    assert round(_years_from_now(parameters["ObjectLockRetainUntilDate"]), 3) == 1


def test_a_bucket_that_cannot_hold_what_object_lock_asks_for_is_told(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else every copy would fail at S3."""
    assert run("config").code == 0
    monkeypatch.setenv("OBJECT_LOCK", "GOVERNANCE:7")
    ran = run("config")
    assert (ran.code, f"the bucket {sandbox.s3.bucket} has no Object Lock" in ran.err) == (2, True), ran.err
    sandbox.s3._backend.buckets[sandbox.s3.bucket].object_lock_enabled = True
    ran = run("config")
    assert (ran.code, "Object Lock" in ran.err) == (0, False), ran.err
    sandbox.s3.settings.deny.add("GetObjectLockConfiguration")
    ran = run("config")
    assert (ran.code, "whether the bucket has Object Lock is not known: " in ran.err) == (0, True), ran.err


def test_a_default_retention_is_told_and_so_is_what_it_does(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AWS takes nothing without a checksum into such a bucket, so no lock, and every command that acts ends there."""
    bucket = sandbox.s3._backend.buckets[sandbox.s3.bucket]
    bucket.object_lock_enabled = True
    bucket.default_lock_mode, bucket.default_lock_days = "GOVERNANCE", 30
    [line] = [line for line in run("config").err.splitlines() if "the bucket has a default retention" in line]
    assert "WARNING" in line
    assert line.endswith("(here: GOVERNANCE 30 days)")
    monkeypatch.setattr(acting, "_lock", LOCK)
    said = {"Code": "InvalidRequest", "Message": "Content-MD5 OR x-amz-checksum- HTTP header is required for Put "
            "Object requests with Object Lock parameters"}  # fmt: skip
    really = BaseClient._make_api_call

    def call(self: BaseClient, operation: str, parameters: dict[str, Any]) -> Any:
        if operation == "PutObject":
            raise ClientError(cast(Any, {"Error": said, "ResponseMetadata": {"HTTPStatusCode": 400}}), operation)
        return really(self, operation, parameters)

    monkeypatch.setattr(BaseClient, "_make_api_call", call)
    ran = run("s3copy", "--id", sandbox.add(State.INITIAL), "--no-dry-run")
    assert ran.code == 1
    assert "take it away, and set OBJECT_LOCK, which holds copies only" in ran.err


def test_without_the_setting_nothing_is_held(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add(State.INITIAL)
    assert run("s3copy", "--id", entry_id, "--no-dry-run").code == 0
    assert sandbox.s3._backend.buckets[sandbox.s3.bucket].keys[entry_id].lock_mode is None


@pytest.mark.parametrize(
    "text", ["GOVERNANCE", "governance:1", "COMPLIANCE:0", "COMPLIANCE:101", "NONE:1", "COMPLIANCE:x"]
)
def test_an_object_lock_that_is_none_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OBJECT_LOCK", text)
    with pytest.raises(ConfigError, match="OBJECT_LOCK must be GOVERNANCE or COMPLIANCE, a colon and 1 to 100 years"):
        read_settings()
