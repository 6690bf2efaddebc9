"""The one way to write a file, at each place that writes one; and what comes out where others read it."""

from __future__ import annotations

import ast
import csv
import io
import json
import logging
import os
import resource
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import Any

import pytest
from conftest import Run
from looking import writes

from kaltura_archiver.cli import cli
from kaltura_archiver.errors import OutputError
from kaltura_archiver.model import State
from kaltura_archiver.output import files
from kaltura_archiver.output.logs import readable, set_up_logging
from kaltura_archiver.output.tables import Rows, csv_cell
from kaltura_archiver.sandbox.world import Sandbox

PACKAGE = Path(files.__file__).parents[1]


def mode(path: Path | str) -> int:
    return stat.S_IMODE(os.lstat(path).st_mode)


@pytest.fixture
def generous_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


# The way itself


@pytest.mark.usefixtures("generous_umask")
def test_a_file_is_private_and_whole_or_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "file"
    files.write(path, b"first")
    assert (path.read_bytes(), mode(path)) == (b"first", 0o600)

    def failing() -> None:
        with files.written(path) as file:
            file.write(b"second")
            assert path.read_bytes() == b"first"
            raise KeyError

    with pytest.raises(KeyError):
        failing()
    assert path.read_bytes() == b"first"
    assert os.listdir(tmp_path) == ["file"]
    files.write(path, b"third", mode=0o644)
    assert (path.read_bytes(), mode(path)) == (b"third", 0o644)


def test_nothing_is_written_through_a_link_nor_to_a_device(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "link").symlink_to("precious")
    (tmp_path / "dangling").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe")
    for name, words in (("link", "is a link"), ("dangling", "is a link"), ("pipe", "no ordinary file"), (".", "file")):
        with pytest.raises(OutputError, match=words):
            files.write(tmp_path / name, b"x")
    assert (tmp_path / "precious").read_text() == "precious"
    assert not (tmp_path / "nowhere").exists()


def test_a_file_that_comes_meanwhile_is_not_replaced_unless_it_may(tmp_path: Path) -> None:
    path = tmp_path / "file"

    def racing() -> None:
        with files.written(path, replace=False) as file:
            file.write(b"mine")
            path.write_text("yours")

    with pytest.raises(OutputError, match="it exists"):
        racing()
    assert path.read_text() == "yours"
    assert os.listdir(tmp_path) == ["file"]


def test_a_name_that_somebody_could_foresee_is_not_used(tmp_path: Path) -> None:
    seen = set()
    for _ in range(3):
        with files.written(tmp_path / "file") as file:
            file.write(b"x")
            (part,) = set(os.listdir(tmp_path)) - {"file"}
            assert mode(tmp_path / part) == 0o600
            seen.add(part)
    assert len(seen) == 3


def test_no_other_place_opens_a_file_to_write() -> None:
    """The record of messages is appended to, under its lock; /dev/null is no file; the sandbox is a test's."""
    allowed = {("ledger.py", "os.open"), ("streams.py", "os.open"), ("streams.py", "open"), ("files.py", "os.open")}
    found = set()
    for path in set(PACKAGE.rglob("*.py")) - set(PACKAGE.glob("sandbox/**/*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            name = ast.unparse(node.func)
            given = [*node.args, *(keyword.value for keyword in node.keywords)]
            modes = [word.value for word in given if isinstance(word, ast.Constant) and isinstance(word.value, str)]
            writing = any(set(word) <= set("rwaxbt+") and set(word) & set("wax+") for word in modes)
            opens = name == "open" or name.endswith((".open", ".fdopen"))
            low = name in ("os.open", "tempfile.mkstemp", "os.replace") or name.endswith(
                (".write_text", ".write_bytes")
            )
            if low or (opens and writing):
                found.add((path.name, name))
    assert {(file, name) for file, name in found if file != "files.py"} <= allowed | {
        ("placeholder_video.py", "av.open")
    }


# Each command that writes a file


def _download(run: Run, sandbox: Sandbox, path: str) -> Any:
    return run("download", "--id", sandbox.add(State.ARCHIVED), "--force", "-o", path)


def _report(run: Run, sandbox: Sandbox, path: str) -> Any:
    return run("report", "-o", path)


def _plan(run: Run, sandbox: Sandbox, path: str) -> Any:
    sandbox.add(State.INITIAL)
    return run("plan", "archive", "--all", "--force", "-o", path)


def _placeholder(run: Run, sandbox: Sandbox, path: str) -> Any:
    return run("placeholder", "--seconds", 1, "--force", "-o", path)


WRITERS = {"download": _download, "report": _report, "plan": _plan, "placeholder": _placeholder}
Writer = Callable[[Run, Sandbox, str], Any]


@pytest.mark.usefixtures("generous_umask")
@pytest.mark.parametrize("command", WRITERS)
def test_each_writes_privately_and_leaves_the_users_own_files_alone(
    sandbox: Sandbox, run: Run, tmp_path: Path, command: str
) -> None:
    write: Writer = WRITERS[command]
    mine = Path("out.html.part"), Path(".out.html.part"), Path("out.part")
    for path in mine:
        path.write_text("mine")
    before = set(os.listdir("."))
    ran = write(run, sandbox, "out.html")
    assert ran.code == 0, ran.err
    # A placeholder is nobody's secret.
    assert mode("out.html") == (0o644 if command == "placeholder" else 0o600)
    assert [path.read_text() for path in mine] == ["mine"] * 3
    assert set(os.listdir(".")) - before == {"out.html"}


@pytest.mark.parametrize("command", WRITERS)
def test_none_writes_through_a_link(sandbox: Sandbox, run: Run, command: str) -> None:
    Path("precious").write_text("precious")
    Path("out").symlink_to("precious")
    ran = WRITERS[command](run, sandbox, "out")
    assert ran.code == 2
    (line,) = [line for line in ran.err.splitlines() if line.startswith("error:")]
    assert line == "error: cannot write out: it is a link; name the file itself"
    assert Path("precious").read_text() == "precious"
    assert Path("out").is_symlink()


@pytest.fixture
def small_disk() -> Iterator[None]:
    """No file may become larger than this; as on a full disk, but EFBIG."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (600, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("command", ["download", "report", "plan"])
def test_a_full_disk_is_one_line_and_the_file_stays_as_it_was(
    sandbox: Sandbox, run: Run, request: pytest.FixtureRequest, command: str
) -> None:
    as_it_was = "<!doctype html>as it was"
    Path("out").write_text(as_it_was)
    sandbox.add(State.INITIAL)
    before = set(os.listdir("."))
    request.getfixturevalue("small_disk")
    ran = WRITERS[command](run, sandbox, "out")
    assert ran.code == 1
    (line,) = [line for line in ran.err.splitlines() if line.startswith("error:")]
    assert line == "error: cannot write out: File too large"
    assert Path("out").read_text() == as_it_was
    assert set(os.listdir(".")) == before


@pytest.mark.parametrize("options", [(), ("--enriched", "mine")])
def test_a_report_takes_the_place_of_nothing_but_a_page(sandbox: Sandbox, run: Run, options: tuple[str, ...]) -> None:
    sandbox.add(State.INITIAL)
    mine = "entry_id\tname\tcreator_id\towner_id\tldap_status\n"
    Path("mine").write_text(mine)
    ran = run("report", "-o", "mine", *options)
    assert (ran.code, Path("mine").read_text()) == (2, mine)
    assert "cannot write mine: it exists, and is no page; name another file, or remove it" in ran.err
    assert [run("report", "-o", "page.html").code for _ in range(2)] == [0, 0]


@pytest.mark.parametrize("style", ["html", "tsv", "table", "csv"])
def test_a_plan_that_is_shown_takes_the_place_of_nothing_but_a_page(sandbox: Sandbox, run: Run, style: str) -> None:
    sandbox.add(State.INITIAL)
    run("plan", "archive", "--all", "-o", "plan.jsonl")
    Path("policy.toml").write_text("mine")
    ran = run("plan", "show", "plan.jsonl", "--format", style, "-o", "policy.toml")
    assert (ran.code, Path("policy.toml").read_text()) == (2, "mine")
    again = [run("plan", "show", "plan.jsonl", "--format", style, "-o", "shown").code for _ in range(2)]
    assert again == [0, 0 if style == "html" else 2]


def test_the_record_of_messages_is_not_written_through_a_link(run: Run) -> None:
    Path("precious").write_text("precious")
    Path("notices").mkdir()
    Path("notices/sent.jsonl").symlink_to("../precious")
    Path("list.tsv").write_text(
        "entry_id\tcreator_id\towner_id\tldap_status\tmail\n0_a\tann\tann\tactive\tann@example.edu\n"
    )
    ran = run("notify", "--from", "us@example.edu", "list.tsv")
    assert (ran.code, Path("precious").read_text()) == (2, "precious")
    assert "is a link" in ran.err


# Stdout: full, or closed

TOOL = [sys.executable, "-m", "kaltura_archiver"]


def started(sandbox: Sandbox, arguments: list[str], redirect: str) -> subprocess.CompletedProcess[str]:
    """The command in a shell of its own, with its streams as `redirect` says."""
    environment = {**os.environ, **sandbox.environ(), "KALTURA_POLL_SECONDS": "0.01"}
    command = ["/bin/sh", "-c", f'exec "$@" {redirect}', "sh", *TOOL, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("style", ["tsv", "json", "table"])
def test_a_full_stdout_is_one_line(sandbox: Sandbox, style: str) -> None:
    sandbox.add(State.INITIAL)
    ended = started(sandbox, ["list", "--format", style], ">/dev/full")
    assert ended.returncode == 1
    assert ended.stderr == "error: cannot write to stdout: No space left on device\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["list"],
        ["count"],
        ["explain", "0_one"],
        ["plan", "archive", "--all", "-o", "-"],
        ["report", "-o", "-"],
        ["download", "--id", "0_one", "-o", "-"],
    ],
)
def test_a_closed_stdout_is_one_line(sandbox: Sandbox, arguments: list[str]) -> None:
    sandbox.add(State.INITIAL, id="0_one")
    ended = started(sandbox, arguments, ">&-")
    lines = [line for line in ended.stderr.splitlines() if " INFO " not in line and " WARNING " not in line]
    assert (ended.returncode, lines) == (1, ["error: cannot write to stdout: it is closed"])


@pytest.mark.parametrize("redirect", [">/dev/full", ">&-"])
@pytest.mark.parametrize("tolerant", [(), ("--tolerate", "1,3,4")], ids=["", "tolerant"])
def test_a_run_that_changes_something_goes_on_without_its_rows(
    sandbox: Sandbox, redirect: str, tolerant: tuple[str, ...]
) -> None:
    ids = [sandbox.add(State.INITIAL) for _ in range(3)]
    ended = started(sandbox, ["s3copy", "--all", "--no-dry-run", *tolerant], redirect)
    assert ended.returncode == 1
    assert len([line for line in ended.stderr.splitlines() if "rows cannot be written to stdout" in line]) == 1
    assert "Traceback" not in ended.stderr
    assert "summary: done 3" in ended.stderr
    assert set(ids) <= set(sandbox.s3.keys())


def test_closed_stderr_and_stdin_harm_nothing(sandbox: Sandbox) -> None:
    entry_id = sandbox.add(State.INITIAL)
    ended = started(sandbox, ["list", "--columns", "entry_id"], "2>&-")
    assert (ended.returncode, ended.stdout) == (0, f"entry_id\n{entry_id}\n")
    ended = started(sandbox, ["list", "--idfile", "-"], "<&-")
    assert (ended.returncode, ended.stderr) == (2, "error: --idfile - holds no entry id\n")
    ended = started(sandbox, ["enrich", "--directory-file", "none.csv"], "<&-")
    assert (ended.returncode, len(ended.stderr.splitlines())) == (2, 1)


# Signals


@pytest.mark.parametrize(
    ("arguments", "operation"),
    [
        (["s3copy", "--all", "--no-dry-run", "--no-lock", "--no-run-log"], "media.get"),
        (["list"], "*earchEntry"),
        (["health"], "flavorAsset.list"),
    ],
)
def test_a_second_ctrl_c_ends_the_process_at_once(sandbox: Sandbox, arguments: list[str], operation: str) -> None:
    """While the first one waits for an answer that does not come."""
    sandbox.add(State.INITIAL)
    asked, answered = threading.Event(), threading.Event()

    def hang(_: object) -> None:
        asked.set()
        answered.wait(120)

    for _ in range(20):
        sandbox.control.add_fault(operation, before=hang)
    environment = {**os.environ, **sandbox.environ()}
    process = subprocess.Popen([*TOOL, *arguments], env=environment, stderr=subprocess.PIPE, text=True)
    try:
        assert asked.wait(60)
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(2)  # two signals that come together are one
            assert arguments[0] != "s3copy"  # the entry in hand is finished, which cannot be
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)  # far sooner than the answer
    finally:
        answered.set()
        process.kill()
    assert process.returncode in (130, -signal.SIGINT)  # to a shell the same: Python was about to end
    assert told.splitlines()[-1] == "error: interrupted"
    assert "Traceback" not in told


def test_a_handler_of_signals_takes_no_lock(sandbox: Sandbox) -> None:
    """The main thread may hold the lock of the event when the signal comes: the handler would wait for itself."""
    script = """
import os, signal, threading
from kaltura_archiver.cli.app import App
app = App(None)
with app.stoppable():
    with app.stop._cond:
        os.kill(os.getpid(), signal.SIGTERM)
    assert app.stop.wait(30)
    os._exit(7)
"""
    ended = subprocess.run([sys.executable, "-c", script], timeout=60, check=False)
    assert ended.returncode == 7


# Strangers' text

EVIL = ("=cmd|' /C calc'!A0", "+1+cmd", "-1+1", "@SUM(A1)", "\t=1", "\r=1", " =1", "\uff1d1", "\n=1", "\u200d=1")
# Names have spaces of their own, as French and Japanese do, and joiners, as Persian, Hindi and emoji do.
NAME = "No\u00a05\u202f: \u3000\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645 \U0001f469\u200d\U0001f52c"
STEERING = "\x1b[2J\x9b31m\u202egpj.exe\u2066"


@pytest.mark.parametrize("text", EVIL)
def test_no_cell_of_a_csv_is_a_formula(text: str) -> None:
    assert csv_cell(text).startswith("'")
    out = io.StringIO()
    with Rows((text, "b"), "csv", out) as rows:
        rows.write({text: text, "b": -1})
    header, row = csv.reader(io.StringIO(out.getvalue(), newline=""))
    assert header[0].startswith("'")
    assert row[0].startswith("'")
    assert row[1] == "-1"


@pytest.mark.parametrize("value", [NAME, "-1", "+1.5", -2, 3, None, "plain", "a=b", "a-b", True])
def test_what_is_no_formula_stays_as_it_is(value: Any) -> None:
    assert csv_cell(value) == ("" if value is None else str(value))


@pytest.mark.parametrize("style", ["tsv", "csv", "table"])
def test_spaces_and_joiners_of_a_name_are_no_escapes(sandbox: Sandbox, run: Run, style: str) -> None:
    sandbox.add(State.INITIAL, name=NAME)
    assert NAME in run("list", "--columns", "name", "--format", style).out
    Path("people.csv").write_text("uid,cn,mail\nben,Ben,ben@example.edu\n")
    sandbox.add(State.INITIAL, name=NAME, creator_id="ben")
    if style == "table":
        return
    listed = run("list", "--columns", "entry_id,name,owner_id", "--owner", "ben", "--format", style)
    Path("list").write_text(listed.out)
    more = ("--columns", "mail", "--prefix", "owner_", "--directory-file", "people.csv", "--format", style)
    Path("owners").write_text(run("enrich", *more, "list").out)
    told = run("notify", "--from", "archive@example.edu", "--prefix", "owner_", "owners")
    assert told.code == 0, told.err
    (path,) = Path("notices").glob("*.eml")
    text = message_from_bytes(path.read_bytes(), policy=default).get_body(("plain",))
    assert text is not None
    assert " ".join(NAME.split()) in text.get_content()


def test_the_csv_of_each_command_that_shows_names_is_harmless(sandbox: Sandbox, run: Run) -> None:
    name = f"=HYPERLINK(1){STEERING}"
    entry_id = sandbox.add(State.INITIAL, name=name, creator_id="@ann", tags="-cmd, +cmd")
    for arguments in (
        ("list", "--columns", "name,creator_id,tags"), ("health", "--columns", "name"),
    ):  # fmt: skip
        shown = run(*arguments, "--format", "csv")
        _, row = csv.reader(io.StringIO(shown.out))
        assert all(cell.startswith("'") for cell in row), row
        assert shown.out.replace("\n", "").isprintable()
    people = "uid,displayName,ou\nann,=1+1,@x\n"
    Path("people.csv").write_text(people)
    Path("list.tsv").write_text(f"entry_id\tcreator_id\tname2\n{entry_id}\tann\t=2+2\n")
    shown = run("enrich", "--directory-file", "people.csv", "--format", "csv", "list.tsv")
    _, row = csv.reader(io.StringIO(shown.out))
    assert row == [entry_id, "ann", "'=2+2", "active", "'=1+1", "'@x"]
    # What scripts read is as it is.
    assert run("enrich", "--directory-file", "people.csv", "list.tsv").rows[0]["name"] == "=1+1"


def test_no_text_of_others_steers_a_terminal(sandbox: Sandbox, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    entry_id = sandbox.add(State.INITIAL, name=STEERING, creator_id=STEERING, tags=STEERING)
    for arguments in (
        ("list", "--columns", "name,creator_id,tags"), ("list", "--columns", "name", "--format", "table"),
        ("list", "--columns", "name", "--format", "json"), ("explain", entry_id), ("health", "--columns", "name"),
        ("plan", "archive", "--all", "-o", "-"), ("s3copy", "--all"),
    ):  # fmt: skip
        ran = run(*arguments)
        assert (ran.out + ran.err).replace("\n", "").replace("\t", "").isprintable(), arguments
    assert writes(sandbox) == []
    set_up_logging("INFO", "text")
    logging.getLogger("kaltura_archiver.test").warning("%s", STEERING, extra={"entry": STEERING, "action": STEERING})
    assert capsys.readouterr().err.rstrip("\n").isprintable()
    line = json.dumps({"time": "2026-11-28T10:00:00", "level": "INFO", "entry": STEERING, "message": STEERING})
    assert readable(line).isprintable()


def test_every_command_is_known() -> None:
    """A command that writes a file belongs into WRITERS; ldapsearch is with its directory in test_directory.py."""
    told = {"-o", "--output"}
    writing = {name for name, command in cli.commands.items() for p in command.params if told & set(p.opts)}
    assert writing == {*WRITERS, "ldapsearch"}
