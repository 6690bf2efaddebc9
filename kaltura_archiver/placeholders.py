"""The configured placeholder videos: what they are told by, and which one an entry gets."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from kaltura_archiver.config import DEFAULT_PLACEHOLDER, Settings
from kaltura_archiver.envfile import read_text
from kaltura_archiver.errors import ConfigError
from kaltura_archiver.model import Entry, Facts, FlavorAsset, Placing, StoredObject
from kaltura_archiver.steps import Command
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
    """The placeholder videos: which there are, and which one an entry gets: `default`, unless its category (an id) or
    its language has another. Files that are missing are left out."""

    def __init__(
        self, default: Path, of_categories: Mapping[str, Path] | None = None,
        of_languages: Mapping[str, Path] | None = None,
    ) -> None:  # fmt: skip
        self._default = default
        self._of_categories, self._of_languages = of_categories or {}, of_languages or {}
        self.paths = tuple(dict.fromkeys((default, *self._of_categories.values(), *self._of_languages.values())))
        self._made = {path: made for path in self.paths if (made := Placeholder.of(path))}

    @classmethod
    def read(cls, settings: Settings) -> Placeholders:
        """The placeholder, and those that the TOML file PLACEHOLDER_MAP names, relative to its own folder. Raises
        ConfigError where that cannot be read."""
        if not (file := settings.placeholder_map):
            return cls(settings.placeholder_path)
        found = _read_map(file)
        return cls(settings.placeholder_path, found["category"], found["language"])

    def known(self) -> Placeholders:
        """These, if they are there. Raises ConfigError for one that the settings name and that is missing: no original
        that is this placeholder would be known as one. Where nothing is named, there need not be any."""
        for path in self.paths:
            if path not in self._made and str(path) != DEFAULT_PLACEHOLDER:
                raise ConfigError(
                    f"cannot read the placeholder {path}: without it, what holds it would be taken for an "
                    "original; put it there, or name another in PLACEHOLDER_VIDEO or PLACEHOLDER_MAP"
                )
        return self

    def needed_by(self, command: Command) -> Placeholders:
        """These, if they are as good as the command needs them; ConfigError if not."""
        if command in (Command.REPLACE, Command.REPAIR):
            for path in self.paths:
                check_placeholder(path)
        elif command in (Command.S3COPY, Command.RESOLVE):
            self.known()
        return self

    @property
    def by_category(self) -> bool:
        """Whether an entry's categories have to be known to choose."""
        return bool(self._of_categories)

    def path_for(self, category_ids: Collection[str], language: str) -> Path:
        """Of an entry in several of these categories, the one that the file names first; categories before language."""
        first = next((path for category, path in self._of_categories.items() if category in category_ids), None)
        return first or self._of_languages.get(language.casefold(), self._default)

    def chosen(self, facts: Facts) -> Placeholder | None:
        return self._made.get(self.path_for(facts.category_ids, facts.original.language if facts.original else ""))

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
            (kind, name, self._made[path].sha256 if path in self._made else "")
            for kind, files in (("category", self._of_categories), ("language", self._of_languages))
            for name, path in (("", self._default), *files.items())
        ]
        return hashlib.sha256(repr(of_each).encode()).hexdigest()

    @cached_property
    def sizes(self) -> frozenset[int]:
        return frozenset(placeholder.size_bytes for placeholder in self._made.values())

    @cached_property
    def sha256s(self) -> frozenset[str]:
        return frozenset(placeholder.sha256 for placeholder in self._made.values())


def _read_map(file: str) -> dict[str, dict[str, Path]]:
    """The tables of PLACEHOLDER_MAP: `category` by id, `language` in lower case."""
    import tomllib

    where, folder = f"PLACEHOLDER_MAP {file}", Path(file).parent
    try:
        tables = tomllib.loads(read_text(Path(file), where))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{where} is not TOML: {error}") from error
    if unknown := tables.keys() - {"category", "language"}:
        raise ConfigError(f"{where}: there is no {min(unknown)!r}; there are the tables [category] and [language]")
    found: dict[str, dict[str, Path]] = {"category": {}, "language": {}}
    for kind, table in tables.items():
        if not isinstance(table, dict):
            raise ConfigError(f"{where}: {kind} is not a table: write [{kind}] above its lines")
        for key, name in table.items():
            if not isinstance(name, str) or not name:
                raise ConfigError(f"{where}: {key} = … must be the name of a video file")
            if kind == "category" and not (key.isascii() and key.isdigit()):
                raise ConfigError(f"{where}: {key!r} is not the id of a category, a number")
            found[kind][key.casefold()] = folder / name
    return found


def check_placeholder(path: Path) -> None:
    """Raise ConfigError unless `path` is a file that begins like a video (MP4/MOV with a track, Matroska/WebM)."""
    advice = "set PLACEHOLDER_VIDEO to a short MP4, or make one: kaltura-archiver placeholder"
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            head = file.read(12)
            if head[:4] == b"\x1aE\xdf\xa3":
                return
            kinds: list[bytes] = []
            offset = 0
            while head[4:8] == b"ftyp" or kinds:
                kinds.append(head[4:8])
                box = int.from_bytes(head[:4], "big")
                if box == 1:
                    file.seek(offset + 8)
                    box = int.from_bytes(file.read(8), "big")
                elif box == 0:
                    box = size - offset
                offset += box
                if box < 8 or offset >= size:
                    break
                file.seek(offset)
                head = file.read(12)
            if offset > size or b"moov" not in kinds:
                raise ConfigError(f"the placeholder {path} is not a video, or is damaged; {advice}")
    except OSError as error:
        raise ConfigError(f"cannot read the placeholder {path}: {error.strerror}; {advice}") from error
