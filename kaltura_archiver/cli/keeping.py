"""The keep list, from the settings and the options."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from kaltura_archiver.cli.types import parse_tag
from kaltura_archiver.config import Settings
from kaltura_archiver.envfile import read_text
from kaltura_archiver.errors import ConfigError
from kaltura_archiver.keep import Keep, checked_owner, checked_owners, owner_rules


def keep_list(
    settings: Settings, tags: Sequence[str] = (), categories: Sequence[int] = (), owners: Sequence[str] = ()
) -> Keep:
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
    return Keep(
        frozenset(parse_tag(tag) for tag in (*said(settings.keep_tags, "KEEP_TAGS"), *tags)),
        frozenset((*map(int, numbers), *categories)),
        owner_rules(users),
    )


def users_named(words: Iterable[str], where: str) -> list[str]:
    """Kaltura users, each named or in a file (`@FILE`), one per line. Raises ConfigError for what is none."""
    found: list[str] = []
    for word in words:
        found += _users_in(word[1:], where) if word.startswith("@") else [checked_owner(word, where)]
    return found


def _users_in(path: str, where: str) -> list[str]:
    what = f"{where}, {path or '(no name)'}"
    users = checked_owners(read_text(Path(path), what).splitlines(), path)
    if not users:
        raise ConfigError(f"{what}: nobody is in it")
    return users
