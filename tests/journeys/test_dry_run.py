"""Every mutating command on every state: a dry run changes nothing and foretells what the real run then does.

Asserted on the log of both sandbox servers, and afterwards on what `health` and `explain` see.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from looking import content_of

from kaltura_archiver.cli import cli
from kaltura_archiver.config import read_settings
from kaltura_archiver.kaltura import Kaltura
from kaltura_archiver.model import State
from kaltura_archiver.sandbox.world import Sandbox
from kaltura_archiver.store import Store

COMMANDS = ("s3copy", "replace_video", "restore", "repair", "thin")
Run = Callable[..., Any]

# What each command really does to each state, and the state that it leaves.
ANSWERS: dict[State, dict[str, tuple[str, State]]] = {
    state: {
        command: (outcome, after)
        for command, (outcome, after) in zip(COMMANDS, [(a.split()[0], State(a.split()[-1])) for a in row], strict=True)
    }
    for state, row in {
        State.LOST: ("refused lost",) * 5,
        State.BUSY: ("waiting busy",) * 5,
        State.NO_ORIGINAL: (
            "refused no-original",
            "refused no-original",
            "done archived",
            "done archived",
            "refused no-original",
        ),
        State.EMPTY: ("refused empty",) * 5,
        State.INITIAL: ("done archived", "refused initial", "already initial", "already initial", "refused initial"),
        State.UNBACKED: (
            "refused unbacked",
            "refused unbacked",
            "already unbacked",
            "refused unbacked",
            "refused unbacked",
        ),
        State.ARCHIVED: ("already archived", "done placeholder", "already archived", "already archived", "done thin"),
        State.UNTAGGED: ("done archived", "refused untagged", "already untagged", "done archived", "refused untagged"),
        State.DIVERGED: ("refused diverged",) * 5,
        State.UNSETTLED: (
            "refused unsettled",
            "done placeholder",
            "done archived",
            "done archived",
            "refused unsettled",
        ),
        State.PLACEHOLDER: (
            "already placeholder",
            "already placeholder",
            "done archived",
            "already placeholder",
            "refused placeholder",
        ),
        State.HALF_TAGGED: (
            "refused half-tagged",
            "done placeholder",
            "done archived",
            "done placeholder",
            "refused half-tagged",
        ),
        State.THIN: ("already thin", "done placeholder", "done archived", "already thin", "already thin"),
        State.HALF_THIN: ("refused half-thin", "refused half-thin", "done archived", "done thin", "done thin"),
    }.items()
}
EXIT = {"done": 0, "already": 0, "would": 0, "refused": 3, "waiting": 3}
SAYS = {
    ("s3copy", State.INITIAL): "would copy the original to S3 and verify it; add the tag archived_to_s3",
    ("s3copy", State.UNTAGGED): "would add the tag archived_to_s3",
    ("replace_video", State.ARCHIVED): "replace the original with the placeholder",
    ("replace_video", State.UNSETTLED): "replace the original with the placeholder",
    (
        "restore",
        State.PLACEHOLDER,
    ): "would bring the original back from S3 and verify it; remove the tag flavors_deleted",
    ("replace_video", State.HALF_TAGGED): "would add the tag archived_to_s3",
    ("restore", State.HALF_TAGGED): "would bring the original back from S3",
    ("restore", State.NO_ORIGINAL): "would bring the original back from S3",
    ("restore", State.UNSETTLED): "would remove the tag flavors_deleted",
    ("repair", State.NO_ORIGINAL): "would bring the original back from S3",
    ("repair", State.UNTAGGED): "would add the tag archived_to_s3",
    ("repair", State.UNSETTLED): "would remove the tag flavors_deleted",
    ("repair", State.HALF_TAGGED): "would add the tag archived_to_s3",
    ("thin", State.ARCHIVED): "add the tag original_in_s3; delete the original in Kaltura",
    ("thin", State.HALF_THIN): "would look whether the derived flavor to keep is there in full length",
    ("repair", State.HALF_THIN): "record with the stored copy which flavor plays on",
    ("restore", State.THIN): "would bring the original back from S3 and verify it; remove the tag original_in_s3",
}


def _ids(entry_ids: Any) -> list[str]:
    return [argument for entry_id in entry_ids for argument in ("--id", entry_id)]


def _states(run: Run, entry_ids: Any) -> dict[str, str]:
    rows = run("--log-level", "ERROR", "health", *_ids(entry_ids)).rows
    return {row["entry_id"]: row["message"].partition(":")[0] for row in rows}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_dry_run_on_every_state_changes_nothing_and_foretells_the_real_run(
    sandbox: Sandbox, run: Run, command: str
) -> None:
    entries = {state: sandbox.add(state) for state in State}
    before = content_of(sandbox)
    foretold = run(command, *_ids(entries.values()))
    assert sandbox.control.writes() == []
    assert content_of(sandbox) == before
    assert foretold.code == 3  # there are refusals among them
    for state, entry_id in entries.items():
        row = next(row for row in foretold.rows if row["entry_id"] == entry_id)
        outcome, _ = ANSWERS[state][command]
        assert row["state"] == state
        assert row["outcome"] == ("would" if outcome == "done" else outcome), state
        assert SAYS.get((command, state), "") in row["detail"]
        assert row["detail"]
        assert f"DRYRUN entry {entry_id} {command}" in foretold.err
    assert "EXEC" not in foretold.err


@pytest.mark.parametrize("command", COMMANDS)
def test_each_state_gets_its_answer_and_a_second_run_finds_nothing_to_do(
    sandbox: Sandbox, run: Run, command: str
) -> None:
    entries = {state: sandbox.add(state) for state in State}
    assert _states(run, entries.values()) == {entry_id: str(state) for state, entry_id in entries.items()}
    first = run(command, *_ids(entries.values()), "--no-dry-run")
    assert first.outcomes == {entry_id: ANSWERS[state][command][0] for state, entry_id in entries.items()}
    assert first.code == 3
    after = {entry_id: str(ANSWERS[state][command][1]) for state, entry_id in entries.items()}
    assert _states(run, entries.values()) == after
    for state, entry_id in entries.items():
        if ANSWERS[state][command][0] == "done":
            told = run("explain", entry_id, "--format", "json")
            assert told.json["state"]["name"] == after[entry_id]
        if ANSWERS[state][command][0] in ("refused", "waiting", "already"):
            touched = [r for r in sandbox.control.writes() if r.subject == entry_id]
            assert touched == [], f"{command} changed an entry that is {state}"

    sandbox.control.clear_log()
    second = run(command, *_ids(entries.values()), "--no-dry-run")
    for state, entry_id in entries.items():
        first_outcome = ANSWERS[state][command][0]
        assert second.outcomes[entry_id] == ("already" if first_outcome == "done" else first_outcome)
    assert sandbox.control.writes() == []
    assert _states(run, entries.values()) == after


@pytest.mark.parametrize("state", State)
def test_explain_names_the_state_and_what_each_command_would_do(shared: tuple[Sandbox, dict], state: State) -> None:
    sandbox, entries = shared
    told = CliRunner().invoke(cli, ["explain", entries[state], "--format", "json"], env=sandbox.environ())
    assert told.exit_code == 0
    explained = json.loads(told.stdout)
    assert explained["state"]["name"] == state
    assert explained["identity"]["evidence"]
    for command in COMMANDS:
        outcome = ANSWERS[state][command][0]
        said = explained["commands"][command]
        assert said.startswith("would " if outcome == "done" else f"{outcome}: ")
        assert SAYS.get((command, state), "") in said


@pytest.mark.parametrize(
    ("state", "code"),
    [
        (
            state,
            0
            if state in (State.INITIAL, State.ARCHIVED, State.PLACEHOLDER, State.THIN)
            else 3
            if state is State.BUSY
            else 1,
        )
        for state in State
    ],
)
def test_health_alone_tells_broken_from_healthy_by_its_exit_code(
    shared: tuple[Sandbox, dict], state: State, code: int
) -> None:
    sandbox, entries = shared
    told = CliRunner().invoke(cli, ["health", "--id", entries[state]], env=sandbox.environ())
    assert told.exit_code == code
    assert (f"entry {entries[state]} is {state}" in told.stderr) == (code != 0)
    assert sandbox.control.writes() == []


@pytest.mark.parametrize("storage_class", ["GLACIER", "DEEP_ARCHIVE"])
@pytest.mark.parametrize(
    ("command", "state"),
    [("restore", State.PLACEHOLDER), ("restore", State.NO_ORIGINAL), ("repair", State.NO_ORIGINAL)],
)
def test_a_dry_run_says_that_it_would_request_a_restore_of_a_cold_object(
    sandbox: Sandbox, run: Run, storage_class: str, command: str, state: State
) -> None:
    entry_id = sandbox.add(state, storage_class=storage_class)
    told = run(command, "--id", entry_id)
    assert told.code == 0
    assert told.outcomes == {entry_id: "would"}
    assert "would request a restore" in told.out
    assert storage_class in told.out
    assert "would request a restore" in told.err
    assert sandbox.control.writes() == []


def test_a_dry_run_sees_a_thaw_that_is_running_and_one_that_is_done(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add(State.PLACEHOLDER, storage_class="GLACIER")
    assert run("restore", "--id", entry_id, "--no-dry-run").code == 3
    sandbox.control.clear_log()
    told = run("restore", "--id", entry_id)
    assert (told.code, told.outcomes) == (3, {entry_id: "waiting"})
    sandbox.s3.thaw(entry_id)
    told = run("restore", "--id", entry_id)
    assert (told.code, told.outcomes) == (0, {entry_id: "would"})
    assert "would bring the original back" in told.out
    assert sandbox.control.writes() == []


@pytest.mark.parametrize(
    ("arguments", "fields", "reason"),
    [
        (["replace_video"], {"age_years": 1.0}, "--min-age-years"),
        (["replace_video"], {"status": "4"}, "not READY"),
        (["restore", "--tier", "expedited"], {}, "expedited"),
    ],
)
def test_a_dry_run_names_each_refusal(
    sandbox: Sandbox, run: Run, arguments: list[str], fields: dict[str, Any], reason: str
) -> None:
    state = State.PLACEHOLDER if arguments[0] == "restore" else State.ARCHIVED
    entry_id = sandbox.add(state, storage_class="DEEP_ARCHIVE", **fields)
    dry = run(*arguments, "--id", entry_id)
    real = run(*arguments, "--id", entry_id, "--no-dry-run")
    assert dry.outcomes == real.outcomes
    assert dry.outcomes[entry_id] in ("refused", "skipped")
    assert dry.code == real.code
    assert reason in dry.out
    assert reason in dry.err
    assert sandbox.control.writes() == []


def test_dry_is_the_default_and_the_old_flags_act(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add(State.INITIAL)
    run("s3copy", "--id", entry_id)
    run("s3copy", "--id", entry_id, "--dry-run")
    assert run("s3copy", "--id", entry_id, "--dry-run", "--s3copy").code == 2
    assert sandbox.control.writes() == []
    for command, flag in (("s3copy", "--s3copy"), ("replace-video", "--replace"), ("restore-from-s3", "--restore")):
        assert run(command, "--id", entry_id, flag).outcomes == {entry_id: "done"}
    assert run("repair", "--id", entry_id, "--repair").outcomes == {entry_id: "already"}


# What a dry run may call. Whatever else is public there has to be refused, and to be listed below.
READS = {
    Kaltura: {
        "attempts", "categories_called", "category_name", "children", "content", "count", "entries", "entry", "flavors",
        "flavors_and_placings", "is_full", "look", "made_of", "metadata", "metadata_fields", "now", "inflow", "pages",
        "picture", "picture_since", "placings", "progress", "seconds_told", "sign_in", "unused_tokens", "user_exists",
        "usual_tags",
    },
    Store: {
        "check_bucket", "checksum_of", "fingerprinter", "get_text", "head", "later", "named_after", "own", "pages",
        "part_bytes", "presign", "prove_by_md5", "read", "read_lock",
    },
}  # fmt: skip


@pytest.mark.usefixtures("run")
def test_read_only_clients_refuse_to_change_anything_even_if_asked(sandbox: Sandbox) -> None:
    """The second wall: a forgotten gate is an error, not a deletion. No public method can be forgotten here."""
    settings = read_settings()
    kaltura, store = Kaltura(settings, read_only=True), Store(settings, read_only=True)
    kaltura.sign_in()
    entry_id = sandbox.add(State.ARCHIVED)
    original = sandbox.kaltura.original(entry_id)
    stored = store.head(entry_id)
    assert original is not None
    assert stored is not None

    def nothing() -> None: ...

    changes: dict[type, dict[str, Callable[[], object]]] = {
        Kaltura: {
            "add_content": lambda: kaltura.add_content(entry_id, "0_any"),
            "approve_replace": lambda: kaltura.approve_replace(entry_id, look=nothing),
            "cancel_replace": lambda: kaltura.cancel_replace(entry_id, look=nothing),
            "choose_picture": lambda: kaltura.choose_picture("0_any"),
            "take_picture": lambda: kaltura.take_picture(entry_id, 3),
            "change_tags": lambda: kaltura.change_tags(entry_id, add="x1"),
            "delete_flavor": lambda: kaltura.delete_flavor(original.id, look=nothing),
            "delete_token": lambda: kaltura.delete_token("0_any"),
            "new_token": lambda: kaltura.new_token("a.mp4", 3),
            "update_flavor": lambda: kaltura.update_flavor(original.id, {"label": "x"}),
            "update_content": lambda: kaltura.update_content(entry_id, "0_any", look=nothing),
            "upload": lambda: kaltura.upload("0_any", "a.mp4", 3, [b"abc"]),
        },
        Store: {
            "abort_stale_uploads": lambda: store.abort_stale_uploads([entry_id], datetime.now(UTC)),
            "mark_placeholder": lambda: store.mark_placeholder(entry_id, "0_any@2", 3),
            "mark": lambda: store.mark(stored, "damaged"),
            "mark_newer": lambda: store.mark_newer(stored, stored),
            "put_lock": lambda: store.put_lock("locks/any.json", "{}", if_match=""),
            "put_text": lambda: store.put_text("log/any", "text", if_match=""),
            "request_thaw": lambda: store.request_thaw(stored, tier="bulk", days=1),
            "set_tags": lambda: store.set_tags(entry_id, sha256="x"),
            "write": lambda: store.write("0_new", [b"abc"], 3, metadata={}, storage_class="STANDARD"),
        },
    }
    for kind, calls in changes.items():
        public = {name for name in dir(kind) if callable(getattr(kind, name)) and not name.startswith("_")}
        assert set(calls) | READS[kind] == public, kind.__name__
        assert set(calls) & READS[kind] == set()
        for name, call in calls.items():
            refused = ""
            try:
                call()
            except AssertionError as error:
                refused = str(error)
            assert "a dry run must not" in refused, f"{kind.__name__}.{name} changes something in a dry run"
    assert sandbox.control.writes() == []


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One sandbox with every state, for tests that only read."""
    with Sandbox(tmp_path_factory.mktemp("sandbox"), real_videos=False) as running:
        yield running, {state: running.add(state) for state in State}


@pytest.mark.parametrize("words", [["explain"], ["download", "--output", "lecture.mp4", "--id"]], ids=lambda w: w[0])
def test_who_only_looks_has_nothing_that_could_act(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("kaltura_archiver.apply.Runner.__init__", lambda *_, **__: pytest.fail("a runner was made"))
    assert run(*words, sandbox.add(State.ARCHIVED)).code == 0
