"""The fault walker: every request of a scenario, every kind of failure, and then: is the video still there?

A case is one scenario with one fault at its n-th request. It runs the commands as real processes against a sandbox in
this process, judges every moment between two requests from the servers' records (`truth`), then gives the same commands
again without faults until they reach their goal or name what a person has to decide.
"""

from __future__ import annotations

import argparse
import collections
import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from scenarios import ARCHIVED, PEOPLE_TAG, REPLACED, SCENARIOS, THIN, Scenario, Stage, edit_of
from truth import CATEGORIES, GAP, LATENT, RACE, Truth, digest
from zygote import HANGS_SECONDS, Run, Zygote

from kaltura_archiver.model import VERSION_STEP
from kaltura_archiver.sandbox.control import Request
from kaltura_archiver.sandbox.kaltura.records import SWITCH_STEPS, Content
from kaltura_archiver.sandbox.world import Sandbox

RERUNS = 4
CASES_PER_SANDBOX = 40
# libcurl looks once a second whether it has waited too long.
LATE_SECONDS = 0.9
# How many looks at an entry a conversion takes: time goes by requests, so that every run makes the same ones.
LOOKS_PER_CONVERSION = 3
# And how many it takes to see that somebody has set another original, and to end ours.
LOOKS_TO_CANCEL = 3
ALLOWED = (RACE, GAP, LATENT)
# Another author's upload between our last look and these calls is replaced by them; Kaltura has no compare-and-swap.
_UNGUARDED = ("media.updateContent", "media.addContent", "flavorAsset.delete")
_CONTENT = ("file.GET", "s3.GetObject", "s3.PutObject", "s3.UploadPart", "uploadToken.upload")


@dataclass(frozen=True)
class Point:
    """One request of a scenario's clean run."""

    index: int
    operation: str
    server: str
    writes: bool


@dataclass(frozen=True)
class Case:
    scenario: str
    point: Point
    kind: str

    def __str__(self) -> str:
        return f"--scenario {self.scenario} --at {self.point.index} --kind {self.kind}"


@dataclass
class Verdict:
    case: Case
    found: dict[str, str]
    met: bool
    runs: int
    seconds: float

    @property
    def failures(self) -> dict[str, str]:
        return {category: text for category, text in self.found.items() if category not in ALLOWED}


# The kinds of faults: which requests they can befall, and what they do.


def _any(point: Point) -> bool:
    return True


def _kaltura(point: Point) -> bool:
    return point.server == "kaltura"


@dataclass(frozen=True)
class Kind:
    """A fault of the sandbox's, which requests it can befall, and what happens before or after they are acted upon."""

    fault: str = "none"
    befalls: Callable[[Point], bool] = _any
    before: str = ""
    after: str = ""
    by_person: bool = False
    details: dict[str, Any] = field(default_factory=dict)


KINDS: dict[str, Kind] = {
    "kill-before": Kind("drop_before", before="kill"),
    "kill-after": Kind("drop_after", after="kill"),
    "term-before": Kind(before="terminate"),
    "term-after": Kind(after="terminate"),
    "drop-before": Kind("drop_before"),
    "drop-after": Kind("drop_after"),
    "http-500": Kind("http_500"),
    "http-503": Kind("http_503"),
    "blocked": Kind("error", _kaltura, details={"code": "ACTION_BLOCKED"}),
    "expired": Kind("error", _kaltura, details={"code": "INVALID_KS"}),
    "internal": Kind("error", _kaltura, details={"code": "INTERNAL_SERVERL_ERROR"}),
    "silence": Kind("delay", details={"seconds": 0.05}),
    # Acted upon only after the client has given it up.
    "late": Kind(before="wait", befalls=lambda point: point.writes or point.server == "file"),
    "garbage": Kind("garbage"),
    "empty": Kind("empty"),
    "empty-after": Kind("empty_after"),
    "cut": Kind("cut"),
    "cut-short": Kind("cut_short"),
    "flip": Kind("flip", lambda point: point.operation in _CONTENT),
    # From here on nothing answers any more, until the command has ended.
    "outage": Kind("drop_before", details={"times": 10**6}),
    "author-tags": Kind(before="change_tags", by_person=True),
    "author-replaces": Kind(before="replace", by_person=True),
    # Into the same flavor, while a replacement goes on (flavorAsset.setContent, the KMC's upload to a source).
    "author-sets": Kind(before="set_content", by_person=True),
    "author-deletes": Kind(before="delete", by_person=True),
    # While Kaltura refuses a call for now, without having done anything: it is made again, and not by the old look.
    "blocked-author-tags": Kind("error", _kaltura, "change_tags", by_person=True, details={"code": "ACTION_BLOCKED"}),
    "blocked-author-replaces": Kind("error", _kaltura, "replace", by_person=True, details={"code": "ACTION_BLOCKED"}),
    "author-recycles": Kind(before="recycle", by_person=True),
    "author-runs-same": Kind(before="run_same"),
    # The search behind Kaltura is out of reach: it answers that it finds nothing (real-kaltura E231).
    "search-silent": Kind(
        befalls=lambda point: point.operation == "eSearch.searchEntry", before="search_down", after="search_up"
    ),
    # The switch of a replacement is seen half done in another order than the one that was recorded (W40).
    "switch-entry-first": Kind(befalls=lambda point: point.operation == "media.updateContent", before="entry_first"),
    "switch-derived-first": Kind(
        befalls=lambda point: point.operation == "media.updateContent", before="derived_first"
    ),
    # The file of the last swap is set once more (kaltura-api 10.16), not soon after it but only now.
    "second-link": Kind(before="link_again"),
}


class Stuck(Exception):
    """The commands do not get to their goal."""


class Walk:
    """One case, from set-up to verdict."""

    def __init__(self, walker: Walker, scenario: Scenario, kind: Kind | None, index: int, number: int) -> None:
        self.sandbox = walker.sandbox()
        self.zygote = walker.zygote
        self.scenario = scenario
        self.kind = kind
        self.index = index
        self.folder = walker.folder / f"case-{number}"
        self.folder.mkdir()
        self.points: list[Point] = []
        self.met = False
        self.runs = 0
        self.run: Run | None = None
        self.stage = scenario.stages[0]
        self._looks = 0
        self._undone = False  # whether Kaltura's own late job will undo what a person has just uploaded
        self._unseen = False  # whether Kaltura does before anybody can have seen it, and ended that
        self._lasts = LOOKS_PER_CONVERSION + (LOOKS_TO_CANCEL if kind and kind.before == "set_content" else 0)
        self._acted = threading.Event()
        self._lock = threading.Lock()
        self._content = scenario.content(number)
        self._other = random_upload(number)
        self._set_up()

    def _set_up(self) -> None:
        sandbox, kaltura = self.sandbox, self.sandbox.kaltura
        kaltura.settings.entry_replacement = self.scenario.replacement
        kaltura.settings.search_down, kaltura.settings.switch_order = False, SWITCH_STEPS
        kaltura.settings.second_link_seconds, kaltura.settings.second_link_always = math.inf, True
        kaltura.tokens.clear()
        sandbox.control.clear_faults()
        sandbox.control.clear_log()
        entry_id = self.scenario.make(sandbox, self._content)
        self.truth = self._judge_of(entry_id, self._content)
        # Of a recording: its further streams, in which the same is found as evidence.
        streams = kaltura.library.children(kaltura.entries[entry_id])
        self.truths = [self.truth, *(self._judge_of(s.id, self.scenario.stream_of(s.id)) for s in streams)]
        for truth in self.truths:
            truth.found = self.truth.found
        # Whose of them other people are at.
        self.aimed = self.truths[self.index % len(self.truths)]
        self.truth.secrets |= {kaltura.secret, kaltura.app_token, sandbox.s3.secret_access_key}
        make, begin = type(kaltura.sessions)._make, type(sandbox.control).begin

        def make_and_note(*arguments: Any) -> str:
            ks = make(kaltura.sessions, *arguments)
            self.truth.secrets.add(ks)
            return ks

        def begin_and_judge(server: str, operation: str, **details: Any) -> Any:
            self._on_request(server, operation, details)
            return begin(sandbox.control, server, operation, **details)

        kaltura.sessions._make = make_and_note  # type: ignore[method-assign]
        sandbox.control.begin = begin_and_judge  # type: ignore[method-assign]
        self.environ = {
            **sandbox.environ(),
            "KALTURA_POLL_SECONDS": "0.005",
            "KALTURA_SETTLE_SECONDS": "0.005",
            "TMPDIR": str(self.folder / "work"),
        }
        self.environ |= {"PATH": os.environ.get("PATH", ""), "AWS_EC2_METADATA_DISABLED": "true", "HOME": "/nowhere"}
        self.environ["AWS_CONFIG_FILE"] = self.environ["AWS_SHARED_CREDENTIALS_FILE"] = "/nowhere"
        if not self.scenario.app_token:
            del self.environ["KALTURA_APP_TOKEN_ID"], self.environ["KALTURA_APP_TOKEN"]
            self.environ["KALTURA_SECRET"] = kaltura.secret
        self._arm()

    def _judge_of(self, entry_id: str, content: bytes) -> Truth:
        truth = Truth(self.sandbox, entry_id, self.scenario.in_place)
        truth.people_tags.add(PEOPLE_TAG)
        truth.real.add(digest(content))
        truth.kept.add(digest(content))
        if self.scenario.edited:
            truth.upload(edit_of(content))
            truth.kept.add(digest(edit_of(content)))  # it is what is shown
        return truth

    def _arm(self) -> None:
        if self.kind is None:
            return
        kind = self.kind
        actions = {
            "kill": self._kill, "terminate": self._terminate, "wait": self._wait, "change_tags": self._change_tags,
            "replace": self._replace, "delete": self._delete, "recycle": self._recycle, "run_same": self._run_same,
            "link_again": self._link_again, "set_content": self._set_content,
            "search_down": partial(setattr, self.sandbox.kaltura.settings, "search_down", True),
            "search_up": partial(setattr, self.sandbox.kaltura.settings, "search_down", False),
            "entry_first": partial(self._switch_in, "entry", "derived", "original"),
            "derived_first": partial(self._switch_in, "derived", "original", "entry"),
        }  # fmt: skip
        before, after = actions.get(kind.before), actions.get(kind.after)

        def held(request: Request) -> None:
            self.met = True
            if before:
                before()

        def acted(request: Request) -> None:
            self._acted.set()
            if after:
                after()

        self.sandbox.control.add_fault("*", kind.fault, skip=self.index, before=held, after=acted, **kind.details)

    # What happens at the point

    def _kill(self) -> None:
        if self.run:
            self.run.kill()

    def _terminate(self) -> None:
        if self.run:
            self.run.signal(signal.SIGTERM)
            time.sleep(0.005)  # for its handler, which the answer would race

    def _wait(self) -> None:
        time.sleep(LATE_SECONDS * 1.6)

    def _entry(self, truth: Truth | None = None) -> Any:
        return self.sandbox.kaltura.entries[(truth or self.aimed).entry_id]

    def _change_tags(self) -> None:
        self.sandbox.kaltura.edit(self.aimed.entry_id, tags=f"{self._entry().tags}, keep-me")
        self.aimed.people_tags.add("keep-me")

    def _replace(self) -> None:
        if not self._entry().deleted:
            self._undone = self.sandbox.kaltura.library.links_again(self.aimed.entry_id)
            with self.aimed.lock:  # else a request beside this one is judged before the video is there
                self.aimed.upload(self._other)
                self.sandbox.kaltura.replace_original(self.aimed.entry_id, self._other)
            self.aimed.check("the upload", by_person=True)

    def _set_content(self) -> None:
        original = self.sandbox.kaltura.original(self.aimed.entry_id)
        if original is None or not original.locally_ready or self._entry().deleted:
            return
        self._undone = self.sandbox.kaltura.library.links_again(self.aimed.entry_id)
        self._unseen = self._looks >= self._lasts - LOOKS_TO_CANCEL
        with self.aimed.lock, self.sandbox.kaltura.library.lock:
            self.aimed.upload(self._other)
            original.store(Content.of(self._other), original.version + VERSION_STEP)
            original.updated_at = int(self.sandbox.control.clock.now())
        self.aimed.check("the upload", by_person=True)

    def _delete(self) -> None:
        library = self.sandbox.kaltura.library
        self.aimed.forget_shown()
        with library.lock:
            library.delete_entry(self._entry())

    def _switch_in(self, *order: str) -> None:
        self.sandbox.kaltura.settings.switch_order = order

    def _link_again(self) -> None:
        for truth in self.truths:
            self.sandbox.kaltura.library.link_again(truth.entry_id)

    def _recycle(self) -> None:
        self.sandbox.kaltura.edit(self.aimed.entry_id, display_in_search=-2, recycled_at=1)

    def _run_same(self) -> None:
        second = self._start(self.stage, beside=True)
        second.ended.wait(HANGS_SECONDS)
        self._judge_output(second, "the second process")

    # Judging between requests

    def _on_request(self, server: str, operation: str, details: dict[str, Any]) -> None:
        with self._lock:
            index = len(self.points)
            self.points.append(Point(index, operation, server, bool(details.get("writes"))))
        subject = details.get("subject", "")
        about = next((truth for truth in self.truths if truth.entry_id == subject), None)
        if operation == "media.get" and about:
            self._look_at_conversion(about)
        swaps = operation == "media.updateContent" and about is not None
        if swaps and self._entry(about).replacing_entry_id and not self._second_process():
            # It cancels the replacement that is running (kaltura-api.md 5.3).
            self.truth.blame("REPEAT", f"request {index}: updateContent during a replacement")
        if (
            swaps
            and about is self.truth
            and len(self.truths) > 1
            and self.stage.goal == REPLACED  # what comes back does not wait for a stream that fails
            and not self._other_author()
            and not self._reached(self.stage, *self.truths[1:])
        ):
            self.truth.blame("CORRUPT", f"request {index}: updateContent of the parent before its further streams")
        for truth in self.truths:
            person = self._other_author() and index == self.index + 1 and truth is self.aimed
            truth.check(f"before request {index} {operation}", by_person=person)

    def _other_author(self) -> bool:
        return self.kind is not None and self.kind.by_person

    def _second_process(self) -> bool:
        return self.kind is not None and self.kind.before == "run_same"

    def _look_at_conversion(self, truth: Truth) -> None:
        library = self.sandbox.kaltura.library
        with library.lock:
            if all(due == math.inf for due, *_ in library._jobs):
                # The look after a swap sees that Kaltura is done with it.
                held = self.kind is not None and self.kind.before == "link_again" and not self.met
                library.link_again(truth.entry_id, but_first=held)
                return
            others = (self._entry(other).replacing_entry_id for other in self.truths if other is not truth)
            if any(others) and not self._entry(truth).replacing_entry_id:
                return  # at a stream that stays as it is: no look at what goes on in another
            self._looks += 1
            if self._looks < self._lasts:
                return
            # A step of the switch at a look, so that each half of it is seen.
            seen = self._seen_by_people(truth)
            while seen == self._seen_by_people(truth) and any(due < math.inf for due, *_ in library._jobs):
                library._run_jobs(library._jobs[0][0])
            if all(due == math.inf for due, *_ in library._jobs):
                self._looks = 0

    def _seen_by_people(self, truth: Truth) -> tuple[Any, ...]:
        library, entry = self.sandbox.kaltura.library, self._entry(truth)
        versions = [(asset.id, asset.version, asset.status) for asset in library.live_assets(entry.id)]
        return entry.replacing_entry_id, entry.replacement_status, entry.status, versions

    # Running

    def _start(self, stage: Stage, *, beside: bool = False) -> Run:
        """Start a run; `beside` says that the other one is alive."""
        command, *more = stage.arguments
        # Without the run log, whose one request is made when all is done; nor with the lock, see zygote.py.
        category = [str(number) for number in self._entry(self.truth).categories] if self.scenario.by_category else []
        selection = ["--category", *category] if category else ["--id", self.truth.entry_id]
        if command == "resolve":
            selection = selection[1:]
        arguments = [command, "--no-dry-run", "--no-lock", "--no-run-log", *selection, *more]
        if command not in ("s3copy", "thin"):
            # While nothing answers, a wait goes on until its deadline.
            arguments += ["--timeout", "2s" if self.kind and self.kind.details.get("times") else "20s"]
        patch = {**self.scenario.patch, "beside": beside}
        if self.kind and self.kind.before == "wait" and not self.met:
            patch["read_seconds"] = LATE_SECONDS
        return self.zygote.start(["--log-level", "DEBUG", *arguments], self.environ, self.folder, patch)

    def _do(self, stage: Stage) -> Run:
        self.runs += 1
        self.run = run = self._start(stage)
        where = f"run {self.runs}"
        if not run.ended.wait(HANGS_SECONDS):
            self.truth.blame("STUCK", f"{where} does not end")
            run.kill()
        if self.met:
            self.sandbox.control.clear_faults()
        self._judge_output(run, where)
        if run.code not in (0, 1, 3, 143, -signal.SIGTERM, -signal.SIGKILL) and not (run.code == 2 and self.met):
            self.truth.blame("CRASH", f"{where} returned {run.code}: {run.err[-200:]}")
        for truth in self.truths:
            truth.check(f"after {where}")
        return run

    def _judge_output(self, run: Run, where: str) -> None:
        self.truth.check_output(run.out + run.err, where)
        if left := list((self.folder / "work").iterdir()):
            self.truth.blame("LEFT", f"{where}: files {[path.name for path in left]}")

    def _reached(self, stage: Stage, *of: Truth) -> bool:
        """Whether these, or all, are where the stage is to bring them; of a recording those that are still there."""
        truths = [truth for truth in (of or self.truths) if truth is self.truth or not self._entry(truth).deleted]
        if stage.goal == REPLACED:
            return all(truth.is_replaced() for truth in truths)
        if stage.goal == THIN:
            return all(truth.is_thin() for truth in truths)
        if stage.edited is not None and not self._shows(edited=stage.edited):
            return False
        return all(truth.is_archived(certain=stage.goal == ARCHIVED) for truth in truths)

    def _shows(self, *, edited: bool) -> bool:
        """Whether Kaltura has the one of two videos; whatever a person has uploaded since is as good as the edited."""
        shown = self.truth.look().original
        return (shown == digest(self._content)) is not edited

    def _named(self, run: Run) -> str:
        """What the last run left for a person to decide, in a case with another author; else empty."""
        entry = self._entry()
        if not (self.kind and self.kind.by_person and self.met):
            return ""
        if entry.deleted:
            return "deleted"
        row = run.out.splitlines()[1:]
        if not row:
            return "left out" if entry.display_in_search == -2 else ""
        return "refused" if any(line.split("\t")[2] == "refused" for line in row) else ""

    def _bring(self, stage: Stage) -> bool:
        """Run until the goal is reached; False if a person has to decide. Raises Stuck."""
        self.stage = stage
        tries: list[str] = []
        for _ in range(RERUNS + 1):
            fresh = not self.met
            run = self._do(stage)
            if self._reached(stage) and run.code == 0:
                return True
            if self.kind is None and run.code not in (0, 3):
                raise AssertionError(f"the clean run fails: {run.out.splitlines()[1:]} {run.err.splitlines()[-3:]}")
            tries.append(f"{run.code} {' '.join(run.out.splitlines()[1 : 1 + len(self.truths)])[-160:]}")
            if not (fresh and self.met) and self._named(run):
                return False
            if "run restore again" in run.out and stage.arguments[0] != "restore":
                in_place = [word for word in stage.arguments if word == "--allow-in-place"]
                self._do(Stage(("restore", *in_place), ARCHIVED))
            self._let_time_pass()
        raise Stuck(" | ".join(tries[-2:]))

    def _is_late(self) -> bool:
        """Whether a request was to be acted upon late; it has been by now."""
        if self.kind is None or self.kind.before != "wait" or not self.met:
            return False
        self._acted.wait(4 * LATE_SECONDS)
        return True

    def _let_time_pass(self) -> None:
        self.sandbox.kaltura.settle()
        if self.met:
            self._link_again()
        for truth in self.truths:
            with suppress(ValueError):  # nobody asked for it yet
                self.sandbox.s3.thaw(truth.key())

    def judge(self) -> None:
        """Go through all stages, then look at what remains."""
        try:
            for stage in self.scenario.stages:
                if not self._bring(stage):
                    break
            if self._is_late() and not self._reached(self.stage):
                self._bring(self.stage)
        except Stuck as stuck:
            self.truth.blame("STUCK", str(stuck))
        self.sandbox.kaltura.settle()
        if any(truth.leftovers() for truth in self.truths) and not self._entry(self.truth).deleted:
            self._do(self.stage)  # what a killed run left, the next one removes
            self.sandbox.kaltura.settle()
        for truth in self.truths:
            truth.check_end()
        self._excuse()

    def _excuse(self) -> None:
        """Tell the races that Kaltura's API leaves open from our own mistakes."""
        if not (self.kind and self.met) or self.index >= len(self.points):
            return
        operation, found = self.points[self.index].operation, self.truth.found
        refused = self.kind.fault == "error"  # so that there was time for a look
        if self.kind.before == "change_tags" and operation == "media.update" and "TAGLOST" in found and not refused:
            found[RACE] = found.pop("TAGLOST")
        around = [point.operation for point in self.points[max(self.index - 1, 0) : self.index + 2]]
        in_last_look = self.kind.before == "link_again" and around == ["flavorAsset.list", "media.get", "media.update"]
        if (
            self.kind.before in ("wait", "link_again")
            and (operation == "media.update" or in_last_look)
            and "flavors_deleted dropped" in found.get("CORRUPT", "")
        ):
            # A call of ours that Kaltura carries out long after we gave it up, a last write like any other author's; or
            # its own late job between our last look at the flavors and the tag. The next run heals it. In that one
            # request the entry is asked for after its flavors: a person's tag that we overwrite nobody brings back.
            found[RACE] = found.pop("CORRUPT")
        if self.kind.before == "link_again" and found.get("LEFT", "").startswith("temporary entry"):
            found[RACE] = found.pop("LEFT")  # Kaltura threw our replacement away, and leaves its temporary entry
        unguarded = operation in _UNGUARDED and not refused
        by_author = self.kind.before in ("replace", "set_content")
        if by_author and (unguarded or self._undone or self._unseen) and "LOST" in found:
            # Nobody can keep Kaltura from setting the file of a swap once more, whatever was uploaded since.
            found[RACE] = found.pop("LOST")
        overtaken = self.kind.before == "set_content" and (self._undone or self._unseen)
        if overtaken and "flavors_deleted dropped" in found.get("CORRUPT", ""):
            found[RACE] = found.pop("CORRUPT")  # theirs was in place; then Kaltura set the placeholder's file once more
        if by_author and unguarded and "derived flavors went" in found.get("CORRUPT", ""):
            found[RACE] = found.pop("CORRUPT")  # of somebody's newer video, of which Kaltura can make it again
        by_kaltura = self.scenario.name == "restore-url" and operation == "s3.GetObject"
        if self.kind.fault == "flip" and by_kaltura and "CORRUPT" in found:
            # Its own download, of the right size: s3copy or replace_video read the original, and see it.
            found[LATENT] = found.pop("CORRUPT")
        if LATENT in found:
            found.pop("STUCK", None)  # s3copy cannot see it; the copy is not good, and nothing rests on it

    def close(self) -> None:
        del self.sandbox.control.__dict__["begin"], self.sandbox.kaltura.sessions.__dict__["_make"]
        self.sandbox.control.clear_faults()
        self.sandbox.kaltura.settle()


def random_upload(number: int) -> bytes:
    """Another author's video, of another size than any other."""
    return f"a newer video, number {number}\n".encode() * 900


class Walker:
    """Runs cases on a sandbox of its own."""

    def __init__(self) -> None:
        # Parts may be small, so that walks of large files need not be large: read when moto is imported.
        from moto.s3 import models

        models.S3_UPLOAD_PART_MIN_SIZE = 1024
        self._stack = ExitStack()
        self.folder = Path(tempfile.mkdtemp(prefix="walk-"))
        self._stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self.zygote = Zygote()
        self._stack.callback(self.zygote.close)
        self._sandbox: Sandbox | None = None
        self._cases = 0

    def __enter__(self) -> Walker:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._end_sandbox()
        self._stack.close()

    def _end_sandbox(self) -> None:
        if self._sandbox is not None:
            self._sandbox.__exit__()
            self._sandbox = None

    def sandbox(self) -> Sandbox:
        """A running sandbox, made anew now and then: old cases' records slow it down."""
        if self._sandbox is None or self._cases % CASES_PER_SANDBOX == 0:
            self._end_sandbox()
            folder = self.folder / f"sandbox-{self._cases}"
            folder.mkdir()
            # A conversion ends when the walk says so.
            self._sandbox = Sandbox(folder, conversion_seconds=1e6, real_videos=False)
            self._sandbox.__enter__()
        self._cases += 1
        return self._sandbox

    def _walk(self, scenario: Scenario, kind: Kind | None, index: int) -> Walk:
        walk = Walk(self, scenario, kind, index, self._cases)
        try:
            walk.judge()
        finally:
            walk.close()
            shutil.rmtree(walk.folder, ignore_errors=True)
        return walk

    def record(self, name: str) -> list[Point]:
        """The requests of a clean run. Raises AssertionError if even that has something wrong."""
        walk = self._walk(SCENARIOS[name], None, -1)
        bad = {category: text for category, text in walk.truth.found.items() if category not in ALLOWED}
        if bad:
            raise AssertionError(f"{name} without any fault: {bad}")
        return walk.points

    def run(self, case: Case) -> Verdict:
        began = time.monotonic()
        walk = self._walk(SCENARIOS[case.scenario], KINDS[case.kind], case.point.index)
        return Verdict(case, walk.truth.found, walk.met, walk.runs, time.monotonic() - began)


def cases(name: str, points: Iterable[Point], kinds: Sequence[str]) -> Iterator[Case]:
    for point in points:
        for kind in kinds:
            if KINDS[kind].befalls(point):
                yield Case(name, point, kind)


# The command


def _table(verdicts: Sequence[Verdict], names: Sequence[str]) -> str:
    """Cases per scenario and how many of them each category was found in."""
    columns = (*CATEGORIES, *ALLOWED)
    rows = [("scenario", "points", "cases", "not met", *columns)]
    for name in (*names, "all"):
        own = [v for v in verdicts if name in (v.case.scenario, "all")]
        points = {(v.case.scenario, v.case.point.index) for v in own}
        counts = collections.Counter(category for v in own for category in v.found)
        missed = sum(not v.met for v in own)
        rows.append((name, str(len(points)), str(len(own)), str(missed), *(str(counts[c]) for c in columns)))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)


def _say(text: str = "") -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _share(arguments: argparse.Namespace) -> list[Verdict]:
    """This process's share of the cases."""
    verdicts: list[Verdict] = []
    with suppress(KeyboardInterrupt), Walker() as walker:  # what was walked until then counts
        number = 0
        for name in arguments.scenario:
            points = walker.record(name)
            if arguments.at is not None:
                points = [point for point in points if point.index == arguments.at]
            if arguments.list:
                for point in points:
                    _say(f"{name} {point.index} {point.operation}{' writes' if point.writes else ''}")
                continue
            for case in cases(name, points, arguments.kind):
                number += 1
                if number % arguments.every or (number // arguments.every) % arguments.of != arguments.share:
                    continue
                verdict = walker.run(case)
                verdicts.append(verdict)
                for category, text in verdict.found.items():
                    if category not in ALLOWED or arguments.at is not None:
                        _say(f"{category:8} scripts/walk {case}   ({case.point.operation}): {text}")
    return verdicts


def _in_processes(jobs: int, arguments: Sequence[str], results: Path) -> list[Verdict]:
    """Split the cases over processes of their own; each writes its verdicts to a file."""
    import pickle

    # One job each: a share is never split again.
    command = [sys.executable, __file__, *arguments, "--jobs", "1", "--of", str(jobs)]
    running = [
        subprocess.Popen([*command, "--share", str(share), "--results", str(results / str(share))])
        for share in range(jobs)
    ]
    while any(process.returncode is None for process in running):
        with suppress(KeyboardInterrupt):  # they hear of it, too, and tell what they have
            for process in running:
                process.wait()
    failed = [process.returncode for process in running]
    if any(code not in (0, 1) for code in failed):
        raise RuntimeError(f"a walker ended with {failed}")
    shares = [(results / str(share)).read_bytes() for share in range(jobs)]
    return [verdict for share in shares for verdict in pickle.loads(share)]  # noqa: S301 - written by our children


def main(given: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="scripts/walk", description=__doc__.splitlines()[0])
    parser.add_argument("--scenario", action="append", choices=SCENARIOS, help="only this scenario (repeatable)")
    parser.add_argument("--kind", action="append", choices=KINDS, help="only this kind of fault (repeatable)")
    parser.add_argument("--at", type=int, metavar="N", help="only the N-th request")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only every N-th case")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="processes, each with its sandbox")
    parser.add_argument("--list", action="store_true", help="only list the requests of a clean run")
    parser.add_argument("--of", type=int, default=1, help=argparse.SUPPRESS)
    parser.add_argument("--share", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--results", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args(given)
    # A long walk may be interrupted, also by SIGTERM and in the background: it then tells what it has seen so far.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    arguments.scenario = arguments.scenario or list(SCENARIOS)
    arguments.kind = arguments.kind or list(KINDS)
    began = time.monotonic()
    if arguments.jobs > 1 and arguments.of == 1 and not arguments.list:
        with tempfile.TemporaryDirectory(prefix="walk-") as folder:
            verdicts = _in_processes(arguments.jobs, given, Path(folder))
    else:
        verdicts = _share(arguments)
    if arguments.results:
        import pickle

        arguments.results.write_bytes(pickle.dumps(verdicts))
    elif verdicts:
        _say()
        _say(_table(verdicts, arguments.scenario))
        _say(f"{sum(v.runs for v in verdicts)} runs in {time.monotonic() - began:.0f} s")
    return int(any(verdict.failures for verdict in verdicts))


if __name__ == "__main__":
    sys.modules["walker"] = sys.modules["__main__"]
    sys.exit(main(sys.argv[1:]))
