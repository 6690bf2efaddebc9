"""What is in an original that may be a placeholder: it is read before anything is concluded, for it is small."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from kaltura_archiver.errors import EntryFailed, KalturaError
from kaltura_archiver.kaltura import Kaltura
from kaltura_archiver.model import Facts
from kaltura_archiver.states import to_be_read


def with_original_read(kaltura: Kaltura, facts: Facts) -> Facts:
    """The facts, with the SHA-256 of an original that has a placeholder's size and is not recorded as one.

    A version says nothing of that: the server raises it by itself, and may put a placeholder over somebody's video
    (kaltura-api 10.16). Where the original cannot be read, `unread` says why, and it is not known what it is.
    """
    original = facts.original
    if original is None or not to_be_read(facts):
        return facts
    digest = hashlib.sha256()
    try:
        _, pieces = kaltura.content(original)
        for piece in pieces:
            digest.update(piece)
    except (KalturaError, EntryFailed) as error:
        return replace(facts, unread=str(error))
    return replace(facts, original_sha256=digest.hexdigest())
