"""Whose an entry is: who was made its owner in Kaltura, not who created it; in every command that tells of people."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.policy import default
from pathlib import Path

import pytest
from conftest import Run
from looking import tags_of
from mailsink import MailSink

from kaltura_archiver.model import State, notice_tag
from kaltura_archiver.sandbox.control import Request
from kaltura_archiver.sandbox.world import Sandbox

TODAY = datetime.now(UTC).date()
PEOPLE = "uid\tdisplayName\tou\tmail\nanna\tAnna A.\tArts\tanna@example.edu\nben\tBen B.\tBiology\tben@example.edu\n"


@pytest.fixture
def people(monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NOTIFY_FROM", "archive@example.edu")
    path = Path("people.tsv")
    path.write_text(PEOPLE)
    return path


def given_away(sandbox: Sandbox, state: State = State.ARCHIVED, **fields: str) -> str:
    """An entry that Anna created and Ben owns."""
    return sandbox.add(state, **({"name": "Given away", "user_id": "ben", "creator_id": "anna"} | fields))


def enriched(run: Run, people: Path, *options: str, columns: str = "entry_id,name,owner_id,creator_id") -> Path:
    listed, path = Path("list.tsv"), Path("owners.tsv")
    listed.write_text(run("list", "--columns", columns).out)
    more = ("--columns", "mail", "--prefix", "owner_", *options)
    ran = run("enrich", "--directory-file", people, *more, listed)
    assert ran.code == 0, ran.err
    path.write_text(ran.out)
    return path


def messages(folder: str = "notices") -> dict[str, str]:
    """The text of each message, by whom it goes to."""
    found = [message_from_bytes(path.read_bytes(), policy=default) for path in Path(folder).glob("*.eml")]
    return {str(one["To"]): one.get_body(("plain",)).get_content() for one in found}  # type: ignore[union-attr]


# Rows


def test_list_tells_owner_and_creator_and_the_creator_where_there_is_no_owner(sandbox: Sandbox, run: Run) -> None:
    given, plain = given_away(sandbox), sandbox.add("initial", user_id="", creator_id="anna")
    rows = {row["entry_id"]: (row["owner_id"], row["creator_id"]) for row in run("list").rows}
    assert rows == {given: ("ben", "anna"), plain: ("anna", "anna")}


def test_enrich_asks_about_the_owner(sandbox: Sandbox, run: Run, people: Path) -> None:
    given_away(sandbox)
    sandbox.add("initial", user_id="", creator_id="anna")
    ran = run("enrich", "--directory-file", people, stdin=run("list").out)
    assert sorted((row["name"], row["creator_id"]) for row in ran.rows) == [("Anna A.", "anna"), ("Ben B.", "anna")]
    assert "WARNING" not in ran.err


def test_a_list_of_creators_only_is_enriched_with_a_warning(sandbox: Sandbox, run: Run, people: Path) -> None:
    given_away(sandbox)
    listed = run("list", "--columns", "entry_id,creator_id").out
    ran = run("enrich", "--directory-file", people, stdin=listed)
    assert ran.rows[0]["name"] == "Anna A."
    assert "there is no column owner_id" in ran.err
    both = run("list", "--columns", "owner_id,creator_id").out
    ran = run("enrich", "--directory-file", people, "--owner-column", "creator_id", stdin=both)
    assert ran.rows[0]["name"] == "Anna A."
    assert "--column owner_id=creator_id" in ran.err
    # The old spelling, and a row whose owner is missing.
    ran = run(
        "enrich", "--directory-file", people, "--creator-column", "owner_id", stdin="owner_id\tcreator_id\nben\tanna\n"
    )
    assert ran.rows[0]["name"] == "Ben B."
    ran = run("enrich", "--directory-file", people, stdin="creator_id\towner_id\nanna\t\n")
    assert ran.rows[0]["name"] == "Anna A."


def test_explain_and_plan_tell_the_owner(sandbox: Sandbox, run: Run) -> None:
    entry_id = given_away(sandbox, tags=notice_tag(TODAY - timedelta(9), "ben"))
    told = run("explain", entry_id, "--format", "json").json["entry"]
    assert (told["owner"], told["creator"]) == ("ben", "anna")
    assert told["owner_noticed"] == str(TODAY - timedelta(9))
    sandbox.kaltura.edit(entry_id, user_id="eve")
    assert run("explain", entry_id, "--format", "json").json["entry"]["owner_noticed"] == "no"
    assert run("plan", "replace", "--id", entry_id, "-o", "plan.jsonl").code == 0
    lines = [json.loads(line) for line in Path("plan.jsonl").read_text().splitlines()]
    assert [line["owner"] for line in lines if line["kind"] == "entry"] == ["eve"]


def test_what_either_owns_or_created_is_kept_and_which_is_told(sandbox: Sandbox, run: Run) -> None:
    entry_id = given_away(sandbox)
    for user, how in (("ben", "owned by ben"), ("anna", "created by anna")):
        ran = run("replace_video", "--id", entry_id, "--keep-owner", user, "--no-dry-run")
        assert ran.outcomes == {entry_id: "skipped"}
        assert f"kept: {how}" in ran.err


@pytest.mark.parametrize(
    ("columns", "unit"),
    [("owner_id,creator_id", "Biology"), ("owner_id", "Biology"), ("creator_id", "Arts"), ("entry_id", "Arts")],
)
def test_stats_and_the_report_take_the_owner_where_the_table_has_it(
    sandbox: Sandbox, run: Run, people: Path, columns: str, unit: str
) -> None:
    """A table of creators only tells of them, as it always did; one by entry tells what it was made of."""
    given_away(sandbox)
    listed = run("list", "--columns", f"{columns},tags").out
    if columns == "entry_id":
        listed = run("list", "--columns", "entry_id,creator_id").out
    ran = run("enrich", "--directory-file", people, stdin=listed)
    Path("owners.tsv").write_text(ran.out.replace("entry_id\tcreator_id", "entry_id\twho"))
    rows = run("stats", "--enriched", "owners.tsv").rows
    assert [row["key"] for row in rows if row["section"] == "unit"] == [unit]
    assert run("report", "--enriched", "owners.tsv").code == 0
    page = Path("report.html").read_text()
    assert unit in page
    # The account that is named beside the name is the owner's, whatever the table tells.
    assert "(ben)" in page
    assert "(anna)" not in page


@pytest.mark.parametrize("prefix", [(), ("--prefix", "owner_")])
def test_a_table_in_which_creators_were_looked_up_for_owners_is_refused(
    sandbox: Sandbox, run: Run, people: Path, prefix: tuple[str, ...]
) -> None:
    """Of two creators of what one person owns, the last row was taken for the owner."""
    given_away(sandbox)
    given_away(sandbox, creator_id="ben")
    Path("list.tsv").write_text(run("list", "--columns", "entry_id,owner_id,creator_id").out)
    more = (*prefix, "--owner-column", "creator_id")
    ran = run("enrich", "--directory-file", people, *more, "list.tsv")
    assert ran.code == 0
    assert "stats, report and plan show go by owner_id" in ran.err
    Path("owners.tsv").write_text(ran.out)
    run("plan", "archive", "--max-entries", "-1", "-o", "plan.jsonl")
    for command in (("stats",), ("report",), ("plan", "show", "plan.jsonl")):
        ran = run(*command, "--enriched", "owners.tsv")
        assert (ran.code, ran.out) == (2, "")
        assert "owners.tsv: its rows for 'ben' tell of two owners" in ran.err
        assert "without --owner-column" in ran.err
        assert len(ran.err.splitlines()) == 1


# Telling them


@pytest.mark.parametrize("column", ["mail", "Mail"])
def test_who_may_be_somebody_else_is_not_written_to(sandbox: Sandbox, run: Run, people: Path, column: str) -> None:
    """ben@gmail.com is not the campus's ben. That was found out: enrich need not be run again for it."""
    for owner in ("ben@gmail.com", "ben@gmail.com", "ben@example.org", "ben@cs.example.edu", "ben"):
        sandbox.add("archived", name=f"Of {owner}", user_id=owner)
    people.write_text(PEOPLE.replace("mail", column))
    Path("list.tsv").write_text(run("list", "--columns", "entry_id,name,owner_id").out)
    ran = run("enrich", "--directory-file", people, "--columns", column, "--prefix", "owner_", "list.tsv")
    assert ran.code == 0
    assert ran.err.count("WARNING") == 2
    assert ran.err.count("ben@gmail.com is unknown") == 1
    standing = {row["owner_id"]: (row["owner_ldap_status"], row["owner_name"]) for row in ran.rows}
    assert standing == {
        "ben": ("active", "Ben B."), "ben@cs.example.edu": ("active", "Ben B."),
        "ben@gmail.com": ("unknown", ""), "ben@example.org": ("unknown", ""),
    }  # fmt: skip
    Path("owners.tsv").write_text(ran.out)
    named = ("--column", f"mail=owner_{column}", "owners.tsv")
    ran = run("notify", "--prefix", "owner_", "--fallback", "desk@example.edu", *named)
    assert ran.code == 3
    assert {row["address"] or row["owner"]: row["outcome"] for row in ran.rows} == {
        "ben@example.edu": "done", "ben@gmail.com": "waiting", "ben@example.org": "waiting",
    }  # fmt: skip
    (text,) = messages().values()
    assert "gmail.com" not in text
    # Their mail tells them apart also where no column shows it.
    ran = run("enrich", "--directory-file", people, "list.tsv", "--prefix", "owner_")
    assert {row["owner_id"]: (row["owner_ldap_status"], row["owner_name"]) for row in ran.rows} == standing
    # Who means such people looks them up by the whole of their address; without a mail nobody can be told apart.
    nameless = Path("nameless.tsv")
    nameless.write_text("uid\tdisplayName\tou\nben\tBen B.\tBiology\n")
    for dump, more in ((people, ("--whole-id", "--uid-attribute", column)), (nameless, ())):
        ran = run("enrich", "--directory-file", dump, *more, "list.tsv", "--prefix", "owner_")
        assert "unknown" not in ran.out


@pytest.mark.parametrize("columns", [("--columns", "mail"), ()])
def test_two_people_of_one_name_are_unknown_and_that_was_found_out(
    sandbox: Sandbox, run: Run, people: Path, columns: tuple[str, ...]
) -> None:
    sandbox.add("archived", user_id="ben")
    people.write_text(f"{PEOPLE}ben\tBen C.\tArts\tben.c@example.edu\n")
    Path("list.tsv").write_text(run("list", "--columns", "entry_id,name,owner_id").out)
    ran = run("enrich", "--directory-file", people, *columns, "--prefix", "owner_", "list.tsv")
    assert (ran.code, [row["owner_ldap_status"] for row in ran.rows]) == (0, ["unknown"])
    assert "there is another 'ben'" in ran.err


def test_the_owner_is_written_to_and_nobody_hears_of_other_peoples_videos(
    sandbox: Sandbox, run: Run, people: Path
) -> None:
    given_away(sandbox)
    sandbox.add("archived", name="Kept", creator_id="anna")
    ran = run("notify", "--prefix", "owner_", enriched(run, people))
    assert ran.code == 0, ran.err
    told = messages()
    assert {who: [title in text for title in ("Given away", "Kept")] for who, text in told.items()} == {
        "anna@example.edu": [False, True],
        "ben@example.edu": [True, False],
    }


def test_a_list_of_creators_only_is_written_to_with_a_warning(sandbox: Sandbox, run: Run, people: Path) -> None:
    given_away(sandbox)
    ran = run("notify", "--prefix", "owner_", enriched(run, people, columns="entry_id,name,creator_id"))
    assert list(messages()) == ["anna@example.edu"]
    assert "has no column owner_id" in ran.err


def tell(run: Run, path: Path, *more: str) -> str:
    """Send and mark; what the log says."""
    ran = run("notify", "--prefix", "owner_", "--send", "--mark", "--no-dry-run", path, *more)
    assert ran.code == 0, ran.err
    return str(ran.out + ran.err)


def replaces(sandbox: Sandbox, run: Run, entry_id: str) -> tuple[str, str]:
    """What replace_video does about an entry 40 days after the notices, and its log."""
    entry = sandbox.kaltura.entries[entry_id]
    for day in (TODAY, TODAY + timedelta(30)):
        entry.tags = entry.tags.replace(str(day), str(day - timedelta(40)))
    ran = run("replace_video", "--id", entry_id, "--noticed-before", "30d", "--no-dry-run")
    return ran.outcomes[entry_id], ran.err


@pytest.fixture
def sink(monkeypatch: pytest.MonkeyPatch) -> Iterator[MailSink]:
    with MailSink() as running:
        for name, value in running.environ().items():
            monkeypatch.setenv(name, value)
        yield running


def test_after_the_owner_was_told_the_video_is_replaced(
    sandbox: Sandbox, run: Run, people: Path, sink: MailSink
) -> None:
    entry_id = given_away(sandbox)
    tell(run, enriched(run, people))
    assert notice_tag(TODAY, "ben") in tags_of(sandbox, entry_id)
    assert "ben" not in tags_of(sandbox, entry_id)
    assert replaces(sandbox, run, entry_id)[0] == "done"


def test_a_notice_to_the_creator_is_none_to_the_owner(sandbox: Sandbox, run: Run, people: Path, sink: MailSink) -> None:
    entry_id = given_away(sandbox)
    told = tell(run, enriched(run, people, columns="entry_id,name,creator_id"))
    assert f"of other owners by now, who have had no notice: {entry_id}" in told
    assert "ben owns it now, not anna" in told
    outcome, err = replaces(sandbox, run, entry_id)
    assert outcome == "skipped"
    assert f"that of {TODAY - timedelta(40)} went to somebody else" in err
    # The mail to the owner begins a period of its own.
    tell(run, enriched(run, people), "--plan-id", "again")
    assert replaces(sandbox, run, entry_id)[0] == "done"


def test_an_owner_who_came_after_the_notice_has_to_be_told_first(
    sandbox: Sandbox, run: Run, people: Path, sink: MailSink
) -> None:
    entry_id = given_away(sandbox, user_id="anna")
    tell(run, enriched(run, people))
    sandbox.kaltura.edit(entry_id, user_id="ben")
    assert replaces(sandbox, run, entry_id)[0] == "skipped"
    sandbox.kaltura.edit(entry_id, user_id="anna")
    assert replaces(sandbox, run, entry_id)[0] == "done"


def test_an_owner_who_comes_while_the_video_is_being_replaced_keeps_it(sandbox: Sandbox, run: Run) -> None:
    entry_id = given_away(sandbox, tags=notice_tag(TODAY, "ben"))

    def give_on(request: Request) -> None:
        sandbox.kaltura.edit(entry_id, user_id="eve")

    sandbox.control.add_fault("uploadToken.upload", before=give_on)
    outcome, err = replaces(sandbox, run, entry_id)
    assert (outcome, sandbox.control.requests("media.updateContent")) == ("failed", [])
    assert "is not to be replaced since a moment ago: the owner has had no notice" in err


def test_a_run_that_was_killed_before_it_marked_marks_for_whom_it_told(
    sandbox: Sandbox, run: Run, people: Path, sink: MailSink
) -> None:
    entry_id = given_away(sandbox)
    path = enriched(run, people)
    assert run("notify", "--prefix", "owner_", "--send", "--no-dry-run", path).code == 0
    sandbox.kaltura.edit(entry_id, user_id="eve")
    tell(run, path)
    assert len(sink.mail) == 1
    assert notice_tag(TODAY, "ben") in tags_of(sandbox, entry_id)
    assert replaces(sandbox, run, entry_id)[0] == "skipped"


def test_a_record_of_an_earlier_version_marks_for_the_creator(
    sandbox: Sandbox, run: Run, people: Path, sink: MailSink
) -> None:
    """It told creators, and did not record whom else."""
    mine, given = given_away(sandbox, user_id="anna"), given_away(sandbox)
    path = enriched(run, people, columns="entry_id,name,creator_id")
    assert run("notify", "--prefix", "owner_", "--send", "--no-dry-run", path).code == 0
    record = json.loads(Path("notices/sent.jsonl").read_text())
    del record["owners"], record["until"]
    Path("notices/sent.jsonl").write_text(json.dumps(record) + "\n")
    tell(run, path)
    assert f", notice_{TODAY}" in tags_of(sandbox, mine)
    assert not tags_of(sandbox, mine).rpartition("notice_")[2].partition("_")[2]
    assert replaces(sandbox, run, mine)[0] == "done"
    assert replaces(sandbox, run, given)[0] == "skipped"


def test_who_is_asked_in_place_of_an_owner_who_left_is_no_notice_to_the_next_owner(
    sandbox: Sandbox, run: Run, people: Path, sink: MailSink
) -> None:
    entry_id = given_away(sandbox, user_id="gone")
    path = enriched(run, people)
    tell(run, path, "--fallback", "helpdesk@example.edu")
    assert notice_tag(TODAY, "gone") in tags_of(sandbox, entry_id)
    sandbox.kaltura.edit(entry_id, user_id="ben")
    assert replaces(sandbox, run, entry_id)[0] == "skipped"
    sandbox.kaltura.edit(entry_id, user_id="gone")
    assert replaces(sandbox, run, entry_id)[0] == "done"


@pytest.mark.parametrize("style", ["tsv", "csv"])
def test_rows_of_list_are_enriched_in_either_form_and_units_found_behind_a_prefix(
    sandbox: Sandbox, run: Run, tmp_path: Path, style: str
) -> None:
    for name in ("Algebra", 'Logic, "part" 2\nand more\t'):
        sandbox.add("archived", name=name, creator_id="jdoe")
    sandbox.add("initial", creator_id="nobody")
    (tmp_path / "people.csv").write_text("uid,displayName,ou\njdoe,Jane Doe,History\n")
    rows = run("list", "--columns", "entry_id,creator_id,name,plays", "--format", style).out
    enriched = run("enrich", "--directory-file", "people.csv", "--prefix", "owner_", stdin=rows.encode())
    assert enriched.code == 0, enriched.err
    by_creator = {row["creator_id"]: row for row in enriched.rows}
    assert by_creator["jdoe"]["owner_org_unit"] == "History"
    assert by_creator["nobody"]["owner_ldap_status"] == "inactive"
    assert {row["name"] for row in enriched.rows} >= {"Algebra", 'Logic, "part" 2\\nand more\\t'}
    (tmp_path / "enriched.tsv").write_text(enriched.out)
    units = {
        row["key"]: row["entries"]
        for row in run("stats", "--enriched", "enriched.tsv").rows
        if row["section"] == "unit"
    }
    assert units == {"History": "2", "(inactive)": "1"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('a,creator_id\n"1,2\n', ("stdin, line", "unexpected end of data")),
        ("a,creator_id\n1\n", ("line 2: 1 cells, but the header has 2",)),
        ("a,a\n", ("two columns are called 'a'",)),
        ("", ("a TSV or CSV with a header was expected",)),
    ],
)
def test_a_csv_that_is_none_is_told(run: Run, tmp_path: Path, text: str, words: tuple[str, ...]) -> None:
    (tmp_path / "people.csv").write_text("uid,displayName,ou\njdoe,Jane Doe,History\n")
    ran = run("enrich", "--directory-file", "people.csv", stdin=text.encode())
    assert ran.code == 2
    (line,) = ran.err.splitlines()
    assert all(word in line for word in words), line
