#!/usr/bin/env python3
"""Enrich long tables against a real slapd on loopback, over LDAPS: searches, peak memory, seconds.

Run with the project's Python: .venv/bin/python bench/enrich.py. Needs Debian's package slapd.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from measure import table

sys.path.append(str(Path(__file__).parent.parent / "tests"))
from slapd import Authority, Slapd, person


def rows(number: int, owners: int) -> Iterator[str]:
    """A table as `list` writes it, owners drawn by chance, the last of them late."""
    draw = random.Random(6)
    yield (
        "last_played_date\tplays\tentry_id\tstatus\tarchived_to_s3\tflavors_deleted\tcreated_date\tcreated\t"
        "creator_id\tcategory_ids\tcategories\n"
    )
    for n in range(number):
        owner = draw.randrange(min(owners, 1 + n * owners // number + owners // 20))
        yield (
            f"2020-02-03\t{n % 90}\t1_{n:08x}\t2\tTrue\tFalse\t2015-09-10\t1441843200\tu{owner:05}@example.edu\t"
            "12345,67890\tCampus>History>Lectures,Campus>Library\n"
        )


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000])
    options.add_argument("--owners", type=int, default=5_000)
    options.add_argument("--size-limit", type=int, default=500, help="of the server, for one search")
    wanted = options.parse_args()
    found = [["rows", "owners", "active", "searches", "peak MiB", "first row after", "seconds", "rows/s"]]
    with tempfile.TemporaryDirectory() as folder:
        authority = Authority.named("bench")
        people = (
            person(f"u{n:05}", state="enabled" if n % 3 else "disabled", displayName=f"Number {n}", ou=f"Unit {n % 40}")
            for n in range(wanted.owners)
        )
        server = Slapd(
            Path(folder) / "slapd", authority.server("localhost"), authority.pem, people, size_limit=wanted.size_limit
        )
        try:
            for number in wanted.rows:
                found.append(enriched(number, wanted.owners, {**os.environ, **server.environ()}))
        finally:
            server.stop()
    sys.stdout.write(f"{table(found)}\n")
    return 0


def peak_mib(pid: int) -> float:
    """The largest resident memory of a process so far; 0 when it has ended."""
    with suppress(OSError, StopIteration):
        status = Path(f"/proc/{pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")) / 1024
    return 0.0


def enriched(number: int, owners: int, environ: dict[str, str]) -> list[str]:
    """One run through a pipe, fed as fast as it reads. Raises RuntimeError if a row is missing or out of order."""
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "kaltura_archiver", "enrich"], env=environ, encoding="utf-8", stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    if process.stdin is None or process.stdout is None or process.stderr is None:
        raise RuntimeError("no pipes")
    stdin, fed = process.stdin, 0
    peak = 0.0

    def feed() -> None:
        nonlocal fed
        with stdin:
            for line in rows(number, owners):
                stdin.write(line)
                fed += 1

    threading.Thread(target=feed, daemon=True).start()
    process.stdout.readline()
    count = active = waited = 0
    for line in process.stdout:
        cells = line.rstrip("\n").split("\t")
        if cells[2] != f"1_{count:08x}" or cells[11] not in ("active", "inactive"):
            raise RuntimeError(f"row {count}: {line}")
        waited = waited or fed
        active += cells[11] == "active"
        count += 1
        if count % 500 == 0:
            peak = max(peak, peak_mib(process.pid))
    said = process.stderr.read()
    searches = re.search(r"(\d+) searches", said)
    if process.wait() or count != number or not searches:
        raise RuntimeError(f"{count} of {number} rows: {said}")
    seconds = time.monotonic() - began
    return [
        str(number), str(owners), str(active), searches.group(1), f"{peak:.1f}", f"{waited} rows in", f"{seconds:.1f}",
        f"{number / seconds:.0f}",
    ]  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
