"""stats: its figures are those of the library, add up, and cost few calls.

STATS_ENTRIES=20000 tries a larger library than is made by default.
"""

from __future__ import annotations

import os
import random
from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from conftest import Ran, Run
from looking import http_requests

from kaltura_archiver.filters import YEAR_SECONDS
from kaltura_archiver.insight.snapshot import SnapshotEntry
from kaltura_archiver.insight.stats import Stats, chance_of_restore
from kaltura_archiver.model import State
from kaltura_archiver.money.prices import Prices
from kaltura_archiver.output.rows import MORE_STATS_COLUMNS, STATS_COLUMNS
from kaltura_archiver.output.tables import readable_bytes
from kaltura_archiver.sandbox.kaltura.records import READY
from kaltura_archiver.sandbox.world import Sandbox

ENTRIES = int(os.environ.get("STATS_ENTRIES", "2000"))
COMMON = [State.INITIAL] * 60 + [State.ARCHIVED] * 20 + [State.PLACEHOLDER] * 18
ODD = [State.UNTAGGED, State.DIVERGED, State.UNSETTLED, State.HALF_TAGGED, State.LOST, State.UNBACKED]
CLASSES = ["STANDARD", "GLACIER", "DEEP_ARCHIVE"]
FIGURES = ("entries", "kaltura_bytes", "stored_bytes")


def fill(sandbox: Sandbox, entries: int) -> dict[str, State]:
    """A library of so many entries, and the state in which each was made."""
    chance = random.Random(6)
    now = sandbox.control.clock.now()
    for number in range(12):
        sandbox.kaltura.add_category(number + 1, f"Dept {number}", parent=1 if number > 8 else None)
    made = {}
    for number in range(entries):
        state = chance.choice(COMMON) if number % 200 else ODD[number // 200 % len(ODD)]
        age_years = chance.uniform(0, 12)
        plays = chance.choice([0, 0, 1, 2, 5, 100])
        # Seldom near now, so that no year boundary or threshold passes while the test runs.
        played = int(now - chance.uniform(0.001, age_years) * YEAR_SECONDS) if plays and age_years > 0.001 else None
        size = 200_000 + number if state is State.PLACEHOLDER else 500 + 7 * number % 90_001
        entry_id = sandbox.add(
            state,
            content=bytes(size),
            storage_class=chance.choice(CLASSES),
            age_years=age_years,
            plays=plays,
            last_played_at=played,
            categories=chance.sample(range(1, 13), chance.choice([0, 1, 1, 2, 3])),
            creator_id=f"user{chance.randrange(50)}",
            derived=chance.choice([0, 1, 3]),
        )
        made[entry_id] = state
    return made


def by_section(ran: Ran) -> dict[str, dict[str, dict[str, str]]]:
    found: dict[str, dict[str, dict[str, str]]] = defaultdict(dict)
    for row in ran.rows:
        found[row["section"]][row["key"]] = row
    return found


def truth(sandbox: Sandbox, made: dict[str, State]) -> dict[str, dict[str, list[int]]]:
    """The same figures, taken from the sandbox's own records of entries, assets and objects."""
    sums: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(lambda: [0, 0, 0]))
    kaltura, objects = sandbox.kaltura, set(sandbox.s3.keys())
    for entry_id, state in made.items():
        entry = kaltura.entries[entry_id]
        in_kaltura = sum(a.size_in_bytes for a in kaltura.library.live_assets(entry_id) if a.status == READY)
        stored = len(sandbox.s3.body(entry_id) or b"")
        sections = {
            ("total", ""),
            ("state", state.value),
            ("storage_class", (sandbox.s3.storage_class(entry_id) or "") if entry_id in objects else "(no copy)"),
            ("created", str(datetime.fromtimestamp(entry.created_at, UTC).year)),
            (
                "played",
                str(datetime.fromtimestamp(entry.last_played_at, UTC).year)
                if entry.last_played_at
                else ("unknown" if entry.plays else "never"),
            ),
            ("unit", f"Unit {int(entry.creator_id[4:]) % 7}"),
        }
        sections |= {("category", kaltura.categories[number].full_name) for number in entry.categories}
        if not entry.categories:
            sections.add(("category", "(none)"))
        for section, key in sections:
            for index, figure in enumerate((1, in_kaltura, stored)):
                sums[section][key][index] += figure
    return sums


def test_the_figures_are_those_of_the_library_and_add_up_at_few_calls(
    sandbox: Sandbox, run: Run, tmp_path: Path
) -> None:
    made = fill(sandbox, ENTRIES)
    owners = [f"user{number}\tactive\tName\tUnit {number % 7}" for number in range(50)]
    (tmp_path / "owners.tsv").write_text("\n".join(["creator_id\tldap_status\tname\torg_unit", *owners, ""]))
    sandbox.control.clear_log()
    columns = ",".join(STATS_COLUMNS + MORE_STATS_COLUMNS)
    ran = run("stats", "--enriched", tmp_path / "owners.tsv", "--kaltura-price", "0.1", "--columns", columns)
    assert ran.code == 0
    calls = http_requests(sandbox)
    assert calls <= 0.05 * ENTRIES, f"{calls} calls"

    found, expected = by_section(ran), truth(sandbox, made)
    again = found["category"].pop("(counted again)")
    for section, keys in expected.items():
        assert {key: [int(row[name]) for name in FIGURES] for key, row in found[section].items()} == keys, section

    # Each section adds up to the total, the categories with what they count again taken off.
    found["category"]["(counted again)"] = again
    total = found["total"][""]
    for section in ("state", "storage_class", "created", "played", "category", "unit"):
        for name in (*FIGURES, "freed_bytes"):
            assert sum(int(row[name]) for row in found[section].values()) == int(total[name]), (section, name)
        for name in ("s3_month", "kaltura_month", "saved_month"):
            money = sum(float(row[name]) for row in found[section].values())
            assert money == pytest.approx(float(total[name]), abs=1e-4 * len(found[section])), (section, name)

    # What is freed: of placeholders, what S3 holds and Kaltura does not any more.
    freed = 0
    for entry_id, state in made.items():
        if state in (State.PLACEHOLDER, State.HALF_TAGGED):
            there = sum(a.size_in_bytes for a in sandbox.kaltura.library.live_assets(entry_id))
            freed += max(0, len(sandbox.s3.body(entry_id) or b"") - there)
    assert int(total["freed_bytes"]) == freed > 0

    # What each threshold would free, entry by entry.
    now = sandbox.control.clock.now()
    for years in range(1, 6):
        ids = [
            entry_id
            for entry_id, state in made.items()
            if state in (State.INITIAL, State.ARCHIVED, State.UNTAGGED)
            and sandbox.kaltura.entries[entry_id].created_at <= now - years * YEAR_SECONDS
            and (sandbox.kaltura.entries[entry_id].last_played_at or 0) <= now - years * YEAR_SECONDS
        ]
        row = found["threshold"][str(years)]
        sizes = [sum(a.size_in_bytes for a in sandbox.kaltura.library.live_assets(entry_id)) for entry_id in ids]
        assert int(row["entries"]) == len(ids)
        assert int(row["kaltura_bytes"]) == sum(sizes)
        assert int(row["freed_bytes"]) == sum(max(0, size - len(sandbox.placeholder)) for size in sizes)
        assert 0 < float(row["restores_month"]) < float(row["restores_month_most"])


def test_every_selection_option_applies(sandbox: Sandbox, run: Run) -> None:
    old = sandbox.add(State.INITIAL, age_years=6, tags="physics")
    sandbox.add(State.INITIAL, age_years=6)
    sandbox.add(State.ARCHIVED, age_years=0.5, tags="physics")
    assert by_section(run("stats"))["total"][""]["entries"] == "3"
    assert by_section(run("stats", "--tag", "physics", "--created-before", "2"))["total"][""]["entries"] == "1"
    assert by_section(run("stats", "--id", old))["state"].keys() == {"initial"}
    ran = run("stats", "--max-entries", "2")
    assert ran.rows[0]["entries"] == "2"
    assert "stopped at --max-entries 2" in ran.err


def test_nothing_selected_is_a_total_of_nothing(sandbox: Sandbox, run: Run) -> None:
    ran = run("stats")
    assert (ran.code, ran.rows[0]["entries"]) == (0, "0")
    assert "no entry matches" in ran.err


@pytest.mark.parametrize("style", ["csv", "json", "jsonl", "table"])
def test_stats_come_in_each_form(sandbox: Sandbox, run: Run, style: str) -> None:
    sandbox.add(State.ARCHIVED, content=bytes(5000), derived=0)
    ran = run("stats", "--format", style, "--columns", "section,key,entries,kaltura_bytes")
    assert ran.code == 0
    assert ("4.88 KiB" if style == "table" else "5000") in ran.out


def test_the_summary_tells_the_totals_and_what_they_cost(sandbox: Sandbox, run: Run) -> None:
    sandbox.kaltura.add_entry(content_bytes=2**40, derived=0)
    assert "1 entry: 1 TiB in Kaltura, 0 B in S3 for 0.00 USD a month" in run("stats").err
    assert "--kaltura-price tells" in run("stats").err
    assert "saves 0.00 USD a month in all; prices of 20" in run("stats", "--kaltura-price", "0.1").err


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("entry_id\tname\n", "no column 'org_unit'"),
        ("uid\torg_unit\n", "no column 'entry_id'"),
        ("", "is empty"),
        (None, "No such file"),
    ],
)
def test_a_table_of_owners_that_cannot_be_used_is_refused_at_once(
    sandbox: Sandbox, run: Run, tmp_path: Path, table: str | None, message: str
) -> None:
    path = tmp_path / "owners.tsv"
    if table is not None:
        path.write_text(table)
    ran = run("stats", "--enriched", path)
    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err
    assert not sandbox.control.requests()


def test_units_are_joined_by_entry_where_the_table_has_no_owners(sandbox: Sandbox, run: Run, tmp_path: Path) -> None:
    ids = [sandbox.add(State.INITIAL, creator_id="ann") for _ in range(4)]
    rows = [f"{ids[0]}\tactive\tLibrary", f"{ids[1]}\tinactive\t", f"{ids[2]}\tactive\t"]
    (tmp_path / "owners.tsv").write_text("\n".join(["entry_id\tldap_status\torg_unit", *rows, ""]))
    units = by_section(run("stats", "--enriched", tmp_path / "owners.tsv"))["unit"]
    assert {key: row["entries"] for key, row in units.items()} == {
        "Library": "1", "(inactive)": "1", "(active)": "1", "(not listed)": "1",
    }  # fmt: skip


# The sums, by hand

NOW = 1_800_000_000
GB = 2**30
OLD = SnapshotEntry(
    entry_id="0_a", name="", creator_id="ann", categories="", created_at=int(NOW - 8 * YEAR_SECONDS),
    last_played_at=None, plays=0, state="initial", healthy=True, why="", hint="", original_bytes=100 * GB,
    kaltura_bytes=150 * GB, stored_bytes=None, storage_class="", verified_at="", placeholder_bytes=GB,
)  # fmt: skip


def sums_of(*items: SnapshotEntry, kaltura_price: float | None = 0.1) -> Stats:
    stats = Stats(Prices.load(kaltura_price), now=NOW, storage_class="DEEP_ARCHIVE")
    for item in items:
        stats.add(item)
    return stats


def row_of(stats: Stats, section: str, key: str = "") -> dict[str, object]:
    return next(dict(row) for row in stats.rows() if (row["section"], row["key"]) == (section, key))


def played(years_ago: float, plays: int = 1, *, created_years_ago: float = 8) -> SnapshotEntry:
    return replace(
        OLD, created_at=int(NOW - created_years_ago * YEAR_SECONDS), plays=plays,
        last_played_at=int(NOW - years_ago * YEAR_SECONDS),
    )  # fmt: skip


def test_plays_without_a_day_are_not_called_never() -> None:
    stats = sums_of(OLD, replace(OLD, plays=7))
    assert [row["key"] for row in stats.rows() if row["section"] == "played"] == ["never", "unknown"]


def test_a_threshold_saves_what_kaltura_asks_less_s3_and_restores() -> None:
    prices = Prices.load()
    row = row_of(sums_of(OLD, kaltura_price=0.002), "threshold", "3")
    month = prices.s3_month("DEEP_ARCHIVE", 100 * GB)
    put = prices.put("DEEP_ARCHIVE", 100 * GB)
    assert (row["entries"], row["freed_bytes"]) == (1, 149 * GB)
    assert row["s3_month"] == round(month, 4)
    assert row["saved_month"] == round(0.298 - month, 4)
    assert row["pays_from"] == round(month / 149, 4)
    assert row["upload_cost"] == round(put, 4)
    # Six months in DEEP_ARCHIVE are paid in any case.
    assert row["paid_back_months"] == round((put + 6 * month) / 0.298, 1) == 2.2


def test_without_a_kaltura_price_it_still_tells_from_which_price_on_it_pays() -> None:
    row = row_of(sums_of(OLD, kaltura_price=None), "threshold", "3")
    assert (row["saved_month"], row["kaltura_month"], row["paid_back_months"]) == (None, None, None)
    assert row["pays_from"] == pytest.approx(0.0007, abs=1e-4)


def test_below_the_break_even_nothing_is_ever_paid_back() -> None:
    row = row_of(sums_of(OLD, kaltura_price=0.0001), "threshold", "3")
    assert float(str(row["saved_month"])) < 0
    assert row["paid_back_months"] is None


def test_a_placeholder_saves_what_s3_holds_and_kaltura_does_not() -> None:
    swapped = replace(OLD, state="placeholder", kaltura_bytes=2 * GB, stored_bytes=100 * GB, storage_class="GLACIER")
    row = row_of(sums_of(swapped, OLD), "total")
    month = Prices.load().s3_month("GLACIER", 100 * GB)
    assert (row["freed_bytes"], row["saved_month"]) == (98 * GB, round(9.8 - month, 4))
    assert row_of(sums_of(swapped), "threshold", "1")["entries"] == 0


@pytest.mark.parametrize(
    ("item", "years"),
    [
        (OLD, {1, 2, 3, 4, 5}),
        (played(2.5), {1, 2}),
        (played(0.5), set()),
        (replace(OLD, created_at=int(NOW - 3.5 * YEAR_SECONDS)), {1, 2, 3}),
        (replace(OLD, created_at=0), set()),
        (replace(OLD, state="diverged", healthy=False), set()),
        (replace(OLD, state="archived", healthy=False), set()),  # the copy is damaged
        (replace(OLD, state="untagged", healthy=False), {1, 2, 3, 4, 5}),
        (replace(OLD, original_bytes=0), set()),
    ],
)
def test_a_threshold_counts_what_could_be_replaced(item: SnapshotEntry, years: set[int]) -> None:
    stats = sums_of(item)
    assert {key for key, sums in stats.thresholds["replace"].items() if sums.entries} == years


def test_what_thin_would_free_is_told_beside_the_placeholder_and_expects_no_restores() -> None:
    stats = Stats(Prices.load(), now=NOW, storage_class="DEEP_ARCHIVE", ways=("thin", "replace"))
    for item in (played(1.5, plays=9), replace(played(1.5), thin_freed=90 * GB), replace(OLD, thin_freed=70 * GB)):
        stats.add(item)
    rows = {(row["section"], row["key"]): row for row in stats.rows()}
    assert [rows["thin", key]["entries"] for key in "123"] == [2, 1, 1]
    assert [rows["thin", key]["freed_bytes"] for key in "123"] == [160 * GB, 70 * GB, 70 * GB]
    assert rows["thin", "1"]["restores_month"] == 0
    assert rows["threshold", "1"]["entries"] == 3


def test_the_command_foretells_what_was_asked_for(sandbox: Sandbox, run: Run) -> None:
    size, old = 90_000, int(sandbox.control.clock.now() - 5.5 * YEAR_SECONDS)
    for derived in (0, 2):
        sandbox.add(State.INITIAL, content=bytes(size), derived=derived, created_at=old)
    sandbox.add(State.THIN, content=bytes(size), created_at=old)
    rows = by_section(run("stats", "--what-if", "thin,replace"))
    assert rows["thin"]["5"]["entries"] == "1"
    assert rows["thin"]["5"]["freed_bytes"] == str(size + size // 3)
    assert rows["threshold"]["5"]["entries"] == "2"
    assert rows["state"]["thin"]["freed_bytes"] == str(size)
    assert "thin" not in by_section(run("stats"))
    refused = run("stats", "--what-if", "shrink")
    assert (refused.code, "'shrink' is neither thin nor replace" in refused.err) == (2, True)


@pytest.mark.parametrize(
    ("item", "chance"),
    [
        (OLD, None),  # never played
        (played(1.5), None),  # not within the year
        (played(0.5, created_years_ago=3.5), None),  # too young a year ago
        (played(0.5, plays=1), 1.0),  # its only play
        (played(0.5, plays=0), 1.0),  # Kaltura counts plays late
        (played(0.5, plays=2), 1 - 3 / 7.5),
        (played(0.5, plays=11), (1 - 3 / 7.5) ** 10),
    ],
)
def test_a_restore_is_as_likely_as_no_play_in_the_years_before(item: SnapshotEntry, chance: float | None) -> None:
    assert chance_of_restore(item, NOW, 3 * YEAR_SECONDS) == (chance if chance is None else pytest.approx(chance))


def test_restores_are_counted_per_month_and_paid_for_with_what_leaves_aws() -> None:
    prices = Prices.load()
    row = row_of(sums_of(played(0.5), played(0.5, plays=2)), "threshold", "3")
    expected = (1 + 1 - 3 / 7.5) / 12
    once = prices.retrieval("DEEP_ARCHIVE", "bulk", 100 * GB, days=7) + prices.transfer_out(100 * GB)
    assert row["restores_month"] == round(expected, 2)
    assert row["restores_month_most"] == round(2 / 12, 2)
    assert row["restores_cost_month"] == round(expected * once, 4)


def test_an_entry_in_two_categories_counts_in_both_and_is_taken_off_once() -> None:
    stats = sums_of(replace(OLD, categories="Physics,Chemistry>Labs"), replace(OLD, categories="Physics"))
    rows = {str(row["key"]): row["entries"] for row in stats.rows() if row["section"] == "category"}
    assert rows == {"Physics": 2, "Chemistry>Labs": 1, "(counted again)": -1}


def test_years_come_in_their_order_and_what_has_none_last() -> None:
    items = [played(0.5), OLD, played(3.2), replace(OLD, created_at=0)]
    keys = [(row["section"], row["key"]) for row in sums_of(*items).rows()]
    assert [key for section, key in keys if section == "played"] == ["2023", "2026", "never"]
    assert [key for section, key in keys if section == "created"] == ["2019", "(unknown)"]


@pytest.mark.parametrize(
    ("size", "shown"), [(0, "0 B"), (999, "999 B"), (5000, "4.88 KiB"), (-(2**41), "-2 TiB"), (2**60, "1,024.0 PiB")]
)
def test_sizes_are_shown_in_units_of_1024(size: int, shown: str) -> None:
    assert readable_bytes(size) == shown


@pytest.mark.parametrize(
    ("fields", "setting", "stays"),
    [
        ({}, {}, False),
        ({"tags": "keep"}, {}, True),
        ({"tags": "keep_until_2099-01-01"}, {}, True),
        ({"tags": "keep_until_2001-01-01"}, {}, False),
        ({"tags": "exam"}, {"KEEP_TAGS": "exam"}, True),
        ({"creator_id": "anna"}, {"KEEP_OWNERS": "anna"}, True),
        ({"media_type": 5}, {}, True),
        ({"status": "6"}, {}, True),
    ],
)
@pytest.mark.parametrize("of_stream", [False, True])
def test_nothing_is_foretold_of_what_would_be_left(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any], setting: dict[str, str],
    stays: bool, of_stream: bool,
) -> None:  # fmt: skip
    """Neither of such an entry nor, where it is a stream of a recording, of the recording."""
    for name, value in setting.items():
        monkeypatch.setenv(name, value)
        sandbox.add(State.INITIAL, media_type=2, **fields)  # by which the rule is known: no search finds a stream
    media = ("--media-type", "audio") if fields.get("media_type") and not of_stream else ()
    used = {"age_years": 9, "last_played_at": int(sandbox.control.clock.now() - YEAR_SECONDS / 2), "plays": 1}
    parent = {"parent_id": sandbox.add(State.ARCHIVED, derived=2), "display_in_search": -1} if of_stream else {}
    for plays in ({}, used) if not of_stream else ({},):
        sandbox.add(State.ARCHIVED, derived=2, **fields, **parent, **plays)
    rows = by_section(run("stats", "--what-if", "thin,replace", *media))
    for command, section in (("replace_video", "threshold"), ("thin", "thin")):
        ran = run(command, "--unplayed-for", "3", "--status", "2,6", *media)
        would = [row for row in ran.rows if row["outcome"] == "would"]
        assert int(rows[section]["3"]["entries"]) == len(would) == (0 if stays else 2 if of_stream else 1)
    assert (float(rows["threshold"]["3"]["restores_month"]) > 0) is (not stays and not of_stream)
