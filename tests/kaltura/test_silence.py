"""Silence is no answer: searches that do not answer, an index that lags, answers about others; ids as spelled."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Run
from looking import content_id, copies, do_not_wait, made, shown, tags_of, writes

from kaltura_archiver.config import read_settings
from kaltura_archiver.kaltura import Kaltura
from kaltura_archiver.model import ARCHIVED_TAG, REPLACED_TAG, State
from kaltura_archiver.run.due_list import Listed, gone_since
from kaltura_archiver.sandbox.control import Request
from kaltura_archiver.sandbox.world import Sandbox
from kaltura_archiver.store import Store

FACULTY, COURSE, OTHER = 9, 12, 20


@pytest.fixture
def categories(sandbox: Sandbox) -> None:
    """As an integration makes them: with a privacy context, which what is below inherits."""
    sandbox.kaltura.add_category(FACULTY, "Faculty", privacy_context="MediaSpace")
    sandbox.kaltura.add_category(COURSE, "Course", FACULTY)
    sandbox.kaltura.add_category(OTHER, "Other")


def placed(sandbox: Sandbox, state: State, **fields: Any) -> dict[str, str]:
    """Entries directly in FACULTY, below it, in another category, and in none, by where they are."""
    where: dict[str, tuple[int, ...]] = {"in": (FACULTY,), "below": (COURSE,), "other": (OTHER,), "none": ()}
    return {name: sandbox.add(state, categories=numbers, **fields) for name, numbers in where.items()}


def lag(sandbox: Sandbox) -> None:
    """From now on the index learns nothing."""
    sandbox.kaltura.settle()
    sandbox.kaltura.settings.index_lag_seconds = 3600


def named(ids: Any) -> list[str]:
    return [word for entry_id in ids for word in ("--id", entry_id)]


# In a category or below it


@pytest.mark.usefixtures("categories")
def test_what_is_in_or_below_a_kept_category_is_left_alone_whatever_the_index_says(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = placed(sandbox, State.ARCHIVED)
    moderated = sandbox.add(State.ARCHIVED)
    sandbox.kaltura.edit(moderated, pending_categories=(COURSE,))
    kept, others = [ids["in"], ids["below"], moderated], [ids["other"], ids["none"]]
    assert [sandbox.kaltura.services.describe_entry(sandbox.kaltura.entries[i])["categoriesIds"] for i in kept] == [
        ""
    ] * 3
    sandbox.kaltura.settings.search_down = True
    ran = run("replace_video", *named([*kept, *others[:1]]), "--keep-category", FACULTY, "--no-dry-run")
    assert ran.outcomes == dict.fromkeys(kept, "skipped") | {others[0]: "done"}, ran.err
    monkeypatch.setenv("KEEP_CATEGORIES", str(FACULTY))
    ran = run("replace_video", *named([*kept, *others]), "--no-dry-run")
    assert ran.outcomes == dict.fromkeys(kept, "skipped") | {others[0]: "already", others[1]: "done"}, ran.err
    details = {row["entry_id"]: row["detail"] for row in ran.rows}
    assert [details[entry_id] for entry_id in kept] == [
        "kept: in category 9", "kept: below category 9", "kept: below category 9"
    ]  # fmt: skip
    assert {request.subject for request in writes(sandbox)}.isdisjoint(kept)


@pytest.mark.usefixtures("categories")
def test_a_category_counts_with_what_is_directly_in_it_and_excludes_it_too(sandbox: Sandbox, run: Run) -> None:
    ids = placed(sandbox, State.INITIAL)
    where = {entry_id: name for name, entry_id in ids.items()}
    assert run("count", "--category", FACULTY).rows[0]["count"] == "2"
    assert run("count", "--exclude-category", FACULTY).rows[0]["count"] == "2"
    for options, expected in (
        (["--category", FACULTY], {"in", "below"}),
        (["--category", COURSE], {"below"}),
        (["--exclude-category", FACULTY], {"other", "none"}),
        (["--exclude-category", COURSE], {"in", "other", "none"}),
    ):
        for ran in (run("list", *options), run("list", *options, *named(ids.values()))):
            assert {where[row["entry_id"]] for row in ran.rows} == expected, options
        assert {where[entry_id] for entry_id in run("s3copy", *options).outcomes} == expected, options


@pytest.mark.usefixtures("categories")
def test_categories_are_the_databases_word_where_the_index_lags(sandbox: Sandbox, run: Run) -> None:
    ids = placed(sandbox, State.INITIAL)
    lag(sandbox)
    sandbox.kaltura.edit(ids["none"], categories=(FACULTY,))
    sandbox.kaltura.edit(ids["in"], categories=())
    ran = run("s3copy", "--exclude-category", FACULTY, "--all", "--no-dry-run")
    assert ran.outcomes == {ids["other"]: "done"}, ran.err
    assert "left out 1 entries that the search index named" in ran.err


@pytest.mark.usefixtures("categories")
def test_a_category_moved_below_a_kept_one_is_kept_before_its_rows_have_learnt_of_it(
    sandbox: Sandbox, run: Run
) -> None:
    """The rows of an entry's categories hold a copy of what is above them, which a job renews later [read]."""
    entry_id = sandbox.add(State.ARCHIVED, categories=(OTHER,))
    services = sandbox.kaltura.services
    rows = services.list_category_entries

    def old_rows(session: Any, p: dict[str, Any]) -> dict[str, Any]:
        answer = rows(session, p)
        return answer | {"objects": [row | {"categoryFullIds": str(row["categoryId"])} for row in answer["objects"]]}

    action = services._actions["categoryentry"]["list"]
    services._actions["categoryentry"]["list"] = dataclasses.replace(action, handler=old_rows)
    sandbox.kaltura.categories[OTHER].full_ids = f"{FACULTY}>{OTHER}"
    ran = run("replace_video", "--id", entry_id, "--keep-category", FACULTY, "--no-dry-run")
    assert ran.outcomes == {entry_id: "skipped"}
    assert "below category 9" in ran.out


@pytest.mark.usefixtures("categories")
@pytest.mark.parametrize("where", [FACULTY, COURSE])
def test_an_entry_put_into_a_kept_category_while_we_upload_is_not_replaced(
    sandbox: Sandbox, run: Run, where: int
) -> None:
    entry_id = sandbox.add(State.ARCHIVED)
    before = content_id(sandbox, entry_id)
    lag(sandbox)
    sandbox.control.add_fault("media.update", after=lambda _: sandbox.kaltura.edit(entry_id, categories=(where,)))
    ran = run("replace_video", "--id", entry_id, "--keep-category", FACULTY, "--no-dry-run")
    assert (ran.code, ran.outcomes) == (1, {entry_id: "failed"})
    assert "kept since a moment ago" in ran.out
    assert content_id(sandbox, entry_id) == before
    assert REPLACED_TAG not in tags_of(sandbox, entry_id)


@pytest.mark.usefixtures("categories")
def test_a_plan_and_its_apply_know_kept_categories_likewise(sandbox: Sandbox, run: Run) -> None:
    ids = placed(sandbox, State.ARCHIVED)
    ran = run("plan", "replace", *named(ids.values()), "--keep-category", FACULTY, "-o", "plan.jsonl")
    assert ran.code == 0, ran.err
    lines = map(json.loads, Path("plan.jsonl").read_text().splitlines())
    planned = {line["entry"]: line["outcome"] for line in lines if line["kind"] == "entry"}
    assert planned == {ids["in"]: "skipped", ids["below"]: "skipped", ids["other"]: "would", ids["none"]: "would"}
    lag(sandbox)
    sandbox.kaltura.edit(ids["none"], categories=(COURSE,))
    ran = run("apply", "plan.jsonl", "--no-dry-run", "--max-drift", 1)
    assert ran.outcomes == {ids["other"]: "done", ids["none"]: "drifted"}, ran.err
    assert "kept: below category 9" in ran.out


@pytest.mark.usefixtures("categories")
def test_an_entry_in_very_many_categories_is_read_to_the_end(sandbox: Sandbox, run: Run) -> None:
    for number in range(1000, 1620):
        sandbox.kaltura.add_category(number, f"Category {number}")
    entry_id = sandbox.add(State.ARCHIVED, categories=(*range(1000, 1620), COURSE))
    for command in (["replace_video"], ["plan", "replace", "-o", "-"]):
        ran = run(*command, "--id", entry_id, "--keep-category", FACULTY)
        assert "kept: below category 9" in ran.out, command


@pytest.mark.usefixtures("categories")
def test_entries_in_many_categories_together_are_read_in_parts(sandbox: Sandbox, run: Run) -> None:
    numbers = range(1000, 1100)
    for number in numbers:
        sandbox.kaltura.add_category(number, f"Category {number}")
    ids = [sandbox.add(State.INITIAL, categories=(*numbers, (COURSE, OTHER)[n % 2]), age_years=5) for n in range(14)]
    assert {row["entry_id"] for row in run("list", "--category", FACULTY).rows} == set(ids[::2])
    assert {row["entry_id"] for row in run("list", "--exclude-category", FACULTY).rows} == set(ids[1::2])
    rows = [row for row in run("stats").rows if row["section"] == "category"]
    assert [row["entries"] for row in rows if row["key"] == "Faculty>Course"] == ["7"]
    assert len(rows) == len(numbers) + 3


@pytest.mark.usefixtures("categories")
def test_figures_and_placeholders_by_category_know_those_with_a_privacy_context(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = placed(sandbox, State.ARCHIVED)
    rows = {row["key"]: row["entries"] for row in run("stats").rows if row["section"] == "category"}
    assert rows == {"Faculty": "1", "Faculty>Course": "1", "Other": "1", "(none)": "1"}
    assert run("report", "-o", "report.html").code == 0
    page = Path("report.html").read_text()
    assert "Faculty" in page
    assert run("explain", ids["below"], "--format", "json").json["entry"]["categories"] == "Faculty>Course"

    mapped = sandbox.placeholder + b"\0" * 64
    Path("faculty.mp4").write_bytes(mapped)
    Path("map.toml").write_text(f'[category]\n{FACULTY} = "faculty.mp4"\n')
    monkeypatch.setenv("PLACEHOLDER_MAP", "map.toml")
    ran = run("replace_video", *named(ids.values()), "--no-dry-run")
    assert set(ran.outcomes.values()) == {"done"}, ran.err
    assert {name: shown(sandbox, entry_id) == mapped for name, entry_id in ids.items()} == {
        "in": True, "below": False, "other": False, "none": False
    }  # fmt: skip


# A search that does not answer (real-kaltura E231)

SEARCHING = [
    ["list"], ["count"], ["health"], ["stats"], ["s3copy", "--all"], ["s3copy", "--all", "--no-dry-run"],
    ["replace_video", "--tag", ARCHIVED_TAG, "--no-dry-run"], ["plan", "archive", "--all", "-o", "plan.jsonl"],
    ["verify", "--all"], ["config"], ["report", "-o", "report.html"],
]  # fmt: skip


@pytest.mark.parametrize("words", SEARCHING, ids=" ".join)
def test_a_search_out_of_reach_is_not_taken_for_one_that_finds_nothing(
    sandbox: Sandbox, run: Run, words: list[str]
) -> None:
    sandbox.add(State.INITIAL)
    sandbox.add(State.ARCHIVED)
    sandbox.kaltura.settings.search_down = True
    sandbox.control.clear_log()
    ran = run(*words)
    assert ran.code == (2 if words == ["config"] else 1)
    complaints = [line for line in ran.err.splitlines() if "search" in line]
    assert len(complaints) == 1, ran.err
    assert "search: Kaltura's search does not answer" in complaints[0]
    assert "the account holds 2 entries" in complaints[0]
    assert "try again once" in complaints[0]
    # config tries what S3 keeps, on an object of its own.
    assert [request for request in writes(sandbox) if request.subject != "locks/config.json"] == []
    assert not Path("plan.jsonl").exists()


def test_an_account_that_is_really_empty_has_0_entries(sandbox: Sandbox, run: Run) -> None:
    sandbox.kaltura.settings.search_down = True  # then nobody can tell, and it does not matter
    for _ in range(2):
        ran = run("count")
        assert (ran.code, ran.rows[0]["count"]) == (0, "0")
        ran = run("list")
        assert (ran.code, ran.rows) == (0, [])
        assert "no entry matches" in ran.err
        sandbox.kaltura.settings.search_down = False


def test_nothing_found_in_an_account_that_has_other_entries_is_0(sandbox: Sandbox, run: Run) -> None:
    sandbox.add(State.INITIAL)
    sandbox.control.clear_log()
    ran = run("count", "--tag", "nobody_has_it")
    assert (ran.code, ran.rows[0]["count"]) == (0, "0")
    # Asked for once more, together with the search that has to find something.
    search = "eSearch.searchEntry"
    assert [calls for _, calls in made(sandbox) if search in calls] == [[search], [search, search]]


def test_a_search_that_is_too_slow_is_not_believed(sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A query may be too slow where the one beside it is not: the time tells."""
    sandbox.add(State.INITIAL)
    settings = sandbox.kaltura.settings
    settings.search_seconds, settings.search_limit_seconds = 0.2, 0.1
    monkeypatch.setattr("kaltura_archiver.kaltura.searching.SEARCH_SECONDS", 0.15)
    ran = run("count")
    assert (ran.code, ran.out) == (1, "")
    assert "search: Kaltura found nothing within" in ran.err
    settings.search_seconds = 0.05
    assert run("count").rows[0]["count"] == "1"


@pytest.mark.parametrize("dies_at", [1, 2, 3])
def test_a_search_that_dies_in_the_middle_of_a_selection_ends_it_aloud(
    sandbox: Sandbox, run: Run, dies_at: int
) -> None:
    ids = [sandbox.add(State.INITIAL, age_years=9 - number / 100) for number in range(9)]

    def die(_: Request) -> None:
        sandbox.kaltura.settings.search_down = True

    for words in (["list"], ["s3copy", "--no-dry-run", "--all"]):
        sandbox.control.add_fault("eSearch.searchEntry", skip=dies_at - 1, before=die)
        sandbox.control.clear_log()
        ran = run(*words, "--page-size", 3)
        assert ran.code == 1
        assert "search: Kaltura's search does not answer" in ran.err
        assert writes(sandbox) == []
        sandbox.kaltura.settings.search_down = False
    assert len(run("list", "--page-size", 3).rows) == len(ids)


def test_pages_that_are_short_are_told(sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of an index answers: later pages lack what the first count had."""
    for number in range(9):
        sandbox.add(State.INITIAL, age_years=9 - number / 100)
    newest = frozenset(sorted(sandbox.kaltura.entries, key=lambda i: sandbox.kaltura.entries[i].created_at)[5:])

    def hide(_: Request) -> None:
        sandbox.kaltura.settings.not_indexed = newest

    def find(_: Request) -> None:
        sandbox.kaltura.settings.not_indexed = frozenset()

    sandbox.control.add_fault("eSearch.searchEntry", skip=1, before=hide)
    sandbox.control.add_fault("eSearch.searchEntry", skip=1, before=find)
    ran = run("s3copy", "--all", "--page-size", 3, "--no-dry-run")
    assert (ran.code, writes(sandbox)) == (1, [])
    assert "says that 9 entries match, but listed only 5 of them" in ran.err


@pytest.mark.parametrize("odd", [2, 3, 4])
def test_an_entry_whose_date_the_index_does_not_know_yet_ends_no_selection(
    sandbox: Sandbox, run: Run, odd: int
) -> None:
    """Its second in the database is far beyond that in the index: the next page goes on where the index was."""
    ids = [sandbox.add(State.INITIAL, age_years=9 - number / 100) for number in range(12)]
    lag(sandbox)
    sandbox.kaltura.edit(ids[odd], created_at=2_000_000_000)
    assert sorted(row["entry_id"] for row in run("list", "--page-size", 5).rows) == sorted(ids)


def test_entries_that_the_index_does_not_know_yet_can_be_named(sandbox: Sandbox, run: Run) -> None:
    fresh, other = sandbox.add(State.INITIAL, tags="fresh"), sandbox.add(State.INITIAL)
    sandbox.kaltura.settings.not_indexed = frozenset({fresh})
    for number in (5, 6):
        sandbox.kaltura.add_category(number, f"c{number}")
    assert [row["entry_id"] for row in run("list").rows] == [other]
    assert run("s3copy", "--id", fresh, "--exclude-category", 5, "--keep-category", 6).outcomes == {fresh: "would"}


def test_what_the_index_names_and_the_database_does_not_have_is_nothing(sandbox: Sandbox, run: Run) -> None:
    gone, other = sandbox.add(State.INITIAL), sandbox.add(State.INITIAL)
    sandbox.kaltura.lose_record(gone)
    ran = run("list")
    assert (ran.code, [row["entry_id"] for row in ran.rows]) == (0, [other])


@pytest.mark.parametrize("how", ["search down", "not indexed", "moderated"])
def test_a_recording_goes_with_its_further_streams_whatever_the_index_says(
    sandbox: Sandbox, run: Run, how: str
) -> None:
    entry_id = sandbox.add(State.ARCHIVED)
    child = sandbox.add(State.INITIAL, parent_id=entry_id, display_in_search=-1)
    if how == "search down":
        sandbox.kaltura.settings.search_down = True
    elif how == "not indexed":
        sandbox.kaltura.settings.not_indexed = frozenset({child})
    else:
        sandbox.kaltura.edit(child, moderation_status=1, status="4")
    for words in (["replace_video", "--no-dry-run"], ["plan", "replace", "-o", "-"]):
        ran = run(*words, "--id", entry_id)
        assert f"the streams of a recording go together: {child}: refused" in ran.out, (words, ran.err)
    assert run("explain", entry_id, "--format", "json").json["entry"]["children"] == 1
    assert writes(sandbox) == []


def test_where_the_other_engine_is_out_of_reach_nothing_is_replaced(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    do_not_wait(monkeypatch)
    sandbox.kaltura.add_category(5, "kept")
    entry_id = sandbox.add(State.ARCHIVED)
    for operation, code in (
        ("baseEntry.list", "SEARCH_ENGINE_QUERY_FAILED"),
        ("categoryEntry.list", "SERVICE_FORBIDDEN"),
    ):
        fault = sandbox.control.add_fault(operation, "error", code=code, times=99)
        ran = run("replace_video", "--id", entry_id, "--keep-category", 5, "--no-dry-run")
        assert (ran.code, ran.outcomes) == (1, {entry_id: "failed"})
        assert code in ran.out
        fault.times = 0
    assert writes(sandbox) == []


# Answers about something else


@pytest.fixture
def mixed(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Have the server answer what is asked about one entry with what is so of another, as a cache mixed up would."""

    def mix(what: str, other: str) -> None:
        services, kaltura = sandbox.kaltura.services, sandbox.kaltura
        describe_entry, describe_asset = services.describe_entry, services.describe_asset
        if what in ("entry", "partner"):

            def answer(entry: Any) -> dict[str, Any]:
                return (
                    describe_entry(kaltura.entries[other])
                    if what == "entry"
                    else describe_entry(entry) | {"partnerId": 102}
                )

            monkeypatch.setattr(services, "describe_entry", answer)
        elif what == "flavors":
            assets = iter(kaltura.library.assets_of[other] * 99)
            monkeypatch.setattr(services, "describe_asset", lambda _: describe_asset(next(assets)))
        else:
            action = services._actions["categoryentry"]["list"]

            def rows(session: Any, p: dict[str, Any]) -> dict[str, Any]:
                return services.list_category_entries(session, p | {"filter": {"entryIdEqual": other}})

            services._actions["categoryentry"]["list"] = dataclasses.replace(action, handler=rows)

    return mix


@pytest.mark.parametrize("what", ["entry", "partner", "flavors", "categories"])
@pytest.mark.parametrize("command", ["replace_video", "s3copy", "restore", "verify"])
def test_an_answer_about_something_else_is_an_error(
    sandbox: Sandbox,
    run: Run,
    mixed: Callable[[str, str], None],
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    what: str,
) -> None:
    do_not_wait(monkeypatch)
    for number, name in ((OTHER, "Other"), (5, "kept")):
        sandbox.kaltura.add_category(number, name)
    start = {
        "replace_video": State.ARCHIVED,
        "s3copy": State.INITIAL,
        "restore": State.PLACEHOLDER,
        "verify": State.ARCHIVED,
    }[command]
    one, other = sandbox.add(start), sandbox.add(start, categories=(OTHER,))
    if what == "categories" and command in ("restore", "verify"):
        pytest.skip("nobody asks")
    mixed(what, other)
    ran = run(
        command,
        "--id",
        one,
        "--no-dry-run",
        *(["--keep-category", 5] if what == "categories" else []),
    )
    assert ran.code == 1
    assert "mixes answers up" in ran.err
    assert not [request for request in writes(sandbox) if request.server == "kaltura"]


def test_the_address_of_another_flavor_is_not_downloaded_from(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the same size: nothing else would tell, and the next look at the original is mixed up likewise."""
    do_not_wait(monkeypatch)
    one, other = (sandbox.add(State.INITIAL, content=letter * 5000) for letter in (b"a", b"b"))
    actions = sandbox.kaltura.services._actions["flavorasset"]
    asked, instead = actions["geturl"], {"id": content_id(sandbox, other).partition("@")[0]}
    actions["geturl"] = dataclasses.replace(asked, handler=lambda session, p: asked.handler(session, p | instead))
    ran = run("s3copy", "--id", one, "--no-dry-run")
    assert (ran.code, ran.outcomes) == (1, {one: "failed"})
    assert "mixes answers up" in ran.out
    assert sandbox.s3.body(one) is None


@pytest.mark.parametrize("command", ["replace_video", "s3copy", "restore", "verify", "repair"])
def test_the_copy_of_another_entry_is_an_error(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """In every word that S3 says of it."""
    state = State.PLACEHOLDER if command == "restore" else State.ARCHIVED
    one, other = sandbox.add(state), sandbox.add(state)
    act = sandbox.s3._act

    def mixed(call: Any) -> Any:
        instead = dataclasses.replace(call, key=other, path=call.path.replace(one, other))
        return act(instead if call.key == one else call)

    monkeypatch.setattr(sandbox.s3, "_act", mixed)
    ran = run(command, "--id", one, "--no-dry-run")
    assert (ran.code, ran.outcomes) == (1, {one: "failed"})
    assert f"S3 answered with a copy of {other}" in ran.out
    assert f"S3 answered with a copy of {other}" in run("health", "--id", one).out
    assert writes(sandbox) == []


def test_a_listing_of_something_else_is_an_error(sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """That there are no marks against a copy is not to be learnt from it."""
    one, other = sandbox.add(State.ARCHIVED), sandbox.add(State.ARCHIVED)
    sandbox.s3.put(f"suspect/{other}/x.damaged", b"")
    listed = sandbox.s3._list_objects
    monkeypatch.setattr(
        sandbox.s3,
        "_list_objects",
        lambda call: listed(dataclasses.replace(call, query={**call.query, "prefix": f"suspect/{other}/"})),
    )
    ran = run("replace_video", "--id", one, "--no-dry-run")
    assert (ran.code, ran.outcomes) == (1, {one: "failed"})
    assert f"answered with suspect/{other}/x.damaged" in ran.out


@pytest.mark.parametrize("what", ["entry", "partner", "flavors"])
def test_a_mixed_up_answer_in_a_list_is_an_error(
    sandbox: Sandbox, run: Run, mixed: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    do_not_wait(monkeypatch)
    one, other = sandbox.add(State.INITIAL), sandbox.add(State.INITIAL)
    mixed(what, other)
    words = ["--id", one] if what != "partner" else []
    ran = run("health", *words)
    assert ran.code == 1
    assert "mixes answers up" in ran.err


@pytest.mark.parametrize(
    "lacking",
    ["tags", "status", "userId", "creatorId", "plays", "lastPlayedAt", "displayInSearch", "replacingEntryId",
     "replacementStatus", "replacedEntryId", "parentEntryId", "categoriesIds", "partnerId"],
)  # fmt: skip
def test_a_field_that_is_missing_is_not_an_empty_one(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch, lacking: str
) -> None:
    """Nobody's, never played, not being replaced: an entry of which that is not told is not acted on."""
    do_not_wait(monkeypatch)
    entry_id = sandbox.add(State.ARCHIVED, user_id="kept")
    services = sandbox.kaltura.services
    describe = services.describe_entry
    monkeypatch.setattr(
        services, "describe_entry", lambda entry: {k: v for k, v in describe(entry).items() if k != lacking}
    )
    ran = run("replace_video", "--id", entry_id, "--keep-owner", "kept", "--no-dry-run")
    assert ran.code == 1
    assert f"incomplete entry {entry_id}" in ran.err
    assert writes(sandbox) == []


def _without_tags(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, odd: str) -> None:
    """Have Kaltura tell no tags of this entry."""
    do_not_wait(monkeypatch)
    services = sandbox.kaltura.services
    describe = services.describe_entry
    monkeypatch.setattr(
        services, "describe_entry",
        lambda entry: {k: v for k, v in describe(entry).items() if k != "tags" or entry.id != odd},
    )  # fmt: skip


def test_an_answer_that_cannot_be_understood_is_no_entry_that_is_gone(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = sandbox.add(State.ARCHIVED)
    _without_tags(sandbox, monkeypatch, odd)
    ran = run("verify", "--id", odd, "--id", "0_nosuch00")
    assert (ran.code, ran.outcomes) == (1, {odd: "failed", "0_nosuch00": "failed"})
    details = {row["entry_id"]: row["detail"] for row in ran.rows}
    assert "incomplete entry" in details[odd]
    assert "no such entry" in details["0_nosuch00"]
    ran = run("health", "--id", odd)
    assert (ran.code, ran.rows) == (1, [])
    assert "no entry matches" not in ran.err
    assert "no such entry" not in ran.err
    # It is none that a person has deleted, as a list of what is due was told.
    due = ("0_nosuch00", odd)
    assert gone_since(Kaltura(read_settings(), read_only=True), Listed("2026-01-01T00:00:00Z", due)) == ["0_nosuch00"]


def test_a_stream_that_cannot_be_understood_costs_its_recording_and_not_the_run(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    parent, other = sandbox.add(State.ARCHIVED), sandbox.add(State.ARCHIVED)
    odd = sandbox.add(State.ARCHIVED, parent_id=parent, display_in_search=-1)
    _without_tags(sandbox, monkeypatch, odd)
    ran = run("health", "--id", parent, "--id", other)
    assert (ran.code, [row["entry_id"] for row in ran.rows]) == (1, [other])
    assert f"entry {parent} is left out: not all of its streams can be looked at" in ran.err
    assert "1 could not be looked at" in ran.err


def test_a_listing_that_shows_fewer_keys_than_it_counts_is_an_error(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [sandbox.add(State.ARCHIVED) for _ in range(45)]
    listed = Store.pages

    def short(store: Store, prefix: str = "") -> Any:
        ask = store._s3.list_objects_v2
        monkeypatch.setattr(
            store._s3, "list_objects_v2", lambda **words: (a := ask(**words)) | {"Contents": a["Contents"][1:]}
        )
        return listed(store, prefix)

    monkeypatch.setattr(Store, "pages", short)
    ran = run("health", *named(ids))
    assert ran.code == 1
    assert "S3 says 45 keys, and shows 44" in ran.err


def test_an_answer_that_lacks_flavors_it_counted_is_an_error(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    do_not_wait(monkeypatch)
    entry_id = sandbox.add(State.ARCHIVED)
    services = sandbox.kaltura.services
    action, lists = services._actions["flavorasset"]["list"], services.list_assets
    services._actions["flavorasset"]["list"] = dataclasses.replace(
        action, handler=lambda session, p: lists(session, p) | {"objects": []}
    )
    for words in (["replace_video", "--no-dry-run"], ["health"]):
        ran = run(*words, "--id", entry_id)
        assert ran.code == 1
        assert "Kaltura listed 0 of 3 flavors" in ran.err
    assert writes(sandbox) == []


def test_a_placeholder_that_is_missing_keeps_no_video_from_coming_back(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry_id = sandbox.add(State.PLACEHOLDER)
    monkeypatch.setenv("PLACEHOLDER_VIDEO", "absent.mp4")
    assert run("restore", "--id", entry_id).outcomes == {entry_id: "would"}
    assert run("verify", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "done"}


# Ids in another spelling (real-kaltura N04-N06)


def spellings(entry_id: str) -> list[str]:
    return [entry_id, entry_id.upper(), entry_id[:4] + entry_id[4:].upper()]


@pytest.mark.parametrize("command", ["s3copy", "replace_video", "restore"])
def test_three_spellings_of_an_id_are_one_entry(sandbox: Sandbox, run: Run, command: str) -> None:
    start = {"s3copy": State.INITIAL, "replace_video": State.ARCHIVED, "restore": State.PLACEHOLDER}[command]
    one, other = sandbox.add(start, id="0_abcdefgh"), sandbox.add(start)
    Path("ids.txt").write_text("\n".join([*spellings(one), other, one + "  ", ""]))
    ran = run(command, "--idfile", "ids.txt", "--no-dry-run")
    assert (ran.code, ran.outcomes) == (0, {one: "done", other: "done"}), ran.err
    assert len(ran.rows) == 2
    assert len([line for line in ran.err.splitlines() if "another spelling" in line]) == 1
    assert "2 of the ids" in ran.err
    assert copies(sandbox) == sorted([one, other])
    lines = [line for line in ran.err.splitlines() if one.upper() in line]
    assert len(lines) == 1, "only the warning tells how it was spelled"


def test_every_command_knows_an_entry_by_its_true_id(sandbox: Sandbox, run: Run) -> None:
    video = sandbox.video()
    entry_id = sandbox.add(State.ARCHIVED, id="0_sgbpzxw1", content=video)
    odd = "0_SGBPZXW1"
    told = run("explain", odd, "--format", "json").json
    assert (told["entry"]["id"], told["state"]["name"], told["object"]["key"]) == (entry_id, "archived", entry_id)
    assert told["flavors"]
    for source in ("kaltura", "s3"):
        (row,) = run("download", "--id", odd, "--from", source).rows
        assert (row["entry_id"], row["file"]) == (entry_id, f"{entry_id}.mp4")
        assert Path(row["file"]).read_bytes() == video
        Path(row["file"]).unlink()
    assert [row["entry_id"] for row in run("list", "--id", odd).rows] == [entry_id]
    assert {row["entry_id"] for row in run("list", "--id", odd, "--mode", "flavor").rows} == {entry_id}
    (row,) = run("health", "--id", odd).rows
    assert (row["entry_id"], row["status-ok"]) == (entry_id, "True")
    assert run("verify", "--id", odd, "--no-dry-run").outcomes == {entry_id: "done"}
    assert run("repair", "--id", odd).outcomes == {entry_id: "already"}
    Path("ids.txt").write_text(f"{odd}\n")
    assert run("list", "--id", entry_id, "--idfile", "ids.txt").rows
    assert run("plan", "replace", "--id", odd, "-o", "plan.jsonl").code == 0
    assert f'"entry": "{entry_id}"' in Path("plan.jsonl").read_text()
    assert run("apply", "plan.jsonl", "--no-dry-run").outcomes == {entry_id: "done"}
    assert run("restore", "--id", odd, "--no-dry-run").outcomes == {entry_id: "done"}
    assert shown(sandbox, entry_id) == video
    assert copies(sandbox) == [entry_id]


def test_an_id_is_in_one_share_however_it_is_spelled(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add(State.INITIAL, id="0_abcdefgh")
    shares = [run("list", *named(spellings(entry_id)), "--shard", f"{index}/4").rows for index in range(4)]
    assert sorted(map(len, shares)) == [0, 0, 0, 1]


def test_an_owners_message_names_an_entry_once(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add(State.ARCHIVED, id="0_abcdefgh")
    columns = "entry_id\tcreator_id\tldap_status\tmail\tname"
    rows = [f"{spelled}\tjdoe\tactive\tjdoe@example.edu\tJ" for spelled in spellings(entry_id)]
    Path("owners.tsv").write_text("\n".join([columns, *rows, ""]))
    (row,) = run("notify", "--from", "archive@example.edu", "owners.tsv").rows
    assert row["entries"] == "1"


def test_units_are_those_of_the_entry_however_its_id_is_spelled(sandbox: Sandbox, run: Run) -> None:
    sandbox.add(State.ARCHIVED, id="0_abcdefgh")
    Path("owners.tsv").write_text("entry_id\tldap_status\tname\torg_unit\n0_ABCDEFGH\tactive\tJ\tPhysics\n")
    rows = run("stats", "--enriched", "owners.tsv").rows
    assert [row["key"] for row in rows if row["section"] == "unit"] == ["Physics"]


# Ids that lead nowhere


@pytest.mark.parametrize("mode", ["--dry-run", "--no-dry-run"])
@pytest.mark.parametrize("command", ["s3copy", "replace_video", "restore", "repair", "verify"])
def test_a_recycled_entry_is_refused_and_an_unknown_one_has_failed(
    sandbox: Sandbox, run: Run, command: str, mode: str
) -> None:
    recycled = sandbox.add(State.ARCHIVED, display_in_search=-2)
    ran = run(command, "--id", recycled.upper(), mode)
    assert (ran.code, ran.outcomes) == (3, {recycled: "refused"})
    assert "recycle bin" in ran.rows[0]["detail"]
    assert f"{recycled} is left out: it is recycled" in ran.err
    assert "no entry matches" not in ran.err
    ran = run(command, "--id", "0_nosuch00", "--id", recycled, mode)
    assert (ran.code, ran.outcomes) == (1, {"0_nosuch00": "failed", recycled: "refused"})
    assert "no such entry" in ran.rows[0]["detail"]
    assert [request for request in writes(sandbox) if request.server == "kaltura"] == []


@pytest.mark.parametrize(
    "words", [["list"], ["count"], ["health"], ["stats"], ["plan", "archive", "-o", "-"]], ids=" ".join
)
def test_commands_that_look_do_not_end_well_with_ids_that_lead_nowhere(
    sandbox: Sandbox, run: Run, words: list[str]
) -> None:
    recycled = sandbox.add(State.INITIAL, display_in_search=-2)
    assert run(*words, "--id", recycled).code == 3
    ran = run(*words, "--id", recycled, "--id", "0_nosuch00")
    assert ran.code == 1
    assert "0_nosuch00: no such entry" in ran.err
    assert f"{recycled} is left out: it is recycled" in ran.err
