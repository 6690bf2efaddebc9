"""What is in the bucket, by moto, and direct access to it for tests."""

from __future__ import annotations

import functools
import itertools
import threading
import uuid
import weakref
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from moto.moto_server.werkzeug_app import create_backend_app
from moto.s3.models import FakeBucket, FakeKey, S3Backend, s3_backends
from moto.s3.utils import STORAGE_CLASS

from kaltura_archiver.sandbox.control import Control
from kaltura_archiver.sandbox.s3.calls import ObjectFacts, RestoreRequest, expiry_of, md5_of
from kaltura_archiver.sandbox.s3.settings import KMS_KEY, TIERED_CLASS, S3Settings

if TYPE_CHECKING:
    from flask import Flask


_account_numbers = itertools.count(1)


@functools.cache
def moto_application() -> Flask:
    return create_backend_app("s3")


class Kept:
    """The bucket's content; what is done here is not logged."""

    access_key_id = "AKIASANDBOX000000000"

    secret_access_key = "sandbox-secret-access-key-0000000000000"  # noqa: S105 - opens nothing but this sandbox

    def __init__(self, control: Control, *, bucket: str = "sandbox-archive", region: str = "us-east-1") -> None:
        self.control = control
        self.bucket = bucket
        self.region = region
        self.settings = S3Settings()
        self._lock = threading.RLock()
        self._account = f"{next(_account_numbers):012d}"
        self._facts: weakref.WeakKeyDictionary[FakeKey, ObjectFacts] = weakref.WeakKeyDictionary()
        self._initiated: dict[str, float] = {}
        self._http: Any = None

    def put(
        self,
        key: str,
        body: bytes,
        *,
        storage_class: str = "STANDARD",
        metadata: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
        part_bytes: int | None = None,
        checksum: bool = True,
        listed_bytes: int | None = None,
    ) -> None:
        """Store an object. With `part_bytes` it looks uploaded in parts of that size (any size, even small).

        Without `checksum` S3 knows none of it, as of many objects written before 2025. `listed_bytes` is the size that
        listings tell, of a large object that nobody is going to read.
        """
        with self._lock:
            parts: list[bytes] = []
            etag = None
            if part_bytes is not None:
                parts = [body[at : at + part_bytes] for at in range(0, len(body), part_bytes)] or [b""]
                etag = f"{md5_of(b''.join(map(md5_of, parts))).hex()}-{len(parts)}"
            unknown = "" if storage_class in STORAGE_CLASS else storage_class
            known = "STANDARD" if unknown else storage_class
            stored = self._backend.put_object(self.bucket, key, body, storage=known, etag=etag)
            stored.last_modified = datetime.fromtimestamp(self.control.clock.now(), UTC).replace(tzinfo=None)
            stored.set_metadata({f"x-amz-meta-{name}": value for name, value in (metadata or {}).items()})
            self._backend.put_object_tagging(stored, dict(tags or {}))
            self._facts[stored] = ObjectFacts(
                "CRC64NVME" if checksum else "", part_sizes=tuple(map(len, parts)), storage_class=unknown
            )
            if listed_bytes is not None:
                stored.contentsize = listed_bytes
            if self.settings.kms:
                self._encrypt(stored)

    def body(self, key: str) -> bytes | None:
        with self._lock:
            found = self._find(key)
            return found.value if found else None

    def etag(self, key: str) -> str:
        """Without its quotes; empty if there is no such object."""
        with self._lock:
            found = self._find(key)
            return found.etag.strip('"') if found else ""

    def tags(self, key: str) -> dict[str, str]:
        with self._lock:
            found = self._find(key)
            return {t["Key"]: t["Value"] for t in self._backend.get_object_tagging(found)["Tags"]} if found else {}

    def set_tags(self, key: str, tags: Mapping[str, str]) -> None:
        """Somebody else sets all tags of an object."""
        with self._lock:
            found = self._find(key)
            if found is None:
                raise ValueError(f"there is no object {key}")
            self._backend.put_object_tagging(found, dict(tags))

    def metadata(self, key: str) -> dict[str, str]:
        with self._lock:
            found = self._find(key)
            prefix = "x-amz-meta-"
            return (
                {n.removeprefix(prefix): v for n, v in found.metadata.items() if n.startswith(prefix)} if found else {}
            )

    def storage_class(self, key: str) -> str | None:
        with self._lock:
            found = self._find(key)
            return found.storage_class if found else None

    def keys(self, part: str = "") -> list[str]:
        """Of the objects there are, or of those with this in their key."""
        with self._lock:
            return sorted(name for name in list(self._bucket.keys) if part in name and self._find(name))

    def uploads(self) -> list[tuple[str, str]]:
        """Key and id of each multipart upload that was neither completed nor aborted."""
        with self._lock:
            return [(upload.key_name, upload.id) for upload in self._bucket.multiparts.values()]

    def thaw(self, key: str) -> None:
        """Finish a running restore now."""
        with self._lock:
            restore = self._restore_of(key)
            restore.ready_at = self.control.clock.now()
            restore.expires_at = expiry_of(restore.ready_at, restore.days)

    def freeze(self, key: str, archive_tier: str) -> None:
        """Have INTELLIGENT_TIERING move an object of its class to that archive tier, or back where it is empty."""
        with self._lock:
            found = self._find(key)
            if found is None or found.storage_class != TIERED_CLASS:
                raise ValueError(f"{key} is not in {TIERED_CLASS}")
            self._settled(found).archive_tier = archive_tier

    def expire(self, key: str) -> None:
        """End the life of a restored copy now."""
        with self._lock:
            restore = self._restore_of(key)
            restore.ready_at = min(restore.ready_at, self.control.clock.now())
            restore.expires_at = self.control.clock.now()

    def _restore_of(self, key: str) -> RestoreRequest:
        found = self._find(key)
        restore = self._settled(found).restore if found else None
        if restore is None:
            raise ValueError(f"no restore was requested for {key}")
        return restore

    @functools.cached_property
    def _backend(self) -> S3Backend:
        return s3_backends[self._account]["aws"]

    @property
    def _bucket(self) -> FakeBucket:
        return self._backend.buckets[self.bucket]

    def _find(self, key: str, version: str | None = None) -> FakeKey | None:
        return self._backend.get_object(self.bucket, key, version)

    def _settled(self, key: FakeKey) -> ObjectFacts:
        """The facts of an object as of now: moto is told whether it can be read."""
        facts = self._facts.setdefault(key, ObjectFacts())
        now = self.control.clock.now()
        if facts.restore and facts.restore.days is None and now >= facts.restore.ready_at:
            facts.archive_tier, facts.restore = "", None  # back in the Frequent Access tier
        if facts.restore and now >= facts.restore.expires_at and now >= facts.restore.ready_at:
            facts.restore = None
        readable = facts.restore is not None and now >= facts.restore.ready_at
        # Any date will do: moto only looks whether there is one, and the front writes the header.
        key.set_expiry(datetime(2100, 1, 1, tzinfo=UTC) if readable else None)
        return facts

    def _encrypt(self, key: FakeKey) -> None:
        key.encryption = "aws:kms"
        key.kms_key_id = KMS_KEY
        # As long as an MD5, and none.
        key._etag = md5_of(b"kms" + uuid.uuid4().bytes).hex()
