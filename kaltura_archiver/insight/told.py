"""States in a director's words: what each is called on the page, what is wrong there, and what is to be done."""

from __future__ import annotations

from kaltura_archiver.insight.snapshot import SnapshotEntry
from kaltura_archiver.model import State

LOST = "lost"
NAMES = {
    State.LOST: LOST,
    State.BUSY: "being worked on",
    State.NO_ORIGINAL: "original missing",
    State.EMPTY: "no video",
    State.INITIAL: "not archived",
    State.UNBACKED: "copy missing",
    State.ARCHIVED: "archived",
    State.UNTAGGED: "archiving unfinished",
    State.DIVERGED: "two different videos",
    State.UNSETTLED: "replacing unfinished",
    State.PLACEHOLDER: "replaced by placeholder",
    State.HALF_TAGGED: "replacing unmarked",
    State.THIN: "original archived, a small version plays",
    State.HALF_THIN: "taking the original away unfinished",
}
# What is wrong, and what is to be done about it. The operator's own words for that are those of `health`.
_ATTENTION = {
    State.LOST: (
        "Kaltura shows a placeholder, and S3 has no copy of the video.",
        "Look for older versions in the bucket and ask Kaltura's support, at once. Do not delete the entry.",
    ),
    State.BUSY: ("Kaltura is still working on the video.", "Wait, and look again tomorrow."),
    State.NO_ORIGINAL: ("Kaltura's original is missing or broken; S3 has a copy.", "Have it put back from S3."),
    State.EMPTY: (
        "Neither Kaltura nor S3 has an original.",
        "If there ever was one, ask Kaltura's support soon: deleted files can be had back for a while.",
    ),
    State.UNBACKED: (
        "Marked as archived, but S3 has no copy; Kaltura still has the video.",
        "Find out where the copy went; then have it archived again.",
    ),
    State.UNTAGGED: ("Archiving was interrupted; the video and its copy are there.", "Have it finished."),
    State.DIVERGED: (
        "Kaltura and S3 hold two different videos, perhaps since somebody uploaded a newer one.",
        "Ask the owner which one is to stay. Until then neither is touched.",
    ),
    State.UNSETTLED: ("Replacing or bringing back was interrupted; the video is there.", "Have it finished."),
    State.HALF_THIN: ("Taking the original away, or bringing it back, was interrupted.", "Have it finished."),
    State.HALF_TAGGED: ("The video is in S3 only, but not marked as archived.", "Have it marked, or brought back."),
}
_UNSOUND = "Its copy or the entry itself was found faulty."
_LOOK = "Have it looked at before anything else happens to it."


def state_name(item: SnapshotEntry) -> str:
    return NAMES[State(item.state)]


def what_is_wrong(item: SnapshotEntry) -> str:
    """Of an entry that is not healthy."""
    return _ATTENTION.get(State(item.state), (_UNSOUND, ""))[0]


def what_to_do(item: SnapshotEntry) -> str:
    """Of an entry that is not healthy; empty for a healthy one."""
    if item.healthy:
        return ""
    return _ATTENTION.get(State(item.state), ("", _LOOK))[1]
