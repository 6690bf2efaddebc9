"""What a director sees first, in no word of the command line: what is lost, verified, still to be saved; and that
nothing overlaps or is cut, on a screen, a telephone and paper."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from browser import Browser
from conftest import Run

from kaltura_archiver.insight.told import NAMES
from kaltura_archiver.model import State
from kaltura_archiver.sandbox.world import Sandbox

SCRIPT = "<script>document.title = 'owned'</script>"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as started:
        yield started


Open = Callable[..., Browser]


@pytest.fixture
def opened(sandbox: Sandbox, run: Run, browser: Browser) -> Open:
    """Makes a report of the sandbox and opens it."""

    def make(*options: str) -> Browser:
        path = Path("page.html").absolute()
        ran = run("report", "-o", path, *options)
        assert ran.code == 0, ran.err
        browser.look()
        browser.open(path.as_uri())
        assert not [event for event in browser.events if event["method"] == "Runtime.exceptionThrown"]
        return browser

    return make


def texts(browser: Browser, selector: str) -> list[str]:
    found = browser.run(f"[...document.querySelectorAll({selector!r})].map((e) => e.textContent.trim())")
    assert isinstance(found, list)
    return found


def cells(browser: Browser, selector: str) -> list[list[str]]:
    """The texts of the cells of these rows."""
    rows = f"[...document.querySelectorAll({selector!r})]"
    found: Any = browser.run(f"{rows}.map((row) => [...row.cells].map((cell) => cell.textContent))")
    assert isinstance(found, list)
    return found


def test_a_lost_video_is_first_red_and_counted(sandbox: Sandbox, opened: Open, tmp_path: Path) -> None:
    for number in range(12):
        sandbox.add(State.LOST, name=f"Gone {number}", creator_id=SCRIPT)
    sandbox.add(State.UNBACKED, name="Missing")
    sandbox.add(State.ARCHIVED)
    page = opened()
    assert texts(page, "main h2")[0] == "12 videos are lost"
    assert page.run("getComputedStyle(document.querySelector('.lost h2')).color") == "rgb(179, 20, 30)"
    assert len(texts(page, ".lost li")) == 10
    assert "And 2 more" in texts(page, ".lost")[0]
    head, first, *_ = cells(page, ".stacked tr")
    assert head == ["State", "entries", "size", "what to do"]
    assert first[:3] == ["lost", "12", "not known"]
    assert "Lost: 12 videos, of a size that is not known." in texts(page, "figcaption")[0]
    assert "13 of 14 entries need attention, 12 of them lost." in texts(page, ".figures .more")[3]
    # First in the table of entries, too, though they have no size.
    assert all(name.startswith("Gone") for name in texts(page, "#entries tbody th bdi")[:12])
    assert texts(page, "#entries tbody tr:first-child td.number")[0] == "not known"
    assert page.run("document.querySelector('#entries .dot').dataset.place") == "lost"
    # No size is no size of 0, in the CSV of the table either.
    saved = page.click_and_download("#csv", tmp_path).read_text(encoding="utf-8-sig")
    assert saved.count('"lost",""') == 12


@pytest.mark.parametrize("options", [(), ("--kaltura-price", "0.1", "--rows", "2")])
def test_no_word_of_the_command_line_is_on_the_page(sandbox: Sandbox, opened: Open, options: tuple[str, ...]) -> None:
    for state in State:
        sandbox.add(state, name="Lecture")
    page = opened(*options)
    text = " ".join(texts(page, "header, main, script[type='application/json']"))
    assert not re.search(r"--\w|s3copy|replace_video|\brepair\b|flavors_deleted|archived_to_s3|\bstats\b", text)
    assert set(texts(page, "#state option")) <= {"all", *NAMES.values()}


def test_verified_is_a_share_of_the_bytes_and_the_oldest(sandbox: Sandbox, run: Run, opened: Open) -> None:
    ids = [sandbox.add(State.ARCHIVED, content=b"video" * 600) for _ in range(4)]
    assert "No copy is known to be verified." in texts(opened(), ".figures .more")[3]
    for entry_id in ids[:3]:
        assert run("verify", "--id", entry_id, "--no-dry-run").code == 0
    today = datetime.fromtimestamp(sandbox.control.clock.now(), UTC).date()
    said = texts(opened(), ".figures .more")[3]
    assert f"Of the copies 75 % were verified, the longest ago on {today}." in said


def test_what_could_still_be_saved_is_what_stats_says(sandbox: Sandbox, run: Run, opened: Open) -> None:
    for age in (1.5, 4.5, 9):
        sandbox.add(State.INITIAL, age_years=age)
    told = [row for row in run("stats", "--kaltura-price", "9").rows if row["section"] == "threshold"]
    rows = cells(opened("--kaltura-price", "9"), ".could tbody tr")
    assert [row[1] for row in rows] == [row["entries"] for row in told] == ["3", "2", "2", "2", "1"]
    assert [row[0] for row in rows] == ["1 year", "2 years", "3 years", "4 years", "5 years"]
    assert texts(opened(), ".could thead th") == ["Not played for", "videos", "to free"]


def test_the_title_is_a_text(sandbox: Sandbox, opened: Open) -> None:
    sandbox.add(State.ARCHIVED)
    page = opened("--title", f"Videos & more {SCRIPT}")
    assert texts(page, "h1") == [f"Videos & more {SCRIPT}"]
    assert page.run("document.title").startswith(f"Videos & more {SCRIPT}, 20")


def test_an_empty_library_is_said_in_one_sentence(opened: Open) -> None:
    page = opened()
    assert texts(page, "main") == ["There is no video to report on: none is there, or none is among those selected."]


def test_one_video_is_told_as_one(sandbox: Sandbox, opened: Open) -> None:
    sandbox.add(State.ARCHIVED)
    page = opened("--tag", "archived_to_s3")
    assert texts(page, "header p")[0].startswith("1 video entry as of ")
    assert texts(page, "#health + p")[0].startswith("Nothing needs attention.")
    assert "Selected by: " in texts(page, "footer")[0]


# What is drawn or written beyond the card that it is in, and texts of charts that lie on each other.
SPILT = """[...document.querySelectorAll("figure, .card, .figures > div")].flatMap((card) => {
  const frame = card.getBoundingClientRect(), seen = (b) => b.width && b.height;
  const parts = [...card.querySelectorAll("svg text, td, th, h3, p")].filter((e) => !e.closest("#entries, details"));
  const out = parts.map((e) => [e.textContent, e.getBoundingClientRect()])
    .filter(([, b]) => seen(b) && (b.left < frame.left || b.right > frame.right + 0.5)).map(([text]) => text);
  const texts = [...card.querySelectorAll("svg text:not([opacity='0'])")]
    .map((e) => [e.textContent, e.getBoundingClientRect()]).filter(([text, b]) => text.trim() && seen(b));
  const lie = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1 &&
    Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 5;
  const over = texts.flatMap(([one, a], at) => texts.slice(at + 1).filter(([, b]) => lie(a, b))
    .map(([other]) => `${one} / ${other}`));
  return [...out, ...over];
})"""


@pytest.mark.parametrize("font", ["Liberation Sans", "DejaVu Sans"])
@pytest.mark.parametrize(("width", "media"), [(1280, ""), (400, ""), (703, "print")])
def test_nothing_overlaps_or_is_cut(large: Browser, width: int, media: str, font: str) -> None:
    large.look(width=width, media=media)
    # The page's policy lets no style in, but our own hand.
    large.run(f"document.querySelectorAll('svg text').forEach((each) => {{ each.style.fontFamily = {font!r}; }})")
    assert large.run(SPILT) == []
    if width == 400:
        assert large.run("document.documentElement.scrollWidth") <= width
        # What a person reads on a telephone needs no scrolling sideways.
        wide = "[...document.querySelectorAll('#entries .scroll, .stacked')].map((e) => e.scrollWidth - e.clientWidth)"
        assert max(large.run(wide)) <= 0


def test_it_takes_five_pages_at_most(large: Browser, tmp_path: Path) -> None:
    large.look()
    large.pdf(tmp_path / "report.pdf")
    assert len(re.findall(rb"/Type\s*/Page\b", (tmp_path / "report.pdf").read_bytes())) <= 5


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory, browser: Browser) -> Browser:
    """The page of a library with everything: years of log, owners, units, lost videos."""
    from click.testing import CliRunner
    from made_library import fill

    from kaltura_archiver.cli import cli

    folder = tmp_path_factory.mktemp("large")
    with Sandbox(folder, real_videos=False) as sandbox, pytest.MonkeyPatch.context() as patch:
        library = fill(sandbox, 400, now=int(sandbox.control.clock.now()))
        for number in range(11):
            sandbox.add(State.LOST, name=f"A lecture with a name that goes on for long {number}")
        (folder / "owners.tsv").write_text(library.enriched, encoding="utf-8")
        for name, value in sandbox.environ().items():
            patch.setenv(name, value)
        command = [
            "report",
            "--enriched",
            str(folder / "owners.tsv"),
            "--kaltura-price",
            "0.12",
            "-o",
            f"{folder}/page.html",
        ]
        result = CliRunner().invoke(cli, command)
        assert result.exit_code == 0, result.output
    browser.look()
    browser.open((folder / "page.html").as_uri())
    return browser
