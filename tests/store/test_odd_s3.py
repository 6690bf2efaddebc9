"""S3 services that keep less than AWS does: the cycle ends well, and a bit flipped on the way is never called good."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from looking import BOTH, Run, big, content_id, do_not_wait, read, shown, state_of, write
from odd_s3 import AWS_LIKE, Habits, OddS3, flipped

from kaltura_archiver.config import read_settings
from kaltura_archiver.errors import Changed
from kaltura_archiver.model import Availability, Proof, State
from kaltura_archiver.sandbox.world import Sandbox, crc64nvme
from kaltura_archiver.store import Store

NONE: frozenset[str] = frozenset()
SERVICES = {
    "like-aws": (AWS_LIKE, "checksum"),
    "checksums-as-aws": (Habits(), "checksum"),
    "no-type-of-checksums": (Habits(typed=False), "checksum"),
    "crc32-only": (Habits(known=frozenset({"crc32"})), "checksum"),
    "checksums-not-shown": (Habits(shown=False), "md5"),
    "checksums-unknown": (Habits(known=NONE), "md5"),
    "checksums-ignored": (Habits(checked=False, shown=False), "md5"),
    "checksums-not-checked": (Habits(checked=False), "md5"),
    "checksums-repeated": (Habits(checked=False, echoed=True), "md5"),
    "nothing-shown": (Habits(shown=False, md5_etags=False), "read"),
    "nothing-known": (Habits(known=NONE, md5_etags=False), "read"),
    "checksums-repeated-no-md5": (Habits(checked=False, echoed=True, md5_etags=False), "read"),
    "conditions-ignored": (Habits(if_match=False, if_none_match=False, shown=False), "md5"),
    "says-amazon-shows-nothing": (replace(AWS_LIKE, shown=False), "read"),
}
VIDEO_BYTES = 5_000
# In turns, so that the services of one kind of evidence have every pair among them.
IN_TURNS = [(service, "in-parts" if number % 2 else "whole") for number, service in enumerate(SERVICES)]
FLIPPED = [  # when stored, or on the way
    (service, parted, (parted == "whole") == bool(number % 2))
    for number, service in enumerate(SERVICES)
    for parted in ("whole", "in-parts")
]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    do_not_wait(monkeypatch)


Serve = Callable[[Habits], OddS3]


@pytest.fixture
def serve(run: Run, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Have the tool use a service of these habits, and a sandbox's Kaltura."""
    monkeypatch.setattr(Store, "at_aws", False)
    running: list[OddS3] = []

    def begin(habits: Habits) -> OddS3:
        running.append(OddS3(replace(habits)).__enter__())
        for name, value in running[-1].environ().items():
            monkeypatch.setenv(name, value)
        return running[-1]

    yield begin
    for odd in running:
        odd.__exit__()


@pytest.fixture(params=["whole", "in-parts"])
def parted(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    if request.param == "in-parts":
        monkeypatch.setattr("kaltura_archiver.transfer.chunks.MAX_WHOLE_BYTES", 1000)
        monkeypatch.setattr("kaltura_archiver.transfer.chunks.CHUNK_BYTES", 1000)
    return bool(request.param == "in-parts")


def lecture(sandbox: Sandbox) -> tuple[str, bytes]:
    video = (b"%s one lecture\n" % sandbox.video()[:9] * VIDEO_BYTES)[:VIDEO_BYTES]
    return sandbox.add(State.INITIAL, content=video), video


@pytest.mark.parametrize(("service", "parted"), [*IN_TURNS, ("no-type-of-checksums", "in-parts")], indirect=["parted"])
def test_the_cycle_ends_well_and_the_evidence_is_recorded(
    sandbox: Sandbox, run: Run, serve: Serve, parted: bool, service: str
) -> None:
    habits, evidence = SERVICES[service]
    if parted and not habits.typed:
        evidence = "md5"  # it could be a checksum of checksums
    odd = serve(habits)
    entry_id, video = lecture(sandbox)
    done = run("s3copy", "--id", entry_id, "--no-dry-run")
    assert done.outcomes == {entry_id: "done"}, done.err
    assert odd.objects[entry_id].body == video
    assert bool(odd.objects[entry_id].part_sizes) == parted
    tags = odd.tags_of(entry_id)
    assert tags["proof"] == f"{evidence} {crc64nvme(video)} {odd.objects[entry_id].etag}"
    assert tags["sha256"] == hashlib.sha256(video).hexdigest()
    assert done.err.count("read back") == (evidence == "read")
    assert ("GET object", entry_id) not in [r[:2] for r in odd.log] or evidence == "read"
    assert run("health", "--id", entry_id, "--verified").rows[0]["message"].startswith("archived: HEALTHY")
    replaced = run("replace_video", "--id", entry_id, "--no-dry-run")
    assert replaced.outcomes == {entry_id: "done"}, replaced.err
    assert shown(sandbox, entry_id) == sandbox.placeholder
    assert run("verify", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "done"}
    back = run("restore", "--id", entry_id, "--no-dry-run")
    assert back.outcomes == {entry_id: "done"}, back.err
    assert shown(sandbox, entry_id) == video
    assert run("repair", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "already"}
    assert run("replace_video", "--id", entry_id).outcomes == {entry_id: "would"}
    assert odd.uploads == {}


@pytest.mark.parametrize("service", ["checksums-ignored", "checksums-unknown"])
def test_copies_are_held_where_only_content_md5_will_do(
    sandbox: Sandbox, run: Run, serve: Serve, parted: bool, service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service that knows no checksums, and takes nothing that is to be held without one."""
    odd = serve(replace(SERVICES[service][0], held_by_md5=True))
    entry_id, video = lecture(sandbox)
    monkeypatch.setenv("OBJECT_LOCK", "GOVERNANCE:7")
    ran = run("-v", "s3copy", "--id", entry_id, "--no-dry-run")
    assert ran.outcomes == {entry_id: "done"}, ran.err
    assert odd.objects[entry_id].body == video
    assert "Content-MD5 is sent" in ran.err


@pytest.mark.parametrize("service", ["like-aws", "nothing-shown"])
def test_a_class_that_is_only_a_label_freezes_nothing(sandbox: Sandbox, run: Run, serve: Serve, service: str) -> None:
    """Such a service knows no RestoreObject: a copy taken for frozen would never come back."""
    odd = serve(SERVICES[service][0])
    entry_id, video = lecture(sandbox)
    assert run("s3copy", "--id", entry_id, "--storage-class", "GLACIER", "--no-dry-run").outcomes == {entry_id: "done"}
    assert odd.objects[entry_id].headers["x-amz-storage-class"] == "GLACIER"
    for command in ("replace_video", "verify", "restore"):
        ran = run(command, "--id", entry_id, "--no-dry-run")
        assert ran.outcomes == {entry_id: "done"}, ran.err
    assert shown(sandbox, entry_id) == video


@pytest.mark.parametrize(("service", "parted"), IN_TURNS, indirect=["parted"])
def test_what_was_edited_is_archived_beside_and_comes_back(
    sandbox: Sandbox, run: Run, serve: Serve, parted: bool, service: str
) -> None:
    odd = serve(SERVICES[service][0])
    entry_id, video = lecture(sandbox)
    for command in ("s3copy", "replace_video", "restore"):
        assert run(command, "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "done"}
    edited = video[::-1][: VIDEO_BYTES - 500]
    sandbox.kaltura.replace_original(entry_id, edited)
    key = f"{entry_id}@{content_id(sandbox, entry_id)}"
    for command in ("s3copy", "replace_video", "restore"):
        ran = run(command, "--id", entry_id, "--no-dry-run")
        assert ran.outcomes == {entry_id: "done"}, ran.err
        assert run("health", "--id", entry_id).code == 0
    assert shown(sandbox, entry_id) == edited
    assert {name: odd.objects[name].body for name in (entry_id, key)} == {entry_id: video, key: edited}
    assert bool(odd.objects[key].part_sizes) == parted


@pytest.mark.parametrize("service", ["nothing-shown", "checksums-not-shown"])
def test_a_bit_that_flips_in_a_copy_beside_never_makes_that_the_entrys(
    sandbox: Sandbox, run: Run, serve: Serve, service: str
) -> None:
    odd = serve(replace(SERVICES[service][0], late=True))
    entry_id, video = lecture(sandbox)
    for command in ("s3copy", "replace_video", "restore"):
        assert run(command, "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "done"}
    edited = video[::-1][: VIDEO_BYTES - 500]
    sandbox.kaltura.replace_original(entry_id, edited)
    sandbox.control.add_fault("file.GET", after=lambda _: setattr(odd.habits, "flips", 1))
    assert run("s3copy", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "failed"}
    odd.habits.flips = 0
    assert state_of(run, entry_id) == "diverged"
    for _ in range(2):  # the first one finds out, where nothing but reading tells
        ran = run("s3copy", "--id", entry_id, "--no-dry-run")
    assert set(ran.outcomes.values()) <= {"done", "already"}, ran.err
    assert state_of(run, entry_id) == "archived"
    copies = [kept.body for name, kept in odd.objects.items() if name.startswith(f"{entry_id}@")]
    assert (len(copies), edited in copies) == (2, True)
    assert odd.objects[entry_id].body == video


@pytest.mark.parametrize(("service", "parted", "late"), FLIPPED, indirect=["parted"])
def test_a_flipped_bit_is_never_called_good(
    sandbox: Sandbox, run: Run, serve: Serve, parted: bool, service: str, late: bool
) -> None:
    habits, _ = SERVICES[service]
    for flips in (1, 9):
        odd = serve(replace(habits, late=late))
        entry_id, video = lecture(sandbox)
        habits_now = odd.habits

        def flip(_: object, flips: int = flips, now: Habits = habits_now) -> None:
            now.flips = flips

        sandbox.control.add_fault("file.GET", after=flip)
        ran = run("s3copy", "--id", entry_id, "--no-dry-run")
        habits_now.flips = 0
        if ran.outcomes == {entry_id: "done"}:
            assert odd.objects[entry_id].body == video
            continue
        assert ran.outcomes == {entry_id: "failed"}
        assert run("replace_video", "--id", entry_id, "--no-dry-run").outcomes != {entry_id: "done"}
        run("s3copy", "--id", entry_id, "--no-dry-run")
        if entry_id in odd.objects and odd.objects[entry_id].body != video:
            assert run("health", "--id", entry_id).code == 1
            assert run("replace_video", "--id", entry_id, "--no-dry-run").outcomes != {entry_id: "done"}
            odd.objects.clear()  # as it is asked for
            assert run("s3copy", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "done"}
        assert odd.objects[entry_id].body == video
        assert shown(sandbox, entry_id) == video


# What S3 shows beats what its tags say


@pytest.mark.parametrize("habits", [AWS_LIKE, Habits(shown=False)], ids=["checksum", "md5"])
def test_an_object_that_somebody_overwrote_under_the_same_tags_is_not_believed(
    sandbox: Sandbox, run: Run, serve: Serve, habits: Habits
) -> None:
    odd = serve(habits)
    entry_id, video = lecture(sandbox)
    run("s3copy", "--id", entry_id, "--no-dry-run")
    kept = odd.objects[entry_id]
    other = flipped(video)
    claimed = {"crc64nvme": crc64nvme(other)}
    odd.objects[entry_id] = replace(kept, body=other, etag=hashlib.md5(other).hexdigest(), claimed=claimed)  # noqa: S324
    for no_dry_run in ([], ["--no-dry-run"]):
        ran = run("replace_video", "--id", entry_id, *no_dry_run)
        assert ran.outcomes == {entry_id: "refused"}
    assert shown(sandbox, entry_id) == video
    if habits.shown:
        ran = run("health", "--id", entry_id)
        assert (ran.code, ran.rows[0]["message"].split(":")[0]) == (1, "diverged")
        assert "overwritten" in ran.rows[0]["message"]
        assert "OVERWRITTEN" in ran.rows[0]["message"]
    assert run("s3copy", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "refused"}
    assert state_of(run, entry_id) == "diverged"
    assert shown(sandbox, entry_id) == video


def test_a_placeholder_whose_copy_was_overwritten_is_not_healthy_nor_handed_to_kaltura(
    sandbox: Sandbox, run: Run, serve: Serve
) -> None:
    odd = serve(AWS_LIKE)
    entry_id, video = lecture(sandbox)
    for command in ("s3copy", "replace_video"):
        assert run(command, "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "done"}
    other = flipped(video)
    kept = odd.objects[entry_id]
    odd.objects[entry_id] = replace(kept, body=other, claimed={"crc64nvme": crc64nvme(other)})
    assert run("health", "--id", entry_id, "--verified").code == 1
    assert run("restore", "--id", entry_id, "--via", "url", "--no-dry-run").outcomes == {entry_id: "refused"}
    assert run("restore", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "failed"}
    assert shown(sandbox, entry_id) == sandbox.placeholder


@pytest.mark.parametrize("storage_class", ["STANDARD", "GLACIER"])
@pytest.mark.parametrize(
    ("habits", "evidence"),
    [(AWS_LIKE, "checksum"), (Habits(shown=False), "md5"), (Habits(shown=False, md5_etags=False), "read")],
    ids=["checksum", "md5", "nothing"],
)
def test_copies_of_an_older_version_are_proven_once_by_s3copy(
    sandbox: Sandbox, run: Run, serve: Serve, habits: Habits, evidence: str, storage_class: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Tagged by an earlier build: with the SHA-256 of what Kaltura gave, which says nothing of what S3 has."""
    odd = serve(habits)
    monkeypatch.setattr(Store, "at_aws", True)  # where GLACIER is no mere label
    entry_id, video = lecture(sandbox)
    assert run("s3copy", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "done"}
    kept = odd.objects[entry_id]
    proof = f"<Tag><Key>proof</Key><Value>{odd.tags_of(entry_id)['proof']}</Value></Tag>"
    kept.tags = kept.tags.replace(proof, "")
    assert "proof" not in odd.tags_of(entry_id)
    kept.headers["x-amz-storage-class"] = storage_class
    refused = run("replace_video", "--id", entry_id, "--no-dry-run")
    assert refused.outcomes == {entry_id: "refused"}
    assert "no evidence is recorded that S3 has the right bytes; run s3copy to prove it" in refused.out
    assert shown(sandbox, entry_id) == video
    odd.log.clear()
    proven = run("s3copy", "--id", entry_id, "--no-dry-run")
    read = "GET object" in odd.operations(entry_id)
    if evidence == "read" and storage_class == "GLACIER":
        assert proven.outcomes == {entry_id: "refused"}
        assert "verify --request" in proven.out
        assert not read
        return
    assert proven.outcomes == {entry_id: "done"}, proven.err
    assert read == (evidence == "read")
    assert odd.tags_of(entry_id)["proof"].startswith(f"{evidence} ")
    assert run("replace_video", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "done"}


def test_a_copy_of_an_older_version_is_proven_by_verify_too(sandbox: Sandbox, run: Run, serve: Serve) -> None:
    odd = serve(Habits(shown=False, md5_etags=False))
    entry_id, _ = lecture(sandbox)
    assert run("s3copy", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "done"}
    kept = odd.objects[entry_id]
    kept.tags = kept.tags.replace("<Key>proof</Key>", "<Key>other</Key>")
    assert run("replace_video", "--id", entry_id).outcomes == {entry_id: "refused"}
    assert run("verify", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "done"}
    assert odd.tags_of(entry_id)["proof"].startswith("read ")
    assert run("replace_video", "--id", entry_id).outcomes == {entry_id: "would"}


def test_a_guessed_part_size_proves_no_difference(sandbox: Sandbox, run: Run, serve: Serve, parted: bool) -> None:
    """Parts that are not boto3's, of a service that does not tell their size: the copy is read."""
    odd = serve(replace(AWS_LIKE, shown=False, part_numbers=False))
    entry_id, video = lecture(sandbox)
    assert run("s3copy", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "done"}
    odd.objects[entry_id].tags = ""
    odd.log.clear()
    assert run("s3copy", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "done"}
    assert ("GET object" in odd.operations(entry_id)) == parted
    assert odd.objects[entry_id].body == video


@pytest.mark.parametrize("went", ["gone", "changed"])
def test_a_copy_that_goes_while_kaltura_converts_cancels_the_replacement(
    sandbox: Sandbox, run: Run, serve: Serve, went: str
) -> None:
    odd = serve(AWS_LIKE)
    entry_id, video = lecture(sandbox)
    assert run("s3copy", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "done"}
    sandbox.kaltura.settings.conversion_seconds = 3600

    def go(_: object) -> None:
        if went == "gone":
            del odd.objects[entry_id]
        else:
            odd.objects[entry_id].etag = "0" * 32

    sandbox.control.add_fault("media.get", subject=entry_id, skip=3, after=go)
    ran = run("replace_video", "--id", entry_id, "--no-dry-run", "--timeout", "5")
    assert ran.outcomes == {entry_id: "failed"}
    assert "went, was changed, or was found damaged while Kaltura converted" in ran.out
    assert len(sandbox.control.requests("media.cancelReplace")) == 1
    assert shown(sandbox, entry_id) == video
    assert sandbox.kaltura.entries[entry_id].tags == "archived_to_s3"


def test_what_a_restore_displaces_counts_only_when_s3_has_it(sandbox: Sandbox, run: Run, serve: Serve) -> None:
    """Nothing else has it afterwards."""
    odd = serve(Habits(checked=False, shown=False, md5_etags=False))
    unknown, video = b"an older placeholder, or a newer lecture" * 50, sandbox.video()
    entry_id = sandbox.kaltura.add_entry(unknown, tags=BOTH, created_at=1_500_000_000).id
    made(odd, entry_id, video)
    displaced = f"displaced/{entry_id}/{content_id(sandbox, entry_id)}"
    odd.habits.flips = 1
    for _ in range(2):  # what the first run left is not believed by the second
        ran = run("restore", "--id", entry_id, "--no-dry-run")
        assert ran.outcomes == {entry_id: "failed"}
        assert f"what S3 has as {displaced} is not what was sent" in ran.out
        assert shown(sandbox, entry_id) == unknown
    del odd.objects[displaced]
    assert run("restore", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "done"}
    assert (shown(sandbox, entry_id), odd.objects[displaced].body) == (video, unknown)


# Reading


def made(odd: OddS3, key: str, content: bytes, **kept: object) -> Store:
    store = Store(read_settings(None), read_only=False)
    write(store, key, content)
    for name, value in kept.items():
        setattr(odd.objects[key], name, value)
    return store


def test_an_object_that_is_exchanged_between_two_reads_is_not_mixed(serve: Serve) -> None:
    odd = serve(Habits())
    store = made(odd, "0_abcdefgh", bytes(5000))
    stored = store.head("0_abcdefgh")
    assert stored is not None
    odd.objects["0_abcdefgh"].etag = "another"
    with pytest.raises(Changed, match="changed or removed on the way"):
        read(store, stored)


def test_the_archive_tiers_of_intelligent_tiering_are_frozen(serve: Serve) -> None:
    odd = serve(Habits(head={"x-amz-storage-class": "INTELLIGENT_TIERING", "x-amz-archive-status": "ARCHIVE_ACCESS"}))
    stored = made(odd, "0_abcdefgh", b"a video").head("0_abcdefgh")
    assert stored is not None
    assert stored.availability is Availability.FROZEN


def test_a_checksum_of_checksums_is_not_taken_for_one_of_the_object(serve: Serve) -> None:
    odd = serve(AWS_LIKE)
    store = made(odd, "0_abcdefgh", b"a video", claimed={})
    crc32 = base64.b64encode(bytes(4)).decode()
    for head in (
        {"x-amz-checksum-crc32": f"{crc32}-2", "x-amz-checksum-type": "COMPOSITE"},
        {"x-amz-checksum-crc32": f"{crc32}-2"},
        {"x-amz-checksum-crc64nvme": "AAAAAAAAAAE=", "x-amz-checksum-type": "COMPOSITE"},
    ):
        odd.habits.head = head
        stored = store.head("0_abcdefgh")
        assert stored is not None
        assert (stored.crc32, stored.crc64nvme) == ("", "")


def test_the_whole_size_goes_with_the_parts(serve: Serve, parted: bool) -> None:
    odd = serve(Habits())
    made(odd, "0_abcdefgh", bytes(2500))
    if parted:
        (headers,) = [headers for operation, _, headers in odd.log if operation == "POST uploadId"]
        assert headers["x-amz-mp-object-size"] == "2500"


def test_more_bytes_than_nine_thousand_parts_take_go_in_larger_parts(
    serve: Serve, parted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kaltura_archiver.transfer.chunks.MAX_CHUNKS", 3)
    odd = serve(Habits())
    made(odd, "0_abcdefgh", bytes(4500))
    assert len(odd.objects["0_abcdefgh"].part_sizes) == (3 if parted else 0)


def test_an_object_of_one_part_is_known_by_its_etag(sandbox: Sandbox, run: Run) -> None:
    content = big(sandbox, 9)  # more than boto3 puts into a part
    entry = sandbox.kaltura.add_entry(content, tags="archived_to_s3", created_at=1)
    sandbox.s3.put(entry.id, content, part_bytes=len(content), checksum=False, storage_class="GLACIER")
    assert sandbox.s3.etag(entry.id).endswith("-1")
    assert run("s3copy", "--id", entry.id, "--no-dry-run").outcomes == {entry.id: "done"}
    proof = Proof.read(sandbox.s3.tags(entry.id)["proof"])
    assert proof is not None
    assert proof.evidence == "md5"
    assert sandbox.s3.tags(entry.id)["flavor"] == content_id(sandbox, entry.id)


def test_an_object_whose_tags_are_told_to_be_missing_is_there(sandbox: Sandbox, run: Run, serve: Serve) -> None:
    """As a 404, by Wasabi and others of an object without tags: it was taken for a copy that is gone."""
    odd = serve(Habits(no_tag_set=True))
    entry_id = sandbox.add(State.UNBACKED)
    made(odd, entry_id, shown(sandbox, entry_id))
    assert state_of(run, entry_id) == "archived"
