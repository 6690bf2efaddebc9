"""What docs/migrating.md tells those who come from kaltura_aws.py is so: its tables are tried on the sandbox.

What is said of the old tool was seen of it, run beside this one on one library (akinom/kaltura_archiver at cac0231).
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from conftest import Run
from looking import original_of

from kaltura_archiver.sandbox.world import Sandbox

PAGE = (Path(__file__).parent.parent / "docs" / "migrating.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    """What stands below the heading, down to the next one."""
    return re.split(rf"^#+ {re.escape(title)}$", PAGE, flags=re.MULTILINE)[1].partition("\n#")[0]


def table(title: str) -> list[list[str]]:
    """The cells of the first table below a heading, without its head."""
    lines = [line for line in section(title).splitlines() if line.startswith("|")]
    return [[cell.strip(" ") for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines[2:]]


def code(cell: str) -> str:
    """What stands in a cell as code, blanks included; empty for an empty cell."""
    return cell.strip("`").replace("\\|", "|")


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
    recorded = Path(__file__).parent / "kaltura_aws" / f"{command.split()[-1]}.tsv"
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
    ).out  # fmt: skip
    assert re.sub(r"\d{9,}", "T", line) == (
        "#COUNT\t0\tFilter(AND( [media_type == 1] [id == 0_abc] [NOT( [tags ~~ xy] )]"
        " [last_played_at (lessThanOrEqual T)] [last_played_at (greaterThan T)]"
        " [created_at (greaterThan T)] [created_at (lessThanOrEqual T)] ),"
        " status:-1,-2,0,1,2,7,4, [page:2 len:0 max=-1])\n"
    )
