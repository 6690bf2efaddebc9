"""How many requests the looking commands make, what they hold in memory, and that few requests tell the same."""

from __future__ import annotations

import threading
import time
import tracemalloc
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from conftest import Run
from lxml import etree

from kaltura_archiver.config import read_settings
from kaltura_archiver.errors import KalturaError
from kaltura_archiver.filters import Query
from kaltura_archiver.kaltura import Kaltura
from kaltura_archiver.kaltura.answers import Page, SearchPage
from kaltura_archiver.model import Availability, State
from kaltura_archiver.sandbox.world import Sandbox
from kaltura_archiver.selection import Ids, Selection
from kaltura_archiver.store import Store
from kaltura_archiver.store.inventory import Inventory
from kaltura_archiver.transfer.ahead import in_order

SIGN_IN = ("session.", "appToken.")
LONG_AGO = 1_500_000_000


def requests_of(sandbox: Sandbox) -> list[str]:
    """What was asked since the log was cleared; signing in is one call by secret and two by app token, for any size."""
    return [r.operation for r in sandbox.control.requests() if not r.operation.startswith(SIGN_IN)]


# Numbers of requests


def test_list_takes_a_request_per_500_entries_and_two(sandbox: Sandbox, run: Run) -> None:
    there = 0
    for n, per_second in ((1, 1), (500, 3), (1203, 20)):
        for number in range(there, n):
            sandbox.kaltura.add_entry(content_bytes=1, created_at=LONG_AGO + number // per_second, derived=0)
        there = n
        sandbox.control.clear_log()
        assert len(run("list", "--max-entries", -1).rows) == n
        assert len(requests_of(sandbox)) <= n // 500 + 2


def test_a_list_that_one_page_ends_asks_for_no_second(sandbox: Sandbox, run: Run) -> None:
    for number in range(30):
        sandbox.kaltura.add_entry(content_bytes=1, created_at=LONG_AGO + number, derived=0)
    sandbox.control.clear_log()
    assert len(run("list", "--max-entries", 5, "--page-size", 10).rows) == 5
    assert len(requests_of(sandbox)) == 1


def test_flavors_are_listed_40_entries_at_a_time_and_shown_in_the_entries_order(sandbox: Sandbox, run: Run) -> None:
    for number in range(330):
        sandbox.kaltura.add_entry(content_bytes=1, created_at=LONG_AGO + number, derived=1)
    entries = [row["entry_id"] for row in run("list").rows]
    sandbox.control.clear_log()
    shown = [row["entry_id"] for row in run("list", "--mode", "flavor").rows]
    assert list(dict.fromkeys(shown)) == entries
    assert len(shown) == 660
    assert len(requests_of(sandbox)) <= 330 // 500 + 330 // 40 + 3


def test_health_of_a_mixed_library_takes_few_requests_and_tells_the_same_states(sandbox: Sandbox, run: Run) -> None:
    """Beside pages, the search for further streams, and the bucket's four rules: no request for any entry but where the
    tags of its stored copy tell a newer upload from others, or which flavor is to play without an original."""
    many = [State.INITIAL, State.ARCHIVED, State.PLACEHOLDER]
    states = [*(many * 20), *State]
    for number, state in enumerate(states):
        sandbox.add(state, age_years=9 - number / 1000)
    by_tags = sum(states.count(state) for state in (State.DIVERGED, State.THIN, State.HALF_THIN))
    sandbox.control.clear_log()
    quick = run("health", "--columns", "entry_id,state,status-ok,s3-size,storage_class,message", "--max-entries", -1)
    asked = requests_of(sandbox)
    n, bucket = len(states), len(sandbox.s3.keys())
    # That there are no further streams is asked three times, the third beside a search for anything at all.
    assert len(asked) <= n / 500 + n / 40 + bucket / 1000 + 3 + 4 + 4 + 2 * by_tags
    thorough = run("health", "--verified", "--columns", "entry_id,state,status-ok,s3-size,storage_class,message")
    alike = [
        [row | {"message": row["message"].replace(", verified never", "")} for row in r.rows] for r in (quick, thorough)
    ]
    assert alike[0] == alike[1]
    assert {row["state"] for row in quick.rows} == {str(state) for state in State}
    assert quick.code == thorough.code == 1
    assert ", verified never" in thorough.out


def add_archived(sandbox: Sandbox, n: int) -> list[str]:
    return [sandbox.add(State.ARCHIVED, age_years=9 - number / 1000) for number in range(n)]


def test_what_verify_found_is_told_of_a_large_selection_too(sandbox: Sandbox, run: Run) -> None:
    first, *_ = add_archived(sandbox, 50)
    body = sandbox.s3.body(first)
    assert body is not None
    sandbox.s3.put(first, b"X" + body[1:], tags=sandbox.s3.tags(first))
    assert run("health").code == 0
    assert run("verify", "--id", first, "--no-dry-run").code == 1
    sandbox.control.clear_log()
    ran = run("health")
    assert [row["entry_id"] for row in ran.rows if row["status-ok"] == "False"] == [first]
    assert ran.code == 1
    assert "DAMAGED" in ran.out
    assert len(sandbox.control.requests("s3.HeadObject")) == 1


def test_a_copy_made_after_the_listing_began_is_not_missed(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = add_archived(sandbox, 50)
    video = sandbox.s3.body(entries[0])
    assert video is not None
    list_pages = Store.pages

    def list_without_the_first(store: Store) -> Iterator[list[Any]]:
        for page in list_pages(store):
            yield [item for item in page if item[0] != entries[0]]

    monkeypatch.setattr(Store, "pages", list_without_the_first)
    assert run("health").code == 1
    sandbox.kaltura.entries[entries[0]].updated_at = int(time.time())
    assert run("health").code == 0


@pytest.mark.parametrize("disorder", [False, True])
def test_each_copy_is_looked_at_where_listing_the_bucket_would_cost_more(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch, disorder: bool
) -> None:
    entries = add_archived(sandbox, 45)
    states = [row["message"] for row in run("health", "--verified").rows]
    asked: list[int] = []

    def endless(store: Store) -> Iterator[list[Any]]:
        for number in range(1000):
            asked.append(number)
            key = f"0_000{-number if disorder else number:06}"
            yield [(key, 1, "STANDARD", Availability.READABLE)]

    monkeypatch.setattr(Store, "pages", endless)
    sandbox.control.clear_log()
    assert [row["message"] for row in run("health").rows] == states
    assert len(sandbox.control.requests("s3.HeadObject")) == len(entries)
    assert len(asked) <= 2


def test_a_bucket_of_several_pages_is_listed_to_its_end(sandbox: Sandbox, run: Run) -> None:
    add_archived(sandbox, 42)
    for number in range(1100):
        sandbox.s3.put(f"0_{'09iz'[number % 4]}{number:07}", b"x")
    sandbox.control.clear_log()
    assert run("health").code == 0
    assert len(sandbox.control.requests("s3.ListObjectsV2")) == 2
    assert sandbox.control.requests("s3.HeadObject") == []


def test_an_inventory_finds_what_was_listed_and_nothing_else() -> None:
    inventory = Inventory()
    kinds = [("STANDARD", Availability.READABLE), ("GLACIER", Availability.FROZEN), ("GLACIER", Availability.THAWING)]
    keys = [f"0_{number:08}" for number in range(0, 5000, 2)]
    for start in range(0, len(keys), 1000):
        assert inventory.add([(k, int(k[2:]) + 1, *kinds[int(k[2:]) % 3]) for k in keys[start : start + 1000]])
    assert inventory.add([("displaced/0_00000003/0_x@1", 1, *kinds[0]), ("suspect/0_00000004", 0, *kinds[0])])
    # Of later copies of an entry only its id is told: they are to be looked at.
    assert inventory.add([(f"suspect/0_00000006/newer.0_x@{number}", 0, *kinds[0]) for number in (12, 22)])
    assert inventory.add([("suspect/0_00000008@0_x@12/etag.damaged", 0, *kinds[0])])
    for number in range(5000):
        found = inventory.get(f"0_{number:08}")
        if number % 2:
            assert found is None
        else:
            assert found is not None
            assert (found.size_bytes, found.storage_class, found.availability) == (number + 1, *kinds[number % 3])
    assert [inventory.get(key) for key in ("", "0_0000000", "0_000000000", "1_a", "\n", "displaced/0_3")] == [None] * 6
    assert inventory.suspects == {"0_00000004", "0_00000006", "0_00000008"}
    assert not inventory.add([("0_a", 1, *kinds[0])])


# Ahead of use


def test_work_ahead_keeps_its_order_and_its_bounds() -> None:
    begun: list[int] = []
    lock = threading.Lock()

    def work(number: int) -> int:
        with lock:
            begun.append(number)
        return number * number

    results = in_order(work, range(50), threads=3, room=4)
    for number in range(50):
        assert next(results) == number * number
        with lock:
            assert len(begun) <= number + 1 + 4
    assert list(results) == []


def test_what_work_ahead_raises_comes_in_its_turn_and_ends_it() -> None:
    def items() -> Iterator[int]:
        yield from range(5)
        raise OSError("cut")

    results = in_order(lambda n: n, items(), threads=2, room=3)
    assert [next(results) for _ in range(5)] == list(range(5))
    with pytest.raises(OSError, match="cut"):
        next(results)
    with pytest.raises(ZeroDivisionError):
        list(in_order(lambda n: 1 // (2 - n), range(9), threads=2, room=3))


def test_whoever_stops_does_not_wait_for_work_ahead() -> None:
    go_on = threading.Event()
    ahead = threading.Event()

    def work(number: int) -> int:
        if number:
            ahead.set()
            go_on.wait()
        return number

    before = set(threading.enumerate())
    results = in_order(work, range(9))
    assert next(results) == 0
    ahead.wait()
    results.close()  # type: ignore[attr-defined]
    started = set(threading.enumerate()) - before
    go_on.set()
    for thread in started:
        thread.join(10)
        assert not thread.is_alive()


# Memory, and no entry twice


def entry_xml(entry_id: str, created_at: int) -> str:
    fields = {"objectType": "KalturaMediaEntry", "id": entry_id, "status": "2", "tags": "", "type": "1"}
    fields |= {"mediaType": "1", "createdAt": str(created_at), "displayInSearch": "1", "partnerId": "101", "plays": "0"}
    fields |= dict.fromkeys(("userId", "creatorId", "categoriesIds", "lastPlayedAt", "parentEntryId"), "")
    fields |= {"replacingEntryId": "", "replacedEntryId": "", "replacementStatus": "0"}
    return "".join(["<item><object>", *(f"<{k}>{v}</{k}>" for k, v in fields.items()), "</object></item>"])


def answer(objects: str, total: int) -> Any:
    head = f"<objectType>KalturaESearchEntryResponse</objectType><totalCount>{total}</totalCount>"
    return etree.fromstring(f"<result>{head}<objects>{objects}</objects></result>")


class EndlessKaltura(Kaltura):
    """Answers searches itself: `n` entries, one per second, or the same page whatever is asked."""

    def __init__(self, n: int, *, stuck: bool = False) -> None:
        super().__init__(read_settings(None), read_only=True)
        self._n, self._stuck = n, stuck

    def _search(self, params: Mapping[str, Any], *, page_size: int, page: int = 1) -> Any:
        items = params["searchOperator"]["searchItems"]
        bounds = [i["range"]["greaterThanOrEqual"] for i in items if i.get("fieldName") == "created_at"]
        known = sum(len(i["searchItems"]) for i in items if i.get("operator") == 3)
        first = bounds[0] - LONG_AGO + known if bounds and not self._stuck else 0
        numbers = range(first, min(first + page_size, self._n))
        objects = "".join(entry_xml(f"0_{n:08}", LONG_AGO + n) for n in numbers)
        return SearchPage.of(answer(objects, self._n - first))


def peak_of(n: int) -> int:
    tracemalloc.start()
    try:
        assert sum(1 for _ in Selection(EndlessKaltura(n), Query(max_entries=None))) == n
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_the_memory_of_a_list_does_not_grow_with_its_length() -> None:
    # Some pages of 500 are there at a time, more or fewer by how the threads take turns; all entries would be 7 MB.
    assert peak_of(10_000) < 2_000_000


def test_ids_collected_before_the_first_change_take_little_memory() -> None:
    tracemalloc.start()
    try:
        ids = Ids(f"0_{n:08}" for n in range(20_000))
        assert tracemalloc.get_traced_memory()[1] < 20_000 * 30
    finally:
        tracemalloc.stop()
    assert [ids[0], ids[-1], ids[7], len(ids)] == ["0_00000000", "0_00019999", "0_00000007", 20_000]
    assert ids[3:6] == ["0_00000003", "0_00000004", "0_00000005"]
    assert list(ids) == [f"0_{n:08}" for n in range(20_000)]
    assert list(Ids(["0_ä", "0_b"])) == ["0_ä", "0_b"]


def test_a_search_that_repeats_its_first_page_gives_no_entry_twice() -> None:
    found = [e.id for e in Selection(EndlessKaltura(30, stuck=True), Query(page_size=10, max_entries=None))]
    assert sorted(found) == [f"0_{n:08}" for n in range(30)]


def test_an_entry_that_an_answer_only_names_is_not_passed_over() -> None:
    found = SearchPage.of(answer(entry_xml("0_a", LONG_AGO), 1))
    assert [entry.id for entry in Page(found, ["0_a"]).entries()] == ["0_a"]
    with pytest.raises(KalturaError, match="does not show, 0_b"):
        list(Page(found, ["0_a", "0_b"]).entries())


@pytest.mark.parametrize("missing", ["id", "createdAt"])
def test_an_entry_without_id_or_time_costs_that_entry_alone(missing: str) -> None:
    whole, broken = entry_xml("0_a", LONG_AGO), etree.fromstring(entry_xml("0_b", LONG_AGO))
    element = broken.find(f"object/{missing}")
    element.getparent().remove(element)
    found = SearchPage.of(answer(whole + etree.tostring(broken).decode(), 2))
    page = Page(found, [entry_id for entry_id, _ in found.outlines])
    entries = list(page.entries())
    assert entries[0].id == "0_a"
    if missing == "id":
        assert (len(entries), page.odd) == (1, ["Kaltura answered with an entry without id"])
    else:
        assert ([(entry.id, entry.created_at) for entry in entries[1:]], page.odd) == ([("0_b", 0)], [])


def test_an_answer_without_an_object_is_an_incomplete_one() -> None:
    whole, broken = entry_xml("0_a", LONG_AGO), etree.fromstring(entry_xml("0_b", LONG_AGO))
    broken.remove(broken.find("object"))
    with pytest.raises(KalturaError, match="incomplete entry"):
        SearchPage.of(answer(whole + etree.tostring(broken).decode(), 2))
