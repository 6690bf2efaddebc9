"""How many requests a command makes, how many conversions it begins, and that nobody is asked more than he bears."""

from __future__ import annotations

import collections
import dataclasses
import re
import threading
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from looking import Run, made

from kaltura_archiver.apply.room import Conversions, Room
from kaltura_archiver.errors import KalturaError, OddAnswer, Stopped
from kaltura_archiver.kaltura.watching import Progress
from kaltura_archiver.model import Entry, State
from kaltura_archiver.sandbox.control import Request
from kaltura_archiver.sandbox.world import Sandbox
from kaltura_archiver.transfer.pacing import Pace

SAFETY = (Path(__file__).parents[2] / "docs" / "safety.md").read_text(encoding="utf-8")


def promised() -> dict[str, tuple[int, ...]]:
    """The table of docs/safety.md: requests to Kaltura, its file host and S3 for each command."""
    rows = re.findall(r"^\| `([^`]+)` \| (\d+) \| (\d+) \| (\d+) \|", SAFETY, re.MULTILINE)
    return {name: (int(kaltura), int(file), int(s3)) for name, kaltura, file, s3 in rows}


@pytest.mark.parametrize("entries", [1, 6])
def test_a_kept_category_costs_no_request_but_one_for_where_categories_are(
    sandbox: Sandbox, run: Run, entries: int
) -> None:
    """An entry's categories are read together with it; what is above each of them once a minute. And one for each
    rule, which tells that there is such a category."""
    for number in (1, 2):
        sandbox.kaltura.add_category(number, f"c{number}")
    sandbox.kaltura.add_category(3, "Course", privacy_context="MediaSpace")
    for categories, more in (((), 0), ((3,), 1)):
        ids = [sandbox.add(State.INITIAL, categories=categories) for _ in range(entries)]
        named = [word for entry_id in ids for word in ("--id", entry_id)]
        counts = []
        for options in ([], ["--keep-category", "1", "--keep-category", "2"]):
            sandbox.control.clear_log()
            ran = run("s3copy", *named, *options, "--workers", 1)
            assert ran.outcomes == dict.fromkeys(ids, "would")
            counts.append(len(list(made(sandbox))))
        assert counts[1] - counts[0] == more + 2


COMMANDS = [
    ("s3copy", State.INITIAL),
    ("replace_video", State.ARCHIVED),
    ("restore", State.PLACEHOLDER),
    ("restore --via url", State.PLACEHOLDER),
]
CALLS = (Path(__file__).parents[2] / "docs" / "calls.md").read_text(encoding="utf-8")


def told_calls(command: str) -> list[str]:
    """The requests of docs/calls.md, in order."""
    section = CALLS.partition(f"## {command}\n")[2].partition("\n## ")[0]
    return re.findall(r"^\| (`[^|]+`) \|", section, re.MULTILINE)


def asked(sandbox: Sandbox, run: Run, command: str, state: State, entries: int) -> list[tuple[str, tuple[str, ...]]]:
    """What a run asks of these entries, one after the other: server and calls of each request after a run's own."""
    sandbox.kaltura.settings.conversion_seconds = 0
    ids = [sandbox.add(state) for _ in range(entries)]
    name, *options = command.split()
    sandbox.control.clear_log()
    words = [word for entry_id in ids for word in ("--id", entry_id)]
    if name != "s3copy":
        options += ["--max-converting", "1"]
    ran = run(name, *words, "--no-dry-run", "--workers", 1, *options)
    assert ran.outcomes == dict.fromkeys(ids, "done")
    requests = [(server, tuple(calls)) for server, calls in made(sandbox)]
    first = next(n for n, (_, calls) in enumerate(requests) if calls[:2] == ("media.get", "flavorAsset.list"))
    requests = requests[first:]
    if "url" in options:  # Kaltura itself fetches that: HEAD and GET without our signature, after updateContent
        swaps = [n for n, (_, calls) in enumerate(requests) if calls == ("media.updateContent",)]
        for n in reversed(swaps):
            for operation in ("s3.HeadObject", "s3.GetObject"):
                del requests[requests.index(("s3", (operation,)), n)]
    return requests


def is_look(request: tuple[str, tuple[str, ...]]) -> bool:
    """Whether it is one at conversions: entries, each with the temporary one of its replacement, and their flavors."""
    return request[1][:2] == ("media.get", "media.get") and set(request[1]) == {"media.get", "flavorAsset.list"}


@pytest.mark.parametrize(("command", "state"), COMMANDS)
def test_an_entry_costs_the_calls_that_the_page_tells_one_by_one(
    sandbox: Sandbox, run: Run, command: str, state: State
) -> None:
    requests = asked(sandbox, run, command, state, 1)
    # An import takes its time: how often it is looked at meanwhile is no matter.
    requests = [r for n, r in enumerate(requests) if not (is_look(r) and is_look(requests[n - 1]))]
    shown = [" ".join(f"`{call.removeprefix('s3.').removeprefix('file.')}`" for call in calls) for _, calls in requests]
    told = told_calls(command)
    # The content of S3 comes in a thread of its own: these two are asked for at the same time.
    if command == "restore" and told.index("`GetObject`") == shown.index("`uploadToken.add`"):
        at = shown.index("`GetObject`")
        shown[at : at + 2] = shown[at : at + 2][::-1]
    assert shown == told


@pytest.mark.parametrize(("command", "state"), COMMANDS)
def test_a_further_entry_costs_as_many_requests_as_the_page_says(
    sandbox: Sandbox, run: Run, command: str, state: State
) -> None:
    one, two = (
        collections.Counter(request[0] for request in asked(sandbox, run, command, state, n) if not is_look(request))
        for n in (1, 2)
    )
    kaltura, file, s3 = promised()[command]
    looks = command != "s3copy"  # one for both entries, as often as it takes
    assert [two[server] - one[server] for server in ("kaltura", "file", "s3")] == [kaltura - looks, file, s3]


@pytest.mark.parametrize(
    ("lie", "outcome"), [({"uploadedFileSize": None}, "done"), ({"status": 1}, "done"), ({"id": "0_another"}, "done")]
)
def test_a_token_whose_last_answer_does_not_show_it_full_is_looked_at(
    sandbox: Sandbox, run: Run, lie: dict[str, object], outcome: str
) -> None:
    actions = sandbox.kaltura.services._actions["uploadtoken"]
    upload = actions["upload"]

    def lies(*args: Any) -> dict[str, object]:
        return upload.handler(*args) | lie

    actions["upload"] = dataclasses.replace(upload, handler=lies)
    entry_id = sandbox.add(State.PLACEHOLDER)
    assert run("restore", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: outcome}
    assert len(sandbox.control.requests("uploadToken.get")) == 1


# Conversions


def in_flight(sandbox: Sandbox) -> int:
    with sandbox.kaltura.library.lock:
        return sum(bool(entry.replacing_entry_id) and not entry.deleted for entry in sandbox.kaltura.entries.values())


def test_conversions_are_looked_at_together_while_other_entries_go_on(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KALTURA_POLL_SECONDS", "0.3")
    sandbox.kaltura.settings.conversion_seconds = 1e6
    replaced = [sandbox.add(State.ARCHIVED, content=bytes(500 + n)) for n in range(60)]
    others = [sandbox.add(State.PLACEHOLDER) for _ in range(3)]
    looks: list[int] = []  # for each request while all of them convert: how many entries it looks at

    def look(request: Request) -> None:
        calls = request.parameters["calls"]
        if calls[:2] == ["media.get"] * 2 and in_flight(sandbox) == len(replaced):
            looks.append(calls.count("media.get"))
            if len(looks) == 12:
                sandbox.kaltura.settle()

    sandbox.control.add_fault("multirequest", times=10**6, after=look)
    ids = [word for entry_id in [*replaced, *others] for word in ("--id", entry_id)]
    ran = run("replace_video", *ids, "--no-dry-run", "--workers", 2, "--max-converting", 60)
    assert ran.outcomes == dict.fromkeys(replaced, "done") | dict.fromkeys(others, "already"), ran.err
    assert {row["entry_id"] for row in ran.rows[:3]} == set(others)
    # 60 of ours, each with the temporary one of its replacement, 100 to a request at most: two requests a round, or on
    # a busy machine, where they do not all wake in time, three.
    assert max(looks) <= 100
    assert sum(looks) / len(looks) >= 40, looks
    # Nobody looks at its own alone: what is left is the read before a tag is set.
    together = sum(r.parameters["calls"].count("media.get") for r in sandbox.control.requests("multirequest"))
    assert len(sandbox.control.requests("media.get")) - together == len(replaced)


def test_no_more_conversions_are_begun_than_allowed_and_nobody_waits_for_ever(sandbox: Sandbox, run: Run) -> None:
    sandbox.kaltura.settings.conversion_seconds = 1e6
    ids = [sandbox.add(State.ARCHIVED) for _ in range(9)]
    most: list[int] = []

    def begun(_: Request) -> None:
        most.append(in_flight(sandbox))

    def looked(request: Request) -> None:
        if request.parameters["calls"][:2] == ["media.get"] * 2 and in_flight(sandbox) == min(3, 9 - done()):
            sandbox.kaltura.settle()

    def done() -> int:
        return sum(
            sandbox.kaltura.entries[i].tags.endswith("flavors_deleted")
            and sandbox.kaltura.content(original.id) == sandbox.placeholder
            for i in ids
            if (original := sandbox.kaltura.original(i))
        )

    sandbox.control.add_fault("media.updateContent", times=99, after=begun)
    sandbox.control.add_fault("multirequest", times=10**6, after=looked)
    words = [word for entry_id in ids for word in ("--id", entry_id)]
    ran = run("replace_video", *words, "--no-dry-run", "--workers", 4, "--max-converting", 3)
    assert ran.outcomes == dict.fromkeys(ids, "done"), ran.err
    assert max(most) == 3


def test_who_stops_while_waiting_to_convert_is_not_kept() -> None:
    stop = threading.Event()
    room = Room(1, 1, stop)
    assert room.begin()
    room.begin_conversion()
    room.end()
    assert room.begin()
    with ThreadPoolExecutor() as pool:
        second = pool.submit(room.begin_conversion)
        stop.set()
        room.end_conversion()
        error = second.exception(20)
    assert error is None or isinstance(error, Stopped)


def _looks(errors: Iterable[Exception], *, deadline: float = 60) -> tuple[list[list[str]], dict[str, object]]:
    """Three entries looked at together while a look fails for each of `errors`: what was asked, and what came."""
    asked: list[list[str]] = []
    fails = iter(errors)
    everybody = threading.Barrier(3)

    def read(wanted: Sequence[tuple[str, str]]) -> list[Progress]:
        ids = [entry_id for entry_id, _ in wanted]
        asked.append(sorted(ids))
        if len(ids) == 3 or "b" in ids:
            for error in fails:
                raise error
        return [Progress(Entry(entry_id), None, ()) for entry_id in ids]

    conversions = Conversions(read, 0.05, threading.Event())

    def look(entry_id: str) -> object:
        everybody.wait(20)
        try:
            return conversions.look(entry_id, "", deadline=time.monotonic() + deadline)
        except KalturaError as error:
            return str(error)

    with ThreadPoolExecutor(3) as pool:
        return asked, dict(zip("abc", pool.map(look, "abc"), strict=True))


def test_a_look_that_may_go_well_next_time_keeps_all_waiting() -> None:
    asked, came = _looks([KalturaError("later", retryable=True)] * 2)
    assert came == {entry_id: Progress(Entry(entry_id), None, ()) for entry_id in "abc"}
    assert ["a", "b", "c"] in asked


def test_a_look_that_goes_on_failing_ends_with_the_deadline() -> None:
    _, came = _looks([KalturaError("no answer", retryable=True)] * 9, deadline=-1)
    assert came["b"] == "no answer"


def test_an_error_is_told_to_whom_it_belongs() -> None:
    _, came = _looks([KalturaError("forbidden"), KalturaError("forbidden")])
    assert came == {"b": "forbidden"} | {i: Progress(Entry(i), None, ()) for i in "ac"}


def test_an_answer_that_cannot_be_understood_is_no_entry_that_was_deleted() -> None:
    conversions = Conversions(lambda wanted: [OddAnswer("odd")], 0.01, threading.Event())
    with pytest.raises(OddAnswer, match="odd"):
        conversions.look("a", "", deadline=time.monotonic() + 60)


# Rate limits


class Clock:
    """Time that passes when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0

    def sleep(self, seconds: float) -> bool:
        self.now += seconds
        return False


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("kaltura_archiver.transfer.pacing.time.monotonic", lambda: clock.now)
    return clock


def test_refusals_make_all_pause_longer_and_longer_and_success_makes_it_short_again(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    pace = Pace(clock.sleep, "S3")
    pauses = []
    for _ in range(8):
        began = pace.wait()
        for _ in range(16):  # under way together: one refusal, not sixteen
            pace.refused(began)
        before = clock.now
        pace.wait()
        pauses.append(clock.now - before)
    for number, pause in enumerate(pauses):
        least = min(0.5 * 2**number, 30)
        assert least <= pause <= 2 * least
    told = [record.getMessage() for record in caplog.records]
    assert told == [f"S3 says that it is asked too much: once more in {seconds} s" for seconds in (4, 8, 16, 30, 30)]
    for _ in range(30):
        pace.passed()
    pace.refused(pace.wait())
    before = clock.now
    pace.wait()
    assert clock.now - before <= 1


@pytest.mark.parametrize(("calls", "fault"), [("[!s.]*", "error"), ("s3.*", "http_503")])
def test_workers_get_through_a_rate_limit(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch, calls: str, fault: str
) -> None:
    monkeypatch.setattr("kaltura_archiver.transfer.pacing.FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr("kaltura_archiver.transfer.pacing.LONGEST_PAUSE_SECONDS", 0.02)
    ids = [sandbox.add(State.INITIAL) for _ in range(24)]
    # Every third call is refused for a while.
    refused = [
        sandbox.control.add_fault(calls, fault, skip=12 + 2 * number, code="ACTION_BLOCKED") for number in range(40)
    ]
    words = [word for entry_id in ids for word in ("--id", entry_id)]
    ran = run("s3copy", *words, "--no-dry-run", "--workers", 16)
    assert ran.outcomes == dict.fromkeys(ids, "done"), ran.err
    assert not any(fault.times for fault in refused)
