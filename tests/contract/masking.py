"""What two recordings may differ in without meaning anything: ids, times, sessions, hosts, sizes of files."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

Json = Any

_ID = re.compile(r"(?<![A-Za-z0-9])[01]_[a-z0-9]{8}(?![a-z0-9])")
_TOKEN_ID = re.compile(r"(?<![A-Za-z0-9])[01]_[0-9a-f]{32}")
_HOST = re.compile(r"https?://[^/\s\"<]+")
_TIME = re.compile(r"(?<![\d.])1[5-9]\d{8}(?!\d)|(?<!\d)[23]\d{9}(?!\d)")

# Fields that depend on the installation, the account and the file, or differ everywhere (relatedObjects).
_OWN_FIELDS = frozenset(
    (
        *("relatedObjects", "downloadUrl", "dataUrl", "thumbnailUrl", "searchText", "conversionProfileId", "label"),
        *("conversionQuality", "flavorParamsIds", "width", "height", "duration", "msDuration", "bitrate", "frameRate"),
        *("Last-Modified", "Content-Disposition", "containerFormat", "videoCodecId"),
    )
)
# Probes whose answers are the installation's own: packed answers, format 1, response profiles, bytes of a page.
INSTALLED = frozenset({"A13", "A14", "E240", "E241", "E242", "E245"})
_OWN_WORDS = frozenset({"101", "201", "202", "203", "99"})  # account numbers


class Names:
    """What is known by name: each id, session or secret is shown as ``<name>``."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    def __getitem__(self, known: str) -> str:
        return self._names[known]

    def __setitem__(self, known: str, shown: str) -> None:
        self._names[known] = shown

    def __contains__(self, known: object) -> bool:
        return known in self._names

    def get(self, known: str, default: str = "") -> str:
        return self._names.get(known, default)

    def name(self, known: str, label: str) -> str:
        self._names[known] = f"<{label}>"
        return known

    def mask(self, text: str) -> str:
        for known in sorted((k for k in self._names if len(k) > 3), key=len, reverse=True):
            if known in text:
                text = text.replace(known, self._names[known])
        text = _HOST.sub("http://HOST", text)
        text = _ID.sub("<id>", text)
        text = _TOKEN_ID.sub("<token id>", text)
        return _TIME.sub("<time>", text)

    def masked(self, value: Json) -> Json:
        if isinstance(value, Mapping):
            return {self.mask(str(key)): self.masked(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.masked(item) for item in value]
        return self.mask(value) if isinstance(value, str) else value


def loosen(value: Json) -> Json:
    """An answer without what depends on the installation, the account and the file."""
    if isinstance(value, dict):
        return {key: loosen(item) for key, item in value.items() if key not in _OWN_FIELDS}
    if isinstance(value, list):
        return [loosen(item) for item in value if item != "relatedObjects"]
    if not isinstance(value, str):
        return value
    value = re.sub(r"\bder p\d+", "der", value)
    value = re.sub(r"/p/\d+/sp/\d+/", "/p/P/sp/P00/", value)
    value = re.sub(r" thumb \S+| dur \d*", "", value)
    value = re.sub(r"partner \[\d+\]", "partner [P]", value)
    value = re.sub(r"^\d+_<time>$", "P_<time>", value)
    return "P" if value in _OWN_WORDS else value


def without_sizes(value: Json, size: int) -> Json:
    """An answer in which the numbers that follow from a file's size are named."""
    parts = {size: "N", size - 1: "N-1", size // 2: "N/2", size - size // 2: "N-N/2", size - 10: "N-10"}
    named = {str(number): name for number, name in {**parts, size // 4: "N/4"}.items() if number >= 1000}

    def replaced(part: Json) -> Json:
        if isinstance(part, dict):
            return {key: replaced(item) for key, item in part.items()}
        if isinstance(part, list):
            return [replaced(item) for item in part]
        if isinstance(part, int) and not isinstance(part, bool):
            return named.get(str(part), part)
        if isinstance(part, str):
            return re.sub(r"(?<!\d)\d+(?!\d)", lambda found: named.get(found.group(), found.group()), part)
        return part

    return replaced(value)


def differing_lines(wanted: Json, got: Json, path: str = "") -> Iterator[str]:
    """Where two answers differ, one line each, short."""
    if wanted == got:
        return
    if isinstance(wanted, dict) and isinstance(got, dict):
        if set(wanted) == set(got) and list(wanted) != list(got):
            yield f"{path or 'answer'}: the order of its fields"
        for key in dict.fromkeys([*wanted, *got]):
            yield from differing_lines(wanted.get(key, "<absent>"), got.get(key, "<absent>"), f"{path}.{key}")
    elif isinstance(wanted, list) and isinstance(got, list) and len(wanted) == len(got):
        for number, (one, other) in enumerate(zip(wanted, got, strict=True)):
            yield from differing_lines(one, other, f"{path}[{number}]")
    else:
        shown = (json.dumps(value, ensure_ascii=False)[:300] for value in (wanted, got))
        yield f"{path or 'answer'}: {' here '.join(shown)}".strip()


def differing(wanted: Mapping[str, Json], got: Mapping[str, Json], prefixes: Iterable[str] = ()) -> list[str]:
    """The probes of both recordings whose answers differ, less what is the installation's."""
    chosen = tuple(prefixes)
    return [
        number
        for number in sorted(set(wanted) & set(got))
        if number not in INSTALLED
        and (not chosen or number.startswith(chosen))
        and loosen(wanted[number]["answer"]) != loosen(got[number]["answer"])
    ]
