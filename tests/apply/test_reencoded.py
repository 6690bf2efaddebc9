"""A conversion profile that re-encodes originals: what became of our placeholder is no newer video of somebody's."""

from __future__ import annotations

import pytest
from looking import Run, act, content_id, copies, displaced, do_not_wait, original_of, shown, state_of, tags_of, writes

from kaltura_archiver.model import ARCHIVED_TAG, State
from kaltura_archiver.sandbox.control import Request
from kaltura_archiver.sandbox.kaltura.records import READY, Content
from kaltura_archiver.sandbox.world import Sandbox

VIDEO = b"a lecture of an hour and a half\n" * 4000
NEWER = Content.movie(150_000, 5_400_000).read()


@pytest.fixture(autouse=True)
def slow_and_reencoding(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """So slow that the new source is seen before the switch."""
    do_not_wait(monkeypatch)
    sandbox.kaltura.settings.reencode_originals, sandbox.kaltura.settings.conversion_seconds = True, 1.0


def old(sandbox: Sandbox, **fields: object) -> str:
    return sandbox.add(State.ARCHIVED, content=VIDEO, duration_ms=5_400_000, **fields)


def remade(sandbox: Sandbox) -> bytes:
    return Content.of(sandbox.placeholder).reencoded().read()


def test_it_is_recorded_as_the_placeholder_and_the_video_comes_back(sandbox: Sandbox, run: Run) -> None:
    entry = old(sandbox)
    ran = act(run, "replace_video", entry)
    assert ran.outcomes == {entry: "done"}
    assert "Kaltura re-encoded the placeholder" in ran.out
    assert "conversion profile (7)" in ran.err
    assert (shown(sandbox, entry), state_of(run, entry)) == (remade(sandbox), State.PLACEHOLDER)
    assert f"placeholders/{entry}/{content_id(sandbox, entry)}/{len(remade(sandbox))}" in list(sandbox.s3.keys())
    assert act(run, "replace_video", entry).outcomes == {entry: "already"}
    assert run("resolve", entry, "--keep", "kaltura", "--no-dry-run").outcomes == {entry: "refused"}
    sandbox.kaltura.settings.reencode_originals = False
    assert act(run, "restore", entry).outcomes == {entry: "done"}
    assert (shown(sandbox, entry), tags_of(sandbox, entry)) == (VIDEO, ARCHIVED_TAG)
    assert (displaced(sandbox), copies(sandbox)) == ([], [entry])


def test_a_listing_tells_it_too(sandbox: Sandbox, run: Run) -> None:
    entry = old(sandbox)
    act(run, "replace_video", entry)
    for _ in range(41):
        sandbox.add(State.INITIAL)
    told = {row["entry_id"]: row["message"] for row in run("health", "--max-entries", "-1").rows}
    assert told[entry].startswith("placeholder: HEALTHY")


def test_no_further_entry_of_that_profile_is_touched_by_the_run(sandbox: Sandbox, run: Run) -> None:
    first, second = old(sandbox, conversion_profile_id=7), old(sandbox, conversion_profile_id=7)
    other, third = old(sandbox, conversion_profile_id=8), old(sandbox, conversion_profile_id=7)
    words = [word for entry in (first, second, other, third) for word in ("--id", entry)]
    ran = run("replace_video", *words, "--no-dry-run", "--workers", 1, "--max-converting", 1)
    assert ran.outcomes == {first: "done", second: "refused", other: "done", third: "refused"}
    assert ran.code == 3
    assert "this run puts no more in by that profile" in ran.out
    assert (shown(sandbox, second), tags_of(sandbox, second)) == (VIDEO, ARCHIVED_TAG)
    assert [r.parameters["entryId"] for r in writes(sandbox, "media.updateContent")] == [first, other]
    read = {r.subject for r in sandbox.control.requests("file.GET")}
    assert original_of(sandbox, first).id in read
    assert original_of(sandbox, third).id not in read  # for nothing


def test_what_came_unseen_is_not_taken_for_ours_nor_is_the_next_entry_spoiled(sandbox: Sandbox, run: Run) -> None:
    """Over before it was looked at: then it may be somebody's."""
    sandbox.kaltura.settings.conversion_seconds = 0
    first, second = old(sandbox), old(sandbox)
    ran = run(
        "replace_video", "--id", first, "--id", second, "--no-dry-run", "--workers", 1, "--max-converting", 1
    )  # fmt: skip
    assert ran.outcomes == {first: "failed", second: "refused"}
    assert "did Kaltura re-encode the placeholder" in ran.out
    assert state_of(run, first) == State.DIVERGED
    told = run("health", "--id", first).rows[0]["message"]
    assert "or Kaltura re-encoded the placeholder" in told
    assert shown(sandbox, second) == VIDEO
    sandbox.kaltura.settings.reencode_originals = False
    assert run("resolve", first, "--keep", "s3", "--no-dry-run").outcomes == {first: "done"}
    assert shown(sandbox, first) == VIDEO


@pytest.mark.parametrize("when", ["the source was seen", "nothing was seen"])
def test_a_video_of_somebodys_in_its_stead_is_theirs(sandbox: Sandbox, run: Run, when: str) -> None:
    """They cancel ours, and theirs is there at once."""
    entry, done = old(sandbox), []

    def somebody(request: Request) -> None:
        if done or request.parameters["calls"][:2] != ["media.get"] * 2:
            return
        temporary = sandbox.kaltura.entries[entry].replacing_entry_id
        source = sandbox.kaltura.original(temporary) if temporary else None
        if source and (source.status == READY or when == "nothing was seen"):
            done.append(sandbox.kaltura.replace_original(entry, NEWER))

    sandbox.control.add_fault("multirequest", "none", times=10**6, after=somebody)
    ran = act(run, "replace_video", entry)
    assert done
    assert ran.outcomes == {entry: "failed"}
    assert "was another video uploaded meanwhile?" in ran.out
    assert (shown(sandbox, entry), state_of(run, entry)) == (NEWER, State.DIVERGED)
    for command in ("restore", "repair", "replace_video"):
        assert act(run, command, entry).outcomes == {entry: "refused"}
    assert run("resolve", entry, "--keep", "kaltura", "--no-dry-run").outcomes == {entry: "done"}
    assert NEWER in [sandbox.s3.body(key) for key in copies(sandbox)]


@pytest.mark.parametrize("command", ["replace_video", "repair"])
def test_so_it_is_where_a_later_run_goes_on_with_it(sandbox: Sandbox, run: Run, command: str) -> None:
    """The source is re-encoded inside of the temporary entry, while the run looks."""
    settings, entry, done = sandbox.kaltura.settings, old(sandbox), []
    settings.reencode_originals, settings.hold_jobs = False, True
    assert act(run, "replace_video", entry, "--timeout", "0.2").outcomes == {entry: "waiting"}
    temporary = sandbox.kaltura.entries[entry].replacing_entry_id
    source = original_of(sandbox, temporary)

    def kaltura_goes_on(request: Request) -> None:
        if request.parameters["calls"][:2] != ["media.get"] * 2:
            return
        if not done:
            source.store(Content.of(remade(sandbox)), source.version)
            source.status = READY
        elif len(done) == 3:
            sandbox.kaltura.settings.hold_jobs = False
            sandbox.kaltura.settle()
        done.append(request)

    sandbox.control.add_fault("multirequest", "none", times=10**6, before=kaltura_goes_on)
    ran = act(run, command, entry, "--timeout", "20")
    assert "Kaltura re-encoded the placeholder" in ran.err
    assert (shown(sandbox, entry), state_of(run, entry)) == (remade(sandbox), State.PLACEHOLDER)
    assert ran.outcomes == {entry: "done"}
