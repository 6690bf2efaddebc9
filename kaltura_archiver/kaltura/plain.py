"""When a page of entries may come as JSON, which leaves out what is null (real-kaltura A14; `unsetNull` [read])."""

from __future__ import annotations

from kaltura_archiver.kaltura.answers import NEEDED_FIELDS, SearchPage, fields_of


class Shown:
    """What pages in XML, which has an element for every field, have shown of each type of object.

    That a field is missing in JSON is read as null only where XML has shown that the server tells it of this type.
    Where every entry had a value in it so far, a missing one is not believed: that page is to be asked for as XML.
    """

    def __init__(self) -> None:
        self._filled: dict[str, frozenset[str]] = {}  # by type: the fields in which each entry had a value
        self._lacking: set[str] = set()  # types of which an entry lacked a field

    def __bool__(self) -> bool:
        return bool(self._filled)

    def forget(self) -> None:
        self._filled.clear()

    def learn(self, page: SearchPage) -> None:
        """Of a page in XML."""
        for raw in page.raws:
            fields = fields_of(raw, ("objectType", *NEEDED_FIELDS))
            kind = fields.pop("objectType", "")
            if fields.keys() != NEEDED_FIELDS:
                self._lacking.add(kind)
            filled = frozenset(name for name, text in fields.items() if text)
            self._filled[kind] = self._filled.get(kind, filled) & filled

    def suffices(self, page: SearchPage) -> bool:
        """Whether a page in JSON tells as much as it would in XML."""
        for raw in page.raws:
            kind = raw.get("objectType")
            filled = None if kind in self._lacking else self._filled.get(kind)
            if filled is None or None in map(raw.get, filled):
                return False
        return True
