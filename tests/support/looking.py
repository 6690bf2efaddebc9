"""What tests look at in a sandbox, and what they do to it."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from kaltura_archiver.model import ARCHIVED_TAG, REPLACED_TAG, State, StoredObject
from kaltura_archiver.run import lock
from kaltura_archiver.run import run as acting
from kaltura_archiver.sandbox.control import Request
from kaltura_archiver.sandbox.kaltura.server import Asset, Token
from kaltura_archiver.sandbox.world import Sandbox, crc64nvme
from kaltura_archiver.store import Store
from kaltura_archiver.transfer.streams import Inflow, poured

Run = Callable[..., Any]
LOCK, RUN_LOG = acting._lock, acting._run_log
MiB = 2**20
BOTH = f"{ARCHIVED_TAG}, {REPLACED_TAG}"

# What a command starts from, and what it brings an entry to.
START = {"s3copy": State.INITIAL, "replace_video": State.ARCHIVED, "restore": State.PLACEHOLDER}
GOAL = {"s3copy": State.ARCHIVED, "replace_video": State.PLACEHOLDER, "restore": State.ARCHIVED}


def displaced(sandbox: Sandbox) -> list[str]:
    """The keys of what was put aside."""
    keys: list[str] = list(sandbox.s3.keys())
    return [key for key in keys if key.startswith("displaced/")]


def inflow_of(content: bytes) -> Inflow:
    return Inflow(poured([content], len(content)), threading.Event(), about_bytes=len(content))


def write(store: Store, key: str, content: bytes, **metadata: str) -> None:
    """Have the content stored, as the tool does."""
    with inflow_of(content) as chunks:
        store.write(key, chunks, len(content), metadata=metadata, storage_class="STANDARD")


def read(store: Store, stored: StoredObject) -> bytes:
    """The stored content, as the tool reads it."""
    with store.read(stored) as chunks:
        return b"".join(piece for chunk in chunks for piece in chunk)


def assets_of(sandbox: Sandbox, entry_id: str) -> dict[int, Asset]:
    """The flavors that are there now, by the id of their params."""
    library = sandbox.kaltura.library
    with library.lock:
        library.tick()
        return {asset.flavor_params_id: asset for asset in library.live_assets(entry_id)}


def original_of(sandbox: Sandbox, entry_id: str) -> Asset:
    found = sandbox.kaltura.original(entry_id)
    assert found is not None
    return found


def content_id(sandbox: Sandbox, entry_id: str) -> str:
    found = original_of(sandbox, entry_id)
    return f"{found.id}@{found.version}"


def act(run: Run, command: str, entry_id: str, *options: str) -> Any:
    """What a command that acts on this entry printed and returned."""
    return run(command, "--id", entry_id, "--no-dry-run", *options)


def content_of(sandbox: Sandbox) -> dict[str, Any]:
    """All that either service holds, less what time alone changes."""
    return {
        "entries": {
            e.id: (e.tags, e.status, e.replacement_status, e.updated_at) for e in sandbox.kaltura.entries.values()
        },
        "assets": {a.id: (a.version, a.status, a.size_in_bytes) for a in sandbox.kaltura.assets.values()},
        "tokens": sorted(sandbox.kaltura.tokens),
        "objects": [(key, sandbox.s3.body(key), sandbox.s3.tags(key)) for key in list(sandbox.s3.keys())],
        "uploads": sandbox.s3.uploads(),
    }


def names(library: dict[str, str], rows: list[dict[str, str]]) -> set[str]:
    """The names, in a library made for a test, of the entries that rows are about."""
    known = {entry_id: name for name, entry_id in library.items()}
    return {known[row["entry_id"]] for row in rows}


def mark_of(sandbox: Sandbox, entry_id: str) -> str:
    """The key of the one mark about an entry's stored copy."""
    keys = sandbox.s3.keys()
    [mark] = [key for key in keys if key.startswith(f"suspect/{entry_id}/")]
    return mark


def proof(sandbox: Sandbox, entry_id: str, evidence: str, content: bytes) -> str:
    """The tag of an object by which it is known to hold this content."""
    return f"{evidence} {crc64nvme(content)} {sandbox.s3.etag(entry_id)}"


def shown(sandbox: Sandbox, entry_id: str) -> bytes:
    """What Kaltura serves as the entry's original."""
    return sandbox.kaltura.content(original_of(sandbox, entry_id).id)


def tags_of(sandbox: Sandbox, entry_id: str) -> str:
    return sandbox.kaltura.entries[entry_id].tags


def state_of(run: Run, entry_id: str) -> str:
    return str(run("explain", entry_id, "--format", "json").json["state"]["name"])


def writes(sandbox: Sandbox, operation: str = "*") -> list[Request]:
    return [r for r in sandbox.control.requests(operation) if r.writes]


def made(sandbox: Sandbox) -> Iterator[tuple[str, list[str]]]:
    """Each HTTP request so far: whom it went to, and the calls in it. Of a run that asks one thing at a time.

    What Kaltura itself fetches may come between the calls of one request.
    """
    parts: list[str] = []  # still to come of a multirequest
    for request in sandbox.control.requests():
        if request.server == "kaltura" and request.operation in parts:
            parts.remove(request.operation)
            continue
        calls: list[str] = request.parameters.get("calls", [request.operation])
        parts += calls if request.operation == "multirequest" else []
        yield request.server, calls


def http_requests(sandbox: Sandbox) -> int:
    """How many HTTP requests there were so far, signing in not counted."""
    signing_in = ("session.", "appToken.")
    calls = [request for request in sandbox.control.requests() if not request.operation.startswith(signing_in)]
    return len(calls) - sum(len(request.parameters.get("calls", ())) for request in calls)


def unused_tokens(sandbox: Sandbox) -> list[str]:
    """Upload tokens that were neither used up (3) nor deleted (5)."""
    return [token.id for token in sandbox.kaltura.tokens.values() if token.status not in (3, 5)]


def big(sandbox: Sandbox, mebibytes: float) -> bytes:
    """Content whose parts all differ."""
    seed = sandbox.video()
    pieces = [hashlib.sha256(seed + n.to_bytes(4, "big")).digest() * 8192 for n in range(int(mebibytes * 4))]
    return b"".join(pieces) + seed


def somebody_replaces(sandbox: Sandbox, entry_id: str, content: bytes) -> None:
    """Another client's updateContent, its conversion under way."""
    library = sandbox.kaltura.library
    with library.lock:
        token = Token("0_somebody", status=2, file_name="v.mp4", data=bytearray(content), uploaded_size=len(content))
        library.tokens[token.id] = token
        resource = {"objectType": "KalturaUploadedFileTokenResource", "token": token.id}
        library.update_content(library.entries[entry_id], resource)


def lose_flavor_tag(sandbox: Sandbox, entry_id: str) -> None:
    body = sandbox.s3.body(entry_id)
    assert body is not None
    sandbox.s3.put(entry_id, body)


def copies(sandbox: Sandbox) -> list[str]:
    """The keys of the bucket less the marks of placeholders."""
    return [key for key in list(sandbox.s3.keys()) if not key.startswith("placeholders/")]


def do_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries without their pauses."""
    monkeypatch.setattr("kaltura_archiver.kaltura.Kaltura._pause", lambda self, seconds: False)
    monkeypatch.setattr("kaltura_archiver.transfer.pacing.FIRST_PAUSE_SECONDS", 0.0)
    # botocore pauses for up to two seconds before it tries again.
    monkeypatch.setattr("botocore.endpoint.time", SimpleNamespace(sleep=lambda seconds: None))


def assert_restored(sandbox: Sandbox, run: Run, entry_id: str, content: bytes, *, evidence: str = "read") -> None:
    assert hashlib.sha256(shown(sandbox, entry_id)).digest() == hashlib.sha256(content).digest()
    assert tags_of(sandbox, entry_id) == ARCHIVED_TAG
    assert sandbox.s3.body(entry_id) == content
    tags = sandbox.s3.tags(entry_id)
    assert tags.pop("restored-at")
    assert tags == {
        "sha256": hashlib.sha256(content).hexdigest(),
        "flavor": content_id(sandbox, entry_id),
        "proof": proof(sandbox, entry_id, evidence, content),
    }
    assert copies(sandbox) == [entry_id]
    assert state_of(run, entry_id) == "archived"
    # So certain that the next replace may begin at once.
    assert run("replace_video", "--id", entry_id).outcomes == {entry_id: "would"}


def use_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have `run` take the lock, which it otherwise leaves out."""
    monkeypatch.setattr(acting, "_lock", LOCK)


def do_not_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have no run try what the S3 service keeps, which takes nine requests: store/test_probe.py is about that."""
    monkeypatch.setattr(lock, "probe", lambda store, key, text, etag, **_: (etag, ()))


def use_run_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have `run` keep its log in the bucket, which it otherwise leaves out."""
    monkeypatch.setattr(acting, "_run_log", RUN_LOG)


def free_locks(sandbox: Sandbox) -> None:
    """What an operator does who knows that every run is over, some seconds later."""
    for key in sandbox.s3.keys():  # noqa: SIM118 - no mapping
        if key.startswith("locks/"):
            record = json.loads(sandbox.s3.body(key) or b"{}")
            sandbox.s3.put(key, json.dumps(record | {"released": True}).encode())
    sandbox.control.clock.advance(5)


def assert_nothing_left(sandbox: Sandbox, *, lost_tokens: int = 0) -> None:
    assert sandbox.s3.uploads() == []
    assert len(unused_tokens(sandbox)) == lost_tokens


def assert_goal(sandbox: Sandbox, run: Run, command: str, entry_id: str, video: bytes) -> None:
    assert state_of(run, entry_id) == GOAL[command]
    assert shown(sandbox, entry_id) == (sandbox.placeholder if command == "replace_video" else video)
    assert sandbox.s3.body(entry_id) == video
    if command != "replace_video":
        assert sandbox.s3.tags(entry_id)["flavor"] == content_id(sandbox, entry_id)
    assert run(command, "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "already"}


def move_copy(sandbox: Sandbox, key: str, *, checksum: bool = True) -> None:
    """Have an object copied, as a migration of its bucket does: all is as it was, but younger by S3's word."""
    sandbox.s3.put(
        key,
        sandbox.s3.body(key) or b"",
        storage_class=sandbox.s3.storage_class(key) or "STANDARD",
        metadata=sandbox.s3.metadata(key),
        tags=sandbox.s3.tags(key),
        checksum=checksum,
    )
