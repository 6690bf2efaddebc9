"""What may be given for an option: times, ids, tags, shares."""

from __future__ import annotations

import logging
import math
import re
import time
from datetime import UTC, datetime
from typing import Any

import click

from kaltura_archiver.errors import SelectionError
from kaltura_archiver.filters import YEAR_SECONDS
from kaltura_archiver.steps import DAY_SECONDS

log = logging.getLogger(__name__)
STORAGE_CLASSES = (
    "STANDARD", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER_IR", "GLACIER", "DEEP_ARCHIVE",
)  # fmt: skip
MAX_TAG_BYTES = 100  # Kaltura cuts longer ones (kaltura-api 6)
MAX_PAGE_SIZE = 500  # of a search (kaltura-api 3.4)
# Shells complete it. What cannot be read is said by those who read it, with what it was wanted for.
PATH = click.Path(readable=False)
ENTRY_ID = re.compile(r"[A-Za-z0-9_]{1,64}")
# Of a stored copy that is not its entry's first, see VERSION_MARK.
VERSION_KEY = re.compile(r"[A-Za-z0-9_]{1,64}@[A-Za-z0-9_]+@[A-Za-z0-9_.]+")


class Age(click.ParamType[float]):
    """How long ago: years, months (`18mo`), days (`400d`), or since when (`2024-08-31`, 0:00 UTC).

    The value is in years of 365.25 days, or in seconds.
    """

    name = "age"

    def __init__(self, *, in_seconds: bool = False) -> None:
        self._in_seconds = in_seconds

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        seconds = _age_seconds(str(value), time.time()) if isinstance(value, str) else float(value) * YEAR_SECONDS
        if not 0 <= seconds <= 1000 * YEAR_SECONDS:  # also refuses nan
            self.fail(f"{value!r} is not an age: {AGES}", param, ctx)
        return seconds if self._in_seconds else seconds / YEAR_SECONDS


AGES = "years (3, 2.5), months (18mo), days (400d), or a day that is over (2024-08-31)"


def _age_seconds(text: str, now: float) -> float:
    """NaN where it is none."""
    try:
        if match := re.fullmatch(r"(\d+)(mo|d)", text):
            return int(match.group(1)) * (YEAR_SECONDS / 12 if match.group(2) == "mo" else DAY_SECONDS)
        if re.fullmatch(r"\d{4}-\d\d-\d\d", text):
            return now - datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
        return float(text) * YEAR_SECONDS
    except ValueError:
        return math.nan


class CategoryName(click.ParamType[int | str]):
    """A category's number, or its name or full name."""

    name = "category"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        text = str(value).strip()
        if re.fullmatch(r"[+-]?\d*(\.\d+)?", text):
            if not text.isdecimal() or not text.isascii() or int(text) < 1:
                self.fail(f"{value!r} is neither the number of a category nor a name", param, ctx)
            return int(text)
        return text


class Duration(click.ParamType[float]):
    """Seconds, or a number with s, m, h or d."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", str(value))
        if not match:
            self.fail(f"{value!r} is not a duration such as 90s, 30m or 2h", param, ctx)
        return float(match.group(1)) * {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}[match.group(2)]


class Bytes(click.ParamType[int]):
    """A number of bytes, with k, M, G or T of 1024 each."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        match = re.fullmatch(r"(\d+(?:\.\d+)?)([kmgt]?)(?:i?b)?", str(value), re.IGNORECASE)
        if not match:
            self.fail(f"{value!r} is not a size such as 500M or 2G", param, ctx)
        return int(float(match[1]) * 1024 ** " kmgt".index(match[2].lower() or " "))


class Days(Duration):
    """A number of days, as seconds; the unit has to be said, for a bare number would mean seconds elsewhere."""

    name = "days"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if not re.fullmatch(r"[1-9]\d{0,3}d", str(value)):
            self.fail(f"{value!r} is not a number of days such as 30d", param, ctx)
        return super().convert(value, param, ctx)


class Size(click.ParamType[int]):
    """Bytes, or with a unit of thousands: `500M`, `1.5G`."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        match = re.fullmatch(r"(\d+(?:\.\d+)?)([kMGT]?)", str(value))
        size = float(match[1]) * 1000 ** " kMGT".index(match[2] or " ") if match else 0
        if not 1 <= size < 10**15:
            self.fail(f"{value!r} is not a size: bytes, or 500M, 1.5G", param, ctx)
        return int(size)


def bounded_page_size(ctx: click.Context, param: click.Parameter, value: int) -> int:
    if value > MAX_PAGE_SIZE:
        log.warning("--page-size %d: Kaltura gives %d at most; that many are asked for", value, MAX_PAGE_SIZE)
    return min(value or MAX_PAGE_SIZE, MAX_PAGE_SIZE)


def parse_tag(text: str) -> str:
    tag = text.strip().lower()
    if not 2 <= len(tag.encode()) <= MAX_TAG_BYTES or "," in tag:
        raise SelectionError(
            f"{text[:120]!r} cannot be a tag of Kaltura's: two to {MAX_TAG_BYTES} bytes, no comma (repeat --tag for "
            "several)"
        )
    return tag


def parse_shard(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
    index, count = (int(number) for number in match.groups()) if match else (0, 0)
    if not index < count:
        raise SelectionError(f"--shard: {text!r} is not a share such as 0/4, 1/4, 2/4 or 3/4")
    return index, count
