"""A copy that S3 itself is going to delete: nothing goes for it, and whoever asks is told which rule, when, and what to
do."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from conftest import Run
from looking import do_not_wait, shown, tags_of
from made_facts import facts, original, stored

from kaltura_archiver.apply.swap import _must_not_come
from kaltura_archiver.model import ARCHIVED_TAG, State, StoredObject
from kaltura_archiver.sandbox.world import Sandbox
from kaltura_archiver.store.answers import expiry_of

RULE = (
    "<Rule><ID>tidy up</ID><Status>Enabled</Status><Filter><Prefix>{}</Prefix></Filter>"
    "<Expiration><Days>{}</Days></Expiration></Rule>"
)


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    do_not_wait(monkeypatch)


def expire(sandbox: Sandbox, prefix: str = "", days: int = 1) -> None:
    sandbox.s3.settings.rules.lifecycle = RULE.format(prefix, days)


def said(sandbox: Sandbox, key: str) -> str:
    [version] = sandbox.s3._backend.buckets[sandbox.s3.bucket].keys.getlist(key)
    written = version.last_modified.replace(tzinfo=UTC).timestamp()
    day = datetime.fromtimestamp(-(-(written + 86400) // 86400) * 86400, UTC)
    return f"S3 will delete the stored copy by itself on {day:%Y-%m-%d} (lifecycle rule 'tidy up')"


@pytest.mark.parametrize("command", ["replace_video", "thin"])
def test_no_original_goes_for_a_copy_that_s3_is_going_to_delete(sandbox: Sandbox, run: Run, command: str) -> None:
    video = sandbox.video()
    entry_id = sandbox.add(State.ARCHIVED, content=video)
    expire(sandbox)
    for words in ((command, "--id", entry_id), (command, "--id", entry_id, "--no-dry-run")):
        ran = run(*words)
        assert ran.outcomes == {entry_id: "refused"}, ran.err
        assert said(sandbox, entry_id) in ran.out
        assert "have that rule leave stored copies out, or remove its expiration" in ran.out
    assert shown(sandbox, entry_id) == video
    assert tags_of(sandbox, entry_id) == ARCHIVED_TAG
    sandbox.s3.settings.rules.lifecycle = ""
    assert run(command, "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "done"}


@pytest.mark.parametrize("command", ["replace_video", "thin"])
def test_a_rule_that_comes_while_it_is_at_work_is_heeded(sandbox: Sandbox, run: Run, command: str) -> None:
    video = sandbox.video()
    entry_id = sandbox.add(State.ARCHIVED, content=video)
    sandbox.control.add_fault("s3.GetObjectTagging", "none", after=lambda _: expire(sandbox))
    ran = run(command, "--id", entry_id, "--no-dry-run")
    assert ran.outcomes == {entry_id: "refused"}, ran.err
    assert said(sandbox, entry_id) in ran.out
    assert shown(sandbox, entry_id) == video


def test_what_is_gone_for_such_a_copy_is_told_and_comes_back(sandbox: Sandbox, run: Run) -> None:
    video = sandbox.video()
    entry_id = sandbox.add(State.PLACEHOLDER, content=video)
    expire(sandbox)
    ran = run("health", "--id", entry_id)
    assert ran.code == 1
    assert said(sandbox, entry_id) in ran.err
    assert "1 of 1 needs attention: 1 expiring" in ran.err
    told = json.loads(run("explain", entry_id, "--format", "json").out)
    assert told["state"]["why"] == said(sandbox, entry_id)
    assert told["state"]["next"].startswith("have that rule leave stored copies out")
    assert told["object"]["expires"].endswith("(lifecycle rule 'tidy up')")
    assert run("restore", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "done"}
    assert shown(sandbox, entry_id) == video


@pytest.mark.parametrize("state", [State.INITIAL, State.UNTAGGED])
def test_what_is_archived_into_such_a_bucket_is_told_at_once(sandbox: Sandbox, run: Run, state: State) -> None:
    """Also what is there already, and is proven only now."""
    entry_id = sandbox.add(state)
    if state is State.UNTAGGED:
        sandbox.s3.set_tags(entry_id, {})
    expire(sandbox)
    ran = run("s3copy", "--id", entry_id, "--no-dry-run")
    assert ran.outcomes == {entry_id: "done"}, ran.err
    assert said(sandbox, entry_id) in ran.out
    [line] = [line for line in ran.err.splitlines() if "until then no original is replaced for it" in line]
    assert "WARNING" in line


def test_what_a_restore_displaces_is_not_left_to_a_rule(sandbox: Sandbox, run: Run) -> None:
    newer = sandbox.video()
    entry_id = sandbox.add(State.DIVERGED, content=sandbox.video())
    sandbox.kaltura.replace_original(entry_id, newer)
    expire(sandbox, "displaced/")
    words = ("resolve", entry_id, "--keep", "s3", "--no-dry-run")
    ran = run(*words)
    assert ran.outcomes == {entry_id: "refused"}, ran.err
    assert "what is in its place cannot be kept as displaced/" in ran.out
    assert shown(sandbox, entry_id) == newer
    sandbox.s3.settings.rules.lifecycle = ""
    assert run(*words).outcomes == {entry_id: "done"}


def test_a_placeholder_that_kaltura_converts_is_cancelled_then() -> None:
    copy = stored()
    assert _must_not_come(facts(original(), copy)) == ""
    why = _must_not_come(facts(original(), replace(copy, expires="on 2027-01-01 (lifecycle rule 'tidy')")))
    assert "S3 will delete the stored copy by itself on 2027-01-01" in why


@pytest.mark.parametrize(
    ("told", "expires"),
    [
        ("", ""),
        ("NotImplemented", ""),
        (
            'expiry-date="Fri, 01 Jan 2027 00:00:00 GMT", rule-id="old%20videos"',
            "on 2027-01-01 (lifecycle rule 'old videos')",
        ),
        ('expiry-date="some day"', "on some day (lifecycle rule 'without a name')"),
    ],
)
def test_the_end_that_s3_names_is_read(told: str, expires: str) -> None:
    assert expiry_of({"Expiration": told} if told else {}) == expires
    assert bool(StoredObject("0_x", 1, expires=expires).ending) == bool(expires)
