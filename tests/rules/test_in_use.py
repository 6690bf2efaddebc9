"""Whether an entry is still what was asked for when its turn comes."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Run
from looking import do_not_wait, shown, state_of, tags_of

from kaltura_archiver.model import State
from kaltura_archiver.sandbox.world import YEAR_SECONDS, Sandbox

POLICY = """
[[rule]]
name = "three years"
select = { unplayed_for = 3 }
archive = {}
replace = { archived_for = "0d" }
"""


@pytest.mark.parametrize("command", ["replace_video", "thin"])
@pytest.mark.parametrize("change", ["played", "tagged", "given away"])
def test_what_has_changed_since_it_was_selected_stays(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch, command: str, change: str
) -> None:
    """A run of many takes hours."""
    do_not_wait(monkeypatch)
    now = sandbox.control.clock.now()
    first, second = (
        sandbox.add(
            State.ARCHIVED, age_years=age, last_played_at=now - 4 * YEAR_SECONDS, plays=3, tags="lecture", derived=3
        )
        for age in (6, 5)
    )

    def somebody(_: object) -> None:
        sandbox.kaltura.edit(
            second,
            **{
                "played": {"plays": 400, "last_played_at": int(now)},
                "tagged": {"tags": f"{tags_of(sandbox, second)}, exam"},
                "given away": {"user_id": "rector"},
            }[change],
        )

    sandbox.kaltura.services.user_ids.add("rector")
    sandbox.add(State.INITIAL, tags="exam", creator_id="rector")  # so that there are such a tag and such a user
    sandbox.control.add_fault("media.update", after=somebody, subject=first)
    ran = run(
        command, "--tag", "archived_to_s3", "--tag", "!flavors_deleted", "--unplayed-for", "3", "--exclude-tag", "exam",
        "--owner", "!rector", "--workers", "1", "--no-dry-run",
    )  # fmt: skip
    assert ran.outcomes == {first: "done", second: "skipped"}
    assert "not what was asked for any more: " in ran.out
    assert state_of(run, second) == "archived"


def test_what_somebody_has_just_put_into_an_old_entry_stays(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    do_not_wait(monkeypatch)
    entry_id = sandbox.add(State.INITIAL, age_years=6)
    newer = sandbox.video()
    sandbox.kaltura.replace_original(entry_id, newer)
    sandbox.control.clock.advance(3600)
    (tmp_path / "policy.toml").write_text(POLICY)
    for _ in range(2):
        run("run", tmp_path / "policy.toml", "--no-dry-run")
    assert shown(sandbox, entry_id) == newer
    ran = run("replace_video", "--unplayed-for", "3", "--no-dry-run")
    assert ran.outcomes == {entry_id: "skipped"}
    assert "its content was changed on " in ran.out
