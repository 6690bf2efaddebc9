"""run_task: what it asks of AWS, what it tells, and that nothing is started after a mistake."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

import pytest
from click.testing import CliRunner
from cloudformation import PSEUDO, STACK, Stack, allows, matching
from conftest import Ran, Run

from kaltura_archiver.cli import cli
from kaltura_archiver.errors import ConfigError, ServiceError
from kaltura_archiver.fleet import tasks as run_task

ARN = "arn:aws:ecs:eu-west-1:123456789012:"
TASK = f"{ARN}task/Cluster/0123456789abcdef"
SECRET = "secret-access-key-0123456789"


class Aws:
    """CloudFormation, ECS and CloudWatch Logs on loopback: one stack, made from the template, and at most one task.

    Each look at the task takes the next of `looks`, (status, exit code or None); the last one stays. `lines` has the
    log lines that are there after so many looks, `late` those that come when all of them were read after the task's
    end. `errors` maps an operation to the errors it gives first.
    """

    def __init__(self) -> None:
        self.stack = Stack()
        self.outputs = dict(self.stack.outputs)
        self.revisions = [1, 2]
        self.inactive = {1}
        self.looks: list[tuple[str, int | None]] = [("PROVISIONING", None), ("RUNNING", None), ("STOPPED", 0)]
        self.lines: list[tuple[int, str]] = []
        self.late: list[str] = []
        self.drained = False
        self.looked = 0
        self.errors: dict[str, list[tuple[int, str, str]]] = {}
        self.failures: list[dict[str, str]] = []
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def started(self) -> list[dict[str, Any]]:
        return [parameters for operation, parameters in self.asked if operation == "RunTask"]

    def answer(self, operation: str, parameters: dict[str, Any]) -> tuple[int, Any]:
        self.asked.append((operation, parameters))
        if self.errors.get(operation):
            status, code, message = self.errors[operation].pop(0)
            return status, {"__type": code, "message": message}
        answer: Callable[[dict[str, Any]], tuple[int, Any]] = getattr(self, f"_{operation}")
        return answer(parameters)

    def _DescribeStacks(self, parameters: dict[str, Any]) -> tuple[int, Any]:
        name = parameters["StackName"]
        if name != STACK:
            return 400, {"__type": "ValidationError", "message": f"Stack with id {name} does not exist"}
        return 200, self.outputs

    def _DescribeTaskDefinition(self, parameters: dict[str, Any]) -> tuple[int, Any]:
        family, _, asked = parameters["taskDefinition"].partition(":")
        revision = int(asked or max(self.revisions))
        if revision not in self.revisions or not family.startswith(STACK):
            return 400, {"__type": "ClientException", "message": "Unable to describe task definition."}
        job = family.removeprefix(f"{STACK}-").capitalize()
        containers = self.stack.resources[f"{job}Task"]["Properties"]["ContainerDefinitions"]
        logs = containers[0]["LogConfiguration"]
        definition = {
            "taskDefinitionArn": f"{ARN}task-definition/{family}:{revision}",
            "status": "INACTIVE" if revision in self.inactive else "ACTIVE",
            "containerDefinitions": [
                {
                    "name": containers[0]["Name"],
                    "logConfiguration": {"logDriver": logs["LogDriver"], "options": logs["Options"]},
                }
            ],
        }
        return 200, {"taskDefinition": definition}

    def _RunTask(self, parameters: dict[str, Any]) -> tuple[int, Any]:
        if self.failures:
            return 200, {"tasks": [], "failures": self.failures}
        return 200, {"tasks": [{"taskArn": TASK, "lastStatus": "PROVISIONING"}], "failures": []}

    def _StopTask(self, parameters: dict[str, Any]) -> tuple[int, Any]:
        assert (parameters["cluster"], parameters["task"]) == ("Cluster", TASK)
        return 200, {"task": {"taskArn": TASK}}

    def _DescribeTasks(self, parameters: dict[str, Any]) -> tuple[int, Any]:
        assert parameters == {"cluster": "Cluster", "tasks": [TASK]}
        status, code = self.looks[min(self.looked, len(self.looks) - 1)]
        self.looked += 1
        container = {"name": "kaltura-archiver", **({} if code is None else {"exitCode": code})}
        task = {"taskArn": TASK, "lastStatus": status, "containers": [container], "stoppedReason": "it ended"}
        return 200, {"tasks": [task], "failures": []}

    def _GetLogEvents(self, parameters: dict[str, Any]) -> tuple[int, Any]:
        assert parameters["startFromHead"] is True
        if parameters["logStreamName"] != f"{self._prefix()}/kaltura-archiver/0123456789abcdef" or self.looked < 2:
            return 400, {"__type": "ResourceNotFoundException", "message": "The specified log stream does not exist."}
        # Pages of two, as CloudWatch may give them; at the end the same token again.
        there = [line for looks, line in self.lines if looks <= self.looked] + (self.late if self.drained else [])
        begin = int(parameters.get("nextToken", "f/0").removeprefix("f/"))
        page = there[begin : begin + 2]
        self.drained = self.drained or (self.looked >= len(self.looks) and not page)
        events = [{"timestamp": 1, "ingestionTime": 1, "message": line} for line in page]
        return 200, {"events": events, "nextForwardToken": f"f/{begin + len(page)}", "nextBackwardToken": "b/0"}

    def _prefix(self) -> str:
        return self.started()[0]["taskDefinition"].rpartition("/")[2].split(":")[0].removeprefix(f"{STACK}-")


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    service = Aws()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            if target := self.headers.get("X-Amz-Target"):
                status, answer = service.answer(target.rpartition(".")[2], json.loads(body))
                content = json.dumps(answer)
            else:
                form = {name: values[0] for name, values in parse_qs(body).items()}
                status, answer = service.answer(form["Action"], form)
                content = _stack_xml(answer) if status == 200 else _error_xml(answer)
            self.send_response(status)
            self.send_header("Content-Type", "application/x-amz-json-1.1" if target else "text/xml")
            self.send_header("Content-Length", str(len(content.encode())))
            self.end_headers()
            self.wfile.write(content.encode())

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_address[1]}",
        "AWS_ACCESS_KEY_ID": "AKIA0000000000000000",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "eu-west-1",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(run_task, "POLL_SECONDS", 0.001)
    yield service
    server.shutdown()
    thread.join()
    server.server_close()


def _stack_xml(outputs: dict[str, str]) -> str:
    members = "".join(
        f"<member><OutputKey>{name}</OutputKey><OutputValue>{escape(value)}</OutputValue></member>"
        for name, value in outputs.items()
    )
    return (
        "<DescribeStacksResponse><DescribeStacksResult><Stacks><member><StackName>x</StackName>"
        "<StackStatus>CREATE_COMPLETE</StackStatus><CreationTime>2026-01-01T00:00:00Z</CreationTime>"
        f"<Outputs>{members}</Outputs></member></Stacks></DescribeStacksResult></DescribeStacksResponse>"
    )


def _error_xml(error: dict[str, str]) -> str:
    return (
        f"<ErrorResponse><Error><Type>Sender</Type><Code>{error['__type']}</Code>"
        f"<Message>{escape(error['message'])}</Message></Error></ErrorResponse>"
    )


def start(*arguments: str) -> Ran:
    result = CliRunner().invoke(cli, ["run_task", *arguments, "--stack", STACK])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert SECRET not in result.output
    return Ran(result.exit_code, result.stdout, result.stderr)


def test_the_tasks_are_those_of_the_command_and_of_the_template() -> None:
    assert set(run_task.TASKS) == set(cli.commands["run_task"].params[0].type.choices)  # type: ignore[attr-defined]
    assert cli.commands["run_task"].params[1].default == run_task.DEFAULT_STACK
    assert {*run_task.OUTPUTS, *run_task.TASKS.values()} <= set(Stack().outputs)


@pytest.mark.parametrize("task", run_task.TASKS)
def test_a_task_is_started_once_in_the_networks_of_the_stack(aws: Aws, task: str) -> None:
    ran = start(task)
    assert (ran.code, ran.err) == (0, "")
    assert ran.rows == [
        {
            "task": TASK,
            "definition": f"{STACK}-{task}:2",
            "cluster": "Cluster",
            "log_group": f"/{STACK}/{task}",
            "log_stream": f"{task}/kaltura-archiver/0123456789abcdef",
        }
    ]
    [asked] = aws.started()
    assert asked.pop("clientToken")  # by which ECS knows a repeated request
    assert asked == {
        "cluster": "Cluster",
        "taskDefinition": f"{ARN}task-definition/{STACK}-{task}:2",
        "count": 1,
        "launchType": "FARGATE",
        "networkConfiguration": {
            "awsvpcConfiguration": {
                "subnets": ["subnet-1", "subnet-2"],
                "securityGroups": ["SecurityGroup"],
                "assignPublicIp": "ENABLED",
            }
        },
        "overrides": {"containerOverrides": [{"name": "kaltura-archiver"}]},
        "startedBy": "kaltura-archiver-run-task",
    }


def test_revision_variables_and_command_are_the_operators(aws: Aws) -> None:
    aws.inactive = set()
    ran = start(
        "restore", "--revision", "1", "--env", "DOIT=true", "--env", "SELECTION=--category 7 --tag=x=y", "--env", "A=",
        "--command", "restore --id 0_abc12345 --tag 'two words'", "--format", "json",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    assert ran.json[0]["definition"] == f"{STACK}-restore:1"
    [asked] = aws.started()
    [override] = asked["overrides"]["containerOverrides"]
    assert override["command"] == ["restore", "--id", "0_abc12345", "--tag", "two words"]
    assert override["environment"] == [
        {"name": "DOIT", "value": "true"},
        {"name": "SELECTION", "value": "--category 7 --tag=x=y"},
        {"name": "A", "value": ""},
    ]


def test_log_lines_in_json_are_shown_as_text(aws: Aws) -> None:
    whole = {
        "time": "2026-11-25T18:12:03.123+00:00",
        "level": "INFO",
        "run": "ab12cd34",
        "mode": "EXEC",
        "kind": "entry",
    }
    entry = {**whole, "entry": "0_a", "action": "s3copy", "outcome": "done", "message": "done: copied 5 bytes"}
    others = ['{"no": "log line"}', '{"time": 1, "level": "INFO", "message": "x"}', "{cut", "plain"]
    aws.lines = [(2, json.dumps(entry)), *((2, line) for line in others)]
    assert start("archive", "--wait").out.splitlines() == [
        "2026-11-25T18:12:03Z INFO run=ab12cd34 EXEC entry 0_a s3copy done: copied 5 bytes",
        *others,
    ]


@pytest.mark.parametrize("code", [0, 3, 137])
def test_wait_tells_the_log_lines_once_and_ends_as_the_task_did(aws: Aws, code: int) -> None:
    aws.looks = [("PROVISIONING", None), ("PENDING", None), ("RUNNING", None), ("STOPPED", code)]
    aws.lines = [(2, "entry_id\tmessage"), (2, "0_a\tgut \x1b[31m"), (3, f"key {SECRET} of https://x/?ks=abcdefgh")]
    aws.late = ["last\twords"]
    ran = start("health", "--wait")
    assert ran.code == code
    assert ran.out.splitlines() == [
        "entry_id\tmessage",
        "0_a\tgut \\x1b[31m",
        "key [redacted] of https://x/?ks=[redacted]",
        "last\twords",
    ]
    told = [line.split(" is ")[1] for line in ran.err.splitlines() if " is " in line]
    assert told == ["PROVISIONING", "PENDING", "RUNNING", "STOPPED"]
    assert len(aws.started()) == 1


def test_what_run_task_asks_is_what_its_policy_allows(aws: Aws) -> None:
    aws.lines = [(2, "a line")]
    for task in run_task.TASKS:
        aws.looked, aws.asked = 0, [a for a in aws.asked if a[0] != "RunTask"]
        assert start(task, "--wait").code == 0
        tasks = run_task.Tasks(STACK)
        tasks.stop(tasks.start(task))  # as a fleet does
        statements = aws.stack.statements("RunTaskPolicy")
        log = f"arn:{task.capitalize()}Log"
        needed = {
            "DescribeStacks": ("cloudformation:DescribeStacks", PSEUDO["AWS::StackId"]),
            "DescribeTaskDefinition": ("ecs:DescribeTaskDefinition", "*"),
            "RunTask": ("ecs:RunTask", f"{ARN}task-definition/{STACK}-{task}:2"),
            "DescribeTasks": ("ecs:DescribeTasks", TASK),
            "StopTask": ("ecs:StopTask", TASK),
            "GetLogEvents": ("logs:GetLogEvents", log),
        }
        asked = {needed[operation] for operation, _ in aws.asked}
        asked |= {("iam:PassRole", f"arn:{role}") for role in ("ExecutionRole", f"{task.capitalize()}Role")}
        assert all(allows(statements, *call) for call in asked)
        used = {(s["Sid"], action) for action, at in asked for s in matching(statements, action, at)}
        assert used == {(s["Sid"], action) for s in statements for action in s["Action"]}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["archives"], "'archives'"),
        (["archive", "--env", "DOIT"], "NAME=VALUE"),
        (["archive", "--env", "=x"], "name of a variable"),
        (["archive", "--env", "DOIT=yes"], "true or false, not 'yes'"),
        (["archive", "--env", "N_YEARS="], "number of years"),
        (["archive", "--env", "N_YEARS=three"], "number of years"),
        (["archive", "--env", "N_YEARS=0"], "number of years"),
        (["archive", "--env", "STRICT=1"], "true or false"),
        (["archive", "--env", f"KALTURA_SECRET={SECRET}"], "Secrets Manager"),
        (["archive", "--env", f"KALTURA_APP_TOKEN={SECRET}"], "Secrets Manager"),
        (["archive", "--env", f"AWS_SECRET_ACCESS_KEY={SECRET}"], "Secrets Manager"),
        (["archive", "--env", f"LDAP_PWD={SECRET}"], "Secrets Manager"),
        (["archive", "--command", "restore 'open"], "--command"),
        (["archive", "--revision", "0"], "--revision"),
        (["archive", "--revision", "1"], "INACTIVE"),
        (["archive", "--revision", "9"], "Unable to describe task definition"),
    ],
)
def test_a_mistake_starts_nothing(aws: Aws, arguments: list[str], says: str) -> None:
    ran = start(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert says in ran.err
    assert len(ran.err.splitlines()) == 1
    assert not aws.started()


def _lose(aws: Aws, name: str) -> None:
    del aws.outputs[name]


@pytest.mark.parametrize(
    ("break_it", "code", "says"),
    [
        (lambda aws: aws.outputs.clear(), 2, "has no output ClusterName"),
        (lambda aws: _lose(aws, "HealthTaskFamily"), 2, "has no output HealthTaskFamily"),
        (lambda aws: aws.errors.update(DescribeStacks=[(403, "AccessDenied", "not authorized")]), 2, "not authorized"),
        (lambda aws: aws.errors.update(DescribeStacks=[(400, "ValidationError", "no\nsuch")]), 2, "no such"),
        (
            lambda aws: aws.errors.update(RunTask=[(400, "AccessDeniedException", "no iam:PassRole")]),
            2,
            "no iam:PassRole (AccessDeniedException)",
        ),
        (lambda aws: aws.errors.update(RunTask=[(400, "ClusterNotFoundException", "no cluster")]), 2, "no cluster"),
        (lambda aws: aws.errors.update(RunTask=[(400, "BlockedException", "account blocked")]), 1, "account blocked"),
        (lambda aws: aws.failures.append({"reason": "RESOURCE:FARGATE", "detail": "x"}), 1, "RESOURCE:FARGATE x"),
    ],
)
def test_what_aws_refuses_is_told_in_one_line(aws: Aws, break_it: Callable[[Aws], None], code: int, says: str) -> None:
    break_it(aws)
    ran = start("archive", "--wait")
    assert (ran.code, ran.out) == (code, "")
    assert says in ran.err
    assert len(ran.err.splitlines()) == 1


def test_a_stack_that_is_not_there_and_credentials_that_are_not(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, says in (("another", "does not exist"), ("no name", "is not the name of a stack")):
        result = CliRunner().invoke(cli, ["run_task", "archive", "--stack", name])
        assert (result.exit_code, result.stdout) == (2, "")
        assert says in result.stderr
    for name, value, says in (
        ("AWS_DEFAULT_REGION", "", "region"),
        ("AWS_ENDPOINT_URL", "nowhere", "Invalid endpoint"),
        ("AWS_SECRET_ACCESS_KEY", "", "AWS_SECRET_ACCESS_KEY"),
    ):
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            ran = start("archive")
        assert (ran.code, ran.out) == (2, "")
        assert says in ran.err
    assert not aws.started()


def test_a_service_that_only_knows_s3_is_told_apart(run: Run) -> None:
    ran = run("run_task", "archive")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == (
        "error: look at stack kaltura-archiver: what answered is not AWS; leave AWS_ENDPOINT_URL out for this\n"
    )


def test_a_task_that_never_ran_is_a_failure(aws: Aws) -> None:
    aws.looks = [("PROVISIONING", None), ("STOPPED", None)]
    ran = start("archive", "--wait")
    assert (ran.code, ran.out) == (1, "")
    assert "never ran: it ended" in ran.err


def test_a_look_that_fails_is_tried_again_and_lost_credentials_are_told(aws: Aws) -> None:
    aws.errors["DescribeTasks"] = [(400, "InvalidRequest", "later")] * 2
    aws.errors["GetLogEvents"] = [(400, "OperationAbortedException", "later")]
    aws.lines = [(2, "a line")]
    ran = start("archive", "--wait")
    assert (ran.code, ran.out) == (0, "a line\n")
    assert ran.err.count("trying again") == 3
    aws.looked, aws.asked = 0, []
    aws.errors["DescribeTasks"] = [(400, "ExpiredTokenException", "expired")]
    ran = start("archive", "--wait")
    # Not 2: something was started.
    assert ran.code == 1
    assert f"the task {TASK} may go on" in ran.err


def test_looks_that_keep_failing_end_the_wait_not_the_task(aws: Aws) -> None:
    aws.errors["DescribeTasks"] = [(400, "InvalidRequest", "later")] * run_task.MAX_FAILED_LOOKS
    ran = start("archive", "--wait")
    assert ran.code == 1
    assert "may go on" in ran.err.splitlines()[-1]
    assert not [operation for operation, _ in aws.asked if operation == "StopTask"]


def test_an_interrupted_wait_leaves_the_task_alone(aws: Aws) -> None:
    tasks = run_task.Tasks(STACK)
    started = tasks.start("archive")
    stop = threading.Event()
    stop.set()
    with pytest.raises(run_task.Stopped):
        list(tasks.follow(started, stop))
    assert {operation for operation, _ in aws.asked} <= {
        "DescribeStacks", "DescribeTaskDefinition", "RunTask", "DescribeTasks", "GetLogEvents",
    }  # fmt: skip


def test_the_handler_of_lambda_starts_a_task(aws: Aws) -> None:
    event = {"task": "restore", "stack": STACK, "environment": {"SELECTION": "--id 0_a"}, "command": ["jobs/restore"]}
    assert run_task.handler(event, None) == {
        "task": TASK,
        "definition": f"{STACK}-restore:2",
        "log_group": f"/{STACK}/restore",
    }
    [override] = aws.started()[0]["overrides"]["containerOverrides"]
    assert override["environment"] == [{"name": "SELECTION", "value": "--id 0_a"}]
    assert override["command"] == ["jobs/restore"]
    aws.failures = [{"reason": "RESOURCE:FARGATE"}]
    with pytest.raises(ServiceError):
        run_task.handler(event, None)


@pytest.mark.parametrize(
    "wrong",
    [
        {"task": "delete"},
        {"task": None},
        {"tasks": "x"},
        {"revision": "2"},
        {"revision": True},
        {"revision": 0},
        {"environment": ["A=B"]},
        {"environment": {"A": 1}},
        {"environment": {"DOIT": "yes"}},
        {"environment": {"KALTURA_SECRET": SECRET}},
        {"command": "jobs/restore"},
        {"command": [1]},
        {"stack": "no name"},
    ],
)
def test_the_handler_refuses_what_it_does_not_understand(aws: Aws, wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as refused:
        run_task.handler({"task": "restore", "stack": STACK, **wrong}, None)
    assert SECRET not in str(refused.value)
    assert not aws.started()
