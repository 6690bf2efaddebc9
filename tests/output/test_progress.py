"""The bar of long work: who sees it, what it says, and that it harms neither rows nor log lines nor the terminal."""

from __future__ import annotations

import io
import logging
import os
import re
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

import pytest
from conftest import Run
from rich.cells import cell_len
from rich.console import Console
from terminal import COLUMNS, Terminal, on_terminal

from kaltura_archiver.apply.room import Room
from kaltura_archiver.output import progress as module
from kaltura_archiver.output.logs import set_up_logging
from kaltura_archiver.output.progress import bytes_progress, progress
from kaltura_archiver.sandbox.control import Request
from kaltura_archiver.sandbox.world import Sandbox
from kaltura_archiver.transfer.bandwidth import Bandwidth, Timetable

LOG_LINE = re.compile(r"\d\d:\d\d:\d\d .+")
log = logging.getLogger("kaltura_archiver.test")


@pytest.fixture(autouse=True)
def a_person_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CI", "NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    with Terminal() as terminal:
        yield terminal


@contextmanager
def standing(terminal: Terminal, *, stderr: TextIO | None = None, stdout: TextIO | None = None) -> Iterator[None]:
    """Stderr is the terminal, stdout is a file, if nothing else is said."""
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryFile("w") as file:
        patch.setattr("sys.stderr", stderr or terminal.file)
        patch.setattr("sys.stdout", stdout or file)
        patch.setattr(logging.getLogger(), "handlers", [])
        set_up_logging("INFO", "text")
        yield


def drawn(terminal: Terminal, *, streamed: bool = False) -> bool:
    """Whether there is a bar; the items come in any case."""
    with progress("test", "abc", lambda: 3, streamed=streamed) as items:
        assert list(items) == ["a", "b", "c"]
    assert ("3/3 100%" in terminal.written) is bool(terminal.written)
    return bool(terminal.written)


# Who sees it


def test_a_bar_is_drawn_on_a_terminal_and_nothing_is_left_of_it(terminal: Terminal) -> None:
    with standing(terminal):
        assert drawn(terminal)
    assert terminal.lines() == []


def test_none_is_drawn_where_stderr_is_no_terminal_and_rich_is_not_imported(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "rich.console", None)
    with standing(terminal, stderr=io.StringIO()):
        assert not drawn(terminal)


@pytest.mark.parametrize(("name", "value"), [("TERM", "dumb"), ("TERM", None), ("CI", "true"), ("CI", "1")])
def test_none_is_drawn_where_the_environment_says_that_nobody_looks(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, name: str, value: str | None
) -> None:
    monkeypatch.setenv(name, value) if value else monkeypatch.delenv(name)
    with standing(terminal):
        assert not drawn(terminal)


def test_none_is_drawn_between_log_lines_in_json(terminal: Terminal) -> None:
    with standing(terminal):
        set_up_logging("INFO", "json")
        assert not drawn(terminal)


def test_none_is_drawn_from_the_background(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.tcgetpgrp", lambda descriptor: os.getpgrp() + 1)
    with standing(terminal):
        assert not drawn(terminal)


@pytest.mark.parametrize("streamed", [True, False])
def test_none_is_drawn_between_rows_on_the_same_terminal(terminal: Terminal, streamed: bool) -> None:
    with standing(terminal, stdout=terminal.file):
        assert drawn(terminal, streamed=streamed) is not streamed


def test_none_is_drawn_where_who_reads_the_rows_may_write_on_the_terminal(terminal: Terminal) -> None:
    reader, writer = os.pipe()
    with os.fdopen(reader), os.fdopen(writer, "w") as pipe, standing(terminal, stdout=pipe):
        assert not drawn(terminal)


def test_colours_are_left_out_where_they_are_not_wanted(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    with standing(terminal):
        assert drawn(terminal)
    assert not re.search(r"\x1b\[[0-9;]*m", terminal.written)


# What it says


class Clock:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module.time, "monotonic", clock)
    return clock


def said(bar: module._Bar, width: int = COLUMNS) -> str:
    console = Console(width=width, file=io.StringIO(), color_system=None)
    with console.capture() as captured:
        console.print(bar.lines(width))
    lines = captured.get().splitlines()
    assert len(lines) <= 2
    assert max(map(len, lines)) <= width
    return re.sub("[━╸╺ ]+", " ", captured.get()).strip()


def test_it_says_how_far_how_fast_and_how_long_still(clock: Clock) -> None:
    done, moved = 0, 0
    bar = module._Bar(
        "s3copy", lambda: done, lambda: 2000, "{:,}".format, moved=lambda: moved, told=lambda: ["", "3 converting"]
    )
    assert said(bar) == "s3copy 0/2,000 0%\n 3 converting"
    for second in range(1, 101):
        clock.seconds, done, moved = second, 10 * second, (5 if second < 50 else 20) * 2**20 * second
        text = said(bar)
    assert text == "s3copy 1,000/2,000 50% 0:01:40 left\n 1.95 GiB transferred, 20 MiB/s · 3 converting"
    for width in (20, 40, 60, 200):
        said(bar, width)


def test_where_the_number_is_not_known_it_says_how_many_have_come(clock: Clock) -> None:
    bar = module._Bar("enrich", lambda: 12_345, lambda: None, "{:,}".format)
    clock.seconds = 3723
    assert said(bar) == "enrich 12,345 in 1:02:03"


def test_more_than_expected_are_no_more_than_all(clock: Clock) -> None:
    assert "7/7 100%" in said(module._Bar("list", lambda: 7, lambda: 5, str))


@pytest.mark.parametrize(
    ("options", "entries"), [("", 12), ("--max-entries 5", 5), ("--shard 1/3", 4), ("--first-page 2 --page-size 5", 7)]
)
def test_of_a_selection_about_as_many_are_expected_as_come(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch, options: str, entries: int
) -> None:
    for _ in range(12):
        sandbox.kaltura.add_entry(b"x", derived=0)
    asked = []

    @contextmanager
    def progress(what: str, items: object, expected: Callable[[], int], **_: object) -> Iterator[object]:
        yield items
        asked.append(expected())

    monkeypatch.setattr("kaltura_archiver.cli.commands.list.progress", progress)
    assert run("list", *options.split()).code == 0
    assert asked == [entries]


def test_a_download_is_shown_in_bytes(terminal: Terminal) -> None:
    with standing(terminal), bytes_progress("download", lambda: 3 * 2**20, lambda: 4 * 2**20):
        pass
    assert "3 MiB/4 MiB  75%" in terminal.written


def test_bytes_are_counted_as_they_pass_at_whatever_rate() -> None:
    bandwidth = Bandwidth(Timetable("off"), threading.Event())
    bandwidth.passed(3)
    assert bandwidth.moved == 3
    bandwidth.passed(2)
    assert bandwidth.moved == 5


def test_conversions_are_counted_while_they_run() -> None:
    room = Room(2, 5, threading.Event())
    room.begin_conversion()
    room.begin_conversion()
    room.end_conversion()
    assert room.converting == 1


# What it does to lines, rows and the terminal


def test_a_log_line_is_whole_and_harmless_above_the_bar(terminal: Terminal) -> None:
    odd = "[red]Über :smile: " + "wide " * 40 + "\x1b]0;title\x07\x9b31m\r\nend"
    with standing(terminal), progress("test", range(3), lambda: 3) as items:
        for number in items:
            log.info("%d of 3: %s", number + 1, odd)
        sys.stderr.write("from elsewhere\n")
    *lines, last = terminal.log_lines()
    assert max(map(cell_len, terminal.lines())) <= COLUMNS
    assert [LOG_LINE.fullmatch(line) is not None for line in lines] == [True] * 3
    assert lines[0].endswith(r"1 of 3: [red]Über :smile: " + "wide " * 40 + r"\x1b]0;title\x07\x9b31m\r\nend")
    assert last == "from elsewhere"
    assert "\x1b]" not in terminal.written


def test_lines_go_to_stderr_as_before_when_it_is_over(terminal: Terminal) -> None:
    with standing(terminal):
        with suppress(ZeroDivisionError), progress("test", [1], lambda: 1):
            raise ZeroDivisionError
        log.info("over")
    *_, line = terminal.written.split("\n")[:-1]
    assert LOG_LINE.fullmatch(line.rpartition("\x1b[2K")[2])


def test_a_run_on_a_terminal_shows_its_bar_and_leaves_rows_and_lines_whole(
    sandbox: Sandbox, run: Run, tmp_path: Path
) -> None:
    del run  # only its environment is wanted
    entries = [sandbox.add("initial", content=b"video" * 10_000) for _ in range(3)]
    rows = tmp_path / "rows.tsv"
    process, terminal = on_terminal("s3copy", "--all", "--no-dry-run", stdout=rows)
    assert process.wait(60) == 0
    assert "3/3 100%" in terminal.written
    assert re.search(r"\d\d\d KiB transferred, .*/s · .*done 3", terminal.written)
    assert "\x1b[?25l" not in terminal.written  # the cursor was never hidden: whatever ends us, it is there
    lines = terminal.log_lines()
    assert all(LOG_LINE.fullmatch(line) for line in lines)
    assert "summary: done 3; bytes moved 150000, bytes freed 0; 3 entries in " in lines[-1]
    assert sorted(line.split("\t")[0] for line in rows.read_text().splitlines()[1:]) == sorted(entries)


@pytest.mark.parametrize("style", ["tsv", "table"])
def test_rows_on_the_terminal_are_not_torn(sandbox: Sandbox, run: Run, style: str) -> None:
    del run
    entries = [sandbox.add("archived") for _ in range(3)]
    process, terminal = on_terminal("list", "--columns", "entry_id", "--format", style)
    assert process.wait(60) == 0
    assert ("3/3" in terminal.written) is (style == "table")
    assert sorted(terminal.lines()[-3:]) == sorted(entries)
    assert len(terminal.lines()) == (4 if style == "tsv" else 5)


@pytest.mark.parametrize(
    ("number", "code", "says"),
    [(signal.SIGINT, 130, "error: interrupted"), (signal.SIGTERM, -15, None)],
)
def test_a_command_that_is_ended_leaves_the_terminal_as_it_was(
    sandbox: Sandbox, run: Run, tmp_path: Path, number: int, code: int, says: str | None
) -> None:
    del run
    for _ in range(3):
        sandbox.add("archived")
    sent = threading.Event()

    def end(request: Request) -> None:
        process.send_signal(number)
        sent.set()
        process.wait(60)

    sandbox.control.add_fault("flavorAsset.list", before=end)
    process, terminal = on_terminal("health", stdout=tmp_path / "rows.tsv")
    assert process.wait(60) == code
    assert sent.is_set()
    assert not re.search(r"\x1b\[\?\d+[hl]", terminal.written)  # no mode of the terminal was changed
    if says:
        assert terminal.lines() == [says]
