"""Kaltura's answers as values of ours: what is incomplete, or about something else, is an error."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from lxml import etree

from kaltura_archiver.errors import KalturaError, OddAnswer
from kaltura_archiver.kaltura.errors import mixed_up
from kaltura_archiver.model import LAST_SECOND, Entry, FlavorAsset, FlavorStatus, Placing, same_id, split_tags
from kaltura_archiver.pictures import Thumb

_ID = re.compile(r"[A-Za-z0-9_]{1,64}")


def field_text(value: Any) -> str:
    """A field of the client as text: absent, null and empty are '', enum wrappers their value."""
    if isinstance(value, str):
        return value
    if value is NotImplemented or value is None:
        return ""
    return str(value.getValue() if hasattr(value, "getValue") else value)


def field_int(value: Any) -> int | None:
    if not (text := field_text(value)):
        return None
    try:
        return int(text) if text.isdecimal() else int(float(text))
    except (ValueError, OverflowError):
        return None


def _read_size(value: Any) -> int | None:
    """A size; None for 0, for what is missing, and for what is none."""
    return max(field_int(value) or 0, 0) or None


def _read_time(value: Any) -> int | None:
    """Unix seconds; None for 0, for what is missing, and for what is no time of this calendar."""
    seconds = field_int(value)
    return seconds if seconds is not None and 0 < seconds <= LAST_SECOND else None


def _id(value: Any) -> str:
    """An id, which becomes the key of an object and part of a file name: no other characters than ids have."""
    text = field_text(value)
    if text and not _ID.fullmatch(text):
        raise OddAnswer(f"Kaltura answered with {text[:40]!r} for an id")
    return text


ENTRY_LIST, FLAVOR_LIST = "KalturaESearchEntryResponse", "KalturaFlavorAssetListResponse"
PLACING_LIST, THUMB_LIST = "KalturaCategoryEntryListResponse", "KalturaThumbAssetListResponse"
METADATA_LIST, PROFILE_LIST = "KalturaMetadataListResponse", "KalturaMetadataProfileListResponse"
FIELD_LIST = "KalturaMetadataProfileFieldListResponse"
# The tag of the thumb asset that is shown (`thumbParams::TAG_DEFAULT_THUMB` [read]).
DEFAULT_THUMB = "default_thumb"
ENTRY_FIELDS = (
    "objectType", "id", "name", "status", "tags", "mediaType", "type", "createdAt", "updatedAt", "plays",
    "lastPlayedAt", "creatorId", "userId", "categoriesIds", "categories", "displayInSearch", "replacingEntryId",
    "replacedEntryId", "replacementStatus", "parentEntryId", "duration", "rootEntryId", "partnerId",
    "thumbnailUrl", "entitledUsersEdit", "adminTags", "endDate", "sourceType",
    "conversionProfileId",
)  # fmt: skip
# Of these a missing one is not the same as an empty one: nobody's, never played, not being replaced.
NEEDED_FIELDS = frozenset({
    "tags", "status", "userId", "creatorId", "categoriesIds", "plays", "lastPlayedAt", "displayInSearch",
    "replacingEntryId", "replacedEntryId", "replacementStatus", "parentEntryId", "partnerId",
})  # fmt: skip
_FLAVOR_FIELDS = (
    "objectType", "id", "entryId", "version", "status", "isOriginal", "sizeInBytes", "size", "fileExt", "createdAt",
    "deletedAt", "language", "updatedAt", "flavorParamsId", "label", "tags",
    "partnerData", "partnerDescription", "isDefault", "height",
)  # fmt: skip


def fields_of(raw: Any, names: Sequence[str]) -> dict[str, str]:
    """Those of these fields that an object of an answer has, as text.

    Of its XML element, which spares pages of entries the client's objects (all fields, most of them never looked at),
    of what JSON has of it, or of the client's object.
    """
    if isinstance(raw, dict):
        found = {
            name: value if type(value) is str else _scalar(value)
            for name in names
            if (value := raw.get(name)) is not None
        }
        return found if "objectType" in found else {}
    if isinstance(raw, etree._Element):
        found = {child.tag: child.text or "" for child in raw.iterchildren(*names)}
        return found if "objectType" in found else {}
    values = {name: getattr(raw, name, NotImplemented) for name in names}
    return {name: field_text(value) for name, value in values.items() if value is not NotImplemented}


def _scalar(value: Any) -> str:
    """A number or a bool of JSON as XML has it."""
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, int | float):
        return str(value)
    raise OddAnswer("Kaltura answered with an object where a value belongs", retryable=True)


def read_entry(raw: Any) -> Entry:
    """Raises OddAnswer for one that cannot be understood, or lacks a field.

    JSON has no nulls: who hands one of its objects on knows that what it lacks is null (see `plain.Shown`).
    """
    fields = fields_of(raw, ENTRY_FIELDS)
    entry_id = _id(fields.get("id"))
    if not entry_id:
        raise OddAnswer("Kaltura answered with an entry without id", retryable=True)
    if not (isinstance(raw, dict) or fields.keys() >= NEEDED_FIELDS) or not fields.get("status"):
        raise OddAnswer(f"Kaltura answered with an incomplete entry {entry_id}", retryable=True)
    text = fields.get
    categories, plays, played = text("categoriesIds", ""), text("plays", ""), text("lastPlayedAt", "")
    return Entry(
        id=entry_id,
        name=text("name", ""),
        status=fields["status"],
        tags=split_tags(text("tags", "")),
        tags_text=text("tags", ""),
        media_type=field_int(text("mediaType")),
        entry_type=text("type", ""),
        created_at=_read_time(text("createdAt")) or 0,
        updated_at=_read_time(text("updatedAt")) or 0,
        plays=field_int(plays) or 0,
        last_played_at=_read_time(played),
        # What cannot be read is not "never".
        plays_known=field_int(plays) is not None and (_read_time(played) is not None or played in ("", "0")),
        creator_id=text("creatorId", ""),
        owner_id=text("userId", ""),
        co_editors=tuple(filter(None, map(str.strip, text("entitledUsersEdit", "").split(",")))),
        category_ids=tuple(part.strip() for part in categories.split(",") if part.strip()) if categories else (),
        categories=text("categories", ""),
        display_in_search=field_int(text("displayInSearch")),
        replacing_entry_id=text("replacingEntryId", ""),
        replaced_entry_id=text("replacedEntryId", ""),
        replacement_status=text("replacementStatus") or "0",
        parent_entry_id=text("parentEntryId", ""),
        duration_seconds=field_int(text("duration")),
        root_entry_id=text("rootEntryId", ""),
        partner_id=text("partnerId", ""),
        admin_tags=split_tags(text("adminTags", "")),
        end_at=_read_time(text("endDate", "")) or None,
        source_type=text("sourceType", ""),
        conversion_profile_id=text("conversionProfileId", ""),
        thumbnail_version=picture_version(text("thumbnailUrl", "")),
    )


def picture_version(url: str) -> str:
    """The version in the address of a picture, `…/thumbnail/entry_id/ID/version/VERSION`; empty where it has none."""
    return url.partition("/version/")[2].partition("/")[0].partition("?")[0]


def _flavor(raw: Any) -> FlavorAsset:
    text = fields_of(raw, _FLAVOR_FIELDS).get
    flavor_id, entry_id, status = _id(text("id")), _id(text("entryId")), field_int(text("status"))
    if not flavor_id or not entry_id or status is None:
        raise OddAnswer("Kaltura answered with an incomplete flavor asset", retryable=True)
    known_status, odd = FlavorStatus.ERROR, f"status {status}"
    with suppress(ValueError):
        known_status, odd = FlavorStatus(status), ""
    extension = text("fileExt", "")
    return FlavorAsset(
        id=flavor_id,
        entry_id=entry_id,
        version=text("version", ""),
        status=known_status,
        is_original=text("isOriginal") in ("1", "True", "true"),
        size_bytes=_read_size(text("sizeInBytes")),
        size_kb=_read_size(text("size")),
        file_ext=extension if _ID.fullmatch(extension) else "",
        created_at=_read_time(text("createdAt")),
        deleted_at=_read_time(text("deletedAt")),
        language=text("language", ""),
        odd=odd,
        flavor_params_id=field_int(text("flavorParamsId")),
        label=text("label", ""),
        tags=text("tags", ""),
        partner_data=text("partnerData", ""),
        partner_description=text("partnerDescription", ""),
        is_default=text("isDefault", "").removeprefix("0"),
        updated_at=_read_time(text("updatedAt")),
        height=field_int(text("height")),
    )


def read_flavors(answer: Any) -> tuple[list[FlavorAsset], int]:
    """The flavors of one page, and how many there are on all."""
    objects, total = read_list(answer, FLAVOR_LIST)
    if (answer.get("objects") if isinstance(answer, dict) else answer.find("objects")) is None:
        raise KalturaError("Kaltura answered with an incomplete list of flavors", retryable=True)
    return [_flavor(raw) for raw in objects], total


def read_thumb(raw: Any) -> Thumb:
    return Thumb(
        id=_id(raw.findtext("id")),
        created_at=_read_time(raw.findtext("createdAt")) or 0,
        updated_at=_read_time(raw.findtext("updatedAt")) or 0,
        default=DEFAULT_THUMB in split_tags(raw.findtext("tags") or ""),
        by_hand=not raw.findtext("thumbParamsId"),
    )


def read_children(answer: Any, entry_id: str) -> tuple[str, ...]:
    """The ids of the further streams of an entry: all of them, or a KalturaError."""
    objects, total = read_list(answer, "KalturaBaseEntryListResponse")
    for child in objects:
        if same_id(child.findtext("parentEntryId") or "") != same_id(entry_id):
            raise mixed_up(f"the further streams of {entry_id}", f"entry {child.findtext('id')}")
    found = tuple(dict.fromkeys(filter(None, (_id(child.findtext("id")) for child in objects))))
    if len(found) < total:
        raise KalturaError(f"Kaltura listed {len(found)} of {total} further streams of {entry_id}: try again")
    return tuple(stream for stream in found if same_id(stream) != same_id(entry_id))


def read_made_of(answer: Any, entry_id: str) -> list[str]:
    """The entries that have this one for their root."""
    objects, _ = read_list(answer, "KalturaBaseEntryListResponse")
    if answer.find("objects") is None:
        raise KalturaError("Kaltura answered with an incomplete list of entries", retryable=True)
    found = [_id(row.findtext("id")) for row in objects]
    return [one for one in found if one and same_id(one) != same_id(entry_id)]


def read_placings(answer: Any) -> tuple[list[tuple[str, Placing]], int]:
    """Entry ids, each with a category that it is in, of one page, and how many there are on all."""
    objects, total = read_list(answer, PLACING_LIST)
    if answer.find("objects") is None:
        raise KalturaError("Kaltura answered with an incomplete list of categories", retryable=True)
    found = []
    for row in objects:
        entry_id, number = _id(row.findtext("entryId")), field_int(row.findtext("categoryId"))
        status = row.findtext("status")
        if not entry_id or number is None or status is None:
            raise KalturaError("Kaltura answered with an incomplete list of categories", retryable=True)
        found.append((entry_id, Placing(number, _above(row.findtext("categoryFullIds"), number), "", status == "2")))
    return found, total


def read_path(answer: Any, number: int) -> tuple[frozenset[int], str]:
    """What is above a category, and its full name; of one that is gone, or hidden from this user, nothing."""
    if answer is None:
        return frozenset(), ""
    if field_int(answer.findtext("id")) != number:
        raise mixed_up(f"category {number}", f"category {answer.findtext('id')}")
    return _above(answer.findtext("fullIds"), number), answer.findtext("fullName") or ""


def _above(full_ids: str | None, number: int) -> frozenset[int]:
    """The categories above this one, of Kaltura's `12>34>56`."""
    return frozenset(int(part) for part in (full_ids or "").split(">") if part.strip().isdecimal()) - {number}


class Look(NamedTuple):
    """What one request told of an entry: `children` are its further streams, `placings` are its categories; both
    only where asked for."""

    entry: Entry | None
    flavors: tuple[FlavorAsset, ...]
    children: tuple[str, ...] = ()
    placings: tuple[Placing, ...] | None = None


def read_list(answer: Any, kind: str) -> tuple[list[Any], int]:
    """The objects of a list that was answered as XML or JSON, and how many there are in all."""
    if not isinstance(answer, etree._Element):
        return _json_list(answer, kind)
    if answer.findtext("objectType") != kind:
        raise KalturaError("Kaltura answered with something else than was asked for", retryable=True)
    total, objects = field_int(answer.findtext("totalCount")), answer.find("objects")
    if total is None:
        raise KalturaError("Kaltura answered without a count", retryable=True)
    return [] if objects is None else list(objects), total


def _json_list(answer: Any, kind: str) -> tuple[list[Any], int]:
    """As `read_list`, of an answer in JSON."""
    if not isinstance(answer, dict) or answer.get("objectType") != kind:
        raise KalturaError("Kaltura answered with something else than was asked for", retryable=True)
    total, objects = field_int(answer.get("totalCount")), answer.get("objects")
    if total is None or not (objects is None or isinstance(objects, list)):
        raise KalturaError("Kaltura answered without a count", retryable=True)
    return objects or [], total


def _xpath(path: str) -> Callable[[Any], Any]:
    return etree.XPath(path, smart_strings=False)


# Of what a search found; they run without Python's lock.
_ids, _times = _xpath("objects/*/object/id/text()"), _xpath("objects/*/object/createdAt/text()")
_objects = _xpath("objects/*/object")


@dataclass(frozen=True)
class SearchPage:
    """What a search found: (id, created at) of each entry on this page, how many match, and the entries as they came:
    the XML of it all, or a list of what JSON has of each."""

    outlines: list[tuple[str, int]]
    total: int
    came: Any

    @property
    def raws(self) -> list[Any]:
        """The entries as they came, one by one."""
        found: list[Any] = self.came if isinstance(self.came, list) else _objects(self.came)
        return found

    @classmethod
    def of(cls, answer: Any) -> SearchPage:
        """KalturaError if a result has no object. What else it lacks is seen when it is used: a time that is not known
        is 0 here, and an entry without id is left out."""
        results, total = read_list(answer, ENTRY_LIST)
        ids, times = _ids(answer), _times(answer)
        if not len(results) == len(ids) == len(times):
            objects = [result.find("object") for result in results]
            if None in objects:
                raise KalturaError("Kaltura answered with an incomplete entry", retryable=True)
            ids, times = zip(*((o.findtext("id") or "", o.findtext("createdAt")) for o in objects), strict=True)
        return cls([(one, field_int(at) or 0) for one, at in zip(ids, times, strict=True) if one], total, answer)

    @classmethod
    def of_json(cls, answer: Any) -> SearchPage:
        """As `of`, of a page in JSON."""
        results, total = read_list(answer, ENTRY_LIST)
        objects = [
            raw for result in results if isinstance(result, dict) and isinstance(raw := result.get("object"), dict)
        ]
        if len(objects) != len(results):
            raise KalturaError("Kaltura answered with an incomplete entry", retryable=True)
        outlines = [(field_text(raw.get("id")), field_int(raw.get("createdAt")) or 0) for raw in objects]
        return cls([outline for outline in outlines if outline[0]], total, objects)

    def entries(self, odd: list[str] | None = None) -> Iterator[Entry]:
        """The entries; what is wrong with those that cannot be understood goes into `odd`, or is raised."""
        for raw in self.raws:
            try:
                entry = read_entry(raw)
            except OddAnswer as error:
                if odd is None:
                    raise
                odd.append(str(error))
            else:
                yield entry


@dataclass(frozen=True)
class Page:
    """Entries that the index found, as they came: whoever uses them builds them, while the next page is fetched."""

    found: SearchPage
    ids: Collection[str]
    partner_id: str = ""  # whose entries they have to be
    odd: list[str] = field(default_factory=list)  # what is wrong with those that were left out, once all are built

    @property
    def total(self) -> int:
        """How many match from this page on."""
        return self.found.total

    def entries(self) -> Iterator[Entry]:
        """Those with these ids, each once."""
        once = dict.fromkeys(self.ids)
        for entry in self.found.entries(self.odd):
            if entry.id in once:
                if self.partner_id and entry.partner_id != self.partner_id:
                    raise mixed_up(f"entries of partner {self.partner_id}", f"{entry.id} of {entry.partner_id or '?'}")
                del once[entry.id]
                yield entry
        if len(once) > len(self.odd):
            raise KalturaError(f"Kaltura's answer names entries that it does not show, {next(iter(once))} for one")


def read_params_tags(pager: Any, client: Any) -> list[tuple[int | None, frozenset[str]]]:
    """Flavor parameters by their id, and the tags that they give to flavor assets."""
    objects = client.flavorParams.list(NotImplemented, pager).objects
    found = objects if isinstance(objects, list) else []
    return [(field_int(params.id), frozenset(split_tags(field_text(params.tags)))) for params in found]
