"""What stats and the report know about each entry: one flat record, made from facts read for many entries."""

from __future__ import annotations

from dataclasses import dataclass

from kaltura_archiver.criteria.what import source_name
from kaltura_archiver.model import Facts
from kaltura_archiver.states import Judgement
from kaltura_archiver.thinning import would_free


@dataclass(frozen=True, slots=True)
class SnapshotEntry:
    """One entry of a snapshot. Times are unix seconds, `last_played_at` None for never; sizes are bytes.

    `kaltura_bytes` are all READY flavor assets, the original included. `stored_bytes` is None without a stored copy.
    `why` and `hint` say what is wrong and what to do where the entry is not `healthy`. `verified_at` is empty where it
    was never verified, or where the tags of the copy were not read. `stored_at` is since when S3 has the copy as it is.
    `placeholder_bytes` is the size of the placeholder that the entry gets. `thin_freed` is what `thin` would free with
    its usual options, 0 where it would do nothing. `stays` says why neither would take its original, however old it is:
    it is kept, or no video that a placeholder could stand for; empty where that is not so, or not known.
    """

    entry_id: str
    name: str
    creator_id: str
    categories: str
    created_at: int
    last_played_at: int | None
    plays: int
    state: str
    healthy: bool
    why: str
    hint: str
    original_bytes: int
    kaltura_bytes: int
    stored_bytes: int | None
    storage_class: str
    verified_at: str
    owner_id: str = ""
    placeholder_bytes: int = 0
    thin_freed: int = 0
    duration_seconds: int | None = None
    source: str = ""
    admin_tags: str = ""
    end_at: int | None = None
    stored_at: float | None = None
    spoiled: bool = False
    stays: str = ""

    @property
    def owner(self) -> str:
        """Whose the entry is: who was made its owner, or else its creator."""
        return self.owner_id or self.creator_id


def item_of(facts: Facts, judgement: Judgement, *, stays: str) -> SnapshotEntry:
    """The record of one entry. Where only Kaltura's rounded KB are known (assets from before 2020), they count."""
    entry, original, stored = facts.entry, facts.original, facts.stored
    sizes = {flavor.id: flavor.known_bytes for flavor in facts.flavors}
    return SnapshotEntry(
        entry_id=entry.id,
        name=entry.name,
        creator_id=entry.creator_id,
        categories=",".join(facts.category_names),
        created_at=entry.created_at,
        last_played_at=entry.last_played_at,
        plays=entry.plays,
        state=judgement.state.value,
        healthy=judgement.healthy,
        why=judgement.why,
        hint=judgement.hint,
        original_bytes=sizes[original.id] if original and original.status.ready else 0,
        kaltura_bytes=sum(sizes[flavor.id] for flavor in facts.flavors if flavor.status.ready),
        stored_bytes=stored.size_bytes if stored else None,
        storage_class=stored.storage_class if stored else "",
        verified_at=stored.verified_at if stored else "",
        owner_id=entry.owner_id,
        placeholder_bytes=facts.placeholder_bytes or 0,
        thin_freed=would_free(facts),
        duration_seconds=entry.duration_seconds,
        source=source_name(entry.source_type),
        admin_tags=", ".join(entry.admin_tags),
        end_at=entry.end_at,
        stored_at=stored.last_modified.timestamp() if stored and stored.last_modified else None,
        spoiled=bool(stored and stored.spoiled),
        stays=stays,
    )
