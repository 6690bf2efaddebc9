"""Keeps what people have set on flavor assets before a swap takes it away, and sets it again."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from kaltura_archiver.errors import EntryFailed, KalturaError, StoreError
from kaltura_archiver.flavors import AWAY, MAX_BYTES, FlavorSettings, SettingsOfFlavors
from kaltura_archiver.model import SETTINGS_PREFIX

if TYPE_CHECKING:
    from kaltura_archiver.kaltura import Kaltura
    from kaltura_archiver.store import Store


def read_settings_of(store: Store, entry_id: str) -> tuple[dict[int, FlavorSettings], str]:
    """What is kept of an entry, and the object's ETag; nothing and "" where nothing is.

    Raises StoreError, or EntryFailed for an object that is none of ours.
    """
    key = f"{SETTINGS_PREFIX}{entry_id}.json"
    try:
        found = store.get_text(key, MAX_BYTES)
    except StoreError as error:
        if error.code != "InvalidObjectState":
            raise
        raise EntryFailed(
            f"{key} is frozen: a lifecycle rule of the bucket freezes small objects; have it leave {SETTINGS_PREFIX} "
            "alone (docs/aws/parts.md, The bucket), and thaw this one (aws s3api restore-object)"
        ) from error
    if found is None:
        return {}, ""
    try:
        told = json.loads(found[0])
        if told["entry"] != entry_id:
            raise ValueError
        kept = {
            int(params_id): FlavorSettings(**{f.name: str(one.get(f.name, "")) for f in fields(FlavorSettings)})
            for params_id, one in told["flavors"].items()
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        raise EntryFailed(f"{key} in the bucket is not what this program writes there: move it away") from None
    return kept, found[1]


def keep(store: Store, entry_id: str, now: SettingsOfFlavors) -> dict[int, FlavorSettings]:
    """Keep what is set now, over what is kept already, and see that it is there; returns all of it.

    Raises StoreError or EntryFailed where it cannot be kept.
    """
    kept, etag = read_settings_of(store, entry_id)
    wanted = kept | {params_id: one.over(kept.get(params_id, FlavorSettings())) for params_id, one in now.items()}
    if wanted == kept:
        return kept
    flavors = {
        str(params_id): {f.name: value for f in fields(one) if (value := getattr(one, f.name))}
        for params_id, one in sorted(wanted.items())
    }
    key = f"{SETTINGS_PREFIX}{entry_id}.json"
    text = json.dumps({"entry": entry_id, "flavors": flavors})
    # Whether it was written is told by reading: an answer that was lost is given again as a condition that fails.
    store.put_text(key, text, if_match=etag)
    if read_settings_of(store, entry_id)[0] != wanted:
        raise EntryFailed(f"S3 does not have {key} as it was written: perhaps by another run; run the command again")
    return wanted


@dataclass(frozen=True)
class SetAgain:
    """How many flavor assets were set, and why others were not: they are still being made, or Kaltura refused."""

    number: int = 0
    converting: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()


def set_again(kaltura: Kaltura, entry_id: str, wanted: SettingsOfFlavors) -> SetAgain:
    """Set on the flavor assets what they have otherwise, and read it back. Raises KalturaError if they cannot be read.

    A flavor that the content now in place does not yield has nothing to be set on; when it comes back, it is set then.
    """
    failed: dict[str, str] = {}
    tried: set[str] = set()
    for last in (False, True):
        flavors = [f for f in kaltura.flavors([entry_id])[entry_id] if f.status not in AWAY]
        by_params = {f: wanted.get(-1 if f.flavor_params_id is None else f.flavor_params_id) for f in flavors}
        missing = {f: one.missing_on(f) for f, one in by_params.items() if one}
        # What is set before an asset is there is taken away again when it comes.
        converting = tuple(f"{f.id} is {f.status.name}" for f in missing if f.status.in_progress)
        missing = {f: change for f, change in missing.items() if change and not f.status.in_progress}
        if last or not missing:
            break
        for flavor, change in missing.items():
            tried.add(flavor.id)
            if why := _refused(kaltura, flavor.id, change):
                failed[flavor.id] = why
    for flavor, change in missing.items():
        failed.setdefault(flavor.id, f"Kaltura accepted {', '.join(change)} of flavor {flavor.id} but did not store it")
    return SetAgain(len(tried - failed.keys()), converting, tuple(failed.values()))


def _refused(kaltura: Kaltura, flavor_id: str, change: dict[str, str]) -> str:
    """Set these fields, each alone where Kaltura refuses them together; what it says of those that it refuses."""
    try:
        kaltura.update_flavor(flavor_id, change)
    except KalturaError as error:
        if error.retryable or len(change) == 1:
            return str(error)
        return "; ".join(filter(None, (_refused(kaltura, flavor_id, {name: change[name]}) for name in change)))
    return ""
