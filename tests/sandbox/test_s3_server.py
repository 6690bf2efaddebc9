"""The sandbox's S3, asked by a real boto3 over HTTP: it answers as AWS does (what-runs.md section 1)."""

from __future__ import annotations

import base64
import hashlib
import inspect
import io
import threading
import time
import zlib
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
import requests
from awscrt import checksums
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError, EndpointConnectionError, ReadTimeoutError

from kaltura_archiver.sandbox.control import Control, Request
from kaltura_archiver.sandbox.s3 import S3Server

HOUR = 3600.0
DAY = 24 * HOUR
PART = 5 * 1024 * 1024


@pytest.fixture
def control() -> Control:
    return Control()


@pytest.fixture
def s3(control: Control) -> Iterator[S3Server]:
    with S3Server(control) as server:
        yield server


@pytest.fixture
def client(s3: S3Server) -> Iterator[Any]:
    client = s3.client()
    yield client
    client.close()


def refused(call: Any, **parameters: Any) -> tuple[int, str]:
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    answer = caught.value.response
    return answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"]


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def crc64nvme(data: bytes) -> str:
    return b64(checksums.crc64nvme(data).to_bytes(8, "big"))


def crc32(data: bytes) -> str:
    return b64(zlib.crc32(data).to_bytes(4, "big"))


def md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()


def fetch(url: str, **options: Any) -> requests.Response:
    return requests.get(url, timeout=10, **options)


def at(s3: S3Server, key: str) -> dict[str, str]:
    return {"Bucket": s3.bucket, "Key": key}


def ask_restore(client: Any, s3: S3Server, key: str, tier: str = "Standard", days: int = 7) -> int:
    request = {"Days": days, "GlacierJobParameters": {"Tier": tier}}
    return client.restore_object(**at(s3, key), RestoreRequest=request)["ResponseMetadata"]["HTTPStatusCode"]


# what-runs.md 1: what the front leans on in moto


def test_the_moto_internals_in_use_are_there() -> None:
    """what-runs.md 1c: this fails first when a new moto moved them."""
    from moto.moto_server.werkzeug_app import create_backend_app
    from moto.s3.models import FakeBucket, FakeKey, FakeMultipart, S3Backend, s3_backends

    assert callable(create_backend_app)
    assert s3_backends["123456789012"]["aws"].__class__ is S3Backend
    assert {"name", "account_id", "region_name"} <= set(inspect.signature(FakeBucket).parameters)
    for name in ("put_object", "get_object", "get_object_tagging", "put_object_tagging"):
        assert callable(getattr(S3Backend, name))
    assert {"storage", "etag"} <= set(inspect.signature(S3Backend.put_object).parameters)
    for name in ("value", "etag", "size", "storage_class", "metadata", "set_expiry", "set_metadata", "dispose"):
        assert hasattr(FakeKey, name)
    assert {"parts", "key_name", "metadata", "sse_encryption", "id"} <= set(
        vars(FakeMultipart("k", {}, account_id="1", region_name="us-east-1"))  # type: ignore[arg-type]
    )


# Life of a server


def test_two_servers_do_not_see_each_other(s3: S3Server, control: Control) -> None:
    s3.put("mine", b"1")
    with S3Server(control) as other:
        assert other.bucket == s3.bucket
        assert other.keys() == []
        other.put("theirs", b"2")
    assert s3.keys() == ["mine"]
    assert s3.body("mine") == b"1"


def test_a_stopped_server_is_gone(control: Control) -> None:
    server = S3Server(control)
    with server:
        client = server.client()
        client.head_bucket(Bucket=server.bucket)
    with pytest.raises((EndpointConnectionError, ConnectionClosedError)):
        client.head_bucket(Bucket=server.bucket)
    client.close()


def test_connections_are_kept_alive(s3: S3Server) -> None:
    s3.put("k", b"x")
    url = s3.client().generate_presigned_url("get_object", Params=at(s3, "k"))
    with requests.Session() as session:
        ports = set()
        for _ in range(3):
            answer = session.get(url, stream=True)
            connection = answer.raw.connection.sock if answer.raw.connection else None
            ports.add(connection.getsockname() if connection else None)
            assert answer.content == b"x"
    assert len(ports) == 1


# Objects


def test_an_object_keeps_all_it_was_stored_with(s3: S3Server, client: Any) -> None:
    client.put_object(
        **at(s3, "0_a"),
        Body=b"content",
        Metadata={"entry-id": "0_a", "source-name": "L%C3%A4rm.mp4"},
        Tagging="sha256=abc&flavor=0_f%402",
        StorageClass="DEEP_ARCHIVE",
    )
    assert s3.body("0_a") == b"content"
    assert s3.metadata("0_a") == {"entry-id": "0_a", "source-name": "L%C3%A4rm.mp4"}
    assert s3.tags("0_a") == {"sha256": "abc", "flavor": "0_f@2"}
    assert s3.storage_class("0_a") == "DEEP_ARCHIVE"
    assert s3.keys() == ["0_a"]
    head = client.head_object(**at(s3, "0_a"))
    assert head["ETag"] == f'"{md5(b"content").hex()}"'
    assert head["StorageClass"] == "DEEP_ARCHIVE"
    assert head["ServerSideEncryption"] == "AES256"
    assert "Restore" not in head


def test_absent_things_are_absent(s3: S3Server, client: Any) -> None:
    assert refused(client.head_object, **at(s3, "none")) == (404, "404")
    assert refused(client.get_object, **at(s3, "none")) == (404, "NoSuchKey")
    assert refused(client.get_object_tagging, **at(s3, "none")) == (404, "NoSuchKey")
    assert refused(client.head_bucket, Bucket="elsewhere") == (404, "404")
    assert refused(client.list_objects_v2, Bucket="elsewhere") == (404, "NoSuchBucket")
    assert s3.body("none") is None
    assert s3.storage_class("none") is None
    assert s3.tags("none") == s3.metadata("none") == {}


def test_ranges(s3: S3Server, client: Any) -> None:
    s3.put("k", b"0123456789")
    part = client.get_object(**at(s3, "k"), Range="bytes=3-5")
    assert (part["ContentRange"], part["Body"].read()) == ("bytes 3-5/10", b"345")
    assert refused(client.get_object, **at(s3, "k"), Range="bytes=10-") == (416, "InvalidRange")


def test_nothing_is_overwritten_under_if_none_match(s3: S3Server, client: Any) -> None:
    """what-runs.md 1a, for PutObject and CompleteMultipartUpload."""
    s3.put("k", b"first")
    assert refused(client.put_object, **at(s3, "k"), Body=b"second", IfNoneMatch="*") == (412, "PreconditionFailed")
    upload = client.create_multipart_upload(**at(s3, "k"))["UploadId"]
    etag = client.upload_part(**at(s3, "k"), UploadId=upload, PartNumber=1, Body=b"second")["ETag"]
    parts = {"Parts": [{"PartNumber": 1, "ETag": etag}]}
    complete = {**at(s3, "k"), "UploadId": upload, "MultipartUpload": parts}
    assert refused(client.complete_multipart_upload, **complete, IfNoneMatch="*") == (412, "PreconditionFailed")
    assert s3.body("k") == b"first"


def test_only_one_of_many_writers_wins_under_if_none_match(s3: S3Server) -> None:
    outcomes: list[str] = []

    def write(number: int) -> None:
        client = s3.client()
        try:
            client.put_object(**at(s3, "k"), Body=b"%d" % number, IfNoneMatch="*")
            outcomes.append("won")
        except ClientError as error:
            outcomes.append(error.response["Error"]["Code"])
        client.close()

    threads = [threading.Thread(target=write, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["PreconditionFailed"] * 5 + ["won"]


def test_odd_keys_and_many_pages(s3: S3Server, client: Any) -> None:
    names = ["ä ö/+&<x>", "a%2Fb", *(f"0_{number:04d}" for number in range(1005))]
    for name in names:
        s3.put(name, b"")
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=s3.bucket)
    assert sorted(item["Key"] for page in pages for item in page["Contents"]) == sorted(names) == s3.keys()
    assert client.get_object(**at(s3, "ä ö/+&<x>"))["Body"].read() == b""


def test_listings_with_prefix_delimiter_and_start(s3: S3Server, client: Any) -> None:
    for name in ("a", "b/1", "b/2", "b/3/x", "c", "d/1"):
        s3.put(name, b"content", storage_class="GLACIER")
    listing = client.list_objects_v2(Bucket=s3.bucket, Delimiter="/")
    assert [item["Key"] for item in listing["Contents"]] == ["a", "c"]
    assert [item["Prefix"] for item in listing["CommonPrefixes"]] == ["b/", "d/"]
    paged: list[str] = []
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=s3.bucket, Delimiter="/", MaxKeys=1):
        paged += [item["Key"] for item in page.get("Contents", [])]
        paged += [item["Prefix"] for item in page.get("CommonPrefixes", [])]
    assert paged == ["a", "b/", "c", "d/"]
    below = client.list_objects_v2(Bucket=s3.bucket, Prefix="b/", StartAfter="b/1")
    assert [item["Key"] for item in below["Contents"]] == ["b/2", "b/3/x"]
    first = below["Contents"][0]
    assert (first["Size"], first["StorageClass"]) == (7, "GLACIER")
    assert first["ETag"] == f'"{md5(b"content").hex()}"'
    empty = client.list_objects_v2(Bucket=s3.bucket, Prefix="z")
    assert (empty["KeyCount"], empty["IsTruncated"], "Contents" in empty) == (0, False, False)
    wrong = {"ContinuationToken": "!"}
    assert refused(client.list_objects_v2, Bucket=s3.bucket, **wrong) == (400, "InvalidArgument")


# Checksums (what-runs.md 1b)


ALGORITHMS = {
    "CRC32": crc32,
    "CRC32C": lambda data: b64(checksums.crc32c(data).to_bytes(4, "big")),
    "CRC64NVME": crc64nvme,
    "SHA1": lambda data: b64(hashlib.sha1(data, usedforsecurity=False).digest()),
    "SHA256": lambda data: b64(hashlib.sha256(data).digest()),
}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_wrong_checksum_is_refused_and_a_right_one_kept(s3: S3Server, client: Any, algorithm: str) -> None:
    right, wrong = (ALGORITHMS[algorithm](data) for data in (b"content", b"other"))
    name = f"Checksum{algorithm}"
    assert refused(client.put_object, **at(s3, "k"), Body=b"content", **{name: wrong}) == (400, "BadDigest")
    assert s3.keys() == []
    client.put_object(**at(s3, "k"), Body=b"content", **{name: right})
    head = client.head_object(**at(s3, "k"), ChecksumMode="ENABLED")
    assert (head[name], head["ChecksumType"]) == (right, "FULL_OBJECT")
    assert name not in client.head_object(**at(s3, "k"))
    upload = client.create_multipart_upload(**at(s3, "m"), ChecksumAlgorithm=algorithm)["UploadId"]
    part = {**at(s3, "m"), "UploadId": upload, "PartNumber": 1, "Body": b"content"}
    assert refused(client.upload_part, **part, **{name: wrong}) == (400, "BadDigest")
    assert client.upload_part(**part, **{name: right})[name] == right


def test_a_wrong_md5_is_refused(s3: S3Server, client: Any) -> None:
    wrong = b64(md5(b"other"))
    assert refused(client.put_object, **at(s3, "k"), Body=b"content", ContentMD5=wrong) == (400, "BadDigest")
    client.put_object(**at(s3, "k"), Body=b"content", ContentMD5=b64(md5(b"content")))
    assert s3.body("k") == b"content"


@pytest.mark.parametrize(("trailing", "status"), [(b"content", 200), (b"other", 400)])
def test_checksums_in_trailers_count(s3: S3Server, trailing: bytes, status: int) -> None:
    """As boto3 sends them over TLS: an aws-chunked body with the checksum after it."""
    client = s3.client()
    headers = {
        "x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "x-amz-trailer": "x-amz-checksum-crc64nvme",
        "x-amz-decoded-content-length": "7",
        "content-encoding": "aws-chunked",
    }
    url = client.generate_presigned_url("put_object", Params=at(s3, "k"))
    body = f"4\r\ncont\r\n3\r\nent\r\n0\r\nx-amz-checksum-crc64nvme:{crc64nvme(trailing)}\r\n\r\n".encode()
    answer = requests.put(url, timeout=10, data=body, headers=headers)
    assert answer.status_code == status, answer.text
    assert s3.body("k") == (b"content" if status == 200 else None)
    if status == 200:
        head = client.head_object(**at(s3, "k"), ChecksumMode="ENABLED")
        assert head["ChecksumCRC64NVME"] == crc64nvme(b"content")
        assert "ContentEncoding" not in head


def test_every_object_has_a_full_object_checksum(s3: S3Server, client: Any) -> None:
    """AWS computes CRC64NVME where the client sent nothing."""
    s3.put("single", b"content")
    s3.put("parts", b"content", part_bytes=3)
    for key in ("single", "parts"):
        head = client.head_object(**at(s3, key), ChecksumMode="ENABLED")
        assert head["ChecksumCRC64NVME"] == crc64nvme(b"content")
        assert head["ChecksumType"] == "FULL_OBJECT"


# Multipart


@pytest.fixture
def big() -> bytes:
    return bytes(range(256)) * (PART // 256) + b"the second part"


def send_parts(client: Any, s3: S3Server, big: bytes, algorithm: str, **options: str) -> dict[str, Any]:
    """Create an upload and send both parts; the arguments of its Complete, with the checksums of the parts."""
    created = client.create_multipart_upload(**at(s3, "k"), ChecksumAlgorithm=algorithm, **options)
    parts = []
    for number, body in ((1, big[:PART]), (2, big[PART:])):
        place = {"UploadId": created["UploadId"], "PartNumber": number}
        sent = client.upload_part(**at(s3, "k"), **place, Body=body, ChecksumAlgorithm=algorithm)
        name = f"Checksum{algorithm}"
        parts.append({"PartNumber": number, "ETag": sent["ETag"], name: sent[name]})
    return {**at(s3, "k"), "UploadId": created["UploadId"], "MultipartUpload": {"Parts": parts}}


@pytest.mark.parametrize("algorithm", ["CRC64NVME", "CRC32"])
def test_a_complete_is_checked_against_the_whole_object(s3: S3Server, client: Any, big: bytes, algorithm: str) -> None:
    complete = send_parts(client, s3, big, algorithm, ChecksumType="FULL_OBJECT")
    name = f"Checksum{algorithm}"
    right, wrong = ALGORITHMS[algorithm](big), ALGORITHMS[algorithm](b"")
    finish = client.complete_multipart_upload
    assert refused(finish, **complete, **{name: wrong}) == (400, "BadDigest")
    assert refused(finish, **complete, MpuObjectSize=len(big) - 1) == (400, "InvalidRequest")
    wrong_part = [{**part, name: wrong} for part in complete["MultipartUpload"]["Parts"]]
    assert refused(finish, **{**complete, "MultipartUpload": {"Parts": wrong_part}}) == (400, "InvalidPart")
    backwards = complete["MultipartUpload"]["Parts"][::-1]
    assert refused(finish, **{**complete, "MultipartUpload": {"Parts": backwards}}) == (400, "InvalidPartOrder")
    assert s3.keys() == []
    whole = {name: right, "MpuObjectSize": len(big), "ChecksumType": "FULL_OBJECT", "IfNoneMatch": "*"}
    done = finish(**complete, **whole)
    assert (done[name], done["ChecksumType"]) == (right, "FULL_OBJECT")
    assert s3.body("k") == big
    head = client.head_object(**at(s3, "k"), ChecksumMode="ENABLED")
    assert (head[name], head["ChecksumType"], head["ContentLength"]) == (right, "FULL_OBJECT", len(big))
    assert finish(**complete)["ETag"] == done["ETag"]  # a repeated Complete succeeds


def test_a_composite_upload_needs_the_parts_checksums(s3: S3Server, client: Any, big: bytes) -> None:
    complete = send_parts(client, s3, big, "SHA256")
    bare = [{"PartNumber": p["PartNumber"], "ETag": p["ETag"]} for p in complete["MultipartUpload"]["Parts"]]
    finish = client.complete_multipart_upload
    assert refused(finish, **{**complete, "MultipartUpload": {"Parts": bare}}) == (400, "InvalidRequest")
    finish(**complete)
    head = client.head_object(**at(s3, "k"), ChecksumMode="ENABLED")
    digests = hashlib.sha256(big[:PART]).digest() + hashlib.sha256(big[PART:]).digest()
    assert head["ChecksumSHA256"] == b64(hashlib.sha256(digests).digest()) + "-2"
    assert head["ChecksumType"] == "COMPOSITE"


def test_sha_is_never_a_full_object_checksum_of_parts(s3: S3Server, client: Any) -> None:
    create = {"ChecksumAlgorithm": "SHA256", "ChecksumType": "FULL_OBJECT"}
    assert refused(client.create_multipart_upload, **at(s3, "k"), **create) == (400, "InvalidRequest")


def test_boto3s_own_transfer_works(s3: S3Server, client: Any, big: bytes) -> None:
    config = TransferConfig(multipart_threshold=PART, multipart_chunksize=PART)
    client.upload_fileobj(io.BytesIO(big), s3.bucket, "k", Config=config)
    received = io.BytesIO()
    client.download_fileobj(s3.bucket, "k", received, Config=config)
    assert received.getvalue() == big == s3.body("k")


@pytest.mark.parametrize("direct", [True, False])
def test_a_head_of_part_one_tells_the_part_size(s3: S3Server, client: Any, big: bytes, direct: bool) -> None:
    """How the part size of a legacy object is learnt, to rebuild its ETag (design.md 3)."""
    if direct:
        s3.put("k", big, part_bytes=PART, storage_class="DEEP_ARCHIVE")
    else:
        client.complete_multipart_upload(**send_parts(client, s3, big, "CRC64NVME"))
    head = client.head_object(**at(s3, "k"), PartNumber=1)
    assert (head["ContentLength"], head["PartsCount"]) == (PART, 2)
    assert client.head_object(**at(s3, "k"), PartNumber=2)["ContentLength"] == len(big) - PART
    md5s = md5(big[:PART]) + md5(big[PART:])
    assert head["ETag"] == f'"{md5(md5s).hex()}-2"'
    assert refused(client.head_object, **at(s3, "k"), PartNumber=3)[0] == 416
    s3.put("single", b"x")
    assert "PartsCount" not in client.head_object(**at(s3, "single"), PartNumber=1)
    if not direct:
        assert client.get_object(**at(s3, "k"), PartNumber=2)["Body"].read() == big[PART:]


def test_open_uploads_are_listed_with_their_time_until_aborted(s3: S3Server, client: Any, control: Control) -> None:
    """what-runs.md 1b: moto names a day in 2010 for all."""
    control.clock.advance(-3 * DAY)
    upload = client.create_multipart_upload(**at(s3, "0_a"))["UploadId"]
    control.clock.advance(3 * DAY)
    assert s3.uploads() == [("0_a", upload)]
    listed = client.list_multipart_uploads(Bucket=s3.bucket, Prefix="0_a")["Uploads"]
    age = control.clock.now() - listed[0]["Initiated"].timestamp()
    assert 3 * DAY - 5 < age < 3 * DAY + 60
    client.upload_part(**at(s3, "0_a"), UploadId=upload, PartNumber=1, Body=b"12345")
    assert client.list_parts(**at(s3, "0_a"), UploadId=upload)["Parts"][0]["Size"] == 5
    client.abort_multipart_upload(**at(s3, "0_a"), UploadId=upload)
    assert s3.uploads() == []
    late = {**at(s3, "0_a"), "UploadId": upload, "PartNumber": 2, "Body": b""}
    assert refused(client.upload_part, **late) == (404, "NoSuchUpload")


# Glacier (what-runs.md 1b)


@pytest.mark.parametrize("storage_class", ["GLACIER", "DEEP_ARCHIVE"])
def test_a_frozen_object_can_be_described_but_not_read(s3: S3Server, client: Any, storage_class: str) -> None:
    s3.put("k", b"content", storage_class=storage_class, tags={"sha256": "abc"})
    with pytest.raises(ClientError) as caught:
        client.get_object(**at(s3, "k"))
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    assert caught.value.response["Error"]["Code"] == "InvalidObjectState"
    assert caught.value.response["Error"]["StorageClass"] == storage_class
    assert refused(client.get_object, **at(s3, "k"), Range="bytes=0-1") == (403, "InvalidObjectState")
    url = client.generate_presigned_url("get_object", Params=at(s3, "k"))
    answer = fetch(url)
    assert (answer.status_code, "<Code>InvalidObjectState</Code>" in answer.text) == (403, True)
    source = {"Bucket": s3.bucket, "Key": "k"}
    assert refused(client.copy_object, **at(s3, "copy"), CopySource=source) == (403, "InvalidObjectState")
    assert client.head_object(**at(s3, "k"))["ContentLength"] == 7
    assert client.get_object_tagging(**at(s3, "k"))["TagSet"] == [{"Key": "sha256", "Value": "abc"}]
    client.put_object_tagging(**at(s3, "k"), Tagging={"TagSet": [{"Key": "flavor", "Value": "0_f@12"}]})
    assert s3.tags("k") == {"flavor": "0_f@12"}


@pytest.mark.parametrize(
    ("storage_class", "tier", "hours"),
    [
        ("GLACIER", "Expedited", 5 / 60),
        ("GLACIER", "Standard", 5),
        ("GLACIER", "Bulk", 12),
        ("DEEP_ARCHIVE", "Standard", 12),
        ("DEEP_ARCHIVE", "Bulk", 48),
    ],
)
def test_a_thaw_takes_as_long_as_aws(
    s3: S3Server, client: Any, control: Control, storage_class: str, tier: str, hours: float
) -> None:
    s3.put("k", b"content", storage_class=storage_class)
    assert ask_restore(client, s3, "k", tier) == 202
    control.clock.advance(hours * HOUR - 60)
    assert client.head_object(**at(s3, "k"))["Restore"] == 'ongoing-request="true"'
    assert refused(client.get_object, **at(s3, "k")) == (403, "InvalidObjectState")
    control.clock.advance(61)
    assert client.head_object(**at(s3, "k"))["Restore"].startswith('ongoing-request="false", expiry-date="')
    assert client.head_object(**at(s3, "k"))["StorageClass"] == storage_class
    assert client.get_object(**at(s3, "k"))["Body"].read() == b"content"


def test_a_thaw_from_asking_to_expiry(s3: S3Server, client: Any, control: Control) -> None:
    s3.put("k", b"content", storage_class="GLACIER")
    again = {"RestoreRequest": {"Days": 2}}
    assert ask_restore(client, s3, "k", days=2) == 202
    assert refused(client.restore_object, **at(s3, "k"), **again) == (409, "RestoreAlreadyInProgress")
    s3.thaw("k")
    before = client.head_object(**at(s3, "k"))["Restore"]
    assert before.endswith(' 00:00:00 GMT"')
    assert client.get_object(**at(s3, "k"), Range="bytes=0-2")["Body"].read() == b"con"
    client.copy_object(**at(s3, "copy"), CopySource={"Bucket": s3.bucket, "Key": "k"}, StorageClass="STANDARD")
    assert s3.body("copy") == b"content"
    assert ask_restore(client, s3, "k", days=9) == 200  # more days
    assert client.head_object(**at(s3, "k"))["Restore"] != before
    control.clock.advance(8.9 * DAY)
    assert client.get_object(**at(s3, "k"))["Body"].read() == b"content"
    control.clock.advance(1.2 * DAY)
    assert "Restore" not in client.head_object(**at(s3, "k"))
    assert refused(client.get_object, **at(s3, "k")) == (403, "InvalidObjectState")
    assert ask_restore(client, s3, "k") == 202
    s3.thaw("k")
    s3.expire("k")
    assert refused(client.get_object, **at(s3, "k")) == (403, "InvalidObjectState")


def test_restore_requests_that_aws_refuses(s3: S3Server, client: Any) -> None:
    for storage_class in ("STANDARD", "STANDARD_IA", "GLACIER_IR"):
        s3.put("k", b"content", storage_class=storage_class)
        assert refused(client.restore_object, **at(s3, "k"), RestoreRequest={"Days": 1}) == (403, "InvalidObjectState")
        assert client.get_object(**at(s3, "k"))["Body"].read() == b"content"
    s3.put("k", b"content", storage_class="DEEP_ARCHIVE")
    expedited = {"Days": 1, "GlacierJobParameters": {"Tier": "Expedited"}}
    assert refused(client.restore_object, **at(s3, "k"), RestoreRequest=expedited)[0] == 400
    bare = {"GlacierJobParameters": {"Tier": "Bulk"}}
    assert refused(client.restore_object, **at(s3, "k"), RestoreRequest=bare) == (400, "MalformedXML")
    assert refused(client.restore_object, **at(s3, "none"), RestoreRequest={"Days": 1}) == (404, "NoSuchKey")
    for finish in (s3.thaw, s3.expire):
        with pytest.raises(ValueError, match="no restore"):
            finish("k")


@pytest.mark.parametrize(
    ("archive_tier", "hours"),
    [("ARCHIVE_ACCESS", {"Expedited": 5 / 60, "Bulk": 12}), ("DEEP_ARCHIVE_ACCESS", {"Bulk": 48})],
)
def test_an_archive_tier_thaws_without_days_and_for_good(
    s3: S3Server, client: Any, control: Control, archive_tier: str, hours: dict[str, float]
) -> None:
    """AWS, RestoreObject: no Days for INTELLIGENT_TIERING; the object then is in the Frequent Access tier."""
    s3.put("k", b"content", storage_class="INTELLIGENT_TIERING")
    assert "ArchiveStatus" not in client.head_object(**at(s3, "k"))
    bare: dict[str, Any] = {"GlacierJobParameters": {"Tier": "Bulk"}}
    s3.freeze("k", archive_tier)
    assert client.head_object(**at(s3, "k"))["ArchiveStatus"] == archive_tier
    with pytest.raises(ClientError) as caught:
        client.get_object(**at(s3, "k"))
    assert caught.value.response["Error"]["AccessTier"] == archive_tier  # type: ignore[typeddict-item]
    assert refused(client.restore_object, **at(s3, "k"), RestoreRequest=bare | {"Days": 3})[0] == 400
    if "Expedited" not in hours:
        fast = {"GlacierJobParameters": {"Tier": "Expedited"}}
        assert refused(client.restore_object, **at(s3, "k"), RestoreRequest=fast)[0] == 400
    assert client.restore_object(**at(s3, "k"), RestoreRequest=bare)["ResponseMetadata"]["HTTPStatusCode"] == 202
    assert refused(client.restore_object, **at(s3, "k"), RestoreRequest=bare) == (409, "RestoreAlreadyInProgress")
    left = hours["Bulk"]
    if "Expedited" in hours:
        fast = {"GlacierJobParameters": {"Tier": "Expedited"}}
        s3.settings.expedited_capacity = False
        code = (503, "GlacierExpeditedRetrievalNotAvailable")
        assert refused(client.restore_object, **at(s3, "k"), RestoreRequest=fast) == code
        s3.settings.expedited_capacity = True
        client.restore_object(**at(s3, "k"), RestoreRequest=fast)
        left = hours["Expedited"]
    assert client.head_object(**at(s3, "k"))["Restore"] == 'ongoing-request="true"'
    control.clock.advance(left * HOUR + 1)
    head = client.head_object(**at(s3, "k"))
    assert (head["StorageClass"], "ArchiveStatus" in head, "Restore" in head) == ("INTELLIGENT_TIERING", False, False)
    control.clock.advance(1000 * DAY)
    assert client.get_object(**at(s3, "k"))["Body"].read() == b"content"


def test_a_new_object_knows_nothing_of_the_old_ones_thaw(s3: S3Server, client: Any) -> None:
    s3.settings.thaw_seconds = 0
    s3.put("k", b"old", storage_class="GLACIER")
    assert ask_restore(client, s3, "k") == 202
    assert client.get_object(**at(s3, "k"))["Body"].read() == b"old"
    s3.put("k", b"new", storage_class="GLACIER")
    assert refused(client.get_object, **at(s3, "k")) == (403, "InvalidObjectState")


def test_listings_show_restores_where_asked_for(s3: S3Server, client: Any) -> None:
    for key in ("cold", "thawing & <odd>", "thawed"):
        s3.put(key, b"content", storage_class="GLACIER")
    s3.put("plain", b"content")
    ask_restore(client, s3, "thawing & <odd>")
    ask_restore(client, s3, "thawed")
    s3.thaw("thawed")
    listing = client.list_objects_v2(Bucket=s3.bucket, OptionalObjectAttributes=["RestoreStatus"])
    status = {item["Key"]: item.get("RestoreStatus") for item in listing["Contents"]}
    assert status["cold"] is status["plain"] is None
    assert status["thawing & <odd>"] == {"IsRestoreInProgress": True}
    assert status["thawed"]["IsRestoreInProgress"] is False
    assert f"{status['thawed']['RestoreExpiryDate']:%H:%M}" == "00:00"
    plain = client.list_objects_v2(Bucket=s3.bucket)
    assert not any("RestoreStatus" in item for item in plain["Contents"])


# Who may


@pytest.mark.parametrize("version", ["s3v4", "s3"])
def test_a_presigned_url_works_until_it_expires(s3: S3Server, version: str) -> None:
    s3.put("ä +x", b"content")
    keys = {"aws_access_key_id": s3.access_key_id, "aws_secret_access_key": s3.secret_access_key}
    config = Config(signature_version=version)
    client = boto3.client("s3", endpoint_url=s3.url, region_name="us-east-1", config=config, **keys)
    url = client.generate_presigned_url("get_object", Params=at(s3, "ä +x"), ExpiresIn=60)
    assert fetch(url).content == b"content"
    assert fetch(url, headers={"Range": "bytes=1-2"}).content == b"on"
    forged = fetch(url.replace("x?", "y?"))
    assert (forged.status_code, "<Code>SignatureDoesNotMatch</Code>" in forged.text) == (403, True)
    assert fetch(url.partition("?")[0]).status_code == 403
    s3.settings.presign_age_seconds = 120
    expired = fetch(url)
    assert expired.status_code == 403
    assert "<Message>Request has expired</Message>" in expired.text


@pytest.mark.parametrize(
    ("wrong", "code"),
    [("aws_access_key_id", "InvalidAccessKeyId"), ("aws_secret_access_key", "SignatureDoesNotMatch")],
)
def test_wrong_credentials_are_refused(s3: S3Server, wrong: str, code: str) -> None:
    keys = {"aws_access_key_id": s3.access_key_id, "aws_secret_access_key": s3.secret_access_key, wrong: "WRONG"}
    client = boto3.client("s3", endpoint_url=s3.url, region_name="us-east-1", **keys)
    assert refused(client.list_objects_v2, Bucket=s3.bucket) == (403, code)


def test_denied_operations(s3: S3Server, client: Any) -> None:
    s3.put("k", b"content")
    s3.settings.deny = {"HeadObject", "s3.Delete*"}
    assert refused(client.head_object, **at(s3, "k")) == (403, "403")
    assert refused(client.delete_object, **at(s3, "k")) == (403, "AccessDenied")
    assert client.get_object(**at(s3, "k"))["Body"].read() == b"content"
    s3.settings.deny.clear()
    client.delete_object(**at(s3, "k"))
    assert s3.keys() == []


def test_a_bucket_of_another_region(s3: S3Server, client: Any) -> None:
    s3.settings.wrong_region = "eu-central-1"
    with pytest.raises(ClientError) as caught:
        client.list_objects_v2(Bucket=s3.bucket)
    answer = caught.value.response
    assert (answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"]) == (301, "PermanentRedirect")
    assert answer["ResponseMetadata"]["HTTPHeaders"]["x-amz-bucket-region"] == "eu-central-1"
    assert refused(client.head_bucket, Bucket=s3.bucket)[0] == 301


def test_a_kms_bucket_has_etags_that_are_no_md5(s3: S3Server, client: Any, big: bytes) -> None:
    s3.settings.kms = True
    etag = client.put_object(**at(s3, "single"), Body=b"content")["ETag"]
    client.complete_multipart_upload(**send_parts(client, s3, big, "CRC64NVME"))
    s3.put("direct", b"content")
    for key in ("single", "k", "direct"):
        head = client.head_object(**at(s3, key), ChecksumMode="ENABLED")
        assert head["ServerSideEncryption"] == "aws:kms"
        assert md5(s3.body(key) or b"").hex() not in head["ETag"]
        assert head["ChecksumType"] == "FULL_OBJECT"
    assert client.head_object(**at(s3, "single"))["ETag"] == etag
    assert s3.body("k") == big


# Log and faults: a log of all requests, faults on cue


def test_the_log_names_operation_subject_and_whether_it_writes(s3: S3Server, client: Any, control: Control) -> None:
    s3.put("unseen", b"")
    client.put_object(**at(s3, "0_a"), Body=b"content", IfNoneMatch="*", StorageClass="GLACIER")
    client.head_object(**at(s3, "0_a"))
    client.list_objects_v2(Bucket=s3.bucket, Prefix="0_")
    ask_restore(client, s3, "0_a")
    fetch(client.generate_presigned_url("get_object", Params=at(s3, "0_a")))
    seen = [(request.operation, request.subject, request.writes) for request in control]
    assert seen == [
        ("s3.PutObject", "0_a", True),
        ("s3.HeadObject", "0_a", False),
        ("s3.ListObjectsV2", "", False),
        ("s3.RestoreObject", "0_a", True),
        ("s3.GetObject", "0_a", False),
    ]
    logged = [request.parameters for request in control]
    assert logged[0]["if-none-match"] == "*"
    assert logged[2]["prefix"] == "0_"
    assert logged[4] == {"presigned": "true"}
    assert {request.server for request in control} == {"s3"}


@pytest.mark.parametrize(
    ("kind", "outcome", "stored"),
    [
        ("drop_before", "ConnectionClosedError", False),
        ("drop_after", "ConnectionClosedError", True),
        ("http_500", "InternalError", False),
        ("http_503", "SlowDown", False),
        ("error", "ConditionalRequestConflict", False),
        ("empty", "", False),
        ("empty_after", "", True),
        ("garbage", "", True),
        ("cut_short", "ConnectionClosedError", True),
        ("flip", "BadDigest", False),
        ("none", "", True),
    ],
)
def test_faults_of_a_write(s3: S3Server, client: Any, control: Control, kind: str, outcome: str, stored: bool) -> None:
    calls: list[str] = []

    def note(when: str) -> Any:
        def noted(request: Request) -> None:
            calls.append(f"{when} {request.subject} {s3.keys()}")

        return noted

    control.add_fault(
        "s3.PutObject", kind, code="ConditionalRequestConflict", status=409, before=note("before"), after=note("after")
    )
    seen = ""
    try:
        client.put_object(**at(s3, "k"), Body=b"content")
    except ClientError as error:
        seen = error.response["Error"]["Code"]
    except ConnectionClosedError:
        seen = "ConnectionClosedError"
    assert seen == outcome
    assert s3.keys() == (["k"] if stored else [])
    assert calls[0] == "before k []"
    assert ("after k ['k']" in calls) is stored
    client.put_object(**at(s3, "k"), Body=b"content")  # a fault is spent
    assert len(control.writes()) == 2


def test_faults_of_a_read(s3: S3Server, control: Control) -> None:
    content = bytes(range(200))
    s3.put("k", content)
    url = s3.client().generate_presigned_url("get_object", Params=at(s3, "k"))
    control.add_fault("s3.GetObject", "flip")
    control.add_fault("s3.GetObject", "cut")
    control.add_fault("s3.GetObject", "cut_short")
    control.add_fault("s3.GetObject", "empty")
    flipped = fetch(url).content
    assert len(flipped) == 200
    assert sum(a != b for a, b in zip(flipped, content, strict=True)) == 1
    assert fetch(url).content == content[:100]
    with fetch(url, stream=True) as answer:
        assert answer.headers["content-length"] == "200"
        with pytest.raises(requests.RequestException):
            assert answer.content
    assert fetch(url).content == b""
    assert fetch(url).content == content


def test_boto3_notices_a_flipped_byte_by_the_checksum(s3: S3Server, client: Any, control: Control) -> None:
    s3.put("k", b"content")
    control.add_fault("s3.GetObject", "flip")
    with pytest.raises(Exception, match="checksum"):
        client.get_object(**at(s3, "k"), ChecksumMode="ENABLED")["Body"].read()


def test_a_late_answer(s3: S3Server, control: Control) -> None:
    config = Config(read_timeout=0.2, retries={"total_max_attempts": 1})
    keys = {"aws_access_key_id": s3.access_key_id, "aws_secret_access_key": s3.secret_access_key}
    client = boto3.client("s3", endpoint_url=s3.url, region_name="us-east-1", config=config, **keys)
    control.add_fault("s3.PutObject", "delay", seconds=0.6)
    with pytest.raises(ReadTimeoutError):
        client.put_object(**at(s3, "k"), Body=b"content")
    assert s3.body("k") == b"content"
    client.close()


def test_latency(s3: S3Server, client: Any) -> None:
    client.head_bucket(Bucket=s3.bucket)
    s3.settings.latency_seconds = 0.2
    start = time.monotonic()
    client.head_bucket(Bucket=s3.bucket)
    assert time.monotonic() - start >= 0.2


def test_versioned_buckets_do_not_break(s3: S3Server, client: Any) -> None:
    client.put_bucket_versioning(Bucket=s3.bucket, VersioningConfiguration={"Status": "Enabled"})
    first = client.put_object(**at(s3, "k"), Body=b"first")["VersionId"]
    client.put_object(**at(s3, "k"), Body=b"second")
    assert client.get_object(**at(s3, "k"))["Body"].read() == b"second"
    assert client.get_object(**at(s3, "k"), VersionId=first)["Body"].read() == b"first"
    client.delete_object(**at(s3, "k"))
    assert refused(client.head_object, **at(s3, "k")) == (404, "404")
    assert s3.keys() == []
