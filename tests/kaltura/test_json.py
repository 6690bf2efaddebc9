"""Pages of many entries come as JSON and tell the same as in XML; what JSON cannot tell is asked for as XML."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from conftest import Run
from KalturaClient.Base import KalturaConfiguration
from looking import BOTH, do_not_wait

from kaltura_archiver.errors import KalturaError
from kaltura_archiver.kaltura.answers import NEEDED_FIELDS, SearchPage
from kaltura_archiver.kaltura.plain import MAX_MISSES, Shown
from kaltura_archiver.kaltura.wire import NotJson, WireClient
from kaltura_archiver.model import State
from kaltura_archiver.sandbox.control import Request
from kaltura_archiver.sandbox.world import Sandbox

LONG_AGO = 1_500_000_000
EVERYTHING = ["--format", "json", "--max-entries", "-1"]


class Asked:
    """What came as JSON: the answers, or why an answer did not do."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.came: list[Any] = []
        ask = WireClient.doQueueAsJson

        def noted(client: WireClient) -> Any:
            try:
                self.came.append(ask(client))
            except Exception as error:
                self.came.append(error)
                raise
            return self.came[-1]

        monkeypatch.setattr(WireClient, "doQueueAsJson", noted)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    return Asked(monkeypatch)


@pytest.fixture
def as_xml(run: Run, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """`run` without any JSON."""

    def refuse(_: WireClient) -> Any:
        raise NotJson("not this time")

    def told(*words: Any) -> Any:
        with monkeypatch.context() as patched:
            patched.setattr(WireClient, "doQueueAsJson", refuse)
            return run(*words)

    return told


@pytest.fixture
def odd_library(sandbox: Sandbox) -> list[str]:
    """Entries with and without what may be null, and with texts of all kinds."""
    names = [
        "plain",
        "",
        "Vorlesung äöü \u00a0",
        "emoji \U0001f600 / \\ \" ' <b>&amp;",
        "tab\there",
        "\u2028line",
        "\u007f",
    ]
    made = []
    for number, name in enumerate(names * 2):
        more: dict[str, Any] = {"tags": BOTH} if number % 3 == 0 else {}
        if number % 4 == 1:
            more |= {"last_played_at": LONG_AGO, "plays": number}
        if number % 5 == 2:
            more |= {"parent_id": "0_parent", "user_id": "", "creator_id": ""}
        entry = sandbox.kaltura.add_entry(content_bytes=10, name=name, created_at=LONG_AGO + number, derived=1, **more)
        made.append(entry.id)
    return made


@pytest.mark.usefixtures("odd_library")
@pytest.mark.parametrize("words", [["list"], ["list", "--mode", "flavor"], ["health"], ["stats"]], ids=" ".join)
def test_what_json_tells_is_what_xml_tells(
    run: Run, asked: Asked, as_xml: Callable[..., Any], words: list[str]
) -> None:
    paged = [*words, *(() if words == ["stats"] else EVERYTHING)]
    more = ["--page-size", 4] if words != ["stats"] else []
    ran, other = run(*paged, *more), as_xml(*paged, *more)
    said, other_said = (re.sub(r"^\S+Z ", "", one.err, flags=re.MULTILINE) for one in (ran, other))  # no times
    assert (ran.code, ran.out, said) == (other.code, other.out, other_said)
    pages = [answer for answer in asked.came if "Search" in answer["objectType"]]
    assert len(pages) >= (3 if more else 0)
    assert [p for p in pages if not all(type(entry["object"]["plays"]) is int for entry in p["objects"])] == []


def test_only_the_fields_that_are_looked_at_are_asked_for(
    sandbox: Sandbox, run: Run, asked: Asked, odd_library: list[str]
) -> None:
    assert len(run("list", "--page-size", 5).rows) == len(odd_library)
    entries = [result["object"] for answer in asked.came for result in answer["objects"]]
    assert len(entries) > len(odd_library) // 2
    assert all("name" in entry and "searchText" not in entry for entry in entries)


@pytest.mark.parametrize("lacking", sorted(NEEDED_FIELDS))
def test_a_field_that_no_entry_has_is_missing_in_each(
    sandbox: Sandbox, run: Run, asked: Asked, monkeypatch: pytest.MonkeyPatch, lacking: str
) -> None:
    do_not_wait(monkeypatch)
    ids = [sandbox.kaltura.add_entry(content_bytes=1, created_at=LONG_AGO + n).id for n in range(9)]
    services = sandbox.kaltura.services
    describe = services.describe_entry
    monkeypatch.setattr(
        services, "describe_entry", lambda entry: {k: v for k, v in describe(entry).items() if k != lacking}
    )
    ran = run("list", "--page-size", 3)
    assert (ran.code, ran.rows) == (1, [])
    assert [i for i in ids if f"incomplete entry {i}" not in ran.err] == []


@pytest.mark.parametrize(
    ("lacking", "more"),
    [
        ("tags", {"tags": "x"}), ("lastPlayedAt", {"last_played_at": LONG_AGO}), ("status", {}), ("plays", {}),
        ("displayInSearch", {}), ("replacementStatus", {}), ("userId", {"user_id": "me"}), ("partnerId", {}),
    ],
)  # fmt: skip
def test_what_every_entry_had_so_far_is_not_believed_to_be_null(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch, lacking: str, more: dict[str, Any]
) -> None:
    do_not_wait(monkeypatch)
    entries = [sandbox.kaltura.add_entry(content_bytes=1, created_at=LONG_AGO + n, **more) for n in range(9)]
    services = sandbox.kaltura.services
    describe = services.describe_entry

    def without(entry: Any) -> Any:
        told = describe(entry)
        return told if entry.id != entries[7].id else {k: v for k, v in told.items() if k != lacking}

    monkeypatch.setattr(services, "describe_entry", without)
    ran = run("list", "--page-size", 3)
    assert ran.code == 1
    assert f"incomplete entry {entries[7].id}" in ran.err
    assert [row["entry_id"] for row in ran.rows] == [e.id for e in entries if e is not entries[7]]


def test_null_where_all_before_had_a_value_is_looked_up_once(
    sandbox: Sandbox, run: Run, asked: Asked, as_xml: Callable[..., Any]
) -> None:
    tags = ["x"] * 5 + [""] * 10
    ids = [sandbox.kaltura.add_entry(content_bytes=1, created_at=LONG_AGO + n, tags=of).id for n, of in enumerate(tags)]
    sandbox.control.clear_log()
    ran = run("list", "--page-size", 3, "--columns", "entry_id,tags")
    assert [(row["entry_id"], row["tags"]) for row in ran.rows] == list(zip(ids, tags, strict=True))
    # The page on which the first one comes, once more as XML.
    requests, answers = len(sandbox.control.requests("eSearch.*")), len(asked.came)
    as_xml("list", "--page-size", 3)
    sandbox.control.clear_log()
    as_xml("list", "--page-size", 3)
    assert requests == answers + 2


@pytest.mark.parametrize("kind", ["garbage", "empty", "cut", "http_500", "error"])
def test_a_page_that_cannot_be_read_as_json_is_read_all_the_same(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    do_not_wait(monkeypatch)
    ids = [sandbox.kaltura.add_entry(content_bytes=1, created_at=LONG_AGO + n).id for n in range(12)]
    sandbox.control.add_fault("eSearch.searchEntry", kind, skip=1, code="ACTION_BLOCKED")
    ran = run("list", "--page-size", 5)
    assert (ran.code, [row["entry_id"] for row in ran.rows]) == (0, ids), ran.err


def test_a_server_that_gives_no_json_is_asked_for_xml(
    sandbox: Sandbox, run: Run, asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [sandbox.kaltura.add_entry(content_bytes=1, created_at=LONG_AGO + n).id for n in range(12)]
    sandbox.control.add_fault("eSearch.searchEntry", "error", skip=1, code="INVALID_PARAMETER_CHAR")
    ran = run("list", "--page-size", 3)
    assert (ran.code, [row["entry_id"] for row in ran.rows]) == (0, ids), ran.err
    assert [isinstance(one, Exception) for one in asked.came] == [True]


def test_a_server_that_answers_in_xml_whatever_it_is_asked_is_not_asked_for_ever(
    sandbox: Sandbox, run: Run, asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [sandbox.kaltura.add_entry(content_bytes=1, created_at=LONG_AGO + n).id for n in range(40)]
    monkeypatch.setattr("kaltura_archiver.sandbox.kaltura.calls.wants_json", lambda _: False)
    monkeypatch.setattr("kaltura_archiver.sandbox.kaltura.http.wants_json", lambda _: False)
    ran = run("list", "--page-size", 3)
    assert (ran.code, [row["entry_id"] for row in ran.rows]) == (0, ids), ran.err
    assert len(asked.came) == MAX_MISSES
    asked.came.clear()
    assert len(run("list", "--mode", "flavor").rows) > len(ids)
    assert 1 <= len(asked.came) <= MAX_MISSES


def test_an_error_in_json_is_told_as_one_in_xml(sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    do_not_wait(monkeypatch)
    for number in range(12):
        sandbox.kaltura.add_entry(content_bytes=1, created_at=LONG_AGO + number)
    for times, code in ((99, "SEARCH_ENGINE_QUERY_FAILED"), (99, "SERVICE_FORBIDDEN")):
        fault = sandbox.control.add_fault("eSearch.searchEntry", "error", skip=1, times=times, code=code)
        ran = run("list", "--page-size", 3)
        fault.times = 0
        assert ran.code == 1
        assert code in ran.err


def test_a_session_that_ends_between_pages_is_renewed(sandbox: Sandbox, run: Run) -> None:
    ids = [sandbox.kaltura.add_entry(content_bytes=1, created_at=LONG_AGO + n).id for n in range(12)]

    def end(_: Request) -> None:
        sandbox.control.clock.advance(86_400 * 2)

    sandbox.control.add_fault("eSearch.searchEntry", skip=1, before=end)
    ran = run("list", "--page-size", 3)
    assert (ran.code, [row["entry_id"] for row in ran.rows]) == (0, ids), ran.err


@pytest.mark.parametrize("name", ["a\x01b", "\x00", "c\x1f"])
def test_what_xml_cannot_carry_is_shown_as_from_xml(
    sandbox: Sandbox, run: Run, as_xml: Callable[..., Any], name: str
) -> None:
    for number in range(9):
        sandbox.kaltura.add_entry(content_bytes=1, created_at=LONG_AGO + number, name=name if number == 5 else "n")
    ran, other = (ask("list", "--page-size", 3, "--columns", "name") for ask in (run, as_xml))
    assert ran.out == other.out
    assert name not in ran.out


def client_that_hears(monkeypatch: pytest.MonkeyPatch, answer: bytes) -> WireClient:
    client = WireClient(KalturaConfiguration("http://127.0.0.1:1"))
    monkeypatch.setattr(client, "doHttpRequest", lambda *_: answer)
    client.queueServiceActionCall("media", "get", "KalturaMediaEntry")
    return client


@pytest.mark.parametrize(
    "answer",
    [b"", b"<xml>", b"[" * 100_000, b'"\xff"', b'"\xed\xa0\x80"', b'"\\ud83d"', b'"\\ude00 \\ud83d"', b'"\\u0007"',
     b"1" * 5000],
)  # fmt: skip
def test_no_json_is_told_from_json(monkeypatch: pytest.MonkeyPatch, answer: bytes) -> None:
    with pytest.raises(NotJson):
        client_that_hears(monkeypatch, answer).doQueueAsJson()


@pytest.mark.parametrize(
    "answer", [b'"\\ud83d\\ude00"', b'"\\u00fc\\u000a\\u0009"', b"{}", b'["\\\\/"]', '"ü"'.encode()]
)
def test_json_is_taken_for_json(monkeypatch: pytest.MonkeyPatch, answer: bytes) -> None:
    assert client_that_hears(monkeypatch, answer).doQueueAsJson() == json.loads(answer)


_WHOLE: dict[str, Any] = {"objectType": "KalturaESearchEntryResponse", "totalCount": 1, "objects": []}
NO_LISTS: list[Any] = [
    {}, [], {**_WHOLE, "objectType": "KalturaMediaEntry"}, {**_WHOLE, "totalCount": None},
    {**_WHOLE, "objects": {"0": 1}}, {**_WHOLE, "objects": [{"objectType": "KalturaESearchEntryResult"}]},
    {**_WHOLE, "objects": ["x"]},
]  # fmt: skip


@pytest.mark.parametrize("answer", NO_LISTS, ids=json.dumps)
def test_an_answer_that_is_no_list_of_entries_is_an_error(answer: Any) -> None:
    with pytest.raises(KalturaError):
        SearchPage.of_json(answer)


def test_types_that_xml_has_not_shown_are_not_read_from_json() -> None:
    entry = {"objectType": "KalturaLiveStreamEntry", "id": "0_a", "status": 2, "createdAt": 1}
    answer = {
        "objectType": "KalturaESearchEntryResponse",
        "totalCount": 1,
        "objects": [{"objectType": "KalturaESearchEntryResult", "object": entry}],
    }
    assert not Shown().suffices(SearchPage.of_json(answer))


def test_an_object_where_a_value_belongs_costs_that_entry_alone(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [sandbox.add(State.INITIAL, age_years=9 - n / 100) for n in range(6)]
    ask = WireClient.doQueueAsJson

    def odd(client: WireClient) -> Any:
        answer = ask(client)
        for result in answer["objects"]:
            if result["object"]["id"] == ids[4]:
                result["object"]["tags"] = ["archived_to_s3"]
        return answer

    monkeypatch.setattr(WireClient, "doQueueAsJson", odd)
    ran = run("list", "--page-size", 3)
    assert ran.code == 1
    assert "an object where a value belongs" in ran.err
    assert [row["entry_id"] for row in ran.rows] == [i for i in ids if i != ids[4]]
