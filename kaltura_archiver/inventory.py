"""What a listing of the bucket tells of its objects, kept compactly: a million of them take some 25 MB."""

from __future__ import annotations

import re
from array import array
from bisect import bisect_right
from collections.abc import Sequence

from kaltura_archiver.model import SUSPECT_PREFIX, Availability, StoredObject

_KEY = re.compile(r"[A-Za-z0-9_]{1,64}")
_DIGITS = re.compile(r"[01]_([0-9a-z]{3})")


class Inventory:
    """The stored copies of a bucket, from pages of a listing. `suspects` are ids whose tags have to be looked at."""

    def __init__(self) -> None:
        self.suspects: set[str] = set()
        self.pages = 0
        self.keys = 0
        self._last = ""
        self._prefix, self._prefix_pages = "", 0
        self._firsts: list[str] = []
        self._names: list[bytes] = []
        self._sizes: list[array[int]] = []
        self._kinds: list[array[int]] = []
        self._kind_numbers: dict[tuple[str, Availability], int] = {}

    def add(self, page: Sequence[tuple[str, int, str, Availability]]) -> bool:
        """Take a page of (key, bytes, storage class, availability); False if it does not come after those before it."""
        self.pages += 1
        if not page:
            return True
        in_order = [self._last, *(key for key, *_ in page)]
        if in_order != sorted(in_order):
            return False
        self.keys += len(page)
        self._last = in_order[-1]
        prefix = self._last[:2]
        self._prefix, self._prefix_pages = prefix, self._prefix_pages + 1 if prefix == self._prefix else 1
        self.suspects |= {
            key.removeprefix(SUSPECT_PREFIX).partition("/")[0] for key in in_order if key.startswith(SUSPECT_PREFIX)
        }
        copies = [item for item in page if _KEY.fullmatch(item[0])]
        if copies:
            self._firsts.append(copies[0][0])
            self._names.append("\n".join(["", *(key for key, *_ in copies), ""]).encode())
            self._sizes.append(array("Q", [size for _, size, *_ in copies]))
            numbers = self._kind_numbers
            self._kinds.append(array("I", [numbers.setdefault((c, a), len(numbers)) for *_, c, a in copies]))
        return True

    def pages_left(self) -> float:
        """About how many pages are still to come, at least: the ids of one data centre are spread evenly."""
        digits = _DIGITS.match(self._last)
        if not digits:
            return 0
        done = (int(digits.group(1), 36) + 1) / 36**3
        return self._prefix_pages * (1 - done) / done

    def get(self, key: str) -> StoredObject | None:
        """The stored copy with this key, without its tags and metadata; None if the bucket has none."""
        at = bisect_right(self._firsts, key) - 1
        found = self._names[at].find(f"\n{key}\n".encode()) if at >= 0 else -1
        if found < 0:
            return None
        number = self._names[at].count(b"\n", 0, found)
        storage_class, availability = list(self._kind_numbers)[self._kinds[at][number]]
        return StoredObject(
            key, self._sizes[at][number], storage_class=storage_class, availability=availability, complete=False
        )
