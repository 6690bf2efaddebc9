"""Settings files and settings as their authors meant them: read, or refused with file and line."""

from __future__ import annotations

import difflib
import io
import os
import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from kaltura_archiver.errors import ConfigError

# Of these a misspelled one would protect nobody.
PROTECTIVE = ("KEEP_TAGS", "KEEP_CATEGORIES", "KEEP_OWNERS", "KEEP_METADATA")
# Values that may begin and end with a quote that belongs to them.
_PASSWORDS = frozenset({"LDAP_PWD", "SMTP_PWD"})
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# A further variable within a value: to bash one of its own, after a blank, a ; or a missing quote. (Not the parts of a
# directory's name, which follow a comma.)
_ANOTHER = re.compile(r"(?<![,\s])[\s;&|]+(?:export\s+)?[A-Z][A-Z0-9_]{2,}=")
# What stands between quotes, and after them.
_QUOTED = re.compile(r"""(?s)(?P<quote>["'])(?P<text>(?:\\.|(?!(?P=quote))[^\\])*)(?P=quote)(?P<rest>.*)""")
_EXPANDED = re.compile(r"\$(\{[^}]*\}?|\w+|[@*#?$!-])")
_PROTECTION = re.compile(rf"\b(?:{'|'.join(PROTECTIVE)})\s*=")


def read_text(path: Path, what: str) -> str:
    """A file in UTF-8, with or without the mark that Windows puts before it. Raises ConfigError."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(f"cannot read {what}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"cannot read {what}: not UTF-8") from error


def read_env_file(path: Path, known: Collection[str] = ()) -> dict[str, str]:
    """The variables of a file such as bash sources: NAME=value, quotes, `export`, comments, ${OTHER}.

    Raises ConfigError, with the line, for anything that would be dropped, and for a value of what is `known` here, or
    by boto3, that bash would read otherwise. (A PATH or PS1 may stand there, too.)
    """
    from dotenv.parser import parse_stream
    from dotenv.variables import parse_variables

    text = read_text(path, str(path))
    found: dict[str, str] = {}
    for binding in parse_stream(io.StringIO(text)):
        written = binding.original.string.strip()
        # What is skipped before a variable counts as part of it.
        skipped = len(binding.original.string) - len(binding.original.string.lstrip())
        where = f"{path}, line {binding.original.line + binding.original.string[:skipped].count(chr(10))}"
        if not binding.error and binding.key is None:
            continue  # a comment, or nothing
        if binding.error or binding.key is None or binding.value is None:
            raise ConfigError(f"{where}: {_advice(written)}")
        if not _NAME.fullmatch(binding.key):
            # Not quoted where it may be the rest of a secret.
            what = repr(binding.key) if re.fullmatch(r"[A-Z][A-Z_.-]{0,39}", binding.key) else "what stands before ="
            raise ConfigError(f"{where}: {what} is not the name of a variable")
        check_name(binding.key, where)
        raw = written.partition("=")[2].strip()
        if not raw.startswith("'") and re.search(r"\$\(|`", raw):
            raise ConfigError(f"{where}: no command is run here; write the value itself, in single quotes if it is one")
        if written.startswith("export ") and re.match(r"[^'\"#\s]+\s+[^#\s]", raw):
            raise ConfigError(f"{where}: one variable a line, and a value with blanks in quotes")
        if another := _PROTECTION.search(binding.value) or _ANOTHER.search(binding.value):
            inner = " ".join(another[0].split())
            raise ConfigError(f"{where}: {inner!r} within the value of {binding.key}: one variable a line")
        value = binding.value
        ours = binding.key in known or binding.key.startswith(("AWS_", "KEEP_"))
        if ours and (why := _read_otherwise(raw)):
            raise ConfigError(f"{where}: {why}")
        if not raw.startswith("'"):
            # To bash an empty variable has no value either, where there is a default.
            filled = {name: text for name, text in {**found, **os.environ}.items() if text}
            value = "".join(atom.resolve(filled) for atom in parse_variables(value))
            if value.startswith("~/") and not raw.startswith('"'):
                value = os.path.expanduser(value)
        if binding.key in PROTECTIVE and raw.startswith(("$", '"$')) and not value.strip():
            raise ConfigError(f"{where}: {raw[:40]} is empty, so that {binding.key} protects nothing")
        found[binding.key] = value
    return found


def _read_otherwise(raw: str) -> str:
    """Why bash would make another value of what was written than is made of it here; empty if it would not."""
    quoted = _QUOTED.match(raw)
    text = quoted["text"] if quoted else re.sub(r"\s#.*", "", raw)
    if quoted and not re.match(r"\s|$", quoted["rest"]):
        return "something follows the closing quote: put all of the value between the quotes"
    if raw.startswith("'"):
        return "a backslash before a quote or another one is read in two ways" if re.search(r"\\['\\]", raw) else ""
    # Not told as it stands there: it may be a part of a password.
    if _EXPANDED.search(re.sub(r"\$\{[A-Za-z_]\w*(:-[^}$\\]*)?\}", "", text)):
        return "of variables no more than ${NAME} and ${NAME:-default} are known here; a $ stays one in single quotes"
    if re.search(r"\\[$`'abfnrtv]" if quoted else r"\\", text):
        return "a backslash: put the value in single quotes"
    return ""


def _advice(written: str) -> str:
    if re.match(r"setenv\s", written):
        return "this is csh's setenv: write NAME=value"
    if re.match(r"(?i)(set|\$env:\S*)\s", written):
        return "not a line of this file: write NAME=value"
    return "not NAME=value: a name, =, and the value, in quotes if it has blanks or #"


def check_name(name: str, where: str) -> None:
    """Raise ConfigError for a variable that is nearly one of those that protect entries, and is not."""
    if name in PROTECTIVE:
        return
    if near := difflib.get_close_matches(name.upper(), PROTECTIVE, n=1, cutoff=0.85):
        raise ConfigError(f"{where}: there is no setting {name}; is {near[0]} meant? It protects nothing so")


def check_values(environ: Mapping[str, str], known: Iterable[str]) -> None:
    """Raise ConfigError for values in quotes, which docker's --env-file leaves there, and for lost protection."""
    for name in known:
        value = environ.get(name, "").strip()
        quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
        if name not in _PASSWORDS and (quoted or (name in PROTECTIVE and value[:1] in ('"', "'"))):
            raise ConfigError(f"{name} is in quotes: docker's --env-file takes them for part of the value; remove them")
        if inner := _PROTECTION.search(value):
            raise ConfigError(f"{inner[0]!r} within the value of {name} protects nothing: one variable a line")
    for name in environ:
        if name.upper().startswith("KEEP"):
            check_name(name, "the environment")
