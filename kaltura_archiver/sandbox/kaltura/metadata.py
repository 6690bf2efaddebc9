"""Custom metadata of the sandbox: profiles, their fields, and how the index finds a value [read: KalturaESearchEntry-
MetadataItem, ESearchMetadataItem, kMetadataManager::getDataElasticSearchValues, MetadataProfileService]."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from xml.sax.saxutils import escape

from lxml import etree

from kaltura_archiver.sandbox.kaltura.texts import EXACT, EXISTS, PARTIAL, RANGE, STARTS, forms_of, text_matches
from kaltura_archiver.sandbox.kaltura.wire import ApiError, as_int

_MAX_BYTES = 256  # METADATA_MAX_LENGTH
_TERM_BYTES = 128
_XSD = "http://www.w3.org/2001/XMLSchema"


@dataclass(frozen=True)
class MetadataField:
    """`kind` is text, list, date or int; one that is not `searchable` the index does not know."""

    id: int
    name: str
    kind: str = "text"
    searchable: bool = True

    @property
    def xpath(self) -> str:
        return f"/*[local-name()='metadata']/*[local-name()='{self.name}']"


class MetadataValue(NamedTuple):
    """A nested document of the index: a field of a profile, with its texts, or its number."""

    profile_id: int
    field_id: int
    xpath: str
    texts: tuple[str, ...]
    number: int | None


@dataclass(frozen=True)
class MetadataProfile:
    id: int
    name: str
    fields: tuple[MetadataField, ...] = field(default=())

    @property
    def xsd(self) -> str:
        elements = "".join(
            f'<xsd:element id="md_{one.id}" name="{one.name}" minOccurs="0" maxOccurs="unbounded"/>'
            for one in self.fields
        )
        return (
            f'<xsd:schema xmlns:xsd="{_XSD}"><xsd:element name="metadata"><xsd:complexType><xsd:sequence>{elements}'
            "</xsd:sequence></xsd:complexType></xsd:element></xsd:schema>"
        )

    def xml(self, values: Mapping[str, str | Iterable[str]]) -> str:
        """An object of this profile; a field may have several values."""
        parts = [
            f"<{name}>{escape(one)}</{name}>"
            for name, said in values.items()
            for one in ([said] if isinstance(said, str) else said)
        ]
        return f"<metadata>{''.join(parts)}</metadata>"

    def indexed(self, xml: str) -> list[MetadataValue]:
        """What the index has of an object; nothing of one that is no XML."""
        try:
            root = etree.fromstring(xml.encode())
        except etree.XMLSyntaxError:
            return []
        found = []
        for one in filter(lambda one: one.searchable, self.fields):
            texts = tuple("".join(map(str, node.itertext())) for node in root.iter(f"{{*}}{one.name}"))
            if not texts:
                continue
            numeric = one.kind in ("date", "int")
            number = as_int(texts[0]) if numeric else None
            cut = () if numeric else tuple(text.encode()[:_MAX_BYTES].decode("utf-8", "ignore") for text in texts)
            found.append(MetadataValue(self.id, one.id, one.xpath, cut, number))
        return found


def metadata_predicate(
    item: dict[str, Any], values_of: Callable[[dict[str, Any]], list[MetadataValue]]
) -> Callable[[dict[str, Any]], bool]:
    """A KalturaESearchEntryMetadataItem: all that it says is to be true of one value."""
    kind, term = as_int(item.get("itemType")), str(item.get("searchTerm") or "")
    if not EXACT <= kind <= RANGE:
        raise ApiError("INVALID_ENUM_VALUE", item.get("itemType", ""), "itemType", "KalturaESearchItemType")
    if not term and kind in (EXACT, PARTIAL, STARTS):
        raise ApiError("EMPTY SEARCH TERM IS NOT ALLOWED", "metadata.value", kind)
    if kind == RANGE:
        raise NotImplementedError("ranges of custom metadata")
    term = " ".join(term.split()).encode()[:_TERM_BYTES].decode("utf-8", "ignore")
    profile, field_id = as_int(item.get("metadataProfileId")), as_int(item.get("metadataFieldId"))
    xpath = str(item.get("xpath") or "").lower()

    def fits(value: MetadataValue) -> bool:
        if (profile and value.profile_id != profile) or (field_id and value.field_id != field_id):
            return False
        if xpath and value.xpath.lower() != xpath:
            return False
        if kind == EXISTS:
            return True
        if value.number is not None:
            return kind == EXACT and term.isdecimal() and value.number == int(term)
        return any(text_matches(forms_of(text, is_list=False), kind, term) for text in value.texts)

    return lambda doc: any(map(fits, values_of(doc)))
