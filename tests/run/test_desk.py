"""The restore desk: what people ask for is brought back by `run` before any rule, and within what a day allows."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
import time_machine
from conftest import Ran, Run
from looking import do_not_probe, do_not_wait, shown, tags_of, writes
from mailsink import MailSink

from kaltura_archiver.model import ARCHIVED_TAG, REPLACED_TAG, State, iso_time
from kaltura_archiver.run import notices
from kaltura_archiver.run import run as acting
from kaltura_archiver.run.desk_book import PREFIX
from kaltura_archiver.sandbox.world import Sandbox

RUN_LOG = acting._run_log  # the fixture `run` does without it
DAY = 86400
TAG = "restore_please"
DESK = f'[restore]\nplayed_within = 1\nrequest_tag = "{TAG}"\nrequests = "requests.csv"\n'
RULE = '\n[[rule]]\nname = "all lectures"\nselect = { tag = "lecture" }\narchive = {}\nreplace = {}\n'


@pytest.fixture(autouse=True)
def desk(monkeypatch: pytest.MonkeyPatch) -> Path:
    do_not_probe(monkeypatch)
    do_not_wait(monkeypatch)
    Path("requests.csv").write_text("entry_id,who\n")
    path = Path("policy.toml")
    path.write_text(DESK)
    return path


def _act(run: Run, *more: object) -> Ran:
    return run("run", "--no-dry-run", "--workers", 1, *more)


def _rows(ran: Ran) -> list[tuple[str, str, str]]:
    return [(row["stage"], row["entry_id"], row["outcome"]) for row in ran.rows]


def _play(sandbox: Sandbox, entry_id: str, days_ago: float = 0) -> None:
    sandbox.kaltura.edit(entry_id, plays=7, last_played_at=int(sandbox.control.clock.now() - days_ago * DAY))


def test_what_is_asked_for_in_any_way_comes_back_once(sandbox: Sandbox, run: Run) -> None:
    video = sandbox.video()
    played, both, listed = (sandbox.add(State.PLACEHOLDER, content=video) for _ in range(3))
    tagged = sandbox.add(State.PLACEHOLDER, content=video, tags=f"lecture, {TAG}")
    other, before = sandbox.add(State.PLACEHOLDER), sandbox.add(State.PLACEHOLDER)
    _play(sandbox, played)
    _play(sandbox, both)
    _play(sandbox, before, 30)
    replaced_at = iso_time(sandbox.control.clock.now() - DAY)
    sandbox.s3.set_tags(before, sandbox.s3.tags(before) | {"replaced-at": replaced_at})
    sandbox.kaltura.settle()
    Path("requests.csv").write_text(f"entry_id,who\n{listed},ann\n{both},ben\n")
    expected = [("play", played), ("play", both), ("tag", tagged), ("request", listed)]
    dry = run("run")
    # It was played before it was replaced: nobody has asked for it.
    assert set(_rows(dry)) == {("play", before, "skipped"), *((*one, "would") for one in expected)}, dry.err
    assert writes(sandbox) == []
    ran = _act(run)
    assert set(_rows(ran)) == {("play", before, "skipped"), *((*one, "done") for one in expected)}, ran.err
    assert {row["rule"] for row in ran.rows} == {"restore"}
    assert "policy: 4 entries to bring back, 0 entries due" in dry.err
    assert "policy: 4 entries brought back, 0 entries were due by 0 rules" in ran.err
    assert all(shown(sandbox, entry_id) == video for _, entry_id in expected)
    assert tags_of(sandbox, tagged) == f"lecture, {ARCHIVED_TAG}"
    assert REPLACED_TAG in tags_of(sandbox, other)
    assert REPLACED_TAG in tags_of(sandbox, before)


def test_the_tag_goes_when_it_is_back_and_not_before(sandbox: Sandbox, run: Run) -> None:
    Path("policy.toml").write_text(f'{DESK}tier = "standard"\n')
    frozen = sandbox.add(State.PLACEHOLDER, storage_class="GLACIER", tags=TAG)
    there = sandbox.add(State.ARCHIVED, tags=TAG)
    ran = _act(run)
    assert set(_rows(ran)) == {("tag", frozen, "waiting"), ("tag", there, "done")}, ran.err
    assert ran.code == 3
    assert "again when it is readable, within 5 hours" in ran.out
    assert TAG in tags_of(sandbox, frozen)
    assert "still running: readable within 5 hours of when it was asked for" in _act(run).out
    assert tags_of(sandbox, there) == ARCHIVED_TAG
    sandbox.control.clock.advance(DAY)
    assert _rows(_act(run)) == [("tag", frozen, "done")]
    assert tags_of(sandbox, frozen) == ARCHIVED_TAG
    assert (_act(run).code, _act(run).rows) == (0, [])


def test_ids_that_lead_nowhere_are_named(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add(State.PLACEHOLDER)
    Path("requests.csv").write_text(f"id\n0_nowhere\n{entry_id}\n")
    ran = _act(run)
    assert (ran.code, ran.outcomes) == (1, {"0_nowhere": "failed", entry_id: "done"})


def test_parts_of_a_run(sandbox: Sandbox, run: Run, desk: Path) -> None:
    desk.write_text(DESK + RULE)
    asked, lecture = sandbox.add(State.PLACEHOLDER, tags=TAG), sandbox.add(State.INITIAL, tags="lecture")
    assert run("run", "--part", "rules").outcomes == {lecture: "would"}
    assert run("run", "--rule", "all lectures").outcomes == {lecture: "would"}
    assert _act(run, "--part", "restore").outcomes == {asked: "done"}
    assert tags_of(sandbox, lecture) == "lecture"
    desk.write_text(RULE)
    ran = _act(run, "--part", "restore")
    assert (ran.code, ran.rows) == (0, [])
    assert "nothing is brought back: there is no [restore]" in ran.err


def test_what_was_just_brought_back_is_left_alone_by_a_rule(sandbox: Sandbox, run: Run, desk: Path) -> None:
    desk.write_text(DESK + RULE)
    entry_id = sandbox.add(State.PLACEHOLDER, tags=f"lecture, {TAG}")
    assert _rows(_act(run)) == [("tag", entry_id, "done")]
    assert REPLACED_TAG not in tags_of(sandbox, entry_id)


def _limited(monkeypatch: pytest.MonkeyPatch, desk: Path, limits: str) -> None:
    monkeypatch.setattr(acting, "_run_log", RUN_LOG)
    desk.write_text(f"{DESK}\n[restore.limits]\n{limits}\n")


@pytest.mark.parametrize("limit", ["entries = 2", "bytes = 10000", "per_owner = 2"])
def test_a_day_allows_so_much_over_all_its_runs(
    sandbox: Sandbox, run: Run, desk: Path, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    _limited(monkeypatch, desk, limit)
    content = sandbox.video()[:5000].ljust(5000, b"v")
    with time_machine.travel("2027-03-01T08:00:00Z"):
        entries = [sandbox.add(State.PLACEHOLDER, content=content, tags=TAG, creator_id="ann") for _ in range(2)]
        first = _act(run)
        assert (first.code, set(first.outcomes.values())) == (0, {"done"}), first.err
        more = sandbox.add(State.PLACEHOLDER, content=content, tags=TAG, creator_id="ann")
        there = sandbox.add(State.ARCHIVED, tags=TAG, creator_id="ann")
        second = _act(run)
        assert (second.code, second.outcomes) == (3, {more: "waiting", there: "done"}), second.err
        told = next(row["detail"] for row in second.rows if row["entry_id"] == more)
        assert "restore.limits." in told
        assert "is left today" in told
    with time_machine.travel("2027-03-02T08:00:00Z"):
        assert _act(run).outcomes == {more: "done"}
    assert all(REPLACED_TAG not in tags_of(sandbox, entry_id) for entry_id in (*entries, more))


def test_money_of_a_day_and_what_has_thawed_comes_back_whatever_the_day_allows(
    sandbox: Sandbox, run: Run, desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _limited(monkeypatch, desk, "entries = 1\nmoney = 0.0001\nbytes = '1G'")
    first = sandbox.add(State.PLACEHOLDER, storage_class="GLACIER", tags=TAG)
    assert "policy: 0 entries to bring back, 1 to thaw first, 0 entries due" in run("run").err
    ran = _act(run)
    assert ran.outcomes == {first: "waiting"}
    assert "policy: 0 entries brought back, 1 to thaw first, 0 entries were due" in ran.err
    second = sandbox.add(State.PLACEHOLDER, storage_class="GLACIER", tags=TAG)
    ran = _act(run)
    assert ran.outcomes == {first: "waiting", second: "waiting"}
    details = {row["entry_id"]: row["detail"] for row in ran.rows}
    assert "not begun" in details[second]
    assert "not begun" not in details[first]
    sandbox.control.clock.advance(DAY)  # of the sandbox alone: for the runs it is the same day
    assert _act(run).outcomes == {first: "done", second: "waiting"}


def test_who_owns_it_is_told_that_it_is_back(
    sandbox: Sandbox, run: Run, desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notices, "PER_MINUTE", 1e6)
    Path("people.csv").write_text("uid,displayName,ou,mail,ldap_status\nanna,Anna A.,Physics,anna@example.edu,active\n")
    desk.write_text(f'[notice]\ndirectory = "people.csv"\n\n{DESK}mail = true\n')
    entry_id = sandbox.add(State.PLACEHOLDER, tags=TAG, creator_id="anna")
    with MailSink() as sink:
        for name, value in sink.environ(NOTIFY_FROM="Video archive <archive@example.edu>").items():
            monkeypatch.setenv(name, value)
        assert [row for row in _rows(run("run")) if row[0] == "notice"] == [("notice", entry_id, "would")]
        assert sink.mail == []
        ran = _act(run)
        assert _rows(ran) == [("tag", entry_id, "done"), ("notice", entry_id, "done")], ran.err
        assert [to for to, _ in sink.mail] == ["anna@example.edu"]
        assert _act(run).rows == []
        assert len(sink.mail) == 1


def test_a_check_counts_what_asks(sandbox: Sandbox, run: Run) -> None:
    sandbox.add(State.PLACEHOLDER, storage_class="GLACIER", tags=TAG)
    both = sandbox.add(State.PLACEHOLDER, tags=TAG)
    Path("requests.csv").write_text(both)
    rows = {row["stage"]: row for row in run("run", "--check").rows}
    assert list(rows) == ["play", "tag", "request"]
    assert (rows["tag"]["here"], rows["tag"]["due"]) == ("2", "2")
    assert re.fullmatch(r"frozen 1; readable by [-\d]+ [:\d]+ UTC; costs <0.01 USD at most", rows["tag"]["detail"])
    assert rows["play"]["here"] == rows["request"]["here"] == "0"
    assert writes(sandbox) == []


@pytest.mark.parametrize("tier", ["", "bulk"])
def test_a_check_counts_a_recording_once_and_the_bytes_of_all_its_streams(
    sandbox: Sandbox, run: Run, tier: str
) -> None:  # fmt: skip
    """Of whatever tier it was asked for, with which its streams come."""
    parent = sandbox.add(State.PLACEHOLDER)
    streams = [sandbox.add(State.PLACEHOLDER, parent_id=parent, display_in_search=-1) for _ in range(2)]
    Path("requests.csv").write_text(f"entry_id,tier\n{parent},{tier}\n")
    row = {row["stage"]: row for row in run("run", "--check").rows}["request"]
    assert (row["here"], row["due"], row["left"]) == ("1", "1", "0")
    assert int(row["bytes_moved"]) == sum(len(sandbox.s3.body(each) or b"") for each in (parent, *streams))
    dry = run("run")
    assert "policy: 1 entry to bring back" in dry.err
    assert set(dry.outcomes) == {parent, *streams}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[restore]\nplayed = 1", "line 2: restore.played: there is no such key"),
        ("[restore]\ntier = 'bulk'", "line 1: restore: nothing would ever be brought back"),
        ("[restore]\nplayed_within = 'soon'", "line 2: restore.played_within: "),
        ("[restore]\nrequest_tag = 'keep'", "line 2: restore.request_tag: --request-tag: keep is a tag of this tool"),
        ("[restore]\nrequests = 'none.csv'", "line 2: restore.requests: cannot read requests"),
        ("[restore]\nplayed_within = 1\ntier = 'fast'", "line 3: restore.tier: 'fast' is not one of"),
        ("[restore]\nplayed_within = 1\nmail = 'yes'", "line 3: restore.mail: 'yes' is neither true nor false"),
        ("[restore]\nplayed_within = 1\n[restore.limits]\nhours = '1-2'", "line 4: restore.limits.hours: there is no"),
        ("[restore]\nplayed_within = 1\n[restore.limits]\nper_owner = 0", "line 4: restore.limits.per_owner: 0 is"),
        ("restore = 1", "line 1: restore: 1 is no table"),
    ],
)
def test_mistakes_are_one_line(run: Run, desk: Path, text: str, told: str) -> None:
    desk.write_text(f"{text}\n{RULE}")
    refused = run("run", "--check")
    assert (refused.code, refused.out) == (2, "")
    assert told in refused.err
    assert len(refused.err.splitlines()) == 1


def test_what_waits_for_the_day_takes_no_place_of_its_owner_s_others(
    sandbox: Sandbox, run: Run, desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large, small = (
        sandbox.add(State.PLACEHOLDER, content=sandbox.video()[:size].ljust(size, b"v"), creator_id="ann")
        for size in (12_000, 5_000)
    )
    Path("asked.txt").write_text(f"{large}\n{small}\n")
    _limited(monkeypatch, desk, "bytes = 10000\nper_owner = 1")
    desk.write_text("[restore]\nrequests = 'asked.txt'\n[restore.limits]\nbytes = 10000\nper_owner = 1\n")
    assert _act(run).outcomes == {large: "waiting", small: "done"}


@pytest.mark.parametrize("by_hand", [False, True])
@pytest.mark.parametrize("limit", ["entries = 2", "per_owner = 2"])
def test_a_recording_is_one_entry_of_a_day(
    sandbox: Sandbox, run: Run, desk: Path, monkeypatch: pytest.MonkeyPatch, limit: str, by_hand: bool
) -> None:
    _limited(monkeypatch, desk, limit)
    with time_machine.travel("2027-03-01T08:00:00Z"):
        parent = sandbox.add(State.PLACEHOLDER, tags=TAG, creator_id="ann", age_years=9)
        for _ in range(2):
            sandbox.add(State.PLACEHOLDER, parent_id=parent, display_in_search=-1, creator_id="ann")
        first = run("restore", "--id", parent, "--no-dry-run") if by_hand else _act(run)
        assert list(first.outcomes.values()) == ["done"] * 3, first.err
        one, more = (sandbox.add(State.PLACEHOLDER, tags=TAG, creator_id="ann", age_years=age) for age in (5, 4))
        outcomes = _act(run).outcomes
        assert (outcomes[one], outcomes[more]) == ("done", "waiting")


def test_a_recording_beyond_the_day_waits_alone_and_nothing_of_it_is_written_down(
    sandbox: Sandbox, run: Run, desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _limited(monkeypatch, desk, "bytes = 10000")
    content = b"v" * 4000
    parent = sandbox.add(State.PLACEHOLDER, tags=TAG, content=content, age_years=9)
    for _ in range(2):
        sandbox.add(State.PLACEHOLDER, parent_id=parent, display_in_search=-1, content=content)
    single = sandbox.add(State.PLACEHOLDER, tags=TAG, content=content, age_years=5)
    ran = _act(run)
    assert list(ran.outcomes.values()) == ["waiting"] * 3 + ["done"], ran.out
    assert [key.split("-")[-3] for key in sandbox.s3.keys(PREFIX)] == [single]


def test_each_request_may_have_its_tier(sandbox: Sandbox, run: Run, desk: Path) -> None:
    desk.write_text(f'{DESK}tier = "standard"\n')
    kinds = {"fast": "GLACIER", "slow": "GLACIER", "usual": "GLACIER", "deep": "DEEP_ARCHIVE", "there": "STANDARD"}
    ids = {name: sandbox.add(State.PLACEHOLDER, storage_class=kind) for name, kind in kinds.items()}
    sandbox.kaltura.edit(ids["slow"], tags=f"{tags_of(sandbox, ids['slow'])}, {TAG}")
    tiers = {"fast": "Expedited", "slow": "Bulk", "usual": "", "deep": "expedited", "there": "expedited"}
    lines = [f"{ids[name]},{tier}" for name, tier in tiers.items()]
    Path("requests.csv").write_text("\n".join(["entry_id,tier", *lines]))
    ran = _act(run)
    said = {row["entry_id"]: (row["stage"], row["outcome"], row["detail"]) for row in ran.rows}
    assert len(ran.rows) == len(ids), ran.out
    assert "tier expedited" in said[ids["fast"]][2]
    assert "tier bulk" in said[ids["slow"]][2]  # though by its tag it asks, too
    assert "tier standard" in said[ids["usual"]][2]
    assert said[ids["deep"]] == ("request", "refused", "DEEP_ARCHIVE has no tier expedited; use standard or bulk")
    assert said[ids["there"]][1] == "done"


def test_what_a_tier_costs_counts_for_the_day(
    sandbox: Sandbox, run: Run, desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _limited(monkeypatch, desk, "money = 0.015")  # an expedited request costs 0.01, a bulk one nothing
    fast, faster = (sandbox.add(State.PLACEHOLDER, storage_class="GLACIER") for _ in range(2))
    Path("requests.csv").write_text(f"id,tier\n{fast},expedited\n")
    assert "tier expedited" in _act(run).out
    Path("requests.csv").write_text(f"id,tier\n{faster},expedited\n")
    assert "not begun, restore.limits.money" in _act(run).out


def test_requests_may_lie_in_the_bucket(sandbox: Sandbox, run: Run, desk: Path) -> None:
    desk.write_text("[restore]\nrequests = 's3:settings/requests.csv'\n")
    missing = run("run", "--check")
    assert (missing.code, missing.out) == (2, "")
    assert "line 2: restore.requests: the bucket has no settings/requests.csv: put the requests there" in missing.err
    entry_id = sandbox.add(State.PLACEHOLDER)
    sandbox.s3.put("settings/requests.csv", f"\ufeffentry_id,tier\n{entry_id},bulk\n".encode())
    assert _act(run).outcomes == {entry_id: "done"}
    sandbox.s3.put("settings/requests.csv", b"entry_id,tier\n0_a,fast\n")
    assert "restore.requests: requests s3:settings/requests.csv, line 2: 'fast' is no tier" in run("run").err


def _explained(run: Run, entry_id: str) -> list[tuple[str, str, str]]:
    return [(row["stage"], row["says"], row["detail"]) for row in run("run", "--explain", entry_id).rows]


def test_explain_tells_what_the_desk_has_to_do_with_an_entry(
    sandbox: Sandbox, run: Run, desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _limited(monkeypatch, desk, "entries = 1")
    with time_machine.travel("2027-03-01T08:00:00Z"):
        first, second, nobodys = (
            sandbox.add(State.PLACEHOLDER, storage_class="GLACIER", tags=tags) for tags in (TAG, TAG, "lecture")
        )
        Path("requests.csv").write_text(f"entry_id,tier\n{first},expedited\n")
        assert _explained(run, nobodys) == [("", "no", "nobody asks for it")]
        ((stage, says, detail),) = _explained(run, first)
        assert (stage, says) == ("request", "due")
        assert "asked for by the list of requests; would request a restore from Glacier" in detail
        assert detail.endswith("; readable by 2027-03-01 08:05 UTC; costs 0.01 USD at most")
        assert _act(run).outcomes == {first: "waiting", second: "waiting"}
        ((stage, says, detail),) = _explained(run, second)
        assert (stage, says) == ("tag", "waits")
        assert detail.startswith(f"asked for by the tag {TAG}; begun on 2027-03-01 08:00 UTC (tier bulk); the restore ")
        assert detail.endswith("; readable by 2027-03-01 20:00 UTC")
        ((stage, says, detail),) = _explained(run, first)
        assert (stage, says) == ("request", "waits")
        assert "asked for by the list of requests; not begun, restore.limits.entries 1: it takes 1 entry" in detail
        assert "readable by 2027-03-01 08:05 UTC, were it begun now" in detail
        assert _explained(run, sandbox.add(State.ARCHIVED)) == [("", "no", "nobody asks for it")]
    assert run("run", "--explain", first, "--rule", "none").code == 2


def test_explain_of_a_play_names_its_day_and_what_else_asks(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add(State.PLACEHOLDER, tags=TAG)
    _play(sandbox, entry_id)
    sandbox.kaltura.settle()
    day = iso_time(sandbox.control.clock.now())[:10]
    (play, says, detail), (tag, also, told) = _explained(run, entry_id)
    assert (play, says, tag, also) == ("play", "due", "tag", "asked")
    assert f"asked for by a play on {day}; would bring the original back" in detail
    assert told == f"asked for by the tag {TAG}"


def test_what_cannot_be_written_down_is_not_begun(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add(State.PLACEHOLDER, storage_class="GLACIER", tags=TAG)
    refusal = {"subject": f"{PREFIX}*", "code": "AccessDenied", "status": 403}
    sandbox.control.add_fault("s3.PutObject", "error", times=10**6, **refusal)
    ran = _act(run)
    assert (ran.code, ran.outcomes) == (1, {entry_id: "failed"})
    assert f"write {PREFIX}" in ran.out
    assert not sandbox.control.requests("s3.RestoreObject")
    sandbox.control.clear_faults()
    assert _act(run).outcomes == {entry_id: "waiting"}


def test_what_is_no_record_of_a_desk_is_told_of_and_left_out(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add(State.PLACEHOLDER, storage_class="GLACIER", tags=TAG)
    day = iso_time(time.time())
    stamp = day.replace("-", "").replace(":", "")
    for number, text in enumerate((b"", b"[]", b'{"mail": 1}', b'{"entry_id": "0_a", "mail": []}')):
        sandbox.s3.put(f"{PREFIX}{day[:7]}/{stamp}-{entry_id}-ab-{number}.json", text)
    ran = _act(run)
    assert ran.outcomes == {entry_id: "waiting"}
    assert f"an object under {PREFIX} is nothing that a restore desk has begun: it is left out" in ran.err


def test_old_prices_are_told_once_however_many_ask(
    sandbox: Sandbox, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own.toml").write_text("[storage.STANDARD]\ngb_month = 7\nas_of = 2020-01-01\n")
    monkeypatch.setenv("PRICE_TABLE", str(tmp_path / "own.toml"))
    for _ in range(3):
        sandbox.add(State.PLACEHOLDER, tags="please", storage_class="GLACIER")
    Path("policy.toml").write_text('[restore]\nrequest_tag = "please"\n[restore.limits]\nmoney = 5.0\n')
    ran = run("run", "--check")
    assert (ran.code, ran.err.count("the prices are of 2020-01-01")) == (0, 1), ran.err
