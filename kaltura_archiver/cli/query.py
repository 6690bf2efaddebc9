"""From the options that select to a checked query, and what is said of what it left out."""

from __future__ import annotations

import csv
import logging
import math
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from kaltura_archiver import exits
from kaltura_archiver.cli.keeping import users_named
from kaltura_archiver.cli.types import ENTRY_ID, VERSION_KEY, parse_shard, parse_tag
from kaltura_archiver.config import batch_shard
from kaltura_archiver.errors import Exit, SelectionError
from kaltura_archiver.filters import Query, parse_statuses, years_ago
from kaltura_archiver.keep import owner_rules
from kaltura_archiver.model import MediaType, Outcome, SourceType, entry_of_key, same_id
from kaltura_archiver.steps import Options

if TYPE_CHECKING:
    from kaltura_archiver.kaltura import Kaltura
    from kaltura_archiver.results import Result
    from kaltura_archiver.selection import Selection


T = TypeVar("T")
log = logging.getLogger(__name__)


def _read_ids(idfile: str) -> tuple[str, ...]:
    """The ids of a file, in their order, each once: one per line, or the column entry_id of a CSV or TSV.

    Empty lines and those that begin with # are left out; ids may be quoted.
    """
    try:
        raw = sys.stdin.buffer.read() if idfile == "-" else Path(idfile).read_bytes()
    except OSError as error:
        raise SelectionError(f"cannot read --idfile {idfile}: {error.strerror}") from error
    ids: dict[str, None] = {}
    try:
        for number, entry_id in _cells_with_ids(raw.decode("utf-8-sig", errors="replace")):
            if not ENTRY_ID.fullmatch(entry_id):
                raise SelectionError(f"--idfile {idfile}, line {number}: {entry_id[:40]!r} is not an entry id")
            ids[entry_id] = None
    except csv.Error as error:
        raise SelectionError(f"--idfile {idfile} is no CSV: {error}") from error
    if not ids:
        raise SelectionError(f"--idfile {idfile} holds no entry id")
    return tuple(ids)


def _cells_with_ids(text: str) -> Iterator[tuple[int, str]]:
    """Number of the line, and what stands there as an entry's id; lines that begin with # are comments."""
    lines = text.splitlines(keepends=True)
    told = ((number, line.strip()) for number, line in enumerate(lines) if not line.startswith("#"))
    begin, head = next(((number, line) for number, line in told if line), (len(lines), ""))
    tab = "\t" in head
    names = [name.strip().strip("'\"").lower() for name in head.split("\t" if tab else ",")]
    if not {"entry_id", "id"}.intersection(names):
        plain = (
            (number, line.strip().strip("'\"")) for number, line in enumerate(lines, 1) if not line.startswith("#")
        )
        yield from ((number, line) for number, line in plain if line)
        return
    # A TSV of ours quotes nothing; in a CSV a name may have line breaks between its quotes.
    table = lines[begin + 1 :]
    reader = csv.reader(table, delimiter="\t", quoting=csv.QUOTE_NONE) if tab else csv.reader(table)
    column = names.index("entry_id" if "entry_id" in names else "id")
    for row in reader:
        if any(cell.strip() for cell in row) and not row[0].startswith("#"):
            cell = row[column] if column < len(row) else ""
            yield begin + 1 + reader.line_num, cell.strip().strip("'\"")


def make_query(
    now: float, *, ids: tuple[str, ...], idfile: str | None, max_entries: int, shard: str | None, **asked: Any
) -> Query:
    """A checked Query from the options as they were given; SelectionError for what cannot be meant."""
    if max_entries < 1 and max_entries != -1:
        raise SelectionError("--max-entries must be 1 or more, or -1 for no limit")
    query = Query(
        ids=_named_ids(ids, idfile),
        max_entries=None if max_entries == -1 else max_entries,
        shard=parse_shard(shard) if shard else batch_shard(),
        **_marks(asked),
        **_content(asked),
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
        raise SelectionError(f"--id: {wrong[0][:40]!r} is not an entry id")
    named: tuple[str, ...] | None = ids or None
    if idfile is not None:
        listed = _read_ids(idfile)
        asked = set(map(same_id, ids))
        named = tuple(i for i in listed if same_id(i) in asked) if ids else listed
        if not named:
            raise SelectionError("contradiction: no --id is in the --idfile")
    return _once(named) if named else None


def _once(values: Iterable[T]) -> tuple[T, ...]:
    return tuple(dict.fromkeys(values))


def _marks(asked: dict[str, Any]) -> dict[str, Any]:
    """What somebody has said of an entry: tags, categories, owners. It is taken out of what was `asked`."""
    tags, owners, categories = asked.pop("tags"), asked.pop("owners"), asked.pop("categories")
    unwanted = [tag.removeprefix("!") for tag in tags if tag.startswith("!")]
    wanted_owners = [owner for owner in owners if not owner.startswith("!")]
    unwanted_owners = [owner.removeprefix("!") for owner in owners if owner.startswith("!")]
    return {
        "tags": _once(parse_tag(tag) for tag in tags if not tag.startswith("!")),
        "without_tags": _once(map(parse_tag, (*unwanted, *asked.pop("without_tags")))),
        "admin_tags": _once(map(parse_tag, asked.pop("admin_tags"))),
        "categories": _once(category for category in categories if isinstance(category, int)),
        "category_names": _once(category for category in categories if isinstance(category, str)),
        "owners": owner_rules(users_named(wanted_owners, "--owner")) if wanted_owners else None,
        "without_owners": owner_rules(users_named(unwanted_owners, "--owner")),
    }


def _content(asked: dict[str, Any]) -> dict[str, Any]:
    """What it is."""
    longer_than = asked.pop("longer_than")
    return {
        "statuses": parse_statuses(asked.pop("statuses")),
        "media_type": MediaType[asked.pop("media_type").upper()],
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
    }


def selected(kaltura: Kaltura, query: Query) -> Selection:
    from kaltura_archiver.selection import Selection

    return Selection(kaltura, query)


def after_selection(selection: Selection, *, limited: bool = False) -> set[Exit]:
    """Warn of what a selection left out; the exit statuses that this alone would give.

    `limited`: the default of --max-entries is a safety limit here, and not only the end of a page.
    """
    if not selection.selected and not selection.unknown and not selection.recycled:
        log.warning("no entry matches: %s", selection.query)
        from kaltura_archiver.run.kept import unknown_criteria

        for unknown in unknown_criteria(selection.kaltura, selection.query):
            log.warning("%s: is that spelled right?", unknown)
    source = click.get_current_context().get_parameter_source("max_entries")
    asked = source is click.core.ParameterSource.COMMANDLINE
    if selection.cut:
        level = logging.INFO if asked else logging.WARNING
        log.log(level, "stopped at --max-entries %d; more entries match (-1: no limit)", selection.selected)
    return exits_of_named(selection, cut=selection.cut and limited and not asked)


def exits_of_named(selection: Selection, *, cut: bool = False) -> set[Exit]:
    """What the selection alone makes of the exit status; `cut`: by a limit that nobody asked for."""
    return exits.of_selection(
        unknown=len(selection.unknown), odd=selection.odd, recycled=len(selection.recycled), cut=cut
    )


def not_begun(selection: Selection) -> Iterator[Result]:
    """How it ends for ids that were named, and lead nowhere."""
    from kaltura_archiver.results import Result

    for entry_id in selection.unknown:
        why = "no such entry in this account (or not visible to this user)"
        yield Result(entry_id, "", Outcome.FAILED, why, ended_at=time.time())
    for entry_id in selection.recycled:
        why = "the entry is in Kaltura's recycle bin"
        yield Result(entry_id, "", Outcome.REFUSED, why, ended_at=time.time())


def need_criteria(command: str, query: Query, *, everything: bool) -> None:
    """Raise SelectionError unless something narrows the selection, or --all was given."""
    if not query.has_criteria and not everything:
        raise SelectionError(
            f"{command} without any selection criterion: select entries (--id, --tag, …), or say --all"
        )


def min_age_years(query: Query, asked: float | None) -> float:
    """How old an entry has to be to be replaced: as asked for, else as the selection says, else 3 years."""
    if asked is not None:
        return asked
    selected_by_age = query.created_until is not None or query.unplayed_since is not None
    return 0.0 if selected_by_age else Options.min_age_years
