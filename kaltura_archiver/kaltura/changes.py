"""Whatever changes something in Kaltura: all of it, each call refused in a dry run."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, TypeVar

from KalturaClient.Plugins.Core import (
    KalturaEntryReplacementOptions,
    KalturaFilterPager,
    KalturaFlavorAsset,
    KalturaMediaEntry,
    KalturaUploadToken,
    KalturaUploadTokenFilter,
)

from kaltura_archiver.errors import Changed, EntryFailed, KalturaError
from kaltura_archiver.kaltura.answers import Look, field_int, field_text, read_entry
from kaltura_archiver.kaltura.errors import mixed_up
from kaltura_archiver.kaltura.files import Files
from kaltura_archiver.kaltura.questions import ASSET_ENUMS, ASSET_FIELDS, list_tokens, resource_of
from kaltura_archiver.kaltura.session import LookAgain
from kaltura_archiver.kaltura.wire import NamedChunk
from kaltura_archiver.model import Entry, FlavorAsset, normalised_tags, same_id, split_tags, tags_with
from kaltura_archiver.transfer.chunks import Chunk

log = logging.getLogger(__name__)
T = TypeVar("T")
TOKEN_FULL = 2
CHANGE_TRIES = 3  # of tags, which others may change at the same time
# The column of an entry's tags; and from where on what was stored is read back: a database that holds them in another
# character set counts up to three bytes for one.
MAX_TAGS_BYTES = 65_535
LONG_TAGS_BYTES = 20_000
# Marks the file names of our upload tokens, so that those of killed runs can be told from other people's.
TOKEN_PREFIX = "archiver-"  # noqa: S105 - no password
MAX_TOKEN_PAGES = 20


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


def _read_token(token: Any, token_id: str) -> tuple[int, int]:
    """(status, uploaded bytes) of the token that was asked for."""
    status = field_int(getattr(token, "status", None))
    if status is None:
        raise KalturaError("Kaltura answered with an incomplete upload token", retryable=True)
    if same_id(field_text(token.id)) != same_id(token_id):
        raise mixed_up(f"upload token {token_id}", f"another, {field_text(token.id)}")
    return status, field_int(token.uploadedFileSize) or 0


class Kaltura(Files):
    """All that we ask of Kaltura, as the commands use it."""

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

        def look() -> Entry:
            nonlocal before, sent
            entry, flavors, *_ = self.look(entry_id, entry_last=True) if check else Look(self.entry(entry_id), ())
            if entry is None:
                raise Changed(f"entry {entry_id} is gone")
            if before:
                self._require_not_cut(before, sent, entry)
            if check:
                check(flavors)
            before, sent = entry, tags_with(entry.tags_text, add=add, remove=remove)
            if sent != entry.tags_text:
                _require_room(entry_id, sent)
            return entry

        for last in self.attempts(CHANGE_TRIES):
            entry = before = look()
            if sent == entry.tags_text:
                return entry
            try:
                entry = self._update(f"set the tags of {entry_id}", entry.id, lambda: sent, look=look)
            except KalturaError as error:
                if not error.retryable or last:
                    raise
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
        if held in (whole, _as_stored(before.tags_text)) or not whole.startswith(held):
            return
        if len(sent.encode()) <= LONG_TAGS_BYTES:
            return
        log.warning("Kaltura dropped tags of %s, which are put back: %s", before.id, whole[len(held) :])
        self._update(f"put back the tags of {before.id}", before.id, lambda: before.tags_text)
        raise EntryFailed(
            f"Kaltura kept only {len(now.tags_text.encode())} of {len(whole.encode())} bytes of the tags of "
            f"{before.id}: they were put back as they had been; remove some of them and run the command again"
        )

    def _update(self, what: str, entry_id: str, tags: Callable[[], str], *, look: LookAgain | None = None) -> Entry:
        """Set the tags; what they are to be is asked with each attempt, after each `look`."""

        def update(client: Any) -> Entry:
            change = KalturaMediaEntry()
            change.tags = tags()
            return self._as_asked(read_entry(client.media.update(entry_id, change)), entry_id)

        return self._call(what, update, writes=True, look=look)

    def new_token(self, file_name: str, size_bytes: int) -> str:
        token = KalturaUploadToken()
        token.fileName, token.fileSize = file_name, float(size_bytes)

        def add(client: Any) -> str:
            token_id = field_text(client.uploadToken.add(token).id)
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
            answer = self._call("list upload tokens", partial(list_tokens, wanted, pager))
            found += [
                (field_text(token.id), field_text(token.fileName))
                for token in answer
                if field_text(token.fileName).startswith(TOKEN_PREFIX) and field_int(token.status) in (0, 1, 2)
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
        return self._call(
            f"read upload token {token_id}", lambda client: _read_token(client.uploadToken.get(token_id), token_id)
        )

    def upload(self, token_id: str, file_name: str, size_bytes: int, chunks: Iterable[Chunk]) -> None:
        """Send content to an upload token in chunks and check that Kaltura has all of it (kaltura-api 5.6).

        A chunk whose answer was lost is sent again from where the token stands. Raises KalturaError, or what `chunks`
        raises; the token is then of no use.
        """
        offset, state, chunks = 0, (0, 0), iter(chunks)
        for chunk in chunks:
            final = offset + len(chunk) >= size_bytes
            # Whether the last one may be sent is known at the very end.
            if final and (offset + len(chunk) > size_bytes or next(chunks, None)):
                raise EntryFailed(f"for upload token {token_id} came more than {size_bytes} bytes")
            state = self._send_chunk(token_id, file_name, chunk, offset, final=final)
            offset += len(chunk)
            chunk.release()
        if offset != size_bytes:
            raise EntryFailed(f"for upload token {token_id} came {offset} bytes instead of {size_bytes}")
        # The answer to the last chunk tells what Kaltura holds (real-kaltura U03); what it tells else is looked at.
        status, uploaded = state if state == (TOKEN_FULL, size_bytes) else self._token_state(token_id)
        if status != TOKEN_FULL or uploaded != size_bytes:
            raise KalturaError(f"upload token {token_id} has status {status} and {uploaded} of {size_bytes} bytes")

    def _send_chunk(self, token_id: str, file_name: str, chunk: Chunk, offset: int, *, final: bool) -> tuple[int, int]:
        """What the token then has: its status, and how many bytes in all."""
        resume = offset > 0

        def send(client: Any) -> tuple[int, int]:
            named = NamedChunk(file_name, chunk)
            return _read_token(
                client.uploadToken.upload(token_id, named, resume, final, offset if resume else -1), token_id
            )

        for last in self.attempts():
            try:
                return self._call(f"upload to token {token_id}", send, writes=True)
            except KalturaError as error:
                if last:
                    raise
                status, uploaded = self._token_state(token_id)
                arrived = (
                    status == TOKEN_FULL if final else status in (1, TOKEN_FULL) and uploaded >= offset + len(chunk)
                )
                if arrived:
                    return status, uploaded
                if not error.retryable and error.code != "UPLOAD_TOKEN_INVALID_STATUS_FOR_UPLOAD":
                    raise
                if status not in (0, 1):
                    raise
        raise AssertionError("unreachable")

    def update_content(self, entry_id: str, resource: str, *, look: LookAgain) -> Entry:
        """Start the swap: `resource` is an upload token id, or an http(s) URL that Kaltura fetches.

        Never repeat it blindly: a second call cancels the first (kaltura-api 5.3). `look` is the last look, which was
        just taken: it is taken again where the call has to wait, or Kaltura refuses it for now.
        """
        options = KalturaEntryReplacementOptions()
        options.keepManualThumbnails = 1
        return self._call(
            f"replace the content of {entry_id}",
            lambda c: self._as_asked(
                read_entry(c.media.updateContent(entry_id, resource_of(resource), NotImplemented, options)), entry_id
            ),
            writes=True,
            look=look,
        )

    def add_content(self, entry_id: str, resource: str) -> None:
        """Give content to an entry that has none (NO_CONTENT). Not to be repeated blindly either (kaltura-api 5.1)."""
        self._call(
            f"add content to {entry_id}", lambda c: c.media.addContent(entry_id, resource_of(resource)), writes=True
        )

    def approve_replace(self, entry_id: str, *, look: LookAgain) -> None:
        what = f"approve the replacement of {entry_id}"
        self._call(what, lambda c: c.media.approveReplace(entry_id), writes=True, look=look)

    def cancel_replace(self, entry_id: str, *, look: LookAgain) -> None:
        what = f"cancel the replacement of {entry_id}"
        self._call(what, lambda c: c.media.cancelReplace(entry_id), writes=True, look=look)

    def update_flavor(self, flavor_id: str, changes: Mapping[str, str]) -> None:
        """Set fields of a flavor asset, by our names, whatever its status. What came of it is to be read.

        Another call than that for the flavor's content: it changes nothing else.
        """
        change = KalturaFlavorAsset()
        for name, value in changes.items():
            kind = ASSET_ENUMS.get(name)
            setattr(change, ASSET_FIELDS.get(name, name), kind(value) if kind else value)
        what = f"set {', '.join(changes)} of flavor {flavor_id}"
        self._call(what, lambda c: c.flavorAsset.update(flavor_id, change), writes=True, harmless=True)

    def delete_flavor(self, flavor_id: str, *, look: LookAgain) -> None:
        """Delete a flavor asset, for good; one that is gone is fine. After a lost answer, what became of it is to be
        read: the id stays when somebody uploads another video to it. `look` is as in `update_content`.
        """
        try:
            self._call(f"delete flavor {flavor_id}", lambda c: c.flavorAsset.delete(flavor_id), writes=True, look=look)
        except KalturaError as error:
            if error.code != "FLAVOR_ASSET_ID_NOT_FOUND":
                raise

    def take_picture(self, entry_id: str, seconds: int) -> str:
        """Have Kaltura show a frame of the original, which is READY; returns the picture's version. May be repeated.

        It makes no thumb asset and deletes none, and takes the mark of the default one from whichever has it
        (kaltura-api 5.4). A swap will bring the picture of its content all the same.
        """

        def take(client: Any) -> str:
            return self._as_asked(
                read_entry(client.media.updateThumbnail(entry_id, seconds)), entry_id
            ).thumbnail_version

        return self._call(f"take a picture of {entry_id}", take, writes=True, harmless=True)

    def choose_picture(self, thumb_id: str) -> None:
        """Have Kaltura show this thumb asset of an entry. May be repeated."""
        self._call(
            f"show picture {thumb_id}", lambda c: c.thumbAsset.setAsDefault(thumb_id), writes=True, harmless=True
        )
