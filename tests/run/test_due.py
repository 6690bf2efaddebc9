"""`due`: what breaks the rule of years, by which command it is mended, and what is left as it is."""

from __future__ import annotations

import pytest
from conftest import Ran, Run
from looking import act, http_requests

from kaltura_archiver.model import ARCHIVED_TAG, REPLACED_TAG, State
from kaltura_archiver.sandbox.world import Sandbox

YEAR = 365.25 * 86400


def _ago(sandbox: Sandbox, years: float) -> int:
    return int(sandbox.control.clock.now() - years * YEAR)


def _played(sandbox: Sandbox, entry_id: str, years_ago: float) -> str:
    sandbox.kaltura.edit(entry_id, plays=7, last_played_at=_ago(sandbox, years_ago))
    return entry_id


def _legacy(sandbox: Sandbox) -> str:
    content = sandbox.video()
    entry = sandbox.kaltura.add_entry(content, tags=ARCHIVED_TAG, created_at=_ago(sandbox, 9))
    sandbox.s3.put(entry.id, content, checksum=False)
    return entry.id


def _due(ran: Ran) -> dict[str, tuple[str, str]]:
    return {row["entry_id"]: (row["command"], row["outcome"]) for row in ran.rows}


def test_each_entry_that_breaks_the_rule_is_told_once_with_the_command_that_mends_it(
    sandbox: Sandbox, run: Run
) -> None:
    breaking = {
        sandbox.add(State.INITIAL): ("s3copy", "would"),
        _played(sandbox, sandbox.add(State.INITIAL), 4): ("s3copy", "would"),
        _legacy(sandbox): ("s3copy", "would"),
        sandbox.add(State.ARCHIVED): ("replace_video", "would"),
        sandbox.add(State.EMPTY): ("s3copy", "refused"),
        _played(sandbox, sandbox.add(State.PLACEHOLDER), 0.5): ("restore", "would"),
        _played(sandbox, sandbox.add(State.PLACEHOLDER, storage_class="GLACIER"), 0.5): ("restore", "would"),
        # Created within these years, which the old tool restored, too: played or not.
        sandbox.add(State.PLACEHOLDER, age_years=2): ("restore", "would"),
        _played(sandbox, sandbox.add(State.PLACEHOLDER, age_years=2), 1): ("restore", "would"),
    }
    for state in (State.INITIAL, State.ARCHIVED):
        sandbox.add(state, age_years=2)
        _played(sandbox, sandbox.add(state), 2)
    sandbox.add(State.PLACEHOLDER)
    _played(sandbox, sandbox.add(State.PLACEHOLDER), 4)
    kept = sandbox.add(State.ARCHIVED, tags="keep")
    ran = run("due", "--years", 3)
    assert ran.code == 3
    assert _due(ran) == breaking
    assert kept not in _due(ran)
    assert len(ran.rows) == len(breaking)
    last = ran.err.splitlines()[-1]
    assert last.endswith(
        "INFO due by 3 years: s3copy 3, replace_video 1, restore 4; left as they are: skipped 1, refused 1"
    )
    assert sandbox.control.writes() == []


def test_when_its_commands_have_run_nothing_is_due(sandbox: Sandbox, run: Run) -> None:
    entries = [sandbox.add(State.INITIAL), _legacy(sandbox), sandbox.add(State.ARCHIVED)]
    back = _played(sandbox, sandbox.add(State.PLACEHOLDER), 0.5)
    for _ in range(2):
        for row in run("due", "--years", "3").rows:
            ran = run(row["command"], "--id", row["entry_id"], "--no-dry-run")
            assert ran.outcomes == {row["entry_id"]: "done"}
    ran = run("due", "--years", "3")
    assert (ran.code, ran.rows) == (0, [])
    assert "due by 3 years: nothing\n" in ran.err
    assert {sandbox.kaltura.entries[entry_id].tags for entry_id in entries} == {"archived_to_s3, flavors_deleted"}
    # A restore counts as a play: what was brought back is not due the next day.
    sandbox.kaltura.edit(back, plays=0, last_played_at=None)
    ran = run("due", "--years", "3")
    assert (ran.code, ran.rows) == (0, [])
    assert "due by 3 years: nothing; left as they are: skipped 1\n" in ran.err


def test_what_was_played_only_before_it_was_replaced_is_not_due(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add(State.ARCHIVED)
    assert run("replace_video", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "done"}
    _played(sandbox, entry_id, 0.5)
    ran = run("due", "--years", 3)
    assert (ran.code, ran.rows) == (0, [])
    assert "nothing; left as they are: skipped 1" in ran.err


def test_what_waits_is_told_with_its_reason(sandbox: Sandbox, run: Run) -> None:
    thawing = _played(sandbox, sandbox.add(State.PLACEHOLDER, storage_class="GLACIER"), 0.5)
    assert run("restore", "--id", thawing, "--no-dry-run").outcomes == {thawing: "waiting"}
    sandbox.s3.settings.kms = True
    frozen = _legacy(sandbox)
    sandbox.s3.put(frozen, sandbox.s3.body(frozen) or b"", checksum=False, storage_class="GLACIER")
    assert run("s3copy", "--id", frozen, "--no-dry-run").outcomes == {frozen: "refused"}
    ran = run("due", "--years", 3)
    assert (ran.code, _due(ran)) == (3, {thawing: ("restore", "waiting"), frozen: ("s3copy", "refused")})
    assert (
        "due by 3 years: nothing; left as they are: waiting 1, refused 1 (1 frozen and not to be compared: verify "
        "--request, or s3copy --accept-size-match)\n" in ran.err
    )
    assert run("due", "--years", 3, "--tolerate", 3).code == 0


def test_the_age_that_is_asked_for_is_counted(sandbox: Sandbox, run: Run) -> None:
    sandbox.add(State.ARCHIVED, age_years=2.5)
    assert "due by 2 years: replace_video 1\n" in run("due", "--years", 2).err
    ran = run("due", "--years", 2, "--min-age-years", 3)
    assert (ran.code, ran.rows) == (0, [])
    assert "due by 2 years: nothing; left as they are: skipped 1 (1 too young: --min-age-years)\n" in ran.err


@pytest.mark.parametrize(
    ("narrowed", "commands"),
    [
        (("--tag", "flavors_deleted"), {"restore"}),
        (("--tag", "!flavors_deleted"), {"s3copy", "replace_video"}),
        (("--exclude-tag", "flavors_deleted"), {"s3copy", "replace_video"}),
        (("--created-within", "4"), {"restore"}),
        (("--created-within", "2.5"), {"restore"}),
        (("--tag", "flavors_deleted", "--unplayed-for", "4"), set()),
        (("--created-before", "4"), {"s3copy", "replace_video", "restore"}),
        (("--unplayed-for", "4.5"), {"s3copy", "replace_video"}),
        (("--unplayed-for", "1"), {"s3copy", "replace_video", "restore"}),
        (("--unplayed-for", "0.1", "--tag", "flavors_deleted"), {"restore"}),
        (("--played-within", "1"), {"restore"}),
        (("--played-within", "4"), {"restore"}),
        (("--played-within", "4", "--tag", "!flavors_deleted"), set()),
    ],
)
def test_a_selection_narrows_it(sandbox: Sandbox, run: Run, narrowed: tuple[str, ...], commands: set[str]) -> None:
    for state in (State.INITIAL, State.ARCHIVED):
        sandbox.add(state)
    _played(sandbox, sandbox.add(State.PLACEHOLDER), 0.5)
    sandbox.add(State.PLACEHOLDER, age_years=2)
    ran = run("due", "--years", 3, *narrowed)
    assert {row["command"] for row in ran.rows} == commands


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "--years"),
        (("--years", "soon"), "not an age"),
        (("--years", "3", "--tag", "flavors_deleted", "--tag", "!flavors_deleted"), "contradiction"),
        (("--years", "3", "--keep-category", "77"), "77"),
    ],
)
def test_what_cannot_be_meant_is_one_line(sandbox: Sandbox, run: Run, words: tuple[str, ...], says: str) -> None:
    ran = run("due", *words)
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert says in ran.err


def test_a_limit_is_told_before_the_last_line(sandbox: Sandbox, run: Run) -> None:
    for _ in range(3):
        sandbox.add(State.INITIAL)
    ran = run("due", "--years", 3, "--max-entries", 2)
    assert len(ran.rows) == 2
    assert "stopped at --max-entries 2; more entries match" in ran.err
    assert "due by 3 years: s3copy 2" in ran.err.splitlines()[-1]


def test_it_is_a_table_for_people_too(sandbox: Sandbox, run: Run) -> None:
    sandbox.add(State.INITIAL, name="Lecture 7")
    ran = run("due", "--years", 3, "--format", "table")
    assert "Lecture 7" in ran.out
    assert ran.out.startswith("entry_id ")


@pytest.mark.parametrize(
    ("state", "tags"),
    [
        (State.UNSETTLED, ""),
        (State.HALF_TAGGED, ""),
        (State.HALF_TAGGED, ARCHIVED_TAG),
        (State.HALF_THIN, REPLACED_TAG),
        (State.NO_ORIGINAL, REPLACED_TAG),
    ],
)
def test_what_a_run_that_was_cut_has_left_is_due_for_repair(
    sandbox: Sandbox, run: Run, state: State, tags: str
) -> None:
    """Its tag hides it from what looks for originals, and nobody has played it."""
    entry_id = sandbox.add(state, tags=tags, derived=2)
    if state is State.HALF_TAGGED and tags:
        sandbox.kaltura.edit(entry_id, tags=tags)
    for _ in range(3):
        sandbox.add(State.PLACEHOLDER)
    ran = run("due", "--years", 3, "--max-entries", 2)
    assert (ran.code, _due(ran)) == (3, {entry_id: ("repair", "would")})
    assert ran.rows[0]["state"] == state
    assert "due by 3 years: repair 1\n" in ran.err
    assert "stopped at" not in ran.err
    assert run("repair", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "done"}
    assert "repair" not in {row["command"] for row in run("due", "--years", 3).rows}


def test_a_stream_that_was_left_behind_is_due(sandbox: Sandbox, run: Run) -> None:
    parent = sandbox.add(State.PLACEHOLDER)
    stream = sandbox.add(State.ARCHIVED, parent_id=parent, display_in_search=-1)
    ran = run("due", "--years", 3)
    assert (ran.code, _due(ran)) == (3, {stream: ("replace_video", "would")})
    act(run, "replace_video", parent)
    assert run("due", "--years", 3).code == 0


def test_a_healthy_placeholder_costs_no_request_of_its_own(sandbox: Sandbox, run: Run) -> None:
    for _ in range(60):
        sandbox.add(State.PLACEHOLDER)
    run("due", "--years", 3, "--tag", "!flavors_deleted")
    before = http_requests(sandbox)
    ran = run("due", "--years", 3)
    assert (ran.code, ran.rows) == (0, [])
    assert http_requests(sandbox) - before < 20
    assert sandbox.control.requests("s3.HeadObject") == sandbox.control.requests("s3.GetObjectTagging") == []


def test_an_entry_that_is_named_is_told_once(sandbox: Sandbox, run: Run) -> None:
    """Each of the parts in which something may break the rule lacks most of them."""
    due, other = sandbox.add(State.INITIAL, tags="exam"), sandbox.add(State.INITIAL)
    placeholder, cut = sandbox.add(State.PLACEHOLDER, tags="exam"), sandbox.add(State.HALF_TAGGED, tags="exam")
    played = _played(sandbox, sandbox.add(State.PLACEHOLDER, tags="exam"), 0.5)
    ids = (due, other, placeholder, cut, played, "0_nosuch00")
    ran = run("due", "--years", 3, "--tag", "exam", *(word for entry_id in ids for word in ("--id", entry_id)))
    assert {entry_id: command for entry_id, (command, _) in _due(ran).items()} == {
        due: "s3copy", cut: "repair", played: "restore"
    }  # fmt: skip
    about = {i: [line for line in ran.err.splitlines() if i in line and "due by" not in line] for i in ids}
    assert {entry_id: len(lines) for entry_id, lines in about.items()} == {
        due: 0, other: 1, placeholder: 1, cut: 0, played: 0, "0_nosuch00": 1
    }  # fmt: skip
    assert f"entry {other} is left out: its tags are none" in about[other][0]
    assert f"entry {placeholder} is left out: by the rule it stays as it is" in about[placeholder][0]
    assert ran.code == 1
