"""The control endpoints of the sandbox."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import TYPE_CHECKING, Any

from kaltura_archiver.sandbox.kaltura.answers_of_files import FileAnswer, text_answer
from kaltura_archiver.sandbox.kaltura.wire import ApiError

if TYPE_CHECKING:
    from kaltura_archiver.sandbox.kaltura.server import KalturaServer


def control_answer(owner: KalturaServer, method: str, path: str, body: bytes) -> FileAnswer:
    try:
        value = _control_value(owner, f"{method} {path}", json.loads(body) if body else {})
    except (ValueError, TypeError, KeyError, AttributeError, ApiError) as error:
        return text_answer(json.dumps({"error": str(error)}).encode(), 400, "application/json")
    if value is None:
        return text_answer(b'{"error": "not found"}', 404, "application/json")
    return text_answer(json.dumps(value).encode(), 200, "application/json")


def _control_value(owner: KalturaServer, what: str, sent: dict[str, Any]) -> Any:
    if what == "GET /sandbox/log":
        return [dataclasses.asdict(request) for request in owner.control]
    if what == "POST /sandbox/advance":
        owner.control.clock.advance(float(sent["seconds"]))
        return {"now": owner.control.clock.now()}
    if what == "POST /sandbox/faults":
        owner.control.add_fault(**sent)
        return {"added": True}
    if what == "POST /sandbox/edit":
        entry_id = str(sent.pop("id"))
        owner.edit(entry_id, **sent)
        return {"edited": entry_id}
    if what == "GET /sandbox/entries":
        return [_summary_of_request(owner, entry_id) for entry_id in list(owner.entries)]
    return None


def _summary_of_request(owner: KalturaServer, entry_id: str) -> dict[str, Any]:
    entry, original = owner.entries[entry_id], owner.original(entry_id)
    content = original.contents.get(original.version) if original else None
    # Content that is only a size is not hashed: it may be gigabytes.
    known = content.data if content else None
    return {
        "id": entry.id,
        "name": entry.name,
        "tags": entry.tags,
        "status": entry.status,
        "replacement_status": entry.replacement_status,
        "original": original.id if original else None,
        "original_status": original.status if original else None,
        "version": original.version if original else None,
        "bytes": content.size if content else None,
        "sha256": None if known is None else hashlib.sha256(known).hexdigest(),
    }
