"""What earlier runs by a policy have found, rule by rule: `log/policy/<time>-<run>.json`, an object for each."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from kaltura_archiver.errors import StoreError
from kaltura_archiver.model import iso_time
from kaltura_archiver.policy import Rule
from kaltura_archiver.run.policy import RuleTally
from kaltura_archiver.store import Store
from kaltura_archiver.transfer.ahead import in_order

log = logging.getLogger(__name__)
PREFIX = "log/policy/"
MAX_RECORD_BYTES = 2**20
# A rule that selects a few more than a few has not gone wrong.
FEW_MORE = 20


def records(store: Store) -> Iterator[Mapping[str, Any]]:
    """What the runs that acted by a policy have written down, oldest first. Raises StoreError."""
    found = in_order(lambda key: _read(store, key), _keys(store), threads=8, room=16)
    yield from (record for record in found if record)


def last_selected(store: Store, names: Iterable[str]) -> Mapping[str, int]:
    """How many entries each of these rules selected when a run last acted by it; without those by which none has. The
    newest records are read first, and no more than tell of all. Raises StoreError."""
    wanted, last = set(names), dict[str, int]()
    for key in reversed(list(_keys(store))):
        if wanted <= last.keys():
            break
        record = _read(store, key)
        last = {name: rule["selected"] for name, rule in (record["rules"] if record else {}).items()} | last
    return last


def _keys(store: Store) -> Iterator[str]:
    keys = (key for page in store.pages(PREFIX) for key, *_ in page)
    yield from (key for key in keys if key.endswith(".json") and key.count("/") == 2)


def _read(store: Store, key: str) -> Mapping[str, Any] | None:
    """What one run has written down; None, with a warning, for what no run has, or what is frozen."""
    try:
        told = store.get_text(key, MAX_RECORD_BYTES)
    except StoreError as error:
        if error.code != "InvalidObjectState":
            raise
        log.warning("%s is frozen: what that run has found is not known", key)
        return None
    with suppress(ValueError, TypeError, KeyError, AttributeError, RecursionError):
        record: Mapping[str, Any] = json.loads(told[0] if told else "")
        if all(type(rule["selected"]) is int for rule in record["rules"].values()) and str(record["at"]):
            return record
    log.warning("an object under %s is no history of a policy: it is left out", PREFIX)
    return None


def drifted(rule: Rule, selected: int, before: int | None) -> str:
    """Why this rule is not to be trusted now: it selects far more than last time; empty if it does not."""
    if before is None or rule.drift is None or selected <= before * (1 + rule.drift) + FEW_MORE:
        return ""
    return (
        f"it selects {selected} entries, and {before} when it last acted: more than {rule.drift:.0%} more. Look at it "
        f"(run --check), then say --accept-drift {rule.name!r}, or set its drift"
    )


def record(store: Store, run: str, now: float, policy_sha256: str, tallies: Iterable[RuleTally]) -> None:
    """Write down what this run has found and begun. That it cannot be written is a warning: no entry depends on it."""
    rules: dict[str, Any] = {
        tally.rule.name: {
            "selected": tally.selected,
            "here": {str(stage or "none"): number for stage, number in tally.here.items()},
            "due": {stage.value: told.due for stage, told in tally.stages.items()},
        }
        for tally in tallies
    }
    at = iso_time(now)
    text = json.dumps({"run": run, "at": at, "policy_sha256": policy_sha256, "rules": rules})
    try:
        store.put_text(f"{PREFIX}{at.replace('-', '').replace(':', '')}-{run}.json", text, if_match="")
    except StoreError as error:
        log.warning("the history of the rules is not written: %s", error)
