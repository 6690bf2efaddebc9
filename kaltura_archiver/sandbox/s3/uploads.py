"""Multipart uploads and listings."""

from __future__ import annotations

import base64
import contextlib
import re
import urllib.parse
from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from moto.s3.models import FakeKey

from kaltura_archiver.sandbox.s3.calls import (
    ALGORITHMS,
    ObjectFacts,
    RefusedError,
    S3Answer,
    S3Call,
    bad_digest,
    checksum_of,
    iso_of,
    malformed,
    sent_algorithm,
    upload_checksum,
    upload_type,
    xml_of,
)
from kaltura_archiver.sandbox.s3.objects import Objects


class UploadOperations(Objects):
    """Uploads in parts, and lists."""

    def _create_upload(self, call: S3Call) -> S3Answer:
        algorithm = call.headers.get("x-amz-checksum-algorithm", "").upper()
        kind = call.headers.get("x-amz-checksum-type", "").upper()
        if algorithm and algorithm not in ALGORITHMS:
            raise RefusedError(400, "InvalidRequest", "Checksum algorithm provided is unsupported.")
        if (algorithm in ("SHA1", "SHA256") and kind == "FULL_OBJECT") or (
            algorithm == "CRC64NVME" and kind == "COMPOSITE"
        ):
            raise RefusedError(
                400,
                "InvalidRequest",
                f"The {kind} checksum type cannot be used with the {algorithm.lower()} checksum algorithm.",
            )
        answer = self._forward(self._encrypting(call))
        if answer.status == 200:
            self._initiated[xml_of(answer.body).findtext("UploadId") or ""] = self.control.clock.now()
            if algorithm:
                answer.headers["x-amz-checksum-algorithm"] = algorithm
                answer.headers["x-amz-checksum-type"] = upload_type(algorithm, kind)
            answer.headers.setdefault("x-amz-server-side-encryption", "AES256")
        return answer

    def _upload_part(self, call: S3Call) -> S3Answer:
        upload = self._upload(call)
        declared = str(upload.metadata.get("x-amz-checksum-algorithm") or "").upper()
        sent = sent_algorithm(call.headers)
        if declared and sent and sent != declared:
            raise RefusedError(
                400,
                "InvalidRequest",
                f"Checksum Type mismatch occurred, expected checksum Type: {declared.lower()}, "
                f"actual checksum Type: {sent.lower()}",
            )
        answer = self._forward(call)
        if answer.status == 200:
            part = upload.parts[int(call.query["partNumber"])]
            if upload.sse_encryption == "aws:kms":
                self._encrypt(part)
            answer.headers["etag"] = part.etag
            if sent:
                answer.headers[f"x-amz-checksum-{sent.lower()}"] = checksum_of(sent, call.body)
            answer.headers.setdefault("x-amz-server-side-encryption", "AES256")
        return answer

    def _upload(self, call: S3Call) -> Any:
        with contextlib.suppress(KeyError):
            upload = dict(self._bucket.multiparts)[call.query["uploadId"]]
            if upload.key_name == call.key:
                return upload
        raise RefusedError(
            404,
            "NoSuchUpload",
            "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or "
            "completed.",
            UploadId=call.query.get("uploadId", ""),
        )

    def _complete(self, call: S3Call) -> S3Answer:
        upload_id = call.query["uploadId"]
        existing = self._find(call.key)
        if existing and existing.multipart and existing.multipart.id == upload_id:
            return self._forward(call)  # a repeated Complete succeeds
        upload = self._upload(call)
        asked = xml_of(call.body).findall("Part")
        if not asked:
            raise malformed()
        declared = str(upload.metadata.get("x-amz-checksum-algorithm") or "").upper()
        algorithm = declared or "CRC64NVME"
        kind = upload_type(algorithm, str(upload.metadata.get("x-amz-checksum-type") or "").upper())
        contents = self._asked_parts(upload, asked, declared if kind == "COMPOSITE" else "")
        checksum = upload_checksum(algorithm, kind, contents)
        self._check_completion(call, contents, algorithm, kind, checksum)
        if call.headers.get("if-match", "") not in ("", existing.etag if existing else None):
            raise RefusedError(
                412,
                "PreconditionFailed",
                "At least one of the pre-conditions you specified did not hold",
                Condition="If-Match",
            )
        answer = self._forward(call)
        key = self._find(call.key)
        if answer.status != 200 or key is None:
            return answer
        self._facts[key] = ObjectFacts(
            algorithm,
            checksum,
            kind,
            tuple(map(len, contents)),
            tuple(checksum_of(algorithm, content) for content in contents),
        )
        self._initiated.pop(upload_id, None)
        upload.dispose()  # moto would keep the parts' content besides the object's
        old_etag = key.etag
        if upload.sse_encryption == "aws:kms":
            self._encrypt(key)
        tag = f"Checksum{algorithm}"
        body = answer.body.replace(
            b"</CompleteMultipartUploadResult>",
            f"<{tag}>{checksum}</{tag}><ChecksumType>{kind}</ChecksumType></CompleteMultipartUploadResult>".encode(),
        )
        answer.body = body.replace(old_etag.strip('"').encode(), key.etag.strip('"').encode())
        answer.headers.setdefault("x-amz-server-side-encryption", "AES256")
        return answer

    def _check_completion(self, call: S3Call, contents: list[bytes], algorithm: str, kind: str, checksum: str) -> None:
        """Refuse what the client says of the whole object and is not so: size, kind of checksum, checksums."""
        size = call.headers.get("x-amz-mp-object-size")
        total = sum(map(len, contents))
        if size is not None and int(size) != total:
            raise RefusedError(
                400,
                "InvalidRequest",
                f"The provided 'x-amz-mp-object-size' header value {size} does not match what was computed: {total}",
            )
        sent_kind = call.headers.get("x-amz-checksum-type", "").upper()
        if sent_kind and sent_kind != kind:
            raise RefusedError(
                400,
                "InvalidRequest",
                f"The upload was created using the {kind} checksum mode. The complete request must use the same "
                "checksum mode.",
            )
        for name in ALGORITHMS:
            sent = call.headers.get(f"x-amz-checksum-{name.lower()}")
            if sent and sent != (checksum if name == algorithm else checksum_of(name, b"".join(contents))):
                raise bad_digest(name)

    def _asked_parts(self, upload: Any, asked: list[ElementTree.Element], needed: str) -> list[bytes]:
        """The content of the parts a Complete names. `needed`: an algorithm whose checksum each must carry."""
        contents = []
        previous = 0
        for element in asked:
            number = int(element.findtext("PartNumber") or "0")
            if number <= previous:
                raise RefusedError(
                    400,
                    "InvalidPartOrder",
                    "The list of parts was not in ascending order. The parts list must be specified in order by part "
                    "number.",
                )
            previous = number
            part = upload.parts.get(number)
            content = part.value if part else b""
            sent = {name: element.findtext(f"Checksum{name}") for name in ALGORITHMS}
            if part is None or any(value and value != checksum_of(name, content) for name, value in sent.items()):
                raise RefusedError(
                    400,
                    "InvalidPart",
                    "One or more of the specified parts could not be found. The part may not have been uploaded, or "
                    "the specified entity tag may not match the part's entity tag.",
                    PartNumber=str(number),
                )
            if needed and not sent[needed]:
                raise RefusedError(
                    400,
                    "InvalidRequest",
                    f"The upload was created using a {needed.lower()} checksum. The complete request must include the "
                    f"checksum for each part. It was missing for part {number} in the request.",
                )
            contents.append(content)
        return contents

    def _list_uploads(self, call: S3Call) -> S3Answer:
        answer = self._forward(call)

        def dated(match: re.Match[bytes]) -> bytes:
            upload = re.search(rb"<UploadId>([^<]*)</UploadId>", match.group())
            at = self._initiated.get(upload.group(1).decode(), 0.0) if upload else 0.0
            return re.sub(rb"<Initiated>[^<]*<", f"<Initiated>{iso_of(at)}<".encode(), match.group())

        answer.body = re.sub(rb"<Upload>.*?</Upload>", dated, answer.body, flags=re.DOTALL)
        return answer

    def _list_objects(self, call: S3Call) -> S3Answer:
        """Pages of ListObjectsV2. moto's take a second each where the bucket has tens of thousands of objects."""
        query = call.query
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        limit = min(int(query.get("max-keys", "1000")), 1000)
        after = query.get("start-after", "")
        if "continuation-token" in query:
            try:
                after = base64.b64decode(query["continuation-token"], validate=True).decode()
            except ValueError:
                raise RefusedError(
                    400, "InvalidArgument", "The continuation token provided is incorrect", ArgumentName="token"
                ) from None
        with_status = "RestoreStatus" in call.headers.get("x-amz-optional-object-attributes", "")
        encode = urllib.parse.quote if query.get("encoding-type") == "url" else escape
        contents: list[str] = []
        folders: list[str] = []
        last = ""
        truncated = False
        for name in sorted(n for n in list(self._bucket.keys) if n > after and n.startswith(prefix)):
            head, found, _ = name[len(prefix) :].partition(delimiter) if delimiter else ("", "", "")
            item = prefix + head + found if found else name
            if found and item in (last, after):
                continue
            key = self._find(name)
            if key is None:
                continue
            if len(contents) + len(folders) == limit:
                truncated = limit > 0
                break
            if found:
                folders.append(f"<CommonPrefixes><Prefix>{encode(item)}</Prefix></CommonPrefixes>")
            else:
                contents.append(self._listed(key, encode(name), with_status))
            last = item
        elements = {
            "Name": escape(call.bucket),
            "Prefix": encode(prefix),
            "Delimiter": encode(delimiter),
            "StartAfter": encode(query.get("start-after", "")),
            "ContinuationToken": escape(query.get("continuation-token", "")),
            "NextContinuationToken": base64.b64encode(last.encode()).decode() if truncated else "",
            "EncodingType": escape(query.get("encoding-type", "")),
        }
        body = "".join(f"<{name}>{text}</{name}>" for name, text in elements.items() if text or name == "Prefix")
        body += f"<KeyCount>{len(contents) + len(folders)}</KeyCount><MaxKeys>{limit}</MaxKeys>"
        body += f"<IsTruncated>{str(truncated).lower()}</IsTruncated>" + "".join(contents + folders)
        document = f'<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult>{body}</ListBucketResult>'
        return S3Answer(200, {"content-type": "application/xml"}, document.encode())

    def _listed(self, key: FakeKey, name: str, with_status: bool) -> str:
        facts = self._settled(key)
        status = ""
        if with_status and facts.restore:
            running = self.control.clock.now() < facts.restore.ready_at
            status = f"<IsRestoreInProgress>{str(running).lower()}</IsRestoreInProgress>"
            if not running:
                status += f"<RestoreExpiryDate>{iso_of(facts.restore.expires_at)}</RestoreExpiryDate>"
            status = f"<RestoreStatus>{status}</RestoreStatus>"
        checksum = ""
        if facts.algorithm:
            checksum = f"<ChecksumAlgorithm>{facts.algorithm}</ChecksumAlgorithm>"
            checksum += f"<ChecksumType>{facts.checksum_type}</ChecksumType>"
        return (
            f"<Contents><Key>{name}</Key><LastModified>{key.last_modified_ISO8601}</LastModified>"
            f"<ETag>{escape(key.etag)}</ETag>{checksum}<Size>{key.size}</Size>"
            f"<StorageClass>{facts.storage_class or key.storage_class}</StorageClass>{status}</Contents>"
        )
