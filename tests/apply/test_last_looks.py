"""What changes between a plan and its last step: that may be hours, of a long upload or of a wait for a place."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Run
from looking import act, assets_of, do_not_probe, do_not_wait, original_of, shown, state_of, tags_of, writes

from kaltura_archiver.model import REPLACED_TAG, State
from kaltura_archiver.sandbox.kaltura.records import ERROR
from kaltura_archiver.sandbox.world import Sandbox

POLICY = """
[[rule]]
name = "old"
select = { unplayed_for = 3 }
archive = {}
replace = {}
"""
NEWER = b"a newer lecture" * 500


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    do_not_probe(monkeypatch)
    do_not_wait(monkeypatch)


def once(what: Callable[[], object]) -> Callable[[object], None]:
    """For a fault's `before` or `after`, which may be called many times."""
    left = [what]

    def call(_: object) -> None:
        if left:
            left.pop()()

    return call


def is_somewhere(sandbox: Sandbox, entry_id: str, video: bytes) -> bool:
    original = sandbox.kaltura.original(entry_id)
    in_place = original is not None and original.contents[original.version].read() == video
    return in_place or any(sandbox.s3.body(key) == video for key in [*sandbox.s3.keys()])


@pytest.mark.parametrize("in_place", [False, True], ids=["replacement", "in-place"])
@pytest.mark.parametrize("command", ["restore", "repair"])
def test_a_video_uploaded_over_one_in_error_stands(sandbox: Sandbox, run: Run, command: str, *, in_place: bool) -> None:
    entry_id = sandbox.add(State.PLACEHOLDER)
    original_of(sandbox, entry_id).status = ERROR
    sandbox.kaltura.settings.entry_replacement = not in_place
    sandbox.control.add_fault(
        "uploadToken.upload", before=once(lambda: sandbox.kaltura.replace_original(entry_id, NEWER))
    )
    ran = act(run, command, entry_id, "--allow-in-place")
    assert ran.outcomes == {entry_id: "failed"}
    assert "somebody uploaded an original" in ran.out
    assert shown(sandbox, entry_id) == NEWER


@pytest.mark.parametrize("command", ["restore", "replace_video"])
def test_an_original_that_came_where_there_was_none_is_not_deleted(sandbox: Sandbox, run: Run, command: str) -> None:
    sandbox.kaltura.settings.entry_replacement = False
    entry_id = sandbox.add(State.THIN, derived=2, duration_ms=60_000)

    def person(_: object) -> None:
        # The look at the token comes after the last look at the entry, and before the list of what is to be deleted.
        if sandbox.control.requests("media.updateContent") and sandbox.kaltura.original(entry_id) is None:
            sandbox.kaltura.replace_original(entry_id, NEWER)

    sandbox.control.add_fault("uploadToken.get", before=person, times=20)
    assert act(run, command, entry_id, "--allow-in-place").outcomes == {entry_id: "failed"}
    assert shown(sandbox, entry_id) == NEWER


@pytest.mark.parametrize("by_itself", [True, False], ids=["policy", "repair"])
def test_an_upload_that_kaltura_could_not_convert_is_a_persons_to_decide(
    sandbox: Sandbox, run: Run, *, by_itself: bool
) -> None:
    entry_id = sandbox.add(State.PLACEHOLDER)
    sandbox.kaltura.replace_original(entry_id, NEWER)
    original_of(sandbox, entry_id).status = ERROR
    assert state_of(run, entry_id) == "diverged"
    Path("policy.toml").write_text(
        '[[rule]]\nname = "old"\nselect = { unplayed_for = 3 }\narchive = {}\nreplace = {}\n'
    )
    ran = run("run", "--no-dry-run") if by_itself else act(run, "repair", entry_id)
    assert not [request for request in writes(sandbox) if request.server == "kaltura"], ran.out
    assert is_somewhere(sandbox, entry_id, NEWER)


def test_a_placeholder_in_error_is_still_put_right_by_itself(sandbox: Sandbox, run: Run) -> None:
    entry_id = sandbox.add(State.PLACEHOLDER)
    original_of(sandbox, entry_id).status = ERROR
    assert state_of(run, entry_id) == "no-original"
    assert act(run, "repair", entry_id).outcomes == {entry_id: "done"}


@pytest.mark.parametrize("what", ["played", "given away", "promised"])
def test_what_changes_while_it_waits_for_its_place_stays(sandbox: Sandbox, run: Run, what: str) -> None:
    sandbox.kaltura.services.user_ids.add("rector")
    sandbox.add(State.INITIAL, creator_id="rector", age_years=0.1)  # so that there is such an owner
    ids = [sandbox.add(State.ARCHIVED) for _ in range(2)]
    sandbox.kaltura.settings.hold_jobs = True  # the first one's conversion takes until the second one has changed
    other: list[str] = []

    def change() -> None:
        sandbox.kaltura.edit(
            other[0],
            **{
                "played": {"plays": 3, "last_played_at": int(sandbox.control.clock.now())},
                "given away": {"user_id": "rector"},
                "promised": {"tags": f"{tags_of(sandbox, other[0])}, notice_2026-01-01_until_2999-01-01"},
            }[what],
        )
        sandbox.kaltura.settings.hold_jobs = False
        sandbox.kaltura.settle()

    def began(request: object) -> None:
        if not other:
            other.append(next(entry_id for entry_id in ids if entry_id != request.subject))  # type: ignore[attr-defined]
            threading.Timer(0.5, change).start()

    sandbox.control.add_fault("media.updateContent", after=began, times=2)
    ran = run(
        "replace_video", "--unplayed-for", "3", "--owner", "!rector", "--max-converting", "1", "--workers", "2",
        "--no-dry-run",
    )  # fmt: skip
    first = next(entry_id for entry_id in ids if entry_id != other[0])
    assert ran.outcomes[first] == "done"
    assert ran.outcomes[other[0]] != "done", ran.out
    assert shown(sandbox, other[0]) != sandbox.placeholder


@pytest.mark.parametrize("approval", [True, False], ids=["approved", "not approved"])
@pytest.mark.parametrize("tag", ["keep", "notice_2026-01-01_until_2999-01-01"])
def test_what_is_kept_while_kaltura_converts_its_placeholder_keeps_its_video(
    sandbox: Sandbox, run: Run, tag: str, *, approval: bool
) -> None:
    sandbox.kaltura.settings.replacement_approval = approval
    entry_id = sandbox.add(State.ARCHIVED)
    before = shown(sandbox, entry_id)
    sandbox.kaltura.settings.hold_jobs = True

    def somebody() -> None:
        sandbox.kaltura.edit(entry_id, tags=f"{tags_of(sandbox, entry_id)}, {tag}")

    sandbox.control.add_fault("media.updateContent", after=once(somebody))
    ran = act(run, "replace_video", entry_id, "--approve", "--timeout", "5")
    assert ran.outcomes == {entry_id: "failed"}
    assert "the replacement was cancelled, the old content is in place" in ran.out
    sandbox.kaltura.settings.hold_jobs = False
    sandbox.kaltura.settle()
    assert shown(sandbox, entry_id) == before
    assert not writes(sandbox, "media.approveReplace")
    assert REPLACED_TAG not in tags_of(sandbox, entry_id)


@pytest.mark.parametrize("what", ["promised", "played"])
def test_one_left_unapproved_is_not_approved_later_where_something_keeps_it(
    sandbox: Sandbox, run: Run, what: str
) -> None:
    sandbox.kaltura.settings.replacement_approval = True
    entry_id = sandbox.add(State.ARCHIVED)
    before = shown(sandbox, entry_id)
    words = ("replace_video", "--id", entry_id, "--unplayed-for", "3", "--no-dry-run")
    assert run(*words).outcomes == {entry_id: "waiting"}
    promised = {"tags": f"{tags_of(sandbox, entry_id)}, notice_2026-01-01_until_2999-01-01"}
    played = {"plays": 3, "last_played_at": int(sandbox.control.clock.now())}
    if what == "promised":
        sandbox.kaltura.edit(entry_id, **promised)
    else:  # after it was selected
        sandbox.control.add_fault("media.get", before=once(lambda: sandbox.kaltura.edit(entry_id, **played)))
    ran = run(*words, "--approve")
    assert ran.outcomes != {entry_id: "done"}
    assert shown(sandbox, entry_id) == before
    assert not writes(sandbox, "media.approveReplace")


@pytest.mark.parametrize("what", ["keep", "played"])
def test_flavors_beside_the_original_stay_too(sandbox: Sandbox, run: Run, what: str) -> None:
    entry_id = sandbox.add(State.ARCHIVED, derived=4, duration_ms=60_000)
    before = set(assets_of(sandbox, entry_id))
    kept = {"tags": f"{tags_of(sandbox, entry_id)}, keep"}
    played = {"plays": 3, "last_played_at": int(sandbox.control.clock.now())}
    change = once(lambda: sandbox.kaltura.edit(entry_id, **(kept if what == "keep" else played)))
    # After the plan: the flavor that is to play on is read.
    sandbox.control.add_fault("flavorAsset.getUrl", before=change)
    ran = run("thin", "--unplayed-for", "3", "--derived-only", "--derived", "smaller", "--no-dry-run")
    assert ran.outcomes == {entry_id: "failed"}, ran.out
    assert set(assets_of(sandbox, entry_id)) == before
