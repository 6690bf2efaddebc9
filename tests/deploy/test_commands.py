"""README-AWS.md, line by line, on moto's AWS and the sandbox's Kaltura; what moto cannot do is named, and printed.

moto shows that the lines fit one another: names, outputs, parameters. It does not show that AWS makes the stacks.
"""

from __future__ import annotations

import json
import logging
import re
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import boto3
import jmespath
import pytest
from awscli import operation_of, options_of, parameters_of
from botocore import xform_name
from cloudformation import TEMPLATE, TEMPLATES, load_one
from conftest import Run

from kaltura_archiver.sandbox.world import Sandbox

ROOT = TEMPLATE.parent.parent
LINES = [
    line.strip()
    for line in (ROOT / "README-AWS.md").read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    if re.match(r" {4}\S", line)
]
# Types that moto's CloudFormation passes over; with them goes what refers to them.
NOT_MADE = {
    "AWS::Batch::ComputeEnvironment",  # not without a service role, which Batch has by itself
    "AWS::CloudWatch::Alarm",
    "AWS::CloudWatch::Dashboard",
    "AWS::EC2::SecurityGroupEgress",
    "AWS::Logs::MetricFilter",
    "AWS::S3::BucketPolicy",
    "AWS::SNS::Subscription",
    "AWS::SNS::TopicPolicy",
    "AWS::SQS::QueuePolicy",
    "AWS::Scheduler::Schedule",
}
# Lines that moto cannot run, by how they begin, and why. The rest is run.
NOT_RUN = {
    "docker": "there is no engine; scripts/image-test builds the image and runs it",
    "aws ecr get-login-password": "is for docker",
    "aws ecr describe-images": "nothing was pushed",
    "aws cloudformation deploy --no-execute-changeset": "moto's change sets execute at once",
    "aws cloudformation update-termination-protection": "moto does not know it",
    "aws cloudwatch set-alarm-state": "moto's CloudFormation makes no alarms",
    "kaltura-archiver run_task": "moto's tasks run nothing; tests/fleet/test_run_task.py has an ECS whose tasks do",
}


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    """The address of a moto with CloudFormation."""
    program = ROOT / "scripts" / "moto-server"
    if subprocess.run([program, "--ready"], check=False).returncode:
        pytest.skip("moto's server is not installed: scripts/moto-server")
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    running = subprocess.Popen([program, "-H", "127.0.0.1", "-p", str(port)], stderr=subprocess.DEVNULL)
    try:
        for _ in range(600):
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        running.terminate()
        running.wait()


def _refers_to(node: Any, names: set[str]) -> bool:
    if isinstance(node, dict):
        if node.get("Ref") in names or (node.get("Fn::GetAtt") or [""])[0] in names:
            return True
        return any(_refers_to(value, names) for value in node.values())
    if isinstance(node, list):
        return any(_refers_to(value, names) for value in node)
    return isinstance(node, str) and bool(set(re.findall(r"\$\{(\w+)", node)) & names)


def _for_moto(path: Path) -> tuple[str, set[str]]:
    """The template as JSON without what moto does not make; and the names that are left out."""
    template = json.loads(json.dumps(load_one(path)))
    resources = template["Resources"]
    left_out = {name for name, resource in resources.items() if resource["Type"] in NOT_MADE}
    while more := {n for n, r in resources.items() if n not in left_out and _refers_to(r.get("Properties"), left_out)}:
        left_out |= more
    template["Resources"] = {name: r for name, r in resources.items() if name not in left_out}
    template["Outputs"] = {n: o for n, o in template["Outputs"].items() if not _refers_to(o, left_out)}
    if "Repository" in template["Resources"]:
        # moto makes up a name in capitals, which ECR does not take; CloudFormation does not.
        template["Resources"]["Repository"]["Properties"]["RepositoryName"] = "kaltura-archiver"
    return json.dumps(template), left_out


def _deploy(words: list[str], known: dict[str, dict[str, str]]) -> None:
    """`aws cloudformation deploy`: made or changed; what is not named keeps its value, which is in `known`."""
    given = options_of(words)
    [name], [file] = given["--stack-name"], given["--template-file"]
    client = boto3.client("cloudformation")
    call: Any = client.update_stack if name in known else client.create_stack
    values = known.setdefault(name, {})
    values |= dict(pair.split("=", 1) for pair in given.get("--parameter-overrides", []))
    call(
        StackName=name,
        TemplateBody=_for_moto(ROOT / file)[0],
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in values.items()],
        Capabilities=given.get("--capabilities", []),
    )


def _aws(words: list[str], known: dict[str, dict[str, str]]) -> Any:
    """What the answer, or the part of it that --query names, is."""
    service, name, *rest = words
    if (service, name) == ("cloudformation", "deploy"):
        _deploy(rest, known)
        return None
    client: Any = boto3.client("s3" if service == "s3api" else service)  # type: ignore[call-overload]
    if name == "wait":
        given = options_of(rest[1:])
        client.get_waiter(xform_name(rest[0]).replace("-", "_")).wait(StackName=given["--stack-name"][0])
        return None
    operation, given = operation_of(service, name), options_of(rest)
    answer = getattr(client, xform_name(operation.name))(**parameters_of(operation, given, []))
    return jmespath.search(given["--query"][0], answer) if "--query" in given else answer


class Page:
    """The page as it is followed: what one line answers stands in the next ones."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self.names: dict[str, str] = {}
        self._known: dict[str, dict[str, str]] = {}

    def follow(self, line: str) -> None:
        for placeholder, name in self.names.items():
            line = line.replace(placeholder, name)
        words = shlex.split(line)
        if words[0] == "kaltura-archiver":
            ran = self._run(*words[1:], "--format", "json")
            assert ran.code == 0, ran.err
            [row] = json.loads(ran.out)
            self.names |= {"1_abc": row["app_token_id"], "arn:aws:secretsmanager:…": row["secret_arn"]}
            return
        answer = _aws(words[1:], self._known)
        if "describe-vpcs" in line:
            self.names["vpc-…"] = answer[0]
        elif "describe-subnets" in line:
            self.names["subnet-…,subnet-…"] = ",".join(answer[:2])
        elif "OutputValue" in line:
            self.names["BUCKET"] = answer


@pytest.fixture
def page(moto: str, run: Run, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Page:
    monkeypatch.setattr(logging.getLogger("werkzeug"), "level", logging.ERROR)
    for name in ("KALTURA_APP_TOKEN_ID", "KALTURA_APP_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KALTURA_SECRET", sandbox.kaltura.secret)
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    return Page(run)


def test_the_lines_of_the_page_fit_one_another(page: Page, capsys: pytest.CaptureFixture[str]) -> None:
    not_run = [line for line in LINES if line.startswith(tuple(NOT_RUN))]
    assert {begin for begin in NOT_RUN if not any(line.startswith(begin) for line in not_run)} == set()
    failed = LINES.index("aws cloudformation delete-stack --stack-name kaltura-archiver")  # the stack that did not
    for number, line in enumerate(LINES):
        if line in not_run or number == failed:
            continue
        page.follow(line)
        if "deploy --stack-name kaltura-archiver " in line:
            made = boto3.client("cloudformation").list_stack_resources(StackName="kaltura-archiver")
            states = {resource["ResourceStatus"] for resource in made["StackResourceSummaries"]}
            assert states <= {"CREATE_COMPLETE", "UPDATE_COMPLETE"}
    assert set(page.names) == {"1_abc", "arn:aws:secretsmanager:…", "vpc-…", "subnet-…,subnet-…", "BUCKET"}
    with capsys.disabled():
        for line in not_run:
            why = next(why for begin, why in NOT_RUN.items() if line.startswith(begin))
            sys.stdout.write(f"\nnot run on moto ({why}): {line}")


@pytest.fixture
def given(moto: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Parameters of the stacks on moto."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "any")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "any")
    return {
        "KalturaPartnerId": "101",
        "KalturaSecretArn": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:kaltura-AbCdEf",
        "Vpc": boto3.client("ec2").describe_vpcs()["Vpcs"][0]["VpcId"],
        "Subnets": boto3.client("ec2").describe_subnets()["Subnets"][0]["SubnetId"],
        "BucketName": "lectures-of-a-test",
    }


def _make(path: Path, name: str, given: dict[str, str]) -> tuple[set[str], set[str]]:
    """Make a stack; the resources that it has, and those that are left out."""
    body, left_out = _for_moto(path)
    known = load_one(path)["Parameters"]
    parameters: Any = [{"ParameterKey": n, "ParameterValue": value} for n, value in given.items() if n in known]
    client = boto3.client("cloudformation")
    client.create_stack(StackName=name, TemplateBody=body, Parameters=parameters, Capabilities=["CAPABILITY_IAM"])
    made = client.list_stack_resources(StackName=name)["StackResourceSummaries"]
    return {resource["LogicalResourceId"] for resource in made}, left_out


def test_what_moto_cannot_make_is_named(given: dict[str, str]) -> None:
    """Each type that is left out is one that moto does not make, and no other resource is missing."""
    for number, path in enumerate(TEMPLATES):
        made, left_out = _make(path, f"named-{number}", given)
        resources = load_one(path)["Resources"]
        conditional = {name for name, resource in resources.items() if resource.get("Condition")}
        assert set(resources) - made - conditional == left_out - conditional


def _named() -> set[str]:
    """What has a name of its own, which only one may have in an account and region, less what moto does not delete: the
    cluster and the queue of Batch."""
    found = boto3.client("logs").describe_log_groups()["logGroups"]
    names = {group["logGroupName"] for group in found}
    names |= {url.rpartition("/")[2] for url in boto3.client("sqs").list_queues().get("QueueUrls", [])}
    return names | {found["repositoryName"] for found in boto3.client("ecr").describe_repositories()["repositories"]}


def test_what_goes_leaves_nothing_that_is_in_the_way_of_the_next(given: dict[str, str]) -> None:
    """As after a create that failed: the stack is deleted, and made once more under its name."""
    client = boto3.client("cloudformation")
    for stack in client.list_stacks(StackStatusFilter=["CREATE_COMPLETE", "UPDATE_COMPLETE"])["StackSummaries"]:
        client.delete_stack(StackName=stack["StackName"])
    before = _named()
    for _ in range(2):
        for path in TEMPLATES[1:]:
            assert _make(path, f"again-{path.stem}", given)[0]
        assert {"/again-template/archive", "again-template-dead-letters"} <= _named() - before
        for path in reversed(TEMPLATES[1:]):
            client.delete_stack(StackName=f"again-{path.stem}")
        assert _named() - before == set()
