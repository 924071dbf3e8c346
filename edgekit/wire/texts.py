"""Columns of texts: what they are in the wire form, and back.

A column begins with a byte: 0 = whole numbers (the lengths in bytes), then a stream of all the bytes; 1 = whole numbers
(how many bytes each text shares with the start of the one before), whole numbers (the lengths of the rest), then a
stream of the rests: what a sorted vocabulary wants.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from edgekit.wire import whole
from edgekit.wire.streams import Coded, Source, malformed, plain, shortest, stream

_JOINED, _FRONT = 0, 1


def encode(texts: list[bytes]) -> Coded:
    """The shorter form of a column."""
    shared = [_shared(*pair) for pair in pairwise([b"", *texts])]
    rests = [text[count:] for text, count in zip(texts, shared, strict=True)]
    joined = plain(bytes([_JOINED])) + _lengths(texts) + stream(b"".join(texts))
    front = plain(bytes([_FRONT])) + whole.encode(np.array(shared, dtype=np.int64)) + _lengths(rests)
    return shortest([joined, front + stream(b"".join(rests))])


def _shared(before: bytes, text: bytes) -> int:
    most = min(len(before), len(text))
    return next((place for place in range(most) if before[place] != text[place]), most)


def _lengths(texts: list[bytes]) -> Coded:
    return whole.encode(np.array([len(text) for text in texts], dtype=np.int64))


def decode(source: Source, count: int, limit: int) -> list[bytes]:
    """The next column [count], at most `limit` bytes in all. Raises BundleError."""
    how = source.byte()
    if how > _FRONT:
        raise malformed(f"no column of texts begins with {how}")
    shared = _counts(source, count, limit) if how == _FRONT else [0] * count
    lengths = _counts(source, count, limit)
    if sum(shared) + sum(lengths) > limit:
        raise malformed("its texts are too long")
    content = bytes(source.exact(sum(lengths)))
    texts: list[bytes] = []
    before, at = b"", 0
    for keep, length in zip(shared, lengths, strict=True):
        if keep > len(before):
            raise malformed("a text shares more than there is")
        before = before[:keep] + content[at : at + length]
        texts.append(before)
        at += length
    return texts


def _counts(source: Source, count: int, limit: int) -> list[int]:
    found = whole.decode(source, count)
    if len(found) and not (int(found.min()) >= 0 and int(found.max()) <= limit):
        raise malformed("it has an impossible length")
    numbers: list[int] = found.tolist()
    return numbers
