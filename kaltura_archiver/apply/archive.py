"""Archive: copy the original to S3, and prove that the copy is good."""

from __future__ import annotations

import hashlib
from contextlib import closing
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from kaltura_archiver import __version__
from kaltura_archiver.apply.guards import require_current, same_object, while_current
from kaltura_archiver.apply.marks import mark_damaged, mark_placeholder, placeholder_tag
from kaltura_archiver.apply.proof import compare
from kaltura_archiver.apply.tools import InHand, Tools, say_once
from kaltura_archiver.apply.upload import proven_pieces
from kaltura_archiver.errors import Changed, EntryFailed, Refused, StoreError
from kaltura_archiver.model import Availability, Evidence, FlavorAsset, Identity, Proof, StoredObject
from kaltura_archiver.steps import Command
from kaltura_archiver.transfer.streams import Fingerprint, Landing, fingerprint


def copy_original(tools: Tools, work: InHand) -> None:
    with tools.transfers:
        found = copied_original(tools, work)
    work.bytes_moved += found.size_bytes
    proof, untagged = proof_of_copy(tools, work, work.id, found)
    record_copy(tools, work, work.original, found, proof, untagged=untagged)
    work.notes.append(f"copied {found.size_bytes} bytes, sha256 {found.sha256}")


def copied_original(tools: Tools, work: InHand) -> Fingerprint:
    original, landing = work.original, Landing()
    size, pieces = tools.kaltura.content(original, landing)
    if alike := tools.placeholders.of_size(size):
        content = b"".join(pieces)
        if hashlib.sha256(content).hexdigest() in {placeholder.sha256 for placeholder in alike}:
            raise Refused("the original is the placeholder video: it is not archived as an original")
        pieces = iter([content])
    entry = work.facts.entry
    metadata = {
        "entry-id": work.id,
        "file-ext": original.file_ext,
        "source-bytes": str(size),
        "source-name": quote(entry.name[:100].strip(" "), safe=" "),
        "archived-at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "tool": f"kaltura-archiver {__version__}",
    }
    with closing(while_current(tools, original, pieces)) as current:
        return tools.store.write(
            work.id,
            current,
            size,
            metadata={name: value for name, value in metadata.items() if value},
            storage_class=tools.options.storage_class,
            landing=landing,
        )


def copy_source(tools: Tools, work: InHand) -> None:
    """Store what the copy of a clone's source holds under the clone's own id, and prove it on its way."""
    source, original = work.facts.source, work.original
    if source is None:
        raise EntryFailed(f"there is no stored copy that {work.id} is a clone of")
    now = tools.store.head(source.key, with_tags=False)
    if now is None or not same_object(now, source):
        raise Changed(f"the stored copy of {source.key} changed meanwhile")
    require_current(tools, original)
    taken = tools.store.fingerprinter(source, own=True)
    pieces = proven_pieces(tools, taken, source, tools.store.read(source))
    metadata = {**source.metadata, "entry-id": work.id, "source-entry": source.key}
    try:
        with tools.transfers:
            found = tools.store.write(
                work.id, pieces, source.size_bytes, metadata=metadata, storage_class=tools.options.storage_class
            )
    except StoreError as error:
        if error.code == "AccessDenied" and tools.command is not Command.S3COPY:
            raise Refused(f"{error}; run s3copy for {work.id} with the rights to archive, then restore") from error
        raise
    proof, untagged = proof_of_copy(tools, work, work.id, found)
    size_bytes = original.size_bytes or 0
    what = placeholder_tag(original.content_id, work.facts.original_sha256, size_bytes)
    tools.store.set_tags(work.id, untagged, sha256=found.sha256, placeholder=what, proof=str(proof))
    mark_placeholder(tools, work, original.content_id, size_bytes)
    work.bytes_moved += found.size_bytes
    work.notes.append(f"the stored copy of {source.key} is its own now, too: {found.size_bytes} bytes")


def proof_of_copy(tools: Tools, work: InHand, key: str, sent: Fingerprint) -> tuple[Proof, bool]:
    """By what S3 is shown to have under this key what was sent, and whether it is shown to have no tags at this moment.

    Raises EntryFailed if it is not.
    """
    stored = tools.store.head(key, with_tags=False)
    verdict = compare(sent, stored) if stored else None
    if stored is None or verdict is None or verdict.identity is Identity.DIFFERENT:
        raise EntryFailed("S3 does not show the object as it was written; the entry is not tagged")
    if verdict.evidence:
        return Proof.of(verdict.evidence, sent.crc64nvme, stored.etag), stored.untagged
    evidence = copy_read_back(tools, work, stored, sent)
    return Proof.of(evidence, sent.crc64nvme, stored.etag), False


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
    if stored.key == work.id:
        mark_damaged(tools, work, stored)
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


def record_copy(
    tools: Tools,
    work: InHand,
    original: FlavorAsset,
    found: Fingerprint,
    proof: Proof,
    *,
    untagged: bool = False,
    **more: str | None,
) -> None:
    """Tag the object with what was proven: this version of the original has these bytes, and so has S3.

    The original must have been looked at after its last byte was read: else they may be another version's.
    """
    tags: dict[str, Any] = {
        "sha256": found.sha256,
        "flavor": original.content_id,
        "proof": str(proof),
        "undecided": None,
        **more,
    }
    tools.store.set_tags(work.id, untagged, **tags)
    work.proven = original
