"""The names of `kaltura_aws.py`, its companions and its scripts: what runs now, or the line to type instead. Pure."""

from __future__ import annotations

from pathlib import PurePath

# Programs, and the commands that know their options. Those of the first one are as they were.
_PROGRAMS = {"kaltura_aws": "", "add_ldap_status": "enrich", "puldap": "ldapsearch", "stats": "stats"}
# What had other options, or none.
_LINES = {
    "archive.rc": "jobs/archive",
    "restore.rc": "jobs/restore",
    "health.rc": "jobs/health",
    "docker_run_task.py": "kaltura-archiver run_task archive",
    "run.py": "kaltura-archiver list --max-entries -1",
}


def _name(word: str) -> str:
    """A program or script without its folder, spelled as it was."""
    name = PurePath(word).name if word.endswith((".py", ".rc")) else word
    return name.replace("-", "_")


def is_program(path: str) -> bool:
    """Whether this is the file of an old program, such as a link of that name to this one."""
    return PurePath(path).name.removesuffix(".py") in _PROGRAMS


def in_new_words(words: list[str]) -> list[str]:
    """A command line, the name of an old program at its beginning put into a command."""
    command = _PROGRAMS.get(_name(words[0]).removesuffix(".py")) if words else None
    return words if command is None else [*filter(None, [command]), *words[1:]]


def line_instead(words: list[str]) -> str:
    """What to type in place of a command line that begins with an old word; empty for any other."""
    return _LINES.get(_name(words[0]), "") if words else ""
