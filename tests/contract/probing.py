"""All probes in their order, for a site; each section by itself where one breaks off."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import probes_content
import probes_entries
import probes_files
import probes_search
import probes_sessions
import probes_swap
import probes_uploads
import probes_wire
from sites import NotAllowed, Site


class Section(NamedTuple):
    """Some probes: what they are about, and what a site must be brought to for them."""

    run: Callable[[Site], None]
    needs: frozenset[str] = frozenset()
    secret: bool = False


_WRITE = frozenset({"write"})
# Searches come first, as in the recording: later probes change what is found.
SECTIONS = (
    Section(probes_search.found, _WRITE),
    Section(probes_search.refused),
    Section(probes_wire.wire),
    Section(probes_wire.wire_of_own_entry, _WRITE),
    Section(probes_sessions.secrets_and_sessions, secret=True),
    Section(probes_sessions.sessions),
    Section(probes_sessions.app_tokens, _WRITE),
    Section(probes_sessions.other_users, _WRITE, secret=True),
    Section(probes_entries.tags, _WRITE),
    Section(probes_entries.ids),
    Section(probes_entries.ids_of_own_entry, _WRITE),
    Section(probes_entries.entries, _WRITE),
    Section(probes_files.flavor_lists),
    Section(probes_files.flavors, _WRITE),
    Section(probes_files.file_host),
    Section(probes_files.whole_files, _WRITE),
    Section(probes_wire.multirequests),
    Section(probes_uploads.uploads, _WRITE),
    Section(probes_content.content, _WRITE),
    Section(probes_swap.swaps, _WRITE),
    Section(probes_content.imports, _WRITE | {"serve"}),
    Section(probes_swap.settings, _WRITE | {"settings"}),
    Section(probes_content.deletions, _WRITE),
    Section(probes_swap.switch, _WRITE),
    Section(probes_search.categories, _WRITE),
)


def probe(s: Site, told: Callable[[str], object] = lambda text: None) -> None:
    """Ask everything that this site can be asked. A section that breaks off is told, and the next one is begun."""
    for section in SECTIONS:
        if not section.needs <= s.can or (section.secret and not s.api.secret):
            continue
        told(section.run.__name__.replace("_", " "))
        try:
            section.run(s)
        except NotAllowed as refused:
            s.not_allowed[section.run.__name__.replace("_", " ")] = str(refused)
        except (KeyError, TypeError, AttributeError, ValueError, IndexError, RuntimeError, OSError) as error:
            # An answer of another shape than was recorded: the probes after it would ask about nothing.
            s.broken[section.run.__name__.replace("_", " ")] = f"{type(error).__name__}: {error}"
