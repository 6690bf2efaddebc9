"""`--category NAME`: looked up once, exactly; what is not one category is refused before anything is done."""

from __future__ import annotations

import pytest
from conftest import Run

from kaltura_archiver.filters import Query
from kaltura_archiver.model import Entry
from kaltura_archiver.sandbox.world import Sandbox


@pytest.fixture
def inside(sandbox: Sandbox) -> dict[str, str]:
    """An entry in each of some categories."""
    for number, name, parent in (
        (1, "Science", None), (2, "Physics", 1), (3, "Physics 2", 1), (4, "Arts", None), (5, "Physics", 4),
        (6, "7", None), (8, "Über Bücher", 4),
    ):  # fmt: skip
        sandbox.kaltura.add_category(number, name, parent)
    found = {str(number): sandbox.add("initial", categories=(number,)) for number in (1, 2, 3, 4, 5, 6, 8)}
    sandbox.kaltura.settle()
    return found


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("Science>Physics", "2"), ("science", "123"), ("Physics 2", "3"), ("Science>Physics 2", "3"), ("Arts", "458"),
        ("über bücher", "8"), (" Arts>Physics ", "5"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("command", ["list", "s3copy", "health", "stats --columns section,key,entries"])
def test_a_category_is_found_by_its_name_or_full_name(
    sandbox: Sandbox, run: Run, inside: dict[str, str], name: str, numbers: str, command: str
) -> None:
    ran = run(*command.split(), "--category", name)
    assert ran.code == 0, ran.err
    if command.startswith("stats"):
        assert ran.rows[0]["entries"] == str(len(numbers))
    else:
        assert {row["entry_id"] for row in ran.rows} == {inside[number] for number in numbers}
    assert run("count", "--category", name).rows[0]["count"] == str(len(numbers))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Physics", ("several are called 'Physics'", "2 (Science>Physics)", "5 (Arts>Physics)", "give the number")),
        ("Phys", ("no category is called 'Phys'",)),
        ("Science>", ("no category is called",)),
        ("", ("--category is given without a value",)), ("0", ("neither the number",)), ("-7", ("neither the number",)),
    ],
)  # fmt: skip
@pytest.mark.parametrize("command", ["list", "replace_video --min-age-years 0 --no-dry-run", "plan archive -o -"])
def test_what_is_not_one_category_is_refused(
    sandbox: Sandbox, run: Run, inside: dict[str, str], name: str, words: tuple[str, ...], command: str
) -> None:
    del inside
    ran = run(*command.split(), "--category", name)
    assert (ran.code, ran.out) == (2, "")
    assert all(word in ran.err for word in words), ran.err
    assert sandbox.control.writes() == []


def test_a_number_is_a_number_and_a_name_never_means_all(sandbox: Sandbox, run: Run, inside: dict[str, str]) -> None:
    assert [row["entry_id"] for row in run("list", "--category", "6").rows] == [inside["6"]]
    assert run("list", "--category", "7").rows == []  # though a category is called so
    query = Query(category_names=("Physics",))
    with pytest.raises(AssertionError):
        query.search_params()
    with pytest.raises(AssertionError):
        query.mismatch(Entry("0_a", "Lecture"))
    assert query.has_criteria


def test_two_of_a_name_are_told_though_hundreds_of_names_begin_so(sandbox: Sandbox, run: Run) -> None:
    sandbox.kaltura.add_category(1, "Arts")
    sandbox.kaltura.add_category(2, "Course", 1)
    for number in range(1000, 1600):
        sandbox.kaltura.add_category(number, f"Course {number}")
    sandbox.kaltura.add_category(1600, "Science")
    sandbox.kaltura.add_category(1601, "Course", 1600)
    ran = run("list", "--category", "course")
    assert ran.code == 2
    assert "several are called 'course': 2 (Arts>Course), 1601 (Science>Course)" in ran.err
