"""What may delete stored copies, read from the bucket's own rules (docs/aws/protection.md); nothing is changed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

from kaltura_archiver.errors import StoreError
from kaltura_archiver.model import (
    DISPLACED_PREFIX,
    FROZEN_CLASSES,
    READABLE_CLASSES,
    SETTINGS_PREFIX,
    SUSPECT_PREFIX,
    TIERED_CLASS,
    so_many,
)
from kaltura_archiver.store.bucket import Bucket

# What is known of copies, and kept of flavors.
_KNOWN = (SUSPECT_PREFIX, SETTINGS_PREFIX)
_KNOWN_CLASSES = READABLE_CLASSES.union(FROZEN_CLASSES, {TIERED_CLASS})
# What services other than AWS answer to a question that they do not know. (AWS says MethodNotAllowed to who is of
# another account than the bucket.)
NOT_IMPLEMENTED = ("NotImplemented", "XNotImplemented", "501")
_UNKNOWN = (*NOT_IMPLEMENTED, "MethodNotAllowed", "NotSupported", "405")
# The key that AWS makes by itself, which nobody can delete.
_KEY_OF_AWS = "alias/aws/s3"
_days = partial(so_many, what="day", several="days")
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
            if what == "versioning" and error.code in NOT_IMPLEMENTED:
                found += judge({}, bucket.bucket)  # what cannot be asked for cannot be on
            elif bucket.is_amazon or error.code not in _UNKNOWN or what not in ("policy", "encryption"):
                unseen.append(f"the bucket's {what} cannot be looked at: {error}")
        except (ValueError, TypeError, AttributeError):  # of another service: whatever it likes
            unseen.append(f"the bucket's {what} cannot be looked at: S3 answers what is none")
    return found, unseen


def object_lock(bucket: Bucket) -> tuple[bool, str]:
    """Whether the bucket can hold copies by Object Lock, else S3 refuses each that is written so; and by what retention
    it holds whatever is written, in words, empty for none. Raises StoreError."""
    answer = bucket.own("get_object_lock_configuration", "ObjectLockConfigurationNotFoundError")
    told = answer.get("ObjectLockConfiguration", {})
    usual = told.get("Rule", {}).get("DefaultRetention", {})
    lasts = ", ".join(f"{usual[unit]} {unit.lower()}" for unit in ("Days", "Years") if usual.get(unit))
    return told.get("ObjectLockEnabled") == "Enabled", f"{usual.get('Mode', '')} {lasts}".strip()


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
        if rule.get("Status") != "Enabled" or not (_may_be_of_copies(prefix) or prefix.startswith(_KNOWN)):
            continue
        what = f"{prefix}, which tells of damaged copies and lost settings," if prefix.startswith(_KNOWN) else ""
        name = f"lifecycle rule {rule.get('ID', 'without a name')!r} of the bucket"
        expiry = rule.get("Expiration", {})
        if "Days" in expiry or "Date" in expiry:
            when = f"after {_days(expiry['Days'])}" if "Days" in expiry else f"on {expiry['Date']:%Y-%m-%d}"
            yield f"{name} deletes {what or 'stored copies'} {when}, whatever the policy says: remove its expiration"
        if what:
            continue
        if days := rule.get("NoncurrentVersionExpiration", {}).get("NoncurrentDays"):
            after = f"after {_days(days)}"
            yield f"{name} deletes for good, {after}, copies that somebody has deleted: limit it to a prefix"
        moves = (*rule.get("Transitions", ()), *rule.get("NoncurrentVersionTransitions", ()))
        for storage_class in sorted({move.get("StorageClass", "") for move in moves} - _KNOWN_CLASSES):
            yield (
                f"{name} moves stored copies to the class {storage_class or 'without a name'}: this tool does not know "
                "whether they stay readable there (Ceph may delete what it has moved to another cloud: "
                "retain_head_object)"
            )


def _may_be_of_copies(prefix: str) -> bool:
    """Whether the key of a stored copy, which has no slash, or of what was displaced, may begin so."""
    return "/" not in prefix or prefix.startswith(DISPLACED_PREFIX)


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
        key = str(default.get("KMSMasterKeyID") or _KEY_OF_AWS)
        if str(default.get("SSEAlgorithm", "")).startswith("aws:kms") and not key.endswith(_KEY_OF_AWS):
            yield f"new objects are encrypted with the KMS key {key}: whoever deletes it has deleted them all"


def _listed(value: Any) -> Iterable[Any]:
    return value if isinstance(value, list) else [value]
