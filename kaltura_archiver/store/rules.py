"""What may delete stored copies, read from the bucket's own rules (docs/aws/protection.md); nothing is changed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from kaltura_archiver.errors import StoreError
from kaltura_archiver.model import PLACEHOLDER_PREFIX, SUSPECT_PREFIX
from kaltura_archiver.store.bucket import Bucket

# What lies below these is no video.
_SMALL = ("locks/", "log/", PLACEHOLDER_PREFIX)
# What is known of copies, and kept of flavors.
_KNOWN = (SUSPECT_PREFIX, "settings/")
# What services other than AWS answer to a question that they do not know.
_UNKNOWN = ("NotImplemented", "MethodNotAllowed", "NotSupported", "501", "405", "XNotImplemented")
_DELETIONS = ("s3:DeleteObject", "s3:DeleteObjectVersion")


def dangers(bucket: Bucket) -> tuple[list[str], list[str]]:
    """What may cost a stored copy, and what could not be found out, a line each. Four requests."""
    looks = {
        "versioning": ("get_bucket_versioning", "", _of_versioning),
        "lifecycle rules": ("get_bucket_lifecycle_configuration", "NoSuchLifecycleConfiguration", _of_lifecycle),
        "policy": ("get_bucket_policy", "NoSuchBucketPolicy", _of_policy),
        "encryption": ("get_bucket_encryption", "ServerSideEncryptionConfigurationNotFoundError", _of_encryption),
    }
    found: list[str] = []
    unseen: list[str] = []
    for what, (operation, absent, judge) in looks.items():
        try:
            found += judge(bucket.own(operation, absent), bucket.bucket)
        except StoreError as error:
            if error.code not in _UNKNOWN:
                unseen.append(f"the bucket's {what} cannot be looked at: {error}")
        except (ValueError, TypeError, AttributeError):  # of another service: whatever it likes
            unseen.append(f"the bucket's {what} cannot be looked at: S3 answers what is none")
    return found, unseen


def has_object_lock(bucket: Bucket) -> bool:
    """Whether the bucket can hold copies by Object Lock: else S3 refuses each that is written so. Raises StoreError."""
    answer = bucket.own("get_object_lock_configuration", "ObjectLockConfigurationNotFoundError")
    return bool(answer.get("ObjectLockConfiguration", {}).get("ObjectLockEnabled") == "Enabled")


def _of_versioning(answer: Mapping[str, Any], _bucket: str) -> Iterator[str]:
    status = answer.get("Status", "")
    if status != "Enabled":
        yield (
            f"versioning of the bucket is {status.lower() or 'off'}: a copy that is deleted or overwritten is gone at "
            "once; switch it on"
        )


def _of_lifecycle(answer: Mapping[str, Any], _bucket: str) -> Iterator[str]:
    for rule in answer.get("Rules", ()):
        prefix = _prefix(rule)
        if rule.get("Status") != "Enabled" or prefix.startswith(_SMALL):
            continue
        what = f"{prefix}, which tells of damaged copies and lost settings," if prefix.startswith(_KNOWN) else ""
        name = f"lifecycle rule {rule.get('ID', 'without a name')!r} of the bucket"
        expiry = rule.get("Expiration", {})
        if "Days" in expiry or "Date" in expiry:
            when = f"after {expiry['Days']} days" if "Days" in expiry else f"on {expiry['Date']:%Y-%m-%d}"
            yield f"{name} deletes {what or 'stored copies'} {when}, whatever the policy says: remove its expiration"
        if not what and (days := rule.get("NoncurrentVersionExpiration", {}).get("NoncurrentDays")):
            yield f"{name} deletes for good, after {days} days, copies that somebody has deleted: limit it to a prefix"


def _prefix(rule: Mapping[str, Any]) -> str:
    narrowed = rule.get("Filter", {})
    return str(rule.get("Prefix") or narrowed.get("Prefix") or narrowed.get("And", {}).get("Prefix") or "")


def _of_policy(answer: Mapping[str, Any], bucket: str) -> Iterator[str]:
    statements = json.loads(answer.get("Policy") or "{}").get("Statement", [])
    refused = [
        pattern
        for statement in _listed(statements)
        if statement.get("Effect") == "Deny"
        and "Condition" not in statement
        and statement.get("Principal") in ("*", {"AWS": "*"}, {"AWS": ["*"]})
        and any(_is_all_of(bucket, str(resource)) for resource in _listed(statement.get("Resource", [])))
        for pattern in _listed(statement.get("Action", []))
    ]
    open_ = [name for name in _DELETIONS if not any(fnmatchcase(name.lower(), str(p).lower()) for p in refused)]
    if open_:
        why = "does not deny everybody" if statements else "is missing, which should deny everybody"
        yield f"the bucket's policy {why} {' and '.join(open_)}: whoever has that permission can delete stored copies"


def _is_all_of(bucket: str, resource: str) -> bool:
    """Whether this ARN, or `*`, is about every object of the bucket: that a name which no object has fits it shows."""
    return fnmatchcase(f"{bucket}/\x01", resource.rpartition(":")[2])


def _of_encryption(answer: Mapping[str, Any], _bucket: str) -> Iterator[str]:
    for rule in answer.get("ServerSideEncryptionConfiguration", {}).get("Rules", ()):
        default = rule.get("ApplyServerSideEncryptionByDefault", {})
        if str(default.get("SSEAlgorithm", "")).startswith("aws:kms"):
            key = default.get("KMSMasterKeyID", "AWS's own for S3")
            yield f"new objects are encrypted with the KMS key {key}: whoever deletes it has deleted them all"


def _listed(value: Any) -> Iterable[Any]:
    return value if isinstance(value, list) else [value]
