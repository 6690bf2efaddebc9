"""What README promises: nothing is changed without --no-dry-run, and nothing acts on everything by mistake.

Of every command there is: one that is added has to be told here to which kind it belongs.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from conftest import Run
from looking import content_of, use_lock
from mailsink import MailSink

from kaltura_archiver.cli import cli
from kaltura_archiver.model import State
from kaltura_archiver.run import run as acting
from kaltura_archiver.sandbox.world import Sandbox

RUN_LOG = acting._run_log

# What each command that acts is to do here. All have something to do: with --no-dry-run each changes something.
SELECTING = {
    "s3copy": ("--all",),
    "replace_video": ("--all",),
    "thin": ("--all",),
    "restore": ("--all",),
    "repair": ("--all",),
    "verify": ("--all", "--request"),
}
ACTING = SELECTING | {
    "resolve": ("DIVERGED", "--keep", "kaltura"),
    "apply": ("plan.jsonl",),
    "run": ("policy.toml",),
    "notify": ("owners.tsv", "--from", "archive@example.edu", "--send", "--mark"),
}
LOOKING = {
    "list": (),
    "count": (),
    "health": (),
    "explain": ("ENTRY",),
    "download": ("--id", "ENTRY", "-o", "video.mp4"),
    "stats": (),
    "due": ("--years", "3"),
    "report": ("-o", "report.html"),
    "plan": ("archive", "--all", "-o", "-"),
    "enrich": ("owners.tsv", "--directory-file", "people.tsv", "--prefix", "x_"),
    "config": (),
    "placeholder": ("-o", "other.mp4"),
    "completion": ("bash",),
    "cluster": ("--help",),
    "policy": ("--help",),
    "policy schema": (),
    "policy from-jobs": ("--help",),
    "app_token": ("--help",),
    "cluster certificates": ("tls",),
}
# `config` tries on an object of its own what every run will rest on.
MAY_WRITE = {"config": {"locks/config.json"}}
OTHERS = {
    "unlock": "frees the lock that it names: that is what it is for (tests/run/test_lock.py)",
    "app_token create": "makes the token that it is named after (tests/fleet/test_app_token.py)",
    "run_task": "starts the task that it names (tests/fleet/test_run_task.py)",
    "ldapsearch": "asks a directory, read-only, and neither Kaltura nor S3 (tests/people/test_directory.py)",
    "sandbox": "has servers of its own",
    "demo": "has servers of its own",
    "cluster scheduler": "has no settings (tests/fleet/test_cluster.py)",
    "cluster worker": "does what a run says, dry or not (tests/fleet/test_cluster.py)",
}
# Of both services, every kind of call by which a run of these commands changes what is there.
CHANGES = {
    "media.update", "media.updateContent", "uploadToken.add", "uploadToken.upload", "s3.PutObject",
    "s3.PutObjectTagging", "s3.RestoreObject",
}  # fmt: skip


def _commands(group: click.Group, above: str = "") -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        yield above + name, command
        if isinstance(command, click.Group):
            yield from _commands(command, f"{above}{name} ")


COMMANDS = dict(_commands(cli))


def _has(name: str, option: str) -> bool:
    return any(option in param.opts for param in COMMANDS[name].params)


@pytest.fixture
def whole_run(run: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`run` with the lock and the log, which it otherwise leaves out."""
    use_lock(monkeypatch)
    monkeypatch.setattr(acting, "_run_log", RUN_LOG)
    return run


@pytest.fixture
def library(sandbox: Sandbox) -> str:
    """An entry in every state, frozen ones too, and the files that commands read; the id of an archived one."""
    for state in State:
        sandbox.add(state)
    sandbox.add(State.ARCHIVED, storage_class="GLACIER")
    sandbox.add(State.PLACEHOLDER, storage_class="DEEP_ARCHIVE")
    entry_id = sandbox.add(State.ARCHIVED, creator_id="anna")
    columns = ("entry_id", "name", "owner_id", "created_date", "last_played_date", "plays", "ldap_status", "mail")
    cells = (entry_id, "Algebra", "anna", "2015-02-03", "", "0", "active", "anna@example.edu")
    Path("owners.tsv").write_text("".join("\t".join(line) + "\n" for line in (columns, cells)))
    Path("policy.toml").write_text(
        "[[rule]]\nname = 'old'\nselect = { unplayed_for = 3 }\narchive = {}\nreplace = {}\n"
    )
    Path("people.tsv").write_text("uid\tdisplayName\tou\nanna\tAnna\tMaths\n")
    return entry_id


def test_every_command_is_of_one_of_these_kinds() -> None:
    assert set(COMMANDS) == {*ACTING, *LOOKING, *OTHERS}
    assert len(COMMANDS) == len(ACTING) + len(LOOKING) + len(OTHERS)
    assert {name for name in COMMANDS if _has(name, "--dry-run")} == set(ACTING)
    assert {name for name in ACTING if _has(name, "--tag")} == set(SELECTING)
    assert {name for name in COMMANDS if _has(name, "--all")} == {*SELECTING, "plan"}


@pytest.mark.parametrize("command", ACTING)
def test_nothing_is_changed_without_no_dry_run(
    sandbox: Sandbox, whole_run: Run, library: str, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with MailSink() as sink:
        for name, value in sink.environ().items():
            monkeypatch.setenv(name, value)
        diverged = list(sandbox.kaltura.entries)[list(State).index(State.DIVERGED)]
        words = [diverged if word == "DIVERGED" else word for word in ACTING[command]]
        if command == "apply":
            assert whole_run("plan", "archive", "--all", "-o", *words).code == 3
            sandbox.control.clear_log()
        before, files = content_of(sandbox), set(Path().iterdir())
        for dry in ((), ("--dry-run",)):
            ran = whole_run(command, *words, *dry)
            assert ran.code in (0, 1, 3), ran.err
            assert ran.out
            assert "EXEC" not in ran.err
            assert "a dry run must not" not in ran.err, "only the second wall has held it"
            assert (sandbox.control.writes(), sink.mail) == ([], [])
        assert content_of(sandbox) == before
        assert set(Path().iterdir()) == files
        whole_run(command, *words, "--no-dry-run")
        assert sandbox.control.writes() != []
        assert content_of(sandbox) != before


def test_the_log_of_the_sandbox_knows_every_kind_of_change(sandbox: Sandbox, whole_run: Run, library: str) -> None:
    for command, words in SELECTING.items():
        whole_run(command, *words, "--no-dry-run")
    assert {request.operation for request in sandbox.control.writes()} >= CHANGES


@pytest.mark.parametrize("command", LOOKING)
def test_what_only_looks_changes_nothing(sandbox: Sandbox, whole_run: Run, library: str, command: str) -> None:
    words = [library if word == "ENTRY" else word for word in LOOKING[command]]
    ran = whole_run(*command.split(), *words)
    assert ran.code in (0, 1, 3), ran.err
    changed = {request.subject for request in sandbox.control.writes()}
    assert changed == MAY_WRITE.get(command, set())


BARE = ((), ("--max-entries", "-1"), ("--status", "2"), ("--media-type", "audio"), ("--shard", "0/2"))


@pytest.mark.parametrize(
    "bare", [*BARE, ("--page-size", "10"), ("--first-page", "2"), ("--unplayed-for", "0")], ids=" ".join
)
@pytest.mark.parametrize("command", [*SELECTING, "plan archive", "plan replace", "plan restore"])
def test_nothing_acts_on_everything_by_mistake(sandbox: Sandbox, run: Run, command: str, bare: tuple[str, ...]) -> None:
    more = [("-o", "plan.jsonl")] if command.startswith("plan") else [(), ("--no-dry-run",)]
    for words in more:
        ran = run(*command.split(), *bare, *words)
        assert (ran.code, ran.out) == (2, "")
        assert ran.err == (
            f"error: {command} without any selection criterion: select entries (--id, --tag, …), or say --all\n"
        )
    assert run("verify", "--request", "--tier", "standard", "--no-dry-run").code == 2
    assert sandbox.control.requests() == []
