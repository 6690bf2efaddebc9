"""Archive: copy the original to S3, and prove that the copy is good."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote

from kaltura_archiver import __version__
from kaltura_archiver.apply.guards import require_current, same_object, while_current
from kaltura_archiver.apply.marks import mark_placeholder, placeholder_tag
from kaltura_archiver.apply.prove import proof_of_copy, record_copy
from kaltura_archiver.apply.tools import InHand, Tools
from kaltura_archiver.apply.upload import checked, proven
from kaltura_archiver.errors import Changed, EntryFailed, Refused, StoreError
from kaltura_archiver.model import iso_time
from kaltura_archiver.states import not_in_s3
from kaltura_archiver.steps import Command
from kaltura_archiver.transfer.chunks import Chunk
from kaltura_archiver.transfer.streams import Fingerprint, Fingerprinter, Inflow


def copy_original(tools: Tools, work: InHand) -> None:
    with tools.transfers:
        found = copied_original(tools, work, work.id)
    work.bytes_moved += found.size_bytes
    proof, untagged = proof_of_copy(tools, work, work.id, found)
    record_copy(tools, work, work.original, found, proof, untagged=untagged)
    work.notes.append(f"copied {found.size_bytes} bytes, sha256 {found.sha256}")
    if beside := not_in_s3(work.facts):
        work.notes.append(beside)


def copied_original(tools: Tools, work: InHand, key: str) -> Fingerprint:
    original, entry = work.original, work.facts.entry
    with tools.kaltura.content(original) as content:
        metadata = {
            "entry-id": work.id,
            "file-ext": original.file_ext,
            "source-bytes": str(content.size_bytes),
            "source-name": quote(entry.name[:100].strip(" "), safe=" "),
            # By Kaltura's clock, whose times of flavors and clones it is held against: this machine's may be wrong.
            "archived-at": iso_time(tools.kaltura.now()),
            "tool": f"kaltura-archiver {__version__}",
        }
        return tools.store.write(
            key,
            while_current(tools, original, no_placeholder(tools, content)),
            content.size_bytes,
            metadata={name: value for name, value in metadata.items() if value},
            storage_class=tools.options.storage_class,
        )


def no_placeholder(tools: Tools, content: Inflow) -> Iterable[Chunk]:
    """The content's chunks; the last one only if all of them are not a placeholder video."""
    alike = {placeholder.sha256 for placeholder in tools.placeholders.of_size(content.size_bytes)}
    if not alike:
        return content
    taken = Fingerprinter(md5=False)

    def check() -> None:
        if taken.result().sha256 in alike:
            raise Refused("the original is the placeholder video: it is not archived as an original")

    return checked(content, taken, content.size_bytes, check)


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
    metadata = {**source.metadata, "entry-id": work.id, "source-entry": source.entry_id}
    storage_class = tools.options.storage_class
    try:
        with tools.transfers, tools.store.read(source) as content:
            chunks = proven(tools, taken, source, content)
            found = tools.store.write(
                work.id, chunks, source.size_bytes, metadata=metadata, storage_class=storage_class
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
