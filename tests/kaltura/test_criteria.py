"""What a policy selects by beside tags, plays and dates: asked of the search, and tested again on each entry."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import Run
from looking import names

from kaltura_archiver.sandbox.world import Sandbox

NOW_MORE = 10**6


@pytest.fixture
def library(sandbox: Sandbox) -> dict[str, str]:
    """Entries by a name for what is special about them."""
    sandbox.kaltura.add_category(7, "Physics")
    sandbox.kaltura.add_category(8, "Optics", 7)
    now = int(sandbox.control.clock.now())
    kinds: dict[str, dict[str, Any]] = {
        "plain": {},
        "zoom": {"admin_tags": "zoomentry,xy"},
        "zoomer": {"admin_tags": "zoomentry2"},
        "ann": {"user_id": "ann"},
        "annex": {"user_id": "annex"},
        "anna": {"user_id": "ann@example.edu"},
        "capture": {"source_type": "37"},
        "odd source": {"source_type": "acme.SOURCE"},
        "hour": {"duration_ms": 3_600_000},
        "nearly": {"duration_ms": 3_599_999},
        "unreadable": {"duration_ms": 0},
        "ended": {"end_date": now - 40 * 86400},
        "ends": {"end_date": now + NOW_MORE},
        "below": {"categories": (8,)},
    }
    found = {}
    for name, fields in kinds.items():
        categories = fields.pop("categories", ())
        entry_id = sandbox.add("initial", name=name, categories=categories, creator_id="bob")
        sandbox.kaltura.edit(entry_id, **{"user_id": "bob", "duration_ms": 600_000, **fields})
        found[name] = entry_id
    for name, size in (("large", 5000), ("small", 4999)):
        found[name] = sandbox.add("initial", name=name, content=b"x" * size, creator_id="bob")
        sandbox.kaltura.edit(found[name], user_id="bob", duration_ms=600_000)
    sandbox.kaltura.settle()
    return found


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("--admin-tag zoomentry", {"zoom"}),
        ("--admin-tag ZoomEntry --admin-tag xy", {"zoom"}),
        ("--owner ann", {"ann"}),
        ("--owner ANN --owner annex", {"ann", "annex"}),
        ("--owner @owners.txt", {"ann", "anna"}),
        ("--source lecture_capture", {"capture"}),
        ("--longer-than 1h", {"hour"}),
        ("--longer-than 3600", {"hour"}),
        ("--ends-before 30d", {"ended"}),
        ("--ends-before 0", {"ended"}),
        ("--category Optics --category 7", {"below"}),
        ("--larger-than 5k --smaller-than 6k", {"large"}),
        ("--admin-tag zoomentry --owner ann", set()),
        ("--owner ann@example.edu --owner annex --owner !ann", {"annex"}),
    ],
)
def test_each_selects_exactly_what_it_says(library: dict[str, str], run: Run, options: str, expected: set[str]) -> None:
    Path("owners.txt").write_text("ann\nann@example.edu\n")
    assert names(library, run("list", *options.split()).rows) == expected
    assert run("count", *options.split()).rows[0]["count"] == str(len(expected))
    # The same of entries that are named, of which the search is not asked.
    Path("ids.txt").write_text("\n".join(library.values()))
    assert names(library, run("list", "--idfile", "ids.txt", *options.split()).rows) == expected


@pytest.mark.parametrize(
    ("options", "left_out"),
    [
        ("--uncategorised", {"below"}),
        ("--owner !ann", {"ann", "anna"}),
        ("--owner !@owners.txt", {"ann", "anna", "annex"}),
    ],
)
def test_what_is_left_out_is_so_and_nothing_else(
    library: dict[str, str], run: Run, options: str, left_out: set[str]
) -> None:
    Path("owners.txt").write_text("ann\nannex\n")
    assert set(library) - names(library, run("list", *options.split()).rows) == left_out
    Path("ids.txt").write_text("\n".join(library.values()))
    assert set(library) - names(library, run("list", "--idfile", "ids.txt", *options.split()).rows) == left_out
    assert int(run("count", *options.split()).rows[0]["count"]) == len(library) - len(left_out)


def test_what_the_index_says_and_is_not_so_any_more_is_not_selected(
    library: dict[str, str], sandbox: Sandbox, run: Run
) -> None:
    sandbox.kaltura.settings.index_lag_seconds = 3600
    for name, change in (
        ("zoom", {"admin_tags": ""}), ("ann", {"user_id": "eve"}), ("capture", {"source_type": "1"}),
        ("hour", {"duration_ms": 60_000}), ("ended", {"end_date": None}), ("plain", {"categories": (7,)}),
    ):  # fmt: skip
        sandbox.kaltura.edit(library[name], **change)
    for options in (
        "--admin-tag zoomentry", "--owner ann", "--source lecture_capture", "--longer-than 1h", "--ends-before 30d",
    ):  # fmt: skip
        ran = run("list", *options.split())
        # Whose an entry is the search never tells alone, so that nothing is odd about that one.
        warned = options != "--owner ann"
        assert (ran.rows, "do not match as they are now" in ran.err) == ([], warned), options
    assert not {"plain", "below"} & names(library, run("list", "--uncategorised").rows)


def test_nothing_acts_on_what_is_only_nearly_meant(library: dict[str, str], sandbox: Sandbox, run: Run) -> None:
    ran = run("s3copy", "--admin-tag", "zoomentry", "--no-dry-run")
    assert ran.outcomes == {library["zoom"]: "done"}
    ran = run("s3copy", "--larger-than", "5k", "--smaller-than", "6k", "--no-dry-run")
    assert ran.outcomes == {library["large"]: "done"}
    assert sandbox.s3.keys() == sorted([library["zoom"], library["large"]])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--owner nobody", "there is no user nobody: is that spelled right?"),
        ("--admin-tag zom", "no entry has the admin tag zom: is that spelled right?"),
    ],
)
def test_what_is_misspelled_is_named(library: dict[str, str], run: Run, options: str, words: str) -> None:
    ran = run("list", *options.split())
    assert (ran.code, ran.rows) == (0, [])
    assert words in ran.err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--owner !nobody", "there is no user nobody, whose entries are to be left out"),
        ("--owner @none.txt", "cannot read --owner, none.txt"),
        ("--owner @empty.txt", "--owner, empty.txt: nobody is in it"),
        ("--owner a,b", "is not one Kaltura user"),
        ("--owner ann --owner !ann", "contradiction: owner ann is both selected and excluded"),
        ("--uncategorised --category Physics", "contradiction: --uncategorised and --category"),
        ("--larger-than 2k --smaller-than 1k", "contradiction: --larger-than must be less"),
        ("--larger-than 5x", "'5x' is not a size: bytes, or 500M, 1.5G (thousands), 2GiB"),
        ("--longer-than long", "is not a duration"),
        ("--source zoom", "'zoom' is not one of 'file'"),
        ("--admin-tag a,b", "cannot be a tag"),
        ("--ends-before 2999-01-01", "is not an age"),
        ("--tag \udce4b", "'\\udce4b' is not UTF-8"),
        ("--exclude-tag \udce4b", "is not UTF-8"),
        ("--admin-tag \udce4b", "is not UTF-8"),
        ("--all --keep-tag \udce4b", "is not UTF-8"),
        ("--category Ph\udce4sik", "is not UTF-8"),
        ("--metadata Field=\udce4", "is not UTF-8"),
        ("--owner \udce4b", "is not one Kaltura user"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_done(
    library: dict[str, str], sandbox: Sandbox, run: Run, options: str, words: str
) -> None:
    Path("empty.txt").write_text("")
    ran = run("s3copy", *options.split(), "--no-dry-run")
    assert (ran.code, ran.out) == (2, "")
    assert words in ran.err
    assert ran.err.count("\n") == 1
    assert sandbox.s3.keys() == []


def test_more_owners_than_a_search_takes_are_told_from_the_entries(
    library: dict[str, str], run: Run, sandbox: Sandbox
) -> None:
    Path("many.txt").write_text("".join(f"user{n}\n" for n in range(600)) + "ann\n")
    assert names(library, run("list", "--owner", "@many.txt").rows) == {"ann"}
    assert run("count", "--owner", "@many.txt").rows[0]["count"] == "1"
    assert "user599" not in run("count", "--owner", "@many.txt").out


@pytest.mark.parametrize("others", [0, 1, 249, 250, 600])
def test_whose_an_entry_is_does_not_depend_on_how_many_are_named(sandbox: Sandbox, run: Run, others: int) -> None:
    """Who created it owns it where nobody was made its owner."""
    hers = [
        sandbox.add("initial", creator_id=creator, user_id=owner) for creator, owner in (("eve", ""), ("bob", "eve"))
    ]
    sandbox.add("initial", creator_id="eve", user_id="bob")
    Path("many.txt").write_text("".join(f"user{n}\n" for n in range(others)) + "eve\n")
    ran = run("list", "--owner", "@many.txt")
    assert sorted(row["entry_id"] for row in ran.rows) == sorted(hers)
    assert {row["owner_id"] for row in ran.rows} == {"eve"}
    assert "left out" not in ran.err
    assert run("count", "--owner", "@many.txt").rows[0]["count"] == "2"


def test_rows_tell_what_was_asked_for(library: dict[str, str], run: Run) -> None:
    columns = "entry_id,admin_tags,source,end_date,duration_seconds"
    rows = {row["entry_id"]: row for row in run("list", "--columns", columns).rows}
    assert rows[library["zoom"]]["admin_tags"] == "zoomentry, xy"
    assert rows[library["capture"]]["source"] == "lecture_capture"
    assert rows[library["odd source"]]["source"] == "acme.SOURCE"
    assert rows[library["ended"]]["end_date"]
    assert rows[library["plain"]]["end_date"] == ""
    told = run(
        "count",
        "--source",
        "file",
        "--longer-than",
        "90m",
        "--larger-than",
        "1G",
        "--uncategorised",
        "--format",
        "json",
    )
    (row,) = json.loads(told.out)
    assert "in no category and source = file and longer than 5400 s and larger than 1000000000 bytes" in row["filter"]
