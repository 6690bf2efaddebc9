"""The field's words: statuses, storage classes, tags and marks, with the values that services give them."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from enum import Enum, StrEnum
from functools import lru_cache

# Of the year 9999. What is later is no time: milliseconds, for one, taken for seconds.
LAST_SECOND = 253_402_300_799
ARCHIVED_TAG = "archived_to_s3"
REPLACED_TAG = "flavors_deleted"
# The original is in S3 only, while a derived flavor plays on in Kaltura.
THIN_TAG = "original_in_s3"
# Of the flavor in which Kaltura saves an upload before it re-encodes it in the original's own asset (its flavor
# parameters save_original_source_flavor_params have it, and give it).
SAVED_UPLOAD_TAG = "save_source"
# And the day on which the owner was told that the original will be replaced, with a mark of who that was, and on which
# day at the earliest: notice_2026-11-25_d30a5f57_until_2026-12-25. Tags may be seen by viewers, so it is not the name.
# A policy also says of what it told: …_for_replace (see Announced).
NOTICE_PREFIX = "notice_"
# Where in the bucket a restore keeps what it displaces: displaced/<entry id>/<flavor asset id>@<version>.
DISPLACED_PREFIX = "displaced/"
# By so much a flavor asset's version grows whenever its content is set, but for its last digit, which tells in which
# data centre: 2 or 1 (kDataCenterMgr::incrementVersion in Kaltura's source). After 12 comes 22, or 21.
VERSION_STEP = 10
# Empty objects, suspect/<entry id>/<ETag>.damaged, .whole, or .differs.<flavor asset id>@<version>: what was found when
# the content with this ETag was read. Each kind is a key of its own, so that nobody's write undoes another one's, as it
# may with tags; of damaged and whole the later one counts. (Up to version 1.2 suspect/<entry id>, and a tag.)
SUSPECT_PREFIX = "suspect/"
# The first stored copy of an entry has its id as key. A later one is <entry id>@<flavor asset id>@<version>: no version
# comes twice. Behind it comes .1, .2 … where the copy with that key is known to be other bytes. No id has an @.
VERSION_MARK = "@"
# An empty object suspect/<key of a copy>/newer.<what is behind the first @ of another's key>: that one is the entry's
# since. It is a mark, so that nobody's write undoes it; a tag says so, too, for who has a listing of a minute ago.
NEWER_MARK, NEWER_TAG = "newer.", "newer-copy"
# S3 keeps no more tags of an object; these are the ones that we may still have to set.
MAX_OBJECT_TAGS = 10
TAGS_NEEDED = frozenset({"sha256", "flavor", "proof", "placeholder", "replaced-at", "settings", "verified-at"})
# These give way to one of them, or go, whatever is done next.
TAGS_GIVING_WAY = frozenset({"thaw", "thin", "restored-at"})
# What to do about a lifecycle rule that is to delete a stored copy.
NO_EXPIRATION = "have that rule leave stored copies out, or remove its expiration (docs/aws/protection.md)"
# What people have set on the flavor assets of an entry: settings/<entry id>.json. See kaltura_archiver.flavors.
SETTINGS_PREFIX = "settings/"
# The object tag `settings`: whether they have to be set again, or have been.
SETTINGS_DUE, SETTINGS_SET = "due", "set"
# Empty objects, placeholders/<entry id>/<flavor asset id>@<version>/<bytes>: a placeholder that took an original's
# place, so that a listing tells it from what came over it later. Without one the copy's tags are looked at.
PLACEHOLDER_PREFIX = "placeholders/"


class Announced(StrEnum):
    """What a notice said that becomes of a video: it loses other flavors, its original, or all but a placeholder."""

    FLAVORS = "flavors"
    THIN = "thin"
    REPLACE = "replace"


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


ENTRY_STATUSES = frozenset(EntryStatus)


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


class SourceType(StrEnum):
    """Where an entry's content came from: `KalturaSourceType`, a string enum, less those of live streams."""

    FILE = "1"
    WEBCAM = "2"
    URL = "5"
    SEARCH_PROVIDER = "6"
    RECORDED_LIVE = "34"
    CLIP = "35"
    KALTURA_RECORDED_LIVE = "36"
    LECTURE_CAPTURE = "37"


class ReplacementStatus(StrEnum):
    """`KalturaEntryReplacementStatus`, a string enum in the client (kaltura-api 5.3, 10.5)."""

    NONE = "0"
    APPROVED_BUT_NOT_READY = "1"
    READY_BUT_NOT_APPROVED = "2"
    NOT_READY_AND_NOT_APPROVED = "3"
    FAILED = "4"


def same_id(text: str) -> str:
    """An id as Kaltura compares it: neither case nor blanks at its end count (real-kaltura N04-N06)."""
    return text.rstrip(" ").lower()


# Said of an entry with its original in place that is `unreadable`.
UNREADABLE = "WARNING: Kaltura tells a duration of 0 seconds, so it could not read the video: play it"


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
    THIN = "thin"
    HALF_THIN = "half-thin"


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


def iso_date(unix_seconds: int | None) -> str:
    """`2019-03-01` in UTC; empty for a missing time, and for none of this calendar."""
    if not unix_seconds or not 0 < unix_seconds <= LAST_SECOND:
        return ""
    return _iso_day(unix_seconds // 86400)


def last_played_words(day: str, plays: int) -> str:
    """The day of the last play as it is, `never`, or `unknown`: Kaltura has plays, but of none of them the day."""
    return day or ("unknown" if plays else "never")


def unix_time(iso: str) -> int | None:
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


def so_many(number: int, what: str = "entry", several: str = "entries") -> str:
    """`1 entry`, `1,000 entries`"""
    return f"{number:,} {what if number == 1 else several}"
