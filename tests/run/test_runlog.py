"""What a run leaves in the bucket, and the metrics in its last log line: each run once, whole, and without secrets."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from conftest import Ran, Run

from kaltura_archiver import __version__
from kaltura_archiver.config import read_settings
from kaltura_archiver.model import Outcome
from kaltura_archiver.output.summary import METRICS, Totals
from kaltura_archiver.results import Result, Traffic
from kaltura_archiver.run import lock, runlog
from kaltura_archiver.run import run as acting
from kaltura_archiver.run.runlog import RunLog, read
from kaltura_archiver.sandbox.control import Request
from kaltura_archiver.sandbox.world import Sandbox
from kaltura_archiver.store import Store

# The fixture `run` does without them.
LOCK, RUN_LOG = acting._lock, acting._run_log
ISO = r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ"
RUN_FIELDS = [
    *("kind", "run", "command", "started", "ended", "outcomes", "seconds", "bytes_moved", "bytes_freed"),
    *("kaltura_calls", "s3_calls", "retries", "exit", "filter", "version"),
]
ENTRY_FIELDS = [
    *("kind", "run", "command", "entry", "outcome", "state", "at", "bytes_moved", "bytes_freed", "last_played_at"),
]


@pytest.fixture(autouse=True)
def _with_run_log(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    del run
    monkeypatch.setattr(acting, "_run_log", RUN_LOG)


@pytest.fixture
def store(sandbox: Sandbox, run: Run) -> Store:
    """`run` sets the environment."""
    del sandbox, run
    return Store(read_settings(), read_only=False)


def logs(sandbox: Sandbox) -> dict[str, list[Any]]:
    """Key to lines, of every object of the run log; none holds a secret."""
    found = {}
    for key in sandbox.s3.keys():  # noqa: SIM118 - not a dict
        if key.startswith("log/runs/"):
            text = (sandbox.s3.body(key) or b"").decode()
            assert not [secret for secret in sandbox.secrets() if secret in text]
            found[key] = [json.loads(line) for line in text.splitlines()]
    return found


def only(sandbox: Sandbox) -> list[Any]:
    [lines] = logs(sandbox).values()
    return lines


def ids(*entries: str) -> list[str]:
    return [word for entry in entries for word in ("--id", entry)]


def test_a_run_leaves_its_totals_and_a_line_for_each_entry_that_came_of_it(sandbox: Sandbox, run: Run) -> None:
    good = sandbox.add("initial", plays=3, last_played_at=1_690_000_000)
    never = sandbox.add("initial", last_played_at=None)
    bad, done, refused = sandbox.add("initial"), sandbox.add("archived"), sandbox.add("diverged")
    sandbox.control.add_fault("s3.PutObject", "error", subject=bad, times=9, code="AccessDenied", status=403)
    ran = run("s3copy", *ids(good, never, bad, done, refused), "--no-dry-run")
    assert ran.code == 1
    [(key, [whole, *entries])] = logs(sandbox).items()
    assert re.fullmatch(rf"log/runs/20\d\d/\d\d/20\d{{6}}T\d{{6}}Z-s3copy-{whole['run']}\.jsonl", key)
    assert key.split("/")[2:4] == [whole["started"][:4], whole["started"][5:7]]
    assert whole["started"] == f"{key[17:21]}-{key[21:23]}-{key[23:28]}:{key[28:30]}:{key[30:33]}"
    assert list(whole) == RUN_FIELDS
    assert f"run={whole['run']} " in ran.err
    assert re.fullmatch(ISO, whole["started"])
    assert whole["started"] <= whole["ended"]
    size = len(sandbox.s3.body(good) or b"") + len(sandbox.s3.body(never) or b"")
    assert (whole["kind"], whole["command"], whole["exit"], whole["version"]) == ("run", "s3copy", 1, __version__)
    assert whole["outcomes"] == {"done": 2, "failed": 1, "already": 1, "refused": 1}
    assert (whole["bytes_moved"], whole["bytes_freed"]) == (size, 0)
    assert good in whole["filter"]
    # What is as it was, or waits for a person, is no news.
    assert {line["entry"]: line["outcome"] for line in entries} == {good: "done", never: "done", bad: "failed"}
    for line in entries:
        assert list(line) == ENTRY_FIELDS
        assert (line["kind"], line["run"], line["command"]) == ("entry", whole["run"], "s3copy")
        assert whole["started"] <= line["at"] <= whole["ended"]
        assert line["state"] == "initial"
    about = {line["entry"]: line for line in entries}
    assert about[good]["bytes_moved"] == len(sandbox.s3.body(good) or b"")
    assert [about[entry]["last_played_at"] for entry in (good, never)] == [1_690_000_000, None]


def test_every_command_that_acts_leaves_one(sandbox: Sandbox, run: Run) -> None:
    frozen, half = sandbox.add("placeholder", storage_class="GLACIER"), sandbox.add("half-tagged")
    content = bytes(20 * len(sandbox.placeholder))
    archived = sandbox.add("archived", content=content)
    run("replace_video", "--id", archived, "--no-dry-run")
    run("restore", "--id", frozen, "--no-dry-run")
    run("repair", "--id", half, "--no-dry-run")
    run("verify", "--id", half, "--no-dry-run")
    lines = [line for found in logs(sandbox).values() for line in found]
    about = {line["command"]: line for line in lines if line["kind"] == "entry"}
    assert {command: (line["outcome"], line["state"]) for command, line in about.items()} == {
        "replace_video": ("done", "archived"),
        "restore": ("waiting", "placeholder"),
        "repair": ("done", "half-tagged"),
        "verify": ("done", "placeholder"),
    }
    assert about["replace_video"]["bytes_freed"] == len(content) - len(sandbox.placeholder)
    codes = {line["command"]: line["exit"] for line in lines if line["kind"] == "run"}
    assert codes == {"replace_video": 0, "restore": 3, "repair": 0, "verify": 0}


def test_a_run_without_anything_to_do_leaves_one_too(sandbox: Sandbox, run: Run) -> None:
    assert run("restore", "--tag", "flavors_deleted", "--no-dry-run").code == 0
    [whole] = only(sandbox)
    assert (whole["outcomes"], whole["exit"]) == ({}, 0)
    assert "flavors_deleted" in whole["filter"]


def test_dry_runs_and_those_who_do_not_want_it_leave_none(sandbox: Sandbox, run: Run) -> None:
    entry = sandbox.add("initial")
    assert run("s3copy", "--id", entry).code == 0
    assert run("s3copy", "--id", entry, "--no-dry-run", "--no-run-log").code == 0
    assert run("verify", "--id", entry).code == 0
    assert run("verify", "--id", entry, "--no-dry-run", "--no-run-log").code == 0
    assert not logs(sandbox)


def test_a_run_that_did_not_get_the_lock_leaves_none(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acting, "_lock", LOCK)
    sandbox.s3.put("locks/s3copy.json", json.dumps({"run": "other", "expires": time.time() + 60}).encode())
    ran = run("s3copy", "--id", sandbox.add("initial"), "--no-dry-run")
    assert (ran.code, len(ran.err.splitlines())) == (5, 1)
    assert not logs(sandbox)


def stop_at(sandbox: Sandbox, operation: str, number: int = signal.SIGTERM) -> None:
    def tell(_: Request) -> None:
        os.kill(os.getpid(), number)

    sandbox.control.add_fault(operation, before=tell)


def test_what_was_done_before_a_signal_is_logged(sandbox: Sandbox, run: Run) -> None:
    entries = [sandbox.add("initial") for _ in range(5)]
    stop_at(sandbox, "s3.PutObject")
    ran = run("s3copy", *ids(*entries), "--no-dry-run", "--workers", 1)
    whole, *lines = only(sandbox)
    assert (ran.code, whole["exit"]) == (143, 143)
    done = [entry for entry, outcome in ran.outcomes.items() if outcome == "done"]
    assert [line["entry"] for line in lines] == done
    assert sum(whole["outcomes"].values()) < len(entries)


def test_a_run_that_was_stopped_or_failed_while_it_selected_says_so(sandbox: Sandbox, run: Run) -> None:
    sandbox.add("initial")
    stop_at(sandbox, "*.searchEntry")
    assert run("s3copy", "--all", "--no-dry-run").code == 143
    sandbox.control.add_fault("*.searchEntry", "error", code="UNKNOWN_PARTNER_ID", times=9)
    assert run("restore", "--all", "--no-dry-run").code == 1
    found = {line["command"]: (line["exit"], line["outcomes"]) for lines in logs(sandbox).values() for line in lines}
    assert found == {"s3copy": (143, {}), "restore": (1, {})}


def test_a_run_that_lost_its_lock_says_so(sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acting, "_lock", LOCK)
    monkeypatch.setattr(lock, "LOCK_SECONDS", 0.4)
    entries = [sandbox.add("initial") for _ in range(2)]

    def take(_: Request) -> None:
        sandbox.s3.put("locks/s3copy.json", json.dumps({"run": "other", "expires": time.time() + 60}).encode())
        renewed = len(sandbox.control.requests("s3.GetObject"))
        while len(sandbox.control.requests("s3.GetObject")) == renewed:  # it looks who has its lock
            time.sleep(0.01)

    sandbox.control.add_fault("s3.PutObject", subject=entries[0], after=take)
    ran = run("s3copy", *ids(*entries), "--no-dry-run", "--workers", 1)
    whole, *_ = only(sandbox)
    assert (ran.code, whole["exit"]) == (5, 5)


def test_requests_and_retries_are_counted(sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kaltura_archiver.kaltura.Kaltura._pause", lambda self, seconds: False)
    entries = [sandbox.add("archived") for _ in range(3)]
    sandbox.control.add_fault("uploadToken.add", "error", code="ACTION_BLOCKED")
    sandbox.control.add_fault("flavorAsset.getUrl", "http_500", times=2)
    sandbox.control.add_fault("s3.HeadObject", "http_503")
    sandbox.kaltura.settings.conversion_seconds = 0
    assert run("replace_video", *ids(*entries), "--no-dry-run").code == 0
    whole, *_ = only(sandbox)
    parts = sum(len(r.parameters["calls"]) for r in sandbox.control.requests("multirequest"))
    asked = [r for r in sandbox.control.requests() if r.server == "kaltura"]
    to_s3 = [r for r in sandbox.control.requests() if r.server == "s3" and not r.subject.startswith("log/")]
    assert whole["kaltura_calls"] == len(asked) - parts
    assert whole["s3_calls"] == len(to_s3)
    assert whole["retries"] == 4


# Parts


def result(number: int) -> Result:
    return Result(f"0_{number:08d}", "initial", Outcome.DONE, "copied", 5, 0, ended_at=1_760_000_000.0 + number)


@pytest.fixture
def new_log(store: Store) -> Callable[[], RunLog]:
    def make() -> RunLog:
        totals = Totals(lambda: Traffic(1, 2, 3))
        return RunLog(store, "s3copy", run="ab12cd34", selection="all", totals=totals)

    return make


def test_a_long_log_comes_in_small_parts_that_no_lifecycle_rule_freezes(
    sandbox: Sandbox, store: Store, new_log: Callable[[], RunLog]
) -> None:
    with new_log() as run_log:
        for number in range(2000):
            run_log.add(result(number))
            # What is held does not grow with the run.
            assert len(run_log._first) + len(run_log._part) < 1300
    sizes = {key: len(sandbox.s3.body(key) or b"") for key in logs(sandbox)}
    assert [key.partition("ab12cd34")[2] for key in sizes] == [
        ".jsonl", ".part00002.jsonl", ".part00003.jsonl", ".part00004.jsonl",
    ]  # fmt: skip
    assert max(sizes.values()) < 128 * 1024
    first, *rest = read(store)
    assert (first["kind"], first["kaltura_calls"], first["retries"]) == ("run", 1, 3)
    assert [line["entry"] for line in rest] == [f"0_{number:08d}" for number in range(2000)]


def test_a_run_that_is_killed_leaves_the_parts_it_has_written(store: Store, new_log: Callable[[], RunLog]) -> None:
    run_log = new_log()
    for number in range(2000):
        run_log.add(result(number))
    found = [line["entry"] for line in read(store)]  # and no more is heard of that run
    assert len(found) > 1000
    assert found == sorted(found)


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_whatever_ends_a_run_it_is_logged(store: Store, new_log: Callable[[], RunLog], error: type) -> None:
    def work() -> None:
        with new_log() as run_log:
            run_log.add(result(1))
            raise error

    with pytest.raises(error):
        work()
    whole, line = read(store)
    assert (whole["exit"], line["entry"]) == (130 if error is KeyboardInterrupt else 1, "0_00000001")


# Trouble


def test_a_log_that_cannot_be_written_is_one_warning_and_no_failure(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runlog, "PART_BYTES", 300)
    sandbox.control.add_fault("s3.PutObject", "error", subject="log/*", times=9, code="AccessDenied", status=403)
    entries = [sandbox.add("initial") for _ in range(6)]
    ran = run("s3copy", *ids(*entries), "--no-dry-run")
    assert ran.code == 0
    warnings = [line for line in ran.err.splitlines() if " WARNING " in line]
    assert len(warnings) == 1
    assert "the log of this run is not whole: write log/runs/20" in warnings[0]
    assert "access denied" in warnings[0]
    # Nothing is said in vain six times; what matters most is tried again.
    tried = [r.subject for r in sandbox.control.requests("s3.PutObject") if r.subject.startswith("log/")]
    assert [".part00002." in key for key in tried] == [True, False]


def test_an_answer_that_was_lost_is_no_trouble(sandbox: Sandbox, run: Run) -> None:
    sandbox.control.add_fault("s3.PutObject", "drop_after", subject="log/*")
    ran = run("s3copy", "--id", sandbox.add("initial"), "--no-dry-run")
    assert (ran.code, "WARNING" in ran.err) == (0, False)
    assert len(only(sandbox)) == 2


@pytest.mark.parametrize("line", [
    "", "?", "[]", "17", '{"kind": "run"}', '{"kind": []}', '{"kind": "entry", "run": "a"}', "[" * 9000,
    '{"kind":"entry","run":"a","command":"restore","entry":"0_a","outcome":"done","state":"x","at":"2026-01-01T00:00:00Z",'
    '"bytes_moved":"1","bytes_freed":0,"last_played_at":null}',
])  # fmt: skip
def test_what_is_no_line_of_a_log_is_left_out(
    sandbox: Sandbox, store: Store, new_log: Callable[[], RunLog], caplog: pytest.LogCaptureFixture, line: str
) -> None:
    with new_log() as run_log:
        run_log.add(result(1))
    [key] = logs(sandbox)
    body = sandbox.s3.body(key) or b""
    sandbox.s3.put(f"{key}.jsonl", line.encode() + b"\n" + body)
    # The old tool's files, and others.
    for other in ("log/2019.txt", "log/runs/README", "log/runs.jsonl"):
        sandbox.s3.put(other, b"hello\n")
    sandbox.s3.put("log/runs/2026/01/frozen.jsonl", body, storage_class="DEEP_ARCHIVE")
    with caplog.at_level("WARNING"):
        assert [found["kind"] for found in read(store)] == ["run", "entry"] * 2
    assert [record.getMessage() for record in caplog.records] == [
        "2 lines or frozen objects under log/runs/ are no run's log: they are left out"
    ]


def test_health_is_not_led_astray_by_logs(sandbox: Sandbox, run: Run) -> None:
    entries = [sandbox.add("archived") for _ in range(60)]
    for number in range(1500):
        sandbox.s3.put(f"log/runs/2026/11/20261125T000000Z-s3copy-{number:08x}.jsonl", b"")
    sandbox.s3.put("log/0_abc12345", b"the old tool's")
    ran = run("--log-level", "DEBUG", "health", "--tag", "archived_to_s3")
    assert ran.code == 0
    assert f"in a listing of {len(entries) + 1501} keys" in ran.err
    assert {row["status-ok"] for row in ran.rows} == {"True"}


# Metrics


def last_line(ran: Ran) -> Any:
    return json.loads(ran.err.splitlines()[-1])


def numbers(value: object) -> Iterator[object]:
    yield from value if isinstance(value, list) else [value]


def test_the_last_line_of_a_run_is_an_embedded_metric_format_document(sandbox: Sandbox, run: Run) -> None:
    """As CloudWatch's specification of the format, and its JSON schema, have it."""
    good, bad, frozen = (
        sandbox.add("initial"),
        sandbox.add("initial"),
        sandbox.add("placeholder", storage_class="GLACIER"),
    )
    sandbox.control.add_fault("s3.PutObject", "error", subject=bad, times=9, code="AccessDenied", status=403)
    before = time.time() * 1000
    copied = run("--log-format", "json", "s3copy", *ids(good, bad), "--no-dry-run")
    restored = run("--log-format", "json", "restore", "--id", frozen, "--no-dry-run")
    for ran, command in ((copied, "s3copy"), (restored, "restore")):
        line = last_line(ran)
        assert len(ran.err.splitlines()[-1].encode()) < 16_000  # awslogs would cut it
        assert set(line["_aws"]) == {"Timestamp", "CloudWatchMetrics"}
        assert type(line["_aws"]["Timestamp"]) is int
        assert before <= line["_aws"]["Timestamp"] <= time.time() * 1000
        [directive] = line["_aws"]["CloudWatchMetrics"]
        assert set(directive) == {"Namespace", "Dimensions", "Metrics"}
        assert 1 <= len(directive["Namespace"]) <= 255
        for dimensions in directive["Dimensions"]:
            assert len(dimensions) <= 9
            assert all(isinstance(line[name], str) and 1 <= len(line[name]) <= 255 for name in dimensions)
        assert len(directive["Metrics"]) <= 100
        for metric in directive["Metrics"]:
            assert set(metric) == {"Name", "Unit"}
            assert metric["Unit"] in ("Count", "Bytes", "Seconds")
            assert all(type(number) in (int, float) for number in numbers(line[metric["Name"]]))
        assert [metric["Name"] for metric in directive["Metrics"]] == [name for name, *_ in METRICS]
        assert (line["Bucket"], line["Command"]) == (sandbox.s3.bucket, command)
        assert line["message"].startswith("summary: ")
    size = len(sandbox.s3.body(good) or b"")
    line = last_line(copied)
    assert [line[name] for name in ("Done", "Failed", "Waiting", "BytesMoved", "BytesFreed")] == [1, 1, 0, size, 0]
    assert line["KalturaCalls"] > 5
    assert line["S3Calls"] > 5
    assert last_line(restored)["Waiting"] == 1


def test_text_lines_and_dry_runs_have_no_metrics(sandbox: Sandbox, run: Run) -> None:
    entry = sandbox.add("initial")
    assert "_aws" not in run("--log-format", "json", "s3copy", "--id", entry).err
    assert "_aws" not in run("s3copy", "--id", entry, "--no-dry-run").err
