"""What may be given for a criterion, as text: ages, times, sizes, categories, tags, shares. Pure.

Each raises SelectionError, in words for who wrote it.
"""

from __future__ import annotations

import json
import math
import re
from datetime import UTC, date, datetime, time
from typing import Any

from kaltura_archiver.errors import SelectionError
from kaltura_archiver.filters import YEAR_SECONDS

MAX_TAG_BYTES = 100  # Kaltura cuts longer ones (kaltura-api 6)
MAX_PAGE_SIZE = 500  # of a search (kaltura-api 3.4)
ENTRY_ID = re.compile(r"[A-Za-z0-9_]{1,64}")
# Of a stored copy that is not its entry's first, see VERSION_MARK.
VERSION_KEY = re.compile(r"[A-Za-z0-9_]{1,64}@[A-Za-z0-9_]+@[A-Za-z0-9_.]+")
AGES = "years (3, 2.5), months (18mo), days (400d), or a day that is over (2024-08-31)"
MAX_BYTES = 10**15
_DAY_SECONDS = 86400
_UNITS_OF_TIME = {"": 1, "s": 1, "m": 60, "h": 3600, "d": _DAY_SECONDS}


def as_written(value: Any) -> str:
    """A value of a TOML file (or of JSON) as it is written there: `true`, `["a"]`, `{ a = 1 }`; a text alone in '…'."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(json.dumps(i) if isinstance(i, str) else as_written(i) for i in value)}]"
    if isinstance(value, dict):
        items = (f"{key} = {as_written([item])[1:-1]}" for key, item in value.items())
        return f"{{ {', '.join(items)} }}"
    return str(value) if isinstance(value, date | time) else repr(value)


def age_seconds(text: str, now: float) -> float:
    """How long before `now`: years of 365.25 days, `18mo`, `400d`, or since `2024-08-31`, 0:00 UTC."""
    seconds = _age_seconds(text, now)
    if not 0 <= seconds <= 1000 * YEAR_SECONDS:  # also refuses nan
        raise SelectionError(f"{text!r} is not an age: {AGES}")
    return seconds


def _age_seconds(text: str, now: float) -> float:
    """NaN where it is none."""
    try:
        if match := re.fullmatch(r"(\d+)(mo|d)", text):
            return int(match.group(1)) * (YEAR_SECONDS / 12 if match.group(2) == "mo" else _DAY_SECONDS)
        if re.fullmatch(r"\d{4}-\d\d-\d\d", text):
            return now - datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
        return float(text) * YEAR_SECONDS
    except ValueError:
        return math.nan


def age_years(text: str, now: float) -> float:
    return age_seconds(text, now) / YEAR_SECONDS


def seconds_of(text: str) -> float:
    """Of `90s`, `30m`, `2h`, `1d`; a bare number is seconds."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", text)
    if not match:
        raise SelectionError(f"{text!r} is not a duration such as 90s, 30m or 2h")
    return float(match.group(1)) * _UNITS_OF_TIME[match.group(2)]


def bytes_of(text: str) -> int:
    """Of `500M`, `1.5G`, `2GiB`: k, M, G, T are powers of 1000, KiB, MiB, GiB, TiB of 1024; a bare number is bytes."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?([kmgt]?)(i?)b?", text, re.IGNORECASE)
    if match and not (match[3] and not match[2]):
        size = float(match[1]) * (1024 if match[3] else 1000) ** " kmgt".index(match[2].lower() or " ")
        if 1 <= size < MAX_BYTES:
            return int(size)
    raise SelectionError(f"{text!r} is not a size: bytes, or 500M, 1.5G (thousands), 2GiB (1,024s)")


def in_utf8(text: str) -> str:
    """The text, unless it has bytes of another encoding in it, as of a script in Latin-1: Kaltura has nothing of it."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise SelectionError(f"{text[:120]!r} is not UTF-8: is the script, or the file, in Latin-1?") from None
    return text


def category_of(text: str) -> int | str:
    """A category's number, or its name or full name."""
    name = in_utf8(text).strip()
    if not re.fullmatch(r"[+-]?\d*(\.\d+)?", name):
        return name
    if not name.isdecimal() or not name.isascii() or int(name) < 1:
        raise SelectionError(f"{text!r} is neither the number of a category nor a name")
    return int(name)


def parse_tag(text: str) -> str:
    tag = in_utf8(text).strip().lower()
    if not 2 <= len(tag.encode()) <= MAX_TAG_BYTES or "," in tag:
        raise SelectionError(
            f"{text[:120]!r} cannot be a tag of Kaltura's: two to {MAX_TAG_BYTES} bytes, no comma (repeat --tag for "
            "several)"
        )
    return tag


def read_field(text: str) -> tuple[str, str]:
    """A field of custom metadata and its value, of `FIELD=VALUE`."""
    field, equals, value = (part.strip() for part in in_utf8(text).partition("="))
    if not equals or not value or not re.fullmatch(r"[^\W\d][\w.-]*", field):
        raise SelectionError(f"--metadata: {text[:120]!r} is not a field and its value, FIELD=VALUE")
    return field, value


def parse_shard(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
    index, count = (int(number) for number in match.groups()) if match else (0, 0)
    if not index < count:
        raise SelectionError(f"--shard: {text!r} is not a share such as 0/4, 1/4, 2/4 or 3/4")
    return index, count
