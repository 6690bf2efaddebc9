"""What is walked: for each scenario an entry in some state, and the commands that are to bring it to a goal."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from kaltura_archiver.model import ARCHIVED_TAG, REPLACED_TAG, State
from kaltura_archiver.sandbox.kaltura.records import TOKEN_FULL, Token, new_id
from kaltura_archiver.sandbox.world import Sandbox

# INTACT is ARCHIVED but for the certainty that s3copy adds: repair reads no original that it need not read.
ARCHIVED, INTACT, REPLACED, THIN = "archived", "intact", "replaced", "thin"
PEOPLE_TAG = "lecture"

SMALL = 50_000
PARTS = 2_400_000  # three parts and three chunks of 1 MiB
BIG = 40_000_000  # five parts and three chunks as they are

Make = Callable[[Sandbox, bytes], str]


@dataclass(frozen=True)
class Stage:
    """A command, given again until its goal is reached."""

    arguments: tuple[str, ...]
    goal: str
    edited: bool | None = None  # of two videos, whether what was made of the first one is to be the entry's


@dataclass(frozen=True)
class Scenario:
    name: str
    make: Make
    stages: tuple[Stage, ...]
    size: int = SMALL
    patch: dict[str, Any] = field(default_factory=dict)
    replacement: bool = True
    app_token: bool = False
    edited: bool = False  # Kaltura shows `edit_of` what was archived
    by_category: bool = False  # selected by a search for its category, instead of by its id

    @property
    def in_place(self) -> bool:
        return not self.replacement

    @staticmethod
    def stream_of(entry_id: str) -> bytes:
        """The video of a further stream."""
        return random.Random(entry_id).randbytes(SMALL + sum(entry_id.encode()) % 997)

    def content(self, number: int) -> bytes:
        """A video that no other case has, and none of the placeholder's size."""
        return random.Random(number).randbytes(self.size + number % 997)


def _in(state: State, *, storage_class: str = "STANDARD", **fields: Any) -> Make:
    def make(sandbox: Sandbox, content: bytes) -> str:
        return sandbox.add(state, content=content, storage_class=storage_class, tags=PEOPLE_TAG, **fields)

    return make


def edit_of(content: bytes) -> bytes:
    """What somebody made of a video: another one, of another size."""
    return content[::-1][: len(content) * 2 // 3]


def _edited(state: State, **more: Any) -> Make:
    """Kaltura and S3 have two videos: it was restored and edited, or (PLACEHOLDER, DIVERGED) something was uploaded."""

    def make(sandbox: Sandbox, content: bytes) -> str:
        entry_id = _in(state, **more)(sandbox, content)
        if state is State.ARCHIVED:
            sandbox.s3.set_tags(entry_id, sandbox.s3.tags(entry_id) | {"restored-at": "2026-11-01T10:00:00Z"})
        sandbox.kaltura.replace_original(entry_id, edit_of(content))
        sandbox.kaltura.library.link_again(entry_id)
        return entry_id

    return make


def _labelled(state: State) -> Make:
    """People have set a label and a language on the original: they go to the bucket before a swap, and come back."""

    def make(sandbox: Sandbox, content: bytes) -> str:
        entry_id = _in(state)(sandbox, content)
        if original := sandbox.kaltura.original(entry_id):
            original.label, original.language = "a label", "German"
        return entry_id

    return make


def _adoptable(part_bytes: int | None) -> Make:
    """As the old tool left it: an object without metadata and tags, frozen since."""

    def make(sandbox: Sandbox, content: bytes) -> str:
        entry_id = sandbox.add(State.INITIAL, content=content, tags=PEOPLE_TAG)
        sandbox.s3.put(entry_id, content, storage_class="GLACIER", part_bytes=part_bytes, checksum=False)
        return entry_id

    return make


def _in_category(sandbox: Sandbox, content: bytes) -> str:
    """What only a search tells to be selected: in a category that the entry does not show."""
    number = 100 + len(sandbox.kaltura.entries)
    sandbox.kaltura.add_category(number, f"lectures {number}", privacy_context="MediaSpace")
    return sandbox.add(State.ARCHIVED, content=content, tags=PEOPLE_TAG, categories=(number,))


def _recording(state: State) -> Make:
    """With two further streams: child entries that no search finds."""

    def make(sandbox: Sandbox, content: bytes) -> str:
        entry_id = _in(state)(sandbox, content)
        for _ in range(2):
            stream = new_id()
            fields = {"id": stream, "parent_id": entry_id, "display_in_search": -1}
            sandbox.add(state, content=Scenario.stream_of(stream), tags=PEOPLE_TAG, **fields)
        return entry_id

    return make


def _empty_placeholder(sandbox: Sandbox, content: bytes) -> str:
    """What a replacement in place leaves that was cut after the deletions."""
    entry_id = sandbox.add(State.NO_ORIGINAL, content=content, tags=PEOPLE_TAG)
    sandbox.kaltura.edit(entry_id, tags=f"{PEOPLE_TAG}, {ARCHIVED_TAG}, {REPLACED_TAG}")
    return entry_id


def _replacing(sandbox: Sandbox, content: bytes) -> str:
    """A replacement of ours in progress: its run was killed just after updateContent."""
    entry_id = sandbox.add(State.ARCHIVED, content=content, tags=PEOPLE_TAG)
    kaltura = sandbox.kaltura
    kaltura.edit(entry_id, tags=f"{PEOPLE_TAG}, {ARCHIVED_TAG}, {REPLACED_TAG}")
    token = Token(new_id(), posted_name="placeholder.mp4", status=TOKEN_FULL, data=bytearray(sandbox.placeholder))
    with kaltura.library.lock:
        kaltura.tokens[token.id] = token
        resource = {"objectType": "KalturaUploadedFileTokenResource", "token": token.id}
        kaltura.library.update_content(kaltura.entries[entry_id], resource)
    return entry_id


_S3COPY = Stage(("s3copy",), ARCHIVED)
_REPLACE = Stage(("replace_video",), REPLACED)
_IN_PLACE = Stage(("replace_video", "--allow-in-place"), REPLACED)
_RESTORE = Stage(("restore",), ARCHIVED)
_RESTORE_IN_PLACE = Stage(("restore", "--allow-in-place"), ARCHIVED)
_THIN = Stage(("thin",), THIN)
_COPY_EDITED, _RESTORE_EDITED = Stage(("s3copy",), ARCHIVED, edited=True), Stage(("restore",), ARCHIVED, edited=True)
_KEEP_KALTURA = Stage(("resolve", "--keep", "kaltura"), ARCHIVED, edited=True)
_KEEP_S3 = Stage(("resolve", "--keep", "s3"), ARCHIVED, edited=False)
_PARTED = {"part_bytes": 1 << 20}

SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("s3copy", _in(State.INITIAL), (_S3COPY,), app_token=True),
        Scenario("s3copy-parts", _in(State.INITIAL), (_S3COPY,), PARTS, _PARTED),
        Scenario("s3copy-adopt", _adoptable(None), (_S3COPY,)),
        Scenario("s3copy-adopt-parts", _adoptable(1 << 20), (_S3COPY,), PARTS, _PARTED),
        Scenario("replace", _in(State.ARCHIVED), (_REPLACE,)),
        Scenario("replace-by-category", _in_category, (_REPLACE,), by_category=True),
        Scenario("replace-in-place", _in(State.ARCHIVED), (_IN_PLACE,), replacement=False),
        Scenario("restore", _in(State.PLACEHOLDER), (_RESTORE,)),
        Scenario("restore-parts", _in(State.PLACEHOLDER), (_RESTORE,), PARTS, _PARTED),
        Scenario("restore-in-place", _in(State.PLACEHOLDER), (_RESTORE_IN_PLACE,), replacement=False),
        Scenario("restore-glacier", _in(State.PLACEHOLDER, storage_class="GLACIER"), (_RESTORE,)),
        # What Kaltura fetches itself is verified by its size only.
        Scenario("restore-url", _in(State.PLACEHOLDER), (Stage(("restore", "--via", "url"), INTACT),)),
        Scenario("repair-untagged", _in(State.UNTAGGED), (Stage(("repair",), ARCHIVED),)),
        Scenario("repair-unsettled", _in(State.UNSETTLED), (Stage(("repair",), ARCHIVED),)),
        Scenario("repair-half-tagged", _in(State.HALF_TAGGED), (Stage(("repair",), REPLACED),)),
        Scenario("repair-no-original", _in(State.NO_ORIGINAL), (Stage(("repair",), INTACT),)),
        Scenario("repair-no-placeholder", _empty_placeholder, (Stage(("repair",), REPLACED),)),
        Scenario("repair-replacing", _replacing, (Stage(("repair",), REPLACED),)),
        Scenario(
            "cycle",
            _in(State.INITIAL),
            (Stage(("s3copy", "--storage-class", "GLACIER"), ARCHIVED), _REPLACE, _RESTORE),
        ),
        Scenario("cycle-40mb", _in(State.INITIAL), (_S3COPY, _REPLACE, _RESTORE), BIG),
        Scenario("replace-labelled", _labelled(State.ARCHIVED), (_REPLACE,)),
        Scenario("thin", _in(State.ARCHIVED), (_THIN,)),
        Scenario("thin-restore", _in(State.THIN), (_RESTORE,)),
        Scenario("thin-restore-glacier", _in(State.THIN, storage_class="GLACIER"), (_RESTORE,)),
        Scenario("thin-replace", _in(State.THIN), (_REPLACE,)),
        Scenario("thin-repair", _in(State.HALF_THIN), (Stage(("repair",), THIN),)),
        Scenario("thin-cycle", _labelled(State.ARCHIVED), (_THIN, _RESTORE)),
        Scenario("edited", _edited(State.ARCHIVED), (_COPY_EDITED, _REPLACE, _RESTORE_EDITED), edited=True),
        Scenario("edited-parts", _edited(State.ARCHIVED), (_COPY_EDITED,), PARTS, _PARTED, edited=True),
        Scenario("resolve-kaltura", _edited(State.DIVERGED), (_KEEP_KALTURA,), edited=True),
        Scenario("resolve-over-placeholder", _edited(State.PLACEHOLDER), (_KEEP_KALTURA,), edited=True),
        Scenario("resolve-s3", _edited(State.DIVERGED), (_KEEP_S3,), edited=True),
        Scenario(
            "resolve-s3-in-place",
            _edited(State.DIVERGED),
            (Stage(("resolve", "--keep", "s3", "--allow-in-place"), ARCHIVED, edited=False),),
            replacement=False,
            edited=True,
        ),
        Scenario("resolve-s3-glacier", _edited(State.DIVERGED, storage_class="GLACIER"), (_KEEP_S3,), edited=True),
        Scenario("restore-labelled", _labelled(State.PLACEHOLDER), (_RESTORE,)),
        Scenario("group", _recording(State.INITIAL), (_S3COPY, _REPLACE, _RESTORE)),
    )
}
