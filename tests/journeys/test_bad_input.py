"""Bad input: one line that begins `error:`, the right exit code, no traceback, and nothing changed (design 1).
And where settings come from, and that no secret comes out."""

from __future__ import annotations

import base64
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Ran, Run

from kaltura_archiver.config import read_settings
from kaltura_archiver.kaltura import session
from kaltura_archiver.model import State
from kaltura_archiver.sandbox.world import Sandbox

MUTATING = ("s3copy", "replace_video", "restore", "repair")
SELECTING = ("list", "count", "health", *MUTATING)
USES_S3 = ("health", *MUTATING)
YEARS = ("--created_within", "--created_before", "--played_within", "--unplayed_for")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A few entries that nothing here may change."""
    with Sandbox(tmp_path_factory.mktemp("sandbox"), conversion_seconds=0.02, real_videos=False) as running:
        running.kaltura.add_category(1, "lectures")
        for state in ("initial", "archived", "placeholder", "untagged"):
            running.add(state, id=f"0_{state}")
        yield running


@pytest.fixture
def sandbox(library: Sandbox, request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """The library; no test may have asked for a change of it."""
    library.control.clear_log()
    yield library
    library.control.clear_faults()
    library.s3.settings.deny.clear()
    library.s3.settings.wrong_region = None
    # config tries what S3 keeps, on an object of its own.
    assert [r.operation for r in library.control.writes() if r.subject != "locks/config.json"] == []


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer tries, for the pauses between them are long."""
    monkeypatch.setattr(session, "MAX_TRIES", 2)


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


def complaint(ran: Ran, code: int = 2) -> str:
    """The one line with which a command gave up."""
    assert ran.code == code, ran.err
    assert "Traceback" not in ran.out + ran.err
    lines = ran.err.splitlines()
    assert lines
    assert lines[-1].startswith("error: ")
    assert len([line for line in lines if line.startswith("error:")]) == 1
    # Before it only log lines.
    assert [line for line in lines[:-1] if not re.match(r"\d{4}-\d\d-\d\dT[\d:]+Z [A-Z]+ ", line)] == []
    assert ran.out == ""
    return lines[-1]


def usage_error(sandbox: Sandbox, ran: Ran) -> str:
    """A complaint that needed no service."""
    line = complaint(ran)
    assert sandbox.control.requests() == []
    return line


# Credentials and services


@pytest.mark.parametrize("command", SELECTING)
def test_a_wrong_app_token_is_told(run: Run, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.setenv("KALTURA_APP_TOKEN", "not-the-token")
    line = complaint(run(command, "--id", "0_initial"))
    assert "KALTURA_APP_TOKEN" in line
    assert "INVALID_APP_TOKEN_HASH" in line


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"KALTURA_APP_TOKEN_ID": "0_nosuch00"}, ("APP_TOKEN_ID_NOT_FOUND", "KALTURA_APP_TOKEN_ID")),
        ({"KALTURA_APP_TOKEN": None}, ("not set: KALTURA_APP_TOKEN",)),
        ({"KALTURA_APP_TOKEN_ID": None}, ("not set: KALTURA_APP_TOKEN_ID",)),
        ({"KALTURA_PARTNERID": None}, ("not set: KALTURA_PARTNERID",)),
        ({"KALTURA_PARTNERID": "999"}, ("KALTURA_PARTNERID",)),
        ({"KALTURA_PARTNERID": "ours"}, ("KALTURA_PARTNERID must be a number",)),
        ({"KALTURA_APP_TOKEN": None, "KALTURA_APP_TOKEN_ID": None}, ("not set: KALTURA_SECRET",)),
        (
            {"KALTURA_APP_TOKEN": None, "KALTURA_APP_TOKEN_ID": None, "KALTURA_SECRET": "guessed-secret"},
            ("START_SESSION_ERROR", "KALTURA_SECRET"),
        ),
        (
            {
                "KALTURA_APP_TOKEN": None,
                "KALTURA_APP_TOKEN_ID": None,
                "KALTURA_SECRET": "sandbox-admin-secret",
                "KALTURA_PARTNERID": "102",
            },
            ("SERVICE_FORBIDDEN_CONTENT_BLOCKED", "KALTURA_PARTNERID"),
        ),
        ({"KALTURA_SERVICE_URL": "kaltura"}, ("KALTURA_SERVICE_URL must be an address",)),
        ({"KALTURA_SERVICE_URL": "ftp://127.0.0.1"}, ("KALTURA_SERVICE_URL must be an address",)),
    ],
)
def test_missing_or_wrong_credentials_are_told(
    run: Run, monkeypatch: pytest.MonkeyPatch, changes: dict[str, str | None], words: tuple[str, ...]
) -> None:
    for name, value in changes.items():
        if value is None:
            monkeypatch.delenv(name)
        else:
            monkeypatch.setenv(name, value)
    line = complaint(run("s3copy", "--id", "0_initial", "--no-dry-run"))
    for word in words:
        assert word in line


@pytest.mark.usefixtures("patience")
@pytest.mark.parametrize("command", ["list", "s3copy"])
def test_an_unreachable_service_is_told(run: Run, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    address = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("KALTURA_SERVICE_URL", address)
    line = complaint(run(command, "--id", "0_initial"))
    assert f"cannot reach Kaltura at {address}" in line


@pytest.mark.usefixtures("patience")
@pytest.mark.parametrize("kind", ["garbage", "empty", "http_500", "cut", "drop_before"])
def test_a_service_that_does_not_answer_as_kaltura_does_is_told(sandbox: Sandbox, run: Run, kind: str) -> None:
    sandbox.control.add_fault("session.*", kind, times=100)
    line = complaint(run("count"))
    assert "KALTURA_SERVICE_URL" in line
    assert "<html" not in line.lower()


@pytest.mark.usefixtures("patience")
@pytest.mark.parametrize("kind", ["garbage", "empty", "http_500"])
def test_a_search_without_a_proper_answer_ends_with_1(sandbox: Sandbox, run: Run, kind: str) -> None:
    sandbox.control.add_fault("*.searchEntry", kind, times=100)
    assert "search: no proper answer from Kaltura" in complaint(run("s3copy", "--all", "--no-dry-run"), code=1)


@pytest.mark.parametrize("command", USES_S3)
def test_a_bucket_that_is_absent_is_told(run: Run, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.setenv("AWS_BUCKET", "no-such-bucket")
    line = complaint(run(command, "--id", "0_initial"))
    assert "bucket no-such-bucket does not exist" in line


@pytest.mark.parametrize("command", USES_S3)
def test_no_bucket_is_told(run: Run, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.delenv("AWS_BUCKET")
    assert "not set: AWS_BUCKET" in complaint(run(command, "--id", "0_initial"))


@pytest.mark.parametrize("name", ["Not A Bucket", "x", "a/b", "..", "ü"])
def test_a_name_that_no_bucket_can_have_is_told(run: Run, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("AWS_BUCKET", name)
    assert "AWS_BUCKET" in complaint(run("health"))


@pytest.mark.parametrize("command", USES_S3)
def test_a_bucket_that_is_forbidden_is_told(sandbox: Sandbox, run: Run, command: str) -> None:
    sandbox.s3.settings.deny.add("HeadBucket")
    line = complaint(run(command, "--id", "0_initial"))
    assert "denied" in line or "forbidden" in line
    assert sandbox.s3.bucket in line


@pytest.mark.parametrize("command", USES_S3)
def test_a_bucket_in_another_region_is_told(sandbox: Sandbox, run: Run, command: str) -> None:
    sandbox.s3.settings.wrong_region = "eu-west-1"
    line = complaint(run(command, "--id", "0_initial"))
    assert "eu-west-1" in line


@pytest.mark.parametrize(
    ("name", "value"), [("AWS_SECRET_ACCESS_KEY", "not-the-secret-key"), ("AWS_ACCESS_KEY_ID", "AKIANOBODY0000000000")]
)
def test_wrong_aws_credentials_are_told(run: Run, monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    line = complaint(run("s3copy", "--id", "0_initial", "--no-dry-run"))
    assert "bucket" in line
    assert value not in line


@pytest.mark.parametrize("names", [("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), ("AWS_SECRET_ACCESS_KEY",)])
def test_no_aws_credentials_are_told(run: Run, monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...]) -> None:
    for name in names:
        monkeypatch.delenv(name)
    assert "AWS" in complaint(run("s3copy", "--id", "0_initial", "--no-dry-run"))


def test_an_unreachable_s3_is_told(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    address = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("AWS_ENDPOINT_URL", address)
    line = complaint(run("health"))
    assert "AWS_ENDPOINT_URL" in line


@pytest.mark.parametrize("value", ["not an address", "127.0.0.1"])
def test_an_endpoint_that_is_no_address_is_told(run: Run, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", value)
    complaint(run("health"))


def test_config_tells_of_each_service_by_itself(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [row["ok"] for row in run("config").rows] == ["True"] * 4
    monkeypatch.setenv("AWS_BUCKET", "no-such-bucket")
    monkeypatch.setenv("PLACEHOLDER_VIDEO", "nowhere.mp4")
    for name in ("config", "doctor"):
        ran = run(name)
        assert ran.code == 2
        assert {row["check"]: row["ok"] for row in ran.rows} == {
            "kaltura": "True",
            "s3": "False",
            "placeholder": "False",
            "keep": "True",
        }
        assert "no-such-bucket does not exist" in ran.err
        assert "nowhere.mp4" in ran.err
        assert "Traceback" not in ran.err


# The placeholder


def damaged(sandbox: Sandbox, folder: Path) -> dict[str, Path]:
    video = sandbox.placeholder
    contents = {
        "text.mp4": b"This is not a video at all, but it is long enough to look at.\n" * 20,
        "empty.mp4": b"",
        "cut.mp4": video[: len(video) // 2],
        "head.mp4": video[:40],
        "tiny.mp4": b"\0\0\0",
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    (folder / "folder.mp4").mkdir()
    return {name: folder / name for name in (*contents, "folder.mp4", "absent.mp4")}


@pytest.mark.parametrize("command", ["replace_video", "repair"])
@pytest.mark.parametrize(
    "kind", ["text.mp4", "empty.mp4", "cut.mp4", "head.mp4", "tiny.mp4", "folder.mp4", "absent.mp4"]
)
@pytest.mark.parametrize("mode", ["--dry-run", "--no-dry-run"])
def test_a_placeholder_that_is_missing_or_no_video_stops_the_run(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: str, kind: str, mode: str
) -> None:
    path = damaged(sandbox, tmp_path)[kind]
    monkeypatch.setenv("PLACEHOLDER_VIDEO", str(path))
    line = complaint(run(command, "--id", "0_archived", mode))
    assert str(path) in line
    assert "PLACEHOLDER_VIDEO" in line


@pytest.mark.parametrize("command", ["s3copy", "health", "stats", "plan archive -o -", "explain", "report"])
def test_a_placeholder_that_is_named_and_missing_is_not_left_out(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """Else what holds it would be taken for an original."""
    name, *options = command.split()
    words = ["0_archived"] if name == "explain" else ["--id", "0_archived"]
    words += ["-o", "r.html"] if name == "report" else []
    Path("map.toml").write_text('[category]\n7 = "absent.mp4"\n')
    for variable, value in (("PLACEHOLDER_VIDEO", "absent.mp4"), ("PLACEHOLDER_MAP", "map.toml")):
        with monkeypatch.context() as patch:
            patch.setenv(variable, value)
            line = complaint(run(name, *options, *words))
            assert "absent.mp4" in line
            assert variable in line
    monkeypatch.delenv("PLACEHOLDER_VIDEO")  # nothing is named, and there is none
    assert run(name, *options, *words).code in (0, 1)


# Options


@pytest.mark.parametrize(
    "options",
    [
        "list --format xml",
        "list --mode film",
        "list --media-type film",
        "list --columns entry_id,nonsense",
        "list --status 99",
        "list --status 2,READYY",
        "list --status 2 -9",
        "list --plays -1",
        "list --plays many",
        "list --plays 1.5",
        "list --category 1.5",
        "list --category 0",
        "list --exclude-category -4",
        "list --page-size -1",
        "list --page-size x",
        "list --first-page 0",
        "list --max-entries 0",
        "list --max-entries -2",
        "list --max-entries all",
        "list --tag ,",
        "list --tag a,b",
        "list --tag !",
        "list --exclude-tag x",
        "list --nonsense",
        "list --tag",
        "list extra",
        "count --id",
        "explain",
        "explain not-an-id",
        "explain 0_a 0_b",
        "explain 0_initial --format tsv",
        "download",
        "download --id ../../etc/passwd",
        "download --id 0_initial --from tape",
        "health --workers 0",
        "s3copy --all --workers 0",
        "s3copy --all --workers many",
        "s3copy --all --storage-class FROZEN",
        "s3copy --all --dry-run=maybe",
        "replace_video --all --min-age-years -1",
        "replace_video --all --min-age-years soon",
        "replace_video --all --timeout soon",
        "replace_video --all --timeout -1",
        "restore --all --tier fast",
        "restore --all --days 0",
        "restore --all --days 1.5",
        "restore --all --via pigeon",
        "nonsense",
        "--nonsense list",
        "--log-level LOUD list",
        "--log-format xml list",
        "--log-level",
        "--env-file nowhere.env list",
        "--env-file . list",
    ],
)
def test_an_unknown_option_or_value_is_told_before_anything_is_asked(sandbox: Sandbox, run: Run, options: str) -> None:
    usage_error(sandbox, run(*options.split()))


def test_an_empty_value_is_told(sandbox: Sandbox, run: Run) -> None:
    for option in ("--id", "--tag", "--plays", "--created_within", "--idfile", "--category"):
        usage_error(sandbox, run("list", option, ""))


@pytest.mark.parametrize("option", YEARS)
@pytest.mark.parametrize("years", ["-1", "-0.5", "nan", "inf", "-inf", "three", "3y", "!", "1e9"])
def test_years_that_are_negative_or_no_number_are_told(sandbox: Sandbox, run: Run, option: str, years: str) -> None:
    line = usage_error(sandbox, run("list", option, years))
    assert "years" in line
    assert option.replace("_", "-") in line.replace("_", "-")


@pytest.mark.parametrize(
    "options",
    [
        "--tag lecture --tag !lecture",
        "--tag Lecture --exclude-tag lecture",
        "--category 1 --exclude-category 1",
        "--created_within 2 --created_before 3",
        "--created_within 2 --created_before 2",
        "--played_within 2 --unplayed_for 3",
        "--played_within 2 --unplayed_for 2",
        "--created_within 2 --unplayed_for 3",
        "--never-played --played_within 1",
        "--plays 0 --played_within 1",
    ],
)
@pytest.mark.parametrize("command", ["list", "count", "s3copy --no-dry-run"])
def test_ranges_that_contradict_each_other_are_told_and_select_none(
    sandbox: Sandbox, run: Run, command: str, options: str
) -> None:
    assert "contradiction" in usage_error(sandbox, run(*command.split(), *options.split()))


# Ids


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ("no entry id",)),
        (b"\r\n \n\n", ("no entry id",)),
        (b"0_initial\n\nnot an id\n0_archived\n", ("line 3", "not an id")),
        (b"0_initial\n0_archived\t17\n", ("line 2",)),
        (b"0_initial,0_archived\n", ("line 1",)),
        (b"entry\tplays\n0_initial\t3\n", ("line 1",)),
        (b"plays\tentry_id\n3\t0_initial\n4\n", ("line 3",)),
        (b'plays,entry_id\n3,0_initial\n4,"0 b"\n', ("line 3", "0 b")),
        (b"# of May\nentry_id\n", ("no entry id",)),
        (b"0_initial\n\xff\xfe\x00\x01\n", ("line 2",)),
        (b"0_initial\n../../etc\n", ("line 2",)),
        ("0_initial\n0_ünïcode\n".encode(), ("line 2",)),
        (b"0_initial\n" + b"x" * 5000 + b"\n", ("line 2",)),
        (b"0_initial\n\x1b[31m\n", ("line 2",)),
    ],
)
@pytest.mark.parametrize("command", ["list", "s3copy --no-dry-run"])
def test_an_id_file_that_is_empty_or_has_a_rubbish_line_is_told(
    sandbox: Sandbox, run: Run, command: str, content: bytes, words: tuple[str, ...]
) -> None:
    Path("ids.txt").write_bytes(content)
    for ran in (
        run(*command.split(), "--idfile", "ids.txt"),
        run(*command.split(), "--idfile", "-", stdin=content),
    ):
        line = usage_error(sandbox, ran)
        assert line.isprintable()
        assert len(line) < 300
        for word in words:
            assert word in line


@pytest.mark.parametrize("file", ["nowhere.txt", ".", "nowhere/ids.txt"])
def test_an_id_file_that_cannot_be_read_is_told(sandbox: Sandbox, run: Run, file: str) -> None:
    assert file in usage_error(sandbox, run("s3copy", "--idfile", file, "--no-dry-run"))


def test_no_id_in_the_id_file_is_a_contradiction(sandbox: Sandbox, run: Run) -> None:
    Path("ids.txt").write_text("0_archived\n")
    usage_error(sandbox, run("list", "--id", "0_initial", "--idfile", "ids.txt"))


@pytest.mark.parametrize("entry_id", ["not an id", "0-initial", "../x", "0_initial,0_archived", "x" * 65, "0_ü"])
@pytest.mark.parametrize("command", ["list", "s3copy --no-dry-run"])
def test_an_id_that_cannot_be_one_is_told(sandbox: Sandbox, run: Run, command: str, entry_id: str) -> None:
    assert "is not an entry id" in usage_error(sandbox, run(*command.split(), "--id", entry_id))


@pytest.mark.parametrize("command", ["explain", "download --id"])
def test_an_unknown_entry_is_told_where_only_one_is_asked_for(run: Run, command: str) -> None:
    assert "0_nosuch00" in complaint(run(*command.split(), "0_nosuch00"), code=1)
    assert [file.name for file in Path().iterdir() if file.is_file()] == []


@pytest.mark.parametrize("options", ["--tag nosuchtag", "--category 424242", "--status 5", "--media-type audio"])
@pytest.mark.parametrize("command", SELECTING)
def test_what_nobody_has_selects_nothing_and_says_so(run: Run, command: str, options: str) -> None:
    act = ("--no-dry-run", "--all") if command in MUTATING else ()
    ran = run(command, *options.split(), *act)
    assert ran.code == 0
    if command == "count":
        assert ran.rows[0]["count"] == "0"
    else:
        assert ran.rows == []
        assert "no entry matches" in ran.err


@pytest.mark.parametrize("command", MUTATING)
@pytest.mark.parametrize("options", ["", "--no-dry-run", "--status 2", "--media-type audio", "--max-entries -1"])
def test_a_command_that_changes_something_wants_a_criterion(
    sandbox: Sandbox, run: Run, command: str, options: str
) -> None:
    line = usage_error(sandbox, run(command, *options.split()))
    assert "--all" in line


@pytest.mark.parametrize("command", MUTATING)
def test_all_is_a_criterion_and_the_run_is_dry_all_the_same(run: Run, command: str) -> None:
    ran = run(command, "--all")
    assert ran.code in (0, 3)
    assert len(ran.rows) == 4


def test_no_command_at_all_shows_the_help(run: Run) -> None:
    ran = run()
    assert ran.code == 2
    assert "s3copy" in ran.out + ran.err
    assert len((ran.out + ran.err).splitlines()) > 10


# Settings


@pytest.mark.parametrize("value", ["soon", "0", "-1", "nan", "inf", "1e9", "10s"])
def test_a_pause_that_is_no_number_is_told(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("KALTURA_POLL_SECONDS", value)
    assert "KALTURA_POLL_SECONDS" in usage_error(sandbox, run("list"))


def write_env(path: Path, values: dict[str, str]) -> None:
    path.write_text("".join(f"{name}={value}\n" for name, value in values.items()))


@pytest.fixture
def only_files(run: Run, monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox) -> Run:
    """`run`, with an environment that says nothing."""
    for name in (*sandbox.environ(), "KALTURA_POLL_SECONDS"):
        monkeypatch.delenv(name, raising=False)
    return run


def test_settings_come_from_a_env_file_in_the_working_directory(sandbox: Sandbox, only_files: Run) -> None:
    write_env(Path(".env"), sandbox.environ())
    ran = only_files("health", "--id", "0_archived")
    assert ran.code == 0, ran.err
    assert ran.rows[0]["status-ok"] == "True"


def test_a_named_env_file_comes_instead(sandbox: Sandbox, only_files: Run) -> None:
    write_env(Path("good.env"), sandbox.environ())
    write_env(Path(".env"), {**sandbox.environ(), "KALTURA_PARTNERID": "999"})
    ran = only_files("--env-file", "good.env", "count")
    assert ran.code == 0, ran.err


def test_the_environment_is_stronger_than_a_file(
    sandbox: Sandbox, only_files: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_env(Path(".env"), {**sandbox.environ(), "KALTURA_PARTNERID": "999", "AWS_BUCKET": "no-such-bucket"})
    monkeypatch.setenv("KALTURA_PARTNERID", str(sandbox.kaltura.partner_id))
    monkeypatch.setenv("AWS_BUCKET", sandbox.s3.bucket)
    ran = only_files("health", "--id", "0_archived")
    assert ran.code == 0, ran.err


def test_the_default_placeholder_is_in_the_working_directory(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PLACEHOLDER_VIDEO")
    assert "placeholder_video.mp4" in complaint(run("replace_video", "--id", "0_archived"))
    Path("placeholder_video.mp4").write_bytes(sandbox.placeholder)
    assert run("replace_video", "--id", "0_archived").outcomes == {"0_archived": "would"}


def test_a_env_file_that_is_no_text_is_told(sandbox: Sandbox, only_files: Run) -> None:
    Path(".env").write_bytes(b"\xff\xfe\x00\x80")
    assert ".env" in usage_error(sandbox, only_files("list"))


# Secrets


def secrets_of(sandbox: Sandbox, text: str) -> list[str]:
    """What must not be seen of the sandbox in a text: its secrets, and anything that is a KS."""
    known = [sandbox.kaltura.app_token, sandbox.kaltura.secret, sandbox.s3.secret_access_key]
    found = [secret for secret in known if secret in text]
    for word in re.findall(r"[A-Za-z0-9+/]{60,}={0,2}", text):
        plain = word.rstrip("=")
        if b"|101;101;" in base64.b64decode(plain[: len(plain) // 4 * 4]):
            found.append(word)
    found += re.findall(r"djJ8[A-Za-z0-9_-]{40,}={0,2}", text)  # of version 2: it begins with "v2|"
    return found


def test_a_ks_would_be_noticed(sandbox: Sandbox) -> None:
    """Holds the search for secrets itself to account."""
    ks = sandbox.kaltura.sessions.start({"secret": sandbox.kaltura.secret, "partnerId": 101, "type": 2})
    assert secrets_of(sandbox, f"... {ks} ...") == [ks]
    assert secrets_of(sandbox, f"x{sandbox.kaltura.app_token}") == [sandbox.kaltura.app_token]


@pytest.mark.parametrize("by", ["app token", "secret"])
@pytest.mark.parametrize("log_format", ["text", "json"])
def test_no_command_shows_a_secret_at_any_log_level(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, by: str, log_format: str
) -> None:
    with Sandbox(tmp_path, conversion_seconds=0.02, real_videos=False) as sandbox:
        for name, value in sandbox.environ().items():
            monkeypatch.setenv(name, value)
        if by == "secret":
            monkeypatch.delenv("KALTURA_APP_TOKEN")
            monkeypatch.delenv("KALTURA_APP_TOKEN_ID")
            monkeypatch.setenv("KALTURA_SECRET", sandbox.kaltura.secret)
        monkeypatch.setattr(session, "MAX_TRIES", 2)
        initial, archived = sandbox.add("initial"), sandbox.add("archived")
        placeholder, other = sandbox.add("placeholder"), sandbox.add("placeholder")
        sandbox.control.add_fault("media.get", "garbage")
        sandbox.control.add_fault("flavorAsset.list", "error", code="INVALID_KS")
        sandbox.control.add_fault("flavorAsset.getUrl", "http_500")
        told = ""
        for command in (
            "config",
            "list",
            "count",
            "health",
            f"explain {initial}",
            f"download --id {initial}",
            f"s3copy --id {initial} --no-dry-run",
            f"replace_video --id {archived} --no-dry-run",
            f"restore --id {placeholder} --no-dry-run",
            f"restore --id {other} --via url --no-dry-run",
        ):
            ran = run("--log-level", "DEBUG", "--log-format", log_format, *command.split())
            told += ran.out + ran.err
        assert len(sandbox.control.writes()) > 10
        assert secrets_of(sandbox, told) == []
        assert "X-Amz-Signature=" not in told.replace("X-Amz-Signature=[redacted]", "")


@pytest.mark.usefixtures("patience")
@pytest.mark.parametrize("operation", ["session.*", "appToken.*", "*.searchEntry", "media.get"])
@pytest.mark.parametrize("code", ["INVALID_KS", "INVALID_KS:LOGOUT", "INTERNAL_SERVERL_ERROR", "SERVICE_FORBIDDEN"])
def test_no_error_of_a_service_shows_a_secret(sandbox: Sandbox, run: Run, operation: str, code: str) -> None:
    sandbox.control.add_fault(operation, "error", code=code, times=100)
    told = ""
    for command in ("health", "explain 0_initial"):
        ran = run("--log-level", "DEBUG", *command.split())
        told += ran.out + ran.err
    assert secrets_of(sandbox, told) == []


def test_an_error_that_quotes_the_ks_is_redacted(run: Run, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kaltura puts a KS that it does not know into the text of the error (kaltura-api 2)."""
    monkeypatch.setattr(type(sandbox.kaltura.sessions), "_app_token_lives", lambda self, session: True)
    seen: list[str] = []

    def forget(self: object, ks: str) -> None:
        seen.append(ks)

    monkeypatch.setattr(type(sandbox.kaltura.sessions), "_parse", forget)
    ran = run("--log-level", "DEBUG", "count")
    assert "INVALID_KS" in complaint(ran)
    assert any(seen)
    assert not any(ks in ran.err for ks in seen if ks)


def test_the_settings_do_not_show_their_secrets(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KALTURA_SECRET", "a-very-secret-word")
    shown = repr(read_settings())
    assert "a-very-secret-word" not in shown
    assert "sandbox-app-token" not in shown


@pytest.mark.parametrize("option", ["--owner", "--keep-owner"])
def test_an_empty_owner_is_refused(run: Run, option: str) -> None:
    """As of an empty variable of the shell: it would protect nobody."""
    ran = run("replace_video", "--all", option, "")
    assert (ran.code, ran.out) == (2, "")
    assert f"{option} is given without a value" in ran.err


def test_a_list_of_nobody_is_refused(run: Run) -> None:
    ran = run("replace_video", "--all", "--owner", "!")
    assert (ran.code, ran.out) == (2, "")
    assert "nobody is named" in ran.err


@pytest.mark.parametrize("bucket", ["s3://lectures", "lectures/archive"])
def test_a_bucket_is_named_barely(run: Run, monkeypatch: pytest.MonkeyPatch, bucket: str) -> None:
    monkeypatch.setenv("AWS_BUCKET", bucket)
    ran = run("health")
    assert ran.code == 2
    assert f"AWS_BUCKET is the bare name of a bucket, not '{bucket}'" in ran.err


@pytest.mark.parametrize("command", [("plan", "archive", "--all"), ("download", "--id", "0_abc12345")])
def test_a_folder_is_not_said_to_be_overwritten_by_force(sandbox: Sandbox, run: Run, command: tuple[str, ...]) -> None:
    entry_id = sandbox.add(State.INITIAL)
    Path("d").mkdir()
    ran = run(*(entry_id if word == "0_abc12345" else word for word in command), "-o", "d")
    assert ran.code == 2
    assert "--force" not in ran.err
