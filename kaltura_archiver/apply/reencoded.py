"""Where Kaltura does not keep what it is sent, but re-encodes it: a placeholder that has other bytes is ours still."""

from __future__ import annotations

from kaltura_archiver.apply.guards import require_current
from kaltura_archiver.apply.tools import InHand, Tools, warn
from kaltura_archiver.errors import Refused
from kaltura_archiver.kaltura.watching import Progress
from kaltura_archiver.model import FlavorAsset
from kaltura_archiver.transfer.streams import fingerprint


def _profile(work: InHand) -> str:
    return work.facts.entry.conversion_profile_id or "the account's default one"


def note_coming(work: InHand, seen: Progress) -> None:
    """Keep what our own replacement is seen to bring: after its switch nothing tells that any more."""
    for flavor in seen.coming:
        if work.temporary and flavor.entry_id == work.temporary and flavor.is_original and flavor.status.ready:
            work.coming = flavor


def require_kept_as_sent(tools: Tools, work: InHand) -> None:
    """Raise Refused where this run has put a placeholder in by the conversion profile of this entry, and something else
    came of it."""
    if work.facts.entry.conversion_profile_id in tools.reencoding:
        raise Refused(
            f"of another entry with its conversion profile ({_profile(work)}) something else came than the placeholder "
            "that was sent: this run puts no more in by that profile. Where Kaltura re-encodes originals, none comes "
            "back as it was archived: have the profile keep the source as it is"
        )


def reencoded(tools: Tools, work: InHand, new: FlavorAsset) -> tuple[str, int] | None:
    """SHA-256 and size, in bytes, of a new original that is what Kaltura made of the placeholder that we have sent.

    None where that is not certain: it is where the READY source of our own temporary entry was seen, and had this very
    size. Whatever it is, this run swaps nothing more in by that conversion profile.
    """
    tools.reencoding.add(work.facts.entry.conversion_profile_id)
    if work.coming is None or not new.size_bytes or new.size_bytes != work.coming.size_bytes:
        return None
    with tools.transfers:
        found = fingerprint(tools.kaltura.content(new))
    require_current(tools, new, linked_again=True)
    return found.sha256, found.size_bytes


def tell_reencoded(tools: Tools, work: InHand, new: FlavorAsset) -> None:
    warn(
        tools,
        work,
        f"Kaltura re-encoded the placeholder of {work.id} ({new.size_bytes} bytes) by its conversion profile "
        f"({_profile(work)}), as it would an original that comes back: this run puts no more in by that profile",
    )
