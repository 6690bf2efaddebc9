"""Rows for a person: below each other, cut to the terminal, in colour by meaning; and the verdict of health."""

from __future__ import annotations

import io
import json
import re
import tracemalloc
from pathlib import Path

import pytest
from conftest import Run
from made_facts import facts, original, stored
from rich.cells import cell_len
from terminal import on_terminal

from kaltura_archiver.cli.commands.health import health
from kaltura_archiver.model import Identity, State
from kaltura_archiver.output.rows import HEALTH_ON_SCREEN, LIST_ON_SCREEN, health_row, result_on_screen
from kaltura_archiver.output.screen import Screen, coloured, rows_as, wrapped
from kaltura_archiver.output.verdict import SHOWN, WORST_FIRST, HealthVerdict
from kaltura_archiver.sandbox.world import Sandbox
from kaltura_archiver.states import Judgement
from kaltura_archiver.steps import Command


class Seen(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def wide(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> int:
    monkeypatch.setenv("COLUMNS", str(request.param))
    monkeypatch.setenv("NO_COLOR", "1")
    return int(request.param)


NAMES = ("Algebra", "日本語講義 " * 20, "x" * 300, "\x1b]0;title\x07 tab\t and\nline")


@pytest.mark.parametrize("wide", [80, 100, 120], indirect=True)
@pytest.mark.parametrize("columns", [LIST_ON_SCREEN, (*LIST_ON_SCREEN, "original_bytes"), HEALTH_ON_SCREEN[:-1]])
def test_columns_stand_below_each_other_and_no_line_is_wider_than_the_terminal(
    wide: int, columns: tuple[str, ...]
) -> None:
    stream = io.StringIO()
    with Screen(columns, stream) as screen:
        for name in NAMES:
            screen.write({"entry_id": "0_abcdefgh", "name": name, "plays": 123456, "original_bytes": 2**40})
    lines = stream.getvalue().splitlines()
    assert len(lines) == 1 + len(NAMES)
    assert max(map(cell_len, lines)) <= wide
    assert "\x1b" not in stream.getvalue()
    if "plays" in columns:
        ends = {cell_len(line[: line.index("123,456") + 7]) for line in lines[1:]}
        assert ends == {cell_len(lines[0][: lines[0].index("PLAYS") + 5])}


@pytest.mark.parametrize("wide", [80], indirect=True)
def test_what_is_not_fine_is_told_whole_below_its_row(wide: int) -> None:
    stream = io.StringIO()
    told = "the original and the stored copy differ " * 10 + "\x1b[2J"
    with rows_as("screen", ("outcome", "entry_id", "detail"), stream, note="detail", fine=lambda r: False) as screen:
        screen.write({"outcome": "refused", "entry_id": "0_abcdefgh", "detail": told})
    _, row, *lines = stream.getvalue().splitlines()
    assert row == "refused      0_abcdefgh"
    assert all(line.startswith("    ") and cell_len(line) <= wide for line in lines)
    assert " ".join(" ".join(lines).split()) == " ".join(told.replace("\x1b", r"\x1b").split())


def test_a_price_of_fractions_of_a_cent_is_shown() -> None:
    stream = io.StringIO()
    with rows_as("screen", ("key", "pays_from"), stream) as screen:
        screen.write({"key": "a", "pays_from": 0.0023})
        screen.write({"key": "b", "pays_from": 0.0})
        screen.write({"key": "c", "pays_from": None})
    assert [line.split()[1:] for line in stream.getvalue().splitlines()[1:]] == [["0.0023"], ["0"], []]


def test_a_word_longer_than_the_terminal_is_broken() -> None:
    assert list(wrapped("ab 日本語講義", 8, indent="  ")) == ["  ab", "  日本語", "  講義"]


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({}, True), ({"NO_COLOR": "1"}, False), ({"CLICOLOR": "0"}, False), ({"TERM": "dumb"}, False),
        ({"CLICOLOR": "0", "CLICOLOR_FORCE": "1"}, True), ({"NO_COLOR": "1", "CLICOLOR_FORCE": "1"}, False),
    ],
)  # fmt: skip
def test_colours_are_those_that_the_environment_wants(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], wanted: bool
) -> None:
    for name in ("NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"TERM": "xterm", **environment}.items():
        monkeypatch.setenv(name, value)
    stream = Seen()
    assert coloured(stream) is wanted
    with Screen(("state", "entry_id"), stream) as screen:
        screen.write({"state": "lost", "entry_id": "0_abcdefgh"})
    assert ("\x1b[1;31mlost" in stream.getvalue()) is wanted
    assert not coloured(io.StringIO()) or environment.get("CLICOLOR_FORCE")


# The verdict


def judged(state: State) -> Judgement:
    return Judgement(Identity.UNKNOWN, "", state, "why", "what to do")


def test_the_worst_comes_first_and_the_sum_is_that_of_all() -> None:
    verdict = HealthVerdict()
    wrong = [s for s in State if s not in (State.INITIAL, State.ARCHIVED, State.PLACEHOLDER, State.THIN)]
    for state in (*State, State.LOST, State.INITIAL):
        known = facts(original(), stored())
        judgement = judged(state)
        verdict.add(known, judgement, health_row(known, judgement))
    seen = [row["state"] for row in verdict.problems()]
    assert seen == sorted(seen, key=[str(kind) for kind in WORST_FIRST].index)
    assert set(seen) == set(wrong)
    number = len(wrong) + 1
    assert str(verdict).startswith(f"{number} of {len(State) + 2} need attention: 2 lost, 1 unbacked")
    assert sum(int(str(row["entries"])) for row in verdict.sums()) == len(State) + 2
    assert next(verdict.sums())["state"] == "lost"


def test_its_memory_does_not_grow_with_the_number_of_entries() -> None:
    verdict = HealthVerdict()
    known, judgement = facts(original()), judged(State.LOST)
    for number in range(20_000):
        verdict.add(known, judgement, {"entry_id": f"0_{number:08}", "state": "lost"})
        if number == 2 * SHOWN:
            tracemalloc.start()
    used = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert used < 20_000
    assert len(list(verdict.problems())) == SHOWN
    assert list(verdict.unshown()) == [f"and {20_000 - SHOWN:,} more that are lost"]
    assert str(verdict) == "20,000 of 20,000 need attention: 20,000 lost"


def test_health_looks_at_all_and_where_it_was_not_to_says_so(sandbox: Sandbox, run: Run) -> None:
    for _ in range(3):
        sandbox.add("archived")
    sandbox.kaltura.settle()
    cut = run("health", "--max-entries", "2")
    assert "verdict: the first 2 videos are well; more match, and were not looked at" in cut.err
    assert "verdict: all 3 videos are well" in run("health").err
    assert next(option for option in health.params if option.name == "max_entries").default == -1


def test_health_on_a_terminal_ends_with_its_verdict_and_in_a_pipe_has_all_rows(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("COLUMNS", "100"), ("TERM", "xterm"), ("NO_COLOR", "1")):
        monkeypatch.setenv(name, value)
    for number in range(5):
        sandbox.add("archived", name=f"Fine {number}")
    lost, diverged = sandbox.add("lost", name="Topology"), sandbox.add("diverged", name="Logic")
    process, terminal = on_terminal("health")
    assert process.wait(60) == 1
    lines = terminal.lines()
    assert lines[-1] == "2 of 7 videos need attention: 1 lost, 1 diverged"
    assert re.match(rf"lost +{lost} +Topology ", lines[1])
    assert "do not delete this entry" in " ".join(lines[2:4])
    assert any(re.match(rf"diverged +{diverged} +Logic ", line) for line in lines)
    assert not any("Fine" in line for line in lines)
    assert any(re.match(r"archived +5 ", line) for line in lines)
    process, terminal = on_terminal("health", "--all-rows", "--sort", "created")
    assert process.wait(60) == 1
    assert sum("Fine" in line for line in terminal.lines()) == 5
    assert len(run("health").rows) == 7
    assert {row["entry_id"] for row in run("health", "--only-problems").rows} == {lost, diverged}


def test_rows_are_sorted_over_all_that_match(sandbox: Sandbox, run: Run) -> None:
    sizes = [3000, 9000, 1000, 5000]
    made = {
        sandbox.kaltura.add_entry(
            content_bytes=size, created_at=1_600_000_000 + n, plays=n, last_played_at=1_700_000_000 - n, derived=0
        ).id: size
        for n, size in enumerate(sizes)
    }
    ids = list(made)

    def listed(*arguments: str) -> list[str]:
        return [row["entry_id"] for row in run("list", "--page-size", "2", *arguments).rows]

    assert listed("--sort", "size") == sorted(ids, key=lambda i: -made[i])
    assert listed("--sort", "size", "-n", "2") == [ids[1], ids[3]]
    assert listed("--sort", "created") == ids
    assert listed("--sort", "played") == ids[::-1]
    assert listed("--sort", "plays", "-n", "1") == [ids[3]]
    assert len(listed("-n", "3")) == 3
    rows = run("list", "--columns", "entry_id,original_bytes", "--sort", "size").rows
    assert [int(row["original_bytes"]) for row in rows] == sorted(sizes, reverse=True)
    assert run("list", "-m", "flavor", "--sort", "size").code == 2


def test_what_was_never_played_is_unplayed_since_it_was_created(sandbox: Sandbox, run: Run) -> None:
    """As --unplayed-for has it: yesterday's upload is not what was unplayed for longest."""
    add = sandbox.kaltura.add_entry
    played = add(created_at=1_400_000_000, last_played_at=1_600_000_000, plays=1).id
    new, old = (add(created_at=created).id for created in (1_700_000_000, 1_500_000_000))
    for command in ("list", "health"):
        assert [row["entry_id"] for row in run(command, "--sort", "played").rows] == [old, played, new]


# What a person at a terminal reads


@pytest.mark.parametrize("width", [80, 100])
def test_the_figures_of_stats_fit_and_stand_to_the_right(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, run: Run, width: int
) -> None:
    del run  # only its environment is wanted
    for name, value in (("COLUMNS", str(width)), ("TERM", "xterm"), ("NO_COLOR", "1")):
        monkeypatch.setenv(name, value)
    for state in (State.INITIAL, State.ARCHIVED, State.PLACEHOLDER):
        sandbox.add(state)
    process, terminal = on_terminal("stats", "--kaltura-price", "9000")
    assert process.wait(60) == 0
    head, *rows = terminal.lines()[:10]
    assert max(map(cell_len, [head, *rows])) <= width
    money = "SAVED/MONTH" if width == 80 else "S3/MONTH"  # what there is no room for is left out
    for title in ("ENTRIES", "KALTURA", money):
        end = head.index(f" {title} " if title == "KALTURA" else title) + len(title) + (title == "KALTURA")
        assert all(row[end - 1] != " " and row[end : end + 1].strip() == "" for row in rows), title


def test_a_line_to_type_stays_whole_and_everything_else_fits(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    del run  # only its environment is wanted
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("TERM", "xterm")
    sandbox.add("initial")
    process, terminal = on_terminal("s3copy", "--all", "--unplayed-for", "3", "--tag", "!archived_to_s3", "--dry-run")
    assert process.wait(60) == 0
    *lines, last = terminal.lines()
    assert last == " " * 9 + "kaltura-archiver s3copy --all --unplayed-for 3 --tag '!archived_to_s3' --no-dry-run"
    assert max(map(cell_len, lines)) <= 60
    assert lines[-1].endswith(" nothing was changed; to act:")
    process, terminal = on_terminal("explain", "0_nosuch00")
    assert process.wait(60) == 1
    first, second = terminal.lines()
    assert first.startswith("error: no such entry in this account")
    assert second.startswith(" " * 7)
    assert max(cell_len(first), cell_len(second)) <= 60


def test_what_comes_from_stdin_is_to_be_given_again(sandbox: Sandbox, run: Run) -> None:
    entry = sandbox.add("initial")
    ran = run("s3copy", "--idfile", "-", stdin=f"{entry}\n")
    acts = "kaltura-archiver s3copy --idfile - --no-dry-run"
    assert ran.err.rstrip().endswith(f"nothing was changed; to act, with the same input: {acts}")
    again = run("s3copy", "--idfile", "-", "--no-dry-run", stdin=f"{entry}\n")
    assert again.outcomes == {entry: "done"}
    # Where nothing would be done, there is nothing to type.
    assert run("s3copy", "--idfile", "-", stdin=f"{entry}\n").err.rstrip().endswith("; nothing was changed")


def test_an_id_that_leads_nowhere_is_told_once_and_never_well(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    for name, value in (("COLUMNS", "100"), ("TERM", "xterm"), ("NO_COLOR", "1")):
        monkeypatch.setenv(name, value)
    entry = sandbox.add("placeholder")
    process, terminal = on_terminal("restore", "--id", "0_nosuch00", "--id", entry)
    assert process.wait(60) == 1
    assert terminal.written.count("no such entry") == 1
    verdict = "1 is well; of the ids that were named 1 is no entry's"
    process, terminal = on_terminal("health", "--id", "0_nosuch00", "--id", entry)
    assert process.wait(60) == 1
    assert terminal.lines()[-1] == verdict
    ran = run("health", "--id", "0_nosuch00", "--id", entry)
    assert f"verdict: {verdict}" in ran.err
    assert ran.err.count("no such entry") == 1


@pytest.mark.parametrize(
    ("options", "verdict"),
    [
        ("-n 2", "these 2 videos are well; there may be others, of which nothing is told"),
        ("--first-page 2 --page-size 1", "these 2 videos are well; there may be others, of which nothing is told"),
        ("--id WELL --id RECYCLED", "1 is well; of the ids that were named 1 is left out"),
        (
            "--id WELL --id RECYCLED --id 0_nosuch00",
            "1 is well; of the ids that were named 1 is no entry's and 1 is left out",
        ),
        ("--id WELL --id SOUND", "1 of 2 needs attention: 1 lost"),
        ("", "all 3 videos are well"),
        ("--media-type audio", "1 of 1 audio entry needs attention: 1 lost"),
        ("--id WELL", "1 is well"),
    ],
)
def test_health_says_all_only_where_it_looked_at_all(sandbox: Sandbox, run: Run, options: str, verdict: str) -> None:
    ids = {
        "WELL": sandbox.add("archived"),
        "RECYCLED": sandbox.add("lost", display_in_search=-2),
        "SOUND": sandbox.add("lost", media_type=5),
    }
    for _ in range(2):
        sandbox.add("archived")
    ran = run("health", *(ids.get(word, word) for word in options.split()))
    assert ran.err.rstrip().endswith(f"verdict: {verdict}"), ran.err


def test_no_person_reads_a_whole_sha256_and_scripts_do(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    for name, value in (("COLUMNS", "200"), ("TERM", "xterm"), ("NO_COLOR", "1")):
        monkeypatch.setenv(name, value)
    first, second = sandbox.add("initial"), sandbox.add("initial")
    process, terminal = on_terminal("s3copy", "--id", first, "--no-dry-run")
    assert process.wait(60) == 0
    assert re.search(r"sha256 [0-9a-f]{12}…", terminal.written)
    assert not re.search(r"[0-9a-f]{64}", terminal.written)
    (row,) = run("s3copy", "--id", second, "--no-dry-run").rows
    assert re.search(r"sha256 [0-9a-f]{64}\b", row["detail"])


def test_log_lines_of_an_entry_name_it(sandbox: Sandbox, run: Run, tmp_path: Path) -> None:
    entry = sandbox.add("initial", name='Topology "II"')
    ran = run("--log-format", "json", "s3copy", "--id", entry)
    lines = map(json.loads, ran.err.splitlines())
    assert [line["entry_name"] for line in lines if "entry" in line] == ['Topology "II"']
    process, terminal = on_terminal("s3copy", "--id", entry, stdout=tmp_path / "rows.tsv")
    assert process.wait(60) == 0
    assert f'{entry} "Topology "II"" would copy' in " ".join(terminal.log_lines())


def test_of_the_bytes_of_a_result_those_are_shown_that_the_command_is_about() -> None:
    shown = {command: [c for c in result_on_screen(command) if c.startswith("bytes")] for command in Command}
    assert shown == {
        Command.S3COPY: ["bytes_moved"], Command.REPLACE: ["bytes_freed"], Command.THIN: ["bytes_freed"],
        Command.RESTORE: ["bytes_moved"], Command.REPAIR: ["bytes_moved", "bytes_freed"],
        Command.VERIFY: ["bytes_moved"], Command.RESOLVE: ["bytes_moved"],
    }  # fmt: skip


def test_what_verify_reads_is_no_move(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    del run  # only its environment is wanted
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TERM", "xterm")
    entry = sandbox.add("archived")
    process, terminal = on_terminal("verify", "--id", entry)
    assert process.wait(60) == 0
    assert re.search(r"would 1; read [\d.]+ KiB; 1 entry in ", terminal.written)
