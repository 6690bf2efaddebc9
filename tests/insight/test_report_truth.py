"""What the report tells happened, and is so: by the state before, of the very copy, and of what Kaltura has."""

from __future__ import annotations

import re
import time
from html import unescape
from pathlib import Path

import pytest
from conftest import Run
from looking import somebody_replaces, use_run_log

from kaltura_archiver.insight.collector import Collector
from kaltura_archiver.insight.history import History
from kaltura_archiver.insight.snapshot import SnapshotEntry
from kaltura_archiver.insight.stats import Stats
from kaltura_archiver.model import State
from kaltura_archiver.money.prices import Prices
from kaltura_archiver.sandbox.world import Sandbox

MONTHS = "2026-0{}-01T00:00:00Z"
DONE = {"kind": "entry", "run": "r", "entry": "0_a", "outcome": "done", "bytes_moved": 0, "last_played_at": None}


def page(run: Run, *options: str) -> str:
    assert run("report", *options, "-o", "page.html").code == 0
    return Path("page.html").read_text()


def item(state: State, kaltura_bytes: int = 3_000_000, original_bytes: int = 0) -> SnapshotEntry:
    return SnapshotEntry(
        "0_a", "n", "c", "", 1_400_000_000, None, 0, state.value, False, "", "", original_bytes, kaltura_bytes,
        9_000_000, "STANDARD", "",
    )  # fmt: skip


@pytest.mark.parametrize("state", [State.ARCHIVED, State.INITIAL])
def test_a_request_for_what_is_there_is_no_restore(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch, state: State
) -> None:
    use_run_log(monkeypatch)
    entry_id = sandbox.add(state, tags="restore_please")
    ran = run("restore", "--request-tag", "restore_please", "--no-dry-run")
    assert ran.outcomes == {entry_id: "done"}
    assert "1 original came back" not in page(run)


@pytest.mark.parametrize(("command", "state"), [("replace_video", "placeholder"), ("thin", "thin")])
def test_labels_that_are_set_again_make_no_new_absence(command: str, state: str) -> None:
    lines = [
        DONE | {"command": command, "state": "archived", "at": MONTHS.format(1)},
        DONE | {"command": command, "state": state, "at": MONTHS.format(3)},
    ]
    (away,) = History(lines).away("0_a", now_away=True)
    assert time.gmtime(away.since).tm_mon == 1


def test_what_was_thin_and_is_replaced_is_away_since_it_was_thin() -> None:
    lines = [
        DONE | {"command": "thin", "state": "archived", "at": MONTHS.format(1)},
        DONE | {"command": "replace_video", "state": "thin", "at": MONTHS.format(3)},
    ]
    (away,) = History(lines).away("0_a", now_away=True)
    assert time.gmtime(away.since).tm_mon == 1


def test_a_later_copy_is_not_verified_by_a_look_at_the_earlier_one(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_run_log(monkeypatch)
    entry_id = sandbox.add(State.ARCHIVED)
    assert run("verify", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "done"}
    assert "100 % were verified" in page(run)
    somebody_replaces(sandbox, entry_id, b"another video" * 999)
    sandbox.kaltura.settle()
    sandbox.control.clock.advance(10)
    assert run("resolve", entry_id, "--keep", "kaltura", "--no-dry-run").outcomes == {entry_id: "done"}
    assert "100 % were verified" not in page(run)


def test_a_damaged_copy_is_not_told_as_verified(sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    use_run_log(monkeypatch)
    entry_id = sandbox.add(State.ARCHIVED)
    assert run("verify", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "done"}
    body = sandbox.s3.body(entry_id)
    assert body is not None
    sandbox.s3.put(entry_id, body[:-1] + b"X", tags=sandbox.s3.tags(entry_id))
    assert run("verify", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "failed"}
    assert "100 % were verified" not in page(run)


@pytest.mark.parametrize("state", [State.HALF_TAGGED, State.NO_ORIGINAL, State.HALF_THIN, State.PLACEHOLDER])
def test_owners_have_in_kaltura_what_is_there(state: State) -> None:
    collector = Collector(History(), Prices.load(0.1), now=int(time.time()), rows=10, owner_of=None)
    collector.add(item(state))
    table = collector.figures().owners
    (row,) = table.rows
    told = dict(zip([column.name for column in table.columns], row, strict=True))
    assert (told["in Kaltura"], told["freed in Kaltura"]) == (0, 9_000_000)


@pytest.mark.parametrize("state", list(State))
def test_what_is_freed_is_reckoned_alike_in_stats_and_the_report(state: State) -> None:
    prices, now = Prices.load(0.1), int(time.time())
    stats = Stats(prices, now=now, storage_class="STANDARD")
    collector = Collector(History(), prices, now=now, rows=10, owner_of=None)
    for each in (stats, collector):
        each.add(item(state))
    assert collector.figures().freed_bytes == stats.total.freed_bytes


@pytest.mark.parametrize("state", [State.THIN, State.HALF_THIN, State.HALF_TAGGED, State.PLACEHOLDER])
@pytest.mark.parametrize("in_place", [True, False])
def test_an_original_that_is_in_place_was_not_freed(state: State, in_place: bool) -> None:
    collector = Collector(History(), Prices.load(0.1), now=int(time.time()), rows=10, owner_of=None)
    collector.add(item(state, 9_000_000 if in_place else 3_000_000, 9_000_000 if in_place else 0))
    placeholder = state in (State.HALF_TAGGED, State.PLACEHOLDER)  # then what is in place is that
    assert collector.figures().freed_entries == int(placeholder or not in_place)


EVERY = "status = any"


@pytest.mark.parametrize(
    ("options", "entries", "selected_by"),
    [
        ((), "5 video entries", ""),
        (("--page-size", "1"), "5 video entries", ""),
        (("--media-type", "audio"), "1 audio entry", ""),
        (("--status", "2"), "4 video entries", "media_type = video and status in 2"),
        (("--tag", "archived_to_s3"), "5 video entries", f"media_type = video and {EVERY} and tag = archived_to_s3"),
        (("--max-entries", "2"), "2 video entries", f"media_type = video and {EVERY}; at most 2"),
        (("--max-entries", "9"), "5 video entries", f"media_type = video and {EVERY}; at most 9"),
        (
            ("--first-page", "2", "--page-size", "3"),
            "2 video entries",
            f"media_type = video and {EVERY}; without the first 3",
        ),
        (("--shard", "0/1"), "5 video entries", f"media_type = video and {EVERY} and shard 0 of 1"),
    ],
)
def test_the_page_says_what_it_is_of(
    sandbox: Sandbox, run: Run, options: tuple[str, ...], entries: str, selected_by: str
) -> None:
    for status in ("2", "2", "2", "2", "5"):
        sandbox.add(State.ARCHIVED, status=status)
    sandbox.add(State.ARCHIVED, media_type=5)
    text = unescape(page(run, *options))
    told = re.findall(r"Selected by: (.*)\.</footer>", text)
    assert told == ([selected_by] if selected_by else [])
    (about,) = re.findall(r'<p class="soft">(.*? as of .*?)</p>', text)
    assert about.startswith(f"{entries} as of ")
    assert ("These are the first of them, and more match." in about) is (options == ("--max-entries", "2"))
