"""Prove: the stored copy is this very original, by its bytes."""

from __future__ import annotations

from kaltura_archiver.apply.archive import own_sha256, record_copy
from kaltura_archiver.apply.guards import require_current
from kaltura_archiver.apply.marks import tag_marked
from kaltura_archiver.apply.proof import Verdict, compare
from kaltura_archiver.apply.tools import InHand, Tools, say_once
from kaltura_archiver.errors import EntryFailed, Refused
from kaltura_archiver.identity import holds_placeholder
from kaltura_archiver.model import ARCHIVED_TAG, Availability, Cause, Evidence, Identity, Proof
from kaltura_archiver.planning import UNDECIDED
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
        raise Refused(
            f"the stored copy is not this original: {how}; perhaps a newer upload: decide which one is to stay"
        )
    require_current(tools, original)
    proof = Proof.of(evidence, found.crc64nvme, stored.etag)
    record_copy(tools, work, original, found, proof, accepted=accepted)
    work.notes.append(f"stored copy proven to be the original ({how}), sha256 {found.sha256}")


def read_original(tools: Tools, work: InHand) -> tuple[Fingerprint, Verdict]:
    """Read the original and compare it with the stored copy, which is read too where that is the only way.

    A difference is only believed when a second reading shows it too; it is then recorded, so that nothing rests on
    sizes that agree by chance.
    """
    for _ in range(2):
        with tools.transfers:
            _, pieces = tools.kaltura.content(work.original)
            found = fingerprint(pieces, tools.store.fingerprinter(work.stored))
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
    if original is None or not original.status.ready or holds_placeholder(work.facts):
        return
    _, verdict = read_original(tools, work)
    if verdict.identity is not Identity.SAME:
        raise EntryFailed(
            f"the stored copy does not have the original's bytes: {verdict.how}; nothing was replaced; move the "
            f"object away in S3, remove the tag {ARCHIVED_TAG} in Kaltura, and run s3copy"
        )
