"""What is so, judged from the records of both servers and never from what the tool says."""

from __future__ import annotations

import hashlib
import re
import threading
from dataclasses import dataclass, field

from kaltura_archiver.model import ARCHIVED_TAG, REPLACED_TAG, THIN_TAG, split_tags
from kaltura_archiver.sandbox.kaltura.records import TOKEN_FULL, TOKEN_PARTIAL, TOKEN_PENDING
from kaltura_archiver.sandbox.world import Sandbox

CATEGORIES = ("LOST", "CORRUPT", "EMPTY", "TAGLOST", "STUCK", "LEFT", "SECRET", "CRASH", "REPEAT")
# No compare-and-swap in Kaltura's API: what another author does between our last look and the call itself is undone.
RACE = "RACE"
GAP = "GAP"
# A copy that differs from an original still in place: Kaltura has no checksum by which s3copy could see a byte that
# changed on the way. replace_video reads the original again, and sees it before anything is removed.
LATENT = "LATENT"

_SIGNATURE = re.compile(r"(?i)signature=[0-9a-z%+/]{8,}")


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@dataclass(frozen=True)
class Look:
    """One entry and its stored copy at one moment; hashes, empty where there is nothing."""

    status: str
    hidden: bool
    playable: bool
    tags: frozenset[str]
    original: str  # of a READY original
    content_id: str
    copies: dict[str, str]  # key to hash, of each object of this entry
    copy: str
    object_tags: dict[str, str]
    derived: frozenset[str]  # flavors beside it, READY or still made

    @property
    def deleted(self) -> bool:
        return self.status == "3"

    @property
    def archived(self) -> bool:
        return ARCHIVED_TAG in self.tags

    @property
    def replaced(self) -> bool:
        return REPLACED_TAG in self.tags

    @property
    def thin(self) -> bool:
        return THIN_TAG in self.tags


@dataclass
class Truth:
    """Which bytes of one entry are to be kept, and what was found wrong so far.

    `real` are the hashes of all videos that people ever put into the entry; `kept` those of them that must exist now.
    """

    sandbox: Sandbox
    entry_id: str
    in_place: bool
    real: set[str] = field(default_factory=set)
    kept: set[str] = field(default_factory=set)
    people_tags: set[str] = field(default_factory=set)
    found: dict[str, str] = field(default_factory=dict)  # category to its first evidence
    secrets: set[str] = field(default_factory=set)
    _before: Look | None = None
    lock: threading.RLock = field(default_factory=threading.RLock)  # held while a person changes what is to be kept
    _hashes: dict[int, tuple[bytes, str]] = field(default_factory=dict)

    def blame(self, category: str, evidence: str) -> None:
        self.found.setdefault(category, evidence)

    def upload(self, content: bytes) -> None:
        """A person puts this video into the entry; what the entry held until then is theirs to throw away."""
        self.forget_shown()
        self.real.add(digest(content))
        self.kept.add(digest(content))

    def forget_shown(self) -> None:
        self.kept.discard(self.look().original)

    def _digest(self, content: bytes) -> str:
        known = self._hashes.get(id(content))
        if known is None or known[0] is not content:
            known = self._hashes[id(content)] = (content, digest(content))
        return known[1]

    def key(self) -> str:
        """Of the copy that is the entry's: the first one, or the last that a mark says came after it."""
        key, keys = self.entry_id, self.sandbox.s3.keys(f"suspect/{self.entry_id}")
        while True:
            start = f"suspect/{key}/newer."
            after = [mark.removeprefix(start) for mark in keys if mark.startswith(start) and mark != start]
            if not after:
                return key
            key = f"{self.entry_id}@{max(after, key=lambda named: float(named.rpartition('@')[2]))}"

    def look(self) -> Look:
        kaltura, s3 = self.sandbox.kaltura, self.sandbox.s3
        with kaltura.library.lock:
            entry = kaltura.entries[self.entry_id]
            original = kaltura.library.original(self.entry_id)
            content = original.contents.get(original.version) if original and original.locally_ready else None
            status, hidden, tags = entry.status, entry.display_in_search == -2, frozenset(split_tags(entry.tags))
            playable = status == "2" and any(a.locally_ready for a in kaltura.library.live_assets(entry.id))
            content_id = f"{original.id}@{original.version}" if original else ""
            derived = frozenset(a.id for a in kaltura.library.live_assets(entry.id) if not a.is_original)
        shown = self._digest(content.data) if content and content.data is not None else ""
        bodies = {key: s3.body(key) for key in s3.keys(self.entry_id)}
        copies = {name: digest(body) for name, body in bodies.items() if body is not None}
        key = self.key()
        return Look(
            status, hidden, playable, tags, "" if status == "3" else shown, content_id, copies,
            copies.get(key, ""), s3.tags(key), derived,
        )  # fmt: skip

    def check(self, where: str, *, by_person: bool = False) -> Look:
        """Judge this moment; `by_person` says that the last change was a person's."""
        with self.lock:
            now = self.look()
            before, self._before = self._before, now
            lost = self.kept - {now.original, *now.copies.values()}
        for video in lost:
            self.blame("LOST", f"{where}: no copy of {video[:8]} anywhere")
        marks = now.object_tags
        if (key := self.key()) != self.entry_id and (not now.copy or marks.get("sha256") != now.copy):
            self.blame("CORRUPT", f"{where}: {key} is the entry's copy, and not known to be good")
        if now.copy and marks.get("sha256") not in (None, now.copy):
            self.blame("CORRUPT", f"{where}: the object's tag sha256 is not that of its bytes")
        if marks.get("flavor") == now.content_id and now.original and now.original != now.copy:
            what = LATENT if now.original in self.real else "CORRUPT"
            self.blame(what, f"{where}: the object is tagged as this original, and its bytes are others")
        if now.copy and now.copy not in self.real and (marks.get("sha256") or now.archived):
            what = LATENT if now.original in self.real else "CORRUPT"
            self.blame(what, f"{where}: the stored copy is no video of anybody")
        if before and not by_person:
            if now.archived and not before.archived and now.copy not in self.real:
                what = LATENT if now.copy and now.original in self.real else "CORRUPT"
                self.blame(what, f"{where}: tagged {ARCHIVED_TAG} without a good copy")
            gone = before.original and not now.original and now.content_id == "" and not now.deleted
            if (
                gone
                and before.original in self.real
                and not self.in_place
                and not (now.copy == before.original == marks.get("sha256") and now.thin)
            ):
                self.blame("CORRUPT", f"{where}: the original went, and its copy is not known to be good")
            if gone and not self.in_place and not self.is_full_length():
                self.blame("CORRUPT", f"{where}: the original went, and what plays is not the whole video")
            if before.thin and now.content_id == before.content_id != "" and before.derived - now.derived:
                self.blame("CORRUPT", f"{where}: derived flavors went, and the original is still there")
            if before.thin and not now.thin and not now.deleted and not now.original and now.copy:
                self.blame("CORRUPT", f"{where}: {THIN_TAG} dropped, and the original is not in place")
            # Of a thin entry the derived flavor is in place again, or still: that is judged above.
            thin = now.thin and not now.content_id and now.copy in self.real
            if before.replaced and not now.replaced and not now.deleted and now.original not in self.real and not thin:
                self.blame("CORRUPT", f"{where}: {REPLACED_TAG} dropped, and the original is not in place")
        if not now.deleted and not now.playable and before and before.playable and not by_person:
            self.blame(GAP if self.in_place else "EMPTY", f"{where}: nothing to play (status {now.status})")
        if not now.deleted and not self.people_tags <= now.tags:
            self.blame("TAGLOST", f"{where}: {', '.join(sorted(self.people_tags - now.tags))} vanished")
        return now

    def check_end(self) -> None:
        """Judge what is left when the tool has nothing more to do."""
        now = self.check("at the end")
        if not now.deleted and not now.hidden and not now.playable:
            self.blame("EMPTY", f"at the end: nothing to play (status {now.status})")
        strange = now.original and now.original not in self.real and not self.is_placeholder(now)
        if strange:
            self.blame("CORRUPT", "at the end: the original is nobody's video and not the placeholder")
        for left in self.leftovers():
            self.blame("LEFT", left)

    def leftovers(self) -> list[str]:
        kaltura = self.sandbox.kaltura
        left = [f"multipart upload of {key}" for key, _ in self.sandbox.s3.uploads() if self.entry_id in key]
        with kaltura.library.lock:
            open_states = (TOKEN_PENDING, TOKEN_PARTIAL, TOKEN_FULL)
            left += [
                f"upload token {t.id} in status {t.status}" for t in kaltura.tokens.values() if t.status in open_states
            ]
            main = kaltura.entries[self.entry_id]
            left += [
                f"temporary entry {entry.id}"
                for entry in kaltura.entries.values()
                if entry.replaced_entry_id == main.id and not entry.deleted and main.replacing_entry_id != entry.id
            ]
        return left

    def is_placeholder(self, now: Look) -> bool:
        original = self.sandbox.kaltura.original(self.entry_id)
        # By its size: a byte that changed on the way harms nobody's video.
        return bool(now.original) and original is not None and original.size_in_bytes == len(self.sandbox.placeholder)

    # Where the commands are to bring an entry

    def is_archived(self, *, certain: bool = True) -> bool:
        """Whether original and copy agree, and (`certain`) the copy's tag says so."""
        now = self.look()
        return (
            now.playable
            and now.archived
            and not now.replaced
            and not now.thin
            and now.original in self.real
            and now.copy == now.original == now.object_tags.get("sha256")
            and (self._names(now.object_tags.get("flavor", ""), now.content_id) or not certain)
            and not self._replacing()
        )

    def _names(self, tag: str, content_id: str) -> bool:
        """Whether a tag names this content, or what it was before its file was linked once more (kaltura-api 10.16)."""
        asset_id, _, version = content_id.partition("@")
        return tag in (content_id, f"{asset_id}@{int(version) - 10}" if version else content_id)

    def is_replaced(self) -> bool:
        now = self.look()
        return (
            now.playable
            and now.archived
            and now.replaced
            and not now.thin
            and now.copy in self.real
            and now.object_tags.get("sha256") == now.copy
            and self.is_placeholder(now)
            and not self._replacing()
        )

    def is_full_length(self) -> bool:
        """Whether some derived flavor that plays is as long as the entry."""
        library = self.sandbox.kaltura.library
        with library.lock:
            entry = library.entries[self.entry_id]
            lengths = [
                asset.contents[asset.version].duration_ms
                for asset in library.live_assets(entry.id)
                if asset.locally_ready and not asset.is_original
            ]
        return any(abs(length - entry.duration_ms) <= 2000 for length in lengths)

    def is_thin(self) -> bool:
        now = self.look()
        kept = now.object_tags.get("thin", "")
        with self.sandbox.kaltura.library.lock:
            playing = [f"{a.id}@{a.version}" for a in self.sandbox.kaltura.library.live_assets(self.entry_id)]
        return (
            now.playable
            and now.archived
            and now.thin
            and not now.replaced
            and not now.content_id
            and now.copy in self.real
            and now.object_tags.get("sha256") == now.copy
            and kept in playing
            and self.is_full_length()
            and not self._replacing()
        )

    def _replacing(self) -> bool:
        return bool(self.sandbox.kaltura.entries[self.entry_id].replacing_entry_id)

    # Output

    def check_output(self, text: str, where: str) -> None:
        for secret in self.secrets:
            if secret in text:
                self.blame("SECRET", f"{where}: a secret in the output")
        if _SIGNATURE.search(text):
            self.blame("SECRET", f"{where}: the signature of a URL in the output")
        if "Traceback" in text or "unexpected " in text:
            line = next(line for line in text.splitlines() if "Traceback" in line or "unexpected " in line)
            self.blame("CRASH", f"{where}: {line[-200:]}")
