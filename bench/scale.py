"""Memory, time and requests as the library grows, of `list`, and of `run --check` beside `plan`.

    bench/scale.py S3SINK [ENTRIES …]        10,000 and 100,000 entries, none of them archived

S3SINK is the built s3sink (shared/tools/s3sink.c tells how); Kaltura is bench/fixed_kaltura.py.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from urllib.request import urlopen

from health import BUCKET, sink
from listing import fixed_kaltura
from measure import run, table

POLICY = """
[[rule]]
name = "unplayed for two years"
select = { unplayed_for = 2 }
archive = {}
replace = { archived_for = "30d" }
"""


def commands(folder: Path) -> dict[str, Sequence[str]]:
    (folder / "policy.toml").write_text(POLICY)
    plan = ["--unplayed-for", "2", "--max-entries", "-1", "--force", "--output", str(folder / "plan.jsonl")]
    return {
        "list": ["list", "--max-entries", "-1"],
        "plan archive": ["plan", "archive", *plan],
        "run --check": ["run", str(folder / "policy.toml"), "--check"],
    }


def main() -> None:
    program, *numbers = sys.argv[1:]
    rows = [["command", "entries", "seconds", "CPU seconds", "CPU µs per entry", "peak MiB", "requests to Kaltura"]]
    with tempfile.TemporaryDirectory() as folder, sink(program, 0) as s3:
        for entries in [int(text) for text in numbers] or [10_000, 100_000]:
            with fixed_kaltura(entries, "initial") as environ:
                url = environ["KALTURA_SERVICE_URL"]
                environ |= {
                    "AWS_BUCKET": BUCKET, "AWS_ENDPOINT_URL": s3, "AWS_ACCESS_KEY_ID": "x",
                    "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": "us-east-1",
                }  # fmt: skip
                for name, arguments in commands(Path(folder)).items():
                    before = _requests(url)
                    took = run([sys.executable, "-m", "kaltura_archiver", *arguments], environ=environ)
                    rows.append(
                        [name, f"{entries:,}", f"{took.seconds:.1f}", f"{took.cpu_seconds:.1f}",
                         f"{took.cpu_seconds * 1e6 / entries:.0f}", f"{took.peak_mib:.0f}",
                         f"{_requests(url) - before - 1:,}"]
                    )  # fmt: skip
                    sys.stderr.write(f"  {name}, {entries}: {took.seconds:.1f} s\n")
    print(table(rows))  # noqa: T201


def _requests(url: str) -> int:
    """How many there were, this one counted."""
    with urlopen(url) as answer:  # noqa: S310 - our own server
        return int(answer.read())


if __name__ == "__main__":
    main()
