"""`health` of many archived entries beside HEAD-per-entry in 16 threads.

    bench/health.py S3SINK [ENTRIES [ROUNDS]]        100,000 entries, 3 rounds

S3SINK is the built s3sink (shared/tools/s3sink.c tells how); Kaltura is bench/fixed_kaltura.py. The peer
(`health.py heads FILE`) only calls boto3's head_object for each id of a file, in 16 threads, and asks Kaltura nothing.
s3sink knows no object tags, so that `health --verified` cannot be measured with it.
"""

from __future__ import annotations

import http.client
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

from fixed_kaltura import ORIGINAL_BYTES, entry_id
from listing import fixed_kaltura
from measure import against, in_turns, run

BUCKET = "archive"


@contextmanager
def sink(program: str, entries: int) -> Iterator[str]:
    """The address of an S3 that holds a copy of each entry."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen([program, "--port", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                time.sleep(0.05)
        connection = http.client.HTTPConnection("127.0.0.1", port)
        body = bytes(ORIGINAL_BYTES)
        for number in range(entries):
            connection.request("PUT", f"/{BUCKET}/{entry_id(number)}", body)
            connection.getresponse().read()
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def heads(file: str) -> None:
    import boto3
    from botocore.config import Config

    client = boto3.client("s3", config=Config(max_pool_connections=16, s3={"addressing_style": "path"}))
    with ThreadPoolExecutor(16) as pool:
        for answer in pool.map(lambda i: client.head_object(Bucket=BUCKET, Key=i), Path(file).read_text().split()):
            assert answer["ContentLength"] == ORIGINAL_BYTES  # noqa: S101


def main() -> None:
    program, *numbers = sys.argv[1:]
    entries, rounds = (int(text) for text in [*numbers, *("100000", "3")[len(numbers) :]])
    with (
        fixed_kaltura(entries) as environ,
        sink(program, entries) as url,
        tempfile.NamedTemporaryFile("w", suffix=".txt") as ids,
    ):
        ids.write("\n".join(entry_id(number) for number in range(entries)))
        ids.flush()
        environ |= {
            "AWS_BUCKET": BUCKET, "AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x",
            "AWS_DEFAULT_REGION": "us-east-1",
        }  # fmt: skip
        ours = [sys.executable, "-m", "kaltura_archiver", "health", "--max-entries", "-1"]
        commands = {"health": ours, "HEAD in 16 threads": [sys.executable, __file__, "heads", ids.name]}
        took = in_turns({n: lambda c=c: run(c, environ=environ) for n, c in commands.items()}, rounds)  # type: ignore[misc]
        with urlopen(f"{url}/_stats") as answer:  # noqa: S310 - our own server
            stats = answer.read().decode()
    print(f"{entries} entries, medians of {rounds}; S3 in all: {stats}\n{against(took, 'HEAD in 16 threads')}")  # noqa: T201


if __name__ == "__main__":
    if sys.argv[1:2] == ["heads"]:
        heads(sys.argv[2])
    else:
        main()
