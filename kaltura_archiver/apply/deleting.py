"""Deleting a flavor asset, for good: never twice by one look."""

from __future__ import annotations

from collections.abc import Callable

from kaltura_archiver.errors import Changed, EntryFailed, KalturaError
from kaltura_archiver.kaltura import Kaltura
from kaltura_archiver.model import Entry, Facts, FlavorAsset, FlavorStatus


def delete_for_certain(kaltura: Kaltura, flavor: FlavorAsset, look: Callable[[], None]) -> None:
    """Delete a flavor asset; once this is over it was seen to be gone.

    `look` looks at everything before each try, and raises where something is not as it is to be. A deletion is given
    again only after that: a flavor keeps its id when somebody uploads a newer video. Raises Changed if they did.
    """
    for last in kaltura.attempts():
        look()
        failure: KalturaError | None = None
        try:
            kaltura.delete_flavor(flavor.id, look=look)
        except KalturaError as error:
            failure = error
        now = {f.id: f for f in kaltura.flavors([flavor.entry_id])[flavor.entry_id]}.get(flavor.id)
        if now is None or now.status is FlavorStatus.DELETED:
            return
        if now.content_id != flavor.content_id:
            raise Changed(f"somebody replaced flavor {flavor.id} of {flavor.entry_id} meanwhile; it was not deleted")
        if failure and (last or not failure.retryable):
            raise failure
    raise EntryFailed(f"Kaltura accepted to delete flavor {flavor.id} of {flavor.entry_id}, but it is still there")


def delete_at_once(kaltura: Kaltura, original: FlavorAsset, look: Callable[[], object]) -> None:
    """As `delete_for_certain`, of the last flavor that an entry has. Once Kaltura has accepted that, nothing is asked
    any more: the entry is not to be left alone."""
    failure: KalturaError | None = None
    for last in kaltura.attempts():
        try:
            look()
            kaltura.delete_flavor(original.id, look=look)
            return
        except Changed:
            if failure is None or not _is_gone(kaltura, original):
                raise
            return  # by the call whose answer was lost
        except KalturaError as error:
            failure = error
            if _is_gone(kaltura, original):
                return
            if last or not error.retryable:
                raise


def _is_gone(kaltura: Kaltura, original: FlavorAsset) -> bool:
    """Whether this is gone, and no other original is there."""
    flavors = kaltura.flavors([original.entry_id])[original.entry_id]
    return Facts(Entry(original.entry_id), flavors).original is None
