"""What a command selects, and what is said of what it left out."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from kaltura_archiver import exits
from kaltura_archiver.asking.words import parse_tag
from kaltura_archiver.criteria.what import EVERY_STATUS
from kaltura_archiver.errors import Exit, SelectionError
from kaltura_archiver.filters import Query
from kaltura_archiver.keep import DEFAULT_TAG
from kaltura_archiver.model import ARCHIVED_TAG, NOTICE_PREFIX, REPLACED_TAG, THIN_TAG, Outcome, kept_until
from kaltura_archiver.steps import Command, Options

if TYPE_CHECKING:
    from kaltura_archiver.cli.app import App
    from kaltura_archiver.results import Result
    from kaltura_archiver.selection import Selection


log = logging.getLogger(__name__)
_AT_ONCE_SECONDS = 60


def selected(app: App, query: Query) -> Selection:
    """The selection of a command that looks at no stored copy, unless a criterion is about these. Most sizes Kaltura
    tells, also where no bucket is set."""
    from kaltura_archiver.selection import Selection

    looks = query.by_copy or (query.by_size and app.settings.bucket)
    return Selection(app.kaltura(), query, app.store() if looks else None)


def after_selection(selection: Selection, *, limited: bool = False, request_tag: str = "") -> set[Exit]:
    """Warn of what a selection left out; the exit statuses that this alone would give.

    `limited`: the default of --max-entries is a safety limit here, and not only the end of a page. With a
    `request_tag` the selection may well be empty.
    """
    if not (selection.selected or selection.unknown or selection.odd or selection.refused):
        _tell_empty(selection, request_tag)
    source = click.get_current_context().get_parameter_source("max_entries")
    asked = source is click.core.ParameterSource.COMMANDLINE
    if selection.cut:
        level = logging.INFO if asked else logging.WARNING
        log.log(level, "stopped at --max-entries %d; more entries match (-1: no limit)", selection.selected)
    return exits_of_named(selection, cut=selection.cut and limited and not asked)


def _tell_empty(selection: Selection, request_tag: str) -> None:
    from kaltura_archiver.run.kept import unknown_criteria

    query = selection.query
    skipped = (query.first_page - 1) * query.page_size
    behind = f" behind the first {skipped}, which --first-page leaves out" if skipped else ""
    none = f"no entry matches{behind}: {query}"
    if request_tag:
        log.info("nobody asks: %s", none)
        return
    log.warning("%s", none)
    for unknown in unknown_criteria(selection.kaltura, selection.query):
        log.warning("%s: is that spelled right?", unknown)


def exits_of_named(selection: Selection, *, cut: bool = False) -> set[Exit]:
    """What the selection alone makes of the exit status; `cut`: by a limit that nobody asked for."""
    return exits.of_selection(
        unknown=len(selection.unknown), odd=selection.odd, refused=len(selection.refused), cut=cut
    )


def not_begun(selection: Selection) -> Iterator[Result]:
    """How it ends for ids that were named, and lead nowhere."""
    from kaltura_archiver.results import Result

    for entry_id in selection.unknown:
        why = "no such entry in this account (or not visible to this user)"
        yield Result(entry_id, "", Outcome.FAILED, why, ended_at=time.time())
    for entry_id, why in selection.unread.items():
        yield Result(entry_id, "", Outcome.FAILED, why, ended_at=time.time())
    for entry_id, why in selection.refused.items():
        yield Result(entry_id, "", Outcome.REFUSED, why, ended_at=time.time())


def need_criteria(command: str, query: Query, *, everything: bool) -> None:
    """Raise SelectionError unless something narrows the selection, or --all was given."""
    if not but_for_no_time(query, time.time()).has_criteria and not everything:
        raise SelectionError(
            f"{command} without any selection criterion: select entries (--id, --tag, …), or say --all"
        )


def whole(query: Query, asked: str | None) -> Query:
    """The query without the usual limit of entries, where what is `asked` for, an order or a sample, would else be that
    of the oldest of them only."""
    said = click.get_current_context().get_parameter_source("max_entries") is ParameterSource.COMMANDLINE
    return replace(query, max_entries=None) if asked and not said else query


def but_for_no_time(query: Query, now: float) -> Query:
    """Without ages and lengths of no time at all, as of a script's variable which is 0: they leave nobody out."""
    recent = int(now) - _AT_ONCE_SECONDS
    query = replace(query, longer_than_seconds=query.longer_than_seconds or None)
    if (query.unplayed_since or 0) > recent:
        query = replace(query, unplayed_since=None)
    return replace(query, created_until=None) if (query.created_until or 0) > recent else query


def but_thin(command: Command, query: Query) -> Query:
    """What replace_video takes: of a thin entry it would take what plays from viewers, and free next to nothing. So it
    does that only where the entries are named, or asked for by the tag of thin ones."""
    named = query.ids is not None or THIN_TAG in (*query.tags, *query.without_tags) or query.thinned_until
    if command is not Command.REPLACE or named:
        return query
    return replace(query, without_tags=(*query.without_tags, THIN_TAG))


def need_length(command: Command, query: Query) -> None:
    """Raise SelectionError where restore is to go by length: of what is replaced Kaltura tells the placeholder's, and a
    short criterion would bring every video back."""
    thin = THIN_TAG in query.tags or query.thinned_until is not None or REPLACED_TAG in query.without_tags
    if command is Command.RESTORE and query.longer_than_seconds and not thin:
        raise SelectionError(
            "--longer-than: Kaltura has the placeholder's length of what is replaced, and the video's is known "
            f"nowhere: leave it out, or restore thin entries only (--tag {THIN_TAG})"
        )


def whatever_status(query: Query) -> Query:
    """For what tells how the archive is: where nobody says which status, an entry in one that is rare counts, too."""
    said = click.get_current_context().get_parameter_source("statuses")
    return query if said is ParameterSource.COMMANDLINE else replace(query, statuses=EVERY_STATUS)


def checked_request_tag(text: str) -> str:
    """The tag by which people ask; SelectionError for one that means something else here."""
    tag = parse_tag(text)
    ours = tag in (ARCHIVED_TAG, REPLACED_TAG, THIN_TAG, DEFAULT_TAG) or tag.startswith(NOTICE_PREFIX)
    if ours or kept_until(tag):
        raise SelectionError(f"--request-tag: {tag} is a tag of this tool's own, and not for people to ask by")
    if not tag.isascii():  # of others Kaltura keeps the case, and the tag would not be found again
        raise SelectionError(f"--request-tag: {tag!r} has letters other than a to z")
    return tag


def asked_for_by(query: Query, tag: str) -> tuple[Query, str]:
    """What has this tag, by which people ask, of all that a query selects; and the tag. All, where none is told."""
    if not tag:
        return query, tag
    tag = checked_request_tag(tag)
    query = replace(query, tags=tuple(dict.fromkeys((*query.tags, tag))))
    query.check()
    return query, tag


def min_age_years(query: Query, asked: float | None) -> float:
    """How old an entry has to be to be replaced: as asked for, else as the selection says, else 3 years."""
    if asked is not None:
        return asked
    query = but_for_no_time(query, time.time())
    selected_by_age = query.created_until is not None or query.unplayed_since is not None
    return 0.0 if selected_by_age else Options.min_age_years
