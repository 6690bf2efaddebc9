"""A look at many conversions: the entries, the temporary ones, and what is in place, however the server pages."""

from __future__ import annotations

import pytest
from conftest import Run
from looking import original_of

from kaltura_archiver.config import read_settings
from kaltura_archiver.errors import OddAnswer
from kaltura_archiver.kaltura import Kaltura
from kaltura_archiver.kaltura.watching import Progress
from kaltura_archiver.model import State
from kaltura_archiver.sandbox.world import Sandbox


@pytest.fixture
def kaltura(run: Run, monkeypatch: pytest.MonkeyPatch) -> Kaltura:
    monkeypatch.setattr("kaltura_archiver.kaltura.Kaltura._pause", lambda self, seconds: False)
    return Kaltura(read_settings(), read_only=True)


@pytest.mark.parametrize("batch", [2, 40])
@pytest.mark.parametrize(
    "what", ["as ever", "one is gone", "short pages", "no answer about flavors", "odd", "odd entry"]
)
def test_each_entry_comes_with_its_own_flavors(
    sandbox: Sandbox, kaltura: Kaltura, monkeypatch: pytest.MonkeyPatch, what: str, batch: int
) -> None:
    monkeypatch.setattr("kaltura_archiver.kaltura.watching.FLAVOR_BATCH", batch)
    ids = [sandbox.add(State.ARCHIVED, derived=2) for _ in range(3)]
    if what == "one is gone":
        library = sandbox.kaltura.library
        with library.lock:
            library.delete_entry(library.entries[ids[1]])
    elif what == "short pages":
        monkeypatch.setattr("kaltura_archiver.kaltura.questions.MAX_PAGE", 4)
        monkeypatch.setattr("kaltura_archiver.kaltura.library.MAX_PAGE", 4)
    elif what == "no answer about flavors":
        sandbox.control.add_fault("flavorAsset.list", "error", code="ENTRY_ID_NOT_FOUND")
    elif what == "odd":
        original_of(sandbox, ids[1]).id = ""
    elif what == "odd entry":
        describe = sandbox.kaltura.services.describe_entry
        monkeypatch.setattr(
            sandbox.kaltura.services, "describe_entry",
            lambda entry: {k: v for k, v in describe(entry).items() if k != "tags" or entry.id != ids[1]},
        )  # fmt: skip
    found = kaltura.progress([(ids[0], ids[2]), (ids[1], ""), (ids[2], "")])
    # Which is none that was deleted meanwhile.
    assert [isinstance(progress, OddAnswer) for progress in found] == [False, what == "odd entry", False]
    seen = [Progress(None, None, ()) if isinstance(progress, OddAnswer) else progress for progress in found]
    there = [i for i in ids if not (what in ("one is gone", "odd entry") and i == ids[1])]
    assert [p.entry.id for p in seen if p.entry] == there
    assert [p.temporary and p.temporary.id for p in seen] == [ids[2], None, None]
    for entry_id, progress in zip(ids, seen, strict=True):
        assert {flavor.entry_id for flavor in progress.flavors} == ({entry_id} if entry_id in there else set())
        if what == "odd" and entry_id == ids[1]:
            assert all(flavor.odd for flavor in progress.flavors)
        elif entry_id in there:
            assert len(progress.flavors) == 3
