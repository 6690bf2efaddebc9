"""What the steps of a run work with, and an entry in hand."""

from __future__ import annotations

import logging
import threading
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from kaltura_archiver import pictures
from kaltura_archiver.apply.room import Conversions, Room
from kaltura_archiver.errors import EntryFailed
from kaltura_archiver.flavors import SettingsOfFlavors
from kaltura_archiver.kaltura import Kaltura
from kaltura_archiver.model import Entry, Facts, FlavorAsset, StoredObject
from kaltura_archiver.placeholders import Placeholder, Placeholders
from kaltura_archiver.results import log_fields
from kaltura_archiver.steps import Command, Options, Step
from kaltura_archiver.store import Store

log = logging.getLogger(__name__)
# A URL for Kaltura is good for the time of its job (--timeout), within these.
MIN_URL_SECONDS, MAX_URL_SECONDS = 60.0, 6 * 3600.0


@dataclass
class Sources:
    """Where the facts about an entry are read."""

    kaltura: Kaltura
    store: Store
    placeholders: Placeholders

    @property
    def swaps(self) -> bool:
        """Whether content is replaced by who reads them, who then has to know which tags flavors usually have."""
        return False


@dataclass
class Tools(Sources):
    """What the steps of a run work with; shared by all its entries, which are in hand at the same time."""

    command: Command
    options: Options
    poll_seconds: float
    settle_seconds: float
    stop: threading.Event
    token_prefix: str
    by_category: bool  # what is done about an entry
    by_metadata: bool
    room: Room
    transfers: AbstractContextManager[object]
    conversions: Conversions
    no_replacement: bool = False  # set once Kaltura says that this account cannot replace content
    reencoding: set[str] = field(default_factory=set)  # conversion profiles by which a placeholder became another file
    said: set[str] = field(default_factory=set)  # what is said once per run

    @property
    def swaps(self) -> bool:
        return self.command.swaps


@dataclass
class InHand:
    """One entry in hand: what was known when it was planned, and what the steps have made so far."""

    facts: Facts
    steps: tuple[Step, ...] = ()
    token: str = ""
    token_used: bool = False
    sent_bytes: int = 0  # the size of the content that is to take the original's place
    placeholder: Placeholder | None = None  # the one that was uploaded
    temporary: str = ""  # the id of the temporary entry of our own replacement, by the answer that began it
    coming: FlavorAsset | None = None  # its source, READY: what Kaltura is about to put in the original's place
    copied: StoredObject | None = None  # what this run has stored, or found, beside the stored copy
    proven: FlavorAsset | None = None  # the original that this run has found to be, or made, what is stored
    converting: bool = False  # one of those that Kaltura may convert at a time
    swaps_placeholder_in: bool = False  # it is the placeholder that takes the original's place
    takes_original_away: bool = False  # and nothing takes its place
    kept: FlavorAsset | None = None  # the derived flavor that plays on then
    past_point_of_no_return: bool = False  # content of the entry may have changed
    settings: SettingsOfFlavors | None = None  # of its flavors, kept to be set again
    settings_tag: str = ""  # of the stored copy, as we have set it
    own_tags: set[str] = field(default_factory=set)
    tags_seen: frozenset[str] = frozenset()  # of the entry, when its swap was done
    left: str = ""  # what a replacement that is thrown away leaves, in words
    picture: pictures.Due | None = None  # what was known of its picture before the swap
    bytes_moved: int = 0
    bytes_freed: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def id(self) -> str:
        return self.facts.entry.id

    @property
    def key(self) -> str:
        """That of the stored copy: the entry's id, unless a newer one came after the first."""
        return self.facts.stored.key if self.facts.stored else self.id

    @property
    def original(self) -> FlavorAsset:
        if self.facts.original is None:
            raise EntryFailed(f"entry {self.id} has no original flavor")
        return self.facts.original

    @property
    def stored(self) -> StoredObject:
        if self.facts.stored is None:
            raise EntryFailed(f"there is no stored copy of {self.id}")
        return self.facts.stored


def line(tools: Tools, level: int, kind: str, entry: Entry | str, detail: str, **more: str) -> None:
    """A log line about an entry, or about an id of which nothing more is known."""
    told = {"entry": entry} if isinstance(entry, str) else {"entry": entry.id, "entry_name": entry.name}
    fields = log_fields(kind, tools.command.value, dry_run=tools.options.dry_run, **told, **more)
    log.log(level, "%s", detail, extra=fields)


def say_once(tools: Tools, text: str) -> None:
    if text not in tools.said:
        tools.said.add(text)
        log.warning("%s", text)


def warn(tools: Tools, work: InHand, text: str) -> None:
    line(tools, logging.WARNING, "step", work.facts.entry, text)
    work.notes.append(text)
