"""What a policy run meets between its survey and its acts, and what it tells people of."""

from __future__ import annotations

import csv
import json
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import Run
from looking import do_not_probe, do_not_wait, tags_of

from kaltura_archiver.cli import policies
from kaltura_archiver.cli.app import App
from kaltura_archiver.model import ARCHIVED_TAG, REPLACED_TAG, State, iso_time
from kaltura_archiver.run import lock
from kaltura_archiver.sandbox.kaltura.records import Asset, Content, new_id
from kaltura_archiver.sandbox.world import YEAR_SECONDS, Sandbox

OLD = '[[rule]]\nname = "old"\nselect = { created_before = 3 }\n'


@pytest.fixture
def policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    do_not_probe(monkeypatch)
    do_not_wait(monkeypatch)
    return tmp_path / "policy.toml"


@pytest.fixture
def before_acting(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Have something happen between the survey and what is then carried out."""

    def at(what: Callable[[], object]) -> None:
        carry_out = policies.carry_out

        def later(*given: Any) -> None:
            what()
            carry_out(*given)

        monkeypatch.setattr(policies, "carry_out", later)

    return at


def listed() -> dict[str, dict[str, str]]:
    """The rows of what is due, by entry."""
    tables = [csv.DictReader(table.read_text().splitlines()) for table in Path("lists").glob("*due*.csv")]
    return {row["entry_id"]: row for table in tables for row in table}


def test_a_plan_for_review_remembers_the_clock_of_its_stage(sandbox: Sandbox, run: Run, policy: Path) -> None:
    entry_id = sandbox.add(State.ARCHIVED, tags="lecture", age_years=9)
    policy.write_text(
        '[[rule]]\nname = "old"\nselect = { tag = "lecture" }\narchive = {}\n'
        "replace = { unplayed_for = 3, review = true }\n"
    )
    run("run", policy, "--no-dry-run")
    [plan] = Path("lists").glob("*.jsonl")
    sandbox.kaltura.edit(entry_id, plays=7, last_played_at=int(sandbox.control.clock.now() - 60))
    run("apply", plan, "--no-dry-run")
    assert REPLACED_TAG not in tags_of(sandbox, entry_id)


def test_a_rule_that_has_drifted_leaves_no_plan_to_be_applied(sandbox: Sandbox, run: Run, policy: Path) -> None:
    policy.write_text(f"{OLD}archive = {{}}\nreplace = {{ review = true }}\n")
    sandbox.add(State.INITIAL, age_years=1)
    assert run("run", policy, "--no-dry-run").code == 0  # what the next is compared with: none selected
    for _ in range(25):
        sandbox.add(State.ARCHIVED, age_years=9)
    ran = run("run", policy, "--no-dry-run")
    assert ran.code == 4
    assert "is not carried out" in ran.err
    assert not list(Path("lists").glob("*.jsonl"))


def test_what_has_come_to_an_earlier_rule_is_no_later_rules(
    sandbox: Sandbox, run: Run, policy: Path, before_acting: Callable[[Callable[[], object]], None]
) -> None:
    entry_id = sandbox.add(State.ARCHIVED, age_years=9)
    sandbox.add(State.ARCHIVED, age_years=1, tags="hold")
    policy.write_text(
        '[[rule]]\nname = "hold"\nselect = { tag = "hold" }\nkeep = { tag = "hold" }\narchive = {}\n\n'
        f"{OLD}archive = {{}}\nreplace = {{}}\n"
    )
    before_acting(lambda: sandbox.kaltura.edit(entry_id, tags=f"{tags_of(sandbox, entry_id)}, hold"))
    ran = run("run", policy, "--no-dry-run")
    assert ran.outcomes == {entry_id: "skipped"}
    assert "one of the rule 'hold' by now" in ran.out


def test_a_run_that_loses_its_lock_says_so_by_its_status(
    sandbox: Sandbox, run: Run, policy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "LOCK_SECONDS", 12)
    policy.write_text("".join(f'[[rule]]\nname = "{n}"\nselect = {{ tag = "{n}{n}" }}\narchive = {{}}\n' for n in "ab"))
    sandbox.add(State.INITIAL, tags="aa")
    left = sandbox.add(State.INITIAL, tags="bb")
    taken = json.dumps({"run": "two", "expires": time.time() + 99}).encode()
    carry_out = policies.carry_out

    def lose(*given: Any) -> None:
        try:
            carry_out(*given)
        finally:
            sandbox.s3.put("locks/run.json", taken)
            assert given[0].stop.wait(20)

    monkeypatch.setattr(policies, "carry_out", lose)
    assert run("run", policy, "--no-dry-run").code == 5
    assert ARCHIVED_TAG not in tags_of(sandbox, left)


def test_a_survey_is_ended_by_a_signal(
    sandbox: Sandbox, run: Run, policy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(300):
        sandbox.add(State.ARCHIVED, age_years=9)
    policy.write_text(f"{OLD}archive = {{}}\nreplace = {{ unplayed_for = 30 }}\n")
    asked: list[int] = []
    stops: list[threading.Event] = []
    stoppable = App.stoppable

    def noted(app: App) -> AbstractContextManager[None]:
        stops.append(app.stop)
        return stoppable(app)

    def signalled(_: object) -> None:
        if not asked:
            asked.append(len(sandbox.control.requests()))
            threading.Thread(target=os.kill, args=(os.getpid(), signal.SIGTERM)).start()
        assert stops[0].wait(60)  # however long it takes until the signal is heeded

    monkeypatch.setattr(App, "stoppable", noted)
    sandbox.control.add_fault("s3.HeadObject", before=signalled, times=999)
    ran = run("run", policy, "--no-dry-run")
    assert ran.code in (130, 143)
    assert len(sandbox.control.requests()) - asked[0] < 400  # of 600: what is looked ahead at


@pytest.mark.parametrize(
    "rule",
    [
        'select = { unplayed_for = 3, tag = "!exam" }\narchive = {}\n',
        'select = { unplayed_for = 3 }\nkeep = { tag = "exam" }\narchive = {}\n',
        "select = { category = 4711 }\narchive = {}\n",
        'select = { unplayed_for = 3 }\nkeep = { owner = "@emeriti.txt" }\narchive = {}\n',
    ],
)
def test_no_rule_stands_in_the_way_of_the_desk(sandbox: Sandbox, run: Run, policy: Path, rule: str) -> None:
    asked = sandbox.add(State.PLACEHOLDER, tags="restore_please")
    policy.write_text(f'[restore]\nrequest_tag = "restore_please"\n\n[[rule]]\nname = "old"\n{rule}')
    assert run("run", policy, "--part", "restore", "--no-dry-run").code == 0
    assert tags_of(sandbox, asked) == ARCHIVED_TAG
    assert run("run", policy, "--no-dry-run").code == 2


@pytest.mark.parametrize("select", ["unplayed_for = 0", 'created_before = "0d"', "created_before = 0"])
def test_an_age_of_no_time_is_no_criterion(sandbox: Sandbox, run: Run, policy: Path, select: str) -> None:
    policy.write_text(f'[[rule]]\nname = "old"\nselect = {{ {select} }}\narchive = {{}}\n')
    assert "it selects every video of the account" in run("run", policy).err
    on = datetime.now(UTC).date() - timedelta(days=2)
    policy.write_text(f'[[rule]]\nname = "old"\non = ["{on:%m-%d}"]\nselect = {{ {select} }}\narchive = {{}}\n')
    assert run("run", policy).code == 0  # before that day


@pytest.mark.parametrize(
    ("held", "locked"),
    [("run", {"all": True, "rules": True, "restore": False}), ("desk", {"all": True, "rules": False, "restore": True})],
)
def test_restores_do_not_wait_for_rules_nor_these_for_them(
    sandbox: Sandbox, run: Run, policy: Path, held: str, locked: dict[str, bool]
) -> None:
    policy.write_text(f'[restore]\nrequest_tag = "restore_please"\n\n{OLD}archive = {{}}\n')
    sandbox.s3.put(f"locks/{held}.json", json.dumps({"run": "other", "expires": 9e9, "owner": "elsewhere"}).encode())
    for part, ends in locked.items():
        ran = run("run", policy, "--part", part, "--no-dry-run")
        assert (ran.code == 5) == ends, (part, ran.err)
    assert run("unlock", held, "--force").code == 0
    assert run("run", policy, "--no-dry-run").code == 0


# What is due: people delete by it


def test_nothing_vouches_for_a_copy_of_another_video(sandbox: Sandbox, run: Run, policy: Path) -> None:
    states = (State.DIVERGED, State.BUSY, State.ARCHIVED, State.PLACEHOLDER)
    ids = {state: sandbox.add(state, age_years=9) for state in states}
    policy.write_text(f"{OLD}due = {{}}\n")
    run("run", policy, "--no-dry-run")
    vouched = {state for state, entry_id in ids.items() if listed()[entry_id]["evidence"]}
    assert vouched == {State.ARCHIVED, State.PLACEHOLDER}


def test_nothing_vouches_for_a_recording_of_which_a_stream_has_no_copy(
    sandbox: Sandbox, run: Run, policy: Path
) -> None:
    whole, part = (sandbox.add(State.PLACEHOLDER, age_years=9) for _ in range(2))
    sandbox.add(State.PLACEHOLDER, parent_id=whole, display_in_search=-1)
    sandbox.add(State.INITIAL, parent_id=part, display_in_search=-1)
    policy.write_text(f"{OLD}archive = {{}}\nreplace = {{}}\ndue = {{}}\n")
    run("run", policy, "--no-dry-run")
    assert [entry_id for entry_id, row in listed().items() if row["evidence"]] == [whole]


# READY, still being made, in error; or an upload that Kaltura saved.
@pytest.mark.parametrize(("status", "tags"), [(2, ""), (1, ""), (-1, ""), (2, "save_source")])
@pytest.mark.parametrize("state", [State.ARCHIVED, State.PLACEHOLDER, State.THIN])
def test_nothing_vouches_for_a_second_source_that_s3_does_not_have(
    sandbox: Sandbox, run: Run, policy: Path, state: State, status: int, tags: str
) -> None:
    entry = sandbox.add(state, age_years=9, derived=2, duration_ms=5_400_000)
    thin, saved = state is State.THIN, bool(tags)
    number = 9 if saved else 0 if thin else 99
    second = Asset(new_id(), entry, number, is_original=not (thin or saved), version=2, status=status, tags=tags)
    second.store(Content.of(b"another source, which a person has added\n" * 90), 2)
    second.status = status
    second.updated_at = second.created_at = int(sandbox.control.clock.now())
    sandbox.kaltura.library.put_asset(second)
    policy.write_text(f"{OLD}due = {{}}\n")
    run("run", policy, "--no-dry-run")
    assert not listed()[entry]["evidence"]


def test_what_was_promised_to_stay_is_not_due(sandbox: Sandbox, run: Run, policy: Path) -> None:
    today = datetime.now(UTC).date()
    tag = f"notice_{today}_until_{today + timedelta(days=300)}"
    sandbox.add(State.ARCHIVED, age_years=9, tags=tag)
    policy.write_text(f"{OLD}archive = {{}}\ndue = {{}}\n")
    run("run", policy, "--no-dry-run")
    assert listed() == {}


def test_what_is_being_brought_back_is_not_due(sandbox: Sandbox, run: Run, policy: Path) -> None:
    entry_id = sandbox.add(State.PLACEHOLDER, storage_class="GLACIER", tags="lecture, restore_please", age_years=9)
    replaced_at = iso_time(sandbox.control.clock.now() - 3 * YEAR_SECONDS)
    sandbox.s3.set_tags(entry_id, sandbox.s3.tags(entry_id) | {"replaced-at": replaced_at})
    rule = f"{OLD}archive = {{}}\nreplace = {{}}\ndue = {{ replaced_for = 2 }}\n"
    policy.write_text(f'[restore]\nrequest_tag = "restore_please"\n\n{rule}')
    ran = run("run", policy, "--no-dry-run")
    assert ran.outcomes == {entry_id: "waiting"}
    assert listed() == {}
    sandbox.kaltura.edit(entry_id, tags="lecture, archived_to_s3, flavors_deleted")  # nobody asks any more
    run("run", policy, "--no-dry-run")
    assert listed() == {}  # it is still being thawed
