"""The texts of notices. Templates are string.Template: nothing to install, no code in one, one function escapes."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping
from datetime import date
from importlib import resources
from pathlib import Path
from string import Template

from kaltura_archiver.errors import ConfigError
from kaltura_archiver.people.notices import Notice, NoticedEntry, clean

_OF_MESSAGES = frozenset({"name", "unit", "count", "date", "contact"})
_OF_ENTRIES = frozenset({"entry_id", "title", "link", "created", "last_played", "plays", "owner"})
_TEMPLATES = {
    "subject.txt": _OF_MESSAGES,
    "message.txt": _OF_MESSAGES | {"entries"},
    "message.html": _OF_MESSAGES | {"entries"},
    "entry.txt": _OF_ENTRIES,
    "entry.html": _OF_ENTRIES | {"linked_title"},
}


class Templates:
    """The templates of a folder; of those that it does not have, the built-in ones. Raises ConfigError."""

    def __init__(self, folder: Path | None) -> None:
        if folder is not None and not folder.is_dir():
            raise ConfigError(f"--templates {folder}: no such folder")
        built_in = resources.files("kaltura_archiver.people") / "templates"
        self._templates: dict[str, Template] = {}
        names = [f"{kind}{name}" for kind in ("", "fallback_") for name in _TEMPLATES]
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
            known = _TEMPLATES[name.removeprefix("fallback_")]
            if not template.is_valid():
                raise ConfigError(f"{source}: a $ that begins no name is written $$")
            if unknown := set(template.get_identifiers()) - known:
                raise ConfigError(f"{source}: there is no ${min(unknown)}; there are ${', $'.join(sorted(known))}")
            self._templates[name] = template

    def write(self, notice: Notice, *, replaced_on: date, contact: str, link: str) -> tuple[str, str, str]:
        """Subject, plain text and HTML. `link` leads to an entry, with {entry_id} in it; or it is empty."""
        kind = "fallback_" if notice.fallback else ""
        values = {
            "name": notice.name,
            "unit": notice.unit,
            "count": str(len(notice.items)),
            "date": replaced_on.isoformat(),
            "contact": contact,
        }

        def entries(name: str, escape: Callable[[str], str]) -> str:
            return "\n".join(self._entry(kind + name, item, link, escape) for item in notice.items.values())

        text = self._fill(f"{kind}message.txt", values, str, entries=entries("entry.txt", str))
        page = self._fill(f"{kind}message.html", values, html.escape, entries=entries("entry.html", html.escape))
        return clean(self._fill(f"{kind}subject.txt", values, str)), text, page

    def _entry(self, template: str, item: NoticedEntry, link: str, escape: Callable[[str], str]) -> str:
        values = {name: getattr(item, name) for name in _OF_ENTRIES - {"link"}}
        values["link"] = link.replace("{entry_id}", item.entry_id)
        title = escape(item.title)
        linked = f'<a href="{escape(values["link"])}">{title}</a>' if link else title
        text = self._fill(template, values, escape, linked_title=linked)
        return "\n".join(line.rstrip() for line in text.splitlines() if line.strip())

    def _fill(self, template: str, values: Mapping[str, str], escape: Callable[[str], str], **made: str) -> str:
        """The template with every value escaped; `made` are parts that are so already."""
        return self._templates[template].substitute({name: escape(value) for name, value in values.items()}, **made)
