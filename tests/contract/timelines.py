"""What is seen of an entry by looking ten times a second."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from asking import Api, err, flavor_rows
from sites import Site

Until = Callable[[Any, Any], bool]


def at_rest(entry: Any, rows: Any) -> bool:
    return entry.get("status") in ("2", "-1", "-2", "7") and entry.get("replacementStatus") in ("0", "4", "2")


def never(entry: Any, rows: Any) -> bool:
    return False


def timeline(s: Site, entry: str, seconds: float = 40, until: Until = at_rest, *, temp: bool = False) -> list[Any]:
    """The states in the order in which they were seen, until `until` held three times and no flavor is at work.

    With `temp` the temporary entry of a replacement is looked at, too. At most so many seconds.
    """
    seen: list[Any] = []
    end, settled = s.now() + seconds * s.patience, 0
    while s.now() < end:
        state, now, rows = _look(s.api, entry, temp=temp)
        if not seen or seen[-1] != state:
            seen.append(state)
        settled = settled + 1 if until(now, rows) else 0
        if settled >= 3 and not any("st1" in row or "st0" in row for row in rows if isinstance(rows, list)):
            break
        s.sleep(s.look_seconds)
    return seen


def _look(api: Api, entry: str, *, temp: bool) -> tuple[Any, Any, Any]:
    now, rows = api.get(entry), flavor_rows(api, entry)
    if "error" in now:
        return err(now), now, rows
    under_way = "T" if now["replacingEntryId"] else "-"
    thumbnail = re.search(r"version/(\d+)", now.get("thumbnailUrl", ""))
    text = f"entry {now['status']} repl {now['replacementStatus']} replacing {under_way}"
    text += f" thumb {thumbnail.group(1) if thumbnail else '-'} dur {now['duration']}"
    state = {"entry": text, "flavors": rows}
    if temp and now["replacingEntryId"]:
        other = api.get(now["replacingEntryId"])
        state["temp"] = f"{other.get('status', err(other))} disp {other.get('displayInSearch')}"
    return state, now, rows
