"""The sandbox's Kaltura held to kaltura-api.md: flavors, downloads, uploads, replacement (sections 4, 5, 10)."""

from __future__ import annotations

import hashlib
import http.server
import itertools
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from KalturaClient import KalturaClient
from KalturaClient.Base import KalturaConfiguration
from KalturaClient.exceptions import KalturaClientException, KalturaException
from KalturaClient.Plugins.Core import (
    KalturaEntryReplacementOptions,
    KalturaFilterPager,
    KalturaFlavorAssetFilter,
    KalturaSessionType,
    KalturaUploadedFileTokenResource,
    KalturaUploadToken,
    KalturaUrlResource,
)

from kaltura_archiver.sandbox.control import Control
from kaltura_archiver.sandbox.kaltura.server import EntryRecord, KalturaServer

READY, CONVERTING, QUEUED, IMPORTING, TEMP, ERROR = 2, 1, 0, 7, 5, -1
NEW = b"the new content " * 100


@pytest.fixture
def server() -> Iterator[KalturaServer]:
    with KalturaServer(Control()) as running:
        # Long, so that only the clock's moves finish a conversion.
        running.settings.conversion_seconds = 100
        yield running


@pytest.fixture(scope="module")
def shared() -> Any:
    """One client for all tests: making one costs as much as ten calls."""
    return KalturaClient(KalturaConfiguration())


@pytest.fixture
def client(server: KalturaServer, shared: Any) -> Any:
    shared.config = KalturaConfiguration(server.url)
    shared.setKs("")
    shared.setKs(
        shared.session.start(
            server.secret, "archiver", KalturaSessionType.ADMIN, server.partner_id, privileges="disableentitlement"
        )
    )
    return shared


def code_of(call: Any, *args: Any, **kwargs: Any) -> str:
    with pytest.raises(KalturaException) as caught:
        call(*args, **kwargs)
    return str(caught.value.code)


def upload(client: Any, data: bytes = NEW, name: str = "placeholder.mp4") -> str:
    token = client.uploadToken.add(KalturaUploadToken(fileName=name, fileSize=len(data)))
    client.uploadToken.upload(token.id, (name, data))
    return str(token.id)


def resource(token: str) -> Any:
    return KalturaUploadedFileTokenResource(token=token)


def state(client: Any, entry: EntryRecord) -> tuple[str, str, bool]:
    got = client.media.get(entry.id)
    return got.status.getValue(), got.replacementStatus.getValue(), bool(got.replacingEntryId)


def flavors(client: Any, entry_id: str) -> dict[int, tuple[str, int, int]]:
    listed = client.flavorAsset.list(KalturaFlavorAssetFilter(entryIdEqual=entry_id)).objects
    return {a.flavorParamsId: (a.id, a.version, a.status.getValue()) for a in listed}


def advance(server: KalturaServer, seconds: float) -> None:
    server.control.clock.advance(seconds)


# 4.3, 4.4: flavor assets


def test_sizes_are_exact_in_bytes_and_rounded_in_kilobytes(server: KalturaServer, client: Any) -> None:
    """4.3: three significant digits; old assets have no exact size"""
    new = server.add_entry(content_bytes=1_339_130_980, derived=0)
    old = server.add_entry(content_bytes=1_339_130_980, derived=0, exact_size=False)
    for entry, exact in ((new, 1_339_130_980), (old, 0)):
        (asset,) = client.flavorAsset.list(KalturaFlavorAssetFilter(entryIdEqual=entry.id)).objects
        assert asset.sizeInBytes == exact
        assert asset.size == 1_310_720
        assert (asset.isOriginal, asset.flavorParamsId, asset.version) == (True, 0, 2)


def test_flavors_of_many_entries_come_in_pages(server: KalturaServer, client: Any) -> None:
    """4.4: 30 a page unless asked, 500 at most; foreign ids are dropped; the entry id is mandatory"""
    ids = [server.add_entry(derived=60, content_bytes=100).id for _ in range(9)]
    wanted = KalturaFlavorAssetFilter(entryIdIn=",".join([*ids, "0_foreign"]))
    assert len(client.flavorAsset.list(wanted).objects) == 30
    first = client.flavorAsset.list(wanted, KalturaFilterPager(pageSize=1000))
    second = client.flavorAsset.list(wanted, KalturaFilterPager(pageSize=500, pageIndex=2))
    assert (first.totalCount, len(first.objects), len(second.objects)) == (549, 500, 49)
    assert len({a.id for a in first.objects + second.objects}) == 549
    assert code_of(client.flavorAsset.list, KalturaFlavorAssetFilter()) == "PROPERTY_VALIDATION_CANNOT_BE_NULL"


def test_entry_ids_beyond_500_are_cut_in_silence(server: KalturaServer, client: Any) -> None:
    """4.4"""
    last = server.add_entry(derived=0)
    ids = [f"0_foreign{n}" for n in range(500)] + [last.id]
    assert client.flavorAsset.list(KalturaFlavorAssetFilter(entryIdIn=",".join(ids))).totalCount == 0
    assert client.flavorAsset.list(KalturaFlavorAssetFilter(entryIdIn=",".join(ids[1:]))).totalCount == 1


def test_flavors_with_params_leave_out_temporary_ones_and_name_unused_params(
    server: KalturaServer, client: Any
) -> None:
    """4.4"""
    entry = server.add_entry()
    original = server.original(entry.id)
    assert original
    original.status = TEMP
    listed = client.flavorAsset.getFlavorAssetsWithParams(entry.id)
    shown = [(x.flavorParams.id, x.flavorAsset is not None) for x in listed]
    # All flavor parameters of the account, not of the profile only (F16).
    assert shown[:4] == [(2, True), (3, True), (0, False), (1, False)]
    assert len(shown) > 20
    assert client.flavorAsset.list(KalturaFlavorAssetFilter(entryIdEqual=entry.id)).totalCount == 3
    assert code_of(client.flavorAsset.getFlavorAssetsWithParams, "0_none") == "ENTRY_ID_NOT_FOUND"


def test_the_last_ready_flavor_takes_the_content_with_it(server: KalturaServer, client: Any) -> None:
    """4.6: no guard for the original; a second delete finds nothing; then NO_CONTENT"""
    entry = server.add_entry(derived=1)
    original = server.original(entry.id)
    assert original
    client.flavorAsset.delete(original.id)
    assert state(client, entry)[0] == "2"
    assert code_of(client.flavorAsset.delete, original.id) == "FLAVOR_ASSET_ID_NOT_FOUND"
    ((derived, _, _),) = flavors(client, entry.id).values()
    client.flavorAsset.delete(derived)
    assert state(client, entry)[0] == "7"
    assert server.original(entry.id) is None
    assert server.assets[original.id].status == 3


def test_set_content_replaces_bytes_in_place(server: KalturaServer, client: Any) -> None:
    """4.6: version + 10, no conversion, derived flavors untouched"""
    entry = server.add_entry()
    original = server.original(entry.id)
    assert original
    client.flavorAsset.setContent(original.id, resource(upload(client)))
    assert [version for _, version, _ in flavors(client, entry.id).values()] == [12, 2, 2]
    assert server.content(original.id) == NEW


# 4.5: the file host


def test_a_download_is_the_content_with_its_length(server: KalturaServer, client: Any) -> None:
    """4.5: GET, HEAD; the URL names entry, version and flavor, and holds no KS"""
    content = bytes(range(256)) * 20_000
    entry = server.add_entry(content, name="Vorlesung 1/2")
    original = server.original(entry.id)
    assert original
    url = client.flavorAsset.getUrl(original.id)
    assert f"/p/101/sp/10100/serveFlavor/entryId/{entry.id}/v/2/flavorId/{original.id}/fileName/" in url
    assert client.getKs() not in url
    head = requests.head(url, timeout=5)
    assert (head.headers["Content-Length"], head.headers["Accept-Ranges"], head.content) == ("5120000", "bytes", b"")
    assert requests.get(url, timeout=5).content == content


@pytest.mark.parametrize(
    ("wanted", "status", "start", "end"),
    [
        ("bytes=10-19", 206, 10, 20),
        ("bytes=90-", 206, 90, 100),
        ("bytes=-5", 206, 95, 100),
        ("bytes=95-200", 206, 95, 100),
    ],
)
def test_a_part_of_a_download(
    server: KalturaServer, client: Any, wanted: str, status: int, start: int, end: int
) -> None:
    """4.5: Range"""
    original = server.original(server.add_entry(bytes(range(100))).id)
    assert original
    got = requests.get(client.flavorAsset.getUrl(original.id), headers={"Range": wanted}, timeout=5)
    assert (got.status_code, got.content) == (status, bytes(range(start, end)))
    assert got.headers["Content-Range"] == f"bytes {start}-{end - 1}/100"


def test_a_part_beyond_the_end_is_416(server: KalturaServer, client: Any) -> None:
    """4.5"""
    original = server.original(server.add_entry(b"x" * 100).id)
    assert original
    got = requests.get(client.flavorAsset.getUrl(original.id), headers={"Range": "bytes=100-"}, timeout=5)
    assert (got.status_code, got.headers["Content-Range"]) == (416, "bytes 0-99/100")


def test_errors_of_the_file_host_are_200_without_body(server: KalturaServer, client: Any) -> None:
    """4.5, §10.13: and they may be cached per URL, so that a new address helps"""
    original = server.original(server.add_entry(b"content").id)
    assert original
    url = client.flavorAsset.getUrl(original.id)
    server.settings.file_error_cache_seconds = 60
    original.status = ERROR
    for _ in range(2):
        got = requests.get(url, timeout=5)
        assert (got.status_code, got.content) == (200, b"")
        assert got.headers["X-Kaltura-App"].startswith("exiting on error")
        original.status = READY
    assert requests.get(url + "?again=1", timeout=5).content == b"content"
    advance(server, 61)
    assert requests.get(url, timeout=5).content == b"content"


def test_a_flavor_that_is_not_ready_has_no_url(server: KalturaServer, client: Any) -> None:
    """4.5"""
    original = server.original(server.add_entry().id)
    assert original
    original.status = CONVERTING
    assert code_of(client.flavorAsset.getUrl, original.id) == "FLAVOR_ASSET_IS_NOT_READY"
    assert code_of(client.flavorAsset.getUrl, "0_none") == "FLAVOR_ASSET_ID_NOT_FOUND"


def test_a_url_may_carry_a_token_that_expires(server: KalturaServer, client: Any) -> None:
    """4.5: ask for a fresh URL per attempt"""
    original = server.original(server.add_entry(b"content").id)
    assert original
    server.settings.url_token = True
    url = client.flavorAsset.getUrl(original.id)
    assert requests.get(url, timeout=5).content == b"content"
    assert requests.get(url.partition("?")[0], timeout=5).status_code == 403
    advance(server, 301)
    assert requests.get(url, timeout=5).status_code == 403


def test_an_old_url_goes_on_serving_the_old_version_for_a_while(server: KalturaServer, client: Any) -> None:
    """4.5, 5.3"""
    entry = server.add_entry(b"old content")
    original = server.original(entry.id)
    assert original
    url = client.flavorAsset.getUrl(original.id)
    server.replace_original(entry.id, NEW)
    assert requests.get(url, timeout=5).content == b"old content"
    assert requests.get(client.flavorAsset.getUrl(original.id), timeout=5).content == NEW
    assert server.content(original.id) == NEW


@pytest.mark.parametrize("kind", ["drop_before", "http_503", "empty", "error", "cut", "cut_short", "flip", "garbage"])
def test_downloads_go_wrong_on_cue(server: KalturaServer, client: Any, kind: str) -> None:
    """Checklist 9, for the file host"""
    content = bytes(range(256)) * 10_000
    original = server.original(server.add_entry(content).id)
    assert original
    url = client.flavorAsset.getUrl(original.id)
    server.control.add_fault("file.GET", kind, subject=original.id)
    if kind in ("drop_before", "cut_short"):
        with pytest.raises(requests.exceptions.RequestException):
            requests.get(url, timeout=5)
    else:
        got = requests.get(url, timeout=5)
        assert got.content != content
        if kind == "flip":
            assert len([1 for a, b in zip(got.content, content, strict=True) if a != b]) == 1
        elif kind == "cut":
            assert got.content == content[: len(content) // 2]
        elif kind in ("empty", "error"):
            assert (got.status_code, got.content, "X-Kaltura-App" in got.headers) == (200, b"", True)
    assert requests.get(url, timeout=5).content == content
    assert [(r.server, r.operation, r.subject) for r in server.control.requests("file.*")] == [
        ("file", "file.GET", original.id)
    ] * 2


# 5.6: upload tokens


def test_a_file_is_uploaded_by_the_clients_own_multipart(server: KalturaServer, client: Any, tmp_path: Path) -> None:
    """5.6, §10.11: the size is empty before the first chunk; the file's path is the posted name"""
    token = client.uploadToken.add(KalturaUploadToken())
    assert (token.status.getValue(), token.uploadedFileSize) == (0, None)
    file = tmp_path / "Lecture One.mov"
    file.write_bytes(NEW)
    with file.open("rb") as stream:
        got = client.uploadToken.upload(token.id, stream)
    assert (got.status.getValue(), got.uploadedFileSize, got.fileName) == (2, float(len(NEW)), "Lecture One.mov")
    assert bytes(server.tokens[token.id].data) == NEW
    with file.open("rb") as stream:
        assert code_of(client.uploadToken.upload, token.id, stream) == "UPLOAD_TOKEN_INVALID_STATUS_FOR_UPLOAD"


def test_the_size_announced_is_not_checked(server: KalturaServer, client: Any) -> None:
    """5.6"""
    token = client.uploadToken.add(KalturaUploadToken(fileSize=10**9))
    assert client.uploadToken.upload(token.id, ("a.mp4", b"short")).status.getValue() == 2


def test_chunks_in_order_then_an_empty_last_one(server: KalturaServer, client: Any) -> None:
    """5.6"""
    token = client.uploadToken.add().id
    first = client.uploadToken.upload(token, ("a.mp4", b"abc"), False, False)
    assert (first.status.getValue(), first.uploadedFileSize) == (1, 3.0)
    client.uploadToken.upload(token, ("blob", b"def"), True, False, 3)
    # A chunk that was sent twice does no harm.
    client.uploadToken.upload(token, ("blob", b"cdef"), True, False, 2)
    last = client.uploadToken.upload(token, ("blob", b""), True, True, 6)
    assert (last.status.getValue(), last.uploadedFileSize) == (2, 6.0)
    assert bytes(server.tokens[token].data) == b"abcdef"


def test_early_chunks_are_parked_and_counted_at_the_next_call(server: KalturaServer, client: Any) -> None:
    """5.6, §10.11"""
    token = client.uploadToken.add().id
    client.uploadToken.upload(token, ("a.mp4", b"ab"), False, False)
    assert client.uploadToken.upload(token, ("a.mp4", b"ef"), True, False, 4).uploadedFileSize == 2.0
    assert client.uploadToken.upload(token, ("a.mp4", b"cd"), True, False, 2).uploadedFileSize == 4.0
    assert client.uploadToken.upload(token, ("a.mp4", b"gh"), True, True, 6).uploadedFileSize == 8.0
    assert bytes(server.tokens[token].data) == b"abcdefgh"


def test_the_final_chunk_waits_for_the_others(server: KalturaServer, client: Any) -> None:
    """5.6: parallel chunks; and it gives up, retryably, when they do not come"""
    token = client.uploadToken.add().id
    client.uploadToken.upload(token, ("a.mp4", b"ab"), False, False)
    server.settings.final_chunk_wait_seconds = 0.05
    assert code_of(client.uploadToken.upload, token, ("a.mp4", b"ef"), True, True, 4) == (
        "UPLOAD_TOKEN_CANNOT_MATCH_EXPECTED_SIZE"
    )
    assert client.uploadToken.get(token).status.getValue() == 1
    server.settings.final_chunk_wait_seconds = 5
    done: list[Any] = []
    thread = threading.Thread(
        target=lambda: done.append(client.uploadToken.upload(token, ("a.mp4", b"ef"), True, True, 4))
    )
    seen = threading.Event()
    server.control.add_fault("uploadToken.upload", before=lambda _: seen.set())
    thread.start()
    assert seen.wait(5)
    other = KalturaClient(KalturaConfiguration(server.url))
    other.setKs(client.getKs())
    other.uploadToken.upload(token, ("a.mp4", b"cd"), True, False, 2)
    thread.join(5)
    assert done[0].status.getValue() == 2
    assert bytes(server.tokens[token].data) == b"abcdef"


def test_resuming_needs_a_first_chunk_and_less_than_seven_days(server: KalturaServer, client: Any) -> None:
    """5.6"""
    token = client.uploadToken.add().id
    assert code_of(client.uploadToken.upload, token, ("a", b"x"), True, False, 0) == "UPLOAD_TOKEN_CANNOT_RESUME"
    client.uploadToken.upload(token, ("a.mp4", b"ab"), False, False)
    server.tokens[token].updated_at -= 8 * 86400
    assert code_of(client.uploadToken.upload, token, ("a", b"x"), True, False, 2) == (
        "UPLOAD_PASSED_MAX_RESUME_TIME_ALLOWED"
    )


def test_too_many_parked_chunks_are_refused(server: KalturaServer, client: Any) -> None:
    """5.6"""
    token = client.uploadToken.add().id
    client.uploadToken.upload(token, ("a.mp4", b"ab"), False, False)
    server.tokens[token].parked = dict.fromkeys(range(10000, 11000), b"x")
    assert code_of(client.uploadToken.upload, token, ("a", b"x"), True, False, 9) == "MAX_ALLOWED_CHUNK_COUNT_EXCEEDED"


def test_automatic_finish_needs_the_size(server: KalturaServer, client: Any) -> None:
    """5.6"""
    assert code_of(client.uploadToken.add, KalturaUploadToken(autoFinalize=1)) == "UPLOAD_TOKEN_MISSING_FILE_SIZE"
    token = client.uploadToken.add(KalturaUploadToken(autoFinalize=1, fileSize=4)).id
    assert client.uploadToken.upload(token, ("a.mp4", b"ab"), False, False).status.getValue() == 1
    assert client.uploadToken.upload(token, ("a.mp4", b"cd"), True, False, 2).status.getValue() == 2


def test_refused_uploads_delete_the_token(server: KalturaServer, client: Any) -> None:
    """5.6: a type that the installation forbids (none by default, U28), and more than one POST may carry"""
    server.settings.restricted_extensions = frozenset({"php"})
    token = client.uploadToken.add().id
    assert (
        code_of(client.uploadToken.upload, token, ("evil.php", b"x")) == "UPLOAD_TOKEN_FILE_TYPE_RESTRICTED_FOR_UPLOAD"
    )
    assert code_of(client.uploadToken.get, token) == "UPLOAD_TOKEN_NOT_FOUND"
    server.settings.upload_max_bytes = 3
    token = client.uploadToken.add().id
    assert code_of(client.uploadToken.upload, token, ("a.mp4", b"four")) == "UPLOAD_ERROR"
    assert code_of(client.uploadToken.get, token) == "UPLOAD_TOKEN_NOT_FOUND"


def test_a_deleted_token_is_not_found(server: KalturaServer, client: Any) -> None:
    """5.6"""
    token = upload(client)
    assert client.uploadToken.list().totalCount == 1
    client.uploadToken.delete(token)
    assert code_of(client.uploadToken.get, token) == "UPLOAD_TOKEN_NOT_FOUND"


@pytest.mark.parametrize(
    ("header", "sent"), [("Content-Length: 1000000", b"--x\r\n"), ("Transfer-Encoding: chunked", b"ff\r\n--x")]
)
def test_an_upload_that_ends_early_never_happened(server: KalturaServer, client: Any, header: str, sent: bytes) -> None:
    """1.1: PHP does not start before the body is there"""
    token = client.uploadToken.add().id
    with socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])), timeout=5) as connection:
        request = f"POST /api_v3/service/uploadtoken/action/upload HTTP/1.1\r\nHost: here\r\n{header}\r\n\r\n"
        connection.sendall(request.encode() + sent)
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(100) == b""
    assert client.uploadToken.get(token).uploadedFileSize is None
    assert server.control.requests("uploadToken.upload") == []


def test_a_chunked_body_is_read_too(server: KalturaServer, client: Any) -> None:
    """1.1: as Apache does, for clients that stream"""
    token = client.uploadToken.add().id
    fields = {"ks": client.getKs(), "uploadTokenId": token}
    prepared = requests.Request("POST", server.url, data=fields, files={"fileData": ("a.mp4", NEW)}).prepare()
    assert isinstance(prepared.body, bytes)
    body = prepared.body
    headers = {"Content-Type": str(prepared.headers["Content-Type"])}
    url = f"{server.url}/api_v3/service/uploadtoken/action/upload"
    requests.post(url, data=iter([body[:50], body[50:]]), headers=headers, timeout=5).raise_for_status()
    assert bytes(server.tokens[token].data) == NEW


def test_a_flipped_byte_on_the_way_up_is_stored(server: KalturaServer, client: Any) -> None:
    """Checklist 9: the size is right, the content is not"""
    server.control.add_fault("uploadToken.upload", "flip")
    data = bytes(server.tokens[upload(client)].data)
    assert len(data) == len(NEW)
    assert len([1 for a, b in zip(data, NEW, strict=True) if a != b]) == 1
    logged = server.control.requests("uploadToken.upload")[0]
    assert logged.parameters["fileData"] == {"name": "placeholder.mp4", "size": len(NEW)}


@pytest.mark.parametrize(
    ("posted", "of_token", "ext"),
    [
        ("/home/me/Film.MOV", "placeholder.mp4", "mov"),
        ("0_abc12345", "placeholder.mp4", "mp4"),
        ("chunk.tmp", "placeholder.mp4", "mp4"),
        ("0_abc12345", "", "noex"),
        ("a.flvideo", "", "flvi"),
    ],
)
def test_the_extension_comes_from_the_posted_name(
    server: KalturaServer, client: Any, posted: str, of_token: str, ext: str
) -> None:
    """§10.1, 4.3"""
    token = client.uploadToken.add(KalturaUploadToken(fileName=of_token)).id
    client.uploadToken.upload(token, (posted, NEW))
    entry = server.add_entry(status="7")
    client.media.addContent(entry.id, resource(token))
    original = server.original(entry.id)
    assert original
    assert original.file_ext == ext


# 5.1: addContent


def test_add_content_needs_an_entry_without_content(server: KalturaServer, client: Any) -> None:
    """5.1: nothing is harmed by the refusal; only media clips exist for it"""
    token = upload(client)
    entry = server.add_entry()
    assert code_of(client.media.addContent, entry.id, resource(token)) == "ENTRY_ALREADY_WITH_CONTENT"
    playlist = server.add_entry(entry_type=5, status="7")
    assert code_of(client.media.addContent, playlist.id, resource(token)) == "ENTRY_ID_NOT_FOUND"
    assert client.uploadToken.get(token).status.getValue() == 2


def test_add_content_converts_and_the_original_is_ready_first(server: KalturaServer, client: Any) -> None:
    """5.1, 5.3's table, §10.9"""
    entry = server.add_entry(status="7")
    token = upload(client)
    client.media.addContent(entry.id, resource(token))
    assert client.uploadToken.get(token).status.getValue() == 3
    assert state(client, entry) == ("1", "0", False)
    original = server.original(entry.id)
    assert original
    assert flavors(client, entry.id) == {0: (original.id, 2, QUEUED)}
    # For a while the size is in bytes (4.3).
    assert original.size_kb == len(NEW)
    advance(server, 51)
    assert state(client, entry)[0] == "1"
    # Derived flavors have no file at first: version 0 (C06, C10).
    made = flavors(client, entry.id).values()
    assert [(version, status) for _, version, status in made] == [(2, READY), (0, QUEUED), (0, QUEUED)]
    advance(server, 1)
    made = flavors(client, entry.id).values()
    assert [(version, status) for _, version, status in made] == [(2, READY), (0, CONVERTING), (0, CONVERTING)]
    advance(server, 24)
    made = flavors(client, entry.id).values()
    assert [(version, status) for _, version, status in made] == [(2, READY), (2, CONVERTING), (2, CONVERTING)]
    assert original.size_kb == 1
    advance(server, 25)
    assert state(client, entry)[0] == "2"
    assert [status for _, _, status in flavors(client, entry.id).values()] == [READY, READY, CONVERTING]
    advance(server, 51)
    assert [status for _, _, status in flavors(client, entry.id).values()] == [READY] * 3
    assert server.content(original.id) == NEW


def test_add_content_uses_an_unready_original_again(server: KalturaServer, client: Any) -> None:
    """§10.4"""
    entry = server.add_entry(original_status=ERROR, derived=0)
    entry.status = "7"
    before = server.original(entry.id)
    client.media.addContent(entry.id, resource(upload(client)))
    after = server.original(entry.id)
    assert before
    assert after
    assert before.id == after.id


def test_a_conversion_may_fail(server: KalturaServer, client: Any) -> None:
    """5.1: the entry is ERROR_CONVERTING"""
    entry = server.add_entry(status="7")
    server.settings.fail_next_conversions = 1
    client.media.addContent(entry.id, resource(upload(client)))
    advance(server, 101)
    assert state(client, entry)[0] == "-1"


def test_a_profile_may_keep_no_source_or_none_may_be_set(server: KalturaServer, client: Any) -> None:
    """4.3: the original only as TEMP; 5.1: PENDING with profile -1"""
    server.settings.keep_source = False
    entry = server.add_entry(status="7", conversion_profile_id=-1)
    client.media.addContent(entry.id, resource(upload(client)))
    server.settle()
    assert flavors(client, entry.id)[0][2] == TEMP
    assert state(client, entry)[0] == "4"


def test_the_original_may_be_a_reencoding(server: KalturaServer, client: Any) -> None:
    """4.3: then neither bytes nor size are those of the upload"""
    server.settings.reencode_originals = True
    entry = server.add_entry(status="7")
    client.media.addContent(entry.id, resource(upload(client)))
    server.settle()
    original = server.original(entry.id)
    assert original
    assert original.size_in_bytes != len(NEW)


def test_what_was_uploaded_may_be_a_flavor_beside_its_reencoding(server: KalturaServer, client: Any) -> None:
    """kBusinessPreConvertDL::saveOriginalSource [read]"""
    server.settings.reencode_originals = server.settings.save_uploads = True
    entry = server.add_entry(status="7")
    client.media.addContent(entry.id, resource(upload(client)))
    server.settle()
    [saved] = [asset for asset in client.flavorAsset.getByEntryId(entry.id) if asset.flavorParamsId == 9]
    assert (saved.isOriginal, saved.tags, saved.sizeInBytes) == (False, "save_source", len(NEW))
    assert server.content(saved.id) == NEW
    [params] = [params for params in client.flavorParams.list().objects if params.id == 9]
    assert params.tags == "save_source"


# 5.2: unfinished tokens


@pytest.mark.parametrize("used", [False, True])
def test_a_token_that_is_not_full_is_accepted_and_leads_nowhere(server: KalturaServer, client: Any, used: bool) -> None:
    """5.2: pending, or closed because it was used before"""
    token = upload(client) if used else client.uploadToken.add().id
    if used:
        client.media.addContent(server.add_entry(status="7").id, resource(token))
    entry = server.add_entry(status="7")
    client.media.addContent(entry.id, resource(token))
    advance(server, 80_000)
    assert state(client, entry)[0] == "0"
    assert [status for _, _, status in flavors(client, entry.id).values()] == [IMPORTING]


def test_a_waiting_entry_goes_on_when_its_token_is_filled(server: KalturaServer, client: Any) -> None:
    """5.2"""
    token = client.uploadToken.add().id
    entry = server.add_entry()
    client.media.updateContent(entry.id, resource(token))
    advance(server, 80_000)
    assert state(client, entry) == ("2", "1", True)
    client.uploadToken.upload(token, ("a.mp4", NEW))
    server.settle()
    assert state(client, entry) == ("2", "0", False)
    original = server.original(entry.id)
    assert original
    assert server.content(original.id) == NEW


def test_an_unknown_token_is_refused_and_cancels_a_replacement(server: KalturaServer, client: Any) -> None:
    """5.2, §10.7: even before the feature is looked at"""
    entry = server.add_entry()
    client.media.updateContent(entry.id, resource(upload(client)))
    server.settings.entry_replacement = False
    assert code_of(client.media.updateContent, entry.id, resource("0_none")) == "UPLOAD_TOKEN_NOT_FOUND"
    assert state(client, entry) == ("2", "0", False)


# 5.3: updateContent


def test_update_content_plays_the_old_until_the_new_is_ready(server: KalturaServer, client: Any) -> None:
    """5.3: the table; the original keeps its id and its version grows by 10"""
    entry = server.add_entry(b"old content", tags="kept", plays=3, last_played_at=1000)
    before = flavors(client, entry.id)
    original = server.original(entry.id)
    assert original
    got = client.media.updateContent(entry.id, resource(upload(client)))
    temporary = client.media.get(got.replacingEntryId)
    assert (temporary.replacedEntryId, temporary.displayInSearch.getValue()) == (entry.id, -1)
    assert state(client, entry) == ("2", "1", True)
    advance(server, 51)
    assert flavors(client, entry.id) == before
    assert set(flavors(client, temporary.id)) == {0, 2, 3}
    assert server.content(original.id) == b"old content"
    advance(server, 50)
    # The temporary entry is ready a moment before the main entry goes on (L02).
    assert client.media.get(temporary.id).status.getValue() == "2"
    assert state(client, entry) == ("2", "1", True)
    advance(server, 11)
    assert state(client, entry) == ("2", "1", True)
    advance(server, 3)
    assert state(client, entry) == ("2", "0", False)
    assert flavors(client, entry.id) == {
        0: (before[0][0], 12, READY),
        2: (before[2][0], 12, READY),
        3: (before[3][0], 2, CONVERTING),
    }
    assert server.content(original.id) == NEW
    assert original.size_in_bytes == len(NEW)
    assert (entry.tags, entry.plays, entry.last_played_at) == ("kept", 3, 1000)
    assert code_of(client.media.get, temporary.id) == "ENTRY_ID_NOT_FOUND"
    advance(server, 40)
    assert flavors(client, entry.id)[3] == (before[3][0], 12, READY)


def test_a_flavor_of_the_last_replacement_takes_its_place_late_and_ends_the_next(
    server: KalturaServer, client: Any
) -> None:
    """`kReplacementHelper::copyReadyReplacingEntryAssetToReplacedEntry` and `updateReplacedEntryFields` [read]"""
    server.settings.late_flavor_seconds = 50
    entry = server.add_entry(b"old content")
    client.media.updateContent(entry.id, resource(upload(client)))
    advance(server, 120)
    assert flavors(client, entry.id)[3][1:] == (2, CONVERTING)
    client.media.updateContent(entry.id, resource(upload(client, b"another one" * 9_000)))
    assert state(client, entry) == ("2", "1", True)
    advance(server, 40)
    assert flavors(client, entry.id)[3][1:] == (12, READY)
    assert state(client, entry) == ("2", "0", False)
    advance(server, 500)
    assert server.content(flavors(client, entry.id)[0][0]) == NEW


@pytest.mark.parametrize("order", list(itertools.permutations(("original", "derived", "entry"))))
def test_a_switch_is_seen_step_by_step_in_the_order_that_is_set(
    server: KalturaServer, client: Any, order: tuple[str, ...]
) -> None:
    """W40"""
    server.settings.switch_order, server.settings.switch_seconds = order, 10
    entry = server.add_entry(b"old content", derived=1)
    client.media.updateContent(entry.id, resource(upload(client)))

    def seen() -> dict[str, bool]:
        versions = {number: version for number, (_, version, _) in flavors(client, entry.id).items()}
        return {"original": versions[0] == 12, "derived": versions[2] == 12, "entry": not state(client, entry)[2]}

    advance(server, 100 + 12.5 + 5)
    for number in range(3):
        assert {name for name, done in seen().items() if done} == set(order[: number + 1])
        advance(server, 10)
    assert state(client, entry) == ("2", "0", False)


def test_a_switch_that_is_cancelled_half_way_goes_no_further(server: KalturaServer, client: Any) -> None:
    """W40"""
    server.settings.switch_seconds = 10
    entry = server.add_entry(b"old content", derived=1)
    client.media.updateContent(entry.id, resource(upload(client)))
    advance(server, 100 + 12.5 + 5)
    client.media.cancelReplace(entry.id)
    advance(server, 100)
    assert {number: version for number, (_, version, _) in flavors(client, entry.id).items()} == {0: 12, 2: 2}


def test_conversions_wait_without_an_error_where_the_quota_of_jobs_is_used_up(
    server: KalturaServer, client: Any
) -> None:
    """§10.20"""
    server.settings.hold_jobs = True
    entry = server.add_entry(b"old content")
    client.media.updateContent(entry.id, resource(upload(client)))
    advance(server, 10_000)
    assert state(client, entry) == ("2", "1", True)
    server.settings.hold_jobs = False
    assert state(client, entry) == ("2", "1", True)
    advance(server, 120)
    assert state(client, entry) == ("2", "0", False)


def test_flavors_that_the_new_content_lacks_go_and_others_come_at_version_12(
    server: KalturaServer, client: Any
) -> None:
    """5.3, §10.9"""
    few, more = server.add_entry(derived=3), server.add_entry(derived=1)
    server.settings.derived_flavors = 2
    before = flavors(client, more.id)
    for entry in (few, more):
        client.media.updateContent(entry.id, resource(upload(client)))
    server.settle()
    assert set(flavors(client, few.id)) == {0, 2, 3}
    after = flavors(client, more.id)
    assert set(after) == {0, 2, 3}
    assert after[3][0] not in {asset_id for asset_id, _, _ in before.values()}
    assert after[3][1] == 12


def test_the_feature_may_be_off_but_the_options_stay(server: KalturaServer, client: Any) -> None:
    """5.3"""
    server.settings.entry_replacement = False
    entry = server.add_entry()
    options = KalturaEntryReplacementOptions(keepManualThumbnails=1)
    with pytest.raises(
        KalturaException, match=r"The usage of feature \[FEATURE_ENTRY_REPLACEMENT\] is forbidden"
    ) as caught:
        client.media.updateContent(entry.id, resource(upload(client)), advancedOptions=options)
    assert caught.value.code == "FEATURE_FORBIDDEN"
    assert entry.keep_manual_thumbnails is True
    empty = server.add_entry(status="7")
    client.media.updateContent(empty.id, resource(upload(client)))
    assert state(client, empty) == ("1", "0", False)


@pytest.mark.parametrize("keep", [False, True])
def test_manual_thumbnails_are_kept_only_if_asked(server: KalturaServer, client: Any, keep: bool) -> None:
    """5.3"""
    entry = server.add_entry()
    thumbs = [server.library.add_thumb(entry.id, b"a picture", default=default) for default in (False, True)]
    version = entry.thumbnail_version
    options = KalturaEntryReplacementOptions(keepManualThumbnails=1 if keep else 0)
    client.media.updateContent(entry.id, resource(upload(client)), advancedOptions=options)
    server.settle()
    assert server.library.thumbs_of(entry.id) == (thumbs if keep else [])
    assert (server.picture(entry.id) == b"a picture") is keep
    assert entry.thumbnail_version == version + (0 if keep else 10)


def test_a_second_update_cancels_the_first(server: KalturaServer, client: Any) -> None:
    """5.3: the danger"""
    entry = server.add_entry(b"old content")
    temporary = client.media.updateContent(entry.id, resource(upload(client))).replacingEntryId
    assert code_of(client.media.updateContent, entry.id, resource(upload(client))) == "ENTRY_REPLACEMENT_ALREADY_EXISTS"
    assert state(client, entry) == ("2", "0", False)
    assert code_of(client.media.get, temporary) == "ENTRY_ID_NOT_FOUND"
    server.settle()
    original = server.original(entry.id)
    assert original
    assert (original.version, server.content(original.id)) == (2, b"old content")


def test_a_failed_conversion_leaves_the_old_content_and_waits_to_be_cancelled(
    server: KalturaServer, client: Any
) -> None:
    """5.3: status 4"""
    entry = server.add_entry(b"old content")
    server.settings.fail_next_conversions = 1
    client.media.updateContent(entry.id, resource(upload(client)))
    temporary = client.media.get(entry.id).replacingEntryId
    advance(server, 101)
    # The main entry learns of it a moment after the temporary one (W21).
    state_of_temporary = client.media.get(temporary).status.getValue()
    assert (state_of_temporary, *state(client, entry)) == ("-1", "2", "1", True)
    advance(server, 13)
    assert state(client, entry) == ("2", "4", True)
    original = server.original(entry.id)
    assert original
    assert server.content(original.id) == b"old content"
    assert code_of(client.media.approveReplace, entry.id) == "ENTRY_ID_NOT_REPLACED"
    client.media.cancelReplace(entry.id)
    assert state(client, entry) == ("2", "0", False)
    client.media.cancelReplace(entry.id)


def test_an_empty_file_fails_at_once(server: KalturaServer, client: Any) -> None:
    """§10.8"""
    entry, bare = server.add_entry(), server.add_entry(status="7")
    client.media.updateContent(entry.id, resource(upload(client, b"")))
    client.media.addContent(bare.id, resource(upload(client, b"")))
    assert state(client, entry) == ("2", "4", True)
    assert state(client, bare)[0] == "-1"


def test_an_account_may_want_replacements_approved(server: KalturaServer, client: Any) -> None:
    """5.3: 3, then 2, then approved; or approved early"""
    server.settings.replacement_approval = True
    late, early = server.add_entry(), server.add_entry()
    assert code_of(client.media.approveReplace, late.id) == "ENTRY_ID_NOT_REPLACED"
    for entry in (late, early):
        client.media.updateContent(entry.id, resource(upload(client)))
        assert state(client, entry) == ("2", "3", True)
    client.media.approveReplace(early.id)
    assert state(client, early) == ("2", "1", True)
    advance(server, 115)
    assert state(client, early) == ("2", "0", False)
    assert state(client, late) == ("2", "2", True)
    client.media.approveReplace(late.id)
    assert state(client, late) == ("2", "0", False)
    assert flavors(client, late.id)[0][1] == 12


def test_cancelling_and_finishing_look_alike_but_for_the_version(server: KalturaServer, client: Any) -> None:
    """5.3"""
    entry = server.add_entry()
    client.media.updateContent(entry.id, resource(upload(client)))
    client.media.cancelReplace(entry.id)
    server.settle()
    assert state(client, entry) == ("2", "0", False)
    assert flavors(client, entry.id)[0][1] == 2


def test_cancelling_reaches_the_children_of_a_recording(server: KalturaServer, client: Any) -> None:
    """5.3: while the content call replaces the named entry only"""
    parent = server.add_entry()
    child = server.add_entry(parent_id=parent.id, display_in_search=-1)
    client.media.updateContent(parent.id, resource(upload(client)))
    assert state(client, child) == ("2", "0", False)
    client.media.updateContent(child.id, resource(upload(client)))
    client.media.cancelReplace(parent.id)
    assert state(client, child) == state(client, parent) == ("2", "0", False)


def test_deleting_an_entry_leaves_its_temporary_one(server: KalturaServer, client: Any) -> None:
    """W29"""
    entry = server.add_entry()
    temporary = client.media.updateContent(entry.id, resource(upload(client))).replacingEntryId
    client.media.delete(entry.id)
    assert code_of(client.media.get, entry.id) == "ENTRY_ID_NOT_FOUND"
    server.settle()
    assert client.media.get(temporary).id == temporary


def test_a_lost_answer_to_update_content_is_found_by_reading(server: KalturaServer, client: Any) -> None:
    """9, checklist 9"""
    entry = server.add_entry()
    server.control.add_fault("media.updateContent", "drop_after")
    with pytest.raises(KalturaClientException):
        client.media.updateContent(entry.id, resource(upload(client)))
    assert state(client, entry) == ("2", "1", True)
    assert [r.subject for r in server.control.requests("media.updateContent")] == [entry.id]


# §10.6: import by URL


class FileServer(http.server.BaseHTTPRequestHandler):
    seen: list[tuple[str, str]]

    def do_HEAD(self) -> None:
        self.seen.append(("HEAD", self.path))
        self.send_error(403)

    def do_GET(self) -> None:
        self.seen.append(("GET", self.path))
        if "absent" in self.path:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(NEW)))
        self.end_headers()
        self.wfile.write(NEW)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def files() -> Iterator[tuple[str, list[tuple[str, str]]]]:
    handler = type("Handler", (FileServer,), {"seen": []})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{running.server_address[1]}", handler.seen  # type: ignore[attr-defined]
        running.shutdown()
        thread.join()


def test_a_url_is_fetched_with_head_then_get_and_its_doubled_slashes_collapsed(
    server: KalturaServer, client: Any, files: tuple[str, list[tuple[str, str]]]
) -> None:
    """§10.6: a HEAD that fails does not matter"""
    url, seen = files
    entry = server.add_entry()
    client.media.updateContent(entry.id, KalturaUrlResource(url=f"{url}//bucket//film.mov?signature=a//b%2F%2F"))
    server.settle()
    assert seen == [("HEAD", "/bucket/film.mov?signature=a/b%2F%2F"), ("GET", "/bucket/film.mov?signature=a/b%2F%2F")]
    assert state(client, entry) == ("2", "0", False)
    original = server.original(entry.id)
    assert original
    assert (server.content(original.id), original.file_ext, original.version) == (NEW, "mov", 12)


def test_a_failed_import_leaves_the_main_entry_waiting_for_ever(
    server: KalturaServer, client: Any, files: tuple[str, list[tuple[str, str]]]
) -> None:
    """§10.6: only the temporary entry shows it; no asset exists before the import is done"""
    entry = server.add_entry()
    temporary = client.media.updateContent(entry.id, KalturaUrlResource(url=f"{files[0]}/absent.mp4")).replacingEntryId
    server.settle()
    assert state(client, entry) == ("2", "1", True)
    assert client.media.get(temporary).status.getValue() == "-2"
    assert flavors(client, temporary) == {}
    client.media.cancelReplace(entry.id)
    server.settings.fail_imports = 1
    client.media.updateContent(entry.id, KalturaUrlResource(url=f"{files[0]}/there.mp4"))
    server.settle()
    assert state(client, entry) == ("2", "1", True)


def test_only_this_machine_is_fetched_from(server: KalturaServer, client: Any) -> None:
    """The sandbox never leaves the loopback interface."""
    entry = server.add_entry(status="7")
    client.media.addContent(entry.id, KalturaUrlResource(url="http://192.0.2.1/film.mp4"))
    server.settle()
    assert state(client, entry)[0] == "-2"


# The clock, and the second author


def test_conversions_also_finish_in_real_time(server: KalturaServer, client: Any) -> None:
    """Checklist 8"""
    server.settings.conversion_seconds = 0.1
    entry = server.add_entry()
    client.media.updateContent(entry.id, resource(upload(client)))
    deadline = time.monotonic() + 5
    while state(client, entry) != ("2", "0", False):
        assert time.monotonic() < deadline
    assert flavors(client, entry.id)[0][1] == 12


def test_a_replacement_by_someone_else(server: KalturaServer, client: Any) -> None:
    """Checklist 10: as after a finished replacement"""
    entry = server.add_entry(b"old content")
    server.replace_original(entry.id, NEW)
    assert [version for _, version, _ in flavors(client, entry.id).values()] == [12, 12, 12]
    (listed,) = requests.get(f"{server.url}/sandbox/entries", timeout=5).json()
    assert (listed["version"], listed["sha256"]) == (12, hashlib.sha256(NEW).hexdigest())
