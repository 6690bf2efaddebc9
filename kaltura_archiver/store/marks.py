"""What marks beside stored copies tell: small objects, which nobody's write of tags undoes."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import NamedTuple
from urllib.parse import quote

from botocore.exceptions import BotoCoreError, ClientError

from kaltura_archiver.errors import StoreError
from kaltura_archiver.model import NEWER_MARK, SUSPECT_PREFIX
from kaltura_archiver.store.bucket import Bucket
from kaltura_archiver.store.errors import require_below

# For so long a listing of all marks is taken for what they are, at a first look.
MARKS_SECONDS = 60.0


class Marks(NamedTuple):
    """Kind of mark about a content to when it was set (ISO 8601), and which copy came after it; see SUSPECT_PREFIX."""

    kinds: Mapping[str, str] = MappingProxyType({})
    newer: str = ""


def _told_by(listed: Mapping[str, datetime], key: str, etag: str) -> Marks:
    """What these marks tell of the content with this ETag, and of what came after the object with this key."""
    below = f"{SUSPECT_PREFIX}{key}/"
    prefix, newer = f"{below}{quote(etag, safe='')}.", f"{below}{NEWER_MARK}"
    found = {key.removeprefix(prefix): at for key, at in listed.items() if key.startswith(prefix)}
    if "whole" in found and found["whole"] > found.get("damaged", found["whole"]):
        del found["damaged"]
    # Two runs at a time may each have made one: the later mark counts.
    after = [(at, mark.removeprefix(newer)) for mark, at in listed.items() if mark.startswith(newer)]
    kinds = {kind: at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") for kind, at in found.items()}
    return Marks(kinds, max(after)[1] if after else "")


class MarkedBucket(Bucket):
    """Reads marks."""

    def named_after(self, key: str) -> str:
        """What a mark says came after the object with this key, which may be gone itself; empty where none does."""
        try:
            return self._marks(key, "").newer
        except (ClientError, BotoCoreError) as error:
            raise self._failure(f"look for marks about object {key}", error) from error

    def _marks(self, key: str, etag: str) -> Marks:
        prefix = f"{SUSPECT_PREFIX}{key}/"
        listed = self._marks_below(prefix)
        if listed is None:
            raise StoreError(f"look at object {key}: there are too many marks about it, below {prefix}")
        return _told_by(listed, key, etag)

    def _recent_marks(self, key: str, etag: str) -> Marks:
        """As `_marks`, of a listing of all marks, made once in MARKS_SECONDS: mostly there are few, or none."""
        with self._marks_lock:
            now = time.monotonic()
            if now - self._marks_at > MARKS_SECONDS:
                self._all_marks, self._marks_at = self._marks_below(SUSPECT_PREFIX), now
            listed = self._all_marks
        return self._marks(key, etag) if listed is None else _told_by(listed, key, etag)

    def _marks_below(self, prefix: str) -> dict[str, datetime] | None:
        """Keys of marks to when they were set; None where there are more than one listing shows."""
        # A listing, not a look at each kind: it needs no leave that a listing of the bucket does not.
        answer = self._s3.list_objects_v2(Bucket=self.bucket, Prefix=prefix)
        listed = answer.get("Contents", [])
        require_below(prefix, listed)
        return None if answer["IsTruncated"] else {item["Key"]: item["LastModified"] for item in listed}
