"""The sandbox answers what a real Kaltura answered, and scripts/contract tells where an account does not."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import contract
import probing
import pytest
import sites
from contract import NOTHING, SAFETY_OR_SELECTION, USAGE, differences, main, recorded, report, verdict
from known import ARTEFACTS, LEVELS, RELIANCES, agrees, proven, reliance_of, states_in
from masking import INSTALLED, differing_lines, loosen

from kaltura_archiver.sandbox.control import Control
from kaltura_archiver.sandbox.kaltura.server import KalturaServer

CHANCE = (
    "the recording missed a moment that the sandbox's looks catch, or caught one that they miss: looks are 0.1 s apart"
)
# Where the sandbox answers otherwise; all of it is cosmetic.
EXCEPTIONS = {
    "C10": CHANCE,
    "D09": CHANCE,
    "L09": CHANCE,
    "P25": CHANCE,
    "W02": CHANCE,
    "W40": CHANCE,
    "K01": "the recorded category's id has one digit only, which the mask leaves as it is",
    "F03": "size and warnings of a derived flavor are what the recorded server's encoder made of its video",
    "R02": "a change of owner makes the old one a co-editor on the recorded server; we neither read nor change that",
    "S53": "the length of an address depends on the name of the host",
    "S64": "the length of an address depends on the name of the host",
}
# Asked of the recorded server only: they need another account, its shell, or tools on it.
NOT_ASKED = {"B01", "B02", "D14", "D15", "E230", "E231", "S70", "S71", "S72", "S73", "S74", "S75", "S76", "W41"}


@pytest.fixture(scope="module")
def answers() -> Iterator[dict[str, Any]]:
    """What the sandbox answers to every probe."""
    site = sites.Sandbox()
    try:
        site.prepare()
        probing.probe(site)
        assert site.broken == {}
        yield site.answers
    finally:
        site.tidy()


def unlike(answers: dict[str, Any]) -> dict[str, list[str]]:
    """Probe to where the sandbox's answer differs from the recorded one."""
    found = {}
    for number, known in recorded().items():
        if number in answers and number not in INSTALLED:
            one, other = (loosen(proven(number, x["answer"])) for x in (known, answers[number]))
            if one != other:
                found[number] = list(differing_lines(one, other))
    return found


def test_the_sandbox_answers_what_a_real_server_answered(answers: dict[str, Any]) -> None:
    wrong = {number: lines for number, lines in unlike(answers).items() if number not in EXCEPTIONS}
    assert wrong == {}


def test_the_exceptions_are_few_and_each_still_is_one(answers: dict[str, Any]) -> None:
    assert len(EXCEPTIONS) <= 25
    assert set(EXCEPTIONS) <= set(unlike(answers))


def test_every_probe_is_asked(answers: dict[str, Any]) -> None:
    assert set(recorded()) - set(answers) == NOT_ASKED


def test_every_artefact_has_a_probe(answers: dict[str, Any]) -> None:
    assert set(ARTEFACTS) <= set(recorded())


def test_every_probe_is_rated_and_every_rating_has_a_probe() -> None:
    assert {reliance_of(number).level for number in recorded()} == set(LEVELS)
    used = {reliance_of(number) for number in recorded()}
    assert [one for one in RELIANCES if one not in used] == []


# Comparing


def test_looks_that_missed_a_moment_agree_and_another_end_does_not() -> None:
    def course(*states: str) -> list[dict[str, str]]:
        return [{"entry": state} for state in states]

    assert agrees(course("a", "b", "c"), course("a", "c"))
    assert agrees(course("a", "c"), course("a", "b", "c"), states_in({"seen": course("x", "b")}))
    assert agrees(course("a", "d", "c"), course("a", "b", "c"), states_in({"seen": course("x", "b")}))
    assert not agrees(course("a", "c"), course("a", "b", "c"))  # a state that nobody knows
    assert not agrees(course("a", "b"), course("a", "c"), states_in({"seen": course("a", "c")}))
    assert not agrees(course("a", "b", "c"), course("b", "a", "c"))


def test_the_worst_is_told_first() -> None:
    answers = {number: {"answer": "other"} for number in ("A10", "E01", "W05", "S02", "C06")}
    found = differences(answers, 0, 2)
    assert [one.number for one in found] == ["W05", "E01", "C06", "S02", "A10"]
    text, code = verdict(found, 5, {})
    assert text.startswith("4 of 5 answers differ in what we rely on. Do not replace any video here")
    assert code == SAFETY_OR_SELECTION
    lines = report(found, everything=False)
    assert [line for line in lines if line.isupper()] == ["SAFETY", "SELECTION", "TIMING", "MESSAGE"]
    assert lines[-1] == "cosmetic: A10 (--all shows them)"


def test_times_and_texts_have_a_status_of_their_own() -> None:
    found = differences({"S02": {"answer": "other"}, "W03": {"answer": "other"}}, 0, 2)
    assert verdict(found, 2, {})[1] == contract.TIMING_OR_MESSAGE


# scripts/contract, over HTTP


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[KalturaServer]:
    """A sandbox whose time passes as the tool waits."""
    control = Control(clock=sites.StoppedClock())
    with KalturaServer(control) as running:
        running.settings.conversion_seconds = 2.01
        running.settings.final_chunk_wait_seconds = 0.05
        monkeypatch.setattr(sites.Account, "now", lambda self: control.clock.now())
        monkeypatch.setattr(sites.Account, "sleep", lambda self, seconds: control.clock.advance(seconds))
        monkeypatch.setattr(sites.Account, "final_chunk_seconds", lambda self, waited: 40.0)
        monkeypatch.setattr(sites.Account, "watch", sites.in_turn)
        yield running


def environment(server: KalturaServer) -> dict[str, str]:
    return {"KALTURA_SECRET": server.secret, "KALTURA_USERID": server.user_id}


def asked(server: KalturaServer, *more: str) -> list[str]:
    return ["--url", server.url, "--partner", str(server.partner_id), *more]


def test_a_clean_sandbox_differs_in_nothing_that_matters(
    server: KalturaServer, capsys: pytest.CaptureFixture[str]
) -> None:
    before = set(server.entries)
    assert main(asked(server, "--write"), environment(server)) == NOTHING, capsys.readouterr().out
    out = capsys.readouterr().out
    assert out.startswith("Nothing that matters differs: ")
    assert server.secret not in out
    # What was made is removed.
    left = [entry for entry in server.entries.values() if not entry.deleted and not entry.replaced_entry_id]
    assert {entry.id for entry in left} == before
    assert [token for token in server.app_tokens.values() if token.status == 2] == [
        server.app_tokens[server.app_token_id]
    ]


def test_a_server_that_drops_tags_is_told_before_anything_else(
    server: KalturaServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.settings.drop_tag_updates = True
    assert main(asked(server, "--write"), environment(server)) == SAFETY_OR_SELECTION
    first, *rest = capsys.readouterr().out.splitlines()
    assert "Do not replace any video here before each has been understood" in first
    assert rest[1] == "SAFETY"
    assert "M01    tags sent -> tags in the answer of media.update" in rest


def test_what_only_reads_leaves_no_write_behind(server: KalturaServer, capsys: pytest.CaptureFixture[str]) -> None:
    server.add_entry(sites.look_alike(50_000, 2), name="a lecture")
    assert main(asked(server), environment(server)) == NOTHING, capsys.readouterr().out
    assert capsys.readouterr().out.startswith("Nothing that matters differs: ")
    assert server.control.writes() == []


def test_reading_by_app_token(server: KalturaServer, capsys: pytest.CaptureFixture[str]) -> None:
    server.add_entry(sites.look_alike(50_000, 2), name="a lecture")
    by_token = {"KALTURA_APP_TOKEN_ID": server.app_token_id, "KALTURA_APP_TOKEN": server.app_token}
    assert main(asked(server), by_token) == NOTHING, capsys.readouterr().out
    assert server.control.writes() == []
    assert server.app_token not in capsys.readouterr().out
    assert not server.control.requests("session.start")


def test_a_difference_is_seen_by_reading_alone(server: KalturaServer, capsys: pytest.CaptureFixture[str]) -> None:
    """Ids that are compared letter by letter."""
    entry = server.add_entry(sites.look_alike(50_000, 2))
    server.control.add_fault("media.get", "error", subject=entry.id.upper(), code="ENTRY_ID_NOT_FOUND", times=9)
    assert main(asked(server), environment(server)) == SAFETY_OR_SELECTION
    assert "N04    odd ids" in capsys.readouterr().out


def test_a_run_that_only_reads_cannot_write() -> None:
    from asking import Api, WouldWrite
    from masking import Names

    api = Api("http://127.0.0.1:9", 101, "", Names(), read_only=True)
    for service, action in (("media", "update"), ("uploadtoken", "add"), ("flavorasset", "delete")):
        with pytest.raises(WouldWrite):
            api.call(service, action)
    with pytest.raises(WouldWrite):
        api.multi([("media", "get", {}), ("media", "delete", {})])


@pytest.mark.parametrize(
    ("given", "environ", "words"),
    [
        ([], {}, "--partner or KALTURA_PARTNERID says which account"),
        (["--url", "https://k.example.org"], {}, "--partner or KALTURA_PARTNERID says which account"),
        (["--url", "https://k.example.org", "--partner", "ours"], {}, "--partner must be a number"),
        (["--url", "kaltura", "--partner", "1"], {}, "--url must be an address"),
        (["--url", "http://k.example.org", "--partner", "1"], {"KALTURA_SECRET": "x"}, "must begin with https://"),
        (["--url", "https://k.example.org", "--partner", "1"], {}, "set KALTURA_SECRET"),
    ],
)
def test_missing_or_wrong_settings_are_told_on_one_line(
    capsys: pytest.CaptureFixture[str], given: list[str], environ: dict[str, str], words: str
) -> None:
    assert main(given, environ) == USAGE
    told = capsys.readouterr()
    assert words in told.err
    assert told.err.count("\n") == 1
    assert told.out == ""


def test_a_wrong_secret_is_told(server: KalturaServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(asked(server), {"KALTURA_SECRET": "guessed-secret"}) == USAGE
    err = capsys.readouterr().err
    assert "START_SESSION_ERROR" in err
    assert "check --partner, KALTURA_SECRET" in err
    assert "guessed-secret" not in err


def test_an_account_without_a_video_is_told(server: KalturaServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(asked(server), environment(server)) == USAGE
    assert "no video that is ready" in capsys.readouterr().err


def test_the_answers_are_saved_for_oneself(server: KalturaServer, tmp_path: Path) -> None:
    server.add_entry(sites.look_alike(50_000, 2))
    saved = tmp_path / "answers.json"
    main(asked(server, "--save", str(saved)), environment(server))
    assert saved.stat().st_mode & 0o777 == 0o600
    text = saved.read_text(encoding="utf-8")
    assert '"A05"' in text
    assert not [secret for secret in (server.secret, *server.sessions.issued) if secret in text]


def test_it_asks_the_account_that_the_tool_would_work_on(
    server: KalturaServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server.add_entry(sites.look_alike(50_000, 2), name="a lecture")
    told = {"KALTURA_SERVICE_URL": server.url, "KALTURA_PARTNERID": str(server.partner_id), **environment(server)}
    monkeypatch.setattr(os, "environ", {name: value for name, value in os.environ.items() if "KALTURA" not in name})
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("".join(f"{name}={value}\n" for name, value in told.items()))
    assert main([]) == NOTHING, capsys.readouterr().err
    (tmp_path / ".env").write_text("KALTURA_SECRET=s3cr3t s0 wr0ng\nKALTURA_PARTNERID\n")
    assert main([]) == USAGE
    assert "s3cr3t" not in capsys.readouterr().err


def test_the_script_runs_by_itself() -> None:
    script = Path(contract.__file__)
    ended = subprocess.run([sys.executable, script, "--help"], capture_output=True, text=True, check=True)
    assert "exit status" in ended.stdout
