"""When a page of entries may come as JSON, which leaves out what is null (real-kaltura A14; `unsetNull` [read])."""

from __future__ import annotations

from kaltura_archiver.kaltura.answers import NEEDED_FIELDS, SearchPage, fields_of

# So many pages in a row for which JSON did not do end it: each was asked for twice.
MAX_MISSES = 3


class Shown:
    """What pages in XML, which has an element for every field, have shown of each type of object.

    That a field is missing in JSON is read as null only where XML has shown that the server tells it of this type.
    Where every entry had a value in it so far, a missing one is not believed: that page is to be asked for as XML.
    """

    def __init__(self) -> None:
        self._filled: dict[str, frozenset[str]] = {}  # by type: the fields in which each entry had a value
        self._lacking: set[str] = set()  # types of which an entry lacked a field
        self._misses = 0

    @property
    def json_does(self) -> bool:
        """Whether it is worth while to ask for JSON at all."""
        return self._misses < MAX_MISSES

    def __bool__(self) -> bool:
        """Whether it is for a page of entries."""
        return bool(self._filled) and self.json_does

    def missed(self, times: int = 1) -> None:
        """JSON did not do."""
        self._misses += times

    def did(self) -> None:
        self._misses = 0

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
                self.missed()
                return False
        self.did()
        return True
