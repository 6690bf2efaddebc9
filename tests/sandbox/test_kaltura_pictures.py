"""The sandbox's Kaltura held to what is known of pictures (kaltura_archiver.sandbox.kaltura.pictures)."""

from __future__ import annotations

from typing import Any

import pytest
import requests
from KalturaClient.Plugins.Core import KalturaThumbAssetFilter
from test_kaltura_content import client, code_of, resource, server, shared, upload  # noqa: F401 - fixtures

from kaltura_archiver.sandbox.kaltura.pictures import DEFAULT_TAG, SLIDE, Frame
from kaltura_archiver.sandbox.kaltura.records import Content
from kaltura_archiver.sandbox.kaltura.server import KalturaServer

OLD, NEW = b"the old content " * 50, b"the new content " * 100


def frame(content: bytes, seconds: float = 3) -> bytes:
    return Frame(Content.of(content), seconds).read()


def version_of(client: Any, entry_id: str) -> int:  # noqa: F811
    return int(client.media.get(entry_id).thumbnailUrl.rpartition("/")[2])


@pytest.fixture(autouse=True)
def at_once(server: KalturaServer) -> None:  # noqa: F811
    server.settings.conversion_seconds = 0


def test_a_conversion_makes_a_picture_and_no_thumb_asset(server: KalturaServer, client: Any) -> None:  # noqa: F811
    """C06, B01"""
    entry = server.add_entry(status="7")
    assert version_of(client, entry.id) == 0
    client.media.addContent(entry.id, resource(upload(client, NEW)))
    server.settle()
    assert version_of(client, entry.id) == 100_002
    assert server.picture(entry.id) == frame(NEW)
    assert server.library.thumbs == {}


def test_a_swap_brings_the_new_picture_even_after_update_thumbnail(server: KalturaServer, client: Any) -> None:  # noqa: F811
    """W28, cycle.md; the second half is read."""
    entry = server.add_entry(OLD)
    client.media.updateThumbnail(entry.id, 1)
    assert server.picture(entry.id) == frame(OLD, 1)
    before = version_of(client, entry.id)
    client.media.updateContent(entry.id, resource(upload(client, NEW)))
    server.settle()
    assert server.picture(entry.id) == frame(NEW)
    assert version_of(client, entry.id) == before + 10


@pytest.mark.parametrize("taken", [False, True])
def test_content_in_place_leaves_the_picture(server: KalturaServer, client: Any, taken: bool) -> None:  # noqa: F811
    """D08, P25: of a bitrate that is no higher; read: of any, once a frame was taken."""
    content = NEW[:100]
    entry = server.add_entry(content * 10 if not taken else content)
    if taken:
        client.media.updateThumbnail(entry.id, 1)
    picture, version = server.picture(entry.id), version_of(client, entry.id)
    for asset in server.library.live_assets(entry.id):
        client.flavorAsset.delete(asset.id)
    client.media.addContent(entry.id, resource(upload(client, content if not taken else content * 10)))
    server.settle()
    assert (server.picture(entry.id), version_of(client, entry.id)) == (picture, version)


def test_update_thumbnail_takes_the_default_and_leaves_the_asset(server: KalturaServer, client: Any) -> None:  # noqa: F811
    entry = server.add_entry(OLD)
    chosen = server.library.add_thumb(entry.id, b"chosen", default=True)
    other = server.library.add_thumb(entry.id, b"other", created_at=5)
    server.library.add_thumb(entry.id, b"slide", kind=SLIDE)
    assert server.picture(entry.id) == b"chosen"
    server.control.clock.advance(100)
    before = server.library.now()
    client.media.updateThumbnail(entry.id, 1)
    listed = client.thumbAsset.list(KalturaThumbAssetFilter(entryIdEqual=entry.id, typeIn="2")).objects
    assert {(t.id, t.tags) for t in listed} == {(chosen.id, ""), (other.id, "")}
    updated = {t.id: t.updatedAt for t in listed}
    assert (before <= updated[chosen.id] <= server.library.now(), updated[other.id]) == (True, 5)
    client.thumbAsset.setAsDefault(other.id)
    assert server.picture(entry.id) == b"other"
    assert (chosen.tags, other.tags) == ((), (DEFAULT_TAG,))
    assert code_of(client.thumbAsset.setAsDefault, "0_nothing") == "THUMB_ASSET_ID_NOT_FOUND"


def test_without_an_original_no_frame_can_be_taken(server: KalturaServer, client: Any) -> None:  # noqa: F811
    assert code_of(client.media.updateThumbnail, server.add_entry(status="7").id, 1) == "INTERNAL_SERVERL_ERROR"
    assert code_of(client.media.updateThumbnail, server.add_entry(media_type=5).id, 1) == "INTERNAL_SERVERL_ERROR"


def test_the_host_tells_since_when_it_is_the_picture(server: KalturaServer, client: Any) -> None:  # noqa: F811
    entry = server.add_entry(OLD, created_at=1_500_000_000)
    url = client.media.get(entry.id).thumbnailUrl
    answer = requests.get(url, timeout=10)
    assert (answer.content, answer.headers["Last-Modified"]) == (frame(OLD), "Fri, 14 Jul 2017 02:40:00 GMT")
    server.settings.picture_times = False
    assert requests.head(url, timeout=10).headers["Last-Modified"] == "Sun, 19 Nov 2000 08:52:00 GMT"
