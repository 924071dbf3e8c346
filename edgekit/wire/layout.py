"""How a column stands in the file: arrays to the bytes of protobuf, and back. The bytes need not have come from here:
what does not give the same bytes again is no column.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.wire.streams import varint

Ints = NDArray[Any]
_CHUNK = 1 << 16


def varints(values: Ints) -> Iterator[bytes]:
    """Whole numbers as protobuf's varints, without tags; negative ones as the 64-bit pattern."""
    for start in range(0, len(values), _CHUNK):
        chunk = values[start : start + _CHUNK]
        small = int(chunk.min()) >= 0 and int(chunk.max()) < 0x80
        yield chunk.astype(np.uint8).tobytes() if small else _long(chunk.astype(np.uint64))


def _long(values: NDArray[np.uint64]) -> bytes:
    largest = int(values.max())
    longest = len(varint(largest))
    numbers: NDArray[Any] = values.astype(np.uint32) if largest < 1 << 32 else values
    lengths = np.ones(len(values), dtype=np.uint8)
    for place in range(1, longest):
        lengths += numbers >= 1 << 7 * place
    ends = np.cumsum(lengths, dtype=np.intp)
    first = ends - lengths
    octets = np.empty(int(ends[-1]) + longest, dtype=np.uint8)
    # what a number writes past its end falls on lower places of those that follow, whose turn comes later
    for place in reversed(range(longest)):
        more = (lengths > place + 1).view(np.uint8) << 7
        octets[first + place] = (numbers >> 7 * place).astype(np.uint8) & 0x7F | more
    return octets[: ends[-1]].tobytes()


def read_varints(content: bytes) -> NDArray[np.int64]:
    """The numbers of a run of varints. Raises ValueError when it is none in the shortest form."""
    octets = np.frombuffer(content, dtype=np.uint8)
    last = np.flatnonzero(octets < 0x80)
    if len(last) == 0 or last[-1] != len(octets) - 1:
        raise ValueError("a run of varints ends within one")
    first = np.concatenate([[0], last[:-1] + 1])
    lengths = last - first + 1
    if lengths.max() > 10:
        raise ValueError("a varint is too long")
    found = np.zeros(len(last), dtype=np.uint64)
    for place in range(int(lengths.max())):
        here = lengths > place
        found[here] |= (octets[first[here] + place] & 0x7F).astype(np.uint64) << np.uint64(7 * place)
    return found.view(np.int64)


def fixed(values: Ints, kind: str) -> Iterator[bytes]:
    """Numbers of a fixed width, little-endian."""
    for start in range(0, len(values), _CHUNK):
        yield values[start : start + _CHUNK].astype(kind).tobytes()


def texts(values: list[bytes], tag: int) -> Iterator[bytes]:
    """Texts as a repeated field of protobuf, each with its tag and length."""
    for start in range(0, len(values), _CHUNK):
        yield b"".join(bytes([tag]) + varint(len(text)) + text for text in values[start : start + _CHUNK])
