"""What a run is to do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from kaltura_archiver.errors import Exit

if TYPE_CHECKING:
    from kaltura_archiver.results import Result


class Errand:
    """What a run is to do: `ids` in their order; of other entries it is `known` already how they end.

    `codes` are the exit statuses that this alone would give. `saw` is told every result, and may set `stopped`: then no
    further entry is begun, and the run ends as at a safety limit.
    """

    def __init__(self, ids: Sequence[str], codes: Iterable[Exit] = (), known: Sequence[Result] = ()) -> None:
        self.ids = ids
        self.codes = codes
        self.known = known
        self.stopped = False

    def saw(self, result: Result) -> None:
        """Hear of a result."""
