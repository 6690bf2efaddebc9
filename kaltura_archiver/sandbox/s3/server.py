"""The S3 half of the sandbox: moto keeps the objects, a front adds what an archiver depends on and moto lacks.

moto stores, tags and joins parts. The front reads each request whole, refuses what AWS would refuse (frozen
objects, wrong checksums, expired links, foreign keys), plays faults and the time of a thaw, and corrects the answers.
Every server has a moto account of its own, so several run side by side in one process without seeing each other.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from moto.s3.models import FakeBucket, FakeKey, s3_backends

from kaltura_archiver.sandbox.s3.calls import (
    RefusedError,
    S3Answer,
    S3Call,
    answer_instead,
    spoiled_answer,
    with_flipped_bit,
)
from kaltura_archiver.sandbox.s3.http import S3Http
from kaltura_archiver.sandbox.s3.rules import RULES, bucket_rule
from kaltura_archiver.sandbox.s3.uploads import UploadOperations

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


class S3Server(UploadOperations):
    """One bucket on a server of its own; `start` it, or use it as a context manager."""

    @property
    def url(self) -> str:
        if self._http is None:
            raise RuntimeError("the S3 server is not running")
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def client(self) -> S3Client:
        """A boto3 client of this server, with no retries of its own."""
        return boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name=self.region,
            aws_access_key_id=self.access_key_id,
            aws_secret_access_key=self.secret_access_key,
            config=Config(retries={"total_max_attempts": 1}, signature_version="s3v4"),
        )

    def start(self) -> None:
        # Not create_bucket: it would refuse a name that another server's account has.
        self._backend.buckets[self.bucket] = FakeBucket(self.bucket, self._account, self.region)  # type: ignore[abstract]
        self._http = S3Http(self)
        self._http.start("sandbox-s3")

    def stop(self) -> None:
        """Close the port and all connections, and forget the objects."""
        if self._http is None:
            return
        self._http.stop()
        self._http = None
        with self._lock:
            # moto warns about objects that are collected without this.
            for bucket in self._backend.buckets.values():
                for name in list(bucket.keys):
                    for version in bucket.keys.getlist(name, []):
                        if isinstance(version, FakeKey):
                            version.dispose()
                for upload in bucket.multiparts.values():
                    upload.dispose()
            s3_backends.pop(self._account, None)

    def wait_until_idle(self) -> None:
        """Wait until every client has hung up, and what they asked for last is done."""
        while self._http is not None and self._http.connections:
            time.sleep(0.01)

    def __enter__(self) -> S3Server:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def handle(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> S3Answer | None:
        """Answer one request; None means that the connection is to be cut without an answer."""
        call = self._call(method, target, headers, body)
        request, fault = self.control.begin(
            "s3",
            f"s3.{call.operation}",
            subject=call.key,
            writes=call.writes,
            parameters=self._logged(call),
        )
        kind = fault.kind if fault else "none"
        if self.settings.latency_seconds > 0:
            time.sleep(self.settings.latency_seconds)
        if kind == "drop_before":
            return None
        if fault and (instead := answer_instead(fault)):
            return instead
        if kind == "flip" and call.body:
            call = replace(call, body=with_flipped_bit(call.body))
        try:
            self._check_signature(call, target)
            call = self._decoded(self._lacking(call))
            self._check_access(call)
            with self._lock:
                if call.bucket and call.bucket not in self._backend.buckets and call.operation != "CreateBucket":
                    raise RefusedError(
                        404, "NoSuchBucket", "The specified bucket does not exist", BucketName=call.bucket
                    )
                answer = self._act(call)
        except RefusedError as refused:
            answer = refused.answer
        if fault and fault.after:
            fault.after(request)
        return spoiled_answer(answer, kind, fault, call)

    def _act(self, call: S3Call) -> S3Answer:
        actions: dict[str, Callable[[S3Call], S3Answer]] = {
            "GetObject": self._read,
            "HeadObject": self._read,
            "PutObject": self._put_object,
            "CopyObject": self._copy,
            "UploadPartCopy": self._copy,
            "CreateMultipartUpload": self._create_upload,
            "UploadPart": self._upload_part,
            "CompleteMultipartUpload": self._complete,
            "ListMultipartUploads": self._list_uploads,
            "ListObjectsV2": self._list_objects,
            "RestoreObject": self._restore,
            "PutObjectTagging": self._put_tags,
            "GetObjectTagging": self._get_tags,
            "GetObjectAttributes": self._attributes,
            "HeadBucket": self._head_bucket,
            **dict.fromkeys(RULES, partial(bucket_rule, self.settings)),
        }
        return actions.get(call.operation, self._forward)(call)
