"""Every storage class: what can be read at once, what has to thaw, how, for how long, and how fast."""

from __future__ import annotations

import json
import time
import types
from typing import Any

import pytest
from conftest import Run
from looking import do_not_wait, shown, use_lock

from kaltura_archiver import survey
from kaltura_archiver.config import read_settings
from kaltura_archiver.model import Availability, State
from kaltura_archiver.run import runlog
from kaltura_archiver.sandbox.world import Sandbox
from kaltura_archiver.store import Store

INSTANT = (
    "STANDARD", "REDUCED_REDUNDANCY", "STANDARD_IA", "ONEZONE_IA", "GLACIER_IR", "EXPRESS_ONEZONE", "OUTPOSTS", "SNOW",
)  # fmt: skip
TIERED = "INTELLIGENT_TIERING"
HOUR = 3600


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    do_not_wait(monkeypatch)


@pytest.fixture
def store(sandbox: Sandbox, run: Run) -> Store:
    """`run` sets the environment."""
    return Store(read_settings(), read_only=False)


def found(store: Store, key: str) -> Any:
    stored = store.head(key)
    assert stored is not None
    return stored


def restores(sandbox: Sandbox) -> int:
    return len(sandbox.control.requests("s3.RestoreObject"))


# What can be read


@pytest.mark.parametrize("storage_class", [*INSTANT, TIERED])
def test_what_can_be_read_at_once_is_restored_at_once(sandbox: Sandbox, run: Run, storage_class: str) -> None:
    video = sandbox.video()
    entry_id = sandbox.add(State.PLACEHOLDER, content=video, storage_class=storage_class)
    ran = run("restore", "--id", entry_id, "--no-dry-run")
    assert ran.outcomes == {entry_id: "done"}, ran.err
    assert shown(sandbox, entry_id) == video
    assert restores(sandbox) == 0


@pytest.mark.parametrize("storage_class", [*INSTANT, "GLACIER", "DEEP_ARCHIVE", TIERED, "GLACIER_OF_2031"])
def test_a_listing_tells_what_it_can(sandbox: Sandbox, store: Store, storage_class: str) -> None:
    sandbox.s3.put("0_x", b"video", storage_class=storage_class)
    [[(_, _, _, listed)]] = list(store.pages())
    expected = {"GLACIER": "frozen", "DEEP_ARCHIVE": "frozen", TIERED: "unknown", "GLACIER_OF_2031": "unknown"}
    assert listed.value == expected.get(storage_class, "readable")


@pytest.mark.parametrize("storage_class", ["GLACIER", TIERED])
def test_a_listing_tells_of_a_thaw_that_is_running(sandbox: Sandbox, store: Store, storage_class: str) -> None:
    sandbox.s3.put("0_x", b"video", storage_class=storage_class)
    if storage_class == TIERED:
        sandbox.s3.freeze("0_x", "ARCHIVE_ACCESS")
    assert store.request_thaw(found(store, "0_x"), tier="bulk", days=3)
    [[(_, _, _, listed)]] = list(store.pages())
    assert listed is Availability.THAWING
    sandbox.s3.thaw("0_x")
    [[(_, _, _, listed)]] = list(store.pages())
    assert listed is (Availability.UNKNOWN if storage_class == TIERED else Availability.READABLE)


def test_a_class_that_nobody_knows_is_tried(sandbox: Sandbox, run: Run, store: Store) -> None:
    """Not taken for readable, nor for frozen: Ceph's administrators name their classes as they like."""
    video = sandbox.video()
    entry_id = sandbox.add(State.PLACEHOLDER, content=video, storage_class="GLACIER_OF_2031")
    assert found(store, entry_id).availability is Availability.READABLE
    sandbox.control.add_fault("s3.GetObject", "error", subject=entry_id, code="InvalidObjectState", status=403)
    assert found(store, entry_id).availability is Availability.FROZEN
    sandbox.s3.settings.deny.add("s3.GetObject")
    for command in ("restore", "verify"):
        ran = run(command, "--id", entry_id, "--no-dry-run")
        assert ran.outcomes == {entry_id: "refused"}
        assert "GLACIER_OF_2031 can be read" in ran.out
    sandbox.s3.settings.deny.clear()
    assert run("restore", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "done"}
    assert shown(sandbox, entry_id) == video


@pytest.mark.parametrize("storage_class", ["GLACIER", "DEEP_ARCHIVE"])
def test_a_service_that_was_seen_to_freeze_is_tried_once(
    sandbox: Sandbox, store: Store, storage_class: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None but AWS, which is known by the name of its host: there nothing is tried."""
    monkeypatch.setattr(Store, "at_aws", False)
    for key in ("0_x", "0_y"):
        sandbox.s3.put(key, b"video", storage_class=storage_class)
        assert found(store, key).availability is Availability.FROZEN
    assert [r.subject for r in sandbox.control.requests("s3.GetObject")] == ["0_x"]


def test_a_frozen_copy_that_may_not_be_read_is_frozen(
    sandbox: Sandbox, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Store, "at_aws", False)
    sandbox.s3.put("0_x", b"video", storage_class="GLACIER")
    sandbox.s3.settings.deny.add("s3.GetObject")
    assert found(store, "0_x").availability is Availability.FROZEN


def test_at_aws_nothing_is_tried(sandbox: Sandbox, store: Store) -> None:
    sandbox.s3.put("0_x", b"video", storage_class="GLACIER")
    assert found(store, "0_x").availability is Availability.FROZEN
    assert not sandbox.control.requests("s3.GetObject")


@pytest.mark.parametrize(
    ("endpoint", "at_aws"),
    [
        ("https://s3.eu-central-1.amazonaws.com", True),
        ("https://bucket.vpce-1.s3.cn-north-1.vpce.amazonaws.com.cn", True),
        ("https://s3.example.org", False),
    ],
)
def test_aws_is_known_by_the_name_of_its_host(endpoint: str, at_aws: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"AWS_ENDPOINT_URL": endpoint, "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_BUCKET", "archive")
    assert Store(read_settings(), read_only=True).at_aws == at_aws


def test_an_empty_object_of_such_a_class_is_readable(sandbox: Sandbox, store: Store) -> None:
    sandbox.s3.put("0_x", b"", storage_class="GLACIER_OF_2031")
    assert found(store, "0_x").availability is Availability.READABLE


# Archive tiers


@pytest.mark.parametrize(
    ("archive_tier", "tier", "hours"),
    [("ARCHIVE_ACCESS", "bulk", 12), ("ARCHIVE_ACCESS", "expedited", 1), ("DEEP_ARCHIVE_ACCESS", "standard", 12)],
)
def test_an_archive_tier_is_thawed_without_days_and_for_good(
    sandbox: Sandbox, run: Run, store: Store, archive_tier: str, tier: str, hours: int
) -> None:
    video = sandbox.video()
    entry_id = sandbox.add(State.PLACEHOLDER, content=video, storage_class=TIERED)
    sandbox.s3.freeze(entry_id, archive_tier)
    assert found(store, entry_id).availability is Availability.FROZEN
    command = ("restore", "--id", entry_id, "--tier", tier, "--no-dry-run")
    dry = run("restore", "--id", entry_id, "--tier", tier)
    assert f"{TIERED} ({archive_tier}), tier {tier}, readable from then on" in dry.err
    ran = run(*command)
    assert ran.outcomes == {entry_id: "waiting"}, ran.err
    assert f"restore from {TIERED} ({archive_tier}) requested (tier {tier}): run" in ran.out
    assert run("restore", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "waiting"}
    sandbox.control.clock.advance(hours * HOUR + 1)
    stored = found(store, entry_id)
    assert (stored.availability, stored.thawed_until, stored.archive_tier) == (Availability.READABLE, "", "")
    sandbox.control.clock.advance(1000 * 86400)
    assert run(*command).outcomes == {entry_id: "done"}
    assert shown(sandbox, entry_id) == video
    assert restores(sandbox) == 1


def test_a_frozen_tier_is_found_by_a_plan_from_a_listing(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(survey, "FEW", 0)
    ids = [sandbox.add(State.PLACEHOLDER, storage_class=TIERED) for _ in range(2)]
    sandbox.s3.freeze(ids[0], "ARCHIVE_ACCESS")
    ran = run("plan", "restore", *(word for entry_id in ids for word in ("--id", entry_id)), "-o", "-")
    steps = {line["entry"]: line.get("steps") for line in map(json.loads, ran.out.splitlines()[1:-1])}
    assert steps[ids[0]] == ["thaw"]
    assert "put_original" in steps[ids[1]]


def test_logs_of_runs_in_a_tiered_class_are_read(sandbox: Sandbox, store: Store) -> None:
    line = (
        b'{"kind":"entry","run":"r","command":"s3copy","entry":"0_x","outcome":"done","state":"initial","at":"t",'
        b'"bytes_moved":0,"bytes_freed":0,"last_played_at":null}\n'
    )
    for name in ("a", "b"):
        sandbox.s3.put(f"log/runs/2026/11/{name}.jsonl", line, storage_class=TIERED)
    sandbox.s3.freeze("log/runs/2026/11/b.jsonl", "ARCHIVE_ACCESS")
    assert [fields["entry"] for fields in runlog.read(store)] == ["0_x"]


@pytest.mark.parametrize(("storage_class", "archive_tier"), [("DEEP_ARCHIVE", ""), (TIERED, "DEEP_ARCHIVE_ACCESS")])
def test_the_deep_ones_have_no_expedited(sandbox: Sandbox, run: Run, storage_class: str, archive_tier: str) -> None:
    entry_id = sandbox.add(State.PLACEHOLDER, storage_class=storage_class)
    if archive_tier:
        sandbox.s3.freeze(entry_id, archive_tier)
    ran = run("restore", "--id", entry_id, "--tier", "expedited", "--no-dry-run")
    assert ran.outcomes == {entry_id: "refused"}
    assert "has no tier expedited" in ran.out
    assert restores(sandbox) == 0


# Asking


@pytest.mark.parametrize("archive_tier", ["", "ARCHIVE_ACCESS"])
def test_expedited_capacity_that_is_not_to_be_had_is_waited_for(sandbox: Sandbox, run: Run, archive_tier: str) -> None:
    entry_id = sandbox.add(State.PLACEHOLDER, storage_class=TIERED if archive_tier else "GLACIER")
    if archive_tier:
        sandbox.s3.freeze(entry_id, archive_tier)
    sandbox.s3.settings.expedited_capacity = False
    command = ("restore", "--id", entry_id, "--no-dry-run", "--tier")
    ran = run(*command, "expedited")
    assert (ran.code, ran.outcomes) == (3, {entry_id: "waiting"})
    assert "no capacity for expedited restores" in ran.out
    assert "--tier standard" in ran.out
    assert restores(sandbox) == 1  # Glacier's answer is no failure that one tries again
    assert run(*command, "standard").outcomes == {entry_id: "waiting"}
    sandbox.control.clock.advance(5 * HOUR + 1)
    assert run(*command, "standard").outcomes == {entry_id: "done"}


@pytest.mark.parametrize("archive_tier", ["", "ARCHIVE_ACCESS"])
def test_a_thaw_that_is_running_is_asked_to_go_faster(
    sandbox: Sandbox, run: Run, store: Store, archive_tier: str
) -> None:
    entry_id = sandbox.add(State.PLACEHOLDER, storage_class=TIERED if archive_tier else "GLACIER")
    if archive_tier:
        sandbox.s3.freeze(entry_id, archive_tier)
    command = ("restore", "--id", entry_id, "--no-dry-run", "--tier")
    run(*command, "bulk")
    assert run(*command, "bulk").outcomes == {entry_id: "waiting"}
    assert restores(sandbox) == 1  # nothing is slower
    ran = run(*command, "expedited")
    assert (ran.code, ran.outcomes) == (3, {entry_id: "waiting"})
    assert "was asked to go faster (tier expedited)" in ran.out
    ran = run(*command, "standard")  # slower than what it does now
    assert ran.outcomes == {entry_id: "waiting"}
    assert "is still running" in ran.out
    sandbox.control.clock.advance(5 * 60 + 1)
    assert found(store, entry_id).availability is Availability.READABLE


@pytest.mark.parametrize("via", ["upload", "url"])
def test_a_thawed_copy_that_ends_before_the_restore_could_is_asked_for_again(
    sandbox: Sandbox, run: Run, store: Store, via: str
) -> None:
    video = sandbox.video()
    entry_id = sandbox.add(State.PLACEHOLDER, content=video, storage_class="GLACIER")
    command = ("restore", "--id", entry_id, "--no-dry-run", "--days", "2", "--via", via)
    run(*command)
    sandbox.s3.thaw(entry_id)
    ends_at = found(store, entry_id).thaw_ends_at
    sandbox.control.clock.advance(ends_at - sandbox.control.clock.now() - HOUR)
    # By its own clock the tool is where the sandbox is.
    before = found(store, entry_id)
    assert before.availability is Availability.READABLE
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kaltura_archiver.apply.thaw.time", _ahead(sandbox))
        ran = run(*command)
    assert ran.outcomes == {entry_id: "done"}, ran.err
    assert "was asked for again" in ran.out
    assert shown(sandbox, entry_id) == video
    assert restores(sandbox) == 2
    assert found(store, entry_id).thaw_ends_at >= ends_at + 86400


def test_a_thawed_copy_with_time_left_is_not_asked_for_again(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add(State.PLACEHOLDER, storage_class="GLACIER")
    run("restore", "--id", entry_id, "--no-dry-run")
    sandbox.s3.thaw(entry_id)
    assert run("restore", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "done"}
    assert restores(sandbox) == 1


@pytest.mark.parametrize("fault", ["drop_after", "drop_before", "http_500"])
def test_a_thaw_whose_answer_is_lost_is_asked_for(sandbox: Sandbox, run: Run, fault: str) -> None:
    entry_id = sandbox.add(State.PLACEHOLDER, storage_class="DEEP_ARCHIVE")
    sandbox.control.add_fault("s3.RestoreObject", fault)
    assert run("restore", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "waiting"}
    sandbox.s3.thaw(entry_id)  # there is one


@pytest.mark.parametrize("via", ["upload", "url"])
def test_a_copy_that_is_frozen_on_the_way_is_waited_for_and_no_obstacle_to_a_replacement(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch, via: str
) -> None:
    """A lifecycle rule, or INTELLIGENT_TIERING itself, moves it in this moment."""
    monkeypatch.setenv("KALTURA_SETTLE_SECONDS", "0")  # there is one look before the swap begins
    video = sandbox.video()
    entry_id = sandbox.add(State.ARCHIVED, content=video, storage_class=TIERED)
    frozen = {"after": lambda _: sandbox.s3.freeze(entry_id, "ARCHIVE_ACCESS")}
    sandbox.control.add_fault("uploadToken.upload", **frozen)
    ran = run("replace_video", "--id", entry_id, "--no-dry-run")
    assert ran.outcomes == {entry_id: "done"}, ran.out
    sandbox.s3.put(entry_id, video, storage_class=TIERED, tags=sandbox.s3.tags(entry_id))
    sandbox.control.add_fault("s3.HeadObject", subject=entry_id, **frozen)
    command = ("restore", "--id", entry_id, "--via", via, "--no-dry-run")
    ran = run(*command)
    assert (ran.code, ran.outcomes) == (3, {entry_id: "waiting"})
    assert "is frozen again" in ran.out
    assert shown(sandbox, entry_id) == sandbox.placeholder
    # Where it was not to be read, it is asked for at once: the next look may show it as readable again.
    assert restores(sandbox) == (via == "upload")
    assert run(*command).outcomes == {entry_id: "waiting"}
    sandbox.s3.thaw(entry_id)
    assert run(*command).outcomes == {entry_id: "done"}
    assert shown(sandbox, entry_id) == video


def test_verify_asks_each_class_as_it_wants_to_be_asked(sandbox: Sandbox, run: Run, monkeypatch: Any) -> None:
    use_lock(monkeypatch)
    frozen = {sandbox.add(State.ARCHIVED, storage_class=name): name for name in ("GLACIER", "DEEP_ARCHIVE", TIERED)}
    tiered = next(entry_id for entry_id, name in frozen.items() if name == TIERED)
    sandbox.s3.freeze(tiered, "DEEP_ARCHIVE_ACCESS")
    words = [*(word for entry_id in frozen for word in ("--id", entry_id)), "--no-dry-run"]
    ran = run("verify", *words)
    assert set(ran.outcomes.values()) == {"waiting"}
    assert f"frozen (--request asks it to thaw) in {TIERED} (DEEP_ARCHIVE_ACCESS)" in ran.out
    assert set(run("verify", *words, "--request").outcomes.values()) == {"waiting"}
    sandbox.control.clock.advance(49 * HOUR)
    assert set(run("verify", *words).outcomes.values()) == {"done"}


def _ahead(sandbox: Sandbox) -> Any:
    return types.SimpleNamespace(**{**vars(time), "time": sandbox.control.clock.now})
