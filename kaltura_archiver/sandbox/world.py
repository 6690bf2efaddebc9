"""Both sandbox servers together, and entries in any state on demand."""

from __future__ import annotations

import base64
import functools
import hashlib
import os
import random
import struct
import tempfile
from pathlib import Path
from typing import Any

from awscrt import checksums

from kaltura_archiver.model import ARCHIVED_TAG, PLACEHOLDER_PREFIX, REPLACED_TAG, THIN_TAG, State, iso_time
from kaltura_archiver.sandbox.control import Control
from kaltura_archiver.sandbox.kaltura.server import KalturaServer
from kaltura_archiver.sandbox.media import make_mp4
from kaltura_archiver.sandbox.s3 import S3Server

YEAR_SECONDS = 365.25 * 86400
_SUBJECTS = ("Algebra", "Organic Chemistry", "Gespräch über Bücher", "日本語講義", "Macroeconomics", "Anatomy")
ASIDE = ("KALTURA_SECRET", "AWS_PROFILE", "AWS_SESSION_TOKEN")
PLACEHOLDER_NAME = "placeholder_video.mp4"

_TAGS = {
    State.LOST: f"{ARCHIVED_TAG}, {REPLACED_TAG}",
    State.BUSY: ARCHIVED_TAG,
    State.NO_ORIGINAL: ARCHIVED_TAG,
    State.UNBACKED: ARCHIVED_TAG,
    State.ARCHIVED: ARCHIVED_TAG,
    State.DIVERGED: ARCHIVED_TAG,
    State.UNSETTLED: f"{ARCHIVED_TAG}, {REPLACED_TAG}",
    State.PLACEHOLDER: f"{ARCHIVED_TAG}, {REPLACED_TAG}",
    State.HALF_TAGGED: REPLACED_TAG,
    State.THIN: f"{ARCHIVED_TAG}, {THIN_TAG}",
    State.HALF_THIN: f"{ARCHIVED_TAG}, {THIN_TAG}",
}
_BOXES = ((b"ftyp", b"isom\0\0\2\0isom"), (b"free", b"This video is archived."), (b"moov", bytes(64)))
_WITHOUT_COPY = (State.LOST, State.EMPTY, State.INITIAL, State.UNBACKED)
_WITH_PLACEHOLDER = (State.LOST, State.PLACEHOLDER, State.HALF_TAGGED)


def crc64nvme(content: bytes) -> str:
    """As S3 writes it."""
    return base64.b64encode(checksums.crc64nvme(content).to_bytes(8, "big")).decode()


@functools.cache
def _placeholder(*, real: bool) -> bytes:
    """The same for every sandbox of a process: encoding takes longer than starting the servers.

    A look-alike is what a player opens and finds nothing in: smaller than any video, as placeholders are.
    """
    if not real:
        return b"".join(struct.pack(">I4s", len(data) + 8, kind) + data for kind, data in _BOXES)
    return make_mp4(seconds=1, seed=404, text="This video is archived. It will be back tomorrow.")


def set_aside() -> None:
    """Forget what the shell says of another Kaltura and S3: ours would look for that profile."""
    for name in ASIDE:
        os.environ.pop(name, None)


class Sandbox:
    """A Kaltura account and a bucket on loopback, with a placeholder video in `directory`. A context manager.

    `thaw_seconds` is how long Glacier takes, None for AWS's hours (move `control.clock`); `conversion_seconds` how
    long a conversion takes.
    """

    def __init__(
        self,
        directory: Path | None = None,
        *,
        thaw_seconds: float | None = None,
        conversion_seconds: float = 0.2,
        real_videos: bool = True,
    ) -> None:
        self.control = Control()
        self.kaltura = KalturaServer(self.control)
        self.kaltura.settings.conversion_seconds = conversion_seconds
        self.s3 = S3Server(self.control)
        self.s3.settings.thaw_seconds = thaw_seconds
        self._temporary = tempfile.TemporaryDirectory(prefix="kaltura-sandbox-") if directory is None else None
        self.directory = directory or Path(self._temporary.name if self._temporary else ".")
        self.placeholder = _placeholder(real=real_videos)
        self.placeholder_path = self.directory / PLACEHOLDER_NAME
        self.placeholder_path.write_bytes(self.placeholder)
        self._real_videos = real_videos
        self._made = 0

    def __enter__(self) -> Sandbox:
        self.kaltura.start()
        self.s3.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.s3.stop()
        self.kaltura.stop()
        if self._temporary:
            self._temporary.cleanup()

    def environ(self) -> dict[str, str]:
        """The environment in which the tool works on this sandbox."""
        return {
            "KALTURA_PARTNERID": str(self.kaltura.partner_id),
            "KALTURA_APP_TOKEN_ID": self.kaltura.app_token_id,
            "KALTURA_APP_TOKEN": self.kaltura.app_token,
            "KALTURA_USERID": self.kaltura.user_id,
            "KALTURA_SERVICE_URL": self.kaltura.url,
            "KALTURA_POLL_SECONDS": "0.05",
            "KALTURA_SETTLE_SECONDS": "0.1",
            "AWS_BUCKET": self.s3.bucket,
            "AWS_ENDPOINT_URL": self.s3.url,
            "AWS_ACCESS_KEY_ID": self.s3.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.s3.secret_access_key,
            "AWS_DEFAULT_REGION": "us-east-1",
            "PLACEHOLDER_VIDEO": str(self.placeholder_path),
        }

    def secrets(self) -> list[str]:
        """What must never be printed: the secret, the app token, S3's key, and every KS given out so far."""
        kaltura = self.kaltura
        return [kaltura.secret, kaltura.app_token, self.s3.secret_access_key, *kaltura.sessions.issued]

    def video(self, **details: Any) -> bytes:
        """The bytes of a video that no other entry has: a real MP4, or a cheap look-alike for tests of many."""
        self._made += 1
        if self._real_videos or details:
            return make_mp4(seed=self._made, **details)
        # No two of the same size: sizes are evidence.
        return f"video {self._made}\n".encode() * (400 + self._made)

    def add(
        self,
        state: State | str,
        *,
        content: bytes | None = None,
        storage_class: str = "STANDARD",
        age_years: float = 5.0,
        tags: str = "",
        **fields: Any,
    ) -> str:
        """Add an entry in this state, as a run of the tool would have left it, and return its id.

        `content` is the archived video, the original where Kaltura still has it. `fields` go to `add_entry`.
        """
        state = State(state)
        video = self.video() if content is None else content
        shown: bytes | None = video
        if state in _WITH_PLACEHOLDER:
            shown = self.placeholder
        elif state is State.DIVERGED:
            shown = self.video()
        if state in (State.EMPTY, State.NO_ORIGINAL):
            fields["status"] = "7"
        if state is State.BUSY:
            fields |= {"status": "1", "original_status": 1}
        all_tags = ", ".join(filter(None, (tags, _TAGS.get(state, ""))))
        fields.setdefault("created_at", int(self.control.clock.now() - age_years * YEAR_SECONDS))
        entry = self.kaltura.add_entry(shown, tags=all_tags, **fields)
        original = self.kaltura.original(entry.id)
        if state in _WITH_PLACEHOLDER and original:
            original.version, original.contents = 12, {12: original.contents[2]}  # it came by a swap
        if state not in _WITHOUT_COPY:
            more = {"thin": self._largest_derived(entry.id)} if state is State.THIN else {}
            self.store(entry.id, video, storage_class=storage_class, holds_video=state not in _WITH_PLACEHOLDER, **more)
        if state in (State.THIN, State.HALF_THIN):
            self.take_original_away(entry.id)
        return entry.id

    def take_original_away(self, entry_id: str) -> None:
        """Delete the original of an entry, whose derived flavors play on."""
        if original := self.kaltura.original(entry_id):
            self.kaltura.library.delete_asset(original)

    def _largest_derived(self, entry_id: str) -> str:
        """The flavor that plays on without the original, and is the only one left."""
        derived = [asset for asset in self.kaltura.library.live_assets(entry_id) if not asset.is_original]
        kept, *others = sorted(derived, key=lambda asset: -asset.size_in_bytes)
        for asset in others:
            self.kaltura.library.delete_asset(asset)
        return f"{kept.id}@{kept.version}"

    def store(self, entry_id: str, video: bytes, *, storage_class: str, holds_video: bool, **more: str) -> None:
        """Put the stored copy of an entry, with the metadata and tags that the tool would have given it."""
        original = self.kaltura.original(entry_id)
        md5 = hashlib.md5(video, usedforsecurity=False).hexdigest()
        tags = {"sha256": hashlib.sha256(video).hexdigest(), "proof": f"checksum {crc64nvme(video)} {md5}"}
        here = f"{original.id}@{original.version}" if original else "0_gone@2"
        if holds_video and original:
            tags["flavor"] = here
        else:
            digest, size = hashlib.sha256(self.placeholder).hexdigest(), len(self.placeholder)
            tags |= {"flavor": "0_before@2", "placeholder": f"{here} {digest} {size}"}
            if original:
                self.s3.put(f"{PLACEHOLDER_PREFIX}{entry_id}/{here}/{size}", b"")
        tags |= more
        metadata = {"entry-id": entry_id, "file-ext": "mp4", "source-bytes": str(len(video)), "tool": "sandbox"}
        metadata["archived-at"] = iso_time(self.control.clock.now())
        self.s3.put(entry_id, video, storage_class=storage_class, metadata=metadata, tags=tags)

    def fill_more(self, entries: int) -> None:
        """So many lectures of some years, few of which are still played; the same at each call."""
        chance = random.Random(entries)  # noqa: S311 - a library, no secret
        now = self.control.clock.now()
        for number in range(entries):
            age = chance.uniform(0, 8) * YEAR_SECONDS
            plays = int(chance.paretovariate(0.6)) - 1
            self.kaltura.add_entry(
                content_bytes=int(chance.lognormvariate(11, 1)),
                name=f"{chance.choice(_SUBJECTS)}, lecture {number + 1}",
                created_at=now - age,
                plays=plays,
                creator_id=f"lecturer{number % 17}",
                last_played_at=now - chance.random() ** 0.5 * age if plays else None,
            )

    def fill(self) -> dict[str, str]:
        """A small library with every state in it; returns each entry's id and what it is."""
        added = {}
        for number, state in enumerate(State):
            frozen = "GLACIER" if state is State.PLACEHOLDER else "STANDARD"
            name = f"Lecture {number + 1}: {state}"
            added[self.add(state, storage_class=frozen, name=name, creator_id="lecturer")] = str(state)
        more: list[tuple[str, dict[str, Any]]] = [
            ("Gespräch über Bücher, 講義", {"tags": "seminar, über", "last_played_at": None}),
            ("Tagged archive, which is not the marker", {"tags": "archive"}),
            ("Played last month", {"plays": 12, "last_played_at": self.control.clock.now() - 30 * 86400}),
            ("Uploaded yesterday", {"age_years": 0.003}),
        ]
        for name, fields in more:
            added[self.add(State.INITIAL, name=name, creator_id="lecturer", **fields)] = name
        return added
