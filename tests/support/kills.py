"""`kill -9` of s3copy at random times, then one run to completion: nothing is missing, wrong or left over.

Every run is a fresh process on one sandbox that stays up. A kill comes after a random number of requests of that run
and a random pause, so that slow and fast machines kill in the same places: signing in, selecting, in the middle of
uploads, between object and tags. One in five comes by the clock alone, and then mostly hits the start of the process;
one in five comes while the parts of a large original are on their way.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from looking import big, free_locks, proof

from kaltura_archiver.model import ARCHIVED_TAG
from kaltura_archiver.sandbox.world import Sandbox

OTHER_TAG = "lecture"
PART_EVERY = 16  # each so many entries one has an original of several parts
PART_MEBIBYTES = 17
# A kill comes after at most so many requests times its share of the entries. An entry takes some ten of them,
REQUESTS_PER_ENTRY = 15
FEWEST_REQUESTS = 3  # and at least so many if a killed run had begun with it.
BY_THE_CLOCK, IN_PARTS = 0, 1  # of each five kills, the first and the second
HANGS_SECONDS = 300.0


@dataclass
class Report:
    """What happened, and what is wrong at the end; nothing is, if all is well."""

    entries: int
    seed: int
    kills: int = 0
    at: Counter[str] = field(default_factory=Counter)  # the last request before each kill
    ended_early: int = 0
    archived_by_killed: int = 0
    uploads_left_by_killed: int = 0
    seconds: float = 0.0
    finish: Counter[str] = field(default_factory=Counter)
    again: Counter[str] = field(default_factory=Counter)
    objects: int = 0
    object_bytes: int = 0
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        last = ", ".join(f"{name} {count}" for name, count in self.at.most_common())
        lines = [
            f"seed {self.seed}: {self.entries} entries, {self.kills} kills of s3copy, {self.seconds:.0f} s",
            f"the last request before a kill: {last}",
            f"runs that had ended before their kill: {self.ended_early}",
            f"entries tagged by killed runs: {self.archived_by_killed}",
            f"multipart uploads that kills left, summed over the kills: {self.uploads_left_by_killed}",
            f"run to completion: {dict(self.finish)}",
            f"one more run: {dict(self.again)}",
            f"objects: {self.objects}, {self.object_bytes} bytes",
            *(f"WRONG: {text}" for text in self.wrong),
            f"verdict: {'WRONG' if self.wrong else 'all well'}",
        ]
        return "\n".join(lines)


class Killing:
    """One sandbox with entries to archive, and the processes that are set on it."""

    def __init__(self, sandbox: Sandbox, folder: Path, *, entries: int, workers: int, seed: int) -> None:
        self.sandbox = sandbox
        self.work = folder / "work"
        self.work.mkdir()
        self.errors = folder / "stderr"
        self.workers = workers
        self.random = random.Random(seed)
        self.report = Report(entries, seed)
        self.videos: dict[str, bytes] = {}
        for number in range(entries):
            video = big(sandbox, PART_MEBIBYTES) if number % PART_EVERY == PART_EVERY - 1 else sandbox.video()
            # Some already have a tag of somebody's, which has to stay.
            tags = OTHER_TAG if number % 2 else ""
            self.videos[sandbox.add("initial", content=video, tags=tags)] = video
        self.original_ids = {entry_id: self._original(entry_id) for entry_id in self.videos}

    def _original(self, entry_id: str) -> str:
        original = self.sandbox.kaltura.original(entry_id)
        return f"{original.id}@{original.version}" if original else "none"

    def start(self, *selection: str) -> subprocess.Popen[str]:
        command = [
            "s3copy",
            *selection,
            "--max-entries",
            "-1",
            "--workers",
            str(self.workers),
            "--no-dry-run",
            "--no-lock",
            "--no-run-log",
        ]
        environ = {"PATH": os.environ["PATH"], "TMPDIR": str(self.work), **self.sandbox.environ()}
        environ["PYTHONPATH"] = os.environ.get("PYTHONPATH", "")
        with self.errors.open("a") as errors:
            return subprocess.Popen(
                [sys.executable, "-m", "kaltura_archiver", *command],
                cwd=self.work,
                env=environ | {"AWS_EC2_METADATA_DISABLED": "true"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )

    def kill_one(self, number: int, kills: int) -> None:
        """Start a run, and kill it at a random request, before or after that is acted upon; or at a random time."""
        control = self.sandbox.control
        control.clear_log()
        process = self.start("--tag", f"!{ARCHIVED_TAG}")
        if number % 5 == BY_THE_CLOCK:
            time.sleep(self.random.uniform(0, 2))
        else:
            left = len(self.videos) - self._archived()
            most = max(min(REQUESTS_PER_ENTRY * len(self.videos) // kills, FEWEST_REQUESTS * left), 1)
            in_parts = number % 5 == IN_PARTS and self._parts_to_come()
            operation, request = ("s3.UploadPart", 1) if in_parts else ("*", self.random.randint(1, most))
            when = self.random.choice(["before", "after"])
            # Made while Python starts, long before the first request.
            control.add_fault(operation, "none", skip=request - 1, **{when: lambda _: process.kill()})
            process.wait(HANGS_SECONDS)
            control.clear_faults()
        process.kill()
        process.communicate()
        if process.returncode == -signal.SIGKILL:
            self.report.kills += 1
        else:
            self.report.ended_early += 1
        seen = control.requests()
        self.report.at[seen[-1].operation if seen else "none yet"] += 1
        self.report.uploads_left_by_killed += len(self.sandbox.s3.uploads())
        self.sandbox.s3.wait_until_idle()  # what was on its way is still acted upon
        free_locks(self.sandbox)  # the process is known to be dead: nobody need wait until its lock expires

    def finish(self) -> Counter[str]:
        """Run over all entries to the end; what became of how many."""
        process = self.start("--all")
        out, _ = process.communicate(timeout=HANGS_SECONDS)
        if process.returncode != 0:
            self.report.wrong.append(f"the run to completion ended with {process.returncode}")
        header, *lines = out.splitlines() or [""]
        outcome = header.split("\t").index("outcome") if lines else 0
        return Counter(line.split("\t")[outcome] for line in lines)

    def judge(self) -> None:
        """Compare what the servers hold with what they ought to, not with what the tool said."""
        sandbox, report, wrong = self.sandbox, self.report, self.report.wrong
        if self.work.exists() and list(self.work.iterdir()):
            wrong.append(f"files left: {[path.name for path in self.work.iterdir()]}")
        if sandbox.s3.uploads():
            wrong.append(f"multipart uploads left: {sandbox.s3.uploads()}")
        if [key for key in sandbox.s3.keys() if not key.startswith("locks/")] != sorted(self.videos):  # noqa: SIM118
            wrong.append("the bucket has other objects than one for each entry")
        if tokens := [token.id for token in sandbox.kaltura.tokens.values() if token.status not in (3, 5)]:
            wrong.append(f"upload tokens left: {tokens}")
        for number, (entry_id, video) in enumerate(self.videos.items()):
            body = sandbox.s3.body(entry_id) or b""
            report.objects += bool(body)
            report.object_bytes += len(body)
            digest = hashlib.sha256(video).hexdigest()
            if body != video:
                wrong.append(f"{entry_id}: the object has {len(body)} bytes that are not the {len(video)} of the video")
            shown = proof(sandbox, entry_id, "checksum", video)
            expected = {"sha256": digest, "flavor": self.original_ids[entry_id], "proof": shown}
            if sandbox.s3.tags(entry_id) != expected:
                wrong.append(f"{entry_id}: the object is tagged {sandbox.s3.tags(entry_id)}, not {expected}")
            tags = f"{OTHER_TAG}, {ARCHIVED_TAG}" if number % 2 else ARCHIVED_TAG
            if sandbox.kaltura.entries[entry_id].tags != tags:
                wrong.append(f"{entry_id}: the entry is tagged {sandbox.kaltura.entries[entry_id].tags!r}")
            if self._original(entry_id) != self.original_ids[entry_id]:
                wrong.append(f"{entry_id}: its original in Kaltura is another one")
        told = self.errors.read_text(errors="replace")
        if any(secret in told for secret in sandbox.secrets()):
            wrong.append("a secret on stderr")
        if "Traceback" in told:
            wrong.append("a traceback on stderr")

    def run(self, kills: int, say: Callable[[str], None]) -> Report:
        started = time.monotonic()
        for number in range(kills):
            self.kill_one(number, kills)
            say(f"kill {number + 1} of {kills}: {self._archived()} of {len(self.videos)} entries are archived")
        report = self.report
        report.archived_by_killed = self._archived()
        report.finish = self.finish()
        self.judge()
        report.again = self.finish()
        if set(report.again) != {"already"} or report.again["already"] != len(self.videos):
            report.wrong.append(f"a second run still found something to do: {dict(report.again)}")
        report.seconds = time.monotonic() - started
        return report

    def _parts_to_come(self) -> bool:
        stored = set(self.sandbox.s3.keys())
        large = (entry_id for entry_id, video in self.videos.items() if len(video) >= PART_MEBIBYTES * 2**20)
        return any(entry_id not in stored for entry_id in large)

    def _archived(self) -> int:
        return sum(ARCHIVED_TAG in self.sandbox.kaltura.entries[entry_id].tags for entry_id in self.videos)


def kill_and_finish(
    *, entries: int, kills: int, workers: int, seed: int, say: Callable[[str], None] = lambda _: None
) -> Report:
    with tempfile.TemporaryDirectory(prefix="kills-") as folder:
        (directory := Path(folder) / "sandbox").mkdir()
        with Sandbox(directory, conversion_seconds=0.02, real_videos=False) as sandbox:
            killing = Killing(sandbox, Path(folder), entries=entries, workers=workers, seed=seed)
            return killing.run(kills, say)


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/kills", description="Kill s3copy at random times; see what is left.")
    parser.add_argument("--entries", type=int, default=500)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--seed", type=int, help="to do the same kills again [a new one, which is printed]")
    options = parser.parse_args()
    seed = random.SystemRandom().randrange(10**6) if options.seed is None else options.seed
    _say(f"seed {seed}")
    report = kill_and_finish(entries=options.entries, kills=options.kills, workers=options.workers, seed=seed, say=_say)
    sys.stdout.write(f"{report}\n")
    return 1 if report.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
