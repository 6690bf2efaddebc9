"""Starts the jobs on ECS Fargate, as aws/template.yaml has set them up; `run_task` in the shell, `handler` in Lambda.

Imports boto3 beside `store`: it speaks to ECS, CloudFormation and CloudWatch Logs, never to the bucket, and needs none
of the tool's settings.
"""

from __future__ import annotations

import logging
import re
import shlex
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    SSOError,
    TokenRetrievalError,
)

from kaltura_archiver.errors import ConfigError, ServiceError, Stopped
from kaltura_archiver.redact import one_line, redact

log = logging.getLogger(__name__)

DEFAULT_STACK = "kaltura-archiver"
# Task to the output of the stack that names its family; then what else the stack must tell.
TASKS = {"archive": "ArchiveTaskFamily", "restore": "RestoreTaskFamily", "health": "HealthTaskFamily"}
OUTPUTS = ("ClusterName", "SubnetIds", "SecurityGroupId", "AssignPublicIp")
# Pause between two looks at a task, and how many looks in a row may fail before we give up.
POLL_SECONDS = 5.0
MAX_FAILED_LOOKS = 12
_SECRET = re.compile(r"SECRET|TOKEN(?!_ID$)|PASSWORD|_PWD$")
# What the jobs would refuse is refused before anything is started (jobs/archive).
_JOB_VARIABLES = {
    "DOIT": (re.compile(r"true|false"), "true or false"),
    "STRICT": (re.compile(r"true|false"), "true or false"),
    "N_YEARS": (re.compile(r"(?=.*[1-9])\d+(\.\d+)?"), "a number of years above 0"),
}


@dataclass(frozen=True)
class Started:
    """A task that was started, and where its log lines will be (empty where it does not log to CloudWatch Logs)."""

    task: str
    definition: str
    cluster: str
    container: str
    log_group: str
    log_stream: str


def parse_environment(pairs: Sequence[str]) -> dict[str, str]:
    """NAME=VALUE pairs as a mapping; ConfigError for what is none."""
    wrong = next((pair for pair in pairs if "=" not in pair), None)
    if wrong is not None:
        raise ConfigError(f"--env {wrong[:40]!r} is not NAME=VALUE")
    return dict(pair.split("=", 1) for pair in pairs)


def parse_command(text: str) -> list[str]:
    """A command line as words; ConfigError for an open quote."""
    try:
        return shlex.split(text)
    except ValueError as error:
        raise ConfigError(f"--command {text[:40]!r}: {error}") from error


def check_environment(environment: Mapping[str, str]) -> None:
    """Raise ConfigError for names that are none, values that the job would refuse, and secrets: ECS shows overrides."""
    for name, value in environment.items():
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise ConfigError(f"{name[:40]!r} is not the name of a variable")
        if _SECRET.search(name.upper()):
            raise ConfigError(f"{name} would be shown with the task: secrets go into Secrets Manager (README-AWS.md)")
        pattern, wanted = _JOB_VARIABLES.get(name, (None, ""))
        if pattern and not pattern.fullmatch(value):
            raise ConfigError(f"{name} must be {wanted}, not {value[:40]!r}")


class Tasks:
    """The tasks of one stack. Methods raise ConfigError for what the operator has to change, else ServiceError."""

    def __init__(self, stack: str = DEFAULT_STACK) -> None:
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9-]{0,127}|arn:[^:]+:cloudformation:\S+", stack):
            raise ConfigError(f"{stack[:40]!r} is not the name of a stack")
        with aws_errors_told("set up AWS"):
            client = clients_of_aws()
            self._ecs, self._logs, cloudformation = client("ecs"), client("logs"), client("cloudformation")
        with aws_errors_told(f"look at stack {stack}"):
            described = cloudformation.describe_stacks(StackName=stack)["Stacks"][0]
        self._outputs = {o["OutputKey"]: o["OutputValue"] for o in described.get("Outputs", ())}
        missing = [name for name in (*OUTPUTS, *TASKS.values()) if not self._outputs.get(name)]
        if missing:
            raise ConfigError(
                f"stack {stack} ({described.get('StackStatus')}) has no output {missing[0]}; it must be made, to its "
                "end, from aws/template.yaml"
            )

    def start(
        self,
        task: str,
        *,
        revision: int | None = None,
        environment: Mapping[str, str] | None = None,
        command: Sequence[str] = (),
    ) -> Started:
        """Start the latest revision of a task, or that one; variables and command take the place of its own."""
        check_environment(environment or {})
        name = self._outputs[TASKS[task]] + (f":{revision}" if revision else "")
        with aws_errors_told(f"look at task definition {name}"):
            definition = self._ecs.describe_task_definition(taskDefinition=name)["taskDefinition"]
        if definition.get("status") != "ACTIVE":
            raise ConfigError(f"task definition {name} is {definition.get('status')}: take another revision")
        [container, *_] = definition["containerDefinitions"]
        override: dict[str, Any] = {"name": container["name"]}
        if environment:
            override["environment"] = [{"name": key, "value": value} for key, value in environment.items()]
        if command:
            override["command"] = list(command)
        network = {
            "subnets": self._outputs["SubnetIds"].split(","),
            "securityGroups": [self._outputs["SecurityGroupId"]],
            "assignPublicIp": self._outputs["AssignPublicIp"],
        }
        with aws_errors_told(f"start {name}"):
            # botocore adds a clientToken: a repeated request starts no second task.
            answer = self._ecs.run_task(
                cluster=self._outputs["ClusterName"],
                taskDefinition=definition["taskDefinitionArn"],
                count=1,
                launchType="FARGATE",
                networkConfiguration={"awsvpcConfiguration": network},
                overrides={"containerOverrides": [override]},
                startedBy="kaltura-archiver-run-task",
            )
        if not answer.get("tasks"):
            reasons = [f"{f.get('reason', '')} {f.get('detail', '')}".strip() for f in answer.get("failures", ())]
            raise ServiceError(f"start {name}: ECS did not: {', '.join(reasons) or 'no reason'}", retryable=True)
        arn = answer["tasks"][0]["taskArn"]
        logs = container.get("logConfiguration", {}).get("options", {})
        prefix = logs.get("awslogs-stream-prefix", "")
        return Started(
            task=arn,
            definition=definition["taskDefinitionArn"].rpartition("/")[2],
            cluster=self._outputs["ClusterName"],
            container=container["name"],
            log_group=logs.get("awslogs-group", ""),
            log_stream=f"{prefix}/{container['name']}/{arn.rpartition('/')[2]}" if prefix else "",
        )

    def stop(self, started: Started) -> None:
        """Have ECS end a task: SIGTERM, and later SIGKILL. One that has ended already is no error."""
        with aws_errors_told(f"stop task {started.task}"):
            self._ecs.stop_task(cluster=started.cluster, task=started.task, reason="its run has ended")

    def end_of(self, started: Started) -> str:
        """Why a task has ended; empty while it has not."""
        task = self._look(started)
        if task["lastStatus"] != "STOPPED":
            return ""
        reasons = (task.get("stoppedReason"), *(c.get("reason") for c in task.get("containers", ())))
        return ": ".join(filter(None, reasons)) or "no reason given"

    def follow(self, started: Started, stop: threading.Event) -> Iterator[str | int]:
        """The container's log lines as they come, without secrets; its exit status last.

        Changes of the task's status are logged. Raises Stopped when `stop` is set: the task goes on.
        """
        status, failed, ended, token = "", 0, None, ""
        while True:
            try:
                if ended is None:
                    task = self._look(started)
                    if task["lastStatus"] != status:
                        status = task["lastStatus"]
                        log.info("task %s is %s", started.task.rpartition("/")[2], status)
                    ended = task if status == "STOPPED" else None
                    last = False
                else:
                    last = True
                lines, token = self._lines(started, token)
                failed = 0
            except ConfigError as error:  # such as credentials that have expired; status 2 would say "nothing started"
                raise ServiceError(f"{error}; the task {started.task} may go on") from error
            except ServiceError as error:
                failed += 1
                if failed >= MAX_FAILED_LOOKS:
                    raise ServiceError(f"{error}; the task {started.task} may go on") from error
                log.warning("%s; trying again", error)
                lines, last = [], False
            yield from lines
            # CloudWatch has a task's last lines a little after its end: one more look.
            if ended is not None and last:
                yield _exit_code(started, ended)
                return
            if stop.wait(POLL_SECONDS):
                log.warning("not waiting any more; the task %s goes on", started.task)
                raise Stopped("asked to stop")

    def _look(self, started: Started) -> dict[str, Any]:
        with aws_errors_told(f"look at task {started.task}"):
            answer = self._ecs.describe_tasks(cluster=started.cluster, tasks=[started.task])
        if not answer.get("tasks"):
            # Just started, ECS may not know it yet.
            raise ServiceError(f"look at task {started.task}: ECS does not know it", retryable=True)
        task: dict[str, Any] = answer["tasks"][0]
        return task

    def _lines(self, started: Started, token: str) -> tuple[list[str], str]:
        """The log lines after `token`, and the next token."""
        lines: list[str] = []
        while started.log_group and started.log_stream:
            where = {"logGroupName": started.log_group, "logStreamName": started.log_stream, "startFromHead": True}
            try:
                with aws_errors_told(f"read log {started.log_group}"):
                    page = self._logs.get_log_events(**where, **({"nextToken": token} if token else {}))
            except ServiceError as error:
                if error.code == "ResourceNotFoundException":  # until the container says something
                    break
                raise
            # Tabs part the cells of a table.
            lines += ["\t".join(map(one_line, redact(event["message"]).split("\t"))) for event in page["events"]]
            if page["nextForwardToken"] == token:
                break
            token = page["nextForwardToken"]
        return lines, token


def _exit_code(started: Started, task: Mapping[str, Any]) -> int:
    container: Mapping[str, Any] = next((c for c in task.get("containers", ()) if c["name"] == started.container), {})
    code = container.get("exitCode")
    reason = ": ".join(filter(None, (task.get("stoppedReason"), container.get("reason"))))
    if code is None:
        raise ServiceError(f"the task {started.task} never ran: {reason or 'no reason given'}")
    log.info("it ended with status %d%s", code, f" ({reason})" if reason else "")
    return int(code)


# What a person has to change, not what may pass by itself.
_REFUSALS = (
    "AccessDenied", "UnrecognizedClient", "InvalidClientTokenId", "ExpiredToken", "InvalidSignature",
    "SignatureDoesNotMatch", "ClusterNotFound", "InvalidParameter", "ClientException", "ValidationError",
)  # fmt: skip


def clients_of_aws() -> Callable[[str], Any]:
    """What makes a client of a service of AWS by its name, in the region and with the credentials of the environment.

    Raises boto3's exceptions.
    """
    session = boto3.Session()
    if not session.region_name:
        raise NoRegionError
    config = Config(retries={"mode": "standard", "total_max_attempts": 4}, connect_timeout=10, read_timeout=60)
    return partial(session.client, config=config)


@contextmanager
def aws_errors_told(what: str) -> Iterator[None]:
    """Turn boto3's exceptions into ours, one line each."""
    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        text = redact(" ".join(str(error.response.get("Error", {}).get("Message", "")).split()))[:300]
        if not code:
            raise ConfigError(f"{what}: what answered is not AWS; leave AWS_ENDPOINT_URL out for this") from error
        if code.startswith(_REFUSALS):
            raise ConfigError(f"{what}: AWS says {text or 'no reason'} ({code})") from error
        raise ServiceError(f"{what}: AWS says {text or 'no reason'} ({code})", code=code, retryable=True) from error
    except (SSOError, TokenRetrievalError) as error:
        raise ConfigError(f"{what}: {error}; sign in again: aws sso login") from error
    except (NoCredentialsError, PartialCredentialsError, CredentialRetrievalError, NoRegionError) as error:
        raise ConfigError(f"{what}: {error}; set the AWS variables or a profile") from error
    except BotoCoreError as error:
        raise ServiceError(f"{what}: no answer from AWS ({redact(str(error))[:200]})", retryable=True) from error
    except ValueError as error:  # an address that is none
        raise ConfigError(f"{what}: {redact(str(error))[:200]}; check the AWS variables") from error


def handler(event: Mapping[str, Any], context: object) -> dict[str, str]:
    """Start a task from AWS Lambda, without waiting for it.

    `event` holds `task`, and maybe `stack`, `revision`, `environment` (a mapping) and `command` (a list of words). The
    answer names the task. Whatever is wrong is raised, so that the invocation fails.
    """
    known = {"task", "stack", "revision", "environment", "command"}
    unknown = sorted(set(event) - known)
    if unknown:
        raise ConfigError(f"unknown: {', '.join(unknown)}; an event may hold {', '.join(sorted(known))}")
    task, revision = event.get("task"), event.get("revision")
    environment, command = event.get("environment") or {}, event.get("command") or []
    if task not in TASKS:
        raise ConfigError(f"task must be one of {', '.join(TASKS)}, not {task!r}")
    if revision is not None and (type(revision) is not int or revision < 1):
        raise ConfigError(f"revision must be a number from 1, not {revision!r}")
    if not isinstance(environment, Mapping) or not all(isinstance(value, str) for value in environment.values()):
        raise ConfigError("environment must be a mapping of names to texts")
    if not isinstance(command, list) or not all(isinstance(word, str) for word in command):
        raise ConfigError("command must be a list of words")
    started = Tasks(event.get("stack", DEFAULT_STACK)).start(
        task, revision=revision, environment=environment, command=command
    )
    return {"task": started.task, "definition": started.definition, "log_group": started.log_group}
