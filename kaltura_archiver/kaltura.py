"""KS handling and the entry wrapper: the one module that calls the Kaltura service (facts: kaltura-api, by section)."""

from __future__ import annotations

import hashlib
import http.client
import logging
import random
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from email.utils import parsedate_to_datetime
from functools import partial
from http.cookiejar import DefaultCookiePolicy
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

import certifi
import requests
import urllib3
from KalturaClient.Base import KalturaConfiguration, KalturaParams
from KalturaClient.Client import KalturaClient
from KalturaClient.exceptions import KalturaClientException, KalturaException
from KalturaClient.Plugins.Core import (
    KalturaAssetType,
    KalturaBaseEntryFilter,
    KalturaCategoryEntryFilter,
    KalturaEntryReplacementOptions,
    KalturaFilterPager,
    KalturaFlavorAsset,
    KalturaFlavorAssetFilter,
    KalturaLanguage,
    KalturaMediaEntry,
    KalturaMediaEntryFilter,
    KalturaNullableBoolean,
    KalturaSessionType,
    KalturaThumbAssetFilter,
    KalturaUploadedFileTokenResource,
    KalturaUploadToken,
    KalturaUploadTokenFilter,
    KalturaUrlResource,
)
from lxml import etree
from urllib3.filepost import encode_multipart_formdata

from kaltura_archiver.bandwidth import Bandwidth
from kaltura_archiver.config import Settings
from kaltura_archiver.direct import Host
from kaltura_archiver.dribble import BoundedAdapter
from kaltura_archiver.errors import Changed, ConfigError, EntryFailed, KalturaError, OddAnswer, SelectionError, Stopped
from kaltura_archiver.filters import Query, anything
from kaltura_archiver.model import (
    LAST_SECOND,
    Entry,
    FlavorAsset,
    FlavorStatus,
    Placing,
    normalised_tags,
    same_id,
    split_tags,
    tags_with,
)
from kaltura_archiver.pacing import MAX_REFUSALS, Pace
from kaltura_archiver.pictures import Picture, Thumb
from kaltura_archiver.redact import hide, redact
from kaltura_archiver.states import sizes_agree
from kaltura_archiver.streams import CHUNK_BYTES, MIN_PROGRESS_BYTES, Chunk, Landing, Piece, chunked, exactly

log = logging.getLogger(__name__)
T = TypeVar("T")

CONNECT_SECONDS = 10.0
_ID = re.compile(r"[A-Za-z0-9_]{1,64}")
# As the file host's own addresses name it (kaltura-api 4.5); those of other places may name nothing.
_NAMED_FLAVOR = re.compile(r"/flavorIds?/([01]_\w+)")
_NOT_XML = bytes(c for c in range(32) if c not in b"\t\n\r")
READ_SECONDS = 120.0
# A page of 500 entries has a few MiB. Parsed, an answer can take thirty times its size.
MAX_ANSWER_BYTES = 16 * 2**20
# Of a packed answer, unpacked at a time: at most a thousand times as much.
PACKED_PIECE_BYTES = 16 * 2**10
PIECE_BYTES = 2**18
MAX_TRIES = 5
# After so long no call is tried again, however it failed.
RETRY_SECONDS = 300.0
SEARCH_WINDOW = 10_000
MAX_PAGE = 500
# Elasticsearch bounds the clauses of one query (1,024 by default); more ids of one second are paged within it.
MAX_EXCLUDED_IDS = 900
FLAVOR_BATCH = 40
GET_BATCH = 50
# Most are in one to three categories, and MAX_PAGE rows come at a time.
PLACING_BATCH = 150
# Kaltura gives a search up after 10 s and answers that there is nothing (real-kaltura E231).
SEARCH_SECONDS = 9.0
# For so long it is taken that a category is still where it was.
CATEGORY_SECONDS = 60.0
# No picture is so old: 2006-01-01. Kaltura began in that year.
FIRST_KALTURA = 1_136_073_600
# In any of these an entry is there: all but DELETED. (Plugins' statuses are none that a further stream is in.)
_THERE = "-2,-1,0,1,2,4,5,6,7"
_ANY_MODERATION = "1,2,3,4,5,6"

# kaltura-api 9. Nothing was done when one of these comes back, so even a write may be made again.
RATE_LIMIT = "ACTION_BLOCKED"
NOT_ACTED = frozenset({RATE_LIMIT, "LOCK_TIMED_OUT"})
RETRYABLE = NOT_ACTED | {
    "INTERNAL_SERVERL_ERROR",
    "INTERNAL_SERVER_ERROR",
    "INTERNAL_DATABASE_ERROR",
    "SEARCH_ENGINE_QUERY_FAILED",
    "FILE_PENDING",
    "UPLOAD_TOKEN_CANNOT_MATCH_EXPECTED_SIZE",
}
ENTRY_GONE, CATEGORY_GONE = "ENTRY_ID_NOT_FOUND", "CATEGORY_NOT_FOUND"
FEATURE_FORBIDDEN = "FEATURE_FORBIDDEN"
ALREADY_REPLACED = "ENTRY_REPLACEMENT_ALREADY_EXISTS"
TOKEN_FULL = 2
# Of app tokens, the likely ones first: new ones are mostly made with SHA256, SHA1 is what a token has by default.
HASH_TYPES = ("sha256", "sha1", "sha512", "md5")
# The column of an entry's tags; and from where on what was stored is read back: a database that holds them in another
# character set counts up to three bytes for one.
MAX_TAGS_BYTES = 65_535
LONG_TAGS_BYTES = 20_000
# Marks the file names of our upload tokens, so that those of killed runs can be told from other people's.
TOKEN_PREFIX = "archiver-"  # noqa: S105 - no password
MAX_TOKEN_PAGES = 20

# What the file host says when it may not serve, and will not in a minute either (KExternalErrors of kaltura/server,
# [read]): it knows no session, so that rules which let an admin pass do not help. Its other errors may pass.
FORBIDDEN = "ACCESS_CONTROL_RESTRICTED"
_ACCESS_CONTROL = (
    "the access control of the entry forbids it; in Kaltura, allow this machine's address in the entry's access "
    "control profile, or give the entry another profile for as long as this takes, and run the command again"
)
_NOT_SERVED = {
    2: "the entry is outside of its scheduled time; change its start or end date in Kaltura",
    3: _ACCESS_CONTROL,
    13: "the entry waits for moderation, or was rejected; approve it in Kaltura",
    15: "the account is not active; ask Kaltura",
    16: "Kaltura does not serve to the country of this machine; ask Kaltura to, or run this elsewhere",
    18: "the account's delivery settings forbid this way of download; ask Kaltura to allow it for this machine",
    30: "the account's access control forbids it; in Kaltura, allow this machine's address",
    34: "this machine's address is not among those that the account allows; add it in Kaltura",
    40: "the account may not be served by this host; ask Kaltura",
    53: "this host serves only to hosts that authenticate; ask Kaltura for another delivery profile",
}


def _forbidden(reason: str) -> str:
    """What to do where the file host's error, `exiting on error N - text`, is one that does not pass; else empty."""
    found = re.match(r"exiting on error (\d+)\b", reason)
    return _NOT_SERVED.get(int(found[1]), "") if found else ""


def _require_size(original: FlavorAsset, size_bytes: int) -> None:
    """Raise EntryFailed unless a download of that many bytes can be this original, by what Kaltura says of its size."""
    kb = original.size_kb or 0
    if original.size_bytes:
        known, agrees = f"{original.size_bytes}", size_bytes == original.size_bytes
    else:
        # Of a small file whole KB are more than 3 %; just after an upload Kaltura tells bytes here (kaltura-api 4.3).
        agrees = not kb or sizes_agree(kb, size_bytes) or abs(kb * 1024 - size_bytes) <= 1024 or size_bytes == kb
        known = f"about {kb} KB"
    if not agrees:
        raise EntryFailed(f"the download has {size_bytes} bytes, Kaltura says {known}; nothing rests on it")


class _Session(requests.Session):
    """Heeds the environment (proxies, certificates), but gives nobody a password out of ~/.netrc."""

    def __init__(self) -> None:
        super().__init__()
        self.auth = lambda request: request
        for scheme in ("http://", "https://"):
            self.mount(scheme, BoundedAdapter())
        self._surroundings: dict[str, Any] = {}

    def merge_environment_settings(self, url: Any, proxies: Any, stream: Any, *_: Any) -> Any:
        """What the environment says of this host, read once: for every request it would be a third of the work."""
        host = urlsplit(str(url))._replace(path="", query="", fragment="").geturl()
        if host not in self._surroundings:
            self._surroundings[host] = super().merge_environment_settings(host, {}, None, None, None)
        return {**self._surroundings[host], "stream": stream}

    def rebuild_auth(self, prepared_request: requests.PreparedRequest, response: requests.Response) -> None:
        """On a redirect; there is nothing to be sent."""


@dataclass(frozen=True)
class _File:
    """A chunk with a file name: the extension of a new flavor comes from the posted name (kaltura-api 10.1)."""

    name: str
    chunk: Chunk


class _Form:
    """The body of a call with a file, as often as it is iterated over; the chunk's pieces are sent as they are."""

    def __init__(self, json: str, file: _File) -> None:
        empty, self.content_type = encode_multipart_formdata(
            {"json": json, "fileData": (file.name, b"", "application/octet-stream")}
        )
        end = empty.rindex(b"\r\n--")
        self._start, self._end, self._chunk = empty[:end], empty[end:], file.chunk

    def __len__(self) -> int:
        return len(self._start) + len(self._chunk) + len(self._end)

    def __iter__(self) -> Iterator[bytes | memoryview]:
        yield self._start
        yield from self._chunk
        yield self._end


class _Client(KalturaClient):  # type: ignore[misc]
    """KalturaApiClient over one kept-alive connection, with our timeouts, a bounded answer and a strict parser.

    The original opens a connection per call, gives uploads 10 s, and accepts XML that was cut (kaltura-api 1.4).
    """

    def __init__(self, configuration: Any) -> None:
        self._http = _Session()
        super().__init__(configuration)
        self.parser = etree.XMLParser(encoding="UTF-8", resolve_entities=False, no_network=True, huge_tree=False)

    def loadPlugins(self) -> None:
        # Only what is used: all of them are some 200 modules.
        for plugin in ("Core", "ElasticSearch"):
            self.loadPlugin(plugin)

    def doHttpRequest(self, url: str, params: Any = None, files: Any = None) -> bytes:
        headers = {"Accept": "text/xml", "Accept-Encoding": "gzip"}
        body: Any
        if files:
            body = _Form(params.toJson(), files["fileData"])
            headers["Content-Type"] = body.content_type
        else:
            body = params.toJson().encode()
            headers["Content-Type"] = "application/json"
        with self._http.post(
            url,
            data=body,
            headers=headers,
            timeout=(CONNECT_SECONDS, READ_SECONDS),
            stream=True,
            allow_redirects=False,
        ) as response:
            self.responseHeaders = response.headers
            if response.status_code != 200:
                raise KalturaClientException(f"HTTP status {response.status_code}", -5)
            if response.headers.get("Content-Encoding", "identity").lower() not in ("identity", "gzip"):
                raise KalturaClientException("the answer is packed in a way that was not asked for", -5)
            pieces, size = [], 0
            packed = "Content-Encoding" in response.headers
            for piece in response.iter_content(PACKED_PIECE_BYTES if packed else PIECE_BYTES):
                size += len(piece)
                if size > MAX_ANSWER_BYTES:
                    raise KalturaClientException("the answer is unreasonably large; try a smaller --page-size", -5)
                pieces.append(piece)
            return b"".join(pieces)

    def parsePostResult(self, postResult: bytes) -> Any:
        """The result's element, or the error it holds as a KalturaException.

        The original writes every answer into a log line first, whether or not there is a log: for a page of entries
        that takes as long as parsing it.
        """
        try:
            result = self._parse(postResult).find("result")
        except etree.ParseError as error:
            code = KalturaClientException.ERROR_INVALID_XML
            raise KalturaClientException(f"Failed to parse XML: {error}", code) from error
        if result is None:
            code = KalturaClientException.ERROR_RESULT_NOT_FOUND
            raise KalturaClientException("Could not find result node in response xml", code)
        self.throwExceptionIfError(result)
        return result

    def _parse(self, answer: bytes) -> Any:
        try:
            return etree.fromstring(answer, self.parser)
        except etree.ParseError:
            # A character that XML cannot carry, in a name from long ago, must not hide a whole page of entries.
            clean = answer.translate(None, _NOT_XML)
            if clean == answer:
                raise
            return etree.fromstring(clean, self.parser)


def _text(value: Any) -> str:
    """A field of the client as text: absent, null and empty are '', enum wrappers their value."""
    if isinstance(value, str):
        return value
    if value is NotImplemented or value is None:
        return ""
    return str(value.getValue() if hasattr(value, "getValue") else value)


def _int(value: Any) -> int | None:
    if not (text := _text(value)):
        return None
    try:
        return int(text) if text.isdecimal() else int(float(text))
    except (ValueError, OverflowError):
        return None


def _time(value: Any) -> int | None:
    """Unix seconds; None for 0, for what is missing, and for what is no time of this calendar."""
    seconds = _int(value)
    return seconds if seconds is not None and 0 < seconds <= LAST_SECOND else None


def _id(value: Any) -> str:
    """An id, which becomes the key of an object and part of a file name: no other characters than ids have."""
    text = _text(value)
    if text and not _ID.fullmatch(text):
        raise OddAnswer(f"Kaltura answered with {text[:40]!r} for an id")
    return text


_ENTRIES, _FLAVORS = "KalturaESearchEntryResponse", "KalturaFlavorAssetListResponse"
_PLACINGS, _THUMBS = "KalturaCategoryEntryListResponse", "KalturaThumbAssetListResponse"
# The tag of the thumb asset that is shown (`thumbParams::TAG_DEFAULT_THUMB` [read]).
DEFAULT_THUMB = "default_thumb"
_ENTRY_FIELDS = (
    "objectType", "id", "name", "status", "tags", "mediaType", "type", "createdAt", "updatedAt", "plays",
    "lastPlayedAt", "creatorId", "userId", "categoriesIds", "categories", "displayInSearch", "replacingEntryId",
    "replacedEntryId", "replacementStatus", "parentEntryId", "duration", "rootEntryId", "partnerId",
    "thumbnailUrl",
)  # fmt: skip
# Of these a missing one is not the same as an empty one: nobody's, never played, not being replaced.
_NEEDED_FIELDS = frozenset({
    "tags", "status", "userId", "creatorId", "categoriesIds", "plays", "lastPlayedAt", "displayInSearch",
    "replacingEntryId", "replacedEntryId", "replacementStatus", "parentEntryId", "partnerId",
})  # fmt: skip
_FLAVOR_FIELDS = (
    "objectType", "id", "entryId", "version", "status", "isOriginal", "sizeInBytes", "size", "fileExt", "createdAt",
    "deletedAt", "language", "updatedAt", "flavorParamsId", "label", "tags",
    "partnerData", "partnerDescription", "isDefault",
)  # fmt: skip


def _fields(raw: Any, names: Sequence[str]) -> dict[str, str]:
    """Those of these fields that an object of an answer has, as text.

    Of its XML element, which spares pages of entries the client's objects (all fields, most of them never looked at),
    or of the client's object.
    """
    if isinstance(raw, etree._Element):
        found = {child.tag: child.text or "" for child in raw.iterchildren(*names)}
        return found if "objectType" in found else {}
    values = {name: getattr(raw, name, NotImplemented) for name in names}
    return {name: _text(value) for name, value in values.items() if value is not NotImplemented}


def _entry(raw: Any) -> Entry:
    fields = _fields(raw, _ENTRY_FIELDS)
    entry_id = _id(fields.get("id"))
    if not entry_id:
        raise OddAnswer("Kaltura answered with an entry without id", retryable=True)
    if not fields.keys() >= _NEEDED_FIELDS or not fields["status"]:
        raise OddAnswer(f"Kaltura answered with an incomplete entry {entry_id}", retryable=True)
    text = fields.get
    categories, plays, played = text("categoriesIds", ""), text("plays", ""), text("lastPlayedAt", "")
    return Entry(
        id=entry_id,
        name=text("name", ""),
        status=fields["status"],
        tags=split_tags(fields["tags"]),
        tags_text=fields["tags"],
        media_type=_int(text("mediaType")),
        entry_type=text("type", ""),
        created_at=_time(text("createdAt")) or 0,
        updated_at=_time(text("updatedAt")) or 0,
        plays=_int(plays) or 0,
        last_played_at=_time(played),
        # What cannot be read is not "never".
        plays_known=(not plays or _int(plays) is not None) and (_time(played) is not None or played in ("", "0")),
        creator_id=text("creatorId", ""),
        owner_id=text("userId", ""),
        category_ids=tuple(part.strip() for part in categories.split(",") if part.strip()) if categories else (),
        categories=text("categories", ""),
        display_in_search=_int(text("displayInSearch")),
        replacing_entry_id=text("replacingEntryId", ""),
        replaced_entry_id=text("replacedEntryId", ""),
        replacement_status=text("replacementStatus") or "0",
        parent_entry_id=text("parentEntryId", ""),
        duration_seconds=_int(text("duration")),
        root_entry_id=text("rootEntryId", ""),
        partner_id=text("partnerId", ""),
        thumbnail_version=_picture_version(text("thumbnailUrl", "")),
    )


def _picture_version(url: str) -> str:
    """The version in the address of a picture, `…/thumbnail/entry_id/ID/version/VERSION`; empty where it has none."""
    return url.partition("/version/")[2].partition("/")[0].partition("?")[0]


def _flavor(raw: Any) -> FlavorAsset:
    text = _fields(raw, _FLAVOR_FIELDS).get
    flavor_id, entry_id, status = _id(text("id")), _id(text("entryId")), _int(text("status"))
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
        size_bytes=_int(text("sizeInBytes")) or None,
        size_kb=_int(text("size")) or None,
        file_ext=extension if _ID.fullmatch(extension) else "",
        created_at=_time(text("createdAt")),
        deleted_at=_time(text("deletedAt")),
        language=text("language", ""),
        odd=odd,
        flavor_params_id=_int(text("flavorParamsId")),
        label=text("label", ""),
        tags=text("tags", ""),
        partner_data=text("partnerData", ""),
        partner_description=text("partnerDescription", ""),
        is_default=text("isDefault", "").removeprefix("0"),
        updated_at=_time(text("updatedAt")),
    )


def _together(client: Any, calls: Sequence[Callable[[Any], object]], *, gone: str = ENTRY_GONE) -> list[Any]:
    """Several reads in one request: their answers in order as XML, None for what does not exist (error `gone`)."""
    client.startMultiRequest()
    for call in calls:
        call(client)
    answers = list(client.doQueue())
    client.multiRequestReturnType = None
    errors = [client.getExceptionIfError(answer) for answer in answers]
    for error in errors:
        if error is not None and error.code != gone:
            raise error
    if len(answers) != len(calls):
        raise KalturaError("Kaltura answered only some of the calls", retryable=True)
    return [answer if error is None else None for answer, error in zip(answers, errors, strict=True)]


def _ask_entry(entry_id: str, client: Any) -> None:
    client.media.get(entry_id)


def _ask_flavors(entry_ids: Sequence[str], page: int, client: Any) -> None:
    wanted, pager, body = KalturaFlavorAssetFilter(), KalturaFilterPager(), KalturaParams()
    wanted.entryIdIn = ",".join(entry_ids)
    # Any fixed order will do, so that pages fit together.
    wanted.orderBy = "+createdAt"
    pager.pageSize, pager.pageIndex = MAX_PAGE, page
    body.addObjectIfDefined("filter", wanted)
    body.addObjectIfDefined("pager", pager)
    client.queueServiceActionCall("flavorasset", "list", _FLAVORS, body)


def _flavor_page(answer: Any) -> tuple[list[FlavorAsset], int]:
    """The flavors of one page, and how many there are on all."""
    objects, total = _listed(answer, _FLAVORS)
    if answer.find("objects") is None:
        raise KalturaError("Kaltura answered with an incomplete list of flavors", retryable=True)
    return [_flavor(raw) for raw in objects], total


def _ask_thumbs(entry_id: str, client: Any) -> None:
    wanted, pager, body = KalturaThumbAssetFilter(), KalturaFilterPager(), KalturaParams()
    # Without the type, every slide of a lecture would be among them [read: thumbAsset.list, timedThumbAsset].
    wanted.entryIdEqual, wanted.typeIn = entry_id, KalturaAssetType.THUMBNAIL
    pager.pageSize, pager.pageIndex = MAX_PAGE, 1
    body.addObjectIfDefined("filter", wanted)
    body.addObjectIfDefined("pager", pager)
    client.queueServiceActionCall("thumbasset", "list", _THUMBS, body)


def _thumb(raw: Any) -> Thumb:
    return Thumb(
        id=_id(raw.findtext("id")),
        created_at=_time(raw.findtext("createdAt")) or 0,
        updated_at=_time(raw.findtext("updatedAt")) or 0,
        default=DEFAULT_THUMB in split_tags(raw.findtext("tags") or ""),
        by_hand=not raw.findtext("thumbParamsId"),
    )


def _ask_children(entry_id: str, client: Any) -> None:
    # By another engine than eSearch, whose failures are told (SEARCH_ENGINE_QUERY_FAILED); Kaltura itself finds the
    # further streams of a recording so [read: entryPeer, retrieveChildEntriesByEntryIdAndPartnerId].
    wanted, pager, body = KalturaBaseEntryFilter(), KalturaFilterPager(), KalturaParams()
    wanted.parentEntryIdEqual, wanted.statusIn, wanted.moderationStatusIn = entry_id, _THERE, _ANY_MODERATION
    pager.pageSize, pager.pageIndex = MAX_PAGE, 1
    body.addObjectIfDefined("filter", wanted)
    body.addObjectIfDefined("pager", pager)
    client.queueServiceActionCall("baseentry", "list", "KalturaBaseEntryListResponse", body)


def _children(answer: Any, entry_id: str) -> int:
    """How many further streams an entry has."""
    objects, total = _listed(answer, "KalturaBaseEntryListResponse")
    for child in objects:
        if same_id(child.findtext("parentEntryId") or "") != same_id(entry_id):
            raise _mixed_up(f"the further streams of {entry_id}", f"entry {child.findtext('id')}")
    return max(total, len(objects))


def _ask_placings(entry_ids: Sequence[str], page: int, client: Any) -> None:
    wanted, pager, body = KalturaCategoryEntryFilter(), KalturaFilterPager(), KalturaParams()
    # PENDING and ACTIVE. Rows of the database, not of an index [read: KalturaCategoryEntryFilter].
    wanted.entryIdIn, wanted.statusIn, wanted.orderBy = ",".join(entry_ids), "1,2", "+createdAt"
    pager.pageSize, pager.pageIndex = MAX_PAGE, page
    body.addObjectIfDefined("filter", wanted)
    body.addObjectIfDefined("pager", pager)
    client.queueServiceActionCall("categoryentry", "list", _PLACINGS, body)


def _placing_page(answer: Any) -> tuple[list[tuple[str, Placing]], int]:
    """Entry ids, each with a category that it is in, of one page, and how many there are on all."""
    objects, total = _listed(answer, _PLACINGS)
    if answer.find("objects") is None:
        raise KalturaError("Kaltura answered with an incomplete list of categories", retryable=True)
    found = []
    for row in objects:
        entry_id, number = _id(row.findtext("entryId")), _int(row.findtext("categoryId"))
        status = row.findtext("status")
        if not entry_id or number is None or status is None:
            raise KalturaError("Kaltura answered with an incomplete list of categories", retryable=True)
        found.append((entry_id, Placing(number, _above(row.findtext("categoryFullIds"), number), "", status == "2")))
    return found, total


def _ask_category(number: int, client: Any) -> None:
    client.category.get(number)


def _path(answer: Any, number: int) -> tuple[frozenset[int], str]:
    """What is above a category, and its full name; of one that is gone, or hidden from this user, nothing."""
    if answer is None:
        return frozenset(), ""
    if _int(answer.findtext("id")) != number:
        raise _mixed_up(f"category {number}", f"category {answer.findtext('id')}")
    return _above(answer.findtext("fullIds"), number), answer.findtext("fullName") or ""


def _above(full_ids: str | None, number: int) -> frozenset[int]:
    """The categories above this one, of Kaltura's `12>34>56`."""
    return frozenset(int(part) for part in (full_ids or "").split(">") if part.strip().isdecimal()) - {number}


def _mixed_up(asked: str, told: str) -> KalturaError:
    return KalturaError(
        f"Kaltura was asked for {asked} and answered with {told}: a cache or proxy on the way mixes answers up "
        "(check KALTURA_SERVICE_URL); nothing is done about it",
        retryable=True,
    )


def _ask_search(params: Mapping[str, Any], page_size: int, page: int, client: Any) -> None:
    body = KalturaParams()
    body.add("searchParams", _to_params(params))
    body.add("pager", _to_params({"objectType": "KalturaPager", "pageSize": page_size, "pageIndex": page}))
    client.queueServiceActionCall("elasticsearch_esearch", "searchEntry", _ENTRIES, body)


class Look(NamedTuple):
    """What one request told of an entry: `children` counts its further streams, `placings` are its categories; both
    only where asked for."""

    entry: Entry | None
    flavors: tuple[FlavorAsset, ...]
    children: int = 0
    placings: tuple[Placing, ...] | None = None


def _listed(answer: Any, kind: str) -> tuple[list[Any], int]:
    """The objects of a list that was answered as XML, and how many there are in all."""
    if answer.findtext("objectType") != kind:
        raise KalturaError("Kaltura answered with something else than was asked for", retryable=True)
    total, objects = _int(answer.findtext("totalCount")), answer.find("objects")
    if total is None:
        raise KalturaError("Kaltura answered without a count", retryable=True)
    return [] if objects is None else list(objects), total


def _xpath(path: str) -> Callable[[Any], Any]:
    return etree.XPath(path, smart_strings=False)


# Of what a search found; they run without Python's lock.
_ids, _times = _xpath("objects/*/object/id/text()"), _xpath("objects/*/object/createdAt/text()")
_objects = _xpath("objects/*/object")


@dataclass(frozen=True)
class _Found:
    """What a search found: (id, created at) of each entry on this page, how many match, and the XML of it all."""

    outlines: list[tuple[str, int]]
    total: int
    xml: Any

    @classmethod
    def of(cls, answer: Any) -> _Found:
        """KalturaError if a result has no object. What else it lacks is seen when it is used: a time that is not known
        is 0 here, and an entry without id is left out."""
        results, total = _listed(answer, _ENTRIES)
        ids, times = _ids(answer), _times(answer)
        if not len(results) == len(ids) == len(times):
            objects = [result.find("object") for result in results]
            if None in objects:
                raise KalturaError("Kaltura answered with an incomplete entry", retryable=True)
            ids, times = zip(*((o.findtext("id") or "", o.findtext("createdAt")) for o in objects), strict=True)
        return cls([(one, _int(at) or 0) for one, at in zip(ids, times, strict=True) if one], total, answer)

    def entries(self, odd: list[str] | None = None) -> Iterator[Entry]:
        """The entries; what is wrong with those that cannot be understood goes into `odd`, or is raised."""
        for raw in _objects(self.xml):
            try:
                entry = _entry(raw)
            except OddAnswer as error:
                if odd is None:
                    raise
                odd.append(str(error))
            else:
                yield entry


@dataclass(frozen=True)
class Page:
    """Entries that the index found, still as XML: whoever uses them builds them, while the next page is fetched."""

    found: _Found
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
                    raise _mixed_up(f"entries of partner {self.partner_id}", f"{entry.id} of {entry.partner_id or '?'}")
                del once[entry.id]
                yield entry
        if len(once) > len(self.odd):
            raise KalturaError(f"Kaltura's answer names entries that it does not show, {next(iter(once))} for one")


def _notes_of(session: Any, wanted_user: str) -> tuple[str, ...]:
    """What a session that an app token gave lacks, by Kaltura's own answer; nothing where it does not say."""
    kind, privileges = _int(session.sessionType), _text(session.privileges).split(",")
    notes = []
    if wanted_user and (user := _text(session.userId)) and user != wanted_user:
        notes.append(f"the app token is the user {user}'s: KALTURA_USERID {wanted_user} does not count; leave it out")
    if kind is not None and kind != KalturaSessionType.ADMIN:
        notes.append(
            "the app token gives user sessions: entries of other people cannot be changed and searches may not show "
            "them; make one with sessionType 2 (ADMIN)"
        )
    if "disableentitlement" not in privileges:
        notes.append(
            "the app token lacks the privilege disableentitlement: entries in private categories may not be seen; "
            "make one whose sessionPrivileges hold it"
        )
    return tuple(notes)


def _as_stored(tags: str) -> str:
    """What Kaltura makes of a field of tags when it is written."""
    return ", ".join(normalised_tags(split_tags(tags)))


def _require_room(entry_id: str, tags: str) -> None:
    """Raise EntryFailed for more tags than Kaltura keeps."""
    size_bytes = len(_as_stored(tags).encode())
    if size_bytes > MAX_TAGS_BYTES:
        raise EntryFailed(
            f"the tags of {entry_id} would have {size_bytes} bytes, of which Kaltura keeps {MAX_TAGS_BYTES} and drops "
            "the rest: its tags were not changed; remove some of them and run the command again"
        )


def _params_tags(pager: Any, client: Any) -> list[tuple[int | None, frozenset[str]]]:
    """Flavor parameters by their id, and the tags that they give to flavor assets."""
    objects = client.flavorParams.list(NotImplemented, pager).objects
    found = objects if isinstance(objects, list) else []
    return [(_int(params.id), frozenset(split_tags(_text(params.tags)))) for params in found]


def _list_tokens(wanted: Any, pager: Any, client: Any) -> list[Any]:
    answer = client.uploadToken.list(wanted, pager)
    return answer.objects if isinstance(answer.objects, list) else []


def _to_params(value: Any) -> Any:
    """Plain data as the client posts it: every scalar is a string (kaltura-api 1.1)."""
    if isinstance(value, Mapping):
        return {key: _to_params(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_to_params(item) for item in value] or {"-": ""}
    return str(value)


def _translate(error: Exception, what: str) -> KalturaError:
    if isinstance(error, KalturaException):
        code = str(error.code)
        # An ordinary error text names ids only; that of a KS may quote the KS itself (kaltura-api 2).
        text = redact(" ".join(str(error.message).split()))[:300]
        return KalturaError(
            f"{what}: Kaltura says {text} ({redact(code)[:60]})", code=code, retryable=code in RETRYABLE
        )
    error_text = error.message if isinstance(error, KalturaClientException) else error
    if isinstance(error_text, requests.Timeout | TimeoutError):
        shown = "no answer in time"
    elif isinstance(error_text, requests.ConnectionError | ConnectionError):
        shown = "the connection failed"
    else:
        shown = redact(" ".join(str(error_text).split()))[:200]
    return KalturaError(f"{what}: no proper answer from Kaltura ({shown})", retryable=True)


class Kaltura:
    """All that we ask of Kaltura. Safe to use from many threads; every method raises KalturaError.

    `read_only` is the second wall of a dry run: methods that change something then raise AssertionError. Reads are
    retried with growing pauses; a write is repeated only when Kaltura said that nothing was done, so after any other
    failure of a write its outcome has to be read.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        read_only: bool,
        stop: threading.Event | None = None,
        bandwidth: Bandwidth | None = None,
        calls: AbstractContextManager[object] | None = None,
    ) -> None:
        """`calls` is entered for the time of each call."""
        self._settings = settings
        self._read_only = read_only
        self._stop = stop or threading.Event()
        self._idle: list[Any] = []  # clients, each with its connection, the last one used last
        self._bandwidth = bandwidth
        self._calls = calls or nullcontext()
        self._local = threading.local()
        self._hosts: dict[tuple[str, str], Host | None] = {}  # file hosts that are asked without a detour
        self._session_lock = threading.Lock()
        self._ks = ""
        self._params_lock = threading.Lock()
        self._usual_tags: dict[int, frozenset[str]] | None = None
        self._partner = settings.partner_id.strip().lstrip("0")
        self._paths: dict[int, tuple[float, frozenset[int], str]] = {}  # (when read, above, full name) of a category
        self._hash_types: tuple[str, ...] = HASH_TYPES
        self.session_user = settings.user_id  # an app token may have a user of its own
        self.session_notes: tuple[str, ...] = ()  # what is odd about the session that an app token gives
        self._heard = ("", 0.0)  # what time it was there, and here
        self.pace = Pace(self._pause)

    # Sessions

    def sign_in(self) -> None:
        """Open a session; ConfigError tells what is wrong with the credentials or the address."""
        with self._session_lock:
            self._start_session()

    def _start_session(self) -> None:
        s = self._settings
        try:
            partner = int(s.partner_id)
        except ValueError:
            raise ConfigError(f"KALTURA_PARTNERID must be a number, not {s.partner_id!r}") from None
        client = self._take_client()
        client.requestConfiguration.pop("ks", None)  # one that is set to anything is looked at: INVALID_KS [R]
        try:
            ks = self._app_session(client, partner) if s.app_token_id else self._secret_session(client, partner)
        except KalturaError as error:
            if error.code == "":
                raise ConfigError(
                    f"cannot reach Kaltura at {redact(s.service_url)}: {error}; check KALTURA_SERVICE_URL"
                ) from error
            raise ConfigError(f"cannot sign in: {self._sign_in_advice(error, partner)}") from error
        if not ks:
            raise ConfigError("Kaltura gave no session; check the credentials and KALTURA_SERVICE_URL")
        hide(ks)
        self._ks = ks
        self._idle.append(client)

    def _secret_session(self, client: Any, partner: int, kind: int = KalturaSessionType.ADMIN) -> str:
        s = self._settings
        start = partial(client.session.start, s.secret, s.user_id, kind, partner, 86400, "disableentitlement")
        return _text(self._retrying("sign in", start))

    def _app_session(self, client: Any, partner: int) -> str:
        """Exchange an app token for a KS.

        Nobody tells its hash type: the widget's answer has no such field, and appToken.get is not for widget sessions.
        So the likely ones are tried in turn, which locks nothing [R S24-S27], and the right one is remembered.
        """
        s = self._settings
        widget = self._retrying("sign in", lambda: client.session.startWidgetSession(f"_{partner}"))
        widget_ks = _text(getattr(widget, "ks", ""))
        if not widget_ks:
            raise KalturaError("sign in: Kaltura gave no session of the default widget", retryable=True)
        hide(widget_ks)
        client.setKs(widget_ks)
        for name in self._hash_types:
            token_hash = hashlib.new(name, (widget_ks + s.app_token).encode()).hexdigest()
            user = s.user_id or NotImplemented
            start = partial(
                client.appToken.startSession, s.app_token_id, token_hash, user, KalturaSessionType.ADMIN, 86400
            )
            try:
                answer: Any = self._retrying("sign in", start)
            except KalturaError as error:
                if error.code == "INVALID_APP_TOKEN_HASH" and name != self._hash_types[-1]:
                    continue
                raise
            self._hash_types = (name,)
            self.session_user = _text(answer.userId)
            self.session_notes = _notes_of(answer, s.user_id)
            return _text(answer.ks)
        raise AssertionError("unreachable")

    def _sign_in_advice(self, error: KalturaError, partner: int) -> str:
        """What a refused sign-in means and what to do about it (real-kaltura S02-S09, S13, S24-S34)."""
        s = self._settings
        said = str(error).removeprefix("sign in: ")
        if error.code == "SERVICE_FORBIDDEN_CONTENT_BLOCKED":
            return f"there is no account {partner}, or it is blocked ({said}); check KALTURA_PARTNERID"
        if error.code == "INVALID_WIDGET_ID":
            return (
                f"account {partner} has no default widget _{partner}, without which no app token works ({said}); check "
                "KALTURA_PARTNERID, have the widget made again by Kaltura's support, or use KALTURA_SECRET"
            )
        if error.code == "INVALID_APP_TOKEN_HASH":
            return f"KALTURA_APP_TOKEN is not the token of KALTURA_APP_TOKEN_ID {s.app_token_id} ({said})"
        if s.app_token_id:
            return f"{said}; check KALTURA_PARTNERID, KALTURA_APP_TOKEN_ID and KALTURA_APP_TOKEN"
        if error.code == "START_SESSION_ERROR" and self._is_user_secret(partner):
            return (
                f"KALTURA_SECRET is the user secret of account {partner}, which opens no session that may change "
                "entries; take the administrator secret, or better an app token"
            )
        if error.code == "START_SESSION_ERROR":
            return f"KALTURA_SECRET is not the administrator secret of account {partner} ({said}); check both"
        return f"{said}; check KALTURA_PARTNERID and KALTURA_SECRET"

    def _is_user_secret(self, partner: int) -> bool:
        """Whether the secret that opens no admin session opens a user's (S06, S07)."""
        client = self._take_client()
        client.requestConfiguration.pop("ks", None)
        try:
            ks = self._secret_session(client, partner, KalturaSessionType.USER)
        except KalturaError:
            return False
        hide(ks)
        return bool(ks)

    def user_exists(self, user_id: str) -> bool | None:
        """Whether the account has this user; None if we may not ask."""
        try:
            self._call("look for the user", lambda c: c.user.get(user_id))
        except KalturaError as error:
            if error.code == "INVALID_USER_ID":
                return False
            if error.retryable:
                raise
            return None
        return True

    def _take_client(self) -> Any:
        """A client that is nobody else's: KalturaApiClient is not thread-safe. To be given back when it did well.

        After an error it is of no more use (kaltura-api 1.4). More threads wait than call, so they have none each.
        """
        try:
            return self._idle.pop()
        except IndexError:
            return _Client(KalturaConfiguration(self._settings.service_url.rstrip("/")))

    # Calls

    def _retrying(self, what: str, call: Callable[[], T], *, writes: bool = False) -> T:
        """Make a call; again, with growing pauses, where that is safe (kaltura-api 9)."""
        tries = refusals = 0
        until = time.monotonic() + RETRY_SECONDS
        while True:
            try:
                with self._calls:
                    called_at = self.pace.wait(again=tries + refusals > 0)
                    answer = call()
            except (KalturaException, KalturaClientException, requests.RequestException, AttributeError) as error:
                # AttributeError is how the client fails on an answer that is not XML (kaltura-api 1.4).
                failure = _translate(error, what)
            except KalturaError as error:
                failure = error
            else:
                self.pace.passed()
                return answer
            if failure.code == RATE_LIMIT and refusals < MAX_REFUSALS:
                # It is about all our threads together.
                refusals += 1
                self.pace.refused(called_at)
                log.debug("%s; all calls pause", failure)
                continue
            tries += 1
            again = failure.code in NOT_ACTED if writes else failure.retryable
            if not again or tries == MAX_TRIES or failure.code == RATE_LIMIT or time.monotonic() >= until:
                raise failure
            pause = min(0.25 * 2**tries, 15) * (0.5 + random.random())  # noqa: S311 - jitter
            log.debug("%s; trying again in %.1f s", failure, pause)
            self._pause(pause)

    def _pause(self, seconds: float) -> bool:
        if seconds > 0 and self._stop.wait(seconds):
            raise Stopped("asked to stop")
        return False

    def _call(self, what: str, call: Callable[[Any], T], *, writes: bool = False) -> T:
        """Make a call with a KS, renewed once if Kaltura says that it has run out; then nothing had been done."""
        if writes and self._read_only:
            raise AssertionError(f"a dry run must not {what}")
        for renewed in (False, True):
            with self._session_lock:
                if not self._ks:
                    self._start_session()
                ks = self._ks

            def attempt(ks: str = ks) -> T:
                client = self._take_client()
                client.setKs(ks)
                answer = call(client)
                self._heard = (client.responseHeaders.get("Date", ""), time.time())
                self._idle.append(client)
                return answer

            try:
                return self._retrying(what, attempt, writes=writes)
            except KalturaError as error:
                ended = error.code == "INVALID_KS" and ('"EXPIRED"' in str(error) or '"LOGOUT"' in str(error))
                if renewed or not ended:
                    raise
                with self._session_lock:
                    if self._ks == ks:
                        self._ks = ""
        raise AssertionError("unreachable")

    def now(self) -> float:
        """Unix seconds on Kaltura's clock, as its last answer told it; on ours where none did."""
        date, heard_at = self._heard
        with suppress(TypeError, ValueError):
            return parsedate_to_datetime(date).timestamp() + time.time() - heard_at
        return time.time()

    # Reading

    def entry(self, entry_id: str) -> Entry | None:
        """The entry as it is now; None if there is none (never existed, deleted, or not visible to this user)."""
        try:
            return self._call(
                f"read entry {entry_id}", lambda c: self._as_asked(_entry(c.media.get(entry_id)), entry_id)
            )
        except KalturaError as error:
            if error.code == ENTRY_GONE:
                return None
            raise

    def _as_asked(self, entry: Entry, entry_id: str) -> Entry:
        """The entry, if it is the one that was asked for; however the id was spelled, `entry.id` is the true one."""
        if same_id(entry.id) != same_id(entry_id) or entry.partner_id != self._partner:
            raise _mixed_up(
                f"entry {entry_id} of partner {self._partner}", f"{entry.id} of {entry.partner_id or 'no partner'}"
            )
        return entry

    def entries(self, entry_ids: Iterable[str], *, size: int = GET_BATCH) -> Iterator[tuple[str, Entry | None]]:
        """Each id with its entry as it is now, `size` to a call; None as in `entry`."""
        ids = list(entry_ids)
        for start in range(0, len(ids), size):
            batch = ids[start : start + size]

            def read(client: Any, batch: list[str] = batch) -> list[Entry | None]:
                answers = _together(client, [partial(_ask_entry, entry_id) for entry_id in batch])
                return [
                    None if answer is None else self._as_asked(_entry(answer), entry_id)
                    for answer, entry_id in zip(answers, batch, strict=True)
                ]

            try:
                yield from zip(batch, self._call("read entries", read), strict=True)
            except OddAnswer as error:
                if len(batch) > 1:
                    yield from self.entries(batch, size=1)
                else:
                    log.error("entry %s: %s", batch[0], error)
                    yield batch[0], None

    def flavors(self, entry_ids: Iterable[str]) -> dict[str, tuple[FlavorAsset, ...]]:
        """The flavor assets of each entry, TEMP ones included, DELETED ones not; paged to the end (kaltura-api 4.4)."""
        ids = list(entry_ids)
        asked = {same_id(entry_id): entry_id for entry_id in ids}
        found: dict[str, list[FlavorAsset]] = {entry_id: [] for entry_id in ids}
        for start in range(0, len(ids), FLAVOR_BATCH):
            batch = ids[start : start + FLAVOR_BATCH]
            seen: set[str] = set()
            for page in range(1, 1000):

                def read(client: Any, page: int = page, batch: list[str] = batch) -> tuple[list[FlavorAsset], int]:
                    _ask_flavors(batch, page, client)
                    return _flavor_page(client.doQueue())

                try:
                    flavors, total = self._call("list flavors", read)
                except OddAnswer as error:
                    found |= self._odd_flavors(batch, error)
                    total = len(seen)
                    break
                for flavor in flavors:
                    if same_id(flavor.entry_id) not in asked:
                        raise _mixed_up(f"the flavors of {', '.join(batch[:3])}", f"those of {flavor.entry_id}")
                    if flavor.id not in seen:
                        seen.add(flavor.id)
                        found[asked[same_id(flavor.entry_id)]].append(flavor)
                if page * MAX_PAGE >= total:
                    break
            if len(seen) < total:
                raise KalturaError(f"Kaltura listed {len(seen)} of {total} flavors: try again")
        return {entry_id: tuple(flavors) for entry_id, flavors in found.items()}

    def _odd_flavors(self, entry_ids: Sequence[str], error: OddAnswer) -> dict[str, list[FlavorAsset]]:
        """The flavors of each of these entries, of which an answer about all could not be understood: asked for one by
        one. Of one that still is not understood there is a flavor that says so."""
        if len(entry_ids) > 1:
            return {entry_id: list(self.flavors([entry_id])[entry_id]) for entry_id in entry_ids}
        [entry_id] = entry_ids
        odd = FlavorAsset("", entry_id, status=FlavorStatus.ERROR, is_original=True, odd=str(error))
        return {entry_id: [odd]}

    def usual_tags(self) -> Mapping[int, frozenset[str]]:
        """The tags that flavor assets get by themselves, by flavor parameters; asked for once.

        Empty where this user may not know them: then any tag may be one that a person has set.
        """
        with self._params_lock:
            if self._usual_tags is None:
                found: list[tuple[int | None, frozenset[str]]] = []
                pager = KalturaFilterPager()
                pager.pageSize = MAX_PAGE
                try:
                    for page in range(1, 100):
                        pager.pageIndex = page
                        more = self._call("list flavor parameters", partial(_params_tags, pager))
                        found += more
                        if len(more) < MAX_PAGE:
                            break
                except KalturaError as error:
                    if error.retryable:
                        raise
                    log.debug("%s", error)
                    found = []
                self._usual_tags = {params_id: tags for params_id, tags in found if params_id is not None}
            return self._usual_tags

    def look(
        self, entry_id: str, *, children: bool = False, categories: bool = False, entry_last: bool = False
    ) -> Look:
        """The entry as in `entry`, its flavors, and where asked for how many further streams it has, and its
        categories; one request, and one for categories that were not read lately. All of it is the database's word.

        What is about to be overwritten is read last: the flavors, or with `entry_last` the entry.
        """
        calls: list[Callable[[Any], object]] = [partial(_ask_entry, entry_id), partial(_ask_flavors, [entry_id], 1)]
        if children:
            calls.append(partial(_ask_children, entry_id))
        if categories:
            calls.append(partial(_ask_placings, [entry_id], 1))
        if entry_last:
            calls.reverse()

        def read(client: Any) -> tuple[Look, int, int]:
            answers = _together(client, calls)
            raw, listed, *more = reversed(answers) if entry_last else answers
            if raw is None:
                return Look(None, ()), 0, 0
            if None in (listed, *more):
                raise KalturaError("Kaltura answered only some of the calls", retryable=True)
            flavors, total = _flavor_page(listed)
            for flavor in flavors:
                if same_id(flavor.entry_id) != same_id(entry_id):
                    raise _mixed_up(f"the flavors of {entry_id}", f"those of {flavor.entry_id}")
            placings, placing_total = self._placings_of([entry_id], more.pop()) if categories else ([], 0)
            count = _children(more.pop(), entry_id) if children else 0
            there = tuple(placing for _, placing in placings) if categories else None
            return Look(self._as_asked(_entry(raw), entry_id), tuple(flavors), count, there), total, placing_total

        found, total, placing_total = self._call(f"look at entry {entry_id}", read)
        if total > len(found.flavors):
            found = found._replace(flavors=self.flavors([entry_id])[entry_id])
        if found.placings is None:
            return found
        if placing_total > len(found.placings):
            return found._replace(placings=self.placings([entry_id])[entry_id])
        return found._replace(placings=self._with_paths(found.placings))

    def children(self, entry_ids: Sequence[str]) -> Counter[str]:
        """How many entries are further streams of each of these; one request for GET_BATCH of them."""
        found: Counter[str] = Counter()
        for start in range(0, len(entry_ids), GET_BATCH):
            batch = entry_ids[start : start + GET_BATCH]

            def read(client: Any, batch: Sequence[str] = batch) -> list[int]:
                answers = _together(client, [partial(_ask_children, entry_id) for entry_id in batch])
                if None in answers:
                    raise KalturaError("Kaltura answered only some of the calls", retryable=True)
                return list(map(_children, answers, batch))

            found.update(dict(zip(batch, self._call("list further streams", read), strict=True)))
        return found

    def picture(self, entry_id: str) -> Picture:
        """The entry's picture as it is now, in one request. Raises EntryFailed where the entry is gone."""

        def read(client: Any) -> Picture:
            raw, listed = _together(client, [partial(_ask_entry, entry_id), partial(_ask_thumbs, entry_id)])
            if raw is None or listed is None:
                raise EntryFailed(f"entry {entry_id} is gone")
            self._as_asked(_entry(raw), entry_id)
            url = raw.findtext("thumbnailUrl") or ""
            return Picture(_picture_version(url), url, tuple(map(_thumb, _listed(listed, _THUMBS)[0])))

        return self._call(f"look at the picture of {entry_id}", read)

    def picture_since(self, picture: Picture) -> int | None:
        """Since when (unix seconds) it is the entry's picture, by its host; None where that does not tell.

        Where nothing is known the host says a day in 2000 (`infraRequestUtils::DEFAULT_HTTP_TIME` [read]), and nothing
        where access to the picture is controlled.
        """
        what = "look at a picture"
        if urlsplit(picture.url).scheme not in ("http", "https"):
            return None
        try:
            with self._get(picture.url, {"Accept-Encoding": "identity"}) as answer:
                status, told = answer.status, answer.headers.get("Last-Modified") or ""
        except (OSError, http.client.HTTPException) as error:
            raise _translate(error, what) from error
        with suppress(TypeError, ValueError):
            at = int(parsedate_to_datetime(told).timestamp())
            return at if status == 200 and at > FIRST_KALTURA else None
        return None

    # Categories

    def category_name(self, category_id: int) -> str | None:
        """The full name of a category, by the database; None if there is none."""

        def read(client: Any) -> str:
            category = client.category.get(category_id)
            if _int(category.id) != category_id:
                raise _mixed_up(f"category {category_id}", f"category {_text(category.id)[:20]}")
            return _text(category.fullName)

        try:
            return self._call(f"read category {category_id}", read)
        except KalturaError as error:
            if error.code == CATEGORY_GONE:
                return None
            raise

    def _placings_of(self, entry_ids: Sequence[str], answer: Any) -> tuple[list[tuple[str, Placing]], int]:
        """A page of `_placing_page`, all of it about these entries."""
        rows, total = _placing_page(answer)
        asked = set(map(same_id, entry_ids))
        for entry_id, _ in rows:
            if same_id(entry_id) not in asked:
                raise _mixed_up(f"the categories of {', '.join(entry_ids[:3])}", f"those of {entry_id}")
        return rows, total

    def placings(self, entry_ids: Iterable[str]) -> dict[str, tuple[Placing, ...]]:
        """The categories that each entry is in, or is to be once a moderator agrees; from the database.

        One request for PLACING_BATCH entries, and one for GET_BATCH categories that were not read lately.
        """
        ids = list(entry_ids)
        found = [
            row for at in range(0, len(ids), PLACING_BATCH) for row in self._all_placings(ids[at : at + PLACING_BATCH])
        ]
        return self._placed(ids, found)

    def _all_placings(self, entry_ids: Sequence[str]) -> list[tuple[str, Placing]]:
        found: dict[tuple[str, int], Placing] = {}
        page, total = 0, 1
        while page * MAX_PAGE < total:
            page += 1

            def read(client: Any, page: int = page) -> tuple[list[tuple[str, Placing]], int]:
                _ask_placings(entry_ids, page, client)
                return self._placings_of(entry_ids, client.doQueue())

            rows, total = self._call("list categories of entries", read)
            if total > MAX_PAGE and len(entry_ids) > 1:
                # Rows of one second come in no certain order: pages need not fit together.
                half = len(entry_ids) // 2
                return self._all_placings(entry_ids[:half]) + self._all_placings(entry_ids[half:])
            found.update({(same_id(entry_id), placing.category_id): placing for entry_id, placing in rows})
        if len(found) < total:
            raise KalturaError(f"Kaltura listed {len(found)} of {total} categories of entries: try again")
        return [(entry_id, placing) for (entry_id, _), placing in found.items()]

    def _placed(self, entry_ids: Sequence[str], rows: Sequence[tuple[str, Placing]]) -> dict[str, tuple[Placing, ...]]:
        asked = {same_id(entry_id): entry_id for entry_id in entry_ids}
        found: dict[str, tuple[Placing, ...]] = dict.fromkeys(entry_ids, ())
        for (entry_id, _), placing in zip(rows, self._with_paths([p for _, p in rows]), strict=True):
            found[asked[same_id(entry_id)]] += (placing,)
        return found

    def flavors_and_placings(
        self, entry_ids: Sequence[str]
    ) -> tuple[dict[str, tuple[FlavorAsset, ...]], dict[str, tuple[Placing, ...]]]:
        """As `flavors` and `placings`, of FLAVOR_BATCH entries at most; one request for both."""
        asked = {same_id(entry_id): entry_id for entry_id in entry_ids}
        if not entry_ids:
            return {}, {}

        def read(client: Any) -> tuple[list[FlavorAsset], int, list[tuple[str, Placing]], int]:
            listed, rows = _together(
                client, [partial(_ask_flavors, entry_ids, 1), partial(_ask_placings, entry_ids, 1)]
            )
            if listed is None or rows is None:
                raise KalturaError("Kaltura answered only some of the calls", retryable=True)
            return *_flavor_page(listed), *self._placings_of(entry_ids, rows)

        try:
            assets, asset_total, placings, placing_total = self._call("list flavors and categories", read)
        except OddAnswer:
            return self.flavors(entry_ids), self.placings(entry_ids)
        flavors: dict[str, tuple[FlavorAsset, ...]] = dict.fromkeys(entry_ids, ())
        for flavor in assets:
            if same_id(flavor.entry_id) not in asked:
                raise _mixed_up(f"the flavors of {', '.join(entry_ids[:3])}", f"those of {flavor.entry_id}")
            flavors[asked[same_id(flavor.entry_id)]] += (flavor,)
        if asset_total > len(assets):
            flavors = self.flavors(entry_ids)
        if placing_total > len(placings):
            return flavors, self.placings(entry_ids)
        return flavors, self._placed(entry_ids, placings)

    def _with_paths(self, placings: Sequence[Placing]) -> tuple[Placing, ...]:
        """The same with names, and with what is above each category now: the rows learn of a move only later [read]."""
        now = time.monotonic()
        numbers = dict.fromkeys(p.category_id for p in placings)
        wanted = [n for n in numbers if n not in self._paths or now - self._paths[n][0] > CATEGORY_SECONDS]
        for start in range(0, len(wanted), GET_BATCH):
            batch = wanted[start : start + GET_BATCH]

            def read(client: Any, batch: list[int] = batch) -> list[tuple[frozenset[int], str]]:
                answers = _together(client, [partial(_ask_category, number) for number in batch], gone=CATEGORY_GONE)
                return list(map(_path, answers, batch))

            for number, path in zip(batch, self._call("read categories", read), strict=True):
                self._paths[number] = now, *path
        return tuple(
            replace(p, above=p.above | self._paths[p.category_id][1], name=self._paths[p.category_id][2])
            for p in placings
        )

    # Selecting

    def _search(self, params: Mapping[str, Any], *, page_size: int, page: int = 1) -> _Found:
        """What a search finds. That it finds nothing is believed only beside one that finds something."""

        def search(client: Any) -> _Found:
            _ask_search(params, page_size, page, client)
            return _Found.of(client.doQueue())

        found = self._call("search", search)
        return found if found.total else self._nothing(params, page_size, page)

    def _nothing(self, params: Mapping[str, Any], page_size: int, page: int) -> _Found:
        """The same search, in one request with one for anything at all.

        A search out of reach, or too slow, answers as one that finds nothing (real-kaltura E231). Raises KalturaError.
        """

        def read(client: Any) -> tuple[_Found, int, float]:
            began = time.monotonic()
            first, second = _together(
                client, [partial(_ask_search, params, page_size, page), partial(_ask_search, anything(), 0, 1)]
            )
            return _Found.of(first), _listed(second, _ENTRIES)[1], time.monotonic() - began

        found, there, seconds = self._call("search", read)
        if not found.total and seconds >= SEARCH_SECONDS:
            raise KalturaError(
                f"search: Kaltura found nothing within {seconds:.0f} s, which is what it says when its search is too "
                "slow: nothing was selected; try again later, or narrow the selection"
            )
        if not found.total and not there and (entries := self._entries_in_database()):
            raise KalturaError(
                f"search: Kaltura's search does not answer (it finds nothing at all, while the account holds {entries} "
                "entries): nothing was selected; try again once searching in Kaltura's KMC works"
            )
        return found

    def _entries_in_database(self) -> int:
        """How many media entries there are, by another engine than eSearch; its failures are told."""

        def read(client: Any) -> int:
            wanted, pager, body = KalturaMediaEntryFilter(), KalturaFilterPager(), KalturaParams()
            wanted.statusIn, wanted.moderationStatusIn = _THERE, _ANY_MODERATION
            pager.pageSize, pager.pageIndex = 1, 1
            body.addObjectIfDefined("filter", wanted)
            body.addObjectIfDefined("pager", pager)
            client.queueServiceActionCall("media", "list", "KalturaMediaListResponse", body)
            return _listed(client.doQueue(), "KalturaMediaListResponse")[1]

        return self._call("count entries", read)

    def count(self, query: Query) -> int:
        """How many entries the search index says match; one call."""
        return self._search(query.search_params(), page_size=0).total

    def pages(self, query: Query) -> Iterator[Page]:
        """Every entry that the index says matches, once, oldest first, as it is in the database now: page by page.

        The order within a second changes from call to call and the window ends at 10,000 (kaltura-api 3.4), so each
        page is the first one of a new query: created in or after the last second seen, less the ids of that second.
        An answer that does not keep to that is cut to what does, so that no entry comes twice. Raises KalturaError
        where fewer came than there still are.
        """
        size = query.page_size
        cursor: int | None = None
        seen: dict[str, int] = {}  # ids of the cursor's second and after it, with their seconds
        page = 1
        listed, gone, due, short = 0, 0, 0, False  # due: how many the next search has to find at least
        while True:
            if self._stop.is_set():
                raise Stopped("asked to stop")
            if len(seen) > MAX_EXCLUDED_IDS and cursor is not None:
                second = {entry_id for entry_id, created_at in seen.items() if created_at == cursor}
                known = len(second)
                yield from self._within_second(query, cursor, second)
                listed += len(second) - known
                seen = {entry_id: created_at for entry_id, created_at in seen.items() if created_at > cursor}
                cursor, page, due = cursor + 1, 1, 0
                continue
            params = query.search_params(created_from=cursor, not_ids=tuple(sorted(seen)))
            found = self._search(params, page_size=size, page=page)
            total = found.total
            fresh = {
                entry_id: created_at
                for entry_id, created_at in found.outlines
                if entry_id not in seen and (cursor is None or not created_at or created_at >= cursor)
            }
            yield Page(found, fresh, self._partner)
            listed += len(fresh)
            gone += max(0, min(size, total - (page - 1) * size) - len(found.outlines))
            short, due = short or total < due, 0
            if page * size >= total and (page == 1 or not fresh):
                if short:
                    self._require_all(query, listed + gone)
                return
            if not fresh:
                # Hits whose objects are gone: an empty page is not the end. They come in another order each time, so
                # the fewer pages the better.
                page = page + 1 if size == MAX_PAGE else 1
                size = MAX_PAGE
                if page * size > SEARCH_WINDOW:
                    raise SelectionError(
                        "the search index holds too many entries that are gone; select a narrower time"
                    )
                continue
            due = total - page * size
            # Not the latest: in the database an entry's second may have become another one than in the index.
            dated = [created_at for created_at in fresh.values() if created_at] or [cursor or 0]
            cursor = min(dated[-2:])
            seen = {
                entry_id: created_at
                for entry_id, created_at in (seen | fresh).items()
                if not created_at or created_at >= cursor
            }
            page = 1

    def _require_all(self, query: Query, listed: int) -> None:
        """Raise KalturaError if more entries than that match now: then pages of the search were not whole."""
        total = self.count(query)
        if total > listed:
            raise KalturaError(
                f"search: Kaltura's search says that {total} entries match, but listed only {listed} of them: the "
                "selection is not whole; try again, or name the entries by --idfile"
            )

    def _within_second(self, query: Query, second: int, seen: set[str]) -> Iterator[Page]:
        """The rest of a second that more entries share than one query can exclude: paged until all have been seen."""
        params = query.search_params(created_from=second)
        bound = {"objectType": "KalturaESearchRange", "lessThanOrEqual": second}
        params["searchOperator"]["searchItems"].append(
            {"objectType": "KalturaESearchEntryItem", "fieldName": "created_at", "itemType": 5, "range": bound}
        )
        for _ in range(40):  # each pass over pages in random order misses at most about a third of what is left
            page, total = 1, 1
            while (page - 1) * 500 < min(total, SEARCH_WINDOW):
                found = self._search(params, page_size=500, page=page)
                total = found.total
                new = {entry_id: created_at for entry_id, created_at in found.outlines if entry_id not in seen}
                seen.update(new)
                yield Page(found, [entry_id for entry_id, at in new.items() if at == second])
                if len(seen) >= total:
                    return
                page += 1
        raise SelectionError(
            f"{total} entries were created in second {second} and only {len(seen)} of them could be listed; "
            "select them by --idfile"
        )

    # Content

    def content(self, flavor: FlavorAsset, landing: Landing | None = None) -> tuple[int, Iterator[Piece]]:
        """The exact size of a flavor's content, and its bytes, resumed by Range where the connection is cut.

        `landing` is where they are read to, if it is to be elsewhere than in memory of their own.

        Raises EntryFailed for an empty answer: the file host's errors are an empty page with status 200 (kaltura-api
        4.5); and for one of another size than Kaltura tells, which says nothing of what Kaltura holds. Raises Changed
        where the flavor is replaced on the way.
        """
        response, size = self._open(flavor, 0, None)
        try:
            _require_size(flavor, size)
        except EntryFailed:
            response.close()
            raise
        return size, self.paced(self._stream(flavor, response, size, landing or Landing()))

    def paced(self, pieces: Iterator[Piece]) -> Iterator[Piece]:
        """The same pieces, no faster than --bandwidth allows; for what is moved from elsewhere, too."""
        return self._bandwidth.passing(pieces) if self._bandwidth else pieces

    def _files(self) -> requests.Session:
        """This thread's connections to file hosts, kept alive; they are told no cookies back."""
        session: requests.Session | None = getattr(self._local, "files", None)
        if session is None:
            session = self._local.files = _Session()
            session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        return session

    def _get(self, url: str, headers: Mapping[str, str]) -> Any:
        """The answer of a file host, to be read: straight from it, or by requests where it redirects or a proxy is set.

        Raises OSError or HTTPException.
        """
        address = urlsplit(url)
        place = (address.scheme, address.netloc)
        if place not in self._hosts:
            told = self._files().merge_environment_settings(url, {}, True, None, None)
            trust = told["verify"] if isinstance(told["verify"], str) else certifi.where()
            plain = address.hostname and "@" not in address.netloc and not told["proxies"]
            self._hosts[place] = Host(address, trust=trust, seconds=READ_SECONDS) if plain else None
        if host := self._hosts[place]:
            with suppress(http.client.InvalidURL, UnicodeError):  # requests knows how to write such an address
                answer = host.get(address._replace(scheme="", netloc="", fragment="").geturl() or "/", headers)
                if not 300 <= answer.status < 400:
                    return answer
                answer.close()
                self._hosts[place] = None
        return self._files().get(url, headers=headers, stream=True, timeout=(CONNECT_SECONDS, READ_SECONDS)).raw

    def _open(self, flavor: FlavorAsset, offset: int, size: int | None) -> tuple[Any, int]:
        what = f"download flavor {flavor.id} of {flavor.entry_id}"
        failure: KalturaError | None = None
        for attempt in range(1, MAX_TRIES + 1):
            if attempt > 1:
                self._pause(min(0.25 * 2**attempt, 15) * (0.5 + random.random()))  # noqa: S311 - jitter
            # A fresh address for each try: it may expire, and the host remembers errors of one for a minute (10.13).
            try:
                url = _text(self._call(what, lambda c: c.flavorAsset.getUrl(flavor.id)))
            except KalturaError as error:
                if error.code == "ASSET_NOT_ALLOWED":
                    raise KalturaError(f"{error}: {_ACCESS_CONTROL}", code=FORBIDDEN) from error
                raise
            if urlsplit(url).scheme not in ("http", "https"):
                raise KalturaError(f"{what}: Kaltura gave no address to download from")
            named = _NAMED_FLAVOR.search(urlsplit(url).path)
            if named and same_id(named[1]) != same_id(flavor.id):
                failure = _mixed_up(f"the address of flavor {flavor.id}", f"that of {named[1]}")
                continue
            if attempt > 2:
                url += f"{'&' if '?' in url else '?'}attempt={attempt}"
            headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={offset}-"} if offset else {})
            try:
                response = self._get(url, headers)
            except (OSError, http.client.HTTPException) as error:
                failure = _translate(error, what)
                continue
            reason = response.headers.get("X-Kaltura-App") or ""
            length = response.headers.get("Content-Length", "")
            if response.status == (206 if offset else 200) and length.isdigit() and int(length) > 0 and not reason:
                found = offset + int(length)
                if size is not None and found != size:
                    response.close()
                    raise Changed(f"{what}: the content is now {found} bytes, not {size}")
                return response, found
            response.close()
            if forbidden := _forbidden(reason):
                raise KalturaError(f"{what}: {forbidden} ({redact(reason)[:120]})", code=FORBIDDEN)
            failure = KalturaError(
                f"{what}: the file host sent no content (HTTP {response.status}, {length or 'no'} bytes"
                f"{', ' + redact(reason)[:120] if reason else ''})",
                retryable=True,
            )
        raise failure or AssertionError("unreachable")

    def _stream(self, flavor: FlavorAsset, response: Any, size: int, landing: Landing) -> Iterator[Piece]:
        offset, cuts = 0, 0
        while True:
            before = offset
            with response, suppress(OSError, urllib3.exceptions.HTTPError, http.client.HTTPException):
                while piece := landing.read(response):
                    if self._stop.is_set():
                        break
                    offset += len(piece)
                    yield piece
            if self._stop.is_set():
                raise Stopped("asked to stop")
            if offset >= size:
                break
            cuts = cuts + 1 if offset - before < MIN_PROGRESS_BYTES else 0
            if cuts >= MAX_TRIES:
                raise KalturaError(f"download of flavor {flavor.id} was cut {cuts} times at byte {offset} of {size}")
            # Bytes of two versions must not be put together.
            now = {f.id: f for f in self.flavors([flavor.entry_id])[flavor.entry_id]}.get(flavor.id)
            if now is None or not (now.content_id == flavor.content_id or now.linked_again(flavor)):
                raise Changed(f"flavor {flavor.id} of {flavor.entry_id} was replaced while it was read")
            response, _ = self._open(flavor, offset, size)
        if offset != size:
            raise EntryFailed(f"flavor {flavor.id} gave {offset} bytes instead of {size}")

    # Changing

    def change_tags(
        self,
        entry_id: str,
        *,
        add: str = "",
        remove: str = "",
        check: Callable[[tuple[FlavorAsset, ...]], None] | None = None,
    ) -> Entry:
        """Add or remove a tag on a fresh read of the entry, and check the answer (kaltura-api 6).

        `check` is given the flavors, read in the same request as the entry, and may raise. Raises Changed if the entry
        is gone, EntryFailed if somebody's tag would be lost, KalturaError if Kaltura did not take the change.
        """
        before: Entry | None = None
        sent = ""
        for attempt in range(3):
            entry, flavors, *_ = self.look(entry_id, entry_last=True) if check else Look(self.entry(entry_id), ())
            if entry is None:
                raise Changed(f"entry {entry_id} is gone")
            if before:
                self._require_not_cut(before, sent, entry)
            if check:
                check(flavors)
            before, sent = entry, tags_with(entry.tags_text, add=add, remove=remove)
            if sent == entry.tags_text:
                return entry
            _require_room(entry_id, sent)
            try:
                update = partial(self._update, entry.id, sent)
                entry = self._call(f"set the tags of {entry_id}", update, writes=True)
            except KalturaError as error:
                if not error.retryable or attempt == 2:
                    raise
                self._pause(0.5)
                continue  # the answer was lost: the next fresh read tells
            if len(sent.encode()) > LONG_TAGS_BYTES:
                now = self.entry(entry_id)
                if now is None:
                    raise Changed(f"entry {entry_id} is gone")
                self._require_not_cut(before, sent, now)
                entry = now
            if (not add or add in entry.tag_set) and remove not in entry.tag_set:
                return entry
            break
        raise KalturaError(
            f"Kaltura accepted the tags of {entry_id} but did not store them: may this user edit the entry?"
        )

    def _require_not_cut(self, before: Entry, sent: str, now: Entry) -> None:
        """Raise EntryFailed if Kaltura holds only the beginning of the tags that were sent, after putting back those
        from `before`: its database cuts a long field after the answer, which shows all (real-kaltura M07).
        """
        whole, held = _as_stored(sent), now.tags_text.rstrip("\ufffd")  # what may be left of the last letter
        if whole == held or not whole.startswith(held) or len(sent.encode()) <= LONG_TAGS_BYTES:
            return
        log.warning("Kaltura dropped tags of %s, which are put back: %s", before.id, whole[len(held) :])
        back = partial(self._update, before.id, before.tags_text)
        self._call(f"put back the tags of {before.id}", back, writes=True)
        raise EntryFailed(
            f"Kaltura kept only {len(now.tags_text.encode())} of {len(whole.encode())} bytes of the tags of "
            f"{before.id}: they were put back as they had been; remove some of them and run the command again"
        )

    def _update(self, entry_id: str, tags: str, client: Any) -> Entry:
        change = KalturaMediaEntry()
        change.tags = tags
        return self._as_asked(_entry(client.media.update(entry_id, change)), entry_id)

    def new_token(self, file_name: str, size_bytes: int) -> str:
        token = KalturaUploadToken()
        token.fileName, token.fileSize = file_name, float(size_bytes)

        def add(client: Any) -> str:
            token_id = _text(client.uploadToken.add(token).id)
            if not token_id:
                raise KalturaError("Kaltura answered with an upload token without id", retryable=True)
            return token_id

        return self._call("add an upload token", add, writes=True)

    def unused_tokens(self) -> list[tuple[str, str]]:
        """(id, file name) of upload tokens that this tool made and that were not used so far."""
        wanted = KalturaUploadTokenFilter()
        wanted.statusIn = "0,1,2"
        found: list[tuple[str, str]] = []
        for page in range(1, MAX_TOKEN_PAGES + 1):
            pager = KalturaFilterPager()
            pager.pageSize, pager.pageIndex = 500, page
            answer = self._call("list upload tokens", partial(_list_tokens, wanted, pager))
            found += [
                (_text(token.id), _text(token.fileName))
                for token in answer
                if _text(token.fileName).startswith(TOKEN_PREFIX) and _int(token.status) in (0, 1, 2)
            ]
            if len(answer) < 500:
                break
        return found

    def delete_token(self, token_id: str) -> None:
        """Delete an upload token that is not needed; one that is gone is fine."""
        try:
            self._call("delete an upload token", lambda c: c.uploadToken.delete(token_id), writes=True)
        except KalturaError as error:
            if error.code != "UPLOAD_TOKEN_NOT_FOUND":
                log.warning("upload token %s was left behind: %s", token_id, error)

    def is_full(self, token_id: str, size_bytes: int) -> bool:
        """Whether a token is there, with all of its content, and unused."""
        try:
            return self._token_state(token_id) == (TOKEN_FULL, size_bytes)
        except KalturaError as error:
            if error.code == "UPLOAD_TOKEN_NOT_FOUND":
                return False
            raise

    def _token_state(self, token_id: str) -> tuple[int, int]:
        """(status, uploaded bytes) of a token."""

        def get(client: Any) -> tuple[int, int]:
            token = client.uploadToken.get(token_id)
            status = _int(getattr(token, "status", None))
            if status is None:
                raise KalturaError("Kaltura answered with an incomplete upload token", retryable=True)
            if same_id(_text(token.id)) != same_id(token_id):
                raise _mixed_up(f"upload token {token_id}", f"another, {_text(token.id)}")
            return status, _int(token.uploadedFileSize) or 0

        return self._call(f"read upload token {token_id}", get)

    def upload(self, token_id: str, file_name: str, size_bytes: int, pieces: Iterable[Piece]) -> None:
        """Send content to an upload token in chunks and check that Kaltura has all of it (kaltura-api 5.6).

        A chunk whose answer was lost is sent again from where the token stands. Raises KalturaError, or what `pieces`
        raises; the token is then of no use.
        """
        chunks = chunked(
            exactly(pieces, size_bytes, f"for upload token {token_id} came"), CHUNK_BYTES, size_bytes, self._stop
        )
        offset = 0
        # One chunk is read while the one before is sent.
        with ThreadPoolExecutor(1, thread_name_prefix="ahead") as reader:
            coming: Future[Chunk | None] = reader.submit(next, chunks, None)
            try:
                while chunk := coming.result():
                    try:
                        coming = reader.submit(next, chunks, None)
                        final = offset + len(chunk) == size_bytes
                        if final:
                            # Whether the last one may be sent is known at the very end of the pieces.
                            coming.result()
                        self._send_chunk(token_id, file_name, chunk, offset, final=final)
                        offset += len(chunk)
                    finally:
                        chunk.release()
            finally:
                with suppress(Exception):
                    if unsent := coming.result():
                        unsent.release()
                chunks.close()
        status, uploaded = self._token_state(token_id)
        if status != TOKEN_FULL or uploaded != size_bytes:
            raise KalturaError(f"upload token {token_id} has status {status} and {uploaded} of {size_bytes} bytes")

    def _send_chunk(self, token_id: str, file_name: str, chunk: Chunk, offset: int, *, final: bool) -> None:
        resume = offset > 0

        def send(client: Any) -> None:
            client.uploadToken.upload(token_id, _File(file_name, chunk), resume, final, offset if resume else -1)

        for attempt in range(1, MAX_TRIES + 1):
            try:
                self._call(f"upload to token {token_id}", send, writes=True)
                return
            except KalturaError as error:
                if attempt == MAX_TRIES:
                    raise
                status, uploaded = self._token_state(token_id)
                arrived = (
                    status == TOKEN_FULL if final else status in (1, TOKEN_FULL) and uploaded >= offset + len(chunk)
                )
                if arrived:
                    return
                if not error.retryable and error.code != "UPLOAD_TOKEN_INVALID_STATUS_FOR_UPLOAD":
                    raise
                if status not in (0, 1):
                    raise
                self._pause(0.25 * 2**attempt)

    def update_content(self, entry_id: str, resource: str) -> Entry:
        """Start the swap: `resource` is an upload token id, or an http(s) URL that Kaltura fetches.

        Never repeat it blindly: a second call cancels the first (kaltura-api 5.3).
        """
        options = KalturaEntryReplacementOptions()
        options.keepManualThumbnails = 1
        return self._call(
            f"replace the content of {entry_id}",
            lambda c: self._as_asked(
                _entry(c.media.updateContent(entry_id, _resource(resource), NotImplemented, options)), entry_id
            ),
            writes=True,
        )

    def add_content(self, entry_id: str, resource: str) -> None:
        """Give content to an entry that has none (NO_CONTENT). Not to be repeated blindly either (kaltura-api 5.1)."""
        self._call(
            f"add content to {entry_id}", lambda c: c.media.addContent(entry_id, _resource(resource)), writes=True
        )

    def approve_replace(self, entry_id: str) -> None:
        self._call(f"approve the replacement of {entry_id}", lambda c: c.media.approveReplace(entry_id), writes=True)

    def cancel_replace(self, entry_id: str) -> None:
        self._call(f"cancel the replacement of {entry_id}", lambda c: c.media.cancelReplace(entry_id), writes=True)

    def update_flavor(self, flavor_id: str, changes: Mapping[str, str]) -> None:
        """Set fields of a flavor asset, by our names, whatever its status. What came of it is to be read.

        Another call than that for the flavor's content: it changes nothing else.
        """
        change = KalturaFlavorAsset()
        for name, value in changes.items():
            kind = _ENUMS.get(name)
            setattr(change, _FIELDS.get(name, name), kind(value) if kind else value)
        what = f"set {', '.join(changes)} of flavor {flavor_id}"
        self._again(what, lambda c: c.flavorAsset.update(flavor_id, change))

    def take_picture(self, entry_id: str, seconds: int) -> str:
        """Have Kaltura show a frame of the original, which is READY; returns the picture's version. May be repeated.

        It makes no thumb asset and deletes none, and takes the mark of the default one from whichever has it
        (kaltura-api 5.4). A swap will bring the picture of its content all the same.
        """

        def take(client: Any) -> str:
            return self._as_asked(_entry(client.media.updateThumbnail(entry_id, seconds)), entry_id).thumbnail_version

        return self._again(f"take a picture of {entry_id}", take)

    def choose_picture(self, thumb_id: str) -> None:
        """Have Kaltura show this thumb asset of an entry. May be repeated."""
        self._again(f"show picture {thumb_id}", lambda c: c.thumbAsset.setAsDefault(thumb_id))

    def _again(self, what: str, call: Callable[[Any], T]) -> T:
        """Make a call that changes something and does no harm if it is made twice, up to three times."""
        for _ in range(2):
            try:
                return self._call(what, call, writes=True)
            except KalturaError as error:
                if not error.retryable:
                    raise
        return self._call(what, call, writes=True)

    def delete_flavor(self, flavor_id: str) -> None:
        """Delete a flavor asset, for good; one that is gone is fine."""
        try:
            self._again(f"delete flavor {flavor_id}", lambda c: c.flavorAsset.delete(flavor_id))
        except KalturaError as error:
            if error.code != "FLAVOR_ASSET_ID_NOT_FOUND":
                raise


_FIELDS = {"partner_data": "partnerData", "partner_description": "partnerDescription", "is_default": "isDefault"}
_ENUMS: dict[str, Callable[[str], Any]] = {
    "language": KalturaLanguage,
    "is_default": lambda value: KalturaNullableBoolean(int(value)),
}


def _resource(resource: str) -> Any:
    if resource.startswith(("http://", "https://")):
        url = KalturaUrlResource()
        url.url = resource
        return url
    token = KalturaUploadedFileTokenResource()
    token.token = resource
    return token
