"""What is asked of Kaltura, call by call."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from KalturaClient.Base import KalturaParams
from KalturaClient.Plugins.Core import (
    KalturaAssetType,
    KalturaBaseEntryFilter,
    KalturaCategoryEntryFilter,
    KalturaFilterPager,
    KalturaFlavorAssetFilter,
    KalturaLanguage,
    KalturaNullableBoolean,
    KalturaThumbAssetFilter,
    KalturaUploadedFileTokenResource,
    KalturaUrlResource,
)

from kaltura_archiver.errors import KalturaError
from kaltura_archiver.kaltura.answers import ENTRY_LIST, FLAVOR_LIST, PLACING_LIST, THUMB_LIST
from kaltura_archiver.kaltura.errors import ENTRY_GONE

SEARCH_WINDOW = 10_000
INCLUDE_FIELDS = 1
MAX_PAGE = 500
# No picture is so old: 2006-01-01. Kaltura began in that year.
FIRST_KALTURA = 1_136_073_600
# In any of these an entry is there: all but DELETED. (Plugins' statuses are none that a further stream is in.)
ANY_STATUS = "-2,-1,0,1,2,4,5,6,7"
ANY_MODERATION = "1,2,3,4,5,6"


def ask_together(client: Any, calls: Sequence[Callable[[Any], object]], *, gone: str = ENTRY_GONE) -> list[Any]:
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


def ask_entry(entry_id: str, client: Any) -> None:
    client.media.get(entry_id)


def ask_flavors(entry_ids: Sequence[str], page: int, client: Any) -> None:
    wanted, pager, body = KalturaFlavorAssetFilter(), KalturaFilterPager(), KalturaParams()
    wanted.entryIdIn = ",".join(entry_ids)
    # Any fixed order will do, so that pages fit together.
    wanted.orderBy = "+createdAt"
    pager.pageSize, pager.pageIndex = MAX_PAGE, page
    body.addObjectIfDefined("filter", wanted)
    body.addObjectIfDefined("pager", pager)
    client.queueServiceActionCall("flavorasset", "list", FLAVOR_LIST, body)


def ask_thumbs(entry_id: str, client: Any) -> None:
    wanted, pager, body = KalturaThumbAssetFilter(), KalturaFilterPager(), KalturaParams()
    # Without the type, every slide of a lecture would be among them [read: thumbAsset.list, timedThumbAsset].
    wanted.entryIdEqual, wanted.typeIn = entry_id, KalturaAssetType.THUMBNAIL
    pager.pageSize, pager.pageIndex = MAX_PAGE, 1
    body.addObjectIfDefined("filter", wanted)
    body.addObjectIfDefined("pager", pager)
    client.queueServiceActionCall("thumbasset", "list", THUMB_LIST, body)


def ask_children(entry_id: str, client: Any) -> None:
    # By another engine than eSearch, whose failures are told (SEARCH_ENGINE_QUERY_FAILED); Kaltura itself finds the
    # further streams of a recording so [read: entryPeer, retrieveChildEntriesByEntryIdAndPartnerId].
    wanted, pager, body = KalturaBaseEntryFilter(), KalturaFilterPager(), KalturaParams()
    wanted.parentEntryIdEqual, wanted.statusIn, wanted.moderationStatusIn = entry_id, ANY_STATUS, ANY_MODERATION
    pager.pageSize, pager.pageIndex = MAX_PAGE, 1
    body.addObjectIfDefined("filter", wanted)
    body.addObjectIfDefined("pager", pager)
    client.queueServiceActionCall("baseentry", "list", "KalturaBaseEntryListResponse", body)


def ask_made_of(entry_id: str, client: Any) -> None:
    # What was cut or cloned from it has it for its root [read: entry::getRoots, SphinxEntryCriteria].
    wanted, pager, body = KalturaBaseEntryFilter(), KalturaFilterPager(), KalturaParams()
    wanted.rootEntryIdEqual, wanted.statusIn, wanted.moderationStatusIn = entry_id, ANY_STATUS, ANY_MODERATION
    pager.pageSize, pager.pageIndex = MAX_PAGE, 1
    body.addObjectIfDefined("filter", wanted)
    body.addObjectIfDefined("pager", pager)
    client.queueServiceActionCall("baseentry", "list", "KalturaBaseEntryListResponse", body)


def ask_placings(entry_ids: Sequence[str], page: int, client: Any) -> None:
    wanted, pager, body = KalturaCategoryEntryFilter(), KalturaFilterPager(), KalturaParams()
    # PENDING and ACTIVE. Rows of the database, not of an index [read: KalturaCategoryEntryFilter].
    wanted.entryIdIn, wanted.statusIn, wanted.orderBy = ",".join(entry_ids), "1,2", "+createdAt"
    pager.pageSize, pager.pageIndex = MAX_PAGE, page
    body.addObjectIfDefined("filter", wanted)
    body.addObjectIfDefined("pager", pager)
    client.queueServiceActionCall("categoryentry", "list", PLACING_LIST, body)


def ask_category(number: int, client: Any) -> None:
    client.category.get(number)


def ask_search(
    params: Mapping[str, Any], page_size: int, page: int, client: Any, *, fields: Sequence[str] = ()
) -> None:
    """`fields` are those of each entry that are wanted, where not all: the others are null then (real-kaltura E246).

    All fields alike (`KalturaObject::generateFromObjectClass` [read]).
    """
    body = KalturaParams()
    if fields:
        profile = {"objectType": "KalturaDetachedResponseProfile", "type": INCLUDE_FIELDS, "fields": ",".join(fields)}
        body.add("responseProfile", _to_params(profile))
    body.add("searchParams", _to_params(params))
    body.add("pager", _to_params({"objectType": "KalturaPager", "pageSize": page_size, "pageIndex": page}))
    client.queueServiceActionCall("elasticsearch_esearch", "searchEntry", ENTRY_LIST, body)


def list_tokens(wanted: Any, pager: Any, client: Any) -> list[Any]:
    answer = client.uploadToken.list(wanted, pager)
    return answer.objects if isinstance(answer.objects, list) else []


def _to_params(value: Any) -> Any:
    """Plain data as the client posts it: every scalar is a string (kaltura-api 1.1)."""
    if isinstance(value, Mapping):
        return {key: _to_params(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_to_params(item) for item in value] or {"-": ""}
    return str(value)


def resource_of(resource: str) -> Any:
    if resource.startswith(("http://", "https://")):
        url = KalturaUrlResource()
        url.url = resource
        return url
    token = KalturaUploadedFileTokenResource()
    token.token = resource
    return token


ASSET_FIELDS = {"partner_data": "partnerData", "partner_description": "partnerDescription", "is_default": "isDefault"}
ASSET_ENUMS: dict[str, Callable[[str], Any]] = {
    "language": KalturaLanguage,
    "is_default": lambda value: KalturaNullableBoolean(int(value)),
}
