"""`--metadata FIELD=VALUE`: narrowed by the search, told by the XML of each entry."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Run
from looking import names

from kaltura_archiver.kaltura.metadata import values_of
from kaltura_archiver.sandbox.kaltura.metadata import MetadataField
from kaltura_archiver.sandbox.world import Sandbox

LONG = "a long value " * 20 + "end"
STAY = {"Retention": "Permanent"}


@pytest.fixture
def library(sandbox: Sandbox) -> dict[str, str]:
    """Entries by a name for what is special about them."""
    sandbox.kaltura.add_profile(
        1,
        MetadataField(11, "Retention"),
        MetadataField(12, "Expires", "date"),
        MetadataField(13, "Note", "text", False),
    )
    sandbox.kaltura.add_profile(2, MetadataField(21, "Course", "list"), MetadataField(22, "Retention"))
    said = {
        "nothing": {},
        "stays": {1: STAY},
        "goes": {1: {"Retention": "temporary", "Note": "exam", "Expires": "1600000000"}},
        "small": {1: {"Retention": "permanent"}},
        "more": {1: {"Retention": "Permanent copy"}},
        "elsewhere": {1: {"Note": "Permanent"}},
        "other profile": {2: {"Retention": "  Permanent\n", "Course": ["PHY 101", "Kurs Äther"]}},
        "odd": {1: {"Retention": "a < b & c", "Note": "-"}},
        "long": {1: {"Retention": LONG}},
    }  # fmt: skip
    found = {}
    for name, profiles in said.items():
        found[name] = sandbox.add("initial", name=name)
        for number, values in profiles.items():
            sandbox.kaltura.set_metadata(found[name], number, **values)
    sandbox.kaltura.settle()
    return found


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (["Retention=Permanent"], {"stays", "other profile"}),
        ([" Retention = Permanent "], {"stays", "other profile"}),
        (["Retention=permanent"], {"small"}),
        (["Retention=Permanent", "Course=PHY 101"], {"other profile"}),
        (["Course=Kurs Äther"], {"other profile"}),
        (["Course=PHY"], set()),
        (["Expires=1600000000"], {"goes"}),
        (["Note=exam"], {"goes"}),
        (["Note=-"], {"odd"}),
        (["Retention=a < b & c"], {"odd"}),
        ([f"Retention={LONG}"], {"long"}),
        (["Retention=temporary", "!Note=exam"], set()),
        (["Retention=temporary", "!Course=PHY 101"], {"goes"}),
    ],
)
def test_it_selects_what_has_exactly_that_value(
    library: dict[str, str], run: Run, asked: list[str], expected: set[str]
) -> None:
    options = [word for one in asked for word in ("--metadata", one)]
    assert names(library, run("list", *options).rows) == expected
    assert run("count", *options).rows[0]["count"] == str(len(expected))
    Path("ids.txt").write_text("\n".join(library.values()))
    assert names(library, run("list", "--idfile", "ids.txt", *options).rows) == expected


def test_what_has_not_that_value_is_told_from_each_entry(library: dict[str, str], run: Run) -> None:
    rows = run("list", "--metadata", "!Retention=Permanent").rows
    assert set(library) - names(library, rows) == {"stays", "other profile"}


def test_the_search_alone_finds_what_is_then_read(library: dict[str, str], sandbox: Sandbox, run: Run) -> None:
    sandbox.kaltura.settings.not_indexed = frozenset({library["stays"], library["goes"]})
    assert names(library, run("list", "--metadata", "Retention=Permanent").rows) == {"other profile"}


def test_an_index_that_lags_selects_nothing_that_is_not_so(library: dict[str, str], sandbox: Sandbox, run: Run) -> None:
    sandbox.kaltura.settings.index_lag_seconds = 3600
    sandbox.kaltura.set_metadata(library["stays"], 1, Retention="temporary")
    ran = run("s3copy", "--metadata", "Retention=Permanent", "--no-dry-run")
    assert ran.outcomes == {library["other profile"]: "done"}


def test_what_no_entry_has_is_named(library: dict[str, str], run: Run) -> None:
    ran = run("list", "--metadata", "Retention=Permanant")
    assert (ran.code, ran.rows) == (0, [])
    assert "no entry has metadata Retention=Permanant: is that spelled right?" in ran.err


@pytest.mark.parametrize("xml", ["", "<metadata><Retention>", "no XML"])
@pytest.mark.parametrize("asked", ["Retention=Permanent", "!Retention=temporary"])
def test_what_cannot_be_understood_is_not_selected(
    library: dict[str, str], sandbox: Sandbox, run: Run, asked: str, xml: str
) -> None:
    sandbox.kaltura.settings.index_lag_seconds = 3600
    sandbox.kaltura.edit(library["stays"], metadata={1: xml})
    ran = run("list", "--metadata", asked)
    assert "stays" not in names(library, ran.rows)
    assert f"entry {library['stays']}: its custom metadata cannot be read" in ran.err


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("retention=x", "no field of custom metadata is called 'retention'; there are Course, Expires, Note, "),
        ("!Retention=Permanant", "no entry has metadata Retention=Permanant, which is to be left out"),
        ("!metadata=x", "no field of custom metadata is called 'metadata'"),
        ("Retention", "'Retention' is not a field and its value, FIELD=VALUE"),
        ("Retention=", "is not a field and its value"), ("=x", "is not a field and its value"),
        ("a b=x", "is not a field and its value"), ("!!Retention=x", "is not a field and its value"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused_before_anything_is_done(
    library: dict[str, str], sandbox: Sandbox, run: Run, asked: str, words: str
) -> None:
    ran = run("s3copy", "--metadata", asked, "--no-dry-run")
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert words in ran.err
    assert sandbox.s3.keys() == []


def test_both_ways_at_once_is_a_contradiction(sandbox: Sandbox, run: Run) -> None:
    ran = run("list", "--metadata", "A=b", "--metadata", "!A=b")
    assert (ran.code, "contradiction: --metadata A=b" in ran.err) == (2, True)


def test_an_account_without_custom_metadata_says_so(sandbox: Sandbox, run: Run) -> None:
    ran = run("list", "--metadata", "A=b")
    assert (ran.code, "this account has none" in ran.err) == (2, True)


def test_more_objects_than_a_page_are_all_read(sandbox: Sandbox, run: Run) -> None:
    for number in range(1, 7):
        sandbox.kaltura.add_profile(number, MetadataField(100 + number, f"Field{number}"))
    ids = [sandbox.add("initial") for _ in range(95)]
    for entry_id in ids:
        for number in range(1, 7):
            sandbox.kaltura.set_metadata(entry_id, number, **{f"Field{number}": f"v{number}"})
    sandbox.kaltura.settle()
    asked = [word for number in range(1, 7) for word in ("--metadata", f"Field{number}=v{number}")]
    assert {row["entry_id"] for row in run("list", *asked).rows} == set(ids)


def test_values_are_read_by_local_name_in_utf_8() -> None:
    text = '<k:m xmlns:k="urn:x"><k:A> one </k:A><A>t\u00fc<!-- x --></A><C/><D><E>in &amp; out</E></D></k:m>'
    wanted = {"A": frozenset({"one", "t\u00fc"}), "E": frozenset({"in & out"})}
    assert values_of(text) == values_of(f'<?xml version="1.0" encoding="ISO-8859-1"?>{text}') == wanted
    assert values_of("") is None


def test_nothing_is_fetched_and_what_would_have_to_be_is_not_understood(tmp_path: Path) -> None:
    """Not as if the field were not set: by it an entry may have to stay."""
    secret = tmp_path / "secret"
    secret.write_text("SECRET")
    for entity in (f'SYSTEM "file://{secret}"', '"Permanent"'):
        assert values_of(f"<!DOCTYPE m [<!ENTITY e {entity}>]><m><A>one</A><B>&e;</B></m>") is None
