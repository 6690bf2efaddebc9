"""docs/aws/protection.md: each way to delete a stored copy is denied by what the page says, to an administrator, too.

The bucket's policy, as aws/bucket.yaml makes it, is put to an evaluator of IAM policies that is not ours.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import botocore.session
import pytest
from cloudformation import TEMPLATE, Stack

ROOT = TEMPLATE.parent.parent
PAGE = (ROOT / "docs" / "aws" / "protection.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in re.findall(r"^\| .*$", PAGE.split("| way |")[1], re.MULTILINE)
]
SIDS = {"NobodyDeletesCopies", "NobodyOverwritesCopies", "OnlyCloudFormationChangesTheRules"}
ADMIN = "arn:aws:iam::123456789012:role/Admin"
DEPLOYER = "arn:aws:iam::123456789012:role/cloudformation"
VIA_CLOUDFORMATION = {"aws:CalledVia": ["cloudformation.amazonaws.com"]}
# One result a request: what came of it, and which statements denied it.
Ask = Callable[..., tuple[str, list[str]]]


def _actions(cell: str) -> list[str]:
    return re.findall(r"`(s3:\w+)`", cell)


TRIED = [(way, action, sid) for way, calls, sid, _ in ROWS for action in _actions(calls) if sid in SIDS]


@pytest.fixture(scope="module")
def evaluator() -> Iterator[subprocess.Popen[str]]:
    program = ROOT / "scripts" / "iam-simulate"
    if subprocess.run([program, "--ready"], check=False).returncode:
        pytest.skip("the evaluator of policies is not installed: scripts/iam-simulate")
    with subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        yield running
        assert running.stdin
        running.stdin.close()


@pytest.fixture
def ask(evaluator: subprocess.Popen[str]) -> Ask:
    def ask(
        action: str, *, principal: str = ADMIN, key: str = "0_abc12345", scp: Any = None,
        context: dict[str, Any] | None = None, **parameters: Any,
    ) -> tuple[str, list[str]]:  # fmt: skip
        bucket = "arn:aws:s3:::lectures"
        written = json.dumps(Stack(**parameters).resources["BucketPolicy"]["Properties"]["PolicyDocument"])
        policy = json.loads(written.replace("arn:Bucket", bucket))
        of_object = "Object" in action.split(":")[1].replace("ObjectLockConfiguration", "") or "Bypass" in action
        of_object = of_object or action in ("s3:ReplicateDelete",)
        everything = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
        policies = [{"name": "all", "policy": everything}, {"name": "ours", "policy": scp}]
        simulation = {
            "request": {
                "principal": principal,
                "action": action,
                "resource": {"resource": f"{bucket}/{key}" if of_object else bucket, "accountId": "123456789012"},
                "contextVariables": {"aws:SecureTransport": "true", "aws:PrincipalArn": principal, **(context or {})},
            },
            "identityPolicies": [{"name": "administrator", "policy": everything}],
            "serviceControlPolicies": [{"orgIdentifier": "o-1", "policies": policies}] if scp else [],
            "resourceControlPolicies": [],
            "resourcePolicy": policy,
        }  # fmt: skip
        assert evaluator.stdin
        assert evaluator.stdout
        print(json.dumps(simulation), file=evaluator.stdin, flush=True)
        result, denied, ignored = json.loads(evaluator.stdout.readline())
        assert ignored == [], "the evaluator does not know a key that a statement rests on"
        return result, denied

    return ask


def test_the_table_has_a_row_for_each_way_and_says_how_each_is_known() -> None:
    assert len(ROWS) >= 18
    for way, calls, denied_by, left in ROWS:
        assert (denied_by in SIDS and _actions(calls)) or "*[read]*" in denied_by + left or denied_by == "nothing", way
    listed = {action for _, action, _ in TRIED}
    statements = {s["Sid"]: set(s["Action"]) for s in Stack().statements("BucketPolicy")}
    assert listed == set().union(*(statements[sid] for sid in SIDS))


@pytest.mark.parametrize(("way", "action", "sid"), TRIED)
def test_an_administrator_is_denied_by_the_statement_that_the_page_names(
    way: str, action: str, sid: str, ask: Ask
) -> None:
    context = {"s3:ObjectCreationOperation": "true"} if action == "s3:PutObject" else {}
    assert ask(action, context=context) == ("ExplicitlyDenied", [sid])
    result, denied = ask(action, context={**context, **VIA_CLOUDFORMATION})
    if sid == "OnlyCloudFormationChangesTheRules":
        assert (result, denied) == ("Allowed", [])
    else:
        assert (result, denied) == ("ExplicitlyDenied", [sid])


def test_another_service_on_the_way_is_no_stack(ask: Ask) -> None:
    result, _ = ask("s3:PutLifecycleConfiguration", context={"aws:CalledVia": ["athena.amazonaws.com"]})
    assert result == "ExplicitlyDenied"


def test_a_role_of_cloudformations_own_is_let_through_where_it_is_named(ask: Ask) -> None:
    assert ask("s3:PutBucketPolicy", principal=DEPLOYER)[0] == "ExplicitlyDenied"
    assert ask("s3:PutBucketPolicy", principal=DEPLOYER, CloudFormationRole=DEPLOYER)[0] == "Allowed"
    assert ask("s3:PutBucketPolicy", principal=ADMIN, CloudFormationRole=DEPLOYER)[0] == "ExplicitlyDenied"
    assert ask("s3:PutBucketPolicy", context=VIA_CLOUDFORMATION, CloudFormationRole=DEPLOYER)[0] == "Allowed"


def test_copies_can_be_hidden_or_erased_for_as_long_as_the_stack_says_so(ask: Ask) -> None:
    allowed = {
        (removing, action): ask(action, Removing=removing)[0] == "Allowed"
        for removing in ("NEVER", "HIDE", "ERASE")
        for action in ("s3:DeleteObject", "s3:DeleteObjectVersion")
    }
    assert {case for case, may in allowed.items() if may} == {
        ("HIDE", "s3:DeleteObject"),
        ("ERASE", "s3:DeleteObject"),
        ("ERASE", "s3:DeleteObjectVersion"),
    }


@pytest.mark.parametrize(
    ("key", "context", "may"),
    [
        ("0_abc12345", {"s3:ObjectCreationOperation": "true", "s3:if-none-match": "*"}, True),
        ("0_abc12345", {"s3:ObjectCreationOperation": "true"}, False),
        ("0_abc12345", {"s3:ObjectCreationOperation": "false"}, True),  # a part of an upload
        ("displaced/0_abc12345/0_x@1", {"s3:ObjectCreationOperation": "true"}, False),
        ("locks/archive.json", {"s3:ObjectCreationOperation": "true"}, True),
        ("0_abc12345", {"s3:if-none-match": "*", "aws:SecureTransport": "false"}, False),
    ],
)  # fmt: skip
def test_writing_over_a_copy_is_denied_and_writing_a_new_one_is_not(
    key: str, context: dict[str, Any], may: bool, ask: Ask
) -> None:
    assert (ask("s3:PutObject", key=key, context=context)[0] == "Allowed") == may


def test_the_service_control_policy_of_the_page_keeps_root_out_and_lets_the_stack_through(ask: Ask) -> None:
    [block] = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    policy = json.loads(block.replace("BUCKET", "lectures").replace("ROLE", DEPLOYER))
    root = "arn:aws:iam::123456789012:root"
    for action in policy["Statement"][0]["Action"]:
        _, denied = ask(action, principal=root, scp=policy)
        assert "NobodyOpensTheArchive" in denied
        assert ask(action, principal=root, scp=policy, context=VIA_CLOUDFORMATION) == ("Allowed", [])
        # Given a role, CloudFormation calls as that, and nothing says that it is CloudFormation that calls.
        assert ask(action, principal=DEPLOYER, scp=policy, CloudFormationRole=DEPLOYER) == ("Allowed", [])


# What else S3 can be told that changes something, and why no copy is lost by it.
TELLING = ("Analytics", "IntelligentTiering", "Inventory", "Metrics")
HARMLESS = {
    "reads, lists and restores": ("RestoreObject", "SelectObjectContent", "CreateSession", "WriteGetObjectResponse"),
    "writes under If-None-Match, or parts of that": (
        "CopyObject", "CreateMultipartUpload", "UploadPart", "UploadPartCopy", "CompleteMultipartUpload",
        "AbortMultipartUpload", "CreateBucket",
    ),
    "tags, annotations and marks beside an object": (
        "PutObjectTagging", "DeleteObjectTagging", "PutBucketTagging", "DeleteBucketTagging", "PutObjectAnnotation",
        "DeleteObjectAnnotation",
    ),
    "holds longer, never shorter, without s3:BypassGovernanceRetention": ("PutObjectRetention", "PutObjectLegalHold"),
    "ACLs count for nothing where the bucket's owner owns all": ("PutObjectAcl", "PutBucketAcl"),
    "who may reach the bucket: what they may do there the policy still denies": (
        "PutPublicAccessBlock", "DeletePublicAccessBlock", "PutBucketAbac", "PutBucketCors", "DeleteBucketCors",
        "PutBucketWebsite", "DeleteBucketWebsite", "PutBucketRequestPayment", "PutBucketAccelerateConfiguration",
    ),
    "tell about the bucket, or move between tiers": (
        *(f"PutBucket{what}Configuration" for what in TELLING),
        *(f"DeleteBucket{what}Configuration" for what in TELLING),
        "PutBucketLogging", "PutBucketNotification", "PutBucketNotificationConfiguration",
        "CreateBucketMetadataConfiguration", "DeleteBucketMetadataConfiguration",
        "CreateBucketMetadataTableConfiguration", "DeleteBucketMetadataTableConfiguration",
        "UpdateBucketMetadataInventoryTableConfiguration", "UpdateBucketMetadataJournalTableConfiguration",
        "UpdateBucketMetadataAnnotationTableConfiguration",
    ),
    "directory buckets only": ("RenameObject",),
}  # fmt: skip
# Operation to the action of the policy that it needs, where they differ (AWS's service authorization reference).
ACTIONS = {
    "DeleteObjects": "DeleteObject", "DeleteBucketLifecycle": "PutLifecycleConfiguration",
    "PutBucketLifecycle": "PutLifecycleConfiguration", "PutBucketLifecycleConfiguration": "PutLifecycleConfiguration",
    "PutBucketReplication": "PutReplicationConfiguration", "DeleteBucketReplication": "PutReplicationConfiguration",
    "PutBucketEncryption": "PutEncryptionConfiguration", "DeleteBucketEncryption": "PutEncryptionConfiguration",
    "DeleteBucketOwnershipControls": "PutBucketOwnershipControls",
    "PutObjectLockConfiguration": "PutBucketObjectLockConfiguration",
}  # fmt: skip


def _changing() -> Iterator[str]:
    names = botocore.session.get_session().get_service_model("s3").operation_names
    return (name for name in names if not name.startswith(("Get", "List", "Head")))


def test_no_call_of_s3_that_changes_something_is_forgotten() -> None:
    """Those that a newer S3 has, too: botocore knows them all."""
    listed = {action.removeprefix("s3:") for _, action, _ in TRIED}
    harmless = {name for names in HARMLESS.values() for name in names}
    assert {name for name in _changing() if ACTIONS.get(name, name) not in listed} == harmless
