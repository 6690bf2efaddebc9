"""The policy file that says what the variables of the jobs say."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Mapping

from kaltura_archiver.asking.query import WORDS, query_of
from kaltura_archiver.cli.policy_file import selection_keys
from kaltura_archiver.errors import ConfigError, SelectionError

log = logging.getLogger(__name__)
Values = list[str | bool | int | float]
_NUMBER = re.compile(r"\d+(\.\d+)?")


def policy_of_jobs(variables: Mapping[str, str]) -> str:
    """TOML. Raises ConfigError for what the jobs would not take either, or a rule cannot say."""
    years = variables.get("N_YEARS", "")
    if not _NUMBER.fullmatch(years) or not float(years):
        raise ConfigError("N_YEARS is not set, or no number of years such as 3: it is the rule of the jobs")
    told = [name for name in _KNOWN if variables.get(name)]
    number: Values = [float(years) if "." in years else int(years)]
    select = {"unplayed_for": number, **_selection(variables.get("SELECTION", ""))}
    lines = [
        f"# What the jobs did by {', '.join(told)}. KEEP_TAGS, KEEP_CATEGORIES, KEEP_OWNERS stay settings.",
        "[[rule]]",
        f'name = "{years} years"',
        "",
        "[rule.select]",
        *(f"{key} = {_toml(values)}" for key, values in select.items()),
        *_table("rule.archive", variables, {"STORAGE_CLASS": "storage_class"}),
        *_table("rule.replace", variables, {"MIN_AGE_YEARS": "created_before", "NOTICED_BEFORE": "told_for"}),
        *_limits("rule.limits", variables),
        *_restore(variables, years),
    ]
    return "\n".join(lines) + "\n"


_KNOWN = (
    "N_YEARS", "SELECTION", "STORAGE_CLASS", "MIN_AGE_YEARS", "NOTICED_BEFORE", "MAX_ENTRIES", "MAX_BYTES", "MAX_COST",
    "TIER", "DAYS",
)  # fmt: skip


# What the jobs ask for themselves: of a SELECTION with one of these they say that it is given twice.
_OF_JOBS = ("unplayed_for", "played_within")


def _restore(variables: Mapping[str, str], years: str) -> Iterator[str]:
    """The restore desk; as a comment where the jobs brought back a part of the account only, for it knows none."""
    lines = [
        "[restore]",
        f'played_within = "{years}"',
        *_values(variables, {"TIER": "tier", "DAYS": "days"}),
        *_limits("restore.limits", variables),
    ]
    yield ""
    if not variables.get("SELECTION", "").strip():
        yield from lines
        return
    log.warning(
        "SELECTION narrowed what was brought back, which a policy cannot: its restore desk serves whoever plays a "
        "placeholder of the account. So [restore] is a comment in the file: nothing is brought back unless you write it"
    )
    yield "# SELECTION narrowed what was brought back, too. A desk knows none: it serves whoever plays a placeholder"
    yield "# of the account. If that is meant, take the # from these lines; as they stand nothing is brought back."
    yield from (f"# {line}".rstrip() for line in lines)


def _values(variables: Mapping[str, str], keys: Mapping[str, str]) -> Iterator[str]:
    for name, key in keys.items():
        if value := variables.get(name, ""):
            yield f"{key} = {_toml([int(value) if value.isdecimal() else value])}"


def _table(name: str, variables: Mapping[str, str], keys: Mapping[str, str]) -> Iterator[str]:
    yield from ("", f"[{name}]")
    yield from _values(variables, keys)


def _limits(table: str, variables: Mapping[str, str]) -> Iterator[str]:
    limited = {name: value for name, value in variables.items() if value != "-1"}
    found = list(_values(limited, {"MAX_ENTRIES": "entries", "MAX_BYTES": "bytes"}))
    if cost := variables.get("MAX_COST", ""):
        found.append(f"money = {cost}")
    if found:
        yield from ("", f"[{table}]", *found)


def _selection(words: str) -> dict[str, Values]:
    """The keys of `select` that words such as `--category 17 --tag '!exam'` are; as a shell of the jobs splits them."""
    options = {f"--{word.option}": word for word in WORDS.values()}
    found: dict[str, Values] = {}
    waiting = words.split()
    while waiting:
        option, equals, value = waiting.pop(0).partition("=")
        option = option.replace("_", "-")
        word = options.get(option)
        key = option.removeprefix("--").replace("-", "_")
        if word is None or key not in selection_keys():
            raise ConfigError(f"SELECTION: {option} is no criterion of a rule; write its long name")
        if key in _OF_JOBS:
            raise ConfigError(f"SELECTION: {option} is given by the jobs themselves, as N_YEARS; they take no other")
        if word.read is None:
            found[key] = [True]
            continue
        if not equals:
            if not waiting:
                raise ConfigError(f"SELECTION: {option} says nothing")
            value = waiting.pop(0)
        found.setdefault(key, []).append(value)
    try:
        query_of(0.0, {key: values if len(values) > 1 else values[0] for key, values in found.items()})
    except SelectionError as error:
        raise ConfigError(f"SELECTION: {error}") from error
    return found


def _toml(values: Values) -> str:
    """A value, or a list of several. A basic string of TOML is written as JSON writes one."""
    texts = [json.dumps(value, ensure_ascii=False) for value in values]
    return texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
