"""What has changed since a plan was reviewed: no more than was seen goes, and what was planned can be applied."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from conftest import Run
from journeys.test_groups import recording, told
from looking import writes

from kaltura_archiver.model import State
from kaltura_archiver.sandbox.kaltura.metadata import MetadataField
from kaltura_archiver.sandbox.world import Sandbox

ACT = "--no-dry-run"


def plan(run: Run, action: str, *options: object) -> None:
    assert run("plan", action, *options, "-o", "p.jsonl").code in (0, 3)


@pytest.mark.parametrize("action", ["thin", "replace"])
def test_a_flavor_that_came_since_does_not_go(sandbox: Sandbox, run: Run, action: str) -> None:
    entry_id = sandbox.add(State.ARCHIVED, derived=2, duration_ms=60_000)
    plan(run, action, "--id", entry_id)
    library = sandbox.kaltura.library
    with library.lock:
        new = library.add_derived(library.entries[entry_id], 3, 2900, status=2)
    ran = run("apply", "p.jsonl", ACT)
    assert ran.outcomes == {entry_id: "drifted"}
    assert f"flavors +{new.id}" in ran.rows[0]["detail"]
    assert writes(sandbox) == []


@pytest.mark.parametrize(
    ("before", "now", "words"),
    [
        ({"creator_id": "joe"}, {"user_id": "ann"}, "owner is ann, was joe"),
        ({"creator_id": "joe"}, {"admin_tags": "exam"}, "admin_tags is exam, was none"),
        ({"creator_id": "joe"}, {"end_date": 1_900_000_000}, "end_date is 2030-03-17, was none"),
    ],
)
def test_by_what_it_was_reviewed_holds_still(
    sandbox: Sandbox, run: Run, before: dict[str, str], now: dict[str, object], words: str
) -> None:
    entry_id = sandbox.add(State.ARCHIVED, **before)
    plan(run, "replace", "--owner", "joe")
    sandbox.kaltura.edit(entry_id, **now)
    ran = run("apply", "p.jsonl", ACT)
    assert ran.outcomes == {entry_id: "drifted"}
    assert words in ran.rows[0]["detail"]


@pytest.mark.parametrize(
    ("action", "state", "asked", "now", "words"),
    [
        ("replace", State.ARCHIVED, ("--category", "Old"), (), "it is not in category 20 or below it"),
        ("replace", State.ARCHIVED, ("--exclude-category", 21), (20, 21), "it is in an excluded category"),
        ("archive", State.INITIAL, ("--category", 20), (21,), "it is not in category 20 or below it"),
        ("restore", State.PLACEHOLDER, ("--category", 20), (), "it is not in category 20 or below it"),
        ("replace", State.ARCHIVED, (), (20, 21), "categories +Exams"),
        ("thin", State.ARCHIVED, (), (21,), "categories +Exams -Old"),
    ],
)
def test_the_categories_of_a_plan_hold_still(
    sandbox: Sandbox, run: Run, action: str, state: State, asked: tuple[object, ...], now: tuple[int, ...], words: str
) -> None:
    for number, name in ((20, "Old"), (21, "Exams")):
        # Those of MediaSpace an entry does not tell itself.
        sandbox.kaltura.add_category(number, name, privacy_context="MediaSpace" if asked else "")
    sandbox.add(State.INITIAL, categories=(21,), age_years=1)
    options = {"derived": 1, "duration_ms": 60_000} if action == "thin" else {}
    entry_id, other = (sandbox.add(state, categories=(20,), age_years=9, **options) for _ in range(2))
    plan(run, action, *asked, *("--id", entry_id, "--id", other))
    sandbox.kaltura.edit(entry_id, categories=now)
    ran = run("apply", "p.jsonl", ACT, "--max-drift", 1)
    assert ran.outcomes == {entry_id: "drifted", other: "done"}, ran.err
    assert words in next(row["detail"] for row in ran.rows if row["entry_id"] == entry_id)


def test_custom_metadata_that_a_plan_asks_for_holds_still(sandbox: Sandbox, run: Run) -> None:
    sandbox.kaltura.add_profile(1, MetadataField(11, "Retention"))
    entry_id = sandbox.add(State.ARCHIVED, age_years=9)
    sandbox.kaltura.set_metadata(entry_id, 1, Retention="Short")
    plan(run, "replace", "--metadata", "Retention=Short", "--id", entry_id)
    sandbox.kaltura.set_metadata(entry_id, 1, Retention="Permanent")
    ran = run("apply", "p.jsonl", ACT)
    assert ran.outcomes == {entry_id: "drifted"}
    assert "its Retention is Permanent" in ran.out


def test_a_restore_gives_it_back_whosever_it_is_now(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add(State.PLACEHOLDER, creator_id="joe")
    plan(run, "restore", "--owner", "joe")
    sandbox.kaltura.edit(entry_id, user_id="ann")
    assert run("apply", "p.jsonl", ACT).outcomes == {entry_id: "done"}


@pytest.mark.parametrize("how", ["deleted", "detached"])
def test_a_stream_that_went_since_is_told_and_its_recording_stays(sandbox: Sandbox, run: Run, how: str) -> None:
    video = recording(sandbox, State.ARCHIVED)
    plan(run, "replace", "--id", video.parent)
    gone = video.streams[0]
    if how == "deleted":
        del sandbox.kaltura.entries[gone]
    else:
        sandbox.kaltura.edit(gone, parent_id="")
    ran = run("apply", "p.jsonl", ACT)
    assert set(dict(told(ran)).values()) == {"drifted"}
    assert {row["entry_id"] for row in ran.rows} == {video.parent, *video.streams}
    assert writes(sandbox) == []


def test_a_recording_that_went_since_takes_its_streams_along(sandbox: Sandbox, run: Run) -> None:
    video = recording(sandbox, State.INITIAL)
    plan(run, "archive", "--id", video.parent)
    del sandbox.kaltura.entries[video.parent]
    ran = run("apply", "p.jsonl", ACT)
    assert ran.outcomes == dict.fromkeys((video.parent, *video.streams), "drifted")


@pytest.mark.parametrize(
    ("action", "state", "last"),
    [("archive", State.INITIAL, State.EMPTY), ("restore", State.PLACEHOLDER, State.LOST)],
)
def test_a_stream_that_the_plan_leaves_out_keeps_no_other(
    sandbox: Sandbox, run: Run, action: str, state: State, last: State
) -> None:
    video = recording(sandbox, state, state, last)
    plan(run, action, "--id", video.parent)
    outcomes = dict(told(run("apply", "p.jsonl", ACT)))
    assert outcomes[video.parent] == outcomes[video.streams[0]] == "done"
    assert outcomes[video.streams[1]] == "refused"


def test_a_stream_that_was_thawing_already_comes_back_with_the_others(sandbox: Sandbox, run: Run) -> None:
    parent = sandbox.add(State.PLACEHOLDER, storage_class="GLACIER")
    streams = [
        sandbox.add(State.PLACEHOLDER, storage_class="GLACIER", parent_id=parent, display_in_search=-1)
        for _ in range(2)
    ]  # fmt: skip
    thaw = {"Days": 7, "GlacierJobParameters": {"Tier": "Bulk"}}
    sandbox.s3.client().restore_object(Bucket=sandbox.s3.bucket, Key=streams[0], RestoreRequest=thaw)
    plan(run, "restore", "--id", parent)
    assert run("apply", "p.jsonl", ACT).code == 3
    sandbox.control.clock.advance(20 * 3600)
    assert run("apply", "p.jsonl", ACT).outcomes == dict.fromkeys((parent, *streams), "done")


@pytest.mark.parametrize(("action", "state"), [("archive", State.INITIAL), ("restore", State.PLACEHOLDER)])
def test_a_stream_whose_recording_is_gone_is_planned_and_applied_by_itself(
    sandbox: Sandbox, run: Run, action: str, state: State
) -> None:
    video = recording(sandbox, state)
    del sandbox.kaltura.entries[video.parent]
    alone = video.streams[0]
    plan(run, action, "--id", alone)
    assert run("apply", "p.jsonl", ACT).outcomes == {alone: "done"}
    assert run("apply", "p.jsonl", ACT).code == 0


def test_no_password_of_an_address_is_in_what_is_sent_about(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry_id = sandbox.add(State.INITIAL)
    for name in ("KALTURA_SERVICE_URL", "AWS_ENDPOINT_URL"):
        url = urlsplit(sandbox.environ()[name])
        monkeypatch.setenv(name, f"http://proxy:hunter2secret@{url.netloc}")
    plan(run, "archive", "--id", entry_id)
    assert run("plan", "show", "p.jsonl", "--format", "html", "-o", "p.html").code == 0
    assert "hunter2" not in Path("p.jsonl").read_text() + Path("p.html").read_text()
    assert run("apply", "p.jsonl").code == 0


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
def test_a_plan_is_for_one_s3_service(sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Elsewhere another bucket may have its name."""
    entry_id = sandbox.add(State.INITIAL)
    plan(run, "archive", "--id", entry_id)
    here = json.loads(Path("p.jsonl").read_text().splitlines()[0])["account"]["S3 service"]
    monkeypatch.setenv(name, "http://127.0.0.1:9")
    ran = run("apply", "p.jsonl", ACT)
    assert (ran.code, ran.out) == (2, "")
    assert f"the plan is for S3 service {here}, these settings are for S3 service http://127.0.0.1:9" in ran.err


def test_a_plan_may_name_all_of_a_staff(sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    entry_id = sandbox.add(State.ARCHIVED)
    Path("staff.txt").write_text("".join(f"firstname.lastname{n}@university.example\n" for n in range(30_000)))
    monkeypatch.setenv("KEEP_OWNERS", "@staff.txt")
    plan(run, "replace", "--id", entry_id)
    assert run("plan", "show", "p.jsonl").code == 0
    assert run("apply", "p.jsonl").outcomes == {entry_id: "would"}


def test_what_a_plan_is_made_with_is_shown(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add(State.ARCHIVED)
    plan(run, "replace", "--id", entry_id, "--allow-in-place", "--min-age-years", "1.5")
    assert "with min age years 1.5, allow in place" in run("plan", "show", "p.jsonl").out
    assert run("plan", "show", "p.jsonl", "--format", "html", "-o", "p.html").code == 0
    assert "Planned with: min age years 1.5, allow in place." in Path("p.html").read_text()


def test_a_plan_is_not_overwritten_by_what_shows_it(sandbox: Sandbox, run: Run) -> None:
    sandbox.add(State.INITIAL)
    plan(run, "archive", "--all")
    before = Path("p.jsonl").read_text()
    ran = run("plan", "show", "p.jsonl", "-o", "./p.jsonl")
    assert ran.code == 2
    assert "would take the place of the plan itself" in ran.err
    assert Path("p.jsonl").read_text() == before
