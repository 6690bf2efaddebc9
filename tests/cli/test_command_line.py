"""How a command line is read: the short options of kaltura_aws.py, and beginnings of options."""

from __future__ import annotations

import re

import pytest
from conftest import Ran, Run

from kaltura_archiver.sandbox.world import Sandbox


def refused(sandbox: Sandbox, ran: Ran) -> str:
    assert (ran.code, ran.out, len(ran.err.splitlines())) == (2, "", 1), ran.err
    assert sandbox.control.requests() == []
    return ran.err


@pytest.fixture
def library(sandbox: Sandbox) -> list[str]:
    """Four entries by age, the oldest first."""
    sandbox.kaltura.add_category(7, "Physics")
    now = sandbox.control.clock.now()
    year = 365.25 * 86400
    return [
        sandbox.kaltura.add_entry(
            b"video" * 100, id=f"0_entry{n}", tags="archived_to_s3" if n % 2 else "lecture", plays=n,
            categories=(7,) if n > 1 else (), created_at=now - (10 - n) * year, last_played_at=now - (8 - 2 * n) * year,
            media_type=5 if n == 3 else 1,
        ).id
        for n in range(4)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("short", "whole"),
    [
        ("-t archived_to_s3", "--tag archived_to_s3"),
        ("-t !archived_to_s3", "--tag !archived_to_s3"),
        ("-c 7", "--category 7"),
        ("-p 7", "--played-within 7"),
        ("-u 5", "--unplayed-for 5"),
        ("-i 0_entry1", "--id 0_entry1"),
        ("-I ids.txt", "--idfile ids.txt"),
        ("-s 1 -f 2 -M 1", "--page-size 1 --first-page 2 --max-entries 1"),
        ("-M -1", "--max-entries -1"),
        ("-m audio", "--media-type audio"),
        ("-m flavor", "--mode flavor"),
        ("-m video -i 0_entry0", "--mode video --id 0_entry0"),
        ("-m flavor --media-type audio", "--mode flavor --media-type audio"),
    ],
)
def test_short_options_are_as_they_were(run: Run, library: list[str], short: str, whole: str) -> None:
    with open("ids.txt", "w") as file:
        file.write(f"{library[0]}\n")
    ran = run("list", *short.split())
    assert (ran.code, ran.out) == (0, run("list", *whole.split()).out)
    assert ran.rows
    assert ran.out != run("list").out or short == "-M -1"


def test_the_log_level_has_its_letter_and_waiting_too(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add("placeholder")
    assert run("-l", "ERROR", "restore_from_s3", "-w", "-i", entry_id).err == ""
    assert run("-l", "INFO", "restore_from_s3", "--restore", "-w", "-i", entry_id).outcomes == {entry_id: "done"}


def test_minus_m_is_the_kind_of_media_of_every_other_command(run: Run, library: list[str]) -> None:
    assert run("count", "-m", "audio").rows[0]["count"] == "1"
    assert [row["entry_id"] for row in run("health", "-m", "audio").rows] == [library[3]]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("list -m flavour", "'video', 'flavor'"),
        ("list -m audio --media-type image", "--media-type is given 2 times"),
        ("count -m flavor", "'video', 'audio', 'image'"),
    ],
)
def test_another_mode_is_refused_with_those_that_there_are(sandbox: Sandbox, run: Run, words: str, says: str) -> None:
    assert says in refused(sandbox, run(*words.split()))


@pytest.mark.parametrize(
    ("given", "asked", "word"), [(0, 500, False), (500, 500, False), (501, 500, True), (1, 1, False)]
)
def test_a_page_has_at_most_500_entries_and_0_is_that_too(
    sandbox: Sandbox, run: Run, library: list[str], given: int, asked: int, word: bool
) -> None:
    ran = run("list", "--page_size", given)
    assert [row["entry_id"] for row in ran.rows] == library[:3]
    sizes = {r.parameters["pager"]["pageSize"] for r in sandbox.control.requests("eSearch.searchEntry")}
    assert sizes == {str(asked)}
    assert ("--page-size 501: Kaltura gives 500 at most" in ran.err) is word
    assert (ran.code, bool(ran.err)) == (0, word)
    assert run("list", "--page_size", -1).code == 2


# Beginnings, as argparse read them for the old tool


@pytest.mark.parametrize(
    ("begun", "whole"),
    [
        ("--max 1", "--max-entries 1"),
        ("--max_e=1", "--max-entries=1"),
        ("--unpl 5", "--unplayed-for 5"),
        ("--created_w 8.5", "--created-within 8.5"),
        ("--ta archived_to_s3 --cat 7", "--tag archived_to_s3 --category 7"),
        ("--stat 2 -1 --max 1", "--status 2 --status -1 --max-entries 1"),
    ],
)
def test_the_unique_beginning_of_an_option_is_understood(run: Run, library: list[str], begun: str, whole: str) -> None:
    del library
    ran = run("list", *begun.split())
    assert (ran.code, ran.out) == (0, run("list", *whole.split()).out)
    assert len(ran.rows) < 3
    assert run("--logl", "ERROR", "count").code == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("list --created 3", "--created may be --created-before or --created-within: write it out"),
        (
            "s3copy --max 3",
            "--max may be --max-bytes, --max-calls, --max-cost, --max-entries or --max-transfers: write it out",
        ),
        ("--log INFO list", "--log may be --log-format, --log-level or --loglevel: write it out"),
        ("replace_video --rep", "--rep may be --replace or --replaced-before: write it out"),
        ("list --played-for 3", "No such option '--played-for'"),
        ("list -x 3", "No such option '-x'"),
    ],
)
def test_a_beginning_of_several_options_is_refused_with_all_of_them(
    sandbox: Sandbox, run: Run, words: str, says: str
) -> None:
    assert says in refused(sandbox, run(*words.split()))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("health -v", "-v stands before the command: cli -v health …"),
        ("list -l DEBUG", "-l stands before the command: cli -l LEVEL list …"),
        ("run --log_level=INFO", "--log-level stands before the command: cli --log-level LEVEL run …"),
        ("policy --env-file x check", "--env-file FILE policy …"),
        ("explain --id 0_entry0", "the id stands alone: cli explain 0_abc12345"),
        ("explain -i 0_entry0", "the id stands alone"),
        ("restore 0_entry0 --no-dry-run", "entries are named with --id: --id 0_entry0"),
        ("download 0_entry0", "entries are named with --id: --id 0_entry0"),
        ("count --all", "count needs no --all: without a criterion all entries match"),
        ("health --all", "health needs no --all"),
    ],
)
def test_what_stands_elsewhere_or_alone_is_told(sandbox: Sandbox, run: Run, words: str, says: str) -> None:
    assert says in refused(sandbox, run(*words.split()))


@pytest.mark.parametrize(
    ("words", "option"),
    [
        # Of a script's `--request-tag "$TAG"`, say, without the variable: it brought back everything.
        ("restore --tag flavors_deleted --no-dry-run --request-tag", "--request-tag"),
        ("plan restore --all --output plan.jsonl --request-tag", "--request-tag"),
        ("list --shard", "--shard"),
        ("restore --all --cluster", "--cluster"),
        ("list --tag lecture --tag", "--tag"),
        ("s3copy --all --keep-tag", "--keep-tag"),
        ("report --enriched", "--enriched"),
        ("--env-file", "--env-file"),
    ],
)
@pytest.mark.parametrize("value", ["", " "])
def test_an_option_that_is_given_empty_is_refused(
    sandbox: Sandbox, run: Run, words: str, option: str, value: str
) -> None:
    rest = ["count"] if option == "--env-file" else []
    assert f"{option} is given without a value" in refused(sandbox, run(*words.split(), value, *rest))


def test_an_empty_option_of_old_scripts_that_means_nothing_is_accepted(run: Run) -> None:
    assert run("s3copy", "--all", "--tmp", "").code == 0


@pytest.mark.parametrize(
    ("words", "whole"),
    [
        ("s3copy --id 0_entry0 --s3", "--s3copy"),
        ("s3copy --id 0_entry0 --no-d", "--no-dry-run"),
        ("restore --id 0_entry0 --rest", "--restore"),
        ("s3copy --al", "--all"),
    ],
)
def test_what_lifts_a_safety_is_to_be_written_out(sandbox: Sandbox, run: Run, words: str, whole: str) -> None:
    begun = words.split()[-1]
    assert f"{begun} is no option; to mean {whole}, write it out" in refused(sandbox, run(*words.split()))


def test_an_option_without_its_value_leads_to_the_help_of_its_command(run: Run) -> None:
    ran = run("s3copy", "--tag")
    assert ran.code == 2
    assert re.fullmatch(r"error: Option '--tag' requires an argument. \(see \S+ s3copy --help\)\n", ran.err)
