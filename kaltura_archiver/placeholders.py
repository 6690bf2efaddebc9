"""The configured placeholder videos: what they are told by, and which one an entry gets."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from kaltura_archiver.config import PlaceholderFiles
from kaltura_archiver.model import Entry, Facts, FlavorAsset, Placing, StoredObject
from kaltura_archiver.transfer.streams import READ_BYTES, Piece


@dataclass(frozen=True)
class Placeholder:
    """A configured placeholder video."""

    path: Path
    size_bytes: int
    sha256: str

    @classmethod
    def of(cls, path: Path) -> Placeholder | None:
        """The placeholder file's size and SHA-256; None if there is no such file."""
        try:
            with path.open("rb") as file:
                return cls(path, path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest())
        except OSError:
            return None

    def pieces(self) -> Iterator[Piece]:
        with self.path.open("rb") as file:
            while piece := file.read(READ_BYTES):
                yield piece


class Placeholders:
    """The placeholder videos: which one an entry gets, and which there are. Files that are missing are left out."""

    def __init__(self, files: PlaceholderFiles) -> None:
        self._files = files
        self._made = {path: made for path in files.all() if (made := Placeholder.of(path))}

    @property
    def by_category(self) -> bool:
        """Whether an entry's categories have to be known to choose."""
        return bool(self._files.of_categories)

    def chosen(self, facts: Facts) -> Placeholder | None:
        path = self._files.chosen(facts.category_ids, facts.original.language if facts.original else "")
        return self._made.get(path)

    def of_size(self, size_bytes: int) -> list[Placeholder]:
        return [placeholder for placeholder in self._made.values() if placeholder.size_bytes == size_bytes]

    def facts(
        self, entry: Entry, flavors: tuple[FlavorAsset, ...], stored: StoredObject | None,
        placings: tuple[Placing, ...] | None = None,
    ) -> Facts:  # fmt: skip
        """The facts about an entry, with what its placeholder and all others are told by."""
        facts = Facts(entry, flavors, stored, None, self.sizes, placings=placings, placeholder_sha256s=self.sha256s)
        chosen = self.chosen(facts)
        return replace(facts, placeholder_bytes=chosen.size_bytes if chosen else None)

    @property
    def fingerprint(self) -> str:
        """Of which file an entry gets by its category and language, and of their contents."""
        of_each = [
            (kind, name, self._made[path].sha256)
            for kind, files in (("category", self._files.of_categories), ("language", self._files.of_languages))
            for name, path in (("", self._files.default), *files.items())
        ]
        return hashlib.sha256(repr(of_each).encode()).hexdigest()

    @cached_property
    def sizes(self) -> frozenset[int]:
        return frozenset(placeholder.size_bytes for placeholder in self._made.values())

    @cached_property
    def sha256s(self) -> frozenset[str]:
        return frozenset(placeholder.sha256 for placeholder in self._made.values())
