"""The commands that change something, the steps that they may take, and what was asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from kaltura_archiver.filters import Plays, Query
from kaltura_archiver.keep import Keep
from kaltura_archiver.model import (
    ARCHIVED_TAG,
    FROZEN_CLASSES,
    REPLACED_TAG,
    THIN_TAG,
    Availability,
    Cause,
    Facts,
    Outcome,
    State,
)
from kaltura_archiver.thinning import DERIVED, MAX_KEPT_BYTES, Choice, dropped, kept_flavor

DAY_SECONDS = 86400
HOUR_SECONDS = 3600


class Command(StrEnum):
    S3COPY = "s3copy"
    REPLACE = "replace_video"
    THIN = "thin"
    RESTORE = "restore"
    REPAIR = "repair"
    VERIFY = "verify"
    RESOLVE = "resolve"

    @property
    def heeds_keep(self) -> bool:
        """Whether it may archive or replace, and so has to know the keep list."""
        return self in (Command.S3COPY, Command.REPLACE, Command.THIN, Command.REPAIR)

    @property
    def swaps(self) -> bool:
        """Whether content is replaced or removed by it, as a rule or at times."""
        return self in (Command.REPLACE, Command.THIN, Command.RESTORE, Command.REPAIR, Command.RESOLVE)


class Step(StrEnum):
    """One thing to do; the value completes the sentence "would …"."""

    COPY = "copy the original to S3 and verify it"
    COPY_SOURCE = "make the stored copy of the entry that it is a clone of its own"
    COPY_BESIDE = "copy the original to S3, beside the copy that there is, and verify it"
    MAKE_CURRENT = "make that the entry's stored copy; the earlier one stays in S3"
    PROVE = "read the original once and compare it with the stored copy"
    ADD_ARCHIVED = f"add the tag {ARCHIVED_TAG}"
    ADD_REPLACED = f"add the tag {REPLACED_TAG}"
    REMOVE_REPLACED = f"remove the tag {REPLACED_TAG}"
    CHECK_COPY = "compare the original with the stored copy once more"
    UPLOAD_PLACEHOLDER = "upload the placeholder"
    PUT_PLACEHOLDER = "replace the original with the placeholder"
    THAW = "request a restore from Glacier"
    PUT_ORIGINAL = "bring the original back from S3 and verify it"
    READ_BACK = "read the stored copy back and compare it with its checksum"
    SETTLE = "go on with the replacement that is in progress"
    KEEP_SETTINGS = "keep language, label and tags of the flavors in S3, to set them again afterwards"
    SET_FLAVORS = "set language, label and tags of the flavors again"
    SET_PICTURE = "look after its picture: where it is still the placeholder's, take one of the video"
    NEW_PICTURE = "take a new picture of the video"
    RECORD = "record with the stored copy which placeholder is in place"
    CHECK_KEPT = "look whether the derived flavor to keep is there in full length"
    ADD_THIN = f"add the tag {THIN_TAG}"
    DELETE_ORIGINAL = "delete the original in Kaltura, where the derived flavor plays on"
    RECORD_KEPT = "record with the stored copy which flavor plays on"
    DROP_DERIVED = "delete the derived flavors that are not kept"
    REMOVE_THIN = f"remove the tag {THIN_TAG}"
    REMOVE_REQUEST = "remove the tag by which it was asked for"

    @property
    def destroys(self) -> bool:
        """Whether the step removes content from Kaltura."""
        return self in (Step.PUT_PLACEHOLDER, Step.PUT_ORIGINAL, Step.DELETE_ORIGINAL, Step.DROP_DERIVED)

    @property
    def may_swap_placeholder_in(self) -> bool:
        """Whether it may bring the placeholder nearer; SETTLE does not know whose replacement it goes on with."""
        return self in (Step.UPLOAD_PLACEHOLDER, Step.PUT_PLACEHOLDER, Step.SETTLE)


@dataclass(frozen=True)
class Options:
    """What a mutating command was told. `now` is unix seconds; `timeout_seconds` bounds each wait for a conversion."""

    now: float
    dry_run: bool = True
    min_age_years: float = 3.0
    storage_class: str = "STANDARD"
    accept_size_match: bool = False
    allow_in_place: bool = False
    approve: bool = False
    tier: str = "bulk"
    days: int = 7
    via: str = "upload"
    timeout_seconds: float = 7200.0
    max_converting: int = 50
    request: bool = False
    new_picture: bool = False
    keep: Keep = field(default_factory=Keep)
    noticed_before_seconds: float | None = None
    plays: Plays = field(default_factory=Plays)
    asked: Query | None = None  # by what the entries were selected, where that is to hold still when its turn comes
    keep_height: int | None = None
    max_kept_bytes: int = MAX_KEPT_BYTES
    derived: str = DERIVED[0]
    derived_only: bool = False
    even_if_clipped: bool = False
    side: str = ""  # KEPT_SIDES, or not told
    request_tag: str = ""  # by which people ask for an original

    def by_category(self, command: Command) -> bool:
        """Whether an entry's categories have to be known to tell what is done about it."""
        return (command.heeds_keep and bool(self.keep.categories)) or (
            self.asked is not None and self.asked.by_category
        )

    def by_metadata(self, command: Command) -> bool:
        """Whether its custom metadata has to be known for that."""
        return (command.heeds_keep and bool(self.keep.metadata)) or (self.asked is not None and self.asked.by_metadata)

    @property
    def wanted(self) -> Choice:
        """Which derived flavor is to be kept, and which of the others are not."""
        return Choice(self.keep_height, self.max_kept_bytes, self.derived)


_THAW, _SWAP = ("tier", "days", "via"), ("timeout_seconds", "max_converting", "approve", "allow_in_place")
# Which options are which command's, in the order of its help; and those that say how it is done, not what: they belong
# to a run, the others also to a plan.
OPTIONS = {
    Command.S3COPY: ("storage_class", "accept_size_match"),
    Command.REPLACE: ("min_age_years", "noticed_before_seconds", *_SWAP),
    Command.THIN: (
        "keep_height",
        "max_kept_bytes",
        "derived",
        "derived_only",
        "even_if_clipped",
        "min_age_years",
        "noticed_before_seconds",
    ),
    Command.RESTORE: (*_THAW, *_SWAP, "new_picture", "request_tag"),
    Command.REPAIR: ("accept_size_match", *_THAW, *_SWAP),
    Command.VERIFY: ("request", *_THAW[:2]),
    Command.RESOLVE: ("side", "storage_class", *_THAW, "timeout_seconds", "approve", "allow_in_place"),
}
OF_A_RUN = ("timeout_seconds", "max_converting", "new_picture")
# Which of two videos an entry is to have: the one that Kaltura has, or the stored copy.
KEPT_SIDES = ("kaltura", "s3")
# What a plan can be made of, by the word for it.
ACTIONS = {
    "archive": Command.S3COPY, "replace": Command.REPLACE, "thin": Command.THIN, "restore": Command.RESTORE,
}  # fmt: skip


def planned_options(command: Command) -> tuple[str, ...]:
    """The options of a command that decide what is done."""
    return tuple(name for name in OPTIONS[command] if name not in OF_A_RUN)


@dataclass(frozen=True)
class Plan:
    """Steps to take, or an outcome without any; `reason` says why, in words for the operator, `cause` for a summary."""

    state: State
    steps: tuple[Step, ...] = ()
    outcome: Outcome = Outcome.DONE
    reason: str = ""
    cause: Cause | None = None

    def describe(self) -> str:
        if self.steps:
            would = "; ".join(self.steps)
            return f"would {would} ({self.reason})" if self.reason else f"would {would}"
        return f"{self.outcome}: {self.reason}"


def asked_back_bytes(facts: Facts, steps: tuple[Step, ...], moved: int = 0) -> int:
    """Bytes of a stored copy that a restore with these steps begins to bring back, or has `moved`.

    Of one that thaws, or has thawed, none: they were begun when it was asked for.
    """
    stored = facts.stored or facts.source
    if stored is None or stored.availability is Availability.THAWING:
        return 0
    if stored.storage_class in FROZEN_CLASSES and stored.availability is Availability.READABLE:
        return 0
    begins = not {Step.THAW, Step.COPY_SOURCE, Step.PUT_ORIGINAL}.isdisjoint(steps)
    return max(stored.size_bytes if begins else 0, moved)


def bytes_of(facts: Facts, steps: tuple[Step, ...], options: Options) -> tuple[int, int]:
    """Bytes to move, of a frozen copy those of its whole restore, and bytes that Kaltura need not store any more.

    A file that another entry has, too, stays there.
    """
    original, stored = facts.original, facts.stored or facts.source
    size = original.known_bytes if original else 0
    if Step.COPY in steps or Step.COPY_BESIDE in steps:
        return size, 0
    if Step.PUT_PLACEHOLDER in steps:
        placeholder = facts.placeholder_bytes or 0
        size = size or sum(flavor.known_bytes for flavor in facts.derived)
        return placeholder, max(size - placeholder, 0)
    if not {Step.DELETE_ORIGINAL, Step.DROP_DERIVED}.isdisjoint(steps):
        kept = facts.kept or kept_flavor(facts, options.wanted)[0]
        others = dropped(facts, kept, options.wanted) if kept and Step.DROP_DERIVED in steps else ()
        freed = sum(flavor.known_bytes for flavor in others) + (size if Step.DELETE_ORIGINAL in steps else 0)
        return 0, 0 if facts.sharing else freed
    if stored and {Step.THAW, Step.COPY_SOURCE, Step.PUT_ORIGINAL}.intersection(steps):
        return stored.size_bytes, 0
    return 0, 0


def read_bytes(facts: Facts, steps: tuple[Step, ...]) -> int:
    """Bytes of the original in Kaltura that are only read, to prove a copy that is there already."""
    return facts.original.known_bytes if facts.original and Step.PROVE in steps else 0
