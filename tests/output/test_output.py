"""What the commands print: rows in five formats, log lines, help, the explanation of an entry, a downloaded file."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import re
import stat
import subprocess
import sys
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from conftest import Run
from looking import do_not_wait, original_of

from kaltura_archiver.cli import cli
from kaltura_archiver.sandbox.control import Request
from kaltura_archiver.sandbox.world import Sandbox

LIST_COLUMNS = [
    *("last_played_date", "plays", "entry_id", "status", "archived_to_s3", "flavors_deleted", "created_date"),
    *("created", "creator_id", "category_ids", "categories"),
    "owner_id",  # which the old tool did not know: behind its columns, for joins by position
]
FLAVOR_COLUMNS = ["entry_id", "flavor_id", "original", "size_KB", "created_date", "deleted_date", "status"]
HEALTH_COLUMNS = [
    *("entry_id", "status-ok", "original", "orig_status", "archived_to_s3", "flavors_deleted", "created_date"),
    *("s3-size", "orig_KB", "size_match", "message"),
    *("original_id", "original_bytes", "stored_bytes"),  # which the old tool did not know
]
RESULT_COLUMNS = ["entry_id", "state", "outcome", "bytes_moved", "bytes_freed", "detail"]
COLUMNS = {
    "list": LIST_COLUMNS,
    "list --mode video": LIST_COLUMNS,
    "list --mode flavor": FLAVOR_COLUMNS,
    "count": ["count", "filter"],
    "health": HEALTH_COLUMNS,
    "s3copy --all": RESULT_COLUMNS,
    "restore --all": RESULT_COLUMNS,
}
FORMATS = ("tsv", "csv", "json", "jsonl", "table")
LOG_LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ (DEBUG|INFO|WARNING|ERROR) .+")
# Controls that XML can carry (a name with ESC cannot come from Kaltura), U+009B being ESC [ in one character.
ODD_NAME = "Tab\there, line\nbreak, back\\slash, CSI \x9b31mred, U+2028 \u2028, right to left \u202e, Bücher 講義"
CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u202e]")


def columns_of(command: str, style: str) -> list[str]:
    """In JSON a row of a command that acts also names the entry that its own is a further stream of."""
    more = ["parent"] if COLUMNS[command] == RESULT_COLUMNS and style in ("json", "jsonl") else []
    return [*COLUMNS[command], *more]


def in_columns(line: str, starts: list[int]) -> list[str]:
    """A line of a table, cut where the columns begin on a terminal."""
    parts, at = [""] * len(starts), 0
    for character in line:
        parts[sum(start <= at for start in starts) - 1] += character
        at += 0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1
    return parts


def parsed(text: str, style: str) -> tuple[list[str], list[dict[str, Any]]]:
    """Column names and rows, read as their reader would."""
    if style == "tsv":
        header, *lines = [line.split("\t") for line in text.removesuffix("\n").split("\n")]
        return header, [dict(zip(header, line, strict=True)) for line in lines]
    if style == "csv":
        reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        rows: list[dict[str, Any]] = list(reader)
        return list(reader.fieldnames or []), rows
    if style == "table":
        header, rule, *lines = text.removesuffix("\n").split("\n")
        starts = [match.start() for match in re.finditer("-+", rule)]
        cells = [[part.strip() for part in in_columns(line, starts)] for line in (header, *lines)]
        return cells[0], [dict(zip(cells[0], line, strict=True)) for line in cells[1:]]
    rows = json.loads(text) if style == "json" else [json.loads(line) for line in text.splitlines()]
    return list(rows[0]) if rows else [], rows


@pytest.fixture
def odd(sandbox: Sandbox) -> str:
    """An entry whose texts are as bad as texts can be."""
    sandbox.kaltura.add_category(1, "Odd\tcategory\nname")
    return sandbox.kaltura.add_entry(
        b"odd" * 500,
        name=ODD_NAME,
        creator_id="jürgen\tx\ny\\z\x9d0;title\x9c",
        tags="über, a\\b",
        categories=(1,),
        created_at=1_551_441_600,
        last_played_at=1_583_064_000,
        plays=3,
    ).id


# Rows


@pytest.mark.parametrize("style", FORMATS)
@pytest.mark.parametrize("command", COLUMNS)
def test_the_columns_are_those_of_the_old_tool_in_their_order(
    sandbox: Sandbox, run: Run, command: str, style: str
) -> None:
    entry_id = sandbox.add("archived")
    ran = run(*command.split(), "--format", style)
    assert ran.code == 0, ran.err
    header, rows = parsed(ran.out, style)
    assert header == columns_of(command, style)
    if "entry_id" in header:
        assert {row["entry_id"] for row in rows} == {entry_id}


@pytest.mark.parametrize("command", COLUMNS)
def test_tsv_is_the_default(sandbox: Sandbox, run: Run, command: str) -> None:
    sandbox.add("archived")
    assert run(*command.split()).out == run(*command.split(), "--format", "tsv").out


@pytest.mark.parametrize("style", FORMATS)
def test_no_rows_are_still_well_formed(run: Run, style: str) -> None:
    header, rows = parsed(run("list", "--format", style).out, style)
    assert rows == []
    assert header == (LIST_COLUMNS if style in ("tsv", "csv", "table") else [])


def test_a_row_of_list_says_what_is_known(run: Run, odd: str) -> None:
    (row,) = parsed(run("list", "--format", "json").out, "json")[1]
    assert row == {
        "last_played_date": "2020-03-01",
        "plays": 3,
        "entry_id": odd,
        "status": "2",
        "archived_to_s3": False,
        "flavors_deleted": False,
        "created_date": "2019-03-01",
        "created": 1_551_441_600,
        "creator_id": "jürgen\tx\ny\\z\x9d0;title\x9c",
        "category_ids": "1",
        "categories": "Odd\tcategory\nname",
        "owner_id": "jürgen\tx\ny\\z\x9d0;title\x9c",
    }


def test_tsv_escapes_what_would_break_it_and_says_nothing_for_missing(run: Run, odd: str, sandbox: Sandbox) -> None:
    bare = sandbox.kaltura.add_entry(b"bare", created_at=1_600_000_000).id
    ran = run("list")
    assert len(ran.out.splitlines()) == 3
    assert ran.out.count("\n") == 3
    first, second = ran.rows
    assert first["entry_id"] == odd
    assert first["creator_id"] == "jürgen\\tx\\ny\\\\z\\x9d0;title\\x9c"
    assert first["categories"] == "Odd\\tcategory\\nname"
    assert second == {
        "last_played_date": "",
        "plays": "0",
        "entry_id": bare,
        "status": "2",
        "archived_to_s3": "False",
        "flavors_deleted": "False",
        "created_date": "2020-09-13",
        "created": "1600000000",
        "creator_id": "",
        "category_ids": "",
        "categories": "",
        "owner_id": "",
    }


def test_tags_are_told_as_booleans(sandbox: Sandbox, run: Run) -> None:
    sandbox.add("placeholder")
    (row,) = run("list").rows
    assert (row["archived_to_s3"], row["flavors_deleted"]) == ("True", "True")
    (row,) = run("list", "--format", "jsonl").out.splitlines()
    assert json.loads(row)["flavors_deleted"] is True


@pytest.mark.parametrize("style", FORMATS)
def test_a_text_with_control_characters_stays_one_row_and_harmless(run: Run, odd: str, style: str) -> None:
    ran = run("list", "--columns", "entry_id,name,creator_id,tags", "--format", style)
    _, (row,) = parsed(ran.out, style)
    assert row["entry_id"] == odd
    assert "Bücher 講義" in row["name"]
    assert row["tags"].startswith("über, a")
    assert not CONTROLS.search(ran.out)
    if style in ("json", "jsonl"):
        assert row["name"] == ODD_NAME
    elif style == "csv":
        assert "Tab\there, line\nbreak, back\\slash, CSI" in row["name"]
    else:
        assert "Tab\\there, line\\nbreak" in row["name"]


def test_a_flavor_row_for_each_flavor(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.kaltura.add_entry(b"x" * 4096, derived=59, created_at=1_551_441_600).id
    rows = run("list", "--mode", "flavor").rows
    assert len(rows) == 60
    assert len({row["flavor_id"] for row in rows}) == 60
    (original,) = [row for row in rows if row["original"] == "True"]
    asset = sandbox.kaltura.original(entry_id)
    assert asset is not None
    assert original == {
        "entry_id": entry_id,
        "flavor_id": asset.id,
        "original": "True",
        "size_KB": "4",
        "created_date": "2019-03-01",
        "deleted_date": "",
        "status": "READY",
    }


def test_flavors_of_more_entries_than_one_call_takes_all_come(sandbox: Sandbox, run: Run) -> None:
    made = [sandbox.kaltura.add_entry(b"x", derived=1, created_at=1_500_000_000 + n).id for n in range(95)]
    rows = run("list", "--mode", "flavor").rows
    assert [row["entry_id"] for row in rows if row["original"] == "True"] == made
    assert len(rows) == 190


def test_count_prints_the_number_and_the_filter(sandbox: Sandbox, run: Run) -> None:
    sandbox.add("archived")
    ran = run("count", "--tag", "archived_to_s3", "--max-entries", 1)
    assert ran.rows == [
        {"count": "1", "filter": "media_type = video and status in -1,-2,0,1,2,7,4 and tag = archived_to_s3"}
    ]
    assert ran.err == ""


def test_a_row_of_health_says_what_is_known(sandbox: Sandbox, run: Run) -> None:
    content = b"video" * 1024
    entry_id = sandbox.add("archived", content=content, created_at=1_551_441_600)
    (row,) = run("health").rows
    message = row.pop("message")
    assert message.startswith("archived: HEALTHY")
    assert row == {
        "entry_id": entry_id,
        "status-ok": "True",
        "original": "True",
        "orig_status": "READY",
        "archived_to_s3": "True",
        "flavors_deleted": "False",
        "created_date": "2019-03-01",
        "s3-size": "5120",
        "orig_KB": "5",
        "size_match": "True",
        "original_id": original_of(sandbox, entry_id).id,
        "original_bytes": "5120",
        "stored_bytes": "5120",
    }


def test_kilobytes_are_told_of_the_exact_size_where_it_is_known(sandbox: Sandbox, run: Run) -> None:
    """Without media information Kaltura's `size` is in bytes (kaltura-api 4.3)."""
    entry_id = sandbox.add("archived", content=b"video" * 1024, derived=0)
    asset = original_of(sandbox, entry_id)
    asset.size_kb = asset.size_in_bytes
    (row,) = run("health").rows
    assert (row["orig_KB"], row["size_match"]) == ("5", "True")
    assert run("list", "--mode", "flavor").rows[0]["size_KB"] == "5"
    assert run("explain", entry_id, "--format", "json").json["flavors"][0]["KB"] == 5
    asset.size_in_bytes, asset.size_kb = 0, 5  # from before 2020: only the rounded size is there
    assert run("health").rows[0]["orig_KB"] == "5"


def test_an_archived_entry_without_duration_is_warned_of_by_health(sandbox: Sandbox, run: Run) -> None:
    dumb, fine = sandbox.add("archived", duration_ms=0), sandbox.add("archived")
    hidden = sandbox.add("placeholder", duration_ms=0)
    ran = run("health")
    messages = {row["entry_id"]: row["message"] for row in ran.rows}
    assert "a duration of 0 seconds" in messages[dumb]
    assert "duration" not in messages[fine] + messages[hidden]
    assert {row["status-ok"] for row in ran.rows} == {"True"}


def test_health_tells_a_broken_entry_on_stderr_too(sandbox: Sandbox, run: Run) -> None:
    fine, lost = sandbox.add("archived"), sandbox.add("lost")
    ran = run("health")
    assert ran.code == 1
    assert {row["entry_id"]: row["status-ok"] for row in ran.rows} == {fine: "True", lost: "False"}
    (line,) = [line for line in ran.err.splitlines() if "ERROR" in line]
    assert f"entry {lost} is lost: " in line
    assert ran.err.splitlines()[-1].endswith("verdict: 1 of 2 videos needs attention: 1 lost")


def test_columns_may_be_chosen(sandbox: Sandbox, run: Run) -> None:
    sandbox.add("archived", name="Algebra")
    ran = run("health", "--columns", "name, state,identity")
    assert ran.rows == [{"name": "Algebra", "state": "archived", "identity": "same"}]
    ran = run("list", "--mode", "flavor", "--columns", "version,file_ext,size_bytes", "--format", "csv")
    assert ran.out.splitlines()[0] == "version,file_ext,size_bytes"


@pytest.mark.parametrize("style", FORMATS)
@pytest.mark.parametrize("command", ["list", "count", "health", "s3copy --all", "s3copy --all --no-dry-run"])
def test_stdout_has_only_data_and_stderr_only_lines_of_log(
    sandbox: Sandbox, run: Run, command: str, style: str
) -> None:
    for state in ("initial", "archived", "diverged"):
        sandbox.add(state)
    ran = run("--log-level", "DEBUG", *command.split(), "--format", style)
    header, rows = parsed(ran.out, style)
    assert header == columns_of(command.removesuffix(" --no-dry-run"), style)
    assert len(rows) == (1 if command == "count" else 3)
    assert [line for line in ran.err.splitlines() if not LOG_LINE.fullmatch(line)] == []


# A run's lines


def test_each_action_is_one_line_with_its_mode_and_a_run_ends_with_its_summary(sandbox: Sandbox, run: Run) -> None:
    content = b"video" * 1000
    initial, archived = sandbox.add("initial", content=content), sandbox.add("archived")
    diverged = sandbox.add("diverged")
    for arguments, mode, verb, told in (
        ((), "DRYRUN", "would ", "bytes to move 5000, bytes to free 0"),
        (("--no-dry-run",), "EXEC", "done: ", "bytes moved 5000, bytes freed 0"),
    ):
        ran = run("s3copy", "--all", *arguments)
        assert ran.code == 3
        *lines, summary = ran.err.splitlines()
        for entry_id, start in ((initial, verb), (archived, "already: "), (diverged, "refused: ")):
            (line,) = [line for line in lines if entry_id in line]
            assert re.fullmatch(
                rf"\S+Z INFO run=[0-9a-f]{{8}} {mode} entry {entry_id} s3copy {re.escape(start)}.+", line
            )
        first = "would 1" if mode == "DRYRUN" else "done 1"
        for part in (first, "already 1", "refused 1", f"{told}; 3 entries in"):
            assert part in summary
        assert f"{mode} run s3copy summary: " in summary


def test_the_summary_counts_the_bytes_freed(sandbox: Sandbox, run: Run) -> None:
    content = bytes(10 * len(sandbox.placeholder))
    sandbox.add("archived", content=content)
    ran = run("replace_video", "--all", "--no-dry-run")
    size = len(sandbox.placeholder)
    assert f"bytes moved {size}, bytes freed {len(content) - size}; 1 entries" in ran.err.splitlines()[-1]
    (row,) = ran.rows
    assert (row["bytes_moved"], row["bytes_freed"]) == (str(size), str(len(content) - size))


def test_json_log_lines_carry_run_entry_action_and_mode(sandbox: Sandbox, run: Run) -> None:
    entries = [sandbox.add("initial", name=ODD_NAME) for _ in range(3)]
    ran = run("--log-format", "json", "s3copy", "--id", "0_nosuch00", *(f"--id={e}" for e in entries))
    lines = [json.loads(line) for line in ran.err.splitlines()]
    assert len({line["run"] for line in lines}) == 1
    about = {line["entry"]: line for line in lines if line.get("kind") == "entry"}
    assert set(about) == set(entries)
    for line in about.values():
        assert (line["mode"], line["action"], line["level"]) == ("DRYRUN", "s3copy", "INFO")
        assert line["message"].startswith("would copy the original")
    assert lines[-1]["message"].startswith("summary: would 3, failed 1;")
    assert any(line["level"] == "WARNING" and "0_nosuch00" in line["message"] for line in lines)
    again = run("--log-format", "json", "s3copy", "--id", entries[0], "--no-dry-run")
    other = [json.loads(line) for line in again.err.splitlines()]
    assert {line["mode"] for line in other} == {"EXEC"}
    assert {line["run"] for line in other}.isdisjoint({line["run"] for line in lines})


@pytest.mark.parametrize(
    ("arguments", "says"), [(["list", "--plays", "x"], "'x'"), (["s3copy"], "--all"), (["count", "--id", "?"], "'?'")]
)
def test_an_error_is_one_line_in_the_form_of_log_lines(run: Run, arguments: list[str], says: str) -> None:
    plain, json_line = run(*arguments), run("--log-format", "json", *arguments)
    assert plain.code == json_line.code == 2
    assert plain.err.startswith("error: ")
    line = json.loads(json_line.err)
    assert (line["level"], plain.err) == ("ERROR", f"error: {line['message']}\n")
    assert says in line["message"]


# Processes of their own


def python(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, timeout=60, check=False, **options
    )


@pytest.mark.parametrize("command", ["", *sorted(cli.commands), "cluster worker"])
def test_each_command_has_a_help_with_what_it_does(run: Run, command: str) -> None:
    ran = run(*command.split(), "--help")
    assert ran.code == 0
    assert ran.err == ""
    usage, _, summary = ran.out.splitlines()[:3]
    assert usage.startswith("Usage: ")
    assert len(summary.split()) > 3
    assert run(*command.split(), "-h").out == ran.out
    if command:
        # Its examples are of this very command.
        assert re.search(rf"kaltura-archiver {command.replace('_', '[-_]')}\b", ran.out.partition("Example")[2])


@pytest.mark.parametrize("arguments", [["--help"], ["s3copy", "--help"], ["--version"]])
def test_help_imports_none_of_the_heavy_libraries(arguments: list[str]) -> None:
    program = (
        "import sys\n"
        "from kaltura_archiver.cli import main\n"
        f"sys.argv = ['kaltura-archiver', *{arguments!r}]\n"
        "try:\n    main()\nfinally:\n"
        "    heavy = ('KalturaClient', 'boto3', 'botocore', 'lxml', 'requests', 'moto', 'av', 'ldap3', 'rich')\n"
        "    print([name for name in heavy if name in sys.modules], file=sys.stderr)\n"
    )
    ended = python("-c", program)
    assert ended.returncode == 0
    assert ended.stderr.strip() == "[]"
    assert "kaltura-archiver" in ended.stdout


def test_columns_of_a_table_stand_below_each_other_whatever_the_script(sandbox: Sandbox, run: Run) -> None:
    names = ("日本語講義", "Bücher", "e\u0301tudes", "Лекция")
    ids = {sandbox.kaltura.add_entry(b"x", name=name, derived=0).id: name for name in names}
    told = run("list", "--columns", "name,entry_id", "--format", "table", "--max-entries", "-1").out
    _, ruler, *rows = told.splitlines()
    # As a terminal shows them: each Japanese character takes two cells, the combining accent none.
    cells = {"日本語講義": 10, "Bücher": 6, "e\u0301tudes": 6, "Лекция": 6}
    assert {row.split()[-1]: row for row in rows} == {
        entry_id: f"{name}{' ' * (12 - cells[name])}{entry_id}" for entry_id, name in ids.items()
    }
    assert ruler.startswith(f"{'-' * 10}  --")


@pytest.mark.parametrize("style", ["tsv", "csv", "json", "jsonl", "table"])
def test_a_closed_pipe_ends_quietly(sandbox: Sandbox, run: Run, style: str) -> None:
    del run  # only its environment is wanted
    for n in range(3000):
        sandbox.kaltura.add_entry(b"x", name="n" * 200, created_at=1_500_000_000 + n, derived=0)
    arguments = ["list", "--columns", "entry_id,name", "--max-entries", "-1", "--format", style]
    with subprocess.Popen(
        [sys.executable, "-m", "kaltura_archiver", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.read(1)
        process.stdout.close()
        told = process.stderr.read()
        assert process.wait(60) == 0
    assert told == b""


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["list", "--help"]], ids=" ".join)
def test_a_closed_pipe_ends_help_quietly(words: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    ended = subprocess.run(
        [sys.executable, "-m", "kaltura_archiver", *words], stdout=writing, stderr=subprocess.PIPE, check=False
    )
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (0, b"")


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_run_whose_reader_has_gone_still_does_its_work(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch, unbuffered: str
) -> None:
    del run
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    entries = [sandbox.add("initial") for _ in range(20)]
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "kaltura_archiver", "s3copy", "--all", "--no-dry-run", "--no-run-log"]
    with subprocess.Popen(command, stdout=writer, stderr=subprocess.PIPE, text=True) as process:
        os.close(writer)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "summary: done 20;" in told.splitlines()[-1]
    assert sandbox.s3.keys() == sorted([*entries, "locks/s3copy.json"])


def test_data_is_utf8_whatever_the_locale(run: Run, odd: str) -> None:
    del run
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}
    ended = subprocess.run(
        [sys.executable, "-m", "kaltura_archiver", "list", "--columns", "entry_id,name"],
        capture_output=True,
        env=environment,
        timeout=60,
        check=True,
    )
    assert f"{odd}\tTab\\there".encode() in ended.stdout
    assert "Bücher 講義".encode() in ended.stdout


# Explain


@pytest.mark.parametrize(
    ("state", "commands"),
    [
        ("initial", {"s3copy": "would copy the original", "replace_video": "refused: ", "restore": "already: "}),
        (
            "archived",
            {"s3copy": "already: ", "replace_video": "would compare the original with", "repair": "already: "},
        ),
        ("placeholder", {"replace_video": "already: ", "restore": "would bring the original back"}),
        ("diverged", {"s3copy": "refused: ", "replace_video": "refused: ", "repair": "refused: "}),
    ],
)
def test_explain_tells_the_state_the_evidence_and_what_each_command_would_do(
    sandbox: Sandbox, run: Run, state: str, commands: dict[str, str]
) -> None:
    entry_id = sandbox.add(state, name="Bücher", tags="seminar", creator_id="lecturer")
    told = run("explain", entry_id, "--format", "json").json
    assert told["entry"]["id"] == entry_id
    assert told["entry"]["name"] == "Bücher"
    assert told["state"]["name"] == state
    assert told["state"]["why"]
    assert told["identity"]["evidence"]
    assert sum(flavor["original"] for flavor in told["flavors"]) == 1
    assert (told["object"] is None) == (state == "initial")
    for command, start in commands.items():
        assert told["commands"][command].startswith(start)
    text = " ".join(run("explain", entry_id).out.split())
    # A refusal for what the state says already is not said again.
    said = f"refused: {told['state']['why']}; {told['state']['next']}"
    answers = ["refused, as said above" if answer == said else answer for answer in told["commands"].values()]
    for part in (entry_id, "Bücher", "seminar", "lecturer", told["state"]["why"], *answers):
        assert part in text
    assert sandbox.control.writes() == []


def test_explain_tells_of_a_frozen_copy_and_of_the_thaw(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add("placeholder", storage_class="DEEP_ARCHIVE")
    told = run("explain", entry_id, "--format", "json").json
    assert told["object"]["storage_class"] == "DEEP_ARCHIVE"
    assert told["object"]["availability"] == "frozen"
    assert "request a restore from Glacier" in told["commands"]["restore"]
    assert run("restore", "--id", entry_id, "--no-dry-run").code == 3
    assert run("explain", entry_id, "--format", "json").json["object"]["availability"] == "thawing"
    sandbox.s3.thaw(entry_id)
    assert run("explain", entry_id, "--format", "json").json["object"]["availability"].startswith("readable until ")


def test_explain_lets_no_control_character_through(run: Run, odd: str) -> None:
    text = run("explain", odd).out
    assert not CONTROLS.search(text)
    assert [line for line in text.splitlines() if not line.isprintable()] == []
    ran = run("explain", odd, "--format", "json")
    assert not CONTROLS.search(ran.out)
    assert ran.json["entry"]["name"] == ODD_NAME


# Download


def files() -> list[str]:
    return sorted(path.name for path in Path().iterdir() if path.is_file())


def test_download_writes_the_original_and_tells_its_checksum(sandbox: Sandbox, run: Run) -> None:
    content = os.urandom(3_000_000)
    entry_id = sandbox.add("initial", content=content)
    ran = run("download", "--id", entry_id)
    assert ran.code == 0
    assert ran.rows == [
        {
            "entry_id": entry_id,
            "source": "kaltura",
            "bytes": "3000000",
            "sha256": hashlib.sha256(content).hexdigest(),
            "file": f"{entry_id}.mp4",
        }
    ]
    assert Path(f"{entry_id}.mp4").read_bytes() == content
    assert files() == [f"{entry_id}.mp4"]
    assert sandbox.control.writes() == []


@pytest.mark.parametrize("source", ["kaltura", "s3"])
def test_a_download_is_private_and_under_another_name_until_it_is_whole(
    sandbox: Sandbox, run: Run, source: str
) -> None:
    entry_id = sandbox.add("archived", content=bytes(5_000_000))
    seen: list[tuple[str, int]] = []

    def look(request: Request) -> None:
        seen.extend((name, stat.S_IMODE(Path(name).stat().st_mode)) for name in files())

    sandbox.control.add_fault("file.GET" if source == "kaltura" else "s3.GetObject", "cut_short")
    # The second request is made when half of the bytes have been written.
    sandbox.control.add_fault("file.GET" if source == "kaltura" else "s3.GetObject", before=look)
    ran = run("download", "--id", entry_id, "--from", source, "-o", "video.mp4")
    assert ran.code == 0, ran.err
    assert [mode for _, mode in seen] == [0o600]
    assert seen[0][0] != "video.mp4"
    assert files() == ["video.mp4"]
    assert Path("video.mp4").read_bytes() == bytes(5_000_000)


def test_a_download_goes_into_the_folder_that_is_named(sandbox: Sandbox, run: Run) -> None:
    content = b"the video" * 100
    entry_id = sandbox.add("initial", content=content)
    Path("videos").mkdir()
    ran = run("download", "--id", entry_id, "--tmp", "videos")
    assert (ran.code, ran.rows[0]["file"]) == (0, f"videos/{entry_id}.mp4")
    assert Path(f"videos/{entry_id}.mp4").read_bytes() == content
    assert run("download", "-i", entry_id, "--tmp", "none").err.startswith(f"error: cannot write none/{entry_id}.mp4: ")
    assert "leave out --tmp" in run("download", "-i", entry_id, "--tmp", "videos", "-o", "x.mp4").err


@pytest.mark.parametrize("source", ["kaltura", "s3"])
def test_a_download_to_stdout_is_the_video_and_nothing_else(sandbox: Sandbox, run: Run, source: str) -> None:
    del run  # only its environment is wanted
    content = os.urandom(3_000_000)
    entry_id = sandbox.add("archived", content=content)
    command = [sys.executable, "-m", "kaltura_archiver", "download", "--id", entry_id, "--from", source, "-o", "-"]
    ended = subprocess.run(command, capture_output=True, timeout=60, check=True)
    assert ended.stdout == content
    told = f"wrote {entry_id} to stdout, from {source}: 3000000 bytes, sha256 {hashlib.sha256(content).hexdigest()}\n"
    assert ended.stderr.decode().endswith(told)
    assert files() == []


def test_a_download_to_stdout_that_went_wrong_is_told_by_its_status(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add("placeholder")
    sandbox.control.add_fault("s3.GetObject", "flip")
    ran = run("download", "--id", entry_id, "-o", "-")
    assert ran.code == 1
    assert "stdout does not have the video" in ran.err
    ran = run("download", "--id", entry_id, "-o", "-", "--from", "kaltura")
    assert (ran.code, ran.out.encode()) == (3, sandbox.placeholder)
    assert f"this is the placeholder, not the video of {entry_id}" in ran.err


def test_an_existing_file_is_not_overwritten_unless_forced(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add("initial", content=b"the video" * 100)
    Path("mine.mp4").write_bytes(b"precious")
    ran = run("download", "--id", entry_id, "--output", "mine.mp4")
    assert ran.code == 2
    assert ran.err.startswith("error: mine.mp4 exists")
    assert Path("mine.mp4").read_bytes() == b"precious"
    assert run("download", "--id", entry_id, "--output", "mine.mp4", "--force").code == 0
    assert Path("mine.mp4").read_bytes() == b"the video" * 100
    assert files() == ["mine.mp4"]


def test_a_folder_that_does_not_exist_is_told(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add("initial")
    ran = run("download", "--id", entry_id, "-o", "nowhere/video.mp4")
    assert ran.code == 2
    assert re.fullmatch(r"error: cannot write nowhere/video.mp4: .+\n", ran.err)
    assert files() == []


@pytest.mark.parametrize(
    ("state", "options", "source"),
    [
        ("archived", (), "kaltura"),
        ("archived", ("--from", "s3"), "s3"),
        ("placeholder", (), "s3"),
        ("half-tagged", (), "s3"),
        ("no-original", (), "s3"),
    ],
)
def test_a_download_takes_the_original_from_where_it_is(
    sandbox: Sandbox, run: Run, state: str, options: tuple[str, ...], source: str
) -> None:
    content = b"the real video" * 1000
    entry_id = sandbox.add(state, content=content)
    ran = run("download", "--id", entry_id, *options)
    assert ran.code == 0, ran.err
    assert ran.rows[0]["source"] == source
    assert Path(ran.rows[0]["file"]).read_bytes() == content


def test_from_kaltura_of_a_placeholder_is_the_placeholder(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add("placeholder")
    ran = run("download", "--id", entry_id, "--from", "kaltura", "-o", "shown.mp4")
    assert Path("shown.mp4").read_bytes() == sandbox.placeholder
    assert ran.code == 3
    assert f"shown.mp4 is the placeholder, not the video of {entry_id}" in ran.err


@pytest.mark.parametrize("state", ["initial", "lost", "half-tagged"])
def test_a_placeholder_is_told_from_the_video_by_its_bytes_or_by_its_tags(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    entry_id = sandbox.add(state, content=sandbox.placeholder if state == "initial" else None)
    if state != "initial":  # another placeholder is in use by now
        monkeypatch.delenv("PLACEHOLDER_VIDEO")
    ran = run("download", "--id", entry_id, "--from", "kaltura", "-o", "shown.mp4")
    assert (ran.code, Path("shown.mp4").read_bytes()) == (3, sandbox.placeholder)
    assert "is the placeholder" in ran.err


def test_the_video_is_not_called_a_placeholder(sandbox: Sandbox, run: Run) -> None:
    for state in ("initial", "archived", "diverged", "unsettled", "untagged"):
        ran = run("download", "--id", sandbox.add(state), "--from", "kaltura")
        assert (ran.code, ran.err) == (0, ""), state


@pytest.mark.parametrize("storage_class", ["GLACIER", "DEEP_ARCHIVE"])
def test_a_frozen_copy_is_waited_for_and_not_asked_to_thaw(sandbox: Sandbox, run: Run, storage_class: str) -> None:
    entry_id = sandbox.add("placeholder", storage_class=storage_class)
    ran = run("download", "--id", entry_id)
    assert ran.code == 3
    assert re.fullmatch(
        rf"error: the stored copy of {entry_id} is frozen in {storage_class}: .+verify --id {entry_id} --request.+\n",
        ran.err,
    )
    assert ran.out == ""
    assert files() == []
    assert sandbox.control.writes() == []


def test_a_byte_that_was_changed_on_the_way_from_s3_leaves_no_file(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add("placeholder")
    sandbox.control.add_fault("s3.GetObject", "flip")
    ran = run("download", "--id", entry_id)
    assert ran.code == 1
    assert ran.out == ""
    assert files() == []
    assert len(ran.err.splitlines()) == 1
    assert ran.err.startswith("error: ")


def test_an_object_that_is_not_what_was_archived_leaves_no_file(sandbox: Sandbox, run: Run) -> None:
    content = b"the real video" * 1000
    entry_id = sandbox.add("placeholder", content=content)
    tags = sandbox.s3.tags(entry_id)
    sandbox.s3.put(entry_id, content[:-1] + b"X", tags=tags)
    ran = run("download", "--id", entry_id)
    assert ran.code == 1
    assert "not what was archived" in ran.err
    assert files() == []


def test_an_empty_answer_of_the_file_host_leaves_no_file(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error of the host is an empty page with status 200 (kaltura-api 4.5)."""
    do_not_wait(monkeypatch)
    entry_id = sandbox.add("initial")
    sandbox.control.add_fault("file.GET", "error", code="FILE_NOT_FOUND", times=10)
    ran = run("download", "--id", entry_id)
    assert ran.code == 1
    assert ran.err.startswith("error: ")
    assert files() == []


def test_no_copy_and_no_original_are_told(sandbox: Sandbox, run: Run) -> None:
    initial, empty = sandbox.add("initial"), sandbox.add("empty")
    ran = run("download", "--id", initial, "--from", "s3")
    assert (ran.code, files()) == (1, [])
    assert f"there is no stored copy of {initial}" in ran.err
    ran = run("download", "--id", empty)
    assert (ran.code, files()) == (3, [])
    assert "no READY original" in ran.err


@pytest.mark.parametrize("arguments", [["--help"], ["s3copy", "--help"], ["stats", "--help"], ["plan", "--help"]])
def test_help_needs_none_of_the_heavy_libraries(arguments: list[str]) -> None:
    """They cost about half a second each (design 1)."""
    code = (
        "import sys, atexit; "
        "atexit.register(lambda: print(*sys.modules, file=sys.stderr)); "
        "from kaltura_archiver.cli import main; main()"
    )
    ended = python("-c", code, *arguments)
    assert ended.returncode == 0
    heavy = {
        "KalturaClient", "boto3", "botocore", "requests", "urllib3", "lxml", "ldap3", "dotenv", "distributed", "rich",
        "jinja2", "av", "PIL", "hashlib", "tomllib", "kaltura_archiver.kaltura.wire", "kaltura_archiver.store.bucket",
    }  # fmt: skip
    assert not heavy & set(ended.stderr.split())


def test_the_version_is_told(run: Run) -> None:
    assert re.fullmatch(r"kaltura-archiver, version \d+\.\d+\.\d+\n", run("--version").out)
