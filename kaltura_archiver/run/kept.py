"""Whether each rule that protects entries can match anything, and how many it holds now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

from kaltura_archiver.criteria.what import EVERY_STATUS
from kaltura_archiver.errors import ConfigError
from kaltura_archiver.filters import Query
from kaltura_archiver.kaltura import Kaltura
from kaltura_archiver.keep import DEFAULT_TAG, Keep, unusual
from kaltura_archiver.model import ARCHIVED_TAG, NOTICE_PREFIX, REPLACED_TAG, THIN_TAG, Entry, so_many
from kaltura_archiver.selection import Selection, metadata_ids

# Owners told one by one; of more, those that own nothing are named.
FEW_OWNERS = 20
Counted = Callable[[Iterator[Entry]], AbstractContextManager[Iterator[Entry]]]


def check_keep(kaltura: Kaltura, keep: Keep) -> None:
    """Raise ConfigError for a rule that cannot match: a category that there is not, a tag that no entry has.

    A tag that nothing has is far more often misspelled than meant for later, and a video lost to that is lost. Only
    the tag `keep`, which is there by default, may wait for its first entry. An owner may have nothing, and be kept;
    one whose id looks like more than an id has to be known.
    """
    for number in sorted(keep.categories):
        if kaltura.category_name(number) is None:
            raise ConfigError(f"the keep list: there is no category {number} (KEEP_CATEGORIES, --keep-category)")
    for tag in sorted(keep.tags - {DEFAULT_TAG}):
        if not any(_having(kaltura, tag)):
            raise ConfigError(
                f"the keep list: no entry is tagged {tag}, so that rule protects nothing (KEEP_TAGS, --keep-tag): "
                "correct it, or tag the first entry"
            )
    for field, value in sorted(keep.metadata):
        if not any(_saying(kaltura, field, value, "the keep list (KEEP_METADATA, --keep-metadata)")):
            raise ConfigError(
                f"the keep list: no entry has metadata {field}={value}, so that rule protects nothing (KEEP_METADATA, "
                "--keep-metadata)"
            )
    for owner in filter(unusual, sorted(keep.owners)):
        if kaltura.user_exists(owner) is False:
            raise ConfigError(
                f"the keep list: there is no user {owner} in this account (KEEP_OWNERS, --keep-owner): one id each, "
                "nothing else with it"
            )


def check_excluded(kaltura: Kaltura, query: Query) -> None:
    """Raise ConfigError where what is to be left out is misspelled: then it would be acted on."""
    for number in sorted(query.without_categories):
        if kaltura.category_name(number) is None:
            raise ConfigError(f"there is no category {number} to be left out (--exclude-category)")
    for owner in sorted(query.without_owners):
        if kaltura.user_exists(owner) is False:
            raise ConfigError(f"there is no user {owner}, whose entries are to be left out (--owner '!{owner}')")
    for tag in query.without_tags:
        # Of our own tags there may be none yet.
        ours = tag in (ARCHIVED_TAG, REPLACED_TAG, THIN_TAG, DEFAULT_TAG) or tag.startswith(NOTICE_PREFIX)
        if not ours and not any(_having(kaltura, tag)):
            raise ConfigError(f"no entry is tagged {tag}, which is to be left out (--exclude-tag, --tag '!{tag}')")
    for field, value in query.without_metadata:
        if not any(_saying(kaltura, field, value, "--metadata")):
            raise ConfigError(f"no entry has metadata {field}={value}, which is to be left out (--metadata)")


def unknown_criteria(kaltura: Kaltura, query: Query) -> Iterator[str]:
    """What a selection that found nothing asked for, and nothing in the whole account has."""
    for tag in query.tags:
        if not any(_having(kaltura, tag)):
            yield f"no entry has the tag {tag}"
    for tag in query.admin_tags:
        if not kaltura.count(Query(admin_tags=(tag,), media_type=None, statuses=EVERY_STATUS)):
            yield f"no entry has the admin tag {tag}"
    for field, value in query.metadata:
        if not any(_saying(kaltura, field, value, "--metadata")):
            yield f"no entry has metadata {field}={value}"
    yield from unknown_categories(kaltura, query)
    for owner in sorted(query.owners or ())[:FEW_OWNERS]:
        if kaltura.user_exists(owner) is False:
            yield f"there is no user {owner}"


def unknown_categories(kaltura: Kaltura, query: Query) -> Iterator[str]:
    """The categories that a selection asks for and that there are not."""
    for number in query.categories:
        if kaltura.category_name(number) is None:
            yield f"there is no category {number}"


def census(kaltura: Kaltura, keep: Keep, counted: Counted) -> str:
    """Each rule with the number of entries that it holds now, of whatever kind. `counted` shows how far it is.

    Owners are told from the entries themselves, all of which are read for that.
    """
    told = [f"tag {tag}: {so_many(sum(_having(kaltura, tag)))}" for tag in sorted(keep.tags)]
    for number in sorted(keep.categories):
        name = kaltura.category_name(number)
        found = kaltura.count(Query(categories=(number,), media_type=None, statuses=EVERY_STATUS))
        told.append(f"category {number} ({name}): {so_many(found)}")
    for field, value in sorted(keep.metadata):
        found = sum(_saying(kaltura, field, value, "KEEP_METADATA"))
        told.append(f"metadata {field}={value}: {so_many(found)}")
    if keep.owners:
        told += _owners(kaltura, keep, counted)
    return "; ".join(told) or "nothing"


def _having(kaltura: Kaltura, tag: str) -> Iterator[bool]:
    """True for each entry that has this whole tag; the index finds it inside others, too."""
    query = Query(tags=(tag,), media_type=None, statuses=EVERY_STATUS)
    for page in kaltura.pages(query):
        yield from (True for entry in page.entries() if tag in entry.tag_set)


def _saying(kaltura: Kaltura, field: str, value: str, where: str) -> Iterator[bool]:
    """True for each entry whose custom metadata says that. Raises ConfigError for a field that there is not."""
    metadata_ids(kaltura, [field], where)
    query = Query(metadata=((field, value),), media_type=None, statuses=EVERY_STATUS, max_entries=None)
    yield from (True for _ in Selection(kaltura, query))


def _owners(kaltura: Kaltura, keep: Keep, counted: Counted) -> list[str]:
    found: Counter[str] = Counter(dict.fromkeys(sorted(keep.owners), 0))
    everything = Query(media_type=None, statuses=EVERY_STATUS)
    held = 0
    with counted(entry for page in kaltura.pages(everything) for entry in page.entries()) as entries:
        for entry in entries:
            rules = keep.owners_of(entry)
            found.update(rules)
            held += bool(rules)
    if len(found) <= FEW_OWNERS:
        return [f"owner {user}: {so_many(number)}" for user, number in found.items()]
    idle = [user for user, number in found.items() if not number]
    shown = f"; {len(idle)} own nothing: {', '.join(idle[:FEW_OWNERS])}{' …' if len(idle) > FEW_OWNERS else ''}"
    return [f"{len(found)} owners: {so_many(held)}{shown if idle else ''}"]
