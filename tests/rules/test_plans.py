"""Command x state -> steps or an outcome, compared as lists; and what no plan may ever hold (design 3 to 5)."""

from __future__ import annotations

import dataclasses
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_facts import DERIVED, FLAVOR, PLACEHOLDER_BYTES, SHA256, VIDEO_BYTES, any_facts, facts, original, stored

from kaltura_archiver.model import Availability, Facts, FlavorStatus, Identity, Outcome, State, notice_tag
from kaltura_archiver.plans import plan_for
from kaltura_archiver.states import classify
from kaltura_archiver.steps import KEPT_SIDES, Command, Options, Step
from kaltura_archiver.thinning import MAX_KEPT_BYTES

MUTATING = (Command.S3COPY, Command.REPLACE, Command.RESTORE, Command.REPAIR)
NOW = 1_700_000_000
YEAR = 365.25 * 86400
OPTIONS = Options(now=NOW)

_READY = original()
_NEWER = original(size_bytes=VIDEO_BYTES + 1)
_SHOWN = original(size_bytes=PLACEHOLDER_BYTES, version="12")
_IN_PLACE = original(size_bytes=PLACEHOLDER_BYTES)

OF_STATE: dict[State, Facts] = {
    State.LOST: facts(_SHOWN, archived=True, replaced=True),
    State.BUSY: facts(original(FlavorStatus.CONVERTING), stored(), archived=True),
    State.NO_ORIGINAL: facts(None, stored(), archived=True),
    State.EMPTY: facts(None),
    State.INITIAL: facts(_READY),
    State.UNBACKED: facts(_READY, archived=True),
    State.ARCHIVED: facts(_READY, stored(), archived=True),
    State.UNTAGGED: facts(_READY, stored()),
    State.DIVERGED: facts(_NEWER, stored(), archived=True),
    State.UNSETTLED: facts(_READY, stored(), archived=True, replaced=True),
    State.PLACEHOLDER: facts(_SHOWN, stored(), archived=True, replaced=True),
    State.HALF_TAGGED: facts(_SHOWN, stored(), replaced=True),
    State.THIN: facts(None, stored(thin=f"{DERIVED}@2"), archived=True, thin=True),
    State.HALF_THIN: facts(None, stored(), archived=True, thin=True),
}

COPY = [Step.COPY, Step.ADD_ARCHIVED]
REPLACE = [Step.CHECK_COPY, Step.UPLOAD_PLACEHOLDER, Step.ADD_REPLACED, Step.PUT_PLACEHOLDER]
NO = Outcome.REFUSED
WAIT = Outcome.WAITING
DONE = Outcome.ALREADY

EXPECTED: dict[State, tuple[list[Step] | Outcome, ...]] = {
    # state: s3copy, replace_video, restore, repair
    State.LOST: (NO, NO, NO, NO),
    State.BUSY: (WAIT, WAIT, WAIT, WAIT),
    State.NO_ORIGINAL: (NO, NO, [Step.PUT_ORIGINAL], [Step.PUT_ORIGINAL]),
    State.EMPTY: (NO, NO, NO, NO),
    State.INITIAL: (COPY, NO, DONE, DONE),
    State.UNBACKED: (NO, NO, DONE, NO),
    State.ARCHIVED: (DONE, REPLACE, DONE, DONE),
    State.UNTAGGED: ([Step.ADD_ARCHIVED], NO, DONE, [Step.ADD_ARCHIVED]),
    State.DIVERGED: (NO, NO, NO, NO),
    State.UNSETTLED: (NO, REPLACE, [Step.REMOVE_REPLACED], [Step.REMOVE_REPLACED]),
    State.PLACEHOLDER: (DONE, DONE, [Step.PUT_ORIGINAL, Step.REMOVE_REPLACED], DONE),
    State.HALF_TAGGED: (
        NO,
        [Step.ADD_ARCHIVED],
        [Step.PUT_ORIGINAL, Step.ADD_ARCHIVED, Step.REMOVE_REPLACED],
        [Step.ADD_ARCHIVED],
    ),
    State.THIN: (
        DONE,
        [*REPLACE, Step.REMOVE_THIN],
        [Step.PUT_ORIGINAL, Step.REMOVE_THIN],
        DONE,
    ),
    State.HALF_THIN: (NO, NO, [Step.PUT_ORIGINAL, Step.REMOVE_THIN], [Step.CHECK_KEPT, Step.RECORD_KEPT]),
}


def _answer(command: Command, known: Facts, options: Options = OPTIONS) -> list[Step] | Outcome:
    plan = plan_for(command, known, options)
    return list(plan.steps) or plan.outcome


BESIDE = [Step.COPY_BESIDE, Step.MAKE_CURRENT]
# To what both sides of resolve answer the same, and each of kaltura and s3 to the others.
RESOLVED: dict[State, tuple[list[Step] | Outcome, list[Step] | Outcome]] = {
    State.BUSY: (WAIT, WAIT),
    State.ARCHIVED: (DONE, DONE),
    State.UNTAGGED: ([Step.ADD_ARCHIVED], [Step.ADD_ARCHIVED]),
    State.UNSETTLED: ([Step.REMOVE_REPLACED], [Step.REMOVE_REPLACED]),
    State.DIVERGED: (BESIDE, [Step.ADD_REPLACED, Step.PUT_ORIGINAL, Step.REMOVE_REPLACED]),
    State.NO_ORIGINAL: (NO, [Step.PUT_ORIGINAL]),
}


@pytest.mark.parametrize("state", State)
def test_resolve_has_its_answer_to_each_state(state: State) -> None:
    found = tuple(_answer(Command.RESOLVE, OF_STATE[state], Options(now=NOW, side=side)) for side in KEPT_SIDES)
    assert found == RESOLVED.get(state, (NO, NO))
    assert _answer(Command.RESOLVE, OF_STATE[state], OPTIONS) in (NO, *RESOLVED.get(state, ()))


_RESTORED = dataclasses.replace(
    stored(flavor=f"{FLAVOR}@2"), tags={**stored().tags, "restored-at": "2026-11-01T10:00:00Z"}
)
_EDITED = original(size_bytes=VIDEO_BYTES - 1, version="12")


@pytest.mark.parametrize(
    ("known", "answer"),
    [
        (facts(_EDITED, _RESTORED, archived=True), BESIDE),
        (facts(_EDITED, _RESTORED), [*BESIDE, Step.ADD_ARCHIVED]),
        (facts(_EDITED, stored(), archived=True), NO),  # it never came back: perhaps a newer upload
        (facts(original(size_bytes=VIDEO_BYTES - 1), _RESTORED, archived=True), NO),  # the same version, other bytes
        (facts(_EDITED, _RESTORED, archived=True, replaced=True), NO),
        (facts(_EDITED, _RESTORED, archived=True, thin=True), NO),
        (
            facts(_EDITED, _RESTORED, archived=True, placeholder_bytes=None),
            NO,
        ),  # it may be a placeholder
        (facts(_SHOWN, _RESTORED, archived=True), NO),
        (facts(dataclasses.replace(_EDITED, id="0_other"), _RESTORED, archived=True), NO),
        (
            facts(_EDITED, dataclasses.replace(_RESTORED, marked_damaged_at="2026-11-02T10:00:00Z"), archived=True),
            NO,
        ),
    ],
)
def test_only_what_is_known_to_be_an_edit_is_archived_beside(known: Facts, answer: list[Step] | Outcome) -> None:
    assert _answer(Command.S3COPY, known) == answer
    assert all(
        _answer(command, known) != answer or answer is NO
        for command in (Command.REPLACE, Command.RESTORE, Command.REPAIR)
    )


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("command", MUTATING)
def test_each_command_has_its_answer_to_each_state(command: Command, state: State) -> None:
    assert classify(OF_STATE[state]).state is state
    plan = plan_for(command, OF_STATE[state], OPTIONS)
    assert (list(plan.steps) or plan.outcome) == EXPECTED[state][MUTATING.index(command)]
    assert plan.state is state
    assert plan.steps or plan.reason


LIKELY = stored(flavor="", sha256="")
BACK = [Step.PUT_ORIGINAL, Step.REMOVE_REPLACED]
_NOTED = dataclasses.replace(stored(), tags={**stored().tags, "picture": "1500000000 100012"})


@pytest.mark.parametrize(
    ("command", "known", "answer"),
    [
        # What is only likely is proven first, and nothing destructive rests on it.
        (Command.S3COPY, facts(_READY, LIKELY), [Step.PROVE, Step.ADD_ARCHIVED]),
        (Command.S3COPY, facts(_READY, LIKELY, archived=True), [Step.PROVE]),
        (Command.REPLACE, facts(_READY, LIKELY, archived=True), NO),
        (Command.REPLACE, facts(_READY, LIKELY, archived=True, replaced=True), NO),
        (Command.REPAIR, facts(_READY, LIKELY), [Step.PROVE, Step.ADD_ARCHIVED]),
        (
            Command.RESTORE,
            facts(_READY, LIKELY, archived=True, replaced=True),
            [Step.PROVE, Step.REMOVE_REPLACED],
        ),
        # The tags that facts prove are all put back.
        (Command.REPAIR, facts(_READY, stored(), replaced=True), [Step.ADD_ARCHIVED, Step.REMOVE_REPLACED]),
        (Command.RESTORE, facts(_READY, stored(), replaced=True), [Step.ADD_ARCHIVED, Step.REMOVE_REPLACED]),
        (
            Command.REPLACE,
            facts(_READY, stored(), replaced=True),
            [*REPLACE[:2], Step.ADD_ARCHIVED, *REPLACE[2:]],
        ),
        (Command.REPAIR, facts(_SHOWN, stored()), [Step.ADD_ARCHIVED, Step.ADD_REPLACED]),
        (Command.REPAIR, facts(_SHOWN, stored(), archived=True), [Step.ADD_REPLACED]),
        # The placeholder goes back where it was, the original elsewhere.
        (
            Command.REPAIR,
            facts(None, stored(), archived=True, replaced=True),
            [Step.CHECK_COPY, Step.UPLOAD_PLACEHOLDER, Step.PUT_PLACEHOLDER],
        ),
        (
            Command.REPAIR,
            facts(original(FlavorStatus.ERROR), stored(), replaced=True),
            [Step.CHECK_COPY, Step.UPLOAD_PLACEHOLDER, Step.ADD_ARCHIVED, Step.PUT_PLACEHOLDER],
        ),
        (
            Command.RESTORE,
            facts(None, stored(), archived=True, replaced=True),
            [Step.PUT_ORIGINAL, Step.SET_PICTURE, Step.REMOVE_REPLACED],
        ),
        # Where the placeholder came in place, its picture may stay; and so it does where a restore was cut.
        (
            Command.RESTORE,
            facts(_IN_PLACE, stored(), archived=True, replaced=True),
            [Step.PUT_ORIGINAL, Step.SET_PICTURE, Step.REMOVE_REPLACED],
        ),
        (Command.RESTORE, facts(_IN_PLACE, stored(), archived=True, replaced=True, media_type=5), BACK),
        *[(command, facts(_READY, _NOTED, archived=True), [Step.SET_PICTURE]) for command in MUTATING[2:]],
        (Command.S3COPY, facts(_READY, _NOTED, archived=True), DONE),
        (Command.REPLACE, facts(_READY, _NOTED, archived=True), REPLACE),
        *[
            (command, facts(_READY, _NOTED, archived=True, replaced=True), [Step.SET_PICTURE, Step.REMOVE_REPLACED])
            for command in MUTATING[2:]
        ],
        # A replacement of ours is gone on with, somebody else's is waited for.
        (
            Command.REPAIR,
            facts(_READY, stored(), archived=True, replaced=True, replacing_entry_id="0_t", replacement_status="1"),
            [Step.SETTLE],
        ),
        (
            Command.REPAIR,
            facts(_READY, stored(), archived=True, replacing_entry_id="0_t", replacement_status="1"),
            WAIT,
        ),
        # What is not READY, or not a video of its own, is left alone.
        (Command.REPLACE, facts(_READY, stored(), archived=True, status="4"), NO),
        *[(command, facts(_READY, replaced_entry_id="0_main"), NO) for command in MUTATING],
        *[(command, facts(_READY, display_in_search=-2), NO) for command in MUTATING],
    ],
)
def test_the_facts_beyond_the_state_decide_too(command: Command, known: Facts, answer: list[Step] | Outcome) -> None:
    assert _answer(command, known) == answer


@pytest.mark.parametrize(
    ("storage_class", "availability", "tier", "answer"),
    [
        ("GLACIER", Availability.FROZEN, "bulk", [Step.THAW]),
        ("GLACIER", Availability.FROZEN, "expedited", [Step.THAW]),
        ("DEEP_ARCHIVE", Availability.FROZEN, "standard", [Step.THAW]),
        ("DEEP_ARCHIVE", Availability.FROZEN, "expedited", NO),
        ("DEEP_ARCHIVE", Availability.THAWING, "bulk", WAIT),
        ("GLACIER", Availability.THAWING, "bulk", WAIT),
        ("GLACIER", Availability.READABLE, "bulk", [Step.PUT_ORIGINAL, Step.REMOVE_REPLACED]),
        ("GLACIER_IR", Availability.READABLE, "bulk", [Step.PUT_ORIGINAL, Step.REMOVE_REPLACED]),
    ],
)
def test_a_cold_copy_is_thawed_before_anything_else(
    storage_class: str, availability: Availability, tier: str, answer: list[Step] | Outcome
) -> None:
    copy = stored(storage_class=storage_class, availability=availability)
    options = Options(now=NOW, tier=tier)
    assert _answer(Command.RESTORE, facts(_SHOWN, copy, archived=True, replaced=True), options) == answer
    if Step.REMOVE_REPLACED not in (answer if isinstance(answer, list) else []):
        assert _answer(Command.REPAIR, facts(None, copy, archived=True), options) == answer


@pytest.mark.parametrize(
    ("age_years", "min_age_years", "answer"),
    [(2.99, 3.0, Outcome.SKIPPED), (3.01, 3.0, REPLACE), (0.001, 0.0, REPLACE), (9.9, 10.0, Outcome.SKIPPED)],
)
def test_young_entries_are_not_replaced(age_years: float, min_age_years: float, answer: list[Step] | Outcome) -> None:
    known = facts(_READY, stored(), archived=True, created_at=int(NOW - age_years * YEAR))
    assert _answer(Command.REPLACE, known, Options(now=NOW, min_age_years=min_age_years)) == answer


NOTICE_DAY = 1_698_019_200  # 2023-10-23 00:00 UTC, 22 days and some hours before NOW
GRACE = Options(now=NOW, noticed_before_seconds=20 * 86400)


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ((), "no notice"),
        (("notice_2023-10-23",), ""),
        (("Notice_2023-10-23",), ""),
        # Its day is over for less than twenty days, or has not come.
        (("notice_2023-10-25",), "2023-10-25 is not 20 days old"),
        (("notice_2999-01-01",), "2999-01-01 is not 20 days old"),
        # A second notice counts from its own day.
        (("notice_2023-01-01", "notice_2023-10-30"), "2023-10-30 is not 20 days old"),
        (("notice_2023-10-30", "notice_2023-01-01"), "2023-10-30 is not 20 days old"),
        (("notice_2023-10-22", "notice_2023-10-23"), ""),
        # Whole tags, and days as we write them.
        (("my notice_2023-10-23",), "no notice"),
        (("notice_2023-10-23 or so",), "no notice"),
        (("notice_20231023",), "no notice"),
        (("notice_2023-W43-1",), "no notice"),
        (("notice_2023-13-45",), "no notice"),
        (("notice_",), "no notice"),
        (("2023-10-23",), "no notice"),
        (("notice_2023-13-45", "notice_2023-10-23"), ""),
    ],
)
@pytest.mark.parametrize("replaced", [False, True])
def test_with_noticed_before_only_entries_of_owners_told_long_ago_are_replaced(
    tags: tuple[str, ...], reason: str, replaced: bool
) -> None:
    plain = facts(_READY, stored(), archived=True, replaced=replaced)
    known = dataclasses.replace(plain, entry=dataclasses.replace(plain.entry, tags=(*plain.entry.tags, *tags)))
    plan = plan_for(Command.REPLACE, known, GRACE)
    assert (list(plan.steps) or plan.outcome) == (Outcome.SKIPPED if reason else REPLACE)
    assert reason in plan.reason
    assert _answer(Command.REPLACE, known) == REPLACE


@pytest.mark.parametrize(
    ("told", "owner", "creator", "reason"),
    [
        ("ann", "ann", "bob", ""),
        (" Ann", "ann", "bob", ""),
        ("ann", "", "ann", ""),
        # Told was who owned it then, or who had made it: not whose it is today.
        ("bob", "ann", "bob", "that of 2023-10-23 went to somebody else"),
        ("ann", "bob", "ann", "that of 2023-10-23 went to somebody else"),
        ("ann@x.edu", "ann", "ann", "that of 2023-10-23 went to somebody else"),
        # What earlier versions told the creator does not say to whom it went.
        (None, "", "ann", ""),
        (None, "ann", "Ann", ""),
        (None, "ann", "bob", "that of 2023-10-23 went to somebody else"),
        ("", "", "", ""),
        ("", "ann", "", "that of 2023-10-23 went to somebody else"),
    ],
)
def test_a_notice_counts_for_the_owner_who_had_it(told: str | None, owner: str, creator: str, reason: str) -> None:
    tag = "notice_2023-10-23" if told is None else notice_tag(date(2023, 10, 23), told)
    plain = facts(_READY, stored(), archived=True)
    entry = dataclasses.replace(plain.entry, tags=(*plain.entry.tags, tag), owner_id=owner, creator_id=creator)
    plan = plan_for(Command.REPLACE, dataclasses.replace(plain, entry=entry), GRACE)
    assert (list(plan.steps) or plan.outcome) == (Outcome.SKIPPED if reason else REPLACE)
    assert reason in plan.reason
    # What somebody else was told is no younger notice either.
    young = dataclasses.replace(entry, tags=(*entry.tags, notice_tag(date(2023, 11, 13), "eve")))
    assert bool(plan_for(Command.REPLACE, dataclasses.replace(plain, entry=young), GRACE).steps) is not bool(reason)


@pytest.mark.parametrize("tag", ["notice_2023-10-23_", "notice_2023-10-23_ann", "notice_2023-10-23_00000000"])
def test_a_mark_that_is_none_or_of_nobody_is_no_notice(tag: str) -> None:
    plain = facts(_READY, stored(), archived=True)
    entry = dataclasses.replace(plain.entry, tags=(*plain.entry.tags, tag))
    assert plan_for(Command.REPLACE, dataclasses.replace(plain, entry=entry), GRACE).outcome is Outcome.SKIPPED


@pytest.mark.parametrize(
    ("last_played_at", "answer"),
    [
        (None, REPLACE),
        (NOTICE_DAY - 1, REPLACE),
        (NOTICE_DAY, Outcome.SKIPPED),
        (NOW, Outcome.SKIPPED),
    ],
)
def test_who_plays_a_video_after_the_notice_keeps_it(last_played_at: int | None, answer: list[Step] | Outcome) -> None:
    plain = facts(_READY, stored(), archived=True, last_played_at=last_played_at)
    known = dataclasses.replace(
        plain, entry=dataclasses.replace(plain.entry, tags=("notice_2023-10-23", *plain.entry.tags))
    )
    assert _answer(Command.REPLACE, known, GRACE) == answer


@pytest.mark.parametrize(("thinned_on", "void"), [("2023-10-22", False), ("2023-10-25", True)])
def test_a_notice_of_the_original_is_none_of_the_video_itself(thinned_on: str, void: bool) -> None:
    """Who was told that the original goes, and then it went, is told anew before the placeholder comes."""
    copy = dataclasses.replace(stored(thin=f"{DERIVED}@2"), tags={
        **stored(thin=f"{DERIVED}@2").tags, "replaced-at": f"{thinned_on}T10:00:00Z",
    })  # fmt: skip
    plain = facts(None, copy, archived=True, thin=True)
    known = dataclasses.replace(
        plain, entry=dataclasses.replace(plain.entry, tags=("notice_2023-10-23", *plain.entry.tags))
    )
    plan = plan_for(Command.REPLACE, known, GRACE)
    assert (plan.outcome is Outcome.SKIPPED and "was of its original" in plan.reason) is void
    assert bool(plan.steps) is not void


@pytest.mark.parametrize(
    ("tag", "now", "answer"),
    [
        # 2023-11-14 22:13 UTC is NOW: the day that was named is over everywhere only when it is in UTC.
        (notice_tag(date(2023, 10, 15), "ann", date(2023, 11, 15)), NOW, Outcome.SKIPPED),
        (notice_tag(date(2023, 10, 15), "ann", date(2023, 11, 14)), NOW, Outcome.SKIPPED),
        (notice_tag(date(2023, 10, 15), "ann", date(2023, 11, 14)), 1_699_999_999, Outcome.SKIPPED),
        (notice_tag(date(2023, 10, 15), "ann", date(2023, 11, 14)), 1_700_006_400, REPLACE),
        (notice_tag(date(2023, 10, 15), "ann", date(2023, 11, 13)), NOW, REPLACE),
        # To whomever it went, to nobody in particular, in any case of letters.
        (notice_tag(date(2023, 10, 15), "eve", date(2023, 11, 15)), NOW, Outcome.SKIPPED),
        (notice_tag(date(2023, 10, 15), "", date(2023, 11, 15)), NOW, Outcome.SKIPPED),
        ("NOTICE_2023-10-15_UNTIL_2023-11-15", NOW, Outcome.SKIPPED),
        # Without a day nothing was promised.
        (notice_tag(date(2023, 11, 13), "ann"), NOW, REPLACE),
    ],
)
def test_a_day_that_a_notice_named_is_kept_without_any_option(
    tag: str, now: float, answer: list[Step] | Outcome
) -> None:
    plain = facts(_READY, stored(), archived=True)
    known = dataclasses.replace(
        plain, entry=dataclasses.replace(plain.entry, tags=(*plain.entry.tags, tag), owner_id="ann")
    )
    assert _answer(Command.REPLACE, known, Options(now=now)) == answer
    if answer is Outcome.SKIPPED:
        assert "names 2023-11-1" in plan_for(Command.REPLACE, known, Options(now=now)).reason
    for command in (Command.S3COPY, Command.RESTORE, Command.REPAIR):
        assert plan_for(command, known, OPTIONS) == plan_for(command, plain, OPTIONS)


@pytest.mark.parametrize(
    "tag",
    [
        "notice_2023-10-15_until_2023-11-31", "notice_2023-10-15_until_", "notice_2023-10-15_d30a5f57_until_2023-9-1",
        "notice_2023-10-15_until_2023-09-01_ann", "Notice_Until_2023-09-01",
    ],
)  # fmt: skip
def test_a_day_that_cannot_be_read_is_not_over(tag: str) -> None:
    """A person has put it off, in a form of their own."""
    plain = facts(_READY, stored(), archived=True)
    known = dataclasses.replace(plain, entry=dataclasses.replace(plain.entry, tags=(*plain.entry.tags, tag)))
    plan = plan_for(Command.REPLACE, known, OPTIONS)
    assert (plan.steps, plan.outcome) == ((), Outcome.SKIPPED)
    assert plan.reason.startswith(f"a notice names a day that cannot be read (tag {tag.lower()})")


def test_a_notice_is_no_matter_to_the_other_commands() -> None:
    for command in (Command.S3COPY, Command.RESTORE, Command.REPAIR):
        for known in OF_STATE.values():
            assert plan_for(command, known, GRACE) == plan_for(command, known, OPTIONS)


def test_a_video_of_the_placeholders_size_is_told_from_it_by_its_bytes() -> None:
    read = dataclasses.replace(facts(_SHOWN), placeholder_sha256s=frozenset({SHA256}), original_sha256="cd" * 32)
    assert list(plan_for(Command.S3COPY, read, OPTIONS).steps) == COPY
    plan = plan_for(Command.S3COPY, dataclasses.replace(read, original_sha256=SHA256), OPTIONS)
    assert (plan.steps, plan.outcome) == ((), Outcome.REFUSED)
    assert "is the placeholder" in plan.describe()


def test_repair_records_a_placeholder_that_only_its_bytes_tell() -> None:
    copy = stored(placeholder=f"{FLAVOR}@2 {SHA256} {PLACEHOLDER_BYTES}")
    known = facts(_SHOWN, stored(), archived=True, replaced=True)
    known = dataclasses.replace(known, placeholder_sha256s=frozenset({SHA256}), original_sha256=SHA256)
    assert list(plan_for(Command.REPAIR, known, OPTIONS).steps) == [Step.RECORD]
    recorded = dataclasses.replace(known, stored=copy, original_sha256="")
    assert plan_for(Command.REPAIR, recorded, OPTIONS).outcome is Outcome.ALREADY


@pytest.mark.parametrize(
    ("known", "answer"),
    [
        (facts(_READY, stored(), archived=True), [Step.NEW_PICTURE]),
        (facts(_SHOWN, stored(), archived=True, replaced=True), [Step.PUT_ORIGINAL, Step.NEW_PICTURE]),
        (facts(_IN_PLACE, stored(), archived=True, replaced=True), [Step.PUT_ORIGINAL, Step.NEW_PICTURE]),
        (facts(_READY, stored(), archived=True, media_type=5), DONE),
        (facts(_READY), DONE),
        (facts(_NEWER, stored(), archived=True), NO),
    ],
)
def test_a_new_picture_is_taken_of_an_archived_video_that_is_there(known: Facts, answer: list[Step] | Outcome) -> None:
    found = _answer(Command.RESTORE, known, dataclasses.replace(OPTIONS, new_picture=True))
    assert (found[:2] if isinstance(found, list) else found) == answer


def test_a_plan_describes_its_steps_and_its_reason() -> None:
    cold = facts(
        _SHOWN, stored(storage_class="GLACIER", availability=Availability.FROZEN), archived=True, replaced=True
    )
    text = plan_for(Command.RESTORE, cold, Options(now=NOW, tier="standard", days=3)).describe()
    assert text == "would request a restore from Glacier (GLACIER, tier standard, readable for 3 days)"


@settings(max_examples=600)
@given(
    any_facts(),
    st.sampled_from([*MUTATING, Command.THIN, Command.RESOLVE]),
    st.sampled_from(KEPT_SIDES),
    st.booleans(),
    st.sampled_from(["bulk", "standard", "expedited"]),
    st.sampled_from([0.0, 3.0]),
)
def test_no_plan_destroys_what_is_not_safe_elsewhere(
    known: Facts, command: Command, side: str, eager: bool, tier: str, min_age_years: float
) -> None:
    """Whatever the options: an original goes only if the stored copy is proven to be it, a placeholder only with a copy
    that can be read now."""
    options = Options(
        now=NOW, accept_size_match=eager, allow_in_place=eager, approve=eager, tier=tier, min_age_years=min_age_years,
        side=side, even_if_clipped=eager, max_kept_bytes=10**14 if eager else MAX_KEPT_BYTES,
    )  # fmt: skip
    plan = plan_for(command, known, options)
    assert plan.steps or plan.reason
    if not any(step.destroys for step in plan.steps):
        return
    entry, flavor, copy = known.entry, known.original, known.stored
    assert not entry.recycled
    assert not entry.temporary
    assert not entry.replacement_running
    assert copy is not None
    if Step.DELETE_ORIGINAL in plan.steps:
        assert flavor is not None
        assert classify(known).identity is Identity.SAME
        assert copy.flavor == f"{flavor.id}@{flavor.version}"
        assert Step.ADD_THIN in plan.steps or entry.thin
        order = [plan.steps.index(step) for step in (Step.CHECK_COPY, Step.CHECK_KEPT, Step.DELETE_ORIGINAL)]
        assert order == sorted(order)
        assert any(not f.is_original and f.status is FlavorStatus.READY for f in known.flavors)
    elif Step.DROP_DERIVED in plan.steps:
        assert known.kept or Step.CHECK_KEPT in plan.steps
        assert flavor is None
        assert entry.thin or copy.kept
    elif Step.PUT_PLACEHOLDER in plan.steps:
        if flavor is not None and flavor.status.ready:
            assert classify(known).identity is Identity.SAME
            assert copy.flavor == f"{flavor.id}@{flavor.version}"
        # Tagged before the swap, checked before it: an interruption has a name.
        assert Step.ADD_REPLACED in plan.steps or entry.replaced
        assert plan.steps.index(Step.CHECK_COPY) < plan.steps.index(Step.PUT_PLACEHOLDER)
    else:
        assert copy.availability is Availability.READABLE
        if command is Command.RESOLVE:
            # Of two videos a person has named this one; what is displaced is stored before it goes.
            assert side == "s3"
            assert not copy.spoiled
            assert Step.ADD_REPLACED in plan.steps or entry.replaced or flavor is None or not flavor.status.ready
        elif flavor is not None and flavor.status.ready:
            # A swap of ours: by the tag before it, or by what the copy says of it after it. Or it has a placeholder's
            # size: whatever has that is read before anything is concluded (kaltura_archiver.reading).
            here, sizes = f"{flavor.id}@{flavor.version}", (known.placeholder_bytes, *known.more_placeholder_bytes)
            assert entry.replaced or copy.placeholder == here or flavor.size_bytes in sizes
            assert copy.placeholder in ("", here) or flavor.size_bytes in (None, *sizes)


@pytest.mark.parametrize("status", ["-1", "-2"])
def test_repair_leaves_an_entry_in_error_to_a_person(status: str) -> None:
    """Also where its original happens to have the placeholder's size: nothing proves that it is one."""
    for copy in (None, stored()):
        known = facts(original(size_bytes=PLACEHOLDER_BYTES), copy, status=status, archived=copy is not None)
        plan = plan_for(Command.REPAIR, known, Options(now=NOW))
        assert not any(step.destroys for step in plan.steps)
    assert plan_for(Command.REPAIR, facts(original(), None, status=status), Options(now=NOW)).outcome is Outcome.REFUSED
