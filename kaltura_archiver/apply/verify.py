"""Verify: read a stored copy back, and record what was found."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from kaltura_archiver.apply.guards import proof_of_whole
from kaltura_archiver.apply.marks import mark_damaged
from kaltura_archiver.apply.proof import Verdict, compare_own
from kaltura_archiver.apply.tools import InHand, Tools
from kaltura_archiver.model import Evidence, Identity, Proof
from kaltura_archiver.transfer.streams import Fingerprint, fingerprint


def read_back(tools: Tools, work: InHand) -> None:
    """Read the stored copy, compare it with its checksum, and record what was found and when that was."""
    stored = work.stored
    found, verdict = own_verdict(tools, work)
    if verdict.identity is Identity.DIFFERENT:
        mark_damaged(tools, work, stored)
    told = proof_of_whole(found, verdict)
    if stored.damaged_at:
        tools.store.mark(stored, "whole")
    now = datetime.fromtimestamp(tools.options.now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    tags: dict[str, Any] = {"verified_at": now, "damaged_at": None, "thaw": None}
    if stored.sha256 and not stored.proven:
        tags["proof"] = str(Proof.of(Evidence.READ, found.crc64nvme, stored.etag))
    tools.store.set_tags(work.key, **tags)
    work.notes.append(f"verified: {told}")


def own_verdict(tools: Tools, work: InHand) -> tuple[Fingerprint, Verdict]:
    """Read the stored copy and compare it with its checksum. A difference may have come about on the way: only one
    that stays is the object's.
    """
    for _ in range(2):
        with tools.transfers:
            found = fingerprint(tools.store.read(work.stored), tools.store.fingerprinter(work.stored, own=True))
        work.bytes_moved += found.size_bytes
        verdict = compare_own(found, work.stored)
        if verdict.identity is not Identity.DIFFERENT:
            break
    return found, verdict
