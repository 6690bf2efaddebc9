"""`--archived-before`, `--replaced-before`, `--thinned-before`: by what is recorded with each stored copy."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from conftest import Run
from looking import do_not_wait, names

from kaltura_archiver.model import ARCHIVED_TAG, REPLACED_TAG
from kaltura_archiver.sandbox.world import Sandbox

DAY = 86400


def ago(days: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - days * DAY))


def record(sandbox: Sandbox, entry_id: str, *, archived: int | None = None, **tags: str) -> None:
    """Have the stored copy say that it was stored so many days ago, and these tags."""
    body = sandbox.s3.body(entry_id)
    assert body is not None
    metadata = sandbox.s3.metadata(entry_id) | ({"archived-at": ago(archived)} if archived is not None else {})
    more = {name.replace("_", "-"): value for name, value in tags.items()}
    sandbox.s3.put(entry_id, body, metadata=metadata, tags=sandbox.s3.tags(entry_id) | more)


@pytest.fixture
def library(sandbox: Sandbox) -> dict[str, str]:
    found = {
        "original": sandbox.add("initial"),
        "old": sandbox.add("archived"), "new": sandbox.add("archived"), "unrecorded": sandbox.add("archived"),
        "no copy": sandbox.add("initial", tags=ARCHIVED_TAG),
        "long replaced": sandbox.add("placeholder"), "replaced": sandbox.add("placeholder"),
        "replaced, unrecorded": sandbox.add("placeholder"), "brought back": sandbox.add("placeholder"),
        "odd record": sandbox.add("placeholder"), "long thin": sandbox.add("thin"), "thin": sandbox.add("thin"),
    }  # fmt: skip
    for name, days in (("old", 400), ("new", 3), ("long replaced", 800), ("long thin", 900)):
        record(sandbox, found[name], archived=days)
    for name, days in (("long replaced", 500), ("replaced", 5), ("long thin", 600), ("thin", 6)):
        record(sandbox, found[name], replaced_at=ago(days))
    record(sandbox, found["brought back"], replaced_at=ago(500), restored_at=ago(400))
    record(sandbox, found["odd record"], replaced_at="long ago")
    sandbox.kaltura.settle()
    return found


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("--archived-before 1", {"old", "long replaced", "long thin"}),
        ("--archived-before 18mo", {"long replaced", "long thin"}),
        ("--archived-before 1 --tag !flavors_deleted", {"old", "long thin"}),
        ("--archived-before 2d", {"old", "new", "long replaced", "long thin"}),
        ("--replaced-before 400d", {"long replaced"}),
        ("--replaced-before 4d", {"long replaced", "replaced"}),
        ("--thinned-before 400d", {"long thin"}),
        ("--thinned-before 1d", {"long thin", "thin"}),
        ("--thinned-before 1d --archived-before 899d", {"long thin"}),
        ("--thinned-before 1d --replaced-before 1d", set()),
    ],
)
def test_each_selects_by_what_is_recorded(library: dict[str, str], run: Run, options: str, expected: set[str]) -> None:
    assert names(library, run("list", *options.split()).rows) == expected
    assert names(library, run("restore", *options.split()).rows) == expected


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("--archived-before 18mo", {"long replaced", "long thin"}),
        ("--replaced-before 400d", {"long replaced"}),
        ("--thinned-before 1d --archived-before 899d", {"long thin"}),
    ],
)
def test_whatever_selects_has_them(library: dict[str, str], run: Run, options: str, expected: set[str]) -> None:
    assert run("count", *options.split()).rows[0]["count"] == str(len(expected))
    Path("ids.txt").write_text("\n".join(library.values()))
    assert names(library, run("list", "--idfile", "ids.txt", *options.split()).rows) == expected
    assert names(library, run("health", *options.split()).rows) == expected
    assert run("plan", "restore", "-o", "-", *options.split()).out.count('"kind": "entry"') == len(expected)


@pytest.mark.parametrize("command", ["stats", "due --years 3", "report -o page.html"])
def test_the_figures_are_of_the_same_selection(library: dict[str, str], run: Run, command: str) -> None:
    ran = run(*command.split(), "--archived-before", "1", "--thinned-before", "400d")
    assert (ran.code, "unexpected" in ran.err) == (0, False), ran.err


def test_where_nothing_is_recorded_it_is_since_when_s3_has_it(library: dict[str, str], run: Run) -> None:
    before = time.strftime("%Y-%m-%d", time.gmtime(time.time() + DAY))
    assert "is not an age" in run("list", "--archived-before", before).err
    found = names(library, run("list", "--archived-before", "0").rows)
    assert found == set(library) - {"original", "no copy"}
    assert "unrecorded" not in names(library, run("list", "--archived-before", "1d").rows)


def test_what_is_brought_back_of_what_was_replaced_long_ago_is_nothing_else(
    library: dict[str, str], sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    do_not_wait(monkeypatch)
    ran = run("restore", "--replaced-before", "400d", "--no-dry-run")
    assert ran.outcomes == {library["long replaced"]: "done"}
    assert sorted(entry.id for entry in sandbox.kaltura.entries.values() if REPLACED_TAG in entry.tags) == sorted(
        library[name] for name in ("replaced", "replaced, unrecorded", "brought back", "odd record")
    )


def test_only_copies_of_what_else_matches_are_looked_at(library: dict[str, str], sandbox: Sandbox, run: Run) -> None:
    before = len(sandbox.control.requests("s3.HeadObject"))
    run("list", "--archived-before", "1", "--id", library["old"], "--id", library["original"])
    assert len(sandbox.control.requests("s3.HeadObject")) - before == 1


def test_a_list_that_is_not_about_copies_needs_no_bucket(
    library: dict[str, str], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_BUCKET", "")
    assert run("list").code == 0
    ran = run("list", "--archived-before", "1")
    assert (ran.code, "AWS_BUCKET" in ran.err) == (2, True)
