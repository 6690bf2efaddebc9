"""What the bucket says of its own rules."""

from __future__ import annotations

from datetime import datetime
from email.utils import formatdate
from urllib.parse import quote

from kaltura_archiver.sandbox.s3.calls import RefusedError, S3Answer, S3Call, expiry_of, xml_of
from kaltura_archiver.sandbox.s3.settings import KMS_KEY, S3Settings

RULES = ("GetBucketVersioning", "GetBucketLifecycleConfiguration", "GetBucketPolicy", "GetBucketEncryption")
_XML = '<?xml version="1.0" encoding="UTF-8"?>\n<{0} xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{1}</{0}>'


def bucket_rule(settings: S3Settings, call: S3Call) -> S3Answer:
    rules = settings.rules
    match call.operation:
        case "GetBucketVersioning":
            status = f"<Status>{rules.versioning}</Status>" if rules.versioning else ""
            return _xml("VersioningConfiguration", status)
        case "GetBucketLifecycleConfiguration":
            if not rules.lifecycle:
                raise RefusedError(404, "NoSuchLifecycleConfiguration", "The lifecycle configuration does not exist")
            return _xml("LifecycleConfiguration", rules.lifecycle)
        case "GetBucketPolicy":
            if not rules.policy:
                raise RefusedError(404, "NoSuchBucketPolicy", "The bucket policy does not exist")
            return S3Answer(200, {"content-type": "application/json"}, rules.policy.encode())
    kind = f"<SSEAlgorithm>aws:kms</SSEAlgorithm><KMSMasterKeyID>{KMS_KEY}</KMSMasterKeyID>"
    default = kind if settings.kms else "<SSEAlgorithm>AES256</SSEAlgorithm>"
    return _xml(
        "ServerSideEncryptionConfiguration",
        f"<Rule><ApplyServerSideEncryptionByDefault>{default}</ApplyServerSideEncryptionByDefault></Rule>",
    )


def expiration_of(settings: S3Settings, key: str, written_at: float) -> str:
    """What `x-amz-expiration` says of an object: by the first lifecycle rule that expires it; empty if none does."""
    if not settings.rules.lifecycle:
        return ""
    for rule in xml_of(_XML.format("Rules", settings.rules.lifecycle).encode()).iter("Rule"):
        days, date = rule.findtext("Expiration/Days"), rule.findtext("Expiration/Date")
        if rule.findtext("Status") != "Enabled" or not key.startswith(rule.findtext(".//Prefix") or ""):
            continue
        if days or date:
            at = expiry_of(written_at, int(days)) if days else datetime.fromisoformat(date or "").timestamp()
            name = quote(rule.findtext("ID") or "")
            return f'expiry-date="{formatdate(at, usegmt=True)}", rule-id="{name}"'
    return ""


def _xml(name: str, content: str) -> S3Answer:
    return S3Answer(200, {"content-type": "application/xml"}, _XML.format(name, content).encode())
