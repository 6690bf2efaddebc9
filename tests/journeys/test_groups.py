"""A recording of several streams is one: its child entries go first, then the entry (docs/groups.md)."""

from __future__ import annotations

import json
import signal
from dataclasses import dataclass
from pathlib import Path

import pytest
from looking import Run, act, assets_of, shown, state_of, tags_of, writes

from kaltura_archiver.model import ARCHIVED_TAG, REPLACED_TAG, THIN_TAG, State
from kaltura_archiver.sandbox.world import Sandbox


@dataclass(frozen=True)
class Recording:
    parent: str
    streams: tuple[str, str]

    @property
    def all(self) -> tuple[str, ...]:
        """In the order in which they go."""
        return (*self.streams, self.parent)

    def each(self, outcome: str) -> list[tuple[str, str]]:
        return [(entry_id, outcome) for entry_id in self.all]


def recording(sandbox: Sandbox, state: State, *others: State, **fields: object) -> Recording:
    """A camera with its two further streams, as a save of Kaltura leaves them: hidden from searches."""
    parent = sandbox.add(state, name="camera", **fields)
    first, second = (
        sandbox.add(kind, name="slides", parent_id=parent, display_in_search=-1, **fields)
        for kind in (*others, *[state] * (2 - len(others)))
    )
    return Recording(parent, (first, second))


def told(ran: object) -> list[tuple[str, str]]:
    return [(row["entry_id"], row["outcome"]) for row in ran.rows]


@pytest.fixture
def video(sandbox: Sandbox) -> Recording:
    return recording(sandbox, State.INITIAL, age_years=5)


def test_the_whole_cycle_of_a_recording(sandbox: Sandbox, run: Run, video: Recording) -> None:
    before = {entry_id: shown(sandbox, entry_id) for entry_id in video.all}
    for command, tags, state in (
        ("s3copy", ARCHIVED_TAG, "archived"),
        ("replace_video", f"{ARCHIVED_TAG}, {REPLACED_TAG}", "placeholder"),
        ("restore", ARCHIVED_TAG, "archived"),
        ("replace_video", f"{ARCHIVED_TAG}, {REPLACED_TAG}", "placeholder"),
    ):
        dry = run(command, "--id", video.parent)
        assert (dry.code, told(dry)) == (0, video.each("would")), dry.err
        ran = act(run, command, video.parent)
        assert (ran.code, told(ran)) == (0, video.each("done")), ran.err
        assert "3 entries in" in ran.err
        for entry_id in video.all:
            assert tags_of(sandbox, entry_id) == tags
            assert state_of(run, entry_id) == state
            assert sandbox.s3.body(entry_id) == before[entry_id]
            assert (shown(sandbox, entry_id) == before[entry_id]) == (state == "archived")
        assert told(act(run, command, video.parent)) == video.each("already")
        sandbox.kaltura.settle()


def test_the_streams_go_first_and_the_parent_last(sandbox: Sandbox, run: Run) -> None:
    video = recording(sandbox, State.ARCHIVED)
    act(run, "replace_video", video.parent)
    assert [request.subject for request in writes(sandbox, "media.updateContent")] == list(video.all)


@pytest.mark.parametrize("member", [0, 1, 2])
@pytest.mark.parametrize("command", ["s3copy", "replace_video", "thin"])
def test_what_keeps_one_stream_keeps_the_recording(sandbox: Sandbox, run: Run, member: int, command: str) -> None:
    video = recording(sandbox, State.INITIAL if command == "s3copy" else State.ARCHIVED, derived=2, duration_ms=60_000)
    sandbox.kaltura.edit(video.all[member], tags=f"keep, {tags_of(sandbox, video.all[member])}")
    ran = act(run, command, video.parent)
    assert (ran.code, told(ran)) == (0, video.each("skipped")), ran.err
    kept = f"{video.all[member]}: skipped: kept: tagged keep"
    assert [kept in row["detail"] for row in ran.rows] == [entry_id != video.all[member] for entry_id in video.all]
    assert writes(sandbox) == []


@pytest.mark.parametrize("state", [State.INITIAL, State.LOST, State.DIVERGED, State.BUSY, State.EMPTY])
def test_a_stream_that_cannot_go_keeps_the_recording(sandbox: Sandbox, run: Run, state: State) -> None:
    video = recording(sandbox, State.ARCHIVED, State.ARCHIVED, state)
    for command in ("replace_video", "thin"):
        ran = act(run, command, video.parent)
        assert ran.code == 3
        assert {outcome for _, outcome in told(ran)} <= {"refused", "waiting"}, ran.out
    assert video.streams[1] in ran.rows[-1]["detail"]
    assert writes(sandbox) == []


def test_where_a_stream_fails_on_the_way_nothing_after_it_is_begun(sandbox: Sandbox, run: Run) -> None:
    video = recording(sandbox, State.ARCHIVED)
    first, second = video.streams
    sandbox.control.add_fault("media.updateContent", "error", skip=1, code="ENTRY_ID_NOT_FOUND", times=9)
    ran = act(run, "replace_video", video.parent)
    assert (ran.code, told(ran)) == (1, [(first, "done"), (second, "failed"), (video.parent, "waiting")]), ran.err
    assert f"{second}: failed" in ran.rows[-1]["detail"]
    assert shown(sandbox, video.parent) != sandbox.placeholder
    sandbox.control.clear_faults()
    ran = act(run, "replace_video", video.parent)
    assert (ran.code, told(ran)) == (0, [(first, "already"), (second, "done"), (video.parent, "done")]), ran.err


def test_a_stream_alone_is_refused_with_what_to_type(sandbox: Sandbox, run: Run) -> None:
    """Nobody who looks for entries finds it again: it has no place of its own in the index."""
    video = recording(sandbox, State.ARCHIVED)
    stream = video.streams[0]
    for command in ("s3copy", "replace_video", "thin", "restore", "repair"):
        ran = act(run, command, stream)
        assert (ran.code, told(ran)) == (3, [(stream, "refused")])
        assert f"stream (child entry) of {video.parent}, with which it goes: {command} --id {video.parent}" in ran.out
    planned = run("plan", "replace", "--id", stream, "-o", "-")
    assert planned.code == 3
    assert f"replace_video --id {video.parent}" in planned.out
    explained = run("explain", stream, "--format", "json").json
    assert explained["entry"]["further stream of"] == video.parent
    assert explained["commands"]["replace_video"].startswith("refused: ")
    assert f"a further stream of {video.parent}" in run("health", "--id", stream).rows[0]["message"]
    assert writes(sandbox) == []
    assert act(run, "verify", stream).outcomes == {stream: "done"}  # it is only read


def test_a_stream_whose_parent_is_gone_may_come_back(sandbox: Sandbox, run: Run) -> None:
    content = sandbox.video()
    stream = sandbox.add(State.PLACEHOLDER, content=content, parent_id="0_longgone", display_in_search=-1)
    other = sandbox.add(State.ARCHIVED, parent_id="0_longgone", display_in_search=-1)
    assert act(run, "restore", stream).outcomes == {stream: "done"}
    assert shown(sandbox, stream) == content
    assert act(run, "replace_video", other).outcomes == {other: "refused"}


def test_a_play_of_the_parent_brings_all_streams_back(sandbox: Sandbox, run: Run) -> None:
    video = recording(sandbox, State.ARCHIVED)
    act(run, "replace_video", video.parent)
    words = ("restore", "--played-within", "1d", "--no-dry-run")
    assert run(*words).rows == []
    sandbox.kaltura.edit(video.streams[0], last_played_at=int(sandbox.control.clock.now()))
    assert run(*words).rows == []  # nobody plays a stream of it
    sandbox.kaltura.edit(video.parent, last_played_at=int(sandbox.control.clock.now()))
    ran = run(*words)
    assert (ran.code, told(ran)) == (0, video.each("done")), ran.err


def test_a_stream_that_was_played_keeps_an_unplayed_recording(sandbox: Sandbox, run: Run) -> None:
    video = recording(sandbox, State.ARCHIVED)
    sandbox.kaltura.edit(video.streams[1], last_played_at=int(sandbox.control.clock.now()) - 100 * 86400, plays=4)
    ran = run("replace_video", "--unplayed-for", 3, "--no-dry-run")
    assert (ran.code, told(ran)) == (0, video.each("skipped")), ran.err
    assert "played" in ran.rows[1]["detail"]
    assert writes(sandbox) == []


def test_a_day_that_was_promised_for_a_stream_keeps_the_recording(sandbox: Sandbox, run: Run) -> None:
    video = recording(sandbox, State.ARCHIVED)
    tag = "notice_2026-01-01_d30a5f57_until_2099-12-25"
    sandbox.kaltura.edit(video.streams[1], tags=f"{ARCHIVED_TAG}, {tag}")
    assert told(act(run, "replace_video", video.parent)) == video.each("skipped")
    assert writes(sandbox) == []


def test_all_frozen_copies_are_asked_for_at_once_and_the_parent_comes_back_last(sandbox: Sandbox, run: Run) -> None:
    video = recording(sandbox, State.PLACEHOLDER, storage_class="GLACIER")
    assert told(act(run, "restore", video.parent, "--tier", "standard")) == video.each("waiting")
    assert [request.subject for request in writes(sandbox, "s3.RestoreObject")] == list(video.all)
    sandbox.control.clock.advance(13 * 3600)
    sandbox.s3.expire(video.streams[1])
    ran = act(run, "restore", video.parent, "--tier", "standard")
    assert told(ran) == [(video.streams[0], "done"), (video.streams[1], "waiting"), (video.parent, "waiting")], ran.err
    assert shown(sandbox, video.parent) == sandbox.placeholder
    sandbox.control.clock.advance(13 * 3600)
    ran = act(run, "restore", video.parent)
    assert told(ran) == [(video.streams[0], "already"), (video.streams[1], "done"), (video.parent, "done")], ran.err
    for entry_id in video.all:
        assert shown(sandbox, entry_id) == sandbox.s3.body(entry_id)


def test_a_stream_that_cannot_come_back_keeps_no_other_away(sandbox: Sandbox, run: Run) -> None:
    video = recording(sandbox, State.PLACEHOLDER, State.PLACEHOLDER, State.LOST)
    ran = act(run, "restore", video.parent)
    assert (ran.code, [outcome for _, outcome in told(ran)]) == (3, ["done", "refused", "done"]), ran.err
    assert shown(sandbox, video.parent) == sandbox.s3.body(video.parent)


def test_repair_and_verify_look_at_each_stream(sandbox: Sandbox, run: Run) -> None:
    video = recording(sandbox, State.ARCHIVED, State.UNTAGGED, State.LOST)
    first, second = video.streams
    assert told(act(run, "verify", video.parent)) == [(first, "done"), (second, "failed"), (video.parent, "done")]
    assert told(act(run, "repair", video.parent)) == [(first, "done"), (second, "refused"), (video.parent, "already")]
    assert tags_of(sandbox, first) == ARCHIVED_TAG


def test_a_replacement_in_place_of_a_stream_that_was_cut_is_gone_on_with(sandbox: Sandbox, run: Run) -> None:
    video = recording(sandbox, State.ARCHIVED, State.NO_ORIGINAL, State.ARCHIVED)
    cut = video.streams[0]
    sandbox.kaltura.edit(cut, tags=f"{ARCHIVED_TAG}, {REPLACED_TAG}")
    ran = act(run, "replace_video", video.parent, "--allow-in-place")
    assert (ran.code, told(ran)) == (0, video.each("done")), ran.err
    assert shown(sandbox, cut) == sandbox.placeholder
    sandbox.kaltura.settle()
    assert told(act(run, "restore", video.parent)) == video.each("done")


def test_what_is_not_understood_as_a_recording_is_refused(sandbox: Sandbox, run: Run) -> None:
    video = recording(sandbox, State.ARCHIVED)
    below = sandbox.add(State.ARCHIVED, parent_id=video.streams[0], display_in_search=-1)
    ran = act(run, "replace_video", video.parent)
    assert (ran.code, told(ran)) == (3, [(video.parent, "refused")])
    assert f"has further streams itself: {below}" in ran.out
    ran = act(run, "replace_video", video.streams[0])
    assert (ran.code, told(ran)) == (3, [(video.streams[0], "refused")])
    assert f"is a further stream of {video.parent} itself" in ran.out
    assert run("plan", "replace", "--id", video.streams[0], "-o", "-").code == 3
    assert run("explain", video.streams[0], "--format", "json").json["commands"]["restore"].startswith("refused")
    assert writes(sandbox) == []


def test_rows_in_json_name_the_parent(sandbox: Sandbox, run: Run, video: Recording) -> None:
    rows = run("s3copy", "--id", video.parent, "--format", "json").json
    assert [row["parent"] for row in rows] == [video.parent, video.parent, None]
    assert all("\tparent" not in line for line in run("s3copy", "--id", video.parent).out.splitlines()[:1])
    listed = run("list", "--id", video.streams[0], "--columns", "entry_id,parent").rows
    assert listed == [{"entry_id": video.streams[0], "parent": video.parent}]


def test_explain_tells_the_streams_of_a_parent(sandbox: Sandbox, run: Run) -> None:
    video = recording(sandbox, State.ARCHIVED, State.ARCHIVED, State.INITIAL)
    explained = run("explain", video.parent, "--format", "json").json
    assert explained["entry"]["children"] == 2
    assert [(one["id"], one["state"]) for one in explained["further streams"]] == [
        (video.streams[0], "archived"),
        (video.streams[1], "initial"),
    ]
    assert video.streams[1] in explained["commands"]["replace_video"]
    assert explained["commands"]["replace_video"].startswith("refused: ")
    assert video.streams[0] in run("explain", video.parent).out


def test_a_plan_has_a_line_for_each_stream_and_is_applied_as_one(sandbox: Sandbox, run: Run, tmp_path: Path) -> None:
    video = recording(sandbox, State.ARCHIVED)
    plan = tmp_path / "plan.jsonl"
    made = run("plan", "replace", "--id", video.parent, "-o", plan)
    assert made.code == 0, made.err
    lines = plan.read_text().splitlines()
    assert [(line["entry"], line.get("parent")) for line in map(json.loads, lines[1:-1])] == [
        *((stream, video.parent) for stream in video.streams), (video.parent, None),
    ]  # fmt: skip
    ran = run("apply", plan, "--no-dry-run")
    assert (ran.code, told(ran)) == (0, video.each("done")), ran.err
    assert told(run("apply", plan, "--no-dry-run")) == video.each("already")


@pytest.mark.parametrize("left_out", [0, 1, 2])
def test_a_plan_that_lost_a_line_of_a_recording_does_nothing_to_it(
    sandbox: Sandbox, run: Run, tmp_path: Path, left_out: int
) -> None:
    video = recording(sandbox, State.ARCHIVED)
    plan = tmp_path / "plan.jsonl"
    run("plan", "replace", "--id", video.parent, "-o", plan)
    lines = plan.read_text().splitlines()
    plan.write_text("\n".join(lines[: 1 + left_out] + lines[2 + left_out :]) + "\n")
    ran = run("apply", plan, "--no-dry-run", "--max-drift", "100%")
    assert {outcome for _, outcome in told(ran)} == {"drifted"}, ran.out
    assert "it has no line in the plan" in ran.out
    assert writes(sandbox) == []


def test_a_stream_that_drifted_since_the_plan_keeps_the_recording(sandbox: Sandbox, run: Run, tmp_path: Path) -> None:
    video = recording(sandbox, State.ARCHIVED)
    plan = tmp_path / "plan.jsonl"
    run("plan", "replace", "--id", video.parent, "-o", plan)
    sandbox.kaltura.edit(video.streams[1], tags=f"{ARCHIVED_TAG}, exam")
    ran = run("apply", plan, "--no-dry-run", "--max-drift", "100%")
    assert told(ran) == video.each("drifted")
    assert writes(sandbox) == []


@pytest.mark.parametrize("entries", [3, 60])
def test_health_tells_of_a_recording_what_its_worst_stream_is(sandbox: Sandbox, run: Run, entries: int) -> None:
    """Few are asked of the database, many are named by the search index."""
    halfway = recording(sandbox, State.PLACEHOLDER, State.PLACEHOLDER, State.ARCHIVED)
    lost = recording(sandbox, State.ARCHIVED, State.LOST, State.ARCHIVED)
    alike = recording(sandbox, State.ARCHIVED)
    for _ in range(entries - 3):
        sandbox.add(State.ARCHIVED, content=b"x" * 2000)
    ran = run("health", "--columns", "entry_id,parent,state,why,original_bytes")
    rows = {row["entry_id"]: row for row in ran.rows}
    assert len(ran.rows) == len(rows) == entries + 6
    assert [rows[entry_id]["state"] for entry_id in halfway.all] == ["placeholder", "archived", "archived"]
    assert [rows[entry_id]["state"] for entry_id in lost.all] == ["lost", "archived", "lost"]
    assert [rows[entry_id]["state"] for entry_id in alike.all] == ["archived"] * 3
    assert f"placeholder itself, but its further stream {halfway.streams[1]} is archived" in rows[halfway.parent]["why"]
    assert [rows[entry_id]["parent"] for entry_id in lost.all] == [lost.parent, lost.parent, ""]
    assert rows[alike.streams[0]]["original_bytes"] == str(len(shown(sandbox, alike.streams[0])))
    assert ran.code == 1
    explained = run("explain", halfway.parent, "--format", "json").json
    assert explained["state"]["name"] == "archived"
    assert halfway.streams[1] in explained["state"]["why"]


def test_stats_and_report_count_the_bytes_of_further_streams(sandbox: Sandbox, run: Run) -> None:
    video = recording(sandbox, State.ARCHIVED)
    rows = {(row["section"], row["key"]): row for row in run("stats").rows}
    total = sum(len(shown(sandbox, entry_id)) for entry_id in video.all)
    assert rows["state", "archived"]["entries"] == "3"
    assert rows["state", "archived"]["stored_bytes"] == str(total)
    assert run("report", "-o", "page.html").code == 0
    assert Path("page.html").read_text().count(f"slides (further stream of {video.parent})") >= 2


def test_a_run_that_is_asked_to_stop_ends_between_two_streams(sandbox: Sandbox, run: Run) -> None:
    video = recording(sandbox, State.ARCHIVED)
    second = video.streams[1]
    swapped = lambda _: signal.raise_signal(signal.SIGTERM)  # noqa: E731
    sandbox.control.add_fault("media.updateContent", after=swapped)
    ran = act(run, "replace_video", video.parent)
    assert ran.code == 143
    assert dict(told(ran))[video.parent] == "interrupted", ran.err
    assert shown(sandbox, second) != sandbox.placeholder
    assert shown(sandbox, video.parent) != sandbox.placeholder
    sandbox.kaltura.settle()
    assert act(run, "replace_video", video.parent).code == 0
    assert [shown(sandbox, entry_id) for entry_id in video.all] == [sandbox.placeholder] * 3


def test_a_stream_that_comes_meanwhile_keeps_the_parent(sandbox: Sandbox, run: Run) -> None:
    video = recording(sandbox, State.ARCHIVED)

    def come(_: object) -> None:
        sandbox.add(State.INITIAL, parent_id=video.parent, display_in_search=-1)

    sandbox.control.add_fault("media.updateContent", skip=1, after=come)
    ran = act(run, "replace_video", video.parent)
    assert (ran.code, told(ran)[-1]) == (3, (video.parent, "waiting"))
    assert "the further streams of" in ran.rows[-1]["detail"]
    assert shown(sandbox, video.parent) != sandbox.placeholder


def test_a_stream_that_is_named_beside_its_parent_goes_with_it(sandbox: Sandbox, run: Run, tmp_path: Path) -> None:
    """As in what another command has printed."""
    video = recording(sandbox, State.INITIAL)
    rows = tmp_path / "rows.tsv"
    rows.write_text(run("s3copy", "--id", video.parent, "--no-dry-run").out)
    assert len(run("list", "--idfile", rows).rows) == 3
    for words in (["health", "--idfile", rows], ["due", "--years", 3, "--idfile", rows]):
        assert [row["entry_id"] for row in run(*words).rows] == list(video.all), words
    plan = tmp_path / "plan.jsonl"
    assert run("plan", "replace", "--idfile", rows, "-o", plan).code == 0
    assert told(run("apply", plan)) == video.each("would")
    ran = run("replace_video", "--idfile", rows, "--no-dry-run")
    assert (ran.code, told(ran)) == (0, video.each("done")), ran.err


def test_a_recording_goes_thin_and_comes_back(sandbox: Sandbox, run: Run) -> None:
    video = recording(sandbox, State.ARCHIVED, derived=3, duration_ms=60_000)
    before = {entry_id: shown(sandbox, entry_id) for entry_id in video.all}
    ran = act(run, "thin", video.parent)
    assert (ran.code, told(ran)) == (0, video.each("done")), ran.err
    assert [state_of(run, entry_id) for entry_id in video.all] == ["thin"] * 3
    assert run("restore", "--played-within", "1d", "--no-dry-run").rows == []
    sandbox.kaltura.edit(video.parent, last_played_at=int(sandbox.control.clock.now()))
    played = run("restore", "--played-within", "1d", "--no-dry-run")  # it plays, and stays as it is
    assert told(played) == video.each("skipped"), played.err
    ran = act(run, "restore", video.parent)
    assert (ran.code, told(ran)) == (0, video.each("done")), ran.err
    assert {entry_id: shown(sandbox, entry_id) for entry_id in video.all} == before


def test_a_thin_recording_goes_on_to_placeholders(sandbox: Sandbox, run: Run) -> None:
    video = recording(sandbox, State.THIN, derived=2, duration_ms=60_000)
    ran = act(run, "replace_video", video.parent)
    assert (ran.code, told(ran)) == (0, video.each("done")), ran.err
    for entry_id in video.all:
        assert (state_of(run, entry_id), THIN_TAG in tags_of(sandbox, entry_id)) == ("placeholder", False)


def test_where_replacements_need_approval_the_first_stream_waits_for_it(sandbox: Sandbox, run: Run) -> None:
    sandbox.kaltura.settings.replacement_approval = True
    video = recording(sandbox, State.ARCHIVED)
    ran = act(run, "replace_video", video.parent)
    assert (ran.code, told(ran)) == (3, video.each("waiting"))
    assert [request.subject for request in writes(sandbox, "media.updateContent")] == [video.streams[0]]
    ran = act(run, "replace_video", video.parent, "--approve")
    assert (ran.code, told(ran)) == (0, video.each("done")), ran.err
    assert [shown(sandbox, entry_id) for entry_id in video.all] == [sandbox.placeholder] * 3


def test_a_stream_that_a_search_finds_all_the_same_is_left_to_its_parent(
    sandbox: Sandbox, run: Run, tmp_path: Path
) -> None:
    video = recording(sandbox, State.ARCHIVED)
    sandbox.kaltura.edit(video.streams[0], display_in_search=1)
    plan = tmp_path / "plan.jsonl"
    assert run("plan", "replace", "--tag", ARCHIVED_TAG, "-o", plan).code == 0
    assert told(run("apply", plan)) == video.each("would")
    ran = run("replace_video", "--tag", ARCHIVED_TAG, "--no-dry-run")
    assert (ran.code, told(ran)) == (0, video.each("done")), ran.err
    assert f"entry {video.streams[0]} is left out: a further stream of {video.parent}" in ran.err


def test_list_tells_the_streams_and_the_bytes_of_a_recording(sandbox: Sandbox, run: Run) -> None:
    alone, video = sandbox.add(State.ARCHIVED, age_years=9), recording(sandbox, State.ARCHIVED)
    rows = run("list", "--columns", "entry_id,original_bytes,streams,group_bytes").rows
    sizes = {entry_id: len(shown(sandbox, entry_id)) for entry_id in (alone, *video.all)}
    assert [tuple(row.values()) for row in rows] == [
        (alone, str(sizes[alone]), "", str(sizes[alone])),
        (
            video.parent,
            str(sizes[video.parent]),
            ",".join(video.streams),
            str(sum(sizes[entry_id] for entry_id in video.all)),
        ),
    ]


def test_an_entry_that_names_itself_as_its_parent_is_an_entry(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add(State.ARCHIVED)
    sandbox.kaltura.edit(entry_id, parent_id=entry_id)
    assert told(act(run, "replace_video", entry_id)) == [(entry_id, "done")]


def test_what_a_run_may_not_begin_any_more_it_does_not_begin_in_part(sandbox: Sandbox, run: Run) -> None:
    video = recording(sandbox, State.ARCHIVED)
    size = sum(len(shown(sandbox, entry_id)) for entry_id in video.all)
    ran = run("replace_video", "--id", video.parent, "--no-dry-run", "--max-bytes", size // 2)
    assert told(ran) == video.each("waiting"), ran.err
    assert "--max-bytes" in ran.rows[-1]["detail"]
    assert writes(sandbox) == []
    ran = run("replace_video", "--id", video.parent, "--no-dry-run", "--max-bytes", size)
    assert told(ran) == video.each("done"), ran.err


def test_the_tag_that_asks_for_a_recording_stays_until_all_of_it_is_back(sandbox: Sandbox, run: Run) -> None:
    video = recording(sandbox, State.PLACEHOLDER)
    sandbox.kaltura.edit(video.parent, tags=f"{tags_of(sandbox, video.parent)}, please")
    fault = sandbox.control.add_fault("media.updateContent", "error", code="ENTRY_ID_NOT_FOUND")
    words = ("restore", "--request-tag", "please", "--no-dry-run")
    ran = run(*words)
    assert told(ran) == [(video.streams[0], "failed"), (video.streams[1], "done"), (video.parent, "done")], ran.err
    assert fault.times == 0
    assert tags_of(sandbox, video.parent) == f"{ARCHIVED_TAG}, {REPLACED_TAG}, please"
    ran = run(*words)
    assert [outcome for _, outcome in told(ran)] == ["done", "already", "done"], ran.err
    assert tags_of(sandbox, video.parent) == ARCHIVED_TAG


@pytest.mark.parametrize("state", [State.PLACEHOLDER, State.THIN])
def test_a_stream_that_did_not_come_back_is_found_by_the_next_run(sandbox: Sandbox, run: Run, state: State) -> None:
    """No search finds it: the parent's tag has to."""
    video = recording(sandbox, state, derived=2, duration_ms=60_000)
    tag = REPLACED_TAG if state is State.PLACEHOLDER else THIN_TAG
    sandbox.control.add_fault("media.updateContent", "error", code="ENTRY_ID_NOT_FOUND", subject=video.streams[0])
    words = ("restore", "--tag", tag, "--no-dry-run")
    assert [outcome for _, outcome in told(run(*words))] == ["failed", "done", "done"]
    health = run("health", "--columns", "entry_id,state")
    states = {row["entry_id"]: row["state"] for row in health.rows}
    assert (health.code, states[video.parent]) == (1, "unsettled" if state is State.PLACEHOLDER else "half-thin")
    assert act(run, "repair", video.parent).outcomes[video.parent] == "already"  # it leaves the tag
    assert tag in tags_of(sandbox, video.parent)
    assert [outcome for _, outcome in told(run(*words))] == ["done", "already", "done"]
    assert run("health").code == 0


def test_what_was_asked_for_is_not_forgotten_where_a_stream_is_refused(sandbox: Sandbox, run: Run) -> None:
    parent = sandbox.add(State.PLACEHOLDER, tags="please", name="camera")
    sandbox.add(State.PLACEHOLDER, parent_id=parent, display_in_search=-1, storage_class="DEEP_ARCHIVE", name="slides")
    run("restore", "--request-tag", "please", "--tier", "expedited", "--no-dry-run")
    assert "please" in tags_of(sandbox, parent)


def test_a_replacement_that_ended_half_way_is_undone_by_a_play(sandbox: Sandbox, run: Run) -> None:
    video = recording(sandbox, State.ARCHIVED)
    before = {entry_id: shown(sandbox, entry_id) for entry_id in video.all}
    sandbox.control.add_fault("media.updateContent", "error", code="ENTRY_ID_NOT_FOUND", subject=video.streams[1])
    words = ("replace_video", "--unplayed-for", "3", "--no-dry-run")
    ran = run(*words)
    assert told(ran) == [(video.streams[0], "done"), (video.streams[1], "failed"), (video.parent, "waiting")]
    assert run("health").code == 1
    sandbox.kaltura.settle()
    sandbox.kaltura.edit(video.parent, plays=3, last_played_at=int(sandbox.control.clock.now()))
    assert run(*words).rows == []
    run("restore", "--played-within", "1d", "--tag", REPLACED_TAG, "--no-dry-run")
    assert {entry_id: shown(sandbox, entry_id) for entry_id in video.all} == before
    assert run("health").code == 0


@pytest.mark.parametrize("why", ["kept", "played", "kept stream"])
@pytest.mark.parametrize("command", ["replace_video", "thin"])
def test_what_keeps_a_recording_while_its_first_stream_goes_keeps_the_others(
    sandbox: Sandbox, run: Run, command: str, why: str
) -> None:
    video = recording(sandbox, State.ARCHIVED, derived=2, duration_ms=60_000)
    first, second = video.streams
    before = {entry_id: shown(sandbox, entry_id) for entry_id in video.all}

    def somebody(_: object) -> None:
        entry_id = second if why == "kept stream" else video.parent
        played = {"plays": 3, "last_played_at": int(sandbox.control.clock.now())}
        kept = {"tags": f"{tags_of(sandbox, entry_id)}, keep"}
        sandbox.kaltura.edit(entry_id, **(played if why == "played" else kept))

    call = "media.updateContent" if command == "replace_video" else "flavorAsset.delete"
    sandbox.control.add_fault(call, after=somebody)
    ran = run(command, "--unplayed-for", "3", "--no-dry-run")
    outcomes = dict(told(ran))
    assert outcomes[first] == "done"
    assert shown(sandbox, second) == before[second]
    assert shown(sandbox, video.parent) == before[video.parent]
    assert run("health").code == 1
    restored = act(run, "restore", video.parent)
    assert restored.code == 0, restored.out
    assert {entry_id: shown(sandbox, entry_id) for entry_id in video.all} == before
    if command == "replace_video":
        assert ran.code == 3
        assert "restore brings all back" in ran.out


def test_what_is_kept_too_late_is_found_by_its_tags(sandbox: Sandbox, run: Run) -> None:
    video = recording(sandbox, State.ARCHIVED)
    before = {entry_id: shown(sandbox, entry_id) for entry_id in video.all}
    sandbox.control.add_fault(
        "media.updateContent",
        after=lambda _: sandbox.kaltura.edit(video.parent, tags=f"{tags_of(sandbox, video.parent)}, keep"),
    )
    act(run, "replace_video", video.parent)
    run("restore", "--tag", "keep", "--tag", REPLACED_TAG, "--no-dry-run")
    assert {entry_id: shown(sandbox, entry_id) for entry_id in video.all} == before


def test_repair_puts_no_placeholder_into_a_stream_of_a_kept_recording(sandbox: Sandbox, run: Run) -> None:
    video = recording(sandbox, State.ARCHIVED)
    stream = video.streams[0]
    sandbox.kaltura.edit(video.parent, tags=f"{tags_of(sandbox, video.parent)}, keep")
    sandbox.kaltura.edit(stream, tags=f"{ARCHIVED_TAG}, {REPLACED_TAG}")
    for asset in assets_of(sandbox, stream).values():
        sandbox.kaltura.library.delete_asset(asset)
    ran = act(run, "repair", video.parent)
    assert ran.outcomes[stream] == "refused"
    assert "kept: " in ran.out
    assert not writes(sandbox, "media.updateContent")
    assert not writes(sandbox, "uploadToken.add")


def test_which_video_stays_is_decided_for_one_stream_alone(sandbox: Sandbox, run: Run) -> None:
    parent = sandbox.add(State.ARCHIVED)
    stream, other = (sandbox.add(State.DIVERGED, parent_id=parent, display_in_search=-1) for _ in range(2))
    resolved = run("resolve", stream, "--keep", "kaltura", "--no-dry-run")
    assert (resolved.code, resolved.outcomes) == (0, {stream: "done"}), resolved.err
    assert run("resolve", parent, "--keep", "kaltura", "--no-dry-run").outcomes.keys() == {parent}
    assert run("explain", other, "--format", "json").json["state"]["name"] == "diverged"


@pytest.mark.parametrize("entries", [1, 45])
def test_a_stream_that_a_virus_scan_holds_is_a_stream(sandbox: Sandbox, run: Run, entries: int) -> None:
    parent = sandbox.add(State.ARCHIVED)
    stream = sandbox.add(State.INITIAL, parent_id=parent, display_in_search=-1)
    sandbox.kaltura.edit(stream, status="virusScan.Infected")
    for _ in range(entries - 1):
        sandbox.add(State.ARCHIVED, content=b"x" * 2000)
    assert act(run, "replace_video", parent).outcomes[parent] != "done"
    assert not writes(sandbox, "media.updateContent")
    assert stream in {row["entry_id"] for row in run("health", "--columns", "entry_id").rows}


@pytest.mark.parametrize("gone", [True, False])
def test_a_stream_is_not_left_to_a_parent_that_is_not_selected(sandbox: Sandbox, run: Run, *, gone: bool) -> None:
    parent = "0_longgone" if gone else sandbox.add(State.INITIAL)
    stream = sandbox.add(State.PLACEHOLDER, parent_id=parent, display_in_search=-1)
    more = () if gone else ("--tag", ARCHIVED_TAG)
    ran = run("restore", "--id", stream, "--id", parent, *more)
    assert ran.outcomes[stream] == ("would" if gone else "refused")
    assert stream in {row["entry_id"] for row in run("health", "--id", stream, "--id", parent, *more).rows}


@pytest.mark.parametrize("command", ["s3copy", "plan archive -o -"])
def test_a_limit_counts_recordings_whichever_stream_comes_first(sandbox: Sandbox, run: Run, command: str) -> None:
    """Else the stream took the place, went with its parent, and that one was beyond the limit: for ever."""
    video = recording(sandbox, State.INITIAL)
    Path("ids").write_text("\n".join([*video.streams, video.parent]))
    ran = run(*command.split(), "--idfile", "ids", "--max-entries", "1")
    assert video.parent in ran.out
    assert all(stream in ran.out for stream in video.streams)


def test_due_tells_each_stream_once(sandbox: Sandbox, run: Run) -> None:
    """Its parent was played, which is one part of what is due; it was created lately, which is another."""
    video = recording(sandbox, State.PLACEHOLDER, age_years=1)
    parent = sandbox.kaltura.library.entries[video.parent]
    parent.last_played_at = int(sandbox.control.clock.now()) - 86_400
    ran = run("due", "--years", "3")
    assert sorted(row["entry_id"] for row in ran.rows) == sorted((video.parent, *video.streams))
