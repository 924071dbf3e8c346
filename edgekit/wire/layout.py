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
        chunk = values[start : start + _CHUNK].astype(np.uint64)
        largest = int(chunk.max())
        yield chunk.astype(np.uint8).tobytes() if largest < 0x80 else _long(chunk, largest)


def _long(values: NDArray[np.uint64], largest: int) -> bytes:
    longest = len(varint(largest))
    rest: NDArray[Any] = values.astype(np.uint32) if largest < 1 << 32 else values
    octets = np.empty((len(values), longest), dtype=np.uint8)
    used = np.ones((len(values), longest), dtype=bool)
    for place in range(longest):
        octets[:, place] = rest.astype(np.uint8) & 0x7F
        rest = rest >> rest.dtype.type(7)
        if place + 1 < longest:
            used[:, place + 1] = rest != 0
            octets[:, place] |= used[:, place + 1].view(np.uint8) << 7
    return octets[used].tobytes()


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
