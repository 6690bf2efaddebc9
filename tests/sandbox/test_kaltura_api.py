"""The sandbox's Kaltura held to kaltura-api.md: protocol, sessions, entries, search (sections 1, 2, 3, 6, 7, 10)."""

from __future__ import annotations

import hashlib
import http.client
import json
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from KalturaClient import KalturaClient
from KalturaClient.Base import KalturaConfiguration
from KalturaClient.exceptions import KalturaClientException, KalturaException
from KalturaClient.Plugins.Core import (
    KalturaBaseEntryFilter,
    KalturaCategoryEntryFilter,
    KalturaFilterPager,
    KalturaFlavorAssetFilter,
    KalturaMediaEntry,
    KalturaMediaEntryFilter,
    KalturaPager,
    KalturaSessionType,
    KalturaUploadToken,
)
from KalturaClient.Plugins.ElasticSearch import (
    KalturaESearchCategoryEntryItem,
    KalturaESearchEntryItem,
    KalturaESearchEntryOperator,
    KalturaESearchEntryOrderByItem,
    KalturaESearchEntryParams,
    KalturaESearchOrderBy,
    KalturaESearchRange,
)

from kaltura_archiver.sandbox.control import Control
from kaltura_archiver.sandbox.kaltura.server import KalturaServer

AND, OR, NOT = 1, 2, 3
EXACT, PARTIAL, STARTS, EXISTS, RANGE = 1, 2, 3, 4, 5


@pytest.fixture
def server() -> Iterator[KalturaServer]:
    with KalturaServer(Control()) as running:
        yield running


@pytest.fixture(scope="module")
def shared() -> Any:
    """One client for all tests: making one costs as much as ten calls."""
    return KalturaClient(KalturaConfiguration())


@pytest.fixture
def client(server: KalturaServer, shared: Any) -> Any:
    shared.config = KalturaConfiguration(server.url)
    shared.callsQueue, shared.multiRequestReturnType = [], None
    shared.setKs(start_session(server))
    return shared


def new_client(server: KalturaServer, tail: str = "") -> Any:
    return KalturaClient(KalturaConfiguration(server.url + tail))


def start_session(server: KalturaServer) -> str:
    """An admin's KS, started without the client, whose requests would name an old one."""
    started = {"secret": server.secret, "userId": "archiver", "type": "2", "privileges": "disableentitlement"}
    text = post(server, "session", "start", partnerId=str(server.partner_id), **started)
    return text.partition("<result>")[2].partition("</result>")[0]


def sign_in(server: KalturaServer, *, privileges: str = "disableentitlement", **details: Any) -> Any:
    """Another client, with a session of its own."""
    made = new_client(server)
    details = {"userId": "archiver", "type": KalturaSessionType.ADMIN, "partnerId": server.partner_id} | details
    made.setKs(made.session.start(server.secret, privileges=privileges, **details))
    return made


def post(server: KalturaServer, service: str, action: str, headers: dict[str, str] | None = None, **body: Any) -> str:
    response = requests.post(
        f"{server.url}/api_v3/service/{service}/action/{action}",
        data=json.dumps(body),
        headers={"Content-Type": "application/json"} | (headers or {}),
        timeout=10,
    )
    assert response.status_code == 200
    return response.text


def item(field: str, item_type: int, term: Any = None, **bounds: int) -> Any:
    made = KalturaESearchEntryItem(fieldName=field, itemType=item_type)
    if term is not None:
        made.searchTerm = term
    if bounds:
        made.range = KalturaESearchRange(**bounds)
    return made


def operator(kind: int, *items: Any) -> Any:
    return KalturaESearchEntryOperator(operator=kind, searchItems=list(items))


def find(client: Any, *items: Any, order: str = "", size: int = 500, page: int = 1, **more: Any) -> Any:
    parameters = KalturaESearchEntryParams(searchOperator=operator(AND, *items), **more)
    if order:
        by = KalturaESearchEntryOrderByItem(sortField=order.lstrip("-"), sortOrder="desc" if order[0] == "-" else "asc")
        parameters.orderBy = KalturaESearchOrderBy(orderItems=[by])
    return client.elasticSearch.eSearch.searchEntry(parameters, KalturaPager(pageSize=size, pageIndex=page))


def found(client: Any, *items: Any, **more: Any) -> set[str]:
    return {result.object.id for result in find(client, *items, **more).objects}


VIDEO = item("media_type", EXACT, "1")


# 1.1, 1.2: requests and answers


def test_an_entry_comes_back_whole_through_the_real_client(server: KalturaServer, client: Any) -> None:
    """4.2, 1.4: empty numbers are None, enums are wrappers, status and replacementStatus are strings (§10.5)."""
    entry = server.add_entry(name='Größe <&> "x"', tags="lecture, archived_to_s3", created_at=1_500_000_000)
    got = client.media.get(entry.id)
    assert (got.id, got.name, got.tags) == (entry.id, 'Größe <&> "x"', "lecture, archived_to_s3")
    assert got.status.getValue() == "2"
    assert got.replacementStatus.getValue() == "0"
    assert (got.createdAt, got.plays, got.lastPlayedAt) == (1_500_000_000, 0, None)
    assert got.replacingEntryId == ""
    left_out = [name for name, value in vars(got).items() if value is NotImplemented and not name.startswith("multi")]
    assert left_out == []


def test_an_error_is_status_200_with_code_message_and_arguments(server: KalturaServer, client: Any) -> None:
    """1.2"""
    text = post(server, "media", "get", entryId="0_abc", ks=client.getKs())
    assert text.startswith(
        '<?xml version="1.0" encoding="utf-8"?><xml><result><error><code>ENTRY_ID_NOT_FOUND</code>'
        "<message>Entry id &quot;0_abc&quot; not found</message><objectType>KalturaAPIException</objectType>"
        "<args><item><objectType>KalturaApiExceptionArg</objectType><name>ENTRY_ID</name><value>0_abc</value></item>"
        "</args></error></result><executionTime>"
    )


def test_a_null_is_an_empty_element_and_an_empty_array_too(server: KalturaServer, client: Any) -> None:
    """1.2"""
    text = post(server, "media", "get", entryId=server.add_entry().id, ks=client.getKs())
    assert "<lastPlayedAt></lastPlayedAt>" in text
    assert "<streams></streams>" in text
    assert "<blockAutoTranscript>0</blockAutoTranscript>" in text


def test_names_may_be_of_any_case_and_the_slash_doubled(server: KalturaServer) -> None:
    """1.1"""
    assert "<result>1</result>" in post(server, "SYSTEM", "Ping")
    assert new_client(server, "/").system.ping() in (True, "1")


def test_a_json_body_under_another_content_type_is_not_read(server: KalturaServer, client: Any) -> None:
    """1.1, §10.12: the missing parameter is reported first."""
    headers = {"Content-Type": "application/json; charset=utf-8"}
    text = post(server, "media", "get", headers, entryId=server.add_entry().id, ks=client.getKs())
    assert "MISSING_MANDATORY_PARAMETER" in text


def test_parameters_in_the_url_win(server: KalturaServer, client: Any) -> None:
    """1.1"""
    entry = server.add_entry()
    text = post(server, "media", f"get/entryId/{entry.id}", entryId="0_other", ks=client.getKs())
    assert f"<id>{entry.id}</id>" in text


def test_characters_that_xml_forbids_are_refused(server: KalturaServer, client: Any) -> None:
    """1.1"""
    with pytest.raises(KalturaException, match="Invalid char") as caught:
        client.media.update(server.add_entry().id, KalturaMediaEntry(name="a\x07b"))
    assert caught.value.code == "INVALID_PARAMETER_CHAR"


def test_unknown_services_and_actions_are_named(server: KalturaServer) -> None:
    """1.2"""
    assert "SERVICE_DOES_NOT_EXISTS" in post(server, "nothing", "get")
    assert "ACTION_DOES_NOT_EXISTS" in post(server, "media", "nothing")


def test_connections_are_kept_open(server: KalturaServer) -> None:
    """1.2: many calls over one connection"""
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=10)
    sockets = []
    for _ in range(3):
        connection.request("POST", "/api_v3/service/system/action/ping")
        assert connection.getresponse().read()
        sockets.append(connection.sock)
    connection.close()
    assert sockets[0] is not None
    assert sockets == [sockets[0]] * 3


# 1.3: multirequest


def test_a_multirequest_runs_in_order_and_refers_to_results_from_one(server: KalturaServer, client: Any) -> None:
    """1.3: the reference is 1-based; a failed call does not stop the next."""
    entry = server.add_entry(name="first")
    client.startMultiRequest()
    client.media.get(entry.id)
    client.media.get("0_none")
    client.flavorAsset.getFlavorAssetsWithParams(client.getMultiRequestResult())
    client.queueServiceActionCall("media", "get", "KalturaMediaEntry", _parameters(entryId="{1:result:id}"))
    got, error, _, again = client.doMultiRequest()
    assert got.name == again.name == "first"
    assert isinstance(error, KalturaException)
    assert [r.operation for r in server.control.requests()][-5:] == [
        "multirequest",
        "media.get",
        "media.get",
        "flavorAsset.getFlavorAssetsWithParams",
        "media.get",
    ]
    assert not server.control.requests("multirequest")[0].writes


def _parameters(**values: str) -> Any:
    from KalturaClient.Base import KalturaParams

    made = KalturaParams()
    for name, value in values.items():
        made.put(name, value)
    return made


def test_a_reference_to_a_failed_call_becomes_the_empty_string_and_the_call_runs(
    server: KalturaServer, client: Any
) -> None:
    """1.3"""
    client.startMultiRequest()
    client.media.get("0_none")
    client.queueServiceActionCall("media", "get", "KalturaMediaEntry", _parameters(entryId="{1:result:id}"))
    errors = client.doMultiRequest()
    assert [error.message for error in errors] == ['Entry id "0_none" not found', 'Entry id "" not found']


def test_a_multirequest_that_writes_is_logged_as_writing(server: KalturaServer, client: Any) -> None:
    """Checklist 14"""
    entry = server.add_entry()
    client.startMultiRequest()
    client.media.get(entry.id)
    client.media.update(entry.id, KalturaMediaEntry(tags="aa"))
    client.doMultiRequest()
    assert [r.operation for r in server.control.writes()] == ["multirequest", "media.update"]


# 2: sessions


def test_a_wrong_secret_or_partner_gives_no_session(server: KalturaServer) -> None:
    """2; S02, S03, S06, S07"""
    for secret, partner, code in (
        ("wrong", server.partner_id, "START_SESSION_ERROR"),
        (server.user_secret, server.partner_id, "START_SESSION_ERROR"),
        (server.secret, 999, "SERVICE_FORBIDDEN_CONTENT_BLOCKED"),
    ):
        with pytest.raises(KalturaException) as caught:
            new_client(server).session.start(secret, "u", KalturaSessionType.ADMIN, partner)
        assert caught.value.code == code
    assert new_client(server).session.start(server.user_secret, "u", KalturaSessionType.USER, server.partner_id)


def test_the_expiry_is_capped_in_silence_and_then_the_ks_is_expired(server: KalturaServer) -> None:
    """2"""
    entry = server.add_entry()
    client = sign_in(server, expiry=5 * 86400)
    server.control.clock.advance(86399)
    client.media.get(entry.id)
    server.control.clock.advance(2)
    with pytest.raises(KalturaException) as caught:
        client.media.get(entry.id)
    assert (caught.value.code, caught.value.message) == ("INVALID_KS", 'Invalid KS "EXPIRED", Error "-1,INVALID_STR"')


def test_a_garbage_ks_is_quoted_in_the_error(server: KalturaServer) -> None:
    """2"""
    client = new_client(server)
    client.setKs("rubbish-ks")
    with pytest.raises(KalturaException, match='Invalid KS "rubbish-ks"'):
        client.media.get("0_x")


def test_without_ks_the_service_is_forbidden_but_a_missing_parameter_comes_first(server: KalturaServer) -> None:
    """§10.12; what everybody may read is answered, or as if it were not there (A07, A24)"""
    entry = server.add_entry()
    assert "<code>SERVICE_FORBIDDEN</code><message>The access to service [media-&gt;list]" in post(
        server, "media", "list"
    )
    assert "<code>ENTRY_ID_NOT_FOUND</code>" in post(server, "media", "get", entryId=entry.id)
    assert "<id>" in post(server, "flavorasset", "list", filter={"entryIdEqual": entry.id})
    assert "<code>INVALID_KS</code>" in post(server, "media", "update", entryId=entry.id, mediaEntry={"tags": "aa"})
    assert "<code>MISSING_MANDATORY_PARAMETER</code>" in post(server, "media", "get")


def test_an_ended_session_is_logged_out(server: KalturaServer, client: Any) -> None:
    """2"""
    client.session.end()
    with pytest.raises(KalturaException, match='Invalid KS "LOGOUT"'):
        client.media.get("0_x")


def test_a_ks_made_by_the_client_is_valid(server: KalturaServer) -> None:
    """2: KS v1"""
    client = new_client(server)
    ks = client.generateSession(server.secret, "me", KalturaSessionType.ADMIN, server.partner_id)
    client.setKs(ks.decode())
    assert client.media.get(server.add_entry(name="n").id).name == "n"


def test_a_user_may_not_touch_the_entry_of_another(server: KalturaServer) -> None:
    """2: permanent, and not an expiry"""
    entry = server.add_entry(creator_id="someone")
    client = sign_in(server, type=KalturaSessionType.USER)
    with pytest.raises(KalturaException, match='Error "-4,INVALID_TYPE"') as caught:
        client.media.update(entry.id, KalturaMediaEntry(tags="mine"))
    assert caught.value.code == "INVALID_KS"


def start_by_app_token(server: KalturaServer, token: str, **details: Any) -> Any:
    client = new_client(server)
    widget = client.session.startWidgetSession(f"_{server.partner_id}")
    client.setKs(widget.ks)
    token_hash = hashlib.sha256((widget.ks + token).encode()).hexdigest()
    info = client.appToken.startSession(server.app_token_id, token_hash, **details)
    client.setKs(info.ks)
    return client, info


def test_an_app_token_starts_a_session_with_its_own_user_and_privileges(server: KalturaServer) -> None:
    """2: reserved privileges given by the caller are ignored, those of the token hold; expiry is absolute."""
    server.app_tokens[server.app_token_id].privileges = "list:*"
    _, info = start_by_app_token(
        server, server.app_token, userId="other", expiry=60, sessionPrivileges="disableentitlement,sview:*"
    )
    assert info.userId == server.user_id
    assert abs(info.expiry - time.time() - 60) < 5
    assert "disableentitlement" not in info.privileges.split(",")
    assert {"list:*", "sview:*"} <= set(info.privileges.split(","))


def test_a_wrong_hash_is_refused_and_a_deleted_token_ends_its_sessions(server: KalturaServer) -> None:
    """2"""
    entry = server.add_entry()
    with pytest.raises(KalturaException) as caught:
        start_by_app_token(server, "wrong")
    assert caught.value.code == "INVALID_APP_TOKEN_HASH"
    client, _ = start_by_app_token(server, server.app_token)
    client.media.get(entry.id)
    server.app_tokens[server.app_token_id].status = 3
    with pytest.raises(KalturaException, match='Invalid KS "LOGOUT"'):
        client.media.get(entry.id)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"status": 1}, "APP_TOKEN_NOT_ACTIVE"),
        ({"status": 3}, "APP_TOKEN_ID_NOT_FOUND"),
        ({"expiry": 1.0}, "APP_TOKEN_EXPIRED"),
    ],
)
def test_an_app_token_out_of_use_is_refused(server: KalturaServer, change: dict[str, Any], code: str) -> None:
    """2"""
    for name, value in change.items():
        setattr(server.app_tokens[server.app_token_id], name, value)
    with pytest.raises(KalturaException) as caught:
        start_by_app_token(server, server.app_token)
    assert caught.value.code == code


@pytest.mark.parametrize("ks", ["NotImplemented", "garbage"])
def test_a_ks_that_is_none_is_refused_wherever_one_is_sent_but_by_session_start(server: KalturaServer, ks: str) -> None:
    """§10.17"""
    widget = {"widgetId": f"_{server.partner_id}"}
    assert "<ks>" in post(server, "session", "startWidgetSession", **widget)
    assert "<code>INVALID_KS</code>" in post(server, "session", "startWidgetSession", ks=ks, **widget)
    assert "<code>INVALID_KS</code>" in post(server, "system", "ping", ks=ks)
    started = {"secret": server.secret, "type": "2", "partnerId": str(server.partner_id)}
    assert "<result>djJ8" in post(server, "session", "start", ks=ks, **started)


def test_a_hash_in_upper_case_is_refused(server: KalturaServer) -> None:
    """S26"""
    client = new_client(server)
    widget = client.session.startWidgetSession(f"_{server.partner_id}")
    client.setKs(widget.ks)
    token_hash = hashlib.sha256((widget.ks + server.app_token).encode()).hexdigest()
    with pytest.raises(KalturaException) as caught:
        client.appToken.startSession(server.app_token_id, token_hash.upper())
    assert caught.value.code == "INVALID_APP_TOKEN_HASH"


def test_a_widget_session_may_read_and_change_nothing(server: KalturaServer) -> None:
    """S60-S64"""
    entry = server.add_entry()
    client = new_client(server)
    client.setKs(client.session.startWidgetSession(f"_{server.partner_id}").ks)
    with pytest.raises(KalturaException) as caught:
        client.media.update(entry.id, KalturaMediaEntry(tags="aa"))
    assert caught.value.code == "INVALID_KS"
    assert client.media.get(entry.id).id == entry.id
    with pytest.raises(KalturaException) as caught:
        find(client, VIDEO)
    assert caught.value.code == "SERVICE_FORBIDDEN"


def test_without_disableentitlement_private_entries_are_not_there(server: KalturaServer, client: Any) -> None:
    """2, §10.2: in search (a short page) and in media.get alike"""
    server.settings.entitlement = True
    server.add_category(1, "secret", private=True)
    hidden = server.add_entry(categories=[1])
    open_entry = server.add_entry()
    blind = sign_in(server, privileges="")
    assert client.media.get(hidden.id).id == hidden.id
    with pytest.raises(KalturaException, match="not found"):
        blind.media.get(hidden.id)
    result = find(blind, VIDEO)
    assert (result.totalCount, [r.object.id for r in result.objects]) == (2, [open_entry.id])


# 6: tags, media.update


def test_tags_are_normalised_and_replaced_as_a_whole(server: KalturaServer, client: Any) -> None:
    """6: split at commas, trimmed, lower case, under two bytes dropped, no repeats, joined with comma and blank"""
    entry = server.add_entry(tags="old")
    got = client.media.update(entry.id, KalturaMediaEntry(tags=" Lecture ,x,ARCHIVED_TO_S3,lecture,É, " + "y" * 120))
    assert got.tags == "lecture, archived_to_s3, É, " + "y" * 100
    assert client.media.update(entry.id, KalturaMediaEntry(tags="")).tags == ""


def test_only_the_properties_sent_are_written(server: KalturaServer, client: Any) -> None:
    """6"""
    entry = server.add_entry(name="kept", tags="aa", created_at=1000)
    got = client.media.update(entry.id, KalturaMediaEntry(tags="bb"))
    assert (got.name, got.tags) == ("kept", "bb")
    assert got.updatedAt > 1000


def test_admin_tags_are_joined_without_a_blank_and_need_an_admin(server: KalturaServer, client: Any) -> None:
    """6"""
    entry = server.add_entry(creator_id="archiver")
    assert client.media.update(entry.id, KalturaMediaEntry(adminTags="Aa, bb ,aa")).adminTags == "aa,bb"
    user = sign_in(server, type=KalturaSessionType.USER)
    with pytest.raises(KalturaException) as caught:
        user.media.update(entry.id, KalturaMediaEntry(adminTags="cc"))
    assert caught.value.code == "PROPERTY_VALIDATION_ADMIN_PROPERTY"


def test_whole_objects_cannot_be_sent_back(server: KalturaServer, client: Any) -> None:
    """6: the conversion profile is bound to the entry's status, other properties are read-only."""
    entry = server.add_entry()
    for sent, code in ((KalturaMediaEntry(conversionProfileId=8), "PROPERTY_VALIDATION_ENTRY_STATUS"),):
        with pytest.raises(KalturaException) as caught:
            client.media.update(entry.id, sent)
        assert caught.value.code == code
    text = post(server, "media", "update", entryId=entry.id, mediaEntry={"plays": "5"}, ks=client.getKs())
    assert "PROPERTY_VALIDATION_NOT_UPDATABLE" in text


def test_a_role_without_the_right_loses_tags_in_silence(server: KalturaServer, client: Any) -> None:
    """2: silently dropped fields"""
    server.settings.drop_tag_updates = True
    entry = server.add_entry(tags="before")
    assert client.media.update(entry.id, KalturaMediaEntry(tags="after")).tags == "before"


def test_never_played_is_plays_zero_and_no_date(server: KalturaServer, client: Any) -> None:
    """7"""
    text = post(server, "media", "get", entryId=server.add_entry().id, ks=client.getKs())
    assert "<plays>0</plays>" in text
    assert "<lastPlayedAt></lastPlayedAt>" in text


def test_deleted_and_recycled_entries(server: KalturaServer, client: Any) -> None:
    """4.2, 8: a deleted entry is not found; a recycled one is hidden from search but not by id (3.3)"""
    gone, recycled = server.add_entry(), server.add_entry()
    client.media.delete(gone.id)
    with pytest.raises(KalturaException, match="not found"):
        client.media.get(gone.id)
    client.baseEntry.recycle(recycled.id)
    assert found(client, VIDEO) == set()
    assert found(client, item("id", EXACT, recycled.id)) == {recycled.id}
    assert found(client, VIDEO, objectIds=f"{recycled.id},{gone.id}") == {recycled.id}


# 3.1: structure and validation


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({}, "EMPTY SEARCH OPERATOR IS NOT ALLOWED"),
        ({"searchOperator": {"operator": "1", "searchItems": {"-": ""}}}, "EMPTY SEARCH ITEMS ARE NOT ALLOWED"),
        ({"searchItems": [{"objectType": "KalturaESearchEntryOperator"}]}, "MISSING OPERATOR TYPE"),
        ({"searchItems": [("tags", "1", "")]}, "EMPTY SEARCH TERM IS NOT ALLOWED"),
        ({"searchItems": [("media_type", "2", "1")]}, "SEARCH_TYPE_NOT_ALLOWED_ON_FIELD"),
        ({"searchItems": [("plays", "1", "1")]}, "SEARCH_TYPE_NOT_ALLOWED_ON_FIELD"),
        ({"searchItems": [("created_at", "4", "1")]}, "SEARCH_TYPE_NOT_ALLOWED_ON_FIELD"),
        ({"searchItems": [("flavor_params_ids", "1", "0")]}, "SEARCH_TYPE_NOT_ALLOWED_ON_FIELD"),
        ({"searchItems": [("creator_id", "1", "x")]}, "INVALID_ENUM_VALUE"),
        ({"searchItems": [("tags", "1", "a"), {"objectType": "KalturaNo"}]}, "OBJECT_TYPE_ABSTRACT"),
        ({"searchItems": [("plays", "5", "")]}, "INTERNAL_SERVERL_ERROR"),
        (
            {"searchItems": [("tags", "1", "a")], "objectId": "0_a", "objectIds": "0_b"},
            "OBJECTID AND OBJECTIDS NOT ALLOWED SIMULTANEOUSLY",
        ),
        (
            {"searchItems": [("tags", "1", "a")], "orderBy": {"orderItems": [{"sortField": "odd"}]}},
            "INVALID_ENUM_VALUE",
        ),
    ],
)
def test_a_bad_search_is_refused(server: KalturaServer, client: Any, parameters: dict[str, Any], code: str) -> None:
    """3.1, §10.3, §10.10"""
    items = [
        {"objectType": "KalturaESearchEntryItem", "fieldName": i[0], "itemType": i[1], "searchTerm": i[2]}
        if isinstance(i, tuple)
        else i
        for i in parameters.pop("searchItems", [])
    ]
    if items:
        parameters["searchOperator"] = {"objectType": "KalturaESearchEntryOperator", "searchItems": items}
    text = post(server, "elasticsearch_esearch", "searchEntry", searchParams=parameters, ks=client.getKs())
    assert f"<code>{code}</code>" in text


def test_operators_nest_and_not_means_none_of_its_items(server: KalturaServer, client: Any) -> None:
    """3.1"""
    a, b, c = (server.add_entry(tags=tag).id for tag in ("aaa", "bbb", "ccc"))
    either = operator(OR, item("tags", EXACT, "aaa"), item("tags", EXACT, "bbb"))
    assert found(client, either) == {a, b}
    assert found(client, operator(NOT, item("tags", EXACT, "aaa"), item("tags", EXACT, "bbb"))) == {c}
    assert found(client, operator(NOT, either), VIDEO) == {c}


# 3.2: tags


@pytest.mark.parametrize(
    ("tags", "term", "item_type", "matches"),
    [
        ("archived_to_s3", "archived_to_s3", EXACT, True),
        ("lecture, Archived_To_S3", "archived_to_s3", EXACT, True),
        ("old archived_to_s3", "archived_to_s3", EXACT, True),
        ("archived_to_s3_old", "archived_to_s3", EXACT, False),
        ("archive", "archived_to_s3", EXACT, False),
        ("deep, blue", "deep blue", EXACT, False),
        ("the deep blue", "deep blue", EXACT, True),
        ("semi-final", "final", EXACT, False),
        ("café", "cafe", EXACT, True),
        ("archived_to_s3_old", "archived_to_s3", STARTS, True),
        ("old archived_to_s3", "archived_to_s3", STARTS, False),
        ("archive", "archived_to_s3", PARTIAL, True),
        ("archives", "archived_to_s3", PARTIAL, True),
        ("archival", "archived_to_s3", PARTIAL, True),
        ("arch", "archived_to_s3", PARTIAL, False),
        ("flavor deleted", "flavors_deleted", PARTIAL, True),
        ("flavor", "flavors_deleted", PARTIAL, False),
        ("archive", '"archived_to_s3"', PARTIAL, False),
        ("archived_to_s3", '"archived_to_s3"', PARTIAL, True),
    ],
)
def test_tags_match_as_the_index_analyses_them(
    server: KalturaServer, client: Any, tags: str, term: str, item_type: int, matches: bool
) -> None:
    """3.2, §10.14"""
    entry = server.add_entry(tags=tags)
    assert found(client, item("tags", item_type, term)) == ({entry.id} if matches else set())


def test_tags_exist_and_admin_tags_are_compared_whole(server: KalturaServer, client: Any) -> None:
    """3.2"""
    tagged, plain = (
        server.add_entry(tags="aa", admin_tags="archived,two words"),
        server.add_entry(admin_tags="archived2"),
    )
    assert found(client, item("tags", EXISTS)) == {tagged.id}
    assert found(client, operator(NOT, item("tags", EXISTS))) == {plain.id}
    assert found(client, item("admin_tags", EXACT, "archived")) == {tagged.id}
    assert found(client, item("admin_tags", EXACT, "words")) == set()


# 3.3: ranges, missing values, statuses


def test_a_missing_value_is_in_no_range(server: KalturaServer, client: Any) -> None:
    """3.3: never played is not "last played before"; a date of 0 is, and exists"""
    never = server.add_entry()
    zero = server.add_entry(last_played_at=0)
    old = server.add_entry(last_played_at=1000, plays=3)
    before = item("last_played_at", RANGE, lessThanOrEqual=2000)
    assert found(client, before) == {zero.id, old.id}
    assert found(client, item("last_played_at", EXISTS)) == {zero.id, old.id}
    unplayed = operator(OR, before, operator(NOT, item("last_played_at", EXISTS)))
    assert found(client, unplayed) == {never.id, zero.id, old.id}
    assert found(client, item("plays", RANGE, lessThan=1)) == {never.id, zero.id}


def test_a_range_without_bounds(server: KalturaServer, client: Any) -> None:
    """3.3: no range object is no condition at all; an empty one breaks the query"""
    entry = server.add_entry()
    assert found(client, VIDEO, item("plays", RANGE)) == {entry.id}
    empty = KalturaESearchEntryItem(fieldName="plays", itemType=RANGE, range=KalturaESearchRange())
    with pytest.raises(KalturaException) as caught:
        found(client, VIDEO, empty)
    assert caught.value.code == "INTERNAL_SERVERL_ERROR"


def test_only_ready_entries_unless_asked_for_others_and_all_types(server: KalturaServer, client: Any) -> None:
    """3.3"""
    ready, failed = server.add_entry(), server.add_entry(status="-1")
    playlist = server.add_entry(entry_type=5, derived=0)
    assert found(client, VIDEO) == {ready.id, playlist.id}
    assert found(client, VIDEO, objectStatuses="-1,2") == {ready.id, failed.id, playlist.id}
    assert found(client, VIDEO, item("entry_type", EXACT, "1")) == {ready.id}


def test_system_entries_are_hidden_but_for_their_parent_or_id(server: KalturaServer, client: Any) -> None:
    """3.3"""
    parent = server.add_entry()
    child = server.add_entry(parent_id=parent.id, display_in_search=-1)
    assert found(client, VIDEO) == {parent.id}
    assert found(client, item("parent_id", EXACT, parent.id)) == {child.id}
    assert found(client, item("display_in_search", EXACT, "-1")) == {child.id}


def test_categories(server: KalturaServer, client: Any) -> None:
    """3.3; real-kaltura K10-K15: `ancestor_id` is about what is above an entry's category, not about that itself."""
    server.add_category(1, "Top")
    server.add_category(2, "Below", parent=1)
    top, below, none = (server.add_entry(categories=c).id for c in ([1], [2], []))

    def category(field: str, term: str, item_type: int = EXACT) -> Any:
        return KalturaESearchCategoryEntryItem(fieldName=field, itemType=item_type, searchTerm=term)

    assert found(client, category("id", "1")) == {top}
    assert found(client, category("ancestor_id", "1")) == {below}
    assert found(client, category("ancestor_id", "2")) == set()
    assert found(client, operator(NOT, category("ancestor_id", "1"))) == {top, none}
    assert found(client, category("full_ids", "1>2")) == {below}
    assert found(client, category("full_ids", "1", STARTS)) == {top, below}
    assert found(client, category("name", "below")) == {below}
    assert found(client, operator(NOT, category("id", "x", EXISTS))) == {none}
    assert client.category.get(2).fullIds == "1>2"
    with pytest.raises(KalturaException) as caught:
        client.category.get(9)
    assert caught.value.code == "CATEGORY_NOT_FOUND"


def test_a_category_with_a_privacy_context_is_not_named_by_entries(server: KalturaServer, client: Any) -> None:
    """real-kaltura K01+; the rows of categoryEntry.list and the search tell of it all the same"""
    server.add_category(1, "Site", privacy_context="MediaSpace")
    server.add_category(2, "Course", parent=1)
    server.add_category(3, "Plain")
    entry, waiting, other = server.add_entry(categories=[2, 3]), server.add_entry(), server.add_entry(categories=[3])
    server.edit(waiting.id, pending_categories=(1,))
    shown = client.media.get(entry.id)
    assert (shown.categories, shown.categoriesIds) == ("Plain", "3")
    assert client.category.get(2).privacyContexts == "MediaSpace"
    item = KalturaESearchCategoryEntryItem(fieldName="id", itemType=EXACT, searchTerm="2")
    assert found(client, item) == {entry.id}

    def rows(size: int = 30, page: int = 1, **wanted: Any) -> tuple[list[tuple[str, int, str, int]], int]:
        answer = client.categoryEntry.list(
            KalturaCategoryEntryFilter(**wanted), KalturaFilterPager(pageSize=size, pageIndex=page)
        )
        told = [(r.entryId, r.categoryId, r.categoryFullIds, r.status.value) for r in answer.objects]
        return told, answer.totalCount

    two = [(entry.id, 2, "1>2", 2), (entry.id, 3, "3", 2)]
    assert rows(entryIdEqual=entry.id.upper()) == (two, 2)
    assert rows(entryIdIn=f"{entry.id},{other.id}") == ([*two, (other.id, 3, "3", 2)], 3)
    assert rows(entryIdEqual=waiting.id) == ([(waiting.id, 1, "1", 1)], 1)
    assert rows(entryIdEqual=waiting.id, statusIn="2") == ([], 0)
    assert rows(categoryIdEqual=3) == ([(entry.id, 3, "3", 2), (other.id, 3, "3", 2)], 2)
    assert rows(entryIdEqual=entry.id, size=1, page=2) == (two[1:], 2)
    assert rows(entryIdEqual="0_nosuch00") == ([], 0)


def test_further_streams_are_listed_by_their_parent(server: KalturaServer, client: Any) -> None:
    """What the search hides, and the moderation, an answer by parent shows [read]"""
    parent = server.add_entry()
    child = server.add_entry(parent_id=parent.id, display_in_search=-1, moderation_status=1)
    wanted = KalturaBaseEntryFilter(parentEntryIdEqual=parent.id, moderationStatusIn="1,6")
    assert [e.id for e in client.baseEntry.list(wanted).objects] == [child.id]
    assert client.baseEntry.list(KalturaBaseEntryFilter(parentEntryIdEqual=child.id)).objects == []


@pytest.mark.parametrize("how", ["down", "slow"])
def test_a_search_out_of_reach_answers_success_and_nothing(server: KalturaServer, client: Any, how: str) -> None:
    """real-kaltura E231"""
    entry = server.add_entry()
    if how == "down":
        server.settings.search_down = True
    else:
        server.settings.search_seconds, server.settings.search_limit_seconds = 1.0, 0.01
    answer = find(client, VIDEO)
    assert (answer.totalCount, answer.objects) == (0, [])
    assert client.media.list().objects[0].id == entry.id
    server.settings.search_down, server.settings.search_seconds = False, 0.0
    assert found(client, VIDEO) == {entry.id}


def test_the_index_may_know_what_is_gone_and_not_what_is_new(server: KalturaServer, client: Any) -> None:
    gone, new, other = (server.add_entry().id for _ in range(3))
    server.settings.not_indexed = frozenset({new})
    server.lose_record(gone)
    answer = find(client, VIDEO)
    assert (answer.totalCount, [r.object.id for r in answer.objects]) == (2, [other])
    server.settings.not_indexed = frozenset()
    assert found(client, VIDEO) == {new, other}


def test_ids_are_known_in_any_case_and_told_in_their_true_one(server: KalturaServer, client: Any) -> None:
    """real-kaltura N04-N06"""
    entry = server.add_entry(id="0_abcdefgh")
    original = server.original(entry.id)
    assert original is not None
    for odd in ("0_ABCDEFGH", "0_abcDEFgh", "0_abcdefgh  "):
        assert client.media.get(odd).id == entry.id
        assets = client.flavorAsset.list(KalturaFlavorAssetFilter(entryIdEqual=odd)).objects
        assert {asset.entryId for asset in assets} == {entry.id}
    assert client.flavorAsset.get(original.id.upper()).id == original.id
    token = client.uploadToken.add(KalturaUploadToken(fileName="v.mp4"))
    assert client.uploadToken.get(token.id.upper()).id == token.id
    with pytest.raises(KalturaException) as caught:
        client.media.get(" 0_abcdefgh")
    assert caught.value.code == "ENTRY_ID_NOT_FOUND"


# 3.4: result, order, paging


@pytest.fixture
def many(server: KalturaServer) -> KalturaServer:
    for number in range(1200):
        server.add_entry(created_at=1_000_000 + number // 100, content_bytes=10, derived=0)
    return server


def test_the_page_size_is_clamped_and_defaults_differ(many: KalturaServer, client: Any) -> None:
    """3.4: 500 at most; 30 in a pager, 10 without one; 0 only counts"""
    assert len(find(client, VIDEO, size=1000).objects) == 500
    assert len(find(client, VIDEO, size=0).objects) == 0
    assert find(client, VIDEO, size=0).totalCount == 1200
    parameters = KalturaESearchEntryParams(searchOperator=operator(AND, VIDEO))
    assert len(client.elasticSearch.eSearch.searchEntry(parameters).objects) == 10
    assert len(client.elasticSearch.eSearch.searchEntry(parameters, KalturaPager()).objects) == 30


def test_beyond_the_window_there_is_an_error(many: KalturaServer, client: Any) -> None:
    """3.4: counted after the clamp"""
    assert find(client, VIDEO, page=20).objects == []
    with pytest.raises(KalturaException) as caught:
        find(client, VIDEO, size=1000, page=21)
    assert caught.value.code == "CRITERIA EXCEEDED MAX MATCHES ALLOWED"


def test_entries_of_equal_rank_change_places_between_calls(many: KalturaServer, client: Any) -> None:
    """3.4: within ties, and everywhere without orderBy; the sort itself holds"""

    def ids(order: str) -> list[str]:
        return [r.object.id for r in find(client, VIDEO, order=order, size=150).objects]

    assert ids("") != ids("")
    assert ids("created_at") != ids("created_at")
    stamps = [many.entries[entry_id].created_at for entry_id in ids("-created_at")]
    assert stamps == sorted(stamps, reverse=True)
    many.settings.tie_order = "id"
    assert ids("") == ids("")


def test_missing_values_sort_last(server: KalturaServer, client: Any) -> None:
    """3.4"""
    server.add_entry(name="never")
    server.add_entry(name="late", last_played_at=200)
    server.add_entry(name="early", last_played_at=100)
    for order, names in (
        ("last_played_at", ["early", "late", "never"]),
        ("-last_played_at", ["late", "early", "never"]),
    ):
        assert [r.object.name for r in find(client, VIDEO, order=order).objects] == names


def test_the_index_lags_but_the_objects_are_current(server: KalturaServer, client: Any) -> None:
    """3.4: a tag already present although NOT tag was asked"""
    entry = server.add_entry(tags="plain")
    server.settle()
    server.settings.index_lag_seconds = 60
    client.media.update(entry.id, KalturaMediaEntry(tags="archived_to_s3"))
    result = find(client, operator(NOT, item("tags", EXACT, "archived_to_s3")))
    assert [r.object.tags for r in result.objects] == ["archived_to_s3"]
    server.control.clock.advance(61)
    assert found(client, item("tags", EXACT, "archived_to_s3")) == {entry.id}


def test_a_stale_hit_on_a_deleted_entry_has_status_3_and_a_lost_row_shortens_the_page(
    server: KalturaServer, client: Any
) -> None:
    """§10.2"""
    entries = [server.add_entry() for _ in range(3)]
    server.settle()
    server.settings.index_lag_seconds = 60
    client.media.delete(entries[0].id)
    del server.entries[entries[1].id]
    result = find(client, VIDEO)
    assert result.totalCount == 3
    assert {r.object.id: r.object.status.getValue() for r in result.objects} == {
        entries[0].id: "3",
        entries[2].id: "2",
    }


def test_totals_of_a_large_library_are_exact(server: KalturaServer, client: Any) -> None:
    """3.4: totals beyond 10,000"""
    for number in range(12_000):
        server.add_entry(
            created_at=1_000_000 + number // 7, derived=0, content_bytes=1, tags="bb" if number % 8 else "aa"
        )
    conditions = (VIDEO, operator(NOT, item("tags", EXACT, "aa")), item("created_at", RANGE, lessThanOrEqual=2_000_000))
    assert find(client, *conditions, size=1).totalCount == 10_500
    assert len(find(client, *conditions, order="created_at", page=3).objects) == 500


# 3.5: lists


def test_media_list_defaults_and_never_played(server: KalturaServer, client: Any) -> None:
    """3.5, §10.14"""
    never, played = server.add_entry(), server.add_entry(last_played_at=1_000_000_000)
    server.add_entry(status="-1")
    server.add_entry(moderation_status=1)
    listed = client.media.list(KalturaMediaEntryFilter(orderBy="+createdAt"), KalturaFilterPager(pageSize=500))
    assert {e.id for e in listed.objects} == {never.id, played.id}
    limit = 1_000_000_001
    only = client.media.list(KalturaMediaEntryFilter(lastPlayedAtLessThanOrEqual=limit))
    assert [e.id for e in only.objects] == [played.id]
    both = client.media.list(KalturaMediaEntryFilter(lastPlayedAtLessThanOrEqualOrNull=limit))
    assert both.totalCount == 2
    assert client.baseEntry.list(KalturaBaseEntryFilter(idIn=never.id)).totalCount == 1
    with pytest.raises(KalturaException) as caught:
        client.media.list(KalturaMediaEntryFilter(), KalturaFilterPager(pageSize=500, pageIndex=21))
    assert caught.value.code == "QUERY_EXCEEDED_MAX_MATCHES_ALLOWED"


# Checklist 9, 14: faults and the log


@pytest.mark.parametrize(
    ("kind", "error", "acted"),
    [
        ("drop_before", -4, False),
        ("drop_after", -4, True),
        ("http_500", -8, False),
        ("http_503", -8, False),
        ("empty", -2, False),
        ("empty_after", -2, True),
        ("cut_short", -4, True),
        ("garbage", -8, True),
    ],
)
def test_each_transport_fault_looks_to_the_client_as_it_does_in_life(
    server: KalturaServer, client: Any, kind: str, error: int, acted: bool
) -> None:
    """1.4, checklist 9"""
    entry = server.add_entry(tags="before")
    server.control.add_fault("media.update", kind)
    with pytest.raises(KalturaClientException) as caught:
        client.media.update(entry.id, KalturaMediaEntry(tags="after"))
    assert caught.value.code == error
    assert (entry.tags == "after") is acted
    assert client.media.get(entry.id).id == entry.id


def test_an_answer_cut_consistently_is_accepted_with_fields_missing(server: KalturaServer, client: Any) -> None:
    """1.4: the client's parser recovers"""
    entry = server.add_entry()
    server.control.add_fault("media.get", "cut")
    got = client.media.get(entry.id)
    assert got.id == entry.id
    assert got.lastPlayedAt is NotImplemented


def test_errors_on_cue(server: KalturaServer, client: Any) -> None:
    """2, 9: named by code, with the message of the server; other subjects pass"""
    entry, other = server.add_entry(), server.add_entry()
    server.control.add_fault("media.get", "error", code="INVALID_KS", subject=entry.id)
    client.media.get(other.id)
    with pytest.raises(KalturaException, match='Invalid KS "EXPIRED", Error "-1,INVALID_STR"'):
        client.media.get(entry.id)
    server.control.add_fault("eSearch.*", "error")
    with pytest.raises(KalturaException) as caught:
        found(client, VIDEO)
    assert (caught.value.code, caught.value.message) == ("INTERNAL_SERVERL_ERROR", "Internal server error occurred")


def test_a_fault_meets_one_call_of_a_multirequest(server: KalturaServer, client: Any) -> None:
    """Checklist 9, 12: an error is that call's own; a lost connection loses the whole answer"""
    good, bad = server.add_entry(name="good"), server.add_entry()
    server.control.add_fault("media.get", "error", code="ACTION_BLOCKED", subject=bad.id)
    client.startMultiRequest()
    for entry in (bad, good):
        client.media.get(entry.id)
    error, got = client.doMultiRequest()
    assert (error.code, got.name) == ("ACTION_BLOCKED", "good")
    server.control.add_fault("media.get", "drop_before", subject=bad.id)
    server.control.clear_log()
    client.startMultiRequest()
    for entry in (good, bad, good):
        client.media.get(entry.id)
    with pytest.raises(KalturaClientException):
        client.doMultiRequest()
    assert [r.subject for r in server.control.requests("media.get")] == [good.id, bad.id]


def test_a_late_answer(server: KalturaServer, client: Any) -> None:
    """Checklist 9"""
    entry = server.add_entry(tags="before")
    client.config.requestTimeout = 0.2
    server.control.add_fault("media.update", "delay", seconds=5)
    with pytest.raises(KalturaClientException) as caught:
        client.media.update(entry.id, KalturaMediaEntry(tags="after"))
    assert caught.value.code == -4
    assert entry.tags == "after"


def test_a_second_author_comes_between(server: KalturaServer, client: Any) -> None:
    """Checklist 10"""
    entry = server.add_entry(tags="mine")
    server.control.add_fault("media.get", after=lambda _: server.edit(entry.id, tags="Theirs"))
    assert client.media.get(entry.id).tags == "mine"
    assert client.media.get(entry.id).tags == "theirs"


def test_the_log_names_every_request_and_no_secret(server: KalturaServer, client: Any) -> None:
    """Checklist 14"""
    entry = server.add_entry()
    client.media.get(entry.id)
    started, got = server.control.requests()
    assert (started.operation, started.writes, got.operation, got.subject) == (
        "session.start",
        False,
        "media.get",
        entry.id,
    )
    everything = repr(server.control.requests())
    assert server.secret not in everything
    assert client.getKs() not in everything


def test_control_over_http(server: KalturaServer, client: Any) -> None:
    """For people: log, clock, faults, second author, entries"""
    entry = server.add_entry(b"content", name="n")
    before = server.control.clock.now()
    url = f"{server.url}/sandbox"
    requests.post(f"{url}/advance", json={"seconds": 1000}, timeout=5).raise_for_status()
    assert server.control.clock.now() - before >= 1000
    requests.post(f"{url}/edit", json={"id": entry.id, "tags": "AA"}, timeout=5).raise_for_status()
    requests.post(f"{url}/faults", json={"operation": "media.get", "kind": "empty"}, timeout=5).raise_for_status()
    with pytest.raises(KalturaClientException):
        client.media.get(entry.id)
    (listed,) = requests.get(f"{url}/entries", timeout=5).json()
    assert (listed["tags"], listed["bytes"]) == ("aa", 7)
    assert listed["sha256"] == hashlib.sha256(b"content").hexdigest()
    assert [r["operation"] for r in requests.get(f"{url}/log", timeout=5).json()] == ["session.start", "media.get"]
    assert requests.post(f"{url}/faults", json={"operation": "x", "kind": "no such"}, timeout=5).status_code == 400


def test_tags_that_are_the_same_do_not_move_the_time_of_change(server: KalturaServer, client: Any) -> None:
    """Probe M03 of a real server; with other tags it moves (M04)."""
    entry = server.add_entry(tags="physics, keep", created_at=1_500_000_000)
    for tags, moves in (("Physics,keep", False), ("physics, more", True)):
        change = KalturaMediaEntry()
        change.tags = tags
        answer = client.media.update(entry.id, change)
        assert (answer.updatedAt != 1_500_000_000) is moves


def test_tags_are_cut_at_the_columns_size_after_the_answer(server: KalturaServer, client: Any) -> None:
    """Probe M07 of a real server: 1,200 tags of 76 bytes."""
    entry, change = server.add_entry(), KalturaMediaEntry()
    change.tags = ", ".join(f"tag number {number:04d} {'z' * 60}" for number in range(1200))
    assert len(client.media.update(entry.id, change).tags) > 65_535
    assert len(client.media.get(entry.id).tags) == 65_535
