"""The house keeps its plan: small files, short functions, nobody's private names, and a core that needs no wing."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import kaltura_archiver

PACKAGE = Path(kaltura_archiver.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
MAX_FILE_LINES, MAX_FUNCTION_LINES, MAX_METHODS = 400, 60, 20
WINGS = ("review", "money", "insight", "people", "fleet", "sandbox")


def measured() -> Iterator[tuple[str, int, int]]:
    """(what, its size, what it may have) of everything that has a size."""
    for path in FILES:
        name = str(path.relative_to(PACKAGE))
        text = path.read_text(encoding="utf-8")
        yield name, len(text.splitlines()), MAX_FILE_LINES
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{name}: {node.name}", (node.end_lineno or 0) - node.lineno + 1, MAX_FUNCTION_LINES
            elif isinstance(node, ast.ClassDef):
                methods = sum(isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef) for part in node.body)
                yield f"{name}: class {node.name}", methods, MAX_METHODS


def test_nothing_is_larger_than_it_may_be() -> None:
    too_large = {what: size for what, size, most in measured() if size > most}
    assert too_large == {}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_private_name_leaves_its_file(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("kaltura_archiver"):
            private = [a.name for a in node.names if a.name.startswith("_") and not a.name.startswith("__")]
            assert not private, f"line {node.lineno}: {', '.join(private)} of {node.module}"


def test_one_file_knows_libcurl() -> None:
    found = {
        str(path.relative_to(PACKAGE))
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom)
        and "pycurl" in {getattr(node, "module", None), *(name.name for name in node.names)}
    }
    assert found == {"transfer/curl.py"}


def test_no_two_classes_have_one_name() -> None:
    where: dict[str, list[str]] = {}
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                where.setdefault(node.name.lstrip("_"), []).append(f"{path.relative_to(PACKAGE)}:{node.lineno}")
    assert {name: places for name, places in where.items() if len(places) > 1} == {}


def test_the_core_does_not_notice_when_the_wings_are_gone() -> None:
    absent = [f"kaltura_archiver.{wing}" for wing in WINGS]
    core = ("apply", "cli", "kaltura", "run.lock", "run.runlog", "run.services", "selection", "store", "survey")
    program = (
        f"import sys\nsys.modules.update(dict.fromkeys({absent!r}))\n"
        f"import {', '.join(f'kaltura_archiver.{name}' for name in core)}\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_what_the_architecture_page_names_is_there() -> None:
    page = (PACKAGE.parent / "ARCHITECTURE.md").read_text(encoding="utf-8")
    named = re.findall(r"`([a-z_/]+\.py)(?:: ([^`]+))?`", page)
    assert len(named) > 30
    for path, names in named:
        found = [file for file in FILES if str(file.relative_to(PACKAGE)).endswith(path)]
        assert found or path.startswith("tests/"), path
        for name in filter(None, names.replace(", ", " ").split()):
            wanted = re.compile(rf"\b(def|class) {name.split('.')[-1]}\b|^    {name}\b|^{name}\b", re.MULTILINE)
            assert any(wanted.search(file.read_text(encoding="utf-8")) for file in found), f"{path}: {name}"
