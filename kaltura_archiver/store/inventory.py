"""What a listing of the bucket tells of its objects, kept compactly: a million of them take some 25 MB."""

from __future__ import annotations

import re
from array import array
from bisect import bisect_right
from collections.abc import Sequence

from kaltura_archiver.model import PLACEHOLDER_PREFIX, SUSPECT_PREFIX, Availability, StoredObject, entry_of_key

_KEY = re.compile(r"[A-Za-z0-9_]{1,64}")
_DIGITS = re.compile(r"[01]_([0-9a-z]{3})")


class Inventory:
    """The stored copies of a bucket, from pages of a listing, with the marks of placeholders that are beside them.

    `suspects` are ids whose tags have to be looked at.
    """

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
        self._first_marks: list[str] = []
        self._marks: list[bytes] = []
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
        marks = [key for key in in_order[1:] if key.startswith(PLACEHOLDER_PREFIX)]
        if marks:
            self._first_marks.append(marks[0])
            self._marks.append("\n".join(["", *marks, ""]).encode())
        self.suspects |= {
            entry_of_key(key.removeprefix(SUSPECT_PREFIX)) for key in in_order if key.startswith(SUSPECT_PREFIX)
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
            key, self._sizes[at][number], storage_class=storage_class, availability=availability, complete=False,
            tags=self._marked(key),
        )  # fmt: skip

    def _marked(self, key: str) -> dict[str, str]:
        """The tag `placeholder` of a stored copy as far as marks tell it: of several the newest one, without a hash."""
        start = f"\n{PLACEHOLDER_PREFIX}{key}/".encode()
        at = max(0, bisect_right(self._first_marks, start[1:].decode()) - 1)
        found: list[str] = []
        for text in self._marks[at : at + 2]:  # they may go on on the next page
            begin = text.find(start)
            while begin >= 0:
                end = text.index(b"\n", begin + 1)
                found.append(text[begin + len(start) : end].decode())
                begin = text.find(start, end)
        if not found:
            return {}
        content_id, _, size = max(found, key=_version_of).partition("/")
        return {"placeholder": f"{content_id} - {size}"}


def _version_of(mark: str) -> int:
    version = mark.partition("/")[0].partition("@")[2]
    return int(version) if version.isdecimal() else 0
