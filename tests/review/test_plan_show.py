"""`plan show`: the table and its sums, and the page in which a reviewer unticks, in a real Chromium."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import Browser
from conftest import Run
from rich.cells import cell_len
from terminal import on_terminal

from kaltura_archiver.model import State
from kaltura_archiver.review.planfile import _check
from kaltura_archiver.sandbox.world import Sandbox

SCRIPT = "<script>document.title = 'owned'</script>"
HOSTILE = (
    SCRIPT, f"</script>{SCRIPT}", "<img src=x onerror=document.title='owned'>", '"><b onmouseover=x>', "{{ 7 * 7 }}",
    "\u202egnp.exe", "a\tb\\n", "\x1b[31mred",
)  # fmt: skip
HEAD = "owner_id\tldap_status\tname\torg_unit\n"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as started:
        yield started


@pytest.fixture
def plan(sandbox: Sandbox, run: Run) -> Path:
    """A plan to archive six videos of three owners; a seventh is kept."""
    for owner, count in (("ann", 3), ("bob", 2), (HOSTILE[0], 1)):
        for number in range(count):
            sandbox.add(State.INITIAL, name=f"Lecture {number} of {owner}", creator_id=owner, tags="")
    sandbox.add(State.INITIAL, name="Kept", creator_id="ann", tags="keep")
    assert run("plan", "archive", "--all", "-o", "plan.jsonl").code == 0
    return Path("plan.jsonl")


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def acting(path: Path) -> dict[str, str]:
    """The owners of the entries that the plan acts on."""
    read = map(json.loads, lines(path))
    return {line["entry"]: line["owner"] for line in read if line.get("outcome") == "would"}


def page(run: Run, browser: Browser, plan: Path, *options: str) -> Path:
    path = Path("review.html").absolute()
    ran = run("plan", "show", plan, "--format", "html", "-o", path, *options)
    assert (ran.code, ran.out) == (0, ""), ran.err
    browser.look()
    browser.open("about:blank")  # what the page before it has to say comes before
    browser.open(path.as_uri())
    return path


def texts(browser: Browser, selector: str) -> list[str]:
    found = browser.run(f"[...document.querySelectorAll({selector!r})].map((e) => e.textContent.trim())")
    assert isinstance(found, list)
    return found


# The table


def test_the_table_is_aligned_and_ends_with_sums_by_owner(run: Run, plan: Path) -> None:
    ran = run("plan", "show", plan)
    assert ran.code == 0, ran.err
    table, owners, total = ran.out.split("\n\n")
    head, rule, *rows = table.splitlines()
    assert head.split() == ["entry_id", "name", "outcome", "bytes", "last_played", "plays", "owner", "created", "why"]
    assert len(rows) == 7
    starts = [match.start() for match in re.finditer(r"-+", rule)][1:]
    assert all(row[start - 2 : start] == "  " for row in (head, *rows) for start in starts)
    # Numbers end where their head ends.
    plays = slice(head.index("  plays"), head.index("plays") + 5)
    assert all(row[plays].split() == ["0"] and row[plays].endswith("0") for row in rows)
    assert [row.split()[:2] for row in owners.splitlines()[2:]] == [
        ["ann", "3"], ["bob", "2"], [SCRIPT.split()[0], SCRIPT.split()[1]],
    ]  # fmt: skip
    assert re.search(r": archive 6 of 7 entries, [\d.]+ \wi?B to copy\n$", total)


def test_units_are_told_from_what_enrich_made(run: Run, plan: Path) -> None:
    Path("owners.tsv").write_text(f"{HEAD}ann\tactive\tAnn A\tPhysics\n", encoding="utf-8")
    ran = run("plan", "show", plan, "--enriched", "owners.tsv")
    assert ran.code == 0, ran.err
    units = {tuple(line.split()[:-3]): line.split()[-3] for line in ran.out.split("\n\n")[2].splitlines()[2:]}
    assert units == {("Physics",): "3", ("(not", "listed)"): "3"}
    rows = run("plan", "show", plan, "--enriched", "owners.tsv", "--format", "jsonl").out.splitlines()
    assert {json.loads(row)["unit"] for row in rows} == {"Physics", "(not listed)"}


def test_raw_rows_have_raw_values(run: Run, plan: Path) -> None:
    rows = run("plan", "show", plan, "--format", "tsv").rows
    assert {row["entry_id"] for row in rows if row["outcome"] == "would"} == set(acting(plan))
    assert all(int(row["bytes"]) > 0 for row in rows if row["outcome"] == "would")


MORE = "entry_id,duration_seconds,admin_tags,source,end_date,categories"


def test_more_columns_are_shown_on_request(sandbox: Sandbox, run: Run) -> None:
    sandbox.kaltura.add_category(7, "Physics")
    entry_id = sandbox.add(
        State.INITIAL, admin_tags="zoomentry,xy", source_type="37", end_date=1_600_000_000, duration_ms=90_000,
        categories=(7,),
    )  # fmt: skip
    assert run("plan", "archive", "--all", "-o", "plan.jsonl").code == 0
    (row,) = run("plan", "show", "plan.jsonl", "--format", "tsv", "--columns", MORE).rows
    assert row == {
        "entry_id": entry_id, "duration_seconds": "90", "admin_tags": "zoomentry, xy", "source": "lecture_capture",
        "end_date": "2020-09-13", "categories": "Physics",
    }  # fmt: skip
    table = run("plan", "show", "plan.jsonl", "--columns", "entry_id,source")
    assert table.out.splitlines()[::2][:2] == ["entry_id    source", f"{entry_id}  lecture_capture"]
    for words in (("--columns", "entry_id,nothing"), ("--columns", "unit"), ("--columns", "name", "--format", "html")):
        assert run("plan", "show", "plan.jsonl", *words).code == (0 if words[1] == "unit" else 2)
    assert run("apply", "plan.jsonl").outcomes == {entry_id: "would"}


def test_a_plan_of_an_earlier_version_shows_what_it_has(run: Run, plan: Path) -> None:
    told = [json.loads(line) for line in lines(plan)]
    for line in told:
        if line["kind"] == "entry":
            for name in MORE.split(",")[1:]:
                del line[name]
            del line["check"]
            line["check"] = _check(line, told[0]["plan"])
    plan.write_text("".join(f"{json.dumps(line)}\n" for line in told), encoding="utf-8")
    rows = run("plan", "show", plan, "--format", "tsv", "--columns", MORE).rows
    assert len(rows) == 7
    assert {tuple(row.values())[1:] for row in rows} == {("",) * 5}


def test_a_file_that_apply_would_refuse_is_not_shown(run: Run, plan: Path) -> None:
    first, second, *rest = lines(plan)
    plan.write_text("\n".join([first, json.dumps(json.loads(second) | {"owner": "eve"}), *rest]))
    for command in (("plan", "show", plan), ("apply", plan)):
        ran = run(*command)
        assert (ran.code, ran.out) == (2, "")
        assert "plan.jsonl, line 2 is not as this plan was written" in ran.err


def test_strangers_texts_do_not_steer_the_terminal(sandbox: Sandbox, run: Run) -> None:
    for text in HOSTILE:
        sandbox.add(State.INITIAL, name=text, creator_id=text)
    assert run("plan", "archive", "--all", "-o", "plan.jsonl").code == 0
    out = run("plan", "show", "plan.jsonl").out
    assert all(character.isprintable() or character == "\n" for character in out)


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_terminal_sees_what_acts_first_and_why_the_others_do_not(
    sandbox: Sandbox, run: Run, plan: Path, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    for name, value in (("COLUMNS", str(width)), ("TERM", "xterm"), ("NO_COLOR", "1")):
        monkeypatch.setenv(name, value)
    sandbox.add(State.LOST, name="Gone", creator_id="ann")
    assert run("plan", "archive", "--all", "-o", plan, "--force").code == 3
    process, terminal = on_terminal("plan", "show", str(plan))
    assert process.wait(60) == 0
    head, *rows = terminal.lines()
    assert head.split()[:4] == ["OUTCOME", "ENTRY", "NAME", "SIZE"]
    assert max(map(cell_len, rows)) <= width
    told = " ".join(" ".join(rows).split())
    outcomes = [word for row in rows if (word := row.partition(" ")[0]) in ("would", "skipped", "refused")]
    assert outcomes == ["would"] * 6 + ["skipped", "refused"]
    assert "would copy the original to S3" in told  # behind the row, or below it
    assert "Gone" in told
    assert "tagged flavors_deleted, but S3 has no copy of the original; search the bucket's older versions and" in told
    assert re.search(r"OWNER +ENTRIES +SIZE ann +3 ", told)


def test_a_plan_says_how_to_see_it_and_what_acts(sandbox: Sandbox, run: Run) -> None:
    sandbox.add(State.INITIAL)
    ran = run("--log-format", "text", "plan", "archive", "--all", "-o", "my plan.jsonl")
    acts = "kaltura-archiver --log-format text apply 'my plan.jsonl' --no-dry-run"
    assert ran.err.rstrip().endswith(f"nothing was changed; plan show 'my plan.jsonl' shows it; to act: {acts}")
    assert "bytes to move" in ran.err
    ran = run("plan", "show", "my plan.jsonl", "--format", "csv", "-o", "plan.csv")
    assert ran.err.rstrip().endswith("plan.csv is written")


def test_a_plan_of_nothing_says_so(sandbox: Sandbox, run: Run, browser: Browser) -> None:
    assert run("plan", "restore", "--all", "-o", "none.jsonl").code == 0
    assert run("plan", "show", "none.jsonl").out.endswith(": restore 0 of 0 entries, 0 B to bring back\n")
    page(run, browser, Path("none.jsonl"))
    assert texts(browser, "#sum") == ["0 of 0 videos are in, 0 B"]


# The page


def test_untick_save_apply(sandbox: Sandbox, run: Run, browser: Browser, plan: Path, tmp_path: Path) -> None:
    page(run, browser, plan)
    assert texts(browser, "#sum")[0].startswith("6 of 6 videos are in, ")
    left = texts(browser, "#entries [data-owner=ann] th small")[0]
    browser.run("document.querySelector('#entries [data-owner=ann] input').click()")
    browser.run("document.querySelector('.sums tr[data-name=bob] input').click()")
    assert texts(browser, "#sum")[0].startswith("3 of 6 videos are in, ")
    saved = browser.click_and_download("#save", tmp_path)
    assert saved.name in texts(browser, "#saved")[0]
    wanted = {entry: owner for entry, owner in acting(plan).items() if owner != "bob" and entry != left}
    assert len(wanted) == 3
    # Line by line what was there: by hand one would have deleted the others.
    gone = set(acting(plan)) - set(wanted)
    assert sorted(lines(saved)) == sorted(line for line in lines(plan) if json.loads(line).get("entry") not in gone)
    ran = run("apply", saved, "--no-dry-run")
    assert {entry for entry, outcome in ran.outcomes.items() if outcome == "done"} == set(wanted), ran.err


def test_nothing_unticked_saves_the_plan_as_it_was(run: Run, browser: Browser, plan: Path, tmp_path: Path) -> None:
    page(run, browser, plan)
    saved = browser.click_and_download("#save", tmp_path)
    assert sorted(lines(saved)) == sorted(lines(plan))
    assert (lines(saved)[0], lines(saved)[-1]) == (lines(plan)[0], lines(plan)[-1])
    assert run("apply", saved).code == 0


def test_buttons_tick_what_the_search_shows(run: Run, browser: Browser, plan: Path) -> None:
    page(run, browser, plan)
    browser.run("(() => { const s = document.getElementById('search'); s.value = 'OF ANN'; "
                "s.dispatchEvent(new Event('input')); })()")  # fmt: skip
    assert browser.run("[...document.querySelectorAll('#entries tbody tr')].filter((row) => !row.hidden).length") == 3
    browser.run("document.getElementById('none').click()")
    assert texts(browser, "#sum")[0].startswith("3 of 6 ")
    state = "['checked', 'indeterminate'].map((name) => document.querySelector('tr[data-name=ann] input')[name])"
    assert browser.run(state) == [False, False]
    browser.run("document.querySelector('#entries tbody tr:not([hidden]) input').click()")
    assert browser.run(state) == [True, True]
    browser.run("document.getElementById('all').click()")
    assert texts(browser, "#sum")[0].startswith("6 of 6 ")


def test_the_streams_of_a_recording_are_ticked_together(
    sandbox: Sandbox, run: Run, browser: Browser, tmp_path: Path
) -> None:
    """apply does nothing about a recording of which a line is missing, and counts each of its streams as drifted."""
    parent = sandbox.add(State.INITIAL, name="Seminar", creator_id="ann")
    streams = [
        sandbox.add(State.INITIAL, name=f"Stream {n}", creator_id=o, parent_id=parent, display_in_search=-1)
        for n, o in enumerate("ab")
    ]
    other = sandbox.add(State.INITIAL, name="Other", creator_id="ann")
    assert run("plan", "archive", "--all", "-o", "plan.jsonl").code == 0
    page(run, browser, Path("plan.jsonl"))
    assert texts(browser, "#sum")[0].startswith("4 of 4 videos are in, ")
    assert "The streams of a recording are ticked and unticked together." in texts(browser, "ol")[0]
    assert texts(browser, "#entries small:nth-of-type(2)") == [f"further stream of {parent}"] * 2
    boxes = f"[...document.querySelectorAll('#entries [data-recording={json.dumps(parent)}] input')]"
    for ways in (("[0]", "[2]"), ("[1]", "[0]")):
        for way, left in zip(ways, ("1 of 4", "4 of 4"), strict=True):
            browser.run(f"{boxes}{way}.click()")
            assert texts(browser, "#sum")[0].startswith(left)
    # So by an owner whose stream it is, and by what a search has found.
    browser.run("document.querySelector('.sums tr[data-name=a] input').click()")
    assert texts(browser, "#sum")[0].startswith("1 of 4")
    assert browser.run("document.querySelector('.sums tr[data-name=ann] input').indeterminate")
    browser.run("(() => { const s = document.getElementById('search'); s.value = 'Stream 1'; "
                "s.dispatchEvent(new Event('input')); document.getElementById('all').click(); })()")  # fmt: skip
    assert texts(browser, "#sum")[0].startswith("4 of 4")
    browser.run(f"{boxes}[1].click()")
    saved = browser.click_and_download("#save", tmp_path)
    ran = run("apply", saved, "--no-dry-run")
    assert (ran.code, ran.outcomes) == (0, {other: "done"}), streams


def test_one_video_is_told_as_one(sandbox: Sandbox, run: Run, browser: Browser, tmp_path: Path) -> None:
    sandbox.add(State.INITIAL)
    sandbox.add(State.INITIAL, tags="keep")
    assert run("plan", "archive", "--all", "-o", "plan.jsonl").code == 0
    page(run, browser, Path("plan.jsonl"))
    assert texts(browser, "#sum")[0].startswith("1 of 1 video is in, ")
    assert texts(browser, "caption")[0] == "1 video; all that are ticked stay in the plan"
    assert texts(browser, "summary") == ["1 video is left out already"]
    saved = browser.click_and_download("#save", tmp_path)
    assert texts(browser, "#saved") == [f"Saved as {saved.name}, with 1 video: send it back."]


def test_plays_without_a_day_are_not_called_never(sandbox: Sandbox, run: Run) -> None:
    for plays in (0, 7):
        sandbox.add(State.INITIAL, plays=plays)
    assert run("plan", "archive", "--all", "-o", "plan.jsonl").code == 0
    shown = run("plan", "show", "plan.jsonl", "--format", "html").out
    told = re.findall(r'<td class="number">(\w+)</td><td class="number">(\d)</td>', shown)
    assert sorted(told) == [("never", "0"), ("unknown", "7")]


def test_the_page_asks_nobody_and_strangers_texts_are_texts(
    sandbox: Sandbox, run: Run, browser: Browser, tmp_path: Path
) -> None:
    for text in HOSTILE:
        sandbox.add(State.INITIAL, name=text, creator_id=text)
    assert run("plan", "archive", "--all", "-o", "plan.jsonl").code == 0
    owners = f"{HEAD}{SCRIPT}\tactive\t{HOSTILE[2]}\t{HOSTILE[1]}\n"
    Path("owners.tsv").write_text(owners, encoding="utf-8")
    path = page(run, browser, Path("plan.jsonl"), "--enriched", "owners.tsv")
    asked = [e["params"]["request"]["url"] for e in browser.events if e["method"] == "Network.requestWillBeSent"]
    assert asked == [path.as_uri()]
    assert not [e for e in browser.events if e["method"] in ("Runtime.exceptionThrown", "Log.entryAdded")]
    assert browser.run("document.title") == "Videos to be archived"
    assert browser.run("document.scripts.length") == 2
    assert browser.run("document.querySelectorAll('img, [onerror], [onmouseover], [style]').length") == 0
    assert "unsafe" not in path.read_text(encoding="utf-8")
    saved = browser.click_and_download("#save", tmp_path)
    assert sorted(lines(saved)) == sorted(lines(Path("plan.jsonl")))


@pytest.mark.parametrize("width", [1280, 400])
def test_it_fits_the_window_and_the_form_is_named(run: Run, browser: Browser, plan: Path, width: int) -> None:
    page(run, browser, plan)
    browser.look(width=width)
    assert browser.run("document.documentElement.scrollWidth") <= width
    unnamed = "[...document.querySelectorAll('input')].filter((e) => !e.labels.length).length"
    assert browser.run(unnamed) == 0


# The command


def test_plan_is_called_as_before(sandbox: Sandbox, run: Run) -> None:
    sandbox.add(State.INITIAL)
    assert run("plan", "--all", "-o", "a.jsonl", "archive").code == 0
    assert run("plan", "show", "a.jsonl").code == 0
    ran = run("plan", "shown")
    assert (ran.code, "'shown' is not one of 'archive', 'replace', 'thin', 'restore'" in ran.err) == (2, True)


def test_only_the_one_who_runs_it_can_read_the_page(run: Run, plan: Path) -> None:
    assert run("plan", "show", plan, "--format", "html", "-o", "review.html").code == 0
    assert Path("review.html").stat().st_mode & 0o777 == 0o600
