"""The report as a page: looked at in a real Chromium, which is started once for all of it."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from browser import Browser
from click.testing import CliRunner
from conftest import Run
from made_library import fill

from kaltura_archiver.cli import cli
from kaltura_archiver.insight.told import NAMES
from kaltura_archiver.model import State
from kaltura_archiver.run import run as acting
from kaltura_archiver.sandbox.world import Sandbox

SCRIPT = "<script>document.title = 'owned'</script>"
# What a name, an owner or a unit may be. Each is a text, whatever it looks like.
HOSTILE = (
    SCRIPT, f"</script>{SCRIPT}", "<img src=x onerror=document.title='owned'>", f"</text></svg>{SCRIPT}",
    "<!--<script>", "]]>", "{{ 7 * 7 }}", "\u202egnp.exe", '"><b onmouseover=alert(1)>', "=HYPERLINK(A1)",
    "&lt;b&gt;", "a\tb\\n", "javascript:alert(1)", "'; DROP TABLE",
)  # fmt: skip
ENTRIES = 260
RUN_LOG = acting._run_log


@dataclass
class Report:
    """The page, what it was made of, and the browser that shows it."""

    browser: Browser
    path: Path
    html: str
    states: dict[str, int]

    def run(self, expression: str) -> Any:
        return self.browser.run(expression)

    def texts(self, selector: str) -> list[str]:
        found = self.run(f"[...document.querySelectorAll({selector!r})].map((e) => e.textContent.trim())")
        assert isinstance(found, list)
        return found


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Report]:
    folder = tmp_path_factory.mktemp("report")
    path = folder / "report.html"
    with Sandbox(folder, real_videos=False) as sandbox, pytest.MonkeyPatch.context() as patch:
        library = fill(sandbox, ENTRIES, now=int(sandbox.control.clock.now()))
        lines = [library.enriched]
        for number, text in enumerate(HOSTILE):
            state = ("initial", "unbacked")[number % 2]
            # Large, to be among the owners and units of the charts.
            tags = "archived_to_s3" if state == "unbacked" else ""
            sandbox.kaltura.add_entry(
                name=text, creator_id=text, content_bytes=2**40 - number, tags=tags, duration_ms=90_000,
                source_type="37", admin_tags="zoomentry", end_date=1_600_000_000, plays=7,
            )  # fmt: skip
            library.states[state] += 1
            if "\t" not in text:
                lines.append(f"{text}\tactive\t{text}\t{text}\n")
        (folder / "owners.tsv").write_text("".join(lines), encoding="utf-8")
        for name, value in sandbox.environ().items():
            patch.setenv(name, value)
        command = ["report", "--enriched", str(folder / "owners.tsv"), "--kaltura-price", "0.12", "-o", str(path)]
        for arguments in (command, ["report", "-o", str(folder / "no-price.html")]):
            result = CliRunner().invoke(cli, arguments)
            assert (result.exit_code, result.stdout) == (0, ""), result.output
    with Browser() as browser:
        browser.look()
        browser.open(path.as_uri())
        yield Report(browser, path, path.read_text(encoding="utf-8"), library.states)


@pytest.fixture
def report(shown: Report) -> Report:
    """The page as it is when it is opened, at 1280 pixels in light colours."""
    shown.browser.look()
    shown.run(
        """(() => {
          for (const id of ["search", "place", "state", "unit"]) {
            const field = document.getElementById(id);
            if (field.value !== "") { field.value = ""; field.dispatchEvent(new Event("change", {bubbles: true})); }
          }
          document.getElementById("search").dispatchEvent(new Event("input"));
          document.querySelectorAll("details[open]").forEach((each) => { each.open = false; });
          return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
        })()"""
    )
    return shown


def choose(report: Report, field: str, text: str) -> None:
    """Type into the search, or choose an option by its text."""
    report.run(
        f"""(() => {{
          const field = document.getElementById({field!r});
          if (field.tagName === "SELECT") {{
            field.value = [...field.options].find((option) => option.text === {text!r}).value;
            field.dispatchEvent(new Event("change"));
          }} else {{
            field.value = {text!r};
            field.dispatchEvent(new Event("input"));
          }}
          return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
        }})()"""
    )


def matching(report: Report) -> int:
    """How many entries the table says it has now."""
    text = report.texts("#shown")[0]
    found = re.search(r"of ([\d,]+) entries", text)
    return 0 if text.startswith("None") or not found else int(found.group(1).replace(",", ""))


def test_the_page_asks_nobody_and_has_nothing_to_complain_about(report: Report) -> None:
    events = report.browser.events
    asked = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
    assert asked == [report.path.as_uri()]
    complaints = (
        "Runtime.exceptionThrown",
        "Runtime.consoleAPICalled",
        "Log.entryAdded",
        "Page.javascriptDialogOpening",
    )
    assert [event for event in events if event["method"] in complaints] == []
    policy = report.run("document.querySelector('meta[http-equiv]').content")
    assert policy.startswith("default-src 'none'")
    assert not re.search(r"unsafe-inline|unsafe-eval|https?://", report.html)


def test_its_policy_stops_what_is_not_its_own(report: Report) -> None:
    """Were something hostile to get in as markup after all, it would not run, and would be told."""
    ran = report.run(
        """new Promise((done) => {
          document.addEventListener("securitypolicyviolation", (event) => done(event.effectiveDirective), {once: true});
          const script = document.createElement("script");
          script.textContent = "document.title = 'owned'";
          document.body.append(script);
          script.remove();
        })"""
    )
    assert ran == "script-src-elem"
    assert report.run("document.title").startswith("Kaltura archive")
    report.browser.events[:] = [event for event in report.browser.events if event["method"] != "Log.entryAdded"]


CHARTS = """[...document.querySelectorAll("figure")].map((figure) => {
  const boxes = [...figure.querySelectorAll("svg")].map((svg) => svg.getBoundingClientRect());
  const seen = boxes.filter((box) => box.width);
  const marks = [...figure.querySelectorAll("svg path[fill^=var], svg path[stroke^=var]")]
    .map((mark) => mark.getBoundingClientRect()).filter((box) => box.width && box.height);
  const cut = [...figure.querySelectorAll("svg text")].map((text) => text.getBoundingClientRect())
    .filter((box) => box.width && (box.left < seen[0].left - 1 || box.right > seen[0].right + 1));
  const {width, height} = seen[0] ?? {};
  return [figure.querySelector("h3").textContent, seen.length, width, height, marks.length, cut.length];
})"""


def test_every_chart_is_drawn_for_a_wide_and_for_a_narrow_window(report: Report) -> None:
    for width in (1280, 400):
        report.browser.look(width=width)
        found = report.run(CHARTS)
        assert [name for name, *_ in found] == [
            "Videos by year of creation", "Size of the library", "Net saving by month", "Originals brought back",
            "How long viewers waited", "Replaced too early?", "Units", "People", "When copies were last verified",
        ]  # fmt: skip
        for name, count, wide, high, marks, cut in found:
            assert count == 1, name
            assert wide > 200, name
            assert high > 100, name
            assert marks > 0, name
            assert cut == 0, name


def test_no_chart_is_cut_where_no_price_is_known(report: Report) -> None:
    report.browser.open(report.path.with_name("no-price.html").as_uri())
    report.browser.look(width=400)
    found = {name: cut for name, *_, cut in report.run(CHARTS)}
    report.browser.open(report.path.as_uri())
    assert "Costs by month" in found
    assert set(found.values()) == {0}


@pytest.mark.parametrize("width", [1280, 768, 400, 320])
def test_nothing_is_wider_than_the_window(report: Report, width: int) -> None:
    report.run("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    report.browser.look(width=width)
    assert report.run("document.documentElement.scrollWidth") <= width
    # What is wider scrolls by itself, and can be reached with the keyboard.
    assert report.run(
        "[...document.querySelectorAll('.scroll')].every((each) => each.tabIndex === 0 && each.ariaLabel)"
    )


def test_the_figures_are_those_of_the_library(report: Report) -> None:
    names = report.texts("#places-table thead th")
    total = report.texts("#places-table tfoot td")
    counts = {name: int(cell) for name, cell in zip(names[1:], total, strict=True) if cell.isdigit()}
    # A restored entry is an archived one again.
    assert sum(counts.values()) == sum(report.states.values()) == ENTRIES + len(HOSTILE)
    for state in ("initial", "unbacked", "lost", "diverged", "no-original"):
        assert counts.get(NAMES[State(state)], 0) == report.states.get(state, 0), state
    assert (
        counts["archived"] + counts["replaced by placeholder"]
        == report.states["archived"] + report.states["placeholder"]
    )
    big = dict(zip(report.texts(".figures dt"), report.texts(".figures .big"), strict=True))
    assert list(big) == ["Archived in S3", "Saved per month, net", "Brought back, last 12 months", "Healthy"]
    assert big["Saved per month, net"].endswith(" USD")
    assert matching(report) == ENTRIES + len(HOSTILE)


def test_hostile_names_are_texts_everywhere(report: Report) -> None:
    assert report.run("document.scripts.length") == 2
    assert report.run("document.querySelectorAll('img, b, iframe, [onerror], [onmouseover], [style]').length") == 0
    assert "owned" not in report.run("document.title")
    shown = {one for text in HOSTILE for one in (text, text.replace("\u202e", "\\u202e").replace("\t", "\\t"))}
    choose(report, "place", "needs attention")
    assert set(report.texts("#entries tbody th bdi")) & shown
    charts = report.run("[...document.querySelectorAll('figure svg text')].map((text) => text.textContent)")
    assert "]]> (]]>)" in charts
    assert any(text.startswith("</text></svg><scr") for text in charts)
    assert not [text for text in charts if "\u202e" in text]
    options = report.texts("#unit option")
    assert f"</script>{SCRIPT}" in options


def test_search_finds_by_name_id_owner_and_category(report: Report) -> None:
    everything = matching(report)
    choose(report, "search", "CHEMISTRY lecture")
    found = matching(report)
    assert 0 < found < everything
    # In a name, or in the owner's unit.
    rows = [text.lower() for text in report.texts("#entries tbody tr")]
    assert all("chemistry" in row and "lecture" in row for row in rows)
    entry = report.texts("#entries tbody th small")[0]
    choose(report, "search", entry)
    assert matching(report) == 1
    choose(report, "search", "<img src=x")
    assert matching(report) == 1
    choose(report, "search", "no such thing")
    assert report.texts("#shown") == [f"None of {everything} entries matches."]
    assert report.texts("#entries tbody tr") == []


def test_filters_add_up(report: Report) -> None:
    everything = matching(report)
    numbers = []
    for place in ("in Kaltura only", "in both", "in S3 only", "needs attention"):
        choose(report, "place", place)
        numbers.append(matching(report))
    assert sum(numbers) == everything
    choose(report, "state", "copy missing")
    assert matching(report) == report.states["unbacked"]
    choose(report, "unit", "]]>")
    assert matching(report) == 1
    assert report.texts("#entries tbody th bdi") == ["]]>"]


def test_a_column_sorts_both_ways_and_says_so(report: Report) -> None:
    def sort(key: str) -> tuple[str, list[str]]:
        report.run(f"document.querySelector('[data-column={key}]').click()")
        state = report.run(f"document.querySelector('[data-column={key}]').closest('th').ariaSort")
        at = report.run(
            f"[...document.querySelectorAll('#entries thead button')].map((b) => b.dataset.column).indexOf({key!r})"
        )
        return state, report.texts(f"#entries tbody tr > :nth-child({at + 1})")

    state, dates = sort("created")
    assert state == "descending"
    assert dates == sorted(dates, reverse=True)
    state, dates = sort("created")
    assert state == "ascending"
    assert dates == sorted(dates)
    assert len(dates) == 50
    state, _ = sort("owner")
    assert state == "ascending"
    assert report.run("document.querySelectorAll('[aria-sort]').length") == 1
    _, plays = sort("plays")
    numbers = [int(text.replace(",", "")) for text in plays]
    assert numbers == sorted(numbers, reverse=True)
    _, played = sort("played")
    assert not {"never", "unknown"} & set(played)
    _, played = sort("played")
    assert set(played) == {"never", "unknown"}


def test_pages_of_entries_go_on_and_back(report: Report) -> None:
    first = report.texts("#entries tbody th small")
    assert report.run("document.getElementById('back').disabled")
    seen = list(first)
    while not report.run("document.getElementById('on').disabled"):
        report.run("document.getElementById('on').click()")
        seen += report.texts("#entries tbody th small")
    assert len(seen) == len(set(seen)) == ENTRIES + len(HOSTILE)
    while not report.run("document.getElementById('back').disabled"):
        report.run("document.getElementById('back').click()")
    assert report.texts("#entries tbody th small") == first


def test_the_keyboard_reaches_and_sorts(report: Report) -> None:
    report.run("document.getElementById('search').focus()")
    for _ in range(5):
        report.browser.press("Tab")
    # Three filters and the frame that scrolls lie between the search and the first head of a column.
    assert report.run("document.activeElement.dataset.column") == "name"
    assert report.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    report.browser.press("Enter")
    assert report.run("document.activeElement.closest('th').ariaSort") == "ascending"


def test_what_is_shown_can_be_saved_as_csv(report: Report) -> None:
    choose(report, "search", "hyperlink")
    # There are plays, and no day of one.
    assert report.texts("#entries tbody td:nth-child(4)") == ["unknown"]
    text = report.run(
        """(() => {
          const make = URL.createObjectURL, click = HTMLAnchorElement.prototype.click;
          let blob;
          URL.createObjectURL = (made) => { blob = made; return "data:,"; };
          HTMLAnchorElement.prototype.click = () => {};
          document.getElementById("csv").click();
          URL.createObjectURL = make;
          HTMLAnchorElement.prototype.click = click;
          return blob.text();
        })()"""
    )
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [(row["name"], row["state"], row["bytes"]) for row in rows] == [
        ("'=HYPERLINK(A1)", "copy missing", str(2**40 - 9))
    ]
    more = ("duration_seconds", "source", "admin_tags", "end_date")
    assert [tuple(row[name] for name in more) for row in rows] == [("90", "lecture_capture", "zoomentry", "2020-09-13")]


def test_every_chart_has_its_table_and_a_csv_of_it(report: Report) -> None:
    links = report.run("[...document.querySelectorAll('figure')].map((f) => [f.querySelector('a[download]').href, "
                       "f.querySelectorAll('tbody tr').length, f.querySelectorAll('thead th').length])")  # fmt: skip
    assert len(links) == 9
    for link, rows, columns in links:
        read = list(csv.reader(io.StringIO(unquote(link.partition(",")[2]), newline="")))
        assert len(read) == rows + 1
        assert {len(row) for row in read} == {columns}


def test_a_screen_reader_finds_its_way(report: Report) -> None:
    levels = report.run("[...document.querySelectorAll('h1, h2, h3, h4')].map((h) => Number(h.tagName[1]))")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert report.run("document.documentElement.lang") == "en"
    unnamed = """[...document.querySelectorAll("table, input, select, button, figure, [role=region]")].filter((e) =>
      !(e.caption?.textContent || e.labels?.length || e.ariaLabel || e.getAttribute("aria-labelledby") ||
        (e.tagName === "BUTTON" && e.textContent))).map((e) => e.outerHTML.slice(0, 99))"""
    assert report.run(unnamed) == []
    assert report.run("[...document.querySelectorAll('th')].every((head) => head.scope)")
    assert report.run("[...document.querySelectorAll('figure svg')].every((svg) => svg.ariaHidden === 'true')")
    assert report.run("[...document.querySelectorAll('figcaption')].every((text) => text.textContent.length > 10)")
    ids = report.run("[...document.querySelectorAll('[id]')].map((e) => e.id)")
    assert len(ids) == len(set(ids))
    for target in report.run(
        "[...document.querySelectorAll('a[href^=\"#\"]')].map((a) => a.getAttribute('href').slice(1))"
    ):
        assert target in ids


# The contrast of each text with what is behind it, and of the charts' colours with the paper (WCAG 1.4.3 and 1.4.11).
CONTRAST = """(() => {
  const parts = (color) => color.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((c) => c / 255).map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const contrast = (one, other) => {
    const [dark, bright] = [light(parts(one)), light(parts(other))].sort((a, b) => a - b);
    return (bright + 0.05) / (dark + 0.05);
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const color = getComputedStyle(at).backgroundColor;
      if (!/, 0\\)$/.test(color)) return color;
    }
    throw new Error("no background");
  };
  const bad = [];
  let texts = 0;
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !element.getClientRects().length || element.disabled) continue;
    const style = getComputedStyle(element);
    const color = element.closest("svg") ? style.fill : style.color;
    const found = contrast(color, behind(element)) * (style.opacity < 1 ? 0 : 1);
    texts += 1;
    if (found < 4.5) bad.push([walker.currentNode.data.trim().slice(0, 40), color, behind(element), found]);
  }
  const paper = behind(document.querySelector("figure"));
  for (const mark of document.querySelectorAll("figure svg path[fill^=var], figure svg path[stroke^='var(']")) {
    if (!mark.getClientRects().length) continue;
    const style = getComputedStyle(mark);
    const color = style.fill === "none" ? style.stroke : style.fill;
    const found = contrast(color, paper);
    if (found < 3) bad.push([mark.outerHTML.slice(0, 60), color, paper, found]);
  }
  const field = getComputedStyle(document.getElementById("search"));
  if (contrast(field.borderTopColor, paper) < 3) bad.push(["search", field.borderTopColor, paper]);
  return {bad, texts, paper};
})()"""


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_everything_can_be_read_in_both_colour_schemes(report: Report, dark: bool) -> None:
    report.run("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    report.browser.look(dark=dark)
    found = report.run(CONTRAST)
    assert found["bad"] == []
    assert found["texts"] > 1000
    assert found["paper"] == ("rgb(26, 32, 39)" if dark else "rgb(255, 255, 255)")


def test_on_paper_it_is_light_and_short(report: Report, tmp_path: Path) -> None:
    report.browser.look(dark=True)
    report.browser.pdf(tmp_path / "report.pdf")
    printed = (tmp_path / "report.pdf").read_bytes()
    assert printed.startswith(b"%PDF")
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) <= 5
    rules = report.run("[...document.styleSheets[0].cssRules].filter((r) => r.conditionText === 'print').length")
    assert rules == 1
    report.browser.look(media="print")
    assert report.run("getComputedStyle(document.querySelector('figure')).backgroundColor") == "rgb(255, 255, 255)"
    assert report.run("getComputedStyle(document.getElementById('entries')).display") == "none"
    assert report.run("getComputedStyle(document.querySelector('figure')).breakInside") == "avoid"
    assert report.run("getComputedStyle(document.querySelector('thead')).display") == "table-header-group"


# The command


def test_report_writes_the_page_to_stdout_too(sandbox: Sandbox, run: Run) -> None:
    sandbox.add("archived", name="Lecture")
    ran = run("report", "-o", "-")
    assert ran.code == 0
    assert ran.out.startswith("<!DOCTYPE html>")
    assert "There is no run log yet" in ran.out
    assert "no Kaltura price was given" in ran.out


def test_report_reads_the_log_that_runs_leave(
    sandbox: Sandbox, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kaltura_archiver.run.run._run_log", RUN_LOG)
    entry = sandbox.add("initial", name="Lecture")
    assert run("s3copy", "--id", entry, "--no-dry-run").code == 0
    assert run("replace_video", "--id", entry, "--no-dry-run", "--min-age-years", "0").code == 0
    assert run("verify", "--id", entry, "--no-dry-run").code == 0
    sandbox.kaltura.library.entries[entry].last_played_at = int(sandbox.control.clock.now())
    assert run("restore", "--id", entry, "--no-dry-run").code == 0
    ran = run("report", "-o", "page.html")
    assert (ran.code, ran.out) == (0, "")
    assert "wrote page.html: 1 entries" in ran.err
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "The run log covers 4 runs" in page
    assert "In the last 12 months 1 original came back. Half of the viewers waited less than a minute" in page
    assert list(tmp_path.glob("*.part")) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-o", "no/such/folder/page.html"], "cannot write no/such/folder/page.html: No such file or directory"),
        (["--enriched", "no.tsv"], "cannot read no.tsv: No such file or directory"),
        (["--kaltura-price", "-1"], "-1.0 is not in the range"),
        (["--price-table", "no.toml"], "cannot read the price table no.toml"),
        (["--rows", "x"], "'x' is not a valid integer"),
    ],
)
def test_what_cannot_be_is_one_line_and_status_2(run: Run, arguments: list[str], said: str) -> None:
    ran = run("report", *arguments)
    assert ran.code == 2
    assert said in ran.err
    assert len([line for line in ran.err.splitlines() if "INFO" not in line and "WARNING" not in line]) == 1


def test_without_the_extra_report_says_how_to_get_it(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    ran = run("report")
    assert (ran.code, ran.err) == (
        2,
        "error: the report needs Jinja and vl-convert: pip install 'kaltura-archiver[report]', no image has it\n",
    )
