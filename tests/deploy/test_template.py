"""aws/template.yaml: what it promises, read from it; and that each job's role is just what the job's commands need."""

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
from cloudformation import STACK, TEMPLATE, Stack, allows, load, matching
from conftest import Run
from looking import original_of

from kaltura_archiver import cli as cli_module
from kaltura_archiver.cli.types import STORAGE_CLASSES
from kaltura_archiver.config import VARIABLES, read_settings
from kaltura_archiver.errors import ConfigError, Exit
from kaltura_archiver.fleet import tasks as run_task
from kaltura_archiver.output.summary import METRICS, NAMESPACE
from kaltura_archiver.run import run as acting
from kaltura_archiver.run import runlog
from kaltura_archiver.sandbox.world import Sandbox
from kaltura_archiver.steps import Command
from kaltura_archiver.store import Store

ROOT = TEMPLATE.parent.parent
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
}
Calls = list[tuple[str, dict[str, Any]]]


@pytest.fixture
def calls(run: Run, monkeypatch: pytest.MonkeyPatch) -> Iterator[Calls]:
    """Every call that boto3 makes, as (operation, parameters); the run lock's and the run log's too."""
    monkeypatch.setattr(acting, "_lock", LOCK)
    monkeypatch.setattr(acting, "_run_log", RUN_LOG)
    made: Calls = []
    really = BaseClient._make_api_call

    def call(self: BaseClient, operation: str, parameters: dict[str, Any]) -> Any:
        made.append((operation, parameters))
        return really(self, operation, parameters)

    monkeypatch.setattr(BaseClient, "_make_api_call", call)
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
    # A second run meets the lock of the first.
    sandbox.s3.put("locks/restore.json", b'{"expires": 1, "released": true}')
    assert run("restore", "--id", plain, "--no-dry-run").code == 0


def _health(sandbox: Sandbox, run: Run) -> None:
    for state in ("archived", "placeholder", "initial"):
        sandbox.add(state)
    assert run("health", "--max-entries", "-1").code == 0
    # Who may look may read what runs have left, for a report.
    sandbox.s3.put("log/runs/2026/11/a.jsonl", b"{}")
    assert not list(runlog.read(Store(read_settings(), read_only=True)))


@pytest.mark.parametrize(("job", "work"), [("Archive", _archive), ("Restore", _restore), ("Health", _health)])
def test_a_job_may_do_what_it_does_and_does_all_it_may(
    job: str, work: Any, sandbox: Sandbox, run: Run, calls: Calls
) -> None:
    bucket = f"arn:aws:s3:::{sandbox.s3.bucket}"
    statements = Stack(ExistingBucket=sandbox.s3.bucket).statements(f"{job}Role")
    calls.clear()
    work(sandbox, run)
    made = {
        (PERMISSIONS[operation], f"{bucket}/{parameters['Key']}" if "Key" in parameters else bucket)
        for operation, parameters in calls
    }
    forbidden = {call for call in made if not allows(statements, *call)}
    assert not forbidden
    used = {(s["Sid"], action) for action, at in made for s in matching(statements, action, at)}
    given = {(s["Sid"], action) for s in statements if s["Effect"] == "Allow" for action in s["Action"]}
    assert given == used
    for statement in statements:
        for pattern in statement["Resource"]:
            assert statement["Effect"] == "Deny" or any(fnmatchcase(at, pattern) for _, at in made), pattern


def test_the_roles_refuse_what_is_not_their_job() -> None:
    stack = Stack(ExistingBucket="b")
    archive, restore, health = (stack.statements(f"{job}Role") for job in JOBS)
    for statements in (archive, restore, health):
        assert not allows(statements, "s3:DeleteObject", "arn:aws:s3:::b/0_x")
        assert not allows(statements, "s3:DeleteObjectVersion", "arn:aws:s3:::b/0_x")
        assert not allows(statements, "s3:GetObject", "arn:aws:s3:::other/0_x")
        assert not allows(statements, "s3:PutBucketVersioning", "arn:aws:s3:::b")
    assert not allows(archive, "s3:GetObject", "arn:aws:s3:::b/displaced/0_x/1")
    assert not allows(archive, "s3:RestoreObject", "arn:aws:s3:::b/0_x")
    assert not allows(restore, "s3:PutObject", "arn:aws:s3:::b/0_x")
    assert not allows(restore, "s3:PutObject", "arn:aws:s3:::b/log/2019.txt")
    assert not {action for statement in health for action in statement["Action"]} & {"s3:PutObject", "s3:RestoreObject"}


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


# The bucket


def test_the_bucket_is_closed_versioned_and_kept() -> None:
    resource = Stack().resources["Bucket"]
    assert (resource["DeletionPolicy"], resource["UpdateReplacePolicy"]) == ("Retain", "Retain")
    bucket = resource["Properties"]
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert len(bucket["PublicAccessBlockConfiguration"]) == 4
    assert bucket["NotificationConfiguration"]["EventBridgeConfiguration"]["EventBridgeEnabled"] is True
    assert "ObjectLockEnabled" not in bucket
    locked = Stack(ObjectLockMode="COMPLIANCE", ObjectLockYears=7).resources["Bucket"]["Properties"]
    assert locked["ObjectLockEnabled"] is True
    assert locked["ObjectLockConfiguration"]["Rule"]["DefaultRetention"] == {"Mode": "COMPLIANCE", "Years": 7}


def test_the_lifecycle_freezes_copies_but_no_lock_and_expires_no_copy() -> None:
    rules = {rule["Id"]: rule for rule in Stack().resources["Bucket"]["Properties"]["LifecycleConfiguration"]["Rules"]}
    assert rules["archive"]["Transitions"] == [{"StorageClass": "DEEP_ARCHIVE", "TransitionInDays": 14}]
    # A run lock is a few hundred bytes of JSON.
    assert int(rules["archive"]["ObjectSizeGreaterThan"]) >= 100_000
    assert rules["killed-uploads"]["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"] == 7
    for rule in rules.values():
        assert not {"Expiration", "ExpirationInDays", "ExpirationDate"} & set(rule)
        assert rule["Status"] == "Enabled"
        days = rule.get("NoncurrentVersionExpiration", {}).get("NoncurrentDays", 365)
        assert days >= 365 or rule["Prefix"] == "locks/"


def test_the_bucket_policy_forbids_plain_http_deletion_and_overwriting(stack: Stack) -> None:
    assert stack.resources["BucketPolicy"]["DeletionPolicy"] == "Retain"
    statements = {statement["Sid"]: statement for statement in stack.statements("BucketPolicy")}
    assert {(s["Effect"], s["Principal"]) for s in statements.values()} == {("Deny", "*")}
    assert statements["TlsOnly"]["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert set(statements["TlsOnly"]["Resource"]) == {"arn:Bucket", "arn:Bucket/*"}
    assert statements["NobodyDeletesCopies"]["Action"] == ["s3:DeleteObject", "s3:DeleteObjectVersion"]
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


def test_a_bucket_that_exists_is_used_and_left_alone() -> None:
    stack = Stack(ExistingBucket="lectures")
    assert not stack.of_type("AWS::S3::Bucket")
    assert not stack.of_type("AWS::S3::BucketPolicy")
    assert "arn:aws:s3:::lectures/*" in {r for s in stack.statements("ArchiveRole") for r in s["Resource"]}
    assert {_environment(container)["AWS_BUCKET"] for container in _containers(stack)} == {"lectures"}
    assert stack.resources["ThawedRule"]["Properties"]["EventPattern"]["detail"]["bucket"] == {"name": ["lectures"]}
    assert stack.outputs["BucketName"] == "lectures"


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
    assert task["TaskRoleArn"] == f"arn:{job}Role"
    assert container["StopTimeout"] == 120
    assert container["Command"] == [f"jobs/{job.lower()}"]
    assert (ROOT / container["Command"][0]).is_file()
    assert container["LogConfiguration"]["Options"]["awslogs-group"] == f"/{STACK}/{job.lower()}"
    assert stack.resources[f"{job}Log"]["Properties"]["RetentionInDays"] == 365


def test_containers_get_settings_by_name_and_no_secret_by_value(stack: Stack) -> None:
    jobs = "".join(path.read_text() for path in (ROOT / "jobs").iterdir())
    known = {*re.findall(r"\$\{?([A-Z_]+)", jobs), *VARIABLES, "AWS_DEFAULT_REGION"}
    for container in _containers(stack):
        environment = _environment(container)
        assert set(environment) <= known
        assert not set(environment) & {"KALTURA_SECRET", "KALTURA_APP_TOKEN", "AWS_SECRET_ACCESS_KEY"}
        assert container["ReadonlyRootFilesystem"] is True
        assert container["User"] == "10001"
    archive, restore, health, array = (_environment(container) for container in _containers(stack))
    assert archive == array
    assert archive["DOIT"] == restore["DOIT"] == "false"
    assert "DOIT" not in health


def test_parameters_are_explained_used_and_hold_no_secret() -> None:
    template = load()
    text = json.dumps({key: template[key] for key in ("Conditions", "Resources", "Outputs")})
    for name, parameter in template["Parameters"].items():
        assert len(parameter["Description"]) > 15, name
        assert f'"{name}"' in text or f"${{{name}}}" in text, name
        assert "NoEcho" not in parameter, "a value that must not be shown belongs into Secrets Manager"
    assert re.fullmatch(template["Parameters"]["KalturaSecretArn"]["AllowedPattern"], "hunter2") is None
    assert set(template["Parameters"]["StorageClass"]["AllowedValues"]) <= set(STORAGE_CLASSES)
    assert re.fullmatch(template["Parameters"]["NYears"]["AllowedPattern"], "three") is None
    grouped = [
        n for g in template["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"] for n in g["Parameters"]
    ]
    assert sorted(grouped) == sorted(template["Parameters"])


@pytest.mark.parametrize("job", JOBS)
def test_a_schedule_has_a_time_zone_retries_and_a_place_for_what_failed(job: str) -> None:
    stack = Stack(TimeZone="America/New_York")
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
    _may_start(stack, "SchedulerRole", job)
    assert allows(stack.statements("SchedulerRole"), "sqs:SendMessage", "arn:DeadLetters")


def _may_start(stack: Stack, role: str, job: str) -> None:
    statements = stack.statements(role)
    revision = f"arn:aws:ecs:eu-west-1:123456789012:task-definition/{STACK}-{job.lower()}:7"
    assert allows(statements, "ecs:RunTask", revision)
    [start] = matching(statements, "ecs:RunTask", revision)
    assert start["Condition"] == {"ArnEquals": {"ecs:cluster": "arn:Cluster"}}
    for passed in ("ExecutionRole", f"{job}Role"):
        assert allows(statements, "iam:PassRole", f"arn:{passed}")
    assert not allows(statements, "iam:PassRole", "arn:SchedulerRole")


# Events

THAWED = {  # as in the S3 user guide
    "detail-type": "Object Restore Completed",
    "source": "aws.s3",
    "detail": {"bucket": {"name": "Bucket"}, "object": {"key": "0_abc12345", "size": 5}, "restore-expiry-time": "…"},
}
ENDED = {  # as in the ECS developer guide
    "detail-type": "ECS Task State Change",
    "source": "aws.ecs",
    "detail": {
        "clusterArn": "arn:Cluster",
        "containers": [{"name": "kaltura-archiver", "exitCode": 0, "lastStatus": "STOPPED"}],
        "group": f"family:{STACK}-archive",
        "lastStatus": "STOPPED",
    },
}


def _matches(pattern: Any, value: Any) -> bool:
    """EventBridge's patterns, as far as the template goes."""
    if isinstance(pattern, dict):
        return all(key in value and _matches(wanted, value[key]) for key, wanted in pattern.items())
    for wanted in pattern:
        if isinstance(wanted, dict):
            unwanted = wanted["anything-but"]["wildcard"]
            if not any(fnmatchcase(value, wildcard) for wildcard in unwanted):
                return True
        elif wanted == value:
            return True
    return False


def _event(event: dict[str, Any], **detail: Any) -> dict[str, Any]:
    return {**event, "detail": {**event["detail"], **detail}}


def test_a_thawed_copy_starts_a_restore_of_its_entry_alone(stack: Stack, run: Run) -> None:
    rule = stack.resources["ThawedRule"]["Properties"]
    assert _matches(rule["EventPattern"], THAWED)
    for key in ("displaced/0_abc12345/0_x@1", "locks/restore.json", "0_a 0_b", "0_a --all", '0_a"', "--all"):
        assert not _matches(rule["EventPattern"], _event(THAWED, object={"key": key})), key
    assert not _matches(rule["EventPattern"], _event(THAWED, bucket={"name": "another"}))
    assert not _matches(rule["EventPattern"], {**THAWED, "detail-type": "Object Restore Initiated"})
    [target] = rule["Targets"]
    assert target["InputTransformer"]["InputPathsMap"] == {"entry": "$.detail.object.key"}
    override = json.loads(target["InputTransformer"]["InputTemplate"].replace("<entry>", "0_abc12345"))
    [container] = override["containerOverrides"]
    assert container["name"] == _containers(stack)[1]["Name"]
    [variable] = container["environment"]
    assert variable["name"] == "SELECTION"
    assert run("count", *variable["value"].split()).rows[0]["count"] == "0"
    assert target["DeadLetterConfig"] == {"Arn": "arn:DeadLetters"}
    assert target["RetryPolicy"]["MaximumRetryAttempts"] > 0
    assert target["EcsParameters"]["TaskDefinitionArn"] == "RestoreTask"
    _may_start(stack, "EventsRole", "Restore")
    senders = matching(stack.statements("DeadLettersPolicy"), "sqs:SendMessage", "arn:DeadLetters")
    assert senders[0]["Condition"] == {"ArnEquals": {"aws:SourceArn": "arn:ThawedRule"}}


def test_how_tasks_and_array_jobs_ended_is_kept(stack: Stack) -> None:
    pattern = stack.resources["TaskEndedRule"]["Properties"]["EventPattern"]
    assert _matches(pattern, ENDED)
    assert not _matches(pattern, _event(ENDED, lastStatus="RUNNING"))
    assert not _matches(pattern, _event(ENDED, clusterArn="arn:another"))
    job = {"source": "aws.batch", "detail-type": "Batch Job State Change", "detail": {"jobQueue": "JobQueue"}}
    pattern = stack.resources["JobEndedRule"]["Properties"]["EventPattern"]
    assert _matches(pattern, _event(job, status="FAILED"))
    assert not _matches(pattern, _event(job, status="RUNNING"))
    for rule in ("TaskEndedRule", "JobEndedRule"):
        [target] = stack.resources[rule]["Properties"]["Targets"]
        assert target["Arn"].endswith(f":log-group:/aws/events/{STACK}")
    document = json.loads(stack.resources["EndedLogPolicy"]["Properties"]["PolicyDocument"])
    assert document["Statement"][0]["Resource"] == "arn:EndedLog"


def _filter_matches(pattern: str, line: str) -> bool:
    """CloudWatch Logs' filter patterns, as far as the template goes: quoted terms, or conditions on JSON."""
    if not pattern.startswith("{"):
        return all(term in line for term in re.findall(r'"([^"]+)"', pattern))
    event = json.loads(line)

    def holds(condition: str) -> bool:
        path, operator, literal = condition.split(maxsplit=2)
        value = event
        for name, index in re.findall(r"(\w+)(?:\[(\d+)\])?", path.removeprefix("$")):
            value = value.get(name) if isinstance(value, dict) else None
            if index:
                value = value[int(index)] if isinstance(value, list) and len(value) > int(index) else None
        if (operator, literal) == ("NOT", "EXISTS"):
            return value is None
        assert operator in ("=", "!=")
        return value is not None and (value == json.loads(literal)) == (operator == "=")

    alternatives = re.findall(r"\(([^()]+)\)", pattern) or [pattern.strip("{} ")]
    assert "||" not in "".join(alternatives)
    return any(all(holds(c.strip()) for c in alternative.split("&&")) for alternative in alternatives)


def _counted(stack: Stack, group: str, line: str) -> set[str]:
    """The metrics that a line in this log group counts for."""
    return {
        transformation["MetricName"]
        for properties in stack.of_type("AWS::Logs::MetricFilter").values()
        if properties["LogGroupName"] == group and _filter_matches(properties["FilterPattern"], line)
        for transformation in properties["MetricTransformations"]
    }


@pytest.mark.parametrize(
    ("ended", "metrics"),
    [
        (_event(ENDED), {"ArchiveSucceeded"}),
        (_event(ENDED, group=f"family:{STACK}-health"), {"HealthSucceeded"}),
        (_event(ENDED, group="family:another"), set()),
        *(
            (_event(ENDED, containers=[{"exitCode": int(code)}]), {"TasksFailed"})
            for code in Exit
            if code not in (0, 5)
        ),
        (_event(ENDED, containers=[{"exitCode": 137}]), {"TasksFailed"}),
        # Another run is at work.
        (_event(ENDED, containers=[{"exitCode": 5}]), set()),
        # The image or the secret could not be had.
        (_event(ENDED, containers=[{"lastStatus": "STOPPED"}]), {"TasksFailed"}),
        ({"source": "aws.batch", "detail": {"status": "FAILED"}}, {"TasksFailed"}),
        ({"source": "aws.batch", "detail": {"status": "SUCCEEDED"}}, set()),
    ],
)
def test_how_a_task_ended_is_counted(ended: dict[str, Any], metrics: set[str], stack: Stack) -> None:
    assert _counted(stack, f"/aws/events/{STACK}", json.dumps(ended)) == metrics


@pytest.mark.parametrize("form", ["text", "json"])
def test_real_log_lines_are_counted(form: str, sandbox: Sandbox, run: Run, stack: Stack) -> None:
    good, frozen = sandbox.add("initial"), sandbox.add("placeholder", storage_class="GLACIER")
    failing = sandbox.add("initial")
    sandbox.control.add_fault("s3.PutObject", "error", times=9, subject=failing, code="AccessDenied", status=403)
    copied = run("--log-format", form, "s3copy", "--id", good, "--id", failing, "--no-dry-run")
    restored = run("--log-format", form, "restore", "--id", frozen, "--no-dry-run")
    assert (copied.code, copied.outcomes) == (1, {good: "done", failing: "failed"}), copied.err
    assert (restored.code, restored.outcomes) == (3, {frozen: "waiting"})
    counted = [
        [metric for line in ran.err.splitlines() for metric in _counted(stack, f"/{STACK}/{job}", line)]
        for job, ran in (("archive", copied), ("restore", restored))
    ]
    assert counted == [["EntriesFailed"], ["EntriesWaiting"]]
    dry = run("--log-format", form, "restore", "--id", frozen)
    assert not any(_counted(stack, f"/{STACK}/restore", line) for line in dry.err.splitlines())


def test_every_metric_has_an_alarm_and_every_alarm_a_metric() -> None:
    stack = Stack(Schedules="ENABLED", AlarmEmail="operator@example.org", SuccessDays=7)
    filters = stack.of_type("AWS::Logs::MetricFilter").values()
    counted = {t["MetricName"] for f in filters for t in f["MetricTransformations"]}
    alarms = stack.of_type("AWS::CloudWatch::Alarm")
    assert {a["MetricName"] for a in alarms.values()} == counted | {"ApproximateNumberOfMessagesVisible"}
    for alarm in alarms.values():
        assert alarm["AlarmActions"] == ["AlarmTopic"]
        # CloudWatch looks back a week at most.
        assert alarm["Period"] * alarm["EvaluationPeriods"] <= 7 * 86400
        silent_is_bad = alarm["MetricName"].endswith("Succeeded")
        assert alarm["TreatMissingData"] == ("breaching" if silent_is_bad else "notBreaching")
    # Jobs that are not scheduled are not missed.
    assert not [a for a in Stack().of_type("AWS::CloudWatch::Alarm").values() if a["MetricName"].endswith("Succeeded")]
    assert {tuple(a["AlarmActions"]) for a in Stack().of_type("AWS::CloudWatch::Alarm").values()} == {()}


def _written_out(metrics: list[Any]) -> Iterator[list[str]]:
    """The metrics of a widget without their shorthand: `.` and `...` stand for what is above."""
    above: list[str] = []
    for metric in metrics:
        names = [name for name in metric if isinstance(name, str)]
        if names[0] == "...":
            names = [*above[: 1 - len(names)], *names[1:]]
        above = [above[n] if name == "." else name for n, name in enumerate(names)]
        yield above


def test_the_dashboard_is_json_and_shows_what_there_is() -> None:
    stack = Stack(ExistingBucket="lectures")
    widgets = json.loads(stack.resources["Dashboard"]["Properties"]["DashboardBody"])["widgets"]
    filters = stack.of_type("AWS::Logs::MetricFilter").values()
    counted = {t["MetricName"] for f in filters for t in f["MetricTransformations"]}
    shown = [m for widget in widgets for m in _written_out(widget["properties"].get("metrics", []))]
    assert {name for namespace, name, *_ in shown if namespace == f"{NAMESPACE}/{STACK}"} == counted
    embedded = [metric for metric in shown if metric[0] == NAMESPACE]
    # The dimensions of a run's last line.
    assert {(metric[2], metric[3], metric[4]) for metric in embedded} == {("Bucket", "lectures", "Command")}
    assert {metric[5] for metric in embedded} <= {*map(str, Command)}
    assert {metric[1] for metric in embedded} <= {name for name, *_ in METRICS}
    assert len(shown) == len(embedded) + len(counted)
    alarms = {f"arn:{name}" for name in stack.of_type("AWS::CloudWatch::Alarm")}
    assert {a for widget in widgets for a in widget["properties"].get("alarms", ())} == alarms


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
    assert stack.resources["JobQueue"]["Properties"]["ComputeEnvironmentOrder"][0]["ComputeEnvironment"] == (
        "ComputeEnvironment"
    )


def test_the_template_can_be_deployed_from_a_file() -> None:
    assert TEMPLATE.stat().st_size <= 51_200  # what CloudFormation takes without a bucket of its own


def test_the_aws_page_names_what_there_is(stack: Stack) -> None:
    page = (ROOT / "README-AWS.md").read_text(encoding="utf-8")
    commands = [
        line.strip()
        for line in page.replace("\\\n", " ").splitlines()
        if re.match(r" {4,}(aws|kaltura-archiver) ", line)
    ]
    deploys = [line for line in commands if "cloudformation deploy" in line]
    given = [re.findall(r"(\w+)=", line.split("--parameter-overrides")[1]) for line in deploys]
    assert len(given) == 3
    assert {name for names in given for name in names} <= set(stack.parameters)
    required = {name for name, parameter in stack.template["Parameters"].items() if "Default" not in parameter}
    assert required <= set(given[0])
    for name in ("RepositoryUri", "RunTaskPolicyArn", "DeadLettersUrl"):
        assert f"`{name}`" in page
        assert name in stack.outputs
    submit = shlex.split(next(line for line in commands if "submit-job" in line))
    assert submit[submit.index("--job-queue") + 1] == run_task.DEFAULT_STACK
    assert stack.resources["JobQueue"]["Properties"]["JobQueueName"] == STACK
    assert submit[submit.index("--job-definition") + 1] == f"{run_task.DEFAULT_STACK}-archive"
    assert stack.resources["ArchiveJob"]["Properties"]["JobDefinitionName"] == f"{STACK}-archive"


def test_the_run_task_commands_of_the_aws_page_are_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "README-AWS.md").read_text(encoding="utf-8")
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
