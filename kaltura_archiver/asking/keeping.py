"""The keep list, from the settings and the options."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from kaltura_archiver.asking.lists import users_named
from kaltura_archiver.asking.words import parse_tag, read_field
from kaltura_archiver.config import Settings
from kaltura_archiver.errors import ConfigError, SelectionError
from kaltura_archiver.keep import Keep, owner_rules

# Of the options of the keep list, `keep_tags` and so on, in the order in which `keep_list` takes them.
KEPT_BY = ("tags", "categories", "owners", "metadata")


def keep_list(
    settings: Settings, tags: Sequence[str] = (), categories: Sequence[int] = (), owners: Sequence[str] = (),
    metadata: Sequence[str] = (),
) -> Keep:  # fmt: skip
    """What the environment keeps, and these: an option adds a rule, none takes one away. Raises ConfigError."""

    def said(text: str, name: str) -> list[str]:
        words = list(filter(None, (part.strip() for part in text.split(","))))
        if text and not words:
            raise ConfigError(f"{name} is {text[:40]!r}: that names nothing")
        return words

    numbers = said(settings.keep_categories, "KEEP_CATEGORIES")
    wrong = [word for word in numbers if not re.fullmatch(r"[1-9][0-9]{0,18}", word)]
    if wrong:
        raise ConfigError(f"KEEP_CATEGORIES: {wrong[0][:40]!r} is not the id of a category")
    kept = said(settings.keep_owners, "KEEP_OWNERS")
    users = [*users_named(kept, "KEEP_OWNERS"), *users_named(owners, "--keep-owner")]
    kept_by = said(settings.keep_metadata, "KEEP_METADATA")
    return Keep(
        frozenset(parse_tag(tag) for tag in (*said(settings.keep_tags, "KEEP_TAGS"), *tags)),
        frozenset((*map(int, numbers), *categories)),
        owner_rules(users),
        frozenset((*_fields(kept_by, "KEEP_METADATA"), *_fields(metadata, "--keep-metadata"))),
    )


def _fields(words: Iterable[str], where: str) -> Iterator[tuple[str, str]]:
    for word in words:
        try:
            yield read_field(word)
        except SelectionError as error:
            raise ConfigError(f"{where}{str(error).removeprefix('--metadata')}") from None
