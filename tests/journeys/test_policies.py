"""Nine published rules of universities, as files in examples/policies, each played over years on the sandbox."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import time_machine
from conftest import Run
from looking import assets_of, original_of, tags_of
from mailsink import MailSink

from kaltura_archiver.cli.policy_file import read_policy
from kaltura_archiver.config import read_settings
from kaltura_archiver.model import ARCHIVED_TAG, REPLACED_TAG, State
from kaltura_archiver.run import notices
from kaltura_archiver.sandbox.world import Sandbox

POLICIES = Path(__file__).parents[2] / "examples" / "policies"
BEGIN = datetime(2027, 3, 1, 12, tzinfo=UTC).timestamp()
DAY, YEAR = 86400, 365.25 * 86400
LECTURES, LAW = 7, 8
# What an entry is by its tags: untouched, archived, replaced.
NO, ARCHIVED, REPLACED = "", ARCHIVED_TAG, f"{ARCHIVED_TAG}, {REPLACED_TAG}"


@dataclass(frozen=True)
class Case:
    """A policy; what is in the library, by name (`age_years`, and fields of the entry); and what each is after the runs
    of a day, so many days after the beginning. `due`: whom the list names then."""

    file: str
    library: Mapping[str, Mapping[str, Any]]
    days: Mapping[int, Mapping[str, str]]
    due: Mapping[int, set[str]] = field(default_factory=dict)
    restored: str = ""  # by a ticket, after the first day


def aged(years: float, **fields: Any) -> dict[str, Any]:
    return {"age_years": years, "categories": (LECTURES,), **fields}


KEPT = aged(9, tags="keep")
CASES = [
    Case(
        "psu-2025",
        # Of the first of March the last of its days is the 15th of December.
        {"old": aged(5), "turned since": aged(3.1), "young": aged(1), "kept": KEPT},
        {
            0: {"old": ARCHIVED, "turned since": NO},
            20: {"old": ARCHIVED},
            31: {"old": REPLACED, "turned since": NO},
            76: {"turned since": ARCHIVED, "young": NO, "kept": NO},
            107: {"turned since": REPLACED, "young": NO, "kept": NO},
        },
    ),
    Case(
        "um-system",
        {"zoom": aged(1.5, admin_tags="zoomentry"), "other": aged(1.5), "older": aged(2.5), "kept": KEPT},
        {0: {"zoom": REPLACED, "other": NO, "older": REPLACED, "kept": NO}, 200: {"other": REPLACED, "kept": NO}},
        restored="zoom",
    ),
    Case(
        "niu",
        {
            "left": aged(1.2, creator_id="gone"),
            "here": aged(1.2, creator_id="anna"),
            "nowhere": aged(1.05, categories=()),
            "long": aged(1.05, duration_ms=2 * 3_600_000),
            "kept": KEPT,
        },
        {0: {"left": REPLACED, "here": NO, "nowhere": REPLACED, "long": REPLACED, "kept": NO}, 900: {"here": NO}},
        restored="left",
    ),
    Case(
        "cambridge-bath",
        {"old": aged(3), "turned since": aged(2.3), "young": aged(0.4), "kept": KEPT},
        {
            0: {"old": REPLACED, "turned since": NO},
            150: {"turned since": NO},
            160: {"turned since": REPLACED, "young": NO},
        },
        restored="old",
    ),
    Case(
        "temple",
        {"law": aged(3, categories=(LAW,)), "old": aged(2.5), "young": aged(1), "kept": KEPT},
        {
            0: {"law": NO, "old": REPLACED, "young": NO},
            300: {"law": NO, "young": NO},
            370: {"law": REPLACED, "young": REPLACED, "kept": NO},
        },
        restored="old",
    ),
    Case(
        "minnesota-state",
        {"old": aged(6), "four": aged(4), "kept": KEPT},
        {
            0: {"old": REPLACED, "four": NO},
            700: {"old": REPLACED, "four": REPLACED},
            800: {"old": REPLACED, "kept": NO},
        },
        due={0: set(), 700: set(), 800: {"old"}},
    ),
    Case(
        "colby",
        {"old": aged(4.5), "sound": aged(4.5, media_type=5), "young": aged(2), "kept": KEPT},
        {
            0: {"old": REPLACED, "sound": ARCHIVED, "young": NO},
            1000: {"old": REPLACED, "sound": ARCHIVED, "young": REPLACED},
        },
        due={0: set(), 1000: {"old", "sound"}},
    ),
    Case(
        "gvsu-oxford",
        {"old": aged(1.2), "young": aged(0.5), "kept": KEPT},
        {0: {"old": REPLACED, "young": NO}, 300: {"young": REPLACED}, 2200: {"old": REPLACED, "kept": NO}},
        due={0: set(), 300: set(), 2200: {"old"}},
    ),
]  # fmt: skip


@pytest.fixture(autouse=True)
def sink(monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox) -> Iterator[MailSink]:
    monkeypatch.setattr(notices, "PER_MINUTE", 1e6)
    Path("left-owners.txt").write_text("gone\n")
    Path("people.csv").write_text("uid,displayName,ou,mail,ldap_status\nanna,Anna A.,Physics,anna@example.edu,active\n")
    sandbox.kaltura.add_category(LECTURES, "Lectures")
    sandbox.kaltura.add_category(1, "Department")
    for number, name in enumerate(("Art", "Dance", "Film", "Law", "Music", "Nursing")):
        sandbox.kaltura.add_category(LAW if name == "Law" else 20 + number, name, parent=1)
    with MailSink() as running:
        for name, value in running.environ(NOTIFY_FROM="Video archive <archive@example.edu>").items():
            monkeypatch.setenv(name, value)
        yield running


def _at(day: float) -> Any:
    return time_machine.travel(BEGIN + day * DAY)


def _listed() -> set[str]:
    tables = sorted(Path("lists").glob("*-due-*.csv")) if Path("lists").exists() else []
    return {row["entry_id"] for path in tables for row in csv.DictReader(path.read_text().splitlines())}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.file)
def test_a_published_rule_is_carried_out_over_years(case: Case, sandbox: Sandbox, run: Run, sink: MailSink) -> None:
    policy = POLICIES / f"{case.file}.toml"
    with _at(0):
        ids = {
            name: sandbox.add(State.INITIAL, **{"creator_id": "anna", **made}) for name, made in case.library.items()
        }
    before = {entry_id: _shown(sandbox, entry_id) for entry_id in ids.values()}
    for day, expected in case.days.items():
        with _at(day):
            acted = run("run", policy, "--no-dry-run")
            assert acted.code == 0, acted.err
            again = run("run", policy, "--no-dry-run")
            assert (again.code, again.rows) == (0, []), "nothing is done twice"
            for name, tags in expected.items():
                assert _ours(sandbox, ids[name]) == tags, (name, day, acted.out)
            assert _listed() == {ids[name] for name in case.due.get(day, set())}
            if case.restored and day == 0:
                assert run("restore", "--id", ids[case.restored], "--no-dry-run").code == 3  # Glacier
                sandbox.s3.thaw(ids[case.restored])
                assert run("restore", "--id", ids[case.restored], "--no-dry-run").code == 0
                assert run("run", policy, "--no-dry-run").rows == [], "what was brought back is left alone"
    told = [address for address, _ in sink.mail]
    assert len(told) == (2 if case.file == "psu-2025" else 0)
    with _at(max(case.days) + 1):
        _bring_back(sandbox, run, list(ids.values()))
    assert {entry_id: _shown(sandbox, entry_id) for entry_id in ids.values()} == before


def _shown(sandbox: Sandbox, entry_id: str) -> bytes:
    """The bytes of the original that Kaltura has."""
    asset = original_of(sandbox, entry_id)
    return asset.contents[int(asset.version)].data


def _ours(sandbox: Sandbox, entry_id: str) -> str:
    there = {tag.strip() for tag in tags_of(sandbox, entry_id).split(",")}
    return ", ".join(tag for tag in (ARCHIVED_TAG, REPLACED_TAG) if tag in there)


def _bring_back(sandbox: Sandbox, run: Run, ids: list[str]) -> None:
    for entry_id in (one for one in ids if REPLACED_TAG in tags_of(sandbox, one)):
        if run("restore", "--id", entry_id, "--no-dry-run").code == 3:
            sandbox.s3.thaw(entry_id)
            assert run("restore", "--id", entry_id, "--no-dry-run").code == 0


def test_derived_flavors_go_first_and_the_original_stays(sandbox: Sandbox, run: Run) -> None:
    policy = POLICIES / "ucsd.toml"
    with _at(0):
        old, young = (sandbox.add(State.INITIAL, age_years=age, derived=3) for age in (2.5, 1.5))
        before = _shown(sandbox, old)
        assert run("run", policy, "--no-dry-run").outcomes == {old: "done"}
        assert len(assets_of(sandbox, old)) < len(assets_of(sandbox, young)) == 4
        assert run("run", policy, "--no-dry-run").rows == []
    with _at(1.7 * 365):
        run("run", policy, "--no-dry-run")
        assert _listed() == {old}
    assert _shown(sandbox, old) == before
    assert _ours(sandbox, old) == NO


def test_every_example_can_be_read_and_is_played() -> None:
    files = {path.stem for path in POLICIES.glob("*.toml")}
    assert files == {case.file for case in CASES} | {"ucsd"}
    for path in POLICIES.glob("*.toml"):
        Path("left-owners.txt").write_text("gone\n")
        assert read_policy(str(path), read_settings(None), BEGIN).rules
