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
from kaltura_archiver.kaltura.answers import (
    ENTRY_LIST,
    FIELD_LIST,
    FLAVOR_LIST,
    METADATA_LIST,
    PLACING_LIST,
    PROFILE_LIST,
    THUMB_LIST,
)
from kaltura_archiver.kaltura.errors import ENTRY_GONE

SEARCH_WINDOW = 10_000
INCLUDE_FIELDS = 1
MAX_PAGE = 500
# No picture is so old: 2006-01-01. Kaltura began in that year.
FIRST_KALTURA = 1_136_073_600
# In any of these an entry is there: all but DELETED, and those of plugins.
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


def _ask_list(service: str, kind: str, wanted: Any, client: Any, *, page: int = 1) -> None:
    """A page of what a filter lets through."""
    pager, body = KalturaFilterPager(), KalturaParams()
    pager.pageSize, pager.pageIndex = MAX_PAGE, page
    body.addObjectIfDefined("filter", wanted)
    body.addObjectIfDefined("pager", pager)
    client.queueServiceActionCall(service, "list", kind, body)


def ask_flavors(entry_ids: Sequence[str], page: int, client: Any) -> None:
    wanted = KalturaFlavorAssetFilter()
    wanted.entryIdIn = ",".join(entry_ids)
    # Any fixed order will do, so that pages fit together.
    wanted.orderBy = "+createdAt"
    _ask_list("flavorasset", FLAVOR_LIST, wanted, client, page=page)


def ask_thumbs(entry_id: str, client: Any) -> None:
    wanted = KalturaThumbAssetFilter()
    # Without the type, every slide of a lecture would be among them [read: thumbAsset.list, timedThumbAsset].
    wanted.entryIdEqual, wanted.typeIn = entry_id, KalturaAssetType.THUMBNAIL
    _ask_list("thumbasset", THUMB_LIST, wanted, client)


def ask_children(entry_id: str, client: Any) -> None:
    # By another engine than eSearch, whose failures are told (SEARCH_ENGINE_QUERY_FAILED); Kaltura itself finds the
    # further streams of a recording so [read: entryPeer, retrieveChildEntriesByEntryIdAndPartnerId].
    _ask_entries("parentEntryIdEqual", entry_id, client)


def ask_made_of(entry_id: str, client: Any) -> None:
    # What was cut or cloned from it has it for its root [read: entry::getRoots, SphinxEntryCriteria].
    _ask_entries("rootEntryIdEqual", entry_id, client)


def _ask_entries(related: str, entry_id: str, client: Any) -> None:
    """The entries that are related so to this one, in whatever status."""
    wanted = KalturaBaseEntryFilter()
    setattr(wanted, related, entry_id)
    # Not DELETED: so plugins' statuses count, too, which a server without the plugin does not know by name
    # [read: KalturaBaseEntryFilter::setDefaultStatus, kPluginableEnumsManager::apiToCore].
    wanted.statusNotIn, wanted.moderationStatusIn = "3", ANY_MODERATION
    _ask_list("baseentry", "KalturaBaseEntryListResponse", wanted, client)


def ask_placings(entry_ids: Sequence[str], page: int, client: Any) -> None:
    wanted = KalturaCategoryEntryFilter()
    # PENDING and ACTIVE. Rows of the database, not of an index [read: KalturaCategoryEntryFilter].
    wanted.entryIdIn, wanted.statusIn, wanted.orderBy = ",".join(entry_ids), "1,2", "+createdAt"
    _ask_list("categoryentry", PLACING_LIST, wanted, client, page=page)


def ask_category(number: int, client: Any) -> None:
    client.category.get(number)


def _ask_about_entries(service: str, kind: str, wanted: Mapping[str, Any], client: Any, *, page: int = 1) -> None:
    """A page of the custom metadata of entries, or of its profiles."""
    body = KalturaParams()
    body.add("filter", _to_params({**wanted, "metadataObjectTypeEqual": "1"}))
    body.add("pager", _to_params({"objectType": "KalturaFilterPager", "pageSize": MAX_PAGE, "pageIndex": page}))
    client.queueServiceActionCall(service, "list", kind, body)


def ask_metadata(entry_ids: Sequence[str], client: Any) -> None:
    wanted = {"objectType": "KalturaMetadataFilter", "objectIdIn": ",".join(entry_ids), "orderBy": "+createdAt"}
    _ask_about_entries("metadata_metadata", METADATA_LIST, wanted, client)


def ask_profiles(page: int, client: Any) -> None:
    wanted = {"objectType": "KalturaMetadataProfileFilter", "orderBy": "+createdAt"}
    _ask_about_entries("metadata_metadataprofile", PROFILE_LIST, wanted, client, page=page)


def ask_fields(profile_id: int, client: Any) -> None:
    body = KalturaParams()
    body.addIntIfDefined("metadataProfileId", profile_id)
    client.queueServiceActionCall("metadata_metadataprofile", "listFields", FIELD_LIST, body)


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
