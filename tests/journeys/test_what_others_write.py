"""What other programs and people write: lists, settings, rules of the bucket, plays; and what is not told of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import Run
from looking import act, do_not_wait, shown, tags_of

from kaltura_archiver.model import State
from kaltura_archiver.sandbox.world import Sandbox

BUCKET = "arn:aws:s3:::sandbox-archive"
# To Python's splitlines a line ends with each of these; to nobody else.
ODD_ENDS = ("\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e")


@pytest.mark.parametrize("odd", ODD_ENDS)
@pytest.mark.parametrize("delimiter", [",", "\t", ";"])
def test_a_title_adds_no_entry_to_a_list(sandbox: Sandbox, run: Run, tmp_path: Path, odd: str, delimiter: str) -> None:
    asked, other = sandbox.add(State.INITIAL), sandbox.add(State.INITIAL)
    file = tmp_path / "list"
    file.write_text(f"id{delimiter}name\n{asked}{delimiter}A title{odd}{other}\n", encoding="utf-8", newline="")
    ran = run("s3copy", "--idfile", file, "--no-dry-run")
    assert set(ran.outcomes) == {asked}
    assert tags_of(sandbox, other) == ""


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_of_a_list_end_as_in_windows_and_old_macs(sandbox: Sandbox, run: Run, tmp_path: Path, end: str) -> None:
    ids = [sandbox.add(State.INITIAL) for _ in range(3)]
    file = tmp_path / "list"
    file.write_text(end.join(ids), newline="")
    assert set(run("s3copy", "--idfile", file).outcomes) == set(ids)


@pytest.mark.parametrize("odd", ODD_ENDS)
def test_a_line_of_owners_is_one_owner(sandbox: Sandbox, run: Run, tmp_path: Path, odd: str) -> None:
    sandbox.add(State.INITIAL, user_id="other")
    file = tmp_path / "owners"
    file.write_text(f"somebody{odd}other\n", encoding="utf-8", newline="")
    ran = run("list", "--owner", f"@{file}")
    assert "other" not in ran.out


# Plays


@pytest.mark.parametrize("options", [("--never-played",), ("--plays", "0")])
def test_plays_without_a_date_are_plays(sandbox: Sandbox, run: Run, options: tuple[str, ...]) -> None:
    """Those before Kaltura's analytics were made (kaltura-api 7)."""
    entry = sandbox.add(State.ARCHIVED, plays=5000, last_played_at=None)
    sandbox.kaltura.settle()
    assert run("replace_video", "--id", entry, *options).outcomes.get(entry) != "would"
    assert entry not in run("replace_video", *options).out


@pytest.mark.parametrize("options", [("--never-played",), ("--unplayed-for", "3"), ("--plays", "0")])
def test_no_number_of_plays_is_not_none(sandbox: Sandbox, run: Run, options: tuple[str, ...]) -> None:
    """Kaltura tells 0 of what was never played (kaltura-api 7)."""
    entry = sandbox.add(State.ARCHIVED, plays=900, last_played_at=int(sandbox.control.clock.now()) - 86_400)
    sandbox.kaltura.settle()
    record = sandbox.kaltura.entries[entry]
    record.plays, record.last_played_at = None, None  # type: ignore[assignment]
    assert run("replace_video", "--id", entry, *options).outcomes.get(entry) != "would"


# Rules of the bucket


def policy(resource: object) -> str:
    actions = ["s3:DeleteObject", "s3:DeleteObjectVersion"]
    return json.dumps({"Statement": [{"Effect": "Deny", "Principal": "*", "Action": actions, "Resource": resource}]})


@pytest.mark.parametrize(
    ("resource", "protects"),
    [
        (f"{BUCKET}/*", True), (f"{BUCKET}*", True), ("arn:aws-cn:s3:::sandbox-archive/*", True), ("*", True),
        ("arn:aws:s3:::*", True), ([BUCKET, f"{BUCKET}/*"], True), (f"{BUCKET}/locks/*", False),
        ("arn:aws:s3:::another-bucket/*", False), (f"{BUCKET}/0_*", False), (BUCKET, False),
    ],
)  # fmt: skip
def test_a_deny_has_to_be_about_every_copy(sandbox: Sandbox, run: Run, resource: object, protects: bool) -> None:
    sandbox.s3.settings.rules.policy = policy(resource)
    assert ("can delete stored copies" not in run("config").err) is protects


@pytest.mark.parametrize("prefix", ["suspect/", "settings/"])
def test_a_rule_that_deletes_what_is_known_of_copies_is_told(sandbox: Sandbox, run: Run, prefix: str) -> None:
    sandbox.s3.settings.rules.lifecycle = (
        f"<Rule><ID>tidy</ID><Status>Enabled</Status><Filter><Prefix>{prefix}</Prefix></Filter>"
        "<Expiration><Days>30</Days></Expiration></Rule>"
    )
    assert f"lifecycle rule 'tidy' of the bucket deletes {prefix}" in run("config").err


def test_health_tells_what_could_not_be_looked_at(sandbox: Sandbox, run: Run) -> None:
    sandbox.add(State.ARCHIVED)
    sandbox.s3.settings.deny = {"GetBucketPolicy"}
    assert "not all of the bucket's rules could be looked at" in run("health").err


@pytest.mark.parametrize("operation", ["s3.ListObjectsV2", "s3.GetObjectTagging"])
def test_a_copy_that_s3_shows_is_not_lost_for_the_answer_about_its_tags_or_marks(
    sandbox: Sandbox, run: Run, operation: str
) -> None:
    entry = sandbox.add(State.PLACEHOLDER)
    sandbox.control.add_fault(operation, "error", code="NotFound", status=404, times=1)
    ran = run("health", "--id", entry)
    assert "lost" not in ran.out
    assert shown(sandbox, entry)


@pytest.mark.parametrize("how", ["restore", "download"])
def test_a_copy_that_nothing_tells_the_worth_of_is_given_with_a_warning(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    do_not_wait(monkeypatch)
    sandbox.s3.settings.kms = True
    sandbox.s3.settings.lacks |= {"checksums"}
    entry = sandbox.add(State.PLACEHOLDER)
    sandbox.s3.put(entry, b"half of a video that the old tool has cut" * 50)
    ran = act(run, "restore", entry) if how == "restore" else run("download", "--id", entry, "--from", "s3")
    assert ran.code == 0
    assert "there is nothing to compare it with" in ran.err


# Secrets that stand in the wrong line


def test_an_app_token_that_stands_as_its_id_is_not_told(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    kaltura = sandbox.kaltura
    monkeypatch.setenv("KALTURA_APP_TOKEN_ID", kaltura.app_token)
    monkeypatch.setenv("KALTURA_APP_TOKEN", kaltura.app_token_id)
    ran = run("count")
    assert ran.code == 2
    assert kaltura.app_token not in ran.out + ran.err
    assert "KALTURA_APP_TOKEN_ID is not the id of an app token" in ran.err


def test_a_secret_that_stands_as_the_account_is_not_told(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    kaltura = sandbox.kaltura
    for name in ("KALTURA_APP_TOKEN_ID", "KALTURA_APP_TOKEN"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("KALTURA_PARTNERID", kaltura.secret)
    monkeypatch.setenv("KALTURA_SECRET", str(kaltura.partner_id))
    ran = run("count")
    assert ran.code == 2
    assert kaltura.secret not in ran.out + ran.err
    assert "KALTURA_PARTNERID must be a number" in ran.err


def test_the_second_line_of_a_secret_is_not_told(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "x.env"
    file.write_text("KALTURA_SECRET=abcdefgh\nQzJk+Zm9vYmFy/YmF6c2VjcmV0=\n")
    ran = run("--env-file", file, "count")
    assert ran.code == 2
    assert "Zm9vYmFy" not in ran.out + ran.err
    assert "line 2: what stands before = is not the name of a variable" in ran.err
