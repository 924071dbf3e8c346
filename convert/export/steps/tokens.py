"""Texts cut into tokens, tokens as numbers, and n-grams of either counted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from convert.export.writer import INT64, Writer

PAD = ""


def cut(writer: Writer, texts: str, expression: str) -> str:
    """The tokens of each text [rows, longest + 1], filled up with empty ones."""
    words: dict[str, Any] = {"mark": 0, "mincharnum": 1, "pad_value": PAD, "tokenexp": expression}
    tokens = writer.node("Tokenizer", texts, domain="com.microsoft", **words)
    # At least one token: no operator likes an empty table.
    end = writer.node("Expand", writer.constant(np.array([[PAD]], dtype=object)), _column(writer, texts))
    return writer.node("Concat", tokens, end, axis=1)


def _column(writer: Writer, texts: str) -> str:
    """The shape [rows, 1]."""
    return writer.node("Concat", writer.node("Shape", texts), writer.constant(np.array([1], dtype=np.int64)), axis=0)


def numbered(writer: Writer, tokens: str, ids: Mapping[str, int], other: int) -> str:
    """The id of each token, `other` for one without."""
    words: dict[str, Any] = {"keys_strings": list(ids), "values_int64s": list(ids.values()), "default_int64": other}
    return writer.node("LabelEncoder", tokens, domain="ai.onnx.ml", **words)


def compacted(writer: Writer, ids: str, dropped: int) -> str:
    """The same ids in the same order, those that are dropped behind all others."""
    gone = writer.node("Equal", ids, whole(writer, dropped))
    length = writer.node("Gather", writer.node("Shape", ids), whole(writer, 1), axis=0)
    late = writer.node("Mul", writer.cast(gone, INT64), length)
    ones = writer.node("Add", writer.node("Mul", ids, whole(writer, 0)), whole(writer, 1))
    order = writer.node("Add", writer.node("CumSum", ones, writer.constant(np.array(1))), late)
    places = writer.nodes("TopK", 2, order, length, axis=1, largest=0, sorted=1)[1]
    return writer.node("GatherElements", ids, places, axis=1)


def tally(writer: Writer, tokens: str, grams: Iterable[tuple[Sequence[Any], int]]) -> str:
    """How often each n-gram occurs [rows, places] float32: several n-grams may count for one place."""
    by_length: dict[int, list[tuple[Sequence[Any], int]]] = {}
    for gram, place in grams:
        by_length.setdefault(len(gram), []).append((gram, place))
    longest = max(by_length)
    pool: list[Any] = []
    starts, places = [], []
    for length in range(1, longest + 1):
        starts.append(len(pool))
        for gram, place in by_length.get(length, []):
            pool += list(gram)
            places.append(place)
    texts = isinstance(pool[0], str)
    words: dict[str, Any] = {
        "mode": "TF",
        "min_gram_length": min(by_length),
        "max_gram_length": longest,
        "max_skip_count": 0,
        "ngram_counts": starts,
        "ngram_indexes": places,
        "pool_strings" if texts else "pool_int64s": pool,
    }
    return writer.node("TfIdfVectorizer", tokens, **words)


def whole(writer: Writer, value: int) -> str:
    return writer.constant(np.array([value], dtype=np.int64))
