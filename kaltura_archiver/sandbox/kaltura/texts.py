"""How eSearch analyses text, and what a term finds in it (kaltura-api.md 3)."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import NamedTuple

# Types of search items.
EXACT, PARTIAL, STARTS, EXISTS, RANGE = 1, 2, 3, 4, 5


def _fold(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text.lower())
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter))


def tokens_of(text: str) -> list[str]:
    """The tokens of the `tags` field: words, where neither underscore nor hyphen nor an inner dot splits."""
    return re.findall(r"\w+(?:[.'\u2019]\w+)*", _fold(text).replace("-", "_"))


def trigrams_of(text: str) -> set[str]:
    """The 3-grams of runs of letters and digits."""
    runs = re.findall(r"[^\W_]+", text.lower())
    return {run[i : i + 3] for run in runs for i in range(len(run) - 2)}


class TextForms(NamedTuple):
    raw: tuple[str, ...]
    tokens: tuple[tuple[str, ...], ...]
    grams: frozenset[str]


@lru_cache(maxsize=65536)
def forms_of(text: str, *, is_list: bool) -> TextForms:
    """How a text field is indexed; a list (tags) is split at commas first."""
    parts = [part.strip() for part in text.split(",")] if is_list else [text.strip()]
    raw = tuple(part.lower() for part in parts if part)
    return TextForms(raw, tuple(tuple(tokens_of(part)) for part in raw), frozenset().union(*map(trigrams_of, raw)))


def _phrase_in(forms: TextForms, words: tuple[str, ...]) -> bool:
    size = len(words)
    return size > 0 and any(
        tokens[at : at + size] == words for tokens in forms.tokens for at in range(len(tokens) - size + 1)
    )


def _partially_in(forms: TextForms, term: str) -> bool:
    words = tokens_of(term)
    present = {token for tokens in forms.tokens for token in tokens}
    if (words and present.issuperset(words)) or term.lower() in forms.raw:
        return True
    grams = trigrams_of(term)
    # Elasticsearch rounds a percentage of optional clauses down.
    return bool(grams) and len(term.split()) <= 1 and len(grams & forms.grams) >= len(grams) * 80 // 100


def text_matches(forms: TextForms, item_type: int, term: str) -> bool:
    """Whether an analysed text matches a term of type EXACT, PARTIAL or STARTS_WITH."""
    if item_type == EXACT:
        return _phrase_in(forms, tuple(tokens_of(term)))
    if item_type == STARTS:
        return any(raw.startswith(term.lower()) for raw in forms.raw)
    if '"' not in term:
        return _partially_in(forms, term)
    pieces = re.findall(r'"([^"]*)"|([^"]+)', term)
    return any(
        _phrase_in(forms, tuple(tokens_of(quoted))) if quoted else bool(free.strip()) and _partially_in(forms, free)
        for quoted, free in pieces
    )
