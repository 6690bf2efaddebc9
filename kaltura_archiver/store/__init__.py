"""The bucket: stored copies, what S3 shows of them, and what may be changed."""

from kaltura_archiver.store.changes import Store

__all__ = ["Store"]
