"""What the recorded answers do not prove, and what of a server we rely on, worst first."""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from masking import Json

# The recorded server was real but for its search engine, its conversion workers and its web server: where that shows,
# an answer proves nothing. Each probe with the reason, and what is left to be compared (None: nothing).
Mask = Callable[[Json], Json]


def _without(*names: str) -> Mask:
    return lambda answer: {name: value for name, value in answer.items() if name not in names}


STAND_IN = "a stand-in for Elasticsearch answered"
ARTEFACTS: dict[str, tuple[str, Mask | None]] = {
    "A01": ("the headers are those of PHP's own web server", _without("headers")),
    "A09": ("PHP's own web server does not know a doubled slash", None),
    "A13": ("packing is Apache's business", None),
    "E111": (STAND_IN, None),
    "E113": (STAND_IN, None),
    "E160": ("a real Elasticsearch refuses the empty range", None),
    "E171": ("a real Elasticsearch refuses 1,100 clauses", None),
    "E1801": ("entries of equal age come in any order", _without("labels")),
    "E195": ("entries of equal age come in any order", _without("labels")),
    "E208": ("without an order, any", _without("labels")),
    "E227": ("entries of earlier runs were found", None),
    "E246": ("how much it spares depends on the entries' names", _without("share of the whole in %")),
    "L03": ("the played importer sent no HEAD", lambda asked: [one for one in asked if not one.startswith("HEAD")]),
    "L09": ("the played importer chose the extension", lambda answer: answer[:2]),
    "S11": ("ten days were given though the account says one: the cached path of session.start", None),
    "W26": ("the played conversion never ended", None),
    "W27": ("the played conversion never ended", None),
}


def proven(number: str, answer: Json) -> Json:
    """What of an answer proves something; PHP's own web server told no length of empty answers."""
    _, mask = ARTEFACTS.get(number, ("", lambda same: same))
    return None if mask is None else _without_empty_length(mask(answer))


def _without_empty_length(value: Json) -> Json:
    if isinstance(value, dict):
        kept = {key: _without_empty_length(item) for key, item in value.items()}
        if kept.get("bytes") == 0:
            kept.pop("length", None)
        return kept
    return [_without_empty_length(item) for item in value] if isinstance(value, list) else value


LEVELS = ("safety", "selection", "timing", "message", "cosmetic")


@dataclass(frozen=True)
class Reliance:
    """What depends on some answers; `probes` are patterns of their numbers."""

    level: str
    probes: str
    why: str

    def covers(self, number: str) -> bool:
        return any(fnmatch.fnmatchcase(number, pattern) for pattern in self.probes.split())


# The first that covers a probe counts.
RELIANCES = (
    Reliance("selection", "A14 A15 E246", "lists in JSON, of some fields, tell what they would tell in XML"),
    Reliance("cosmetic", "A1[0-9] A2[0-3] R09 N39 F21 F26 M03 M2?? M4[1-4] D05 D13 S2[07] S44", "nothing"),
    Reliance("cosmetic", "E141 E14[0-9]? E207 E208 E21[5-7] E22[0-9] E1809 E181[23] E24?", "nothing: not used"),
    Reliance("safety", "W05 W20 W24", "after a swap the new bytes are served, after a failed one the old"),
    Reliance(
        "safety", "W0[12489] W21 W40 P0[3-8]", "the old video plays until the new is ready; its version tells which"
    ),
    Reliance("safety", "W1[0-9] W2[23] P09 P10", "a replacement under way is seen, and cancelling harms nothing"),
    Reliance("safety", "W06 W2[89] W3? D0[1-46-9]", "what is deleted or replaced is gone, and only that"),
    Reliance("safety", "C0[1-58] C1[0-4] C07 D1[01]", "content is only added to an entry that has none"),
    Reliance("safety", "U*", "an upload is whole before anything is replaced by it"),
    Reliance(
        "safety", "F04 F2[234] F3* F4* F5* N13 D04", "a video is read whole, a host's errors are not taken for one"
    ),
    Reliance("safety", "M* W25", "the tags that mark an archived video stay, and nobody else's are changed"),
    Reliance("safety", "N0[2-6] N1[0-5]", "an id means one entry, and one that is gone is told"),
    Reliance("safety", "S40 S41 S47 A0[67] A24 S6?", "a session that ran out is told from an entry that is gone"),
    Reliance("safety", "K01 K1?", "what is kept by category is found, wherever in it an entry is"),
    Reliance("selection", "E*", "exactly the entries that were asked for are found"),
    Reliance("selection", "F0* F1*", "all flavors of an entry are listed"),
    Reliance("selection", "R*", "several reads in one request are answered one by one"),
    Reliance("timing", "C06 C15 L02 L05 P02 W03", "how a conversion is waited for"),
    Reliance("message", "S* A0* P2* N3? C09 C16 K2?", "what is said of a refusal, and what to do then"),
    Reliance("cosmetic", "*", "nothing"),
)


def reliance_of(number: str) -> Reliance:
    return next(one for one in RELIANCES if one.covers(number))


# For other accounts than the recorded one


_OF_THE_PROFILE = frozenset(("D07", "F01", "F03", "F12", "F15", "F16", "N01", "N20", "N21", "P25", "R02"))


def at_an_account(number: str, answer: Json, flavors: int) -> Json:
    """An answer without what follows from the account's own conversion profile; `flavors` are those of an entry."""
    if number in _OF_THE_PROFILE:
        return _shape(answer)
    if number == "A24":  # two of its calls might write, and are not made by who only reads
        return {name: value for name, value in answer.items() if name not in ("media.update", "uploadtoken.add")}
    if number == "U23":  # how long a server waits is a setting
        return [answer[0], answer[2]]
    if number == "F05":
        rows, total = answer
        return [sorted({row.partition(" ")[0] for row in rows}), _counted(total, flavors)]
    if number in ("F10", "F13", "F14"):
        return _counted(answer, flavors)
    return _original_only(answer)


def _counted(value: Json, flavors: int) -> Json:
    if isinstance(value, list):
        return [_counted(item, flavors) for item in value]
    return {flavors: "all", 2 * flavors: "all of two"}.get(int(value), value) if str(value).isdigit() else value


def _shape(value: Json) -> Json:
    """Which fields there are, and nothing of what is in them; equal items once."""
    if isinstance(value, dict):
        return {key: _shape(item) for key, item in value.items()}
    if isinstance(value, list):
        shapes: list[Json] = []
        for item in map(_shape, value):
            if item not in shapes:
                shapes.append(item)
        return shapes
    return "…"


def _original_only(value: Json) -> Json:
    """Flavors in short: how many derived ones there are, and how far, is the account's and the hour's."""
    if isinstance(value, dict):
        return {key: _original_only(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_original_only(item) for item in value if not (isinstance(item, str) and item.startswith("der "))]
    return re.sub(r"^<\d+ characters>$", "<characters>", value) if isinstance(value, str) else value


def agrees(wanted: Json, got: Json, states: frozenset[str] = frozenset()) -> bool:
    """Whether two answers agree.

    What was seen by looking again and again may lack moments, and have others: those that are among the `states` which
    were seen of any entry.
    """
    if wanted == got:
        return True
    if isinstance(wanted, dict) and isinstance(got, dict):
        return set(wanted) == set(got) and all(agrees(wanted[key], got[key], states) for key in wanted)
    if not (isinstance(wanted, list) and isinstance(got, list)):
        return False
    if _is_course(wanted) and _is_course(got):
        return _same_course(wanted, got, states)
    return len(wanted) == len(got) and all(agrees(one, other, states) for one, other in zip(wanted, got, strict=True))


def states_in(answer: Json) -> frozenset[str]:
    """The states of all time lines in an answer, as texts."""
    if isinstance(answer, dict):
        return frozenset().union(*map(states_in, answer.values()))
    if not isinstance(answer, list):
        return frozenset()
    if _is_course(answer):
        return frozenset().union(*map(_parts, answer))
    return frozenset().union(*map(states_in, answer))


def _as_text(state: Json) -> str:
    return json.dumps(state, sort_keys=True)


def _parts(state: Json) -> frozenset[str]:
    """A state as what is known of it: the entries, and the flavors, each by itself."""
    if not isinstance(state, dict):
        return frozenset({_as_text(state)})
    entries = {name: value for name, value in state.items() if name != "flavors"}
    return frozenset({_as_text(entries), _as_text(state.get("flavors"))})


def _is_course(value: list[Any]) -> bool:
    """States one after the other: of a time line, or as W40 has them."""
    states = [isinstance(item, dict) and "entry" in item for item in value]
    return bool(value) and (all(states) or all(isinstance(item, list) and item for item in value))


def _same_course(wanted: list[Any], got: list[Any], states: frozenset[str]) -> bool:
    one, other = (_changes(list(map(_as_text, course))) for course in (wanted, got))
    common = [state for state in one if state in other]
    # Each is a state that entries have been seen in.
    parts = frozenset().union(*map(_parts, wanted)) | states
    return (
        all(_parts(state) <= parts for state in got)
        and one[-1] == other[-1]
        and common == [state for state in other if state in one]
    )


def _changes(states: list[str]) -> list[str]:
    return [state for at, state in enumerate(states) if at == 0 or states[at - 1] != state]
