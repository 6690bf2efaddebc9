"""`--shard I/N`: a library divided among machines, without anything between them."""

from __future__ import annotations

import random
import string

import pytest
from conftest import Run

from kaltura_archiver.filters import Query
from kaltura_archiver.sandbox.world import Sandbox


def test_the_shares_hold_each_entry_once_and_are_balanced() -> None:
    draw = random.Random(7)
    ids = ["0_" + "".join(draw.choices(string.ascii_lowercase + string.digits, k=8)) for _ in range(20_000)]
    queries = [Query(shard=(index, 7)) for index in range(7)]
    shares = [[entry_id for entry_id in ids if query.in_shard(entry_id)] for query in queries]
    assert sorted(entry_id for share in shares for entry_id in share) == sorted(ids)
    assert all(abs(len(share) - 20_000 / 7) < 0.05 * 20_000 / 7 for share in shares)
    # By the id alone: the same whatever else there is.
    assert [entry_id for entry_id in ids[:500] if queries[3].in_shard(entry_id)] == shares[3][
        : sum(map(queries[3].in_shard, ids[:500]))
    ]


def test_the_shares_of_a_selection_add_up_to_it(sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(30):
        sandbox.add("initial")

    def listed(*arguments: str) -> list[str]:
        return sorted(row["entry_id"] for row in run("list", *arguments).rows)

    everything = listed()
    shares = [listed("--shard", f"{index}/3") for index in range(3)]
    assert sorted(entry_id for share in shares for entry_id in share) == everything
    assert all(shares)
    assert run("count", "--shard", "1/3").rows[0]["count"] == str(len(shares[1]))
    assert (
        listed("--shard", "1/3", *(argument for entry_id in everything for argument in ("--id", entry_id))) == shares[1]
    )
    # As AWS Batch tells an array job.
    monkeypatch.setenv("AWS_BATCH_JOB_ARRAY_INDEX", "1")
    monkeypatch.setenv("AWS_BATCH_JOB_ARRAY_SIZE", "3")
    assert listed() == shares[1]
    assert listed("--shard", "0/3") == shares[0]
    monkeypatch.setenv("AWS_BATCH_JOB_ARRAY_INDEX", "3")
    ran = run("list")
    assert (ran.code, ran.out) == (2, "")
    assert "AWS_BATCH_JOB_ARRAY_INDEX" in ran.err


@pytest.mark.parametrize("shard", ["3/3", "1", "-1/3", "0/0", "a/b", "1/3/5", "1/", " 1/3"])
def test_a_share_that_is_none_selects_nothing(run: Run, sandbox: Sandbox, shard: str) -> None:
    ran = run("s3copy", "--shard", shard, "--all", "--no-dry-run")
    assert (ran.code, ran.out) == (2, "")
    assert "--shard" in ran.err
    assert sandbox.control.requests() == []


def test_a_share_alone_is_no_criterion(run: Run, sandbox: Sandbox) -> None:
    ran = run("s3copy", "--shard", "0/3")
    assert ran.code == 2
    assert "without any selection criterion" in ran.err
