"""From the options that select to a checked query, and what is said of what it left out."""

from __future__ import annotations

import csv
import logging
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kaltura_archiver.cli.types import ENTRY_ID, parse_shard, parse_tag
from kaltura_archiver.config import batch_shard
from kaltura_archiver.errors import Exit, SelectionError
from kaltura_archiver.filters import Query, parse_statuses, years_ago
from kaltura_archiver.model import MediaType, Outcome, same_id
from kaltura_archiver.steps import Options

if TYPE_CHECKING:
    from kaltura_archiver.kaltura import Kaltura
    from kaltura_archiver.results import Result
    from kaltura_archiver.selection import Selection


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
    if "entry_id" not in names:
        plain = (
            (number, line.strip().strip("'\"")) for number, line in enumerate(lines, 1) if not line.startswith("#")
        )
        yield from ((number, line) for number, line in plain if line)
        return
    # A TSV of ours quotes nothing; in a CSV a name may have line breaks between its quotes.
    table = lines[begin + 1 :]
    reader = csv.reader(table, delimiter="\t", quoting=csv.QUOTE_NONE) if tab else csv.reader(table)
    column = names.index("entry_id")
    for row in reader:
        if any(cell.strip() for cell in row) and not row[0].startswith("#"):
            cell = row[column] if column < len(row) else ""
            yield begin + 1 + reader.line_num, cell.strip().strip("'\"")


def make_query(
    now: float,
    *,
    ids: tuple[str, ...],
    idfile: str | None,
    tags: tuple[str, ...],
    without_tags: tuple[str, ...],
    plays: int | None,
    never_played: bool,
    statuses: tuple[str, ...],
    media_type: str,
    created_within: float | None,
    created_before: float | None,
    played_within: float | None,
    unplayed_for: float | None,
    max_entries: int,
    shard: str | None,
    category: int | str | None,
    **plain: Any,
) -> Query:
    """A checked Query from the options as they were given; SelectionError for what cannot be meant."""
    if max_entries < 1 and max_entries != -1:
        raise SelectionError("--max-entries must be 1 or more, or -1 for no limit")
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
    wanted = [parse_tag(tag) for tag in tags if not tag.startswith("!")]
    unwanted = [parse_tag(tag.removeprefix("!")) for tag in tags if tag.startswith("!")] + [
        parse_tag(t) for t in without_tags
    ]
    query = Query(
        ids=tuple(dict.fromkeys(named)) if named else None,
        tags=tuple(dict.fromkeys(wanted)),
        without_tags=tuple(dict.fromkeys(unwanted)),
        statuses=parse_statuses(statuses),
        media_type=MediaType[media_type.upper()],
        plays_below=plays or None,
        never_played=never_played or plays == 0,
        created_since=years_ago(now, created_within),
        created_until=years_ago(now, created_before),
        played_since=years_ago(now, played_within),
        unplayed_since=years_ago(now, unplayed_for),
        category=category if isinstance(category, int) else None,
        category_name=category if isinstance(category, str) else "",
        max_entries=None if max_entries == -1 else max_entries,
        shard=parse_shard(shard) if shard else batch_shard(),
        **plain,
    )
    query.check()
    return query


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
    codes = exits_of_named(selection)
    if selection.cut:
        source = click.get_current_context().get_parameter_source("max_entries")
        asked = source is click.core.ParameterSource.COMMANDLINE
        level = logging.INFO if asked else logging.WARNING
        log.log(level, "stopped at --max-entries %d; more entries match (-1: no limit)", selection.selected)
        if limited and not asked:
            codes.add(Exit.LIMIT)
    return codes


def exits_of_named(selection: Selection) -> set[Exit]:
    """What ids that were named, and lead nowhere, make of the exit status."""
    found = {Exit.FAILED: selection.unknown or selection.odd, Exit.WAITING: selection.recycled}
    return {code for code, ids in found.items() if ids}


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
