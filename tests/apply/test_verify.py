"""`verify` reads stored copies back and says whether they are whole; `health` and the other commands rely on it.

Facts about S3: what-runs.md 1a, 1b. The command: design.md 3 (identity, tags of the object) and 1 (exit codes).
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

import pytest
from conftest import Run
from looking import big, content_id, do_not_wait, shown, state_of

from kaltura_archiver.cli import cli
from kaltura_archiver.sandbox.world import Sandbox

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
MAY_CHANGE = {"s3.PutObjectTagging", "s3.RestoreObject"}
LEGACY_PART = 8 * 2**20


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    do_not_wait(monkeypatch)


def verify(sandbox: Sandbox, run: Run, *arguments: object) -> Any:
    """Run `verify --no-dry-run`, which never writes a stored copy and never changes anything in Kaltura."""
    before = len(sandbox.control.writes())
    ran = run("verify", *arguments, "--no-dry-run")
    stored = [r for r in sandbox.control.writes()[before:] if r.server == "s3"]
    assert {r.operation for r in stored if not r.subject.startswith("suspect/")} <= MAY_CHANGE
    changed = {r.operation for r in sandbox.control.writes()[before:] if r.server == "kaltura"}
    assert changed <= {"appToken.startSession", "session.startWidgetSession", "session.start"}
    return ran


def damage(sandbox: Sandbox, entry_id: str, **details: Any) -> bytes:
    """One bit of the stored copy flips; S3 does not notice, its tags stay. The damaged bytes."""
    body = sandbox.s3.body(entry_id)
    assert body is not None
    broken = body[:100] + bytes([body[100] ^ 1]) + body[101:]
    tags, metadata = sandbox.s3.tags(entry_id), sandbox.s3.metadata(entry_id)
    sandbox.s3.put(entry_id, broken, tags=tags, metadata=metadata, **details)
    return broken


def mend(sandbox: Sandbox, entry_id: str, video: bytes) -> None:
    """As if the older version of the object were put back, by a person."""
    sandbox.s3.put(entry_id, video, tags=sandbox.s3.tags(entry_id), metadata=sandbox.s3.metadata(entry_id))


def message_of(run: Run, entry_id: str) -> tuple[int, str]:
    ran = run("health", "--id", entry_id)
    return ran.code, ran.rows[0]["message"]


@pytest.mark.parametrize("size_mebibytes", [0, 3])
def test_a_whole_copy_is_told_and_when_that_was_is_kept(sandbox: Sandbox, run: Run, size_mebibytes: int) -> None:
    """design.md 3: object tags may be set at any time and keep the others."""
    video = big(sandbox, size_mebibytes) if size_mebibytes else sandbox.video()
    entry_id = sandbox.add("archived", content=video)
    tags = sandbox.s3.tags(entry_id)
    assert message_of(run, entry_id) == (0, "archived: HEALTHY, verified never")
    ran = verify(sandbox, run, "--id", entry_id)
    assert (ran.code, ran.outcomes) == (0, {entry_id: "done"})
    assert hashlib.sha256(video).hexdigest() in ran.rows[0]["detail"]
    assert ran.rows[0]["bytes_moved"] == str(len(video))
    when = sandbox.s3.tags(entry_id)["verified-at"]
    assert TIME.fullmatch(when)
    assert sandbox.s3.tags(entry_id) == {**tags, "verified-at": when}
    assert message_of(run, entry_id) == (0, f"archived: HEALTHY, verified {when[:10]}")
    (row,) = run("health", "--id", entry_id, "--columns", "verified_at,state").rows
    assert row == {"verified_at": when, "state": "archived"}
    # Verified or not, it is as certain as before.
    assert run("replace_video", "--id", entry_id).outcomes == {entry_id: "would"}


def test_the_copy_of_a_placeholder_is_verified_too_and_restored_after_that(sandbox: Sandbox, run: Run) -> None:
    video = sandbox.video()
    entry_id = sandbox.add("placeholder", content=video)
    assert verify(sandbox, run, "--id", entry_id).outcomes == {entry_id: "done"}
    assert state_of(run, entry_id) == "placeholder"
    assert run("restore", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "done"}
    assert shown(sandbox, entry_id) == video
    assert TIME.fullmatch(sandbox.s3.tags(entry_id)["verified-at"])


@pytest.mark.parametrize("state", ["archived", "placeholder"])
def test_one_flipped_bit_is_a_mismatch_and_nothing_rests_on_that_copy_any_more(
    sandbox: Sandbox, run: Run, state: str
) -> None:
    """design.md 5: nothing irreversible without a proven copy. A later whole copy settles it."""
    video = sandbox.video()
    entry_id = sandbox.add(state, content=video)
    assert verify(sandbox, run, "--id", entry_id).code == 0
    broken = damage(sandbox, entry_id)
    before = content_id(sandbox, entry_id)
    ran = verify(sandbox, run, "--id", entry_id)
    assert (ran.code, ran.outcomes) == (1, {entry_id: "failed"})
    assert "MISMATCH" in ran.rows[0]["detail"]
    assert "MISMATCH" in ran.err
    tags = sandbox.s3.tags(entry_id)
    assert TIME.fullmatch(tags["damaged-at"])
    assert "verified-at" not in tags
    assert sandbox.s3.body(entry_id) == broken

    code, message = message_of(run, entry_id)
    assert code == 1
    assert message.endswith(f", DAMAGED {tags['damaged-at'][:10]}")
    assert "HEALTHY" not in message
    for command in ("replace_video", "restore", "repair", "s3copy"):
        run(command, "--id", entry_id, "--no-dry-run")
        assert content_id(sandbox, entry_id) == before, command
    assert run("replace_video", "--id", entry_id, "--no-dry-run").outcomes[entry_id] != "done"
    assert sandbox.control.requests("media.updateContent") == []
    assert sandbox.control.requests("flavorAsset.delete") == []

    mend(sandbox, entry_id, video)
    assert message_of(run, entry_id)[0] == 1  # only a reading clears it
    assert verify(sandbox, run, "--id", entry_id).outcomes == {entry_id: "done"}
    tags = sandbox.s3.tags(entry_id)
    assert "damaged-at" not in tags
    assert TIME.fullmatch(tags["verified-at"])
    assert message_of(run, entry_id)[0] == 0
    command = "replace_video" if state == "archived" else "restore"
    assert run(command, "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "done"}


def test_a_copy_that_is_longer_or_shorter_than_what_was_archived_is_a_mismatch(sandbox: Sandbox, run: Run) -> None:
    for change in (lambda video: video[:-1], lambda video: video + b"x"):
        entry_id = sandbox.add("placeholder")
        body = sandbox.s3.body(entry_id)
        assert body is not None
        sandbox.s3.put(entry_id, change(body), tags=sandbox.s3.tags(entry_id))
        ran = verify(sandbox, run, "--id", entry_id)
        assert (ran.code, ran.outcomes) == (1, {entry_id: "failed"})
        assert "MISMATCH" in ran.rows[0]["detail"]


def test_a_byte_that_changed_only_on_the_way_is_no_damage_of_the_copy(sandbox: Sandbox, run: Run) -> None:
    """A verdict that says so of the object would set a person searching for older versions."""
    entry_id = sandbox.add("archived", content=big(sandbox, 1))
    sandbox.control.add_fault("s3.GetObject", "flip")
    ran = verify(sandbox, run, "--id", entry_id)
    assert (ran.code, ran.outcomes) == (0, {entry_id: "done"})
    assert "damaged-at" not in sandbox.s3.tags(entry_id)
    assert len(sandbox.control.requests("s3.GetObject")) == 2


def test_a_way_that_changes_bytes_again_and_again_is_a_mismatch_that_a_later_run_clears(
    sandbox: Sandbox, run: Run
) -> None:
    entry_id = sandbox.add("archived", content=big(sandbox, 1))
    fault = sandbox.control.add_fault("s3.GetObject", "flip", times=100)
    ran = verify(sandbox, run, "--id", entry_id)
    assert (ran.code, ran.outcomes) == (1, {entry_id: "failed"})
    assert fault.times == 98
    assert "damaged-at" in sandbox.s3.tags(entry_id)
    sandbox.control.clear_faults()
    assert verify(sandbox, run, "--id", entry_id).outcomes == {entry_id: "done"}
    assert "damaged-at" not in sandbox.s3.tags(entry_id)


@pytest.mark.parametrize("kind", ["cut_short", "cut"])
def test_a_reading_that_is_cut_goes_on_where_it_stopped(sandbox: Sandbox, run: Run, kind: str) -> None:
    video = big(sandbox, 3)
    entry_id = sandbox.add("archived", content=video)
    sandbox.control.add_fault("s3.GetObject", kind, times=2)
    ran = verify(sandbox, run, "--id", entry_id)
    assert ran.outcomes == {entry_id: "done"}, ran.err
    starts = [
        int(r.parameters["range"].removeprefix("bytes=").removesuffix("-"))
        for r in sandbox.control.requests("s3.GetObject")
    ]
    assert starts[0] == 0
    assert starts[1] < starts[2] < len(video)
    assert starts[1] > 0


def test_an_s3_that_cannot_be_read_is_a_failure_and_no_damage(sandbox: Sandbox, run: Run) -> None:
    """what-runs.md 1b: throttling. An error is neither a verdict nor "does not exist"."""
    entry_id = sandbox.add("archived")
    sandbox.s3.settings.deny.add("GetObject")
    ran = verify(sandbox, run, "--id", entry_id)
    assert (ran.code, ran.outcomes) == (1, {entry_id: "failed"})
    assert "access denied" in ran.rows[0]["detail"]
    assert set(sandbox.s3.tags(entry_id)) == {"sha256", "flavor", "proof"}


def test_a_copy_exchanged_while_it_is_read_is_not_called_damaged(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add("archived", content=big(sandbox, 3))
    other = big(sandbox, 3)
    sandbox.control.add_fault("s3.GetObject", "cut_short", after=lambda _: sandbox.s3.put(entry_id, other))
    ran = verify(sandbox, run, "--id", entry_id)
    assert (ran.code, ran.outcomes) == (1, {entry_id: "failed"})
    assert "changed or removed" in ran.rows[0]["detail"]
    assert sandbox.s3.tags(entry_id) == {}


# Dry runs


def test_a_dry_run_reads_and_tells_what_it_found_and_records_nothing(sandbox: Sandbox, run: Run) -> None:
    video = sandbox.video()
    whole, broken = sandbox.add("archived", content=video), sandbox.add("archived")
    damage(sandbox, broken)
    tags = {entry_id: sandbox.s3.tags(entry_id) for entry_id in (whole, broken)}
    keys = list(sandbox.s3.keys())
    ran = run("verify", "--id", whole, "--id", broken)
    assert (ran.code, ran.outcomes) == (1, {whole: "would", broken: "failed"})
    about = {row["entry_id"]: row for row in ran.rows}
    assert about[whole]["detail"].startswith("would record that it is whole: SHA-256 agrees")
    assert hashlib.sha256(video).hexdigest() in about[whole]["detail"]
    assert about[whole]["bytes_moved"] == str(len(video))
    assert "MISMATCH" in about[broken]["detail"]
    assert "; --no-dry-run marks it, so that nothing rests on it" in about[broken]["detail"]
    assert f"DRYRUN entry {broken} verify failed: MISMATCH" in ran.err
    assert re.search(r"nothing was changed; to act: kaltura-archiver verify .*--no-dry-run$", ran.err.rstrip())
    assert sandbox.control.writes() == []
    assert {entry_id: sandbox.s3.tags(entry_id) for entry_id in tags} == tags
    assert list(sandbox.s3.keys()) == keys
    assert message_of(run, whole) == (0, "archived: HEALTHY, verified never")


def test_a_dry_run_tells_what_a_thaw_would_cost_and_asks_for_none(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add("archived", storage_class="GLACIER")
    assert run("verify", "--id", entry_id).outcomes == {entry_id: "waiting"}
    ran = run("verify", "--id", entry_id, "--request", "--tier", "standard")
    assert (ran.code, ran.outcomes) == (0, {entry_id: "would"})
    assert "would request a restore from Glacier (GLACIER, tier standard" in ran.rows[0]["detail"]
    assert re.search(r"cost: thawing .*standard <0.01 USD", ran.err)
    assert sandbox.control.writes() == []
    assert sandbox.control.requests("s3.GetObject") == []


# Glacier


@pytest.mark.parametrize("storage_class", ["GLACIER", "DEEP_ARCHIVE"])
def test_a_frozen_copy_is_not_readable_now(sandbox: Sandbox, run: Run, storage_class: str) -> None:
    entry_id = sandbox.add("archived", storage_class=storage_class)
    ran = verify(sandbox, run, "--id", entry_id)
    assert (ran.code, ran.outcomes) == (3, {entry_id: "waiting"})
    assert "not readable now" in ran.rows[0]["detail"]
    assert [r for r in sandbox.control.writes() if r.server == "s3"] == []
    assert sandbox.control.requests("s3.GetObject") == []
    assert message_of(run, entry_id) == (0, "archived: HEALTHY, verified never")


def test_request_asks_a_frozen_copy_to_thaw_once_and_verifies_it_then(sandbox: Sandbox, run: Run) -> None:
    """what-runs.md 1b: a second request meets RestoreAlreadyInProgress; a thawed copy keeps its class."""
    entry_id = sandbox.add("archived", storage_class="GLACIER")
    ran = verify(sandbox, run, "--id", entry_id, "--request", "--tier", "standard", "--days", "3")
    assert (ran.code, ran.outcomes) == (3, {entry_id: "waiting"})
    assert "requested (tier standard, 3 days)" in ran.rows[0]["detail"]
    assert "run verify again" in ran.rows[0]["detail"]
    ran = verify(sandbox, run, "--id", entry_id, "--request")
    assert (ran.code, ran.outcomes) == (3, {entry_id: "waiting"})
    assert "not readable now: thawing in GLACIER" in ran.rows[0]["detail"]
    assert len(sandbox.control.requests("s3.RestoreObject")) == 1
    sandbox.s3.thaw(entry_id)
    ran = verify(sandbox, run, "--id", entry_id)
    assert (ran.code, ran.outcomes) == (0, {entry_id: "done"})
    sandbox.s3.expire(entry_id)
    assert verify(sandbox, run, "--id", entry_id).outcomes == {entry_id: "waiting"}
    # What was found out stays known.
    assert "verified-at" in sandbox.s3.tags(entry_id)


def test_request_of_a_tier_that_the_class_has_not_is_refused_without_asking(sandbox: Sandbox, run: Run) -> None:
    """what-runs.md 1b: DEEP_ARCHIVE has no Expedited."""
    entry_id = sandbox.add("archived", storage_class="DEEP_ARCHIVE")
    ran = verify(sandbox, run, "--id", entry_id, "--request", "--tier", "expedited")
    assert (ran.code, ran.outcomes) == (3, {entry_id: "refused"})
    assert sandbox.control.requests("s3.RestoreObject") == []


# Which ones


@pytest.mark.parametrize(("sample", "read"), [("3", 3), ("25%", 2), ("26%", 3), ("0.1%", 1), ("100%", 8), ("99", 8)])
def test_a_sample_reads_so_many_and_at_least_one(sandbox: Sandbox, run: Run, sample: str, read: int) -> None:
    ids = {sandbox.add("archived") for _ in range(8)}
    ran = verify(sandbox, run, "--tag", "archived_to_s3", "--sample", sample)
    assert ran.code == 0
    assert len(ran.outcomes) == read
    assert set(ran.outcomes) <= ids
    assert {r.subject for r in sandbox.control.requests("s3.GetObject")} == set(ran.outcomes)


def test_a_sample_is_another_one_each_time(sandbox: Sandbox, run: Run) -> None:
    for _ in range(12):
        sandbox.add("archived", storage_class="GLACIER")
    drawn = {frozenset(verify(sandbox, run, "--tag", "archived_to_s3", "--sample", "6").outcomes) for _ in range(4)}
    assert len(drawn) > 1


def test_a_sample_is_one_of_all_that_match(sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """And not of the oldest 500 only, for ever."""
    option = next(param for param in cli.commands["verify"].params if param.name == "max_entries")
    monkeypatch.setattr(option, "default", 2)
    for _ in range(4):
        sandbox.add("archived")
    ran = verify(sandbox, run, "--tag", "archived_to_s3", "--sample", "75%")
    assert (ran.code, len(ran.outcomes)) == (0, 3)
    # Who says a limit means it.
    ran = verify(sandbox, run, "--tag", "archived_to_s3", "--sample", "50%", "--max-entries", 2)
    assert (ran.code, len(ran.outcomes)) == (0, 1)


@pytest.mark.parametrize("sample", ["0", "-1", "101%", "x", "1.5", "", "0%", "nan"])
def test_a_sample_that_is_none_is_a_usage_error_before_anything_is_asked(
    sandbox: Sandbox, run: Run, sample: str
) -> None:
    ran = run("verify", "--sample", sample)
    assert ran.code == 2
    assert ran.out == ""
    assert "--sample" in ran.err
    assert sandbox.control.requests() == []


def test_each_entry_gets_its_own_verdict_and_the_worst_is_the_exit_code(sandbox: Sandbox, run: Run) -> None:
    whole, frozen = sandbox.add("archived"), sandbox.add("placeholder", storage_class="GLACIER")
    broken, initial = sandbox.add("archived"), sandbox.add("initial")
    damage(sandbox, broken)
    ran = verify(sandbox, run, "--all")
    assert ran.code == 1
    assert ran.outcomes == {whole: "done", frozen: "waiting", broken: "failed", initial: "skipped"}
    assert re.search(r"summary: done 1, waiting 1, skipped 1, failed 1; bytes read \d+; 4 entries", ran.err)


def test_what_a_dry_run_has_read_is_not_told_as_still_to_come(sandbox: Sandbox, run: Run) -> None:
    video = sandbox.video()
    entry_id = sandbox.add("archived", content=video)
    told = run("verify", "--id", entry_id).err.splitlines()[-1]
    assert f"summary: would 1; bytes read {len(video)}; 1 entries" in told
    assert "; cost of this: " in told
    frozen = sandbox.add("archived", content=video, storage_class="GLACIER")
    told = run("verify", "--id", frozen, "--request").err.splitlines()[-1]
    assert f"summary: would 1; bytes read 0, bytes to thaw {len(video)}; 1 entries" in told
    assert "; cost: thawing bulk " in told


def test_an_entry_without_a_copy_fails_under_a_tag_and_is_skipped_without(sandbox: Sandbox, run: Run) -> None:
    unbacked, lost, initial = sandbox.add("unbacked"), sandbox.add("lost"), sandbox.add("initial")
    ran = verify(sandbox, run, "--id", unbacked, "--id", lost, "--id", initial)
    assert ran.code == 1
    assert ran.outcomes == {unbacked: "failed", lost: "failed", initial: "skipped"}
    assert verify(sandbox, run, "--id", initial).code == 0


# Copies of the old tool


@pytest.mark.parametrize("part_bytes", [None, LEGACY_PART])
def test_a_legacy_copy_is_verified_by_its_etag(sandbox: Sandbox, run: Run, part_bytes: int | None) -> None:
    """design.md 3: no metadata, no tags, no checksum; boto3's parts of 8 MiB."""
    video = big(sandbox, 9 if part_bytes else 1)
    entry_id = sandbox.kaltura.add_entry(video, tags="archived_to_s3").id
    sandbox.s3.put(entry_id, video, part_bytes=part_bytes, checksum=False)
    ran = verify(sandbox, run, "--id", entry_id)
    assert (ran.code, ran.outcomes) == (0, {entry_id: "done"})
    assert "ETag" in ran.rows[0]["detail"]
    # What was read is whole; whose it is was not the question.
    assert set(sandbox.s3.tags(entry_id)) == {"verified-at"}


def test_a_legacy_copy_that_lost_a_byte_is_found_by_its_etag(sandbox: Sandbox, run: Run) -> None:
    """The bytes are not those that the ETag was made of."""
    video = big(sandbox, 9)
    entry_id = sandbox.kaltura.add_entry(video, tags="archived_to_s3").id
    sandbox.s3.put(entry_id, video, part_bytes=LEGACY_PART, checksum=False)
    sandbox.control.add_fault("s3.GetObject", "flip", times=2)
    ran = verify(sandbox, run, "--id", entry_id)
    assert (ran.code, ran.outcomes) == (1, {entry_id: "failed"})
    assert "MISMATCH" in ran.rows[0]["detail"]
    assert "MD5 (ETag) differs" in ran.rows[0]["detail"]


def test_a_kms_encrypted_legacy_copy_has_nothing_to_be_compared_with(sandbox: Sandbox, run: Run) -> None:
    """design.md 3: its ETag is no MD5."""
    sandbox.s3.settings.kms = True
    video = sandbox.video()
    entry_id = sandbox.kaltura.add_entry(video, tags="archived_to_s3").id
    sandbox.s3.put(entry_id, video, checksum=False)
    ran = verify(sandbox, run, "--id", entry_id)
    assert (ran.code, ran.outcomes) == (3, {entry_id: "refused"})
    assert "nothing to compare it with" in ran.rows[0]["detail"]
    assert sandbox.s3.tags(entry_id) == {}


def test_a_kms_encrypted_copy_of_ours_is_verified_by_its_sha256(sandbox: Sandbox, run: Run) -> None:
    sandbox.s3.settings.kms = True
    entry_id = sandbox.add("archived")
    assert verify(sandbox, run, "--id", entry_id).outcomes == {entry_id: "done"}


def test_a_copy_known_to_be_damaged_is_never_handed_to_kaltura_by_its_url(sandbox: Sandbox, run: Run) -> None:
    """Nobody looks at bytes that Kaltura fetches itself."""
    entry_id = sandbox.add("placeholder")
    damage(sandbox, entry_id)
    assert verify(sandbox, run, "--id", entry_id).code == 1
    for act in ([], ["--no-dry-run"]):
        assert run("restore", "--id", entry_id, "--via", "url", *act).outcomes == {entry_id: "refused"}
    assert sandbox.control.requests("media.updateContent") == []
    assert shown(sandbox, entry_id) == sandbox.placeholder


def test_a_copy_found_damaged_in_the_last_moment_is_not_handed_to_kaltura(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add("placeholder")
    client, bucket = sandbox.s3.client(), sandbox.s3.bucket

    def found(_: object) -> None:
        tags = {**sandbox.s3.tags(entry_id), "damaged-at": "2026-01-01T00:00:00Z"}
        tag_set = [{"Key": name, "Value": value} for name, value in tags.items()]
        client.put_object_tagging(Bucket=bucket, Key=entry_id, Tagging={"TagSet": tag_set})  # type: ignore[typeddict-item]

    sandbox.control.add_fault("s3.GetObjectTagging", "none", after=found)
    assert run("restore", "--id", entry_id, "--via", "url", "--no-dry-run").outcomes == {entry_id: "refused"}
    assert sandbox.control.requests("media.updateContent") == []


def test_an_empty_copy_is_not_well(sandbox: Sandbox, run: Run) -> None:
    """The old tool took an empty answer of the file host for the video."""
    entry_id = sandbox.add("placeholder")
    sandbox.s3.put(entry_id, b"")
    ran = run("health", "--id", entry_id)
    assert ran.code == 1
    assert "the stored copy is empty: it has 0 bytes" in ran.out
