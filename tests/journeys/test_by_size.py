"""`--larger-than`, `--smaller-than`, `--longer-than`: of what is replaced, or thin, Kaltura has other figures."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Run
from looking import do_not_probe, do_not_wait, names

from kaltura_archiver.model import State
from kaltura_archiver.sandbox.world import Sandbox

# The placeholder is smaller than any of these.
LARGE, SMALL = 90_000, 60_000
LARGER, SMALLER = ("--larger-than", "75000"), ("--smaller-than", "75000")


@pytest.fixture
def library(sandbox: Sandbox) -> dict[str, str]:
    found = {
        f"{size} {state.value}": sandbox.add(state, content=bytes([number]) * size_bytes)
        for size, size_bytes in (("large", LARGE), ("small", SMALL))
        for number, state in enumerate((State.INITIAL, State.ARCHIVED, State.PLACEHOLDER, State.THIN))
    }
    assert len(sandbox.placeholder) < SMALL
    sandbox.kaltura.settle()
    return found


def _of(library: dict[str, str], size: str, *but: str) -> set[str]:
    return {name for name in library if name.startswith(size) and not name.endswith(but)}


@pytest.mark.parametrize(("option", "size"), [(LARGER, "large"), (SMALLER, "small")])
@pytest.mark.parametrize("command", ["list", "health", "restore", "verify"])
def test_what_is_in_s3_only_is_measured_by_its_stored_copy(
    library: dict[str, str], run: Run, command: str, option: tuple[str, str], size: str
) -> None:
    assert names(library, run(command, *option).rows) == _of(library, size)
    Path("ids.txt").write_text("\n".join(library.values()))
    assert names(library, run(command, "--idfile", "ids.txt", *option).rows) == _of(library, size)
    assert run("count", *option).rows[0]["count"] == "4"


def test_only_what_is_small_comes_back(
    library: dict[str, str], sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    do_not_wait(monkeypatch)
    ran = run("restore", "--tag", "flavors_deleted", *SMALLER, "--no-dry-run")
    assert ran.outcomes == {library["small placeholder"]: "done"}
    assert len(sandbox.control.requests("*.updateContent")) == 1


def test_only_copies_of_what_kaltura_has_not_are_looked_at(library: dict[str, str], sandbox: Sandbox, run: Run) -> None:
    before = len(sandbox.control.requests("s3.HeadObject"))
    run("list", *LARGER, "--tag", "!original_in_s3")
    assert len(sandbox.control.requests("s3.HeadObject")) - before == 2
    run("list", "--tag", "!original_in_s3")
    assert len(sandbox.control.requests("s3.HeadObject")) - before == 2


def test_where_s3_shows_no_copy_the_size_is_not_known(library: dict[str, str], sandbox: Sandbox, run: Run) -> None:
    sandbox.s3.client().delete_object(Bucket=sandbox.s3.bucket, Key=library["large placeholder"])
    for option in (LARGER, SMALLER):
        assert "large placeholder" not in names(library, run("list", *option).rows)
    ran = run("list", *LARGER, "--id", library["large placeholder"])
    assert "it is not known how large its original in S3 is" in ran.err


def test_without_a_bucket_it_is_said_what_cannot_be_told(
    library: dict[str, str], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_BUCKET", "")
    ran = run("list", *LARGER)
    assert names(library, ran.rows) == _of(library, "large", "placeholder", "thin")
    assert ran.err.count("no bucket is set (AWS_BUCKET)") == 1
    assert "left out: every entry whose original is in S3 only" in ran.err
    counted = run("count", *LARGER)
    assert (counted.rows[0]["count"], counted.err.count("AWS_BUCKET")) == ("2", 1)
    assert "AWS_BUCKET" not in run("list", *LARGER, "--tag", "!flavors_deleted", "--exclude-tag", "original_in_s3").err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("restore --longer-than 1s", "--longer-than: Kaltura has the placeholder's length of what is replaced"),
        ("plan restore -o - --longer-than 1s", "or restore thin entries only (--tag original_in_s3)"),
        ("list --tag flavors_deleted --longer-than 1s", "--longer-than cannot tell anything of what is replaced"),
        ("verify --replaced-before 1d --longer-than 1s", "--longer-than cannot tell anything of what is replaced"),
    ],
)
def test_nothing_replaced_is_selected_by_the_length_of_the_placeholder(
    library: dict[str, str], run: Run, options: str, words: str
) -> None:
    ran = run(*options.split())
    assert (ran.code, ran.out) == (2, "")
    assert words in ran.err
    thin = run("restore", "--longer-than", "1s", "--tag", "original_in_s3")
    assert names(library, thin.rows) == {"large thin", "small thin"}


def test_what_a_rule_has_replaced_by_its_size_stays_its_own(
    library: dict[str, str], sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A later rule would name it for deletion."""
    do_not_probe(monkeypatch)
    Path("policy.toml").write_text(
        '[[rule]]\nname = "large"\nselect = { larger_than = "75000" }\narchive = {}\nreplace = {}\n'
        '[[rule]]\nname = "small"\nselect = { smaller_than = "75000" }\narchive = {}\ndue = { created_before = 4 }\n'
    )
    told = {
        row["rule"]: row["says"]
        for row in run("run", "--explain", library["large placeholder"]).rows
        if not row["stage"]
    }
    assert told == {"large": "yes", "small": "no"}
    assert run("run", "--no-dry-run").code == 0
    (listed,) = Path("lists").glob("small-*-due-*.csv")
    text = listed.read_text()
    assert {name for name, entry_id in library.items() if entry_id in text} == _of(library, "small", "initial")
