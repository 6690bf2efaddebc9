"""What may be given for an option: `asking/words.py` reads it, click says what is wrong."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from typing import Any, TypeVar

import click

from kaltura_archiver.asking.words import MAX_PAGE_SIZE, age_seconds, bytes_of, category_of, seconds_of
from kaltura_archiver.errors import SelectionError
from kaltura_archiver.filters import YEAR_SECONDS

T = TypeVar("T")
log = logging.getLogger(__name__)
STORAGE_CLASSES = (
    "STANDARD", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER_IR", "GLACIER", "DEEP_ARCHIVE",
)  # fmt: skip
# Shells complete it. What cannot be read is said by those who read it, with what it was wanted for.
PATH = click.Path(readable=False)

# Kaltura began in 2006: who says more mostly means days.
_LONG_YEARS = 20


class _Typed(click.ParamType[T]):
    """One that a function reads which raises SelectionError; a value that is no text is a default, and stands."""

    read: Callable[[str], T]

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> T:
        if not isinstance(value, str):
            return value  # type: ignore[no-any-return]
        try:
            return type(self).read(value)
        except SelectionError as error:
            self.fail(str(error), param, ctx)


class Age(_Typed[float]):
    """How long ago, in years of 365.25 days, or in seconds."""

    name = "age"

    def __init__(self, *, in_seconds: bool = False) -> None:
        self._unit = 1.0 if in_seconds else YEAR_SECONDS

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        seconds = super().convert(str(value), param, ctx)
        if seconds > _LONG_YEARS * YEAR_SECONDS and str(value).isdecimal():
            log.warning("%s are years, in which nothing may be so old: %s days are %sd", value, value, value)
        return seconds / self._unit

    @staticmethod
    def read(text: str) -> float:
        return age_seconds(text, time.time())


class CategoryName(_Typed[int | str]):
    name = "category"
    read = staticmethod(category_of)


class Duration(_Typed[float]):
    """In seconds."""

    name = "duration"
    read = staticmethod(seconds_of)


class Size(_Typed[int]):
    """In bytes."""

    name = "size"
    read = staticmethod(bytes_of)


class Amount(click.ParamType[float]):
    """An amount of money."""

    name = "amount"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if not re.fullmatch(r"\d{1,9}(\.\d+)?", str(value)):
            self.fail(f"{value!r} is not an amount such as 20 or 12.50", param, ctx)
        return float(value)


class Days(_Typed[float]):
    """A number of days, as seconds; the unit has to be said, for a bare number would mean seconds elsewhere."""

    name = "days"

    @staticmethod
    def read(text: str) -> float:
        if not re.fullmatch(r"[1-9]\d{0,3}d", text):
            raise SelectionError(f"{text!r} is not a number of days such as 30d")
        return seconds_of(text)


def bounded_page_size(ctx: click.Context, param: click.Parameter, value: int) -> int:
    if value > MAX_PAGE_SIZE:
        log.warning("--page-size %d: Kaltura gives %d at most; that many are asked for", value, MAX_PAGE_SIZE)
    return min(value or MAX_PAGE_SIZE, MAX_PAGE_SIZE)
