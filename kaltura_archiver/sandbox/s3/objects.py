"""The operations on objects."""

from __future__ import annotations

import urllib.parse
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import formatdate
from xml.sax.saxutils import escape

from moto.s3.models import FakeKey

from kaltura_archiver.sandbox.s3.calls import (
    ObjectFacts,
    RefusedError,
    RestoreRequest,
    S3Answer,
    S3Call,
    checksum_of,
    expiry_of,
    malformed,
    no_such_key,
    sent_algorithm,
    take_part,
    xml_of,
)
from kaltura_archiver.sandbox.s3.rules import expiration_of
from kaltura_archiver.sandbox.s3.settings import FROZEN_CLASSES, KMS_KEY, THAW_HOURS
from kaltura_archiver.sandbox.s3.signatures import Signed


class Objects(Signed):
    """Reads, writes, tags and thaws."""

    def _read(self, call: S3Call) -> S3Answer:
        key = self._find(call.key, call.query.get("versionId"))
        if key is None:
            return self._forward(call)
        facts = self._settled(key)
        if call.method == "GET":
            self._check_readable(key)
        number = call.query.get("partNumber")
        plain = replace(
            call,
            query={n: v for n, v in call.query.items() if n != "partNumber"},
            headers={n: v for n, v in call.headers.items() if n != "x-amz-checksum-mode"},
        )
        answer = self._forward(plain)
        if answer.status not in (200, 206):
            return answer
        for name in ("x-amz-sdk-checksum-algorithm", "x-amz-restore"):
            answer.headers.pop(name, None)
        answer.headers.setdefault("x-amz-server-side-encryption", "AES256")
        if facts.restore:
            answer.headers["x-amz-restore"] = self._restore_header(facts.restore)
        if facts.archive_tier:
            answer.headers["x-amz-archive-status"] = facts.archive_tier
        if facts.storage_class:
            answer.headers["x-amz-storage-class"] = facts.storage_class
        if expiration := expiration_of(self.settings, call.key, key.last_modified.replace(tzinfo=UTC).timestamp()):
            answer.headers["x-amz-expiration"] = expiration
        if number is not None:
            take_part(answer, facts, key.size, int(number), call.method)
        elif (
            answer.status == 200
            and facts.algorithm
            and "checksums" not in self.settings.lacks
            and call.headers.get("x-amz-checksum-mode", "").upper() == "ENABLED"
        ):
            answer.headers[f"x-amz-checksum-{facts.algorithm.lower()}"] = self._checksum_of(key)
            answer.headers["x-amz-checksum-type"] = facts.checksum_type
        return answer

    def _check_readable(self, key: FakeKey) -> None:
        facts = self._settled(key)
        frozen = key.storage_class in FROZEN_CLASSES or facts.archive_tier
        if frozen and (facts.restore is None or self.control.clock.now() < facts.restore.ready_at):
            tier = {"AccessTier": facts.archive_tier} if facts.archive_tier else {}
            raise RefusedError(
                403,
                "InvalidObjectState",
                f"The operation is not valid for the object's {'access tier' if tier else 'storage class'}",
                StorageClass=str(key.storage_class),
                **tier,
            )

    def _restore_header(self, restore: RestoreRequest) -> str:
        if self.control.clock.now() < restore.ready_at:
            return 'ongoing-request="true"'
        return f'ongoing-request="false", expiry-date="{formatdate(restore.expires_at, usegmt=True)}"'

    def _checksum_of(self, key: FakeKey) -> str:
        facts = self._facts.setdefault(key, ObjectFacts())
        if not facts.checksum:
            facts.checksum = checksum_of(facts.algorithm, key.value)
        return facts.checksum

    def _put_object(self, call: S3Call) -> S3Answer:
        answer = self._forward(self._encrypting(call))
        key = self._find(call.key)
        if answer.status != 200 or key is None:
            return answer
        key.last_modified = datetime.fromtimestamp(self.control.clock.now(), UTC).replace(tzinfo=None)
        algorithm = sent_algorithm(call.headers) or "CRC64NVME"
        self._facts[key] = ObjectFacts(algorithm, checksum_of(algorithm, call.body))
        if self.settings.kms:
            self._encrypt(key)
        for name in [n for n in answer.headers if n.startswith("x-amz-checksum-")]:
            del answer.headers[name]
        answer.headers["etag"] = key.etag
        answer.headers[f"x-amz-checksum-{algorithm.lower()}"] = self._facts[key].checksum
        answer.headers["x-amz-checksum-type"] = "FULL_OBJECT"
        answer.headers.setdefault("x-amz-server-side-encryption", "AES256")
        return answer

    def _encrypting(self, call: S3Call) -> S3Call:
        if not self.settings.kms:
            return call
        added = {
            "x-amz-server-side-encryption": "aws:kms",
            "x-amz-server-side-encryption-aws-kms-key-id": KMS_KEY,
        }
        return replace(call, headers={**call.headers, **added})

    def _copy(self, call: S3Call) -> S3Answer:
        source, _, version = call.headers["x-amz-copy-source"].partition("?versionId=")
        bucket, _, name = urllib.parse.unquote(source).lstrip("/").partition("/")
        if bucket not in self._backend.buckets:
            raise RefusedError(404, "NoSuchBucket", "The specified bucket does not exist", BucketName=bucket)
        key = self._find(name, version or None)
        if key is not None:
            self._check_readable(key)
        return self._forward(call)

    def _restore(self, call: S3Call) -> S3Answer:
        key = self._find(call.key, call.query.get("versionId"))
        if key is None:
            raise no_such_key(call.key)
        root = xml_of(call.body)
        tier = root.findtext("GlacierJobParameters/Tier") or root.findtext("Tier") or "Standard"
        days = root.findtext("Days")
        if tier not in ("Standard", "Bulk", "Expedited"):
            raise malformed()
        facts = self._settled(key)
        if facts.archive_tier and days is not None:
            raise RefusedError(400, "InvalidArgument", "Days must not be specified for INTELLIGENT_TIERING")
        if not facts.archive_tier and (days is None or not days.strip().isdecimal() or int(days) < 1):
            raise malformed()
        if key.storage_class not in FROZEN_CLASSES and not facts.archive_tier:
            raise RefusedError(
                403,
                "InvalidObjectState",
                "Restore is not allowed for the object's current storage class",
                StorageClass=str(key.storage_class),
            )
        hours = THAW_HOURS.get((facts.archive_tier or str(key.storage_class), tier))
        if hours is None:
            raise RefusedError(400, "InvalidArgument", "Retrieval option is not supported by this storage class")
        return self._begin_restore(facts, tier, int(days) if days else None, hours)

    def _begin_restore(self, facts: ObjectFacts, tier: str, days: int | None, hours: float) -> S3Answer:
        """Begin a restore; one that is running can only be made faster, and one that has ended prolonged."""
        now = self.control.clock.now()
        running = facts.restore is not None and now < facts.restore.ready_at
        ended = facts.restore is not None and not running
        if running and facts.restore and (hours >= facts.restore.hours or days != facts.restore.days):
            raise RefusedError(409, "RestoreAlreadyInProgress", "Object restore is already in progress")
        if tier == "Expedited" and not ended and not self.settings.expedited_capacity:
            raise RefusedError(
                503,
                "GlacierExpeditedRetrievalNotAvailable",
                "Glacier expedited retrievals are currently not available, please try again later",
            )
        seconds = hours * 3600 if self.settings.thaw_seconds is None else self.settings.thaw_seconds
        ready_at = now if ended else now + seconds
        facts.restore = RestoreRequest(days, hours, ready_at, expiry_of(ready_at, days))
        return S3Answer(200 if ended else 202)

    def _put_tags(self, call: S3Call) -> S3Answer:
        return S3Answer(200) if "kept-tags" in self.settings.lacks else self._forward(call)

    def _get_tags(self, call: S3Call) -> S3Answer:
        """As moto, but frozen objects have readable tags."""
        key = self._find(call.key, call.query.get("versionId"))
        if key is None:
            raise no_such_key(call.key)
        tags = "".join(
            f"<Tag><Key>{escape(tag['Key'])}</Key><Value>{escape(tag['Value'])}</Value></Tag>"
            for tag in self._backend.get_object_tagging(key)["Tags"]
        )
        body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Tagging><TagSet>{tags}</TagSet></Tagging>'
        return S3Answer(200, {"content-type": "application/xml"}, body.encode())

    def _attributes(self, call: S3Call) -> S3Answer:
        key = self._find(call.key, call.query.get("versionId"))
        if key is None:
            raise no_such_key(call.key)
        facts = self._settled(key)
        checksum = f"Checksum{facts.algorithm}"
        parts = "".join(
            f"<Part><PartNumber>{number}</PartNumber><Size>{size}</Size>"
            + (f"<{checksum}>{facts.part_checksums[number - 1]}</{checksum}>" if facts.part_checksums else "")
            + "</Part>"
            for number, size in enumerate(facts.part_sizes, 1)
        )
        answers = {
            "ETag": f"<ETag>{key.etag.strip(chr(34))}</ETag>",
            "Checksum": f"<Checksum><{checksum}>{self._checksum_of(key)}</{checksum}>"
            f"<ChecksumType>{facts.checksum_type}</ChecksumType></Checksum>"
            if facts.algorithm
            else "",
            "ObjectParts": f"<ObjectParts><PartsCount>{len(facts.part_sizes)}</PartsCount>{parts}</ObjectParts>"
            if facts.part_sizes
            else "",
            "StorageClass": f"<StorageClass>{key.storage_class}</StorageClass>",
            "ObjectSize": f"<ObjectSize>{key.size}</ObjectSize>",
        }
        asked = [name.strip() for name in call.headers.get("x-amz-object-attributes", "").split(",")]
        inner = "".join(xml for name, xml in answers.items() if name in asked)
        body = f"<GetObjectAttributesResponse>{inner}</GetObjectAttributesResponse>"
        headers = {"content-type": "application/xml", "last-modified": key.last_modified_RFC1123}
        return S3Answer(200, headers, f'<?xml version="1.0" encoding="UTF-8"?>\n{body}'.encode())

    def _head_bucket(self, call: S3Call) -> S3Answer:
        answer = self._forward(call)
        answer.headers["x-amz-bucket-region"] = self.region
        return answer
