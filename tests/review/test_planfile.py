"""Plan files: lines may be deleted, and nothing else is taken for a plan; and what is drift, and what is not."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Run
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from made_facts import ID, PLACEHOLDER_BYTES, VIDEO_BYTES, any_facts, facts, original, stored

from kaltura_archiver.errors import InputError
from kaltura_archiver.filters import Query
from kaltura_archiver.keep import Keep
from kaltura_archiver.model import ARCHIVED_TAG, Availability, Facts, FlavorStatus, Outcome, State
from kaltura_archiver.money.prices import Prices
from kaltura_archiver.plans import plan_for
from kaltura_archiver.review.drift import drift
from kaltura_archiver.review.planfile import Line, Terms, Writer, _check, read_plan, terms_of
from kaltura_archiver.sandbox.world import Sandbox
from kaltura_archiver.steps import ACTIONS, Command, Options, Step

NOW = 1_700_000_000
ACCOUNT = {"partner": "1", "bucket": "b"}
PRICES = Prices.load(0.1)


def written(command: Command, many: list[Facts], query: Query | None = None, **options: Any) -> list[str]:
    asked = Options(now=NOW, min_age_years=0, **options)
    writer = Writer(terms_of(command, asked, query or Query(), ACCOUNT), asked, PRICES)
    lines = [writer.entry(known, plan_for(command, known, asked)) for known in many]
    return [writer.first(), *lines, writer.last()]


def read(lines: list[str]) -> tuple[Terms, list[Line], dict[str, str]]:
    return read_plan(enumerate(lines, 1), "p")


def named(entry_id: str, known: Facts | None = None) -> Facts:
    known = known or facts(original())
    return dataclasses.replace(known, entry=dataclasses.replace(known.entry, id=entry_id))


@pytest.fixture
def lines() -> list[str]:
    """A plan of three entries to archive and one that is left out."""
    kept = facts(original())
    kept = dataclasses.replace(kept, entry=dataclasses.replace(kept.entry, id="0_kept", tags=("keep",)))
    return written(Command.S3COPY, [*(named(f"0_e{n}") for n in range(3)), kept])


# The file


def test_what_is_written_is_read_again() -> None:
    keep = Keep(frozenset({"keep", "gold"}), frozenset({3, 12}), frozenset({"ann"}))
    query = Query(tags=("a1",), unplayed_since=NOW, plays_below=3, shard=(1, 4))
    known = facts(original(), stored(), archived=True)
    entry = dataclasses.replace(known.entry, tags=(*known.entry.tags, "notice_2020-01-01"))
    known = dataclasses.replace(known, entry=entry, placings=())
    lines = written(Command.REPLACE, [known], query, keep=keep, approve=True, noticed_before_seconds=86400)
    terms, (line,), left_out = read(lines)
    assert terms.command is Command.REPLACE
    assert terms.options == {
        "min_age_years": 0.0,
        "noticed_before_seconds": 86400.0,
        "approve": True,
        "allow_in_place": False,
    }
    assert terms.keep == keep
    assert terms.plays == {"unplayed_since": NOW, "plays_below": 3}
    assert (terms.account, terms.filter, terms.shard) == (ACCOUNT, str(query), (1, 4))
    assert terms.made == "2023-11-14T22:13:20Z"
    assert line.entry_id == ID
    assert line.steps == (Step.CHECK_COPY, Step.UPLOAD_PLACEHOLDER, Step.ADD_REPLACED, Step.PUT_PLACEHOLDER)
    assert (line.original, line.original_bytes) == ("0_source01@2", VIDEO_BYTES)
    assert line.tags == (ARCHIVED_TAG, "lecture", "notice_2020-01-01")
    assert (line.stored_bytes, line.etag, line.sha256) == (VIDEO_BYTES, "e" * 32, "ab" * 32)
    assert left_out == {}


def ids(lines: list[str]) -> list[str]:
    return [line.entry_id for line in read(lines)[1]]


def test_lines_may_be_deleted_moved_and_written_anew(lines: list[str]) -> None:
    first, *entries, last = lines
    assert read(lines)[2] == {"0_kept": "skipped"}
    assert ids([first, entries[0], entries[2], last]) == ["0_e0", "0_e2"]
    assert ids([first, *entries[::-1], last]) == ["0_e2", "0_e1", "0_e0"]
    assert ids([first, last]) == []
    # As an editor on Windows leaves it, or jq.
    assert ids([f"{line}\r" for line in lines] + ["", "  "]) == ["0_e0", "0_e1", "0_e2"]
    loose = [json.dumps(json.loads(line), indent=None, sort_keys=True, ensure_ascii=True) for line in lines]
    assert ids(loose) == ["0_e0", "0_e1", "0_e2"]


def changed(line: str, **fields: Any) -> str:
    return json.dumps({**json.loads(line), **fields})


def sealed(line: dict[str, Any], plan: str) -> str:
    """A line with the right check, as only somebody who knows how would write it."""
    return json.dumps({**line, "check": _check(line, plan)})


OTHER = written(Command.S3COPY, [named("0_other")])
REFUSED: dict[str, tuple[Callable[[list[str]], list[str]], str]] = {
    "empty": (lambda p: [], "p is empty"),
    "blank": (lambda p: ["", " "], "p is empty"),
    "rubbish": (lambda p: ["GIF89a"], "p, line 1 is not a line of a plan: no whole JSON"),
    "another kind of JSON": (lambda p: ["[1, 2]"], "p, line 1 is not a line of a plan"),
    "no first line": (lambda p: p[1:], "p, line 1 is not the first line of a plan"),
    "newer": (lambda p: [changed(p[0], format=2), *p[1:]], "p, line 1: the plan has format 2, this version reads 1"),
    "first line changed": (lambda p: [changed(p[0], filter="all"), *p[1:]], "p, line 1 is not as the plan was written"),
    "other options": (
        lambda p: [changed(p[0], options={"storage_class": "GLACIER", "accept_size_match": True}), *p[1:]],
        "p, line 1 is not as the plan was written",
    ),
    "keep loosened": (
        lambda p: [changed(p[0], keep={"tags": [], "categories": [], "owners": []}), *p[1:]],
        "p, line 1 is not as the plan was written",
    ),
    "line cut": (lambda p: [*p[:2], p[2][:-9]], "p, line 3 is not a line of a plan: no whole JSON"),
    "cut between lines": (lambda p: p[:3], "p ends after line 3, without the last line"),
    "only the first line": (lambda p: p[:1], "p ends after line 1"),
    "two plans": (lambda p: [*p, *OTHER], "p, line 7 stands behind the end"),
    "an entry by hand": (lambda p: [p[0], p[1].replace("0_e0", "0_mine"), *p[2:]], "p, line 2 is not as this plan was"),
    "a line of another plan": (lambda p: [*p[:3], OTHER[1], *p[3:]], "p, line 4 is not as this plan was written"),
    "an end of another plan": (lambda p: [*p[:-1], OTHER[2]], "p, line 6 is not as this plan was written"),
    "steps": (lambda p: [p[0], changed(p[1], steps=[]), *p[2:]], "p, line 2 is not as this plan was written"),
    "kept after all": (lambda p: [*p[:4], changed(p[4], outcome="would"), p[5]], "p, line 5 is not as this plan was"),
    "without its check": (
        lambda p: [p[0], json.dumps({"kind": "entry", "entry": "0_e9", "outcome": "would"}), *p[1:]],
        "p, line 2 is not as this plan was written",
    ),
    "twice": (lambda p: [*p[:3], p[1], *p[3:]], "p, line 4: entry 0_e0 is there twice, also in line 2"),
    "forged, with a hole": (
        lambda p: [p[0], sealed({"kind": "entry", "entry": "0_e9", "outcome": "would"}, json.loads(p[0])["plan"])],
        "p, line 2 does not hold what a line of a plan holds",
    ),
    "forged, without an action": (
        lambda p: [sealed({"kind": "plan", "format": 1, "plan": "x"}, "x")],
        "p, line 1 does not hold what the first line",
    ),
}


@pytest.mark.parametrize("how", REFUSED)
def test_what_is_no_plan_of_ours_is_refused_with_the_line(lines: list[str], how: str) -> None:
    spoil, words = REFUSED[how]
    with pytest.raises(InputError) as refused:
        read(spoil(lines))
    assert str(refused.value).startswith(words)


SHORT = written(Command.S3COPY, [named("0_e0")])


@settings(max_examples=200)
@given(st.integers(0, len(SHORT) - 1), st.integers(0, 300), st.sampled_from('0 9aZ"{,é\\'))
def test_no_character_of_a_line_can_be_changed(number: int, at: int, character: str) -> None:
    lines, line = SHORT, SHORT[number]
    at %= len(line)
    other = line[:at] + character + line[at + 1 :]
    try:
        same = json.loads(other) == json.loads(line)
    except ValueError:
        same = False
    assume(not same)  # a space of another kind
    with pytest.raises(InputError):
        read([*lines[:number], other, *lines[number + 1 :]])


@settings(max_examples=60)
@given(st.lists(st.text() | st.from_regex(r'\{"kind": ?"(plan|entry|end)".*\}', fullmatch=True), max_size=4))
def test_no_text_is_more_than_refused(texts: list[str]) -> None:
    with pytest.raises(InputError):
        read(texts)


# Drift


@settings(max_examples=100)
@given(any_facts(), st.sampled_from(list(ACTIONS.values())))
def test_what_is_as_it_was_has_not_drifted(known: Facts, command: Command) -> None:
    plan = plan_for(command, known, Options(now=NOW, min_age_years=0))
    terms, found, left_out = read(written(command, [known]))
    assert len(found) == bool(plan.steps)
    assert len(left_out) == (not plan.steps)
    for line in found:
        assert drift(terms, line, known, plan) == ""


@settings(max_examples=100)
@given(any_facts(), any_facts(), st.sampled_from(list(ACTIONS.values())), st.booleans())
def test_what_is_acted_on_has_the_content_that_was_planned_or_is_in_our_hands(
    before: Facts, now: Facts, command: Command, kept: bool
) -> None:
    """Whatever may have happened: an entry whose plan goes on is what was reviewed, or tagged by a run of the plan."""
    options = Options(now=NOW, min_age_years=0)
    terms, found, _ = read(written(command, [before]))
    if kept:
        now = dataclasses.replace(now, entry=dataclasses.replace(now.entry, tags=(*now.entry.tags, "keep")))
    plan = plan_for(command, now, options)
    for line in found:
        if drift(terms, line, now, plan) or not plan.steps:
            continue
        assert not kept
        if line.stored_bytes is not None:
            assert now.stored is not None
            assert now.stored.size_bytes == line.stored_bytes
        if now.original and now.original.status.ready and now.original.content_id != line.original:
            assert command is not Command.S3COPY
            assert now.entry.replaced or not line.original
        assert Step.COPY not in plan.steps or Step.COPY in line.steps
        assert Step.THAW not in plan.steps or Step.THAW in line.steps


SHOWN = original(size_bytes=PLACEHOLDER_BYTES, version="12")
FROZEN = stored(storage_class="GLACIER", availability=Availability.FROZEN)
RUNNING = {"replacing_entry_id": "0_temp", "replacement_status": "1"}
BOTH = {"archived": True, "replaced": True}
ARCHIVED = facts(original(), stored(), archived=True)
IN_S3 = facts(original(size_bytes=PLACEHOLDER_BYTES), stored(), **BOTH)


@pytest.mark.parametrize(
    ("command", "before", "now"),
    [
        (Command.S3COPY, facts(original()), facts(original(), stored(flavor="", sha256=""))),
        (Command.S3COPY, facts(original()), facts(original(), stored())),
        (Command.S3COPY, facts(original()), facts(original(), stored(), archived=True)),
        (Command.S3COPY, facts(original(), stored(flavor="", sha256="")), facts(original(), stored())),
        (Command.REPLACE, ARCHIVED, facts(original(), stored(), **BOTH)),
        (Command.REPLACE, ARCHIVED, facts(original(), stored(), **BOTH, **RUNNING)),
        (Command.REPLACE, ARCHIVED, facts(SHOWN, stored(), **BOTH)),
        (Command.REPLACE, facts(original(), stored(), replaced=True), facts(SHOWN, stored(), replaced=True)),
        (Command.REPLACE, ARCHIVED, facts(None, stored(), status="7", **BOTH)),
        (Command.REPLACE, ARCHIVED, facts(original(FlavorStatus.CONVERTING, version="12"), stored(), **BOTH)),
        (Command.RESTORE, facts(SHOWN, FROZEN, **BOTH), facts(SHOWN, stored(storage_class="GLACIER"), **BOTH)),
        (
            Command.RESTORE,
            facts(SHOWN, FROZEN, **BOTH),
            facts(SHOWN, stored(storage_class="GLACIER", availability=Availability.THAWING), **BOTH),
        ),
        (Command.RESTORE, IN_S3, facts(original(size_bytes=PLACEHOLDER_BYTES), stored(), **BOTH, **RUNNING)),
        (Command.RESTORE, IN_S3, facts(original(version="12"), stored(), **BOTH)),
        (Command.RESTORE, IN_S3, facts(None, stored(), status="7", **BOTH)),
        (Command.RESTORE, IN_S3, facts(original(version="12"), stored(flavor=""), archived=True)),
        (Command.RESTORE, facts(None, FROZEN, archived=True), facts(None, stored(), archived=True)),
        (
            Command.RESTORE,
            facts(None, stored(), archived=True),
            facts(original(FlavorStatus.CONVERTING, version="12"), stored(), archived=True, status="1"),
        ),
    ],
)
def test_what_a_run_of_the_plan_has_done_itself_is_no_drift(command: Command, before: Facts, now: Facts) -> None:
    terms, (line,), _ = read(written(command, [before]))
    assert drift(terms, line, now, plan_for(command, now, Options(now=NOW, min_age_years=0))) == ""


def test_a_plan_by_plays_minds_plays_and_another_one_does_not() -> None:
    played = facts(original(), plays=7, last_played_at=NOW)
    plan = plan_for(Command.S3COPY, played, Options(now=NOW))
    for query, words in (
        (Query(unplayed_since=NOW - 9), "it was played more recently (2023-11-14)"),
        (Query(plays_below=7), "it was played 7 times"),
        (Query(never_played=True), "it has been played"),
        (Query(created_until=NOW), ""),
    ):
        terms, (line,), _ = read(written(Command.S3COPY, [facts(original())], query))
        assert drift(terms, line, played, plan) == words


def test_a_notice_to_the_owner_is_no_drift() -> None:
    terms, (line,), _ = read(written(Command.REPLACE, [ARCHIVED]))
    for tags, words in ((["notice_2023-10-10"], ""), (["notice_2023-10-10", "notes"], "tags +notes")):
        entry = dataclasses.replace(ARCHIVED.entry, tags=(*ARCHIVED.entry.tags, *tags))
        now = dataclasses.replace(ARCHIVED, entry=entry)
        assert drift(terms, line, now, plan_for(Command.REPLACE, now, Options(now=NOW, min_age_years=0))) == words


def test_an_entry_that_is_where_the_plan_wanted_it_has_not_drifted() -> None:
    terms, (line,), _ = read(written(Command.REPLACE, [ARCHIVED]))
    now = dataclasses.replace(facts(SHOWN, stored(), **BOTH))
    now = dataclasses.replace(now, entry=dataclasses.replace(now.entry, tags=(*now.entry.tags, "physics")))
    plan = plan_for(Command.REPLACE, now, Options(now=NOW))
    assert (plan.state, plan.outcome) == (State.PLACEHOLDER, Outcome.ALREADY)
    assert drift(terms, line, now, plan) == ""


# The command


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("KALTURA_PARTNERID", "999", "line 1: the plan is for partner 101, these settings are for partner 999"),
        ("KALTURA_SERVICE_URL", "https://x.org/", "is for service http://127.0.0.1"),
        ("AWS_BUCKET", "another", "these settings are for bucket another"),
        ("PLACEHOLDER_VIDEO", "other.mp4", "the plan was made with other placeholders than these settings name: give"),
    ],
)
def test_a_plan_for_another_library_bucket_or_placeholder_is_refused(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str
) -> None:
    Path("other.mp4").write_bytes(sandbox.placeholder + b"\0\0\0\x08free")
    sandbox.add(State.ARCHIVED)
    assert run("plan", "replace", "--all", "-o", "plan.jsonl").code == 0
    sandbox.control.clear_log()
    monkeypatch.setenv(name, value)
    ran = run("apply", "plan.jsonl", "--no-dry-run")
    assert (ran.code, ran.out) == (2, "")
    assert words in ran.err
    assert sandbox.control.requests() == []


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "plan.jsonl is empty"),
        (b"\xff\xfe{", "plan.jsonl, line 1: not UTF-8"),
        pytest.param(b"x" * (2**24 + 9), "plan.jsonl, line 1: longer than", id="long"),
        (b"0_abc12345\n", "plan.jsonl, line 1 is not a line of a plan"),
        (None, "cannot read plan.jsonl: No such file"),
    ],
)
def test_a_file_that_is_no_plan_is_refused(run: Run, sandbox: Sandbox, content: bytes | None, words: str) -> None:
    if content is not None:
        Path("plan.jsonl").write_bytes(content)
    ran = run("apply", "plan.jsonl", "--no-dry-run")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"error: {words}")
    assert ran.err.count("\n") == 1
    assert sandbox.control.requests() == []


@pytest.mark.parametrize("part", ["-1", "101%", "some", "0.5", "%"])
def test_a_limit_of_drift_that_cannot_be_meant_is_refused(run: Run, part: str) -> None:
    ran = run("apply", "plan.jsonl", f"--max-drift={part}")
    assert ran.code == 2
    assert "is neither a number nor a percentage such as 1%" in ran.err


def test_a_plan_may_come_from_stdin_and_hold_nothing(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add(State.INITIAL)
    assert run("plan", "archive", "--all", "-o", "plan.jsonl").code == 0
    text = Path("plan.jsonl").read_text()
    assert run("apply", "-", stdin=text).outcomes == {entry_id: "would"}
    first, _, last = text.splitlines()
    ran = run("apply", "-", "--no-dry-run", stdin=f"{first}\n{last}\n")
    assert (ran.code, ran.outcomes) == (0, {})
    assert "summary: nothing to do" in ran.err
