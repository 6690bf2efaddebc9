"""JSON Schema of a policy file, made of the options that its keys are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from kaltura_archiver.asking.words import AGES
from kaltura_archiver.cli.policy_desk import ASKER, SOURCES, desk_keys
from kaltura_archiver.cli.policy_file import BEFORE, NOTICE, keep_keys, selection_keys, stage_keys
from kaltura_archiver.cli.types import Age, CategoryName, Duration, Size
from kaltura_archiver.policy import CLOCKS, Stage


def schema() -> dict[str, Any]:
    """JSON Schema of a policy file (draft 2020-12), for editors."""
    age = {"type": ["number", "string"], "description": AGES}

    def of_option(option: click.Option) -> dict[str, Any]:
        told: dict[str, Any] = {"description": option.help or ""}
        if option.is_flag:
            return told | {"type": "boolean"}
        one: dict[str, Any]
        kind = option.type
        if isinstance(kind, click.Choice):
            one = {"enum": list(kind.choices)}
        elif isinstance(kind, click.IntRange):
            one = {"type": "integer"} | ({} if kind.min is None else {"minimum": kind.min})
        elif isinstance(kind, Age | Size | Duration | CategoryName):
            one = {"type": ["integer", "number", "string"]}
        else:
            one = {"type": "string"}
        return told | ({"anyOf": [one, {"type": "array", "items": one}]} if option.multiple else one)

    def table(properties: Mapping[str, Any], **more: Any) -> dict[str, Any]:
        return {"type": "object", "additionalProperties": False, "properties": dict(properties), **more}

    def of_stage(stage: Stage) -> dict[str, Any]:
        own = {"told_for": age} if stage in (Stage.THIN, Stage.REPLACE) else {}
        own |= {"review": {"type": "boolean"}} if stage.command else {}
        clocks = {name: age for name in CLOCKS if stage in BEFORE[name]}
        return table({**clocks, **own, **{key: of_option(option) for key, option in stage_keys(stage).items()}})

    keep = table({key: of_option(option) for key, option in keep_keys().items()})
    limits = table({
        "entries": {"type": "integer", "minimum": 1}, "bytes": {"type": ["integer", "string"]},
        "money": {"type": "number", "exclusiveMinimum": 0}, "hours": {"type": "string", "pattern": r"^\d+-\d+$"},
    })  # fmt: skip
    notice = table({key: {"type": "string"} for key in NOTICE})
    rule = table({
        "name": {"type": "string", "maxLength": 60}, "drift": {"type": "string", "pattern": r"^[\d.]+%$"},
        "on": {"type": "array", "items": {"type": "string", "pattern": r"^\d\d-\d\d$"}},
        "select": table({key: of_option(option) for key, option in selection_keys().items()}, minProperties=1),
        "keep": keep, "limits": limits, "notice": notice, **{stage.value: of_stage(stage) for stage in Stage},
    }, required=["name", "select"])  # fmt: skip
    desk = table({
        "played_within": age, "request_tag": {"type": "string"}, "requests": {"type": "string"},
        "mail": {"enum": [True, False, ASKER]}, **{key: of_option(option) for key, option in desk_keys().items()},
        "limits": table({
            "entries": {"type": "integer", "minimum": 1}, "bytes": {"type": ["integer", "string"]},
            "money": {"type": "number", "exclusiveMinimum": 0}, "per_owner": {"type": "integer", "minimum": 1},
        }),
    }, anyOf=[{"required": [key]} for key in SOURCES])  # fmt: skip
    rules = {"type": "array", "minItems": 1, "items": rule}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema", "title": "A policy of kaltura-archiver",
        **table(
            {"rule": rules, "restore": desk, "keep": keep, "limits": limits, "notice": notice},
            anyOf=[{"required": ["rule"]}, {"required": ["restore"]}],
        ),
    }  # fmt: skip
