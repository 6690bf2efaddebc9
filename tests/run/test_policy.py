"""`run`: a policy is carried out on the entries that its rules select, each by the first, and on no others."""

from __future__ import annotations

import csv
import errno
import hashlib
import json
import re
import time
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import time_machine
from conftest import Ran, Run
from looking import do_not_probe

from kaltura_archiver.cli import policies
from kaltura_archiver.config import read_settings
from kaltura_archiver.model import ARCHIVED_TAG, REPLACED_TAG, State
from kaltura_archiver.run import due_list
from kaltura_archiver.run import run as acting
from kaltura_archiver.run.runlog import read
from kaltura_archiver.sandbox.kaltura.metadata import MetadataField
from kaltura_archiver.sandbox.world import Sandbox
from kaltura_archiver.store import Store

RUN_LOG = acting._run_log  # the fixture `run` does without it
YEAR = 365.25 * 86400
THREE_YEARS = """\
[[rule]]
name = "three years"
select = { unplayed_for = 3 }
archive = {}
replace = { archived_for = "30d", unplayed_for = 3 }
due = { replaced_for = 2 }
"""


@pytest.fixture
def policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    do_not_probe(monkeypatch)
    path = tmp_path / "policy.toml"
    path.write_text(THREE_YEARS)
    return path


def _stages(ran: Ran) -> dict[str, dict[str, str]]:
    return {f"{row['rule']}/{row['stage']}": row for row in ran.rows}


def _played(sandbox: Sandbox, entry_id: str, years_ago: float) -> None:
    at = int(sandbox.control.clock.now() - years_ago * YEAR)
    sandbox.kaltura.edit(entry_id, plays=7, last_played_at=at)


def _marks(sandbox: Sandbox, entry_id: str) -> set[str]:
    return {ARCHIVED_TAG, REPLACED_TAG} & set(sandbox.kaltura.entries[entry_id].tags.split(", "))


def test_stage_by_stage_as_the_clocks_say_and_nothing_between(sandbox: Sandbox, run: Run, policy: Path) -> None:
    old, young = sandbox.add(State.INITIAL), sandbox.add(State.INITIAL, age_years=2)
    played = sandbox.add(State.INITIAL)
    _played(sandbox, played, 1)
    dry = run("run", policy)
    assert dry.outcomes == {old: "would"}
    assert sandbox.control.writes() == []
    assert dry.err.splitlines()[-1].endswith(f"to act: kaltura-archiver run {policy} --no-dry-run")

    acted = run("run", policy, "--no-dry-run")
    assert (acted.code, acted.outcomes) == (0, {old: "done"}), acted.err
    assert [(row["rule"], row["stage"]) for row in acted.rows] == [("three years", "archive")]
    assert (_marks(sandbox, old), _marks(sandbox, young), _marks(sandbox, played)) == ({ARCHIVED_TAG}, set(), set())
    again = run("run", policy, "--no-dry-run")
    assert (again.code, again.rows) == (0, [])  # archived 30 days first

    with time_machine.travel(sandbox.control.clock.now() + 31 * 86400):
        acted = run("run", policy, "--no-dry-run")
        assert [(row["stage"], row["outcome"]) for row in acted.rows] == [("replace", "done")], acted.err
        assert _marks(sandbox, old) == {ARCHIVED_TAG, REPLACED_TAG}
        waits = _stages(run("run", policy, "--check"))["three years/due"]
        assert (waits["waits"], waits["due"]) == ("1", "0")
    assert _stages(run("run", policy, "--check", "--on", waits["opens_date"]))["three years/due"]["due"] == "1"


def test_what_was_brought_back_is_left_alone_for_as_long_as_a_play_counts(
    sandbox: Sandbox, run: Run, policy: Path
) -> None:
    entry_id = sandbox.add(State.PLACEHOLDER)
    assert run("restore", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "done"}
    assert run("run", policy, "--no-dry-run").rows == []
    told = {row["stage"]: row for row in run("run", policy, "--explain", entry_id).rows}
    assert told["replace"]["says"] == "waits"
    assert told["replace"]["detail"].startswith("last used on ")
    assert told["archive"]["says"] == "done"
    assert (told["due"]["says"], told["due"]["detail"]) == ("later", "once replace is done")


def test_an_entry_is_the_first_rule_s_that_selects_it(sandbox: Sandbox, run: Run, tmp_path: Path) -> None:
    lecture, other = sandbox.add(State.INITIAL, tags="lecture"), sandbox.add(State.INITIAL)
    path = tmp_path / "policy.toml"
    path.write_text(
        '[[rule]]\nname = "lectures"\nselect = { tag = "lecture" }\narchive = { unplayed_for = 40 }\n\n' + THREE_YEARS
    )
    assert run("run", path).outcomes == {other: "would"}
    told = run("run", path, "--check")
    assert "three years: the rule 'lectures', which comes first, takes 1 entry of it" in told.err
    assert _stages(told)["lectures/archive"]["waits"] == "1"
    explained = run("run", path, "--explain", lecture).rows
    assert [(row["rule"], row["says"]) for row in explained if not row["stage"]] == [
        ("lectures", "yes"), ("three years", "no"),
    ]  # fmt: skip
    assert run("run", path, "--rule", "three years", "--no-dry-run").outcomes == {other: "done"}
    assert _marks(sandbox, lecture) == set()


def test_a_play_that_comes_meanwhile_keeps_an_entry(
    sandbox: Sandbox, run: Run, policy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every entry is looked at once more before anything is done to it."""
    entry_id = sandbox.add(State.INITIAL)
    carry_out = policies.carry_out

    def later(*given: Any) -> None:
        _played(sandbox, entry_id, 0.1)
        carry_out(*given)

    monkeypatch.setattr(policies, "carry_out", later)
    acted = run("run", policy, "--no-dry-run")
    assert acted.outcomes == {entry_id: "skipped"}
    assert "not what was asked for any more: it was played more recently" in acted.rows[0]["detail"]
    assert _marks(sandbox, entry_id) == set()


def test_a_rule_that_selects_far_more_than_last_time_stops(sandbox: Sandbox, run: Run, policy: Path) -> None:
    for _ in range(10):
        sandbox.add(State.INITIAL)
    policy.write_text(THREE_YEARS.replace("select =", 'drift = "10%"\nselect ='))
    assert run("run", policy, "--no-dry-run").code == 0
    more = [sandbox.add(State.INITIAL) for _ in range(22)]
    stopped = run("run", policy, "--no-dry-run")
    assert (stopped.code, stopped.rows) == (4, [])
    assert "it selects 32 entries, and 10 when it last acted: more than 10% more" in stopped.err
    checked = run("run", policy, "--check")
    assert "rule 'three years' would not be carried out: it selects 32 entries, and 10 when" in checked.err
    assert "policy of 1 rule: 0 entries are due" in checked.err
    assert _stages(checked)["three years/archive"]["due"] == "22"  # to be looked at by whoever accepts it
    checked = run("run", policy, "--check", "--accept-drift", "three years")
    assert "would not be carried out" not in checked.err
    assert "policy of 1 rule: 22 entries are due" in checked.err
    assert all(not _marks(sandbox, entry_id) for entry_id in more)
    assert run("run", policy, "--no-dry-run").code == 4  # and it stays so
    accepted = run("run", policy, "--no-dry-run", "--accept-drift", "three years")
    assert (accepted.code, accepted.outcomes) == (0, dict.fromkeys(more, "done"))
    # The next one is compared with that, not with the first.
    with time_machine.travel(sandbox.control.clock.now() + 3600):
        assert run("run", policy, "--no-dry-run").code == 0


def test_limits_of_a_rule_bound_each_stage_of_a_run(sandbox: Sandbox, run: Run, policy: Path) -> None:
    entries = [sandbox.add(State.INITIAL) for _ in range(3)]
    policy.write_text(f"[limits]\nentries = 2\n\n{THREE_YEARS}")
    first = run("run", policy, "--no-dry-run", "--workers", 1)
    assert first.code == 3
    assert sorted(first.outcomes.values())[0] == "done"
    assert sum(_marks(sandbox, entry_id) == {ARCHIVED_TAG} for entry_id in entries) == 2
    assert run("run", policy, "--no-dry-run").code == 0
    assert all(_marks(sandbox, entry_id) == {ARCHIVED_TAG} for entry_id in entries)


def test_nothing_is_begun_outside_the_hours_of_a_rule(sandbox: Sandbox, run: Run, policy: Path) -> None:
    entry_id = sandbox.add(State.INITIAL)
    policy.write_text(f'[limits]\nhours = "22-6"\n\n{THREE_YEARS}')
    noon = datetime(2027, 3, 1, 12, tzinfo=ZoneInfo("UTC"))
    with time_machine.travel(noon):
        assert run("run", policy, "--no-dry-run").code == 4
    assert _marks(sandbox, entry_id) == set()
    with time_machine.travel(noon.replace(hour=23)):
        assert run("run", policy, "--no-dry-run").outcomes == {entry_id: "done"}


@pytest.mark.parametrize(
    ("keep", "tags"),
    [('[keep]\ntag = "exam"\n', "exam"), ("", "keep")],
)
def test_what_is_kept_is_kept(sandbox: Sandbox, run: Run, policy: Path, keep: str, tags: str) -> None:
    kept = sandbox.add(State.INITIAL, tags=tags)
    policy.write_text(keep + THREE_YEARS)
    assert run("run", policy, "--no-dry-run").rows == []
    assert _stages(run("run", policy, "--check"))["three years/archive"]["detail"] == "skipped 1"
    assert _marks(sandbox, kept) == set()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("select = { category = 99 }", "rule 'three years' (line 1): there is no category 99"),
        ("select = { category = 'Nowhere>At all' }", "no category is called 'Nowhere>At all'"),
        ("select = { tag = '!nobody-has-it' }", "no entry is tagged nobody-has-it, which is to be left out"),
        ("keep = { tag = 'no-such-tag' }\nselect = { plays = 1 }", "no entry is tagged no-such-tag"),
        ("select = { owner = '!jdoe9' }", "there is no user jdoe9"),
    ],
)
def test_a_rule_that_names_what_there_is_not_is_refused_before_anything(
    sandbox: Sandbox, run: Run, policy: Path, text: str, told: str
) -> None:
    sandbox.add(State.INITIAL)
    policy.write_text(THREE_YEARS.replace("select = { unplayed_for = 3 }", text))
    for more in (("--no-dry-run",), ("--check",)):
        refused = run("run", policy, *more)
        assert (refused.code, refused.out) == (2, "")
        assert told in refused.err
        assert len(refused.err.splitlines()) == 1
    assert sandbox.control.writes() == []


@pytest.mark.parametrize(
    ("criterion", "told"),
    [
        ('tag = "nosuch"', "no entry has the tag nosuch"),
        ('tag = "my category"', "no entry has the tag my category"),
        ('admin_tag = "nosuch"', "no entry has the admin tag nosuch"),
        ('owner = "nobody9"', "there is no user nobody9"),
        ('tag = "lecture"', ""),
        ("created_before = 40", ""),
    ],
)
def test_a_rule_that_selects_nothing_tells_what_there_is_not_and_stops_nothing(
    sandbox: Sandbox, run: Run, policy: Path, criterion: str, told: str
) -> None:
    """A tag may wait for its first video: no nightly run fails for that, nor the rules that come after."""
    other = sandbox.add(State.INITIAL, tags="lecture")
    nothing = f'[[rule]]\nname = "none"\nselect = {{ {criterion} }}\narchive = {{}}\n\n'
    policy.write_text(nothing + THREE_YEARS)
    for more in (("--check",), (), ("--no-dry-run",)):
        ran = run("run", policy, *more)
        assert ran.code == 0, ran.err
        assert (f"none: it selects nothing: {told}: is that spelled right?" in ran.err) == bool(told)
        assert ran.err.count("it selects nothing") == bool(told)
    assert ran.outcomes == {other: "done"}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("none.toml",), "cannot read the policy"),
        (("--check", "--explain", "0_abc"), "--check is of all entries, --explain of one"),
        (("--check", "--no-dry-run"), "leave out --no-dry-run"),
        (("--on", "2027-01-01"), "--on is for --check and --explain"),
        (("--check", "--on", "soon"), "'soon' is no day"),
        (("--rule", "four years"), "there is no rule 'four years'; there are three years"),
        (("--explain", "0/x"), "is not an entry id"),
    ],
)
def test_bad_words_are_one_line(run: Run, policy: Path, words: tuple[str, ...], told: str) -> None:
    refused = run("run", *words) if words[0].endswith(".toml") else run("run", policy, *words)
    assert refused.code == 2
    assert told in refused.err
    assert "Traceback" not in refused.err


def test_a_plan_for_review_has_the_further_streams_of_a_recording(sandbox: Sandbox, run: Run, policy: Path) -> None:
    policy.write_text(REVIEWED)
    parent = sandbox.add(State.ARCHIVED)
    stream = sandbox.add(State.ARCHIVED, parent_id=parent, display_in_search=-1)
    assert run("run", policy, "--no-dry-run").code == 3
    (plan,) = Path("lists").iterdir()
    applied = run("apply", plan, "--no-dry-run")
    assert (applied.code, applied.outcomes) == (0, {stream: "done", parent: "done"}), applied.err


REVIEWED = THREE_YEARS.replace('replace = { archived_for = "30d", unplayed_for = 3 }', "replace = { review = true }")


def test_what_applies_a_plan_for_review_has_the_settings_that_it_was_made_with(
    sandbox: Sandbox, run: Run, policy: Path
) -> None:
    policy.write_text(REVIEWED)
    Path("env.prod").write_text("KALTURA_POLL_SECONDS=0.01\n")
    Path("map.toml").write_text("[category]\n")
    sandbox.add(State.ARCHIVED)
    words = ("--env-file", "env.prod", "run", policy, "--placeholder-map", "map.toml")
    written = run(*words, "--no-dry-run")
    (plan,) = Path("lists").iterdir()
    acts = f"to act: kaltura-archiver --env-file env.prod apply {plan} --placeholder-map map.toml --no-dry-run"
    assert acts in written.err
    assert acts in run(*words).err


def test_a_stage_may_be_for_a_person_to_review(sandbox: Sandbox, run: Run, policy: Path, tmp_path: Path) -> None:
    policy.write_text(REVIEWED)
    first, second = sandbox.add(State.ARCHIVED), sandbox.add(State.ARCHIVED)
    dry = run("run", policy)
    assert "replace: a plan of 2 entries would be written for review" in dry.err
    assert not Path("lists").exists()
    written = run("run", policy, "--no-dry-run")
    assert (written.code, written.rows) == (3, [])
    (plan,) = Path("lists").iterdir()
    assert plan.name.endswith("-replace.jsonl")
    assert _marks(sandbox, first) == _marks(sandbox, second) == {ARCHIVED_TAG}
    # The reviewer leaves one of them out.
    lines = plan.read_text().splitlines(keepends=True)
    plan.write_text("".join(line for line in lines if f'"entry": "{second}"' not in line))
    for words in ((), ("--no-dry-run",)):
        waits = run("run", policy, *words)
        assert (waits.code, waits.rows) == (3, [])
        assert "waits for its review; to act: kaltura-archiver apply lists/" in waits.err
        assert "would be written for review" not in waits.err
    applied = run("apply", plan, "--no-dry-run")
    assert (applied.code, applied.outcomes) == (0, {first: "done"}), applied.err
    assert _marks(sandbox, second) == {ARCHIVED_TAG}
    plan.unlink()
    assert run("run", policy, "--no-dry-run").code == 3
    assert f'"entry": "{second}"' in plan.read_text()


def test_what_is_due_is_a_list_and_what_people_delete_is_remembered(sandbox: Sandbox, run: Run, policy: Path) -> None:
    due, other = sandbox.add(State.PLACEHOLDER), sandbox.add(State.PLACEHOLDER)
    policy.write_text(THREE_YEARS.replace("due = { replaced_for = 2 }", 'due = { created_before = "4" }'))
    assert run("run", policy).code == 0
    assert not Path("lists").exists()
    listed = run("run", policy, "--no-dry-run")
    assert (listed.code, listed.rows) == (0, [])
    table, page = sorted(Path("lists").iterdir())
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert {row["entry_id"] for row in rows} == {due, other}
    assert {row["evidence"] for row in rows} <= {"checksum", "read", "md5"}
    assert due in page.read_text()
    assert {_marks(sandbox, entry_id) == {ARCHIVED_TAG, REPLACED_TAG} for entry_id in (due, other)} == {True}
    stored = sandbox.s3.keys()
    (key,) = [key for key in stored if key.startswith("log/due/")]
    record = json.loads(sandbox.s3.body(key))
    assert record["csv_sha256"] == hashlib.sha256(table.read_bytes()).hexdigest()
    # A person deletes one of them in Kaltura; its copy stays.
    sandbox.kaltura.library.delete_entry(sandbox.kaltura.entries[due])
    with time_machine.travel(sandbox.control.clock.now() + 86400):
        again = run("run", policy, "--no-dry-run")
    assert "due: 1 entries; 1 of the last list are gone" in again.err
    (gone,) = Path("lists").glob("*-gone-*.csv")
    assert [row["entry_id"] for row in csv.DictReader(gone.read_text().splitlines())] == [due]
    assert sandbox.s3.body(due)


def test_a_long_list_is_remembered_in_objects_that_are_not_frozen(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is larger than 128 KB goes into Glacier by the bucket's rule, where the next run could not read it."""
    run("config")
    store = Store(read_settings(), read_only=False)
    ids, gone = [f"0_{number:08x}" for number in range(20_000)], [f"1_{number:08x}" for number in range(9_000)]
    assert due_list.last_list(store, "old") is None
    due_list.remember(store, "old", "run1", 1_790_000_000, "", ids, b"", gone)
    keys = [key for key in sandbox.s3.keys() if key.startswith("log/due/")]  # noqa: SIM118 - not a dict
    assert {len(sandbox.s3.body(key) or b"") < 2**17 for key in keys} == {True}
    listed = due_list.last_list(store, "old")
    assert listed is not None
    assert (listed.entry_ids, listed.at) == (tuple(ids), "2026-09-21T14:13:20Z")
    told = [json.loads(sandbox.s3.body(key) or b"") for key in sorted(keys)]
    assert [entry_id for record in told for entry_id in record["gone"]] == gone
    # Later lists count, whole ones only.
    due_list.remember(store, "old", "run2", 1_790_000_001, "", ids[:3], b"", [])
    listed = due_list.last_list(store, "old")
    assert listed is not None
    assert listed.entry_ids == tuple(ids[:3])
    due_list.remember(store, "old", "run3", 1_790_000_002, "", ids, b"", [])
    (lost,) = [key for key in sandbox.s3.keys() if "run3.part00003" in key]  # noqa: SIM118
    sandbox.s3.client().delete_object(Bucket=sandbox.s3.bucket, Key=lost)
    assert due_list.last_list(store, "old") is None


def test_what_is_frozen_of_earlier_runs_ends_no_run(sandbox: Sandbox, run: Run, policy: Path) -> None:
    sandbox.add(State.PLACEHOLDER)
    policy.write_text(THREE_YEARS.replace("due = { replaced_for = 2 }", 'due = { created_before = "4" }'))
    assert run("run", policy, "--no-dry-run").code == 0
    for key in [key for key in sandbox.s3.keys() if key.startswith(("log/due/", "log/policy/"))]:  # noqa: SIM118
        sandbox.s3.put(key, sandbox.s3.body(key) or b"", storage_class="DEEP_ARCHIVE")
    again = run("run", policy, "--no-dry-run")
    assert again.code == 0, again.err
    assert "it is frozen: what was deleted since is not told" in again.err
    assert "is frozen: what that run has found is not known" in again.err


def test_a_policy_may_be_kept_in_the_bucket(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add(State.INITIAL)
    none = run("run", "s3:settings/policy.toml", "--check")
    assert (none.code, none.out) == (2, "")
    assert "the bucket has no settings/policy.toml: put the policy there" in none.err
    sandbox.s3.put("settings/policy.toml", THREE_YEARS.encode())
    assert run("run", "s3:settings/policy.toml", "--no-dry-run").outcomes == {entry_id: "done"}
    sandbox.s3.put("settings/policy.toml", THREE_YEARS.replace("archive =", "archived =").encode())
    wrong = run("run", "s3:settings/policy.toml")
    assert "s3:settings/policy.toml, line 4: rule 'three years', archived: there is no such key" in wrong.err


def test_shares_of_an_array_job_are_refused(run: Run, policy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_BATCH_JOB_ARRAY_INDEX", "1")
    monkeypatch.setenv("AWS_BATCH_JOB_ARRAY_SIZE", "4")
    refused = run("run", policy, "--check")
    assert (refused.code, refused.out) == (2, "")
    assert "a policy is carried out by one task" in refused.err


def test_the_further_streams_of_a_recording_go_with_their_parent_whatever_the_rule_says_of_them(
    sandbox: Sandbox, run: Run, tmp_path: Path
) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text('[[rule]]\nname = "lectures"\nselect = { tag = "lecture" }\narchive = {}\nreplace = {}\n')
    parent = sandbox.add(State.INITIAL, tags="lecture")
    streams = [sandbox.add(State.INITIAL, parent_id=parent, display_in_search=-1) for _ in range(2)]
    check = _stages(run("run", policy, "--check"))
    assert (check["lectures/None" if "lectures/None" in check else "lectures/"]["detail"]) == "1 selected"
    acted = run("run", policy, "--no-dry-run")
    assert [(row["stage"], row["entry_id"], row["outcome"]) for row in acted.rows] == [
        (stage, entry_id, "done") for stage in ("archive", "replace") for entry_id in (*streams, parent)
    ], acted.err
    assert run("run", policy, "--no-dry-run").rows == []
    other = sandbox.add(State.ARCHIVED, tags="lecture")
    sandbox.add(State.ARCHIVED, tags="keep", parent_id=other, display_in_search=-1)
    assert run("run", policy, "--no-dry-run").rows == []
    assert _marks(sandbox, other) == {ARCHIVED_TAG}


def test_the_report_shows_the_rules_and_where_their_videos_stand(sandbox: Sandbox, run: Run, policy: Path) -> None:
    for state in (State.INITIAL, State.ARCHIVED, State.PLACEHOLDER):
        sandbox.add(state)
    assert run("report", "-o", "none.html").code == 0
    assert 'id="rules"' not in Path("none.html").read_text()
    assert run("run", policy, "--no-dry-run").code == 0
    sandbox.s3.put("log/policy/odd.json", b"[]")
    told = run("report", "-o", "report.html")
    page = Path("report.html").read_text()
    rows = page[page.index('<h2 id="rules">') : page.index('<h2 id="health">')]
    cells = re.findall(r"<bdi>(.*?)</bdi>", rows)
    assert [cells[0], cells[2], *cells[4:]] == ["three years", "1", "3", "1", "1", "0", "1", "0"]
    assert "an object under log/policy/ is no history of a policy" in told.err


def test_two_runs_by_a_policy_exclude_each_other_and_the_lock_can_be_freed(
    sandbox: Sandbox, run: Run, policy: Path
) -> None:
    entry_id = sandbox.add(State.INITIAL)
    sandbox.s3.put("locks/run.json", json.dumps({"run": "other", "expires": 9e9, "owner": "elsewhere"}).encode())
    assert run("run", policy).outcomes == {entry_id: "would"}  # a dry run needs no lock
    locked = run("run", policy, "--no-dry-run")
    assert (locked.code, locked.out) == (5, "")
    assert "another run holds the lock locks/run.json: elsewhere" in locked.err
    assert run("unlock", "run", "--force").code == 0
    assert run("run", policy, "--no-dry-run").outcomes == {entry_id: "done"}


def test_what_an_earlier_rule_keeps_no_later_one_takes(sandbox: Sandbox, run: Run, tmp_path: Path) -> None:
    kept = sandbox.add(State.INITIAL, tags="exam")
    path = tmp_path / "policy.toml"
    path.write_text(
        '[[rule]]\nname = "exams"\nselect = { tag = "exam" }\nkeep = { tag = "exam" }\narchive = {}\n\n' + THREE_YEARS
    )
    assert run("run", path, "--no-dry-run").rows == []
    assert _marks(sandbox, kept) == set()


def test_a_list_warns_of_what_would_be_gone_for_good(sandbox: Sandbox, run: Run, policy: Path) -> None:
    only_in_kaltura, stored = sandbox.add(State.INITIAL), sandbox.add(State.ARCHIVED)
    spoiled = sandbox.add(State.ARCHIVED)
    sandbox.s3.set_tags(spoiled, {**sandbox.s3.tags(spoiled), "damaged-at": "2026-01-01T00:00:00Z"})
    policy.write_text('[[rule]]\nname = "old"\nselect = { unplayed_for = 3 }\ndue = {}\n')
    listed = run("run", policy, "--no-dry-run")
    assert "old, due: 2 have no proven copy in the bucket: deleted, they are gone for good" in listed.err
    table, page = sorted(Path("lists").iterdir())
    evidence = {row["entry_id"]: row["evidence"] for row in csv.DictReader(table.read_text().splitlines())}
    assert evidence == {only_in_kaltura: "", stored: "checksum", spoiled: ""}
    assert "2 of them have no proven copy: deleted in Kaltura, they are gone for good." in page.read_text()


def test_what_is_in_the_way_of_an_entry_is_a_row(sandbox: Sandbox, run: Run, policy: Path) -> None:
    empty, fine = sandbox.add(State.EMPTY), sandbox.add(State.INITIAL)
    for more in ((), ("--no-dry-run",)):
        ran = run("run", policy, *more)
        assert ran.code == 3
        assert ran.outcomes == {empty: "refused", fine: "done" if more else "would"}
        (row,) = (row for row in ran.rows if row["entry_id"] == empty)
        assert (row["rule"], row["stage"], row["state"]) == ("three years", "archive", "empty")
        assert row["detail"]


def test_check_says_that_a_run_would_not_even_begin(sandbox: Sandbox, run: Run, policy: Path) -> None:
    sandbox.add(State.INITIAL)
    policy.write_text(THREE_YEARS + "notice = {}\n")
    checked = run("run", policy, "--check")
    assert checked.code == 0
    assert "a run would end at once: who writes to owners? set NOTIFY_FROM" in checked.err
    assert run("run", policy).code == 2


def test_what_was_brought_back_stays_for_a_year_by_a_rule_that_asks_for_no_plays(
    sandbox: Sandbox, run: Run, policy: Path
) -> None:
    policy.write_text('[[rule]]\nname = "old"\nselect = { created_before = 4 }\narchive = {}\nreplace = {}\n')
    entry_id = sandbox.add(State.PLACEHOLDER)
    assert run("restore", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "done"}
    assert run("run", policy, "--no-dry-run").rows == []
    told = {row["stage"]: row for row in run("run", policy, "--explain", entry_id).rows}["replace"]
    assert (told["says"], told["detail"][:15]) == ("waits", "brought back on")
    with time_machine.travel(sandbox.control.clock.now() + 364 * 86400):
        assert run("run", policy, "--no-dry-run").rows == []
    with time_machine.travel(sandbox.control.clock.now() + 366 * 86400):
        assert run("run", policy, "--no-dry-run").outcomes == {entry_id: "done"}


def test_what_is_kept_is_on_no_list_of_what_may_be_deleted(sandbox: Sandbox, run: Run, policy: Path) -> None:
    """Also where it was replaced before somebody said so."""
    due, kept = sandbox.add(State.PLACEHOLDER), sandbox.add(State.PLACEHOLDER, tags="keep")
    policy.write_text('[[rule]]\nname = "old"\nselect = { created_before = 4 }\ndue = {}\n')
    assert run("run", policy, "--no-dry-run").code == 0
    (table,) = Path("lists").glob("*.csv")
    assert [row["entry_id"] for row in csv.DictReader(table.read_text().splitlines())] == [due]
    told = {row["stage"]: row for row in run("run", policy, "--explain", kept).rows}["due"]
    assert (told["says"], told["detail"]) == ("skipped", "kept: tagged keep")


def test_explain_reads_custom_metadata_where_a_rule_keeps_by_it(sandbox: Sandbox, run: Run, policy: Path) -> None:
    sandbox.kaltura.add_profile(1, MetadataField(101, "Retention"))
    plain, kept = sandbox.add(State.INITIAL), sandbox.add(State.INITIAL)
    sandbox.kaltura.set_metadata(kept, 1, Retention="Permanent")
    sandbox.kaltura.settle()
    policy.write_text(f'[keep]\nmetadata = "Retention=Permanent"\n\n{THREE_YEARS}')
    said = [
        next(row["says"] for row in run("run", policy, "--explain", entry_id).rows if row["stage"] == "archive")
        for entry_id in (plain, kept)
    ]
    assert said == ["due", "skipped"]
    assert run("run", policy).outcomes == {plain: "would"}


def test_one_run_has_one_id_whatever_it_is_made_of(
    sandbox: Sandbox, run: Run, policy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each part has a lock and a log of its own; their log lines go by the run, and their logs name it."""
    monkeypatch.setattr(acting, "_run_log", RUN_LOG)
    policy.write_text('[restore]\nrequest_tag = "please"\n' + THREE_YEARS)
    sandbox.add(State.PLACEHOLDER, tags=f"{ARCHIVED_TAG}, {REPLACED_TAG}, please")
    sandbox.add(State.INITIAL)
    for more in ((), ("--no-dry-run",)):
        told = run("run", policy, *more).err
        [number] = set(re.findall(r" run=(\w+)", told))
    parts = [line for line in read(Store(read_settings(), read_only=True)) if line["kind"] == "run"]
    assert {line["command"]: line["part_of"] for line in parts} == {"restore": number, "s3copy": number}
    assert len({line["run"] for line in parts} | {number}) == 3


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("select = { unplayed_for = true }", "select.unplayed_for: unplayed-for: true is not a value"),
        ('select = { unplayed_for = ["a", 1] }', 'select.unplayed_for: unplayed-for: ["a", 1] is not a value'),
        ("select = { tag = false }", "select.tag: tag: false is not a value"),
        ('select = { owner = { a = "x" } }', 'select.owner: owner: { a = "x" } is not a value'),
        ("select = { never_played = 1979-05-27 }", "true or false, not 1979-05-27"),
        ("keep = { tag = [true] }", "keep.tag: true is not what this key holds"),
        ("keep = [1]", "keep: [1] is no table"),
        ("archive = { review = [] }", "archive.review: [] is neither true nor false"),
        ('archive = { unplayed_for = "soon" }', "archive.unplayed_for: 'soon' is not an age"),
        ("archive = { unplayed_for = true }", "archive.unplayed_for: true is not an age"),
        ("limits = { entries = true }", "limits.entries: true is not a number above 0"),
        ("drift = false", "drift: false is not a percentage such as 50%"),
        ("on = 5", 'on: days are a list such as ["05-15", "12-15"]'),
    ],
)
def test_a_mistake_is_told_as_it_is_written(run: Run, policy: Path, lines: str, told: str) -> None:
    """As TOML, that is, and not as Python would have it."""
    keys = {line.partition(" = ")[0]: line for line in (*THREE_YEARS.splitlines()[1:4], lines)}
    policy.write_text("[[rule]]\n" + "\n".join(keys.values()))
    refused = run("run", policy)
    assert (refused.code, len(refused.err.splitlines())) == (2, 1)
    assert told in refused.err


def test_where_nothing_can_be_written_the_list_is_in_the_bucket(
    sandbox: Sandbox, run: Run, policy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in the image's container, whose file system is read-only."""

    def read_only(folder: Path, *given: object, **more: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(folder))

    due = sandbox.add(State.PLACEHOLDER)
    policy.write_text('[[rule]]\nname = "old"\nselect = { created_before = 4 }\ndue = {}\n')
    monkeypatch.setattr(Path, "mkdir", read_only)
    acted = run("run", policy, "--no-dry-run")
    assert acted.code == 0, acted.err
    (table, record) = [key for key in sandbox.s3.keys() if key.startswith("log/due/")]  # noqa: SIM118 - not a dict
    assert table in acted.err
    body = sandbox.s3.body(table) or b""
    assert [row["entry_id"] for row in csv.DictReader(body.decode().splitlines())] == [due]
    assert json.loads(sandbox.s3.body(record) or b"")["csv_sha256"] == hashlib.sha256(body).hexdigest()
    policy.write_text(THREE_YEARS.replace("archive = {}", "archive = { review = true }"))
    refused = run("run", policy, "--no-dry-run")
    assert (refused.code, "cannot be written: nothing can be here" in refused.err) == (2, True), refused.err


@pytest.mark.parametrize("state", [State.UNSETTLED, State.HALF_TAGGED])
def test_what_a_killed_run_left_is_repaired_and_then_goes_on(sandbox: Sandbox, run: Run, state: State) -> None:
    """A tag says that the placeholder is coming, and the original is in place; or it came, and no tag says so."""
    cut = sandbox.add(state)
    rule = '[[rule]]\nname = "old"\nselect = { unplayed_for = 3 }\narchive = {}\nreplace = {}\n'
    Path("policy.toml").write_text(rule)
    row = next(row for row in run("run", "--check").rows if row["stage"] == "archive")
    assert (row["waits"], row["left"]) == ("1", "0")
    assert "a repair comes first" in run("run", "--explain", cut).out
    dry = run("run")
    assert [(row["stage"], row["entry_id"], row["outcome"]) for row in dry.rows] == [("repair", cut, "would")], dry.err
    assert sandbox.control.writes() == []
    first = run("run", "--no-dry-run")
    assert (first.code, [(row["stage"], row["outcome"]) for row in first.rows]) == (0, [("repair", "done")]), first.err
    run("run", "--no-dry-run")
    assert run("health", "--id", cut).rows[0]["message"].startswith("placeholder")
    again = run("run", "--no-dry-run")
    assert (again.code, again.rows) == (0, [])


@pytest.mark.parametrize(("since", "told"), [("1d", True), ("4", False)])
def test_a_rule_that_selects_every_video_is_told_before_anything_is_done(
    sandbox: Sandbox, run: Run, since: str, told: bool
) -> None:
    for number in range(20):
        sandbox.add(State.INITIAL, created_at=time.time() - (number / 4 + 1) * YEAR)
    Path("policy.toml").write_text(f'[[rule]]\nname = "all"\nselect = {{ unplayed_for = "{since}" }}\narchive = {{}}\n')
    for words in (("--check",), ("--no-dry-run",)):
        ran = run("run", *words)
        line = "all: it selects every video of the account (20), by: "
        assert (line in ran.err) == told, ran.err
    assert ran.err.index("selects every") < ran.err.index("s3copy") if told else True
