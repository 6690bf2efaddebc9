"""What is written beside the bytes: tags, marks, thaws, locks and small texts."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote

import urllib3
from awscrt import checksums
from botocore.exceptions import BotoCoreError, ClientError

from kaltura_archiver.errors import EntryFailed, StoreError, Waiting
from kaltura_archiver.model import (
    MAX_OBJECT_TAGS,
    NEWER_MARK,
    PLACEHOLDER_PREFIX,
    SUSPECT_PREFIX,
    TIERED_CLASS,
    VERSION_MARK,
    StoredObject,
)
from kaltura_archiver.store.answers import LockObject, answered_at
from kaltura_archiver.store.errors import require_proper
from kaltura_archiver.store.uploads import Uploads
from kaltura_archiver.transfer.dribble import bound_boto
from kaltura_archiver.transfer.streams import crc_text

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


# Each wait of a call for a lock.
LOCK_CALL_SECONDS = 10
# S3's own times are of whole seconds.
MARK_SECONDS = 1.1
# How often an object's tags are written while others write them too.
TAG_TRIES = 4


def _require_etag(answer: Mapping[str, Any]) -> None:
    """Raise KeyError for an answer to a write that tells no ETag: it is not S3's, and nothing may be there."""
    answer["ETag"]


class Store(Uploads):
    """The bucket of stored copies, as the commands use it."""

    def set_tags(self, key: str, untagged: bool = False, /, **changes: str | None) -> None:
        """Set some of an object's tags (None removes one) and keep those of others; they may change on a frozen object.

        S3 has no condition for tags: they are read, written once, and read back, and all that again where somebody else
        wrote in between. `untagged`: S3 has just shown that there are none yet. Raises EntryFailed where S3 keeps no
        more tags.
        """
        self._guard("tag an object")
        wanted = {name.replace("_", "-"): value for name, value in changes.items()}
        what, lost = f"tag object {key}", ""
        try:
            tags = {} if untagged else self._tags(key)
            for _ in range(TAG_TRIES):
                if all(tags.get(name) == value for name, value in wanted.items()):
                    return
                new = {name: value for name, value in (tags | wanted).items() if value is not None}
                if len(new) > MAX_OBJECT_TAGS:
                    raise EntryFailed(f"{what}: with ours it would have {len(new)} tags, and S3 keeps ten: remove some")
                lost = self._write_tags(key, new)
                tags = self._tags(key)
        except (ClientError, BotoCoreError) as error:
            raise self._failure(what, error) from error
        if all(tags.get(name) == value for name, value in wanted.items()):
            return
        raise StoreError(f"{what}: S3 {lost or 'accepted the tags but does not have them'}", retryable=True)

    def _write_tags(self, key: str, tags: Mapping[str, str]) -> str:
        """Write all tags of an object, once: repeated later, it could undo what others do meanwhile.

        Returns why it may not have been done, if so; the tags themselves tell.
        """
        tag_set: list[Any] = [{"Key": name, "Value": value} for name, value in tags.items()]
        try:
            self._once.put_object_tagging(Bucket=self.bucket, Key=key, Tagging={"TagSet": tag_set})
        except (ClientError, BotoCoreError) as error:
            failure = self._failure("", error)
            if not failure.retryable:
                raise
            return str(failure).removeprefix(": S3 ").removeprefix(": ")
        return ""

    def mark(self, stored: StoredObject, kind: str) -> None:
        """Leave word of what this content was found to be, see SUSPECT_PREFIX; to be done before its tags say so."""
        self._guard("mark an object")
        key = f"{SUSPECT_PREFIX}{stored.key}/{quote(stored.etag, safe='')}.{kind}"
        if kind == "whole":
            self._stop.wait(MARK_SECONDS)  # to be later than the mark that it lifts: of equal times that one counts
        try:
            _require_etag(self._s3.put_object(Bucket=self.bucket, Key=key, Body=b""))
            self._marks_at = float("-inf")
        except (ClientError, BotoCoreError, KeyError) as error:
            raise self._failure(f"mark object {stored.key} as {kind}", error) from error

    def mark_newer(self, stored: StoredObject, newer: StoredObject) -> None:
        """Make another copy of its the entry's, see NEWER_MARK; to be done before the tags say so."""
        self._guard("mark an object")
        named = newer.key.partition(VERSION_MARK)[2]
        try:
            key = f"{SUSPECT_PREFIX}{stored.key}/{NEWER_MARK}{named}"
            _require_etag(self._s3.put_object(Bucket=self.bucket, Key=key, Body=b""))
            self._marks_at = float("-inf")
        except (ClientError, BotoCoreError, KeyError) as error:
            raise self._failure(f"mark that {newer.key} came after {stored.key}", error) from error

    def mark_placeholder(self, key: str, content_id: str, size_bytes: int) -> None:
        """Let a listing tell which placeholder took the original's place, by `<flavor asset id>@<version>`."""
        self._guard("mark an object")
        mark = f"{PLACEHOLDER_PREFIX}{key}/{content_id}/{size_bytes}"
        try:
            self._s3.put_object(Bucket=self.bucket, Key=mark, Body=b"", IfNoneMatch="*")
        except ClientError as error:
            if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") != 412:
                raise self._failure(f"mark the placeholder of {key}", error) from error
        except BotoCoreError as error:
            raise self._failure(f"mark the placeholder of {key}", error) from error

    def request_thaw(self, stored: StoredObject, *, tier: str, days: int) -> bool:
        """Ask for a readable copy for `days` (an archive tier's object then stays readable), for longer, or faster.

        Returns False if such a request is running already, as fast as this one or faster. Raises Waiting where Glacier
        has no room for expedited retrievals.
        """
        self._guard("request a restore")
        request: dict[str, Any] = {"GlacierJobParameters": {"Tier": tier.capitalize()}}
        if stored.storage_class != TIERED_CLASS:
            request["Days"] = days
        what = f"request a restore of object {stored.key}"
        for left in (2, 1, 0):
            try:
                self._once.restore_object(Bucket=self.bucket, Key=stored.key, RestoreRequest=cast(Any, request))
                return True
            except (ClientError, BotoCoreError) as error:
                failure = self._failure(what, error)
                if failure.code == "RestoreAlreadyInProgress":
                    return False  # perhaps by our own call, whose answer was lost
                if failure.code == "GlacierExpeditedRetrievalNotAvailable":
                    raise Waiting(
                        f"S3 has no capacity for expedited restores from {stored.frozen_in} now: try again later, or "
                        "take --tier standard"
                    ) from error
                if not failure.retryable or not left:
                    raise failure from error
                self._stop.wait(0.5)
        raise AssertionError("unreachable")

    @cached_property
    def _brief(self) -> S3Client:
        """Without a pause for anybody's rate limit: locks are few, and cannot wait."""
        client = self._client(connect_timeout=LOCK_CALL_SECONDS / 2, read_timeout=LOCK_CALL_SECONDS)
        bound_boto(client)
        client.meta.events.register("after-call.s3", require_proper)
        return client

    def read_lock(self, key: str) -> LockObject | None:
        """A lock; None if there is none."""
        text, frozen = "", False
        try:
            try:
                answer: Any = self._brief.get_object(Bucket=self.bucket, Key=key)
                text = answer["Body"].read(2**16).decode(errors="replace")
            except ClientError as error:
                code = error.response.get("Error", {}).get("Code")
                if code == "NoSuchKey":
                    return None
                if code != "InvalidObjectState":
                    raise
                frozen, answer = True, self._brief.head_object(Bucket=self.bucket, Key=key)
            written = answer["LastModified"].timestamp()
            at = answered_at(answer) or written  # of a service that does not tell the time no lock ever grows old
            return LockObject(text, answer["ETag"], at - written, at, frozen)
        except (ClientError, BotoCoreError, OSError, KeyError, urllib3.exceptions.HTTPError) as error:
            raise self._failure(f"read the lock {key}", error) from error

    def put_lock(self, key: str, text: str, *, if_match: str, crc64nvme: str = "") -> tuple[str, float]:
        """Write a lock over the one with this ETag, or, with an empty one, where there is none.

        Returns its ETag, and when that was by S3's clock (0 if not told); ("", 0.0) if the condition did not hold.
        """
        self._guard("write a lock")
        etag = if_match.strip('"') if self.bare_etags else if_match
        options: Any = {"IfMatch": etag} if if_match else {"IfNoneMatch": "*"}
        options |= {"ChecksumCRC64NVME": crc64nvme} if crc64nvme else {}
        try:
            answer = self._brief.put_object(
                Bucket=self.bucket, Key=key, Body=text.encode(), ContentType="application/json", **options
            )
            return answer["ETag"], answered_at(answer)
        except ClientError as error:
            # Another writer at the same moment is a 409; an object that has gone, with If-Match, a 404.
            if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") in (404, 409, 412):
                return "", 0.0
            raise self._failure(f"write the lock {key}", error) from error
        except (BotoCoreError, KeyError) as error:
            raise self._failure(f"write the lock {key}", error) from error

    @staticmethod
    def checksum_of(text: str) -> str:
        """The CRC64NVME of a text, as S3 writes it."""
        return crc_text(checksums.crc64nvme(text.encode()))

    def get_text(self, key: str, max_bytes: int = 2**16) -> tuple[str, str] | None:
        """(text, ETag) of a small object of ours, no more of it than that; None if there is none."""
        try:
            answer = self._s3.get_object(Bucket=self.bucket, Key=key)
            return answer["Body"].read(max_bytes).decode(errors="replace"), answer["ETag"]
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") == "NoSuchKey":
                return None
            raise self._failure(f"read {key}", error) from error
        except (BotoCoreError, OSError, KeyError, urllib3.exceptions.HTTPError) as error:
            raise self._failure(f"read {key}", error) from error

    def put_text(self, key: str, text: str, *, if_match: str) -> str:
        """Write a small object: over the one with this ETag, or, with an empty one, where there is none.

        Returns its ETag; empty if the condition did not hold.
        """
        self._guard("write an object")
        conditions: list[Any] = [{"IfNoneMatch": "*"}]
        if if_match:
            # In the one form or the other, see probe.py: a worker of a fleet has tried neither.
            conditions = [{"IfMatch": etag} for etag in dict.fromkeys((if_match, if_match.strip('"')))]
            conditions = conditions[::-1] if self.bare_etags else conditions
        for condition in conditions:
            try:
                answer = self._s3.put_object(
                    Bucket=self.bucket, Key=key, Body=text.encode(), ContentType="application/json", **condition
                )
                return answer["ETag"]
            except ClientError as error:
                # Another writer at the same moment is a 409; an object that has gone, with If-Match, a 404.
                if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") not in (404, 409, 412):
                    raise self._failure(f"write {key}", error) from error
            except (BotoCoreError, KeyError) as error:
                raise self._failure(f"write {key}", error) from error
        return ""
