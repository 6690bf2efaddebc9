"""The published policies in examples/policies, each played over years, as a site would run it."""

from __future__ import annotations

import csv
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from conftest import Run
from looking import do_not_probe, shown, tags_of
from mailsink import MailSink

from kaltura_archiver.cli.policy_file import read_policy
from kaltura_archiver.config import read_settings
from kaltura_archiver.model import ARCHIVED_TAG, REPLACED_TAG, State
from kaltura_archiver.run import notices
from kaltura_archiver.sandbox.world import Sandbox

FOLDER = Path(__file__).parents[2] / "examples" / "policies"
PEOPLE = "uid,displayName,ou,mail,ldap_status\nanna,Anna A.,Physics,anna@example.edu,active\n"
PEOPLE += "gone,Gone G.,Music,,inactive\n"
DEPARTMENTS = (
    "Charles Library", "College of Public Health", "Lewis Katz School of Medicine",
    "Maurice H. Kornberg School of Dentistry", "School of Pharmacy", "School of Podiatric Medicine",
)  # fmt: skip
ANNA, DESK = "anna@example.edu", "kaltura-desk@niu.example.edu"


@dataclass(frozen=True)
class Step:
    """On a `day`: first what people do (`play`, `restore`: names of entries), then a run. `becomes`: what is not as it
    was before; `mails`: to whom."""

    day: str
    becomes: Mapping[str, str] = field(default_factory=dict)
    mails: tuple[str, ...] = ()
    play: str = ""
    restore: str = ""


@dataclass(frozen=True)
class Played:
    """`library`: the fields of each entry by its name; `created` is a day. All begin as `kept`: as they were."""

    library: Mapping[str, Mapping[str, Any]]
    steps: tuple[Step, ...]


POLICIES = {
    "psu-2025": Played(
        {
            "old": {"created": "2027-01-01"}, "young": {"created": "2029-06-01"},
            "exempt": {"created": "2020-01-01", "tags": "keep"},
            "played": {"created": "2027-01-01", "more": {"entitledUsersEdit": "carla"}},
            "brought back": {"created": "2026-01-01"},
        },
        (
            Step(
                "2031-02-18", {"old": "archived", "played": "archived", "brought back": "archived"},
                (ANNA, "carla@psu.edu"),
            ),
            Step("2031-03-10", play="played"),
            Step("2031-03-22", {"old": "replaced", "brought back": "replaced"}),
            Step("2031-05-01", {"brought back": "archived"}, restore="brought back"),
            Step("2031-09-14"),
            Step("2031-09-16", {"old": "due"}),
            Step("2032-09-16", {"young": "archived"}, (ANNA,)),
            Step("2032-10-20", {"young": "replaced"}),
            Step("2033-02-18", {"young": "due"}),
        ),
    ),
    "um-system": Played(
        {
            "zoom": {"created": "2030-01-01", "admin_tags": "zoomentry"}, "young": {"created": "2030-01-01"},
            "old": {"created": "2029-01-01"}, "new zoom": {"created": "2030-09-01", "admin_tags": "zoomentry"},
            "exempt": {"created": "2020-01-01", "tags": "keep"},
            "played zoom": {"created": "2030-05-01", "admin_tags": "zoomentry"},
        },
        (
            Step("2031-06-14"),
            Step("2031-06-16", {"zoom": "replaced", "old": "replaced"}, play="played zoom"),
            Step("2031-08-01", {"old": "archived"}, restore="old"),
            Step("2032-06-16", {"zoom": "due", "young": "replaced", "new zoom": "replaced"}),
            Step("2033-06-16", {"young": "due", "new zoom": "due", "played zoom": "replaced"}),
            Step("2034-06-16", {"played zoom": "due", "old": "replaced"}),
        ),
    ),
    "niu": Played(
        {
            "left": {"created": "2029-12-20", "categories": (1,), "creator_id": "gone"},
            "left young": {"created": "2030-02-01", "categories": (1,), "creator_id": "gone"},
            "unpublished": {"created": "2029-12-20"}, "published": {"created": "2020-01-01", "categories": (1,)},
            "long": {"created": "2029-12-20", "categories": (1,), "duration_ms": 4_000_000},
            "exempt": {"created": "2020-01-01", "tags": "keep"}, "played": {"created": "2020-01-01"},
        },
        (
            Step(
                "2031-02-01",
                {"left": "archived", "unpublished": "archived", "long": "archived", "played": "archived"},
                (ANNA, ANNA, DESK),
            ),
            Step("2031-02-20", play="played"),
            Step("2031-03-06", {
                "left": "replaced", "unpublished": "replaced", "long": "replaced", "left young": "archived",
            }, (DESK,)),
            Step("2031-04-01", {"unpublished": "archived"}, restore="unpublished"),
            Step("2031-04-10", {"left young": "replaced"}),
            Step("2032-03-20", {"left": "due", "played": "archived"}, (ANNA,)),
        ),
    ),
    "cambridge-bath": Played(
        {
            "before 2018": {"created": "2017-01-01"}, "this year": {"created": "2030-10-01"},
            "next year": {"created": "2031-09-10"}, "exempt": {"created": "2029-01-01", "tags": "keep"},
            "brought back": {"created": "2031-01-01"},
        },
        (
            Step("2031-09-12", {
                "before 2018": "replaced", "this year": "replaced", "brought back": "replaced",
            }),
            Step("2031-10-01", {"brought back": "archived"}, restore="brought back"),
            Step("2032-08-30"),
            Step("2032-09-02", {"next year": "replaced", "brought back": "replaced"}),
            Step("2032-09-07", {"before 2018": "due"}),
            Step("2033-09-13", {"this year": "due", "next year": "due", "brought back": "due"}),
        ),
    ),
    "temple": Played(
        {
            "old": {"created": "2028-12-01", "categories": (1,)}, "young": {"created": "2029-06-01"},
            "library": {"created": "2028-12-01", "categories": (10,)},
            "pharmacy": {"created": "2026-12-01", "categories": (14,)},
            "exempt": {"created": "2020-01-01", "tags": "keep"}, "brought back": {"created": "2028-01-01"},
        },
        (
            Step("2031-01-10", {"old": "replaced", "pharmacy": "replaced", "brought back": "replaced"}),
            Step("2031-03-01", {"brought back": "archived"}, restore="brought back"),
            Step("2031-06-10", {"young": "replaced"}),
            Step("2032-02-01", {"old": "due", "pharmacy": "due"}),
            Step("2032-12-10", {"library": "replaced", "young": "due"}),
            Step("2033-03-10", {"brought back": "replaced"}),
            Step("2034-03-20", {"library": "due", "brought back": "due"}),
        ),
    ),
    "minnesota-state": Played(
        {
            "old": {"created": "2025-01-01"}, "young": {"created": "2026-06-01"},
            "played": {"created": "2020-01-01"}, "exempt": {"created": "2020-01-01", "tags": "keep"},
            "by ticket": {"created": "2022-01-01"},
        },
        (
            Step("2031-03-02", {"old": "archived", "played": "archived", "by ticket": "archived"}, (ANNA,)),
            Step("2031-03-12", play="played"),
            Step("2031-03-25", {"old": "replaced", "by ticket": "replaced"}),
            Step("2031-05-01", {"by ticket": "archived"}, restore="by ticket"),
            Step("2032-02-20"),
            Step("2032-03-02", {"young": "archived"}, (ANNA,)),
            Step("2032-03-25", {"young": "replaced"}),
            Step("2033-03-02"),
            Step("2034-03-02", {"old": "due"}, (ANNA,)),
        ),
    ),
    "colby": Played(
        {
            "old": {"created": "2026-12-01"}, "young": {"created": "2028-01-01"},
            "played": {"created": "2020-01-01"}, "exempt": {"created": "2020-01-01", "tags": "keep"},
            "brought back": {"created": "2025-01-01"}, "audio": {"created": "2026-12-01", "media_type": 5},
        },
        (
            Step("2031-01-10", {
                "old": "archived", "played": "archived", "brought back": "archived", "audio": "archived",
            }, (ANNA,)),
            Step("2031-02-01", play="played"),
            Step("2031-02-12", {"old": "replaced", "brought back": "replaced"}),
            Step("2031-05-01", {"brought back": "archived"}, restore="brought back"),
            Step("2032-01-10", {"young": "archived"}, (ANNA,)),
            Step("2032-02-12", {"young": "replaced"}),
            Step("2033-12-10", {"old": "due", "audio": "due"}),
        ),
    ),
    "ucsd": Played(
        {
            "two": {"created": "2028-12-01"}, "four": {"created": "2026-12-01"}, "young": {"created": "2029-06-01"},
            "exempt": {"created": "2020-01-01", "tags": "keep"}, "played": {"created": "2020-01-01"},
        },
        (
            Step(
                "2031-01-16", {"four": "archived", "played": "archived"}, (ANNA, ANNA),
            ),
            Step("2031-01-20", play="played"),
            Step("2031-01-26", {"four": "replaced", "two": "one flavor"}),
            Step("2031-07-14"),
            Step("2031-07-16", {"four": "due"}, (ANNA,)),
            Step("2031-07-26", {"young": "one flavor"}),
            Step("2033-01-16", {"two": "archived"}, (ANNA,)),
            Step("2033-01-26", {"two": "replaced"}),
        ),
    ),
    "gvsu-oxford": Played(
        {
            "old": {"created": "2029-11-20"}, "young": {"created": "2030-01-10"},
            "exempt": {"created": "2020-01-01", "tags": "keep"}, "played": {"created": "2020-01-01"},
            "brought back": {"created": "2025-01-01"},
        },
        (
            Step("2031-01-02", {"old": "replaced", "brought back": "replaced"}, play="played"),
            Step("2031-02-02", {"brought back": "archived"}, restore="brought back"),
            Step("2031-03-02", {"young": "replaced"}),
            Step("2032-03-02", {"played": "replaced", "brought back": "replaced"}),
            Step("2037-01-02", {"old": "due", "brought back": "due"}),
            Step("2037-02-02", {"young": "due"}),
        ),
    ),
}  # fmt: skip


@pytest.fixture(autouse=True)
def sink(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[MailSink]:
    do_not_probe(monkeypatch)
    monkeypatch.setattr(notices, "PER_MINUTE", 1e6)
    (tmp_path / "people.csv").write_text(PEOPLE)
    (tmp_path / "left.txt").write_text("gone\n")
    with MailSink() as running:
        for name, value in running.environ(NOTIFY_FROM="Video archive <archive@example.edu>").items():
            monkeypatch.setenv(name, value)
        yield running


def _unix(day: str) -> float:
    return datetime.fromisoformat(f"{day}T12:00").replace(tzinfo=UTC).timestamp()


def _add(sandbox: Sandbox, fields: Mapping[str, Any]) -> tuple[str, bytes]:
    more = {"creator_id": "anna"} | {key: value for key, value in fields.items() if key != "created"}
    video = sandbox.video()
    return sandbox.add(State.INITIAL, content=video, created_at=_unix(fields["created"]), **more), video


def _due(folder: Path, day: str) -> set[str]:
    """The entries of the lists that the run of this day has written."""
    lists = folder.glob(f"*-due-{day}.csv")
    return {row["entry_id"] for one in lists for row in csv.DictReader(one.read_text().splitlines())}


def _stands(sandbox: Sandbox, due: set[str], entry_id: str) -> str:
    if entry_id in due:
        return "due"
    tags = tags_of(sandbox, entry_id)
    if REPLACED_TAG in tags:
        return "replaced"
    if ARCHIVED_TAG in tags:
        return "archived"
    derived = [asset for asset in sandbox.kaltura.library.live_assets(entry_id) if not asset.is_original]
    return "as it was" if len(derived) > 1 else "one flavor"


def _restored(run: Run, ids: list[str], at: float) -> None:
    for days in (0, 3):
        with time_machine.travel(at + days * 86400):
            run("restore", *(word for one in ids for word in ("--id", one)), "--no-dry-run")


def _policy(name: str, tmp_path: Path) -> Path:
    """The published file; only who is who is read from a file here, and no directory asked."""
    text = (FOLDER / f"{name}.toml").read_text()
    where = 'directory = "people.csv"\n'
    text = text.replace("[notice]\n", f"[notice]\n{where}") if "\n[notice]\n" in text else f"{text}\n[notice]\n{where}"
    path = tmp_path / "policy.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", POLICIES)
def test_a_published_policy_is_carried_out_over_years(
    sandbox: Sandbox, run: Run, sink: MailSink, tmp_path: Path, name: str
) -> None:
    played, policy = POLICIES[name], _policy(name, tmp_path)
    for number, category in enumerate(("Physics", *DEPARTMENTS)):
        sandbox.kaltura.add_category(number + 9 if number else 1, category)
    with time_machine.travel(_unix(played.steps[0].day)):
        made = {title: _add(sandbox, fields) for title, fields in played.library.items()}
    expected = dict.fromkeys(made, "as it was")
    mails: list[str] = []
    for step in played.steps:
        at = _unix(step.day)
        if step.restore:
            _restored(run, [made[step.restore][0]], at - 5 * 86400)
            assert shown(sandbox, made[step.restore][0]) == made[step.restore][1]
        with time_machine.travel(at):
            if step.play:
                sandbox.kaltura.edit(made[step.play][0], plays=9, last_played_at=int(at))
            acted = run("run", policy, "--no-dry-run", "--lists", tmp_path / "lists")
            assert acted.code in (0, 3), (step.day, acted.err)
            due = _due(tmp_path / "lists", step.day)
            stands = {title: _stands(sandbox, due, one) for title, (one, _) in made.items()}
            expected |= step.becomes
            assert stands == expected, (step.day, acted.out, acted.err)
            mails += step.mails
            assert sorted(address for address, _ in sink.mail) == sorted(mails), (step.day, acted.out, acted.err)
            if step is played.steps[0] or step is played.steps[-1]:
                again = run("run", policy, "--no-dry-run")
                assert [row for row in again.rows if row["outcome"] == "done"] == [], (step.day, again.out)
    end = _unix(played.steps[-1].day) + timedelta(days=10).total_seconds()
    _restored(run, [one for title, (one, _) in made.items() if REPLACED_TAG in tags_of(sandbox, one)], end)
    assert {title: shown(sandbox, one) == video for title, (one, video) in made.items()} == dict.fromkeys(made, True)


def test_each_file_is_read_and_played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert {path.stem for path in FOLDER.glob("*.toml")} == {*POLICIES}
    for path in FOLDER.glob("*.toml"):
        assert read_policy(str(path), read_settings(None), time.time()).rules
