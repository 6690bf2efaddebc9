"""A restore desk whose run is killed (SIGKILL): the next one keeps the limits of the day, and tells whom it should."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mailsink import MailSink
from zygote import HANGS_SECONDS, Zygote
from zygote import Run as Process

from kaltura_archiver.model import State
from kaltura_archiver.run.desk_book import PREFIX
from kaltura_archiver.sandbox.control import Request
from kaltura_archiver.sandbox.world import Sandbox

POLICY = '[restore]\nrequests = "asked.txt"\ntier = "expedited"\n[restore.limits]\n'


@pytest.fixture
def sink() -> Iterator[MailSink]:
    with MailSink() as running:
        yield running


@pytest.fixture
def start(zygote: Zygote, sandbox: Sandbox, sink: MailSink, tmp_path: Path) -> Callable[[], Process]:
    """Start a run by the policy as a process of its own."""
    post = sink.environ(NOTIFY_FROM="Video archive <archive@example.edu>")
    environ = {**sandbox.environ(), **post, "KALTURA_POLL_SECONDS": "0.01", "AWS_EC2_METADATA_DISABLED": "true"}
    arguments = ["run", "--part", "restore", "--no-dry-run", "--no-lock", "--workers", "1"]
    return lambda: zygote.start(arguments, environ, tmp_path / "runs", {})


@pytest.mark.parametrize("limit", ["entries = 1", "bytes = 7000", "per_owner = 1", "money = 0.015"])
def test_what_a_killed_run_has_asked_for_counts_for_the_day(
    sandbox: Sandbox, start: Callable[[], Process], tmp_path: Path, limit: str
) -> None:
    (work := tmp_path / "runs" / "work").mkdir(parents=True)
    (work / "policy.toml").write_text(POLICY + limit)
    size = 5000
    asked = [
        sandbox.add(
            State.PLACEHOLDER,
            content=sandbox.video()[:size].ljust(size, b"v"),
            storage_class="GLACIER",
            creator_id="ann",
        )
        for _ in range(2)
    ]
    (work / "asked.txt").write_text("\n".join(asked))
    thaws: list[str] = []
    running: list[Process] = []

    def seen(request: Request) -> None:
        thaws.append(request.subject)
        if running:
            running.pop().kill()

    sandbox.control.add_fault("s3.RestoreObject", times=10**6, after=seen)
    running.append(killed := start())
    assert killed.ended.wait(HANGS_SECONDS)
    assert (killed.code, thaws) == (-9, asked[:1]), killed.err
    keys = sandbox.s3.keys()
    assert [key[: len(PREFIX)] for key in keys if key.startswith("log/")] == [PREFIX]
    again = start()
    assert again.ended.wait(HANGS_SECONDS)
    assert (again.code, set(thaws)) == (3, {asked[0]}), again.err
    assert "restore.limits." in again.out
    assert "is left today" in again.out


# What the desk writes down, asks for, and does last; what is between is the restore's own (test_restore_killed.py).
OF_THE_DESK = (f"s3.PutObject {PREFIX}", "s3.RestoreObject", "s3.PutObjectTagging", "media.update ")
MAIL = '[notice]\ndirectory = "people.csv"\n[restore]\nrequest_tag = "please"\ntier = "standard"\nmail = true\n'


@pytest.mark.parametrize(
    ("word", "storage_class", "when"),
    [("asked back", "GLACIER", "before"), ("back again", "STANDARD", "after")],
)
def test_whatever_kills_it_each_word_reaches_its_reader(
    sandbox: Sandbox, start: Callable[[], Process], sink: MailSink, tmp_path: Path, word: str, storage_class: str,
    when: str,
) -> None:  # fmt: skip
    """Killed at each of these writes: before it a message may have gone that is not written down, after it one is due.

    A message that comes twice, for the run was killed before it could write down that it was sent, comes under the same
    Message-ID.
    """
    (work := tmp_path / "runs" / "work").mkdir(parents=True)
    (work / "policy.toml").write_text(MAIL)
    (work / "people.csv").write_text("uid,displayName,ou,mail,ldap_status\nann,Ann,Physics,ann@example.edu,active\n")
    seen: list[Request] = []
    running: list[Process] = []
    at = 0

    def write(request: Request) -> None:
        if request.writes and f"{request.operation} {request.subject}".startswith(OF_THE_DESK):
            seen.append(request)
            if len(seen) == at:
                running[0].kill()

    def finished() -> Process:
        sandbox.control.clear_faults()
        sandbox.kaltura.settle()
        process = start()
        assert process.ended.wait(HANGS_SECONDS)
        return process

    for at in range(1, 100):
        entry_id = sandbox.add(State.PLACEHOLDER, storage_class=storage_class, tags="please", creator_id="ann")
        sink.mail.clear()
        seen.clear()
        sandbox.control.add_fault("*", times=10**6, **{when: write})
        running[:] = [start()]
        assert running[0].ended.wait(HANGS_SECONDS)
        was_killed = running[0].code == -9
        ended = finished()
        assert ended.code in (0, 3), (at, seen[-1].operation, ended.err)
        messages = {message["Message-ID"]: message["Subject"] for _, message in sink.mail}
        assert [word in subject for subject in messages.values()] == [True], (at, seen[-1].operation)
        sandbox.kaltura.edit(entry_id, tags="")
        if not was_killed:
            break
    assert at > 4
