"""Looks at content while it is being replaced: of many entries at a time."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

from kaltura_archiver.errors import OddAnswer
from kaltura_archiver.kaltura.answers import read_entry, read_flavors
from kaltura_archiver.kaltura.errors import mixed_up
from kaltura_archiver.kaltura.library import FLAVOR_BATCH, Found, Library
from kaltura_archiver.kaltura.questions import ask_entry, ask_flavors, ask_together
from kaltura_archiver.model import Entry, FlavorAsset, same_id


class Progress(NamedTuple):
    """How far a replacement is: the entry, the temporary one of its new content, and the flavors that are in place.

    An entry that is not there is None, and so is a temporary one that was not asked for. `coming` are the flavors of
    that one; not there where they are not told.
    """

    entry: Entry | None
    temporary: Entry | None
    flavors: tuple[FlavorAsset, ...]
    coming: tuple[FlavorAsset, ...] = ()


class Watching(Library):
    """Reads how far replacements are."""

    def progress(self, wanted: Sequence[tuple[str, str]]) -> list[Progress | OddAnswer]:
        """Of each entry and the temporary one of its replacement, empty if it is not known; one request for all. An
        answer that cannot be understood is told in the place of its entry's.

        The flavors are read after the entries: the server changes the entry last (kaltura-api 5.3).
        """
        main = [entry_id for entry_id, _ in wanted]
        ids = list(dict.fromkeys(entry_id for pair in wanted for entry_id in pair if entry_id))
        # Together: of a temporary entry that is over by then the list tells nothing, and goes on (kaltura-api 4.4).
        batches = [ids[start : start + FLAVOR_BATCH] for start in range(0, len(ids), FLAVOR_BATCH)]

        def read(client: Any) -> tuple[dict[str, Found], list[FlavorAsset], bool]:
            asked = [partial(ask_entry, entry_id) for entry_id in ids]
            answers = ask_together(client, [*asked, *(partial(ask_flavors, batch, 1) for batch in batches)])
            entries: dict[str, Found] = {
                entry_id: None if answer is None else self._as_asked(read_entry(answer), entry_id)
                for entry_id, answer in zip(ids, answers[: len(ids)], strict=True)
            }
            pages = [([], 1) if answer is None else read_flavors(answer) for answer in answers[len(ids) :]]
            flavors = [flavor for page, _ in pages for flavor in page]
            return entries, flavors, all(len(page) >= total for page, total in pages)

        try:
            entries, listed, whole = self._call("look at conversions", read)
        except OddAnswer:  # one by one they tell whose it is
            entries, listed, whole = dict(self.entries(ids)), [], False
        known = {entry_id: entry for entry_id, entry in entries.items() if not isinstance(entry, OddAnswer)}
        there = [entry_id for entry_id in main if known.get(entry_id)]
        flavors = _by_entry(ids, listed) if whole else self.flavors(there)
        return [
            odd if isinstance(odd := entries[of], OddAnswer)
            else Progress(known[of], known.get(temporary), flavors.get(of, ()), flavors.get(temporary, ()))
            for of, temporary in wanted
        ]  # fmt: skip


def _by_entry(entry_ids: Sequence[str], flavors: Sequence[FlavorAsset]) -> dict[str, tuple[FlavorAsset, ...]]:
    asked = {same_id(entry_id): entry_id for entry_id in entry_ids}
    found: dict[str, tuple[FlavorAsset, ...]] = dict.fromkeys(entry_ids, ())
    for flavor in flavors:
        if same_id(flavor.entry_id) not in asked:
            raise mixed_up(f"the flavors of {', '.join(entry_ids[:3])}", f"those of {flavor.entry_id}")
        found[asked[same_id(flavor.entry_id)]] += (flavor,)
    return found
