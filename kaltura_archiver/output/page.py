"""Pages: one HTML file that needs nothing else and asks nobody.

What comes from Kaltura is hostile: Jinja2 escapes it in HTML, `tojson` in the embedded JSON. The page's policy lets
only its own style and script run, by their hashes, and nothing be loaded.
"""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from kaltura_archiver.model import last_played_words

ASSETS = Path(__file__).with_name("assets")
_POLICY = "default-src 'none'; base-uri 'none'; form-action 'none'"


def environment(folder: Path) -> Environment:
    """For the templates of a folder, each of which extends `page.html`. `7 | videos` is `7 videos`, and
    `day | last_played(plays)` what `last_played_words` makes of these."""
    made = Environment(loader=FileSystemLoader([folder, ASSETS]), autoescape=True, undefined=StrictUndefined)
    made.filters["videos"] = lambda number: "1 video" if number == 1 else f"{number:,} videos"
    made.filters["last_played"] = last_played_words
    return made


def rendered(folder: Path, name: str, templates: Environment, *, style_of: str = "", **values: Any) -> str:
    """The page `name`.html of the folder, with its style (after the one of all pages), or that of another page, and
    its script, if it has one."""
    styles = (ASSETS / "page.css", folder / f"{style_of or name}.css")
    common, own = (file.read_text(encoding="utf-8") for file in styles)
    moves = folder / f"{name}.js"
    script = moves.read_text(encoding="utf-8") if moves.exists() else ""
    css = common + own
    return templates.get_template(f"{name}.html").render(
        policy=f"{_POLICY}; style-src {_hash(css)}; script-src {_hash(script)}",
        css=Markup(css),  # noqa: S704 - our own file
        script=Markup(script),  # noqa: S704 - our own file
        **values,
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
