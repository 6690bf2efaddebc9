"""What may be typed: ages, files of ids as other commands make them, and what people try first."""

from __future__ import annotations

import re
import time
from pathlib import Path

import click
import pytest
from conftest import Run

from kaltura_archiver.cli import commands
from kaltura_archiver.cli.table import COMMANDS, GROUPS
from kaltura_archiver.cli.types import Age
from kaltura_archiver.filters import YEAR_SECONDS
from kaltura_archiver.sandbox.world import Sandbox

# Ages

NOW = 1_800_000_000  # 2027-01-15T08:00:00Z


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("3", 3 * YEAR_SECONDS), ("2.5", 2.5 * YEAR_SECONDS), ("0", 0), ("18mo", 1.5 * YEAR_SECONDS),
        ("400d", 400 * 86400), ("2027-01-15", 8 * 3600), ("2024-02-29", NOW - 1_709_164_800),
    ],
)  # fmt: skip
def test_an_age_is_years_months_days_or_a_day(monkeypatch: pytest.MonkeyPatch, text: str, seconds: float) -> None:
    monkeypatch.setattr(time, "time", lambda: float(NOW))
    assert Age().convert(text, None, None) * YEAR_SECONDS == pytest.approx(seconds)
    assert Age(in_seconds=True).convert(text, None, None) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", "-1", "nan", "inf", "3y", "1001", "18 mo", "2027-01-16", "2024-13-01", "2024/08/31"]
)
def test_what_is_no_age_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(time, "time", lambda: float(NOW))
    with pytest.raises(click.BadParameter, match="is not an age: years"):
        Age().convert(text, None, None)


@pytest.mark.parametrize(("text", "told"), [("30", True), ("20", False), ("30d", False), ("2000-01-01", False)])
def test_so_many_years_are_mostly_days(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, text: str, told: bool
) -> None:
    monkeypatch.setattr(time, "time", lambda: float(NOW))
    Age().convert(text, None, None)
    assert ("30 days are 30d" in caplog.text) is told


@pytest.mark.parametrize("word", ["--created-before", "--unplayed-for"])
def test_an_age_of_no_time_is_no_criterion_and_lifts_no_guard(sandbox: Sandbox, run: Run, word: str) -> None:
    entry_id = sandbox.add("archived", age_years=0.1)
    assert "without any selection criterion" in run("replace_video", word, "0").err
    assert run("replace_video", word, "0", "--all").outcomes == {entry_id: "skipped"}


def test_ages_select(sandbox: Sandbox, run: Run) -> None:
    now = sandbox.control.clock.now()
    young, old = (sandbox.add("initial", created_at=now - days * 86400) for days in (100, 500))
    for age in ("400d", "13mo", "1.1", time.strftime("%Y-%m-%d", time.gmtime(now - 300 * 86400))):
        assert [row["entry_id"] for row in run("list", "--created-before", age).rows] == [old]
        assert [row["entry_id"] for row in run("list", "--created-within", age).rows] == [young]
        assert [row["entry_id"] for row in run("list", "--unplayed-for", age).rows] == [old]


# Own output is own input

ODD_NAME = 'Logic, "part" 2\n# of 0_other\tx'


@pytest.mark.parametrize("style", ["tsv", "csv"])
def test_rows_of_list_and_health_are_files_of_ids(sandbox: Sandbox, run: Run, style: str) -> None:
    ids = {sandbox.add("archived", name=name) for name in ("Algebra", ODD_NAME, "Topology")}
    for command in (["list", "--columns", "name,plays,entry_id"], ["health"], ["s3copy", "--all"]):
        made = run(*command, "--format", style).out.encode()
        assert run("verify", "--idfile", "-", stdin=made).outcomes.keys() == ids


@pytest.mark.parametrize(
    "text",
    [
        "{a}\n{b}\n", "# of May\n\n  {a}  \n# and\n{b}", "'{a}'\r\n\"{b}\"\r\n", "entry_id\n{a}\n{b}\n{a}\n",
        '\ufeff"name","entry_id"\n"x, y","{a}"\n"two\nlines","{b}"\n', "plays\tENTRY_ID\n3\t{a}\n\t{b}\n",
    ],
)  # fmt: skip
def test_ids_may_be_commented_quoted_and_in_a_column(sandbox: Sandbox, run: Run, tmp_path: Path, text: str) -> None:
    a, b = sandbox.add("initial"), sandbox.add("archived")
    sandbox.add("initial")
    (tmp_path / "ids").write_bytes(text.format(a=a, b=b).encode())
    assert sorted(row["entry_id"] for row in run("list", "--idfile", "ids").rows) == sorted([a, b])


# Help


def test_the_help_of_all_commands_has_a_line_for_each_that_is_not_cut(run: Run) -> None:
    assert list(COMMANDS) == [name for group in GROUPS.values() for name in group]
    assert {path.stem for path in Path(commands.__file__).parent.glob("*.py")} == {"__init__", *COMMANDS}
    lines = run("--help").out.splitlines()
    for name, summary in COMMANDS.items():
        assert re.compile(rf"  {name} +{re.escape(summary)}").fullmatch(
            next(line for line in lines if line.startswith(f"  {name} "))
        )
    assert max(map(len, lines)) <= 80


def test_what_people_type_first_works(run: Run) -> None:
    assert run("help").out == run("--help").out
    assert run("help", "health").out == run("health", "--help").out
    assert run("version").out == run("-V").out == run("--version").out


def test_everyday_options_come_first(run: Run) -> None:
    text = run("s3copy", "--help").out
    everyday, seldom = text.split("\nMore options:\n")
    for name in ("--tag", "--unplayed-for", "--no-dry-run", "--storage-class", "--all"):
        assert name in everyday
    for name in ("--shard", "--cluster", "--page-size", "--no-lock", "--s3copy"):
        assert f" {name}" in seldom


@pytest.mark.parametrize(("word", "command"), [("archive", "s3copy"), ("place_holder", "replace_video")])
def test_words_of_the_old_page_are_commands(sandbox: Sandbox, run: Run, word: str, command: str) -> None:
    entry_id = sandbox.add("archived" if command == "replace_video" else "initial")
    assert run(word, "--id", entry_id).outcomes == run(command, "--id", entry_id).outcomes == {entry_id: "would"}


def test_more_or_less_is_told_and_colours_are_chosen(sandbox: Sandbox, run: Run) -> None:
    assert "DEBUG" in run("-v", "s3copy", "--id", sandbox.add("initial"), "--no-dry-run").err
    entry_id = sandbox.add("lost")
    assert run("-q", "s3copy", "--id", entry_id).err == ""
    assert run("-v", "-q", "list").code == 2
    for color, wanted in (("always", True), ("never", False), ("auto", False)):
        assert ("\x1b[" in run("--color", color, "explain", entry_id).out) is wanted


def test_a_column_of_ids_may_be_called_id(sandbox: Sandbox, run: Run) -> None:
    ids = [sandbox.add("initial") for _ in range(2)]
    Path("ids.txt").write_text("id\n" + "\n".join(ids))
    assert {row["entry_id"] for row in run("list", "--idfile", "ids.txt").rows} == set(ids)


@pytest.mark.parametrize(
    "text",
    [
        "title,entry_id\n#MeToo seminar,{a}\nOther,{b}\n",
        "name\tentry_id\n#1 Introduction\t{a}\n# 2\t{b}\n",
        "title,entry_id\n# made by hand\nOne,{a}\nTwo,{b}\n#Three,#{a}\n",
    ],
)
def test_a_title_is_no_comment(sandbox: Sandbox, run: Run, tmp_path: Path, text: str) -> None:
    a, b = sandbox.add("initial"), sandbox.add("initial")
    (tmp_path / "ids").write_text(text.format(a=a, b=b))
    assert set(run("s3copy", "--idfile", tmp_path / "ids").outcomes) == {a, b}


@pytest.mark.parametrize(
    "text",
    [
        '"Name, title",entry_id,recorded_from\n"x, y",{a},{b}\n',
        '"Name; title";entry_id;recorded_from\n"x; y";{a};{b}\n',
        '"Name, title";entry_id;recorded_from\nx;{a};{b}\n',
        '"Name\n(title)",entry_id,recorded_from\n"x\ny",{a},{b}\n',
        "\tentry_id\tname\n{b}\t{a}\tx\n",
        ",entry_id,name,,\n{b},{a},x,,\n",
    ],
)
def test_the_column_of_ids_is_found_as_the_rows_are_read(sandbox: Sandbox, run: Run, tmp_path: Path, text: str) -> None:
    """Quotes, breaks and columns without a name in the first line shift nothing."""
    a, b = sandbox.add("initial"), sandbox.add("initial")
    (tmp_path / "ids").write_text(text.format(a=a, b=b))
    assert set(run("s3copy", "--idfile", tmp_path / "ids").outcomes) == {a}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name,entry_id,from\nAlgebra, I,{a},{b}\n", "line 2 has more cells than the first line"),
        ("entry_id\tname\tentry_id\n{a}\tx\t{b}\n", "two columns are called entry_id"),
    ],
)
def test_a_table_whose_columns_are_not_certain_is_refused(
    sandbox: Sandbox, run: Run, tmp_path: Path, text: str, words: str
) -> None:
    a, b = sandbox.add("initial"), sandbox.add("initial")
    (tmp_path / "ids").write_text(text.format(a=a, b=b))
    ran = run("s3copy", "--idfile", tmp_path / "ids")
    assert (ran.code, ran.out) == (2, "")
    assert words in ran.err


@pytest.mark.parametrize("cell", ['"unclosed', '"12" disc'])
def test_a_stray_quote_swallows_no_line(sandbox: Sandbox, run: Run, tmp_path: Path, cell: str) -> None:
    a, b = sandbox.add("initial"), sandbox.add("initial")
    (tmp_path / "ids.csv").write_text(f"entry_id,name\n{a},{cell}\n{b},x\n")
    ran = run("s3copy", "--idfile", tmp_path / "ids.csv")
    assert (ran.code, ran.out) == (2, "")
    assert "is no CSV" in ran.err
