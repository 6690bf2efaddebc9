"""Looks at an entry, all of it, and at nothing but what a step has to know just before it."""

from __future__ import annotations

import time
from dataclasses import replace

from kaltura_archiver.apply.reading import with_later_copy, with_original_read, with_source
from kaltura_archiver.apply.tools import InHand, Sources, Tools
from kaltura_archiver.errors import Gone, Waiting
from kaltura_archiver.identity import holds_placeholder
from kaltura_archiver.kaltura.watching import Progress
from kaltura_archiver.model import Entry, Facts, FlavorAsset


def facts_of_entry(sources: Sources, entry_id: str) -> Facts:
    """Everything about one entry, read now. Raises Gone if there is no such entry."""
    return look_at(sources, entry_id, children=False, categories=True)[0]


def look_at(sources: Sources, entry_id: str, *, children: bool, categories: bool) -> tuple[Facts, tuple[str, ...]]:
    """The facts and, where asked for, the ids of the entry's further streams. Raises Gone if there is no such entry."""
    kaltura, store = sources.kaltura, sources.store
    usual_tags = kaltura.usual_tags() if sources.swaps else None
    entry, flavors, streams, placings = kaltura.look(entry_id, children=children, categories=categories)
    if entry is None:
        raise Gone(f"no such entry in this account (or not visible to this user): {entry_id}")
    # Of the true id: Kaltura knows the entry by other spellings, S3 does not.
    facts = sources.placeholders.facts(entry, flavors, store.head(entry.id, recent_marks=True), placings)
    facts = with_later_copy(store, replace(facts, usual_tags=usual_tags))
    facts = with_source(kaltura, store, facts)
    return with_original_read(kaltura, facts), streams


def next_look(tools: Tools, work: InHand, entry: Entry | None, deadline: float) -> Progress:
    """How far the replacement of the entry, as it was last seen, is at the next look at all that convert."""
    if time.monotonic() >= deadline:
        raise Waiting(f"the conversion of {work.id} is not finished after --timeout; run the command again later")
    temporary = entry.replacing_entry_id if entry else ""
    with tools.room.waiting():
        return tools.conversions.look(work.id, temporary, deadline=deadline)


def source_of_replacement(tools: Tools, entry: Entry) -> FlavorAsset | None:
    """The new original that a replacement in progress is going to put in."""
    temporary = entry.replacing_entry_id
    return Facts(entry, tools.kaltura.flavors([temporary])[temporary]).original if temporary else None


def placeholder_comes(tools: Tools, entry_id: str) -> bool:
    """Whether the placeholder is in place or on its way, by another run: then the tag flavors_deleted is right."""
    facts = facts_of_entry(tools, entry_id)
    if not facts.entry.replacing_entry_id:
        return holds_placeholder(facts) is True
    source = source_of_replacement(tools, facts.entry)
    return source is not None and source.size_bytes in facts.placeholder_sizes
