"""AWS's command line, as far as our pages use it: words to an operation and its parameters, by botocore's models."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Sequence
from typing import Any

import botocore.session
from botocore import xform_name
from botocore.model import ListShape, Shape, StringShape, StructureShape

# What the command line adds to what a service model describes (AWS CLI reference).
OWN = {
    ("cloudformation", "deploy"): {
        "--stack-name",
        "--template-file",
        "--capabilities",
        "--parameter-overrides",
        "--no-execute-changeset",
    },
    ("ecr", "get-login-password"): set(),
    ("logs", "tail"): {"--since", "--follow", "--filter-pattern"},
    ("s3", "cp"): {"--recursive"},
}
ANYWHERE = {"--query", "--output"}


@functools.cache
def model(service: str) -> Any:
    return botocore.session.get_session().get_service_model("s3" if service == "s3api" else service)


def options(words: list[str]) -> Iterator[tuple[str, list[str]]]:
    for word in words:
        if word.startswith("--"):
            values: list[str] = []
            yield word, values
        else:
            values.append(word)


def value_of(shape: Shape, words: list[str], files: Sequence[Any]) -> Any:
    """The words behind an option as a parameter; structures as JSON, a file (the one of `files` with rules), or in the
    shorthand A=b,C=d."""
    if isinstance(shape, ListShape):
        return [value_of(shape.member, [word], files) for word in words]
    if shape.type_name == "boolean" and not words:
        return True
    [text] = words
    if text.startswith("file://"):
        text = json.dumps(next(block for block in files if "Rules" in block))
    if isinstance(shape, StructureShape):
        if text.startswith("{"):
            return json.loads(text)
        pairs = dict(part.split("=", 1) for part in text.split(","))
        assert set(pairs) <= set(shape.members), text
        return {name: value_of(shape.members[name], [value], files) for name, value in pairs.items()}
    if isinstance(shape, StringShape):
        assert not shape.enum or text in shape.enum, text
        return text
    return {"integer": int, "long": int, "boolean": lambda t: t == "true"}[shape.type_name](text)


def options_of(words: Sequence[str]) -> dict[str, list[str]]:
    """Option to its values, of what follows `aws SERVICE NAME`."""
    first = next((n for n, word in enumerate(words) if word.startswith("--")), len(words))
    return dict(options(list(words[first:])))


def operation_of(service: str, name: str) -> Any:
    [found] = [model(service).operation_model(o) for o in model(service).operation_names if xform_name(o, "-") == name]
    return found


def parameters_of(operation: Any, given: dict[str, list[str]], files: Sequence[Any]) -> dict[str, Any]:
    """The parameters of a call, of the options that are its own."""
    members = {f"--{xform_name(member, '-')}": member for member in operation.input_shape.members}
    assert set(given) <= {*members, *ANYWHERE, *(f"--no-{option[2:]}" for option in members)}
    return {
        members[option]: value_of(operation.input_shape.members[members[option]], values, files)
        for option, values in given.items()
        if option in members
    }
