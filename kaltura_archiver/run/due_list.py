"""What a policy says may be deleted, as a list for people; and what they then deleted. Nothing here deletes anything.

Each list that a run has written is remembered in the bucket, `log/due/<rule>/<time>-<run>.json`, with the SHA-256 of
the file: whoever is shown a list can see that it is the one that the run wrote. The next run looks which of its entries
are gone from Kaltura since, and remembers that, too. Of a long list further ids are beside it, `….part00002.json`.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kaltura_archiver.errors import StoreError
from kaltura_archiver.kaltura import Kaltura
from kaltura_archiver.model import Facts, Identity, State, iso_date, iso_time
from kaltura_archiver.policy import Rule
from kaltura_archiver.states import classify
from kaltura_archiver.store import Store

log = logging.getLogger(__name__)
PREFIX = "log/due/"
MAX_RECORD_BYTES = 2**26
# Of the entries, and of those that are gone, in one object: below 128 KB, so that no lifecycle rule freezes it.
IDS_OF_PART = 2500
COLUMNS = (
    "rule", "entry_id", "name", "owner_id", "created_date", "last_played_date", "plays", "replaced_date",
    "kaltura_bytes", "stored_key", "stored_bytes", "storage_class", "sha256", "evidence", "why",
)  # fmt: skip
GONE_COLUMNS = ("rule", "entry_id", "listed_at", "gone_by")


def due_row(rule: Rule, facts: Facts, streams: Sequence[Facts] = ()) -> dict[str, str | int | None]:
    """One entry that is due, with what there is to show for it; its further streams go with it when it is deleted."""
    entry, stored, original = facts.entry, facts.stored, facts.original
    return {
        "rule": rule.name,
        "entry_id": entry.id,
        "name": entry.name or None,
        "owner_id": entry.owner or None,
        "created_date": iso_date(entry.created_at) or None,
        "last_played_date": iso_date(entry.last_played_at) or None,
        "plays": entry.plays,
        "replaced_date": iso_date(stored.replaced_at) or None if stored else None,
        "kaltura_bytes": original.known_bytes if original else 0,
        "stored_key": stored.key if stored else None,
        "stored_bytes": stored.size_bytes if stored else None,
        "storage_class": stored.storage_class if stored else None,
        "sha256": stored.sha256 or None if stored else None,
        # What people delete rests on it.
        "evidence": _evidence(facts) if all(_evidence(stream) for stream in streams) else None,
        "why": f"selected by: {rule.query}",
    }


def _evidence(facts: Facts) -> str | None:
    """By what the stored copy is known to be the video that Kaltura has, or had; None where it is not."""
    stored, judgement = facts.stored, classify(facts)
    if stored is None or stored.proof is None or not stored.proven or stored.spoiled:
        return None
    if facts.further_sources or facts.sources_to_come:  # which S3 does not have
        return None
    away = judgement.state in (State.PLACEHOLDER, State.THIN)
    same = judgement.state is State.ARCHIVED and judgement.identity is Identity.SAME
    return str(stored.proof.evidence) if judgement.healthy and (away or same) else None


def folder_of(rule: str) -> str:
    """A rule's name as part of a path: readable, and no other rule's."""
    readable = re.sub(r"[^a-z0-9]+", "-", rule.lower()).strip("-")
    return f"{readable or 'rule'}-{hashlib.sha256(rule.encode()).hexdigest()[:6]}"


@dataclass(frozen=True)
class Listed:
    """The last list of a rule: when it was made (ISO 8601), and the ids of its entries."""

    at: str
    entry_ids: tuple[str, ...]


def last_list(store: Store, rule: str) -> Listed | None:
    """The last list that a run has made by a rule; None where it cannot be read, or is none. Raises StoreError."""
    keys = [key for page in store.pages(f"{PREFIX}{folder_of(rule)}/") for key, *_ in page if key.endswith(".json")]
    last = max((key for key in keys if ".part" not in key), default="")
    if not last:
        return None
    try:
        records = [_record(store, key) for key in (last, *sorted(key for key in keys if _is_part(key, last)))]
        if len(records) == records[0].get("parts", 1):
            ids = tuple(str(entry_id) for record in records for entry_id in record["entries"])
            return Listed(str(records[0]["at"]), ids)
        why = "a part of it is missing"
    except StoreError as error:
        if error.code != "InvalidObjectState":
            raise
        why = "it is frozen"
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        why = "it is no list of a run"
    log.warning("%s: %s: what was deleted since is not told", last, why)
    return None


def _record(store: Store, key: str) -> Mapping[str, Any]:
    told = store.get_text(key, MAX_RECORD_BYTES)
    record: Mapping[str, Any] = json.loads(told[0] if told else "")
    return record


def _is_part(key: str, first: str) -> bool:
    return key.startswith(f"{first.removesuffix('.json')}.part")


def gone_since(kaltura: Kaltura, listed: Listed) -> list[str]:
    """Which of its entries a person has deleted in Kaltura since."""
    return [entry_id for entry_id, entry in kaltura.entries(listed.entry_ids) if entry is None]


def remember(
    store: Store, rule: str, run: str, now: float, policy_sha256: str, entry_ids: Sequence[str], csv: bytes,
    gone: Sequence[str], *, keep_csv: bool = False,
) -> str:  # fmt: skip
    """Write down what was listed, and what was found to be gone. That it cannot be written is told: it is the proof.

    `keep_csv`: the list itself, too, beside it; its key is the answer, empty where that failed.
    """
    at, count = iso_time(now), -(-max(len(entry_ids), len(gone), 1) // IDS_OF_PART)
    cuts = [slice(n * IDS_OF_PART, (n + 1) * IDS_OF_PART) for n in range(count)]
    parts: list[dict[str, Any]] = [{"entries": list(entry_ids[cut]), "gone": list(gone[cut])} for cut in cuts]
    parts[0] = {
        "run": run, "rule": rule, "at": at, "policy_sha256": policy_sha256,
        "csv_sha256": hashlib.sha256(csv).hexdigest(), "parts": count, **parts[0],
    }  # fmt: skip
    key = f"{PREFIX}{folder_of(rule)}/{at.replace('-', '').replace(':', '')}-{run}"
    list_key = f"{key}.csv"
    try:
        if keep_csv:
            store.put_text(list_key, csv.decode(), if_match="")
        # The first one last: where it is the list is whole.
        for number in reversed(range(count)):
            part = f".part{number + 1:05d}" if number else ""
            store.put_text(f"{key}{part}.json", json.dumps(parts[number]), if_match="")
    except StoreError as error:
        log.warning("the list of the rule %r is not remembered in the bucket: %s", rule, error)
        return ""
    return list_key
