"""README-AWS.md and docs/aws/: each of their commands is one, their queries find what they are for, figures add up."""

from __future__ import annotations

import json
import re
import shlex
from typing import Any

import botocore.session
import click
import insights
import jmespath
import pytest
from awscli import OWN, model, operation_of, options_of, parameters_of
from botocore import xform_name
from botocore.model import ListShape, Shape, StructureShape
from botocore.validate import ParamValidator
from cloudformation import TEMPLATE, Stack, allows
from conftest import Run

from kaltura_archiver.cli import cli
from kaltura_archiver.sandbox.world import Sandbox

ROOT = TEMPLATE.parent.parent
PAGES = [ROOT / "README-AWS.md", *sorted((ROOT / "docs" / "aws").glob("*.md"))]
PAGE = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
IMAGE_TEST = (ROOT / "scripts" / "image-test").read_text(encoding="utf-8")
JOBS = ("Archive", "Restore", "Health")
QUERIES = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)
JSON_BLOCKS = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)]


def commands(program: str) -> list[list[str]]:
    """Every command of the page that begins so, in blocks and in the text, as words; each part of a pipe."""
    blocks = [line.strip() for line in PAGE.replace("\\\n", " ").splitlines() if re.match(r" {4,}\S", line)]
    prose = re.sub(r"```.*?```", "", PAGE, flags=re.DOTALL)
    spans = [span.replace("\n", " ") for span in re.findall(r"`([^`]+)`", prose)]
    parts = [part for text in blocks + spans for part in text.split(" | ")]
    return [shlex.split(part) for part in parts if re.match(rf"{program} [a-z]", part)]


# AWS's command line


def sample(shape: Shape, depth: int = 6) -> Any:
    """An answer with something in every member."""
    if isinstance(shape, StructureShape):
        return {name: sample(member, depth - 1) for name, member in shape.members.items()} if depth else {}
    if isinstance(shape, ListShape):
        return [sample(shape.member, depth - 1)] if depth else []
    return "x"


@pytest.mark.parametrize("words", commands("aws"), ids=lambda words: " ".join(words[1:3]))
def test_a_command_for_aws_is_one(words: list[str]) -> None:
    service, name, *rest = words[1:]
    given = options_of(rest)
    if (service, name) in OWN:
        assert set(given) <= OWN[service, name]
        return
    if name == "wait":
        waiters = botocore.session.get_session().get_waiter_model(service)
        [waiter] = [waiters.get_waiter(w) for w in waiters.waiter_names if xform_name(w, "-") == rest[0]]
        operation = model(service).operation_model(waiter.operation)
    else:
        operation = operation_of(service, name)
    parameters = parameters_of(operation, given, JSON_BLOCKS)
    errors = ParamValidator().validate(parameters, operation.input_shape)
    assert not errors.has_errors(), errors.generate_report()
    for query in given.get("--query", []):
        assert jmespath.search(query, sample(operation.output_shape))


def test_the_page_has_commands_for_aws() -> None:
    assert len(commands("aws")) >= 20


# The tool's own, and Docker's


def parsed(words: list[str]) -> click.Context:
    command = cli.get_command(click.Context(cli), words[0])
    assert command, words
    return command.make_context(words[0], list(words[1:]))


def test_the_tools_own_commands_are_understood() -> None:
    found = [words[1:] for words in commands("kaltura-archiver") if "|" not in words[-1]]
    assert len(found) >= 13
    for words in found:
        context = parsed(words)
        if inner := context.params.get("words"):
            parsed(shlex.split(inner))


def test_the_first_video_to_try_may_be_one_of_today(sandbox: Sandbox, run: Run) -> None:
    """The jobs take what was not played for years: the commands of the page are given by themselves."""
    now = int(sandbox.control.clock.now())
    entry_id = sandbox.add("initial", age_years=0.01, last_played_at=now - 600, plays=3)
    page = (ROOT / "README-AWS.md").read_text(encoding="utf-8").partition("## The first runs")[2].partition("## ")[0]
    lines = [line for line in page.splitlines() if line.startswith("    ") and "0_abc12345" in line]
    inner = [re.findall(r'--command "(.*)"', line) for line in lines]
    assert [words.split()[0] for found in inner for words in found] == ["s3copy", "replace_video", "restore"]
    for words in (words for found in inner for words in found):
        ran = run(*words.replace("0_abc12345", entry_id).split())
        assert ran.outcomes == {entry_id: "done"}, ran.err
    assert len(inner) == 3


# What scripts/image-test does not do, and why.
NOT_TRIED = {
    "docker push": "there is no registry",
    "docker login": "there is no registry",
    "docker buildx build": "there is one machine",
    "docker stop": "it sends the same SIGTERM by kill",
}


def test_what_docker_is_told_is_what_the_image_test_tells_it() -> None:
    said = IMAGE_TEST.replace(" -t ", " --tag ")
    tried = 0
    for words in commands("docker"):
        line = " ".join(words)
        if line.startswith(tuple(NOT_TRIED)):
            continue
        tried += 1
        assert words[1] in ("build", "run")
        for word in words[2:]:
            # --platform: the architecture of this machine is as good as any.
            assert not word.startswith("--") or word == "--platform" or f"{word} " in said, line
        if words[1] == "run":
            image = next(n for n, word in enumerate(words) if word.startswith("kaltura-archiver"))
            parsed(words[image + 1 :])
    assert tried >= 5


# Policies and figures


def test_the_policy_of_the_page_allows_what_the_jobs_need_together_and_no_more() -> None:
    """Each role of the template is just what its job needs (test_template.py)."""
    [policy] = [block for block in JSON_BLOCKS if block.get("Statement", [{}])[0].get("Effect") == "Allow"]
    stack = Stack(BucketName="BUCKET")
    needed = [s for job in JOBS for s in stack.statements(f"{job}Role") if s["Effect"] == "Allow"]
    given = {action for statement in policy["Statement"] for action in statement["Action"]}
    assert given == {action for statement in needed for action in statement["Action"]}
    statements = [{**s, "Resource": [s["Resource"]]} for s in policy["Statement"]]
    for statement in needed:
        for action in statement["Action"]:
            for resource in statement["Resource"]:
                assert allows(statements, action, resource.replace("*", "x")), (action, resource)


def test_what_the_idle_stack_costs_adds_up_and_names_its_alarms() -> None:
    [table] = re.findall(r"\| part \| price \| idle \| scheduled \|\n\|[-|]+\|\n(.*?)\n\n", PAGE, re.DOTALL)
    rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in table.splitlines()]
    *parts, together = rows
    for column in (2, 3):
        assert f"{sum(float(part[column]) for part in parts):.2f}" == together[column]
    idle, scheduled = (len(Stack(Schedules=s).of_type("AWS::CloudWatch::Alarm")) for s in ("DISABLED", "ENABLED"))
    assert f"{idle} alarms, {scheduled} with schedules" in table
    [alarms] = [part for part in parts if "alarms" in part[0]]
    assert [float(alarms[2]), float(alarms[3])] == [round(idle * 0.1, 2), round(scheduled * 0.1, 2)]


# Queries


@pytest.fixture
def lines(sandbox: Sandbox, run: Run) -> tuple[dict[str, str], list[str]]:
    """Entries by what came of them, and the log lines of a few days: in JSON, but for what the jobs say themselves."""
    about = {"copied": sandbox.add("initial"), "failed": sandbox.add("initial")}
    about |= {name: sandbox.add("placeholder", storage_class="GLACIER") for name in ("restored", "waiting")}
    sandbox.control.add_fault(
        "s3.PutObject", "error", subject=about["failed"], times=9, code="AccessDenied", status=403
    )
    said = ["archive: kaltura-archiver --log-format json s3copy"]

    def job(command: str, *names: str, act: bool = True) -> None:
        chosen = [word for name in names for word in ("--id", about[name])]
        # DEBUG: the more is said the more could slip out; `run` looks for secrets.
        ran = run("--log-format", "json", "--log-level", "DEBUG", command, *chosen, *(["--no-dry-run"] if act else []))
        said.extend(ran.err.splitlines())

    job("s3copy", "copied", "failed")
    job("restore", "restored", "waiting", act=False)
    job("restore", "restored")
    sandbox.control.clock.advance(13 * 3600)
    job("restore", "restored", "waiting")
    said.append("restore: error: DOIT must be true or false, not 'yes'")
    return about, said


def test_the_queries_find_what_they_are_for(lines: tuple[dict[str, str], list[str]]) -> None:
    about, said = lines
    found = insights.records(said)
    happened, waiting, wrong, runs = QUERIES
    rows = insights.query(happened.replace("0_abc12345", about["restored"]), found)
    told = [(row["mode"], row["said"].split(":")[0].split(" (")[0]) for row in rows if row["action"] == "restore"]
    told = [(mode, said) for mode, said in told if said.startswith(("would", "waiting", "done"))]
    assert told == [("DRYRUN", "would request a restore from Glacier"), ("EXEC", "waiting"), ("EXEC", "done")]

    [row] = insights.query(waiting, found)
    assert (row["entry"], row["now"]) == (about["waiting"], "waiting")
    assert row["why"].startswith("waiting: restore from GLACIER requested")
    assert said[int(row["since"])].count(about["waiting"])

    [row] = insights.query(wrong, found)
    assert (row["entry"], row["action"]) == (about["failed"], "s3copy")
    assert row["message"].startswith("failed: ")

    rows = insights.query(runs, found)
    shown = [(r["Command"], r["Done"], r["Failed"], r["Waiting"]) for r in rows]
    assert shown == [("restore", 1, 0, 1), ("restore", 0, 0, 1), ("s3copy", 1, 1, 0)]
    assert all(row[name] is not None for row in rows for name in row)

    widgets = json.loads(Stack().resources["Dashboard"]["Properties"]["DashboardBody"])["widgets"]
    [shown_there] = [widget["properties"]["query"] for widget in widgets if widget["type"] == "log"]
    rows = insights.query(shown_there, found)
    assert {row["action"] for row in rows} == {"s3copy", "restore"}
    assert not any("would" in row["message"] for row in rows)
