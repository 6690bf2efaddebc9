"""Frozen values: what Kaltura and S3 say of one entry, in the field's words and with units in the names."""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime
from enum import Enum, StrEnum
from functools import cached_property, lru_cache

# Of the year 9999. What is later is no time: milliseconds, for one, taken for seconds.
LAST_SECOND = 253_402_300_799
ARCHIVED_TAG = "archived_to_s3"
REPLACED_TAG = "flavors_deleted"
# And the day on which the owner was told that the original will be replaced, with a mark of who that was, and on which
# day at the earliest: notice_2026-11-25_d30a5f57_until_2026-12-25. Tags may be seen by viewers, so it is not the name.
NOTICE_PREFIX = "notice_"
# Where in the bucket a restore keeps what it displaces: displaced/<entry id>/<flavor asset id>@<version>.
DISPLACED_PREFIX = "displaced/"
# By so much a flavor asset's version grows whenever its content is set.
VERSION_STEP = 10
# Empty objects, suspect/<entry id>/<ETag>.damaged, .whole, or .differs.<flavor asset id>@<version>: what was found when
# the content with this ETag was read. Each kind is a key of its own, so that nobody's write undoes another one's, as it
# may with tags; of damaged and whole the later one counts. (Up to version 1.2 suspect/<entry id>, and a tag.)
SUSPECT_PREFIX = "suspect/"
# S3 keeps no more tags of an object; these are the ones that we may still have to set.
MAX_OBJECT_TAGS = 10
TAGS_NEEDED = frozenset({"sha256", "flavor", "proof", "placeholder", "replaced-at", "settings", "verified-at"})
# What people have set on the flavor assets of an entry: settings/<entry id>.json. See kaltura_archiver.flavors.
SETTINGS_PREFIX = "settings/"
# The object tag `settings`: whether they have to be set again, or have been.
SETTINGS_DUE, SETTINGS_SET = "due", "set"
# Empty objects, placeholders/<entry id>/<flavor asset id>@<version>/<bytes>: a placeholder that took an original's
# place, so that a listing tells it from what came over it later. Without one the copy's tags are looked at.
PLACEHOLDER_PREFIX = "placeholders/"


class EntryStatus(StrEnum):
    """`KalturaEntryStatus`; the client gives strings (kaltura-api 4.1)."""

    ERROR_IMPORTING = "-2"
    ERROR_CONVERTING = "-1"
    IMPORT = "0"
    PRECONVERT = "1"
    READY = "2"
    DELETED = "3"
    PENDING = "4"
    MODERATE = "5"
    BLOCKED = "6"
    NO_CONTENT = "7"
    INFECTED = "virusScan.Infected"
    SCAN_FAILURE = "virusScan.ScanFailure"


_ENTRY_STATUSES = frozenset(EntryStatus)


class FlavorStatus(Enum):
    """`KalturaFlavorAssetStatus` (kaltura-api 4.1)."""

    ERROR = -1
    QUEUED = 0
    CONVERTING = 1
    READY = 2
    DELETED = 3
    NOT_APPLICABLE = 4
    TEMP = 5
    WAIT_FOR_CONVERT = 6
    IMPORTING = 7
    VALIDATING = 8
    EXPORTING = 9

    @property
    def ready(self) -> bool:
        """Whether the content can be read: READY, or READY and being exported."""
        return self in (FlavorStatus.READY, FlavorStatus.EXPORTING)

    @property
    def in_progress(self) -> bool:
        return self in (
            FlavorStatus.QUEUED,
            FlavorStatus.CONVERTING,
            FlavorStatus.WAIT_FOR_CONVERT,
            FlavorStatus.IMPORTING,
            FlavorStatus.VALIDATING,
        )


class MediaType(Enum):
    VIDEO = 1
    IMAGE = 2
    AUDIO = 5


class ReplacementStatus(StrEnum):
    """`KalturaEntryReplacementStatus`, a string enum in the client (kaltura-api 5.3, 10.5)."""

    NONE = "0"
    APPROVED_BUT_NOT_READY = "1"
    READY_BUT_NOT_APPROVED = "2"
    NOT_READY_AND_NOT_APPROVED = "3"
    FAILED = "4"


# What Kaltura trims tags of (PHP's trim): a no-break space is part of a tag (real-kaltura M01).
_BLANKS = " \t\n\r\0\x0b"
_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


def split_tags(text: str | None) -> tuple[str, ...]:
    """The whole tags of Kaltura's comma-separated field, as they are written there (kaltura-api 6)."""
    return tuple(tag for part in (text or "").split(",") if (tag := part.strip(_BLANKS)))


def lowered(tag: str) -> str:
    """A tag in the case in which Kaltura keeps it: only ASCII letters are lowered (real-kaltura M01)."""
    return tag.translate(_LOWER)


def normalised_tags(tags: Iterable[str]) -> tuple[str, ...]:
    """Tags as Kaltura leaves them when any of them is changed (kaltura-api 6): that is nobody's doing.

    In their order, each once. A blank at which a long tag was cut goes at the next change.
    """
    cut = (lowered(tag).encode()[:100].decode(errors="ignore").strip(_BLANKS) for tag in tags if len(tag.encode()) > 1)
    return tuple(dict.fromkeys(filter(None, cut)))


def tags_with(text: str, *, add: str = "", remove: str = "") -> str:
    """Kaltura's field with one tag added at its end, or one removed, both in lower case; every other byte stays."""
    parts = text.split(",")
    kept = [part for part in parts if not remove or lowered(part.strip(_BLANKS)) != remove]
    if add and add not in map(lowered, split_tags(text)):
        kept.append(f" {add}")
    if kept == parts:
        return text
    return ",".join(kept).strip(f",{_BLANKS}")


def same_id(text: str) -> str:
    """An id as Kaltura compares it: neither case nor blanks at its end count (real-kaltura N04-N06)."""
    return text.rstrip(" ").lower()


@dataclass(frozen=True)
class Placing:
    """That an entry is in a category: `above` are the categories above that one, `name` is its full name.

    Not `active`: a moderator has not decided yet.
    """

    category_id: int
    above: frozenset[int] = frozenset()
    name: str = ""
    active: bool = True

    def within(self, category_id: int) -> bool:
        """Whether that is in, or below, this category."""
        return category_id == self.category_id or category_id in self.above


@dataclass(frozen=True)
class Entry:
    """A Kaltura entry. Times are unix seconds; `last_played_at` is None for never played (Kaltura's empty or 0).

    `tags_text` is the field of the tags, byte for byte as Kaltura holds it. `created_at` is 0 where it is not known.
    Not `plays_known`: what Kaltura tells of plays cannot be read.
    `category_ids` and `categories` leave out what has a privacy context, as those of MediaSpace have (real-kaltura
    K01+): `Placing` tells all.
    """

    id: str
    name: str = ""
    status: str = EntryStatus.READY
    tags: tuple[str, ...] = ()
    tags_text: str = ""
    media_type: int | None = MediaType.VIDEO.value
    entry_type: str = "1"
    created_at: int = 0
    updated_at: int = 0
    plays: int = 0
    last_played_at: int | None = None
    creator_id: str = ""
    owner_id: str = ""
    category_ids: tuple[str, ...] = ()
    categories: str = ""
    display_in_search: int | None = 1
    replacing_entry_id: str = ""
    replaced_entry_id: str = ""
    replacement_status: str = ReplacementStatus.NONE
    parent_entry_id: str = ""
    plays_known: bool = True
    duration_seconds: int | None = None  # 0 where Kaltura could not read the content
    root_entry_id: str = ""  # of what it is a clone, a clip or a recording; its own id where it is none of these
    partner_id: str = ""
    thumbnail_version: str = ""  # grows with every other picture; empty where Kaltura tells none

    @cached_property
    def tag_set(self) -> frozenset[str]:
        """The tags for comparing, in lower case: Kaltura lowers ASCII letters only."""
        return frozenset(tag.lower() for tag in self.tags)

    @property
    def archived(self) -> bool:
        return ARCHIVED_TAG in self.tag_set

    @property
    def replaced(self) -> bool:
        return REPLACED_TAG in self.tag_set

    @property
    def owner(self) -> str:
        """Whose the entry is: who was made its owner, or else its creator."""
        return self.owner_id or self.creator_id

    @property
    def notices(self) -> tuple[tuple[date, bool], ...]:
        """The days (UTC) on which somebody had a notice, by the tags, and whether that was who owns it today.

        Tags of earlier versions do not tell to whom it went. It was the creator.
        """
        mine = {owner_mark(self.owner)}
        if owner_mark(self.creator_id) in mine:
            mine.add("")
        return tuple(sorted((told.on, told.mark in mine) for told in map(_told, self.tag_set) if told))

    @property
    def noticed_on(self) -> date | None:
        """The day of the newest notice to today's owner: each one made a promise that is to be kept."""
        return max((day for day, mine in self.notices if mine), default=None)

    @property
    def promised_until(self) -> date | None:
        """The last day named in a notice, to whomever it went: until it is over the original is not replaced."""
        return max((told.until for told in map(_told, self.tag_set) if told and told.until), default=None)

    @property
    def odd_promise(self) -> str:
        """A tag of a notice that names a day which cannot be read, as a person may have changed it; or empty."""
        odd = (tag for tag in self.tag_set if tag.startswith(NOTICE_PREFIX) and "until" in tag and not _told(tag))
        return min(odd, default="")

    @property
    def unreadable(self) -> bool:
        """Whether Kaltura tells that this video or sound, READY as it is, has no duration: it could not read it."""
        timed = self.media_type in (MediaType.VIDEO.value, MediaType.AUDIO.value)
        return timed and self.status == EntryStatus.READY and self.duration_seconds == 0

    @property
    def status_known(self) -> bool:
        return self.status in _ENTRY_STATUSES

    @property
    def replacement_running(self) -> bool:
        return bool(self.replacing_entry_id) or self.replacement_status not in ("", ReplacementStatus.NONE)

    @property
    def recycled(self) -> bool:
        return self.display_in_search == -2

    @property
    def source_id(self) -> str:
        """The entry that it was made of, as a clone, a clip or a recording; empty if there is none."""
        return self.root_entry_id if self.root_entry_id != self.id else ""

    @property
    def temporary(self) -> bool:
        """Made by Kaltura for a replacement in progress; gone when that ends (kaltura-api 5.3)."""
        return bool(self.replaced_entry_id)


# Said of an entry with its original in place that is `unreadable`.
UNREADABLE = "WARNING: Kaltura tells a duration of 0 seconds, so it could not read the video: play it"


@dataclass(frozen=True)
class FlavorAsset:
    """A flavor asset. `size_bytes` is None where Kaltura never recorded it (assets from before 2020: 4.3)."""

    id: str
    entry_id: str
    version: str = ""
    status: FlavorStatus = FlavorStatus.READY
    is_original: bool = False
    size_bytes: int | None = None
    size_kb: int | None = None
    file_ext: str = ""
    created_at: int | None = None
    deleted_at: int | None = None
    language: str = ""  # Kaltura's name of it, such as German; empty unless somebody has said
    odd: str = ""  # what Kaltura said of it that is not understood; the status is ERROR then: not one to act on
    flavor_params_id: int | None = None  # what it was made by, 0 for the original; kept by every replacement
    label: str = ""
    tags: str = ""  # as they are written there, with commas
    partner_data: str = ""
    partner_description: str = ""
    is_default: str = ""  # 1 where it is the default one of its entry
    updated_at: int | None = None

    @property
    def kilobytes(self) -> int | None:
        """The size in KB. `size_kb` is in *bytes* where Kaltura has no media information (kaltura-api 4.3)."""
        return max(1, round(self.size_bytes / 1024)) if self.size_bytes else self.size_kb

    @property
    def content_id(self) -> str:
        """What identifies the bytes: the version grows with every replacement (kaltura-api 4.6)."""
        return f"{self.id}@{self.version}"

    @property
    def first_content(self) -> bool:
        """Whether nothing was put in its place since the asset was made."""
        return self.version.isdecimal() and int(self.version) < VERSION_STEP

    def steps_after(self, content_id: str) -> int | None:
        """How many times the content has been set since it was this, `<flavor asset id>@<version>`; None for another.

        One replacement sets it twice: its file is linked once more when its last job ends (kaltura-api 10.16).
        """
        asset_id, _, version = content_id.partition("@")
        if asset_id != self.id or not (version.isdecimal() and self.version.isdecimal()):
            return None
        steps, rest = divmod(int(self.version) - int(version), VERSION_STEP)
        return None if rest else steps

    def linked_again(self, before: FlavorAsset) -> bool:
        """Whether this is what `before` was, its file linked once more by the server: not told by the version alone."""
        size, size_before = self.size_bytes or self.size_kb, before.size_bytes or before.size_kb
        return bool(size) and size == size_before and self.steps_after(before.content_id) == 1


class Availability(StrEnum):
    """Whether an object can be read now (restic's four conditions of a Glacier object, less one).

    UNKNOWN is what a listing tells of a class whose objects may be frozen or not, and of one that nobody knows.
    """

    READABLE = "readable"
    FROZEN = "frozen"
    THAWING = "thawing"
    UNKNOWN = "unknown"


FROZEN_CLASSES = ("GLACIER", "DEEP_ARCHIVE")
# What can be read at once: all that there are but these two and INTELLIGENT_TIERING, which has archive tiers.
READABLE_CLASSES = frozenset({
    "STANDARD", "REDUCED_REDUNDANCY", "STANDARD_IA", "ONEZONE_IA", "GLACIER_IR", "EXPRESS_ONEZONE", "OUTPOSTS", "SNOW",
    "FSX_OPENZFS", "FSX_ONTAP",
})  # fmt: skip
# How fast a restore is, slowest first.
RETRIEVAL_TIERS = ("bulk", "standard", "expedited")
TIERED_CLASS = "INTELLIGENT_TIERING"
# Its archive tiers, and Glacier's classes that are as fast.
ARCHIVE_TIERS = {"ARCHIVE_ACCESS": "GLACIER", "DEEP_ARCHIVE_ACCESS": "DEEP_ARCHIVE"}


class Evidence(StrEnum):
    """By what S3 was shown to have the right bytes: it shows the checksum that was sent, or the MD5s (ETag) of what was
    sent; or its copy was read back; or, with none of these, an operator accepted the size (--accept-size-match)."""

    CHECKSUM = "checksum"
    MD5 = "md5"
    READ = "read"
    ACCEPTED = "accepted"


@dataclass(frozen=True)
class Proof:
    """The evidence that S3 has the bytes of the tag `sha256`, and of which object that is true.

    A tag can be carried over to other bytes; the CRC64NVME of the content and the ETag tell of which object it speaks.
    """

    evidence: Evidence
    crc64nvme: str
    etag: str

    @classmethod
    def of(cls, evidence: Evidence, crc64nvme: str, etag: str) -> Proof:
        return cls(evidence, crc64nvme, _in_a_tag(etag))

    @classmethod
    def read(cls, tag: str) -> Proof | None:
        """What the tag `proof` says; None for an empty one, or one that says nothing known."""
        evidence, *rest = tag.split(" ")
        if evidence in set(Evidence) and len(rest) == 2 and all(rest):
            return cls(Evidence(evidence), *rest)
        return None

    def __str__(self) -> str:
        return f"{self.evidence} {self.crc64nvme} {self.etag}"


def _in_a_tag(etag: str) -> str:
    """An ETag without what S3 does not allow in a tag; it may be any text elsewhere than at AWS."""
    return re.sub(r"[^A-Za-z0-9+\-=._:/@]", "_", etag)[:128]


@dataclass(frozen=True)
class StoredObject:
    """The stored copy: HeadObject and its tags. `thawed_until` is S3's own text (an HTTP date).

    `archive_tier` is that of INTELLIGENT_TIERING, empty for what is in none: thawed, such an object stays readable.
    The checksums are those of the whole object that S3 shows, empty where it shows none. `md5_etag`: whether the
    service is known to make the ETag of this object from MD5s.

    Not `complete`: from a listing, which has neither tags nor metadata, and no ETag here.
    """

    key: str
    size_bytes: int
    etag: str = ""
    storage_class: str = "STANDARD"
    availability: Availability = Availability.READABLE
    thawed_until: str = ""
    archive_tier: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    encryption: str = ""
    crc64nvme: str = ""
    crc32: str = ""
    md5_etag: bool = False
    last_modified: datetime | None = None
    complete: bool = True
    marked_damaged_at: str = ""  # by a mark about this very content, see SUSPECT_PREFIX
    marked_differing: frozenset[str] = frozenset()

    @property
    def thaw_ends_at(self) -> float | None:
        """When what is readable now will be frozen again, in unix seconds; None if that is not known, or never."""
        with suppress(ValueError):
            return parsedate_to_datetime(self.thawed_until).timestamp() if self.thawed_until else None
        return None

    @property
    def frozen_in(self) -> str:
        """The class, or the archive tier, out of which it has to be restored."""
        return f"{self.storage_class} ({self.archive_tier})" if self.archive_tier else self.storage_class

    @property
    def has_expedited(self) -> bool:
        return ARCHIVE_TIERS.get(self.archive_tier, self.storage_class) != "DEEP_ARCHIVE"

    @property
    def proof(self) -> Proof | None:
        """The evidence that was recorded; whether it is still about this object says `proven`."""
        return Proof.read(self.tags.get("proof", ""))

    @property
    def proven(self) -> bool:
        """Whether S3 was shown to have the bytes of `sha256`, by an object that is still the same."""
        proof = self.proof
        if proof is None or not self.sha256:
            return False
        if self.crc64nvme:
            return self.crc64nvme == proof.crc64nvme
        return _in_a_tag(self.etag) == proof.etag

    @property
    def overwritten(self) -> str:
        """Why this is known to be other content than was proven, whatever the tags say; empty if it is not."""
        proof = self.proof
        if proof and self.crc64nvme and self.crc64nvme != proof.crc64nvme:
            return f"the object was overwritten: its CRC64NVME is {self.crc64nvme}, and was {proof.crc64nvme}"
        return ""

    @property
    def spoiled(self) -> str:
        """Why nothing may rest on this copy, in words; empty if nothing is known against it."""
        if self.damaged_at:
            return f"verify found the stored copy damaged at {self.damaged_at}"
        return self.overwritten

    @property
    def sha256(self) -> str:
        return self.tags.get("sha256", "")

    @property
    def flavor(self) -> str:
        """The Kaltura original that holds exactly these bytes today: `<flavor asset id>@<version>`, or empty."""
        return self.tags.get("flavor", "")

    @property
    def verified_at(self) -> str:
        """When `verify` last read the object and found it whole (ISO 8601), or empty."""
        return self.tags.get("verified-at", "")

    @property
    def damaged_at(self) -> str:
        """When `verify` found the object damaged, and not whole since; or empty."""
        return self.marked_damaged_at or self.tags.get("damaged-at", "")

    def undecided_for(self, original: FlavorAsset) -> bool:
        """Whether this original was read once, and S3 shows nothing of the copy, still frozen, to compare it with."""
        return self.availability is not Availability.READABLE and self.tags.get("undecided") == original.content_id

    def differs_from(self, original: FlavorAsset) -> bool:
        """Whether this original was read once, and found not to be what is stored."""
        return original.content_id in self.marked_differing or self.tags.get("differs") == original.content_id

    @property
    def crowded(self) -> bool:
        """Whether others have set so many tags that there is no room for those that a swap needs."""
        return len(TAGS_NEEDED.union(self.tags)) > MAX_OBJECT_TAGS

    @property
    def thaw_asked(self) -> tuple[str, int | None]:
        """The fastest tier by which the restore that is running was asked for, and its days; ("", None) if unknown."""
        tier, _, days = self.tags.get("thaw", "").partition(" ")
        return (tier, int(days) if days.isdecimal() else None) if tier in RETRIEVAL_TIERS else ("", None)

    @property
    def placeholder(self) -> str:
        """The placeholder as it replaced the original: `<flavor asset id>@<version>`, or empty."""
        return self.tags.get("placeholder", "").partition(" ")[0]

    @property
    def placeholder_sha256(self) -> str:
        """The placeholder's SHA-256; empty where it was not recorded (before version 2.1)."""
        return self.tags.get("placeholder", "").partition(" ")[2].partition(" ")[0]

    @property
    def placeholder_bytes(self) -> int | None:
        """The placeholder's size; None where it was not recorded."""
        size = self.tags.get("placeholder", "").rpartition(" ")[2]
        return int(size) if self.placeholder_sha256 and size.isdecimal() else None

    @property
    def replaced_at(self) -> int | None:
        """When the placeholder took the original's place (unix seconds); None where it was not recorded."""
        return _unix(self.tags.get("replaced-at", ""))

    @property
    def restored_at(self) -> int | None:
        """When the original was last brought back (unix seconds); None if never, or if it was replaced again since.

        Where the tag is there and cannot be read it is as if it had been just now, or later: LAST_SECOND.
        """
        told = self.tags.get("restored-at")
        return None if told is None else _unix(told) or LAST_SECOND

    @property
    def settings(self) -> str:
        """SETTINGS_DUE or SETTINGS_SET where what people have set on flavor assets is kept beside it; else empty."""
        return self.tags.get("settings", "")

    @property
    def picture(self) -> str:
        """That the entry's picture has yet to be looked after, as `kaltura_archiver.pictures` writes it; or empty."""
        return self.tags.get("picture", "")


@dataclass(frozen=True)
class Facts:
    """All that is known about one entry, freshly read.

    `placeholder_bytes` is the size of the placeholder configured for it, `more_placeholder_bytes` are those for others,
    `placeholder_sha256s` belong to all of them. `original_sha256` is known where the original was read because it has a
    placeholder's size; `unread` says why it could not be. `unseen` says why S3 does not show the stored copy.
    `usual_tags` are those that flavor assets get by themselves, by flavor parameters; None if not asked. `source` is
    the stored copy of the entry that this one is a clone of; looked for where it says that it is in S3, and is not.
    `placings` are all its categories, as the database has them; None if not asked.
    """

    entry: Entry
    flavors: tuple[FlavorAsset, ...] = ()
    stored: StoredObject | None = None
    placeholder_bytes: int | None = None
    more_placeholder_bytes: frozenset[int] = frozenset()
    usual_tags: Mapping[int, frozenset[str]] | None = None
    source: StoredObject | None = None
    placings: tuple[Placing, ...] | None = None
    placeholder_sha256s: frozenset[str] = frozenset()
    original_sha256: str = ""
    unread: str = ""
    unseen: str = ""

    @property
    def category_ids(self) -> frozenset[str]:
        """Ids of the categories that the entry is directly in, as far as was asked."""
        return frozenset((*self.entry.category_ids, *(str(p.category_id) for p in self.placings or () if p.active)))

    @property
    def category_names(self) -> tuple[str, ...]:
        """Full names of these categories."""
        named = [name for p in self.placings or () if p.active and (name := p.name)]
        return tuple(dict.fromkeys(filter(None, [*map(str.strip, self.entry.categories.split(",")), *named])))

    @property
    def placeholder_sizes(self) -> frozenset[int]:
        """The exact sizes of all configured placeholders, and of the one that is recorded; none of them is 0."""
        copy = self.stored or self.source
        recorded = copy.placeholder_bytes if copy else None
        return (self.more_placeholder_bytes | {self.placeholder_bytes or 0, recorded or 0}) - {0}

    @property
    def original(self) -> FlavorAsset | None:
        """The original flavor, READY or not; TEMP and DELETED ones do not count (kaltura-api 4.3)."""
        gone = (FlavorStatus.DELETED, FlavorStatus.TEMP, FlavorStatus.NOT_APPLICABLE)
        originals = [f for f in self.flavors if f.is_original and f.status not in gone]
        return max(originals, key=lambda f: f.status.ready, default=None)


class State(StrEnum):
    """Where an entry stands between Kaltura and S3 (docs/states.md)."""

    LOST = "lost"
    BUSY = "busy"
    NO_ORIGINAL = "no-original"
    EMPTY = "empty"
    INITIAL = "initial"
    UNBACKED = "unbacked"
    ARCHIVED = "archived"
    UNTAGGED = "untagged"
    DIVERGED = "diverged"
    UNSETTLED = "unsettled"
    PLACEHOLDER = "placeholder"
    HALF_TAGGED = "half-tagged"


class Identity(StrEnum):
    """Whether the stored copy holds the bytes of today's original. Nothing irreversible rests on `likely`."""

    SAME = "same"
    LIKELY = "likely"
    DIFFERENT = "different"
    UNKNOWN = "unknown"


class Outcome(StrEnum):
    """How a mutating command ended for one entry. `drifted`: it is not any more what the plan was made for."""

    DONE = "done"
    WOULD = "would"
    ALREADY = "already"
    WAITING = "waiting"
    SKIPPED = "skipped"
    REFUSED = "refused"
    DRIFTED = "drifted"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


class Cause(StrEnum):
    """Why an entry was left as it is, and what helps, where the summary of a run counts such entries."""

    YOUNG = "too young: --min-age-years"
    UNPROVEN = "to be proven: s3copy"
    UNDECIDED = "frozen and not to be compared: verify --request, or s3copy --accept-size-match"


def owner_mark(user: str) -> str:
    """A mark of a Kaltura user that fits into a tag, the same in any case; empty for nobody."""
    from hashlib import sha256  # not for `--help`

    name = " ".join(user.casefold().split())
    return sha256(name.encode()).hexdigest()[:8] if name else ""


def notice_tag(day: date, owner: str, until: date | None = None) -> str:
    """The tag that says that this owner had a notice on this day, and which day it named."""
    named = f"until_{until.isoformat()}" if until else ""
    return "_".join(filter(None, (f"{NOTICE_PREFIX}{day.isoformat()}", owner_mark(owner), named)))


@dataclass(frozen=True)
class _Told:
    """What the tag of a notice tells. Those of earlier versions name no day `until`, or not even who was told."""

    on: date
    mark: str
    until: date | None


def _told(tag: str) -> _Told | None:
    """What this whole tag, in lower case, tells of a notice; None for any other tag."""
    day = r"(\d{4}-\d\d-\d\d)"
    found = re.fullmatch(rf"{NOTICE_PREFIX}{day}(?:_([0-9a-f]{{8}}))?(?:_until_{day})?", tag, re.ASCII)
    with suppress(ValueError):
        until = date.fromisoformat(found[3]) if found and found[3] else None
        return _Told(date.fromisoformat(found[1]), found[2] or "", until) if found else None
    return None


def iso_date(unix_seconds: int | None) -> str:
    """`2019-03-01` in UTC; empty for a missing time, and for none of this calendar."""
    if not unix_seconds or not 0 < unix_seconds <= LAST_SECOND:
        return ""
    return _iso_day(unix_seconds // 86400)


def _unix(iso: str) -> int | None:
    """The second that `iso_time` wrote; None for any other text."""
    with suppress(ValueError):
        return int(datetime.strptime(iso, "%Y-%m-%dT%H:%M:%S%z").timestamp())
    return None


def iso_time(unix_seconds: float) -> str:
    """`2019-03-01T12:30:00Z`."""
    return datetime.fromtimestamp(unix_seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@lru_cache(maxsize=4096)
def _iso_day(days: int) -> str:
    return datetime.fromtimestamp(days * 86400, UTC).strftime("%Y-%m-%d")
