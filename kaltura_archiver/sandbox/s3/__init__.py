"""The S3 half of the sandbox."""

from kaltura_archiver.sandbox.s3.server import S3Server
from kaltura_archiver.sandbox.s3.settings import S3Settings

__all__ = ["S3Server", "S3Settings"]
