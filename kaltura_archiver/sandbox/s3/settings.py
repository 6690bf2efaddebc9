"""What the sandbox's S3 knows of storage classes, and how it may be set."""

from __future__ import annotations

from dataclasses import dataclass, field

FROZEN_CLASSES = ("GLACIER", "DEEP_ARCHIVE")
TIERED_CLASS = "INTELLIGENT_TIERING"
THAW_HOURS = {
    ("GLACIER", "Expedited"): 5 / 60,
    ("GLACIER", "Standard"): 5.0,
    ("GLACIER", "Bulk"): 12.0,
    ("DEEP_ARCHIVE", "Standard"): 12.0,
    ("DEEP_ARCHIVE", "Bulk"): 48.0,
    ("ARCHIVE_ACCESS", "Expedited"): 5 / 60,
    ("ARCHIVE_ACCESS", "Standard"): 5.0,
    ("ARCHIVE_ACCESS", "Bulk"): 12.0,
    ("DEEP_ARCHIVE_ACCESS", "Standard"): 12.0,
    ("DEEP_ARCHIVE_ACCESS", "Bulk"): 48.0,
}
KMS_KEY = "arn:aws:kms:us-east-1:111122223333:key/sandbox"


@dataclass
class BucketRules:
    """What the bucket answers when asked for its own rules, as aws/bucket.yaml has them. It deletes nothing by them,
    and says of an object when it would.

    versioning: Enabled, Suspended or empty. lifecycle: XML of its rules. policy: JSON; empty if there is none.
    """

    versioning: str = "Enabled"
    lifecycle: str = ""
    policy: str = (
        '{"Statement": [{"Effect": "Deny", "Principal": "*", "Action": ["s3:DeleteObject", "s3:DeleteObjectVersion"], '
        '"Resource": "arn:aws:s3:::sandbox-archive/*"}]}'
    )


@dataclass
class S3Settings:
    """What a test or the demo can set while the server runs.

    deny: operation patterns (``PutObject``, ``s3.Get*``) answered with 403 AccessDenied and `deny_message`.
    wrong_region: the region the bucket is really in; while set, every request is answered 301 PermanentRedirect.
    kms: objects are written as if the bucket encrypted with SSE-KMS: their ETag is no MD5.
    rules: what the bucket says of its own rules.
    latency_seconds: pause before each answer.
    thaw_seconds: how long a restore runs; None means what AWS needs for the class and tier.
    presign_age_seconds: how much older presigned URLs are judged to be than they are. Their date comes from the
        client's clock, which the sandbox's clock does not move.
    expedited_capacity: whether Glacier has room for expedited restores just now.
    lacks: what other S3 services lack: "if-none-match" and "if-match" are ignored; "conditions" are refused (501);
        "quoted-etags" fit nothing; "tags" are not implemented; "kept-tags" are taken and forgotten; "checksums" are
        neither compared nor shown; "crc64nvme" is refused; "trailers" are not implemented.
    """

    deny: set[str] = field(default_factory=set)
    deny_message: str = "Access Denied"
    wrong_region: str | None = None
    kms: bool = False
    rules: BucketRules = field(default_factory=BucketRules)
    latency_seconds: float = 0.0
    thaw_seconds: float | None = None
    presign_age_seconds: float = 0.0
    expedited_capacity: bool = True
    lacks: set[str] = field(default_factory=set)
