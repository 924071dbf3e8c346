"""A log-linear latency histogram in microseconds: eight buckets an octave, so that a bucket is at most 12.5 % wide.

Pure integer arithmetic, as `edgekit.messages.Latency` describes it. Counts of the same bucket may be added up whoever
counted them, in any order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

BUCKETS = 512
TABLED_US = 1 << 14

_LARGEST_US = (1 << 63) - 1


def bucket(value_us: int) -> int:
    """The bucket of a latency; negative values count as 0. Rises with the value, never falls."""
    value_us = min(max(value_us, 0), _LARGEST_US)
    if value_us < 16:
        return value_us
    exponent = value_us.bit_length()
    return (exponent << 3) + ((value_us >> (exponent - 4)) & 7)


# The bucket of every latency below TABLED_US: looking it up costs a third of working it out.
TABLE = bytes(bucket(value_us) for value_us in range(TABLED_US))


def bounds(index: int) -> tuple[int, int]:
    """The smallest value of a bucket, and the smallest above it. Raises ValueError for an index that no value has."""
    if 0 <= index < 16:
        return index, index + 1
    exponent, step = index >> 3, index & 7
    if not 5 <= exponent <= 63:
        raise ValueError(f"no latency falls into bucket {index}")
    low = (8 + step) << (exponent - 4)
    return low, low + (1 << (exponent - 4))


def below(buckets: Iterable[tuple[int, int]], power: int) -> int:
    """How many counted latencies are below 2**power µs (power ≥ 4: exact, because octaves begin with a bucket)."""
    first_above = bucket(1 << power)
    return sum(count for index, count in buckets if index < first_above)


def quantiles(buckets: Sequence[tuple[int, int]], shares: Sequence[float]) -> list[float]:
    """Estimates in µs of the latencies below which those shares lie (rising, each from 0 to 1): linear within a bucket,
    so at most a bucket's width off, 12.5 %. `buckets` sorted by index; all 0.0 when nothing was counted.
    """
    total = sum(count for _, count in buckets)
    found: list[float] = []
    passed, place = 0, 0
    for share in shares:
        while place < len(buckets) and passed + buckets[place][1] < share * total:
            passed += buckets[place][1]
            place += 1
        found.append(_within(buckets[place], share * total - passed) if place < len(buckets) and total else 0.0)
    return found


def _within(bucket: tuple[int, int], rank: float) -> float:
    low, high = bounds(bucket[0])
    return low + (high - low) * max(0.0, rank) / bucket[1]
