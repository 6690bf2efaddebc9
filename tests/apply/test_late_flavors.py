"""A derived flavor that a replacement makes comes when it is ready, whatever is in place by then; and content is set in
either of two data centres."""

from __future__ import annotations

import math

import pytest
from looking import Run, act, assets_of, do_not_wait, original_of, shown, state_of, writes

from kaltura_archiver.model import State
from kaltura_archiver.sandbox.kaltura.records import CONVERTING, Content
from kaltura_archiver.sandbox.world import Sandbox

DAY_SECONDS = 86_400
VIDEO = b"a lecture of an hour and a half\n" * 4000


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    do_not_wait(monkeypatch)


@pytest.mark.parametrize(
    ("first", "then", "state"),
    [("replace_video", "restore", State.ARCHIVED), ("restore", "replace_video", State.PLACEHOLDER)],
)
def test_what_the_last_replacement_still_makes_is_waited_for(
    sandbox: Sandbox, run: Run, first: str, then: str, state: State
) -> None:
    settings = sandbox.kaltura.settings
    entry = sandbox.add(state, content=VIDEO, duration_ms=5_400_000)
    sandbox.control.clock.advance(DAY_SECONDS)
    settings.late_flavor_seconds = 3 * 3600
    assert act(run, first, entry).outcomes == {entry: "done"}
    late = [a for a in assets_of(sandbox, entry).values() if a.status == CONVERTING]
    assert len(late) == 1
    sandbox.control.clock.advance(3600)
    sandbox.control.clear_log()
    ran = act(run, then, entry)
    assert (ran.code, ran.outcomes) == (3, {entry: "waiting"})
    assert f"it is still making {late[0].id}; run the command again later" in ran.out
    assert not writes(sandbox, "media.updateContent")
    sandbox.control.clock.advance(3 * 3600)
    settings.late_flavor_seconds = None
    ran = act(run, then, entry)
    assert ran.outcomes == {entry: "done"}, ran.out
    sandbox.control.clock.advance(DAY_SECONDS)
    assert shown(sandbox, entry) == (VIDEO if then == "restore" else sandbox.placeholder)
    assert run("health", "--id", entry).code == 0


def test_what_is_stuck_is_not_waited_for(sandbox: Sandbox, run: Run) -> None:
    entry = sandbox.add(State.PLACEHOLDER, content=VIDEO)
    stuck = next(a for a in assets_of(sandbox, entry).values() if not a.is_original)
    stuck.status = CONVERTING
    sandbox.control.clock.advance(8 * DAY_SECONDS)
    assert act(run, "restore", entry).outcomes == {entry: "done"}


@pytest.mark.parametrize("first", [2, 1])
@pytest.mark.parametrize("switched", [0, 1])
@pytest.mark.parametrize("when", ["at once", "after the run"])
def test_content_may_be_set_in_either_data_centre(
    sandbox: Sandbox, run: Run, first: int, switched: int, when: str
) -> None:
    """The last digit of a version tells in which: from 12 to 21, or from 11 to 22, is one step."""
    settings = sandbox.kaltura.settings
    settings.second_link_always, settings.second_link_seconds = True, math.inf
    entry = sandbox.add(State.INITIAL, content=VIDEO)
    original_of(sandbox, entry).store(Content.of(VIDEO), first)
    assert act(run, "s3copy", entry).outcomes == {entry: "done"}
    for command, goal in (("replace_video", "placeholder"), ("restore", "archived")):
        sandbox.control.clock.advance(DAY_SECONDS)
        settings.data_centre = switched
        before = original_of(sandbox, entry).version

        def link(_: object, before: int = before) -> None:
            """The job that sets the file once more runs in the other one."""
            if original_of(sandbox, entry).version > before:
                settings.data_centre = 1 - switched
                sandbox.kaltura.library.link_again(entry)

        sandbox.control.add_fault("flavorAsset.list", times=99 if when == "at once" else 0, after=link)
        ran = act(run, command, entry)
        assert ran.outcomes == {entry: "done"}, ran.out
        sandbox.control.clear_faults()
        link(None)
        assert state_of(run, entry) == goal
        assert run("health", "--id", entry).code == 0
    assert act(run, "s3copy", entry).outcomes == {entry: "already"}
