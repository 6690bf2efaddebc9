"""A policy file: each mistake is one line with the rule, the key and the line of the file."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest

from kaltura_archiver.cli.policy_file import read_policy
from kaltura_archiver.cli.policy_of_jobs import policy_of_jobs
from kaltura_archiver.cli.policy_schema import schema
from kaltura_archiver.config import read_settings
from kaltura_archiver.errors import ConfigError, InputError
from kaltura_archiver.policy import Policy, Stage, StageClock

NOW = 1_790_000_000.0  # 2026-09-21
GOOD = """\
[keep]
tag = ["exam"]

[[rule]]
name = "three years"
on = ["05-15", "12-15"]

[rule.select]
unplayed_for = "3"
category = ["Faculty>Course", 17]

[rule.archive]
storage_class = "DEEP_ARCHIVE"

[rule.replace]
archived_for = "90d"
created_before = 2024-08-31
"""


def _read(tmp_path: Path, text: str, now: float = NOW) -> Policy:
    path = tmp_path / "policy.toml"
    path.write_text(text)
    return read_policy(str(path), read_settings(None), now)


def _refused(tmp_path: Path, text: str) -> str:
    with pytest.raises(InputError) as refused:
        _read(tmp_path, text)
    told = str(refused.value)
    assert "\n" not in told
    return told.replace(str(tmp_path / "policy.toml"), "FILE")


def test_its_keys_are_the_options_of_the_commands(tmp_path: Path) -> None:
    (rule,) = _read(tmp_path, GOOD).rules
    assert rule.name == "three years"
    assert (rule.query.categories, rule.query.category_names) == ((17,), ("Faculty>Course",))
    assert rule.query.max_entries is None
    assert rule.keep.tags == {"keep", "exam"}
    archive, replace = rule.stages
    assert archive.options == {"storage_class": "DEEP_ARCHIVE"}
    created, archived = replace.clocks
    assert created == StageClock("created_before", day=1725062400.0)
    assert archived == StageClock("archived_for", age_seconds=90 * 86400)


def test_between_its_days_the_clocks_stand_still(tmp_path: Path) -> None:
    """Of 2026-09-21 the last of its days is 2026-05-15."""
    (rule,) = _read(tmp_path, GOOD).rules
    assert rule.query.unplayed_since == 1778803200 - 3 * 31_557_600
    assert _read(tmp_path, GOOD, NOW + 30 * 86400).rules[0].query.unplayed_since == rule.query.unplayed_since


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("archived_for =", "archived_fro =", "line 16: rule 'three years', replace.archived_fro: there is no such"),
        ("archived_for =", "archived_fro =", "did you mean archived_for?"),
        ('"three years"', '""', "FILE, line 5: rule 1, name: a rule needs a name"),
        ('"3"', '"soon"', "line 9: rule 'three years', select.unplayed_for: unplayed-for: 'soon' is not an age"),
        ('"3"', "true", "line 9: rule 'three years', select.unplayed_for: unplayed-for: true is not a value"),
        ('unplayed_for = "3"\ncategory = ["Faculty>Course", 17]', "", "it selects every video of the account"),
        ('["Faculty>Course", 17]', "[]", "category: a list without values is no criterion"),
        ('["Faculty>Course", 17]', '""', "category: the value is empty"),
        ("[rule.archive]", "[rule.limits]\nmoney = nan\n[rule.archive]", "limits.money: nan is not a number above 0"),
        ("17]", "{a = 1}]", "select.category: category: { a = 1 } is not a value or a list of values"),
        ("DEEP_ARCHIVE", "DEEP", "line 13: rule 'three years', archive.storage_class: 'DEEP' is not one of"),
        ("[rule.archive]", "[rule.thin]", "thin.storage_class: there is no such key"),
        ("archived_for", "replaced_for", "this clock never comes here: replaced_for begins with a later stage"),
        ("archived_for", "thinned_for", "this clock never comes: the rule has no stage thin"),
        ("05-15", "02-30", "line 6: rule 'three years', on: '02-30' is no day of every year"),
        ("[keep]", "[keeep]", "FILE, line 1: keeep: there is no such key; did you mean keep?"),
        ("[[rule]]", "[rule]", "no rule is in it"),
        ('tag = ["exam"]', 'owner = ["a b"]', "rule 'three years', keep: --keep-owner: 'a b' is not one Kaltura user"),
        ("[rule.archive]\n", "[rule.archive]\nmin_age_years = 3\n", "archive.min_age_years: there is no such key"),
        ('category = ["Faculty>Course", 17]', 'tag = "!archived_to_s3"', "the stages themselves look at this tag"),
        ('name = "three years"', 'name = "three years', "FILE is no TOML: "),
        ("archived_for = \"90d\"", 'review = "yes"', "replace.review: 'yes' is neither true nor false"),
        ("[rule.archive]", "[rule.limits]\nhours = \"25-3\"\n[rule.archive]", "limits.hours: '25-3' is not hours"),
        ("[rule.archive]", "[rule.limits]\nentries = 0\n[rule.archive]", "limits.entries: 0 is not a number above 0"),
        ("[rule.archive]", "[rule.notice]\ngrace = \"30\"\n[rule.archive]", "notice.grace: '30' is not a number"),
        ("[rule.archive]", "[rule.notice]\nremind = \"30d\"\n[rule.archive]", "notice.remind: the reminder comes"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_that_says_where(tmp_path: Path, before: str, after: str, told: str) -> None:
    assert before in GOOD
    text = GOOD.replace(before, after, 1)
    assert told in _refused(tmp_path, text)


def test_replace_without_a_copy_is_refused(tmp_path: Path) -> None:
    text = '[[rule]]\nname = "a"\nselect = { plays = 0 }\nreplace = {}\n'
    assert (
        _refused(tmp_path, text) == "FILE, line 4: rule 'a', replace: needs a copy in S3 first: add archive before it"
    )


def _rule(name: str, criterion: str, *stages: str) -> str:
    return "\n".join(["[[rule]]", f'name = "{name}"', f"select = {{ {criterion} }}", *stages, ""])


LONG = _rule("long", 'longer_than = "60m"', "archive = {}", "replace = {}")


def test_a_list_due_of_what_its_rule_would_not_find_again_is_refused(tmp_path: Path) -> None:
    """Kaltura tells the placeholder's length of what is replaced; its size the stored copy tells."""
    assert _read(tmp_path, LONG).rules
    told = _refused(tmp_path, f"{LONG}due = {{ replaced_for = 1 }}\n")
    assert told.startswith("FILE, line 6: rule 'long', due: never comes: what is replaced has the placeholder's length")
    assert _read(tmp_path, LONG.replace("longer_than", "larger_than").replace("60m", "2G") + "due = {}\n").rules


def test_a_list_due_of_what_an_earlier_rule_has_replaced_and_does_not_find_again_is_refused(tmp_path: Path) -> None:
    due = _rule("rest", "created_before = 3", "due = { created_before = 4 }")
    told = _refused(tmp_path, LONG + due)
    assert told.startswith("FILE, line 9: rule 'rest', due: what is replaced has the placeholder's length, so that the")
    assert "the rule 'long' does not find it again, and this one does: put that rule behind it" in told
    # What viewers ask for comes back all the same.
    assert len(read_policy(str(tmp_path / "policy.toml"), read_settings(None), NOW, keeps=False).rules) == 2
    assert [rule.name for rule in _read(tmp_path, due + LONG).rules] == ["rest", "long"]
    assert _read(tmp_path, LONG.replace("replace = {}\n", "") + due).rules
    assert _read(tmp_path, LONG + due.replace("due = { created_before = 4 }", "archive = {}")).rules


def test_a_notice_that_no_rule_takes_up_is_refused(tmp_path: Path) -> None:
    """A person reads it as the promise that owners are told first; what is for the desk's mail is none."""
    rule = '[[rule]]\nname = "a"\nselect = { plays = 0 }\narchive = {}\n'
    promise = '[notice]\ndirectory = "people.csv"\ngrace = "30d"\n'
    told = _refused(tmp_path, f"{promise}{rule}replace = {{}}\n")
    assert told.startswith("FILE, line 3: notice.grace: no owner would be told, for no rule has a notice: add notice")
    assert _read(tmp_path, f"{promise}{rule}replace = {{}}\nnotice = {{}}\n").rules[0].notice
    assert _read(tmp_path, f"{promise}{rule}").rules
    assert _refused(tmp_path, f"notice = 30\n{rule}") == "FILE, line 1: notice: 30 is no table: write [notice]"
    assert _read(tmp_path, f'[notice]\ndirectory = "people.csv"\n{rule}replace = {{}}\n').rules


def test_two_rules_of_one_name_are_refused(tmp_path: Path) -> None:
    rule = '[[rule]]\nname = "a"\nselect = { plays = 0 }\narchive = {}\n'
    assert "line 6: rule 'a', name: another rule has this name" in _refused(tmp_path, rule + rule)
    assert "it has no stage" in _refused(tmp_path, rule.replace("archive = {}\n", ""))


def test_a_rule_told_before_it_takes_away_has_the_notice_as_a_clock(tmp_path: Path) -> None:
    text = GOOD.replace("[rule.archive]", '[rule.notice]\ngrace = "45d"\n[rule.archive]')
    stages = _read(tmp_path, text).rules[0].stages
    assert [(made.stage, made.told_seconds) for made in stages] == [
        (Stage.ARCHIVE, None), (Stage.REPLACE, 45 * 86400.0)
    ]  # fmt: skip
    nothing = text[: text.index("[rule.replace]")]
    assert "there is nothing to tell of: the rule has neither thin nor replace" in _refused(tmp_path, nothing)


def test_its_schema_knows_the_keys_that_the_file_may_have(tmp_path: Path) -> None:
    rule = schema()["properties"]["rule"]["items"]["properties"]
    assert {"unplayed_for", "category", "owner", "admin_tag"} <= rule["select"]["properties"].keys()
    assert "max_entries" not in rule["select"]["properties"]
    assert rule["archive"]["properties"]["storage_class"]["enum"][-1] == "DEEP_ARCHIVE"
    assert "replaced_for" in rule["due"]["properties"]
    assert "replaced_for" not in rule["replace"]["properties"]
    desk = schema()["properties"]["restore"]["properties"]
    assert {"played_within", "request_tag", "requests", "tier", "days", "mail", "limits"} <= desk.keys()
    assert "approve" not in desk
    json.dumps(schema())
    assert time.time() > NOW  # the dates above are over


def test_the_variables_of_the_jobs_become_a_file(tmp_path: Path) -> None:
    variables = {
        "N_YEARS": "3", "SELECTION": "--category 17 --tag !exam --category=Faculty --never-played", "MAX_ENTRIES": "-1",
        "STORAGE_CLASS": "DEEP_ARCHIVE", "NOTICED_BEFORE": "30d", "MAX_COST": "20", "TIER": "standard",
    }  # fmt: skip
    text = policy_of_jobs(variables)
    told = _read(tmp_path, text)
    (rule,) = told.rules
    assert (rule.query.categories, rule.query.category_names) == ((17,), ("Faculty",))
    assert rule.query.without_tags == ("exam",)
    assert rule.query.never_played
    assert rule.query.unplayed_since == int(NOW - 3 * 31_557_600)
    archive, replace = rule.stages
    assert archive.options == {"storage_class": "DEEP_ARCHIVE"}
    assert replace.told_seconds == 30 * 86400
    assert (rule.limits.entries, rule.limits.money) == (None, 20.0)


def test_what_the_jobs_bring_back_is_a_restore_desk_unless_they_are_narrowed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A desk cannot be narrowed: it would bring back what nobody asked the job for."""
    variables = {"N_YEARS": "3", "TIER": "standard", "MAX_ENTRIES": "50"}
    whole = policy_of_jobs(variables)
    desk = _read(tmp_path, whole).desk
    assert desk is not None
    assert (desk.options, desk.limits.entries) == ({"tier": "standard"}, 50)
    assert desk.sources["play"].played_since == int(NOW - 3 * 31_557_600)
    assert not caplog.records
    narrowed = policy_of_jobs(variables | {"SELECTION": "--category 17"})
    assert _read(tmp_path, narrowed).desk is None
    assert "SELECTION narrowed what was brought back" in caplog.text
    comment = narrowed[narrowed.index("# [restore]") :]
    assert re.sub("(?m)^# ?", "", comment) == whole[whole.index("[restore]") :]


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({}, "N_YEARS is not set"),
        ({"N_YEARS": "0"}, "N_YEARS is not set"),
        ({"N_YEARS": "3", "SELECTION": "--idfile x"}, "--idfile is no criterion of a rule"),
        ({"N_YEARS": "3", "SELECTION": "--category"}, "--category says nothing"),
        (
            {"N_YEARS": "3", "SELECTION": "--unplayed-for 1"},
            "--unplayed-for is given by the jobs themselves, as N_YEARS",
        ),
        (
            {"N_YEARS": "3", "SELECTION": "--unplayed_for=1"},
            "--unplayed-for is given by the jobs themselves, as N_YEARS",
        ),
        ({"N_YEARS": "3", "SELECTION": "--played-within 1"}, "--played-within is given by the jobs themselves"),
        ({"N_YEARS": "3", "SELECTION": "--category 0"}, "SELECTION: category: '0' is neither"),
    ],
)
def test_variables_that_mean_nothing_are_refused(variables: dict[str, str], told: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(told)):
        policy_of_jobs(variables)
