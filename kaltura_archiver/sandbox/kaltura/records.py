"""The records of the sandbox's Kaltura: entries, flavor assets, upload tokens, categories, app tokens, settings."""

from __future__ import annotations

import itertools
import re
import secrets
import string
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kaltura_archiver.sandbox.kaltura.pictures import Frame

PIECE = 1 << 20
MEDIA_CLIP = 1
IMAGE = 2

# Flavor asset statuses (kaltura-api.md 4.1).
ERROR, QUEUED, CONVERTING, READY, DELETED, NOT_APPLICABLE, TEMP, IMPORTING, EXPORTING = -1, 0, 1, 2, 3, 4, 5, 7, 9
# Upload token statuses (5.6).
TOKEN_PENDING, TOKEN_PARTIAL, TOKEN_FULL, TOKEN_CLOSED, TOKEN_DELETED = 0, 1, 2, 3, 5

# Why the file host has no file to send.
ENTRY_MISSING, FLAVOR_MISSING, FILE_MISSING = "ENTRY_NOT_FOUND", "FLAVOR_NOT_FOUND", "FILE_NOT_FOUND"

# The steps in which a replacement becomes visible; the server's own order (W40).
SWITCH_STEPS = ("original", "derived", "entry")
# What PHP's trim takes off, and how many bytes the column of the tags holds (real-kaltura M01, M07).
TRIMMED = " \t\n\r\0\x0b"
MAX_TAGS_BYTES = 65_535

_ID_LETTERS = string.digits + string.ascii_lowercase
_ID_COUNT = 36**8
_numbers = itertools.count(secrets.randbelow(_ID_COUNT))


def new_token_id() -> str:
    return f"0_{secrets.token_hex(16)}"


def same_id(text: object) -> str:
    """What the database compares of an id: neither case nor blanks at the end count (N04-N06)."""
    return str(text).rstrip(" ").lower()


def new_id() -> str:
    """An id that looks random and is never given twice: the factor shares no divisor with the number of ids."""
    number = next(_numbers) * 1_000_003_333_337 % _ID_COUNT
    letters = ""
    for _ in range(8):
        number, rest = divmod(number, 36)
        letters = _ID_LETTERS[rest] + letters
    return f"0_{letters}"


@dataclass
class KalturaSettings:
    """What an account or an installation may have otherwise; every field may be changed at any time.

    `conversion_seconds` on the sandbox's clock: the original is ready after half of it, the entry after all of it, and
    with `late_flavor` the last derived flavor `late_flavor_seconds` later (None: half of a conversion).
    `derived_flavors` is how many derived flavors a conversion makes; None means as many as the entry's own `derived`.
    `tie_order` "random" or "id".

    A search takes `search_seconds`; where Elasticsearch is out of reach (`search_down`), or takes
    `search_limit_seconds` or more, the answer is success with nothing in it (real-kaltura E231). The index does not
    know the entries `not_indexed` yet.
    A replacement that is ready becomes visible in the steps of `switch_order`, `switch_seconds` apart (None: a small
    part of a conversion); with 0 they are one. While `hold_jobs` is set conversions wait without an error, as they do
    where the account's job quota is used up.

    After a replacement the file is linked once more, `second_link_seconds` after the switch (kaltura-api 10.16): always
    with a profile of the source alone, with derived flavors where `second_link_always`; infinity holds it until
    `Library.link_again`.

    Where there are two data centres `data_centre` is the one, 0 or 1, in which content is set now: versions tell it.

    With `reencode_originals` the original is not what was uploaded; with `save_uploads` that is a flavor beside it.

    Without `picture_times` the file host does not say since when a picture is shown.

    Of an original of fewer than `flavor_min_bytes` times its number no derived flavor is made: it is not applicable, as
    one of 1080p is to a placeholder of 720p.
    """

    conversion_seconds: float = 0.3
    switch_seconds: float | None = None
    switch_order: tuple[str, ...] = SWITCH_STEPS
    hold_jobs: bool = False
    default_widget: bool = True
    second_link_seconds: float = 0.01
    second_link_always: bool = False
    data_centre: int = 0
    entry_replacement: bool = True
    replacement_approval: bool = False
    fail_next_conversions: int = 0
    fail_imports: int = 0
    late_flavor: bool = True
    late_flavor_seconds: float | None = None
    derived_flavors: int | None = None
    flavor_min_bytes: int = 0
    keep_source: bool = True
    reencode_originals: bool = False
    save_uploads: bool = False
    index_lag_seconds: float = 0.0
    session_seconds: int = 86400
    tie_order: str = "random"
    drop_tag_updates: bool = False
    upload_max_bytes: int = 2000 * 1024 * 1024
    restricted_extensions: frozenset[str] = frozenset()
    final_chunk_wait_seconds: float = 2.0
    url_token: bool = False
    url_token_seconds: float = 300.0
    file_error_cache_seconds: float = 0.0
    entitlement: bool = False
    recycle_bin: bool = True
    search_down: bool = False
    search_seconds: float = 0.0
    search_limit_seconds: float = 10.0
    not_indexed: frozenset[str] = frozenset()
    picture_times: bool = True


@dataclass(frozen=True)
class Content:
    """The bytes of a file, or only their number: then they are zeros, after `head`."""

    data: bytes | None
    size: int
    head: bytes = b""

    @classmethod
    def of(cls, data: bytes) -> Content:
        return cls(data, len(data))

    @classmethod
    def zeros(cls, size: int) -> Content:
        return cls(None, size)

    @classmethod
    def movie(cls, size: int, duration_ms: int) -> Content:
        """An MP4 of this size that says how long it plays and shows nothing: as long as it takes to say so."""
        told = min(int(duration_ms), 0xFFFFFFFF)
        mvhd = struct.pack(">I4sIIIII80x", 108, b"mvhd", 0, 0, 0, 1000, told)
        head = struct.pack(">I4s4s4x", 16, b"ftyp", b"isom") + struct.pack(">I4s", 8 + len(mvhd), b"moov") + mvhd
        if size < len(head) + 8:
            return cls.zeros(size)
        return cls(None, size, head + struct.pack(">I4s", min(size - len(head), 0xFFFFFFFF), b"mdat"))

    def pieces(self, start: int = 0, end: int | None = None) -> Iterator[memoryview]:
        """The bytes from `start` to before `end`, at most 1 MiB at a time."""
        end = self.size if end is None else end
        source = memoryview(self.data) if self.data is not None else None
        blank = memoryview(bytes(min(PIECE, max(0, end - start)))) if source is None else None
        for at in range(start, end, PIECE):
            stop = min(at + PIECE, end)
            if at < len(self.head):
                yield memoryview(self.head[at:stop] + bytes(max(0, stop - max(at, len(self.head)))))
            elif source is not None:
                yield source[at:stop]
            elif blank is not None:
                yield blank[: stop - at]

    def read(self) -> bytes:
        return self.data if self.data is not None else self.head + bytes(self.size - len(self.head))

    @property
    def duration_ms(self) -> int:
        """How long a video plays, by its movie header; of bytes that are none, a second for 20 KB."""
        data = self.head if self.data is None else self.data
        at = data.find(b"mvhd")
        if at >= 0 and data[at + 4 : at + 5] == b"\0" and len(data) >= at + 24:
            scale, units = struct.unpack(">II", data[at + 16 : at + 24])
            return units * 1000 // scale if scale else 0
        return 1000 * (1 + self.size // 20_000)

    def reencoded(self) -> Content:
        """Other bytes of another length that still are an MP4: with one more empty box at the end."""
        return Content.of(self.read() + struct.pack(">I4s8x", 16, b"free"))


def rounded_kilobytes(size: int) -> int:
    """`flavorAsset.size` as MediaInfo's text leaves it: three significant digits of KiB, MiB or GiB, in kilobytes."""
    if size < 1024:
        return 1 if size else 0
    unit = 1024 if size < 1 << 20 else 1 << 20 if size < 1 << 30 else 1 << 30
    return int(float(f"{size / unit:.3g}") * unit / 1024)


def stored_tags(text: str) -> str:
    """What the column holds of tags: the first 65,535 bytes, the rest is lost without a word (M07)."""
    raw = text.encode()
    return text if len(raw) <= MAX_TAGS_BYTES else raw[:MAX_TAGS_BYTES].decode("utf-8", "ignore")


def normalise_tags(text: str) -> str:
    """Tags as the server stores them (kaltura-api.md 6): trimmed of ASCII blanks, ASCII lower case, those of one byte
    dropped, cut to 100, no repeats."""
    kept: list[str] = []
    for tag in text.split(","):
        raw = tag.strip(TRIMMED).encode()
        if len(raw) < 2:
            continue
        short = _ascii_lower(raw[:100].decode("utf-8", "ignore"))
        if short not in kept:
            kept.append(short)
    return ", ".join(kept)


def normalise_admin_tags(text: str) -> str:
    return ",".join(dict.fromkeys(tag.strip().lower() for tag in text.split(",") if tag.strip()))


def _ascii_lower(text: str) -> str:
    return re.sub("[A-Z]", lambda found: found.group().lower(), text)


@dataclass
class EntryRecord:
    """A row of the entry table. Setting any field is seen by the search index, after its lag."""

    id: str
    name: str = ""
    description: str = ""
    tags: str = ""
    admin_tags: str = ""
    user_id: str = ""
    creator_id: str = ""
    categories: tuple[int, ...] = ()
    status: str = "2"
    moderation_status: int = 6
    entry_type: int = MEDIA_CLIP
    media_type: int = 1
    created_at: int = 0
    updated_at: int = 0
    plays: int = 0
    views: int = 0
    last_played_at: int | None = None
    duration_ms: int = 60_000
    conversion_profile_id: int | None = 7
    display_in_search: int = 1
    recycled_at: int | None = None
    start_date: int | None = None
    end_date: int | None = None
    reference_id: str = ""
    partner_data: str = ""
    parent_id: str = ""
    root_id: str = ""
    redirect_entry_id: str = ""
    replacing_entry_id: str = ""
    replaced_entry_id: str = ""
    replacement_status: str = "0"
    pending_categories: tuple[int, ...] = ()
    keep_manual_thumbnails: bool = False
    thumbnail_version: int = 0
    picture: Frame | None = field(default=None, repr=False)
    picture_at: int = 0
    create_thumb: bool = True  # whether conversions may make its picture
    thumb_bitrate: int = 0  # of what its picture was made from
    source_type: str = "1"
    derived: int = 2
    metadata: dict[int, str] = field(default_factory=dict)  # XML of its custom metadata by the profile's id
    more: dict[str, Any] = field(default_factory=dict)  # further properties by their name, which nothing here changes
    changed: Callable[[str], None] | None = field(default=None, repr=False, compare=False)

    @property
    def deleted(self) -> bool:
        return self.status == "3"

    def watch(self, changed: Callable[[str], None]) -> None:
        """From now on call `changed` with the id when a field is set."""
        self.changed = changed
        # A class of its own, so that making large libraries does not pay for the hook field by field.
        self.__class__ = _WatchedEntry


class _WatchedEntry(EntryRecord):
    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)
        if self.changed is not None:
            self.changed(self.id)


@dataclass
class Asset:
    """A flavor asset. `contents` holds the files of its last versions, `ready_at` the end of its conversion."""

    id: str
    entry_id: str
    flavor_params_id: int
    is_original: bool = False
    version: int = 2
    status: int = READY
    size_kb: int = 0
    size_in_bytes: int = 0
    file_ext: str = "mp4"
    tags: str = ""
    created_at: int = 0
    updated_at: int = 0
    deleted_at: int | None = None
    width: int = 320
    height: int = 180
    bitrate: int = 400
    description: str = ""
    language: str = ""
    label: str = ""
    is_default: bool = False
    partner_data: str = ""
    partner_description: str = ""
    contents: dict[int, Content] = field(default_factory=dict, repr=False)
    ready_at: float = 0.0

    def store(self, content: Content, version: int) -> None:
        """Take new content as `version`; about two superseded versions are kept, as the server does."""
        self.version = version
        self.contents[version] = content
        for old in sorted(self.contents)[:-3]:
            del self.contents[old]
        self.size_in_bytes = content.size
        self.size_kb = rounded_kilobytes(content.size)
        self.bitrate = max(1, content.size * 8 // max(1, content.duration_ms))

    def link_from(self, new: Asset) -> None:
        """Take over what a replacement takes from the new asset, what people have set on this one included [R].

        `flavorAsset::linkFromAsset` [read]; the default flag, partner data and description are not among it.
        """
        self.status, self.file_ext = new.status, new.file_ext
        self.width, self.height, self.bitrate = new.width, new.height, new.bitrate
        self.tags, self.label, self.language = new.tags, new.label, new.language

    @property
    def locally_ready(self) -> bool:
        return self.status in (READY, EXPORTING)


@dataclass
class Token:
    """An upload token. `parked` holds chunks that came before their turn, by offset."""

    id: str
    user_id: str = ""
    file_name: str = ""
    file_size: int | None = None
    auto_finalize: bool = False
    status: int = TOKEN_PENDING
    uploaded_size: int | None = None
    created_at: int = 0
    updated_at: int = 0
    posted_name: str = ""
    data: bytearray = field(default_factory=bytearray, repr=False)
    parked: dict[int, bytes] = field(default_factory=dict, repr=False)
    attached_object_type: str = ""
    attached_object_id: str = ""

    @property
    def file_ext(self) -> str:
        """The extension of the flavor made from it: the posted name's, else the token's own, else ``noex``."""
        for name in (self.posted_name, self.file_name):
            base = re.split(r"[/\\]", name)[-1]
            ext = base.rpartition(".")[2].lower() if "." in base else ""
            if ext and ext != "tmp":
                return ext[:4]
        return "noex"


@dataclass
class Category:
    """`privacy_contexts` are its own and those above it; with any, no entry names it (real-kaltura K01+)."""

    id: int
    name: str
    parent: int | None = None
    full_name: str = ""
    full_ids: str = ""
    private: bool = False
    privacy_contexts: tuple[str, ...] = ()


@dataclass
class AppToken:
    """`hash_type` is a name hashlib knows; `session_type` 0 user, 2 admin; `status` 1 disabled, 2 active, 3 deleted."""

    id: str
    token: str
    hash_type: str = "sha256"
    user_id: str = ""
    session_type: int = 2
    session_seconds: int = 86400
    privileges: str = ""
    expiry: float | None = None
    status: int = 2
