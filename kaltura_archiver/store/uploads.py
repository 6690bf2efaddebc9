"""Writing stored copies: whole or in parts, never over another one."""

from __future__ import annotations

import base64
import hashlib
import logging
import threading
from collections.abc import Container, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import chain
from typing import Any, cast

from botocore.exceptions import BotoCoreError, ClientError

from kaltura_archiver.errors import Changed, EntryFailed, Stopped, StoreError
from kaltura_archiver.model import entry_of_key
from kaltura_archiver.store.checksums import (
    NEXT_ALGORITHM,
    UNKNOWN_HEADER,
    MultipartUpload,
    SentPart,
    checksum_header,
    checksum_parameters,
    joined_fingerprint,
    part_done,
    sum_of,
)
from kaltura_archiver.store.copies import Copies
from kaltura_archiver.transfer.chunks import Chunk
from kaltura_archiver.transfer.streams import Fingerprint, crc_text

log = logging.getLogger(__name__)
# Parts of one object on their way at a time; what they hold is counted in chunks.BUDGET.
PARTS_IN_FLIGHT = 3


class Uploads(Copies):
    """Writes stored copies."""

    def write(
        self,
        key: str,
        chunks: Iterable[Chunk],
        size_bytes: int,
        *,
        metadata: Mapping[str, str],
        storage_class: str,
    ) -> Fingerprint:
        """Store what comes in these chunks under a key that must not exist, and check what S3 then has.

        S3 verifies every part and the whole object by
        CRC64NVME, or CRC32 where it does not know that, and refuses to overwrite (If-None-Match). Whether it did is to
        be seen by comparing what it then shows with the result, whose ETag is empty where S3 is known to show
        checksums. Raises Changed if the key exists by now, EntryFailed if the bytes are not `size_bytes`; nothing is
        left in the bucket then.
        """
        self._guard("write an object")
        common = {"Bucket": self.bucket, "Key": key}
        new = {**common, "Metadata": dict(metadata), "StorageClass": storage_class, **self._held()}
        chunks = iter(chunks)
        try:
            first = next(chunks, None)
            if first is None:
                raise EntryFailed(f"nothing was stored: no bytes came for {key} instead of {size_bytes}")
            if len(first) == size_bytes:
                found = self._write_small(new, first, chunks)
            else:
                found = self._write_parts(common, new, chain([first], chunks), size_bytes)
        except (ClientError, BotoCoreError) as error:
            # The answer may have been lost after the object was made.
            failure = self._failure(f"store object {key}", error)
            if failure.code in ("PreconditionFailed", "412"):
                raise Changed(f"object {key} exists already; it is never overwritten") from error
            raise failure from error
        return found

    def _held(self) -> dict[str, Any]:
        """The retention that a video is written with. The bucket has no default one: locks are not to be held."""
        if self._object_lock is None:
            return {}
        mode, years = self._object_lock
        until = datetime.now(UTC).replace(microsecond=0) + timedelta(days=365.25 * years)
        return {"ObjectLockMode": mode, "ObjectLockRetainUntilDate": until}

    def _write_small(self, new: dict[str, Any], body: Chunk, chunks: Iterator[Chunk]) -> Fingerprint:
        try:
            # There is no other; but only at their very end do they tell whether they are to be stored.
            for _ in chunks:
                raise EntryFailed(f"nothing was stored: more than {len(body)} bytes came for {new['Key']}")
            md5 = body.md5().hex() if self._makes_md5 else ""
            found = Fingerprint(len(body), body.sha256(), crc_text(body.crc64nvme()), md5)
            while True:
                algorithm = self._algorithm
                if algorithm != "CRC64NVME":
                    found = replace(found, crc32=sum_of(body, algorithm))
                try:
                    self._put_whole(new, body, algorithm)
                except (ClientError, BotoCoreError) as error:
                    if not self._is_ours(new, found):
                        if self._without(algorithm, error):
                            continue
                        raise
                return found
        finally:
            body.release()

    def _put_whole(self, new: dict[str, Any], body: Chunk, algorithm: str) -> None:
        checksum = sum_of(body, algorithm)
        headers = {f"x-amz-meta-{name}": value for name, value in new["Metadata"].items()}
        headers |= {"x-amz-storage-class": new["StorageClass"], "if-none-match": "*"}
        if mode := new.get("ObjectLockMode"):
            until = new["ObjectLockRetainUntilDate"].strftime("%Y-%m-%dT%H:%M:%SZ")
            headers |= {"x-amz-object-lock-mode": mode, "x-amz-object-lock-retain-until-date": until}
            headers |= {"x-amz-sdk-checksum-algorithm": algorithm} if algorithm else {}
            new = {**new, "ChecksumAlgorithm": algorithm} if algorithm else new
        md5 = self._md5_instead(body, algorithm)
        if self._put(new["Key"], body, headers | checksum_header(algorithm, checksum) | _md5_header(md5)):
            return
        self._s3.put_object(
            **new, Body=cast(Any, body), IfNoneMatch="*", **checksum_parameters(algorithm, checksum), **md5
        )

    def _md5_instead(self, body: Chunk, algorithm: str) -> dict[str, Any]:
        """What goes with a body that is to be held, of which no checksum is sent: S3 takes none without either."""
        if self._object_lock is None or algorithm:
            return {}
        return {"ContentMD5": base64.b64encode(body.md5()).decode()}

    def _without(self, algorithm: str, error: Exception) -> bool:
        """Whether S3 refused a call because it does not know this checksum; the next calls make do with less."""
        if not algorithm or not isinstance(error, ClientError):
            return False
        said, status = error.response.get("Error", {}), error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        message = str(said.get("Message", "")).lower()
        about_it = any(word in message for word in ("checksum", "crc", "header")) and "object-size" not in message
        if status not in (400, 501) or said.get("Code") not in UNKNOWN_HEADER or not about_it:
            return False
        if self._algorithm == algorithm:
            # What asks for Content-MD5, as of what is to be held, knows no checksum of any kind.
            self._algorithm = "" if "content-md5" in message else NEXT_ALGORITHM[algorithm]
            without = "none is sent" if self._object_lock is None else "Content-MD5 is sent"
            log.info("S3 does not know the checksum %s: %s", algorithm, self._algorithm or without)
        return True

    def _write_parts(
        self, common: dict[str, Any], new: dict[str, Any], chunks: Iterable[Chunk], size_bytes: int
    ) -> Fingerprint:
        upload = self._begin_upload(common, new)
        sha = hashlib.sha256()
        parts: list[Future[SentPart]] = []
        completed = False
        room = threading.Semaphore(PARTS_IN_FLIGHT)
        try:
            with ThreadPoolExecutor(PARTS_IN_FLIGHT, thread_name_prefix="part") as pool:
                for chunk in chunks:
                    for piece in chunk:
                        sha.update(piece)
                    while not room.acquire(timeout=1):
                        if self._stop.is_set():
                            raise Stopped("asked to stop")
                    if any(part.done() and part.exception() for part in parts):
                        chunk.release()
                        break
                    parts.append(pool.submit(self._send_part, upload, len(parts) + 1, chunk))
                    parts[-1].add_done_callback(partial(part_done, chunk, room))
            sent = [part.result() for part in parts]
            if (came := sum(part.size_bytes for part in sent)) != size_bytes:
                raise EntryFailed(f"nothing was stored: {came} bytes came for {new['Key']} instead of {size_bytes}")
            found = joined_fingerprint(sent, size_bytes, sha.hexdigest())
            try:
                self._complete(upload, sent, found)
            except (ClientError, BotoCoreError):
                if not self._is_ours(new, found):
                    raise
            completed = True
            return found
        finally:
            if not completed:
                try:
                    self._s3.abort_multipart_upload(**cast(Any, upload.names))
                except (ClientError, BotoCoreError) as error:
                    log.warning("%s", self._failure(f"abort the upload of {common['Key']}", error))

    def _begin_upload(self, common: dict[str, Any], new: dict[str, Any]) -> MultipartUpload:
        while True:
            algorithm = self._algorithm
            kind: dict[str, Any] = {"ChecksumAlgorithm": algorithm, "ChecksumType": "FULL_OBJECT"} if algorithm else {}
            try:
                upload_id = self._s3.create_multipart_upload(**new, **kind)["UploadId"]
            except ClientError as error:
                if not self._without(algorithm, error):
                    raise
            else:
                return MultipartUpload({**common, "UploadId": upload_id}, algorithm)

    def _send_part(self, upload: MultipartUpload, number: int, chunk: Chunk) -> SentPart:
        md5 = chunk.md5() if self._makes_md5 else b""
        crc, crc32 = chunk.crc64nvme(), chunk.crc32() if upload.algorithm == "CRC32" else None
        where = {"partNumber": str(number), "uploadId": upload.names["UploadId"]}
        algorithm = upload.algorithm
        while True:
            checksum = sum_of(chunk, algorithm)
            instead = self._md5_instead(chunk, algorithm)
            headers = checksum_header(algorithm, checksum) | _md5_header(instead)
            try:
                etag = (
                    self._put(upload.names["Key"], chunk, headers, **where)
                    or self._s3.upload_part(
                        **upload.names,
                        PartNumber=number,
                        Body=cast(Any, chunk),
                        **checksum_parameters(algorithm, checksum),
                        **instead,
                    )["ETag"]
                )
                return SentPart(number, len(chunk), etag, crc, crc32, checksum, md5)
            except ClientError as error:
                if not self._without(algorithm, error):
                    raise
                # What was agreed upon cannot be kept: this upload goes on without.
                algorithm = upload.algorithm = ""

    def _complete(self, upload: MultipartUpload, sent: list[SentPart], found: Fingerprint) -> None:
        algorithm = upload.algorithm
        while True:
            parts = [
                {"PartNumber": part.number, "ETag": part.etag, **checksum_parameters(algorithm, part.checksum)}
                for part in sent
            ]
            whole = found.crc64nvme if algorithm == "CRC64NVME" else found.crc32
            more = checksum_parameters(algorithm, whole, ChecksumType="FULL_OBJECT", MpuObjectSize=found.size_bytes)
            try:
                self._s3.complete_multipart_upload(
                    **upload.names, MultipartUpload={"Parts": cast(Any, parts)}, IfNoneMatch="*", **more
                )
                return
            except ClientError as error:
                if not self._without(algorithm, error):
                    raise
                algorithm = ""

    def _put(self, key: str, body: Chunk, headers: Mapping[str, str], **query: str) -> str:
        """The ETag of what was stored without a detour; empty if it has to be stored by boto3."""
        return self._direct.put(key, body, headers, **query) if self._direct else ""

    def _is_ours(self, new: Mapping[str, Any], found: Fingerprint) -> bool:
        """Whether the object is there after all, just as we meant to write it: the answer was lost, not the object."""
        try:
            stored = self.head(new["Key"])
        except StoreError:
            return False
        return (
            stored is not None
            and stored.size_bytes == found.size_bytes
            and stored.crc64nvme in ("", found.crc64nvme)
            and dict(stored.metadata) == new["Metadata"]
        )

    def abort_stale_uploads(self, entry_ids: Container[str], before: datetime) -> tuple[int, int]:
        """Abort multipart uploads for these entries that were begun before that time: how many were, how many not."""
        self._guard("abort an upload")
        aborted = left = 0
        try:
            for page in self._s3.get_paginator("list_multipart_uploads").paginate(Bucket=self.bucket):
                for upload in page.get("Uploads", []):
                    if entry_of_key(upload["Key"]) not in entry_ids:
                        continue
                    if upload["Initiated"] >= before:
                        left += 1
                        continue
                    self._s3.abort_multipart_upload(Bucket=self.bucket, Key=upload["Key"], UploadId=upload["UploadId"])
                    aborted += 1
        except (ClientError, BotoCoreError) as error:
            raise self._failure("look for interrupted uploads", error) from error
        return aborted, left


def _md5_header(parameters: Mapping[str, str]) -> dict[str, str]:
    return {"content-md5": parameters["ContentMD5"]} if parameters else {}
