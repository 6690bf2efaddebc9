"""What the bucket says of its own rules."""

from __future__ import annotations

from kaltura_archiver.sandbox.s3.calls import RefusedError, S3Answer, S3Call
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


def _xml(name: str, content: str) -> S3Answer:
    return S3Answer(200, {"content-type": "application/xml"}, _XML.format(name, content).encode())
