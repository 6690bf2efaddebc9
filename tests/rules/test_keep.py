"""The keep list: what is on it is neither archived nor replaced, whoever asks, and may always be restored."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from conftest import Run
from hypothesis import given, settings
from hypothesis import strategies as st
from looking import lose_flavor_tag, original_of, shown, somebody_replaces, state_of, tags_of, writes
from made_facts import any_facts

from kaltura_archiver.keep import Keep, checked_owner, owner_rule, owner_rules
from kaltura_archiver.model import ARCHIVED_TAG, REPLACED_TAG, Entry, Facts, Outcome, Placing, State
from kaltura_archiver.plans import plan_for
from kaltura_archiver.sandbox.kaltura.metadata import MetadataField
from kaltura_archiver.sandbox.world import Sandbox
from kaltura_archiver.steps import Command, Options, Step

ARCHIVES = {Step.COPY, Step.UPLOAD_PLACEHOLDER, Step.PUT_PLACEHOLDER}
FACULTY, COURSE = 10, 11


# The rules


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"tags": ("Lecture", "Keep")}, "tagged keep"),
        ({"tags": ("keep this", "keeper")}, ""),
        ({"creator_id": "JDoe"}, "owned by JDoe"),
        ({"owner_id": "jdoe@example.edu"}, "owned by jdoe@example.edu"),
        ({"owner_id": "ann@example.edu"}, "owned by ann@example.edu"),
        ({"owner_id": "ann"}, ""),
        ({"category_ids": ("7", "12")}, "in category 12"),
        ({"category_ids": ("120",)}, ""),
        ({}, ""),
    ],
)
def test_each_rule_says_why(fields: dict[str, Any], why: str) -> None:
    keep = Keep(categories=frozenset({12, 34}), owners=owner_rules(["jdoe ", "Ann@Example.edu", ""]))
    assert keep.why(Facts(Entry("0_a", **fields), placings=()), 2e9) == why
    # Beside what the entry says of itself (real-kaltura K01+: not much) the database's word counts.
    outside = (Placing(120), Placing(7, frozenset({120})))
    assert keep.why(Facts(Entry("0_a", **fields), placings=outside), 2e9) == why
    for placing, told in (
        (Placing(34), "in category 34"),
        (Placing(34, active=False), "in category 34"),
        (Placing(7, frozenset({1, 34})), "below category 34"),
    ):
        assert keep.why(Facts(Entry("0_a", **fields), placings=(*outside, placing)), 2e9) == (why or told)


def test_what_is_not_known_to_be_outside_the_kept_categories_is_kept() -> None:
    known = Facts(Entry("0_a"))
    assert Keep(categories=frozenset({12})).why(known, 2e9) == "its categories are not known"
    assert Keep().why(known, 2e9) == ""


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("k\u00e9ep", "ke\u0301ep"),
        ("keep", "keep\u200b"),
        ("keep", "\ufeffkeep"),
        ("keep", "\uff4beep"),
        ("k", "k\u00a0"),
    ],
)
def test_what_looks_the_same_is_the_same(rule: str, said: str) -> None:
    assert Keep(tags=frozenset({rule})).why(Facts(Entry("0_a", tags=(said,))), 0) == f"tagged {rule}"
    owners = Keep(owners=frozenset({owner_rule(rule)}))
    assert owners.why(Facts(Entry("0_a", owner_id=said)), 0).startswith("owned by ")


# 2027-06-30T23:59:59Z
LAST_SECOND_OF_JUNE = 1_814_399_999
UNTIL = "keep_until_2027-06-30"


@pytest.mark.parametrize(
    ("tags", "before", "after"),
    [
        (("Keep_Until_2027-06-30",), f"tagged {UNTIL}", ""),
        (("lecture", f"\u00a0{UNTIL}"), f"tagged {UNTIL}", ""),
        ((UNTIL, "keep_until_2020-01-01"), f"tagged {UNTIL}", ""),
        (("keep_until_2020-01-01",), "", ""),
        ((UNTIL, "keep_until_2027-07-01"), "tagged keep_until_2027-07-01", "tagged keep_until_2027-07-01"),
        ((UNTIL, "keep"), "tagged keep", "tagged keep"),
        (("upkeep_until_2027-06-30", "keeper"), "", ""),
    ],
)
def test_a_tag_keeps_until_the_end_of_the_day_that_it_names(tags: tuple[str, ...], before: str, after: str) -> None:
    known = Facts(Entry("0_a", tags=tags))
    assert Keep().why(known, LAST_SECOND_OF_JUNE) == before
    assert Keep().why(known, LAST_SECOND_OF_JUNE + 1) == after


@pytest.mark.parametrize(
    "tag",
    ["keep_until_2027-13-45", "keep_until_2027-06-31", "keep until 2020-01-01", "keep-until-2020-01-01", "keep_until",
     "keep_until_30.6.2020", "keep_until_2020-01-01x", "keepuntil2020", "keep_until_\u0662\u0660\u0662\u0660-01-01"],
)  # fmt: skip
def test_one_that_names_no_day_keeps_for_ever_and_is_told(tag: str) -> None:
    told = Keep().why(Facts(Entry("0_a", tags=("keep_until_2020-01-01", tag))), 4e9)
    assert told == f"tagged {tag}, which names no day such as keep_until_2027-06-30: kept until it does"


def test_custom_metadata_keeps_by_exactly_that_value_and_where_it_is_not_known() -> None:
    keep = Keep(metadata=frozenset({("Retention", "Permanent")}))
    said = {"Retention": frozenset({"x", "Permanent"})}
    assert keep.why(Facts(Entry("0_a"), metadata=said), 0) == "its Retention is Permanent"
    for other in ({"Retention": frozenset({"permanent"})}, {"Course": frozenset({"Permanent"})}, {}):
        assert keep.why(Facts(Entry("0_a"), metadata=other), 0) == ""
    assert keep.why(Facts(Entry("0_a")), 0) == "its custom metadata is not known"


@st.composite
def kept(draw: st.DrawFn) -> tuple[Facts, Keep]:
    """Facts about an entry that some rule keeps, and the rules."""
    known = draw(any_facts())
    rule = draw(st.sampled_from(["tag", "until", "creator", "owner", "category", "below", "unknown", "field", "odd"]))
    said = frozenset({("Retention", "Permanent")})
    keep = Keep(frozenset({"keep", "forever"}), frozenset({FACULTY}), frozenset({"jdoe"}), said)
    changed: dict[str, Any] = {
        "tag": {"tags": (*known.entry.tags, draw(st.sampled_from(["keep", "Forever"])))},
        "until": {"tags": (*known.entry.tags, draw(st.sampled_from(["keep_until_2099-01-01", "keep until monday"])))},
        "creator": {"creator_id": "jdoe@example.edu"},
        "owner": {"owner_id": "JDOE"},
        "category": {"category_ids": (str(FACULTY),)},
    }.get(rule, {})
    below, elsewhere = (Placing(COURSE, frozenset({FACULTY})),), (Placing(COURSE, frozenset({1})),)
    placings = {"below": below, "unknown": None}.get(rule, elsewhere)
    entry = dataclasses.replace(known.entry, **changed)
    metadata = {"field": {"Retention": frozenset({"Permanent"})}, "odd": None}.get(rule, {})
    return dataclasses.replace(known, entry=entry, placings=placings, metadata=metadata), keep


@settings(max_examples=150)
@given(kept(), st.sampled_from(Command), st.booleans(), st.booleans())
def test_no_plan_archives_or_replaces_what_is_kept(
    case: tuple[Facts, Keep], command: Command, eager: bool, in_group: bool
) -> None:
    known, keep = case
    options = Options(now=2e9, keep=keep, min_age_years=0, accept_size_match=eager, allow_in_place=eager, approve=eager)
    plan = plan_for(command, known, options, in_group=in_group)
    if command.heeds_keep:
        assert not ARCHIVES.intersection(plan.steps)
    # That cancels a replacement of ours which is under way, see tests/apply/test_armed.py.
    if command in (Command.S3COPY, Command.REPLACE) and plan.steps != (Step.SETTLE,):
        assert plan.steps == ()
        assert plan.outcome in (Outcome.ALREADY, Outcome.SKIPPED, Outcome.REFUSED)
    if command in (Command.RESTORE, Command.VERIFY):
        assert plan == plan_for(command, known, dataclasses.replace(options, keep=Keep()), in_group=in_group)


# The commands


@pytest.fixture
def categories(sandbox: Sandbox) -> None:
    sandbox.kaltura.add_category(FACULTY, "Faculty")
    sandbox.kaltura.add_category(COURSE, "Course", FACULTY)


RULES: dict[str, dict[str, Any]] = {
    # why, and an entry of which that is so
    "tagged keep": {"tags": "lecture, Keep"},
    "tagged gold": {"tags": "gold"},
    "tagged heritage": {"tags": "lecture, heritage"},
    "in category 10": {"categories": (FACULTY,)},
    "below category 10": {"categories": (COURSE,)},
    "in category 20": {"categories": (20,)},
    "owned by jdoe": {"user_id": "jdoe", "creator_id": "somebody"},
    "owned by zoe@x.edu": {"creator_id": "zoe@x.edu"},
    "owned by ann": {"creator_id": "ann"},
}


@pytest.mark.usefixtures("categories")
@pytest.mark.parametrize(("command", "start"), [("s3copy", State.INITIAL), ("replace_video", State.ARCHIVED)])
def test_what_a_rule_keeps_is_left_alone_and_the_rest_is_not(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch, command: str, start: State
) -> None:
    """A rule of the environment stands beside those of the options."""
    Path("owners.txt").write_text("zoe\n\njdoe\n")
    monkeypatch.setenv("KEEP_TAGS", "gold, keep")
    monkeypatch.setenv("KEEP_CATEGORIES", "3, 10")
    monkeypatch.setenv("KEEP_OWNERS", "@owners.txt")
    sandbox.kaltura.add_category(20, "Another")
    sandbox.kaltura.add_category(3, "Empty")
    kept = {why: sandbox.add(start, **fields) for why, fields in RULES.items()}
    other = sandbox.add(start, tags="lecture", creator_id="somebody")
    options = ["--all", "--keep-tag", "Heritage", "--keep-category", 20, "--keep-owner", "ann"]
    for act, outcome in (("--dry-run", "would"), ("--no-dry-run", "done")):
        ran = run(command, act, *options)
        assert ran.outcomes == dict.fromkeys(kept.values(), "skipped") | {other: outcome}, ran.err
        assert ran.code == 0
        assert {row["detail"]: row["entry_id"] for row in ran.rows if row["outcome"] == "skipped"} == {
            f"kept: {why}": entry_id for why, entry_id in kept.items()
        }
    assert {request.subject for request in writes(sandbox)}.isdisjoint(kept.values())


def test_the_tag_keep_is_heeded_unless_another_is_named(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry_id, gold = sandbox.add(State.INITIAL, tags="keep"), sandbox.add(State.INITIAL, tags="gold")
    assert run("s3copy", "--all", "--keep-tag", "gold").outcomes == dict.fromkeys((entry_id, gold), "skipped")
    monkeypatch.setenv("KEEP_TAGS", "gold")
    assert run("s3copy", "--all").outcomes == {entry_id: "would", gold: "skipped"}


@pytest.mark.parametrize("state", [State.PLACEHOLDER, State.NO_ORIGINAL, State.UNSETTLED])
def test_what_is_kept_can_be_restored(sandbox: Sandbox, run: Run, state: State) -> None:
    video = sandbox.video()
    entry_id = sandbox.add(state, content=video, tags="keep")
    assert run("restore", "--tag", "keep", "--no-dry-run").outcomes == {entry_id: "done"}
    assert shown(sandbox, entry_id) == video
    assert REPLACED_TAG not in tags_of(sandbox, entry_id)


def test_repair_brings_a_kept_original_back_instead_of_the_placeholder(sandbox: Sandbox, run: Run) -> None:
    """A replacement in place that was cut, and then somebody kept the entry."""
    video = sandbox.video()
    entry_id = sandbox.add(State.NO_ORIGINAL, content=video)
    sandbox.kaltura.edit(entry_id, tags=f"{ARCHIVED_TAG}, {REPLACED_TAG}, keep")
    assert run("replace_video", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "skipped"}
    assert run("repair", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "done"}
    assert shown(sandbox, entry_id) == video


def test_repair_does_not_approve_the_placeholder_of_what_is_kept(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add(State.ARCHIVED)
    sandbox.kaltura.settings.replacement_approval = True
    somebody_replaces(sandbox, entry_id, sandbox.placeholder)
    sandbox.kaltura.edit(entry_id, tags=f"{ARCHIVED_TAG}, {REPLACED_TAG}, keep")
    ran = run("repair", "--id", entry_id, "--approve", "--no-dry-run")
    assert ran.outcomes == {entry_id: "refused"}
    assert "that was cancelled, what was there is in place; it is kept: tagged keep" in ran.out
    assert writes(sandbox, "media.approveReplace") == []
    assert len(writes(sandbox, "media.cancelReplace")) == 1


def test_repair_still_puts_the_tags_of_what_is_kept_right(sandbox: Sandbox, run: Run) -> None:
    ids = [sandbox.add(state, tags="keep") for state in (State.UNTAGGED, State.HALF_TAGGED, State.UNSETTLED)]
    lose_flavor_tag(sandbox, ids[0])
    words = [word for entry_id in ids for word in ("--id", entry_id)]
    assert run("repair", *words, "--no-dry-run").outcomes == dict.fromkeys(ids, "done")
    assert [state_of(run, entry_id) for entry_id in ids] == ["archived", "placeholder", "archived"]


@pytest.mark.usefixtures("categories")
@pytest.mark.parametrize("in_place", [False, True])
def test_what_is_kept_while_we_upload_is_not_replaced(sandbox: Sandbox, run: Run, in_place: bool) -> None:
    sandbox.kaltura.settings.entry_replacement = not in_place
    changes: list[dict[str, Any]] = [
        {"tags": f"{ARCHIVED_TAG}, {REPLACED_TAG}, keep"}, {"categories": (COURSE,)}, {"user_id": "jdoe"}
    ]  # fmt: skip
    videos = {sandbox.add(State.ARCHIVED, content=(video := sandbox.video())): video for _ in changes}
    options = ["--keep-category", FACULTY, "--keep-owner", "jdoe", *(["--allow-in-place"] if in_place else [])]
    for change, (entry_id, video) in zip(changes, videos.items(), strict=True):
        version = original_of(sandbox, entry_id).version
        # When the tag flavors_deleted has just been set.
        sandbox.control.add_fault(
            "media.update", after=lambda _, e=entry_id, change=change: sandbox.kaltura.edit(e, **change)
        )
        ran = run("replace_video", "--id", entry_id, "--no-dry-run", *options)
        assert (ran.code, ran.outcomes) == (1, {entry_id: "failed"})
        assert "kept since a moment ago" in ran.out or "changed the tags" in ran.out
        assert shown(sandbox, entry_id) == video
        assert original_of(sandbox, entry_id).version == version
        assert REPLACED_TAG not in tags_of(sandbox, entry_id)


@pytest.fixture
def retained(sandbox: Sandbox) -> list[str]:
    """An entry that is to stay by its custom metadata, one that says something else, one that says nothing."""
    sandbox.kaltura.add_profile(1, MetadataField(11, "Retention"))
    found = [sandbox.add(State.ARCHIVED) for _ in range(3)]
    for entry_id, said in zip(found, ("Permanent", "permanent"), strict=False):
        sandbox.kaltura.set_metadata(entry_id, 1, Retention=said)
    sandbox.kaltura.settle()
    return found


@pytest.mark.parametrize("by_option", [False, True])
def test_what_its_custom_metadata_keeps_is_left_alone_by_every_command(
    sandbox: Sandbox, run: Run, retained: list[str], monkeypatch: pytest.MonkeyPatch, by_option: bool
) -> None:
    rule = "Retention=Permanent"
    kept, *others = retained
    if not by_option:
        monkeypatch.setenv("KEEP_METADATA", rule)
    options = ["--keep-metadata", rule] if by_option else []
    ran = run("replace_video", "--all", *options)
    assert ran.outcomes == {kept: "skipped"} | dict.fromkeys(others, "would")
    assert "kept: its Retention is Permanent" in ran.out
    assert run("plan", "replace", "-o", "plan.jsonl", "--all", *options).code == 0
    ran = run("apply", "plan.jsonl", "--no-dry-run")
    assert ran.outcomes == dict.fromkeys(others, "done"), ran.err
    if not by_option:
        assert run("explain", kept, "--format", "json").json["entry"]["kept"] == "its Retention is Permanent"
        (row,) = [row for row in run("config").rows if row["check"] == "keep"]
        assert row["detail"] == "tag keep: 0 entries; metadata Retention=Permanent: 1 entry"
    assert {request.subject for request in writes(sandbox)}.isdisjoint([kept])


def test_custom_metadata_that_comes_while_we_upload_keeps(sandbox: Sandbox, run: Run, retained: list[str]) -> None:
    _, entry_id, _ = retained
    version = original_of(sandbox, entry_id).version

    def keep(_: Any) -> None:
        sandbox.kaltura.set_metadata(entry_id, 1, Retention="Permanent")

    sandbox.control.add_fault("media.update", after=keep)
    ran = run("replace_video", "--id", entry_id, "--no-dry-run", "--keep-metadata", "Retention=Permanent")
    assert (ran.code, ran.outcomes) == (1, {entry_id: "failed"})
    assert "kept since a moment ago: its Retention is Permanent" in ran.out
    assert original_of(sandbox, entry_id).version == version


def test_a_rule_of_custom_metadata_that_protects_nothing_stops(
    sandbox: Sandbox, run: Run, retained: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for rule, words in (
        ("Retention=Permanant", "no entry has metadata Retention=Permanant, so that rule protects nothing"),
        ("retention=Permanent", "no field of custom metadata is called 'retention'"),
        ("Retention", "KEEP_METADATA: 'Retention' is not a field and its value"),
        ("Retention=a,b", "KEEP_METADATA: 'b' is not a field and its value"),
    ):
        monkeypatch.setenv("KEEP_METADATA", rule)
        ran = run("s3copy", "--all", "--no-dry-run")
        assert (ran.code, ran.out, words in ran.err) == (2, "", True), ran.err
    assert run("restore", "--all").code == 0
    assert len(retained) == 3


def test_a_day_in_a_tag_is_heeded_by_each_command_until_it_is_over(sandbox: Sandbox, run: Run) -> None:
    stays, misspelt, over = (
        sandbox.add(State.ARCHIVED, tags=f"keep_until_{day}") for day in ("2999-06-30", "2999-06-31", "2020-06-30")
    )
    for command in ("replace_video --no-dry-run", "replace_video"):
        ran = run(*command.split(), "--all")
        assert (ran.outcomes[stays], ran.outcomes[misspelt]) == ("skipped", "skipped")
        assert "kept: tagged keep_until_2999-06-30\n" in ran.out
        assert "which names no day such as keep_until_2027-06-30" in ran.out
    assert REPLACED_TAG in tags_of(sandbox, over)


# What people are told


@pytest.mark.usefixtures("categories")
def test_explain_tells_that_an_entry_is_kept_and_why(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEEP_CATEGORIES", "10")
    kept, other = sandbox.add(State.ARCHIVED, categories=(COURSE,)), sandbox.add(State.ARCHIVED)
    told = run("explain", kept, "--format", "json").json
    assert told["entry"]["kept"] == "below category 10"
    assert told["commands"]["replace_video"] == "skipped: kept: below category 10"
    assert run("explain", other, "--format", "json").json["entry"]["kept"] == "no"


@pytest.mark.usefixtures("categories")
def test_config_tells_the_keep_list(sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """How many entries each rule holds now, of whatever kind and status."""
    monkeypatch.setenv("KEEP_TAGS", "keep,gold")
    monkeypatch.setenv("KEEP_CATEGORIES", "10")
    monkeypatch.setenv("KEEP_OWNERS", "jdoe,ann@example.edu,nobody")
    sandbox.add(State.INITIAL, categories=(COURSE,), tags="gold")
    sandbox.add(State.INITIAL, media_type=5, creator_id="JDoe@example.edu", tags="keep this, Gold")
    sandbox.add(State.BUSY, user_id="jdoe", creator_id="ann@example.edu")
    ran = run("config")
    (row,) = [row for row in ran.rows if row["check"] == "keep"]
    assert row["detail"] == (
        "tag gold: 2 entries; tag keep: 0 entries; category 10 (Faculty): 1 entry; "
        "owner ann@example.edu: 1 entry; owner jdoe: 2 entries; owner nobody: 0 entries"
    )
    assert ran.code == 0
    Path("many.txt").write_text("".join(f"user{n}\n" for n in range(30)) + "jdoe\n")
    monkeypatch.setenv("KEEP_OWNERS", "@many.txt")
    (row,) = [row for row in run("config").rows if row["check"] == "keep"]
    assert "; 31 owners: 2 entries; 30 own nothing: user0, user1, user10" in row["detail"]


def test_a_keep_list_that_cannot_be_meant_stops_what_heeds_it_and_no_restore(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("empty.txt").write_text("\n")
    Path("latin.txt").write_bytes(b"j\xfcrgen")
    Path("keep.csv").write_text("owner,reason\njdoe,emeritus\n")
    Path("comment.txt").write_text("jdoe\n# retired\nann\n")
    Path("trailing.txt").write_text("jdoe\n\nann  # retired\n")
    Path("quoted.txt").write_text('"jdoe"\n"ann"\n')
    Path("tabs.txt").write_text("jdoe\tretired\n")
    Path("wide.txt").write_bytes("jdoe\n".encode("utf-16"))
    Path("column.txt").write_text("owner_id\njdoe\n")
    Path("two-marks.txt").write_text("\ufeffann\n\ufeffjdoe\n")
    Path("unseen.txt").write_text("\u200bjdoe\n")
    Path("curly.txt").write_text("\u201cjdoe\u201d\n")
    Path("pipe.txt").write_text("auth0|1\njdoe|emeritus\n")
    Path("colon.txt").write_text("jdoe:emeritus\n")
    entry_id = sandbox.add(State.PLACEHOLDER, creator_id="Auth0|1")
    # What nearly matches, and does not.
    sandbox.add(State.INITIAL, tags="gold, keep it; gold, golfing")
    for name, value, words in (
        ("KEEP_CATEGORIES", "Lectures", "KEEP_CATEGORIES: 'Lectures' is not the id of a category"),
        ("KEEP_CATEGORIES", "0", "not the id of a category"),
        ("KEEP_OWNERS", "@nobody.txt", "cannot read KEEP_OWNERS, nobody.txt: No such file"),
        ("KEEP_OWNERS", "@empty.txt", "KEEP_OWNERS, empty.txt: nobody is in it"),
        ("KEEP_OWNERS", "@latin.txt", "cannot read KEEP_OWNERS, latin.txt: not UTF-8"),
        ("KEEP_TAGS", "x", "'x' cannot be a tag"),
        ("KEEP_TAGS", "x" * 101, "cannot be a tag of Kaltura's: two to 100 bytes"),
        ("KEEP_TAGS", " , ", "that names nothing"),
        ("KEEP_TAGS", "keep;gold", "no entry is tagged keep;gold, so that rule protects nothing"),
        ("KEEP_TAGS", "keep gold", "no entry is tagged keep gold"),
        ("KEEP_TAGS", "keep # ours", "no entry is tagged keep # ours"),
        ("KEEP_TAGS", '"gold"', "KEEP_TAGS is in quotes"),
        ("KEEP_TAGS", "keep,golf", "no entry is tagged golf"),
        ("KEEP_TAGS", "gol*", "no entry is tagged gol*"),
        ("KEEP_CATEGORIES", "99", "there is no category 99"),
        ("KEEP_CATEGORIES", "10;20", "KEEP_CATEGORIES: '10;20' is not the id of a category"),
        ("KEEP_CATEGORIES", "10 20", "not the id of a category"),
        ("KEEP_CATEGORIES", "'10'", "KEEP_CATEGORIES is in quotes"),
        ("KEEP_CATEGORIES", "10 # faculty", "not the id of a category"),
        ("KEEP_CATEGORIES", "\u0661\u0660", "not the id of a category"),
        ("KEEP_OWNERS", "@keep.csv", "keep.csv, line 1: 'owner,reason' is not one Kaltura user"),
        ("KEEP_OWNERS", "@comment.txt", "comment.txt, line 2: '# retired' is not one Kaltura user"),
        ("KEEP_OWNERS", "@trailing.txt", "trailing.txt, line 3: 'ann # retired' is not one Kaltura user"),
        ("KEEP_OWNERS", "@quoted.txt", "quoted.txt, line 1: '\"jdoe\"' is not one Kaltura user"),
        ("KEEP_OWNERS", "@tabs.txt", "tabs.txt, line 1: 'jdoe\\tretired' is not one Kaltura user"),
        ("KEEP_OWNERS", "@wide.txt", "wide.txt: not UTF-8"),
        ("KEEP_OWNERS", "@column.txt", "column.txt: its first line is owner_id, the name of a column"),
        ("KEEP_OWNERS", "@two-marks.txt", "two-marks.txt, line 2: '\\ufeffjdoe' is not one Kaltura user"),
        ("KEEP_OWNERS", "@unseen.txt", "unseen.txt, line 1: '\\u200bjdoe' is not one Kaltura user"),
        ("KEEP_OWNERS", "@curly.txt", "curly.txt, line 1: '\u201cjdoe\u201d' is not one Kaltura user"),
        ("KEEP_OWNERS", "@pipe.txt", "there is no user jdoe|emeritus in this account"),
        ("KEEP_OWNERS", "@colon.txt", "there is no user jdoe:emeritus in this account"),
        ("KEEP_OWNERS", "jdoe@", "KEEP_OWNERS: 'jdoe@' is not one Kaltura user"),
        ("KEEP_OWNERS", "jdoe;ann", "KEEP_OWNERS: 'jdoe;ann' is not one Kaltura user"),
        ("KEEP_OWNERS", "jdoe ann", "KEEP_OWNERS: 'jdoe ann' is not one Kaltura user"),
        ("KEEP_OWNERS", "jdoe\nann", "is not one Kaltura user"),
        ("KEEP_OWNERS", "*@example.edu", "is not one Kaltura user"),
        ("KEEP_OWNERS", "'jdoe,ann'", "KEEP_OWNERS is in quotes"),
        ("KEEP_OWNERS", ",", "that names nothing"),
    ):
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            for command in ("s3copy", "replace_video", "repair"):
                ran = run(command, "--id", entry_id, "--no-dry-run")
                assert (ran.code, ran.out) == (2, "")
                assert words in ran.err
            if "quotes" not in words:  # which are no matter of the keep list alone
                assert run("restore", "--id", entry_id).outcomes == {entry_id: "would"}
    assert writes(sandbox) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--keep-owner", "jdoe,ann"), "--keep-owner: 'jdoe,ann' is not one Kaltura user"),
        (("--keep-owner", "@keep.csv"), "keep.csv, line 1: 'owner,reason'"),
        (("--keep-category", "99"), "there is no category 99"),
        (("--keep-tag", "nowhere"), "no entry is tagged nowhere"),
        (("--exclude-category", "99"), "there is no category 99 to be left out"),
        (("--exclude-tag", "nowhere"), "no entry is tagged nowhere, which is to be left out"),
        (("--tag", "!nowhere"), "no entry is tagged nowhere, which is to be left out"),
    ],
)
def test_an_option_that_protects_nothing_ends_every_command_that_acts(
    sandbox: Sandbox, run: Run, options: tuple[str, str], words: str
) -> None:
    """Before the first entry is looked at."""
    Path("keep.csv").write_text("owner,reason\njdoe,emeritus\n")
    sandbox.add(State.ARCHIVED)
    for command in (
        ("s3copy", "--all"), ("replace_video", "--all", "--no-dry-run"), ("repair", "--all"),
        ("plan", "replace", "--all", "-o", "plan.jsonl"),
    ):  # fmt: skip
        ran = run(*command, *options)
        assert (ran.code, ran.out) == (2, ""), ran.err
        assert ran.err.splitlines()[-1].startswith("error: ")
        assert words in ran.err
    assert sandbox.control.requests("media.get") == []
    assert not Path("plan.jsonl").exists()


def test_a_plan_does_not_outlive_a_rule_that_protects_nothing_any_more(sandbox: Sandbox, run: Run) -> None:
    gold = sandbox.add(State.ARCHIVED, tags="gold")
    sandbox.add(State.ARCHIVED)
    assert run("plan", "replace", "--all", "--keep-tag", "gold", "-o", "plan.jsonl").code == 0
    sandbox.kaltura.edit(gold, tags=ARCHIVED_TAG)
    ran = run("apply", "plan.jsonl", "--no-dry-run")
    assert (ran.code, "no entry is tagged gold" in ran.err) == (2, True)
    assert writes(sandbox) == []


def test_a_user_with_an_unusual_id_is_kept(sandbox: Sandbox, run: Run) -> None:
    """Known to Kaltura, or nobody may ask whether it is."""
    entry_id = sandbox.add(State.ARCHIVED, creator_id="Auth0|1")
    assert run("replace_video", "--id", entry_id, "--keep-owner", "auth0|1").outcomes == {entry_id: "skipped"}
    sandbox.control.add_fault("user.get", "error", code="SERVICE_FORBIDDEN", times=9)
    ran = run("replace_video", "--id", entry_id, "--keep-owner", "auth0|1", "--keep-owner", "auth0|2")
    assert ran.outcomes == {entry_id: "skipped"}


def test_ids_of_azure_guests_and_the_like_are_users() -> None:
    for user in ("ann_example.com#EXT#@contoso.onmicrosoft.com", "o'neill", "jürgen@example.edu", "a+b", "auth0|1"):
        assert checked_owner(f" {user} ", "here") == user
