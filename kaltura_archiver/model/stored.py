"""What S3 says of one stored copy."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime

from kaltura_archiver.model.entry import FlavorAsset
from kaltura_archiver.model.words import (
    ARCHIVE_TIERS,
    DISPLACED_PREFIX,
    LAST_SECOND,
    MAX_OBJECT_TAGS,
    NEWER_TAG,
    NO_EXPIRATION,
    RETRIEVAL_TIERS,
    TAGS_GIVING_WAY,
    TAGS_NEEDED,
    VERSION_MARK,
    Availability,
    Evidence,
    unix_time,
)

# In words, and in hours.
_THAWS_WITHIN = {
    ("GLACIER", "expedited"): ("5 minutes, if it is small", 5 / 60), ("GLACIER", "standard"): ("5 hours", 5.0),
    ("GLACIER", "bulk"): ("12 hours", 12.0), ("DEEP_ARCHIVE", "standard"): ("12 hours", 12.0),
}  # fmt: skip
_SLOWEST = ("48 hours", 48.0)


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
        if len(rest) == 2 and all(rest) and evidence in set(Evidence):
            return cls(Evidence(evidence), *rest)
        return None

    def __str__(self) -> str:
        return f"{self.evidence} {self.crc64nvme} {self.etag}"


def _in_a_tag(etag: str) -> str:
    """An ETag without what S3 does not allow in a tag; it may be any text elsewhere than at AWS."""
    return re.sub(r"[^A-Za-z0-9+\-=._:/@]", "_", etag)[:128]


class Recorded:
    """What this tool has recorded in the tags of an object; empty or None where nothing is."""

    tags: Mapping[str, str]

    @property
    def sha256(self) -> str:
        return self.tags.get("sha256", "")

    @property
    def flavor(self) -> str:
        """The Kaltura original that holds exactly these bytes today: `<flavor asset id>@<version>`, or empty."""
        return self.tags.get("flavor", "")

    @property
    def proof(self) -> Proof | None:
        """The evidence that was recorded; whether it is still about this object says `proven`."""
        return Proof.read(self.tags.get("proof", ""))

    @property
    def verified_at(self) -> str:
        """When `verify` last read the object and found it whole (ISO 8601), or empty."""
        return self.tags.get("verified-at", "")

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
    def kept(self) -> str:
        """The derived flavor that plays on in Kaltura without the original: `<flavor asset id>@<version>`, or empty."""
        return self.tags.get("thin", "")

    @property
    def replaced_at(self) -> int | None:
        """When the placeholder took the original's place, or the original went (unix seconds); None if not recorded."""
        return unix_time(self.tags.get("replaced-at", ""))

    @property
    def restored_at(self) -> int | None:
        """When the original was last brought back (unix seconds); None if never, or if it was replaced again since.

        Where the tag is there and cannot be read it is as if it had been just now, or later: LAST_SECOND.
        """
        told = self.tags.get("restored-at")
        return None if told is None else unix_time(told) or LAST_SECOND

    @property
    def settings(self) -> str:
        """SETTINGS_DUE or SETTINGS_SET where what people have set on flavor assets is kept beside it; else empty."""
        return self.tags.get("settings", "")

    @property
    def picture(self) -> str:
        """That the entry's picture has yet to be looked after, as `kaltura_archiver.pictures` writes it; or empty."""
        return self.tags.get("picture", "")


# What is behind the first @ of the key of a further copy.
_VERSION = re.compile(r"[A-Za-z0-9_]+@[A-Za-z0-9_.]+")


def entry_of_key(key: str) -> str:
    """The entry that a stored copy, or what was displaced, is of."""
    return key.removeprefix(DISPLACED_PREFIX).partition("/")[0].partition(VERSION_MARK)[0]


def version_key(entry_id: str, content_id: str, number: int = 0) -> str:
    """The key of a further copy: of this content, `<flavor asset id>@<version>`, or the next one of it."""
    return f"{entry_id}{VERSION_MARK}{content_id}" + (f".{number}" if number else "")


@dataclass(frozen=True)
class StoredObject(Recorded):
    """The stored copy: HeadObject and its tags. `thawed_until` is S3's own text (an HTTP date).

    `earlier` are the keys of the entry's copies that this one came after, the first one first.

    `archive_tier` is that of INTELLIGENT_TIERING, empty for what is in none: thawed, such an object stays readable.
    The checksums are those of the whole object that S3 shows, empty where it shows none. `md5_etag`: whether the
    service is known to make the ETag of this object from MD5s. `expires`: when a lifecycle rule deletes it, and which
    (`on 2027-01-31 (lifecycle rule 'tidy')`); empty where S3 names none.

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
    untagged: bool = False  # S3 has shown that it has no tags at all; False where it does not tell
    marked_damaged_at: str = ""  # by a mark about this very content, see SUSPECT_PREFIX
    marked_differing: frozenset[str] = frozenset()
    marked_newer: str = ""
    earlier: tuple[str, ...] = ()
    expires: str = ""

    @property
    def entry_id(self) -> str:
        return entry_of_key(self.key)

    @property
    def newer(self) -> str:
        """The key of the copy that is the entry's since it was stored after this one; empty if this is it."""
        named = self.marked_newer or self.tags.get(NEWER_TAG, "")
        return version_key(self.entry_id, named) if _VERSION.fullmatch(named) else ""

    @property
    def archived_at(self) -> int | None:
        """When it was stored (unix seconds): as was recorded then, else since when S3 has the object as it is; None if
        neither is known."""
        recorded = unix_time(self.metadata.get("archived-at", ""))
        return int(self.last_modified.timestamp()) if recorded is None and self.last_modified else recorded

    @property
    def age_recorded(self) -> bool:
        """Whether that was recorded then. Else (by the old tool) there is only S3's word of the object as it is, which
        is younger than the copy wherever that was moved, or put back from an older version."""
        return unix_time(self.metadata.get("archived-at", "")) is not None

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

    def thaws_within(self, tier: str) -> str:
        """How long after a request it is readable at the latest, by AWS's word (docs/aws/costs.md)."""
        return self._thaws(tier)[0]

    def thaw_seconds(self, tier: str) -> float:
        """As `thaws_within`, to reckon with."""
        return self._thaws(tier)[1] * 3600

    def _thaws(self, tier: str) -> tuple[str, float]:
        as_fast_as = ARCHIVE_TIERS.get(self.archive_tier, self.storage_class)
        return _THAWS_WITHIN.get((as_fast_as, tier), _SLOWEST)

    @property
    def has_expedited(self) -> bool:
        return ARCHIVE_TIERS.get(self.archive_tier, self.storage_class) != "DEEP_ARCHIVE"

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
        # The old tool took an empty answer of the file host for the video (kaltura-api 4.5).
        return self.overwritten if self.size_bytes else "the stored copy is empty: it has 0 bytes"

    @property
    def ending(self) -> str:
        """Why this copy does not stay, by S3's own word, so that no original may go for it; empty if it names no end.

        Also where the bucket keeps versions: what a rule has hidden behind a delete marker no command finds any more.
        """
        return f"S3 will delete the stored copy by itself {self.expires}" if self.expires else ""

    @property
    def ending_told(self) -> str:
        """That, and what to do about it; empty if it names no end."""
        return f"{self.ending}: {NO_EXPIRATION}" if self.expires else ""

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
        return len(TAGS_NEEDED.union(self.tags) - TAGS_GIVING_WAY) > MAX_OBJECT_TAGS
