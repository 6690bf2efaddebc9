"""`kaltura-archiver demo`: the whole cycle on the sandbox, with the real commands in processes of their own."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import textwrap
import time
import urllib.request
from pathlib import Path

import click

from kaltura_archiver.model import State
from kaltura_archiver.sandbox.world import Sandbox, set_aside

LECTURE = "Lecture 7: Über das Archivieren"
_FOREIGN = ("KALTURA_", "AWS_", "PLACEHOLDER_VIDEO")


class _Demo:
    def __init__(self, sandbox: Sandbox, *, quick: bool) -> None:
        self._sandbox = sandbox
        self._quick = quick
        # Nothing of the user's own accounts is seen by what runs here.
        self._environ = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
        self._environ |= sandbox.environ() | {"KALTURA_POLL_SECONDS": "0.2"}
        self.failures: list[str] = []

    def tell(self, text: str) -> None:
        click.echo()
        click.echo(textwrap.fill(" ".join(text.split()), 100))
        if not self._quick and sys.stdout.isatty():
            time.sleep(1.5)

    def run(self, *arguments: str, expect: int = 0, show: str | None = "stderr") -> str:
        """Run one command, show one of its streams, and return its stdout; note it if it does not end as it should."""
        shown = " ".join(f"'{a}'" if re.search(r"[!\s]", a) else a for a in arguments)
        click.secho(f"\n$ kaltura-archiver {shown}", bold=True)
        ended = subprocess.run(  # noqa: S603 - our own program
            [sys.executable, "-m", "kaltura_archiver", *arguments],
            env=self._environ,
            cwd=self._sandbox.directory,
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
        click.echo({"stdout": ended.stdout, "stderr": ended.stderr, None: ""}[show], nl=False)
        if ended.returncode != expect:
            self.check(f"kaltura-archiver {shown} ended with {ended.returncode} instead of {expect}", False)
        elif expect:
            click.echo(f"(exit status {expect})")
        return ended.stdout

    def check(self, what: str, holds: bool) -> None:
        click.secho(f"{'✓' if holds else '✗'} {what}", fg="green" if holds else "red")
        if not holds:
            self.failures.append(what)


def run_demo(*, quick: bool) -> int:
    """Play the cycle; returns 0 if all went as it should, 1 otherwise."""
    started = time.monotonic()
    set_aside()
    with Sandbox(thaw_seconds=12 * 3600, conversion_seconds=0.8) as sandbox:
        demo = _Demo(sandbox, quick=quick)
        _cycle(demo, sandbox)
        seconds = time.monotonic() - started
    click.echo()
    if demo.failures:
        click.secho(f"The demo found {len(demo.failures)} faults in {seconds:.0f} s; please report them.", fg="red")
        return 1
    click.secho(f"All of it went as it should, in {seconds:.0f} s. Nothing was left on this machine.", fg="green")
    return 0


def _cycle(demo: _Demo, sandbox: Sandbox) -> None:
    _every_state(demo, sandbox)
    lecture, video = _a_lecture(demo, sandbox)
    _archive(demo, sandbox, lecture, video)
    _replace(demo, sandbox, lecture)
    _restore(demo, sandbox, lecture, video)
    _thin(demo, sandbox, lecture, video)
    _repair(demo)


def _every_state(demo: _Demo, sandbox: Sandbox) -> None:
    demo.tell(
        """A Kaltura server and an S3 service now run on this machine, for this demo only: no account is needed and
        nothing leaves the machine. They hold real MP4 videos, one in every state that a video can be in. health
        knows them all:"""
    )
    for state in State:
        frozen = "GLACIER" if state is State.PLACEHOLDER else "STANDARD"
        sandbox.add(state, name=f"in state {state}", storage_class=frozen, creator_id="lecturer")
    seen = json.loads(
        demo.run("health", "--columns", "state,why,evidence,next", "--format", "json", expect=1, show=None)
    )
    for row in seen:
        click.echo(f"{row['state']:<13}{row['why']}")
        click.echo(f"{'':<13}evidence: {row['evidence']}")
        click.echo(f"{'':<13}next: {row['next']}")
    demo.check(f"all {len(State)} states are told apart", {row["state"] for row in seen} == set(State))


def _a_lecture(demo: _Demo, sandbox: Sandbox) -> tuple[str, bytes]:
    """The id of a lecture, and its original."""
    video = sandbox.video(seconds=4, width=640, height=360, exact_bytes=20_000_000)
    sha256 = hashlib.sha256(video).hexdigest()
    lecture = sandbox.add(State.INITIAL, name=LECTURE, content=video, tags="physics", creator_id="lecturer").strip()
    demo.tell(
        f"""Now the life of one lecture, {lecture}: {len(video):,} bytes, created five years ago, never played. Its
        SHA-256 is {sha256}. Which videos were not played for three years and are not archived?"""
    )
    demo.run("count", "--tag", "!archived_to_s3", "--tag", "physics", "--unplayed-for", "3", show="stdout")
    return lecture, video


def _archive(demo: _Demo, sandbox: Sandbox, lecture: str, video: bytes) -> None:
    demo.tell("1. initial → archived. First a dry run, which every command does unless told otherwise:")
    before = len(sandbox.control.writes())
    demo.run("s3copy", "--tag", "physics", "--unplayed-for", "3", "--storage-class", "GLACIER")
    demo.check("the dry run sent no request that changes anything", len(sandbox.control.writes()) == before)
    demo.run("s3copy", "--tag", "physics", "--unplayed-for", "3", "--storage-class", "GLACIER", "--no-dry-run")
    demo.check("S3 holds the lecture's bytes", sandbox.s3.body(lecture) == video)
    demo.tell("Running it again does no harm:")
    demo.run("s3copy", "--id", lecture, "--no-dry-run")


def _replace(demo: _Demo, sandbox: Sandbox, lecture: str) -> None:
    demo.tell("2. archived → placeholder. Only where the stored copy is proven to be this very original:")
    demo.run("replace_video", "--id", lecture)
    demo.run("replace_video", "--id", lecture, "--no-dry-run")
    demo.check("Kaltura now plays the placeholder", _played(sandbox, lecture) == sandbox.placeholder)
    demo.run("explain", lecture, show="stdout")


def _restore(demo: _Demo, sandbox: Sandbox, lecture: str, video: bytes) -> None:
    demo.tell("3. Somebody plays the placeholder. That is how a viewer asks for the video:")
    sandbox.kaltura.edit(lecture, plays=1, last_played_at=int(sandbox.control.clock.now()))
    wanted = ("restore", "--tag", "flavors_deleted", "--played-within", "1")
    demo.run(*wanted)
    demo.run(*wanted, "--no-dry-run", expect=3)
    demo.tell("The object is in Glacier, which thaws it in hours; here once you have seen what happens until then:")
    demo.run(*wanted, "--no-dry-run", expect=3)
    sandbox.s3.thaw(lecture)
    demo.tell("4. placeholder → archived. The object has thawed; the same command brings the original back:")
    demo.run(*wanted, "--no-dry-run")
    copy = Path(sandbox.directory, "lecture.mp4")
    demo.run("download", "--id", lecture, "--from", "kaltura", "--output", copy.name, show="stdout")
    found = hashlib.sha256(copy.read_bytes()).hexdigest() if copy.exists() else "nothing"
    demo.check(
        f"Kaltura plays the original again, byte for byte: SHA-256 {found}", found == hashlib.sha256(video).hexdigest()
    )
    demo.run("health", "--id", lecture, "--format", "table", "--columns", "entry_id,name,state,evidence", show="stdout")


def _thin(demo: _Demo, sandbox: Sandbox, lecture: str, video: bytes) -> None:
    sandbox.kaltura.settle()
    demo.tell(
        """5. archived → thin. Another way, which no viewer notices: the original goes, and a derived flavor that is
        proven to be of full length plays on:"""
    )
    demo.run("thin", "--id", lecture)
    demo.run("thin", "--id", lecture, "--no-dry-run")
    with sandbox.kaltura.library.lock:
        [kept] = sandbox.kaltura.library.live_assets(lecture)
    name = f"entryId/{lecture}/v/{kept.version}/flavorId/{kept.id}/name/a.mp4"
    with urllib.request.urlopen(f"{sandbox.kaltura.url}/p/1/sp/100/serveFlavor/{name}") as answer:  # noqa: S310
        played = answer.read()
    demo.check(
        f"it plays, fetched as a player does: {len(played):,} bytes instead of {len(video):,}",
        len(played) == kept.size_in_bytes,
    )
    demo.run("restore", "--id", lecture, "--no-dry-run")
    demo.check("the original is back, byte for byte", _played(sandbox, lecture) == video)


def _repair(demo: _Demo) -> None:
    demo.tell(
        """6. What interrupted runs leave behind has a name, and repair goes on from it; what a person has to decide it
        leaves alone:"""
    )
    repaired = demo.run("repair", "--all", "--no-dry-run", expect=3)
    demo.check("every interrupted state was repaired", repaired.count("\tdone\t") == 5)
    demo.run("health", "--columns", "state,name,next", "--format", "table", expect=1, show="stdout")


def _played(sandbox: Sandbox, entry_id: str) -> bytes:
    original = sandbox.kaltura.original(entry_id)
    return sandbox.kaltura.content(original.id) if original else b""
