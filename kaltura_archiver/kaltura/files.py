"""The content of flavors, from Kaltura's file host."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from email.utils import parsedate_to_datetime
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

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
from kaltura_archiver.kaltura.wire import proper_address
from kaltura_archiver.model import FlavorAsset, same_id
from kaltura_archiver.pictures import Picture
from kaltura_archiver.redact import redact
from kaltura_archiver.transfer.streams import MIN_PROGRESS_BYTES, Inflow, is_rest

if TYPE_CHECKING:
    from kaltura_archiver.transfer.curl import Answer

# As many as requests follows.
MAX_REDIRECTS = 30
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


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


_WEB_ADDRESS = re.compile(r"(?i)https?://")
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
        if not _WEB_ADDRESS.match(picture.url):
            return None
        try:
            answer = self._get(picture.url, {"Accept-Encoding": "identity"})
        except OSError as error:
            raise translated(error, what) from error
        told = answer.headers.get("last-modified", "")
        with suppress(TypeError, ValueError):
            at = int(parsedate_to_datetime(told).timestamp())
            return at if answer.status == 200 and at > FIRST_KALTURA else None
        return None

    def content(self, flavor: FlavorAsset) -> Inflow:
        """A flavor's content, with its exact size, resumed by Range where the connection is cut.

        Raises EntryFailed for an empty answer: the file host's errors are an empty page with status 200 (kaltura-api
        4.5); and for one of another size than Kaltura tells, which says nothing of what Kaltura holds. Raises Changed
        where the flavor is replaced on the way.
        """
        return self.inflow(partial(self._fetch, flavor), flavor.known_bytes)

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

    def inflow(self, source: Callable[[Inflow], None], about_bytes: int) -> Inflow:
        """What comes of this source, no faster than --bandwidth allows; for what is moved from elsewhere, too."""
        return Inflow(source, self._stop, about_bytes=about_bytes, bandwidth=self._bandwidth)

    def _fetch(self, flavor: FlavorAsset, inflow: Inflow) -> None:
        cuts = 0
        while True:
            before = inflow.received
            self._open(flavor, inflow)
            if self._stop.is_set():
                raise Stopped("asked to stop")
            if inflow.is_set() or inflow.received >= inflow.size_bytes:
                return
            cuts = cuts + 1 if inflow.received - before < MIN_PROGRESS_BYTES else 0
            if cuts >= MAX_TRIES:
                at = f"at byte {inflow.received} of {inflow.size_bytes}"
                raise KalturaError(f"download of flavor {flavor.id} was cut {cuts} times {at}")
            # Bytes of two versions must not be put together.
            now = {f.id: f for f in self.flavors([flavor.entry_id])[flavor.entry_id]}.get(flavor.id)
            if now is None or not (now.content_id == flavor.content_id or now.linked_again(flavor)):
                raise Changed(f"flavor {flavor.id} of {flavor.entry_id} was replaced while it was read")

    def _open(self, flavor: FlavorAsset, inflow: Inflow) -> None:
        """Have the rest of the content come, or some of it: the connection may be cut."""
        what, offset = f"download flavor {flavor.id} of {flavor.entry_id}", inflow.received
        failure: KalturaError | None = None

        def wanted(answer: Answer) -> bool:
            length = answer.headers.get("content-length", "")
            proper = answer.status == (206 if offset else 200) and length.isdigit() and int(length) > 0
            # Which nobody asked for.
            packed = answer.headers.get("content-encoding", "").lower() not in ("", "identity")
            if not proper or packed or answer.headers.get("x-kaltura-app"):
                return False
            found = offset + int(length)
            if offset and not is_rest(answer.headers.get("content-range"), offset, found):
                return False
            if inflow.size_bytes and found != inflow.size_bytes:
                raise Changed(f"{what}: the content is now {found} bytes, not {inflow.size_bytes}")
            _require_size(flavor, found)
            inflow.begin(found)
            return True

        for attempt, _ in enumerate(self.attempts(first_seconds=1), 1):
            # A fresh address for each try: it may expire, and the host remembers errors of one for a minute (10.13).
            try:
                url = field_text(self._call(what, lambda c: c.flavorAsset.getUrl(flavor.id)))
            except KalturaError as error:
                if error.code == "ASSET_NOT_ALLOWED":
                    raise KalturaError(f"{error}: {ACCESS_CONTROL}", code=FORBIDDEN) from error
                raise
            if not _WEB_ADDRESS.match(url):
                raise KalturaError(f"{what}: Kaltura gave no address to download from")
            named = _NAMED_FLAVOR.search(url.partition("?")[0])
            if named and same_id(named[1]) != same_id(flavor.id):
                failure = mixed_up(f"the address of flavor {flavor.id}", f"that of {named[1]}")
                continue
            if attempt > 2:
                url += f"{'&' if '?' in url else '?'}attempt={attempt}"
            headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={offset}-"} if offset else {})
            try:
                answer = self._get(url, headers, inflow, wanted)
            except OSError as error:
                if inflow.received > offset:
                    return
                failure = translated(error, what)
                continue
            if inflow.received > offset or inflow.is_set():
                return
            reason, length = answer.headers.get("x-kaltura-app", ""), answer.headers.get("content-length", "")
            if forbidden := never_served(reason):
                raise KalturaError(f"{what}: {forbidden} ({redact(reason)[:120]})", code=FORBIDDEN)
            failure = KalturaError(
                f"{what}: the file host sent no content (HTTP {answer.status}, {length or 'no'} bytes"
                f"{', ' + redact(reason)[:120] if reason else ''})",
                retryable=True,
            )
        raise failure or AssertionError("unreachable")

    def _get(
        self,
        url: str,
        headers: Mapping[str, str],
        inflow: Inflow | None = None,
        wanted: Callable[[Answer], bool] | None = None,
    ) -> Answer:
        """The answer of a file host, whose content goes to `inflow`. Raises OSError.

        What it says when it redirects is followed to any other web address; nobody is told a password or cookies.
        """
        for _ in range(MAX_REDIRECTS):
            address = urlsplit(proper_address(url))._replace(fragment="").geturl()
            answer = self._carriers.to(address).get(address, headers, inflow, wanted)
            if answer.status not in _REDIRECTS or not answer.headers.get("location"):
                return answer
            location = answer.headers["location"].encode("latin-1")
            try:
                url = urljoin(url, location.decode())  # it is written in UTF-8, if not in ASCII
            except ValueError as error:
                raise ConnectionError("redirected to what is no address") from error
        raise ConnectionError("redirected again and again")
