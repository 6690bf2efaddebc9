"""Two videos of one entry: which of them is to stay, and where nobody has to be asked. Pure."""

from __future__ import annotations

from kaltura_archiver.identity import holds_placeholder
from kaltura_archiver.model import Facts


def edited(facts: Facts) -> bool:
    """Whether an original that differs from its stored copy is what somebody made of it after a restore brought it
    back: then there is nothing to decide, and it is archived beside.

    Known by its flavor's version, which grows with each change of the content. Not where a tag says that the original
    is, or was about to be, elsewhere, nor where it may be a placeholder that came late.
    """
    original, stored, entry = facts.original, facts.stored, facts.entry
    if original is None or stored is None or stored.spoiled or entry.replaced or entry.thin:
        return False
    steps = original.steps_after(stored.flavor)
    return stored.restored_at is not None and steps is not None and steps > 0 and holds_placeholder(facts) is False


def to_decide(entry_id: str) -> str:
    """What to type where only a person can tell which of two videos is the right one."""
    return (
        f"decide which one is to stay: kaltura-archiver resolve {entry_id} --keep kaltura, or --keep s3; the other one "
        "is kept in S3"
    )


def hint_of(facts: Facts) -> str:
    """What to do about an entry whose original and stored copy are two videos."""
    if edited(facts):
        return f"edited after it was restored: s3copy archives it beside; or {to_decide(facts.entry.id)}"
    return f"perhaps a newer upload: {to_decide(facts.entry.id)}"
