"""aws/alarms.yaml: who is told what, when a job failed, entries did, or nothing happened at all."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from cloudformation import STACK, TEMPLATE, Stack, event_matches
from conftest import Run

from kaltura_archiver.errors import Exit
from kaltura_archiver.output.summary import METRICS, NAMESPACE
from kaltura_archiver.sandbox.world import Sandbox
from kaltura_archiver.steps import Command

JOBS = ("Archive", "Restore", "Health")


@pytest.fixture(scope="module")
def stack() -> Stack:
    return Stack()


def test_the_names_by_which_the_alarms_find_the_jobs_are_theirs(stack: Stack) -> None:
    """Two stacks, so that neither holds the other: the names are worked out from the stack's."""
    of = {name: resource.get("Properties", {}) for name, resource in stack.resources.items()}
    [cluster] = of["TaskFailedRule"]["EventPattern"]["detail"]["clusterArn"]
    assert cluster.endswith(f":cluster/{of['Cluster']['ClusterName']}")
    [queue] = of["JobFailedRule"]["EventPattern"]["detail"]["jobQueue"]
    assert queue.endswith(f":job-queue/{of['JobQueue']['JobQueueName']}")
    [dead] = of["DeadLettersAlarm"]["Dimensions"]
    assert dead["Value"] == of["DeadLetters"]["QueueName"]
    groups = {of[f"{job}Log"]["LogGroupName"] for job in JOBS}
    assert {p["LogGroupName"] for p in stack.of_type("AWS::Logs::MetricFilter").values()} == groups
    assert not stack.of_type("AWS::Logs::ResourcePolicy")  # an account has ten of them in a region


# Events

ENDED: dict[str, Any] = {  # as in the ECS developer guide
    "detail-type": "ECS Task State Change",
    "source": "aws.ecs",
    "detail": {
        "clusterArn": f"arn:aws:ecs:eu-west-1:123456789012:cluster/{STACK}",
        "containers": [{"name": "kaltura-archiver", "exitCode": 0, "lastStatus": "STOPPED"}],
        "group": f"family:{STACK}-archive",
        "lastStatus": "STOPPED",
    },
}


def _event(event: dict[str, Any], **detail: Any) -> dict[str, Any]:
    return {**event, "detail": {**event["detail"], **detail}}


def _message(properties: dict[str, Any], event: dict[str, Any]) -> str:
    """What EventBridge makes of an event: absent values are left out."""
    [target] = properties["Targets"]
    transformer = target["InputTransformer"]

    def value(path: str) -> str:
        found: Any = event
        for name, index in re.findall(r"(\w+)(?:\[(\d+)\])?", path.removeprefix("$")):
            found = found.get(name) if isinstance(found, dict) else None
            if index:
                found = found[int(index)] if isinstance(found, list) and len(found) > int(index) else None
        return "" if found is None else str(found)

    values = {name: value(path) for name, path in transformer["InputPathsMap"].items()}
    text = json.loads(transformer["InputTemplate"])
    assert set(re.findall(r"<(\w+)>", text)) == set(values)
    assert len(transformer["InputTemplate"]) < 8192
    return re.sub(r"<(\w+)>", lambda match: values[match[1]], text)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        *(({"containers": [{"exitCode": int(code)}]}, code not in (0, 5)) for code in Exit),
        ({"containers": [{"exitCode": 137}]}, True),
        # The image or the secret could not be had.
        ({"containers": [{"lastStatus": "STOPPED"}]}, True),
        ({"containers": [{"exitCode": 1}], "lastStatus": "RUNNING"}, False),
        ({"containers": [{"exitCode": 1}], "clusterArn": "arn:aws:ecs:eu-west-1:123456789012:cluster/another"}, False),
    ],
)
def test_a_task_that_failed_is_told(changes: dict[str, Any], told: bool, stack: Stack) -> None:
    rule = stack.resources["TaskFailedRule"]["Properties"]
    assert event_matches(rule["EventPattern"], _event(ENDED, **changes)) == told


def test_an_array_job_that_failed_is_told(stack: Stack) -> None:
    rule = stack.resources["JobFailedRule"]["Properties"]
    detail = {
        "jobQueue": f"arn:aws:batch:eu-west-1:123456789012:job-queue/{STACK}",
        "jobName": "first-archive",
        "jobId": "1-2:3",
        "statusReason": "Essential container in task exited",
        "container": {"exitCode": 1},
    }
    job = {"source": "aws.batch", "detail-type": "Batch Job State Change", "detail": detail}
    assert event_matches(rule["EventPattern"], _event(job, status="FAILED"))
    assert not event_matches(rule["EventPattern"], _event(job, status="RUNNING"))
    assert not event_matches(rule["EventPattern"], _event(job, status="FAILED", jobQueue="another"))
    assert "array job first-archive (1-2:3) ended with status 1 (Essential container" in _message(rule, job)


@pytest.mark.parametrize("rule", ["TaskFailedRule", "JobFailedRule"])
def test_the_mail_names_the_task_its_status_and_what_that_means(rule: str, stack: Stack) -> None:
    properties = stack.resources[rule]["Properties"]
    event = _event(ENDED, containers=[{"exitCode": 4}], stoppedReason="Essential container in task exited", taskArn="t")
    text = _message(properties, event)
    if rule == "TaskFailedRule":
        assert f"the task family:{STACK}-archive ended with status 4 (Essential container in task exited)" in text
    for code in (*(code for code in Exit if code != Exit.INTERRUPTED), 137):
        assert re.search(rf"\b{int(code)} [a-z]", text), code


def test_alarms_and_events_may_publish_and_nobody_else(stack: Stack) -> None:
    """EventBridge knows no conditions in a topic's policy: with one, no mail of a task that failed would come."""
    alarms, events = stack.statements("AlarmTopicPolicy")
    for statement in (alarms, events):
        assert (statement["Action"], statement["Resource"]) == (["sns:Publish"], ["AlarmTopic"])
    assert alarms["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    assert alarms["Condition"] == {"StringEquals": {"aws:SourceAccount": "123456789012"}}
    assert events["Principal"] == {"Service": "events.amazonaws.com"}
    assert "Condition" not in events
    assert not stack.of_type("AWS::SNS::Subscription")
    [mail] = Stack(AlarmEmail="operator@example.org").of_type("AWS::SNS::Subscription").values()
    assert mail == {"TopicArn": "AlarmTopic", "Protocol": "email", "Endpoint": "operator@example.org"}


def test_the_task_that_the_page_starts_to_see_a_mail_arrive_fails(sandbox: Sandbox, run: Run, stack: Stack) -> None:
    page = (TEMPLATE.parent.parent / "README-AWS.md").read_text(encoding="utf-8").partition("## Alarms")[2]
    [words] = re.findall(r'run_task health --wait --command "([^"]+)"', page)
    code = run(*words.split()).code
    rule = stack.resources["TaskFailedRule"]["Properties"]
    assert event_matches(rule["EventPattern"], _event(ENDED, containers=[{"exitCode": code}])), code


# Log lines


def _filter_matches(pattern: str, line: str) -> bool:
    """CloudWatch Logs' filter patterns, as far as the templates go: quoted terms, all of which have to be there."""
    return all(term in line for term in re.findall(r'"([^"]+)"', pattern))


def _counted(stack: Stack, group: str, line: str) -> set[str]:
    """The metrics that a line in this log group counts for."""
    return {
        transformation["MetricName"]
        for properties in stack.of_type("AWS::Logs::MetricFilter").values()
        if properties["LogGroupName"] == group and _filter_matches(properties["FilterPattern"], line)
        for transformation in properties["MetricTransformations"]
    }


@pytest.mark.parametrize("form", ["text", "json"])
def test_real_log_lines_are_counted(form: str, sandbox: Sandbox, run: Run, stack: Stack) -> None:
    good, frozen = sandbox.add("initial"), sandbox.add("placeholder", storage_class="GLACIER")
    failing, broken, busy = sandbox.add("initial"), sandbox.add("lost"), sandbox.add("busy")
    sandbox.control.add_fault("s3.PutObject", "error", times=9, subject=failing, code="AccessDenied", status=403)
    copied = run("--log-format", form, "s3copy", "--id", good, "--id", failing, "--no-dry-run")
    restored = run("--log-format", form, "restore", "--id", frozen, "--no-dry-run")
    looked = run("--log-format", form, "health", "--id", good, "--id", broken, "--id", frozen, "--id", busy)
    assert (copied.code, copied.outcomes) == (1, {good: "done", failing: "failed"}), copied.err
    assert (restored.code, restored.outcomes) == (3, {frozen: "waiting"})
    assert (looked.code, busy in looked.err) == (1, True)  # who is only busy is told, and is no alarm
    counted = [
        [metric for line in ran.err.splitlines() for metric in _counted(stack, f"/{STACK}/{job}", line)]
        for job, ran in (("archive", copied), ("restore", restored), ("health", looked))
    ]
    assert counted == [["ArchiveEntriesFailed"], ["EntriesWaiting"], ["HealthEntriesBroken"]]
    dry = run("--log-format", form, "restore", "--id", frozen)
    assert not any(_counted(stack, f"/{STACK}/restore", line) for line in dry.err.splitlines())


@pytest.mark.parametrize("job", JOBS)
def test_the_line_with_which_a_job_ends_well_is_counted(job: str, stack: Stack) -> None:
    """tests/deploy/test_jobs.py sees the jobs say it."""
    name = job.lower()
    assert _counted(stack, f"/{STACK}/{name}", f"{name}: ended with status 0") == {f"{job}Succeeded"}
    assert _counted(stack, f"/{STACK}/{name}", f"{name}: ended with status 1") == set()


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
        # The mail says how many: "the datapoint [3.0] was greater than the threshold"; of which job, the description.
        if alarm["Statistic"] == "Sum":
            assert re.match("archive|restore|health", alarm["AlarmDescription"])
    # Jobs that are not scheduled are not missed.
    assert not [a for a in Stack().of_type("AWS::CloudWatch::Alarm").values() if a["MetricName"].endswith("Succeeded")]


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
    stack = Stack()
    widgets = json.loads(stack.resources["Dashboard"]["Properties"]["DashboardBody"])["widgets"]
    filters = stack.of_type("AWS::Logs::MetricFilter").values()
    counted = {t["MetricName"] for f in filters for t in f["MetricTransformations"]}
    shown = [m for widget in widgets for m in _written_out(widget["properties"].get("metrics", []))]
    assert {name for namespace, name, *_ in shown if namespace == f"{NAMESPACE}/{STACK}"} == counted
    events = [metric for metric in shown if metric[0] == "AWS/Events"]
    assert [metric[1:] for metric in events] == [
        ["TriggeredRules", "RuleName", name] for name in ("TaskFailedRule", "JobFailedRule")
    ]
    embedded = [metric for metric in shown if metric[0] == NAMESPACE]
    # The dimensions of a run's last line.
    assert {(metric[2], metric[3], metric[4]) for metric in embedded} == {("Bucket", "lectures", "Command")}
    assert {metric[5] for metric in embedded} <= {*map(str, Command)}
    assert {metric[1] for metric in embedded} <= {name for name, *_ in METRICS}
    assert len(shown) == len(embedded) + len(counted) + len(events)
    alarms = {f"arn:{name}" for name in stack.of_type("AWS::CloudWatch::Alarm")}
    assert {a for widget in widgets for a in widget["properties"].get("alarms", ())} == alarms
