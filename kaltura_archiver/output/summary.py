"""The sum of a run, its exit status, and its figures for CloudWatch."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from kaltura_archiver.model import Cause, Outcome, so_many
from kaltura_archiver.output.tables import readable_bytes

if TYPE_CHECKING:
    from kaltura_archiver.results import Result, Traffic


# How many entries ended how, and why.
Causes = Counter[tuple[Outcome, Cause | None]]


def counted(causes: Causes) -> str:
    """`done 12, skipped 5 (3 too young: --min-age-years)`; empty for no entries."""

    def one(outcome: Outcome) -> str:
        why = ", ".join(f"{causes[outcome, cause]} {cause}" for cause in Cause if causes[outcome, cause])
        number = causes[outcome, None] + sum(causes[outcome, cause] for cause in Cause)
        return f"{outcome} {number}{f' ({why})' if why else ''}" if number else ""

    return ", ".join(filter(None, map(one, Outcome)))


def counted_outcomes(outcomes: Counter[Outcome]) -> str:
    """`refused 8, waiting 1`, where nothing is known of causes."""
    return counted(Counter({(outcome, None): number for outcome, number in outcomes.items()}))


class Totals:
    """What a run has done so far. `traffic` tells how many requests it has made."""

    def __init__(self, traffic: Callable[[], Traffic]) -> None:
        self.started_at = time.time()
        self._began = time.monotonic()
        self._traffic = traffic
        self.outcomes: Counter[Outcome] = Counter()
        self.causes: Causes = Counter()
        self.bytes_moved = self.bytes_freed = 0
        self.streams = 0  # of these entries, further streams of others

    def add(self, result: Result) -> None:
        self.streams += bool(result.member_of)
        self.outcomes[result.outcome] += 1
        self.causes[result.outcome, result.cause] += 1
        self.bytes_moved += result.bytes_moved
        self.bytes_freed += result.bytes_freed

    def figures(self) -> dict[str, int | float]:
        """The figures of the run until now, beside its outcomes."""
        seconds = round(time.monotonic() - self._began, 1)
        moved = {"bytes_moved": self.bytes_moved, "bytes_freed": self.bytes_freed}
        return {"seconds": seconds, **moved, **asdict(self._traffic())}

    def counts(self) -> str:
        """`done 12, failed 1`"""
        return counted(self.causes)

    def told(self, bytes_moved: int, bytes_freed: int, bytes_read: int = 0, *, dry: bool, people: bool) -> str:
        """The summary of the run. Of a `dry` one the bytes are what it would move, free, and only read."""
        seconds, counts = self.figures()["seconds"], self.counts() or "nothing to do"
        if people:
            entries = so_many(self.outcomes.total())
            moved = f"{'would move' if dry else 'moved'} {readable_bytes(bytes_moved)}"
            read = f", read {readable_bytes(bytes_read)}" if bytes_read else ""
            freed = f", {'free' if dry else 'freed'} {readable_bytes(bytes_freed)} in Kaltura" if bytes_freed else ""
            return f"{counts}; {moved}{read}{freed}; {entries} in {seconds} s"
        done, to_do = ("bytes moved", "bytes freed", "bytes read"), ("bytes to move", "bytes to free", "bytes to read")
        moved, freed, read = to_do if dry else done
        figures = f"{moved} {bytes_moved}, {freed} {bytes_freed}" + (f", {read} {bytes_read}" if bytes_read else "")
        return f"summary: {counts}; {figures}; {self.outcomes.total()} entries in {seconds} s"

    def told_of_reading(self, bytes_to_thaw: int, *, people: bool) -> str:
        """The summary of a run that reads copies back, also where it is a dry one, and may ask for more to thaw."""
        seconds, counts = self.figures()["seconds"], self.counts() or "nothing to do"
        if people:
            thaw = f", would thaw {readable_bytes(bytes_to_thaw)}" if bytes_to_thaw else ""
            read = readable_bytes(self.bytes_moved)
            return f"{counts}; read {read}{thaw}; {so_many(self.outcomes.total())} in {seconds} s"
        thaw = f", bytes to thaw {bytes_to_thaw}" if bytes_to_thaw else ""
        return f"summary: {counts}; bytes read {self.bytes_moved}{thaw}; {self.outcomes.total()} entries in {seconds} s"


NAMESPACE = "KalturaArchiver"
# What CloudWatch makes of a run: the name of the metric, its unit, and whose figure it is.
METRICS = (
    ("Done", "Count", Outcome.DONE), ("Failed", "Count", Outcome.FAILED), ("Waiting", "Count", Outcome.WAITING),
    ("BytesMoved", "Bytes", "bytes_moved"), ("BytesFreed", "Bytes", "bytes_freed"), ("Seconds", "Seconds", "seconds"),
    ("KalturaCalls", "Count", "kaltura_calls"), ("S3Calls", "Count", "s3_calls"), ("Retries", "Count", "retries"),
)  # fmt: skip


def metrics(totals: Totals, *, bucket: str, command: str) -> dict[str, Any]:
    """The members of a JSON log line by which CloudWatch Logs takes the run's figures for metrics.

    Source: CloudWatch's "Embedded metric format" specification.
    """
    figures: dict[str, int | float] = {**{str(o): n for o, n in totals.outcomes.items()}, **totals.figures()}
    directive = {
        "Namespace": NAMESPACE,
        "Dimensions": [["Bucket", "Command"]],
        "Metrics": [{"Name": name, "Unit": unit} for name, unit, _ in METRICS],
    }
    return {
        "_aws": {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [directive]},
        "Bucket": bucket,
        "Command": command,
        **{name: figures.get(figure, 0) for name, _, figure in METRICS},
    }
