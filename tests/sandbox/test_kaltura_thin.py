"""The sandbox's Kaltura where an original is deleted and its derived flavors stay (kaltura-api.md 4.6, 10.22)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests
from KalturaClient import KalturaClient
from KalturaClient.Base import KalturaConfiguration
from KalturaClient.exceptions import KalturaException
from KalturaClient.Plugins.Core import (
    KalturaBaseEntryFilter,
    KalturaFlavorAsset,
    KalturaMediaInfoFilter,
    KalturaSessionType,
    KalturaUploadedFileTokenResource,
    KalturaUploadToken,
)

from kaltura_archiver.sandbox.control import Control
from kaltura_archiver.sandbox.kaltura.records import CONVERTING, READY, Asset, EntryRecord
from kaltura_archiver.sandbox.kaltura.server import KalturaServer

VIDEO = b"the video " * 5000


@pytest.fixture
def server() -> Iterator[KalturaServer]:
    with KalturaServer(Control()) as running:
        running.settings.conversion_seconds = 100.0
        yield running


@pytest.fixture
def client(server: KalturaServer) -> Any:
    config = KalturaConfiguration()
    config.serviceUrl = server.url
    client = KalturaClient(config)
    client.setKs(client.session.start(server.secret, server.user_id, KalturaSessionType.ADMIN, server.partner_id))
    return client


@pytest.fixture
def entry(server: KalturaServer) -> EntryRecord:
    return server.add_entry(VIDEO, derived=1, duration_ms=90_000)


def original(server: KalturaServer, entry: EntryRecord) -> Asset:
    found = server.original(entry.id)
    assert found
    return found


def derived(server: KalturaServer, entry: EntryRecord) -> Asset:
    return next(asset for asset in server.library.live_assets(entry.id) if not asset.is_original)


def uploaded(client: Any, tmp_path: Any) -> KalturaUploadedFileTokenResource:
    file = tmp_path / "video.mp4"
    file.write_bytes(VIDEO)
    token = client.uploadToken.add(KalturaUploadToken())
    with file.open("rb") as opened:
        client.uploadToken.upload(token.id, opened)
    resource = KalturaUploadedFileTokenResource()
    resource.token = token.id
    return resource


def test_an_entry_without_its_original_plays_its_derived_flavor(
    server: KalturaServer, client: Any, entry: EntryRecord
) -> None:
    """real-kaltura D01; picture and length stay (10.22)."""
    before = client.media.get(entry.id)
    kept, gone = derived(server, entry), original(server, entry)
    client.flavorAsset.delete(gone.id)
    now = client.media.get(entry.id)
    assert now.status.getValue() == "2"
    assert (now.msDuration, now.thumbnailUrl) == (90_000, before.thumbnailUrl)
    answer = requests.get(client.flavorAsset.getUrl(kept.id), timeout=10)
    assert len(answer.content) == kept.size_in_bytes
    for call in (client.flavorAsset.get, client.flavorAsset.getUrl, client.flavorAsset.delete):
        with pytest.raises(KalturaException) as error:
            call(gone.id)
        assert error.value.code == "FLAVOR_ASSET_ID_NOT_FOUND"


def test_without_a_ready_flavor_there_is_no_content(server: KalturaServer, client: Any, entry: EntryRecord) -> None:
    """A derived flavor that is still made does not keep an entry (real-kaltura D10)."""
    derived(server, entry).status = CONVERTING
    client.flavorAsset.delete(original(server, entry).id)
    assert client.media.get(entry.id).status.getValue() == "7"


def test_a_replacement_brings_an_original_back(
    server: KalturaServer, client: Any, entry: EntryRecord, tmp_path: Any
) -> None:
    """The kept flavor plays until then (real-kaltura D09)."""
    kept, gone = derived(server, entry), original(server, entry)
    client.flavorAsset.delete(gone.id)
    client.media.updateContent(entry.id, uploaded(client, tmp_path))
    assert (kept.version, kept.status) == (2, READY)
    server.settle()
    back = original(server, entry)
    assert back.id != gone.id
    assert (back.version, derived(server, entry).version) == (12, 12)
    assert back.contents[12].data == VIDEO


def test_an_original_may_be_added_and_the_derived_flavor_is_then_made_in_place(
    server: KalturaServer, client: Any, entry: EntryRecord, tmp_path: Any
) -> None:
    """kaltura-api.md 10.22: meanwhile nothing plays."""
    kept, gone = derived(server, entry), original(server, entry)
    client.flavorAsset.delete(gone.id)
    source = KalturaFlavorAsset()
    source.flavorParamsId = 0
    added = client.flavorAsset.add(entry.id, source)
    assert added.isOriginal
    with pytest.raises(KalturaException) as error:
        client.flavorAsset.add(entry.id, source)
    assert error.value.code == "FLAVOR_ASSET_ALREADY_EXISTS"
    client.flavorAsset.setContent(added.id, uploaded(client, tmp_path))
    assert (original(server, entry).version, original(server, entry).status) == (2, READY)
    assert kept.status == CONVERTING
    server.settle()
    assert kept.status == READY


def test_a_flavor_tells_its_length_and_its_file_does(server: KalturaServer, client: Any, entry: EntryRecord) -> None:
    """`mediaInfo.list` [read], milliseconds; the file's own header says the same."""
    kept = derived(server, entry)
    wanted = KalturaMediaInfoFilter()
    wanted.flavorAssetIdEqual = kept.id
    [info] = client.mediaInfo.list(wanted).objects
    assert info.containerDuration == 90_000
    content = kept.contents[kept.version]
    assert content.duration_ms == 90_000
    assert b"".join(content.pieces()) == content.read()
    assert b"".join(content.pieces(100, 200)) == content.read()[100:200]


def test_what_was_made_of_an_entry_is_listed_by_its_root(
    server: KalturaServer, client: Any, entry: EntryRecord
) -> None:
    clone = client.baseEntry.clone(entry.id)
    server.add_entry(VIDEO)
    wanted = KalturaBaseEntryFilter()
    wanted.rootEntryIdEqual = entry.id
    assert [found.id for found in client.baseEntry.list(wanted).objects] == [clone.id]
