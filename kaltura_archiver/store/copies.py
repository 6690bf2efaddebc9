"""Reading stored copies, and what S3 shows of them."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from functools import cached_property, partial
from typing import Any
from urllib.parse import parse_qs

import urllib3
from botocore.exceptions import BotoCoreError, ClientError

from kaltura_archiver.errors import Changed, ConfigError, Refused, Stopped, StoreError
from kaltura_archiver.model import FROZEN_CLASSES, SUSPECT_PREFIX, Availability, StoredObject, entry_of_key, same_id
from kaltura_archiver.store.answers import availability_of, expiry_of, full_checksum
from kaltura_archiver.store.checksums import NEXT_ALGORITHM, checksum_parameters
from kaltura_archiver.store.direct import Direct
from kaltura_archiver.store.errors import status_of
from kaltura_archiver.store.marks import MarkedBucket, Marks
from kaltura_archiver.transfer.streams import MIN_PROGRESS_BYTES, READ_BYTES, Fingerprinter, Inflow, is_rest

log = logging.getLogger(__name__)
# boto3's part size, which the old tool used.
OLD_PART_BYTES = 8 * 2**20
MAX_RESUMES = 5
# An ETag that may be made of MD5s, and the number of parts.
_MD5_ETAG = re.compile(r"[0-9a-f]{32}(?:-(\d+))?")
# Written only by a service that takes a byte with a wrong checksum.
PROBE_KEY = "probe/checksum"
# A presigned URL is good for less than its time by what clocks differ.
CLOCK_SECONDS = 60


class Copies(MarkedBucket):
    """Looks at stored copies and reads them."""

    def head(
        self, key: str, *, with_tags: bool = True, with_marks: bool | None = None, recent_marks: bool = False
    ) -> StoredObject | None:
        """The stored copy, usually with its tags and marks; None only if S3 says that there is none (404).

        Where these name a newer copy of the entry (see NEWER_MARK) it is that one: StoreError if that is not there.
        Marks are looked for after the tags: who writes both begins with the mark. `recent_marks`: those of up to
        MARKS_SECONDS ago will do, for who looks again before anything rests on them.
        """
        marked = with_tags if with_marks is None else with_marks
        stored = self._head(key, tags=with_tags, marks=marked, recent_marks=recent_marks)
        if with_tags and stored is not None and stored.newer:
            return self._newest(stored, marks=marked, recent_marks=recent_marks)
        return stored

    def later(self, key: str) -> StoredObject | None:
        """The entry's copy where the first one is gone: what marks say came after it; None where they say nothing."""
        gone = StoredObject(key, 0, marked_newer=self.named_after(key))
        return self._newest(gone, marks=True, recent_marks=False) if gone.newer else None

    def _newest(self, stored: StoredObject, *, marks: bool, recent_marks: bool) -> StoredObject:
        """The last of the copies that came after this one. One that is gone may still tell which came after it."""
        earlier: tuple[str, ...] = ()
        while key := stored.newer:
            earlier = (*earlier, stored.key)
            if key in earlier:
                raise StoreError(f"look at object {earlier[0]}: its newer copies name each other in a circle, at {key}")
            found = self._head(key, tags=True, marks=marks, recent_marks=recent_marks)
            stored = found or StoredObject(key, 0, marked_newer=self.named_after(key))
            if found is None and not stored.newer:
                raise StoreError(
                    f"look at object {earlier[0]}: the newer copy {key}, which is the entry's, is not there: look for "
                    f"an older version of it in the bucket (a mark below {SUSPECT_PREFIX}{earlier[-1]}/ names it)"
                )
        return replace(stored, earlier=earlier)

    def _head(self, key: str, *, tags: bool, marks: bool, recent_marks: bool) -> StoredObject | None:
        what = f"look at object {key}"
        try:
            head = self._s3.head_object(Bucket=self.bucket, Key=key, ChecksumMode="ENABLED")
            tagged = self._tags(key) if tags else {}
            etag = head["ETag"].strip('"')
            look = self._recent_marks if recent_marks else self._marks
            told = look(key, etag) if marks else Marks()
        except ClientError as error:
            there = error.operation_name != "HeadObject"  # and what was asked of it besides is not answered
            if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == 404 and not there:
                code = error.response.get("Error", {}).get("Code")
                if code == "NoSuchBucket":
                    raise ConfigError(f"bucket {self.bucket} does not exist; check AWS_BUCKET") from error
                return None
            said = self._by_get(error, Bucket=self.bucket, Key=key) if error.operation_name == "HeadObject" else error
            raise self._failure(what, said) from error
        except BotoCoreError as error:
            raise self._failure(what, error) from error
        named = head.get("Metadata", {}).get("entry-id", "")
        if named and same_id(named) != same_id(entry_of_key(key)):
            raise StoreError(
                f"{what}: S3 answered with a copy of {named}: a cache or proxy on the way mixes answers up, or "
                "somebody has put it there; nothing is done about it"
            )
        availability, until = availability_of(head)
        storage_class = head.get("StorageClass", "STANDARD")
        if availability is Availability.UNKNOWN or (availability is Availability.FROZEN and self._is_label(head)):
            availability = self._tried(key, storage_class)
        etag, encryption = head["ETag"].strip('"'), head.get("ServerSideEncryption", "")
        checksums_shown = {name: full_checksum(head, name) for name in NEXT_ALGORITHM}
        if any(checksums_shown.values()) and not self._checks:
            checksums_shown = dict.fromkeys(checksums_shown, "")
        self._shows_checksums = self._shows_checksums or any(checksums_shown.values())
        return StoredObject(
            key=key,
            size_bytes=head["ContentLength"],
            etag=etag,
            storage_class=storage_class,
            availability=availability,
            thawed_until=until,
            archive_tier=head.get("ArchiveStatus", ""),
            metadata=head.get("Metadata", {}),
            tags=tagged,
            encryption=encryption,
            crc64nvme=checksums_shown["CRC64NVME"],
            crc32=checksums_shown["CRC32"],
            md5_etag=self._is_amazon and bool(_MD5_ETAG.fullmatch(etag)) and not encryption.startswith("aws:kms"),
            last_modified=head.get("LastModified"),
            untagged=self._is_amazon and not head.get("TagCount"),
            marked_damaged_at=told.kinds.get("damaged", ""),
            marked_differing=frozenset(
                name.removeprefix("differs.") for name in told.kinds if name.startswith("differs.")
            ),
            marked_newer=told.newer,
            expires=expiry_of(head),
        )

    def _is_label(self, head: Mapping[str, Any]) -> bool:
        """Whether a class by which AWS freezes may be no more than a word: others keep what they are told (Scality), or
        name classes as they like (Ceph), and know no RestoreObject. One that was seen to freeze is asked no more."""
        return not self.at_aws and not head.get("ArchiveStatus") and head.get("StorageClass") not in self._freezing

    def _tried(self, key: str, storage_class: str) -> Availability:
        """Whether an object of a class that nobody knows can be read: by reading its first byte."""
        try:
            self._s3.get_object(Bucket=self.bucket, Key=key, Range="bytes=0-0")["Body"].close()
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code")
            if code == "InvalidObjectState":
                self._freezing.add(storage_class)
                return Availability.FROZEN
            if code == "InvalidRange":  # it is empty
                return Availability.READABLE
        except BotoCoreError:
            pass
        else:
            return Availability.READABLE
        return Availability.FROZEN if storage_class in FROZEN_CLASSES else Availability.UNKNOWN  # or not allowed

    def _tags(self, key: str) -> dict[str, str]:
        try:
            tags = self._s3.get_object_tagging(Bucket=self.bucket, Key=key)["TagSet"]
        except ClientError as error:
            # Some services say so of an object without tags, which is there: ansible-collections/amazon.aws 1607.
            if error.response.get("Error", {}).get("Code") != "NoSuchTagSet":
                raise
            return {}
        return {tag["Key"]: tag["Value"] for tag in tags}

    def part_bytes(self, stored: StoredObject) -> tuple[int | None, bool]:
        """The part size that the object was written with, None for one piece; and whether that is a guess.

        That is boto3's 8 MiB where S3 does not tell. Raises StoreError where it does not answer.
        """
        parts = _MD5_ETAG.fullmatch(stored.etag)
        if not parts or parts.group(1) is None:
            return None, False
        count = int(parts.group(1))
        if count == 1:
            return max(stored.size_bytes, 1), False
        what = f"look at the parts of object {stored.key}"
        try:
            first, last = (
                self._s3.head_object(Bucket=self.bucket, Key=stored.key, PartNumber=number) for number in (1, count)
            )
        except ClientError as error:
            if status_of(error) in (429, 500, 502, 503, 504):
                raise self._failure(what, error) from error
            return OLD_PART_BYTES, True  # a service that does not know parts
        except BotoCoreError as error:
            # No answer is none about parts, and nothing may be concluded from it, nor recorded.
            raise self._failure(what, error) from error
        size, rest = first["ContentLength"], last["ContentLength"]
        if first.get("PartsCount") == count and size < stored.size_bytes:
            return size, (count - 1) * size + rest != stored.size_bytes  # parts of many sizes
        return OLD_PART_BYTES, True

    def fingerprinter(self, stored: StoredObject, *, own: bool = False) -> Fingerprinter:
        """What takes in content that is to be compared with the object: MD5s only where nothing better is known.

        `own` are the object's own bytes: they are compared with the SHA-256 of its tag.
        """
        if stored.crc64nvme or stored.proven or (own and stored.sha256):
            return Fingerprinter(md5=False)
        part_bytes, guessed = self.part_bytes(stored)
        return Fingerprinter(part_bytes, guessed=guessed, crc32=bool(stored.crc32))

    @cached_property
    def _checks(self) -> bool:
        """Whether S3 refuses bytes that do not have the checksum that goes with them: else what it shows may be what it
        was told. Amazon does; others are tried, unless nothing may be written."""
        if self._is_amazon or self._read_only:
            return True
        try:
            self._s3.put_object(
                Bucket=self.bucket,
                Key=PROBE_KEY,
                Body=b"?",
                **checksum_parameters(
                    self._algorithm or "CRC32", "AAAAAAAAAAE=" if self._algorithm == "CRC64NVME" else "AAAAAQ=="
                ),
            )
        except ClientError as error:
            return error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == 400
        except BotoCoreError:
            return False
        log.warning("S3 takes bytes that do not have their checksum: what it shows of one proves nothing")
        return False

    def prove_by_md5(self) -> None:
        """From now on have MD5s of what is written: this service shows no checksums."""
        self._needs_md5 = True

    @property
    def _makes_md5(self) -> bool:
        return self._needs_md5 or not (self._shows_checksums or self._is_amazon)

    def read(self, stored: StoredObject) -> Inflow:
        """The object's content, resumed by Range where the connection is cut; Changed if it is another one by then."""
        about = stored.size_bytes
        return Inflow(partial(self._fetch, stored), self._stop, about_bytes=about, bandwidth=self._bandwidth)

    def _fetch(self, stored: StoredObject, inflow: Inflow) -> None:
        what, cuts = f"read object {stored.key}", 0
        inflow.begin(stored.size_bytes)
        while (before := inflow.received) < stored.size_bytes:
            if inflow.is_set():
                raise Stopped("asked to stop")
            self._get(what, stored, inflow)
            cuts = cuts + 1 if inflow.received - before < MIN_PROGRESS_BYTES else 0
            if cuts >= MAX_RESUMES and inflow.received < stored.size_bytes:
                at = f"at byte {inflow.received} of {stored.size_bytes}"
                raise StoreError(f"{what}: cut {cuts} times {at}", retryable=True)

    def _get(self, what: str, stored: StoredObject, inflow: Inflow) -> None:
        """Have the rest of the object come, or some of it: without a detour, or as boto3 does it."""
        etag = stored.etag if self.bare_etags else f'"{stored.etag}"'
        try:
            if (self._direct and self._direct.get(stored.key, etag, inflow)) or inflow.is_set():
                return
            offset = inflow.received
            answer = self._s3.get_object(Bucket=self.bucket, Key=stored.key, IfMatch=etag, Range=f"bytes={offset}-")
        except ClientError as error:
            if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") in (404, 412):
                raise Changed(f"{what}: it was changed or removed on the way") from error
            raise self._failure(what, error) from error
        except BotoCoreError as error:
            raise self._failure(what, error) from error
        with suppress(OSError, BotoCoreError, urllib3.exceptions.HTTPError), answer["Body"] as body:
            if "ETag" not in answer:  # its head was cut
                return
            same = answer["ETag"].strip('"') == stored.etag
            if not (same and is_rest(answer.get("ContentRange"), offset, stored.size_bytes)):
                raise StoreError(f"{what}: S3 was asked for it from byte {offset} on, and answered with something else")
            while not inflow.is_set() and (piece := body.read(READ_BYTES)):
                inflow.put(piece)

    @cached_property
    def _direct(self) -> Direct | None:
        """The way past boto3; None where only that knows the way: to an access point named by ARN."""
        address, _, query = self._s3.generate_presigned_url(
            "put_object", Params={"Bucket": self.bucket, "Key": "key"}
        ).partition("?")
        credentials = self._session.get_credentials()
        if credentials is None or self.bucket.startswith("arn:"):
            return None
        region = parse_qs(query)["X-Amz-Credential"][0].split("/")[2]
        address, frozen = address.removesuffix("key"), credentials.get_frozen_credentials
        return Direct(self._carrier_to(address), address, region, frozen, self.pace, sign_bodies=self._plain)

    def presign(self, key: str, seconds: float) -> tuple[str, int]:
        """A URL by which Kaltura can fetch the object, and for how many seconds: not longer than our credentials.

        Whoever hears it can, too: not without TLS.
        """
        if self._open_air:
            raise Refused("--via url would have the video's address travel unencrypted: use --via upload, or S3 by TLS")
        what = f"make a URL of {key}"
        try:
            left = self._credentials_end()
            good_for = int(min(seconds, left - time.time() - CLOCK_SECONDS if left else seconds))
            if good_for < 1:
                raise StoreError(f"{what}: the AWS credentials end now; renew them", retryable=True)
            url = self._s3.generate_presigned_url(
                "get_object", Params={"Bucket": self.bucket, "Key": key}, ExpiresIn=good_for
            )
        except BotoCoreError as error:
            raise self._failure(what, error) from error
        return url, good_for

    def _credentials_end(self) -> float | None:
        """When the credentials of now end (unix seconds); None where that is not known, or never."""
        credentials = self._session.get_credentials()
        if credentials is None:
            return None
        credentials.get_frozen_credentials()  # renews them where it is time
        end = getattr(credentials, "_expiry_time", None)
        return end.timestamp() if end else None
