"""Rows for a person: below each other, cut to the terminal, in colour by meaning; and the verdict of health."""

from __future__ import annotations

import io
import re
import tracemalloc

import pytest
from conftest import Run
from made_facts import facts, original, stored
from rich.cells import cell_len
from terminal import on_terminal

from kaltura_archiver.model import Identity, State
from kaltura_archiver.output.rows import HEALTH_ON_SCREEN, LIST_ON_SCREEN, health_row
from kaltura_archiver.output.screen import Screen, coloured, rows_as, wrapped
from kaltura_archiver.output.verdict import SHOWN, WORST_FIRST, HealthVerdict
from kaltura_archiver.sandbox.world import Sandbox
from kaltura_archiver.states import Judgement


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
    assert lines[-1] == "2 of 7 need attention: 1 lost, 1 diverged"
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
