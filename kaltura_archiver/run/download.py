"""One original to a local file: complete and verified under its final name, or not there at all."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

from kaltura_archiver.apply.looks import facts_of_entry
from kaltura_archiver.apply.proof import compare_own
from kaltura_archiver.apply.restore import extension
from kaltura_archiver.apply.tools import Sources
from kaltura_archiver.errors import EntryFailed, Refused, SelectionError, Waiting
from kaltura_archiver.model import Availability, Facts, FlavorAsset, Identity, State, StoredObject
from kaltura_archiver.output.files import check_target, written
from kaltura_archiver.states import classify
from kaltura_archiver.transfer.streams import Fingerprint, Fingerprinter

log = logging.getLogger(__name__)
STDOUT = "-"


def download_original(
    sources: Sources,
    entry_id: str,
    path: str,
    *,
    folder: str,
    source: str,
    force: bool,
    on_size: Callable[[int], object],
) -> tuple[tuple[str, str, int, str, str], bool]:
    """Write the original and return (entry id, kaltura or s3, bytes, sha256, path), and whether it is a placeholder.

    Without a `path` it is the entry's id and the original's extension, in `folder`; for `-` it goes to stdout as it
    comes. `source` is kaltura, s3 or auto: S3 where Kaltura holds the placeholder or nothing. `on_size` is told the
    size. Raises SelectionError if the file exists (and not `force`), OutputError if it cannot be written, Waiting for a
    frozen object, EntryFailed for what is not verified.
    """
    facts = facts_of_entry(sources, entry_id)
    entry_id = facts.entry.id
    if source == "auto":
        source = _where_it_is(facts)
    stored = original = None
    if source == "s3":
        stored = _readable_copy(facts)
        ext = extension(stored) or "mp4"
    else:
        original = _ready_original(facts)
        ext = original.file_ext if original.file_ext not in ("", "noex") else "mp4"
    path = path or str(Path(folder, f"{entry_id}.{ext}"))
    if path != STDOUT:
        if Path(path).exists() and not force:
            check_target(Path(path))  # which --force would not overwrite either
            raise SelectionError(f"{path} exists; name another file with --output, or use --force")
        check_target(Path(path))
    left = "stdout does not have the video" if path == STDOUT else "no file was written"
    if stored:
        inflow = sources.store.read(stored)
        taken = sources.store.fingerprinter(stored, own=True)
    else:
        assert original is not None  # noqa: S101 - one of the two is there
        inflow = sources.kaltura.content(original)
        taken = Fingerprinter(md5=False)
    target = nullcontext(sys.stdout.buffer) if path == STDOUT else written(Path(path), replace=force)
    with target as file, inflow:
        on_size(inflow.size_bytes)
        for chunk in inflow:
            for piece in chunk:
                taken.update(piece)
                file.write(piece)
            chunk.release()
        found = taken.result()
        if stored:
            verdict, how, _ = compare_own(found, stored)
            if verdict is Identity.DIFFERENT:
                raise EntryFailed(f"what S3 sent is not what was archived: {how}; {left}")
            if verdict is not Identity.SAME:
                log.warning("entry %s: the copy was read; there is nothing to compare it with: %s", entry_id, how)
    hidden = source == "kaltura" and _is_placeholder(sources, facts, found)
    return (entry_id, source, found.size_bytes, found.sha256, path), hidden


def _where_it_is(facts: Facts) -> str:
    """S3 where Kaltura holds the placeholder or nothing."""
    elsewhere = (State.PLACEHOLDER, State.NO_ORIGINAL, State.HALF_TAGGED, State.THIN)
    gone, state = facts.original is None and facts.stored is not None, classify(facts).state
    if gone and state is State.DIVERGED:
        what = "what plays in Kaltura is perhaps a newer video, of which it has no original"
        log.warning("entry %s: %s", facts.entry.id, what)
    return "s3" if gone or state in elsewhere else "kaltura"


def _is_placeholder(sources: Sources, facts: Facts, found: Fingerprint) -> bool:
    """Whether what was read from Kaltura is a placeholder: by its bytes, or by what is known of the entry."""
    recorded = facts.stored.placeholder_sha256 if facts.stored else ""
    if found.sha256 in (*sources.placeholders.sha256s, recorded):
        return True
    return classify(facts).state in (State.PLACEHOLDER, State.HALF_TAGGED, State.LOST)


def _readable_copy(facts: Facts) -> StoredObject:
    stored = facts.stored
    if stored is None:
        raise EntryFailed(f"there is no stored copy of {facts.entry.id}")
    if stored.availability is not Availability.READABLE:
        raise Waiting(
            f"the stored copy of {facts.entry.id} is {stored.availability} in {stored.storage_class}: to have it "
            f"thawed alone, verify --id {facts.entry.id} --request --no-dry-run; when it is readable, this again"
        )
    return stored


def _ready_original(facts: Facts) -> FlavorAsset:
    original = facts.original
    if original is None or not original.status.ready:
        raise Refused(f"entry {facts.entry.id} has no READY original flavor in Kaltura; try --from s3")
    return original
