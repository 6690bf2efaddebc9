"""A Query as data: what it asks of eSearch, the same test made on one entry, what contradicts itself (design 6)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_facts import original

from kaltura_archiver.criteria.metadata import Metadata
from kaltura_archiver.errors import Exit, SelectionError
from kaltura_archiver.filters import Query, parse_statuses, years_ago
from kaltura_archiver.kaltura import Kaltura
from kaltura_archiver.model import Entry, FlavorAsset, MediaType, Placing, StoredObject, iso_time
from kaltura_archiver.selection import Selection
from kaltura_archiver.store import Store

T1, T2, T3 = 1_300_000_000, 1_400_000_000, 1_500_000_000

EVERYTHING = Query(
    tags=("lecture",),
    without_tags=("archived_to_s3",),
    categories=(7,),
    without_categories=(8, 9),
    statuses=("2", "-1"),
    media_type=MediaType.AUDIO,
    plays_below=5,
    created_since=T1,
    created_until=T3,
    played_since=T2,
    unplayed_since=T3,
)


def items_of(query: Query, **keyset: Any) -> list[dict[str, Any]]:
    """The conditions of a query beyond entry type and media type, which are always there."""
    operator = query.search_params(**keyset)["searchOperator"]
    assert operator["operator"] == 1
    first, second, *rest = operator["searchItems"]
    assert (first["fieldName"], first["itemType"], first["searchTerm"]) == ("entry_type", 1, "1")
    assert (second["fieldName"], second["itemType"]) == ("media_type", 1)
    return rest


def item(field: str, kind: int, term: str | None = None) -> dict[str, Any]:
    made: dict[str, Any] = {"objectType": "KalturaESearchEntryItem", "fieldName": field, "itemType": kind}
    return made if term is None else {**made, "searchTerm": term}


def ranged(field: str, **bounds: int) -> dict[str, Any]:
    return {**item(field, 5), "range": {"objectType": "KalturaESearchRange", **bounds}}


def group(operator: int, *items: dict[str, Any]) -> dict[str, Any]:
    return {"objectType": "KalturaESearchEntryOperator", "operator": operator, "searchItems": list(items)}


def category(number: int) -> dict[str, Any]:
    """In it or below it (real-kaltura K10-K15)."""
    in_it, below = (
        {
            "objectType": "KalturaESearchCategoryEntryItem",
            "itemType": 1,
            "searchTerm": str(number),
            "fieldName": field,
        }
        for field in ("id", "ancestor_id")
    )
    return group(2, in_it, below)


def everything_in(value: Any) -> Iterator[dict[str, Any]]:
    """Every object of search parameters, however deep."""
    if isinstance(value, dict):
        yield value
        for part in value.values():
            yield from everything_in(part)
    elif isinstance(value, list):
        for part in value:
            yield from everything_in(part)


WHOLE_TAG = group(1, item("tags", 1, "lecture"), item("tags", 3, "lecture"))
NEVER_PLAYED = group(3, item("last_played_at", 4))


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (Query(), []),
        (Query(tags=("lecture",)), [WHOLE_TAG]),
        (Query(without_tags=("lecture",)), [group(3, WHOLE_TAG)]),
        (Query(categories=(7,)), [category(7)]),
        (Query(without_categories=(8, 9)), [group(3, category(8)), group(3, category(9))]),
        (Query(plays_below=5), [ranged("plays", lessThan=5)]),
        (
            Query(never_played=True),
            [group(2, NEVER_PLAYED, ranged("last_played_at", lessThanOrEqual=0)), ranged("plays", lessThan=1)],
        ),
        (Query(created_since=T1), [ranged("created_at", greaterThanOrEqual=T1)]),
        (Query(created_until=T3), [ranged("created_at", lessThanOrEqual=T3)]),
        (
            Query(created_since=T1, created_until=T3),
            [ranged("created_at", greaterThanOrEqual=T1, lessThanOrEqual=T3)],
        ),
        (Query(played_since=T2), [ranged("last_played_at", greaterThanOrEqual=T2)]),
    ],
)
def test_each_criterion_becomes_its_esearch_item(query: Query, expected: list[dict[str, Any]]) -> None:
    assert items_of(query) == expected


def test_unplayed_asks_for_the_never_played_too_but_not_for_younger_entries() -> None:
    assert items_of(Query(unplayed_since=T2)) == [
        ranged("created_at", lessThanOrEqual=T2),
        group(2, ranged("last_played_at", lessThanOrEqual=T2), NEVER_PLAYED),
    ]


@pytest.mark.parametrize(("until", "unplayed", "bound"), [(T3, T2, T2), (T1, T2, T1)])
def test_the_earlier_of_created_before_and_unplayed_for_bounds_the_creation(
    until: int, unplayed: int, bound: int
) -> None:
    query = Query(created_until=until, unplayed_since=unplayed)
    assert items_of(query)[0] == ranged("created_at", lessThanOrEqual=bound)


def test_statuses_and_media_type_are_always_said() -> None:
    params = Query(statuses=("2", "-1"), media_type=MediaType.IMAGE).search_params()
    assert params["objectStatuses"] == "2,-1"
    assert params["searchOperator"]["searchItems"][1]["searchTerm"] == "2"
    # The account's default would be READY alone (kaltura-api 3.3).
    assert Query().search_params()["objectStatuses"] == "-1,-2,0,1,2,7,4"


def test_the_order_is_by_creation_so_that_pages_fit_together() -> None:
    order = Query().search_params()["orderBy"]["orderItems"]
    assert [(by["sortField"], by["sortOrder"]) for by in order] == [("created_at", "asc")]


def test_no_item_is_ever_partial_for_that_is_fuzzy() -> None:
    kinds = {part["itemType"] for part in everything_in(EVERYTHING.search_params()) if "itemType" in part}
    assert kinds == {1, 3, 4, 5}


def test_each_operator_has_items_and_each_exact_item_a_term() -> None:
    """Kaltura refuses both otherwise (kaltura-api 3.1)."""
    for query in (EVERYTHING, Query(never_played=True, tags=("über",), without_tags=("日本",))):
        for part in everything_in(query.search_params(created_from=T1, not_ids=("0_a",))):
            if part["objectType"].endswith("Operator"):
                assert part["searchItems"]
            elif part.get("itemType") in (1, 3):
                assert part["searchTerm"]


def test_a_tag_of_other_letters_is_not_asked_for_by_prefix() -> None:
    assert items_of(Query(tags=("über",))) == [item("tags", 1, "über")]


def test_the_next_page_begins_at_the_last_second_without_what_is_known_of_it() -> None:
    assert items_of(Query(), created_from=T2, not_ids=("0_a", "0_b")) == [
        ranged("created_at", greaterThanOrEqual=T2),
        group(3, item("id", 1, "0_a"), item("id", 1, "0_b")),
    ]


@pytest.mark.parametrize(("since", "bound"), [(T1, T2), (T3, T3)])
def test_the_next_page_never_reaches_back_before_what_was_asked(since: int, bound: int) -> None:
    assert items_of(Query(created_since=since), created_from=T2) == [ranged("created_at", greaterThanOrEqual=bound)]


MATCHING = Entry(
    id="0_a",
    tags=("lecture", "archive"),
    status="2",
    media_type=5,
    created_at=T1,
    plays=4,
    last_played_at=T2,
    category_ids=("7",),
)


def test_an_entry_that_meets_all_criteria_has_no_mismatch() -> None:
    assert EVERYTHING.mismatch(MATCHING, [Placing(7)]) == ""


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"display_in_search": -2}, "recycled"),
        ({"replaced_entry_id": "0_b"}, "temporary"),
        ({"entry_type": "7"}, "entry type is 7"),
        ({"media_type": 1}, "not of media type audio"),
        ({"media_type": None}, "not of media type audio"),
        ({"status": "7"}, "NO_CONTENT (7)"),
        ({"status": "virusScan.Infected"}, "INFECTED (virusScan.Infected)"),
        ({"status": "99"}, "status is 99"),
        ({"tags": ("archive",)}, "tags are archive"),
        ({"tags": ()}, "tags are none"),
        ({"tags": ("lecture", "archived_to_s3")}, "tags are lecture, archived_to_s3"),
        ({"tags": ("old lecture",)}, "tags are old lecture"),
        ({"category_ids": ("7", "8")}, "excluded category"),  # though the database should know better
        ({"plays": 5}, "played 5 times"),
        ({"created_at": T1 - 1}, "created too early"),
        ({"created_at": T3 + 1}, "created too recently"),
        ({"last_played_at": T2 - 1}, "not played in that time"),
        ({"last_played_at": None}, "not played in that time"),
        ({"last_played_at": T3 + 1}, "played more recently"),
    ],
)
def test_one_thing_amiss_is_a_mismatch_that_names_it(changes: dict[str, Any], reason: str) -> None:
    assert reason in EVERYTHING.mismatch(replace(MATCHING, **changes), [Placing(7)])


@pytest.mark.parametrize(
    ("placings", "reason"),
    [
        ([], "not in category 7 or below it"),
        ([Placing(70, frozenset({17}))], "not in category 7 or below it"),
        ([Placing(7, active=False)], "not in category 7 or below it"),
        ([Placing(5), Placing(70, frozenset({1, 7}))], ""),
        ([Placing(7), Placing(9)], "excluded category"),
        ([Placing(7), Placing(90, frozenset({9}))], "excluded category"),
        ([Placing(7), Placing(9, active=False)], "excluded category"),
    ],
)
def test_categories_are_told_by_where_the_database_has_the_entry(placings: list[Placing], reason: str) -> None:
    found = EVERYTHING.mismatch(replace(MATCHING, category_ids=()), placings)
    assert reason in found
    assert bool(found) == bool(reason)


@pytest.mark.parametrize(
    "changes",
    [
        {"tags": ("lecture", "old archived_to_s3", "archived_to_s3_old", "not_archived_to_s3")},
        {"created_at": T3},
        {"last_played_at": T3},
        {"category_ids": ()},  # it has a privacy context
        {"plays": 0},
    ],
)
def test_what_only_looks_amiss_is_no_mismatch(changes: dict[str, Any]) -> None:
    assert EVERYTHING.mismatch(replace(MATCHING, **changes), [Placing(7)]) == ""


@pytest.mark.parametrize("played", [None, 0])
def test_never_played_means_no_date_or_the_date_zero(played: int | None) -> None:
    query = Query(never_played=True, unplayed_since=T2)
    assert query.mismatch(Entry("0_a", created_at=T1, last_played_at=played)) == ""
    assert "created too recently" in query.mismatch(Entry("0_a", created_at=T3, last_played_at=played))


def test_an_entry_with_a_date_of_play_has_been_played() -> None:
    assert "has been played" in Query(never_played=True).mismatch(Entry("0_a", created_at=T1, last_played_at=T2))


@pytest.mark.parametrize(
    ("query", "words"),
    [
        (Query(tags=("a1", "b1"), without_tags=("b1",)), "--tag b1 and --tag '!b1'"),
        (Query(categories=(7,), without_categories=(6, 7)), "category 7"),
        (Query(created_since=T2, created_until=T1), "--created-within"),
        (Query(created_since=T2, created_until=T2), "--created-within"),
        (Query(never_played=True, played_since=T1), "never played"),
        (Query(played_since=T2, unplayed_since=T1), "--played-within"),
        (Query(played_since=T2, unplayed_since=T2), "--played-within"),
        (Query(created_since=T2, unplayed_since=T1), "--unplayed-for"),
        (Query(created_since=T2, unplayed_since=T2), "--unplayed-for"),
    ],
)
def test_criteria_that_contradict_each_other_are_refused(query: Query, words: str) -> None:
    with pytest.raises(SelectionError, match="contradiction") as caught:
        query.check()
    assert words in str(caught.value)
    assert caught.value.exit_code is Exit.USAGE


@pytest.mark.parametrize(
    "query",
    [
        Query(),
        EVERYTHING,
        Query(played_since=T1, unplayed_since=T2),
        Query(created_since=T1, created_until=T2, unplayed_since=T3),
        Query(tags=("a1",), without_tags=("a1 b",)),
        Query(categories=(7,), without_categories=(8,)),
        Query(never_played=True, unplayed_since=T2, plays_below=3),
    ],
)
def test_criteria_that_can_be_met_together_are_taken(query: Query) -> None:
    query.check()
    assert str(query)


@pytest.mark.parametrize(
    "query",
    [
        Query(ids=("0_a",)),
        Query(tags=("a1",)),
        Query(without_tags=("a1",)),
        Query(categories=(7,)),
        Query(without_categories=(7,)),
        Query(plays_below=1),
        Query(never_played=True),
        Query(created_since=T1),
        Query(created_until=T1),
        Query(played_since=T1),
        Query(unplayed_since=T1),
    ],
)
def test_each_criterion_narrows_the_selection(query: Query) -> None:
    assert query.has_criteria


@pytest.mark.parametrize(
    "query",
    [
        Query(),
        Query(statuses=("2",)),
        Query(media_type=MediaType.AUDIO),
        Query(page_size=10, first_page=2, max_entries=None),
        Query(max_entries=5),
    ],
)
def test_status_media_type_and_paging_are_no_criteria(query: Query) -> None:
    assert not query.has_criteria


def test_a_query_reads_as_one_line() -> None:
    assert str(EVERYTHING) == (
        "media_type = audio and status in 2,-1 and tag = lecture and tag != archived_to_s3 and category = 7"
        " and category != 8 and category != 9 and plays < 5 and created >= 2011-03-13T07:06:40Z"
        " and created <= 2017-07-14T02:40:00Z and last played >= 2014-05-13T16:53:20Z"
        " and not played since 2017-07-14T02:40:00Z"
    )


def test_a_query_of_many_ids_names_the_first_ones_and_their_number() -> None:
    text = str(Query(ids=tuple(f"0_{n}" for n in range(12)), never_played=True))
    assert "id in 0_0,0_1,0_2,0_3,0_4,… (12 ids)" in text
    assert text.endswith("and never played")


@pytest.mark.parametrize(
    ("texts", "statuses"),
    [
        ((), ()),
        (("2",), ("2",)),
        (("-1,2",), ("-1", "2")),
        (("1", "-2", "0"), ("1", "-2", "0")),
        ((" 2 , ready, 7",), ("2", "7")),
        (("READY", "no_content"), ("2", "7")),
        (("virusScan.Infected",), ("virusScan.Infected",)),
    ],
)
def test_statuses_are_numbers_or_names_repeated_or_in_a_list(texts: tuple[str, ...], statuses: tuple[str, ...]) -> None:
    assert parse_statuses(texts) == statuses


@pytest.mark.parametrize("text", ["99", "ready!", "2;7", "2,nope"])
def test_an_unknown_status_is_refused_and_the_known_ones_are_named(text: str) -> None:
    with pytest.raises(SelectionError, match=r"unknown entry status.*2 READY"):
        parse_statuses((text,))


def test_years_are_of_365_days_and_a_quarter() -> None:
    assert years_ago(T3, 2) == T3 - 2 * 31_557_600
    assert years_ago(T3, 0.5) == T3 - 15_778_800
    assert years_ago(T3, None) is None


# Selections, of whatever a search may answer


@dataclass
class AnyPage:
    found: Sequence[Entry]
    total: int
    odd: Sequence[str] = ()

    def entries(self) -> Iterator[Entry]:
        return iter(self.found)


def uses(said: str | None) -> Metadata | None:
    """Custom metadata whose field `Use` says that; None for such as cannot be understood."""
    return None if said is None else {"Use": frozenset({said})}


@dataclass
class AnyStore:
    """In S3's place: when each copy was made."""

    copied: Mapping[str, int]

    def head(self, key: str, *, with_marks: bool) -> StoredObject | None:
        assert not with_marks
        at = self.copied.get(key)
        return None if at is None else StoredObject(key, 999 + at % 2 * 1000, metadata={"archived-at": iso_time(at)})


@dataclass
class AnyKaltura:
    """In Kaltura's place: a search that finds whatever there is, in pages of any size."""

    found: Sequence[Entry]
    categories: Mapping[str, tuple[Placing, ...]] = field(default_factory=dict)
    sizes: Mapping[str, int] = field(default_factory=dict)
    said: Mapping[str, str | None] = field(default_factory=dict)

    def metadata_fields(self) -> dict[str, tuple[int, ...]]:
        return {"Use": (1,)}

    def metadata(self, ids: Iterable[str]) -> dict[str, Metadata | None]:
        return {entry_id: uses(self.said.get(entry_id, "")) for entry_id in ids}

    def pages(self, query: Query) -> Iterator[AnyPage]:
        yield AnyPage([], len(self.found))
        yield AnyPage(list({entry.id: entry for entry in reversed(self.found)}.values()), len(self.found))

    def entries(self, ids: Iterable[str]) -> Iterator[tuple[str, Entry | None]]:
        known = {entry.id: entry for entry in self.found}
        for entry_id in ids:
            yield entry_id, known.get(entry_id)

    def placings(self, ids: Iterable[str]) -> dict[str, tuple[Placing, ...]]:
        return {entry_id: self.categories.get(entry_id, ()) for entry_id in ids}

    def flavors(self, ids: Iterable[str]) -> dict[str, tuple[FlavorAsset, ...]]:
        return {entry_id: self.flavors_of(entry_id) for entry_id in ids}

    def flavors_of(self, entry_id: str) -> tuple[FlavorAsset, ...]:
        size = self.sizes.get(entry_id)
        return () if size is None else (original(size_bytes=size),)


def some(values: Iterable[Any]) -> st.SearchStrategy[Any]:
    return st.sampled_from(list(values))


def few(most: int, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Values for at most so many of the fields."""
    names = st.lists(some(fields), max_size=most, unique=True)
    return names.flatmap(lambda chosen: st.fixed_dictionaries({name: fields[name] for name in chosen}))


# Few values and few of them, so that many entries meet all criteria and many fail one by a hair.
TIMES = (T1 - 1, T1, T1 + 1, T2, T3)
TAGS = ("lecture", "archived_to_s3", "not_archived_to_s3", "old lecture", "flavors_deleted")
IDS = tuple(f"0_{n}" for n in range(12))
PLACINGS = (Placing(7), Placing(8), Placing(70, frozenset({7})), Placing(7, active=False))
ENTRIES = st.builds(
    lambda entry_id, fields: Entry(entry_id, **({"created_at": T1} | fields)),
    some(IDS),
    few(
        2,
        status=some(["2", "7", "3", "99"]),
        tags=st.lists(some([*TAGS, "Lecture"]), min_size=1, max_size=3).map(tuple),
        media_type=some([5, None]),
        entry_type=st.just("7"),
        created_at=some(TIMES),
        plays=st.integers(0, 3),
        last_played_at=some([0, *TIMES]),
        category_ids=st.lists(some(["7", "8"]), max_size=2).map(tuple),
        admin_tags=some([("Zoom",), ("zoom", "x"), ("zoomer",)]),
        owner_id=some(["ann", "Ann", "ann@example.edu", "bob"]),
        source_type=some(["37", "3"]),
        duration_seconds=some([0, 59, 60]),
        end_at=some(TIMES),
        display_in_search=st.just(-2),
        replaced_entry_id=st.just("0_main"),
    ),
)
QUERIES = st.builds(
    lambda ids, criteria, paging: Query(ids, **criteria, **paging),
    st.none() | st.lists(some([*IDS, "0_unknown"]), max_size=20).map(tuple),
    few(
        2,
        tags=some(TAGS).map(lambda tag: (tag,)),
        without_tags=some(TAGS).map(lambda tag: (tag,)),
        categories=some([(7,), (7, 8)]),
        uncategorised=st.just(True),
        admin_tags=st.just(("zoom",)),
        owners=some([frozenset({"ann"}), frozenset({"bob", "ann"})]),
        without_owners=st.just(frozenset({"ann"})),
        sources=st.just(("37",)),
        longer_than_seconds=st.just(60),
        least_bytes=st.just(1000),
        below_bytes=st.just(2000),
        ends_until=some(TIMES),
        metadata=st.just((("Use", "teaching"),)),
        without_metadata=st.just((("Use", "research"),)),
        archived_until=some(TIMES),
        without_categories=st.just((8,)),
        statuses=some([("2",), ("2", "7")]),
        media_type=st.just(MediaType.AUDIO),
        plays_below=st.integers(1, 2),
        never_played=st.just(True),
        created_since=some(TIMES),
        created_until=some(TIMES),
        played_since=some(TIMES),
        unplayed_since=some(TIMES),
    ),
    few(3, page_size=st.integers(1, 4), first_page=st.integers(1, 3), max_entries=st.none() | st.integers(1, 6)),
)


@settings(max_examples=400)
@given(
    query=QUERIES,
    found=st.lists(ENTRIES, max_size=24),
    placed=st.dictionaries(some(IDS), st.lists(some(PLACINGS), max_size=2).map(tuple)),
    sizes=st.dictionaries(some(IDS), some([999, 1000, 1999, 2000])),
    said=st.dictionaries(some(IDS), some(["teaching", "research", None])),
    copied=st.dictionaries(some(IDS), some(TIMES)),
)
def test_a_selection_yields_each_entry_that_meets_all_criteria_once_and_no_other(
    query: Query, found: list[Entry], placed: dict[str, tuple[Placing, ...]], sizes: dict[str, int],
    said: dict[str, str | None], copied: dict[str, int],
) -> None:  # fmt: skip
    """design.md 6; kaltura-api 3.2, 3.4: what a search answers is neither exact, nor current, nor without repeats."""
    kaltura = cast(Kaltura, AnyKaltura(found, placed, sizes, said))
    store = cast(Store, AnyStore(copied))
    everything = Selection(kaltura, replace(query, first_page=1, max_entries=None), store)
    matching = list(everything)

    def mismatch(entry: Entry) -> str:
        stored = store.head(entry.id, with_marks=False)
        metadata = uses(said.get(entry.id, ""))
        return query.mismatch(entry, placed.get(entry.id, ()), sizes.get(entry.id), metadata, stored)

    assert [reason for entry in matching if (reason := mismatch(entry))] == []
    assert len({entry.id for entry in matching}) == len(matching)
    assert not everything.cut
    if query.ids is None:
        first = {entry.id: entry for entry in reversed(found)}
        assert {e.id for e in matching} == {e.id for e in first.values() if not mismatch(e)}
        assert all(entry is first[entry.id] for entry in matching)
    else:
        assert {entry.id for entry in matching} <= set(query.ids)
        assert set(everything.unknown) == set(query.ids) - {entry.id for entry in found}

    page = Selection(kaltura, query, store)
    skipped = (query.first_page - 1) * query.page_size
    end = None if query.max_entries is None else skipped + query.max_entries
    assert list(page) == matching[skipped:end]
    assert page.selected == len(matching[skipped:end])
    assert page.cut == (end is not None and len(matching) > end)
