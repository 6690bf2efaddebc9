"""From a table of criteria, as a file has it, to the Query that the options of a command would give."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import click
import pytest

from kaltura_archiver.asking import query_of
from kaltura_archiver.asking.query import WORDS
from kaltura_archiver.asking.words import bytes_of
from kaltura_archiver.cli.options import selection_options
from kaltura_archiver.errors import SelectionError
from kaltura_archiver.filters import Query
from kaltura_archiver.model import MediaType

NOW = 1_800_000_000  # 2027-01-15T08:00:00Z


def criteria_of_commands() -> dict[str, click.Option]:
    params = click.command()(selection_options(lambda query: None)).params
    return {str(option.name): option for option in params if isinstance(option, click.Option) and option.expose_value}


def test_every_criterion_of_a_command_can_stand_in_a_table_and_no_other() -> None:
    asked = {
        name: (f"--{WORDS[name].option}" in option.opts, option.multiple, option.is_flag)
        for name, option in criteria_of_commands().items()
        if name in WORDS
    }
    assert criteria_of_commands().keys() == WORDS.keys()
    assert asked == {name: (True, word.many, word.read is None) for name, word in WORDS.items()}


def test_a_table_that_says_nothing_is_a_command_without_options() -> None:
    assert query_of(NOW, {}) == Query()


@pytest.mark.parametrize(
    ("table", "fields"),
    [
        ({"tag": "Lecture"}, {"tags": ("lecture",)}),
        ({"tag": ["a1", "!b2"], "exclude_tag": ["c3"]}, {"tags": ("a1",), "without_tags": ("b2", "c3")}),
        ({"category": [7, "Physics"]}, {"categories": (7,), "category_names": ("Physics",)}),
        ({"created-before": date(2024, 8, 31)}, {"created_until": 1_725_062_400}),
        ({"unplayed_for": 3}, {"unplayed_since": NOW - 3 * 31_557_600}),
        ({"unplayed_for": "18mo"}, {"unplayed_since": NOW - 31_557_600 * 3 // 2}),
        ({"larger_than": "1GiB", "smaller_than": "2G"}, {"least_bytes": 2**30, "below_bytes": 2 * 10**9}),
        ({"longer_than": "1h", "uncategorised": True}, {"longer_than_seconds": 3600, "uncategorised": True}),
        ({"source": "lecture_capture", "media-type": "audio"}, {"sources": ("37",), "media_type": MediaType.AUDIO}),
        ({"owner": ["Ann", "!bob"]}, {"owners": frozenset({"ann"}), "without_owners": frozenset({"bob"})}),
        ({"plays": 0, "max_entries": -1, "never_played": False}, {"never_played": True, "max_entries": None}),
        ({"shard": "1/4", "status": "2,-1"}, {"shard": (1, 4), "statuses": ("2", "-1")}),
    ],
)
def test_a_table_selects_as_the_options_of_its_names(table: dict[str, Any], fields: dict[str, Any]) -> None:
    assert query_of(NOW, table) == replace(Query(), **fields)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"unplayed": 3}, "there is no criterion 'unplayed'; there are admin-tag, "),
        ({"unplayed_for": "long"}, "unplayed-for: 'long' is not an age"),
        ({"unplayed_for": True}, "unplayed-for: true is not a value"),
        ({"unplayed_for": [3, 4]}, r"unplayed-for: \[3, 4\] is not a value"),
        ({"uncategorised": "yes"}, "uncategorised: true or false, not 'yes'"),
        ({"tag": [["a1"]]}, r'tag: \["a1"\] is not a value or a list of values'),
        ({"tag": "a,b"}, "cannot be a tag"),
        ({"plays": -1}, "plays: '-1' is not a number of 0 or more"),
        ({"plays": 1.5}, "plays: '1.5' is not a number"),
        ({"source": "zoom"}, "source: 'zoom' is none of file"),
        ({"exclude_category": "Physics"}, "exclude-category: 'Physics' is not a number"),
        ({"idfile": "absent.txt"}, "cannot read --idfile absent.txt"),
        ({"created_within": 1, "created_before": 2}, "contradiction: --created-within"),
    ],
)
def test_what_cannot_be_meant_is_named(
    table: dict[str, Any], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SelectionError, match=words):
        query_of(NOW, table)


# Sizes


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1", 1), ("1000", 1000), ("5k", 5000), ("5K", 5000), ("500M", 500 * 10**6), ("1.5G", 1_500_000_000),
        ("1GB", 10**9), ("1GiB", 2**30), ("1 gib", 2**30), ("2Ti", 2 * 2**40), ("20B", 20),
    ],
)  # fmt: skip
def test_a_size_is_in_thousands_unless_it_says_i(text: str, size: int) -> None:
    assert bytes_of(text) == size


@pytest.mark.parametrize("text", ["", "0", "-1", "G", "5x", "1iB", "1 000", "1e9", "999T1", "1000T", "1G iB"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(SelectionError, match="is not a size: bytes, or 500M"):
        bytes_of(text)


def test_a_size_means_the_same_in_every_option() -> None:
    from kaltura_archiver.cli.commands.plan import plan

    types = {str(option.name): option.type for option in plan.params}
    for name in ("larger_than", "smaller_than", "max_kept_bytes"):
        assert types[name].convert("1G", None, None) == 10**9, name
