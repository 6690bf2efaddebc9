"""Objects of the old tool are adopted with proof, without a thaw and without reading them (design 3, legacy)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import pytest
from looking import content_id, mark_of, proof, state_of

from kaltura_archiver.model import ARCHIVED_TAG, State
from kaltura_archiver.sandbox.control import Request
from kaltura_archiver.sandbox.world import Sandbox

Run = Callable[..., Any]
MiB = 2**20


def _legacy(
    sandbox: Sandbox,
    content: bytes,
    *,
    stored: bytes | None = None,
    tags: str = f"lecture, {ARCHIVED_TAG}",
    exact_size: bool = True,
    **details: Any,
) -> str:
    """An entry as the old tool left it: an object with neither metadata nor tags."""
    entry = sandbox.kaltura.add_entry(content, tags=tags, created_at=1_500_000_000, exact_size=exact_size)
    # S3 keeps no checksum of objects as old as these.
    sandbox.s3.put(entry.id, content if stored is None else stored, checksum=False, **details)
    return entry.id


def _big(sandbox: Sandbox, size: int) -> bytes:
    """Content that is not the same in every part."""
    seed = sandbox.video()
    return b"".join(hashlib.sha256(seed + bytes([n])).digest() * 32768 for n in range(size // MiB)) + seed


def _reads(sandbox: Sandbox, entry_id: str) -> list[Request]:
    return [r for r in sandbox.control.requests("s3.GetObject") if r.subject == entry_id]


def _assert_adopted(sandbox: Sandbox, run: Run, entry_id: str, content: bytes) -> None:
    before = sandbox.s3.body(entry_id)
    dry = run("s3copy", "--id", entry_id)
    assert dry.outcomes == {entry_id: "would"}
    assert "would read the original once and compare" in dry.out
    assert sandbox.control.writes() == []
    done = run("s3copy", "--id", entry_id, "--no-dry-run")
    assert done.outcomes == {entry_id: "done"}, done.err
    assert sandbox.s3.body(entry_id) == before
    original = sandbox.kaltura.original(entry_id)
    assert original is not None
    tags = sandbox.s3.tags(entry_id)
    assert tags["sha256"] == hashlib.sha256(content).hexdigest()
    assert tags["flavor"] == f"{original.id}@{original.version}"
    # The object itself was neither read, thawed nor written; the original was read once.
    assert _reads(sandbox, entry_id) == []
    assert {r.operation for r in sandbox.control.writes() if r.server == "s3"} == {"s3.PutObjectTagging"}
    assert len(sandbox.control.requests("file.GET")) == 1
    assert ARCHIVED_TAG in sandbox.kaltura.entries[entry_id].tags
    assert run("s3copy", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "already"}


def test_what_is_only_read_to_prove_a_copy_is_told(sandbox: Sandbox, run: Run) -> None:
    content = sandbox.video()
    entry_id = _legacy(sandbox, content)
    read = f"{len(content)}; 1 entries"
    assert f"would 1; bytes to move 0, bytes to free 0, bytes to read {read}" in run("s3copy", "--id", entry_id).err
    planned = run("plan", "archive", "--id", entry_id, "-o", "-").err
    assert f"bytes to move 0, bytes to free 0, bytes to read {len(content)}" in planned
    acted = run("s3copy", "--id", entry_id, "--no-dry-run").err
    assert f"done 1; bytes moved 0, bytes freed 0, bytes read {read}" in acted


@pytest.mark.parametrize("storage_class", ["STANDARD", "GLACIER", "DEEP_ARCHIVE"])
@pytest.mark.parametrize("tags", [ARCHIVED_TAG, ""])
def test_an_object_in_one_piece_is_adopted_by_its_md5(
    sandbox: Sandbox, run: Run, storage_class: str, tags: str
) -> None:
    content = sandbox.video()
    entry_id = _legacy(sandbox, content, storage_class=storage_class, tags=tags)
    _assert_adopted(sandbox, run, entry_id, content)
    replaced = run("replace_video", "--id", entry_id, "--no-dry-run")
    assert replaced.outcomes == {entry_id: "done"}, replaced.err
    assert sandbox.s3.storage_class(entry_id) == storage_class


def test_an_object_in_8_mib_parts_is_adopted_by_the_md5_of_its_parts(sandbox: Sandbox, run: Run) -> None:
    content = _big(sandbox, 16 * MiB)
    entry_id = _legacy(sandbox, content, part_bytes=8 * MiB, storage_class="GLACIER")
    _assert_adopted(sandbox, run, entry_id, content)


def test_an_object_in_parts_of_another_size_is_adopted_by_what_s3_tells_of_them(sandbox: Sandbox, run: Run) -> None:
    content = _big(sandbox, 6 * MiB)
    entry_id = _legacy(sandbox, content, part_bytes=5 * MiB)
    _assert_adopted(sandbox, run, entry_id, content)


def test_an_original_of_which_only_rounded_kilobytes_are_known_is_adopted_by_its_bytes(
    sandbox: Sandbox, run: Run
) -> None:
    content = sandbox.video() * 100
    entry_id = _legacy(sandbox, content, exact_size=False)
    _assert_adopted(sandbox, run, entry_id, content)
    assert run("replace_video", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "done"}


@pytest.mark.parametrize("part_bytes", [None, 8 * MiB])
@pytest.mark.parametrize("storage_class", ["STANDARD", "GLACIER"])
def test_an_object_of_the_same_size_with_other_bytes_is_refused_and_not_tagged(
    sandbox: Sandbox, run: Run, part_bytes: int | None, storage_class: str
) -> None:
    content = _big(sandbox, 8 * MiB) if part_bytes else sandbox.video()
    other = content[:-100] + bytes(100)
    entry_id = _legacy(
        sandbox, content, stored=other, part_bytes=part_bytes, storage_class=storage_class, tags="lecture"
    )
    refused = run("s3copy", "--id", entry_id, "--no-dry-run", "--accept-size-match")
    assert (refused.code, refused.outcomes) == (3, {entry_id: "refused"})
    # Recorded is only that they differ: from now on the state says so.
    assert sandbox.s3.tags(entry_id) == {"differs": content_id(sandbox, entry_id)}
    assert [(r.operation, r.subject) for r in sandbox.control.writes()] == [
        ("s3.PutObject", mark_of(sandbox, entry_id)),
        ("s3.PutObjectTagging", entry_id),
    ]
    assert sandbox.s3.body(entry_id) == other
    assert sandbox.kaltura.entries[entry_id].tags == "lecture"
    assert state_of(run, entry_id) == "diverged"
    assert run("s3copy", "--id", entry_id, "--no-dry-run", "--accept-size-match").outcomes == {entry_id: "refused"}


def test_within_three_percent_but_other_bytes_is_refused(sandbox: Sandbox, run: Run) -> None:
    """What the old tool's test would have let through."""
    content = sandbox.video() * 100
    entry_id = _legacy(sandbox, content, stored=content + b"one more byte", exact_size=False)
    assert run("health", "--id", entry_id).rows[0]["size_match"] == "True"
    refused = run("s3copy", "--id", entry_id, "--no-dry-run", "--accept-size-match")
    assert refused.outcomes == {entry_id: "refused"}
    assert [(r.operation, r.subject) for r in sandbox.control.writes()] == [
        ("s3.PutObject", mark_of(sandbox, entry_id)),
        ("s3.PutObjectTagging", entry_id),
    ]
    assert sandbox.s3.tags(entry_id) == {"differs": content_id(sandbox, entry_id)}
    assert run("replace_video", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "refused"}


@pytest.mark.parametrize("part_bytes", [None, 1000])
def test_a_kms_object_that_can_be_read_is_read_back(sandbox: Sandbox, run: Run, part_bytes: int | None) -> None:
    sandbox.s3.settings.kms = True
    content = sandbox.video()
    entry_id = _legacy(sandbox, content, part_bytes=part_bytes)
    done = run("s3copy", "--id", entry_id, "--no-dry-run")
    assert done.outcomes == {entry_id: "done"}, done.err
    assert "they are read back" in done.err
    assert sandbox.s3.tags(entry_id)["proof"] == proof(sandbox, entry_id, "read", content)
    assert run("replace_video", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "done"}

    other = _legacy(sandbox, content, part_bytes=part_bytes, stored=content[:-1] + b"?")
    assert run("s3copy", "--id", other, "--no-dry-run", "--accept-size-match").outcomes == {other: "refused"}
    assert state_of(run, other) == "diverged"


@pytest.mark.parametrize("part_bytes", [None, 1000])
def test_a_frozen_kms_object_is_adopted_only_if_the_operator_accepts_its_size(
    sandbox: Sandbox, run: Run, part_bytes: int | None
) -> None:
    sandbox.s3.settings.kms = True
    content = sandbox.video()
    entry_id = _legacy(sandbox, content, part_bytes=part_bytes, storage_class="GLACIER")
    refused = run("s3copy", "--id", entry_id, "--no-dry-run")
    assert (refused.code, refused.outcomes) == (3, {entry_id: "refused"})
    assert "--accept-size-match" in refused.out
    assert sandbox.s3.tags(entry_id) == {"undecided": content_id(sandbox, entry_id)}
    assert run("replace_video", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "refused"}
    assert {request.operation for request in sandbox.control.writes()} == {"s3.PutObjectTagging"}

    accepted = run("s3copy", "--id", entry_id, "--no-dry-run", "--accept-size-match")
    assert accepted.outcomes == {entry_id: "done"}
    tags = sandbox.s3.tags(entry_id)
    assert tags["accepted"] == "size"
    assert "undecided" not in tags
    assert tags["sha256"] == hashlib.sha256(content).hexdigest()
    assert tags["proof"] == proof(sandbox, entry_id, "accepted", content)
    assert run("replace_video", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "done"}
    assert run("restore", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "waiting"}
    sandbox.s3.thaw(entry_id)
    back = run("restore", "--id", entry_id, "--no-dry-run")
    assert back.outcomes == {entry_id: "done"}, back.err
    original = sandbox.kaltura.original(entry_id)
    assert original is not None
    assert sandbox.kaltura.content(original.id) == content


def test_what_cannot_be_decided_is_read_once_and_not_night_after_night(sandbox: Sandbox, run: Run) -> None:
    sandbox.s3.settings.kms = True
    entry_id = _legacy(sandbox, sandbox.video(), storage_class="GLACIER")
    told = "refused 1 (1 frozen and not to be compared: verify --request, or s3copy --accept-size-match);"
    for acting in ((), ("--no-dry-run",)):
        assert run("s3copy", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "refused"}
        ran = run("s3copy", "--id", entry_id, *acting)
        assert (ran.outcomes, told in ran.err) == ({entry_id: "refused"}, True)
        ran = run("replace_video", "--id", entry_id, *acting)
        assert (ran.outcomes, told in ran.err) == ({entry_id: "refused"}, True)
    assert len(sandbox.control.requests("file.GET")) == 1
    assert sandbox.control.requests("s3.RestoreObject") == []
    # Another version of the original is another question.
    original = sandbox.kaltura.original(entry_id)
    assert original is not None
    original.version += 10
    assert run("s3copy", "--id", entry_id).outcomes == {entry_id: "would"}
    original.version -= 10
    # What is said to help does.
    assert run("verify", "--id", entry_id, "--request", "--no-dry-run").outcomes == {entry_id: "waiting"}
    assert run("s3copy", "--id", entry_id).outcomes == {entry_id: "refused"}
    sandbox.s3.thaw(entry_id)
    assert run("s3copy", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "done"}
    assert "undecided" not in sandbox.s3.tags(entry_id)
    assert run("replace_video", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "done"}


def test_replace_refuses_what_is_only_likely_and_says_what_proves_it(sandbox: Sandbox, run: Run) -> None:
    entry_id = _legacy(sandbox, sandbox.video())
    refused = run("replace_video", "--id", entry_id, "--no-dry-run", "--allow-in-place")
    assert (refused.code, refused.outcomes) == (3, {entry_id: "refused"})
    assert "likely" in refused.out
    assert "run s3copy" in refused.out
    assert "refused 1 (1 to be proven: s3copy);" in refused.err
    assert sandbox.control.writes() == []


def test_an_old_placeholder_is_restored_and_then_certain(sandbox: Sandbox, run: Run) -> None:
    content = sandbox.video()
    entry = sandbox.kaltura.add_entry(sandbox.placeholder, tags="archived_to_s3, flavors_deleted", created_at=1)
    sandbox.s3.put(entry.id, content, checksum=False)
    back = run("restore", "--id", entry.id, "--no-dry-run")
    assert back.outcomes == {entry.id: "done"}, back.err
    original = sandbox.kaltura.original(entry.id)
    assert original is not None
    assert sandbox.kaltura.content(original.id) == content
    assert sandbox.s3.tags(entry.id)["flavor"] == f"{original.id}@{original.version}"
    assert sandbox.kaltura.entries[entry.id].tags == "archived_to_s3"
    # The placeholder is no loss.
    assert sandbox.s3.keys() == [entry.id]


# What is never archived, and never overwritten


@pytest.mark.parametrize("exact_size", [True, False])
def test_the_placeholder_is_never_archived_as_an_original(sandbox: Sandbox, run: Run, exact_size: bool) -> None:
    """An interrupted run of the old tool: the placeholder in an entry without tags, and no object."""
    entry = sandbox.kaltura.add_entry(sandbox.placeholder, tags="lecture", exact_size=exact_size)
    refused = run("s3copy", "--id", entry.id, "--no-dry-run")
    assert (refused.code, refused.outcomes) == (3, {entry.id: "refused"})
    assert "placeholder" in refused.out
    assert sandbox.s3.keys() == []
    assert sandbox.control.writes() == []
    assert entry.tags == "lecture"


def test_a_video_that_has_only_the_placeholders_size_is_archived(sandbox: Sandbox, run: Run) -> None:
    content = bytes(reversed(sandbox.placeholder))
    entry = sandbox.kaltura.add_entry(content)
    assert run("s3copy", "--id", entry.id, "--no-dry-run").outcomes == {entry.id: "done"}
    assert sandbox.s3.body(entry.id) == content
    # It is told from the placeholder ever after.
    assert run("health", "--id", entry.id).rows[0]["message"].startswith("archived")


@pytest.mark.parametrize("size", [4000, 17 * MiB])
def test_an_object_that_appears_meanwhile_is_not_overwritten(
    sandbox: Sandbox, run: Run, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kaltura_archiver.transfer.chunks.MAX_WHOLE_BYTES", 8 * MiB)
    content = _big(sandbox, size) if size > MiB else sandbox.video()
    entry_id = sandbox.add(State.INITIAL, content=content)
    last = "s3.PutObject" if size < MiB else "s3.CompleteMultipartUpload"
    sandbox.control.add_fault(last, before=lambda _: sandbox.s3.put(entry_id, b"somebody else's"))
    failed = run("s3copy", "--id", entry_id, "--no-dry-run")
    assert (failed.code, failed.outcomes) == (1, {entry_id: "failed"})
    assert "never overwritten" in failed.out
    assert sandbox.s3.body(entry_id) == b"somebody else's"
    assert sandbox.s3.tags(entry_id) == {}
    assert sandbox.s3.uploads() == []
    assert ARCHIVED_TAG not in sandbox.kaltura.entries[entry_id].tags
    assert run("s3copy", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "refused"}


@pytest.mark.parametrize("fault", ["garbage", "http_500", "drop_before"])
def test_a_look_at_the_parts_that_was_not_answered_decides_nothing(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    content = _big(sandbox, 20 * MiB)
    entry_id = _legacy(sandbox, content, part_bytes=5 * MiB, storage_class="GLACIER")
    sandbox.control.add_fault("s3.HeadObject", fault, skip=1, times=20)
    ran = run("s3copy", "--id", entry_id, "--no-dry-run")
    assert ran.outcomes == {entry_id: "failed"}, ran.err
    assert sandbox.s3.tags(entry_id) == {}
    sandbox.control.clear_faults()
    assert run("s3copy", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "done"}
