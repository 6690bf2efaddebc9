"""CPU time of `--help` beside `python -c "import click"`, and of what `list` imports: bench/startup.py [ROUNDS]."""

from __future__ import annotations

import sys

from measure import in_turns, median, run, table

COMMANDS = {
    "import click": ["-c", "import click"],
    "--help": ["-m", "kaltura_archiver", "--help"],
    "list --help": ["-m", "kaltura_archiver", "list", "--help"],
    "imports of list": ["-c", "import kaltura_archiver.cli, kaltura_archiver.selection"],
    "imports of health": ["-c", "import kaltura_archiver.cli, kaltura_archiver.survey"],
}


def main() -> None:
    rounds = int(sys.argv[1]) if sys.argv[1:] else 7
    took = in_turns(
        {name: lambda c=c: run([sys.executable, *c]) for name, c in COMMANDS.items()},  # type: ignore[misc]
        rounds,
    )
    base = median(took["import click"])
    rows = [["", "CPU seconds", "of import click"]]
    for name, runs in took.items():
        m = median(runs)
        rows.append([name, f"{m.cpu_seconds:.3f}", f"{m.cpu_seconds / base.cpu_seconds:.2f}"])
    print(f"medians of {rounds}\n\n{table(rows)}")  # noqa: T201


if __name__ == "__main__":
    main()
