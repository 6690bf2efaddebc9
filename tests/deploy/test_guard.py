"""aws/guard/: the templates keep its rules, and each rule notices what breaks it. AWS CloudFormation Guard judges."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from cloudformation import TEMPLATE, TEMPLATES

ROOT = TEMPLATE.parent.parent
GUARD = ROOT / "scripts" / "guard"
RULES = (ROOT / "aws" / "guard").glob("*.guard")
# What a careless change might do: by the rule that must notice, what one of the templates says, and what it would say.
CHANGES = {
    "bucket_is_closed": [
        ("RestrictPublicBuckets: true", "RestrictPublicBuckets: false"),
        ("BlockPublicPolicy: true, ", ""),
        ("BucketOwnerEnforced", "ObjectWriter"),
    ],
    "bucket_is_encrypted_by_s3": [
        ("SSEAlgorithm: AES256", "SSEAlgorithm: 'aws:kms', KMSMasterKeyID: x"),
    ],
    "bucket_is_versioned": [
        ("{Status: Enabled}\n      # V", "{Status: Suspended}\n      # V"),
        ("ObjectLockEnabled: true", "ObjectLockEnabled: false"),
    ],
    "bucket_outlives_its_stack": [
        ("DeletionPolicy: RetainExceptOnCreate", "DeletionPolicy: Delete"),
        ("DeletionPolicy: RetainExceptOnCreate", "DeletionPolicy: Retain"),
        ("    UpdateReplacePolicy: Retain\n", ""),
    ],
    "no_lifecycle_rule_expires_a_copy": [
        ("Transitions:", "ExpirationInDays: 3650\n            Transitions:"),
        ("Prefix: settings/, ", ""),
    ],
    "bucket_policy_only_denies": [
        ("Effect: Deny", "Effect: Allow"),
        ("Principal: '*'", "Principal: {AWS: '123456789012'}"),
    ],
    "nobody_deletes_copies": [
        ("!If [MayErase, !Ref AWS::NoValue, 's3:DeleteObjectVersion']", "s3:GetObject"),
        ("s3:BypassGovernanceRetention", "s3:GetObject"),
        ("Default: NEVER", "Default: HIDE"),
    ],
    "nobody_overwrites_copies": [
        ("s3:if-none-match: 'true'", "s3:if-none-match: 'false'"),
        ("Sid: NobodyOverwritesCopies", "Sid: Another"),
    ],
    "only_the_stack_changes_the_rules": [
        ("              - s3:PutLifecycleConfiguration\n", ""),
        ("              - s3:DeleteBucketPolicy\n", ""),
    ],
    "plain_http_is_denied": [
        ("aws:SecureTransport: 'false'", "aws:SecureTransport: 'true'"),
    ],
    "no_action_is_a_wildcard": [
        ("Action: ecs:RunTask", "Action: '*'"),
        ("s3:ListBucketMultipartUploads, ", "'s3:*', "),
        ("Action: [kms:Decrypt, kms:GenerateDataKey]", "Action: 'kms:*'"),
        ("Action: [ecs:DescribeTasks, ecs:StopTask]", "Action: [ecs:Describe*]"),
    ],
    "nobody_is_given_deletion_or_the_buckets_rules": [
        ("Action: [s3:GetObject, s3:GetObjectTagging]", "Action: [s3:GetObject, s3:DeleteObjectVersion]"),
        ("Action: [s3:ListBucket, ", "Action: [s3:DeleteObject, "),
        ("'s3:PutObjectRetention'", "'s3:BypassGovernanceRetention'"),
        ("Action: logs:GetLogEvents", "Action: s3:PutBucketPolicy"),
    ],
    "every_resource_is_named": [
        ("Resource: !GetAtt Repository.Arn", "Resource: '*'"),
        (
            "Action: [ecs:DescribeTasks, ecs:StopTask]\n            Resource: !Sub",
            "Action: [ecs:DescribeTasks, ecs:StopTask]\n            Resource: '*'\n            Was: !Sub",
        ),
    ],
    "roles_are_for_services_of_this_account": [
        ("Principal: {Service: ecs-tasks.amazonaws.com}", "Principal: {AWS: '*'}"),
        (", Condition: {StringEquals: {'aws:SourceAccount': !Ref AWS::AccountId}}", ""),
    ],
    "a_role_is_handed_to_ecs_only": [
        ("iam:PassedToService: ecs-tasks.amazonaws.com", "iam:PassedToService: lambda.amazonaws.com"),
    ],
    "containers_are_read_only_and_nobody_in_particular": [
        ("          ReadonlyRootFilesystem: true\n", ""),
        ("        User: '10001'\n        R", "        R"),
    ],
    "no_secret_is_given_by_value": [
        ("{Name: LOG_FORMAT, Value: json}", "{Name: KALTURA_SECRET, Value: abc}"),
        ("{Name: LOG_FORMAT, Value: json}", "{Name: SMTP_PWD, Value: abc}"),
    ],
    "nothing_comes_in": [
        (
            "      SecurityGroupEgress:",
            "      SecurityGroupIngress: [{CidrIp: 0.0.0.0/0}]\n      SecurityGroupEgress:",
        ),
        ("FromPort: 443, ToPort: 443", "FromPort: 0, ToPort: 65535"),
    ],
    "an_image_stays_what_it_was": [
        ("ImageTagMutability: IMMUTABLE", "ImageTagMutability: MUTABLE"),
    ],
    "a_first_stack_can_be_made": [
        ("ClusterName: !Ref AWS::StackName, ", "CapacityProviders: [FARGATE], "),
        ("LaunchType: FARGATE", "LaunchType: EC2"),
    ],
    "the_next_stack_can_be_made": [
        ("EmptyOnDelete: true", "EmptyOnDelete: false"),
        ("    Type: AWS::Logs::LogGroup\n", "    Type: AWS::Logs::LogGroup\n    DeletionPolicy: Retain\n"),
    ],
    "no_code_hides_in_a_template": [
        ("Type: AWS::SQS::Queue\n", "Type: AWS::Lambda::Function\n"),
    ],
    "what_waits_or_is_told_is_encrypted_and_kept_for_a_time": [
        ("SqsManagedSseEnabled: true", "SqsManagedSseEnabled: false"),
        (", RetentionInDays: !Ref LogDays", ""),
    ],
}  # fmt: skip
CASES = [(rule, *change) for rule, changes in CHANGES.items() for change in changes]
WRITTEN = {path: path.read_text(encoding="utf-8") for path in TEMPLATES}


@pytest.fixture(autouse=True)
def installed() -> None:
    if subprocess.run([GUARD, "--ready"], check=False).returncode:
        pytest.skip("CloudFormation Guard is not installed: scripts/guard")


def judged(*templates: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([GUARD, *templates], capture_output=True, text=True, check=False)


def test_the_templates_keep_every_rule_and_every_rule_is_about_one_of_them() -> None:
    ended = judged()
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "cfn-guard has nothing to say\n")


def test_each_rule_notices_what_breaks_it(tmp_path: Path) -> None:
    changed = []
    for number, (_, text, careless) in enumerate(CASES):
        [template] = [written for written in WRITTEN.values() if text in written][:1]
        changed.append(tmp_path / f"{number}.yaml")
        changed[-1].write_text(template.replace(text, careless, 1), encoding="utf-8")
    ended = judged(*changed)
    assert ended.returncode == 1
    noticed = set(re.findall(r"(?m)^\S+/(\d+)\.yaml: (\w+): .+", ended.stdout))
    assert [case for number, case in enumerate(CASES) if (str(number), case[0]) not in noticed] == []


def test_each_rule_has_a_change_that_it_notices() -> None:
    assert set(CHANGES) == {name for path in RULES for name in re.findall(r"(?m)^rule (\w+)", path.read_text())}
