"""aws/*.yaml as values, and whether their policies allow a call. Knows what the templates use, no more."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml

TEMPLATE = Path(__file__).parents[2] / "aws" / "template.yaml"
# The bucket's stack, the jobs', and the alarms', in the order in which they are made.
TEMPLATES = (TEMPLATE.with_name("bucket.yaml"), TEMPLATE, TEMPLATE.with_name("alarms.yaml"))
STACK = "archiver"
GIVEN: Mapping[str, Any] = {
    "BucketName": "lectures",
    "Stack": STACK,
    "KalturaPartnerId": 101,
    "KalturaSecretArn": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:kaltura-AbCdEf",
    "Vpc": "vpc-1",
    "Subnets": ["subnet-1", "subnet-2"],
}
PSEUDO = {
    "AWS::Region": "eu-west-1",
    "AWS::AccountId": "123456789012",
    "AWS::Partition": "aws",
    "AWS::StackName": STACK,
    "AWS::StackId": f"arn:aws:cloudformation:eu-west-1:123456789012:stack/{STACK}/1",
}
_ABSENT = object()


class _Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short forms."""


def _short_form(loader: _Loader, suffix: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".")
    return {suffix if suffix == "Ref" else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _short_form)


@functools.cache
def load_one(path: Path) -> dict[str, Any]:
    """A template, short forms written out as in JSON; read it, do not change it."""
    with path.open(encoding="utf-8") as file:
        template: dict[str, Any] = yaml.load(file, _Loader)  # noqa: S506 - a SafeLoader
    return template


@functools.cache
def load() -> dict[str, Any]:
    """The three templates as if they were one; nothing but parameters and outputs has a name in two of them."""
    merged: dict[str, Any] = {"Parameters": {}, "Conditions": {}, "Resources": {}, "Outputs": {}}
    for template in map(load_one, TEMPLATES):
        assert not set(merged["Resources"]) & set(template["Resources"])
        for section, found in merged.items():
            found |= template.get(section, {})
    return merged


class Stack:
    """What the templates make of these parameters: `resources`, `outputs`, their functions worked out.

    A resource's Ref is its logical id, where it has no name of its own; its ARN is `arn:<logical id>`.
    """

    def __init__(self, **parameters: Any) -> None:
        self.template = load()
        defaults = {name: p["Default"] for name, p in self.template["Parameters"].items() if "Default" in p}
        self.parameters = {**defaults, **GIVEN, **parameters}
        unknown = set(self.parameters) - set(self.template["Parameters"])
        assert not unknown
        self.resources = {
            name: self._of(resource)
            for name, resource in self.template["Resources"].items()
            if self._holds(resource.get("Condition"))
        }
        self.outputs = {name: self._of(output["Value"]) for name, output in self.template["Outputs"].items()}

    def of_type(self, kind: str) -> dict[str, Any]:
        """Logical id to properties, of the resources of this type."""
        return {n: r["Properties"] for n, r in self.resources.items() if r["Type"] == kind}

    def statements(self, name: str) -> list[dict[str, Any]]:
        """The statements of a role or a policy; actions and resources as lists."""
        properties = self.resources[name]["Properties"]
        documents = [p["PolicyDocument"] for p in properties.get("Policies", ())] or [properties["PolicyDocument"]]
        return [
            {**statement, "Action": _list(statement["Action"]), "Resource": _list(statement.get("Resource"))}
            for document in documents
            for statement in document["Statement"]
        ]

    def _holds(self, condition: str | None) -> bool:
        return condition is None or bool(self._of(self.template["Conditions"][condition]))

    def _of(self, node: Any) -> Any:
        if isinstance(node, list):
            return [value for item in node if (value := self._of(item)) is not _ABSENT]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            [(name, argument)] = node.items()
            if name == "Ref":
                return self._ref(argument)
            if name.startswith("Fn::"):
                return self._function(name.removeprefix("Fn::"), argument)
        return {key: found for key, value in node.items() if (found := self._of(value)) is not _ABSENT}

    def _ref(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return _ABSENT
        known = {**PSEUDO, **self.parameters}
        if name in known:
            return known[name]
        properties = self.template["Resources"][name].get("Properties", {})
        return self._of(properties["LogGroupName"]) if "LogGroupName" in properties else name

    def _function(self, name: str, argument: Any) -> Any:
        if name == "If":
            return self._of(argument[1] if self._holds(argument[0]) else argument[2])
        if name == "GetAtt":
            assert argument[0] in self.template["Resources"]
            return f"arn:{argument[0]}" if argument[1] == "Arn" else ".".join(argument)
        if name == "Sub":
            text, names = (argument, {}) if isinstance(argument, str) else argument
            values = {key: self._of(value) for key, value in names.items()}
            return re.sub(r"\$\{([^}]+)\}", lambda match: str(self._named(match[1], values)), text)
        values = [self._of(value) for value in argument]
        match name, values:
            case "Equals", [one, other]:
                return one == other
            case "Not", [value]:
                return not value
            case "And", holds:
                return all(holds)
            case "Join", [by, parts]:
                return by.join(parts)
            case "Split", [by, text]:
                return text.split(by)
            case "Select", [index, parts]:
                return parts[index]
        raise AssertionError(f"no idea of {name}")

    def _named(self, name: str, values: Mapping[str, Any]) -> Any:
        if name in values:
            return values[name]
        return self._function("GetAtt", name.split(".")) if "." in name else self._ref(name)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def matching(statements: Iterable[Mapping[str, Any]], action: str, resource: str) -> list[Mapping[str, Any]]:
    """The statements about this action on this resource. Conditions are taken to hold."""
    return [
        statement
        for statement in statements
        if any(fnmatchcase(action.lower(), pattern.lower()) for pattern in statement["Action"])
        and any(fnmatchcase(resource, pattern) for pattern in statement["Resource"])
    ]


def allows(statements: Iterable[Mapping[str, Any]], action: str, resource: str) -> bool:
    """Whether an identity with these statements may do that: some allow it, none denies it."""
    effects = {statement["Effect"] for statement in matching(statements, action, resource)}
    return effects == {"Allow"}


def event_matches(pattern: Any, value: Any) -> bool:
    """EventBridge's patterns, as far as the templates go. Of a list of structures, one has to match."""
    if isinstance(pattern, list):
        return any(_one_matches(wanted, value) for wanted in pattern)
    if isinstance(value, list):
        return any(event_matches(pattern, item) for item in value)
    return isinstance(value, dict) and all(
        any(event_matches(one, value) for one in wanted) if key == "$or" else event_matches(wanted, value.get(key))
        for key, wanted in pattern.items()
    )


def _one_matches(wanted: Any, value: Any) -> bool:
    if not isinstance(wanted, dict):
        return bool(wanted == value)
    [(kind, operand)] = wanted.items()
    match kind:
        case "exists":
            return (value is not None) == operand
        case "anything-but" if isinstance(operand, dict):
            return value is not None and not any(fnmatchcase(value, wildcard) for wildcard in operand["wildcard"])
        case "anything-but":
            return value is not None and value not in operand
    raise AssertionError(f"no idea of {kind}")
