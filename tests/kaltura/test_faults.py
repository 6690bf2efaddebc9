"""What goes wrong once, at each call that changes something: nothing is lost, nothing is left, the next run gets there.

A first, small set; design 5: an answer that was lost is resolved by reading, never by repeating.
"""

from __future__ import annotations

from typing import Any

import pytest
from looking import (
    START,
    Run,
    assert_goal,
    assert_nothing_left,
    do_not_wait,
    original_of,
    shown,
    state_of,
    tags_of,
    use_lock,
)

from kaltura_archiver.sandbox.world import Sandbox

CALLS = {
    "s3copy": ["media.update"],
    "replace_video": ["uploadToken.add", "uploadToken.upload", "media.update", "media.updateContent"],
    "restore": ["uploadToken.add", "uploadToken.upload", "media.updateContent", "media.update"],
}
FAULTS: dict[str, tuple[str, dict[str, Any]]] = {
    "drop_before": ("drop_before", {}),
    "drop_after": ("drop_after", {}),
    "http_500": ("http_500", {}),
    "empty_after": ("empty_after", {}),
    "garbage": ("garbage", {}),
    "rate limit": ("error", {"code": "ACTION_BLOCKED"}),
    "expired KS": ("error", {"code": "INVALID_KS"}),
}
# A write is not repeated unless it is known that nothing was done; these end the run for the entry.
GIVES_UP = {
    *[("uploadToken.add", name) for name in ("drop_before", "drop_after", "http_500")],
    *[("media.updateContent", name) for name in ("drop_before", "http_500")],
}


@pytest.fixture(autouse=True)
def quick_retries(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    do_not_wait(monkeypatch)
    use_lock(monkeypatch)


# Answers that say nothing are told apart from lost ones only where a call must not be repeated. Elsewhere calls are
# lost, before they arrive or after; and what Kaltura says comes in turns. The fault walk has it all (scripts/walk).
SAID = ("http_500", "rate limit", "expired KS")
OTHERS = [(command, call) for command, calls in CALLS.items() for call in calls if call != "media.updateContent"]
CASES = [
    *((command, "media.updateContent", fault) for command in ("replace_video", "restore") for fault in FAULTS),
    *((*call, fault) for call in OTHERS for fault in ("drop_before", "drop_after")),
    *((*call, SAID[number % len(SAID)]) for number, call in enumerate(OTHERS)),
]


@pytest.mark.parametrize(("command", "call", "fault"), CASES)
def test_one_failure_of_kaltura_loses_nothing_and_the_goal_is_reached(
    sandbox: Sandbox, run: Run, command: str, call: str, fault: str
) -> None:
    video = sandbox.video()
    entry_id = sandbox.add(START[command], content=video, tags="lecture")
    version = original_of(sandbox, entry_id).version
    kind, details = FAULTS[fault]
    planned = sandbox.control.add_fault(call, kind, **details)
    first = run(command, "--id", entry_id, "--no-dry-run")
    assert planned.times == 0
    expected = "failed" if (call, fault) in GIVES_UP else "done"
    assert (first.code, first.outcomes) == (1 if expected == "failed" else 0, {entry_id: expected}), first.err
    assert "Traceback" not in first.err
    # A token whose id never came is removed by the next run, which knows that this one is over.
    lost = 1 if (call, fault) == ("uploadToken.add", "drop_after") else 0
    assert_nothing_left(sandbox, lost_tokens=lost)
    if expected == "failed":
        # The entry is as it was: the tag set too early is taken back.
        assert state_of(run, entry_id) == START[command]
        assert shown(sandbox, entry_id) == (sandbox.placeholder if command == "restore" else video)
        assert run(command, "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "done"}
    assert_goal(sandbox, run, command, entry_id, video)
    assert_nothing_left(sandbox)
    assert tags_of(sandbox, entry_id).split(", ")[0] == "lecture"
    # Whatever was answered, the content was swapped once.
    assert original_of(sandbox, entry_id).version == version + (0 if command == "s3copy" else 10)
