"""Memory and time of `list` as the library grows: bench/scale.py [ENTRIES …], by default 10,000 100,000 1,000,000."""

from __future__ import annotations

import sys

from listing import fixed_kaltura
from measure import run, table


def main() -> None:
    sizes = [int(text) for text in sys.argv[1:]] or [10_000, 100_000, 1_000_000]
    rows = [["entries", "seconds", "CPU seconds", "CPU µs per entry", "peak MiB", "peak, of the first"]]
    first = 0.0
    for entries in sizes:
        with fixed_kaltura(entries) as environ:
            took = run([sys.executable, "-m", "kaltura_archiver", "list", "--max-entries", "-1"], environ=environ)
        first = first or took.peak_mib
        rows.append(
            [f"{entries:,}", f"{took.seconds:.1f}", f"{took.cpu_seconds:.1f}",
             f"{took.cpu_seconds * 1e6 / entries:.0f}", f"{took.peak_mib:.0f}", f"{took.peak_mib / first:.2f}"]
        )  # fmt: skip
        sys.stderr.write(f"  {entries}: {took.seconds:.1f} s\n")
    print(table(rows))  # noqa: T201


if __name__ == "__main__":
    main()
