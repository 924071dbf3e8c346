"""N-grams of characters, by numbers: each character becomes an id, and what falls away moves behind the end.

The table of characters holds every one that becomes a part of the vocabulary when it is made lower case or loses its
accent (`scikit-learn` does both by Python's `str.lower` and `unicodedata`), so no locale is needed.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import strip_accents_ascii, strip_accents_unicode

from convert.export.refusal import NotExportable
from convert.export.steps.tokens import PAD, compacted, cut, numbered, tally, whole
from convert.export.writer import BOOL, INT64, Writer

_UNKNOWN, _DROPPED, _BREAK = -1, -2, -3
# Fractions become three characters; longer are some squared words and Arabic ligatures, whose rest is left out.
_LONGEST = 4
# All but surrogates and what never changes: rare ideographs, tags, private use.
_PLANES = (range(0xD800), range(0xE000, 0x20000), range(0x2F800, 0x2FA20), range(0xE0100, 0xE01F0))


def counts(writer: Writer, model: Any, texts: str) -> str:
    """How often each n-gram of the vocabulary occurs [rows, vocabulary] float32."""
    if model.lowercase and any("ς" in key for key in model.vocabulary_):
        raise NotExportable("capital sigma becomes σ or ς by its place in the word: use lowercase=False")
    alphabet = {letter for key in model.vocabulary_ for letter in key}
    blanks = {chr(code) for code in range(0x3001) if chr(code).isspace()}
    # White space has the highest ids.
    ids = {letter: number for number, letter in enumerate((*sorted(alphabet - blanks), *sorted(blanks)))}
    found = _read(writer, texts, _table(model, ids))
    run = writer.node("Greater", found, whole(writer, len(alphabet - blanks) - 1))
    if model.analyzer == "char":
        found = _single_spaces(writer, found, run, ids[" "])
    else:
        found = _apart(writer, found, run, ids[" "])
    grams = [(tuple(ids[letter] for letter in key), place) for key, place in model.vocabulary_.items()]
    return tally(writer, found, grams)


def _table(model: Any, ids: Mapping[str, int]) -> dict[str, tuple[int, ...]]:
    """The ids that each character becomes; those of which nothing is known are left out, where they would be kept."""
    found: dict[str, tuple[int, ...]] = {letter: (number,) for letter, number in ids.items()}
    for letter, made in _changed(model.lowercase, model.strip_accents).items():
        known = any(part in ids for part in made)
        if known or (not made) != _drops_unlisted(model) or letter in found:
            found[letter] = tuple(ids.get(part, _UNKNOWN) for part in made[:_LONGEST])
    if _drops_unlisted(model):
        found |= {chr(code): (_UNKNOWN,) for code in range(128) if chr(code) not in found}
    return found


def _drops_unlisted(model: Any) -> bool:
    """Stripping to ASCII leaves nothing of most characters; otherwise a character stays something."""
    return bool(model.strip_accents == "ascii")


@lru_cache(maxsize=4)
def _changed(lowercase: bool, strip_accents: str | None) -> dict[str, str]:
    """What each character becomes that does not stay itself: lower case first, then accents, as scikit-learn does."""
    ways: dict[str | None, Callable[[str], str]] = {
        None: str,
        "ascii": strip_accents_ascii,
        "unicode": strip_accents_unicode,
    }
    strip = ways[strip_accents]
    found = {}
    for letter in map(chr, itertools.chain(*_PLANES)):
        made = strip(letter.lower() if lowercase else letter)
        if made != letter:
            found[letter] = made
    return found


def _read(writer: Writer, texts: str, table: dict[str, tuple[int, ...]]) -> str:
    """The ids of each text's characters [rows, longest], dropped ones behind the end."""
    letters = cut(writer, texts, "(?s).")
    width = max(map(len, table.values()))
    rows = sorted(set(table.values()))
    place = {row: i for i, row in enumerate(rows)}
    keys = {letter: place[row] for letter, row in table.items()} | {PAD: len(rows) + 1}
    lines = [row + (_DROPPED,) * (width - len(row)) for row in (*rows, (_UNKNOWN,), ())]
    number = numbered(writer, letters, keys, len(rows) + (1 if _drops_unlisted(writer.model) else 0))
    found = writer.node("Gather", writer.constant(np.array(lines, dtype=np.int64)), number, axis=0)
    found = writer.node("Reshape", found, writer.constant(np.array([0, -1], dtype=np.int64)))
    some_fall_away = width > 1 or () in table.values() or _drops_unlisted(writer.model)
    return compacted(writer, found, _DROPPED) if some_fall_away else found


def _beside(writer: Writer, marks: str, *, before: bool) -> str:
    """Whether the neighbour before or after is marked too."""
    number = writer.cast(marks, INT64)
    pads = writer.constant(np.array([0, 1, 0, 0] if before else [0, 0, 0, 1], dtype=np.int64))
    padded = writer.node("Pad", number, pads)
    start, end = (0, -1) if before else (1, np.iinfo(np.int64).max)
    cut = writer.node("Slice", padded, *(whole(writer, value) for value in (start, end, 1)))
    return writer.cast(cut, BOOL)


def _single_spaces(writer: Writer, ids: str, blank: str, space: int) -> str:
    """Two or more white spaces become one space; a single one stays what it is."""
    after = writer.node("And", blank, _beside(writer, blank, before=True))
    first = writer.node("And", blank, _beside(writer, blank, before=False))
    found = writer.node("Where", first, whole(writer, space), ids)
    return compacted(writer, writer.node("Where", after, whole(writer, _DROPPED), found), _DROPPED)


def _apart(writer: Writer, ids: str, blank: str, space: int) -> str:
    """Each word between two spaces, and a break between words, so that no n-gram reaches across."""
    gone = writer.node("Equal", ids, whole(writer, _DROPPED))
    outside = writer.node("Or", blank, gone)
    ids = writer.node("Where", outside, whole(writer, _DROPPED), ids)
    inside = writer.node("Not", outside)
    starts = writer.node("And", inside, writer.node("Not", _beside(writer, inside, before=True)))
    ends = writer.node("And", inside, writer.node("Not", _beside(writer, inside, before=False)))
    opened = writer.node("Where", starts, whole(writer, space), whole(writer, _DROPPED))
    closed = writer.node("Where", ends, whole(writer, space), whole(writer, _DROPPED))
    broken = writer.node("Where", ends, whole(writer, _BREAK), whole(writer, _DROPPED))
    columns = [writer.node("Unsqueeze", part, whole(writer, 2)) for part in (opened, ids, closed, broken)]
    wide = writer.node("Concat", *columns, axis=2)
    flat = writer.node("Reshape", wide, writer.constant(np.array([0, -1], dtype=np.int64)))
    return compacted(writer, flat, _DROPPED)
