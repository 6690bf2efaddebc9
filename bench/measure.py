"""What the benchmarks share: commands run in turns, what each took, and ratios of medians."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Took:
    """One run: wall and CPU time of the process and all its children, and its largest resident memory."""

    seconds: float
    cpu_seconds: float
    peak_mib: float
    code: int = 0


def run(
    command: Sequence[str],
    *,
    environ: Mapping[str, str] | None = None,
    stdin: int = subprocess.DEVNULL,
    shell: bool = False,
) -> Took:
    """Run a command to its end. Raises RuntimeError, with what it said last, if it fails."""
    began = time.monotonic()
    process = subprocess.Popen(
        command, env=dict(environ) if environ is not None else None, stdin=stdin, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, shell=shell,
    )  # fmt: skip
    said: list[bytes] = []
    reader = threading.Thread(target=lambda: said.extend(process.stderr or []))
    reader.start()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    reader.join()
    if process.returncode:
        raise RuntimeError(f"{command!r} returned {process.returncode}: {b''.join(said[-5:]).decode(errors='replace')}")
    return Took(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def resident_mib(pid: int) -> float:
    """The resident memory of a process now; 0 when it has ended."""
    with suppress(OSError, IndexError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES / 2**20
    return 0.0


def in_turns(contenders: Mapping[str, Callable[[], Took]], rounds: int) -> dict[str, list[Took]]:
    """Each contender once per round, in an order that turns, so that a noisy moment hits them all alike."""
    took: dict[str, list[Took]] = {name: [] for name in contenders}
    names = list(contenders)
    for turn in range(rounds):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            took[name].append(contenders[name]())
            sys.stderr.write(f"  {name}: {took[name][-1].seconds:.2f} s\n")
    return took


def median(took: Sequence[Took]) -> Took:
    """The median of each figure; the peak is the largest of all."""
    return Took(
        statistics.median(t.seconds for t in took),
        statistics.median(t.cpu_seconds for t in took),
        max(t.peak_mib for t in took),
    )


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows of equal length as a Markdown table, the first one its head."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def against(took: Mapping[str, Sequence[Took]], base: str) -> str:
    """A table of medians, and how fast each contender is beside that one."""
    rows = [["", "seconds", "CPU seconds", "peak MiB", f"speed, of {base}"]]
    base_seconds = median(took[base]).seconds
    for name, runs in took.items():
        m = median(runs)
        figures = (f"{m.seconds:.2f}", f"{m.cpu_seconds:.2f}", f"{m.peak_mib:.0f}", f"{base_seconds / m.seconds:.2f}")
        rows.append([name, *figures])
    return table(rows)
