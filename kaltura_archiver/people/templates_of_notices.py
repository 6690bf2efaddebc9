"""The texts of notices. Templates are string.Template: nothing to install, no code in one, one function escapes."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from importlib import resources
from pathlib import Path
from string import Template
from typing import NamedTuple

from kaltura_archiver.errors import ConfigError
from kaltura_archiver.model import Announced
from kaltura_archiver.people.notices import Notice, NoticedEntry, clean

_OF_MESSAGES = frozenset({
    "name", "unit", "count", "date", "contact", "videos", "day", "reminder", "how_to_keep", "signature", "whose",
    "changed", "what_happens", "nothing_lost", "your_videos",
})  # fmt: skip
_OF_ENTRIES = frozenset({"entry_id", "title", "link", "keep_link", "created", "last_played", "plays", "owner"})
# Whole sentences: paragraphs of their own in plain text.
_WRAPPED = ("how_to_keep", "what_happens", "nothing_lost")
_TEMPLATES = {
    "subject.txt": _OF_MESSAGES,
    "message.txt": _OF_MESSAGES | {"entries"},
    "message.html": _OF_MESSAGES | {"entries"},
    "entry.txt": _OF_ENTRIES | {"to_watch", "to_keep"},
    "entry.html": _OF_ENTRIES | {"linked_title", "linked_keep"},
}
# Of what was replaced, where no play of the placeholder brings it back.
_ASK_US = "Nothing is lost. Whoever needs a video answers this message, and it is back within two days."
_STAY = "Links, captions and statistics stay as they are."


class _Told(NamedTuple):
    """How a message says what becomes of videos: in its subject, from its day on, and why nothing is lost."""

    changed: str
    what_happens: str
    nothing_lost: str


_TOLD_OF = {
    Announced.REPLACE: _Told(
        "archived",
        "their originals are kept in our archive, and a short placeholder video is shown in their place.",
        "Nothing is lost. Whoever plays the placeholder asks for the video, and it is back within two days.",
    ),
    Announced.THIN: _Told(
        "made smaller",
        "they are played from one smaller version, and their originals are kept in our archive.",
        "Nothing is lost. The videos can be played as before, and who needs an original can have it back.",
    ),
    Announced.FLAVORS: _Told(
        "kept in one size",
        "their originals and one version of them are kept, and the further versions in other sizes are deleted.",
        "Nothing is lost. The videos can be played as before, and the sizes can be made again.",
    ),
}
# What there is of each: to owners, to who is asked in their place, of what was asked back and of what is back.
_KINDS = ("", "fallback_", "asked_", "back_")
_OF_ASKED = frozenset({"asked", "expected"})
_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip


def day_in_words(day: date) -> str:
    """`25 December 2026`."""
    return f"{day.day} {_MONTHS[day.month - 1]} {day.year}"


@dataclass(frozen=True)
class Wording:
    """What all messages of a run have in common. `link` and `keep_link` lead to an entry, with {entry_id} in them, or
    are empty; `signature` are the lines of the unit that writes. `by_play`: who plays a placeholder gets the video."""

    contact: str
    link: str = ""
    keep_link: str = ""
    signature: str = ""
    reminder: bool = False
    of: Announced = Announced.REPLACE
    by_play: bool = True

    def how_to_keep(self, day: str) -> str:
        """`To keep a video as it is, play it once before 25 December 2026, …`, with the ways that there are."""
        asking = "open the link to keep it" if self.keep_link else 'add the tag "keep" to it'
        return f"To keep a video as it is, play it once before {day}, {asking}, or answer this message."


class Templates:
    """The templates of a folder; of those that it does not have, the built-in ones. Raises ConfigError."""

    def __init__(self, folder: Path | None) -> None:
        if folder is not None and not folder.is_dir():
            raise ConfigError(f"--templates {folder}: no such folder")
        built_in = resources.files("kaltura_archiver.people") / "templates"
        self._templates: dict[str, Template] = {}
        names = [f"{kind}{name}" for kind in _KINDS for name in _TEMPLATES]
        for path in folder.iterdir() if folder else ():
            if path.suffix in (".txt", ".html") and path.name not in names:
                raise ConfigError(f"{path}: there is no such template; there are {', '.join(names)}")
        for name in names:
            own = folder / name if folder else None
            source = own if own and own.exists() else built_in / name
            try:
                template = Template(source.read_text(encoding="utf-8"))
            except (OSError, UnicodeDecodeError) as error:
                raise ConfigError(f"cannot read the template {source}: {error}") from error
            of_kind = next((kind for kind in _KINDS[1:] if name.startswith(kind)), "")
            known = _TEMPLATES[name.removeprefix(of_kind)]
            known |= _OF_ASKED if of_kind == "asked_" and "entry" in name else frozenset()
            if not template.is_valid():
                raise ConfigError(f"{source}: a $ that begins no name is written $$")
            if unknown := set(template.get_identifiers()) - known:
                raise ConfigError(f"{source}: there is no ${min(unknown)}; there are ${', $'.join(sorted(known))}")
            self._templates[name] = template

    def write(self, notice: Notice, *, replaced_on: date, wording: Wording) -> tuple[str, str, str]:
        """Subject, plain text and HTML."""
        kind = "fallback_" if notice.fallback else f"{notice.desk}_" if notice.desk else ""
        number = len(notice.items)
        told_of = _TOLD_OF[wording.of]
        if wording.of is Announced.REPLACE and not wording.by_play:
            told_of = told_of._replace(nothing_lost=_ASK_US)
        day = day_in_words(replaced_on)
        videos = "video" if number == 1 else f"{number} videos"
        of_others = notice.co_editor or notice.of_others
        values = {
            "name": notice.name,
            "unit": notice.unit,
            "count": str(number),
            "videos": videos,
            "your_videos": f"Your {videos}" if not of_others else "A video" if number == 1 else videos,
            "date": replaced_on.isoformat(),
            "day": day,
            "contact": wording.contact,
            "reminder": "Reminder: " if wording.reminder else "",
            "how_to_keep": wording.how_to_keep(day),
            "signature": wording.signature,
            "changed": told_of.changed,
            "what_happens": f"From {day} on, {told_of.what_happens}",
            "nothing_lost": f"{told_of.nothing_lost} {_STAY}",
            "whose": ", which others own and you may edit," if notice.co_editor else " are yours, and",
        }

        def entries(name: str, escape: Callable[[str], str]) -> str:
            return "\n".join(self._entry(kind + name, item, wording, escape) for item in notice.items.values())

        wrapped = values | {name: textwrap.fill(values[name], 72) for name in _WRAPPED}
        text = self._fill(f"{kind}message.txt", wrapped, str, entries=entries("entry.txt", str))
        page = self._fill(f"{kind}message.html", values, html.escape, entries=entries("entry.html", html.escape))
        return clean(self._fill(f"{kind}subject.txt", values, str)), text, page

    def _entry(self, template: str, item: NoticedEntry, wording: Wording, escape: Callable[[str], str]) -> str:
        values = {name: getattr(item, name) for name in (_OF_ENTRIES | _OF_ASKED) - {"link", "keep_link"}}
        link, keep = (text.replace("{entry_id}", item.entry_id) for text in (wording.link, wording.keep_link))
        values |= {
            "link": link, "keep_link": keep, "to_watch": f"to watch: {link}" if link else "",
            "to_keep": f"to keep:  {keep}" if keep else "",
        }  # fmt: skip
        title = escape(item.title)
        made = {
            "linked_title": f'<a href="{escape(link)}">{title}</a>' if link else title,
            "linked_keep": f'<br><a href="{escape(keep)}">Keep this video</a>' if keep else "",
        }
        text = self._fill(template, values, escape, **made)
        return "\n".join(line.rstrip() for line in text.splitlines() if line.strip())

    def _fill(self, template: str, values: Mapping[str, str], escape: Callable[[str], str], **made: str) -> str:
        """The template with every value escaped; `made` are parts that are so already."""
        return self._templates[template].substitute({name: escape(value) for name, value in values.items()}, **made)
