"""What Kaltura says of one entry and its flavor assets."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import cached_property

from kaltura_archiver.model.tags import NoticeTag, notice_of, owner_mark
from kaltura_archiver.model.words import (
    ARCHIVED_TAG,
    ENTRY_STATUSES,
    NOTICE_PREFIX,
    REPLACED_TAG,
    THIN_TAG,
    VERSION_STEP,
    Announced,
    EntryStatus,
    FlavorStatus,
    MediaType,
    ReplacementStatus,
)


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
    co_editors: tuple[str, ...] = ()  # further users who may edit it
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
    admin_tags: tuple[str, ...] = ()
    end_at: int | None = None  # unix seconds, from when on it is not shown any more; None for never
    source_type: str = ""  # a SourceType, or what Kaltura has beside these
    conversion_profile_id: str = ""  # empty for the default one of the account
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
    def thin(self) -> bool:
        return THIN_TAG in self.tag_set

    @property
    def only_in_s3(self) -> bool:
        """Whether it is marked as one whose original Kaltura has not: what it tells of that is of something else."""
        return self.replaced or self.thin

    @property
    def owner(self) -> str:
        """Whose the entry is: who was made its owner, or else its creator."""
        return self.owner_id or self.creator_id

    @property
    def notices(self) -> tuple[tuple[NoticeTag, bool], ...]:
        """The notices that somebody had, by the tags, the newest last, and whether that was who owns it today.

        Tags of earlier versions do not tell to whom it went. It was the creator.
        """
        mine = {owner_mark(self.owner)}
        if owner_mark(self.creator_id) in mine:
            mine.add("")
        found = sorted(filter(None, map(notice_of, self.tag_set)), key=lambda told: told.on)
        return tuple((told, told.mark in mine) for told in found)

    def notice(self, of: Announced | None = None) -> NoticeTag | None:
        """The newest notice to today's owner of this, or of anything: each one made a promise that is to be kept."""
        mine = (told for told, is_mine in self.notices if is_mine and told.is_of(of))
        return max(mine, key=lambda told: (told.on, told.of or ""), default=None)

    @property
    def promised_until(self) -> date | None:
        """The last day named in a notice, to whomever it went: until it is over the original is not replaced."""
        return max((told.until for told in map(notice_of, self.tag_set) if told and told.until), default=None)

    @property
    def odd_promise(self) -> str:
        """A tag of a notice that names a day which cannot be read, as a person may have changed it; or empty."""
        odd = (tag for tag in self.tag_set if tag.startswith(NOTICE_PREFIX) and "until" in tag and not notice_of(tag))
        return min(odd, default="")

    @property
    def unreadable(self) -> bool:
        """Whether Kaltura tells that this video or sound, READY as it is, has no duration: it could not read it."""
        timed = self.media_type in (MediaType.VIDEO.value, MediaType.AUDIO.value)
        return timed and self.status == EntryStatus.READY and self.duration_seconds == 0

    @property
    def status_known(self) -> bool:
        return self.status in ENTRY_STATUSES

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
    def parent_of_stream(self) -> str:
        """The entry of which it is a further stream; empty if there is none."""
        return self.parent_entry_id if self.parent_entry_id != self.id else ""

    @property
    def temporary(self) -> bool:
        """Made by Kaltura for a replacement in progress; gone when that ends (kaltura-api 5.3)."""
        return bool(self.replaced_entry_id)


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
    height: int | None = None  # of the picture, in lines

    @property
    def known_bytes(self) -> int:
        """The size; where only whole KB are told (assets from before 2020), that of these; 0 where nothing is."""
        return self.size_bytes or (self.size_kb or 0) * 1024

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
        """How many times the content has been set since it was this, `<flavor asset id>@<version>`; None for another
        asset. In whichever data centre: the last digit of a version tells only that.

        One replacement sets it twice: its file is linked once more when its last job ends (kaltura-api 10.16).
        """
        asset_id, _, version = content_id.partition("@")
        if asset_id != self.id or not (version.isdecimal() and self.version.isdecimal()):
            return None
        return int(self.version) // VERSION_STEP - int(version) // VERSION_STEP

    def linked_again(self, before: FlavorAsset) -> bool:
        """Whether this is what `before` was, its file linked once more by the server: not told by the version alone."""
        size, size_before = self.size_bytes or self.size_kb, before.size_bytes or before.size_kb
        return bool(size) and size == size_before and self.steps_after(before.content_id) == 1
