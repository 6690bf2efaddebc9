"""Transfers: the data paths of s3copy and restore beside rclone, s5cmd, awscli and boto3, on the same work in turns.

Source: nginx on loopback. Sink: s3sink, a small C server that checks nothing and discards what it is sent, so that it
is never the limit; correctness is the business of the tests. Kaltura's answers are fixed ones, given after a pause
where the workload says so; everything else is the tool's own `Kaltura.content`, `Store.write`, `Store.read` and
`Kaltura.upload`. Each contender runs as a process of its own, start-up included.

    python bench/transfers.py [--work a,b,c,d] [--tls] [--rounds 3] [--scale 1.0] [--restore] [--workers N]
                              [--beside CHECKOUT] [--only "A;B"]
"""

from __future__ import annotations

import argparse
import atexit
import gc
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from measure import Took, in_turns, median, run, table

HERE = Path(__file__).resolve()
SINK_SOURCE = next(p for folder in HERE.parents if (p := folder / "shared" / "tools" / "s3sink.c").exists())
ECHO_MODULE = Path("/usr/lib/nginx/modules/ngx_http_echo_module.so")
BUCKET = "bench"
KALTURA_MS, S3_MS = 50, 30


@dataclass(frozen=True)
class Work:
    """So many objects of that size, by so many workers."""

    count: int
    size_bytes: int
    workers: int = 4
    slow: bool = False


WORKS = {
    "a": Work(1, 4 * 2**30, 1),
    "b": Work(200, 16 * 2**20),
    "c": Work(2000, 256 * 2**10),
    "d": Work(1000, 2 * 2**20, 16, slow=True),
}


@dataclass(frozen=True)
class Servers:
    """Where the files are and where they go; `ca` is the certificate of both, or empty."""

    source: str
    sink: str
    ca: str
    slow: bool

    def environ(self) -> dict[str, str]:
        known = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "KALTURA_"))}
        trust = dict.fromkeys(("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE"), self.ca)
        return {
            **known,
            **(trust if self.ca else {}),
            "AWS_ACCESS_KEY_ID": "bench",
            "AWS_SECRET_ACCESS_KEY": "bench",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": self.sink,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_REQUEST_CHECKSUM_CALCULATION": "when_supported",
        }

    def ask(self, path: str) -> Any:
        import ssl

        context = ssl.create_default_context(cafile=self.ca) if self.ca else None
        with urllib.request.urlopen(f"{self.sink}{path}", context=context) as answer:  # noqa: S310 - loopback
            return json.load(answer)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def wait_for(port: int) -> None:
    for _ in range(200):
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError(f"nothing listens on port {port}")


@contextmanager
def servers(folder: Path, *, tls: bool, slow: bool) -> Iterator[Servers]:
    """nginx and s3sink, until the end of the block."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    if tls:
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "9",
             "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert],
            check=True, capture_output=True,
        )  # fmt: skip
    web, s3 = free_port(), free_port()
    echo = f"load_module {ECHO_MODULE};" if slow else ""
    where = f"location /f/ {{ echo_sleep {KALTURA_MS / 1000}; echo_exec /g$uri; }}" if slow else ""
    root = f"location /g/f/ {{ internal; alias {folder}/f/; autoindex on; }}" if slow else ""
    listen = f"listen 127.0.0.1:{web} {'ssl' if tls else ''}; " + (
        f"ssl_certificate {cert}; ssl_certificate_key {key}; ssl_session_tickets off;" if tls else ""
    )
    (folder / "nginx.conf").write_text(
        f"{echo} user root; worker_processes 2; daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log;"
        "events { worker_connections 1024; }"
        f"http {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000; server {{ {listen}"
        f"root {folder}; autoindex on; {where} {root} }} }}"
    )
    binary = folder / "s3sink"
    if not binary.exists():
        flags = ["-O2", "-msse4.2", "-pthread", "-w"]
        subprocess.run(["gcc", *flags, "-o", binary, SINK_SOURCE, "-lssl", "-lcrypto", "-lz"], check=True)
    sink = [str(binary), "--port", str(s3), *(["--tls", str(cert), str(key)] if tls else [])]
    commands = [["nginx", "-c", f"{folder}/nginx.conf"], sink + (["--latency-ms", str(S3_MS)] if slow else [])]
    running = [subprocess.Popen(command, stderr=subprocess.DEVNULL) for command in commands]
    try:
        for port in (web, s3):
            wait_for(port)
        scheme = "https" if tls else "http"
        found = Servers(f"{scheme}://127.0.0.1:{web}/f/", f"{scheme}://127.0.0.1:{s3}", str(cert) if tls else "", slow)
        yield found
    finally:
        for process in running:
            process.terminate()
            process.wait()


def fill(folder: Path, name: str, work: Work) -> list[str]:
    """The files of a workload: at most 16 distinct contents, the others are further names of them."""
    (folder / "f" / name).mkdir(parents=True, exist_ok=True)
    names = [f"{i:05}.mp4" for i in range(work.count)]
    block = os.urandom(2**20)  # a child's peak is never less than what its parent had
    for i, file_name in enumerate(names):
        path = folder / "f" / name / file_name
        if i >= 16:
            os.link(folder / "f" / name / names[i % 16], path)
            continue
        with path.open("wb") as file:
            file.write(i.to_bytes(8, "big"))
            while (room := work.size_bytes - file.tell()) > 0:
                file.write(block[:room])
    return names


# Contenders: ours


def _ours(action: str, name: str, work: Work, where: Servers, options: dict[str, Any]) -> None:
    """Move the files of a workload by the tool's own classes; runs in a process of its own."""
    from kaltura_archiver.apply.upload import checked
    from kaltura_archiver.config import read_settings
    from kaltura_archiver.kaltura import Kaltura, session
    from kaltura_archiver.kaltura.wire import WireClient
    from kaltura_archiver.model import FlavorAsset, FlavorStatus
    from kaltura_archiver.store import Store

    pause = KALTURA_MS / 1000 if where.slow else 0.0

    class FixedClient(WireClient):
        """Answers without asking, after the pause; only chunks are really sent, to a sink that swallows them."""

        def doHttpRequest(self, url: str, params: Any = None, files: Any = None) -> bytes:
            if pause:  # a sleep of no time gives way to the other threads
                time.sleep(pause)
            self.responseHeaders: Any = {}
            fields = params.get()
            if url.endswith("/action/getUrl"):
                return f"<xml><result>{where.source}{name}/{fields['id']}</result></xml>".encode()
            if files:
                super().doHttpRequest(f"{where.sink}/_drain", params, files)
            token = f"<id>t</id><status>2</status><uploadedFileSize>{work.size_bytes}</uploadedFileSize>"
            return f"<xml><result><objectType>KalturaUploadToken</objectType>{token}</result></xml>".encode()

    session.WireClient = FixedClient  # type: ignore[misc]
    settings = read_settings(None)
    kaltura = Kaltura(settings, read_only=False)
    kaltura._ks = "fixed"
    store = Store(settings, read_only=False)
    store._is_amazon = True  # else there would be MD5s until the first object was looked at

    def copy(file_name: str) -> None:
        flavor = FlavorAsset(file_name, "e", "1", FlavorStatus.READY, is_original=True, size_bytes=work.size_bytes)
        with kaltura.content(flavor) as content:
            metadata = {"entry-id": file_name}
            store.write(file_name, content, content.size_bytes, metadata=metadata, storage_class="STANDARD")

    def restore(file_name: str) -> None:
        stored = store.head(file_name, with_tags=False)
        if stored is None:
            raise RuntimeError(f"{file_name} is not there")
        taken = store.fingerprinter(replace(stored, tags={"sha256": "as s3copy leaves it"}), own=True)
        with store.read(stored) as content:
            chunks = checked(content, taken, stored.size_bytes, lambda: None)
            kaltura.upload("t", file_name, stored.size_bytes, chunks)
        taken.result()

    gc.freeze()  # as every run has it
    names = [f"{i:05}.mp4" for i in range(work.count)]
    with ThreadPoolExecutor(work.workers) as pool:
        list(pool.map(copy if action == "copy" else restore, names))


def _upload_fileobj(action: str, name: str, work: Work, where: Servers, options: dict[str, Any]) -> None:
    """The plain way: boto3's upload_fileobj from the stream of a response, with as many threads."""
    import boto3
    import requests
    from boto3.s3.transfer import TransferConfig

    s3 = boto3.client("s3")
    local = threading.local()
    config = TransferConfig(max_concurrency=options.get("threads", 4))

    def one(file_name: str) -> None:
        if not hasattr(local, "session"):
            local.session = requests.Session()
        if where.slow:
            time.sleep(KALTURA_MS / 1000)
        with local.session.get(f"{where.source}{name}/{file_name}", stream=True) as response:
            s3.upload_fileobj(response.raw, BUCKET, file_name, Config=config)

    with ThreadPoolExecutor(work.workers) as pool:
        list(pool.map(one, [f"{i:05}.mp4" for i in range(work.count)]))


INSIDE = {"ours": _ours, "upload_fileobj": _upload_fileobj}


# Contenders: others


def rclone(binary: str, name: str, work: Work, where: Servers, *more: str) -> list[str]:
    return [
        binary, "copy", ":http:", f":s3:{BUCKET}", "--config", "", "--http-url", f"{where.source}{name}/",
        "--s3-provider", "Other", "--s3-endpoint", where.sink, "--s3-env-auth", "--s3-force-path-style",
        "--s3-no-check-bucket", "--s3-no-head", "--no-traverse", "--no-check-dest", "--retries", "1",
        "--transfers", str(work.workers), "--checkers", str(max(8, work.workers)), "--stats", "0", *more,
    ]  # fmt: skip


def contenders(
    name: str, work: Work, where: Servers, tools: Path, *, restore: bool, beside: Path | None = None
) -> dict[str, Callable[[], Took]]:
    environ = where.environ() | {
        "KALTURA_PARTNERID": "1", "KALTURA_SECRET": "x", "KALTURA_SERVICE_URL": where.sink, "AWS_BUCKET": BUCKET,
    }  # fmt: skip

    def inside(which: str, root: Path = HERE.parents[1], **options: Any) -> Took:
        told = {"name": name, "work": vars(work), "where": vars(where), "options": options}
        command = [sys.executable, str(root / "bench" / HERE.name), "--inside", which]
        command += ["restore" if restore else "copy", json.dumps(told)]
        return run(command, environ=environ | {"PYTHONPATH": str(root)})

    def fresh(start: Callable[[], Took]) -> Took:
        if not restore:
            where.ask("/_reset")
        return start()

    found: dict[str, Callable[[], Took]] = {"ours": partial(inside, "ours")}
    if beside:
        found["ours, there"] = partial(inside, "ours", beside)
    if restore:
        aws, verify = tools / "aws", ["--cacert", where.ca] if where.ca else []
        relay = f"{aws} s3 cp s3://{BUCKET}/{{}} - | curl -s {' '.join(verify)} -T - {where.sink}/_drain"
        listing = "seq -f '%05.0f.mp4' 0 " + str(work.count - 1)
        found["aws | curl"] = partial(
            run, f"{listing} | xargs -P {work.workers} -I{{}} sh -c '{relay}'", environ=environ, shell=True
        )  # fmt: skip
    else:
        found["upload_fileobj"] = partial(inside, "upload_fileobj")
        binary = str(tools / "rclone")
        # What checks content: an MD5 with each part, or a CRC32 by the SDK.
        cutoff = "5M" if work.size_bytes > 5 * 2**20 else "0"
        multi = ["--s3-upload-cutoff", cutoff, "--s3-chunk-size", "16M", "--s3-upload-concurrency", "4"]
        found["rclone, MD5"] = partial(run, rclone(binary, name, work, where, *multi), environ=environ)
        put = ["--s3-upload-cutoff", "5G", "--multi-thread-streams", "0"]
        if work.count == 1:
            found["rclone, MD5, one stream"] = partial(
                run, rclone(binary, name, work, where, *multi, *put[2:]), environ=environ
            )
        if where.ca:  # without TLS the SDK wants to read the stream twice
            found["rclone, CRC32"] = partial(
                run,
                rclone(binary, name, work, where, *put, "--s3-use-data-integrity-protections=true"),
                environ=environ,
            )
        found["rclone, no hash"] = partial(
            run,
            rclone(binary, name, work, where, *put, "--s3-use-data-integrity-protections=false", "--ignore-checksum"),
            environ=environ,
        )
        verify = ["--cacert", where.ca] if where.ca else []
        pipe = f"curl -s {' '.join(verify)} {where.source}{name}/{{}} | "
        listing = "seq -f '%05.0f.mp4' 0 " + str(work.count - 1)
        for peer, command in (
            ("curl | s5cmd", f"{tools}/s5cmd --endpoint-url {where.sink} pipe s3://{BUCKET}/{{}}"),
            ("curl | aws", f"{tools}/aws s3 cp - s3://{BUCKET}/{{}} --expected-size {work.size_bytes}"),
        ):
            if work.count <= 200 and (tools / command.split()[0]).exists():
                found[peer] = partial(
                    run, f"{listing} | xargs -P {work.workers} -I{{}} sh -c '{pipe}{command}'", environ=environ,
                    shell=True,
                )  # fmt: skip
    return {who: partial(fresh, start) for who, start in found.items()}


def one_work(name: str, work: Work, asked: argparse.Namespace) -> None:
    """Print the table of one workload."""
    tls, rounds, restore, tools = asked.tls, asked.rounds, asked.restore, asked.tools
    only = {who.strip() for who in asked.only.split(";") if who}
    with tempfile.TemporaryDirectory(dir="/dev/shm") as temporary:
        folder = Path(temporary)
        fill(folder, name, work)
        with servers(folder, tls=tls, slow=work.slow) as where:
            everyone = contenders(name, work, where, tools, restore=restore, beside=asked.beside)
            if restore:
                contenders(name, work, where, tools, restore=False)["ours"]()
            took = in_turns({who: start for who, start in everyone.items() if not only or who in only}, rounds)
    gib = work.count * work.size_bytes / 2**30
    ours = median(took["ours"])
    rows = [["contender", "MiB/s", "ours / it", "CPU s per GiB", "ours / it", "peak MiB"]]
    for who, runs in took.items():
        one = median(runs)
        speeds = [f"{gib * 1024 / one.seconds:.0f}", f"{one.seconds / ours.seconds:.2f}"]
        cpu = [f"{one.cpu_seconds / gib:.2f}", f"{ours.cpu_seconds / one.cpu_seconds:.2f}"]
        rows.append([who, *speeds, *cpu, f"{one.peak_mib:.0f}"])
    way = "restore" if restore else "s3copy"
    sys.stdout.write(
        f"\n### {way} ({name}): {work.count} of {work.size_bytes / 2**20:g} MiB, {work.workers} workers, "
        f"{'TLS' if tls else 'plain'}, median of {rounds}\n\n{table(rows)}\n"
    )
    sys.stdout.flush()


def main() -> None:
    if sys.argv[1:2] == ["--inside"]:
        which, action, told = sys.argv[2:5]
        if which == "ours":  # as the command has it
            gc.set_threshold(50_000)
            atexit.register(gc.freeze)
        given = json.loads(told)
        INSIDE[which](action, given["name"], Work(**given["work"]), Servers(**given["where"]), given["options"])
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", default="a,b,c")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="a part of the work, for a quick look")
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--restore", action="store_true", help="restore's data path instead of s3copy's")
    parser.add_argument("--workers", type=int, help="so many instead of the workload's own")
    parser.add_argument("--beside", type=Path, help="another checkout of the tool, measured in turns")
    parser.add_argument("--only", default="", help="some of the contenders, A;B; ours is needed")
    parser.add_argument("--tools", type=Path, default=Path(shutil.which("rclone") or "/usr/bin/rclone").parent)
    asked = parser.parse_args()
    for name in asked.work.split(","):
        work = WORKS[name]
        if work.count == 1:
            work = Work(1, int(work.size_bytes * asked.scale), work.workers)
        else:
            work = Work(max(1, int(work.count * asked.scale)), work.size_bytes, work.workers, work.slow)
        if asked.workers:
            work = replace(work, workers=asked.workers)
        one_work(name, work, asked)


if __name__ == "__main__":
    main()
