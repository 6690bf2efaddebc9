"""The whole cycle against an S3 service that is none of ours, and what happens to a bit that flips on the way there.

Kaltura is a sandbox's. What the service is known to keep of conditions, checksums and tags is told, too. Exit 0: all
held; 1: something did not.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import http.client
import os
import subprocess
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
from looking import big, content_id
from odd_s3 import flipped

from kaltura_archiver.model import State
from kaltura_archiver.sandbox.world import Sandbox

BUCKET = "kaltura-archive"
PARTED_MEBIBYTES = 17
SECONDS = 300


class _Between(BaseHTTPRequestHandler):
    """Hands requests on as they are, but for one bit of the bodies that are said to be flipped.

    For a service that keeps no conditions it can keep them in its stead, so that the rest of it can be tried.
    """

    protocol_version = "HTTP/1.1"
    to = ""
    s3: Any = None
    keeps_conditions = False
    flips = 0
    flipped_so_far = 0
    contents = 0  # bodies that may be of a video
    lock = threading.Lock()
    one_writer = threading.Lock()

    def _hand_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        kind = type(self)
        with kind.lock:
            # The content of objects and parts; small texts and tags go as they are.
            content = self.command == "PUT" and "tagging" not in self.path and len(body) > 1000
            kind.contents += content
            flips = content and kind.flips > 0
            kind.flips -= flips
            kind.flipped_so_far += flips
        if not kind.keeps_conditions or not {"If-None-Match", "If-Match"} & {n.title() for n in self.headers}:
            return self._forward(flipped(body) if flips else body)
        if self.command not in ("PUT", "POST"):
            return self._forward(body)
        with kind.one_writer:
            if self._may_write():
                return self._forward(flipped(body) if flips else body)
        refused = b"<Error><Code>PreconditionFailed</Code><Message>a condition did not hold</Message></Error>"
        self.send_response_only(412)
        self.send_header("Content-Length", str(len(refused)))
        self.end_headers()
        self.wfile.write(refused)
        return None

    def _may_write(self) -> bool:
        key = unquote(urlsplit(self.path).path).lstrip("/").partition("/")[2]
        try:
            etag = str(type(self).s3.head_object(Bucket=BUCKET, Key=key)["ETag"]).strip('"')
        except ClientError:
            etag = ""
        wanted = self.headers.get("If-Match", "").strip('"')
        return not (self.headers.get("If-None-Match") and etag) and (not wanted or wanted == etag)

    def _forward(self, body: bytes) -> None:
        host = http.client.HTTPConnection(type(self).to, timeout=60)
        host.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            host.putheader(name, value)
        host.endheaders(body)
        answer = host.getresponse()
        content = answer.read()
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                self.send_header(name, value)
        told = answer.getheader("Content-Length", "0") if self.command == "HEAD" else str(len(content))
        if answer.status != 204:
            self.send_header("Content-Length", told)
        self.end_headers()
        self.wfile.write(content)
        host.close()

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _hand_on

    def handle_expect_100(self) -> bool:
        self.send_response_only(100)
        self.end_headers()
        return True

    def log_message(self, format: str, *args: Any) -> None:
        pass


class Trial:
    """A sandbox's Kaltura, a bucket of the service, and what did not hold."""

    def __init__(self, sandbox: Sandbox, endpoint: str, access_key: str, secret_key: str) -> None:
        self.sandbox, self.failed = sandbox, 0
        _Between.to = urlsplit(endpoint).netloc
        self.between = ThreadingHTTPServer(("127.0.0.1", 0), _Between)
        self.between.daemon_threads = True
        threading.Thread(target=self.between.serve_forever, daemon=True).start()
        self.environ = {
            **os.environ,
            **sandbox.environ(),
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.between.server_port}",
            "AWS_BUCKET": BUCKET,
            "AWS_ACCESS_KEY_ID": access_key,
            "AWS_SECRET_ACCESS_KEY": secret_key,
            "AWS_EC2_METADATA_DISABLED": "true",
            "KALTURA_SETTLE_SECONDS": "1",
        }
        once = Config(retries={"total_max_attempts": 1}, signature_version="s3v4", s3={"addressing_style": "path"})
        self.s3 = boto3.client(
            "s3", endpoint_url=endpoint, region_name="us-east-1", config=once,
            aws_access_key_id=access_key, aws_secret_access_key=secret_key,
        )  # fmt: skip
        _Between.s3 = self.s3
        self.said = ""

    def check(self, what: str, held: bool) -> None:
        self.failed += not held
        sys.stdout.write(f"{'ok      ' if held else 'FAILED  '}{what}\n")
        if not held:
            sys.stdout.write("".join(f"          {line}\n" for line in self.said.splitlines()[-12:]))
        sys.stdout.flush()

    def tell(self, what: str, answer: str) -> None:
        sys.stdout.write(f"        {what}: {answer}\n")

    def run(self, command: str, entry_id: str, *options: str) -> str:
        """The outcome for the entry."""
        acts = () if command == "health" else ("--no-dry-run",)
        arguments = [command, "--id", entry_id, *acts, *options, "--format", "tsv"]
        done = subprocess.run(
            [sys.executable, "-m", "kaltura_archiver", *arguments],
            env=self.environ, cwd=self.sandbox.directory, capture_output=True, text=True, timeout=SECONDS, check=False,
        )  # fmt: skip
        self.said = done.stdout + done.stderr
        header, *rows = [line.split("\t") for line in done.stdout.splitlines()] or [[]]
        row = dict(zip(header, rows[0], strict=False)) if rows else {}
        return row.get("outcome") or row.get("message", "")

    def stored(self, entry_id: str) -> bytes:
        return bytes(self.s3.get_object(Bucket=BUCKET, Key=entry_id)["Body"].read())

    def original(self, entry_id: str) -> bytes:
        return self.sandbox.kaltura.content(content_id(self.sandbox, entry_id).partition("@")[0])


def conditions(trial: Trial) -> bool:
    """What the service keeps, told; returns whether it writes on a condition, which is required of it."""
    s3, key = trial.s3, "probe/conditions"

    def refused(**call: Any) -> str:
        try:
            s3.put_object(Bucket=BUCKET, Key=key, **call)
        except ClientError as error:
            return f"refused ({error.response['Error'].get('Code')})"
        return "taken"

    etag = s3.put_object(Bucket=BUCKET, Key=key, Body=b"one")["ETag"]
    missing, wrong = refused(Body=b"two", IfNoneMatch="*"), refused(Body=b"two", IfMatch="0" * 32)
    trial.tell("If-None-Match: * on an object that is there", missing)
    trial.tell("If-Match with a wrong ETag", wrong)
    etag = s3.put_object(Bucket=BUCKET, Key=key, Body=b"one")["ETag"]
    trial.tell("If-Match with the ETag, quoted", refused(Body=b"two", IfMatch=etag))
    etag = s3.put_object(Bucket=BUCKET, Key=key, Body=b"one")["ETag"]
    trial.tell("If-Match with the ETag, without quotes", refused(Body=b"two", IfMatch=etag.strip('"')))
    for algorithm, checksum in (("CRC64NVME", "AAAAAAAAAAE="), ("CRC32", "AAAAAQ==")):
        trial.tell(f"a wrong {algorithm}", refused(Body=b"two", **{f"Checksum{algorithm}": checksum}))
    head = s3.head_object(Bucket=BUCKET, Key=key, ChecksumMode="ENABLED")
    shown = [name for name in head if name.startswith("Checksum")]
    trial.tell("HeadObject shows", ", ".join(shown) or "no checksum")
    made = s3.put_object(Bucket=BUCKET, Key=key, Body=b"three")["ETag"].strip('"')
    trial.tell("the ETag is the MD5", str(made == hashlib.md5(b"three").hexdigest()))  # noqa: S324
    s3.delete_object(Bucket=BUCKET, Key=key)
    return "taken" not in (missing, wrong)


def refusal(trial: Trial) -> None:
    """A service without conditions gets no video, and the operator the reason; then they are kept in its stead."""
    entry_id = trial.sandbox.add(State.INITIAL)
    trial.check("s3copy stores nothing here", trial.run("s3copy", entry_id) == "")
    trial.check("it says why", "If-None-Match" in trial.said and "nothing was changed" in trial.said)
    trial.check("no video has travelled", _Between.contents == 0)
    sys.stdout.write("        from here on the conditions are kept in its stead\n")
    _Between.keeps_conditions = True


def cycle(trial: Trial, name: str, video: bytes) -> None:
    entry_id = trial.sandbox.add(State.INITIAL, content=video)
    trial.check(f"{name}: s3copy is done", trial.run("s3copy", entry_id) == "done")
    trial.check(f"{name}: the bucket has the video", trial.stored(entry_id) == video)
    tags = {t["Key"]: t["Value"] for t in trial.s3.get_object_tagging(Bucket=BUCKET, Key=entry_id)["TagSet"]}
    trial.check(f"{name}: the evidence is recorded", "proof" in tags)
    trial.tell("by", tags.get("proof", "nothing").partition(" ")[0])
    trial.check(f"{name}: health says archived", trial.run("health", entry_id).startswith("archived: HEALTHY"))
    trial.check(f"{name}: replace_video is done", trial.run("replace_video", entry_id) == "done")
    trial.check(f"{name}: Kaltura has the placeholder", trial.original(entry_id) == trial.sandbox.placeholder)
    trial.check(f"{name}: verify finds the copy whole", trial.run("verify", entry_id) == "done")
    trial.check(f"{name}: restore is done", trial.run("restore", entry_id) == "done")
    trial.check(f"{name}: Kaltura has the video again", trial.original(entry_id) == video)
    trial.check(f"{name}: repair finds nothing to do", trial.run("repair", entry_id) == "already")


def flips(trial: Trial, name: str, video: bytes, count: int) -> None:
    """One bit of the first `count` bodies flips on the way: in the end the video is stored, or nobody calls it so."""
    entry_id = trial.sandbox.add(State.INITIAL, content=video)
    _Between.flips, _Between.flipped_so_far = count, 0
    outcome = trial.run("s3copy", entry_id)
    _Between.flips = 0
    what = f"{name}, {_Between.flipped_so_far} bodies with a bit flipped"
    trial.check(f"{what}: there were some", _Between.flipped_so_far > 0)
    if outcome == "done":
        trial.check(f"{what}: stored all the same, and right", trial.stored(entry_id) == video)
        return
    trial.check(f"{what}: s3copy failed", outcome == "failed")
    trial.check(f"{what}: health does not call it good", not trial.run("health", entry_id).startswith("archived"))
    trial.check(f"{what}: replace_video refuses", trial.run("replace_video", entry_id) in ("refused", "failed"))
    trial.check(f"{what}: the original stays", trial.original(entry_id) == video)
    with contextlib.suppress(ClientError):
        trial.s3.delete_object(Bucket=BUCKET, Key=entry_id)
    trial.check(f"{what}: without that object s3copy is done", trial.run("s3copy", entry_id) == "done")
    trial.check(f"{what}: the bucket has the video", trial.stored(entry_id) == video)


def main() -> int:
    parser = argparse.ArgumentParser(prog="s3_cycle.py", description=__doc__)
    parser.add_argument("endpoint")
    parser.add_argument("--access-key", required=True)
    parser.add_argument("--secret-key", required=True)
    told = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        Sandbox(Path(folder), conversion_seconds=0.1, real_videos=False) as sandbox,
    ):
        trial = Trial(sandbox, told.endpoint, told.access_key, told.secret_key)
        if BUCKET not in [bucket["Name"] for bucket in trial.s3.list_buckets()["Buckets"]]:
            trial.s3.create_bucket(Bucket=BUCKET)
        if not conditions(trial):
            refusal(trial)
        cycle(trial, "small", sandbox.video())
        cycle(trial, "in parts", big(sandbox, PARTED_MEBIBYTES))
        for count in (1, 99):
            flips(trial, "small", sandbox.video(), count)
            flips(trial, "in parts", big(sandbox, PARTED_MEBIBYTES), count)
    sys.stdout.write("all held\n" if not trial.failed else f"{trial.failed} did not hold\n")
    return int(trial.failed > 0)


if __name__ == "__main__":
    sys.exit(main())
