"""A library in the sandbox as years of `kaltura_aws.py` would have left it, with what went wrong on the way.

Made by that tool's own calls, at their times: it deleted every flavor, added the placeholder, and took a frame of it at
once (`media.updateThumbnail`, at 1 s). Its objects have the entry's id for a key, and neither metadata nor tags nor a
checksum of S3's; a lifecycle rule froze most.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from kaltura_archiver.model import ARCHIVED_TAG
from kaltura_archiver.sandbox.kaltura.pictures import USUAL_SECONDS, Frame
from kaltura_archiver.sandbox.kaltura.records import Content, EntryRecord, Token, new_id
from kaltura_archiver.sandbox.world import Sandbox

YEAR = 31_557_600
UPLOADED, ARCHIVED, REPLACED, SINCE = 9 * YEAR, 5 * YEAR, 4 * YEAR, 1 * YEAR  # ago
PLACEHOLDER_BYTES = 50_000  # of which the old tool's 3 % are some KB
BOTH = f"{ARCHIVED_TAG}, flavors_deleted"
OLD_FRAME_SECONDS = 1


@dataclass
class Left:
    """An entry as it was left: the videos that people have uploaded to it, and the pictures that they added."""

    id: str
    videos: list[bytes] = field(default_factory=list)
    pictures: list[bytes] = field(default_factory=list)


def frame(content: bytes, seconds: float = USUAL_SECONDS) -> bytes:
    """A picture that Kaltura takes of a content."""
    return Frame(Content.of(content), seconds).read()


class OldLibrary:
    """Makes entries; each method is something that the old tool, or somebody beside it, did at some time."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.kaltura, self.s3 = sandbox.kaltura, sandbox.s3
        if len(sandbox.placeholder) < PLACEHOLDER_BYTES:
            missing = PLACEHOLDER_BYTES - len(sandbox.placeholder)
            sandbox.placeholder += struct.pack(">I4s", missing, b"free") + bytes(missing - 8)
            sandbox.placeholder_path.write_bytes(sandbox.placeholder)

    @contextmanager
    def _ago(self, seconds: float) -> Iterator[None]:
        self.sandbox.control.clock.advance(-seconds)
        try:
            yield
            self.kaltura.settle()
        finally:
            self.sandbox.control.clock.advance(seconds)

    def uploaded(self, **fields: Any) -> Left:
        """A video, with the automatic picture of it."""
        video = self.sandbox.video() * 100  # of which 3 % are some KB
        with self._ago(UPLOADED):
            entry = self.kaltura.add_entry(video, tags="lecture", creator_id="lecturer", **fields)
        return Left(entry.id, [video])

    def archived(self, *, stored: bytes | None = None, tagged: bool = True, **fields: Any) -> Left:
        """What `s3copy` left. `fields` are those of the object, and `exact_size`."""
        left = self.uploaded(**{name: fields.pop(name) for name in ("exact_size",) if name in fields})
        with self._ago(ARCHIVED):
            body = left.videos[0] if stored is None else stored
            self.s3.put(left.id, body, **{"storage_class": "GLACIER", "checksum": False, **fields})
            if tagged:
                self.kaltura.edit(left.id, tags=f"lecture, {ARCHIVED_TAG}")
        return left

    def replaced(self, *, tagged: bool = True, framed: bool = True, **fields: Any) -> Left:
        """What `replace_video` left; not `framed`, and so not `tagged`, where Kaltura had no frame of it in time."""
        left = self.archived(**fields)
        self.replace(left, tagged=tagged, framed=framed)
        return left

    def replace(self, left: Left, *, tagged: bool = True, framed: bool = True) -> None:
        with self._ago(REPLACED):
            self.delete_flavors(left)
            self._add_content(left, self.sandbox.placeholder)
            if framed:
                self.kaltura.library.take_thumb(self.entry(left), OLD_FRAME_SECONDS)
            if tagged:
                self.kaltura.edit(left.id, tags=f"lecture, {BOTH}")

    def delete_flavors(self, left: Left, *, but: int | None = None) -> None:
        """All of them, or (cut short) all but the one of these flavor parameters."""
        library = self.kaltura.library
        with library.lock:
            for asset in library.live_assets(left.id):
                if asset.flavor_params_id != but:
                    library.delete_asset(asset)

    def _add_content(self, left: Left, content: bytes) -> None:
        library = self.kaltura.library
        token = Token(new_id(), status=2, file_name="placeholder_video.mp4", data=bytearray(content))
        with library.lock:
            library.tokens[token.id] = token
            library.add_content(self.entry(left), {"objectType": "KalturaUploadedFileTokenResource", "token": token.id})

    def picture(self, left: Left, ago: float, *, default: bool = True) -> None:
        """Somebody adds a picture of their own, and chooses it."""
        image = f"picture {len(left.pictures) + 1} of {left.id}".encode()
        with self._ago(ago):
            self.kaltura.library.add_thumb(left.id, image, default=default)
        left.pictures.append(image)

    def entry(self, left: Left) -> EntryRecord:
        return self.kaltura.entries[left.id]


# What was left, by what became of it.


def _frozen(made: OldLibrary) -> Left:
    return made.archived(part_bytes=1000)


def _another_within_3_percent(made: OldLibrary) -> Left:
    """A download that was cut, or the original of another day: the old tool compared sizes, and was content."""
    left = made.uploaded(exact_size=False)
    with made._ago(ARCHIVED):
        made.s3.put(left.id, left.videos[0][: len(left.videos[0]) * 98 // 100], checksum=False)
        made.kaltura.edit(left.id, tags=f"lecture, {ARCHIVED_TAG}")
    return left


def _rounded(made: OldLibrary) -> Left:
    return made.archived(exact_size=False, storage_class="STANDARD")


def _replaced_rounded(made: OldLibrary) -> Left:
    left = made.replaced(exact_size=False)
    for asset in made.kaltura.library.live_assets(left.id):
        asset.size_in_bytes = 0  # the placeholder's, too, in those years
    return left


def _with_a_lost_picture(made: OldLibrary) -> Left:
    """Somebody had chosen a picture of their own; the frame of the placeholder took its place."""
    left = made.archived(storage_class="STANDARD")
    made.picture(left, ARCHIVED, default=False)
    made.picture(left, ARCHIVED - 100)
    made.replace(left)
    return left


def _with_a_picture_since(made: OldLibrary) -> Left:
    left = made.replaced(storage_class="STANDARD")
    made.picture(left, SINCE)
    return left


def _with_a_thumb_asset(made: OldLibrary) -> Left:
    """As it would be if `updateThumbnail` made a thumb asset: one that a swap leaves where it is."""
    left = made.replaced(storage_class="STANDARD")
    with made._ago(REPLACED - 2):
        made.kaltura.library.add_thumb(left.id, frame(made.sandbox.placeholder, OLD_FRAME_SECONDS), default=True)
    return left


def _without_original(made: OldLibrary) -> Left:
    """Cut between the deletions and the upload."""
    left = made.archived(storage_class="STANDARD")
    with made._ago(REPLACED):
        made.delete_flavors(left)
    return left


def _without_original_but_a_flavor(made: OldLibrary) -> Left:
    left = made.archived(storage_class="STANDARD")
    with made._ago(REPLACED):
        made.delete_flavors(left, but=2)
    return left


def _cut_in_a_restore(made: OldLibrary) -> Left:
    left = made.replaced(storage_class="STANDARD")
    with made._ago(SINCE):
        made.delete_flavors(left)
    return left


def _never_had_one(made: OldLibrary) -> Left:
    with made._ago(UPLOADED):
        return Left(made.kaltura.add_entry(status="7", tags="lecture").id)


def _empty_object(made: OldLibrary) -> Left:
    """Kaltura's error page, which has no bytes, was stored as the video."""
    return made.archived(stored=b"", storage_class="STANDARD")


def _newer_upload(made: OldLibrary) -> Left:
    left = made.replaced(storage_class="STANDARD")
    newer = made.sandbox.video() * 200
    with made._ago(SINCE):
        made.kaltura.replace_original(left.id, newer)
    left.videos.append(newer)
    return left


def _placeholder_archived(made: OldLibrary) -> Left:
    """The object was gone, and `s3copy` took the placeholder for the video."""
    left = made.replaced(stored=made.sandbox.placeholder, storage_class="STANDARD")
    left.videos.clear()
    return left


KINDS: dict[str, Callable[[OldLibrary], Left]] = {
    "untouched": OldLibrary.uploaded,
    "archived": lambda made: made.archived(storage_class="STANDARD"),
    "archived, frozen": _frozen,
    "archived, size in KB": _rounded,
    "archived, no tag": lambda made: made.archived(tagged=False),
    "archived, other bytes": _another_within_3_percent,
    "archived, no bytes": _empty_object,
    "replaced": lambda made: made.replaced(storage_class="STANDARD"),
    "replaced, frozen": OldLibrary.replaced,
    "replaced, size in KB": _replaced_rounded,
    "replaced, no tag": lambda made: made.replaced(tagged=False, framed=False, storage_class="STANDARD"),
    "replaced, own picture lost": _with_a_lost_picture,
    "replaced, own picture since": _with_a_picture_since,
    "replaced, thumb asset": _with_a_thumb_asset,
    "replaced, newer upload": _newer_upload,
    "replaced, placeholder archived": _placeholder_archived,
    "no original": _without_original,
    "no original, a flavor": _without_original_but_a_flavor,
    "no original, replaced": _cut_in_a_restore,
    "no original, no copy": _never_had_one,
}


def fill(sandbox: Sandbox) -> dict[str, Left]:
    """One entry of each kind."""
    made = OldLibrary(sandbox)
    return {kind: make(made) for kind, make in KINDS.items()}
