"""The figures of a report: what the run log and the items of a snapshot add up to. No service, no page."""

from __future__ import annotations

import csv
import io
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from kaltura_archiver.errors import InputError
from kaltura_archiver.insight.collector import Collector
from kaltura_archiver.insight.figures import MONTHS, Figures, Place, Table
from kaltura_archiver.insight.history import Away, History, Kind
from kaltura_archiver.insight.page import csv_link, csv_text
from kaltura_archiver.insight.snapshot import SnapshotEntry
from kaltura_archiver.insight.told import NAMES
from kaltura_archiver.model import State, iso_date
from kaltura_archiver.money.prices import Prices
from kaltura_archiver.people.owners import owners_of

NOW = int(datetime(2026, 11, 25, 12, tzinfo=UTC).timestamp())
HOUR, DAY = 3600, 86400
GIB = 2**30
PRICES = Prices.load(0.12, today=date(2026, 11, 25))


def line(command: str, at: int, entry: str = "0_a", outcome: str = "done", **fields: Any) -> dict[str, Any]:
    states = {"s3copy": "initial", "replace_video": "archived", "restore": "placeholder", "verify": "archived"}
    states["thin"] = "archived"
    when = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "kind": "entry", "run": "r", "command": command, "entry": entry, "outcome": outcome, "at": when,
        "state": states[command], "bytes_moved": 1, "bytes_freed": 0, "last_played_at": None, **fields,
    }  # fmt: skip


def item(state: State = State.ARCHIVED, entry: str = "0_a", **fields: Any) -> SnapshotEntry:
    away = state in (State.PLACEHOLDER, State.HALF_TAGGED, State.LOST)
    copy = state not in (State.INITIAL, State.UNBACKED, State.EMPTY, State.LOST)
    values: dict[str, Any] = {
        "entry_id": entry, "name": "Lecture", "creator_id": "ada", "categories": "", "created_at": NOW - 2000 * DAY,
        "last_played_at": None, "plays": 0, "state": state.value,
        "healthy": state in (State.INITIAL, State.ARCHIVED, State.PLACEHOLDER), "why": "", "hint": "",
        "original_bytes": 1024 if away else 10 * GIB, "kaltura_bytes": 2048 if away else 11 * GIB,
        "stored_bytes": 10 * GIB if copy else None, "storage_class": "DEEP_ARCHIVE" if copy else "", "verified_at": "",
    }  # fmt: skip
    return SnapshotEntry(**values | fields)


def figures(
    items: list[SnapshotEntry], lines: list[dict[str, Any]], *, prices: Prices = PRICES, rows: int = 100
) -> Figures:
    collector = Collector(History(lines), prices, now=NOW, rows=rows, owner_of=None)
    for each in items:
        collector.add(each)
    return collector.figures()


def column(table: Table | None, name: str) -> list[Any]:
    assert table is not None
    at = [each.name for each in table.columns].index(name)
    return [row[at] for row in table.rows]


# The run log


def test_a_viewers_wait_is_from_the_first_play_of_the_placeholder_to_the_original_being_back() -> None:
    asked = NOW - 10 * DAY
    log = [
        line("replace_video", NOW - 300 * DAY, last_played_at=NOW - 900 * DAY),
        line("restore", asked + 2 * HOUR, outcome="waiting", last_played_at=asked),
        line("restore", asked + 14 * HOUR, last_played_at=asked + 3 * HOUR),
    ]
    assert History(log).away("0_a", now_away=False) == [Away(NOW - 300 * DAY, asked + 14 * HOUR, 14 * HOUR)]


def test_a_play_before_the_original_was_replaced_asks_for_nothing() -> None:
    log = [
        line("replace_video", NOW - 300 * DAY),
        line("restore", NOW - 9 * DAY, last_played_at=NOW - 900 * DAY),
    ]
    assert [away.waited_seconds for away in History(log).away("0_a", now_away=False)] == [None]


def test_plays_of_what_plays_on_ask_for_nothing() -> None:
    log = [
        line("thin", NOW - 30 * DAY), line("restore", NOW - 9 * DAY, last_played_at=NOW - 20 * DAY),
        line("replace_video", NOW - 8 * DAY), line("restore", NOW - 6 * DAY, last_played_at=NOW - 7 * DAY),
    ]  # fmt: skip
    times = [Away(NOW - 30 * DAY, NOW - 9 * DAY, None), Away(NOW - 8 * DAY, NOW - 6 * DAY, DAY)]
    assert History(log).away("0_a", now_away=False) == times


def test_what_was_replaced_before_the_log_began_is_told_by_its_restore() -> None:
    log = [
        line("verify", NOW - 90 * DAY, "0_b"),
        line("restore", NOW - 9 * DAY, last_played_at=NOW - 10 * DAY),
        line("restore", NOW - 9 * DAY, "0_b", last_played_at=NOW - 100 * DAY),
    ]
    assert History(log).away("0_a", now_away=False) == [Away(None, NOW - 9 * DAY, DAY)]
    # A play from before the log may have been one of the original.
    assert History(log).away("0_b", now_away=False) == [Away(None, NOW - 9 * DAY, None)]


def test_a_restore_that_only_drops_the_tag_brought_nothing_back_unless_the_original_was_away() -> None:
    settled = line("restore", NOW - DAY, state="unsettled")
    assert History([settled]).away("0_a", now_away=False) == []
    log = [line("replace_video", NOW - 9 * DAY), settled]
    assert History(log).away("0_a", now_away=False) == [Away(NOW - 9 * DAY, NOW - DAY)]


def test_what_is_away_today_is_so_since_its_last_replacement_or_since_before_the_log() -> None:
    log = [
        line("replace_video", NOW - 90 * DAY),
        line("restore", NOW - 60 * DAY),
        line("replace_video", NOW - 30 * DAY),
    ]
    assert History(log).away("0_a", now_away=True) == [Away(NOW - 90 * DAY, NOW - 60 * DAY), Away(NOW - 30 * DAY)]
    assert History(log).away("0_b", now_away=True) == [Away(None)]
    # Uploaded by hand since: nobody knows when.
    assert History(log[2:]).away("0_a", now_away=False) == []


def test_lines_that_are_odd_are_left_out() -> None:
    good = line("verify", NOW)
    odd = [
        {}, {"kind": "run"}, good | {"at": 5}, good | {"at": "yesterday"}, good | {"entry": ["0_a"]},
        good | {"command": ["verify"]}, good | {"outcome": "failed"}, line("s3copy", NOW, state="untagged"),
        line("restore", NOW, last_played_at=True), {"kind": "run", "started": "9999-99-99"},
    ]  # fmt: skip
    history = History(odd)
    assert history.last("0_a", Kind.VERIFIED) is None
    assert history.first("0_a", Kind.COPIED) is None
    assert history.away("0_a", now_away=False) == [Away(None, NOW)]
    assert History([*odd, good]).last("0_a", Kind.VERIFIED) == NOW


# Figures


def test_every_entry_is_in_one_state_and_one_place_of_its_year() -> None:
    year = 365 * DAY
    states = [State.INITIAL, State.ARCHIVED, State.PLACEHOLDER, State.PLACEHOLDER, State.LOST, State.DIVERGED]
    found = figures([item(s, f"0_{n}", created_at=NOW - n % 2 * year) for n, s in enumerate(states)], [])
    table = found.places
    assert table is not None
    assert table.total is not None
    assert column(table, "Created") == ["2025", "2026"]
    for state in set(states):
        assert sum(column(table, NAMES[state])) == states.count(state), state
    sizes = dict(zip(Place, table.total[-4:], strict=True))
    assert sizes == {Place.KALTURA: 10 * GIB, Place.BOTH: 10 * GIB, Place.S3: 20 * GIB, Place.TROUBLE: 10 * GIB}
    assert (found.entries, found.healthy, found.troubled_entries) == (6, 4, 2)


def test_the_last_month_of_the_growth_is_the_snapshot() -> None:
    items = [item(State.PLACEHOLDER, f"0_{n}") for n in range(4)] + [
        item(State.ARCHIVED, "0_4"),
        item(State.INITIAL, "0_5"),
    ]
    lines = [line("s3copy", NOW - 200 * DAY, f"0_{n}") for n in range(3)]
    lines += [line("replace_video", NOW - 100 * DAY, f"0_{n}") for n in range(2)]
    found = figures(items, lines)
    growth = found.growth
    assert growth is not None
    assert len(growth.rows) == MONTHS
    freed = 4 * (10 * GIB - 2048)
    assert (found.freed_entries, found.freed_bytes, found.stored_bytes) == (4, freed, 50 * GIB)
    assert list(growth.rows[-1][1:]) == [60 * GIB, 60 * GIB - freed, 50 * GIB]
    # Before the log began nothing is known of it; when it began, two were away already and two had a copy.
    held = column(growth, "in Kaltura")
    first = next(n for n, cell in enumerate(held) if cell is not None)
    assert column(growth, "Month")[first] == "2026-05"
    assert held[first] == 60 * GIB - freed // 2
    assert column(growth, "copies in S3")[first] == 50 * GIB
    assert column(growth, "copies in S3")[0] is None


def test_a_restore_gives_the_space_back_and_costs_once() -> None:
    at = int(datetime(2026, 9, 10, tzinfo=UTC).timestamp())
    lines = [line("replace_video", NOW - 400 * DAY), line("restore", at)]
    found = figures([item(State.ARCHIVED)], lines)
    money = found.money
    assert money is not None
    months = dict(zip(column(money, "Month"), money.rows, strict=True))
    avoided = PRICES.kaltura_month(10 * GIB)
    storage = PRICES.s3_month("DEEP_ARCHIVE", 10 * GIB)
    bringing = PRICES.retrieval("DEEP_ARCHIVE", "bulk", 10 * GIB) + PRICES.transfer_out(10 * GIB)
    assert avoided is not None
    assert months["2026-08"] == ["2026-08", avoided, storage, 0, 0, pytest.approx(avoided - storage)]
    assert months["2026-09"] == ["2026-09", 0, storage, 0, pytest.approx(bringing), pytest.approx(-storage - bringing)]
    assert money.total is not None
    assert money.total[5] == pytest.approx(sum(column(money, "net")))
    assert found.bringing_month == pytest.approx(bringing / 12)
    assert found.restores_year == 1


def test_what_is_saved_per_month_is_what_kaltura_would_ask_less_what_s3_asks() -> None:
    found = figures([item(State.PLACEHOLDER)], [])
    freed = 10 * GIB - 2048
    assert found.net_month == pytest.approx(freed / GIB * 0.12 - PRICES.s3_month("DEEP_ARCHIVE", 10 * GIB))
    unknown = figures([item(State.PLACEHOLDER)], [], prices=Prices.load(today=date(2026, 11, 25)))
    assert unknown.net_month is None
    assert unknown.pays_from == pytest.approx(PRICES.s3_month("DEEP_ARCHIVE", 10 * GIB) / (freed / GIB))


def test_regret_counts_what_was_back_within_a_year_of_its_replacement() -> None:
    lines = []
    for number, (replaced, back) in enumerate([(800, 434.9), (800, 300), (700, None), (100, 50), (100, None)]):
        lines.append(line("replace_video", NOW - replaced * DAY, f"0_{number}"))
        if back:
            lines.append(line("restore", int(NOW - back * DAY), f"0_{number}"))
    states = [State.ARCHIVED, State.ARCHIVED, State.PLACEHOLDER, State.ARCHIVED, State.PLACEHOLDER]
    found = figures([item(state, f"0_{n}") for n, state in enumerate(states)], lines)
    # Back after 365.1 days, within a year of 365.25; after 500, which is too late; not at all. The last two had not
    # their year yet.
    assert (found.ripe_replaced, found.ripe_restored) == (3, 1)
    assert [list(row) for row in found.regrets.rows] == [  # type: ignore[union-attr]
        ["2024 Q3", 2, 1, 0.5, "yes"],
        ["2024 Q4", 1, 0, 0.0, "yes"],
        ["2026 Q3", 2, 1, 0.5, "not yet"],
    ]


def test_waits_are_counted_and_their_middle_told() -> None:
    lines = []
    for number, hours in enumerate((0.5, 5, 7, 30)):
        asked = NOW - (20 + number) * DAY
        lines.append(line("replace_video", NOW - 400 * DAY, f"0_{number}"))
        lines.append(line("restore", int(asked + hours * HOUR), f"0_{number}", last_played_at=asked))
    found = figures([item(entry=f"0_{n}") for n in range(4)], lines)
    assert found.median_wait == 6 * HOUR
    assert found.waited(0.9) == 30 * HOUR
    assert column(found.waiting, "restores") == [1, 1, 1, 0, 1, 0, 0]
    assert sum(column(found.restores, "of these after a play")) == 4


def test_a_copy_was_verified_when_its_tag_or_the_log_tells_last() -> None:
    items = [
        item(entry="0_a", verified_at="2024-11-01T00:00:00Z"),
        item(entry="0_b", verified_at="2026-11-01T00:00:00Z"),
        item(entry="0_c", verified_at="nobody knows"),
    ]
    found = figures(items, [line("verify", NOW - 200 * DAY, "0_a"), line("verify", NOW - 800 * DAY, "0_b")])
    assert column(found.verification, "copies") == [1, 1, 0, 0, 1]
    assert iso_date(found.oldest_verified) == "2026-05-09"
    assert found.verified_bytes == 2 * (items[0].stored_bytes or 0) > 0
    assert [iso_date(row.verified_at) for row in sorted(found.rows, key=lambda row: row.item.entry_id)] == [
        "2026-05-09",
        "2026-11-01",
        "",
    ]


def test_the_table_keeps_what_needs_attention_then_the_largest() -> None:
    items = [item(entry=f"0_{n}", original_bytes=n * GIB) for n in range(1, 8)]
    items.append(item(State.UNBACKED, "0_bad", original_bytes=1))
    found = figures(items, [], rows=3)
    assert [row.item.entry_id for row in found.rows] == ["0_bad", "0_7", "0_6"]
    assert found.entries == 8
    assert [list(row) for row in found.trouble.rows] == [  # type: ignore[union-attr]
        ["copy missing", 1, 1, "Find out where the copy went; then have it archived again."]
    ]


def test_a_lost_video_is_kept_before_all_that_are_larger() -> None:
    items = [item(State.UNBACKED, f"0_{n}", original_bytes=n * GIB) for n in range(1, 8)] + [item(State.LOST, "0_lost")]
    found = figures(items, [], rows=2)
    assert [row.item.entry_id for row in found.rows] == ["0_lost", "0_7"]
    assert (found.lost, [named.entry_id for named in found.lost_named]) == (1, ["0_lost"])


def test_the_worst_entries_are_listed_first() -> None:
    items = [item(State.UNTAGGED, f"0_{n}") for n in range(150)] + [item(State.LOST, "0_lost")]
    found = figures(items, [])
    assert column(found.troubled, "Entry")[:3] == ["0_lost", "0_0", "0_1"]
    assert len(found.troubled.rows) == 100  # type: ignore[union-attr]


def test_owners_beyond_the_first_fifty_are_one_row_and_all_add_up() -> None:
    found = figures([item(entry=f"0_{n}", creator_id=f"u{n}", original_bytes=n) for n in range(1, 61)], [])
    table = found.owners
    assert table is not None
    assert table.total is not None
    assert (table.rows[0][0], table.rows[-1][0], len(table.rows)) == ("u60", "10 others", 51)
    assert table.total[-1] == sum(column(table, "all videos")) == 60 * 61 // 2
    one_more = figures([item(entry=f"0_{n}", creator_id=f"u{n}") for n in range(51)], []).owners
    assert column(one_more, one_more.columns[0].name)[-1] == "1 other"  # type: ignore[union-attr]


def test_a_library_of_nothing_has_figures_too() -> None:
    found = figures([], [])
    assert (found.entries, found.stored_bytes, found.net_month, found.waiting, found.trouble) == (0, 0, 0, None, None)


def test_owners_come_from_what_enrich_has_written(tmp_path: Path) -> None:
    file = tmp_path / "owners.tsv"
    file.write_text(
        "entry_id\tcreator_id\tldap_status\tname\torg_unit\n0_a\tada\tactive\tAda L.\tMath\n0_b\tbob\tinactive\t\t\n"
    )
    owner_of = owners_of(str(file))
    assert owner_of(item(creator_id="ada")).cells == ("Ada L.", "Math")
    assert owner_of(item(creator_id="bob")).cells == ("", "(inactive)")
    assert owner_of(item(creator_id="eve")).cells == ("", "(not listed)")
    collector = Collector(History(), PRICES, now=NOW, rows=9, owner_of=owner_of)
    for number, creator in enumerate(("ada", "ada", "bob")):
        collector.add(item(entry=f"0_{number}", creator_id=creator))
    found = collector.figures()
    assert column(found.units, "Unit") == ["Math", "(inactive)"]
    assert [row[:3] for row in map(list, found.owners.rows)] == [["Ada L. (ada)", "active", 2], ["bob", "inactive", 1]]  # type: ignore[union-attr]
    file.write_text("creator_id\tname\n")
    with pytest.raises(InputError, match="has no column 'ldap_status'"):
        owners_of(str(file))


# CSV


def test_no_cell_of_a_csv_is_a_formula() -> None:
    names = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", 'a "quoted", name', "plain"]
    found = figures([item(entry=f"0_{n}", creator_id=name) for n, name in enumerate(names)], [])
    table = found.owners
    assert table is not None
    rows = list(csv.reader(io.StringIO(csv_text(table), newline="")))
    first = {row[0] for row in rows[1:]}
    assert first == {*(f"'{name}" for name in names[:6]), *names[6:]}
    assert unquote(csv_link(table)).startswith("data:text/csv;charset=utf-8,\ufeffOwner,")
    # Numbers are numbers: bytes, not "10 GiB".
    assert rows[1][-1] == str(10 * GIB)
