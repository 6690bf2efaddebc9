"""Which entries a command takes: every option of legacy.md against a library whose truth is computed here, paging,
ids, limits, and the lags of the index (design 6, kaltura-api 3). The large libraries are at the end."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import Ran, Run

from kaltura_archiver.cli import cli
from kaltura_archiver.kaltura import searching
from kaltura_archiver.sandbox.kaltura import search as kaltura_search
from kaltura_archiver.sandbox.world import Sandbox

YEAR = 365.25 * 86400
ALL_STATUSES = ("-1", "-2", "0", "1", "2", "7", "4")
LECTURES, ALGEBRA, GROUPS, OTHER = 1, 2, 3, 9
ABOVE = {LECTURES: {LECTURES}, ALGEBRA: {ALGEBRA, LECTURES}, GROUPS: {GROUPS, ALGEBRA, LECTURES}, OTHER: {OTHER}}


@dataclass(frozen=True)
class Video:
    """One entry of the hand-made library; times in years ago, `played` None is never, 0 the date zero."""

    name: str
    created: float = 5
    played: float | None = None
    plays: int = 0
    tags: str = ""
    categories: tuple[int, ...] = ()
    media: int = 1
    status: str = "2"
    never_comes: bool = False

    @property
    def unplayed(self) -> float:
        """For how many years it has not been played; since its creation if never."""
        return min(self.played or self.created, self.created)

    def has(self, tag: str) -> bool:
        return tag in [part.strip() for part in self.tags.split(",")]

    def below(self, category: int) -> bool:
        return any(category in ABOVE[own] for own in self.categories)


LIBRARY = (
    Video("never played, old"),
    Video("never played, new", created=0.5),
    Video("date zero", played=0),
    Video("played 2.5 years ago", played=2.5, plays=10),
    Video("played lately", played=0.4, plays=3),
    Video("played long ago", created=8, played=4, plays=1),
    Video("played without a count", created=6, played=3.5),
    Video("counted without a date", created=4, plays=2),
    Video("young, played", created=1.5, played=1.2, plays=7),
    Video("archived", tags="archived_to_s3"),
    Video("replaced", tags="algebra, archived_to_s3, flavors_deleted", played=0.2, plays=1),
    Video("archive", tags="archive"),
    Video("archives", tags="archives, archival"),
    Video("a phrase that ends with the tag", tags="old archived_to_s3"),
    Video("longer words", tags="archived_to_s3_old, not_archived_to_s3"),
    Video("hyphens", tags="archived-to-s3"),
    Video("other letters", tags="über, 講義"),
    Video("in lectures", categories=(LECTURES,), played=2.2, plays=4),
    Video("in algebra", categories=(ALGEBRA,), tags="archived_to_s3"),
    Video("in groups", categories=(GROUPS,), plays=4),
    Video("in two", categories=(GROUPS, OTHER)),
    Video("in other", categories=(OTHER,), created=2.5),
    Video("a sound", media=5),
    Video("an archived sound", media=5, tags="archived_to_s3"),
    Video("an image", media=2),
    *(Video(f"status {status}", status=status) for status in ("-1", "-2", "0", "1", "7", "4", "5", "6")),
    Video("infected", status="virusScan.Infected"),
    Video("recycled", never_comes=True),
    Video("temporary", never_comes=True),
    Video("hidden temporary", never_comes=True),
    Video("live", never_comes=True),
    Video("playlist", never_comes=True),
)
ODD: dict[str, dict[str, Any]] = {
    "recycled": {"display_in_search": -2},
    # Not hidden from the search: then our own look has to find it out.
    "temporary": {"replaced_entry_id": "0_another1"},
    "hidden temporary": {"replaced_entry_id": "0_another1", "display_in_search": -1},
    "live": {"entry_type": 7},
    "playlist": {"entry_type": 5},
}


def fill(sandbox: Sandbox) -> None:
    for number, name, parent in (
        (LECTURES, "lectures", None),
        (ALGEBRA, "algebra", LECTURES),
        (GROUPS, "groups", ALGEBRA),
        (OTHER, "other", None),
    ):
        sandbox.kaltura.add_category(number, name, parent)
    now = time.time()
    for video in LIBRARY:
        sandbox.kaltura.add_entry(
            name=video.name,
            created_at=now - video.created * YEAR,
            last_played_at=video.played and now - video.played * YEAR,
            plays=video.plays,
            tags=video.tags,
            categories=video.categories,
            media_type=video.media,
            status=video.status,
            derived=0,
            **ODD.get(video.name, {}),
        )


def make(sandbox: Sandbox, number: int, per_second: int = 1, **fields: Any) -> list[str]:
    """Ids of that many small old entries, `per_second` of them created in each second, oldest first."""
    return [
        sandbox.kaltura.add_entry(b"video %d" % n, created_at=1_500_000_000 + n // per_second, derived=0, **fields).id
        for n in range(number)
    ]


def ids_of(ran: Ran) -> list[str]:
    assert ran.code == 0, ran.err
    return [row["entry_id"] for row in ran.rows]


Truth = Callable[[Video], bool]

CRITERIA: dict[str, Truth] = {
    "": lambda v: True,
    "--never-played": lambda v: not v.played and not v.plays,
    "--plays 0": lambda v: not v.played and not v.plays,
    "--plays 1": lambda v: v.plays < 1,
    "--plays 4": lambda v: v.plays < 4,
    "--created_within 3": lambda v: v.created <= 3,
    "--created_before 5.5": lambda v: v.created > 5.5,
    "--created_within 7 --created_before 5.5": lambda v: 5.5 < v.created <= 7,
    "--played_within 3": lambda v: bool(v.played) and v.played <= 3,  # type: ignore[operator]
    "--unplayed_for 3": lambda v: v.unplayed > 3,
    "--unplayed_for 1": lambda v: v.unplayed > 1,
    "--played_within 3 --unplayed_for 2": lambda v: bool(v.played) and 2 < v.played <= 3,  # type: ignore[operator]
    "--created-before 3 --unplayed-for 1 --plays 3": lambda v: v.created > 3 and v.unplayed > 1 and v.plays < 3,
    "--tag archived_to_s3": lambda v: v.has("archived_to_s3"),
    "--tag ARCHIVED_TO_S3": lambda v: v.has("archived_to_s3"),
    "--tag !archived_to_s3": lambda v: not v.has("archived_to_s3"),
    "--exclude-tag archived_to_s3": lambda v: not v.has("archived_to_s3"),
    "--tag archived_to_s3 --tag !flavors_deleted": lambda v: v.has("archived_to_s3") and not v.has("flavors_deleted"),
    "--tag archived_to_s3 --tag algebra": lambda v: v.has("archived_to_s3") and v.has("algebra"),
    "--tag archive": lambda v: v.has("archive"),
    "--tag !archive": lambda v: not v.has("archive"),
    "--tag über": lambda v: v.has("über"),
    "--tag 講義": lambda v: v.has("講義"),
    "--tag !über": lambda v: not v.has("über"),
    "--category 1": lambda v: v.below(LECTURES),
    "--category 2": lambda v: v.below(ALGEBRA),
    "--category 3": lambda v: v.below(GROUPS),
    "--exclude-category 2": lambda v: not v.below(ALGEBRA),
    "--category 1 --exclude_category 9": lambda v: v.below(LECTURES) and not v.below(OTHER),
    "--exclude-category 3 --exclude-category 9": lambda v: not v.below(GROUPS) and not v.below(OTHER),
    "--category 1 --tag !archived_to_s3 --plays 5": lambda v: (
        v.below(LECTURES) and not v.has("archived_to_s3") and v.plays < 5
    ),
}
STATUSES: dict[str, tuple[str, ...]] = {
    "--status 2": ("2",),
    "--status -1,2": ("-1", "2"),
    "--status 1 -2 0": ("1", "-2", "0"),
    "--status -1 --status 7": ("-1", "7"),
    "--status -2": ("-2",),
    "--status READY,NO_CONTENT": ("2", "7"),
    "--status 5,6": ("5", "6"),
    "--status virusScan.Infected": ("virusScan.Infected",),
}


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """The hand-made library on a sandbox of its own."""
    with Sandbox(tmp_path_factory.mktemp("library"), real_videos=False) as running:
        fill(running)
        yield running


class TestCriteria:
    """On one library, which nothing here changes."""

    @pytest.fixture
    def sandbox(self, library: Sandbox) -> Sandbox:
        return library

    @pytest.fixture
    def listed(self, run: Run) -> Callable[[str], list[str]]:
        """The names of the entries that `list` gives for some options."""

        def names(options: str) -> list[str]:
            ran = run("list", "--columns", "name", *options.split())
            assert ran.code == 0, ran.err
            return sorted(row["name"] for row in ran.rows)

        return names

    @staticmethod
    def expected(
        truth: Truth = lambda v: True, *, statuses: tuple[str, ...] = ALL_STATUSES, media: int = 1
    ) -> list[str]:
        return sorted(
            v.name for v in LIBRARY if truth(v) and v.status in statuses and v.media == media and not v.never_comes
        )

    @pytest.mark.parametrize("options", CRITERIA)
    def test_list_gives_exactly_what_meets_the_criteria(self, listed: Callable[[str], list[str]], options: str) -> None:
        expected = self.expected(CRITERIA[options])
        assert len(expected) > 0
        assert listed(options) == expected

    @pytest.mark.parametrize("options", STATUSES)
    def test_statuses_may_be_written_in_each_way(self, listed: Callable[[str], list[str]], options: str) -> None:
        expected = self.expected(statuses=STATUSES[options])
        assert len(expected) > 0
        assert listed(options) == expected

    def test_options_after_a_list_of_statuses_are_still_options(self, listed: Callable[[str], list[str]]) -> None:
        wanted = self.expected(lambda v: v.plays < 3, statuses=("2", "-1"))
        assert listed("--status 2 -1 --plays 3") == wanted

    @pytest.mark.parametrize(("media", "number"), [("video", 1), ("audio", 5), ("image", 2)])
    @pytest.mark.parametrize("option", ["--media_type", "--media-type", "-m"])
    def test_each_media_type_comes_alone(
        self, listed: Callable[[str], list[str]], option: str, media: str, number: int
    ) -> None:
        assert listed(f"{option} {media}") == self.expected(media=number)

    def test_audio_combines_with_the_other_criteria(self, listed: Callable[[str], list[str]]) -> None:
        assert listed("--media-type audio --tag !archived_to_s3") == ["a sound"]

    @pytest.mark.parametrize(
        "options",
        [
            "",
            "--tag archived_to_s3",
            "--tag !archived_to_s3",
            "--category 1",
            "--exclude-category 2",
            "--plays 0",
            "--unplayed_for 3",
            "--played_within 3 --unplayed_for 2",
            "--tag über",
        ],
    )
    def test_count_agrees_with_one_call_of_search(self, sandbox: Sandbox, run: Run, options: str) -> None:
        sandbox.control.clear_log()
        ran = run("count", *options.split())
        # The entry that is temporary but not hidden stands for what only a look at the entry can tell.
        found = len([v for v in LIBRARY if CRITERIA[options](v) and v.status in ALL_STATUSES and v.media == 1])
        gone = [v for v in LIBRARY if v.never_comes and v.name != "temporary" and CRITERIA[options](v)]
        assert int(ran.rows[0]["count"]) == found - len(gone)
        assert len(sandbox.control.requests("*.searchEntry")) == 1

    def test_every_option_has_both_spellings(self, run: Run) -> None:
        text = (
            "count --tag algebra --exclude_tag flavors_deleted --category 1 --exclude_category 9 --plays 5"
            " --status -1,2 --media_type audio --created_within 9 --created_before 3 --played_within 4"
            " --unplayed_for 2 --first_page 1 --page_size 7 --max_entries 3"
        )
        words = text.split()
        old = run(*words)
        new = run(*(word.replace("_", "-") if word.startswith("--") else word for word in words))
        assert old.code == new.code == 0
        told = new.rows[0]["filter"]
        for part in (
            "media_type = audio",
            "status in -1,2",
            "tag = algebra",
            "tag != flavors_deleted",
            "category = 1",
            "category != 9",
            "plays < 5",
            "created >=",
            "created <=",
            "last played >=",
            "not played since",
        ):
            assert part in told
            assert part in old.rows[0]["filter"]
        assert old.rows[0]["count"] == new.rows[0]["count"] == "0"

    @pytest.mark.parametrize("option", ["--page-size", "--page_size"])
    def test_the_page_size_is_what_is_asked_for(self, sandbox: Sandbox, run: Run, option: str) -> None:
        sandbox.control.clear_log()
        everything = self.expected()
        assert len(ids_of(run("list", option, 7))) == len(everything)
        pages = sandbox.control.requests("*.searchEntry")
        assert {str(page.parameters["pager"]["pageSize"]) for page in pages} == {"7"}
        assert len(pages) <= len(everything) // 7 + 3

    @pytest.mark.parametrize("option", ["--first-page", "--first_page"])
    def test_the_first_page_is_where_it_begins(self, run: Run, option: str) -> None:
        everything = run("list").rows
        rest = run("list", option, 3, "--page-size", 5).rows
        # Entries of one second have no order among themselves.
        assert [row["created"] for row in rest] == [row["created"] for row in everything][10:]

    def test_behind_the_last_page_it_is_not_said_that_nothing_matches(self, run: Run) -> None:
        ran = run("list", "--first-page", 9, "--page-size", 50)
        assert (ran.code, ran.rows) == (0, [])
        assert "no entry matches behind the first 400, which --first-page leaves out: " in ran.err

    def test_entries_come_oldest_first(self, run: Run) -> None:
        created = [int(row["created"]) for row in run("list", "--page_size", 4).rows]
        assert created == sorted(created)

    def test_ids_combine_with_the_other_criteria(self, sandbox: Sandbox, run: Run) -> None:
        by_name = {entry.name: entry.id for entry in sandbox.kaltura.entries.values()}
        named = [
            *("archived", "archive", "in algebra", "in groups", "in two", "a sound", "recycled", "temporary", "live"),
            *("infected", "played lately"),
        ]
        chosen = [argument for name in named for argument in ("--id", by_name[name])]

        def kept(*options: object) -> list[str]:
            ran = run("list", "--columns", "name", *chosen, *options)
            assert ran.code == 3  # no command works on the recycled, the temporary and the live one
            left_out = [line for line in ran.err.splitlines() if "is left out" in line]
            assert len(left_out) == len(named) - len(ran.rows)
            return [row["name"] for row in ran.rows]

        videos = ["archived", "archive", "in algebra", "in groups", "in two", "played lately"]
        assert kept() == [*videos[:-1], "a sound", "infected", videos[-1]]
        assert kept("--media-type", "video") == [*videos[:-1], "infected", videos[-1]]
        assert kept("--media-type", "video", "--status", "2") == videos
        assert kept("--tag", "archived_to_s3") == ["archived", "in algebra"]
        assert kept("--tag", "!archived_to_s3", "--category", 1) == ["in groups", "in two"]
        assert kept("--category", 2, "--exclude-category", 9) == ["in algebra", "in groups"]
        assert kept("--exclude-category", 1) == ["archived", "archive", "a sound", "infected", "played lately"]
        assert kept("--media-type", "audio") == ["a sound"]
        assert kept("--status", "virusScan.Infected") == ["infected"]
        assert kept("--played_within", 1) == ["played lately"]


# Tags that look alike


def test_a_video_tagged_archive_is_not_mistaken_for_an_archived_one(sandbox: Sandbox, run: Run) -> None:
    alike = [
        sandbox.add("initial", tags=tags)
        for tags in ("archive", "archives, archival", "old archived_to_s3", "archived_to_s3_old", "archived-to-s3")
    ]
    archived = sandbox.add("archived")
    ran = run("s3copy", "--tag", "!archived_to_s3", "--no-dry-run")
    assert ran.code == 0
    assert set(ran.outcomes) == set(alike)
    assert sandbox.s3.keys() == sorted([*alike, archived])
    assert set(run("s3copy", "--tag", "archived_to_s3").outcomes) == {archived, *alike}


@pytest.mark.xfail(
    strict=True, reason="eSearch knows no whole-tag equality for tags: NOT(phrase and prefix) is the nearest (3.2)"
)
@pytest.mark.parametrize(
    "tags", ["archived_to_s3 by hand", "old archived_to_s3, archived_to_s3_old"], ids=["one tag", "two tags"]
)
def test_a_tag_that_only_contains_the_tag_does_not_hide_an_entry(sandbox: Sandbox, run: Run, tags: str) -> None:
    entry_id = sandbox.add("initial", tags=tags)
    assert ids_of(run("list", "--tag", "archived_to_s3")) == []
    assert ids_of(run("list", "--tag", "!archived_to_s3")) == [entry_id]


# The index lags


def test_an_entry_whose_tag_changed_since_it_was_indexed_is_left_out_and_counted(sandbox: Sandbox, run: Run) -> None:
    changed, kept = sandbox.add("initial"), sandbox.add("initial")
    sandbox.kaltura.settle()
    sandbox.kaltura.settings.index_lag_seconds = 3600
    sandbox.kaltura.edit(changed, tags="archived_to_s3")
    ran = run("list", "--tag", "!archived_to_s3")
    assert ids_of(ran) == [kept]
    warning = next(line for line in ran.err.splitlines() if "WARNING" in line)
    assert "left out 1 entries" in warning
    assert list(run("s3copy", "--tag", "!archived_to_s3", "--no-dry-run").outcomes) == [kept]
    assert sandbox.s3.keys() == [kept]


@pytest.mark.parametrize("per_second", [1, 5, 100])
@pytest.mark.parametrize("gone", ["deleted", "absent"])
def test_pages_of_entries_that_are_gone_are_not_the_end(sandbox: Sandbox, run: Run, gone: str, per_second: int) -> None:
    """A hit on a deleted entry has status 3, a row that is gone makes the page short (kaltura-api 3.4, 10.2)."""
    entries = make(sandbox, 40, per_second)
    assert len(ids_of(run("list"))) == 40
    sandbox.kaltura.settings.index_lag_seconds = 3600
    dead = [*entries[:12], *entries[20:30]]
    with sandbox.kaltura.library.lock:
        for entry_id in dead:
            if gone == "deleted":
                sandbox.kaltura.library.delete_entry(sandbox.kaltura.entries[entry_id])
            else:
                del sandbox.kaltura.entries[entry_id]
    random.seed(5)
    for _ in range(5):
        assert sorted(ids_of(run("list", "--page-size", 4))) == sorted(set(entries) - set(dead))


# Named entries


@pytest.mark.parametrize(
    "text", ["{}\n{}\n{}\n{}\n{}\n", "{}\n\n  {}\t\n{}\n\n{}\n{}", "\ufeff{}\r\n{}\r\n\r\n{}\r\n{}\r\n{}\r\n"]
)
def test_an_id_file_of_five_acts_on_five(sandbox: Sandbox, run: Run, tmp_path: Path, text: str) -> None:
    five = [sandbox.add("initial") for _ in range(5)]
    others = [sandbox.add("initial") for _ in range(3)]
    file = tmp_path / "ids.txt"
    file.write_bytes(text.format(*five).encode())
    assert ids_of(run("list", "--idfile", file)) == five
    ran = run("s3copy", "--idfile", file, "--no-dry-run")
    assert ran.code == 0
    assert ran.outcomes == dict.fromkeys(five, "done")
    assert sandbox.s3.keys() == sorted(five)
    assert not any("archived_to_s3" in sandbox.kaltura.entries[other].tags for other in others)


def test_an_id_file_may_come_on_stdin(sandbox: Sandbox, run: Run) -> None:
    wanted = [sandbox.add("initial") for _ in range(2)]
    sandbox.add("initial")
    assert ids_of(run("list", "--idfile", "-", stdin="\n".join(wanted))) == wanted
    assert ids_of(run("list", "--idfile", "-", stdin="\ufeff" + "\r\n".join(wanted))) == wanted


def test_an_id_twice_is_one_entry(sandbox: Sandbox, run: Run) -> None:
    one, two = sandbox.add("initial"), sandbox.add("initial")
    assert ids_of(run("list", "--idfile", "-", stdin=f"{one}\n{two}\n{one}\n")) == [one, two]
    assert ids_of(run("list", "--id", one, "--id", one)) == [one]


def test_ids_and_an_id_file_together_mean_both(sandbox: Sandbox, run: Run) -> None:
    one, two = sandbox.add("initial"), sandbox.add("initial")
    assert ids_of(run("list", "--idfile", "-", "--id", two, stdin=f"{one}\n{two}\n")) == [two]


def test_more_ids_than_one_call_takes_all_come(sandbox: Sandbox, run: Run, tmp_path: Path) -> None:
    wanted = make(sandbox, 130)
    make(sandbox, 5)
    (tmp_path / "ids").write_text("\n".join(wanted))
    assert ids_of(run("list", "--idfile", "ids")) == wanted
    assert run("count", "--idfile", "ids").rows[0]["count"] == "130"


@pytest.mark.parametrize("command", ["list", "health", "count", "s3copy"])
def test_an_unknown_id_is_told_and_the_others_go_on(sandbox: Sandbox, run: Run, command: str) -> None:
    one, two = sandbox.add("initial"), sandbox.add("initial")
    ran = run(command, "--id", one, "--id", "0_nosuch00", "--id", two)
    assert ran.code == 1
    assert [line for line in ran.err.splitlines() if "WARNING" in line and "0_nosuch00: no such entry" in line]
    if command == "count":
        assert ran.rows[0]["count"] == "2"
    else:
        asked = [one, two, "0_nosuch00"] if command == "s3copy" else [one, two]
        assert sorted(row["entry_id"] for row in ran.rows) == sorted(asked)


def test_an_unknown_id_does_not_keep_the_others_from_being_archived(sandbox: Sandbox, run: Run) -> None:
    one, two = sandbox.add("initial"), sandbox.add("initial")
    ran = run("s3copy", "--idfile", "-", "--no-dry-run", stdin=f"{one}\n0_nosuch00\n{two}\n")
    assert ran.code == 1
    assert ran.outcomes == {"0_nosuch00": "failed", one: "done", two: "done"}
    assert sandbox.s3.keys() == sorted([one, two])


# Limits


def test_list_stops_at_500_unless_told_otherwise_and_says_so(sandbox: Sandbox, run: Run) -> None:
    make(sandbox, 501)
    ran = run("list")
    assert len(ids_of(ran)) == 500
    assert "stopped at --max-entries 500" in ran.err
    ran = run("list", "--max_entries", -1)
    assert len(ids_of(ran)) == 501
    assert "stopped" not in ran.err
    ran = run("list", "--max-entries", 501)
    assert len(ids_of(ran)) == 501
    assert "stopped" not in ran.err


def test_a_limit_counts_entries_that_match_not_hits(sandbox: Sandbox, run: Run) -> None:
    make(sandbox, 6, tags="old archived_to_s3")
    tagged = make(sandbox, 3, tags="archived_to_s3")
    make(sandbox, 3, tags="archived_to_s3 or not")
    assert ids_of(run("list", "--tag", "archived_to_s3", "--max-entries", 3, "--page-size", 2)) == tagged


@pytest.fixture
def default_of_three(monkeypatch: pytest.MonkeyPatch) -> None:
    """A default limit that is reached with fewer than 501 entries."""
    for command in cli.commands.values():
        for option in command.params:
            if option.name == "max_entries":
                monkeypatch.setattr(option, "default", 3)


@pytest.mark.usefixtures("default_of_three")
@pytest.mark.parametrize("mode", ["--dry-run", "--no-dry-run"])
def test_a_run_that_the_default_limit_cuts_ends_with_4(sandbox: Sandbox, run: Run, mode: str) -> None:
    entries = make(sandbox, 4)
    ran = run("s3copy", "--all", mode)
    assert ran.code == 4
    assert set(ran.outcomes) == set(entries[:3])
    assert "stopped at --max-entries 3; more entries match" in ran.err
    assert sandbox.s3.keys() == ([] if mode == "--dry-run" else sorted(entries[:3]))


@pytest.mark.usefixtures("default_of_three")
def test_a_limit_that_was_asked_for_or_not_reached_is_no_safety_stop(sandbox: Sandbox, run: Run) -> None:
    entries = make(sandbox, 4)
    ran = run("s3copy", "--all", "--max-entries", 3)
    assert (ran.code, len(ran.rows)) == (0, 3)
    assert "stopped at --max-entries 3" in ran.err
    ran = run("s3copy", "--id", entries[0], "--id", entries[1], "--id", entries[2])
    assert (ran.code, len(ran.rows)) == (0, 3)


@pytest.mark.usefixtures("default_of_three")
def test_a_failure_outranks_the_safety_stop(sandbox: Sandbox, run: Run) -> None:
    entries = make(sandbox, 4)
    sandbox.control.add_fault("flavorAsset.getUrl", "error", subject="*", code="FLAVOR_ASSET_ID_NOT_FOUND")
    ran = run("s3copy", "--all", "--no-dry-run")
    assert Counter(ran.outcomes.values()) == {"failed": 1, "done": 2}
    assert set(ran.outcomes) == set(entries[:3])
    assert ran.code == 1


# Old names of commands and flags


@pytest.mark.parametrize(
    "command",
    [
        ("s3copy", "--s3copy"),
        ("replace_video", "--replace"),
        ("replace-video", "--replace"),
        ("restore_from_s3", "--restore"),
        ("restore-from-s3", "--restore"),
        ("restore", "--restore"),
        ("repair", "--repair"),
        ("repair", "--no_dry_run"),
        ("s3copy", "--s3copy", "--tmp", "somewhere", "--wait_ready"),
    ],
)
def test_the_old_commands_and_flags_act(sandbox: Sandbox, run: Run, command: tuple[str, ...]) -> None:
    state, tag = {
        "s3copy": ("initial", "archived_to_s3"),
        "replace": ("archived", "archived_to_s3, flavors_deleted"),
        "restore": ("placeholder", "archived_to_s3"),
        "repair": ("untagged", "archived_to_s3"),
    }[command[0].replace("-", "_").partition("_")[0]]
    entry_id = sandbox.add(state)
    before = sandbox.kaltura.entries[entry_id].tags
    dry = run(command[0], "--id", entry_id)
    assert (dry.code, dry.outcomes) == (0, {entry_id: "would"})
    assert sandbox.control.writes() == []
    assert sandbox.kaltura.entries[entry_id].tags == before
    ran = run(*command, "--id", entry_id)
    assert (ran.code, ran.outcomes) == (0, {entry_id: "done"}), ran.err
    assert sandbox.kaltura.entries[entry_id].tags == tag


def test_an_old_flag_against_dry_run_is_refused(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add("initial")
    ran = run("s3copy", "--s3copy", "--dry-run", "--id", entry_id)
    assert ran.code == 2
    assert sandbox.control.writes() == []


@pytest.mark.parametrize("option", ["--loglevel", "--log-level", "--log_level"])
def test_the_log_level_is_an_option_of_the_group(sandbox: Sandbox, run: Run, option: str) -> None:
    entry_id = sandbox.add("initial")
    assert " DRYRUN entry " in run("s3copy", "--id", entry_id).err
    assert run(option, "ERROR", "s3copy", "--id", entry_id).err == ""
    assert run(option, "error", "s3copy", "--id", entry_id).err == ""


# Large libraries


@pytest.mark.parametrize("page_size", [7, 50, 500])
@pytest.mark.parametrize("per_second", [1, 30, 400])
def test_list_gives_each_entry_once_whatever_the_page_size(
    sandbox: Sandbox, run: Run, page_size: int, per_second: int
) -> None:
    entries = make(sandbox, 400, per_second)
    sandbox.control.clear_log()
    assert sorted(ids_of(run("list", "--max-entries", -1, "--page-size", page_size))) == sorted(entries)
    assert len(sandbox.control.requests("*.searchEntry")) <= 400 // page_size + 2


@pytest.mark.parametrize("page_size", [3, 20])
def test_the_window_of_the_search_does_not_end_a_list(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch, page_size: int
) -> None:
    monkeypatch.setattr(kaltura_search, "WINDOW", 30)
    entries = make(sandbox, 150, 8)
    assert sorted(ids_of(run("list", "--page-size", page_size))) == sorted(entries)


def test_a_second_with_more_entries_than_one_query_can_exclude_is_listed_whole(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "MAX_EXCLUDED_IDS", 20)
    entries = [*make(sandbox, 15), *make(sandbox, 90, 90), *make(sandbox, 200, 70)]
    assert sorted(ids_of(run("list", "--page-size", 10))) == sorted(entries)


def test_2500_entries_of_one_second_in_random_order_come_once_each(sandbox: Sandbox, run: Run) -> None:
    entries = make(sandbox, 2500, 2500)
    assert run("count").rows[0]["count"] == "2500"
    listed = ids_of(run("list", "--max-entries", -1))
    assert len(listed) == 2500
    assert sorted(listed) == sorted(entries)


def test_12000_entries_are_counted_with_one_call_and_listed_once_each(sandbox: Sandbox, run: Run) -> None:
    """More than a search shows (10,000), also where hundreds share a second."""
    entries = [
        sandbox.kaltura.add_entry(
            content_bytes=1000 + n, created_at=1_500_000_000 + n // (700 if n < 6_000 else 3), derived=0
        ).id
        for n in range(12_000)
    ]
    ran = run("count")
    assert ran.rows[0]["count"] == "12000"
    assert len(sandbox.control.requests("*.searchEntry")) == 1
    sandbox.control.clear_log()
    listed = ids_of(run("list", "--max-entries", -1))
    assert len(listed) == 12_000
    assert set(listed) == set(entries)
    assert len(sandbox.control.requests("*.searchEntry")) <= 12_000 // 500 + 2


def test_the_entries_of_twelve_pages_are_archived_none_skipped_none_twice(sandbox: Sandbox, run: Run) -> None:
    """Tagging shrinks the very result that is being paged."""
    entries = make(sandbox, 180, 15)
    ran = run(
        *("s3copy", "--tag", "!archived_to_s3", "--page-size", 15, "--max-entries", -1, "--workers", 8),
        "--no-dry-run",
    )
    assert ran.code == 0
    assert len(ran.rows) == 180
    assert ran.outcomes == dict.fromkeys(entries, "done")
    assert sandbox.s3.keys() == sorted(entries)
    puts = Counter(request.subject for request in sandbox.control.requests("s3.PutObject"))
    assert puts == dict.fromkeys(entries, 1)
    assert {entry.tags for entry in sandbox.kaltura.entries.values()} == {"archived_to_s3"}
    assert [n for n, entry_id in enumerate(entries) if sandbox.s3.body(entry_id) != b"video %d" % n] == []
    assert run("count", "--tag", "!archived_to_s3").rows[0]["count"] == "0"


@pytest.mark.parametrize("status", ["5", "6", "virusScan.ScanFailure"])
def test_what_tells_how_the_archive_is_looks_at_entries_of_every_status(
    sandbox: Sandbox, run: Run, status: str
) -> None:
    lost = sandbox.add("lost", status=status)
    sandbox.add("archived")
    ran = run("health", "--columns", "entry_id,state")
    assert (ran.code, {row["entry_id"]: row["state"] for row in ran.rows}[lost]) == (1, "lost")
    assert ("state", "lost") in {(row["section"], row["key"]) for row in run("stats").rows}
    assert run("health", "--status", "2", "--columns", "entry_id").rows != ran.rows


@pytest.mark.parametrize("command", ["health", "stats"])
def test_statuses_count_that_are_said_though_they_are_the_usual_ones(sandbox: Sandbox, run: Run, command: str) -> None:
    usual, rare = sandbox.add("initial"), sandbox.add("initial", status="5")
    for options, number in (((), 2), (("--status", "-1,-2,0,1,2,7,4"), 1)):
        ran = run(command, *options)
        if command == "stats":
            assert ran.rows[0]["entries"] == str(number)
        else:
            assert {row["entry_id"] for row in ran.rows} == {usual, rare} - ({rare} if options else set())


@pytest.mark.parametrize("option", ["--longer-than", "--unplayed-for"])
def test_what_leaves_nobody_out_is_no_criterion(sandbox: Sandbox, run: Run, option: str) -> None:
    """As of a script's variable which is 0."""
    sandbox.add("initial")
    ran = run("s3copy", option, "0")
    assert (ran.code, ran.out) == (2, "")
    assert "without any selection criterion" in ran.err
