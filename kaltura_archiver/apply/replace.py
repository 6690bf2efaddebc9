"""Replace: put the placeholder in the place of the original."""

from __future__ import annotations

from kaltura_archiver import pictures
from kaltura_archiver.apply.guards import check_copy, require_way, same_object
from kaltura_archiver.apply.marks import next_version, record_placeholder
from kaltura_archiver.apply.reencoded import reencoded, require_kept_as_sent, tell_reencoded
from kaltura_archiver.apply.settings import set_settings_again
from kaltura_archiver.apply.swap import settled_original, swap
from kaltura_archiver.apply.tags import keep_tags
from kaltura_archiver.apply.tools import InHand, Tools
from kaltura_archiver.apply.upload import begin_conversion, upload_content
from kaltura_archiver.errors import Changed, EntryFailed
from kaltura_archiver.model import ARCHIVED_TAG, REPLACED_TAG, FlavorAsset
from kaltura_archiver.placeholders import Placeholder
from kaltura_archiver.transfer.streams import fingerprint, poured


def upload_placeholder(tools: Tools, work: InHand) -> None:
    placeholder = tools.placeholders.chosen(work.facts)
    if placeholder is None:
        raise EntryFailed("there is no placeholder video: set PLACEHOLDER_VIDEO")
    require_way(tools)
    begin_conversion(tools, work)
    require_kept_as_sent(tools, work)  # of those that were converting until now one may have shown it
    name = f"{tools.token_prefix}{work.id}{placeholder.path.suffix or '.mp4'}"
    work.placeholder = placeholder
    size = placeholder.size_bytes
    with tools.kaltura.inflow(poured(placeholder.pieces(), size), size) as content:
        work.token = upload_content(tools, name, size, content)


def _came(tools: Tools, new: FlavorAsset, placeholder: Placeholder) -> bool:
    """Whether the new original is the placeholder. Where Kaltura tells no bytes (from before 2020), it is read."""
    if new.size_bytes:
        return new.size_bytes == placeholder.size_bytes
    with tools.transfers:
        return fingerprint(tools.kaltura.content(new)).sha256 == placeholder.sha256


def put_placeholder(tools: Tools, work: InHand) -> None:
    placeholder = work.placeholder
    assert placeholder is not None  # noqa: S101 - uploaded by the step before
    before, work.swaps_placeholder_in, work.sent_bytes = work.facts.original, True, placeholder.size_bytes
    new = swap(tools, work, work.token, lambda: check_copy(tools, work))
    stored = tools.store.head(work.key, with_tags=False)
    if stored is None or not same_object(stored, work.stored):
        raise EntryFailed(f"the stored copy of {work.id} changed while the original was replaced: look at it now")
    came: tuple[str, int] | None = placeholder.sha256, placeholder.size_bytes
    if not _came(tools, new, placeholder):
        came = reencoded(tools, work, new)
    if came is None:
        # Whatever this is, it is not known to be ours: the state is to say `diverged`, and a placeholder that comes
        # late over it is to be told from one that took the original's place.
        tools.store.set_tags(work.key, placeholder=next_version(before, placeholder) or "superseded")
        raise Changed(
            f"the new original of {work.id} has {new.size_bytes or 'other'} bytes, not the placeholder's "
            f"{placeholder.size_bytes}: was another video uploaded meanwhile? Or did Kaltura re-encode the placeholder "
            f"(see the conversion profile)? Look at what it shows; if it is the placeholder: kaltura-archiver resolve "
            f"{work.id} --keep s3"
        )
    picture = pictures.unknown(work.facts)
    record_placeholder(tools, work, new, *came, picture=picture)
    try:
        settled_original(tools, work, new)
    finally:
        keep_tags(tools, work, work.tags_seen, ARCHIVED_TAG, REPLACED_TAG)
    if before is None and work.facts.kept:
        work.bytes_freed += max(sum(f.known_bytes for f in work.facts.derived) - came[1], 0)
    if before:
        work.bytes_freed += max(before.known_bytes - came[1], 0)
    work.bytes_moved += placeholder.size_bytes
    work.notes.append(f"placeholder in place ({new.content_id}), stored copy {stored.size_bytes} bytes")
    if came[0] != placeholder.sha256:
        tell_reencoded(tools, work, new)
    set_settings_again(tools, work)
