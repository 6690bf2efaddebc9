"""The scheduled jobs: what they run in which order, what ends them, and how they end."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import Ran, Run

from kaltura_archiver.sandbox.world import Sandbox

JOBS = Path(__file__).parents[2] / "jobs"

ARCHIVE = ["count", "count", "count", "s3copy", "s3copy", "replace_video", "count", "count", "count", "due"]
RESTORE = ["count", "count", "restore", "count", "count", "due"]

# Stands for kaltura-archiver: notes its arguments, and ends with the code that CODES has for its command.
STUB = """#!/bin/sh
printf '%s\\n' "$*" >>"$CALLS"
[ -z "${SLOW-}" ] || [ "$1" != "$SLOW" ] || {
    trap 'echo "entry finished" >>"$CALLS"; exit 143' TERM
    : >"$CALLS.slow"
    while :; do sleep 0.02; done
}
for code in $CODES; do
    [ "${code%=*}" != "$1" ] || case "${code#*=} $*" in
        3*"--tolerate 3") exit 0 ;;
        *) exit "${code#*=}" ;;
    esac
done
"""

# Stands for it too: has the test run the real one, here.
RELAY = """#!{python} -ISE
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as call:
    call.connect(os.environ["RELAY"])
    call.sendall(json.dumps(sys.argv[1:]).encode() + b"\\n")
    code, out, err = json.loads(call.makefile().read())
sys.stdout.write(out)
sys.stdout.flush()
sys.stderr.write(err)
sys.exit(code)
"""


@dataclass(frozen=True)
class Job:
    """What a job returned, printed and ran."""

    code: int
    out: str
    err: str
    calls: list[list[str]]

    @property
    def commands(self) -> list[str]:
        return [call[0] for call in self.calls]


def _program(folder: Path, text: str) -> dict[str, str]:
    """Put a `kaltura-archiver` before the real one; the environment in which it is found."""
    folder.mkdir(exist_ok=True)
    program = folder / "kaltura-archiver"
    program.write_text(text)
    program.chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}"}


Stubbed = Callable[..., Job]


@pytest.fixture
def stubbed(tmp_path: Path) -> Stubbed:
    """Run a job with a stub for the tool; `codes` are what its commands end with."""
    environ = _program(tmp_path / "bin", STUB)
    calls = tmp_path / "calls"

    def run_job(*job: str, codes_of: Mapping[str, int] | None = None, stdin: str = "", **variables: str) -> Job:
        calls.write_text("")
        codes = " ".join(f"{command}={code}" for command, code in (codes_of or {}).items())
        ended = subprocess.run(
            [JOBS / job[0], *job[1:]],
            env=environ | {"CALLS": str(calls), "CODES": codes} | variables,
            input=stdin,
            capture_output=True,
            encoding="utf-8",
            timeout=60,
            check=False,
        )
        lines = calls.read_text().splitlines()
        return Job(ended.returncode, ended.stdout, ended.stderr, [line.split(" ") for line in lines])

    return run_job


@pytest.fixture
def real(tmp_path: Path, run: Run) -> Callable[..., tuple[Job, list[Ran]]]:
    """Run a job whose commands are real ones on the sandbox, run by this process."""
    environ = _program(tmp_path / "relay", RELAY.format(python=sys.executable))
    address = str(tmp_path / "relay.socket")

    def run_job(job: str, **variables: str) -> tuple[Job, list[Ran]]:
        calls: list[list[str]] = []
        ran: list[Ran] = []
        with socket.socket(socket.AF_UNIX) as server, Path(tmp_path / "out").open("w+b") as out:
            server.bind(address)
            server.listen()
            server.settimeout(0.02)
            running = subprocess.Popen(
                [JOBS / job], env=environ | {"RELAY": address} | variables, stdout=out, stderr=subprocess.STDOUT
            )
            while running.poll() is None:
                try:
                    call, _ = server.accept()
                except TimeoutError:
                    continue
                with call, call.makefile() as lines:
                    call.settimeout(60)
                    arguments = json.loads(lines.readline())
                    result = run(*arguments)
                    calls.append(arguments)
                    ran.append(result)
                    call.sendall(json.dumps([result.code, result.out, result.err]).encode())
            out.seek(0)
            text = out.read().decode()
        os.unlink(address)
        return Job(running.returncode, text, "", calls), ran

    return run_job


@pytest.mark.parametrize(
    ("job", "variables", "says"),
    [
        ("archive", {}, "N_YEARS is not set"),
        ("restore", {"DOIT": "true"}, "N_YEARS is not set"),
        ("archive", {"N_YEARS": ""}, "N_YEARS is not set"),
        ("archive", {"N_YEARS": "three"}, "not 'three'"),
        ("archive", {"N_YEARS": "3 --all"}, "not '3 --all'"),
        ("archive", {"N_YEARS": "-3"}, "not '-3'"),
        ("restore", {"N_YEARS": "1.2.3"}, "not '1.2.3'"),
        ("restore", {"N_YEARS": "1."}, "not '1.'"),
        ("archive", {"N_YEARS": "0", "DOIT": "true"}, "more than 0"),
        ("archive", {"N_YEARS": "0.0", "DOIT": "true"}, "more than 0"),
        ("archive", {"N_YEARS": "3", "DOIT": "yes"}, "DOIT must be true or false, not 'yes'"),
        ("restore", {"N_YEARS": "3", "DOIT": "True"}, "DOIT must be true or false, not 'True'"),
        ("archive", {"N_YEARS": "3", "STRICT": "1"}, "STRICT must be true or false, not '1'"),
        ("health", {"STRICT": "on"}, "STRICT must be true or false, not 'on'"),
        ("health", {"N_YEARS": "three"}, "not 'three'"),
    ],
)
def test_wrong_settings_are_one_line_and_start_nothing(
    stubbed: Stubbed, job: str, variables: dict[str, str], says: str
) -> None:
    ended = stubbed(job, **variables)
    assert (ended.code, ended.calls, ended.out) == (2, [], "")
    assert says in ended.err
    assert ended.err.count("\n") == 1


@pytest.mark.parametrize("job", ["archive", "restore", "health"])
def test_what_is_a_jobs_own_and_stands_in_a_settings_file_is_not_left_unheeded(stubbed: Stubbed, job: str) -> None:
    Path(".env").write_text("KEEP_TAGS=exam\n  export SELECTION='--category 5'\n#MAX_COST=20\nMAX_BYTES=\n")
    ended = stubbed(job, N_YEARS="3")
    assert (ended.code, ended.calls) == (2, [])
    assert "SELECTION stands in .env, and is a job's own" in ended.err
    assert stubbed(job, N_YEARS="3", SELECTION="--category 5").code == 0


@pytest.mark.parametrize(
    ("codes", "expected", "strict"),
    [
        ({}, 0, 0),
        ({"s3copy": 3}, 0, 3),
        ({"s3copy": 1}, 1, 1),
        ({"s3copy": 1, "replace_video": 3}, 1, 1),
        ({"s3copy": 4, "replace_video": 3}, 4, 4),
        ({"s3copy": 3, "replace_video": 4}, 4, 4),
        ({"s3copy": 4, "replace_video": 1}, 1, 1),
        ({"s3copy": 1, "replace_video": 4}, 1, 1),
        ({"count": 1}, 1, 1),
        ({"due": 1}, 1, 1),
        ({"due": 3}, 0, 0),  # what is left was told by those that left it
    ],
)
def test_failing_entries_do_not_end_the_job_and_the_worst_status_counts(
    stubbed: Stubbed, codes: dict[str, int], expected: int, strict: int
) -> None:
    for variables, code in (({}, expected), ({"STRICT": "true"}, strict)):
        ended = stubbed("archive", codes_of=codes, N_YEARS="3", DOIT="true", **variables)
        assert ended.code == code
        # What the alarms count (aws/alarms.yaml).
        assert ended.err.splitlines()[-1] == f"archive: ended with status {code}"
        assert ended.commands == ARCHIVE
        *steps, due = ended.calls
        assert all((call[-2:] == ["--tolerate", "3"]) == (variables == {}) for call in steps)
        assert due[-2:] == ["--tolerate", "3"]


@pytest.mark.parametrize(
    ("code", "before", "told"), [(2, 1, 2), (5, 0, 5), (5, 3, 5), (137, 1, 137), (5, 1, 1)]
)  # fmt: skip
def test_what_no_later_command_can_mend_ends_the_job_at_once(
    stubbed: Stubbed, code: int, before: int, told: int
) -> None:
    """A lock after a failure is told as that: of 5 nobody hears, and the lock may be the failed command's own."""
    ended = stubbed("archive", codes_of={"s3copy": code, "count": before}, N_YEARS="3", DOIT="true")
    assert ended.code == told
    assert ended.commands == ARCHIVE[:4]
    assert "ended with status" not in ended.err


@pytest.mark.parametrize("variables", [{}, {"DOIT": ""}, {"DOIT": "false"}, {"DOIT": "false", "MAX_ENTRIES": "50"}])
def test_without_doit_every_acting_command_is_a_dry_run_of_one_entry(
    stubbed: Stubbed, variables: dict[str, str]
) -> None:
    for job, commands in (("archive", ARCHIVE), ("restore", RESTORE)):
        ended = stubbed(job, N_YEARS="2.5", **variables)
        assert ended.code == 0
        assert ended.commands == commands
        for call in ended.calls:
            if call[0] == "due":
                assert call[-4:] == ["--max-entries", "1", "--tolerate", "3"]
            elif call[0] != "count":
                assert call[-5:] == ["--max-entries", "1", "--dry-run", "--tolerate", "3"]


def test_variables_become_options_of_the_commands_they_are_for(stubbed: Stubbed) -> None:
    shared = {"N_YEARS": "3", "DOIT": "true", "WORKERS": "9", "SELECTION": "--category 7  --exclude-tag keep*"}
    Path("keepsake").touch()  # which the shell must not find
    ended = stubbed(
        "archive", STORAGE_CLASS="DEEP_ARCHIVE", MIN_AGE_YEARS="4", NOTICED_BEFORE="30d", MAX_ENTRIES="50",
        MAX_BYTES="2T", **shared,
    )  # fmt: skip
    selection = "--category 7 --exclude-tag keep*"
    calls = [" ".join(call) for call in ended.calls]
    assert calls[3:6] == [
        f"s3copy {selection} --tag archived_to_s3 --tag !flavors_deleted --unplayed-for 3 --storage-class DEEP_ARCHIVE "
        "--max-entries 50 --no-dry-run --max-bytes 2T --workers 9 --tolerate 3",
        f"s3copy {selection} --tag !archived_to_s3 --unplayed-for 3 --storage-class DEEP_ARCHIVE "
        "--max-entries 50 --no-dry-run --max-bytes 2T --workers 9 --tolerate 3",
        f"replace_video {selection} --tag archived_to_s3 --tag !flavors_deleted --unplayed-for 3 --min-age-years 4 "
        "--noticed-before 30d --max-entries 50 --no-dry-run --max-bytes 2T --workers 9 --tolerate 3",
    ]
    assert calls[:3] == calls[6:9]
    assert calls[9] == (
        f"due {selection} --years 3 --tag !flavors_deleted --min-age-years 4 --noticed-before 30d --max-entries 50 "
        "--workers 9 --tolerate 3"
    )
    assert all(call.startswith(f"count {selection} --tag ") for call in calls[:3])

    ended = stubbed("restore", TIER="standard", DAYS="3", MAX_COST="20", **shared)
    assert " ".join(ended.calls[2]) == (
        f"restore {selection} --tag flavors_deleted --played-within 3 --tier standard --days 3 "
        "--max-entries -1 --no-dry-run --max-cost 20 --workers 9 --tolerate 3"
    )
    assert " ".join(ended.calls[5]) == (
        f"due {selection} --years 3 --tag flavors_deleted --max-entries -1 --workers 9 --tolerate 3"
    )
    ended = stubbed("health", **shared)
    assert [" ".join(call) for call in ended.calls] == [
        f"health {selection} --max-entries -1 --workers 9 --tolerate 3",
        f"due {selection} --years 3 --max-entries -1 --workers 9 --tolerate 3",
    ]
    del shared["N_YEARS"]
    ended = stubbed("health", **shared)
    assert [" ".join(call) for call in ended.calls] == [f"health {selection} --max-entries -1 --workers 9 --tolerate 3"]
    for job in (["restore"], ["entry", "jobs/restore"], ["entry", "restore"]):
        ended = stubbed(*job, LOG_FORMAT="json", N_YEARS="3", **shared)
        assert ended.calls
        assert all(call[:2] == ["--log-format", "json"] for call in ended.calls)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="only Linux keeps a process on a core")
@pytest.mark.parametrize(("units", "one"), [("256", True), ("1024", True), ("2048", False), ("", False), ("x", False)])
def test_what_has_one_cpu_in_all_stays_on_one_core(tmp_path: Path, units: str, one: bool) -> None:
    environ = _program(tmp_path / "cores", "#!/bin/sh\nexec nproc\n")
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, range(os.cpu_count() or 1))  # the tests themselves stay on one
    try:
        cores = len(os.sched_getaffinity(0))
        ended = subprocess.run(
            [JOBS / "entry", "list"], env=environ | {"CPU_UNITS": units}, capture_output=True, text=True, check=False
        )
    finally:
        os.sched_setaffinity(0, allowed)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, f"{1 if one else cores}\n", "")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.parametrize("job", [("archive",), ("entry", "s3copy"), ("entry", "jobs/archive")])
def test_a_signal_reaches_the_command_whose_end_is_awaited(
    tmp_path: Path, job: tuple[str, ...], number: signal.Signals, code: int
) -> None:
    calls = tmp_path / "calls"
    environ = _program(tmp_path / "bin", STUB) | {"CALLS": str(calls), "CODES": "", "SLOW": "s3copy"}
    running = subprocess.Popen([JOBS / job[0], *job[1:]], env=environ | {"N_YEARS": "3", "DOIT": "true"})
    until = time.monotonic() + 60
    while not Path(f"{calls}.slow").exists() and time.monotonic() < until:
        time.sleep(0.02)
    running.send_signal(number)
    assert running.wait(60) == code
    last = [line.split()[0] for line in calls.read_text().splitlines()][-2:]
    assert last == ["s3copy", "entry"]


def test_the_entry_point_runs_jobs_and_hands_all_else_to_the_tool(stubbed: Stubbed, tmp_path: Path) -> None:
    assert stubbed("entry", "jobs/restore", N_YEARS="1").commands == RESTORE
    ended = stubbed("entry", "list", "--id", "0_a", codes_of={"list": 4}, DOIT="nonsense")
    assert (ended.code, ended.calls) == (4, [["list", "--id", "0_a"]])
    assert stubbed("entry", "jobs/common.sh").calls == [["jobs/common.sh"]]
    # stdin is the tool's: `--idfile -`.
    echo = _program(tmp_path / "echo", "#!/bin/sh\nexec cat\n")
    read = subprocess.run([JOBS / "entry", "s3copy"], env=echo, input=b"0_a\n", capture_output=True, check=False)
    assert read.stdout == b"0_a\n"
    closed = ["sh", "-c", 'exec "$0" s3copy <&-', JOBS / "entry"]
    assert subprocess.run(closed, env=echo, capture_output=True, check=False).returncode == 0


def test_the_archive_job_archives_all_but_the_entry_that_fails(
    sandbox: Sandbox, real: Callable[..., tuple[Job, list[Ran]]]
) -> None:
    good = [sandbox.add("initial"), sandbox.add("archived")]
    young, other = sandbox.add("initial", age_years=1), sandbox.add("initial", tags="keep")
    bad = sandbox.add("initial")
    sandbox.control.add_fault("s3.PutObject", "error", subject=bad, times=99, code="AccessDenied", status=403)

    before = len(sandbox.control.writes())
    job, ran = real("archive", N_YEARS="3", SELECTION="--tag !keep")
    assert job.code == 0
    assert [len(r.rows) for r in ran] == [1] * 10, "one entry at most in each step"
    job, _ = real("archive", N_YEARS="3", SELECTION="--no-dry-run")
    assert (job.code, job.commands) == (2, ["count"])
    assert len(sandbox.control.writes()) == before

    job, ran = real("archive", N_YEARS="3", SELECTION="--tag !keep", DOIT="true")
    assert job.code == 1
    assert ran[4].outcomes == {good[0]: "done", bad: "failed"}
    assert set(ran[5].outcomes.values()) == {"done"}
    assert set(ran[5].outcomes) == set(good)
    assert [r.rows[0]["count"] for r in ran if "count" in r.rows[0]] == ["2", "1", "0", "1", "0", "2"]
    assert not {young, other, bad} & set(sandbox.s3.keys())
    assert job.out.splitlines()[-2].endswith(" INFO due by 3 years: s3copy 1")


def _legacy(sandbox: Sandbox, content: bytes, **details: object) -> str:
    """An entry that the old tool has archived and not replaced: an object with neither metadata, tags nor checksum."""
    entry_id = sandbox.kaltura.add_entry(content, tags="archived_to_s3", created_at=1_500_000_000).id
    sandbox.s3.put(entry_id, content, checksum=False, **details)  # type: ignore[arg-type]
    return entry_id


def test_the_archive_job_proves_copies_of_the_old_tool_and_replaces_their_originals(
    sandbox: Sandbox, real: Callable[..., tuple[Job, list[Ran]]]
) -> None:
    large = sandbox.video() + bytes(17 * 2**20)
    legacy = [
        _legacy(sandbox, large if part_bytes else sandbox.video(), part_bytes=part_bytes, storage_class=storage_class)
        for storage_class in ("STANDARD", "GLACIER", "DEEP_ARCHIVE")
        for part_bytes in (None, 8 * 2**20)
    ]
    other = _legacy(sandbox, sandbox.video())
    sandbox.s3.put(other, (sandbox.s3.body(other) or b"")[:-1] + b"?", checksum=False)
    new = sandbox.add("initial")
    job, ran = real("archive", N_YEARS="3", DOIT="true")
    assert job.code == 0
    assert ran[3].outcomes == dict.fromkeys(legacy, "done") | {other: "refused"}
    assert ran[4].outcomes == {new: "done"}
    assert ran[5].outcomes == dict.fromkeys([*legacy, new], "done") | {other: "refused"}
    # Nothing was thawed, nor read from the bucket; the original was compared with what S3 knows of the copy.
    assert sandbox.control.requests("s3.RestoreObject") == []
    assert {request.subject for request in sandbox.control.requests("s3.GetObject")} & {*legacy, other} == set()
    assert job.out.splitlines()[-2].endswith(" INFO due by 3 years: nothing; left as they are: refused 1")


def test_a_frozen_copy_that_cannot_be_compared_waits_for_a_person_and_is_read_once(
    sandbox: Sandbox, real: Callable[..., tuple[Job, list[Ran]]]
) -> None:
    sandbox.s3.settings.kms = True
    entry_id = _legacy(sandbox, sandbox.video(), storage_class="GLACIER")
    for variables, code in (({}, 0), ({"STRICT": "true"}, 3), ({}, 0)):
        job, ran = real("archive", N_YEARS="3", DOIT="true", **variables)
        assert (job.code, ran[3].outcomes, ran[5].outcomes) == (code, {entry_id: "refused"}, {entry_id: "refused"})
        told = "refused 1 (1 frozen and not to be compared: verify --request, or s3copy --accept-size-match)"
        assert told in ran[5].err
        assert job.out.splitlines()[-2].endswith(f" INFO due by 3 years: nothing; left as they are: {told}")
    assert len(sandbox.control.requests("file.GET")) == 1
    assert sandbox.control.requests("s3.RestoreObject") == []


def test_two_years_are_two_years(sandbox: Sandbox, real: Callable[..., tuple[Job, list[Ran]]]) -> None:
    entry_id = sandbox.add("initial", age_years=2.5)
    job, ran = real("archive", N_YEARS="2", DOIT="true", MIN_AGE_YEARS="3")
    assert (job.code, ran[5].outcomes) == (0, {entry_id: "skipped"})
    assert "skipped 1 (1 too young: --min-age-years)" in ran[5].err
    last = "due by 2 years: nothing; left as they are: skipped 1 (1 too young: --min-age-years)"
    assert job.out.splitlines()[-2].endswith(f" INFO {last}")
    job, ran = real("archive", N_YEARS="2", DOIT="true")
    assert (job.code, ran[5].outcomes) == (0, {entry_id: "done"})
    assert job.out.splitlines()[-2].endswith(" INFO due by 2 years: nothing")


def test_an_entry_without_original_keeps_no_other_from_being_replaced(
    sandbox: Sandbox, real: Callable[..., tuple[Job, list[Ran]]]
) -> None:
    for variables, code in (({}, 0), ({"STRICT": "true"}, 3)):
        good, empty = sandbox.add("initial"), sandbox.add("empty")
        job, ran = real("archive", N_YEARS="3", DOIT="true", **variables)
        assert job.code == code
        assert (ran[4].outcomes[empty], ran[4].outcomes[good]) == ("refused", "done")
        assert ran[5].outcomes == {good: "done"}


def test_the_restore_job_waits_without_failing_then_restores_and_health_is_one_table(
    sandbox: Sandbox, real: Callable[..., tuple[Job, list[Ran]]]
) -> None:
    wanted = sandbox.add("placeholder", storage_class="GLACIER")
    sandbox.kaltura.edit(wanted, plays=1, last_played_at=int(sandbox.control.clock.now()))
    others = [sandbox.add("placeholder", storage_class="GLACIER", last_played_at=None), sandbox.add("archived")]

    job, ran = real("restore", N_YEARS="1", DOIT="true")
    assert (job.code, ran[2].outcomes) == (0, {wanted: "waiting"})
    job, ran = real("restore", N_YEARS="1", DOIT="true", STRICT="true")
    assert (job.code, ran[2].outcomes) == (3, {wanted: "waiting"})
    sandbox.control.clock.advance(13 * 3600)
    job, ran = real("restore", N_YEARS="1", DOIT="true")
    assert (job.code, ran[2].outcomes) == (0, {wanted: "done"})
    assert [r.rows[0]["count"] for r in ran[:5] if "count" in r.rows[0]] == ["1", "2", "0", "1"]

    assert job.out.splitlines()[-2].endswith(" INFO due by 1 year: nothing")

    job, ran = real("health")
    assert (job.code, job.commands) == (0, ["health"])
    assert sorted(row["entry_id"] for row in ran[0].rows) == sorted([wanted, *others])
    assert ran[0].out in job.out
    assert job.out.count("entry_id\t") == 1


def test_the_restore_job_tells_of_young_placeholders_and_thaws_none_that_nobody_asked_for(
    sandbox: Sandbox, real: Callable[..., tuple[Job, list[Ran]]]
) -> None:
    """The second half of restore.rc. What a person had replaced by --min-age-years is not undone by a schedule."""
    young = sandbox.add("placeholder", storage_class="GLACIER", age_years=2)
    for variables in ({}, {"STRICT": "true"}):
        job, ran = real("restore", N_YEARS="3", DOIT="true", **variables)
        assert (job.code, ran[2].rows) == (0, [])
        assert [(row["entry_id"], row["command"]) for row in ran[5].rows] == [(young, "restore")]
        assert job.out.splitlines()[-2].endswith(" INFO due by 3 years: restore 1")
    assert sandbox.control.requests("s3.RestoreObject") == []


def test_the_health_job_tells_what_breaks_the_rule_of_years(
    sandbox: Sandbox, real: Callable[..., tuple[Job, list[Ran]]]
) -> None:
    """What health.rc did; that there is any is a status only to who is STRICT."""
    breaking = {sandbox.add("initial"): "s3copy", sandbox.add("archived"): "replace_video"}
    played = sandbox.add("placeholder")
    sandbox.kaltura.edit(played, plays=1, last_played_at=int(sandbox.control.clock.now()))
    breaking[played] = "restore"
    sandbox.add("initial", age_years=1)
    for variables, code in (({}, 0), ({"STRICT": "true"}, 3)):
        job, ran = real("health", N_YEARS="3", **variables)
        assert (job.code, job.commands) == (code, ["health", "due"])
        assert {row["entry_id"]: row["command"] for row in ran[1].rows} == breaking
        assert job.out.splitlines()[-2].endswith(" INFO due by 3 years: s3copy 1, replace_video 1, restore 1")


def test_the_health_job_finds_the_installed_program(sandbox: Sandbox) -> None:
    broken, whole = sandbox.add("lost"), sandbox.add("archived")
    installed = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    installed |= {name: value for name, value in os.environ.items() if name == "PYTHONPATH"}
    ended = subprocess.run(
        [JOBS / "health"], env=sandbox.environ() | installed, capture_output=True, encoding="utf-8", check=False
    )
    assert ended.returncode == 1
    header, *rows = ended.stdout.splitlines()
    assert header.startswith("entry_id\t")
    assert sorted(row.split("\t")[0] for row in rows) == sorted([broken, whole])
    assert shlex.join(["kaltura-archiver", "health", "--max-entries", "-1"]) in ended.stderr


@pytest.mark.parametrize(("job", "part"), [("archive", "rules"), ("restore", "restore")])
def test_with_a_policy_a_job_carries_it_out_and_nothing_else(stubbed: Stubbed, job: str, part: str) -> None:
    told = stubbed(job, POLICY="s3:settings/policy.toml", WORKERS="2")
    words = ["run", "s3:settings/policy.toml", "--part", part, "--dry-run", "--workers", "2", "--tolerate", "3"]
    assert (told.code, told.calls) == (0, [words])
    acted = stubbed(job, POLICY="policy.toml", DOIT="true", STRICT="true", codes_of={"run": 4})
    assert (acted.code, acted.calls) == (4, [["run", "policy.toml", "--part", part, "--no-dry-run"]])
    refused = stubbed(job, POLICY="policy.toml", SELECTION="--tag x")
    assert (refused.code, refused.calls) == (2, [])
    assert "POLICY and SELECTION" in refused.err
    for name, value in {"MAX_ENTRIES": "10", "MAX_COST": "20", "MAX_BYTES": "1G"}.items():
        limited = stubbed(job, POLICY="policy.toml", **{name: value})
        assert (limited.code, limited.calls) == (2, [])
        assert "[rule.limits] and [restore.limits]" in limited.err
    assert stubbed(job, POLICY="policy.toml", MAX_ENTRIES="-1").code == 0
    assert stubbed(job, POLICY="policy.toml", DOIT="yes").code == 2


def test_with_a_policy_a_thawed_copy_s_event_has_its_restores_carried_out(stubbed: Stubbed) -> None:
    told = stubbed("restore", POLICY="s3:settings/policy.toml", SELECTION="--id 0_abc12345", DOIT="true")
    assert (told.code, [call[:4] for call in told.calls]) == (
        0,
        [["run", "s3:settings/policy.toml", "--part", "restore"]],
    )
    assert stubbed("archive", POLICY="policy.toml", SELECTION="--id 0_abc12345").code == 2


def test_health_tells_where_everything_stands_in_the_policy(stubbed: Stubbed) -> None:
    told = stubbed("health", POLICY="policy.toml", N_YEARS="3", SELECTION="--tag x")
    assert [call[0] for call in told.calls] == ["health", "run"]
    assert told.calls[0][:3] == ["health", "--tag", "x"]
    assert told.calls[1] == ["run", "policy.toml", "--check", "--tolerate", "3"]


@pytest.mark.parametrize("job", ["archive", "restore", "health"])
def test_a_job_that_does_not_find_the_tool_says_what_to_do(job: str, tmp_path: Path) -> None:
    """As from cron, which knows nothing of the environment that the tool is in."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("sh", "dirname", "cut", "taskset"):
        (tools / name).symlink_to(f"/bin/{name}" if Path("/bin", name).exists() else f"/usr/bin/{name}")
    ended = subprocess.run([JOBS / job], env={"PATH": str(tools)}, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "kaltura-archiver is not on the PATH: activate its environment" in ended.stderr


def test_the_restore_job_tells_of_what_a_run_that_was_cut_has_left(
    sandbox: Sandbox, real: Callable[..., tuple[Job, list[Ran]]]
) -> None:
    cut = sandbox.add("unsettled")
    for job_name in ("archive", "restore"):
        job, ran = real(job_name, N_YEARS="3", DOIT="true")
        assert job.code == 0
        told = [(cut, "repair")] if job_name == "restore" else []
        assert [(row["entry_id"], row["command"]) for row in ran[-1].rows] == told
    assert job.out.splitlines()[-2].endswith(" INFO due by 3 years: repair 1")
