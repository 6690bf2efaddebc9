"""The criteria by their options: how each is read, and which fields of a Query it fills. The one place that says so."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from kaltura_archiver.asking.lists import read_ids, users_named
from kaltura_archiver.asking.words import (
    ENTRY_ID,
    MAX_PAGE_SIZE,
    VERSION_KEY,
    age_years,
    as_written,
    bytes_of,
    category_of,
    parse_shard,
    parse_tag,
    read_field,
    seconds_of,
)
from kaltura_archiver.config import batch_shard
from kaltura_archiver.criteria.what import EVERY_STATUS
from kaltura_archiver.errors import SelectionError
from kaltura_archiver.filters import DEFAULT_MAX_ENTRIES, DEFAULT_STATUSES, Query, parse_statuses, years_ago
from kaltura_archiver.keep import owner_rules
from kaltura_archiver.model import MediaType, SourceType, entry_of_key, same_id

T = TypeVar("T")
Reader = Callable[[str, float], Any]


def _text(text: str, now: float) -> str:
    return text


def _plain(read: Callable[[str], Any]) -> Reader:
    """One that does not depend on what time it is."""
    return lambda text, now: read(text)


def _number(least: int, most: int | None = None) -> Reader:
    def read(text: str, now: float) -> int:
        if not re.fullmatch(r"-?[0-9]{1,18}", text) or int(text) < least or (most is not None and int(text) > most):
            raise SelectionError(f"{text!r} is not a number of {least} {'or more' if most is None else f'to {most}'}")
        return int(text)

    return read


def _one_of(names: Iterable[str]) -> Reader:
    known = tuple(names)

    def read(text: str, now: float) -> str:
        if text.lower() not in known:
            raise SelectionError(f"{text!r} is none of {', '.join(known)}")
        return text.lower()

    return read


MEDIA_TYPES = ("video", "audio", "image")
SOURCES = tuple(kind.name.lower() for kind in SourceType)


@dataclass(frozen=True)
class Word:
    """A criterion as it is asked for: the option without its dashes, and how its text is read, at what time.

    `read` is None for one that is said or not; one of `many` may be said more than once.
    """

    option: str
    read: Reader | None = _text
    many: bool = False
    default: Any = None

    @property
    def unsaid(self) -> Any:
        """What it is where nobody says it."""
        return () if self.many else False if self.read is None else self.default


# By the parameter of `make_query` that each fills.
WORDS: Mapping[str, Word] = {
    "ids": Word("id", many=True),
    "idfile": Word("idfile"),
    "tags": Word("tag", many=True),
    "without_tags": Word("exclude-tag", many=True),
    "categories": Word("category", _plain(category_of), many=True),
    "without_categories": Word("exclude-category", _number(1), many=True),
    "uncategorised": Word("uncategorised", None),
    "owners": Word("owner", many=True),
    "admin_tags": Word("admin-tag", many=True),
    "metadata": Word("metadata", many=True),
    "sources": Word("source", _one_of(SOURCES), many=True),
    "longer_than": Word("longer-than", _plain(seconds_of)),
    "larger_than": Word("larger-than", _plain(bytes_of)),
    "smaller_than": Word("smaller-than", _plain(bytes_of)),
    "ends_before": Word("ends-before", age_years),
    "archived_before": Word("archived-before", age_years),
    "replaced_before": Word("replaced-before", age_years),
    "thinned_before": Word("thinned-before", age_years),
    "plays": Word("plays", _number(0)),
    "never_played": Word("never-played", None),
    "statuses": Word("status", many=True),
    "media_type": Word("media-type", _one_of(MEDIA_TYPES)),
    "created_within": Word("created-within", age_years),
    "created_before": Word("created-before", age_years),
    "played_within": Word("played-within", age_years),
    "unplayed_for": Word("unplayed-for", age_years),
    "first_page": Word("first-page", _number(1), default=1),
    "page_size": Word("page-size", _number(1, MAX_PAGE_SIZE), default=MAX_PAGE_SIZE),
    "max_entries": Word("max-entries", _number(-1), default=DEFAULT_MAX_ENTRIES),
    "shard": Word("shard"),
}


def query_of(now: float, table: Mapping[str, object]) -> Query:
    """A checked Query of criteria by the names of their options, as a file has them: dashes or underscores, a value or
    a list of values, text or a number or a date, true for what is said or not. SelectionError names what is wrong."""
    by_option = {word.option: (name, word) for name, word in WORDS.items()}
    asked = {name: word.unsaid for name, word in WORDS.items()}
    for key, value in table.items():
        option = key.replace("_", "-")
        if option not in by_option:
            raise SelectionError(f"there is no criterion {key!r}; there are {', '.join(sorted(by_option))}")
        name, word = by_option[option]
        asked[name] = _value(option, word, value, now)
    return make_query(now, **asked)


def _value(option: str, word: Word, value: object, now: float) -> Any:
    if word.read is None:
        if not isinstance(value, bool):
            raise SelectionError(f"{option}: true or false, not {as_written(value)}")
        return value
    values = value if isinstance(value, list) and word.many else [value]
    if not values:
        raise SelectionError(f"{option}: a list without values is no criterion: leave it out, or say what is meant")
    for one in values:
        if one == "":
            raise SelectionError(f"{option}: the value is empty")
        if isinstance(one, bool | list | dict):
            raise SelectionError(
                f"{option}: {as_written(one)} is not {'a value or a list of values' if word.many else 'a value'}"
            )
    try:
        found = tuple(word.read(str(one), now) for one in values)
    except SelectionError as error:
        raise SelectionError(f"{option}: {error}") from None
    return found if word.many else found[0]


def make_query(
    now: float, *, ids: tuple[str, ...], idfile: str | None, max_entries: int, shard: str | None, **asked: Any
) -> Query:
    """A checked Query from the options as they were given; SelectionError for what cannot be meant.

    Who names entries means these, of whatever media type and status, unless either is said; else it is videos, in the
    usual statuses.
    """
    if max_entries < 1 and max_entries != -1:
        raise SelectionError("--max-entries must be 1 or more, or -1 for no limit")
    named = _named_ids(ids, idfile)
    query = Query(
        ids=named,
        max_entries=None if max_entries == -1 else max_entries,
        shard=parse_shard(shard) if shard else batch_shard(),
        **_marks(asked),
        **_content(asked, whatever=named is not None),
        **_times(now, asked),
        **asked,
    )
    query.check()
    return query


def _named_ids(ids: tuple[str, ...], idfile: str | None) -> tuple[str, ...] | None:
    """Those of --id, of --idfile, or that are in both; None without any.

    The key of a stored copy is taken for its entry's id: it is all that S3 tells of one that was thawed.
    """
    ids = tuple(entry_of_key(given) if VERSION_KEY.fullmatch(given) else given for given in ids)
    wrong = [entry_id for entry_id in ids if not ENTRY_ID.fullmatch(entry_id)]
    if wrong:
        raise SelectionError(f"--id: {wrong[0][:40]!r} is not an entry id, as 0_abc12345; repeat --id for several")
    named: tuple[str, ...] | None = ids or None
    if idfile is not None:
        listed = read_ids(idfile)
        asked = set(map(same_id, ids))
        named = tuple(i for i in listed if same_id(i) in asked) if ids else listed
        if not named:
            raise SelectionError("contradiction: no --id is in the --idfile")
    return _once(named) if named else None


def _once(values: Iterable[T]) -> tuple[T, ...]:
    return tuple(dict.fromkeys(values))


def _marks(asked: dict[str, Any]) -> dict[str, Any]:
    """What somebody has said of an entry: tags, categories, owners, metadata. It is taken out of what was `asked`."""
    tags, owners, categories = asked.pop("tags"), asked.pop("owners"), asked.pop("categories")
    unwanted = [tag.removeprefix("!") for tag in tags if tag.startswith("!")]
    wanted_owners = [owner for owner in owners if not owner.startswith("!")]
    unwanted_owners = [owner.removeprefix("!") for owner in owners if owner.startswith("!")]
    metadata = asked.pop("metadata")
    return {
        "metadata": _once(read_field(said) for said in metadata if not said.startswith("!")),
        "without_metadata": _once(read_field(said[1:]) for said in metadata if said.startswith("!")),
        "tags": _once(parse_tag(tag) for tag in tags if not tag.startswith("!")),
        "without_tags": _once(map(parse_tag, (*unwanted, *asked.pop("without_tags")))),
        "admin_tags": _once(map(parse_tag, asked.pop("admin_tags"))),
        "categories": _once(category for category in categories if isinstance(category, int)),
        "category_names": _once(category for category in categories if isinstance(category, str)),
        "owners": owner_rules(users_named(wanted_owners, "--owner")) if wanted_owners else None,
        "without_owners": owner_rules(users_named(unwanted_owners, "--owner")),
    }


def _content(asked: dict[str, Any], *, whatever: bool) -> dict[str, Any]:
    """What it is; `whatever`: of any media type and status, where neither is said."""
    longer_than, media, statuses = asked.pop("longer_than"), asked.pop("media_type"), asked.pop("statuses")
    usual = (None, EVERY_STATUS) if whatever else (MediaType.VIDEO, DEFAULT_STATUSES)
    return {
        "media_type": MediaType[media.upper()] if media else usual[0],
        "statuses": parse_statuses(statuses) or usual[1],
        "sources": tuple(SourceType[name.upper()] for name in _once(asked.pop("sources"))),
        "longer_than_seconds": None if longer_than is None else math.ceil(longer_than),
        "least_bytes": asked.pop("larger_than"),
        "below_bytes": asked.pop("smaller_than"),
    }


def _times(now: float, asked: dict[str, Any]) -> dict[str, Any]:
    """When it was made and played, and how often."""
    plays = asked.pop("plays")
    return {
        "plays_below": plays or None,
        "never_played": asked.pop("never_played") or plays == 0,
        "created_since": years_ago(now, asked.pop("created_within")),
        "created_until": years_ago(now, asked.pop("created_before")),
        "played_since": years_ago(now, asked.pop("played_within")),
        "unplayed_since": years_ago(now, asked.pop("unplayed_for")),
        "ends_until": years_ago(now, asked.pop("ends_before")),
        "archived_until": years_ago(now, asked.pop("archived_before")),
        "replaced_until": years_ago(now, asked.pop("replaced_before")),
        "thinned_until": years_ago(now, asked.pop("thinned_before")),
    }
