"""The custom metadata of entries: the fields that an account has, and what they say of an entry. Reads only."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

from lxml import etree

from kaltura_archiver.errors import KalturaError
from kaltura_archiver.kaltura.answers import FIELD_LIST, METADATA_LIST, PROFILE_LIST, field_int, read_list
from kaltura_archiver.kaltura.errors import mixed_up
from kaltura_archiver.kaltura.library import GET_BATCH
from kaltura_archiver.kaltura.questions import MAX_PAGE, ask_fields, ask_metadata, ask_profiles, ask_together
from kaltura_archiver.kaltura.watching import Watching
from kaltura_archiver.model import same_id

log = logging.getLogger(__name__)
# An entry has one object of each profile at most, mostly of one or two.
METADATA_BATCH = 100
_ELEMENT = "{http://www.w3.org/2001/XMLSchema}element"

Values = dict[str, frozenset[str]]


class _Profile(NamedTuple):
    """Fields that it defines, by its XSD."""

    id: int
    fields: frozenset[str]


class CustomMetadataOfEntries(Watching):
    """Reads the custom metadata of entries."""

    def metadata_fields(self) -> dict[str, tuple[int, ...]]:
        """The fields that custom metadata of entries has, by their local name, each with its ids in the index; without
        any where the index does not know the field in each profile that has it.

        `metadataProfile.listFields` has those only that the index knows (retrieveActiveByMetadataProfileId [read]).
        """
        profiles = self._profiles()
        searchable: dict[int, dict[str, int]] = {}
        for start in range(0, len(profiles), GET_BATCH):
            batch = profiles[start : start + GET_BATCH]

            def read(client: Any, batch: Sequence[_Profile] = batch) -> list[dict[str, int]]:
                answers = ask_together(client, [partial(ask_fields, profile.id) for profile in batch])
                return [dict(_read_fields(answer)) for answer in answers]

            found = self._call("list fields of custom metadata", read)
            searchable |= {profile.id: fields for profile, fields in zip(batch, found, strict=True)}
        known: dict[str, tuple[int, ...]] = {}
        for name in {name for profile in profiles for name in profile.fields}:
            ids = [searchable[profile.id].get(name) for profile in profiles if name in profile.fields]
            known[name] = tuple(one for one in ids if one is not None) if None not in ids else ()
        return known

    def _profiles(self) -> list[_Profile]:
        found: list[_Profile] = []
        for page in range(1, 100):

            def read(client: Any, page: int = page) -> tuple[list[Any], int]:
                ask_profiles(page, client)
                return read_list(client.doQueue(), PROFILE_LIST)

            rows, total = self._call("list profiles of custom metadata", read)
            for row in rows:
                if (number := field_int(row.findtext("id"))) is not None:
                    found.append(_Profile(number, _fields_of_schema(row.findtext("xsd") or "")))
            if page * MAX_PAGE >= total:
                break
        return found

    def metadata(self, entry_ids: Iterable[str]) -> dict[str, Values | None]:
        """The values of each field of the custom metadata of each entry; None where some of it cannot be understood.

        One request for METADATA_BATCH entries. Rows of the database, not of an index (KalturaMetadataFilter [read]).
        """
        ids = list(entry_ids)
        found: dict[str, Values | None] = {entry_id: {} for entry_id in ids}
        asked = {same_id(entry_id): entry_id for entry_id in ids}
        for start in range(0, len(ids), METADATA_BATCH):
            for owner, text in self._all_metadata(ids[start : start + METADATA_BATCH]):
                if same_id(owner) not in asked:
                    raise mixed_up("custom metadata", f"that of {owner or '?'}")
                entry_id = asked[same_id(owner)]
                known, more = found[entry_id], values_of(text)
                if more is None:
                    log.warning("entry %s: its custom metadata cannot be read", entry_id)
                found[entry_id] = None if known is None or more is None else _together(known, more)
        return found

    def _all_metadata(self, entry_ids: Sequence[str]) -> list[tuple[str, str]]:
        """The entry and the XML of each object."""

        def read(client: Any) -> tuple[list[Any], int]:
            ask_metadata(entry_ids, client)
            return read_list(client.doQueue(), METADATA_LIST)

        rows, total = self._call("list custom metadata", read)
        if total > len(rows) and len(entry_ids) > 1:
            # Rows of one second come in no certain order: pages need not fit together.
            half = len(entry_ids) // 2
            return self._all_metadata(entry_ids[:half]) + self._all_metadata(entry_ids[half:])
        if total > len(rows):
            raise KalturaError(f"Kaltura listed {len(rows)} of {total} objects of custom metadata: try again")
        return [(row.findtext("objectId") or "", row.findtext("xml") or "") for row in rows]


def _read_fields(answer: Any) -> Iterator[tuple[str, int]]:
    for row in read_list(answer, FIELD_LIST)[0] if answer is not None else ():
        name, number = row.findtext("key") or "", field_int(row.findtext("id"))
        if name and number is not None:
            yield name, number


def _parsed(text: str) -> Any:
    """The root; None for what is no XML, or rests on its DTD. Nothing that it names is fetched, or put in."""
    # Whatever its first line says it was: this text comes as UTF-8.
    parser = etree.XMLParser(
        encoding="UTF-8", resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True
    )
    try:
        root = etree.fromstring(text.strip().encode(), parser)
    except (etree.XMLSyntaxError, ValueError):
        return None
    return None if any(True for _ in root.iter(etree.Entity)) else root


def _fields_of_schema(text: str) -> frozenset[str]:
    root = _parsed(text)
    if root is None:
        return frozenset()
    # The outermost element is the whole object.
    return frozenset(
        name for node in root.iter(_ELEMENT) if node.getparent() is not root and (name := node.get("name"))
    )


def values_of(text: str) -> Values | None:
    """What each element says, by its local name; None for what is no XML."""
    root = _parsed(text)
    if root is None:
        return None
    found: Values = {}
    for node in root.iter(etree.Element):
        if not len(node) and (value := (node.text or "").strip()):
            found = _together(found, {etree.QName(node).localname: frozenset({value})})
    return found


def _together(known: Values, more: Values) -> Values:
    return {name: known.get(name, frozenset()) | more.get(name, frozenset()) for name in known.keys() | more.keys()}
