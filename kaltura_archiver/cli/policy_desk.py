"""The table `restore` of a policy file: what is brought back, how, and how much of it a day."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any, NoReturn

import click

from kaltura_archiver.asking.lists import read_ids
from kaltura_archiver.asking.query import query_of
from kaltura_archiver.asking.words import as_written
from kaltura_archiver.cli.options import options_of
from kaltura_archiver.cli.policy_text import Fail, PolicyText, Table, converted, keys_of, limits_in, said
from kaltura_archiver.cli.query import checked_request_tag
from kaltura_archiver.filters import Query
from kaltura_archiver.model import REPLACED_TAG
from kaltura_archiver.policy import DayLimits, RestoreDesk
from kaltura_archiver.steps import Command

# What asks, and what its rows are called.
SOURCES = {"played_within": "play", "request_tag": "tag", "requests": "request"}
DESK_LIMITS = ("entries", "bytes", "money", "per_owner")
# What a message that it is back is written with, of the table `notice`.
_OF_NOTICE = ("directory", "templates")


@cache
def desk_keys() -> dict[str, click.Option]:
    """The keys that are options of `restore`: tier, days, via, …"""
    keys = keys_of(options_of(Command.RESTORE))
    return {key: option for key, option in keys.items() if key not in (*SOURCES, "approve")}


def read_desk(source: PolicyText, told: Table, now: float) -> RestoreDesk | None:
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
    queries = {SOURCES[key]: _query(key, table[key], now, fail) for key in SOURCES if key in table}
    if not queries:
        fail(f"nothing would ever be brought back: say one of {', '.join(SOURCES)}")
    options = {
        str(option.name): converted(option, table[key], fail, key) for key, option in keys.items() if key in table
    }
    if "tag" in queries:
        options["request_tag"] = queries["tag"].tags[0]
    mail = table.get("mail", False)
    if not isinstance(mail, bool):
        fail(f"{as_written(mail)} is neither true nor false", "mail")
    notice = told.get("notice", {})
    written = {key: notice[key] for key in _OF_NOTICE if key in notice} if isinstance(notice, dict) else {}
    return RestoreDesk(queries, options, _limits(source, table, fail), written if mail else None)


def _query(key: str, value: Any, now: float, fail: Fail) -> Query:
    """What asks in this way: of any kind, for all kinds are replaced."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        fail(f"{as_written(value)} is not what this key holds", key)

    def made() -> Query:
        if key == "played_within":
            return query_of(now, {"played_within": value, "tag": REPLACED_TAG})
        if key == "request_tag":
            return replace(query_of(now, {}), tags=(checked_request_tag(str(value)),))
        return replace(query_of(now, {}), ids=read_ids(str(value), "requests", may_be_empty=True))

    return replace(said(made, fail, key), max_entries=None, media_type=None)


def _limits(source: PolicyText, table: Mapping[str, Any], fail: Fail) -> DayLimits:
    limits = table.get("limits", {})
    if not isinstance(limits, dict):
        fail(f"{as_written(limits)} is no table: write [restore.limits]", "limits")
    source.require_known(limits, DESK_LIMITS, None, "", "restore", "limits")
    return DayLimits(**limits_in(limits, fail, "limits"))
