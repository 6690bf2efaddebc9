"""PLACEHOLDER_MAP: each entry gets its own placeholder, and each placeholder is known wherever it lies."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
from conftest import Run
from looking import content_id, displaced, original_of, shown, state_of, tags_of

from kaltura_archiver.model import State
from kaltura_archiver.placeholders import Placeholders
from kaltura_archiver.sandbox.world import Sandbox

MAP = """
[category]
7 = "chemistry.mp4"
8 = "history.mp4"

[language]
German = "de.mp4"
"""


@pytest.fixture
def files(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """The mapped placeholders, of different sizes; the map is set."""
    folder = tmp_path / "videos"
    folder.mkdir()
    made = {
        name: sandbox.placeholder + struct.pack(">I4s", 100 * number, b"free") + name.encode().ljust(100 * number - 8)
        for number, name in enumerate(("chemistry.mp4", "history.mp4", "de.mp4"), 1)
    }
    for name, content in made.items():
        (folder / name).write_bytes(content)
    (folder / "map.toml").write_text(MAP)
    monkeypatch.setenv("PLACEHOLDER_MAP", str(folder / "map.toml"))
    for category in (5, 7, 8):
        sandbox.kaltura.add_category(category, f"Category {category}")
    return made


def speaks(sandbox: Sandbox, entry_id: str, language: str) -> str:
    original_of(sandbox, entry_id).language = language
    return entry_id


def test_an_entry_gets_the_placeholder_of_its_category_or_its_language(
    sandbox: Sandbox, run: Run, files: dict[str, bytes]
) -> None:
    wanted = {
        sandbox.add("archived"): sandbox.placeholder,
        sandbox.add("archived", categories=(5,)): sandbox.placeholder,
        sandbox.add("archived", categories=(5, 7)): files["chemistry.mp4"],
        sandbox.add("archived", categories=(8, 7)): files["chemistry.mp4"],  # the first in the file
        sandbox.add("archived", categories=(8,)): files["history.mp4"],
        speaks(sandbox, sandbox.add("archived"), "German"): files["de.mp4"],
        speaks(sandbox, sandbox.add("archived"), "French"): sandbox.placeholder,
        speaks(sandbox, sandbox.add("archived", categories=(8,)), "German"): files["history.mp4"],
    }
    ran = run("replace_video", "--all", "--no-dry-run")
    assert set(ran.outcomes.values()) == {"done"}, ran.err
    for entry_id, placeholder in wanted.items():
        assert shown(sandbox, entry_id) == placeholder
        assert sandbox.s3.tags(entry_id)["placeholder"].split()[0] == content_id(sandbox, entry_id)
        row = next(row for row in ran.rows if row["entry_id"] == entry_id)
        assert int(row["bytes_freed"]) == len(sandbox.s3.body(entry_id)) - len(placeholder)
    assert {row["message"].partition(":")[0] for row in run("health").rows} == {"placeholder"}
    assert set(run("replace_video", "--all", "--no-dry-run").outcomes.values()) == {"already"}
    assert set(run("s3copy", "--all", "--no-dry-run").outcomes.values()) == {"already"}
    assert set(run("restore", "--all", "--no-dry-run").outcomes.values()) == {"done"}
    assert displaced(sandbox) == []
    for entry_id in wanted:
        assert shown(sandbox, entry_id) == sandbox.s3.body(entry_id)


def _holding(sandbox: Sandbox, content: bytes, **fields: object) -> str:
    """An entry whose original was replaced by this, by a run that was killed before it could record that."""
    entry_id = sandbox.add("archived", **fields)  # type: ignore[arg-type]
    sandbox.kaltura.replace_original(entry_id, content)
    entry = sandbox.kaltura.entries[entry_id]
    entry.tags = f"{entry.tags}, flavors_deleted"
    return entry_id


def test_a_placeholder_of_another_category_is_known_by_its_size_alone(
    sandbox: Sandbox, run: Run, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Moved to another category, or out of one, since then.
    moved = [
        _holding(sandbox, files["history.mp4"], categories=(7,)),
        _holding(sandbox, files["de.mp4"]),
        _holding(sandbox, sandbox.placeholder, categories=(7,)),
    ]
    newer = _holding(sandbox, b"somebody's newer video" * 999, categories=(7,))
    for _ in range(45):  # so many that health lists the bucket
        sandbox.add("initial")
    states = {row["entry_id"]: row["message"].partition(":")[0] for row in run("health", "--max-entries", -1).rows}
    for entry_id in moved:
        assert states[entry_id] == state_of(run, entry_id) == "placeholder"
    assert states[newer] == state_of(run, newer) == "diverged"
    selected = [argument for entry_id in (*moved, newer) for argument in ("--id", entry_id)]
    assert run("restore", *selected, "--no-dry-run").outcomes == {**dict.fromkeys(moved, "done"), newer: "refused"}
    assert displaced(sandbox) == []
    # Without the map, what is not recorded is not known either; what is recorded is.
    recorded = sandbox.add("archived", categories=(8,))
    assert run("replace_video", "--id", recorded, "--no-dry-run").outcomes == {recorded: "done"}
    unrecorded = _holding(sandbox, files["history.mp4"])
    monkeypatch.delenv("PLACEHOLDER_MAP")
    assert (state_of(run, recorded), state_of(run, unrecorded)) == ("placeholder", "diverged")


def test_no_placeholder_is_archived_as_an_original(sandbox: Sandbox, run: Run, files: dict[str, bytes]) -> None:
    entries = [sandbox.add("initial", content=content) for content in (sandbox.placeholder, *files.values())]
    chance = sandbox.add("initial", content=b"v" * len(files["de.mp4"]))  # of that size by chance
    ran = run("s3copy", "--all", "--no-dry-run")
    assert ran.outcomes == {**dict.fromkeys(entries, "refused"), chance: "done"}
    assert "the original is the placeholder video" in ran.err


def test_an_interrupted_replacement_by_a_mapped_placeholder_is_gone_on_with(
    sandbox: Sandbox, run: Run, files: dict[str, bytes]
) -> None:
    sandbox.kaltura.settings.conversion_seconds = 60
    entry_id = sandbox.add("archived", categories=(7,))
    assert run("replace_video", "--id", entry_id, "--no-dry-run", "--timeout", "0s").outcomes == {entry_id: "waiting"}
    sandbox.kaltura.entries[entry_id].categories = ()  # moved meanwhile
    sandbox.control.clock.advance(120)
    assert run("repair", "--id", entry_id, "--no-dry-run").outcomes[entry_id] in ("done", "already")
    assert state_of(run, entry_id) == "placeholder"
    assert shown(sandbox, entry_id) == files["chemistry.mp4"]
    assert "flavors_deleted" in tags_of(sandbox, entry_id)


def test_repair_puts_the_placeholder_of_the_category_back(sandbox: Sandbox, run: Run, files: dict[str, bytes]) -> None:
    entry_id = sandbox.add(State.PLACEHOLDER, categories=(7,))
    library = sandbox.kaltura.library
    with library.lock:
        for flavor in library.live_assets(entry_id):
            library.delete_asset(flavor)
    assert run("repair", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "done"}
    assert shown(sandbox, entry_id) == files["chemistry.mp4"]


def test_the_option_takes_the_place_of_the_variable(
    sandbox: Sandbox, run: Run, files: dict[str, bytes], tmp_path: Path
) -> None:
    other = tmp_path / "videos" / "other.toml"
    other.write_text('[category]\n5 = "de.mp4"\n')
    entry_id = sandbox.add("archived", categories=(5,))
    ran = run("replace_video", "--id", entry_id, "--placeholder-map", other, "--no-dry-run")
    assert ran.outcomes == {entry_id: "done"}
    assert shown(sandbox, entry_id) == files["de.mp4"]


def test_config_looks_at_every_placeholder(sandbox: Sandbox, run: Run, files: dict[str, bytes], tmp_path: Path) -> None:
    (detail,) = [row["detail"] for row in run("config").rows if row["check"] == "placeholder"]
    for name, content in files.items():
        assert f"{name}, {len(content)} bytes" in detail
    (tmp_path / "videos" / "de.mp4").write_bytes(b"no video")
    ran = run("config")
    assert ran.code == 2
    assert "de.mp4 is not a video" in ran.err
    entry_id = sandbox.add("archived")
    ran = run("replace_video", "--id", entry_id, "--no-dry-run")
    assert ran.code == 2  # before anything is touched, also where another one is meant
    assert state_of(run, entry_id) == "archived"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "cannot read PLACEHOLDER_MAP map.toml: No such file"),
        ("[category", "PLACEHOLDER_MAP map.toml is not TOML"),
        ("[categories]\n", "there is no 'categories'; there are the tables [category] and [language]"),
        ("category = 7\n", "category is not a table: write [category] above its lines"),
        ("[category]\nChemistry = 'x.mp4'\n", "'chemistry' is not the id of a category, a number"),
        ("[category]\n7 = 7\n", "7 = … must be the name of a video file"),
        ("[category]\n7 = 'missing.mp4'\n", "cannot read the placeholder missing.mp4: No such file"),
    ],
)
def test_a_map_that_is_wrong_is_told(run: Run, monkeypatch: pytest.MonkeyPatch, text: str | None, told: str) -> None:
    monkeypatch.setenv("PLACEHOLDER_MAP", "map.toml")
    if text is not None:
        Path("map.toml").write_text(text)
    for command in (("replace_video", "--all", "--no-dry-run"), ("repair", "--all"), ("config",)):
        ran = run(*command)
        assert ran.code == 2
        assert told.lower() in ran.err.lower()


def test_stats_and_plan_free_what_the_entrys_own_placeholder_leaves(
    sandbox: Sandbox, run: Run, files: dict[str, bytes]
) -> None:
    sandbox.add("archived", categories=(7,))
    sandbox.add("archived")
    placeholders = (files["chemistry.mp4"], sandbox.placeholder)
    in_kaltura, originals = 0, 0
    for asset in sandbox.kaltura.assets.values():
        in_kaltura += asset.size_in_bytes
        originals += asset.size_in_bytes if asset.is_original else 0
    row = next(row for row in run("stats").rows if (row["section"], row["key"]) == ("threshold", "1"))
    assert (row["entries"], row["freed_bytes"]) == ("2", str(in_kaltura - sum(map(len, placeholders))))
    planned = run("plan", "replace", "--all", "-o", "-")
    total = json.loads(planned.out.splitlines()[0])["totals"]["bytes_freed"]
    assert total == originals - sum(map(len, placeholders))


def test_categories_come_before_languages_and_the_default_last() -> None:
    default, one, two, german = (Path(name) for name in ("default", "one", "two", "german"))
    files = Placeholders(default, {"2": two, "1": one}, {"german": german})
    assert files.path_for((), "") == default
    assert files.path_for(("3",), "GERMAN") == german
    assert files.path_for(("1", "2"), "German") == two
    assert files.path_for(("1",), "German") == one
    assert files.paths == (default, two, one, german)
    assert Placeholders(default).path_for(("1",), "German") == default
