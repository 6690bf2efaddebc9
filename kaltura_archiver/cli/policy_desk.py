"""The table `restore` of a policy file: what is brought back, how, and how much of it a day."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any, NoReturn

import click

from kaltura_archiver.asking.lists import lines_in, list_text
from kaltura_archiver.asking.query import query_of
from kaltura_archiver.asking.words import as_written
from kaltura_archiver.cli.options import options_of
from kaltura_archiver.cli.policy_text import Fail, InBucket, PolicyText, Table, converted, keys_of, limits_in, said
from kaltura_archiver.cli.query import checked_request_tag
from kaltura_archiver.desk import DayLimits, Requested, RestoreDesk
from kaltura_archiver.errors import SelectionError
from kaltura_archiver.filters import Query, query_of_ids
from kaltura_archiver.model import REPLACED_TAG, RETRIEVAL_TIERS, same_id
from kaltura_archiver.steps import Command

# What asks, and what its rows are called.
SOURCES = {"played_within": "play", "request_tag": "tag", "requests": "request"}
DESK_LIMITS = ("entries", "bytes", "money", "per_owner")
# `mail`, where whom a list of requests names is told in place of the owner.
ASKER = "asker"
# What a message that it is back is written with, of the table `notice`.
OF_NOTICE = ("directory", "templates")


@cache
def desk_keys() -> dict[str, click.Option]:
    """The keys that are options of `restore`: tier, days, via, …"""
    keys = keys_of(options_of(Command.RESTORE))
    return {key: option for key, option in keys.items() if key not in (*SOURCES, "approve")}


def read_desk(source: PolicyText, told: Table, now: float, in_bucket: InBucket) -> RestoreDesk | None:
    """The restore desk of a policy; None where it has none. Raises InputError with the key and the line."""

    def fail(why: str, /, *path: str) -> NoReturn:
        source.fail(why, None, "", "restore", *path)

    if "restore" not in told:
        return None
    table = told["restore"]
    if not isinstance(table, dict):
        fail(f"{as_written(table)} is no table: write [restore]")
    keys = desk_keys()
    source.require_known(table, [*SOURCES, *keys, "mail", "limits"], None, "", "restore")
    mail = table.get("mail", False)
    if mail not in (True, False, ASKER):
        fail(
            f"{as_written(mail)} is neither true nor false, nor {as_written(ASKER)}",
            "mail",
        )
    requests = said(lambda: _requests(table, in_bucket, mail=bool(mail)), fail, "requests")
    queries = {SOURCES[key]: _query(key, table[key], requests, now, fail) for key in SOURCES if key in table}
    if not queries:
        fail(f"nothing would ever be brought back: say one of {', '.join(SOURCES)}")
    options = {
        str(option.name): converted(option, table[key], fail, key) for key, option in keys.items() if key in table
    }
    if "tag" in queries:
        options["request_tag"] = queries["tag"].tags[0]
    notice = told.get("notice", {})
    written = {key: notice[key] for key in OF_NOTICE if key in notice} if isinstance(notice, dict) else {}
    by_id = {same_id(entry_id): request for entry_id, request in requests.items()}
    limits = _limits(source, table, fail)
    return RestoreDesk(queries, options, limits, written if mail else None, mail == ASKER, by_id)


def _requests(table: Table, in_bucket: InBucket, *, mail: bool) -> dict[str, Requested]:
    """What the list of requests asks for, by entry, each once: of several tiers the fastest. Without `mail` nobody is
    told, whoever is named."""
    name = table.get("requests")
    if not isinstance(name, str):
        return {}
    text = in_bucket(name, "the requests")
    from kaltura_archiver.people.notices import clean

    found: dict[str, Requested] = {}
    where = f"requests {name}"
    listed = lines_in(list_text(name, "requests") if text is None else text, where, "mail", "tier")
    for line, entry_id, (addresses, tier) in listed:
        before = found.get(entry_id, Requested())
        told = _addresses(addresses, f"{where}, line {line}") if mail else ()
        if tier and tier.lower() not in RETRIEVAL_TIERS:
            tiers = ", ".join(RETRIEVAL_TIERS)
            raise SelectionError(f"{where}, line {line}: {clean(tier)[:40]!r} is no tier: there are {tiers}")
        fastest = max(before.tier, tier.lower(), key=("", *RETRIEVAL_TIERS).index)
        found[entry_id] = Requested(tuple(dict.fromkeys((*before.mail, *told))), fastest)
    return found


def _addresses(text: str, where: str) -> tuple[str, ...]:
    """The mail addresses of a cell, with ; between several."""
    from kaltura_archiver.people.notices import checked_address, clean

    words = tuple(filter(None, (word.strip() for word in text.split(";"))))
    if odd := next((word for word in words if checked_address(word) != word), None):
        raise SelectionError(f"{where}: {clean(odd)[:40]!r} is not a mail address")
    return words


def _query(key: str, value: Any, requests: Mapping[str, Requested], now: float, fail: Fail) -> Query:
    """What asks in this way: of any kind, for all kinds are replaced; what is named whatever its status."""
    kinds = str if key == "requests" else str | int | float
    if isinstance(value, bool) or not isinstance(value, kinds):
        fail(f"{as_written(value)} is not what this key holds", key)

    def made() -> Query:
        if key == "played_within":
            return query_of(now, {"played_within": value, "tag": REPLACED_TAG})
        if key == "request_tag":
            return replace(query_of(now, {}), tags=(checked_request_tag(str(value)),))
        return query_of_ids(requests)

    return replace(said(made, fail, key), max_entries=None, media_type=None)


def _limits(source: PolicyText, table: Mapping[str, Any], fail: Fail) -> DayLimits:
    limits = table.get("limits", {})
    if not isinstance(limits, dict):
        fail(f"{as_written(limits)} is no table: write [restore.limits]", "limits")
    source.require_known(limits, DESK_LIMITS, None, "", "restore", "limits")
    return DayLimits(**limits_in(limits, fail, "limits"))
