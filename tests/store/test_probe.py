"""What an S3 service does not keep is found out before the first video travels, and said in one line."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from conftest import Run
from looking import do_not_wait

from kaltura_archiver.config import read_settings
from kaltura_archiver.model import State
from kaltura_archiver.run import run as acting
from kaltura_archiver.run.lock import RunLock, lock_key, unlock
from kaltura_archiver.sandbox.world import Sandbox
from kaltura_archiver.store import Store

LOCK = acting._lock
KEY = lock_key("s3copy")


@pytest.fixture(autouse=True)
def locked(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """`run`, with the lock that it otherwise leaves out."""
    do_not_wait(monkeypatch)
    monkeypatch.setattr(acting, "_lock", LOCK)


@pytest.fixture
def store(locked: None) -> Store:
    return Store(read_settings(), read_only=False)


COMMANDS = [
    ("s3copy", State.INITIAL),
    ("replace_video", State.ARCHIVED),
    ("restore", State.PLACEHOLDER),
    ("repair", State.HALF_TAGGED),
    ("verify", State.ARCHIVED),
]


@pytest.mark.parametrize(
    ("lacks", "said"),
    [
        ("if-none-match", "If-None-Match"),
        ("if-match", "If-Match"),
        ("conditions", "If-None-Match"),
        ("tags", "tags of objects do not work"),
        ("kept-tags", "tags of objects do not work"),
    ],
)
@pytest.mark.parametrize(("command", "state"), COMMANDS)
def test_a_run_that_needs_what_is_missing_ends_before_anything_is_changed(
    sandbox: Sandbox, run: Run, command: str, state: State, lacks: str, said: str
) -> None:
    entry_id = sandbox.add(state)
    sandbox.s3.settings.lacks.add(lacks)
    for words in ((), ("--no-lock",)):
        sandbox.control.clear_log()
        ran = run(command, "--id", entry_id, "--no-dry-run", *words)
        if lacks == "if-match" and words:
            # Nobody is to be excluded: that is said, and for the operator to see to.
            assert ran.code == 0
            assert ran.err.count(said) == 1
            continue
        assert (ran.code, ran.out) == (2, ""), ran.err
        assert ran.err.count("\n") == 1
        assert ran.err.startswith("error: this S3 service ")
        assert said in ran.err
        assert "nothing was changed" in ran.err
        changed = {r.subject for r in sandbox.control.writes() if r.server == "s3"}
        assert all(key.startswith("locks/") for key in changed)
        assert not [r for r in sandbox.control.requests() if r.server == "file"]
        assert not [r for r in sandbox.control.writes() if r.operation not in ("session.start",) and r.server != "s3"]


@pytest.mark.parametrize(("command", "state"), COMMANDS)
def test_a_service_that_wants_etags_without_quotes_works(
    sandbox: Sandbox, run: Run, command: str, state: State
) -> None:
    """Ceph's gateway, DigitalOcean's: with quotes, as they are given, no If-Match ever holds there."""
    sandbox.s3.settings.lacks.add("quoted-etags")
    ids = [sandbox.add(state) for _ in range(2)]
    for entry_id in ids:  # the second one takes the lock over
        ran = run(command, "--id", entry_id, "--no-dry-run")
        assert (ran.code, ran.outcomes) == (0, {entry_id: "done"}), ran.err
        assert "lock" not in ran.err


def test_a_lock_is_kept_released_and_freed_where_etags_have_no_quotes(
    sandbox: Sandbox, store: Store, locked: None
) -> None:
    sandbox.s3.settings.lacks.add("quoted-etags")
    with RunLock(store, KEY, run="one", stop=threading.Event()) as held:
        assert held._renewed()
        assert "freed" in unlock(Store(read_settings(), read_only=False), KEY, force=True)
        assert not held._renewed()
        assert "freed by unlock" in held.lost


def test_small_objects_are_overwritten_where_etags_have_no_quotes(sandbox: Sandbox, store: Store) -> None:
    sandbox.s3.settings.lacks.add("quoted-etags")
    first = store.put_text("settings/0_x.json", "one", if_match="")
    second = store.put_text("settings/0_x.json", "two", if_match=first)
    assert second
    assert store.put_text("settings/0_x.json", "three", if_match=first) == ""
    assert sandbox.s3.body("settings/0_x.json") == b"two"


def test_wrong_etags_are_refused_in_the_form_that_is_used(sandbox: Sandbox, store: Store, locked: None) -> None:
    sandbox.s3.settings.lacks.add("quoted-etags")
    with RunLock(store, KEY, run="one", stop=threading.Event()):
        assert store.bare_etags
        tried = [r.parameters.get("if-match", "") for r in sandbox.control.requests("s3.PutObject")]
        assert "0" * 32 in tried


@pytest.mark.parametrize("lacks", ["checksums", "crc64nvme"])
def test_checksums_are_not_needed_for_the_lock(sandbox: Sandbox, store: Store, lacks: str, locked: None) -> None:
    sandbox.s3.settings.lacks.add(lacks)
    with RunLock(store, KEY, run="one", stop=threading.Event()) as held:
        assert any("CRC64NVME" in finding for finding in held.findings)


def test_a_service_that_keeps_everything_is_not_spoken_of_and_costs_a_handful(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add(State.INITIAL)
    ran = run("s3copy", "--id", entry_id, "--no-dry-run")
    assert ran.outcomes == {entry_id: "done"}
    assert "S3 service" not in ran.err
    about_the_lock = [r for r in sandbox.control.requests("s3.*") if r.subject == KEY]
    assert len(about_the_lock) <= 12  # taking and releasing it included


def test_a_dry_run_tries_nothing(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add(State.INITIAL)
    sandbox.s3.settings.lacks.add("conditions")
    assert run("s3copy", "--id", entry_id).outcomes == {entry_id: "would"}
    assert [r for r in sandbox.control.writes() if r.server == "s3"] == []


OPERATIONS = ("s3.PutObject", "s3.PutObjectTagging", "s3.GetObjectTagging", "s3.HeadObject")
KINDS = ("drop_before", "drop_after", "http_500", "http_503")


@pytest.mark.parametrize(  # each operation at each turn, with each kind at one of them
    ("operation", "skip", "kind"),
    [(name, skip, KINDS[(number + skip) % len(KINDS)]) for number, name in enumerate(OPERATIONS) for skip in range(5)],
)
def test_a_service_that_fails_for_a_moment_is_asked_again(
    sandbox: Sandbox, store: Store, operation: str, skip: int, kind: str, locked: None
) -> None:
    sandbox.control.add_fault(operation, kind, subject=KEY, skip=skip)
    with RunLock(store, KEY, run="one", stop=threading.Event()) as held:
        assert held.findings == ()
    with RunLock(store, KEY, run="two", stop=threading.Event()):
        pass


def test_config_tells_what_is_missing(sandbox: Sandbox, run: Run) -> None:
    def s3(ran: Any) -> dict[str, str]:
        return next(row for row in ran.rows if row["check"] == "s3")

    ran = run("config")
    assert s3(ran)["ok"] == "True"
    assert "conditions, tags and checksums are kept" in s3(ran)["detail"]
    sandbox.s3.settings.lacks |= {"tags"}
    ran = run("config")
    assert ran.code == 2
    assert s3(ran)["ok"] == "False"
    assert "tags of objects do not work" in ran.err
    sandbox.s3.settings.lacks = {"checksums"}
    assert "it shows no CRC64NVME" in s3(run("config"))["detail"]
    # Who may only look, for health or a report, is not told off.
    sandbox.s3.settings.lacks = set()
    sandbox.s3.settings.deny.add("s3.PutObject")
    ran = run("config")
    assert s3(ran)["ok"] == "True"
    assert "not tried" in s3(ran)["detail"]


def test_small_objects_need_no_trailers_over_tls(store: Store) -> None:
    """boto3 would send their checksum in a trailer there, which not every service knows."""
    sent: list[Any] = []

    def answer(request: Any, **_: Any) -> AWSResponse:
        sent.append(request)
        body: Any = type("Raw", (), {"stream": lambda *_: iter([b""])})()
        return AWSResponse(request.url, 200, {"ETag": '"e"', "x-amz-request-id": "1"}, body)

    session = store._session
    for make in (store._config, store._config.merge(store._brief.meta.config)):
        client: Any = session.create_client(
            "s3", config=make, endpoint_url="https://s3.example.org", region_name="us-east-1"
        )
        client.meta.events.register("before-send.s3.PutObject", answer)
        client.put_object(Bucket="b", Key=KEY, Body=b"{}", IfNoneMatch="*")
    assert len(sent) == 2
    for request in sent:
        names = {name.lower() for name in request.headers}
        assert "x-amz-trailer" not in names
        assert "STREAMING" not in str(request.headers.get("x-amz-content-sha256"))
