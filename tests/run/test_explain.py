"""`explain`: the state first, each reason once, and what was done when, and by which run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from conftest import Run
from looking import use_run_log
from rich.cells import cell_len
from terminal import on_terminal

from kaltura_archiver.model import State
from kaltura_archiver.sandbox.world import Sandbox

VIDEO = b"a lecture of an hour and a half\n" * 4000


def test_the_state_comes_first_and_a_refusal_is_said_once(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add("diverged", name="Logic")
    lines = run("explain", entry_id).out.splitlines()
    assert lines[0] == f"diverged: Logic ({entry_id})"
    assert lines[1].startswith("  the original and the stored copy differ")
    assert lines[2].startswith("  → perhaps a newer upload")
    assert sum("decide which one is to stay" in line for line in lines) == 1
    assert "  s3copy, replace_video, thin, restore, repair: refused, as said above" in lines
    fine = run("explain", sandbox.add("archived")).out
    assert fine.startswith("archived: ")
    assert "newer" not in fine


def test_the_history_tells_what_was_done_when_and_by_which_run(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_run_log(monkeypatch)
    entry_id = sandbox.add("initial")
    runs = []
    for command in ("s3copy", "replace_video", "restore"):
        arguments = ("--min-age-years", 0) if command == "replace_video" else ()
        ran = run(command, "--id", entry_id, *arguments, "--no-dry-run")
        assert ran.outcomes == {entry_id: "done"}
        runs.append((f"{command}: done", re.search(r"run=(\w+)", ran.err)[1]))  # type: ignore[index]
    told = run("explain", entry_id, "--format", "json").json["history"]
    assert [event["what"] for event in told if "run" in event] == []
    assert {"created in Kaltura", "the stored copy was written", "the original was restored"} <= {
        event["what"] for event in told
    }
    told = run("explain", entry_id, "--history", "--format", "json").json["history"]
    assert sorted((event["what"], event["run"]) for event in told if "run" in event) == sorted(runs)
    assert [event["at"] for event in told] == sorted(event["at"] for event in told)
    assert f"restore: done (run {runs[-1][1]})" in run("explain", entry_id, "--history").out


def test_the_evidence_fits_a_terminal_and_names_what_kaltura_numbers(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    entry = sandbox.add("placeholder")
    process, terminal = on_terminal("explain", entry)
    assert process.wait(60) == 0
    lines = terminal.lines()
    assert max(map(cell_len, lines)) <= 80
    told = run("explain", entry, "--format", "json").json
    assert told["object"]["tags"]["sha256"] in "".join(lines)
    assert any(line.split() == ["status:", "READY", "(2)"] for line in lines)
    assert any(line.split() == ["media_type:", "VIDEO", "(1)"] for line in lines)
    assert told["entry"]["status"] == "2"


@pytest.mark.parametrize("made", ["clip", "clone", "clip of a stream", "nothing"])
def test_what_was_made_of_an_entry_keeps_it_from_thin_whoever_tells(sandbox: Sandbox, run: Run, made: str) -> None:
    """`thin`, `explain`, and `--check` and `--explain` of a policy."""
    fields: dict[str, Any] = {"content": VIDEO, "derived": 3, "duration_ms": 5_400_000}
    entry_id = cut = sandbox.add(State.ARCHIVED, tags="lecture", **fields)
    if made == "clip of a stream":
        cut = sandbox.add(State.ARCHIVED, parent_id=entry_id, display_in_search=-1, **fields)
    if made == "clone":
        sandbox.add(State.ARCHIVED, content=VIDEO, root_id=cut)
    elif made != "nothing":
        sandbox.kaltura.add_entry(b"a clip of it" * 99, root_id=cut)
    row = next(row for row in run("thin", "--id", entry_id).rows if row["entry_id"] == entry_id)
    said = "" if row["outcome"] == "would" else f"{row['outcome']}: "
    assert run("explain", entry_id, "--format", "json").json["commands"]["thin"] == f"{said}{row['detail']}"
    Path("policy.toml").write_text('[[rule]]\nname = "r"\nselect = { tag = "lecture" }\narchive = {}\nthin = {}\n')
    told = {of: {row["stage"]: row for row in run("run", *of).rows} for of in (("--check",), ("--explain", entry_id))}
    may = made == "nothing"
    assert (row["outcome"] == "would", told["--check",]["thin"]["due"] == "1") == (may, may)
    assert (told["--explain", entry_id]["thin"]["says"] == "due") == may
