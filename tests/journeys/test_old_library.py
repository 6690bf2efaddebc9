"""A library that `kaltura_aws.py` has left: archive, replace, restore, repair, health over all of it; nothing is lost.

Each entry's state, what each command does to it, and what viewers see in the end, in a list and on opening it.
"""

from __future__ import annotations

from contextlib import suppress

import pytest
from looking import Run, assert_nothing_left, do_not_wait, move_copy, shown, tags_of
from migrating_page import code, table
from old_library import KINDS, OLD_FRAME_SECONDS, Left, OldLibrary, fill, frame

from kaltura_archiver.model import ARCHIVED_TAG, iso_date
from kaltura_archiver.sandbox.world import Sandbox

COMMANDS = ("s3copy", "replace_video", "restore", "restore", "repair")
# State; what s3copy, replace_video, restore, restore once thawed, and repair do, in this order; state.
JOURNEY = """
untouched                     | initial     | done    done    done    already already | archived
archived                      | archived    | done    done    done    already already | archived
archived, frozen              | archived    | done    done    waiting done    already | archived
archived, size in KB          | archived    | done    done    done    already already | archived
archived, no tag              | untagged    | done    done    waiting done    already | archived
archived, other bytes         | archived    | refused refused refused refused refused | diverged
archived, no bytes            | diverged    | refused refused refused refused refused | diverged
replaced                      | placeholder | already already done    already already | archived
replaced, frozen              | placeholder | already already waiting done    already | archived
replaced, size in KB          | placeholder | already already waiting done    already | archived
replaced, no tag              | half-tagged | refused done    done    already already | archived
replaced, own picture lost    | placeholder | already already done    already already | archived
replaced, own picture since   | placeholder | already already done    already already | archived
replaced, thumb asset         | placeholder | already already done    already already | archived
replaced, newer upload        | diverged    | refused refused refused refused refused | diverged
replaced, placeholder archived | lost       | refused refused refused refused refused | lost
no original                   | no-original | refused refused done    already already | archived
no original, a flavor         | no-original | refused refused done    already already | archived
no original, replaced         | no-original | refused done    done    already already | archived
no original, no copy          | empty       | refused refused refused refused refused | empty
"""
ROWS = {
    kind.strip(): (before.strip(), tuple(outcomes.split()), after.strip())
    for kind, before, outcomes, after in (line.split("|") for line in JOURNEY.strip().splitlines())
}


# The rows of the page's table, in its order.
TOLD = (
    "archived", "archived, no tag", "archived, other bytes", "archived, no bytes", "replaced", "replaced, no tag",
    "replaced, newer upload", "replaced, placeholder archived", "no original", "no original, replaced",
    "no original, no copy",
)  # fmt: skip


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    do_not_wait(monkeypatch)


def picture_in_the_end(sandbox: Sandbox, kind: str, left: Left) -> bytes:
    """The video's own, or the one that a person has chosen; the placeholder's only where that is what plays."""
    if kind == "no original, no copy":
        return b""
    if kind == "replaced, placeholder archived":
        return frame(sandbox.placeholder, OLD_FRAME_SECONDS)
    return left.pictures[-1] if left.pictures else frame(left.videos[-1])


def states(run: Run, library: dict[str, Left]) -> dict[str, str]:
    ran = run("--log-level", "ERROR", "health", "--max-entries", "-1")
    found = {row["entry_id"]: row["message"].partition(":")[0] for row in ran.rows}
    return {kind: found[left.id] for kind, left in library.items()}


def assert_nothing_lost(sandbox: Sandbox, library: dict[str, Left], objects: dict[str, bytes | None]) -> None:
    for kind, left in library.items():
        original = sandbox.kaltura.original(left.id)
        held = {shown(sandbox, left.id)} if original and original.locally_ready else set()
        held.add(sandbox.s3.body(left.id) or b"")
        assert held.issuperset(left.videos), kind
        pictures = [thumb.picture.read() for thumb in sandbox.kaltura.library.thumbs_of(left.id)]
        assert set(left.pictures) <= set(pictures), kind
    assert {key: sandbox.s3.body(key) for key in objects} == objects


def thaw(sandbox: Sandbox, library: dict[str, Left]) -> None:
    for left in library.values():
        with suppress(LookupError, ValueError):
            sandbox.s3.thaw(left.id)


@pytest.mark.parametrize("swaps", [True, False])
def test_the_journey(sandbox: Sandbox, run: Run, swaps: bool) -> None:
    """With an account that can replace content, and with one that can only delete it first."""
    library = fill(sandbox)
    assert set(library) == set(ROWS)
    options = [] if swaps else ["--allow-in-place"]
    sandbox.kaltura.settings.entry_replacement = swaps
    objects = {left.id: sandbox.s3.body(left.id) for left in library.values() if sandbox.s3.body(left.id) is not None}
    # Of one of them nothing tells in place whose its picture is: its placeholder was replaced by ours.
    doubtful = [] if swaps else ["no original, replaced"]
    assert states(run, library) == {kind: before for kind, (before, *_) in ROWS.items()}
    for number, command in enumerate(COMMANDS):
        dry = run(command, "--all", *([] if command == "s3copy" else options))
        expected = {library[kind].id: outcomes[number] for kind, (_, outcomes, _) in ROWS.items()}
        if number > 2:
            expected |= {library[kind].id: "refused" for kind in doubtful}
        # What is only found out by reading it is told by the real run alone.
        late = {library["archived, other bytes"].id} if command == "s3copy" else set()
        foretold = {i: o if o in ("refused", "already") and i not in late else "would" for i, o in expected.items()}
        foretold |= {library[kind].id: "would" for kind in doubtful if number > 2}
        assert dry.outcomes == foretold, command
        ran = run(command, "--all", "--no-dry-run", *([] if command == "s3copy" else options))
        assert ran.outcomes == expected, (command, ran.err)
        assert ran.code == 3
        assert_nothing_lost(sandbox, library, objects)
        thaw(sandbox, library)
    for kind in doubtful:
        assert sandbox.kaltura.picture(library[kind].id) == frame(sandbox.placeholder, OLD_FRAME_SECONDS)
        new = run("restore", "--id", library[kind].id, "--new-picture", "--no-dry-run")
        assert new.outcomes == {library[kind].id: "done"}
        assert run("repair", "--id", library[kind].id, "--no-dry-run").outcomes == {library[kind].id: "already"}
    assert states(run, library) == {kind: after for kind, (*_, after) in ROWS.items()}
    assert_nothing_left(sandbox)
    for kind, left in library.items():
        assert sandbox.kaltura.picture(left.id) == picture_in_the_end(sandbox, kind, left), kind
        assert "picture" not in sandbox.s3.tags(left.id)
        if ROWS[kind][2] == "archived":
            assert shown(sandbox, left.id) == left.videos[0]
            assert tags_of(sandbox, left.id) == f"lecture, {ARCHIVED_TAG}"
    # The bucket has what was there, what was archived, and notes. Only what played without an original was put aside:
    # by nothing is that tool's copy proven to be what it was made of.
    new = set(sandbox.s3.keys()) - set(objects)
    assert {key for key in new if "/" not in key} == {library["untouched"].id}
    aside = [key for key in new if key.startswith("displaced/")]
    assert [key.split("/")[1] for key in aside] == [library["no original, a flavor"].id]


def test_a_bucket_that_was_moved_changes_no_state(sandbox: Sandbox, run: Run) -> None:
    """Then S3 tells of each object that it is younger than all that Kaltura has."""
    library = fill(sandbox)
    for key in list(sandbox.s3.keys()):
        move_copy(sandbox, key, checksum=False)
    assert states(run, library) == {kind: before for kind, (before, *_) in ROWS.items()}


def test_the_library_is_what_the_old_tool_would_have_left(sandbox: Sandbox) -> None:
    """Held to its source: what it called, in which order, and what it wrote."""
    library = fill(sandbox)
    made = OldLibrary(sandbox)
    replaced = library["replaced"]
    original = sandbox.kaltura.original(replaced.id)
    assert original is not None
    # All flavors were deleted, and new ones came with the placeholder.
    assert (original.version, iso_date(original.created_at)) == (2, iso_date(made.entry(replaced).picture_at))
    assert original.created_at > made.entry(replaced).created_at
    assert shown(sandbox, replaced.id) == sandbox.placeholder
    assert sandbox.kaltura.picture(replaced.id) == frame(sandbox.placeholder, OLD_FRAME_SECONDS)
    for left in library.values():
        assert sandbox.s3.tags(left.id) == {}
        assert sandbox.s3.metadata(left.id) == {}
    assert KINDS.keys() == library.keys()


def test_the_page_tells_the_state_of_whatever_it_has_left() -> None:
    assert [code(state) for _, state, _ in table("What it left")] == [ROWS[kind][0] for kind in TOLD]
