"""Restore: bring the original back from S3, and read it once more."""

from __future__ import annotations

import logging
import time
from functools import partial
from typing import Any

from kaltura_archiver.apply.displaced import keep_displaced
from kaltura_archiver.apply.guards import require_current, require_sound, require_way
from kaltura_archiver.apply.marks import placeholder_tag
from kaltura_archiver.apply.pictures import note_picture
from kaltura_archiver.apply.proof import compare_own
from kaltura_archiver.apply.prove import record_copy
from kaltura_archiver.apply.settings import set_settings_again
from kaltura_archiver.apply.swap import require_not_undone, settled_original, swap
from kaltura_archiver.apply.thaw import keep_thawed
from kaltura_archiver.apply.tools import MAX_URL_SECONDS, MIN_URL_SECONDS, InHand, Tools, warn
from kaltura_archiver.apply.upload import begin_conversion, proven, upload_content
from kaltura_archiver.errors import EntryFailed, StoreError, Waiting
from kaltura_archiver.model import REPLACED_TAG, Evidence, FlavorAsset, Identity, Proof, StoredObject, iso_time
from kaltura_archiver.steps import Command, Step
from kaltura_archiver.transfer.streams import fingerprint

log = logging.getLogger(__name__)


def put_original(tools: Tools, work: InHand) -> None:
    stored = work.stored
    require_way(tools)
    keep_thawed(tools, work)
    begin_conversion(tools, work)
    work.sent_bytes = stored.size_bytes
    keep_displaced(tools, work)
    note_picture(tools, work)
    if tools.options.via == "url":
        url = url_for_kaltura(tools, work)
        new = swap(tools, work, url, lambda: require_sound(tools, work))
        found = None
    else:
        taken = tools.store.fingerprinter(stored, own=True)
        try:
            # The extension is taken from the posted name; a name without one leaves none (real-kaltura U28).
            name = f"{tools.token_prefix}{work.id}.{extension(stored)}".removesuffix(".")
            with tools.store.read(stored) as content:
                chunks = proven(tools, taken, stored, content)
                work.token = upload_content(tools, name, stored.size_bytes, chunks)
        except StoreError as error:
            if error.code == "InvalidObjectState":
                raise _asked_for_again(tools, stored) from error
            raise
        work.bytes_moved += stored.size_bytes
        found = taken.result()
        verdict, how, _ = compare_own(found, stored)
        if verdict is not Identity.SAME:
            warn(tools, work, f"the stored copy was read, but there is nothing to compare it with: {how}")
        new = swap(tools, work, work.token, lambda: None)
    if new.size_bytes not in (None, stored.size_bytes):
        raise _other_size(tools, work, new, fetched=found is None)
    first, new = new, settled_original(tools, work, new)
    # By the version that the swap gave it: the next one is told from that.
    put = partial(dict[str, Any], flavor=first.content_id, placeholder=None, replaced_at=None, thaw=None)
    if found is None:
        tools.store.set_tags(work.key, **put(restored_at=iso_time(time.time())))
        work.notes.append(f"Kaltura fetched the original ({new.content_id}, {stored.size_bytes} bytes by its size)")
        set_settings_again(tools, work)
        return
    with tools.transfers:
        in_kaltura = fingerprint(tools.kaltura.content(new))
    if in_kaltura.sha256 != found.sha256:
        # What we put there is no original: the next restore may replace it.
        what = placeholder_tag(first.content_id, in_kaltura.sha256, in_kaltura.size_bytes)
        tools.store.set_tags(work.key, placeholder=what)
        raise EntryFailed("the new original does not have the bytes of the stored copy; run restore again")
    require_current(tools, new, linked_again=True)
    proof = Proof.of(Evidence.READ, found.crc64nvme, stored.etag)
    record_copy(tools, work, new, found, proof, **put(restored_at=iso_time(time.time())))
    work.notes.append(f"original back in Kaltura ({new.content_id}), {stored.size_bytes} bytes, sha256 {found.sha256}")
    set_settings_again(tools, work)


def _asked_for_again(tools: Tools, stored: StoredObject) -> Waiting:
    """What there is to wait for where S3 showed a copy as readable, and gives no byte of it.

    It is asked for there and then: the next look may show the same (StorageGRID, where some parts have moved only).
    """
    again = f"the stored copy is frozen again ({stored.frozen_in})"
    try:
        tools.store.request_thaw(stored, tier=tools.options.tier, days=tools.options.days)
    except StoreError as error:
        return Waiting(f"{again}, and its restore cannot be requested: {error}")
    return Waiting(f"{again}: its restore was requested, run restore once more when it is readable")


def _other_size(tools: Tools, work: InHand, new: FlavorAsset, *, fetched: bool) -> EntryFailed:
    """Why the new original has another size than the stored copy. Raises Waiting where the placeholder is back."""
    require_not_undone(tools, work)
    stored = work.stored
    if fetched and (beginning := beginning_of(tools, new, stored)):
        # What we had put there is no original: the next restore may replace it.
        tools.store.set_tags(work.key, placeholder=placeholder_tag(new.content_id, *beginning))
        return EntryFailed(
            f"Kaltura fetched only {new.size_bytes} of {stored.size_bytes} bytes and took them for the whole "
            "video; run restore again"
        )
    return EntryFailed(
        f"the new original has {new.size_bytes} bytes, the stored copy {stored.size_bytes}: Kaltura re-encoded "
        f"it (see the conversion profile), or another video was uploaded; the stored copy and the tag "
        f"{REPLACED_TAG} stay"
    )


def record_return(tools: Tools, work: InHand) -> None:
    """Record when the original came back, of a restore that was cut before it could: that counts as a play.

    For repair it may also be a replacement that was cut before its swap; then nothing tells of another original.
    """
    came_back = tools.command is Command.RESTORE or Step.PROVE in work.steps or work.stored.placeholder
    if came_back and work.stored.restored_at is None:
        tools.store.set_tags(work.key, restored_at=iso_time(time.time()), placeholder=None, replaced_at=None)


def url_for_kaltura(tools: Tools, work: InHand) -> str:
    """A URL by which Kaltura can fetch the stored copy, until its job is over."""
    wanted = min(max(tools.options.timeout_seconds, MIN_URL_SECONDS), MAX_URL_SECONDS)
    url, seconds = tools.store.presign(work.key, wanted)
    if seconds < int(wanted):
        log.warning(
            "entry %s: the URL for Kaltura is good for %d minutes only: then the AWS credentials of this run end; "
            "credentials that last longer, or --via upload, do better",
            work.id,
            seconds // 60,
        )
    return url


def beginning_of(tools: Tools, cut: FlavorAsset, stored: StoredObject) -> tuple[str, int] | None:
    """SHA-256 and size of an original that is the beginning of the stored copy: then it is nobody's newer video."""
    if not 0 < (cut.size_bytes or 0) < stored.size_bytes:
        return None
    with tools.transfers:
        read = fingerprint(tools.kaltura.content(cut))
        start = fingerprint(tools.store.read(stored), most_bytes=read.size_bytes)
    return (read.sha256, read.size_bytes) if read.sha256 == start.sha256 else None


def extension(stored: StoredObject) -> str:
    """The file name extension of a stored original: Kaltura's own, or empty where it had none (Kaltura's noex).

    Of objects that do not tell, it is mp4, as the old tool assumed.
    """
    if "entry-id" not in stored.metadata:
        return "mp4"
    ext = stored.metadata.get("file-ext", "")
    return ext if ext.isalnum() and ext != "noex" else ""
