"""The keep list: which entries are never archived nor replaced, whatever a command was told. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import lru_cache

from kaltura_archiver.errors import ConfigError
from kaltura_archiver.model import Entry, Facts, kept_until

DEFAULT_TAG = "keep"


@dataclass(frozen=True)
class Keep:
    """The rules. Tags are whole and in lower case, owners as `owner_rule` makes them, categories ids, metadata fields
    of custom metadata with a value. A tag `keep_until_2027-06-30` needs no rule."""

    tags: frozenset[str] = frozenset({DEFAULT_TAG})
    categories: frozenset[int] = frozenset()
    owners: frozenset[str] = frozenset()
    metadata: frozenset[tuple[str, str]] = frozenset()

    def __or__(self, other: Keep) -> Keep:
        """What either keeps."""
        return Keep(
            self.tags | other.tags,
            self.categories | other.categories,
            self.owners | other.owners,
            self.metadata | other.metadata,
        )

    def why(self, facts: Facts, now: float) -> str:
        """Why an entry is kept at this time (unix seconds); empty if it is not. One of which the categories are not
        known, or the custom metadata, where a rule is about these, is kept."""
        entry = facts.entry
        said = set(map(as_seen, entry.tag_set))
        if tags := sorted(tag for tag in self.tags if as_seen(tag) in said):
            return f"tagged {tags[0]}"
        if told := _until(said, now):
            return told
        if owner := next((user for user in (entry.owner_id, entry.creator_id) if self._owns(user)), ""):
            return f"{'owned' if owner == entry.owner else 'created'} by {owner}"
        return self._by_metadata(facts) or self._by_category(facts)

    def _by_metadata(self, facts: Facts) -> str:
        if not self.metadata:
            return ""
        if facts.metadata is None:
            return "its custom metadata is not known"
        known = facts.metadata
        has = (f"its {field} is {value}" for field, value in sorted(self.metadata) if value in known.get(field, ()))
        return next(has, "")

    def _by_category(self, facts: Facts) -> str:
        if not self.categories:
            return ""
        entry = facts.entry
        placings = facts.placings or ()
        there = {int(number) for number in entry.category_ids if number.isdecimal()} | {p.category_id for p in placings}
        if direct := sorted(self.categories & there):
            return f"in category {direct[0]}"
        if below := sorted(self.categories & {number for p in placings for number in p.above}):
            return f"below category {below[0]}"
        return "its categories are not known" if facts.placings is None else ""

    def _owns(self, user: str) -> bool:
        whole = owner_rule(user)
        return bool(whole) and not self.owners.isdisjoint((whole, whole.partition("@")[0]))

    def owners_of(self, entry: Entry) -> frozenset[str]:
        """The rules by which its owner or creator is kept."""
        users = filter(None, map(owner_rule, (entry.owner_id, entry.creator_id)))
        return self.owners & {name for user in users for name in (user, user.partition("@")[0])}

    def __str__(self) -> str:
        told = [f"{name} {', '.join(map(str, sorted(rules)))}" for name, rules in (
            ("tag", self.tags), ("category", self.categories), ("metadata", {"=".join(said) for said in self.metadata}),
        ) if rules]  # fmt: skip
        return "; ".join([*told, *([f"{len(self.owners)} owners"] if self.owners else [])]) or "nothing"


def _until(tags: Iterable[str], now: float) -> str:
    """Of the tags that name a day: why an entry is kept, until that day is over (UTC)."""
    days = {day: tag for tag in sorted(tags) if (day := kept_until(tag))}
    if not days:
        return ""
    last = max(days)
    if last == date.max:
        return f"tagged {days[last]}, which names no day such as keep_until_2027-06-30: kept until it does"
    return f"tagged {days[last]}" if datetime.fromtimestamp(now, UTC).date() <= last else ""


def owner_rule(user: str) -> str:
    """A Kaltura user as it is compared: case does not count. Without an @ it also means the addresses before one."""
    return " ".join(as_seen(user).casefold().split())


@lru_cache(maxsize=4096)
def as_seen(text: str) -> str:
    """As people see it: in one of the spellings that Unicode has for it, without marks that nobody sees. Whoever wrote
    it meant to keep the video."""
    if text.isascii():
        return text.strip()  # which is one of them, and has none of these
    return "".join(c for c in unicodedata.normalize("NFKC", text) if unicodedata.category(c) != "Cf").strip()


# No id of a Kaltura user has one of these [read: kuser, PUSER_ID_REGEXP], or it says that more is meant than one user.
_NO_OWNER = re.compile(r"""[\s,;"<>()\[\]=*?\u2018-\u201f\u00ab\u00bb\u3001\uff0c\uff1b]|\A[#'@]|@\Z""")
# What most ids are made of. Others may have more (auth0|1), and a list may have more beside the id (jdoe|left).
_USUAL_OWNER = re.compile(r"[\w.@+-]+")
# What a column of such ids is called; its name in the first line would be taken for a user.
_HEADERS = frozenset({"owner", "owners", "owner_id", "creator_id", "user", "users", "user_id", "userid", "id", "mail"})


def checked_owner(text: str, where: str) -> str:
    """One Kaltura user; ConfigError for a header, a comment, quotes, two users: a rule that would protect nobody."""
    user = text.strip()
    if not user:
        raise ConfigError(
            f"{where}: nobody is named: an empty variable of the shell? Name a Kaltura user, or leave it out"
        )
    if _NO_OWNER.search(user) or not user.isprintable():  # marks that nobody sees, such as those of Windows
        raise ConfigError(f"{where}: {user[:40]!r} is not one Kaltura user: one id each, nothing else with it")
    return user


def checked_owners(lines: Iterable[str], path: str) -> list[str]:
    """The users of a file, one a line."""
    users = [checked_owner(line, f"{path}, line {n}") for n, line in enumerate(lines, 1) if line.strip()]
    if users and users[0].casefold() in _HEADERS:
        raise ConfigError(f"{path}: its first line is {users[0]}, the name of a column: remove it")
    return users


def unusual(owner: str) -> bool:
    """Whether this rule may hold more than the id of a user."""
    return not _USUAL_OWNER.fullmatch(owner)


def owner_rules(users: Iterable[str]) -> frozenset[str]:
    return frozenset(filter(None, map(owner_rule, users)))
