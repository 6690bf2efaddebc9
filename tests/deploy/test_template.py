"""aws/*.yaml: what they promise, read from them; and that each job's role is just what the job's commands need."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

import pytest
from botocore.client import BaseClient
from click.testing import CliRunner
from cloudformation import STACK, TEMPLATE, TEMPLATES, Stack, allows, event_matches, load, load_one, matching
from conftest import Run
from looking import original_of

from kaltura_archiver import cli as cli_module
from kaltura_archiver.cli.types import STORAGE_CLASSES
from kaltura_archiver.config import VARIABLES, read_settings
from kaltura_archiver.errors import ConfigError, Exit
from kaltura_archiver.fleet import tasks as run_task
from kaltura_archiver.people.letterhead import letterhead
from kaltura_archiver.run import run as acting
from kaltura_archiver.run import runlog
from kaltura_archiver.sandbox.kaltura.records import Asset, Content, new_id
from kaltura_archiver.sandbox.world import Sandbox
from kaltura_archiver.store import Store
from kaltura_archiver.store.direct import Direct

ROOT = TEMPLATE.parent.parent
PAGES = [ROOT / "README-AWS.md", *sorted((ROOT / "docs" / "aws").glob("*.md"))]
JOBS = ("Archive", "Restore", "Health")
# The fixture `run` does without them.
LOCK, RUN_LOG = acting._lock, acting._run_log


@pytest.fixture(scope="module")
def stack() -> Stack:
    return Stack()


# Permissions

# The policy action that each S3 call needs (AWS's service authorization reference); HEAD counts as GET.
PERMISSIONS = {
    "HeadBucket": "s3:ListBucket",
    "ListObjectsV2": "s3:ListBucket",
    "ListMultipartUploads": "s3:ListBucketMultipartUploads",
    "HeadObject": "s3:GetObject",
    "GetObject": "s3:GetObject",
    "GetObjectTagging": "s3:GetObjectTagging",
    "PutObject": "s3:PutObject",
    "CreateMultipartUpload": "s3:PutObject",
    "UploadPart": "s3:PutObject",
    "CompleteMultipartUpload": "s3:PutObject",
    "AbortMultipartUpload": "s3:AbortMultipartUpload",
    "PutObjectTagging": "s3:PutObjectTagging",
    "RestoreObject": "s3:RestoreObject",
    "GetBucketPolicy": "s3:GetBucketPolicy",
    "GetBucketVersioning": "s3:GetBucketVersioning",
    "GetBucketEncryption": "s3:GetEncryptionConfiguration",
    "GetBucketLifecycleConfiguration": "s3:GetLifecycleConfiguration",
    "GetObjectLockConfiguration": "s3:GetBucketObjectLockConfiguration",
}
# What else a parameter of such a call needs.
HOLDS = "s3:PutObjectRetention"
# Of the key of a bucket that is encrypted by one (S3 user guide, SSE-KMS; HeadObject, where it shows a checksum).
KEY = "arn:aws:kms:eu-west-1:123456789012:key/1"
KEY_PERMISSIONS = {
    "PutObject": ("kms:GenerateDataKey",),
    "CreateMultipartUpload": ("kms:GenerateDataKey", "kms:Decrypt"),
    "UploadPart": ("kms:Decrypt",),
    "CompleteMultipartUpload": ("kms:Decrypt",),
    "GetObject": ("kms:Decrypt",),
    "HeadObject": ("kms:Decrypt",),
}
# What a bucket may be like, as parameters of the stack.
BUCKETS: dict[str, dict[str, Any]] = {
    "plain": {},
    "held-kms": {"ObjectLockMode": "GOVERNANCE", "ObjectLockYears": 7, "BucketKeyArn": KEY},
    "policy": {"Policy": "settings/policy.toml"},
}
Calls = list[tuple[str, dict[str, Any]]]


@pytest.fixture
def calls(run: Run, monkeypatch: pytest.MonkeyPatch) -> Iterator[Calls]:
    """Every call to S3, boto3's and the quick way's, as (operation, parameters); the lock's and the run log's too."""
    monkeypatch.setattr(acting, "_lock", LOCK)
    monkeypatch.setattr(acting, "_run_log", RUN_LOG)
    made: Calls = []
    really = BaseClient._make_api_call

    def call(self: BaseClient, operation: str, parameters: dict[str, Any]) -> Any:
        made.append((operation, parameters))
        return really(self, operation, parameters)

    put, get = Direct.put, Direct.get

    def quick_put(self: Direct, key: str, body: Any, headers: dict[str, str], **query: str) -> str:
        parameters = {"Key": key, "IfNoneMatch": headers.get("if-none-match")}
        held = {"ObjectLockMode": mode} if (mode := headers.get("x-amz-object-lock-mode")) else {}
        made.append(("UploadPart" if query else "PutObject", parameters | held))
        return put(self, key, body, headers, **query)

    def quick_get(self: Direct, key: str, *more: Any) -> bool:
        made.append(("GetObject", {"Key": key}))
        return get(self, key, *more)

    monkeypatch.setattr(BaseClient, "_make_api_call", call)
    monkeypatch.setattr(Direct, "put", quick_put)
    monkeypatch.setattr(Direct, "get", quick_get)
    yield made
    # What the bucket policy insists on, whoever writes.
    for operation, parameters in made:
        if operation in ("PutObject", "CompleteMultipartUpload"):
            assert parameters.get("IfNoneMatch") == "*" or parameters["Key"].startswith(
                ("locks/", "settings/", "suspect/")
            )


def _archive(sandbox: Sandbox, run: Run) -> None:
    """Small and large originals, one that an interrupted run had begun, an object of the old tool, one that fails."""
    small, large = sandbox.add("initial"), sandbox.add("initial", content=b"0123456789abcdef" * 600_000)
    sandbox.s3.client().create_multipart_upload(Bucket=sandbox.s3.bucket, Key=small)
    sandbox.control.clock.advance(10)
    adopted = sandbox.kaltura.add_entry(video := sandbox.video(), created_at=1_500_000_000).id
    sandbox.s3.put(adopted, video)
    failing = sandbox.add("empty")
    ids = [word for entry_id in (small, large, adopted, failing) for word in ("--id", entry_id)]
    ran = run("s3copy", *ids, "--no-dry-run")
    assert set(ran.outcomes.values()) == {"done", "refused"}, ran.err
    # What people have set on flavors is written over what an earlier replacement has kept.
    original_of(sandbox, small).label = "a label"
    sandbox.s3.put(f"settings/{small}.json", json.dumps({"entry": small, "flavors": {"0": {"label": "old"}}}).encode())
    ran = run("replace_video", *ids[:6], "--no-dry-run")
    assert set(ran.outcomes.values()) == {"done"}, ran.err
    archived = []
    for storage_class in load_one(TEMPLATE)["Parameters"]["StorageClass"]["AllowedValues"]:
        archived += ["--id", sandbox.add("initial")]
        assert run("s3copy", *archived[-2:], "--storage-class", storage_class, "--no-dry-run").code == 0
    assert run("replace_video", *archived, "--no-dry-run").code == 0
    # An original that was edited after a restore, and one that a person says is to stay.
    edited, newer = sandbox.add("archived"), sandbox.add("diverged")
    sandbox.s3.set_tags(edited, sandbox.s3.tags(edited) | {"restored-at": "2026-11-01T10:00:00Z"})
    sandbox.kaltura.replace_original(edited, sandbox.video())
    assert run("s3copy", "--id", edited, "--no-dry-run").outcomes == {edited: "done"}
    assert run("resolve", newer, "--keep", "kaltura", "--no-dry-run").outcomes == {newer: "done"}
    assert run("replace_video", "--id", newer, "--no-dry-run").outcomes == {newer: "done"}
    assert run("config").code == 0

    _put_policy(sandbox)
    sandbox.add("initial")
    assert run("run", POLICY, "--part", "rules", "--no-dry-run").code in (0, 3)


POLICY = "s3:settings/policy.toml"


def _repair(sandbox: Sandbox, run: Run) -> None:
    """By a policy jobs/archive also finishes what was cut short: a late job of Kaltura's has put the placeholder back
    over a restored original, once of a frozen copy, once of one beside which a person has added another source.
    """
    frozen, readable = (sandbox.add("half-tagged", storage_class=name) for name in ("GLACIER", "STANDARD"))
    for entry_id in (frozen, readable):
        sandbox.kaltura.entries[entry_id].tags = "archived_to_s3"
        sandbox.s3.set_tags(entry_id, sandbox.s3.tags(entry_id) | {"restored-at": "2026-11-01T10:00:00Z"})
    second = Asset(new_id(), readable, 99, is_original=True, version=2)
    second.store(Content.of(b"another source" * 90), 2)
    sandbox.kaltura.library.put_asset(second)
    ran = run("run", POLICY, "--part", "rules", "--no-dry-run")
    assert {row["entry_id"]: row["outcome"] for row in ran.rows if row["stage"] == "repair"} == {
        frozen: "waiting",
        readable: "done",
    }, ran.err
    assert any(key.startswith(f"displaced/{readable}/") for key in sandbox.s3.keys())  # noqa: SIM118 - not a dict


def _put_policy(sandbox: Sandbox) -> None:
    rule = "[[rule]]\nname = 'old'\nselect = { unplayed_for = 3 }\narchive = {}\nreplace = {}\n"
    sandbox.s3.put(POLICY.removeprefix("s3:"), f"{rule}due = {{ replaced_for = 0 }}\n".encode())


def _restore(sandbox: Sandbox, run: Run) -> None:
    """A frozen copy, a readable one, one fetched by Kaltura itself, one that displaces something unknown."""
    frozen = sandbox.add("placeholder", storage_class="GLACIER")
    plain, by_url = sandbox.add("placeholder"), sandbox.add("placeholder")
    unknown = sandbox.kaltura.add_entry(b"?" * 5000, tags="archived_to_s3, flavors_deleted", created_at=1_500_000_000)
    sandbox.s3.put(unknown.id, sandbox.video())
    sandbox.s3.client().create_multipart_upload(Bucket=sandbox.s3.bucket, Key=f"displaced/{plain}/x@1")
    sandbox.control.clock.advance(10)
    original_of(sandbox, plain).label = "set while the placeholder was in"
    ran = run("restore", "--id", frozen, "--id", plain, "--id", unknown.id, "--no-dry-run")
    assert ran.outcomes == {frozen: "waiting", plain: "done", unknown.id: "done"}, ran.err
    assert run("restore", "--id", by_url, "--via", "url", "--no-dry-run").code == 0
    damaged, half = sandbox.add("archived"), sandbox.add("half-tagged")
    sandbox.s3.put(damaged, b"?" * 4000, tags=sandbox.s3.tags(damaged))
    assert run("verify", "--id", damaged, "--no-dry-run").outcomes == {damaged: "failed"}
    assert run("repair", "--id", half, "--no-dry-run").outcomes == {half: "done"}
    old = sandbox.add("placeholder")
    tags = sandbox.s3.tags(old)
    sandbox.s3.put(old, sandbox.s3.body(old), tags={"sha256": tags["sha256"]})
    assert run("repair", "--id", old, "--no-dry-run").outcomes == {old: "done"}
    for storage_class in load_one(TEMPLATE)["Parameters"]["StorageClass"]["AllowedValues"]:
        ran = run("restore", "--id", sandbox.add("placeholder", storage_class=storage_class), "--no-dry-run")
        assert set(ran.outcomes.values()) <= {"done", "waiting"}, ran.err
    older = sandbox.add("diverged")
    assert run("resolve", older, "--keep", "s3", "--no-dry-run").outcomes == {older: "done"}
    # A second run meets the lock of the first.
    sandbox.s3.put("locks/restore.json", b'{"expires": 1, "released": true}')
    assert run("restore", "--id", plain, "--no-dry-run").code == 0
    assert run("config").code == 0
    desk = "[restore]\nrequest_tag = 'restore_please'\n[restore.limits]\nentries = 100\nmoney = 500.0\n"
    sandbox.s3.put(POLICY.removeprefix("s3:"), desk.encode())
    asked = sandbox.add("placeholder", tags="restore_please")
    ran = run("run", POLICY, "--part", "restore", "--no-dry-run")
    assert ran.outcomes == {asked: "done"}, ran.err


def _health(sandbox: Sandbox, run: Run) -> None:
    for state in ("archived", "placeholder", "initial"):
        sandbox.add(state)
    assert run("health", "--max-entries", "-1").code == 0
    _put_policy(sandbox)
    assert run("run", POLICY, "--check").code == 0
    # Who may look may read what runs have left, for a report.
    sandbox.s3.put("log/runs/2026/11/a.jsonl", b"{}")
    assert not list(runlog.read(Store(read_settings(), read_only=True)))


@pytest.mark.parametrize("bucket", BUCKETS)
@pytest.mark.parametrize(("job", "work"), [("Archive", _archive), ("Restore", _restore), ("Health", _health)])
def test_a_job_may_do_what_it_does_and_does_all_it_may(
    job: str, work: Any, bucket: str, sandbox: Sandbox, run: Run, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = f"arn:aws:s3:::{sandbox.s3.bucket}"
    stack = Stack(BucketName=sandbox.s3.bucket, **BUCKETS[bucket])
    statements = stack.statements(f"{job}Role")
    sandbox.s3.settings.kms = bucket == "held-kms"
    environment = _environment(stack.resources[f"{job}Task"]["Properties"]["ContainerDefinitions"][0])
    if environment.get("OBJECT_LOCK"):
        sandbox.s3._backend.buckets[sandbox.s3.bucket].object_lock_enabled = True
        monkeypatch.setenv("OBJECT_LOCK", environment["OBJECT_LOCK"])
    calls.clear()
    work(sandbox, run)
    if (job, bucket) == ("Archive", "policy"):
        _repair(sandbox, run)
    made: set[tuple[str, str]] = set()
    for operation, parameters in calls:
        where = f"{at}/{parameters['Key']}" if "Key" in parameters else at
        made.add((PERMISSIONS[operation], where))
        if "ObjectLockMode" in parameters:
            made.add((HOLDS, where))
        if bucket == "held-kms":
            made |= {(action, KEY) for action in KEY_PERMISSIONS.get(operation, ())}
    forbidden = {call for call in made if not allows(statements, *call)}
    assert not forbidden
    used = {(s["Sid"], action) for action, where in made for s in matching(statements, action, where)}
    given = {(s["Sid"], action) for s in statements if s["Effect"] == "Allow" for action in s["Action"]}
    assert given == used
    for statement in statements:
        for pattern in statement["Resource"]:
            assert statement["Effect"] == "Deny" or any(fnmatchcase(where, pattern) for _, where in made), pattern


def test_the_roles_refuse_what_is_not_their_job() -> None:
    stack = Stack(BucketName="b")
    archive, restore, health = (stack.statements(f"{job}Role") for job in JOBS)
    for statements in (archive, restore, health):
        assert not allows(statements, "s3:DeleteObject", "arn:aws:s3:::b/0_x")
        assert not allows(statements, "s3:DeleteObjectVersion", "arn:aws:s3:::b/0_x")
        assert not allows(statements, "s3:GetObject", "arn:aws:s3:::other/0_x")
        assert not allows(statements, "s3:PutBucketVersioning", "arn:aws:s3:::b")
    assert not allows(archive, "s3:GetObject", "arn:aws:s3:::b/displaced/0_x/1")
    assert not allows(archive, "s3:RestoreObject", "arn:aws:s3:::b/0_x")
    # By a policy it repairs.
    archive = Stack(BucketName="b", Policy="settings/policy.toml").statements("ArchiveRole")
    assert allows(archive, "s3:GetObject", "arn:aws:s3:::b/displaced/0_x/1")
    assert allows(archive, "s3:RestoreObject", "arn:aws:s3:::b/0_x")
    assert not allows(restore, "s3:PutObject", "arn:aws:s3:::b/0_x")
    assert not allows(restore, "s3:PutObject", "arn:aws:s3:::b/log/2019.txt")
    assert not {action for statement in health for action in statement["Action"]} & {"s3:PutObject", "s3:RestoreObject"}


def test_no_job_may_change_what_tells_it_what_to_do() -> None:
    stack = Stack(BucketName="b", Policy="settings/policy.toml", Settings="settings/mail.env")
    for statements in (stack.statements(f"{job}Role") for job in JOBS):
        for key in ("settings/policy.toml", "settings/mail.env"):
            assert not allows(statements, "s3:PutObject", f"arn:aws:s3:::b/{key}")
    for job in ("Archive", "Restore"):
        assert allows(stack.statements(f"{job}Role"), "s3:PutObject", "arn:aws:s3:::b/settings/0_x.json")


def test_nobody_is_given_deletion_or_a_wildcard(stack: Stack) -> None:
    given = [s for name in (*stack.of_type("AWS::IAM::Role"), "RunTaskPolicy") for s in stack.statements(name)]
    assert len(given) > 15
    for statement in given:
        for action in statement["Action"]:
            assert "Delete" not in action
            assert "*" not in action
        if statement["Resource"] == ["*"]:
            # These two know no resources.
            assert statement["Action"] in (["ecr:GetAuthorizationToken"], ["ecs:DescribeTaskDefinition"])


def test_roles_are_only_for_services_acting_for_this_account(stack: Stack) -> None:
    for role in stack.of_type("AWS::IAM::Role").values():
        [trust] = role["AssumeRolePolicyDocument"]["Statement"]
        assert trust["Condition"] == {"StringEquals": {"aws:SourceAccount": "123456789012"}}
        assert set(trust["Principal"]) == {"Service"}


@pytest.mark.parametrize("key", ["", ":token::"])
def test_the_secret_is_fetched_by_its_arn_and_nothing_else_is(key: str) -> None:
    arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:kaltura-AbCdEf"
    stack = Stack(KalturaSecretArn=arn + key, KalturaAppTokenId="1_abc")
    fetch = [s for s in stack.statements("ExecutionRole") if "secretsmanager:GetSecretValue" in s["Action"]]
    assert [s["Resource"] for s in fetch] == [[arn]]
    for container in _containers(stack):
        assert container["Secrets"] == [{"Name": "KALTURA_APP_TOKEN", "ValueFrom": arn + key}]
    assert [s["Name"] for s in _containers(Stack())[0]["Secrets"]] == ["KALTURA_SECRET"]
    assert not [s for s in stack.statements("ExecutionRole") if "kms:Decrypt" in s["Action"]]
    keyed = Stack(SecretKeyArn="arn:aws:kms:eu-west-1:123456789012:key/1")
    assert allows(keyed.statements("ExecutionRole"), "kms:Decrypt", "arn:aws:kms:eu-west-1:123456789012:key/1")


PORTS = ("SMTP_PORT", "LDAP_PORT")
WRITES = ("NOTIFY_", "SMTP_", "LDAP_")


def test_what_writes_to_owners_reaches_every_task_of_a_policy() -> None:
    """The settings by a file in the bucket that Fargate reads, passwords by their secrets, ports by parameters."""
    file, secret = "settings/mail.env", "arn:aws:secretsmanager:eu-west-1:123456789012:secret"
    without, stack = Stack(), Stack(
        Settings=file, SmtpSecretArn=f"{secret}:smtp-AbCdEf", LdapSecretArn=f"{secret}:ldap-AbCdEf", SmtpPort=465,
        BucketKeyArn=KEY,
    )  # fmt: skip
    for container in _containers(stack)[:3]:
        assert container["EnvironmentFiles"] == [{"Type": "s3", "Value": f"arn:aws:s3:::lectures/{file}"}]
        assert {s["Name"]: s["ValueFrom"] for s in container["Secrets"][1:]} == {
            "SMTP_PWD": f"{secret}:smtp-AbCdEf", "LDAP_PWD": f"{secret}:ldap-AbCdEf",
        }  # fmt: skip
        # What the definition itself says is not overridden by the file: none of it but the ports is of these settings.
        assert {name for name in _environment(container) if name.startswith(WRITES)} == set(PORTS)
        assert [_environment(container)[name] for name in PORTS] == [465, 636]
    start = stack.statements("ExecutionRole")
    assert allows(start, "s3:GetObject", f"arn:aws:s3:::lectures/{file}")
    assert allows(start, "s3:GetBucketLocation", "arn:aws:s3:::lectures")
    assert allows(start, "kms:Decrypt", KEY)
    assert not allows(start, "s3:GetObject", "arn:aws:s3:::lectures/0_abc12345")
    assert all(allows(start, "secretsmanager:GetSecretValue", f"{secret}:{name}-AbCdEf") for name in ("smtp", "ldap"))
    assert {p["FromPort"] for p in stack.of_type("AWS::EC2::SecurityGroupEgress").values()} == {465, 636}
    # And nothing of it where nobody is written to.
    assert all("EnvironmentFiles" not in container for container in _containers(without))
    assert all(len(container["Secrets"]) == 1 for container in _containers(without))
    assert without.of_type("AWS::EC2::SecurityGroupEgress") == {}
    assert not [s for s in without.statements("ExecutionRole") if {"s3:GetObject", "kms:Decrypt"} & set(s["Action"])]


def test_the_settings_that_the_page_puts_into_the_bucket_are_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is read by Fargate, not by us: a line for each, and no quotes."""
    page = (ROOT / "docs" / "aws" / "parts.md").read_text(encoding="utf-8")
    lines = dict(re.findall(r"^ {4}((?:NOTIFY|SMTP|LDAP)_\w+)=(.*)$", page, re.MULTILINE))
    assert set(lines) <= set(VARIABLES) - set(PORTS) - {"SMTP_PWD", "LDAP_PWD"}
    assert {"NOTIFY_FROM", "SMTP_SERVER", "LDAP_SERVER"} <= set(lines)
    assert not any({"'", '"'} & set(value) for value in lines.values())
    for name, value in lines.items():
        monkeypatch.setenv(name, value)
    assert letterhead(read_settings()).address == "archive@example.edu"


# The bucket


def test_the_bucket_is_closed_versioned_and_kept() -> None:
    resource = Stack().resources["Bucket"]
    assert (resource["DeletionPolicy"], resource["UpdateReplacePolicy"]) == ("RetainExceptOnCreate", "Retain")
    bucket = resource["Properties"]
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert len(bucket["PublicAccessBlockConfiguration"]) == 4
    assert bucket["NotificationConfiguration"]["EventBridgeConfiguration"]["EventBridgeEnabled"] is True
    # Then versioning cannot be suspended; and without a default retention no lock of a run is held for years.
    assert bucket["ObjectLockEnabled"] is True
    assert "ObjectLockConfiguration" not in bucket
    assert "BucketName" not in Stack(BucketName="").resources["Bucket"]["Properties"]


def test_the_lifecycle_freezes_copies_but_no_lock_and_expires_no_copy() -> None:
    rules = {rule["Id"]: rule for rule in Stack().resources["Bucket"]["Properties"]["LifecycleConfiguration"]["Rules"]}
    assert rules["archive"]["Transitions"] == [{"StorageClass": "DEEP_ARCHIVE", "TransitionInDays": 14}]
    # A run lock is a few hundred bytes of JSON.
    assert int(rules["archive"]["ObjectSizeGreaterThan"]) >= 100_000
    assert rules["killed-uploads"]["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"] == 7
    for rule in rules.values():
        assert not {"Expiration", "ExpirationInDays", "ExpirationDate"} & set(rule)
        assert rule["Status"] == "Enabled"
        assert "NoncurrentVersionExpiration" not in rule or rule["Prefix"] in ("locks/", "settings/")


def test_the_bucket_policy_forbids_plain_http_and_overwriting(stack: Stack) -> None:
    """Whom it keeps from deleting: test_protection.py."""
    assert stack.resources["BucketPolicy"]["DeletionPolicy"] == "RetainExceptOnCreate"
    statements = {statement["Sid"]: statement for statement in stack.statements("BucketPolicy")}
    assert {(s["Effect"], s["Principal"]) for s in statements.values()} == {("Deny", "*")}
    assert statements["TlsOnly"]["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert set(statements["TlsOnly"]["Resource"]) == {"arn:Bucket", "arn:Bucket/*"}
    # Parts of a multipart upload carry no If-None-Match; its completion does.
    assert statements["NobodyOverwritesCopies"]["Condition"] == {
        "Null": {"s3:if-none-match": "true"},
        "Bool": {"s3:ObjectCreationOperation": "true"},
    }
    assert statements["NobodyOverwritesCopies"]["NotResource"] == [
        "arn:Bucket/locks/*",
        "arn:Bucket/settings/*",
        "arn:Bucket/suspect/*",
    ]


def test_any_bucket_will_do(stack: Stack) -> None:
    assert "arn:aws:s3:::lectures/*" in {r for s in stack.statements("ArchiveRole") for r in s["Resource"]}
    assert {_environment(container)["AWS_BUCKET"] for container in _containers(stack)} == {"lectures"}
    assert stack.resources["ThawedRule"]["Properties"]["EventPattern"]["detail"]["bucket"] == {"name": ["lectures"]}
    assert not {r["Type"] for r in load_one(TEMPLATE)["Resources"].values()} & {
        "AWS::S3::Bucket",
        "AWS::S3::BucketPolicy",
    }


# Tasks


def _containers(stack: Stack) -> list[dict[str, Any]]:
    """The container of each task, then that of the array job."""
    tasks = [stack.resources[f"{job}Task"]["Properties"]["ContainerDefinitions"][0] for job in JOBS]
    return [*tasks, stack.resources["ArchiveJob"]["Properties"]["ContainerProperties"]]


def _environment(container: dict[str, Any]) -> dict[str, Any]:
    return {variable["Name"]: variable["Value"] for variable in container["Environment"]}


@pytest.mark.parametrize("job", JOBS)
def test_a_task_runs_its_job_with_time_to_end_and_nothing_to_write_to(job: str, stack: Stack) -> None:
    task = stack.resources[f"{job}Task"]["Properties"]
    [container] = task["ContainerDefinitions"]
    assert task["Family"] == stack.outputs[f"{job}TaskFamily"] == f"{STACK}-{job.lower()}"
    assert "EphemeralStorage" not in task
    assert _environment(container)["CPU_UNITS"] == task["Cpu"]
    assert task["TaskRoleArn"] == f"arn:{job}Role"
    assert container["StopTimeout"] == 120
    assert container["Command"] == [f"jobs/{job.lower()}"]
    assert (ROOT / container["Command"][0]).is_file()
    assert container["LogConfiguration"]["Options"]["awslogs-group"] == f"/{STACK}/{job.lower()}"
    assert stack.resources[f"{job}Log"]["Properties"]["RetentionInDays"] == 365


def test_containers_get_settings_by_name_and_no_secret_by_value(stack: Stack) -> None:
    jobs = "".join(path.read_text() for path in (ROOT / "jobs").iterdir())
    known = {*re.findall(r"\$\{?([A-Z_]+)", jobs), *VARIABLES, "AWS_DEFAULT_REGION", "TZ"}
    for container in _containers(stack):
        environment = _environment(container)
        assert set(environment) <= known
        assert not set(environment) & {"KALTURA_SECRET", "KALTURA_APP_TOKEN", "AWS_SECRET_ACCESS_KEY"}
        assert container["ReadonlyRootFilesystem"] is True
        assert container["User"] == "10001"
    archive, restore, health, array = (_environment(container) for container in _containers(stack))
    # A policy is carried out, and owners written to, by one task; the shares of an array work by the rule of years.
    own = ("POLICY", "CPU_UNITS", *PORTS)
    assert {name: value for name, value in archive.items() if name not in own} | {"CPU_UNITS": "1024"} == array
    assert archive["DOIT"] == restore["DOIT"] == "false"
    assert "DOIT" not in health
    # Who tells what is due, or repairs what a run has left, goes by the same keep list.
    kept = {name: value for name, value in archive.items() if name.startswith("KEEP_")}
    assert len(kept) == 4
    assert kept.items() <= restore.items() & health.items()


def test_parameters_are_explained_used_and_hold_no_secret() -> None:
    template = load()
    text = json.dumps({key: template[key] for key in ("Conditions", "Resources", "Outputs")})
    jobs = load_one(TEMPLATE)
    for name, parameter in template["Parameters"].items():
        assert len(parameter["Description"]) > 15, name
        assert f'"{name}"' in text or f"${{{name}}}" in text, name
        assert "NoEcho" not in parameter, "a value that must not be shown belongs into Secrets Manager"
    assert re.fullmatch(template["Parameters"]["KalturaSecretArn"]["AllowedPattern"], "hunter2") is None
    assert set(template["Parameters"]["StorageClass"]["AllowedValues"]) <= set(STORAGE_CLASSES)
    assert re.fullmatch(template["Parameters"]["NYears"]["AllowedPattern"], "three") is None
    # The security group lets out no other port.
    address = template["Parameters"]["KalturaServiceUrl"]
    told = ("https://kaltura.example.edu", "https://kaltura.example.edu/a", "https://kaltura.example.edu:8443")
    assert [bool(re.fullmatch(address["AllowedPattern"], url)) for url in (address["Default"], *told)] == [
        True, True, True, False,
    ]  # fmt: skip
    grouped = [
        n for g in jobs["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"] for n in g["Parameters"]
    ]
    assert sorted(grouped) == sorted(jobs["Parameters"])


@pytest.mark.parametrize("job", JOBS)
def test_a_schedule_has_a_time_zone_retries_and_a_place_for_what_failed(job: str) -> None:
    stack = Stack(TimeZone="America/New_York")
    # A policy's hours are those of the clock of the task.
    assert all(_environment(container)["TZ"] == "America/New_York" for container in _containers(stack))
    schedule = stack.resources[f"{job}ScheduleRule"]["Properties"]
    assert schedule["ScheduleExpressionTimezone"] == "America/New_York"
    assert schedule["State"] == "DISABLED"
    # cron of six fields, one of the two days a question mark: neither cfn-lint nor the emulators look.
    fields = re.fullmatch(r"cron\((.+)\)", schedule["ScheduleExpression"])
    assert fields
    assert [len(fields[1].split()), fields[1].split()[2:5:2].count("?")] == [6, 1]
    target = schedule["Target"]
    assert target["RetryPolicy"]["MaximumRetryAttempts"] > 0
    assert target["DeadLetterConfig"] == {"Arn": "arn:DeadLetters"}
    assert target["EcsParameters"]["TaskDefinitionArn"] == f"{job}Task"
    _may_start(stack, "StartRole", job)
    assert allows(stack.statements("StartRole"), "sqs:SendMessage", "arn:DeadLetters")


def _may_start(stack: Stack, role: str, job: str) -> None:
    statements = stack.statements(role)
    revision = f"arn:aws:ecs:eu-west-1:123456789012:task-definition/{STACK}-{job.lower()}:7"
    assert allows(statements, "ecs:RunTask", revision)
    [start] = matching(statements, "ecs:RunTask", revision)
    assert start["Condition"] == {"ArnEquals": {"ecs:cluster": "arn:Cluster"}}
    for passed in ("ExecutionRole", f"{job}Role"):
        assert allows(statements, "iam:PassRole", f"arn:{passed}")
    assert not allows(statements, "iam:PassRole", "arn:StartRole")


# Events

THAWED: dict[str, Any] = {  # as in the S3 user guide
    "detail-type": "Object Restore Completed",
    "source": "aws.s3",
    "detail": {"bucket": {"name": "lectures"}, "object": {"key": "0_abc12345", "size": 5}, "restore-expiry-time": "…"},
}


def test_a_thawed_copy_starts_a_restore_of_its_entry_alone(stack: Stack, run: Run) -> None:
    rule = stack.resources["ThawedRule"]["Properties"]
    assert event_matches(rule["EventPattern"], THAWED)
    for key in ("displaced/0_abc12345/0_x@1", "locks/restore.json", "0_a 0_b", "0_a --all", '0_a"', "--all"):
        assert not event_matches(
            rule["EventPattern"], {**THAWED, "detail": {**THAWED["detail"], "object": {"key": key}}}
        ), key
    assert not event_matches(
        rule["EventPattern"], {**THAWED, "detail": {**THAWED["detail"], "bucket": {"name": "another"}}}
    )
    assert not event_matches(rule["EventPattern"], {**THAWED, "detail-type": "Object Restore Initiated"})
    [target] = rule["Targets"]
    assert target["InputTransformer"]["InputPathsMap"] == {"entry": "$.detail.object.key"}
    override = json.loads(target["InputTransformer"]["InputTemplate"].replace("<entry>", "0_abc12345"))
    [container] = override["containerOverrides"]
    assert container["name"] == _containers(stack)[1]["Name"]
    [variable] = container["environment"]
    assert variable["name"] == "SELECTION"
    assert run("count", *variable["value"].split()).rows[0]["count"] == "0"
    # A copy that came after the first one has its entry's id before the first @.
    assert event_matches(
        rule["EventPattern"],
        {**THAWED, "detail": {**THAWED["detail"], "object": {"key": "0_abc12345@0_flavor12@12"}}},
    )
    ran = run("count", "--id", "0_abc12345@0_flavor12@12", "--id", "0_abc12345@0_flavor12@22.1")
    assert "--id" not in ran.err
    assert ran.rows[0]["filter"] == run("count", "--id", "0_abc12345").rows[0]["filter"]
    assert target["DeadLetterConfig"] == {"Arn": "arn:DeadLetters"}
    assert target["RetryPolicy"]["MaximumRetryAttempts"] > 0
    assert target["EcsParameters"]["TaskDefinitionArn"] == "RestoreTask"
    _may_start(stack, "StartRole", "Restore")
    senders = matching(stack.statements("DeadLettersPolicy"), "sqs:SendMessage", "arn:DeadLetters")
    assert senders[0]["Condition"] == {"ArnEquals": {"aws:SourceArn": "arn:ThawedRule"}}


def test_array_jobs_are_tried_again_by_exit_status(stack: Stack) -> None:
    job = stack.resources["ArchiveJob"]["Properties"]
    strategy = job["RetryStrategy"]
    assert strategy["Attempts"] > 1
    assert len(strategy["EvaluateOnExit"]) <= 5  # Batch takes no more

    def action(code: int) -> str:
        for condition in strategy["EvaluateOnExit"]:
            if fnmatchcase(str(code), condition.get("OnExitCode", "*")):
                return str(condition["Action"])
        raise AssertionError(code)

    tried_again = {code for code in (*map(int, Exit), 137) if code and action(code) == "RETRY"}
    assert tried_again == {Exit.FAILED, Exit.INTERRUPTED, Exit.TERMINATED, 137}
    assert job["ContainerProperties"]["JobRoleArn"] == "arn:ArchiveRole"
    assert job["PlatformCapabilities"] == ["FARGATE"]
    [cpu] = [each for each in job["ContainerProperties"]["ResourceRequirements"] if each["Type"] == "VCPU"]
    assert float(cpu["Value"]) * 1024 == int(_environment(job["ContainerProperties"])["CPU_UNITS"])
    assert stack.resources["JobQueue"]["Properties"]["ComputeEnvironmentOrder"][0]["ComputeEnvironment"] == (
        "ComputeEnvironment"
    )


def test_the_templates_can_be_deployed_from_a_file() -> None:
    """CloudFormation takes 51,200 bytes of what does not lie in a bucket; the rest is room for what is to come."""
    for path in TEMPLATES:
        assert path.stat().st_size < 43_000, path


def test_the_aws_page_names_what_there_is(stack: Stack) -> None:
    page = "\n".join(path.read_text(encoding="utf-8") for path in PAGES)
    commands = [
        line.strip()
        for line in page.replace("\\\n", " ").splitlines()
        if re.match(r" {4,}(aws|kaltura-archiver) ", line)
    ]
    deploys = [line for line in commands if "cloudformation deploy" in line]
    assert len(deploys) >= 8
    first: dict[str, set[str]] = {}
    for line in deploys:
        [file] = re.findall(r"--template-file (\S+)", line)
        given = set(re.findall(r"(\w+)=", line.partition("--parameter-overrides")[2]))
        parameters = load_one(ROOT / file)["Parameters"]
        assert given <= set(parameters), line
        first.setdefault(file, given)
        assert {n for n, p in parameters.items() if "Default" not in p} <= first[file], file
    assert set(first) == {f"aws/{path.name}" for path in TEMPLATES}
    for name in ("RepositoryUri", "RunTaskPolicyArn", "DeadLettersUrl"):
        assert f"`{name}`" in page
        assert name in stack.outputs
    submit = shlex.split(next(line for line in commands if "submit-job" in line))
    assert submit[submit.index("--job-queue") + 1] == run_task.DEFAULT_STACK
    assert stack.resources["JobQueue"]["Properties"]["JobQueueName"] == STACK
    assert submit[submit.index("--job-definition") + 1] == f"{run_task.DEFAULT_STACK}-archive"
    assert stack.resources["ArchiveJob"]["Properties"]["JobDefinitionName"] == f"{STACK}-archive"


def test_the_way_to_a_stack_is_one_page() -> None:
    assert len((ROOT / "README-AWS.md").read_text(encoding="utf-8").splitlines()) < 150


def test_the_run_task_commands_of_the_aws_page_are_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    page = "\n".join(path.read_text(encoding="utf-8") for path in PAGES)
    lines = re.findall(r"^ +kaltura-archiver (run_task .*)$", page, re.MULTILINE)
    assert len(lines) >= 6
    asked: list[str] = []

    def refuse(stack: str) -> None:
        asked.append(stack)
        raise ConfigError("understood")

    monkeypatch.setattr(run_task, "Tasks", refuse)
    for line in lines:
        words = shlex.split(line)
        result = CliRunner().invoke(cli_module.cli, words)
        assert "understood" in result.stderr, line
        if "--command" in words:
            command = shlex.split(words[words.index("--command") + 1])
            found = cli_module.cli.commands[command[0]]
            assert found.make_context(command[0], command[1:])
    assert asked == [run_task.DEFAULT_STACK] * len(lines)
