"""What docs/migrating.md tells those who come from kaltura_aws.py is so: its tables are tried on the sandbox.

What is said of the old tool was seen of it, run beside this one on one library (akinom/kaltura_archiver at cac0231).
"""

from __future__ import annotations

import hashlib
import re
import shlex
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from conftest import Run
from looking import original_of
from migrating_page import PAGE, code, table
from slapd import Authority, Slapd, person

from kaltura_archiver.cli import cli
from kaltura_archiver.sandbox.world import YEAR_SECONDS, Sandbox

DOCS = Path(__file__).parents[2] / "docs"
RECORDS = Path(__file__).parents[1] / "kaltura_aws"
# As that tool wrote it, with its padding.
OLD_LIST = "plays\tentry_id\tstatus\tcreator_id\n  3\t0_lecture2\t     READY\t    jdoe\n"
# The same for the libraries of both lines.
NOW = int(time.time())
IDS = "0_lecture2\n\n0_lecture7\n"


def lectures(sandbox: Sandbox) -> None:
    """Nine entries that kaltura_aws.py has left: untouched, archived, replaced, and without an original."""
    both = "archived_to_s3, flavors_deleted"
    sandbox.kaltura.add_category(7, "Physics")

    def add(
        number: int, years: float, played: float | None, plays: int, tags: str, *, shown: bytes | None = None,
        storage_class: str = "", **fields: object,
    ) -> None:  # fmt: skip
        name, video = f"0_lecture{number}", f"lecture {number}\n".encode() * 3000
        sandbox.kaltura.add_entry(
            shown or video, id=name, tags=tags, creator_id="jdoe@example.edu", plays=plays,
            created_at=NOW - years * YEAR_SECONDS,
            last_played_at=None if played is None else NOW - played * YEAR_SECONDS, **fields,
        )  # type: ignore[arg-type]  # fmt: skip
        if storage_class:
            sandbox.s3.put(name, video, checksum=False, storage_class=storage_class)

    add(1, 3.5, None, 0, "")
    add(2, 6, 2.5, 3, "", categories=(7,))
    add(3, 6.2, 5, 2, "archived_to_s3", storage_class="STANDARD")
    add(4, 7, 0.1, 40, both, shown=sandbox.placeholder, storage_class="GLACIER")
    add(5, 5.5, None, 0, "not_archived_to_s3_yet")
    add(6, 5, None, 0, "archived_to_s3", status="7", storage_class="STANDARD")
    add(7, 7.5, 6, 1, "lecture")
    add(8, 6.5, 0.2, 9, both, shown=sandbox.placeholder, storage_class="STANDARD")
    add(9, 1, 0.5, 5, "")
    sandbox.kaltura.settle()


@pytest.fixture
def lecture(sandbox: Sandbox, run: Run) -> str:
    """The entry of the page's examples."""
    del run
    sandbox.kaltura.add_category(7, "Physics")
    sandbox.kaltura.add_category(8, "Labs", 7)
    entry_id = sandbox.add(
        "archived", content=b"video" * 1024, id="0_lecture7", created_at=1_551_441_600, last_played_at=1_583_064_000,
        plays=3, creator_id="jdoe", categories=(7, 8),
    )  # fmt: skip
    return entry_id


@pytest.mark.parametrize("command", ["list", "list --mode flavor", "health"])
def test_each_column_of_the_page_holds_what_its_example_says(
    sandbox: Sandbox, run: Run, lecture: str, command: str
) -> None:
    rows = table(f"`{command}`")
    flavor_id = original_of(sandbox, lecture).id
    for option, example in (("--legacy-columns", 3), ("--format=tsv", 4)):
        ran = run(*command.split(), "--id", lecture, option)
        header, row = (line.replace(flavor_id, "0_flavor77").split("\t") for line in ran.out.splitlines()[:2])
        names = [code(cells[0]) for cells in rows if example == 4 or cells[2] != "was not there"]
        assert [name if name != "---" else "message" for name in header] == names
        assert dict(zip(names, row, strict=True)) == {
            name: code(cells[example]) for name, cells in zip(names, rows, strict=False)
        }


def test_the_line_of_count_is_as_the_page_says(run: Run, lecture: str) -> None:
    del lecture
    ((command, then, now),) = table("`count`")
    words = code(command).split()
    assert run(*words, "--legacy-columns").out.replace("\t", " ") == f"{code(then)}\n"
    assert run(*words).out.replace("\t", " ") == f"count filter\n{code(now)}\n"


# Rows of broken entries, as kaltura_aws.py printed them beside this tool


def left_by_the_old_tool(sandbox: Sandbox) -> None:
    """Entries in every state that its `health` knew, five years old; objects without metadata, tags and checksum."""
    created = 1_638_099_079
    both = "archived_to_s3, flavors_deleted"

    def video(number: int) -> bytes:
        return f"video {number:02}\n".encode() * 2700

    def add(name: str, tags: str, content: bytes | None, stored: bytes | None = None, **fields: object) -> None:
        sandbox.kaltura.add_entry(content, id=name, tags=tags, created_at=created, **fields)  # type: ignore[arg-type]
        if stored is not None:
            sandbox.s3.put(name, stored, checksum=False)

    add("0_initial1", "lecture", video(1))
    add("0_archived", "lecture, archived_to_s3", video(2), video(2))
    add("0_replaced", both, sandbox.placeholder, video(3))
    add("0_untagged", "", video(4), video(4))
    add("0_noobject", "archived_to_s3", video(5))
    add("0_halftagd", "flavors_deleted", sandbox.placeholder, video(6))
    add("0_notagarc", "flavors_deleted", video(6))
    add("0_mismatch", "archived_to_s3", video(7), video(7) + bytes(10_000))
    add("0_unsettld", both, video(8), video(8))
    add("0_nocontnt", "archived_to_s3", None, video(9), status="7")
    add("0_errconv0", "", video(10), status="-1", original_status=-1)
    add("0_part0tag", "not_archived_to_s3_yet", video(11), video(11), exact_size=False)
    add("0_enormous", "archived_to_s3", None, b"x", content_bytes=12_000_000_000)
    sandbox.s3.put("0_enormous", b"x", checksum=False, listed_bytes=12_000_000_000)


@pytest.mark.parametrize("command", ["list", "list --mode flavor", "health"])
def test_legacy_rows_are_those_that_kaltura_aws_printed(sandbox: Sandbox, run: Run, command: str) -> None:
    """tests/kaltura_aws has what that program itself printed of this library, in the order of the lines."""
    left_by_the_old_tool(sandbox)
    header, *rows = run(*command.split(), "--legacy-columns").out.splitlines()
    for asset_id in sandbox.kaltura.assets:
        rows = [row.replace(f"\t{asset_id}\t", "\tFLAVOR\t") for row in rows]
    recorded = RECORDS / f"{command.split()[-1]}.tsv"
    assert [header, *sorted(rows)] == recorded.read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["list", "--legacy-columns", "--columns", "name"], "leave out --columns"),
        (["health", "--legacy-columns", "--columns", "name"], "leave out --columns"),
        (["count", "--legacy-columns", "--format", "csv"], "leave out --format"),
    ],
)
def test_what_legacy_columns_cannot_be_given_with_is_told(
    sandbox: Sandbox, run: Run, arguments: list[str], says: str
) -> None:
    ran = run(*arguments)
    assert (ran.code, ran.out, says in ran.err) == (2, "", True)
    assert sandbox.control.requests() == []


def test_the_old_filter_of_count_is_told_in_its_words_and_order(run: Run) -> None:
    line = run(
        "count", "--legacy-columns", "--created-within", 7, "--created-before", 2, "--played-within", 5,
        "--unplayed-for", 1, "--tag", "!xy", "--id", "0_abc", "--first-page", 2, "--max-entries", -1,
        "--media-type", "video", "--status", "-1,-2,0,1,2,7,4",
    ).out  # fmt: skip
    assert re.sub(r"\d{9,}", "T", line) == (
        "#COUNT\t0\tFilter(AND( [media_type == 1] [id == 0_abc] [NOT( [tags ~~ xy] )]"
        " [last_played_at (lessThanOrEqual T)] [last_played_at (greaterThan T)]"
        " [created_at (greaterThan T)] [created_at (lessThanOrEqual T)] ),"
        " status:-1,-2,0,1,2,7,4, [page:2 len:0 max=-1])\n"
    )


# Lines: the old one beside the new one, each on a library of its own


@dataclass(frozen=True)
class Side:
    """What one of two lines did: how it ended, what it printed, and what it left. Ids of flavors are numbered."""

    code: int
    out: str
    err: str
    left: dict[str, str]
    files: dict[str, bytes]


Beside = Callable[[str], Side]


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Beside:
    """Run a line on a library that no other line has touched."""

    def run_line(line: str) -> Side:
        folder = Path(tempfile.mkdtemp(dir=tmp_path))
        monkeypatch.chdir(folder)
        (folder / "videos").mkdir()
        (folder / "ids.txt").write_text(IDS)
        (folder / "list.tsv").write_text(OLD_LIST)
        before = set(folder.rglob("*"))
        with Sandbox(tmp_path, conversion_seconds=0.02, real_videos=False) as sandbox:
            lectures(sandbox)
            for name, value in {**sandbox.environ(), "KALTURA_POLL_SECONDS": "0.01"}.items():
                monkeypatch.setenv(name, value)
            words, stdin = words_of(line)
            ended = CliRunner().invoke(cli, words, input=(folder / stdin).read_bytes() if stdin else None)
            assert not ended.exception or isinstance(ended.exception, SystemExit), ended.exception
            ids = {asset_id: f"flavor {n}" for n, asset_id in enumerate(sandbox.kaltura.assets)}
            ids[sandbox.kaltura.url] = "http://kaltura"
            return Side(
                ended.exit_code,
                named(ended.stdout, ids),
                named(ended.stderr, ids),
                {entry_id: state(sandbox, entry_id) for entry_id in sandbox.kaltura.entries if "lecture" in entry_id},
                {str(p.relative_to(folder)): p.read_bytes() for p in set(folder.rglob("*")) - before if p.is_file()},
            )

    return run_line


def named(text: str, ids: dict[str, str]) -> str:
    return re.sub("|".join(ids), lambda match: ids[match[0]], text)


def state(sandbox: Sandbox, entry_id: str) -> str:
    """What there is of an entry: its tags, its original's bytes, and the stored copy with its tags' names."""
    original = sandbox.kaltura.original(entry_id)
    shown = hashlib.sha256(sandbox.kaltura.content(original.id) if original else b"").hexdigest()
    stored = sandbox.s3.body(entry_id)
    tags = ", ".join(sorted(sandbox.s3.tags(entry_id))) if stored else ""
    return f"{sandbox.kaltura.entries[entry_id].tags}; {shown}; {len(stored or b'')} bytes tagged {tags}"


def words_of(line: str) -> tuple[list[str], str]:
    """The words for our program of a line of shell, and the file that it has for stdin."""
    line = re.sub(r"^docker run .* IMAGE ", "", line)  # whose entry point is our program
    stdin = ""
    if piped := re.fullmatch(r"cat (\S+) \| (.*)", line):
        stdin, line = piped.groups()
    words = shlex.split(line.removeprefix("python "))
    return words[1:] if words[0] == "kaltura-archiver" else words, stdin


LINES = [[code(then), code(now), differs] for then, now, differs in table("Lines")]
DIRECTORY = ("add_ldap_status.py", "puldap.py")


@pytest.fixture(scope="module")
def campus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    authority = Authority.named("test authority")
    people = [person("jdoe", displayName="Jane Q. Doe", ou="History")]
    server = Slapd(tmp_path_factory.mktemp("campus") / "d", authority.server("localhost"), authority.pem, people)
    yield server
    server.stop()


@pytest.mark.parametrize(("then", "now"), [line[:2] for line in LINES])
def test_the_new_line_does_what_the_old_one_does_here(
    alone: Beside, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, then: str, now: str
) -> None:
    if any(name in then for name in DIRECTORY):
        for name, value in request.getfixturevalue("campus").environ().items():
            monkeypatch.setenv(name, value)
    old = alone(then)
    if old.code == 2:  # it is not run, and names the new one
        assert f" is now: {now.removeprefix('docker run --env-file env.list IMAGE ')}" in old.err
        program = Path(__file__).parents[2] / now.split()[-1]
        assert program.is_file() if "jobs/" in now else alone(f"{now} --help").code == 0
        return
    new = alone(now)
    # Several workers end their entries in any order; a second may pass between the two.
    lines = [sorted(re.sub(r"T\d\d:\d\d:\d\dZ", "", ran.out).splitlines()) for ran in (old, new)]
    assert (old.code, lines[0]) == (new.code, lines[1]), old.err
    assert (old.left, old.files) == (new.left, new.files), old.err
    assert old.code in (0, 1, 3), old.err
    assert len(old.out.splitlines()) > 1 or old.files


def test_every_line_that_acts_does_so(alone: Beside) -> None:
    """So that the lines above are not alike for want of a deed."""
    untouched = alone("kaltura-archiver count").left
    acting = [then for then, _, _ in LINES if re.search(r" --(s3copy|restore)\b", then)]
    assert len(acting) == 4
    for line in acting:
        assert alone(line).left != untouched, line


RECORDED = [line.split("\t") for line in (RECORDS / "lines.tsv").read_text(encoding="utf-8").splitlines()[1:]]


@pytest.mark.parametrize(("line", "found"), RECORDED)
def test_a_line_finds_what_it_found_unless_the_page_says_otherwise(alone: Beside, line: str, found: str) -> None:
    """lines.tsv has what kaltura_aws.py itself found in this library: ids of entries, or their number."""
    (differs,) = [differs for then, _, differs in LINES if f" {line}" in shlex.join(shlex.split(then))]
    header, *rows = [row.split("\t") for row in alone(f"kaltura_aws.py {line}").out.splitlines()]
    column = header.index("count" if " count " in f" {line}" else "entry_id")
    assert (" ".join(sorted(row[column] for row in rows)) == found) is (not differs), rows


def test_each_line_of_the_page_that_only_looks_was_recorded() -> None:
    looking = [then for then, _, _ in LINES if re.search(r"kaltura_aws.py.* (list|count|health)\b", then)]
    assert len(looking) == len(RECORDED) == 14


# Options


def test_each_option_of_the_page_is_one_of_its_command() -> None:
    usual = ("list", "count", "health", "s3copy", "replace_video", "restore", "repair")
    for names, of, _ in table("Options"):
        commands = re.findall(r"`(\w+)`", of) or usual
        context = click.Context(cli)
        owners: list[click.Command] = [cli] if of == "the program" else [
            found for name in commands if (found := cli.get_command(context, name))
        ]  # fmt: skip
        assert owners
        for option in re.findall(r"--?\w[\w]*", names):
            for command in owners:
                if option == "-m" and of:
                    command = cli.commands["list"]
                known = {name.replace("-", "_") for param in command.params for name in param.opts}
                whole = option.replace("-", "_")
                assert [name for name in known if name.startswith(whole)], f"{command.name} has no {option}"


# What users of that tool give it, and read of it
OLD_OPTIONS = (
    "--tag", "--category", "--plays", "--status", "--media_type", "--created_within", "--created_before",
    "--played_within", "--unplayed_for", "--id", "--idfile", "--first_page", "--page_size", "--max_entries", "--mode",
    "--s3copy", "--replace", "--restore", "--repair", "--tmp", "--wait_ready", "--loglevel", "--tsv", "--creatorId",
    "--entryId", "--expr", "--out", "-t", "-c", "-p", "-u", "-i", "-I", "-f", "-s", "-M", "-w", "-l", "-m", "-e", "-o",
)  # fmt: skip
OLD_VARIABLES = (
    "KALTURA_PARTNERID", "KALTURA_SECRET", "KALTURA_USERID", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_BUCKET",
    "PLACEHOLDER_VIDEO", "LDAP_SERVER", "LDAP_PORT", "LDAP_USER", "LDAP_PWD", "N_YEARS", "DOIT",
)  # fmt: skip
OLD_COMMANDS = ("config", "list", "count", "s3copy", "replace_video", "restore_from_s3", "health", "repair", "download")
OLD_PROGRAMS = (
    "stats.py", "add_ldap_status.py", "puldap.py", "docker_run_task.py", "archive.rc", "restore.rc", "health.rc",
)  # fmt: skip
OLD_COLUMNS = {
    "`list`": "last_played_date plays entry_id status archived_to_s3 flavors_deleted created_date created creator_id"
    " category_ids categories",
    "`list --mode flavor`": "entry_id flavor_id original size_KB created_date deleted_date status",
    "`health`": "entry_id status-ok original orig_status archived_to_s3 flavors_deleted created_date s3-size orig_KB"
    " size_match message",
    "`enrich`": "ldap_status name org_unit",
}


def test_no_option_setting_command_or_column_is_without_a_row() -> None:
    options = {word for names, *_ in table("Options") for word in re.findall(r"--?\w+", names)}
    assert options >= set(OLD_OPTIONS)
    assert {name for names, _ in table("Settings") for name in re.findall(r"\w+", names)} >= set(OLD_VARIABLES)
    lines = " ".join(then for then, _, _ in LINES)
    for name in OLD_COMMANDS:
        assert re.search(rf"kaltura_aws.py (-\S+ \w+ )?{name}\b", lines), name
    for name in OLD_PROGRAMS:
        assert re.search(rf"(?<![\w.]){re.escape(name)}\b", lines), name
    for title, columns in OLD_COLUMNS.items():
        assert [code(cells[0]) for cells in table(title)][: len(columns.split())] == columns.split()


# Exit statuses and log lines


@pytest.mark.parametrize(("line", "now"), [(code(line), int(now)) for _, line, _, now in table("Exit status")])
def test_a_line_ends_with_the_status_of_the_page(alone: Beside, line: str, now: int) -> None:
    assert alone(line).code == now


@pytest.mark.parametrize(("line", "now"), [(code(line), now) for line, _, now in table("Log lines") if "`" in now[:1]])
def test_a_line_logs_what_the_page_says(alone: Beside, line: str, now: str) -> None:
    told = re.findall("`([^`]*)`", now)[0]
    entry_id = line.split()[-1]
    words = [re.escape(part).replace("ID", entry_id) for part in told.split("…")]
    said = alone(f"kaltura_aws.py {line}").err
    assert re.search(".*".join(words), said), said


def anchors(page: Path) -> set[str]:
    """Of each heading, as GitHub and GitLab make them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_each_link_of_the_page_leads_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]*)(#[^)]*)?\)", PAGE)
    assert links
    for file, anchor in links:
        page = DOCS / (file or "migrating.md")
        assert not anchor or anchor[1:] in anchors(page), (file, anchor)
        assert page.is_file(), file


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--archived-before", "0.1"], "[archived <= "),
        (["--replaced-before", "0.1"], "[replaced <= "),
        (["--category", "Faculty"], "category == 7"),
    ],
)
def test_the_old_line_of_count_tells_each_criterion(sandbox: Sandbox, run: Run, options: list[str], words: str) -> None:
    sandbox.kaltura.add_category(7, "Faculty")
    sandbox.add("archived")
    assert words in run("count", "--legacy-columns", *options).out
