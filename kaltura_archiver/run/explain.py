"""Everything known about one entry, for a person: facts, state, evidence, and what each command would do now."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from operator import itemgetter
from typing import Any

from kaltura_archiver.apply.group import look_at_streams, may_go_alone
from kaltura_archiver.apply.looks import facts_of_entry, look_at
from kaltura_archiver.apply.reading import with_metadata, with_relatives
from kaltura_archiver.apply.tools import Sources
from kaltura_archiver.errors import Refused
from kaltura_archiver.groups import judgement_of_group, together
from kaltura_archiver.identity import holds_placeholder
from kaltura_archiver.model import Facts, Outcome, StoredObject, iso_date, iso_time, last_played_words, same_id
from kaltura_archiver.plans import plan_for
from kaltura_archiver.reasons import came_back
from kaltura_archiver.run.runlog import read as run_lines
from kaltura_archiver.states import Judgement, classify
from kaltura_archiver.steps import Command, Options, Plan

# What resolve would do depends on which video is to stay: the state's hint says both.
_EXPLAINED = [command for command in Command if command is not Command.RESOLVE]


def explain_entry(sources: Sources, options: Options, entry_id: str, *, runs: bool = False) -> dict[str, Any]:
    """The explanation as plain data; with `runs` the history has what the log of each run says of the entry.

    Raises Gone if there is no such entry.
    """
    facts = _complete(sources, facts_of_entry(sources, entry_id), options)
    judgement = classify(facts)
    entry_id = facts.entry.id  # the true one, however it was spelled
    streams = sources.kaltura.children([entry_id])[entry_id]
    members, plans = _with_streams(sources, facts, streams, options)
    whole = judgement_of_group(judgement, [(member.entry.id, classify(member)) for member in members])
    return {
        "entry": _entry_told(facts, len(streams), options),
        "state": {"name": whole.state.value, "why": whole.why, "next": whole.hint},
        "identity": {"name": judgement.identity.value, "evidence": judgement.identity_why},
        "placeholder": {True: "yes", False: "no", None: "not known"}[holds_placeholder(facts)],
        "flavors": [
            {
                "id": flavor.id,
                "version": flavor.version,
                "original": flavor.is_original,
                "status": flavor.odd or flavor.status.name,
                "bytes": flavor.size_bytes,
                "KB": flavor.kilobytes,
                "extension": flavor.file_ext,
                "lines": flavor.height,
            }
            for flavor in sorted(facts.flavors, key=lambda f: not f.is_original)
        ],
        "object": _copy_told(facts),
        **({"further streams": [_stream_told(member) for member in members]} if streams else {}),
        "commands": {command.value: _plan_told(plan, judgement) for command, plan in plans.items()},
        "history": sorted(chain(_dates(facts), _runs(sources, entry_id) if runs else ()), key=itemgetter("at")),
    }


def _with_streams(
    sources: Sources, facts: Facts, streams: tuple[str, ...], options: Options
) -> tuple[list[Facts], dict[Command, Plan]]:
    """The facts about an entry's further streams, and what each command does about the entry: it goes with them."""

    def look(entry_id: str) -> tuple[Facts, tuple[str, ...]]:
        found, more = look_at(sources, entry_id, children=True, categories=True)
        return _complete(sources, found, options), more

    def plan(command: Command) -> Plan:
        if not streams:
            alone = may_go_alone(sources.kaltura, command, facts)
            return plan_for(command, facts, options, in_group=alone)
        plans = [(member, plan_for(command, member, options, in_group=True)) for member in (*members, facts)]
        return together(command, plans)[-1]

    try:
        members = look_at_streams(look, facts, streams)
    except Refused as error:
        state = classify(facts).state
        return [], {command: Plan(state, (), Outcome.REFUSED, str(error)) for command in _EXPLAINED}
    return members, {command: plan(command) for command in _EXPLAINED}


def _complete(sources: Sources, facts: Facts, options: Options) -> Facts:
    """The facts, with what the commands look at beside the entry itself."""
    facts = with_relatives(sources.kaltura, facts)
    return with_metadata(sources.kaltura, facts) if options.keep.metadata else facts


def _stream_told(facts: Facts) -> dict[str, Any]:
    judgement = classify(facts)
    size = facts.original.size_bytes if facts.original else None
    return {"id": facts.entry.id, "state": judgement.state.value, "bytes": size, "why": judgement.why}


def _dates(facts: Facts) -> Iterator[dict[str, Any]]:
    """What the entry and the tags of its stored copy tell of when what was done."""
    entry, stored = facts.entry, facts.stored
    times: list[tuple[str, str]] = [(iso_date(entry.created_at), "created in Kaltura")]
    for notice in (told for told, mine in entry.notices if mine):
        of = f" of {notice.of}" if notice.of else ""
        until = f", to be replaced on {notice.until} at the earliest" if notice.until else ""
        times.append((notice.on.isoformat(), f"the owner was told{of}{until}"))
    if stored is not None:
        times += [
            (_written(stored), "the stored copy was written"),
            (
                stored.tags.get("replaced-at", ""),
                "the original was deleted" if stored.kept else "the original was replaced",
            ),
            (stored.tags.get("restored-at", ""), f"the original was {came_back(stored)}"),
            (stored.verified_at, "the stored copy was verified"),
            (stored.damaged_at, "the stored copy was found damaged"),
        ]
    yield from ({"at": at, "what": what} for at, what in times if at)


def _runs(sources: Sources, entry_id: str) -> Iterator[dict[str, Any]]:
    for line in run_lines(sources.store):
        if line.get("kind") == "entry" and same_id(str(line["entry"])) == same_id(entry_id):
            yield {"at": line["at"], "what": f"{line['command']}: {line['outcome']}", "run": line["run"]}


def _entry_told(facts: Facts, children: int, options: Options) -> dict[str, Any]:
    entry = facts.entry
    return {
        "id": entry.id,
        "name": entry.name,
        "status": entry.status,
        "media_type": entry.media_type,
        "tags": list(entry.tags),
        "archived_to_s3": entry.archived,
        "flavors_deleted": entry.replaced,
        "original_in_s3": entry.thin,
        "created": iso_date(entry.created_at) or "not known",
        "plays": entry.plays,
        "last_played": last_played_words(iso_date(entry.last_played_at), entry.plays),
        "creator": entry.creator_id,
        "owner": entry.owner,
        "owner_noticed": notice.on.isoformat() if (notice := entry.notice()) else "no",
        "stays_until": entry.promised_until.isoformat() if entry.promised_until else "no day was named",
        "categories": ",".join(facts.category_names),
        "replacement": f"status {entry.replacement_status}, entry {entry.replacing_entry_id}"
        if entry.replacement_running
        else "none",
        "children": children,
        "further stream of": entry.parent_entry_id or "none",
        "root_entry": entry.source_id or "none",
        "kept": options.keep.why(facts, options.now) or "no",
        "recycled": entry.recycled,
    }


def _copy_told(facts: Facts) -> dict[str, Any] | None:
    stored = facts.stored
    if stored is None:
        return None
    return {
        "key": stored.key,
        **({"earlier": list(stored.earlier)} if stored.earlier else {}),
        "bytes": stored.size_bytes,
        "storage_class": stored.storage_class,
        "availability": stored.availability.value + (f" until {stored.thawed_until}" if stored.thawed_until else ""),
        **({"expires": stored.expires} if stored.expires else {}),
        "etag": stored.etag,
        "crc64nvme": stored.crc64nvme,
        "written": _written(stored),
        "metadata": dict(stored.metadata),
        "tags": dict(stored.tags),
    }


def _written(stored: StoredObject) -> str:
    return iso_time(stored.last_modified.timestamp()) if stored.last_modified else ""


def _plan_told(plan: Plan, judgement: Judgement) -> str:
    return plan.describe() if plan.steps or plan.outcome is not Outcome.DONE else judgement.why
