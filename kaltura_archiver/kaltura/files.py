"""The content of flavors, from Kaltura's file host."""

from __future__ import annotations

import http.client
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from email.utils import parsedate_to_datetime
from functools import partial
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import urlsplit

import certifi
import requests
import urllib3
from KalturaClient.Plugins.Core import KalturaFilterPager, KalturaMediaInfoFilter

from kaltura_archiver.errors import Changed, EntryFailed, KalturaError, Stopped
from kaltura_archiver.identity import sizes_agree
from kaltura_archiver.kaltura.answers import (
    THUMB_LIST,
    field_int,
    field_text,
    picture_version,
    read_entry,
    read_list,
    read_thumb,
)
from kaltura_archiver.kaltura.errors import ACCESS_CONTROL, FORBIDDEN, mixed_up, never_served, translated
from kaltura_archiver.kaltura.questions import FIRST_KALTURA, ask_entry, ask_thumbs, ask_together
from kaltura_archiver.kaltura.searching import Searching
from kaltura_archiver.kaltura.session import MAX_TRIES
from kaltura_archiver.kaltura.wire import CONNECT_SECONDS, READ_SECONDS, HttpSession
from kaltura_archiver.model import FlavorAsset, same_id
from kaltura_archiver.pictures import Picture
from kaltura_archiver.redact import redact
from kaltura_archiver.transfer.direct import Host
from kaltura_archiver.transfer.streams import MIN_PROGRESS_BYTES, Landing, Piece


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


# As the file host's own addresses name it (kaltura-api 4.5); those of other places may name nothing.
_NAMED_FLAVOR = re.compile(r"/flavorIds?/([01]_\w+)")


class Files(Searching):
    """Reads the content of flavors, and pictures."""

    def picture(self, entry_id: str) -> Picture:
        """The entry's picture as it is now, in one request. Raises EntryFailed where the entry is gone."""

        def read(client: Any) -> Picture:
            raw, listed = ask_together(client, [partial(ask_entry, entry_id), partial(ask_thumbs, entry_id)])
            if raw is None or listed is None:
                raise EntryFailed(f"entry {entry_id} is gone")
            self._as_asked(read_entry(raw), entry_id)
            url = raw.findtext("thumbnailUrl") or ""
            return Picture(picture_version(url), url, tuple(map(read_thumb, read_list(listed, THUMB_LIST)[0])))

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
            raise translated(error, what) from error
        with suppress(TypeError, ValueError):
            at = int(parsedate_to_datetime(told).timestamp())
            return at if status == 200 and at > FIRST_KALTURA else None
        return None

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

    def seconds_told(self, flavor: FlavorAsset) -> float | None:
        """How long a flavor plays, by what Kaltura has measured of its file; None where it does not tell."""
        wanted, pager = KalturaMediaInfoFilter(), KalturaFilterPager()
        wanted.flavorAssetIdEqual = flavor.id

        def read(client: Any) -> float | None:
            found = client.mediaInfo.list(wanted, pager).objects
            rows = found if isinstance(found, list) else []
            if any(same_id(field_text(row.flavorAssetId)) != same_id(flavor.id) for row in rows):
                raise mixed_up(f"what was measured of flavor {flavor.id}", "another's")
            # One for each version; the newest has the highest number.
            newest = max(rows, key=lambda row: field_int(row.id) or 0, default=None)
            return (field_int(newest.containerDuration) or 0) / 1000 if newest else None

        return self._call(f"read how long flavor {flavor.id} plays", read) or None

    def paced(self, pieces: Iterator[Piece]) -> Iterator[Piece]:
        """The same pieces, no faster than --bandwidth allows; for what is moved from elsewhere, too."""
        return self._bandwidth.passing(pieces) if self._bandwidth else pieces

    def _files(self) -> requests.Session:
        """This thread's connections to file hosts, kept alive; they are told no cookies back."""
        session: requests.Session | None = getattr(self._local, "files", None)
        if session is None:
            session = self._local.files = HttpSession()
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
        for attempt, _ in enumerate(self._attempts(first_seconds=1), 1):
            # A fresh address for each try: it may expire, and the host remembers errors of one for a minute (10.13).
            try:
                url = field_text(self._call(what, lambda c: c.flavorAsset.getUrl(flavor.id)))
            except KalturaError as error:
                if error.code == "ASSET_NOT_ALLOWED":
                    raise KalturaError(f"{error}: {ACCESS_CONTROL}", code=FORBIDDEN) from error
                raise
            if urlsplit(url).scheme not in ("http", "https"):
                raise KalturaError(f"{what}: Kaltura gave no address to download from")
            named = _NAMED_FLAVOR.search(urlsplit(url).path)
            if named and same_id(named[1]) != same_id(flavor.id):
                failure = mixed_up(f"the address of flavor {flavor.id}", f"that of {named[1]}")
                continue
            if attempt > 2:
                url += f"{'&' if '?' in url else '?'}attempt={attempt}"
            headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={offset}-"} if offset else {})
            try:
                response = self._get(url, headers)
            except (OSError, http.client.HTTPException) as error:
                failure = translated(error, what)
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
            if forbidden := never_served(reason):
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
