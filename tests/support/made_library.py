"""A library of many entries in the sandbox, with years of run log, for the report; sizes are those of real lectures."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from kaltura_archiver.model import ARCHIVED_TAG, REPLACED_TAG
from kaltura_archiver.sandbox.world import Sandbox

DAY = 86400
YEAR = 365 * DAY
_COURSES = (
    "Organic chemistry", "Linear algebra", "History of art", "Microeconomics", "Thermodynamics", "Latin literature",
    "Machine learning", "Constitutional law", "Music theory", "Neuroscience", "Fluid dynamics", "Anthropology",
    "Statistics", "Comparative politics", "Operating systems", "Philosophy of mind", "Geology field course", "Genetics",
)  # fmt: skip
_UNITS = (
    "Chemistry", "Mathematics", "Art and Archaeology", "Economics", "Mechanical Engineering", "Classics",
    "Computer Science", "Law and Public Affairs", "Music", "Psychology", "Physics", "Anthropology", "Library",
    "Media Services", "Molecular Biology",
)  # fmt: skip
_NAMES = (
    "Ada", "Ben", "Chloe", "Dana", "Eli", "Femi", "Grace", "Hugo", "Iris", "Jonas", "Kira", "Liam", "Mina", "Noor",
    "Otto", "Priya", "Quinn", "Rosa", "Sven", "Tara",
)  # fmt: skip
_SURNAMES = (
    "Abel", "Brandt", "Costa", "Diaz", "Evans", "Fischer", "Gupta", "Haddad", "Ito", "Jansen", "Kim", "Lopez", "Meyer",
    "Novak", "Okafor", "Petrov",
)  # fmt: skip


@dataclass
class Library:
    """What was made: the enriched table of owners, and how many entries are in which state."""

    enriched: str = ""
    states: dict[str, int] = field(default_factory=lambda: defaultdict(int))


def fill(sandbox: Sandbox, entries: int, *, now: int, seed: int = 1) -> Library:
    """Add so many entries, archived and replaced by and by over the last two and a half years, and the log of it."""
    chance = random.Random(seed)
    people = [
        (f"{name[0]}{surname}{n:03}".lower(), f"{name} {surname}", chance.choice(_UNITS), chance.random() < 0.85)
        for n, (name, surname) in enumerate((n, s) for n in _NAMES for s in _SURNAMES)
    ]
    chance.shuffle(people)
    people = people[: max(12, entries // 80)]
    weights = [1 / (rank + 3) for rank in range(len(people))]
    library = Library()
    categories = {course: 1000 + number for number, course in enumerate(_COURSES)}
    for course, number in categories.items():
        sandbox.kaltura.add_category(number, course)
    log = _Log()
    began = now - int(2.5 * YEAR)
    for _ in range(entries):
        uid = chance.choices(people, weights)[0][0]
        created = now - int(chance.betavariate(1.2, 1.5) * 11 * YEAR) - 3600
        plays = int(chance.paretovariate(0.7)) - 1
        played = created + int(chance.betavariate(1, 4) * (now - created)) if plays else None
        size = int(chance.lognormvariate(20.6, 0.8))
        course = chance.choice(_COURSES)
        fields: dict[str, Any] = {
            "name": f"{course}, lecture {chance.randint(1, 26)}", "creator_id": uid, "plays": plays,
            "last_played_at": played, "created_at": created, "categories": [categories[course]],
        }  # fmt: skip
        state = "initial"
        unplayed = now - (played or created)
        if unplayed > 2 * YEAR and created < now - 3.2 * YEAR and chance.random() < 0.8:
            state = "archived" if chance.random() < 0.12 else "placeholder"
        if created < now - 3.2 * YEAR and chance.random() < 0.004:
            state = chance.choice(["lost", "unbacked", "untagged", "unsettled", "diverged", "no-original"])
        _add(sandbox, state, size, fields, began, now, chance, log, library)
        library.states[state] += 1
    log.put(sandbox)
    lines = ["creator_id\tldap_status\tname\torg_unit"]
    lines += [
        f"{uid}\t{'active' if here else 'inactive'}\t{name if here else ''}\t{unit if here else ''}"
        for uid, name, unit, here in people
    ]
    library.enriched = "\n".join(lines) + "\n"
    return library


def _add(
    sandbox: Sandbox, state: str, size: int, fields: dict[str, Any], began: int, now: int, chance: random.Random,
    log: _Log, library: Library,
) -> None:  # fmt: skip
    copied = int(chance.uniform(max(began, fields["created_at"] + 3 * YEAR), now - 40 * DAY))
    replaced = copied + int(chance.uniform(2, 30) * DAY)
    has_copy = state not in ("initial", "lost", "unbacked")
    tags = {"placeholder": f"{ARCHIVED_TAG}, {REPLACED_TAG}", "initial": "", "untagged": ""}.get(state, ARCHIVED_TAG)
    if state in ("lost", "unsettled"):
        tags = f"{ARCHIVED_TAG}, {REPLACED_TAG}"
    restored = state == "placeholder" and replaced < now - 10 * DAY and chance.random() < 0.03
    asked = 0
    if restored:
        asked = int(chance.uniform(replaced + DAY, now - 3 * DAY))
        fields |= {"last_played_at": asked, "plays": fields["plays"] + 1}
        tags = ARCHIVED_TAG
    shown = state in ("placeholder", "lost") and not restored
    content: dict[str, Any] = {"content": sandbox.placeholder} if shown else {"content_bytes": size}
    if state == "no-original":
        fields["status"] = "7"
    entry = sandbox.kaltura.add_entry(tags=tags, **content, **fields)
    if not has_copy:
        return
    frozen = "DEEP_ARCHIVE" if chance.random() < 0.8 else "GLACIER"
    listed = size if state != "diverged" else size + 1000
    sandbox.s3.put(entry.id, b"x", storage_class=frozen, tags={"sha256": "ab" * 32}, listed_bytes=listed)
    log.add("s3copy", copied, entry.id, "initial", "done", fields["last_played_at"], size)
    if state in ("placeholder", "unsettled"):
        log.add("replace_video", replaced, entry.id, "archived", "done", fields["last_played_at"], size)
    if restored:
        seen = asked + int(chance.uniform(0.2, 5) * 3600)
        back = seen + int(chance.lognormvariate(2.2, 0.5) * 3600)
        log.add("restore", seen, entry.id, "placeholder", "waiting", asked, 0)
        log.add("restore", min(back, now - 60), entry.id, "placeholder", "done", asked, size)
    if chance.random() < 0.7:
        log.add("verify", int(chance.uniform(copied, now)), entry.id, "archived", "done", None, size)


class _Log:
    """Lines of the run log by day and command."""

    def __init__(self) -> None:
        self._runs: defaultdict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)

    def add(
        self, command: str, at: int, entry: str, state: str, outcome: str, played: int | None, moved: int
    ) -> None:  # fmt: skip
        when = datetime.fromtimestamp(at, UTC)
        # One run a week, as most sites do.
        week = f"{when.isocalendar().year}{when.isocalendar().week:02}"
        self._runs[week, command].append(
            {"kind": "entry", "command": command, "entry": entry, "outcome": outcome, "state": state,
             "at": when.strftime("%Y-%m-%dT%H:%M:%SZ"),
             "bytes_moved": moved, "bytes_freed": 0, "last_played_at": played}
        )  # fmt: skip

    def put(self, sandbox: Sandbox) -> None:
        for number, ((_, command), lines) in enumerate(sorted(self._runs.items())):
            lines.sort(key=lambda line: line["at"])
            run, started = f"{number:08x}", lines[0]["at"]
            head = {
                "kind": "run", "run": run, "command": command, "started": started, "ended": lines[-1]["at"],
                "seconds": 1.0, "outcomes": {"done": len(lines)}, "bytes_moved": 0, "bytes_freed": 0, "exit": 0,
                "filter": "", "version": "2.0.0", "kaltura_calls": 1, "s3_calls": 1, "retries": 0,
            }  # fmt: skip
            stamp = started.replace("-", "").replace(":", "")
            key = f"log/runs/{stamp[:4]}/{stamp[4:6]}/{stamp}-{command}-{run}.jsonl"
            text = "".join(json.dumps(line | {"run": run}) + "\n" for line in [head, *lines])
            sandbox.s3.put(key, text.encode())
