"""Prove: the stored copy is this very original, by its bytes."""

from __future__ import annotations

from typing import Any

from kaltura_archiver.apply.guards import require_current
from kaltura_archiver.apply.marks import mark_damaged, tag_marked
from kaltura_archiver.apply.proof import Verdict, compare
from kaltura_archiver.apply.reencoded import require_kept_as_sent
from kaltura_archiver.apply.tools import InHand, Tools, say_once
from kaltura_archiver.edits import to_decide
from kaltura_archiver.errors import EntryFailed, Refused
from kaltura_archiver.identity import placeholder_in_place
from kaltura_archiver.model import (
    DISPLACED_PREFIX,
    Availability,
    Cause,
    Evidence,
    FlavorAsset,
    Identity,
    Proof,
    StoredObject,
)
from kaltura_archiver.planning import UNDECIDED
from kaltura_archiver.steps import Step
from kaltura_archiver.transfer.streams import Fingerprint, fingerprint


def prove_copy(tools: Tools, work: InHand) -> None:
    """Read the original once, store nothing, and compare it with the stored copy without thawing that."""
    original, stored = work.original, work.stored
    found, (identity, how, evidence) = read_original(tools, work)
    accepted = None
    if identity is Identity.LIKELY:
        if not tools.options.accept_size_match:
            # So that it is not read again, night after night.
            tag_marked(tools, work, undecided=original.content_id)
            raise Refused(UNDECIDED, Cause.UNDECIDED)
        accepted, evidence, how = "size", Evidence.ACCEPTED, f"{how}; accepted by --accept-size-match"
    if evidence is None:
        raise Refused(f"the stored copy is not this original: {how}; perhaps a newer upload: {to_decide(work.id)}")
    require_current(tools, original)
    proof = Proof.of(evidence, found.crc64nvme, stored.etag)
    _tell_ending(tools, work, stored)
    record_copy(tools, work, original, found, proof, accepted=accepted)
    work.notes.append(f"stored copy proven to be the original ({how}), sha256 {found.sha256}")


def read_original(tools: Tools, work: InHand) -> tuple[Fingerprint, Verdict]:
    """Read the original and compare it with the stored copy, which is read too where that is the only way.

    A difference is only believed when a second reading shows it too; it is then recorded, so that nothing rests on
    sizes that agree by chance.
    """
    for _ in range(2):
        with tools.transfers:
            found = fingerprint(tools.kaltura.content(work.original), tools.store.fingerprinter(work.stored))
        verdict = compare(found, work.stored)
        if verdict.identity is Identity.LIKELY and work.stored.availability is Availability.READABLE:
            say_once(tools, "S3 shows nothing of some stored copies that proves them: they are read back")
            same = own_sha256(tools, work, work.stored, found.sha256) == found.sha256
            verdict = (
                Verdict(Identity.SAME, "it was read back", Evidence.READ)
                if same
                else Verdict(Identity.DIFFERENT, "it was read back: SHA-256 differs")
            )
        if verdict.identity is not Identity.DIFFERENT:
            return found, verdict
    tools.store.mark(work.stored, f"differs.{work.original.content_id}")
    tag_marked(tools, work, flavor=None, differs=work.original.content_id)
    return found, verdict


def prove_again(tools: Tools, work: InHand) -> None:
    """Before anything irreversible: the original, read once more, has the bytes that the stored copy has.

    Kaltura has no checksums, so a byte that changed on its way from there could be seen in no other way.
    """
    original = work.facts.original
    if Step.UPLOAD_PLACEHOLDER in work.steps:
        require_kept_as_sent(tools, work)  # before it is read for nothing
    if original is None or not original.status.ready or placeholder_in_place(work.facts):
        return
    _, verdict = read_original(tools, work)
    if verdict.identity is not Identity.SAME:
        raise EntryFailed(
            f"the stored copy does not have the original's bytes: {verdict.how}; nothing was replaced; "
            f"{to_decide(work.id)}"
        )


def record_copy(
    tools: Tools,
    work: InHand,
    original: FlavorAsset,
    found: Fingerprint,
    proof: Proof,
    *,
    key: str = "",
    untagged: bool = False,
    **more: str | None,
) -> None:
    """Tag the object (of this key, else the stored copy) with what was proven: this version of the original has these
    bytes, and so has S3.

    The original must have been looked at after its last byte was read: else they may be another version's.
    """
    tags: dict[str, Any] = {
        "sha256": found.sha256,
        "flavor": original.content_id,
        "proof": str(proof),
        "undecided": None,
        **more,
    }
    tools.store.set_tags(key or work.key, untagged, **tags)
    work.proven = original


def proof_of_copy(tools: Tools, work: InHand, key: str, sent: Fingerprint) -> tuple[Proof, bool]:
    """By what S3 is shown to have under this key what was sent, and whether it is shown to have no tags at this moment.

    Raises EntryFailed if it is not.
    """
    stored = tools.store.head(key, with_tags=False)
    verdict = compare(sent, stored) if stored else None
    _tell_ending(tools, work, stored)
    if stored is None or verdict is None or verdict.identity is Identity.DIFFERENT:
        raise EntryFailed("S3 does not show the object as it was written; the entry is not tagged")
    if verdict.evidence:
        return Proof.of(verdict.evidence, sent.crc64nvme, stored.etag), stored.untagged
    evidence = copy_read_back(tools, work, stored, sent)
    return Proof.of(evidence, sent.crc64nvme, stored.etag), False


def _tell_ending(tools: Tools, work: InHand, stored: StoredObject | None) -> None:
    """Say that a copy does not stay: nothing is lost by it yet, and no original goes for it."""
    if stored is not None and stored.ending:
        say_once(tools, f"{stored.ending_told}; until then no original is replaced for it")
        work.notes.append(stored.ending)


def copy_read_back(tools: Tools, work: InHand, stored: StoredObject, sent: Fingerprint) -> Evidence:
    """Read what S3 stored, where it shows nothing that proves it: a bit may have changed on the way.

    Raises EntryFailed if it is not what was sent.
    """
    tools.store.prove_by_md5()
    say_once(tools, "this S3 does not show that it checked what it was sent: copies are read back before they count")
    if stored.availability is not Availability.READABLE:
        raise EntryFailed(
            f"this S3 does not show that it checked the copy, which cannot be read back in {stored.storage_class}: "
            "thaw it and run s3copy again; better use --storage-class STANDARD, and a lifecycle rule"
        )
    if own_sha256(tools, work, stored, sent.sha256) == sent.sha256:
        return Evidence.READ
    if stored.key == work.key:
        mark_damaged(tools, work, stored)
    elif not stored.key.startswith(DISPLACED_PREFIX):
        tools.store.mark(stored, "damaged")
        raise EntryFailed(f"MISMATCH: what S3 has as {stored.key} is not what was sent; run the command again")
    raise EntryFailed(
        f"MISMATCH: what S3 has as {stored.key} is not what was sent; remove that object, and run the command again"
    )


def own_sha256(tools: Tools, work: InHand, stored: StoredObject, expected: str) -> str:
    """The SHA-256 of the stored bytes; a second reading has the last word if the first is not as expected."""
    sha256 = ""
    for _ in range(2):
        with tools.transfers:
            found = fingerprint(tools.store.read(stored))
        work.bytes_moved += found.size_bytes
        sha256 = found.sha256
        if sha256 == expected:
            break
    return sha256
